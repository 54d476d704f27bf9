//! CUBIC (RFC 9438): C = 0.4, beta = 0.7, fast convergence, the Reno-friendly region. Integers only, so that every machine counts alike.
use super::hystart::HyStart;
use super::{Acked, CongestionControl, Lost, Window};
use alloc::boxed::Box;

use crate::Instant;
use crate::time::Duration;

/// beta_cubic, as a fraction.
const BETA: (u64, u64) = (7, 10);

/// RFC 9438 4.1's variables. Bytes and milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Cubic {
    w_max: u32,
    /// Only of a connection that used its window up once.
    stage: Option<Box<Stage>>,
    /// Bytes acknowledged that have not yet become growth.
    credit: u64,
}

/// What is remembered: first of slow start, then of the time since the last loss.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Start(HyStart),
    Epoch(Epoch),
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Instant,
    /// Milliseconds until the plateau.
    k: u64,
    cwnd: u32,
    /// Reno's window, in bytes times 256.
    w_est: u64,
}

impl CongestionControl for Cubic {
    fn on_ack(&mut self, window: &mut Window, acked: &Acked) {
        let rest = if window.in_slow_start() {
            self.slow_start(window, acked)
        } else {
            acked.bytes
        };
        if rest > 0 {
            self.avoid(window, acked, rest);
        }
    }
    //= rfc9438#4.6
    //# ssthresh = cwnd * beta_cubic
    fn on_loss(&mut self, window: &mut Window, _: &Lost) {
        let cwnd = u64::from(window.cwnd);
        //= rfc9438#4.7
        //# if cwnd < W_max ... W_max = cwnd * (1 + beta_cubic) / 2
        self.w_max = if window.cwnd < self.w_max {
            (cwnd * (BETA.0 + BETA.1) / (2 * BETA.1)) as u32
        } else {
            window.cwnd
        };
        self.stage = None;
        let segments = cwnd * BETA.0 / BETA.1 / u64::from(window.mss.max(1));
        window.ssthresh = (segments as u32 * window.mss).max(2 * window.mss);
    }
    //= rfc9438#4.2
    //# CUBIC's t does not include any time in which the congestion window was not updated because of application-limited behavior
    fn on_idle(&mut self, idle: Duration) {
        if let Some(Stage::Epoch(epoch)) = self.stage.as_deref_mut() {
            epoch.start += idle;
        }
    }
    fn on_timeout(&mut self) {
        self.stage = None;
        self.credit = 0;
    }
}

impl Cubic {
    //= rfc9406#4.3
    //# An implementation SHOULD use HyStart++ only for the initial slow start (when the ssthresh is at its initial value of arbitrarily high per [RFC5681]) and fall back to using standard slow start for the remainder of the connection lifetime.
    fn slow_start(&mut self, window: &mut Window, acked: &Acked) -> u32 {
        if !window.is_unbounded() {
            return window.slow_start(acked.bytes);
        }
        let fresh = || Box::new(Stage::Start(HyStart::new(acked.nxt)));
        let stage = self.stage.get_or_insert_with(fresh);
        match stage.as_mut() {
            Stage::Start(start) => start.on_ack(window, acked),
            // an undone reduction went back to before it
            Stage::Epoch(_) => window.slow_start(acked.bytes),
        }
    }
    fn avoid(&mut self, window: &mut Window, acked: &Acked, bytes: u32) {
        let mss = u64::from(window.mss.max(1));
        let cwnd = u64::from(window.cwnd.max(1));
        let w_max = self.w_max;
        let fresh = || Stage::Epoch(Epoch::begin(acked.now, window, w_max));
        let stage = self.stage.get_or_insert_with(|| Box::new(fresh()));
        if matches!(stage.as_ref(), Stage::Start(_)) {
            **stage = fresh();
        }
        let Stage::Epoch(epoch) = stage.as_mut() else {
            return;
        };
        epoch.grow_reno(u64::from(bytes), cwnd, mss, w_max);
        let t = acked.now.since(epoch.start) + acked.srtt;
        let cubic = epoch
            .w_cubic(t, u64::from(w_max), mss)
            .clamp(cwnd, cwnd * 3 / 2);
        let target = cubic.max(epoch.w_est >> 8);
        // cwnd grows by (target - cwnd) / cwnd for each byte acknowledged
        self.credit += u64::from(bytes) * target.saturating_sub(cwnd);
        let growth = self.credit / cwnd;
        if growth >= mss {
            let whole = growth / mss * mss;
            self.credit -= whole * cwnd;
            window.cwnd = u32::try_from(cwnd + whole).unwrap_or(u32::MAX);
        }
    }
}

impl Epoch {
    //= rfc9438#4.2
    //# K = cubic_root((W_max - cwnd_epoch) / C)
    fn begin(now: Instant, window: &Window, w_max: u32) -> Self {
        let mss = u64::from(window.mss.max(1));
        let gap = u64::from(w_max.saturating_sub(window.cwnd));
        Self {
            start: now,
            // K^3 s^3 = gap / mss / 0.4; in ms: times 10^9
            k: cube_root(gap.saturating_mul(2_500_000_000) / mss),
            cwnd: window.cwnd,
            w_est: u64::from(window.cwnd) << 8,
        }
    }
    //= rfc9438#4.3
    //# W_est = W_est + alpha_cubic * (segments_acked / cwnd)
    fn grow_reno(&mut self, bytes: u64, cwnd: u64, mss: u64, w_max: u32) {
        // alpha = 3 (1 - beta) / (1 + beta) = 9/17 until the window before the loss is reached again, then 1
        let alpha = if self.w_est >> 8 >= u64::from(w_max) {
            256
        } else {
            256 * 9 / 17
        };
        self.w_est += alpha * bytes * mss / cwnd;
    }
    //= rfc9438#4.2
    //# W_cubic(t) = C * (t - K)^3 + W_max
    fn w_cubic(&self, t: Duration, w_max: u64, mss: u64) -> u64 {
        let origin = w_max.max(u64::from(self.cwnd));
        let t = t.as_millis().min(1_000_000) as i128;
        let d = t - i128::from(self.k);
        let delta = d * d * d * 4 * i128::from(mss) / 10 / 1_000_000_000;
        u64::try_from((i128::from(origin) + delta).max(0)).unwrap_or(u64::MAX)
    }
}

/// The integer cube root, by bits.
fn cube_root(n: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let candidate = root | 1 << bit;
        if candidate.checked_pow(3).is_some_and(|cube| cube <= n) {
            root = candidate;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l4_transport::tcp::seq::SeqNum;

    #[test]
    fn cube_roots() {
        for (n, root) in [
            (0, 0),
            (1, 1),
            (7, 1),
            (8, 2),
            (26, 2),
            (27, 3),
            (1_000_000_000_000, 10_000),
            (u64::MAX, 2_642_245),
        ] {
            assert_eq!(cube_root(n), root);
        }
    }

    /// Acknowledges one window each 100 ms and returns the window after each.
    fn run(cubic: &mut Cubic, window: &mut Window, rounds: u64) -> alloc::vec::Vec<u32> {
        let srtt = Duration::from_millis(100);
        (1..=rounds)
            .map(|i| {
                let now = Instant::from_nanos(i * 100_000_000);
                for _ in 0..window.cwnd / window.mss {
                    cubic.on_ack(
                        window,
                        &Acked {
                            now,
                            bytes: window.mss,
                            srtt,
                            una: SeqNum(0),
                            nxt: SeqNum(0),
                            rtt: None,
                        },
                    );
                }
                window.cwnd
            })
            .collect()
    }

    #[test]
    fn after_a_loss_the_window_rises_flattens_near_the_old_one_and_rises_again() {
        let mut cubic = Cubic::default();
        let mut window = Window {
            cwnd: 1_000_000,
            ssthresh: 500_000,
            mss: 1000,
        };
        cubic.on_loss(&mut window, &Lost { flight: 1_000_000 });
        assert_eq!(window.ssthresh, 700_000);
        window.cwnd = window.ssthresh;
        // K = cbrt(300 / 0.4) = 9.09 s
        let cwnds = run(&mut cubic, &mut window, 180);
        let at = |s: usize| cwnds[s * 10 - 1];
        assert!((990_000..=1_010_000).contains(&at(9)), "{}", at(9));
        assert!(at(2) - 700_000 > at(9) - at(7), "steep first, then flat");
        assert!(at(18) - at(16) > 2 * (at(11) - at(9)), "and steep again");
    }

    #[test]
    fn small_windows_grow_at_least_as_reno_would() {
        let mut cubic = Cubic::default();
        let mut window = Window {
            cwnd: 10_000,
            ssthresh: 5000,
            mss: 1000,
        };
        cubic.on_loss(&mut window, &Lost { flight: 10_000 });
        window.cwnd = window.ssthresh;
        let cwnds = run(&mut cubic, &mut window, 20);
        assert!(*cwnds.last().unwrap() >= 7000 + 8 * 1000, "{cwnds:?}");
    }

    #[test]
    fn a_second_loss_below_the_old_maximum_makes_room() {
        let mut cubic = Cubic::default();
        let mut window = Window {
            cwnd: 100_000,
            ssthresh: 0,
            mss: 1000,
        };
        cubic.on_loss(&mut window, &Lost { flight: 0 });
        window.cwnd = 70_000;
        cubic.on_loss(&mut window, &Lost { flight: 0 });
        assert_eq!(cubic.w_max, 59_500);
        assert_eq!(window.ssthresh, 49_000);
    }

    #[test]
    fn cubic_too_keeps_two_segments() {
        let mut window = Window {
            cwnd: 1000,
            ssthresh: u32::MAX,
            mss: 1000,
        };
        Cubic::default().on_loss(&mut window, &Lost { flight: 1000 });
        assert_eq!(window.ssthresh, 2000);
    }
}
