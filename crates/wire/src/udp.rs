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
        let b = bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let len = u16::from_be_bytes([b[4], b[5]]);
        if usize::from(len) < HEADER_LEN {
            return Err(ParseError::BadLength);
        }
        Ok(Self {
            src_port: u16::from_be_bytes([b[0], b[1]]),
            dst_port: u16::from_be_bytes([b[2], b[3]]),
            len,
            checksum: u16::from_be_bytes([b[6], b[7]]),
        })
    }
    /// Writes 8 bytes; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            src_port,
            dst_port,
            len,
            checksum,
        } = self;
        out[..2].copy_from_slice(&src_port.to_be_bytes());
        out[2..4].copy_from_slice(&dst_port.to_be_bytes());
        out[4..6].copy_from_slice(&len.to_be_bytes());
        out[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
}
