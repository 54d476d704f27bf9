//! Reassembly of fragments (RFC 791 3.2, RFC 8200 4.5, RFC 815's hole list) with bounds, and no overlaps: a fragment that is there
//! already is ignored, one that overlaps in any other way condemns the whole datagram (the reasoning of RFC 5722).
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;
use heptad_wire::ipv4::Ipv4Header;
use heptad_wire::ipv6::{FRAGMENT_LEN, FragmentHeader, HEADER_LEN, Ipv6Header, next_header};
use heptad_wire::{Chunk, PacketBuf, PacketId, Sum};

use super::quote::Quote;
use super::zone;
use crate::keyed_hash::KeyedHash;
use crate::l1_physical::PortId;
use crate::time::Duration;
use crate::{Cx, DropReason, Instant};

/// How long a datagram of IPv4 may stay incomplete (Linux: ipfrag_time).
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// The same for IPv6 (RFC 8200 4.5).
pub const TIMEOUT_V6: Duration = Duration::from_secs(60);
/// Memory of all incomplete datagrams, bytes (Linux: ipfrag_high_thresh). The oldest datagram makes room.
pub const MEMORY: usize = 4 << 20;
/// Most incomplete datagrams from one source; the next waits until one of them is done.
pub const PER_SOURCE: u16 = 64;
/// The longest datagram; IPv4 counts its header.
const MAX_DATAGRAM: usize = 65_535;
/// What an entry costs beyond its pieces, bytes.
const ENTRY_COST: usize = 256;
/// What a piece costs beyond the bytes that it pins.
const PIECE_COST: usize = 64;

/// RFC 791 3.2, RFC 8200 4.5: what tells one datagram's fragments from another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    /// IPv4 only; 0 for IPv6.
    protocol: u8,
    id: u32,
}

/// The headers of a fragment. IPv6's addresses have their zones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Header {
    /// IPv4.
    V4(Ipv4Header),
    /// IPv6, and the fragment header.
    V6(Ipv6Header, FragmentHeader),
}
impl Header {
    fn key(&self) -> Key {
        match self {
            Self::V4(ip) => Key {
                src: ip.src.into(),
                dst: ip.dst.into(),
                protocol: ip.protocol,
                id: ip.id.into(),
            },
            Self::V6(ip, fragment) => Key {
                src: ip.src.into(),
                dst: ip.dst.into(),
                protocol: 0,
                id: fragment.id,
            },
        }
    }
    fn offset(&self) -> usize {
        usize::from(match self {
            Self::V4(ip) => ip.fragment_offset,
            Self::V6(_, fragment) => fragment.offset,
        })
    }
    fn has_more(&self) -> bool {
        match self {
            Self::V4(ip) => ip.more_fragments,
            Self::V6(_, fragment) => fragment.more,
        }
    }
    /// What the longest datagram has to hold beside the payload.
    fn counted_len(&self) -> usize {
        match self {
            Self::V4(ip) => ip.len(),
            Self::V6(..) => 0,
        }
    }
    /// The DS field, or the traffic class.
    fn tos(&mut self) -> &mut u8 {
        match self {
            Self::V4(ip) => &mut ip.tos,
            Self::V6(ip, _) => &mut ip.traffic_class,
        }
    }
    /// As if the datagram of so many bytes of payload had never been fragmented.
    fn whole(self, payload: usize) -> Self {
        match self {
            Self::V4(ip) => Self::V4(Ipv4Header {
                total_len: (ip.len() + payload) as u16,
                more_fragments: false,
                fragment_offset: 0,
                ..ip
            }),
            Self::V6(ip, fragment) => {
                let ip = Ipv6Header {
                    payload_len: payload as u16,
                    next_header: fragment.next_header,
                    ..ip
                };
                Self::V6(ip, fragment)
            }
        }
    }
}

/// Bytes that are still missing: `first..=last`. The last hole of a datagram of unknown length is endless.
#[derive(Clone, Copy)]
struct Hole {
    first: usize,
    last: usize,
}
const ENDLESS: usize = usize::MAX;

struct Piece {
    id: PacketId,
    offset: usize,
    len: usize,
    chunks: Vec<Chunk>,
}

struct Datagram {
    serial: u64,
    due: Instant,
    port: PortId,
    group: bool,
    verified: bool,
    /// Codepoints of ECN that came, a bit for each.
    codepoints: u8,
    /// The header of the fragment at offset 0.
    header: Option<Header>,
    holes: Vec<Hole>,
    /// In order of their offsets.
    pieces: Vec<Piece>,
    memory: usize,
    /// Why fragments of it are refused until its time is over.
    condemned: Option<DropReason>,
}

/// CE, as bits.
const CE: u8 = 3;
/// Whether what is put together was marked by a router, where these codepoints came.
//= rfc3168#5.3
//# Reassembly of a fragmented packet MUST NOT lose indications of congestion.
// A mark beside what cannot be marked is one of two mistakes: the whole is discarded, as on Linux.
fn is_marked(codepoints: u8) -> Result<bool, DropReason> {
    match codepoints & 1 != 0 && codepoints != 1 {
        true => Err(DropReason::FragmentMarks),
        false => Ok(codepoints >> CE & 1 != 0),
    }
}

/// One fragment as it came: `packet` begins behind its header.
pub struct Fragment {
    /// Its headers.
    pub header: Header,
    /// By this port.
    pub port: PortId,
    /// Sent to a group.
    pub group: bool,
    /// What it carries.
    pub packet: PacketBuf,
}

/// What became of a fragment.
pub enum Collected {
    /// The datagram is whole: its header as if it had never been fragmented, and what it carries.
    Whole(Header, PacketBuf),
    /// Others are missing.
    Waiting,
    /// It was discarded.
    Refused(DropReason),
}

/// A datagram whose time is over.
pub struct Expired {
    /// It was IPv6's.
    pub is_v6: bool,
    /// What an error would quote, if the first fragment is there.
    pub first: Option<Box<Quote>>,
}

/// The incomplete datagrams of one host.
pub struct Reassembly {
    datagrams: HashMap<Key, Datagram, KeyedHash>,
    per_source: HashMap<IpAddr, u16, KeyedHash>,
    /// In order of their timeouts.
    agenda: BTreeMap<(Instant, u64), Key>,
    next_serial: u64,
    memory: usize,
}

impl Reassembly {
    /// Nothing to put together.
    pub fn new(cx: &mut Cx<'_>) -> Self {
        Self {
            datagrams: HashMap::with_hasher(KeyedHash::new(cx.rng)),
            per_source: HashMap::with_hasher(KeyedHash::new(cx.rng)),
            agenda: BTreeMap::new(),
            next_serial: 0,
            memory: 0,
        }
    }

    /// Takes a fragment in.
    pub fn collect(&mut self, fragment: Fragment, cx: &mut Cx<'_>) -> Collected {
        let Fragment { header, packet, .. } = &fragment;
        let key = header.key();
        let len = packet.len();
        let end = header.offset() + len;
        let ragged = header.has_more() && len % 8 != 0;
        if len == 0 || ragged || end + header.counted_len() > MAX_DATAGRAM {
            return self.refuse(fragment, DropReason::FragmentMalformed, cx);
        }
        if !self.datagrams.contains_key(&key) && !self.open(key, &fragment, cx.now) {
            return self.refuse(fragment, DropReason::ReassemblyFull, cx);
        }
        let datagram = self
            .datagrams
            .get_mut(&key)
            .expect("it was there or has just been opened");
        match datagram.place(&fragment) {
            Ok(hole) => {
                let last = fragment.packet.id();
                self.memory += datagram.fill_hole(hole, fragment, cx);
                match datagram.holes.is_empty() {
                    true => self.finish(key, last, cx),
                    false => {
                        self.shed(key, cx);
                        Collected::Waiting
                    }
                }
            }
            Err(reason) => {
                if reason == DropReason::FragmentOverlap {
                    self.condemn(key, reason, cx);
                }
                self.refuse(fragment, reason, cx)
            }
        }
    }

    /// The next datagram whose time is over by `cx.now`; its fragments are counted as discarded.
    pub fn poll_expired(&mut self, cx: &mut Cx<'_>) -> Option<Expired> {
        let ((due, _), key) = self.agenda.first_key_value()?;
        if *due > cx.now {
            return None;
        }
        let key = *key;
        let datagram = self.remove(key)?;
        let first = datagram.quote(cx);
        datagram.discard(DropReason::ReassemblyTimeout, cx);
        Some(Expired {
            is_v6: key.src.is_ipv6(),
            first,
        })
    }

    /// When the next one's time is over.
    pub fn poll_at(&self) -> Option<Instant> {
        self.agenda.first_key_value().map(|((due, _), _)| *due)
    }

    /// Memory of all incomplete datagrams, bytes.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.memory
    }

    fn open(&mut self, key: Key, fragment: &Fragment, now: Instant) -> bool {
        let count = self.per_source.entry(key.src).or_insert(0);
        if *count >= PER_SOURCE {
            return false;
        }
        *count += 1;
        let timeout = match key.src {
            IpAddr::V4(_) => TIMEOUT,
            IpAddr::V6(_) => TIMEOUT_V6,
        };
        let (serial, due) = (self.next_serial, now + timeout);
        self.next_serial += 1;
        self.agenda.insert((due, serial), key);
        self.memory += ENTRY_COST;
        let datagram = Datagram {
            serial,
            due,
            port: fragment.port,
            group: false,
            verified: true,
            codepoints: 0,
            header: None,
            holes: alloc::vec![Hole {
                first: 0,
                last: ENDLESS
            }],
            pieces: Vec::new(),
            memory: ENTRY_COST,
            condemned: None,
        };
        self.datagrams.insert(key, datagram);
        true
    }

    fn finish(&mut self, key: Key, last: PacketId, cx: &mut Cx<'_>) -> Collected {
        let mut datagram = self.remove(key).expect("it has just been completed");
        let mut header = datagram
            .header
            .expect("without holes the first piece is there");
        match is_marked(datagram.codepoints) {
            Ok(marked) => *header.tos() |= if marked { CE } else { 0 },
            Err(reason) => {
                datagram.pieces.retain(|piece| piece.id != last);
                datagram.discard(reason, cx);
                return Collected::Refused(reason);
            }
        }
        let mut packet = cx.pool.packet();
        let mut len = 0;
        for piece in datagram.pieces {
            len += piece.len;
            piece.chunks.into_iter().for_each(|c| packet.append(c));
        }
        packet.set_sum(match datagram.verified {
            true => Sum::Verified,
            false => Sum::Unverified,
        });
        Collected::Whole(header.whole(len), packet)
    }

    /// Over the bound the oldest datagrams go, but not the one that a fragment has just come for.
    fn shed(&mut self, newest: Key, cx: &mut Cx<'_>) {
        while self.memory > MEMORY {
            let Some(key) = self.agenda.values().copied().find(|key| *key != newest) else {
                return;
            };
            if let Some(datagram) = self.remove(key) {
                datagram.discard(DropReason::ReassemblyFull, cx);
            }
        }
    }

    fn condemn(&mut self, key: Key, reason: DropReason, cx: &mut Cx<'_>) {
        let Some(datagram) = self.datagrams.get_mut(&key) else {
            return;
        };
        datagram.condemned = Some(reason);
        self.memory -= datagram.memory - ENTRY_COST;
        datagram.memory = ENTRY_COST;
        for piece in core::mem::take(&mut datagram.pieces) {
            cx.lost(piece.id, reason);
        }
    }

    fn refuse(&mut self, fragment: Fragment, reason: DropReason, cx: &mut Cx<'_>) -> Collected {
        cx.pool.recycle(fragment.packet);
        Collected::Refused(reason)
    }

    fn remove(&mut self, key: Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&key)?;
        self.agenda.remove(&(datagram.due, datagram.serial));
        self.memory -= datagram.memory;
        if let Some(count) = self.per_source.get_mut(&key.src) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&key.src);
            }
        }
        Some(datagram)
    }
}

impl Datagram {
    /// The index of the hole that a fragment falls into, or why it does not fit.
    fn place(&self, fragment: &Fragment) -> Result<usize, DropReason> {
        if let Some(reason) = self.condemned {
            return Err(reason);
        }
        let (first, len) = (fragment.header.offset(), fragment.packet.len());
        let last = first + len - 1;
        let index = self.holes.partition_point(|hole| hole.last < first);
        match self.holes.get(index) {
            Some(hole) if hole.first <= first && last <= hole.last => {
                // The last fragment must be behind all others, and only one can be the last.
                match fragment.header.has_more() || hole.last == ENDLESS {
                    true => Ok(index),
                    false => Err(DropReason::FragmentMalformed),
                }
            }
            _ if self.is_duplicate(first, fragment) => Err(DropReason::FragmentDuplicate),
            _ => Err(DropReason::FragmentOverlap),
        }
    }
    fn is_duplicate(&self, offset: usize, fragment: &Fragment) -> bool {
        let found = self.pieces.binary_search_by_key(&offset, |p| p.offset);
        let Some(piece) = found.ok().and_then(|index| self.pieces.get(index)) else {
            return false;
        };
        let (head, body) = (fragment.packet.head(), fragment.packet.body());
        let body = body.iter().flat_map(|chunk| chunk.bytes().iter());
        let known = piece.chunks.iter().flat_map(|chunk| chunk.bytes().iter());
        piece.len == fragment.packet.len() && known.eq(head.iter().chain(body))
    }
    /// RFC 815 3, steps 4 to 6. Returns the memory that the piece takes.
    fn fill_hole(&mut self, index: usize, mut fragment: Fragment, cx: &mut Cx<'_>) -> usize {
        let header = &fragment.header;
        let (first, len) = (header.offset(), fragment.packet.len());
        let last = first + len - 1;
        let hole = self.holes.remove(index);
        if last < hole.last && header.has_more() {
            self.holes.insert(
                index,
                Hole {
                    first: last + 1,
                    last: hole.last,
                },
            );
        }
        if hole.first < first {
            self.holes.insert(
                index,
                Hole {
                    first: hole.first,
                    last: first - 1,
                },
            );
        }
        if first == 0 {
            self.header = Some(fragment.header);
        }
        self.group |= fragment.group;
        self.verified &= fragment.packet.sum() != Sum::Unverified;
        self.codepoints |= 1 << (*fragment.header.tos() & CE);
        let piece = Piece {
            id: fragment.packet.id(),
            offset: first,
            len,
            chunks: fragment
                .packet
                .take_payload()
                .into_iter()
                .map(Chunk::compact)
                .collect(),
        };
        cx.pool.recycle(fragment.packet);
        let pinned = piece.chunks.iter().map(Chunk::pinned);
        let memory = pinned.fold(PIECE_COST, usize::saturating_add);
        let at = self.pieces.partition_point(|p| p.offset < first);
        self.pieces.insert(at, piece);
        self.memory += memory;
        memory
    }
    /// The first fragment as an error would quote it.
    fn quote(&self, cx: &mut Cx<'_>) -> Option<Box<Quote>> {
        let header = self.header?;
        let first = self.pieces.first()?;
        let mut packet = cx.pool.packet();
        first.chunks.iter().for_each(|c| packet.append(c.clone()));
        let quote = match header {
            Header::V4(ip) => Quote::new(&ip, self.port, self.group, &packet),
            Header::V6(ip, fragment) => {
                fragment.emit(packet.push(FRAGMENT_LEN));
                // As it stood on the cable.
                let on_cable = Ipv6Header {
                    src: zone::bare(ip.src),
                    dst: zone::bare(ip.dst),
                    next_header: next_header::FRAGMENT,
                    ..ip
                };
                on_cable.emit(packet.push(HEADER_LEN));
                let (ends, places) = (
                    (ip.src.into(), ip.dst.into()),
                    (HEADER_LEN, HEADER_LEN + FRAGMENT_LEN),
                );
                Quote::whole(ends, self.port, self.group, &packet, places)
            }
        };
        cx.pool.recycle(packet);
        Some(Box::new(quote))
    }
    fn discard(self, reason: DropReason, cx: &mut Cx<'_>) {
        for piece in self.pieces {
            cx.lost(piece.id, reason);
        }
    }
}
