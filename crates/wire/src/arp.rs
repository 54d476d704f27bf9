//! ARP for IPv4 over Ethernet (RFC 826): 28 bytes.
use core::net::Ipv4Addr;

use crate::{MacAddr, ParseError};

/// Bytes of a packet.
pub const LEN: usize = 28;

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
        todo!()
    }
    /// Writes 28 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        todo!()
    }
}
