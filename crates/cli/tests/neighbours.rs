//! Linux as a neighbour: a kernel in a network namespace of its own, and a lab at the other end of a TAP or TUN.
//!
//! The namespace is made by the test and goes with it; interfaces, load and addresses are all inside. Making one needs root and
//! /dev/net/tun: without them the tests say so and are skipped.
mod support;

use std::fs;

use support::capture::{CABLES, Sides, can_capture};
use support::linux::{Linux, Served};
use support::transfer::{IPV4, curl_compares, gigabyte_each_way, iperf3};
use support::{Ran, has_program, labs, wait_for};

/// bob at 10.9.0.20 on one cable with the interface; more lines for the cable come last.
fn bob_and(end: &str, program: &str, cable: &str) -> String {
    format!(
        "name = \"neighbours\"\n[nodes.bob]\naddress = \"10.9.0.20/24\"\ngateway = \"10.9.0.1\"\n{program}\n\
         [[links]]\nendpoints = [\"{end}\", \"bob:eth0\"]\n{cable}\n"
    )
}
const WEB: &str = "run = [\"python3\", \"-m\", \"http.server\", \"80\"]\nready = \"tcp:80\"";
const IPERF: &str = "run = [\"iperf3\", \"-s\"]\nready = \"tcp:5201\"";

/// Bytes that are not alike, so that a piece in the wrong place shows.
fn page(len: u32) -> Vec<u8> {
    (0..len)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn linux_pings_and_reads_from_a_node_behind_the_neighbour_labs_router() {
    let Some(linux) = Linux::new() else { return };
    let lab = labs().join("neighbour/lab.toml");
    linux
        .heptad(&["lab", "up", lab.to_str().expect("utf-8")])
        .expect_code(0);
    linux.ip("address add 10.9.0.1/24 dev heptad0");
    linux.ip("route add 10.9.1.0/24 via 10.9.0.254");
    for (address, size) in [
        ("10.9.0.254", "56"),
        ("10.9.1.20", "56"),
        ("10.9.1.20", "5000"),
    ] {
        let words = ["ping", "-c", "3", "-i", "0.1", "-s", size, address];
        let ran = linux.run(&words).expect_code(0);
        assert!(
            ran.stdout.contains("3 received, 0% packet loss"),
            "{ran:#?}"
        );
    }
    let listing = linux.run(&["curl", "-sS", "http://10.9.1.20/"]);
    assert!(listing.expect_code(0).stdout.contains("lab.toml"));
    let nodes = linux.heptad(&["lab", "ls", "--json"]).expect_code(0).json();
    let nodes = nodes["labs"][0]["nodes"]
        .as_array()
        .cloned()
        .expect("nodes");
    assert!(
        nodes
            .iter()
            .any(|n| n["name"] == "tap:heptad0" && n["kind"] == "tap")
    );
    linux.down();
    let gone = linux.run(&["ip", "link", "show", "dev", "heptad0"]);
    assert_ne!(gone.code, Some(0), "the lab made it, so it goes: {gone:#?}");
}

#[test]
fn every_byte_arrives_both_ways_over_tap_and_tun_and_over_cables_that_cut() {
    let behind_router = |end| {
        let bob = bob_and("r1:eth1", WEB, "").replace("10.9.0.", "10.9.1.");
        format!(
            "{bob}[nodes.r1]\nkind = \"router\"\naddress = \"10.9.0.254/24\"\n\
             [nodes.r1.ports.eth1]\naddress = \"10.9.1.1/24\"\n\
             [[links]]\nendpoints = [\"{end}\", \"r1:eth0\"]\n"
        )
    };
    let bob_and = |end, cable| bob_and(end, WEB, cable);
    let Some(linux) = Linux::new() else { return };
    let page = page(1_000_000);
    fs::write(linux.sandbox.path("page.bin"), &page).expect("a page");
    let web = linux.web_server();
    for lab in [
        bob_and("tap:heptad0", ""),
        bob_and("tun:heptad0", ""),
        bob_and("tap:heptad0", "delay = \"2ms\"\nloss = \"1%\""),
        bob_and("tun:heptad0", "rate = \"1 Gbit\""),
        bob_and("tap:heptad0", "mtu = 9000"),
        behind_router("tap:heptad0"),
    ] {
        linux.up(&lab, "heptad0", &["--no-capture"]);
        let bob = if lab.contains("router") {
            linux.ip("route add 10.9.1.0/24 via 10.9.0.254");
            "http://10.9.1.20/page.bin"
        } else {
            "http://10.9.0.20/page.bin"
        };
        linux.run(&["curl", "-sSo", "a.bin", bob]).expect_code(0);
        let from_linux = ["curl", "-sSo", "b.bin", "http://10.9.0.1:8000/page.bin"];
        let on_bob = [&["exec", "bob", "--"][..], &from_linux].concat();
        linux.heptad(&on_bob).expect_code(0);
        for name in ["a.bin", "b.bin"] {
            let got = fs::read(linux.sandbox.path(name)).expect("what curl wrote");
            assert!(got == page, "{name}: {} bytes\n{lab}", got.len());
        }
        assert_eq!(linux.bad_checksums(), 0, "{lab}");
        linux.heptad(&["lab", "down"]).expect_code(0);
    }
    drop(web);
    linux.sandbox.expect_nothing_left();
}

#[test]
fn iperf3_runs_both_ways_and_linux_sees_scaled_windows_sack_and_timestamps() {
    if !has_program("iperf3") || !has_program("ss") {
        return;
    }
    let Some(linux) = Linux::new() else { return };
    linux.up(
        &bob_and("tap:heptad0", IPERF, ""),
        "heptad0",
        &["--no-capture"],
    );
    for more in [&[][..], &["-R"]] {
        // What waits in bob's buffer at the end, up to 16 MiB, is not counted.
        let received = iperf3(&linux, "100M", "10.9.0.20", more).received;
        assert!(received > 70_000_000, "{received}");
    }
    let options = socket_options(&linux);
    for word in [" ts ", " sack ", " wscale:"] {
        assert!(options.contains(word), "{word} in {options}");
    }
    assert_eq!(linux.bad_checksums(), 0);
    linux.down();
}

/// A queue that marks from twenty frames on, between a node that asks for counters and a kernel that has the one bit: both are
/// told, whoever sends, and nothing is lost.
#[test]
fn linux_and_a_node_tell_each_other_of_marks() {
    if !has_program("iperf3") || !has_program("ss") {
        return;
    }
    let Some(linux) = Linux::new() else { return };
    let one = "echo 1 >/proc/sys/net/ipv4/tcp_ecn";
    linux.run(&["sh", "-c", one]).expect_code(0);
    let page = page(4_000_000);
    fs::write(linux.sandbox.path("page.bin"), &page).expect("a page");
    let web = linux.web_server();
    let program = format!("ecn = \"accurate\"\n{IPERF}");
    let cable = "rate = \"100 Mbit\"\ndelay = \"2ms\"\nqueue = 500\nmark = 20";
    linux.up(
        &bob_and("tap:heptad0", &program, cable),
        "heptad0",
        &["--no-capture"],
    );
    assert!(iperf3(&linux, "20M", "10.9.0.20", &["-R"]).received > 16_000_000);
    assert!(linux.counter("InCEPkts") > 0, "bob's text came marked");
    assert!(iperf3(&linux, "20M", "10.9.0.20", &[]).received > 16_000_000);
    assert!(linux.counter("TCPDeliveredCE") > 0, "bob told of marks");
    assert!(socket_options(&linux).contains(" ecn "));
    // bob asks, and Linux answers with one bit
    let asks = ["curl", "-sSo", "a.bin", "http://10.9.0.1:8000/page.bin"];
    let on_bob = [&["exec", "bob", "--"][..], &asks].concat();
    linux.heptad(&on_bob).expect_code(0);
    assert!(fs::read(linux.sandbox.path("a.bin")).expect("what curl wrote") == page);
    let resent = linux.counter("TCPSackRecovery") + linux.counter("TCPRenoRecovery");
    assert_eq!(resent, 0, "nothing of Linux's was lost");
    drop(web);
    linux.down();
}

/// What `ss -tieo` says of a connection of Linux to bob's iperf3 while it stands.
fn socket_options(linux: &Linux) -> String {
    let hold = "import socket, sys; s = socket.create_connection(('10.9.0.20', 5201)); \
                print('open', flush=True); sys.stdin.read()";
    let mut child = linux.spawn(&["python3", "-c", hold]);
    let mut said = [0; 4];
    let stdout = child.stdout.as_mut().expect("a pipe");
    std::io::Read::read_exact(stdout, &mut said).expect("python says that it is connected");
    let held = Served(child);
    let words = ["ss", "-Htieno", "state", "established", "dst", "10.9.0.20"];
    let options = linux.run(&words).expect_code(0).stdout;
    drop(held);
    options
}

/// A cable with a rate cuts, so Linux is to cut and to fill its checksums before a capture on its side sees them, and what we write is filled as well.
/// On a plain cable both leave them to the other side: there a capture by the kernel shows unfilled checksums, which is as it is between Linux and any
/// network card, so its own count of bad ones and our capture are asked instead.
#[test]
fn no_segment_has_a_bad_checksum_and_linux_cuts_where_the_cable_does() {
    if !can_capture() {
        return;
    }
    for (cable, cuts) in CABLES {
        let Some(linux) = Linux::new() else { return };
        let capture = ["--capture", "ours.pcapng"];
        linux.up(&bob_and("tap:heptad0", IPERF, cable), "heptad0", &capture);
        let sides = Sides::of_iperf3(&linux, "10.9.0.20");
        assert_eq!(linux.bad_checksums(), 0, "{cable}");
        sides.expect(cuts);
    }
}

/// `heptad WORDS…` as a user who may not make interfaces.
fn without_administrator(linux: &Linux, words: &[&str]) -> Ran {
    let mut all = vec![
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
    ];
    all.push(env!("CARGO_BIN_EXE_heptad"));
    all.extend(words);
    linux.run(&all)
}

#[test]
fn an_interface_that_is_there_needs_no_administrator_and_else_the_lab_says_who_makes_it() {
    if !has_program("setpriv") {
        return;
    }
    let Some(linux) = Linux::new() else { return };
    linux
        .sandbox
        .write("lab.toml", &bob_and("tap:heptad0", WEB, ""));
    let up = ["lab", "up", "lab.toml", "--no-capture"];
    let refused = |said: &str, help: &str| {
        let ran = without_administrator(&linux, &up).expect_code(125);
        assert!(
            ran.stderr.contains(said) && ran.stderr.contains(help),
            "{ran:#?}"
        );
        linux.sandbox.expect_nothing_left();
    };
    refused(
        "not permitted to make the tap interface heptad0",
        "help: sudo ip tuntap add dev heptad0 mode tap user $USER",
    );
    linux.ip("tuntap add dev heptad0 mode tap user root");
    refused("heptad0 is down", "help: sudo ip link set dev heptad0 up");
    linux.ip("link set dev heptad0 up mtu 1400");
    refused(
        "has an MTU of 1400 bytes, the cable 1500",
        "help: sudo ip link set dev heptad0 mtu 1500",
    );
    linux.ip("link set dev heptad0 mtu 1500");
    linux.ip("address add 10.9.0.1/24 dev heptad0");
    without_administrator(&linux, &up).expect_code(0);
    linux.run(&["ping", "-c", "1", "10.9.0.20"]).expect_code(0);

    // Another lab finds it taken.
    let other = bob_and("tap:heptad0", "", "").replace("neighbours", "other");
    linux.sandbox.write("other.toml", &other);
    let ran = linux.heptad(&["lab", "up", "other.toml", "--no-capture"]);
    let ran = ran.expect_code(125);
    assert!(ran.stderr.contains("in use by another process"), "{ran:#?}");
    linux.down();
    linux.ip("link show dev heptad0");
}

#[test]
fn an_interface_of_another_kind_is_the_lab_files_mistake() {
    let Some(linux) = Linux::new() else { return };
    linux.ip("tuntap add dev heptad0 mode tun");
    for end in ["tap:heptad0", "tap:lo"] {
        linux.sandbox.write("lab.toml", &bob_and(end, "", ""));
        let ran = linux.heptad(&["lab", "up", "lab.toml", "--no-capture"]);
        let ran = ran.expect_code(2);
        assert!(ran.stderr.contains("exists and is no tap"), "{ran:#?}");
    }
}

#[test]
fn a_lab_outlives_its_interface_and_says_at_the_end_that_it_was_removed() {
    let Some(linux) = Linux::new() else { return };
    linux.up(
        &bob_and("tap:heptad0", "", ""),
        "heptad0",
        &["--no-capture"],
    );
    linux.run(&["ping", "-c", "1", "10.9.0.20"]).expect_code(0);
    linux.ip("link delete dev heptad0");
    let down = linux.heptad(&["lab", "down"]).expect_code(125);
    assert!(
        down.stdout.contains("a real cable failed: tap heptad0: "),
        "{down:#?}"
    );
    linux.sandbox.expect_nothing_left();
}

/// bob's datagrams are written by whichever thread made them, the answers to a flood of pings by the reader's.
#[test]
fn frames_leave_in_order_whichever_thread_writes_them() {
    let Some(linux) = Linux::new() else { return };
    linux.up(
        &bob_and("tap:heptad0", "", ""),
        "heptad0",
        &["--no-capture"],
    );
    let receive = "import socket\n\
        s = socket.socket(type=socket.SOCK_DGRAM)\n\
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)\n\
        s.bind(('10.9.0.1', 9000))\n\
        s.settimeout(20)\n\
        numbers = []\n\
        while not numbers or numbers[-1] < 4999: numbers.append(int(s.recv(100)))\n\
        print(len(numbers), numbers == sorted(set(numbers)))\n";
    // The last one again and again: the socket of Linux may have been full.
    let send = "import socket, time\n\
        s = socket.socket(type=socket.SOCK_DGRAM)\n\
        for n in range(5000): s.sendto(b'%d' % n, ('10.9.0.1', 9000))\n\
        for _ in range(50): s.sendto(b'4999', ('10.9.0.1', 9000)); time.sleep(0.01)\n";
    let receiver = linux.spawn(&["python3", "-c", receive]);
    wait_for("a socket on Linux", || {
        linux.run(&["ss", "-Hlun"]).stdout.contains(":9000 ")
    });
    let flood = Served(linux.spawn(&["ping", "-f", "-q", "10.9.0.20"]));
    linux
        .heptad(&["exec", "bob", "--", "python3", "-c", send])
        .expect_code(0);
    let said = receiver.wait_with_output().expect("python ends").stdout;
    let said = String::from_utf8(said).expect("utf-8");
    drop(flood);
    let (count, in_order) = said.trim().split_once(' ').unwrap_or_default();
    assert_eq!(in_order, "True", "{said}");
    let count: u32 = count.parse().expect("a count");
    assert!(count > 100, "{said}");
    linux.down();
}

#[test]
fn what_an_interface_that_is_down_refuses_is_counted_and_the_cable_lives_on() {
    let Some(linux) = Linux::new() else { return };
    linux.up(
        &bob_and("tap:heptad0", "", ""),
        "heptad0",
        &["--no-capture"],
    );
    linux.ip("link set dev heptad0 down");
    let send = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('10.9.0.1', 9))";
    let words = ["exec", "bob", "--", "python3", "-c", send];
    linux.heptad(&words).expect_code(0);
    wait_for(
        "bob's question for the address of Linux to be refused",
        || {
            let words = ["netstat", "-s", "--node", "tap:heptad0"];
            let discarded = linux.heptad(&words).expect_code(0).stdout;
            discarded.contains(" refused by the kernel's interface\n")
        },
    );
    linux.ip("link set dev heptad0 up");
    linux
        .run(&["ping", "-c", "1", "-w", "10", "10.9.0.20"])
        .expect_code(0);
    linux.down();
}

/// An ARP probe for an address, and whether somebody answered within a second that it is his (`arping -D`).
const PROBE: &str = r#"
import socket, sys
cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
cable.bind(("heptad0", 0x0806))
ours, wanted = cable.getsockname()[4], socket.inet_aton(sys.argv[1])
arp = bytes([0, 1, 8, 0, 6, 4, 0, 1]) + ours + bytes(4) + bytes(6) + wanted
cable.send(b"\xff" * 6 + ours + b"\x08\x06" + arp)
cable.settimeout(1)
try:
    while True:
        heard = cable.recv(100)
        if heard[20:22] == b"\0\2" and heard[28:32] == wanted:
            sys.exit("taken by " + heard[22:28].hex(":"))
except TimeoutError:
    print("free")
"#;

#[test]
fn an_address_of_ipv4_that_linux_has_is_not_ours_and_linux_finds_the_one_that_is() {
    let Some(linux) = Linux::new() else { return };
    linux.ip("tuntap add dev heptad0 mode tap");
    linux.ip("link set dev heptad0 up");
    linux.ip("addr add 10.9.0.20/24 dev heptad0");
    let lab = bob_and("tap:heptad0", "conflict_detection = true", "");
    let lab = lab.replace("\"10.9.0.20/24\"", "[\"10.9.0.20/24\", \"10.9.0.21/24\"]");
    // Programs wait for the addresses, and so does the command.
    linux.up(&lab, "heptad0", &["--no-capture"]);
    let words = ["ip", "-4", "addr", "show", "dev", "eth0", "--node", "bob"];
    let shown = linux.heptad(&words).expect_code(0).stdout;
    let line = |of: &str| shown.lines().find(|line| line.contains(of)).expect(of);
    assert!(
        line("inet 10.9.0.20/24").contains("dadfailed tentative"),
        "{shown}"
    );
    assert!(!line("inet 10.9.0.21/24").contains("tentative"), "{shown}");
    let counts = ["netstat", "-s", "--node", "bob"];
    let counts = linux.heptad(&counts).expect_code(0).stdout;
    assert!(
        counts.contains("claims an address of this host by ARP"),
        "{counts}"
    );
    // Linux looks for both: the one that bob gave up is answered by nobody, the other one by bob.
    linux.sandbox.write("probe.py", PROBE);
    let probe = |address: &str| linux.run(&["python3", "probe.py", address]);
    assert_eq!(probe("10.9.0.20").expect_code(0).stdout, "free\n");
    let taken = probe("10.9.0.21").expect_code(1).stderr;
    assert!(taken.contains("taken by 02:"), "{taken}");
    let words = ["ping", "-c", "1", "-W", "2", "10.9.0.21"];
    linux.run(&words).expect_code(0);
    linux.down();
}

/// A gigabyte each way, with the same between two kernels over veth in the same run; figures are printed.
#[test]
#[ignore = "moves 4 GB and measures: cargo xtask ci --full --only neighbours"]
fn a_gigabyte_each_way_beside_two_kernels_over_veth() {
    if !["iperf3", "ss"].iter().all(|name| has_program(name)) {
        return;
    }
    let Some(linux) = Linux::new() else { return };
    let fast = ["--no-capture", "--no-event-hash"];
    linux.up(&bob_and("tap:heptad0", IPERF, ""), "heptad0", &fast);
    gigabyte_each_way(&linux, &IPV4);
    println!("ss -tieo: {}", socket_options(&linux).trim());
    println!("bad checksums: {}", linux.bad_checksums());
    assert_eq!(linux.bad_checksums(), 0);
    linux.down();
}

/// Nobody looks at checksums on a plain cable, so the bytes themselves are compared.
#[test]
#[ignore = "moves 2 GB: cargo xtask ci --full --only neighbours"]
fn a_gigabyte_that_curl_reads_each_way_is_the_same_byte_for_byte() {
    let Some(linux) = Linux::new() else { return };
    let fast = ["--no-capture", "--no-event-hash"];
    linux.up(&bob_and("tap:heptad0", WEB, ""), "heptad0", &fast);
    curl_compares(&linux, &IPV4, "1G");
    assert_eq!(linux.bad_checksums(), 0);
    linux.down();
}
