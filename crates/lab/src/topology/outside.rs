//! `"tap:NAME"` and `"tun:NAME"` in `endpoints`: interfaces of the kernel at the ends of links.
use std::collections::BTreeMap;
use std::ops::Range;

use heptad_stack::l4_transport::tcp::{Congestion, Ecn};

use super::document::{Result, Source};
use super::links::LinkDraft;
use super::nodes::NodeDraft;
use super::segments::End;
use super::{Multicast, NodeKind};

const TAP: &str = "tap:";
const TUN: &str = "tun:";
/// Linux's IFNAMSIZ, less the zero byte.
const LONGEST: usize = 15;

/// The interface's name in `tap:NAME` or `tun:NAME`. No node of the file has such a name: they hold no `:`.
pub(super) fn interface(text: &str) -> Option<&str> {
    text.strip_prefix(TAP).or_else(|| text.strip_prefix(TUN))
}

/// How a node is called in the name of a link.
pub(super) fn shown(node: &str) -> &str {
    interface(node).unwrap_or(node)
}

/// An end outside of the lab: the node is called as the file calls it, its one port as the interface.
pub(super) fn end(
    source: Source<'_>,
    text: &str,
    name: &str,
    span: &Range<usize>,
) -> Result<(String, String)> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_dots = matches!(name, "." | "..");
    if name.is_empty() || name.len() > LONGEST || is_dots || !name.chars().all(fits) {
        return Err(source
            .error(
                span.clone(),
                format!("`{name}` can't be the name of an interface"),
            )
            .help(format!(
                "1 to {LONGEST} letters, digits, `-`, `_` or `.`: \"tap:heptad0\""
            )));
    }
    Ok((text.to_owned(), name.to_owned()))
}

/// Each interface is one end of one link, and its time is the wall's.
pub(super) fn check(source: Source<'_>, links: &[LinkDraft], virtual_clock: bool) -> Result<()> {
    let mut used = BTreeMap::new();
    for ((node, interface), span) in ends(links) {
        if virtual_clock {
            let message = format!("`{node}` is a real cable, and this lab's clock is virtual");
            return Err(source.error(span.clone(), message).help("clock = \"real\""));
        }
        if used.insert(interface, ()).is_some() {
            let message = format!("the interface `{interface}` is the end of two links");
            return Err(source
                .error(span.clone(), message)
                .help("an interface holds one cable: use another one, or a switch between them"));
        }
    }
    Ok(())
}

/// The machines behind the interfaces, by name.
pub(super) fn nodes(links: &[LinkDraft]) -> impl Iterator<Item = (String, NodeDraft)> {
    ends(links).map(|((node, _), span)| {
        let draft = NodeDraft {
            span: span.clone(),
            kind: if node.starts_with(TAP) {
                NodeKind::Tap
            } else {
                NodeKind::Tun
            },
            addresses: Vec::new(),
            privacy: false,
            conflict_detection: false,
            congestion: Congestion::default(),
            ecn: Ecn::default(),
            gateways: Vec::new(),
            programs: Vec::new(),
            publish: Vec::new(),
            uplink: None,
            multicast: Multicast::default(),
        };
        (node.clone(), draft)
    })
}

/// All ends outside of the lab.
fn ends(links: &[LinkDraft]) -> impl Iterator<Item = (&End, &Range<usize>)> {
    let both = links
        .iter()
        .flat_map(|l| l.link.ends.iter().zip(&l.end_spans));
    both.filter(|((node, _), _)| interface(node).is_some())
}
