//! A UDP socket.
use core::fmt;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::io;

use ::tokio::io::ReadBuf;
use heptad_stack::Ready;

use super::clock;
use super::waiting::{Place, wait};
use crate::socket::handle::Handle;
use crate::socket::{self, ToLabAddr};
use crate::{Network, Node};

/// As `tokio::net::UdpSocket`, on a node. Tasks may share it: each datagram goes to one of them.
pub struct UdpSocket {
    inner: socket::UdpSocket,
    receiver: Place,
    sender: Place,
}
impl UdpSocket {
    /// Binds. Port 0: a free one.
    pub async fn bind(node: &Node, local: impl ToLabAddr) -> io::Result<Self> {
        clock::follow(node.network());
        Ok(socket::UdpSocket::bind(node, local)?.into())
    }
    /// Sets the peer of `send` and `recv`.
    pub async fn connect(&self, remote: impl ToLabAddr) -> io::Result<()> {
        clock::follow(self.network());
        self.inner.connect(remote)
    }
    /// Sends a datagram to the peer.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        wait(self.handle(), Ready::WRITABLE, |stack, socket, cx| {
            stack.send(socket, data, cx)
        })
        .await
    }
    /// Sends a datagram.
    pub async fn send_to(&self, data: &[u8], remote: impl ToLabAddr) -> io::Result<usize> {
        let remote = remote.to_lab_addr(self.inner.node())?;
        wait(self.handle(), Ready::WRITABLE, |stack, socket, cx| {
            stack.send_to(socket, data, remote, cx)
        })
        .await
    }
    /// Waits for a datagram from the peer; what does not fit into `buf` is lost.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        wait(self.handle(), Ready::READABLE, |stack, socket, cx| {
            stack.recv(socket, buf, cx)
        })
        .await
    }
    /// Waits for a datagram and tells who sent it; what does not fit into `buf` is lost.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        wait(self.handle(), Ready::READABLE, |stack, socket, cx| {
            let (taken, _whole, from) = stack.recv_from(socket, buf, cx)?;
            Ok((taken, from))
        })
        .await
    }
    /// As [`UdpSocket::recv_from`]; of several tasks that poll, the last one is woken.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let room = buf.initialize_unfilled();
        let received =
            self.receiver
                .poll(self.handle(), cx, Ready::READABLE, |stack, socket, cx| {
                    stack.recv_from(socket, room, cx)
                });
        received.map_ok(|(taken, _whole, from)| {
            buf.advance(taken);
            from
        })
    }
    /// As [`UdpSocket::send_to`]; of several tasks that poll, the last one is woken.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        remote: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.sender
            .poll(self.handle(), cx, Ready::WRITABLE, |stack, socket, cx| {
                stack.send_to(socket, data, remote, cx)
            })
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
    /// The peer, if one is set.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }
    /// SO_BROADCAST.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.inner.broadcast()
    }
    /// SO_BROADCAST: allows sending to broadcast addresses.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.inner.set_broadcast(on)
    }
    /// The TTL of packets that it sends.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }
    /// Sets the TTL of packets that it sends, 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    pub(super) fn inner(&self) -> &socket::UdpSocket {
        &self.inner
    }
    fn handle(&self) -> &Handle {
        self.inner.handle()
    }
    fn network(&self) -> &Network {
        self.handle().network()
    }
}
/// The same socket for tasks; its timeouts no longer count.
impl From<socket::UdpSocket> for UdpSocket {
    fn from(inner: socket::UdpSocket) -> Self {
        Self {
            inner,
            receiver: Place::new(),
            sender: Place::new(),
        }
    }
}
impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
