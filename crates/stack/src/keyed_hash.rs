//! Hash tables whose keys a peer may choose: SipHash with a secret of this host, so that nobody can aim at one bucket.
use core::hash::BuildHasher;

use siphasher::sip::SipHasher13;

use crate::Rng;

/// Builds keyed hashers. Same secret, same hashes: drawn from the host's own stream, so a run repeats.
#[derive(Clone, Copy)]
pub struct KeyedHash {
    secret: (u64, u64),
}
impl KeyedHash {
    /// A new secret.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            secret: (rng.next_u64(), rng.next_u64()),
        }
    }
}
impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.secret.0, self.secret.1)
    }
}
