//! Payload: shared, immutable bytes and what they pin.
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

/// A run of shared, immutable payload bytes and the size of the allocation that they pin.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    bytes: Bytes,
    pinned: u32,
}
impl Chunk {
    /// Takes the bytes of an allocation of `pinned` bytes.
    #[inline]
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
    #[inline]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// Takes the bytes out.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
    /// Count of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// The size of the allocation behind.
    #[inline]
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
    /// Copies the bytes out if they are under a quarter of the allocation behind them, else gives them back as they are:
    /// what a receiver does before it keeps payload, or a byte could pin 64 KB.
    #[must_use]
    pub fn compact(self) -> Self {
        if self.pins_much() {
            Self::copy_from(&self.bytes)
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
            copy.extend_from_slice(&chunk.bytes);
        }
        Self::new(copy.into(), len)
    }
    fn pins_much(&self) -> bool {
        self.len().saturating_mul(4) < self.pinned()
    }
    /// Takes the first `n` bytes off; panics if there are fewer.
    pub(super) fn advance(&mut self, n: usize) {
        self.bytes.advance(n);
    }
    /// Keeps the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

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
