//! Programs on the nodes of a lab: our own Ethernet, ARP, IPv4, UDP and TCP below them, in real time.

mod support;

use std::process::Command;

use heptad_lab::topology::Impairments;
use heptad_lab::{Lab, LabOptions, Topology};
use heptad_runner::Host;
use heptad_runtime::stack::EventMask;
use heptad_runtime::{Clock, Network, NetworkOptions};
use support::{Running, command_by, finish, semantics};

const PYTHON: &str = "/usr/bin/python3";

/// Two hosts, `a` (10.0.0.1) and `b` (10.0.0.2), on one cable.
struct Pair {
    network: Network,
    host: Host,
}

impl Pair {
    fn new() -> Self {
        Self::with(Impairments::default())
    }

    fn with(impairments: Impairments) -> Self {
        let options = LabOptions {
            seed: 42,
            event_hash: false,
            observe: false,
            events: EventMask::default(),
        };
        let lab = Lab::new(&Topology::pair(impairments), options).unwrap();
        let network = Network::start(
            lab,
            NetworkOptions {
                clock: Clock::Real,
                sinks: Vec::new(),
            },
        );
        let host = Host::start(network.clone()).unwrap();
        Self { network, host }
    }

    fn command(&self, node: &str, program: &[&str]) -> Command {
        self.command_by(&[], node, program)
    }

    fn command_by(&self, launcher: &[&str], node: &str, program: &[&str]) -> Command {
        let (guard, lab) = heptad_runner::channel().unwrap();
        self.host
            .attach(self.network.node(node).unwrap().machine(), lab)
            .unwrap();
        command_by(launcher, guard, program)
    }

    /// Starts a Python program on a node; its lines are waited for.
    fn start(&self, node: &str, script: &str) -> Running {
        Running::start(self.command(node, &[PYTHON, "-c", script]))
    }

    /// Runs a Python program on a node to its end, which must be good.
    fn python(&self, node: &str, script: &str) -> String {
        let (code, out, err) = finish(self.command(node, &[PYTHON, "-c", script]));
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        out
    }
}

#[test]
fn names_of_nodes_resolve_and_others_do_not() {
    let pair = Pair::new();
    let out = pair.python(
        "a",
        "
import socket
print(socket.gethostbyname('b'), socket.gethostbyname('a'), socket.getfqdn('10.0.0.2'))
try: socket.gethostbyname('nobody')
except socket.gaierror: print('unknown')
",
    );
    assert_eq!(out, "10.0.0.2 10.0.0.1 b\nunknown\n");
}

#[test]
fn datagrams_cross_the_cable() {
    let pair = Pair::new();
    let mut server = pair.start(
        "b",
        "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 9))
print('ready', flush=True)
data, who = u.recvfrom(2000)
print(data.decode(), who[0]); u.sendto(data.upper(), who)
",
    );
    assert_eq!(server.line(), "ready");
    let out = pair.python(
        "a",
        "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto('안녕 hi'.encode(), ('b', 9))
data, who = u.recvfrom(2000); print(data.decode(), who)
",
    );
    assert_eq!(out, "안녕 HI ('10.0.0.2', 9)\n");
    assert_eq!(server.line(), "안녕 hi 10.0.0.1");
    assert_eq!(server.end().0, 0);
}

#[test]
fn a_server_and_a_client_of_plain_python_talk_in_korean() {
    let pair = Pair::new();
    let mut server = pair.start(
        "b",
        "
import socket
l = socket.create_server(('0.0.0.0', 8080))
print('ready', flush=True)
c, peer = l.accept()
print(peer[0], c.makefile(encoding='utf-8').read(), flush=True)
c.sendall('반갑습니다'.encode()); c.close()
",
    );
    assert_eq!(server.line(), "ready");
    let owners = pair.host.owners();
    assert!(
        owners
            .iter()
            .any(|owner| owner.program.starts_with("python") && owner.fd >= 3),
        "{owners:?}"
    );
    let out = pair.python(
        "a",
        "
import socket
s = socket.create_connection(('b', 8080))
peer = s.getpeername()
s.sendall('안녕하세요'.encode()); s.shutdown(socket.SHUT_WR)
print(peer, s.makefile(encoding='utf-8').read())
",
    );
    assert_eq!(out, "('10.0.0.2', 8080) 반갑습니다\n");
    assert_eq!(server.line(), "10.0.0.1 안녕하세요");
    assert_eq!(server.end().0, 0);
}

#[test]
fn a_port_without_a_listener_refuses_and_a_port_in_use_is_taken() {
    let pair = Pair::new();
    let out = pair.python(
        "a",
        "
import socket, errno
try: socket.create_connection(('b', 1))
except ConnectionRefusedError: print('refused')
s = socket.socket(); s.setblocking(False)
print(errno.errorcode[s.connect_ex(('10.0.0.2', 1))])
import select; select.select([], [s], [])
print(errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
l = socket.create_server(('0.0.0.0', 80))
try: socket.create_server(('0.0.0.0', 80))
except OSError as e: print(errno.errorcode[e.errno])
try: socket.create_connection(('203.0.113.9', 80))
except OSError as e: print(errno.errorcode[e.errno])
",
    );
    assert_eq!(
        out,
        "refused\nEINPROGRESS\nECONNREFUSED\nEADDRINUSE\nENETUNREACH\n"
    );
}

#[test]
fn megabytes_arrive_whole_both_ways_at_once() {
    let pair = Pair::new();
    let common = "
import socket, threading, hashlib
data = bytes(range(256)) * 4096 * 8
def both(s):
    def send(): s.sendall(data); s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send); t.start()
    h = hashlib.sha256()
    while d := s.recv(100000): h.update(d)
    t.join(); s.close()
    print(h.digest() == hashlib.sha256(data).digest(), flush=True)
";
    let server = format!(
        "{common}
l = socket.create_server(('0.0.0.0', 8080)); print('ready', flush=True); both(l.accept()[0])"
    );
    let mut server = pair.start("b", &server);
    assert_eq!(server.line(), "ready");
    let client = format!("{common}\nboth(socket.create_connection(('b', 8080)))");
    assert_eq!(pair.python("a", &client), "True\n");
    assert_eq!(server.line(), "True");
    assert_eq!(server.end().0, 0);
}

#[test]
fn a_receiver_that_does_not_read_stops_the_sender_and_loses_nothing() {
    let pair = Pair::new();
    let mut server = pair.start(
        "b",
        "
import socket
l = socket.create_server(('0.0.0.0', 8080)); print('ready', flush=True)
c, _ = l.accept()
import sys; sys.stdin
n = 0
c.settimeout(None)
first = True
while d := c.recv(65536):
    if first: print('reading', flush=True); first = False
    n += len(d)
print(n, flush=True)
",
    );
    assert_eq!(server.line(), "ready");
    let out = pair.python(
        "a",
        "
import socket
s = socket.create_connection(('b', 8080)); s.setblocking(False)
sent = 0
block = b'x' * 65536
try:
    while sent < 1 << 30: sent += s.send(block)
except BlockingIOError: pass
s.setblocking(True); s.sendall(b'x' * 100); sent += 100
s.close(); print(sent)
",
    );
    assert_eq!(server.line(), "reading");
    assert_eq!(server.line(), out.trim());
    assert_eq!(server.end().0, 0);
}

#[test]
fn curl_fetches_from_a_python_web_server_as_an_ordinary_user() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("HEPTAD_REQUIRE_PROGRAMS").is_none(),
            "curl is missing"
        );
        eprintln!("skipped: curl is missing");
        return;
    }
    let nobody: &[&str] = if rustix::process::geteuid().is_root() {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
        ]
    } else {
        &[]
    };
    let pair = Pair::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page"), "x".repeat(300_000)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = [
        PYTHON,
        "-u",
        "-m",
        "http.server",
        "--directory",
        folder.path().to_str().unwrap(),
        "80",
    ];
    let mut server = Running::start(pair.command_by(nobody, "b", &server));
    assert!(server.line().starts_with("Serving HTTP"));
    let curl = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download}",
        "http://b/page",
    ];
    let (code, out, err) = finish(pair.command_by(nobody, "a", &curl));
    assert_eq!((code, out.as_str(), err.as_str()), (0, "200 300000", ""));
    let curl = ["curl", "-sS", "http://b:81/"];
    let (code, _, _) = finish(pair.command_by(nobody, "a", &curl));
    assert_eq!(code, 7, "curl's word for refused");
    // SAFETY: a signal to our own child. No interrupt: whoever runs the tests in the background ignores those.
    unsafe { libc::kill(server.child.id().cast_signed(), libc::SIGTERM) };
    server.end();
}

#[test]
fn a_threaded_server_answers_many_clients_over_a_lossy_cable() {
    use heptad_lab::topology::Loss;
    let pair = Pair::with(Impairments {
        loss: Loss::Random(0.05),
        delay: core::time::Duration::from_millis(5),
        ..Impairments::default()
    });
    let mut server = pair.start(
        "b",
        "
import socketserver
class H(socketserver.BaseRequestHandler):
    def handle(self):
        while d := self.request.recv(4096): self.request.sendall(d)
class S(socketserver.ThreadingTCPServer): daemon_threads = True
s = S(('0.0.0.0', 8080), H)
print('ready', flush=True)
s.serve_forever()
",
    );
    assert_eq!(server.line(), "ready");
    let out = pair.python(
        "a",
        "
import socket, threading
def one(n):
    s = socket.create_connection(('b', 8080))
    text = ('%d 안녕' % n).encode() * 500
    s.sendall(text); s.shutdown(socket.SHUT_WR)
    got = b''
    while d := s.recv(4096): got += d
    same.append(got == text)
same = []
ts = [threading.Thread(target=one, args=(n,)) for n in range(3)]
[t.start() for t in ts]; [t.join() for t in ts]
print(same)
",
    );
    assert_eq!(out, "[True, True, True]\n");
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(server.child.id().cast_signed(), libc::SIGTERM) };
    assert_eq!(server.end().0, 143);
}

#[test]
fn socket_semantics_are_the_kernels() {
    let Some(program) = semantics::build("socket-semantics") else {
        return;
    };
    semantics::compare(&["17", "70"], || {
        let pair = Pair::new();
        finish(pair.command("a", &[program.path.to_str().unwrap()])).1
    });
}

#[test]
fn sockets_of_both_families_are_the_kernels() {
    let Some(program) = semantics::build("families") else {
        return;
    };
    let pair = Pair::new();
    let (code, out, err) = finish(pair.command("a", &[program.path.to_str().unwrap()]));
    assert_eq!((code, err.as_str()), (0, ""));
    semantics::compare_families(&out);
}

#[test]
fn what_goes_beside_datagrams_is_the_kernels() {
    prints_what_the_kernel_prints(include_str!("foreign/ancillary.py"));
}

/// Where there is no private network a listener has a pair.
#[test]
fn what_is_said_of_listeners_and_of_refused_streams_is_the_kernels() {
    if semantics::has_room() {
        prints_what_the_kernel_prints(include_str!("foreign/listeners.py"));
    }
}

#[test]
fn datagrams_are_received_together() {
    prints_as_the_kernel(include_str!("foreign/many.py"), 5);
}

#[test]
fn times_of_arrival_are_told_as_the_kernel_tells_them() {
    prints_what_the_kernel_prints(include_str!("foreign/stamps.py"));
}

#[test]
fn sockets_are_bound_to_an_interface_as_the_kernel_binds_them() {
    prints_what_the_kernel_prints(include_str!("foreign/device.py"));
}

#[test]
fn who_is_bound_to_an_interface_speaks_and_hears_by_it_only() {
    let pair = Pair::new();
    let mut server = pair.start(
        "b",
        "
import select, socket
def at(name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 25, name); s.bind(('', 9)); return s
lo, eth = at(b'lo'), at(b'eth0'); print('ready', flush=True)
heard, _, _ = select.select([lo, eth], [], [], 20)
print([s.getsockopt(socket.SOL_SOCKET, 25, 16) for s in heard], heard[0].recv(99), flush=True)
",
    );
    assert_eq!(server.line(), "ready");
    let out = pair.python(
        "a",
        "
import errno, socket
def by(name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, 25, name)
    s.sendto(b'by ' + name, ('10.0.0.2', 9))
by(b'lo'); by(b'eth0')
t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, 25, b'eth0')
try: t.connect(('10.0.0.2', 80))
except OSError as e: print(errno.errorcode[e.errno])
",
    );
    assert_eq!(out, "ECONNREFUSED\n");
    assert_eq!(server.line(), "[b'eth0\\x00'] b'by eth0'");
    assert_eq!(server.end().0, 0);
}

#[test]
fn what_was_sent_before_an_option_goes_without_it() {
    let out = Pair::new().python(
        "a",
        "
import socket
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(('127.0.0.1', 0)); r.settimeout(20)
r.setsockopt(socket.IPPROTO_IP, 12, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(r.getsockname())
def hear():
    data, ((_, _, ttl),), _, _ = r.recvmsg(9, 99)
    return data, ttl[0]
for ttl in range(1, 201):
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl); s.send(b'by send'); s.sendto(b'by sendto', r.getsockname())
    s.send(b'again')
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
    heard = [hear() for _ in range(3)]
    assert heard == [(b'by send', ttl), (b'by sendto', ttl), (b'again', ttl)], (ttl, heard)
print('as sent')
",
    );
    assert_eq!(out, "as sent\n");
}

#[test]
fn streams_that_are_neither_connected_nor_listening_are_the_kernels() {
    prints_what_the_kernel_prints(include_str!("foreign/fresh.py"));
}

#[test]
fn path_mtu_discovery_of_datagram_sockets_is_the_kernels() {
    prints_what_the_kernel_prints(include_str!("foreign/mtu.py"));
}

#[test]
fn what_was_sent_before_a_connect_does_not_go_to_its_peer() {
    let out = Pair::new().python(
        "a",
        "
import socket
u = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for s in u: s.bind(('127.0.0.1', 0)); s.settimeout(20)
for turn in range(200):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try: s.send(b'to nobody')
    except OSError: pass
    s.connect(u[0].getsockname()); s.send(b'first'); s.connect(u[1].getsockname()); s.send(b'second'); s.close()
    heard = [s.recv(99) for s in u]; assert heard == [b'first', b'second'], (turn, heard)
print('as sent')
",
    );
    assert_eq!(out, "as sent\n");
}

#[test]
fn datagrams_that_nobody_may_fragment_are_refused_by_their_length() {
    let pair = Pair::new();
    let mut server = pair.start(
        "b",
        "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('', 9)); u.settimeout(20)
print('ready', flush=True)
print(*[len(u.recv(2000)) for _ in range(9)])
",
    );
    assert_eq!(server.line(), "ready");
    let out = pair.python(
        "a",
        "
import errno, socket, struct
IP_MTU_DISCOVER, IP_MTU, IP_RECVERR, MSG_ERRQUEUE = 10, 14, 11, 0x2000
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); to = ('10.0.0.2', 9)
def send(size):
    try: return s.sendto(bytes(size), to)
    except OSError as e: return errno.errorcode[e.errno]
s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
for mode in range(6):
    s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, mode)
    print(mode, send(1472), send(1473), end=' ')
    try:
        data, ((_, _, told),), _, about = s.recvmsg(9, 99, MSG_ERRQUEUE)
        number, origin, kind, code, _, mtu, _ = struct.unpack('=IBBBBII', told[:16])
        print(data, errno.errorcode[number], origin, kind, code, mtu, about)
    except BlockingIOError: print('no error')
s.connect(to); print(s.getsockopt(socket.IPPROTO_IP, IP_MTU))
",
    );
    let expected = "\
0 1472 1473 no error
1 1472 1473 no error
2 1472 EMSGSIZE b'' EMSGSIZE 1 0 0 1500 ('10.0.0.2', 9)
3 1472 EMSGSIZE b'' EMSGSIZE 1 0 0 1500 ('10.0.0.2', 9)
4 1472 EMSGSIZE b'' EMSGSIZE 1 0 0 1500 ('10.0.0.2', 9)
5 1472 1473 no error
1500
";
    assert_eq!(out, expected);
    assert_eq!(
        server.line(),
        "1472 1473 1472 1473 1472 1472 1472 1472 1473"
    );
    assert_eq!(server.end().0, 0);
}

/// On a node's loopback as on the kernel's, line by line.
fn prints_what_the_kernel_prints(script: &str) {
    prints_as_the_kernel(script, 25);
}

/// A script of at least so many lines.
fn prints_as_the_kernel(script: &str, at_least: usize) {
    let native = Command::new(PYTHON).args(["-c", script]).output().unwrap();
    let expected = String::from_utf8(native.stdout).unwrap();
    let wanted: Vec<&str> = expected.lines().collect();
    // Each family has as many lines; a kernel without ::1 ends after the first.
    assert!(wanted.len() >= at_least, "{expected}");
    let out = Pair::new().python("a", script);
    let shown: Vec<&str> = out.lines().take(wanted.len()).collect();
    assert_eq!(shown, wanted);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn hundreds_of_connections_leave_nothing_behind_in_the_host() {
    let pair = Pair::new();
    let mut server = pair.start(
        "b",
        "
import socketserver
class H(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(self.request.recv(100).upper())
class S(socketserver.TCPServer): request_queue_size = 64
s = S(('0.0.0.0', 8080), H)
print('ready', flush=True)
for n in range(301): s.handle_request()
print('served', flush=True)
",
    );
    assert_eq!(server.line(), "ready");
    let client = "
import socket
for n in range(%d):
    s = socket.create_connection(('10.0.0.2', 8080))
    s.sendall(b'n'); assert s.recv(10) == b'N'; assert s.recv(1) == b''; s.close()
";
    pair.python("a", &client.replace("%d", "1"));
    let before = descriptors();
    pair.python("a", &client.replace("%d", "300"));
    assert_eq!(server.line(), "served");
    assert_eq!(server.end().0, 0);
    let after = descriptors();
    assert!(
        after <= before + 40,
        "{before} descriptors before, {after} after (other tests run beside this one)"
    );
}

#[test]
fn netcat_and_a_static_program_talk() {
    let missing = |program: &str| {
        let there = Command::new("sh")
            .args(["-c", &format!("command -v {program} >/dev/null")])
            .status()
            .is_ok_and(|status| status.success());
        let required = std::env::var_os("HEPTAD_REQUIRE_PROGRAMS").is_some();
        assert!(there || !required, "{program} is missing");
        !there
    };
    if missing("nc") || missing("gcc") {
        eprintln!("skipped: needs nc and gcc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("say.c"), folder.path().join("say"));
    std::fs::write(
        &source,
        r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(8080)};
    char text[100];
    int s = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "10.0.0.2", &to.sin_addr);
    if (connect(s, (void *)&to, sizeof to) || write(s, "static\n", 7) != 7) return perror("say"), 1;
    shutdown(s, SHUT_WR);
    int n = read(s, text, sizeof text);
    return write(1, text, n) != n;
}
"#,
    )
    .unwrap();
    let built = Command::new("gcc")
        .args(["-static", "-o"])
        .args([&program, &source])
        .status();
    assert!(built.unwrap().success());
    let pair = Pair::new();
    let mut server = Running::start(pair.command(
        "b",
        &["sh", "-c", "echo ready; echo reply | nc -l -N -p 8080"],
    ));
    assert_eq!(server.line(), "ready");
    // nc listens some time after its shell has spoken; the program tries until then.
    let (code, out, err) = finish(pair.command(
        "a",
        &[
            "sh",
            "-c",
            "until \"$0\" 2>/dev/null; do :; done",
            program.to_str().unwrap(),
        ],
    ));
    assert_eq!((code, out.as_str(), err.as_str()), (0, "reply\n", ""));
    assert_eq!(server.line(), "static");
    assert_eq!(server.end().0, 0);
}
