//! ICMP errors of both families that somebody forged, or that come too late: each is refused by name (RFC 5927).
use core::net::{IpAddr, SocketAddr};
use std::vec::Vec;

use heptad_wire::checksum;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;

use super::hosts::*;
use crate::l4_transport::udp::MtuDiscovery;
use crate::stack::SocketOption;
use crate::{Counter, DropReason, Instant, SocketError, SocketId, SocketKind};

const FLOOD: u16 = 10_000;

/// The two ends of a cable, by family.
#[derive(Clone, Copy)]
struct Ends {
    bob: &'static str,
    alice: &'static str,
    /// Somebody who is not there.
    stranger: &'static str,
}
const FAMILIES: [Ends; 2] = [
    Ends {
        bob: "10.0.1.20",
        alice: "10.0.1.10",
        stranger: "10.0.1.77",
    },
    Ends {
        bob: "fd00:1::20",
        alice: "fd00:1::10",
        stranger: "fd00:1::77",
    },
];
impl Ends {
    fn is_v6(self) -> bool {
        ip(self.bob).is_ipv6()
    }
    /// "Port unreachable", or "packet too big" with 1300 bytes.
    fn error(self, narrow: bool) -> [u8; 8] {
        match (self.is_v6(), narrow) {
            (false, false) => [3, 3, 0, 0, 0, 0, 0, 0],
            (false, true) => [3, 4, 0, 0, 0, 0, 5, 20],
            (true, false) => [1, 4, 0, 0, 0, 0, 0, 0],
            (true, true) => [2, 0, 0, 0, 0, 0, 5, 20],
        }
    }
    fn icmp(self) -> u8 {
        match self.is_v6() {
            true => next_header::ICMPV6,
            false => protocol::ICMP,
        }
    }
    /// A packet of IP with these bytes.
    fn packet(self, (src, dst): (&str, &str), protocol: u8, bytes: &[u8]) -> Vec<u8> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip(src), ip(dst)) else {
            return frame_to(mac_of(2), &header(src, dst, protocol, bytes.len()), bytes)[14..]
                .to_vec();
        };
        let mut packet = std::vec![0x60, 0, 0, 0, 0, bytes.len() as u8, protocol, 64];
        packet.extend(src.octets());
        packet.extend(dst.octets());
        packet.extend(bytes);
        packet
    }
    /// The frame in which alice says this of a packet.
    fn said(self, error: [u8; 8], quoted: &[u8]) -> Vec<u8> {
        let mut message = Vec::from(error);
        message.extend(quoted);
        let pseudo = match self.is_v6() {
            true => {
                let (src, dst) = (ip(self.alice), ip(self.bob));
                checksum::pseudo_header(src, dst, self.icmp(), message.len() as u32)
            }
            false => 0,
        };
        checksum::fill(&mut message, 2, pseudo);
        let mut frame = Vec::from(mac_of(2).0);
        frame.extend(mac_of(9).0);
        frame.extend(match self.is_v6() {
            true => [0x86, 0xdd],
            false => [0x08, 0x00],
        });
        frame.extend(self.packet((self.alice, self.bob), self.icmp(), &message));
        frame
    }
    fn host(self, number: u8, address: &str) -> Host {
        let len = [24, 64][usize::from(self.is_v6())];
        let mut host = Host::new(number, false).with_port(number, address, len, 1500);
        for second in 0..3 {
            host.advance(Instant::from_nanos(second * 1_000_000_000));
            host.drain(ETH0);
        }
        host
    }
}
/// First eight bytes of a datagram or segment: ports and what follows.
fn ports(local: u16, remote: u16, word: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&local.to_be_bytes());
    bytes[2..4].copy_from_slice(&remote.to_be_bytes());
    bytes[4..].copy_from_slice(&word.to_be_bytes());
    bytes
}
fn at(host: &str, port: u16) -> SocketAddr {
    (ip(host), port).into()
}

/// bob speaks UDP from port 5 to alice's 9, and from port 6 to nobody yet, with a queue of errors.
struct Talk {
    ends: Ends,
    bob: Host,
    connected: SocketId,
    curious: SocketId,
}
impl Talk {
    fn new(ends: Ends) -> Self {
        let mut bob = ends.host(2, ends.bob);
        let (connected, curious) = bob.cx(|stack, cx| {
            let mut open = |port| {
                let socket = stack.socket(ip(ends.bob), SocketKind::Datagram).unwrap();
                stack.bind(socket, at(ends.bob, port), cx).unwrap();
                socket
            };
            let (connected, curious) = (open(5), open(6));
            stack.connect(connected, at(ends.alice, 9), cx).unwrap();
            let asks = SocketOption::RecvErr(true);
            stack.set(curious, asks, cx).unwrap();
            stack
                .send_to(curious, b"hello", at(ends.alice, 8), cx)
                .unwrap();
            (connected, curious)
        });
        Self {
            ends,
            bob,
            connected,
            curious,
        }
    }
    fn hears(&mut self, narrow: bool, quoted: &[u8]) -> Result<(), DropReason> {
        let frame = self.ends.said(self.ends.error(narrow), quoted);
        self.bob.receive_bytes(ETH0, frame)
    }
}

/// What an error quotes: whose packet, its protocol, its first bytes; what becomes of the error.
type Quoted = (
    &'static str,
    (&'static str, &'static str),
    u8,
    [u8; 8],
    Result<(), DropReason>,
);
fn quoted(ends: Ends) -> Vec<Quoted> {
    use DropReason::*;
    let (udp, tcp) = (protocol::UDP, protocol::TCP);
    let (bob, alice, stranger) = (ends.bob, ends.alice, ends.stranger);
    let icmp = ends.icmp();
    let request = if ends.is_v6() { 128 } else { 8 };
    let echo = [request, 0, 0, 0, 0, 7, 0, 1];
    std::vec![
        ("to the peer", (bob, alice), udp, ports(5, 9, 0), Ok(())),
        (
            "to whom it was sent",
            (bob, alice),
            udp,
            ports(6, 8, 0),
            Ok(()),
        ),
        (
            "another port of the peer's",
            (bob, alice),
            udp,
            ports(5, 10, 0),
            Err(IcmpNoFlow),
        ),
        (
            "another host than the peer",
            (bob, stranger),
            udp,
            ports(5, 9, 0),
            Err(IcmpNoFlow),
        ),
        (
            "to whom nothing was sent",
            (bob, alice),
            udp,
            ports(6, 7, 0),
            Err(IcmpNoFlow),
        ),
        (
            "a port that nobody has",
            (bob, alice),
            udp,
            ports(4, 9, 0),
            Err(IcmpNoFlow),
        ),
        (
            "another host's",
            (stranger, alice),
            udp,
            ports(5, 9, 0),
            Err(IcmpOtherHost),
        ),
        ("TCP", (bob, alice), tcp, ports(5, 9, 0), Err(IcmpNoFlow),),
        (
            "a protocol that nobody speaks",
            (bob, alice),
            250,
            ports(5, 9, 0),
            Err(IcmpNoFlow),
        ),
        ("an echo request", (bob, alice), icmp, echo, Err(IcmpNoFlow)),
        (
            "another message of ICMP",
            (bob, alice),
            icmp,
            [0; 8],
            Err(IcmpNoFlow),
        ),
    ]
}

#[test]
fn errors_about_datagrams_that_nobody_here_sent_are_refused_by_name() {
    use DropReason::*;
    for ends in FAMILIES {
        for (what, who, protocol, bytes, expected) in quoted(ends) {
            for narrow in [false, true] {
                let mut talk = Talk::new(ends);
                let quoted = ends.packet(who, protocol, &bytes);
                assert_eq!(talk.hears(narrow, &quoted), expected, "{what}");
                let counted: Vec<_> = expected.err().map(|r| (r, 1)).into_iter().collect();
                assert_eq!(talk.bob.drops(), counted, "{what}");
                let unheard = u64::from(expected == Err(IcmpNoFlow));
                let errors = [Counter::IcmpInErrors, Counter::Icmp6InErrors];
                let errors = errors[usize::from(ends.is_v6())];
                assert_eq!(talk.bob.get(errors), unheard, "{what}");
                if expected.is_err() {
                    assert_eq!(talk.bob.stack.path_mtus(), [], "{what}");
                    let (connected, curious) = (talk.connected, talk.curious);
                    let told = talk.bob.cx(|stack, cx| {
                        (stack.take_error(connected), stack.recv_error(curious, cx))
                    });
                    assert_eq!(told, (None, None), "{what}");
                }
            }
        }
    }
}

#[test]
fn the_queue_of_errors_has_the_bytes_that_an_error_quotes() {
    for ends in FAMILIES {
        // Of five bytes that were sent: none, some, all.
        for len in [0, 3, 5] {
            let mut talk = Talk::new(ends);
            let mut datagram = ports(6, 8, 0).to_vec();
            datagram.extend(&b"hello"[..len]);
            let quoted = ends.packet((ends.bob, ends.alice), protocol::UDP, &datagram);
            assert_eq!(talk.hears(false, &quoted), Ok(()));
            let curious = talk.curious;
            let heard = talk.bob.cx(|stack, cx| stack.recv_error(curious, cx));
            let heard = heard.expect("an error");
            assert_eq!(heard.remote, at(ends.alice, 8));
            let told = heard.told.expect("by somebody");
            assert_eq!(told.quoted_behind(8), &b"hello"[..len]);
        }
    }
}

#[test]
fn a_datagram_that_was_taken_may_be_refused_later() {
    for ends in FAMILIES {
        let mut talk = Talk::new(ends);
        let mut alice = ends.host(1, ends.alice);
        let taken = alice.cx(|stack, cx| {
            let open = stack.socket(ip(ends.alice), SocketKind::Datagram).unwrap();
            stack.bind(open, at(ends.alice, 9), cx).unwrap();
            open
        });
        let connected = talk.connected;
        let bob = &mut talk.bob;
        bob.cx(|stack, cx| stack.send(connected, b"hello", cx))
            .unwrap();
        settle((bob, ETH0), (&mut alice, ETH0));
        alice.cx(|stack, cx| {
            let mut data = [0; 9];
            let heard = stack.recv_message(taken, &mut data, cx).unwrap();
            let from = heard.from.unwrap();
            stack.refuse_datagram(taken, (from, &heard.way), &data[..heard.copied], cx);
        });
        settle((bob, ETH0), (&mut alice, ETH0));
        let told = bob.cx(|stack, _| stack.take_error(connected));
        assert_eq!(told, Some(SocketError::ConnectionRefused));
        // The other is what bob sends to begin with.
        assert_eq!(alice.get(Counter::UdpNoPorts), 2);
    }
}

#[test]
fn an_error_about_a_later_fragment_does_not_say_whose_it_was() {
    for ends in FAMILIES {
        let mut talk = Talk::new(ends);
        let bytes = ports(5, 9, 0);
        let quoted = match ends.is_v6() {
            false => {
                let mut quoted = ends.packet((ends.bob, ends.alice), protocol::UDP, &bytes);
                quoted[7] = 1;
                quoted
            }
            true => {
                let mut fragment = std::vec![protocol::UDP, 0, 0, 8, 0, 0, 0, 1];
                fragment.extend(bytes);
                ends.packet((ends.bob, ends.alice), next_header::FRAGMENT, &fragment)
            }
        };
        let verdict = talk.hears(false, &quoted);
        assert_eq!(verdict, Err(DropReason::IcmpLaterFragment));
    }
}

#[test]
fn an_error_that_comes_after_its_socket_is_closed_is_refused() {
    for ends in FAMILIES {
        let mut talk = Talk::new(ends);
        let connected = talk.connected;
        talk.bob.cx(|stack, cx| stack.close(connected, cx));
        let quoted = ends.packet((ends.bob, ends.alice), protocol::UDP, &ports(5, 9, 0));
        assert_eq!(talk.hears(false, &quoted), Err(DropReason::IcmpNoFlow));
    }
}

#[test]
fn who_may_fragment_and_which_mtu_counts_is_up_to_the_socket() {
    use MtuDiscovery::*;
    let long = Err(SocketError::MessageTooLong);
    // With 1300 bytes on the way and 1500 on our own link: what becomes of a datagram in a packet of 1000 bytes, of 1400 and of
    // 1600: how many packets, and whether the first may be fragmented by nobody.
    let table = [
        (Dont, [Ok((1, false)), Ok((2, false)), Ok((2, false))]),
        (Want, [Ok((1, true)), Ok((2, false)), Ok((2, false))]),
        (Do, [Ok((1, true)), long, long]),
        (Probe, [Ok((1, true)), Ok((1, true)), long]),
        (Interface, [Ok((1, false)), Ok((1, false)), long]),
        (Omit, [Ok((1, false)), Ok((1, false)), Ok((2, false))]),
    ];
    for ends in FAMILIES {
        let (mut alice, mut talk) = (ends.host(1, ends.alice), Talk::new(ends));
        let (bob, connected) = (&mut talk.bob, talk.connected);
        settle((bob, ETH0), (&mut alice, ETH0));
        let quoted = ends.packet((ends.bob, ends.alice), protocol::UDP, &ports(5, 9, 0));
        let narrow = ends.said(ends.error(true), &quoted);
        assert_eq!(bob.receive_bytes(ETH0, narrow), Ok(()));
        let mtu = |bob: &mut Host| bob.cx(|stack, _| stack.socket_mtu(connected));
        assert_eq!(mtu(bob), Ok(1300));
        let headers = if ends.is_v6() { 48 } else { 28 };
        for (mode, expected) in table {
            for (len, expected) in [1000, 1400, 1600].into_iter().zip(expected) {
                let sent = bob.cx(|stack, cx| {
                    let option = match ends.is_v6() {
                        true => SocketOption::MtuDiscoveryV6(mode),
                        false => SocketOption::MtuDiscovery(mode),
                    };
                    stack.set(connected, option, cx).unwrap();
                    assert_eq!(stack.get(connected, option), Ok(option));
                    stack.send(connected, &pattern(len - headers), cx)
                });
                let frames = bob.drain(ETH0);
                let shown = sent.map(|_| (frames.len(), dont_fragment(&frames[0])));
                // Routers of IPv6 never fragment.
                let expected = expected.map(|(count, df)| (count, df && !ends.is_v6()));
                assert_eq!(shown, expected, "{mode:?}, {len} bytes");
            }
        }
        assert_eq!(bob.drops(), []);
    }
}
fn dont_fragment(frame: &heptad_wire::PacketBuf) -> bool {
    let mut bytes = Vec::new();
    frame.write_to(&mut bytes);
    bytes[14] >> 4 == 4 && bytes[14 + 6] & 0x40 != 0
}

/// The sequence number of the last segment among frames.
fn seq_of(frames: &[heptad_wire::PacketBuf], ends: Ends) -> u32 {
    let mut bytes = Vec::new();
    frames.last().unwrap().write_to(&mut bytes);
    let tcp = if ends.is_v6() { 14 + 40 } else { 14 + 20 };
    u32::from_be_bytes(*bytes[tcp + 4..].first_chunk::<4>().unwrap())
}

#[test]
fn errors_about_segments_that_are_not_on_their_way_are_refused() {
    use DropReason::*;
    for ends in FAMILIES {
        let (mut alice, mut bob) = (ends.host(1, ends.alice), ends.host(2, ends.bob));
        let listener = alice.cx(|stack, cx| {
            let listener = stack.socket(ip(ends.alice), SocketKind::Stream).unwrap();
            stack.bind(listener, at(ends.alice, 80), cx).unwrap();
            stack.listen(listener, 5, cx).unwrap();
            listener
        });
        let client = bob.cx(|stack, cx| {
            let client = stack.socket(ip(ends.bob), SocketKind::Stream).unwrap();
            stack.bind(client, at(ends.bob, 5), cx).unwrap();
            let begun = stack.connect(client, at(ends.alice, 80), cx);
            assert_eq!(begun, Err(SocketError::InProgress));
            client
        });
        settle((&mut bob, ETH0), (&mut alice, ETH0));
        let accepted = alice.cx(|stack, cx| stack.accept(listener, cx));
        assert!(accepted.is_ok());
        bob.cx(|stack, cx| stack.send(client, &[7; 100], cx))
            .unwrap();
        let una = seq_of(&bob.drain(ETH0), ends);
        let rows = [
            (
                "acknowledged long ago",
                una.wrapping_sub(1),
                Err(IcmpOutOfWindow),
            ),
            ("never sent", una.wrapping_add(100), Err(IcmpOutOfWindow)),
            ("far away", una.wrapping_add(1 << 31), Err(IcmpOutOfWindow)),
            ("a guess", 0x1234_5678, Err(IcmpOutOfWindow)),
            (
                "the last byte that is on its way",
                una.wrapping_add(99),
                Ok(()),
            ),
            ("the first", una, Ok(())),
        ];
        for (n, (what, seq, expected)) in (0_u64..).zip(rows) {
            for narrow in [true, false] {
                let segment = ports(5, 80, seq);
                let quoted = ends.packet((ends.bob, ends.alice), protocol::TCP, &segment);
                let frame = ends.said(ends.error(narrow), &quoted);
                assert_eq!(bob.receive_bytes(ETH0, frame), expected, "{what}");
            }
            assert_eq!(
                bob.stack.path_mtus().is_empty(),
                expected.is_err(),
                "{what}"
            );
            let refused = (n + 1).min(4) * 2;
            assert_eq!(bob.drops(), [(IcmpOutOfWindow, refused)], "{what}");
            assert_eq!(bob.get(Counter::TcpExtOutOfWindowIcmps), refused);
        }
    }
}

#[test]
fn an_opening_ends_only_by_an_error_that_knows_its_sequence_number() {
    for ends in FAMILIES {
        let (mut alice, mut bob) = (ends.host(1, ends.alice), ends.host(2, ends.bob));
        // They know each other's stations.
        alice.cx(|stack, cx| {
            let socket = stack.socket(ip(ends.alice), SocketKind::Datagram).unwrap();
            stack.send_to(socket, b"?", at(ends.bob, 9), cx).unwrap();
        });
        settle((&mut alice, ETH0), (&mut bob, ETH0));
        let client = bob.cx(|stack, cx| {
            let client = stack.socket(ip(ends.bob), SocketKind::Stream).unwrap();
            stack.bind(client, at(ends.bob, 5), cx).unwrap();
            let begun = stack.connect(client, at(ends.alice, 80), cx);
            assert_eq!(begun, Err(SocketError::InProgress));
            client
        });
        let iss = seq_of(&bob.drain(ETH0), ends);
        for (seq, expected, error) in [
            (iss.wrapping_add(1), Err(DropReason::IcmpOutOfWindow), None),
            (iss, Ok(()), Some(SocketError::ConnectionRefused)),
            // It is gone.
            (iss, Err(DropReason::IcmpNoFlow), None),
        ] {
            let quoted = ends.packet((ends.bob, ends.alice), protocol::TCP, &ports(5, 80, seq));
            let frame = ends.said(ends.error(false), &quoted);
            assert_eq!(bob.receive_bytes(ETH0, frame), expected);
            assert_eq!(bob.cx(|stack, _| stack.take_error(client)), error);
        }
    }
}

#[test]
fn floods_of_errors_are_bounded_and_refused_by_name() {
    for ends in FAMILIES {
        let mut talk = Talk::new(ends);
        let mut said = |port, remote| {
            let bytes = ports(port, remote, 0);
            let quoted = ends.packet((ends.bob, ends.alice), protocol::UDP, &bytes);
            let _ = talk.hears(false, &quoted);
        };
        (0..FLOOD).for_each(|n| said(n + 1000, 9));
        (0..FLOOD).for_each(|_| said(6, 8));
        let kept = 256;
        let expected = [
            (DropReason::IcmpNoFlow, u64::from(FLOOD)),
            (DropReason::ErrorQueueFull, u64::from(FLOOD) - kept),
        ];
        assert_eq!(talk.bob.drops(), expected);
        let curious = talk.curious;
        let heard = talk
            .bob
            .cx(|stack, cx| core::iter::from_fn(|| stack.recv_error(curious, cx)).count());
        assert_eq!(heard as u64, kept);
    }
}
