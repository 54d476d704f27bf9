//! What programs ask the kernel about the network is told of their node: `ip`, `ss`, C libraries and runtimes, by netlink and
//! by the requests of netdevice(7).
mod support;

use std::path::PathBuf;
use std::process::Command;

use support::pair::Pair;
use support::{Ran, has_program, wait_for};

fn has_all(programs: &[&str]) -> bool {
    programs.iter().all(|program| has_program(program))
}

fn built_by(mut build: Command) {
    Ran::from(build.output().expect("a compiler")).expect_code(0);
}

/// The nodes, once nobody on the cable has their addresses: until then C libraries prefer others.
fn settled(file: &str) -> Pair {
    let pair = Pair::up_with(file);
    wait_for("addresses that are not asked for", || {
        let shown = pair.heptad(&["ip", "addr"]).expect_code(0);
        !shown.stdout.contains("optimistic")
    });
    pair
}

/// Both families, and a way to others.
const FILE: &str = "name = \"pair\"\n\
    [nodes.a]\naddress = [\"10.0.0.1/24\", \"fd00:1::1/64\"]\ngateway = [\"10.0.0.2\", \"fd00:1::2\"]\n\
    [nodes.b]\naddress = [\"10.0.0.2/24\", \"fd00:1::2/64\"]\n\
    [[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\ndelay = \"500us\"\n";

#[test]
fn the_real_ip_prints_what_heptads_own_prints() {
    if !has_all(&["ip", "setpriv"]) {
        return;
    }
    let pair = settled(FILE);
    for to in ["10.0.0.2", "fd00:1::2"] {
        pair.heptad(&["ping", "-c", "1", "--node", "a", to])
            .expect_code(0);
    }
    for words in [
        "addr",
        "-4 addr",
        "-6 addr",
        "-br addr",
        "-j addr",
        "addr show dev eth0",
        "link",
        "-br link",
        "link show dev lo",
        "route",
        "-6 route",
        "-j route",
        "neigh",
        "-6 neigh",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let real = pair.exec("a", &[&["ip"], &words[..]].concat());
        let own = pair.heptad(&[&["ip"], &words[..], &["--node", "a"]].concat());
        assert_eq!(real, own.expect_code(0).stdout, "{words:?}");
        assert!(!real.is_empty(), "{words:?}");
    }
    pair.down();
}

/// Words, exit code, what is printed, and what is complained of.
const ASKED: &[(&str, i32, &str, &str)] = &[
    (
        "route get 10.0.0.2",
        0,
        "10.0.0.2 dev eth0 src 10.0.0.1 \n    cache \n",
        "",
    ),
    (
        "route get 192.0.2.1",
        0,
        "192.0.2.1 via 10.0.0.2 dev eth0 src 10.0.0.1 \n    cache \n",
        "",
    ),
    (
        "route get 10.0.0.1",
        0,
        "local 10.0.0.1 dev lo src 10.0.0.1 \n    cache <local> \n",
        "",
    ),
    (
        "route get fd00:1::2",
        0,
        "fd00:1::2 from :: dev eth0 proto kernel src fd00:1::1 metric 256 pref medium\n",
        "",
    ),
    (
        "route show table local dev eth0",
        0,
        "local 10.0.0.1 proto kernel scope host src 10.0.0.1 \n\
         broadcast 10.0.0.255 proto kernel scope link src 10.0.0.1 \n",
        "",
    ),
    (
        "rule",
        0,
        "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n",
        "",
    ),
    ("link show eth7", 1, "", "Device \"eth7\" does not exist."),
    (
        "addr add 10.0.0.9/24 dev eth0",
        2,
        "",
        "RTNETLINK answers: Operation not permitted",
    ),
    (
        "link set eth0 mtu 1400",
        2,
        "",
        "RTNETLINK answers: Operation not permitted",
    ),
    (
        "route add 10.9.0.0/16 via 10.0.0.2",
        2,
        "",
        "RTNETLINK answers: Operation not permitted",
    ),
];

#[test]
fn the_real_ip_is_told_which_way_a_destination_goes_and_changes_nothing() {
    if !has_all(&["ip", "setpriv"]) {
        return;
    }
    let pair = settled(FILE);
    for (words, code, stdout, complaint) in ASKED {
        let words: Vec<&str> = words.split(' ').collect();
        let ran = pair.heptad(&[&["exec", "a", "--", "ip"], &words[..]].concat());
        let Ran { stdout: said, .. } = &ran;
        assert_eq!(said, stdout, "{words:?}: {ran:?}");
        assert!(ran.stderr.contains(complaint), "{words:?}: {ran:?}");
        ran.expect_code(*code);
    }
    pair.down();
}

const SOCKETS: &str = "
import signal, socket
l = socket.create_server(('0.0.0.0', 80), backlog=7)
c = socket.create_connection(('10.0.0.2', 80)); a, _ = l.accept()
six = socket.create_server(('::1', 81), family=socket.AF_INET6, backlog=7)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('10.0.0.2', 53))
print('ready', flush=True)
print(c.getsockname()[1], flush=True)
signal.pause()
";

/// Rows without their heads and without what is between the columns.
fn rows(text: &str) -> Vec<String> {
    let rows = text.lines().skip(1);
    let mut rows: Vec<String> = rows
        .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    rows.sort();
    rows
}

#[test]
fn the_real_ss_shows_the_nodes_sockets_and_who_holds_them() {
    if !has_all(&["ss", "setpriv", "python3"]) {
        return;
    }
    let mut pair = settled(FILE);
    let mut said = pair.serve(&["python3", "-c", SOCKETS]);
    let mut port = String::new();
    std::io::BufRead::read_line(&mut said, &mut port).expect("a port");
    let port = port.trim();
    let [ours, theirs] = [
        format!("ESTAB 0 0 10.0.0.2:{port} 10.0.0.2:80"),
        format!("ESTAB 0 0 10.0.0.2:80 10.0.0.2:{port}"),
    ];
    let [listener, six] = [
        "LISTEN 0 7 0.0.0.0:80 0.0.0.0:*",
        "LISTEN 0 7 [::1]:81 [::]:*",
    ];
    let datagram = "UNCONN 0 0 10.0.0.2:53 0.0.0.0:*";
    for (words, expected) in [
        ("-tan", vec![&ours[..], &theirs, listener, six]),
        ("-tn", vec![&ours, &theirs]),
        ("-ltn", vec![listener, six]),
        ("-ltn6", vec![six]),
        ("-uan", vec![datagram]),
        ("-tan state established dport = :80", vec![]),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let shown = rows(&pair.exec("b", &[&["ss"], &words[..]].concat()));
        match expected[..] {
            // A state that is chosen has no column.
            [] => assert_eq!(shown, [ours.replace("ESTAB ", "")], "{words:?}"),
            _ => assert_eq!(shown, expected, "{words:?}"),
        }
    }
    let both = rows(&pair.exec("b", &["ss", "-tuan"]));
    assert!(both.contains(&format!("udp {datagram}")), "{both:?}");
    assert_eq!(both.len(), 5);
    let holders = pair.exec("b", &["ss", "-ltnp"]);
    assert!(holders.contains("((\"python3\",pid="), "{holders}");
    let inside = pair.exec("b", &["ss", "-tinm", "sport", "=", ":80"]);
    for word in ["cubic", "rtt:", "cwnd:", "skmem:(r"] {
        assert!(inside.contains(word), "{word}: {inside}");
    }
    assert_eq!(rows(&pair.exec("a", &["ss", "-tuan"])), [""; 0]);
    pair.down();
}

#[test]
fn thousands_of_sockets_are_told_to_a_program_that_reads_slowly() {
    if !has_all(&["ss", "setpriv", "python3"]) {
        return;
    }
    let pair = settled(FILE);
    let script = "
import resource, socket, subprocess
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
count = min(3000, hard - 50)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
all = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for n in range(count)]
for n, s in enumerate(all): s.bind(('10.0.0.1', 10000 + n))
text = subprocess.run(['sh', '-c', 'ss -uanH'], capture_output=True, text=True).stdout
print(len(text.splitlines()) - count)
";
    assert_eq!(pair.python("a", script), "0\n");
    pair.down();
}

#[test]
fn a_netlink_socket_does_what_linuxs_does() {
    if !has_all(&["python3", "setpriv"]) {
        return;
    }
    let script = include_str!("support/netlink.py");
    let pair = settled(FILE);
    let kernel = pair.sandbox.program("python3", &["-c", script]).output();
    let kernel = Ran::from(kernel.expect("python3 starts"))
        .expect_code(0)
        .stdout;
    let ours = pair.python("a", script);
    let [kernel, ours]: [Vec<&str>; 2] = [&kernel, &ours].map(|text| text.lines().collect());
    assert_eq!(ours, kernel);
    assert!(ours.len() > 40);
    pair.down();
}

const GETIFADDRS: &str = r#"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
int main(void) {
    struct ifaddrs *all;
    if (getifaddrs(&all)) return 1;
    for (struct ifaddrs *one = all; one; one = one->ifa_next) {
        char text[64] = "-";
        int family = one->ifa_addr ? one->ifa_addr->sa_family : 0;
        if (family == AF_INET) inet_ntop(family, &((struct sockaddr_in *)one->ifa_addr)->sin_addr, text, 64);
        if (family == AF_INET6) inet_ntop(family, &((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr, text, 64);
        printf("%s %d %s %d\n", one->ifa_name, family, text, !!(one->ifa_flags & IFF_UP));
    }
    printf("%u %u\n", if_nametoindex("eth0"), if_nametoindex("eth7"));
    struct ifreq list[8];
    struct ifconf all_of_them = {.ifc_len = sizeof list, .ifc_req = list};
    if (ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCGIFCONF, &all_of_them)) return 2;
    for (int n = 0; n < all_of_them.ifc_len / sizeof *list; n++)
        printf("%s %s\n", list[n].ifr_name, inet_ntoa(((struct sockaddr_in *)&list[n].ifr_addr)->sin_addr));
    return 0;
}
"#;

#[test]
fn c_libraries_and_runtimes_know_the_nodes_interfaces() {
    if !has_all(&["gcc", "python3", "setpriv"]) {
        return;
    }
    let pair = settled(FILE);
    pair.sandbox.write("ifs.c", GETIFADDRS);
    for (name, linked) in [("shared", "-O2"), ("static", "-static")] {
        let built = pair
            .sandbox
            .program("gcc", &["-w", "-o", name, linked, "ifs.c"]);
        built_by(built);
        let said = pair.exec("a", &[&format!("./{name}")]);
        let expected = "lo 17 - 1\neth0 17 - 1\nlo 2 127.0.0.1 1\neth0 2 10.0.0.1 1\nlo 10 ::1 1\n\
             eth0 10 fd00:1::1 1\neth0 10 fe80::ff:fe01:0 1\n2 0\nlo 127.0.0.1\neth0 10.0.0.1\n";
        assert_eq!(said, expected, "{name}");
    }
    let script = "
import socket
print(socket.if_nameindex(), socket.if_nametoindex('eth0'), socket.if_indextoname(1))
found = socket.getaddrinfo('b', 80, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
print([who[4][0] for who in found])
";
    let expected = "[(1, 'lo'), (2, 'eth0')] 2 lo\n['fd00:1::2', '10.0.0.2']\n";
    assert_eq!(pair.python("a", script), expected);
    pair.down();
}

#[test]
fn addresses_of_a_family_that_a_node_lacks_are_not_resolved() {
    if !has_all(&["python3", "setpriv"]) {
        return;
    }
    let pair = settled(
        "name = \"pair\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\n\
         [nodes.b]\naddress = [\"10.0.0.2/24\", \"fd00:1::2/64\"]\n\
         [[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\n",
    );
    let script = "
import socket
for flags in 0, socket.AI_ADDRCONFIG:
    found = socket.getaddrinfo('b', 80, type=socket.SOCK_STREAM, flags=flags)
    print([who[4][0] for who in found])
";
    let expected = "['10.0.0.2', 'fd00:1::2']\n['10.0.0.2']\n";
    assert_eq!(pair.python("a", script), expected);
    pair.down();
}

#[test]
fn go_knows_the_nodes_interfaces() {
    if !has_all(&["go", "setpriv"]) {
        return;
    }
    let pair = settled(FILE);
    let source = "package main\nimport (\"fmt\"; \"net\")\nfunc main() {\n\
        all, err := net.Interfaces()\nfmt.Println(len(all), err)\n\
        for _, one := range all {\n addresses, err := one.Addrs()\n\
        fmt.Println(one.Index, one.MTU, one.Name, one.HardwareAddr, one.Flags, addresses, err)\n}\n}\n";
    pair.sandbox.write("ifs.go", source);
    // Go's own library takes long to build; its cache outlives the sandbox.
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("go-build");
    let mut build = pair
        .sandbox
        .program("go", &["build", "-o", "ifs", "ifs.go"]);
    build.env("CGO_ENABLED", "0").env("GO111MODULE", "off");
    build
        .env("GOCACHE", cache)
        .env("GOPATH", pair.sandbox.path("go"));
    built_by(build);
    let said = pair.exec("a", &["./ifs"]);
    let expected = "2 <nil>\n\
        1 65536 lo  up|loopback|running [127.0.0.1/8 ::1/128] <nil>\n\
        2 1500 eth0 02:00:00:01:00:00 up|broadcast|multicast|running \
        [10.0.0.1/24 fd00:1::1/64 fe80::ff:fe01:0/64] <nil>\n";
    // Older ones do not know the last flag.
    let known = |text: &str| text.replace("|running", "");
    assert_eq!(known(&said), known(expected));
    pair.down();
}
