# What a program sees of netlink sockets, in lines that are the same on every Linux host: Linux itself is asked, then a node.
import errno, os, select, socket, struct
if os.getuid() == 0: os.setuid(65534)
ROUTE, DIAG = 0, 4
def name(e): return errno.errorcode.get(e, e)
def tried(call):
    try: return call()
    except OSError as error: return name(error.errno)
def message(kind, flags, body, seq=7): return struct.pack('=IHHII', 16 + len(body), kind, flags, seq, 0) + body
def heads(data):
    found = []
    while len(data) >= 16:
        length, kind, flags, seq, port = struct.unpack_from('=IHHII', data)
        error = name(-struct.unpack_from('=i', data, 16)[0]) if kind == 2 else None
        found.append((kind, hex(flags & ~0x20), seq, port == me, error, length if kind == 2 else None)); data = data[(length + 3) & ~3:]
    return found
def new(kind=socket.SOCK_RAW, protocol=ROUTE): return socket.socket(socket.AF_NETLINK, kind, protocol)
s = new()
print('fresh', s.getsockname(), tried(s.getpeername), s.type, [s.getsockopt(1, o) for o in (3, 4, 38, 39)])
print('bind', s.bind((0, 0)), s.getsockname() == (os.getpid(), 0), tried(lambda: s.bind((0, 0))), tried(lambda: s.bind((1, 0))))
me = os.getpid()
t = new(socket.SOCK_DGRAM)
print('taken', tried(lambda: t.bind((me, 0))), tried(lambda: t.bind((0, 0))), t.getsockname()[0] not in (0, me), t.getsockname()[0] > 1 << 31)
d = new(protocol=DIAG); d.bind((0, 0)); print('other protocol', d.getsockname()[0] == me)
u = new(); print('chosen', tried(lambda: u.bind((0x12345678, 1))), u.getsockname())
print('kinds', tried(lambda: new(socket.SOCK_STREAM)), tried(lambda: new(socket.SOCK_SEQPACKET)))
print('calls', [tried(c) for c in (lambda: s.listen(1), s.accept, lambda: s.shutdown(2))])
print('connect', tried(lambda: s.connect((0, 0))), s.getpeername(), tried(lambda: s.connect((7, 0))))
print('to others', tried(lambda: s.sendto(b'x' * 20, (7, 0))), tried(lambda: s.sendto(b'x' * 20, (0, 1))))
info = struct.pack('=BxHiII', 0, 0, 1, 0, 0)
print('send', s.send(message(18, 1, info)))
print('poll', select.select([s], [], [], 5)[0] == [s])
peeked = s.recv(0, socket.MSG_PEEK | socket.MSG_TRUNC)
data, anc, flags, who = s.recvmsg(10, 0, socket.MSG_PEEK); print('cut', len(data), anc, flags & socket.MSG_TRUNC != 0, who)
data, who = s.recvfrom(65536); print('one', heads(data), who)
print('write', os.write(s.fileno(), message(18, 5, info)))
for n in range(2): data, anc, flags, who = s.recvmsg(65536, 100); print(heads(data), anc, flags, who)
print('empty', tried(lambda: s.recv(10, socket.MSG_DONTWAIT)), tried(lambda: s.recvfrom(10, socket.MSG_DONTWAIT)))
def asked(kind, flags, body, on=s):
    on.sendto(message(kind, flags, body), (0, 0)); return heads(on.recvfrom(65536)[0])
for text, kind, flags, body in [
    ('no such index', 18, 1, struct.pack('=BxHiII', 0, 0, 99999, 0, 0)),
    ('no such name', 18, 1, struct.pack('=BxHiII', 0, 0, 0, 0, 0) + struct.pack('=HH8s', 11, 3, b'nothere\0')),
    ('which', 18, 1, struct.pack('=BxHiII', 0, 0, 0, 0, 0)),
    ('change', 20, 5, struct.pack('=BBBBI', 2, 24, 0, 0, 1) + struct.pack('=HH4s', 8, 2, bytes([10, 9, 9, 9]))),
    ('unknown', 1000, 1, b'\0' * 16),
    ('no body', 18, 5, b''), ('not a request', 18, 4, info), ('below the first type', 1, 5, b'\0' * 16),
    ('neighbour without address', 30, 1, b'\2' + b'\0' * 11)]: print(text, asked(kind, flags, body))
print('options', [tried(lambda: s.setsockopt(270, o, 1)) for o in (3, 10, 11, 12, 99)], s.getsockopt(270, 10), s.getsockopt(270, 4))
print('capped', asked(1000, 1, b'\0' * 16), asked(18, 1, struct.pack('=BxHiII', 0, 0, 99999, 0, 0)))
s.setsockopt(270, 3, 0)
print('groups', tried(lambda: s.setsockopt(270, 1, 1)), s.getsockname()[1], tried(lambda: s.setsockopt(270, 2, 1)), s.getsockname()[1])
two = message(18, 1, info, 8) + message(18, 1, info, 9)
s.send(two); print('two', [heads(s.recv(65536))[0][2] for n in range(2)])
s.send(b'short'); print('nothing', tried(lambda: s.sendto(b'', (0, 0))), tried(lambda: s.recv(10, socket.MSG_DONTWAIT)))
for text, kind, flags, body in [
    ('no family', 20, 0x301, b'\x63\6' + b'\0' * 54), ('no protocol', 20, 0x301, b'\2\x63' + b'\0' * 54),
    ('short', 20, 0x301, b'\2\6'), ('destroy', 21, 5, b'\2\6' + b'\0' * 54), ('type', 99, 1, b'\2\6' + b'\0' * 54),
    ('no such socket', 20, 1, struct.pack('=BBBxI', 2, 6, 0, 0xfff) + b'\x33' * 40 + b'\xff' * 8)]:
    print(text, asked(kind, flags, body, d))
for kind, fixed in [(18, 16), (22, 8), (26, 12), (34, 12)]:
    s.sendto(message(kind, 0x301, b'\2' + b'\0' * (fixed - 1)), (0, 0)); seen = []
    while not seen or seen[-1][0] != 3: seen += heads(s.recv(65536))
    print('dump', seen[0][:4], seen[-1])
