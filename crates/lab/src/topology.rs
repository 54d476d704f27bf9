//! The lab file (TOML): read, checked, with line and column in every complaint.
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::ops::Range;

use heptad_stack::time::Duration;

/// A checked lab file.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// `name`; else the file's stem.
    pub name: String,
    /// `seed`, if the file fixes one.
    pub seed: Option<u64>,
    /// `clock = "virtual"`.
    pub virtual_clock: bool,
    /// Virtual time's epoch for captures, nanoseconds since 1970 (default 2026-01-01T00:00:00Z).
    pub epoch_nanos: u64,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Cables in the order of the file.
    pub links: Vec<Link>,
    /// The timeline, in order of time.
    pub changes: Vec<Change>,
    /// SHA-256 of the text, hexadecimal.
    pub sha256: String,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Runs programs; does not forward.
    Host,
    /// Forwards.
    Router,
    /// Learns addresses; has none.
    Switch,
}

/// A node of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Host, router or switch.
    pub kind: NodeKind,
    /// Addresses by port name (`eth0`), with prefix length. A router's may be left out: they are computed.
    pub addresses: BTreeMap<String, Vec<(IpAddr, u8)>>,
    /// Default gateway.
    pub gateway: Option<IpAddr>,
    /// Programs to run.
    pub programs: Vec<Program>,
}

/// A program of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// What to run.
    pub what: What,
    /// When it is ready for others: `tcp:8080`.
    pub ready: Option<ReadyWhen>,
    /// Environment added.
    pub env: BTreeMap<String, String>,
    /// When to start it.
    pub start: Duration,
}
/// An outside program or one of ours.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// `run = ["python3", "server.py"]`; relative to the file's folder.
    Run(Vec<String>),
    /// `builtin = ["echo-server", "7"]`
    Builtin(Vec<String>),
}
/// When a program counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyWhen {
    /// Something listens at this port.
    Tcp(u16),
    /// Something is bound to this port.
    Udp(u16),
}

/// A cable.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// `name`, else `a-b`.
    pub name: String,
    /// (node, port) of both ends.
    pub ends: [(String, String); 2],
    /// From the first end to the second.
    pub forward: Impairments,
    /// From the second to the first.
    pub backward: Impairments,
    /// Largest network packet, bytes.
    pub mtu: u32,
}

/// What a direction of a cable does to frames. All off by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Impairments {
    /// Propagation.
    pub delay: Duration,
    /// Uniform in ± jitter; never reorders.
    pub jitter: Duration,
    /// Which frames are lost.
    pub loss: Loss,
    /// Probability of a duplicate.
    pub duplicate: f64,
    /// Probability that a bit is flipped and the frame check sequence catches it.
    pub corrupt: f64,
    /// Probability that a bit of the IP payload is flipped and slips past the frame check sequence.
    pub corrupt_undetected: f64,
    /// Probability that a frame is held back, and for how long.
    pub reorder: f64,
    /// How long a reordered frame is held back.
    pub reorder_delay: Duration,
    /// Bits a second; `None`: no limit.
    pub rate: Option<u64>,
    /// Most frames that wait for the rate.
    pub queue: u32,
    /// Nothing passes.
    pub down: bool,
}
impl Default for Impairments {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::None,
            duplicate: 0.0,
            corrupt: 0.0,
            corrupt_undetected: 0.0,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(1),
            rate: None,
            queue: 1000,
            down: false,
        }
    }
}

/// Which frames a cable loses.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability.
    Random(f64),
    /// Two states: good to bad, bad to good, loss in good, loss in bad (Gilbert-Elliott).
    GilbertElliott {
        /// Probability to go bad, a frame.
        p: f64,
        /// Probability to recover, a frame.
        r: f64,
        /// Loss in the good state.
        good: f64,
        /// Loss in the bad state.
        bad: f64,
    },
    /// The n-th packets, counted from 1.
    Nth(Vec<u64>),
    /// Every n-th.
    Every(u64),
}

/// An entry of the timeline (`[[at]]`) or a change on a running lab: only what is `Some` changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When.
    pub time: Duration,
    /// Which cable.
    pub link: String,
    /// Forward direction afterwards.
    pub forward: Option<Impairments>,
    /// Backward direction afterwards.
    pub backward: Option<Impairments>,
    /// MTU afterwards.
    pub mtu: Option<u32>,
}

/// What is wrong with a lab file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct TopologyError {
    /// As given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Bytes of the text.
    pub span: Range<usize>,
}

#[allow(unused_variables)]
impl Topology {
    /// Reads and checks a lab file's text; `file` is its name for messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, TopologyError> {
        todo!()
    }
    /// Two hosts `a` and `b` (10.0.0.1/24, 10.0.0.2/24) on one cable.
    pub fn pair(impairments: Impairments) -> Self {
        todo!()
    }
}
