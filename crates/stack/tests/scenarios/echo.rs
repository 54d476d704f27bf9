//! ICMP echo sockets: whole ICMP messages out, replies and errors back to the one who asked.
use heptad_stack::l3_network::IcmpError;
use heptad_stack::l4_transport::echo::{Received, Reported};
use heptad_stack::stack::SocketOption;
use heptad_stack::wire::icmpv4::{self, HEADER_LEN, Icmpv4};
use heptad_stack::wire::icmpv6::{self, Icmpv6};
use heptad_stack::{Counter, DropReason, Ready, SocketError, SocketId, SocketKind};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    a_reply_comes_back_through_a_router_with_its_ttl_and_its_data,
    each_socket_gets_the_replies_to_its_own_requests,
    errors_reach_the_socket_with_who_says_so_and_about_which_request,
    a_pending_error_answers_one_verb_as_on_linux,
    only_echo_requests_may_be_sent,
    what_nobody_reads_or_asked_for_is_dropped_with_a_reason,
}

/// An echo request as a program writes it: identifier and checksum are not its business.
fn request(seq: u16, data: &[u8]) -> Vec<u8> {
    let mut message = vec![0; HEADER_LEN];
    match is_v6() {
        false => Icmpv4::EchoRequest { id: 0, seq }.emit(0, &mut message),
        true => Icmpv6::EchoRequest { id: 0, seq }.emit(0, &mut message),
    }
    message.extend_from_slice(data);
    message
}

/// What came, its identifier and sequence number, and its data.
type Heard = (Received, (u16, u16), Vec<u8>);

impl World {
    fn echo(&mut self, host: usize) -> SocketId {
        let socket = self.with(host, |stack, _| {
            stack.socket(ip("0.0.0.0"), SocketKind::Echo)
        });
        let socket = socket.unwrap();
        self.set(host, socket, SocketOption::RecvErr(true));
        socket
    }
    fn ping(&mut self, s: SocketId, seq: u16, to: &str) -> Result<usize, SocketError> {
        self.send_to(ALICE, s, &request(seq, b"ping"), &format!("{to}:0"))
    }
    fn reply(&mut self, s: SocketId) -> Result<Heard, SocketError> {
        let mut out = vec![0; 2_000];
        let received = self.with(ALICE, |stack, cx| stack.recv_echo(s, &mut out, cx))?;
        let header = match is_v6() {
            false => match Icmpv4::parse(&out) {
                Ok(Icmpv4::EchoReply { id, seq }) => (id, seq),
                other => panic!("{other:?}"),
            },
            true => match Icmpv6::parse(&out) {
                Ok(Icmpv6::EchoReply { id, seq }) => (id, seq),
                other => panic!("{other:?}"),
            },
        };
        Ok((received, header, out[HEADER_LEN..received.copied].to_vec()))
    }
    fn error(&mut self, s: SocketId) -> Option<Reported> {
        self.with(ALICE, |stack, cx| stack.recv_echo_error(s, cx))
    }
}

fn a_reply_comes_back_through_a_router_with_its_ttl_and_its_data() {
    let mut world = World::routed();
    let s = world.echo(ALICE);
    assert_eq!(world.ping(s, 7, "10.0.2.20"), Ok(12));
    assert_eq!(world.reply(s), Err(SocketError::WouldBlock));
    world.run_for(100 * MS);
    assert!(world.ready(ALICE, s).intersects(Ready::READABLE));
    let (received, header, data) = world.reply(s).unwrap();
    assert_eq!(received.from.unwrap().ip(), ip("10.0.2.20"));
    assert_eq!(received.ttl, 63, "one router");
    assert!(received.at < world.now);
    let id = world
        .with(ALICE, |stack, _| stack.local_addr(s))
        .unwrap()
        .port();
    assert_eq!(header, (id, 7));
    assert_eq!(data, b"ping");
    let counted = world.count(ALICE, Counter::IcmpInEchoReps);
    assert_eq!(counted + world.count(ALICE, Counter::Icmp6InEchoReplies), 1);
    world.only_drops(NOTHING);
}

fn each_socket_gets_the_replies_to_its_own_requests() {
    let mut world = World::pair();
    let [first, second] = [world.echo(ALICE), world.echo(ALICE)];
    world.bind(ALICE, first, "0.0.0.0:1000").unwrap();
    let taken = world.bind(ALICE, second, "0.0.0.0:1000");
    assert_eq!(taken, Err(SocketError::AddressInUse));
    world.bind(ALICE, second, "10.0.0.1:1001").unwrap();
    world.ping(second, 2, "10.0.0.2").unwrap();
    world.ping(first, 1, "10.0.0.2").unwrap();
    world.run_for(100 * MS);
    for (s, id, seq) in [(first, 1000, 1), (second, 1001, 2)] {
        assert_eq!(world.reply(s).unwrap().1, (id, seq));
        assert_eq!(world.reply(s), Err(SocketError::WouldBlock));
    }
    world.close(ALICE, first);
    world.ping(second, 3, "10.0.0.1").unwrap();
    world.run_for(MS);
    assert_eq!(
        world.reply(second).unwrap().0.from,
        Some(addr("10.0.0.1:1001")),
        "itself"
    );
    world.only_drops(NOTHING);
}

fn errors_reach_the_socket_with_who_says_so_and_about_which_request() {
    let mut world = World::routed();
    let s = world.echo(ALICE);
    let hops = |n| match is_v6() {
        false => SocketOption::Ttl(n),
        true => SocketOption::Hops(n),
    };
    world.set(ALICE, s, hops(1));
    world.ping(s, 1, "10.0.2.20").unwrap();
    world.set(ALICE, s, hops(64));
    world.run_for(100 * MS);
    assert!(world.ready(ALICE, s).intersects(Ready::ERROR));
    let error = world.error(s).unwrap().error;
    let expired = match is_v6() {
        false => IcmpError::V4(Icmpv4::TimeExceeded { code: 0 }),
        true => IcmpError::V6(Icmpv6::TimeExceeded { code: 0 }),
    };
    assert_eq!(error.told.message, expired);
    assert_eq!((error.told.from, error.seq), (ip("10.0.1.1"), 1));
    assert_eq!(error.remote, ip("10.0.2.20"));
    assert_eq!(world.error(s), None);
    assert!(!world.ready(ALICE, s).intersects(Ready::ERROR));

    // Nobody has that address: the router asks for a while, then says so.
    world.ping(s, 2, "10.0.2.99").unwrap();
    world.run_for(5_000 * MS);
    let error = world.error(s).unwrap().error;
    let nobody = match is_v6() {
        false => IcmpError::V4(Icmpv4::Unreachable(icmpv4::Unreachable::Host)),
        true => IcmpError::V6(Icmpv6::Unreachable(icmpv6::Unreachable::Address)),
    };
    assert_eq!(error.told.message, nobody);
    assert_eq!(
        (error.told.from, error.seq),
        (ip("10.0.1.1"), 2),
        "from its port towards us"
    );
    // Nobody has this one on our own cable: we say so ourselves.
    world.ping(s, 3, "10.0.1.99").unwrap();
    world.run_for(5_000 * MS);
    let error = world.error(s).unwrap().error;
    assert_eq!((error.told.from, error.seq), (ip("10.0.1.10"), 3));
    world.only_drops(&[DropReason::TtlExceeded, DropReason::NeighbourUnreachable]);
}

fn a_pending_error_answers_one_verb_as_on_linux() {
    let mut world = World::routed();
    let s = world.echo(ALICE);
    world.ping(s, 1, "10.0.1.99").unwrap();
    world.run_for(5_000 * MS);
    assert_eq!(world.reply(s), Err(SocketError::HostUnreachable));
    assert_eq!(world.reply(s), Err(SocketError::WouldBlock));
}

fn only_echo_requests_may_be_sent() {
    let mut world = World::pair();
    let s = world.echo(ALICE);
    let mut reply = request(1, b"");
    reply[0] = 0;
    let mut code = request(1, b"");
    code[1] = 1;
    for message in [&reply[..], &code, &request(1, b"")[..7], b""] {
        let sent = world.send_to(ALICE, s, message, "10.0.0.2:0");
        assert_eq!(sent, Err(SocketError::Invalid), "{message:?}");
    }
    let long = request(1, &[0; 65_508]);
    let sent = world.send_to(ALICE, s, &long, "10.0.0.2:0");
    assert_eq!(sent, Err(SocketError::MessageTooLong));
    let sent = world.send(ALICE, s, &request(1, b""));
    assert_eq!(sent, Err(SocketError::DestinationRequired));
    world.connect(ALICE, s, "10.0.0.2:0").unwrap();
    assert_eq!(world.send(ALICE, s, &request(1, &[7; 60_000])), Ok(60_008));
    world.run_for(100 * MS);
    let (received, ..) = world.reply(s).unwrap();
    assert_eq!(received.len, 60_008, "in fragments there and back");
}

fn what_nobody_reads_or_asked_for_is_dropped_with_a_reason() {
    let mut world = World::pair();
    let s = world.echo(ALICE);
    let big = request(1, &[0; 1_400]);
    for _ in 0..400 {
        world.send_to(ALICE, s, &big, "10.0.0.2:0").unwrap();
        world.run_for(MS);
    }
    world.run_for(100 * MS);
    assert!(
        world.hosts[ALICE]
            .counters
            .drops(DropReason::EchoBufferFull)
            > 0
    );
    world.ping(s, 2, "10.0.0.2").unwrap();
    world.close(ALICE, s);
    world.run_for(100 * MS);
    assert_eq!(
        world.hosts[ALICE].counters.drops(DropReason::EchoNoSocket),
        1
    );
}
