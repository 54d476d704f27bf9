//! How much of a connection's text leaves at once.
use super::tcb::Tcb;
use crate::Instant;
use crate::time::Duration;

/// Most text of a super-segment: with its headers it is an IPv4 packet.
const MOST_TEXT: u32 = 65_535 - 20 - 60;
/// Who sent nothing for longer than this does not wait: no ACK is close.
const CLOSE: Duration = Duration::from_millis(1);
/// Part of the window that is always worth a segment: what waits is not under way. (Linux's tcp_tso_win_divisor is 3, which costs
/// small windows some percent.)
const WORTH: u32 = 16;

impl Tcb {
    /// Most new text that one super-segment carries: at most half the congestion window, so that two are under way.
    pub fn most_new(&self, unsent: u32, mss: u32) -> u32 {
        let most = most_text(mss);
        // A pointer holds for one segment.
        if self.is_urgent() {
            return mss;
        }
        if unsent <= mss {
            return most;
        }
        let half = whole(self.window.cwnd / 2, mss).max(mss);
        most.min(half).min(self.burst(mss))
    }
    /// Most text of one that leaves again.
    pub fn most_again(&self, mss: u32) -> u32 {
        match self.is_urgent() {
            true => mss,
            false => self.burst(mss),
        }
    }
    /// Whether to let `room`, less than a burst, grow until the next ACK, where that is close (Linux's tcp_tso_should_defer): fewer
    /// and longer segments. Who fills each free place of a queue on the way at once takes it from those who wait.
    pub fn waits_for_more(&self, room: u32, mss: u32, now: Instant) -> bool {
        let window = self.window.cwnd.min(self.snd.wnd);
        // During a repair each ACK lets a segment out (RFC 3042).
        let repairs = self.pipe() < self.flight.outstanding();
        if room >= self.burst(mss) || room >= window / WORTH || repairs {
            return false;
        }
        let Some((oldest, srtt)) = self.flight.front().zip(self.rtt.srtt()) else {
            return false;
        };
        now.since(self.last_sent) <= CLOSE && now.since(oldest.sent_at) >= srtt / 2
    }
    /// What leaves in about a millisecond at the rate that the window allows, more where the way is short (Linux's
    /// tcp_tso_autosize): the longer the way, the smaller the bursts.
    pub fn burst(&self, mss: u32) -> u32 {
        if let Some(bbr) = self.controller.model() {
            return whole(bbr.quantum(mss), mss).min(most_text(mss));
        }
        let (Some(per_second), Some(min)) = (self.pacing_rate(), self.rtt.min()) else {
            return most_text(mss);
        };
        let halvings = min.as_micros() >> 9;
        let short_way = if halvings < 32 {
            u64::from(MOST_TEXT) >> halvings
        } else {
            0
        };
        let bytes = (per_second / 1024 + short_way).min(MOST_TEXT.into()) as u32;
        let least = u32::from(self.agreed.least_burst) * mss;
        whole(bytes, mss).max(least).min(most_text(mss))
    }
}

/// The longest super-segment of whole segments; one segment is always one (the loopback's fills an IPv4 packet).
fn most_text(mss: u32) -> u32 {
    whole(MOST_TEXT, mss).max(mss)
}
/// As many bytes as make whole segments.
pub fn whole(bytes: u32, mss: u32) -> u32 {
    bytes / mss * mss
}
