//! Routes computed from a topology, for each family by itself: routers by the fewest hops, ties by name; hosts by their gateways.
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use heptad_stack::Family;

use crate::topology::{Node, NodeKind, Subnet, Topology, is_link_local};

/// A route that a node needs beside those to its own networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedRoute {
    pub subnet: Subnet,
    pub via: IpAddr,
    pub port: String,
}

/// One port's address on a router.
struct Foot {
    router: String,
    port: String,
    address: IpAddr,
}

/// The routes of every node, in order of names.
pub(crate) fn routes(topology: &Topology) -> BTreeMap<String, Vec<PlannedRoute>> {
    let maps = [Family::V4, Family::V6].map(|family| Map::of(topology, family));
    let mut routes = BTreeMap::new();
    for (name, node) in &topology.nodes {
        let mut own = Vec::new();
        if node.kind == NodeKind::Router {
            own.extend(maps.iter().flat_map(|map| map.by_hops(name)));
        }
        own.extend(node.gateways.iter().map(|gateway| PlannedRoute {
            subnet: Subnet::everything(gateway.address.into()),
            via: gateway.address,
            port: gateway.port.clone(),
        }));
        routes.insert(name.clone(), own);
    }
    routes
}

/// Who is where in one family.
struct Map<'t> {
    topology: &'t Topology,
    family: Family,
    /// The routers in each network.
    feet: BTreeMap<Subnet, Vec<Foot>>,
    networks: BTreeSet<Subnet>,
}
impl<'t> Map<'t> {
    fn of(topology: &'t Topology, family: Family) -> Self {
        let mut map = Self {
            topology,
            family,
            feet: BTreeMap::new(),
            networks: BTreeSet::new(),
        };
        for (name, node) in &topology.nodes {
            for (port, address, subnet) in addresses(node, family) {
                map.networks.insert(subnet);
                if node.kind == NodeKind::Router {
                    map.feet.entry(subnet).or_default().push(Foot {
                        router: name.clone(),
                        port: port.to_owned(),
                        address,
                    });
                }
            }
        }
        map
    }
    fn own(&self, router: &str) -> impl Iterator<Item = (&'t str, IpAddr, Subnet)> {
        let node = self.topology.nodes.get(router).into_iter();
        let family = self.family;
        node.flat_map(move |node| addresses(node, family))
    }

    /// Breadth first from one router; neighbours in order of names.
    fn by_hops(&self, from: &str) -> Vec<PlannedRoute> {
        let mut reached: BTreeSet<Subnet> = self.own(from).map(|(_, _, subnet)| subnet).collect();
        let mut seen = BTreeSet::from([from.to_owned()]);
        let mut queue: VecDeque<(String, Option<(IpAddr, String)>)> =
            VecDeque::from([(from.to_owned(), None)]);
        let mut routes = Vec::new();
        while let Some((router, first_hop)) = queue.pop_front() {
            let mut neighbours = Vec::new();
            for (port, _, subnet) in self.own(&router) {
                if let (Some((via, port)), true) = (&first_hop, reached.insert(subnet)) {
                    let (via, port) = (*via, port.clone());
                    routes.push(PlannedRoute { subnet, via, port });
                }
                let others = self.feet.get(&subnet).into_iter().flatten();
                neighbours.extend(others.map(|foot| (foot, port)));
            }
            neighbours.sort_by_key(|(foot, _)| (&foot.router, &foot.port));
            for (foot, port) in neighbours {
                if seen.insert(foot.router.clone()) {
                    let hop = first_hop.clone().unwrap_or((foot.address, port.to_owned()));
                    queue.push_back((foot.router.clone(), Some(hop)));
                }
            }
            if reached.len() == self.networks.len() {
                break;
            }
        }
        routes
    }
}

/// Port, address and network of each address of a family that means the same everywhere.
fn addresses(node: &Node, family: Family) -> impl Iterator<Item = (&str, IpAddr, Subnet)> {
    let all = node.addresses.iter();
    all.flat_map(|(port, list)| list.iter().map(move |entry| (port.as_str(), entry)))
        .filter(move |(_, (address, _))| {
            Family::from(*address) == family && !is_link_local(*address)
        })
        .map(|(port, &(address, len))| (port, address, Subnet::of(address, len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

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
        let to_b = Subnet::of(ip("10.0.2.0"), 24);
        let way = |router: &str| routes[router].iter().find(|r| r.subnet == to_b).cloned();
        let r2 = topology.nodes["r2"].addresses["eth0"][0].0;
        let found = way("r1").unwrap();
        assert_eq!((found.via, found.port.as_str()), (r2, "eth3"));
        assert_eq!(way("r4"), None, "connected");
        let r4 = topology.nodes["r4"].addresses["eth0"][0].0;
        assert_eq!(way("r6").unwrap().via, r4);
        let default = Subnet::everything(Family::V4);
        assert_eq!(
            routes["a"],
            [PlannedRoute {
                subnet: default,
                via: ip("10.0.1.1"),
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
