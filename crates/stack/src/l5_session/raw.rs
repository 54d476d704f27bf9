//! The verbs of raw sockets: they have addresses and no ports.
use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use super::table::{Phase, Socket};
use super::{Below, SocketError, SocketId, SocketKind, Sockets};
use crate::l4_transport::Transport;
use crate::l4_transport::raw::RawId;
use crate::l4_transport::udp::{Choices, Received};

impl Socket {
    /// Hears only what is for this address.
    pub(super) fn bind_raw(
        &mut self,
        endpoint: RawId,
        local: SocketAddr,
        transport: &mut Transport,
    ) {
        self.local.set_ip(local.ip());
        self.bound = Some(Box::new(self.local));
        self.associate_raw(endpoint, transport);
    }
    /// Hears only this peer, and speaks to it.
    pub(super) fn connect_raw(
        &mut self,
        endpoint: RawId,
        remote: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let remote = self.datagram_peer(remote)?;
        let path = self.route_datagram(remote, None, below)?;
        if self.local.ip().is_unspecified() {
            self.local.set_ip(path.src);
        }
        self.remote = Some(remote);
        self.associate_raw(endpoint, below.transport);
        Ok(())
    }
    /// Has no peer any more.
    pub(super) fn disconnect_raw(&mut self, endpoint: RawId, transport: &mut Transport) {
        self.remote = None;
        let protocol = self.local.port();
        let bound = self.bound.as_deref().map(SocketAddr::ip);
        self.local = SocketAddr::new(bound.unwrap_or(self.family().any()), protocol);
        self.associate_raw(endpoint, transport);
    }
    fn associate_raw(&self, endpoint: RawId, transport: &mut Transport) {
        let one = |ip: IpAddr| (!ip.is_unspecified()).then_some(ip);
        let local = one(self.local.ip());
        let remote = self.remote.and_then(|remote| one(remote.ip()));
        transport.raw.associate(endpoint, local, remote);
    }
}

impl Sockets {
    /// Sends a packet. `Invalid` for a peer of no protocol; see [`Raw::send`](crate::l4_transport::raw::Raw::send).
    pub(super) fn send_raw(
        &mut self,
        id: SocketId,
        endpoint: RawId,
        data: &[u8],
        (to, choices): (Option<SocketAddr>, &Choices),
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        let socket = self.socket(id)?;
        let remote = match to {
            Some(given) => socket.recipient(given)?,
            None => socket.remote.ok_or(SocketError::DestinationRequired)?,
        };
        let mut path = socket.route_message(remote, choices, below)?;
        if socket.options.is_of_link(remote.ip()) {
            path.mtu = below.network.link_mtu(path.port, remote.ip());
        }
        let raw = &mut below.transport.raw;
        raw.send(endpoint, data, (remote.ip(), choices), path, below.cx)?;
        Ok(data.len())
    }
    /// Receives a packet and who sent it, as the socket's family writes it.
    pub(super) fn recv_raw(
        &mut self,
        id: SocketId,
        endpoint: RawId,
        (out, peek): (&mut [u8], bool),
        below: &mut Below<'_, '_>,
    ) -> Result<(Received, SocketAddr), SocketError> {
        let socket = self.socket(id)?;
        let received = below.transport.raw.recv(endpoint, out, peek)?;
        let from = received.from.unwrap_or(socket.nowhere());
        Ok((received, socket.family().shown(from)))
    }
}

/// What a raw socket begins with: its protocol stands where others have a port, as on Linux.
pub(super) fn beginning(kind: SocketKind) -> u16 {
    match kind {
        SocketKind::Raw(protocol) => protocol.into(),
        _ => 0,
    }
}

impl Phase {
    /// The endpoint, if it is a raw socket's.
    pub(super) fn raw(self) -> Option<RawId> {
        match self {
            Self::Raw(endpoint) => Some(endpoint),
            _ => None,
        }
    }
}
