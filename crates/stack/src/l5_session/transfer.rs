//! The verbs that move bytes: send and recv, with and without a copy, to and from.
use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use heptad_wire::Chunk;
use heptad_wire::icmpv4::{HEADER_LEN, Icmpv4};
use heptad_wire::icmpv6::Icmpv6;

use super::association::state;
use super::table::Phase;
use super::{Below, SocketError, SocketId, SocketKind, Sockets};
use crate::l4_transport::echo::{EchoId, MAX_MESSAGE, Received, Reported};
use crate::l4_transport::raw::RawId;
use crate::l4_transport::tcp::{ConnId, State};
use crate::l4_transport::udp::{self, Choices, UdpId, max_payload};

/// To the peer, as the socket says.
const PLAIN: (Option<SocketAddr>, &Choices) = (
    None,
    &Choices {
        src: None,
        port: None,
        hops: None,
        class: None,
    },
);

/// Whose bytes a verb moves.
enum Carrier {
    Stream(ConnId),
    Datagram(UdpId),
    Echo(EchoId),
    Raw(RawId),
}

impl Sockets {
    /// Sends on a stream or a connected datagram socket; how many bytes were taken.
    pub fn send(
        &mut self,
        id: SocketId,
        data: &[u8],
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        match self.sender(id, below)? {
            Carrier::Stream(conn) => below.transport.tcp.send(conn, data, below.cx),
            Carrier::Datagram(_) | Carrier::Echo(_) => {
                self.send_datagram(id, Payload::Copied(data), PLAIN, below)
            }
            Carrier::Raw(endpoint) => self.send_raw(id, endpoint, data, PLAIN, below),
        }
    }

    /// As `send` without a copy, all or nothing.
    pub fn send_bytes(
        &mut self,
        id: SocketId,
        data: Bytes,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        match self.sender(id, below)? {
            Carrier::Stream(conn) => below.transport.tcp.send_bytes(conn, data, below.cx),
            Carrier::Datagram(_) | Carrier::Echo(_) => {
                let sent = self.send_datagram(id, Payload::Shared(data), PLAIN, below);
                sent.map(|_| ())
            }
            Carrier::Raw(endpoint) => {
                let sent = self.send_raw(id, endpoint, &data, PLAIN, below);
                sent.map(|_| ())
            }
        }
    }

    /// Sends a datagram. A stream ignores the address, as Linux does.
    pub fn send_to(
        &mut self,
        id: SocketId,
        data: &[u8],
        remote: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        match self.sender(id, below)? {
            Carrier::Stream(conn) => below.transport.tcp.send(conn, data, below.cx),
            Carrier::Datagram(_) | Carrier::Echo(_) => {
                let to = (Some(remote), PLAIN.1);
                self.send_datagram(id, Payload::Copied(data), to, below)
            }
            Carrier::Raw(endpoint) => {
                self.send_raw(id, endpoint, data, (Some(remote), PLAIN.1), below)
            }
        }
    }

    /// Connects a stream, and lets as much as may ride on the SYN (MSG_FASTOPEN). `InProgress`: nothing does, and the data is to be
    /// sent again when the connection is there.
    pub fn send_fast(
        &mut self,
        id: SocketId,
        data: &[u8],
        remote: SocketAddr,
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        if self.socket(id)?.kind != SocketKind::Stream {
            return self.send_to(id, data, remote, below);
        }
        if !below.transport.tcp.opens_fast() {
            return Err(SocketError::NotSupported);
        }
        let connects = self.connect(id, remote, below);
        let begun = connects == Err(SocketError::InProgress);
        if !begun {
            return connects.and(Err(SocketError::IsConnected));
        }
        let conn = self.connection(id).ok_or(SocketError::InProgress)?;
        match below.transport.tcp.ride(conn, data, below.cx) {
            0 => Err(SocketError::InProgress),
            taken => Ok(taken),
        }
    }

    /// Sends on a stream; the last byte that is taken is urgent (MSG_OOB). `NotSupported` for sockets of other kinds.
    pub fn send_urgent(
        &mut self,
        id: SocketId,
        data: &[u8],
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        match self.sender(id, below)? {
            Carrier::Stream(conn) => below.transport.tcp.send_urgent(conn, data, below.cx),
            _ => Err(SocketError::NotSupported),
        }
    }
    /// The urgent byte of a stream (MSG_OOB); `None`: none will come. It never waits.
    pub fn recv_urgent(
        &mut self,
        id: SocketId,
        peek: bool,
        below: &mut Below<'_, '_>,
    ) -> Result<Option<u8>, SocketError> {
        match self.receiver(id, below)? {
            Carrier::Stream(conn) => below.transport.tcp.recv_urgent(conn, peek, below.cx),
            _ => Err(SocketError::NotSupported),
        }
    }

    /// Receives from a stream or a datagram socket (the rest of a datagram is discarded); 0 at the end of a stream.
    pub fn recv(
        &mut self,
        id: SocketId,
        out: &mut [u8],
        peek: bool,
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        match self.receiver(id, below)? {
            Carrier::Stream(_) if out.is_empty() => Ok(0),
            Carrier::Stream(conn) => below.transport.tcp.recv(conn, out, peek, below.cx),
            Carrier::Datagram(endpoint) => {
                let udp = below.transport.udp_of_mut(endpoint);
                Ok(udp.recv(endpoint, out, peek, below.cx)?.0)
            }
            Carrier::Echo(endpoint) => {
                let echo = &mut below.transport.echo;
                Ok(echo.recv(endpoint, out, peek, below.cx)?.copied)
            }
            Carrier::Raw(endpoint) => {
                let (received, _) = self.recv_raw(id, endpoint, (out, peek), below)?;
                Ok(received.copied)
            }
        }
    }

    /// As `recv` without a copy: at most `max` bytes.
    pub fn recv_bytes(
        &mut self,
        id: SocketId,
        max: usize,
        below: &mut Below<'_, '_>,
    ) -> Result<Bytes, SocketError> {
        match self.receiver(id, below)? {
            Carrier::Stream(conn) => below.transport.tcp.recv_bytes(conn, max, below.cx),
            Carrier::Datagram(endpoint) => {
                let udp = below.transport.udp_of_mut(endpoint);
                udp.recv_bytes(endpoint, max, below.cx)
            }
            Carrier::Echo(endpoint) => {
                let mut out = alloc::vec![0; max.min(MAX_MESSAGE)];
                let echo = &mut below.transport.echo;
                let received = echo.recv(endpoint, &mut out, false, below.cx)?;
                out.truncate(received.copied);
                Ok(out.into())
            }
            Carrier::Raw(endpoint) => {
                let mut out = alloc::vec![0; max.min(usize::from(u16::MAX))];
                let (received, _) = self.recv_raw(id, endpoint, (&mut out, false), below)?;
                out.truncate(received.copied);
                Ok(out.into())
            }
        }
    }

    /// Receives a datagram: its bytes that fit, its whole length, who sent it. A stream gives its bytes and its peer.
    pub fn recv_from(
        &mut self,
        id: SocketId,
        out: &mut [u8],
        peek: bool,
        below: &mut Below<'_, '_>,
    ) -> Result<(usize, usize, SocketAddr), SocketError> {
        let socket = self.socket(id)?;
        let (family, nobody) = (socket.family(), socket.nowhere());
        let peer = socket.remote.unwrap_or(nobody);
        match self.receiver(id, below)? {
            Carrier::Stream(conn) => {
                let n = below.transport.tcp.recv(conn, out, peek, below.cx)?;
                Ok((n, n, family.shown(peer)))
            }
            Carrier::Datagram(endpoint) => {
                let udp = below.transport.udp_of_mut(endpoint);
                let (copied, len, from) = udp.recv(endpoint, out, peek, below.cx)?;
                Ok((copied, len, family.shown(from.unwrap_or(nobody))))
            }
            Carrier::Echo(endpoint) => {
                let echo = &mut below.transport.echo;
                let received = echo.recv(endpoint, out, peek, below.cx)?;
                // As on Linux: the address, and no port.
                let from = received.from.map(|from| SocketAddr::new(from.ip(), 0));
                Ok((received.copied, received.len, from.unwrap_or(nobody)))
            }
            Carrier::Raw(endpoint) => {
                let (received, from) = self.recv_raw(id, endpoint, (out, peek), below)?;
                Ok((received.copied, received.len, from))
            }
        }
    }

    /// Receives an echo reply with its TTL and time. `NotSupported` for other sockets.
    pub fn recv_echo(
        &mut self,
        id: SocketId,
        out: &mut [u8],
        below: &mut Below<'_, '_>,
    ) -> Result<Received, SocketError> {
        match self.socket(id)?.phase {
            Phase::Echo(endpoint) => below.transport.echo.recv(endpoint, out, false, below.cx),
            _ => Err(SocketError::NotSupported),
        }
    }
    /// Takes the oldest ICMP error about a request of an echo socket.
    pub fn recv_echo_error(&mut self, id: SocketId, below: &mut Below<'_, '_>) -> Option<Reported> {
        match self.socket(id).ok()?.phase {
            Phase::Echo(endpoint) => below.transport.echo.recv_told(endpoint),
            _ => None,
        }
    }

    /// Takes the oldest error about a datagram of a socket that asked for them (IP_RECVERR, MSG_ERRQUEUE).
    pub fn recv_error(&mut self, id: SocketId, below: &mut Below<'_, '_>) -> Option<udp::Reported> {
        let socket = self.socket(id).ok()?;
        let reported = match socket.phase {
            Phase::Datagram(endpoint) => {
                below.transport.udp_of_mut(endpoint).recv_error(endpoint)?
            }
            Phase::Echo(endpoint) => below.transport.echo.recv_error(endpoint)?,
            Phase::Raw(endpoint) => below.transport.raw.recv_error(endpoint)?,
            _ => return None,
        };
        let remote = socket.family().shown(reported.remote);
        Some(udp::Reported { remote, ..reported })
    }

    fn sender(&self, id: SocketId, below: &mut Below<'_, '_>) -> Result<Carrier, SocketError> {
        self.carrier(id, SocketError::BrokenPipe, below)
    }
    fn receiver(&self, id: SocketId, below: &mut Below<'_, '_>) -> Result<Carrier, SocketError> {
        self.carrier(id, SocketError::NotConnected, below)
    }
    /// Who moves the bytes. `idle` answers for a stream without a connection; while one is being opened, nothing moves.
    fn carrier(
        &self,
        id: SocketId,
        idle: SocketError,
        below: &mut Below<'_, '_>,
    ) -> Result<Carrier, SocketError> {
        match self.socket(id)?.phase {
            Phase::Idle | Phase::Listening(_) => Err(idle),
            Phase::Connected(conn) => Ok(Carrier::Stream(conn)),
            Phase::Connecting(conn) => match state(conn, below) {
                State::SynSent | State::SynReceived => Err(SocketError::WouldBlock),
                // It may have been open since: what came then is still read, and TCP knows the error of one that failed.
                _ => Ok(Carrier::Stream(conn)),
            },
            Phase::Datagram(endpoint) => Ok(Carrier::Datagram(endpoint)),
            Phase::Echo(endpoint) => Ok(Carrier::Echo(endpoint)),
            Phase::Raw(endpoint) => Ok(Carrier::Raw(endpoint)),
        }
    }

    pub(super) fn send_datagram(
        &mut self,
        id: SocketId,
        payload: Payload<'_>,
        (to, choices): (Option<SocketAddr>, &Choices),
        below: &mut Below<'_, '_>,
    ) -> Result<usize, SocketError> {
        let socket = self.socket_mut(id)?;
        let (len, is_echo) = (payload.len(), matches!(socket.phase, Phase::Echo(_)));
        if socket.hold.is_none() {
            socket.take_port(socket.nowhere(), below)?;
        }
        let remote = match to {
            Some(given) => socket.recipient(given)?,
            None => socket.remote.ok_or(SocketError::DestinationRequired)?,
        };
        let most = if is_echo {
            MAX_MESSAGE
        } else {
            max_payload(remote.ip())
        };
        if len > most {
            return Err(SocketError::MessageTooLong);
        }
        if remote.port() == 0 && !is_echo {
            return Err(SocketError::Invalid);
        }
        let seq = match is_echo {
            true => request_seq(payload.bytes(), remote.ip())?,
            false => 0,
        };
        let mut path = socket.route_message(remote, choices, below)?;
        if socket.options.is_of_link(remote.ip()) {
            path.mtu = below.network.link_mtu(path.port, remote.ip());
        }
        let chunk = payload.into_chunk();
        match socket.phase {
            Phase::Echo(endpoint) => {
                let data = chunk.slice(HEADER_LEN..len);
                let echo = &mut below.transport.echo;
                let to = (remote.ip(), choices);
                echo.send(endpoint, (seq, data), to, path, below.cx)?;
            }
            Phase::Datagram(endpoint) => {
                let udp = below.transport.udp_of_mut(endpoint);
                udp.send_with(endpoint, chunk, (remote, choices), path, below.cx)?;
            }
            _ => return Err(SocketError::NotSupported),
        }
        Ok(len)
    }
}

/// The sequence number of an echo request; `Invalid` for any other message, as on Linux.
fn request_seq(message: &[u8], remote: IpAddr) -> Result<u16, SocketError> {
    let v4 = || match Icmpv4::parse(message) {
        Ok(Icmpv4::EchoRequest { seq, .. }) => Some(seq),
        _ => None,
    };
    let v6 = || match Icmpv6::parse(message) {
        Ok(Icmpv6::EchoRequest { seq, .. }) => Some(seq),
        _ => None,
    };
    let seq = match remote {
        IpAddr::V4(_) => v4(),
        IpAddr::V6(_) => v6(),
    };
    seq.ok_or(SocketError::Invalid)
}

/// A datagram's bytes, before anything was decided about them.
pub(super) enum Payload<'a> {
    Copied(&'a [u8]),
    Shared(Bytes),
}
impl Payload<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
    fn into_chunk(self) -> Chunk {
        match self {
            Self::Copied(bytes) => Chunk::copy_from(bytes),
            Self::Shared(bytes) => {
                let len = bytes.len();
                Chunk::new(bytes, len)
            }
        }
    }
}
