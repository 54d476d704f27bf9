//! How commands talk to a running lab: one question and one answer, JSON lines over a unix socket.
//!
//! Each lab listens at `$XDG_RUNTIME_DIR/heptad/NAME.sock` (a folder of mode 0700).
pub mod client;
pub mod folder;
pub mod server;
pub mod sockets;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::graph::GraphFormat;
use crate::host::Script;
use crate::report::{Fault, Report};

/// Longest question or answer, bytes.
pub const LONGEST: u64 = 16 << 20;

/// What can be asked.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Who are you?
    Info,
    /// Serve the guard at the far end of the channel that comes along, or let the program in that is started there.
    Exec {
        node: String,
        /// Absent: the node's own.
        mode: Option<Mode>,
    },
    /// The sockets of one node, or of all.
    Sockets { node: Option<String> },
    /// The same, inside out.
    Insides { node: Option<String> },
    /// The MIB of one node, or of all.
    Counters { node: Option<String> },
    /// The neighbours of one node, or of all.
    Neighbours { node: Option<String> },
    /// The ports of one node, or of all.
    Ports { node: Option<String> },
    /// The routes of one node, or of all.
    Routes { node: Option<String> },
    /// The ports and addresses of one node, or of all.
    Addresses { node: Option<String> },
    /// The groups of one node, or of all.
    Groups { node: Option<String> },
    /// The groups that a switch knows, or every switch.
    SwitchGroups { node: Option<String> },
    /// What cables do: all of them, or the one of this name, after these changes.
    Links {
        link: Option<String>,
        settings: Vec<String>,
    },
    /// What partitions and rules are in force, after this.
    Faults { fault: FaultAsk },
    /// Write frames, as a pcapng file, into the channel that comes along, until its far end is closed for writing: those
    /// of these links or nodes, of all if none is named.
    Capture {
        links: Vec<String>,
        nodes: Vec<String>,
    },
    /// Ping from a node, and write what happens as JSON lines ([`PingLine`]) into the channel that comes along, until its
    /// far end is closed for writing.
    Ping {
        /// Absent: the first host that is not the destination.
        node: Option<String>,
        to: String,
        /// Absent: either.
        version: Option<IpVersion>,
        options: PingWords,
    },
    /// The same for a trace of the way, as [`TraceLine`]s.
    Traceroute {
        node: Option<String>,
        to: String,
        version: Option<IpVersion>,
        options: TraceWords,
    },
    /// The same for a trace of the way and its MTU, as [`PathLine`]s.
    Tracepath {
        node: Option<String>,
        to: String,
        version: Option<IpVersion>,
        max_hops: u8,
    },
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
    /// The channel is being served, in this mode.
    Exec {
        mode: Mode,
    },
    Sockets {
        nodes: Vec<NodeSockets>,
    },
    Insides {
        nodes: Vec<sockets::NodeInsides>,
    },
    Counters {
        nodes: Vec<NodeCounters>,
    },
    Neighbours {
        nodes: Vec<NodeNeighbours>,
    },
    Ports {
        nodes: Vec<NodePorts>,
    },
    Routes {
        nodes: Vec<NodeRoutes>,
    },
    Links {
        links: Vec<LinkState>,
    },
    Faults {
        in_force: Vec<FaultInForce>,
    },
    /// The channel is being written.
    Capture,
    Addresses {
        nodes: Vec<NodeAddresses>,
    },
    Groups {
        nodes: Vec<NodeGroups>,
    },
    SwitchGroups {
        nodes: Vec<NodeSwitchGroups>,
    },
    /// The ping or the trace is on its way from this node.
    Probing {
        node: String,
        to: IpAddr,
    },
    Graph {
        text: String,
    },
    Down(Report),
    Error {
        message: String,
    },
}

/// How a program is run.
#[derive(Serialize, Deserialize, clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Heptad's stack answers its socket calls.
    Seccomp,
    /// The kernel's stack, in a network namespace whose one cable leads into the lab.
    Netns,
}

/// What is to become of partitions and rules.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultAsk {
    /// Nothing.
    Show,
    /// An entry of a timeline, written by us: complaints need not say where.
    Division { text: String },
    /// Keys of `[[on]]`.
    Rule { words: Vec<String> },
    /// A file of the user's.
    Script { script: Script },
    /// That of a name ends, or all.
    Heal { name: Option<String> },
}

/// A partition or a rule.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct FaultInForce {
    pub name: String,
    /// Of a rule.
    pub link: Option<String>,
    pub what: String,
    /// Packets it was done to, of so many.
    pub applied: u64,
    pub n: u64,
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
    /// `tcp`, `tcp6`: by the family of the socket, which may speak IPv4 all the same.
    pub proto: String,
    pub recv_q: u32,
    pub send_q: u32,
    pub local: String,
    pub foreign: Option<String>,
    /// netstat's word; empty for UDP without a peer.
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

/// Which Internet Protocol.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the versions
pub enum IpVersion {
    V4,
    V6,
}
impl IpVersion {
    /// What the flags -4 and -6 ask for.
    pub fn asked(v4: bool, v6: bool) -> Option<Self> {
        match (v4, v6) {
            (true, _) => Some(Self::V4),
            (_, true) => Some(Self::V6),
            _ => None,
        }
    }
}

/// What to send.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct PingWords {
    pub count: Option<u64>,
    /// Seconds.
    pub interval: f64,
    pub size: usize,
    pub ttl: Option<u8>,
    /// Seconds.
    pub wait: f64,
}

/// What happens to a ping.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PingLine {
    Reply {
        from: IpAddr,
        seq: u16,
        bytes: usize,
        ttl: u8,
        /// Milliseconds.
        rtt: Option<f64>,
        duplicate: bool,
    },
    Error {
        from: IpAddr,
        seq: u16,
        /// ping's words.
        message: String,
    },
    Statistics {
        transmitted: u64,
        received: u64,
        duplicates: u64,
        errors: u64,
        /// Milliseconds.
        time: u64,
        /// min, avg, max, mdev; milliseconds.
        rtt: Option<[f64; 4]>,
    },
    /// It could not go on.
    Failed { message: String },
}

/// How to trace.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct TraceWords {
    pub icmp: bool,
    pub max_hops: u8,
    pub queries: u8,
    /// Seconds.
    pub wait: f64,
}

/// What happens to a trace.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum TraceLine {
    /// What became of one probe; they come in order.
    Probe {
        hop: u8,
        /// The first is 1.
        query: u8,
        /// Absent: nobody answered.
        from: Option<IpAddr>,
        /// Milliseconds.
        rtt: Option<f64>,
        /// traceroute's sign for an error, such as `!H`.
        sign: Option<String>,
    },
    /// It could not go on.
    Failed { message: String },
}

/// What a trace of a way's MTU finds out.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PathLine {
    /// The node itself sends no longer packets.
    Local {
        hop: u8,
        pmtu: u32,
    },
    Hop {
        hop: u8,
        from: IpAddr,
        /// Milliseconds.
        rtt: f64,
        /// From here on packets may be so long only.
        pmtu: Option<u32>,
        /// The hops of the way back, if it seems to be another one.
        asymmetric: Option<u8>,
        reached: bool,
        /// tracepath's sign for an error, such as `!H`.
        sign: Option<String>,
    },
    NoReply {
        hop: u8,
    },
    /// A program answered.
    Reply {
        hop: u8,
    },
    /// Nothing could be sent.
    SendFailed {
        hop: u8,
    },
    TooManyHops {
        pmtu: u32,
    },
    Resume {
        pmtu: u32,
        hops: Option<u8>,
        back: Option<u8>,
    },
    /// It could not go on.
    Failed {
        message: String,
    },
}

/// The neighbour cache of a node.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeNeighbours {
    pub node: String,
    pub neighbours: Vec<NeighbourRow>,
}

/// A row of arp.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct NeighbourRow {
    pub address: IpAddr,
    /// Absent while it is asked for.
    pub mac: Option<String>,
    /// `REACHABLE`, `STALE`, `INCOMPLETE`, … (RFC 4861, 7.3.2).
    pub state: String,
    pub port: String,
}

/// The ports of a node.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodePorts {
    pub node: String,
    pub ports: Vec<PortRow>,
}

/// A row of netstat -i. Frames once cut, as they are on the cable.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct PortRow {
    pub port: String,
    /// Absent where there is no Ethernet.
    pub mac: Option<String>,
    pub mtu: u32,
    pub rx_ok: u64,
    pub rx_err: u64,
    pub rx_drop: u64,
    pub rx_bytes: u64,
    pub tx_ok: u64,
    pub tx_err: u64,
    pub tx_drop: u64,
    pub tx_bytes: u64,
}

/// The routing table of a node.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeRoutes {
    pub node: String,
    pub routes: Vec<RouteRow>,
}

/// The ports and addresses of a node.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeAddresses {
    pub node: String,
    pub ports: Vec<PortRow>,
    pub addresses: Vec<AddressRow>,
}

/// An address of a port.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct AddressRow {
    pub port: String,
    pub address: IpAddr,
    pub prefix_len: u8,
    /// ip's words, in its order.
    pub flags: Vec<String>,
    /// Seconds; absent: for ever.
    pub valid: Option<u64>,
    pub preferred: Option<u64>,
}

/// The groups of a node.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeGroups {
    pub node: String,
    pub groups: Vec<GroupRow>,
}

/// A row of netstat -g.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct GroupRow {
    pub port: String,
    pub group: IpAddr,
    pub members: u32,
}

/// What a switch knows of groups.
#[derive(Serialize, Deserialize, Debug)]
pub struct NodeSwitchGroups {
    pub node: String,
    /// Among the machines of the lab, from 1.
    pub index: u64,
    pub groups: Vec<SwitchGroupRow>,
    pub routers: Vec<SwitchRouterRow>,
    pub queriers: Vec<SwitchQuerierRow>,
    /// Reports of groups that found no room.
    pub refused: u64,
}

/// A port that wants a group.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct SwitchGroupRow {
    pub port: String,
    pub group: IpAddr,
    /// Milliseconds that it is remembered.
    pub left: u64,
}

/// A port that gets every group.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct SwitchRouterRow {
    pub port: String,
    /// Milliseconds; absent: for good.
    pub left: Option<u64>,
}

/// Who asks for members.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct SwitchQuerierRow {
    pub address: IpAddr,
    /// It is the switch itself.
    pub own: bool,
    /// Members had time to answer.
    pub settled: bool,
}

/// A row of netstat -r.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct RouteRow {
    pub prefix: IpAddr,
    pub prefix_len: u8,
    /// The next router; absent on a link of its own.
    pub gateway: Option<IpAddr>,
    pub port: String,
    /// `kernel`: of an address; `ra`: a router said so; `static`.
    pub origin: String,
    /// Seconds; absent: for ever.
    pub expires: Option<u64>,
    /// The address to speak from, of a route that came with one.
    pub source: Option<IpAddr>,
}

/// A cable as it is at present.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct LinkState {
    pub name: String,
    /// `alice:eth0`
    pub ends: [String; 2],
    /// What it does from the first end to the second, in the lab file's words; empty: nothing.
    pub forward: String,
    pub backward: String,
    pub mtu: u32,
    /// Faults asked and applied so far.
    pub faults: Vec<Fault>,
}
