//! `netstat -r`: the routing table of IPv4, or with -6 that of IPv6.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Names, print_nodes};
use crate::args::Netstat;
use crate::commands::print_json;
use crate::control::client::Client;
use crate::control::{Answer, Ask, NodeRoutes, RouteRow};
use crate::failure::Failure;

/// Prints the routes of one node, or of all, each under its name.
pub fn print(client: &Client, netstat: &Netstat, json: bool) -> Result<u8, Failure> {
    let node = netstat.node.clone();
    let Answer::Routes { nodes } = client.ask(&Ask::Routes { node })? else {
        return Err(Failure::ours("the lab answered something else"));
    };
    if json {
        print_json(&serde_json::json!({ "nodes": nodes }))?;
        return Ok(0);
    }
    let names = match netstat.numeric {
        true => None,
        false => Some(Names::of(client)?),
    };
    let tables = nodes
        .iter()
        .map(|node| (node.node.as_str(), tables_of(netstat, node, names.as_ref())));
    print_nodes(tables, netstat.node.is_some())?;
    Ok(0)
}

/// IPv4's, as net-tools has it, unless only -6 is given.
fn tables_of(netstat: &Netstat, node: &NodeRoutes, names: Option<&Names>) -> String {
    let mut text = String::new();
    if netstat.inet || !netstat.inet6 {
        text += &table(&node.routes, names);
    }
    if netstat.inet6 {
        text += &table_of_ipv6(&node.routes, names);
    }
    text
}

fn table_of_ipv6(routes: &[RouteRow], names: Option<&Names>) -> String {
    let mut text = "Kernel IPv6 routing table\n\
        Destination                    Next Hop                   Flag Met Ref  Use If\n"
        .to_owned();
    for route in routes.iter().filter(|route| route.prefix.is_ipv6()) {
        let destination = match (route.prefix_len, names) {
            (0, Some(_)) => "[::]/0".to_owned(),
            (len, _) => format!("{}/{len}", route.prefix),
        };
        let unspecified = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let next_hop = route.gateway.unwrap_or(unspecified);
        let next_hop = match names.and_then(|names| names.name(&next_hop)) {
            Some(name) => name.to_owned(),
            None => next_hop.to_string(),
        };
        let (flags, metric) = match (route.gateway.is_some(), route.prefix_len) {
            (true, 128) => ("UGH", ROUTER_METRIC),
            (true, _) => ("UG", ROUTER_METRIC),
            (false, 128) => ("UH", LINK_METRIC),
            (false, _) => ("U", LINK_METRIC),
        };
        text += &format!(
            "{destination:<30} {next_hop:<26} {flags:<4} {metric:<3} {:<3} {:>4} {}\n",
            0, 0, route.port
        );
    }
    text
}

/// With names: those of nodes, and `default`.
fn table(routes: &[RouteRow], names: Option<&Names>) -> String {
    let mut text = "Kernel IP routing table\n\
        Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface\n"
        .to_owned();
    for route in routes.iter().filter(|route| route.prefix.is_ipv4()) {
        let destination = match (route.prefix_len, names) {
            (0, Some(_)) => "default".to_owned(),
            _ => route.prefix.to_string(),
        };
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let gateway = route.gateway.unwrap_or(unspecified);
        let gateway = match names.and_then(|names| names.name(&gateway)) {
            Some(name) => name.to_owned(),
            None => gateway.to_string(),
        };
        let flags = match (route.gateway.is_some(), route.prefix_len) {
            (true, 32) => "UGH",
            (true, _) => "UG",
            (false, 32) => "UH",
            (false, _) => "U",
        };
        text += &format!(
            "{destination:<15} {gateway:<15} {:<15} {flags:<6}{:>5} {:<5} {:>6} {}\n",
            genmask(route.prefix_len),
            0,
            0,
            0,
            route.port
        );
    }
    text
}

/// What Linux gives a route that a router was named for, and one that is on the link itself.
const ROUTER_METRIC: u32 = 1024;
const LINK_METRIC: u32 = 256;

fn genmask(prefix_len: u8) -> String {
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32)));
    Ipv4Addr::from(bits.unwrap_or(0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, prefix_len: u8, gateway: Option<&str>) -> RouteRow {
        RouteRow {
            prefix: prefix.parse().expect("an address"),
            prefix_len,
            gateway: gateway.map(|gateway| gateway.parse().expect("an address")),
            port: "eth0".into(),
        }
    }

    #[test]
    fn rows_of_ipv6_are_those_of_net_tools_byte_for_byte() {
        let routes = [
            route("10.0.1.0", 24, None),
            route("::", 0, Some("fe80::1")),
            route("fd00:1:2:3::", 64, None),
        ];
        let expected = "\
Kernel IPv6 routing table
Destination                    Next Hop                   Flag Met Ref  Use If
::/0                           fe80::1                    UG   1024 0      0 eth0
fd00:1:2:3::/64                ::                         U    256 0      0 eth0
";
        assert_eq!(table_of_ipv6(&routes, None), expected);
        assert_eq!(table(&routes, None).lines().count(), 3);
    }

    #[test]
    fn rows_are_those_of_net_tools_byte_for_byte() {
        let routes = [
            route("0.0.0.0", 0, Some("192.0.2.1")),
            route("192.0.2.0", 24, None),
        ];
        let expected = "\
Kernel IP routing table
Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface
0.0.0.0         192.0.2.1       0.0.0.0         UG        0 0          0 eth0
192.0.2.0       0.0.0.0         255.255.255.0   U         0 0          0 eth0
";
        assert_eq!(table(&routes, None), expected);
    }
}
