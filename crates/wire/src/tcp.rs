//! TCP headers (RFC 9293 3.1) with every option; unknown options are kept as they came.
use crate::ParseError;

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;

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
        todo!()
    }
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
    /// Any other kind with its data.
    Unknown {
        /// Kind.
        kind: u8,
        /// Data without kind and length.
        data: &'a [u8],
    },
}

/// Up to four SACK blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SackBlocks {
    blocks: [(u32, u32); 4],
    len: u8,
}
impl SackBlocks {
    /// Appends a block; `false` when four are there.
    pub fn push(&mut self, left: u32, right: u32) -> bool {
        todo!()
    }
    /// The blocks in the order of the wire.
    pub fn as_slice(&self) -> &[(u32, u32)] {
        todo!()
    }
}

/// The option bytes of a header: up to 40, a multiple of 4.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    /// Appends one, unpadded; `false` (and nothing written) if it does not fit.
    pub fn push(&mut self, option: TcpOption<'_>) -> bool {
        todo!()
    }
    /// Pads with end-of-options to a multiple of 4. `TcpHeader::emit` needs it done.
    pub fn pad(&mut self) {
        todo!()
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        todo!()
    }
    /// Each option until end-of-options; a malformed rest ends the walk with one `Err`.
    pub fn iter(&self) -> OptionIter<'_> {
        todo!()
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
        todo!()
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
    pub fn len(&self) -> usize {
        MIN_HEADER_LEN + self.options.as_bytes().len()
    }
    /// Header length from byte 12, for `peek`.
    pub fn len_of(byte12: u8) -> Result<usize, ParseError> {
        todo!()
    }
    /// Reads a header; `bytes` holds all of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        todo!()
    }
    /// Writes `len()` bytes with the checksum field as given.
    pub fn emit(&self, out: &mut [u8]) {
        todo!()
    }
}
