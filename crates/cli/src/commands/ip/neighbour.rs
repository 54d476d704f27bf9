//! `ip neigh`: who was asked for, and who answered.
use super::address::is_wanted;
use super::json::Json;
use super::{Shown, View};
use crate::control::client::Client;
use crate::control::{Answer, Ask, NeighbourRow};
use crate::failure::Failure;

/// The neighbours of one node, or of all.
pub fn show(client: &Client, node: Option<String>, view: &View) -> Result<Vec<Shown>, Failure> {
    let Answer::Neighbours { nodes } = client.ask(&Ask::Neighbours { node })? else {
        return Err(Failure::odd_answer());
    };
    let shown = nodes.into_iter().map(|node| {
        let mut rows = node.neighbours;
        rows.retain(|row| is_wanted(row.address, view));
        rows.retain(|row| view.device.as_ref().is_none_or(|name| *name == row.port));
        // Those of IPv4 first, as iproute2 asks for them.
        rows.sort_by_key(|row| row.address.is_ipv6());
        Shown {
            node: node.node,
            text: rows.iter().map(|row| text(row, view)).collect(),
            objects: rows.iter().map(|row| object(row, view)).collect(),
        }
    });
    Ok(shown.collect())
}

fn text(row: &NeighbourRow, view: &View) -> String {
    let NeighbourRow {
        address,
        mac,
        state,
        port,
    } = row;
    if view.brief {
        let mac = mac.as_deref().unwrap_or_default();
        return format!("{:<40}{port:<16} {mac}\n", address.to_string());
    }
    let device = match view.device {
        Some(_) => String::new(),
        None => format!("dev {port} "),
    };
    let mac = mac.as_ref().map(|mac| format!("lladdr {mac} "));
    format!("{address} {device}{}{state} \n", mac.unwrap_or_default())
}

fn object(row: &NeighbourRow, view: &View) -> Json {
    let mut fields = vec![("dst", Json::text(row.address))];
    if view.device.is_none() {
        fields.push(("dev", Json::text(&row.port)));
    }
    fields.extend(row.mac.as_ref().map(|mac| ("lladdr", Json::text(mac))));
    if !view.brief {
        fields.push(("state", Json::texts([&row.state])));
    }
    Json::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_iproute2_byte_for_byte() {
        let row = |address: &str, mac: Option<&str>, state: &str| NeighbourRow {
            address: address.parse().expect("an address"),
            mac: mac.map(str::to_owned),
            state: state.into(),
            port: "eth0".into(),
        };
        let known = row("192.0.2.1", Some("02:00:00:00:00:05"), "REACHABLE");
        let asked = row("fd00:1::77", None, "INCOMPLETE");
        let view = |device: Option<&str>, brief| View {
            device: device.map(str::to_owned),
            version: None,
            brief,
        };
        let all = view(None, false);
        for (row, view, expected, json) in [
            (
                &known,
                &all,
                "192.0.2.1 dev eth0 lladdr 02:00:00:00:00:05 REACHABLE \n",
                r#"{"dst":"192.0.2.1","dev":"eth0","lladdr":"02:00:00:00:00:05","state":["REACHABLE"]}"#,
            ),
            (
                &asked,
                &all,
                "fd00:1::77 dev eth0 INCOMPLETE \n",
                r#"{"dst":"fd00:1::77","dev":"eth0","state":["INCOMPLETE"]}"#,
            ),
            (
                &known,
                &view(Some("eth0"), false),
                "192.0.2.1 lladdr 02:00:00:00:00:05 REACHABLE \n",
                r#"{"dst":"192.0.2.1","lladdr":"02:00:00:00:00:05","state":["REACHABLE"]}"#,
            ),
            (
                &known,
                &view(None, true),
                "192.0.2.1                               eth0             02:00:00:00:00:05\n",
                r#"{"dst":"192.0.2.1","dev":"eth0","lladdr":"02:00:00:00:00:05"}"#,
            ),
        ] {
            assert_eq!(text(row, view), expected);
            assert_eq!(object(row, view).compact(), json);
        }
    }
}
