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
