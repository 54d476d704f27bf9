//! Sockets that are bound to a port of their host (SO_BINDTODEVICE): what they hear, by which way they speak, and whom they leave
//! a port of TCP or UDP to.
use heptad_stack::stack::{Route, SocketOption};
use heptad_stack::wire::checksum;
use heptad_stack::{DropReason, Family, PortId, SocketError, SocketId, SocketKind, StackConfig};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    datagrams_go_to_who_is_bound_to_their_port_before_who_is_bound_to_none,
    a_listener_accepts_what_comes_in_by_its_port_and_answers_by_it,
    who_is_bound_speaks_by_its_port_whatever_routes_say,
    ports_are_shared_by_sockets_that_are_bound_to_different_ones,
    what_a_host_says_to_itself_comes_by_the_port_that_has_the_address,
    a_connection_that_is_bound_to_another_port_hears_no_more,
}

const LO: PortId = PortId::LOOPBACK;
const ETH0: PortId = PortId(1);
const ETH1: PortId = PortId(2);

/// alice and bob on two cables, 10.0.1.0 and 10.0.2.0; bob has 10.0.9.9 besides, which alice reaches by both, first by the first.
fn two_cables() -> World {
    let mut world = World::empty();
    let (a, b) = (
        world.host(StackConfig::default(), 1),
        world.host(StackConfig::default(), 1),
    );
    for (net, port) in [(1, ETH0), (2, ETH1)] {
        assert_eq!(world.port(a, &format!("10.0.{net}.1"), 24), port);
        assert_eq!(world.port(b, &format!("10.0.{net}.2"), 24), port);
        world.join((a, port), (b, port), MS, 0);
    }
    let bob = &mut world.hosts[b].stack;
    bob.add_address(ETH0, ip("10.0.9.9"), if is_v6() { 128 } else { 32 })
        .unwrap();
    for (gateway, port) in [("10.0.1.2", ETH0), ("10.0.2.2", ETH1)] {
        let route = Route {
            prefix: ip("10.0.9.0"),
            len: if is_v6() { 64 } else { 24 },
            via: Some(ip(gateway)),
            port,
        };
        world.hosts[a].stack.add_route(route).unwrap();
    }
    world.run_for(2_000 * MS);
    world
}

impl World {
    fn bind_to(&mut self, host: usize, s: SocketId, port: impl Into<Option<PortId>>) {
        self.set(host, s, SocketOption::Device(port.into()));
    }
    fn datagram_at(&mut self, host: usize, port: impl Into<Option<PortId>>, to: &str) -> SocketId {
        let s = self.datagram(host);
        self.set(host, s, SocketOption::ReuseAddress(true));
        self.bind_to(host, s, port);
        self.bind(host, s, to).unwrap();
        s
    }
    fn all_heard(&mut self, s: SocketId) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.recv(BOB, s).ok()).collect()
    }
}

fn datagrams_go_to_who_is_bound_to_their_port_before_who_is_bound_to_none() {
    let mut world = two_cables();
    let first = world.datagram_at(BOB, ETH0, "0.0.0.0:53");
    let any = world.datagram_at(BOB, None, "0.0.0.0:53");
    let client = world.datagram(ALICE);
    let say = |world: &mut World, words: [&'static [u8]; 2]| {
        for (to, word) in ["10.0.1.2:53", "10.0.2.2:53"].into_iter().zip(words) {
            world.send_to(ALICE, client, word, to).unwrap();
        }
        world.run_for(50 * MS);
        (world.all_heard(first), world.all_heard(any))
    };
    let (bound, rest) = say(&mut world, [b"one", b"two"]);
    assert_eq!(
        (bound, rest),
        (vec![b"one".to_vec()], vec![b"two".to_vec()])
    );
    // It may change its mind.
    world.bind_to(BOB, first, ETH1);
    let (bound, rest) = say(&mut world, [b"three", b"four"]);
    assert_eq!(
        (bound, rest),
        (vec![b"four".to_vec()], vec![b"three".to_vec()])
    );
    world.close(BOB, any);
    let (bound, _) = say(&mut world, [b"nobody's", b"six"]);
    assert_eq!(bound, vec![b"six".to_vec()]);
    world.only_drops(&[DropReason::UdpNoSocket, DropReason::IcmpNoFlow]);
}

fn a_listener_accepts_what_comes_in_by_its_port_and_answers_by_it() {
    let mut world = two_cables();
    let listeners = [ETH0, ETH1].map(|port| {
        let s = world.stream(BOB);
        world.bind_to(BOB, s, port);
        world.bind(BOB, s, "0.0.0.0:80").unwrap();
        world.listen(BOB, s, 4).unwrap();
        s
    });
    for (at, to) in ["10.0.1.2:80", "10.0.2.2:80"].into_iter().enumerate() {
        let (client, server) = world.connected(listeners[at], to);
        let other = listeners[1 - at];
        assert_eq!(world.accept(BOB, other), Err(SocketError::WouldBlock));
        world.send(ALICE, client, b"hello").unwrap();
        world.run_for(50 * MS);
        assert_eq!(world.recv(BOB, server), Ok(b"hello".to_vec()));
        // An accepted connection is bound as its listener is.
        let bound = world.with(BOB, |stack, _| {
            stack.get(server, SocketOption::Device(None))
        });
        let port = [ETH0, ETH1][at];
        assert_eq!(bound, Ok(SocketOption::Device(Some(port))));
    }
    world.close(BOB, listeners[0]);
    let refused = world.stream(ALICE);
    let begun = world.connect(ALICE, refused, "10.0.1.2:80");
    assert_eq!(begun, Err(SocketError::InProgress));
    world.run_for(50 * MS);
    let ended = world.connect(ALICE, refused, "10.0.1.2:80");
    assert_eq!(ended, Err(SocketError::ConnectionRefused));
    world.only_drops(&[DropReason::TcpNoSocket]);
}

fn who_is_bound_speaks_by_its_port_whatever_routes_say() {
    let mut world = two_cables();
    let server = world.datagram_at(BOB, None, "0.0.0.0:53");
    let listener = world.listener(BOB, 80);
    for (by, came_by) in [(None, ETH0), (Some(ETH0), ETH0), (Some(ETH1), ETH1)] {
        let client = world.datagram(ALICE);
        world.bind_to(ALICE, client, by);
        world
            .send_to(ALICE, client, b"hello", "10.0.9.9:53")
            .unwrap();
        world.run_for(50 * MS);
        let mut out = [0; 9];
        let received = world.with(BOB, |stack, cx| stack.recv_message(server, &mut out, cx));
        assert_eq!(received.unwrap().way.port, came_by, "{by:?}");

        let before = world.hosts[ALICE].stack.ports();
        let client = world.stream(ALICE);
        world.bind_to(ALICE, client, by);
        let begun = world.connect(ALICE, client, "10.0.9.9:80");
        assert_eq!(begun, Err(SocketError::InProgress));
        world.run_until("a connection", |world| world.accept(BOB, listener).is_ok());
        world.send(ALICE, client, b"hello").unwrap();
        world.run_for(50 * MS);
        let after = world.hosts[ALICE].stack.ports();
        let idle = usize::from(3 - came_by.0);
        assert_eq!(before[idle].1.tx_ok, after[idle].1.tx_ok, "{by:?}");
    }
    // Whom no route of the port leads to is on its cable, where nobody answers; IPv6 says so at once.
    let lost = world.datagram(ALICE);
    world.bind_to(ALICE, lost, ETH1);
    let sent = world.send_to(ALICE, lost, b"hello", "10.0.1.2:53");
    match is_v6() {
        true => assert_eq!(sent, Err(SocketError::NetworkUnreachable)),
        false => assert_eq!(sent, Ok(5)),
    }
    let nowhere = world.with(ALICE, |stack, cx| {
        stack.set(lost, SocketOption::Device(Some(PortId(9))), cx)
    });
    assert_eq!(nowhere, Err(SocketError::NoDevice));
}

fn ports_are_shared_by_sockets_that_are_bound_to_different_ones() {
    let table = [
        (None, None, false),
        (Some(ETH0), None, false),
        (None, Some(ETH0), false),
        (Some(ETH0), Some(ETH0), false),
        (Some(ETH0), Some(ETH1), true),
    ];
    for (there, new, shares) in table {
        for kind in [SocketKind::Stream, SocketKind::Datagram] {
            let mut world = two_cables();
            let family = if is_v6() { Family::V6 } else { Family::V4 };
            let [first, second] = [there, new].map(|port| {
                let s = world.socket(BOB, family, kind);
                world.bind_to(BOB, s, port);
                s
            });
            world.bind(BOB, first, "0.0.0.0:80").unwrap();
            let bound = world.bind(BOB, second, "0.0.0.0:80");
            assert_eq!(bound.is_ok(), shares, "{there:?}, then {new:?}");
            if kind == SocketKind::Stream && shares {
                world.listen(BOB, first, 1).unwrap();
                assert_eq!(world.listen(BOB, second, 1), Ok(()));
            }
            // The port is given back with its socket.
            world.close(BOB, first);
            world.close(BOB, second);
            let anew = world.socket(BOB, family, kind);
            assert_eq!(world.bind(BOB, anew, "0.0.0.0:80"), Ok(()));
        }
    }
}

/// As Linux 6.18, where it comes by the loopback, too.
fn what_a_host_says_to_itself_comes_by_the_port_that_has_the_address() {
    let mut world = two_cables();
    let cable = world.datagram_at(BOB, ETH0, "0.0.0.0:53");
    let own = world.datagram_at(BOB, LO, "0.0.0.0:53");
    let client = world.datagram(BOB);
    world
        .send_to(BOB, client, b"hello", "127.0.0.1:53")
        .unwrap();
    world.run_for(50 * MS);
    assert_eq!(world.all_heard(own), vec![b"hello".to_vec()]);
    assert!(world.all_heard(cable).is_empty());
    for by in [None, Some(ETH0)] {
        world.bind_to(BOB, client, by);
        world.send_to(BOB, client, b"to me", "10.0.1.2:53").unwrap();
        world.run_for(50 * MS);
        assert_eq!(world.all_heard(cable), vec![b"to me".to_vec()]);
        assert!(world.all_heard(own).is_empty());
    }
    world.bind_to(BOB, client, LO);
    world
        .send_to(BOB, client, b"again", "127.0.0.1:53")
        .unwrap();
    world.run_for(50 * MS);
    assert_eq!(world.all_heard(own), vec![b"again".to_vec()]);
    let listener = world.stream(BOB);
    world.bind_to(BOB, listener, ETH0);
    world.bind(BOB, listener, "0.0.0.0:80").unwrap();
    world.listen(BOB, listener, 4).unwrap();
    for by in [None, Some(ETH0)] {
        let client = world.stream(BOB);
        world.bind_to(BOB, client, by);
        let begun = world.connect(BOB, client, "10.0.1.2:80");
        assert_eq!(begun, Err(SocketError::InProgress));
        world.run_for(50 * MS);
        assert_eq!(world.connect(BOB, client, "10.0.1.2:80"), Ok(()), "{by:?}");
        assert!(world.accept(BOB, listener).is_ok());
    }
}

fn a_connection_that_is_bound_to_another_port_hears_no_more() {
    let mut world = two_cables();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.1.2:80");
    world.bind_to(BOB, server, ETH1);
    world.send(ALICE, client, b"hello").unwrap();
    world.run_for(50 * MS);
    assert_eq!(world.recv(BOB, server), Err(SocketError::WouldBlock));
}

/// An echo request, and a raw socket that sees it.
#[test]
fn raw_and_echo_sockets_keep_to_their_port() {
    let mut world = two_cables();
    let mut request = vec![8, 0, 0, 0, 0, 7, 0, 1];
    let sum = !checksum::sum(&request);
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    let hears = [ETH0, ETH1].map(|port| {
        let s = world.socket(BOB, Family::V4, SocketKind::Raw(1));
        world.bind_to(BOB, s, port);
        s
    });
    for by in [ETH0, ETH1] {
        let raw = world.socket(ALICE, Family::V4, SocketKind::Raw(1));
        let echo = world.socket(ALICE, Family::V4, SocketKind::Echo);
        for s in [raw, echo] {
            world.bind_to(ALICE, s, by);
            world.send_to(ALICE, s, &request, "10.0.9.9:0").unwrap();
        }
        world.run_for(50 * MS);
        let counts = hears.map(|s| world.all_heard(s).len());
        let expected = [by == ETH0, by == ETH1].map(|hears| if hears { 2 } else { 0 });
        assert_eq!(counts, expected, "{by:?}");
        // bob answers by his own routes, which lead back by the cable of the address that asked.
        assert!(world.recv(ALICE, echo).is_ok(), "{by:?}");
    }
}
