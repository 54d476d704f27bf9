//! The verbs that make and end associations: bind, listen, connect, accept, shutdown, close.
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::table::{Phase, Socket};
use super::{Below, Shutdown, SocketError, SocketId, SocketKind, Sockets};
use crate::l3_network::{NetError, Network, Path};
use crate::l4_transport::tcp::{ConnId, ListenerId, State};
use crate::l4_transport::{Transport, in_use, net_error};

impl Sockets {
    /// Binds; port 0 draws an ephemeral one. `AddressNotAvailable` for an address that is not ours, `Invalid` if bound already.
    pub fn bind(
        &mut self,
        id: SocketId,
        local: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket_mut(id)?;
        let local = socket.own_address(local, below.network)?;
        if let Some(endpoint) = socket.phase.raw() {
            socket.bind_raw(endpoint, local, below.transport);
            return Ok(());
        }
        socket.take_port(local, below)?;
        socket.settle_family();
        socket.bound = Some(Box::new(socket.local));
        Ok(())
    }

    /// Makes it a listener, or changes a listener's backlog. Unbound: an ephemeral port.
    pub fn listen(
        &mut self,
        id: SocketId,
        backlog: u32,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket_mut(id)?;
        match socket.phase {
            Phase::Idle => {}
            Phase::Listening(listener) => {
                below.transport.tcp.set_backlog(listener, backlog);
                return Ok(());
            }
            Phase::Connecting(_) | Phase::Connected(_) => return Err(SocketError::Invalid),
            Phase::Datagram(_) | Phase::Echo(_) | Phase::Raw(_) => {
                return Err(SocketError::NotSupported);
            }
        }
        if socket.hold.is_none() {
            socket.take_port(socket.nowhere(), below)?;
        }
        let Transport { tcp, tcp_ports, .. } = below.transport;
        if let Some(hold) = &mut socket.hold {
            tcp_ports.listen(hold, &in_use(tcp))?;
        }
        match tcp.listen(socket.local, backlog, socket.options.tcp, id.owner()) {
            Ok(listener) => {
                socket.phase = Phase::Listening(listener);
                Ok(())
            }
            Err(error) => {
                socket.share(below.transport);
                Err(error)
            }
        }
    }

    /// Streams: starts to connect (`InProgress`), then tells how it goes: `Already`, `Ok` once, `IsConnected`, or the error, after
    /// which the socket is as before. Datagrams: sets the peer.
    pub fn connect(
        &mut self,
        id: SocketId,
        remote: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket_mut(id)?;
        match socket.phase {
            Phase::Idle => socket.connect_stream(id, remote, below),
            Phase::Connecting(conn) => socket.connect_result(conn, below),
            Phase::Listening(_) | Phase::Connected(_) => Err(SocketError::IsConnected),
            Phase::Datagram(_) | Phase::Echo(_) => socket.connect_datagram(remote, below),
            Phase::Raw(endpoint) => socket.connect_raw(endpoint, remote, below),
        }
    }

    /// connect(AF_UNSPEC): dissolves a datagram's peer; a stream is aborted and may be used again.
    pub fn disconnect(
        &mut self,
        id: SocketId,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket_mut(id)?;
        match socket.phase {
            Phase::Idle => {}
            Phase::Listening(_) => socket.stop_listening(below),
            Phase::Connecting(conn) | Phase::Connected(conn) => {
                below.transport.tcp.abort(conn, below.cx);
                socket.back_to_idle(below.transport);
            }
            Phase::Raw(endpoint) => socket.disconnect_raw(endpoint, below.transport),
            Phase::Datagram(_) | Phase::Echo(_) => {
                socket.remote = None;
                let bound = socket.bound.as_deref().copied();
                socket.local = bound.unwrap_or(socket.nowhere());
                if socket.bound.is_none() {
                    socket.release(below.transport);
                }
                socket.share(below.transport);
                let local = socket.hold.map(|_| socket.local);
                socket.phase.associate(local, None, below.transport);
            }
        }
        self.wake(id);
        Ok(())
    }

    /// The oldest connection that waits.
    pub fn accept(
        &mut self,
        id: SocketId,
        below: &mut Below<'_, '_>,
    ) -> Result<(SocketId, SocketAddr), SocketError> {
        let new = self.next_id()?;
        let socket = self.socket(id)?;
        let listener = match socket.phase {
            Phase::Listening(listener) => listener,
            Phase::Datagram(_) | Phase::Echo(_) | Phase::Raw(_) => {
                return Err(SocketError::NotSupported);
            }
            _ => return Err(SocketError::Invalid),
        };
        let options = Arc::clone(&socket.options);
        let (listens_at, transport) = (socket.local, &mut *below.transport);
        let (conn, remote) = transport.tcp.accept(listener, new.owner())?;
        let status = transport.tcp.status(conn);
        let local = status.map_or(listens_at, |status| status.local);
        if transport.tcp.options(conn) != Some(&options.tcp) {
            transport.tcp.set_options(conn, options.tcp, below.cx);
        }
        let hold = transport.tcp_ports.join(local, options.sharing());
        self.insert_accepted(&options, conn, local, remote, hold);
        Ok((new, options.tcp.family.shown(remote)))
    }

    /// Puts an accepted connection back that could not be delivered to the program; it is the next to be accepted.
    pub fn unaccept(&mut self, listener: SocketId, accepted: SocketId, below: &mut Below<'_, '_>) {
        let phase = |id| self.socket(id).map(|socket| socket.phase);
        let (Ok(Phase::Listening(to)), Ok(Phase::Connected(conn))) =
            (phase(listener), phase(accepted))
        else {
            return self.close(accepted, below);
        };
        if let Some(mut socket) = self.remove(accepted) {
            below.transport.tcp.unaccept(to, conn);
            socket.release(below.transport);
        }
    }

    /// Ends one or both directions. A listener stops to listen when its reading ends; a connect that is under way is given up.
    pub fn shutdown(
        &mut self,
        id: SocketId,
        how: Shutdown,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket_mut(id)?;
        match socket.phase {
            Phase::Idle => return Err(SocketError::NotConnected),
            Phase::Listening(_) if how.reads() => socket.stop_listening(below),
            Phase::Listening(_) => {}
            Phase::Connecting(conn) | Phase::Connected(conn) => match state(conn, below) {
                State::Closed => return Err(SocketError::NotConnected),
                State::SynSent => {
                    below.transport.tcp.abort(conn, below.cx);
                    socket.back_to_idle(below.transport);
                }
                _ => {
                    if how.reads() {
                        below.transport.tcp.shutdown_read(conn, below.cx)?;
                    }
                    if how.writes() {
                        below.transport.tcp.shutdown_write(conn, below.cx)?;
                    }
                }
            },
            Phase::Datagram(_) | Phase::Echo(_) | Phase::Raw(_) => {
                let Transport { udp, echo, raw, .. } = &mut *below.transport;
                match socket.phase {
                    Phase::Raw(endpoint) => raw.shutdown(endpoint, how.reads(), how.writes()),
                    Phase::Echo(endpoint) => echo.shutdown(endpoint, how.reads(), how.writes()),
                    Phase::Datagram(endpoint) => udp.shutdown(endpoint, how.reads(), how.writes()),
                    _ => {}
                }
                if socket.remote.is_none() {
                    return Err(SocketError::NotConnected);
                }
            }
        }
        self.wake(id);
        Ok(())
    }

    /// The program is done with it; the handle dies. SO_LINGER with zero resets.
    pub fn close(&mut self, id: SocketId, below: &mut Below<'_, '_>) {
        let Some(mut socket) = self.remove(id) else {
            return;
        };
        match socket.phase {
            Phase::Idle => {}
            Phase::Listening(listener) => below.transport.tcp.close_listener(listener, below.cx),
            Phase::Connecting(conn) | Phase::Connected(conn) => {
                if socket.options.linger == Some(Duration::ZERO) {
                    below.transport.tcp.abort(conn, below.cx);
                } else {
                    below.transport.tcp.close(conn, below.cx);
                }
                socket.leave_port(below.transport);
            }
            Phase::Datagram(endpoint) => {
                socket.leave_groups(below);
                below.transport.udp_of_mut(endpoint).close(endpoint);
            }
            Phase::Echo(endpoint) => {
                socket.leave_groups(below);
                below.transport.echo.close(endpoint);
            }
            Phase::Raw(endpoint) => {
                socket.leave_groups(below);
                below.transport.raw.close(endpoint);
            }
        }
        socket.release(below.transport);
    }

    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, id: SocketId, transport: &mut Transport) -> Option<SocketError> {
        match self.socket(id).ok()?.phase {
            Phase::Connecting(conn) | Phase::Connected(conn) => transport.tcp.take_error(conn),
            Phase::Datagram(endpoint) => transport.udp_of_mut(endpoint).take_error(endpoint),
            Phase::Echo(endpoint) => transport.echo.take_error(endpoint),
            Phase::Raw(endpoint) => transport.raw.take_error(endpoint),
            Phase::Idle | Phase::Listening(_) => None,
        }
    }

    /// getsockname.
    pub fn local_addr(&self, id: SocketId) -> Result<SocketAddr, SocketError> {
        let socket = self.socket(id)?;
        Ok(socket.family().shown(socket.local))
    }

    /// getpeername: `NotConnected` before the handshake ended and after the connection did.
    pub fn peer_addr(
        &self,
        id: SocketId,
        transport: &Transport,
    ) -> Result<SocketAddr, SocketError> {
        let socket = self.socket(id)?;
        if let Phase::Connecting(conn) | Phase::Connected(conn) = socket.phase {
            let status = transport.tcp.status(conn);
            let state = status.map_or(State::Closed, |status| status.state);
            if matches!(state, State::Closed | State::SynSent) {
                return Err(SocketError::NotConnected);
            }
        }
        let remote = socket.remote.ok_or(SocketError::NotConnected)?;
        Ok(socket.family().shown(remote))
    }

    /// SO_ACCEPTCONN.
    pub fn is_listening(&self, id: SocketId) -> bool {
        let phase = self.socket(id).map(|socket| socket.phase);
        matches!(phase, Ok(Phase::Listening(_)))
    }

    /// The listener behind a stream socket.
    pub(crate) fn listener(&self, id: SocketId) -> Option<ListenerId> {
        match self.socket(id).ok()?.phase {
            Phase::Listening(listener) => Some(listener),
            _ => None,
        }
    }
    /// The connection behind a stream socket.
    pub(crate) fn connection(&self, id: SocketId) -> Option<ConnId> {
        match self.socket(id).ok()?.phase {
            Phase::Connecting(conn) | Phase::Connected(conn) => Some(conn),
            _ => None,
        }
    }
}

impl Phase {
    /// Tells the endpoint of a datagram or echo socket both ends. Replies to echo requests come from anywhere.
    fn associate(
        self,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        transport: &mut Transport,
    ) {
        match self {
            Self::Datagram(endpoint) => {
                let udp = transport.udp_of_mut(endpoint);
                udp.associate(endpoint, local, remote);
            }
            Self::Echo(endpoint) => {
                let remote = remote.map(|remote| remote.ip());
                transport.echo.associate(endpoint, local, remote);
            }
            _ => {}
        }
    }
}

impl Socket {
    /// Whether it may still be bound.
    pub(super) fn is_fresh(&self) -> bool {
        let is_fresh = matches!(
            self.phase,
            Phase::Idle | Phase::Datagram(_) | Phase::Echo(_) | Phase::Raw(_)
        );
        is_fresh && self.hold.is_none()
    }

    fn connect_stream(
        &mut self,
        id: SocketId,
        remote: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let remote = self.stream_peer(remote, below.network)?;
        let path = self.route(remote, self.bound_ip(), below)?;
        let Transport { tcp, tcp_ports, .. } = &mut *below.transport;
        let mut sharing = self.options.sharing();
        match &mut self.hold {
            Some(hold) => tcp_ports.change(hold, path.src, sharing),
            None => {
                sharing.listening = false;
                let in_use = in_use(tcp);
                let hold = tcp_ports.claim_for_connect(path.src, remote, sharing, &in_use)?;
                self.hold = Some(hold);
            }
        }
        let port = self.hold.map_or(0, |hold| hold.port);
        self.local = SocketAddr::new(path.src, port);
        let (options, owner) = (self.options.tcp, id.owner());
        match tcp.connect(self.local, remote, path, options, owner, below.cx) {
            Ok(conn) => {
                self.remote = Some(remote);
                self.phase = Phase::Connecting(conn);
                if options.fast_open_connect && tcp.opens_fast() && tcp.defer_syn(conn, below.cx) {
                    self.phase = Phase::Connected(conn);
                    return Ok(());
                }
                Err(SocketError::InProgress)
            }
            Err(error) => {
                self.back_to_idle(below.transport);
                Err(match error {
                    SocketError::AddressInUse => SocketError::AddressNotAvailable,
                    other => other,
                })
            }
        }
    }

    /// How a connect went. After a failure the socket may be used again, as if it had never tried.
    fn connect_result(
        &mut self,
        conn: ConnId,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        match state(conn, below) {
            State::SynSent | State::SynReceived => Err(SocketError::Already),
            State::Closed => {
                let tcp = &mut below.transport.tcp;
                let error = tcp.take_error(conn);
                tcp.close(conn, below.cx);
                self.back_to_idle(below.transport);
                // As Linux: SO_ERROR may have taken the cause already.
                Err(error.unwrap_or(SocketError::ConnectionAborted))
            }
            _ => {
                self.phase = Phase::Connected(conn);
                Ok(())
            }
        }
    }

    fn connect_datagram(
        &mut self,
        remote: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        if self.hold.is_none() {
            self.take_port(self.nowhere(), below)?;
        }
        let remote = self.datagram_peer(remote)?;
        let path = self.route_datagram(remote, None, below)?;
        if self.local.ip().is_unspecified() {
            self.local = SocketAddr::new(path.src, self.local.port());
        }
        self.remote = Some(remote);
        self.share(below.transport);
        self.phase
            .associate(Some(self.local), Some(remote), below.transport);
        Ok(())
    }

    /// Takes a port (0: an ephemeral one) and, for datagrams, begins to receive there.
    pub(super) fn take_port(
        &mut self,
        local: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let sharing = self.sharing();
        let Transport {
            tcp,
            tcp_ports,
            udp_ports,
            udp_lite_ports,
            echo_ids,
            ..
        } = &mut *below.transport;
        let (ports, is_stream) = match self.kind {
            SocketKind::Stream => (tcp_ports, true),
            SocketKind::Datagram => (udp_ports, false),
            SocketKind::Lite => (udp_lite_ports, false),
            SocketKind::Echo => (echo_ids, false),
            SocketKind::Raw(_) => unreachable!("a raw socket takes no port"),
        };
        let lingers = |local, remote| is_stream && tcp.in_use(local, remote);
        let hold = match local.port() {
            0 => ports.claim_ephemeral(local.ip(), sharing, below.cx.rng)?,
            _ => ports.claim(local, sharing, &lingers)?,
        };
        self.hold = Some(hold);
        self.local = local;
        self.local.set_port(hold.port);
        self.phase
            .associate(Some(self.local), None, below.transport);
        Ok(())
    }

    /// The way to a destination, spoken from `src` if that is fixed; the path's `src` is the sender's address.
    pub(super) fn route(
        &self,
        remote: SocketAddr,
        src: Option<IpAddr>,
        below: &mut Below<'_, '_>,
    ) -> Result<Path, SocketError> {
        if self.local.is_ipv4() && remote.is_ipv6() {
            let path = self.way(remote.ip(), None, below.network);
            return Err(path.map_or_else(net_error, |_| SocketError::FamilyNotSupported));
        }
        let path = self.way(remote.ip(), src, below.network);
        let path = path.map_err(net_error)?;
        Ok(Path {
            src: src.unwrap_or(path.src),
            ..path
        })
    }

    /// As routes have it, by the port that it is bound to if there is one.
    pub(super) fn way(
        &self,
        to: IpAddr,
        src: Option<IpAddr>,
        network: &Network,
    ) -> Result<Path, NetError> {
        network.route_out(self.options.tcp.device, to, src)
    }

    /// The same for a datagram, whose sender may have chosen `src`: a broadcast wants SO_BROADCAST. As in Linux, `bind` or the
    /// first `connect` fixes the sender's address, for other peers too; one that is bound to a broadcast address or a group
    /// hears there and speaks as routing picks.
    pub(super) fn route_datagram(
        &self,
        remote: SocketAddr,
        src: Option<IpAddr>,
        below: &mut Below<'_, '_>,
    ) -> Result<Path, SocketError> {
        if below.network.is_broadcast(remote.ip()) && !self.options.broadcast {
            return Err(SocketError::AccessDenied);
        }
        let ip = self.local.ip();
        let hears_only = ip.is_unspecified() || ip.is_multicast() || below.network.is_broadcast(ip);
        let own = src.or((!hears_only).then_some(ip));
        match remote.ip().is_multicast() {
            true => self.route_to_group(remote, own, below),
            false => self.route(remote, own, below),
        }
    }

    /// Listens no longer: an explicit bind stays, a drawn port goes.
    fn stop_listening(&mut self, below: &mut Below<'_, '_>) {
        if let Phase::Listening(listener) = self.phase {
            below.transport.tcp.close_listener(listener, below.cx);
        }
        self.back_to_idle(below.transport);
    }

    /// As before `connect` or `listen`: an explicit bind stays.
    fn back_to_idle(&mut self, transport: &mut Transport) {
        self.phase = Phase::Idle;
        self.remote = None;
        match self.bound.as_deref().copied() {
            Some(bound) => {
                self.local = bound;
                self.share(transport);
            }
            None => {
                self.release(transport);
                self.local = self.nowhere();
            }
        }
    }

    /// Gives the port back.
    fn release(&mut self, transport: &mut Transport) {
        if let Some(hold) = self.hold.take() {
            self.ports(transport).release(hold);
        }
    }

    /// Leaves the port to the connection, if that outlives the socket.
    fn leave_port(&mut self, transport: &mut Transport) {
        let Transport { tcp, tcp_ports, .. } = transport;
        let Some(remote) = self.remote else {
            return;
        };
        if tcp.in_use(self.local, remote)
            && let Some(hold) = self.hold.take()
        {
            tcp_ports.leave_to_connection(hold, remote, &in_use(tcp));
        }
    }
}

/// A connection's state; one that is forgotten is closed.
pub(super) fn state(conn: ConnId, below: &Below<'_, '_>) -> State {
    let status = below.transport.tcp.status(conn);
    status.map_or(State::Closed, |status| status.state)
}
