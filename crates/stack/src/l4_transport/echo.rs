//! ICMP echo as sockets (RFC 792, RFC 1122 3.2.2.6; Linux's ping sockets, icmp(7)): who asked, and who gets the answer.
//!
//! ```text
//!   echo reply ─▶ (our address, identifier) ─▶ (any, identifier) ─▶ receive queue ─▶ recv
//!   ICMP error ─▶ the same, by what it quotes ────────────────────▶ error queue ───▶ recv_error
//!   send ─▶ queue of the port ─▶ poll_transmit
//! ```
//!
//! The identifier is the socket's port, the sequence number the program's. Programs see whole messages, header included, as
//! on Linux; identifier and checksum of what they send are filled in here.
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;
use heptad_wire::Chunk;
use heptad_wire::icmpv4::{HEADER_LEN, Icmpv4};
use heptad_wire::icmpv6::Icmpv6;
use heptad_wire::{ipv4, ipv6};

use super::endpoints::{Endpoints, PortQueues};
use super::readiness::{Owner, Ready, SocketError};
use super::udp::{self, Choices, Errors, Settings, Way};
use super::{any_of, copy_out, is_hard, net_error};
use crate::keyed_hash::KeyedHash;
use crate::l1_physical::PortId;
use crate::l3_network::groups::Memberships;
use crate::l3_network::{self, Arrival, Departure, EchoError, IcmpError, Path, Up};
use crate::{Cx, DropReason, Event, EventMask, Instant};

/// Longest message over IPv4: 65,535 less the header of IP.
pub const MAX_MESSAGE: usize = 65_515;
/// Most memory that the replies of one host may pin, bytes.
const MEMORY: usize = 64 << 20;
/// Most requests of one host that wait for a port.
const UNSENT: usize = 1_000;

/// An endpoint's handle: valid until `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoId(u32);

/// A reply as `recv` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes of the message that were copied.
    pub copied: usize,
    /// Bytes of the whole message.
    pub len: usize,
    /// Who sent it, and the identifier; `None` after a shutdown.
    pub from: Option<SocketAddr>,
    /// TTL as it came (IP_RECVTTL).
    pub ttl: u8,
    /// When it came (SO_TIMESTAMP), in the host's time.
    pub at: Instant,
}

/// An ICMP error about a request, as `recv_error` tells of it (Linux: MSG_ERRQUEUE).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// What, about which request, and who says so.
    pub error: EchoError,
    /// When it came, in the host's time.
    pub at: Instant,
}

/// The endpoints of one host.
pub struct Echo {
    endpoints: Endpoints<Endpoint>,
    /// By address (or any) and identifier.
    bound: HashMap<SocketAddr, u32, KeyedHash>,
    transmit: PortQueues<Departure>,
    received: usize,
}

struct Endpoint {
    local: Option<SocketAddr>,
    /// Who hears of errors that are final without IP_RECVERR; replies come from anywhere.
    remote: Option<IpAddr>,
    settings: Settings,
    memberships: Memberships,
    queue: VecDeque<Reply>,
    queued: usize,
    errors: Errors<Failure>,
    error: Option<SocketError>,
    read_shut: bool,
    write_shut: bool,
}

/// What became of a request, as it waits at its socket.
enum Failure {
    /// Somebody said so.
    Told(Reported),
    /// This host refused to send it.
    Refused(udp::Reported),
}
impl Failure {
    fn pending(&self) -> Option<SocketError> {
        match self {
            Self::Told(told) => Some(socket_error(&told.error)),
            Self::Refused(_) => None,
        }
    }
}

struct Reply {
    from: SocketAddr,
    way: Way,
    at: Instant,
    message: Vec<Chunk>,
    charge: usize,
}

// ── border ───────────────────────────────────────────────────────────────────────────────────────────────────────
impl Echo {
    /// Without endpoints.
    pub fn new(rng: &mut crate::Rng) -> Self {
        Self {
            endpoints: Endpoints::default(),
            bound: HashMap::with_hasher(KeyedHash::new(rng)),
            transmit: PortQueues::default(),
            received: 0,
        }
    }

    /// An echo reply that came up, its header included.
    pub fn receive(&mut self, mut arrival: Arrival, cx: &mut Cx<'_>) -> Up<()> {
        let header = arrival.packet.peek(HEADER_LEN).ok();
        let id = header.and_then(|bytes| l3_network::reply_id(arrival.protocol, bytes));
        let Some(id) = id else {
            cx.pool.recycle(arrival.packet);
            return Up::Drop(DropReason::IcmpIgnored, None);
        };
        let found = self.find(SocketAddr::new(arrival.dst, id));
        let Some(index) = found.filter(|index| self.is_open_to(*index, arrival.port)) else {
            cx.pool.recycle(arrival.packet);
            return Up::Drop(DropReason::EchoNoSocket, None);
        };
        match self.deliver(index, id, arrival, cx) {
            Ok(()) => Up::Done,
            Err(reason) => Up::Drop(reason, None),
        }
    }

    /// Into the receive queue. As with UDP, the message that crosses the bound is the last to get in.
    fn deliver(
        &mut self,
        index: u32,
        id: u16,
        mut arrival: Arrival,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let way = Way::of(&arrival);
        let message = arrival.packet.take_payload();
        cx.pool.recycle(arrival.packet);
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return Err(DropReason::EchoNoSocket);
        };
        if endpoint.queued > endpoint.settings.rcvbuf as usize {
            return Err(DropReason::EchoBufferFull);
        }
        if self.received > MEMORY {
            return Err(DropReason::HostMemory);
        }
        let message: Vec<Chunk> = message.into_iter().map(Chunk::compact).collect();
        let pinned: usize = message.iter().map(Chunk::pinned).sum();
        let charge = pinned + size_of::<Reply>();
        endpoint.queue.push_back(Reply {
            from: SocketAddr::new(arrival.src, id),
            way,
            at: cx.now,
            message,
            charge,
        });
        endpoint.queued += charge;
        self.received += charge;
        self.endpoints.changed(index);
        Ok(())
    }

    /// An ICMP error about a request of ours: into the error queue of the socket whose identifier it quotes, if that has
    /// IP_RECVERR. Without, only one with a peer hears of it, and of what is final.
    pub fn failed(&mut self, error: EchoError, cx: &mut Cx<'_>) -> Result<(), DropReason> {
        let index = self.find(SocketAddr::new(error.local, error.id));
        let index = index.ok_or(DropReason::IcmpNoFlow)?;
        let endpoint = self.endpoints.get_mut(index);
        let endpoint = endpoint.ok_or(DropReason::IcmpNoFlow)?;
        if !endpoint.settings.recv_err && !endpoint.must_hear(&error) {
            return Ok(());
        }
        endpoint.error.get_or_insert(socket_error(&error));
        let reported = Reported { error, at: cx.now };
        let heard = match endpoint.settings.recv_err {
            true => endpoint.errors.push(Failure::Told(reported)),
            false => Ok(()),
        };
        self.endpoints.changed(index);
        heard
    }

    /// The next request to leave by a port.
    pub fn poll_transmit(&mut self, port: PortId) -> Option<Departure> {
        self.transmit.pop(port)
    }

    /// Whether `poll_transmit` has something.
    pub fn wants_transmit(&self, port: PortId) -> bool {
        self.transmit.wants(port)
    }

    /// An endpoint whose readiness may have changed since it was last taken from here.
    pub fn poll_ready(&mut self) -> Option<(Owner, Ready)> {
        self.endpoints.poll_ready(Endpoint::ready)
    }

    fn find(&self, at: SocketAddr) -> Option<u32> {
        let any = SocketAddr::new(any_of(at.ip()), at.port());
        let found = self.bound.get(&at).or_else(|| self.bound.get(&any));
        found.copied()
    }

    fn is_open_to(&self, index: u32, port: PortId) -> bool {
        let endpoint = self.endpoints.get(index);
        endpoint.is_some_and(|endpoint| endpoint.settings.is_open_to(port))
    }
}

// ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
impl Echo {
    /// A new endpoint, without an identifier.
    pub fn open(&mut self, owner: Owner, settings: Settings) -> EchoId {
        let endpoint = Endpoint {
            local: None,
            remote: None,
            settings,
            memberships: Memberships::default(),
            queue: VecDeque::new(),
            queued: 0,
            errors: Errors::default(),
            error: None,
            read_shut: false,
            write_shut: false,
        };
        EchoId(self.endpoints.insert(owner, endpoint))
    }
    /// Sets the address (or any) and the identifier, and the peer; `None` for ours: takes nothing.
    pub fn associate(&mut self, id: EchoId, local: Option<SocketAddr>, remote: Option<IpAddr>) {
        let Some(endpoint) = self.endpoints.get_mut(id.0) else {
            return;
        };
        if let Some(old) = endpoint.local.take() {
            self.bound.remove(&old);
        }
        (endpoint.local, endpoint.remote) = (local, remote);
        if let Some(local) = local {
            self.bound.insert(local, id.0);
        }
    }
    /// The program is done with it. What it has sent still leaves.
    pub fn close(&mut self, id: EchoId) {
        self.associate(id, None, None);
        if let Some(endpoint) = self.endpoints.remove(id.0) {
            self.received -= endpoint.queued;
        }
    }
    /// Sends a request with this sequence number along `path`, whose `src` is the sender's address. `NoBuffers`: too many wait.
    pub fn send(
        &mut self,
        id: EchoId,
        (seq, data): (u16, Chunk),
        (remote, choices): (IpAddr, &Choices),
        path: Path,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let unsent = self.transmit.len();
        let endpoint = self.endpoint_mut(id)?;
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        if endpoint.write_shut {
            return Err(SocketError::BrokenPipe);
        }
        let local = endpoint.local.ok_or(SocketError::Invalid)?;
        if unsent >= UNSENT {
            return Err(SocketError::NoBuffers);
        }
        let settings = choices.over(endpoint.settings);
        let (ttl, tos) = settings.hops_to(remote);
        let discovery = settings.discovery_to(remote);
        let Some(dont_fragment) = discovery.forbids(is_long(&data, remote, path)) else {
            return Err(endpoint.refuse(remote, path.mtu, cx));
        };
        let local = SocketAddr::new(path.src, local.port());
        cx.events.emit(cx.now, EventMask::SOCKET, || Event::Sent {
            local,
            remote: SocketAddr::new(remote, 0),
            len: (HEADER_LEN + data.len()) as u32,
        });
        let outlet = settings.outlet(remote, path);
        let ends = (path.src, remote);
        let (protocol, packet) = l3_network::echo_request(ends, (local.port(), seq), data, cx);
        let departure = Departure {
            src: path.src,
            dst: remote,
            protocol,
            ttl,
            tos,
            dont_fragment,
            outlet,
            segment: None,
            packet,
        };
        self.transmit.push(path.port, departure);
        Ok(())
    }
    /// The oldest reply that waits. A closed direction gives an empty one from nobody.
    pub fn recv(
        &mut self,
        id: EchoId,
        out: &mut [u8],
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<Received, SocketError> {
        let (received, at) = self.take(id, out, peek, cx)?;
        let udp::Received {
            copied,
            len,
            from,
            way,
        } = received;
        Ok(Received {
            copied,
            len,
            from,
            ttl: way.hops,
            at,
        })
    }
    /// As `recv`, and how it came.
    pub fn recv_message(
        &mut self,
        id: EchoId,
        out: &mut [u8],
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<udp::Received, SocketError> {
        self.take(id, out, peek, cx).map(|(received, _)| received)
    }
    fn take(
        &mut self,
        id: EchoId,
        out: &mut [u8],
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(udp::Received, Instant), SocketError> {
        let endpoint = self.endpoint_mut(id)?;
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        let Some(reply) = endpoint.queue.front() else {
            return match endpoint.read_shut {
                true => Ok((udp::Received::NOTHING, cx.now)),
                false => Err(SocketError::WouldBlock),
            };
        };
        let copied = copy_out(&reply.message, out);
        let received = udp::Received {
            copied,
            len: reply.message.iter().map(Chunk::len).sum(),
            from: Some(reply.from),
            way: reply.way,
        };
        let at = reply.at;
        if !peek {
            self.take_front(id, cx);
        }
        Ok((received, at))
    }
    fn take_front(&mut self, id: EchoId, cx: &mut Cx<'_>) {
        let Ok(endpoint) = self.endpoint_mut(id) else {
            return;
        };
        let Some(reply) = endpoint.queue.pop_front() else {
            return;
        };
        endpoint.queued -= reply.charge;
        if let Some(local) = endpoint.local {
            cx.events
                .emit(cx.now, EventMask::SOCKET, || Event::Received {
                    local,
                    remote: reply.from,
                    len: reply.message.iter().map(Chunk::len).sum::<usize>() as u32,
                });
        }
        self.received -= reply.charge;
    }
    /// The oldest error that somebody told; the pending error of the socket is then that of the next one.
    pub fn recv_told(&mut self, id: EchoId) -> Option<Reported> {
        let endpoint = self.endpoint_mut(id).ok()?;
        while let Some(failure) = endpoint.next_failure() {
            if let Failure::Told(reported) = failure {
                return Some(reported);
            }
        }
        None
    }
    /// The oldest error that waits, in the words of all datagram sockets.
    pub fn recv_error(&mut self, id: EchoId) -> Option<udp::Reported> {
        let endpoint = self.endpoint_mut(id).ok()?;
        Some(match endpoint.next_failure()? {
            Failure::Told(reported) => reported.into(),
            Failure::Refused(reported) => reported,
        })
    }
    /// Ends one or both directions.
    pub fn shutdown(&mut self, id: EchoId, read: bool, write: bool) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.read_shut |= read;
            endpoint.write_shut |= write;
        }
        self.endpoints.changed(id.0);
    }
    /// Which groups it has joined.
    pub fn memberships(&self, id: EchoId) -> Option<&Memberships> {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map(|endpoint| &endpoint.memberships)
    }
    /// Which groups it has joined from now on.
    pub fn set_memberships(&mut self, id: EchoId, memberships: Memberships) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.memberships = memberships;
        }
    }
    /// Changes settings.
    pub fn set(&mut self, id: EchoId, settings: Settings) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.settings = settings;
        }
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, id: EchoId) -> Option<SocketError> {
        self.endpoint_mut(id).ok()?.error.take()
    }
    /// What it is ready for.
    pub fn ready(&self, id: EchoId) -> Ready {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map_or(Ready::NONE, Endpoint::ready)
    }
    /// Memory pinned by replies that wait to be read, bytes.
    pub fn queued(&self, id: EchoId) -> u32 {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map_or(0, |e| u32::try_from(e.queued).unwrap_or(u32::MAX))
    }
    fn endpoint_mut(&mut self, id: EchoId) -> Result<&mut Endpoint, SocketError> {
        let endpoint = self.endpoints.get_mut(id.0);
        endpoint.ok_or(SocketError::BadSocket)
    }
}

impl Endpoint {
    /// One with a peer hears without IP_RECVERR what became of a request to it, if that is final.
    fn must_hear(&self, error: &EchoError) -> bool {
        self.remote == Some(error.remote) && error.net_error().is_some_and(is_hard)
    }
    fn next_failure(&mut self) -> Option<Failure> {
        let (failure, pending) = self.errors.pop(Failure::pending)?;
        self.error = pending;
        Some(failure)
    }
    /// A request that may not be fragmented and is longer than the way allows. With IP_RECVERR the queue has the length.
    fn refuse(&mut self, remote: IpAddr, mtu: u32, cx: &Cx<'_>) -> SocketError {
        if self.settings.recv_err {
            // Without room it is forgotten: no packet is lost by that.
            let refused = udp::Reported::too_long(SocketAddr::new(remote, 0), mtu, cx.now);
            let _ = self.errors.push(Failure::Refused(refused));
        }
        SocketError::MessageTooLong
    }
    fn ready(&self) -> Ready {
        // A request never waits for room here: it is queued or refused.
        Ready::WRITABLE
            | Ready::READABLE.when(!self.queue.is_empty() || self.read_shut)
            | Ready::ERROR.when(self.error.is_some() || !self.errors.is_empty())
            | Ready::READ_CLOSED.when(self.read_shut)
            | Ready::HANG_UP.when(self.read_shut && self.write_shut)
    }
}

/// Whether a request with this data does not fit the way.
fn is_long(data: &Chunk, remote: IpAddr, path: Path) -> bool {
    let header = match remote {
        IpAddr::V4(_) => ipv4::MIN_HEADER_LEN,
        IpAddr::V6(_) => ipv6::HEADER_LEN,
    };
    header + HEADER_LEN + data.len() > path.mtu as usize
}

fn socket_error(error: &EchoError) -> SocketError {
    match error.net_error() {
        Some(error) => net_error(error),
        None => SocketError::MessageTooLong,
    }
}

impl From<Reported> for udp::Reported {
    fn from(Reported { error, at }: Reported) -> Self {
        Self {
            error: socket_error(&error),
            remote: SocketAddr::new(error.remote, 0),
            mtu: error.told.message.mtu(),
            told: Some(error.told),
            at,
        }
    }
}

/// What this host itself says of a request to `remote` that was too long for the way.
pub(super) fn too_long(remote: IpAddr, mtu: u32) -> IcmpError {
    use heptad_wire::icmpv4::Unreachable;
    match remote {
        IpAddr::V4(_) => {
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            IcmpError::V4(Icmpv4::Unreachable(Unreachable::FragmentationNeeded {
                mtu,
            }))
        }
        IpAddr::V6(_) => IcmpError::V6(Icmpv6::PacketTooBig { mtu }),
    }
}
