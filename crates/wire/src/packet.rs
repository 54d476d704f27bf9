//! The packet buffer: headers in an owned head with headroom, payload in shared chunks.
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::ParseError;

/// Bytes of an owned head. Headers grow downwards from its end.
pub const HEAD_LEN: usize = 192;

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

/// A run of shared, immutable payload bytes and the size of the allocation that they pin.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    bytes: Bytes,
    pinned: u32,
}
impl Chunk {
    /// Takes the bytes of an allocation of `pinned` bytes.
    pub fn new(bytes: Bytes, pinned: usize) -> Self {
        Self {
            bytes,
            pinned: u32::try_from(pinned).unwrap_or(u32::MAX),
        }
    }
    /// An allocation of its own.
    pub fn copy_from(slice: &[u8]) -> Self {
        Self::new(Bytes::copy_from_slice(slice), slice.len())
    }
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// Takes the bytes out.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
    /// Count of bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// The size of the allocation behind.
    pub fn pinned(&self) -> usize {
        self.pinned as usize
    }
    /// A part of it that pins the same allocation.
    pub fn slice(&self, range: core::ops::Range<usize>) -> Self {
        Self {
            bytes: self.bytes.slice(range),
            pinned: self.pinned,
        }
    }
}

/// One packet; eight bytes to move. Comes from a [`Pool`].
pub struct PacketBuf(Box<Packet>);

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
    pub fn id(&self) -> PacketId {
        todo!()
    }
    /// Gives it another one (an IP fragment, a cable's duplicate).
    pub fn set_id(&mut self, id: PacketId) {
        todo!()
    }
    /// Opens `n` bytes in front (for a header) and returns them. Panics if the headroom is used up: our own headers always fit.
    pub fn push(&mut self, n: usize) -> &mut [u8] {
        todo!()
    }
    /// Takes `n` bytes off the front and returns them; they stay in the head's memory. Bytes of the body are linearised first.
    pub fn pull(&mut self, n: usize) -> Result<&[u8], ParseError> {
        todo!()
    }
    /// The first `n` bytes without taking them, linearised into the head.
    pub fn peek(&mut self, n: usize) -> Result<&[u8], ParseError> {
        todo!()
    }
    /// The first `n` bytes to change in place.
    pub fn peek_mut(&mut self, n: usize) -> Result<&mut [u8], ParseError> {
        todo!()
    }
    /// All bytes of the head that are in use (may hold payload after linearising).
    pub fn head(&self) -> &[u8] {
        todo!()
    }
    /// Index of the first used byte in the head array: what [`Sum`] and [`Cut`] count in.
    pub fn head_start(&self) -> u8 {
        todo!()
    }
    /// The chunks behind the head.
    pub fn body(&self) -> &[Chunk] {
        todo!()
    }
    /// Appends payload.
    pub fn append(&mut self, chunk: Chunk) {
        todo!()
    }
    /// All bytes, head and body, uncut.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Shortens to `len` bytes (the padding of a short frame goes).
    pub fn truncate(&mut self, len: usize) {
        todo!()
    }
    /// What is left, as chunks: payload still in the head is copied, the rest is moved. The packet stays empty and goes back to the pool.
    pub fn take_payload(&mut self) -> Vec<Chunk> {
        todo!()
    }
    /// State of the transport checksum.
    pub fn sum(&self) -> Sum {
        todo!()
    }
    /// Sets it.
    pub fn set_sum(&mut self, sum: Sum) {
        todo!()
    }
    /// The cut that is still to be made.
    pub fn cut_plan(&self) -> Option<Cut> {
        todo!()
    }
    /// Sets it.
    pub fn set_cut(&mut self, cut: Option<Cut>) {
        todo!()
    }
    /// How many frames this is once cut; 1 without a cut.
    pub fn frames(&self) -> u32 {
        todo!()
    }
    /// Length of the longest frame once cut (header bytes in front of the payload included).
    pub fn frame_len(&self) -> usize {
        todo!()
    }
    /// Memory that it pins, in bytes.
    pub fn true_size(&self) -> usize {
        todo!()
    }
    /// Computes a transport checksum that is `ToFill`; the sum is then `Verified`.
    pub fn fill(&mut self) {
        todo!()
    }
    /// The one function that cuts: frames of at most `segment` payload bytes, headers repeated, sequence numbers, IPv4
    /// identification and lengths advanced, FIN and PSH on the last only, CWR on the first only. Each is `ToFill` as before.
    pub fn cut(self, pool: &mut Pool) -> Cuts {
        todo!()
    }
    /// The opposite: joins `next` if cutting the result would restore both byte for byte.
    pub fn merge(&mut self, next: PacketBuf) -> Result<(), PacketBuf> {
        todo!()
    }
    /// Flips one bit (counted from the first byte's highest bit); touched payload is copied; the sum becomes `Unverified` (filled first).
    pub fn corrupt(self, bit: u32) -> Self {
        todo!()
    }
    /// A copy with the same id that shares the payload.
    pub fn duplicate(&self) -> Self {
        todo!()
    }
    /// All bytes once filled, appended to `out` (a capture's copy). Must not be called on a packet still to be cut.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        todo!()
    }
    /// The ones' complement sum over the bytes from the current start (for verifying), folded, uncomplemented.
    pub fn ones_complement(&self) -> u16 {
        todo!()
    }
}

/// The frames of one cut packet, in order.
pub struct Cuts {
    frames: alloc::vec::IntoIter<PacketBuf>,
}
impl Iterator for Cuts {
    type Item = PacketBuf;
    fn next(&mut self) -> Option<PacketBuf> {
        self.frames.next()
    }
}

/// A machine's store of empty packets; numbers the packets it hands out.
pub struct Pool {
    origin: u32,
    next: u64,
    free: Vec<PacketBuf>,
}
impl Pool {
    /// A pool for the machine with this number.
    pub fn new(origin: u32) -> Self {
        Self {
            origin,
            next: 0,
            free: Vec::new(),
        }
    }
    /// An empty packet with a new id, all headroom in front, `Verified`, no cut.
    pub fn packet(&mut self) -> PacketBuf {
        todo!()
    }
    /// A packet that holds these bytes as they came from outside (`Unverified`), all in the body.
    pub fn from_bytes(&mut self, bytes: Bytes) -> PacketBuf {
        todo!()
    }
    /// An id for a packet that another machine made (fragments, duplicates).
    pub fn next_id(&mut self) -> PacketId {
        todo!()
    }
    /// Takes a packet back for reuse (bounded; beyond it, it is freed).
    pub fn recycle(&mut self, packet: PacketBuf) {
        todo!()
    }
}
