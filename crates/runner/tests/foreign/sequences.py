"""Random sequences of socket calls, told line by line: sequences.py FIRST COUNT.

Each sequence is drawn from its own number, whatever the answers are. Ports that the system draws have names of their own, so that what two
systems say can be compared line by line. After each call there is time for what it sets off.
"""
import ctypes, errno, fcntl, random, select, socket, struct, sys, time

V4, V6 = socket.AF_INET, socket.AF_INET6
STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
CALLS = 16
PAUSE = 0.004
OPTIONS = [(a, b) for a, names in {
    "SOL_SOCKET": "SO_REUSEADDR SO_TYPE SO_ERROR SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_LINGER SO_REUSEPORT SO_ACCEPTCONN SO_PROTOCOL SO_DOMAIN SO_OOBINLINE SO_RCVLOWAT SO_PRIORITY SO_MARK",
    "IPPROTO_TCP": "TCP_NODELAY TCP_MAXSEG TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_USER_TIMEOUT TCP_CORK TCP_QUICKACK TCP_DEFER_ACCEPT TCP_SYNCNT TCP_LINGER2 TCP_WINDOW_CLAMP TCP_FASTOPEN",
    "IPPROTO_IP": "IP_TTL IP_TOS IP_MULTICAST_TTL IP_MULTICAST_LOOP IP_RECVTOS IP_PKTINFO IP_RECVTTL IP_MTU_DISCOVER IP_FREEBIND IP_RECVERR",
    "IPPROTO_IPV6": "IPV6_V6ONLY IPV6_UNICAST_HOPS IPV6_TCLASS IPV6_MULTICAST_HOPS IPV6_RECVPKTINFO IPV6_MTU_DISCOVER IPV6_RECVERR",
}.items() for b in names.split()]
NUMBERS = {"IP_RECVTOS": 13, "IP_PKTINFO": 8, "IP_RECVTTL": 12, "IP_MTU_DISCOVER": 10, "IP_FREEBIND": 15, "IP_RECVERR": 11,
           "IPV6_MTU_DISCOVER": 23, "IPV6_RECVERR": 25, "TCP_FASTOPEN": 23}
FLAGS = [0, 0, 0, 0, socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_OOB, socket.MSG_TRUNC, socket.MSG_WAITALL]


class World:
    def __init__(self, number):
        self.dice = random.Random(number)
        self.base = 10_000 + number * 8 % 22_000
        self.kind = self.dice.choice([STREAM, STREAM, STREAM, DGRAM])
        self.families = self.dice.choice([[V4], [V4], [V6], [V4, V6]])
        self.sockets = {}
        self.drawn = {}
        self.next = 0

    def make(self):
        family = self.dice.choice(self.families)
        s = socket.socket(family, self.kind)
        s.setblocking(False)
        self.add(s)
        return f"family {4 if family == V4 else 6}"

    def add(self, s):
        self.sockets[self.next] = s
        self.next += 1

    def pick(self):
        key = self.dice.choice(sorted(self.sockets))
        return key, self.sockets[key]

    def port(self):
        return self.base + self.dice.randrange(3)

    def address(self, family, binds=False):
        port = self.port()
        if binds:
            port = self.dice.choice([0, port, port])
        four = ["127.0.0.1", "127.0.0.1", "127.0.0.1", "0.0.0.0", "127.0.0.2"]
        six = ["::1", "::1", "::1", "::", "::ffff:127.0.0.1", "::ffff:127.0.0.1"]
        if binds:
            four += ["192.0.2.7"]
            six += ["2001:db8::7"]
        if self.dice.random() < .08:
            family = V6 if family == V4 else V4
        return (self.dice.choice(four), port) if family == V4 else (self.dice.choice(six), port, 0, 0)

    def show(self, address):
        if not isinstance(address, tuple) or len(address) < 2 or isinstance(address[1], bytes):
            return repr(address)
        port = address[1]
        if port and not self.base <= port < self.base + 8:
            port = self.drawn.setdefault(port, f"drawn{len(self.drawn)}")
        return f"{address[0]} {port}"


LIBC = ctypes.CDLL(None, use_errno=True)


def packed(address):
    """A `struct sockaddr_in` or `sockaddr_in6`: the socket may be of another family."""
    if len(address) == 2:
        return struct.pack("=H", V4) + struct.pack(">H", address[1]) + socket.inet_aton(address[0]) + bytes(8)
    return struct.pack("=H", V6) + struct.pack(">HI", address[1], 0) + socket.inet_pton(V6, address[0]) + bytes(4)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def call_connect(s, name): checked(LIBC.connect(s.fileno(), name, len(name)))
def call_bind(s, name): checked(LIBC.bind(s.fileno(), name, len(name)))
def call_sendto(s, data, name): return checked(LIBC.sendto(s.fileno(), data, len(data), 0, name, len(name)))


def c_connect(w, s): a = w.address(s.family); return w.show(a), lambda: call_connect(s, packed(a))
def c_bind(w, s): a = w.address(s.family, True); return w.show(a), lambda: call_bind(s, packed(a))
def c_listen(w, s): n = w.dice.choice([0, 1, 5, -1]); return str(n), lambda: s.listen(n)
def c_accept(w, s):
    def act():
        fd, address = s._accept()
        c = socket.socket(s.family, s.type, s.proto, fileno=fd)
        c.setblocking(False)
        w.add(c)
        return "from " + w.show(address)
    return "", act
def c_unspec(w, s): return "", lambda: call_connect(s, bytes(16))
def c_send(w, s):
    n, f = w.dice.choice([0, 1, 5, 100, 3000, 70000]), w.dice.choice(FLAGS)
    return f"{n} flags {f}", lambda: s.send(b"x" * n, f)
def c_recv(w, s):
    n, f = w.dice.choice([0, 1, 3, 200, 10000]), w.dice.choice(FLAGS)
    return f"{n} flags {f}", lambda: len(s.recv(n, f))
def c_sendto(w, s):
    n, a = w.dice.choice([0, 1, 5, 2000]), w.address(s.family)
    return f"{n} {w.show(a)}", lambda: call_sendto(s, b"y" * n, packed(a))
def c_recvfrom(w, s):
    n, f = w.dice.choice([0, 1, 3, 5000]), w.dice.choice(FLAGS)
    def act():
        data, a = s.recvfrom(n, f)
        return f"{len(data)} from {w.show(a)}"
    return f"{n} flags {f}", act
def c_recvmsg(w, s):
    n, f = w.dice.choice([1, 3, 5000]), w.dice.choice(FLAGS)
    def act():
        data, control, flags, a = s.recvmsg(n, 200, f)
        return f"{len(data)} {[(l, t, len(d)) for l, t, d in control]} flags {flags:#x} from {w.show(a)}"
    return f"{n} flags {f}", act
def c_sendmsg(w, s):
    a = w.dice.choice([None, w.address(s.family)])
    a = a if a and len(a) == (2 if s.family == V4 else 4) else None
    return w.show(a), lambda: s.sendmsg([b"ab", b"c"], [], 0, *([a] if a else []))
def c_shutdown(w, s): h = w.dice.choice([0, 1, 1, 2]); return str(h), lambda: s.shutdown(h)
def c_sockname(w, s): return "", lambda: w.show(s.getsockname())
def c_peername(w, s): return "", lambda: w.show(s.getpeername())
def c_get(w, s):
    l, o = w.dice.choice(OPTIONS)
    n = getattr(socket, o, None) or NUMBERS[o]
    return o, lambda: s.getsockopt(getattr(socket, l), n, 8 if o == "SO_LINGER" else 4)
def c_error(w, s): return "", lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
def c_set(w, s):
    l, o = w.dice.choice(OPTIONS)
    n = getattr(socket, o, None) or NUMBERS[o]
    v = w.dice.choice([0, 1, 1, 2, 50, 1000, -1])
    v = struct.pack("ii", v & 1, 0) if o == "SO_LINGER" else v
    return f"{o} {v}", lambda: s.setsockopt(getattr(socket, l), n, v)
def c_ioctl(w, s):
    name, n = w.dice.choice([("FIONREAD", 0x541B), ("SIOCOUTQ", 0x5411), ("SIOCATMARK", 0x8905)])
    return name, lambda: struct.unpack("i", fcntl.ioctl(s, n, b"\0" * 4))[0]
def c_poll(w, s):
    def act():
        p = select.poll()
        p.register(s, 0x1 | 0x2 | 0x4 | 0x2000)
        return hex(dict(p.poll(0)).get(s.fileno(), 0))
    return "", act


CHOICES = [(c_connect, 10), (c_bind, 7), (c_listen, 6), (c_accept, 8), (c_unspec, 2), (c_send, 8), (c_recv, 9), (c_sendto, 3), (c_recvfrom, 3),
           (c_recvmsg, 3), (c_sendmsg, 2), (c_shutdown, 4), (c_sockname, 4), (c_peername, 3), (c_get, 6), (c_error, 3), (c_set, 6), (c_ioctl, 3), (c_poll, 9)]


def step(w):
    roll = w.dice.random()
    if not w.sockets or roll < .10 and len(w.sockets) < 5:
        return f"{w.next} socket", w.make
    key, s = w.pick()
    if roll < .13:
        def close():
            w.sockets.pop(key).close()
        return f"{key} close", close
    call = w.dice.choices([c for c, _ in CHOICES], [n for _, n in CHOICES])[0]
    told, act = call(w, s)
    return f"{key} {call.__name__[2:]} {told}", act


# Most sequences begin with what programs do, or chance alone would never connect two of them.
def opening(w):
    if w.dice.random() < .25:
        return
    a, b = socket.socket(w.families[-1], w.kind), socket.socket(w.families[0], w.kind)
    w.add(a), w.add(b)
    for s in (a, b):
        s.setblocking(False)
    a.bind(("::" if a.family == V6 else "127.0.0.1", w.base))
    if w.kind == STREAM:
        a.listen(5)
    b_to = "127.0.0.1" if b.family == V4 else "::1"
    if w.dice.random() < .7:
        try:
            b.connect((b_to, w.base))
        except BlockingIOError:
            pass
        time.sleep(PAUSE)
        if w.kind == STREAM and w.dice.random() < .8:
            c, _ = a.accept()
            c.setblocking(False)
            w.add(c)
        elif w.kind == DGRAM and a.family == b.family and w.dice.random() < .5:
            a.connect(b.getsockname())


def main():
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for number in range(first, first + count):
        w = World(number)
        opening(w)
        for at in range(CALLS):
            what, act = step(w)
            try:
                result = act()
                result = "ok" if result is None else result
            except OSError as e:
                result = errno.errorcode.get(e.errno, str(e))
            print(f"{number}.{at} {what}: {result}")
            time.sleep(PAUSE)
        for s in w.sockets.values():
            s.close()
        sys.stdout.flush()
        time.sleep(PAUSE)


main()
