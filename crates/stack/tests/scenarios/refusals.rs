//! What goes wrong: refused, reset, given up, overrun.
use std::time::Duration;

use heptad_stack::l4_transport::tcp::State;
use heptad_stack::stack::SocketOption;
use heptad_stack::{Counter, DropReason, Ready, Shutdown, SocketError};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    a_closed_port_refuses_and_the_socket_may_try_again,
    so_error_takes_the_refusal_and_the_next_connect_says_aborted,
    nobody_there_is_told_as_no_route_to_host,
    a_group_or_everybody_is_nobody_to_connect_to,
    a_silent_network_times_out_after_six_retries,
    closing_with_unread_data_resets,
    writing_to_a_closed_peer_is_reset_then_a_broken_pipe,
    linger_zero_resets,
    a_full_backlog_drops_and_a_later_accept_lets_the_next_one_in,
    closing_a_listener_resets_those_whom_nobody_accepted,
    a_connect_given_up_leaves_nothing,
    a_bound_port_connects_to_a_place_once_at_a_time,
    a_peer_that_vanished_is_found_by_keepalive,
    a_refusal_is_told_once_by_whichever_verb_comes_first,
    a_reset_is_told_once_by_whichever_verb_comes_first,
}

fn a_closed_port_refuses_and_the_socket_may_try_again() {
    let mut world = World::pair();
    let client = world.stream(ALICE);
    let connect = |world: &mut World| world.connect(ALICE, client, "10.0.0.2:80");
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    world.run_for(100 * MS);
    assert!(
        world
            .ready(ALICE, client)
            .contains(Ready::ERROR | Ready::HANG_UP)
    );
    assert_eq!(connect(&mut world), Err(SocketError::ConnectionRefused));
    assert_eq!(world.states(ALICE), []);
    let listener = world.listener(BOB, 80);
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    world.run_for(100 * MS);
    assert_eq!(connect(&mut world), Ok(()));
    assert!(world.accept(BOB, listener).is_ok());
    world.only_drops(&[DropReason::TcpNoSocket]);
}

fn so_error_takes_the_refusal_and_the_next_connect_says_aborted() {
    let mut world = World::pair();
    let client = world.stream(ALICE);
    let connect = |world: &mut World| world.connect(ALICE, client, "10.0.0.2:80");
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    world.run_for(100 * MS);
    let stack = &mut world.hosts[ALICE].stack;
    assert_eq!(
        stack.take_error(client),
        Some(SocketError::ConnectionRefused)
    );
    assert_eq!(stack.take_error(client), None);
    assert_eq!(connect(&mut world), Err(SocketError::ConnectionAborted));
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
}

fn nobody_there_is_told_as_no_route_to_host() {
    let mut world = World::pair();
    let client = world.stream(ALICE);
    let connect = |world: &mut World| world.connect(ALICE, client, "10.0.0.77:80");
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    world.run_for(10_000 * MS);
    assert_eq!(connect(&mut world), Err(SocketError::HostUnreachable));
    let nowhere = world.connect(ALICE, client, "192.0.2.1:80");
    assert_eq!(nowhere, Err(SocketError::NetworkUnreachable));
}

//= rfc9293#3.9.1.1
//# reject as an error a local OPEN call for an invalid remote IP address (e.g., a broadcast or multicast address)
fn a_group_or_everybody_is_nobody_to_connect_to() {
    let mut world = World::pair();
    let client = world.stream(ALICE);
    let everybody: &[&str] = match is_v6() {
        true => &["[ff02::1]:80", "[ff0e::101]:80"],
        false => &["224.0.0.1:80", "255.255.255.255:80", "10.0.0.255:80"],
    };
    for to in everybody {
        let refused = world.connect(ALICE, client, to);
        assert_eq!(refused, Err(SocketError::NetworkUnreachable), "{to}");
    }
    assert_eq!(world.states(ALICE), []);
}

fn a_silent_network_times_out_after_six_retries() {
    let mut world = World::pair();
    world.cut(BOB, true);
    let client = world.stream(ALICE);
    // An answer to ARP is needed once; after it nothing comes back.
    world.cut(BOB, false);
    let probe = world.datagram(ALICE);
    world.send_to(ALICE, probe, b"", "10.0.0.2:9").unwrap();
    world.run_for(100 * MS);
    world.cut(ALICE, true);
    let connect = |world: &mut World| world.connect(ALICE, client, "10.0.0.2:80");
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    let began = world.now;
    let mut error = SocketError::Already;
    world.run_until("an end of the connect", |world| {
        error = connect(world).unwrap_err();
        error != SocketError::Already
    });
    let took = world.now - began;
    // Linux: 1 + 2 + 4 + 8 + 16 + 32 + 64 seconds. Here ARP may give up on the neighbour first.
    assert!(
        matches!(error, SocketError::TimedOut | SocketError::HostUnreachable),
        "{error:?}"
    );
    assert!(took <= Duration::from_secs(128), "{took:?}");
}

fn closing_with_unread_data_resets() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.send(ALICE, client, b"never read").unwrap();
    world.run_for(100 * MS);
    world.close(BOB, server);
    world.run_for(100 * MS);
    let reset = Ready::READABLE | Ready::WRITABLE | Ready::ERROR | Ready::HANG_UP;
    assert!(world.ready(ALICE, client).contains(reset));
    assert_eq!(world.recv(ALICE, client), Err(SocketError::ConnectionReset));
    assert_eq!(world.recv(ALICE, client), Ok(vec![]));
    assert_eq!(
        world.send(ALICE, client, b"a"),
        Err(SocketError::BrokenPipe)
    );
    let connect = world.connect(ALICE, client, "10.0.0.2:80");
    assert_eq!(connect, Err(SocketError::IsConnected));
    assert_eq!(world.states(BOB), [State::Listen]);
    assert_eq!(world.states(ALICE), []);
    world.only_drops(NOTHING);
}

fn writing_to_a_closed_peer_is_reset_then_a_broken_pipe() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.close(BOB, server);
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Ok(vec![]));
    assert_eq!(world.send(ALICE, client, b"hello?"), Ok(6));
    world.run_for(100 * MS);
    let second = world.send(ALICE, client, b"hello?");
    assert!(matches!(
        second,
        Err(SocketError::BrokenPipe | SocketError::ConnectionReset)
    ));
}

fn linger_zero_resets() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.set(ALICE, client, SocketOption::Linger(Some(Duration::ZERO)));
    world.close(ALICE, client);
    world.run_for(100 * MS);
    assert_eq!(world.recv(BOB, server), Err(SocketError::ConnectionReset));
    assert_eq!(world.states(ALICE), []);
    world.only_drops(NOTHING);
}

fn a_full_backlog_drops_and_a_later_accept_lets_the_next_one_in() {
    let mut world = World::pair();
    let listener = world.stream(BOB);
    world.bind(BOB, listener, "0.0.0.0:80").unwrap();
    world.listen(BOB, listener, 1).unwrap();
    let clients: Vec<_> = (0..5).map(|_| world.stream(ALICE)).collect();
    for client in &clients {
        let _ = world.connect(ALICE, *client, "10.0.0.2:80");
        world.run_for(50 * MS);
    }
    let waiting = |world: &World| world.hosts[BOB].stack.rows()[0].recv_q;
    assert_eq!(waiting(&world), 2, "Linux admits backlog + 1");
    assert!(world.count(BOB, Counter::TcpExtListenOverflows) > 0);
    let mut accepted = 0;
    world.run_until("all five", |world| {
        accepted += usize::from(world.accept(BOB, listener).is_ok());
        accepted == 5
    });
    world.only_drops(&[DropReason::TcpAcceptQueueFull, DropReason::TcpSynQueueFull]);
}

fn closing_a_listener_resets_those_whom_nobody_accepted() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let client = world.stream(ALICE);
    let _ = world.connect(ALICE, client, "10.0.0.2:80");
    world.run_for(100 * MS);
    assert_eq!(world.connect(ALICE, client, "10.0.0.2:80"), Ok(()));
    world.close(BOB, listener);
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Err(SocketError::ConnectionReset));
    assert_eq!(world.states(BOB), []);
}

fn a_connect_given_up_leaves_nothing() {
    let mut world = World::pair();
    world.cut(BOB, true);
    for how in [Some(Shutdown::Both), None] {
        let client = world.stream(ALICE);
        let _ = world.connect(ALICE, client, "10.0.0.2:80");
        match how {
            Some(how) => assert_eq!(world.shutdown(ALICE, client, how), Ok(())),
            None => world.close(ALICE, client),
        }
        assert_eq!(world.states(ALICE), []);
    }
}

fn a_bound_port_connects_to_a_place_once_at_a_time() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let bound = |world: &mut World| {
        let s = world.stream(ALICE);
        world.set(ALICE, s, SocketOption::ReuseAddress(true));
        world.bind(ALICE, s, "10.0.0.1:5000").unwrap();
        s
    };
    let (first, second) = (bound(&mut world), bound(&mut world));
    assert_eq!(
        world.connect(ALICE, first, "10.0.0.2:80"),
        Err(SocketError::InProgress)
    );
    let again = world.connect(ALICE, second, "10.0.0.2:80");
    assert_eq!(again, Err(SocketError::AddressNotAvailable));
    world.run_for(100 * MS);
    assert!(world.accept(BOB, listener).is_ok());
}

fn a_peer_that_vanished_is_found_by_keepalive() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, _) = world.connected(listener, "10.0.0.2:80");
    let second = Duration::from_secs(1);
    for option in [
        SocketOption::KeepAlive(true),
        SocketOption::KeepIdle(10 * second),
        SocketOption::KeepInterval(5 * second),
        SocketOption::KeepCount(3),
    ] {
        world.set(ALICE, client, option);
    }
    world.run_for(60 * second);
    assert_eq!(world.recv(ALICE, client), Err(SocketError::WouldBlock));
    world.cut(BOB, true);
    world.run_for(40 * second);
    let error = world.recv(ALICE, client).unwrap_err();
    assert!(
        matches!(error, SocketError::TimedOut | SocketError::HostUnreachable),
        "{error:?}"
    );
}

fn a_refusal_is_told_once_by_whichever_verb_comes_first() {
    for first in ["send", "recv"] {
        let mut world = World::pair();
        let client = world.stream(ALICE);
        let _ = world.connect(ALICE, client, "10.0.0.2:80");
        world.run_for(100 * MS);
        let told = match first {
            "send" => world.send(ALICE, client, b"a").map(|_| ()),
            _ => world.recv(ALICE, client).map(|_| ()),
        };
        assert_eq!(told, Err(SocketError::ConnectionRefused));
        assert_eq!(world.recv(ALICE, client), Ok(vec![]));
        assert_eq!(
            world.send(ALICE, client, b"a"),
            Err(SocketError::BrokenPipe)
        );
        let connect = world.connect(ALICE, client, "10.0.0.2:80");
        assert_eq!(connect, Err(SocketError::ConnectionAborted));
    }
}

fn a_reset_is_told_once_by_whichever_verb_comes_first() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.send(ALICE, client, b"never read").unwrap();
    world.run_for(100 * MS);
    world.close(BOB, server);
    world.run_for(100 * MS);
    assert_eq!(
        world.send(ALICE, client, b"a"),
        Err(SocketError::ConnectionReset)
    );
    assert_eq!(
        world.send(ALICE, client, b"a"),
        Err(SocketError::BrokenPipe)
    );
    assert_eq!(world.recv(ALICE, client), Ok(vec![]));
    let shutdown = world.shutdown(ALICE, client, Shutdown::Both);
    assert_eq!(shutdown, Err(SocketError::NotConnected));
    let stack = &world.hosts[ALICE].stack;
    assert_eq!(stack.peer_addr(client), Err(SocketError::NotConnected));
    assert_eq!(stack.local_addr(client).unwrap().ip(), ip("10.0.0.1"));
}

/// As Linux does: each probe of the shut window is answered, but the program that wanted to send is gone.
#[test]
fn an_orphan_whose_peer_never_reads_is_let_go_within_minutes() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, _server) = world.connected(listener, "10.0.0.2:80");
    let data = vec![7; 100_000];
    let idle = std::time::Duration::from_secs(1);
    while world.send(ALICE, client, &data).is_ok() {
        world.run_for(idle);
    }
    world.close(ALICE, client);
    world.run_for(60 * idle);
    assert_eq!(world.states(ALICE), [State::FinWait1]);
    world.run_for(600 * idle);
    assert_eq!(world.states(ALICE), []);
}
