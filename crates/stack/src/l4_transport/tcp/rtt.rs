//! Round-trip time and the retransmission timeout that follows from it (RFC 6298).
use crate::time::{Duration, Span};

/// Before the first sample.
pub const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The same once a SYN was not answered in time.
const RTO_AFTER_A_LOST_SYN: Duration = Duration::from_secs(3);
/// Least margin above the smoothed time: Linux's choice, where RFC 6298 2.4 asks for one second in all.
pub const MIN_RTO: Duration = Duration::from_millis(200);
/// Most, also with backoff.
pub const MAX_RTO: Duration = Duration::from_secs(120);

/// The estimator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rtt {
    srtt: Option<Span>,
    rttvar: Span,
    min: Option<Span>,
    backoff: u8,
    syn_was_lost: bool,
}
impl Rtt {
    /// A sample of a segment that was not sent twice (Karn), or by timestamps.
    //= rfc6298#2.3
    //# RTTVAR <- (1 - beta) * RTTVAR + beta * |SRTT - R'|
    pub fn sample(&mut self, r: Duration) {
        let sample = Span::of(r.max(Duration::from_micros(1)));
        let r = sample.as_nanos();
        let (srtt, rttvar) = match self.srtt {
            None => (r, r / 2),
            Some(srtt) => {
                let (srtt, rttvar) = (srtt.as_nanos(), self.rttvar.as_nanos());
                let rttvar = rttvar.saturating_mul(3).saturating_add(srtt.abs_diff(r)) / 4;
                (srtt.saturating_mul(7).saturating_add(r) / 8, rttvar)
            }
        };
        self.srtt = Some(Span::from_nanos(srtt));
        self.rttvar = Span::from_nanos(rttvar);
        self.min = Some(self.min.map_or(sample, |min| min.min(sample)));
        self.backoff = 0;
    }
    //= rfc6298#5.7
    //# If the timer expires awaiting the ACK of a SYN segment ... the RTO MUST be re-initialized to 3 seconds when data transmission begins
    /// The SYN left more than once, and nothing was measured yet.
    pub fn note_lost_syn(&mut self) {
        self.syn_was_lost = true;
    }
    /// SRTT.
    pub fn srtt(&self) -> Option<Duration> {
        self.srtt.map(Span::duration)
    }
    /// RTTVAR.
    pub fn rttvar(&self) -> Duration {
        self.rttvar.duration()
    }
    /// The shortest seen.
    pub fn min(&self) -> Option<Duration> {
        self.min.map(Span::duration)
    }
    /// RTO with its backoff.
    pub fn rto(&self) -> Duration {
        self.rto_at(self.backoff)
    }
    /// RTO without backoff.
    pub fn base_rto(&self) -> Duration {
        self.rto_at(0)
    }
    fn rto_at(&self, backoff: u8) -> Duration {
        const MIN: u64 = Span::of(MIN_RTO).as_nanos();
        const MAX: u64 = Span::of(MAX_RTO).as_nanos();
        let base = match self.srtt {
            None if self.syn_was_lost => Span::of(RTO_AFTER_A_LOST_SYN).as_nanos(),
            None => Span::of(INITIAL_RTO).as_nanos(),
            Some(srtt) => {
                let margin = self.rttvar.as_nanos().saturating_mul(4).max(MIN);
                srtt.as_nanos().saturating_add(margin)
            }
        };
        Duration::from_nanos(base.saturating_mul(1 << backoff.min(16)).min(MAX))
    }
    //= rfc6298#5.5
    //# The host MUST set RTO <- RTO * 2 ("back off the timer").
    /// Doubles the timeout, until something is measured again: an ACK of what was sent twice measures nothing.
    pub fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }
    /// How often it was doubled.
    pub fn backoff(&self) -> u8 {
        self.backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_timeout_follows_the_samples() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.rto(), ms(1000));
        rtt.sample(ms(100));
        assert_eq!(rtt.srtt(), Some(ms(100)));
        assert_eq!(rtt.rto(), ms(300));
        for _ in 0..100 {
            rtt.sample(ms(100));
        }
        assert_eq!(rtt.rto(), ms(300), "never closer than the least margin");
        rtt.sample(ms(900));
        assert_eq!(rtt.srtt(), Some(ms(200)));
        assert!(rtt.rto() >= ms(1000), "{:?}", rtt.rto());
    }

    #[test]
    fn backoff_doubles_up_to_two_minutes() {
        let mut rtt = Rtt::default();
        for expected in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
            assert_eq!(rtt.rto(), Duration::from_secs(expected));
            rtt.back_off();
        }
        rtt.sample(ms(100));
        assert_eq!(rtt.rto(), ms(300), "a sample ends it");
    }

    #[test]
    fn after_a_lost_syn_the_timeout_is_three_seconds_until_something_is_measured() {
        let mut rtt = Rtt::default();
        rtt.note_lost_syn();
        assert_eq!(rtt.rto(), ms(3000));
        rtt.back_off();
        assert_eq!(rtt.rto(), ms(6000));
        rtt.sample(ms(100));
        assert_eq!(rtt.rto(), ms(300));
    }
}
