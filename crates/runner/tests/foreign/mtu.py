"""Path MTU discovery of datagram sockets, over the loopback; whoever runs it may compare what it prints."""
import errno, socket
MTU_DISCOVER, MTU, RECVERR = {4: 10, 6: 23}, {4: 14, 6: 24}, {4: 11, 6: 25}
def named(call, *words):
    try: return call(*words)
    except OSError as e: return errno.errorcode[e.errno]
def family(number, af, host):
    level = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}[number]
    discover, mtu = (level, MTU_DISCOVER[number]), (level, MTU[number])
    s = socket.socket(af, socket.SOCK_DGRAM)
    print('at first:', s.getsockopt(*discover), 'MTU', named(s.getsockopt, *mtu))
    for wanted in -1, 0, 1, 2, 3, 4, 5, 6, 7, 256:
        print('set', wanted, named(s.setsockopt, *discover, wanted), 'then', s.getsockopt(*discover))
    r = socket.socket(af, socket.SOCK_DGRAM); r.bind((host, 0)); r.settimeout(5)
    for wanted in range(6):
        s.setsockopt(*discover, wanted)
        for size in 1000, 60000:
            sent = named(s.sendto, bytes(size), r.getsockname())
            print('mode', wanted, 'sends', sent, 'heard', len(r.recv(65536)))
        print('mode', wanted, 'too long for any packet:', named(s.sendto, bytes(65536), r.getsockname()))
    s.connect(r.getsockname())
    print('connected MTU', named(s.getsockopt, *mtu))
    print('set MTU', named(s.setsockopt, *mtu, 1) if number == 4 else '')
    t = socket.socket(af, socket.SOCK_STREAM)
    print('stream', t.getsockopt(*discover), named(t.getsockopt, *mtu))
family(4, socket.AF_INET, '127.0.0.1')
family(6, socket.AF_INET6, '::1')
