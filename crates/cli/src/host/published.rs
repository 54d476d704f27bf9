//! The ports of a lab's nodes that this machine can reach, and the way of its nodes to where this machine can.
use std::fmt;

use heptad_lab::Topology;
use heptad_lab::topology::{Publish, Transport};
use heptad_runtime::{Network, Publisher, Uplink};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Descriptors wanted where ports are published or a way leads out: each connection needs one.
const DESCRIPTORS: u64 = 65_536;

/// One of them.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Published {
    /// Address and port on this machine.
    pub outside: String,
    /// The node.
    pub node: String,
    /// Its port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The file said port 0: nobody knows it without being told.
    pub drawn: bool,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            outside,
            node,
            port,
            protocol,
            ..
        } = self;
        write!(f, "{outside} -> {node}:{port}/{protocol}")
    }
}

/// Publishes what the lab file says; `None` where it says nothing.
pub fn publish(
    network: &Network,
    topology: &Topology,
) -> Result<(Option<Publisher>, Vec<Published>), Failure> {
    let mut wanted = Vec::new();
    for (name, node) in &topology.nodes {
        for port in &node.publish {
            wanted.push((name, *port));
        }
    }
    if wanted.is_empty() {
        return Ok((None, Vec::new()));
    }
    raise_descriptor_limit();
    let ports: Vec<_> = wanted
        .iter()
        .filter_map(|(name, port)| Some((network.node(name)?.machine(), *port)))
        .collect();
    let publisher = Publisher::start(network, &ports).map_err(Failure::ours)?;
    let taken = publisher.ports().iter().zip(&wanted);
    let published = taken.map(|((_, taken), (name, asked))| told(name, asked, taken));
    let published = published.collect();
    Ok((Some(publisher), published))
}

/// Opens the way out of the nodes that have one.
pub fn open_uplink(network: &Network) -> Result<Option<Uplink>, Failure> {
    let uplink = Uplink::start(network).map_err(Failure::ours)?;
    if uplink.is_some() {
        raise_descriptor_limit();
    }
    Ok(uplink)
}

fn told(node: &str, asked: &Publish, taken: &Publish) -> Published {
    let protocol = match taken.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    Published {
        outside: taken.outside.to_string(),
        node: node.into(),
        port: taken.inside,
        protocol: protocol.into(),
        drawn: asked.outside.port() == 0,
    }
}

/// The usual 1024 are fewer than a thousand connections and their programs need.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if limit.current.is_some_and(|current| current < allowed) {
        let raised = Rlimit {
            current: Some(allowed),
            maximum: limit.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised); // with fewer, connections wait outside
    }
}
