//! UDP between hosts.
use heptad_stack::stack::SocketOption;
use heptad_stack::{Counter, DropReason, Ready, Shutdown, SocketError};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    an_echo_goes_there_and_back_through_a_router,
    a_datagram_of_the_greatest_length_is_cut_into_fragments_and_put_together,
    a_closed_port_refuses_a_connected_socket_once,
    a_connected_socket_hears_its_peer_only_and_can_be_dissolved,
    a_host_talks_to_itself_by_any_of_its_addresses,
    a_flood_is_bounded_by_the_receive_buffer,
    readiness_is_told_once_a_change,
    a_shut_down_socket_reads_nothing_and_sends_no_more,
    no_route_is_told_at_once,
    the_first_connect_fixes_the_source_until_it_is_dissolved,
    a_datagram_that_was_looked_at_stays_and_tells_who_sent_it,
}

fn an_echo_goes_there_and_back_through_a_router() {
    let mut world = World::routed();
    let server = world.datagram(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    assert_eq!(
        world.send_to(ALICE, client, "안녕".as_bytes(), "10.0.2.20:7"),
        Ok(6)
    );
    world.run_for(100 * MS);
    let mut out = [0; 3];
    let got = world.with(BOB, |stack, cx| stack.recv_from(server, &mut out, cx));
    let (copied, len, from) = got.unwrap();
    assert_eq!((copied, len, from.ip()), (3, 6, ip("10.0.1.10")));
    assert_eq!(out, "안".as_bytes());
    assert_eq!(
        world.recv(BOB, server),
        Err(SocketError::WouldBlock),
        "the rest is gone"
    );
    world
        .send_to(BOB, server, b"back", &from.to_string())
        .unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Ok(b"back".to_vec()));
    world.only_drops(NOTHING);
}

fn a_datagram_of_the_greatest_length_is_cut_into_fragments_and_put_together() {
    let mut world = World::routed();
    let server = world.datagram(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    // IPv4 counts its header, IPv6 does not.
    let greatest = if is_v6() { 65_527 } else { 65_507 };
    let data: Vec<u8> = (0..greatest).map(|n| (n * 7) as u8).collect();
    let sent = world.send_to(ALICE, client, &data, "10.0.2.20:7");
    assert_eq!(sent, Ok(data.len()));
    world.run_for(200 * MS);
    assert!(world.recv(BOB, server) == Ok(data.clone()));
    let longer = [&data[..], b"x"].concat();
    let refused = world.send_to(ALICE, client, &longer, "10.0.2.20:7");
    assert_eq!(refused, Err(SocketError::MessageTooLong));
    world.only_drops(NOTHING);
}

fn a_closed_port_refuses_a_connected_socket_once() {
    let mut world = World::routed();
    let client = world.datagram(ALICE);
    assert_eq!(world.connect(ALICE, client, "10.0.2.20:9"), Ok(()));
    world.send(ALICE, client, b"anyone?").unwrap();
    world.run_for(100 * MS);
    assert!(world.ready(ALICE, client).contains(Ready::ERROR));
    let stack = &mut world.hosts[ALICE].stack;
    assert_eq!(
        stack.take_error(client),
        Some(SocketError::ConnectionRefused)
    );
    world.send(ALICE, client, b"anyone?").unwrap();
    world.run_for(100 * MS);
    assert_eq!(
        world.send(ALICE, client, b"a"),
        Err(SocketError::ConnectionRefused)
    );
    assert_eq!(world.send(ALICE, client, b"a"), Ok(1));
    world.only_drops(&[DropReason::UdpNoSocket]);
}

fn a_connected_socket_hears_its_peer_only_and_can_be_dissolved() {
    let mut world = World::pair();
    let server = world.datagram(BOB);
    world.bind(BOB, server, "10.0.0.2:7").unwrap();
    let other = world.datagram(BOB);
    world.bind(BOB, other, "10.0.0.2:8").unwrap();
    let alone = world.datagram(ALICE);
    let nobody = world.send(ALICE, alone, b"a");
    assert_eq!(nobody, Err(SocketError::DestinationRequired));
    let client = world.datagram(ALICE);
    world.bind(ALICE, client, "0.0.0.0:5000").unwrap();
    world.connect(ALICE, client, "10.0.0.2:7").unwrap();
    let stack = &world.hosts[ALICE].stack;
    assert_eq!(stack.local_addr(client), Ok(addr("10.0.0.1:5000")));
    assert_eq!(stack.peer_addr(client), Ok(addr("10.0.0.2:7")));
    world
        .send_to(BOB, other, b"stranger", "10.0.0.1:5000")
        .unwrap();
    world
        .send_to(BOB, server, b"friend", "10.0.0.1:5000")
        .unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Ok(b"friend".to_vec()));
    assert_eq!(world.recv(ALICE, client), Err(SocketError::WouldBlock));

    world
        .with(ALICE, |stack, cx| stack.disconnect(client, cx))
        .unwrap();
    let stack = &world.hosts[ALICE].stack;
    assert_eq!(stack.local_addr(client), Ok(addr("0.0.0.0:5000")));
    assert_eq!(stack.peer_addr(client), Err(SocketError::NotConnected));
    // The stranger heard "port unreachable", but is not connected and does not mind.
    world
        .send_to(BOB, other, b"stranger", "10.0.0.1:5000")
        .unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Ok(b"stranger".to_vec()));
    world.only_drops(&[DropReason::UdpNoSocket]);
}

#[test]
fn a_broadcast_wants_permission_and_reaches_the_cable() {
    let mut world = World::pair();
    let server = world.datagram(BOB);
    world.bind(BOB, server, "0.0.0.0:67").unwrap();
    let client = world.datagram(ALICE);
    for to in ["255.255.255.255:67", "10.0.0.255:67"] {
        world.set(ALICE, client, SocketOption::Broadcast(false));
        let refused = world.send_to(ALICE, client, b"who?", to);
        assert_eq!(refused, Err(SocketError::AccessDenied));
        world.set(ALICE, client, SocketOption::Broadcast(true));
        assert_eq!(world.send_to(ALICE, client, b"who?", to), Ok(4));
        world.run_for(100 * MS);
        assert_eq!(world.recv(BOB, server), Ok(b"who?".to_vec()));
    }
    // The sender hears its own broadcast too, and nobody is at the port there.
    world.only_drops(&[DropReason::UdpNoSocket]);
}

fn a_host_talks_to_itself_by_any_of_its_addresses() {
    let mut world = World::pair();
    let server = world.datagram(ALICE);
    world.bind(ALICE, server, "0.0.0.0:7").unwrap();
    let before = world.carried(ALICE);
    // ::1 is alone; 127.0.0.1 has sixteen million siblings.
    let own = ["127.0.0.1:7", "10.0.0.1:7", "0.0.0.0:7", "127.1.2.3:7"];
    for to in own.into_iter().take(if is_v6() { 3 } else { 4 }) {
        let client = world.datagram(ALICE);
        world.connect(ALICE, client, to).unwrap();
        world.send(ALICE, client, to.as_bytes()).unwrap();
        world.run_for(MS);
        let mut out = [0; 20];
        let got = world.with(ALICE, |stack, cx| stack.recv_from(server, &mut out, cx));
        let (len, _, from) = got.unwrap();
        assert_eq!(&out[..len], to.as_bytes());
        world
            .send_to(ALICE, server, b"back", &from.to_string())
            .unwrap();
        world.run_for(MS);
        // Linux too answers from the address that routing picks, and a socket that asked 127.1.2.3 hears its peer only.
        let heard = world.recv(ALICE, client).is_ok();
        assert_eq!(heard, to != "127.1.2.3:7", "{to}");
    }
    assert_eq!(world.carried(ALICE), before, "nothing left by the cable");
}

fn a_flood_is_bounded_by_the_receive_buffer() {
    let mut world = World::pair();
    let server = world.datagram(BOB);
    world.set(BOB, server, SocketOption::ReceiveBuffer(5_000));
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    for _ in 0..50 {
        world
            .send_to(ALICE, client, &[0; 1_000], "10.0.0.2:7")
            .unwrap();
        world.run_for(10 * MS);
    }
    let kept = std::iter::from_fn(|| world.recv(BOB, server).ok()).count();
    assert!((8..=12).contains(&kept), "kept {kept}");
    assert_eq!(world.count(BOB, Counter::UdpRcvbufErrors), 50 - kept as u64);
    world.only_drops(&[DropReason::UdpBufferFull]);
}

fn readiness_is_told_once_a_change() {
    let mut world = World::pair();
    let server = world.datagram(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    for _ in 0..2 {
        world.send_to(ALICE, client, b"a", "10.0.0.2:7").unwrap();
        world.run_for(100 * MS);
        let both = Ready::READABLE | Ready::WRITABLE;
        assert_eq!(world.hosts[BOB].stack.poll_ready(), Some((server, both)));
        assert_eq!(world.hosts[BOB].stack.poll_ready(), None);
        world.recv(BOB, server).unwrap();
    }
}

fn a_shut_down_socket_reads_nothing_and_sends_no_more() {
    let mut world = World::pair();
    let client = world.datagram(ALICE);
    world.connect(ALICE, client, "10.0.0.2:7").unwrap();
    world.shutdown(ALICE, client, Shutdown::Both).unwrap();
    assert_eq!(world.recv(ALICE, client), Ok(vec![]));
    assert_eq!(
        world.send(ALICE, client, b"a"),
        Err(SocketError::BrokenPipe)
    );
    assert!(world.ready(ALICE, client).contains(Ready::HANG_UP));
}

fn no_route_is_told_at_once() {
    let mut world = World::pair();
    let client = world.datagram(ALICE);
    let sent = world.send_to(ALICE, client, b"a", "192.0.2.1:7");
    assert_eq!(sent, Err(SocketError::NetworkUnreachable));
}

fn the_first_connect_fixes_the_source_until_it_is_dissolved() {
    let mut world = World::pair();
    let server = world.datagram(ALICE);
    world.bind(ALICE, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    world.bind(ALICE, client, "0.0.0.0:5000").unwrap();
    world.connect(ALICE, client, "127.0.0.1:7").unwrap();
    let source = |world: &mut World| {
        world.send_to(ALICE, client, b"a", "10.0.0.1:7").unwrap();
        world.run_for(MS);
        let got = world.with(ALICE, |stack, cx| stack.recv_from(server, &mut [0; 9], cx));
        got.unwrap().2
    };
    assert_eq!(source(&mut world), addr("127.0.0.1:5000"), "another peer");
    world.connect(ALICE, client, "10.0.0.1:7").unwrap();
    let stack = &world.hosts[ALICE].stack;
    assert_eq!(stack.local_addr(client), Ok(addr("127.0.0.1:5000")));
    world
        .with(ALICE, |stack, cx| stack.disconnect(client, cx))
        .unwrap();
    assert_eq!(source(&mut world), addr("10.0.0.1:5000"), "routing picks");
    world.only_drops(NOTHING);
}

#[test]
fn a_socket_bound_to_a_broadcast_address_never_speaks_from_it() {
    let mut world = World::pair();
    let server = world.datagram(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    world.bind(ALICE, client, "10.0.0.255:5000").unwrap();
    for is_connected in [false, true] {
        if is_connected {
            world.connect(ALICE, client, "10.0.0.2:7").unwrap();
        }
        world.send_to(ALICE, client, b"a", "10.0.0.2:7").unwrap();
        world.run_for(100 * MS);
        let got = world.with(BOB, |stack, cx| stack.recv_from(server, &mut [0; 9], cx));
        assert_eq!(got.map(|got| got.2), Ok(addr("10.0.0.1:5000")));
        let stack = &world.hosts[ALICE].stack;
        assert_eq!(stack.local_addr(client), Ok(addr("10.0.0.255:5000")));
    }
    world.only_drops(NOTHING);
}

fn a_datagram_that_was_looked_at_stays_and_tells_who_sent_it() {
    let mut world = World::pair();
    let server = world.datagram(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    world.bind(ALICE, client, "0.0.0.0:5000").unwrap();
    world
        .send_to(ALICE, client, b"hello", "10.0.0.2:7")
        .unwrap();
    world.run_for(100 * MS);
    let mut out = [0; 2];
    for _ in 0..2 {
        let seen = world.with(BOB, |stack, cx| stack.peek_from(server, &mut out, cx));
        assert_eq!(seen, Ok((2, 5, addr("10.0.0.1:5000"))));
    }
    assert_eq!(world.recv(BOB, server), Ok(b"hello".to_vec()));
    let none = world.with(BOB, |stack, cx| stack.peek_from(server, &mut out, cx));
    assert_eq!(none, Err(SocketError::WouldBlock));
}
