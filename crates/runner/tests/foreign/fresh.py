"""Streams that are neither connected nor listening, on the loopback; whoever runs it may compare what it prints."""
import errno, fcntl, os, select, signal, socket, threading
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
def named(call, *words):
    try: return call(*words)
    except OSError as e: return errno.errorcode[e.errno]
def events(s):
    p = select.poll(); p.register(s, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    return [mask for _, mask in p.poll(0)]
def look(name, s):
    print(name, named(s.recv, 1), named(s.send, b'x'), named(os.read, s.fileno(), 1), named(os.write, s.fileno(), b'x'),
          named(s.sendto, b'x', ('127.0.0.1', 9)), named(s.sendmsg, [b'x']), named(s.recvmsg, 1), named(s.recvfrom, 1),
          events(s), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), named(s.getpeername))
def fresh(): return socket.socket()
def listener():
    s = fresh(); s.bind(('127.0.0.1', 0)); s.listen(); return s
def talk(name, s, l):
    print(name, named(s.connect, l.getsockname()), end=' ')
    other, _ = l.accept()
    s.send(b'hello'); print(other.recv(9), end=' ')
    other.send(b'world'); print(s.recv(9), events(s))

look('fresh', fresh())
s = fresh(); print('shut', named(s.shutdown, 2), named(s.recv, 1), named(s.send, b'x'), events(s))
s = fresh(); s.setblocking(False); look('non-blocking', s)
s = fresh(); s.bind(('127.0.0.1', 0)); look('bound', s)
s = fresh(); t = threading.Thread(target=look, args=('in a thread', s)); t.start(); t.join()
# A port is free again when its socket was closed, whoever closed it.
for how in range(5):
    s = fresh(); s.bind(('127.0.0.1', 7070))
    t = fresh(); print('bind', how, named(t.bind, ('127.0.0.1', 7070)), end=' ')
    if how == 0: s.close()
    if how == 1: fd = s.detach(); os.close(fd)
    if how == 2: os.dup2(0, s.fileno()); s.detach()
    if how == 3: s = None
    if how == 4:
        if os.fork() == 0: os._exit(0)
        os.wait(); s.close()
    print(named(t.bind, ('127.0.0.1', 7070)))
    t.close()
# Copies are the same socket: what one does the others see.
l = listener()
s = fresh(); t = s.dup(); s.connect(l.getsockname()); print('dup before', t.getpeername() == l.getsockname())
a, _ = l.accept(); t.send(b'by the copy'); print(a.recv(99))
s = fresh(); fd = fcntl.fcntl(s, fcntl.F_DUPFD_CLOEXEC, 50); t = socket.socket(fileno=fd); t.connect(l.getsockname())
a, _ = l.accept(); s.send(b'by the first'); print(fd, a.recv(99))
s = fresh(); up, down = socket.socketpair(); pid = os.fork()
if pid == 0:
    s.connect(l.getsockname()); down.send(b'x'); down.recv(1); os._exit(0)
up.recv(1); a, _ = l.accept(); print(s.getpeername() == l.getsockname()); up.send(b'x'); os.waitpid(pid, 0); s.send(b'by the parent'); print(a.recv(99))
s = fresh(); s.bind(('127.0.0.1', 0)); pid = os.fork()
if pid == 0:
    s.listen(); up.send(b'x'); c, _ = s.accept(); c.send(b'of the child'); os._exit(0)
down.recv(1); c = fresh(); c.connect(s.getsockname()); print(c.recv(99)); os.waitpid(pid, 0)
s = fresh(); u, v = socket.socketpair(); socket.send_fds(u, [b'x'], [s.fileno()])
_, (fd,), _, _ = socket.recv_fds(v, 1, 1); t = socket.socket(fileno=fd); t.connect(l.getsockname())
a, _ = l.accept(); s.send(b'passed'); print(a.recv(99))
s = fresh(); s.setblocking(False); e = select.epoll(); e.register(s, select.EPOLLOUT)
print('epoll', errno.errorcode[s.connect_ex(l.getsockname())], e.poll(5) == [(s.fileno(), select.EPOLLOUT)])
a, _ = l.accept(); s.send(b'after epoll'); print(a.recv(99))
# What was set before stays.
s = fresh(); s.settimeout(5); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192); fcntl.fcntl(s, fcntl.F_SETFD, 0)
l2 = listener(); s.connect(l2.getsockname())
print('kept', s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), fcntl.fcntl(s, fcntl.F_GETFD), bool(fcntl.fcntl(s, fcntl.F_GETFL) & os.O_NONBLOCK))
t = fresh(); l2.accept(); t.connect(l2.getsockname()); print(fcntl.fcntl(t, fcntl.F_GETFD))
# A connect that is refused leaves it as it was, a second one may do better.
port = listener(); nobody = port.getsockname(); port.close()
s = fresh(); print('refused', named(s.connect, nobody)); look('refused', s); talk('again', s, l)
s = fresh(); print('no way', named(s.connect, ('255.255.255.255', 9))); talk('again', s, l)
s = fresh(); print('listen', named(s.listen), named(s.listen), events(s)); c = fresh(); c.connect(('127.0.0.1', s.getsockname()[1])); print(events(s))
print('connected', named(c.listen), named(s.connect, l.getsockname()))
# What was connected or listened and is no more is as it was at first.
import ctypes
def dissolve(s): return ctypes.CDLL(None).connect(s.fileno(), bytes(16), 16)
l = listener(); s = fresh(); print('dissolve fresh', dissolve(s)); look('dissolve fresh', s)
talk('dissolve', s, l); print(dissolve(s), named(s.getpeername)); talk('dissolved', s, l)
s = fresh(); c = s.dup(); s.close(); look('copy', c); talk('copy', c, l)
m, l = l, listener(); at = l.getsockname(); print('shut', named(l.shutdown, 0), l.getsockname() == at, named(l.accept)); look('shut listener', l)
print(named(l.listen), events(l)); c = fresh(); talk('listens again', c, l)
l3 = listener(); e = select.epoll(); e.register(l3, select.EPOLLIN); print('watched', e.poll(0), named(l3.shutdown, 0), end=' ')
print([bool(mask & select.EPOLLHUP) for _, mask in e.poll(5)], named(l3.accept))
s = fresh(); s.setblocking(False); s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1); print(named(s.connect, nobody), end=' ')
p = select.poll(); p.register(s, select.POLLOUT); p.poll(5000)
print(events(s), named(s.getpeername), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), named(s.connect, nobody), s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
look('refused', s); s.settimeout(5); talk('after a refusal', s, l)
# An epoll goes on watching what it was told to, by every way there.
s = fresh(); s.setblocking(False); e = select.epoll(); e.register(s, select.EPOLLOUT); print('in an epoll', errno.errorcode[s.connect_ex(nobody)], end=' ')
print([mask for _, mask in e.poll(5)], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), named(s.connect, nobody), [mask for _, mask in e.poll(5)])
print(errno.errorcode[s.connect_ex(l.getsockname())], e.poll(5) == [(s.fileno(), select.EPOLLOUT)]); a, _ = l.accept(); e.modify(s, select.EPOLLIN); print(e.poll(0))
a.send(b'x'); print(e.poll(5) == [(s.fileno(), select.EPOLLIN)]); e.unregister(s); print(e.poll(0))
s = fresh(); e = select.epoll(); e.register(s, select.EPOLLIN | select.EPOLLET); print([mask for _, mask in e.poll(0)], [mask for _, mask in e.poll(0)]); s.listen()
print([mask for _, mask in e.poll(0)]); c = fresh(); c.connect(('127.0.0.1', s.getsockname()[1])); print([mask for _, mask in e.poll(5)], [mask for _, mask in e.poll(0)])
e = select.epoll(); pid = os.fork()
if pid == 0:
    s = fresh(); e.register(s, select.EPOLLOUT); s.connect(l.getsockname()); print('inherited', e.poll(5) == [(s.fileno(), select.EPOLLOUT)], flush=True); os._exit(0)
os.waitpid(pid, 0); l.accept()
# Buffers.
for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
    s = socket.socket(socket.AF_INET, kind)
    sizes = lambda: [s.getsockopt(socket.SOL_SOCKET, name) for name in (socket.SO_SNDBUF, socket.SO_RCVBUF)]
    print(sizes())
    for size in 0, 1, 1000, 2304, 4096, 100000, 212992:
        for name in socket.SO_SNDBUF, socket.SO_RCVBUF: s.setsockopt(socket.SOL_SOCKET, name, size)
        print(size, sizes())
s = fresh(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 9999); s.bind(('127.0.0.1', 0)); s.listen()
c = fresh(); c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 7777); c.connect(s.getsockname()); a, _ = s.accept()
print(a.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), c.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
# Datagrams.
d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); d.bind(('127.0.0.1', 0)); print('mark', named(fcntl.ioctl, d, 0x8905, bytearray(4)))
d.connect(d.getsockname()); print(d.sendto(b'x', d.getsockname()), named(d.shutdown, 1), named(d.sendto, b'y', d.getsockname()), named(d.sendmsg, [b'z'], [], 0, d.getsockname()))
