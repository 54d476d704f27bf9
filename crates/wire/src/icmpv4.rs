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
impl Unreachable {
    /// The code (RFC 792, RFC 1812 5.2.7.1).
    pub const fn code(self) -> u8 {
        match self {
            Self::Net => 0,
            Self::Host => 1,
            Self::Protocol => 2,
            Self::Port => 3,
            Self::FragmentationNeeded { .. } => 4,
            Self::AdminProhibited => 13,
            Self::Other(code) => code,
        }
    }
    fn without_mtu(code: u8) -> Self {
        match code {
            0 => Self::Net,
            1 => Self::Host,
            2 => Self::Protocol,
            3 => Self::Port,
            4 => Self::FragmentationNeeded { mtu: 0 },
            13 => Self::AdminProhibited,
            other => Self::Other(other),
        }
    }
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
    /// Reads 8 bytes (the checksum covers the whole message and is checked by the caller). Unused bytes that are not
    /// zero become `Other`, so that `emit` restores them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let b = bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let (kind, code, rest) = (b[0], b[1], [b[4], b[5], b[6], b[7]]);
        let id = u16::from_be_bytes([b[4], b[5]]);
        let low = u16::from_be_bytes([b[6], b[7]]);
        Ok(match (kind, code, rest) {
            (0, 0, _) => Self::EchoReply { id, seq: low },
            (8, 0, _) => Self::EchoRequest { id, seq: low },
            (3, 4, [0, 0, _, _]) => {
                Self::Unreachable(Unreachable::FragmentationNeeded { mtu: low })
            }
            (3, code, [0, 0, 0, 0]) => Self::Unreachable(Unreachable::without_mtu(code)),
            (11, code, [0, 0, 0, 0]) => Self::TimeExceeded { code },
            (12, code, [pointer, 0, 0, 0]) => Self::ParameterProblem { code, pointer },
            (kind, code, rest) => Self::Other { kind, code, rest },
        })
    }
    /// Writes 8 bytes with the given checksum field; panics if `out` is shorter.
    pub fn emit(&self, checksum: u16, out: &mut [u8]) {
        let (kind, code) = self.kind();
        out[..2].copy_from_slice(&[kind, code]);
        out[2..4].copy_from_slice(&checksum.to_be_bytes());
        out[4..8].copy_from_slice(&self.rest());
    }
    /// Type and code.
    pub fn kind(&self) -> (u8, u8) {
        match *self {
            Self::EchoReply { .. } => (0, 0),
            Self::EchoRequest { .. } => (8, 0),
            Self::Unreachable(unreachable) => (3, unreachable.code()),
            Self::TimeExceeded { code } => (11, code),
            Self::ParameterProblem { code, .. } => (12, code),
            Self::Other { kind, code, .. } => (kind, code),
        }
    }
    /// Whether it is an error message (never answered by another one, RFC 1122 3.2.2): Destination Unreachable, Source
    /// Quench, Redirect, Time Exceeded, Parameter Problem.
    pub fn is_error(&self) -> bool {
        matches!(self.kind().0, 3 | 4 | 5 | 11 | 12)
    }
    /// Bytes 4 to 7.
    fn rest(&self) -> [u8; 4] {
        match *self {
            Self::EchoReply { id, seq } | Self::EchoRequest { id, seq } => {
                let ([a, b], [c, d]) = (id.to_be_bytes(), seq.to_be_bytes());
                [a, b, c, d]
            }
            Self::Unreachable(Unreachable::FragmentationNeeded { mtu }) => {
                let [a, b] = mtu.to_be_bytes();
                [0, 0, a, b]
            }
            Self::Unreachable(_) | Self::TimeExceeded { .. } => [0; 4],
            Self::ParameterProblem { pointer, .. } => [pointer, 0, 0, 0],
            Self::Other { rest, .. } => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_reads_and_writes_its_bytes() {
        let unreachable = Icmpv4::Unreachable;
        let rows = [
            (
                [8, 0, 0x12, 0x34, 0, 7],
                Icmpv4::EchoRequest { id: 0x1234, seq: 7 },
            ),
            (
                [0, 0, 0x12, 0x34, 0, 7],
                Icmpv4::EchoReply { id: 0x1234, seq: 7 },
            ),
            ([3, 0, 0, 0, 0, 0], unreachable(Unreachable::Net)),
            ([3, 1, 0, 0, 0, 0], unreachable(Unreachable::Host)),
            ([3, 2, 0, 0, 0, 0], unreachable(Unreachable::Protocol)),
            ([3, 3, 0, 0, 0, 0], unreachable(Unreachable::Port)),
            (
                [3, 4, 0, 0, 5, 0x78],
                unreachable(Unreachable::FragmentationNeeded { mtu: 1400 }),
            ),
            (
                [3, 13, 0, 0, 0, 0],
                unreachable(Unreachable::AdminProhibited),
            ),
            ([3, 9, 0, 0, 0, 0], unreachable(Unreachable::Other(9))),
            ([11, 1, 0, 0, 0, 0], Icmpv4::TimeExceeded { code: 1 }),
            (
                [12, 0, 20, 0, 0, 0],
                Icmpv4::ParameterProblem {
                    code: 0,
                    pointer: 20,
                },
            ),
            // Unused bytes that are used: an echo with a code, an error with a length (RFC 4884), a redirect.
            (
                [8, 1, 0, 0, 0, 0],
                Icmpv4::Other {
                    kind: 8,
                    code: 1,
                    rest: [0; 4],
                },
            ),
            (
                [11, 0, 0, 32, 0, 0],
                Icmpv4::Other {
                    kind: 11,
                    code: 0,
                    rest: [0, 32, 0, 0],
                },
            ),
            (
                [5, 1, 10, 0, 0, 1],
                Icmpv4::Other {
                    kind: 5,
                    code: 1,
                    rest: [10, 0, 0, 1],
                },
            ),
        ];
        for ([kind, code, a, b, c, d], message) in rows {
            let bytes = [kind, code, 0xbe, 0xef, a, b, c, d];
            assert_eq!(Icmpv4::parse(&bytes), Ok(message));
            let mut out = [0; HEADER_LEN];
            message.emit(0xbeef, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(message.kind(), (kind, code));
            assert_eq!(message.is_error(), matches!(kind, 3 | 5 | 11 | 12));
        }
        assert_eq!(Icmpv4::parse(&[8; 7]), Err(ParseError::Truncated));
    }

    #[test]
    fn a_port_unreachable_of_linux_is_read_and_its_checksum_holds() {
        let mut bytes = [0; 42];
        bytes[..8].copy_from_slice(&[3, 3, 0x27, 0x32, 0, 0, 0, 0]);
        bytes[8..].copy_from_slice(&[
            0x45, 0, 0, 0x22, 0x6b, 0xd6, 0x40, 0, 0x40, 0x11, 0xd0, 0xf2, 127, 0, 0, 1, 127, 0, 0,
            1, 0xc0, 0xbe, 0xdc, 0x9d, 0, 0x0e, 0xfe, 0x21, b'h', b'e', b'p', b't', b'a', b'd',
        ]);
        assert_eq!(
            Icmpv4::parse(&bytes),
            Ok(Icmpv4::Unreachable(Unreachable::Port))
        );
        assert_eq!(crate::checksum::sum(&bytes), 0xffff);
    }
}
