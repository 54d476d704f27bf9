//! The verbs of sockets, as the face of a host shows them: each lends layer 5 what lies below it.
use core::net::{IpAddr, SocketAddr};

use alloc::vec::Vec;
use bytes::Bytes;

use crate::l3_network::zone;
use crate::l4_transport::{echo, tcp, udp};
use crate::l5_session::{
    Below, Family, Ready, Shutdown, SocketError, SocketId, SocketKind, Sockets,
};
use crate::stack::{Filter, Link, Membership, SocketDetail, SocketOption, SocketRow};
use crate::{Cx, Instant, Stack};

impl Stack {
    /// The sockets, and what lies below them.
    fn session<'a, 'c>(&'a mut self, cx: &'a mut Cx<'c>) -> (&'a mut Sockets, Below<'a, 'c>) {
        let below = Below {
            network: &mut self.network,
            transport: &mut self.transport,
            cx,
        };
        (&mut self.sockets, below)
    }

    /// A new socket of a family, which any address of it tells too.
    pub fn socket(
        &mut self,
        family: impl Into<Family>,
        kind: SocketKind,
    ) -> Result<SocketId, SocketError> {
        self.sockets.open(family.into(), kind, &mut self.transport)
    }
    /// Binds; port 0 draws an ephemeral one (RFC 6056).
    pub fn bind(
        &mut self,
        socket: SocketId,
        local: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.bind(socket, local, &mut below)
    }
    /// Makes it a listener (again: changes the backlog). Unbound: an ephemeral port.
    pub fn listen(
        &mut self,
        socket: SocketId,
        backlog: u32,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.listen(socket, backlog, &mut below)
    }
    /// Streams: starts to connect, `Err(InProgress)`; later `Already`, then `Ok`/`IsConnected` or the error. Datagrams: sets the peer, `Ok` at once.
    pub fn connect(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.connect(socket, remote, &mut below)
    }
    /// AF_UNSPEC: dissolves a datagram's peer; a stream is aborted and may be used again.
    pub fn disconnect(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.disconnect(socket, &mut below)
    }
    /// The oldest connection that waits; `WouldBlock`.
    pub fn accept(
        &mut self,
        socket: SocketId,
        cx: &mut Cx<'_>,
    ) -> Result<(SocketId, SocketAddr), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.accept(socket, &mut below)
    }
    /// Puts an accepted connection back that could not be delivered to the program.
    pub fn unaccept(&mut self, listener: SocketId, accepted: SocketId, cx: &mut Cx<'_>) {
        let (sockets, mut below) = self.session(cx);
        sockets.unaccept(listener, accepted, &mut below)
    }
    /// Sends on a stream or a connected datagram socket; how many bytes were taken.
    pub fn send(
        &mut self,
        socket: SocketId,
        data: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.send(socket, data, &mut below)
    }
    /// As `send` without a copy, all or nothing.
    pub fn send_bytes(
        &mut self,
        socket: SocketId,
        data: Bytes,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.send_bytes(socket, data, &mut below)
    }
    /// Sends on a stream; the last byte that is taken is urgent (MSG_OOB).
    pub fn send_urgent(
        &mut self,
        socket: SocketId,
        data: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.send_urgent(socket, data, &mut below)
    }
    /// The urgent byte of a stream (MSG_OOB), which stays if `peek`; `None`: none will come. `Invalid`: nothing is urgent, or it was
    /// taken; `WouldBlock`: the byte is still on its way.
    pub fn recv_urgent(
        &mut self,
        socket: SocketId,
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<Option<u8>, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_urgent(socket, peek, &mut below)
    }
    /// Receives from a stream or a datagram socket (the rest of a datagram is discarded); 0 at the end of a stream.
    pub fn recv(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv(socket, out, false, &mut below)
    }
    /// As `recv` on behalf of a program that has not read `behind` bytes of what was received for it before: a stream's buffer
    /// does not grow for those.
    pub fn recv_for(
        &mut self,
        socket: SocketId,
        behind: u32,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        if let Some(conn) = self.sockets.connection(socket) {
            self.transport.tcp.hold_back(conn, behind);
        }
        self.recv(socket, out, cx)
    }
    /// As `recv`, and the bytes stay.
    pub fn peek(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv(socket, out, true, &mut below)
    }
    /// As `recv` without a copy.
    pub fn recv_bytes(
        &mut self,
        socket: SocketId,
        max: usize,
        cx: &mut Cx<'_>,
    ) -> Result<Bytes, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_bytes(socket, max, &mut below)
    }
    /// Sends a datagram.
    pub fn send_to(
        &mut self,
        socket: SocketId,
        data: &[u8],
        remote: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.send_to(socket, data, remote, &mut below)
    }
    /// Connects a stream with text on its SYN (MSG_FASTOPEN, RFC 7413): how many bytes were taken, or `InProgress`: none was.
    pub fn send_fast(
        &mut self,
        socket: SocketId,
        data: &[u8],
        remote: SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.send_fast(socket, data, remote, &mut below)
    }
    /// Receives a datagram: its bytes that fit, its whole length, who sent it.
    pub fn recv_from(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<(usize, usize, SocketAddr), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_from(socket, out, false, &mut below)
    }
    /// Sends a datagram that may have another source, port, hop limit or class than its socket says, to `remote` or to the
    /// peer (Linux: control messages of `sendmsg`).
    pub fn send_message(
        &mut self,
        socket: SocketId,
        data: &[u8],
        to: (Option<SocketAddr>, &udp::Choices),
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.send_message(socket, data, to, &mut below)
    }
    /// Receives a datagram and how it came: to which address, by which port (Linux: control messages of `recvmsg`).
    pub fn recv_message(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<udp::Received, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_message(socket, out, false, &mut below)
    }
    /// A datagram of UDP that was received here had nobody to receive it: its sender is told what it would have been told had
    /// its port been closed already (RFC 1122 4.1.3.1). For embedders that learn late that a program is gone. Nothing
    /// is said about a group's.
    pub fn refuse_datagram(
        &mut self,
        socket: SocketId,
        (from, way): (SocketAddr, &udp::Way),
        data: &[u8],
        cx: &mut Cx<'_>,
    ) {
        let to = zone::zoned_ip(way.to, way.port);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        if let Ok(local) = self.local_addr(socket)
            && self.network.is_local(to)
        {
            self.complain_of_port((from, SocketAddr::new(to, local.port())), way, data, cx);
        }
    }
    /// Receives an echo reply, a whole ICMP message: with its TTL and when it came. `NotSupported` for other sockets.
    pub fn recv_echo(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<echo::Received, SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_echo(socket, out, &mut below)
    }
    /// Takes the oldest ICMP error about a request of an echo socket (Linux: MSG_ERRQUEUE).
    pub fn recv_echo_error(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Option<echo::Reported> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_echo_error(socket, &mut below)
    }
    /// Takes the oldest error about a datagram of a UDP socket that has IP_RECVERR (Linux: MSG_ERRQUEUE).
    pub fn recv_error(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Option<udp::Reported> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_error(socket, &mut below)
    }
    /// As `recv_from`, and the datagram stays.
    pub fn peek_from(
        &mut self,
        socket: SocketId,
        out: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<(usize, usize, SocketAddr), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.recv_from(socket, out, true, &mut below)
    }
    /// Ends one or both directions.
    pub fn shutdown(
        &mut self,
        socket: SocketId,
        how: Shutdown,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.shutdown(socket, how, &mut below)
    }
    /// The program is done with it; the handle dies.
    pub fn close(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let (sockets, mut below) = self.session(cx);
        sockets.close(socket, &mut below)
    }
    /// Sets an option.
    pub fn set(
        &mut self,
        socket: SocketId,
        option: SocketOption,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.set(socket, option, &mut below)
    }
    /// Joins, leaves or filters a group by the link that is meant. Linux's errors: `Invalid` for what is no group, or sources
    /// of one that was not joined (or the other way); `NoDevice` without such a link; `AddressInUse` if joined already;
    /// `AddressNotAvailable` if not, or for a source that is not in the list; `NoBuffers` beyond the bounds; `Protocol` for
    /// a stream.
    pub fn change_membership(
        &mut self,
        socket: SocketId,
        (link, group): (Link, IpAddr),
        asked: Membership,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (sockets, mut below) = self.session(cx);
        sockets.change_membership(socket, (link, group), asked, &mut below)
    }
    /// The sources of a group that a socket hears by a link; errors as for [`Self::change_membership`].
    pub fn membership(
        &self,
        socket: SocketId,
        link: Link,
        group: IpAddr,
    ) -> Result<Filter, SocketError> {
        self.sockets
            .membership(socket, (link, group), &self.network, &self.transport)
    }
    /// Gets an option: the variant of `which` with its present value.
    pub fn get(&self, socket: SocketId, which: SocketOption) -> Result<SocketOption, SocketError> {
        self.sockets.get(socket, which)
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, socket: SocketId) -> Option<SocketError> {
        self.sockets.take_error(socket, &mut self.transport)
    }
    /// Readiness now.
    pub fn ready(&self, socket: SocketId) -> Ready {
        self.sockets.ready(socket, &self.transport)
    }
    /// getsockname.
    pub fn local_addr(&self, socket: SocketId) -> Result<SocketAddr, SocketError> {
        self.sockets.local_addr(socket)
    }
    /// getpeername.
    pub fn peer_addr(&self, socket: SocketId) -> Result<SocketAddr, SocketError> {
        self.sockets.peer_addr(socket, &self.transport)
    }
    /// Whether it listens (SO_ACCEPTCONN).
    pub fn is_listening(&self, socket: SocketId) -> bool {
        self.sockets.is_listening(socket)
    }
    /// The longest packet that the way to a socket's peer carries, bytes (IP_MTU).
    pub fn socket_mtu(&self, socket: SocketId) -> Result<u32, SocketError> {
        self.sockets.path_mtu(socket, &self.network)
    }
    /// Whether the next read of a stream begins at its urgent mark (SIOCATMARK).
    pub fn is_at_mark(&self, socket: SocketId) -> bool {
        let conn = self.sockets.connection(socket);
        conn.is_some_and(|conn| self.transport.tcp.is_at_mark(conn))
    }
    /// TCP's view of a stream socket (TCP_INFO), a listener's too.
    pub fn tcp_status(&self, socket: SocketId) -> Option<tcp::Status> {
        if let Some(listener) = self.sockets.listener(socket) {
            return self.transport.tcp.listener_status(listener);
        }
        self.transport.tcp.status(self.sockets.connection(socket)?)
    }
    /// TCP_INFO of a stream socket that has a connection or listens.
    pub fn tcp_info(&self, socket: SocketId, now: Instant) -> Option<tcp::Info> {
        if let Some(listener) = self.sockets.listener(socket) {
            return self.transport.tcp.listener_info(listener);
        }
        self.transport
            .tcp
            .info(self.sockets.connection(socket)?, now)
    }
    /// Every socket and every connection without one, for `netstat`: TCP by (local, remote), then UDP.
    pub fn rows(&self) -> Vec<SocketRow> {
        self.sockets.rows(&self.transport)
    }
    /// The same inside out, for `ss`.
    pub fn details(&self, now: Instant) -> Vec<SocketDetail> {
        self.sockets.details(&self.transport, now)
    }
}
