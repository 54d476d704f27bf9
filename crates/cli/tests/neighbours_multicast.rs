//! Groups with Linux as a neighbour: datagrams both ways, what it sees of our reports, and its bridge that asks and snoops.
mod support;

use std::io::{BufRead, BufReader};
use std::process::Child;

use support::linux::Linux;
use support::{has_program, wait_for};

const HEPTAD: &str = env!("CARGO_BIN_EXE_heptad");

const LAB: &str = "name = \"neighbours\"\n[nodes.bob]\naddress = [\"10.9.0.20/24\", \"fd09::20/64\"]\n\
    [[links]]\nendpoints = [\"tap:heptad0\", \"bob:eth0\"]\n";

/// Joins both groups by the interface of a name, then tells what comes to each.
const RECEIVER: &str = "
import socket, struct, sys
index = socket.if_nametoindex(sys.argv[1]) if sys.argv[1] != 'eth0' else 2
v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); v4.bind(('', 5000))
v4.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + bytes(4) + struct.pack('i', index))
v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); v6.bind(('::', 5001))
v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, 'ff15::1234') + struct.pack('i', index))
print('ready', flush=True)
for s in v4, v6:
    s.settimeout(30)
    data, who = s.recvfrom(2000)
    print(data.decode(), who[0], flush=True)
sys.stdin.read()
";
/// Sends to both groups by the interface of a number.
const SENDER: &str = "
import socket, sys
index = int(sys.argv[1])
v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v4.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + index.to_bytes(4, 'little'))
v4.sendto(b'four', ('239.1.2.3', 5000))
v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
v6.sendto(b'six', ('ff15::1234', 5001))
";

/// Linux with addresses of both families on the cable, and bob of ours whose own are surely his.
fn neighbours() -> Option<Linux> {
    let linux = Linux::new()?;
    if !has_program("tcpdump") {
        return None;
    }
    let setting = "net.ipv6.conf.default.disable_ipv6=0";
    linux.run(&["sysctl", "-qw", setting]).expect_code(0);
    linux.up(LAB, "heptad0", &["--no-capture"]);
    linux.ip("addr add fd09::1/64 dev heptad0 nodad");
    wait_for("bob's addresses to be surely his", || {
        let shown = linux.heptad(&["ip", "addr", "show", "--node", "bob"]);
        !shown.expect_code(0).stdout.contains("optimistic")
    });
    Some(linux)
}

/// A program that said that it is ready.
struct Talk {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}
impl Talk {
    #[track_caller]
    fn start(linux: &Linux, words: &[&str]) -> Self {
        let mut child = linux.spawn(words);
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut talk = Self { child, lines };
        assert_eq!(talk.line(), "ready");
        talk
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }
    /// Its standard input ends, and so does it.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

fn index_of(linux: &Linux, interface: &str) -> String {
    let path = format!("/sys/class/net/{interface}/ifindex");
    let shown = linux.run(&["cat", &path]).expect_code(0).stdout;
    shown.trim().to_owned()
}

/// What the kernel's side sees of IGMP and MLD from now on.
struct Tcpdump(Child);
impl Tcpdump {
    fn start(linux: &Linux, interface: &str) -> Self {
        let file = linux.sandbox.path("groups.pcap");
        let file = file.to_str().expect("a path");
        let filter = "igmp or (ip6 and ip6[6] == 0)";
        let words = ["tcpdump", "-U", "-i", interface, "-w", file, filter];
        let child = linux.spawn(&words);
        wait_for("tcpdump to listen", || {
            linux.sandbox.path("groups.pcap").exists()
        });
        Self(child)
    }
    fn text(linux: &Linux) -> String {
        let file = linux.sandbox.path("groups.pcap");
        let file = file.to_str().expect("a path");
        linux.run(&["tcpdump", "-n", "-vv", "-r", file]).stdout
    }
}
impl Drop for Tcpdump {
    fn drop(&mut self) {
        support::terminate(&self.0);
        let _ = self.0.wait();
    }
}

#[test]
fn datagrams_to_groups_go_both_ways_and_linux_reads_our_reports() {
    let Some(linux) = neighbours() else { return };
    let tcpdump = Tcpdump::start(&linux, "heptad0");
    let index = index_of(&linux, "heptad0");
    // Linux speaks, a program on bob has joined.
    let python = [
        HEPTAD, "exec", "bob", "--", "python3", "-c", RECEIVER, "eth0",
    ];
    let mut bob = Talk::start(&linux, &python);
    let table = linux.heptad(&["netstat", "-g", "--node", "bob"]);
    let table = table.expect_code(0).stdout;
    for row in [
        "eth0            1      239.1.2.3",
        "eth0            1      ff15::1234",
    ] {
        assert!(table.contains(row), "{table}");
    }
    linux.run(&["python3", "-c", SENDER, &index]).expect_code(0);
    assert_eq!(bob.line(), "four 10.9.0.1");
    assert!(bob.line().starts_with("six f"));
    bob.end();
    // And the other way round.
    let mut receiver = Talk::start(&linux, &["python3", "-c", RECEIVER, "heptad0"]);
    let joined = linux.run(&["cat", "/proc/net/igmp"]).expect_code(0).stdout;
    assert!(joined.contains("030201EF"), "{joined}");
    let send = ["exec", "bob", "--", "python3", "-c", SENDER, "2"];
    linux.heptad(&send).expect_code(0);
    assert_eq!(receiver.line(), "four 10.9.0.20");
    assert_eq!(receiver.line(), "six fd09::20");
    receiver.end();
    // Told when he came (again only if he stays for a second), and twice when he left.
    let ours = |text: &str, what: &str| text.matches(what).count();
    for (report, times) in [
        (
            "10.9.0.20 > 224.0.0.22: igmp v3 report, 1 group record(s) [gaddr 239.1.2.3 to_ex { }]",
            1,
        ),
        (
            "10.9.0.20 > 224.0.0.22: igmp v3 report, 1 group record(s) [gaddr 239.1.2.3 to_in { }]",
            2,
        ),
        ("[gaddr ff15::1234 to_ex { }]", 1),
    ] {
        wait_for(report, || ours(&Tcpdump::text(&linux), report) >= times);
    }
    let text = Tcpdump::text(&linux);
    assert!(
        !text.contains("bad") && text.contains("[icmp6 sum ok]"),
        "{text}"
    );
    drop(tcpdump);
    linux.down();
}

#[test]
fn a_program_that_joined_one_source_hears_no_other() {
    let Some(linux) = neighbours() else { return };
    linux.ip("addr add 10.9.0.2/24 dev heptad0");
    linux.ip("addr add fd09::2/64 dev heptad0 nodad");
    let script = "
import socket, struct, sys
def storage(family, ip):
    return (struct.pack('HH', family, 0) + (b'' if family == 2 else bytes(4)) + socket.inet_pton(family, ip)).ljust(128, bytes(1))
for family, group, source in (2, '232.1.2.3', '10.9.0.1'), (10, 'ff35::7', 'fd09::1'):
    s = socket.socket(family, socket.SOCK_DGRAM); s.bind(('', 5000 + family)); s.settimeout(30)
    level = socket.IPPROTO_IP if family == 2 else socket.IPPROTO_IPV6
    s.setsockopt(level, 46, struct.pack('II', 2, 0) + storage(family, group) + storage(family, source))
    print('ready' if family == 2 else 'again', flush=True)
    data, who = s.recvfrom(2000)
    print(data.decode(), who[0], flush=True)
sys.stdin.read()
";
    let python = [HEPTAD, "exec", "bob", "--", "python3", "-c", script];
    let mut bob = Talk::start(&linux, &python);
    let say = |family: &str, from: &str, group: &str| {
        let script = "
import socket, sys
family = int(sys.argv[1]); index = socket.if_nametoindex('heptad0')
s = socket.socket(family, socket.SOCK_DGRAM); s.bind((sys.argv[2], 0))
if family == 2: s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + index.to_bytes(4, 'little'))
else: s.setsockopt(41, socket.IPV6_MULTICAST_IF, index)
s.sendto(b'heard', (sys.argv[3], 5000 + family))
";
        let words = ["python3", "-c", script, family, from, group];
        linux.run(&words).expect_code(0);
    };
    say("2", "10.9.0.2", "232.1.2.3");
    say("2", "10.9.0.1", "232.1.2.3");
    assert_eq!(bob.line(), "heard 10.9.0.1");
    assert_eq!(bob.line(), "again");
    say("10", "fd09::2", "ff35::7");
    say("10", "fd09::1", "ff35::7");
    assert_eq!(bob.line(), "heard fd09::1");
    bob.end();
    let counts = linux.heptad(&["netstat", "-s", "--node", "bob"]);
    let counts = counts.expect_code(0).stdout;
    let filtered = "2 source of a multicast group not wanted";
    assert!(counts.contains(filtered), "{counts}");
    linux.down();
}

#[test]
fn a_bridge_of_linux_asks_bob_and_learns_from_him() {
    let Some(linux) = neighbours() else { return };
    let bridge = "link add br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_startup_query_interval 100";
    if linux
        .run(&[&["ip"][..], &bridge.split(' ').collect::<Vec<_>>()].concat())
        .code
        != Some(0)
        || !has_program("bridge")
    {
        eprintln!("skipped: no bridge");
        linux.down();
        return;
    }
    linux.ip("link set br0 up");
    linux.ip("link set heptad0 master br0");
    let python = [
        HEPTAD, "exec", "bob", "--", "python3", "-c", RECEIVER, "eth0",
    ];
    let bob = Talk::start(&linux, &python);
    let learnt = || {
        let shown = linux.run(&["bridge", "mdb", "show"]).stdout;
        shown.contains("grp 239.1.2.3") && shown.contains("grp ff15::1234")
    };
    wait_for("the bridge to learn both groups", learnt);
    wait_for("an answer to its questions", || {
        let counts = linux
            .heptad(&["netstat", "-s", "--json", "--node", "bob"])
            .json();
        let counters = counts["nodes"][0]["counters"]
            .as_array()
            .expect("counters")
            .clone();
        let value = |group: &str, name: &str| {
            let row = counters
                .iter()
                .find(|row| row[0] == group && row[1] == name);
            row.and_then(|row| row[2].as_u64()).unwrap_or(0)
        };
        // Two reports were not asked for.
        value("Igmp", "InQueries") > 0
            && value("Igmp", "OutReports") > 2
            && value("Icmp6", "InGroupMembQueries") > 0
    });
    support::finish(bob.child);
    linux.down();
}
