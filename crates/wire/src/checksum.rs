//! The Internet checksum (RFC 1071, 1624): folded 16-bit ones' complement sums, uncomplemented unless said.
use core::net::IpAddr;

/// Sum of a run of bytes (an odd last byte is padded with zero), folded. Zero only if every byte is zero.
pub fn sum(bytes: &[u8]) -> u16 {
    // RFC 1071 section 2: the sum does not depend on the byte order, so whole words are added as the processor has
    // them and the two result bytes are put in order once. 2^32 words fit before the accumulator could overflow.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total = words.iter().fold(0u64, |total, word| {
        total + u64::from(u32::from_ne_bytes(*word))
    });
    let mut last = [0u8; 4];
    for (slot, byte) in last.iter_mut().zip(rest) {
        *slot = *byte;
    }
    total += u64::from(u32::from_ne_bytes(last));
    u16::from_be(fold(total))
}

/// Adds two folded sums.
pub fn add(a: u16, b: u16) -> u16 {
    let (total, carry) = a.overflowing_add(b);
    total + u16::from(carry)
}

/// Sum of the pseudo-header (IPv4: RFC 9293 3.1; IPv6: RFC 8200 8.1); `len` counts the transport header and its data.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> u16 {
    let addresses = add(address(src), address(dst));
    add(addresses, fold(u64::from(len) + u64::from(protocol)))
}

/// RFC 1624: the complemented checksum field after a 16-bit word of the summed data changed.
pub fn update(field: u16, old: u16, new: u16) -> u16 {
    //= rfc1624#3
    //# HC' = ~(~HC + ~m + m')
    !add(add(!field, !old), new)
}

fn address(addr: IpAddr) -> u16 {
    match addr {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

/// Folds the carries back in; of a number that is not zero the result is not zero either.
fn fold(total: u64) -> u16 {
    let total = (total >> 32) + (total & 0xffff_ffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    let total = (total >> 16) + (total & 0xffff);
    total as u16
}
