//! From a checked topology to machines and cables.
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use heptad_stack::stack::{Advertising, Route};
use heptad_stack::{EventMask, Instant, PortId, SocketError, StackConfig};

use crate::agenda::Agenda;
use crate::fabric::{Cable, Fabric, Work};
use crate::frames::Interface;
use crate::link::Way;
use crate::machine::{Body, Host, Machine, Patience, Socketed, mac, port_config, port_id};
use crate::observation::Observation;
use crate::outside::{Layer, LinkLayer, Outside};
use crate::partition::Partitions;
use crate::routing::{PlannedRoute, routes};
use crate::rules::Rules;
use crate::switch::{Surroundings, Switch};
use crate::topology::{Division, End, Node, NodeKind, Topology, is_link_local, segments};
use crate::{Lab, LabError, LabOptions, MachineId};

/// Packet ids hold 24 bits of origin: machines, two directions a cable, and one for copies.
const MOST_ORIGINS: usize = 0xff_ffff;
/// Ports of one machine.
const MOST_PORTS: usize = 4096;

pub(crate) fn build(topology: &Topology, options: &LabOptions) -> Result<Lab, LabError> {
    let impossible = |what: String| LabError::Impossible(what);
    let origins = topology.nodes.len() + 2 * topology.links.len();
    if origins >= MOST_ORIGINS {
        return Err(impossible(format!(
            "{origins} machines and directions of cables are too many"
        )));
    }
    let kind = |name: &str| topology.nodes.get(name).map_or(NodeKind::Host, |n| n.kind);
    segments(kind, &topology.links).map_err(|at| {
        let link = topology.links.get(at).map_or("", |l| l.name.as_str());
        impossible(format!("link {link} closes a loop of switches"))
    })?;
    let names: BTreeMap<String, MachineId> = topology
        .nodes
        .keys()
        .cloned()
        .zip((0..).map(MachineId))
        .collect();
    let plugged = plug(topology, &names)?;
    let cables = cables(topology, options.seed, &names, &plugged)?;
    let mut lab = Lab {
        seed: options.seed,
        now: Instant::ZERO,
        machines: Vec::new(),
        fabric: Fabric {
            cables,
            agenda: Agenda::new(names.len()),
            work: Work::new(names.len()),
            arrivals: plugged
                .iter()
                .map(|ports| Agenda::new(ports.len()))
                .collect(),
            observation: Observation::new(options.observe, options.event_hash),
            partitions: Partitions::default(),
        },
        links: topology
            .links
            .iter()
            .map(|l| l.name.clone())
            .zip(0..)
            .collect(),
        addresses: addresses(topology),
        automatic: Vec::new(),
        careful: Vec::new(),
        gateways: topology
            .uplinks()
            .filter_map(|(node, gateway)| Some((*names.get(node)?, *names.get(gateway)?)))
            .collect(),
        owners: BTreeMap::new(),
        interfaces: interfaces(topology, &names),
        timeline: VecDeque::new(),
        divisions: VecDeque::new(),
        divided: (0, 0),
        changes: BTreeMap::new(),
        ready: VecDeque::new(),
        events: VecDeque::new(),
        asked_events: options.events,
        batch: crate::lab::Batch::default(),
        names,
    };
    if lab.links.len() != topology.links.len() {
        return Err(impossible("two links of one name".into()));
    }
    timeline(topology, &mut lab)?;
    let events = lab.events_of_hosts();
    machines(topology, &mut lab, plugged, events)?;
    Ok(lab)
}

/// The ports of every machine, in order: `eth2` before `eth10`.
fn plug(
    topology: &Topology,
    names: &BTreeMap<String, MachineId>,
) -> Result<Vec<Vec<Socketed>>, LabError> {
    let mut plugged: Vec<Vec<Socketed>> = names.iter().map(|_| Vec::new()).collect();
    for (link, cable) in topology.links.iter().enumerate() {
        let ends = if cable.is_loopback() { 1 } else { 2 };
        for (end, (node, port)) in cable.ends.iter().enumerate().take(ends) {
            let id = names
                .get(node)
                .ok_or_else(|| LabError::NoNode(node.clone()))?;
            let ports = &mut plugged[id.0 as usize];
            if ports.len() >= MOST_PORTS || ports.iter().any(|p| p.name == *port) {
                return Err(LabError::Impossible(format!(
                    "{node}:{port} is used twice, or {node} has too many ports"
                )));
            }
            let hears = if cable.is_loopback() { end } else { 1 - end };
            let (name, id) = (port.clone(), PortId::LOOPBACK);
            ports.push(Socketed {
                name,
                link,
                end,
                hears,
                id,
            });
        }
    }
    for ports in &mut plugged {
        let loopback = |port: &Socketed| topology.links[port.link].is_loopback();
        ports.sort_by(|a, b| {
            let key = |p: &Socketed| (loopback(p), p.name.len(), p.name.clone());
            key(a).cmp(&key(b))
        });
        for (index, port) in ports.iter_mut().enumerate() {
            if !loopback(port) {
                port.id = port_id(index);
            }
        }
    }
    Ok(plugged)
}

fn cables(
    topology: &Topology,
    seed: u64,
    names: &BTreeMap<String, MachineId>,
    plugged: &[Vec<Socketed>],
) -> Result<Vec<Cable>, LabError> {
    let end = |link: usize, end: usize| {
        let (node, _) = &topology.links[link].ends[end];
        let id = names.get(node).copied().unwrap_or(MachineId(0));
        let here = |p: &Socketed| p.link == link && (p.end == end || p.hears == p.end);
        let port = plugged[id.0 as usize].iter().position(here).unwrap_or(0);
        (id, port)
    };
    let cable = |(index, link): (usize, &crate::topology::Link)| {
        if link.ends[0].0 == link.ends[1].0 && !link.is_loopback() {
            return Err(LabError::Impossible(format!(
                "both ends of {} are at {}",
                link.name, link.ends[0].0
            )));
        }
        let origin = u32::try_from(names.len() + 2 * index).unwrap_or(u32::MAX);
        let way = |purpose: &str, origin, asked: &crate::topology::Impairments| {
            let way = Way::new(seed, &link.name, purpose, origin, asked.clone());
            if link.is_loopback() {
                way.bare_ip()
            } else {
                way
            }
        };
        Ok(Cable {
            name: link.name.clone(),
            mtu: link.mtu,
            ends: [end(index, 0), end(index, 1)],
            ways: [
                way("forward", origin, &link.forward),
                way("backward", origin + 1, &link.backward),
            ],
            rules: rules(topology, seed, &link.name),
        })
    };
    topology.links.iter().enumerate().map(cable).collect()
}

fn rules(topology: &Topology, seed: u64, link: &str) -> Rules {
    let mut rules = Rules::default();
    for rule in topology.rules.iter().filter(|rule| rule.link == link) {
        rules.add(seed, rule.clone());
    }
    rules
}

/// Port, address and prefix length of every machine's addresses.
fn addresses(topology: &Topology) -> Vec<Vec<(String, IpAddr, u8)>> {
    let of = |node: &crate::topology::Node| {
        let ports = node.addresses.iter();
        ports
            .flat_map(|(port, list)| list.iter().map(move |(a, len)| (port.clone(), *a, *len)))
            .collect()
    };
    topology.nodes.values().map(of).collect()
}

fn interfaces(topology: &Topology, names: &BTreeMap<String, MachineId>) -> Vec<Interface> {
    let mut interfaces = Vec::new();
    for link in &topology.links {
        let named = link.named_ends('/');
        for (end, (node, port)) in link.ends.iter().enumerate() {
            interfaces.push(Interface {
                name: named[end].clone(),
                description: format!("to {}", named[1 - end]),
                machine: names.get(node).copied().unwrap_or(MachineId(0)),
                port: port.clone(),
                link: link.name.clone(),
                bare_ip: link.is_loopback(),
            });
        }
    }
    interfaces
}

fn timeline(topology: &Topology, lab: &mut Lab) -> Result<(), LabError> {
    let mut changes = topology.changes.clone();
    for change in &changes {
        let link = lab.links.get(&change.link);
        let link = link.ok_or_else(|| LabError::NoLink(change.link.clone()))?;
        lab.changes.entry(*link).or_insert((0, 0)).1 += 1;
    }
    changes.sort_by_key(|change| change.time);
    lab.timeline = changes.into();
    lab.divisions = topology.divisions.clone().into();
    let begins = |(_, division): &&(_, Division)| matches!(division, Division::Part(_));
    lab.divided.1 = topology.divisions.iter().filter(begins).count() as u64;
    Ok(())
}

fn host_config(node: &Node) -> StackConfig {
    let mut config = StackConfig {
        forwarding: node.kind == NodeKind::Router,
        transparent: node.kind == NodeKind::Uplink,
        ..StackConfig::default()
    };
    config.tcp.congestion = node.congestion;
    config.tcp.ecn = node.ecn;
    config
}

fn machines(
    topology: &Topology,
    lab: &mut Lab,
    plugged: Vec<Vec<Socketed>>,
    events: EventMask,
) -> Result<(), LabError> {
    let routes = routes(topology);
    let advertisers = advertisers(topology);
    let surroundings = Surroundings::new(topology);
    let mut layers = link_layers(topology, &lab.names, &plugged);
    for ((id, (name, node)), ports) in (0..).map(MachineId).zip(&topology.nodes).zip(plugged) {
        let body = match node.kind {
            NodeKind::Switch => {
                let snooping = surroundings.snooping(name, node, id, &ports);
                Body::Switch(Box::new(Switch::new(id.0, snooping)))
            }
            NodeKind::Tap => Body::Outside(Outside::new(id.0, Layer::Same)),
            NodeKind::Tun => Body::Outside(Outside::new(id.0, tun_layer(layers.remove(&id)))),
            NodeKind::Kernel => {
                let own = ports.iter().all(|port| port.id == PortId::LOOPBACK);
                Body::Outside(Outside::new(id.0, kernel_layer(id, own)))
            }
            NodeKind::Host | NodeKind::Router | NodeKind::Uplink => {
                let mut host = Host::new(lab.seed, id, name, host_config(node), events);
                for (index, port) in ports.iter().enumerate() {
                    let cable = &lab.fabric.cables[port.link];
                    if port.id == PortId::LOOPBACK {
                        host.stack.plug_loopback(cable.mtu, cable.caps());
                        continue;
                    }
                    let config = port_config(id, index, &port.name, cable.mtu, cable.caps());
                    host.stack.add_port(config);
                }
                let advertising = advertisers.iter().filter(|(node, _)| node == name);
                let plan = Plan {
                    addresses: &lab.addresses[id.0 as usize],
                    routes: routes.get(name).map_or(&[][..], Vec::as_slice),
                    automatic: &node.automatic,
                    privacy: node.privacy,
                    conflict_detection: node.conflict_detection,
                    advertising: advertising.map(|(_, port)| port.as_str()).collect(),
                };
                let automatic = node.automatic.iter().map(|port| (id, port.clone()));
                lab.automatic.extend(automatic);
                if node.conflict_detection {
                    lab.careful.push(id);
                }
                configure(&mut host, &ports, &plan)
                    .map_err(|wrong| LabError::Impossible(format!("{name}: {wrong}")))?;
                Body::Host(Box::new(host))
            }
        };
        let everywhere = lab.addresses[id.0 as usize].iter();
        for (_, address, _) in everywhere.filter(|(_, ip, _)| !is_link_local(*ip)) {
            let owner = *lab.owners.entry(*address).or_insert(id);
            let other = lab.machines.get(owner.0 as usize).map(|m| m.name.as_str());
            let other = other.unwrap_or(name.as_str());
            let detects = |name: &str| {
                let node = topology.nodes.get(name);
                address.is_ipv4() && node.is_some_and(|node| node.conflict_detection)
            };
            if owner != id && !detects(name) && !detects(other) {
                return Err(LabError::Impossible(format!(
                    "{other} and {name} have one address: {address}"
                )));
            }
        }
        lab.machines.push(Machine {
            name: name.clone(),
            kind: node.kind,
            ports,
            body,
            patience: Patience::default(),
        });
    }
    for id in lab.names.values().copied().collect::<Vec<_>>() {
        lab.drain(id);
    }
    Ok(())
}

fn tun_layer(station: Option<LinkLayer>) -> Layer {
    station.map_or(Layer::Same, Layer::Station)
}

/// A cable of the loopback's has no link layer; the kernel's interface for it has one.
fn kernel_layer(id: MachineId, is_loopback: bool) -> Layer {
    match is_loopback {
        true => Layer::Loopback(mac(id, 0)),
        false => Layer::Same,
    }
}

/// What each TUN knows of the stations on its cable.
fn link_layers(
    topology: &Topology,
    names: &BTreeMap<String, MachineId>,
    plugged: &[Vec<Socketed>],
) -> BTreeMap<MachineId, LinkLayer> {
    let kind = |name: &str| topology.nodes.get(name).map_or(NodeKind::Host, |n| n.kind);
    let mut layers = BTreeMap::new();
    for segment in segments(kind, &topology.links).unwrap_or_default() {
        let (outside, stations): (Vec<_>, Vec<_>) = segment
            .iter()
            .partition(|(node, _)| kind(node).is_outside());
        for (node, _) in outside.iter().filter(|(n, _)| kind(n) == NodeKind::Tun) {
            let Some(&id) = names.get(node) else { continue };
            let mut layer = LinkLayer::new(mac(id, 0));
            for (node, port) in &stations {
                let (Some(node_of), Some(&id)) = (topology.nodes.get(node), names.get(node)) else {
                    continue;
                };
                let ports = plugged.get(id.0 as usize).map_or(&[][..], Vec::as_slice);
                let index = ports.iter().position(|p| p.name == *port).unwrap_or(0);
                let addresses = node_of.addresses.get(port).into_iter().flatten();
                let forwards = node_of.kind == NodeKind::Router;
                layer.add(
                    mac(id, index),
                    addresses.map(|(address, _)| *address),
                    forwards,
                );
            }
            layers.insert(id, layer);
        }
    }
    layers
}

/// The ports of routers on whose cable somebody takes addresses from them, or may: who is outside is not known.
fn advertisers(topology: &Topology) -> BTreeSet<End> {
    let node = |end: &End| topology.nodes.get(&end.0);
    let kind = |name: &str| topology.nodes.get(name).map_or(NodeKind::Host, |n| n.kind);
    let listens = |end: &End| {
        let automatic = node(end).is_some_and(|node| node.automatic.contains(&end.1));
        automatic || kind(&end.0) == NodeKind::Tap
    };
    let tells = |end: &End| {
        let router = node(end).filter(|node| node.kind == NodeKind::Router);
        let addresses = router.and_then(|node| node.addresses.get(&end.1));
        let mut prefixes = addresses.into_iter().flatten();
        prefixes.any(|(address, len)| address.is_ipv6() && *len == 64)
    };
    let segments = segments(kind, &topology.links).unwrap_or_default();
    let heard = segments.into_iter().filter(|s| s.iter().any(listens));
    heard.flatten().filter(tells).collect()
}

/// What one host is told of the network.
struct Plan<'a> {
    addresses: &'a [(String, IpAddr, u8)],
    routes: &'a [PlannedRoute],
    /// Ports that take addresses from routers.
    automatic: &'a BTreeSet<String>,
    privacy: bool,
    /// Whether all ports ask for addresses before they use them.
    conflict_detection: bool,
    /// Ports by which it says that it is a router.
    advertising: Vec<&'a str>,
}

/// Addresses and routes of one host; the error is for people.
fn configure(host: &mut Host, ports: &[Socketed], plan: &Plan<'_>) -> Result<(), String> {
    let port = |name: &str| {
        let port = ports.iter().find(|port| port.name == name);
        port.map(|port| port.id)
            .ok_or_else(|| format!("no port {name}"))
    };
    let said = |what: String| move |e: SocketError| format!("{what}: {e}");
    let careful = ports.iter().filter(|_| plan.conflict_detection);
    for socketed in careful {
        host.stack
            .detect_conflicts(socketed.id)
            .map_err(said(format!("addresses of {}", socketed.name)))?;
    }
    for (name, address, len) in plan.addresses {
        host.stack
            .add_address(port(name)?, *address, *len)
            .map_err(said(format!("address {address}/{len}")))?;
    }
    for route in plan.routes {
        host.stack
            .add_route(Route {
                prefix: route.subnet.address(),
                len: route.subnet.len,
                via: Some(route.via),
                port: port(&route.port)?,
            })
            .map_err(said(format!("route to {}", route.subnet)))?;
    }
    for name in plan.automatic {
        host.stack
            .autoconfigure(port(name)?, plan.privacy)
            .map_err(said(format!("addresses of {name}")))?;
    }
    for name in &plan.advertising {
        host.stack
            .advertise(port(name)?, Advertising::default())
            .map_err(said(format!("advertisements by {name}")))?;
    }
    Ok(())
}
