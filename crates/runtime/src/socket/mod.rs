//! Blocking sockets on a node, shaped like `std::net`.
//!
//! They wait in lab time: a read timeout of 5 s in virtual time is over when the lab's clock says so.
mod address;
mod datagram;
pub(crate) mod handle;
mod listener;
mod multicast;
pub(crate) mod stream;

use std::io;

use heptad_stack::SocketError;

pub use address::ToLabAddr;
pub use datagram::UdpSocket;
pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;

/// A socket's error as the system's: with its errno, so that `kind()` is what programs know.
pub(crate) fn io_error(error: SocketError) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}
