//! A router's marks: congestion experienced, in packets whose transport understands (RFC 3168 5).
use heptad_stack::wire::{PacketBuf, checksum};

use super::network_header;

/// Where the header checksum of IPv4 stands.
const CHECKSUM: usize = 10;

/// Marks the packet in a frame; `false`: it is no IP, or its transport does not understand.
pub fn mark(frame: &mut PacketBuf, link_header: usize) -> bool {
    let l3 = network_header(frame, link_header);
    let header = l3.and_then(|l3| frame.peek_mut(l3 + CHECKSUM + 2).ok()?.get_mut(l3..));
    header.is_some_and(mark_header)
}

fn mark_header(ip: &mut [u8]) -> bool {
    let Some((&mut [ref version, ref mut second], rest)) = ip.split_first_chunk_mut() else {
        return false;
    };
    // The last two bits of the traffic class stand in the middle of the second byte.
    let shift = if version >> 4 == 6 { 4 } else { 0 };
    if *second >> shift & 3 == 0 {
        return false;
    }
    let before = u16::from_be_bytes([*version, *second]);
    *second |= 3 << shift;
    let after = u16::from_be_bytes([*version, *second]);
    if shift == 0
        && let Some(sum) = rest
            .get_mut(CHECKSUM - 2..)
            .and_then(|r| r.first_chunk_mut())
    {
        *sum = checksum::update(u16::from_be_bytes(*sum), before, after).to_be_bytes();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_it_understands_is_marked() {
        for (before, after) in [
            (0x00, None),
            (0x01, Some(0x03)),
            (0xba, Some(0xbb)),
            (0x03, Some(0x03)),
        ] {
            let mut v4 = vec![
                0x45, before, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
            ];
            checksum::fill(&mut v4, CHECKSUM, 0);
            assert_eq!(mark_header(&mut v4), after.is_some(), "{before:#x}");
            assert_eq!(v4[1], after.unwrap_or(before), "{before:#x}");
            assert_eq!(checksum::sum(&v4), 0xffff, "{before:#x}");
            let mut v6 = vec![0x60 | before >> 4, before << 4 | 0xf];
            v6.resize(40, 0);
            assert_eq!(mark_header(&mut v6), after.is_some(), "{before:#x}");
            let class = v6[0] << 4 | v6[1] >> 4;
            assert_eq!(class, after.unwrap_or(before), "{before:#x}");
            assert_eq!(v6[1] & 0xf, 0xf, "the flow label stays");
        }
    }
}
