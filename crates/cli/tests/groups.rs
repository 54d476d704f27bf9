//! What Python programs on three nodes of a switch see of groups, and of broadcasts.
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use support::{Sandbox, has_program};

const LAB: &str = "name = \"groups\"\n[nodes.a]\naddress = [\"10.0.0.1/24\", \"fd00::1/64\"]\n\
    [nodes.b]\naddress = [\"10.0.0.2/24\", \"fd00::2/64\"]\n[nodes.c]\naddress = [\"10.0.0.3/24\", \"fd00::3/64\"]\n\
    [nodes.sw]\nkind = \"switch\"\n[[links]]\nendpoints = [\"a:eth0\", \"sw:1\"]\n\
    [[links]]\nendpoints = [\"b:eth0\", \"sw:2\"]\n[[links]]\nendpoints = [\"c:eth0\", \"sw:3\"]\n";

fn up() -> Option<Sandbox> {
    if !has_program("python3") {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.write("lab.toml", LAB);
    let words = ["lab", "up", "lab.toml", "--seed", "1", "--no-capture"];
    sandbox.run(&words).expect_code(0);
    Some(sandbox)
}
fn down(sandbox: &Sandbox) {
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

/// A Python program on a node that has said that it is ready; what it says after that.
fn start(
    sandbox: &Sandbox,
    node: &str,
    script: &str,
) -> (Child, BufReader<std::process::ChildStdout>) {
    let words = ["exec", node, "--", "python3", "-c", script];
    let mut command = sandbox.heptad(&words);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("heptad starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    (child, lines)
}
#[track_caller]
fn python(sandbox: &Sandbox, node: &str, script: &str) -> String {
    let words = ["exec", node, "--", "python3", "-c", script];
    sandbox.run(&words).expect_code(0).stdout
}
fn said(lines: BufReader<std::process::ChildStdout>) -> String {
    let lines: Vec<String> = lines.lines().map(|line| line.expect("text")).collect();
    lines.join("\n")
}

#[test]
fn everybody_in_a_group_hears_it_by_both_families() {
    let Some(sandbox) = up() else { return };
    // Two programs share the port on each node, as announcers of services do.
    let member = "
import socket, struct
v4 = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for s in v4:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('239.1.2.3', 5000))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + bytes(4))
v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); v6.bind(('::', 5001))
v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, 'ff15::1234') + struct.pack('i', 2))
print('ready', flush=True)
for s in v4 + [v6]:
    s.settimeout(20); data, who = s.recvfrom(100); print(data.decode(), who[0], flush=True)
";
    let (mut b, b_says) = start(&sandbox, "b", member);
    let (mut c, c_says) = start(&sandbox, "c", member);
    let table = sandbox
        .run(&["netstat", "-g", "--node", "b"])
        .expect_code(0);
    assert!(
        table.stdout.contains("eth0            2      239.1.2.3"),
        "{table:#?}"
    );
    python(
        &sandbox,
        "a",
        "
import socket
v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v4.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('10.0.0.1'))
assert v4.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4) == socket.inet_aton('10.0.0.1')
assert v4.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 1
v4.sendto(b'four', ('239.1.2.3', 5000))
v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
v6.sendto(b'six', ('ff15::1234%2', 5001, 0, 2))
",
    );
    let expected = "four 10.0.0.1\nfour 10.0.0.1\nsix fd00::1";
    for (child, says) in [(&mut b, b_says), (&mut c, c_says)] {
        assert_eq!(said(says), expected);
        assert!(child.wait().expect("it ends").success());
    }
    // Whoever ends has left.
    let table = sandbox
        .run(&["netstat", "-g", "--node", "b"])
        .expect_code(0);
    assert!(!table.stdout.contains("239.1.2.3"), "{table:#?}");
    down(&sandbox);
}

#[test]
fn answers_about_groups_are_those_of_linux() {
    let Some(sandbox) = up() else { return };
    let script = "
import errno, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def answer(*words):
    try: s.setsockopt(*words); return 'ok'
    except OSError as e: return errno.errorcode[e.errno]
ip, group = socket.IPPROTO_IP, socket.inet_aton('239.1.2.3')
one, any, nowhere = (socket.inet_aton(a) for a in ('127.0.0.1', '0.0.0.0', '203.0.113.9'))
add, drop = socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP
add_source, drop_source, block, unblock = 39, 40, 38, 37
print(answer(ip, add, group + one), answer(ip, add, group + one), answer(ip, drop, group + one), answer(ip, drop, group + one))
print(answer(ip, add, socket.inet_aton('10.0.0.9') + one), answer(ip, add, group + nowhere), answer(ip, add, group))
print(answer(ip, block, group + one + nowhere), answer(ip, add_source, group + one + nowhere), answer(ip, add_source, group + one + nowhere))
print(answer(ip, block, group + one + nowhere), answer(ip, drop_source, group + one + one), answer(ip, drop_source, group + one + nowhere), answer(ip, drop, group + one))
print(*{answer(ip, add, socket.inet_aton('239.0.0.%d' % n) + one) for n in range(20)}, answer(ip, add, group + one))
print(answer(ip, socket.IP_MULTICAST_TTL, 256), answer(ip, socket.IP_MULTICAST_TTL, -1), s.getsockopt(ip, socket.IP_MULTICAST_TTL))
print(answer(ip, socket.IP_MULTICAST_LOOP, 0), s.getsockopt(ip, socket.IP_MULTICAST_LOOP), answer(ip, socket.IP_MULTICAST_IF, nowhere), s.getsockopt(ip, 49), answer(ip, 49, 2))
s.close(); s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
print(answer(ip, add, group + one), answer(ip, socket.IP_MULTICAST_TTL, 2))
s.close(); s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
v6, group = socket.IPPROTO_IPV6, socket.inet_pton(socket.AF_INET6, 'ff15::1234')
def lo(n): return group + struct.pack('i', n)
print(answer(v6, 20, lo(1)), answer(v6, 20, lo(1)), answer(v6, 20, lo(99)), answer(v6, 21, lo(1)), answer(v6, 21, lo(1)))
print(answer(v6, socket.IPV6_MULTICAST_HOPS, -2), answer(v6, socket.IPV6_MULTICAST_HOPS, 7), s.getsockopt(v6, socket.IPV6_MULTICAST_HOPS), answer(v6, socket.IPV6_MULTICAST_IF, 99), s.getsockopt(v6, socket.IPV6_MULTICAST_LOOP))
s.setsockopt(v6, socket.IPV6_MULTICAST_IF, 1); print(s.getsockopt(v6, socket.IPV6_MULTICAST_IF))
s.close(); s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(answer(socket.SOL_SOCKET, socket.SO_BROADCAST, 0), end=' ')
try: s.sendto(b'all', ('255.255.255.255', 9))
except OSError as e: print(errno.errorcode[e.errno])
";
    let ours = python(&sandbox, "a", script);
    let kernel = sandbox.program("python3", &["-c", script]).output();
    let kernels = String::from_utf8(kernel.expect("python starts").stdout).expect("text");
    assert_eq!(ours, kernels);
    down(&sandbox);
}

#[test]
fn a_broadcast_reaches_every_socket_at_its_port() {
    let Some(sandbox) = up() else { return };
    let (mut b, says) = start(
        &sandbox,
        "b",
        "
import socket
def at(ip):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((ip, 9)); s.settimeout(20); return s
all = [at(''), at(''), at('10.0.0.255')]
print('ready', flush=True)
for s in all: print(s.recvfrom(100)[0].decode(), flush=True)
",
    );
    python(
        &sandbox,
        "a",
        "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.sendto(b'all', ('10.0.0.255', 9))
",
    );
    assert_eq!(said(says), "all\nall\nall");
    assert!(b.wait().expect("it ends").success());
    down(&sandbox);
}
