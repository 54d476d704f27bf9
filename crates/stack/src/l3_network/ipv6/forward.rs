//! Forwarding of IPv6 (RFC 8200 3, 4443 3): a router never fragments.
use core::net::{IpAddr, Ipv6Addr};

use heptad_wire::PacketBuf;
use heptad_wire::icmpv6::{Icmpv6, Unreachable};
use heptad_wire::ipv6::{Ipv6Header, next_header};

use super::super::quote::Quote;
use super::super::{Heading, Network, Path, Up};
use super::ends;
use crate::l1_physical::PortId;
use crate::{Counter, Cx, DropReason};

/// Where the hop limit stands.
const HOP_LIMIT_AT: usize = 7;

impl Network {
    /// A packet for another host. Redirects are not sent: hosts of a lab have the routes that its file gives them.
    pub(super) fn forward_v6(
        &mut self,
        port: PortId,
        header: Ipv6Header,
        mut packet: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        if header.next_header == next_header::HOP_BY_HOP
            && let Err(up) = self.look_at_hop_by_hop(port, &header, &mut packet, cx)
        {
            cx.pool.recycle(packet);
            return up;
        }
        let one_link = |ip: Ipv6Addr| ip.is_unicast_link_local() || ip.is_loopback();
        if one_link(header.dst) || header.src.is_unspecified() || header.src.is_loopback() {
            cx.count(Counter::Ip6InAddrErrors);
            cx.pool.recycle(packet);
            return Up::Drop(DropReason::NotForUs, None);
        }
        let Some(hop) = self.routes.lookup(header.dst.into(), None) else {
            cx.count(Counter::Ip6InNoRoutes);
            let message = Icmpv6::Unreachable(Unreachable::NoRoute);
            return self.refuse_v6(port, &header, packet, (DropReason::NoRoute, message), cx);
        };
        if header.src.is_unicast_link_local() {
            cx.count(Counter::Ip6InAddrErrors);
            let message = Icmpv6::Unreachable(Unreachable::BeyondScope);
            return self.refuse_v6(port, &header, packet, (DropReason::NotForUs, message), cx);
        }
        if header.hop_limit <= 1 {
            cx.count(Counter::Ip6InHdrErrors);
            let message = Icmpv6::TimeExceeded { code: 0 };
            return self.refuse_v6(
                port,
                &header,
                packet,
                (DropReason::TtlExceeded, message),
                cx,
            );
        }
        let path = Path {
            port: hop.port,
            next_hop: hop.via.unwrap_or(IpAddr::V6(header.dst)),
            src: header.src.into(),
            mtu: self.mtu_v6(hop.port),
        };
        if packet.frame_len() > path.mtu as usize {
            cx.count(Counter::Ip6InTooBigErrors);
            let message = Icmpv6::PacketTooBig { mtu: path.mtu };
            let why = (DropReason::FragmentationNeeded, message);
            return self.refuse_v6(port, &header, packet, why, cx);
        }
        if let Ok([.., hop_limit]) = packet.peek_mut(HOP_LIMIT_AT + 1) {
            *hop_limit -= 1;
        }
        let frames = u64::from(packet.frames());
        cx.counters.add(Counter::Ip6OutForwDatagrams, frames);
        Up::Next(Heading::Onward(path, packet.into()))
    }

    /// Discards a packet (from its header on) and says why to its sender.
    fn refuse_v6(
        &mut self,
        port: PortId,
        header: &Ipv6Header,
        mut packet: PacketBuf,
        (reason, message): (DropReason, Icmpv6),
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        packet.fill();
        let quote = Quote::whole(
            ends(header),
            port,
            false,
            &packet,
            super::extension::upper(&packet),
        );
        cx.pool.recycle(packet);
        let reply = self.error_v6(&quote, message, cx);
        Up::Drop(reason, reply.map(super::super::Reply::Transport))
    }
}
