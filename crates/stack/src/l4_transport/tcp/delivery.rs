//! Delivery-rate samples (draft-ietf-ccwg-bbr 4.1, as Linux's tcp_rate.c): how fast the network delivered what an ACK speaks of.
//!
//! Each transmission notes what was known when it left. Its ACK compares: bytes delivered since then, by the longer of the time
//! that sending and that acknowledging took, so that neither bursts nor bunched ACKs make the network look faster than it is.
use alloc::collections::VecDeque;

use super::recovery::scoreboard::{Delivered, Flight, Mark};
use crate::Instant;
use crate::time::Duration;

/// Notes beyond those of records on their way, at which old ones are swept out.
const SWEEP: usize = 64;

/// What was known when something left.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Bytes that had been delivered.
    pub delivered: u64,
    /// Bytes that had been taken for lost.
    pub lost: u64,
    /// Bytes on their way, these included.
    pub in_flight: u32,
    /// The program gave less than the network would have taken.
    pub app_limited: bool,
    delivered_at: Instant,
    first_sent: Instant,
}

/// What one ACK tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Bytes that it delivered.
    pub newly_acked: u32,
    /// Bytes a second; zero where nothing reliable can be said.
    pub rate: u64,
    /// Bytes delivered since the newest of its segments left.
    pub delivered: u64,
    /// Bytes that had been delivered when it left; `None`: nothing was delivered now.
    pub prior_delivered: Option<u64>,
    /// Bytes that had been taken for lost when it left.
    pub prior_lost: u64,
    /// Bytes on their way when it left.
    pub in_flight: u32,
    /// The rate may be less than what the network takes.
    pub app_limited: bool,
    /// Of the newest segment, unless it was sent twice.
    pub rtt: Option<Duration>,
}

/// The last rate, for TCP_INFO.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Bytes a second.
    pub rate: u64,
    pub app_limited: bool,
}

/// The sampler of a connection.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Bytes delivered in all.
    pub delivered: u64,
    /// Bytes taken for lost in all.
    pub lost: u64,
    pub told: Told,
    delivered_at: Instant,
    /// When the newest that was delivered had left.
    first_sent: Instant,
    /// Up to this count of delivered bytes the program is what limits; zero: it does not.
    app_limited: u64,
    /// By the number of the transmission, from `base` on.
    sent: VecDeque<Sent>,
    base: u32,
    sweep_at: usize,
}

impl Delivery {
    /// Something leaves; returns the number of the note. `pipe`: bytes on their way with it.
    pub fn note(&mut self, idle: bool, pipe: u32, flight: &Flight, now: Instant) -> u32 {
        if idle {
            self.first_sent = now;
            self.delivered_at = now;
        }
        if self.sent.len() >= self.sweep_at {
            self.sweep(flight);
        }
        self.sent.push_back(Sent {
            delivered: self.delivered,
            lost: self.lost,
            in_flight: pipe,
            app_limited: self.app_limited > 0,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
        });
        // number 0 is that of what left before there was a sampler
        self.base.wrapping_add(self.sent.len() as u32)
    }
    /// Notes that nothing on its way refers to any more go.
    fn sweep(&mut self, flight: &Flight) {
        let live = flight.iter().filter(|r| r.mark != Mark::Sacked);
        let oldest = live.filter_map(|r| self.index(r.note)).min();
        let gone = oldest.unwrap_or(self.sent.len());
        self.sent.drain(..gone);
        self.base = self.base.wrapping_add(gone as u32);
        self.sweep_at = self.sent.len() * 2 + SWEEP;
    }
    fn index(&self, note: u32) -> Option<usize> {
        let index = note.wrapping_sub(self.base).wrapping_sub(1) as usize;
        (note != 0 && index < self.sent.len()).then_some(index)
    }
    /// What was known when the transmission of this number left.
    pub fn sent(&self, note: u32) -> Option<&Sent> {
        self.sent.get(self.index(note)?)
    }
    /// An ACK came.
    pub fn sample(&mut self, acked: &Delivered, now: Instant, min_rtt: Option<Duration>) -> Sample {
        if acked.bytes > 0 {
            self.delivered += u64::from(acked.bytes);
            self.delivered_at = now;
        }
        if self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let mut sample = Sample {
            newly_acked: acked.bytes,
            ..Sample::default()
        };
        let Some(newest) = acked.newest else {
            return sample;
        };
        sample.rtt = (!newest.resent).then(|| now.since(newest.sent_at));
        let Some(sent) = self.sent(newest.note).copied() else {
            return sample;
        };
        sample.prior_delivered = Some(sent.delivered);
        sample.delivered = self.delivered - sent.delivered;
        sample.prior_lost = sent.lost;
        sample.in_flight = sent.in_flight;
        sample.app_limited = sent.app_limited;
        let sending = newest.sent_at.since(sent.first_sent);
        let acking = now.since(sent.delivered_at);
        self.first_sent = newest.sent_at;
        // less than a round trip is what a segment makes that was sent twice and whose first copy arrived
        let interval = sending.max(acking);
        if min_rtt.is_none_or(|min| interval >= min) {
            sample.rate = per_second(sample.delivered, interval);
            if !sample.app_limited || sample.rate >= self.told.rate {
                self.told = Told {
                    rate: sample.rate,
                    app_limited: sample.app_limited,
                };
            }
        }
        sample
    }
    /// Less is sent than might be: what is on its way now, and what was delivered, says little of the network.
    pub fn limit_by_program(&mut self, pipe: u32) {
        self.app_limited = (self.delivered + u64::from(pipe)).max(1);
    }
    /// Whether that is so.
    pub fn is_app_limited(&self) -> bool {
        self.app_limited > 0
    }
}

fn per_second(bytes: u64, interval: Duration) -> u64 {
    let nanos = interval.as_nanos().max(1);
    let rate = u128::from(bytes) * 1_000_000_000 / nanos;
    match interval.is_zero() {
        true => 0,
        false => u64::try_from(rate).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::super::seq::SeqNum;
    use super::*;

    const fn ms(n: u64) -> Instant {
        Instant::from_nanos(n * 1_000_000)
    }
    /// A sender of segments of 1000 bytes.
    #[derive(Default)]
    struct Sender {
        delivery: Delivery,
        flight: Flight,
        nxt: u32,
        una: u32,
    }
    impl Sender {
        fn send(&mut self, now: Instant) {
            let (idle, pipe) = (self.flight.is_empty(), self.flight.pipe() + 1000);
            let note = self.delivery.note(idle, pipe, &self.flight, now);
            self.flight.push(SeqNum(self.nxt), 1000, now, note);
            self.nxt += 1000;
        }
        fn ack(&mut self, segments: u32, now: Instant) -> Sample {
            let mut acked = Delivered::default();
            self.una += segments * 1000;
            self.flight.acknowledge(SeqNum(self.una), &mut acked);
            self.delivery.sample(&acked, now, None)
        }
    }

    #[test]
    fn a_steady_stream_is_measured_exactly() {
        let mut sender = Sender::default();
        for i in 0..20 {
            sender.send(ms(i));
        }
        let mut last = Sample::default();
        for i in 0..60 {
            last = sender.ack(1, ms(20 + i));
            sender.send(ms(20 + i));
        }
        assert_eq!(last.rate, 1_000_000, "a segment each millisecond");
        assert_eq!(last.delivered, 20_000);
        assert_eq!(last.rtt, Some(Duration::from_millis(20)));
        assert_eq!(sender.delivery.told.rate, 1_000_000);
    }

    #[test]
    fn bunched_acks_do_not_make_the_network_faster() {
        let mut sender = Sender::default();
        for i in 0..20 {
            sender.send(ms(i));
        }
        // held back on their way and let go all at once
        for _ in 0..20 {
            let sample = sender.ack(1, ms(45));
            assert!(sample.rate <= 20_000 * 1000 / 45, "{sample:?}");
        }
    }

    #[test]
    fn a_burst_is_not_the_rate_of_the_network() {
        let mut sender = Sender::default();
        for _ in 0..10 {
            sender.send(ms(0));
        }
        let samples: alloc::vec::Vec<u64> = (0..10)
            .map(|i| sender.ack(1, ms(20 + 5 * i)).rate)
            .collect();
        assert!(samples.iter().all(|rate| *rate <= 200_000), "{samples:?}");
    }

    #[test]
    fn samples_of_a_program_that_sends_little_say_so_for_a_round_trip() {
        let mut sender = Sender::default();
        sender.send(ms(0));
        sender.delivery.limit_by_program(sender.flight.pipe());
        sender.send(ms(1));
        assert!(!sender.ack(1, ms(10)).app_limited, "sent before");
        sender.send(ms(11));
        assert!(sender.ack(1, ms(11)).app_limited);
        assert!(
            !sender.delivery.is_app_limited(),
            "the gap has left the network"
        );
        sender.send(ms(12));
        assert!(
            !{
                sender.ack(1, ms(21));
                sender.ack(1, ms(22))
            }
            .app_limited
        );
    }

    #[test]
    fn notes_of_what_arrived_do_not_pile_up() {
        let mut sender = Sender::default();
        for i in 0..10_000 {
            sender.send(ms(i));
            if i >= 10 {
                sender.ack(1, ms(i));
            }
            assert!(sender.delivery.sent.len() <= 2 * 11 + SWEEP);
        }
        // and those of what has waited since long stay
        let first = sender.una;
        for i in 10_000..20_000 {
            sender.send(ms(i));
            let mut acked = Delivered::default();
            let next = SeqNum(sender.nxt - 1000);
            if sender.nxt > first + 11_000 {
                sender.flight.sack(next, next + 1000, 1000, &mut acked);
            }
        }
        let note = sender.flight.iter().next().unwrap().note;
        assert!(sender.delivery.sent(note).is_some());
        assert!(sender.delivery.sent(0).is_none());
    }
}
