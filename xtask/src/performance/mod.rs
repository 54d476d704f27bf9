//! `cargo xtask performance`: the same programs over the kernel's loopback and under `heptad run`, one after the other in the same run.
//!
//! A job is a script of crates/runner/tests/foreign/performance that prints lines of a name and a number; [`JOBS`] says what they mean.

mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use crate::programs;
use crate::suites::{self, room::Room};

/// What `cargo xtask performance --help` ends with.
pub const EXAMPLES: &str = "Examples:
  cargo xtask performance                 every job, three runs of each: two minutes
  cargo xtask performance latency --runs 9
                                          one of them, nine runs; more than one may be named
  cargo xtask performance --json          the same table for programs
  cargo xtask performance --update        writes the table of docs/performance.md
  cargo xtask performance --heptad target/release/heptad
                                          with this heptad as it is, nothing is built

A figure is the median of its runs, the kernel's and heptad's in turn. Nothing else should run on the machine.
Exit codes: 0 all was measured, 1 a job said nothing.";

/// Where the scripts and sources are.
const FOREIGN: &str = "crates/runner/tests/foreign/performance";

/// A script and what it prints.
struct Job {
    name: &'static str,
    figures: &'static [Figure],
}

/// A line of a script.
struct Figure {
    /// Its first word there.
    name: &'static str,
    work: &'static str,
    unit: &'static str,
    more_is_better: bool,
}

const fn rate(name: &'static str, work: &'static str, unit: &'static str) -> Figure {
    Figure {
        name,
        work,
        unit,
        more_is_better: true,
    }
}

const fn time(name: &'static str, work: &'static str) -> Figure {
    Figure {
        name,
        work,
        unit: "µs",
        more_is_better: false,
    }
}

/// Every job, in the order in which they run.
const JOBS: [Job; 5] = [
    Job {
        name: "latency",
        figures: &[
            time("one-byte", "one byte there and back"),
            time("connect-close", "connect and close"),
        ],
    },
    Job {
        name: "iperf3",
        figures: &[rate("iperf3", "iperf3, one stream", "Mbit/s")],
    },
    Job {
        name: "redis",
        figures: &[
            rate("redis-set", "redis-benchmark, SET, 50 clients", "1/s"),
            rate("redis-get", "redis-benchmark, GET, 50 clients", "1/s"),
        ],
    },
    Job {
        name: "wrk",
        figures: &[rate("wrk", "wrk, 50 connections to a Go server", "1/s")],
    },
    Job {
        name: "dns",
        figures: &[rate("dns", "dnsperf to dnsmasq", "1/s")],
    },
];

/// Which jobs are run, and what is to become of the table.
#[derive(Debug, clap::Args)]
pub struct Choice {
    /// Only these; all without any.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(JOBS.iter().map(|job| job.name)))]
    names: Vec<String>,
    /// How often each is run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    runs: u8,
    /// Write the table into docs/performance.md as well.
    #[arg(long)]
    update: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Run this heptad instead of building one.
    #[arg(long, value_name = "FILE")]
    heptad: Option<PathBuf>,
}

/// What a figure came to.
struct Measured {
    figure: &'static Figure,
    kernel: f64,
    heptad: f64,
}

impl Measured {
    /// How much of the kernel's speed heptad has.
    fn ratio(&self) -> f64 {
        match self.figure.more_is_better {
            true => self.heptad / self.kernel,
            false => self.kernel / self.heptad,
        }
    }
}

/// Runs them one after the other and prints the table.
pub fn run(root: &Path, choice: &Choice) -> Result<ExitCode> {
    let missing = programs::make_sure_of(&programs::PERFORMANCE);
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    ensure!(names.is_empty(), "the jobs need {}", names.join(", "));
    let room = Room::new(root, &suites::heptad(root, choice.heptad.as_deref())?)?;
    room.control()?;
    build(root, &room)?;
    let mut measured = Vec::new();
    for job in JOBS.iter() {
        if choice.names.is_empty() || choice.names.iter().any(|name| name == job.name) {
            let script = room.bring(&root.join(FOREIGN).join(format!("{}.sh", job.name)))?;
            measured.extend(measure(&room, job, &script, choice.runs)?);
        }
    }
    match choice.json {
        true => println!("{}", report::json(&measured)),
        false => print!("{}", report::table(&measured)),
    }
    if choice.update {
        report::update(root, &measured)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles the two programs that are ours.
fn build(root: &Path, room: &Room) -> Result<()> {
    let latency = built(root, "latency")?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-pthread", "-o"])
        .arg(&latency)
        .arg(root.join(FOREIGN).join("latency.c"));
    compile(gcc)?;
    room.bring(&latency)?;
    room.bring(&build_hello(root)?)?;
    Ok(())
}

/// A static Go program, an HTTP server on port 8080 that says hello; where it is.
pub fn build_hello(root: &Path) -> Result<PathBuf> {
    let hello = built(root, "hello")?;
    let mut go = Command::new("go");
    go.args(["build", "-o"])
        .arg(&hello)
        .arg(root.join(FOREIGN).join("hello.go"))
        .env("CGO_ENABLED", "0");
    compile(go)?;
    Ok(hello)
}

fn built(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join("target/performance");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

fn compile(mut compiler: Command) -> Result<()> {
    let status = compiler.status().context("cannot start a compiler")?;
    ensure!(status.success(), "{compiler:?}: {status}");
    Ok(())
}

/// Runs one job over both, in turn.
fn measure(room: &Room, job: &'static Job, script: &Path, runs: u8) -> Result<Vec<Measured>> {
    let bash = Path::new("/usr/bin/bash");
    let (mut kernel, mut heptad) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        eprintln!("performance: {} ({run} of {runs}) …", job.name);
        for (command, into) in [
            (room.under_the_kernel(bash), &mut kernel),
            (room.under_heptad(bash), &mut heptad),
        ] {
            into.push(figures(command, script, room)?);
        }
    }
    job.figures
        .iter()
        .map(|figure| {
            Ok(Measured {
                figure,
                kernel: median(&kernel, figure)?,
                heptad: median(&heptad, figure)?,
            })
        })
        .collect()
}

/// The names and numbers that a script prints.
fn figures(mut command: Command, script: &Path, room: &Room) -> Result<BTreeMap<String, f64>> {
    let output = command.arg(script).arg(room.folder()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    let found: BTreeMap<String, f64> = said.lines().filter_map(pair).collect();
    if found.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{} ends with {}: {why}", script.display(), output.status);
    }
    Ok(found)
}

/// The one in the middle.
fn median(runs: &[BTreeMap<String, f64>], figure: &Figure) -> Result<f64> {
    let mut values: Vec<f64> = runs
        .iter()
        .filter_map(|run| run.get(figure.name).copied())
        .collect();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied();
    middle.with_context(|| format!("no run gave {}", figure.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_a_script_and_every_figure_a_name_of_its_own() {
        let root = crate::root().unwrap();
        let mut names = std::collections::BTreeSet::new();
        for job in &JOBS {
            let script = root.join(FOREIGN).join(format!("{}.sh", job.name));
            assert!(script.is_file(), "{}", script.display());
            for figure in job.figures {
                assert!(names.insert(figure.name), "{}", figure.name);
            }
        }
    }

    #[test]
    fn a_figure_is_the_middle_one_of_the_runs_that_gave_it() {
        let run = |value: Option<f64>| value.map(|value| ("dns".to_owned(), value));
        let runs: Vec<BTreeMap<String, f64>> = [Some(9.0), None, Some(1.0), Some(5.0)]
            .map(|value| run(value).into_iter().collect())
            .into();
        let figure = JOBS[4].figures.first().unwrap();
        assert_eq!(median(&runs, figure).unwrap(), 5.0);
        assert!(median(&runs[1..2], figure).is_err());
    }

    #[test]
    fn a_ratio_of_one_is_the_kernels_speed_whether_more_or_less_is_better() {
        let of = |figure, kernel, heptad| Measured {
            figure,
            kernel,
            heptad,
        };
        assert_eq!(of(&JOBS[0].figures[0], 10.0, 40.0).ratio(), 0.25);
        assert_eq!(of(&JOBS[1].figures[0], 40.0, 10.0).ratio(), 0.25);
    }
}
