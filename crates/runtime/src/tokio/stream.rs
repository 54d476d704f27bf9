//! A TCP connection.
use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use heptad_stack::{Ready, Shutdown, SocketKind};

use super::clock;
use super::halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::waiting::{Place, wait};
use crate::Node;
use crate::socket::handle::Handle;
use crate::socket::stream::connecting;
use crate::socket::{self, ToLabAddr};

/// As `tokio::net::TcpStream`, on a node.
pub struct TcpStream {
    inner: socket::TcpStream,
    reader: Place,
    writer: Place,
}
impl TcpStream {
    pub(super) fn new(handle: Handle) -> Self {
        socket::TcpStream::new(handle).into()
    }
    /// Connects, waiting as long as TCP tries. Dropped before: the connection is given up.
    pub async fn connect(node: &Node, remote: impl ToLabAddr) -> io::Result<Self> {
        clock::follow(node.network());
        let remote = remote.to_lab_addr(node)?;
        let handle = Handle::open(node, remote, SocketKind::Stream)?;
        wait(&handle, Ready::WRITABLE, |stack, socket, cx| {
            connecting(stack.connect(socket, remote, cx))
        })
        .await?;
        Ok(Self::new(handle))
    }

    /// Reads without taking.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        wait(self.handle(), Ready::READABLE, |stack, socket, cx| {
            stack.peek(socket, buf, cx)
        })
        .await
    }
    /// Both directions by reference.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(&*self), WriteHalf(&*self))
    }
    /// Both directions, each to be given to a task of its own. Dropping the writing one ends that direction.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        (OwnedReadHalf(stream.clone()), OwnedWriteHalf::new(stream))
    }

    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
    /// Theirs.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }
    /// Whether Nagle's algorithm is off.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.nodelay()
    }
    /// Switches Nagle's algorithm off.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }
    /// The TTL of packets that it sends.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }
    /// Sets the TTL of packets that it sends, 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }
    /// SO_LINGER; `Some(ZERO)`: closing resets the connection. Closing never waits.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.inner.set_linger(linger)
    }
    /// SO_LINGER.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.inner.linger()
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    fn handle(&self) -> &Handle {
        self.inner.handle()
    }
    pub(super) fn poll_read_shared(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.initialize_unfilled();
        if room.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let read = self
            .reader
            .poll(self.handle(), cx, Ready::READABLE, |stack, socket, cx| {
                stack.recv(socket, room, cx)
            });
        read.map_ok(|n| buf.advance(n))
    }
    pub(super) fn poll_write_shared(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.writer
            .poll(self.handle(), cx, Ready::WRITABLE, |stack, socket, cx| {
                stack.send(socket, data, cx)
            })
    }
    pub(super) fn end_writing(&self) -> io::Result<()> {
        self.handle()
            .with(|stack, socket, cx| stack.shutdown(socket, Shutdown::Write, cx))
    }
}
/// The same socket for tasks; its timeouts no longer count.
impl From<socket::TcpStream> for TcpStream {
    fn from(inner: socket::TcpStream) -> Self {
        Self {
            inner,
            reader: Place::new(),
            writer: Place::new(),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_shared(cx, buf)
    }
}
impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_shared(cx, data)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end_writing())
    }
}
impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
