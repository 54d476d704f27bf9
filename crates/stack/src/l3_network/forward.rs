//! Forwarding (RFC 1812 5.2, 5.3): what a router does with a packet that is for somebody else.
use core::net::{IpAddr, Ipv4Addr};

use heptad_wire::PacketBuf;
use heptad_wire::icmpv4::{Icmpv4, Unreachable};
use heptad_wire::icmpv6::{self, Icmpv6};
use heptad_wire::ipv4::Ipv4Header;
use heptad_wire::ipv6::{self, Ipv6Header};

use super::quote::{Quote, copied, flow_len};
use super::{Flow, Heading, NetError, Network, News, Path, Told, Up, zone};
use crate::l1_physical::PortId;
use crate::{Counter, Cx, DropReason};

/// What becomes of a packet that waited for a neighbour in vain.
pub enum Undeliverable {
    /// It was ours: the layers above should know.
    Ours(News),
    /// It was forwarded: its sender gets this error.
    Theirs(super::Departure),
    /// Nobody is to be told.
    Nobody,
}

impl Network {
    /// A packet for another host. Redirects are not sent: hosts of a lab have the routes that its file gives them.
    pub(super) fn forward(
        &mut self,
        port: PortId,
        header: Ipv4Header,
        mut packet: PacketBuf,
        group: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        // RFC 2644: nor broadcasts of another cable of ours.
        if !may_be_forwarded(&header) || self.addresses.is_broadcast(header.dst) {
            cx.count(Counter::IpInAddrErrors);
            cx.pool.recycle(packet);
            return Up::Drop(DropReason::NotForUs, None);
        }
        let Some(hop) = self.routes.lookup(header.dst.into(), None) else {
            cx.count(Counter::IpOutNoRoutes);
            let message = Icmpv4::Unreachable(Unreachable::Net);
            let reply = self.refuse(&header, port, group, packet, message, cx);
            return Up::Drop(DropReason::NoRoute, reply);
        };
        if header.ttl <= 1 {
            cx.count(Counter::IpInHdrErrors);
            let message = Icmpv4::TimeExceeded { code: 0 };
            let reply = self.refuse(&header, port, group, packet, message, cx);
            return Up::Drop(DropReason::TtlExceeded, reply);
        }
        let path = Path {
            port: hop.port,
            next_hop: hop.via.unwrap_or(IpAddr::V4(header.dst)),
            src: IpAddr::V4(header.src),
            mtu: self.mtu(hop.port),
        };
        let too_long = packet.frame_len() > path.mtu as usize;
        if too_long && header.dont_fragment {
            cx.count(Counter::IpFragFails);
            let mtu = u16::try_from(path.mtu).unwrap_or(u16::MAX);
            let message = Icmpv4::Unreachable(Unreachable::FragmentationNeeded { mtu });
            let reply = self.refuse(&header, port, group, packet, message, cx);
            return Up::Drop(DropReason::FragmentationNeeded, reply);
        }
        if let Ok(bytes) = packet.peek_mut(header.len()) {
            Ipv4Header::decrement_ttl(bytes);
        }
        let frames = u64::from(packet.frames());
        cx.counters.add(Counter::IpForwDatagrams, frames);
        if !too_long {
            return Up::Next(Heading::Onward(path, packet.into()));
        }
        match self.fragment(packet, path.mtu, cx) {
            Ok(outgoing) => Up::Next(Heading::Onward(path, outgoing)),
            Err(refusal) => {
                cx.pool.recycle(refusal.packet);
                Up::Drop(refusal.reason, None)
            }
        }
    }

    /// Who is to be told that a packet (from its IP header on) found no neighbour (RFC 1812 5.2.7.1, RFC 4443 3.1: host or
    /// address unreachable).
    pub fn undeliverable(
        &mut self,
        port: PortId,
        packet: &mut PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Undeliverable {
        let version = packet.peek(1).ok().and_then(|bytes| bytes.first().copied());
        let told = match version.map(|first| first >> 4) {
            Some(6) => self.undeliverable_v6(port, packet, cx),
            _ => self.undeliverable_v4(port, packet, cx),
        };
        told.unwrap_or(Undeliverable::Nobody)
    }
    fn undeliverable_v4(
        &mut self,
        port: PortId,
        packet: &mut PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Option<Undeliverable> {
        let first = *packet.peek(1).ok()?.first()?;
        let header_len = Ipv4Header::len_of(first).ok()?;
        let header = Ipv4Header::parse(packet.peek(header_len).ok()?).ok()?;
        if self.addresses.is_ours(header.src) {
            return ours(port, packet, header.len() + 8);
        }
        packet.fill();
        packet.pull(header.len()).ok()?;
        let quote = Quote::new(&header, port, false, packet);
        let message = Icmpv4::Unreachable(Unreachable::Host);
        self.error(&quote, message, cx).map(Undeliverable::Theirs)
    }
    fn undeliverable_v6(
        &mut self,
        port: PortId,
        packet: &mut PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Option<Undeliverable> {
        let header = Ipv6Header::parse(packet.peek(ipv6::HEADER_LEN).ok()?).ok()?;
        let (src, dst) = (zone::zoned(header.src, port), zone::zoned(header.dst, port));
        if self.v6.addresses.is_ours(src) {
            return ours(port, packet, ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN + 8);
        }
        packet.fill();
        let places = super::ipv6::upper(packet);
        let quote = Quote::whole((src.into(), dst.into()), port, false, packet, places);
        let message = Icmpv6::Unreachable(icmpv6::Unreachable::Address);
        self.error_v6(&quote, message, cx)
            .map(Undeliverable::Theirs)
    }
}

/// A packet that we sent ourselves.
fn ours(port: PortId, packet: &mut PacketBuf, len: usize) -> Option<Undeliverable> {
    let len = len.min(packet.len());
    let bytes = packet.peek(len).ok()?;
    let flow = Flow::of_sent(bytes, port)?;
    let flow_len = flow_len(bytes)?;
    let error = NetError::HostUnreachable;
    let told = Told::by_ourselves(&flow, error, copied(packet, flow_len));
    let news = News::Unreachable(flow, error, told);
    Some(Undeliverable::Ours(news))
}

/// RFC 1812 5.3.7 and RFC 3927 7: neither nobody's packets nor those of one cable.
fn may_be_forwarded(header: &Ipv4Header) -> bool {
    let one_cable = |ip: Ipv4Addr| ip.is_link_local() || ip.is_loopback() || ip.is_unspecified();
    !one_cable(header.src) && !one_cable(header.dst)
}
