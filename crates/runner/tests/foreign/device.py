"""Sockets that are bound to an interface, in both families, over the loopback; whoever runs it may compare what it prints."""
import errno, socket
DEVICE, INDEX, LO = 25, 62, socket.if_nametoindex('lo')
def named(call, *words):
    try: return call(*words)
    except OSError as e: return errno.errorcode[e.errno]
def bind_to(s, name): return named(s.setsockopt, socket.SOL_SOCKET, DEVICE, name)
def shown(s): return [named(s.getsockopt, socket.SOL_SOCKET, DEVICE, room) for room in (16, 40, 15, 4)], named(s.getsockopt, socket.SOL_SOCKET, INDEX)
def options(s):
    print('at first', shown(s))
    for name in b'nosuch', b'nosuch\0', b'x' * 15, b'x' * 40, b'\0lo': print(name, bind_to(s, name), shown(s)[0][0])
    for name in b'lo', b'', b'lo\0', b'\0', b'lo\0garbage': print(name, bind_to(s, name), shown(s))
    for index in 0, LO, -1, 0: print('index', index == LO, named(s.setsockopt, socket.SOL_SOCKET, INDEX, index), shown(s))
    print('short', named(s.setsockopt, socket.SOL_SOCKET, INDEX, b'\1'))
def heard(s): return named(s.recv, 9)
def family(af, host, icmp):
    kinds = [(socket.SOCK_DGRAM, 0), (socket.SOCK_STREAM, 0), (socket.SOCK_RAW, icmp)]
    for kind in kinds: print(kind[0]); options(socket.socket(af, *kind))
    u = socket.socket(af, socket.SOCK_DGRAM); u.settimeout(10); bind_to(u, b'lo'); u.bind((host, 0)); to = u.getsockname()
    s = socket.socket(af, socket.SOCK_DGRAM)
    s.sendto(b'to it', to); print(heard(u)); bind_to(s, b'lo'); s.sendto(b'by it', to); print(heard(u))
    s.connect(to); s.send(b'to peer'); print(heard(u))
    for name in b'', b'lo':
        t = socket.socket(af, socket.SOCK_DGRAM); bind_to(t, name); print('another', name, named(t.bind, to))
    l = socket.socket(af); bind_to(l, b'lo'); l.bind((host, 0)); l.listen()
    for name in b'', b'lo':
        c = socket.socket(af); bind_to(c, name); c.connect(l.getsockname()); a, _ = l.accept()
        c.send(b'hello'); print('accepted', name, heard(a), shown(a)[0][0], shown(c)[0][0]); a.send(b'back'); print(heard(c))
    print('bound while it lasts', bind_to(c, b'lo'), shown(c)[0][0], c.send(b'more'), heard(a))
family(socket.AF_INET, '127.0.0.1', socket.IPPROTO_ICMP)
family(socket.AF_INET6, '::1', socket.IPPROTO_ICMPV6)
