//! IGMP and MLD messages on their way: what is checked of those that come, and who those that leave come from.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_wire::group::{Message, Query, Version};
use heptad_wire::ipv4::{self, protocol};
use heptad_wire::ipv6::{self, next_header};
use heptad_wire::{Chunk, ParseError, Sum, checksum, igmp, mld};

use super::super::zone::zoned_ip;
use super::super::{Arrival, Departure, Heading, Network, Outlet, Up, zone};
use super::{Admission, Link, Membership, MembershipError, Memberships, Told};
use crate::l1_physical::PortId;
use crate::{Counter, Cx, DropReason, Instant};

/// Nobody beyond the link hears it.
const HOP_LIMIT: u8 = 1;
/// Internetwork control, as Linux marks what it sends of IGMP.
const TOS: u8 = 0xc0;

impl Network {
    /// Does what is asked of a group, in a socket's list and on the interface.
    pub fn change_membership(
        &mut self,
        memberships: &mut Memberships,
        port: PortId,
        group: IpAddr,
        asked: Membership,
    ) -> Result<(), MembershipError> {
        let after = memberships.after(port, group, asked)?;
        let before = memberships.filter(port, group);
        if !self.groups.change(port, group, before, after.as_ref()) {
            return Err(MembershipError::Full);
        }
        memberships.set(port, group, after);
        Ok(())
    }
    /// Leaves all that a socket has joined.
    pub fn leave_all(&mut self, memberships: &Memberships) {
        for (port, group, filter) in memberships.all() {
            self.groups.change(*port, *group, Some(filter), None);
        }
    }
    /// The link that is meant; `None`: there is none.
    pub fn port_of_link(&self, link: Link, group: IpAddr) -> Option<PortId> {
        match link {
            Link::Port(port) => (self.mtu(port) > 0).then_some(port),
            Link::Address(ip) if ip.is_loopback() => Some(PortId::LOOPBACK),
            Link::Address(ip) => self.addresses.port_of(ip),
            Link::Any => self.route(group, None).ok().map(|path| path.port),
        }
    }

    /// Whether somebody on this host hears what we send to a group by a port.
    pub fn hears(&self, port: PortId, group: IpAddr, source: IpAddr) -> bool {
        let admission = || self.groups.admits(port, group, source);
        port != PortId::LOOPBACK && group.is_multicast() && admission() == Admission::Member
    }

    /// When a membership is to be told.
    pub fn groups_poll_at(&self) -> Option<Instant> {
        self.groups.poll_at()
    }
    /// The next message about memberships that is to leave.
    pub fn poll_groups(&mut self, cx: &mut Cx<'_>) -> Option<Departure> {
        let mtus = &self.mtus;
        let room = |port: PortId, is_v6: bool| {
            let headers = match is_v6 {
                false => ipv4::MIN_HEADER_LEN + 4 + igmp::HEADER_LEN,
                true => ipv6::HEADER_LEN + mld::HOP_BY_HOP.len() + 8,
            };
            let mtu = mtus.get(usize::from(port.0)).copied().unwrap_or(0);
            (mtu.min(u16::MAX.into()) as usize).saturating_sub(headers)
        };
        let told = self.groups.poll(cx.now, room)?;
        Some(match told.to {
            IpAddr::V4(_) => self.igmp(&told, cx),
            IpAddr::V6(_) => self.mld(&told, cx),
        })
    }

    fn igmp(&self, told: &Told, cx: &mut Cx<'_>) -> Departure {
        let toward = match told.to {
            IpAddr::V4(to) => to,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let own = self.addresses.source(told.port, toward);
        let mut packet = cx.pool.packet();
        packet.append(Chunk::copy_from(&igmp::to_bytes(&told.message)));
        packet.set_sum(Sum::Verified);
        cx.count(match told.message {
            Message::Leave { .. } => Counter::IgmpOutLeaves,
            _ => Counter::IgmpOutReports,
        });
        Departure {
            src: own.unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
            dst: told.to,
            protocol: protocol::IGMP,
            ttl: HOP_LIMIT,
            tos: TOS,
            dont_fragment: true,
            segment: None,
            outlet: Outlet::by(told.port),
            packet,
        }
    }

    fn mld(&self, told: &Told, cx: &mut Cx<'_>) -> Departure {
        // RFC 9777 5.2.13: while no link-local address is surely ours, the unspecified one.
        let src = IpAddr::from(
            self.sure_link_local(told.port)
                .unwrap_or(Ipv6Addr::UNSPECIFIED),
        );
        let dst = zoned_ip(told.to, told.port);
        let mut bytes = mld::to_bytes(&told.message);
        let len = bytes.len() as u32;
        let pseudo = zone::pseudo_header(src, dst, next_header::ICMPV6, len);
        checksum::fill(&mut bytes, 2, pseudo);
        let mut packet = cx.pool.packet();
        packet.append(Chunk::copy_from(&mld::HOP_BY_HOP));
        packet.append(Chunk::copy_from(&bytes));
        packet.set_sum(Sum::Verified);
        cx.count(Counter::Icmp6OutMsgs);
        cx.count(match told.message {
            Message::Leave { .. } => Counter::Icmp6OutGroupMembReductions,
            Message::Records(_) => Counter::Icmp6OutMldv2Reports,
            _ => Counter::Icmp6OutGroupMembResponses,
        });
        Departure {
            src,
            dst,
            protocol: next_header::HOP_BY_HOP,
            ttl: HOP_LIMIT,
            tos: 0,
            dont_fragment: true,
            segment: None,
            outlet: Outlet::by(told.port),
            packet,
        }
    }

    /// An IGMP message for a group of ours; `alert`: with the router alert option.
    pub(in super::super) fn receive_igmp(
        &mut self,
        mut arrival: Arrival,
        alert: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let mut bytes = alloc::vec::Vec::new();
        arrival.packet.fill();
        arrival.packet.write_to(&mut bytes);
        let read = igmp::parse(&bytes).map_err(|error| match error {
            ParseError::BadChecksum => DropReason::GroupChecksum,
            ParseError::BadVersion => DropReason::GroupIgnored,
            _ => DropReason::GroupMalformed,
        });
        if let Ok(message) = &read {
            cx.count(match message {
                Message::Query(_) => Counter::IgmpInQueries,
                Message::Leave { .. } => Counter::IgmpInLeaves,
                _ => Counter::IgmpInReports,
            });
        }
        let heard = read.and_then(|message| self.hear_message(&arrival, message, alert, cx));
        if let Err(DropReason::GroupMalformed | DropReason::GroupChecksum) = heard {
            cx.count(Counter::IgmpInErrors);
        }
        cx.pool.recycle(arrival.packet);
        verdict(heard)
    }

    /// The same of MLD, whose checksum was checked; `arrival` begins with the ICMPv6 header.
    pub(in super::super) fn receive_mld(
        &mut self,
        kind: u8,
        arrival: Arrival,
        alert: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let mut bytes = alloc::vec::Vec::new();
        arrival.packet.write_to(&mut bytes);
        let read = mld::parse(kind, bytes.get(4..).unwrap_or_default());
        let read = read.map_err(|_| DropReason::GroupMalformed);
        let is_link_local = match arrival.src {
            IpAddr::V6(src) => src.is_unicast_link_local(),
            IpAddr::V4(_) => false,
        };
        let heard = read.and_then(|message| {
            // RFC 9777 6.2 and 6.3: from the link only.
            match is_link_local {
                true => self.hear_message(&arrival, message, alert, cx),
                false => Err(DropReason::GroupSource),
            }
        });
        if heard == Err(DropReason::GroupMalformed) {
            cx.count(Counter::Icmp6InErrors);
        }
        cx.pool.recycle(arrival.packet);
        verdict(heard)
    }

    fn hear_message(
        &mut self,
        arrival: &Arrival,
        message: Message,
        alert: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        if arrival.ttl != HOP_LIMIT {
            return Err(DropReason::GroupHopLimit);
        }
        // Version 1 of IGMP is older than the option.
        let needs_alert = !matches!(&message, Message::Query(q) if q.version == Version::V1);
        if needs_alert && !alert {
            return Err(DropReason::GroupNoAlert);
        }
        match message {
            Message::Query(query) => {
                check_query(&query)?;
                self.groups.hear_query(arrival.port, &query, cx.now);
                Ok(())
            }
            Message::Report { group, .. } => {
                self.groups.hear_report(arrival.port, group, cx.now);
                Ok(())
            }
            // They are for routers.
            Message::Leave { .. } | Message::Records(_) => Err(DropReason::GroupIgnored),
        }
    }
}

/// A question is about all groups, or about one and perhaps its sources. Whom it was sent to does not matter (RFC 9776
/// 4.1.12, RFC 9777 5.1.15).
fn check_query(query: &Query) -> Result<(), DropReason> {
    let about = query.group;
    let general = about.is_unspecified();
    if !(general || about.is_multicast()) || (general && !query.sources.is_empty()) {
        return Err(DropReason::GroupMalformed);
    }
    Ok(())
}

fn verdict(heard: Result<(), DropReason>) -> Up<Heading> {
    match heard {
        Ok(()) => Up::Done,
        Err(reason) => Up::Drop(reason, None),
    }
}
