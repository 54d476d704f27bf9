//! Raw sockets (raw(7), RFC 3542 3): packets of one protocol as they are, beside whoever else handles them.
//!
//! ```text
//!   copy of what came ─▶ (family, protocol) ─▶ address, peer, ICMP type, checksum ─▶ receive queue ─▶ recv
//!   send ─▶ queue of the port ─▶ poll_transmit ─▶ header of IP in front, unless the program wrote it
//! ```
//!
//! Of IPv4 the program reads the whole packet, of IPv6 what stands behind its headers.
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use heptad_wire::ipv4::{Ipv4Header, MIN_HEADER_LEN};
use heptad_wire::ipv6::{self, next_header};
use heptad_wire::{Chunk, PacketBuf, Sum, checksum};

use super::endpoints::{Endpoints, PortQueues};
use super::family::Family;
use super::readiness::{Owner, Ready, SocketError};
use super::udp::{self, Errors, Received, Reported, Settings, Way, max_payload};
use crate::l1_physical::PortId;
use crate::l3_network::groups::Memberships;
use crate::l3_network::{Departure, Path, Tapped, zone};
use crate::{Cx, DropReason};

/// IPPROTO_RAW: sends any protocol, header included, and hears nothing.
const ANY: u8 = 255;
/// Most memory that what waits at all raw sockets of a host may take, bytes.
const MEMORY: usize = 64 << 20;
/// Most packets of one host that wait for a port.
const UNSENT: usize = 1_000;
/// Where the checksum of ICMPv6 stands (RFC 3542 3.1).
const ICMPV6_CHECKSUM: u16 = 2;

/// An endpoint's handle: valid until `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawId(u32);

/// Which types of ICMP do not reach a socket (ICMP_FILTER, ICMP6_FILTER): a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpFilter(pub [u32; 8]);
impl IcmpFilter {
    /// All are kept out.
    pub const BLOCK_ALL: Self = Self([u32::MAX; 8]);
    /// Whether it keeps a type out.
    pub fn blocks(&self, kind: u8) -> bool {
        let word = self.0.get(usize::from(kind / 32));
        word.is_some_and(|word| word >> (kind % 32) & 1 == 1)
    }
    /// Lets a type through.
    #[must_use]
    pub fn passing(mut self, kind: u8) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(kind / 32)) {
            *word &= !(1 << (kind % 32));
        }
        self
    }
}

/// What a raw socket may choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// IP_HDRINCL: the program writes the header of IPv4.
    pub header_included: bool,
    /// Of sockets of ICMP and ICMPv6.
    pub filter: IcmpFilter,
    /// IPV6_CHECKSUM: where in what is sent and received a checksum stands that is made and checked here.
    pub checksum: Option<u16>,
}

/// A packet on its way down.
pub enum Outgoing {
    /// Without the header of IP.
    Plain(Departure),
    /// With it, for this neighbour.
    Whole(PacketBuf, IpAddr),
}

/// The endpoints of one host.
#[derive(Default)]
pub struct Raw {
    endpoints: Endpoints<Endpoint>,
    /// By family and protocol.
    listening: BTreeMap<(Family, u8), Vec<u32>>,
    transmit: PortQueues<Outgoing>,
    received: usize,
    /// For headers that have no identification.
    next_id: u16,
}

struct Endpoint {
    key: (Family, u8),
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    settings: Settings,
    choices: Choices,
    memberships: Memberships,
    queue: VecDeque<Waiting>,
    queued: usize,
    /// With IP_RECVERR.
    errors: Errors<Reported>,
    error: Option<SocketError>,
    read_shut: bool,
    write_shut: bool,
}

/// A packet that waits to be read.
struct Waiting {
    from: IpAddr,
    way: Way,
    bytes: Vec<u8>,
}

// ── border ───────────────────────────────────────────────────────────────────────────────────────────────────────
impl Raw {
    /// Whether there is one that hears something.
    pub fn is_open(&self) -> bool {
        !self.listening.is_empty()
    }
    /// Which protocols are wanted, of IPv4 (`false`) and IPv6.
    pub fn wanted(&self) -> impl Iterator<Item = (bool, u8)> {
        let keys = self
            .listening
            .keys()
            .filter(|(_, protocol)| *protocol != ANY);
        keys.map(|(family, protocol)| (*family == Family::V6, *protocol))
    }

    /// A copy of a packet for this host. Whether there is a socket that wants it, with room or without.
    pub fn receive(&mut self, copy: &Tapped, cx: &mut Cx<'_>) -> bool {
        let key = (Family::from(copy.dst), copy.protocol);
        let Some(all) = self.listening.get(&key) else {
            return false;
        };
        let wanting = all.iter().copied().filter(|index| {
            let endpoint = self.endpoints.get(*index);
            endpoint.is_some_and(|endpoint| endpoint.wants(copy))
        });
        let wanting: Vec<u32> = wanting.collect();
        for index in &wanting {
            if let Err(reason) = self.deliver(*index, copy) {
                cx.lost(copy.id, reason);
            }
        }
        !wanting.is_empty()
    }

    /// As with UDP, the packet that crosses the bound is the last to get in.
    fn deliver(&mut self, index: u32, copy: &Tapped) -> Result<(), DropReason> {
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return Ok(());
        };
        if endpoint.checksum().is_some() && !is_sound(copy) {
            return Err(DropReason::RawChecksum);
        }
        if endpoint.queued > endpoint.settings.rcvbuf as usize {
            return Err(DropReason::RawBufferFull);
        }
        if self.received > MEMORY {
            return Err(DropReason::HostMemory);
        }
        let charge = charge(&copy.bytes);
        endpoint.queue.push_back(Waiting {
            from: copy.src,
            way: Way::of_copy(copy),
            bytes: copy.bytes.clone(),
        });
        endpoint.queued += charge;
        self.received += charge;
        self.endpoints.changed(index);
        Ok(())
    }

    /// An ICMP error about a packet of a protocol that left `local`: for all whose packet it may have been, if they have
    /// IP_RECVERR, or a peer and it is final (`hard`). Whether there is a socket of the protocol.
    pub fn failed(
        &mut self,
        (local, protocol): (IpAddr, u8),
        reported: &Reported,
        hard: impl Fn(&Settings) -> bool,
    ) -> bool {
        let key = (Family::from(local), protocol);
        let Some(all) = self.listening.get(&key).cloned() else {
            return false;
        };
        for index in all {
            if let Some(endpoint) = self.endpoints.get_mut(index)
                && endpoint.may_have_sent(local, reported.remote.ip())
                && endpoint.hears_of(reported, &hard)
            {
                self.endpoints.changed(index);
            }
        }
        true
    }

    /// The next packet to leave by a port.
    pub fn poll_transmit(&mut self, port: PortId) -> Option<Outgoing> {
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
}

// ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────
impl Raw {
    /// A new endpoint, which hears its protocol from now on.
    pub fn open(&mut self, owner: Owner, key: (Family, u8), settings: Settings) -> RawId {
        let endpoint = Endpoint {
            key,
            local: None,
            remote: None,
            settings,
            choices: Choices::default(),
            memberships: Memberships::default(),
            queue: VecDeque::new(),
            queued: 0,
            errors: Errors::default(),
            error: None,
            read_shut: false,
            write_shut: false,
        };
        let index = self.endpoints.insert(owner, endpoint);
        self.listening.entry(key).or_default().push(index);
        RawId(index)
    }
    /// Only what is for `local` and from `remote` is heard; `None`: from and for anybody.
    pub fn associate(&mut self, id: RawId, local: Option<IpAddr>, remote: Option<IpAddr>) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.local = local;
            endpoint.remote = remote;
        }
    }
    /// The program is done with it. What it has sent still leaves.
    pub fn close(&mut self, id: RawId) {
        let Some(endpoint) = self.endpoints.remove(id.0) else {
            return;
        };
        self.received -= endpoint.queued;
        if let Some(list) = self.listening.get_mut(&endpoint.key) {
            list.retain(|index| *index != id.0);
            if list.is_empty() {
                self.listening.remove(&endpoint.key);
            }
        }
    }
    /// Sends a packet along `path`, whose `src` is the sender's address. `Invalid`: a header of IPv4 that is none, or no room for
    /// the checksum; `MessageTooLong`: with its header included it has to fit the way; `NoBuffers`: too many wait.
    pub fn send(
        &mut self,
        id: RawId,
        data: &[u8],
        (remote, choices): (IpAddr, &udp::Choices),
        path: Path,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let (unsent, next_id) = (self.transmit.len(), self.next_id);
        let endpoint = self.endpoint_mut(id)?;
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        if endpoint.write_shut {
            return Err(SocketError::BrokenPipe);
        }
        if unsent >= UNSENT {
            return Err(SocketError::NoBuffers);
        }
        let outgoing = match endpoint.writes_header() {
            true => Outgoing::Whole(with_header(data, next_id, path, cx)?, path.next_hop),
            false => {
                let settings = choices.over(endpoint.settings);
                let discovery = settings.discovery_to(remote);
                let Some(dont_fragment) = discovery.forbids(is_long(data, remote, path)) else {
                    return Err(endpoint.refuse(remote, path.mtu, cx));
                };
                let settings = Settings {
                    dont_fragment,
                    ..settings
                };
                Outgoing::Plain(endpoint.departure(data, settings, (remote, path), cx)?)
            }
        };
        self.next_id = next_id.wrapping_add(1);
        self.transmit.push(path.port, outgoing);
        Ok(())
    }
    /// The oldest packet that waits. A closed direction gives an empty one from nobody.
    pub fn recv(&mut self, id: RawId, out: &mut [u8], peek: bool) -> Result<Received, SocketError> {
        let endpoint = self.endpoint_mut(id)?;
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        let Some(Waiting { from, way, bytes }) = endpoint.queue.front() else {
            return match endpoint.read_shut {
                true => Ok(Received::NOTHING),
                false => Err(SocketError::WouldBlock),
            };
        };
        let copied = bytes.len().min(out.len());
        out[..copied].copy_from_slice(&bytes[..copied]);
        let received = Received {
            copied,
            len: bytes.len(),
            // As on Linux: the address, and no port.
            from: Some(SocketAddr::new(*from, 0)),
            way: *way,
        };
        if !peek {
            let charge = charge(bytes);
            endpoint.queue.pop_front();
            endpoint.queued -= charge;
            self.received -= charge;
        }
        Ok(received)
    }
    /// The oldest error that waits; the pending error of the socket is then that of the next one.
    pub fn recv_error(&mut self, id: RawId) -> Option<Reported> {
        let endpoint = self.endpoint_mut(id).ok()?;
        let (reported, pending) = endpoint.errors.pop(Reported::pending)?;
        endpoint.error = pending;
        Some(reported)
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, id: RawId) -> Option<SocketError> {
        self.endpoint_mut(id).ok()?.error.take()
    }
    /// Ends one or both directions.
    pub fn shutdown(&mut self, id: RawId, read: bool, write: bool) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.read_shut |= read;
            endpoint.write_shut |= write;
        }
        self.endpoints.changed(id.0);
    }
    /// Changes settings.
    pub fn set(&mut self, id: RawId, settings: Settings, choices: Choices) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            (endpoint.settings, endpoint.choices) = (settings, choices);
        }
    }
    /// Which groups it has joined.
    pub fn memberships(&self, id: RawId) -> Option<&Memberships> {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map(|endpoint| &endpoint.memberships)
    }
    /// Which groups it has joined from now on.
    pub fn set_memberships(&mut self, id: RawId, memberships: Memberships) {
        if let Ok(endpoint) = self.endpoint_mut(id) {
            endpoint.memberships = memberships;
        }
    }
    /// What it is ready for.
    pub fn ready(&self, id: RawId) -> Ready {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map_or(Ready::NONE, Endpoint::ready)
    }
    /// Memory of packets that wait to be read, bytes.
    pub fn queued(&self, id: RawId) -> u32 {
        let endpoint = self.endpoints.get(id.0);
        endpoint.map_or(0, |e| u32::try_from(e.queued).unwrap_or(u32::MAX))
    }
    fn endpoint_mut(&mut self, id: RawId) -> Result<&mut Endpoint, SocketError> {
        let endpoint = self.endpoints.get_mut(id.0);
        endpoint.ok_or(SocketError::BadSocket)
    }
}

impl Endpoint {
    fn writes_header(&self) -> bool {
        let (family, protocol) = self.key;
        family == Family::V4 && (self.choices.header_included || protocol == ANY)
    }
    /// Where the checksum stands that is made and checked here.
    fn checksum(&self) -> Option<u16> {
        match self.key {
            (Family::V6, next_header::ICMPV6) => Some(ICMPV6_CHECKSUM),
            (Family::V6, _) => self.choices.checksum,
            (Family::V4, _) => None,
        }
    }
    fn wants(&self, copy: &Tapped) -> bool {
        let (family, protocol) = self.key;
        let is_icmp = protocol == family.icmp();
        let kind = copy.bytes.get(copy.transport).copied().unwrap_or(0);
        !self.read_shut
            && self.local.is_none_or(|local| local == copy.dst)
            && self.remote.is_none_or(|remote| remote == copy.src)
            && self.settings.is_open_to(copy.port)
            && self.hears(copy)
            && !(is_icmp && self.choices.filter.blocks(kind))
    }
    fn hears(&self, copy: &Tapped) -> bool {
        let unjoined = self.settings.groups_of(copy.dst).all;
        let (port, dst, src) = (copy.port, copy.dst, copy.src);
        self.memberships.hears(port, dst, src, unjoined)
    }
    fn may_have_sent(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.local.is_none_or(|ours| ours == local) && self.remote.is_none_or(|peer| peer == remote)
    }
    /// Takes an error over; whether it wants to hear of it.
    fn hears_of(&mut self, reported: &Reported, hard: impl Fn(&Settings) -> bool) -> bool {
        let queues = self.settings.recv_err;
        if !queues && (self.remote.is_none() || !hard(&self.settings)) {
            return false;
        }
        if queues {
            // Without room it is forgotten: others may have heard of it.
            let _ = self.errors.push(reported.clone());
        }
        self.error = Some(reported.error);
        true
    }
    /// A packet that may not be fragmented and is longer than the way allows. With IP_RECVERR the queue has the length.
    fn refuse(&mut self, remote: IpAddr, mtu: u32, cx: &Cx<'_>) -> SocketError {
        if self.settings.recv_err {
            // Without room it is forgotten: no packet is lost by that.
            let remote = SocketAddr::new(remote, 0);
            let _ = self.errors.push(Reported::too_long(remote, mtu, cx.now));
        }
        SocketError::MessageTooLong
    }
    fn departure(
        &self,
        data: &[u8],
        settings: Settings,
        (remote, path): (IpAddr, Path),
        cx: &mut Cx<'_>,
    ) -> Result<Departure, SocketError> {
        if data.len() > max_payload(remote) {
            return Err(SocketError::MessageTooLong);
        }
        let mut bytes = data.to_vec();
        let protocol = self.key.1;
        if let Some(at) = self.checksum() {
            let at = usize::from(at);
            let len = bytes.len() as u32;
            bytes.get(at..at + 2).ok_or(SocketError::Invalid)?;
            let pseudo = zone::pseudo_header(path.src, remote, protocol, len);
            checksum::fill(&mut bytes, at, pseudo);
        }
        let (ttl, tos) = settings.hops_to(remote);
        let mut packet = cx.pool.packet();
        if !bytes.is_empty() {
            packet.append(Chunk::copy_from(&bytes));
        }
        packet.set_sum(Sum::Verified);
        Ok(Departure {
            src: path.src,
            dst: remote,
            protocol,
            ttl,
            tos,
            dont_fragment: settings.dont_fragment,
            segment: None,
            outlet: settings.outlet(remote, path),
            packet,
        })
    }
    fn ready(&self) -> Ready {
        // A packet never waits for room here: it is queued or refused.
        Ready::WRITABLE
            | Ready::READABLE.when(!self.queue.is_empty() || self.read_shut)
            | Ready::ERROR.when(self.error.is_some() || !self.errors.is_empty())
            | Ready::READ_CLOSED.when(self.read_shut)
            | Ready::HANG_UP.when(self.read_shut && self.write_shut)
    }
}

/// A packet whose header the program wrote. As on Linux the length and the checksum are always filled in, source and identification
/// if they are zero.
fn with_header(
    data: &[u8],
    id: u16,
    path: Path,
    cx: &mut Cx<'_>,
) -> Result<PacketBuf, SocketError> {
    if data.len() > path.mtu as usize {
        return Err(SocketError::MessageTooLong);
    }
    let first = *data.first().ok_or(SocketError::Invalid)?;
    let len = Ipv4Header::len_of(first).map_err(|_| SocketError::Invalid)?;
    let mut header = data.get(..len).ok_or(SocketError::Invalid)?.to_vec();
    let total = u16::try_from(data.len()).map_err(|_| SocketError::MessageTooLong)?;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    checksum::fill(&mut header, 10, 0);
    let mut header = Ipv4Header::parse(&header).map_err(|_| SocketError::Invalid)?;
    if let (true, IpAddr::V4(src)) = (header.src.is_unspecified(), path.src) {
        header.src = src;
    }
    if header.id == 0 {
        header.id = id;
    }
    let mut packet = cx.pool.packet();
    if data.len() > len {
        packet.append(Chunk::copy_from(&data[len..]));
    }
    header.emit(packet.push(len.max(MIN_HEADER_LEN)));
    packet.set_sum(Sum::Verified);
    Ok(packet)
}

/// Whether a packet with this data does not fit the way.
fn is_long(data: &[u8], remote: IpAddr, path: Path) -> bool {
    let header = match remote {
        IpAddr::V4(_) => MIN_HEADER_LEN,
        IpAddr::V6(_) => ipv6::HEADER_LEN,
    };
    header + data.len() > path.mtu as usize
}

/// Whether the checksum over a copy of IPv6 holds.
fn is_sound(copy: &Tapped) -> bool {
    let data = &copy.bytes[copy.transport.min(copy.bytes.len())..];
    let pseudo = zone::pseudo_header(copy.src, copy.dst, copy.protocol, data.len() as u32);
    checksum::add(pseudo, checksum::sum(data)) == 0xffff
}

fn charge(bytes: &[u8]) -> usize {
    bytes.len() + size_of::<Waiting>()
}
