//! How commands talk to a running lab: one question and one answer, JSON lines over a unix socket.
//!
//! Each lab listens at `$XDG_RUNTIME_DIR/heptad/NAME.sock` (a folder of mode 0700).
pub mod client;
pub mod folder;
pub mod server;

use serde::{Deserialize, Serialize};

use crate::graph::GraphFormat;
use crate::report::Report;

/// Longest question or answer, bytes.
pub const LONGEST: u64 = 16 << 20;

/// What can be asked.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Who are you?
    Info,
    /// Serve the guard at the far end of the channel that comes along.
    Exec { node: String },
    /// The sockets of one node, or of all.
    Sockets { node: Option<String> },
    /// The MIB of one node, or of all.
    Counters { node: Option<String> },
    /// A drawing of the lab as it is now.
    Graph { format: GraphFormat },
    /// Stop.
    Down,
}

/// What is answered.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    Info(Info),
    /// The channel is being served.
    Exec,
    Sockets {
        nodes: Vec<NodeSockets>,
    },
    Counters {
        nodes: Vec<NodeCounters>,
    },
    Graph {
        text: String,
    },
    Down(Report),
    Error {
        message: String,
    },
}

/// A running lab.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Info {
    pub name: String,
    pub seed: u64,
    pub pid: u32,
    pub nodes: Vec<NodeInfo>,
    /// Seconds of lab time.
    pub uptime: f64,
    pub capture: Option<String>,
}

/// A node of it.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct NodeInfo {
    pub name: String,
    pub kind: String,
    /// `10.0.1.10/24`
    pub addresses: Vec<String>,
}

/// The sockets of a node.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeSockets {
    pub node: String,
    pub sockets: Vec<Socket>,
}

/// A row of netstat.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Socket {
    pub proto: String,
    pub recv_q: u32,
    pub send_q: u32,
    pub local: String,
    pub foreign: Option<String>,
    /// netstat's word; empty for UDP.
    pub state: String,
    pub pid: Option<u32>,
    pub program: Option<String>,
}

/// The MIB of a node: counters by group, and drops by reason.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeCounters {
    pub node: String,
    pub forwarding: bool,
    /// `Tcp.InSegs` and so on, in the MIB's order.
    pub counters: Vec<(String, String, u64)>,
    /// Text of the reason, packets; only those that happened.
    pub drops: Vec<(String, u64)>,
}
