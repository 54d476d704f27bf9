//! What a running lab says about itself.
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use heptad_lab::capture::CaptureHead;
use heptad_lab::topology::NodeKind;
use heptad_lab::{MachineInfo, Topology};
use heptad_runtime::Network;
use heptad_stack::l4_transport::tcp::State;
use heptad_stack::stack::SocketRow;
use heptad_stack::{Counter, Counters, DropReason, Family, SocketKind};

use rustix::net::{RecvFlags, recv};

use crate::control::{Answer, Ask, Info, Mode, NodeCounters, NodeInfo, NodeSockets, Socket};
use crate::graph::draw;
use crate::host::programs::Programs;
use probes::Probing;

mod cables;
mod capture;
mod faults;
mod insides;
mod ping;
mod probes;
mod switches;
mod tables;
mod traces;

/// Everything that answers need.
pub struct Answers {
    pub name: String,
    pub topology: Topology,
    pub seed: u64,
    pub capture: Option<String>,
    /// What captures say at their beginning.
    pub capture_head: CaptureHead,
    pub network: Network,
    pub programs: Arc<Programs>,
}

impl Answers {
    /// Answers one question (`Down` is not for us).
    pub fn answer(&self, ask: Ask, fd: Option<OwnedFd>) -> Answer {
        let answer = match ask {
            Ask::Info => Ok(Answer::Info(self.info())),
            Ask::Exec { node, mode } => self.exec(&node, mode, fd),
            Ask::Sockets { node } => self.hosts(node.as_deref()).map(|hosts| Answer::Sockets {
                nodes: hosts
                    .iter()
                    .map(|host| sockets(&self.network, &self.programs, host))
                    .collect(),
            }),
            Ask::Counters { node } => self.counted(node.as_deref()).map(|hosts| Answer::Counters {
                nodes: hosts
                    .iter()
                    .filter_map(|host| self.counters(host))
                    .chain(self.only_drops(node.as_deref()))
                    .collect(),
            }),
            Ask::Insides { node } => self.insides(node.as_deref()),
            Ask::Neighbours { node } => self.neighbours(node.as_deref()),
            Ask::Ports { node } => self.ports(node.as_deref()),
            Ask::Routes { node } => self.routes(node.as_deref()),
            Ask::Links { link, settings } => self.links(link.as_deref(), &settings),
            Ask::Faults { fault } => self.faults(fault),
            Ask::Capture { links, nodes } => self.capture(&links, &nodes, fd),
            Ask::Addresses { node } => self.addresses(node.as_deref()),
            Ask::Groups { node } => self.groups(node.as_deref()),
            Ask::SwitchGroups { node } => self.switch_groups(node.as_deref()),
            ask @ (Ask::Ping { .. } | Ask::Traceroute { .. } | Ask::Tracepath { .. }) => {
                self.send_probes(&ask, fd)
            }
            Ask::Graph { format } => Ok(Answer::Graph {
                text: draw(&self.topology_now(), format),
            }),
            Ask::Down => Err("not here".to_string()),
        };
        answer.unwrap_or_else(|message| Answer::Error { message })
    }

    fn send_probes(&self, ask: &Ask, fd: Option<OwnedFd>) -> Result<Answer, String> {
        let (tool, node, to, version) = match ask {
            Ask::Ping {
                node, to, version, ..
            } => ("ping", node, to, version),
            Ask::Traceroute {
                node, to, version, ..
            } => ("traceroute", node, to, version),
            Ask::Tracepath {
                node, to, version, ..
            } => ("tracepath", node, to, version),
            _ => return Err("not here".to_string()),
        };
        let probing = Probing {
            tool,
            node: node.as_deref(),
            to,
            version: *version,
        };
        match ask {
            Ask::Ping { options, .. } => self.ping(&probing, options, fd),
            Ask::Traceroute { options, .. } => self.traceroute(&probing, options, fd),
            Ask::Tracepath { max_hops, .. } => self.tracepath(&probing, *max_hops, fd),
            _ => Err("not here".to_string()),
        }
    }

    fn info(&self) -> Info {
        let nodes = self.network.lab(|lab| lab.machines());
        Info {
            name: self.name.clone(),
            seed: self.seed,
            pid: std::process::id(),
            nodes: nodes.iter().map(node_info).collect(),
            uptime: self.network.now().as_nanos() as f64 / 1e9,
            capture: self.capture.clone(),
        }
    }

    /// The lab file with its cables as they are at present.
    fn topology_now(&self) -> Topology {
        let mut topology = self.topology.clone();
        topology.name.clone_from(&self.name);
        for link in &mut topology.links {
            let present = self.network.lab(|lab| lab.link(&link.name));
            let Some(present) = present else { continue };
            link.forward = present.forward.unwrap_or_default();
            link.backward = present.backward.unwrap_or_default();
            link.mtu = present.mtu.unwrap_or(link.mtu);
        }
        topology
    }

    fn exec(&self, node: &str, asked: Option<Mode>, fd: Option<OwnedFd>) -> Result<Answer, String> {
        let machine = self.network.lab(|lab| lab.machine(node));
        let kernels = machine.filter(|machine| self.programs.namespaces.has(*machine));
        let mode = kernels.map_or(Mode::Seccomp, |_| Mode::Netns);
        if asked.is_some_and(|asked| asked != mode) {
            return Err(match mode {
                Mode::Netns => format!(
                    "{node} has the kernel's stack: its programs run in its network namespace (--mode netns)"
                ),
                Mode::Seccomp => format!(
                    "{node} has Heptad's stack; `stack = \"kernel\"` in the lab file gives it the kernel's, for --mode netns"
                ),
            });
        }
        if let Some(machine) = kernels {
            let channel = fd.ok_or("no channel came along")?;
            let entered = self.programs.let_in(machine, channel);
            entered.map_err(|error| error.to_string())?;
            return Ok(Answer::Exec { mode });
        }
        let host = self.hosts(Some(node))?.pop().ok_or("no such node")?;
        if host.kind != NodeKind::Host {
            return Err(format!(
                "{node} is a {}; programs run on hosts",
                kind(host.kind)
            ));
        }
        let channel = fd.ok_or("no channel came along")?;
        self.programs
            .attach(host.id, channel)
            .map_err(|error| error.to_string())?;
        Ok(Answer::Exec { mode })
    }

    /// The node of this name, or every node that has sockets.
    pub(super) fn hosts(&self, node: Option<&str>) -> Result<Vec<MachineInfo>, String> {
        let machines = self.network.lab(|lab| lab.machines());
        let with_sockets: Vec<MachineInfo> = machines
            .into_iter()
            .filter(|m| m.kind.has_sockets())
            .collect();
        let Some(name) = node else {
            return Ok(with_sockets);
        };
        let names: Vec<&str> = with_sockets.iter().map(|m| m.name.as_str()).collect();
        let message = format!(
            "no host or router named {name} in the lab {}; there are: {}",
            self.name,
            names.join(", ")
        );
        match with_sockets.iter().find(|m| m.name == name) {
            Some(host) => Ok(vec![host.clone()]),
            None => Err(message),
        }
    }

    /// The hosts of an answer with counters: none if a machine without sockets is asked for.
    fn counted(&self, node: Option<&str>) -> Result<Vec<MachineInfo>, String> {
        match node {
            Some(_) if !self.only_drops(node).is_empty() => Ok(Vec::new()),
            _ => self.hosts(node),
        }
    }

    /// What was discarded where there are no sockets, at switches and interfaces of this machine: at the one that was asked
    /// for, else at those that discarded anything.
    fn only_drops(&self, node: Option<&str>) -> Vec<NodeCounters> {
        let drops_of = |lab: &heptad_lab::Lab, machine: MachineInfo| {
            let counters = lab.counters(machine.id)?;
            let drops: Vec<_> = drops(counters).collect();
            let shown = match node {
                Some(name) => machine.name == name,
                None => !drops.is_empty(),
            };
            shown.then_some(NodeCounters {
                node: machine.name,
                forwarding: false,
                counters: Vec::new(),
                drops,
            })
        };
        self.network.lab(|lab| {
            let all = lab.machines().into_iter();
            let without_sockets = all.filter(|m| !m.kind.has_sockets());
            without_sockets
                .filter_map(|machine| drops_of(lab, machine))
                .collect()
        })
    }

    fn counters(&self, host: &MachineInfo) -> Option<NodeCounters> {
        self.network.lab(|lab| {
            let counters = lab.counters(host.id)?;
            let mib = Counter::ALL
                .iter()
                .map(|&c| (c.group().to_string(), c.name().to_string(), counters.get(c)));
            // RFC 4022: the one gauge of the group.
            let standing =
                |row: &SocketRow| matches!(row.state, Some(State::Established | State::CloseWait));
            let established = lab.stack(host.id).map_or(0, |stack| {
                stack.rows().iter().filter(|row| standing(row)).count()
            });
            let gauge = (
                "Tcp".to_string(),
                "CurrEstab".to_string(),
                established as u64,
            );
            Some(NodeCounters {
                node: host.name.clone(),
                forwarding: host.kind == NodeKind::Router,
                counters: mib.chain([gauge]).collect(),
                drops: drops(counters).collect(),
            })
        })
    }
}

/// Why packets were discarded, and how many of them.
fn drops(counters: &Counters) -> impl Iterator<Item = (String, u64)> {
    let all = DropReason::ALL.iter();
    let counts = all.map(|&reason| (reason.text().to_string(), counters.drops(reason)));
    counts.filter(|(_, n)| *n > 0)
}

/// Whether the far end of a channel is closed for writing: nobody wants more.
fn is_closed(channel: &UnixStream) -> bool {
    let mut byte = [0];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    recv(channel, &mut byte, flags).is_ok_and(|(_, len)| len == 0)
}

/// The rows of one host.
pub fn sockets(network: &Network, programs: &Programs, host: &MachineInfo) -> NodeSockets {
    let owners = programs.owners();
    let mut rows = network.lab(|lab| {
        lab.stack(host.id)
            .map(|stack| stack.rows())
            .unwrap_or_default()
    });
    // Within a protocol, as net-tools has it: IPv4, then IPv6.
    let protocol = |row: &SocketRow| match row.kind {
        SocketKind::Stream => 0,
        SocketKind::Datagram => 1,
        SocketKind::Lite => 2,
        SocketKind::Echo => 3,
        SocketKind::Raw(_) => 4,
    };
    rows.sort_by_key(|row| (protocol(row), row.family));
    let with_owner = |row: &SocketRow| {
        let owner = owners
            .iter()
            .find(|owner| owner.machine == host.id && Some(owner.socket) == row.socket);
        socket(row, owner.map(|owner| (owner.pid, owner.program.clone())))
    };
    NodeSockets {
        node: host.name.clone(),
        sockets: rows.iter().map(with_owner).collect(),
    }
}

fn socket(row: &SocketRow, owner: Option<(u32, String)>) -> Socket {
    let proto = match (row.kind, row.family) {
        (SocketKind::Stream, Family::V4) => "tcp",
        (SocketKind::Stream, Family::V6) => "tcp6",
        (SocketKind::Datagram, Family::V4) => "udp",
        (SocketKind::Datagram, Family::V6) => "udp6",
        (SocketKind::Lite, Family::V4) => "udpl",
        (SocketKind::Lite, Family::V6) => "udpl6",
        (SocketKind::Echo, Family::V4) => "icmp",
        (SocketKind::Echo, Family::V6) => "icmp6",
        (SocketKind::Raw(_), Family::V4) => "raw",
        (SocketKind::Raw(_), Family::V6) => "raw6",
    };
    let state = match (row.state, row.remote) {
        (Some(state), _) => netstat_word(state),
        // As net-tools: a datagram socket with a peer.
        (None, Some(_)) => netstat_word(State::Established),
        (None, None) => "",
    };
    let (pid, program) = owner.unzip();
    Socket {
        proto: proto.into(),
        recv_q: row.recv_q,
        send_q: if row.state == Some(State::Listen) {
            0
        } else {
            row.send_q
        },
        local: row.local.to_string(),
        foreign: row.remote.map(|remote| remote.to_string()),
        state: state.into(),
        pid,
        program,
    }
}

/// net-tools' words for the states.
fn netstat_word(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSE",
        State::Listen => "LISTEN",
        State::SynSent => "SYN_SENT",
        State::SynReceived => "SYN_RECV",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN_WAIT1",
        State::FinWait2 => "FIN_WAIT2",
        State::CloseWait => "CLOSE_WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST_ACK",
        State::TimeWait => "TIME_WAIT",
    }
}

fn node_info(machine: &MachineInfo) -> NodeInfo {
    NodeInfo {
        name: machine.name.clone(),
        kind: kind(machine.kind).into(),
        addresses: machine
            .addresses
            .iter()
            .map(|(_, address, len)| format!("{address}/{len}"))
            .collect(),
    }
}

fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Host => "host",
        NodeKind::Router => "router",
        NodeKind::Switch => "switch",
        NodeKind::Tap => "tap",
        NodeKind::Tun => "tun",
        NodeKind::Uplink => "uplink",
        NodeKind::Kernel => "kernel",
    }
}
