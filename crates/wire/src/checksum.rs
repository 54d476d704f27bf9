//! The Internet checksum (RFC 1071, 1624): folded 16-bit ones' complement sums, uncomplemented unless said.
use core::net::IpAddr;

/// Sum of a run of bytes (an odd last byte is padded with zero), folded. Zero only if every byte is zero.
#[inline]
pub fn sum(bytes: &[u8]) -> u16 {
    // RFC 1071 section 2: the sum does not depend on the byte order, so whole words are added as the processor has
    // them and the two result bytes are put in order once.
    let (blocks, rest) = bytes.as_chunks::<64>();
    let total = match blocks {
        [] => 0,
        blocks => sum_blocks(blocks),
    };
    u16::from_be(fold(add_rest(total, rest)))
}

/// Of each word the high half is added beside the whole; what the low halves make follows from both, for it is less than
/// 2^64 in any run of fewer than 2^32 words. Sixteen accumulators, so that the compiler may keep them in vector registers.
fn sum_blocks(blocks: &[[u8; 64]]) -> u64 {
    let (mut whole, mut high) = ([0u64; 8], [0u64; 8]);
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for ((whole, high), word) in whole.iter_mut().zip(&mut high).zip(words) {
            let word = u64::from_ne_bytes(*word);
            *whole = whole.wrapping_add(word);
            *high += word >> 32;
        }
    }
    let whole = whole.into_iter().fold(0, u64::wrapping_add);
    let high = high.iter().sum::<u64>();
    let low = whole.wrapping_sub(high << 32);
    low + high
}

/// Adds what is left of a run behind its blocks, as the processor has it.
#[inline]
fn add_rest(mut total: u64, rest: &[u8]) -> u64 {
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        total = add_word(total, u64::from_ne_bytes(*word));
    }
    let (halves, rest) = rest.as_chunks::<2>();
    let halves = halves
        .iter()
        .map(|half| u64::from(u16::from_ne_bytes(*half)));
    total = add_word(total, halves.sum());
    match rest {
        [odd] => add_word(total, u64::from(u16::from_ne_bytes([*odd, 0]))),
        _ => total,
    }
}
/// Adds with the carry back in.
#[inline]
fn add_word(a: u64, b: u64) -> u64 {
    let (total, carry) = a.overflowing_add(b);
    total + u64::from(carry)
}

/// Adds two folded sums.
#[inline]
pub fn add(a: u16, b: u16) -> u16 {
    let (total, carry) = a.overflowing_add(b);
    total + u16::from(carry)
}

/// Sum of the pseudo-header (IPv4: RFC 9293 3.1; IPv6: RFC 8200 8.1); `len` counts the transport header and its data.
#[inline]
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> u16 {
    let addresses = add(address(src), address(dst));
    add(addresses, fold(u64::from(len) + u64::from(protocol)))
}

/// Puts the checksum of a message into its field at this place: over all of it, the field taken for zero, and over what comes
/// beside it (the sum of a pseudo-header; 0 where there is none). Panics if the message ends before the field does. For UDP a
/// sum of zero is written otherwise (RFC 768).
pub fn fill(message: &mut [u8], at: usize, beside: u16) {
    let field = at..at + 2;
    message[field.clone()].fill(0);
    let sum = !add(beside, sum(message));
    message[field].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1624: the complemented checksum field after a 16-bit word of the summed data changed.
pub fn update(field: u16, old: u16, new: u16) -> u16 {
    //= rfc1624#3
    //# HC' = ~(~HC + ~m + m')
    !add(add(!field, !old), new)
}

#[inline]
fn address(addr: IpAddr) -> u16 {
    match addr {
        IpAddr::V4(v4) => fold(u64::from(v4.to_bits())),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

/// Folds the carries back in; of a number that is not zero the result is not zero either.
#[inline]
pub(crate) fn fold(total: u64) -> u16 {
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn the_examples_of_the_rfcs_hold() {
        // RFC 1071 section 3.
        assert_eq!(
            sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            0xddf2
        );
        // RFC 1624 section 4.
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn sums_of_edge_cases() {
        let rows: [(&[u8], u16); 7] = [
            (&[], 0),
            (&[0x12], 0x1200),
            (&[0x12, 0x34], 0x1234),
            (&[0x12, 0x34, 0x56], 0x6834),
            (&[0xff, 0xff], 0xffff),
            (&[0xff, 0xff, 0x00, 0x01], 0x0001),
            (&[0xff; 65535], 0xff00),
        ];
        for (bytes, expected) in rows {
            assert_eq!(sum(bytes), expected, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_run_of_any_length_has_the_sum_of_its_words_one_by_one() {
        let bytes: [u8; 400] = core::array::from_fn(|i| (i * i + 255 * (i / 7 % 2)) as u8);
        for len in 0..=bytes.len() {
            let pairs = bytes[..len].chunks(2);
            let words = pairs.map(|pair| [pair[0], *pair.get(1).unwrap_or(&0)]);
            let expected = words.map(u16::from_be_bytes).fold(0, add);
            assert_eq!(sum(&bytes[..len]), expected, "{len} bytes");
        }
    }

    #[test]
    fn the_pseudo_header_is_what_linux_leaves_in_a_segment_that_is_to_be_filled() {
        let lo = Ipv4Addr::LOCALHOST.into();
        // A SYN of 40 bytes, 3 bytes of data behind 32, and UDP of 14, seen on a loopback interface.
        assert_eq!(pseudo_header(lo, lo, 6, 40), 0xfe30);
        assert_eq!(pseudo_header(lo, lo, 6, 35), 0xfe2b);
        assert_eq!(pseudo_header(lo, lo, 17, 14), 0xfe21);
    }

    #[test]
    fn the_pseudo_header_of_ipv6_counts_all_bits_of_the_length() {
        let addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into();
        let expected = 2 * (0x2001 + 0xdb8 + 1) + 1 + 2 + 58;
        assert_eq!(pseudo_header(addr, addr, 58, 0x0001_0002), expected);
    }
}
