//! Options of a socket: what may be set, within which bounds, and what a get answers.
use alloc::sync::Arc;
use core::net::IpAddr;
use core::time::Duration;

use super::table::{Phase, Socket};
use super::{Below, SocketError, SocketId, SocketKind, Sockets};
use crate::l1_physical::PortId;
use crate::l3_network::Network;
use crate::l3_network::groups::Link;
use crate::l4_transport::family::Family;
use crate::l4_transport::ports::Sharing;
use crate::l4_transport::raw::{self, IcmpFilter};
use crate::l4_transport::tcp::{self, OrphanWait};
use crate::l4_transport::udp;
use crate::l4_transport::udp::{GroupSettings, MtuDiscovery};

/// Options of a socket (`setsockopt`); `get` answers with the same variant filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of socket(7), ip(7) and tcp(7)
pub enum SocketOption {
    ReuseAddress(bool),
    ReusePort(bool),
    Broadcast(bool),
    KeepAlive(bool),
    /// SO_OOBINLINE.
    OobInline(bool),
    /// `None`: off. `Some(ZERO)`: close resets.
    Linger(Option<Duration>),
    ReceiveBuffer(u32),
    SendBuffer(u32),
    Ttl(u8),
    Tos(u8),
    /// IPV6_UNICAST_HOPS.
    Hops(u8),
    /// IPV6_TCLASS.
    TrafficClass(u8),
    /// IP_MULTICAST_TTL.
    MulticastTtl(u8),
    /// IP_MULTICAST_LOOP.
    MulticastLoop(bool),
    /// IP_MULTICAST_ALL.
    MulticastAll(bool),
    /// IP_MULTICAST_IF.
    MulticastLink(Link),
    /// IPV6_MULTICAST_HOPS.
    MulticastHops(u8),
    /// IPV6_MULTICAST_LOOP.
    MulticastLoopV6(bool),
    /// IPV6_MULTICAST_ALL.
    MulticastAllV6(bool),
    /// IPV6_MULTICAST_IF.
    MulticastPortV6(Option<PortId>),
    /// IPV6_V6ONLY: before `bind` only.
    V6Only(bool),
    /// IPV6_DONTFRAG, for both families: as `MtuDiscovery::Do`, which it comes before. TCP never fragments.
    DontFragment(bool),
    /// IP_MTU_DISCOVER: of UDP. TCP always wants it.
    MtuDiscovery(MtuDiscovery),
    /// IPV6_MTU_DISCOVER, likewise.
    MtuDiscoveryV6(MtuDiscovery),
    /// IP_RECVERR, IPV6_RECVERR: of UDP. Errors wait for `recv_error`.
    RecvErr(bool),
    /// UDPLITE_SEND_CSCOV.
    SendCoverage(u16),
    /// UDPLITE_RECV_CSCOV.
    ReceiveCoverage(u16),
    /// IP_HDRINCL: of raw sockets of IPv4.
    HeaderIncluded(bool),
    /// ICMP_FILTER, ICMP6_FILTER: of raw sockets of ICMP and ICMPv6.
    IcmpFilter(IcmpFilter),
    /// IPV6_CHECKSUM: of raw sockets of IPv6, an even number. That of ICMPv6 is always made and checked.
    Checksum(Option<u16>),
    /// SO_BINDTODEVICE, SO_BINDTOIFINDEX: hears what comes in by this port only, and speaks by it. `None`: by all.
    Device(Option<PortId>),
    /// SO_MAX_PACING_RATE, bytes a second; `u64::MAX`: no bound. Of TCP.
    MaxPacingRate(u64),
    NoDelay(bool),
    Cork(bool),
    QuickAck(bool),
    KeepIdle(Duration),
    KeepInterval(Duration),
    KeepCount(u32),
    UserTimeout(Duration),
    /// TCP_SYNCNT; what was never set is shown as the host's.
    SynCount(u32),
    /// TCP_LINGER2, likewise.
    OrphanWait(OrphanWait),
    /// TCP_DEFER_ACCEPT; a time is rounded up to the one after which a SYN,ACK leaves again.
    DeferAccept(Duration),
    /// TCP_FASTOPEN: of a listener, its queue.
    FastOpen(u32),
    /// TCP_FASTOPEN_CONNECT.
    FastOpenConnect(bool),
    MaxSegment(u16),
    WindowClamp(u32),
    NotSentLowat(u32),
    Congestion(tcp::Congestion),
}

/// Linux's net.core.rmem_max and wmem_max (since 6.15), bytes.
pub const BUFFER_MAX: u32 = 4 << 20;
/// Linux's net.core.rmem_default and wmem_default: what a datagram socket begins with, bytes.
pub const DATAGRAM_BUFFER: u32 = 212_992;
/// Linux's SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF, bytes.
const RECEIVE_BUFFER_MIN: u32 = 2_304;
const SEND_BUFFER_MIN: u32 = 4_608;

/// The ECN bits of the DS field.
const ECN: u8 = 3;

/// What a socket has chosen. Accepted sockets share their listener's until they choose for themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// Of all kinds of sockets, what TCP has too stands here alone.
    pub(super) tcp: tcp::Options,
    pub(super) reuse_address: bool,
    pub(super) broadcast: bool,
    pub(super) dont_fragment: bool,
    pub(super) discovery: MtuDiscovery,
    pub(super) discovery_v6: MtuDiscovery,
    pub(super) recv_err: bool,
    pub(super) linger: Option<Duration>,
    pub(super) raw: raw::Choices,
    pub(super) coverage: udp::Coverage,
    pub(super) groups: GroupOptions,
}

/// What it has chosen about groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupOptions {
    pub(super) v4: GroupSettings,
    pub(super) v6: GroupSettings,
    pub(super) link: Link,
    pub(super) link_v6: Option<PortId>,
}
impl Options {
    /// Whether only our own link says how long a packet to an address may be.
    pub(super) fn is_of_link(&self, ip: IpAddr) -> bool {
        let discovery = match ip {
            IpAddr::V4(_) => self.discovery,
            IpAddr::V6(_) => self.discovery_v6,
        };
        !self.dont_fragment && discovery.is_of_link()
    }
    /// What a socket of a family begins with.
    pub(super) fn of(family: Family) -> Self {
        Self {
            tcp: tcp::Options::of(family),
            ..Self::default()
        }
    }
    pub(super) fn sharing(&self) -> Sharing {
        Sharing {
            reuse_address: self.reuse_address,
            reuse_port: self.tcp.reuse_port,
            listening: false,
            v6_only: self.tcp.v6_only,
            device: self.tcp.device,
        }
    }
    pub(super) fn datagram(&self) -> udp::Settings {
        let or_default = |size| if size == 0 { DATAGRAM_BUFFER } else { size };
        udp::Settings {
            rcvbuf: or_default(self.tcp.rcvbuf),
            sndbuf: or_default(self.tcp.sndbuf),
            ttl: self.tcp.ttl,
            tos: self.tcp.tos,
            hops: self.tcp.hops,
            class: self.tcp.class,
            reuse_port: self.tcp.reuse_port,
            v6_only: self.tcp.v6_only,
            dont_fragment: self.dont_fragment,
            discovery: self.discovery,
            discovery_v6: self.discovery_v6,
            recv_err: self.recv_err,
            device: self.tcp.device,
            coverage: self.coverage,
            groups: self.groups.v4,
            groups_v6: self.groups.v6,
        }
    }
    /// Takes a value over, within Linux's bounds; `Invalid` beyond them.
    fn apply(&mut self, option: SocketOption) -> Result<(), SocketError> {
        let tcp = &mut self.tcp;
        match option {
            SocketOption::ReuseAddress(on) => self.reuse_address = on,
            SocketOption::ReusePort(on) => tcp.reuse_port = on,
            SocketOption::Broadcast(on) => self.broadcast = on,
            SocketOption::KeepAlive(on) => tcp.keepalive = on,
            SocketOption::OobInline(on) => tcp.oob_inline = on,
            SocketOption::Linger(time) => self.linger = time,
            SocketOption::ReceiveBuffer(size) => tcp.rcvbuf = buffer(size, RECEIVE_BUFFER_MIN),
            SocketOption::SendBuffer(size) => tcp.sndbuf = buffer(size, SEND_BUFFER_MIN),
            SocketOption::Ttl(ttl) => tcp.ttl = within(ttl, 1, 255)?,
            SocketOption::Tos(tos) => tcp.tos = tos,
            SocketOption::Hops(hops) => tcp.hops = hops,
            SocketOption::TrafficClass(class) => tcp.class = class,
            SocketOption::MulticastTtl(ttl) => self.groups.v4.ttl = ttl,
            SocketOption::MulticastLoop(on) => self.groups.v4.loops = on,
            SocketOption::MulticastAll(on) => self.groups.v4.all = on,
            SocketOption::MulticastLink(link) => self.groups.link = link,
            SocketOption::MulticastHops(hops) => self.groups.v6.ttl = hops,
            SocketOption::MulticastLoopV6(on) => self.groups.v6.loops = on,
            SocketOption::MulticastAllV6(on) => self.groups.v6.all = on,
            SocketOption::MulticastPortV6(port) => self.groups.link_v6 = port,
            SocketOption::V6Only(on) => tcp.v6_only = on,
            SocketOption::DontFragment(on) => self.dont_fragment = on,
            SocketOption::MtuDiscovery(wanted) => self.discovery = wanted,
            SocketOption::MtuDiscoveryV6(wanted) => self.discovery_v6 = wanted,
            SocketOption::RecvErr(on) => self.recv_err = on,
            SocketOption::SendCoverage(bytes) => self.coverage.sent = Some(covers(bytes)),
            SocketOption::ReceiveCoverage(bytes) => self.coverage.least = Some(covers(bytes)),
            SocketOption::HeaderIncluded(on) => self.raw.header_included = on,
            SocketOption::IcmpFilter(filter) => self.raw.filter = filter,
            SocketOption::Checksum(at) => self.raw.checksum = even(at)?,
            SocketOption::Device(port) => tcp.device = port,
            SocketOption::MaxPacingRate(rate) => tcp.max_pacing_rate = rate,
            SocketOption::NoDelay(on) => tcp.nodelay = on,
            SocketOption::Cork(on) => tcp.cork = on,
            SocketOption::QuickAck(on) => tcp.quickack = on,
            SocketOption::KeepIdle(time) => tcp.keepidle = seconds(time)?,
            SocketOption::KeepInterval(time) => tcp.keepintvl = seconds(time)?,
            SocketOption::KeepCount(count) => tcp.keepcnt = within(count, 1, 127)?,
            SocketOption::UserTimeout(time) => tcp.user_timeout = time,
            SocketOption::SynCount(count) => tcp.syn_count = within(count, 1, 127)? as u8,
            SocketOption::OrphanWait(wait) => tcp.orphan_wait = orphan_wait(wait),
            SocketOption::DeferAccept(time) => tcp.defer_accept = retransmissions(time),
            SocketOption::FastOpen(most) => tcp.fast_open = most,
            SocketOption::FastOpenConnect(on) => tcp.fast_open_connect = on,
            SocketOption::MaxSegment(0) => tcp.maxseg = 0,
            SocketOption::MaxSegment(size) => tcp.maxseg = within(size, 88, 32_767)?,
            SocketOption::WindowClamp(size) => tcp.window_clamp = size,
            SocketOption::NotSentLowat(size) => tcp.notsent_lowat = size,
            SocketOption::Congestion(which) => tcp.congestion = which,
        }
        Ok(())
    }
}

/// As Linux: at most the system's bound, then doubled (the rest is for bookkeeping), and not too small.
fn buffer(size: u32, least: u32) -> u32 {
    (size.min(BUFFER_MAX) * 2).max(least)
}
fn within<T: PartialOrd>(value: T, least: T, most: T) -> Result<T, SocketError> {
    if value < least || value > most {
        return Err(SocketError::Invalid);
    }
    Ok(value)
}
/// As Linux: the header is always covered, 0 stands for everything.
fn covers(bytes: u16) -> u16 {
    match bytes {
        1..8 => 8,
        bytes => bytes,
    }
}
fn even(at: Option<u16>) -> Result<Option<u16>, SocketError> {
    match at {
        Some(at) if at % 2 == 1 => Err(SocketError::Invalid),
        _ => Ok(at),
    }
}
fn seconds(time: Duration) -> Result<Duration, SocketError> {
    within(time, Duration::from_secs(1), Duration::from_secs(32_767))
}

/// As Linux: zero stands for the host's time, and there is a bound.
fn orphan_wait(wait: OrphanWait) -> OrphanWait {
    match wait {
        OrphanWait::For(Duration::ZERO) => OrphanWait::AsHost,
        OrphanWait::For(time) => OrphanWait::For(time.min(OrphanWait::MOST)),
        other => other,
    }
}
/// After how many timeouts of a SYN,ACK (1, 2, 4, ... seconds) so much time is over.
fn retransmissions(time: Duration) -> u8 {
    let counts = 0..=u8::MAX;
    counts
        .into_iter()
        .find(|count| after(*count) >= time)
        .unwrap_or(u8::MAX)
}
/// When the n-th is over.
fn after(timeouts: u8) -> Duration {
    (0..timeouts).map(tcp::syn_timeout).sum()
}

/// Options of TCP's own level, which a datagram socket does not have.
fn is_tcp(option: SocketOption) -> bool {
    matches!(
        option,
        SocketOption::NoDelay(_)
            | SocketOption::Cork(_)
            | SocketOption::QuickAck(_)
            | SocketOption::KeepIdle(_)
            | SocketOption::KeepInterval(_)
            | SocketOption::KeepCount(_)
            | SocketOption::UserTimeout(_)
            | SocketOption::SynCount(_)
            | SocketOption::OrphanWait(_)
            | SocketOption::DeferAccept(_)
            | SocketOption::FastOpen(_)
            | SocketOption::FastOpenConnect(_)
            | SocketOption::MaxSegment(_)
            | SocketOption::WindowClamp(_)
            | SocketOption::NotSentLowat(_)
            | SocketOption::Congestion(_)
    )
}

/// Options of IPv6's own level, which a socket of IPv4 does not have.
fn is_ipv6(option: SocketOption) -> bool {
    matches!(
        option,
        SocketOption::Hops(_)
            | SocketOption::TrafficClass(_)
            | SocketOption::V6Only(_)
            | SocketOption::MtuDiscoveryV6(_)
            | SocketOption::MulticastHops(_)
            | SocketOption::MulticastLoopV6(_)
            | SocketOption::MulticastAllV6(_)
            | SocketOption::MulticastPortV6(_)
    )
}

/// Options of UDP's own level. UDP shows those of UDP-Lite, and lets nobody set them.
fn is_of_lite(option: SocketOption) -> bool {
    matches!(
        option,
        SocketOption::SendCoverage(_) | SocketOption::ReceiveCoverage(_)
    )
}

impl SocketKind {
    /// TCP's segments are never fragmented.
    fn discovery(self, chosen: MtuDiscovery) -> MtuDiscovery {
        match self {
            Self::Stream => MtuDiscovery::Want,
            _ => chosen,
        }
    }
    /// A stream's ECN bits are TCP's, not the program's (RFC 3168 6.1.1).
    fn allows(self, option: SocketOption) -> SocketOption {
        match (self, option) {
            (Self::Stream, SocketOption::Tos(tos)) => SocketOption::Tos(tos & !ECN),
            (Self::Stream, SocketOption::TrafficClass(class)) => {
                SocketOption::TrafficClass(class & !ECN)
            }
            _ => option,
        }
    }
}

impl Socket {
    /// `NoProtocolOption` for an option of a level that the socket does not have.
    fn has_level_of(&self, option: SocketOption) -> Result<(), SocketError> {
        let lacks_tcp = self.kind != SocketKind::Stream && is_tcp(option);
        let lacks_ipv6 = self.family() == Family::V4 && is_ipv6(option);
        let lacks_raw = self.lacks_raw(option);
        let has_udp = matches!(self.kind, SocketKind::Datagram | SocketKind::Lite);
        let lacks_udp = !has_udp && is_of_lite(option);
        match lacks_tcp || lacks_ipv6 || lacks_raw || lacks_udp {
            true => Err(SocketError::NoProtocolOption),
            false => Ok(()),
        }
    }
}

impl Socket {
    /// An option of raw sockets that this one does not have.
    fn lacks_raw(&self, option: SocketOption) -> bool {
        let icmp = self.kind == SocketKind::Raw(self.family().icmp());
        let raw = matches!(self.kind, SocketKind::Raw(_));
        match option {
            SocketOption::HeaderIncluded(_) => !raw || self.family() == Family::V6,
            SocketOption::IcmpFilter(_) => !icmp,
            SocketOption::Checksum(_) => !raw || icmp || self.family() == Family::V4,
            _ => false,
        }
    }

    /// Where what goes to groups may leave: by a link that is there, and not for a stream. The errors are Linux's.
    fn allows_link(&self, option: SocketOption, network: &Network) -> Result<(), SocketError> {
        let is_stream = self.kind == SocketKind::Stream;
        let is_there = |link| network.port_of_link(link, Family::V4.any()).is_some();
        match option {
            SocketOption::MulticastLink(_) | SocketOption::MulticastTtl(_) if is_stream => {
                Err(SocketError::Invalid)
            }
            SocketOption::MulticastPortV6(_) | SocketOption::MulticastHops(_) if is_stream => {
                Err(SocketError::NoProtocolOption)
            }
            SocketOption::MulticastLink(link) if link != Link::Any && !is_there(link) => {
                Err(SocketError::AddressNotAvailable)
            }
            SocketOption::MulticastPortV6(Some(port)) | SocketOption::Device(Some(port))
                if !is_there(Link::Port(port)) =>
            {
                Err(SocketError::NoDevice)
            }
            _ => Ok(()),
        }
    }
}

impl Sockets {
    /// Sets an option; it takes effect at once.
    pub fn set(
        &mut self,
        id: SocketId,
        option: SocketOption,
        below: &mut Below<'_, '_>,
    ) -> Result<(), SocketError> {
        let socket = self.socket_mut(id)?;
        socket.has_level_of(option)?;
        if matches!(option, SocketOption::V6Only(_)) && socket.hold.is_some() {
            return Err(SocketError::Invalid);
        }
        if socket.kind == SocketKind::Datagram && is_of_lite(option) {
            return Err(SocketError::NoProtocolOption);
        }
        socket.allows_link(option, below.network)?;
        let mut options = (*socket.options).clone();
        options.apply(socket.kind.allows(option))?;
        match socket.phase {
            Phase::Connecting(conn) | Phase::Connected(conn) => {
                below.transport.tcp.set_options(conn, options.tcp, below.cx);
            }
            Phase::Datagram(endpoint) => {
                let udp = below.transport.udp_of_mut(endpoint);
                udp.set(endpoint, options.datagram());
            }
            Phase::Echo(endpoint) => below.transport.echo.set(endpoint, options.datagram()),
            Phase::Raw(endpoint) => {
                let raw = &mut below.transport.raw;
                raw.set(endpoint, options.datagram(), options.raw);
            }
            Phase::Listening(listener) => {
                let tcp = &mut below.transport.tcp;
                tcp.set_listener_options(listener, options.tcp);
            }
            Phase::Idle => {}
        }
        socket.options = Arc::new(options);
        socket.share(below.transport);
        Ok(())
    }

    /// Gets an option: the variant of `which` with its present value.
    pub fn get(&self, id: SocketId, which: SocketOption) -> Result<SocketOption, SocketError> {
        let socket = self.socket(id)?;
        socket.has_level_of(which)?;
        let Options {
            reuse_address,
            broadcast,
            dont_fragment,
            discovery,
            discovery_v6,
            recv_err,
            linger,
            raw,
            coverage,
            groups,
            tcp,
        } = &*socket.options;
        Ok(match which {
            SocketOption::ReuseAddress(_) => SocketOption::ReuseAddress(*reuse_address),
            SocketOption::ReusePort(_) => SocketOption::ReusePort(tcp.reuse_port),
            SocketOption::Broadcast(_) => SocketOption::Broadcast(*broadcast),
            SocketOption::KeepAlive(_) => SocketOption::KeepAlive(tcp.keepalive),
            SocketOption::OobInline(_) => SocketOption::OobInline(tcp.oob_inline),
            SocketOption::Linger(_) => SocketOption::Linger(*linger),
            SocketOption::ReceiveBuffer(_) => {
                SocketOption::ReceiveBuffer(self.buffer_of(socket, tcp.rcvbuf, self.rcvbuf))
            }
            SocketOption::SendBuffer(_) => {
                SocketOption::SendBuffer(self.buffer_of(socket, tcp.sndbuf, self.sndbuf))
            }
            SocketOption::Ttl(_) => SocketOption::Ttl(tcp.ttl),
            SocketOption::Tos(_) => SocketOption::Tos(tcp.tos),
            SocketOption::Hops(_) => SocketOption::Hops(tcp.hops),
            SocketOption::TrafficClass(_) => SocketOption::TrafficClass(tcp.class),
            SocketOption::MulticastTtl(_) => SocketOption::MulticastTtl(groups.v4.ttl),
            SocketOption::MulticastLoop(_) => SocketOption::MulticastLoop(groups.v4.loops),
            SocketOption::MulticastAll(_) => SocketOption::MulticastAll(groups.v4.all),
            SocketOption::MulticastLink(_) => SocketOption::MulticastLink(groups.link),
            SocketOption::MulticastHops(_) => SocketOption::MulticastHops(groups.v6.ttl),
            SocketOption::MulticastLoopV6(_) => SocketOption::MulticastLoopV6(groups.v6.loops),
            SocketOption::MulticastAllV6(_) => SocketOption::MulticastAllV6(groups.v6.all),
            SocketOption::MulticastPortV6(_) => SocketOption::MulticastPortV6(groups.link_v6),
            SocketOption::V6Only(_) => SocketOption::V6Only(tcp.v6_only),
            SocketOption::DontFragment(_) => SocketOption::DontFragment(*dont_fragment),
            SocketOption::MtuDiscovery(_) => {
                SocketOption::MtuDiscovery(socket.kind.discovery(*discovery))
            }
            SocketOption::MtuDiscoveryV6(_) => {
                SocketOption::MtuDiscoveryV6(socket.kind.discovery(*discovery_v6))
            }
            SocketOption::RecvErr(_) => SocketOption::RecvErr(*recv_err),
            SocketOption::SendCoverage(_) => SocketOption::SendCoverage(coverage.sent()),
            SocketOption::ReceiveCoverage(_) => SocketOption::ReceiveCoverage(coverage.least()),
            SocketOption::HeaderIncluded(_) => SocketOption::HeaderIncluded(raw.header_included),
            SocketOption::IcmpFilter(_) => SocketOption::IcmpFilter(raw.filter),
            SocketOption::Checksum(_) => SocketOption::Checksum(raw.checksum),
            SocketOption::Device(_) => SocketOption::Device(tcp.device),
            SocketOption::MaxPacingRate(_) => SocketOption::MaxPacingRate(tcp.max_pacing_rate),
            SocketOption::NoDelay(_) => SocketOption::NoDelay(tcp.nodelay),
            SocketOption::Cork(_) => SocketOption::Cork(tcp.cork),
            SocketOption::QuickAck(_) => SocketOption::QuickAck(tcp.quickack),
            SocketOption::KeepIdle(_) => SocketOption::KeepIdle(tcp.keepidle),
            SocketOption::KeepInterval(_) => SocketOption::KeepInterval(tcp.keepintvl),
            SocketOption::KeepCount(_) => SocketOption::KeepCount(tcp.keepcnt),
            SocketOption::UserTimeout(_) => SocketOption::UserTimeout(tcp.user_timeout),
            SocketOption::SynCount(_) => SocketOption::SynCount(self.syn_count(tcp.syn_count)),
            SocketOption::OrphanWait(_) => SocketOption::OrphanWait(match tcp.orphan_wait {
                OrphanWait::AsHost => OrphanWait::For(self.fin_timeout),
                other => other,
            }),
            SocketOption::DeferAccept(_) => SocketOption::DeferAccept(after(tcp.defer_accept)),
            SocketOption::FastOpen(_) => SocketOption::FastOpen(tcp.fast_open),
            SocketOption::FastOpenConnect(_) => {
                SocketOption::FastOpenConnect(tcp.fast_open_connect)
            }
            SocketOption::MaxSegment(_) => SocketOption::MaxSegment(tcp.maxseg),
            SocketOption::WindowClamp(_) => SocketOption::WindowClamp(tcp.window_clamp),
            SocketOption::NotSentLowat(_) => SocketOption::NotSentLowat(tcp.notsent_lowat),
            SocketOption::Congestion(_) => SocketOption::Congestion(tcp.congestion),
        })
    }

    /// How often a SYN leaves again: as chosen, or as the host has it.
    fn syn_count(&self, chosen: u8) -> u32 {
        match chosen {
            0 => self.syn_retries,
            count => count.into(),
        }
    }
    /// A buffer's size: the chosen one, or what its kind begins with.
    fn buffer_of(&self, socket: &Socket, chosen: u32, stream: u32) -> u32 {
        match (chosen, socket.kind) {
            (0, SocketKind::Stream) => stream,
            (0, _) => DATAGRAM_BUFFER,
            (size, _) => size,
        }
    }
}
