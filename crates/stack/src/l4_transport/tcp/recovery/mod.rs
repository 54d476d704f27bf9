//! Loss recovery: which records are lost, how fast to send meanwhile, when it is over.
//!
//! RFC 6675's scoreboard and pipe, RFC 8985's evidence by time (RACK) and its probe of the tail, RFC 6582 without SACK,
//! RFC 9937's proportional reduction, RFC 6298's timer.
mod frto;
pub mod scoreboard;
mod timeout;
mod undo;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::Instant;
use crate::event::Cause;
use crate::l4_transport::tcp::congestion::Window;
use crate::l4_transport::tcp::seq::SeqNum;
use crate::time::{Duration, Span};
pub use frto::Frto;
use scoreboard::{Delivered, Flight, Record};

/// Duplicate ACKs that mean a loss (RFC 5681 3.2).
pub const DUP_THRESH: u32 = 3;
/// Reordering beyond so many segments is not believed (Linux: tcp_max_reordering).
const MOST_REORDERING: u32 = 300;

/// What kind of recovery runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// None.
    Open,
    /// After duplicate ACKs or SACK evidence.
    Fast,
    /// After a retransmission timeout.
    Timeout,
}

/// The state of recovery.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub phase: Phase,
    /// Marks bring the window down: until `high` is acknowledged (RFC 3168).
    pub reducing: bool,
    /// RecoveryPoint: recovery ends when this is acknowledged.
    pub high: SeqNum,
    /// Duplicate ACKs in a row (without SACK they stand for segments that left the network).
    pub dupacks: u32,
    /// What told of the latest loss.
    pub evidence: Cause,
    /// Timeouts since something new was acknowledged (RFC 9293 3.8.3's count of transmissions).
    pub timeouts: u8,
    /// What is known of the last timeout (RFC 5682).
    pub frto: Frto,
    prr_delivered: u32,
    prr_out: u32,
    prior_cwnd: u32,
    rack: Rack,
    /// A tail loss probe was sent when this was `snd.nxt`, and whether it was a retransmission.
    pub probe: Option<(SeqNum, bool)>,
    /// What to go back to if nothing was lost.
    pub undo: Option<Box<undo::Undo>>,
}

/// RFC 8985 5: the most recently sent segment that arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Rack {
    newest: Option<(Instant, SeqNum)>,
    rtt: Span,
    /// Whether the network was seen to reorder, and by how many segments at most (Linux's `reordering`).
    reorders: bool,
    reordering: u16,
    /// Quarter minimum round trips that reordering is given (D-SACKs raise it).
    steps: u8,
    /// Recoveries that `steps` still holds for.
    persist: u8,
    /// Until this is acknowledged, D-SACKs speak of what `steps` rose for already.
    dsack_round: Option<SeqNum>,
}

impl Recovery {
    /// At the start; `iss` is acknowledged.
    pub fn new(iss: SeqNum) -> Self {
        Self {
            phase: Phase::Open,
            reducing: false,
            high: iss,
            dupacks: 0,
            evidence: Cause::FastRetransmit,
            timeouts: 0,
            frto: Frto::Off,
            prr_delivered: 0,
            prr_out: 0,
            prior_cwnd: 0,
            rack: Rack {
                steps: 1,
                reordering: DUP_THRESH as u16,
                ..Rack::default()
            },
            probe: None,
            undo: None,
        }
    }
    /// Begins fast recovery.
    pub fn enter_fast(&mut self, nxt: SeqNum, cwnd: u32) {
        let goes_on = self.reducing;
        if !goes_on {
            self.begin_to_reduce(nxt, cwnd);
        }
        self.reducing = false;
        self.phase = Phase::Fast;
        self.high = nxt;
    }
    /// The window comes down in proportion to what is delivered (RFC 9937), without a loss.
    pub fn begin_to_reduce(&mut self, nxt: SeqNum, cwnd: u32) {
        self.reducing = true;
        self.high = nxt;
        self.prior_cwnd = cwnd.max(1);
        self.prr_delivered = 0;
        self.prr_out = 0;
    }
    /// Begins recovery by the timer.
    pub fn enter_timeout(&mut self, nxt: SeqNum, frto: bool) {
        self.frto = if frto { Frto::First } else { Frto::Off };
        self.phase = Phase::Timeout;
        self.reducing = false;
        self.evidence = Cause::Rto;
        self.timeouts = self.timeouts.saturating_add(1);
        self.high = nxt;
        self.dupacks = 0;
        self.probe = None;
    }
    /// Segments were too long: as after a timeout, but none expired.
    pub fn enter_gently(&mut self, nxt: SeqNum) {
        self.phase = Phase::Timeout;
        self.reducing = false;
        self.evidence = Cause::PathMtu;
        self.high = nxt;
        self.dupacks = 0;
        self.probe = None;
        self.undo = None;
    }
    /// Ends recovery.
    pub fn leave(&mut self) {
        self.phase = Phase::Open;
        self.frto = Frto::Off;
        self.dupacks = 0;
        if self.rack.persist > 0 {
            self.rack.persist -= 1;
            if self.rack.persist == 0 {
                self.rack.steps = 1;
            }
        }
    }
    /// Bytes were sent.
    pub fn sent(&mut self, len: u32) {
        if self.phase == Phase::Fast || self.reducing {
            self.prr_out = self.prr_out.saturating_add(len);
        }
    }
    /// RFC 9937 6.2: how far the window opens after `delivered` bytes left the network.
    pub fn reduce(&mut self, window: &mut Window, pipe: u32, delivered: u32, safe: bool) {
        self.prr_delivered = self.prr_delivered.saturating_add(delivered);
        let send = if pipe > window.ssthresh {
            let target = u64::from(self.prr_delivered) * u64::from(window.ssthresh);
            let target = target.div_ceil(u64::from(self.prior_cwnd)) as u32;
            target.saturating_sub(self.prr_out)
        } else {
            let mut limit = self
                .prr_delivered
                .saturating_sub(self.prr_out)
                .max(delivered);
            if safe {
                limit = limit.saturating_add(window.mss);
            }
            limit.min(window.ssthresh.saturating_sub(pipe))
        };
        let least = if self.prr_out == 0 { window.mss } else { 0 };
        window.cwnd = pipe.saturating_add(send.max(least));
    }
    /// The network was seen to reorder.
    pub fn expect_reordering(&mut self) {
        self.rack.reorders = true;
    }
    /// By how many segments the network was seen to reorder, 3 at first.
    pub fn reordering(&self) -> u16 {
        self.rack.reordering
    }
    /// A D-SACK: reordering was taken for loss. Patience grows once in a round trip (RFC 8985 6.2 step 4).
    pub fn dsack(&mut self, una: SeqNum, nxt: SeqNum) {
        if self.rack.dsack_round.is_some_and(|round| una.before(round)) {
            return;
        }
        self.rack.dsack_round = Some(nxt);
        self.rack.steps = self.rack.steps.saturating_add(1);
        self.rack.persist = 16;
    }
    /// Learns from what was delivered (RFC 8985 6.2 steps 1 to 3).
    pub fn learn(
        &mut self,
        delivered: &Delivered,
        now: Instant,
        min_rtt: Option<Duration>,
        mss: u32,
    ) {
        if let Some(distance) = delivered.reordered {
            self.rack.reorders = true;
            let segments = distance.div_ceil(mss.max(1)).min(MOST_REORDERING);
            self.rack.reordering = self.rack.reordering.max(segments as u16);
        }
        let Some(newest) = delivered.newest else {
            return;
        };
        let (sent_at, end) = (newest.sent_at, newest.end);
        let rtt = now.since(sent_at);
        if newest.resent && min_rtt.is_some_and(|min| rtt < min) {
            return;
        }
        self.rack.rtt = Span::of(rtt);
        let newer = self
            .rack
            .newest
            .is_none_or(|(at, e)| (sent_at, 0) > (at, 0) || (sent_at == at && end.after(e)));
        if newer {
            self.rack.newest = Some((sent_at, end));
        }
    }
    /// Marks what was sent long enough before something that arrived (RFC 8985 6.2 step 5).
    /// Returns what is lost, and when to look again if something may be but is given time.
    pub fn detect(
        &mut self,
        flight: &mut Flight,
        now: Instant,
        min_rtt: Option<Duration>,
        srtt: Option<Duration>,
        mss: u32,
    ) -> (Vec<Record>, Option<Instant>) {
        let Some((newest, end)) = self.rack.newest else {
            return (Vec::new(), None);
        };
        let patience = self.patience(flight, min_rtt, srtt, mss);
        let rtt = self.rack.rtt.duration();
        let mut again: Option<Instant> = None;
        let lost = flight.lose_where(|record: &Record| {
            let earlier =
                record.sent_at < newest || (record.sent_at == newest && record.end().before(end));
            if !earlier {
                return false;
            }
            let deadline = record.sent_at + rtt + patience;
            if deadline <= now {
                return true;
            }
            again = Some(again.map_or(deadline, |a| a.max(deadline)));
            false
        });
        if !lost.is_empty() {
            self.evidence = match patience.is_zero() {
                true => Cause::Sack,
                false => Cause::Rack,
            };
        }
        (lost, again)
    }
    fn patience(
        &self,
        flight: &Flight,
        min_rtt: Option<Duration>,
        srtt: Option<Duration>,
        mss: u32,
    ) -> Duration {
        let enough = u32::from(self.rack.reordering);
        let certain = self.phase != Phase::Open || flight.sacked_segments(mss) >= enough;
        if !self.rack.reorders && certain {
            return Duration::ZERO;
        }
        let quarter = min_rtt.unwrap_or(Duration::ZERO) / 4;
        let window = quarter * u32::from(self.rack.steps);
        window.min(srtt.unwrap_or(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_once_in_a_round_trip_and_lasts_for_sixteen_recoveries() {
        let mut recovery = Recovery::new(SeqNum(0));
        for (una, steps) in [(10, 2), (10, 2), (99, 2), (100, 3), (150, 3), (200, 4)] {
            recovery.dsack(SeqNum(una), SeqNum(una / 100 * 100 + 100));
            assert_eq!(recovery.rack.steps, steps, "at {una}");
        }
        for _ in 0..15 {
            recovery.leave();
        }
        assert_eq!(recovery.rack.steps, 4);
        recovery.leave();
        assert_eq!(recovery.rack.steps, 1);
    }

    #[test]
    fn patience_is_never_longer_than_a_round_trip() {
        let mut recovery = Recovery::new(SeqNum(0));
        recovery.expect_reordering();
        let ms = Duration::from_millis;
        let flight = Flight::default();
        for (steps, patience) in [(1, 25), (3, 75), (4, 100), (5, 120), (255, 120)] {
            recovery.rack.steps = steps;
            let given = recovery.patience(&flight, Some(ms(100)), Some(ms(120)), 1000);
            assert_eq!(given, ms(patience), "{steps} steps");
        }
    }
}
