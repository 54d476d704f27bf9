"""What is said of a listener, and of a stream whose connect was refused at once, line by line."""
import ctypes, errno, fcntl, select, socket, struct

LIBC = ctypes.CDLL(None, use_errno=True)
FIONREAD, SIOCOUTQ = 0x541B, 0x5411


def say(what, act):
    try:
        result = act()
    except OSError as e:
        result = errno.errorcode[e.errno]
    print(what, result)


def polled(s):
    p = select.poll()
    p.register(s, select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP)
    return [hex(events) for _, events in p.poll(0)]


def asked(s, request):
    return struct.unpack("i", fcntl.ioctl(s, request, bytes(4)))[0]


def probe(label, s):
    say(f"{label} poll", lambda: polled(s))
    say(f"{label} recv", lambda: s.recv(1))
    say(f"{label} peek", lambda: s.recv(1, socket.MSG_PEEK))
    say(f"{label} send", lambda: s.send(b"x"))
    say(f"{label} sendmsg", lambda: s.sendmsg([b"x"]))
    say(f"{label} FIONREAD", lambda: asked(s, FIONREAD))
    say(f"{label} SO_ERROR", lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    say(f"{label} accepts", lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    say(f"{label} peer", s.getpeername)


def connect_unspec(s):
    if LIBC.connect(s.fileno(), bytes(16), 16):
        raise OSError(ctypes.get_errno(), "")


def stream(family):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setblocking(False)
    return s


def listener(family, host):
    s = stream(family)
    s.bind((host, 0))
    s.listen(5)
    probe("idle", s)
    say("SIOCOUTQ", lambda: asked(s, SIOCOUTQ))
    clients = [socket.create_connection(s.getsockname()[:2]) for _ in range(6)]
    select.select([s], [], [], 5)
    probe("called", s)
    name = s.getsockname()
    copy = s.dup()
    s.close()
    accepted = 0
    while select.select([copy], [], [], 0.2)[0]:
        copy.accept()[0].close()
        accepted += 1
    print("accepted", accepted, polled(copy))
    say("bind", lambda: copy.bind(("192.0.2.7" if family == socket.AF_INET else "2001:db8::7", 1)))
    say("connect", lambda: copy.connect((host, 1)))
    probe("still", copy)
    say("shutdown to write", lambda: copy.shutdown(socket.SHUT_WR))
    say("shutdown", lambda: copy.shutdown(socket.SHUT_RDWR))
    probe("shut", copy)
    say("unspec", lambda: connect_unspec(copy))
    probe("dissolved", copy)
    copy.close()
    again = stream(family)
    say("connect to who has closed", lambda: again.connect(name))
    select.select([], [again], [], 5)
    say("refused", lambda: again.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    del clients


def refused(family, host):
    held = socket.socket(family, socket.SOCK_STREAM)
    held.bind((host, 0))
    nobody = held.getsockname()[:2]
    s = stream(family)
    say("connect", lambda: s.connect(nobody))
    port = s.getsockname()[1]
    say("listen", s.listen)
    probe("refused", s)
    say("connect again", lambda: s.connect(nobody))
    print("name kept", s.getsockname()[1] == port, s.getsockname()[0])
    say("connect once more", lambda: s.connect(nobody))
    say("its error", lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    say("its error, taken", lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    say("aborted", lambda: s.connect(nobody))
    say("bind", lambda: s.bind((host, 0)))
    say("listen", s.listen)
    probe("listens", s)


for family, host in [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]:
    print(host)
    listener(family, host)
    refused(family, host)
