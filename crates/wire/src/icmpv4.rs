//! ICMP for IPv4 (RFC 792, 1122, 1191, 1812): the 8 bytes in front and what follows.
use crate::ParseError;

/// Bytes of the fixed part.
pub const HEADER_LEN: usize = 8;

/// Codes of Destination Unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// 0
    Net,
    /// 1
    Host,
    /// 2
    Protocol,
    /// 3
    Port,
    /// 4, with the next hop's MTU (RFC 1191)
    FragmentationNeeded {
        /// 0 from routers that do not tell.
        mtu: u16,
    },
    /// 13
    AdminProhibited,
    /// Any other code, kept.
    Other(u8),
}

/// The first 8 bytes of an ICMP message. The data behind them is in the packet. The checksum is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv4 {
    /// 8
    EchoRequest {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// 0
    EchoReply {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// 3; the original header and at least 8 bytes follow.
    Unreachable(Unreachable),
    /// 11; code 0 in transit, 1 at reassembly; the original header follows.
    TimeExceeded {
        /// 0 or 1.
        code: u8,
    },
    /// 12; the original header follows.
    ParameterProblem {
        /// Code.
        code: u8,
        /// Which byte.
        pointer: u8,
    },
    /// Any other: type, code and the 4 bytes kept.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Bytes 4 to 7.
        rest: [u8; 4],
    },
}
impl Icmpv4 {
    /// Reads 8 bytes (the checksum covers the whole message and is checked by the caller). Unused bytes that are not zero become `Other`, so that `emit` restores them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        todo!()
    }
    /// Writes 8 bytes with the given checksum field.
    pub fn emit(&self, checksum: u16, out: &mut [u8]) {
        todo!()
    }
    /// Type and code.
    pub fn kind(&self) -> (u8, u8) {
        todo!()
    }
    /// Whether it is an error message (never answered by another one, RFC 1122 3.2.2).
    pub fn is_error(&self) -> bool {
        todo!()
    }
}
