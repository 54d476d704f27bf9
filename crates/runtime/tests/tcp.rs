//! TCP through the blocking sockets, as programs use `std::net`.
mod rig;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;

use heptad_runtime::stack::Instant;
use heptad_runtime::stack::l4_transport::tcp::Congestion;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::{Clock, TcpListener, TcpStream};
use rig::{Pair, delay, pair};

const HOUR: Duration = Duration::from_secs(3600);
const CLOCKS: [Clock; 2] = [Clock::Virtual, Clock::Real];

/// A connection from `a` to port 80 of `b`: the client's end, the server's end.
fn connected(pair: &Pair) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(&pair.b, "b:80").expect("bind");
    let server = pair
        .network
        .spawn("accept", move || listener.accept().expect("a client").0);
    let client = TcpStream::connect(&pair.a, "b:80").expect("connect");
    (client, server.join().expect("no panic"))
}

#[test]
fn a_server_thread_a_client_echoes_in_both_clocks() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let listener = TcpListener::bind(&pair.b, ("b", 7)).expect("bind");
        assert_eq!(
            listener.local_addr().expect("bound").to_string(),
            "10.0.0.2:7"
        );
        let network = pair.network.clone();
        let server = pair.network.spawn("server", move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.expect("a client");
                network.spawn("echo", move || {
                    let mut text = String::new();
                    stream.read_to_string(&mut text).expect("text");
                    stream.write_all(text.as_bytes()).expect("sent back");
                });
            }
        });
        let clients: Vec<_> = ["안녕하세요", "hello"]
            .into_iter()
            .map(|text| {
                let node = pair.a.clone();
                pair.network.spawn(text, move || {
                    let mut stream = TcpStream::connect(&node, "10.0.0.2:7").expect("connect");
                    stream.write_all(text.as_bytes()).expect("sent");
                    stream.shutdown(Shutdown::Write).expect("half-closed");
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).expect("text");
                    assert_eq!(answer, text);
                })
            })
            .collect();
        for client in clients {
            client.join().expect("the answer is the question");
        }
        server.join().expect("no panic");
    }
}

#[test]
fn one_thread_reads_and_another_writes_over_clones() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let (client, server) = connected(&pair);
        let mut reader = BufReader::new(client.try_clone().expect("clone"));
        let reading = pair.network.spawn("reader", move || {
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).expect("a line") == 0 {
                    return lines;
                }
                lines.push(line);
            }
        });
        let writing = pair.network.spawn("writer", move || {
            for number in 0..3 {
                writeln!(&client, "line {number}").expect("sent");
            }
            client.shutdown(Shutdown::Write).expect("half-closed");
        });
        let echoing = pair.network.spawn("echo", move || {
            let mut buf = [0; 64];
            loop {
                match (&server).read(&mut buf).expect("bytes") {
                    0 => return,
                    taken => (&server).write_all(&buf[..taken]).expect("sent back"),
                }
            }
        });
        writing.join().expect("no panic");
        echoing.join().expect("no panic");
        let lines = reading.join().expect("no panic");
        assert_eq!(lines, ["line 0\n", "line 1\n", "line 2\n"]);
    }
}

#[test]
fn a_refused_connection_says_so() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let error = TcpStream::connect(&pair.a, "b:81").expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.raw_os_error(), Some(111));
    }
}

#[test]
fn connecting_into_the_void_times_out_in_lab_time() {
    let pair = pair(Clock::Virtual, delay(2));
    let nobody = "10.0.0.77:80".parse().expect("an address");
    let error = TcpStream::connect_timeout(&pair.a, &nobody, Duration::from_millis(1500));
    assert_eq!(
        error.expect_err("nobody is there").kind(),
        io::ErrorKind::TimedOut
    );
    assert_eq!(pair.network.now().as_millis(), 1500);
    let zero = TcpStream::connect_timeout(&pair.a, &nobody, Duration::ZERO);
    assert_eq!(
        zero.expect_err("as in std").kind(),
        io::ErrorKind::InvalidInput
    );
}

#[test]
fn a_read_timeout_leaves_the_connection_as_it_was() {
    let pair = pair(Clock::Virtual, delay(2));
    let (client, server) = connected(&pair);
    client.set_read_timeout(Some(HOUR)).expect("a timeout");
    let before = pair.network.now();
    let error = (&client).read(&mut [0; 1]).expect_err("nothing comes");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(pair.network.now().since(before), HOUR);
    (&server).write_all(b"later").expect("sent");
    let mut buf = [0; 16];
    assert_eq!(client.peek(&mut buf).expect("bytes"), 5);
    assert_eq!((&client).read(&mut buf).expect("bytes"), 5);
    assert_eq!(&buf[..5], b"later");
}

#[test]
fn a_full_window_stops_the_writer_until_its_timeout() {
    let pair = pair(Clock::Virtual, delay(2));
    let (client, _server) = connected(&pair);
    client
        .set_write_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    let chunk = vec![1; 1 << 16];
    let mut written = 0;
    let error = loop {
        match (&client).write(&chunk) {
            Ok(taken) => written += taken,
            Err(error) => break error,
        }
        assert!(written < 1 << 30, "nobody reads: somewhere it must stop");
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(written > 1 << 16, "{written}");
}

#[test]
fn dropping_the_last_clone_closes() {
    let pair = pair(Clock::Virtual, delay(2));
    let (client, server) = connected(&pair);
    let clone = client.try_clone().expect("clone");
    drop(client);
    (&clone).write_all(b"still here").expect("sent");
    let mut buf = [0; 10];
    (&server).read_exact(&mut buf).expect("bytes");
    drop(clone);
    assert_eq!((&server).read(&mut buf).expect("the end"), 0);
}

#[test]
fn what_a_thread_returns_to_nobody_is_closed_in_its_turn() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let listener = TcpListener::bind(&pair.b, "b:80").expect("bind");
        pair.network.spawn("server", move || listener.accept());
        let client = TcpStream::connect(&pair.a, "b:80").expect("connect");
        assert_eq!((&client).read(&mut [0; 1]).expect("the end"), 0);
    }
}

#[test]
fn options_are_those_that_were_set() {
    let pair = pair(Clock::Virtual, delay(2));
    let (client, server) = connected(&pair);
    client.set_nodelay(true).expect("set");
    assert_eq!(client.congestion().expect("get"), Congestion::Cubic);
    client.set_congestion(Congestion::Reno).expect("set");
    client.set_ttl(7).expect("set");
    client.set_linger(Some(Duration::ZERO)).expect("set");
    assert!(client.nodelay().expect("get"));
    assert_eq!(client.congestion().expect("get"), Congestion::Reno);
    assert_eq!(client.ttl().expect("get"), 7);
    assert_eq!(client.linger().expect("get"), Some(Duration::ZERO));
    assert_eq!(
        client.set_ttl(256).expect_err("too much").kind(),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(
        client.peer_addr().expect("get"),
        server.local_addr().expect("get")
    );
    assert_eq!(
        server.peer_addr().expect("get"),
        client.local_addr().expect("get")
    );
    drop(client);
    let error = (&server)
        .read(&mut [0; 1])
        .expect_err("lingering for no time resets");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_port_in_use_is_refused_to_the_second() {
    let pair = pair(Clock::Virtual, delay(2));
    let _first = TcpListener::bind(&pair.b, "b:80").expect("bind");
    let second = TcpListener::bind(&pair.b, "b:80").expect_err("taken");
    assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_listener_nobody_comes_to_hears_that_nothing_is_left() {
    let pair = pair(Clock::Virtual, delay(2));
    let (client, server) = connected(&pair);
    let listener = TcpListener::bind(&pair.b, "b:81").expect("bind");
    let accepting = pair
        .network
        .spawn("server", move || listener.accept().map(|_| ()));
    drop((client, server));
    let error = accepting
        .join()
        .expect("no panic")
        .expect_err("nobody comes");
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    assert!(
        error.to_string().contains("server waits in accept"),
        "{error}"
    );
    let end = pair.network.now();
    assert!(
        end >= Instant::ZERO + Duration::from_secs(60),
        "TIME-WAIT was over: {end:?}"
    );
}
