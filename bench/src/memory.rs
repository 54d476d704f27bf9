//! What a silent connection costs.
use anyhow::Result;

use crate::allocations;
use crate::exchange::MESSAGE;
use crate::pair::{Cable, Pair};

/// Bytes of the heap for each end of a connection that was opened, carried one message each way, and then stays silent.
pub fn endpoint<P: Pair>(cable: &Cable, connections: usize) -> Result<f64> {
    let mut pair = P::new(cable)?;
    // What two hosts hold anyway: packets, neighbours, one listener.
    pair.connect_idle(1, &MESSAGE)?;
    let before = allocations::live();
    pair.connect_idle(connections, &MESSAGE)?;
    let held = allocations::live() - before;
    drop(pair);
    Ok(held as f64 / (2 * connections) as f64)
}
