//! TCP from handshake to TIME-WAIT, as programs see it.
use std::time::Duration;

use heptad_stack::l4_transport::tcp::State;
use heptad_stack::stack::SocketOption;
use heptad_stack::{Counter, Ready, Shutdown, SocketError};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    connect_tells_how_it_goes,
    an_echo_in_hangul_goes_there_and_back_through_a_router,
    a_half_closed_connection_still_carries_the_answer,
    time_wait_is_shown_for_a_minute_and_then_gone,
    two_connects_that_cross_make_one_connection,
    two_closes_that_cross_end_in_time_wait_on_both_sides,
    a_socket_connects_to_its_own_host,
    an_accepted_socket_has_its_listeners_options,
    a_connection_that_could_not_be_delivered_is_accepted_again,
    rows_come_in_one_order_and_name_their_sockets,
    a_reader_that_sleeps_stops_the_writer_and_wakes_it_again,
    reading_that_was_shut_down_still_gives_what_arrives_and_then_the_end,
    a_socket_that_outlives_its_connection_is_not_connected,
    nothing_is_sent_and_nothing_is_read_into_nothing,
    listeners_with_reuse_port_share_what_comes,
}

fn connect_tells_how_it_goes() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let client = world.stream(ALICE);
    let connect = |world: &mut World| world.connect(ALICE, client, "10.0.0.2:80");
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    assert_eq!(connect(&mut world), Err(SocketError::Already));
    assert_eq!(world.states(ALICE), [State::SynSent]);
    assert_eq!(
        world.send(ALICE, client, b"a"),
        Err(SocketError::WouldBlock)
    );
    assert!(!world.ready(ALICE, client).contains(Ready::WRITABLE));
    world.run_for(100 * MS);
    assert!(world.ready(ALICE, client).contains(Ready::WRITABLE));
    assert_eq!(connect(&mut world), Ok(()));
    assert_eq!(connect(&mut world), Err(SocketError::IsConnected));
    assert_eq!(world.states(ALICE), [State::Established]);
    assert_eq!(world.states(BOB), [State::Listen, State::Established]);
    assert!(world.ready(BOB, listener).contains(Ready::READABLE));
    let server = world.accept(BOB, listener).unwrap();
    assert!(!world.ready(BOB, listener).contains(Ready::READABLE));
    let (alice, bob) = (&world.hosts[ALICE].stack, &world.hosts[BOB].stack);
    assert_eq!(alice.local_addr(client), bob.peer_addr(server));
    assert_eq!(alice.peer_addr(client), bob.local_addr(server));
    assert_eq!(
        world.bind(ALICE, client, "0.0.0.0:1"),
        Err(SocketError::Invalid)
    );
    assert_eq!(world.listen(ALICE, client, 1), Err(SocketError::Invalid));
    world.only_drops(NOTHING);
}

fn an_echo_in_hangul_goes_there_and_back_through_a_router() {
    let mut world = World::routed();
    let listener = world.listener(BOB, 8080);
    let (client, server) = world.connected(listener, "10.0.2.20:8080");
    world.send(ALICE, client, "안녕하세요".as_bytes()).unwrap();
    world.run_for(100 * MS);
    let heard = world.recv(BOB, server).unwrap();
    assert_eq!(heard, "안녕하세요".as_bytes());
    world.send(BOB, server, &heard).unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Ok(heard));
    assert_eq!(world.count(ALICE, Counter::TcpRetransSegs), 0);
    world.only_drops(NOTHING);
}

fn a_half_closed_connection_still_carries_the_answer() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.send(ALICE, client, b"question").unwrap();
    world.shutdown(ALICE, client, Shutdown::Write).unwrap();
    assert_eq!(
        world.send(ALICE, client, b"more"),
        Err(SocketError::BrokenPipe)
    );
    world.run_for(100 * MS);
    assert_eq!(world.recv(BOB, server), Ok(b"question".to_vec()));
    assert_eq!(world.recv(BOB, server), Ok(vec![]));
    assert!(world.ready(BOB, server).contains(Ready::READ_CLOSED));
    assert_eq!(world.states(ALICE), [State::FinWait2]);
    assert_eq!(world.states(BOB), [State::Listen, State::CloseWait]);
    world.send(BOB, server, b"answer").unwrap();
    world.close(BOB, server);
    world.run_for(100 * MS);
    assert_eq!(world.recv(ALICE, client), Ok(b"answer".to_vec()));
    assert_eq!(world.recv(ALICE, client), Ok(vec![]));
    world.only_drops(NOTHING);
}

fn time_wait_is_shown_for_a_minute_and_then_gone() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.close(ALICE, client);
    world.run_for(100 * MS);
    world.close(BOB, server);
    world.run_for(100 * MS);
    assert_eq!(world.states(BOB), [State::Listen]);
    let rows = world.hosts[ALICE].stack.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].state, rows[0].socket),
        (Some(State::TimeWait), None)
    );
    assert_eq!(rows[0].remote, Some(addr("10.0.0.2:80")));
    world.run_for(59_000 * MS);
    assert_eq!(world.states(ALICE), [State::TimeWait]);
    world.run_for(2_000 * MS);
    assert_eq!(world.states(ALICE), []);
    world.only_drops(NOTHING);
}

fn two_connects_that_cross_make_one_connection() {
    let mut world = World::pair();
    let (a, b) = (world.stream(ALICE), world.stream(BOB));
    world.bind(ALICE, a, "10.0.0.1:1000").unwrap();
    world.bind(BOB, b, "10.0.0.2:2000").unwrap();
    // Let ARP be done, so that the SYNs cross.
    let probe = world.datagram(ALICE);
    world.send_to(ALICE, probe, b"", "10.0.0.2:9").unwrap();
    world.run_for(100 * MS);
    let wait = Err(SocketError::InProgress);
    assert_eq!(world.connect(ALICE, a, "10.0.0.2:2000"), wait);
    assert_eq!(world.connect(BOB, b, "10.0.0.1:1000"), wait);
    world.run_for(3_000 * MS);
    assert_eq!(world.connect(ALICE, a, "10.0.0.2:2000"), Ok(()));
    assert_eq!(world.connect(BOB, b, "10.0.0.1:1000"), Ok(()));
    world.send(ALICE, a, b"from alice").unwrap();
    world.send(BOB, b, b"from bob").unwrap();
    world.run_for(1_000 * MS);
    assert_eq!(world.recv(BOB, b), Ok(b"from alice".to_vec()));
    assert_eq!(world.recv(ALICE, a), Ok(b"from bob".to_vec()));
}

fn two_closes_that_cross_end_in_time_wait_on_both_sides() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.run_for(100 * MS);
    world.close(ALICE, client);
    world.close(BOB, server);
    world.run_for(100 * MS);
    assert_eq!(world.states(ALICE), [State::TimeWait]);
    assert_eq!(world.states(BOB), [State::Listen, State::TimeWait]);
    world.only_drops(NOTHING);
}

fn a_socket_connects_to_its_own_host() {
    let mut world = World::pair();
    let before = world.carried(BOB);
    for to in ["127.0.0.1:80", "10.0.0.2:80", "0.0.0.0:80"] {
        let listener = world.listener(BOB, 80);
        let client = world.stream(BOB);
        assert_eq!(world.connect(BOB, client, to), Err(SocketError::InProgress));
        world.run_for(10 * MS);
        assert_eq!(world.connect(BOB, client, to), Ok(()), "{to}");
        let server = world.accept(BOB, listener).unwrap();
        let data = vec![7; 60_000];
        assert_eq!(world.send(BOB, client, &data), Ok(60_000));
        world.run_for(10 * MS);
        assert!(world.recv(BOB, server) == Ok(data));
        world.set(BOB, client, SocketOption::Linger(Some(Duration::ZERO)));
        world.close(BOB, client);
        world.run_for(10 * MS);
        assert_eq!(world.recv(BOB, server), Err(SocketError::ConnectionReset));
        world.close(BOB, server);
        world.close(BOB, listener);
    }
    assert_eq!(world.carried(BOB), before, "nothing left by the cable");
}

fn an_accepted_socket_has_its_listeners_options() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    world.set(BOB, listener, SocketOption::NoDelay(true));
    world.set(BOB, listener, SocketOption::Ttl(9));
    let (_, server) = world.connected(listener, "10.0.0.2:80");
    world.set(BOB, listener, SocketOption::Ttl(10));
    let stack = &world.hosts[BOB].stack;
    for option in [SocketOption::NoDelay(true), SocketOption::Ttl(9)] {
        assert_eq!(stack.get(server, option), Ok(option));
    }
}

fn a_connection_that_could_not_be_delivered_is_accepted_again() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.with(BOB, |stack, cx| stack.unaccept(listener, server, cx));
    assert!(world.ready(BOB, listener).contains(Ready::READABLE));
    let server = world.accept(BOB, listener).unwrap();
    world.send(ALICE, client, b"a").unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(BOB, server), Ok(b"a".to_vec()));
}

fn rows_come_in_one_order_and_name_their_sockets() {
    let mut world = World::pair();
    let late = world.listener(BOB, 90);
    let early = world.listener(BOB, 80);
    let udp = world.datagram(BOB);
    world.bind(BOB, udp, "0.0.0.0:53").unwrap();
    let unbound = world.datagram(BOB);
    let (_, server) = world.connected(early, "10.0.0.2:80");
    let rows = world.hosts[BOB].stack.rows();
    let sockets: Vec<_> = rows.iter().map(|row| row.socket.unwrap()).collect();
    assert_eq!(sockets, [early, late, server, udp]);
    assert!(!sockets.contains(&unbound));
    assert_eq!(rows[0].remote, None);
    assert_eq!(rows[3].state, None);
}

fn a_reader_that_sleeps_stops_the_writer_and_wakes_it_again() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    let data = vec![42; 100_000];
    let mut sent = 0;
    // Nobody reads: both buffers fill.
    for _ in 0..200 {
        sent += world.send(ALICE, client, &data).unwrap_or(0);
        world.run_for(100 * MS);
    }
    assert_eq!(
        world.send(ALICE, client, &data),
        Err(SocketError::WouldBlock)
    );
    assert!(!world.ready(ALICE, client).contains(Ready::WRITABLE));
    world.run_for(300_000 * MS);
    let mut received = 0;
    world.run_until("all that was sent", |world| {
        received += world.recv(BOB, server).map_or(0, |bytes| bytes.len());
        received == sent
    });
    world.run_for(1_000 * MS);
    assert!(world.ready(ALICE, client).contains(Ready::WRITABLE));
}

fn reading_that_was_shut_down_still_gives_what_arrives_and_then_the_end() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.shutdown(BOB, server, Shutdown::Read).unwrap();
    world.send(ALICE, client, b"hi").unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(BOB, server), Ok(b"hi".to_vec()));
    assert_eq!(world.recv(BOB, server), Ok(vec![]));
    let read_shut = Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED;
    assert_eq!(world.ready(BOB, server), read_shut);
    world.only_drops(NOTHING);
}

fn a_socket_that_outlives_its_connection_is_not_connected() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.shutdown(BOB, server, Shutdown::Write).unwrap();
    world.run_for(100 * MS);
    world.close(ALICE, client);
    world.run_for(100 * MS);
    assert_eq!(world.states(BOB), [State::Listen, State::TimeWait]);
    let over = Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED | Ready::HANG_UP;
    assert_eq!(world.ready(BOB, server), over);
    let shutdown = world.shutdown(BOB, server, Shutdown::Both);
    assert_eq!(shutdown, Err(SocketError::NotConnected));
    let peer = world.hosts[BOB].stack.peer_addr(server);
    assert_eq!(peer, Err(SocketError::NotConnected));
    assert_eq!(world.recv(BOB, server), Ok(vec![]));
    assert_eq!(world.send(BOB, server, b"a"), Err(SocketError::BrokenPipe));
    world.only_drops(NOTHING);
}

fn nothing_is_sent_and_nothing_is_read_into_nothing() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    assert_eq!(world.send(ALICE, client, b""), Ok(0));
    let read = world.with(BOB, |stack, cx| stack.recv(server, &mut [], cx));
    assert_eq!(read, Ok(0));
    assert_eq!(world.recv(BOB, server), Err(SocketError::WouldBlock));
}

fn listeners_with_reuse_port_share_what_comes() {
    let mut world = World::pair();
    let listeners = [(); 2].map(|()| {
        let s = world.stream(BOB);
        world.set(BOB, s, SocketOption::ReusePort(true));
        world.bind(BOB, s, "0.0.0.0:80").unwrap();
        world.listen(BOB, s, 100).unwrap();
        s
    });
    for _ in 0..60 {
        let client = world.stream(ALICE);
        let _ = world.connect(ALICE, client, "10.0.0.2:80");
    }
    world.run_for(100 * MS);
    let counts = listeners.map(|s| std::iter::from_fn(|| world.accept(BOB, s).ok()).count());
    assert_eq!(counts[0] + counts[1], 60);
    assert!(counts.iter().all(|n| *n > 10), "{counts:?}");
    world.close(BOB, listeners[0]);
    let client = world.stream(ALICE);
    let _ = world.connect(ALICE, client, "10.0.0.2:80");
    world.run_for(100 * MS);
    assert!(world.accept(BOB, listeners[1]).is_ok());
}
