//! A listening TCP socket.
use core::fmt;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::io;

use heptad_stack::Ready;

use super::waiting::{Place, wait};
use super::{TcpStream, clock};
use crate::socket::ToLabAddr;
use crate::{Node, socket};

/// As `tokio::net::TcpListener`, on a node.
pub struct TcpListener {
    inner: socket::TcpListener,
    place: Place,
}
impl TcpListener {
    /// Binds (with `SO_REUSEADDR`) and listens with a backlog of 128. Port 0: a free one.
    pub async fn bind(node: &Node, local: impl ToLabAddr) -> io::Result<Self> {
        clock::follow(node.network());
        Ok(socket::TcpListener::bind(node, local)?.into())
    }
    /// Waits for a connection. Any number of tasks may wait at once; each connection goes to one of them.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let handle = self.inner.handle();
        let verb = wait(handle, Ready::READABLE, |stack, socket, cx| {
            stack.accept(socket, cx)
        });
        let (socket, peer) = verb.await?;
        Ok((TcpStream::new(handle.accepted(socket)), peer))
    }
    /// As [`TcpListener::accept`]; of several tasks that poll, the last one is woken.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let handle = self.inner.handle();
        let accepted = self
            .place
            .poll(handle, cx, Ready::READABLE, |stack, socket, cx| {
                stack.accept(socket, cx)
            });
        accepted.map_ok(|(socket, peer)| (TcpStream::new(handle.accepted(socket)), peer))
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
    /// The TTL of packets that it sends.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }
    /// Sets the TTL of packets that it sends, 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }
}
/// The same socket for tasks.
impl From<socket::TcpListener> for TcpListener {
    fn from(inner: socket::TcpListener) -> Self {
        Self {
            inner,
            place: Place::new(),
        }
    }
}
impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
