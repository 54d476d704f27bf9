//! IPv4 (RFC 791) with options; DS field after RFC 2474, ECN after RFC 3168.
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::{ParseError, checksum};

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Protocol numbers (IANA).
pub mod protocol {
    /// ICMP
    pub const ICMP: u8 = 1;
    /// IGMP
    pub const IGMP: u8 = 2;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
    /// UDP-Lite
    pub const UDP_LITE: u8 = 136;
}

/// Kind of the router alert option (RFC 2113): number 20 with the copied flag.
const ROUTER_ALERT: u8 = 148;

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
    /// A router alert alone: every router looks at the packet (RFC 2113).
    pub const ROUTER_ALERT: Self = {
        let mut bytes = [0; 40];
        bytes[0] = ROUTER_ALERT;
        bytes[1] = 4;
        Self { bytes, len: 4 }
    };
    /// Copies them; `None` if over 40 bytes. Pads to a multiple of 4 with zero.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut options = Self::NONE;
        options.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        options.len = bytes.len().next_multiple_of(4) as u8;
        Some(options)
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
    /// Each with its kind as the first byte. The walk ends at end-of-options or at the first malformed one.
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.as_bytes();
        core::iter::from_fn(move || {
            let size = match *rest {
                [] | [0, ..] => return None,
                [1, ..] => 1,
                [_, size, ..] if size >= 2 => usize::from(size),
                _ => return None,
            };
            let (option, next) = rest.split_at_checked(size)?;
            rest = next;
            Some(option)
        })
    }
    /// Those that are copied into every fragment (RFC 791 3.1: the copied flag), padded again.
    pub fn copied(&self) -> Self {
        let mut copied = Self::NONE;
        let mut len = 0;
        for option in self.each().filter(|option| option[0] & 0x80 != 0) {
            copied.bytes[len..len + option.len()].copy_from_slice(option);
            len += option.len();
        }
        copied.len = len.next_multiple_of(4) as u8;
        copied
    }
    /// Whether a router alert is among them (RFC 2113 2.1: 4 bytes, of which routers know the value 0 only).
    pub fn has_router_alert(&self) -> bool {
        self.each().any(|option| option == [ROUTER_ALERT, 4, 0, 0])
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
    /// Of a packet as hosts write most: whole, not to be fragmented (RFC 1191 3), without options, TTL 64 (IANA's default). A
    /// payload longer than any packet's is told as the longest, bytes.
    pub fn plain((src, dst): (Ipv4Addr, Ipv4Addr), protocol: u8, payload_len: usize) -> Self {
        Self {
            tos: 0,
            total_len: u16::try_from(MIN_HEADER_LEN + payload_len).unwrap_or(u16::MAX),
            id: 0,
            reserved: false,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            src,
            dst,
            options: Options::NONE,
        }
    }
    /// Bytes of this header.
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        MIN_HEADER_LEN + self.options.as_bytes().len()
    }
    /// The header length that the first byte tells (for `peek`), or why it can't be IPv4.
    pub fn len_of(first: u8) -> Result<usize, ParseError> {
        if first >> 4 != 4 {
            return Err(ParseError::BadVersion);
        }
        match usize::from(first & 0x0f) * 4 {
            len if len < MIN_HEADER_LEN => Err(ParseError::BadLength),
            len => Ok(len),
        }
    }
    /// Reads and checks a header: version, lengths, checksum. `bytes` holds at least the header; `total_len` may be
    /// more or less than `bytes`. A checksum field of 0xffff where `emit` writes 0 is accepted (RFC 1624 section 3).
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let len = Self::len_of(*bytes.first().ok_or(ParseError::Truncated)?)?;
        let header = bytes.get(..len).ok_or(ParseError::Truncated)?;
        let (b, options) = header
            .split_first_chunk::<MIN_HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let total_len = u16::from_be_bytes([b[2], b[3]]);
        if usize::from(total_len) < len {
            return Err(ParseError::BadLength);
        }
        //= rfc1122#3.2.1.2
        //# A host MUST verify the IP header checksum on every received datagram
        if checksum::sum(header) != 0xffff {
            return Err(ParseError::BadChecksum);
        }
        Ok(Self {
            tos: b[1],
            total_len,
            id: u16::from_be_bytes([b[4], b[5]]),
            reserved: b[6] & 0x80 != 0,
            dont_fragment: b[6] & 0x40 != 0,
            more_fragments: b[6] & 0x20 != 0,
            fragment_offset: (u16::from_be_bytes([b[6], b[7]]) & 0x1fff) * 8,
            ttl: b[8],
            protocol: b[9],
            src: Ipv4Addr::new(b[12], b[13], b[14], b[15]),
            dst: Ipv4Addr::new(b[16], b[17], b[18], b[19]),
            options: Options::new(options).ok_or(ParseError::BadLength)?,
        })
    }
    /// Writes `len()` bytes, checksum included; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            tos,
            total_len,
            id,
            reserved,
            dont_fragment,
            more_fragments,
            fragment_offset,
            ttl,
            protocol,
            src,
            dst,
            options,
        } = self;
        let out = &mut out[..self.len()];
        let flags = u16::from(*reserved) << 15
            | u16::from(*dont_fragment) << 14
            | u16::from(*more_fragments) << 13;
        out[0] = 0x40 | (self.len() / 4) as u8;
        out[1] = *tos;
        out[2..4].copy_from_slice(&total_len.to_be_bytes());
        out[4..6].copy_from_slice(&id.to_be_bytes());
        out[6..8].copy_from_slice(&(flags | (fragment_offset / 8)).to_be_bytes());
        out[8] = *ttl;
        out[9] = *protocol;
        out[10..12].fill(0);
        out[12..16].copy_from_slice(&src.octets());
        out[16..20].copy_from_slice(&dst.octets());
        out[20..].copy_from_slice(options.as_bytes());
        let sum = checksum::sum(out);
        out[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }
    /// As `emit` writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.emit(&mut bytes);
        bytes
    }
    /// Decrements the TTL in an emitted header and updates its checksum (RFC 1624); `None` (and nothing changed) at 0
    /// or 1, or if `header` is shorter than 20 bytes. Returns the new TTL.
    pub fn decrement_ttl(header: &mut [u8]) -> Option<u8> {
        let b = header.first_chunk_mut::<MIN_HEADER_LEN>()?;
        let (old, field) = (
            u16::from_be_bytes([b[8], b[9]]),
            u16::from_be_bytes([b[10], b[11]]),
        );
        let ttl = b[8].checked_sub(1).filter(|ttl| *ttl > 0)?;
        b[8] = ttl;
        let new = u16::from_be_bytes([b[8], b[9]]);
        b[10..12].copy_from_slice(&checksum::update(field, old, new).to_be_bytes());
        Some(ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN's header as a Linux host wrote it.
    const LINUX: [u8; 20] = [
        0x45, 0, 0, 0x3c, 0x2e, 0x65, 0x40, 0, 0x40, 0x06, 0x0e, 0x55, 127, 0, 0, 1, 127, 0, 0, 1,
    ];

    #[test]
    fn a_header_of_linux_is_read_and_written_again() {
        let header = Ipv4Header::parse(&LINUX).unwrap();
        assert_eq!((header.total_len, header.id, header.ttl), (60, 0x2e65, 64));
        assert!(header.dont_fragment && !header.more_fragments && !header.reserved);
        assert_eq!(
            (header.protocol, header.src),
            (protocol::TCP, Ipv4Addr::LOCALHOST)
        );
        let mut out = [0; 20];
        header.emit(&mut out);
        assert_eq!(out, LINUX);
    }

    #[test]
    fn a_broken_header_tells_why() {
        type Change = fn(&mut [u8; 20]);
        let rows: [(Change, ParseError); 5] = [
            (|b| b[0] = 0x65, ParseError::BadVersion),
            (|b| b[0] = 0x44, ParseError::BadLength),
            (|b| b[0] = 0x46, ParseError::Truncated),
            (|b| b[2..4].copy_from_slice(&[0, 19]), ParseError::BadLength),
            (|b| b[8] = 63, ParseError::BadChecksum),
        ];
        for (change, error) in rows {
            let mut bytes = LINUX;
            change(&mut bytes);
            assert_eq!(Ipv4Header::parse(&bytes), Err(error));
        }
        for len in 0..20 {
            assert_eq!(Ipv4Header::parse(&LINUX[..len]), Err(ParseError::Truncated));
        }
    }

    #[test]
    fn only_options_with_the_copied_flag_go_into_fragments() {
        let rows: [(&[u8], &[u8]); 7] = [
            (&[], &[]),
            // Router alert (148) is copied, record route (7) is not, no-operation (1) is not.
            (&[148, 4, 0, 0], &[148, 4, 0, 0]),
            (&[7, 7, 4, 0, 0, 0, 0, 1], &[]),
            (&[1, 7, 3, 4, 131, 3, 4, 0], &[131, 3, 4, 0]),
            // Behind end-of-options, or malformed: nothing is copied.
            (&[0, 148, 4, 0], &[]),
            (&[131, 1, 148, 4], &[]),
            (&[131, 3, 4, 148, 9, 0, 0, 0], &[131, 3, 4, 0]),
        ];
        for (options, copied) in rows {
            let options = Options::new(options).unwrap();
            assert_eq!(options.copied().as_bytes(), copied, "{options:?}");
        }
    }

    #[test]
    fn a_router_alert_is_found_behind_other_options() {
        assert_eq!(Options::ROUTER_ALERT.as_bytes(), [148, 4, 0, 0]);
        let rows: [(&[u8], bool); 6] = [
            (&[148, 4, 0, 0], true),
            (&[1, 7, 3, 4, 148, 4, 0, 0], true),
            (&[], false),
            (&[148, 4, 0, 1], false),
            (&[0, 148, 4, 0, 0, 0, 0, 0], false),
            (&[148, 2, 0, 0], false),
        ];
        for (bytes, expected) in rows {
            let options = Options::new(bytes).unwrap();
            assert_eq!(options.has_router_alert(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn options_are_padded_to_four_bytes_and_end_at_forty() {
        for (len, padded) in [
            (0, Some(0)),
            (1, Some(4)),
            (4, Some(4)),
            (39, Some(40)),
            (41, None),
        ] {
            let options = Options::new(&[1; 41][..len]);
            assert_eq!(options.map(|options| options.as_bytes().len()), padded);
        }
    }
}
