"""Times of arrival, in both families, over the loopback; whoever runs it may compare what it prints."""
import errno, socket, struct, sys, threading, time
MSG_ERRQUEUE, RECEIVED, TOLD = 0x2000, 1 << 3, 1 << 4
STAMP, STAMPNS, STAMPING, STAMP_NEW, STAMPNS_NEW, STAMPING_NEW = ALL = 29, 35, 37, 63, 64, 65
FRACTION = {STAMP: 1000, STAMP_NEW: 1000}
def named(call, *words):
    try: return call(*words)
    except OSError as e: return errno.errorcode[e.errno]
def until(call, *words):
    end = time.monotonic() + 10
    while (told := named(call, *words)) == 'EAGAIN' and time.monotonic() < end: time.sleep(0.002)
    return told
def shown(began, control):
    """Each message, and of a time whether it is one of this moment: of a clock that steps a little, too."""
    for level, kind, data in control:
        if level != socket.SOL_SOCKET or len(data) < 16: yield level, kind, len(data); continue
        seconds, fraction, *rest = struct.unpack('=%dq' % (len(data) // 8), data)
        then = seconds * 10**9 + fraction * FRACTION.get(kind, 1)
        yield kind, len(data), 'now' if began - 10**9 <= then <= time.time_ns() + 10**9 else (began, then), rest
def family(af, level, ttl, err, host):
    r = socket.socket(af, socket.SOCK_DGRAM); r.bind((host, 0)); r.setblocking(False)
    s = socket.socket(af, socket.SOCK_DGRAM); s.connect(r.getsockname()); s.setblocking(False)
    def options(of): return [of.getsockopt(socket.SOL_SOCKET, name) for name in ALL]
    def hear(what, *room):
        began = time.time_ns(); s.send(b'x')
        told = until(r.recvmsg, 9, *room)
        print(what, told if isinstance(told, str) else (list(shown(began, told[1])), 'flags %x' % told[2]))
    def stamped():
        end = time.monotonic() + 10
        while time.monotonic() < end:
            s.send(b'x')
            if isinstance(told := until(r.recvmsg, 9, 500), tuple) and told[1]: return
    print('at first', options(r)); hear('nothing asked:', 500)
    for name in STAMP, STAMPNS, STAMP_NEW, STAMPNS_NEW:
        r.setsockopt(socket.SOL_SOCKET, name, 1); hear('%d:' % name, 500); print(options(r))
    hear('no room:'); hear('little room:', socket.CMSG_SPACE(8)); hear('just room:', socket.CMSG_SPACE(16))
    r.setsockopt(level, ttl, 1); hear('with hops:', 500); r.setsockopt(level, ttl, 0)
    r.setsockopt(socket.SOL_SOCKET, STAMP, 0); hear('off:', 500); print(options(r))
    for name in STAMPING, STAMPING_NEW:
        # What is told alone depends on who else on the machine asked for times.
        for flags in RECEIVED, RECEIVED | TOLD:
            r.setsockopt(socket.SOL_SOCKET, name, flags)
            # A kernel begins to take times a moment after the first asked for them.
            if flags & TOLD: stamped()
            hear('%d by %d:' % (name, flags), 500); print(options(r))
    r.setsockopt(socket.SOL_SOCKET, STAMPNS, 1); hear('both:', 500); print(options(r))
    for value in 1 << 30, -1: print('flags that are none', named(r.setsockopt, socket.SOL_SOCKET, STAMPING, value))
    print('too short', named(r.setsockopt, socket.SOL_SOCKET, STAMP, b'\1'))
    r.setsockopt(socket.SOL_SOCKET, STAMPING, 0); r.setsockopt(socket.SOL_SOCKET, STAMPNS, 0)
    # One that comes before it is asked for has a time all the same.
    began = time.time_ns(); s.send(b'x'); r.setsockopt(socket.SOL_SOCKET, STAMP, 1); told = until(r.recvmsg, 9, 500)
    print('asked late:', list(shown(began, told[1])))
    # A call that waits.
    r.settimeout(10); began = time.time_ns(); later = threading.Timer(0.05, s.send, [b'later']); later.start()
    data, control, *_ = r.recvmsg(9, 500); print('waited for:', data, list(shown(began, control))); later.join()
    # Errors have times, too.
    gone = socket.socket(af, socket.SOCK_DGRAM); gone.bind((host, 0)); dead = gone.getsockname(); gone.close()
    e = socket.socket(af, socket.SOCK_DGRAM); e.setblocking(False); e.setsockopt(level, err, 1); e.setsockopt(socket.SOL_SOCKET, STAMPNS, 1)
    began = time.time_ns(); e.sendto(b'x', dead); told = until(e.recvmsg, 9, 500, MSG_ERRQUEUE)
    print('an error:', [message if message[0] == STAMPNS else message[:2] for message in shown(began, told[1])])
    # A stream takes the option.
    t = socket.socket(af); t.setsockopt(socket.SOL_SOCKET, STAMP, 1); print('stream', options(t))
    l = socket.create_server((host, 0), family=af); t.connect(l.getsockname()); print('connected', options(t))
family(socket.AF_INET, socket.IPPROTO_IP, 12, 11, '127.0.0.1')
family(socket.AF_INET6, socket.IPPROTO_IPV6, 51, 25, '::1')
