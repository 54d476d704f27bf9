//! BBR on a path of one queue, which sends and acknowledges segment by segment.
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::model::{inflight_at_loss, is_too_high};
use super::*;
use crate::l4_transport::tcp::delivery::Delivery;
use crate::l4_transport::tcp::recovery::scoreboard::{Delivered, Flight, Mark};
use crate::l4_transport::tcp::seq::SeqNum;

const MSS: u32 = 1000;
const RTT: Duration = Duration::from_millis(40);
/// Bytes a second; a full pipe holds 100,000.
const RATE: u64 = 2_500_000;

/// A sender, a bottleneck with a queue, and who acknowledges.
struct World {
    now: Instant,
    bbr: Bbr,
    window: Window,
    delivery: Delivery,
    flight: Flight,
    nxt: SeqNum,
    next_send: Instant,
    rng: Rng,
    rate: u64,
    /// Bytes that wait at most.
    buffer: u64,
    free_at: Instant,
    /// Bytes a second that the program gives.
    program: u64,
    acks: VecDeque<(Instant, SeqNum)>,
    sent: u64,
    lost: u64,
    seen: Vec<State>,
}

impl World {
    fn new(buffer: u64) -> Self {
        let window = Window::initial(MSS);
        Self {
            now: Instant::ZERO,
            bbr: Bbr::new(&window, Some(RTT), Instant::ZERO),
            window,
            delivery: Delivery::default(),
            flight: Flight::default(),
            nxt: SeqNum(0),
            next_send: Instant::ZERO,
            rng: Rng::from_seed([7; 32]),
            rate: RATE,
            buffer,
            free_at: Instant::ZERO,
            program: u64::MAX,
            acks: VecDeque::new(),
            sent: 0,
            lost: 0,
            seen: Vec::new(),
        }
    }
    /// Bytes that a full pipe holds.
    fn bdp(&self) -> u64 {
        self.rate * RTT.as_millis() as u64 / 1000
    }
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let open = self.flight.pipe() + MSS <= self.window.cwnd;
            let send = open.then_some(self.next_send.max(self.now));
            let ack = self.acks.front().map(|(at, _)| *at);
            match (send, ack) {
                (Some(send), ack) if ack.is_none_or(|ack| send < ack) => self.send(send),
                (_, Some(ack)) => self.acknowledge(ack),
                _ => panic!("nothing is under way and nothing may leave"),
            }
            if self.seen.last() != Some(&self.bbr.state) {
                self.seen.push(self.bbr.state);
            }
        }
    }
    fn send(&mut self, at: Instant) {
        self.now = at;
        let (idle, pipe) = (self.flight.is_empty(), self.flight.pipe() + MSS);
        let note = self.delivery.note(idle, pipe, &self.flight, at);
        self.flight.push(self.nxt, MSS, at, note);
        self.sent += u64::from(MSS);
        let (seq, rate) = (self.nxt, self.bbr.pacing_rate().min(self.program));
        self.nxt += MSS;
        self.next_send = at + time_of(MSS, rate);
        if rate == self.program {
            self.delivery.limit_by_program(pipe);
        }
        let waits = self.free_at.since(at).as_nanos() * u128::from(self.rate) / 1_000_000_000;
        if waits > u128::from(self.buffer) {
            self.lost += u64::from(MSS);
            return;
        }
        self.free_at = self.free_at.max(at) + time_of(MSS, self.rate);
        self.acks.push_back((self.free_at + RTT, seq));
    }
    fn acknowledge(&mut self, at: Instant) {
        self.now = at;
        let (_, seq) = self.acks.pop_front().unwrap();
        let mut delivered = Delivered::default();
        self.flight.sack(seq, seq + MSS, MSS, &mut delivered);
        let sample = self.delivery.sample(&delivered, at, None);
        let now = Moment {
            time: at,
            delivered: self.delivery.delivered,
        };
        for record in self.flight.lose_where(|r| r.end().before(seq)) {
            self.delivery.lost += u64::from(record.len);
            let marked = Marked {
                sent: self.delivery.sent(record.note),
                len: record.len,
                lost: self.delivery.lost,
                sack: true,
            };
            self.bbr.on_lost(&self.window, &marked, now, &mut self.rng);
            self.bbr.on_lost_ranges(1);
        }
        // what is settled leaves the front
        let first = self.flight.iter().find(|r| r.mark == Mark::InFlight);
        let una = first.map_or(self.nxt, |record| record.seq);
        self.flight.acknowledge(una, &mut Delivered::default());
        let ack = Ack {
            now: at,
            sample,
            delivered: self.delivery.delivered,
            lost: self.delivery.lost,
            in_flight: self.flight.pipe(),
            cwnd_limited: self.flight.pipe() + 2 * MSS > self.window.cwnd,
            sack: true,
            recovering: self.lost > 0,
            srtt: Some(RTT),
        };
        self.bbr.on_ack(&mut self.window, &ack, &mut self.rng);
        if self.bbr.is_probing_rtt() {
            self.delivery.limit_by_program(self.flight.pipe());
        }
    }
    fn queued(&self) -> u64 {
        u64::from(self.flight.pipe()).saturating_sub(self.bdp())
    }
}

fn time_of(bytes: u32, rate: u64) -> Duration {
    Duration::from_nanos(u64::from(bytes) * 1_000_000_000 / rate.max(1))
}
/// Within percents of it.
fn close(value: u64, wanted: u64, percent: u64) -> bool {
    value.abs_diff(wanted) * 100 <= wanted * percent
}

#[test]
fn startup_finds_the_rate_and_drain_takes_its_queue_away() {
    let mut world = World::new(10_000_000);
    world.run(Duration::from_secs(1));
    assert!(close(world.bbr.max_bw(), RATE, 2), "{}", world.bbr.max_bw());
    assert_eq!(world.seen[..2], [State::Startup, State::Drain]);
    assert!(world.bbr.state.is_probe_bw());
    assert_eq!(world.lost, 0);
    assert!(
        world.queued() <= world.bdp() / 4,
        "{} bytes wait",
        world.queued()
    );
}

#[test]
fn it_uses_the_rate_keeps_the_queue_short_and_goes_through_all_states() {
    let mut world = World::new(10_000_000);
    world.run(Duration::from_secs(2));
    let before = world.delivery.delivered;
    world.run(Duration::from_secs(28));
    let rate = (world.delivery.delivered - before) / 28;
    assert!(close(rate, RATE, 3), "{rate} bytes a second");
    let all: BTreeSet<_> = world.seen.iter().map(|state| *state as u8).collect();
    assert_eq!(all.len(), 7, "{:?}", world.seen);
    assert!(
        world.queued() < world.bdp(),
        "{} bytes wait",
        world.queued()
    );
    let min = world.bbr.min_rtt.value.unwrap();
    assert!(min < RTT + RTT / 20, "the round trip is {min:?}");
}

#[test]
fn a_shallow_queue_bounds_what_is_under_way_and_little_is_lost() {
    let mut world = World::new(RATE / 1000 * 10);
    world.run(Duration::from_secs(2));
    let (sent, lost) = (world.sent, world.lost);
    world.run(Duration::from_secs(20));
    let bound = u64::from(world.bbr.inflight_longterm);
    assert!(bound <= (world.bdp() + world.buffer) * 11 / 10, "{bound}");
    let share = (world.lost - lost) as f64 / (world.sent - sent) as f64;
    assert!(share < 0.01, "{share} is lost");
    assert!(close((world.sent - sent) / 20, RATE, 10));
}

#[test]
fn a_path_that_became_wider_or_narrower_is_found_out() {
    let mut world = World::new(1_000_000);
    world.run(Duration::from_secs(5));
    for rate in [4 * RATE, 2 * RATE] {
        world.rate = rate;
        world.run(Duration::from_secs(15));
        let before = world.delivery.delivered;
        world.run(Duration::from_secs(3));
        let found = (world.delivery.delivered - before) / 3;
        assert!(close(found, rate, 8), "{found} instead of {rate}");
        assert!(
            close(world.bbr.bw, rate, 8),
            "{} instead of {rate}",
            world.bbr.bw
        );
    }
}

#[test]
fn losses_end_startup_before_the_rate_stops_to_grow() {
    let mut world = World::new(4000);
    world.run(Duration::from_millis(900));
    assert_ne!(world.bbr.state, State::Startup);
    assert!(world.bbr.inflight_longterm < INFINITE);
}

#[test]
fn a_program_that_sends_little_does_not_end_startup() {
    let mut world = World::new(10_000_000);
    world.program = RATE / 20;
    world.run(Duration::from_secs(5));
    assert_eq!(world.seen, [State::Startup]);
    assert!(!world.bbr.full.reached);
    world.program = u64::MAX;
    world.run(Duration::from_secs(1));
    assert!(
        close(world.bbr.max_bw(), RATE, 2),
        "and then it finds the rate"
    );
}

#[test]
fn what_was_no_loss_is_undone() {
    let mut world = World::new(10_000_000);
    world.run(Duration::from_secs(5));
    let (cwnd, long, short) = (
        world.window.cwnd,
        world.bbr.inflight_longterm,
        world.bbr.short,
    );
    world.bbr.on_loss(&mut world.window, &Lost { flight: 0 });
    world.bbr.inflight_longterm = 5000;
    world.bbr.short = ShortTerm {
        bw: 1,
        inflight: 4000,
    };
    world.window.cwnd = 4000;
    world.bbr.undo.state = Some(State::Up);
    world.bbr.state = State::Down;
    world
        .bbr
        .on_spurious(&mut world.window, world.delivery.delivered);
    assert_eq!(world.window.cwnd, cwnd);
    assert_eq!(world.bbr.inflight_longterm, long);
    assert_eq!(world.bbr.state, State::Refill, "the probe begins again");
    assert_eq!(
        (world.bbr.short.bw, world.bbr.short.inflight),
        (u64::MAX, INFINITE)
    );
    assert_eq!(
        (short.bw, short.inflight),
        (u64::MAX, INFINITE),
        "as before"
    );
}

#[test]
fn two_percent_of_what_is_under_way_may_be_lost() {
    for (lost, in_flight, sack, too_high) in [
        (0, 100_000, true, false),
        (2000, 100_000, true, false),
        (2001, 100_000, true, true),
        (1, 100_000, false, true),
        (0, 100_000, false, false),
    ] {
        assert_eq!(
            is_too_high(lost, in_flight, sack),
            too_high,
            "{lost} of {in_flight}"
        );
    }
    // the first bytes of a burst of 50,000 were within bounds: (0.02 * 50,000 - 0) / 0.98
    assert_eq!(inflight_at_loss(50_000, 100_000, 50_000), 51_020);
    assert_eq!(
        inflight_at_loss(90_000, 100_000, 1000),
        10_205,
        "long before"
    );
    assert_eq!(inflight_at_loss(200_000, 100_000, 1000), 0);
}

#[test]
fn the_most_of_some_rounds_is_remembered_and_then_forgotten() {
    let mut all = Aggregation::new(Instant::ZERO);
    for (round, extra, most) in [
        (1, 50, 50),
        (2, 30, 50),
        (3, 40, 50),
        (11, 5, 40),
        (13, 1, 5),
        (14, 9, 9),
    ] {
        all.remember(round, extra, 10);
        assert_eq!(all.extra_acked(), most, "round {round}");
    }
}
