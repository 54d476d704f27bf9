//! Published ports: what the machine around a lab sees of the servers inside.
mod support;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Sandbox, WITHIN, finish, has_program, wait_for};

/// A running `heptad run`, and where its ports are.
struct Run {
    child: Child,
    ports: Vec<SocketAddr>,
    lines: BufReader<std::process::ChildStdout>,
}

impl Run {
    /// Starts `python3 -c SCRIPT`, with as many published ports as `publish` has; waits for the line `ready`.
    fn start(sandbox: &Sandbox, flags: &[&str], publish: &[&str], script: &str) -> Self {
        let mut run = Self::start_unready(sandbox, flags, publish, script);
        assert_eq!(run.line(), "ready");
        run
    }

    fn start_unready(sandbox: &Sandbox, flags: &[&str], publish: &[&str], script: &str) -> Self {
        let mut words = vec!["run", "-q"];
        words.extend(flags);
        words.extend(publish.iter().flat_map(|port| ["-p", *port]));
        words.extend(["--", "python3", "-c", script]);
        let mut command = sandbox.heptad(&words);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("heptad starts");
        let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut ports = Vec::new();
        for _ in publish {
            let mut line = String::new();
            told.read_line(&mut line).expect("a line");
            let address = line
                .strip_prefix("heptad: published ")
                .and_then(|rest| rest.split_once(" -> here:"))
                .unwrap_or_else(|| panic!("{line}"))
                .0;
            ports.push(address.parse().expect("an address"));
        }
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = told.read_to_string(&mut rest);
            eprint!("{rest}");
        });
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            child,
            ports,
            lines,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end().into()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.ports[0]).expect("a connection");
        stream.set_read_timeout(Some(WITHIN)).expect("a timeout");
        stream
    }

    /// Waits for its end.
    fn end(mut self) -> Option<i32> {
        self.child.wait().expect("an end").code()
    }
}

const ECHO: &str = "
import asyncio
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data); await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 7, backlog=2000)
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(main())
";

#[test]
fn curl_fetches_twenty_megabytes_from_a_web_server_inside() {
    if !has_program("python3") || !has_program("curl") {
        return;
    }
    let sandbox = Sandbox::new();
    let page: Vec<u8> = (0..20_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    fs::write(sandbox.path("page"), &page).expect("a page");
    let server = "
import http.server
server = http.server.ThreadingHTTPServer(('', 80), http.server.SimpleHTTPRequestHandler)
print('ready', flush=True)
server.serve_forever()
";
    let run = Run::start(&sandbox, &["--rtt", "2ms"], &["0:80"], server);
    let url = format!("http://{}/page", run.ports[0]);
    let fetched = sandbox
        .program("curl", &["-sS", "-o", "fetched", &url])
        .output()
        .expect("curl starts");
    support::Ran::from(fetched).expect_code(0);
    let fetched = fs::read(sandbox.path("fetched")).expect("what was fetched");
    assert!(fetched == page, "{} bytes arrived", fetched.len());
    finish(run.child);
    sandbox.expect_nothing_left();
}

#[test]
fn a_thousand_connections_at_once_each_have_their_own_answer() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let raise = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n";
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if hard.maximum.is_some_and(|maximum| maximum < 4096) {
        eprintln!("skipped: this user may not have 4096 descriptors");
        return;
    }
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: Some(4096),
            ..hard
        },
    )
    .expect("a higher limit");
    let run = Run::start(&sandbox, &[], &["0:7"], &format!("{raise}{ECHO}"));
    let mut streams: Vec<TcpStream> = (0..1000).map(|_| run.connect()).collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        write!(stream, "안녕 {n:04}").expect("a write");
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        let mut answer = [0; 11];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), format!("안녕 {n:04}"));
    }
    // All of them end, and the port is as good as new.
    for stream in &streams {
        stream.shutdown(Shutdown::Write).expect("an end");
    }
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
    }
    let mut last = run.connect();
    last.write_all(b"last").expect("a write");
    last.read_exact(&mut [0; 4]).expect("an answer");
    finish(run.child);
    sandbox.expect_nothing_left();
}

#[test]
fn an_end_passes_through_while_the_other_direction_goes_on() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = "
import socket
listener = socket.create_server(('0.0.0.0', 9)); print('ready', flush=True)
c, peer = listener.accept()
asked = b''
while data := c.recv(4096): asked += data
c.sendall(asked.upper() * 100000); c.close()
";
    let run = Run::start(&sandbox, &["--rtt", "30ms"], &["0:9"], server);
    let mut stream = run.connect();
    stream.write_all(b"hello").expect("a write");
    stream.shutdown(Shutdown::Write).expect("an end");
    let mut answer = Vec::new();
    // The program is over long before all of it has crossed the cable.
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer == b"HELLO".repeat(100_000), "{} bytes", answer.len());
    assert_eq!(run.end(), Some(0));
    sandbox.expect_nothing_left();
}

#[test]
fn a_reset_passes_through_both_ways() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = "
import socket, struct
listener = socket.create_server(('127.0.0.1', 9)); print('ready', flush=True)
c, _ = listener.accept()
try: c.recv(1); print('an end', flush=True)
except ConnectionResetError: print('reset', flush=True)
c, _ = listener.accept(); c.recv(1)
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); c.close()
print('done', flush=True)
listener.accept()
";
    let mut run = Run::start(&sandbox, &[], &["0:9"], server);
    let stream = run.connect();
    let now = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&stream, now).expect("an option");
    drop(stream);
    assert_eq!(run.line(), "reset");
    let mut stream = run.connect();
    stream.write_all(b"x").expect("a write");
    let error = stream.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(run.line(), "done");
    finish(run.child);
    sandbox.expect_nothing_left();
}

#[test]
fn who_does_not_read_outside_stops_the_sender_inside_and_loses_nothing() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = "
import socket
listener = socket.create_server(('127.0.0.1', 9)); print('ready', flush=True)
c, _ = listener.accept()
c.settimeout(1); sent = 0
try:
    while sent < 1 << 30: sent += c.send(b'x' * 65536)
except TimeoutError: pass
print(sent, flush=True)
c.close()
";
    let mut run = Run::start(&sandbox, &[], &["0:9"], server);
    let mut stream = run.connect();
    let sent: u64 = run.line().parse().expect("a number");
    assert!(sent < 100 << 20, "{sent} bytes were taken by nobody");
    let taken = std::io::copy(&mut stream, &mut std::io::sink()).expect("an end");
    assert_eq!(taken, sent);
    assert_eq!(run.end(), Some(0));
    sandbox.expect_nothing_left();
}

#[test]
fn nobody_listening_inside_is_a_reset_until_somebody_does() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let late = format!(
        "import os, time\nprint('started', flush=True)\n\
         while not os.path.exists('go'): time.sleep(0.01)\n{ECHO}"
    );
    let mut run = Run::start_unready(&sandbox, &[], &["0:7"], &late);
    assert_eq!(run.line(), "started");
    let refused = |address| {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(WITHIN))?;
        stream.read(&mut [0; 1])
    };
    let error = refused(run.ports[0]).expect_err("nobody is there");
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused];
    assert!(kinds.contains(&error.kind()), "{error}");
    sandbox.write("go", "");
    assert_eq!(run.line(), "ready");
    let mut stream = run.connect();
    stream.write_all(b"now").expect("a write");
    stream.read_exact(&mut [0; 3]).expect("an answer");
    finish(run.child);
    sandbox.expect_nothing_left();
}

#[test]
fn a_port_in_use_is_told_before_the_program_starts() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let publish = format!("{port}:80");
    for flags in [&["-p", &publish][..], &["-p", "0:81", "-p", &publish]] {
        let words = [&["run"], flags, &["--", "touch", "started"]].concat();
        let ran = sandbox.run(&words).expect_code(125);
        assert!(
            ran.stderr.contains(&format!("127.0.0.1:{port}/tcp")) && ran.stderr.contains("in use"),
            "{ran:#?}"
        );
    }
    assert!(!sandbox.path("started").exists());
    let ran = sandbox
        .run(&["run", "-p", "80", "--", "true"])
        .expect_code(2);
    assert!(ran.stderr.contains("--publish: `80` needs"), "{ran:#?}");
    sandbox.expect_nothing_left();
}

#[test]
fn each_peer_of_a_datagram_port_has_its_own_answers() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 53))
print('ready', flush=True)
seen = set()
while True:
    data, peer = u.recvfrom(65535); seen.add(peer)
    u.sendto(b'%d %s' % (len(seen), data), peer)
";
    let run = Run::start(&sandbox, &["--rtt", "2ms"], &["0:53/udp"], server);
    let peer = || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(run.ports[0]).expect("a peer");
        socket.set_read_timeout(Some(WITHIN)).expect("a timeout");
        socket
    };
    let (one, two) = (peer(), peer());
    let answer = |socket: &UdpSocket, text: &[u8]| {
        socket.send(text).expect("a send");
        let mut buffer = vec![0; 65_535];
        let count = socket.recv(&mut buffer).expect("an answer");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    assert_eq!(answer(&one, "안녕".as_bytes()), "1 안녕");
    assert_eq!(answer(&two, b"two"), "2 two");
    assert_eq!(answer(&one, b""), "2 ");
    // Larger than the cable's MTU: fragments inside.
    let long = "x".repeat(8000);
    assert_eq!(answer(&two, long.as_bytes()), format!("2 {long}"));
    finish(run.child);
    sandbox.expect_nothing_left();
}

#[test]
fn what_is_published_crosses_the_same_faults() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let flags = ["--rtt", "200ms", "--seed", "1"];
    let run = Run::start(&sandbox, &flags, &["0:7"], ECHO);
    let mut stream = run.connect();
    let started = Instant::now();
    stream.write_all(b"x").expect("a write");
    stream.read_exact(&mut [0; 1]).expect("an answer");
    assert!(started.elapsed() >= Duration::from_millis(200));
    finish(run.child);
    sandbox.expect_nothing_left();
}

#[test]
fn a_lab_file_publishes_ports_of_its_nodes() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    // Bound to one address each: 127.0.0.1, and the node's own.
    let serve = |address: &str| {
        format!(
            "run = [\"python3\", \"-c\", \"import socket\\nl = socket.create_server(('{address}', 80))\\nwhile True: l.accept()[0].sendall(b'{address}')\"]\nready = \"tcp:80\""
        )
    };
    let lab = format!(
        "name = \"published\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\npublish = [\"0:80\"]\n{}\n\
         [nodes.b]\naddress = \"10.0.0.2/24\"\npublish = [\"0:80\", \"0:53/udp\"]\n{}\n\
         [[links]]\nendpoints = [\"a\", \"b\"]\n",
        serve("127.0.0.1"),
        serve("10.0.0.2"),
    );
    sandbox.write("lab.toml", &lab);
    let up = sandbox
        .run(&["lab", "up", "lab.toml", "--json"])
        .expect_code(0)
        .json();
    let published = up["published"].as_array().expect("a list");
    assert_eq!(published.len(), 3, "{up}");
    for (row, says) in [(0, "127.0.0.1"), (1, "10.0.0.2")] {
        let address = published[row]["outside"].as_str().expect("an address");
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(WITHIN)).expect("a timeout");
        let mut answer = vec![0; says.len()];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), says);
    }
    sandbox.run(&["lab", "down"]).expect_code(0);
    let gone = published[0]["outside"].as_str().expect("an address");
    assert!(TcpStream::connect(gone).is_err());
    sandbox.expect_nothing_left();
}

#[test]
fn a_published_run_that_is_killed_gives_its_port_back() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let run = Run::start(&sandbox, &[], &["0:7"], ECHO);
    let port = run.ports[0];
    let killed = Command::new("kill")
        .args(["-KILL", &run.child.id().to_string()])
        .status();
    assert!(killed.is_ok_and(|status| status.success()));
    run.end();
    wait_for("the port to be free", || TcpListener::bind(port).is_ok());
    sandbox.expect_nothing_left();
}
