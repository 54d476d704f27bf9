//! Datagrams with what goes beside them: how they came, and what is chosen for one alone.
use std::net::IpAddr;

use heptad_stack::l4_transport::udp::{Choices, Received};
use heptad_stack::stack::SocketOption;
use heptad_stack::{Family, PortId, SocketError, SocketId, SocketKind};

use crate::rig::*;

over_both_families! {
    a_datagram_tells_how_it_came,
    a_datagram_goes_as_was_chosen_for_it_alone,
    what_cannot_be_chosen_is_refused,
    a_port_is_chosen_where_it_leads,
}

const ETH0: PortId = PortId(1);

impl World {
    fn receive_message(&mut self, host: usize, s: SocketId) -> Result<Received, SocketError> {
        let mut out = [0; 100];
        self.with(host, |stack, cx| stack.recv_message(s, &mut out, cx))
    }
    fn send_as(&mut self, s: SocketId, to: &str, choices: Choices) -> Result<usize, SocketError> {
        let to = addr(to);
        self.with(ALICE, |stack, cx| {
            stack.send_message(s, b"hello", (Some(to), &choices), cx)
        })
    }
    /// A server of bob's at port 7, at any address.
    fn server(&mut self) -> SocketId {
        let server = self.datagram(BOB);
        let any = if is_v6() { "[::]:7" } else { "0.0.0.0:7" };
        let bound = self.with(BOB, |stack, cx| {
            stack.bind(server, any.parse().unwrap(), cx)
        });
        bound.unwrap();
        server
    }
}
fn hops(hops: u8) -> SocketOption {
    match is_v6() {
        true => SocketOption::Hops(hops),
        false => SocketOption::Ttl(hops),
    }
}

fn a_datagram_tells_how_it_came() {
    let mut world = World::pair();
    let server = world.server();
    let client = world.datagram(ALICE);
    world.set(ALICE, client, hops(33));
    world
        .send_to(ALICE, client, b"hello", "10.0.0.2:7")
        .unwrap();
    world.run_for(50 * MS);
    let received = world.receive_message(BOB, server).unwrap();
    assert_eq!((received.copied, received.len), (5, 5));
    assert_eq!(received.from.map(|from| from.ip()), Some(ip("10.0.0.1")));
    assert_eq!((received.way.to, received.way.port), (ip("10.0.0.2"), ETH0));
    assert_eq!((received.way.hops, received.way.class), (33, 0));
    let nothing = world.receive_message(BOB, server);
    assert_eq!(nothing, Err(SocketError::WouldBlock));
}

fn a_datagram_goes_as_was_chosen_for_it_alone() {
    let mut world = World::pair();
    let other = ip("10.0.0.3");
    let stack = &mut world.hosts[ALICE].stack;
    let len = if is_v6() { 64 } else { 24 };
    stack.add_address(ETH0, other, len).unwrap();
    let server = world.server();
    let client = world.datagram(ALICE);
    let chosen = Choices {
        src: Some(other),
        port: Some(ETH0),
        hops: Some(3),
        class: Some(0x10),
    };
    assert_eq!(world.send_as(client, "10.0.0.2:7", chosen), Ok(5));
    assert_eq!(
        world.send_as(client, "10.0.0.2:7", Choices::default()),
        Ok(5)
    );
    world.run_for(50 * MS);
    let first = world.receive_message(BOB, server).unwrap();
    assert_eq!(first.from.map(|from| from.ip()), Some(other));
    assert_eq!((first.way.hops, first.way.class), (3, 0x10));
    // The socket is as it was.
    let second = world.receive_message(BOB, server).unwrap();
    assert_ne!(second.from.map(|from| from.ip()), None);
    assert_eq!((second.way.hops, second.way.class), (64, 0));
    assert_eq!(
        first.from.map(|from| from.port()),
        second.from.map(|from| from.port())
    );
}

fn what_cannot_be_chosen_is_refused() {
    let mut world = World::pair();
    let client = world.datagram(ALICE);
    let src = |src: IpAddr| Choices {
        src: Some(src),
        ..Choices::default()
    };
    let stranger = world.send_as(client, "10.0.0.2:7", src(ip("10.0.0.2")));
    assert_eq!(stranger, Err(SocketError::Invalid));
    // Nothing chosen is nothing chosen.
    let any = Family::from(ip("10.0.0.2")).any();
    assert_eq!(world.send_as(client, "10.0.0.2:7", src(any)), Ok(5));
    let stream = world.stream(ALICE);
    let on_a_stream = world.send_as(stream, "10.0.0.2:7", Choices::default());
    assert_eq!(on_a_stream, Err(SocketError::NotSupported));
    let received = world.receive_message(ALICE, stream);
    assert_eq!(received, Err(SocketError::NotSupported));
}

fn a_port_is_chosen_where_it_leads() {
    let mut world = World::pair();
    let client = world.datagram(ALICE);
    let by = |port| Choices {
        port: Some(port),
        ..Choices::default()
    };
    assert_eq!(world.send_as(client, "10.0.0.2:7", by(ETH0)), Ok(5));
    let elsewhere = world.send_as(client, "10.0.0.2:7", by(PortId::LOOPBACK));
    assert_eq!(elsewhere, Err(SocketError::NetworkUnreachable));
}

#[test]
fn a_socket_of_both_families_hears_where_a_datagram_of_ipv4_went() {
    let mut world = World::pair();
    let server = world.socket(BOB, Family::V6, SocketKind::Datagram);
    world.bind(BOB, server, "[::]:7").unwrap();
    let client = world.datagram(ALICE);
    world
        .send_to(ALICE, client, b"hello", "10.0.0.2:7")
        .unwrap();
    world.run_for(50 * MS);
    let received = world.receive_message(BOB, server).unwrap();
    let from = received.from.map(|from| from.ip().to_string());
    assert_eq!(from.as_deref(), Some("::ffff:10.0.0.1"));
    assert_eq!(received.way.to, ip("10.0.0.2"));
}
