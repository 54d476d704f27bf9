//! What UDP programs see on two nodes: addresses, bounds, and the errors that the network tells them.
mod support;

use support::pair::Pair;
use support::{Ran, has_program};

#[test]
fn addresses_are_those_of_the_sockets_that_sent() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let mut pair = Pair::up();
    pair.serve(&[
        "python3",
        "-c",
        "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 9))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); other.bind(('10.0.0.2', 10))
print('ready', flush=True)
while True:
    data, who = u.recvfrom(2000)
    if data == b'elsewhere': other.sendto(b'from elsewhere', who)
    u.sendto(('%s:%d ' % who).encode() + data, who)
",
    ]);
    let out = pair.python("a", ADDRESSES);
    let expected = "\
('0.0.0.0', 0)
('0.0.0.0', True)
True ('10.0.0.2', 9)
('10.0.0.1', True) ('10.0.0.2', 9)
connected True
EISCONN-free True ('10.0.0.2', 9)
only the peer is heard True
True ('10.0.0.2', 9) 0
disconnected ENOTCONN
both are heard [10, 9]
cut b'10.' True
";
    assert_eq!(out, expected);
    pair.down();
}

const ADDRESSES: &str = "
import ctypes, errno, os, socket
b = ('10.0.0.2', 9)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
print(u.getsockname())
u.sendto(b'one', b)
port = u.getsockname()[1]
print((u.getsockname()[0], port > 1023))
me = b'10.0.0.1:%d ' % port
data, who = u.recvfrom(100); print(data == me + b'one', who)
u.connect(b); print((u.getsockname()[0], u.getsockname()[1] == port), u.getpeername())
u.send(b'two'); print('connected', u.recv(100) == me + b'two')
u.sendto(b'three', b); data, who = u.recvfrom(100); print('EISCONN-free', data == me + b'three', who)
u.send(b'elsewhere'); print('only the peer is heard', u.recv(100) == me + b'elsewhere')
u.sendmsg([b'fo', b'ur'], [], 0, b); data, _, flags, who = u.recvmsg(100); print(data == me + b'four', who, flags)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.connect(u.fileno(), bytes(16), 16) == 0
def error(call, *words):
    try: call(*words)
    except OSError as e: return errno.errorcode[e.errno]
print('disconnected', error(u.getpeername))
u.sendto(b'elsewhere', b); print('both are heard', sorted((u.recvfrom(100)[1][1] for _ in range(2)), reverse=True))
u.sendto(b'long', b); data, _, flags, _ = u.recvmsg(3); print('cut', data, flags == socket.MSG_TRUNC)
";

#[test]
fn a_refused_datagram_is_told_to_the_call_that_waits_or_comes_next() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let pair = Pair::up();
    let out = pair.python(
        "a",
        "
import errno, socket, time
nobody = ('10.0.0.2', 4)
def error(call, *words):
    try: call(*words)
    except OSError as e: return errno.errorcode.get(e.errno, 'timeout')
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(nobody); u.settimeout(None)
u.send(b'1'); print('waits', error(u.recvfrom, 10))
u.send(b'2'); print('recvmsg waits', error(u.recvmsg, 10))
u.setblocking(False)
def later(call, *words):
    u.send(b'3'); told = None
    end = time.monotonic() + 20
    # Slowly: a node sends few of its ICMP errors to one that asks for many (RFC 1812 4.3.2.8).
    while told in (None, 'EAGAIN') and time.monotonic() < end: time.sleep(0.05); told = error(call, *words)
    return told
print('polls', later(u.recvfrom, 10))
print('sends', later(u.sendto, b'4', nobody))
u.close()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(nobody)
# SO_ERROR does not wait: it is asked until the answer of the other node, a few milliseconds away, is here.
u.send(b'5'); told = 0
for _ in range(1000):
    told = told or time.sleep(0.02) or u.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
print('SO_ERROR', errno.errorcode.get(told), u.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); v.settimeout(0.2)
v.sendto(b'6', nobody); print('without a peer', error(v.recvfrom, 10))
print('no route', error(v.sendto, b'7', ('203.0.113.9', 9)))
",
    );
    let expected = "waits ECONNREFUSED\nrecvmsg waits ECONNREFUSED\npolls ECONNREFUSED\nsends ECONNREFUSED\n\
        SO_ERROR ECONNREFUSED 0\nwithout a peer timeout\nno route ENETUNREACH\n";
    assert_eq!(out, expected);
    pair.down();
}

#[test]
fn a_broadcast_needs_the_option_and_reaches_the_other_node() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let mut pair = Pair::up();
    pair.serve(&[
        "python3",
        "-c",
        "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 67))
print('ready', flush=True)
data, who = u.recvfrom(100); u.sendto(data.upper(), who)
",
    ]);
    let out = pair.python(
        "a",
        "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20)
print(u.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))
try: u.sendto(b'anyone', ('10.0.0.255', 67))
except PermissionError: print('not without SO_BROADCAST')
u.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
print(u.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))
u.sendto(b'anyone', ('10.0.0.255', 67)); print(u.recvfrom(100))
",
    );
    let expected = "0\nnot without SO_BROADCAST\n1\n(b'ANYONE', ('10.0.0.2', 67))\n";
    assert_eq!(out, expected);
    pair.down();
}

#[test]
fn many_datagrams_in_one_call_keep_their_addresses() {
    if !has_program("gcc") || !has_program("setpriv") {
        return;
    }
    let mut pair = Pair::up();
    pair.sandbox.write("many.c", MANY);
    let built = pair
        .sandbox
        .program("gcc", &["-O1", "-o", "many", "many.c"])
        .output();
    Ran::from(built.expect("gcc starts")).expect_code(0);
    pair.serve(&["./many"]);
    let out = pair.exec("a", &["./many", "10.0.0.2"]);
    // As many answers as questions, each from the port that was asked; recvmmsg may give them in parts.
    assert_eq!(out, "sent 3: 2 2 2\nfrom 10.0.0.2: 7001 7001 7002\n");
    pair.down();
}

/// A server on the ports 7001 and 7002 that answers with `recvmmsg` and `sendmmsg`; with an address, its client.
const MANY: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
enum { N = 4 };
static struct sockaddr_in names[N];
static struct iovec parts[N];
static struct mmsghdr many[N];
static char text[N][16];
static void prepare(void) {
    for (int i = 0; i < N; i++) {
        parts[i] = (struct iovec){text[i], sizeof text[i]};
        many[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &parts[i], .msg_iovlen = 1};
    }
}
static void answer(int u) {
    prepare();
    int n = recvmmsg(u, many, N, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) parts[i].iov_len = many[i].msg_len;
    if (n > 0 && sendmmsg(u, many, n, 0) != n) exit(3);
}
static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(int argc, char **argv) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (argc < 2) {
        struct pollfd two[2];
        for (int i = 0; i < 2; i++) {
            two[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_DGRAM, 0), .events = POLLIN};
            to.sin_port = htons(7001 + i);
            if (bind(two[i].fd, (void *)&to, sizeof to)) return 1;
        }
        puts("ready"); fflush(stdout);
        for (;;) { poll(two, 2, -1); for (int i = 0; i < 2; i++) if (two[i].revents) answer(two[i].fd); }
    }
    int u = socket(AF_INET, SOCK_DGRAM, 0), ports[3], got = 0;
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    prepare();
    for (int i = 0; i < 3; i++) {
        names[i] = to; names[i].sin_port = htons(7001 + (i == 1));
        memcpy(text[i], "hi", 2); parts[i].iov_len = 2;
    }
    int sent = sendmmsg(u, many, 3, 0);
    printf("sent %d: %u %u %u\n", sent, many[0].msg_len, many[1].msg_len, many[2].msg_len);
    while (got < 3) {
        prepare();
        int n = recvmmsg(u, many, 3 - got, MSG_WAITFORONE, NULL);
        if (n < 1) return 2;
        for (int i = 0; i < n; i++) {
            if (many[i].msg_len != 2 || names[i].sin_addr.s_addr != to.sin_addr.s_addr) return 4;
            ports[got++] = ntohs(names[i].sin_port);
        }
    }
    qsort(ports, 3, sizeof *ports, by_number);
    printf("from %s: %d %d %d\n", argv[1], ports[0], ports[1], ports[2]);
}
"#;

#[test]
fn control_messages_say_how_a_datagram_came_and_choose_how_one_goes() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let mut pair = Pair::up();
    // Each answer says how the question came, and goes as the question asks for.
    pair.serve(&["python3", "-c", CONTROL_SERVER]);
    let out = pair.python("a", CONTROL_CLIENT);
    let expected = "\
asked nothing: []
to 10.0.0.2 by eth0, spec 10.0.0.2; ttl 64, tos 0
to 10.0.0.2 by eth0, spec 10.0.0.2; ttl 9, tos 16
to 10.0.0.255 by eth0, spec 10.0.0.2; ttl 64, tos 0
of one: ttl 33, tos 8
of many: [7, 8] [b'first', b'second']
a source that is not ours: EINVAL
an interface that is not here: ENODEV
a TTL of 0: EINVAL
cut: True 16
";
    assert_eq!(out, expected);
    pair.down();
}

const CONTROL_SERVER: &str = "
import socket, struct
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 9))
print('ready', flush=True)
data, control, _, who = u.recvmsg(100, 1000)
u.sendto(('asked nothing: %r' % control).encode(), who)
IP_RECVTTL, IP_RECVTOS, IP_PKTINFO = 12, 13, 8
for option in IP_RECVTTL, IP_RECVTOS, IP_PKTINFO:
    u.setsockopt(socket.IPPROTO_IP, option, 1)
    assert u.getsockopt(socket.IPPROTO_IP, option) == 1
while True:
    data, control, flags, who = u.recvmsg(100, 1000)
    told = {kind: value for level, kind, value in control if level == 0}
    index, spec, to = struct.unpack('=I4s4s', told[IP_PKTINFO])
    ttl, tos = struct.unpack('i', told[socket.IP_TTL])[0], told[socket.IP_TOS][0]
    answer = 'to %s by %s, spec %s; ttl %d, tos %d' % (
        socket.inet_ntoa(to), 'eth%d' % (index - 2),
        socket.inet_ntoa(spec), ttl, tos)
    chosen = [(0, IP_PKTINFO, struct.pack('=I4s4s', index, spec, bytes(4)))]
    if data == b'low': chosen += [(0, socket.IP_TTL, struct.pack('i', 33)), (0, socket.IP_TOS, struct.pack('i', 8))]
    u.sendmsg([answer.encode()], chosen, 0, who)
";

const CONTROL_CLIENT: &str = "
import ctypes, errno, socket, struct, time
IP_PKTINFO, IP_RECVTTL, IP_RECVTOS = 8, 12, 13
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20); u.bind(('0.0.0.0', 0))
b = ('10.0.0.2', 9)
def ask(data, control, to=b):
    u.sendmsg([data], control, 0, to); return u.recv(200).decode()
print(ask(b'first', []))
while True:
    answer = ask(b'x', [])
    if answer.startswith('to'): break
print(answer)
print(ask(b'x', [(0, socket.IP_TTL, struct.pack('i', 9)), (0, socket.IP_TOS, b'\x10')]))
u.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
print(ask(b'x', [], ('10.0.0.255', 9)))
u.setsockopt(0, IP_RECVTTL, 1); u.setsockopt(0, IP_RECVTOS, 1)
u.sendto(b'low', b)
_, control, flags, _ = u.recvmsg(200, 1000)
told = {kind: value for level, kind, value in control}
print('of one: ttl %d, tos %d' % (struct.unpack('i', told[2])[0], told[1][0]))
class iovec(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
class msghdr(ctypes.Structure):
    _fields_ = [('name', ctypes.c_void_p), ('namelen', ctypes.c_uint), ('iov', ctypes.POINTER(iovec)),
                ('iovlen', ctypes.c_size_t), ('control', ctypes.c_void_p), ('controllen', ctypes.c_size_t), ('flags', ctypes.c_int)]
class mmsghdr(ctypes.Structure): _fields_ = [('hdr', msghdr), ('len', ctypes.c_uint)]
libc = ctypes.CDLL(None, use_errno=True)
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); there.settimeout(20); there.bind(('10.0.0.1', 0))
there.setsockopt(0, IP_RECVTTL, 1)
u.connect(there.getsockname())
many, keep = (mmsghdr * 2)(), []
for n, (text, ttl) in enumerate(((b'first', 7), (b'second', 8))):
    data = ctypes.create_string_buffer(text, len(text))
    control = ctypes.create_string_buffer(struct.pack('=QiiiI', 20, 0, 2, ttl, 0), 24)
    v = iovec(ctypes.cast(data, ctypes.c_void_p), len(text)); keep += [data, control, v]
    many[n].hdr.iov, many[n].hdr.iovlen = ctypes.pointer(v), 1
    many[n].hdr.control, many[n].hdr.controllen = ctypes.cast(control, ctypes.c_void_p), 24
assert libc.sendmmsg(u.fileno(), many, 2, 0) == 2
heard = [there.recvmsg(100, 1000) for _ in range(2)]
print('of many:', [struct.unpack('i', c[0][2])[0] for _, c, _, _ in heard], [d for d, _, _, _ in heard])
def error(control):
    try: u.sendmsg([b'x'], control, 0, b)
    except OSError as e: return errno.errorcode[e.errno]
print('a source that is not ours:', error([(0, IP_PKTINFO, struct.pack('=I4s4s', 0, bytes([10, 0, 0, 77]), bytes(4)))]))
print('an interface that is not here:', error([(0, IP_PKTINFO, struct.pack('=I4s4s', 99, bytes(4), bytes(4)))]))
print('a TTL of 0:', error([(0, 2, struct.pack('i', 0))]))
u.sendto(b'cut', there.getsockname())
_, control, flags, _ = there.recvmsg(100, 16)
print('cut:', bool(flags & socket.MSG_CTRUNC), 16)
";

/// As Linux since 5.7; the user is an ordinary one.
#[test]
fn an_ordinary_user_binds_a_socket_to_an_interface_once() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let pair = Pair::up();
    let script = "
import errno, socket
for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
    s = socket.socket(socket.AF_INET, kind)
    for name in b'nosuch', b'', b'eth0', b'eth0', b'lo', b'':
        try: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name); print('bound', end=' ')
        except OSError as e: print(errno.errorcode[e.errno], end=' ')
    print(s.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16))
";
    let line = "ENODEV bound bound EPERM EPERM EPERM b'eth0\\x00'\n";
    assert_eq!(pair.python("a", script), line.repeat(2));
    pair.down();
}

#[test]
fn errors_about_datagrams_wait_in_a_queue_of_their_own() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let pair = Pair::up();
    let out = pair.python("a", ERROR_QUEUE);
    let expected = "\
nothing yet: EAGAIN
told by the next call: ECONNREFUSED
b'a' errno 111 origin 2 type 3 code 3 info 0 by 10.0.0.2 about ('10.0.0.2', 4) flags ERRQUEUE
b'b' errno 111 origin 2 type 3 code 3 info 0 by 10.0.0.2 about ('10.0.0.2', 5) flags ERRQUEUE
empty again: EAGAIN
no pending error: 0
a socket that did not ask: EAGAIN
a stream: EAGAIN
";
    assert_eq!(out, expected);
    pair.down();
}

const ERROR_QUEUE: &str = "
import errno, select, socket, struct, time
IP_RECVERR, MSG_ERRQUEUE = 11, 0x2000
def error(call, *words):
    try: return call(*words)
    except OSError as e: return errno.errorcode[e.errno]
def until(call, *words):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        told = error(call, *words)
        if told != 'EAGAIN': return told
        time.sleep(0.002)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
assert u.getsockopt(socket.IPPROTO_IP, IP_RECVERR) == 1
print('nothing yet:', error(u.recvmsg, 10, 1000, MSG_ERRQUEUE))
u.sendto(b'a', ('10.0.0.2', 4)); u.setblocking(False)
print('told by the next call:', until(u.recvfrom, 10))
while error(u.sendto, b'b', ('10.0.0.2', 5)) != 1: pass
time.sleep(0.3)
def show():
    data, control, flags, about = until(u.recvmsg, 10, 1000, MSG_ERRQUEUE)
    (level, kind, told), = control
    assert (level, kind) == (0, IP_RECVERR) and len(told) == 32
    number, origin, type_, code, _, info, _ = struct.unpack('=IBBBBII', told[:16])
    offender = socket.inet_ntoa(told[20:24])
    print('%r errno %d origin %d type %d code %d info %d by %s about %r flags %s' % (
        data, number, origin, type_, code, info, offender, about, 'ERRQUEUE' if flags & MSG_ERRQUEUE else flags))
show(); show()
print('empty again:', error(u.recvmsg, 10, 1000, MSG_ERRQUEUE))
print('no pending error:', u.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.sendto(b'a', ('10.0.0.2', 4)); time.sleep(0.1)
print('a socket that did not ask:', error(other.recvmsg, 10, 1000, MSG_ERRQUEUE))
s = socket.socket(); print('a stream:', error(s.recvmsg, 10, 1000, MSG_ERRQUEUE))
";
