//! Linux as a neighbour over IPv6: routers, hosts, fragments, narrow ways and duplicate addresses, each with the kernel at
//! the other end of a TAP.
mod support;

use std::fs;

use support::capture::{CABLES, Sides, can_capture};
use support::linux::Linux;
use support::transfer::{IPV6, curl_compares, gigabyte_each_way, iperf3};
use support::{has_program, wait_for};

/// A router of ours on the kernel's cable, and bob behind it with this program; more lines for his cable come last.
fn behind_router(program: &str, cable: &str) -> String {
    format!(
        "name = \"neighbours\"\n[nodes.r1]\nkind = \"router\"\naddress = [\"10.9.0.254/24\", \"fd09::254/64\"]\n\
         [nodes.bob]\naddress = [\"10.9.1.20/24\", \"fd09:1::20/64\"]\ngateway = [\"10.9.1.1\", \"fd09:1::1\"]\n\
         {program}\n\
         [[links]]\nendpoints = [\"tap:heptad0\", \"r1:eth0\"]\n\
         [[links]]\nendpoints = [\"r1:eth1\", \"bob:eth0\"]\n{cable}\n"
    )
}
/// bob on one cable with the kernel.
fn bob(address: &str) -> String {
    format!(
        "name = \"neighbours\"\n[nodes.bob]\naddress = {address}\n\
         [[links]]\nendpoints = [\"tap:heptad0\", \"bob:eth0\"]\n"
    )
}

/// bob with both families and this program on one cable with the kernel; more lines for the cable come last.
fn bob_runs(program: &str, end: &str, cable: &str) -> String {
    format!(
        "name = \"neighbours\"\n[nodes.bob]\naddress = [\"10.9.0.20/24\", \"fd09::20/64\"]\n{program}\n\
         [[links]]\nendpoints = [\"{end}\", \"bob:eth0\"]\n{cable}\n"
    )
}
const WEB: &str =
    "run = [\"python3\", \"-m\", \"http.server\", \"--bind\", \"::\", \"80\"]\nready = \"tcp:80\"";
const IPERF: &str = "run = [\"iperf3\", \"-s\"]\nready = \"tcp:5201\"";

/// The kernel takes what routers say, whatever this machine's own settings are.
fn listening() -> Option<Linux> {
    let linux = Linux::new()?;
    for setting in ["accept_ra=2", "autoconf=1", "disable_ipv6=0"] {
        let name = format!("net.ipv6.conf.default.{setting}");
        linux.run(&["sysctl", "-qw", &name]).expect_code(0);
    }
    Some(linux)
}

#[track_caller]
fn ping(linux: &Linux, size: &str, to: &str) {
    let words = ["ping", "-c", "2", "-i", "0.2", "-W", "3", "-s", size, to];
    let ran = linux.run(&words).expect_code(0);
    assert!(ran.stdout.contains(" 0% packet loss"), "{ran:#?}");
}
#[track_caller]
fn ping_from_bob(linux: &Linux, size: &str, to: &str) {
    let words = [
        "ping", "-c", "2", "-i", "0.2", "-s", size, "--node", "bob", to,
    ];
    linux.heptad(&words).expect_code(0);
}

#[test]
fn linux_takes_its_address_and_its_default_route_from_our_router() {
    let Some(linux) = listening() else { return };
    linux.up(&behind_router(WEB, ""), "heptad0", &["--no-capture"]);
    linux.ip("route add 10.9.1.0/24 via 10.9.0.254");
    wait_for("an address that the router caused", || {
        let shown = linux.ip("-6 addr show dev heptad0 -tentative").stdout;
        shown.contains("inet6 fd09::") && shown.contains("dynamic")
    });
    let routes = linux.ip("-6 route show default").stdout;
    assert!(routes.contains("proto ra"), "{routes}");
    // By the default route that it heard, and back; the largest ones in fragments.
    for to in ["10.9.1.20", "fd09:1::20"] {
        ping(&linux, "56", to);
        ping(&linux, "65000", to);
    }
    let own = linux.ip("-6 -o addr show dev heptad0 scope global").stdout;
    let own = own
        .split_whitespace()
        .nth(3)
        .and_then(|a| a.split('/').next());
    for to in [own.expect("an address"), "10.9.0.1"] {
        ping_from_bob(&linux, "65000", to);
    }
    let page = linux.run(&["curl", "-gsS", "http://[fd09:1::20]/"]);
    assert!(page.expect_code(0).stdout.contains("lab.toml"));
    linux.down();
}

#[test]
fn the_tables_of_neighbours_agree_on_both_sides() {
    let Some(linux) = listening() else { return };
    let lab = bob("[\"10.9.0.20/24\", \"fd09::20/64\"]");
    linux.up(&lab, "heptad0", &["--no-capture"]);
    linux.ip("addr add fd09::1/64 dev heptad0 nodad");
    ping(&linux, "56", "10.9.0.20");
    ping(&linux, "56", "fd09::20");
    let mac = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "lladdr");
        at.and_then(|at| words.get(at + 1))
            .map(|mac| (*mac).to_owned())
    };
    let v4 = mac(&linux.ip("neigh show 10.9.0.20").stdout);
    let v6 = mac(&linux.ip("neigh show fd09::20").stdout);
    assert!(v4.is_some() && v4 == v6, "{v4:?} {v6:?}");
    let link = linux.ip("-o link show dev heptad0").stdout;
    let mut at = link
        .split_whitespace()
        .skip_while(|word| *word != "link/ether");
    let kernels = at.nth(1).expect("the kernel's own address");
    let ours = linux.heptad(&["arp", "-n", "--node", "bob"]).expect_code(0);
    assert!(ours.stdout.contains(kernels), "{ours:#?}");
    linux.down();
}

#[test]
fn an_address_that_we_have_is_not_for_linux() {
    let Some(linux) = listening() else { return };
    let lab = bob("[\"10.9.0.20/24\", \"fd09::20/64\"]");
    linux.up(&lab, "heptad0", &["--no-capture"]);
    // In the first second both would give it up (RFC 4862 5.4.3).
    wait_for("the address to be surely ours", || {
        !addresses_of_bob(&linux).contains("optimistic")
    });
    linux.ip("addr add fd09::20/64 dev heptad0");
    linux.ip("addr add fd09::1/64 dev heptad0");
    wait_for("Linux to hear that somebody has it", || {
        let shown = linux.ip("-6 -o addr show dev heptad0 dadfailed").stdout;
        shown.contains("fd09::20/64") && !shown.contains("fd09::1/64")
    });
    linux.down();
}

#[test]
fn an_address_that_linux_has_is_not_ours() {
    let Some(linux) = listening() else { return };
    linux.ip("tuntap add dev heptad0 mode tap");
    linux.ip("link set dev heptad0 up");
    linux.ip("addr add fd09::20/64 dev heptad0 nodad");
    // The kernel takes a moment to listen at an interface that has just been plugged in.
    let lab = bob("[\"10.9.0.20/24\", \"fd09::20/64\", \"fd09::21/64\"]") + "delay = \"400ms\"\n";
    linux.up(&lab, "heptad0", &["--no-capture"]);
    wait_for("the kernel to say that it has the address", || {
        let shown = addresses_of_bob(&linux);
        let mut lines = shown.lines();
        lines.any(|line| line.contains("fd09::20/64") && line.contains("dadfailed"))
    });
    let shown = addresses_of_bob(&linux);
    assert_eq!(shown.matches("dadfailed").count(), 1, "{shown}");
    linux.down();
}

#[test]
fn linux_finds_the_narrow_cable_behind_our_router() {
    let Some(linux) = listening() else { return };
    let lab = behind_router(WEB, "mtu = 1280");
    linux.up(&lab, "heptad0", &["--no-capture"]);
    let page: Vec<u8> = (0..1_000_000u32).map(|n| (n >> 3) as u8).collect();
    fs::write(linux.sandbox.path("page.bin"), &page).expect("a page");
    wait_for("an address that the router caused", || {
        linux
            .ip("-6 addr show dev heptad0 -tentative")
            .stdout
            .contains("inet6 fd09::")
    });
    // Too long for bob's cable: the router says so, and Linux sends shorter ones.
    linux.run(&[
        "ping",
        "-c",
        "2",
        "-W",
        "2",
        "-s",
        "1400",
        "-M",
        "want",
        "fd09:1::20",
    ]);
    let route = linux.ip("-6 route get fd09:1::20").stdout;
    assert!(route.contains("mtu 1280"), "{route}");
    ping(&linux, "1400", "fd09:1::20");
    let fetched = ["curl", "-gsSo", "a.bin", "http://[fd09:1::20]/page.bin"];
    linux.run(&fetched).expect_code(0);
    assert!(fs::read(linux.sandbox.path("a.bin")).expect("a page") == page);
    linux.down();
}

/// A cable with a rate cuts, so Linux is to cut and to fill before a capture on its side sees it; the last one begins as a
/// plain cable.
#[test]
fn super_segments_of_ipv6_cross_a_plain_cable_and_are_cut_where_it_cuts() {
    if !can_capture() {
        return;
    }
    for (cable, cuts) in CABLES {
        let Some(linux) = listening() else { return };
        let lab = bob_runs(IPERF, "tap:heptad0", cable);
        linux.up(&lab, "heptad0", &["--capture", "ours.pcapng"]);
        linux.ip("addr add fd09::1/64 dev heptad0 nodad");
        let sides = Sides::of_iperf3(&linux, "fd09::20");
        assert_eq!(linux.bad_checksums(), 0, "{cable}");
        sides.expect(cuts);
    }
}

/// Linux makes super-segments of what it sends behind options as well; bob's cable carries them whole, or our router cuts.
#[test]
fn super_segments_behind_extension_headers_cross_whole_and_are_cut() {
    let send = "import socket\n\
        s = socket.socket(socket.AF_INET6)\n\
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))\n\
        s.connect(('fd09:1::20', 7))\n\
        s.sendall(b'GET /' + b'x' * 3000000)\n\
        s.shutdown(socket.SHUT_WR)\n\
        print(s.recv(100))\n";
    let count = "import socket\n\
        s = socket.create_server(('::', 7), family=socket.AF_INET6)\n\
        while True:\n\
        \x20   c, _ = s.accept(); n = 0\n\
        \x20   while d := c.recv(65536): n += len(d)\n\
        \x20   c.sendall(b'%d bytes' % n); c.close()\n";
    for cable in ["", "rate = \"1 Gbit\""] {
        let Some(linux) = listening() else { return };
        linux.sandbox.write("count.py", count);
        let program = "run = [\"python3\", \"count.py\"]\nready = \"tcp:7\"";
        linux.up(&behind_router(program, cable), "heptad0", &["--no-capture"]);
        linux.ip("addr add fd09::1/64 dev heptad0 nodad");
        linux.ip("route add fd09:1::/64 via fd09::254");
        let said = linux.run(&["timeout", "20", "python3", "-c", send]);
        let said = said.expect_code(0).stdout;
        assert_eq!(said.trim(), "b'3000005 bytes'", "{cable}");
        assert_eq!(linux.bad_checksums(), 0, "{cable}");
        linux.down();
    }
}

#[test]
fn a_host_of_ours_takes_its_address_from_radvd_and_another_one_if_linux_has_that() {
    if !has_program("radvd") {
        return;
    }
    let Some(linux) = listening() else { return };
    linux.ip("tuntap add dev heptad0 mode tap");
    linux.ip("link set dev heptad0 up");
    linux.ip("addr add fd08::1/64 dev heptad0 nodad");
    linux
        .run(&["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
        .expect_code(0);
    linux.sandbox.write(
        "radvd.conf",
        "interface heptad0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 10;\n\
         prefix fd08::/64 { }; RDNSS fd08::53 { }; };\n",
    );
    let radvd = [
        "radvd",
        "-n",
        "-C",
        "radvd.conf",
        "-p",
        "radvd.pid",
        "-m",
        "stderr",
        "-u",
        "root",
    ];
    let radvd = support::linux::Served(linux.spawn(&radvd));
    linux
        .sandbox
        .write("lab.toml", &bob("[\"10.9.0.20/24\", \"auto\"]"));
    let up = ["lab", "up", "lab.toml", "--seed", "7", "--no-capture"];
    linux.heptad(&up).expect_code(0);
    wait_for("a way to the router by the default route", || {
        let words = ["ping", "-c", "1", "-W", "1", "--node", "bob", "fd08::1"];
        linux.heptad(&words).code == Some(0)
    });
    ping_from_bob(&linux, "65000", "fd08::1");
    let shown = addresses_of_bob(&linux);
    let mut words = shown.split_whitespace();
    let address = words
        .find(|word| word.starts_with("fd08:"))
        .expect("an address")
        .to_owned();
    linux.heptad(&["lab", "down"]).expect_code(0);

    // The same seed gives the same address, and now somebody has it: bob takes another one.
    linux.ip(&format!("addr add {address} dev heptad0 nodad"));
    linux.heptad(&up).expect_code(0);
    wait_for("an address that nobody else has", || {
        let shown = addresses_of_bob(&linux);
        let fd08 = shown.lines().filter(|line| line.contains(" fd08:"));
        let (failed, fine): (Vec<_>, Vec<_>) = fd08.partition(|line| line.contains("dadfailed"));
        failed.iter().any(|line| line.contains(&address)) && fine.len() == 1
    });
    ping_from_bob(&linux, "56", "fd08::1");
    drop(radvd);
    linux.down();
}

fn addresses_of_bob(linux: &Linux) -> String {
    let words = ["ip", "-6", "addr", "show", "dev", "eth0", "--node", "bob"];
    linux.heptad(&words).expect_code(0).stdout
}

/// Nobody looks at checksums on a plain cable, so the bytes themselves are compared.
#[test]
fn curl_reads_every_byte_over_ipv6_both_ways_over_tap_and_tun_and_over_cables_that_cut() {
    for (end, cable, size) in [
        ("tap:heptad0", "", "50M"),
        ("tun:heptad0", "", "2M"),
        ("tap:heptad0", "delay = \"2ms\"\nloss = \"1%\"", "1M"),
        ("tun:heptad0", "rate = \"1 Gbit\"", "2M"),
        ("tap:heptad0", "mtu = 9000", "2M"),
    ] {
        let Some(linux) = listening() else { return };
        linux.up(&bob_runs(WEB, end, cable), "heptad0", &["--no-capture"]);
        linux.ip("addr add fd09::1/64 dev heptad0 nodad");
        curl_compares(&linux, &IPV6, size);
        assert_eq!(linux.bad_checksums(), 0, "{end} {cable}");
        linux.down();
    }
}

#[test]
fn iperf3_runs_over_ipv6_both_ways() {
    if !has_program("iperf3") {
        return;
    }
    let Some(linux) = listening() else { return };
    let lab = bob_runs(IPERF, "tap:heptad0", "");
    linux.up(&lab, "heptad0", &["--no-capture"]);
    linux.ip("addr add fd09::1/64 dev heptad0 nodad");
    for way in [&["-6"][..], &["-6", "-R"]] {
        // What waits in bob's buffer at the end, up to 16 MiB, is not counted.
        let received = iperf3(&linux, "100M", IPV6.bob, way).received;
        assert!(received > 70_000_000, "{way:?}: {received}");
    }
    assert_eq!(linux.bad_checksums(), 0);
    linux.down();
}

#[test]
#[ignore = "moves 4 GB and measures: cargo xtask ci --full --only neighbours"]
fn a_gigabyte_of_ipv6_each_way_beside_two_kernels_over_veth() {
    if !has_program("iperf3") {
        return;
    }
    let Some(linux) = listening() else { return };
    let fast = ["--no-capture", "--no-event-hash"];
    linux.up(&bob_runs(IPERF, "tap:heptad0", ""), "heptad0", &fast);
    linux.ip("addr add fd09::1/64 dev heptad0 nodad");
    gigabyte_each_way(&linux, &IPV6);
    assert_eq!(linux.bad_checksums(), 0);
    linux.down();
}

#[test]
#[ignore = "moves 2 GB: cargo xtask ci --full --only neighbours"]
fn a_gigabyte_that_curl_reads_each_way_over_ipv6_is_the_same_byte_for_byte() {
    let Some(linux) = listening() else { return };
    let fast = ["--no-capture", "--no-event-hash"];
    linux.up(&bob_runs(WEB, "tap:heptad0", ""), "heptad0", &fast);
    linux.ip("addr add fd09::1/64 dev heptad0 nodad");
    curl_compares(&linux, &IPV6, "1G");
    assert_eq!(linux.bad_checksums(), 0);
    linux.down();
}
