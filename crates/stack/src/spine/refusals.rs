//! What is refused, and the reason that is counted for it.
use std::vec::Vec;

use bytes::Bytes;
use heptad_wire::arp::{ArpPacket, Operation};
use heptad_wire::icmpv4::Icmpv4;
use heptad_wire::ipv4::{Ipv4Header, Options, protocol};
use heptad_wire::tcp::{Flags, TcpHeader, TcpOption, TcpOptions};
use heptad_wire::{EtherType, EthernetHeader, MacAddr, VlanTag, checksum};
use proptest::prelude::*;

use super::hosts::*;
use crate::{DropReason, SocketKind};

fn bob() -> Host {
    Host::new(2, false).with_port(2, "10.0.1.20", 24, 1500)
}
fn udp(src: &str, dst: &str) -> Ipv4Header {
    header(src, dst, protocol::UDP, 8)
}
fn to_bob(header: &Ipv4Header) -> Vec<u8> {
    frame_to(mac_of(2), header, &[0, 5, 0, 9, 0, 8, 0, 0])
}
fn with_options(bytes: &[u8]) -> Vec<u8> {
    let mut header = udp("10.0.1.10", "10.0.1.20");
    header.options = Options::new(bytes).unwrap();
    header.total_len += header.options.as_bytes().len() as u16;
    to_bob(&header)
}
fn ethernet(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut out = std::vec![0; 14];
    EthernetHeader {
        dst: mac_of(2),
        src: mac_of(9),
        ethertype,
    }
    .emit(&mut out);
    out.extend_from_slice(payload);
    out
}
fn tagged(id: u16, payload: &[u8]) -> Vec<u8> {
    let tag = VlanTag {
        priority: 5,
        drop_eligible: false,
        id,
        ethertype: EtherType::IPV4,
    };
    let mut out = std::vec![0; 4];
    tag.emit(&mut out);
    out.extend_from_slice(payload);
    ethernet(EtherType::VLAN, &out)
}

/// Each row: what it is, the frame, the reason.
type Table<'a> = &'a [(&'a str, Vec<u8>, DropReason)];

/// Each frame has its reason, and it is counted once.
fn check(table: Table<'_>) {
    for (what, frame, reason) in table {
        let mut bob = bob();
        assert_eq!(
            bob.receive_bytes(ETH0, frame.clone()),
            Err(*reason),
            "{what}"
        );
        assert_eq!(bob.drops(), [(*reason, 1)], "{what}");
    }
}

#[test]
fn frames_that_layer_2_refuses_have_their_reasons() {
    use DropReason::*;
    let fine = to_bob(&udp("10.0.1.10", "10.0.1.20"));
    let mut half_a_tag = tagged(7, &fine[14..]);
    half_a_tag.truncate(16);
    let mut elsewhere = fine.clone();
    elsewhere[5] = 77;
    let ip = &fine[14..];
    let arp = |bytes: &[u8]| ethernet(EtherType::ARP, bytes);
    check(&[
        ("13 bytes", fine[..13].to_vec(), LinkHeader),
        ("half a tag", half_a_tag, LinkHeader),
        ("another station", elsewhere, OtherHost),
        (
            "LLDP",
            ethernet(EtherType(0x88cc), &[0x60; 40]),
            UnknownEtherType,
        ),
        (
            "39 bytes of IPv6",
            ethernet(EtherType::IPV6, &[0x60; 39]),
            IpTruncated,
        ),
        (
            "IPv4 as IPv6",
            ethernet(EtherType::IPV6, &[0x45; 40]),
            IpHeader,
        ),
        ("VLAN 7", tagged(7, ip), UnknownVlan),
        ("VLAN 0 only has a priority", tagged(0, ip), UdpNoSocket),
        ("ARP of 27 bytes", arp(&[0; 27]), ArpMalformed),
        ("ARP for token ring", arp(&[6; 28]), ArpMalformed),
    ]);
}

#[test]
fn packets_with_malformed_headers_have_their_reasons() {
    use DropReason::*;
    let fine = to_bob(&udp("10.0.1.10", "10.0.1.20"));
    let changed = |at: usize, to: u8| {
        let mut frame = fine.clone();
        frame[at] = to;
        frame
    };
    let mut truncated = fine.clone();
    truncated.pop();
    check(&[
        ("nothing", ethernet(EtherType::IPV4, &[]), IpTruncated),
        ("19 bytes of IP", fine[..33].to_vec(), IpTruncated),
        ("version 5", changed(14, 0x55), IpHeader),
        ("a header of 16 bytes", changed(14, 0x44), IpHeader),
        ("a flipped bit", changed(22, 63), IpChecksum),
        ("a byte missing", truncated, IpTruncated),
        (
            "loose source route",
            with_options(&[131, 7, 4, 1, 2, 3, 4]),
            IpOption,
        ),
        (
            "strict source route",
            with_options(&[1, 137, 3, 4]),
            IpOption,
        ),
        (
            "an option of length 1",
            with_options(&[7, 1, 0, 0]),
            IpHeader,
        ),
        (
            "an option without an end",
            with_options(&[7, 9, 0, 0]),
            IpHeader,
        ),
        ("router alert", with_options(&[148, 4, 0, 0]), UdpNoSocket),
    ]);
}

#[test]
fn packets_with_impossible_addresses_have_their_reasons() {
    use DropReason::*;
    let from = |src| to_bob(&udp(src, "10.0.1.20"));
    let to = |dst| to_bob(&udp("10.0.1.10", dst));
    check(&[
        ("from a group", from("224.0.0.9"), MartianSource),
        ("from everybody", from("255.255.255.255"), MartianSource),
        (
            "from the cable's broadcast",
            from("10.0.1.255"),
            MartianSource,
        ),
        ("from nobody to one", from("0.0.0.0"), MartianSource),
        ("from us", from("10.0.1.20"), MartianSource),
        ("from loopback", from("127.0.0.1"), MartianSource),
        ("from the reserved class", from("240.0.0.1"), MartianSource),
        ("to loopback", to("127.0.0.1"), MartianDestination),
        ("to nobody", to("0.0.0.0"), MartianDestination),
        ("to another host", to("10.0.1.30"), NotForUs),
        ("to a group", to("224.0.0.251"), NotOurGroup),
    ]);
}

#[test]
fn a_malformed_option_is_reported_to_its_sender_with_its_place() {
    let mut bob = bob();
    bob.ping("10.0.1.20", "10.0.1.10", 8, false);
    learn(&mut bob, "10.0.1.10", mac_of(99));
    bob.drain(ETH0);
    let _ = bob.receive_bytes(ETH0, with_options(&[1, 1, 7, 1]));
    let frames = bob.drain(ETH0);
    let (_, message, _) = icmp_in(&frames[0]);
    let problem = Icmpv4::ParameterProblem {
        code: 0,
        pointer: 23,
    };
    assert_eq!(message, problem);
}

#[test]
fn a_frame_for_everybody_with_a_packet_for_one_is_discarded() {
    let mut bob = bob();
    let frame = frame_to(MacAddr::BROADCAST, &udp("10.0.1.10", "10.0.1.20"), &[0; 8]);
    assert_eq!(bob.receive_bytes(ETH0, frame), Err(DropReason::NotForUs));
}

#[test]
fn the_padding_of_a_short_frame_is_cut_off() {
    let mut bob = bob();
    let request = echo_request(4);
    let packet = header("10.0.1.10", "10.0.1.20", protocol::ICMP, request.len());
    let mut frame = frame_to(mac_of(2), &packet, &request);
    frame.resize(60, 0xaa);
    assert_eq!(bob.receive_bytes(ETH0, frame), Ok(()));
    learn(&mut bob, "10.0.1.10", mac_of(99));
    let frames = bob.drain(ETH0);
    let (header, _, data) = icmp_in(frames.last().unwrap());
    assert_eq!((header.total_len, data), (32, pattern(4)));
}

#[test]
fn a_damaged_echo_request_is_found_by_its_checksum() {
    let mut bob = bob();
    let mut request = echo_request(4);
    request[9] ^= 1;
    let packet = header("10.0.1.10", "10.0.1.20", protocol::ICMP, request.len());
    let frame = frame_to(mac_of(2), &packet, &request);
    let verdict = bob.receive_bytes(ETH0, frame);
    assert_eq!(verdict, Err(DropReason::IcmpChecksum));
    assert_eq!(bob.get(crate::Counter::IcmpInErrors), 1);
}

/// `mac` answers for `address`.
fn learn(host: &mut Host, address: &str, mac: MacAddr) {
    let reply = ArpPacket {
        operation: Operation::Reply,
        sender_mac: mac,
        sender_ip: v4(address),
        target_mac: mac_of(2),
        target_ip: v4("10.0.1.20"),
    };
    let mut bytes = std::vec![0; 28];
    reply.emit(&mut bytes);
    let frame = ethernet(EtherType::ARP, &bytes);
    assert_eq!(host.receive_bytes(ETH0, frame), Ok(()));
}

#[test]
fn only_those_who_were_asked_or_ask_us_become_neighbours() {
    let mut bob = bob();
    // Unasked replies and gratuitous ones make no entry.
    learn(&mut bob, "10.0.1.10", mac_of(66));
    assert_eq!(bob.stack.neighbours(), []);
    bob.ping("10.0.1.20", "10.0.1.10", 8, false);
    learn(&mut bob, "10.0.1.10", mac_of(1));
    let macs = |host: &Host| -> Vec<_> { host.stack.neighbours().iter().map(|n| n.mac).collect() };
    assert_eq!(macs(&bob), [Some(mac_of(1))]);
    // A gratuitous one changes what is there.
    let moved = ArpPacket {
        operation: Operation::Request,
        sender_mac: mac_of(7),
        sender_ip: v4("10.0.1.10"),
        target_mac: MacAddr::default(),
        target_ip: v4("10.0.1.10"),
    };
    let mut bytes = std::vec![0; 28];
    moved.emit(&mut bytes);
    let mut frame = ethernet(EtherType::ARP, &bytes);
    frame[..6].fill(0xff);
    assert_eq!(bob.receive_bytes(ETH0, frame), Ok(()));
    assert_eq!(macs(&bob), [Some(mac_of(7))]);
}

/// A SYN with options.
fn syn_to(port: u16) -> Vec<u8> {
    let mut options = TcpOptions::NONE;
    options.push(TcpOption::Mss(1460));
    options.push(TcpOption::SackPermitted);
    options.push(TcpOption::Timestamps { value: 1, echo: 0 });
    options.push(TcpOption::Nop);
    options.push(TcpOption::WindowScale(7));
    options.pad();
    let mut tcp = TcpHeader {
        src_port: 1000,
        dst_port: port,
        seq: 5,
        ack: 0,
        reserved: 0,
        flags: Flags::SYN,
        window: 1000,
        checksum: 0,
        urgent: 0,
        options,
    };
    let mut segment = std::vec![0; tcp.len()];
    tcp.emit(&mut segment);
    let (src, dst) = (ip("10.0.1.10"), ip("10.0.1.20"));
    let pseudo = checksum::pseudo_header(src, dst, protocol::TCP, segment.len() as u32);
    tcp.checksum = !checksum::add(pseudo, checksum::sum(&segment));
    tcp.emit(&mut segment);
    let packet = header("10.0.1.10", "10.0.1.20", protocol::TCP, segment.len());
    frame_to(mac_of(2), &packet, &segment)
}

/// Frames that get some way in: damaged copies of good ones.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        Just(to_bob(&udp("10.0.1.10", "10.0.1.20"))),
        Just(with_options(&[148, 4, 0, 0, 7, 4, 0, 0])),
        Just({
            let request = echo_request(64);
            let packet = header("10.0.1.10", "10.0.1.20", protocol::ICMP, request.len());
            frame_to(mac_of(2), &packet, &request)
        }),
        Just(syn_to(80)),
        Just({
            let mut bytes = std::vec![0; 28];
            ArpPacket {
                operation: Operation::Request,
                sender_mac: mac_of(1),
                sender_ip: v4("10.0.1.10"),
                target_mac: MacAddr::default(),
                target_ip: v4("10.0.1.20"),
            }
            .emit(&mut bytes);
            ethernet(EtherType::ARP, &bytes)
        }),
    ];
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (good, damage, any::<bool>(), 0usize..120).prop_map(|(mut frame, damage, mend, len)| {
        for (at, to) in damage {
            let at = at.index(frame.len());
            frame[at] = to;
        }
        frame.truncate(len.max(14));
        if mend && frame.len() >= 34 && frame[12..14] == [8, 0] {
            let end = 14 + (usize::from(frame[14] & 15) * 4).clamp(20, frame.len() - 14);
            frame[24..26].fill(0);
            let sum = !heptad_wire::checksum::sum(&frame[14..end]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        frame
    })
}

proptest! {
    #[test]
    fn no_bytes_from_outside_panic(
        frames in prop::collection::vec(
            prop_oneof![nearly_right(), prop::collection::vec(any::<u8>(), 0..200)],
            1..20,
        ),
        router in any::<bool>(),
        together in any::<bool>(),
    ) {
        let mut host = Host::new(2, router).with_port(2, "10.0.1.20", 24, 1500);
        host.cx(|stack, cx| {
            let socket = stack.socket(ip("0.0.0.0"), SocketKind::Stream).unwrap();
            stack.bind(socket, "0.0.0.0:80".parse().unwrap(), cx).unwrap();
            stack.listen(socket, 1, cx).unwrap();
        });
        let count = frames.len();
        let mut batch: Vec<_> = frames
            .into_iter()
            .map(|bytes| host.pool.from_bytes(Bytes::from(bytes)))
            .collect();
        let mut verdicts = Vec::new();
        if together {
            host.cx(|stack, cx| stack.receive_batch(ETH0, &mut batch, &mut verdicts, cx));
        } else {
            verdicts = batch.into_iter().map(|frame| host.receive(ETH0, frame)).collect();
        }
        prop_assert_eq!(verdicts.len(), count);
        let refused = verdicts.iter().filter(|v| v.is_err()).count() as u64;
        let counted: u64 = host.drops().iter().map(|(_, n)| n).sum();
        // An answer may have been discarded too.
        prop_assert!(refused <= counted, "{refused} refused, {counted} counted");
        host.drain(ETH0);
        host.advance(crate::Instant::from_nanos(60_000_000_000));
    }
}
