//! Blocking sockets on a node, shaped like `std::net`.
use core::net::SocketAddr;
use std::io;
use std::time::Duration;

use crate::Node;

/// As `std::net::TcpListener`, on a node.
pub struct TcpListener {}
/// As `std::net::TcpStream`, on a node.
pub struct TcpStream {}
/// As `std::net::UdpSocket`, on a node.
pub struct UdpSocket {}

#[allow(unused_variables)]
impl TcpListener {
    /// Binds and listens (backlog 128).
    pub fn bind(node: &Node, local: SocketAddr) -> io::Result<Self> {
        todo!()
    }
    /// Waits for a connection.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        todo!()
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        todo!()
    }
}
#[allow(unused_variables)]
impl TcpStream {
    /// Connects, waiting.
    pub fn connect(node: &Node, remote: SocketAddr) -> io::Result<Self> {
        todo!()
    }
    /// A timeout for reads; `None`: none. Zero is an error, as in `std`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        todo!()
    }
    /// Another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        todo!()
    }
    /// Ends a direction.
    pub fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        todo!()
    }
    /// Our end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        todo!()
    }
    /// Theirs.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        todo!()
    }
}
#[allow(unused_variables)]
impl io::Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        todo!()
    }
}
#[allow(unused_variables)]
impl io::Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
