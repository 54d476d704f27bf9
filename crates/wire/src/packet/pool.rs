//! Where packets come from and go back to.
use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Chunk, HEAD_LEN, HEADROOM, Packet, PacketBuf, PacketId, Sum};

/// Packets kept for reuse at most.
const MAX_FREE: usize = 1024;
/// Chunk slots that a packet may keep when it is reused.
const MAX_KEPT_SLOTS: usize = 64;

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
    #[inline]
    pub fn packet(&mut self) -> PacketBuf {
        let id = self.next_id();
        self.empty(id)
    }
    /// A packet that holds these bytes as they came from outside (`Unverified`), all in the body, which pin as much as
    /// they are.
    pub fn from_bytes(&mut self, bytes: Bytes) -> PacketBuf {
        let pinned = bytes.len();
        self.from_chunk(Chunk::new(bytes, pinned))
    }
    /// The same for bytes that pin more than they are.
    pub fn from_chunk(&mut self, chunk: Chunk) -> PacketBuf {
        let mut packet = self.packet();
        packet.0.start = HEADROOM as u8;
        packet.0.end = HEADROOM as u8;
        packet.0.sum = Sum::Unverified;
        packet.append(chunk);
        packet
    }
    /// An id for a packet that another machine made (fragments, duplicates).
    #[inline]
    pub fn next_id(&mut self) -> PacketId {
        let id = PacketId::new(self.origin, self.next);
        self.next += 1;
        id
    }
    /// Takes a packet back for reuse (bounded; beyond it, it is freed).
    #[inline]
    pub fn recycle(&mut self, mut packet: PacketBuf) {
        packet.0.body.clear();
        packet.0.body.shrink_to(MAX_KEPT_SLOTS);
        if self.free.len() < MAX_FREE {
            self.free.push(packet);
        }
    }
    /// Moves free packets to another machine's pool until both have as many: traffic of one direction empties one pool
    /// and fills the other.
    pub fn balance(&mut self, other: &mut Self) {
        let surplus = self.free.len().saturating_sub(other.free.len()) / 2;
        let kept = self.free.len() - surplus;
        other.free.extend(self.free.drain(kept..));
    }
    /// An empty packet with this id, all headroom in front.
    pub(super) fn empty(&mut self, id: PacketId) -> PacketBuf {
        let Some(mut packet) = self.free.pop() else {
            return PacketBuf(Box::new(Packet {
                id,
                head: [0; HEAD_LEN],
                start: HEAD_LEN as u8,
                end: HEAD_LEN as u8,
                body: Vec::new(),
                sum: Sum::Verified,
                cut: None,
            }));
        };
        // Every field but the head's bytes, which whoever pushes a header writes anew.
        let Packet {
            id: old_id,
            head: _,
            start,
            end,
            body,
            sum,
            cut,
        } = &mut *packet.0;
        *old_id = id;
        (*start, *end) = (HEAD_LEN as u8, HEAD_LEN as u8);
        body.clear();
        (*sum, *cut) = (Sum::Verified, None);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_share_their_free_packets_and_number_what_they_hand_out_themselves() {
        let (mut full, mut empty) = (Pool::new(1), Pool::new(2));
        let packets: Vec<_> = (0..11).map(|_| full.packet()).collect();
        packets.into_iter().for_each(|packet| full.recycle(packet));
        empty.balance(&mut full);
        assert_eq!(
            (full.free.len(), empty.free.len()),
            (11, 0),
            "never from the poorer one"
        );
        full.balance(&mut empty);
        assert_eq!((full.free.len(), empty.free.len()), (6, 5));
        let packet = empty.packet();
        assert!(packet.is_empty());
        assert_eq!((packet.id().origin(), packet.id().number()), (2, 0));
    }

    #[test]
    fn a_pool_keeps_so_many_packets_and_frees_the_rest() {
        let mut pool = Pool::new(1);
        let packets: Vec<_> = (0..MAX_FREE + 10).map(|_| pool.packet()).collect();
        for mut packet in packets {
            (0..2 * MAX_KEPT_SLOTS).for_each(|_| packet.append(Chunk::copy_from(b"x")));
            pool.recycle(packet);
        }
        assert_eq!(pool.free.len(), MAX_FREE);
        let slots = pool.free.iter().map(|packet| packet.0.body.capacity());
        assert!(slots.max() <= Some(MAX_KEPT_SLOTS));
    }
}
