//! TCP (RFC 9293). A map of the folder and the face that layer 5 and the spine see.
//!
//! One [`Tcp`] a host. Hashed demultiplexing (keyed) into separate slabs: listeners, openings, connections, TIME-WAIT.
//!
//! ```text
//!                   segment                                     calls (calls.rs)
//!                      ▼                                              ▼
//!   segment, options ─ demux ─┬─ listener ─ opening ─┐      listen connect accept send recv
//!                             ├─ active (SYN-SENT) ──┼──▶ tcb ◀── shutdown close abort
//!                             ├─ arrives/ ───────────┘    │ sender  receiver ─ reassembly
//!                             └─ time_wait                │ rtt  recovery/  congestion/
//!                                                         │ delivery  pacing  delayed_ack keepalive probe
//!                      ▲                                  ▼
//!                  departure ◀── output (the only place that decides) ◀── settle, timers
//! ```
//!
//! The states and their one table of transitions: `states`. Sequence numbers: `seq`, the only place that compares them.
mod active;
mod arrives;
mod burst;
mod busy;
mod calls;
mod challenge;
mod congestion;
mod delayed_ack;
mod delivery;
mod demux;
mod ecn;
mod fast_open;
mod info;
mod inspect;
mod isn;
mod keepalive;
mod listener;
mod model;
mod mtu_search;
mod opening;
mod options;
mod output;
mod pacing;
mod probe;
mod reassembly;
mod receiver;
mod recovery;
mod rtt;
mod segment;
mod sender;
mod seq;
mod settle;
mod sizing;
mod states;
mod status;
mod syn_cookie;
mod tally;
mod tcb;
mod telling;
mod time_wait;
mod timers;
mod urgent;
mod validation;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use slab::Slab;

use crate::l1_physical::PortId;
use crate::l3_network::{Arrival, Departure, Flow, NetError, Path, Reply, Up};
use crate::l4_transport::family::Family;
use crate::l4_transport::readiness::Owner;
use crate::time::Duration;
use crate::{Counter, Cx, DropReason, Instant};

pub use crate::l4_transport::readiness::{Ready, SocketError};
pub use ecn::Ecn;
pub use fast_open::FastOpenModes;
pub use info::{EcnInfo, Info, TCP_INFO};
pub use inspect::{Detail, Timer, TimerKind};
pub(crate) use opening::syn_timeout;
pub use syn_cookie::SynCookies;

/// The eleven states of RFC 9293 3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the RFC's own names
pub enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// A listener's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// A connection's handle, from `connect` or `accept` until `close`: the same through opening, synchronised states and failure.
/// `generation` tells a reused slot from the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Slot.
    pub index: u32,
    /// How-manieth use of the slot.
    pub generation: u32,
}

/// Which congestion control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Congestion {
    /// RFC 5681, 6582.
    Reno,
    /// RFC 9438.
    #[default]
    Cubic,
    /// Version 3, draft-ietf-ccwg-bbr.
    Bbr,
}
impl Congestion {
    /// All, by the names that TCP_CONGESTION has for them.
    pub const ALL: [(&'static str, Self); 3] = [
        ("reno", Self::Reno),
        ("cubic", Self::Cubic),
        ("bbr", Self::Bbr),
    ];
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, which)| which)
    }
    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(_, which)| *which == self);
        found.map_or("", |(name, _)| name)
    }
}

/// When segments longer than those known to get through are tried (tcp_mtu_probing; RFC 4821).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MtuProbing {
    /// Never: what the network swallows without a word stops a connection.
    Off,
    /// Once a black hole is suspected.
    #[default]
    BlackHoles,
    /// From the start of each connection.
    Always,
}

/// How long FIN-WAIT-2 lasts where no program is left (TCP_LINGER2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OrphanWait {
    /// As the host says (tcp_fin_timeout).
    #[default]
    AsHost,
    /// Not at all: a reset ends the connection.
    No,
    /// So long, at most [`OrphanWait::MOST`].
    For(Duration),
}
impl OrphanWait {
    /// Linux's TCP_FIN_TIMEOUT_MAX.
    pub const MOST: Duration = Duration::from_secs(120);
}

/// What a socket may choose about its connection; a listener's are inherited. Defaults are Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// TCP_KEEPIDLE (7200 s).
    pub keepidle: Duration,
    /// TCP_KEEPINTVL (75 s).
    pub keepintvl: Duration,
    /// TCP_KEEPCNT (9).
    pub keepcnt: u32,
    /// TCP_SYNCNT: how often a SYN, or a listener's SYN,ACK, leaves again; 0: as the host says.
    pub syn_count: u8,
    /// TCP_LINGER2.
    pub orphan_wait: OrphanWait,
    /// TCP_DEFER_ACCEPT: a listener's handshakes end with text from the peer, until the SYN,ACK has timed out so often; 0: off.
    pub defer_accept: u8,
    /// TCP_FASTOPEN: a listener's connections in use whose handshake is not over, at most; 0: none.
    pub fast_open: u32,
    /// TCP_FASTOPEN_CONNECT: a SYN waits for the first text, if it may carry it.
    pub fast_open_connect: bool,
    /// TCP_USER_TIMEOUT; zero: the system's.
    pub user_timeout: Duration,
    /// TCP_MAXSEG; 0: from the MTU.
    pub maxseg: u16,
    /// TCP_CONGESTION.
    pub congestion: Congestion,
    /// SO_RCVBUF in bytes of memory; 0: automatic.
    pub rcvbuf: u32,
    /// SO_SNDBUF in bytes of memory; 0: automatic.
    pub sndbuf: u32,
    /// TTL of what is sent over IPv4 (64).
    pub ttl: u8,
    /// DS field there.
    pub tos: u8,
    /// Hop limit of what is sent over IPv6 (64).
    pub hops: u8,
    /// Traffic class there.
    pub class: u8,
    /// TCP_CORK: hold back partial segments (at most 200 ms).
    pub cork: bool,
    /// TCP_QUICKACK.
    pub quickack: bool,
    /// SO_OOBINLINE: an urgent byte stays in the stream.
    pub oob_inline: bool,
    /// SO_REUSEPORT: listeners of one address share its connections.
    pub reuse_port: bool,
    /// SO_BINDTODEVICE: hears what comes in by this port only, and speaks by it.
    pub device: Option<PortId>,
    /// TCP_WINDOW_CLAMP, bytes; 0: none.
    pub window_clamp: u32,
    /// SO_MAX_PACING_RATE, bytes a second; `u64::MAX`: none.
    pub max_pacing_rate: u64,
    /// TCP_NOTSENT_LOWAT: bytes not yet sent at which the program is to wait; 0: the host's.
    pub notsent_lowat: u32,
    /// IPV6_V6ONLY: a listener at `::` leaves IPv4 alone.
    pub v6_only: bool,
    /// Of which family the socket is.
    pub family: Family,
}
impl Options {
    /// What a socket of a family begins with.
    pub fn of(family: Family) -> Self {
        Self {
            family,
            ..Self::default()
        }
    }
    /// TTL or hop limit, and DS field, of a packet to an address.
    pub fn hops_to(&self, remote: IpAddr) -> (u8, u8) {
        match remote {
            IpAddr::V4(_) => (self.ttl, self.tos),
            IpAddr::V6(_) => (self.hops, self.class),
        }
    }
    /// Whether a listener at this address hears both families.
    pub fn hears_both(&self, local: IpAddr) -> bool {
        local == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !self.v6_only
    }
}
impl Default for Options {
    fn default() -> Self {
        Self {
            nodelay: false,
            keepalive: false,
            keepidle: Duration::from_secs(7200),
            keepintvl: Duration::from_secs(75),
            keepcnt: 9,
            syn_count: 0,
            orphan_wait: OrphanWait::AsHost,
            defer_accept: 0,
            fast_open: 0,
            fast_open_connect: false,
            user_timeout: Duration::ZERO,
            maxseg: 0,
            congestion: Congestion::Cubic,
            rcvbuf: 0,
            sndbuf: 0,
            ttl: 64,
            tos: 0,
            hops: 64,
            class: 0,
            cork: false,
            quickack: true,
            oob_inline: false,
            reuse_port: false,
            device: None,
            window_clamp: 0,
            max_pacing_rate: u64::MAX,
            notsent_lowat: 0,
            v6_only: false,
            family: Family::V4,
        }
    }
}

/// Host-wide settings, checked when built. Defaults are Linux's.
#[derive(Clone, Debug)]
pub struct Config {
    /// Timestamps, window scale and SACK offered (all on).
    pub timestamps: bool,
    /// Window scaling.
    pub window_scaling: bool,
    /// Selective acknowledgments.
    pub sack: bool,
    /// SYN retries before ETIMEDOUT (6).
    pub syn_retries: u32,
    /// SYN,ACK retries (5).
    pub synack_retries: u32,
    /// Retransmissions before giving up, tcp_retries2 (15).
    pub retries2: u32,
    /// Bound on the backlog, somaxconn (4096).
    pub somaxconn: u32,
    /// Whether a listener answers without remembering (tcp_syncookies, 1).
    pub syn_cookies: SynCookies,
    /// Who uses explicit congestion notification (tcp_ecn, 2: who is asked).
    pub ecn: Ecn,
    /// Who may use Fast Open (tcp_fastopen, 1: clients).
    pub fast_open: FastOpenModes,
    /// The key of its cookies (tcp_fastopen_key); `None`: drawn.
    pub fast_open_key: Option<(u64, u64)>,
    /// How long TIME-WAIT lasts (60 s) and FIN-WAIT-2 without a socket (60 s).
    pub fin_timeout: Duration,
    /// Most TIME-WAIT entries (tcp_max_tw_buckets).
    pub max_time_wait: usize,
    /// Most connections whose program is gone (tcp_max_orphans); one more is reset.
    pub max_orphans: usize,
    /// Receive buffer: initial and largest, bytes (tcp_rmem 131072, 33554432: since Linux 6.16).
    pub rmem: (u32, u32),
    /// Send buffer: initial and largest, bytes (tcp_wmem 16384 → 87040 usable, 4194304).
    pub wmem: (u32, u32),
    /// Whether receive buffers grow by themselves (tcp_moderate_rcvbuf).
    pub moderate_rcvbuf: bool,
    /// Bytes not yet sent at which programs are to wait (tcp_notsent_lowat; without end).
    pub notsent_lowat: u32,
    /// What sockets begin with (tcp_congestion_control).
    pub congestion: Congestion,
    /// Whether the congestion window shrinks while nothing is sent (tcp_slow_start_after_idle; RFC 5681 4.1).
    pub slow_start_after_idle: bool,
    /// When the path is probed for its MTU. Linux's is off.
    pub mtu_probing: MtuProbing,
    /// Text of the segments that such a search begins with (tcp_base_mss, 1024).
    pub base_mss: u16,
    /// Whether a timeout may be found needless by what is acknowledged after it (tcp_frto; RFC 5682).
    pub frto: bool,
    /// Fewest segments that a super-segment has where there is text for them (tcp_min_tso_segs, 2).
    pub least_burst: u8,
    /// Host-wide bound on payload memory, bytes.
    pub memory: usize,
}
impl Default for Config {
    fn default() -> Self {
        Self {
            timestamps: true,
            window_scaling: true,
            sack: true,
            syn_retries: 6,
            synack_retries: 5,
            retries2: 15,
            somaxconn: 4096,
            syn_cookies: SynCookies::WhenFull,
            ecn: Ecn::WhenAsked,
            fast_open: FastOpenModes::default(),
            fast_open_key: None,
            fin_timeout: Duration::from_secs(60),
            max_time_wait: 65_536,
            max_orphans: 65_536,
            rmem: (131_072, 33_554_432),
            wmem: (87_040, 4_194_304),
            moderate_rcvbuf: true,
            notsent_lowat: u32::MAX,
            congestion: Congestion::Cubic,
            slow_start_after_idle: true,
            mtu_probing: MtuProbing::BlackHoles,
            base_mss: 1024,
            frto: true,
            least_burst: 2,
            memory: 1 << 30,
        }
    }
}

/// One row for `netstat` and `ss`, and what `TCP_INFO` tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// State.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// Theirs; `None` for a listener.
    pub remote: Option<SocketAddr>,
    /// Received and not read, bytes; for a listener: connections that wait to be accepted.
    pub recv_q: u32,
    /// Sent or to be sent and not acknowledged, bytes; for a listener: its backlog.
    pub send_q: u32,
    /// Of which family its socket is, or was.
    pub family: Family,
    /// The socket it belongs to, if there is still one.
    pub owner: Option<Owner>,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// Slow start threshold, bytes.
    pub ssthresh: u32,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Maximum segment size for sending, bytes of payload.
    pub mss: u16,
    /// Segments sent again in all.
    pub retransmits: u64,
}

/// A slot's content: the same handle through opening, synchronised states and failure.
enum Conn {
    Opening(Box<opening::ActiveOpening>),
    Open(Box<tcb::Tcb>),
}

/// The way back to an address, by a port if one is given.
pub type WayBack<'a> = &'a dyn Fn(Option<PortId>, IpAddr) -> Option<Path>;

/// TCP of one host.
pub struct Tcp {
    config: Config,
    /// What a connection has that chose nothing, by the family of its socket.
    default_options: [Arc<Options>; 2],
    secrets: isn::Secrets,
    cookies: syn_cookie::CookieKeys,
    fast_open: fast_open::FastOpen,
    demux: demux::Demux,
    listeners: Slab<listener::Listener>,
    openings: Slab<opening::Opening>,
    conns: Slab<Conn>,
    time_waits: Slab<time_wait::TimeWait>,
    agenda: timers::Agenda,
    output: settle::OutputLists,
    ready: VecDeque<settle::ReadyKey>,
    generation: u32,
    /// Payload memory of all connections, bytes.
    memory: usize,
    /// Connections whose program is gone.
    orphans: usize,
}

impl Tcp {
    /// A TCP without connections. Secrets (ISN, hash keys) are drawn from `cx.rng`.
    pub fn new(config: Config, cx: &mut Cx<'_>) -> Self {
        let secrets = isn::Secrets::draw(cx);
        Self {
            default_options: [Family::V4, Family::V6].map(|family| {
                Arc::new(Options {
                    notsent_lowat: config.notsent_lowat,
                    congestion: config.congestion,
                    ..Options::of(family)
                })
            }),
            fast_open: fast_open::FastOpen::new(&config, &secrets),
            config,
            cookies: syn_cookie::CookieKeys::new(&secrets),
            secrets,
            demux: demux::Demux::new(cx),
            listeners: Slab::new(),
            openings: Slab::new(),
            conns: Slab::new(),
            time_waits: Slab::new(),
            agenda: timers::Agenda::default(),
            output: settle::OutputLists::default(),
            ready: VecDeque::new(),
            generation: 0,
            memory: 0,
            orphans: 0,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One allocation for all that chose nothing.
    fn share(&self, mut options: Options) -> Arc<Options> {
        if options.notsent_lowat == 0 {
            options.notsent_lowat = self.config.notsent_lowat;
        }
        let default = self
            .default_options
            .iter()
            .find(|default| ***default == options);
        default.map_or_else(|| Arc::new(options), Arc::clone)
    }

    // ── border, downwards ────────────────────────────────────────────────────────────────────────────────────────

    /// A segment that came up. RST, challenge ACK and SYN,ACK of an opening may come back as a reply; all else is sent by `poll_transmit`.
    /// `route` tells the way back for a SYN (called at most once).
    pub fn receive(&mut self, arrival: Arrival, route: WayBack<'_>, cx: &mut Cx<'_>) -> Up<()> {
        let frames = arrival.packet.frames();
        cx.counters.add(Counter::TcpInSegs, u64::from(frames));
        if arrival.group {
            cx.pool.recycle(arrival.packet);
            return Up::Drop(DropReason::TcpNotUnicast, None);
        }
        let port = arrival.port;
        match segment::Segment::parse(arrival, cx) {
            Ok((local, remote, seg)) => self.deliver((local, remote, port), seg, route, cx),
            Err(reason) => {
                cx.count(Counter::TcpInErrs);
                Up::Drop(reason, None)
            }
        }
    }
    /// A segment that is answered as one that nobody here knows, whoever listens.
    pub fn refuse(&mut self, arrival: Arrival, cx: &mut Cx<'_>) -> Up<()> {
        cx.count(Counter::TcpInSegs);
        match segment::Segment::parse(arrival, cx) {
            Ok((local, remote, seg)) => {
                let reset = segment::reset_for(local, remote, &seg, cx);
                Up::Drop(DropReason::StrangerRefused, reset.map(Reply::Transport))
            }
            Err(reason) => {
                cx.count(Counter::TcpInErrs);
                Up::Drop(reason, None)
            }
        }
    }
    fn deliver(
        &mut self,
        (local, remote, port): (SocketAddr, SocketAddr, PortId),
        seg: segment::Segment,
        route: WayBack<'_>,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        let mut isn = None;
        let mut entry = self.find(local, remote, port);
        if let Some(demux::Entry::TimeWait(index)) = entry {
            match self.time_wait_receives((index, port), &seg, cx) {
                Ok(up) => return up,
                Err(floor) => isn = Some(floor),
            }
            entry = self.find(local, remote, port);
        }
        match entry {
            Some(demux::Entry::Conn(id)) => return self.conn_receives(id, seg, cx),
            Some(demux::Entry::Opening(index)) => return self.opening_receives(index, seg, cx),
            Some(demux::Entry::Listener(index)) => {
                let knock = listener::Knock {
                    local,
                    remote,
                    isn,
                    route,
                };
                return self.listener_receives(index, &knock, seg, cx);
            }
            Some(demux::Entry::TimeWait(_)) | None => {}
        }
        let reset = segment::reset_for(local, remote, &seg, cx);
        Up::Drop(DropReason::TcpNoSocket, reset.map(Reply::Transport))
    }
    /// What a segment that came in by a port is for: a pair before a listener. A connection that is bound to another port does
    /// not hear it.
    fn find(&self, local: SocketAddr, remote: SocketAddr, port: PortId) -> Option<demux::Entry> {
        let hears = |entry: &demux::Entry| match entry {
            demux::Entry::Conn(id) if self.demux.knows_devices() => {
                let device = self.conn(*id).and_then(|conn| conn.ep().options.device);
                device.is_none_or(|device| device == port)
            }
            _ => true,
        };
        let pair = self.demux.pair(local, remote).filter(hears);
        pair.or_else(|| {
            let listener = self.demux.listener(local, remote, port)?;
            Some(demux::Entry::Listener(listener))
        })
    }
    /// A segment for a connection or an active opening.
    fn conn_receives(&mut self, id: ConnId, seg: segment::Segment, cx: &mut Cx<'_>) -> Up<()> {
        let host = arrives::Host {
            config: &self.config,
            full: self.memory >= self.config.memory,
        };
        let Some(conn) = self.conns.get_mut(id.index as usize) else {
            return Up::Drop(DropReason::TcpNoSocket, None);
        };
        let ack = seg.ack;
        let mut late = false;
        let mut answer = None;
        let verdict = match conn {
            Conn::Open(tcb) => {
                late = tcb.is_late();
                arrives::arrives(tcb, seg, &host, cx).map_err(|r| (r, None))
            }
            Conn::Opening(opening) => match active::arrives(opening, seg, host.config, cx) {
                active::Outcome::Stays(verdict) => verdict,
                active::Outcome::Opened(mut tcb, seg) => {
                    answer = Some((tcb.ep.remote(), seg.options));
                    let verdict = arrives::arrives(&mut tcb, seg, &host, cx);
                    *conn = Conn::Open(tcb);
                    verdict.map_err(|r| (r, None))
                }
            },
        };
        let (local, remote) = (conn.ep().local(), conn.ep().remote());
        if let Some((remote, options)) = answer {
            self.learn_cookie(remote, &options);
        }
        self.settle(id, cx);
        match verdict {
            Ok(()) => Up::Done,
            // The program's end is gone: as a segment that nobody here knows.
            Err((DropReason::TcpAfterClose, _)) => {
                let reset = segment::reset_at(local, remote, ack, cx);
                Up::Drop(DropReason::TcpAfterClose, Some(Reply::Transport(reset)))
            }
            // As in SYN-RECEIVED, where it is.
            Err((DropReason::TcpAckInvalid, None)) if late => {
                let reset = segment::reset_at(local, remote, ack, cx);
                Up::Drop(DropReason::TcpAckInvalid, Some(Reply::Transport(reset)))
            }
            Err((reason, reply)) => Up::Drop(reason, reply),
        }
    }
    /// `Err`: the entry gave way to a new connection, whose ISN must not be below this.
    fn time_wait_receives(
        &mut self,
        (index, port): (u32, PortId),
        seg: &segment::Segment,
        cx: &mut Cx<'_>,
    ) -> Result<Up<()>, seq::SeqNum> {
        let length = self.config.fin_timeout;
        let Some(entry) = self.time_waits.get_mut(index as usize) else {
            return Ok(Up::Drop(DropReason::TcpNoSocket, None));
        };
        let (local, remote) = (entry.local, entry.remote);
        if entry.may_be_reused(seg) && self.demux.listener(local, remote, port).is_some() {
            let isn = self.secrets.isn(entry.local, entry.remote, cx.now);
            let isn = entry.next_isn(isn);
            self.agenda.forget();
            self.remove_time_wait(index);
            return Err(isn);
        }
        Ok(entry.arrives(seg, length, cx))
    }

    /// Timers that are due.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.run_timers(cx);
    }
    /// When the next timer is due. O(1); may be early, never late.
    pub fn poll_at(&self) -> Option<Instant> {
        self.agenda.next()
    }
    /// The next segment to leave by this port; connections take turns.
    pub fn poll_transmit(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<Departure> {
        self.take_departure(port, cx)
    }
    /// Whether `poll_transmit` may have something. O(1).
    pub fn wants_transmit(&self, port: PortId) -> bool {
        self.output.is_waiting(port)
    }
    /// An ICMP error about a segment of ours (RFC 5461, 5927): soft for synchronised connections, fatal for openings.
    /// An error that names no segment on its way is refused.
    pub fn unreachable(
        &mut self,
        flow: Flow,
        error: NetError,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        self.network_error(flow, error, cx)
    }
    /// A smaller path MTU, refused likewise.
    pub fn path_mtu(&mut self, flow: Flow, mtu: u32, cx: &mut Cx<'_>) -> Result<(), DropReason> {
        self.shrink_path(flow, mtu, cx)
    }
    /// A socket whose readiness may have changed since it was last taken from here.
    pub fn poll_ready(&mut self) -> Option<(Owner, Ready)> {
        self.take_ready()
    }

    fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }
    fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns
            .get(id.index as usize)
            .filter(|conn| conn.ep().generation == id.generation)
    }
    fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns
            .get_mut(id.index as usize)
            .filter(|conn| conn.ep().generation == id.generation)
    }
}

impl Conn {
    fn ep(&self) -> &tcb::Endpoint {
        match self {
            Self::Opening(opening) => &opening.ep,
            Self::Open(tcb) => &tcb.ep,
        }
    }
    fn ep_mut(&mut self) -> &mut tcb::Endpoint {
        match self {
            Self::Opening(opening) => &mut opening.ep,
            Self::Open(tcb) => &mut tcb.ep,
        }
    }
    fn on_timeout(&mut self, config: &Config, cx: &mut Cx<'_>) {
        match self {
            Self::Opening(opening) => opening.on_timeout(config, cx),
            Self::Open(tcb) => tcb.on_timeout(config, cx),
        }
    }
}

#[cfg(test)]
mod tests;
