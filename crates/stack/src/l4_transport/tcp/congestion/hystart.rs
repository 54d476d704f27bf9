//! HyStart++ (RFC 9406): a round trip that grows ends slow start before the queue of the path overflows.
//!
//! ```text
//!   slow start ── the round's least RTT rose ──▶ CSS: a quarter of the growth ── five rounds ──▶ congestion avoidance
//!        ▲                                          │
//!        └───── it fell below what it rose to ──────┘
//! ```
use super::{Acked, Window};
use crate::l4_transport::tcp::seq::SeqNum;
use crate::time::Duration;

const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

/// RFC 9406 4.2's variables. Only of a connection in its first slow start that used its window up once.
#[derive(Clone, Copy, Debug)]
pub struct HyStart {
    window_end: SeqNum,
    last_round_min: Option<Duration>,
    current_round_min: Option<Duration>,
    samples: u8,
    css: Option<Css>,
}

/// Conservative slow start.
#[derive(Clone, Copy, Debug)]
struct Css {
    baseline_min: Duration,
    /// Rounds that ended in it.
    rounds: u8,
}

impl HyStart {
    //= rfc9406#4.2
    //# At the start of each round during standard slow start and CSS, initialize the variables used to compute the last round's and current round's minimum RTT
    /// The first round ends with what has left by now.
    pub fn new(nxt: SeqNum) -> Self {
        Self {
            window_end: nxt,
            last_round_min: None,
            current_round_min: None,
            samples: 0,
            css: None,
        }
    }
    /// Grows the window, or ends slow start; returns the bytes beyond ssthresh.
    pub fn on_ack(&mut self, window: &mut Window, acked: &Acked) -> u32 {
        if let Some(rtt) = acked.rtt {
            self.sample(rtt);
        }
        //= rfc9406#4.2
        //# For each arriving ACK in CSS, where N is the number of previously unacknowledged bytes acknowledged in the arriving ACK: cwnd = cwnd + (min(N, L * SMSS) / CSS_GROWTH_DIVISOR)
        let bytes = match self.css {
            None => acked.bytes,
            Some(_) => acked.bytes / CSS_GROWTH_DIVISOR,
        };
        let rest = window.slow_start(bytes);
        if acked.una.at_or_after(self.window_end) {
            self.end_round(acked.nxt);
        }
        //= rfc9406#4.2
        //# If CSS_ROUNDS rounds are complete, enter congestion avoidance by setting the ssthresh to the current cwnd.
        if self.css.is_some_and(|css| css.rounds >= CSS_ROUNDS) {
            window.ssthresh = window.cwnd;
        }
        rest
    }
    fn sample(&mut self, rtt: Duration) {
        self.samples = self.samples.saturating_add(1);
        let least = self.current_round_min.map_or(rtt, |min| min.min(rtt));
        self.current_round_min = Some(least);
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        match self.css {
            //= rfc9406#4.2
            //# For CSS rounds where at least N_RTT_SAMPLE RTT samples have been obtained, check to see if the current round's minRTT drops below baseline (cssBaselineMinRtt) indicating that slow start exit was spurious
            Some(css) if least < css.baseline_min => self.css = None,
            Some(_) => {}
            None if self.last_round_min.is_some_and(|last| risen(last, least)) => {
                self.css = Some(Css {
                    baseline_min: least,
                    rounds: 0,
                });
            }
            None => {}
        }
    }
    //= rfc9406#4.2
    //# If the transition into CSS happens in the middle of a round, that partial round counts towards the limit.
    fn end_round(&mut self, nxt: SeqNum) {
        self.window_end = nxt;
        self.last_round_min = self.current_round_min.take();
        self.samples = 0;
        if let Some(css) = &mut self.css {
            css.rounds += 1;
        }
    }
}

//= rfc9406#4.2
//# RttThresh = max(MIN_RTT_THRESH, min(lastRoundMinRTT / MIN_RTT_DIVISOR, MAX_RTT_THRESH)); if (currentRoundMinRTT >= (lastRoundMinRTT + RttThresh)) ... exit slow start and enter CSS
fn risen(last: Duration, current: Duration) -> bool {
    let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
    current >= last + threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;

    const MSS: u32 = 1000;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A path on which each round's segments take as long as its row says, one ACK each.
    struct Path {
        hystart: HyStart,
        window: Window,
        una: SeqNum,
    }
    impl Path {
        fn new() -> Self {
            let una = SeqNum(u32::MAX - 5000);
            let window = Window {
                cwnd: 20 * MSS,
                ssthresh: u32::MAX,
                mss: MSS,
            };
            Self {
                hystart: HyStart::new(una + window.cwnd),
                window,
                una,
            }
        }
        /// One round; returns by how much it grew the window, in percent.
        fn round(&mut self, rtt: Duration) -> u32 {
            let before = self.window.cwnd;
            for _ in 0..before / MSS {
                self.una += MSS;
                let acked = Acked {
                    now: Instant::ZERO,
                    bytes: MSS,
                    srtt: rtt,
                    una: self.una,
                    nxt: self.una + self.window.cwnd / MSS * MSS,
                    rtt: Some(rtt),
                };
                self.hystart.on_ack(&mut self.window, &acked);
            }
            (self.window.cwnd - before) * 100 / before
        }
    }

    #[test]
    fn the_threshold_is_an_eighth_between_four_and_sixteen_milliseconds() {
        for (last, current, is_risen) in [
            (10, 13, false),
            (10, 14, true),
            (80, 89, false),
            (80, 90, true),
            (400, 415, false),
            (400, 416, true),
        ] {
            assert_eq!(risen(ms(last), ms(current)), is_risen, "{last}, {current}");
        }
    }

    #[test]
    fn a_steady_round_trip_never_ends_slow_start() {
        let mut path = Path::new();
        for _ in 0..8 {
            assert_eq!(path.round(ms(50)), 100);
        }
        assert_eq!(path.window.ssthresh, u32::MAX);
    }

    #[test]
    fn five_rounds_after_the_round_trip_rose_slow_start_is_over() {
        let mut path = Path::new();
        assert_eq!(path.round(ms(50)), 100);
        let partial = path.round(ms(60));
        assert!((25..60).contains(&partial), "{partial}");
        for _ in 0..4 {
            assert_eq!(path.window.ssthresh, u32::MAX);
            let quarter = path.round(ms(60));
            assert!((23..=25).contains(&quarter), "{quarter}");
        }
        assert_eq!(path.window.ssthresh, path.window.cwnd);
    }

    #[test]
    fn a_round_trip_that_falls_again_was_no_queue() {
        let mut path = Path::new();
        path.round(ms(50));
        path.round(ms(60));
        assert!(path.hystart.css.is_some());
        let resumed = path.round(ms(55));
        assert!(resumed > 75, "{resumed}");
        assert!(path.hystart.css.is_none());
        assert!(path.round(ms(55)) > 97);
    }

    #[test]
    fn fewer_than_eight_samples_say_nothing() {
        let mut path = Path::new();
        path.window.cwnd = 7 * MSS;
        path.hystart = HyStart::new(path.una + path.window.cwnd);
        path.round(ms(50));
        path.window.cwnd = 7 * MSS;
        path.hystart.window_end = path.una + path.window.cwnd;
        assert_eq!(path.round(ms(100)), 100);
        assert!(path.hystart.css.is_none());
    }
}
