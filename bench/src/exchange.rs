//! Short messages: request and response on one connection, and a connection for each of them.
use anyhow::{Result, ensure};

use crate::meter::Stopwatch;
use crate::pair::{Cable, Pair, Patience, Side};

/// Bytes of a request, and of a response.
pub const MESSAGE: [u8; 64] = [0x55; 64];

/// One request, answered with the same bytes.
pub fn one<P: Pair>(pair: &mut P, conn: P::Conn, message: &[u8]) -> Result<()> {
    hand_over(pair, conn, Side::Client, message)?;
    hand_over(pair, conn, Side::Server, message)
}

/// A message from one side to the other.
fn hand_over<P: Pair>(pair: &mut P, conn: P::Conn, from: Side, message: &[u8]) -> Result<()> {
    let to = match from {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    };
    let taken = pair.send(from, conn, message)?;
    ensure!(
        taken == message.len(),
        "a message of {taken} bytes was taken"
    );
    let mut buffer = [0; 2 * MESSAGE.len()];
    let mut got = 0;
    let mut patience = Patience::default();
    while got < message.len() {
        pair.turn(from)?;
        let n = pair.recv(to, conn, &mut buffer[got..])?;
        got += n;
        patience.round(n > 0)?;
    }
    ensure!(buffer[..got] == *message, "another message arrived");
    Ok(())
}

/// Requests and responses of `len` bytes (at most a `MESSAGE`) a second on one connection.
pub fn requests<P: Pair>(cable: &Cable, len: usize, count: u64) -> Result<f64> {
    let mut pair = P::new(cable)?;
    let conn = pair.connect()?;
    let message = &MESSAGE[..len];
    let watch = Stopwatch::start();
    for _ in 0..count {
        one(&mut pair, conn, message)?;
    }
    Ok(count as f64 / watch.seconds())
}

/// Connections a second that are opened, carry one request and one response, and are closed.
pub fn connections<P: Pair>(cable: &Cable, count: u64) -> Result<f64> {
    let mut pair = P::new(cable)?;
    let watch = Stopwatch::start();
    for _ in 0..count {
        let conn = pair.connect()?;
        one(&mut pair, conn, &MESSAGE)?;
        pair.close(conn)?;
    }
    Ok(count as f64 / watch.seconds())
}
