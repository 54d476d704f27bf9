//! TCP headers (RFC 9293 3.1) with every option; unknown options are kept as they came.
use crate::ParseError;

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;

/// Where the low eight control bits stand in a header.
pub(crate) const FLAGS_AT: usize = 13;
/// Where the checksum field stands in a header.
pub const CHECKSUM_AT: usize = 16;

/// The nine control bits; AE (bit 8) after RFC 9768, the rest after RFC 9293 and 3168.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);
impl Flags {
    /// FIN
    pub const FIN: Self = Self(0x01);
    /// SYN
    pub const SYN: Self = Self(0x02);
    /// RST
    pub const RST: Self = Self(0x04);
    /// PSH
    pub const PSH: Self = Self(0x08);
    /// ACK
    pub const ACK: Self = Self(0x10);
    /// URG
    pub const URG: Self = Self(0x20);
    /// ECE
    pub const ECE: Self = Self(0x40);
    /// CWR
    pub const CWR: Self = Self(0x80);
    /// AE
    pub const AE: Self = Self(0x100);
    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
impl core::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}
impl core::fmt::Debug for Flags {
    /// As tcpdump writes them: `[S.]`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0 & 0x1ff == 0 {
            return f.write_str("[none]");
        }
        f.write_str("[")?;
        for (bit, letter) in "FSRP.UEWe".chars().enumerate() {
            if self.0 >> bit & 1 != 0 {
                core::fmt::Write::write_char(f, letter)?;
            }
        }
        f.write_str("]")
    }
}

/// Option kinds (IANA).
mod kind {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const MSS: u8 = 2;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMPS: u8 = 8;
    pub const FAST_OPEN: u8 = 34;
    pub const ACC_ECN_0: u8 = 172;
    pub const ACC_ECN_1: u8 = 174;
}

/// One option, borrowed from the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// 1
    Nop,
    /// 2 (RFC 9293 3.7.1)
    Mss(u16),
    /// 3 (RFC 7323 2.2): the shift count as it came
    WindowScale(u8),
    /// 4 (RFC 2018 2)
    SackPermitted,
    /// 5 (RFC 2018 3): up to four blocks of (left edge, right edge)
    Sack(SackBlocks),
    /// 8 (RFC 7323 3.2)
    Timestamps {
        /// TSval
        value: u32,
        /// TSecr
        echo: u32,
    },
    /// 34 (RFC 7413): empty asks for a cookie
    FastOpen(&'a [u8]),
    /// 172 and 174 (RFC 9768 3.2.3): how many octets came with which codepoint
    AccEcn(EcnCounters),
    /// Any other kind with its data.
    Unknown {
        /// Kind.
        kind: u8,
        /// Data without kind and length.
        data: &'a [u8],
    },
}

/// The counters of an AccECN option: 24 bits of each, as many as it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EcnCounters {
    /// Order 1 (kind 174): ECT(1), CE, ECT(0); order 0 (172) is the other way round.
    pub ect1_first: bool,
    fields: [u32; 3],
    len: u8,
}
impl EcnCounters {
    const MASK: u32 = (1 << 24) - 1;
    /// The first fields in either order; of more than three the rest is ignored.
    pub fn new(ect1_first: bool, fields: &[u32]) -> Self {
        let mut counters = Self {
            ect1_first,
            ..Self::default()
        };
        for (slot, field) in counters.fields.iter_mut().zip(fields) {
            *slot = field & Self::MASK;
            counters.len += 1;
        }
        counters
    }
    /// The fields in their order.
    pub fn fields(&self) -> &[u32] {
        &self.fields[..usize::from(self.len)]
    }
    /// ECT(0), CE and ECT(1), those that are there.
    pub fn octets(&self) -> [Option<u32>; 3] {
        let field = |i: usize| self.fields().get(i).copied();
        match self.ect1_first {
            true => [field(2), field(1), field(0)],
            false => [field(0), field(1), field(2)],
        }
    }
    /// The whole fields of an option's data.
    fn parse(ect1_first: bool, data: &[u8]) -> Self {
        let (whole, _) = data.as_chunks::<3>();
        let read = |&[a, b, c]: &[u8; 3]| u32::from_be_bytes([0, a, b, c]);
        let mut fields = [0; 3];
        for (slot, bytes) in fields.iter_mut().zip(whole) {
            *slot = read(bytes);
        }
        Self::new(ect1_first, &fields[..whole.len().min(3)])
    }
}

/// Up to four SACK blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SackBlocks {
    blocks: [(u32, u32); 4],
    len: u8,
}
impl SackBlocks {
    /// Reads one to four whole blocks.
    fn parse(data: &[u8]) -> Option<Self> {
        let (blocks, []) = data.as_chunks::<8>() else {
            return None;
        };
        let mut parsed = Self::default();
        let fits = blocks.iter().all(|&[a, b, c, d, e, f, g, h]| {
            parsed.push(
                u32::from_be_bytes([a, b, c, d]),
                u32::from_be_bytes([e, f, g, h]),
            )
        });
        (fits && !blocks.is_empty()).then_some(parsed)
    }
    /// Appends a block; `false` when four are there.
    pub fn push(&mut self, left: u32, right: u32) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else {
            return false;
        };
        *slot = (left, right);
        self.len += 1;
        true
    }
    /// The blocks in the order of the wire.
    pub fn as_slice(&self) -> &[(u32, u32)] {
        &self.blocks[..usize::from(self.len)]
    }
}

/// The option bytes of a header: up to 40, a multiple of 4 once padded.
#[derive(Clone, Copy)]
pub struct TcpOptions {
    bytes: [u8; 40],
    len: u8,
}
impl TcpOptions {
    /// None.
    pub const NONE: Self = Self {
        bytes: [0; 40],
        len: 0,
    };
    /// Raw option bytes as they came; `None` if over 40.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut options = Self::NONE;
        options.append(bytes).then_some(options)
    }
    /// Appends one, unpadded; `false` (and nothing written) if it does not fit, or can't be told from another one (a SACK
    /// option without blocks, an `Unknown` of kind 0 or 1).
    pub fn push(&mut self, option: TcpOption<'_>) -> bool {
        match option {
            TcpOption::Nop => self.append(&[kind::NOP]),
            TcpOption::Mss(mss) => self.push_data(kind::MSS, &mss.to_be_bytes()),
            TcpOption::WindowScale(shift) => self.push_data(kind::WINDOW_SCALE, &[shift]),
            TcpOption::SackPermitted => self.push_data(kind::SACK_PERMITTED, &[]),
            TcpOption::Sack(blocks) => self.push_sack(blocks.as_slice()),
            TcpOption::Timestamps { value, echo } => {
                let mut data = [0; 8];
                data[..4].copy_from_slice(&value.to_be_bytes());
                data[4..].copy_from_slice(&echo.to_be_bytes());
                self.push_data(kind::TIMESTAMPS, &data)
            }
            TcpOption::FastOpen(cookie) => self.push_data(kind::FAST_OPEN, cookie),
            TcpOption::AccEcn(counters) => self.push_counters(&counters),
            TcpOption::Unknown { kind, data } => kind > kind::NOP && self.push_data(kind, data),
        }
    }
    /// Pads with end-of-options to a multiple of 4. `TcpHeader::emit` needs it done.
    pub fn pad(&mut self) {
        let padded = self.len.next_multiple_of(4);
        self.bytes[usize::from(self.len)..usize::from(padded)].fill(kind::END);
        self.len = padded;
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
    /// Each option until end-of-options; a malformed rest ends the walk with one `Err`. A known kind with a length that
    /// it can't have comes as `Unknown`.
    pub fn iter(&self) -> OptionIter<'_> {
        OptionIter {
            rest: self.as_bytes(),
        }
    }
    fn push_sack(&mut self, blocks: &[(u32, u32)]) -> bool {
        let mut data = [0; 32];
        let edges = blocks.iter().flat_map(|(left, right)| [left, right]);
        for (slot, edge) in data.chunks_exact_mut(4).zip(edges) {
            slot.copy_from_slice(&edge.to_be_bytes());
        }
        !blocks.is_empty() && self.push_data(kind::SACK, &data[..blocks.len() * 8])
    }
    fn push_counters(&mut self, counters: &EcnCounters) -> bool {
        let mut data = [0; 9];
        for (slot, field) in data.chunks_exact_mut(3).zip(counters.fields()) {
            slot.copy_from_slice(&field.to_be_bytes()[1..]);
        }
        let kind = match counters.ect1_first {
            true => kind::ACC_ECN_1,
            false => kind::ACC_ECN_0,
        };
        self.push_data(kind, &data[..counters.fields().len() * 3])
    }
    fn push_data(&mut self, kind: u8, data: &[u8]) -> bool {
        let before = self.len;
        let fits = u8::try_from(data.len() + 2)
            .is_ok_and(|len| self.append(&[kind, len]) && self.append(data));
        if !fits {
            self.len = before;
        }
        fits
    }
    fn append(&mut self, bytes: &[u8]) -> bool {
        let at = usize::from(self.len);
        let Some(slot) = self.bytes.get_mut(at..at + bytes.len()) else {
            return false;
        };
        slot.copy_from_slice(bytes);
        self.len += bytes.len() as u8;
        true
    }
}
impl PartialEq for TcpOptions {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for TcpOptions {}
impl<'a> IntoIterator for &'a TcpOptions {
    type Item = Result<TcpOption<'a>, ParseError>;
    type IntoIter = OptionIter<'a>;
    fn into_iter(self) -> OptionIter<'a> {
        self.iter()
    }
}
impl core::fmt::Debug for TcpOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
/// Walks the options.
pub struct OptionIter<'a> {
    rest: &'a [u8],
}
impl<'a> Iterator for OptionIter<'a> {
    type Item = Result<TcpOption<'a>, ParseError>;
    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, tail) = self.rest.split_first()?;
        match kind {
            kind::END => {
                self.rest = &[];
                return None;
            }
            kind::NOP => {
                self.rest = tail;
                return Some(Ok(TcpOption::Nop));
            }
            _ => {}
        }
        let len = tail.first().map(|len| usize::from(*len));
        let Some((option, next)) = len.and_then(|len| self.rest.split_at_checked(len)) else {
            self.rest = &[];
            return Some(Err(ParseError::Truncated));
        };
        let [_, _, data @ ..] = option else {
            self.rest = &[];
            return Some(Err(ParseError::BadLength));
        };
        self.rest = next;
        Some(Ok(TcpOption::from_data(kind, data)))
    }
}
impl<'a> TcpOption<'a> {
    /// What the data of a kind other than end-of-options and no-operation says.
    fn from_data(kind: u8, data: &'a [u8]) -> Self {
        match (kind, data) {
            (kind::MSS, &[a, b]) => Self::Mss(u16::from_be_bytes([a, b])),
            (kind::WINDOW_SCALE, &[shift]) => Self::WindowScale(shift),
            (kind::SACK_PERMITTED, []) => Self::SackPermitted,
            (kind::SACK, data) => {
                SackBlocks::parse(data).map_or(Self::Unknown { kind, data }, Self::Sack)
            }
            (kind::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => Self::Timestamps {
                value: u32::from_be_bytes([a, b, c, d]),
                echo: u32::from_be_bytes([e, f, g, h]),
            },
            //= rfc7413#4.1.1
            //# The number MUST be even.
            (kind::FAST_OPEN, data) if matches!(data.len(), 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16) => {
                Self::FastOpen(data)
            }
            (kind @ (kind::ACC_ECN_0 | kind::ACC_ECN_1), data)
                if matches!(data.len(), 0 | 3 | 6 | 9) =>
            {
                Self::AccEcn(EcnCounters::parse(kind == kind::ACC_ECN_1, data))
            }
            (kind, data) => Self::Unknown { kind, data },
        }
    }
    /// The counters of an AccECN option, of whatever length it is.
    //= rfc9768#3.2.3
    //# if the AccECN Option is of any other length, implementations MUST use those whole 3-octet fields that fit within the length and ignore the remainder of the option
    pub fn counters(&self) -> Option<EcnCounters> {
        match *self {
            Self::AccEcn(counters) => Some(counters),
            Self::Unknown {
                kind: kind @ (kind::ACC_ECN_0 | kind::ACC_ECN_1),
                data,
            } => Some(EcnCounters::parse(kind == kind::ACC_ECN_1, data)),
            _ => None,
        }
    }
}

/// A TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// The three reserved bits between data offset and AE (kept).
    pub reserved: u8,
    /// Control bits.
    pub flags: Flags,
    /// Window field, unscaled.
    pub window: u16,
    /// As on the wire.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: TcpOptions,
}
impl TcpHeader {
    /// Bytes of this header.
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        MIN_HEADER_LEN + self.options.as_bytes().len()
    }
    /// Header length from byte 12, for `peek`.
    pub fn len_of(byte12: u8) -> Result<usize, ParseError> {
        match usize::from(byte12 >> 4) * 4 {
            len if len < MIN_HEADER_LEN => Err(ParseError::BadLength),
            len => Ok(len),
        }
    }
    /// Reads a header; `bytes` holds all of it. The checksum is not checked: it covers what follows.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let b = bytes
            .first_chunk::<MIN_HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let len = Self::len_of(b[12])?;
        let options = bytes
            .get(MIN_HEADER_LEN..len)
            .ok_or(ParseError::Truncated)?;
        Ok(Self {
            src_port: u16::from_be_bytes([b[0], b[1]]),
            dst_port: u16::from_be_bytes([b[2], b[3]]),
            seq: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
            ack: u32::from_be_bytes([b[8], b[9], b[10], b[11]]),
            reserved: b[12] >> 1 & 7,
            flags: Flags(u16::from_be_bytes([b[12] & 1, b[13]])),
            window: u16::from_be_bytes([b[14], b[15]]),
            checksum: u16::from_be_bytes([b[16], b[17]]),
            urgent: u16::from_be_bytes([b[18], b[19]]),
            options: TcpOptions::from_bytes(options).ok_or(ParseError::BadLength)?,
        })
    }
    /// Writes `len()` bytes with the checksum field as given; panics if `out` is shorter or the options are not padded.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            src_port,
            dst_port,
            seq,
            ack,
            reserved,
            flags,
            window,
            checksum,
            urgent,
            options,
        } = self;
        let len = self.len();
        assert!(len.is_multiple_of(4), "TCP options are padded before emit");
        let out = &mut out[..len];
        let offset_and_flags =
            (len as u16 / 4) << 12 | u16::from(reserved & 7) << 9 | flags.0 & 0x1ff;
        out[..2].copy_from_slice(&src_port.to_be_bytes());
        out[2..4].copy_from_slice(&dst_port.to_be_bytes());
        out[4..8].copy_from_slice(&seq.to_be_bytes());
        out[8..12].copy_from_slice(&ack.to_be_bytes());
        out[12..14].copy_from_slice(&offset_and_flags.to_be_bytes());
        out[14..16].copy_from_slice(&window.to_be_bytes());
        out[16..18].copy_from_slice(&checksum.to_be_bytes());
        out[18..20].copy_from_slice(&urgent.to_be_bytes());
        out[20..].copy_from_slice(options.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec::Vec};

    /// A SYN as a Linux host wrote it, the checksum still to be filled.
    const LINUX: [u8; 40] = [
        0x8e, 0x84, 0xdc, 0x9d, 0xb8, 0x8f, 0x87, 0x46, 0, 0, 0, 0, 0xa0, 0x02, 0xff, 0xd7, 0xfe,
        0x30, 0, 0, 0x02, 0x04, 0xff, 0xd7, 0x04, 0x02, 0x08, 0x0a, 0x2d, 0xb2, 0x07, 0x80, 0, 0,
        0, 0, 0x01, 0x03, 0x03, 0x0a,
    ];

    #[test]
    fn a_syn_of_linux_is_read_and_written_again() {
        let header = TcpHeader::parse(&LINUX).unwrap();
        assert_eq!((header.src_port, header.dst_port), (36484, 56477));
        assert_eq!((header.seq, header.ack), (0xb88f_8746, 0));
        assert_eq!((header.flags, header.window), (Flags::SYN, 65495));
        let list = [
            TcpOption::Mss(65495),
            TcpOption::SackPermitted,
            TcpOption::Timestamps {
                value: 0x2db2_0780,
                echo: 0,
            },
            TcpOption::Nop,
            TcpOption::WindowScale(10),
        ];
        let read: Result<Vec<_>, _> = header.options.iter().collect();
        assert_eq!(read.as_deref(), Ok(&list[..]));
        let mut options = TcpOptions::NONE;
        assert!(list.into_iter().all(|option| options.push(option)));
        let mut out = [0; 40];
        TcpHeader { options, ..header }.emit(&mut out);
        assert_eq!(out, LINUX);
    }

    #[test]
    fn option_bytes_say_what_the_rfcs_say() {
        use TcpOption::*;
        let sack = |list: &[(u32, u32)]| {
            let mut blocks = SackBlocks::default();
            list.iter()
                .for_each(|(left, right)| assert!(blocks.push(*left, *right)));
            Sack(blocks)
        };
        let unknown = |kind, data| Unknown { kind, data };
        let counters = |ect1_first, fields| AccEcn(EcnCounters::new(ect1_first, fields));
        type Walk<'a> = &'a [Result<TcpOption<'a>, ParseError>];
        let rows: [(&[u8], Walk<'_>); 19] = [
            (&[], &[]),
            (&[1, 1, 0, 2], &[Ok(Nop), Ok(Nop)]),
            (&[2, 4, 5, 0xb4], &[Ok(Mss(1460))]),
            (&[5, 10, 0, 0, 0, 1, 0, 0, 0, 9], &[Ok(sack(&[(1, 9)]))]),
            (&[34, 2], &[Ok(FastOpen(&[]))]),
            (&[34, 6, 1, 2, 3, 4], &[Ok(FastOpen(&[1, 2, 3, 4]))]),
            (&[254, 4, 0xf9, 0x89], &[Ok(unknown(254, &[0xf9, 0x89]))]),
            (&[172, 2], &[Ok(counters(false, &[]))]),
            (&[172, 5, 0, 1, 2], &[Ok(counters(false, &[0x102]))]),
            (
                &[174, 11, 0, 0, 1, 0, 0, 2, 9, 0, 3],
                &[Ok(counters(true, &[1, 2, 0x9_0003]))],
            ),
            // Lengths that the kind can't have.
            (&[2, 3, 5, 1], &[Ok(unknown(2, &[5])), Ok(Nop)]),
            (&[5, 2], &[Ok(unknown(5, &[]))]),
            (&[5, 6, 0, 0, 0, 1], &[Ok(unknown(5, &[0, 0, 0, 1]))]),
            (&[34, 5, 1, 2, 3], &[Ok(unknown(34, &[1, 2, 3]))]),
            (&[172, 4, 1, 2], &[Ok(unknown(172, &[1, 2]))]),
            // Malformed: the walk ends.
            (&[1, 2], &[Ok(Nop), Err(ParseError::Truncated)]),
            (&[2, 4, 5], &[Err(ParseError::Truncated)]),
            (&[3, 1, 1, 1], &[Err(ParseError::BadLength)]),
            (&[3, 0, 1, 1], &[Err(ParseError::BadLength)]),
        ];
        for (bytes, expected) in rows {
            let options = TcpOptions::from_bytes(bytes).unwrap();
            assert_eq!(options.iter().collect::<Vec<_>>(), expected, "{bytes:?}");
        }
    }

    //= rfc9293#3.1
    //# The content of the header beyond the End of Option List Option MUST be header padding of zeros
    #[test]
    fn what_pads_options_is_zero() {
        for len in 0..=40_usize {
            let mut options = TcpOptions::from_bytes(&[kind::NOP; 40][..len]).unwrap();
            options.pad();
            let (given, padding) = options.as_bytes().split_at(len);
            assert!(given.iter().all(|byte| *byte == kind::NOP));
            assert_eq!(padding, &[0; 3][..len.next_multiple_of(4) - len]);
        }
    }

    #[test]
    fn five_blocks_of_sack_are_not_read_as_four() {
        let mut bytes = [0; 40];
        bytes[..2].copy_from_slice(&[5, 42]);
        let options = TcpOptions::from_bytes(&bytes).unwrap();
        assert_eq!(options.iter().next(), Some(Err(ParseError::Truncated)));
        let mut blocks = SackBlocks::default();
        let pushed = [(); 5].map(|()| blocks.push(1, 2));
        assert_eq!(pushed, [true, true, true, true, false]);
    }

    #[test]
    fn an_option_that_does_not_fit_writes_nothing() {
        let mut options = TcpOptions::from_bytes(&[1; 35]).unwrap();
        let timestamps = TcpOption::Timestamps { value: 1, echo: 2 };
        let rows = [
            (timestamps, false, 35),
            (TcpOption::Sack(SackBlocks::default()), false, 35),
            (TcpOption::Unknown { kind: 1, data: &[] }, false, 35),
            (TcpOption::Mss(1), true, 39),
            (TcpOption::SackPermitted, false, 39),
            (TcpOption::Nop, true, 40),
            (TcpOption::Nop, false, 40),
        ];
        for (option, fits, len) in rows {
            assert_eq!(options.push(option), fits, "{option:?}");
            assert_eq!(options.as_bytes().len(), len);
        }
        assert!(TcpOptions::from_bytes(&[1; 41]).is_none());
    }

    #[test]
    fn counters_are_written_as_they_are_read_in_24_bits() {
        for ect1_first in [false, true] {
            for fields in [&[][..], &[1], &[0xff_ffff, 2], &[1, 2, 3]] {
                let mut options = TcpOptions::NONE;
                let counters = EcnCounters::new(ect1_first, fields);
                assert!(options.push(TcpOption::AccEcn(counters)));
                assert_eq!(options.as_bytes().len(), 2 + 3 * fields.len());
                assert_eq!(options.iter().next(), Some(Ok(TcpOption::AccEcn(counters))));
            }
        }
        let wrapped = EcnCounters::new(true, &[0x0100_0005, 6, 7, 8]);
        assert_eq!(wrapped.octets(), [Some(7), Some(6), Some(5)]);
        let of = |bytes: &[u8]| {
            let options = TcpOptions::from_bytes(bytes).unwrap();
            let first = options.iter().next().unwrap().unwrap();
            first.counters().map(|counters| counters.octets())
        };
        assert_eq!(of(&[172, 5, 0, 0, 4]), Some([Some(4), None, None]));
        // Whole fields count, whatever follows.
        assert_eq!(of(&[172, 6, 0, 0, 4, 9]), Some([Some(4), None, None]));
        let long = [174, 13, 0, 0, 1, 0, 0, 2, 0, 0, 3, 9, 9];
        assert_eq!(of(&long), Some([Some(3), Some(2), Some(1)]));
        assert_eq!(of(&[34, 2]), None);
    }

    #[test]
    fn a_broken_header_tells_why() {
        let with_offset = |byte| {
            let mut bytes = LINUX;
            bytes[12] = byte;
            TcpHeader::parse(&bytes).map(|header| header.len())
        };
        let rows = [
            (0x00, Err(ParseError::BadLength)),
            (0x4f, Err(ParseError::BadLength)),
            (0x50, Ok(20)),
            (0xa0, Ok(40)),
            (0xb0, Err(ParseError::Truncated)),
        ];
        for (byte, expected) in rows {
            assert_eq!(with_offset(byte), expected, "{byte:#x}");
        }
        for len in 0..40 {
            assert_eq!(TcpHeader::parse(&LINUX[..len]), Err(ParseError::Truncated));
        }
    }

    #[test]
    fn flags_are_written_as_tcpdump_writes_them() {
        let rows = [
            (Flags::SYN, "[S]"),
            (Flags::SYN | Flags::ACK, "[S.]"),
            (Flags::FIN | Flags::PSH | Flags::ACK, "[FP.]"),
            (Flags::RST, "[R]"),
            (Flags::SYN | Flags::ECE | Flags::CWR | Flags::AE, "[SEWe]"),
            (Flags::URG | Flags::ACK, "[.U]"),
            (Flags::default(), "[none]"),
        ];
        for (flags, text) in rows {
            assert_eq!(format!("{flags:?}"), text);
        }
    }
}
