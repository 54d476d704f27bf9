//! The table of sockets: handles with generations, readiness, and the rows that `netstat` shows.
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use slab::Slab;

use super::options::Options;
use super::raw::beginning;
use super::{Family, Ready, SocketError, SocketId, SocketKind};
use crate::Instant;
use crate::l4_transport::Transport;
use crate::l4_transport::echo::EchoId;
use crate::l4_transport::family::with_scope;
use crate::l4_transport::ports::{Hold, PortSpace, Sharing};
use crate::l4_transport::raw::RawId;
use crate::l4_transport::tcp::{self, ConnId, ListenerId};
use crate::l4_transport::udp::UdpId;

/// Most sockets of a host.
const SOCKETS: usize = 1 << 20;

/// One row of `netstat` and `ss`.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketRow {
    /// Stream, datagram, UDP-Lite, echo or raw.
    pub kind: SocketKind,
    /// Of which family it is: one of IPv6 may speak IPv4.
    pub family: Family,
    /// The socket, if a program still holds it.
    pub socket: Option<SocketId>,
    /// Our end. Here an address of IPv4 is one, whatever the socket's family is.
    pub local: SocketAddr,
    /// Theirs.
    pub remote: Option<SocketAddr>,
    /// TCP's state; `None` for UDP.
    pub state: Option<tcp::State>,
    /// As [`tcp::Status::recv_q`].
    pub recv_q: u32,
    /// As [`tcp::Status::send_q`].
    pub send_q: u32,
}

/// A row, and what `ss` adds.
#[derive(Clone, Debug)]
pub struct SocketDetail {
    /// As `netstat` shows it.
    pub row: SocketRow,
    /// What TCP knows.
    pub tcp: Option<tcp::Detail>,
    /// IPV6_V6ONLY.
    pub v6_only: bool,
}

/// The sockets of one host.
pub struct Sockets {
    table: Slab<Socket>,
    /// Those of a socket that chose nothing, of IPv4 and of IPv6.
    default_options: (Arc<Options>, Arc<Options>),
    next_generation: u32,
    /// Sockets that a verb made ready, which layer 4 does not know of.
    changed: VecDeque<SocketId>,
    /// What a stream's buffers begin with, bytes.
    pub(super) rcvbuf: u32,
    pub(super) sndbuf: u32,
    /// How often a SYN leaves again, and how long FIN-WAIT-2 lasts, where a stream does not say.
    pub(super) syn_retries: u32,
    pub(super) fin_timeout: Duration,
}

/// One socket.
pub(super) struct Socket {
    generation: u32,
    pub(super) kind: SocketKind,
    pub(super) phase: Phase,
    pub(super) options: Arc<Options>,
    /// What `bind` asked for, with the port that it got. Survives a failed or dissolved connect.
    pub(super) bound: Option<Box<SocketAddr>>,
    /// Our end; getsockname tells it as the socket's family writes it.
    pub(super) local: SocketAddr,
    /// Their end.
    pub(super) remote: Option<SocketAddr>,
    /// The port that it holds.
    pub(super) hold: Option<Hold>,
}

/// What a socket is to layer 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A stream that neither listens nor has a connection.
    Idle,
    /// A listener.
    Listening(ListenerId),
    /// `connect` was called and has not said yet how it went.
    Connecting(ConnId),
    /// Connected by `connect` or `accept`, whatever became of it since.
    Connected(ConnId),
    /// A datagram socket.
    Datagram(UdpId),
    /// An echo socket.
    Echo(EchoId),
    /// A raw socket.
    Raw(RawId),
}

impl Sockets {
    /// An empty table.
    pub fn new(config: &tcp::Config) -> Self {
        let default = |family| {
            let mut options = Options::of(family);
            options.tcp.congestion = config.congestion;
            Arc::new(options)
        };
        Self {
            table: Slab::new(),
            default_options: (default(Family::V4), default(Family::V6)),
            next_generation: 0,
            changed: VecDeque::new(),
            rcvbuf: config.rmem.0,
            sndbuf: config.wmem.0,
            syn_retries: config.syn_retries,
            fin_timeout: config.fin_timeout,
        }
    }

    /// A new socket; too many: `NoBuffers`.
    pub fn open(
        &mut self,
        family: Family,
        kind: SocketKind,
        transport: &mut Transport,
    ) -> Result<SocketId, SocketError> {
        let id = self.next_id()?;
        let (v4, v6) = &self.default_options;
        let mut options = Arc::clone(if family == Family::V4 { v4 } else { v6 });
        if let SocketKind::Raw(_) = kind {
            // As on Linux: one of IPv6 speaks no IPv4.
            Arc::make_mut(&mut options).tcp.v6_only = family == Family::V6;
        }
        let phase = match kind {
            SocketKind::Stream => Phase::Idle,
            SocketKind::Datagram => {
                Phase::Datagram(transport.udp.open(id.owner(), options.datagram()))
            }
            SocketKind::Lite => {
                Phase::Datagram(transport.udp_lite.open(id.owner(), options.datagram()))
            }
            SocketKind::Echo => Phase::Echo(transport.echo.open(id.owner(), options.datagram())),
            SocketKind::Raw(protocol) => {
                let key = (family, protocol);
                Phase::Raw(transport.raw.open(id.owner(), key, options.datagram()))
            }
        };
        let local = SocketAddr::new(family.any(), beginning(kind));
        self.insert(Socket {
            generation: id.generation,
            kind,
            phase,
            options,
            bound: None,
            local,
            remote: None,
            hold: None,
        });
        Ok(id)
    }

    /// The handle that the next [`insert`](Self::insert) will get.
    pub(super) fn next_id(&self) -> Result<SocketId, SocketError> {
        if self.table.len() >= SOCKETS {
            return Err(SocketError::NoBuffers);
        }
        Ok(SocketId {
            index: self.table.vacant_key() as u32,
            generation: self.next_generation,
        })
    }
    fn insert(&mut self, socket: Socket) {
        self.next_generation = self.next_generation.wrapping_add(1);
        if self.table.len() == self.table.capacity() {
            // By a quarter: doubling would leave half of the table empty.
            self.table.reserve_exact(self.table.len() / 4 + 16);
        }
        self.table.insert(socket);
    }
    /// A socket for a connection that `listener` accepted; its handle is the one of `next_id`.
    pub(super) fn insert_accepted(
        &mut self,
        listener: &Arc<Options>,
        conn: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
        hold: Hold,
    ) {
        let mut options = Arc::clone(listener);
        if options.tcp.defer_accept != 0 || options.tcp.fast_open != 0 {
            // As on Linux: they are of the listener alone.
            let own = &mut Arc::make_mut(&mut options).tcp;
            own.defer_accept = 0;
            own.fast_open = 0;
        }
        self.insert(Socket {
            generation: self.next_generation,
            kind: SocketKind::Stream,
            phase: Phase::Connected(conn),
            options,
            bound: None,
            local,
            remote: Some(remote),
            hold: Some(hold),
        });
    }
    pub(super) fn socket(&self, id: SocketId) -> Result<&Socket, SocketError> {
        let socket = self.table.get(id.index as usize);
        socket
            .filter(|s| s.generation == id.generation)
            .ok_or(SocketError::BadSocket)
    }
    pub(super) fn socket_mut(&mut self, id: SocketId) -> Result<&mut Socket, SocketError> {
        let socket = self.table.get_mut(id.index as usize);
        socket
            .filter(|s| s.generation == id.generation)
            .ok_or(SocketError::BadSocket)
    }
    pub(super) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        self.socket(id).ok()?;
        self.table.try_remove(id.index as usize)
    }
    /// Those who wait on the socket are to look again.
    pub(super) fn wake(&mut self, id: SocketId) {
        if self.changed.back() != Some(&id) {
            self.changed.push_back(id);
        }
    }

    /// A socket whose readiness may have changed, with its readiness now.
    pub fn poll_ready(&mut self, transport: &mut Transport) -> Option<(SocketId, Ready)> {
        while let Some(id) = self.changed.pop_front() {
            if self.socket(id).is_ok() {
                return Some((id, self.ready(id, transport)));
            }
        }
        while let Some((owner, ready)) = transport.poll_ready() {
            let id = SocketId::of(owner);
            if self.socket(id).is_ok() {
                return Some((id, ready));
            }
        }
        None
    }

    /// Readiness now; none for a handle that died. A stream without a connection hangs up, as Linux has it.
    pub fn ready(&self, id: SocketId, transport: &Transport) -> Ready {
        match self.socket(id).map(|socket| socket.phase) {
            Ok(Phase::Idle) => Ready::WRITABLE | Ready::HANG_UP,
            Ok(Phase::Listening(listener)) => transport.tcp.listener_ready(listener),
            Ok(Phase::Connecting(conn) | Phase::Connected(conn)) => transport.tcp.ready(conn),
            Ok(Phase::Datagram(endpoint)) => transport.udp_of(endpoint).ready(endpoint),
            Ok(Phase::Echo(endpoint)) => transport.echo.ready(endpoint),
            Ok(Phase::Raw(endpoint)) => transport.raw.ready(endpoint),
            Err(_) => Ready::NONE,
        }
    }

    /// Every socket that has a port and every connection without a socket: TCP by (local, remote), listeners before their
    /// connections, then UDP, UDP-Lite, echo, raw sockets. Streams that only bound are not shown, as in netstat.
    pub fn rows(&self, transport: &Transport) -> Vec<SocketRow> {
        let mut rows: Vec<SocketRow> = transport
            .tcp
            .all()
            .into_iter()
            .filter(|status| status.state != tcp::State::Closed)
            .map(|status| self.stream_row(&status))
            .collect();
        rows.sort_by_key(|row| (row.local, row.remote));
        rows.append(&mut self.datagram_rows(transport));
        rows
    }
    /// The same inside out, for `ss`.
    pub fn details(&self, transport: &Transport, now: Instant) -> Vec<SocketDetail> {
        let streams = transport.tcp.details(now).into_iter();
        let mut details: Vec<SocketDetail> = streams
            .map(|tcp| SocketDetail {
                row: self.stream_row(&tcp.status),
                tcp: Some(tcp),
                v6_only: false,
            })
            .collect();
        details.sort_by_key(|detail| (detail.row.local, detail.row.remote));
        let datagrams = self.datagram_rows(transport).into_iter();
        details.extend(datagrams.map(|row| SocketDetail {
            row,
            tcp: None,
            v6_only: false,
        }));
        for SocketDetail { row, v6_only, .. } in &mut details {
            let socket = row.socket.and_then(|id| self.socket(id).ok());
            *v6_only = socket.is_some_and(|socket| socket.options.tcp.v6_only);
        }
        details
    }
    fn stream_row(&self, status: &tcp::Status) -> SocketRow {
        SocketRow {
            kind: SocketKind::Stream,
            family: status.family,
            socket: status
                .owner
                .map(SocketId::of)
                .filter(|id| self.socket(*id).is_ok()),
            local: with_scope(status.local),
            remote: status.remote.map(with_scope),
            state: Some(status.state),
            recv_q: status.recv_q,
            send_q: status.send_q,
        }
    }
    fn datagram_rows(&self, transport: &Transport) -> Vec<SocketRow> {
        let mut datagrams: Vec<SocketRow> = self
            .table
            .iter()
            .filter_map(|(index, socket)| datagram_row(index, socket, transport))
            .collect();
        datagrams.sort_by_key(|row| {
            (
                match row.kind {
                    SocketKind::Stream | SocketKind::Datagram => 0,
                    SocketKind::Lite => 1,
                    SocketKind::Echo => 2,
                    SocketKind::Raw(_) => 3,
                },
                row.local,
                row.remote,
                row.socket,
            )
        });
        datagrams
    }
}

fn datagram_row(index: usize, socket: &Socket, transport: &Transport) -> Option<SocketRow> {
    let raw = socket.phase.raw();
    if raw.is_none() {
        socket.hold?;
    }
    let (recv_q, send_q) = match socket.phase {
        Phase::Datagram(endpoint) => transport.udp_of(endpoint).queues(endpoint),
        Phase::Echo(endpoint) => (transport.echo.queued(endpoint), 0),
        Phase::Raw(endpoint) => (transport.raw.queued(endpoint), 0),
        _ => return None,
    };
    Some(SocketRow {
        kind: socket.kind,
        family: socket.family(),
        socket: Some(SocketId {
            index: index as u32,
            generation: socket.generation,
        }),
        local: with_scope(socket.local),
        remote: socket.remote.map(with_scope),
        state: None,
        recv_q,
        send_q,
    })
}

impl Socket {
    /// Its family.
    pub(super) fn family(&self) -> Family {
        self.options.tcp.family
    }
    /// No address of its family, and no port.
    pub(super) fn nowhere(&self) -> SocketAddr {
        SocketAddr::new(self.family().any(), 0)
    }
    /// The address that `bind` fixed, if it fixed one.
    pub(super) fn bound_ip(&self) -> Option<IpAddr> {
        let ip = self.bound.as_ref().map(|addr| addr.ip());
        ip.filter(|ip| !ip.is_unspecified())
    }
    /// The port space of its protocol.
    pub(super) fn ports<'a>(&self, transport: &'a mut Transport) -> &'a mut PortSpace {
        match self.kind {
            SocketKind::Stream => &mut transport.tcp_ports,
            SocketKind::Datagram => &mut transport.udp_ports,
            SocketKind::Lite => &mut transport.udp_lite_ports,
            SocketKind::Echo => &mut transport.echo_ids,
            SocketKind::Raw(_) => unreachable!("a raw socket holds no port"),
        }
    }
    /// What its options allow others at its port. An identifier is nobody else's: replies could not be told apart.
    pub(super) fn sharing(&self) -> Sharing {
        match self.kind {
            SocketKind::Echo => Sharing::default(),
            _ => self.options.sharing(),
        }
    }
    /// Its port is shared by what its options and its end say now.
    pub(super) fn share(&mut self, transport: &mut Transport) {
        let Some(mut hold) = self.hold else {
            return;
        };
        let mut sharing = self.sharing();
        sharing.listening = matches!(self.phase, Phase::Listening(_));
        let ports = self.ports(transport);
        ports.change(&mut hold, self.local.ip(), sharing);
        self.hold = Some(hold);
    }
}
