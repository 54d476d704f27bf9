//! What RFC 6724 knows of an address by itself: its scope, its precedence, its label. An address of IPv4 counts as ::ffff:0:0/96.
use core::net::{IpAddr, Ipv6Addr};

/// RFC 6724 2.1: prefix, its bits, precedence, label. The first that fits is the longest.
#[rustfmt::skip]
const POLICY: [(u128, u32, u8, u8); 9] = [
    (1, 128, 50, 0),
    (0xffff << 32, 96, 35, 4),
    (0, 96, 1, 3),
    (0x2001 << 112, 32, 5, 5),
    (0x2002 << 112, 16, 30, 2),
    (0x3ffe << 112, 16, 1, 12),
    (0xfec << 116, 10, 1, 11),
    (0xfc << 120, 7, 3, 13),
    (0, 0, 40, 1),
];
/// Scopes of RFC 4291 2.7.
const LINK_LOCAL: u8 = 2;
const SITE_LOCAL: u8 = 5;
const GLOBAL: u8 = 14;

/// RFC 6724 3.1 and 3.2.
pub fn scope(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_link_local() => LINK_LOCAL,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(ip) => match ip.octets() {
            [0xff, flags, ..] => flags & 0x0f,
            _ if ip.is_loopback() || ip.is_unicast_link_local() => LINK_LOCAL,
            [0xfe, second, ..] if second & 0xc0 == 0xc0 => SITE_LOCAL,
            _ => GLOBAL,
        },
    }
}
/// Whether two addresses get on: source and destination should have the same.
pub fn label(ip: IpAddr) -> u8 {
    policy(ip).1
}
/// Which destinations come first.
pub fn precedence(ip: IpAddr) -> u8 {
    policy(ip).0
}

fn policy(ip: IpAddr) -> (u8, u8) {
    let bits = as_v6(ip).to_bits();
    let has = |prefix: u128, len: u32| match len {
        0 => true,
        len => (bits ^ prefix) >> (128 - len) == 0,
    };
    let mut rows = POLICY.iter();
    let row = rows.find(|(prefix, len, ..)| has(*prefix, *len));
    row.map_or((40, 1), |(_, _, precedence, label)| (*precedence, *label))
}

/// How many bits two addresses of one family have in common at their beginning; none of two families.
pub fn common_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_table_is_that_of_rfc_6724() {
        // Address, scope, precedence, label.
        let table = [
            ("::1", 2, 50, 0),
            ("2001:db8::1", 14, 40, 1),
            ("10.0.1.10", 14, 35, 4),
            ("127.0.0.1", 2, 35, 4),
            ("169.254.1.1", 2, 35, 4),
            ("::ffff:192.0.2.1", 14, 35, 4),
            ("2002:c633:6401::1", 14, 30, 2),
            ("2001::1", 14, 5, 5),
            ("fd00::1", 14, 3, 13),
            ("fc00::1", 14, 3, 13),
            ("::192.0.2.1", 14, 1, 3),
            ("fec0::1", 5, 1, 11),
            ("3ffe::1", 14, 1, 12),
            ("fe80::1", 2, 40, 1),
            ("ff02::1", 2, 40, 1),
            ("ff0e::1", 14, 40, 1),
        ];
        for (text, expected_scope, expected_precedence, expected_label) in table {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(scope(ip), expected_scope, "{text}");
            assert_eq!(precedence(ip), expected_precedence, "{text}");
            assert_eq!(label(ip), expected_label, "{text}");
        }
    }
}
