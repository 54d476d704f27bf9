//! `--mode netns`: programs that keep the kernel's sockets, on a lab's cables. Everything here is done by an ordinary user.
mod support;

use std::process::{Command, Stdio};

use support::ordinary::OrdinaryUser;
use support::{Ran, Sandbox, has_program, terminate, wait_for};

/// An ordinary user and its sandbox.
struct Ordinary {
    sandbox: Sandbox,
    user: OrdinaryUser,
}

impl Ordinary {
    /// `None`, and why: this machine lets no ordinary user make namespaces.
    fn new() -> Option<Self> {
        if !has_program("python3") || !has_program("setpriv") {
            return None;
        }
        let sandbox = Sandbox::new();
        let user = OrdinaryUser::of(&sandbox);
        let ordinary = Self { sandbox, user };
        let tried = ordinary.run(&["run", "--mode", "netns", "-q", "--", "true"]);
        if tried.code == Some(125) && tried.stderr.contains("no network namespace can be made") {
            eprintln!("skipped: {}", tried.stderr.trim_end());
            return None;
        }
        tried.expect_code(0);
        Some(ordinary)
    }

    fn command(&self, words: &[&str]) -> Command {
        let words = self.user.words(words);
        self.sandbox
            .program("timeout", &[&["60"], &words[..]].concat())
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::from(self.command(words).output().expect("heptad starts"))
    }

    /// A program of Python on a network of its own with these flags; what it printed.
    #[track_caller]
    fn python(&self, flags: &[&str], program: &str) -> Ran {
        let run = ["run", "--mode", "netns"];
        let program = ["--", "python3", "-c", program];
        self.run(&[&run, flags, &program].concat()).expect_code(0)
    }
}

#[test]
fn a_program_ends_as_it_ends_elsewhere() {
    let Some(user) = Ordinary::new() else { return };
    for (words, code) in [
        (&["sh", "-c", "exit 3"][..], 3),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["no-such-program"], 127),
        (&["/etc/hosts"], 126),
    ] {
        let run = ["run", "--mode", "netns", "-q", "--"];
        user.run(&[&run, words].concat()).expect_code(code);
    }
    user.sandbox.expect_nothing_left();
}

#[test]
fn what_a_program_sends_to_itself_takes_the_round_trip_of_the_cable() {
    let Some(user) = Ordinary::new() else { return };
    let echo = r#"
import socket, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("127.0.0.1", 7))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.connect(("localhost", 7))
begin = time.monotonic()
client.send(b"ping")
text, peer = server.recvfrom(100)
there = time.monotonic()
server.sendto(text, peer)
assert client.recv(100) == b"ping"
print(there - begin > 0.04, time.monotonic() - begin > 0.08, time.monotonic() - begin < 5)
"#;
    let ran = user.python(&["--rtt", "80ms"], echo);
    assert_eq!(ran.stdout, "True True True\n", "{ran:#?}");
    let swallowed = r#"
import socket
client = socket.socket(); client.settimeout(0.3)
server = socket.socket(); server.bind(("127.0.0.1", 80)); server.listen()
try: client.connect(("127.0.0.1", 80))
except TimeoutError: print("nobody answers")
"#;
    let ran = user.python(&["--loss", "100%"], swallowed);
    assert_eq!(ran.stdout, "nobody answers\n", "{ran:#?}");
    assert!(ran.stderr.contains("applied 100"), "{ran:#?}");
    user.sandbox.expect_nothing_left();
}

/// A server and its client, on one node: so many bytes each way, which must be the same.
const TRANSFER: &str = r#"
import socket, threading
listener = socket.create_server(("127.0.0.1", 8080))
def serve():
    peer, _ = listener.accept()
    while data := peer.recv(65536): peer.sendall(data)
    peer.close()
threading.Thread(target=serve).start()
sent = bytes(range(256)) * 1200
client = socket.create_connection(("localhost", 8080))
got = b""
def read():
    global got
    while data := client.recv(65536): got += data
reader = threading.Thread(target=read); reader.start()
client.sendall(sent); client.shutdown(socket.SHUT_WR); reader.join()
print("same", got == sent)
"#;

#[test]
fn the_kernels_tcp_carries_a_text_over_cables_of_every_kind() {
    let Some(user) = Ordinary::new() else { return };
    for flags in [
        &[][..],
        &["--rtt", "4ms"],
        &["--loss", "2%", "--rtt", "4ms", "--seed", "1"],
        &["--rate", "50 Mbit", "--corrupt", "1%"],
    ] {
        let ran = user.python(flags, TRANSFER);
        assert_eq!(ran.stdout, "same True\n", "{flags:?}: {ran:#?}");
    }
    user.sandbox.expect_nothing_left();
}

#[test]
fn a_packet_socket_sees_the_frames_and_io_uring_is_the_kernels() {
    let Some(user) = Ordinary::new() else { return };
    let sniffer = r#"
import ctypes, socket
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
frames.bind(("eth0", 0))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendto("안녕".encode(), ("127.0.0.1", 9))
seen = set()
while len(seen) < 2:
    frame, (_, _, kind, _, _) = frames.recvfrom(2000)
    if "안녕".encode() in frame: seen.add(kind)
print("out and in", sorted(seen) == [0, 4])
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 8, ctypes.create_string_buffer(120))
print("ring", ring >= 0 or ctypes.get_errno() in (1, 38))
"#;
    let ran = user.python(&[], sniffer);
    assert_eq!(ran.stdout, "out and in True\nring True\n", "{ran:#?}");
    user.sandbox.expect_nothing_left();
}

/// Linux's stack and ours, a router between them, a cable that loses frames.
const TWO: &str = r#"
name = "two"
seed = 3
[nodes.linux]
stack = "kernel"
address = ["10.0.1.10/24", "fd00:1::10/64"]
gateway = ["10.0.1.1", "fd00:1::1"]
[nodes.ours]
address = ["10.0.2.20/24", "fd00:2::20/64"]
gateway = ["10.0.2.1", "fd00:2::1"]
[nodes.r]
kind = "router"
[[links]]
endpoints = ["linux", "r"]
delay = "3ms"
loss = "1%"
[[links]]
endpoints = ["r", "ours"]
"#;
const SERVER: &str = r#"
import socket, sys
listener = socket.create_server(("::", 9000), family=socket.AF_INET6, dualstack_ipv6=True)
open(sys.argv[1], "w").close()
while True:
    peer, _ = listener.accept()
    while data := peer.recv(65536): peer.sendall(data)
    peer.close()
"#;
const CLIENT: &str = r#"
import socket, sys, threading
sent = bytes(range(256)) * 1200
for host in sys.argv[1:]:
    peer = socket.create_connection((host, 9000))
    threading.Thread(target=lambda: (peer.sendall(sent), peer.shutdown(socket.SHUT_WR))).start()
    got = b""
    while data := peer.recv(65536): got += data
    print(host, "same", got == sent)
"#;

#[test]
fn linuxs_tcp_and_ours_talk_over_a_lab_in_both_families_and_directions() {
    let Some(user) = Ordinary::new() else { return };
    user.sandbox.write("lab.toml", TWO);
    user.sandbox.write("server.py", SERVER);
    user.sandbox.write("client.py", CLIENT);
    user.run(&["lab", "up", "--no-capture", "lab.toml"])
        .expect_code(0);
    let mut servers = Vec::new();
    for node in ["linux", "ours"] {
        let words = ["exec", node, "--", "python3", "server.py", node];
        let mut server = user.command(&words);
        servers.push(server.stdout(Stdio::null()).spawn().expect("a server"));
        wait_for(node, || user.sandbox.path(node).exists());
    }
    for (node, hosts) in [
        ("linux", ["10.0.2.20", "fd00:2::20", "ours"]),
        ("ours", ["10.0.1.10", "fd00:1::10", "linux"]),
        // A second program of one node reaches the first.
        ("linux", ["127.0.0.1", "::1", "linux"]),
    ] {
        let client = ["exec", node, "--", "python3", "client.py"];
        let ran = user.run(&[&client, &hosts[..]].concat()).expect_code(0);
        let expected: Vec<_> = hosts
            .iter()
            .map(|host| format!("{host} same True"))
            .collect();
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected, "{ran:#?}");
    }
    let ping = user.run(&["ping", "-c", "5", "-i", "0.1", "--node", "ours", "linux"]);
    assert!(ping.stdout.contains("bytes from"), "{ping:#?}");

    let refused = user.run(&["exec", "--mode", "netns", "ours", "--", "true"]);
    assert!(
        refused
            .expect_code(2)
            .stderr
            .contains("`stack = \"kernel\"`")
    );
    let refused = user.run(&["exec", "--mode", "seccomp", "linux", "--", "true"]);
    assert!(refused.expect_code(2).stderr.contains("--mode netns"));
    // A program whose lab goes away is killed.
    user.run(&["lab", "down"]).expect_code(0);
    for server in &mut servers {
        assert_eq!(server.wait().expect("an end").code(), Some(125));
    }
    user.sandbox.expect_nothing_left();
}

#[test]
fn a_signal_reaches_the_program_and_its_end_is_that_of_the_command() {
    let Some(user) = Ordinary::new() else { return };
    let program = r#"
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
open("ready", "w").close()
while True: time.sleep(1)
"#;
    let words = [
        "run", "--mode", "netns", "-q", "--", "python3", "-c", program,
    ];
    let mut heptad = user.user.heptad(&user.sandbox, &words);
    let mut running = heptad.spawn().expect("heptad");
    wait_for("the program", || user.sandbox.path("ready").exists());
    terminate(&running);
    assert_eq!(running.wait().expect("an end").code(), Some(9));
    user.sandbox.expect_nothing_left();
}

#[test]
fn ports_of_the_kernels_stack_are_not_published() {
    let sandbox = Sandbox::new();
    let words = ["run", "--mode", "netns", "-p", "0:80", "--", "true"];
    let ran = sandbox.run(&words).expect_code(2);
    assert!(ran.stderr.contains("--publish"), "{ran:#?}");
}
