//! Both in real time over the same cable: Linux to Linux, and our hosts, whose frames pass the kernel's interfaces likewise.
//!
//! ```text
//!   Linux   kernel ── TAP ══ cable ══ TAP ── kernel
//!   ours    our host ── TAP ─ bridge ─ TAP ══ cable ══ TAP ─ bridge ─ TAP ── our host
//! ```
//!
//! The cable is a lab by itself; it loses the n-th frame for either if it loses it for one. Each end and each cable is a process in
//! a network namespace of its own, which goes when the process ends.
mod cable;
mod ends;
mod fair;
mod report;
mod run;

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

pub use cable::Cable;
pub use ends::End;
pub use fair::{Fairness, share};

use crate::cell::{Cell, Path};
use report::{Goodput, Pair, Row};

/// Round trips, milliseconds, and shares of lost frames, at 100 Mbit/s.
const RTTS: [u64; 3] = [20, 100, 300];
const LOSSES: [f64; 3] = [0.001, 0.01, 0.03];
const RATE: u64 = 100_000_000;

/// Which cells, and how exactly.
#[derive(Args)]
pub struct Choice {
    /// Only cells of this round trip, milliseconds; may be given more than once.
    #[arg(long, value_name = "MS")]
    rtt: Vec<u64>,
    /// Only cells of this loss, percent; may be given more than once.
    #[arg(long, value_name = "PERCENT")]
    loss: Vec<f64>,
    /// The congestion control of both.
    #[arg(long, default_value = "cubic")]
    congestion: String,
    /// Runs of each cell, each with a drop list of its own.
    #[arg(long, default_value_t = 10, value_name = "N")]
    seeds: u64,
    /// How long a stream runs, seconds.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    seconds: f64,
    /// Runs of one seed until one keeps time: where processors are taken away at times, short runs and many tries.
    #[arg(long, default_value_t = 3, value_name = "N")]
    tries: u32,
    /// Show each run as well.
    #[arg(long)]
    each: bool,
}

/// Whose end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stack {
    /// Linux's own TCP.
    Linux,
    /// A host of ours.
    Ours,
}
impl Stack {
    fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Ours => "ours",
        }
    }
}

/// The table; ends with 1 where ours brings less than 0.95 of Linux.
pub fn compare(choice: &Choice) -> Result<ExitCode> {
    if let Some(why) = missing() {
        bail!("no comparison with Linux here: {why}");
    }
    let paths = choice.paths()?;
    if !(0.1..=3600.0).contains(&choice.seconds) {
        bail!("--seconds is between 0.1 and 3600");
    }
    let congestion = crate::goodput::congestion(&choice.congestion)?;
    println!("{}", report::HEADING);
    let mut rows = Vec::new();
    for path in paths {
        let cell = Cell { path, congestion };
        let row = choice.row(&cell)?;
        println!("{row}");
        rows.push(row);
    }
    println!("\n{}", report::Verdict::of(&rows));
    Ok(match rows.iter().all(Row::holds) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Choice {
    fn paths(&self) -> Result<Vec<Path>> {
        let chosen = |rtt: &u64, loss: &f64| {
            let percent = loss * 100.0;
            let is_asked = |asked: &f64| (asked - percent).abs() < 1e-9;
            (self.rtt.is_empty() || self.rtt.contains(rtt))
                && (self.loss.is_empty() || self.loss.iter().any(is_asked))
        };
        let all = RTTS
            .into_iter()
            .flat_map(|rtt| LOSSES.map(|loss| (rtt, loss)));
        let paths: Vec<Path> = all
            .filter(|(rtt, loss)| chosen(rtt, loss))
            .map(|(rtt, loss)| Path {
                loss,
                rtt: Duration::from_millis(rtt),
                rate: RATE,
            })
            .collect();
        if paths.is_empty() {
            bail!("no such cell: --rtt is one of {RTTS:?}, --loss of 0.1, 1 and 3");
        }
        Ok(paths)
    }
    /// All seeds of a cell, Linux and ours in turn.
    fn row(&self, cell: &Cell) -> Result<Row> {
        let bar = ProgressBar::new(self.seeds).with_message(cell.path.to_string());
        let mut pairs = Vec::new();
        for seed in 1..=self.seeds {
            let pair = Pair {
                linux: self.goodput(cell, Stack::Linux, seed)?,
                ours: self.goodput(cell, Stack::Ours, seed)?,
            };
            if self.each {
                bar.suspend(|| println!("  seed {seed:<21} {pair}"));
            }
            pairs.push(pair);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Row::of(cell.path, &pairs))
    }
    /// Goodput of the first run that kept time, or of the last.
    fn goodput(&self, cell: &Cell, stack: Stack, seed: u64) -> Result<Goodput> {
        let time = Duration::from_secs_f64(self.seconds);
        let mut last = 0.0;
        for _ in 0..self.tries.max(1) {
            let run = run::run(cell, stack, seed, time)?;
            if run.worst_lag * 100 <= cell.path.rtt {
                return Ok(Goodput::Kept(run.goodput));
            }
            last = run.goodput;
        }
        Ok(Goodput::Late(last))
    }
}

/// Why there can be no such comparison here.
fn missing() -> Option<String> {
    if let Err(error) = heptad_device::usable() {
        return Some(error.to_string());
    }
    let mut tried = Command::new("unshare");
    tried.args(["--net", "--", "ip", "link", "show", "lo"]);
    match tried.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        _ => Some("a network namespace needs root and the programs unshare and ip".into()),
    }
}
