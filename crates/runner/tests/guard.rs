//! The guard against a lab of a few lines: every socket is connected to itself, whatever it asks for.

mod support;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use heptad_runner::channel;
use heptad_runner::protocol::{Answer, Call, Outcome, Request};
use support::{Running, command, command_by, finish};

const PYTHON: &str = "/usr/bin/python3";

/// Serves one channel until it closes; returns the calls that came.
fn echoing_lab(lab: OwnedFd) -> JoinHandle<Vec<Call>> {
    thread::spawn(move || {
        let mut calls = Vec::new();
        let mut next = 1;
        loop {
            let mut fds = [rustix::event::PollFd::new(
                &lab,
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut fds, None).unwrap();
            let Some(message) = channel::receive(&lab).unwrap() else {
                continue;
            };
            if message.bytes.is_empty() {
                return calls;
            }
            let Request { id, call } = Request::decode(&message.bytes).unwrap();
            let mut fds: Vec<OwnedFd> = Vec::new();
            let result = match &call {
                Call::Socket { family: 2, .. } => {
                    let (end, mut lab_end) = UnixStream::pair().unwrap();
                    fds = vec![end.into(), lab_end.try_clone().unwrap().into()];
                    thread::spawn(move || {
                        let mut bytes = [0; 4096];
                        while let Ok(n @ 1..) = lab_end.read(&mut bytes) {
                            let _ = lab_end.write_all(&bytes[..n]);
                        }
                        let _ = lab_end.shutdown(std::net::Shutdown::Write);
                    });
                    next += 1;
                    Some(Ok(Outcome::Socket(next)))
                }
                Call::Socket { .. } => Some(Err(libc::EAFNOSUPPORT)),
                Call::Connect {
                    address: Some(address),
                    ..
                } if address.port() == 1 => Some(Err(libc::ECONNREFUSED)),
                Call::Connect { .. } | Call::SetOption { .. } | Call::Bind { .. } => {
                    Some(Ok(Outcome::Value(0)))
                }
                Call::Listen { .. } => Some(Ok(Outcome::Value(0))),
                Call::Name { .. } => Some(Ok(Outcome::Address("10.0.1.10:49152".parse().unwrap()))),
                Call::GetOption { .. } => Some(Ok(Outcome::Bytes(vec![0; 4]))),
                Call::Shutdown { .. } => Some(Ok(Outcome::Native)),
                // Nobody ever connects.
                Call::Accept { wait: true, .. } => None,
                Call::Accept { .. } => Some(Err(libc::EAGAIN)),
                _ => None,
            };
            calls.push(call);
            if let Some(result) = result {
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                let bytes = Answer::Done { id, result }.encode();
                let _ = channel::send(lab.as_fd(), &bytes, &fds, true);
            }
        }
    })
}

fn run(program: &[&str]) -> (i32, String, String, Vec<Call>) {
    let (guard, lab) = heptad_runner::channel().unwrap();
    let lab = echoing_lab(lab);
    let (code, stdout, stderr) = finish(command(guard, program));
    (code, stdout, stderr, lab.join().unwrap())
}

#[test]
fn a_python_client_connects_sends_and_receives() {
    let (code, out, err, calls) = run(&[
        PYTHON,
        "-c",
        "
import socket
s = socket.socket()
s.connect(('10.0.2.20', 8080))
s.sendall('안녕'.encode())
s.shutdown(socket.SHUT_WR)
print(s.makefile(encoding='utf-8').read(), s.getsockname())
",
    ]);
    assert_eq!(
        (code, out.trim(), err.as_str()),
        (0, "안녕 ('10.0.1.10', 49152)", "")
    );
    let to = "10.0.2.20:8080".parse().unwrap();
    assert!(
        calls
            .iter()
            .any(|c| matches!(c, Call::Connect { address: Some(a), wait: true, .. } if *a == to)),
        "{calls:?}"
    );
    assert!(matches!(calls.first(), Some(Call::Hello { program, .. }) if program == PYTHON));
    assert!(
        calls
            .iter()
            .any(|c| matches!(c, Call::Delivered { fd: 3.., .. })),
        "{calls:?}"
    );
}

#[test]
fn threads_dups_and_children_keep_the_socket_they_have() {
    let (code, out, err, _) = run(&[
        PYTHON,
        "-c",
        "
import socket, threading, os
def one(n):
    s = socket.create_connection(('10.0.2.20', 8080))
    d = s.dup(); s.close()
    assert d.getpeername()[1] == 49152
    d.sendall(b'x' * n)
    got = b''
    while len(got) < n: got += d.recv(65536)
    d.close()
ts = [threading.Thread(target=one, args=(10000 + i,)) for i in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
s = socket.create_connection(('10.0.2.20', 8080))
if os.fork() == 0:
    assert s.getsockname()[0] == '10.0.1.10'
    s.send(b'child')
    os._exit(0)
os.wait()
print(s.recv(10))
",
    ]);
    assert_eq!((code, out.trim(), err.as_str()), (0, "b'child'", ""));
}

#[test]
fn a_signal_never_breaks_off_a_fork_or_a_dup() {
    let (code, out, err, _) = run(&[
        PYTHON,
        "-c",
        "
import os, signal, socket
signal.signal(signal.SIGALRM, lambda *_: None)
s = socket.socket()
signal.setitimer(signal.ITIMER_REAL, .0002, .0002)
for _ in range(300):
    if (pid := os.fork()) == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(os.dup(s.fileno()))
signal.setitimer(signal.ITIMER_REAL, 0)
print('whole')
",
    ]);
    assert_eq!((code, out.trim(), err.as_str()), (0, "whole", ""));
}

#[test]
fn other_families_stay_the_kernels_and_what_the_lab_refuses_is_refused() {
    let (code, out, err, _) = run(&[
        PYTHON,
        "-c",
        "
import socket, array, os
a, b = socket.socketpair()
socket.send_fds(a, [b'fd'], [0])
data, fds, _, _ = socket.recv_fds(b, 10, 1)
assert data == b'fd' and len(fds) == 1
u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); u.bind('\\0heptad-%d' % os.getpid())
v = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); v.sendto(b'hi', u.getsockname())
assert u.recvfrom(10)[0] == b'hi'
n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); n.bind((0, 0))
assert n.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_RAW
try: socket.socket(socket.AF_INET6)
except OSError as e: print(e.errno)
try: os.close(99); 
except OSError as e: print(e.errno)
r = socket.socket()
try: r.connect(('10.0.0.1', 1))
except ConnectionRefusedError: print('refused')
",
    ]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "97\n9\nrefused\n", "")
    );
}

#[test]
fn a_signal_breaks_a_parked_accept_off_as_its_handler_asks() {
    let (code, out, err, calls) = run(&[
        PYTHON,
        "-c",
        "
import socket, signal
class Up(Exception): pass
def up(*a): raise Up
signal.signal(signal.SIGALRM, up)
s = socket.socket(); s.bind(('0.0.0.0', 8080)); s.listen()
signal.setitimer(signal.ITIMER_REAL, 0.1)
try: s.accept()
except Up: print('interrupted')
s.settimeout(0.05)
try: s.accept()
except TimeoutError: print('timed out')
s.setblocking(False)
try: s.accept()
except BlockingIOError: print('would block')
",
    ]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "interrupted\ntimed out\nwould block\n", "")
    );
    assert!(calls.contains(&Call::Cancel));
}

#[test]
fn a_receive_timeout_set_natively_ends_a_parked_accept() {
    let (code, out, err, calls) = run(&[
        PYTHON,
        "-c",
        "
import socket, struct
s = socket.socket(); s.bind(('0.0.0.0', 8080)); s.listen()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 0, 50000))
try: s.accept()
except BlockingIOError: print('EAGAIN')
",
    ]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "EAGAIN\n", ""));
    assert!(calls.contains(&Call::Cancel));
}

#[test]
fn the_exit_code_is_the_programs_own() {
    assert_eq!(run(&["sh", "-c", "exit 7"]).0, 7);
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).0, 143);
    assert_eq!(run(&["sh", "-c", "kill -KILL $$"]).0, 137);
    let (code, _, err, _) = run(&["heptad-no-such-program"]);
    assert_eq!(
        (code, err.as_str()),
        (127, "heptad: heptad-no-such-program: command not found\n")
    );
    let (code, _, err, _) = run(&["/etc/passwd"]);
    assert_eq!(
        (code, err.as_str()),
        (126, "heptad: /etc/passwd: Permission denied\n")
    );
}

#[test]
fn what_the_program_left_running_is_gone_when_it_has_ended() {
    let (code, out, _, _) = run(&[
        "sh",
        "-c",
        "(setsid sh -c 'sleep 1000 & sleep 1000') & echo $!; exit 3",
    ]);
    assert_eq!(code, 3);
    let pid: u32 = out.trim().parse().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn signals_to_the_front_reach_the_program() {
    let (guard, lab) = heptad_runner::channel().unwrap();
    let lab = echoing_lab(lab);
    let program = [
        "sh",
        "-c",
        "trap 'echo usr1; exit 5' USR1; echo ready; while :; do sleep 0.05; done",
    ];
    let mut running = Running::start(command(guard, &program));
    assert_eq!(running.line(), "ready");
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(running.child.id().cast_signed(), libc::SIGUSR1) };
    assert_eq!(running.line(), "usr1");
    assert_eq!(running.end().0, 5);
    lab.join().unwrap();
}

/// Starts a tree of programs that prints its pids and sleeps.
fn sleepers(guard: OwnedFd) -> (Running, Vec<i32>) {
    let program = [
        "sh",
        "-c",
        "setsid sleep 1000 & echo $!; sh -c 'sleep 1001 & echo $!; wait' & echo $!; wait",
    ];
    let mut running = Running::start(command(guard, &program));
    let pids = (0..3).map(|_| running.line().parse().unwrap()).collect();
    (running, pids)
}

fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

fn kill(pid: i32) {
    // SAFETY: a signal to a process that this test started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// The output pipe closes when the last of the tree has died.
fn assert_gone(running: Running, pids: &[i32], code: i32) {
    assert_eq!(running.end().0, code);
    for pid in pids {
        assert!(!lives(*pid), "{pid} still lives");
    }
}

#[test]
fn a_killed_front_takes_everything_with_it() {
    let (guard, lab) = heptad_runner::channel().unwrap();
    let lab = echoing_lab(lab);
    let (running, pids) = sleepers(guard);
    kill(running.child.id().cast_signed());
    assert_gone(running, &pids, -libc::SIGKILL);
    lab.join().unwrap();
}

#[test]
fn a_killed_guard_takes_everything_with_it() {
    let (guard, lab) = heptad_runner::channel().unwrap();
    let lab = echoing_lab(lab);
    let (running, pids) = sleepers(guard);
    let program = parent_of(pids[0]);
    kill(parent_of(program));
    assert_gone(running, &pids, 125);
    lab.join().unwrap();
}

#[test]
fn a_lab_that_goes_takes_everything_with_it_and_shows_no_end_of_file() {
    let (guard, lab) = heptad_runner::channel().unwrap();
    let program = [
        PYTHON,
        "-c",
        "
import socket
s = socket.socket()
print('open', flush=True)
print('recv', s.recv(1), flush=True)
",
    ];
    let mut running = Running::start(command(guard, &program));
    let mut held = None;
    while held.is_none() {
        let mut fds = [rustix::event::PollFd::new(
            &lab,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        let message = channel::receive(&lab).unwrap().unwrap();
        let Request { id, call } = Request::decode(&message.bytes).unwrap();
        if matches!(call, Call::Socket { .. }) {
            let (end, lab_end) = UnixStream::pair().unwrap();
            let answer = Answer::Done {
                id,
                result: Ok(Outcome::Socket(1)),
            };
            channel::send(
                lab.as_fd(),
                &answer.encode(),
                &[end.as_fd(), lab_end.as_fd()],
                true,
            )
            .unwrap();
            held = Some(lab_end);
        }
    }
    assert_eq!(running.line(), "open");
    drop(held);
    drop(lab);
    let (code, rest) = running.end();
    assert_eq!((code, rest.as_str()), (125, ""));
}

#[test]
fn an_ordinary_user_without_privileges_can_do_all_that() {
    if !rustix::process::geteuid().is_root() {
        return; // Every other test of this file runs as an ordinary user then.
    }
    let (guard, lab) = heptad_runner::channel().unwrap();
    let lab = echoing_lab(lab);
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
    ];
    let script = "
import socket, os
s = socket.create_connection(('10.0.2.20', 8080))
s.send(b'nobody'); print(os.getuid(), s.recv(10))
";
    let command = command_by(&nobody, guard, &[PYTHON, "-c", script]);
    let (code, out, err) = finish(command);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "65534 b'nobody'\n", "")
    );
    lab.join().unwrap();
}

#[test]
fn the_front_stops_and_goes_on_with_its_program() {
    use std::os::unix::process::CommandExt;
    let (guard, lab) = heptad_runner::channel().unwrap();
    let lab = echoing_lab(lab);
    let program = ["sh", "-c", "echo ready; kill -STOP $$; echo on"];
    let mut job = command(guard, &program);
    job.process_group(0);
    let mut running = Running::start(job);
    assert_eq!(running.line(), "ready");
    let front = running.child.id().cast_signed();
    let mut status = 0;
    // SAFETY: waits for a stop of our own child, which is not reaped by it.
    let stopped = unsafe { libc::waitpid(front, &raw mut status, libc::WUNTRACED) };
    assert!(stopped == front && libc::WIFSTOPPED(status), "{status:#x}");
    // SAFETY: a signal to the process group that this test made, as a shell's `fg` sends it.
    unsafe { libc::kill(-front, libc::SIGCONT) };
    assert_eq!(running.line(), "on");
    assert_eq!(running.end().0, 0);
    lab.join().unwrap();
}

#[test]
fn an_interrupt_from_the_terminal_is_the_programs_alone() {
    // A terminal of its own whose foreground is the front, the guard and the program; then Ctrl-C.
    let (guard, lab) = heptad_runner::channel().unwrap();
    let lab = echoing_lab(lab);
    let script = "
import os, pty, signal, sys
pid, tty = pty.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL) # whoever runs the tests in the background ignores it
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while b'ready' not in seen: seen += os.read(tty, 100)
os.write(tty, b'\\x03')
try:
    while d := os.read(tty, 100): seen += d
except OSError: pass
print(b'interrupted' in seen or seen, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let accepts = "
import socket, sys
s = socket.socket(); s.bind(('0.0.0.0', 8080)); s.listen()
try: print('ready', flush=True); s.accept()
except KeyboardInterrupt: print('interrupted', flush=True); sys.exit(9)
";
    let (code, out, err) = finish(command_by(
        &[PYTHON, "-c", script],
        guard,
        &[PYTHON, "-c", accepts],
    ));
    assert_eq!((code, out.as_str(), err.as_str()), (0, "True 9\n", ""));
    lab.join().unwrap();
}
