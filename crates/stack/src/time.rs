//! Time as the protocol machines see it: nanoseconds since the start of a run.
use core::num::NonZeroU64;
use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// A point in time: nanoseconds since the run started (584 years fit).
///
/// Kept as one more than they are: a connection has a dozen times that may be unset, and `Option<Instant>` is as small as
/// `Instant` that way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);
impl Instant {
    /// The start.
    pub const ZERO: Self = Self(NonZeroU64::MIN);
    /// Further away than any run lasts.
    pub const MAX: Self = Self(NonZeroU64::MAX);
    /// From nanoseconds; the last two that fit are both `MAX`.
    pub const fn from_nanos(n: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(n))
    }
    /// In nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }
    /// In microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.as_nanos() / 1_000
    }
    /// In milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.as_nanos() / 1_000_000
    }
    /// Time since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}
impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}
impl core::fmt::Debug for Instant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Instant").field(&self.as_nanos()).finish()
    }
}
/// Saturates: a time past the end of the count is `MAX`.
impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        let nanos = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}
impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}
/// As [`Instant::since`].
impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// A length of time in the room of one word, for what is kept of each connection. At most 584 years, which it saturates at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(NonZeroU64);
impl Span {
    /// Nothing.
    pub const ZERO: Self = Self::from_nanos(0);
    /// From nanoseconds.
    pub const fn from_nanos(n: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(n))
    }
    /// In nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }
    /// From a duration.
    pub const fn of(d: Duration) -> Self {
        let nanos = d.as_nanos();
        if nanos > u64::MAX as u128 {
            return Self(NonZeroU64::MAX);
        }
        Self::from_nanos(nanos as u64)
    }
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.as_nanos())
    }
}
impl Default for Span {
    fn default() -> Self {
        Self::ZERO
    }
}
impl core::fmt::Debug for Span {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.duration().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_come_back_and_the_end_of_the_count_saturates() {
        for n in [0, 1, 1_000, u64::MAX - 1] {
            assert_eq!(Instant::from_nanos(n).as_nanos(), n);
        }
        assert_eq!(Instant::from_nanos(u64::MAX), Instant::MAX);
        assert_eq!(Instant::from_nanos(5) + Duration::MAX, Instant::MAX);
        let (early, late) = (Instant::from_nanos(3), Instant::from_nanos(7));
        assert!(Instant::ZERO < early && early < late && late < Instant::MAX);
        assert_eq!(
            (late - early, early - late),
            (Duration::from_nanos(4), Duration::ZERO)
        );
    }

    #[test]
    fn a_span_is_a_duration_up_to_its_bound() {
        for d in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_secs(7200),
        ] {
            assert_eq!(Span::of(d).duration(), d);
        }
        assert_eq!(Span::of(Duration::MAX).as_nanos(), u64::MAX - 1);
    }

    #[test]
    fn a_time_that_may_be_unset_takes_no_more_room() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
        assert_eq!(size_of::<Option<Span>>(), size_of::<u64>());
    }
}
