//! IPv4 (RFC 791) with options; DS field after RFC 2474, ECN after RFC 3168.
use core::net::Ipv4Addr;

use crate::ParseError;

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Protocol numbers (IANA).
pub mod protocol {
    /// ICMP
    pub const ICMP: u8 = 1;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
}

/// Raw options, up to 40 bytes, a multiple of 4 (padding kept as it came).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Options {
    bytes: [u8; 40],
    len: u8,
}
impl Options {
    /// None.
    pub const NONE: Self = Self {
        bytes: [0; 40],
        len: 0,
    };
    /// Copies them; `None` if over 40 bytes. Pads to a multiple of 4 with zero.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        todo!()
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        todo!()
    }
    /// Those that are copied into every fragment (RFC 791 3.1: the copied flag), padded again.
    pub fn copied(&self) -> Self {
        todo!()
    }
}
impl core::fmt::Debug for Options {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_bytes().fmt(f)
    }
}

/// An IPv4 header. The checksum is not kept: `parse` checks it, `emit` computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// DS field and ECN bits.
    pub tos: u8,
    /// Header and payload, bytes.
    pub total_len: u16,
    /// Identification.
    pub id: u16,
    /// The reserved flag bit (kept).
    pub reserved: bool,
    /// Don't fragment.
    pub dont_fragment: bool,
    /// More fragments.
    pub more_fragments: bool,
    /// In bytes (a multiple of 8).
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// What it carries.
    pub protocol: u8,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Options.
    pub options: Options,
}
impl Ipv4Header {
    /// Bytes of this header.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// The header length that the first byte tells (for `peek`), or why it can't be IPv4.
    pub fn len_of(first: u8) -> Result<usize, ParseError> {
        todo!()
    }
    /// Reads and checks a header: version, lengths, checksum. `bytes` holds at least the header.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        todo!()
    }
    /// Writes `len()` bytes, checksum included.
    pub fn emit(&self, out: &mut [u8]) {
        todo!()
    }
    /// Decrements the TTL in an emitted header and updates its checksum (RFC 1624); `None` at 0 or 1.
    pub fn decrement_ttl(header: &mut [u8]) -> Option<u8> {
        todo!()
    }
}
