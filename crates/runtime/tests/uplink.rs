//! The way out, with servers of this test as the network outside: directions say where an address is.
mod rig;

use std::io::{ErrorKind, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use heptad_runtime::lab::topology::Topology;
use heptad_runtime::lab::{Lab, LabOptions};
use heptad_runtime::stack::EventMask;
use heptad_runtime::uplink::{Directions, NAMESERVER, UplinkError};
use heptad_runtime::{Network, Node, TcpStream, UdpSocket, Uplink};

const FAR: &str = "203.0.113.7:80";
/// A bound on a failure, not a measure.
const WITHIN: Duration = Duration::from_secs(30);

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

struct World {
    node: Node,
    network: Network,
    _uplink: Uplink,
}

/// A node with a way out, on which all these addresses are where they are said to be; others nobody may speak to.
fn world(places: &[(&str, SocketAddr)]) -> World {
    let places: Vec<_> = places.iter().map(|(to, real)| (at(to), *real)).collect();
    let directions: Directions = Box::new(move |to| {
        let place = places.iter().find(|(known, _)| *known == to);
        place.map(|(_, real)| *real)
    });
    world_where(directions)
}
fn world_where(directions: Directions) -> World {
    let topology = "[nodes.here]\nuplink = true\n";
    let options = LabOptions {
        seed: 42,
        event_hash: false,
        observe: false,
        events: EventMask::NONE,
    };
    let topology = Topology::parse(topology, "lab.toml").expect("a lab file");
    let network = Network::real_time(Lab::new(&topology, options).expect("a lab"));
    World {
        node: network.node("here").expect("the node"),
        _uplink: Uplink::directed(&network, directions).expect("a way out"),
        network,
    }
}

/// A server of the machine that serves each connection by itself.
fn server(serve: fn(net::TcpStream)) -> SocketAddr {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}
fn echo(mut stream: net::TcpStream) {
    let mut block = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut block) {
        if stream.write_all(&block[..count]).is_err() {
            return;
        }
    }
}
/// A port of the machine at which nobody is.
fn nobody() -> SocketAddr {
    let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.local_addr().expect("its address")
}

#[test]
fn many_connections_to_one_destination_carry_megabytes_both_ways_and_end_by_halves() {
    let world = world(&[(FAR, server(echo))]);
    let clients: Vec<_> = (0..40_u8)
        .map(|number| {
            let node = world.node.clone();
            thread::spawn(move || {
                let stream = TcpStream::connect(&node, FAR).expect("a connection");
                let text: Vec<u8> = (0..1_000_000_u32)
                    .map(|n| (n as u8).wrapping_mul(number))
                    .collect();
                let mut writer = stream.try_clone().expect("another handle");
                let sent = text.clone();
                let writing = thread::spawn(move || {
                    writer.write_all(&sent).expect("sent");
                    writer.shutdown(Shutdown::Write).expect("half-closed");
                });
                let mut back = Vec::new();
                let mut reader = stream;
                reader.read_to_end(&mut back).expect("what came back");
                writing.join().expect("no panic");
                assert!(back == text, "{} bytes came back", back.len());
            })
        })
        .collect();
    for client in clients {
        client.join().expect("no panic");
    }
    // The gateway keeps nothing of them, once its thread has come round.
    let sockets = || {
        world.network.lab(|lab| {
            let (_, gateway) = lab.uplinks()[0];
            let rows = lab.stack(gateway).map(|stack| stack.rows());
            rows.into_iter()
                .flatten()
                .filter(|row| row.socket.is_some())
                .count()
        })
    };
    let begun = Instant::now();
    while sockets() > 0 {
        assert!(begun.elapsed() < WITHIN, "sockets of the gateway are left");
        thread::yield_now();
    }
}

#[test]
fn a_program_hears_what_the_destination_says_of_its_connection() {
    let gone = |mut stream: net::TcpStream| {
        // Whoever connects knows that it stands.
        let heard = stream.read(&mut [0; 1]);
        assert_eq!(heard.expect("a byte"), 1);
        let linger = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
        linger.expect("a reset at the end");
    };
    let world = world(&[
        (FAR, nobody()),
        ("203.0.113.8:80", server(gone)),
        // A broadcast address is nothing to connect to.
        ("203.0.113.9:80", at("255.255.255.255:80")),
    ]);
    let connect = |to: &str| TcpStream::connect(&world.node, to);
    let refused = connect(FAR).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let unreachable = connect("203.0.113.9:80").expect_err("no way");
    assert_eq!(unreachable.kind(), ErrorKind::NetworkUnreachable);
    let prohibited = connect("203.0.113.10:80").expect_err("nobody may");
    assert_eq!(prohibited.kind(), ErrorKind::HostUnreachable);
    let mut stream = connect("203.0.113.8:80").expect("it stands");
    stream.write_all(b"x").expect("it stands");
    let reset = stream.read(&mut [0; 1]).expect_err("then it is reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn who_does_not_read_holds_up_who_writes() {
    static HOLD: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let held = HOLD.lock().expect("the first");
    let late = |mut stream: net::TcpStream| {
        let _turn = HOLD.lock();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all of it");
        let _ = stream.write_all(&(all.len() as u64).to_be_bytes());
    };
    let world = world(&[(FAR, server(late))]);
    let mut stream = TcpStream::connect(&world.node, FAR).expect("a connection");
    stream.set_nonblocking(true).expect("set");
    let block = vec![7; 64 * 1024];
    // Somebody's buffer is full at some time, or this does not end.
    let mut sent = 0_u64;
    let mut full = 0;
    while full < 100 {
        match stream.write(&block) {
            Ok(count) => (sent, full) = (sent + count as u64, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                full += 1;
                world
                    .network
                    .sleep(heptad_runtime::stack::time::Duration::from_millis(5));
            }
        }
    }
    drop(held);
    stream.set_nonblocking(false).expect("set");
    stream.shutdown(Shutdown::Write).expect("half-closed");
    let mut count = [0; 8];
    stream.read_exact(&mut count).expect("how many came");
    assert_eq!(u64::from_be_bytes(count), sent);
}

#[test]
fn datagrams_go_out_and_come_back_and_a_refusal_does_too() {
    let echo = net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let real = echo.local_addr().expect("its address");
    thread::spawn(move || {
        let mut block = [0; 65_536];
        while let Ok((count, from)) = echo.recv_from(&mut block) {
            let _ = echo.send_to(&block[..count], from);
        }
    });
    let nobody = net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let asked = SocketAddr::new(NAMESERVER.into(), 53).to_string();
    let world = world(&[
        ("203.0.113.7:7", real),
        (&asked, real),
        ("203.0.113.7:9", nobody.expect("a port that was free")),
    ]);
    let socket = || {
        let socket = UdpSocket::bind(&world.node, "0.0.0.0:0").expect("bound");
        socket.set_read_timeout(Some(WITHIN)).expect("set");
        socket
    };
    let mut block = [0; 65_536];
    let one = socket();
    for (to, len) in [("203.0.113.7:7", 5), (&asked, 0), ("203.0.113.7:7", 40_000)] {
        one.send_to(&vec![3; len], to).expect("sent");
        let (count, from) = one.recv_from(&mut block).expect("it comes back");
        assert_eq!((count, from), (len, at(to)));
    }
    // Another one, to the same destination.
    let other = socket();
    other.connect("203.0.113.7:7").expect("a peer");
    other.send(b"other").expect("sent");
    assert_eq!(other.recv(&mut block).expect("it comes back"), 5);
    for to in ["203.0.113.7:9", "203.0.113.7:9"] {
        let refused = socket();
        refused.connect(to).expect("a peer");
        refused.send(b"?").expect("sent");
        let heard = refused.recv(&mut block).expect_err("nobody is there");
        assert_eq!(heard.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn a_name_server_that_does_not_answer_gives_way_to_the_next() {
    let silent = net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let other = net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let place = |socket: &net::UdpSocket| socket.local_addr().expect("its address");
    let places = [place(&silent), place(&other)];
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let next = move |_| {
        let before = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Some(places[before.min(1)])
    };
    let world = world_where(Box::new(next));
    thread::spawn(move || {
        let mut block = [0; 512];
        while let Ok((count, from)) = other.recv_from(&mut block) {
            let _ = other.send_to(&block[..count], from);
        }
    });
    let socket = UdpSocket::bind(&world.node, "0.0.0.0:0").expect("bound");
    // A resolver's own patience.
    let patience = Duration::from_secs(2);
    socket.set_read_timeout(Some(patience)).expect("set");
    let mut block = [0; 16];
    let mut ask = || {
        let server = SocketAddr::new(NAMESERVER.into(), 53);
        socket.send_to(b"name?", server).expect("sent");
        socket.recv_from(&mut block).map(|(count, _)| count)
    };
    let first = ask().expect_err("it does not answer");
    assert_eq!(first.kind(), ErrorKind::WouldBlock);
    assert_eq!(ask().expect("the next one does"), 5);
}

#[test]
fn virtual_time_has_no_way_out() {
    let pair = rig::pair(heptad_runtime::Clock::Virtual, rig::delay(1));
    let refused = Uplink::directed(&pair.network, Box::new(Some));
    assert!(matches!(refused, Err(UplinkError::VirtualClock)));
}

#[test]
fn a_lab_without_uplinks_needs_no_thread() {
    let pair = rig::pair(heptad_runtime::Clock::Real, rig::delay(1));
    assert!(
        Uplink::start(&pair.network)
            .expect("nothing fails")
            .is_none()
    );
}
