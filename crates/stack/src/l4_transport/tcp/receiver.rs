//! The receive queue: `rcv.nxt`, the window that is told, text in order and out of order, automatic sizing.
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use heptad_wire::Chunk;

use super::reassembly::{self, CHUNK_COST, Reassembly};
use super::seq::SeqNum;

/// The least that TCP_WINDOW_CLAMP may be (half of Linux's SOCK_MIN_RCVBUF).
const LEAST_CLAMP: u32 = 1152;

/// What text met in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// `rcv.nxt` moved; whether a gap was closed or part of it was there before.
    InOrder { hurry: bool },
    /// Beyond a gap.
    OutOfOrder,
    /// All was there already.
    Duplicate,
    /// No room for what lies beyond a gap.
    NoRoom,
}

/// One connection's receiver.
#[derive(Debug)]
pub struct Receiver {
    /// RCV.NXT
    pub nxt: SeqNum,
    /// RCV.NXT + RCV.WND: the edge that was told, never drawn back.
    edge: SeqNum,
    scale: u8,
    /// Position of `nxt` in the stream.
    position: u64,
    queue: VecDeque<Chunk>,
    queued: u32,
    pinned: usize,
    ooo: Reassembly,
    /// A range that came twice, to be told once (RFC 2883).
    dsack: Option<(SeqNum, SeqNum)>,
    /// Bytes that may wait for the program.
    space: u32,
    most: u32,
}

/// How much window an initial one is told from.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Bytes at first.
    pub initial: u32,
    /// Bytes at most; equal to `initial` when the program fixed it.
    pub most: u32,
}

impl Receiver {
    /// After the peer's SYN; `edge` is the right edge that our SYN told.
    pub fn new(nxt: SeqNum, edge: SeqNum, scale: u8, space: Space) -> Self {
        Self {
            nxt,
            edge,
            scale,
            position: 0,
            queue: VecDeque::new(),
            queued: 0,
            pinned: 0,
            ooo: Reassembly::default(),
            dsack: None,
            space: space.initial,
            most: space.most,
        }
    }
    /// RCV.WND as told.
    pub fn wnd(&self) -> u32 {
        if self.edge.after(self.nxt) {
            self.edge.since(self.nxt)
        } else {
            0
        }
    }
    /// The right edge as told.
    pub fn edge(&self) -> SeqNum {
        self.edge
    }
    /// Bytes in order since the beginning, and the FIN.
    pub fn bytes(&self) -> u64 {
        self.position
    }
    /// Bytes that may wait for the program.
    pub fn space(&self) -> u32 {
        self.space
    }
    /// Bytes in order that wait for the program.
    pub fn queued(&self) -> u32 {
        self.queued
    }
    /// Memory pinned by all that waits.
    pub fn charge(&self) -> usize {
        self.pinned + self.ooo.charge()
    }
    /// Bytes that the buffer has room for, as a window: silly ones are none (RFC 9293 3.8.6.2.2).
    /// `clamp`: TCP_WINDOW_CLAMP, or 0.
    fn open(&self, mss: u32, clamp: u32) -> u32 {
        let free = self.space.saturating_sub(self.queued).min(at_least(clamp));
        let open = if free < (self.space / 2).min(mss) {
            0
        } else if self.scale == 0 {
            (free / mss.max(1) * mss.max(1)).min(65_535)
        } else {
            free
        };
        open.min(65_535 << self.scale)
    }
    /// What the next segment may tell, in bytes: what was told stays told.
    fn window(&self, mss: u32, clamp: u32) -> u32 {
        self.open(mss, clamp).max(self.wnd())
    }
    /// The window field of a segment that leaves now; moves the edge.
    pub fn tell_window(&mut self, mss: u32, clamp: u32) -> u16 {
        // Only what there is room for is rounded up: a rest of what was told, rounded up again with each small segment, would
        // move the edge for ever. Rounded down it is less than was told, which text that comes still may fill (RFC 7323 2.4).
        let room = self.open(mss, clamp).div_ceil(1 << self.scale);
        let field = room.max(self.wnd() >> self.scale).min(65_535);
        self.edge = self.edge.later(self.nxt + (field << self.scale));
        field as u16
    }
    /// The window field of a SYN,ACK, which is never scaled; moves the edge.
    pub fn tell_plainly(&mut self, wnd: u16) {
        self.edge = self.edge.later(self.nxt + u32::from(wnd));
    }
    /// Whether the program's reading opened the window so far that the peer should hear of it (Linux: doubled).
    pub fn should_update(&self, mss: u32, clamp: u32) -> bool {
        let now = self.wnd();
        let next = self.window(mss, clamp);
        u64::from(now) * 2 <= u64::from(self.space) && next > 0 && next >= now.saturating_mul(2)
    }

    /// Takes text that begins at `seq`; `text` lies inside the window.
    pub fn take(&mut self, seq: SeqNum, text: Vec<Chunk>, len: u32) -> Taken {
        let end = seq + len;
        if end.at_or_before(self.nxt) {
            self.dsack = Some((seq, end));
            return Taken::Duplicate;
        }
        if seq.after(self.nxt) {
            return self.take_beyond(seq, &text);
        }
        let text = if seq.before(self.nxt) {
            self.dsack = Some((seq, self.nxt));
            reassembly::slice(&text, u64::from(self.nxt.since(seq)), u64::from(len))
        } else {
            text
        };
        let hurry = self.dsack.is_some() || !self.ooo.is_empty();
        self.append(text);
        while let Some((chunks, duplicate)) = self.ooo.take(self.position) {
            if let (None, Some((left, right))) = (self.dsack, duplicate) {
                self.dsack = Some((self.seq_of(left), self.seq_of(right)));
            }
            self.append(chunks);
        }
        Taken::InOrder { hurry }
    }
    /// A range that came again: the next ACK tells.
    pub fn note_duplicate(&mut self, left: SeqNum, right: SeqNum) {
        self.dsack = Some((left, right.earlier(self.nxt)));
    }
    fn take_beyond(&mut self, seq: SeqNum, text: &[Chunk]) -> Taken {
        let cost: usize = text.iter().map(|c| c.pinned() + CHUNK_COST).sum();
        if self.charge() + cost > self.memory_limit() {
            return Taken::NoRoom;
        }
        let at = self.position + u64::from(seq.since(self.nxt));
        let duplicate = self.ooo.insert(at, text);
        self.dsack = duplicate.map(|(l, r)| (self.seq_of(l), self.seq_of(r)));
        Taken::OutOfOrder
    }
    fn append(&mut self, text: Vec<Chunk>) {
        self.queue.reserve_exact(text.len());
        for chunk in text {
            let len = chunk.len() as u32;
            self.nxt += len;
            self.position += u64::from(len);
            self.queued += len;
            self.pinned += chunk.pinned() + CHUNK_COST;
            self.queue.push_back(chunk);
        }
        if self.pinned > self.memory_limit() {
            self.collapse();
        }
    }
    /// Text that fits the window pins at most four times its size, and each chunk costs something.
    fn memory_limit(&self) -> usize {
        self.space as usize * 5
    }
    /// Many small chunks become one.
    fn collapse(&mut self) {
        let mut all = BytesMut::with_capacity(self.queued as usize);
        for chunk in self.queue.drain(..) {
            all.extend_from_slice(chunk.bytes());
        }
        let pinned = all.capacity();
        self.pinned = pinned + CHUNK_COST;
        self.queue.push_back(Chunk::new(all.freeze(), pinned));
    }
    /// A FIN was taken: it has a sequence number too. Nothing follows, so nothing is told of what came twice (as Linux).
    pub fn take_fin(&mut self) {
        self.dsack = None;
        self.nxt += 1;
        self.position += 1;
    }
    fn seq_of(&self, position: u64) -> SeqNum {
        SeqNum(
            self.nxt
                .0
                .wrapping_add(position.wrapping_sub(self.position) as u32),
        )
    }
    /// The blocks that an ACK tells: a duplicate first, once, then what changed last.
    pub fn take_sack_blocks(&mut self) -> Vec<(SeqNum, SeqNum)> {
        if self.dsack.is_none() && self.ooo.is_empty() {
            return Vec::new();
        }
        let dsack = self.dsack.take();
        dsack
            .into_iter()
            .chain(
                self.ooo
                    .recent_blocks()
                    .map(|(l, r)| (self.seq_of(l), self.seq_of(r))),
            )
            .take(4)
            .collect()
    }
    /// How many bytes the SACK option of a data segment would take now.
    pub fn sack_len(&self, timestamps: bool) -> u16 {
        if self.dsack.is_none() && self.ooo.is_empty() {
            return 0;
        }
        let most = if timestamps { 3 } else { 4 };
        let blocks = self.ooo.recent_blocks().count() + usize::from(self.dsack.is_some());
        4 + 8 * blocks.min(most) as u16
    }

    /// How far text beyond a gap reaches.
    pub fn beyond(&self) -> u32 {
        let end = self.ooo.end().unwrap_or(self.position);
        end.saturating_sub(self.position) as u32
    }
    /// Copies to the program what stays here, from `skip` bytes on.
    pub fn peek(&self, skip: usize, out: &mut [u8]) -> usize {
        let (mut skip, mut done) = (skip, 0);
        for chunk in &self.queue {
            let (_, rest) = chunk.bytes().split_at(skip.min(chunk.len()));
            skip -= chunk.len() - rest.len();
            done += copy(rest, out, done);
        }
        done
    }
    /// Copies to the program.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let mut done = 0;
        while done < out.len() {
            let Some(bytes) = self.read_bytes(out.len() - done) else {
                break;
            };
            done += copy(&bytes, out, done);
        }
        done
    }
    /// Gives at most `max` bytes of the first chunk.
    pub fn read_bytes(&mut self, max: usize) -> Option<Bytes> {
        let front = self.queue.front_mut()?;
        let bytes = if front.len() <= max {
            let chunk = self.queue.pop_front()?;
            self.pinned = self.pinned.saturating_sub(chunk.pinned() + CHUNK_COST);
            chunk.into_bytes()
        } else {
            let head = front.slice(0..max);
            *front = front.slice(max..front.len());
            head.into_bytes()
        };
        self.queued -= bytes.len() as u32;
        if self.queue.is_empty() {
            self.pinned = 0;
            // A silent connection keeps room for one message.
            if self.queue.capacity() > 1 {
                self.queue = VecDeque::new();
            }
        }
        Some(bytes)
    }
    /// The buffer grows, within its bound.
    pub fn grow(&mut self, wanted: u32) {
        self.space = self.space.max(wanted.min(self.most));
    }
    /// SO_RCVBUF changed.
    pub fn resize(&mut self, space: Space) {
        self.space = space.initial;
        self.most = space.most;
    }
    /// Discards what waits; returns whether there was something that the program did not read.
    pub fn discard(&mut self) -> bool {
        let unread = self.queued > 0;
        self.queue = VecDeque::new();
        self.queued = 0;
        self.pinned = 0;
        self.ooo.clear();
        unread
    }
}

/// TCP_WINDOW_CLAMP within its bound; 0: none.
fn at_least(clamp: u32) -> u32 {
    match clamp {
        0 => u32::MAX,
        clamp => clamp.max(LEAST_CLAMP),
    }
}

fn copy(from: &[u8], out: &mut [u8], at: usize) -> usize {
    let Some(room) = out.get_mut(at..) else {
        return 0;
    };
    let n = from.len().min(room.len());
    if let (Some(to), Some(from)) = (room.get_mut(..n), from.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn small_segments_that_nobody_reads_do_not_move_the_edge_beyond_the_buffer() {
        let space = Space {
            initial: 65_536,
            most: 1 << 24,
        };
        let (scale, start) = (10, SeqNum(1));
        let mut receiver = Receiver::new(start, start + 65_535, scale, space);
        let text = || vec![Chunk::copy_from(&[b'x'; 37])];
        let mut told = Vec::new();
        while receiver.wnd() >= 37 && receiver.queued() < 2 * space.initial {
            let seq = receiver.nxt;
            receiver.take(seq, text(), 37);
            told.push(receiver.tell_window(1460, 0));
            assert!(receiver.queued() + receiver.wnd() <= space.initial + (1 << scale));
        }
        assert!(told.is_sorted_by(|earlier, later| earlier >= later));
        assert_eq!(told.last(), Some(&0));
    }
}
