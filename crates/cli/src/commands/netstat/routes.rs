//! `netstat -r`: the routing table of IPv4, or with -6 that of IPv6.
use std::net::{IpAddr, Ipv4Addr};

use super::{Names, print_nodes, routes6};
use crate::args::Netstat;
use crate::commands::print_json;
use crate::control::client::Client;
use crate::control::{Answer, Ask, RouteRow};
use crate::failure::Failure;

/// Prints the routes of one node, or of all, each under its name. IPv4's, unless only -6 is given.
pub fn print(client: &Client, netstat: &Netstat, json: bool) -> Result<u8, Failure> {
    let node = netstat.node.clone();
    let Answer::Routes { mut nodes } = client.ask(&Ask::Routes { node })? else {
        return Err(Failure::odd_answer());
    };
    let (v4, v6) = (netstat.inet || !netstat.inet6, netstat.inet6);
    for node in &mut nodes {
        let wanted = |row: &RouteRow| if row.prefix.is_ipv6() { v6 } else { v4 };
        node.routes.retain(wanted);
    }
    if json {
        print_json(&serde_json::json!({ "nodes": nodes }))?;
        return Ok(0);
    }
    let names = match netstat.numeric {
        true => None,
        false => Some(Names::of(client)?),
    };
    let own = match v6 {
        true => routes6::own(client, netstat)?,
        false => Vec::new(),
    };
    let tables = nodes.iter().map(|node| {
        let mut text = String::new();
        if v4 {
            text += &table(&node.routes, names.as_ref());
        }
        if v6 {
            let own = own.iter().find(|own| own.node == node.node);
            text += &routes6::table(&node.routes, own, names.as_ref());
        }
        (node.node.as_str(), text)
    });
    print_nodes(tables, netstat.node.is_some())?;
    Ok(0)
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
            origin: "static".into(),
            expires: None,
            source: None,
        }
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
