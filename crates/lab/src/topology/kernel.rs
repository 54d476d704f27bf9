//! `stack = "kernel"`: hosts whose programs keep the kernel's sockets.
use std::collections::BTreeMap;

use super::document::{Fields, Result, Source};
use super::links::LinkDraft;
use super::nodes::NodeDraft;
use super::{NodeKind, What};

/// What only our own stack, or our own runner, can do for a node.
const NOT_THE_KERNELS: &[&str] = &[
    "conflict_detection",
    "congestion",
    "ecn",
    "privacy",
    "publish",
    "builtin",
    "ready",
];

/// Whether the node asks for the kernel's stack.
pub(super) fn is_asked(node: Fields<'_, '_>) -> Result<bool> {
    match node.text("stack", "kernel")? {
        None | Some(("heptad", _)) => Ok(false),
        Some(("kernel", _)) => Ok(true),
        Some((other, value)) => Err(node
            .error(value, format!("`{other}` is not a stack"))
            .help("heptad or kernel")),
    }
}

/// What such a node can't have.
pub(super) fn check_node(node: Fields<'_, '_>, kind: NodeKind) -> Result<()> {
    if kind != NodeKind::Host {
        let message = "only a host can have the kernel's stack";
        return Err(node.source.error(node.key_span("stack"), message));
    }
    let mut refused = NOT_THE_KERNELS.iter();
    match refused.find(|key| node.get(key).is_some()) {
        Some(key) => {
            let message = format!("a node with the kernel's stack has no `{key}`");
            Err(node.source.error(node.key_span(key), message))
        }
        None => Ok(()),
    }
}

/// Such a node is at one end of one cable, in real time, and runs programs of the system.
pub(super) fn check(
    source: Source<'_>,
    nodes: &BTreeMap<String, NodeDraft>,
    links: &[LinkDraft],
    virtual_clock: bool,
) -> Result<()> {
    let kernels = nodes.iter();
    for (name, node) in kernels.filter(|(_, node)| node.kind == NodeKind::Kernel) {
        let complain = |message: String| source.error(node.span.clone(), message);
        if virtual_clock {
            let message =
                format!("`{name}` has the kernel's stack, and this lab's clock is virtual");
            return Err(complain(message).help("clock = \"real\""));
        }
        let is_here = |draft: &&LinkDraft| draft.link.ends.iter().any(|(node, _)| node == name);
        let cables = links.iter().filter(is_here).count();
        if cables != 1 {
            let message = format!("`{name}` has {cables} cables");
            return Err(complain(message).help("a node with the kernel's stack has one"));
        }
        let not_its = |program: &super::Program| {
            matches!(program.what, What::Builtin(_)) || program.ready.is_some()
        };
        if node.programs.iter().any(not_its) {
            let message = format!("`{name}` has the kernel's stack: its programs are the system's");
            return Err(complain(message).help("`run`, without `ready`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Topology;
    use crate::topology::NodeKind;

    const CABLE: &str = "[[links]]\nendpoints = [\"a\", \"r\"]\n[nodes.r]\nkind = \"router\"\n";

    #[test]
    fn a_host_with_the_kernels_stack_has_addresses_and_a_gateway_as_any_host() {
        let node =
            "[nodes.a]\nstack = \"kernel\"\naddress = \"10.0.0.9/24\"\ngateway = \"10.0.0.1\"\n";
        let lab = Topology::parse(&format!("{node}{CABLE}"), "lab.toml").unwrap();
        let node = &lab.nodes["a"];
        assert_eq!(node.kind, NodeKind::Kernel);
        assert_eq!(node.addresses["eth0"], [("10.0.0.9".parse().unwrap(), 24)]);
        assert_eq!(node.gateways[0].port, "eth0");
        let router = &lab.nodes["r"].addresses["eth0"];
        assert_eq!(router[0].0.to_string(), "10.0.0.1", "computed for it");
    }

    #[test]
    fn what_such_a_node_cannot_have_is_named() {
        let node = |more: &str| {
            format!("[nodes.a]\nstack = \"kernel\"\naddress = \"10.0.0.9/24\"\n{more}\n{CABLE}")
        };
        let second =
            "[nodes.b]\naddress = \"10.0.1.1/24\"\n[[links]]\nendpoints = [\"a:eth1\", \"b\"]";
        for (text, said) in [
            (
                node("publish = [\"1:1\"]"),
                "a node with the kernel's stack has no `publish`",
            ),
            (
                node("ecn = \"never\""),
                "a node with the kernel's stack has no `ecn`",
            ),
            (
                node("kind = \"router\""),
                "only a host can have the kernel's stack",
            ),
            (
                node("").replacen("kernel", "bsd", 1),
                "`bsd` is not a stack",
            ),
            (node(second), "`a` has 2 cables"),
            (
                format!("clock = \"virtual\"\n{}", node("")),
                "`a` has the kernel's stack, and this lab's clock is virtual",
            ),
            (
                node("[[nodes.a.programs]]\nbuiltin = [\"sink\", \"1\"]"),
                "`a` has the kernel's stack: its programs are the system's",
            ),
        ] {
            let error = Topology::parse(&text, "lab.toml").unwrap_err();
            assert!(error.message.contains(said), "{text}: {error}");
        }
    }
}
