//! Sockets over IPv6 in virtual time: threads and tasks, a host that makes its own address, and the end of the run.
use std::io::{self, Read, Write};
use std::net::Shutdown;

use heptad_runtime::lab::{Cable, Lab, LabOptions, Outcome, Topology};
use heptad_runtime::ping::PingOptions;
use heptad_runtime::stack::Instant;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::{Network, Node, TcpListener, TcpStream, UdpSocket, run_is_over};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// `a` and `b` with a router between, `b` of IPv6 alone; `c` beside `a` takes its address from the router.
fn network() -> Network {
    let lab = Lab::builder()
        .seed(5)
        .host("a", "10.0.1.10/24")
        .address("a", "eth0", "fd00:1::10/64")
        .gateway("a", "fd00:1::1")
        .host("b", "fd00:2::20/64")
        .gateway("b", "fe80::1")
        .host("c", "auto")
        .router("r")
        .switch("s")
        .link("a", "s", Cable::new().delay("1ms"))
        .link("c", "s", Cable::new().delay("1ms"))
        .link("r", "s", Cable::new().delay("1ms"))
        .link("r", "b", Cable::new().delay("10ms").loss("5%"));
    Network::virtual_time(lab.build().expect("a lab"))
}
fn node(network: &Network, name: &str) -> Node {
    network.node(name).expect("a host")
}
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

/// One client's bytes come back until it ends.
fn echo(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; 16_384];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(Shutdown::Write),
            taken => stream.write_all(&buffer[..taken])?,
        }
    }
}

#[test]
fn tcp_and_udp_of_threads_go_by_names_over_ipv6() {
    let network = network();
    let (a, b) = (node(&network, "a"), node(&network, "b"));
    let listener = TcpListener::bind(&b, "[::]:7").expect("bound");
    let datagrams = UdpSocket::bind(&b, "[::]:9").expect("bound");
    let server = network.spawn("server", move || {
        echo(&listener)?;
        let mut buffer = [0; 64];
        let (len, from) = datagrams.recv_from(&mut buffer)?;
        datagrams.send_to(&buffer[..len], from)
    });
    let client = network.spawn("client", move || {
        let mut stream = TcpStream::connect(&a, "b:7")?;
        assert_eq!(stream.local_addr()?.ip().to_string(), "fd00:1::10");
        let sent = pattern(100_000);
        let mut writing = stream.try_clone()?;
        let bytes = sent.clone();
        let writer = a.network().spawn("writer", move || {
            writing.write_all(&bytes)?;
            writing.shutdown(Shutdown::Write)
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        writer.join().expect("no panic")?;
        assert!(back == sent);
        let socket = UdpSocket::bind(&a, "[::]:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        loop {
            socket.send_to(b"hello", "b:9")?;
            let mut buffer = [0; 64];
            // The cable loses one in twenty.
            if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                assert_eq!(
                    (&buffer[..len], from.to_string().as_str()),
                    (&b"hello"[..], "[fd00:2::20]:9")
                );
                return io::Result::Ok(());
            }
        }
    });
    client.join().expect("no panic").expect("an echo");
    drop(server);
    network.stop();
}

#[test]
fn tasks_go_by_names_over_ipv6() {
    let network = network();
    let (a, b) = (node(&network, "a"), node(&network, "b"));
    let sent = pattern(50_000);
    let expected = sent.clone();
    let back = network.block_on(async move {
        use heptad_runtime::tokio::{TcpListener, TcpStream};
        let listener = TcpListener::bind(&b, "[::]:7").await?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await?;
            write.shutdown().await
        });
        let (mut read, mut write) = TcpStream::connect(&a, "b:7").await?.into_split();
        let writer = tokio::spawn(async move {
            write.write_all(&sent).await?;
            write.shutdown().await
        });
        let mut back = Vec::new();
        read.read_to_end(&mut back).await?;
        writer.await.expect("no panic")?;
        server.await.expect("no panic")?;
        io::Result::Ok(back)
    });
    assert!(back.expect("a runtime").expect("an echo") == expected);
}

#[test]
fn a_host_that_made_its_own_address_is_found_by_its_name_and_answers_pings() {
    let network = network();
    network.run_until(Instant::ZERO + Duration::from_secs(2));
    let (a, c) = (node(&network, "a"), node(&network, "c"));
    let to = a.resolve("c").expect("it has an address");
    let options = PingOptions {
        count: Some(3),
        ..PingOptions::default()
    };
    let pings = network.spawn("ping", move || a.ping(to, options, |_| true));
    let statistics = pings.join().expect("no panic").expect("pinged");
    assert_eq!((statistics.transmitted, statistics.received), (3, 3));
    assert_eq!(
        c.resolve("a").map(|ip| ip.to_string()).as_deref(),
        Some("fd00:1::10"),
        "c speaks IPv6 alone"
    );
    let d = c.any_address();
    assert_eq!(d.to_string(), "::");
}

#[test]
fn a_router_that_advertises_hides_no_deadlock() {
    let network = network();
    let b = node(&network, "b");
    let listener = TcpListener::bind(&b, "[::]:7").expect("bound");
    let socket = UdpSocket::bind(&b, "[::]:9").expect("bound");
    let accepts = network.spawn("server", move || listener.accept().map(|_| ()));
    let reads = network.spawn("reader", move || socket.recv(&mut [0; 1]).map(|_| ()));
    for thread in [accepts, reads] {
        let error = thread.join().expect("no panic").expect_err("nobody comes");
        assert_eq!(error.kind(), io::ErrorKind::Deadlock);
        assert!(run_is_over(&error));
        let sentence = error.to_string();
        assert!(
            sentence.contains("server waits in accept") || sentence.contains("reader waits"),
            "{sentence}"
        );
    }
    assert!(
        network.now() < Instant::ZERO + Duration::from_secs(60),
        "{:?}",
        network.now()
    );
    assert_eq!(network.run_until(Instant::MAX), Outcome::Idle);
    // A time that somebody names comes, with all that happens before.
    let hour = Duration::from_secs(3600);
    network.sleep(hour);
    assert!(network.now() >= Instant::ZERO + hour);
}

#[test]
fn tasks_hear_that_nothing_is_left_in_spite_of_a_router_that_advertises() {
    let network = network();
    let b = node(&network, "b");
    let waits = network.block_on(async move {
        let listener = heptad_runtime::tokio::TcpListener::bind(&b, "[::]:7").await?;
        listener.accept().await.map(|_| ())
    });
    let error = match waits {
        Ok(accepted) => accepted.expect_err("nobody comes"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), io::ErrorKind::Deadlock, "{error}");
}

#[test]
fn names_of_a_capture_are_those_of_both_families() {
    let text = "[nodes.a]\naddress = [\"10.0.0.1/24\", \"fd00::1/64\"]\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]\n";
    let topology = Topology::parse(text, "lab.toml").expect("a lab");
    let lab = Lab::new(&topology, LabOptions::default()).expect("a lab");
    let names = heptad_runtime::capture_file::names(&lab);
    let names: Vec<_> = names
        .iter()
        .map(|(ip, name)| format!("{ip} {name}"))
        .collect();
    assert_eq!(
        names,
        ["10.0.0.1 a", "fd00::1 a", "10.0.0.2 b", "fe80::ff:fe01:0 a"]
    );
}
