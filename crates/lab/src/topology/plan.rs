//! Who has which address so far, and the addresses that routers are given.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};

use heptad_stack::Family;

use super::document::{Result, Source};
use super::nodes::{Given, NodeDraft};
use super::segments::{End, Segment};
use super::subnet::{Subnet, bits, is_link_local, with_bits};

/// Addresses of every node by port.
pub(super) type Addresses = BTreeMap<String, BTreeMap<String, Vec<(IpAddr, u8)>>>;

/// Segments of routers only have their subnets from here.
const UPLINKS: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 31, 0, 0), 16);
/// The same of IPv6: fd00:ac1f:N::/64, N from 1.
const UPLINKS_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 0xac1f, 0, 0, 0, 0, 0, 0), 32);
const UPLINK_V6_STEP: u128 = 1 << 80;

/// Who has which address so far.
pub(super) struct Plan<'a> {
    pub(super) segments: &'a [Segment],
    pub(super) addresses: Addresses,
    /// A link-local address belongs to somebody on each segment.
    owners: BTreeMap<(Option<usize>, IpAddr), End>,
    /// Where the next subnet between routers is looked for, by family.
    next_uplink: BTreeMap<Family, u128>,
}
impl<'a> Plan<'a> {
    /// The addresses of the file; two of one are refused, unless one of the nodes finds out by itself.
    pub(super) fn of_file(
        source: Source<'_>,
        nodes: &BTreeMap<String, NodeDraft>,
        segments: &'a [Segment],
    ) -> Result<Self> {
        let mut plan = Self {
            segments,
            addresses: Addresses::new(),
            owners: BTreeMap::new(),
            next_uplink: BTreeMap::from([
                (Family::V4, bits(UPLINKS.0.into())),
                (Family::V6, bits(UPLINKS_V6.0.into()) + UPLINK_V6_STEP),
            ]),
        };
        let mut placed: Vec<_> = nodes
            .iter()
            .flat_map(|(name, node)| node.addresses.iter().map(move |placed| (name, placed)))
            .collect();
        placed.sort_by_key(|(_, placed)| placed.span.start);
        for (name, placed) in placed {
            let Given::Address(address, len) = placed.given else {
                continue;
            };
            let end = (name.clone(), placed.port.clone());
            let detects = |node: &str| nodes.get(node).is_some_and(|n| n.conflict_detection);
            let owner = plan.owner(&end, address).filter(|(owner, _)| {
                let own = owner == name || address.is_ipv6();
                own || !(detects(owner) || detects(name))
            });
            if let Some((owner, port)) = owner {
                let message = if owner == name {
                    format!("`{name}` has {address} twice")
                } else {
                    format!("two nodes of one address: {address}")
                };
                let help = match address.is_ipv4() && owner != name {
                    true => "; with `conflict_detection = true` a node may find out by itself",
                    false => "",
                };
                return Err(source
                    .error(placed.span.clone(), message)
                    .help(format!("`{owner}:{port}` has it already{help}")));
            }
            plan.give(&end, address, len);
        }
        Ok(plan)
    }
    /// An end has an address from now on.
    pub(super) fn give(&mut self, end: &End, address: IpAddr, len: u8) {
        let key = (self.zone(end, address), address);
        self.owners.entry(key).or_insert_with(|| end.clone());
        let ports = self.addresses.entry(end.0.clone()).or_default();
        let list = ports.entry(end.1.clone()).or_default();
        list.push((address, len));
    }
    /// Who has an address, as this end sees it.
    pub(super) fn owner(&self, end: &End, address: IpAddr) -> Option<&End> {
        self.owners.get(&(self.zone(end, address), address))
    }
    /// The segment of an end.
    pub(super) fn segment(&self, end: &End) -> Option<&'a Segment> {
        self.segments.get(self.segment_number(end)?)
    }
    /// The addresses of a node with their ports, but for those that mean something on one cable only.
    pub(super) fn networks(&self, node: &str) -> impl Iterator<Item = (&String, Subnet)> {
        let ports = self.addresses.get(node).into_iter().flatten();
        ports.flat_map(|(port, list)| subnets_of(list).map(move |subnet| (port, subnet)))
    }
    /// The networks of a family on a segment.
    pub(super) fn subnets(&self, segment: &Segment, family: Family) -> BTreeSet<Subnet> {
        let all = segment.iter().flat_map(|end| self.networks_at(end));
        all.filter(|subnet| subnet.family() == family).collect()
    }
    /// The networks of one end.
    pub(super) fn networks_at(&self, (node, port): &End) -> impl Iterator<Item = Subnet> {
        let list = self.addresses.get(node).and_then(|ports| ports.get(port));
        list.into_iter().flat_map(|list| subnets_of(list))
    }
    /// A named address that nobody has; else of IPv4 the highest free one, of IPv6 the lowest.
    pub(super) fn free(&self, subnet: Subnet, named: &[IpAddr]) -> Option<IpAddr> {
        let is_free = |address: &IpAddr| {
            subnet.contains(*address) && !self.owners.contains_key(&(None, *address))
        };
        let named = named.iter().copied().find(is_free);
        named.or_else(|| match subnet.family() {
            Family::V4 => subnet.hosts().rev().find(is_free),
            Family::V6 => subnet.hosts().find(is_free),
        })
    }
    /// A subnet of its own for a segment of routers only; `None`: they are used up.
    pub(super) fn give_uplink(&mut self, routers: &[&End], family: Family) -> Option<()> {
        let (all, len, step) = match family {
            Family::V4 => {
                let needed = routers.len().checked_add(2)?.max(4).next_power_of_two();
                let len = 32_u32.checked_sub(needed.trailing_zeros())?;
                let all = Subnet::of(UPLINKS.0.into(), UPLINKS.1);
                (all, u8::try_from(len).ok()?, needed as u128)
            }
            Family::V6 => {
                let all = Subnet::of(UPLINKS_V6.0.into(), UPLINKS_V6.1);
                (all, 64, UPLINK_V6_STEP)
            }
        };
        let mut first = self.next_uplink.get(&family)?.next_multiple_of(step);
        // Blocks after the last one given are only taken by addresses of the file.
        let subnet = loop {
            let subnet = Subnet::of(with_bits(all.address(), first), len);
            if subnet.last() > all.last() {
                return None;
            }
            if !self.is_used(subnet) {
                break subnet;
            }
            first += step;
        };
        self.next_uplink.insert(family, first + step);
        for (router, address) in routers.iter().zip(subnet.hosts()) {
            self.give(router, address, len);
        }
        Some(())
    }

    fn is_used(&self, subnet: Subnet) -> bool {
        let lists = self.addresses.values().flat_map(BTreeMap::values);
        let mut used = lists.flat_map(|list| subnets_of(list));
        used.any(|other| other.overlaps(subnet))
    }
    /// Where an address of an end means what it means: `None`, everywhere.
    fn zone(&self, end: &End, address: IpAddr) -> Option<usize> {
        let number = || self.segment_number(end);
        is_link_local(address).then(number).flatten()
    }
    fn segment_number(&self, end: &End) -> Option<usize> {
        let mut segments = self.segments.iter();
        segments.position(|segment| segment.binary_search(end).is_ok())
    }
}

fn subnets_of(list: &[(IpAddr, u8)]) -> impl Iterator<Item = Subnet> {
    let global = list.iter().filter(|(address, _)| !is_link_local(*address));
    global.map(|(address, len)| Subnet::of(*address, *len))
}
