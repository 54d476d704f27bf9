//! `ip route`: IPv4's table, IPv6's with -6.
use super::json::Json;
use super::{Shown, View};
use crate::control::client::Client;
use crate::control::{Answer, Ask, IpVersion, RouteRow};
use crate::failure::Failure;

/// The routes of one node, or of all.
pub fn show(client: &Client, node: Option<String>, view: &View) -> Result<Vec<Shown>, Failure> {
    let Answer::Routes { nodes } = client.ask(&Ask::Routes { node })? else {
        return Err(Failure::odd_answer());
    };
    let v6 = view.version == Some(IpVersion::V6);
    let shown = nodes.into_iter().map(|node| {
        let mut rows = node.routes;
        rows.retain(|row| row.prefix.is_ipv6() == v6);
        rows.retain(|row| view.device.as_ref().is_none_or(|name| *name == row.port));
        // Linux's table of IPv6 ends with the default.
        rows.sort_by_key(|row| v6 && row.prefix_len == 0);
        Shown {
            node: node.node,
            text: rows.iter().map(|row| text(row, view)).collect(),
            objects: rows.iter().map(|row| object(row, view)).collect(),
        }
    });
    Ok(shown.collect())
}

/// What iproute2 has of a route, in its order; each with the word before it in a text.
fn fields(row: &RouteRow, view: &View) -> Vec<(&'static str, &'static str, Json)> {
    let v6 = row.prefix.is_ipv6();
    let whole = if v6 { 128 } else { 32 };
    let destination = match row.prefix_len {
        0 => "default".to_owned(),
        len if len == whole => row.prefix.to_string(),
        len => format!("{}/{len}", row.prefix),
    };
    let mut fields = vec![("dst", "", Json::text(destination))];
    fields.extend(row.gateway.map(|via| ("gateway", "via", Json::text(via))));
    if view.device.is_none() {
        fields.push(("dev", "dev", Json::text(&row.port)));
    }
    fields.push(("protocol", "proto", Json::text(&row.origin)));
    if !v6 && row.gateway.is_none() {
        fields.push(("scope", "scope", Json::text("link")));
        fields.extend(row.source.map(|src| ("prefsrc", "src", Json::text(src))));
    }
    if v6 {
        let metric = if row.origin == "kernel" { 256 } else { 1024 };
        fields.push(("metric", "metric", Json::Number(metric)));
    }
    fields.push(("flags", "", Json::Array(Vec::new())));
    fields.extend(
        row.expires
            .map(|left| ("expires", "expires", Json::Number(left))),
    );
    if v6 {
        fields.push(("pref", "pref", Json::text("medium")));
    }
    fields
}

fn text(row: &RouteRow, view: &View) -> String {
    let words = fields(row, view)
        .into_iter()
        .filter_map(|(name, word, value)| {
            let value = match value {
                Json::Text(text) => text,
                Json::Number(number) if name == "expires" => format!("{number}sec"),
                Json::Number(number) => number.to_string(),
                _ => return None,
            };
            let gap = if word.is_empty() { "" } else { " " };
            Some(format!("{word}{gap}{value}"))
        });
    let words: Vec<String> = words.collect();
    // A line of IPv4 ends with a blank, one of IPv6 with its preference.
    let end = if row.prefix.is_ipv6() { "\n" } else { " \n" };
    words.join(" ") + end
}

fn object(row: &RouteRow, view: &View) -> Json {
    let fields = fields(row, view).into_iter();
    Json::Object(fields.map(|(name, _, value)| (name, value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(prefix: &str, prefix_len: u8, gateway: Option<&str>, origin: &str) -> RouteRow {
        let address = |text: &str| text.parse().expect("an address");
        RouteRow {
            prefix: address(prefix),
            prefix_len,
            gateway: gateway.map(address),
            port: "eth0".into(),
            origin: origin.into(),
            expires: None,
            source: None,
        }
    }

    #[test]
    fn rows_are_those_of_iproute2_byte_for_byte() {
        let on_link = RouteRow {
            source: Some("192.0.2.10".parse().expect("an address")),
            ..row("192.0.2.0", 24, None, "kernel")
        };
        let told = RouteRow {
            expires: Some(997),
            ..row("fd00:2::", 64, None, "kernel")
        };
        let router = RouteRow {
            expires: Some(1_795),
            ..row("::", 0, Some("fe80::1"), "ra")
        };
        for (row, expected, json) in [
            (
                &row("0.0.0.0", 0, Some("192.0.2.1"), "static"),
                "default via 192.0.2.1 dev eth0 proto static \n",
                r#"{"dst":"default","gateway":"192.0.2.1","dev":"eth0","protocol":"static","flags":[]}"#,
            ),
            (
                &on_link,
                "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10 \n",
                r#"{"dst":"192.0.2.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"192.0.2.10","flags":[]}"#,
            ),
            (
                &row("10.2.3.4", 32, Some("192.0.2.1"), "static"),
                "10.2.3.4 via 192.0.2.1 dev eth0 proto static \n",
                r#"{"dst":"10.2.3.4","gateway":"192.0.2.1","dev":"eth0","protocol":"static","flags":[]}"#,
            ),
            (
                &told,
                "fd00:2::/64 dev eth0 proto kernel metric 256 expires 997sec pref medium\n",
                r#"{"dst":"fd00:2::/64","dev":"eth0","protocol":"kernel","metric":256,"flags":[],"expires":997,"pref":"medium"}"#,
            ),
            (
                &router,
                "default via fe80::1 dev eth0 proto ra metric 1024 expires 1795sec pref medium\n",
                r#"{"dst":"default","gateway":"fe80::1","dev":"eth0","protocol":"ra","metric":1024,"flags":[],"expires":1795,"pref":"medium"}"#,
            ),
        ] {
            let view = View {
                device: None,
                version: None,
                brief: false,
            };
            assert_eq!(text(row, &view), expected);
            assert_eq!(object(row, &view).compact(), json);
        }
        let only = View {
            device: Some("eth0".into()),
            version: None,
            brief: false,
        };
        let expected = "192.0.2.0/24 proto kernel scope link src 192.0.2.10 \n";
        assert_eq!(text(&on_link, &only), expected);
    }
}
