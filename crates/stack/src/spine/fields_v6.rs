//! Each field of the headers of IPv6 and of what stands on it out of range, one at a time.
use core::net::Ipv6Addr;
use std::vec::Vec;

use heptad_wire::checksum;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;
use heptad_wire::ndp::{Ndp, Options, PrefixInfo, RouterAdvert};

use super::fields::{Field, L3, as_is, check, serve};
use super::hosts::*;
use crate::stack::Advertising;
use crate::{DropReason, Instant};

const L4: usize = L3 + 40;
const ALICE: &str = "fe80::10";
const BOB: &str = "fd00:1::20";

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}
/// bob, whose address is surely his, with servers; he takes addresses from routers.
fn bob() -> Host {
    let mut bob = Host::new(2, false).with_port(2, BOB, 64, 1500);
    bob.stack.autoconfigure(ETH0, false).unwrap();
    serve(&mut bob, "::");
    for second in 0..3 {
        bob.advance(Instant::from_nanos(second * 1_000_000_000));
        bob.drain(ETH0);
    }
    bob
}
/// The same as a router.
fn router() -> Host {
    let mut router = Host::new(2, true).with_port(2, BOB, 64, 1500);
    let advertising = Advertising::default();
    router.stack.advertise(ETH0, advertising).unwrap();
    for second in 0..3 {
        router.advance(Instant::from_nanos(second * 1_000_000_000));
        router.drain(ETH0);
    }
    router
}
/// The checksum of what stands on IPv6: ICMPv6, UDP or TCP.
fn mend(frame: &mut [u8]) {
    let at = match frame[L3 + 6] {
        next_header::ICMPV6 => L4 + 2,
        protocol::UDP => L4 + 6,
        _ => return,
    };
    let address = |at: usize| Ipv6Addr::from(*frame[at..].first_chunk::<16>().unwrap());
    let (src, dst) = (address(L3 + 8), address(L3 + 24));
    let len = (frame.len() - L4) as u32;
    let pseudo = checksum::pseudo_header(src.into(), dst.into(), frame[L3 + 6], len);
    frame[at..at + 2].fill(0);
    let sum = !checksum::add(pseudo, checksum::sum(&frame[L4..]));
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
fn packet_of(next: u8, hop_limit: u8, (src, dst): (&str, &str), payload: &[u8]) -> Vec<u8> {
    let dst = v6(dst);
    let mac = match dst.is_multicast() {
        true => crate::l2_link::ethernet::multicast_mac(dst.into()),
        false => mac_of(2),
    };
    let mut frame = Vec::from(mac.0);
    frame.extend(mac_of(9).0);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, hop_limit]);
    frame.extend(v6(src).octets());
    frame.extend(dst.octets());
    frame.extend(payload);
    mend(&mut frame);
    frame
}
fn datagram() -> Vec<u8> {
    let mut bytes = std::vec![0, 5, 0, 9, 0, 16, 0, 0];
    bytes.extend(pattern(8));
    packet_of(protocol::UDP, 64, (ALICE, BOB), &bytes)
}
/// A message of neighbour discovery from a neighbour.
fn message(message: &Ndp, dst: &str) -> Vec<u8> {
    packet_of(next_header::ICMPV6, 255, (ALICE, dst), &message.to_bytes())
}
fn says(source: bool) -> Options {
    let mac = Some(mac_of(9));
    Options {
        source: mac.filter(|_| source),
        target: mac.filter(|_| !source),
        ..Options::default()
    }
}

#[test]
fn fields_of_ipv6() {
    use DropReason::*;
    check(
        bob,
        &datagram(),
        as_is,
        &[
            ("version: 4", L3, &[0x40], Err(IpHeader)),
            ("version: 15", L3, &[0xf0], Err(IpHeader)),
            (
                "traffic class and flow label",
                L3,
                &[0x6f, 0xff, 0xff, 0xff],
                Ok(()),
            ),
            ("payload length: none", L3 + 4, &[0, 0], Err(UdpHeader)),
            (
                "payload length: less than UDP says",
                L3 + 4,
                &[0, 15],
                Err(UdpHeader),
            ),
            (
                "payload length: one more",
                L3 + 4,
                &[0, 17],
                Err(IpTruncated),
            ),
            (
                "payload length: 65,535",
                L3 + 4,
                &[0xff, 0xff],
                Err(IpTruncated),
            ),
            ("next header: nothing", L3 + 6, &[59], Ok(())),
            (
                "next header: ICMP of IPv4",
                L3 + 6,
                &[1],
                Err(UnknownProtocol),
            ),
            ("next header: IPv4", L3 + 6, &[4], Err(UnknownProtocol)),
            (
                "next header: nobody's",
                L3 + 6,
                &[255],
                Err(UnknownProtocol),
            ),
            ("hop limit: 0", L3 + 7, &[0], Ok(())),
        ],
    );
}
#[test]
fn fields_of_udp_over_ipv6() {
    use DropReason::*;
    check(
        bob,
        &datagram(),
        mend,
        &[
            ("source port: none", L4, &[0, 0], Ok(())),
            ("destination port: none", L4 + 2, &[0, 0], Err(UdpNoSocket)),
            ("length: 7", L4 + 4, &[0, 7], Err(UdpHeader)),
            ("length: one more", L4 + 4, &[0, 17], Err(UdpHeader)),
        ],
    );
    check(
        bob,
        &datagram(),
        as_is,
        &[
            // RFC 8200 8.1: it is not optional here.
            ("checksum: none", L4 + 6, &[0, 0], Err(UdpChecksum)),
            ("checksum", L4 + 6, &[0x12, 0x34], Err(UdpChecksum)),
        ],
    );
}

#[test]
fn types_of_icmpv6() {
    use DropReason::*;
    let mut echo = std::vec![128, 0, 0, 0, 0, 7, 0, 1];
    echo.extend(pattern(8));
    let echo = packet_of(next_header::ICMPV6, 255, (ALICE, BOB), &echo);
    check(
        bob,
        &echo,
        as_is,
        &[("checksum: none", L4 + 2, &[0, 0], Err(IcmpChecksum))],
    );
    check(
        bob,
        &echo,
        mend,
        &[("code", L4 + 1, &[0xff], Err(IcmpIgnored))],
    );
    for kind in (0..=127).chain(200..=255) {
        let expected = match kind {
            // RFC 4443 2.1: errors, known or not; and this is no quote.
            0..=127 => Err(IcmpMalformed),
            _ => Err(IcmpIgnored),
        };
        check(bob, &echo, mend, &[("type", L4, &[kind], expected)]);
    }
    let short = |kind, expected| {
        check(bob, &echo, mend, &[("type", L4, &[kind], Err(expected))]);
    };
    short(129, EchoNoSocket);
    // Messages of neighbour discovery that are 8 bytes of an echo request's data and no more.
    for kind in 135..=137 {
        short(kind, NdpMalformed);
    }
}

#[test]
fn fields_of_neighbour_solicitations() {
    use DropReason::*;
    let solicit = Ndp::NeighbourSolicit {
        target: v6(BOB),
        options: says(true),
    };
    let target = L4 + 8;
    let option = L4 + 24;
    let malformed = Err(NdpMalformed);
    let rows: &[Field<'_>] = &[
        ("hop limit", L3 + 7, &[254], Err(NdpHopLimit)),
        ("code", L4 + 1, &[1], malformed),
        ("reserved", L4 + 4, &[0xff; 4], Ok(())),
        ("target: a group", target, &[0xff], malformed),
        ("target: another host", target + 15, &[0x99], Err(NotForUs)),
        ("option: nobody's", option, &[200], Ok(())),
        ("option: without length", option + 1, &[0], malformed),
        ("option: beyond the message", option + 1, &[2], malformed),
        ("option: the address of a group", option + 2, &[1], Ok(())),
    ];
    check(bob, &message(&solicit, BOB), mend, rows);
    check(bob, &message(&solicit, "ff02::1:ff00:20"), mend, rows);
}

#[test]
fn fields_of_neighbour_advertisements() {
    use DropReason::*;
    let advert = Ndp::NeighbourAdvert {
        target: v6(ALICE),
        router: false,
        solicited: true,
        overrides: true,
        options: says(false),
    };
    let (target, option) = (L4 + 8, L4 + 24);
    let malformed = Err(NdpMalformed);
    check(
        bob,
        &message(&advert, BOB),
        mend,
        &[
            ("hop limit", L3 + 7, &[0], Err(NdpHopLimit)),
            ("code", L4 + 1, &[0xff], malformed),
            ("flags and reserved", L4 + 4, &[0xff; 4], Ok(())),
            ("target: a group", target, &[0xff], malformed),
            (
                "target: we",
                target,
                &v6(BOB).octets(),
                Err(NdpDuplicateAddress),
            ),
            ("option: without length", option + 1, &[0], malformed),
            (
                "option: the address of a group",
                option + 2,
                &[1],
                malformed,
            ),
        ],
    );
    check(
        bob,
        &message(&unasked(&advert), "ff02::1"),
        mend,
        &[("solicited, to all", L4 + 4, &[0x40], malformed)],
    );
}
fn unasked(advert: &Ndp) -> Ndp {
    let mut advert = advert.clone();
    if let Ndp::NeighbourAdvert { solicited, .. } = &mut advert {
        *solicited = false;
    }
    advert
}

#[test]
fn fields_of_router_advertisements() {
    use DropReason::*;
    let advert = Ndp::RouterAdvert {
        router: RouterAdvert {
            lifetime: 1800,
            ..RouterAdvert::default()
        },
        options: Options {
            source: Some(mac_of(9)),
            mtu: Some(1400),
            prefixes: std::vec![PrefixInfo {
                len: 64,
                on_link: true,
                autonomous: true,
                valid: 3600,
                preferred: 1800,
                prefix: v6("2001:db8:1::"),
            }],
            ..Options::default()
        },
    };
    let malformed = Err(NdpMalformed);
    check(
        bob,
        &message(&advert, "ff02::1"),
        mend,
        &[
            ("hop limit", L3 + 7, &[64], Err(NdpHopLimit)),
            (
                "source: not of the link",
                L3 + 8,
                &v6("fd00:1::10").octets(),
                malformed,
            ),
            (
                "source: a group",
                L3 + 8,
                &v6("ff02::5").octets(),
                Err(MartianSource),
            ),
            ("code", L4 + 1, &[1], malformed),
            ("hop limit for us: none", L4 + 4, &[0], Ok(())),
            ("flags", L4 + 5, &[0xff], Ok(())),
            ("lifetime: none", L4 + 6, &[0, 0], Ok(())),
            (
                "reachable and retransmission times",
                L4 + 8,
                &[0xff; 8],
                Ok(()),
            ),
            ("option: without length", L4 + 17, &[0], malformed),
            ("option: beyond the message", L4 + 17, &[255], malformed),
        ],
    );
}

#[test]
fn fields_of_router_solicitations_and_redirects() {
    use DropReason::*;
    let malformed = Err(NdpMalformed);
    let solicit = Ndp::RouterSolicit {
        options: says(true),
    };
    check(
        router,
        &message(&solicit, "ff02::2"),
        mend,
        &[
            ("hop limit", L3 + 7, &[1], Err(NdpHopLimit)),
            ("code", L4 + 1, &[1], malformed),
            ("reserved", L4 + 4, &[0xff; 4], Ok(())),
            ("from nobody, who says where", L3 + 8, &[0; 16], malformed),
            ("option: without length", L4 + 9, &[0], malformed),
        ],
    );
    let redirect = Ndp::Redirect {
        target: v6("fe80::66"),
        destination: v6("2001:db8::1"),
        options: Options::default(),
    };
    let frame = message(&redirect, BOB);
    for (what, at, byte, expected) in [
        ("as it is", L4 + 4, 0, RedirectRefused),
        ("hop limit", L3 + 7, 254, NdpHopLimit),
        ("code", L4 + 1, 1, NdpMalformed),
        ("target: a group", L4 + 8, 0xff, RedirectRefused),
    ] {
        let mut bob = bob();
        let mut frame = frame.clone();
        frame[at] = byte;
        mend(&mut frame);
        assert_eq!(bob.receive_bytes(ETH0, frame), Err(expected), "{what}");
    }
}
