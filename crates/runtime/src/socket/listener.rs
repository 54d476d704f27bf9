//! A listening TCP socket.
use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::sync::Arc;

use heptad_stack::SocketKind;
use heptad_stack::stack::SocketOption;

use super::handle::Handle;
use super::{TcpStream, ToLabAddr};
use crate::Node;

/// The backlog, as `std` asks for it.
const BACKLOG: u32 = 128;

/// As `std::net::TcpListener`, on a node.
pub struct TcpListener {
    handle: Arc<Handle>,
}
impl TcpListener {
    #[cfg(feature = "tokio")]
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
    /// Binds (with `SO_REUSEADDR`, as `std` does) and listens with a backlog of 128. Port 0: a free one.
    pub fn bind(node: &Node, local: impl ToLabAddr) -> io::Result<Self> {
        let local = local.to_lab_addr(node)?;
        let handle = Handle::open(node, local, SocketKind::Stream)?;
        handle.set(SocketOption::ReuseAddress(true))?;
        handle.with(|stack, socket, cx| stack.bind(socket, local, cx))?;
        handle.with(|stack, socket, cx| stack.listen(socket, BACKLOG, cx))?;
        Ok(Self {
            handle: handle.into(),
        })
    }
    /// Waits for a connection.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self
            .handle
            .reading("accept", |stack, socket, cx| stack.accept(socket, cx))?;
        Ok((TcpStream::new(self.handle.accepted(socket)), peer))
    }
    /// Connections, one after the other; never `None`.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.local_addr()
    }
    /// Whether `accept` answers `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.handle.set_nonblocking(nonblocking);
        Ok(())
    }
    /// Another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            handle: self.handle.clone(),
        })
    }
    /// The TTL of packets that it sends.
    pub fn ttl(&self) -> io::Result<u32> {
        self.handle.ttl()
    }
    /// Sets the TTL of packets that it sends, 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.handle.set_ttl(ttl)
    }
    /// SO_ERROR.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.handle.take_error()
    }
}
impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpListener");
        if let Ok(local) = self.local_addr() {
            out.field("addr", &local);
        }
        out.field("socket", &self.handle.socket()).finish()
    }
}

/// The connections of a listener.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}
impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
