//! From the lab file to what a switch makes of groups.
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::{Asker, Snooping};
use crate::MachineId;
use crate::machine::{Socketed, link_local, mac};
use crate::topology::{Node, NodeKind, Topology};

/// What the switches of a lab have around them.
pub(crate) struct Surroundings<'t> {
    topology: &'t Topology,
    /// The cables at each node: the node at the far end, and its port there.
    cables: BTreeMap<&'t str, Vec<(&'t str, &'t str)>>,
    /// Ports of switches behind which there is a TUN. Its one station speaks for all who are outside and tells nothing.
    silent: BTreeSet<(&'t str, &'t str)>,
}
impl<'t> Surroundings<'t> {
    pub fn new(topology: &'t Topology) -> Self {
        let mut cables: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for link in topology.links.iter().filter(|link| !link.is_loopback()) {
            let [(a, port_a), (b, port_b)] = &link.ends;
            cables.entry(a).or_default().push((&**b, &**port_b));
            cables.entry(b).or_default().push((&**a, &**port_a));
        }
        let mut all = Self {
            topology,
            cables,
            silent: BTreeSet::new(),
        };
        let is_tun = |node: &Node| node.kind == NodeKind::Tun;
        let tuns = topology.nodes.iter().filter(|(_, node)| is_tun(node));
        for (tun, _) in tuns {
            let reached = all.reach(tun);
            all.silent.extend(reached);
        }
        all
    }
    /// Where a frame comes in that a node sends to everybody: nodes and their ports. Switches close no loop.
    fn reach(&self, from: &'t str) -> Vec<(&'t str, &'t str)> {
        let cables = |node: &str| self.cables.get(node).into_iter().flatten().copied();
        let is_switch = |node: &str| {
            let node = self.topology.nodes.get(node);
            node.is_some_and(|node| node.kind == NodeKind::Switch)
        };
        let mut reached: Vec<_> = cables(from).collect();
        let mut known: BTreeSet<&str> = reached.iter().map(|(node, _)| *node).collect();
        known.insert(from);
        let mut next = 0;
        while let Some(&(node, _)) = reached.get(next) {
            next += 1;
            if is_switch(node) {
                reached.extend(cables(node).filter(|(far, _)| known.insert(far)));
            }
        }
        reached
    }
    /// Whether a switch has somebody around it with an address of IPv4, of IPv6. Who is outside may have both.
    fn families(&self, switch: &'t str) -> [bool; 2] {
        let around = self.reach(switch);
        let nodes = around
            .iter()
            .filter_map(|(name, _)| self.topology.nodes.get(*name));
        let nodes: Vec<&Node> = nodes.collect();
        let has = |v6: bool| {
            let given = |node: &Node| {
                let mut addresses = node.addresses.values().flatten();
                addresses.any(|(address, _)| address.is_ipv6() == v6)
            };
            let automatic = |node: &Node| v6 && !node.automatic.is_empty();
            let one = |node: &&Node| node.kind.is_outside() || automatic(node) || given(node);
            nodes.iter().any(one)
        };
        [has(false), has(true)]
    }
    /// What a switch makes of groups; `None`: nothing.
    pub fn snooping(
        &self,
        name: &'t str,
        node: &Node,
        id: MachineId,
        ports: &[Socketed],
    ) -> Option<Snooping> {
        if !node.multicast.snooping {
            return None;
        }
        let silent = ports.iter().enumerate();
        let silent = silent.filter(|(_, port)| self.silent.contains(&(name, &port.name)));
        let silent = silent.map(|(index, _)| index).collect();
        let Some(address) = node.multicast.querier else {
            return Some(Snooping::new([None, None], silent));
        };
        let station = mac(id, 0);
        let addresses = [IpAddr::from(address), link_local(station).into()];
        let spoken = self.families(name);
        let asker = |of: usize| spoken[of].then(|| Asker::new(addresses[of], station));
        Some(Snooping::new([asker(0), asker(1)], silent))
    }
}
