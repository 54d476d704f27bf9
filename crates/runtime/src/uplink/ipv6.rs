//! Addresses and routes of IPv6 between nodes and their gateways, where the machine speaks it.
use core::net::{IpAddr, Ipv6Addr};

use heptad_lab::MachineId;
use heptad_stack::stack::Route;
use heptad_stack::{PortId, SocketError, Stack};

use crate::Network;

/// Where the networks between nodes and their gateways are (RFC 4193): fd68:6570:7461:64NN::/64.
const OURS: [u16; 4] = [0xfd68, 0x6570, 0x7461, 0x6400];
const LEN: u8 = 64;
/// A gateway's only port.
const GATEWAY_PORT: PortId = PortId(1);

/// Gives each node with a way out one of IPv6, too. A node that has a default route of IPv6 keeps to it.
pub(super) fn give(network: &Network) {
    let uplinks = network.lab(|lab| lab.uplinks().to_vec());
    for (index, (node, gateway)) in (0_u16..).zip(uplinks) {
        // A node that cannot have them goes out by IPv4 only.
        let _ = give_one(network, (node, gateway), index);
    }
}

fn give_one(
    network: &Network,
    (node, gateway): (MachineId, MachineId),
    index: u16,
) -> Result<(), SocketError> {
    let [a, b, c, d] = OURS;
    let address = |last| IpAddr::V6(Ipv6Addr::new(a, b, c, d.wrapping_add(index), 0, 0, 0, last));
    let (own, theirs) = (address(2), address(1));
    let v4 = network.with(gateway, |stack, _| default_route(stack, false));
    let node_v4 = v4.and_then(|route| route.via).ok_or(SocketError::Invalid)?;
    network.with(node, |stack, _| {
        let addresses = stack.addresses();
        let port = addresses.iter().find(|(_, ip, _)| *ip == node_v4);
        let (port, ..) = *port.ok_or(SocketError::Invalid)?;
        if default_route(stack, true).is_some() {
            return Err(SocketError::Invalid);
        }
        stack.add_address(port, own, LEN)?;
        stack.add_route(everywhere(theirs, port))
    })?;
    network.with(gateway, |stack, _| {
        stack.add_address(GATEWAY_PORT, theirs, LEN)?;
        stack.add_route(everywhere(own, GATEWAY_PORT))
    })
}

fn default_route(stack: &Stack, is_v6: bool) -> Option<Route> {
    let mut routes = stack.routes().into_iter();
    routes.find(|route| route.len == 0 && route.prefix.is_ipv6() == is_v6)
}

fn everywhere(via: IpAddr, port: PortId) -> Route {
    Route {
        prefix: Ipv6Addr::UNSPECIFIED.into(),
        len: 0,
        via: Some(via),
        port,
    }
}
