//! Groups with Linux as a neighbour: datagrams both ways, what it sees of our reports, and its bridge that asks and snoops, at
//! a host of ours and at a switch.
mod support;

use std::io::{BufRead, BufReader};
use std::process::Child;

use serde_json::Value;
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

/// Two hosts at a switch of ours, whose third port leads to the kernel; `querier`: who asks from there, if anybody.
fn lab_of_switch(querier: &str) -> String {
    format!(
        "name = \"neighbours\"\n[nodes.a]\naddress = [\"10.9.0.10/24\", \"fd09::10/64\"]\n\
         [nodes.bob]\naddress = [\"10.9.0.20/24\", \"fd09::20/64\"]\n\
         [nodes.sw]\nkind = \"switch\"\n{querier}\n\
         [[links]]\nendpoints = [\"a:eth0\", \"sw:1\"]\n[[links]]\nendpoints = [\"bob:eth0\", \"sw:2\"]\n\
         [[links]]\nendpoints = [\"tap:heptad0\", \"sw:3\"]\n"
    )
}

/// Our switch and one of Linux, `br0`, on one cable; both have the words that make them ask, or have not.
struct Switches {
    linux: Linux,
}
impl Switches {
    fn join(ours: &str, theirs: &str) -> Option<Self> {
        let linux = Linux::new()?;
        if !has_program("bridge") {
            return None;
        }
        let setting = "net.ipv6.conf.default.disable_ipv6=0";
        linux.run(&["sysctl", "-qw", setting]).expect_code(0);
        let words = format!("ip link add br0 type bridge mcast_snooping 1 {theirs}");
        let words: Vec<&str> = words.split(' ').collect();
        if linux.run(&words).code != Some(0) {
            eprintln!("skipped: no bridge with snooping");
            return None;
        }
        linux.ip("addr add 10.9.0.1/24 dev br0");
        linux.ip("addr add fd09::1/64 dev br0 nodad");
        linux.up(&lab_of_switch(ours), "heptad0", &["--no-capture"]);
        linux.ip("addr flush dev heptad0");
        linux.ip("link set heptad0 master br0");
        linux.ip("link set br0 up");
        Some(Self { linux })
    }
    /// Whether the table of Linux's bridge has groups of both families behind a port.
    fn linux_knows(&self, port: &str) -> [bool; 2] {
        let shown = self.linux.run(&["bridge", "-d", "-j", "mdb", "show"]);
        let rows = shown.expect_code(0).json()[0]["mdb"].clone();
        GROUPS.map(|group| has_row(&rows, port, group))
    }
    fn linux_has_router(&self, port: &str) -> bool {
        let shown = self.linux.run(&["bridge", "-d", "-j", "mdb", "show"]);
        let routers = shown.expect_code(0).json()[0]["router"]["br0"].clone();
        has_port(&routers, port)
    }
    fn ours(&self) -> Value {
        let shown = self.linux.heptad(&["bridge", "-d", "-j", "mdb", "show"]);
        shown.expect_code(0).json()[0].clone()
    }
    fn we_know(&self, port: &str) -> [bool; 2] {
        let rows = self.ours()["mdb"].clone();
        GROUPS.map(|group| has_row(&rows, port, group))
    }
    /// Somebody is known to ask in both families, and members have had time to answer.
    fn is_settled(&self, own: bool) -> bool {
        let queriers = self.ours()["querier"]["sw"].clone();
        let queriers = queriers.as_array().cloned().unwrap_or_default();
        let settled = |row: &Value| row["settled"] == true && row["own"] == own;
        queriers.len() == 2 && queriers.iter().all(settled)
    }
    /// How many datagrams to groups that it is not in came to a node, of both families.
    fn heard_by(&self, node: &str) -> u64 {
        let shown = self
            .linux
            .heptad(&["netstat", "-s", "--json", "--node", node]);
        let drops = shown.expect_code(0).json()["nodes"][0]["drops"].clone();
        let drops = drops.as_array().cloned().unwrap_or_default();
        let strange = drops.iter().filter(|row| {
            row[0] == "multicast group not joined" || row[0] == "frame for another station"
        });
        strange.filter_map(|row| row[1].as_u64()).sum()
    }
    fn say_from(&self, node: &str) {
        let send = ["exec", node, "--", "python3", "-c", SENDER, "2"];
        self.linux.heptad(&send).expect_code(0);
    }
    fn member_at(&self, node: &str) -> Talk {
        let python = [
            HEPTAD, "exec", node, "--", "python3", "-c", RECEIVER, "eth0",
        ];
        Talk::start(&self.linux, &python)
    }
    fn member_behind_linux(&self) -> Talk {
        Talk::start(&self.linux, &["python3", "-c", RECEIVER, "br0"])
    }
    /// bob, who is in no group, hears nothing of what is said to `members`.
    fn say_to(&self, from: &str, members: &mut [&mut Talk]) {
        let before = self.heard_by("bob");
        self.say_from(from);
        for member in members {
            assert_eq!(member.line(), "four 10.9.0.10");
            assert_eq!(member.line(), "six fd09::10");
        }
        assert_eq!(self.heard_by("bob"), before, "bob heard it too");
    }
}
const GROUPS: [&str; 2] = ["239.1.2.3", "ff15::1234"];
fn has_row(rows: &Value, port: &str, group: &str) -> bool {
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter()
        .any(|row| row["port"] == port && row["grp"] == group)
}
fn has_port(rows: &Value, port: &str) -> bool {
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter().any(|row| row["port"] == port)
}

#[test]
fn a_bridge_of_linux_asks_and_our_switch_goes_by_it() {
    let asks = "mcast_querier 1 mcast_query_use_ifaddr 1 mcast_startup_query_interval 100 \
                mcast_query_interval 300 mcast_query_response_interval 100";
    let Some(switches) = Switches::join("", asks) else {
        return;
    };
    // The kernel's port is a router port of ours, as somebody asks behind it.
    wait_for("our switch to see who asks", || {
        has_port(&switches.ours()["router"]["sw"], "3") && switches.is_settled(false)
    });
    // Our hosts' reports reach the bridge, and what they say when they leave.
    let member = switches.member_at("bob");
    wait_for("Linux to learn of bob", || {
        switches.linux_knows("heptad0") == [true; 2]
    });
    assert_eq!(switches.we_know("2"), [true; 2]);
    // It is stopped while it waits: its sockets close, and it has left.
    support::finish(member.child);
    wait_for("Linux to hear that he left", || {
        switches.linux_knows("heptad0") == [false; 2]
    });
    wait_for("our switch to hear it too", || {
        switches.we_know("2") == [false; 2]
    });
    // A member behind the bridge hears a of ours, and bob does not.
    let mut member = switches.member_behind_linux();
    switches.say_to("a", &mut [&mut member]);
    member.end();
    switches.linux.down();
}

#[test]
fn our_switch_asks_and_a_bridge_of_linux_goes_by_it() {
    let ours = "querier = \"10.9.0.250\"";
    let Some(switches) = Switches::join(ours, "mcast_querier 0") else {
        return;
    };
    // Until the members have had their time everybody hears everything.
    let before = switches.heard_by("bob");
    switches.say_from("a");
    wait_for("bob to hear it", || {
        switches.heard_by("bob") >= before + 2 || switches.is_settled(true)
    });
    wait_for("Linux to see who asks", || {
        switches.linux_has_router("heptad0")
    });
    wait_for("our members to have had their time", || {
        switches.is_settled(true)
    });
    // Reports of a member behind the bridge come to us, and groups go there.
    let mut member = switches.member_behind_linux();
    wait_for("our switch to learn of the member", || {
        switches.we_know("3") == [true; 2]
    });
    assert!(!has_port(&switches.ours()["router"]["sw"], "3"));
    switches.say_to("a", &mut [&mut member]);
    member.end();
    wait_for("our switch to hear that it left", || {
        switches.we_know("3") == [false; 2]
    });
    // What Linux says to a group comes to our switch, which asks, and from there to the member only.
    let mut member = switches.member_at("a");
    wait_for("our switch to learn of a", || {
        switches.we_know("1") == [true; 2]
    });
    let before = switches.heard_by("bob");
    let index = index_of(&switches.linux, "br0");
    let send = ["python3", "-c", SENDER, &index];
    switches.linux.run(&send).expect_code(0);
    assert_eq!(member.line(), "four 10.9.0.1");
    assert!(member.line().starts_with("six f"));
    assert_eq!(switches.heard_by("bob"), before, "bob heard it too");
    member.end();
    switches.linux.down();
}
