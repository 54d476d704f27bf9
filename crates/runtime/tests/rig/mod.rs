//! Two hosts `a` and `b` (10.0.0.1, 10.0.0.2) on one cable, and threads on them.
#![allow(dead_code)] // each test file uses its part
use heptad_runtime::lab::topology::{Impairments, Topology};
use heptad_runtime::lab::{Lab, LabOptions};
use heptad_runtime::stack::EventMask;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::{Clock, FrameSink, Network, NetworkOptions, Node};

pub struct Pair {
    pub network: Network,
    pub a: Node,
    pub b: Node,
}

pub fn delay(millis: u64) -> Impairments {
    Impairments {
        delay: Duration::from_millis(millis),
        ..Impairments::default()
    }
}

pub fn lab(impairments: Impairments, observe: bool) -> Lab {
    let options = LabOptions {
        seed: 42,
        event_hash: true,
        observe,
        events: EventMask::NONE,
    };
    Lab::new(&Topology::pair(impairments), options).expect("a pair is a lab")
}

pub fn pair(clock: Clock, impairments: Impairments) -> Pair {
    start(clock, lab(impairments, false), Vec::new())
}

pub fn start(clock: Clock, lab: Lab, sinks: Vec<Box<dyn FrameSink>>) -> Pair {
    let network = Network::start(lab, NetworkOptions { clock, sinks });
    let node = |name| network.node(name).expect("a node of the pair");
    Pair {
        a: node("a"),
        b: node("b"),
        network,
    }
}
