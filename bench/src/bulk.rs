//! One connection that carries as much as it can.
use anyhow::{Result, ensure};

use crate::exchange::MESSAGE;
use crate::meter::Stopwatch;
use crate::pair::{Cable, Pair, Patience, Side};

/// Bytes that a program gives or takes at once.
const BLOCK: usize = 64 * 1024;
/// Bytes after which the stream repeats: prime, so that no two segments look alike.
const PERIOD: usize = 65_521;

/// Megabytes (10^6) a second from the client to the server, `idle` silent connections beside.
pub fn throughput<P: Pair>(cable: &Cable, idle: usize, bytes: u64) -> Result<f64> {
    let mut pair = P::new(cable)?;
    pair.connect_idle(idle, &MESSAGE)?;
    let conn = pair.connect()?;
    // The windows open and the memory is there.
    stream(&mut pair, conn, bytes / 8)?;
    let watch = Stopwatch::start();
    stream(&mut pair, conn, bytes)?;
    Ok(bytes as f64 / 1e6 / watch.seconds())
}

/// Sends so many bytes and receives them; each byte is compared with the one that was sent.
fn stream<P: Pair>(pair: &mut P, conn: P::Conn, bytes: u64) -> Result<()> {
    let pattern: Vec<u8> = (0..PERIOD + BLOCK)
        .map(|i| (i % PERIOD % 251) as u8)
        .collect();
    let mut block = vec![0; BLOCK];
    let (mut sent, mut received) = (0u64, 0u64);
    let mut patience = Patience::default();
    while received < bytes {
        sent += give(pair, conn, &pattern, sent, bytes)?;
        pair.round()?;
        let before = received;
        loop {
            let n = pair.recv(Side::Server, conn, &mut block)?;
            if n == 0 {
                break;
            }
            check(&block[..n], &pattern, received)?;
            received += n as u64;
        }
        patience.round(received > before)?;
    }
    ensure!(received == bytes, "{received} bytes arrived of {bytes}");
    Ok(())
}

/// Gives blocks until there is no room; how many bytes were taken.
fn give<P: Pair>(pair: &mut P, conn: P::Conn, pattern: &[u8], from: u64, to: u64) -> Result<u64> {
    let mut at = from;
    while at < to {
        let left = usize::try_from(to - at).unwrap_or(BLOCK).min(BLOCK);
        let start = (at % PERIOD as u64) as usize;
        let taken = pair.send(Side::Client, conn, &pattern[start..start + left])?;
        if taken == 0 {
            break;
        }
        at += taken as u64;
    }
    Ok(at - from)
}

fn check(got: &[u8], pattern: &[u8], at: u64) -> Result<()> {
    let start = (at % PERIOD as u64) as usize;
    ensure!(
        *got == pattern[start..start + got.len()],
        "the bytes at {at} are not those that were sent"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ours::Ours;
    use crate::peer::Smoltcp;

    /// A frame is damaged on its way; the bytes are whole only if the receiver saw it and the sender sent it again.
    fn a_damaged_frame_is_not_believed<P: Pair>(cable: &Cable, least: usize) {
        let mut pair = P::new(cable).unwrap();
        let conn = pair.connect().unwrap();
        for _ in 0..3 {
            pair.damage_next(least);
            stream(&mut pair, conn, 300_000).unwrap();
        }
    }

    #[test]
    fn both_stacks_verify_checksums_at_mtu_1500() {
        for copied in [false, true] {
            let cable = Cable {
                copied,
                ..Cable::ETHERNET
            };
            a_damaged_frame_is_not_believed::<Ours>(&cable, 1000);
            a_damaged_frame_is_not_believed::<Smoltcp>(&cable, 1000);
        }
    }

    #[test]
    fn both_stacks_verify_checksums_of_segments_of_64_kilobytes() {
        let cable = Cable {
            mtu: 65_535,
            ..Cable::ETHERNET
        };
        a_damaged_frame_is_not_believed::<Ours>(&cable, 20_000);
        a_damaged_frame_is_not_believed::<Smoltcp>(&cable, 20_000);
    }

    #[test]
    #[should_panic(expected = "are not those that were sent")]
    fn without_checksums_damage_is_seen_by_the_bench_itself() {
        let cable = Cable {
            mtu: 65_535,
            checksums: false,
            ..Cable::ETHERNET
        };
        a_damaged_frame_is_not_believed::<Ours>(&cable, 20_000);
    }
}
