//! `heptad run`: unmodified programs on a network of their own.
mod support;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use support::ordinary::OrdinaryUser;
use support::{Ran, Sandbox, has_program, wait_for};

const SERVER: &str = r#"
import socket, sys, threading
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", 8080)); listener.listen()
open("ready", "w").close()
def serve(c):
    while data := c.recv(4096): c.sendall(data)
    c.close()
threads = []
for _ in range(3):
    c, _a = listener.accept()
    threads.append(threading.Thread(target=serve, args=(c,))); threads[-1].start()
for t in threads: t.join()
"#;
const CLIENT: &str = r#"
import socket, sys
text = (sys.argv[1] * 2000).encode("utf-8")
c = socket.create_connection(("127.0.0.1", 8080)); c.sendall(text); c.shutdown(socket.SHUT_WR)
got = b""
while data := c.recv(4096): got += data
assert got == text, (len(got), len(text))
sys.stdout.write(f"same {sys.argv[1]} {len(got)}\n")
"#;
const STORY: &str = "python3 server.py & until [ -e ready ]; do :; done; \
    python3 client.py 안녕 & python3 client.py 하세요 & python3 client.py 'hello ' ; wait";

fn with_programs() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("server.py", SERVER);
    sandbox.write("client.py", CLIENT);
    sandbox
}

fn expect_three(ran: &Ran) {
    for line in ["same 안녕 12000", "same 하세요 18000", "same hello  12000"] {
        assert!(ran.stdout.contains(line), "{line} is missing: {ran:#?}");
    }
}

#[test]
fn a_threaded_server_and_three_clients_talk_over_a_bad_cable() {
    if !has_program("python3") {
        return;
    }
    let sandbox = with_programs();
    let words = [
        "run", "--loss", "5%", "--rtt", "20ms", "--seed", "1", "--", "sh", "-c", STORY,
    ];
    let ran = sandbox.run(&words).expect_code(0);
    expect_three(&ran);
    assert!(
        ran.stderr.contains("loss") && ran.stderr.contains("asked 5"),
        "{ran:#?}"
    );
    sandbox.expect_nothing_left();
}

#[test]
fn nobody_without_privileges_can_do_the_same() {
    if !has_program("python3") || !has_program("setpriv") {
        return;
    }
    let sandbox = with_programs();
    let user = OrdinaryUser::of(&sandbox);
    let words = ["--rtt", "20ms", "--seed", "1", "--", "sh", "-c", STORY];
    let words = [&["run", "--loss", "5%"], &words[..]].concat();
    let output = user.heptad(&sandbox, &words).output();
    expect_three(&Ran::from(output.expect("heptad starts")).expect_code(0));
    // A folder of PATH that this user may not look into does not make a missing program a forbidden one.
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
        .create(sandbox.path("closed"))
        .expect("a folder");
    let path = format!("{}:/usr/bin:/bin", sandbox.path("closed").display());
    let output = user
        .heptad(&sandbox, &["run", "--", "no-such-program"])
        .env("PATH", path)
        .output()
        .expect("heptad starts");
    Ran::from(output).expect_code(127);
    sandbox.expect_nothing_left();
}

#[test]
fn the_childs_exit_code_is_ours() {
    let sandbox = Sandbox::new();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        sandbox
            .run(&["run", "-q", "--", "sh", "-c", script])
            .expect_code(code);
    }
    sandbox.expect_nothing_left();
}

#[test]
fn a_program_that_leaves_our_process_group_ends_the_run_as_well() {
    let sandbox = Sandbox::new();
    let in_a_group_of_its_own = ["run", "-q", "--", "timeout", "20", "sh", "-c", "exit 7"];
    sandbox.run(&in_a_group_of_its_own).expect_code(7);
    sandbox.expect_nothing_left();
}

#[test]
fn signals_are_passed_on() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.heptad(&[
        "run",
        "-q",
        "--",
        "sh",
        "-c",
        "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("heptad starts");
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().expect("a pipe")),
        &mut line,
    )
    .expect("a line");
    assert_eq!(line, "ready\n");
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .is_ok_and(|status| status.success())
    );
    assert_eq!(child.wait().expect("an end").code(), Some(42));
    sandbox.expect_nothing_left();
}

const RETRY: &str = r#"
import socket, time
listener = socket.create_server(("127.0.0.1", 8080))
def connect():
    begin = time.monotonic()
    client = socket.create_connection(("127.0.0.1", 8080))
    server, _ = listener.accept()
    return client, server, time.monotonic() - begin
kept = [connect() for _ in range(3)]
print("slow", [took > 0.9 for _c, _s, took in kept])
for client, server, _ in kept:
    client.sendall(b"hello")
    try: print(server.recv(9), end=" ")
    except ConnectionResetError: print("reset", end=" ")
    try: client.settimeout(0.1); client.recv(1); print("ended")
    except ConnectionResetError: print("reset")
    except TimeoutError: print("open")
"#;
const THIRD_SYN_AND_SECOND_CONNECTION: &str = r#"
[[on]]
packet = "syn"
nth = 3
do = "drop"

[[on]]
connection = 2
do = "reset"
"#;

#[test]
fn a_script_loses_the_third_syn_and_resets_the_second_connection() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("retry.py", RETRY);
    sandbox.write("faults.toml", THIRD_SYN_AND_SECOND_CONNECTION);
    let words = [
        "run",
        "--script",
        "faults.toml",
        "--",
        "python3",
        "retry.py",
    ];
    let ran = sandbox.run(&words).expect_code(0);
    let expected = "slow [False, False, True]\nb'hello' open\nreset reset\nb'hello' open\n";
    assert_eq!(ran.stdout, expected, "{ran:#?}");
    for told in ["asked drop syn, nth 3", "asked reset data, connection 2"] {
        assert!(ran.stderr.contains(told), "{told}: {ran:#?}");
    }
    sandbox.expect_nothing_left();
}

#[test]
fn a_cable_doubles_mixes_up_and_damages_what_a_program_still_reads_whole() {
    if !has_program("python3") {
        return;
    }
    let sandbox = with_programs();
    let faults = ["--duplicate", "5%", "--reorder", "5%", "--corrupt", "5%"];
    let words = [
        &["run", "--seed", "3"][..],
        &faults,
        &["--", "sh", "-c", STORY],
    ]
    .concat();
    let ran = sandbox.run(&words).expect_code(0);
    expect_three(&ran);
    for fault in ["duplicate", "reorder", "corrupt"] {
        assert!(ran.stderr.contains(fault), "{fault}: {ran:#?}");
    }
    sandbox.expect_nothing_left();
}

#[test]
fn a_script_that_is_wrong_is_shown_where_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write("wrong.toml", "[[on]]\npacket = \"synn\"\ndo = \"drop\"\n");
    let run = |words: &[&str]| sandbox.run(words).expect_code(2).stderr;
    let told = run(&["run", "--script", "wrong.toml", "--", "true"]);
    for part in [
        "wrong.toml:2:10",
        "`synn` is not a kind of packet",
        "did you mean `syn`?",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = run(&["run", "--script", "none.toml", "--", "true"]);
    assert!(told.contains("cannot read none.toml"), "{told}");
    let told = run(&["run", "--duplicate", "140%", "--", "true"]);
    assert!(
        told.contains("--duplicate: 140 % is more than 100 %"),
        "{told}"
    );
}

#[test]
fn what_a_script_asks_for_and_never_came_ends_with_1() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write(
        "late.toml",
        "[[on]]\npacket = \"syn\"\nnth = 9\ndo = \"drop\"\n",
    );
    let connect = "import socket as s; l = s.create_server(('127.0.0.1', 80)); s.create_connection(('127.0.0.1', 80))";
    let words = [
        "run",
        "--script",
        "late.toml",
        "--",
        "python3",
        "-c",
        connect,
    ];
    let ran = sandbox.run(&words).expect_code(1);
    assert!(
        ran.stderr.contains("only 1 came by: 1 never did"),
        "{ran:#?}"
    );
}

#[test]
fn nc_talks_to_nc() {
    if !has_program("nc") {
        return;
    }
    let sandbox = Sandbox::new();
    let story = "nc -l 127.0.0.1 9000 > got & until echo 안녕 | nc -N 127.0.0.1 9000; do :; done; wait; cat got";
    let ran = sandbox
        .run(&["run", "-q", "--rtt", "4ms", "--", "sh", "-c", story])
        .expect_code(0);
    assert!(ran.stdout.ends_with("안녕\n"), "{ran:#?}");
}

#[test]
fn a_static_program_needs_no_libc_of_ours() {
    if !has_program("gcc") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("echo.c", STATIC_ECHO);
    let built = sandbox
        .program("gcc", &["-static", "-pthread", "-o", "echo", "echo.c"])
        .output()
        .expect("gcc starts");
    Ran::from(built).expect_code(0);
    let ran = sandbox
        .run(&["run", "-q", "--loss", "2%", "--seed", "3", "--", "./echo"])
        .expect_code(0);
    assert_eq!(ran.stdout, "안녕\n", "{ran:#?}");
}

const STATIC_ECHO: &str = r#"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static void *serve(void *p) { int l = *(int *)p, c = accept(l, 0, 0); char b[64]; ssize_t n; while ((n = read(c, b, sizeof b)) > 0) write(c, b, n); close(c); return 0; }
int main(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0); pthread_t t; char b[64]; ssize_t n;
  if (bind(l, (void *)&a, sizeof a) || listen(l, 8)) return 1;
  pthread_create(&t, 0, serve, &l);
  if (connect(c, (void *)&a, sizeof a)) return 2;
  write(c, "안녕\n", 7); shutdown(c, SHUT_WR);
  while ((n = read(c, b, sizeof b)) > 0) write(1, b, n);
  pthread_join(t, 0); return 0; }
"#;

/// Whichever process of ours is killed, nothing of it stays.
#[test]
fn sigkill_at_any_process_leaves_nothing_behind() {
    let count = {
        let sandbox = Sandbox::new();
        let (mut child, pids) = start_sleeper(&sandbox);
        child.kill().expect("a running child");
        child.wait().expect("an end");
        sandbox.expect_nothing_left();
        pids.len()
    };
    assert_eq!(count, 4, "front, host, guard and program");
    for victim in 0..count {
        let sandbox = Sandbox::new();
        let (mut child, pids) = start_sleeper(&sandbox);
        assert!(
            Command::new("kill")
                .args(["-KILL", &pids[victim].to_string()])
                .status()
                .is_ok_and(|status| status.success())
        );
        let reap = std::thread::spawn(move || child.wait());
        sandbox.expect_nothing_left();
        reap.join().expect("a reaper").expect("an end");
    }
}

/// A program with a grandchild in a session of its own, running. Our processes and the program, in the order of their ids; the
/// grandchild is not among them: its death is the program's own affair.
fn start_sleeper(sandbox: &Sandbox) -> (std::process::Child, Vec<u32>) {
    let story = "(setsid sleep 1000 & echo > grandchild); echo > child; exec sleep 1001";
    let child = sandbox
        .heptad(&["run", "-q", "--", "sh", "-c", story])
        .process_group(0)
        .spawn()
        .expect("heptad starts");
    wait_for("the programs to run", || {
        sandbox.path("grandchild").exists() && sandbox.path("child").exists()
    });
    let sleeping = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .unwrap_or_default()
            .starts_with(b"sleep")
    };
    wait_for("both to sleep", || {
        sandbox.alive().iter().filter(|pid| sleeping(pid)).count() == 2
    });
    let grandchild = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default() == b"sleep\x001000\0"
    };
    (
        child,
        sandbox
            .alive()
            .into_iter()
            .filter(|pid| !grandchild(pid))
            .collect(),
    )
}
