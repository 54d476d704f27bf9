//! What a switch alone has: `snooping` and `querier`.
use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use toml::de::DeValue;

use super::document::{Fields, Result, Value};
use super::nodes::{Given, NodeDraft, is_for_hosts};
use super::{Multicast, NodeKind};

const LIKE_QUERIER: &str = "querier = true, or the address that it asks from, \"10.0.1.250\"";

/// Both keys of a node.
pub(super) fn read(node: Fields<'_, '_>, kind: NodeKind) -> Result<Multicast> {
    let mut keys = ["snooping", "querier"].into_iter();
    if let Some(key) = keys.find(|key| kind != NodeKind::Switch && node.get(key).is_some()) {
        let message = format!("`{key}` is for switches only");
        let error = node.source.error(node.key_span(key), message);
        return Err(error.help("kind = \"switch\""));
    }
    let snooping = node.flag("snooping")?.unwrap_or(true);
    let querier = match node.get("querier") {
        Some(value) => querier(node, value)?,
        None => None,
    };
    if querier.is_some() && !snooping {
        let message = "`querier` without `snooping`: it would make nothing of the answers";
        let error = node.source.error(node.key_span("querier"), message);
        return Err(error.help("leave one of them out"));
    }
    Ok(Multicast { snooping, querier })
}

/// `true`, `false`, or an address of IPv4.
fn querier(node: Fields<'_, '_>, value: &Value<'_>) -> Result<Option<Ipv4Addr>> {
    match value.get_ref() {
        DeValue::Boolean(asks) => Ok(asks.then_some(Ipv4Addr::UNSPECIFIED)),
        DeValue::String(text) => match text.parse() {
            Ok(IpAddr::V4(address)) if is_for_hosts(address.into()) => Ok(Some(address)),
            Ok(IpAddr::V4(address)) => {
                Err(node.error(value, format!("{address} can't be a host's address")))
            }
            Ok(IpAddr::V6(_)) => {
                let message =
                    "`querier`: in IPv6 a switch asks from a link-local address of its own";
                Err(node.error(value, message).help(LIKE_QUERIER))
            }
            Err(_) => {
                let message = format!("`querier`: `{text}` is not an address");
                Err(node.error(value, message).help(LIKE_QUERIER))
            }
        },
        _ => Err(node.wrong("querier", value, "true, false or an address of IPv4")),
    }
}

/// Nobody else has the address that a switch asks from.
pub(super) fn check_queriers(
    all: Fields<'_, '_>,
    nodes: &BTreeMap<String, NodeDraft>,
) -> Result<()> {
    for (name, node) in nodes {
        let asks_from = node.multicast.querier.filter(|ip| !ip.is_unspecified());
        let Some(address) = asks_from else { continue };
        let has_it = |other: &NodeDraft| {
            let mut given = other.addresses.iter();
            given.any(|p| matches!(p.given, Given::Address(ip, _) if ip == IpAddr::V4(address)))
        };
        let asks_too = |other: &NodeDraft| other.multicast.querier == Some(address);
        let mut others = nodes.iter().filter(|(other, _)| *other != name);
        let Some((owner, _)) = others.find(|(_, other)| has_it(other) || asks_too(other)) else {
            continue;
        };
        let message = format!("two nodes of one address: {address}");
        let place = all
            .get(name)
            .and_then(|node| Fields::of(all.source, node, "a node").ok());
        let span = place.map_or(0..0, |node| node.key_span("querier"));
        let error = all.source.error(span, message);
        return Err(error.help(format!("`{owner}` has it already")));
    }
    Ok(())
}
