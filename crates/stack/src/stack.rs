//! The face of a host: its ports, addresses, routes, the border to its cables, and the verbs of its sockets.
//!
//! Verbs never block. After each call from outside the caller drains: `poll_transmit` for each port, then `poll_ready`, then asks `poll_at`.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use heptad_wire::{MacAddr, PacketBuf};

use crate::l1_physical::{Caps, PortConfig, PortCounters, PortId};
use crate::l3_network::Network;
use crate::l4_transport::{Transport, tcp};
use crate::l5_session::{Ready, SocketError, SocketId, SocketKind, Sockets};
use crate::time::Duration;
use crate::{Cx, DropReason, Instant};

/// How to make a host.
#[derive(Clone, Debug, Default)]
pub struct StackConfig {
    /// Forwards packets that are not for it (a router).
    pub forwarding: bool,
    /// TCP's settings.
    pub tcp: tcp::Config,
}

/// A route: packets to `prefix/len` leave by `port`, through `via` or directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Network address.
    pub prefix: IpAddr,
    /// Prefix length, bits.
    pub len: u8,
    /// The next router; `None`: on-link.
    pub via: Option<IpAddr>,
    /// Out of this port.
    pub port: PortId,
}

/// A neighbour, as `arp -n` and `ip neigh` show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its network address.
    pub ip: IpAddr,
    /// Its link address; `None` while it is asked for.
    pub mac: Option<MacAddr>,
    /// Where it is.
    pub port: PortId,
    /// `REACHABLE`, `STALE`, `INCOMPLETE`, … (RFC 4861 7.3.2's words).
    pub state: &'static str,
}

/// Options of a socket (`setsockopt`); `get` answers with the same variant filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of socket(7), ip(7) and tcp(7)
pub enum SocketOption {
    ReuseAddress(bool),
    ReusePort(bool),
    Broadcast(bool),
    KeepAlive(bool),
    /// `None`: off. `Some(ZERO)`: close resets.
    Linger(Option<Duration>),
    ReceiveBuffer(u32),
    SendBuffer(u32),
    Ttl(u8),
    Tos(u8),
    NoDelay(bool),
    Cork(bool),
    QuickAck(bool),
    KeepIdle(Duration),
    KeepInterval(Duration),
    KeepCount(u32),
    UserTimeout(Duration),
    MaxSegment(u16),
    Congestion(tcp::Congestion),
}

/// One row of `netstat` and `ss`.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketRow {
    /// Stream or datagram.
    pub kind: SocketKind,
    /// The socket, if a program still holds it.
    pub socket: Option<SocketId>,
    /// Our end.
    pub local: SocketAddr,
    /// Theirs.
    pub remote: Option<SocketAddr>,
    /// TCP's state; `None` for UDP.
    pub state: Option<tcp::State>,
    /// As [`tcp::Status::recv_q`].
    pub recv_q: u32,
    /// As [`tcp::Status::send_q`].
    pub send_q: u32,
}

/// One host.
pub struct Stack {
    pub(crate) network: Network,
    pub(crate) transport: Transport,
    pub(crate) sockets: Sockets,
}

#[allow(unused_variables)]
impl Stack {
    /// A host with the loopback port and 127.0.0.1/8.
    pub fn new(config: StackConfig, cx: &mut Cx<'_>) -> Self {
        todo!()
    }

    // ── ports, addresses, routes ─────────────────────────────────────────────────────────────────────────────────

    /// Adds a port; ids count from 1 (0 is `lo`).
    pub fn add_port(&mut self, config: PortConfig) -> PortId {
        todo!()
    }
    /// Changes what the cable carries (a rate or loss was set on a running cable).
    pub fn set_caps(&mut self, port: PortId, caps: Caps) {
        todo!()
    }
    /// Changes the MTU.
    pub fn set_mtu(&mut self, port: PortId, mtu: u32) {
        todo!()
    }
    /// Adds an address with its on-link prefix (and the route to it). `FamilyNotSupported` for IPv6 so far.
    pub fn add_address(
        &mut self,
        port: PortId,
        address: IpAddr,
        prefix_len: u8,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// Adds a route; longest prefix wins, then the older one.
    pub fn add_route(&mut self, route: Route) -> Result<(), SocketError> {
        todo!()
    }
    /// Names and counts of the ports, in order of their ids.
    pub fn ports(&self) -> Vec<(PortConfig, PortCounters)> {
        todo!()
    }
    /// Addresses with their port and prefix length.
    pub fn addresses(&self) -> Vec<(PortId, IpAddr, u8)> {
        todo!()
    }
    /// The routing table.
    pub fn routes(&self) -> Vec<Route> {
        todo!()
    }
    /// The neighbour table, ordered by address.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        todo!()
    }

    // ── border to the cables ─────────────────────────────────────────────────────────────────────────────────────

    /// A frame came in by a port. `Err` is already counted.
    pub fn receive(
        &mut self,
        port: PortId,
        frame: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        todo!()
    }
    /// As many at once: merged where that loses nothing, then received; one verdict a frame, in order.
    pub fn receive_batch(
        &mut self,
        port: PortId,
        frames: &mut Vec<PacketBuf>,
        verdicts: &mut Vec<Result<(), DropReason>>,
        cx: &mut Cx<'_>,
    ) {
        todo!()
    }
    /// Does what is due by `cx.now`.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        todo!()
    }
    /// The next frame to leave by a port: whole frames of the MTU, or super-segments if the cable carries them.
    pub fn poll_transmit(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<PacketBuf> {
        todo!()
    }
    /// When `on_timeout` is due next; `Some(Instant::ZERO)` while something is due or waits to be sent. O(ports), not O(sockets).
    pub fn poll_at(&self) -> Option<Instant> {
        todo!()
    }
    /// A socket whose readiness may have changed, with its readiness now. A socket appears once until it changes again.
    pub fn poll_ready(&mut self) -> Option<(SocketId, Ready)> {
        self.sockets.poll_ready(&mut self.transport)
    }

    /// The name of a port.
    pub fn port_name(&self, port: PortId) -> Option<Box<str>> {
        todo!()
    }
}
