//! Routes computed from a topology: routers by the fewest hops, ties by name; hosts by their gateway.
use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::topology::{Node, NodeKind, Subnet, Topology};

/// A route that a node needs beside those to its own networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedRoute {
    pub subnet: Subnet,
    pub via: Ipv4Addr,
    pub port: String,
}

/// One port's address on a router.
struct Foot {
    router: String,
    port: String,
    address: Ipv4Addr,
}

/// The routes of every node, in order of names.
pub(crate) fn routes(topology: &Topology) -> BTreeMap<String, Vec<PlannedRoute>> {
    let mut feet: BTreeMap<Subnet, Vec<Foot>> = BTreeMap::new();
    let mut networks: BTreeSet<Subnet> = BTreeSet::new();
    for (name, node) in &topology.nodes {
        for (port, address, subnet) in addresses(node) {
            networks.insert(subnet);
            if node.kind == NodeKind::Router {
                feet.entry(subnet).or_default().push(Foot {
                    router: name.clone(),
                    port: port.to_owned(),
                    address,
                });
            }
        }
    }
    let mut routes = BTreeMap::new();
    for (name, node) in &topology.nodes {
        let mut own = match node.kind {
            NodeKind::Router => by_hops(name, topology, &feet, &networks),
            NodeKind::Host | NodeKind::Switch | NodeKind::Tap | NodeKind::Tun => Vec::new(),
        };
        own.extend(by_gateway(node));
        routes.insert(name.clone(), own);
    }
    routes
}

fn by_gateway(node: &Node) -> Option<PlannedRoute> {
    let Some(IpAddr::V4(via)) = node.gateway else {
        return None;
    };
    let (port, ..) = addresses(node).find(|(_, _, subnet)| subnet.contains(via))?;
    Some(PlannedRoute {
        subnet: Subnet::of(Ipv4Addr::UNSPECIFIED, 0),
        via,
        port: port.to_owned(),
    })
}

/// Breadth first from one router; neighbours in order of names.
fn by_hops(
    from: &str,
    topology: &Topology,
    feet: &BTreeMap<Subnet, Vec<Foot>>,
    networks: &BTreeSet<Subnet>,
) -> Vec<PlannedRoute> {
    let own = |router: &str| topology.nodes.get(router).into_iter().flat_map(addresses);
    let connected: BTreeSet<Subnet> = own(from).map(|(_, _, subnet)| subnet).collect();
    let mut reached = connected.clone();
    let mut seen = BTreeSet::from([from.to_owned()]);
    let mut queue: VecDeque<(String, Option<(Ipv4Addr, String)>)> =
        VecDeque::from([(from.to_owned(), None)]);
    let mut routes = Vec::new();
    while let Some((router, first_hop)) = queue.pop_front() {
        let mut neighbours = Vec::new();
        for (port, _, subnet) in own(&router) {
            if let (Some((via, port)), true) = (&first_hop, reached.insert(subnet)) {
                let (via, port) = (*via, port.clone());
                routes.push(PlannedRoute { subnet, via, port });
            }
            let others = feet.get(&subnet).into_iter().flatten();
            neighbours.extend(others.map(|foot| (foot, port)));
        }
        neighbours.sort_by_key(|(foot, _)| (&foot.router, &foot.port));
        for (foot, port) in neighbours {
            if seen.insert(foot.router.clone()) {
                let hop = first_hop.clone().unwrap_or((foot.address, port.to_owned()));
                queue.push_back((foot.router.clone(), Some(hop)));
            }
        }
        if reached.len() == networks.len() {
            break;
        }
    }
    routes
}

/// Port, address and network of each IPv4 address.
fn addresses(node: &Node) -> impl Iterator<Item = (&str, Ipv4Addr, Subnet)> {
    let all = node.addresses.iter();
    all.flat_map(|(port, list)| list.iter().map(move |entry| (port.as_str(), entry)))
        .filter_map(|(port, &(address, len))| match address {
            IpAddr::V4(v4) => Some((port, v4, Subnet::of(v4, len))),
            IpAddr::V6(_) => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_wins_and_ties_go_to_the_first_name() {
        // a - r1 - {r2, r3} - r4 - b, and r1 - r5 - r6 - r4 is longer.
        let topology = Topology::parse(
            r#"
            [nodes.a]
            address = "10.0.1.10/24"
            gateway = "10.0.1.1"
            [nodes.b]
            address = "10.0.2.10/24"
            gateway = "10.0.2.1"
            [nodes]
            r1.kind = "router"
            r2.kind = "router"
            r3.kind = "router"
            r4.kind = "router"
            r5.kind = "router"
            r6.kind = "router"
            [[links]]
            endpoints = ["a", "r1"]
            [[links]]
            endpoints = ["r1", "r5"]
            [[links]]
            endpoints = ["r5", "r6"]
            [[links]]
            endpoints = ["r6", "r4"]
            [[links]]
            endpoints = ["r1", "r3"]
            [[links]]
            endpoints = ["r3", "r4"]
            [[links]]
            endpoints = ["r1", "r2"]
            [[links]]
            endpoints = ["r2", "r4"]
            [[links]]
            endpoints = ["r4", "b"]
            "#,
            "lab.toml",
        )
        .unwrap();
        let routes = routes(&topology);
        let to_b = Subnet::of(Ipv4Addr::new(10, 0, 2, 0), 24);
        let way = |router: &str| routes[router].iter().find(|r| r.subnet == to_b).cloned();
        let r2 = topology.nodes["r2"].addresses["eth0"][0].0;
        let found = way("r1").unwrap();
        assert_eq!((IpAddr::V4(found.via), found.port.as_str()), (r2, "eth3"));
        assert_eq!(way("r4"), None, "connected");
        let r4 = topology.nodes["r4"].addresses["eth0"][0].0;
        assert_eq!(IpAddr::V4(way("r6").unwrap().via), r4);
        let default = Subnet::of(Ipv4Addr::UNSPECIFIED, 0);
        assert_eq!(
            routes["a"],
            [PlannedRoute {
                subnet: default,
                via: Ipv4Addr::new(10, 0, 1, 1),
                port: "eth0".into()
            }]
        );
        assert_eq!(
            routes["r5"].len(),
            7,
            "9 networks, 2 of them its own: {:?}",
            routes["r5"]
        );
    }
}
