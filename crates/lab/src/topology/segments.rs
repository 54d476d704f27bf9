//! Layer 2's view: which ports hear each other, over cables and switches.
use std::collections::BTreeMap;

use super::{Link, NodeKind};

/// (node, port).
pub(crate) type End = (String, String);

/// The ports of hosts, routers and machines outside that one frame to everybody reaches, in order of names.
pub(crate) type Segment = Vec<End>;

/// All segments, ordered by their first port. `Err`: the index of a cable that closes a loop of switches.
pub(crate) fn segments(
    kind: impl Fn(&str) -> NodeKind,
    links: &[Link],
) -> Result<Vec<Segment>, usize> {
    // A switch is one vertex; of a host or router each port is one.
    let vertex = |(node, port): &End| match kind(node) {
        NodeKind::Switch => (node.clone(), String::new()),
        _ => (node.clone(), port.clone()),
    };
    let mut numbers = BTreeMap::new();
    let cables = || links.iter().enumerate().filter(|(_, l)| !l.is_loopback());
    for end in cables().flat_map(|(_, link)| &link.ends) {
        let next = numbers.len();
        numbers.entry(vertex(end)).or_insert(next);
    }
    let mut parents: Vec<usize> = (0..numbers.len()).collect();
    for (index, link) in cables() {
        let [a, b] =
            [&link.ends[0], &link.ends[1]].map(|end| root(&mut parents, numbers[&vertex(end)]));
        if a == b {
            return Err(index);
        }
        parents[a.max(b)] = a.min(b);
    }
    let mut segments: BTreeMap<usize, Segment> = BTreeMap::new();
    for ((node, port), number) in numbers {
        if kind(&node) != NodeKind::Switch {
            let segment = segments.entry(root(&mut parents, number)).or_default();
            segment.push((node, port));
        }
    }
    let mut segments: Vec<Segment> = segments.into_values().collect();
    segments.sort();
    Ok(segments)
}

/// The representative of a vertex, with the path to it halved.
fn root(parents: &mut [usize], mut vertex: usize) -> usize {
    while parents[vertex] != vertex {
        parents[vertex] = parents[parents[vertex]];
        vertex = parents[vertex];
    }
    vertex
}
