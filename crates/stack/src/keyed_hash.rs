//! Hash tables whose keys a peer may choose: SipHash with a secret of this host, so that nobody can aim at one bucket.
use core::hash::{BuildHasher, Hash, Hasher};
use core::net::IpAddr;

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
    type Hasher = KeyedHasher;
    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher::new(self.secret)
    }
}

/// SipHash-1-3, a word at a time: an address of IPv6 is two words, and hashing its bytes one by one costs as much as a whole lookup.
/// What comes out is the same.
pub struct KeyedHasher(SipHasher13);
impl KeyedHasher {
    /// With this secret.
    pub fn new(secret: (u64, u64)) -> Self {
        Self(SipHasher13::new_with_keys(secret.0, secret.1))
    }
}
impl Hasher for KeyedHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.0.write_u64(u64::from_le_bytes(*word));
        }
        self.0.write(rest);
    }
    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.0.write_u8(n);
    }
    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.0.write_u16(n);
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.0.write_u32(n);
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.0.write_u64(n);
    }
    #[inline]
    fn write_u128(&mut self, n: u128) {
        self.0.write_u64(n as u64);
        self.0.write_u64((n >> 64) as u64);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.0.write_usize(n);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// An address at a port of a host or of a link: what its tables are asked for with each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<P>(pub P, pub IpAddr);
impl<P: Hash> Hash for Place<P> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_bare(self.1, state);
        self.0.hash(state);
    }
}

/// The bare bytes of an address: one table's are of one length as a rule, and the comparison decides.
pub fn hash_bare<H: Hasher>(ip: IpAddr, state: &mut H) {
    match ip {
        IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
        IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_hash_as_their_bytes_do(
            ip in any::<IpAddr>(), port in any::<u16>(), bytes in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            let mut words = KeyedHasher::new((1, 2));
            let mut plain = SipHasher13::new_with_keys(1, 2);
            let key = (SocketAddr::new(ip, port), port, bytes);
            key.hash(&mut words);
            key.hash(&mut plain);
            prop_assert_eq!(words.finish(), plain.finish());
        }
    }
}
