//! The MTU of the way to each destination, as routers told it (RFC 1191 3, RFC 8201 5.2).
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

use crate::Instant;
use crate::time::Duration;

/// How long what was told is believed; then larger packets are tried again (RFC 8201 4, Linux: mtu_expires).
pub const LIFE: Duration = Duration::from_secs(600);
/// Most destinations that are remembered; the one that was told of first makes room.
pub const BOUND: usize = 1024;

/// What was told, bytes, and when.
#[derive(Default)]
pub struct PathMtus {
    by_destination: BTreeMap<IpAddr, (u32, Instant)>,
    /// In the order in which they are forgotten.
    agenda: BTreeSet<(Instant, IpAddr)>,
}
impl PathMtus {
    /// What is known of the way to `dst`.
    pub fn get(&self, dst: IpAddr) -> Option<u32> {
        self.by_destination.get(&dst).map(|(mtu, _)| *mtu)
    }
    /// Remembers the smallest of what was told. What is too old goes.
    pub fn learn(&mut self, dst: IpAddr, mtu: u32, now: Instant) {
        self.forget(now);
        if self.get(dst).is_some_and(|known| known < mtu) {
            return;
        }
        self.remove(dst);
        if self.by_destination.len() >= BOUND
            && let Some((_, oldest)) = self.agenda.pop_first()
        {
            self.by_destination.remove(&oldest);
        }
        self.by_destination.insert(dst, (mtu, now + LIFE));
        self.agenda.insert((now + LIFE, dst));
    }
    /// Forgets what is too old.
    pub fn forget(&mut self, now: Instant) {
        while let Some((until, dst)) = self.agenda.first().copied()
            && until <= now
        {
            self.remove(dst);
        }
    }
    /// When something is to be forgotten.
    pub fn poll_at(&self) -> Option<Instant> {
        self.agenda.first().map(|(until, _)| *until)
    }
    /// Destinations, what is known of the way, and until when.
    pub fn rows(&self) -> impl Iterator<Item = (IpAddr, u32, Instant)> {
        let all = self.by_destination.iter();
        all.map(|(dst, (mtu, until))| (*dst, *mtu, *until))
    }
    fn remove(&mut self, dst: IpAddr) {
        if let Some((_, until)) = self.by_destination.remove(&dst) {
            self.agenda.remove(&(until, dst));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(core::net::Ipv4Addr::from_bits(number))
    }
    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_smallest_mtu_that_was_told_is_believed_for_ten_minutes() {
        let mut mtus = PathMtus::default();
        for (seconds, told, known) in [(0, 1400, 1400), (10, 1300, 1300), (20, 1350, 1300)] {
            mtus.learn(ip(1), told, at(seconds));
            assert_eq!(mtus.get(ip(1)), Some(known));
        }
        assert_eq!(mtus.poll_at(), Some(at(610)));
        mtus.forget(at(609));
        assert_eq!(mtus.get(ip(1)), Some(1300));
        mtus.forget(at(610));
        assert_eq!((mtus.get(ip(1)), mtus.poll_at()), (None, None));
    }

    #[test]
    fn the_one_that_was_told_of_first_makes_room() {
        let mut mtus = PathMtus::default();
        for number in 0..=BOUND as u32 {
            mtus.learn(ip(number), 1400, at(u64::from(number) % 7));
        }
        assert_eq!(mtus.rows().count(), BOUND);
        assert_eq!((mtus.get(ip(0)), mtus.get(ip(1))), (None, Some(1400)));
    }
}
