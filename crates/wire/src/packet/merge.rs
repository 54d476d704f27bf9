//! Joining frames back into a super-segment: only what cutting would restore byte for byte.
use core::ops::Range;

use super::cut::{Piece, pseudo_header_sum, write_pseudo_header_sum, write_total_len};
use super::{Cut, HEAD_LEN, PacketBuf, Sum};
use crate::ipv4::{self, Ipv4Header};
use crate::tcp::{self, Flags, TcpHeader};
use crate::{EtherType, checksum, ethernet};

/// Flags that only a frame of its own carries.
const NEVER_MERGED: u8 = (Flags::SYN.0 | Flags::RST.0 | Flags::URG.0) as u8;
/// Flags that only the last frame of a super-segment carries.
const LAST_ONLY: u8 = (Flags::FIN.0 | Flags::PSH.0) as u8;

/// A TCP segment over IPv4 whose headers are in the head; offsets count from the packet's first byte.
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
    /// How many frames of `size` payload bytes this is, if it is whole ones, `next` is no longer than one, their headers
    /// have one shape and both together fit an IPv4 packet.
    fn whole_frames_before(&self, next: &Self, size: u16) -> Option<u16> {
        let whole = usize::from(size);
        let index = self.payload.len().checked_div(whole)?;
        let fits = self.l3 == next.l3
            && self.l4 == next.l4
            && self.payload.start == next.payload.start
            && self.payload.len() == index * whole
            && next.payload.len() <= whole
            && self.total_len() + next.payload.len() <= usize::from(u16::MAX);
        fits.then_some(index as u16)
    }
}

impl PacketBuf {
    /// The opposite of [`Self::cut`]: joins `next` if cutting the result would restore both byte for byte, else gives it
    /// back. The result is `ToFill` and keeps this packet's id. Both begin with their Ethernet header (tagged or not) or,
    /// on a port without Ethernet, with their IPv4 header; no padding behind.
    pub fn merge(&mut self, mut next: PacketBuf) -> Result<(), PacketBuf> {
        match self.plan_merge(&mut next) {
            Some((segment, size, flags)) => {
                self.join(&segment, size, flags, next);
                Ok(())
            }
            None => Err(next),
        }
    }

    /// Where this packet's headers stand, the size of a frame's payload and the last frame's flags; `None` if the two
    /// don't belong together.
    fn plan_merge(&mut self, next: &mut PacketBuf) -> Option<(Segment, u16, u8)> {
        if next.0.cut.is_some() {
            return None;
        }
        let (mine, its) = (self.exact_segment()?, next.exact_segment()?);
        let size = match self.0.cut {
            Some(cut) => cut.segment,
            None => u16::try_from(mine.payload.len()).ok()?,
        };
        let index = mine.whole_frames_before(&its, size)?;
        let template = self.head().get(..mine.payload.start)?;
        let actual = next.head().get(..its.payload.start)?;
        let flags_at = mine.l4 + tcp::FLAGS_AT;
        if template.get(flags_at)? & (NEVER_MERGED | LAST_ONLY) != 0 {
            return None;
        }
        let last_flags = actual.get(flags_at)? & LAST_ONLY;

        // The headers that cutting would write for the frame behind this packet, and those of `next` once `ToFill`.
        let (mut cut, mut to_fill) = ([0; HEAD_LEN], [0; HEAD_LEN]);
        let cut = copy_into(&mut cut, template)?;
        *cut.get_mut(flags_at)? |= last_flags;
        let l4 = mine.l4 - mine.l3;
        let piece = Piece {
            index,
            payload: mine.payload.len()..mine.payload.len() + its.payload.len(),
            last: true,
        };
        piece.write_headers(cut.get_mut(mine.l3..)?, l4);
        let to_fill = copy_into(&mut to_fill, actual)?;
        let (ip, tcp) = to_fill.get_mut(its.l3..)?.split_at_mut_checked(l4)?;
        write_pseudo_header_sum(ip, tcp, its.total_len());
        (cut == to_fill).then_some((mine, size, last_flags))
    }

    /// Appends the payload and writes the headers of both together.
    fn join(&mut self, mine: &Segment, size: u16, flags: u8, mut next: PacketBuf) {
        let start = usize::from(self.0.start);
        // Both have the same header length: what is left behind it is payload.
        next.0.start += mine.payload.start as u8;
        let before = mine.total_len();
        let total_len = before + next.len();
        self.0.body.append(&mut next.take_payload());

        let headers = &mut self.0.head[start..][mine.headers()];
        let (ip, tcp) = headers.split_at_mut(mine.l4 - mine.l3);
        write_total_len(ip, total_len);
        tcp[tcp::FLAGS_AT] |= flags;
        write_pseudo_header_sum(ip, tcp, total_len);
        let (l3, l4) = ((start + mine.l3) as u8, (start + mine.l4) as u8);
        self.0.sum = Sum::ToFill {
            start: l4,
            offset: l4 + tcp::CHECKSUM_AT as u8,
        };
        self.0.cut = Some(Cut {
            segment: size,
            l3,
            l4,
        });
    }

    /// A TCP segment with data whose two checksums are the very ones that `cut` and `fill` would write.
    fn exact_segment(&mut self) -> Option<Segment> {
        let segment = match self.ethernet_payload() {
            Some(l3) => self.segment_at(l3).or_else(|| self.segment_at(0)),
            None => self.segment_at(0),
        }?;
        self.has_exact_checksum(&segment).then_some(segment)
    }

    /// Where IPv4 begins if this is an Ethernet frame that carries it.
    fn ethernet_payload(&mut self) -> Option<usize> {
        let mut l3 = ethernet::HEADER_LEN;
        let ether = crate::EthernetHeader::parse(self.peek(l3).ok()?).ok()?;
        let mut ethertype = ether.ethertype;
        if ethertype == EtherType::VLAN {
            let tag = self.peek(l3 + ethernet::TAG_LEN).ok()?;
            ethertype = crate::VlanTag::parse(tag.get(l3..)?).ok()?.ethertype;
            l3 += ethernet::TAG_LEN;
        }
        (ethertype == EtherType::IPV4).then_some(l3)
    }

    /// A whole, unfragmented TCP segment with data in an IPv4 packet that begins at `l3` and ends where the frame does.
    fn segment_at(&mut self, l3: usize) -> Option<Segment> {
        let first = *self.peek(l3 + 1).ok()?.get(l3)?;
        let l4 = l3 + Ipv4Header::len_of(first).ok()?;
        let ip_bytes = self.peek(l4).ok()?.get(l3..)?;
        let ip = Ipv4Header::parse(ip_bytes).ok()?;
        let field_is_canonical = ip_bytes.get(10..12)? != [0xff, 0xff];
        let whole = !ip.more_fragments && ip.fragment_offset == 0;
        if !field_is_canonical || !whole || ip.protocol != ipv4::protocol::TCP {
            return None;
        }
        let end = l3 + usize::from(ip.total_len);
        let tcp = self.peek(l4 + tcp::MIN_HEADER_LEN).ok()?.get(l4..)?;
        let payload_at = l4 + TcpHeader::len_of(*tcp.get(12)?).ok()?;
        self.peek(payload_at).ok()?;
        (end == self.len() && payload_at < end).then_some(Segment {
            l3,
            l4,
            payload: payload_at..end,
        })
    }

    fn has_exact_checksum(&self, segment: &Segment) -> bool {
        let Some(headers) = self.head().get(segment.headers()) else {
            return false;
        };
        let (ip, tcp) = headers.split_at(segment.l4 - segment.l3);
        let pseudo = pseudo_header_sum(ip, segment.total_len());
        let at = tcp::CHECKSUM_AT;
        let field = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let l4 = self.0.start + segment.l4 as u8;
        match self.0.sum {
            Sum::ToFill { start, offset } => {
                start == l4 && offset == l4 + at as u8 && field == pseudo
            }
            Sum::Verified | Sum::Unverified => {
                // Taking the field out again leaves a folded sum that is not zero, so the complement is the field that
                // filling would write.
                let rest = checksum::add(self.ones_complement_from(l4), !field);
                field == !checksum::add(rest, pseudo)
            }
        }
    }
}

fn copy_into<'a>(buffer: &'a mut [u8], bytes: &[u8]) -> Option<&'a mut [u8]> {
    let copy = buffer.get_mut(..bytes.len())?;
    copy.copy_from_slice(bytes);
    Some(copy)
}
