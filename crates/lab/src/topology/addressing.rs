//! Addresses: every complaint about them, and those of routers that the file leaves out.
//!
//! A router's port takes, in each subnet of its segment, a gateway address that a host names and nobody has; else of IPv4 the
//! highest free one, of IPv6 the lowest. Segments of routers only get subnets out of 172.31.0.0/16 and fd00:ac1f::/32, in order
//! of names, of the families that the lab has addresses of.
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use heptad_stack::Family;

use super::NodeKind;
use super::document::{Result, Source};
use super::gateways::{Finder, Gateway};
use super::links::LinkDraft;
use super::nodes::{Given, NodeDraft};
use super::plan::{Addresses, Plan};
use super::segments::{End, Segment, segments};
use super::subnet::{Subnet, is_link_local};

/// The addresses of all nodes, and their default gateways.
pub(super) struct Addressing {
    pub addresses: Addresses,
    pub gateways: BTreeMap<String, Vec<Gateway>>,
}

/// Checks everything about addresses, then returns all of them.
pub(super) fn read(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    links: &[LinkDraft],
) -> Result<Addressing> {
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
    let mut plan = Plan::of_file(source, nodes, &segments)?;
    check_subnets(source, nodes, &segments)?;
    for family in families(nodes) {
        place_routers(source, nodes, family, &mut plan)?;
    }
    check_automatic(source, nodes, &plan, &open)?;
    let finder = Finder {
        source,
        nodes,
        open: &open,
    };
    let gateways = finder.find(&mut plan)?;
    Ok(Addressing {
        addresses: plan.addresses,
        gateways,
    })
}

/// The families that the file has addresses of; a file without any speaks IPv4.
fn families(nodes: &BTreeMap<String, NodeDraft>) -> Vec<Family> {
    let placed = || nodes.values().flat_map(|node| &node.addresses);
    let family = |given: Given| match given {
        Given::Address(address, _) => Family::from(address),
        Given::Auto => Family::V6,
    };
    let has = |wanted| placed().any(|placed| family(placed.given) == wanted);
    match (has(Family::V4), has(Family::V6)) {
        (_, false) => vec![Family::V4],
        (false, true) => vec![Family::V6],
        (true, true) => vec![Family::V4, Family::V6],
    }
}

/// Gives the ports of routers the addresses of a family that the file leaves out.
fn place_routers(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    family: Family,
    plan: &mut Plan<'_>,
) -> Result<()> {
    let is_router = |end: &&End| {
        nodes
            .get(&end.0)
            .is_some_and(|n| n.kind == NodeKind::Router)
    };
    let has = |plan: &Plan<'_>, end: &End| plan.networks_at(end).any(|n| n.family() == family);
    let mut uplinks = Vec::new();
    for segment in plan.segments {
        let routers: Vec<_> = segment.iter().filter(is_router).collect();
        let lacking: Vec<_> = routers
            .iter()
            .copied()
            .filter(|end| !has(plan, end))
            .collect();
        let subnets = plan.subnets(segment, family);
        if !subnets.is_empty() {
            place(source, nodes, &lacking, (segment, &subnets), plan)?;
        } else if routers.len() == segment.len() {
            uplinks.push(lacking);
        }
    }
    for routers in uplinks {
        plan.give_uplink(&routers, family).ok_or_else(|| {
            let all = match family {
                Family::V4 => "172.31.0.0/16",
                Family::V6 => "fd00:ac1f::/32",
            };
            source
                .error(0..0, format!("{all} is used up between routers"))
                .help("give some routers an `address`")
        })?;
    }
    Ok(())
}

/// An address in each of these subnets for each of these ports.
fn place(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    lacking: &[&End],
    (segment, subnets): (&Segment, &BTreeSet<Subnet>),
    plan: &mut Plan<'_>,
) -> Result<()> {
    let hosts = segment.iter().filter_map(|(name, _)| nodes.get(name));
    let named: Vec<IpAddr> = hosts
        .flat_map(|node| node.gateways.iter().map(|(address, _)| *address))
        .collect();
    for end in lacking {
        for subnet in subnets {
            let free = plan.free(*subnet, &named).ok_or_else(|| {
                let span = nodes.get(&end.0).map_or(0..0, |node| node.span.clone());
                let message = format!("no address of {subnet} is free for `{}:{}`", end.0, end.1);
                source.error(span, message)
            })?;
            plan.give(end, free, subnet.len);
        }
    }
    Ok(())
}

/// Who takes an address from a router has one on the cable that tells a prefix of 64 bits (RFC 4862 5.5.3). Of machines outside
/// nobody knows what they tell.
fn check_automatic(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    plan: &Plan<'_>,
    open: &BTreeSet<End>,
) -> Result<()> {
    for (name, node) in nodes {
        for placed in node.automatic() {
            let end = (name.clone(), placed.port.clone());
            let segment = plan.segment(&end).into_iter().flatten();
            let is_router =
                |end: &&End| nodes.get(&end.0).map(|n| n.kind) == Some(NodeKind::Router);
            let mut routers = segment.filter(is_router).peekable();
            let has_router = routers.peek().is_some();
            let mut told = routers.flat_map(|router| plan.networks_at(router));
            if open.contains(&end) || told.any(|n| n.family() == Family::V6 && n.len == 64) {
                continue;
            }
            let message = format!(
                "no router tells `{name}:{}` an IPv6 prefix of 64 bits",
                placed.port
            );
            let help = match has_router {
                true => "give the router's port on this cable an address such as \"fd00:1::1/64\"",
                false => {
                    "\"auto\" needs a router on the same cable: connect one, with an address such as \"fd00:1::1/64\""
                }
            };
            return Err(source.error(placed.span.clone(), message).help(help));
        }
    }
    Ok(())
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
        let is_host = matches!(node.kind, NodeKind::Host | NodeKind::Kernel);
        if is_host && !node.addresses.iter().any(|p| p.port == *port) {
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
            if let (Given::Address(address, len), Some(&segment)) =
                (placed.given, segment_of.get(&end))
                && !is_link_local(address)
            {
                let subnet = Subnet::of(address, len);
                all.push((subnet, segment, placed.span.clone(), name));
            }
        }
    }
    all.sort_by_key(|(subnet, segment, span, _)| (*subnet, *segment, span.start));
    let mut widest: Option<&(Subnet, usize, Range<usize>, &str)> = None;
    for entry in &all {
        if let Some(before) = widest
            && before.1 != entry.1
            && before.0.overlaps(entry.0)
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
