//! Initial sequence numbers (RFC 6528) and timestamp offsets, each from a keyed hash of the four that name a connection.
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

use super::seq::SeqNum;
use crate::keyed_hash::KeyedHasher;
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
    /// A key for another purpose, which tells nothing of these: it takes no chance of its own.
    pub fn derive(&self, purpose: &str) -> (u64, u64) {
        let half = |n: u8| {
            let mut hasher = KeyedHasher::new(self.isn);
            purpose.hash(&mut hasher);
            hasher.write_u8(n);
            hasher.finish()
        };
        (half(0), half(1))
    }
    /// What a connection adds to its millisecond clock (RFC 7323 5.4).
    pub fn timestamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        hash(self.timestamps, local, remote)
    }
}

fn hash(key: (u64, u64), local: SocketAddr, remote: SocketAddr) -> u32 {
    let mut hasher = KeyedHasher::new(key);
    (local, remote).hash(&mut hasher);
    hasher.finish() as u32
}

/// TSval at a time.
pub fn timestamp(now: Instant, offset: u32) -> u32 {
    (now.as_millis() as u32).wrapping_add(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, EventLog, Rng};
    use heptad_wire::Pool;

    fn secrets(seed: u8) -> Secrets {
        Secrets::draw(&mut Cx {
            now: Instant::ZERO,
            rng: &mut Rng::from_seed([seed; 32]),
            pool: &mut Pool::new(1),
            events: &mut EventLog::default(),
            counters: &mut Counters::default(),
        })
    }

    #[test]
    fn initial_numbers_differ_by_host_and_by_each_end_and_move_with_the_clock() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let (here, there) = (at("10.0.0.1:1000"), at("10.0.0.2:80"));
        let now = Instant::from_nanos(5_000_000_000);
        let ours = secrets(1);
        let first = ours.isn(here, there, now);
        let others = [
            secrets(2).isn(here, there, now),
            ours.isn(at("10.0.0.9:1000"), there, now),
            ours.isn(at("10.0.0.1:1001"), there, now),
            ours.isn(here, at("10.0.0.3:80"), now),
            ours.isn(here, at("10.0.0.2:81"), now),
        ];
        for other in others {
            let apart = other.since(first).min(first.since(other));
            assert!(apart > 100_000, "{apart}: a stranger could guess it");
        }
        // RFC 9293 3.4.1: one for every 4 us.
        let later = Instant::from_nanos(6_000_000_000);
        assert_eq!(ours.isn(here, there, later).since(first), 250_000);
        assert_ne!(ours.timestamp_offset(here, there), first.0);
    }
}
