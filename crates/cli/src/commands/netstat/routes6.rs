//! `netstat -r6`: the routing table of IPv6, and what is this host's own.
use super::Names;
use crate::args::Netstat;
use crate::control::client::Client;
use crate::control::{Answer, Ask, NodeAddresses, RouteRow};
use crate::failure::Failure;

/// What each node has of its own.
pub fn own(client: &Client, netstat: &Netstat) -> Result<Vec<NodeAddresses>, Failure> {
    let node = netstat.node.clone();
    match client.ask(&Ask::Addresses { node })? {
        Answer::Addresses { nodes } => Ok(nodes),
        _ => Err(Failure::odd_answer()),
    }
}

/// Linux's order: to networks, the default, to this host itself, to groups, and what has no way.
pub fn table(routes: &[RouteRow], own: Option<&NodeAddresses>, names: Option<&Names>) -> String {
    let mut text = "Kernel IPv6 routing table\n\
        Destination                    Next Hop                   Flag Met Ref  Use If\n"
        .to_owned();
    let (default, networks): (Vec<_>, Vec<_>) = routes
        .iter()
        .filter(|row| row.prefix.is_ipv6())
        .partition(|row| row.prefix_len == 0);
    let nobody = if names.is_some() { "[::]" } else { "::" };
    let everywhere = format!("{nobody}/0");
    for route in networks.into_iter().chain(default) {
        let via = route.gateway.map(|via| {
            let name = names.and_then(|names| names.name(&via));
            name.map_or_else(|| via.to_string(), str::to_owned)
        });
        let destination = match route.prefix_len {
            0 => everywhere.clone(),
            len => format!("{}/{len}", route.prefix),
        };
        let metric = if route.origin == "kernel" { 256 } else { 1024 };
        let via = via.as_deref().unwrap_or(nobody);
        text += &row([&destination, via, &flags(route)], metric, &route.port);
    }
    let addresses = own.map_or(&[][..], |own| &own.addresses);
    let mut addresses: Vec<_> = addresses.iter().filter(|a| a.address.is_ipv6()).collect();
    addresses.sort_by_key(|row| row.address);
    for address in &addresses {
        let destination = format!("{}/128", address.address);
        text += &row([&destination, nobody, "Un"], 0, &address.port);
    }
    let ports = own.map_or(&[][..], |own| &own.ports);
    let speaks = |port: &str| addresses.iter().any(|address| address.port == port);
    for port in ports.iter().filter(|p| p.port != "lo" && speaks(&p.port)) {
        text += &row(["ff00::/8", nobody, "U"], 256, &port.port);
    }
    text + &row([&everywhere, nobody, "!n"], -1, "lo")
}

fn row([destination, via, flags]: [&str; 3], metric: i32, port: &str) -> String {
    let (references, used) = (1, 0);
    format!("{destination:<30} {via:<26} {flags:<4} {metric:<3} {references:<1}{used:>7} {port}\n")
}

/// Up, by a gateway, to a host; default, told by a router, with a life.
fn flags(route: &RouteRow) -> String {
    let told = route.origin == "ra" || (route.origin == "kernel" && route.expires.is_some());
    let letters = [
        ('U', true),
        ('G', route.gateway.is_some()),
        ('H', route.prefix_len == 128),
        ('D', route.origin == "ra" && route.prefix_len == 0),
        ('A', told),
        ('e', route.expires.is_some()),
    ];
    let set = letters.into_iter().filter(|(_, set)| *set);
    set.map(|(letter, _)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{AddressRow, PortRow};

    #[test]
    fn rows_are_those_of_net_tools_byte_for_byte() {
        let route =
            |prefix: &str, prefix_len, gateway: Option<&str>, origin: &str, expires| RouteRow {
                prefix: prefix.parse().expect("an address"),
                prefix_len,
                gateway: gateway.map(|gateway| gateway.parse().expect("an address")),
                port: "eth0".into(),
                origin: origin.into(),
                expires,
                source: None,
            };
        let routes = [
            route("::", 0, Some("fd00:1::1"), "static", None),
            route("fd00:1::", 64, None, "kernel", None),
            route("fd00:9::", 64, Some("fd00:1::1"), "static", Some(300)),
        ];
        let address = |port: &str, address: &str| AddressRow {
            port: port.into(),
            address: address.parse().expect("an address"),
            prefix_len: 64,
            flags: Vec::new(),
            valid: None,
            preferred: None,
        };
        let port = |port: &str| PortRow {
            port: port.into(),
            mac: None,
            mtu: 1_500,
            rx_ok: 0,
            rx_err: 0,
            rx_drop: 0,
            rx_bytes: 0,
            tx_ok: 0,
            tx_err: 0,
            tx_drop: 0,
            tx_bytes: 0,
        };
        let own = NodeAddresses {
            node: "a".into(),
            ports: vec![port("lo"), port("eth0"), port("eth1")],
            addresses: vec![address("eth0", "fd00:1::10"), address("lo", "::1")],
        };
        let expected = "\
Kernel IPv6 routing table
Destination                    Next Hop                   Flag Met Ref  Use If
fd00:1::/64                    ::                         U    256 1      0 eth0
fd00:9::/64                    fd00:1::1                  UGe  1024 1      0 eth0
::/0                           fd00:1::1                  UG   1024 1      0 eth0
::1/128                        ::                         Un   0   1      0 lo
fd00:1::10/128                 ::                         Un   0   1      0 eth0
ff00::/8                       ::                         U    256 1      0 eth0
::/0                           ::                         !n   -1  1      0 lo
";
        assert_eq!(table(&routes, Some(&own), None), expected);
        let told = route("::", 0, Some("fe80::1"), "ra", Some(1_800));
        assert_eq!(flags(&told), "UGDAe");
        let prefix = route("fd00:2::", 64, None, "kernel", Some(1_800));
        assert_eq!(flags(&prefix), "UAe");
    }
}
