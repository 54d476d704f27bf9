//! What hosts send each other below layer 4, told as stories.
use core::net::SocketAddr;
use std::vec::Vec;

use bytes::Bytes;
use heptad_wire::icmpv4::{Icmpv4, Unreachable};
use heptad_wire::ipv4::protocol;

use super::hosts::*;
use crate::l3_network::network::Undeliverable;
use crate::l3_network::{Flow, Heading, IcmpError, NetError, News, Told, Up};
use crate::{Caps, Counter, DropReason, Event, Medium, PortConfig, SocketError, SocketKind};

#[test]
fn a_ping_asks_for_the_address_first_and_is_answered() {
    let (mut alice, mut bob) = alice_and_bob();
    alice.ping("10.0.1.10", "10.0.1.20", 56, false);
    let states =
        |host: &Host| -> Vec<_> { host.stack.neighbours().iter().map(|n| n.state).collect() };
    assert_eq!(states(&alice), ["INCOMPLETE"]);
    // ARP request, ARP reply, echo request, echo reply.
    assert_eq!(settle((&mut alice, ETH0), (&mut bob, ETH0)), 4);
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
    assert_eq!(bob.get(Counter::IcmpInEchos), 1);
    assert_eq!(bob.get(Counter::IcmpOutEchoReps), 1);
    assert_eq!(states(&alice), ["REACHABLE"]);
    // Bob learnt from the question, and has just used what he learnt.
    assert_eq!(states(&bob), ["DELAY"]);
    assert_eq!(bob.drops(), []);
    let resolved = Event::Resolved {
        ip: ip("10.0.1.20"),
        mac: mac_of(2),
    };
    assert_eq!(alice.events.take().map(|(_, event)| event), Some(resolved));
}

#[test]
fn an_echo_of_64_kilobytes_goes_and_comes_in_fragments() {
    let (mut alice, mut bob) = alice_and_bob();
    alice.ping("10.0.1.10", "10.0.1.20", 65_507, false);
    settle((&mut alice, ETH0), (&mut bob, ETH0));
    assert_eq!(bob.get(Counter::IpReasmOks), 1);
    assert_eq!(bob.get(Counter::IpReasmReqds), 45);
    assert_eq!(bob.get(Counter::IpFragCreates), 45);
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
    assert_eq!(alice.get(Counter::IcmpInErrors), 0);
}

#[test]
fn nobody_answers_and_those_who_wait_are_told() {
    let (mut alice, _) = alice_and_bob();
    for _ in 0..3 {
        alice.ping("10.0.1.10", "10.0.1.99", 8, false);
    }
    let mut asked = alice.drain(ETH0).len();
    let mut at = Vec::new();
    while let Some(next) = alice.stack.poll_at() {
        alice.advance(next);
        asked += alice.drain(ETH0).len();
        at.push(next.as_millis());
    }
    assert_eq!((asked, at), (3, std::vec![1000, 2000, 3000]));
    assert_eq!(alice.drops(), [(DropReason::NeighbourUnreachable, 3)]);
    assert!(alice.stack.neighbours().is_empty());
}

#[test]
fn a_router_carries_packets_between_its_cables() {
    let mut alice = Host::new(1, false)
        .with_port(1, "10.0.1.10", 24, 1500)
        .with_gateway("10.0.1.1");
    let mut bob = Host::new(2, false)
        .with_port(2, "10.0.2.20", 24, 1500)
        .with_gateway("10.0.2.1");
    let mut r1 = Host::new(3, true)
        .with_port(3, "10.0.1.1", 24, 1500)
        .with_port(4, "10.0.2.1", 24, 1500);
    alice.ping("10.0.1.10", "10.0.2.20", 4000, false);
    for _ in 0..4 {
        settle((&mut alice, ETH0), (&mut r1, ETH0));
        settle((&mut r1, ETH1), (&mut bob, ETH0));
    }
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
    assert_eq!(r1.get(Counter::IpForwDatagrams), 6);
    assert_eq!(r1.get(Counter::IpReasmReqds), 0);
    assert_eq!(r1.drops(), []);
    let macs: Vec<_> = r1
        .stack
        .neighbours()
        .iter()
        .map(|n| (n.port, n.mac))
        .collect();
    assert_eq!(macs, [(ETH0, Some(mac_of(1))), (ETH1, Some(mac_of(2)))]);
}

/// alice — r1 — bob, with this MTU between r1 and bob.
fn with_router(far_mtu: u32) -> (Host, Host, Host) {
    (
        Host::new(1, false)
            .with_port(1, "10.0.1.10", 24, 1500)
            .with_gateway("10.0.1.1"),
        Host::new(3, true)
            .with_port(3, "10.0.1.1", 24, 1500)
            .with_port(4, "10.0.2.1", 24, far_mtu),
        Host::new(2, false)
            .with_port(2, "10.0.2.20", 24, far_mtu)
            .with_gateway("10.0.2.1"),
    )
}
fn settle_all(alice: &mut Host, r1: &mut Host, bob: &mut Host) {
    while settle((alice, ETH0), (r1, ETH0)) + settle((r1, ETH1), (bob, ETH0)) > 0 {}
}

#[test]
fn a_router_fragments_where_the_next_cable_is_narrower() {
    let (mut alice, mut r1, mut bob) = with_router(576);
    alice.ping("10.0.1.10", "10.0.2.20", 1400, false);
    settle_all(&mut alice, &mut r1, &mut bob);
    assert_eq!(r1.get(Counter::IpFragOks), 1);
    assert_eq!(r1.get(Counter::IpFragCreates), 3);
    assert_eq!(bob.get(Counter::IpReasmOks), 1);
    // Bob knows his cable: his answer comes in fragments from the start.
    assert_eq!(bob.get(Counter::IpFragCreates), 3);
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
}

#[test]
fn a_router_says_which_mtu_when_it_must_not_fragment() {
    let (mut alice, mut r1, mut bob) = with_router(576);
    alice.ping("10.0.1.10", "10.0.2.20", 1400, true);
    // Alice's question and r1's answer, then the echo request goes up.
    for frame in alice.drain(ETH0) {
        let _ = r1.receive(ETH0, frame);
    }
    for frame in r1.drain(ETH0) {
        let _ = alice.receive(ETH0, frame);
    }
    for frame in alice.drain(ETH0) {
        let verdict = r1.receive(ETH0, frame);
        assert_eq!(verdict, Err(DropReason::FragmentationNeeded));
    }
    let frames = r1.drain(ETH0);
    let (header, message, quoted) = icmp_in(&frames[0]);
    let too_long = Unreachable::FragmentationNeeded { mtu: 576 };
    assert_eq!(message, Icmpv4::Unreachable(too_long));
    assert_eq!((header.src, header.dst), (v4("10.0.1.1"), v4("10.0.1.10")));
    // RFC 1812 4.3.2.3: as much as fits 576 bytes.
    assert_eq!((header.total_len, quoted.len()), (576, 548));
    settle_all(&mut alice, &mut r1, &mut bob);
    assert_eq!(bob.get(Counter::IpInReceives), 0);
}

#[test]
fn a_packet_whose_ttl_runs_out_is_reported_by_the_router_where_it_did() {
    let (mut alice, mut r1, _) = with_router(1500);
    let mut packet = header("10.0.1.10", "10.0.2.20", protocol::UDP, 40);
    packet.ttl = 1;
    let frame = frame_to(mac_of(3), &packet, &[5; 40]);
    let sent = frame[14..].to_vec();
    assert_eq!(r1.receive_bytes(ETH0, frame), Err(DropReason::TtlExceeded));
    for question in r1.drain(ETH0) {
        let _ = alice.receive(ETH0, question);
    }
    for answer in alice.drain(ETH0) {
        let _ = r1.receive(ETH0, answer);
    }
    let told = r1.drain(ETH0);
    let (header, message, quoted) = icmp_in(&told[0]);
    assert_eq!(message, Icmpv4::TimeExceeded { code: 0 });
    assert_eq!((header.src, header.dst), (v4("10.0.1.1"), v4("10.0.1.10")));
    assert_eq!(quoted, sent, "the packet as it came, TTL and all");
    for frame in told {
        let _ = alice.receive(ETH0, frame);
    }
    assert_eq!(alice.get(Counter::IcmpInTimeExcds), 1);
    assert_eq!(r1.get(Counter::IcmpOutTimeExcds), 1);
    assert_eq!(r1.get(Counter::IpInHdrErrors), 1);
}

#[test]
fn fragmentation_needed_is_never_held_back() {
    let (_, mut r1, _) = with_router(576);
    for _ in 0..100 {
        let mut packet = header("10.0.1.10", "10.0.2.20", protocol::UDP, 1000);
        packet.dont_fragment = true;
        let frame = frame_to(mac_of(3), &packet, &[0; 1000]);
        let verdict = r1.receive_bytes(ETH0, frame);
        assert_eq!(verdict, Err(DropReason::FragmentationNeeded));
    }
    assert_eq!(r1.get(Counter::IcmpOutDestUnreachs), 100);
}

#[test]
fn a_router_does_not_hand_on_what_belongs_to_one_cable() {
    for (src, dst) in [
        ("10.0.1.10", "10.0.2.255"),
        ("169.254.7.7", "10.0.2.20"),
        ("10.0.1.10", "169.254.7.7"),
    ] {
        let (_, mut r1, _) = with_router(1500);
        let route = crate::stack::Route {
            prefix: ip("0.0.0.0"),
            len: 0,
            via: Some(ip("10.0.2.20")),
            port: ETH1,
        };
        r1.stack.add_route(route).unwrap();
        let packet = header(src, dst, protocol::UDP, 8);
        let frame = frame_to(mac_of(3), &packet, &[0; 8]);
        let verdict = r1.receive_bytes(ETH0, frame);
        assert_eq!(verdict, Err(DropReason::NotForUs), "{src} to {dst}");
        assert_eq!(r1.drain(ETH1).len(), 0, "{src} to {dst}");
    }
}

#[test]
fn what_is_on_its_way_to_ourselves_is_bounded() {
    let mut alice = Host::new(1, false);
    let to = "127.0.0.1:9".parse().unwrap();
    for _ in 0..10 {
        alice.cx(|stack, cx| {
            let socket = stack.socket(ip("0.0.0.0"), SocketKind::Datagram).unwrap();
            for _ in 0..200 {
                stack.send_to(socket, b"x", to, cx).unwrap();
            }
        });
    }
    alice.advance(crate::Instant::ZERO);
    alice.advance(crate::Instant::from_nanos(1000));
    assert_eq!(alice.get(Counter::IpInReceives), 1000);
    while let Some(at) = alice.stack.poll_at() {
        alice.advance(at.max(alice.now));
    }
    let lost = alice.counters.drops(DropReason::LoopbackFull);
    let arrived = alice.get(Counter::UdpNoPorts);
    assert_eq!(arrived, 2000, "{lost} answers were lost, no question was");
}

#[test]
fn a_router_without_a_route_says_net_unreachable() {
    let (mut alice, mut r1, mut bob) = with_router(1500);
    alice.ping("10.0.1.10", "192.0.2.1", 8, false);
    settle_all(&mut alice, &mut r1, &mut bob);
    assert_eq!(r1.drops(), [(DropReason::NoRoute, 1)]);
    assert_eq!(alice.get(Counter::IcmpInDestUnreachs), 1);
}

#[test]
fn a_router_whose_neighbour_is_silent_says_host_unreachable() {
    let (mut alice, mut r1, mut bob) = with_router(1500);
    alice.ping("10.0.1.10", "10.0.2.99", 8, false);
    settle_all(&mut alice, &mut r1, &mut bob);
    while let Some(at) = r1.stack.poll_at() {
        r1.advance(at);
        r1.drain(ETH1);
        let said = r1.drain(ETH0);
        if let Some(frame) = said.first() {
            let (_, message, _) = icmp_in(frame);
            assert_eq!(message, Icmpv4::Unreachable(Unreachable::Host));
        }
        if !said.is_empty() {
            break;
        }
    }
    assert_eq!(r1.drops(), [(DropReason::NeighbourUnreachable, 1)]);
    assert_eq!(r1.get(Counter::IcmpOutDestUnreachs), 1);
}

#[test]
fn errors_to_one_destination_are_limited_and_refill_with_time() {
    let (mut alice, _) = alice_and_bob();
    // Alice knows who asks, so that her answers leave at once.
    let knock = |alice: &mut Host| {
        let packet = header("10.0.1.20", "10.0.1.10", 200, 8);
        let verdict = alice.receive_bytes(ETH0, frame_to(mac_of(1), &packet, &[0; 8]));
        assert_eq!(verdict, Err(DropReason::UnknownProtocol));
    };
    (0..10).for_each(|_| knock(&mut alice));
    assert_eq!(alice.get(Counter::IcmpOutDestUnreachs), 6);
    assert_eq!(alice.get(Counter::IcmpOutRateLimitHost), 4);
    alice.now = crate::Instant::from_nanos(2_500_000_000);
    (0..10).for_each(|_| knock(&mut alice));
    assert_eq!(alice.get(Counter::IcmpOutDestUnreachs), 8);
}

#[test]
fn no_error_is_about_an_error_a_broadcast_a_later_fragment_or_nobody() {
    let mut error = std::vec![3, 3, 0, 0, 0, 0, 0, 0];
    heptad_wire::checksum::fill(&mut error, 2, 0);
    let mut icmp_error = header("10.0.1.10", "10.0.2.77", protocol::ICMP, 8);
    let mut fragment = header("10.0.1.10", "10.0.2.77", protocol::UDP, 8);
    let mut plain = fragment;
    let mut nobody = header("0.0.0.0", "255.255.255.255", 200, 8);
    for packet in [&mut icmp_error, &mut fragment, &mut plain, &mut nobody] {
        packet.ttl = 1;
    }
    fragment.fragment_offset = 8;
    // But for what it is, each of them would be answered.
    let (_, mut r1, _) = with_router(1500);
    let _ = r1.receive_bytes(ETH0, frame_to(mac_of(3), &plain, &error));
    assert_eq!(r1.get(Counter::IcmpOutMsgs), 1);
    let broadcast = header("10.0.1.10", "10.0.1.255", 200, 8);
    for packet in [icmp_error, fragment, nobody, broadcast] {
        let (_, mut r1, _) = with_router(1500);
        let verdict = r1.receive_bytes(ETH0, frame_to(mac_of(3), &packet, &error));
        assert!(verdict.is_err(), "{packet:?}");
        assert_eq!(r1.get(Counter::IcmpOutMsgs), 0, "{packet:?}");
    }
}

#[test]
fn a_datagram_to_a_closed_port_comes_back_as_connection_refused() {
    let (mut alice, mut bob) = alice_and_bob();
    let to: SocketAddr = "10.0.1.20:9".parse().unwrap();
    let socket = alice.cx(|stack, cx| {
        let socket = stack.socket(ip("0.0.0.0"), SocketKind::Datagram).unwrap();
        stack.connect(socket, to, cx).unwrap();
        stack.send(socket, "안녕".as_bytes(), cx).unwrap();
        socket
    });
    settle((&mut alice, ETH0), (&mut bob, ETH0));
    assert_eq!(bob.drops(), [(DropReason::UdpNoSocket, 1)]);
    let error = alice.cx(|stack, _| stack.take_error(socket));
    assert_eq!(error, Some(SocketError::ConnectionRefused));
}

#[test]
fn the_sender_of_a_packet_that_waited_in_vain_is_known_by_its_flow() {
    let (mut alice, _) = alice_and_bob();
    let mut packet = alice.pool.packet();
    packet.append(heptad_wire::Chunk::copy_from(&[
        0, 5, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4,
    ]));
    header("10.0.1.10", "10.0.1.99", protocol::UDP, 12).emit(packet.push(20));
    let whose = alice.cx(|stack, cx| stack.network.undeliverable(ETH0, &mut packet, cx));
    let Undeliverable::Ours(News::Unreachable(flow, error, told)) = whose else {
        panic!("it was ours");
    };
    let expected = Flow {
        protocol: protocol::UDP,
        local: "10.0.1.10:5".parse().unwrap(),
        remote: "10.0.1.99:9".parse().unwrap(),
        word: 0x000c_0000,
    };
    assert_eq!((flow, error), (expected, NetError::HostUnreachable));
    assert_eq!((told.from, told.message.kind()), (flow.local.ip(), (3, 1)));
    assert_eq!(told.quoted_behind(8), [1, 2, 3, 4]);
}

/// A bound datagram socket, and what it has received.
fn listen_at(host: &mut Host, at: &str) -> crate::SocketId {
    host.cx(|stack, cx| {
        let socket = stack.socket(ip("0.0.0.0"), SocketKind::Datagram).unwrap();
        stack.bind(socket, at.parse().unwrap(), cx).unwrap();
        socket
    })
}
fn heard(host: &mut Host, socket: crate::SocketId) -> Option<Vec<u8>> {
    let mut out = [0; 65_535];
    let got = host.cx(|stack, cx| stack.recv(socket, &mut out, cx));
    got.ok().map(|n| out[..n].to_vec())
}

#[test]
fn loopback_takes_a_microsecond_and_needs_no_cable() {
    let mut alice = Host::new(1, false);
    let server = listen_at(&mut alice, "127.0.0.1:53");
    alice.cx(|stack, cx| {
        let client = stack.socket(ip("0.0.0.0"), SocketKind::Datagram).unwrap();
        let to = "127.0.0.1:53".parse().unwrap();
        stack.send_to(client, &pattern(60_000), to, cx).unwrap();
    });
    assert_eq!(alice.stack.poll_at(), Some(crate::Instant::ZERO));
    alice.advance(crate::Instant::ZERO);
    assert_eq!(heard(&mut alice, server), None);
    let at = alice.stack.poll_at().unwrap();
    assert_eq!(at.as_nanos(), 1000);
    alice.advance(at);
    assert_eq!(heard(&mut alice, server), Some(pattern(60_000)));
    assert_eq!(alice.stack.poll_at(), None);
    let (_, lo) = alice.stack.ports().swap_remove(0);
    assert_eq!((lo.tx_ok, lo.rx_ok, lo.tx_bytes), (1, 1, 60_028));
}

#[test]
fn a_broadcast_reaches_the_cable_and_the_sender_itself() {
    let (mut alice, mut bob) = alice_and_bob();
    let (here, there) = (
        listen_at(&mut alice, "0.0.0.0:67"),
        listen_at(&mut bob, "0.0.0.0:67"),
    );
    alice.cx(|stack, cx| {
        let socket = stack.socket(ip("0.0.0.0"), SocketKind::Datagram).unwrap();
        let option = crate::stack::SocketOption::Broadcast(true);
        stack.set(socket, option, cx).unwrap();
        let to = "10.0.1.255:67".parse().unwrap();
        stack.send_to(socket, b"hello, all", to, cx).unwrap();
    });
    assert_eq!(settle((&mut alice, ETH0), (&mut bob, ETH0)), 1);
    let at = alice.stack.poll_at().unwrap();
    alice.advance(at);
    for (host, socket) in [(&mut alice, here), (&mut bob, there)] {
        assert_eq!(heard(host, socket).as_deref(), Some(&b"hello, all"[..]));
        assert_eq!(host.get(Counter::IpExtInBcastPkts), 1);
        assert_eq!(host.drops(), []);
    }
}

#[test]
fn a_port_without_ethernet_carries_bare_packets() {
    let tun = |mut host: Host, address: &str| {
        let port = host.stack.add_port(PortConfig {
            name: "tun0".into(),
            medium: Medium::Ip,
            mtu: 1400,
            caps: Caps {
                super_segments: false,
                unfilled_sums: false,
            },
            queue_limit: 10,
        });
        host.stack.add_address(port, ip(address), 31).unwrap();
        host
    };
    let mut alice = tun(Host::new(1, false), "10.9.0.0");
    let mut bob = tun(Host::new(2, false), "10.9.0.1");
    alice.ping("10.9.0.0", "10.9.0.1", 56, false);
    assert_eq!(settle((&mut alice, ETH0), (&mut bob, ETH0)), 2);
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
}

#[test]
fn the_transmit_queue_is_bounded_in_frames() {
    let mut alice = Host::new(1, false);
    alice.stack.add_port(PortConfig {
        name: "tun0".into(),
        medium: Medium::Ip,
        mtu: 1500,
        caps: Caps::FRAMES,
        queue_limit: 3,
    });
    alice.stack.add_address(ETH0, ip("10.9.0.1"), 24).unwrap();
    for _ in 0..5 {
        alice.ping("10.9.0.1", "10.9.0.2", 8, false);
    }
    assert_eq!(alice.drops(), [(DropReason::TxQueueFull, 2)]);
    assert_eq!(alice.stack.poll_at(), Some(crate::Instant::ZERO));
    assert_eq!(alice.drain(ETH0).len(), 3);
    assert_eq!(alice.stack.poll_at(), None);
    let (_, port) = alice.stack.ports().swap_remove(1);
    assert_eq!((port.tx_ok, port.tx_drop, port.tx_bytes), (3, 2, 108));
}

#[test]
fn watching_changes_nothing_and_the_same_seed_gives_the_same_bytes() {
    let run = |mask| {
        let (mut alice, mut bob) = alice_and_bob();
        alice.events.set_mask(mask);
        let mut bytes = Vec::new();
        for _ in 0..3 {
            alice.ping("10.0.1.10", "10.0.1.20", 3000, false);
            for frame in alice.drain(ETH0) {
                frame.write_to(&mut bytes);
                let _ = bob.receive(ETH0, frame);
            }
            for frame in bob.drain(ETH0) {
                frame.write_to(&mut bytes);
                let _ = alice.receive(ETH0, frame);
            }
        }
        bytes
    };
    let all = run(crate::EventMask::ALL);
    assert!(all.len() > 10_000);
    assert_eq!(all, run(crate::EventMask::NONE));
}

#[test]
fn fragments_that_never_become_whole_are_reported_after_thirty_seconds() {
    let (mut alice, mut bob) = alice_and_bob();
    let mut first = header("10.0.1.10", "10.0.1.20", protocol::UDP, 16);
    first.more_fragments = true;
    let frame = frame_to(mac_of(2), &first, &[7; 16]);
    assert_eq!(bob.receive_bytes(ETH0, frame), Ok(()));
    let at = bob.stack.poll_at().unwrap();
    assert_eq!(at.as_millis(), 30_000);
    bob.advance(at);
    settle((&mut alice, ETH0), (&mut bob, ETH0));
    assert_eq!(bob.drops(), [(DropReason::ReassemblyTimeout, 1)]);
    assert_eq!(bob.get(Counter::IpReasmTimeout), 1);
    assert_eq!(alice.get(Counter::IcmpInTimeExcds), 1);
}

/// What an ICMP error from outside about a datagram of ours is taken to mean.
fn meaning(kind: u8, code: u8, rest: [u8; 4], quoted_src: &str) -> Result<News, DropReason> {
    let (mut alice, _) = alice_and_bob();
    let mut quoted = std::vec![0; 20];
    header(quoted_src, "203.0.113.9", protocol::UDP, 1480).emit(&mut quoted);
    quoted.extend([0, 5, 0, 9, 1, 2, 3, 4]);
    let mut message = std::vec![kind, code, 0, 0];
    message.extend(rest);
    message.extend(quoted);
    heptad_wire::checksum::fill(&mut message, 2, 0);
    let outer = header("10.0.1.1", "10.0.1.10", protocol::ICMP, message.len());
    let mut packet = alice.pool.packet();
    packet.append(heptad_wire::Chunk::copy_from(&message));
    outer.emit(packet.push(20));
    packet.set_sum(heptad_wire::Sum::Unverified);
    match alice.cx(|stack, cx| stack.network.receive_v4(ETH0, packet, false, cx)) {
        Up::Next(Heading::News(news)) => Ok(unquoted(*news)),
        Up::Drop(reason, _) => Err(reason),
        _ => panic!("an error is news or nothing"),
    }
}

/// Without the bytes that it quotes.
fn unquoted(mut news: News) -> News {
    if let News::Unreachable(_, _, told) | News::PathMtu(_, _, told) = &mut news {
        (told.quoted, told.transport) = (Bytes::new(), 0);
    }
    news
}

/// What is passed on of such an error.
fn said(kind: u8, code: u8, rest: [u8; 4]) -> Told {
    let [a, b, c, d] = rest;
    let message = Icmpv4::parse(&[kind, code, 0, 0, a, b, c, d]);
    Told {
        from: ip("10.0.1.1"),
        message: IcmpError::V4(message.expect("a header")),
        ttl: 64,
        quoted: Bytes::new(),
        transport: 0,
    }
}

#[test]
fn each_icmp_error_means_what_rfc_1122_says() {
    let flow = Flow {
        protocol: protocol::UDP,
        local: "10.0.1.10:5".parse().unwrap(),
        remote: "203.0.113.9:9".parse().unwrap(),
        word: 0x0102_0304,
    };
    let table = [
        (3, 0, NetError::NetUnreachable),
        (3, 1, NetError::HostUnreachable),
        (3, 2, NetError::ProtocolUnreachable),
        (3, 3, NetError::PortUnreachable),
        (3, 5, NetError::HostUnreachable),
        (3, 6, NetError::NetUnreachable),
        (3, 13, NetError::Prohibited),
        (11, 0, NetError::TimeExceeded),
        (11, 1, NetError::TimeExceeded),
        (12, 0, NetError::ParameterProblem),
    ];
    for (kind, code, error) in table {
        let news = meaning(kind, code, [0; 4], "10.0.1.10");
        let told = said(kind, code, [0; 4]);
        let expected = News::Unreachable(flow, error, told);
        assert_eq!(news, Ok(expected), "{kind} {code}");
    }
    let told = meaning(3, 4, [0, 0, 5, 0], "10.0.1.10");
    let router = said(3, 4, [0, 0, 5, 0]);
    assert_eq!(told, Ok(News::PathMtu(flow, 1280, router)));
    let with_length = meaning(3, 4, [0, 32, 5, 0], "10.0.1.10");
    let router = said(3, 4, [0, 32, 5, 0]);
    assert_eq!(with_length, Ok(News::PathMtu(flow, 1280, router)));
    // 1500 bytes were sent and the router does not tell: the next plateau of RFC 1191.
    let plateau = meaning(3, 4, [0; 4], "10.0.1.10");
    let router = said(3, 4, [0; 4]);
    assert_eq!(plateau, Ok(News::PathMtu(flow, 1492, router)));
    let tiny = meaning(3, 4, [0, 0, 0, 1], "10.0.1.10");
    let router = said(3, 4, [0, 0, 0, 1]);
    assert_eq!(tiny, Ok(News::PathMtu(flow, 68, router)));
}

#[test]
fn errors_about_packets_that_we_did_not_send_and_redirects_are_ignored() {
    let forged = meaning(3, 1, [0; 4], "10.0.1.77");
    assert_eq!(forged, Err(DropReason::IcmpOtherHost));
    let redirect = meaning(5, 1, [10, 0, 1, 66], "10.0.1.10");
    assert_eq!(redirect, Err(DropReason::RedirectRefused));
}

/// alice — r1 — r2 — bob: only the cable between the routers is narrow.
struct Narrow {
    alice: Host,
    r1: Host,
    r2: Host,
    bob: Host,
}
impl Narrow {
    fn new(mtu: u32) -> Self {
        let far = |r: Host, prefix: &str, via: &str| {
            let mut r = r;
            let route = crate::stack::Route {
                prefix: ip(prefix),
                len: 24,
                via: Some(ip(via)),
                port: ETH1,
            };
            r.stack.add_route(route).unwrap();
            r
        };
        let router = |n, near: &str, middle: &str| {
            Host::new(n, true)
                .with_port(n, near, 24, 1500)
                .with_port(n + 10, middle, 24, mtu)
        };
        Self {
            alice: Host::new(1, false)
                .with_port(1, "10.0.1.10", 24, 1500)
                .with_gateway("10.0.1.1"),
            r1: far(router(3, "10.0.1.1", "10.0.2.1"), "10.0.3.0", "10.0.2.2"),
            r2: far(router(4, "10.0.3.1", "10.0.2.2"), "10.0.1.0", "10.0.2.1"),
            bob: Host::new(2, false)
                .with_port(2, "10.0.3.20", 24, 1500)
                .with_gateway("10.0.3.1"),
        }
    }
    /// Carries everything, then moves time to the next timer; `false` when there is none.
    fn step(&mut self) -> bool {
        let Self { alice, r1, r2, bob } = self;
        while settle((alice, ETH0), (r1, ETH0))
            + settle((r1, ETH1), (r2, ETH1))
            + settle((r2, ETH0), (bob, ETH0))
            > 0
        {}
        let mut hosts = [alice, r1, r2, bob];
        let next = hosts.iter().filter_map(|h| h.stack.poll_at()).min();
        if let Some(at) = next {
            hosts.iter_mut().for_each(|h| h.advance(at.max(h.now)));
        }
        next.is_some()
    }
}

#[test]
fn tcp_learns_the_narrowest_mtu_of_the_way_and_nothing_is_fragmented() {
    let mut narrow = Narrow::new(600);
    let listener = narrow.bob.cx(|stack, cx| {
        let listener = stack.socket(ip("0.0.0.0"), SocketKind::Stream).unwrap();
        stack
            .bind(listener, "0.0.0.0:80".parse().unwrap(), cx)
            .unwrap();
        stack.listen(listener, 1, cx).unwrap();
        listener
    });
    let client = narrow.alice.cx(|stack, cx| {
        let client = stack.socket(ip("0.0.0.0"), SocketKind::Stream).unwrap();
        let _ = stack.connect(client, "10.0.3.20:80".parse().unwrap(), cx);
        client
    });
    narrow.step();
    let (server, _) = narrow
        .bob
        .cx(|stack, cx| stack.accept(listener, cx))
        .unwrap();
    let started = narrow.alice.now;
    let data = pattern(50_000);
    let sent = narrow.alice.cx(|stack, cx| stack.send(client, &data, cx));
    assert_eq!(sent, Ok(data.len()));
    let mut got = Vec::new();
    for _ in 0..1000 {
        narrow.step();
        let mut out = [0; 4096];
        while let Ok(n) = narrow.bob.cx(|stack, cx| stack.recv(server, &mut out, cx)) {
            got.extend_from_slice(&out[..n]);
        }
        if got.len() == data.len() {
            break;
        }
    }
    assert_eq!(got, data);
    let Narrow { alice, r1, bob, .. } = &narrow;
    assert!(r1.counters.drops(DropReason::FragmentationNeeded) > 0);
    assert!(alice.get(Counter::IcmpInDestUnreachs) > 0);
    assert_eq!(bob.get(Counter::IpReasmReqds), 0);
    assert_eq!(r1.get(Counter::IpFragCreates), 0);
    // More would mean that it was found out by timeouts.
    let took = alice.now - started;
    assert!(took.as_millis() < 100, "{took:?}");
}
