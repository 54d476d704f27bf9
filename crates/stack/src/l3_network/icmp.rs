//! ICMP (RFC 792, 1122 3.2.2, 1812 4.3): echo replies, the errors that we send, and those that we hear.
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use heptad_wire::icmpv4::{self, Icmpv4, Unreachable};
use heptad_wire::ipv4::protocol;
use heptad_wire::{Chunk, PacketBuf, Sum, checksum};

use super::quote::{Quote, copied, flow_len};
use super::rate_limit::Allowance;
use super::{
    Arrival, Complaint, Departure, EchoError, Flow, Heading, IcmpError, NetError, Network, News,
    Outlet, Reply, Told, Up,
};
use crate::l1_physical::PortId;
use crate::{Counter, Cx, DropReason};

/// TTL of what we send.
pub(super) const TTL: u8 = 64;
/// The type of a redirect (RFC 792).
const REDIRECT: u8 = 5;
/// DS field of errors (RFC 1812 4.3.2.5: precedence 6).
const INTERNETWORK_CONTROL: u8 = 0xc0;

impl Network {
    /// An ICMP message for this host.
    pub(super) fn receive_icmp(&mut self, mut arrival: Arrival, cx: &mut Cx<'_>) -> Up<Heading> {
        cx.count(Counter::IcmpInMsgs);
        let message = match verified(&mut arrival.packet) {
            Ok(message) => message,
            Err(reason) => {
                cx.count(Counter::IcmpInErrors);
                if reason == DropReason::IcmpChecksum {
                    cx.count(Counter::IcmpInCsumErrors);
                }
                cx.pool.recycle(arrival.packet);
                return Up::Drop(reason, None);
            }
        };
        count_in(&message, cx);
        match message {
            Icmpv4::EchoRequest { id, seq } if !arrival.group => {
                Up::Reply(Reply::Transport(echo_reply(arrival, id, seq, cx)))
            }
            // Whole again, for the socket that asked.
            Icmpv4::EchoReply { .. } if !arrival.group => {
                write_header(&mut arrival.packet, &message);
                Up::Next(Heading::Local(arrival, None))
            }
            // Anybody on the cable could send one; a host's routes are its own.
            message if message.kind().0 == REDIRECT => {
                cx.pool.recycle(arrival.packet);
                Up::Drop(DropReason::RedirectRefused, None)
            }
            message if message.is_error() => {
                let told = Told {
                    from: arrival.src,
                    message: IcmpError::V4(message),
                    ttl: arrival.ttl,
                    quoted: Bytes::new(),
                    transport: 0,
                };
                let up = self.heard(&message, told, &mut arrival.packet);
                cx.pool.recycle(arrival.packet);
                up
            }
            _ => {
                cx.pool.recycle(arrival.packet);
                Up::Drop(DropReason::IcmpIgnored, None)
            }
        }
    }

    /// Makes an error about a packet, if the rules of RFC 1122 3.2.2 and the budget allow one.
    pub(super) fn error(
        &mut self,
        quote: &Quote,
        message: Icmpv4,
        cx: &mut Cx<'_>,
    ) -> Option<Departure> {
        if !self.may_answer(quote) {
            return None;
        }
        let dst = quote.src;
        // From the address that was asked, or as a router from the port that leads back (RFC 1812 4.3.2.4).
        let is_port = matches!(message, Icmpv4::Unreachable(Unreachable::Port));
        let src = match self.is_local(quote.dst) || (is_port && self.transparent) {
            true => quote.dst,
            false => self.route(dst, None).ok()?.src,
        };
        let path_mtu = matches!(
            message,
            Icmpv4::Unreachable(Unreachable::FragmentationNeeded { .. })
        );
        if !path_mtu && !self.within_budget(dst, quote.port, cx) {
            return None;
        }
        count_out(&message, cx);
        let mut packet = cx.pool.packet();
        packet.append(Chunk::copy_from(quote.bytes()));
        write_header(&mut packet, &message);
        Some(Departure {
            src,
            dst,
            protocol: protocol::ICMP,
            ttl: TTL,
            tos: INTERNETWORK_CONTROL,
            dont_fragment: false,
            outlet: Outlet::default(),
            segment: None,
            packet,
        })
    }

    /// RFC 1122 3.2.2: what no error may be about.
    fn may_answer(&self, quote: &Quote) -> bool {
        //= rfc1122#3.2.2
        //# An ICMP error message MUST NOT be sent as the result of receiving
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (quote.src, quote.dst) else {
            return false;
        };
        let about_error = quote.protocol == protocol::ICMP
            && match quote.data().first() {
                Some(kind) => !matches!(kind, 0 | 8 | 9 | 10 | 13..=18),
                None => true,
            };
        let to_group =
            quote.group || dst.is_multicast() || self.addresses.is_broadcast_on(quote.port, dst);
        let from_nobody = src.is_unspecified()
            || src.is_multicast()
            || is_reserved(src)
            || self.addresses.is_broadcast(src)
            || (src.is_loopback() && quote.port != PortId::LOOPBACK);
        !(about_error || to_group || quote.later_fragment || from_nobody)
    }

    /// RFC 1812 4.3.2.8, RFC 4443 2.4 f: errors are rationed, but among ourselves.
    pub(super) fn within_budget(&mut self, dst: IpAddr, port: PortId, cx: &mut Cx<'_>) -> bool {
        if port == PortId::LOOPBACK {
            return true;
        }
        let allowance = self.errors.take(dst, cx.now);
        match allowance {
            Allowance::Granted => {}
            Allowance::HostLimit => cx.count(Counter::IcmpOutRateLimitGlobal),
            Allowance::DestinationLimit => cx.count(Counter::IcmpOutRateLimitHost),
        }
        allowance == Allowance::Granted
    }

    /// An error about something that we sent (RFC 1122 3.2.2.1, RFC 5927's check that it was us).
    fn heard(&self, message: &Icmpv4, mut told: Told, packet: &mut PacketBuf) -> Up<Heading> {
        let malformed = Up::Drop(DropReason::IcmpMalformed, None);
        let Some(len) = quoted_len(packet) else {
            return malformed;
        };
        let Some((bytes, flow)) = packet
            .peek(len)
            .ok()
            .and_then(|bytes| Some((bytes, Flow::of_sent(bytes, PortId::LOOPBACK)?)))
        else {
            return malformed;
        };
        if bytes
            .get(6..8)
            .is_some_and(|b| b[0] & 0x1f != 0 || b[1] != 0)
        {
            return Up::Drop(DropReason::IcmpLaterFragment, None);
        }
        let IpAddr::V4(ours) = flow.local.ip() else {
            return malformed;
        };
        if !self.speaks_from(ours.into()) {
            return Up::Drop(DropReason::IcmpOtherHost, None);
        }
        let sent = bytes
            .get(2..4)
            .map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        (told.quoted, told.transport) = copied(packet, len);
        if EchoError::is_about(&flow) {
            let error = EchoError::about(&flow, told);
            return Up::Next(Heading::News(Box::new(News::Echo(error))));
        }
        let news = match told_mtu(message) {
            Some(mtu) => News::PathMtu(flow, next_mtu(mtu, sent), told),
            None => match net_error(message) {
                Some(error) => News::Unreachable(flow, error, told),
                None => return Up::Drop(DropReason::IcmpIgnored, None),
            },
        };
        Up::Next(Heading::News(Box::new(news)))
    }
}

impl Complaint {
    /// In the words of IPv4.
    pub(super) fn icmpv4(self) -> Icmpv4 {
        match self {
            Self::Port => Icmpv4::Unreachable(Unreachable::Port),
            Self::Protocol => Icmpv4::Unreachable(Unreachable::Protocol),
            Self::Reassembly => Icmpv4::TimeExceeded { code: 1 },
            Self::Host => Icmpv4::Unreachable(Unreachable::Host),
            Self::Network => Icmpv4::Unreachable(Unreachable::Net),
            Self::Prohibited => Icmpv4::Unreachable(Unreachable::AdminProhibited),
        }
    }
}

/// Reads and takes off the header of a message whose checksum holds.
fn verified(packet: &mut PacketBuf) -> Result<Icmpv4, DropReason> {
    if packet.sum() == Sum::Unverified && packet.ones_complement() != 0xffff {
        let short = packet.len() < icmpv4::HEADER_LEN;
        return Err(match short {
            true => DropReason::IcmpMalformed,
            false => DropReason::IcmpChecksum,
        });
    }
    packet
        .pull(icmpv4::HEADER_LEN)
        .and_then(Icmpv4::parse)
        .map_err(|_| DropReason::IcmpMalformed)
}

/// The same data back (RFC 1122 3.2.2.6), from the address that was asked. It is a packet of its own: it has a new id.
fn echo_reply(arrival: Arrival, id: u16, seq: u16, cx: &mut Cx<'_>) -> Departure {
    let mut packet = arrival.packet;
    packet.set_id(cx.pool.next_id());
    let reply = Icmpv4::EchoReply { id, seq };
    write_header(&mut packet, &reply);
    count_out(&reply, cx);
    Departure {
        src: arrival.dst,
        dst: arrival.src,
        protocol: protocol::ICMP,
        ttl: TTL,
        tos: arrival.tos,
        dont_fragment: false,
        outlet: Outlet::default(),
        segment: None,
        packet,
    }
}

/// Puts a message's header in front of its data, checksum included.
pub(crate) fn write_header(packet: &mut PacketBuf, message: &Icmpv4) {
    let data = packet.ones_complement();
    let header = packet.push(icmpv4::HEADER_LEN);
    message.emit(0, header);
    let sum = !checksum::add(checksum::sum(header), data);
    message.emit(sum, header);
    packet.set_sum(Sum::Verified);
}

/// How many bytes of a quote its flow is read from.
fn quoted_len(packet: &mut PacketBuf) -> Option<usize> {
    match packet.peek(1).ok()? {
        [first] if first >> 4 == 4 => flow_len(&[*first]),
        _ => None,
    }
}

/// What an error means to the one who sent the packet (RFC 1122 3.2.2.1 and 4.2.3.9; the errno is Linux's).
pub(super) fn net_error(message: &Icmpv4) -> Option<NetError> {
    Some(match message.kind() {
        (3, 0 | 6 | 11) => NetError::NetUnreachable,
        (3, 1 | 5 | 7 | 8 | 12) => NetError::HostUnreachable,
        (3, 2) => NetError::ProtocolUnreachable,
        (3, 3) => NetError::PortUnreachable,
        (3, 9 | 10 | 13..=15) => NetError::Prohibited,
        (11, 0 | 1) => NetError::TimeExceeded,
        (12, _) => NetError::ParameterProblem,
        _ => return None,
    })
}

/// The MTU of a "fragmentation needed", 0 if the router does not tell. RFC 4884 gave one of the unused bytes a meaning.
fn told_mtu(message: &Icmpv4) -> Option<u16> {
    match *message {
        Icmpv4::Unreachable(Unreachable::FragmentationNeeded { mtu }) => Some(mtu),
        Icmpv4::Other {
            kind: 3,
            code: 4,
            rest: [_, _, high, low],
        } => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// The next hop's MTU; from routers that do not tell it, the next lower plateau of RFC 1191 7.
fn next_mtu(told: u16, sent: u16) -> u32 {
    const PLATEAUS: [u16; 11] = [
        65_535, 32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68,
    ];
    let plateau = || PLATEAUS.into_iter().find(|plateau| *plateau < sent);
    let mtu = match told {
        0 => plateau().unwrap_or(68),
        told => told,
    };
    u32::from(mtu.max(68))
}

/// 240.0.0.0/4 (RFC 1112 4), the limited broadcast included.
pub(super) fn is_reserved(ip: Ipv4Addr) -> bool {
    ip.octets()[0] >= 240
}

fn count_in(message: &Icmpv4, cx: &mut Cx<'_>) {
    let counter = match message.kind().0 {
        0 => Counter::IcmpInEchoReps,
        3 => Counter::IcmpInDestUnreachs,
        8 => Counter::IcmpInEchos,
        11 => Counter::IcmpInTimeExcds,
        12 => Counter::IcmpInParmProbs,
        _ => return,
    };
    cx.count(counter);
}

pub(super) fn count_out(message: &Icmpv4, cx: &mut Cx<'_>) {
    cx.count(Counter::IcmpOutMsgs);
    let counter = match message.kind().0 {
        0 => Counter::IcmpOutEchoReps,
        3 => Counter::IcmpOutDestUnreachs,
        8 => Counter::IcmpOutEchos,
        11 => Counter::IcmpOutTimeExcds,
        12 => Counter::IcmpOutParmProbs,
        _ => return,
    };
    cx.count(counter);
}
