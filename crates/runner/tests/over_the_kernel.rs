//! Programs on a host whose network is the kernel's own loopback: whatever differs is the runner's doing.

mod kernel;
mod support;

use heptad_runner::Host;
use kernel::{Kernel, NODE};
use support::{command, finish, semantics};

const PYTHON: &str = "/usr/bin/python3";

fn run(program: &[&str]) -> (i32, String, String) {
    let host = Host::over(Kernel::new()).unwrap();
    let (guard, lab) = heptad_runner::channel().unwrap();
    host.attach(NODE, lab).unwrap();
    finish(command(guard, program))
}

fn python(script: &str) -> String {
    let (code, out, err) = run(&[PYTHON, "-c", script]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

#[test]
fn a_server_and_a_client_in_threads_talk() {
    let out = python(
        "
import socket, threading
l = socket.create_server(('127.0.0.1', 0))
def serve():
    c, peer = l.accept()
    with c:
        while d := c.recv(65536): c.sendall(d)
t = threading.Thread(target=serve); t.start()
s = socket.create_connection(l.getsockname())
s.sendall('안녕하세요'.encode()); s.shutdown(socket.SHUT_WR)
print(s.makefile(encoding='utf-8').read()); t.join()
",
    );
    assert_eq!(out, "안녕하세요\n");
}

#[test]
fn megabytes_arrive_whole_both_ways_at_once() {
    let out = python(
        "
import socket, threading, hashlib, os
l = socket.create_server(('127.0.0.1', 0))
data = os.urandom(1 << 20) * 20
def send(s): s.sendall(data); s.shutdown(socket.SHUT_WR)
def digest(s):
    h = hashlib.sha256()
    while d := s.recv(100000): h.update(d)
    return h.digest()
results = []
def serve():
    c, _ = l.accept()
    t = threading.Thread(target=send, args=(c,)); t.start()
    results.append(digest(c)); t.join(); c.close()
t = threading.Thread(target=serve); t.start()
s = socket.create_connection(l.getsockname())
u = threading.Thread(target=send, args=(s,)); u.start()
results.append(digest(s)); u.join(); t.join()
print(results == [hashlib.sha256(data).digest()] * 2)
",
    );
    assert_eq!(out, "True\n");
}

#[test]
fn names_resolve_by_the_c_library() {
    let out = python(
        "
import socket
print(socket.gethostbyname('bob'))
print(socket.getaddrinfo('bob', 80, socket.AF_UNSPEC, socket.SOCK_STREAM)[0][4])
try: socket.gethostbyname('nobody.example')
except socket.gaierror as e: print('unknown')
",
    );
    assert_eq!(out, "127.0.0.1\n('127.0.0.1', 80)\nunknown\n");
}

#[test]
fn datagrams_keep_their_senders_however_they_are_received() {
    let out = python(
        "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', 0))
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.connect(u.getsockname())
u.settimeout(5)
got = []
for n in range(3):
    a.sendto(b'a%d' % n, u.getsockname()); b.send(b'b%d' % n)
    got.append(u.recv(10))
    data, who = u.recvfrom(10)
    got.append(data)
    assert who == (a if data[:1] == b'a' else b).getsockname(), (data, who)
print(sorted(got))
u.sendto(b're', b.getsockname()); b.settimeout(5); print(b.recv(10))
",
    );
    assert_eq!(out, "[b'a0', b'a1', b'a2', b'b0', b'b1', b'b2']\nb're'\n");
}

#[test]
fn asyncio_and_selectors_work() {
    let out = python(
        "
import asyncio
async def serve(r, w):
    w.write((await r.read(100)).upper()); await w.drain(); w.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    host, port = server.sockets[0].getsockname()
    async def one(n):
        r, w = await asyncio.open_connection(host, port)
        w.write(b'n%d' % n); w.write_eof(); d = await r.read(); w.close(); return d
    print((await asyncio.gather(*[one(n) for n in range(20)]))[-1])
    try: await asyncio.open_connection(host, 1)
    except ConnectionRefusedError: print('refused')
asyncio.run(main())
",
    );
    assert_eq!(out, "b'N19'\nrefused\n");
}

#[test]
fn a_storm_of_signals_loses_no_connection() {
    let out = python(
        "
import socket, signal, threading
hits = 0
def hit(*a):
    global hits
    hits += 1
signal.signal(signal.SIGALRM, hit)
l = socket.create_server(('127.0.0.1', 0), backlog=64)
COUNT = 1500
def client():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    for n in range(COUNT):
        s = socket.create_connection(l.getsockname()); s.send(b'%d' % n); s.close()
t = threading.Thread(target=client); t.start()
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
got = []
for n in range(COUNT):
    c, _ = l.accept()
    got.append(int(c.makefile().read())); c.close()
signal.setitimer(signal.ITIMER_REAL, 0)
t.join()
print(sorted(got) == list(range(COUNT)), hits > 10)
",
    );
    assert_eq!(out, "True True\n");
}

#[test]
fn socket_semantics_are_the_kernels() {
    let Some(program) = semantics::build("socket-semantics") else {
        return;
    };
    semantics::compare(&[], || run(&[program.path.to_str().unwrap()]).1);
}
