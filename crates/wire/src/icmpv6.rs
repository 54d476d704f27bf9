//! ICMPv6 (RFC 4443): the 8 bytes in front and what follows. Neighbour discovery's messages are in [`crate::ndp`].
use crate::ParseError;

/// Bytes of the fixed part.
pub const HEADER_LEN: usize = 8;

/// The first 8 bytes of an ICMPv6 message. The data behind them is in the packet. The checksum is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv6 {
    /// 1; as much of the original packet as fits follows.
    Unreachable(Unreachable),
    /// 2; the original packet follows.
    PacketTooBig {
        /// Of the next hop's link.
        mtu: u32,
    },
    /// 3; code 0 in transit, 1 at reassembly; the original packet follows.
    TimeExceeded {
        /// 0 or 1.
        code: u8,
    },
    /// 4; the original packet follows.
    ParameterProblem {
        /// 0 a wrong field, 1 an unknown next header, 2 an unknown option, 3 an incomplete header chain (RFC 7112).
        code: u8,
        /// Which byte of the original packet.
        pointer: u32,
    },
    /// 128
    EchoRequest {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// 129
    EchoReply {
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
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

/// Codes of Destination Unreachable (RFC 4443 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// 0
    NoRoute,
    /// 1
    AdminProhibited,
    /// 2
    BeyondScope,
    /// 3
    Address,
    /// 4
    Port,
    /// Any other code, kept.
    Other(u8),
}
impl Unreachable {
    /// The code.
    pub const fn code(self) -> u8 {
        match self {
            Self::NoRoute => 0,
            Self::AdminProhibited => 1,
            Self::BeyondScope => 2,
            Self::Address => 3,
            Self::Port => 4,
            Self::Other(code) => code,
        }
    }
    fn of(code: u8) -> Self {
        match code {
            0 => Self::NoRoute,
            1 => Self::AdminProhibited,
            2 => Self::BeyondScope,
            3 => Self::Address,
            4 => Self::Port,
            other => Self::Other(other),
        }
    }
}

impl Icmpv6 {
    /// Reads 8 bytes (the checksum covers the whole message and is checked by the caller). Unused bytes that are not
    /// zero become `Other`, so that `emit` restores them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let [kind, code, _, _, rest @ ..] = *bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let [i0, i1, s0, s1] = rest;
        let (id, seq) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([s0, s1]));
        let word = u32::from_be_bytes(rest);
        Ok(match (kind, code) {
            (1, code) if word == 0 => Self::Unreachable(Unreachable::of(code)),
            (2, 0) => Self::PacketTooBig { mtu: word },
            (3, code) if word == 0 => Self::TimeExceeded { code },
            (4, code) => Self::ParameterProblem {
                code,
                pointer: word,
            },
            (128, 0) => Self::EchoRequest { id, seq },
            (129, 0) => Self::EchoReply { id, seq },
            (kind, code) => Self::Other { kind, code, rest },
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
            Self::Unreachable(unreachable) => (1, unreachable.code()),
            Self::PacketTooBig { .. } => (2, 0),
            Self::TimeExceeded { code } => (3, code),
            Self::ParameterProblem { code, .. } => (4, code),
            Self::EchoRequest { .. } => (128, 0),
            Self::EchoReply { .. } => (129, 0),
            Self::Other { kind, code, .. } => (kind, code),
        }
    }
    /// An error quotes a packet; of the types below 128 all are errors (RFC 4443 2.1).
    pub fn is_error(&self) -> bool {
        self.kind().0 < 128
    }
    fn rest(&self) -> [u8; 4] {
        match *self {
            Self::Unreachable(_) | Self::TimeExceeded { .. } => [0; 4],
            Self::PacketTooBig { mtu } => mtu.to_be_bytes(),
            Self::ParameterProblem { pointer, .. } => pointer.to_be_bytes(),
            Self::EchoRequest { id, seq } | Self::EchoReply { id, seq } => {
                let ([i0, i1], [s0, s1]) = (id.to_be_bytes(), seq.to_be_bytes());
                [i0, i1, s0, s1]
            }
            Self::Other { rest, .. } => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_and_written_again() {
        for (bytes, message) in [
            (
                [128, 0, 0, 0, 0x12, 0x34, 0, 1],
                Icmpv6::EchoRequest { id: 0x1234, seq: 1 },
            ),
            (
                [129, 0, 0, 0, 0x12, 0x34, 0, 1],
                Icmpv6::EchoReply { id: 0x1234, seq: 1 },
            ),
            (
                [1, 0, 0, 0, 0, 0, 0, 0],
                Icmpv6::Unreachable(Unreachable::NoRoute),
            ),
            (
                [1, 3, 0, 0, 0, 0, 0, 0],
                Icmpv6::Unreachable(Unreachable::Address),
            ),
            (
                [1, 4, 0, 0, 0, 0, 0, 0],
                Icmpv6::Unreachable(Unreachable::Port),
            ),
            (
                [1, 6, 0, 0, 0, 0, 0, 0],
                Icmpv6::Unreachable(Unreachable::Other(6)),
            ),
            ([2, 0, 0, 0, 0, 0, 5, 0], Icmpv6::PacketTooBig { mtu: 1280 }),
            ([3, 1, 0, 0, 0, 0, 0, 0], Icmpv6::TimeExceeded { code: 1 }),
            (
                [4, 1, 0, 0, 0, 0, 0, 40],
                Icmpv6::ParameterProblem {
                    code: 1,
                    pointer: 40,
                },
            ),
            (
                [135, 0, 0, 0, 1, 2, 3, 4],
                Icmpv6::Other {
                    kind: 135,
                    code: 0,
                    rest: [1, 2, 3, 4],
                },
            ),
            // Unused bytes that are used are kept.
            (
                [1, 0, 0, 0, 0, 0, 0, 9],
                Icmpv6::Other {
                    kind: 1,
                    code: 0,
                    rest: [0, 0, 0, 9],
                },
            ),
        ] {
            assert_eq!(Icmpv6::parse(&bytes), Ok(message));
            let mut out = [0xaa; HEADER_LEN];
            message.emit(0, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(message.is_error(), bytes[0] < 128);
        }
        assert_eq!(Icmpv6::parse(&[1; 7]), Err(ParseError::Truncated));
    }
}
