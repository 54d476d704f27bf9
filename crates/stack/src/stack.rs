//! The face of a host: its ports, addresses, routes, the border to its cables, and the verbs of its sockets.
//!
//! Verbs never block. After each call from outside the caller drains: `poll_transmit` for each port, then `poll_ready`, then asks `poll_at`.
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use heptad_wire::{MacAddr, PacketBuf};

use crate::l1_physical::{Caps, PortConfig, PortCounters, PortId};
use crate::l4_transport::tcp;
use crate::l5_session::{Ready, Shutdown, SocketError, SocketId, SocketKind};
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
pub struct Stack {}

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
        todo!()
    }

    // ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// A new socket for an address family (told by any address of it). IPv6 so far: `FamilyNotSupported`.
    pub fn socket(&mut self, family: IpAddr, kind: SocketKind) -> Result<SocketId, SocketError> {
        todo!()
    }
    /// Binds; port 0 draws an ephemeral one (RFC 6056).
    pub fn bind(
        &mut self,
        socket: SocketId,
        local: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// Makes it a listener (again: changes the backlog). Unbound: an ephemeral port.
    pub fn listen(
        &mut self,
        socket: SocketId,
        backlog: u32,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// Streams: starts to connect, `Err(InProgress)`; later `Already`, then `Ok`/`IsConnected` or the error. Datagrams: sets the peer, `Ok` at once.
    pub fn connect(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// AF_UNSPEC: dissolves a datagram's peer; a stream is aborted and may be used again.
    pub fn disconnect(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Result<(), SocketError> {
        todo!()
    }
    /// The oldest connection that waits; `WouldBlock`.
    pub fn accept(
        &mut self,
        socket: SocketId,
        cx: &mut Cx<'_>,
    ) -> Result<(SocketId, SocketAddr), SocketError> {
        todo!()
    }
    /// Puts an accepted connection back that could not be delivered to the program.
    pub fn unaccept(&mut self, listener: SocketId, accepted: SocketId) {
        todo!()
    }
    /// Sends on a stream or a connected datagram socket; how many bytes were taken.
    pub fn send(
        &mut self,
        socket: SocketId,
        data: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        todo!()
    }
    /// As `send` without a copy, all or nothing.
    pub fn send_bytes(
        &mut self,
        socket: SocketId,
        data: Bytes,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// Receives from a stream or a datagram socket (the rest of a datagram is discarded); 0 at the end of a stream.
    pub fn recv(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        todo!()
    }
    /// As `recv`, and the bytes stay.
    pub fn peek(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        todo!()
    }
    /// As `recv` without a copy.
    pub fn recv_bytes(
        &mut self,
        socket: SocketId,
        max: usize,
        cx: &mut Cx<'_>,
    ) -> Result<Bytes, SocketError> {
        todo!()
    }
    /// Sends a datagram.
    pub fn send_to(
        &mut self,
        socket: SocketId,
        data: &[u8],
        remote: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        todo!()
    }
    /// Receives a datagram: its bytes that fit, its whole length, who sent it.
    pub fn recv_from(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<(usize, usize, SocketAddr), SocketError> {
        todo!()
    }
    /// Ends one or both directions.
    pub fn shutdown(
        &mut self,
        socket: SocketId,
        how: Shutdown,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// The program is done with it; the handle dies.
    pub fn close(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        todo!()
    }
    /// Sets an option.
    pub fn set(
        &mut self,
        socket: SocketId,
        option: SocketOption,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// Gets an option: the variant of `which` with its present value.
    pub fn get(&self, socket: SocketId, which: SocketOption) -> Result<SocketOption, SocketError> {
        todo!()
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, socket: SocketId) -> Option<SocketError> {
        todo!()
    }
    /// Readiness now.
    pub fn ready(&self, socket: SocketId) -> Ready {
        todo!()
    }
    /// getsockname.
    pub fn local_addr(&self, socket: SocketId) -> Result<SocketAddr, SocketError> {
        todo!()
    }
    /// getpeername.
    pub fn peer_addr(&self, socket: SocketId) -> Result<SocketAddr, SocketError> {
        todo!()
    }
    /// Whether it listens (SO_ACCEPTCONN).
    pub fn is_listening(&self, socket: SocketId) -> bool {
        todo!()
    }
    /// TCP's view of a stream socket (TCP_INFO).
    pub fn tcp_status(&self, socket: SocketId) -> Option<tcp::Status> {
        todo!()
    }
    /// Every socket and every connection without one, for `netstat`: TCP by (local, remote), then UDP.
    pub fn rows(&self) -> Vec<SocketRow> {
        todo!()
    }
    /// The name of a port.
    pub fn port_name(&self, port: PortId) -> Option<Box<str>> {
        todo!()
    }
}
