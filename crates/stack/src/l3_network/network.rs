//! The network layer of one host: its addresses, its routes, and what it remembers between packets.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::address::Addresses;
use super::identification::Identification;
use super::quote::Quote;
use super::rate_limit::ErrorBudget;
use super::reassembly::Reassembly;
use super::route::{RouteTable, v4};
use super::{Cast, NetError, Path, Route};
use crate::l1_physical::PortId;
use crate::{Counter, Cx, Instant};

pub use super::forward::Undeliverable;

/// Layer 3 of one host.
pub struct Network {
    pub(super) forwarding: bool,
    pub(super) addresses: Addresses,
    pub(super) routes: RouteTable,
    pub(super) identification: Identification,
    pub(super) reassembly: Reassembly,
    pub(super) errors: ErrorBudget,
    /// By port, bytes.
    mtus: Vec<u32>,
}

impl Network {
    /// A network layer without ports; secrets are drawn from `cx.rng`. `forwarding`: it is a router.
    pub fn new(forwarding: bool, cx: &mut Cx<'_>) -> Self {
        Self {
            forwarding,
            addresses: Addresses::default(),
            routes: RouteTable::new(),
            identification: Identification::new(cx.rng),
            reassembly: Reassembly::new(cx),
            errors: ErrorBudget::new(cx.rng),
            mtus: Vec::new(),
        }
    }
    /// The largest IP packet of a port, bytes.
    pub fn set_mtu(&mut self, port: PortId, mtu: u32) {
        let index = usize::from(port.0);
        if index >= self.mtus.len() {
            self.mtus.resize(index + 1, 0);
        }
        if let Some(slot) = self.mtus.get_mut(index) {
            *slot = mtu;
        }
    }
    /// The same to ask; 0 for a port that does not exist.
    pub fn mtu(&self, port: PortId) -> u32 {
        self.mtus.get(usize::from(port.0)).copied().unwrap_or(0)
    }
    /// Adds an address and the route to its prefix. `Family` for IPv6, `ParameterProblem` for one that no host can have
    /// or that is here already.
    pub fn add_address(&mut self, port: PortId, ip: IpAddr, len: u8) -> Result<(), NetError> {
        let ip = v4(ip)?;
        let impossible = ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || len > 32;
        if impossible || !self.addresses.add(port, ip, len) {
            return Err(NetError::ParameterProblem);
        }
        if port == PortId::LOOPBACK {
            return Ok(());
        }
        self.add_route(Route {
            prefix: IpAddr::V4(ip),
            len,
            via: None,
            port,
        })
    }
    /// Adds a route; longest prefix wins, then the older one. Errors as for [`Self::add_address`].
    pub fn add_route(&mut self, route: Route) -> Result<(), NetError> {
        self.routes.add(route)
    }
    /// Addresses with their port and prefix length, by port.
    pub fn address_rows(&self) -> Vec<(PortId, IpAddr, u8)> {
        let rows = self.addresses.rows();
        rows.map(|(port, a)| (port, IpAddr::V4(a.ip), a.len))
            .collect()
    }
    /// The routing table, the default first.
    pub fn route_rows(&self) -> Vec<Route> {
        self.routes.rows()
    }

    /// The way to `dst`, spoken from `src` if that is chosen already. `NetUnreachable`: no route; `Family`: IPv6.
    pub fn route(&self, dst: IpAddr, src: Option<IpAddr>) -> Result<Path, NetError> {
        let dst = v4(dst)?;
        let src = src.map(v4).transpose()?.filter(|ip| !ip.is_unspecified());
        let (port, next_hop) = self.next_hop(dst, src)?;
        let suggested = match dst {
            _ if port != PortId::LOOPBACK => self.addresses.source(port, next_hop),
            dst if dst.is_loopback() => Some(Ipv4Addr::LOCALHOST),
            dst => Some(dst),
        };
        let src = src.or(suggested).ok_or(NetError::NetUnreachable)?;
        if src.is_loopback() && port != PortId::LOOPBACK {
            return Err(NetError::NetUnreachable);
        }
        Ok(Path {
            port,
            next_hop: IpAddr::V4(next_hop),
            src: IpAddr::V4(src),
            mtu: self.mtu(port),
        })
    }
    /// Whether an address is one of this host's.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        v4(ip).is_ok_and(|ip| self.addresses.is_ours(ip))
    }
    /// Whether an address is one of this very port's.
    pub fn is_on(&self, port: PortId, ip: IpAddr) -> bool {
        v4(ip).is_ok_and(|ip| self.addresses.is_on(port, ip))
    }
    /// Whether it is the limited broadcast or a directed one of any of our cables.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        v4(ip).is_ok_and(|ip| self.addresses.is_broadcast(ip))
    }
    /// The address to speak from by a port to somebody on its cable.
    pub fn source(&self, port: PortId, toward: IpAddr) -> Option<IpAddr> {
        let toward = v4(toward).ok()?;
        self.addresses.source(port, toward).map(IpAddr::V4)
    }
    /// To how many an address speaks on a port's cable.
    pub fn cast_to(&self, port: PortId, dst: IpAddr) -> Cast {
        v4(dst).map_or(Cast::Unicast, |dst| self.cast(port, dst))
    }
    /// The same for IPv4.
    pub(super) fn cast(&self, port: PortId, dst: Ipv4Addr) -> Cast {
        if dst.is_multicast() {
            Cast::Multicast
        } else if self.addresses.is_broadcast_on(port, dst) {
            Cast::Broadcast
        } else {
            Cast::Unicast
        }
    }

    /// A datagram whose fragments did not all come in time; what is to be told, if its first one is there.
    pub fn poll_expired(&mut self, cx: &mut Cx<'_>) -> Option<Option<Box<Quote>>> {
        let expired = self.reassembly.poll_expired(cx)?;
        cx.count(Counter::IpReasmTimeout);
        cx.count(Counter::IpReasmFails);
        Some(expired.first)
    }
    /// When the next one is due.
    pub fn poll_at(&self) -> Option<Instant> {
        self.reassembly.poll_at()
    }

    fn next_hop(
        &self,
        dst: Ipv4Addr,
        src: Option<Ipv4Addr>,
    ) -> Result<(PortId, Ipv4Addr), NetError> {
        if self.addresses.is_ours(dst) {
            return Ok((PortId::LOOPBACK, dst));
        }
        if dst.is_unspecified() {
            return Err(NetError::NetUnreachable);
        }
        let group = dst.is_broadcast() || dst.is_multicast();
        let spoken_from = src.and_then(|ip| self.addresses.port_of(ip));
        if let (true, Some(port)) = (group, spoken_from) {
            return Ok((port, dst));
        }
        match self.routes.lookup(dst) {
            Some(hop) if group => Ok((hop.port, dst)),
            Some(hop) => Ok((hop.port, hop.via.unwrap_or(dst))),
            None if group => self
                .addresses
                .first_cable()
                .map(|port| (port, dst))
                .ok_or(NetError::NetUnreachable),
            None => Err(NetError::NetUnreachable),
        }
    }
}
