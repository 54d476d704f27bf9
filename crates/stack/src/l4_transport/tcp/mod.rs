//! TCP (RFC 9293). A map of the folder and the face that layer 5 and the spine see.
//!
//! One [`Tcp`] a host. Hashed demultiplexing (keyed) into separate slabs: listeners, openings, connections, TIME-WAIT.
use core::net::SocketAddr;

use bytes::Bytes;

use crate::l1_physical::PortId;
use crate::l3_network::{Arrival, Departure, Flow, NetError, Path, Up};
use crate::l4_transport::readiness::Owner;
use crate::time::Duration;
use crate::{Cx, Instant};

pub use crate::l4_transport::readiness::{Ready, SocketError};

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
    /// TTL of what is sent (64).
    pub ttl: u8,
    /// DS field.
    pub tos: u8,
    /// TCP_CORK: hold back partial segments (at most 200 ms).
    pub cork: bool,
    /// TCP_QUICKACK.
    pub quickack: bool,
}
impl Default for Options {
    fn default() -> Self {
        Self {
            nodelay: false,
            keepalive: false,
            keepidle: Duration::from_secs(7200),
            keepintvl: Duration::from_secs(75),
            keepcnt: 9,
            user_timeout: Duration::ZERO,
            maxseg: 0,
            congestion: Congestion::Cubic,
            rcvbuf: 0,
            sndbuf: 0,
            ttl: 64,
            tos: 0,
            cork: false,
            quickack: true,
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
    /// How long TIME-WAIT lasts (60 s) and FIN-WAIT-2 without a socket (60 s).
    pub fin_timeout: Duration,
    /// Most TIME-WAIT entries (tcp_max_tw_buckets).
    pub max_time_wait: usize,
    /// Receive buffer: initial and largest, bytes (tcp_rmem 131072, 6291456).
    pub rmem: (u32, u32),
    /// Send buffer: initial and largest, bytes (tcp_wmem 16384 → 87040 usable, 4194304).
    pub wmem: (u32, u32),
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
            fin_timeout: Duration::from_secs(60),
            max_time_wait: 65_536,
            rmem: (131_072, 6_291_456),
            wmem: (87_040, 4_194_304),
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

/// TCP of one host.
pub struct Tcp {}

#[allow(unused_variables)]
impl Tcp {
    /// A TCP without connections. Secrets (ISN, hash keys) are drawn from `cx.rng`.
    pub fn new(config: Config, cx: &mut Cx<'_>) -> Self {
        todo!()
    }

    // ── border, downwards ────────────────────────────────────────────────────────────────────────────────────────

    /// A segment that came up. RST, challenge ACK and SYN,ACK of an opening may come back as a reply; all else is sent by `poll_transmit`.
    /// `route` tells the way back for a SYN (called at most once).
    pub fn receive(
        &mut self,
        arrival: Arrival,
        route: &dyn Fn(core::net::IpAddr) -> Option<Path>,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        todo!()
    }
    /// Timers that are due.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        todo!()
    }
    /// When the next timer is due. O(1); may be early, never late.
    pub fn poll_at(&self) -> Option<Instant> {
        todo!()
    }
    /// The next segment to leave by this port; connections take turns.
    pub fn poll_transmit(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<Departure> {
        todo!()
    }
    /// Whether `poll_transmit` may have something. O(1).
    pub fn wants_transmit(&self, port: PortId) -> bool {
        todo!()
    }
    /// An ICMP error about a segment of ours (RFC 5461, 5927): soft for synchronised connections, fatal for openings.
    pub fn unreachable(&mut self, flow: Flow, error: NetError, cx: &mut Cx<'_>) {
        todo!()
    }
    /// A smaller path MTU.
    pub fn path_mtu(&mut self, flow: Flow, mtu: u32, cx: &mut Cx<'_>) {
        todo!()
    }
    /// A socket whose readiness may have changed since it was last taken from here.
    pub fn poll_ready(&mut self) -> Option<(Owner, Ready)> {
        todo!()
    }

    // ── calls (RFC 9293 3.9.1) ───────────────────────────────────────────────────────────────────────────────────

    /// Passive open. `local.ip()` may be unspecified. Conflicts of ports were checked by layer 5; an identical listener is `AddressInUse`.
    pub fn listen(
        &mut self,
        local: SocketAddr,
        backlog: u32,
        options: Options,
        owner: Owner,
    ) -> Result<ListenerId, SocketError> {
        todo!()
    }
    /// `listen` again with another backlog.
    pub fn set_backlog(&mut self, id: ListenerId, backlog: u32) {
        todo!()
    }
    /// Closes a listener: openings and connections that nobody accepted are reset.
    pub fn close_listener(&mut self, id: ListenerId, cx: &mut Cx<'_>) {
        todo!()
    }
    /// Takes the oldest established connection that waits and gives it to `owner`.
    pub fn accept(
        &mut self,
        id: ListenerId,
        owner: Owner,
    ) -> Result<(ConnId, SocketAddr), SocketError> {
        todo!()
    }
    /// Gives back a connection that was accepted but could not be delivered: it waits at the front again.
    pub fn unaccept(&mut self, id: ListenerId, conn: ConnId) {
        todo!()
    }
    /// Active open. Layer 5 chose the local port and found the way. `AddressInUse` if these four already exist (TIME-WAIT may be reused, RFC 6191).
    pub fn connect(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        path: Path,
        options: Options,
        owner: Owner,
        cx: &mut Cx<'_>,
    ) -> Result<ConnId, SocketError> {
        todo!()
    }
    /// Whether a segment from `remote` to `local` would find an opening, connection or TIME-WAIT entry.
    pub fn in_use(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        todo!()
    }
    /// Takes as many bytes as fit; `WouldBlock` if none, `BrokenPipe` after shutdown or reset, `NotConnected`.
    pub fn send(&mut self, id: ConnId, data: &[u8], cx: &mut Cx<'_>) -> Result<usize, SocketError> {
        todo!()
    }
    /// As `send`, without a copy; takes all or nothing.
    pub fn send_bytes(
        &mut self,
        id: ConnId,
        data: Bytes,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        todo!()
    }
    /// Copies out what is in order; 0 at the end of the stream; `WouldBlock`; `ConnectionReset` once after a RST.
    pub fn recv(
        &mut self,
        id: ConnId,
        out: &mut [u8],
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        todo!()
    }
    /// As `recv`, without a copy: at most `max` bytes.
    pub fn recv_bytes(
        &mut self,
        id: ConnId,
        max: usize,
        cx: &mut Cx<'_>,
    ) -> Result<Bytes, SocketError> {
        todo!()
    }
    /// FIN after what is queued.
    pub fn shutdown_write(&mut self, id: ConnId, cx: &mut Cx<'_>) -> Result<(), SocketError> {
        todo!()
    }
    /// Later reads end at once (as Linux does, data is still accepted and acknowledged until close).
    pub fn shutdown_read(&mut self, id: ConnId, cx: &mut Cx<'_>) -> Result<(), SocketError> {
        todo!()
    }
    /// The program is done: FIN after what is queued, or RST if unread data is left (RFC 2525 2.17). The handle dies.
    pub fn close(&mut self, id: ConnId, cx: &mut Cx<'_>) {
        todo!()
    }
    /// RST now (SO_LINGER 0). The handle dies.
    pub fn abort(&mut self, id: ConnId, cx: &mut Cx<'_>) {
        todo!()
    }
    /// What the socket is ready for.
    pub fn ready(&self, id: ConnId) -> Ready {
        todo!()
    }
    /// What a listener is ready for.
    pub fn listener_ready(&self, id: ListenerId) -> Ready {
        todo!()
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, id: ConnId) -> Option<SocketError> {
        todo!()
    }
    /// The connection's options, to look at.
    pub fn options(&self, id: ConnId) -> Option<&Options> {
        todo!()
    }
    /// Changes options; takes effect at once.
    pub fn set_options(&mut self, id: ConnId, options: Options, cx: &mut Cx<'_>) {
        todo!()
    }
    /// STATUS (RFC 9293 3.9.1.6).
    pub fn status(&self, id: ConnId) -> Option<Status> {
        todo!()
    }
    /// A listener's status.
    pub fn listener_status(&self, id: ListenerId) -> Option<Status> {
        todo!()
    }
    /// Every listener, opening, connection and TIME-WAIT entry, in a stable order (local, remote).
    pub fn all(&self) -> alloc::vec::Vec<Status> {
        todo!()
    }
}
