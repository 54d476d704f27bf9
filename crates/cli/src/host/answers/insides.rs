//! The sockets of hosts inside out, for `heptad ss`.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use heptad_lab::MachineInfo;
use heptad_stack::l4_transport::tcp::{Detail, State, TimerKind};
use heptad_stack::stack::{SocketDetail, SocketRow};
use heptad_stack::{Family, SocketKind};

use super::Answers;
use crate::control::Answer;
use crate::control::sockets::{Inside, NodeInsides, SsTimer};

impl Answers {
    pub(super) fn insides(&self, node: Option<&str>) -> Result<Answer, String> {
        let hosts = self.hosts(node)?;
        let nodes = hosts.iter().map(|host| self.insides_of(host)).collect();
        Ok(Answer::Insides { nodes })
    }
    fn insides_of(&self, host: &MachineInfo) -> NodeInsides {
        let now = self.network.now();
        let details = self.network.lab(|lab| {
            let stack = lab.stack(host.id);
            stack.map(|stack| stack.details(now)).unwrap_or_default()
        });
        let owners = self.programs.owners();
        let sockets = details.into_iter().filter_map(|detail| {
            let mut inside = inside(&detail)?;
            let owner = owners
                .iter()
                .find(|owner| owner.machine == host.id && Some(owner.socket) == detail.row.socket);
            (inside.pid, inside.program) = owner
                .map(|owner| (owner.pid, owner.program.clone()))
                .unzip();
            Some(inside)
        });
        let mut sockets: Vec<Inside> = sockets.collect();
        // As ss asks the kernel: UDP, raw, TCP; IPv4 first.
        sockets.sort_by_key(|s| (order(&s.netid), s.ipv6));
        NodeInsides {
            node: host.name.clone(),
            sockets,
        }
    }
}

fn order(netid: &str) -> usize {
    let all = ["raw", "udp", "tcp"];
    all.iter().position(|one| *one == netid).unwrap_or(0)
}

fn inside(SocketDetail { row, tcp, v6_only }: &SocketDetail) -> Option<Inside> {
    let netid = match row.kind {
        SocketKind::Stream => "tcp",
        SocketKind::Datagram => "udp",
        SocketKind::Raw(_) => "raw",
        // As iproute2, which does not know them.
        SocketKind::Lite | SocketKind::Echo => return None,
    };
    let mut inside = Inside {
        netid: netid.into(),
        ipv6: row.family == Family::V6,
        state: state(row).into(),
        recv_q: row.recv_q,
        send_q: row.send_q,
        local: end(row, row.local, *v6_only),
        peer: match row.remote {
            Some(remote) => end(row, remote, true),
            None => nobody(row, *v6_only),
        },
        ino: row.socket.map(|socket| socket.generation.wrapping_add(1)),
        ..Inside::default()
    };
    if let Some(tcp) = tcp {
        add_tcp(&mut inside, tcp);
    }
    Some(inside)
}

fn add_tcp(inside: &mut Inside, tcp: &Detail) {
    inside.skmem = tcp.memory;
    inside.congestion = tcp.congestion.map(|which| which.name().into());
    inside.timer = tcp.timer.map(|timer| SsTimer {
        kind: match timer.kind {
            TimerKind::Retransmission => "on",
            TimerKind::Keepalive => "keepalive",
            TimerKind::TimeWait => "timewait",
            TimerKind::Persist => "persist",
        }
        .into(),
        millis: millis(timer.left),
        times: timer.times,
    });
    let named = tcp.info.iter().flat_map(|info| info.fields());
    inside.tcp_info = named
        .map(|(name, value)| (name.to_string(), value))
        .collect();
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// ss's words for the states.
fn state(row: &SocketRow) -> &'static str {
    match (row.state, row.remote) {
        (None, None) | (Some(State::Closed), _) => "UNCONN",
        (None, Some(_)) | (Some(State::Established), _) => "ESTAB",
        (Some(State::Listen), _) => "LISTEN",
        (Some(State::SynSent), _) => "SYN-SENT",
        (Some(State::SynReceived), _) => "SYN-RECV",
        (Some(State::FinWait1), _) => "FIN-WAIT-1",
        (Some(State::FinWait2), _) => "FIN-WAIT-2",
        (Some(State::CloseWait), _) => "CLOSE-WAIT",
        (Some(State::Closing), _) => "CLOSING",
        (Some(State::LastAck), _) => "LAST-ACK",
        (Some(State::TimeWait), _) => "TIME-WAIT",
    }
}

/// An end: a socket of IPv6 shows IPv4 as mapped, and one that hears both families shows `*`.
fn end(row: &SocketRow, end: SocketAddr, v6_only: bool) -> String {
    let port = match end.port() {
        0 => "*".to_string(),
        port => port.to_string(),
    };
    match (row.family, end.ip()) {
        (Family::V6, ip) if ip.is_unspecified() && !v6_only => format!("*:{port}"),
        (Family::V6, IpAddr::V4(ip)) => format!("[::ffff:{ip}]:{port}"),
        (_, IpAddr::V4(ip)) => format!("{ip}:{port}"),
        (_, IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
    }
}
fn nobody(row: &SocketRow, v6_only: bool) -> String {
    match (row.family, v6_only) {
        (Family::V4, _) => "0.0.0.0:*".into(),
        (Family::V6, true) => "[::]:*".into(),
        (Family::V6, false) => "*:*".into(),
    }
}
