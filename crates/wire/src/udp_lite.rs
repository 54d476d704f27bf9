//! UDP-Lite (RFC 3828): 8 bytes, those of UDP, with the checksum's coverage where UDP has its length.
use crate::ParseError;

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// A UDP-Lite header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpLiteHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// How many bytes the checksum covers, from the header's first on; 0: all of them.
    pub coverage: u16,
    /// As on the wire; 0 is illegal.
    pub checksum: u16,
}
impl UdpLiteHeader {
    /// Reads 8 bytes; a coverage from 1 to 7 is `BadLength`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let b = bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let coverage = u16::from_be_bytes([b[4], b[5]]);
        //= rfc3828#3.1
        //# A UDP-Lite packet with a Checksum Coverage value of 1 to 7 MUST be discarded by the receiver.
        if (1..HEADER_LEN as u16).contains(&coverage) {
            return Err(ParseError::BadLength);
        }
        Ok(Self {
            src_port: u16::from_be_bytes([b[0], b[1]]),
            dst_port: u16::from_be_bytes([b[2], b[3]]),
            coverage,
            checksum: u16::from_be_bytes([b[6], b[7]]),
        })
    }
    /// How many bytes of a datagram of `len`, header included, the checksum covers; more than there are is `BadLength`.
    pub fn covered(&self, len: usize) -> Result<usize, ParseError> {
        match usize::from(self.coverage) {
            0 => Ok(len),
            //= rfc3828#3.1
            //# Packets with a Checksum Coverage greater than the IP length MUST also be discarded.
            more if more > len => Err(ParseError::BadLength),
            covered => Ok(covered),
        }
    }
    /// Writes 8 bytes; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            src_port,
            dst_port,
            coverage,
            checksum,
        } = self;
        out[..2].copy_from_slice(&src_port.to_be_bytes());
        out[2..4].copy_from_slice(&dst_port.to_be_bytes());
        out[4..6].copy_from_slice(&coverage.to_be_bytes());
        out[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coverage_holds_the_header_and_no_more_than_the_datagram() {
        let refused = Err(ParseError::BadLength);
        let rows = [
            // Coverage, length of the datagram, bytes covered.
            (0, 20, Ok(20)),
            (0, 8, Ok(8)),
            (1, 20, refused),
            (7, 20, refused),
            (8, 20, Ok(8)),
            (19, 20, Ok(19)),
            (20, 20, Ok(20)),
            (21, 20, refused),
            (9, 8, refused),
            (0xffff, 20, refused),
        ];
        for (coverage, len, expected) in rows {
            let [high, low] = u16::to_be_bytes(coverage);
            let bytes = [0xc0, 0xbe, 0xdc, 0x9d, high, low, 0xfe, 0x21];
            let covered = UdpLiteHeader::parse(&bytes).and_then(|header| header.covered(len));
            assert_eq!(covered, expected, "{coverage} of {len}");
            let short = UdpLiteHeader::parse(&bytes[..7]);
            assert_eq!(short, Err(ParseError::Truncated));
        }
    }
}
