//! The routing table: longest prefix first, then the older route (RFC 1122 3.3.1, RFC 1812 5.2.4.3).
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::NetError;
use crate::l1_physical::PortId;

/// A route: packets to `prefix/len` leave by `port`, through `via` or directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Network address.
    pub prefix: IpAddr,
    /// Prefix length, bits.
    pub len: u8,
    /// The next router; `None`: on-link.
    pub via: Option<IpAddr>,
    /// Out of this port.
    pub port: PortId,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Out of this port.
    pub port: PortId,
    /// The next router; `None`: on-link.
    pub via: Option<Ipv4Addr>,
}

/// One ordered map a prefix length: a lookup asks the lengths that are in use, longest first, and never scans.
pub struct RouteTable {
    by_len: [BTreeMap<u32, Vec<Hop>>; 33],
    /// Bit n: some route has length n.
    in_use: u64,
}
impl RouteTable {
    /// No routes.
    pub fn new() -> Self {
        Self {
            by_len: core::array::from_fn(|_| BTreeMap::new()),
            in_use: 0,
        }
    }
    /// Adds a route; bits beyond the prefix are cleared. A route that is there already stays once.
    /// `Family` for IPv6, `ParameterProblem` for a length over 32.
    pub fn add(&mut self, route: Route) -> Result<(), NetError> {
        let prefix = v4(route.prefix)?;
        let via = route.via.map(v4).transpose()?;
        let level = self
            .by_len
            .get_mut(usize::from(route.len))
            .ok_or(NetError::ParameterProblem)?;
        let hops = level.entry(masked(prefix, route.len)).or_default();
        let hop = Hop {
            port: route.port,
            via,
        };
        if !hops.contains(&hop) {
            hops.push(hop);
        }
        self.in_use |= 1 << route.len;
        Ok(())
    }
    /// The best route to an address.
    pub fn lookup(&self, dst: Ipv4Addr) -> Option<Hop> {
        let mut lens = self.in_use;
        while lens != 0 {
            let len = 63 - lens.leading_zeros() as u8;
            let level = self.by_len.get(usize::from(len))?;
            if let Some(hop) = level.get(&masked(dst, len)).and_then(|hops| hops.first()) {
                return Some(*hop);
            }
            lens &= !(1 << len);
        }
        None
    }
    /// Every route: shortest prefix first (the default leads, as `netstat -rn` and `ip route` have it), then by address.
    pub fn rows(&self) -> Vec<Route> {
        let mut rows = Vec::new();
        for (len, level) in (0u8..).zip(&self.by_len) {
            for (prefix, hops) in level {
                rows.extend(hops.iter().map(|hop| Route {
                    prefix: IpAddr::V4(Ipv4Addr::from_bits(*prefix)),
                    len,
                    via: hop.via.map(IpAddr::V4),
                    port: hop.port,
                }));
            }
        }
        rows
    }
}

/// The network part of an address.
pub(super) fn masked(address: Ipv4Addr, len: u8) -> u32 {
    address.to_bits() & mask(len)
}
/// A netmask; lengths over 32 count as 32.
pub(super) fn mask(len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(len.min(32)))
        .unwrap_or(0)
}
/// The IPv4 address, or why not.
pub(super) fn v4(address: IpAddr) -> Result<Ipv4Addr, NetError> {
    match address {
        IpAddr::V4(v4) => Ok(v4),
        IpAddr::V6(_) => Err(NetError::Family),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(bits: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    }

    /// The definition: of the routes whose prefix holds the address the longest, then the oldest.
    fn slow_lookup(routes: &[Route], dst: u32) -> Option<PortId> {
        let holds = |route: &&Route| {
            let IpAddr::V4(prefix) = route.prefix else {
                return false;
            };
            let shift = 32 - u32::from(route.len);
            u64::from(prefix.to_bits()) >> shift == u64::from(dst) >> shift
        };
        let mut best: Option<&Route> = None;
        for route in routes.iter().filter(holds) {
            if best.is_none_or(|best| route.len > best.len) {
                best = Some(route);
            }
        }
        best.map(|route| route.port)
    }

    proptest! {
        #[test]
        fn a_lookup_finds_what_a_search_of_the_whole_list_finds(
            // Few bits differ, so that prefixes nest.
            entries in prop::collection::vec((0u32..64, 0u8..=32), 0..60),
            asked in prop::collection::vec(0u32..64, 1..40),
        ) {
            let spread = |n: u32| (n & 0x38) << 26 | n & 7;
            let mut table = RouteTable::new();
            let mut list = Vec::new();
            for (number, (prefix, len)) in (1u16..).zip(entries) {
                let route = Route {
                    prefix: ip(spread(prefix)),
                    len,
                    via: None,
                    port: PortId(number),
                };
                table.add(route).unwrap();
                list.push(route);
            }
            for dst in asked.into_iter().map(spread) {
                let found = table.lookup(Ipv4Addr::from_bits(dst)).map(|hop| hop.port);
                prop_assert_eq!(found, slow_lookup(&list, dst));
            }
        }
    }

    #[test]
    fn the_table_lists_the_default_first_and_a_repeated_route_once() {
        let mut table = RouteTable::new();
        let on_link = Route {
            prefix: "10.0.1.77".parse().unwrap(),
            len: 24,
            via: None,
            port: PortId(1),
        };
        let default = Route {
            prefix: "0.0.0.0".parse().unwrap(),
            len: 0,
            via: Some("10.0.1.1".parse().unwrap()),
            port: PortId(1),
        };
        for route in [on_link, default, on_link] {
            table.add(route).unwrap();
        }
        let masked = Route {
            prefix: "10.0.1.0".parse().unwrap(),
            ..on_link
        };
        assert_eq!(table.rows(), [default, masked]);
    }

    #[test]
    fn other_families_and_lengths_are_refused() {
        let mut table = RouteTable::new();
        let route = |prefix: &str, len| Route {
            prefix: prefix.parse().unwrap(),
            len,
            via: None,
            port: PortId(1),
        };
        assert_eq!(table.add(route("::", 0)), Err(NetError::Family));
        assert_eq!(
            table.add(route("10.0.0.0", 33)),
            Err(NetError::ParameterProblem)
        );
    }
}
