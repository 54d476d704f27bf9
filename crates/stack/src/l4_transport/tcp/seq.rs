//! Sequence numbers: the only place that compares them (RFC 9293 3.4).
use core::ops::{Add, AddAssign, Sub};

/// A sequence number, modulo 2^32. Two of them compare rightly while they are less than 2^31 apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Bytes from `earlier` to here, modulo 2^32.
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
    /// `self < other`
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }
    /// `self <= other`
    pub const fn at_or_before(self, other: Self) -> bool {
        !other.before(self)
    }
    /// `self > other`
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }
    /// `self >= other`
    pub const fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }
    /// The later one.
    #[must_use]
    pub const fn later(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }
    /// The earlier one.
    #[must_use]
    pub const fn earlier(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }
}
impl Add<u32> for SeqNum {
    type Output = Self;
    fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}
impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}
impl Sub<u32> for SeqNum {
    type Output = Self;
    fn sub(self, n: u32) -> Self {
        Self(self.0.wrapping_sub(n))
    }
}
impl core::fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        for base in [0u32, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
            let a = SeqNum(base);
            for step in [1u32, 1000, 0x7fff_ffff] {
                let b = a + step;
                assert!(a.before(b) && b.after(a), "{base} + {step}");
                assert!(a.at_or_before(b) && b.at_or_after(a));
                assert!(!b.before(a) && !a.after(b));
                assert_eq!(b.since(a), step);
                assert_eq!(a.later(b), b);
                assert_eq!(a.earlier(b), a);
            }
            assert!(a.at_or_before(a) && a.at_or_after(a) && !a.before(a) && !a.after(a));
        }
    }
}
