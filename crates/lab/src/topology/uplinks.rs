//! `uplink = true`: a way out to the network of the machine around, by a gateway of the node's own that stands in for everybody there.
//!
//! ```text
//!   alice:eth1 ── alice-uplink ── uplink:alice     100.64.0.2/30 and .1; the next node's are .6 and .5
//! ```
use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;
use std::ops::Range;

use heptad_stack::l4_transport::tcp::{Congestion, Ecn};

use toml::de::DeValue;

use super::document::{Fields, Result, Source};
use super::links::{IMPAIRMENT_KEYS, LinkDraft, both};
use super::nodes::{Given, NodeDraft, Placed};
use super::{Impairments, Link, Multicast, NodeKind, Topology};

/// What the gateway of a node is called before that node's name. No node of the file has such a name: they hold no `:`.
const PREFIX: &str = "uplink:";
/// Its only port.
const PORT: &str = "eth0";
/// Where the networks between nodes and their gateways are: nobody's own, made for this (RFC 6598).
const SHARED: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
const LEN: u8 = 30;

/// `uplink` as the file has it.
#[derive(Clone)]
pub(super) struct Uplink {
    /// Where it says so.
    pub span: Range<usize>,
    /// From the node to its gateway.
    forward: Impairments,
    backward: Impairments,
}

/// `uplink = true`, or a table of what the cable to the gateway does.
pub(super) fn read(node: Fields<'_, '_>) -> Result<Option<Uplink>> {
    let mut uplink = Uplink {
        span: node.key_span("uplink"),
        forward: Impairments::default(),
        backward: Impairments::default(),
    };
    let Some(value) = node.get("uplink") else {
        return Ok(None);
    };
    match value.get_ref() {
        DeValue::Boolean(wanted) => return Ok(wanted.then_some(uplink)),
        DeValue::Table(_) => {}
        _ => {
            return Err(node.wrong(
                "uplink",
                value,
                "true, false or a table such as { delay = \"20ms\" }",
            ));
        }
    }
    let cable = Fields::of(node.source, value, "an uplink")?;
    cable.only(&[IMPAIRMENT_KEYS, &["forward", "backward"]])?;
    (uplink.forward, uplink.backward) =
        both(cable, &Impairments::default(), &Impairments::default())?;
    Ok(Some(uplink))
}

/// The node whose way out a gateway is, by the gateway's name.
pub(super) fn of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

impl Topology {
    /// The nodes that have a way out, with the names of their gateways.
    pub fn uplinks(&self) -> impl Iterator<Item = (&str, &str)> {
        let gateways = self.nodes.iter();
        let gateways = gateways.filter(|(_, node)| node.kind == NodeKind::Uplink);
        gateways.filter_map(|(name, _)| Some((of(name)?, name.as_str())))
    }
}

/// Gives each node that has an uplink its gateway, the cable there, and addresses on it.
pub(super) fn add(
    source: Source<'_>,
    nodes: &mut BTreeMap<String, NodeDraft>,
    links: &mut Vec<LinkDraft>,
) -> Result<()> {
    let wanted = nodes
        .iter()
        .filter_map(|(name, node)| Some((name.clone(), node.uplink.clone()?)));
    for (index, (name, uplink)) in (0_u32..).zip(wanted.collect::<Vec<_>>()) {
        let first = SHARED.to_bits() + 4 * index;
        let [gateway, own] = [1, 2].map(|n| IpAddr::V4(Ipv4Addr::from_bits(first + n)));
        let link = cable(source, (&name, &uplink), links)?;
        let span = uplink.span;
        let port = link.link.ends[0].1.clone();
        links.push(link);
        if let Some(node) = nodes.get_mut(&name) {
            if let Some((other, place)) = node.gateways.iter().find(|(ip, _)| ip.is_ipv4()) {
                let message = format!("`{name}` has a gateway of IPv4 and an uplink");
                let help =
                    format!("leave one out: behind {other}, too, is all the rest of the world");
                return Err(source.error(place.clone(), message).help(help));
            }
            node.addresses.push(placed(&port, own, &span));
            node.gateways.push((gateway, span.clone()));
        }
        nodes.insert(format!("{PREFIX}{name}"), draft(gateway, own, span));
    }
    Ok(())
}

/// The cable from a node's next free port.
fn cable(
    source: Source<'_>,
    (node, uplink): (&str, &Uplink),
    links: &[LinkDraft],
) -> Result<LinkDraft> {
    let name = format!("{node}-uplink");
    let span = &uplink.span;
    if links.iter().any(|draft| draft.link.name == name) {
        let message = format!("the cable of this uplink is named `{name}`, and so is a link");
        return Err(source.error(span.clone(), message));
    }
    let used = |port: &str| {
        let mut ends = links.iter().flat_map(|draft| &draft.link.ends);
        ends.any(|(at, name)| at == node && name == port)
    };
    let mut ports = (0..).map(|n| format!("eth{n}"));
    let port = ports.find(|port| !used(port)).unwrap_or_default();
    let end = (format!("{PREFIX}{node}"), PORT.to_owned());
    Ok(LinkDraft {
        link: Link {
            name,
            ends: [(node.to_owned(), port), end],
            forward: uplink.forward.clone(),
            backward: uplink.backward.clone(),
            mtu: 1500,
        },
        end_spans: [span.clone(), span.clone()],
    })
}

fn placed(port: &str, address: IpAddr, span: &Range<usize>) -> Placed {
    Placed {
        port: port.to_owned(),
        given: Given::Address(address, LEN),
        span: span.clone(),
    }
}

/// A gateway: all that is not its own is behind the node.
fn draft(own: IpAddr, node: IpAddr, span: Range<usize>) -> NodeDraft {
    NodeDraft {
        kind: NodeKind::Uplink,
        addresses: vec![placed(PORT, own, &span)],
        privacy: false,
        conflict_detection: false,
        congestion: Congestion::default(),
        ecn: Ecn::default(),
        gateways: vec![(node, span.clone())],
        programs: Vec::new(),
        publish: Vec::new(),
        uplink: None,
        multicast: Multicast::default(),
        span,
    }
}
