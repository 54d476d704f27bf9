//! Payload: shared, immutable bytes and what they pin.
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
    #[inline]
    pub fn compact(self) -> Self {
        if self.len().saturating_mul(4) < self.pinned() {
            Self::copy_from(&self.bytes)
        } else {
            self
        }
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
