//! Goodput of every cell, in virtual time: the same on every machine.
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use heptad_lab::stack::EventMask;
use heptad_lab::stack::l4_transport::tcp::Congestion;
use heptad_lab::{Lab, LabOptions};
use indicatif::ProgressBar;

use crate::cell::{Cell, Path};
use crate::streams::Streams;

/// Shares of frames that are lost.
pub const LOSSES: [f64; 5] = [0.0, 0.001, 0.01, 0.03, 0.1];
/// Round trips, milliseconds.
pub const RTTS: [u64; 4] = [1, 20, 100, 300];
/// Megabits a second.
pub const RATES: [u64; 3] = [10, 100, 1000];
/// By its name.
pub fn congestion(name: &str) -> Result<Congestion> {
    let all = Congestion::ALL.map(|(name, _)| name).join(", ");
    Congestion::named(name)
        .with_context(|| format!("the congestion control {name} is none of {all}"))
}

/// How long a stream runs, its handshake and slow start included.
const TIME: Duration = Duration::from_secs(20);
/// A cell's figure is the median of as many runs.
const SEEDS: u64 = 3;

/// A cell and its goodput, bits a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Where.
    pub cell: Cell,
    /// How much arrived.
    pub goodput: f64,
}

/// All cells, by rate, loss, congestion control and round trip.
pub fn cells() -> Vec<Cell> {
    let paths = RATES.into_iter().flat_map(|rate| {
        LOSSES.into_iter().flat_map(move |loss| {
            Congestion::ALL
                .into_iter()
                .flat_map(move |(_, congestion)| {
                    RTTS.into_iter().map(move |rtt| Cell {
                        path: Path {
                            loss,
                            rtt: Duration::from_millis(rtt),
                            rate: rate * 1_000_000,
                        },
                        congestion,
                    })
                })
        })
    });
    paths.collect()
}

/// Runs all of them, a thread for each processor.
pub fn measure(cells: &[Cell], progress: &ProgressBar) -> Result<Vec<Figure>> {
    let next = AtomicUsize::new(0);
    let figures = Mutex::new(vec![None; cells.len()]);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(cell) = cells.get(index) else {
                return Ok(());
            };
            let goodput = goodput(cell).with_context(|| format!("{cell:?}"))?;
            let mut figures = figures.lock().ok().context("another thread panicked")?;
            figures[index] = Some(Figure {
                cell: *cell,
                goodput,
            });
            progress.inc(1);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|thread| {
            let done = thread.join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let figures = figures.into_inner().ok().context("a thread panicked")?;
    figures
        .into_iter()
        .map(|figure| figure.context("a cell was left out"))
        .collect()
}

/// Bits a second of one stream from its SYN on.
fn goodput(cell: &Cell) -> Result<f64> {
    // Without chance each run is the same.
    let seeds = if cell.path.loss > 0.0 { SEEDS } else { 1 };
    let mut runs = (0..seeds)
        .map(|seed| arrived(cell, seed))
        .collect::<Result<Vec<u64>>>()?;
    runs.sort_unstable();
    Ok(runs[runs.len() / 2] as f64 * 8.0 / TIME.as_secs_f64())
}

fn arrived(cell: &Cell, seed: u64) -> Result<u64> {
    let options = LabOptions {
        seed,
        event_hash: false,
        observe: false,
        events: EventMask::NONE,
    };
    let mut streams = Streams::new(Lab::new(&cell.path.topology(), options)?);
    streams.begin("a", "b", cell.congestion)?;
    streams.run(TIME)?;
    Ok(streams.all[0].arrived)
}
