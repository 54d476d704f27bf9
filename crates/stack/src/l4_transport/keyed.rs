//! The keyed hash behind every table of layer 4: whoever picks addresses and ports cannot pick collisions.
use core::hash::{BuildHasher, Hash, Hasher};

use siphasher::sip::SipHasher13;

use crate::Rng;

/// A SipHash-1-3 with a key of its own.
#[derive(Clone, Copy, Debug)]
pub struct Keyed(u64, u64);
impl Keyed {
    /// Draws a key.
    pub fn new(rng: &mut Rng) -> Self {
        Self(rng.next_u64(), rng.next_u64())
    }
    /// The hash of one value.
    pub fn of(&self, value: impl Hash) -> u64 {
        let mut hasher = self.build_hasher();
        value.hash(&mut hasher);
        hasher.finish()
    }
}
impl BuildHasher for Keyed {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}
