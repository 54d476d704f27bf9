//! How many ICMP errors this host sends (RFC 1812 4.3.2.8): 1000 a second in all with bursts of 50, and one a second to
//! each destination with bursts of 6, as Linux does. Echo replies and "fragmentation needed" are not limited.
use alloc::boxed::Box;
use core::hash::BuildHasher;
use core::net::IpAddr;

use crate::Instant;
use crate::Rng;
use crate::keyed_hash::KeyedHash;
use crate::time::Duration;

/// A token bucket in one number (the generic cell rate algorithm): when the next token would be due if none were saved.
#[derive(Clone, Copy, Default)]
struct Bucket {
    due: Instant,
}

/// Rate and burst of a bucket.
struct Rate {
    interval: Duration,
    burst: u32,
}
const HOST: Rate = Rate {
    interval: Duration::from_millis(1),
    burst: 50,
};
const DESTINATION: Rate = Rate {
    interval: Duration::from_secs(1),
    burst: 6,
};
/// Destinations share a bucket when their keyed hashes meet.
const BUCKETS: usize = 256;

/// What became of a request to send an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Send it.
    Granted,
    /// The host has sent too many.
    HostLimit,
    /// This destination has had too many.
    DestinationLimit,
}

/// The budget of one host.
pub struct ErrorBudget {
    hash: KeyedHash,
    host: Bucket,
    /// Made with the first error.
    destinations: Option<Box<[Bucket; BUCKETS]>>,
}
impl ErrorBudget {
    /// A full budget.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            hash: KeyedHash::new(rng),
            host: Bucket::default(),
            destinations: None,
        }
    }
    /// Takes one error to `dst` out of the budget.
    pub fn take(&mut self, dst: IpAddr, now: Instant) -> Allowance {
        let index = self.hash.hash_one(dst) as usize % BUCKETS;
        let buckets = self
            .destinations
            .get_or_insert_with(|| Box::new([Bucket::default(); BUCKETS]));
        let Some(destination) = buckets.get_mut(index) else {
            return Allowance::DestinationLimit;
        };
        // The host's bucket is asked first but pays only for what is sent.
        if !self.host.has_token(&HOST, now) {
            return Allowance::HostLimit;
        }
        if !destination.has_token(&DESTINATION, now) {
            return Allowance::DestinationLimit;
        }
        self.host.take(&HOST, now);
        destination.take(&DESTINATION, now);
        Allowance::Granted
    }
}
impl Bucket {
    fn has_token(self, rate: &Rate, now: Instant) -> bool {
        self.due <= now + rate.interval * (rate.burst - 1)
    }
    fn take(&mut self, rate: &Rate, now: Instant) {
        self.due = self.due.max(now) + rate.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &mut ErrorBudget, dst: u32, at: Duration) -> bool {
        let dst = IpAddr::V4(core::net::Ipv4Addr::from_bits(dst));
        budget.take(dst, Instant::ZERO + at) == Allowance::Granted
    }

    #[test]
    fn a_destination_gets_six_at_once_and_then_one_a_second() {
        let mut budget = ErrorBudget::new(&mut Rng::from_seed([1; 32]));
        let mut count = |at| (0..20).filter(|_| granted(&mut budget, 1, at)).count();
        assert_eq!(count(Duration::from_secs(100)), 6);
        assert_eq!(count(Duration::from_millis(100_999)), 0);
        assert_eq!(count(Duration::from_millis(103_500)), 3);
        assert_eq!(count(Duration::from_secs(1000)), 6);
    }

    #[test]
    fn the_host_sends_fifty_at_once_and_then_a_thousand_a_second() {
        let mut budget = ErrorBudget::new(&mut Rng::from_seed([1; 32]));
        let mut next = 0;
        let mut count = |at, tries: u32| {
            next += tries;
            (next - tries..next)
                .filter(|dst| granted(&mut budget, *dst, at))
                .count()
        };
        assert_eq!(count(Duration::from_secs(1), 100), 50);
        assert_eq!(count(Duration::from_millis(1010), 100), 10);
    }

    #[test]
    fn what_a_destination_is_refused_costs_the_host_nothing() {
        let mut budget = ErrorBudget::new(&mut Rng::from_seed([1; 32]));
        for _ in 0..1000 {
            granted(&mut budget, 1, Duration::ZERO);
        }
        let others = (2..300u32).filter(|dst| granted(&mut budget, *dst, Duration::ZERO));
        assert_eq!(others.count(), 44);
    }
}
