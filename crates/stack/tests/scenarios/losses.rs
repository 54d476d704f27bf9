//! Many bytes over bad cables, and the same run twice.
use std::time::Duration;

use heptad_stack::l4_transport::tcp::{self, State};
use heptad_stack::{Counter, DropReason, Shutdown, SocketError, SocketId};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    a_clean_cable_carries_ten_megabytes_without_sending_anything_twice,
    ten_megabytes_through_five_percent_loss_arrive_intact,
    the_same_seed_gives_the_same_bytes_at_the_same_times,
    a_lost_syn_is_sent_again_after_a_second,
    both_sides_talk_at_once_through_loss,
    every_set_of_tcp_options_gets_on_with_every_fault,
    a_cable_that_loses_doubles_flips_and_delays_harms_no_byte,
}

/// Drops that a lossy cable makes ordinary.
const RETRANSMITTED: &[DropReason] = &[
    DropReason::TcpDuplicate,
    DropReason::TcpOutOfWindow,
    DropReason::TcpPaws,
    DropReason::TcpSynChallenged,
    DropReason::TcpNoSocket,
    DropReason::TcpTimeWait,
    DropReason::NeighbourUnreachable,
];

/// And drops that flipped bits make ordinary.
const FLIPPED: &[DropReason] = &[DropReason::TcpChecksum, DropReason::UdpChecksum];

/// Byte `n` of the stream.
fn byte(n: usize) -> u8 {
    (n ^ (n >> 8) ^ (n >> 16)) as u8
}

/// alice sends, bob reads and checks each byte; both close. Returns the fingerprint.
fn transfer(world: &mut World, total: usize) -> u64 {
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    let mut out = vec![0; 256 * 1024];
    let (mut sent, mut received, mut ended) = (0, 0, false);
    let mut closed = false;
    world.run_until("the whole stream", |world| {
        while sent < total {
            let chunk: Vec<u8> = (sent..total.min(sent + 32_768)).map(byte).collect();
            match world.send(ALICE, client, &chunk) {
                Ok(n) => sent += n,
                Err(error) => {
                    assert_eq!(error, SocketError::WouldBlock);
                    break;
                }
            }
        }
        if sent == total && !closed {
            closed = true;
            world.close(ALICE, client);
        }
        loop {
            let got = world.with(BOB, |stack, cx| stack.recv(server, &mut out, cx));
            match got {
                Ok(0) => break ended = true,
                Ok(n) => {
                    let intact = (received..).zip(&out[..n]).all(|(at, b)| byte(at) == *b);
                    assert!(intact, "wrong bytes after {received}");
                    received += n;
                }
                Err(error) => break assert_eq!(error, SocketError::WouldBlock),
            }
        }
        ended
    });
    assert_eq!(received, total);
    world.close(BOB, server);
    world.close(BOB, listener);
    world.run_for(200_000 * MS);
    assert_eq!((world.states(ALICE), world.states(BOB)), (vec![], vec![]));
    world.fingerprint()
}

fn a_clean_cable_carries_ten_megabytes_without_sending_anything_twice() {
    let mut world = World::pair();
    transfer(&mut world, 10_000_000);
    assert_eq!(world.count(ALICE, Counter::TcpRetransSegs), 0);
    world.only_drops(NOTHING);
}

fn ten_megabytes_through_five_percent_loss_arrive_intact() {
    let mut world = World::pair_with(tcp::Config::default(), 50, 3);
    transfer(&mut world, 10_000_000);
    assert!(world.count(ALICE, Counter::TcpRetransSegs) > 100);
    world.only_drops(RETRANSMITTED);
}

fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let run = |seed| {
        let mut world = World::pair_with(tcp::Config::default(), 50, seed);
        transfer(&mut world, 300_000)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

fn a_lost_syn_is_sent_again_after_a_second() {
    let mut world = World::pair();
    let listener = world.listener(BOB, 80);
    let probe = world.datagram(ALICE);
    world.send_to(ALICE, probe, b"", "10.0.0.2:9").unwrap();
    world.run_for(100 * MS);
    let client = world.stream(ALICE);
    world.lose_next(ALICE, 1);
    let _ = world.connect(ALICE, client, "10.0.0.2:80");
    world.run_for(900 * MS);
    assert_eq!(world.states(ALICE), [State::SynSent]);
    world.run_for(200 * MS);
    assert_eq!(world.connect(ALICE, client, "10.0.0.2:80"), Ok(()));
    assert!(world.accept(BOB, listener).is_ok());
    assert_eq!(world.count(ALICE, Counter::TcpExtTcpSynRetrans), 1);
}

/// One end of a conversation in which both talk at once.
#[derive(Default)]
struct Talker {
    sent: usize,
    received: usize,
    ended: bool,
}
impl Talker {
    /// Sends what it can; ends its direction once all is sent.
    fn talk(&mut self, world: &mut World, host: usize, s: SocketId, total: usize) {
        while self.sent < total {
            let end = total.min(self.sent + 8_192);
            let chunk: Vec<u8> = (self.sent..end).map(byte).collect();
            match world.send(host, s, &chunk) {
                Ok(n) => self.sent += n,
                Err(error) => return assert_eq!(error, SocketError::WouldBlock),
            }
            if self.sent == total {
                world.shutdown(host, s, Shutdown::Write).unwrap();
            }
        }
    }
    /// Receives what it can.
    fn hear(&mut self, world: &mut World, host: usize, s: SocketId) {
        while !self.ended {
            let bytes = match world.recv(host, s) {
                Ok(bytes) => bytes,
                Err(error) => return assert_eq!(error, SocketError::WouldBlock),
            };
            self.ended = bytes.is_empty();
            let intact = (self.received..).zip(&bytes).all(|(at, b)| byte(at) == *b);
            assert!(intact, "wrong bytes after {}", self.received);
            self.received += bytes.len();
        }
    }
}

/// Both sides send `total` bytes at once and close; returns how long the streams took.
fn conversation(world: &mut World, faults: Faults, total: usize) -> Duration {
    let listener = world.listener(BOB, 80);
    let (client, server) = world.connected(listener, "10.0.0.2:80");
    world.impair(faults);
    let began = world.now;
    let (mut alice, mut bob) = (Talker::default(), Talker::default());
    world.run_until("the end of both streams", |world| {
        alice.talk(world, ALICE, client, total);
        bob.talk(world, BOB, server, total);
        alice.hear(world, ALICE, client);
        bob.hear(world, BOB, server);
        alice.ended && bob.ended
    });
    let took = world.now - began;
    assert_eq!((alice.received, bob.received), (total, total));
    world.close(ALICE, client);
    world.close(BOB, server);
    world.run_for(200_000 * MS);
    assert_eq!(world.states(ALICE), []);
    assert_eq!(world.states(BOB), [State::Listen]);
    took
}

fn both_sides_talk_at_once_through_loss() {
    for (loss, total) in [(0, 3_000_000), (30, 1_000_000), (150, 300_000)] {
        let mut world = World::pair();
        let faults = Faults {
            loss,
            ..Faults::default()
        };
        conversation(&mut world, faults, total);
        world.only_drops(if loss == 0 { NOTHING } else { RETRANSMITTED });
    }
}

fn every_set_of_tcp_options_gets_on_with_every_fault() {
    let none = Faults::default();
    let rows = [
        Faults { loss: 100, ..none },
        Faults {
            duplicate: 200,
            ..none
        },
        Faults {
            corrupt: 100,
            ..none
        },
        Faults { late: 300, ..none },
        Faults {
            loss: 10,
            duplicate: 10,
            corrupt: 10,
            late: 500,
        },
        Faults {
            loss: 50,
            duplicate: 50,
            corrupt: 50,
            late: 100,
        },
    ];
    for (set, faults) in (0..8u8).flat_map(|set| rows.map(|faults| (set, faults))) {
        let config = tcp::Config {
            timestamps: set & 1 != 0,
            window_scaling: set & 2 != 0,
            sack: set & 4 != 0,
            ..tcp::Config::default()
        };
        let mut world = World::pair_with(config, 0, set);
        let took = conversation(&mut world, faults, 100_000);
        // 100 KB take 50 ms when nothing goes wrong; a timer that sleeps too long would show here.
        let limit = Duration::from_secs(20);
        assert!(took < limit, "{took:?} with {faults:?}, set {set}");
        world.only_drops(&[RETRANSMITTED, FLIPPED].concat());
    }
}

fn a_cable_that_loses_doubles_flips_and_delays_harms_no_byte() {
    let mut world = World::pair();
    world.impair(Faults {
        loss: 50,
        duplicate: 20,
        corrupt: 20,
        late: 50,
    });
    transfer(&mut world, 3_000_000);
    world.only_drops(&[RETRANSMITTED, FLIPPED].concat());
    assert!(world.count(BOB, Counter::TcpInCsumErrors) > 10);
}
