//! Joining frames back into a super-segment: only what cutting would restore byte for byte.
use core::ops::Range;

use super::cut::{HeaderSums, Piece, is_ipv6};
use super::{Chunk, Cut, HEAD_LEN, PacketBuf, Sum};
use crate::ipv4::{self, Ipv4Header};
use crate::ipv6::{self, Ipv6Header};
use crate::tcp::{self, Flags, TcpHeader};
use crate::{EtherType, checksum, ethernet};

/// Flags that only a frame of its own carries.
const NEVER_MERGED: u8 = (Flags::SYN.0 | Flags::RST.0 | Flags::URG.0) as u8;
/// Flags that only the last frame of a super-segment carries.
const LAST_ONLY: u8 = (Flags::FIN.0 | Flags::PSH.0) as u8;

/// A TCP segment over IP whose headers are in the head; offsets count from the packet's first byte.
#[derive(Clone)]
struct Segment {
    l3: usize,
    l4: usize,
    payload: Range<usize>,
}
impl Segment {
    fn total_len(&self) -> usize {
        self.payload.end - self.l3
    }
    fn headers(&self) -> Range<usize> {
        self.l3..self.payload.start
    }
}

/// What is known of a packet to which others are being joined: its headers are written once, at the end.
#[derive(Default)]
pub struct Merging(Option<Joined>);

/// All that was joined so far, the first packet included.
struct Joined {
    whole: Segment,
    sums: HeaderSums,
    /// How many packets were joined to the first.
    others: usize,
    /// Payload bytes of each frame but the last.
    size: u16,
    /// The last frame's flags of [`LAST_ONLY`].
    last_flags: u8,
}

impl Merging {
    /// Joins `next` to `packet` if cutting the result would restore both byte for byte, else gives it back. What is left
    /// of `next`, without payload, comes back for reuse. Until [`Self::finish`] the headers of `packet` are those of its
    /// first frame; nothing else may touch it.
    pub fn add(
        &mut self,
        packet: &mut PacketBuf,
        mut next: PacketBuf,
    ) -> Result<PacketBuf, PacketBuf> {
        if self.0.is_none() {
            self.0 = Joined::first(packet);
        }
        let joined = self.0.as_mut();
        match joined.and_then(|joined| joined.accept(packet, &mut next)) {
            Some(header_len) => {
                next.move_payload(header_len, packet);
                Ok(next)
            }
            None => Err(next),
        }
    }
    /// Writes the headers of all that was joined: `packet` is then a super-segment, `ToFill`.
    pub fn finish(self, packet: &mut PacketBuf) {
        let Some(joined) = self.0 else {
            return;
        };
        if joined.others > 0 {
            joined.write_headers(packet);
        }
    }
}

impl Joined {
    /// Of the first packet, if another one may follow it.
    fn first(packet: &mut PacketBuf) -> Option<Self> {
        let whole = packet.segment()?;
        let size = match packet.0.cut {
            Some(cut) => cut.segment,
            None => u16::try_from(whole.payload.len()).ok()?,
        };
        let flags = packet.head().get(whole.l4 + tcp::FLAGS_AT)?;
        if flags & (NEVER_MERGED | LAST_ONLY) != 0 {
            return None;
        }
        let sums = HeaderSums::of(packet.head().get(whole.l3..whole.l4)?);
        Some(Self {
            whole,
            sums,
            others: 0,
            size,
            last_flags: 0,
        })
    }

    /// Counts `next` in if it is what cutting would write for the frame behind; where its payload begins.
    fn accept(&mut self, packet: &mut PacketBuf, next: &mut PacketBuf) -> Option<usize> {
        if next.0.cut.is_some() || self.last_flags != 0 {
            return None;
        }
        let header_len = self.whole.payload.start;
        let piece = self.piece_behind(next.len().checked_sub(header_len)?)?;
        let (last_flags, pseudo) = self.follows(packet, next, &piece)?;
        // The dearest questions come last, and their answer is not asked for again.
        if self.others == 0 && !self.is_exact(packet) {
            return None;
        }
        if packet.0.sum == Sum::Unverified {
            packet.0.sum = Sum::Verified;
        }
        if !next.has_exact_checksum(self.whole.l4, pseudo) {
            return None;
        }
        self.others += 1;
        self.last_flags = last_flags;
        self.whole.payload.end += piece.payload.len();
        Some(header_len)
    }

    /// The frame behind that cutting would write for a payload of this length, if this is whole frames, the next one is no
    /// longer than they are and all together fit an IP packet.
    fn piece_behind(&self, len: usize) -> Option<Piece> {
        let (whole, size) = (&self.whole, usize::from(self.size));
        let start = whole.payload.len();
        let index = start.checked_div(size)?;
        let fits = start == index * size
            && (1..=size).contains(&len)
            && whole.total_len() + len <= usize::from(u16::MAX);
        fits.then(|| Piece {
            index: index as u16,
            payload: start..start + len,
            last: false,
        })
    }

    /// Whether the headers of `next` are what cutting would write for this piece, but for the checksum of TCP; its flags
    /// of [`LAST_ONLY`], and the sum of the pseudo-header.
    fn follows(&self, first: &PacketBuf, next: &mut PacketBuf, piece: &Piece) -> Option<(u8, u16)> {
        let Segment { l3, l4, .. } = self.whole;
        let header_len = self.whole.payload.start;
        let mut expected = [0; HEAD_LEN];
        let expected = expected.get_mut(..header_len)?;
        expected.copy_from_slice(first.head().get(..header_len)?);
        piece.write_headers(&mut expected[l3..], l4 - l3, &self.sums);

        let actual = next.peek(header_len).ok()?;
        let last_flags = actual[l4 + tcp::FLAGS_AT] & LAST_ONLY;
        expected[l4 + tcp::FLAGS_AT] |= last_flags;
        let field = l4 + tcp::CHECKSUM_AT..l4 + tcp::CHECKSUM_AT + 2;
        let pseudo = u16::from_be_bytes([expected[field.start], expected[field.start + 1]]);
        expected[field.clone()].copy_from_slice(&actual[field]);
        (expected == actual).then_some((last_flags, pseudo))
    }

    /// Whether the checksum of the first packet is the very one that `fill` would write.
    fn is_exact(&self, first: &PacketBuf) -> bool {
        let tcp_len = self.whole.payload.end - self.whole.l4;
        first.has_exact_checksum(self.whole.l4, self.sums.pseudo_header(tcp_len))
    }

    fn write_headers(self, packet: &mut PacketBuf) {
        let Self {
            whole,
            sums,
            others: _,
            size,
            last_flags,
        } = self;
        let start = usize::from(packet.0.start);
        let headers = &mut packet.0.head[start..][whole.headers()];
        let (ip, tcp) = headers.split_at_mut(whole.l4 - whole.l3);
        tcp[tcp::FLAGS_AT] |= last_flags;
        sums.write_len(ip, tcp, whole.total_len());
        let (l3, l4) = ((start + whole.l3) as u8, (start + whole.l4) as u8);
        packet.0.sum = Sum::ToFill {
            start: l4,
            offset: l4 + tcp::CHECKSUM_AT as u8,
        };
        packet.0.cut = Some(Cut {
            segment: size,
            l3,
            l4,
        });
    }
}

impl PacketBuf {
    /// The opposite of [`Self::cut`]: joins `next` if cutting the result would restore both byte for byte, else gives it
    /// back. The result is `ToFill` and keeps this packet's id. Both begin with their Ethernet header (tagged or not) or,
    /// on a port without Ethernet, with their IP header; no padding behind. To join many, keep a [`Merging`].
    pub fn merge(&mut self, next: PacketBuf) -> Result<(), PacketBuf> {
        let mut merging = Merging::default();
        merging.add(self, next)?;
        merging.finish(self);
        Ok(())
    }

    /// Moves what stands behind the headers to the end of another packet.
    fn move_payload(&mut self, header_len: usize, to: &mut PacketBuf) {
        self.0.start += header_len as u8;
        if !self.head().is_empty() {
            to.0.body.push(Chunk::copy_from(self.head()));
        }
        self.0.end = self.0.start;
        for chunk in self.0.body.drain(..) {
            to.join(chunk);
        }
    }

    /// Appends payload, as one chunk with the last where both are neighbours in memory: frames that were cut here.
    fn join(&mut self, chunk: Chunk) {
        let rest = match self.0.body.last_mut() {
            Some(last) => last.join(chunk),
            None => Err(chunk),
        };
        if let Err(chunk) = rest {
            self.0.body.push(chunk);
        }
    }

    /// A TCP segment with data, behind an Ethernet header or not.
    fn segment(&mut self) -> Option<Segment> {
        match self.ethernet_payload() {
            Some(l3) => self.segment_at(l3).or_else(|| self.segment_at(0)),
            None => self.segment_at(0),
        }
    }

    /// Where IP begins if this is an Ethernet frame that carries it.
    fn ethernet_payload(&mut self) -> Option<usize> {
        let mut l3 = ethernet::HEADER_LEN;
        let ether = crate::EthernetHeader::parse(self.peek(l3).ok()?).ok()?;
        let mut ethertype = ether.ethertype;
        if ethertype == EtherType::VLAN {
            let tag = self.peek(l3 + ethernet::TAG_LEN).ok()?;
            ethertype = crate::VlanTag::parse(tag.get(l3..)?).ok()?.ethertype;
            l3 += ethernet::TAG_LEN;
        }
        matches!(ethertype, EtherType::IPV4 | EtherType::IPV6).then_some(l3)
    }

    /// A whole, unfragmented TCP segment with data in an IP packet that begins at `l3` and ends where the frame does.
    fn segment_at(&mut self, l3: usize) -> Option<Segment> {
        let v6 = is_ipv6(self.peek(l3 + 1).ok()?.get(l3..)?);
        let (l4, end) = match v6 {
            true => self.behind_ipv6(l3)?,
            false => self.behind_ipv4(l3)?,
        };
        let tcp = self.peek(l4 + tcp::MIN_HEADER_LEN).ok()?.get(l4..)?;
        let payload_at = l4 + TcpHeader::len_of(*tcp.get(12)?).ok()?;
        self.peek(payload_at).ok()?;
        (end == self.len() && payload_at < end).then_some(Segment {
            l3,
            l4,
            payload: payload_at..end,
        })
    }
    /// Where TCP begins behind an IPv4 header at `l3`, and where the packet ends.
    fn behind_ipv4(&mut self, l3: usize) -> Option<(usize, usize)> {
        let first = *self.peek(l3 + 1).ok()?.get(l3)?;
        let l4 = l3 + Ipv4Header::len_of(first).ok()?;
        let bytes = self.peek(l4).ok()?.get(l3..)?;
        let ip = Ipv4Header::parse(bytes).ok()?;
        let field_is_canonical = bytes.get(10..12)? != [0xff, 0xff];
        let whole = !ip.more_fragments && ip.fragment_offset == 0;
        let is_tcp = ip.protocol == ipv4::protocol::TCP;
        (field_is_canonical && whole && is_tcp).then_some((l4, l3 + usize::from(ip.total_len)))
    }
    /// The same for IPv6 without extension headers.
    fn behind_ipv6(&mut self, l3: usize) -> Option<(usize, usize)> {
        let l4 = l3 + ipv6::HEADER_LEN;
        let ip = Ipv6Header::parse(self.peek(l4).ok()?.get(l3..)?).ok()?;
        let is_tcp = ip.next_header == ipv4::protocol::TCP;
        is_tcp.then_some((l4, l4 + usize::from(ip.payload_len)))
    }

    /// Whether the checksum of TCP at `l4`, behind a pseudo-header of this sum, is the very one that `fill` would write.
    fn has_exact_checksum(&self, l4: usize, pseudo: u16) -> bool {
        let at = l4 + tcp::CHECKSUM_AT;
        let Some(&[high, low]) = self.head().get(at..at + 2) else {
            return false;
        };
        let field = u16::from_be_bytes([high, low]);
        let (l4, at) = (self.0.start + l4 as u8, self.0.start + at as u8);
        match self.0.sum {
            Sum::ToFill { start, offset } => start == l4 && offset == at && field == pseudo,
            Sum::Verified | Sum::Unverified => {
                // Taking the field out again leaves a folded sum that is not zero, so the complement is the field that
                // filling would write.
                let rest = checksum::add(self.ones_complement_from(l4), !field);
                field == !checksum::add(rest, pseudo)
            }
        }
    }
}
