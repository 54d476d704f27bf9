//! ICMPv6 (RFC 4443): echo replies, the errors that we send, and those that we hear.
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv6Addr};

use heptad_wire::icmpv6::{HEADER_LEN, Icmpv6, Unreachable};
use heptad_wire::ipv6::{self, next_header};
use heptad_wire::{Chunk, PacketBuf, Sum, checksum, mld, ndp};

use super::super::quote::{Quote, copied, flow_len};
use super::super::{
    Arrival, Complaint, Departure, EchoError, Flow, Heading, IcmpError, NetError, Network, News,
    Outlet, Reply, Told, Up, zone,
};
use crate::l1_physical::PortId;
use crate::{Counter, Cx, DropReason};

/// How much of a quote its flow is read from: a fragment's headers and 8 bytes.
const QUOTED: usize = ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN + 8;

impl Network {
    /// An ICMPv6 message for this host; `alert`: with MLD's router alert.
    pub(in super::super) fn receive_icmpv6(
        &mut self,
        mut arrival: Arrival,
        alert: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        cx.count(Counter::Icmp6InMsgs);
        let message = match verified(&mut arrival) {
            Ok(message) => message,
            Err(reason) => {
                cx.count(Counter::Icmp6InErrors);
                if reason == DropReason::IcmpChecksum {
                    cx.count(Counter::Icmp6InCsumErrors);
                }
                return super::drop(arrival.packet, reason, cx);
            }
        };
        count_in(&message, cx);
        let is_advert = message.kind().0 == ndp::kind::NEIGHBOUR_ADVERT;
        if arrival.port != PortId::LOOPBACK && self.is_local(arrival.src) && !is_advert {
            return super::drop(arrival.packet, DropReason::MartianSource, cx);
        }
        match message {
            Icmpv6::EchoRequest { id, seq } => self.echo_reply(arrival, id, seq, cx),
            Icmpv6::EchoReply { .. } if !arrival.group => Up::Next(Heading::Local(arrival, None)),
            message if message.is_error() => {
                let up = self.heard_v6(&message, &mut arrival);
                cx.pool.recycle(arrival.packet);
                up
            }
            Icmpv6::Other { kind, code, .. }
                if (ndp::kind::ROUTER_SOLICIT..=ndp::kind::REDIRECT).contains(&kind) =>
            {
                self.discover(kind, code, arrival, cx)
            }
            Icmpv6::Other { kind, .. } if mld::is_kind(kind) => {
                self.receive_mld(kind, arrival, alert, cx)
            }
            _ => super::drop(arrival.packet, DropReason::IcmpIgnored, cx),
        }
    }

    /// The same data back (RFC 4443 4.2), from the address that was asked, or one of ours if a group was.
    fn echo_reply(&mut self, arrival: Arrival, id: u16, seq: u16, cx: &mut Cx<'_>) -> Up<Heading> {
        let Arrival {
            src: asker,
            dst: asked,
            tos,
            port,
            mut packet,
            ..
        } = arrival;
        let src = match (asked, asker) {
            (IpAddr::V6(group), IpAddr::V6(asker)) if group.is_multicast() => {
                self.v6.addresses.select(port, asker).map(IpAddr::V6)
            }
            _ => Some(asked),
        };
        let Some(src) = src else {
            return super::drop(packet, DropReason::IcmpIgnored, cx);
        };
        if packet.pull(HEADER_LEN).is_err() {
            return super::drop(packet, DropReason::IcmpMalformed, cx);
        }
        packet.set_id(cx.pool.next_id());
        let reply = Icmpv6::EchoReply { id, seq };
        write_header(&mut packet, &reply, src, asker);
        count_out(&reply, cx);
        Up::Reply(Reply::Transport(Departure {
            tos,
            ..self.departure_v6(src, asker, packet)
        }))
    }

    /// Makes an error about a packet, if the rules of RFC 4443 2.4 and the budget allow one.
    pub(in super::super) fn error_v6(
        &mut self,
        quote: &Quote,
        message: Icmpv6,
        cx: &mut Cx<'_>,
    ) -> Option<Departure> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (quote.src, quote.dst) else {
            return None;
        };
        if !may_answer(quote, src, dst, &message) {
            return None;
        }
        // From the address that was asked, or as a router from the port that leads back (RFC 4443 2.2).
        let is_port = matches!(message, Icmpv6::Unreachable(Unreachable::Port));
        let from = match self.v6.addresses.is_ours(dst) || (is_port && self.transparent) {
            true => quote.dst,
            false => self.route(quote.src, None).ok()?.src,
        };
        let free = matches!(message, Icmpv6::PacketTooBig { .. });
        if !free && !self.within_budget(quote.src, quote.port, cx) {
            return None;
        }
        count_out(&message, cx);
        let mut packet = cx.pool.packet();
        packet.append(Chunk::copy_from(quote.bytes()));
        write_header(&mut packet, &message, from, quote.src);
        Some(self.departure_v6(from, quote.src, packet))
    }

    /// An ICMPv6 message on its way; `packet` is whole.
    fn departure_v6(&self, src: IpAddr, dst: IpAddr, packet: PacketBuf) -> Departure {
        Departure {
            src,
            dst,
            protocol: next_header::ICMPV6,
            ttl: 64,
            tos: 0,
            dont_fragment: false,
            outlet: Outlet::default(),
            segment: None,
            packet,
        }
    }

    /// An error about something that we sent (RFC 5927's check that it was us).
    fn heard_v6(&self, message: &Icmpv6, arrival: &mut Arrival) -> Up<Heading> {
        let malformed = Up::Drop(DropReason::IcmpMalformed, None);
        let port = match arrival.port {
            PortId::LOOPBACK => self.zone_of_quote(&mut arrival.packet),
            cable => cable,
        };
        let packet = &mut arrival.packet;
        if packet.pull(HEADER_LEN).is_err() {
            return malformed;
        }
        let len = packet.len().min(QUOTED);
        let Ok(quoted) = packet.peek(len) else {
            return malformed;
        };
        let Some(flow) = Flow::of_sent(quoted, port) else {
            // A later fragment does not say whose it is.
            return match ipv6::Ipv6Header::parse(quoted) {
                Ok(_) => Up::Drop(DropReason::IcmpLaterFragment, None),
                Err(_) => malformed,
            };
        };
        let flow_len = flow_len(quoted).unwrap_or(len);
        let IpAddr::V6(ours) = flow.local.ip() else {
            return malformed;
        };
        if !self.speaks_from(ours.into()) {
            return Up::Drop(DropReason::IcmpOtherHost, None);
        }
        let (quoted, transport) = copied(packet, flow_len);
        let told = Told {
            from: arrival.src,
            message: IcmpError::V6(*message),
            ttl: arrival.ttl,
            quoted,
            transport,
        };
        if EchoError::is_about(&flow) {
            let error = EchoError::about(&flow, told);
            return Up::Next(Heading::News(Box::new(News::Echo(error))));
        }
        let news = match (message, error_of(message)) {
            //= rfc8201#4
            //# A node MUST NOT reduce its estimate of the Path MTU below the IPv6 minimum link MTU.
            (Icmpv6::PacketTooBig { mtu }, _) => {
                News::PathMtu(flow, (*mtu).max(ipv6::MIN_MTU), told)
            }
            (_, Some(error)) => News::Unreachable(flow, error, told),
            (_, None) => return Up::Drop(DropReason::IcmpIgnored, None),
        };
        Up::Next(Heading::News(Box::new(news)))
    }
    /// An error of our own about a link-local address of ours.
    fn zone_of_quote(&self, packet: &mut PacketBuf) -> PortId {
        let whole = HEADER_LEN + ipv6::HEADER_LEN;
        let quoted = packet
            .peek(whole)
            .ok()
            .and_then(|bytes| bytes.get(HEADER_LEN..));
        let header = quoted.and_then(|bytes| ipv6::Ipv6Header::parse(bytes).ok());
        let found = header.and_then(|header| self.zone_of_ours(&header));
        found.unwrap_or(PortId::LOOPBACK)
    }
}

impl Complaint {
    /// In the words of IPv6.
    pub(in super::super) fn icmpv6(self, quote: &Quote) -> Icmpv6 {
        match self {
            Self::Port => Icmpv6::Unreachable(Unreachable::Port),
            //= rfc8200#4
            //# an ICMP Code value of 1 ("unrecognized Next Header type encountered")
            Self::Protocol => Icmpv6::ParameterProblem {
                code: 1,
                pointer: quote.protocol_at(),
            },
            Self::Reassembly => Icmpv6::TimeExceeded { code: 1 },
            Self::Host => Icmpv6::Unreachable(Unreachable::Address),
            Self::Network => Icmpv6::Unreachable(Unreachable::NoRoute),
            Self::Prohibited => Icmpv6::Unreachable(Unreachable::AdminProhibited),
        }
    }
}

/// RFC 4443 2.4 (e): what no error may be about.
fn may_answer(quote: &Quote, src: Ipv6Addr, dst: Ipv6Addr, message: &Icmpv6) -> bool {
    let about_error = quote.protocol == next_header::ICMPV6
        && match quote.data().first() {
            Some(kind) => *kind < 128 || *kind == ndp::kind::REDIRECT,
            None => true,
        };
    // Two may be about what was sent to a group: path MTU discovery and unknown options need them.
    let for_groups = matches!(
        message,
        Icmpv6::PacketTooBig { .. } | Icmpv6::ParameterProblem { code: 2, .. }
    );
    let to_group = (quote.group || dst.is_multicast()) && !for_groups;
    let from_nobody = src.is_unspecified() || src.is_multicast();
    !(about_error || to_group || from_nobody)
}

/// Reads the header of a message whose checksum holds.
fn verified(arrival: &mut Arrival) -> Result<Icmpv6, DropReason> {
    let packet = &mut arrival.packet;
    if packet.len() < HEADER_LEN {
        return Err(DropReason::IcmpMalformed);
    }
    if packet.sum() == Sum::Unverified {
        let len = packet.len() as u32;
        let pseudo = zone::pseudo_header(arrival.src, arrival.dst, next_header::ICMPV6, len);
        if checksum::add(pseudo, packet.ones_complement()) != 0xffff {
            return Err(DropReason::IcmpChecksum);
        }
    }
    packet
        .peek(HEADER_LEN)
        .and_then(Icmpv6::parse)
        .map_err(|_| DropReason::IcmpMalformed)
}

/// Puts a message's header in front of its data, checksum included.
pub(crate) fn write_header(packet: &mut PacketBuf, message: &Icmpv6, src: IpAddr, dst: IpAddr) {
    let data = packet.ones_complement();
    let len = (packet.len() + HEADER_LEN) as u32;
    let pseudo = zone::pseudo_header(src, dst, next_header::ICMPV6, len);
    let header = packet.push(HEADER_LEN);
    message.emit(0, header);
    let header_sum = checksum::sum(header);
    let sum = !checksum::add(checksum::add(header_sum, data), pseudo);
    message.emit(sum, header);
    packet.set_sum(Sum::Verified);
}

/// What an error means to the one who sent the packet (the errno is Linux's).
pub(crate) fn error_of(message: &Icmpv6) -> Option<NetError> {
    Some(match message {
        Icmpv6::Unreachable(Unreachable::NoRoute) => NetError::NetUnreachable,
        Icmpv6::Unreachable(Unreachable::Address) => NetError::HostUnreachable,
        Icmpv6::Unreachable(Unreachable::Port) => NetError::PortUnreachable,
        Icmpv6::Unreachable(Unreachable::BeyondScope) => NetError::Denied,
        Icmpv6::Unreachable(Unreachable::AdminProhibited) => NetError::Denied,
        Icmpv6::Unreachable(Unreachable::Other(5 | 6)) => NetError::Denied,
        Icmpv6::TimeExceeded { .. } => NetError::TimeExceeded,
        Icmpv6::ParameterProblem { .. } => NetError::ParameterProblem,
        _ => return None,
    })
}

fn count_in(message: &Icmpv6, cx: &mut Cx<'_>) {
    cx.count(match message.kind().0 {
        1 => Counter::Icmp6InDestUnreachs,
        2 => Counter::Icmp6InPktTooBigs,
        3 => Counter::Icmp6InTimeExcds,
        4 => Counter::Icmp6InParmProblems,
        128 => Counter::Icmp6InEchos,
        129 => Counter::Icmp6InEchoReplies,
        130 => Counter::Icmp6InGroupMembQueries,
        131 => Counter::Icmp6InGroupMembResponses,
        132 => Counter::Icmp6InGroupMembReductions,
        143 => Counter::Icmp6InMldv2Reports,
        133 => Counter::Icmp6InRouterSolicits,
        134 => Counter::Icmp6InRouterAdvertisements,
        135 => Counter::Icmp6InNeighborSolicits,
        136 => Counter::Icmp6InNeighborAdvertisements,
        137 => Counter::Icmp6InRedirects,
        _ => return,
    });
}

pub(crate) fn count_out(message: &Icmpv6, cx: &mut Cx<'_>) {
    cx.count(Counter::Icmp6OutMsgs);
    cx.count(match message.kind().0 {
        1 => Counter::Icmp6OutDestUnreachs,
        2 => Counter::Icmp6OutPktTooBigs,
        3 => Counter::Icmp6OutTimeExcds,
        4 => Counter::Icmp6OutParmProblems,
        128 => Counter::Icmp6OutEchos,
        129 => Counter::Icmp6OutEchoReplies,
        133 => Counter::Icmp6OutRouterSolicits,
        134 => Counter::Icmp6OutRouterAdvertisements,
        135 => Counter::Icmp6OutNeighborSolicits,
        136 => Counter::Icmp6OutNeighborAdvertisements,
        _ => return,
    });
}
