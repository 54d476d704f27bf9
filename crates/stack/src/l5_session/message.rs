//! The verbs that move a datagram with what goes beside it: where it was sent to, by which port it came, its hop limit and
//! class; and the same to be chosen for one (sendmsg and recvmsg with control messages).
use core::net::{IpAddr, SocketAddr};

use super::table::{Phase, Socket};
use super::transfer::Payload;
use super::{Below, SocketError, SocketId, Sockets};
use crate::l3_network::{Network, Path, zone};
use crate::l4_transport::net_error;
use crate::l4_transport::udp::{Choices, Received};

impl Sockets {
    /// Sends a datagram with choices of its own, to `remote` or to the peer. `Invalid` for a source that is not ours,
    /// `NetworkUnreachable` where a port does not lead, `NotSupported` for sockets of other kinds.
    pub fn send_message(
        &mut self,
        id: SocketId,
        data: &[u8],
        (remote, choices): (Option<SocketAddr>, &Choices),
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        match self.socket(id)?.phase {
            Phase::Datagram(_) | Phase::Echo(_) => {
                self.send_datagram(id, Payload::Copied(data), (remote, choices), below)
            }
            Phase::Raw(endpoint) => self.send_raw(id, endpoint, data, (remote, choices), below),
            _ => Err(SocketError::NotSupported),
        }
    }

    /// Receives a datagram and how it came. `NotSupported` for sockets of other kinds.
    pub fn recv_message(
        &mut self,
        id: SocketId,
        out: &mut [u8],
        peek: bool,
        below: &mut Below<'_, '_>,
    ) -> Result<Received, SocketError> {
        let socket = self.socket(id)?;
        let family = socket.family();
        let transport = &mut *below.transport;
        let received = match socket.phase {
            Phase::Datagram(endpoint) => {
                let udp = transport.udp_of_mut(endpoint);
                udp.recv_message(endpoint, out, peek, below.cx)?
            }
            Phase::Echo(endpoint) => {
                let received = transport.echo.recv_message(endpoint, out, peek, below.cx)?;
                // As on Linux: the address, and no port.
                let from = received.from.map(|from| SocketAddr::new(from.ip(), 0));
                Received { from, ..received }
            }
            Phase::Raw(endpoint) => transport.raw.recv(endpoint, out, peek)?,
            _ => return Err(SocketError::NotSupported),
        };
        Ok(Received {
            from: received.from.map(|from| family.shown(from)),
            ..received
        })
    }
}

impl Sockets {
    /// The longest packet that the way to the peer carries, bytes (IP_MTU); `NotConnected` without one.
    pub fn path_mtu(&self, id: SocketId, network: &Network) -> Result<u32, SocketError> {
        let socket = self.socket(id)?;
        let remote = socket.remote.ok_or(SocketError::NotConnected)?;
        let path = socket.way(remote.ip(), Some(socket.local.ip()), network);
        let longest = match remote {
            SocketAddr::V4(_) => u16::MAX.into(),
            SocketAddr::V6(_) => u32::MAX,
        };
        path.map(|path| path.mtu.min(longest)).map_err(net_error)
    }
}

impl Socket {
    /// The way of a datagram whose source or port may be chosen (RFC 3542 6).
    pub(super) fn route_message(
        &self,
        remote: SocketAddr,
        choices: &Choices,
        below: &mut Below<'_, '_>,
    ) -> Result<Path, SocketError> {
        let src = chosen_source(choices, below)?;
        let path = self.route_datagram(remote, src, below)?;
        let Some(port) = choices.port.filter(|port| *port != path.port) else {
            return Ok(path);
        };
        if remote.ip().is_multicast() {
            let path = below.network.route_by(port, remote.ip(), src);
            return path.map_err(net_error);
        }
        // A broadcast is on the cable of the address that speaks to it.
        let src = src.or_else(|| below.network.source(port, remote.ip()));
        let path = self.route_datagram(remote, src, below)?;
        match path.port == port {
            true => Ok(path),
            false => Err(SocketError::NetworkUnreachable),
        }
    }
}

fn chosen_source(choices: &Choices, below: &Below<'_, '_>) -> Result<Option<IpAddr>, SocketError> {
    let Some(src) = choices.src.filter(|src| !src.is_unspecified()) else {
        return Ok(None);
    };
    // A link-local address is one on the port that goes with it.
    let src = choices.port.map_or(src, |port| zone::zoned_ip(src, port));
    match below.network.is_local(src) {
        true => Ok(Some(src)),
        false => Err(SocketError::Invalid),
    }
}
