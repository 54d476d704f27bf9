//! `netstat -r`: the routing table.
use std::net::{IpAddr, Ipv4Addr};

use super::{Names, print_nodes};
use crate::args::Netstat;
use crate::commands::print_json;
use crate::control::client::Client;
use crate::control::{Answer, Ask, RouteRow};
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
        .map(|node| (node.node.as_str(), table(&node.routes, names.as_ref())));
    print_nodes(tables, netstat.node.is_some())?;
    Ok(0)
}

/// With names: those of nodes, and `default`.
fn table(routes: &[RouteRow], names: Option<&Names>) -> String {
    let mut text = "Kernel IP routing table\n\
        Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface\n"
        .to_owned();
    for route in routes {
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

fn genmask(prefix_len: u8) -> String {
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32)));
    Ipv4Addr::from(bits.unwrap_or(0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_net_tools_byte_for_byte() {
        let route = |prefix: &str, prefix_len, gateway: Option<&str>| RouteRow {
            prefix: prefix.parse().expect("an address"),
            prefix_len,
            gateway: gateway.map(|gateway| gateway.parse().expect("an address")),
            port: "eth0".into(),
        };
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
