//! Ethernet II (IEEE 802.3), its frame check sequence on demand, and the 802.1Q tag.
use crate::ParseError;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);
impl MacAddr {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// The group bit (broadcast included).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}
impl core::fmt::Display for MacAddr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        todo!()
    }
}
impl core::fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);
impl EtherType {
    /// IPv4, 0x0800.
    pub const IPV4: Self = Self(0x0800);
    /// ARP, 0x0806.
    pub const ARP: Self = Self(0x0806);
    /// 802.1Q, 0x8100.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6, 0x86dd.
    pub const IPV6: Self = Self(0x86dd);
}

/// Bytes of an untagged header.
pub const HEADER_LEN: usize = 14;
/// Bytes of an 802.1Q tag.
pub const TAG_LEN: usize = 4;
/// The shortest payload that a real cable carries; shorter ones are padded.
pub const MIN_PAYLOAD: usize = 46;

/// 14 bytes, without the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// Type; 0x8100 when a tag follows.
    pub ethertype: EtherType,
}
impl EthernetHeader {
    /// Reads the first 14 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        todo!()
    }
    /// Writes 14 bytes; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        todo!()
    }
}

/// The 4 bytes after the source address: here as the 2 bytes of control and the 2 of the inner type, as they follow type 0x8100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// Priority code point, 3 bits.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
    /// VLAN identifier, 12 bits.
    pub id: u16,
    /// Type of what follows.
    pub ethertype: EtherType,
}
impl VlanTag {
    /// Reads 4 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        todo!()
    }
    /// Writes 4 bytes.
    pub fn emit(&self, out: &mut [u8]) {
        todo!()
    }
}

/// The frame check sequence (CRC-32) of a frame given in pieces; the wire carries it least significant byte first.
pub fn frame_check_sequence<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    todo!()
}
