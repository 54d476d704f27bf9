//! The face of a host: its ports, addresses, routes, the border to its cables, and the verbs of its sockets.
//!
//! Verbs never block. After each call from outside the caller drains: `poll_transmit` for each port, then `poll_ready`, then asks `poll_at`.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_wire::PacketBuf;

use crate::l1_physical::{Caps, Loopback, Medium, Port, PortConfig, PortCounters, PortId};
use crate::l2_link::{Claims, Neighbours};
use crate::l3_network::groups::ALL_SYSTEMS;
use crate::l3_network::{NetError, Network, zone};
use crate::l4_transport::{Transport, tcp};
use crate::l5_session::{Ready, SocketError, SocketId, Sockets};
use crate::{Cx, DropReason, Instant};

pub use crate::l2_link::{Neighbour, Standing};
pub use crate::l3_network::groups::{Filter, Link, Membership, Mode};
pub use crate::l3_network::ipv6::Advertising;
pub use crate::l3_network::ipv6::address::{Address6, AddressState, Origin};
pub use crate::l3_network::{Route, RouteOrigin, RouteRow};
pub use crate::l4_transport::strangers::{Refusal, Stranger, Wish};
pub use crate::l5_session::{SocketDetail, SocketOption, SocketRow};

/// How to make a host.
#[derive(Clone, Debug, Default)]
pub struct StackConfig {
    /// Forwards packets that are not for it (a router).
    pub forwarding: bool,
    /// Stands in for all addresses that are not its own: sockets may be bound to them, and who speaks to one that no socket
    /// here has as its end is a stranger (see [`Stack::poll_stranger`]). For a gateway to another network.
    pub transparent: bool,
    /// TCP's settings.
    pub tcp: tcp::Config,
}

/// One host.
pub struct Stack {
    /// By id; the first is `lo`.
    pub(crate) ports: Vec<Port>,
    pub(crate) loopback: Loopback,
    pub(crate) neighbours: Neighbours,
    pub(crate) claims: Claims,
    pub(crate) network: Network,
    pub(crate) transport: Transport,
    pub(crate) sockets: Sockets,
}

impl Stack {
    /// A host with the loopback port, 127.0.0.1/8 and ::1/128.
    pub fn new(config: StackConfig, cx: &mut Cx<'_>) -> Self {
        let sockets = Sockets::new(&config.tcp);
        let is_transparent = config.transparent;
        let mut stack = Self {
            ports: Vec::new(),
            loopback: Loopback::default(),
            neighbours: Neighbours::new(cx),
            claims: Claims::default(),
            network: Network::new(config.forwarding, cx),
            transport: Transport::new(config.tcp, cx),
            sockets,
        };
        if is_transparent {
            stack.network.be_transparent();
        }
        let lo = stack.add_port(PortConfig {
            name: "lo".into(),
            medium: Medium::Ip,
            mtu: Loopback::MTU,
            caps: Caps::MEMORY,
            queue_limit: Loopback::BOUND as u32,
        });
        stack
            .add_address(lo, Ipv4Addr::LOCALHOST.into(), 8)
            .expect("127.0.0.1/8 is an address, and the first one");
        stack
            .add_address(lo, Ipv6Addr::LOCALHOST.into(), 128)
            .expect("::1/128 is one too");
        stack
    }

    // ── ports, addresses, routes ─────────────────────────────────────────────────────────────────────────────────

    /// Adds a port; ids count from 1 (0 is `lo`). Panics at the 65,536th.
    pub fn add_port(&mut self, config: PortConfig) -> PortId {
        let index = u16::try_from(self.ports.len()).expect("a host has fewer than 65,536 ports");
        let id = PortId(index);
        self.network.set_mtu(id, config.mtu);
        self.network.set_link_address(
            id,
            match config.medium {
                Medium::Ethernet(mac) => Some(mac),
                Medium::Ip => None,
            },
        );
        self.ports.push(Port::new(config));
        id
    }
    /// Changes what the cable carries (a rate or loss was set on a running cable).
    pub fn set_caps(&mut self, port: PortId, caps: Caps) {
        if let Some(port) = self.ports.get_mut(usize::from(port.0)) {
            port.set_caps(caps);
        }
    }
    /// Changes the MTU, bytes. Connections hear of it when a packet is too long.
    pub fn set_mtu(&mut self, port: PortId, mtu: u32) {
        if let Some(slot) = self.ports.get_mut(usize::from(port.0)) {
            slot.set_mtu(mtu);
            self.network.set_mtu(port, mtu);
        }
    }
    /// Plugs a cable into `lo`: what this host sends to itself then leaves by `poll_transmit` and comes in by `receive`, as bare
    /// IP, and meets whatever the cable does to it.
    pub fn plug_loopback(&mut self, mtu: u32, caps: Caps) {
        self.loopback.plug();
        self.set_caps(PortId::LOOPBACK, caps);
        self.set_mtu(PortId::LOOPBACK, mtu);
    }
    /// Adds an address with its on-link prefix (and the route to it). The first of IPv6 brings the port's link-local one
    /// along; others on the cable are asked whether they have it, and it is used meanwhile (RFC 4429). `Invalid` for one
    /// that no host can have, that is here already, or a port that is not.
    pub fn add_address(
        &mut self,
        port: PortId,
        address: IpAddr,
        prefix_len: u8,
    ) -> Result<(), SocketError> {
        self.check_port(port)?;
        self.network
            .add_address(port, address, prefix_len)
            .map_err(configuration_error)?;
        if let (IpAddr::V4(ip), true) = (address, self.claims.detects_on(port)) {
            self.claim(port, ip);
        }
        Ok(())
    }
    /// The port's addresses of IPv4, those of now and those to come, are used only once nobody on the cable has them; then
    /// everybody hears that they are ours, and who claims one is told (RFC 5227). A host gives up what is claimed twice in
    /// ten seconds, a router insists. `Invalid` for a port that is not; without effect on one without link addresses.
    pub fn detect_conflicts(&mut self, port: PortId) -> Result<(), SocketError> {
        self.check_port(port)?;
        if self.station(port).is_some() {
            self.claims.detect_on(port, self.network.is_forwarding());
            for ip in self.network.addresses_v4(port) {
                self.claim(port, ip);
            }
        }
        Ok(())
    }
    /// How an address of IPv4 of a port that detects conflicts stands; `None`: it is used, whatever others say.
    pub fn standing(&self, port: PortId, ip: Ipv4Addr) -> Option<Standing> {
        self.claims.standing(port, ip)
    }
    /// Whether others are still being asked whether they have an address of ours, of a port that detects conflicts.
    pub fn is_asking_for_addresses(&self) -> bool {
        self.claims.is_asking()
    }
    fn claim(&mut self, port: PortId, ip: Ipv4Addr) {
        if self.claims.standing(port, ip).is_none() {
            self.network.set_usable(ip, false);
            self.claims.add(port, ip);
        }
    }
    /// IPv6 on a port whose addresses and routes come from routers (RFC 4862); `temporary`: also ones that last a day
    /// (RFC 8981). `Invalid` for a port that is not.
    pub fn autoconfigure(&mut self, port: PortId, temporary: bool) -> Result<(), SocketError> {
        self.check_port(port)?;
        self.network.autoconfigure_v6(port, temporary);
        Ok(())
    }
    /// The hosts on a port's cable hear of this router and of its prefixes (RFC 4861 6.2). `Invalid` for a port that is not.
    pub fn advertise(&mut self, port: PortId, advertising: Advertising) -> Result<(), SocketError> {
        self.check_port(port)?;
        self.network.advertise_v6(port, advertising);
        Ok(())
    }
    /// Whether it forwards packets that are not for it.
    pub fn is_forwarding(&self) -> bool {
        self.network.is_forwarding()
    }
    /// TCP's settings.
    pub fn tcp_config(&self) -> &tcp::Config {
        self.transport.tcp.config()
    }
    /// The resolvers that routers told on a port (RFC 8106).
    pub fn resolvers(&self, port: PortId) -> Vec<Ipv6Addr> {
        self.network.resolvers(port)
    }
    /// The addresses of IPv6 with their states and lives, by port. Link-local ones have their zones in them.
    pub fn ipv6_addresses(&self) -> Vec<(PortId, Address6)> {
        self.network.address_rows_v6()
    }
    /// Destinations whose way is known to carry shorter packets, bytes, and until when that is believed.
    pub fn path_mtus(&self) -> Vec<(IpAddr, u32, Instant)> {
        self.network.path_mtu_rows()
    }
    /// Adds a route; longest prefix wins, then the older one. `FamilyNotSupported` if the router is of the other family, else
    /// as for [`Self::add_address`]. A router's link-local address is one on that port's cable.
    pub fn add_route(&mut self, route: Route) -> Result<(), SocketError> {
        self.check_port(route.port)?;
        let via = route.via.map(|via| zone::zoned_ip(via, route.port));
        let route = Route { via, ..route };
        self.network.add_route(route).map_err(configuration_error)
    }
    /// Puts the addresses of a destination in the order in which to try them (RFC 6724 6): first what there is a way to, then what
    /// goes best with the address that this host would speak from. What is equal stays as it was.
    pub fn order_destinations(&self, destinations: &mut [IpAddr]) {
        self.network.order_destinations(destinations);
    }
    /// Names and counts of the ports, in order of their ids.
    pub fn ports(&self) -> Vec<(PortConfig, PortCounters)> {
        let ports = self.ports.iter();
        ports.map(|p| (p.config().clone(), p.counters())).collect()
    }
    /// The name of a port.
    pub fn port_name(&self, port: PortId) -> Option<Box<str>> {
        let port = self.ports.get(usize::from(port.0))?;
        Some(port.config().name.clone())
    }
    /// Addresses with their port and prefix length, by port.
    pub fn addresses(&self) -> Vec<(PortId, IpAddr, u8)> {
        self.network.address_rows()
    }
    /// The routing table, the default first.
    pub fn routes(&self) -> Vec<Route> {
        self.network.route_rows()
    }
    /// The same with where each came from and until when it lasts; link-local addresses are without their zones.
    pub fn route_table(&self) -> Vec<RouteRow> {
        self.network.route_table()
    }
    /// The groups that ports are in and how often each was joined: those of IPv4, then those of IPv6, each by port.
    pub fn groups(&self) -> Vec<(PortId, IpAddr, u32)> {
        // Every host is in the group of all systems (RFC 1112 4), whoever else joins it.
        let all = IpAddr::V4(ALL_SYSTEMS);
        let (mut by_host, v6) = (
            self.network.group_rows(false),
            self.network.group_rows(true),
        );
        for (port, _) in (0u16..).map(PortId).zip(&self.ports) {
            let mut joined = by_host.iter_mut();
            match joined.find(|(at, group, _)| (*at, *group) == (port, all)) {
                Some((.., count)) => *count += 1,
                None => by_host.push((port, all, 1)),
            }
        }
        by_host.sort();
        by_host.into_iter().chain(v6).collect()
    }
    /// The neighbour table, ordered by address.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        self.neighbours.rows()
    }

    // ── border to the cables ─────────────────────────────────────────────────────────────────────────────────────

    /// A frame came in by a port. `Err` is already counted.
    pub fn receive(
        &mut self,
        port: PortId,
        frame: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        self.ascend(port, frame, cx)
    }
    /// A frame came in by a port and its frame check sequence did not hold: the interface discards and counts it.
    pub fn receive_damaged(
        &mut self,
        port: PortId,
        frame: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> DropReason {
        self.refuse_at(port, DropReason::FrameCheck);
        cx.discard(frame, DropReason::FrameCheck)
    }
    /// As many at once: merged where that loses nothing, then received; one verdict a frame, in order.
    pub fn receive_batch(
        &mut self,
        port: PortId,
        frames: &mut Vec<PacketBuf>,
        verdicts: &mut Vec<Result<(), DropReason>>,
        cx: &mut Cx<'_>,
    ) {
        self.ascend_together(port, frames, verdicts, cx);
    }
    /// Does what is due by `cx.now`.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.serve_timers(cx);
    }
    /// The next frame to leave by a port: whole frames of the MTU, or super-segments if the cable carries them. Without
    /// a cable, what leaves by `lo` comes back through `on_timeout`, and the answer is always `None`.
    pub fn poll_transmit(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<PacketBuf> {
        self.descend(port, cx)
    }
    /// When `on_timeout` is due next; `Some(Instant::ZERO)` while something is due or waits to be sent. O(ports), not O(sockets).
    pub fn poll_at(&self) -> Option<Instant> {
        if self.waits_to_send() {
            return Some(Instant::ZERO);
        }
        let timers = [
            self.loopback.poll_at(),
            self.neighbours.poll_at(),
            self.claims.poll_at(),
            self.network.poll_at(),
            self.transport.poll_at(),
        ];
        timers.into_iter().flatten().min()
    }
    /// Whether some of what will be due is more than upkeep. Upkeep never makes a socket ready: the advertisements of a router
    /// that nobody asked for, the ends of addresses' and routes' lives, what is forgotten for its age. O(ports).
    pub fn has_work(&self) -> bool {
        let timers = [
            self.loopback.poll_at(),
            self.neighbours.poll_at(),
            self.claims.poll_at(),
            self.transport.poll_at(),
        ];
        let has_timer = timers.iter().any(Option::is_some);
        has_timer || self.network.has_work() || self.waits_to_send()
    }
    /// A socket whose readiness may have changed, with its readiness now. A socket appears once until it changes again.
    pub fn poll_ready(&mut self) -> Option<(SocketId, Ready)> {
        self.sockets.poll_ready(&mut self.transport)
    }

    fn waits_to_send(&self) -> bool {
        let mut ports = (0u16..).map(PortId).zip(&self.ports);
        ports.any(|(id, port)| {
            let inside = id == PortId::LOOPBACK && !self.loopback.is_cabled();
            let has_room = !inside || self.loopback.has_room();
            port.is_waiting() || (has_room && self.transport.wants_transmit(id))
        })
    }
    fn check_port(&self, port: PortId) -> Result<(), SocketError> {
        match usize::from(port.0) < self.ports.len() {
            true => Ok(()),
            false => Err(SocketError::Invalid),
        }
    }
}

/// What the one who configures a host is told.
fn configuration_error(error: NetError) -> SocketError {
    match error {
        NetError::Family => SocketError::FamilyNotSupported,
        _ => SocketError::Invalid,
    }
}
