//! Goodput of TCP over loss, round trip, rate and congestion control: in virtual time, kept as a snapshot,
//! and beside Linux in real time.
#![forbid(unsafe_code)]

mod cell;
#[cfg(test)]
mod claims;
mod goodput;
mod linux;
mod page;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

const EXAMPLES: &str = "Examples:
  cargo xtask sweep                          measures, and compares with docs/sweep.md
  cargo xtask sweep --update                 writes the tables into docs/sweep.md
  cargo xtask sweep linux                    beside Linux in real time; needs root
  cargo xtask sweep linux --rtt 20 --loss 1 --seeds 3
                                             one of its cells
  cargo xtask sweep fair                     a stream of ours and one of Linux on a link; needs root

Exit codes: 0 the snapshot or the goal holds, 1 it does not, 2 a wrong flag.";

/// Goodput over loss, round trip, rate and congestion control, in virtual time; or beside Linux.
#[derive(Parser)]
#[command(name = "cargo xtask sweep", bin_name = "cargo xtask sweep", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<What>,
    /// Write the tables into the page instead of comparing them with those that stand there.
    #[arg(long)]
    update: bool,
    /// The page.
    #[arg(long, default_value = "docs/sweep.md", value_name = "FILE")]
    page: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// Linux to Linux and ours to ours in real time, over the same cable with the same drop list.
    Linux(linux::Choice),
    /// One stream of ours and one of Linux share a link in real time.
    Fair(linux::Fairness),
    /// A process of such a run.
    #[command(subcommand, hide = true)]
    Inside(Inside),
}

#[derive(Subcommand)]
enum Inside {
    Cable(linux::Cable),
    End(linux::End),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        None => snapshot(&cli),
        Some(What::Linux(choice)) => linux::compare(choice),
        Some(What::Fair(choice)) => linux::share(choice),
        Some(What::Inside(Inside::Cable(cable))) => cable.carry().map(|()| ExitCode::SUCCESS),
        Some(What::Inside(Inside::End(end))) => end.play().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("sweep: {error:#}");
        ExitCode::FAILURE
    })
}

fn snapshot(cli: &Cli) -> Result<ExitCode> {
    let name = cli.page.display().to_string();
    let page = std::fs::read_to_string(&cli.page).with_context(|| name.clone())?;
    let cells = goodput::cells();
    let bar = progress(cells.len());
    let figures = goodput::measure(&cells, &bar)?;
    bar.finish_and_clear();
    let tables = page::tables(&figures);
    let fresh = page::with_tables(&page, &tables).context(name.clone())?;
    println!("{tables}");
    if cli.update {
        std::fs::write(&cli.page, fresh).context(name)?;
    } else if page != fresh {
        eprintln!(
            "sweep: {name} says otherwise: look with `cargo xtask sweep --update` and `git diff`"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// On standard error, and only in a terminal.
fn progress(cells: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} cells, {eta} left");
    let bar = ProgressBar::new(cells as u64);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
