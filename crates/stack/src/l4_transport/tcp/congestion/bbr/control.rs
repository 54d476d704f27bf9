//! The rate and the window that follow from the model (draft-ietf-ccwg-bbr 5.6).
use super::super::{INITIAL_WINDOW, Window};
use super::cycle::State;
use super::model::scaled;
use super::{Ack, Bbr, INFINITE};
use crate::time::Duration;

/// Percents of the rate that are sent: a little less keeps queues short.
const PACED: u64 = 99;
/// Segments that are always under way.
const MIN_PIPE: u32 = 4;
/// Percents of the long-term bound that are left to others.
const HEADROOM: u64 = 15;
/// Most that leaves at once, bytes.
const MOST_QUANTUM: u64 = 65_536;
/// A round trip before any was measured.
const NOMINAL_RTT: Duration = Duration::from_millis(1);

impl Bbr {
    /// The initial window in a round trip.
    pub(super) fn guess_pacing_rate(&mut self, window: &Window, srtt: Option<Duration>) {
        let rtt = srtt.filter(|rtt| !rtt.is_zero()).unwrap_or(NOMINAL_RTT);
        let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        let bw = u64::from(window.cwnd).saturating_mul(1_000_000_000) / nanos;
        self.pacing_rate = scaled(bw, State::Startup.pacing_gain()).max(1);
        self.guessed = srtt.is_none();
    }
    pub(super) fn set_pacing_rate(&mut self, window: &Window, ack: &Ack) {
        if self.guessed && ack.srtt.is_some() {
            self.guess_pacing_rate(window, ack.srtt);
        }
        self.set_pacing_rate_with_gain(self.state.pacing_gain());
    }
    pub(super) fn set_pacing_rate_with_gain(&mut self, gain: u64) {
        let rate = scaled(scaled(self.bw, gain), PACED);
        if rate > 0 && (self.full.reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }
    /// Most bytes that leave at once: what the rate sends in a millisecond.
    pub fn quantum(&self, mss: u32) -> u32 {
        let bytes = (self.pacing_rate / 1000).min(MOST_QUANTUM) as u32;
        bytes.max(mss.saturating_mul(2))
    }
    fn bdp_multiple(&self, bw: u64, gain: u64, window: &Window) -> u32 {
        match self.bdp(bw) {
            Some(bdp) => u32::try_from(scaled(bdp, gain)).unwrap_or(INFINITE),
            None => window.mss.saturating_mul(INITIAL_WINDOW),
        }
    }
    fn quantized(&self, inflight: u32, window: &Window) -> u32 {
        let budget = self.quantum(window.mss).saturating_mul(3);
        let inflight = inflight.max(budget).max(min_pipe(window));
        match self.state {
            State::Up => inflight.saturating_add(2 * window.mss),
            _ => inflight,
        }
    }
    /// What fills the pipe at a rate, times `gain` percent.
    pub(super) fn inflight(&self, bw: u64, gain: u64, window: &Window) -> u32 {
        self.quantized(self.bdp_multiple(bw, gain, window), window)
    }
    /// What fills the pipe, unless congestion cut the window.
    pub(super) fn target_inflight(&self, window: &Window) -> u32 {
        self.bdp_multiple(self.bw, 100, window).min(window.cwnd)
    }
    /// The long-term bound, and room for others.
    pub(super) fn inflight_with_headroom(&self, window: &Window) -> u32 {
        let most = self.inflight_longterm;
        if most == INFINITE {
            return INFINITE;
        }
        let headroom = (scaled(most.into(), HEADROOM) as u32).max(window.mss);
        most.saturating_sub(headroom).max(min_pipe(window))
    }
    /// Half of what fills the pipe, by the round trip that was believed until now.
    pub(super) fn save_probe_rtt_cwnd(&mut self, window: &Window) {
        let half = self.bdp_multiple(self.bw, State::ProbeRtt.cwnd_gain(), window);
        self.probe_rtt.cwnd = half.max(min_pipe(window));
    }
    pub(super) fn set_cwnd(&mut self, window: &mut Window, ack: &Ack) {
        let cap = self.bdp_multiple(self.bw, self.state.cwnd_gain(), window);
        let cap = cap.saturating_add(self.aggregation.extra_acked());
        let most = self.quantized(cap, window);
        let grown = window.cwnd.saturating_add(ack.sample.newly_acked);
        let initial = u64::from(window.mss) * u64::from(INITIAL_WINDOW);
        if self.full.reached {
            window.cwnd = grown.min(most);
        } else if window.cwnd < most || ack.delivered < initial {
            window.cwnd = grown;
        }
        window.cwnd = window.cwnd.max(min_pipe(window));
        if self.state == State::ProbeRtt {
            window.cwnd = window.cwnd.min(self.probe_rtt.cwnd);
        }
        self.bound_cwnd(window);
    }
    fn bound_cwnd(&self, window: &mut Window) {
        let cap = match self.state {
            State::Cruise | State::ProbeRtt => self.inflight_with_headroom(window),
            State::Down | State::Refill | State::Up => self.inflight_longterm,
            State::Startup | State::Drain => INFINITE,
        };
        let cap = cap.min(self.short.inflight).max(min_pipe(window));
        window.cwnd = window.cwnd.min(cap);
    }
}

fn min_pipe(window: &Window) -> u32 {
    window.mss.saturating_mul(MIN_PIPE)
}
