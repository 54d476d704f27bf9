//! Networks of either family.
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_stack::Family;

/// A network: first address and prefix length. Those of IPv4 come before those of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subnet {
    first: IpAddr,
    pub(crate) len: u8,
}
impl Subnet {
    /// The network of an address.
    pub(crate) fn of(address: IpAddr, len: u8) -> Self {
        let network = bits(address) & !host_bits(address, len);
        Self {
            first: with_bits(address, network),
            len,
        }
    }
    /// All of a family.
    pub(crate) fn everything(family: Family) -> Self {
        Self::of(family.any(), 0)
    }
    /// Its first address, which names it.
    pub(crate) fn address(self) -> IpAddr {
        self.first
    }
    /// Its family.
    pub(crate) fn family(self) -> Family {
        self.first.into()
    }
    /// Its last address.
    pub(super) fn last(self) -> IpAddr {
        let host = host_bits(self.first, self.len);
        with_bits(self.first, bits(self.first) | host)
    }
    /// Whether an address is in it.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        (self.first..=self.last()).contains(&address)
    }
    /// Whether two have addresses in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }
    /// The addresses that a host can have. Without the first, which is the network's own or that of all its routers (RFC
    /// 4291 2.6.1), and without the last of IPv4, where there are more than two (RFC 3021, RFC 6164).
    pub(super) fn hosts(self) -> impl DoubleEndedIterator<Item = IpAddr> {
        let (first, last) = (bits(self.first), bits(self.last()));
        let all = match self.family() {
            _ if last - first < 2 => first..=last,
            Family::V4 => first + 1..=last - 1,
            Family::V6 => first + 1..=last,
        };
        all.map(move |bits| with_bits(self.first, bits))
    }
}
impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.len)
    }
}

/// Whether it means somebody on one cable only (RFC 4291 2.5.6).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// An address as a number.
pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}
/// The address of this number, of the same family as another.
pub(super) fn with_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}
/// Ones where an address of this prefix length tells hosts apart.
pub(super) fn host_bits(address: IpAddr, len: u8) -> u128 {
    let (all, width) = match address {
        IpAddr::V4(_) => (u128::from(u32::MAX), 32),
        IpAddr::V6(_) => (u128::MAX, 128),
    };
    let moved = u32::from(len) + 128 - width;
    u128::MAX.checked_shr(moved).unwrap_or(0) & all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
    fn subnet(text: &str) -> Subnet {
        let (address, len) = text.split_once('/').unwrap();
        Subnet::of(ip(address), len.parse().unwrap())
    }

    #[test]
    fn a_network_has_a_first_and_a_last_address_and_hosts_between() {
        // Any address of it, the network, its last address, the first and the last that a host can have.
        let table = [
            (
                "10.0.1.10/24",
                "10.0.1.0/24",
                "10.0.1.255",
                "10.0.1.1",
                "10.0.1.254",
            ),
            (
                "10.0.1.10/31",
                "10.0.1.10/31",
                "10.0.1.11",
                "10.0.1.10",
                "10.0.1.11",
            ),
            (
                "10.0.1.10/32",
                "10.0.1.10/32",
                "10.0.1.10",
                "10.0.1.10",
                "10.0.1.10",
            ),
            (
                "1.2.3.4/0",
                "0.0.0.0/0",
                "255.255.255.255",
                "0.0.0.1",
                "255.255.255.254",
            ),
            (
                "fd00:1::a/64",
                "fd00:1::/64",
                "fd00:1::ffff:ffff:ffff:ffff",
                "fd00:1::1",
                "fd00:1::ffff:ffff:ffff:ffff",
            ),
            (
                "fd00:1::a/127",
                "fd00:1::a/127",
                "fd00:1::b",
                "fd00:1::a",
                "fd00:1::b",
            ),
            (
                "fd00:1::a/128",
                "fd00:1::a/128",
                "fd00:1::a",
                "fd00:1::a",
                "fd00:1::a",
            ),
            (
                "fd00::/0",
                "::/0",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "::1",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
        ];
        for (any, network, last, low, high) in table {
            let found = subnet(any);
            assert_eq!(
                (found.to_string().as_str(), found.last()),
                (network, ip(last))
            );
            let mut hosts = found.hosts();
            assert_eq!(hosts.next(), Some(ip(low)), "{any}");
            assert_eq!(found.hosts().next_back(), Some(ip(high)), "{any}");
        }
    }

    #[test]
    fn networks_of_the_two_families_have_nothing_in_common() {
        let (four, six) = (subnet("0.0.0.0/0"), subnet("::/0"));
        assert!(!four.overlaps(six) && !six.overlaps(four) && four < six);
        assert!(four.contains(ip("10.0.0.1")) && !four.contains(ip("fd00::1")));
        assert!(six.contains(ip("fd00::1")) && !six.contains(ip("10.0.0.1")));
        assert!(subnet("fd00:1::/48").overlaps(subnet("fd00:1:0:7::/64")));
        assert!(!subnet("fd00:1::/64").overlaps(subnet("fd00:1:0:7::/64")));
    }
}
