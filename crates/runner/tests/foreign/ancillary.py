"""What goes beside datagrams, in both families, over the loopback; whoever runs it may compare what it prints."""
import errno, socket, struct, sys, time
MSG_ERRQUEUE = 0x2000
V4 = dict(level=socket.IPPROTO_IP, recv=[('PKTINFO', 8), ('RECVTTL', 12), ('RECVTOS', 13)], err=11, ttl=2, tos=1, host='127.0.0.1')
V6 = dict(level=socket.IPPROTO_IPV6, recv=[('RECVPKTINFO', 49), ('RECVHOPLIMIT', 51), ('RECVTCLASS', 66)], err=25, ttl=52, tos=67, host='::1')
def named(call, *words):
    try: return call(*words)
    except OSError as e: return errno.errorcode[e.errno]
def until(call, *words):
    end = time.monotonic() + 10
    while (told := named(call, *words)) == 'EAGAIN' and time.monotonic() < end: time.sleep(0.002)
    return told
def show(what, told, mine=()):
    if isinstance(told, str): return print(what, told)
    data, control, flags, name = told
    port = {mine[n]: 'port %d' % n for n in range(len(mine))}
    name = name and (name[0], port.get(name[1], name[1])) + name[2:]
    print(what, data if len(data) < 20 else len(data), [(level, kind, bytes.hex()) for level, kind, bytes in control], 'flags %x' % flags, name)
def family(af, t):
    level, host = t['level'], t['host']
    r = socket.socket(af, socket.SOCK_DGRAM); r.bind((host, 0)); r.setblocking(False)
    s = socket.socket(af, socket.SOCK_DGRAM); s.bind((host, 0)); s.setblocking(False)
    ports = [r.getsockname()[1], s.getsockname()[1]]
    def hear(what, room=100, control=500, *flags): show(what, until(r.recvmsg, room, control, *flags), ports)
    to = r.getsockname()
    s.sendto(b'none', to); hear('nothing asked:')
    for name, option in t['recv']:
        r.setsockopt(level, option, 1)
        s.sendto(name.encode(), to); hear(name + ':')
    s.sendto(b'all', to); hear('peeked:', 100, 500, socket.MSG_PEEK); hear('and taken:')
    s.sendto(b'long', to); hear('cut:', 2)
    s.sendto(b'x', to); hear('no room for control:', 100, 0)
    s.sendto(b'x', to); hear('little room for control:', 100, socket.CMSG_SPACE(12))
    number = struct.Struct('=i').pack
    for what, control in [
        ('hops:', [(level, t['ttl'], number(7))]), ('class:', [(level, t['tos'], number(0x28))]),
        ('both:', [(level, t['ttl'], number(255)), (level, t['tos'], number(0xb8))]),
        ('hops of 0:', [(level, t['ttl'], number(0))]), ('hops of 256:', [(level, t['ttl'], number(256))]),
        ('hops of one byte:', [(level, t['ttl'], b'\7')]), ('class of 256:', [(level, t['tos'], number(256))]),
    ]:
        sent = named(s.sendmsg, [b'chosen'], control, 0, to)
        if sent == 6: hear(what)
        else: print(what, sent)
    s.setsockopt(level, t['tos'], 0x10); s.sendto(b'set', to); hear('class of the socket:')
    for name, option in t['recv']: r.setsockopt(level, option, 0)
    s.sendto(b'none', to); hear('nothing asked again:')
    gone = socket.socket(af, socket.SOCK_DGRAM); gone.bind((host, 0)); dead = gone.getsockname(); gone.close()
    ports.append(dead[1])
    def blame(what, room=100, control=500): show(what, until(s.recvmsg, room, control, MSG_ERRQUEUE), ports)
    s.setsockopt(level, t['err'], 1)
    print('no error yet:', named(s.recvmsg, 10, 500, MSG_ERRQUEUE))
    def fail(data):
        s.sendto(data, dead)
        end = time.monotonic() + 10
        while not (error := s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) and time.monotonic() < end: time.sleep(0.002)
        print('SO_ERROR', error)
    fail(b'hello'); blame('an error:')
    fail(b''); blame('about nothing:')
    fail(b'hello'); blame('cut:', 3)
    fail(b'hello'); blame('no room for control:', 10, 0)
    fail(bytes(1000)); blame('much:', 2000)
    fail(b'one'); fail(b'two'); blame('first:'); blame('second:'); print('empty:', named(s.recvmsg, 10, 500, MSG_ERRQUEUE))
    s.setsockopt(level, t['err'], 0)
    print('the option off:', named(s.recvmsg, 10, 500, MSG_ERRQUEUE))
family(socket.AF_INET, V4)
family(socket.AF_INET6, V6)
