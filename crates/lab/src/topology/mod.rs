//! The lab file (TOML): read, checked, with line and column in every complaint.
//!
//! ```toml
//! name = "chat"                    # else the file's stem
//! seed = 42
//! clock = "virtual"                # or "real", the default
//! epoch = 2026-01-01T00:00:00Z     # of a capture's times in virtual time
//!
//! [nodes.alice]
//! kind = "host"                    # or "router", "switch"
//! address = "10.0.1.10/24"         # of eth0, or a list; others: [nodes.alice.ports.eth1] address = …
//! gateway = "10.0.1.1"             # or a list: one of each family
//! run = ["python3", "client.py"]   # or builtin = […]; more than one program: [[nodes.alice.programs]]
//! ready = "tcp:8080"               # when others may count on the program
//! env = { LANG = "ko_KR.UTF-8" }
//! start = "2s"
//! # address = ["10.0.1.10/24", "fd00:1::10/64"], "fd00:1::10/64", or "auto": IPv6 as a router on the cable tells
//! # privacy = true                 # with "auto": temporary addresses, too
//! # snooping = true                # of a switch: frames of a group to its members only, while somebody asks for them
//! # querier = true                 # of a switch: it asks itself; or the address it asks from, "10.0.1.250"
//! # conflict_detection = true      # addresses of IPv4 are asked for before they are used
//! # congestion = "bbr"             # what its TCP sockets begin with; else "cubic"
//! # ecn = "always"                 # its TCP asks for explicit congestion notification; else only "when asked"; or "never"
//! # uplink = true                  # with a real clock: TCP, UDP, ping and names by the network of the machine around
//! # stack = "kernel"               # with a real clock: Linux's TCP in a namespace, not ours
//! # publish = ["8080:80"]          # with a real clock: 127.0.0.1:8080 outside is alice's port 80; also "5353:53/udp"
//!
//! [[links]]
//! endpoints = ["alice:eth0", "r1"] # without a port: the next free ethN; "tap:heptad0": an interface of the kernel
//! name = "uplink"                  # else alice-r1
//! mtu = 1500
//! delay = "20ms"
//! jitter = "5ms"                   # ± uniform, never reorders
//! loss = "5%"                      # or {nth = [3, 7]}, {every = 10}, {p = "1%", r = "20%", good = "0%", bad = "100%"}
//! duplicate = "1%"
//! corrupt = "1%"                   # the frame check sequence tells
//! corrupt_undetected = "1%"        # it does not: one bit of the IP payload
//! reorder = "2%"                   # or {probability = "2%", delay = "1ms"}
//! rate = "10 Mbit"
//! queue = 1000                     # frames that wait for the rate
//! # mark = 20                      # ECN-capable packets that find so many waiting are marked
//! down = false
//! forward = { loss = "1%" }        # from the first end to the second only; `backward` likewise
//!
//! [[at]]                           # the timeline: what is not named stays
//! time = "3s"
//! link = "uplink"
//! down = true
//!
//! [[at]]
//! time = "5s"
//! partition = [["alice"], ["r1"]]  # or blackhole = [from, to]; "*": all others; ends after `for = "2s"`, or by heal = true
//!
//! [[on]]                           # what packets call for
//! link = "uplink"
//! packet = "syn"
//! nth = 3
//! do = "drop"                      # or reset, delay, duplicate, corrupt, corrupt_undetected
//! ```
mod addressing;
mod document;
mod gateways;
mod kernel;
mod links;
mod nodes;
mod outside;
mod plan;
mod publish;
mod rules;
mod segments;
mod settings;
mod subnet;
mod switches;
mod timeline;
mod units;
mod uplinks;
mod words;

use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use heptad_stack::l4_transport::tcp::{Congestion, Ecn};
use heptad_stack::time::Duration;
use sha2::{Digest, Sha256};

use addressing::Addressing;
use document::{Fields, Source};
use timeline::{Scene, Timeline};

pub use gateways::Gateway;
pub use publish::{Publish, Transport};
pub use rules::{Act, PacketKind, Packets, Rule, Which};
pub(crate) use segments::{End, segments};
pub(crate) use subnet::{Subnet, is_link_local};

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
    /// What the timeline does to cables, in order of time.
    pub changes: Vec<Change>,
    /// What it does between nodes, in order of time.
    pub divisions: Vec<(Duration, Division)>,
    /// Faults that packets call for, in the order of the file.
    pub rules: Vec<Rule>,
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
    /// Outside of the lab, behind a TAP interface of the kernel: the end `"tap:NAME"` of a link, which is the node's name too.
    Tap,
    /// The same behind a TUN interface: `"tun:NAME"`.
    Tun,
    /// The gateway of a node with `uplink = true`, `"uplink:NODE"`: it stands in for the network of the machine around.
    Uplink,
    /// A host with the kernel's stack: programs and the kernel are in a network namespace whose one interface is this port.
    Kernel,
}
impl NodeKind {
    /// Whether programs or verbs find sockets there.
    pub fn has_sockets(self) -> bool {
        matches!(self, Self::Host | Self::Router)
    }
    /// Whether it stands outside of the lab, behind an interface of the kernel.
    pub fn is_outside(self) -> bool {
        matches!(self, Self::Tap | Self::Tun)
    }
    /// Whether a kernel makes its packets: the end of its cable is real.
    pub fn is_kernels(self) -> bool {
        self.is_outside() || self == Self::Kernel
    }
}

/// A node of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Host, router, switch, outside, or with the kernel's stack.
    pub kind: NodeKind,
    /// Addresses by port name (`eth0`), with prefix length. A router's may be left out: they are computed.
    pub addresses: BTreeMap<String, Vec<(IpAddr, u8)>>,
    /// Ports whose addresses of IPv6 come from routers (`"auto"`).
    pub automatic: BTreeSet<String>,
    /// Whether those ports have temporary addresses, too (RFC 8981).
    pub privacy: bool,
    /// Whether its addresses of IPv4 are asked for before they are used, announced and defended (RFC 5227).
    pub conflict_detection: bool,
    /// What its TCP sockets begin with.
    pub congestion: Congestion,
    /// Whether its TCP uses explicit congestion notification.
    pub ecn: Ecn,
    /// Default gateways, at most one of each family.
    pub gateways: Vec<Gateway>,
    /// Programs to run.
    pub programs: Vec<Program>,
    /// Its ports that the machine around the lab can reach. Only with a real clock.
    pub publish: Vec<Publish>,
    /// What it makes of groups if it is a switch.
    pub multicast: Multicast,
}

/// What a switch makes of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// It learns who is in which group and sends a group's frames to those only (RFC 4541), while somebody asks.
    pub snooping: bool,
    /// It asks itself: in IPv4 from this address, unspecified if it has none.
    pub querier: Option<Ipv4Addr>,
}
impl Default for Multicast {
    /// As Linux's bridge: it snoops and does not ask.
    fn default() -> Self {
        Self {
            snooping: true,
            querier: None,
        }
    }
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
    /// (node, port) of both ends. Both the same and the port `lo`: what a host sends to itself crosses this cable.
    pub ends: [(String, String); 2],
    /// From the first end to the second.
    pub forward: Impairments,
    /// From the second to the first.
    pub backward: Impairments,
    /// Largest network packet, bytes.
    pub mtu: u32,
}
impl Link {
    /// What it is called without a `name` of its own.
    pub fn default_name(&self) -> String {
        let [(a, _), (b, _)] = &self.ends;
        format!("{}-{}", outside::shown(a), outside::shown(b))
    }
    /// Its ends for people, `alice:eth0`, with this sign between node and port; an interface of the kernel is called
    /// as in the file: `tap:heptad0`.
    pub fn named_ends(&self, between: char) -> [String; 2] {
        self.ends.each_ref().map(|(node, port)| {
            match outside::interface(node).or(uplinks::of(node)) {
                Some(_) => node.clone(),
                None => format!("{node}{between}{port}"),
            }
        })
    }
    /// Whether it is plugged into a host's `lo` with both ends.
    pub fn is_loopback(&self) -> bool {
        self.ends[0] == self.ends[1]
    }
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
    /// A packet that finds at least so many frames waiting is marked if its transport understands (RFC 3168); `None`: never.
    pub mark: Option<u32>,
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
            mark: None,
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

/// What happens when, or to which packet, of a lab that runs already; see [`Topology::events`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// What happens to cables, in order of time.
    pub changes: Vec<Change>,
    /// What happens between nodes, in order of time.
    pub divisions: Vec<(Duration, Division)>,
    /// Faults that packets call for.
    pub rules: Vec<Rule>,
}

/// A partition begins, or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Division {
    /// Its sets of nodes hear each other no more.
    Part(Partition),
    /// The one of this name ends; without a name, all that stand.
    Heal(Option<String>),
}

/// Sets of nodes whose packets of IP do not reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What the report calls it, and by what it is ended.
    pub name: String,
    /// Two or more.
    pub sets: Vec<BTreeSet<String>>,
    /// Of two sets: only what the first sends to the second is swallowed.
    pub one_way: bool,
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

impl Topology {
    /// Reads and checks a lab file's text; `file` is its name for messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, TopologyError> {
        Self::parse_scripted(text, file, None)
    }
    /// The same with a script, a second text and its name: more of `[[at]]` and `[[on]]` for the same lab.
    pub fn parse_scripted(
        text: &str,
        file: &str,
        script: Option<(&str, &str)>,
    ) -> Result<Self, TopologyError> {
        let source = Source { text, file };
        let document = source.parse()?;
        let root = Fields {
            source,
            table: document.get_ref(),
            what: "the lab file",
        };
        root.only(&[
            &["name", "seed", "clock", "epoch", "nodes", "links"],
            EVENTS,
        ])?;
        let mut lab = Self::without_events(root)?;
        let Some((script, name)) = script else {
            lab.add_events(&[root])?;
            return Ok(lab);
        };
        let more = Source {
            text: script,
            file: name,
        };
        let document = more.parse()?;
        lab.add_events(&[root, script_of(more, document.get_ref())?])?;
        lab.sha256 = hex(&Sha256::digest([text, script].concat().as_bytes()));
        Ok(lab)
    }
    /// Reads a script for a lab whose cables are as they are here. `file` is its name for messages.
    pub fn events(&self, script: &str, file: &str) -> Result<Events, TopologyError> {
        let source = Source { text: script, file };
        let document = source.parse()?;
        self.read_events(&[script_of(source, document.get_ref())?])
    }
    fn without_events(root: Fields<'_, '_>) -> Result<Self, TopologyError> {
        let source = root.source;
        let virtual_clock = clock(root)?;
        let mut drafts = nodes::read(root, virtual_clock)?;
        let mut links = links::read(root, &drafts)?;
        outside::check(source, &links, virtual_clock)?;
        kernel::check(source, &drafts, &links, virtual_clock)?;
        drafts.extend(outside::nodes(&links));
        uplinks::add(source, &mut drafts, &mut links)?;
        let Addressing {
            mut addresses,
            mut gateways,
        } = addressing::read(source, &drafts, &links)?;
        let node = |(name, draft): (String, nodes::NodeDraft)| {
            let node = Node {
                kind: draft.kind,
                automatic: draft.automatic().map(|p| p.port.clone()).collect(),
                addresses: addresses.remove(&name).unwrap_or_default(),
                privacy: draft.privacy,
                conflict_detection: draft.conflict_detection,
                congestion: draft.congestion,
                ecn: draft.ecn,
                gateways: gateways.remove(&name).unwrap_or_default(),
                programs: draft.programs,
                publish: draft.publish,
                multicast: draft.multicast,
            };
            (name, node)
        };
        Ok(Self {
            name: lab_name(root, source.file)?,
            seed: root.number("seed", 0..=u64::MAX)?,
            virtual_clock,
            epoch_nanos: epoch(root)?,
            nodes: drafts.into_iter().map(node).collect(),
            links: links.into_iter().map(|draft| draft.link).collect(),
            changes: Vec::new(),
            divisions: Vec::new(),
            rules: Vec::new(),
            sha256: hex(&Sha256::digest(source.text.as_bytes())),
        })
    }
    fn add_events(&mut self, roots: &[Fields<'_, '_>]) -> Result<(), TopologyError> {
        let events = self.read_events(roots)?;
        (self.changes, self.divisions, self.rules) =
            (events.changes, events.divisions, events.rules);
        Ok(())
    }
    fn read_events(&self, roots: &[Fields<'_, '_>]) -> Result<Events, TopologyError> {
        let scene = Scene {
            nodes: &self.nodes,
            links: &self.links,
        };
        let Timeline { changes, divisions } = timeline::read(roots, scene)?;
        Ok(Events {
            changes,
            divisions,
            rules: rules::read(roots, scene)?,
        })
    }
    /// Two hosts `a` and `b` (10.0.0.1/24, 10.0.0.2/24) on one cable named `a-b`, in virtual time.
    pub fn pair(impairments: Impairments) -> Self {
        let host = |last| Node {
            kind: NodeKind::Host,
            addresses: BTreeMap::from([(
                "eth0".to_owned(),
                vec![(IpAddr::from([10, 0, 0, last]), 24)],
            )]),
            automatic: BTreeSet::new(),
            privacy: false,
            conflict_detection: false,
            congestion: Congestion::default(),
            ecn: Ecn::default(),
            gateways: Vec::new(),
            programs: Vec::new(),
            publish: Vec::new(),
            multicast: Multicast::default(),
        };
        let end = |node: &str| (node.to_owned(), "eth0".to_owned());
        Self {
            name: "pair".to_owned(),
            seed: None,
            virtual_clock: true,
            epoch_nanos: EPOCH_2026,
            nodes: BTreeMap::from([("a".to_owned(), host(1)), ("b".to_owned(), host(2))]),
            links: vec![Link {
                name: "a-b".to_owned(),
                ends: [end("a"), end("b")],
                forward: impairments.clone(),
                backward: impairments,
                mtu: 1500,
            }],
            changes: Vec::new(),
            divisions: Vec::new(),
            rules: Vec::new(),
            sha256: hex(&Sha256::digest(b"")),
        }
    }
}

/// What a script may have, too.
const EVENTS: &[&str] = &["at", "on"];

fn script_of<'d, 'i>(
    source: Source<'d>,
    table: &'d toml::de::DeTable<'i>,
) -> document::Result<Fields<'d, 'i>> {
    let script = Fields {
        source,
        table,
        what: "the script",
    };
    script.only(&[EVENTS])?;
    Ok(script)
}

/// 2026-01-01T00:00:00Z in nanoseconds since 1970.
pub const EPOCH_2026: u64 = 1_767_225_600_000_000_000;

/// `name`, else the file's stem.
fn lab_name(root: Fields<'_, '_>, file: &str) -> document::Result<String> {
    let Some((name, value)) = root.text("name", "chat")? else {
        let last = file.rsplit('/').next().unwrap_or(file);
        let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
        return Ok(if stem.is_empty() { "lab" } else { stem }.to_owned());
    };
    nodes::check_name(root.source, name, value.span())?;
    Ok(name.to_owned())
}

/// Whether `clock` is virtual.
fn clock(root: Fields<'_, '_>) -> document::Result<bool> {
    match root.text("clock", "virtual")? {
        None | Some(("real", _)) => Ok(false),
        Some(("virtual", _)) => Ok(true),
        Some((other, value)) => Err(root
            .error(value, format!("`{other}` is not a clock"))
            .help("real or virtual")),
    }
}

/// `epoch`, a date and time with its offset, in nanoseconds since 1970.
fn epoch(root: Fields<'_, '_>) -> document::Result<u64> {
    let Some(value) = root.get("epoch") else {
        return Ok(EPOCH_2026);
    };
    let wrong = || {
        root.wrong(
            "epoch",
            value,
            "a date and time, such as 2026-01-01T00:00:00Z",
        )
    };
    let when = value.get_ref().as_datetime().ok_or_else(wrong)?;
    nanos_since_1970(when).ok_or_else(|| {
        root.error(
            value,
            "`epoch` is a date and time with its offset, from 1970 on",
        )
        .help("epoch = 2026-01-01T00:00:00Z")
    })
}

fn nanos_since_1970(when: &toml::value::Datetime) -> Option<u64> {
    use toml::value::Offset;
    let (date, time) = (when.date?, when.time?);
    let minutes_east = match when.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days of the civil calendar, counted in years that begin in March, so that a leap day comes last.
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - minutes_east;
    let seconds = days * 86_400 + minutes * 60 + i64::from(time.second.unwrap_or(0));
    let nanos = u64::from(time.nanosecond.unwrap_or(0));
    u64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
