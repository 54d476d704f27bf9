//! Super-segments: the one function that cuts them into frames.
use alloc::vec::Vec;
use core::ops::Range;

use super::{Chunk, Cut, PacketBuf, Pool, Sum};
use crate::checksum;
use crate::ipv4::{self, Ipv4Header};
use crate::ipv6::{self, next_header};
use crate::tcp::{self, Flags, TcpHeader};

/// The frames of one cut packet, in order.
pub struct Cuts {
    frames: alloc::vec::IntoIter<PacketBuf>,
}
impl Iterator for Cuts {
    type Item = PacketBuf;
    fn next(&mut self) -> Option<PacketBuf> {
        self.frames.next()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.frames.size_hint()
    }
}
impl ExactSizeIterator for Cuts {}

/// What of a super-segment is not header.
struct Payload {
    /// Where it begins in the head array.
    at: usize,
    len: usize,
}

impl PacketBuf {
    /// How many frames this is once cut; 1 without a cut.
    #[inline]
    pub fn frames(&self) -> u32 {
        match self.0.cut {
            Some(cut) => self.payload_to_cut(cut).map_or(1, |payload| {
                payload.len.div_ceil(usize::from(cut.segment)) as u32
            }),
            None => 1,
        }
    }
    /// Length of the longest frame once cut (header bytes in front of the payload included).
    #[inline]
    pub fn frame_len(&self) -> usize {
        match self
            .0
            .cut
            .and_then(|cut| Some((cut, self.payload_to_cut(cut)?)))
        {
            Some((cut, payload)) => {
                payload.at.saturating_sub(usize::from(self.0.start)) + usize::from(cut.segment)
            }
            None => self.len(),
        }
    }
    /// The one function that cuts: frames of at most `segment` payload bytes, headers repeated, sequence numbers, IPv4
    /// identification and lengths advanced, FIN and PSH on the last only, CWR on the first only, the urgent pointer where
    /// it still points ahead. Frames share the payload, keep the id and are `ToFill`. A packet that is one frame already
    /// comes back as it is, without the plan; so does one whose plan does not stand on IP and TCP headers in the head.
    pub fn cut(mut self, pool: &mut Pool) -> Cuts {
        let mut frames = Vec::new();
        match self.0.cut.take() {
            Some(cut) => match self.payload_to_cut(cut) {
                Some(payload) if self.0.start <= cut.l3 => {
                    frames.reserve_exact(payload.len.div_ceil(usize::from(cut.segment)));
                    self.cut_payload(cut, &payload, pool, &mut frames);
                    pool.recycle(self);
                }
                _ => frames.push(self),
            },
            None => frames.push(self),
        }
        Cuts {
            frames: frames.into_iter(),
        }
    }

    fn cut_payload(
        &mut self,
        cut: Cut,
        payload: &Payload,
        pool: &mut Pool,
        frames: &mut Vec<PacketBuf>,
    ) {
        let used = usize::from(self.0.start)..payload.at;
        let in_head = &self.0.head[payload.at..usize::from(self.0.end)];
        if !in_head.is_empty() {
            let chunk = Chunk::copy_from(in_head);
            self.0.body.insert(0, chunk);
        }
        let mut chunks = Cursor::new(&self.0.body);
        let (l3, l4) = (usize::from(cut.l3), usize::from(cut.l4));
        let sums = self.sums_of(cut, payload);
        for offset in (0..payload.len).step_by(usize::from(cut.segment)) {
            let len = usize::from(cut.segment).min(payload.len - offset);
            let mut frame = pool.empty(self.0.id);
            frame.0.head[used.clone()].copy_from_slice(&self.0.head[used.clone()]);
            (frame.0.start, frame.0.end) = (self.0.start, payload.at as u8);
            chunks.take(len, &mut frame.0.body);
            let piece = Piece {
                index: frames.len() as u16,
                payload: offset..offset + len,
                last: offset + len == payload.len,
            };
            piece.write_headers(&mut frame.0.head[l3..payload.at], l4 - l3, &sums);
            frame.0.sum = Sum::ToFill {
                start: cut.l4,
                offset: cut.l4 + tcp::CHECKSUM_AT as u8,
            };
            frames.push(frame);
        }
    }

    /// What the headers of all frames add to their checksums.
    fn sums_of(&self, cut: Cut, payload: &Payload) -> HeaderSums {
        let (l3, l4) = (usize::from(cut.l3), usize::from(cut.l4));
        let (ip, tcp) = self.0.head[l3..payload.at].split_at(l4 - l3);
        let offset = cut.l4 + tcp::CHECKSUM_AT as u8;
        let start = cut.l4;
        match self.0.sum == (Sum::ToFill { start, offset }) && has_extensions(ip) {
            true => HeaderSums::of_field(tcp, tcp.len() + payload.len),
            false => HeaderSums::of(ip),
        }
    }

    /// The payload behind TCP over IP headers; `None` if they are not where the plan says or one frame holds it all.
    fn payload_to_cut(&self, cut: Cut) -> Option<Payload> {
        let (l3, l4) = (usize::from(cut.l3), usize::from(cut.l4));
        if !carries_tcp(self.0.head.get(l3..l4)?) {
            return None;
        }
        let at = l4 + TcpHeader::len_of(*self.0.head.get(l4 + 12)?).ok()?;
        let in_head = usize::from(self.0.end).checked_sub(at)?;
        let len = in_head + self.body_len();
        (cut.segment > 0 && len > usize::from(cut.segment)).then_some(Payload { at, len })
    }
}

/// Which part of a super-segment a frame is.
pub(super) struct Piece {
    /// Its place among the frames.
    pub(super) index: u16,
    /// Its bytes of the payload.
    pub(super) payload: Range<usize>,
    /// Whether none follows.
    pub(super) last: bool,
}
impl Piece {
    /// Turns the headers of the super-segment (IP first, TCP from `l4`, nothing behind) into this frame's, its checksum
    /// `ToFill`.
    pub(super) fn write_headers(&self, headers: &mut [u8], l4: usize, sums: &HeaderSums) {
        let total_len = headers.len() + self.payload.len();
        let (ip, tcp) = headers.split_at_mut(l4);
        if !is_ipv6(ip) {
            advance(&mut ip[4..6], self.index);
        }
        let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let seq = seq.wrapping_add(self.payload.start as u32);
        tcp[4..8].copy_from_slice(&seq.to_be_bytes());
        tcp[tcp::FLAGS_AT] &= !self.flags_elsewhere();
        self.write_urgent(tcp);
        sums.write_len(ip, tcp, total_len);
    }
    /// Bits of byte 13 that other frames carry.
    fn flags_elsewhere(&self) -> u8 {
        let mut bits = Flags::default();
        if self.index > 0 {
            bits = bits | Flags::CWR;
        }
        if !self.last {
            bits = bits | Flags::FIN | Flags::PSH;
        }
        bits.0 as u8
    }
    /// The pointer counts from the frame's own sequence number (RFC 9293 3.1).
    fn write_urgent(&self, tcp: &mut [u8]) {
        if tcp[13] & Flags::URG.0 as u8 == 0 {
            return;
        }
        let urgent = usize::from(u16::from_be_bytes([tcp[18], tcp[19]]));
        let ahead = urgent.saturating_sub(self.payload.start) as u16;
        tcp[18..20].copy_from_slice(&ahead.to_be_bytes());
        if ahead == 0 && self.index > 0 {
            tcp[13] &= !(Flags::URG.0 as u8);
        }
    }
}

/// Whether this header of a network protocol is IPv6's, and not IPv4's.
pub(super) fn is_ipv6(ip: &[u8]) -> bool {
    ip.first().is_some_and(|first| first >> 4 == 6)
}

/// Whether IPv6's own header is not the only one in front of the transport header.
fn has_extensions(ip: &[u8]) -> bool {
    is_ipv6(ip) && ip.len() > ipv6::HEADER_LEN
}

/// Whether this is a whole IP header with TCP right behind it, or behind extension headers that each frame can repeat.
fn carries_tcp(ip: &[u8]) -> bool {
    match ip {
        [_, ..] if is_ipv6(ip) => carries_tcp_over_ipv6(ip),
        [first, ..] => Ipv4Header::len_of(*first) == Ok(ip.len()) && ip[9] == ipv4::protocol::TCP,
        [] => false,
    }
}

/// The same of IPv6: options and routing headers say the same in each frame; a fragment's or an authentication's would not.
fn carries_tcp_over_ipv6(ip: &[u8]) -> bool {
    let Some((header, mut extensions)) = ip.split_at_checked(ipv6::HEADER_LEN) else {
        return false;
    };
    let mut next_header = header[6];
    while let next_header::HOP_BY_HOP | next_header::ROUTING | next_header::DESTINATION =
        next_header
        && let [next, len, ..] = *extensions
    {
        let Some(behind) = extensions.get(ipv6::extension_len([next, len])..) else {
            return false;
        };
        (next_header, extensions) = (next, behind);
    }
    extensions.is_empty() && next_header == ipv4::protocol::TCP
}

/// What the headers of all frames of one super-segment add to their checksums, folded.
pub(super) struct HeaderSums {
    /// The IPv4 header without what differs: length, identification and the checksum itself.
    ip: u16,
    /// The addresses in the pseudo-header of TCP.
    addresses: u16,
}
impl HeaderSums {
    /// Of a whole IP header.
    pub(super) fn of(ip: &[u8]) -> Self {
        if is_ipv6(ip) {
            let addresses = checksum::sum(&ip[8..ipv6::HEADER_LEN]);
            return Self { ip: 0, addresses };
        }
        let addresses = checksum::sum(&ip[12..20]);
        let rest = checksum::add(checksum::sum(&ip[..2]), checksum::sum(&ip[6..10]));
        let options = checksum::sum(&ip[20..]);
        Self {
            ip: checksum::add(checksum::add(rest, options), addresses),
            addresses,
        }
    }
    /// Of an IPv6 packet with extension headers whose TCP header of this length, payload included, is `ToFill`: a router on
    /// the way may be where its header says that it goes (RFC 8200 8.1), and whoever wrote the field knew where it ends.
    fn of_field(tcp: &[u8], tcp_len: usize) -> Self {
        let field = u16::from_be_bytes([tcp[tcp::CHECKSUM_AT], tcp[tcp::CHECKSUM_AT + 1]]);
        let rest = checksum::fold(tcp_len as u64 + u64::from(ipv4::protocol::TCP));
        let addresses = checksum::add(field, !rest);
        Self { ip: 0, addresses }
    }
    /// Writes the length of a packet into its IP header, IPv4's checksum anew, and the sum of the pseudo-header into the
    /// checksum field of TCP: `ToFill`.
    pub(super) fn write_len(&self, ip: &mut [u8], tcp: &mut [u8], total_len: usize) {
        if is_ipv6(ip) {
            let payload_len = (total_len - ipv6::HEADER_LEN) as u16;
            ip[4..6].copy_from_slice(&payload_len.to_be_bytes());
        } else {
            let len = (total_len as u16).to_be_bytes();
            ip[2..4].copy_from_slice(&len);
            let both = u32::from_be_bytes([len[0], len[1], ip[4], ip[5]]);
            let sum = checksum::fold(u64::from(self.ip) + u64::from(both));
            ip[10..12].copy_from_slice(&(!sum).to_be_bytes());
        }
        let pseudo_header = self.pseudo_header(total_len - ip.len());
        tcp[tcp::CHECKSUM_AT..tcp::CHECKSUM_AT + 2].copy_from_slice(&pseudo_header.to_be_bytes());
    }
    /// The sum of the pseudo-header of TCP for this length of header and payload.
    pub(super) fn pseudo_header(&self, tcp_len: usize) -> u16 {
        let protocol = u64::from(ipv4::protocol::TCP);
        checksum::fold(u64::from(self.addresses) + tcp_len as u64 + protocol)
    }
}

fn advance(field: &mut [u8], by: u16) {
    let value = u16::from_be_bytes([field[0], field[1]]).wrapping_add(by);
    field.copy_from_slice(&value.to_be_bytes());
}

/// Hands out slices of a list of chunks, front to back.
struct Cursor<'a> {
    chunks: &'a [Chunk],
    taken: usize,
}
impl<'a> Cursor<'a> {
    fn new(chunks: &'a [Chunk]) -> Self {
        Self { chunks, taken: 0 }
    }
    fn take(&mut self, mut len: usize, out: &mut Vec<Chunk>) {
        while let [chunk, rest @ ..] = self.chunks
            && len > 0
        {
            let n = len.min(chunk.len() - self.taken);
            out.push(chunk.slice(self.taken..self.taken + n));
            len -= n;
            self.taken += n;
            if self.taken == chunk.len() {
                (self.chunks, self.taken) = (rest, 0);
            }
        }
    }
}
