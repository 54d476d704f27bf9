//! What is refused of IPv6, and the reason that is counted for it.
use std::vec::Vec;

use heptad_wire::icmpv6::Icmpv6;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::{self, FragmentHeader, Ipv6Header, next_header};
use heptad_wire::ndp::{Ndp, Options, PrefixInfo, RouterAdvert};
use heptad_wire::{EtherType, EthernetHeader, MacAddr, checksum};

use super::hosts::*;
use crate::{Caps, DropReason, Medium, PortConfig, PortId};
use core::net::{IpAddr, Ipv6Addr};

const ALICE: &str = "fd00:1::10";
const BOB: &str = "fd00:1::20";

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}
fn host(forwarding: bool) -> Host {
    let mut bob = Host::new(2, forwarding).with_port(2, BOB, 64, 1500);
    if forwarding {
        let port = bob.stack.add_port(PortConfig {
            name: "eth1".into(),
            medium: Medium::Ethernet(mac_of(3)),
            mtu: 1280,
            caps: Caps::FRAMES,
            queue_limit: 1000,
        });
        bob.stack.add_address(port, ip("fd00:2::1"), 64).unwrap();
    }
    // Nobody else has its addresses.
    bob.advance(crate::Instant::ZERO);
    bob.advance(crate::Instant::ZERO + crate::time::Duration::from_secs(2));
    for port in [ETH0, PortId(2)] {
        bob.drain(port);
    }
    bob
}

/// A packet on the cable: fixed header, then these bytes.
struct Packet {
    header: Ipv6Header,
    mac: MacAddr,
    rest: Vec<u8>,
}
fn packet(next: u8, rest: &[u8]) -> Packet {
    Packet {
        header: Ipv6Header {
            traffic_class: 0,
            flow_label: 0,
            payload_len: rest.len() as u16,
            next_header: next,
            hop_limit: 64,
            src: v6(ALICE),
            dst: v6(BOB),
        },
        mac: mac_of(2),
        rest: rest.to_vec(),
    }
}
impl Packet {
    fn from(mut self, src: &str) -> Self {
        self.header.src = v6(src);
        self
    }
    fn to(mut self, dst: &str) -> Self {
        self.header.dst = v6(dst);
        if self.header.dst.is_multicast() {
            let [.., a, b, c, d] = self.header.dst.octets();
            self.mac = MacAddr([0x33, 0x33, a, b, c, d]);
        }
        self
    }
    fn limit(mut self, hop_limit: u8) -> Self {
        self.header.hop_limit = hop_limit;
        self
    }
    fn len(mut self, payload_len: u16) -> Self {
        self.header.payload_len = payload_len;
        self
    }
    fn frame(self) -> Vec<u8> {
        let mut out = std::vec![0; 54];
        EthernetHeader {
            dst: self.mac,
            src: mac_of(9),
            ethertype: EtherType::IPV6,
        }
        .emit(&mut out);
        self.header.emit(&mut out[14..]);
        out.extend(self.rest);
        out
    }
}
/// A UDP datagram to port 9, where nobody is.
fn udp() -> Vec<u8> {
    let mut bytes = std::vec![0, 5, 0, 9, 0, 8, 0, 0];
    let (src, dst) = (IpAddr::V6(v6(ALICE)), IpAddr::V6(v6(BOB)));
    let pseudo = checksum::pseudo_header(src, dst, protocol::UDP, 8);
    checksum::fill(&mut bytes, 6, pseudo);
    bytes
}
/// An ICMPv6 message between two addresses, its checksum right.
fn icmp(mut bytes: Vec<u8>, src: &str, dst: &str) -> Packet {
    let (from, to) = (IpAddr::V6(v6(src)), IpAddr::V6(v6(dst)));
    let pseudo = checksum::pseudo_header(from, to, next_header::ICMPV6, bytes.len() as u32);
    checksum::fill(&mut bytes, 2, pseudo);
    packet(next_header::ICMPV6, &bytes)
        .from(src)
        .to(dst)
        .limit(255)
}
fn fragment(offset: u16, more: bool, id: u32, data: &[u8]) -> Packet {
    let mut rest = std::vec![0; ipv6::FRAGMENT_LEN];
    let header = FragmentHeader {
        next_header: protocol::UDP,
        offset,
        more,
        id,
    };
    header.emit(&mut rest);
    rest.extend(data);
    packet(next_header::FRAGMENT, &rest)
}

/// Each row: what it is, the packet, the reason, and the type and code of the error that its sender hears.
type Row<'a> = (&'a str, Packet, DropReason, Option<(u8, u8)>);

/// Each packet has its reason, counted once, and its answer.
fn check(forwarding: bool, table: Vec<Row<'_>>) {
    for (what, packet, reason, answer) in table {
        let mut bob = host(forwarding);
        // Who asks is known, so that an answer leaves at once.
        let hello = icmp(std::vec![128, 0, 0, 0, 0, 1, 0, 1], ALICE, BOB);
        assert_eq!(bob.receive_bytes(ETH0, hello.frame()), Ok(()));
        let before = bob.drops();
        let src = std::format!("{}", packet.header.src);
        let verdict = bob.receive_bytes(ETH0, packet.frame());
        assert_eq!(verdict, Err(reason), "{what}");
        assert_eq!(before, [], "{what}");
        assert_eq!(bob.drops(), [(reason, 1)], "{what}");
        let sent = [
            crate::Counter::Icmp6OutDestUnreachs,
            crate::Counter::Icmp6OutPktTooBigs,
            crate::Counter::Icmp6OutTimeExcds,
            crate::Counter::Icmp6OutParmProblems,
        ];
        let kinds: Vec<u8> = (1..)
            .zip(sent)
            .filter(|(_, c)| bob.get(*c) > 0)
            .map(|(k, _)| k)
            .collect();
        let expected: Vec<u8> = answer.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, expected, "{what}");
        if let Some((kind, code)) = answer {
            assert_eq!(waiting_error(&mut bob, &src), Some((kind, code)), "{what}");
        }
    }
}
/// The type and code of the error that waits for a neighbour: it is sent once the neighbour said where it is.
fn waiting_error(bob: &mut Host, asker: &str) -> Option<(u8, u8)> {
    bob.drain(ETH0);
    let target = v6(asker);
    let advert = Ndp::NeighbourAdvert {
        target,
        router: false,
        solicited: true,
        overrides: true,
        options: Options {
            target: Some(mac_of(9)),
            ..Options::default()
        },
    };
    let _ = bob.receive_bytes(ETH0, icmp(advert.to_bytes(), asker, BOB).frame());
    let frames = bob.drain(ETH0);
    frames.iter().find_map(|frame| {
        let mut bytes = Vec::new();
        frame.write_to(&mut bytes);
        let message = Icmpv6::parse(bytes.get(54..)?).ok()?;
        message.is_error().then_some(message.kind())
    })
}

#[test]
fn headers_and_addresses_out_of_range_have_their_reasons() {
    use DropReason::*;
    let plain = || packet(protocol::UDP, &udp());
    check(
        false,
        std::vec![
            ("a byte missing", plain().len(9), IpTruncated, None),
            ("nobody listens", plain(), UdpNoSocket, Some((1, 4))),
            (
                "protocol 200",
                packet(200, &[0; 8]),
                UnknownProtocol,
                Some((4, 1))
            ),
            ("from a group", plain().from("ff02::5"), MartianSource, None),
            ("from ::1", plain().from("::1"), MartianSource, None),
            ("from us", plain().from(BOB), MartianSource, None),
            (
                "a question from us",
                icmp(solicit(BOB, Some(mac_of(66))), BOB, "ff02::1:ff00:20"),
                MartianSource,
                None
            ),
            (
                "one who says with our address that it has our address",
                icmp(unsolicited(BOB), BOB, "ff02::1"),
                NdpDuplicateAddress,
                None
            ),
            ("from nobody", plain().from("::"), MartianSource, None),
            (
                "from a mapped address",
                plain().from("::ffff:10.0.0.1"),
                MartianSource,
                None
            ),
            (
                "from a zone",
                plain().from("fe80:1::1"),
                MartianSource,
                None
            ),
            ("to nobody", plain().to("::"), MartianDestination, None),
            ("to ::1", plain().to("::1"), MartianDestination, None),
            (
                "to a mapped address",
                plain().to("::ffff:10.0.0.1"),
                MartianDestination,
                None
            ),
            (
                "to an interface-local group",
                plain().to("ff01::1"),
                MartianDestination,
                None
            ),
            (
                "to a group of scope 0",
                plain().to("ff00::1"),
                MartianDestination,
                None
            ),
            ("to another host", plain().to("fd00:1::99"), NotForUs, None),
            (
                "to a group of others",
                plain().to("ff02::1:ff00:99"),
                NotOurGroup,
                None
            ),
        ],
    );
}

/// An extension header of 8 bytes with these options, and what follows.
fn one(next: u8, options: [u8; 6], rest: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![next, 0];
    bytes.extend(options);
    bytes.extend(rest);
    bytes
}

#[test]
fn chains_of_extension_headers_have_limits() {
    use DropReason::*;
    let (hop, dest) = (next_header::HOP_BY_HOP, next_header::DESTINATION);
    let pad = [1, 4, 0, 0, 0, 0];
    let chain = |count: usize| {
        let mut bytes = udp();
        for index in 0..count {
            let next = if index == 0 { protocol::UDP } else { dest };
            bytes = one(next, pad, &bytes);
        }
        packet(dest, &bytes)
    };
    let long = |len: u8| {
        let mut bytes = std::vec![protocol::UDP, len];
        bytes.resize(8 + 8 * usize::from(len), 0);
        bytes.extend(udp());
        packet(dest, &bytes)
    };
    let udp = udp();
    check(
        false,
        std::vec![
            ("eight headers", chain(8), UdpNoSocket, Some((1, 4))),
            ("nine headers", chain(9), ExtensionHeaders, None),
            ("a header of 128 bytes", long(15), UdpNoSocket, Some((1, 4))),
            ("a header of 136 bytes", long(16), ExtensionHeaders, None),
            ("a header of 2048 bytes", long(255), ExtensionHeaders, None),
            (
                "a header that is not there",
                packet(dest, &[17, 3, 0, 0]),
                IpTruncated,
                None
            ),
            ("half a header", packet(dest, &[17]), IpTruncated, None),
            (
                "hop-by-hop options behind others",
                packet(dest, &one(hop, pad, &one(17, pad, &udp))),
                IpHeader,
                Some((4, 1)),
            ),
        ],
    );
}

#[test]
fn options_and_routing_headers_do_what_their_bits_say() {
    use DropReason::*;
    let (hop, dest, route, frag) = (
        next_header::HOP_BY_HOP,
        next_header::DESTINATION,
        next_header::ROUTING,
        next_header::FRAGMENT,
    );
    let udp = udp();
    check(
        false,
        std::vec![
            (
                "an unknown option that is skipped",
                packet(hop, &one(17, [0x1e, 4, 0, 0, 0, 0], &udp)),
                UdpNoSocket,
                Some((1, 4)),
            ),
            (
                "an unknown option that discards",
                packet(hop, &one(17, [0x5e, 4, 0, 0, 0, 0], &udp)),
                IpOption,
                None,
            ),
            (
                "an unknown option that reports",
                packet(dest, &one(17, [0x9e, 4, 0, 0, 0, 0], &udp)),
                IpOption,
                Some((4, 2)),
            ),
            (
                "one that reports, to a group",
                packet(dest, &one(17, [0x9e, 4, 0, 0, 0, 0], &udp)).to("ff02::1"),
                IpOption,
                Some((4, 2)),
            ),
            (
                "one that reports but not to a group",
                packet(dest, &one(17, [0xde, 4, 0, 0, 0, 0], &udp)).to("ff02::1"),
                IpOption,
                None,
            ),
            (
                "an option that leaves the header",
                packet(dest, &one(17, [0x1e, 9, 0, 0, 0, 0], &udp)),
                IpHeader,
                None,
            ),
            (
                "a source route",
                packet(route, &one(17, [0, 1, 0, 0, 0, 0], &udp)),
                IpOption,
                Some((4, 0)),
            ),
            (
                "a source route that is over",
                packet(route, &one(17, [0, 0, 0, 0, 0, 0], &udp)),
                UdpNoSocket,
                Some((1, 4)),
            ),
            (
                "a fragment of a fragment",
                packet(frag, &one(frag, [0; 6], &one(17, [0; 6], &udp))),
                FragmentMalformed,
                None,
            ),
            (
                "a whole datagram with a fragment header",
                packet(frag, &one(17, [0; 6], &udp)),
                UdpNoSocket,
                Some((1, 4)),
            ),
        ],
    );
}

#[test]
fn fragments_that_cannot_be_have_their_reasons() {
    use DropReason::*;
    check(
        false,
        std::vec![
            (
                "9 bytes and more to come",
                fragment(0, true, 1, &[0; 9]),
                FragmentMalformed,
                Some((4, 0))
            ),
            (
                "beyond 65,535",
                fragment(65_528, false, 1, &[0; 16]),
                FragmentMalformed,
                Some((4, 0)),
            ),
            (
                "without data",
                fragment(8, false, 1, &[]),
                FragmentMalformed,
                None
            ),
        ],
    );
    let mut bob = host(false);
    let rows = [
        (fragment(0, true, 7, &[1; 16]), Ok(())),
        (fragment(0, true, 7, &[1; 16]), Err(FragmentDuplicate)),
        (fragment(8, true, 7, &[2; 16]), Err(FragmentOverlap)),
        // The whole datagram is condemned (RFC 5722), also what comes later.
        (fragment(16, false, 7, &[3; 8]), Err(FragmentOverlap)),
        (fragment(0, true, 7, &[1; 16]), Err(FragmentOverlap)),
        // Another one is not.
        (fragment(0, true, 8, &[1; 16]), Ok(())),
    ];
    for (index, (packet, expected)) in rows.into_iter().enumerate() {
        let verdict = bob.receive_bytes(ETH0, packet.frame());
        assert_eq!(verdict, expected, "row {index}");
    }
}

#[test]
fn a_flood_of_fragments_is_bounded_and_forgotten() {
    let mut bob = host(false);
    for id in 0..20_000 {
        let src = std::format!("fd00:1::{:x}:{:x}", 1 + id / 50, id % 50);
        let piece = fragment(0, true, id, &[0; 1024]).from(&src);
        let _ = bob.receive_bytes(ETH0, piece.frame());
    }
    let full = bob
        .drops()
        .iter()
        .find(|(r, _)| *r == DropReason::ReassemblyFull)
        .map(|(_, n)| *n);
    assert!(full.is_some_and(|n| n > 10_000), "{full:?}");
    bob.advance(bob.now + crate::time::Duration::from_secs(61));
    let all: u64 = bob.drops().iter().map(|(_, n)| n).sum();
    assert_eq!(all, 20_000, "each has its reason: {:?}", bob.drops());
}

fn advert(lifetime: u16) -> Vec<u8> {
    let message = Ndp::RouterAdvert {
        router: RouterAdvert {
            lifetime,
            ..RouterAdvert::default()
        },
        options: Options {
            source: Some(mac_of(66)),
            prefixes: std::vec![PrefixInfo {
                len: 64,
                on_link: true,
                autonomous: true,
                valid: 3600,
                preferred: 3600,
                prefix: v6("2001:db8:bad::"),
            }],
            ..Options::default()
        },
    };
    message.to_bytes()
}
fn neighbour_advert(target: &str) -> Vec<u8> {
    let message = Ndp::NeighbourAdvert {
        target: v6(target),
        router: false,
        solicited: true,
        overrides: true,
        options: Options {
            target: Some(mac_of(66)),
            ..Options::default()
        },
    };
    message.to_bytes()
}
/// What a host says to all that ask whether somebody has its address.
fn unsolicited(target: &str) -> Vec<u8> {
    let mut bytes = neighbour_advert(target);
    bytes[4] &= !0x40;
    bytes
}
fn solicit(target: &str, source: Option<MacAddr>) -> Vec<u8> {
    let message = Ndp::NeighbourSolicit {
        target: v6(target),
        options: Options {
            source,
            ..Options::default()
        },
    };
    message.to_bytes()
}

#[test]
fn spoofed_discovery_has_its_reasons() {
    use DropReason::*;
    let mallory = "fe80::66";
    let redirect = Ndp::Redirect {
        target: v6(mallory),
        destination: v6("2001:db8::1"),
        options: Options::default(),
    };
    check(
        false,
        std::vec![
            (
                "an advertisement nobody asked for",
                icmp(advert(1800), mallory, "ff02::1"),
                RouterAdvertRefused,
                None
            ),
            (
                "the same from beyond the link",
                icmp(advert(1800), mallory, "ff02::1").limit(64),
                NdpHopLimit,
                None
            ),
            (
                "the same from a global address",
                icmp(advert(1800), ALICE, "ff02::1"),
                NdpMalformed,
                None
            ),
            (
                "a redirect",
                icmp(redirect.to_bytes(), mallory, BOB),
                RedirectRefused,
                None
            ),
            (
                "a question from beyond the link",
                icmp(solicit(BOB, None), ALICE, BOB).limit(254),
                NdpHopLimit,
                None
            ),
        ],
    );
}

#[test]
fn malformed_discovery_has_its_reasons() {
    use DropReason::*;
    let zero_option = || {
        let mut bytes = solicit(BOB, None);
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    };
    let mut flipped = icmp(solicit(BOB, None), ALICE, BOB);
    flipped.rest[2] ^= 1;
    let mut code = solicit(BOB, None);
    code[1] = 1;
    check(
        false,
        std::vec![
            ("with a code", icmp(code, ALICE, BOB), NdpMalformed, None),
            (
                "with an option of length zero",
                icmp(zero_option(), ALICE, BOB),
                NdpMalformed,
                None
            ),
            (
                "for a group",
                icmp(solicit("ff02::1", None), ALICE, BOB),
                NdpMalformed,
                None
            ),
            (
                "for another's address",
                icmp(solicit("fd00:1::99", None), ALICE, BOB),
                NotForUs,
                None
            ),
            (
                "from nobody to us",
                icmp(solicit(BOB, None), "::", "ff02::1"),
                NdpMalformed,
                None
            ),
            (
                "from nobody who says where",
                icmp(solicit(BOB, Some(mac_of(66))), "::", "ff02::1:ff00:20"),
                NdpMalformed,
                None
            ),
            (
                "who says it has our address",
                icmp(neighbour_advert(BOB), ALICE, BOB),
                NdpDuplicateAddress,
                None
            ),
            (
                "a solicited answer to all",
                icmp(neighbour_advert(ALICE), ALICE, "ff02::1"),
                NdpMalformed,
                None
            ),
            (
                "an answer of 23 bytes",
                icmp(neighbour_advert(ALICE)[..23].to_vec(), ALICE, BOB),
                NdpMalformed,
                None
            ),
            ("a flipped bit", flipped, IcmpChecksum, None),
            (
                "half a message",
                icmp(std::vec![135, 0, 0, 0], ALICE, BOB),
                IcmpMalformed,
                None
            ),
            (
                "an unknown type",
                icmp(std::vec![200, 0, 0, 0, 0, 0, 0, 0], ALICE, BOB),
                IcmpIgnored,
                None
            ),
        ],
    );
}

#[test]
fn an_answer_nobody_waits_for_teaches_nothing() {
    let mut bob = host(false);
    let answer = icmp(neighbour_advert("fd00:1::77"), ALICE, BOB);
    assert_eq!(bob.receive_bytes(ETH0, answer.frame()), Ok(()));
    assert_eq!(bob.stack.neighbours(), []);
}

#[test]
fn a_flood_of_questions_fills_the_neighbour_table_to_its_bound() {
    let mut bob = host(false);
    for number in 0..10_000u32 {
        let src = std::format!("fd00:1::1:{:x}:{:x}", number >> 8, number & 0xff);
        let question = icmp(solicit(BOB, Some(mac_of(66))), &src, "ff02::1:ff00:20");
        let _ = bob.receive_bytes(ETH0, question.frame());
        bob.drain(ETH0);
    }
    let known = bob.stack.neighbours().len();
    assert!(known <= 1024, "{known}");
}

#[test]
fn a_router_says_why_it_does_not_forward() {
    use DropReason::*;
    let plain = || packet(protocol::UDP, &udp());
    let far = "fd00:2::99";
    check(
        true,
        std::vec![
            ("no route", plain().to("2001:db8::1"), NoRoute, Some((1, 0))),
            (
                "the last hop",
                plain().to(far).limit(1),
                TtlExceeded,
                Some((3, 0))
            ),
            (
                "no hop at all",
                plain().to(far).limit(0),
                TtlExceeded,
                Some((3, 0))
            ),
            (
                "longer than the next cable takes",
                packet(protocol::UDP, &[0; 1300]).to(far),
                FragmentationNeeded,
                Some((2, 0)),
            ),
            (
                "to somebody else's link",
                plain().to("fe80::99"),
                NotForUs,
                None
            ),
            (
                "from a link",
                plain().from("fe80::10").to(far),
                NotForUs,
                Some((1, 2))
            ),
            (
                "an option for every hop that reports",
                packet(next_header::HOP_BY_HOP, &[17, 0, 0x9e, 4, 0, 0, 0, 0]).to(far),
                IpOption,
                Some((4, 2)),
            ),
            (
                "options for every hop that are too long",
                packet(next_header::HOP_BY_HOP, &[17, 31, 0, 0, 0, 0, 0, 0]).to(far),
                ExtensionHeaders,
                None,
            ),
        ],
    );
}
