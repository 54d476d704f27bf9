//! What ACKs and losses tell of the path (draft-ietf-ccwg-bbr 5.5).
use alloc::vec::Vec;

use super::super::Window;
use super::cycle::State;
use super::{Ack, BETA, Bbr, INFINITE, LOSS_THRESH};
use crate::Instant;
use crate::l4_transport::tcp::delivery::Sample;
use crate::time::Duration;

/// How long a shortest round trip is believed.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// Rounds without a quarter of growth after which the pipe is full.
const FULL_ROUNDS: u8 = 3;
/// Places with losses in a round trip that end Startup.
const STARTUP_LOSSES: u32 = 6;
/// Round trips over which bunched ACKs are remembered.
const AGGREGATION_ROUNDS: u64 = 10;

/// Round trips by packets (5.5.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// What leaves now will be delivered in the next.
    next_delivered: u64,
    /// This ACK begins one.
    pub start: bool,
    pub count: u64,
}
impl Round {
    /// A round trip begins now.
    pub fn begin(&mut self, delivered: u64) {
        self.next_delivered = delivered;
    }
}

/// The shortest round trip (5.5.7).
#[derive(Clone, Copy, Debug)]
pub(super) struct MinRtt {
    pub value: Option<Duration>,
    pub stamp: Instant,
    pub expired: bool,
}
impl MinRtt {
    pub fn new(srtt: Option<Duration>, now: Instant) -> Self {
        Self {
            value: srtt,
            stamp: now,
            expired: false,
        }
    }
}

/// Whether sending faster still delivers more (5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    bw: u64,
    count: u8,
    /// No more is delivered.
    pub now: bool,
    /// That was so once.
    pub reached: bool,
}
impl FullPipe {
    pub fn reset(&mut self) {
        self.begin(0);
    }
    /// From a rate on.
    pub fn begin(&mut self, bw: u64) {
        self.bw = bw;
        self.count = 0;
        self.now = false;
    }
}

/// The most of a round trip (5.5.10).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LatestDelivery {
    pub bw: u64,
    pub inflight: u64,
}
impl LatestDelivery {
    pub fn advance(&mut self, round_start: bool, sample: &Sample) {
        if round_start {
            self.bw = sample.rate;
            self.inflight = sample.delivered;
        }
    }
}

/// Losses of a round trip.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    pub round_delivered: u64,
    pub round_start: bool,
    pub in_round: bool,
    pub ranges_in_round: u32,
}

/// Bounds of a path that may have become narrower.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortTerm {
    pub bw: u64,
    pub inflight: u32,
}
impl ShortTerm {
    pub const UNBOUND: Self = Self {
        bw: u64::MAX,
        inflight: INFINITE,
    };
    /// The wider of each.
    pub fn most(self, other: Self) -> Self {
        Self {
            bw: self.bw.max(other.bw),
            inflight: self.inflight.max(other.inflight),
        }
    }
}

/// How much more than expected ACKs bring at once (5.5.9).
#[derive(Clone, Debug)]
pub(super) struct Aggregation {
    since: Instant,
    delivered: u64,
    /// The most of the last rounds: (round, bytes), falling.
    most: Vec<(u64, u32)>,
}
impl Aggregation {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            delivered: 0,
            most: Vec::new(),
        }
    }
    pub fn restart(&mut self, now: Instant) {
        self.since = now;
    }
    /// Bytes.
    pub fn extra_acked(&self) -> u32 {
        self.most.first().map_or(0, |(_, extra)| *extra)
    }
    pub(super) fn remember(&mut self, round: u64, extra: u32, rounds: u64) {
        self.most
            .retain(|(at, most)| at + rounds > round && *most > extra);
        self.most.push((round, extra));
    }
}

/// Whether so much was lost that too much was on its way.
pub(super) fn is_too_high(lost: u64, in_flight: u32, sack: bool) -> bool {
    lost * 100 > u64::from(in_flight) * LOSS_THRESH || (lost > 0 && !sack)
}
/// Whether that is more than chance makes of the share that may be lost: two standard deviations, counted in segments. A few
/// hundred of them lose 2 % now and then where the path loses 1 % by chance, and a Startup that ends there ends for good.
fn is_beyond_chance(lost: u64, in_flight: u32, mss: u32) -> bool {
    let mss = u64::from(mss.max(1));
    let least = u64::from(in_flight) / mss * LOSS_THRESH / 100;
    let more = (lost / mss).saturating_sub(least);
    more * more > 4 * least
}
/// How much was on its way when losses became too many: within what left as one, only a part may have been (5.5.10.2).
pub(super) fn inflight_at_loss(lost: u64, in_flight: u32, len: u32) -> u32 {
    let before = i64::from(in_flight) - i64::from(len);
    let lost_before = i64::try_from(lost).unwrap_or(i64::MAX) - i64::from(len);
    let thresh = LOSS_THRESH as i64;
    let prefix = (thresh * before - 100 * lost_before) / (100 - thresh);
    u32::try_from((before + prefix).max(0)).unwrap_or(INFINITE)
}

impl Bbr {
    /// The fastest deliveries of two cycles.
    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }
    /// A cycle has had its chance to measure.
    pub(super) fn advance_max_bw(&mut self) {
        if self.max_bw[1] > 0 {
            self.max_bw = [self.max_bw[1], 0];
        }
    }
    /// What a rate keeps on its way in the shortest round trip; `None` before one was measured.
    pub(super) fn bdp(&self, bw: u64) -> Option<u64> {
        let nanos = self.min_rtt.value?.as_nanos();
        let bytes = u128::from(bw) * nanos / 1_000_000_000;
        Some(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    pub(super) fn update_latest_delivery(&mut self, ack: &Ack) {
        let sample = &ack.sample;
        self.loss.round_start = false;
        self.latest.bw = self.latest.bw.max(sample.rate);
        self.latest.inflight = self.latest.inflight.max(sample.delivered);
        let round = sample.prior_delivered;
        if round.is_some_and(|prior| prior >= self.loss.round_delivered) {
            self.loss.round_delivered = ack.delivered;
            self.loss.round_start = true;
        }
    }
    pub(super) fn update_congestion(&mut self, window: &Window, ack: &Ack) {
        self.update_max_bw(ack);
        if !self.loss.round_start {
            return;
        }
        if self.loss.in_round && !self.state.is_accelerating() {
            self.lower_short_term(window);
        }
        self.loss.in_round = false;
    }
    fn update_max_bw(&mut self, ack: &Ack) {
        let sample = &ack.sample;
        let next = self.round.next_delivered;
        self.round.start = sample.prior_delivered.is_some_and(|prior| prior >= next);
        if self.round.start {
            self.round.begin(ack.delivered);
            self.round.count += 1;
            self.probing.rounds += 1;
        }
        if sample.rate > 0 && (sample.rate >= self.max_bw() || !sample.app_limited) {
            self.max_bw[1] = self.max_bw[1].max(sample.rate);
        }
    }
    fn lower_short_term(&mut self, window: &Window) {
        let mut short = self.short;
        if short.bw == u64::MAX {
            short.bw = self.max_bw();
        }
        if short.inflight == INFINITE {
            short.inflight = window.cwnd;
        }
        let inflight = u32::try_from(self.latest.inflight).unwrap_or(INFINITE);
        self.short = ShortTerm {
            bw: self.latest.bw.max(scaled(short.bw, BETA)),
            inflight: inflight.max(scaled(short.inflight.into(), BETA) as u32),
        };
    }
    pub(super) fn update_aggregation(&mut self, window: &Window, ack: &Ack) {
        let interval = ack.now.since(self.aggregation.since).as_nanos();
        let expected = u128::from(self.bw) * interval / 1_000_000_000;
        let mut expected = u64::try_from(expected).unwrap_or(u64::MAX);
        let all = &mut self.aggregation;
        if all.delivered <= expected {
            all.delivered = 0;
            all.since = ack.now;
            expected = 0;
        }
        all.delivered += u64::from(ack.sample.newly_acked);
        let extra = (all.delivered - expected).min(window.cwnd.into()) as u32;
        let rounds = match self.full.reached {
            true => AGGREGATION_ROUNDS,
            false => 1,
        };
        all.remember(self.round.count, extra, rounds);
    }
    pub(super) fn check_full_pipe(&mut self, ack: &Ack) {
        let sample = &ack.sample;
        if self.full.now || !self.round.start || sample.app_limited {
            return;
        }
        if sample.rate >= self.full.bw + self.full.bw / 4 {
            self.full.begin(sample.rate);
            return;
        }
        self.full.count += 1;
        self.full.now = self.full.count >= FULL_ROUNDS;
        self.full.reached |= self.full.now;
    }
    /// Losses end Startup (5.3.1.3).
    pub(super) fn check_startup_losses(&mut self, window: &Window, ack: &Ack) {
        if !self.loss.round_start {
            return;
        }
        let ranges = core::mem::take(&mut self.loss.ranges_in_round);
        if self.full.reached || !ack.recovering {
            return;
        }
        let many = ranges >= STARTUP_LOSSES || (ranges > 0 && !ack.sack);
        let lost = lost_in(ack);
        let beyond = is_beyond_chance(lost, ack.sample.in_flight, window.mss);
        if many && beyond && self.sample_is_too_high(ack) {
            self.undo.state = Some(State::Startup);
            self.full.reached = true;
            let latest = u32::try_from(self.latest.inflight).unwrap_or(INFINITE);
            self.inflight_longterm = self.inflight(self.bw, 100, window).max(latest);
        }
    }
    pub(super) fn sample_is_too_high(&self, ack: &Ack) -> bool {
        is_too_high(lost_in(ack), ack.sample.in_flight, ack.sack)
    }
    pub(super) fn update_min_rtt(&mut self, window: &Window, ack: &Ack) {
        self.min_rtt.expired = ack.now > self.min_rtt.stamp + MIN_RTT_FILTER;
        if self.min_rtt.expired && self.state != State::ProbeRtt {
            self.save_probe_rtt_cwnd(window);
        }
        let Some(rtt) = ack.sample.rtt else {
            return;
        };
        if self.min_rtt.expired || self.min_rtt.value.is_none_or(|min| rtt < min) {
            self.min_rtt.value = Some(rtt);
            self.min_rtt.stamp = ack.now;
        }
    }
}

/// Bytes taken for lost since what is acknowledged left.
fn lost_in(ack: &Ack) -> u64 {
    let sample = &ack.sample;
    match sample.prior_delivered {
        Some(_) => ack.lost - sample.prior_lost,
        None => 0,
    }
}
/// Percents of it.
pub(super) fn scaled(value: u64, percent: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(percent) / 100;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_too_high_beyond_what_chance_makes_of_it() {
        // segments on their way, lost, whether that is more than chance
        let rows = [
            (10, 0, false),
            (10, 1, true),
            (100, 4, false),
            (100, 5, true),
            (400, 13, false),
            (400, 14, true),
            (2500, 64, false),
            (2500, 65, true),
        ];
        for (flight, lost, beyond) in rows {
            let is = is_beyond_chance(lost * 1448, flight * 1448, 1448);
            assert_eq!(is, beyond, "{lost} of {flight}");
        }
    }
}
