//! The tables of layers 1 to 3: ports, neighbours, routes.
use heptad_lab::MachineInfo;
use heptad_stack::l3_network::zone;
use heptad_stack::wire::MacAddr;
use heptad_stack::{Medium, PortId, Stack};

use super::Answers;
use crate::control::{
    Answer, NeighbourRow, NodeNeighbours, NodePorts, NodeRoutes, PortRow, RouteRow,
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
        let nodes = self.each(node, |host, stack| NodeRoutes {
            node: host.name.clone(),
            routes: routes(stack),
        })?;
        Ok(Answer::Routes { nodes })
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
            address: neighbour.ip,
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

/// In the order in which Linux prints them: by prefix, the shorter one first.
fn routes(stack: &Stack) -> Vec<RouteRow> {
    let mut rows: Vec<RouteRow> = stack
        .routes()
        .iter()
        .filter(|route| route.port != PortId::LOOPBACK)
        .map(|route| RouteRow {
            prefix: route.prefix,
            prefix_len: route.len,
            gateway: route.via.map(zone::bare_ip),
            port: name(stack, route.port),
        })
        .collect();
    rows.sort_by_key(|row| (row.prefix, row.prefix_len));
    rows
}
