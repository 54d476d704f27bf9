//! A TCP connection.
use core::fmt;
use core::net::SocketAddr;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use heptad_stack::l4_transport::tcp::Congestion;
use heptad_stack::stack::SocketOption;
use heptad_stack::{Ready, SocketError, SocketKind};

use super::ToLabAddr;
use super::handle::{Handle, unexpected};
use crate::Node;

/// What `connect` says, asked again and again: on the way is a reason to wait, connected is success.
pub(crate) fn connecting(said: Result<(), SocketError>) -> Result<(), SocketError> {
    match said {
        Err(SocketError::InProgress | SocketError::Already) => Err(SocketError::WouldBlock),
        Err(SocketError::IsConnected) => Ok(()),
        other => other,
    }
}

/// As `std::net::TcpStream`, on a node.
pub struct TcpStream {
    handle: Arc<Handle>,
}
impl TcpStream {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle: handle.into(),
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Connects, waiting as long as TCP tries.
    pub fn connect(node: &Node, remote: impl ToLabAddr) -> io::Result<Self> {
        Self::connect_within(node, remote.to_lab_addr(node)?, None)
    }
    /// Connects, waiting at most `timeout`; then `TimedOut`.
    pub fn connect_timeout(
        node: &Node,
        remote: &SocketAddr,
        timeout: Duration,
    ) -> io::Result<Self> {
        if timeout.is_zero() {
            let message = "cannot set a 0 duration timeout";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Self::connect_within(node, *remote, Some(timeout)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::from(io::ErrorKind::TimedOut),
            _ => error,
        })
    }
    fn connect_within(
        node: &Node,
        remote: SocketAddr,
        timeout: Option<Duration>,
    ) -> io::Result<Self> {
        let handle = Handle::open(node, remote, SocketKind::Stream)?;
        handle.wait("connect", Ready::WRITABLE, timeout, |stack, socket, cx| {
            connecting(stack.connect(socket, remote, cx))
        })?;
        Ok(Self::new(handle))
    }

    /// Reads without taking.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.handle
            .reading("peek", |stack, socket, cx| stack.peek(socket, buf, cx))
    }
    /// Ends a direction.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => heptad_stack::Shutdown::Read,
            Shutdown::Write => heptad_stack::Shutdown::Write,
            Shutdown::Both => heptad_stack::Shutdown::Both,
        };
        self.handle
            .with(|stack, socket, cx| stack.shutdown(socket, how, cx))
    }
    /// Another handle of the same socket: options and timeouts are shared.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            handle: self.handle.clone(),
        })
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.local_addr()
    }
    /// Theirs.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.handle.peer_addr()
    }

    /// The timeout of reads.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.handle.read_timeout())
    }
    /// A timeout for reads, in lab time; `None`: none. Zero is an error, as in `std`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.handle.set_read_timeout(timeout)
    }
    /// The timeout of writes.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.handle.write_timeout())
    }
    /// A timeout for writes, in lab time; `None`: none. Zero is an error, as in `std`.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.handle.set_write_timeout(timeout)
    }
    /// Whether verbs answer `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.handle.set_nonblocking(nonblocking);
        Ok(())
    }
    /// Whether Nagle's algorithm is off.
    pub fn nodelay(&self) -> io::Result<bool> {
        match self.handle.get(SocketOption::NoDelay(false))? {
            SocketOption::NoDelay(on) => Ok(on),
            other => Err(unexpected(other)),
        }
    }
    /// Switches Nagle's algorithm off.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.handle.set(SocketOption::NoDelay(nodelay))
    }
    /// Which congestion control decides what it sends (TCP_CONGESTION).
    pub fn congestion(&self) -> io::Result<Congestion> {
        match self
            .handle
            .get(SocketOption::Congestion(Congestion::default()))?
        {
            SocketOption::Congestion(which) => Ok(which),
            other => Err(unexpected(other)),
        }
    }
    /// Chooses the congestion control.
    pub fn set_congestion(&self, which: Congestion) -> io::Result<()> {
        self.handle.set(SocketOption::Congestion(which))
    }
    /// The TTL of packets that it sends.
    pub fn ttl(&self) -> io::Result<u32> {
        self.handle.ttl()
    }
    /// Sets the TTL of packets that it sends, 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.handle.set_ttl(ttl)
    }
    /// SO_LINGER.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        match self.handle.get(SocketOption::Linger(None))? {
            SocketOption::Linger(linger) => Ok(linger),
            other => Err(unexpected(other)),
        }
    }
    /// SO_LINGER; `Some(ZERO)`: close resets the connection. Closing never waits.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.handle.set(SocketOption::Linger(linger))
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.handle.take_error()
    }
}
impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.handle
            .reading("read", |stack, socket, cx| stack.recv(socket, buf, cx))
    }
}
impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.handle
            .writing("write", |stack, socket, cx| stack.send(socket, buf, cx))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}
impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpStream");
        if let Ok(local) = self.local_addr() {
            out.field("addr", &local);
        }
        if let Ok(peer) = self.peer_addr() {
            out.field("peer", &peer);
        }
        out.field("socket", &self.handle.socket()).finish()
    }
}
