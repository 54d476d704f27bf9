//! Payload: shared, immutable bytes and what they pin.
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

/// A run of shared, immutable payload bytes and the size of the allocation that they pin.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// From the first byte on; what lies behind the last one is not of this chunk, but may be of one that is joined to it.
    bytes: Bytes,
    len: u32,
    pinned: u32,
}
impl Chunk {
    /// Takes the bytes of an allocation of `pinned` bytes. Panics at 4 GiB.
    #[inline]
    pub fn new(bytes: Bytes, pinned: usize) -> Self {
        let len = u32::try_from(bytes.len()).expect("no payload is as long as 4 GiB");
        Self {
            bytes,
            len,
            pinned: u32::try_from(pinned).unwrap_or(u32::MAX),
        }
    }
    /// An allocation of its own.
    pub fn copy_from(slice: &[u8]) -> Self {
        Self::new(Bytes::copy_from_slice(slice), slice.len())
    }
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }
    /// Takes the bytes out.
    #[inline]
    pub fn into_bytes(mut self) -> Bytes {
        self.bytes.truncate(self.len as usize);
        self.bytes
    }
    /// Count of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The size of the allocation behind.
    #[inline]
    pub fn pinned(&self) -> usize {
        self.pinned as usize
    }
    /// A part of it that pins the same allocation. Panics beyond the end.
    #[inline]
    pub fn slice(&self, range: core::ops::Range<usize>) -> Self {
        let within = range.start <= range.end && range.end <= self.len();
        assert!(within, "a part lies within its chunk");
        Self {
            bytes: self.bytes.slice(range.start..),
            len: range.len() as u32,
            pinned: self.pinned,
        }
    }
    /// Joins `next` to the end if its bytes stand right behind in the same memory, else gives it back. One chunk then
    /// pins what two did.
    #[inline]
    pub(super) fn join(&mut self, next: Self) -> Result<(), Self> {
        // Ours go on where these begin and end where these do: it is the same memory, and we keep it.
        let behind = &self.bytes[self.len()..];
        if !core::ptr::eq(behind, &*next.bytes) || self.pinned != next.pinned {
            return Err(next);
        }
        self.len += next.len;
        Ok(())
    }
    /// Copies the bytes out if they are under a quarter of the allocation behind them, else gives them back as they are:
    /// what a receiver does before it keeps payload, or a byte could pin 64 KB.
    #[must_use]
    pub fn compact(self) -> Self {
        if self.pins_much() {
            Self::copy_from(self.bytes())
        } else {
            self
        }
    }
    /// As [`Self::compact`] for each; neighbours that are copied become one.
    #[must_use]
    pub fn compact_all(mut chunks: Vec<Self>) -> Vec<Self> {
        if let [only] = chunks.as_mut_slice() {
            *only = core::mem::take(only).compact();
            return chunks;
        }
        if !chunks.iter().any(Self::pins_much) {
            return chunks;
        }
        let mut kept = Vec::new();
        for run in chunks.chunk_by(|a, b| a.pins_much() == b.pins_much()) {
            if run.first().is_some_and(Self::pins_much) {
                kept.push(Self::joined(run));
            } else {
                kept.extend_from_slice(run);
            }
        }
        kept
    }
    fn joined(run: &[Self]) -> Self {
        let len = run.iter().map(Self::len).sum();
        let mut copy = Vec::with_capacity(len);
        for chunk in run {
            copy.extend_from_slice(chunk.bytes());
        }
        Self::new(copy.into(), len)
    }
    fn pins_much(&self) -> bool {
        self.len().saturating_mul(4) < self.pinned()
    }
    /// Takes the first `n` bytes off; panics if there are fewer.
    pub(super) fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "a chunk has the bytes that are taken off");
        self.bytes.advance(n);
        self.len -= n as u32;
    }
    /// Keeps the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = len.min(self.len()) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn parts_of_one_allocation_are_joined_where_one_follows_the_other() {
        let whole = Chunk::copy_from(&[1, 2, 3, 4, 5, 6]);
        let other = Chunk::copy_from(&[4, 5, 6]);
        let mut joined = whole.slice(1..3);
        for refused in [whole.slice(4..5), whole.slice(1..3), other] {
            let len = refused.len();
            assert_eq!(joined.join(refused).map_err(|c| c.len()), Err(len));
        }
        for next in [whole.slice(3..5), whole.slice(5..6)] {
            assert!(joined.join(next).is_ok());
        }
        assert_eq!((joined.bytes(), joined.pinned()), (&[2, 3, 4, 5, 6][..], 6));
        joined.advance(2);
        joined.truncate(2);
        assert_eq!(joined.bytes(), [4, 5]);
        assert_eq!(joined.into_bytes(), [4, 5][..]);
    }

    #[test]
    fn what_pins_much_is_copied_with_its_neighbours_and_the_rest_stays() {
        let whole = Chunk::copy_from(&[7; 1000]);
        let large = whole.slice(0..250);
        let rows: [(&[usize], &[usize]); 5] = [
            (&[], &[]),
            (&[250], &[250]),
            (&[249], &[249]),
            (&[10, 20, 30], &[60]),
            (&[10, 250, 20, 30, 300, 40], &[10, 250, 50, 300, 40]),
        ];
        for (before, after) in rows {
            let chunks: Vec<Chunk> = before.iter().map(|n| whole.slice(0..*n)).collect();
            let compact = Chunk::compact_all(chunks);
            let lens: Vec<usize> = compact.iter().map(Chunk::len).collect();
            assert_eq!(lens, after, "{before:?}");
            for chunk in &compact {
                assert!(!chunk.pins_much(), "{before:?}");
                assert!(chunk.bytes().iter().all(|byte| *byte == 7));
                let shared = chunk.bytes().as_ptr() == large.bytes().as_ptr();
                assert_eq!(shared, chunk.len() >= 250, "{before:?}");
            }
        }
        assert_eq!(Chunk::compact_all(vec![whole.slice(5..6)])[0].pinned(), 1);
    }
}
