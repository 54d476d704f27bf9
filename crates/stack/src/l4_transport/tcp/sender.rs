//! The send queue: what the program gave, from `snd.una` on. It is the retransmit buffer too: segments share its chunks, nothing is copied.
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use heptad_wire::Chunk;

/// Least and most bytes of one allocation. The least is the most that glibc's allocator keeps at hand for a thread.
const LEAST_CHUNK: usize = 1024;
const MOST_CHUNK: usize = 32_768;

/// `len` bytes of the stream from `base` on (positions count from the first byte of the stream).
#[derive(Debug, Default)]
pub struct SendQueue {
    chunks: VecDeque<(u64, Chunk)>,
    /// Written and not yet shared: the end of the queue.
    tail: BytesMut,
    tail_pins: u32,
    len: u32,
    base: u64,
}

impl SendQueue {
    /// Bytes held.
    pub fn len(&self) -> u32 {
        self.len
    }
    fn end(&self) -> u64 {
        self.base + u64::from(self.len)
    }
    /// Appends a copy.
    pub fn push(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                self.freeze();
                let size = data.len().clamp(LEAST_CHUNK, MOST_CHUNK);
                self.tail = BytesMut::with_capacity(size);
                self.tail_pins = size as u32;
            }
            let room = self.tail.capacity() - self.tail.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.tail.extend_from_slice(now);
            self.len += now.len() as u32;
            data = later;
        }
    }
    /// Appends without a copy.
    pub fn push_bytes(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.freeze();
        let len = data.len();
        self.chunks.push_back((self.end(), Chunk::new(data, len)));
        self.len += len as u32;
    }
    /// `len` bytes from `offset` bytes after the front, as shared chunks. Fewer where there are no more.
    pub fn share(&mut self, offset: u32, len: u32) -> Vec<Chunk> {
        let from = self.base + u64::from(offset);
        let to = (from + u64::from(len)).min(self.end());
        if to > self.end() - self.tail.len() as u64 {
            self.freeze();
        }
        let first = self
            .chunks
            .partition_point(|(at, chunk)| at + chunk.len() as u64 <= from);
        let mut shared = Vec::new();
        for (at, chunk) in self.chunks.iter().skip(first) {
            if *at >= to {
                break;
            }
            let left = from.saturating_sub(*at) as usize;
            let right = (to - at).min(chunk.len() as u64) as usize;
            shared.push(chunk.slice(left..right));
        }
        shared
    }
    /// Bytes acknowledged in all.
    pub fn acknowledged(&self) -> u64 {
        self.base
    }
    /// The first `n` bytes were acknowledged.
    pub fn acknowledge(&mut self, n: u32) {
        let n = n.min(self.len);
        self.base += u64::from(n);
        self.len -= n;
        while let Some((at, chunk)) = self.chunks.front() {
            if at + chunk.len() as u64 > self.base {
                break;
            }
            self.chunks.pop_front();
        }
        if self.len == 0 {
            self.clear();
        }
    }
    /// Gives all memory back.
    pub fn clear(&mut self) {
        self.base = self.end();
        self.len = 0;
        self.chunks = VecDeque::new();
        self.tail = BytesMut::new();
    }
    fn freeze(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let at = self.end_of_chunks();
        let bytes = self.tail.split().freeze();
        self.chunks
            .push_back((at, Chunk::new(bytes, self.tail_pins as usize)));
    }
    fn end_of_chunks(&self) -> u64 {
        match self.chunks.back() {
            Some((at, chunk)) => at + chunk.len() as u64,
            None => self.end() - self.tail.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(Vec<u8>),
        PushBytes(Vec<u8>),
        Ack(u32),
        Share(u32, u32),
    }
    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..5000).prop_map(Step::Push),
            proptest::collection::vec(any::<u8>(), 0..3000).prop_map(Step::PushBytes),
            (0u32..6000).prop_map(Step::Ack),
            (0u32..6000, 0u32..6000).prop_map(|(a, b)| Step::Share(a, b)),
        ]
    }
    proptest! {
        #[test]
        fn the_queue_is_a_vector_of_bytes(steps in proptest::collection::vec(step(), 0..60)) {
            let mut queue = SendQueue::default();
            let mut model: Vec<u8> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(data) => { queue.push(&data); model.extend(&data); }
                    Step::PushBytes(data) => { model.extend(&data); queue.push_bytes(data.into()); }
                    Step::Ack(n) => { queue.acknowledge(n); model.drain(..model.len().min(n as usize)); }
                    Step::Share(offset, len) => {
                        let got: Vec<u8> = queue.share(offset, len).iter().flat_map(|c| c.bytes().to_vec()).collect();
                        let from = model.len().min(offset as usize);
                        let to = model.len().min((offset + len) as usize);
                        prop_assert_eq!(&got[..], &model[from..to]);
                    }
                }
                prop_assert_eq!(queue.len() as usize, model.len());
            }
        }
    }

    #[test]
    fn an_empty_queue_holds_no_memory() {
        let mut queue = SendQueue::default();
        queue.push(b"hello");
        assert_eq!(queue.share(0, 5).len(), 1);
        queue.acknowledge(5);
        assert_eq!(queue.tail.capacity(), 0);
        assert_eq!(queue.chunks.capacity(), 0);
    }
}
