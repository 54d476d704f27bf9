//! The packet buffer: headers in an owned head with headroom, payload in shared chunks.
//!
//! ```text
//!   0            start      end     192
//!   | headroom … | headers  | tail … |  + body: [chunk][chunk]…
//!     ◀── push     pull ──▶   ◀── linearised from the body by peek and pull
//! ```
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use crate::{ParseError, checksum};

mod chunk;
mod cut;
mod merge;
mod pool;

pub use chunk::Chunk;
pub use cut::Cuts;
pub use merge::Merging;
pub use pool::Pool;

/// Bytes of an owned head. Headers grow downwards from its end.
pub const HEAD_LEN: usize = 192;

/// Headroom in front of a packet that came from outside.
pub const HEADROOM: usize = 64;

/// Headroom that linearising always leaves: a VXLAN encapsulation (14 + 20 + 8 + 8) fits once the Ethernet header is off.
const MIN_HEADROOM: usize = 48;

/// Which machine made a packet, and its how-manieth it was. Stays the same over every hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PacketId(u64);
impl PacketId {
    /// `origin` is the machine's number (below 2^24), `number` its counter (below 2^40).
    pub const fn new(origin: u32, number: u64) -> Self {
        Self(((origin as u64) << 40) | (number & 0xff_ffff_ffff))
    }
    /// The machine.
    pub const fn origin(self) -> u32 {
        (self.0 >> 40) as u32
    }
    /// Its counter.
    pub const fn number(self) -> u64 {
        self.0 & 0xff_ffff_ffff
    }
    /// Both in one word, as pcapng's `epb_packetid` carries it.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// What is known of a packet's transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// The field holds the folded, uncomplemented sum of the pseudo-header; `fill` adds the rest.
    /// `start` and `offset` are indices into the head array, so pushing lower headers leaves them valid.
    ToFill {
        /// Where the summed bytes begin (the transport header).
        start: u8,
        /// Where the two bytes of the field stand.
        offset: u8,
    },
    /// Was checked, or never left this process.
    Verified,
    /// As it came from outside: to be checked.
    Unverified,
}

/// A super-segment: one packet that is to be cut into frames. Indices into the head array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Payload bytes of each frame but the last.
    pub segment: u16,
    /// Where the network header begins.
    pub l3: u8,
    /// Where the transport header begins.
    pub l4: u8,
}

/// One packet; eight bytes to move. Comes from a [`Pool`].
pub struct PacketBuf(Box<Packet>);

const _: () = assert!(size_of::<PacketBuf>() == size_of::<usize>() && size_of::<Packet>() <= 256);

/// `start <= end <= HEAD_LEN` always; no chunk of `body` is empty.
#[derive(Clone)]
struct Packet {
    id: PacketId,
    head: [u8; HEAD_LEN],
    start: u8,
    end: u8,
    body: Vec<Chunk>,
    sum: Sum,
    cut: Option<Cut>,
}

impl PacketBuf {
    /// Its identity over hops.
    #[inline]
    pub fn id(&self) -> PacketId {
        self.0.id
    }
    /// Gives it another one (an IP fragment, a cable's duplicate).
    pub fn set_id(&mut self, id: PacketId) {
        self.0.id = id;
    }
    /// Opens `n` bytes in front (for a header) and returns them. Panics if the headroom is used up: our own headers always
    /// fit. The bytes are not zeroed: after a `pull` of the same length they are what was pulled.
    #[inline]
    pub fn push(&mut self, n: usize) -> &mut [u8] {
        let end = usize::from(self.0.start);
        let start = end
            .checked_sub(n)
            .expect("the headroom of a packet holds every header that is pushed");
        self.0.start = start as u8;
        &mut self.0.head[start..end]
    }
    /// Takes `n` bytes off the front and returns them; they stay in the head's memory. Bytes of the body are linearised
    /// first. `Truncated` if there are fewer, `HeaderTooLong` if the head can't hold them; nothing is taken then.
    #[inline]
    pub fn pull(&mut self, n: usize) -> Result<&[u8], ParseError> {
        self.linearise(n)?;
        let start = usize::from(self.0.start);
        self.0.start = (start + n) as u8;
        Ok(&self.0.head[start..start + n])
    }
    /// The first `n` bytes without taking them, linearised into the head. Errors as for [`Self::pull`].
    #[inline]
    pub fn peek(&mut self, n: usize) -> Result<&[u8], ParseError> {
        self.peek_mut(n).map(|bytes| &*bytes)
    }
    /// The first `n` bytes to change in place. Errors as for [`Self::pull`].
    #[inline]
    pub fn peek_mut(&mut self, n: usize) -> Result<&mut [u8], ParseError> {
        self.linearise(n)?;
        let start = usize::from(self.0.start);
        Ok(&mut self.0.head[start..start + n])
    }
    /// All bytes of the head that are in use (may hold payload after linearising).
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.0.head[usize::from(self.0.start)..usize::from(self.0.end)]
    }
    /// Index of the first used byte in the head array: what [`Sum`] and [`Cut`] count in.
    #[inline]
    pub fn head_start(&self) -> u8 {
        self.0.start
    }
    /// The chunks behind the head; none is empty.
    #[inline]
    pub fn body(&self) -> &[Chunk] {
        &self.0.body
    }
    /// Appends payload.
    #[inline]
    pub fn append(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.0.body.push(chunk);
        }
    }
    /// All bytes, head and body, uncut.
    #[inline]
    pub fn len(&self) -> usize {
        self.head().len() + self.body_len()
    }
    #[inline]
    fn body_len(&self) -> usize {
        match self.0.body.as_slice() {
            [] => 0,
            [only] => only.len(),
            chunks => chunks.iter().map(Chunk::len).sum(),
        }
    }
    /// Whether there is not one byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head().is_empty() && self.0.body.is_empty()
    }
    /// Shortens to `len` bytes (the padding of a short frame goes); longer than the packet changes nothing.
    pub fn truncate(&mut self, len: usize) {
        let kept = len.min(self.head().len());
        self.0.end = self.0.start + kept as u8;
        let mut left = len - kept;
        self.0.body.retain_mut(|chunk| {
            chunk.truncate(left);
            left -= chunk.len();
            !chunk.is_empty()
        });
    }
    /// What is left, as chunks: payload still in the head is copied, the rest is moved. The packet stays empty and goes
    /// back to the pool.
    pub fn take_payload(&mut self) -> Vec<Chunk> {
        let mut chunks = mem::take(&mut self.0.body);
        if !self.head().is_empty() {
            chunks.insert(0, Chunk::copy_from(self.head()));
            self.0.end = self.0.start;
        }
        chunks
    }
    /// State of the transport checksum.
    #[inline]
    pub fn sum(&self) -> Sum {
        self.0.sum
    }
    /// Sets it.
    #[inline]
    pub fn set_sum(&mut self, sum: Sum) {
        self.0.sum = sum;
    }
    /// The cut that is still to be made.
    #[inline]
    pub fn cut_plan(&self) -> Option<Cut> {
        self.0.cut
    }
    /// Sets it.
    #[inline]
    pub fn set_cut(&mut self, cut: Option<Cut>) {
        self.0.cut = cut;
    }
    /// Memory that it pins, in bytes: the packet itself and the whole allocation behind each chunk. Chunks of one
    /// allocation count it once each.
    pub fn true_size(&self) -> usize {
        let pinned = self.0.body.iter().map(Chunk::pinned);
        pinned.fold(size_of::<Packet>(), usize::saturating_add)
    }
    /// Computes a transport checksum that is `ToFill`; the sum is then `Verified`.
    #[inline]
    pub fn fill(&mut self) {
        let Sum::ToFill { start, offset } = self.0.sum else {
            return;
        };
        let field = self.filled_field(start, offset);
        let offset = usize::from(offset);
        if let Some(slot) = self.0.head.get_mut(offset..offset + 2) {
            slot.copy_from_slice(&field);
        }
        self.0.sum = Sum::Verified;
    }
    /// Flips one bit (counted from the first byte's highest bit; none beyond the last); touched payload is copied; the sum
    /// becomes `Unverified` (filled first). To be called on frames: a cut that was still to be made is forgotten.
    #[must_use]
    pub fn corrupt(mut self, bit: u32) -> Self {
        self.fill();
        self.0.sum = Sum::Unverified;
        self.0.cut = None;
        let mask = 0x80 >> (bit % 8);
        let mut at = (bit / 8) as usize;
        let (start, end) = (usize::from(self.0.start), usize::from(self.0.end));
        if let Some(byte) = self.0.head[start..end].get_mut(at) {
            *byte ^= mask;
            return self;
        }
        at -= end - start;
        for chunk in &mut self.0.body {
            if at < chunk.len() {
                let mut copy = chunk.bytes().to_vec();
                copy[at] ^= mask;
                let pinned = copy.capacity();
                *chunk = Chunk::new(copy.into(), pinned);
                break;
            }
            at -= chunk.len();
        }
        self
    }
    /// A copy with the same id that shares the payload.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
    /// All bytes once filled, appended to `out` (a capture's copy). A packet that is still to be cut is written uncut: a
    /// capture cuts its copy first.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let base = out.len();
        out.extend_from_slice(self.head());
        for chunk in &self.0.body {
            out.extend_from_slice(chunk.bytes());
        }
        if let Sum::ToFill { start, offset } = self.0.sum
            && let Some(at) = usize::from(offset).checked_sub(usize::from(self.0.start))
            && let Some(slot) = out.get_mut(base + at..base + at + 2)
        {
            slot.copy_from_slice(&self.filled_field(start, offset));
        }
    }
    /// The ones' complement sum over the bytes from the current start (for verifying), folded, uncomplemented.
    #[inline]
    pub fn ones_complement(&self) -> u16 {
        self.ones_complement_from(self.0.start)
    }

    /// The same from an index into the head array.
    fn ones_complement_from(&self, start: u8) -> u16 {
        let head = self.0.head.get(usize::from(start)..usize::from(self.0.end));
        let head = head.unwrap_or_default();
        let mut total = checksum::sum(head);
        let mut odd = head.len() % 2 != 0;
        for chunk in &self.0.body {
            let sum = checksum::sum(chunk.bytes());
            total = checksum::add(total, if odd { sum.swap_bytes() } else { sum });
            odd ^= chunk.len() % 2 != 0;
        }
        total
    }
    /// The same over the first `len` bytes from the current start, or all there are.
    pub fn ones_complement_of_first(&self, len: usize) -> u16 {
        let head = self.head();
        let head = head.get(..len).unwrap_or(head);
        let mut total = checksum::sum(head);
        let mut done = head.len();
        for chunk in &self.0.body {
            let bytes = chunk.bytes();
            let part = bytes.get(..len - done).unwrap_or(bytes);
            let sum = checksum::sum(part);
            let odd = done % 2 != 0;
            total = checksum::add(total, if odd { sum.swap_bytes() } else { sum });
            done += part.len();
        }
        total
    }
    /// The bytes of a checksum field that is `ToFill`.
    fn filled_field(&self, start: u8, offset: u8) -> [u8; 2] {
        const UDP_FIELD: u8 = 6;
        let field = match !self.ones_complement_from(start) {
            //= rfc768#Fields
            //# If the computed checksum is zero, it is transmitted as all ones
            // Only UDP's field stands 6 bytes into its header.
            0 if offset.checked_sub(start) == Some(UDP_FIELD) => 0xffff,
            field => field,
        };
        field.to_be_bytes()
    }

    /// Brings the first `n` bytes into the head.
    #[inline]
    fn linearise(&mut self, n: usize) -> Result<(), ParseError> {
        match n.checked_sub(self.head().len()) {
            None | Some(0) => Ok(()),
            Some(missing) => self.linearise_missing(n, missing),
        }
    }
    fn linearise_missing(&mut self, n: usize, missing: usize) -> Result<(), ParseError> {
        if n > self.len() {
            return Err(ParseError::Truncated);
        }
        if n > HEAD_LEN - MIN_HEADROOM {
            return Err(ParseError::HeaderTooLong);
        }
        let tail_room = HEAD_LEN - usize::from(self.0.end);
        if missing > tail_room {
            self.lower_head((missing - tail_room) as u8)?;
        }
        self.take_into_head(missing);
        Ok(())
    }
    /// Moves the whole head down by `by` bytes, with what was pulled already and with the indices of `sum` and `cut`. Only
    /// the lowest `by` bytes, long pulled, are lost; if the checksum's were among them it is filled first.
    fn lower_head(&mut self, by: u8) -> Result<(), ParseError> {
        if let Some(cut) = &mut self.0.cut {
            let l4 = cut.l4.checked_sub(by).ok_or(ParseError::HeaderTooLong)?;
            cut.l3 = cut.l3.checked_sub(by).ok_or(ParseError::HeaderTooLong)?;
            cut.l4 = l4;
        }
        if let Sum::ToFill { start, offset } = self.0.sum {
            match (start.checked_sub(by), offset.checked_sub(by)) {
                (Some(start), Some(offset)) => self.0.sum = Sum::ToFill { start, offset },
                _ => self.fill(),
            }
        }
        self.0.head.copy_within(usize::from(by).., 0);
        self.0.start -= by;
        self.0.end -= by;
        Ok(())
    }
    /// Moves `missing` bytes from the body to the tail of the head; both have them.
    fn take_into_head(&mut self, mut missing: usize) {
        let packet = &mut *self.0;
        let mut emptied = 0;
        for chunk in &mut packet.body {
            let n = missing.min(chunk.len());
            let end = usize::from(packet.end);
            packet.head[end..end + n].copy_from_slice(&chunk.bytes()[..n]);
            packet.end += n as u8;
            missing -= n;
            chunk.advance(n);
            if !chunk.is_empty() {
                break;
            }
            emptied += 1;
        }
        packet.body.drain(..emptied);
    }
}

impl core::fmt::Debug for PacketBuf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PacketBuf")
            .field("id", &self.0.id)
            .field("len", &self.len())
            .field("sum", &self.0.sum)
            .field("cut", &self.0.cut)
            .finish_non_exhaustive()
    }
}
