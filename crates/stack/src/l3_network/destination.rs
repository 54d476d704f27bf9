//! Which of several addresses of a name to speak to first (RFC 6724 6).
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use core::net::IpAddr;

use super::Network;
use super::ipv6::address::AddressState;
use super::policy::{common_bits, label, precedence, scope};
use super::zone::bare_ip;

/// An address that we would speak from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    ip: IpAddr,
    /// Its prefix, bits.
    len: u8,
    deprecated: bool,
}

impl Network {
    /// Puts destinations in the order in which to try them, after rules 1 to 10 of RFC 6724 6. Nobody here has a home elsewhere
    /// (rule 4) or tunnels (rule 7). What is equal stays as it was.
    pub fn order_destinations(&self, destinations: &mut [IpAddr]) {
        let with_source = |dst: &IpAddr| (*dst, self.source_toward(*dst));
        let mut all: Vec<_> = destinations.iter().map(with_source).collect();
        all.sort_by(|a, b| prefer(*a, *b));
        for (slot, (dst, _)) in destinations.iter_mut().zip(all) {
            *slot = dst;
        }
    }

    fn source_toward(&self, dst: IpAddr) -> Option<Source> {
        let src = self.route(dst, None).ok()?.src;
        let rows = self.address_rows_v6();
        let six = rows.iter().find(|(_, address)| address.ip == src);
        let len = match (src, six) {
            (_, Some((_, address))) => address.len,
            (IpAddr::V4(_), None) => {
                let rows = self.address_rows();
                let four = rows.iter().find(|(_, ip, _)| *ip == src);
                four.map_or(32, |(_, _, len)| *len)
            }
            (IpAddr::V6(_), None) => 128,
        };
        Some(Source {
            ip: bare_ip(src),
            len,
            deprecated: six.is_some_and(|(_, a)| a.state == AddressState::Deprecated),
        })
    }
}

/// Which of two destinations comes first, each with the address that we would speak from.
fn prefer(
    (a, from_a): (IpAddr, Option<Source>),
    (b, from_b): (IpAddr, Option<Source>),
) -> Ordering {
    // Rule 1: one without a way is the last.
    let (source_a, source_b) = match (from_a, from_b) {
        (Some(source_a), Some(source_b)) => (source_a, source_b),
        _ => return from_b.is_some().cmp(&from_a.is_some()),
    };
    let merits = |dst: IpAddr, source: Source| {
        (
            // Rule 2: the source reaches as far as the destination is.
            scope(dst) == scope(source.ip),
            // Rule 3.
            !source.deprecated,
            // Rule 5.
            label(dst) == label(source.ip),
            // Rule 6.
            precedence(dst),
            // Rule 8: the nearer one.
            Reverse(scope(dst)),
        )
    };
    let common = |dst, source: Source| common_bits(source.ip, dst).min(source.len.into());
    let by_merit = merits(b, source_b).cmp(&merits(a, source_a));
    by_merit.then_with(|| match a.is_ipv4() == b.is_ipv4() {
        // Rule 9: the one that has most in common with us.
        true => common(b, source_b).cmp(&common(a, source_a)),
        // Rule 10: as they came.
        false => Ordering::Equal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
    fn from(text: &str, deprecated: bool) -> Option<Source> {
        let ip: IpAddr = text.parse().ok()?;
        Some(Source {
            ip,
            len: if ip.is_ipv4() { 24 } else { 64 },
            deprecated,
        })
    }

    /// Destination and the address to speak from (empty: there is none) of the better one, then of the other one.
    type Row<'a> = (&'a str, [&'a str; 2], [&'a str; 2]);

    #[test]
    fn destinations_are_ordered_as_in_the_examples_of_rfc_6724() {
        //= rfc6724#10.2
        let table: [Row<'_>; 11] = [
            (
                "prefer matching scope",
                ["2001:db8:1::1", "2001:db8:1::2"],
                ["198.51.100.121", "169.254.13.78"],
            ),
            (
                "prefer matching scope",
                ["198.51.100.121", "198.51.100.117"],
                ["2001:db8:1::1", "fe80::1"],
            ),
            (
                "prefer higher precedence",
                ["2001:db8:1::1", "2001:db8:1::2"],
                ["10.1.2.3", "10.1.2.4"],
            ),
            (
                "prefer smaller scope",
                ["fe80::1", "fe80::2"],
                ["2001:db8:1::1", "2001:db8:1::2"],
            ),
            (
                "longest matching prefix",
                ["2001:db8:1::1", "2001:db8:1::2"],
                ["2001:db8:3ffe::1", "2001:db8:3f44::2"],
            ),
            (
                "prefer matching label",
                ["2002:c633:6401::1", "2002:c633:6401::2"],
                ["2001:db8:1::1", "2002:c633:6401::2"],
            ),
            (
                "prefer higher precedence",
                ["2001:db8:1::1", "2001:db8:1::2"],
                ["2002:c633:6401::1", "2002:c633:6401::2"],
            ),
            // Not of the RFC: rule 1, both ways of having none, and the addresses that labs have.
            (
                "avoid unusable",
                ["10.0.1.1", "10.0.1.2"],
                ["2001:db8:1::1", ""],
            ),
            (
                "avoid unusable",
                ["fd00:1::1", "fd00:1::2"],
                ["10.0.1.1", ""],
            ),
            (
                "prefer higher precedence",
                ["10.0.1.1", "10.0.1.2"],
                ["fd00:1::1", "fd00:1::2"],
            ),
            (
                "prefer higher precedence",
                ["::1", "::1"],
                ["127.0.0.1", "127.0.0.1"],
            ),
        ];
        for (rule, [a, from_a], [b, from_b]) in table {
            let (a, b) = ((ip(a), from(from_a, false)), (ip(b), from(from_b, false)));
            assert_eq!(prefer(a, b), Ordering::Less, "{rule}: {a:?} {b:?}");
            assert_eq!(prefer(b, a), Ordering::Greater, "{rule}: {b:?} {a:?}");
            assert_eq!(prefer(a, a), Ordering::Equal, "{rule}");
        }
    }

    #[test]
    fn a_deprecated_source_is_avoided_and_what_is_equal_stays() {
        let old = (ip("2001:db8:1::1"), from("2001:db8:1::2", true));
        let new = (ip("2001:db8:9::1"), from("2001:db8:2::2", false));
        assert_eq!(prefer(new, old), Ordering::Less);
        // More than the prefix of the source does not count: two hosts of a network are alike.
        let near = (ip("10.0.1.11"), from("10.0.1.10", false));
        let far = (ip("10.0.1.200"), from("10.0.1.10", false));
        assert_eq!(prefer(near, far), Ordering::Equal);
        let nowhere = (ip("2001:db8::1"), None);
        assert_eq!(prefer(nowhere, nowhere), Ordering::Equal);
    }
}
