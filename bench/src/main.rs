//! `cargo xtask bench`: figures, with a peer doing the same work in the same run.
//!
//! A workload ([`bulk`], [`exchange`], [`memory`]) is written once, over [`pair::Pair`]: two hosts on a cable in virtual time. Two
//! stacks fill that part, [`ours`] and smoltcp ([`peer`]). [`tap`] stands alone: its cable is the kernel's, its time is real. [`rows`] says which work is measured in which amounts; start reading there.

mod allocations;
mod bulk;
mod exchange;
mod memory;
mod meter;
mod ours;
mod packet;
mod pair;
mod peer;
mod report;
mod rows;
mod tap;

use std::process::ExitCode;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::report::Report;
use crate::rows::{ROWS, Row, Size};
use crate::tap::Inside;

const EXAMPLES: &str = "Examples:
  cargo xtask bench                           every row, five runs of each
  cargo xtask bench --quick --only bulk-1500  one row, in seconds
  cargo xtask bench --json > figures.jsonl    one line of JSON a row
  cargo xtask bench --check                   fails if a goal is missed

Exit codes: 0 all is well, 1 a row failed or, with --check, a goal is missed,
2 a wrong flag.";

/// Figures, with a peer doing the same work in the same run.
#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    max_term_width = 80
)]
struct Cli {
    /// One line of JSON a row instead of a table.
    #[arg(long)]
    json: bool,
    /// Only this row; may be given more than once.
    #[arg(long, value_name = "ROW", value_parser = PossibleValuesParser::new(ROWS.map(|row| row.name)), hide_possible_values = true)]
    only: Vec<String>,
    /// An eighth of the work: less exact.
    #[arg(long)]
    quick: bool,
    /// The median of so many runs, ours and the peer's in turn.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Ends with 1 if a goal is missed.
    #[arg(long)]
    check: bool,
    /// What this process does in a network namespace of its own.
    #[arg(long, hide = true, requires = "bytes")]
    inside: Option<Inside>,
    /// So many bytes.
    #[arg(long, hide = true)]
    bytes: Option<u64>,
}

fn main() -> ExitCode {
    let matches = Cli::command().after_help(after_help()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    if let (Some(what), Some(bytes)) = (cli.inside, cli.bytes) {
        tap::inside(what, bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let size = if cli.quick { Size::Quick } else { Size::Full };
    let wanted = |row: &&Row| cli.only.is_empty() || cli.only.iter().any(|name| name == row.name);
    let mut missed = 0;
    if !cli.json {
        println!("{}", report::HEADING);
    }
    for row in ROWS.iter().filter(wanted) {
        if let Some(reason) = row.missing() {
            eprintln!("bench: {}: left out: {reason}", row.name);
            continue;
        }
        eprintln!("bench: {}: {}", row.name, row.note);
        let report = Report::of(row, size, cli.runs)?;
        missed += u32::from(report.holds == Some(false));
        if cli.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            println!("{report}");
        }
    }
    if cli.check && missed > 0 {
        eprintln!("bench: {missed} goals are missed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows, and how to call it.
fn after_help() -> String {
    let mut text = String::from("Rows:\n");
    for row in &ROWS {
        text += &format!("  {:<18} {}\n", row.name, row.note);
    }
    text + "\n" + EXAMPLES
}
