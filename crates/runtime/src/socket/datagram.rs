//! A UDP socket.
use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use heptad_stack::SocketKind;
use heptad_stack::l4_transport::udp::{Choices, Received};
use heptad_stack::stack::SocketOption;

use super::ToLabAddr;
use super::handle::{Handle, unexpected};
use crate::Node;

/// As `std::net::UdpSocket`, on a node.
pub struct UdpSocket {
    handle: Arc<Handle>,
    node: Node,
}
impl UdpSocket {
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
    #[cfg(feature = "tokio")]
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }
    /// Binds. Port 0: a free one.
    pub fn bind(node: &Node, local: impl ToLabAddr) -> io::Result<Self> {
        let local = local.to_lab_addr(node)?;
        let handle = Handle::open(node, local, SocketKind::Datagram)?;
        handle.with(|stack, socket, cx| stack.bind(socket, local, cx))?;
        Ok(Self {
            handle: handle.into(),
            node: node.clone(),
        })
    }
    /// Sets the peer of `send` and `recv`: from now on only its datagrams come in, and its refusals (`ConnectionRefused`) are
    /// told. If `bind` chose no address, the first call chooses the one that routing speaks to the peer from, and it stays.
    pub fn connect(&self, remote: impl ToLabAddr) -> io::Result<()> {
        let remote = remote.to_lab_addr(&self.node)?;
        self.handle
            .with(|stack, socket, cx| stack.connect(socket, remote, cx))
    }
    /// Sends a datagram of at most 65,507 bytes to the peer; without one the error is `EDESTADDRREQ`.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.handle
            .writing("send", |stack, socket, cx| stack.send(socket, data, cx))
    }
    /// Sends a datagram of at most 65,507 bytes to `remote`, whoever the peer is.
    pub fn send_to(&self, data: &[u8], remote: impl ToLabAddr) -> io::Result<usize> {
        let remote = remote.to_lab_addr(&self.node)?;
        self.handle.writing("send_to", |stack, socket, cx| {
            stack.send_to(socket, data, remote, cx)
        })
    }
    /// Waits for a datagram from the peer; what does not fit into `buf` is lost.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle
            .reading("recv", |stack, socket, cx| stack.recv(socket, buf, cx))
    }
    /// Waits for a datagram and tells who sent it; what does not fit into `buf` is lost.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.handle.reading("recv_from", |stack, socket, cx| {
            let (taken, _whole, from) = stack.recv_from(socket, buf, cx)?;
            Ok((taken, from))
        })
    }
    /// Sends a datagram that may have another source, port, hop limit or class than its socket says; `None`: to the peer.
    pub fn send_message(
        &self,
        data: &[u8],
        remote: Option<SocketAddr>,
        choices: &Choices,
    ) -> io::Result<usize> {
        self.handle.writing("send_message", |stack, socket, cx| {
            stack.send_message(socket, data, (remote, choices), cx)
        })
    }
    /// As [`UdpSocket::recv_from`], and how it came: to which address, by which port, with which hop limit and class.
    pub fn recv_message(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.handle.reading("recv_message", |stack, socket, cx| {
            stack.recv_message(socket, buf, cx)
        })
    }
    /// As [`UdpSocket::recv`], and the datagram stays.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle
            .reading("peek", |stack, socket, cx| stack.peek(socket, buf, cx))
    }
    /// As [`UdpSocket::recv_from`], and the datagram stays.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.handle.reading("peek_from", |stack, socket, cx| {
            let (taken, _whole, from) = stack.peek_from(socket, buf, cx)?;
            Ok((taken, from))
        })
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.local_addr()
    }
    /// The peer, if one is set.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.handle.peer_addr()
    }
    /// Another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            handle: self.handle.clone(),
            node: self.node.clone(),
        })
    }
    /// The timeout of receiving.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.handle.read_timeout())
    }
    /// A timeout for receiving and peeking, in lab time, then `WouldBlock`; `None`: none. Zero is an error, as in `std`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.handle.set_read_timeout(timeout)
    }
    /// The timeout of sending.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.handle.write_timeout())
    }
    /// A timeout for sending, in lab time; `None`: none. Zero is an error, as in `std`.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.handle.set_write_timeout(timeout)
    }
    /// Whether verbs answer `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.handle.set_nonblocking(nonblocking);
        Ok(())
    }
    /// SO_BROADCAST.
    pub fn broadcast(&self) -> io::Result<bool> {
        match self.handle.get(SocketOption::Broadcast(false))? {
            SocketOption::Broadcast(on) => Ok(on),
            other => Err(unexpected(other)),
        }
    }
    /// SO_BROADCAST: allows sending to broadcast addresses.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.handle.set(SocketOption::Broadcast(on))
    }
    /// The TTL of packets that it sends.
    pub fn ttl(&self) -> io::Result<u32> {
        self.handle.ttl()
    }
    /// Sets the TTL of packets that it sends, 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.handle.set_ttl(ttl)
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.handle.take_error()
    }
}
impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UdpSocket");
        if let Ok(local) = self.local_addr() {
            out.field("addr", &local);
        }
        out.field("socket", &self.handle.socket()).finish()
    }
}
