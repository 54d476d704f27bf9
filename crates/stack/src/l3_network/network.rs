//! The network layer of one host: its addresses, its routes, and what it remembers between packets.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::Addresses;
use super::groups::Groups;
use super::identification::Identification;
use super::ipv6::Ipv6;
use super::ipv6::address::{Address6, Origin};
use super::path_mtu::PathMtus;
use super::quote::Quote;
use super::rate_limit::ErrorBudget;
use super::reassembly::Reassembly;
use super::route::{RouteOrigin, RouteRow, RouteTable, network};
use super::taps::Taps;
use super::{
    Arrival, Cast, Complaint, Departure, Heading, NetError, Outgoing, Path, Refusal, Route, Up,
    zone,
};
use crate::l1_physical::PortId;
use crate::{Counter, Cx, Instant};
use heptad_wire::PacketBuf;

pub use super::forward::Undeliverable;

/// Layer 3 of one host.
pub struct Network {
    pub(super) forwarding: bool,
    pub(super) transparent: bool,
    pub(super) addresses: Addresses,
    pub(super) v6: Ipv6,
    pub(super) groups: Groups,
    pub(super) routes: RouteTable,
    pub(super) identification: Identification,
    pub(super) reassembly: Reassembly,
    pub(super) errors: ErrorBudget,
    pub(super) taps: Taps,
    /// By port, bytes.
    pub(super) mtus: Vec<u32>,
    path_mtus: PathMtus,
}

impl Network {
    /// A network layer without ports; secrets are drawn from `cx.rng`. `forwarding`: it is a router.
    pub fn new(forwarding: bool, cx: &mut Cx<'_>) -> Self {
        let identification = Identification::new(cx.rng);
        Self {
            forwarding,
            transparent: false,
            addresses: Addresses::default(),
            v6: Ipv6::new(identification.derived_seed()),
            groups: Groups::new(identification.derived_seed()),
            routes: RouteTable::default(),
            identification,
            reassembly: Reassembly::new(cx),
            errors: ErrorBudget::new(cx.rng),
            taps: Taps::default(),
            mtus: Vec::new(),
            path_mtus: PathMtus::default(),
        }
    }
    /// Whether it is a router.
    pub fn is_forwarding(&self) -> bool {
        self.forwarding
    }
    /// From now on packets to addresses of others go up as if they were ours (see [`Self::is_foreign`]).
    pub fn be_transparent(&mut self) {
        self.transparent = true;
    }
    /// Whether an address is not ours, and this host stands in for whoever has it.
    pub fn is_foreign(&self, ip: IpAddr) -> bool {
        self.transparent && !self.is_local(ip)
    }
    /// Whether this host speaks from an address: its own, or that of somebody whom it stands in for.
    pub fn speaks_from(&self, ip: IpAddr) -> bool {
        self.transparent || self.is_local(ip)
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
    /// The same for packets to an address.
    pub fn link_mtu(&self, port: PortId, dst: IpAddr) -> u32 {
        match dst {
            IpAddr::V4(_) => self.mtu(port),
            IpAddr::V6(_) => self.mtu_v6(port),
        }
    }
    /// Adds an address and the route to its prefix; the first of IPv6 brings the port's link-local one along.
    /// `ParameterProblem` for one that no host can have or that is here already.
    pub fn add_address(&mut self, port: PortId, ip: IpAddr, len: u8) -> Result<(), NetError> {
        let ip = match ip {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(ip) => return self.add_address_v6(port, ip, len),
        };
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
    fn add_address_v6(&mut self, port: PortId, ip: Ipv6Addr, len: u8) -> Result<(), NetError> {
        let mapped = ip.to_ipv4_mapped().is_some();
        let misplaced = ip.is_loopback() && port != PortId::LOOPBACK;
        if ip.is_unspecified() || ip.is_multicast() || mapped || misplaced || len > 128 {
            return Err(NetError::ParameterProblem);
        }
        self.enable_v6(port);
        let ip = zone::zoned(ip, port);
        if !self.own_v6(port, Address6::lasting(ip, len, Origin::Manual)) {
            return Err(NetError::ParameterProblem);
        }
        if port != PortId::LOOPBACK {
            self.add_on_link(port, ip, len);
        }
        Ok(())
    }
    /// Adds a route; longest prefix wins, then the older one. Errors as for [`Self::add_address`].
    pub fn add_route(&mut self, route: Route) -> Result<(), NetError> {
        self.routes.add(route)
    }
    /// Addresses with their port and prefix length: those of IPv4 by port, then those of IPv6.
    pub fn address_rows(&self) -> Vec<(PortId, IpAddr, u8)> {
        let v4 = self.addresses.rows();
        let v4 = v4.map(|(port, a)| (port, IpAddr::V4(a.ip), a.len));
        let v6 = self.v6.addresses.rows();
        let v6 = v6.map(|(port, a)| (port, IpAddr::V6(zone::bare(a.ip)), a.len));
        v4.chain(v6).collect()
    }
    /// The same of IPv6 with all that is known of them.
    pub fn address_rows_v6(&self) -> Vec<(PortId, Address6)> {
        let rows = self.v6.addresses.rows();
        rows.map(|(port, address)| (port, *address)).collect()
    }
    /// The groups of one family that ports are in, and how often each was joined.
    pub fn group_rows(&self, is_v6: bool) -> Vec<(PortId, IpAddr, u32)> {
        self.groups.rows(is_v6).collect()
    }
    /// The routing table, the default first.
    pub fn route_rows(&self) -> Vec<Route> {
        self.routes.rows()
    }

    /// The same with what is known of each: a route that a router told has a life, one to a prefix of an address of the
    /// port's came with that address.
    pub fn route_table(&self) -> Vec<RouteRow> {
        let addresses = self.address_rows();
        let row = |route: Route| {
            let told = self.told_route(&route);
            let (prefix, via) = (zone::bare_ip(route.prefix), route.via.map(zone::bare_ip));
            let is_own = |(port, ip, len): &(PortId, IpAddr, u8)| {
                let same =
                    ip.is_ipv4() == prefix.is_ipv4() && (*port, *len) == (route.port, route.len);
                same && network(*ip, *len) == network(prefix, *len)
            };
            let origin = match (told, via) {
                (Some(_), Some(_)) => RouteOrigin::Router,
                (Some(_), None) => RouteOrigin::Address,
                (None, None) if addresses.iter().any(is_own) => RouteOrigin::Address,
                (None, _) => RouteOrigin::Manual,
            };
            RouteRow {
                route: Route {
                    prefix,
                    via,
                    ..route
                },
                origin,
                until: told.flatten(),
            }
        };
        self.routes.rows().into_iter().map(row).collect()
    }

    /// The way to `dst`, spoken from `src` if that is chosen already. `NetUnreachable`: no route; `Family`: the two are of
    /// different families.
    pub fn route(&self, dst: IpAddr, src: Option<IpAddr>) -> Result<Path, NetError> {
        self.route_out(None, dst, src)
    }
    /// The same for a socket that is bound to a port (SO_BINDTODEVICE): by that one's routes only. As on Linux, whoever of IPv4
    /// none of them leads to is on its cable, and addresses of this host are reached if they are that port's.
    pub fn route_out(
        &self,
        by: Option<PortId>,
        dst: IpAddr,
        src: Option<IpAddr>,
    ) -> Result<Path, NetError> {
        let src = src.filter(|ip| !ip.is_unspecified());
        let path = match (dst, src) {
            (IpAddr::V4(dst), None) => self.route_v4(by, dst, None),
            (IpAddr::V4(dst), Some(IpAddr::V4(src))) => self.route_v4(by, dst, Some(src)),
            (IpAddr::V6(dst), None) => self.route_v6(by, dst, None),
            (IpAddr::V6(dst), Some(IpAddr::V6(src))) => self.route_v6(by, dst, Some(src)),
            _ => Err(NetError::Family),
        }?;
        let mtu = self.path_mtus.get(dst).unwrap_or(path.mtu).min(path.mtu);
        Ok(Path { mtu, ..path })
    }
    /// The way out of a port to a group on its cable, spoken from `src` if that is chosen already.
    pub fn route_by(
        &self,
        port: PortId,
        dst: IpAddr,
        src: Option<IpAddr>,
    ) -> Result<Path, NetError> {
        let (own, mtu) = match dst {
            IpAddr::V4(dst) => {
                let own = match port {
                    PortId::LOOPBACK => Some(Ipv4Addr::LOCALHOST),
                    cable => self.addresses.source(cable, dst),
                };
                (own.map(IpAddr::V4), self.mtu(port))
            }
            IpAddr::V6(dst) => {
                let own = match port {
                    PortId::LOOPBACK => Some(Ipv6Addr::LOCALHOST),
                    cable => self.v6.addresses.select(cable, zone::zoned(dst, cable)),
                };
                (own.map(IpAddr::V6), self.mtu_v6(port))
            }
        };
        Ok(Path {
            port,
            next_hop: zone::zoned_ip(zone::bare_ip(dst), port),
            src: src.or(own).ok_or(NetError::NetUnreachable)?,
            mtu,
        })
    }
    fn route_v4(
        &self,
        by: Option<PortId>,
        dst: Ipv4Addr,
        src: Option<Ipv4Addr>,
    ) -> Result<Path, NetError> {
        let (port, next_hop) = self.next_hop(by, dst, src)?;
        let suggested = match dst {
            _ if port != PortId::LOOPBACK => self.addresses.source(port, next_hop),
            dst if dst.is_loopback() || !self.addresses.is_ours(dst) => Some(Ipv4Addr::LOCALHOST),
            dst => Some(dst),
        };
        let src = src.or(suggested).ok_or(NetError::NetUnreachable)?;
        let beyond = src.is_loopback() && port != PortId::LOOPBACK;
        if beyond || self.addresses.is_unusable(src) {
            return Err(NetError::NetUnreachable);
        }
        Ok(Path {
            port,
            next_hop: IpAddr::V4(next_hop),
            src: IpAddr::V4(src),
            mtu: self.mtu(port),
        })
    }
    fn route_v6(
        &self,
        by: Option<PortId>,
        dst: Ipv6Addr,
        src: Option<Ipv6Addr>,
    ) -> Result<Path, NetError> {
        let next_hop = self.next_hop_v6(by, dst, src);
        let (port, next_hop) = next_hop.ok_or(NetError::NetUnreachable)?;
        let src = src.or_else(|| self.source_v6(port, dst));
        let src = src.ok_or(NetError::NetUnreachable)?;
        if src.is_loopback() && port != PortId::LOOPBACK {
            return Err(NetError::NetUnreachable);
        }
        Ok(Path {
            port,
            next_hop: IpAddr::V6(next_hop),
            src: IpAddr::V6(src),
            mtu: self.mtu_v6(port),
        })
    }
    /// Whether a packet like this is TCP for this host: only then may it be merged with its neighbours.
    pub fn may_merge(&self, port: PortId, packet: &mut PacketBuf) -> bool {
        match packet.peek(1) {
            Ok([first, ..]) if first >> 4 == 6 => self.may_merge_v6(port, packet),
            _ => self.may_merge_v4(packet),
        }
    }
    /// The way to a destination carries packets of this length only, as somebody believable said.
    pub fn learn_path_mtu(&mut self, dst: IpAddr, mtu: u32, now: Instant) {
        self.path_mtus.learn(dst, mtu, now);
    }
    /// Puts the IP header in front of what layer 4 hands down, cuts or fragments as the MTU asks.
    pub fn encapsulate(
        &mut self,
        departure: Departure,
        path: &Path,
        cx: &mut Cx<'_>,
    ) -> Result<Outgoing, Refusal> {
        match (departure.src, departure.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                self.encapsulate_v4(departure, (src, dst), path, cx)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                self.encapsulate_v6(departure, (src, dst), path, cx)
            }
            _ => Err(Refusal {
                packet: departure.packet,
                reason: crate::DropReason::NoRoute,
                too_long: None,
            }),
        }
    }
    /// Makes an ICMP error about a packet, if the rules of its family and the budget allow one.
    pub fn complain(
        &mut self,
        quote: &Quote,
        complaint: Complaint,
        cx: &mut Cx<'_>,
    ) -> Option<Departure> {
        match quote.src {
            IpAddr::V4(_) => self.error(quote, complaint.icmpv4(), cx),
            IpAddr::V6(_) => self.error_v6(quote, complaint.icmpv6(quote), cx),
        }
    }
    /// An echo request that was held is answered, whoever has the address.
    pub fn echo(&mut self, request: Arrival, cx: &mut Cx<'_>) -> Up<Heading> {
        match request.dst {
            IpAddr::V4(_) => self.receive_icmp(request, cx),
            IpAddr::V6(_) => self.receive_icmpv6(request, false, cx),
        }
    }
    /// Whether an address is one of this host's.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.addresses.is_ours(ip),
            IpAddr::V6(ip) => self.v6.addresses.is_ours(ip),
        }
    }
    /// Whether an address is one of this very port's.
    pub fn is_on(&self, port: PortId, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.addresses.is_on(port, ip),
            IpAddr::V6(ip) => self.v6.addresses.port_of(ip) == Some(port),
        }
    }
    /// By which port something came, as sockets see it: what this host says to itself by the one that has the address, as on Linux.
    pub fn heard_by(&self, port: PortId, dst: IpAddr) -> PortId {
        if port != PortId::LOOPBACK {
            return port;
        }
        let owner = match dst {
            IpAddr::V4(ip) => self.addresses.port_of(ip),
            IpAddr::V6(ip) => self.v6.addresses.port_of(ip),
        };
        owner.unwrap_or(port)
    }
    /// An address of IPv4 of ours is used from now on, or no longer (RFC 5227).
    pub fn set_usable(&mut self, ip: Ipv4Addr, usable: bool) {
        self.addresses.set_usable(ip, usable);
    }
    /// The addresses of IPv4 of a port, used or not.
    pub fn addresses_v4(&self, port: PortId) -> Vec<Ipv4Addr> {
        let rows = self.addresses.rows().filter(|(at, _)| *at == port);
        rows.map(|(_, address)| address.ip).collect()
    }
    /// Whether it is the limited broadcast or a directed one of any of our cables.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.addresses.is_broadcast(ip),
            IpAddr::V6(_) => false,
        }
    }
    /// The address to speak from by a port to somebody on its cable.
    pub fn source(&self, port: PortId, toward: IpAddr) -> Option<IpAddr> {
        match toward {
            IpAddr::V4(toward) => self.addresses.source(port, toward).map(IpAddr::V4),
            IpAddr::V6(toward) => self.source_v6(port, toward).map(IpAddr::V6),
        }
    }
    /// To how many an address speaks on a port's cable.
    pub fn cast_to(&self, port: PortId, dst: IpAddr) -> Cast {
        match dst {
            IpAddr::V4(dst) => self.cast(port, dst),
            IpAddr::V6(dst) if dst.is_multicast() => Cast::Multicast,
            IpAddr::V6(_) => Cast::Unicast,
        }
    }
    /// The same for IPv4.
    pub(super) fn cast(&self, port: PortId, dst: Ipv4Addr) -> Cast {
        if dst.is_multicast() {
            Cast::Multicast
        } else if self.addresses.is_broadcast_on(port, dst)
            // Our own broadcasts come round by the loopback.
            || (port == PortId::LOOPBACK && self.addresses.is_broadcast(dst))
        {
            Cast::Broadcast
        } else {
            Cast::Unicast
        }
    }

    /// Forgets what is too old of what was told about ways.
    pub fn forget_path_mtus(&mut self, now: Instant) {
        self.path_mtus.forget(now);
    }
    /// Destinations whose way is known to carry shorter packets, bytes, and until when that is believed.
    pub fn path_mtu_rows(&self) -> Vec<(IpAddr, u32, Instant)> {
        self.path_mtus.rows().collect()
    }

    /// A datagram whose fragments did not all come in time; what is to be told, if its first one is there.
    pub fn poll_expired(&mut self, cx: &mut Cx<'_>) -> Option<Option<Box<Quote>>> {
        let expired = self.reassembly.poll_expired(cx)?;
        let (timeout, fails) = match expired.is_v6 {
            true => (Counter::Ip6ReasmTimeout, Counter::Ip6ReasmFails),
            false => (Counter::IpReasmTimeout, Counter::IpReasmFails),
        };
        cx.count(timeout);
        cx.count(fails);
        Some(expired.first)
    }
    /// When the next one is due.
    pub fn poll_at(&self) -> Option<Instant> {
        let reassembly = self.reassembly.poll_at();
        let others = [
            self.v6.poll_at(),
            self.groups_poll_at(),
            self.path_mtus.poll_at(),
        ];
        others.into_iter().chain([reassembly]).flatten().min()
    }

    /// Whether some of what is due then is more than upkeep.
    pub fn has_work(&self) -> bool {
        self.v6.has_work() || self.reassembly.poll_at().is_some()
    }

    fn next_hop(
        &self,
        by: Option<PortId>,
        dst: Ipv4Addr,
        src: Option<Ipv4Addr>,
    ) -> Result<(PortId, Ipv4Addr), NetError> {
        let is_at = |port| self.is_reached_by(port, dst.into());
        if self.addresses.is_ours(dst) && by.is_none_or(is_at) {
            return Ok((PortId::LOOPBACK, dst));
        }
        if dst.is_unspecified() {
            return Err(NetError::NetUnreachable);
        }
        let group = dst.is_broadcast() || dst.is_multicast();
        let spoken_from = || src.and_then(|ip| self.addresses.port_of(ip));
        if let (true, Some(port)) = (group, by.or_else(spoken_from)) {
            return Ok((port, dst));
        }
        match (self.routes.lookup(dst.into(), by), by) {
            (Some(hop), _) if group => Ok((hop.port, dst)),
            (Some(hop), _) => match hop.via {
                Some(IpAddr::V4(via)) => Ok((hop.port, via)),
                _ => Ok((hop.port, dst)),
            },
            (None, Some(port)) => Ok((port, dst)),
            (None, None) if group => self
                .addresses
                .first_cable()
                .map(|port| (port, dst))
                .ok_or(NetError::NetUnreachable),
            (None, None) => Err(NetError::NetUnreachable),
        }
    }
    /// Whether one who is bound to a port reaches an address of this host's: one of that port, or all by `lo` that are on it.
    pub(super) fn is_reached_by(&self, port: PortId, ours: IpAddr) -> bool {
        match ours {
            IpAddr::V4(ip) if ip.is_loopback() => port == PortId::LOOPBACK,
            ours => self.is_on(port, ours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, EventLog, Rng};
    use heptad_wire::Pool;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
    fn network() -> Network {
        let mut network = Network::new(
            false,
            &mut Cx {
                now: Instant::ZERO,
                rng: &mut Rng::from_seed([1; 32]),
                pool: &mut Pool::new(1),
                events: &mut EventLog::default(),
                counters: &mut Counters::default(),
            },
        );
        let addresses = [
            (0, "127.0.0.1", 8),
            (1, "10.0.1.10", 24),
            (1, "10.0.9.10", 24),
            (2, "192.0.2.10", 30),
        ];
        for (port, address, len) in addresses {
            network.set_mtu(PortId(port), 1500 + u32::from(port));
            network.add_address(PortId(port), ip(address), len).unwrap();
        }
        let default = Route {
            prefix: ip("0.0.0.0"),
            len: 0,
            via: Some(ip("10.0.9.1")),
            port: PortId(1),
        };
        network.add_route(default).unwrap();
        network
    }

    #[test]
    fn a_way_has_its_port_its_next_hop_and_an_address_to_speak_from() {
        let network = network();
        // Destination, port, next hop, source.
        let table = [
            ("10.0.1.20", 1, "10.0.1.20", "10.0.1.10"),
            ("10.0.9.20", 1, "10.0.9.20", "10.0.9.10"),
            ("192.0.2.9", 2, "192.0.2.9", "192.0.2.10"),
            // By the router that shares the second address's prefix.
            ("203.0.113.1", 1, "10.0.9.1", "10.0.9.10"),
            ("127.0.0.1", 0, "127.0.0.1", "127.0.0.1"),
            ("127.9.9.9", 0, "127.9.9.9", "127.0.0.1"),
            ("10.0.1.10", 0, "10.0.1.10", "10.0.1.10"),
            ("192.0.2.10", 0, "192.0.2.10", "192.0.2.10"),
            ("10.0.1.255", 1, "10.0.1.255", "10.0.1.10"),
            // A group is on the cable itself, not behind the router.
            ("255.255.255.255", 1, "255.255.255.255", "10.0.1.10"),
            ("224.0.0.1", 1, "224.0.0.1", "10.0.1.10"),
        ];
        for (dst, port, next_hop, src) in table {
            let path = Path {
                port: PortId(port),
                next_hop: ip(next_hop),
                src: ip(src),
                mtu: 1500 + u32::from(port),
            };
            assert_eq!(network.route(ip(dst), None), Ok(path), "{dst}");
        }
    }

    #[test]
    fn who_is_bound_to_a_port_goes_by_its_routes_only() {
        let mut network = network();
        let detour = Route {
            prefix: ip("203.0.113.0"),
            len: 24,
            via: Some(ip("192.0.2.9")),
            port: PortId(2),
        };
        network.add_route(detour).unwrap();
        for address in ["fd00:1::10", "fd00:2::10"] {
            let port = PortId(if address == "fd00:1::10" { 1 } else { 2 });
            network.add_address(port, ip(address), 64).unwrap();
        }
        // By which port, destination; port, next hop and source.
        let table = [
            (1, "203.0.113.1", Some((1, "10.0.9.1", "10.0.9.10"))),
            (2, "203.0.113.1", Some((2, "192.0.2.9", "192.0.2.10"))),
            (1, "10.0.1.20", Some((1, "10.0.1.20", "10.0.1.10"))),
            // Where no route leads: on the cable.
            (2, "10.0.1.20", Some((2, "10.0.1.20", "192.0.2.10"))),
            (0, "10.0.1.20", Some((0, "10.0.1.20", "127.0.0.1"))),
            (
                2,
                "255.255.255.255",
                Some((2, "255.255.255.255", "192.0.2.10")),
            ),
            (2, "224.0.0.1", Some((2, "224.0.0.1", "192.0.2.10"))),
            // This host itself, at the port's own addresses.
            (1, "10.0.1.10", Some((0, "10.0.1.10", "10.0.1.10"))),
            (0, "127.0.0.1", Some((0, "127.0.0.1", "127.0.0.1"))),
            (0, "10.0.1.10", Some((0, "10.0.1.10", "10.0.1.10"))),
            (1, "fd00:1::20", Some((1, "fd00:1::20", "fd00:1::10"))),
            (2, "fd00:1::20", None),
            (1, "fd00:1::10", Some((0, "fd00:1::10", "fd00:1::10"))),
        ];
        for (by, dst, expected) in table {
            let path = network.route_out(Some(PortId(by)), ip(dst), None);
            let shown = path.map(|path| (path.port.0, path.next_hop, path.src));
            let expected = expected.map(|(port, hop, src)| (port, ip(hop), ip(src)));
            assert_eq!(shown.ok(), expected, "{dst} by {by}");
        }
    }

    #[test]
    fn a_route_tells_whether_an_address_brought_it_along() {
        let mut network = network();
        network
            .add_address(PortId(1), ip("fd00:1::10"), 64)
            .unwrap();
        let router = Route {
            prefix: ip("fd00:9::"),
            len: 64,
            via: Some(zone::zoned_ip(ip("fe80::1"), PortId(1))),
            port: PortId(1),
        };
        network.add_route(router).unwrap();
        let rows = network.route_table().into_iter().map(|row| {
            let RouteRow {
                route,
                origin,
                until,
            } = row;
            assert_eq!(until, None);
            (route.prefix, route.len, route.via, origin)
        });
        let (address, manual) = (RouteOrigin::Address, RouteOrigin::Manual);
        // Link-local ones are without their zones.
        let expected = [
            (ip("0.0.0.0"), 0, Some(ip("10.0.9.1")), manual),
            (ip("10.0.1.0"), 24, None, address),
            (ip("10.0.9.0"), 24, None, address),
            (ip("192.0.2.8"), 30, None, address),
            (ip("fd00:1::"), 64, None, address),
            (ip("fd00:9::"), 64, Some(ip("fe80::1")), manual),
            (ip("fe80::"), 64, None, address),
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_chosen_source_stays_and_says_where_a_group_is_meant() {
        let network = network();
        let src = |dst, src| {
            network
                .route(ip(dst), Some(ip(src)))
                .map(|p| (p.port.0, p.src))
        };
        assert_eq!(src("203.0.113.1", "10.0.1.10"), Ok((1, ip("10.0.1.10"))));
        assert_eq!(src("10.0.1.20", "0.0.0.0"), Ok((1, ip("10.0.1.10"))));
        let everybody = src("255.255.255.255", "192.0.2.10");
        assert_eq!(everybody, Ok((2, ip("192.0.2.10"))));
        // Loopback addresses do not leave the host.
        let out = src("10.0.1.20", "127.0.0.1");
        assert_eq!(out, Err(NetError::NetUnreachable));
    }

    #[test]
    fn there_is_no_way_to_other_families_or_to_nobody() {
        let network = network();
        let mixed = network.route(ip("fd00::1"), Some(ip("10.0.1.10")));
        assert_eq!(mixed, Err(NetError::Family));
        let no_route = network.route(ip("fd00::1"), None);
        assert_eq!(no_route, Err(NetError::NetUnreachable));
        let nobody = network.route(ip("0.0.0.0"), None);
        assert_eq!(nobody, Err(NetError::NetUnreachable));
    }

    #[test]
    fn addresses_that_no_host_can_have_are_refused() {
        let mut network = network();
        let mut add = |address: &str, len| network.add_address(PortId(1), ip(address), len);
        for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "10.0.1.10"] {
            let refused = add(address, 24);
            assert_eq!(refused, Err(NetError::ParameterProblem), "{address}");
        }
        assert_eq!(add("10.0.1.11", 33), Err(NetError::ParameterProblem));
        for address in ["::", "::1", "ff02::1", "::ffff:10.0.0.1"] {
            let refused = add(address, 64);
            assert_eq!(refused, Err(NetError::ParameterProblem), "{address}");
        }
        assert_eq!(add("fd00::1", 129), Err(NetError::ParameterProblem));
    }

    #[test]
    fn broadcasts_are_known_by_their_cable() {
        let network = network();
        let table = [
            ("10.0.1.255", true),
            ("10.0.9.255", true),
            ("192.0.2.11", true),
            ("255.255.255.255", true),
            ("10.0.1.254", false),
            ("127.255.255.255", false),
        ];
        for (address, expected) in table {
            assert_eq!(network.is_broadcast(ip(address)), expected, "{address}");
        }
        assert_eq!(network.cast_to(PortId(2), ip("10.0.1.255")), Cast::Unicast);
    }
}
