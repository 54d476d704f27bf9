//! Sockets of IPv6 that speak IPv4: what Linux 6.18 answers to the same calls.
use std::net::SocketAddr;

use heptad_stack::stack::SocketOption;
use heptad_stack::{Family, SocketError, SocketId, SocketKind};

use crate::rig::*;

/// What a socket is, as the rows below have it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    V4,
    Dual,
    Only,
}
use Kind::{Dual, Only, V4};

fn open(world: &mut World, host: usize, kind: Kind, what: SocketKind) -> SocketId {
    let family = if kind == V4 { Family::V4 } else { Family::V6 };
    let s = world.socket(host, family, what);
    if kind == Only {
        world.set(host, s, SocketOption::V6Only(true));
    }
    s
}
fn name(world: &World, host: usize, s: SocketId) -> String {
    let name = world.hosts[host].stack.local_addr(s).unwrap();
    SocketAddr::new(name.ip(), 0).to_string()
}
fn peer(world: &World, host: usize, s: SocketId) -> String {
    let peer = world.hosts[host].stack.peer_addr(s);
    peer.map_or_else(|e| e.errno_name().into(), |peer| peer.to_string())
}

#[test]
fn bind_takes_addresses_of_the_sockets_family() {
    let rows: &[(Kind, &str, Result<&str, &str>)] = &[
        (V4, "[::]:80", Err("EAFNOSUPPORT")),
        (V4, "[::ffff:10.0.0.1]:80", Err("EAFNOSUPPORT")),
        (Dual, "0.0.0.0:80", Err("EAFNOSUPPORT")),
        (Dual, "[::]:80", Ok("[::]:0")),
        (Dual, "[::ffff:10.0.0.1]:80", Ok("[::ffff:10.0.0.1]:0")),
        (Dual, "[::ffff:0.0.0.0]:80", Ok("[::ffff:0.0.0.0]:0")),
        (Dual, "[::ffff:192.0.2.1]:80", Err("EADDRNOTAVAIL")),
        (Dual, "[2001:db8::1]:80", Err("EADDRNOTAVAIL")),
        (Dual, "[::10.0.0.1]:80", Err("EADDRNOTAVAIL")),
        (Dual, "[fe80::77]:80", Err("EINVAL")),
        (Dual, "[fe80::77%99]:80", Err("ENODEV")),
        (Dual, "[fe80::77%1]:80", Err("EADDRNOTAVAIL")),
        (Only, "[::]:80", Ok("[::]:0")),
        (Only, "[::ffff:10.0.0.1]:80", Err("EINVAL")),
        (Only, "[::ffff:0.0.0.0]:80", Err("EINVAL")),
    ];
    for what in [SocketKind::Stream, SocketKind::Datagram] {
        for (kind, to, expected) in rows {
            let mut world = World::pair();
            let s = open(&mut world, ALICE, *kind, what);
            let bound = world.bind(ALICE, s, to).map_err(SocketError::errno_name);
            let got = bound.map(|()| name(&world, ALICE, s));
            assert_eq!(
                got.as_deref(),
                expected.as_ref().map(|n| *n),
                "{what:?} {kind:?} {to}"
            );
        }
    }
}

#[test]
fn a_bound_socket_is_not_bound_again_and_keeps_its_families() {
    let mut world = World::pair();
    let s = open(&mut world, ALICE, Dual, SocketKind::Stream);
    world.bind(ALICE, s, "[::]:80").unwrap();
    // For IPv6 Linux asks this first.
    let again = world.bind(ALICE, s, "[2001:db8::1]:81");
    assert_eq!(again, Err(SocketError::Invalid));
    let late = SocketOption::V6Only(true);
    let late = world.with(ALICE, |stack, cx| stack.set(s, late, cx));
    assert_eq!(late, Err(SocketError::Invalid));
}

#[test]
fn options_of_ipv6_are_those_of_sockets_of_ipv6() {
    let mut world = World::pair();
    let options = [
        SocketOption::V6Only(true),
        SocketOption::Hops(3),
        SocketOption::TrafficClass(0x10),
    ];
    let v4 = world.stream(ALICE);
    let v6 = open(&mut world, ALICE, Dual, SocketKind::Stream);
    for option in options {
        let stack = &world.hosts[ALICE].stack;
        assert_eq!(stack.get(v4, option), Err(SocketError::NoProtocolOption));
        assert_ne!(stack.get(v6, option), Ok(option), "not the default");
        let refused = world.with(ALICE, |stack, cx| stack.set(v4, option, cx));
        assert_eq!(refused, Err(SocketError::NoProtocolOption));
        world.set(ALICE, v6, option);
        assert_eq!(world.hosts[ALICE].stack.get(v6, option), Ok(option));
    }
}

#[test]
fn connect_goes_where_the_families_meet() {
    // Where it is bound, whom it connects to, what a stream says, what a datagram socket says.
    type Row = (Kind, &'static str, &'static str, &'static str, &'static str);
    let rows: &[Row] = &[
        (V4, "", "[::1]:7", "EAFNOSUPPORT", "EAFNOSUPPORT"),
        (Dual, "", "10.0.0.2:7", "EAFNOSUPPORT", "ok"),
        (Only, "", "10.0.0.2:7", "EAFNOSUPPORT", "EAFNOSUPPORT"),
        (Dual, "", "[::ffff:10.0.0.2]:7", "EINPROGRESS", "ok"),
        (Dual, "[::]:0", "[::ffff:10.0.0.2]:7", "EINPROGRESS", "ok"),
        (Dual, "[::ffff:0.0.0.0]:0", "[::]:7", "EINPROGRESS", "ok"),
        (Dual, "", "[::ffff:0.0.0.0]:7", "EINPROGRESS", "ok"),
        (
            Dual,
            "[::ffff:10.0.0.1]:0",
            "[ff02::1]:7",
            "ENETUNREACH",
            "EINVAL",
        ),
        (Dual, "", "[fe80::77]:7", "EINVAL", "EINVAL"),
        (
            Only,
            "",
            "[::ffff:10.0.0.2]:7",
            "ENETUNREACH",
            "ENETUNREACH",
        ),
        (
            Only,
            "[::]:0",
            "[::ffff:10.0.0.2]:7",
            "ENETUNREACH",
            "ENETUNREACH",
        ),
    ];
    for (kind, at, to, stream, datagram) in rows {
        for (what, expected) in [
            (SocketKind::Stream, stream),
            (SocketKind::Datagram, datagram),
        ] {
            let mut world = World::pair();
            let s = open(&mut world, ALICE, *kind, what);
            if !at.is_empty() {
                world.bind(ALICE, s, at).unwrap();
            }
            let got = world.connect(ALICE, s, to);
            let got = got.map_or_else(SocketError::errno_name, |()| "ok");
            assert_eq!(got, *expected, "{what:?} {kind:?} at {at} to {to}");
        }
    }
}

#[test]
fn a_listener_of_both_families_accepts_ipv4_and_shows_it_mapped() {
    let mut world = World::pair();
    let listener = open(&mut world, BOB, Dual, SocketKind::Stream);
    world.bind(BOB, listener, "[::]:80").unwrap();
    world.listen(BOB, listener, 8).unwrap();
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    assert_eq!(name(&world, BOB, server), "[::ffff:10.0.0.2]:0");
    assert_eq!(name(&world, ALICE, client), "10.0.0.1:0");
    let own = world.hosts[ALICE].stack.local_addr(client).unwrap();
    let mapped = format!("[::ffff:10.0.0.1]:{}", own.port());
    assert_eq!(peer(&world, BOB, server), mapped);
    world.send(ALICE, client, b"hello").unwrap();
    world.run_for(100 * MS);
    let mut out = [0; 8];
    let got = world.with(BOB, |stack, cx| stack.recv_from(server, &mut out, cx));
    assert_eq!(got, Ok((5, 5, mapped.parse().unwrap())));
    let rows = world.hosts[BOB].stack.rows();
    assert!(rows.iter().all(|row| row.family == Family::V6));
    world.only_drops(NOTHING);
}

#[test]
fn a_connection_in_time_wait_is_still_of_its_sockets_family() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let client = open(&mut world, ALICE, Dual, SocketKind::Stream);
    let to = "[::ffff:10.0.0.2]:80";
    let begun = world.connect(ALICE, client, to);
    assert_eq!(begun, Err(SocketError::InProgress));
    world.run_for(100 * MS);
    assert_eq!(world.connect(ALICE, client, to), Ok(()));
    assert_eq!(peer(&world, ALICE, client), to);
    let server = world.accept(BOB, listener).unwrap();
    world.close(ALICE, client);
    world.run_for(100 * MS);
    world.close(BOB, server);
    world.run_for(100 * MS);
    let rows = world.hosts[ALICE].stack.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].socket, rows[0].family), (None, Family::V6));
    world.only_drops(NOTHING);
}

#[test]
fn a_listener_of_ipv6_alone_leaves_the_port_to_one_of_ipv4() {
    let mut world = World::pair();
    let only = open(&mut world, BOB, Only, SocketKind::Stream);
    world.bind(BOB, only, "[::]:80").unwrap();
    world.listen(BOB, only, 8).unwrap();
    let both = open(&mut world, BOB, Dual, SocketKind::Stream);
    let taken = world.bind(BOB, both, "[::]:80");
    assert_eq!(taken, Err(SocketError::AddressInUse));
    let client = world.stream(ALICE);
    let _ = world.connect(ALICE, client, "10.0.0.2:80");
    world.run_for(100 * MS);
    let refused = world.connect(ALICE, client, "10.0.0.2:80");
    assert_eq!(refused, Err(SocketError::ConnectionRefused));
    let v4 = world.listener(BOB, 80);
    let (_, server) = world.connected(v4, "10.0.0.2:80");
    assert_eq!(name(&world, BOB, server), "10.0.0.2:0");
}

#[test]
fn ipv4_goes_to_the_listener_of_ipv4_before_one_of_both() {
    let mut world = World::pair();
    let share = |world: &mut World, kind, at: &str| {
        let s = open(world, BOB, kind, SocketKind::Stream);
        world.set(BOB, s, SocketOption::ReusePort(true));
        world.bind(BOB, s, at).unwrap();
        world.listen(BOB, s, 8).unwrap();
        s
    };
    let both = share(&mut world, Dual, "[::]:80");
    let v4 = share(&mut world, V4, "0.0.0.0:80");
    for _ in 0..8 {
        world.connected(v4, "10.0.0.2:80");
    }
    world.close(BOB, v4);
    world.connected(both, "10.0.0.2:80");
}

#[test]
fn datagrams_of_ipv4_reach_a_socket_of_both_families_and_are_answered() {
    let mut world = World::pair();
    let server = open(&mut world, BOB, Dual, SocketKind::Datagram);
    world.bind(BOB, server, "[::]:7").unwrap();
    let client = world.datagram(ALICE);
    world.send_to(ALICE, client, b"ask", "10.0.0.2:7").unwrap();
    world.run_for(100 * MS);
    let mut out = [0; 8];
    let got = world.with(BOB, |stack, cx| stack.recv_from(server, &mut out, cx));
    let (_, _, from) = got.unwrap();
    assert_eq!(from.ip(), ip("::ffff:10.0.0.1"));
    world
        .send_to(BOB, server, b"told", &from.to_string())
        .unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Ok(b"told".to_vec()));
    assert_eq!(name(&world, BOB, server), "[::]:0");

    // With a peer of IPv4 it is one of IPv4, until the peer is taken back.
    world.connect(BOB, server, &from.to_string()).unwrap();
    assert_eq!(name(&world, BOB, server), "[::ffff:10.0.0.2]:0");
    assert_eq!(peer(&world, BOB, server), from.to_string());
    let other = world.connect(BOB, server, "[::1]:7");
    assert!(other.is_err());
    world
        .with(BOB, |stack, cx| stack.disconnect(server, cx))
        .unwrap();
    assert_eq!(name(&world, BOB, server), "[::]:0");
    world.only_drops(NOTHING);
}

#[test]
fn a_datagram_socket_of_ipv6_alone_hears_and_says_nothing_of_ipv4() {
    let mut world = World::pair();
    let only = open(&mut world, BOB, Only, SocketKind::Datagram);
    world.bind(BOB, only, "[::]:7").unwrap();
    for to in ["[::ffff:10.0.0.1]:9", "10.0.0.1:9"] {
        let sent = world.send_to(BOB, only, b"x", to);
        assert_eq!(sent, Err(SocketError::NetworkUnreachable), "{to}");
    }
    let v4 = world.datagram(BOB);
    world.bind(BOB, v4, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    world.send_to(ALICE, client, b"ask", "10.0.0.2:7").unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(BOB, only), Err(SocketError::WouldBlock));
    assert_eq!(world.recv(BOB, v4), Ok(b"ask".to_vec()));
}

#[test]
fn a_socket_that_fails_to_send_has_a_port_all_the_same() {
    let mut world = World::pair();
    let s = world.datagram(ALICE);
    let sent = world.send_to(ALICE, s, b"x", "[::1]:9");
    assert_eq!(sent, Err(SocketError::FamilyNotSupported));
    assert_ne!(world.hosts[ALICE].stack.local_addr(s).unwrap().port(), 0);
}
