//! Super-segments on their way down and up: where they are cut, where merged, and that counts are of frames.
use std::vec::Vec;

use bytes::Bytes;
use heptad_wire::ipv4::{Ipv4Header, protocol};
use heptad_wire::tcp::{self, Flags, TcpHeader, TcpOptions};
use heptad_wire::{Chunk, PacketBuf, Sum, checksum};

use super::hosts::*;
use crate::l3_network::{Departure, Outlet};
use crate::{Caps, Counter, DropReason, PortId};

const SRC: &str = "10.0.1.10";
const DST: &str = "10.0.1.20";

/// A segment of this much payload, to be cut into frames of `segment`.
fn departure(host: &mut Host, payload: usize, segment: u16, df: bool) -> Departure {
    let mut packet = host.pool.packet();
    packet.append(Chunk::new(Bytes::from(pattern(payload)), payload));
    let len = (tcp::MIN_HEADER_LEN + payload) as u32;
    let header = TcpHeader {
        src_port: 1000,
        dst_port: 2000,
        seq: 7,
        ack: 1,
        reserved: 0,
        flags: Flags::ACK,
        window: 100,
        checksum: checksum::pseudo_header(ip(SRC), ip(DST), protocol::TCP, len),
        urgent: 0,
        options: TcpOptions::NONE,
    };
    header.emit(packet.push(tcp::MIN_HEADER_LEN));
    let start = packet.head_start();
    packet.set_sum(Sum::ToFill {
        start,
        offset: start + 16,
    });
    Departure {
        src: ip(SRC),
        dst: ip(DST),
        protocol: protocol::TCP,
        ttl: 64,
        tos: 0,
        dont_fragment: df,
        outlet: Outlet::default(),
        segment: Some(segment),
        packet,
    }
}

/// Alice and Bob who know each other.
fn acquainted() -> (Host, Host) {
    let (mut alice, mut bob) = alice_and_bob();
    alice.ping(SRC, DST, 1, false);
    settle((&mut alice, ETH0), (&mut bob, ETH0));
    alice.counters = crate::Counters::default();
    bob.counters = crate::Counters::default();
    (alice, bob)
}

/// Header, TCP header and payload of a frame whose checksums hold.
fn read(frame: &PacketBuf) -> (Ipv4Header, TcpHeader, Vec<u8>) {
    let mut bytes = Vec::new();
    frame.write_to(&mut bytes);
    let ip = Ipv4Header::parse(&bytes[14..]).unwrap();
    let segment = &bytes[34..];
    let pseudo = checksum::pseudo_header(
        ip.src.into(),
        ip.dst.into(),
        ip.protocol,
        segment.len() as u32,
    );
    let sum = checksum::add(pseudo, checksum::sum(segment));
    assert_eq!(sum, 0xffff, "TCP checksum");
    let tcp = TcpHeader::parse(segment).unwrap();
    (ip, tcp, segment[tcp.len()..].to_vec())
}

fn tx(host: &Host, port: PortId) -> (u64, u64) {
    let (_, counters) = host.stack.ports().swap_remove(usize::from(port.0));
    (counters.tx_ok, counters.tx_bytes)
}

#[test]
fn a_super_segment_leaves_in_frames_of_the_mtu_and_is_counted_so() {
    let (mut alice, _) = acquainted();
    let before = tx(&alice, ETH0);
    let super_segment = departure(&mut alice, 4000, 1460, true);
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    let frames = alice.drain(ETH0);
    let read: Vec<_> = frames.iter().map(read).collect();
    let lens: Vec<_> = read.iter().map(|(_, _, data)| data.len()).collect();
    assert_eq!(lens, [1460, 1460, 1080]);
    let seqs: Vec<_> = read.iter().map(|(_, tcp, _)| tcp.seq).collect();
    assert_eq!(seqs, [7, 1467, 2927]);
    let first = read[0].0.id;
    let ids: Vec<_> = read
        .iter()
        .map(|(ip, ..)| ip.id.wrapping_sub(first))
        .collect();
    assert_eq!(ids, [0, 1, 2]);
    let data: Vec<u8> = read.into_iter().flat_map(|(_, _, data)| data).collect();
    assert_eq!(data, pattern(4000));
    let after = tx(&alice, ETH0);
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 4000 + 3 * 54));
    assert_eq!(alice.get(Counter::IpOutRequests), 3);
    assert_eq!(alice.get(Counter::IpExtOutOctets), 4000 + 3 * 40);
    // The next packet to the same host goes on counting.
    let next = departure(&mut alice, 10, 1460, true);
    alice.cx(|stack, cx| stack.transmit(next, cx));
    let frames = alice.drain(ETH0);
    assert_eq!(self::read(&frames[0]).0.id.wrapping_sub(first), 3);
}

#[test]
fn memory_carries_super_segments_whole_and_both_ends_count_frames() {
    let (mut alice, mut bob) = acquainted();
    alice.stack.set_caps(ETH0, Caps::MEMORY);
    let before = tx(&alice, ETH0);
    let super_segment = departure(&mut alice, 4000, 1460, true);
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    let mut frames = alice.drain(ETH0);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].frames(), 3);
    let after = tx(&alice, ETH0);
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 4000 + 3 * 54));
    let _ = bob.receive(ETH0, frames.remove(0));
    assert_eq!(bob.get(Counter::IpInReceives), 3);
    assert_eq!(bob.get(Counter::IpInDelivers), 3);
    assert_eq!(bob.get(Counter::IpExtInOctets), 4000 + 3 * 40);
}

#[test]
fn a_router_cuts_what_came_whole_and_lowers_each_ttl() {
    let mut r1 = Host::new(3, true)
        .with_port(3, "10.0.0.1", 24, 1500)
        .with_port(4, "10.0.1.1", 24, 1500);
    let mut alice = Host::new(1, false)
        .with_port(1, "10.0.0.10", 24, 1500)
        .with_gateway("10.0.0.1");
    alice.stack.set_caps(ETH0, Caps::MEMORY);
    let mut super_segment = departure(&mut alice, 4000, 1460, true);
    super_segment.ttl = 9;
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    settle((&mut alice, ETH0), (&mut r1, ETH0));
    assert_eq!(r1.get(Counter::IpForwDatagrams), 3);
    // r1 asks who has DST; bob answers; the frames come out cut.
    let mut bob = Host::new(2, false).with_port(2, DST, 24, 1500);
    for question in r1.drain(ETH1) {
        let _ = bob.receive(ETH0, question);
    }
    for answer in bob.drain(ETH0) {
        let _ = r1.receive(ETH1, answer);
    }
    let frames: Vec<_> = r1.drain(ETH1).iter().map(read).collect();
    let seen: Vec<_> = frames.iter().map(|(ip, _, d)| (ip.ttl, d.len())).collect();
    assert_eq!(seen, [(8, 1460), (8, 1460), (8, 1080)]);
}

#[test]
fn a_segment_longer_than_the_mtu_is_reported_to_tcp_or_fragmented() {
    for df in [true, false] {
        let (mut alice, mut bob) = acquainted();
        let too_long = departure(&mut alice, 4100, 2000, df);
        alice.cx(|stack, cx| stack.transmit(too_long, cx));
        let frames = alice.drain(ETH0);
        if df {
            assert_eq!(frames.len(), 0);
            assert_eq!(alice.drops(), [(DropReason::FragmentationNeeded, 1)]);
            continue;
        }
        // Two of 2000 bytes in two pieces each, and one of 100 that fits.
        assert_eq!(frames.len(), 5);
        frames.into_iter().for_each(|frame| {
            let _ = bob.receive(ETH0, frame);
        });
        assert_eq!(bob.get(Counter::IpReasmOks), 2);
        assert_eq!(alice.get(Counter::IpFragOks), 2);
        assert_eq!(alice.get(Counter::IpFragCreates), 4);
    }
}

#[test]
fn a_cable_that_fills_nothing_gets_filled_sums() {
    let (mut alice, _) = acquainted();
    alice.stack.set_caps(
        ETH0,
        Caps {
            super_segments: false,
            unfilled_sums: false,
        },
    );
    let super_segment = departure(&mut alice, 3000, 1460, true);
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    let frames = alice.drain(ETH0);
    assert_eq!(frames.len(), 3);
    for frame in frames {
        assert_eq!(frame.sum(), Sum::Verified);
        read(&frame);
    }
}

/// Frames as a foreign cable brings them: bytes, nothing known of them.
fn from_outside(host: &mut Host, frames: Vec<PacketBuf>) -> Vec<PacketBuf> {
    let bytes = frames.iter().map(|frame| {
        let mut bytes = Vec::new();
        frame.write_to(&mut bytes);
        host.pool.from_bytes(Bytes::from(bytes))
    });
    bytes.collect()
}

#[test]
fn frames_of_one_flow_that_come_together_climb_as_one() {
    let (mut alice, mut bob) = acquainted();
    let super_segment = departure(&mut alice, 4000, 1460, true);
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    let frames = alice.drain(ETH0);
    let mut frames = from_outside(&mut bob, frames);
    let mut verdicts = Vec::new();
    bob.cx(|stack, cx| stack.receive_batch(ETH0, &mut frames, &mut verdicts, cx));
    assert_eq!(verdicts, [Err(DropReason::TcpNoSocket); 3]);
    assert_eq!(bob.drops(), [(DropReason::TcpNoSocket, 3)]);
    assert_eq!(bob.get(Counter::IpInReceives), 3);
    // One segment came up, so one RST answers, for all its bytes.
    let answers = bob.drain(ETH0);
    let answers: Vec<_> = answers.iter().map(read).collect();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].1.flags.contains(Flags::RST));
}

#[test]
fn verdicts_stand_in_the_order_of_their_frames() {
    let (mut alice, mut bob) = acquainted();
    let super_segment = departure(&mut alice, 4000, 1460, true);
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    let mut frames = alice.drain(ETH0);
    // Damaged on the way: the second frame's TCP header, so that it can't be merged; a frame for somebody else between.
    let damaged = frames.remove(1).corrupt(8 * 40);
    frames.insert(1, damaged);
    let mut elsewhere = frames[2].duplicate();
    elsewhere
        .peek_mut(6)
        .unwrap()
        .copy_from_slice(&[2, 0, 0, 0, 0, 77]);
    frames.insert(2, elsewhere);
    let mut verdicts = Vec::new();
    bob.cx(|stack, cx| stack.receive_batch(ETH0, &mut frames, &mut verdicts, cx));
    let expected = [
        DropReason::TcpNoSocket,
        DropReason::TcpChecksum,
        DropReason::OtherHost,
        DropReason::TcpNoSocket,
    ];
    assert_eq!(verdicts, expected.map(Err));
}

#[test]
fn a_frame_for_everybody_takes_no_frame_for_us_with_it() {
    let (mut alice, mut bob) = acquainted();
    let super_segment = departure(&mut alice, 2920, 1460, true);
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    let mut frames = alice.drain(ETH0);
    frames[0].peek_mut(6).unwrap().fill(0xff);
    let mut verdicts = Vec::new();
    bob.cx(|stack, cx| stack.receive_batch(ETH0, &mut frames, &mut verdicts, cx));
    let expected = [DropReason::NotForUs, DropReason::TcpNoSocket];
    assert_eq!(verdicts, expected.map(Err));
}

#[test]
fn a_router_hands_on_frames_that_come_together_as_they_came() {
    let mut r1 = Host::new(3, true)
        .with_port(3, "10.0.0.1", 24, 1500)
        .with_port(4, "10.0.1.1", 24, 1500);
    let mut alice = Host::new(1, false)
        .with_port(1, "10.0.0.10", 24, 1500)
        .with_gateway("10.0.0.1");
    let super_segment = departure(&mut alice, 4000, 1460, true);
    alice.cx(|stack, cx| stack.transmit(super_segment, cx));
    for frame in alice.drain(ETH0) {
        let _ = r1.receive(ETH0, frame);
    }
    for frame in r1.drain(ETH0) {
        let _ = alice.receive(ETH0, frame);
    }
    // Each with an id of its own, as from a foreign cable.
    let frames = alice.drain(ETH0);
    let mut frames = from_outside(&mut r1, frames);
    let ids: Vec<_> = frames.iter().map(PacketBuf::id).collect();
    let mut verdicts = Vec::new();
    r1.cx(|stack, cx| stack.receive_batch(ETH0, &mut frames, &mut verdicts, cx));
    assert_eq!(verdicts, [Ok(()); 3]);
    let question = r1.drain(ETH1).remove(0);
    let mut bob = Host::new(2, false).with_port(2, DST, 24, 1500);
    let _ = bob.receive(ETH0, question);
    for answer in bob.drain(ETH0) {
        let _ = r1.receive(ETH1, answer);
    }
    let onward: Vec<_> = r1.drain(ETH1).iter().map(PacketBuf::id).collect();
    assert_eq!(onward, ids);
}
