//! Cables of different kinds on one way: small MTUs, cables that carry super-segments, ways that end.
use heptad_stack::{Caps, Counter, DropReason, SocketError, SocketId};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    a_small_cable_on_the_way_is_found_by_tcp,
    a_smaller_cable_behind_the_peers_is_found_by_icmp,
    super_segments_cross_cables_that_carry_them_and_are_cut_for_those_that_do_not,
    super_segments_meet_a_small_cable,
    a_router_without_a_way_says_so,
}

const TOTAL: usize = 2_000_000;

/// alice sends, bob hears it all.
fn send_all(world: &mut World, client: SocketId, server: SocketId) {
    let data: Vec<u8> = (0..TOTAL).map(|n| (n % 251) as u8).collect();
    let (mut sent, mut heard) = (0, Vec::new());
    world.run_until("all bytes", |world| {
        while let Ok(n) = world.send(ALICE, client, &data[sent..]) {
            sent += n;
            if sent == TOTAL {
                break;
            }
        }
        while let Ok(bytes) = world.recv(BOB, server) {
            heard.extend(bytes);
        }
        heard.len() == TOTAL
    });
    assert!(heard == data);
}

fn a_small_cable_on_the_way_is_found_by_tcp() {
    let mut world = World::routed_with([1_500, 1_300], [Caps::FRAMES; 2]);
    let listener = world.listener(BOB, 80);
    // bob's SYN,ACK offers an MSS of 1,260 or 1,240, so the other way round needs discovery: bob talks to a port of 1,500.
    let (client, server) = world.connected(listener, "10.0.2.20:80");
    send_all(&mut world, client, server);
    let status = world.hosts[ALICE].stack.tcp_status(client).unwrap();
    assert!(status.mss <= 1_260, "mss {}", status.mss);
    world.only_drops(NOTHING);
}

fn a_smaller_cable_behind_the_peers_is_found_by_icmp() {
    let mut world = World::routed();
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.2.20:80");
    // The cable to bob shrinks after the handshake; only the router knows.
    let port = heptad_stack::PortId(2);
    world.hosts[ROUTER].stack.set_mtu(port, 1_290);
    send_all(&mut world, client, server);
    let status = world.hosts[ALICE].stack.tcp_status(client).unwrap();
    assert!(status.mss <= 1_250, "mss {}", status.mss);
    let told = world.count(ALICE, Counter::IcmpInDestUnreachs);
    assert!(told + world.count(ALICE, Counter::Icmp6InPktTooBigs) > 0);
    // The next connection knows from the start.
    let known = world.hosts[ALICE].stack.path_mtus();
    assert_eq!((known[0].0, known[0].1), (ip("10.0.2.20"), 1_290));
    world.only_drops(&[DropReason::FragmentationNeeded, DropReason::TcpDuplicate]);
}

#[test]
fn a_large_datagram_is_fragmented_again_by_the_router() {
    let mut world = World::routed_with([1_500, 600], [Caps::FRAMES; 2]);
    let server = world.datagram(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.datagram(ALICE);
    let data: Vec<u8> = (0..5_000u32).map(|n| n as u8).collect();
    world.send_to(ALICE, client, &data, "10.0.2.20:7").unwrap();
    world.run_for(100 * MS);
    assert!(world.recv(BOB, server) == Ok(data));
    assert!(world.count(ROUTER, Counter::IpFragCreates) > 0);
    world.only_drops(NOTHING);
}

/// A router of IPv6 never fragments: the first datagram is lost, and the sender knows from then on.
#[test]
fn a_large_datagram_of_ipv6_is_fragmented_by_its_sender_once_it_knows_the_way() {
    over(heptad_stack::Family::V6, || {
        let mut world = World::routed_with([1_500, 1_280], [Caps::FRAMES; 2]);
        let server = world.datagram(BOB);
        world.bind(BOB, server, "0.0.0.0:7").unwrap();
        let client = world.datagram(ALICE);
        let data: Vec<u8> = (0..5_000u32).map(|n| n as u8).collect();
        for expected in [Err(SocketError::WouldBlock), Ok(data.clone())] {
            world.send_to(ALICE, client, &data, "10.0.2.20:7").unwrap();
            world.run_for(100 * MS);
            assert!(world.recv(BOB, server) == expected);
        }
        assert!(world.count(ALICE, Counter::Ip6FragCreates) >= 8);
        assert_eq!(world.count(ROUTER, Counter::Ip6FragCreates), 0);
        // What was told is believed for ten minutes.
        world.run_for(std::time::Duration::from_secs(601));
        assert_eq!(world.hosts[ALICE].stack.path_mtus(), []);
        // What is said of a later fragment does not say whose it was.
        world.only_drops(&[
            DropReason::FragmentationNeeded,
            DropReason::ReassemblyTimeout,
            DropReason::IcmpLaterFragment,
        ]);
    });
}

fn super_segments_cross_cables_that_carry_them_and_are_cut_for_those_that_do_not() {
    let kinds = [
        [Caps::MEMORY, Caps::MEMORY],
        [Caps::MEMORY, Caps::FRAMES],
        [Caps::FRAMES, Caps::MEMORY],
        [Caps::FRAMES, Caps::FRAMES],
    ];
    let mut sent = Vec::new();
    for caps in kinds {
        let mut world = World::routed_with([1_500, 1_500], caps);
        let listener = world.listener(BOB, 80);
        let (client, server) = world.connected(listener, "10.0.2.20:80");
        send_all(&mut world, client, server);
        assert_eq!(world.count(ALICE, Counter::TcpRetransSegs), 0);
        world.only_drops(NOTHING);
        let forwarded = world.count(ROUTER, Counter::IpForwDatagrams)
            + world.count(ROUTER, Counter::Ip6OutForwDatagrams);
        sent.push((world.carried(ALICE), forwarded));
    }
    let (memory, frames) = (sent[0].0, sent[3].0);
    assert!(memory * 10 < frames, "{memory} against {frames}");
    // Counters count frames once cut, whatever the cable carried.
    let counts: Vec<u64> = sent.iter().map(|(_, forwarded)| *forwarded).collect();
    assert!(
        counts.iter().all(|n| n.abs_diff(counts[3]) * 2 < counts[3]),
        "{counts:?}"
    );
}

fn super_segments_meet_a_small_cable() {
    let mut world = World::routed_with([1_500, 1_500], [Caps::MEMORY; 2]);
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.2.20:80");
    world.hosts[ROUTER]
        .stack
        .set_mtu(heptad_stack::PortId(2), 1_290);
    send_all(&mut world, client, server);
    world.only_drops(&[DropReason::FragmentationNeeded, DropReason::TcpDuplicate]);
}

fn a_router_without_a_way_says_so() {
    let mut world = World::routed();
    let client = world.stream(ALICE);
    let connect = |world: &mut World| world.connect(ALICE, client, "192.0.2.1:80");
    assert_eq!(connect(&mut world), Err(SocketError::InProgress));
    world.run_for(1_000 * MS);
    assert_eq!(connect(&mut world), Err(SocketError::NetworkUnreachable));
    world.only_drops(&[DropReason::NoRoute]);
}
