//! BBR, version 3 (draft-ietf-ccwg-bbr): a model of the path, the rate and the window that follow from it.
//!
//! The names are the draft's; bytes, and bytes a second. Integers only, so that every machine counts alike.
//!
//! ```text
//!   Startup ──(the pipe is full)──▶ Drain ──(its queue is gone)──▶ Down ──▶ Cruise ──▶ Refill ──▶ Up ─┐
//!                                                                   ▲                                 │
//!   ProbeRTT: from any of them, where no shorter round trip was     └─────────────────────────────────┘
//!   seen for ten seconds; then back
//! ```
//!
//! `model` is what ACKs and losses tell of the path, `cycle` the states, `control` the rate and the window.
mod control;
mod cycle;
mod model;
#[cfg(test)]
mod tests;

use super::{Acked, CongestionControl, Lost, Window};
use crate::l4_transport::tcp::delivery::{Sample, Sent};
use crate::time::Duration;
use crate::{Instant, Rng};
use cycle::{Probing, State};
use model::{Aggregation, FullPipe, LatestDelivery, Loss, MinRtt, Round, ShortTerm};

/// No bound.
const INFINITE: u32 = u32::MAX;
/// More than this share of what is on its way may not get lost: 2 %.
const LOSS_THRESH: u64 = 2;
/// Share that is kept where the model is lowered: 70 %.
const BETA: u64 = 70;

/// What an ACK says, and how the connection stands after it.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    pub now: Instant,
    pub sample: Sample,
    /// Bytes delivered and taken for lost in all.
    pub delivered: u64,
    pub lost: u64,
    /// Bytes on their way.
    pub in_flight: u32,
    /// The window is what holds sending back.
    pub cwnd_limited: bool,
    pub sack: bool,
    /// Fast recovery runs.
    pub recovering: bool,
    pub srtt: Option<Duration>,
}

/// When, and how many bytes had been delivered by then.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub time: Instant,
    pub delivered: u64,
}
impl Ack {
    fn at(&self) -> Moment {
        Moment {
            time: self.now,
            delivered: self.delivered,
        }
    }
}

/// Something was taken for lost.
#[derive(Clone, Copy, Debug)]
pub struct Marked<'a> {
    /// What was known when it left; `None`: it left before anything was noted.
    pub sent: Option<&'a Sent>,
    /// Its bytes.
    pub len: u32,
    /// Bytes taken for lost in all, these included.
    pub lost: u64,
    pub sack: bool,
}

/// The controller of a connection.
#[derive(Clone, Debug)]
pub struct Bbr {
    state: State,
    /// Bytes a second of the fastest deliveries in this cycle and the one before.
    max_bw: [u64; 2],
    /// Bytes a second that the model trusts in.
    bw: u64,
    pacing_rate: u64,
    /// It is still that of the initial window, as nothing was measured.
    guessed: bool,
    round: Round,
    min_rtt: MinRtt,
    full: FullPipe,
    latest: LatestDelivery,
    loss: Loss,
    short: ShortTerm,
    /// Most bytes on their way that did not get too many lost.
    inflight_longterm: u32,
    aggregation: Aggregation,
    probing: Probing,
    drain_start_round: u64,
    /// The window before recovery, or before the round trip was probed.
    prior_cwnd: u32,
    probe_rtt: cycle::ProbeRtt,
    /// Sending begins again after a pause.
    idle_restart: bool,
    undo: Undo,
}

/// What to go back to if nothing was lost.
#[derive(Clone, Copy, Debug)]
struct Undo {
    state: Option<State>,
    short: ShortTerm,
    inflight_longterm: u32,
}

/// The window is set at every ACK (`Bbr::on_ack`).
impl CongestionControl for Bbr {
    fn on_ack(&mut self, _: &mut Window, _: &Acked) {}
    fn on_loss(&mut self, window: &mut Window, _: &Lost) {
        self.save_for_undo(window);
    }
    fn on_idle(&mut self, _: Duration) {}
    fn on_timeout(&mut self) {}
}

impl Bbr {
    /// At the start, or when it takes over.
    pub fn new(window: &Window, srtt: Option<Duration>, now: Instant) -> Self {
        let mut bbr = Self {
            state: State::Startup,
            max_bw: [0; 2],
            bw: 0,
            pacing_rate: 0,
            guessed: true,
            round: Round::default(),
            min_rtt: MinRtt::new(srtt, now),
            full: FullPipe::default(),
            latest: LatestDelivery::default(),
            loss: Loss::default(),
            short: ShortTerm::UNBOUND,
            inflight_longterm: INFINITE,
            aggregation: Aggregation::new(now),
            probing: Probing::new(now),
            drain_start_round: 0,
            prior_cwnd: 0,
            probe_rtt: cycle::ProbeRtt::new(window),
            idle_restart: false,
            undo: Undo {
                state: None,
                short: ShortTerm::UNBOUND,
                inflight_longterm: INFINITE,
            },
        };
        bbr.guess_pacing_rate(window, srtt);
        bbr
    }

    /// An ACK came (UpdateOnACK).
    pub fn on_ack(&mut self, window: &mut Window, ack: &Ack, rng: &mut Rng) {
        self.update_latest_delivery(ack);
        self.update_congestion(window, ack);
        self.update_aggregation(window, ack);
        self.check_full_pipe(ack);
        self.check_startup_done(window, ack);
        self.check_drain_done(window, ack, rng);
        self.advance_cycle(window, ack, rng);
        self.update_min_rtt(window, ack);
        self.check_probe_rtt(window, ack, rng);
        self.latest.advance(self.loss.round_start, &ack.sample);
        self.bw = self.max_bw().min(self.short.bw);
        self.set_pacing_rate(window, ack);
        self.set_cwnd(window, ack);
    }
    /// Something was taken for lost (HandleLostPacket).
    pub fn on_lost(&mut self, window: &Window, marked: &Marked<'_>, now: Moment, rng: &mut Rng) {
        if !self.loss.in_round {
            self.loss.round_delivered = now.delivered;
            self.save_for_undo(window);
        }
        self.loss.in_round = true;
        let Some(sent) = marked.sent.filter(|_| self.probing.is_sample) else {
            return;
        };
        let lost = marked.lost - sent.lost;
        if model::is_too_high(lost, sent.in_flight, marked.sack) {
            let most = model::inflight_at_loss(lost, sent.in_flight, marked.len);
            self.handle_inflight_too_high(window, (most, sent.app_limited), now, rng);
        }
    }
    /// The losses of one ACK, or of a timer, lay in so many places.
    pub fn on_lost_ranges(&mut self, ranges: u32) {
        self.loss.ranges_in_round = self.loss.ranges_in_round.saturating_add(ranges);
    }
    /// Recovery is over.
    pub fn on_recovered(&mut self, window: &mut Window) {
        window.cwnd = window.cwnd.max(self.prior_cwnd);
    }
    /// Nothing was lost (HandleSpuriousLossDetection).
    pub fn on_spurious(&mut self, window: &mut Window, delivered: u64) {
        window.cwnd = window.cwnd.max(self.prior_cwnd);
        self.loss.in_round = false;
        self.full.reset();
        self.short = self.short.most(self.undo.short);
        self.inflight_longterm = self.inflight_longterm.max(self.undo.inflight_longterm);
        let before = self.undo.state.take().filter(|state| *state != self.state);
        match before {
            Some(State::Startup) => {
                self.full.reached = false;
                if self.state != State::ProbeRtt {
                    self.state = State::Startup;
                }
            }
            Some(State::Up) if self.state != State::ProbeRtt => self.start_refill(delivered),
            _ => {}
        }
    }
    /// The program, which gave less than it might have, gives text after nothing was under way (HandleRestartFromIdle).
    pub fn on_restart(&mut self, window: &mut Window, now: Moment, rng: &mut Rng) {
        self.idle_restart = true;
        self.aggregation.restart(now.time);
        if self.state.is_probe_bw() {
            self.set_pacing_rate_with_gain(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(window, now, rng);
        }
    }
    /// Bytes a second.
    pub fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }
    /// Few bytes are under way on purpose: the rate says nothing of the network.
    pub fn is_probing_rtt(&self) -> bool {
        self.state == State::ProbeRtt
    }
    /// `recovering`: the window is not what it was before.
    fn save_for_undo(&mut self, window: &Window) {
        self.save_cwnd(window, self.loss.in_round);
        self.undo = Undo {
            state: None,
            short: self.short,
            inflight_longterm: self.inflight_longterm,
        };
    }
    fn save_cwnd(&mut self, window: &Window, recovering: bool) {
        self.prior_cwnd = match recovering || self.state == State::ProbeRtt {
            true => self.prior_cwnd.max(window.cwnd),
            false => window.cwnd,
        };
    }
}
