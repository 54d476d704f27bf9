//! Layer 5: sockets. The table, the verbs, options, readiness, errno.
pub use crate::l4_transport::readiness::{Owner, Ready, SocketError};

/// A socket's handle; `generation` tells a reused slot from the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    /// Slot.
    pub index: u32,
    /// How-manieth use of the slot.
    pub generation: u32,
}

/// What `socket` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// Which direction `shutdown` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// SHUT_RD
    Read,
    /// SHUT_WR
    Write,
    /// SHUT_RDWR
    Both,
}
