//! IPv6 (RFC 8200): the fixed header, the fragment header, and the options of hop-by-hop and destination headers.
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use crate::ParseError;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Bytes of a fragment header.
pub const FRAGMENT_LEN: usize = 8;
/// Every link carries packets of this length (RFC 8200 5).
pub const MIN_MTU: u32 = 1280;

/// Next-header values (IANA); those of the transport protocols are IPv4's.
pub mod next_header {
    /// Hop-by-hop options
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing
    pub const ROUTING: u8 = 43;
    /// Fragment
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating security payload
    pub const ESP: u8 = 50;
    /// Authentication
    pub const AH: u8 = 51;
    /// ICMPv6
    pub const ICMPV6: u8 = 58;
    /// Nothing follows
    pub const NONE: u8 = 59;
    /// Destination options
    pub const DESTINATION: u8 = 60;
}

/// The fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// DS field and ECN bits.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes behind this header.
    pub payload_len: u16,
    /// What follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
}
impl Ipv6Header {
    /// Of a packet as hosts write most: no flow label, hop limit 64 (IANA's default). A payload longer than any packet's is
    /// told as the longest, bytes.
    pub fn plain((src, dst): (Ipv6Addr, Ipv6Addr), next_header: u8, payload_len: usize) -> Self {
        Self {
            traffic_class: 0,
            flow_label: 0,
            payload_len: u16::try_from(payload_len).unwrap_or(u16::MAX),
            next_header,
            hop_limit: 64,
            src,
            dst,
        }
    }
    /// Reads 40 bytes; `payload_len` may be more or less than what follows.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let b = bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let [
            v0,
            v1,
            v2,
            v3,
            l0,
            l1,
            next_header,
            hop_limit,
            addresses @ ..,
        ] = *b;
        let word = u32::from_be_bytes([v0, v1, v2, v3]);
        if word >> 28 != 6 {
            return Err(ParseError::BadVersion);
        }
        let (src, dst) = addresses.split_at(16);
        Ok(Self {
            traffic_class: (word >> 20) as u8,
            flow_label: word & 0xf_ffff,
            payload_len: u16::from_be_bytes([l0, l1]),
            next_header,
            hop_limit,
            src: address(src)?,
            dst: address(dst)?,
        })
    }
    /// Writes 40 bytes; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            traffic_class,
            flow_label,
            payload_len,
            next_header,
            hop_limit,
            src,
            dst,
        } = self;
        let word = 6 << 28 | u32::from(*traffic_class) << 20 | (flow_label & 0xf_ffff);
        out[..4].copy_from_slice(&word.to_be_bytes());
        out[4..6].copy_from_slice(&payload_len.to_be_bytes());
        out[6] = *next_header;
        out[7] = *hop_limit;
        out[8..24].copy_from_slice(&src.octets());
        out[24..40].copy_from_slice(&dst.octets());
    }
    /// As `emit` writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        self.emit(&mut bytes);
        bytes
    }
}

/// The first 16 bytes as an address.
pub(crate) fn address(bytes: &[u8]) -> Result<Ipv6Addr, ParseError> {
    let octets = bytes.first_chunk::<16>().ok_or(ParseError::Truncated)?;
    Ok(Ipv6Addr::from_octets(*octets))
}

/// A fragment header (RFC 8200 4.5). The reserved bits are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// What the whole datagram begins with behind its per-hop headers.
    pub next_header: u8,
    /// In bytes, a multiple of 8.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Identification.
    pub id: u32,
}
impl FragmentHeader {
    /// Reads 8 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let [next_header, _, o0, o1, id @ ..] = *bytes
            .first_chunk::<FRAGMENT_LEN>()
            .ok_or(ParseError::Truncated)?;
        let word = u16::from_be_bytes([o0, o1]);
        Ok(Self {
            next_header,
            offset: word & !7,
            more: word & 1 != 0,
            id: u32::from_be_bytes(id),
        })
    }
    /// Writes 8 bytes; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            next_header,
            offset,
            more,
            id,
        } = self;
        out[..2].copy_from_slice(&[*next_header, 0]);
        out[2..4].copy_from_slice(&((offset & !7) | u16::from(*more)).to_be_bytes());
        out[4..8].copy_from_slice(&id.to_be_bytes());
    }
    /// A datagram in one piece (RFC 6946): nothing has to be waited for.
    pub fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// The length in bytes that an extension header with a length field tells by its first two bytes (RFC 8200 4).
pub fn extension_len(first_two: [u8; 2]) -> usize {
    8 + 8 * usize::from(first_two[1])
}

/// One option of a hop-by-hop or destination header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Option<'a> {
    /// Its type; the two highest bits say what a node does that does not know it.
    pub kind: u8,
    /// Where it begins, counted from the first byte of the extension header.
    pub at: usize,
    /// Its data.
    pub data: &'a [u8],
}
/// What a node does with a packet whose option it does not know (RFC 8200 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownOption {
    /// 00: goes on.
    Skip,
    /// 01: discards it.
    Discard,
    /// 10: discards it and says so, even to a group.
    Report,
    /// 11: discards it and says so unless it was sent to a group.
    ReportUnlessGroup,
}
impl Ipv6Option<'_> {
    /// Router alert (RFC 2711).
    pub const ROUTER_ALERT: u8 = 5;
    /// What its type asks of a node that does not know it.
    pub fn when_unknown(&self) -> UnknownOption {
        match self.kind >> 6 {
            0 => UnknownOption::Skip,
            1 => UnknownOption::Discard,
            2 => UnknownOption::Report,
            _ => UnknownOption::ReportUnlessGroup,
        }
    }
}

/// The options of an extension header, padding left out. Ends with an error at one that leaves the header.
pub struct Ipv6Options<'a> {
    bytes: &'a [u8],
    at: usize,
}
impl<'a> Ipv6Options<'a> {
    /// Of a whole hop-by-hop or destination header, its two first bytes included.
    pub fn new(header: &'a [u8]) -> Self {
        Self {
            bytes: header,
            at: 2,
        }
    }
}
impl<'a> Iterator for Ipv6Options<'a> {
    type Item = Result<Ipv6Option<'a>, ParseError>;
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let at = self.at;
            match *rest {
                [] => return None,
                [0, ..] => self.at += 1,
                [kind, len, ref data @ ..] => {
                    let Some(data) = data.get(..usize::from(len)) else {
                        self.at = self.bytes.len();
                        return Some(Err(ParseError::BadLength));
                    };
                    self.at += 2 + usize::from(len);
                    if kind != 1 {
                        return Some(Ok(Ipv6Option { kind, at, data }));
                    }
                }
                [_] => {
                    self.at = self.bytes.len();
                    return Some(Err(ParseError::Truncated));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// An echo request of Linux over `lo`.
    const LINUX: [u8; 40] = [
        0x60, 0x05, 0x2c, 0x6e, 0, 64, 58, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    ];

    #[test]
    fn a_header_of_linux_is_read_and_written_again() {
        let header = Ipv6Header::parse(&LINUX).unwrap();
        assert_eq!((header.flow_label, header.traffic_class), (0x52c6e, 0));
        assert_eq!((header.payload_len, header.hop_limit), (64, 64));
        assert_eq!((header.next_header, header.src), (58, Ipv6Addr::LOCALHOST));
        let mut out = [0; HEADER_LEN];
        header.emit(&mut out);
        assert_eq!(out, LINUX);
        let marked = Ipv6Header {
            traffic_class: 0xb9,
            ..header
        };
        marked.emit(&mut out);
        assert_eq!(Ipv6Header::parse(&out), Ok(marked));
    }

    #[test]
    fn a_broken_header_tells_why() {
        let mut bytes = LINUX;
        bytes[0] = 0x45;
        assert_eq!(Ipv6Header::parse(&bytes), Err(ParseError::BadVersion));
        for len in 0..HEADER_LEN {
            let cut = Ipv6Header::parse(&LINUX[..len]);
            assert_eq!(cut, Err(ParseError::Truncated), "{len}");
        }
    }

    #[test]
    fn a_fragment_header_is_read_and_written_again() {
        for (bytes, header) in [
            ([6, 0, 0, 1, 0, 0, 0, 9], (0, true)),
            ([6, 0, 0x05, 0xa8, 0, 0, 0, 9], (1448, false)),
            ([6, 0, 0xff, 0xf9, 0, 0, 0, 9], (65_528, true)),
            ([6, 0, 0, 0, 0, 0, 0, 9], (0, false)),
        ] {
            let read = FragmentHeader::parse(&bytes).unwrap();
            assert_eq!((read.offset, read.more), header);
            assert_eq!((read.next_header, read.id), (6, 9));
            assert_eq!(read.is_atomic(), header == (0, false));
            let mut out = [0xaa; FRAGMENT_LEN];
            read.emit(&mut out);
            assert_eq!(out, bytes);
        }
        assert_eq!(FragmentHeader::parse(&[0; 7]), Err(ParseError::Truncated));
    }

    #[test]
    fn options_are_walked_without_their_padding() {
        type Row<'a> = (&'a [u8], &'a [(u8, usize)], Option<ParseError>);
        let rows: [Row<'_>; 6] = [
            (&[58, 0, 5, 2, 0, 0, 1, 0], &[(5, 2)], None),
            (&[58, 0, 0, 0, 0, 0, 0, 0], &[], None),
            (&[58, 0, 1, 0, 0xc2, 0, 0, 0], &[(0xc2, 4)], None),
            (&[58, 0, 5, 2, 0, 0, 0xc2, 0], &[(5, 2), (0xc2, 6)], None),
            (&[58, 0, 5, 5, 0, 0, 0, 0], &[], Some(ParseError::BadLength)),
            (&[58, 0, 1, 3, 0, 0, 0, 9], &[], Some(ParseError::Truncated)),
        ];
        for (bytes, found, error) in rows {
            let all: Vec<_> = Ipv6Options::new(bytes).collect();
            let options: Vec<_> = all.iter().flatten().map(|o| (o.kind, o.at)).collect();
            assert_eq!(options, found, "{bytes:?}");
            let last = all.last().and_then(|last| last.err());
            assert_eq!(last, error, "{bytes:?}");
        }
    }

    #[test]
    fn the_highest_bits_of_an_option_say_what_becomes_of_its_packet() {
        for (kind, expected) in [
            (0x1e, UnknownOption::Skip),
            (0x5e, UnknownOption::Discard),
            (0x9e, UnknownOption::Report),
            (0xc2, UnknownOption::ReportUnlessGroup),
        ] {
            let option = Ipv6Option {
                kind,
                at: 2,
                data: &[],
            };
            assert_eq!(option.when_unknown(), expected);
        }
    }
}
