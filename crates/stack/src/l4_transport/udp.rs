//! UDP (RFC 768, RFC 1122 4.1), and UDP-Lite by the same machine (`lite`): endpoints, their queues, and who gets a datagram.
//!
//! ```text
//!   arrival ─ checksum ─▶ connected (both ends) ─▶ (address, port) ─▶ (any, port) ─▶ receive queue ─▶ recv
//!                                                                      0.0.0.0, then a :: of both families
//!   send ─▶ queue of the port (bounded by the endpoint's SO_SNDBUF) ─▶ poll_transmit
//! ```
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use hashbrown::HashMap;
use heptad_wire::ipv4::{self, protocol};
use heptad_wire::ipv6;
use heptad_wire::udp::{HEADER_LEN, UdpHeader};
use heptad_wire::{Chunk, Sum, checksum};

use super::endpoints::{Endpoints, Handle, PortQueues};
use super::readiness::{Owner, Ready, SocketError};
use super::{any_of, copy_out, is_hard, net_error};
use crate::keyed_hash::KeyedHash;
use crate::l1_physical::PortId;
use crate::l3_network::groups::Memberships;
use crate::l3_network::{Arrival, Departure, Flow, NetError, Outlet, Path, Reply, Told, Up, zone};
use crate::{Counter, Cx, DropReason, Event, EventMask};

mod ancillary;
mod device;
mod discovery;
mod errors;
mod lite;
pub use ancillary::{Choices, Received, Way, rebuilt};
pub use discovery::MtuDiscovery;
use errors::ErrorQueue;
pub(super) use errors::Errors;
pub use errors::Reported;
pub use lite::Coverage;
use lite::Flavour;

/// Most payload of a datagram: 65,535 less the header of UDP, and of IPv4, which counts its own header.
pub fn max_payload(to: IpAddr) -> usize {
    match to {
        IpAddr::V4(_) => 65_507,
        IpAddr::V6(_) => 65_527,
    }
}
/// Most memory that the datagrams of one host may pin in each direction, bytes.
const MEMORY: usize = 256 << 20;

/// An endpoint's handle: valid until `close`. Layer 5 keeps it to itself and guards it with its own generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpId(u32, Flavour);
impl UdpId {
    /// Whether it is one of UDP-Lite.
    pub(super) fn is_lite(self) -> bool {
        self.1 == Flavour::Lite
    }
}

/// What a socket may choose about its datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// SO_RCVBUF: memory that waiting datagrams may pin before the next is refused, bytes.
    pub rcvbuf: u32,
    /// SO_SNDBUF: the same for datagrams that wait for the cable.
    pub sndbuf: u32,
    /// TTL and DS field of what is sent over IPv4.
    pub ttl: u8,
    /// As `ttl`.
    pub tos: u8,
    /// Hop limit and traffic class of what is sent over IPv6.
    pub hops: u8,
    /// As `hops`.
    pub class: u8,
    /// SO_REUSEPORT: shares its port by a hash of the flow.
    pub reuse_port: bool,
    /// IPV6_V6ONLY: at `::` it leaves IPv4 alone.
    pub v6_only: bool,
    /// Sets DF, and nothing is fragmented, whatever else is chosen.
    pub dont_fragment: bool,
    /// IP_MTU_DISCOVER.
    pub discovery: MtuDiscovery,
    /// IPV6_MTU_DISCOVER.
    pub discovery_v6: MtuDiscovery,
    /// IP_RECVERR: errors wait in a queue of their own, and one without a peer hears of them too.
    pub recv_err: bool,
    /// SO_BINDTODEVICE: it hears what comes in by this port only, and speaks by it.
    pub device: Option<PortId>,
    /// What of checksums, of UDP-Lite.
    pub coverage: Coverage,
    /// What of groups of IPv4.
    pub groups: GroupSettings,
    /// What of groups of IPv6.
    pub groups_v6: GroupSettings,
}

/// What a socket may choose about what it sends to groups of one family and hears of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS.
    pub ttl: u8,
    /// IP_MULTICAST_LOOP: this host hears it too.
    pub loops: bool,
    /// IP_MULTICAST_ALL: hears what others on this host have joined.
    pub all: bool,
}
impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            ttl: 1,
            loops: true,
            all: true,
        }
    }
}

impl Settings {
    /// TTL or hop limit, and DS field, of a packet to an address.
    pub fn hops_to(&self, remote: IpAddr) -> (u8, u8) {
        let (one, tos) = match remote {
            IpAddr::V4(_) => (self.ttl, self.tos),
            IpAddr::V6(_) => (self.hops, self.class),
        };
        match remote.is_multicast() {
            true => (self.groups_of(remote).ttl, tos),
            false => (one, tos),
        }
    }
    /// Which way a packet to an address takes: to a group, and from a socket that is bound to a port of the host, as the path
    /// says; to others as routing says when it leaves.
    pub fn outlet(&self, remote: IpAddr, path: Path) -> Outlet {
        let of_link = self.discovery_to(remote).is_of_link();
        match remote.is_multicast() {
            true => Outlet {
                port: Some(path.port),
                loops: self.groups_of(remote).loops,
                of_link,
            },
            false => Outlet {
                port: self.speaks_by(path.port),
                of_link,
                ..Outlet::default()
            },
        }
    }
    pub(super) fn groups_of(&self, ip: IpAddr) -> GroupSettings {
        match ip {
            IpAddr::V4(_) => self.groups,
            IpAddr::V6(_) => self.groups_v6,
        }
    }
}

/// The endpoints of one host, of one of the two protocols.
pub struct Udp {
    flavour: Flavour,
    endpoints: Endpoints<Endpoint>,
    key: KeyedHash,
    /// Those with a peer, by (local, remote).
    connected: HashMap<(SocketAddr, SocketAddr), Vec<u32>, KeyedHash>,
    /// Those without, by local address.
    bound: HashMap<SocketAddr, Vec<u32>, KeyedHash>,
    /// Those of them at `::` that hear IPv4 too, by port.
    dual: HashMap<u16, Vec<u32>, KeyedHash>,
    transmit: PortQueues<Outgoing>,
    received: usize,
    unsent: usize,
    /// One was bound to a port of the host, now or before: otherwise nobody asks which.
    knows_devices: bool,
}

/// One socket's end.
struct Endpoint {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    settings: Settings,
    memberships: Memberships,
    queue: VecDeque<Datagram>,
    queued: usize,
    unsent: usize,
    error: Option<SocketError>,
    /// With IP_RECVERR.
    reports: Option<Box<ErrorQueue>>,
    read_shut: bool,
    write_shut: bool,
}

struct Datagram {
    from: SocketAddr,
    way: Way,
    payload: Vec<Chunk>,
    charge: usize,
}
impl Datagram {
    fn len(&self) -> usize {
        self.payload.iter().map(Chunk::len).sum()
    }
}

struct Outgoing {
    departure: Departure,
    endpoint: Handle,
    charge: usize,
}

// ── border, downwards ────────────────────────────────────────────────────────────────────────────────────────────
impl Udp {
    /// A UDP without endpoints.
    pub fn new(rng: &mut crate::Rng) -> Self {
        Self::of(Flavour::Plain, KeyedHash::new(rng))
    }
    /// UDP-Lite without endpoints. It has UDP's secret: no chance is taken from others.
    pub fn lite(&self) -> Self {
        Self::of(Flavour::Lite, self.key)
    }
    fn of(flavour: Flavour, key: KeyedHash) -> Self {
        Self {
            flavour,
            endpoints: Endpoints::default(),
            key,
            connected: HashMap::with_hasher(key),
            bound: HashMap::with_hasher(key),
            dual: HashMap::with_hasher(key),
            transmit: PortQueues::default(),
            received: 0,
            unsent: 0,
            knows_devices: false,
        }
    }

    /// A datagram that came up.
    pub fn receive(&mut self, mut arrival: Arrival, cx: &mut Cx<'_>) -> Up<()> {
        let opened = match self.flavour {
            Flavour::Plain => open(&mut arrival),
            Flavour::Lite => lite::open(&mut arrival),
        };
        let Opened {
            src_port,
            dst_port,
            covered,
        } = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                self.count(Counter::UdpInErrors, cx);
                if matches!(
                    reason,
                    DropReason::UdpChecksum | DropReason::UdpLiteCoverage
                ) {
                    self.count(Counter::UdpInCsumErrors, cx);
                }
                return Up::Drop(reason, None);
            }
        };
        let local = SocketAddr::new(arrival.dst, dst_port);
        let remote = SocketAddr::new(arrival.src, src_port);
        if arrival.group {
            return self.receive_group(local, remote, (arrival, covered), cx);
        }
        let Some(index) = self.find(local, remote, Some(arrival.port)) else {
            self.count(Counter::UdpNoPorts, cx);
            //= rfc1122#4.1.3.1
            //# UDP SHOULD send an ICMP Port Unreachable message.
            return Up::Drop(DropReason::UdpNoSocket, Some(Reply::PortUnreachable));
        };
        let way = Way::of(&arrival);
        let payload = arrival.packet.take_payload();
        cx.pool.recycle(arrival.packet);
        match self.deliver(index, (remote, way, covered), payload, cx) {
            Ok(()) => Up::Done,
            Err(reason) => Up::Drop(reason, None),
        }
    }

    /// Broadcast and multicast: everyone at the port gets a copy, and nobody is told if there is none (RFC 1122 3.2.2).
    /// Of a group, everyone whose own filter lets its source through.
    fn receive_group(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        (mut arrival, covered): (Arrival, Option<u16>),
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        let any = SocketAddr::new(any_of(local.ip()), local.port());
        let mut to: Vec<u32> = Vec::new();
        for list in [
            self.connected.get(&(local, remote)),
            self.bound.get(&local),
            self.bound.get(&any),
            self.dual.get(&local.port()).filter(|_| local.is_ipv4()),
        ] {
            to.extend(list.into_iter().flatten());
        }
        if to.is_empty() {
            let counter = match local.ip().is_multicast() {
                true => Counter::UdpIgnoredMulti,
                false => Counter::UdpNoPorts,
            };
            self.count(counter, cx);
            return Up::Drop(DropReason::UdpNoSocket, None);
        }
        to.retain(|index| {
            let endpoint = self.endpoints.get(*index);
            endpoint.is_some_and(|e| {
                e.settings.is_open_to(arrival.port)
                    && e.hears(arrival.port, local.ip(), remote.ip())
            })
        });
        if to.is_empty() {
            self.count(Counter::UdpIgnoredMulti, cx);
            return Up::Drop(DropReason::SourceFiltered, None);
        }
        let way = Way::of(&arrival);
        let payload = arrival.packet.take_payload();
        cx.pool.recycle(arrival.packet);
        let mut verdict = Err(DropReason::UdpBufferFull);
        for index in to {
            let delivered = self.deliver(index, (remote, way, covered), payload.clone(), cx);
            verdict = delivered.or(verdict);
        }
        match verdict {
            Ok(()) => Up::Done,
            Err(reason) => Up::Drop(reason, None),
        }
    }

    /// Into an endpoint's receive queue. As Linux does, the datagram that crosses the bound is the last to get in.
    fn deliver(
        &mut self,
        index: u32,
        (from, way, covered): (SocketAddr, Way, Option<u16>),
        payload: Vec<Chunk>,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return Err(DropReason::UdpNoSocket);
        };
        if !endpoint.settings.coverage.takes(covered) {
            self.count(Counter::UdpInErrors, cx);
            return Err(DropReason::UdpLiteUncovered);
        }
        let full = endpoint.queued > endpoint.settings.rcvbuf as usize;
        if full || self.received > MEMORY {
            self.count(Counter::UdpRcvbufErrors, cx);
            self.count(Counter::UdpInErrors, cx);
            return Err(if full {
                DropReason::UdpBufferFull
            } else {
                DropReason::HostMemory
            });
        }
        let payload: Vec<Chunk> = payload.into_iter().map(Chunk::compact).collect();
        let pinned: usize = payload.iter().map(Chunk::pinned).sum();
        let charge = pinned + size_of::<Datagram>();
        endpoint.queue.push_back(Datagram {
            from,
            way,
            payload,
            charge,
        });
        endpoint.queued += charge;
        self.received += charge;
        self.count(Counter::UdpInDatagrams, cx);
        self.endpoints.changed(index);
        Ok(())
    }

    /// An ICMP error about a datagram of ours. Without IP_RECVERR only a connected endpoint hears of it, and only of what is
    /// final: port and protocol unreachable, prohibited, parameter problem.
    pub fn unreachable(
        &mut self,
        flow: Flow,
        error: NetError,
        told: Option<Told>,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let reported = Reported {
            error: net_error(error),
            remote: flow.remote,
            told,
            mtu: None,
            at: cx.now,
        };
        self.report(flow, reported, |_| is_hard(error))
    }

    /// Somebody says that a datagram was too long; refused if no endpoint of ours may have sent it.
    pub fn path_mtu(
        &mut self,
        flow: Flow,
        mtu: u32,
        told: Option<Told>,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let reported = Reported {
            error: SocketError::MessageTooLong,
            remote: flow.remote,
            told,
            mtu: Some(mtu),
            at: cx.now,
        };
        self.report(flow, reported, |settings| {
            settings.discovery_to(flow.remote.ip()) != MtuDiscovery::Dont
        })
    }

    /// Tells the endpoint that sent a datagram of this flow, if it wants to hear of it. `hard`: a connected one must.
    /// One without a peer and without IP_RECVERR does not remember to whom it sent: what may be about it is let through.
    fn report(
        &mut self,
        flow: Flow,
        reported: Reported,
        hard: impl Fn(&Settings) -> bool,
    ) -> Result<(), DropReason> {
        let index = self.find(flow.local, flow.remote, None);
        let index = index.ok_or(DropReason::IcmpNoFlow)?;
        let endpoint = self.endpoints.get_mut(index);
        let endpoint = endpoint.ok_or(DropReason::IcmpNoFlow)?;
        let connected = endpoint.remote == Some(flow.remote);
        let error = reported.error;
        let queued = match &mut endpoint.reports {
            Some(reports) if connected || reports.has_sent_to(flow.remote) => {
                reports.errors.push(reported)
            }
            Some(_) => return Err(DropReason::IcmpNoFlow),
            None if connected && hard(&endpoint.settings) => Ok(()),
            None => return Ok(()),
        };
        endpoint.error = Some(error);
        self.endpoints.changed(index);
        queued
    }

    /// The next datagram to leave by a port.
    pub fn poll_transmit(&mut self, port: PortId) -> Option<Departure> {
        let outgoing = self.transmit.pop(port)?;
        self.unsent -= outgoing.charge;
        if let Some(endpoint) = self.endpoints.named_mut(outgoing.endpoint) {
            let before = endpoint.writable();
            endpoint.unsent -= outgoing.charge;
            if !before && endpoint.writable() {
                self.endpoints.changed(outgoing.endpoint.index);
            }
        }
        Some(outgoing.departure)
    }

    /// Whether `poll_transmit` has something.
    pub fn wants_transmit(&self, port: PortId) -> bool {
        self.transmit.wants(port)
    }

    /// An endpoint whose readiness may have changed since it was last taken from here.
    pub fn poll_ready(&mut self) -> Option<(Owner, Ready)> {
        self.endpoints.poll_ready(Endpoint::ready)
    }
}

// ── who gets what ────────────────────────────────────────────────────────────────────────────────────────────────
impl Udp {
    /// Who gets what came in by a port; `None`: by whichever.
    fn find(&self, local: SocketAddr, remote: SocketAddr, by: Option<PortId>) -> Option<u32> {
        let draw = |list: &Vec<u32>| self.draw(&self.open_to(list, by), local, remote);
        let connected = self.connected.get(&(local, remote));
        connected
            .and_then(|list| self.open_to(list, by).last().copied())
            .or_else(|| draw(self.bound.get(&local)?))
            .or_else(|| {
                let any = SocketAddr::new(any_of(local.ip()), local.port());
                draw(self.bound.get(&any)?)
            })
            .or_else(|| {
                let dual = self.dual.get(&local.port()).filter(|_| local.is_ipv4());
                draw(dual?)
            })
    }
    /// Whether an endpoint has these very ends.
    pub fn has_peer(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.connected.contains_key(&(local, remote))
    }
    /// The youngest at an address; those that said SO_REUSEPORT share by flow.
    fn draw(&self, list: &[u32], local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        let youngest = *list.last()?;
        let shares = |index: &u32| {
            let endpoint = self.endpoints.get(*index);
            endpoint.is_some_and(|e| e.settings.reuse_port)
        };
        if list.len() == 1 || !shares(&youngest) {
            return Some(youngest);
        }
        let draw = (self.key.hash_one((local, remote)) % list.len() as u64) as usize;
        list.get(draw).copied().filter(shares).or(Some(youngest))
    }
    fn insert(&mut self, index: u32) {
        let Some(endpoint) = self.endpoints.get(index) else {
            return;
        };
        let (Some(local), remote) = (endpoint.local, endpoint.remote) else {
            return;
        };
        let Some(remote) = remote else {
            self.bound.entry(local).or_default().push(index);
            if endpoint.hears_both() {
                self.dual.entry(local.port()).or_default().push(index);
            }
            return;
        };
        self.connected
            .entry((local, remote))
            .or_default()
            .push(index);
    }
    fn remove(&mut self, index: u32) {
        let Some(endpoint) = self.endpoints.get(index) else {
            return;
        };
        match (endpoint.local, endpoint.remote) {
            (Some(local), Some(remote)) => {
                remove(&mut self.connected, &(local, remote), index);
            }
            (Some(local), None) => {
                remove(&mut self.bound, &local, index);
                remove(&mut self.dual, &local.port(), index);
            }
            (None, _) => {}
        }
    }
}

fn remove<K: Eq + Hash>(lists: &mut HashMap<K, Vec<u32>, KeyedHash>, key: &K, index: u32) {
    if let Some(list) = lists.get_mut(key) {
        list.retain(|other| *other != index);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

// ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
impl Udp {
    /// A new endpoint, bound to nothing.
    pub fn open(&mut self, owner: Owner, settings: Settings) -> UdpId {
        let endpoint = Endpoint {
            local: None,
            remote: None,
            settings,
            memberships: Memberships::default(),
            queue: VecDeque::new(),
            queued: 0,
            unsent: 0,
            error: None,
            reports: settings.recv_err.then(Box::default),
            read_shut: false,
            write_shut: false,
        };
        UdpId(self.endpoints.insert(owner, endpoint), self.flavour)
    }
    /// Sets both ends: `None` for a remote end takes from anyone, for a local end takes nothing.
    pub fn associate(&mut self, id: UdpId, local: Option<SocketAddr>, remote: Option<SocketAddr>) {
        self.remove(id.0);
        if let Some(endpoint) = self.endpoints.get_mut(id.0) {
            endpoint.local = local;
            endpoint.remote = remote;
        }
        self.insert(id.0);
    }
    /// The program is done with it. What it has sent still leaves.
    pub fn close(&mut self, id: UdpId) {
        self.remove(id.0);
        if let Some(endpoint) = self.endpoints.remove(id.0) {
            self.received -= endpoint.queued;
        }
    }
    /// Sends a datagram to `remote` along `path`, whose `src` is the sender's address.
    pub fn send(
        &mut self,
        id: UdpId,
        payload: Chunk,
        remote: SocketAddr,
        path: Path,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        self.send_with(id, payload, (remote, &Choices::default()), path, cx)
    }
    /// As `send`, with choices of the datagram's own.
    pub fn send_with(
        &mut self,
        id: UdpId,
        payload: Chunk,
        (remote, choices): (SocketAddr, &Choices),
        path: Path,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let endpoint = self.endpoint_mut(id)?;
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        if endpoint.write_shut {
            return Err(SocketError::BrokenPipe);
        }
        if payload.len() > max_payload(remote.ip()) {
            return Err(SocketError::MessageTooLong);
        }
        let local = endpoint.local.ok_or(SocketError::Invalid)?;
        if endpoint.unsent >= endpoint.settings.sndbuf as usize {
            self.count(Counter::UdpSndbufErrors, cx);
            return Err(SocketError::WouldBlock);
        }
        let too_long = packet_len(&payload, remote) > path.mtu as usize;
        let discovery = endpoint.settings.discovery_to(remote.ip());
        let Some(dont_fragment) = discovery.forbids(too_long) else {
            return Err(self.refuse(id, remote, path.mtu, cx));
        };
        let chosen = choices.over(endpoint.settings);
        if self.unsent > MEMORY {
            self.count(Counter::UdpSndbufErrors, cx);
            return Err(SocketError::NoBuffers);
        }
        let local = SocketAddr::new(path.src, local.port());
        let outlet = chosen.outlet(remote.ip(), path);
        let settings = Settings {
            dont_fragment,
            ..chosen
        };
        let ends = (local, remote);
        let departure = datagram(self.flavour, ends, payload, settings, outlet, cx);
        let charge = departure.packet.true_size();
        let endpoint = self.endpoint_mut(id)?;
        endpoint.unsent += charge;
        if let Some(reports) = &mut endpoint.reports {
            reports.sent_to(remote);
        }
        self.unsent += charge;
        let endpoint = self.endpoints.handle(id.0);
        let outgoing = Outgoing {
            departure,
            endpoint: endpoint.ok_or(SocketError::BadSocket)?,
            charge,
        };
        self.transmit.push(path.port, outgoing);
        self.count(Counter::UdpOutDatagrams, cx);
        Ok(())
    }
    /// A datagram that may not be fragmented and is longer than the way allows. With IP_RECVERR the queue has the length.
    fn refuse(&mut self, id: UdpId, remote: SocketAddr, mtu: u32, cx: &mut Cx<'_>) -> SocketError {
        let reports = self.endpoint_mut(id).ok().and_then(|e| e.reports.as_mut());
        if let Some(reports) = reports {
            // Without room it is forgotten: no packet is lost by that.
            let _ = reports.errors.push(Reported::too_long(remote, mtu, cx.now));
            self.endpoints.changed(id.0);
        }
        SocketError::MessageTooLong
    }
    /// The oldest error that waits; the pending error of the socket is then that of the next one.
    pub fn recv_error(&mut self, id: UdpId) -> Option<Reported> {
        let endpoint = self.endpoint_mut(id).ok()?;
        let (reported, pending) = endpoint.reports.as_mut()?.errors.pop(Reported::pending)?;
        endpoint.error = pending;
        Some(reported)
    }
    /// The oldest datagram that waits: the bytes that fit into `out`, its whole length, its sender. A closed direction gives an
    /// empty one from nobody (`None`).
    pub fn recv(
        &mut self,
        id: UdpId,
        out: &mut [u8],
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(usize, usize, Option<SocketAddr>), SocketError> {
        let received = self.recv_message(id, out, peek, cx)?;
        Ok((received.copied, received.len, received.from))
    }
    /// As `recv`, and how it came.
    pub fn recv_message(
        &mut self,
        id: UdpId,
        out: &mut [u8],
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<Received, SocketError> {
        let Some(datagram) = self.front(id)? else {
            return Ok(Received::NOTHING);
        };
        let (len, from, way) = (datagram.len(), datagram.from, datagram.way);
        let copied = copy_out(&datagram.payload, out);
        if !peek {
            self.take_front(id, cx);
        }
        Ok(Received {
            copied,
            len,
            from: Some(from),
            way,
        })
    }
    /// As `recv`, without a copy: at most `max` bytes of the datagram.
    pub fn recv_bytes(
        &mut self,
        id: UdpId,
        max: usize,
        cx: &mut Cx<'_>,
    ) -> Result<Bytes, SocketError> {
        if self.front(id)?.is_none() {
            return Ok(Bytes::new());
        }
        let mut chunks = self.take_front(id, cx).into_iter();
        let mut bytes = chunks.next().map(Chunk::into_bytes).unwrap_or_default();
        if chunks.len() > 0 {
            let mut whole = bytes.to_vec();
            chunks.for_each(|chunk| whole.extend_from_slice(chunk.bytes()));
            bytes = whole.into();
        }
        bytes.truncate(max);
        Ok(bytes)
    }
    fn front(&mut self, id: UdpId) -> Result<Option<&Datagram>, SocketError> {
        let endpoint = self.endpoint_mut(id)?;
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        match endpoint.queue.front() {
            Some(datagram) => Ok(Some(datagram)),
            None if endpoint.read_shut => Ok(None),
            None => Err(SocketError::WouldBlock),
        }
    }
    fn take_front(&mut self, id: UdpId, cx: &mut Cx<'_>) -> Vec<Chunk> {
        let Ok(endpoint) = self.endpoint_mut(id) else {
            return Vec::new();
        };
        let Some(datagram) = endpoint.queue.pop_front() else {
            return Vec::new();
        };
        endpoint.queued -= datagram.charge;
        if let Some(local) = endpoint.local {
            cx.events
                .emit(cx.now, EventMask::SOCKET, || Event::Received {
                    local,
                    remote: datagram.from,
                    len: datagram.len() as u32,
                });
        }
        self.received -= datagram.charge;
        datagram.payload
    }
    /// Ends one or both directions: reads then end at once when nothing waits, sends fail.
    pub fn shutdown(&mut self, id: UdpId, read: bool, write: bool) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.read_shut |= read;
            endpoint.write_shut |= write;
        }
        self.endpoints.changed(id.0);
    }
    /// Changes settings.
    pub fn set(&mut self, id: UdpId, settings: Settings) {
        self.knows_devices |= settings.device.is_some();
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.settings = settings;
            match settings.recv_err {
                true => drop(endpoint.reports.get_or_insert_default()),
                false => endpoint.reports = None,
            }
        }
    }
    /// Which groups it has joined.
    pub fn memberships(&self, id: UdpId) -> Option<&Memberships> {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map(|endpoint| &endpoint.memberships)
    }
    /// Which groups it has joined from now on.
    pub fn set_memberships(&mut self, id: UdpId, memberships: Memberships) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.memberships = memberships;
        }
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, id: UdpId) -> Option<SocketError> {
        self.endpoint_mut(id).ok()?.error.take()
    }
    /// What it is ready for.
    pub fn ready(&self, id: UdpId) -> Ready {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map_or(Ready::NONE, Endpoint::ready)
    }
    /// Memory pinned by datagrams that wait to be read and to be sent, bytes.
    pub fn queues(&self, id: UdpId) -> (u32, u32) {
        let Some(endpoint) = self.endpoints.get(id.0) else {
            return (0, 0);
        };
        let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
        (count(endpoint.queued), count(endpoint.unsent))
    }
    fn endpoint_mut(&mut self, id: UdpId) -> Result<&mut Endpoint, SocketError> {
        let endpoint = self.endpoints.get_mut(id.0);
        endpoint.ok_or(SocketError::BadSocket)
    }
}

impl Endpoint {
    /// Whether it is bound to `::` and takes IPv4 too.
    fn hears_both(&self) -> bool {
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        !self.settings.v6_only && self.local.is_some_and(|local| local.ip() == any)
    }
    /// Whether it wants what a source sent to a group or to everybody on a port's link.
    fn hears(&self, port: PortId, group: IpAddr, source: IpAddr) -> bool {
        let unjoined = self.settings.groups_of(group).all;
        self.memberships.hears(port, group, source, unjoined)
    }
    /// Linux's sock_writeable: less than half of the send buffer waits.
    fn writable(&self) -> bool {
        self.unsent < self.settings.sndbuf as usize / 2
    }
    fn ready(&self) -> Ready {
        let reports = self.reports.as_ref();
        let reported = reports.is_some_and(|reports| !reports.errors.is_empty());
        Ready::READABLE.when(!self.queue.is_empty() || self.read_shut)
            | Ready::WRITABLE.when(self.writable())
            | Ready::ERROR.when(self.error.is_some() || reported)
            | Ready::READ_CLOSED.when(self.read_shut)
            | Ready::HANG_UP.when(self.read_shut && self.write_shut)
    }
}

/// What a header said.
struct Opened {
    src_port: u16,
    dst_port: u16,
    /// Bytes that the checksum covers, if not all.
    covered: Option<u16>,
}

/// Checks a datagram and takes its header off; what is left is the payload.
fn open(arrival: &mut Arrival) -> Result<Opened, DropReason> {
    let packet = &mut arrival.packet;
    let header = packet
        .peek(HEADER_LEN)
        .and_then(UdpHeader::parse)
        .map_err(|_| DropReason::UdpHeader)?;
    let len = usize::from(header.len);
    if len > packet.len() {
        return Err(DropReason::UdpHeader);
    }
    packet.truncate(len);
    //= rfc1122#4.1.3.4
    //# If a UDP datagram is received with a checksum that is non-zero and invalid, UDP MUST silently discard the datagram.
    let unsummed = header.checksum == 0 && arrival.src.is_ipv4();
    if packet.sum() == Sum::Unverified && !unsummed {
        let pseudo = zone::pseudo_header(
            arrival.src,
            arrival.dst,
            protocol::UDP,
            u32::from(header.len),
        );
        if checksum::add(pseudo, packet.ones_complement()) != 0xffff {
            return Err(DropReason::UdpChecksum);
        }
    }
    let taken = packet.pull(HEADER_LEN).map(|_| ());
    taken.map_err(|_| DropReason::UdpHeader)?;
    Ok(Opened {
        src_port: header.src_port,
        dst_port: header.dst_port,
        covered: None,
    })
}

/// Bytes of the packet that carries a datagram, once it has all its headers.
fn packet_len(payload: &Chunk, to: SocketAddr) -> usize {
    let ip = match to {
        SocketAddr::V4(_) => ipv4::MIN_HEADER_LEN,
        SocketAddr::V6(_) => ipv6::HEADER_LEN,
    };
    ip + HEADER_LEN + payload.len()
}

/// Puts the header in front. Its checksum field holds the pseudo-header's sum until the packet is filled.
fn datagram(
    flavour: Flavour,
    (local, remote): (SocketAddr, SocketAddr),
    payload: Chunk,
    settings: Settings,
    outlet: Outlet,
    cx: &mut Cx<'_>,
) -> Departure {
    let len = (HEADER_LEN + payload.len()) as u16;
    let (src, dst): (IpAddr, IpAddr) = (local.ip(), remote.ip());
    let (ttl, tos) = settings.hops_to(dst);
    let protocol = flavour.protocol();
    let coverage = match flavour {
        Flavour::Plain => len,
        Flavour::Lite => settings.coverage.of(len),
    };
    cx.events.emit(cx.now, EventMask::SOCKET, || Event::Sent {
        local,
        remote,
        len: payload.len() as u32,
    });
    let mut packet = cx.pool.packet();
    if !payload.is_empty() {
        packet.append(payload);
    }
    let header = UdpHeader {
        src_port: local.port(),
        dst_port: remote.port(),
        len: coverage,
        checksum: zone::pseudo_header(src, dst, protocol, u32::from(len)),
    };
    header.emit(packet.push(HEADER_LEN));
    if (1..len).contains(&coverage) {
        lite::fill(&mut packet, coverage);
    } else {
        let start = packet.head_start();
        packet.set_sum(Sum::ToFill {
            start,
            offset: start + 6,
        });
    }
    Departure {
        src,
        dst,
        protocol,
        ttl,
        tos,
        dont_fragment: settings.dont_fragment,
        outlet,
        segment: None,
        packet,
    }
}

#[cfg(test)]
mod tests;
