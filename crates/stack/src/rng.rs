//! Chance, injected: a ChaCha8 stream per machine and purpose. Fixed for good, since recorded runs hang on it.
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A seeded source. Same seed, same numbers, on every machine and version.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);
impl Rng {
    /// From 32 bytes (the lab derives them from its seed, the machine's name and the purpose).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }
    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    /// A number in `0..bound` without bias worth speaking of (multiply-shift over 64 bits); 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
    /// A number in `0.0..1.0` (53 bits).
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
