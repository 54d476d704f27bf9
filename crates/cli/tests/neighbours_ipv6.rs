//! Linux as a neighbour over IPv6: routers, hosts, fragments, narrow ways and duplicate addresses, each with the kernel at
//! the other end of a TAP.
mod support;

use std::fs;

use support::linux::Linux;
use support::{has_program, wait_for};

/// A router of ours on the kernel's cable, and bob behind it; more lines for bob's cable come last.
fn behind_router(cable: &str) -> String {
    format!(
        "name = \"neighbours\"\n[nodes.r1]\nkind = \"router\"\naddress = [\"10.9.0.254/24\", \"fd09::254/64\"]\n\
         [nodes.bob]\naddress = [\"10.9.1.20/24\", \"fd09:1::20/64\"]\ngateway = [\"10.9.1.1\", \"fd09:1::1\"]\n\
         run = [\"python3\", \"-m\", \"http.server\", \"--bind\", \"::\", \"80\"]\nready = \"tcp:80\"\n\
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
    linux.up(&behind_router(""), "heptad0", &["--no-capture"]);
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
    let lab = behind_router("mtu = 1280");
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
