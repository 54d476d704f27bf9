//! Many bytes over bad cables, and the same run twice.
use heptad_stack::l4_transport::tcp::{self, State};
use heptad_stack::{Counter, DropReason, SocketError};

use crate::rig::*;

/// Drops that a lossy cable makes ordinary.
const RETRANSMITTED: &[DropReason] = &[
    DropReason::TcpDuplicate,
    DropReason::TcpOutOfWindow,
    DropReason::TcpPaws,
    DropReason::TcpNoSocket,
    DropReason::TcpTimeWait,
    DropReason::NeighbourUnreachable,
];

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

#[test]
fn a_clean_cable_carries_ten_megabytes_without_sending_anything_twice() {
    let mut world = World::pair();
    transfer(&mut world, 10_000_000);
    assert_eq!(world.count(ALICE, Counter::TcpRetransSegs), 0);
    world.only_drops(NOTHING);
}

#[test]
fn ten_megabytes_through_five_percent_loss_arrive_intact() {
    let mut world = World::pair_with(tcp::Config::default(), 50, 3);
    transfer(&mut world, 10_000_000);
    assert!(world.count(ALICE, Counter::TcpRetransSegs) > 100);
    world.only_drops(RETRANSMITTED);
}

#[test]
fn every_set_of_tcp_options_survives_loss() {
    for set in 0..8 {
        let config = tcp::Config {
            timestamps: set & 1 != 0,
            window_scaling: set & 2 != 0,
            sack: set & 4 != 0,
            ..tcp::Config::default()
        };
        for loss in [10, 200] {
            let mut world = World::pair_with(config.clone(), loss, set);
            transfer(&mut world, 200_000);
            world.only_drops(RETRANSMITTED);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let run = |seed| {
        let mut world = World::pair_with(tcp::Config::default(), 50, seed);
        transfer(&mut world, 300_000)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
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
