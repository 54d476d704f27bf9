//! ARP for IPv4 over Ethernet (RFC 826): 28 bytes.
use core::net::Ipv4Addr;

use crate::{MacAddr, ParseError};

/// Bytes of a packet.
pub const LEN: usize = 28;

/// Hardware type 1 (Ethernet), protocol type 0x0800 (IPv4), address lengths 6 and 4.
const FIXED: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What an ARP packet asks or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// 1
    Request,
    /// 2
    Reply,
    /// Anything else, kept.
    Other(u16),
}
impl Operation {
    /// The value that the packet carries.
    pub const fn as_u16(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Other(other) => other,
        }
    }
}
impl From<u16> for Operation {
    fn from(value: u16) -> Self {
        match value {
            1 => Self::Request,
            2 => Self::Reply,
            other => Self::Other(other),
        }
    }
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Request or reply.
    pub operation: Operation,
    /// Sender's hardware address.
    pub sender_mac: MacAddr,
    /// Sender's protocol address.
    pub sender_ip: Ipv4Addr,
    /// Target's hardware address.
    pub target_mac: MacAddr,
    /// Target's protocol address.
    pub target_ip: Ipv4Addr,
}
impl ArpPacket {
    /// Reads 28 bytes; other hardware or protocol types are `BadVersion`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let b = bytes.first_chunk::<LEN>().ok_or(ParseError::Truncated)?;
        if b[..6] != FIXED {
            return Err(ParseError::BadVersion);
        }
        Ok(Self {
            operation: u16::from_be_bytes([b[6], b[7]]).into(),
            sender_mac: MacAddr([b[8], b[9], b[10], b[11], b[12], b[13]]),
            sender_ip: Ipv4Addr::new(b[14], b[15], b[16], b[17]),
            target_mac: MacAddr([b[18], b[19], b[20], b[21], b[22], b[23]]),
            target_ip: Ipv4Addr::new(b[24], b[25], b[26], b[27]),
        })
    }
    /// Writes 28 bytes; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            operation,
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        } = self;
        out[..6].copy_from_slice(&FIXED);
        out[6..8].copy_from_slice(&operation.as_u16().to_be_bytes());
        out[8..14].copy_from_slice(&sender_mac.0);
        out[14..18].copy_from_slice(&sender_ip.octets());
        out[18..24].copy_from_slice(&target_mac.0);
        out[24..28].copy_from_slice(&target_ip.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_as_rfc_826_says() {
        let request = ArpPacket {
            operation: Operation::Request,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_ip: Ipv4Addr::new(10, 0, 1, 10),
            target_mac: MacAddr::default(),
            target_ip: Ipv4Addr::new(10, 0, 1, 1),
        };
        let bytes = [
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 1, 10, 0, 0, 0, 0, 0, 0, 10, 0, 1, 1,
        ];
        let mut out = [0xff; LEN];
        request.emit(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(ArpPacket::parse(&bytes), Ok(request));
    }

    #[test]
    fn other_hardware_protocols_and_lengths_are_refused() {
        let mut bytes = [0; LEN];
        bytes[..6].copy_from_slice(&FIXED);
        assert!(ArpPacket::parse(&bytes).is_ok());
        assert_eq!(ArpPacket::parse(&bytes[..27]), Err(ParseError::Truncated));
        for at in 0..6 {
            let mut other = bytes;
            other[at] ^= 0x10;
            assert_eq!(
                ArpPacket::parse(&other),
                Err(ParseError::BadVersion),
                "{at}"
            );
        }
    }
}
