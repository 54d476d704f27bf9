//! Sockets of both families, blocking and for tasks: what `std::net` shows on Linux.
mod rig;

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use heptad_runtime::stack::PortId;
use heptad_runtime::{Clock, Network, Node, TcpListener, TcpStream, UdpSocket, tokio as tasks};
use rig::{Pair, delay, pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CLOCKS: [Clock; 2] = [Clock::Virtual, Clock::Real];

/// The pair, with fd00::1 and fd00::2 on the same cable.
fn both(clock: Clock) -> Pair {
    let pair = pair(clock, delay(2));
    let addresses = [(&pair.a, "fd00::1"), (&pair.b, "fd00::2")];
    for (node, address) in addresses {
        let added = pair.network.with(node.machine(), |stack, _| {
            stack.add_address(PortId(1), ip(address), 64)
        });
        added.expect("a new address");
    }
    pair
}
fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Asks once over each family: what the server called the client, and itself.
fn ask(pair: &Pair, to: &str) -> (String, SocketAddr) {
    let mut client = TcpStream::connect(&pair.a, to).expect("connect");
    assert_eq!(client.peer_addr().expect("connected"), addr(to));
    let mut said = String::new();
    client.read_to_string(&mut said).expect("text");
    (said, client.local_addr().expect("connected"))
}

#[test]
fn a_listener_at_the_wildcard_of_ipv6_serves_both_families() {
    for clock in CLOCKS {
        let pair = both(clock);
        let listener = TcpListener::bind(&pair.b, "[::]:80").expect("bind");
        assert_eq!(listener.local_addr().expect("bound"), addr("[::]:80"));
        let server = pair.network.spawn("server", move || {
            for _ in 0..2 {
                let (mut stream, peer) = listener.accept().expect("a client");
                assert_eq!(stream.peer_addr().expect("connected"), peer);
                let own = stream.local_addr().expect("connected");
                write!(stream, "{peer} {own}").expect("sent");
            }
        });
        let (said, client) = ask(&pair, "10.0.0.2:80");
        let port = client.port();
        let mapped = format!("[::ffff:10.0.0.1]:{port} [::ffff:10.0.0.2]:80");
        assert_eq!(said, mapped);
        let (said, client) = ask(&pair, "[fd00::2]:80");
        assert_eq!(said, format!("{client} [fd00::2]:80"));
        assert_eq!(client.ip(), ip("fd00::1"));
        server.join().expect("no panic");
    }
}

#[test]
fn a_stream_of_ipv6_connects_to_an_address_of_ipv4_in_its_own_words() {
    let pair = both(Clock::Virtual);
    let listener = TcpListener::bind(&pair.b, "0.0.0.0:80").expect("bind");
    let client = TcpStream::connect(&pair.a, "[::ffff:10.0.0.2]:80").expect("connect");
    assert_eq!(
        client.peer_addr().expect("connected"),
        addr("[::ffff:10.0.0.2]:80")
    );
    let own = client.local_addr().expect("connected");
    assert_eq!(own.ip(), ip("::ffff:10.0.0.1"));
    let (_server, peer) = listener.accept().expect("a client");
    assert_eq!(peer, SocketAddr::new(ip("10.0.0.1"), own.port()));
}

#[test]
fn a_datagram_socket_of_ipv6_speaks_both_families() {
    for clock in CLOCKS {
        let pair = both(clock);
        let server = UdpSocket::bind(&pair.b, "[::]:53").expect("bind");
        let serving = pair.network.spawn("server", move || {
            let mut buf = [0; 64];
            for _ in 0..2 {
                let (n, from) = server.recv_from(&mut buf).expect("a datagram");
                server.send_to(&buf[..n], from).expect("answered");
            }
        });
        for (at, to) in [("0.0.0.0:0", "10.0.0.2:53"), ("[::]:0", "[fd00::2]:53")] {
            let client = UdpSocket::bind(&pair.a, at).expect("bind");
            client.send_to("안녕".as_bytes(), to).expect("sent");
            let mut buf = [0; 64];
            let (n, from) = client.recv_from(&mut buf).expect("an answer");
            assert_eq!((&buf[..n], from), ("안녕".as_bytes(), addr(to)));
        }
        serving.join().expect("no panic");
    }
}

#[test]
fn the_loopback_of_ipv6_is_this_node_alone() {
    let pair = both(Clock::Virtual);
    let listener = TcpListener::bind(&pair.a, "[::1]:80").expect("bind");
    let other = TcpStream::connect(&pair.b, "[::1]:80").expect_err("nobody");
    assert_eq!(other.kind(), io::ErrorKind::ConnectionRefused);
    // As on Linux, the unspecified address is the loopback.
    let own = TcpStream::connect(&pair.a, "[::]:80").expect("connect");
    assert_eq!(own.peer_addr().expect("connected"), addr("[::1]:80"));
    listener.accept().expect("a client");
}

#[test]
fn an_address_of_a_link_needs_the_link_and_keeps_it() {
    let pair = both(Clock::Virtual);
    let link_local = |node: &Node| {
        let rows = pair
            .network
            .with(node.machine(), |stack, _| stack.addresses());
        let mut found = rows.into_iter().map(|(_, ip, _)| ip);
        found
            .find(|ip| ip.to_string().starts_with("fe80"))
            .expect("one a port")
    };
    let (a, b) = (link_local(&pair.a), link_local(&pair.b));
    let listener = TcpListener::bind(&pair.b, "[::]:80").expect("bind");
    let unnamed = TcpStream::connect(&pair.a, SocketAddr::new(b, 80)).expect_err("which link?");
    assert_eq!(unnamed.kind(), io::ErrorKind::InvalidInput);
    // Interfaces count from 1, which is `lo`.
    let client = TcpStream::connect(&pair.a, format!("[{b}%2]:80")).expect("connect");
    let own = client.local_addr().expect("connected");
    assert_eq!(own, addr(&format!("[{a}%2]:{}", own.port())));
    let (server, peer) = listener.accept().expect("a client");
    assert_eq!(peer, own, "each calls its only cable the second");
    let rows = pair.network.with(pair.b.machine(), |stack, _| stack.rows());
    assert!(rows.iter().any(|row| row.remote == Some(peer)));
    drop((client, server));
}

#[test]
fn tasks_are_served_over_both_families() {
    for clock in CLOCKS {
        let pair = both(clock);
        let network: &Network = &pair.network;
        let asked = async {
            let listener = tasks::TcpListener::bind(&pair.b, "[::]:80").await?;
            let server = async {
                for _ in 0..2 {
                    let (mut stream, peer) = listener.accept().await?;
                    stream.write_all(peer.ip().to_string().as_bytes()).await?;
                    stream.shutdown().await?;
                }
                io::Result::Ok(())
            };
            let client = async {
                let mut said = String::new();
                for to in ["10.0.0.2:80", "[fd00::2]:80"] {
                    let mut stream = tasks::TcpStream::connect(&pair.a, to).await?;
                    stream.read_to_string(&mut said).await?;
                    said.push(' ');
                }
                io::Result::Ok(said)
            };
            let (served, said) = tokio::join!(server, client);
            served.and(said)
        };
        let said = network.block_on(asked).expect("a runtime");
        assert_eq!(said.expect("both served"), "::ffff:10.0.0.1 fd00::1 ");
    }
}
