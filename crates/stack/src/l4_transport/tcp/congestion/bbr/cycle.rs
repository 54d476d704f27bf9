//! The states and what leads from one to the next (draft-ietf-ccwg-bbr 5.3).
use super::super::Window;
use super::model::{ShortTerm, scaled};
use super::{Ack, BETA, Bbr, INFINITE, Moment};
use crate::time::Duration;
use crate::{Instant, Rng};

/// How long few bytes stay under way for a shorter round trip to show.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Round trips that draining may take.
const DRAIN_ROUNDS: u64 = 3;
/// Most round trips between two probes, so that Reno can live beside it.
const RENO_ROUNDS: u64 = 63;
/// Milliseconds between two probes: two seconds and up to one more.
const PROBE_WAIT: (u64, u64) = (2000, 1000);
/// The growth of a probe doubles at most so often.
const MOST_PROBE_ROUNDS: u8 = 30;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Doubles the rate in each round trip.
    Startup,
    /// Lets the queue go that this has made.
    Drain,
    /// ProbeBW: sends a little slower.
    Down,
    /// As fast as is delivered.
    Cruise,
    /// Fills the pipe once more.
    Refill,
    /// Tries whether more is delivered.
    Up,
    /// Has little under way, to see how short the round trip is.
    ProbeRtt,
}
impl State {
    /// Percents of the rate that are sent.
    pub fn pacing_gain(self) -> u64 {
        match self {
            Self::Startup => 277,
            Self::Drain => 50,
            Self::Down => 90,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 100,
            Self::Up => 125,
        }
    }
    /// Percents of a full pipe that may be under way.
    pub fn cwnd_gain(self) -> u64 {
        match self {
            Self::Up => 225,
            Self::ProbeRtt => 50,
            _ => 200,
        }
    }
    pub fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }
    /// It looks for more, and losses are to be expected.
    pub fn is_accelerating(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// Which ACKs come: those of a probe come a round trip later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckPhase {
    Init,
    Refilling,
    Starting,
    Feedback,
    Stopping,
}

/// How the search for more stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probing {
    phase: AckPhase,
    /// What is acknowledged now left while more was tried, and nothing followed from its losses yet.
    pub is_sample: bool,
    /// Bytes acknowledged for which the bound grows by a segment.
    acked_per_inc: u32,
    acked: u32,
    growth: u8,
    /// Since the last probe.
    pub rounds: u64,
    too_high: bool,
    precautionary: bool,
    since: Instant,
    wait: Duration,
}
impl Probing {
    pub fn new(now: Instant) -> Self {
        Self {
            phase: AckPhase::Init,
            is_sample: false,
            acked_per_inc: INFINITE,
            acked: 0,
            growth: 0,
            rounds: 0,
            too_high: false,
            precautionary: false,
            since: now,
            wait: Duration::ZERO,
        }
    }
}

/// A probe of the round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeRtt {
    pub cwnd: u32,
    done_at: Option<Instant>,
    round_done: bool,
}
impl ProbeRtt {
    pub fn new(window: &Window) -> Self {
        Self {
            cwnd: window.cwnd,
            done_at: None,
            round_done: false,
        }
    }
}

impl Bbr {
    pub(super) fn check_startup_done(&mut self, window: &Window, ack: &Ack) {
        self.check_startup_losses(window, ack);
        if self.state == State::Startup && self.full.reached {
            self.state = State::Drain;
            self.drain_start_round = self.round.count;
        }
    }
    pub(super) fn check_drain_done(&mut self, window: &Window, ack: &Ack, rng: &mut Rng) {
        if self.state != State::Drain {
            return;
        }
        let drained = ack.in_flight <= self.inflight(self.bw, 100, window);
        if drained || self.round.count > self.drain_start_round + DRAIN_ROUNDS {
            self.start_down(ack.at(), rng);
        }
    }

    fn start_down(&mut self, now: Moment, rng: &mut Rng) {
        self.reset_congestion_signals();
        let (least, more) = PROBE_WAIT;
        let probing = &mut self.probing;
        probing.acked_per_inc = INFINITE;
        probing.rounds = rng.below(2);
        probing.wait = Duration::from_millis(least + rng.below(more));
        probing.since = now.time;
        probing.phase = AckPhase::Stopping;
        self.round.begin(now.delivered);
        self.state = State::Down;
    }
    /// What was on its way is acknowledged in a round trip from now.
    pub(super) fn start_refill(&mut self, delivered: u64) {
        self.short = ShortTerm::UNBOUND;
        let probing = &mut self.probing;
        probing.growth = 0;
        probing.acked = 0;
        probing.precautionary = false;
        probing.phase = AckPhase::Refilling;
        self.round.begin(delivered);
        self.state = State::Refill;
    }
    fn start_up(&mut self, window: &Window, ack: &Ack) {
        self.probing.is_sample = true;
        self.probing.phase = AckPhase::Starting;
        self.round.begin(ack.delivered);
        self.full.begin(ack.sample.rate);
        self.state = State::Up;
        self.raise_slope(window);
    }
    fn reset_congestion_signals(&mut self) {
        self.loss.in_round = false;
        self.latest = super::LatestDelivery::default();
    }

    /// UpdateProbeBWCyclePhase.
    pub(super) fn advance_cycle(&mut self, window: &Window, ack: &Ack, rng: &mut Rng) {
        if !self.full.reached || self.adapt_long_term(window, ack) {
            return;
        }
        let state = self.state;
        match state {
            State::Down | State::Cruise if self.is_time_to_probe(window, ack) => {
                self.start_refill(ack.delivered);
            }
            State::Down if self.may_cruise(window, ack) => self.state = State::Cruise,
            State::Refill if self.round.start => self.start_up(window, ack),
            State::Up if self.goes_down(window, ack) => {
                self.probing.too_high = false;
                self.start_down(ack.at(), rng);
            }
            _ => {}
        }
    }
    fn is_time_to_probe(&self, window: &Window, ack: &Ack) -> bool {
        let segments = u64::from(self.target_inflight(window) / window.mss.max(1));
        let probing = &self.probing;
        let waited = ack.now > probing.since + probing.wait;
        waited || probing.rounds >= segments.min(RENO_ROUNDS)
    }
    fn may_cruise(&self, window: &Window, ack: &Ack) -> bool {
        ack.in_flight <= self.inflight_with_headroom(window)
            && ack.in_flight <= self.inflight(self.max_bw(), 100, window)
    }
    fn goes_down(&mut self, window: &Window, ack: &Ack) -> bool {
        if self.probing.too_high && ack.in_flight >= self.inflight_longterm {
            self.probing.precautionary = true;
            return true;
        }
        if ack.cwnd_limited && window.cwnd >= self.inflight_longterm {
            self.full.begin(ack.sample.rate);
            return false;
        }
        self.full.now
    }
    fn raise_slope(&mut self, window: &Window) {
        let probing = &mut self.probing;
        let growth = 1u32 << probing.growth;
        probing.growth = (probing.growth + 1).min(MOST_PROBE_ROUNDS);
        probing.acked_per_inc = (window.cwnd / growth).max(window.mss.max(1));
    }
    fn raise_long_term(&mut self, window: &Window, ack: &Ack) {
        if !ack.cwnd_limited || window.cwnd < self.inflight_longterm {
            return;
        }
        let probing = &mut self.probing;
        probing.acked = probing.acked.saturating_add(ack.sample.newly_acked);
        let steps = probing.acked / probing.acked_per_inc.max(1);
        probing.acked -= steps * probing.acked_per_inc;
        let more = steps.saturating_mul(window.mss);
        self.inflight_longterm = self.inflight_longterm.saturating_add(more);
        if self.round.start {
            self.raise_slope(window);
        }
    }
    /// Returns whether it decided what comes next.
    fn adapt_long_term(&mut self, window: &Window, ack: &Ack) -> bool {
        let start = self.round.start;
        if self.probing.phase == AckPhase::Starting && start {
            self.probing.phase = AckPhase::Feedback;
        }
        if self.probing.phase == AckPhase::Stopping && start {
            self.probing.is_sample = false;
            self.probing.phase = AckPhase::Init;
            if self.state.is_probe_bw() && !ack.sample.app_limited {
                self.advance_max_bw();
            }
            let safe = self.probing.precautionary && !self.probing.too_high;
            if self.state.is_probe_bw() && safe {
                self.start_refill(ack.delivered);
                return true;
            }
        }
        if self.sample_is_too_high(ack) || self.inflight_longterm == INFINITE {
            return false;
        }
        self.inflight_longterm = self.inflight_longterm.max(ack.sample.in_flight);
        if self.state == State::Up {
            self.raise_long_term(window, ack);
        }
        false
    }
    /// A probe lost too much; `at`: bytes on their way when it did, and whether the program limits.
    pub(super) fn handle_inflight_too_high(
        &mut self,
        window: &Window,
        (at, app_limited): (u32, bool),
        now: Moment,
        rng: &mut Rng,
    ) {
        self.probing.too_high = true;
        self.probing.is_sample = false;
        if !app_limited {
            let least = scaled(self.target_inflight(window).into(), BETA) as u32;
            self.inflight_longterm = at.max(least);
        }
        if self.state == State::Up {
            self.undo.state = Some(State::Up);
            self.start_down(now, rng);
        }
    }

    /// CheckProbeRTT.
    pub(super) fn check_probe_rtt(&mut self, window: &mut Window, ack: &Ack, rng: &mut Rng) {
        if self.state != State::ProbeRtt && self.min_rtt.expired && !self.idle_restart {
            self.save_cwnd(window, self.loss.in_round);
            self.state = State::ProbeRtt;
            self.probe_rtt.done_at = None;
            self.probing.phase = AckPhase::Stopping;
            self.round.begin(ack.delivered);
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(window, ack, rng);
        }
        if ack.sample.newly_acked > 0 {
            self.idle_restart = false;
        }
    }
    fn handle_probe_rtt(&mut self, window: &mut Window, ack: &Ack, rng: &mut Rng) {
        if self.probe_rtt.done_at.is_none() {
            if ack.in_flight <= self.probe_rtt.cwnd {
                self.probe_rtt.done_at = Some(ack.now + PROBE_RTT_TIME);
                self.probe_rtt.round_done = false;
                self.round.begin(ack.delivered);
            }
            return;
        }
        self.probe_rtt.round_done |= self.round.start;
        if self.probe_rtt.round_done {
            self.check_probe_rtt_done(window, ack.at(), rng);
        }
    }
    pub(super) fn check_probe_rtt_done(&mut self, window: &mut Window, now: Moment, rng: &mut Rng) {
        if self.probe_rtt.done_at.is_none_or(|at| now.time <= at) {
            return;
        }
        self.min_rtt.stamp = now.time;
        window.cwnd = window.cwnd.max(self.prior_cwnd);
        self.short = ShortTerm::UNBOUND;
        if self.full.reached {
            self.start_down(now, rng);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
    }
}
