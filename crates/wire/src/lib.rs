//! Bytes to headers and back, for every protocol of Heptad, and the packet buffer that carries them.
//!
//! This crate knows formats only. It must not know: state of a connection, time, chance, or who asked.
//!
//! ```text
//!   bytes ──parse──▶ header values ──emit──▶ the same bytes
//!   PacketBuf: [ headroom | Ethernet | IPv4 | TCP ] + shared payload chunks
//! ```
//!
//! Start reading at [`packet`], then [`tcp`].
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod group;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod mld;
pub mod ndp;
pub mod packet;
pub mod tcp;
pub mod udp;
pub mod udp_lite;

pub use ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag};
pub use packet::{Chunk, Cut, PacketBuf, PacketId, Pool, Sum};

/// Why bytes are not a header. Carries no text of its own: the caller knows which header it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Fewer bytes than the header needs.
    #[error("truncated")]
    Truncated,
    /// A length field contradicts another or the bytes at hand.
    #[error("bad length")]
    BadLength,
    /// A version or type field that this header does not have.
    #[error("bad version")]
    BadVersion,
    /// The checksum does not hold.
    #[error("bad checksum")]
    BadChecksum,
    /// Headers longer than the head of a packet can hold.
    #[error("header too long")]
    HeaderTooLong,
}
