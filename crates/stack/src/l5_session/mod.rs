//! Layer 5: sockets. The table, the verbs, options, readiness, errno.
//!
//! A socket is a row of the table; what carries its bytes (a TCP connection or listener, a UDP or echo endpoint) is layer 4's. The verbs
//! answer exactly as Linux does, in the order in which Linux looks: `association` (bind, listen, connect, accept, shutdown, close)
//! and `transfer` (send, recv). Which addresses a socket of a family may name, and how it sees them, is in `addresses`; which
//! groups it is in, in `groups`.
mod addresses;
mod association;
mod errno;
mod groups;
mod message;
pub mod numbered;
mod options;
mod raw;
pub mod sockaddr;
mod table;
mod transfer;

pub use crate::l4_transport::family::Family;
pub use crate::l4_transport::readiness::{Owner, Ready, SocketError};
pub use options::{BUFFER_MAX, DATAGRAM_BUFFER, SocketOption};
pub use table::{SocketDetail, SocketRow, Sockets};

use crate::Cx;
use crate::l3_network::Network;
use crate::l4_transport::Transport;

/// A socket's handle; `generation` tells a reused slot from the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    /// Slot.
    pub index: u32,
    /// How-manieth use of the table.
    pub generation: u32,
}
impl SocketId {
    /// In one word, as layer 4 keeps it.
    pub(crate) const fn owner(self) -> Owner {
        Owner((self.generation as u64) << 32 | self.index as u64)
    }
    pub(crate) const fn of(owner: Owner) -> Self {
        Self {
            index: owner.0 as u32,
            generation: (owner.0 >> 32) as u32,
        }
    }
}

/// What `socket` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
    /// UDP-Lite.
    Lite,
    /// ICMP echo (Linux: SOCK_DGRAM with IPPROTO_ICMP). Its port is the identifier; what is sent and received are whole ICMP
    /// messages, of which the stack fills in identifier and checksum.
    Echo,
    /// Packets of this protocol as they are (SOCK_RAW).
    Raw(u8),
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
impl Shutdown {
    pub(crate) fn reads(self) -> bool {
        self != Self::Write
    }
    pub(crate) fn writes(self) -> bool {
        self != Self::Read
    }
}

/// What lies below layer 5, lent to a verb.
pub struct Below<'a, 'c> {
    /// Addresses and routes.
    pub network: &'a mut Network,
    /// TCP, UDP and their ports.
    pub transport: &'a mut Transport,
    /// Now, chance, packets, events, counters.
    pub cx: &'a mut Cx<'c>,
}
