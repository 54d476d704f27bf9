//! Each field of each header of IPv4 and below out of range, one at a time: what becomes of the frame.
use std::vec::Vec;

use heptad_wire::arp::{ArpPacket, Operation};
use heptad_wire::ipv4::protocol;
use heptad_wire::tcp::{Flags, TcpHeader, TcpOption, TcpOptions};
use heptad_wire::{EtherType, EthernetHeader, MacAddr, checksum};

use super::hosts::*;
use crate::{DropReason, SocketKind};

/// Where the headers begin.
pub(super) const L3: usize = 14;
const L4: usize = L3 + 20;

/// One row: the field, where it begins in the frame, what it becomes, and what becomes of the frame.
pub(super) type Field<'a> = (&'a str, usize, &'a [u8], Result<(), DropReason>);

/// bob, with a server of UDP at port 9 and one of TCP at port 80.
fn bob() -> Host {
    let mut bob = Host::new(2, false).with_port(2, "10.0.1.20", 24, 1500);
    serve(&mut bob, "0.0.0.0");
    bob
}
pub(super) fn serve(bob: &mut Host, any: &str) {
    bob.cx(|stack, cx| {
        let socket = stack.socket(ip(any), SocketKind::Datagram).unwrap();
        stack.bind(socket, (ip(any), 9).into(), cx).unwrap();
        let socket = stack.socket(ip(any), SocketKind::Stream).unwrap();
        stack.bind(socket, (ip(any), 80).into(), cx).unwrap();
        stack.listen(socket, 5, cx).unwrap();
    });
}

/// The frame is fine as it is; with each row's field changed and the checksums mended it fares as the row says, and what is
/// refused is counted once.
pub(super) fn check(new: fn() -> Host, fine: &[u8], mend: fn(&mut [u8]), rows: &[Field<'_>]) {
    let as_it_is = ("as it is", 0, &fine[..1], Ok(()));
    for (field, at, bytes, expected) in [as_it_is].iter().chain(rows) {
        let mut bob = new();
        let before = bob.drops();
        assert_eq!(before, []);
        let mut frame = fine.to_vec();
        frame[*at..*at + bytes.len()].copy_from_slice(bytes);
        mend(&mut frame);
        let verdict = bob.receive_bytes(ETH0, frame);
        assert_eq!(verdict, *expected, "{field}: {bytes:x?}");
        let counted: Vec<_> = expected
            .err()
            .map(|reason| (reason, 1))
            .into_iter()
            .collect();
        assert_eq!(bob.drops(), counted, "{field}: {bytes:x?}");
    }
}
/// Leaves everything as it is.
pub(super) fn as_is(_: &mut [u8]) {}

/// The checksum of the IPv4 header, if there is one.
fn mend_ip(frame: &mut [u8]) {
    let end = (L3 + usize::from(frame[L3] & 15) * 4).clamp(L4, frame.len());
    frame[L3 + 10..L3 + 12].fill(0);
    let sum = !checksum::sum(&frame[L3..end]);
    frame[L3 + 10..L3 + 12].copy_from_slice(&sum.to_be_bytes());
}
fn mend_icmp(frame: &mut [u8]) {
    frame[L4 + 2..L4 + 4].fill(0);
    let sum = !checksum::sum(&frame[L4..]);
    frame[L4 + 2..L4 + 4].copy_from_slice(&sum.to_be_bytes());
}
fn mend_tcp(frame: &mut [u8]) {
    frame[L4 + 16..L4 + 18].fill(0);
    let segment = &frame[L4..];
    let (src, dst) = (ip("10.0.1.10"), ip("10.0.1.20"));
    let pseudo = checksum::pseudo_header(src, dst, protocol::TCP, segment.len() as u32);
    let sum = !checksum::add(pseudo, checksum::sum(segment));
    frame[L4 + 16..L4 + 18].copy_from_slice(&sum.to_be_bytes());
}

fn packet_of(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = header("10.0.1.10", "10.0.1.20", protocol, payload.len());
    frame_to(mac_of(2), &header, payload)
}
/// Eight bytes for port 9, without a checksum.
fn datagram() -> Vec<u8> {
    let mut bytes = std::vec![0, 5, 0, 9, 0, 16, 0, 0];
    bytes.extend(pattern(8));
    packet_of(protocol::UDP, &bytes)
}
fn syn() -> Vec<u8> {
    let mut options = TcpOptions::NONE;
    options.push(TcpOption::Mss(1460));
    options.push(TcpOption::WindowScale(7));
    options.pad();
    let tcp = TcpHeader {
        src_port: 1000,
        dst_port: 80,
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
    let mut frame = packet_of(protocol::TCP, &segment);
    mend_tcp(&mut frame);
    frame
}
fn question() -> Vec<u8> {
    let mut out = std::vec![0; L3 + 28];
    EthernetHeader {
        dst: MacAddr::BROADCAST,
        src: mac_of(1),
        ethertype: EtherType::ARP,
    }
    .emit(&mut out);
    ArpPacket {
        operation: Operation::Request,
        sender_mac: mac_of(1),
        sender_ip: v4("10.0.1.10"),
        target_mac: MacAddr::default(),
        target_ip: v4("10.0.1.20"),
    }
    .emit(&mut out[L3..]);
    out
}

#[test]
fn fields_of_ethernet() {
    use DropReason::*;
    check(
        bob,
        &datagram(),
        as_is,
        &[
            (
                "destination: another station",
                0,
                &[2, 0, 0, 0, 0, 9],
                Err(OtherHost),
            ),
            ("destination: nobody", 0, &[0; 6], Err(OtherHost)),
            (
                "destination: a group, the packet for one",
                0,
                &[1, 0, 0x5e, 0, 0, 9],
                Err(NotForUs),
            ),
            (
                "source: a group",
                6,
                &[1, 0, 0x5e, 0, 0, 9],
                Err(LinkHeader),
            ),
            ("source: everybody", 6, &[0xff; 6], Err(LinkHeader)),
            (
                "type: a length of IEEE 802.3",
                12,
                &[0, 36],
                Err(UnknownEtherType),
            ),
            ("type: nobody's", 12, &[0xff, 0xff], Err(UnknownEtherType)),
            ("type: IPv6", 12, &[0x86, 0xdd], Err(IpTruncated)),
            ("type: ARP", 12, &[8, 6], Err(ArpMalformed)),
        ],
    );
}

#[test]
fn fields_of_arp() {
    use DropReason::*;
    let malformed = Err(ArpMalformed);
    check(
        bob,
        &question(),
        as_is,
        &[
            ("hardware: token ring", L3, &[0, 6], malformed),
            ("protocol: IPv6", L3 + 2, &[0x86, 0xdd], malformed),
            ("hardware length", L3 + 4, &[8], malformed),
            ("protocol length", L3 + 5, &[16], malformed),
            ("operation: none", L3 + 6, &[0, 0], malformed),
            ("operation: RARP", L3 + 6, &[0, 3], malformed),
            ("operation: nobody's", L3 + 6, &[0xff, 0xff], malformed),
            ("operation: a reply", L3 + 6, &[0, 2], Ok(())),
            ("sender: a group", L3 + 8, &[1, 0, 0x5e, 0, 0, 9], malformed),
            ("sender: everybody", L3 + 8, &[0xff; 6], malformed),
            ("sender: nobody, a probe", L3 + 14, &[0; 4], Ok(())),
            ("sender: this network", L3 + 14, &[0, 1, 2, 3], malformed),
            ("sender: loopback", L3 + 14, &[127, 0, 0, 1], malformed),
            ("sender: a group", L3 + 14, &[224, 0, 0, 1], malformed),
            ("sender: reserved", L3 + 14, &[240, 0, 0, 1], malformed),
            ("sender: everybody", L3 + 14, &[0xff; 4], malformed),
            (
                "sender: our address",
                L3 + 14,
                &[10, 0, 1, 20],
                Err(ArpConflict),
            ),
            ("target: anything", L3 + 18, &[0xff; 6], Ok(())),
            ("target: another host", L3 + 24, &[10, 0, 1, 99], Ok(())),
            ("target: loopback", L3 + 24, &[127, 0, 0, 1], malformed),
            ("target: a group", L3 + 24, &[224, 0, 0, 1], malformed),
            ("target: everybody", L3 + 24, &[0xff; 4], malformed),
        ],
    );
}

#[test]
fn fields_of_ipv4() {
    use DropReason::*;
    check(
        bob,
        &datagram(),
        mend_ip,
        &[
            ("version: 0", L3, &[0x05], Err(IpHeader)),
            ("version: 6", L3, &[0x65], Err(IpHeader)),
            ("header length: none", L3, &[0x40], Err(IpHeader)),
            ("header length: 16", L3, &[0x44], Err(IpHeader)),
            ("header length: 60 of 36", L3, &[0x4f], Err(IpTruncated)),
            ("type of service", L3 + 1, &[0xff], Ok(())),
            ("length: none", L3 + 2, &[0, 0], Err(IpHeader)),
            ("length: 19", L3 + 2, &[0, 19], Err(IpHeader)),
            ("length: no payload", L3 + 2, &[0, 20], Err(UdpHeader)),
            (
                "length: less than UDP says",
                L3 + 2,
                &[0, 35],
                Err(UdpHeader),
            ),
            ("length: one more", L3 + 2, &[0, 37], Err(IpTruncated)),
            ("length: 65,535", L3 + 2, &[0xff, 0xff], Err(IpTruncated)),
            ("identification", L3 + 4, &[0xff, 0xff], Ok(())),
            ("flags: reserved", L3 + 6, &[0x80, 0], Ok(())),
            ("flags: don't fragment", L3 + 6, &[0x40, 0], Ok(())),
            ("flags: more to come", L3 + 6, &[0x20, 0], Ok(())),
            (
                "offset: beyond 65,535",
                L3 + 6,
                &[0x1f, 0xff],
                Err(FragmentMalformed),
            ),
            (
                "offset: the same with more",
                L3 + 6,
                &[0x3f, 0xff],
                Err(FragmentMalformed),
            ),
            ("time to live: 0", L3 + 8, &[0], Ok(())),
            ("time to live: 1", L3 + 8, &[1], Ok(())),
            ("protocol: 0", L3 + 9, &[0], Err(UnknownProtocol)),
            ("protocol: 255", L3 + 9, &[255], Err(UnknownProtocol)),
            ("protocol: ICMPv6", L3 + 9, &[58], Err(UnknownProtocol)),
        ],
    );
    check(
        bob,
        &datagram(),
        as_is,
        &[
            ("checksum: none", L3 + 10, &[0, 0], Err(IpChecksum)),
            (
                "checksum: all ones",
                L3 + 10,
                &[0xff, 0xff],
                Err(IpChecksum),
            ),
        ],
    );
}

#[test]
fn addresses_of_ipv4() {
    use DropReason::*;
    let (src, dst) = (L3 + 12, L3 + 16);
    check(
        bob,
        &datagram(),
        mend_ip,
        &[
            (
                "source: this network",
                src,
                &[0, 1, 2, 3],
                Err(MartianSource),
            ),
            (
                "source: loopback",
                src,
                &[127, 255, 0, 1],
                Err(MartianSource),
            ),
            (
                "source: a group",
                src,
                &[239, 255, 255, 255],
                Err(MartianSource),
            ),
            ("source: reserved", src, &[240, 0, 0, 0], Err(MartianSource)),
            ("source: everybody", src, &[0xff; 4], Err(MartianSource)),
            (
                "source: everybody here",
                src,
                &[10, 0, 1, 255],
                Err(MartianSource),
            ),
            ("source: we", src, &[10, 0, 1, 20], Err(MartianSource)),
            ("destination: nobody", dst, &[0; 4], Err(MartianDestination)),
            (
                "destination: this network",
                dst,
                &[0, 1, 2, 3],
                Err(MartianDestination),
            ),
            (
                "destination: loopback",
                dst,
                &[127, 255, 0, 1],
                Err(MartianDestination),
            ),
            (
                "destination: reserved",
                dst,
                &[240, 0, 0, 0],
                Err(MartianDestination),
            ),
            (
                "destination: nearly everybody",
                dst,
                &[255, 255, 255, 254],
                Err(MartianDestination),
            ),
            (
                "destination: another host",
                dst,
                &[10, 0, 1, 99],
                Err(NotForUs),
            ),
        ],
    );
}

#[test]
fn fields_of_udp() {
    use DropReason::*;
    check(
        bob,
        &datagram(),
        as_is,
        &[
            ("source port: none", L4, &[0, 0], Ok(())),
            ("destination port: none", L4 + 2, &[0, 0], Err(UdpNoSocket)),
            (
                "destination port: nobody's",
                L4 + 2,
                &[0xff, 0xff],
                Err(UdpNoSocket),
            ),
            ("length: none", L4 + 4, &[0, 0], Err(UdpHeader)),
            ("length: 7", L4 + 4, &[0, 7], Err(UdpHeader)),
            ("length: no data", L4 + 4, &[0, 8], Ok(())),
            ("length: one more", L4 + 4, &[0, 17], Err(UdpHeader)),
            ("length: 65,535", L4 + 4, &[0xff, 0xff], Err(UdpHeader)),
            ("checksum", L4 + 6, &[0xff, 0xff], Err(UdpChecksum)),
        ],
    );
}

#[test]
fn fields_of_tcp() {
    use DropReason::*;
    let flags = |field, flags: &'static [u8], expected| (field, L4 + 13, flags, expected);
    check(
        bob,
        &syn(),
        mend_tcp,
        &[
            ("destination port: none", L4 + 2, &[0, 0], Err(TcpNoSocket)),
            (
                "destination port: nobody's",
                L4 + 2,
                &[0xff, 0xff],
                Err(TcpNoSocket),
            ),
            ("sequence number", L4 + 4, &[0xff; 4], Ok(())),
            ("acknowledgment without ACK", L4 + 8, &[0xff; 4], Ok(())),
            ("data offset: none", L4 + 12, &[0x00], Err(TcpHeader)),
            ("data offset: 16", L4 + 12, &[0x40], Err(TcpHeader)),
            ("data offset: 60 of 28", L4 + 12, &[0xf0], Err(TcpHeader)),
            ("reserved bits", L4 + 12, &[0x7e], Ok(())),
            flags("flags: none", &[0], Err(TcpNoAck)),
            flags("flags: FIN", &[0x01], Err(TcpNoAck)),
            flags("flags: FIN, PSH, URG", &[0x29], Err(TcpNoAck)),
            flags("flags: RST", &[0x04], Err(TcpNoSocket)),
            flags("flags: SYN, RST", &[0x06], Err(TcpNoSocket)),
            flags("flags: ACK", &[0x10], Err(TcpNoSocket)),
            flags("flags: SYN, ACK", &[0x12], Err(TcpNoSocket)),
            flags("flags: all", &[0xff], Err(TcpNoSocket)),
            ("window: none", L4 + 14, &[0, 0], Ok(())),
            ("urgent pointer without URG", L4 + 18, &[0xff, 0xff], Ok(())),
            // RFC 9293 3.1: what is wrong behind here is an option that is not there.
            ("option: without length", L4 + 20, &[2, 0], Ok(())),
            ("option: of length 1", L4 + 20, &[2, 1], Ok(())),
            ("option: beyond the header", L4 + 20, &[2, 40], Ok(())),
            ("option: a segment size of 0", L4 + 22, &[0, 0], Ok(())),
            ("option: a shift of 255", L4 + 26, &[255], Ok(())),
        ],
    );
    check(
        bob,
        &syn(),
        as_is,
        &[
            ("checksum: none", L4 + 16, &[0, 0], Err(TcpChecksum)),
            (
                "source port: the checksum tells",
                L4,
                &[0, 1],
                Err(TcpChecksum),
            ),
        ],
    );
}

#[test]
fn fields_of_icmp() {
    use DropReason::*;
    let echo = packet_of(protocol::ICMP, &echo_request(8));
    check(
        bob,
        &echo,
        mend_icmp,
        &[
            ("code", L4 + 1, &[0xff], Err(IcmpIgnored)),
            ("identifier", L4 + 4, &[0xff, 0xff], Ok(())),
            ("sequence number", L4 + 6, &[0xff, 0xff], Ok(())),
        ],
    );
    check(
        bob,
        &echo,
        as_is,
        &[("checksum: none", L4 + 2, &[0, 0], Err(IcmpChecksum))],
    );
    for kind in 0..=255 {
        let expected = match kind {
            0 => Err(EchoNoSocket),
            8 => Ok(()),
            // A quote of what we never sent.
            3 | 4 | 11 | 12 => Err(IcmpMalformed),
            5 => Err(RedirectRefused),
            _ => Err(IcmpIgnored),
        };
        check(bob, &echo, mend_icmp, &[("type", L4, &[kind], expected)]);
    }
}

/// An error about a datagram from one of these addresses.
fn about(kind: u8, code: u8, src: [u8; 4], protocol: u8) -> Vec<u8> {
    let mut message = std::vec![kind, code, 0, 0, 0, 0, 0, 0];
    let mut sent = std::vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, protocol, 0, 0];
    sent.extend(src);
    sent.extend([10, 0, 1, 10, 0, 9, 0, 5, 0, 8, 0, 0]);
    message.extend(sent);
    let mut frame = packet_of(protocol::ICMP, &message);
    mend_icmp(&mut frame);
    frame
}

#[test]
fn what_icmp_errors_quote() {
    use DropReason::*;
    let ours = [10, 0, 1, 20];
    let (udp, unreachable) = (protocol::UDP, (3, 3));
    // Type and code, who sent what is quoted, of what protocol; what becomes of it.
    let rows = [
        ("about our own", unreachable, ours, udp, Ok(())),
        (
            "about another's",
            unreachable,
            [10, 0, 1, 99],
            udp,
            Err(IcmpIgnored),
        ),
        (
            "about a group's",
            unreachable,
            [224, 0, 0, 1],
            udp,
            Err(IcmpIgnored),
        ),
        (
            "a code that nobody knows",
            (3, 99),
            ours,
            udp,
            Err(IcmpIgnored),
        ),
        ("source quench", (4, 0), ours, udp, Err(IcmpIgnored)),
        ("a redirect", (5, 1), ours, udp, Err(RedirectRefused)),
        (
            "time exceeded for another reason",
            (11, 9),
            ours,
            udp,
            Err(IcmpIgnored),
        ),
    ];
    for (what, (kind, code), src, protocol, expected) in rows {
        let mut bob = bob();
        let verdict = bob.receive_bytes(ETH0, about(kind, code, src, protocol));
        assert_eq!(verdict, expected, "{what}");
    }
    // The quote itself: each cut, and each of its fields that says how long it is.
    let whole = about(3, 3, ours, udp);
    for len in 8..36 {
        let mut bob = bob();
        let message = &whole[L4..L4 + len];
        let mut frame = packet_of(protocol::ICMP, message);
        mend_icmp(&mut frame);
        let verdict = bob.receive_bytes(ETH0, frame);
        assert_eq!(verdict, Err(IcmpMalformed), "{len} bytes");
    }
    for first in [0x00, 0x44, 0x4f, 0x65] {
        let mut bob = bob();
        let mut frame = whole.clone();
        frame[L4 + 8] = first;
        mend_icmp(&mut frame);
        let verdict = bob.receive_bytes(ETH0, frame);
        assert_eq!(verdict, Err(IcmpMalformed), "{first:x}");
    }
}

/// A fragment of datagram `id` for port 9.
fn piece(offset: u16, more: bool, id: u16, data: &[u8]) -> Vec<u8> {
    let mut header = header("10.0.1.10", "10.0.1.20", protocol::UDP, data.len());
    header.id = id;
    header.fragment_offset = offset;
    header.more_fragments = more;
    frame_to(mac_of(2), &header, data)
}

#[test]
fn fragments_that_cannot_be() {
    use DropReason::*;
    let rows = [
        ("the first", piece(0, true, 7, &[1; 16]), Ok(())),
        (
            "it again",
            piece(0, true, 7, &[1; 16]),
            Err(FragmentDuplicate),
        ),
        (
            "one over it",
            piece(8, true, 7, &[2; 16]),
            Err(FragmentOverlap),
        ),
        (
            "the end of what is condemned",
            piece(16, false, 7, &[3; 8]),
            Err(FragmentOverlap),
        ),
        ("the first of another", piece(0, true, 8, &[1; 16]), Ok(())),
        (
            "9 bytes and more to come",
            piece(16, true, 9, &[0; 9]),
            Err(FragmentMalformed),
        ),
        (
            "without data",
            piece(8, true, 10, &[]),
            Err(FragmentMalformed),
        ),
        ("an end", piece(64, false, 11, &[0; 8]), Ok(())),
        (
            "another end of it",
            piece(128, false, 11, &[0; 8]),
            Err(FragmentOverlap),
        ),
    ];
    let mut bob = bob();
    for (what, frame, expected) in rows {
        assert_eq!(bob.receive_bytes(ETH0, frame), expected, "{what}");
    }
}
