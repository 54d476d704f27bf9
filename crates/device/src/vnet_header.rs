//! `virtio_net_hdr`: what the kernel says about a packet, and how we say it (Virtual I/O Device 1.2, 5.1.6; Linux's
//! `include/uapi/linux/virtio_net.h`). Ten bytes in front of each frame, in the machine's own byte order.
//!
//! What does not fit its packet is not believed: the packet goes on as plain bytes, unverified, and whoever receives
//! it finds what is wrong with it and gives it a reason.
use heptad_stack::wire::ethernet::{HEADER_LEN, TAG_LEN};
use heptad_stack::wire::{Chunk, Cut, EtherType, PacketBuf, Pool, Sum, checksum};

/// Bytes of the header.
pub(crate) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;

/// TCP: the byte with its data offset, the one with its flags, and the bit that ECN sets there.
const TCP_OFFSET_AT: usize = 12;
const TCP_FLAGS_AT: usize = 13;
const TCP_CWR: u8 = 0x80;

/// The header's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VnetHeader {
    pub(crate) fn parse(bytes: &[u8; LEN]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = *bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([a, b]),
            gso_size: u16::from_ne_bytes([c, d]),
            csum_start: u16::from_ne_bytes([e, f]),
            csum_offset: u16::from_ne_bytes([g, h]),
        }
    }
    pub(crate) fn emit(self) -> [u8; LEN] {
        let Self {
            flags,
            gso_type,
            hdr_len,
            gso_size,
            csum_start,
            csum_offset,
        } = self;
        let mut bytes = [flags, gso_type, 0, 0, 0, 0, 0, 0, 0, 0];
        for (slot, field) in
            bytes[2..]
                .chunks_exact_mut(2)
                .zip([hdr_len, gso_size, csum_start, csum_offset])
        {
            slot.copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }

    /// What the kernel is to know of a packet of ours.
    pub(crate) fn of(packet: &PacketBuf) -> Self {
        let mut header = Self::default();
        let base = packet.head_start();
        if let Sum::ToFill { start, offset } = packet.sum()
            && let (Some(at), Some(field)) = (start.checked_sub(base), offset.checked_sub(start))
        {
            header.flags = NEEDS_CSUM;
            header.csum_start = at.into();
            header.csum_offset = field.into();
        }
        // The kernel cuts only what it is to fill as well, and so do we.
        if header.flags == NEEDS_CSUM
            && let Some(cut) = packet.cut_plan()
        {
            header.plan_cut(packet, cut);
        }
        header
    }
    /// A super-segment: left out where it is one frame already.
    fn plan_cut(&mut self, packet: &PacketBuf, cut: Cut) {
        let base = packet.head_start();
        let (Some(l3), Some(l4)) = (cut.l3.checked_sub(base), cut.l4.checked_sub(base)) else {
            return;
        };
        let (head, l3, l4) = (packet.head(), usize::from(l3), usize::from(l4));
        let (Some(version), Some(offset), Some(flags)) = (
            head.get(l3).map(|byte| byte >> 4),
            head.get(l4 + TCP_OFFSET_AT),
            head.get(l4 + TCP_FLAGS_AT),
        ) else {
            return;
        };
        let headers = l4 + usize::from(offset >> 4) * 4;
        if packet.len() <= headers + usize::from(cut.segment) {
            return;
        }
        let ecn = if flags & TCP_CWR != 0 { GSO_ECN } else { 0 };
        self.gso_type = ecn | if version == 6 { GSO_TCPV6 } else { GSO_TCPV4 };
        self.gso_size = cut.segment;
        self.hdr_len = u16::try_from(headers).unwrap_or(u16::MAX);
    }

    /// A packet of the kernel's: `frame` is what follows this header; `ethernet` tells whether it begins with such a one.
    pub(crate) fn packet(self, mut frame: Frame, ethernet: bool, pool: &mut Pool) -> PacketBuf {
        let to_fill = self.flags & NEEDS_CSUM != 0;
        let start = usize::from(self.csum_start);
        let field = start + usize::from(self.csum_offset);
        if to_fill && !fits_head(start, field) {
            // Behind more headers than the head of a packet holds: filled here.
            let filled = frame.fill(start, field);
            let mut packet = pool.from_chunk(frame.into_chunk());
            packet.set_sum(if filled {
                Sum::Verified
            } else {
                Sum::Unverified
            });
            return packet;
        }
        let mut packet = pool.from_chunk(frame.into_chunk());
        if to_fill {
            self.mark_to_fill(&mut packet, start, field);
            if packet.sum() != Sum::Unverified {
                self.mark_cut(&mut packet, start, ethernet);
            }
        } else if self.flags & DATA_VALID != 0 {
            packet.set_sum(Sum::Verified);
        }
        packet
    }
    fn mark_to_fill(self, packet: &mut PacketBuf, start: usize, field: usize) {
        if packet.peek(field + 2).is_err() {
            return;
        }
        let base = usize::from(packet.head_start());
        if let (Ok(start), Ok(offset)) = (u8::try_from(base + start), u8::try_from(base + field)) {
            packet.set_sum(Sum::ToFill { start, offset });
        }
    }
    fn mark_cut(self, packet: &mut PacketBuf, l4: usize, ethernet: bool) {
        let kind = self.gso_type & !GSO_ECN;
        let is_tcp = matches!(kind, GSO_TCPV4 | GSO_TCPV6);
        if kind == GSO_NONE || !is_tcp || self.gso_size == 0 {
            return;
        }
        let Some((l3, headers)) = headers_of(packet, l4, ethernet) else {
            return;
        };
        if packet.len() <= headers + usize::from(self.gso_size) {
            return;
        }
        let base = usize::from(packet.head_start());
        if let (Ok(l3), Ok(l4)) = (u8::try_from(base + l3), u8::try_from(base + l4)) {
            let segment = self.gso_size;
            packet.set_cut(Some(Cut { segment, l3, l4 }));
        }
    }
}

/// Whether a checksum field at this place can stay to be filled: the head of a packet holds it.
fn fits_head(start: usize, field: usize) -> bool {
    // A packet from outside has 64 bytes of room in front; what `peek` can bring into the head is what counts.
    const MOST: usize = 128;
    start < field && field + 2 <= MOST
}

/// Where the network header begins and where the payload behind TCP's does, both brought into the head.
fn headers_of(packet: &mut PacketBuf, l4: usize, ethernet: bool) -> Option<(usize, usize)> {
    let tcp = packet.peek(l4 + TCP_FLAGS_AT + 1).ok()?;
    let headers = l4 + usize::from(tcp.get(l4 + TCP_OFFSET_AT)? >> 4) * 4;
    let head = packet.peek(headers).ok()?;
    let l3 = match ethernet {
        false => 0,
        true => match head.get(HEADER_LEN - 2..HEADER_LEN)? {
            ethertype if *ethertype == EtherType::VLAN.0.to_be_bytes() => HEADER_LEN + TAG_LEN,
            _ => HEADER_LEN,
        },
    };
    (l3 < l4 && headers > l4).then_some((l3, headers))
}

/// What was read: an allocation, and where in it the frame begins.
pub(crate) struct Frame {
    bytes: Vec<u8>,
    at: usize,
}
impl Frame {
    /// The bytes of `bytes` from `at` on. Panics if there are fewer.
    pub(crate) fn new(bytes: Vec<u8>, at: usize) -> Self {
        assert!(at <= bytes.len(), "a frame begins inside of what was read");
        Self { bytes, at }
    }
    /// Fills a checksum in place; whether its place exists.
    fn fill(&mut self, start: usize, field: usize) -> bool {
        let frame = &mut self.bytes[self.at..];
        let Some(summed) = frame.get(start..) else {
            return false;
        };
        let sum = match !checksum::sum(summed) {
            //= rfc768#Fields
            //# If the computed checksum is zero, it is transmitted as all ones
            // Only UDP's field stands 6 bytes into its header.
            0 if field == start + 6 => 0xffff,
            sum => sum,
        };
        match frame.get_mut(field..field + 2) {
            Some(slot) if field >= start => {
                slot.copy_from_slice(&sum.to_be_bytes());
                true
            }
            _ => false,
        }
    }
    fn into_chunk(self) -> Chunk {
        let pinned = self.bytes.capacity();
        let mut bytes = bytes::Bytes::from(self.bytes);
        bytes::Buf::advance(&mut bytes, self.at);
        Chunk::new(bytes, pinned)
    }
}

#[cfg(test)]
mod tests;
