//! The Internet checksum (RFC 1071, 1624): folded 16-bit ones' complement sums, uncomplemented unless said.
use core::net::IpAddr;

/// Sum of a run of bytes (an odd last byte is padded with zero), folded.
pub fn sum(bytes: &[u8]) -> u16 {
    todo!()
}
/// Adds two folded sums.
pub fn add(a: u16, b: u16) -> u16 {
    todo!()
}
/// Sum of the pseudo-header (IPv4: RFC 9293 3.1; IPv6: RFC 8200 8.1).
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> u16 {
    todo!()
}
/// RFC 1624: the complemented checksum field after a 16-bit word of the summed data changed.
pub fn update(field: u16, old: u16, new: u16) -> u16 {
    todo!()
}
