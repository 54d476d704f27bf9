//! IPv6 (RFC 8200): what a host checks of a packet that came, and the header of one that leaves.
//!
//! ```text
//!   receive ─▶ extension ─▶ icmpv6 ─▶ discovery ─▶ autoconf (hosts)   Heading::Discovered: for the neighbour cache
//!      │          └▶ reassembly  └▶ echo, errors ─▶ advertise (routers)
//!      └▶ forward
//! ```
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::{IpAddr, Ipv6Addr};

use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::{HEADER_LEN, Ipv6Header, next_header};
use heptad_wire::{Cut, PacketBuf};

use super::groups::Admission;
use super::zone::{bare, needs_zone, zone_of, zoned};
use super::{Departure, Flow, Heading, Network, Outgoing, Path, Refusal, Up};
use crate::keyed_hash::KeyedHash;
use crate::l1_physical::{PortId, bytes_once_cut};
use crate::{Counter, Cx, DropReason, Instant, Rng};

pub mod address;
mod advertise;
mod autoconf;
mod discovery;
mod extension;
mod forward;
mod fragment;
mod icmpv6;
mod interface;

use address::Addresses6;
pub use advertise::Advertising;
pub use discovery::{Discovered, Learnt};
pub(super) use extension::upper;
pub(crate) use icmpv6::{count_out, error_of, write_header};
pub use interface::Interface;

/// What IPv6 remembers between packets.
pub struct Ipv6 {
    pub(super) addresses: Addresses6,
    /// By port.
    interfaces: Vec<Interface>,
    hash: KeyedHash,
    /// Of fragmented datagrams, from anywhere on (RFC 7739).
    next_id: u32,
    /// What is to be sent at once: questions, advertisements.
    outbox: VecDeque<Departure>,
    /// When something is due next with an address, a route from a router, or an advertisement.
    due: Option<Instant>,
    /// Whether some of what will be due is more than upkeep.
    work: bool,
}
/// Most messages of neighbour discovery that wait to be sent.
const OUTBOX: usize = 256;

impl Ipv6 {
    /// Without addresses; all its secrets come from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [6; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        Self {
            addresses: Addresses6::default(),
            interfaces: Vec::new(),
            hash: KeyedHash::new(&mut rng),
            next_id: rng.next_u32(),
            outbox: VecDeque::new(),
            due: None,
            work: false,
        }
    }
    /// When something is to be done.
    pub fn poll_at(&self) -> Option<Instant> {
        match self.outbox.is_empty() {
            true => self.due,
            false => Some(Instant::ZERO),
        }
    }
    /// Whether some of that is more than upkeep.
    pub fn has_work(&self) -> bool {
        self.work || !self.outbox.is_empty()
    }
    /// Something was added or taken away.
    fn reschedule(&mut self) {
        let ports = self.interfaces.iter().filter_map(Interface::due);
        self.due = ports.chain(self.addresses.due()).min();
        let mut addresses = self.addresses.rows();
        self.work = self.interfaces.iter().any(Interface::has_work)
            || addresses.any(|(_, address)| address.probe.is_some());
    }
    /// RFC 6437: one label a flow, which nobody can guess.
    fn flow_label(&self, (src, dst): (Ipv6Addr, Ipv6Addr), departure: &Departure) -> u32 {
        let ports = departure.packet.head().first_chunk::<4>();
        let ports = u64::from(u32::from_be_bytes(*ports.unwrap_or(&[0; 4])));
        let word = ports << 8 | u64::from(departure.protocol);
        let hash = self.hash.hash_one((src.to_bits(), dst.to_bits(), word));
        (hash as u32 & 0xf_ffff).max(1)
    }
    fn send(&mut self, departure: Departure) {
        if self.outbox.len() < OUTBOX {
            self.outbox.push_back(departure);
        }
    }
}

impl Network {
    /// Does what is due with addresses, routes from routers and advertisements; the next message that is to leave.
    pub fn poll_discovery(&mut self, cx: &mut Cx<'_>) -> Option<Departure> {
        if self.v6.due.is_some_and(|due| due <= cx.now) {
            let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
            let rows = self.v6.addresses.rows();
            let rows = rows.filter(|(_, address)| is_due(address.due()));
            let due: Vec<_> = rows.map(|(port, address)| (port, address.ip)).collect();
            for (port, ip) in due {
                self.serve_address(port, ip, cx);
            }
            for index in 0..self.v6.interfaces.len() {
                let port = PortId(index as u16);
                self.serve_autoconf(port, cx);
                self.serve_advertiser(port, cx);
            }
            self.v6.reschedule();
        }
        self.v6.outbox.pop_front()
    }

    /// A packet of IPv6 that came up from layer 2; `group` tells whether the frame went to a group address.
    pub fn receive_v6(
        &mut self,
        port: PortId,
        mut packet: PacketBuf,
        group: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let frames = u64::from(packet.frames());
        cx.counters.add(Counter::Ip6InReceives, frames);
        let octets = bytes_once_cut(&packet);
        cx.counters.add(Counter::Ip6InOctets, octets);
        let mut header = match read_header(&mut packet) {
            Ok(header) => header,
            Err(reason) => {
                let truncated = reason == DropReason::IpTruncated;
                cx.count(match truncated {
                    true => Counter::Ip6InTruncatedPkts,
                    false => Counter::Ip6InHdrErrors,
                });
                return drop(packet, reason, cx);
            }
        };
        let marked = match header.traffic_class & 3 {
            0 => Counter::Ip6InNoEctPkts,
            1 => Counter::Ip6InEct1Pkts,
            2 => Counter::Ip6InEct0Pkts,
            _ => Counter::Ip6InCePkts,
        };
        cx.counters.add(marked, frames);
        if let Err(reason) = self.is_credible_v6(port, &header) {
            cx.count(Counter::Ip6InAddrErrors);
            return drop(packet, reason, cx);
        }
        let link = self.enter_zone(port, &mut header);
        if header.dst.is_multicast() {
            cx.counters.add(Counter::Ip6InMcastPkts, frames);
            return self.receive_group_v6(link, header, packet, cx);
        }
        let for_us = self.takes_v6(header.dst) && !group;
        match for_us {
            true => self.walk(port, header, packet, group, cx),
            false if self.forwarding && !group => self.forward_v6(port, header, packet, cx),
            false => {
                cx.count(Counter::Ip6InAddrErrors);
                drop(packet, DropReason::NotForUs, cx)
            }
        }
    }

    /// To a group that somebody here is in, or not.
    fn receive_group_v6(
        &mut self,
        port: PortId,
        header: Ipv6Header,
        packet: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let (src, dst) = (header.src.into(), header.dst.into());
        match self.groups.admits(port, dst, src) {
            Admission::Member => self.walk(port, header, packet, true, cx),
            // Reports and questions are heard whoever is wanted (RFC 9777 4.1): they have a hop-by-hop header.
            Admission::Filtered if header.next_header == next_header::HOP_BY_HOP => {
                self.walk(port, header, packet, true, cx)
            }
            // What the filter of an interface keeps away is no error.
            Admission::Filtered => drop(packet, DropReason::SourceFiltered, cx),
            Admission::Stranger => drop(packet, DropReason::NotOurGroup, cx),
        }
    }

    /// Puts the IPv6 header in front of what layer 4 hands down, cuts or fragments as the MTU asks.
    pub(super) fn encapsulate_v6(
        &mut self,
        departure: Departure,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        path: &Path,
        cx: &mut Cx<'_>,
    ) -> Result<Outgoing, Refusal> {
        let flow_label = self.v6.flow_label((src, dst), &departure);
        let Departure {
            protocol,
            ttl,
            tos,
            dont_fragment,
            segment,
            mut packet,
            ..
        } = departure;
        let Ok(payload_len) = u16::try_from(packet.len()) else {
            return Err(refusal(packet, DropReason::TooBig, None));
        };
        let header = Ipv6Header {
            traffic_class: tos,
            flow_label,
            payload_len,
            next_header: protocol,
            hop_limit: ttl,
            src: bare(src),
            dst: bare(dst),
        };
        let l4 = packet.head_start();
        header.emit(packet.push(HEADER_LEN));
        let mut frames = 1;
        if let Some(segment) = segment {
            let l3 = packet.head_start();
            packet.set_cut(Some(Cut { segment, l3, l4 }));
            frames = packet.frames();
            if frames == 1 {
                packet.set_cut(None);
            }
        }
        cx.counters.add(Counter::Ip6OutRequests, u64::from(frames));
        if packet.frame_len() <= path.mtu as usize {
            return Ok(packet.into());
        }
        if !dont_fragment {
            return self.fragment_v6(packet, path.mtu, cx);
        }
        cx.count(Counter::Ip6FragFails);
        let flow = Flow::of_sent(packet.head(), path.port);
        let too_long = flow.map(|flow| (flow, path.mtu));
        Err(refusal(packet, DropReason::FragmentationNeeded, too_long))
    }

    fn fragment_v6(
        &mut self,
        packet: PacketBuf,
        mtu: u32,
        cx: &mut Cx<'_>,
    ) -> Result<Outgoing, Refusal> {
        let id = self.v6.next_id;
        self.v6.next_id = id.wrapping_add(1);
        match fragment::fragment(packet, mtu, id, cx) {
            Ok(fragments) => {
                cx.count(Counter::Ip6FragOks);
                let made = 1 + fragments.rest.len() as u64;
                cx.counters.add(Counter::Ip6FragCreates, made);
                Ok(fragments)
            }
            Err(packet) => {
                cx.count(Counter::Ip6FragFails);
                Err(refusal(packet, DropReason::TooBig, None))
            }
        }
    }

    /// Addresses that no honest packet has (RFC 4291 2.5, 2.7, RFC 8200 4, RFC 4942 2.2).
    fn is_credible_v6(&self, port: PortId, header: &Ipv6Header) -> Result<(), DropReason> {
        let (src, dst) = (header.src, header.dst);
        let mapped = |ip: Ipv6Addr| ip.to_ipv4_mapped().is_some();
        let scope = dst.octets()[1] & 0x0f;
        let nowhere =
            dst.is_multicast() && (scope == 0 || (scope == 1 && port != PortId::LOOPBACK));
        if dst.is_unspecified() || mapped(dst) || nowhere || has_zone(dst) {
            return Err(DropReason::MartianDestination);
        }
        if src.is_multicast() || mapped(src) || has_zone(src) {
            return Err(DropReason::MartianSource);
        }
        if port == PortId::LOOPBACK {
            return Ok(());
        }
        if dst.is_loopback() {
            return Err(DropReason::MartianDestination);
        }
        // Who has no address yet speaks to groups only (RFC 4861 4.3).
        let nobody = src.is_unspecified() && !dst.is_multicast();
        // Who has our address says so with it as the source.
        let discovery = header.next_header == next_header::ICMPV6 && header.hop_limit == 255;
        let ours = !discovery && self.v6.addresses.is_ours(zoned(src, port));
        if src.is_loopback() || nobody || ours {
            return Err(DropReason::MartianSource);
        }
        Ok(())
    }

    /// Link-local addresses belong to the link that they came from. What comes round by the loopback belongs to the link of
    /// our address, or whose group it is. Which link that is.
    fn enter_zone(&self, port: PortId, header: &mut Ipv6Header) -> PortId {
        let ours = || self.zone_of_ours(header);
        let link = match port {
            PortId::LOOPBACK if header.dst.is_multicast() => {
                let src = ours().map_or(header.src, |link| zoned(header.src, link));
                self.looped_from(src.into(), header.dst.into())
            }
            PortId::LOOPBACK => ours().unwrap_or(port),
            cable => cable,
        };
        header.src = zoned(header.src, link);
        header.dst = zoned(header.dst, link);
        link
    }
    fn zone_of_ours(&self, header: &Ipv6Header) -> Option<PortId> {
        let local = [header.dst, header.src];
        let mut local = local.into_iter().filter(|ip| ip.is_unicast_link_local());
        let wanted = local.next()?;
        let mut rows = self.v6.addresses.rows();
        let found = rows.find(|(_, address)| bare(address.ip) == wanted);
        found.map(|(port, _)| port)
    }

    /// The port and the neighbour for a packet to `dst`.
    pub(super) fn next_hop_v6(
        &self,
        by: Option<PortId>,
        dst: Ipv6Addr,
        src: Option<Ipv6Addr>,
    ) -> Option<(PortId, Ipv6Addr)> {
        let is_at = |port| self.is_reached_by(port, dst.into());
        if self.v6.addresses.is_ours(dst) && by.is_none_or(is_at) {
            return Some((PortId::LOOPBACK, dst));
        }
        if dst.is_unspecified() {
            return None;
        }
        let spoken_from = || {
            let src = src?;
            let port = zone_of(src).or_else(|| self.v6.addresses.port_of(src));
            // Nobody but this host is on its loopback.
            port.filter(|port| *port != PortId::LOOPBACK)
        };
        if dst.is_multicast() {
            let told = zone_of(dst).or(by).or_else(spoken_from);
            let by_route = || self.routes.lookup(dst.into(), None).map(|hop| hop.port);
            let port = told.or_else(by_route);
            let port = port.or_else(|| self.v6.addresses.first_cable())?;
            return Some((port, zoned(bare(dst), port)));
        }
        if needs_zone(dst) {
            let port = zone_of(dst).or(by).or_else(spoken_from)?;
            if by.is_some_and(|by| by != port) {
                return None;
            }
            return Some((port, zoned(bare(dst), port)));
        }
        let hop = self.routes.lookup(dst.into(), by)?;
        match hop.via {
            Some(IpAddr::V6(via)) => Some((hop.port, via)),
            _ => Some((hop.port, dst)),
        }
    }

    /// The address to speak from by a port.
    pub(super) fn source_v6(&self, port: PortId, dst: Ipv6Addr) -> Option<Ipv6Addr> {
        match port {
            PortId::LOOPBACK => self.v6.addresses.is_ours(dst).then_some(dst),
            cable => self.v6.addresses.select(cable, dst),
        }
    }

    /// Whether a packet like this is TCP over IPv6 for this host.
    pub(super) fn may_merge_v6(&self, port: PortId, packet: &mut PacketBuf) -> bool {
        let header = packet.peek(HEADER_LEN).ok().map(Ipv6Header::parse);
        let Some(Ok(header)) = header else {
            return false;
        };
        header.next_header == protocol::TCP && self.takes_v6(zoned(header.dst, port))
    }
    /// Whether a packet to an address goes up. Nobody stands in for a neighbour on one's own cable.
    fn takes_v6(&self, dst: Ipv6Addr) -> bool {
        self.v6.addresses.is_ours(dst) || (self.transparent && !needs_zone(dst))
    }
}

/// A link-local address whose zone is not zero, as it is on every cable.
fn has_zone(ip: Ipv6Addr) -> bool {
    needs_zone(ip) && bare(ip) != ip
}

/// Reads the header and cuts off what the link padded. Jumbograms (RFC 2675) are refused with the rest.
fn read_header(packet: &mut PacketBuf) -> Result<Ipv6Header, DropReason> {
    let bytes = packet
        .peek(HEADER_LEN)
        .map_err(|_| DropReason::IpTruncated)?;
    let header = Ipv6Header::parse(bytes).map_err(|_| DropReason::IpHeader)?;
    let total_len = HEADER_LEN + usize::from(header.payload_len);
    match packet.len() {
        len if len < total_len => return Err(DropReason::IpTruncated),
        len if len > total_len => packet.truncate(total_len),
        _ => {}
    }
    Ok(header)
}

fn refusal(packet: PacketBuf, reason: DropReason, too_long: Option<(Flow, u32)>) -> Refusal {
    Refusal {
        packet,
        reason,
        too_long,
    }
}

fn drop(packet: PacketBuf, reason: DropReason, cx: &mut Cx<'_>) -> Up<Heading> {
    cx.pool.recycle(packet);
    Up::Drop(reason, None)
}

/// The ends of a packet, as an error about it names them.
fn ends(header: &Ipv6Header) -> (IpAddr, IpAddr) {
    (header.src.into(), header.dst.into())
}
