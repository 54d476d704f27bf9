//! UDP (RFC 768): 8 bytes.
use crate::ParseError;

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Header and data, bytes.
    pub len: u16,
    /// As on the wire; 0 means none over IPv4.
    pub checksum: u16,
}
impl UdpHeader {
    /// Reads 8 bytes; a `len` under 8 is `BadLength`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        todo!()
    }
    /// Writes 8 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        todo!()
    }
}
