//! bind, listen, names and their errors.
use heptad_stack::stack::SocketOption;
use heptad_stack::{Ready, Shutdown, SocketError, SocketId};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    bind_takes_own_addresses_only_and_once,
    port_zero_draws_ephemeral_ports_that_differ,
    reuse_address_shares_until_one_listens,
    a_port_may_be_listened_at_while_a_connection_from_it_opens,
    a_restarted_server_needs_reuse_address_while_its_connections_linger,
    verbs_on_the_wrong_kind_of_socket_say_so,
    a_closed_handle_is_a_bad_socket_even_when_its_slot_is_used_again,
    shutdown_of_a_listener_stops_it_and_wakes_those_who_wait,
    options_answer_with_what_was_set_as_linux_rounds_it,
}

fn bound(world: &mut World, to: &str, reuse: bool) -> Result<SocketId, SocketError> {
    let s = world.stream(ALICE);
    world.set(ALICE, s, SocketOption::ReuseAddress(reuse));
    world.bind(ALICE, s, to).map(|()| s)
}

fn bind_takes_own_addresses_only_and_once() {
    let mut world = World::pair();
    let foreign = bound(&mut world, "10.0.0.2:80", false);
    assert_eq!(foreign, Err(SocketError::AddressNotAvailable));
    let s = bound(&mut world, "10.0.0.1:80", false).unwrap();
    let again = world.bind(ALICE, s, "10.0.0.1:81");
    assert_eq!(again, Err(SocketError::Invalid));
    let taken = bound(&mut world, "0.0.0.0:80", false);
    assert_eq!(taken, Err(SocketError::AddressInUse));
    assert!(bound(&mut world, "127.0.0.1:80", false).is_ok());
    if !is_v6() {
        assert!(bound(&mut world, "127.9.9.9:80", false).is_ok());
        let v6 = world.bind(ALICE, s, "[::]:80");
        assert_eq!(v6, Err(SocketError::FamilyNotSupported));
    }
}

fn port_zero_draws_ephemeral_ports_that_differ() {
    let mut world = World::pair();
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let s = bound(&mut world, "0.0.0.0:0", false).unwrap();
        let port = world.hosts[ALICE].stack.local_addr(s).unwrap().port();
        assert!((32_768..=60_999).contains(&port));
        assert!(ports.insert(port));
    }
}

fn reuse_address_shares_until_one_listens() {
    let mut world = World::pair();
    let first = bound(&mut world, "0.0.0.0:80", true).unwrap();
    let second = bound(&mut world, "0.0.0.0:80", true).unwrap();
    assert_eq!(world.listen(ALICE, first, 1), Ok(()));
    let refused = world.listen(ALICE, second, 1);
    assert_eq!(refused, Err(SocketError::AddressInUse));
    let third = bound(&mut world, "0.0.0.0:80", true);
    assert_eq!(third, Err(SocketError::AddressInUse));
    world.close(ALICE, first);
    assert_eq!(world.listen(ALICE, second, 1), Ok(()));
}

//= rfc9293#3.9.1.1
//# an OPEN call that will functionally allow an application to LISTEN on a port while a connection block with the same local port is in SYN-SENT
fn a_port_may_be_listened_at_while_a_connection_from_it_opens() {
    let mut world = World::pair();
    let remote = world.listener(BOB, 80);
    let client = bound(&mut world, "0.0.0.0:80", true).unwrap();
    let connect = |world: &mut World| world.connect(ALICE, client, "10.0.0.2:80");
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    let listener = bound(&mut world, "0.0.0.0:80", true).unwrap();
    assert_eq!(world.listen(ALICE, listener, 1), Ok(()));
    world.run_for(100 * MS);
    assert_eq!(connect(&mut world), Ok(()));
    assert!(world.accept(BOB, remote).is_ok());
    let other = world.stream(BOB);
    let knock = world.connect(BOB, other, "10.0.0.1:80");
    assert_eq!(knock, Err(SocketError::InProgress));
    world.run_for(100 * MS);
    assert!(world.accept(ALICE, listener).is_ok());
}

fn a_restarted_server_needs_reuse_address_while_its_connections_linger() {
    let mut world = World::pair();
    for reuse in [false, true] {
        let port = if reuse { 81 } else { 80 };
        let at = format!("0.0.0.0:{port}");
        let listener = world.stream(BOB);
        world.set(BOB, listener, SocketOption::ReuseAddress(reuse));
        world.bind(BOB, listener, &at).unwrap();
        world.listen(BOB, listener, 5).unwrap();
        let (client, server) = world.connected(listener, &format!("10.0.0.2:{port}"));
        world.close(BOB, server);
        world.close(BOB, listener);
        world.run_for(100 * MS);
        world.close(ALICE, client);
        world.run_for(100 * MS);

        let restarted = world.stream(BOB);
        world.set(BOB, restarted, SocketOption::ReuseAddress(reuse));
        let expected = if reuse {
            Ok(())
        } else {
            Err(SocketError::AddressInUse)
        };
        assert_eq!(world.bind(BOB, restarted, &at), expected);
        if !reuse {
            world.run_for(61_000 * MS);
            assert_eq!(world.bind(BOB, restarted, &at), Ok(()));
        }
    }
    world.only_drops(NOTHING);
}

fn verbs_on_the_wrong_kind_of_socket_say_so() {
    let mut world = World::pair();
    let stream = world.stream(ALICE);
    let datagram = world.datagram(ALICE);
    let listener = world.listener(ALICE, 80);
    let accept = |world: &mut World, s| world.accept(ALICE, s).unwrap_err();
    assert_eq!(accept(&mut world, stream), SocketError::Invalid);
    assert_eq!(accept(&mut world, datagram), SocketError::NotSupported);
    assert_eq!(accept(&mut world, listener), SocketError::WouldBlock);
    let listen = world.listen(ALICE, datagram, 1);
    assert_eq!(listen, Err(SocketError::NotSupported));
    let connect = world.connect(ALICE, listener, "10.0.0.2:80");
    assert_eq!(connect, Err(SocketError::IsConnected));
    for s in [stream, listener] {
        assert_eq!(world.send(ALICE, s, b"a"), Err(SocketError::BrokenPipe));
        assert_eq!(world.recv(ALICE, s), Err(SocketError::NotConnected));
        let peer = world.hosts[ALICE].stack.peer_addr(s);
        assert_eq!(peer, Err(SocketError::NotConnected));
    }
    for s in [stream, datagram] {
        let shutdown = world.shutdown(ALICE, s, Shutdown::Both);
        assert_eq!(shutdown, Err(SocketError::NotConnected));
    }
    let hung_up = Ready::WRITABLE | Ready::HANG_UP;
    assert_eq!(world.ready(ALICE, stream), hung_up);
    let no_delay = world.with(ALICE, |stack, cx| {
        stack.set(datagram, SocketOption::NoDelay(true), cx)
    });
    assert_eq!(no_delay, Err(SocketError::NoProtocolOption));
}

fn a_closed_handle_is_a_bad_socket_even_when_its_slot_is_used_again() {
    let mut world = World::pair();
    let old = world.stream(ALICE);
    world.close(ALICE, old);
    let new = world.stream(ALICE);
    assert_eq!(old.index, new.index);
    let bind = world.bind(ALICE, old, "0.0.0.0:80");
    assert_eq!(bind, Err(SocketError::BadSocket));
    assert_eq!(world.bind(ALICE, new, "0.0.0.0:80"), Ok(()));
}

fn shutdown_of_a_listener_stops_it_and_wakes_those_who_wait() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    while world.hosts[BOB].stack.poll_ready().is_some() {}
    assert_eq!(world.shutdown(BOB, listener, Shutdown::Both), Ok(()));
    let woken = world.hosts[BOB].stack.poll_ready();
    assert_eq!(woken, Some((listener, Ready::WRITABLE | Ready::HANG_UP)));
    assert_eq!(world.accept(BOB, listener), Err(SocketError::Invalid));
    assert_eq!(world.listen(BOB, listener, 1), Ok(()), "it is still bound");
}

fn options_answer_with_what_was_set_as_linux_rounds_it() {
    let mut world = World::pair();
    let s = world.stream(ALICE);
    let rows = [
        (
            SocketOption::ReceiveBuffer(10_000),
            SocketOption::ReceiveBuffer(20_000),
        ),
        (
            SocketOption::ReceiveBuffer(1),
            SocketOption::ReceiveBuffer(2_304),
        ),
        (
            SocketOption::SendBuffer(1 << 30),
            SocketOption::SendBuffer(8_388_608),
        ),
        (SocketOption::Ttl(9), SocketOption::Ttl(9)),
        (
            SocketOption::Linger(Some(7 * MS)),
            SocketOption::Linger(Some(7 * MS)),
        ),
        (SocketOption::MaxSegment(500), SocketOption::MaxSegment(500)),
    ];
    for (set, get) in rows {
        world.set(ALICE, s, set);
        assert_eq!(world.hosts[ALICE].stack.get(s, set), Ok(get));
    }
    for bad in [
        SocketOption::Ttl(0),
        SocketOption::KeepCount(128),
        SocketOption::MaxSegment(87),
    ] {
        let got = world.with(ALICE, |stack, cx| stack.set(s, bad, cx));
        assert_eq!(got, Err(SocketError::Invalid));
    }
}
