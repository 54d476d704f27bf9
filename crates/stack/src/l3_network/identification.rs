//! The identification field (RFC 791, 6864): counters that a stranger can't read off another flow's packets (RFC 7739).
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::Ipv4Addr;

use crate::Rng;
use crate::keyed_hash::KeyedHash;

/// Counters; flows share one when their keyed hashes meet.
const COUNTERS: usize = 1024;

/// One counter for each bucket of (source, destination, protocol).
pub struct Identification {
    hash: KeyedHash,
    next: Vec<u16>,
}
impl Identification {
    /// Counters that start anywhere.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            hash: KeyedHash::new(rng),
            next: (0..COUNTERS).map(|_| rng.next_u32() as u16).collect(),
        }
    }
    /// A secret number for those who need one and must not draw from the host's stream.
    pub fn derived_seed(&self) -> u64 {
        self.hash.hash_one(u64::MAX)
    }
    /// The first of `count` numbers in a row: one for each frame that a super-segment is cut into.
    pub fn take(&mut self, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, count: u32) -> u16 {
        let bucket = self.hash.hash_one((src.to_bits(), dst.to_bits(), protocol)) as usize;
        let Some(next) = self.next.get_mut(bucket % COUNTERS) else {
            return 0;
        };
        let id = *next;
        *next = next.wrapping_add(count as u16);
        id
    }
}
