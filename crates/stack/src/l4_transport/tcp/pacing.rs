//! Pacing: what the windows allow leaves at a rate, not all at once. For BBR, and where SO_MAX_PACING_RATE bounds a socket; off otherwise.
use super::congestion::{INITIAL_WINDOW, Window};
use super::tally::Count;
use super::tcb::Tcb;
use crate::Instant;
use crate::time::Duration;

/// When the next may leave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacing {
    next: Instant,
    /// It is not that time yet.
    held: bool,
}
impl Pacing {
    /// `len` bytes left. What left late, because a timer or the network came late, is made up for: as Linux, by half of its delay at most.
    fn pace(&mut self, len: u32, per_second: u64, now: Instant) {
        let nanos = u64::from(len).saturating_mul(1_000_000_000) / per_second.max(1);
        let delay = Duration::from_nanos(nanos);
        let late = now.since(self.next).min(delay / 2);
        self.next = self.next.max(now) + (delay - late);
        self.held = self.next > now;
    }
    /// When sending goes on.
    fn at(&self) -> Option<Instant> {
        self.held.then_some(self.next)
    }
}

impl Tcb {
    /// Whether text leaves at a rate.
    pub fn is_paced(&self) -> bool {
        self.controller.model().is_some() || self.rate_bound().is_some()
    }
    /// SO_MAX_PACING_RATE.
    fn rate_bound(&self) -> Option<u64> {
        let most = self.ep.options.max_pacing_rate;
        (most != 0 && most != u64::MAX).then_some(most)
    }
    /// Bytes a second at which text leaves, or would if it were paced.
    pub fn pacing_rate(&self) -> Option<u64> {
        let own = match self.controller.model() {
            Some(bbr) => Some(bbr.pacing_rate()),
            None => self.window_rate(),
        };
        match (own, self.rate_bound()) {
            (Some(rate), Some(most)) => Some(rate.min(most)),
            (rate, most) => rate.or(most),
        }
    }
    /// Bytes a second that the window allows, with room for growth (Linux's tcp_update_pacing_rate).
    fn window_rate(&self) -> Option<u64> {
        let srtt = self.rtt.srtt()?;
        let Window { cwnd, ssthresh, .. } = self.window;
        let percent = if cwnd < ssthresh / 2 { 200 } else { 120 };
        let micros = u64::try_from(srtt.as_micros()).unwrap_or(u64::MAX).max(1);
        Some(u64::from(cwnd) * percent * 10_000 / micros)
    }
    /// Text left. The first segments leave at once, as Linux's do: their ACKs say how fast others may follow.
    pub fn pace(&mut self, len: u32, now: Instant) {
        if !self.is_paced() || self.counted(Count::DataSegsOut) < INITIAL_WINDOW {
            return;
        }
        if let Some(rate) = self.pacing_rate() {
            self.busy().pacing.pace(len, rate, now);
        }
    }
    /// The next text has to wait.
    pub fn is_held_back(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.pacing.held)
    }
    /// Until then.
    pub fn held_back_until(&self) -> Option<Instant> {
        self.busy.as_ref()?.pacing.at()
    }
    /// Time has passed.
    pub fn release_pace(&mut self, now: Instant) {
        if let Some(busy) = &mut self.busy
            && busy.pacing.next <= now
        {
            busy.pacing.held = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_at_the_rate_and_half_of_what_came_late_is_made_up_for() {
        let us = |n: u64| Instant::from_nanos(n * 1000);
        let mut pacing = Pacing::default();
        // after a pause half of the delay is forgiven, then 1000 bytes a millisecond
        for (now, next) in [
            (10_000, 10_500),
            (10_500, 11_500),
            (11_500, 12_500),
            (12_700, 13_500),
            (20_000, 20_500),
        ] {
            pacing.pace(1000, 1_000_000, us(now));
            assert_eq!(pacing.at(), Some(us(next)), "at {now} us");
        }
    }
}
