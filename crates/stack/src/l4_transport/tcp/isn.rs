//! Initial sequence numbers (RFC 6528) and timestamp offsets, each from a keyed hash of the four that name a connection.
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

use siphasher::sip::SipHasher13;

use super::seq::SeqNum;
use crate::{Cx, Instant};

/// The host's secrets.
pub struct Secrets {
    isn: (u64, u64),
    timestamps: (u64, u64),
}
impl Secrets {
    /// Drawn once, when the host starts.
    pub fn draw(cx: &mut Cx<'_>) -> Self {
        let mut pair = || (cx.rng.next_u64(), cx.rng.next_u64());
        Self {
            isn: pair(),
            timestamps: pair(),
        }
    }
    //= rfc6528#3
    //# ISN = M + F(localip, localport, remoteip, remoteport, secretkey)
    /// An initial sequence number: a clock of 4 us plus the hash.
    pub fn isn(&self, local: SocketAddr, remote: SocketAddr, now: Instant) -> SeqNum {
        SeqNum((now.as_micros() / 4) as u32) + hash(self.isn, local, remote)
    }
    /// What a connection adds to its millisecond clock (RFC 7323 5.4).
    pub fn timestamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        hash(self.timestamps, local, remote)
    }
}

fn hash(key: (u64, u64), local: SocketAddr, remote: SocketAddr) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    (local, remote).hash(&mut hasher);
    hasher.finish() as u32
}

/// TSval at a time.
pub fn timestamp(now: Instant, offset: u32) -> u32 {
    (now.as_millis() as u32).wrapping_add(offset)
}
