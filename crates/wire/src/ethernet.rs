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
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
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
        let b = bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        Ok(Self {
            dst: MacAddr([b[0], b[1], b[2], b[3], b[4], b[5]]),
            src: MacAddr([b[6], b[7], b[8], b[9], b[10], b[11]]),
            ethertype: EtherType(u16::from_be_bytes([b[12], b[13]])),
        })
    }
    /// Writes 14 bytes; panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            dst,
            src,
            ethertype,
        } = self;
        out[..6].copy_from_slice(&dst.0);
        out[6..12].copy_from_slice(&src.0);
        out[12..14].copy_from_slice(&ethertype.0.to_be_bytes());
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
        let b = bytes
            .first_chunk::<TAG_LEN>()
            .ok_or(ParseError::Truncated)?;
        let control = u16::from_be_bytes([b[0], b[1]]);
        Ok(Self {
            priority: b[0] >> 5,
            drop_eligible: control & 0x1000 != 0,
            id: control & 0x0fff,
            ethertype: EtherType(u16::from_be_bytes([b[2], b[3]])),
        })
    }
    /// Writes 4 bytes; panics if `out` is shorter. Bits of `priority` and `id` beyond 3 and 12 are left out.
    pub fn emit(&self, out: &mut [u8]) {
        let Self {
            priority,
            drop_eligible,
            id,
            ethertype,
        } = self;
        let control = u16::from(priority & 7) << 13 | u16::from(*drop_eligible) << 12 | id & 0x0fff;
        out[..2].copy_from_slice(&control.to_be_bytes());
        out[2..4].copy_from_slice(&ethertype.0.to_be_bytes());
    }
}

/// The frame check sequence (CRC-32) of a frame given in pieces; the wire carries it least significant byte first.
pub fn frame_check_sequence<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for piece in pieces {
        crc.update(piece);
    }
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn the_check_sequence_is_that_of_ieee_802_3() {
        assert_eq!(frame_check_sequence([&b"123456789"[..]]), 0xcbf4_3926);
        assert_eq!(
            frame_check_sequence([&b"1234"[..], b"", b"56789"]),
            0xcbf4_3926
        );
        // With the sequence behind it, least significant byte first, every frame leaves the same residue.
        for frame in [&b"a"[..], b"another frame", &[0; 60]] {
            let fcs = frame_check_sequence([frame]).to_le_bytes();
            assert_eq!(frame_check_sequence([frame, &fcs]), 0x2144_df1c);
        }
    }

    #[test]
    fn addresses_are_written_as_people_write_them() {
        let mac = MacAddr([0x02, 0, 0x5e, 0xab, 0x0c, 0xff]);
        assert_eq!(format!("{mac}"), "02:00:5e:ab:0c:ff");
        assert_eq!(format!("{mac:?}"), "02:00:5e:ab:0c:ff");
        assert!(!mac.is_multicast());
        assert!(MacAddr::BROADCAST.is_multicast());
        assert!(MacAddr([1, 0, 0x5e, 0, 0, 1]).is_multicast());
    }

    #[test]
    fn a_tag_holds_priority_drop_eligibility_and_twelve_bits_of_identifier() {
        let tag = VlanTag {
            priority: 5,
            drop_eligible: true,
            id: 0x123,
            ethertype: EtherType::ARP,
        };
        let mut out = [0; TAG_LEN];
        tag.emit(&mut out);
        assert_eq!(out, [0xb1, 0x23, 0x08, 0x06]);
        assert_eq!(VlanTag::parse(&out), Ok(tag));
    }
}
