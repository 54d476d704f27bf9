//! Reno (RFC 5681).
use super::{Acked, CongestionControl, Lost, Window};
use crate::time::Duration;

/// Bytes acknowledged since the window last grew by one segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reno {
    counted: u32,
}
impl CongestionControl for Reno {
    //= rfc5681#3.1
    //# during congestion avoidance, cwnd is incremented by roughly 1 full-sized segment per round-trip time
    fn on_ack(&mut self, window: &mut Window, acked: &Acked) {
        let rest = if window.in_slow_start() {
            window.slow_start(acked.bytes)
        } else {
            acked.bytes
        };
        self.counted = self.counted.saturating_add(rest);
        if self.counted >= window.cwnd {
            self.counted -= window.cwnd;
            window.cwnd = window.cwnd.saturating_add(window.mss);
        }
    }
    //= rfc5681#3.1
    //# ssthresh = max (FlightSize / 2, 2*SMSS)
    fn on_loss(&mut self, window: &mut Window, lost: &Lost) {
        self.counted = 0;
        window.ssthresh = (window.cwnd.min(lost.flight.max(window.mss)) / 2).max(2 * window.mss);
    }
    fn on_idle(&mut self, _: Duration) {}
    fn on_timeout(&mut self) {
        self.counted = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;
    use crate::l4_transport::tcp::seq::SeqNum;

    fn ack(bytes: u32) -> Acked {
        Acked {
            now: Instant::ZERO,
            bytes,
            srtt: Duration::from_millis(100),
            una: SeqNum(0),
            nxt: SeqNum(0),
            rtt: None,
        }
    }

    #[test]
    fn the_window_doubles_then_grows_by_one_segment_a_round_trip() {
        let mut reno = Reno::default();
        let mut window = Window::initial(1000);
        for _ in 0..5 {
            reno.on_ack(&mut window, &ack(2000));
        }
        assert_eq!(window.cwnd, 20_000);
        reno.on_loss(&mut window, &Lost { flight: 20_000 });
        assert_eq!(window.ssthresh, 10_000);
        window.cwnd = window.ssthresh;
        for _ in 0..10 {
            reno.on_ack(&mut window, &ack(1000));
        }
        assert_eq!(window.cwnd, 11_000);
        for _ in 0..10 {
            reno.on_ack(&mut window, &ack(1000));
        }
        assert_eq!(window.cwnd, 11_000, "ten of eleven segments");
        reno.on_ack(&mut window, &ack(1000));
        assert_eq!(window.cwnd, 12_000);
    }

    #[test]
    fn ssthresh_is_never_below_two_segments() {
        let mut window = Window::initial(1000);
        Reno::default().on_loss(&mut window, &Lost { flight: 1000 });
        assert_eq!(window.ssthresh, 2000);
    }
}
