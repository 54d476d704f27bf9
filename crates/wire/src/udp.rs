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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_does_not_hold_the_header_is_refused() {
        let rows = [
            (8, Ok(8)),
            (14, Ok(14)),
            (7, Err(ParseError::BadLength)),
            (0, Err(ParseError::BadLength)),
        ];
        for (len, expected) in rows {
            // From port 49342 to 56477, as a Linux host sent it.
            let bytes = [0xc0, 0xbe, 0xdc, 0x9d, 0, len, 0xfe, 0x21];
            assert_eq!(UdpHeader::parse(&bytes).map(|header| header.len), expected);
            assert_eq!(UdpHeader::parse(&bytes[..7]), Err(ParseError::Truncated));
        }
    }
}
