//! Floods: whatever comes in whatever number, memory has its bound and what goes over it its reason.
use std::vec::Vec;

use heptad_wire::arp::{ArpPacket, Operation};
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;
use heptad_wire::ndp::{Ndp, Options};
use heptad_wire::{EtherType, EthernetHeader, MacAddr, checksum};

use super::hosts::*;
use crate::l2_link::neighbour::TABLE_BOUND;
use crate::time::Duration;
use crate::{DropReason, Instant};

const FLOOD: u32 = 10_000;
/// The queue of a port of these hosts.
const QUEUE: u64 = 1000;

fn bob() -> Host {
    let mut bob = Host::new(2, false).with_port(2, "10.0.1.20", 16, 1500);
    bob.stack.add_address(ETH0, ip("fd00:1::20"), 64).unwrap();
    for second in 0..3 {
        bob.advance(Instant::from_nanos(second * 1_000_000_000));
        bob.drain(ETH0);
    }
    bob
}
fn arp(operation: Operation, sender: u32, target: &str) -> Vec<u8> {
    let mut out = std::vec![0; 14 + 28];
    EthernetHeader {
        dst: MacAddr::BROADCAST,
        src: mac_of(9),
        ethertype: EtherType::ARP,
    }
    .emit(&mut out);
    ArpPacket {
        operation,
        sender_mac: mac_of(9),
        sender_ip: (0x0a00_4000 + sender).into(),
        target_mac: mac_of(2),
        target_ip: v4(target),
    }
    .emit(&mut out[14..]);
    out
}
/// A message of neighbour discovery from the neighbour of this number.
fn ndp(message: &Ndp, sender: u32, dst: &str) -> Vec<u8> {
    let src = std::format!("fd00:1::1:{:x}:{:x}", sender >> 8, sender & 0xff);
    let (src, dst) = (ip(&src), ip(dst));
    let mut bytes = message.to_bytes();
    let pseudo = checksum::pseudo_header(src, dst, next_header::ICMPV6, bytes.len() as u32);
    checksum::fill(&mut bytes, 2, pseudo);
    let (core::net::IpAddr::V6(src), core::net::IpAddr::V6(dst)) = (src, dst) else {
        unreachable!("both are of IPv6");
    };
    let mac = match dst.is_multicast() {
        true => crate::l2_link::ethernet::multicast_mac(dst.into()),
        false => mac_of(2),
    };
    let mut frame = Vec::from(mac.0);
    frame.extend(mac_of(9).0);
    frame.extend([
        0x86,
        0xdd,
        0x60,
        0,
        0,
        0,
        0,
        bytes.len() as u8,
        next_header::ICMPV6,
        255,
    ]);
    frame.extend(src.octets());
    frame.extend(dst.octets());
    frame.extend(bytes);
    frame
}
fn drops(host: &Host, reason: DropReason) -> u64 {
    host.counters.drops(reason)
}

#[test]
fn questions_of_arp_fill_the_table_and_the_queue_to_their_bounds() {
    let mut bob = bob();
    for sender in 0..FLOOD {
        let _ = bob.receive_bytes(ETH0, arp(Operation::Request, sender, "10.0.1.20"));
    }
    assert_eq!(bob.stack.neighbours().len(), TABLE_BOUND);
    // The answers that the cable did not take yet.
    let full = drops(&bob, DropReason::TxQueueFull);
    assert_eq!(full, u64::from(FLOOD) - QUEUE);
    assert_eq!(bob.drain(ETH0).len() as u64, QUEUE);
    // Whom bob talks to is still reached: the flood's entries are idle and give way.
    bob.ping("10.0.1.20", "10.0.1.10", 8, false);
    let asked = bob.stack.neighbours();
    assert!(asked.iter().any(|row| row.ip == ip("10.0.1.10")));
}

#[test]
fn answers_of_arp_that_nobody_asked_for_leave_nothing() {
    let mut bob = bob();
    for sender in 0..FLOOD {
        let operation = [Operation::Reply, Operation::Request][sender as usize % 2];
        let told = bob.receive_bytes(ETH0, arp(operation, sender, "10.0.1.99"));
        assert_eq!(told, Ok(()));
    }
    assert_eq!(bob.stack.neighbours(), []);
    assert_eq!((bob.drops(), bob.drain(ETH0).len()), (std::vec![], 0));
}

#[test]
fn claims_to_an_address_of_ours_are_counted_and_answered_once_in_ten_seconds() {
    let mut bob = bob();
    bob.stack.detect_conflicts(ETH0).unwrap();
    for second in 3..20 {
        bob.advance(Instant::from_nanos(second * 1_000_000_000));
        bob.drain(ETH0);
    }
    let claim = || {
        let mut frame = arp(Operation::Request, 0, "10.0.1.20");
        frame[28..32].copy_from_slice(&v4("10.0.1.20").octets());
        frame
    };
    let told = bob.receive_bytes(ETH0, claim());
    assert_eq!(told, Err(DropReason::ArpConflict));
    assert_eq!(bob.drain(ETH0).len(), 1, "it is said once");
    assert_eq!(
        bob.receive_bytes(ETH0, claim()),
        Err(DropReason::ArpConflict)
    );
    // Now it is theirs, and what they say teaches nothing new.
    for _ in 0..FLOOD {
        assert_eq!(bob.receive_bytes(ETH0, claim()), Ok(()));
    }
    assert_eq!(drops(&bob, DropReason::ArpConflict), 2);
    assert_eq!(
        (bob.stack.neighbours().len(), bob.drain(ETH0).len()),
        (0, 0)
    );
}

#[test]
fn questions_of_neighbour_discovery_fill_the_table_and_the_queue_to_their_bounds() {
    let mut bob = bob();
    let question = Ndp::NeighbourSolicit {
        target: "fd00:1::20".parse().unwrap(),
        options: Options {
            source: Some(mac_of(9)),
            ..Options::default()
        },
    };
    for sender in 0..FLOOD {
        let _ = bob.receive_bytes(ETH0, ndp(&question, sender, "ff02::1:ff00:20"));
    }
    assert_eq!(bob.stack.neighbours().len(), TABLE_BOUND);
    // Whoever was answered is asked whether it heard: such entries stay for some seconds, and there is no room for others.
    let full = drops(&bob, DropReason::TxQueueFull);
    let unknown = drops(&bob, DropReason::NeighbourTableFull);
    assert_eq!(full, TABLE_BOUND as u64 - QUEUE);
    assert_eq!(unknown, u64::from(FLOOD) - TABLE_BOUND as u64);
}

#[test]
fn answers_of_neighbour_discovery_that_nobody_asked_for_leave_nothing() {
    let mut bob = bob();
    for sender in 0..FLOOD {
        let answer = Ndp::NeighbourAdvert {
            target: std::format!("fd00:1::2:{sender:x}").parse().unwrap(),
            router: true,
            solicited: sender % 2 == 0,
            overrides: true,
            options: Options {
                target: Some(mac_of(9)),
                ..Options::default()
            },
        };
        let told = bob.receive_bytes(ETH0, ndp(&answer, sender, "fd00:1::20"));
        assert_eq!(told, Ok(()));
    }
    assert_eq!(
        (bob.stack.neighbours(), bob.drain(ETH0).len()),
        (std::vec![], 0)
    );
}

#[test]
fn strangers_who_make_us_ask_for_many_are_bounded() {
    // Echo requests from addresses that nobody has: each answer waits for its neighbour.
    let mut bob = bob();
    for sender in 0..FLOOD {
        let request = echo_request(1000);
        let src = std::format!("{}", core::net::Ipv4Addr::from_bits(0x0a00_4000 + sender));
        let header = header(&src, "10.0.1.20", protocol::ICMP, request.len());
        let _ = bob.receive_bytes(ETH0, frame_to(mac_of(2), &header, &request));
    }
    assert_eq!(bob.stack.neighbours().len(), TABLE_BOUND);
    let waiting = TABLE_BOUND as u64;
    let full = drops(&bob, DropReason::NeighbourTableFull);
    assert_eq!(full, u64::from(FLOOD) - waiting);
    for second in 3..10 {
        bob.advance(Instant::from_nanos(second * 1_000_000_000));
        bob.drain(ETH0);
    }
    assert_eq!(bob.stack.neighbours(), [], "nobody answered");
    assert_eq!(drops(&bob, DropReason::NeighbourUnreachable), waiting);
}

#[test]
fn fragments_are_bounded_and_forgotten() {
    let mut bob = bob();
    for number in 0..2 * FLOOD {
        let src = std::format!(
            "{}",
            core::net::Ipv4Addr::from_bits(0x0a00_4000 + number / 50)
        );
        let mut header = header(&src, "10.0.1.20", protocol::UDP, 1024);
        header.id = number as u16;
        header.more_fragments = true;
        let _ = bob.receive_bytes(ETH0, frame_to(mac_of(2), &header, &[0; 1024]));
    }
    let full = drops(&bob, DropReason::ReassemblyFull);
    assert!(full > u64::from(FLOOD), "{full}");
    bob.advance(bob.now + Duration::from_secs(61));
    let of_fragments = full + drops(&bob, DropReason::ReassemblyTimeout);
    assert_eq!(of_fragments, u64::from(2 * FLOOD), "{:?}", bob.drops());
}
