//! IPv4 (RFC 791, RFC 1122 3.2.1): what a host checks of a packet that came, and the header of one that leaves.
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr};

use heptad_wire::icmpv4::Icmpv4;
use heptad_wire::ipv4::{Ipv4Header, Options, protocol};
use heptad_wire::{Cut, PacketBuf, ParseError};

use super::foreign::opens;
use super::fragment::fragment;
use super::groups::Admission;
use super::icmp::is_reserved;
use super::quote::Quote;
use super::reassembly::{Collected, Fragment, Header};
use super::{Arrival, Cast, Departure, Flow, Heading, Network, Outgoing, Path, Refusal, Reply, Up};
use crate::l1_physical::{PortId, bytes_once_cut};
use crate::{Counter, Cx, DropReason};

/// Loose and strict source route (RFC 791 3.1).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

impl Network {
    /// A packet of IPv4 that came up from layer 2; `group` tells whether the frame went to a group address.
    pub fn receive_v4(
        &mut self,
        port: PortId,
        mut packet: PacketBuf,
        group: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let frames = u64::from(packet.frames());
        cx.counters.add(Counter::IpInReceives, frames);
        cx.counters
            .add(Counter::IpExtInOctets, bytes_once_cut(&packet));
        let header = match read_header(&mut packet) {
            Ok(header) => header,
            Err(reason) => {
                cx.count(Counter::IpInHdrErrors);
                if reason == DropReason::IpChecksum {
                    cx.count(Counter::IpExtInCsumErrors);
                }
                return drop(packet, reason, cx);
            }
        };
        let marked = match header.tos & 3 {
            0 => Counter::IpExtInNoEctPkts,
            1 => Counter::IpExtInEct1Pkts,
            2 => Counter::IpExtInEct0Pkts,
            _ => Counter::IpExtInCePkts,
        };
        cx.counters.add(marked, frames);
        if let Err(reason) = self.is_credible(port, &header) {
            cx.count(Counter::IpInAddrErrors);
            return drop(packet, reason, cx);
        }
        match check_options(&header.options) {
            OptionCheck::Fine => {}
            OptionCheck::Refused => {
                cx.count(Counter::IpInHdrErrors);
                return drop(packet, DropReason::IpOption, cx);
            }
            OptionCheck::Malformed { pointer } => {
                cx.count(Counter::IpInHdrErrors);
                let problem = Icmpv4::ParameterProblem { code: 0, pointer };
                let reply = self.refuse(&header, port, group, packet, problem, cx);
                return Up::Drop(DropReason::IpHeader, reply);
            }
        }
        match self.destination(port, group, &header, cx) {
            Destination::Ours { group } => self.receive_local(port, header, packet, group, cx),
            Destination::Group => self.receive_group_v4(port, header, packet, cx),
            Destination::Elsewhere if self.forwarding => {
                self.forward(port, header, packet, group, cx)
            }
            Destination::Elsewhere | Destination::Nobody => {
                cx.count(Counter::IpInAddrErrors);
                drop(packet, DropReason::NotForUs, cx)
            }
        }
    }

    pub(super) fn encapsulate_v4(
        &mut self,
        departure: Departure,
        (src, dst): (Ipv4Addr, Ipv4Addr),
        path: &Path,
        cx: &mut Cx<'_>,
    ) -> Result<Outgoing, Refusal> {
        let header = Ipv4Header {
            tos: departure.tos,
            total_len: 0,
            id: 0,
            reserved: false,
            dont_fragment: departure.dont_fragment,
            more_fragments: false,
            fragment_offset: 0,
            ttl: departure.ttl,
            protocol: departure.protocol,
            src,
            dst,
            //= rfc2236#2
            //# All IGMP messages described in this document are sent with IP TTL 1, and contain the IP Router Alert option
            options: match departure.protocol {
                protocol::IGMP => Options::ROUTER_ALERT,
                _ => Options::NONE,
            },
        };
        let segment = departure.segment;
        let packet = self.write_header(header, segment, departure.packet, cx)?;
        if packet.frame_len() <= path.mtu as usize {
            return Ok(packet.into());
        }
        if !departure.dont_fragment {
            return self.fragment(packet, path.mtu, cx);
        }
        cx.count(Counter::IpFragFails);
        let flow = Flow::of_sent(packet.head(), path.port);
        Err(Refusal {
            packet,
            reason: DropReason::FragmentationNeeded,
            too_long: flow.map(|flow| (flow, path.mtu)),
        })
    }

    /// Cuts a super-segment, then fragments what is still too long.
    pub(super) fn fragment(
        &mut self,
        packet: PacketBuf,
        mtu: u32,
        cx: &mut Cx<'_>,
    ) -> Result<Outgoing, Refusal> {
        let mut pieces = alloc::vec::Vec::new();
        for frame in packet.cut(cx.pool) {
            if frame.len() <= mtu as usize {
                pieces.push(frame);
                continue;
            }
            match fragment(frame, mtu, cx) {
                Ok(fragments) => {
                    cx.count(Counter::IpFragOks);
                    let made = 1 + fragments.rest.len() as u64;
                    cx.counters.add(Counter::IpFragCreates, made);
                    pieces.extend(fragments);
                }
                Err(packet) => {
                    cx.count(Counter::IpFragFails);
                    return Err(Refusal {
                        packet,
                        reason: DropReason::TooBig,
                        too_long: None,
                    });
                }
            }
        }
        let mut pieces = pieces.into_iter();
        let first = pieces.next().expect("a packet is at least one frame");
        Ok(Outgoing {
            first,
            rest: pieces.collect(),
        })
    }

    /// Whether a packet like this is TCP for this host: only then may it be merged with its neighbours.
    pub(super) fn may_merge_v4(&self, packet: &mut PacketBuf) -> bool {
        let Some(header) = packet
            .peek(heptad_wire::ipv4::MIN_HEADER_LEN)
            .ok()
            .and_then(|bytes| bytes.first_chunk::<20>())
        else {
            return false;
        };
        let dst = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
        header[9] == protocol::TCP && self.speaks_from(dst.into())
    }

    /// Answers a packet that could not be handled with an ICMP error, if one is due. `packet` begins with its IPv4 header.
    pub(super) fn refuse(
        &mut self,
        header: &Ipv4Header,
        port: PortId,
        group: bool,
        mut packet: PacketBuf,
        message: Icmpv4,
        cx: &mut Cx<'_>,
    ) -> Option<Reply> {
        packet.fill();
        let quote = match packet.pull(header.len()) {
            Ok(_) => Some(Quote::new(header, port, group, &packet)),
            Err(_) => None,
        };
        cx.pool.recycle(packet);
        self.error(&quote?, message, cx).map(Reply::Transport)
    }

    fn write_header(
        &mut self,
        mut header: Ipv4Header,
        segment: Option<u16>,
        mut packet: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Result<PacketBuf, Refusal> {
        let Ok(total_len) = u16::try_from(header.len() + packet.len()) else {
            return Err(Refusal {
                packet,
                reason: DropReason::TooBig,
                too_long: None,
            });
        };
        header.total_len = total_len;
        let l4 = packet.head_start();
        let bytes = packet.push(header.len());
        let mut frames = 1;
        if let Some(segment) = segment {
            header.emit(bytes);
            let l3 = packet.head_start();
            packet.set_cut(Some(Cut { segment, l3, l4 }));
            frames = packet.frames();
            if frames == 1 {
                packet.set_cut(None);
            }
        }
        cx.counters.add(Counter::IpOutRequests, u64::from(frames));
        header.id = self
            .identification
            .take(header.src, header.dst, header.protocol, frames);
        // Only now is it known how many numbers it takes.
        if let Ok(bytes) = packet.peek_mut(header.len()) {
            header.emit(bytes);
        }
        Ok(packet)
    }

    /// RFC 1122 3.2.1.3, RFC 1812 5.3.7: addresses that no honest packet has.
    fn is_credible(&self, port: PortId, header: &Ipv4Header) -> Result<(), DropReason> {
        if port == PortId::LOOPBACK {
            return Ok(());
        }
        let (src, dst) = (header.src, header.dst);
        // 0.0.0.0 asks for an address (DHCP) and may speak to everybody only; memberships are told without one too.
        let speaks = dst.is_broadcast() || header.protocol == protocol::IGMP;
        let nobody = src.octets()[0] == 0 && !(src.is_unspecified() && speaks);
        if nobody
            || src.is_multicast()
            || is_reserved(src)
            || self.addresses.is_ours(src)
            || self.addresses.is_broadcast_on(port, src)
        {
            return Err(DropReason::MartianSource);
        }
        if dst.octets()[0] == 0 || dst.is_loopback() || (is_reserved(dst) && !dst.is_broadcast()) {
            return Err(DropReason::MartianDestination);
        }
        Ok(())
    }

    fn destination(
        &self,
        port: PortId,
        link_group: bool,
        header: &Ipv4Header,
        cx: &mut Cx<'_>,
    ) -> Destination {
        match self.cast(port, header.dst) {
            Cast::Broadcast => {
                cx.count(Counter::IpExtInBcastPkts);
                Destination::Ours { group: true }
            }
            Cast::Multicast => {
                cx.count(Counter::IpExtInMcastPkts);
                Destination::Group
            }
            //= rfc1122#3.3.6
            //# a host SHOULD silently discard a datagram that is received via a link-layer broadcast
            Cast::Unicast if link_group => Destination::Nobody,
            Cast::Unicast if self.speaks_from(header.dst.into()) => {
                Destination::Ours { group: false }
            }
            Cast::Unicast => Destination::Elsewhere,
        }
    }

    /// To a group. What this host said itself comes round by the loopback, for whoever joined on its way out.
    fn receive_group_v4(
        &mut self,
        port: PortId,
        header: Ipv4Header,
        packet: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let (src, dst) = (header.src.into(), header.dst.into());
        let port = match port {
            PortId::LOOPBACK => self.looped_from(src, dst),
            cable => cable,
        };
        match self.groups.admits(port, dst, src) {
            // Reports and questions are heard whoever is wanted (RFC 9776 3.1).
            Admission::Filtered if header.protocol == protocol::IGMP => {
                self.receive_local(port, header, packet, true, cx)
            }
            Admission::Member => self.receive_local(port, header, packet, true, cx),
            // What the filter of an interface keeps away is no error.
            Admission::Filtered => drop(packet, DropReason::SourceFiltered, cx),
            Admission::Stranger => drop(packet, DropReason::NotOurGroup, cx),
        }
    }
    /// The port by which we said something to a group: that of the address that said it, if it is heard there.
    pub(super) fn looped_from(&self, src: IpAddr, dst: IpAddr) -> PortId {
        let own = match src {
            IpAddr::V4(src) => self.addresses.port_of(src),
            IpAddr::V6(src) => self.v6.addresses.port_of(src),
        };
        let own = own.unwrap_or(PortId::LOOPBACK);
        match self.groups.admits(own, dst, src) {
            Admission::Member => own,
            _ => self.groups.port_that_admits(dst, src).unwrap_or(own),
        }
    }

    fn receive_local(
        &mut self,
        port: PortId,
        header: Ipv4Header,
        mut packet: PacketBuf,
        group: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        if packet.pull(header.len()).is_err() {
            return drop(packet, DropReason::IpTruncated, cx);
        }
        if !header.more_fragments && header.fragment_offset == 0 {
            return self.deliver(port, &header, packet, group, cx);
        }
        cx.count(Counter::IpReasmReqds);
        packet.fill();
        let fragment = Fragment {
            header: Header::V4(header),
            port,
            group,
            packet,
        };
        match self.reassembly.collect(fragment, cx) {
            Collected::Whole(Header::V4(header), packet) => {
                cx.count(Counter::IpReasmOks);
                self.deliver(port, &header, packet, group, cx)
            }
            Collected::Whole(Header::V6(..), _) | Collected::Waiting => Up::Done,
            Collected::Refused(reason) => {
                if reason != DropReason::FragmentDuplicate {
                    cx.count(Counter::IpReasmFails);
                }
                Up::Drop(reason, None)
            }
        }
    }

    /// A whole datagram for this host.
    fn deliver(
        &mut self,
        port: PortId,
        header: &Ipv4Header,
        mut packet: PacketBuf,
        group: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let frames = u64::from(packet.frames());
        cx.counters.add(Counter::IpInDelivers, frames);
        self.tap_v4(port, header, &packet);
        let knocks =
            !group && self.is_foreign(header.dst.into()) && opens(header.protocol, &mut packet);
        // TCP answers with segments of its own, ICMP never with an error; but for what is held before they see it.
        let quote = !matches!(
            header.protocol,
            protocol::TCP | protocol::ICMP | protocol::IGMP
        );
        let quote = (quote || knocks).then(|| Box::new(Quote::new(header, port, group, &packet)));
        let arrival = Arrival {
            src: IpAddr::V4(header.src),
            dst: IpAddr::V4(header.dst),
            protocol: header.protocol,
            ttl: header.ttl,
            tos: header.tos,
            port,
            group,
            packet,
        };
        match header.protocol {
            protocol::ICMP if !knocks => self.receive_icmp(arrival, cx),
            protocol::IGMP => {
                let alert = header.options.has_router_alert();
                self.receive_igmp(arrival, alert, cx)
            }
            _ => Up::Next(Heading::Local(arrival, quote)),
        }
    }
}

/// Whom a packet is for.
enum Destination {
    /// This host, alone or among others.
    Ours { group: bool },
    /// Whoever is in the group.
    Group,
    /// Another host, by way of a router.
    Elsewhere,
    /// Nobody here, and not to be forwarded.
    Nobody,
}

/// What is to be done about a packet's options.
enum OptionCheck {
    Fine,
    Refused,
    Malformed { pointer: u8 },
}

/// Reads the header and cuts off what the link padded.
fn read_header(packet: &mut PacketBuf) -> Result<Ipv4Header, DropReason> {
    let first = packet.peek(1).ok().and_then(|bytes| bytes.first().copied());
    let len = Ipv4Header::len_of(first.ok_or(DropReason::IpTruncated)?)
        .map_err(|_| DropReason::IpHeader)?;
    let bytes = packet.peek(len).map_err(|_| DropReason::IpTruncated)?;
    let header = Ipv4Header::parse(bytes).map_err(|error| match error {
        ParseError::BadChecksum => DropReason::IpChecksum,
        _ => DropReason::IpHeader,
    })?;
    let total_len = usize::from(header.total_len);
    match packet.len() {
        len if len < total_len => return Err(DropReason::IpTruncated),
        len if len > total_len => packet.truncate(total_len),
        _ => {}
    }
    Ok(header)
}

/// RFC 1122 3.2.1.8: source routes are refused, others are ignored if their lengths are right.
fn check_options(options: &Options) -> OptionCheck {
    let bytes = options.as_bytes();
    let mut rest = bytes;
    while let [kind, tail @ ..] = rest {
        let len = match (kind, tail) {
            (0, _) => return OptionCheck::Fine,
            (1, _) => 1,
            (kind, _) if SOURCE_ROUTES.contains(kind) => return OptionCheck::Refused,
            (_, [len, ..]) if *len >= 2 => usize::from(*len),
            _ => 0,
        };
        match rest.split_at_checked(len) {
            Some((option, after)) if !option.is_empty() => rest = after,
            _ => {
                let at = heptad_wire::ipv4::MIN_HEADER_LEN + bytes.len() - rest.len() + 1;
                return OptionCheck::Malformed { pointer: at as u8 };
            }
        }
    }
    OptionCheck::Fine
}

fn drop(packet: PacketBuf, reason: DropReason, cx: &mut Cx<'_>) -> Up<Heading> {
    cx.pool.recycle(packet);
    Up::Drop(reason, None)
}
