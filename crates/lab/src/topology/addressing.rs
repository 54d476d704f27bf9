//! Addresses: every complaint about them, and those of routers that the file leaves out.
//!
//! A router's port takes, in each subnet of its segment, a gateway address that a host names and nobody has, else the highest free one.
//! Segments of routers only get subnets out of 172.31.0.0/16, in order of names.
use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::NodeKind;
use super::document::{Result, Source};
use super::links::LinkDraft;
use super::nodes::NodeDraft;
use super::segments::{End, Segment, segments};

/// Addresses of every node by port.
pub(super) type Addresses = BTreeMap<String, BTreeMap<String, Vec<(IpAddr, u8)>>>;

/// A network: first address and prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subnet {
    first: u32,
    pub(crate) len: u8,
}
impl Subnet {
    /// The network of an address.
    pub(crate) fn of(address: Ipv4Addr, len: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
        Self {
            first: address.to_bits() & mask,
            len,
        }
    }
    /// Its first address, which names it.
    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first)
    }
    fn last(self) -> u32 {
        self.first | u32::MAX.checked_shr(self.len.into()).unwrap_or(0)
    }
    /// Whether an address is in it.
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last()).contains(&address.to_bits())
    }
    /// The addresses that a host can have: all but the first and last, where there are more than two (RFC 3021).
    fn hosts(self) -> core::ops::RangeInclusive<u32> {
        if self.len >= 31 {
            self.first..=self.last()
        } else {
            self.first + 1..=self.last() - 1
        }
    }
}
impl core::fmt::Display for Subnet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.address(), self.len)
    }
}

/// Checks everything about addresses, then returns all of them.
pub(super) fn addresses(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    links: &[LinkDraft],
) -> Result<Addresses> {
    let cables: Vec<_> = links.iter().map(|draft| draft.link.clone()).collect();
    let kind = |name: &str| nodes.get(name).map_or(NodeKind::Host, |node| node.kind);
    let segments = segments(kind, &cables).map_err(|index| {
        let span = links.get(index).map_or(0..0, |l| l.end_spans[1].clone());
        source
            .error(span, "this link closes a loop of switches")
            .help("frames would circle for ever: remove a link, or use routers")
    })?;
    let (segments, open) = inside(source, nodes, segments)?;
    check_ports(source, nodes, &segments)?;
    let mut plan = Plan::of_file(source, nodes)?;
    check_subnets(source, nodes, &segments)?;
    let mut uplinks = Vec::new();
    for segment in &segments {
        let missing: Vec<_> = segment.iter().filter(|end| !plan.has(end)).collect();
        let subnets = plan.subnets(segment);
        if missing.is_empty() {
            continue;
        } else if subnets.is_empty() {
            uplinks.push(missing);
        } else {
            let named = gateways(nodes, segment);
            for end in missing {
                for &subnet in &subnets {
                    let free = plan.free(subnet, &named).ok_or_else(|| {
                        let span = nodes.get(&end.0).map_or(0..0, |node| node.span.clone());
                        source.error(
                            span,
                            format!("no address of {subnet} is free for `{}:{}`", end.0, end.1),
                        )
                    })?;
                    plan.give(end, free, subnet.len);
                }
            }
        }
    }
    for routers in uplinks {
        plan.give_uplink(&routers).ok_or_else(|| {
            source
                .error(0..0, "172.31.0.0/16 is used up between routers")
                .help("give some routers an `address`")
        })?;
    }
    check_gateways(source, nodes, &plan, &open)?;
    Ok(plan.addresses)
}

/// The segments without the ends that are outside of the lab, and the ports that hear such an end: who is there is not known.
/// A TUN needs one of ours: it has no addresses of its own to find others by.
fn inside(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    segments: Vec<Segment>,
) -> Result<(Vec<Segment>, BTreeSet<End>)> {
    let is_tun = |name: &str| nodes.get(name).is_some_and(|n| n.kind == NodeKind::Tun);
    let is_outside = |(name, _): &End| nodes.get(name).is_some_and(|node| node.kind.is_outside());
    let mut open = BTreeSet::new();
    let mut inside = Vec::new();
    for mut segment in segments {
        let all = segment.len();
        let tun = segment.iter().find(|(name, _)| is_tun(name)).cloned();
        segment.retain(|end| !is_outside(end));
        if let (Some((tun, _)), true) = (tun, segment.is_empty()) {
            let span = nodes.get(&tun).map_or(0..0, |node| node.span.clone());
            let message = format!("no host or router hears `{tun}`");
            return Err(source
                .error(span, message)
                .help("a TUN carries packets without Ethernet: between two interfaces use TAPs"));
        }
        if segment.len() < all {
            open.extend(segment.iter().cloned());
        }
        if !segment.is_empty() {
            inside.push(segment);
        }
    }
    Ok((inside, open))
}

/// Every address needs a cable, every cabled port of a host an address.
fn check_ports(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    segments: &[Segment],
) -> Result<()> {
    let cabled: BTreeSet<&End> = segments.iter().flatten().collect();
    for (name, node) in nodes {
        for placed in &node.addresses {
            if !cabled.contains(&(name.clone(), placed.port.clone())) {
                let message = format!("no link ends at `{name}:{}`", placed.port);
                let ports: Vec<_> = cabled
                    .iter()
                    .filter(|(node, _)| node == name)
                    .map(|(_, port)| port.as_str())
                    .collect();
                let help = if ports.is_empty() {
                    format!(
                        "add [[links]] with \"{name}:{}\" in `endpoints`",
                        placed.port
                    )
                } else {
                    format!("ports of {name}: {}", ports.join(", "))
                };
                return Err(source.error(placed.span.clone(), message).help(help));
            }
        }
    }
    for (name, port) in cabled {
        let Some(node) = nodes.get(name) else {
            continue;
        };
        if node.kind == NodeKind::Host && !node.addresses.iter().any(|p| p.port == *port) {
            let key = match port.as_str() {
                "eth0" => "address".to_owned(),
                _ => format!("[nodes.{name}.ports.{port}] address"),
            };
            return Err(source
                .error(node.span.clone(), format!("`{name}:{port}` has no address"))
                .help(format!("{key} = \"10.0.1.10/24\"")));
        }
    }
    Ok(())
}

/// No two segments share addresses: nobody could tell where to send.
fn check_subnets(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    segments: &[Segment],
) -> Result<()> {
    let segment_of: BTreeMap<&End, usize> = segments
        .iter()
        .enumerate()
        .flat_map(|(number, ends)| ends.iter().map(move |end| (end, number)))
        .collect();
    let mut all: Vec<(Subnet, usize, Range<usize>, &str)> = Vec::new();
    for (name, node) in nodes {
        for placed in &node.addresses {
            let end = (name.clone(), placed.port.clone());
            if let (IpAddr::V4(v4), Some(&segment)) = (placed.address, segment_of.get(&end)) {
                all.push((
                    Subnet::of(v4, placed.len),
                    segment,
                    placed.span.clone(),
                    name,
                ));
            }
        }
    }
    all.sort_by_key(|(subnet, segment, span, _)| (*subnet, *segment, span.start));
    let mut widest: Option<&(Subnet, usize, Range<usize>, &str)> = None;
    for entry in &all {
        if let Some(before) = widest
            && before.1 != entry.1
            && before.0.last() >= entry.0.first
        {
            let (first, second) = if before.2.start < entry.2.start {
                (before, entry)
            } else {
                (entry, before)
            };
            let message = format!("{} is on two separate cables", second.0);
            let help = format!(
                "`{}` is elsewhere, in {}: give each its own network, or join them by a switch",
                first.3, first.0
            );
            return Err(source.error(second.2.clone(), message).help(help));
        }
        if widest.is_none_or(|before| before.0.last() <= entry.0.last()) {
            widest = Some(entry);
        }
    }
    Ok(())
}

/// A gateway is a neighbour that exists.
fn check_gateways(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    plan: &Plan,
    open: &BTreeSet<End>,
) -> Result<()> {
    for (name, node) in nodes {
        let Some((IpAddr::V4(gateway), span)) = &node.gateway else {
            continue;
        };
        let networks: Vec<Subnet> = plan.networks(name).collect();
        if !networks.iter().any(|subnet| subnet.contains(*gateway)) {
            let list: Vec<_> = networks.iter().map(Subnet::to_string).collect();
            return Err(source
                .error(
                    span.clone(),
                    format!("the gateway {gateway} is not on a network of `{name}`"),
                )
                .help(format!("networks of {name}: {}", list.join(", "))));
        }
        match plan.owners.get(gateway) {
            Some((owner, _)) if owner == name => {
                let message = format!("`{name}` is its own gateway");
                return Err(source.error(span.clone(), message));
            }
            Some(_) => {}
            None if plan.reaches_outside(name, *gateway, open) => {}
            None => {
                let message = format!("nobody has the gateway's address {gateway}");
                return Err(source
                    .error(span.clone(), message)
                    .help(format!("connect a router to the cable of `{name}`")));
            }
        }
    }
    Ok(())
}

/// The gateways that hosts of this segment name, in order of hosts.
fn gateways(nodes: &BTreeMap<String, NodeDraft>, segment: &Segment) -> Vec<Ipv4Addr> {
    let gateway = |(name, _): &End| match nodes.get(name)?.gateway {
        Some((IpAddr::V4(gateway), _)) => Some(gateway),
        _ => None,
    };
    segment.iter().filter_map(gateway).collect()
}

/// Who has which address so far.
struct Plan {
    addresses: Addresses,
    owners: BTreeMap<Ipv4Addr, End>,
    /// Where the next subnet between routers is looked for.
    next_uplink: u32,
}
impl Plan {
    /// The addresses of the file; two of one are refused.
    fn of_file(source: Source<'_>, nodes: &BTreeMap<String, NodeDraft>) -> Result<Self> {
        let mut plan = Self {
            addresses: Addresses::new(),
            owners: BTreeMap::new(),
            next_uplink: Ipv4Addr::new(172, 31, 0, 0).to_bits(),
        };
        let mut placed: Vec<_> = nodes
            .iter()
            .flat_map(|(name, node)| node.addresses.iter().map(move |placed| (name, placed)))
            .collect();
        placed.sort_by_key(|(_, placed)| placed.span.start);
        for (name, placed) in placed {
            let IpAddr::V4(address) = placed.address else {
                continue;
            };
            if let Some((owner, port)) = plan.owners.get(&address) {
                let message = if owner == name {
                    format!("`{name}` has {address} twice")
                } else {
                    format!("two nodes of one address: {address}")
                };
                return Err(source
                    .error(placed.span.clone(), message)
                    .help(format!("`{owner}:{port}` has it already")));
            }
            plan.give(&(name.clone(), placed.port.clone()), address, placed.len);
        }
        Ok(plan)
    }
    fn give(&mut self, end: &End, address: Ipv4Addr, len: u8) {
        self.owners.insert(address, end.clone());
        let ports = self.addresses.entry(end.0.clone()).or_default();
        ports
            .entry(end.1.clone())
            .or_default()
            .push((address.into(), len));
    }
    fn has(&self, end: &End) -> bool {
        self.addresses
            .get(&end.0)
            .is_some_and(|ports| ports.contains_key(&end.1))
    }
    fn networks(&self, node: &str) -> impl Iterator<Item = Subnet> {
        let addresses = self
            .addresses
            .get(node)
            .into_iter()
            .flat_map(|ports| ports.values().flatten());
        addresses.filter_map(subnet_of)
    }
    /// Whether the port of a node on this address's network hears machines outside of the lab.
    fn reaches_outside(&self, node: &str, address: Ipv4Addr, open: &BTreeSet<End>) -> bool {
        let mut ports = self.addresses.get(node).into_iter().flatten();
        ports.any(|(port, addresses)| {
            let mut networks = addresses.iter().filter_map(subnet_of);
            networks.any(|network| network.contains(address))
                && open.contains(&(node.to_owned(), port.clone()))
        })
    }
    fn subnets(&self, segment: &Segment) -> BTreeSet<Subnet> {
        let addresses =
            |(node, port): &End| self.addresses.get(node).and_then(|ports| ports.get(port));
        segment
            .iter()
            .filter_map(addresses)
            .flatten()
            .filter_map(subnet_of)
            .collect()
    }
    /// A named address that nobody has, else the highest free one.
    fn free(&self, subnet: Subnet, named: &[Ipv4Addr]) -> Option<Ipv4Addr> {
        let is_free =
            |address: &Ipv4Addr| subnet.contains(*address) && !self.owners.contains_key(address);
        let named = named.iter().copied().find(is_free);
        named.or_else(|| subnet.hosts().rev().map(Ipv4Addr::from_bits).find(is_free))
    }
    /// A subnet out of 172.31.0.0/16 for a segment of routers only.
    fn give_uplink(&mut self, routers: &[&End]) -> Option<()> {
        let needed = u32::try_from(routers.len())
            .ok()?
            .checked_add(2)?
            .max(4)
            .next_power_of_two();
        let len = u8::try_from(32 - needed.trailing_zeros()).ok()?;
        let end = Ipv4Addr::new(172, 31, 255, 255).to_bits();
        let mut first = self.next_uplink.next_multiple_of(needed);
        loop {
            let last = first.checked_add(needed - 1).filter(|&last| last <= end)?;
            let subnet = Subnet { first, len };
            let mut used = self.owners.iter().filter_map(|(address, end)| {
                let len = self
                    .addresses
                    .get(&end.0)?
                    .get(&end.1)?
                    .iter()
                    .find(|(a, _)| a == address)?
                    .1;
                Some(Subnet::of(*address, len))
            });
            // Blocks after the last one given are only taken by addresses of the file.
            if !used.any(|other| other.first <= last && other.last() >= first) {
                self.next_uplink = last.saturating_add(1);
                for (router, address) in routers.iter().zip(subnet.hosts()) {
                    self.give(router, Ipv4Addr::from_bits(address), len);
                }
                return Some(());
            }
            first = first.checked_add(needed)?;
        }
    }
}

fn subnet_of(&(address, len): &(IpAddr, u8)) -> Option<Subnet> {
    match address {
        IpAddr::V4(v4) => Some(Subnet::of(v4, len)),
        IpAddr::V6(_) => None,
    }
}
