//! The tables of layers 1 to 3: ports, neighbours, addresses, groups, routes.
use std::net::IpAddr;

use heptad_lab::MachineInfo;
use heptad_stack::l3_network::zone;
use heptad_stack::stack::{
    Address6, AddressState, Origin, RouteOrigin, RouteRow as StackRoute, Standing,
};
use heptad_stack::wire::MacAddr;
use heptad_stack::{Instant, Medium, PortId, Stack};

use super::Answers;
use crate::control::{
    AddressRow, Answer, GroupRow, NeighbourRow, NodeAddresses, NodeGroups, NodeNeighbours,
    NodePorts, NodeRoutes, PortRow, RouteRow,
};

impl Answers {
    pub(super) fn neighbours(&self, node: Option<&str>) -> Result<Answer, String> {
        let nodes = self.each(node, |host, stack| NodeNeighbours {
            node: host.name.clone(),
            neighbours: neighbours(stack),
        })?;
        Ok(Answer::Neighbours { nodes })
    }

    pub(super) fn ports(&self, node: Option<&str>) -> Result<Answer, String> {
        let nodes = self.each(node, |host, stack| NodePorts {
            node: host.name.clone(),
            ports: ports(stack),
        })?;
        Ok(Answer::Ports { nodes })
    }

    pub(super) fn routes(&self, node: Option<&str>) -> Result<Answer, String> {
        let now = self.network.now();
        let nodes = self.each(node, |host, stack| NodeRoutes {
            node: host.name.clone(),
            routes: routes(stack, now),
        })?;
        Ok(Answer::Routes { nodes })
    }

    pub(super) fn addresses(&self, node: Option<&str>) -> Result<Answer, String> {
        let now = self.network.now();
        let nodes = self.each(node, |host, stack| NodeAddresses {
            node: host.name.clone(),
            ports: ports(stack),
            addresses: addresses(stack, now),
        })?;
        Ok(Answer::Addresses { nodes })
    }

    pub(super) fn groups(&self, node: Option<&str>) -> Result<Answer, String> {
        let nodes = self.each(node, |host, stack| NodeGroups {
            node: host.name.clone(),
            groups: groups(stack),
        })?;
        Ok(Answer::Groups { nodes })
    }

    /// Looks at the stack of the node of this name, or of every node that has one.
    fn each<T>(
        &self,
        node: Option<&str>,
        look: impl Fn(&MachineInfo, &Stack) -> T,
    ) -> Result<Vec<T>, String> {
        let hosts = self.hosts(node)?;
        let look = |host: &MachineInfo| {
            self.network
                .lab(|lab| lab.stack(host.id).map(|stack| look(host, stack)))
        };
        Ok(hosts.iter().filter_map(look).collect())
    }
}

fn name(stack: &Stack, port: PortId) -> String {
    stack.port_name(port).unwrap_or_default().into()
}

fn neighbours(stack: &Stack) -> Vec<NeighbourRow> {
    let mut rows: Vec<NeighbourRow> = stack
        .neighbours()
        .iter()
        .map(|neighbour| NeighbourRow {
            address: zone::bare_ip(neighbour.ip),
            mac: neighbour.mac.as_ref().map(MacAddr::to_string),
            state: neighbour.state.into(),
            port: name(stack, neighbour.port),
        })
        .collect();
    rows.sort_by(|a, b| (&a.port, a.address).cmp(&(&b.port, b.address)));
    rows
}

fn ports(stack: &Stack) -> Vec<PortRow> {
    let ports = stack.ports();
    let rows = ports.iter().map(|(config, counters)| PortRow {
        port: config.name.to_string(),
        mac: match config.medium {
            Medium::Ethernet(mac) => Some(mac.to_string()),
            Medium::Ip => None,
        },
        mtu: config.mtu,
        rx_ok: counters.rx_ok,
        rx_err: counters.rx_err,
        rx_drop: counters.rx_drop,
        rx_bytes: counters.rx_bytes,
        tx_ok: counters.tx_ok,
        tx_err: counters.tx_err,
        tx_drop: counters.tx_drop,
        tx_bytes: counters.tx_bytes,
    });
    rows.collect()
}

/// Whole seconds until then.
fn left(until: Option<Instant>, now: Instant) -> Option<u64> {
    until.map(|until| until.since(now).as_secs())
}

/// In the order in which Linux prints them: by prefix, the shorter one first.
fn routes(stack: &Stack, now: Instant) -> Vec<RouteRow> {
    let addresses = stack.addresses();
    let mut rows: Vec<RouteRow> = stack
        .route_table()
        .iter()
        .filter(|row| row.route.port != PortId::LOOPBACK)
        .map(|row| RouteRow {
            prefix: row.route.prefix,
            prefix_len: row.route.len,
            gateway: row.route.via,
            port: name(stack, row.route.port),
            origin: match row.origin {
                RouteOrigin::Address => "kernel".into(),
                RouteOrigin::Router => "ra".into(),
                RouteOrigin::Manual => "static".into(),
            },
            expires: left(row.until, now),
            source: source(row, &addresses),
        })
        .collect();
    rows.sort_by_key(|row| (row.prefix, row.prefix_len));
    rows
}

/// The address that brought a route along.
fn source(row: &StackRoute, addresses: &[(PortId, IpAddr, u8)]) -> Option<IpAddr> {
    let is_it = |(port, ip, len): &&(PortId, IpAddr, u8)| {
        let (IpAddr::V4(ip), IpAddr::V4(prefix)) = (*ip, row.route.prefix) else {
            return false;
        };
        let host_bits = u32::MAX.checked_shr((*len).into()).unwrap_or(0);
        let same = ip.to_bits() & !host_bits == prefix.to_bits();
        (*port, *len) == (row.route.port, row.route.len) && same
    };
    let found = addresses.iter().find(is_it);
    found
        .filter(|_| row.origin == RouteOrigin::Address)
        .map(|(_, ip, _)| *ip)
}

/// As Linux orders those of a port: IPv4; then global ones, the youngest first, before those of the link.
fn addresses(stack: &Stack, now: Instant) -> Vec<AddressRow> {
    let v4 = stack
        .addresses()
        .into_iter()
        .filter(|(_, ip, _)| ip.is_ipv4());
    let v4 = v4.map(|(port, address, prefix_len)| AddressRow {
        port: name(stack, port),
        address,
        prefix_len,
        flags: flags_v4(stack, port, address),
        valid: None,
        preferred: None,
    });
    let mut v6 = stack.ipv6_addresses();
    v6.reverse();
    v6.sort_by_key(|(_, address)| address.ip.is_unicast_link_local());
    let manages = |stable: &Address6| {
        let of_prefix = |(_, other): &(PortId, Address6)| {
            other.origin == Origin::Temporary
                && other.ip.segments()[..4] == stable.ip.segments()[..4]
        };
        stable.origin == Origin::Stable && v6.iter().any(of_prefix)
    };
    let row = |(port, address): &(PortId, Address6)| AddressRow {
        port: name(stack, *port),
        address: zone::bare(address.ip).into(),
        prefix_len: address.len,
        flags: flags(address, manages(address)),
        valid: left(address.valid_until, now),
        preferred: match address.state {
            AddressState::Deprecated => Some(0),
            _ => left(address.preferred_until, now),
        },
    };
    v4.chain(v6.iter().map(row)).collect()
}

/// The words for an address of IPv4 that is asked for before it is used: those that Linux has for IPv6.
fn flags_v4(stack: &Stack, port: PortId, address: IpAddr) -> Vec<String> {
    let IpAddr::V4(ip) = address else {
        return Vec::new();
    };
    let words: &[&str] = match stack.standing(port, ip) {
        Some(Standing::Tentative) => &["tentative"],
        Some(Standing::Lost) => &["dadfailed", "tentative"],
        Some(Standing::Held) | None => &[],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// ip's words for what is special about an address, in its order.
fn flags(address: &Address6, manages_temporary: bool) -> Vec<String> {
    let (state, origin) = (address.state, address.origin);
    let words = [
        ("temporary", origin == Origin::Temporary),
        ("optimistic", state == AddressState::Optimistic),
        ("dadfailed", state == AddressState::Duplicate),
        ("deprecated", state == AddressState::Deprecated),
        ("tentative", state == AddressState::Duplicate),
        ("dynamic", address.valid_until.is_some()),
        ("mngtmpaddr", manages_temporary),
        ("stable-privacy", origin == Origin::Stable),
    ];
    let true_ones = words.into_iter().filter(|(_, is_true)| *is_true);
    true_ones.map(|(word, _)| word.to_owned()).collect()
}

fn groups(stack: &Stack) -> Vec<GroupRow> {
    let rows = stack.groups().into_iter();
    let row = |(port, group, members)| GroupRow {
        port: name(stack, port),
        group,
        members,
    };
    rows.map(row).collect()
}
