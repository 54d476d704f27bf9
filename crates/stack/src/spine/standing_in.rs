//! A gateway that stands in for everybody else, told as stories: alice speaks to strangers' addresses.
use core::net::SocketAddr;
use std::vec::Vec;

use super::hosts::*;
use crate::stack::{Refusal, SocketOption, Stranger, Wish};
use crate::{DropReason, Ready, SocketError, SocketId, SocketKind, StackConfig};

const FAR: &str = "203.0.113.7:80";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// alice, and the gateway behind which everybody is.
fn alice_and_gateway() -> (Host, Host) {
    let mut alice = Host::new(1, false)
        .with_port(1, "10.0.1.10", 24, 1500)
        .with_gateway("10.0.1.1");
    let config = StackConfig {
        transparent: true,
        ..StackConfig::default()
    };
    let mut gateway = Host::configured(2, config).with_port(2, "10.0.1.1", 24, 1500);
    for host in [&mut alice, &mut gateway] {
        let prefix = if host.stack.addresses().iter().any(|a| a.1 == ip("10.0.1.1")) {
            "fd00:1::1"
        } else {
            "fd00:1::10"
        };
        host.stack.add_address(ETH0, ip(prefix), 64).unwrap();
    }
    let default = crate::stack::Route {
        prefix: ip("::"),
        len: 0,
        via: Some(ip("fd00:1::1")),
        port: ETH0,
    };
    alice.stack.add_route(default).unwrap();
    (alice, gateway)
}

fn meet(alice: &mut Host, gateway: &mut Host) {
    settle((alice, ETH0), (gateway, ETH0));
}
fn the_stranger(gateway: &mut Host) -> Stranger {
    let stranger = gateway.stack.poll_stranger().expect("somebody knocks");
    assert!(!gateway.stack.has_strangers());
    stranger
}
fn connecting(alice: &mut Host, to: &str) -> SocketId {
    alice.cx(|stack, cx| {
        let socket = stack.socket(at(to).ip(), SocketKind::Stream).unwrap();
        let begun = stack.connect(socket, at(to), cx);
        assert_eq!(begun, Err(SocketError::InProgress));
        socket
    })
}
/// A datagram from alice's own socket.
fn saying(alice: &mut Host, to: &str, text: &[u8]) -> SocketId {
    alice.cx(|stack, cx| {
        let socket = stack.socket(at(to).ip(), SocketKind::Datagram).unwrap();
        stack.connect(socket, at(to), cx).unwrap();
        stack.send(socket, text, cx).unwrap();
        socket
    })
}

#[test]
fn a_connection_to_a_stranger_begins_once_it_is_admitted_and_carries_bytes() {
    for far in [FAR, "[2001:db8::7]:80"] {
        let (mut alice, mut gateway) = alice_and_gateway();
        let socket = connecting(&mut alice, far);
        meet(&mut alice, &mut gateway);
        let mut stranger = the_stranger(&mut gateway);
        assert_eq!((stranger.wish, stranger.to), (Wish::Connection, at(far)));
        assert_eq!(alice.stack.ready(socket), Ready::NONE);

        let accepted = gateway.cx(|stack, cx| {
            let listener = stack.socket(at(far).ip(), SocketKind::Stream).unwrap();
            stack.bind(listener, at(far), cx).unwrap();
            stack.listen(listener, 1, cx).unwrap();
            stack.admit(&mut stranger, cx);
            listener
        });
        meet(&mut alice, &mut gateway);
        let (inside, from) = gateway.cx(|stack, cx| stack.accept(accepted, cx)).unwrap();
        assert_eq!(from, stranger.from);
        alice
            .cx(|stack, cx| stack.send(socket, b"hello", cx))
            .unwrap();
        meet(&mut alice, &mut gateway);
        let mut block = [0; 16];
        let got = gateway.cx(|stack, cx| stack.recv(inside, &mut block, cx));
        assert_eq!((got, &block[..5]), (Ok(5), &b"hello"[..]));
        assert_eq!((alice.drops(), gateway.drops()), (Vec::new(), Vec::new()));

        // Whoever knocks at the same address later is a stranger again, listener or not.
        connecting(&mut alice, far);
        meet(&mut alice, &mut gateway);
        assert_eq!(the_stranger(&mut gateway).to, at(far));
    }
}

#[test]
fn a_refusal_is_what_the_program_hears() {
    let rows = [
        (FAR, Refusal::Port, SocketError::ConnectionRefused),
        (FAR, Refusal::Host, SocketError::HostUnreachable),
        (FAR, Refusal::Network, SocketError::NetworkUnreachable),
        (FAR, Refusal::Prohibited, SocketError::HostUnreachable),
        (
            "[2001:db8::7]:80",
            Refusal::Port,
            SocketError::ConnectionRefused,
        ),
        (
            "[2001:db8::7]:80",
            Refusal::Host,
            SocketError::HostUnreachable,
        ),
        (
            "[2001:db8::7]:80",
            Refusal::Network,
            SocketError::NetworkUnreachable,
        ),
        (
            "[2001:db8::7]:80",
            Refusal::Prohibited,
            SocketError::AccessDenied,
        ),
    ];
    for (far, refusal, error) in rows {
        for kind in [SocketKind::Stream, SocketKind::Datagram] {
            let (mut alice, mut gateway) = alice_and_gateway();
            let socket = match kind {
                SocketKind::Stream => connecting(&mut alice, far),
                _ => saying(&mut alice, far, b"?"),
            };
            meet(&mut alice, &mut gateway);
            let mut stranger = the_stranger(&mut gateway);
            gateway.cx(|stack, cx| stack.refuse(&mut stranger, refusal, cx));
            meet(&mut alice, &mut gateway);
            let heard = alice.cx(|stack, _| stack.take_error(socket));
            // As on Linux, a datagram socket hears of a port only.
            let hears = kind == SocketKind::Stream || refusal == Refusal::Port;
            let expected = (hears || heard.is_some()).then_some(error);
            assert_eq!(heard, expected, "{far} {refusal:?} {kind:?}");
            assert_eq!(gateway.drops(), [(DropReason::StrangerRefused, 1)]);
        }
    }
}

#[test]
fn datagrams_go_to_the_socket_that_has_both_ends_and_its_answers_come_back() {
    for far in ["203.0.113.7:53", "[2001:db8::7]:53"] {
        let (mut alice, mut gateway) = alice_and_gateway();
        let socket = saying(&mut alice, far, b"first");
        meet(&mut alice, &mut gateway);
        let mut stranger = the_stranger(&mut gateway);
        let wanted = (Wish::Datagrams, at(far));
        assert_eq!((stranger.wish, stranger.to), wanted);
        let inside = gateway.cx(|stack, cx| {
            let inside = stack.socket(at(far).ip(), SocketKind::Datagram).unwrap();
            stack
                .set(inside, SocketOption::ReuseAddress(true), cx)
                .unwrap();
            stack.bind(inside, stranger.to, cx).unwrap();
            stack.connect(inside, stranger.from, cx).unwrap();
            stack.admit(&mut stranger, cx);
            inside
        });
        alice
            .cx(|stack, cx| stack.send(socket, b"second", cx))
            .unwrap();
        meet(&mut alice, &mut gateway);
        assert!(!gateway.stack.has_strangers());
        let mut block = [0; 16];
        for expected in [&b"first"[..], b"second"] {
            let len = gateway.cx(|stack, cx| stack.recv(inside, &mut block, cx));
            assert_eq!(&block[..len.unwrap()], expected);
        }
        gateway
            .cx(|stack, cx| stack.send(inside, b"answer", cx))
            .unwrap();
        meet(&mut alice, &mut gateway);
        let len = alice.cx(|stack, cx| stack.recv(socket, &mut block, cx));
        assert_eq!(&block[..len.unwrap()], b"answer");
        // Whoever has the same destination from elsewhere is another flow.
        saying(&mut alice, far, b"other");
        meet(&mut alice, &mut gateway);
        assert_ne!(the_stranger(&mut gateway).from, stranger.from);
        // What comes too late for the outside is told with what was said first.
        gateway.cx(|stack, cx| stack.refuse(&mut stranger, Refusal::Port, cx));
        meet(&mut alice, &mut gateway);
        let heard = alice.cx(|stack, _| stack.take_error(socket));
        assert_eq!(heard, Some(SocketError::ConnectionRefused));
    }
}

#[test]
fn an_echo_request_is_answered_when_it_is_admitted() {
    let (mut alice, mut gateway) = alice_and_gateway();
    alice.ping("10.0.1.10", "203.0.113.7", 56, false);
    meet(&mut alice, &mut gateway);
    let mut stranger = the_stranger(&mut gateway);
    assert_eq!(stranger.wish, Wish::Echo { id: 7, seq: 1 });
    assert_eq!(stranger.echo_data(), pattern(56));
    assert_eq!(alice.get(crate::Counter::IcmpInEchoReps), 0);
    gateway.cx(|stack, cx| stack.admit(&mut stranger, cx));
    meet(&mut alice, &mut gateway);
    assert_eq!(alice.get(crate::Counter::IcmpInEchoReps), 1);
    // The gateway itself is asked without asking anybody else.
    alice.ping("10.0.1.10", "10.0.1.1", 56, false);
    meet(&mut alice, &mut gateway);
    assert!(!gateway.stack.has_strangers());
    assert_eq!(alice.get(crate::Counter::IcmpInEchoReps), 2);
}

#[test]
fn strangers_that_nobody_looks_at_are_bounded() {
    let (mut alice, mut gateway) = alice_and_gateway();
    for _ in 0..1100 {
        alice.ping("10.0.1.10", "203.0.113.7", 8, false);
        meet(&mut alice, &mut gateway);
    }
    assert_eq!(gateway.drops(), [(DropReason::StrangersFull, 76)]);
    let held = core::iter::from_fn(|| gateway.stack.poll_stranger()).count();
    assert_eq!(held, 1024);
}

#[test]
fn what_speaks_of_no_flow_here_is_answered_as_by_any_host() {
    let (mut alice, mut gateway) = alice_and_gateway();
    // A segment in the middle of a connection that the gateway has forgotten.
    let socket = connecting(&mut alice, FAR);
    meet(&mut alice, &mut gateway);
    let mut stranger = the_stranger(&mut gateway);
    let inside = gateway.cx(|stack, cx| {
        let listener = stack.socket(at(FAR).ip(), SocketKind::Stream).unwrap();
        stack.bind(listener, at(FAR), cx).unwrap();
        stack.listen(listener, 1, cx).unwrap();
        stack.admit(&mut stranger, cx);
        listener
    });
    meet(&mut alice, &mut gateway);
    gateway.cx(|stack, cx| {
        let (accepted, _) = stack.accept(inside, cx).unwrap();
        stack
            .set(
                accepted,
                SocketOption::Linger(Some(crate::time::Duration::ZERO)),
                cx,
            )
            .unwrap();
        stack.close(accepted, cx);
    });
    meet(&mut alice, &mut gateway);
    let heard = alice.cx(|stack, _| stack.take_error(socket));
    assert_eq!(heard, Some(SocketError::ConnectionReset));
    assert!(!gateway.stack.has_strangers());
}
