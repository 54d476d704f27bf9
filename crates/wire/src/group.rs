//! What IGMPv3 (RFC 9776) and MLDv2 (RFC 9777) share: queries, reports and the records in them. The bytes are in
//! [`crate::igmp`] and [`crate::mld`], where every address is of the one family.
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ParseError;

/// Which generation of either protocol; the numbers are IGMP's. MLDv1 is IGMPv2's twin, MLDv2 that of IGMPv3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// IGMPv1 (RFC 1112).
    V1,
    /// IGMPv2 (RFC 2236), MLDv1 (RFC 2710).
    V2,
    /// IGMPv3, MLDv2.
    V3,
}

/// One message of either protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A router asks.
    Query(Query),
    /// A member of one group, as before IGMPv3 and MLDv2.
    Report {
        /// V1 or V2.
        version: Version,
        /// The group.
        group: IpAddr,
    },
    /// No member any more (IGMPv2's leave, MLDv1's done).
    Leave {
        /// The group.
        group: IpAddr,
    },
    /// The report of IGMPv3 and MLDv2; records of unknown types are left out.
    Records(Vec<Record>),
}

/// A router's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// How it is written, hence what the router understands.
    pub version: Version,
    /// Milliseconds within which members answer; written as the largest value below that its field can hold.
    pub max_response: u32,
    /// Who is in this group; unspecified: in any.
    pub group: IpAddr,
    /// S: routers do not touch their timers (V3, as all that follows).
    pub suppress: bool,
    /// QRV: the querier's robustness variable, 0 to 7; 0: not told.
    pub robustness: u8,
    /// QQIC: seconds between the querier's general queries; 0: not told.
    pub interval: u32,
    /// Which of these sources are wanted; none: the whole group.
    pub sources: Vec<IpAddr>,
}

/// What one member says of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What is said.
    pub kind: RecordKind,
    /// The group.
    pub group: IpAddr,
    /// Its sources.
    pub sources: Vec<IpAddr>,
}

/// Types of records (RFC 9776 4.2.13, RFC 9777 5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// MODE_IS_INCLUDE
    IsInclude = 1,
    /// MODE_IS_EXCLUDE
    IsExclude = 2,
    /// CHANGE_TO_INCLUDE_MODE
    ToInclude = 3,
    /// CHANGE_TO_EXCLUDE_MODE
    ToExclude = 4,
    /// ALLOW_NEW_SOURCES
    Allow = 5,
    /// BLOCK_OLD_SOURCES
    Block = 6,
}
impl RecordKind {
    fn of(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::IsInclude,
            2 => Self::IsExclude,
            3 => Self::ToInclude,
            4 => Self::ToExclude,
            5 => Self::Allow,
            6 => Self::Block,
            _ => return None,
        })
    }
}

/// An address as it is read: its family.
pub(crate) type Read = fn(&[u8]) -> Result<(IpAddr, &[u8]), ParseError>;

impl Record {
    /// Bytes of a record without sources, where addresses have `address` bytes.
    pub const fn header_len(address: usize) -> usize {
        4 + address
    }
    /// The reserved bytes and the number of records, then they. What follows the last is not read
    /// (RFC 9776 4.2.11, RFC 9777 5.2.10).
    pub(crate) fn parse_all(bytes: &[u8], read: Read) -> Result<Vec<Self>, ParseError> {
        let ([_, _, n0, n1], mut rest) = split::<4>(bytes)?;
        let mut records = Vec::new();
        for _ in 0..u16::from_be_bytes([n0, n1]) {
            let ([kind, words, s0, s1], after) = split::<4>(rest)?;
            let (group, after) = read(after)?;
            let (sources, after) = addresses(after, u16::from_be_bytes([s0, s1]), read)?;
            rest = after
                .get(4 * usize::from(words)..)
                .ok_or(ParseError::Truncated)?;
            // RFC 9776 4.2: types that are not known are ignored.
            if let Some(kind) = RecordKind::of(kind) {
                records.push(Self {
                    kind,
                    group,
                    sources,
                });
            }
        }
        Ok(records)
    }
    /// Writes what `parse_all` reads; of more than 65,535 records or sources the last are left out.
    pub(crate) fn emit_all(records: &[Self], out: &mut Vec<u8>) {
        let (records, count) = counted(records);
        out.extend([0, 0]);
        out.extend(count);
        for Self {
            kind,
            group,
            sources,
        } in records
        {
            let (sources, count) = counted(sources);
            out.extend([*kind as u8, 0]);
            out.extend(count);
            put(*group, out);
            sources.iter().for_each(|source| put(*source, out));
        }
    }
}

impl Query {
    /// What every version of a query says.
    pub(crate) fn of(version: Version, max_response: u32, group: IpAddr) -> Self {
        Self {
            version,
            max_response,
            group,
            suppress: false,
            robustness: 0,
            interval: 0,
            sources: Vec::new(),
        }
    }
    /// What V3 adds behind the group: S and QRV, QQIC, sources.
    pub(crate) fn extended(self, bytes: &[u8], read: Read) -> Result<Self, ParseError> {
        let ([flags, interval, n0, n1], rest) = split::<4>(bytes)?;
        let (sources, _) = addresses(rest, u16::from_be_bytes([n0, n1]), read)?;
        Ok(Self {
            suppress: flags & 8 != 0,
            robustness: flags & 7,
            interval: CODE_8.decode(interval.into()),
            sources,
            ..self
        })
    }
    /// Writes what `extended` reads.
    pub(crate) fn emit_extension(&self, out: &mut Vec<u8>) {
        let (sources, count) = counted(&self.sources);
        let flags = u8::from(self.suppress) << 3 | (self.robustness & 7);
        out.extend([flags, CODE_8.encode(self.interval) as u8]);
        out.extend(count);
        sources.iter().for_each(|source| put(*source, out));
    }
}

/// A number of 8 or 16 bits whose upper half is a floating-point number: 3 bits of exponent and this mantissa
/// (RFC 9776 4.1.1 and 4.1.7, RFC 9777 5.1.3 and 5.1.9).
#[derive(Clone, Copy)]
pub(crate) struct Code {
    mantissa: u32,
}
/// Max Resp Code of IGMPv3, QQIC of both.
pub(crate) const CODE_8: Code = Code { mantissa: 4 };
/// Maximum Response Code of MLDv2.
pub(crate) const CODE_16: Code = Code { mantissa: 12 };
impl Code {
    const fn first_float(self) -> u32 {
        8 << self.mantissa
    }
    pub(crate) fn decode(self, code: u32) -> u32 {
        if code < self.first_float() {
            return code;
        }
        let one = 1 << self.mantissa;
        let exponent = (code >> self.mantissa) & 7;
        (one | (code & (one - 1))) << (exponent + 3)
    }
    /// The largest that is not more than `value`.
    pub(crate) fn encode(self, value: u32) -> u32 {
        let first = self.first_float();
        if value < first {
            return value;
        }
        let exponent = value.ilog2() - self.mantissa - 3;
        if exponent > 7 {
            return 2 * first - 1;
        }
        let mantissa = (value >> (exponent + 3)) & ((1 << self.mantissa) - 1);
        first | exponent << self.mantissa | mantissa
    }
}

/// The first `N` bytes and the others.
pub(crate) fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), ParseError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(ParseError::Truncated)?;
    Ok((*first, rest))
}

fn addresses(bytes: &[u8], count: u16, read: Read) -> Result<(Vec<IpAddr>, &[u8]), ParseError> {
    let (mut all, mut rest) = (Vec::new(), bytes);
    for _ in 0..count {
        let (address, after) = read(rest)?;
        all.push(address);
        rest = after;
    }
    Ok((all, rest))
}

/// As many as can be counted, and the count.
fn counted<T>(all: &[T]) -> (&[T], [u8; 2]) {
    let count = u16::try_from(all.len()).unwrap_or(u16::MAX);
    (&all[..usize::from(count)], count.to_be_bytes())
}

pub(crate) fn put(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => out.extend(v4.octets()),
        IpAddr::V6(v6) => out.extend(v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_exact_below_their_half_and_floating_above() {
        for (code, byte, value) in [
            (CODE_8, 0, 0),
            (CODE_8, 100, 100),
            (CODE_8, 127, 127),
            (CODE_8, 0x80, 128),
            (CODE_8, 0x8f, 248),
            (CODE_8, 0x90, 256),
            (CODE_8, 0xff, 31_744),
            (CODE_16, 10_000, 10_000),
            (CODE_16, 0x7fff, 32_767),
            (CODE_16, 0x8000, 32_768),
            (CODE_16, 0x9000, 65_536),
            (CODE_16, 0xffff, 8_387_584),
        ] {
            assert_eq!(code.decode(byte), value, "{byte:#x}");
            assert_eq!(code.encode(value), byte, "{value}");
        }
    }

    #[test]
    fn a_value_between_two_codes_takes_the_lower_and_one_beyond_the_last() {
        for (code, value, byte) in [
            (CODE_8, 135, 0x80),
            (CODE_8, 136, 0x81),
            (CODE_8, 255, 0x8f),
            (CODE_8, 31_745, 0xff),
            (CODE_8, u32::MAX, 0xff),
            (CODE_16, 32_775, 0x8000),
            (CODE_16, u32::MAX, 0xffff),
        ] {
            assert_eq!(code.encode(value), byte, "{value}");
        }
    }

    #[test]
    fn every_code_is_read_and_written_again() {
        assert!((0..=0xff).all(|code| CODE_8.encode(CODE_8.decode(code)) == code));
        assert!((0..=0xffff).all(|code| CODE_16.encode(CODE_16.decode(code)) == code));
    }
}
