//! ICMP between two nodes: the real `ping`, and plain Python with sockets of ICMP, as an ordinary user.
mod support;

use support::has_program;
use support::pair::Pair;

const LAB: &str = "name = \"icmp\"\n[nodes.r]\nkind = \"router\"\n\
    [nodes.a]\naddress = [\"10.0.0.10/24\", \"fd00::10/64\"]\ngateway = [\"10.0.0.1\", \"fd00::1\"]\n\
    [nodes.b]\naddress = [\"10.0.1.10/24\", \"fd00:1::10/64\"]\ngateway = [\"10.0.1.1\", \"fd00:1::1\"]\n\
    [[links]]\nendpoints = [\"a:eth0\", \"r:eth0\"]\ndelay = \"500us\"\n\
    [[links]]\nendpoints = [\"r:eth1\", \"b:eth0\"]\ndelay = \"500us\"\n";

/// Nobody's times are the same twice: what is told is shown without them.
fn without_times(said: &str) -> Vec<String> {
    let lines = said.lines().map(|line| {
        let end = line.find(" time=").or_else(|| line.find(", time "));
        line[..end.unwrap_or(line.len())].to_owned()
    });
    lines.filter(|line| !line.starts_with("rtt")).collect()
}

#[test]
fn the_real_ping_hears_replies_with_their_ttl_and_who_could_not_deliver() {
    if !has_program("ping") || !has_program("setpriv") {
        return;
    }
    let pair = Pair::up_with(LAB);
    for (to, from, bytes) in [
        ("10.0.1.10", "10.0.1.10", "56(84) bytes of data."),
        ("fd00:1::10", "fd00:1::10", "56 data bytes"),
    ] {
        let said = pair.exec("a", &["ping", "-n", "-c", "3", "-i", "0.01", to]);
        let between = if to.contains(':') { "" } else { " " };
        let expected = [
            format!("PING {to}{between}({to}) {bytes}"),
            format!("64 bytes from {from}: icmp_seq=1 ttl=63"),
            format!("64 bytes from {from}: icmp_seq=2 ttl=63"),
            format!("64 bytes from {from}: icmp_seq=3 ttl=63"),
            String::new(),
            format!("--- {to} ping statistics ---"),
            "3 packets transmitted, 3 received, 0% packet loss".to_owned(),
        ];
        assert_eq!(without_times(&said), expected);
    }
    // Nobody is there on our own cable, nobody on the other one, and one hop is too few.
    for (words, expected) in [
        (
            ["-W", "9", "10.0.0.77"],
            "From 10.0.0.10 icmp_seq=1 Destination Host Unreachable",
        ),
        (
            ["-W", "9", "10.0.1.77"],
            "From 10.0.0.1 icmp_seq=1 Destination Host Unreachable",
        ),
        (
            ["-t", "1", "10.0.1.10"],
            "From 10.0.0.1 icmp_seq=1 Time to live exceeded",
        ),
        (
            ["-W", "9", "fd00::77"],
            "From fd00::10 icmp_seq=1 Destination unreachable: Address unreachable",
        ),
        (
            ["-t", "1", "fd00:1::10"],
            "From fd00::1 icmp_seq=1 Time exceeded: Hop limit",
        ),
    ] {
        let all = [&["exec", "a", "--", "ping", "-n", "-c", "1"][..], &words].concat();
        let ran = pair.heptad(&all).expect_code(1);
        assert!(ran.stdout.lines().any(|line| line == expected), "{ran:#?}");
    }
    pair.down();
}

const ASKS: &str = "
import socket, struct
def ask(family, protocol, kind, to):
    s = socket.socket(family, socket.SOCK_DGRAM, protocol); s.settimeout(9)
    print(s.type.name, s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == protocol)
    s.sendto(struct.pack('!BBHHH', kind, 0, 0, 0, 7) + b'hello', (to, 0))
    data, who = s.recvfrom(100)
    number = s.getsockname()[1]
    print(data[0], struct.unpack('!HH', data[4:8]) == (number, 7), data[8:], who[:2])
    s.connect((to, 0)); s.send(struct.pack('!BBHHH', kind, 0, 0, 0, 8)); print(s.recv(100)[6:])
    try: s.sendto(b'\\0' * 8, (to, 0))
    except OSError as e: print(e.errno)
ask(socket.AF_INET, socket.IPPROTO_ICMP, 8, '10.0.1.10')
ask(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 'fd00:1::10')
for family, protocol in (socket.AF_INET, socket.IPPROTO_ICMPV6), (socket.AF_INET6, socket.IPPROTO_ICMP):
    try: socket.socket(family, socket.SOCK_DGRAM, protocol)
    except OSError as e: print(e.errno)
";

#[test]
fn a_python_program_sends_echo_requests_and_reads_whole_messages() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let pair = Pair::up_with(LAB);
    let expected = "SOCK_DGRAM True\n0 True b'hello' ('10.0.1.10', 0)\nb'\\x00\\x08'\n22\n\
        SOCK_DGRAM True\n129 True b'hello' ('fd00:1::10', 0)\nb'\\x00\\x08'\n22\n93\n93\n";
    assert_eq!(pair.python("a", ASKS), expected);
    pair.down();
}

/// What the real traceroute says of the way, without its times.
fn hops(said: &str) -> Vec<String> {
    let word = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    said.lines().skip(1).map(word).collect()
}

#[test]
fn the_real_traceroute_sees_the_router_by_datagrams_by_echo_requests_and_by_segments() {
    if !has_program("traceroute") || !has_program("setpriv") {
        return;
    }
    let pair = Pair::up_with(LAB);
    for (router, to) in [("10.0.0.1", "10.0.1.10"), ("fd00::1", "fd00:1::10")] {
        for method in [&[][..], &["-I"], &["-T"]] {
            let words = [
                &["traceroute", "-n", "-q", "1", "-N", "1", "-w", "9"],
                method,
                &[to],
            ]
            .concat();
            let said = pair.exec("a", &words);
            assert_eq!(hops(&said), [router, to], "{method:?} {said}");
        }
    }
    pair.down();
}

const RAW: &str = "
import select, socket, struct
IP, IPV6 = socket.AF_INET, socket.AF_INET6
def raw(family, protocol):
    s = socket.socket(family, socket.SOCK_RAW, protocol); s.settimeout(9); return s
def sum16(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
s = raw(IP, 1)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_RAW, s.getsockname())
# ICMP_FILTER: all but echo replies.
s.setsockopt(255, 1, struct.pack('I', ~1 & 0xffffffff))
print(struct.unpack('I', s.getsockopt(255, 1, 4))[0] == ~1 & 0xffffffff)
request = bytearray(struct.pack('!BBHHH', 8, 0, 0, 7, 1) + b'hello!')
request[2:4] = struct.pack('!H', sum16(bytes(request)))
s.sendto(request, ('10.0.1.10', 0))
data, who = s.recvfrom(100)
print(data[0], data[8], data[9], data[20], data[28:], who)
# The header of IP is the program's own, too, all but its length, checksum and number.
s.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
header = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 0, 0, 0, 9, 1, 0, bytes(4), socket.inet_aton('10.0.1.10'))
s.sendto(header + request, ('10.0.1.10', 0))
print(s.recvfrom(100)[0][28:])
# A protocol that nobody speaks: the other end says so.
s = raw(IP, 253); s.setsockopt(socket.IPPROTO_IP, 11, 1); s.connect(('10.0.1.10', 0)); s.send(b'anybody?')
p = select.poll(); p.register(s, select.POLLIN)
print([mask for _, mask in p.poll(9000)])
data, control, flags, who = s.recvmsg(100, 512, socket.MSG_ERRQUEUE)
print(data, [(c[:2], struct.unpack('IBBBB', c[2][:8])[:4]) for c in control], flags == socket.MSG_ERRQUEUE, who)
print([mask for _, mask in p.poll(0)])
s = raw(IPV6, 58)
s.sendto(struct.pack('!BBHHH', 128, 0, 0, 7, 1) + b'hello', ('fd00:1::10', 0))
# It hears of neighbours, too.
while (data := s.recvfrom(100)[0])[0] != 129: pass
print(data[8:])
for kind, protocol in (socket.SOCK_RAW, 0), (socket.SOCK_DGRAM, 253):
    try: socket.socket(IP, kind, protocol)
    except OSError as e: print(e.errno)
";

#[test]
fn a_python_program_has_raw_sockets_that_hear_packets_and_errors() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let pair = Pair::up_with(LAB);
    let expected = "True ('0.0.0.0', 1)\nTrue\n69 63 1 0 b'hello!' ('10.0.1.10', 0)\nb'hello!'\n[8]\n\
        b'anybody?' [((0, 11), (92, 2, 3, 2))] True ('10.0.1.10', 0)\n[]\nb'hello'\n93\n93\n";
    assert_eq!(pair.python("a", RAW), expected);
    pair.down();
}
