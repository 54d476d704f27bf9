//! The project's own commands: its tests, all of its checks, and the rules of the house.
//!
//! `cargo xtask --help` lists them. Start reading at [`ci`], which names every check in order.
#![forbid(unsafe_code)]

mod captures;
mod ci;
mod conformance;
mod debian;
mod fuzz;
mod layers;
mod lexer;
mod lossy;
mod measuring;
mod mentions;
mod performance;
mod programs;
mod semantics;
mod size;
mod source;
mod suite;
mod suites;
mod table_in_page;
mod test_code;
mod tools;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::source::Violation;

const EXAMPLES: &str = "Examples:
  cargo xtask test                      all tests; installs or names the programs they need
  cargo xtask test -p heptad-wire       the tests of one crate
  cargo xtask test -p heptad-stack arp  those of its tests that have `arp` in their name
  cargo xtask ci                        everything that must hold before a change goes in
  cargo xtask ci --full                 that, and the long sweeps in release mode
  cargo xtask ci --only clippy          one of its steps; may be given more than once
  cargo xtask ci --full --only neighbours
                                        a gigabyte each way between Linux and a lab
  cargo xtask captures                  hundreds of captures of strangers go into a host and a router
  cargo xtask suites                    test suites of CPython, Go, redis and others under heptad, beside what the kernel passes
  cargo xtask semantics                 random sequences of socket calls, beside the kernel's answers
  cargo xtask lossy                     real programs between two nodes, over a cable that loses packets
  cargo xtask performance               programs under heptad beside the kernel's loopback
  cargo xtask fuzz --seconds 60         every fuzz target for a minute
  cargo xtask fuzz ndp --seconds 600    one of them for ten
  cargo xtask fuzz --seconds 600 --frames-seconds 3600
                                        every parser for ten minutes and whole hosts for an hour, with a table at the end
  cargo xtask bench --quick             figures beside those of another stack
  cargo xtask sweep                     goodput over loss, round trip and rate, compared with docs/sweep.md
  cargo xtask sweep linux               the same beside Linux in real time
  cargo xtask sweep fair                one stream of ours and one of Linux on a link
  cargo xtask layers                    who names whom against the rules
  cargo xtask conformance --update      writes docs/conformance from its tables

Exit codes: 0 all is well, 1 a check failed, 2 a wrong flag; `test` ends with cargo test's own.";

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes sure of the programs that tests use, then runs all tests.
    Test(suite::Selection),
    /// All checks: tests, formatting, clippy, layers, sizes, licences.
    Ci(ci::Choice),
    /// Measures speed and memory beside a peer that does the same work; `bench --help` lists the rows.
    #[command(disable_help_flag = true)]
    Bench {
        /// What heptad-bench takes.
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "FLAGS"
        )]
        flags: Vec<OsString>,
    },
    /// Goodput of TCP over loss, round trip, rate and congestion control, compared with docs/sweep.md; `sweep --help`.
    #[command(disable_help_flag = true)]
    Sweep {
        /// What heptad-sweep takes.
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "FLAGS"
        )]
        flags: Vec<OsString>,
    },
    /// Feeds the captures of Debian's tcpdump source package, many of them malformed, to a host and a router.
    Captures(captures::Choice),
    /// Looks whether the tables of docs/conformance name tests and places that are there, and the pages follow from them.
    Conformance(conformance::Choice),
    /// Fuzz targets, each for a while, and a table of what they came to; wants the nightly toolchain and installs cargo-fuzz.
    Fuzz(fuzz::Choice),
    /// Runs test suites that others wrote under `heptad run`, and compares with what the kernel passes.
    #[command(after_help = suites::EXAMPLES)]
    Suites(suites::Choice),
    /// Random sequences of socket calls under `heptad run`, line by line beside the kernel's.
    #[command(after_help = semantics::EXAMPLES)]
    Semantics(semantics::Choice),
    /// Real programs do their jobs between two nodes, over a cable that loses one packet in a hundred.
    #[command(after_help = lossy::EXAMPLES)]
    Lossy(lossy::Choice),
    /// Speed of programs under `heptad run`, beside the same over the kernel's loopback.
    #[command(after_help = performance::EXAMPLES)]
    Performance(performance::Choice),
    /// Refuses imports that point up, system names in protocol code, and unsafe outside of its rooms.
    Layers,
    /// Refuses files over 1,000 lines, functions over 80, more than six arguments.
    Size,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let root = root()?;
    match command {
        Command::Test(selection) => suite::command(&root, &selection),
        Command::Ci(choice) => ci::run(&root, &choice),
        Command::Bench { flags } => measuring::run(&root, "heptad-bench", &flags),
        Command::Sweep { flags } => measuring::run(&root, "heptad-sweep", &flags),
        Command::Captures(choice) => captures::run(&root, &choice).map(|()| ExitCode::SUCCESS),
        Command::Conformance(choice) => {
            Ok(report("conformance", &conformance::check(&root, &choice)?))
        }
        Command::Fuzz(choice) => fuzz::run(&root, &choice),
        Command::Suites(choice) => suites::run(&root, &choice),
        Command::Semantics(choice) => semantics::run(&root, &choice),
        Command::Lossy(choice) => lossy::run(&root, &choice),
        Command::Performance(choice) => performance::run(&root, &choice),
        Command::Layers => Ok(report("layers", &layers::check(&root)?)),
        Command::Size => Ok(report("size", &size::check(&root)?)),
    }
}

/// The workspace's root: the folder above this package.
fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = package.parent().map(Path::to_path_buf);
    root.context("xtask stands in no folder; start it with `cargo xtask`")
}

fn report(check: &str, violations: &[Violation]) -> ExitCode {
    for violation in violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            eprintln!("{check}: nothing against the rules");
            ExitCode::SUCCESS
        }
        count => {
            eprintln!("{check}: {count} against the rules");
            ExitCode::FAILURE
        }
    }
}
