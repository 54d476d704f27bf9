//! The routing table: longest prefix first, then the older route (RFC 1122 3.3.1, RFC 1812 5.2.4.3).
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::NetError;
use crate::Instant;
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

impl Route {
    /// To what is on this port's cable.
    pub fn to(prefix: IpAddr, len: u8, port: PortId) -> Self {
        Self {
            prefix,
            len,
            via: None,
            port,
        }
    }
    /// Whether the table cannot tell them apart: bits beyond the prefix do not count.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let of = |route: &Self| {
            (
                network(route.prefix, route.len),
                route.len,
                route.via,
                route.port,
            )
        };
        of(self) == of(other)
    }
}

/// Where a route came from (ip-route(8): proto).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrigin {
    /// It is the on-link prefix of an address, or one that a router told.
    Address,
    /// A router said that it is one.
    Router,
    /// Somebody gave it.
    Manual,
}

/// A route, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRow {
    /// The route, without zones.
    pub route: Route,
    /// Where it came from.
    pub origin: RouteOrigin,
    /// When it goes; `None`: never.
    pub until: Option<Instant>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Out of this port.
    pub port: PortId,
    /// The next router; `None`: on-link.
    pub via: Option<IpAddr>,
}

/// The routes of both families.
#[derive(Default)]
pub struct RouteTable {
    v4: Levels,
    v6: Levels,
}

/// One ordered map a prefix length, longest first: a lookup asks the lengths that are in use and never scans.
#[derive(Default)]
struct Levels(Vec<(u8, BTreeMap<u128, Vec<Hop>>)>);

impl RouteTable {
    /// Adds a route; bits beyond the prefix are cleared. A route that is there already stays once.
    /// `Family` if the router is of another family, `ParameterProblem` for a length that the family does not have.
    pub fn add(&mut self, route: Route) -> Result<(), NetError> {
        let Route {
            prefix,
            len,
            via,
            port,
        } = route;
        if via.is_some_and(|via| via.is_ipv4() != prefix.is_ipv4()) {
            return Err(NetError::Family);
        }
        if len > width(prefix) {
            return Err(NetError::ParameterProblem);
        }
        let hops = self
            .levels_mut(prefix)
            .level(len)
            .entry(network(prefix, len));
        let (hops, hop) = (hops.or_default(), Hop { port, via });
        if !hops.contains(&hop) {
            hops.push(hop);
        }
        Ok(())
    }
    /// Removes a route; `false` if it was not there.
    pub fn remove(&mut self, route: Route) -> bool {
        let Route {
            prefix,
            len,
            via,
            port,
        } = route;
        let levels = self.levels_mut(prefix);
        let Some((_, level)) = levels.0.iter_mut().find(|(l, _)| *l == len) else {
            return false;
        };
        let key = network(prefix, len);
        let Some(hops) = level.get_mut(&key) else {
            return false;
        };
        let before = hops.len();
        hops.retain(|hop| *hop != Hop { port, via });
        let removed = hops.len() < before;
        if hops.is_empty() {
            level.remove(&key);
        }
        levels.0.retain(|(_, level)| !level.is_empty());
        removed
    }
    /// The best route to an address, of those that leave by this port if one is given.
    pub fn lookup(&self, dst: IpAddr, by: Option<PortId>) -> Option<Hop> {
        let levels = match dst {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        levels.0.iter().find_map(|(len, level)| {
            let mut hops = level.get(&network(dst, *len))?.iter();
            let found = hops.find(|hop| by.is_none_or(|port| port == hop.port));
            found.copied()
        })
    }
    /// Every route, IPv4 before IPv6: shortest prefix first (the default leads, as `netstat -rn` and `ip route` have it),
    /// then by address.
    pub fn rows(&self) -> Vec<Route> {
        let (v4, v6) = (self.v4.rows(v4_of), self.v6.rows(v6_of));
        v4.chain(v6).collect()
    }
    fn levels_mut(&mut self, prefix: IpAddr) -> &mut Levels {
        match prefix {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}

impl Levels {
    fn level(&mut self, len: u8) -> &mut BTreeMap<u128, Vec<Hop>> {
        let index = self.0.partition_point(|(l, _)| *l > len);
        if self.0.get(index).is_none_or(|(l, _)| *l != len) {
            self.0.insert(index, (len, BTreeMap::new()));
        }
        let (_, level) = &mut self.0[index];
        level
    }
    fn rows(&self, address: fn(u128) -> IpAddr) -> impl Iterator<Item = Route> {
        let prefixes = self.0.iter().rev().flat_map(|(len, level)| {
            let prefixes = level.iter();
            prefixes.map(move |(prefix, hops)| (*len, *prefix, hops))
        });
        prefixes.flat_map(move |(len, prefix, hops)| {
            hops.iter().map(move |hop| Route {
                prefix: address(prefix),
                len,
                via: hop.via,
                port: hop.port,
            })
        })
    }
}

/// How many bits an address of this family has.
pub(super) fn width(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
/// The network part of an address, in the highest bits.
pub(super) fn network(ip: IpAddr, len: u8) -> u128 {
    let (bits, len) = match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, len.min(32)),
        IpAddr::V6(v6) => (v6.to_bits(), len.min(128)),
    };
    bits & u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}
fn v4_of(bits: u128) -> IpAddr {
    Ipv4Addr::from_bits((bits >> 96) as u32).into()
}
fn v6_of(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(bits: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    }
    /// The same bits in front of an IPv6 address: its prefixes nest in the same way.
    fn ip6(bits: u32) -> IpAddr {
        v6_of(u128::from(bits) << 96)
    }

    /// The definition: of the routes whose prefix holds the address the longest, then the oldest.
    fn slow_lookup(routes: &[Route], dst: u32, by: Option<PortId>) -> Option<PortId> {
        let holds = |route: &&Route| {
            if by.is_some_and(|port| port != route.port) {
                return false;
            }
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
            asked in prop::collection::vec((0u32..64, prop::option::of(1u16..8)), 1..40),
        ) {
            let spread = |n: u32| (n & 0x38) << 26 | n & 7;
            let mut table = RouteTable::default();
            let mut list = Vec::new();
            for (number, (prefix, len)) in (1u16..8).cycle().zip(entries) {
                let route = Route {
                    prefix: ip(spread(prefix)),
                    len,
                    via: None,
                    port: PortId(number),
                };
                table.add(route).unwrap();
                table.add(Route { prefix: ip6(spread(prefix)), ..route }).unwrap();
                list.push(route);
            }
            for (dst, by) in asked {
                let (dst, by) = (spread(dst), by.map(PortId));
                let found = table.lookup(ip(dst), by).map(|hop| hop.port);
                prop_assert_eq!(found, slow_lookup(&list, dst, by));
                let found = table.lookup(ip6(dst), by).map(|hop| hop.port);
                prop_assert_eq!(found, slow_lookup(&list, dst, by));
            }
        }
    }

    #[test]
    fn the_table_lists_the_default_first_and_a_repeated_route_once() {
        let mut table = RouteTable::default();
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
        assert!(table.remove(default) && !table.remove(default));
        assert_eq!(table.rows(), [masked]);
    }

    #[test]
    fn a_router_of_the_other_family_and_impossible_lengths_are_refused() {
        let mut table = RouteTable::default();
        let route = |prefix: &str, len| Route {
            prefix: prefix.parse().unwrap(),
            len,
            via: None,
            port: PortId(1),
        };
        let mixed = Route {
            via: Some("10.0.0.1".parse().unwrap()),
            ..route("::", 0)
        };
        assert_eq!(table.add(mixed), Err(NetError::Family));
        for (prefix, len) in [("10.0.0.0", 33), ("fd00::", 129)] {
            let refused = table.add(route(prefix, len));
            assert_eq!(refused, Err(NetError::ParameterProblem), "{prefix}");
        }
    }
}
