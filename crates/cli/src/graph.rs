//! A lab as a drawing, in the languages of Mermaid and of Graphviz.
use std::fmt::Write as _;

use heptad_lab::Topology;
use heptad_lab::topology::{Link, Node, NodeKind};
use serde::{Deserialize, Serialize};

/// In which language.
#[derive(clap::ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum GraphFormat {
    /// Mermaid's flowchart, as GitHub, GitLab and many editors draw it.
    Mermaid,
    /// Graphviz: heptad lab graph FILE --format dot | dot -Tsvg.
    Dot,
}

/// A box of the drawing: a node.
struct Corner<'t> {
    name: &'t str,
    kind: NodeKind,
    lines: Vec<String>,
}

/// Nodes by name, cables in the order of the file: the same lab gives the same text.
pub fn draw(topology: &Topology, format: GraphFormat) -> String {
    let corners = corners(topology);
    match format {
        GraphFormat::Mermaid => mermaid(topology, &corners),
        GraphFormat::Dot => dot(topology, &corners),
    }
}

fn corners(topology: &Topology) -> Vec<Corner<'_>> {
    let nodes = topology.nodes.iter().map(|(name, node)| {
        let addresses = shown_addresses(node);
        Corner {
            name,
            kind: node.kind,
            lines: std::iter::once(name.clone()).chain(addresses).collect(),
        }
    });
    nodes.collect()
}

/// A node's addresses as the lab file has them, or would have them: `10.0.1.10/24`, `auto`.
pub fn shown_addresses(node: &Node) -> Vec<String> {
    let written = node.addresses.values().flatten();
    let written = written.map(|(address, len)| format!("{address}/{len}"));
    let automatic = node.automatic.iter().map(|_| "auto".to_owned());
    written.chain(automatic).collect()
}

/// The number of the box at one end of a cable.
fn number(corners: &[Corner<'_>], (node, _): &(String, String)) -> usize {
    let corner = corners.iter().position(|corner| corner.name == node);
    corner.unwrap_or_default()
}

/// What stands beside the line: the cable's own name, if it was given one, and what it does.
fn beside(link: &Link) -> Vec<String> {
    let own = (link.name != link.default_name()).then(|| link.name.clone());
    own.into_iter().chain(link.words()).collect()
}

fn mermaid(topology: &Topology, corners: &[Corner<'_>]) -> String {
    let mut text = format!("---\ntitle: {}\n---\nflowchart LR\n", topology.name);
    for (i, corner) in corners.iter().enumerate() {
        let (open, close) = match corner.kind {
            NodeKind::Host | NodeKind::Kernel => ("(", ")"),
            NodeKind::Router => ("{{", "}}"),
            NodeKind::Switch => ("[", "]"),
            NodeKind::Tap | NodeKind::Tun | NodeKind::Uplink => (">", "]"),
        };
        let label = corner.lines.join("<br>");
        let _ = writeln!(text, "  n{i}{open}\"{label}\"{close}");
    }
    for link in &topology.links {
        let [a, b] = link.ends.each_ref().map(|end| number(corners, end));
        let label = beside(link).join("<br>");
        let label = if label.is_empty() {
            label
        } else {
            format!("|\"{label}\"|")
        };
        let _ = writeln!(text, "  n{a} ---{label} n{b}");
    }
    text
}

fn dot(topology: &Topology, corners: &[Corner<'_>]) -> String {
    let mut text = format!(
        "graph \"{}\" {{\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\"];\n",
        topology.name
    );
    for (i, corner) in corners.iter().enumerate() {
        let shape = match corner.kind {
            NodeKind::Host | NodeKind::Kernel => "box, style=rounded",
            NodeKind::Router => "hexagon",
            NodeKind::Switch => "box",
            NodeKind::Tap | NodeKind::Tun | NodeKind::Uplink => "cds",
        };
        let label = corner.lines.join("\\n");
        let _ = writeln!(text, "  n{i} [label=\"{label}\", shape={shape}];");
    }
    for link in &topology.links {
        let [a, b] = link.ends.each_ref().map(|end| number(corners, end));
        let label = beside(link).join("\\n");
        let _ = writeln!(text, "  n{a} -- n{b} [label=\"{label}\"];");
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use heptad_lab::{Cable, Lab};

    use super::*;

    fn lab() -> Topology {
        let lab = Lab::builder()
            .host("alice", "10.0.1.10/24")
            .gateway("alice", "10.0.1.1")
            .host("end", "10.0.2.20/24")
            .router("r1")
            .switch("s1")
            .link("alice", "s1", Cable::new())
            .link("s1", "r1", Cable::new().name("uplink").loss("5%"))
            .link(
                "r1",
                "end",
                Cable::new()
                    .rate("10 Mbit")
                    .forward(Cable::new().delay("20ms")),
            );
        lab.topology().expect("a lab")
    }

    #[test]
    fn mermaid_has_a_box_for_each_node_and_a_line_for_each_cable() {
        let expected = "\
---
title: lab
---
flowchart LR
  n0(\"alice<br>10.0.1.10/24\")
  n1(\"end<br>10.0.2.20/24\")
  n2{{\"r1<br>10.0.1.1/24<br>10.0.2.254/24\"}}
  n3[\"s1\"]
  n0 --- n3
  n3 ---|\"uplink<br>loss 5.0 %\"| n2
  n2 ---|\"→ 20ms, 10 Mbit<br>← 10 Mbit\"| n1
";
        assert_eq!(draw(&lab(), GraphFormat::Mermaid), expected);
    }

    #[test]
    fn an_interface_of_the_kernel_is_a_box_of_its_own_shape() {
        let lab = Lab::builder().host("a", "10.0.0.1/24");
        let lab = lab.link("a", "tap:heptad0", Cable::new());
        let lab = lab.topology().expect("a lab");
        let drawn = draw(&lab, GraphFormat::Mermaid);
        assert!(
            drawn.contains("  n1>\"tap:heptad0\"]\n  n0 --- n1\n"),
            "{drawn}"
        );
        let drawn = draw(&lab, GraphFormat::Dot);
        assert!(
            drawn.contains("  n1 [label=\"tap:heptad0\", shape=cds];\n"),
            "{drawn}"
        );
    }

    #[test]
    fn graphviz_gets_the_same() {
        let expected = "\
graph \"lab\" {
  rankdir=LR;
  node [fontname=\"sans-serif\"];
  edge [fontname=\"sans-serif\"];
  n0 [label=\"alice\\n10.0.1.10/24\", shape=box, style=rounded];
  n1 [label=\"end\\n10.0.2.20/24\", shape=box, style=rounded];
  n2 [label=\"r1\\n10.0.1.1/24\\n10.0.2.254/24\", shape=hexagon];
  n3 [label=\"s1\", shape=box];
  n0 -- n3 [label=\"\"];
  n3 -- n2 [label=\"uplink\\nloss 5.0 %\"];
  n2 -- n1 [label=\"→ 20ms, 10 Mbit\\n← 10 Mbit\"];
}
";
        assert_eq!(draw(&lab(), GraphFormat::Dot), expected);
    }
}
