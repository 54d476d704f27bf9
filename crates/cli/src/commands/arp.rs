//! `heptad arp`: the columns of net-tools 2.10.
use super::netstat::{Names, print_nodes};
use super::print_json;
use crate::args::Arp;
use crate::control::client::Client;
use crate::control::{Answer, Ask, NeighbourRow};
use crate::failure::Failure;

/// Prints the neighbours of one node, or of all, each under its name.
pub fn arp(arp: &Arp, json: bool) -> Result<u8, Failure> {
    let client = Client::find(arp.lab.as_deref())?;
    let node = arp.node.clone();
    let Answer::Neighbours { mut nodes } = client.ask(&Ask::Neighbours { node })? else {
        return Err(Failure::odd_answer());
    };
    for node in &mut nodes {
        let wanted = |row: &NeighbourRow| arp.address.is_none_or(|address| row.address == address);
        // ARP knows IPv4 only; `heptad ip neigh` shows all.
        node.neighbours
            .retain(|row| row.address.is_ipv4() && wanted(row));
    }
    if json {
        print_json(&serde_json::json!({ "nodes": nodes }))?;
        return Ok(0);
    }
    let names = match arp.numeric {
        true => Names::default(),
        false => Names::of(&client)?,
    };
    let tables = nodes.iter().map(|node| {
        let text = match (node.neighbours.as_slice(), arp.address, arp.all) {
            ([], Some(address), _) => no_entry(address, &names),
            (rows, _, true) => sentences(rows, &names),
            (rows, _, false) => table(rows, &names),
        };
        (node.node.as_str(), text)
    });
    print_nodes(tables, arp.node.is_some())?;
    Ok(0)
}

fn no_entry(address: std::net::IpAddr, names: &Names) -> String {
    let name = names.name(&address).map(str::to_owned);
    let name = name.unwrap_or_else(|| address.to_string());
    format!("{name} ({address}) -- no entry\n")
}

fn table(rows: &[NeighbourRow], names: &Names) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = "Address                  HWtype  HWaddress           Flags Mask            Iface\n";
    let row = |row: &NeighbourRow| {
        let name = names.name(&row.address).map(str::to_owned);
        let name = name.unwrap_or_else(|| row.address.to_string());
        let (kind, mac, flags) = match &row.mac {
            Some(mac) => ("ether", mac.as_str(), "C"),
            None => ("", "(incomplete)", ""),
        };
        format!(
            "{name:<23.23}  {kind:<8}{mac:<20}{flags:<6}{:<15} {}\n",
            "", row.port
        )
    };
    std::iter::once(head.to_owned())
        .chain(rows.iter().map(row))
        .collect()
}

fn sentences(rows: &[NeighbourRow], names: &Names) -> String {
    let row = |row: &NeighbourRow| {
        let name = names.name(&row.address).unwrap_or("?");
        let (address, port) = (row.address, &row.port);
        match &row.mac {
            Some(mac) => format!("{name} ({address}) at {mac} [ether] on {port}\n"),
            None => format!("{name} ({address}) at <incomplete> on {port}\n"),
        }
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [NeighbourRow; 2] {
        let row = |address: &str, mac: Option<&str>, state: &str| NeighbourRow {
            address: address.parse().expect("an address"),
            mac: mac.map(str::to_owned),
            state: state.into(),
            port: "eth0".into(),
        };
        [
            row("192.0.2.77", None, "INCOMPLETE"),
            row("192.0.2.1", Some("72:1f:e0:77:1d:3a"), "REACHABLE"),
        ]
    }

    #[test]
    fn rows_are_those_of_net_tools_byte_for_byte() {
        let expected = "\
Address                  HWtype  HWaddress           Flags Mask            Iface
192.0.2.77                       (incomplete)                              eth0
192.0.2.1                ether   72:1f:e0:77:1d:3a   C                     eth0
";
        assert_eq!(table(&rows(), &Names::default()), expected);
    }

    #[test]
    fn the_style_of_bsd_is_a_sentence_a_row() {
        let expected = "\
? (192.0.2.77) at <incomplete> on eth0
? (192.0.2.1) at 72:1f:e0:77:1d:3a [ether] on eth0
";
        assert_eq!(sentences(&rows(), &Names::default()), expected);
    }
}
