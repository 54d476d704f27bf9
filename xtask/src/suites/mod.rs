//! `cargo xtask suites`: test suites that others wrote run under `heptad run`, and what passes is compared with what the kernel passes.
//!
//! ```text
//! a suite: cpython, asyncio, … ──>  room: no way out but through heptad ──> verdicts of its tests
//!                                                                                 │
//! docs/suites.md <── report: a table, JSON <── differences: which failures are known
//! ```
//!
//! A suite of its own file says which tests the kernel passes and how they are run; [`SUITES`] names them.

mod cpython;
mod crates;
mod differences;
mod go;
mod libuv;
mod memcached;
mod redis;
mod report;
pub mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::builder::PossibleValuesParser;

use self::differences::{Comparison, Differences};
use self::room::Room;
use crate::programs;
use crate::tools::cargo;

/// What `cargo xtask suites --help` ends with.
pub const EXAMPLES: &str = "Examples:
  cargo xtask suites                 all of them: about forty minutes on two cores
  cargo xtask suites go              one of them; more than one may be named
  cargo xtask suites --json          the same table for programs
  cargo xtask suites --update        writes the table of docs/suites.md
  cargo xtask suites cpython --heptad target/release/heptad
                                     with this heptad as it is, nothing is built

What each test program printed stays below target/suites/log.
Exit codes: 0 all is as listed, 1 a test failed that is not in the list of differences, one of the list passes, or docs/suites.md says otherwise.";

/// Where the lists of tests are, and of those that differ.
const LISTS: &str = "crates/runner/tests/foreign/suites";

/// Tests that others wrote, and how to run them.
struct Suite {
    name: &'static str,
    run: fn(&Room, &Path) -> Result<Outcome>,
}

/// Every suite, in the order in which they run.
const SUITES: [Suite; 9] = [
    Suite {
        name: "cpython",
        run: cpython::listed,
    },
    Suite {
        name: "asyncio",
        run: cpython::asyncio,
    },
    Suite {
        name: "go",
        run: go::listed,
    },
    Suite {
        name: "tokio",
        run: crates::tokio,
    },
    Suite {
        name: "redis",
        run: redis::all,
    },
    Suite {
        name: "memcached",
        run: memcached::all,
    },
    Suite {
        name: "libuv",
        run: libuv::all,
    },
    Suite {
        name: "polling",
        run: crates::polling,
    },
    Suite {
        name: "async-io",
        run: crates::async_io,
    },
];

/// Their names.
const NAMES: [&str; SUITES.len()] = {
    let mut names = [""; SUITES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = SUITES[at].name;
        at += 1;
    }
    names
};

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Skipped,
    Failed,
}

/// Tests by name; what was not seen is not in it.
type Verdicts = BTreeMap<String, Verdict>;

/// What a suite came to.
#[derive(Default)]
struct Outcome {
    /// The tests that the kernel passes.
    kernel: BTreeSet<String>,
    /// What became of them under heptad.
    heptad: Verdicts,
}

impl Outcome {
    /// What became of tests under heptad: those that passed would pass with the kernel, too.
    fn under_heptad(&mut self, here: Verdicts) {
        self.under_the_kernel(&here);
        self.heptad.extend(here);
    }

    /// What became with the kernel of those that did not pass under heptad.
    fn under_the_kernel(&mut self, there: &Verdicts) {
        let passed = there
            .iter()
            .filter(|(_, verdict)| **verdict == Verdict::Passed);
        self.kernel.extend(passed.map(|(test, _)| test.clone()));
    }
}

/// Which suites are run, and what is to become of the table.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Only these; all without any.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(NAMES))]
    names: Vec<String>,
    /// Write the table into docs/suites.md instead of comparing it with the one that stands there.
    #[arg(long)]
    update: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Run this heptad instead of building one.
    #[arg(long, value_name = "FILE")]
    heptad: Option<PathBuf>,
}

/// Runs them one after the other, prints the table, and fails where it is not as the lists say.
pub fn run(root: &Path, choice: &Choice) -> Result<ExitCode> {
    let differences = Differences::read(&root.join(LISTS).join("differences.toml"), &NAMES)?;
    let missing = programs::make_sure_of(&programs::SUITES);
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    ensure!(names.is_empty(), "the suites need {}", names.join(", "));
    let room = Room::new(root, &heptad(root, choice.heptad.as_deref())?)?;
    room.control()?;
    let chosen = |suite: &&Suite| {
        choice.names.is_empty() || choice.names.iter().any(|name| name == suite.name)
    };
    let mut compared = Vec::new();
    for suite in SUITES.iter().filter(chosen) {
        let outcome = (suite.run)(&room, root).with_context(|| suite.name)?;
        compared.push(Comparison::of(
            suite.name,
            &outcome,
            differences.of(suite.name),
        ));
    }
    match choice.json {
        true => println!("{}", report::json(&compared)),
        false => print!("{}", report::table(&compared)),
    }
    for line in compared.iter().flat_map(Comparison::against) {
        eprintln!("suites: {line}");
    }
    let page = report::page(root, &compared, &differences, choice.update)?;
    let as_listed = compared.iter().all(|comparison| comparison.holds());
    Ok(match as_listed && page {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The program under test: the one that was named, else one that is built now with all optimisations.
pub fn heptad(root: &Path, named: Option<&Path>) -> Result<PathBuf> {
    if let Some(heptad) = named {
        return Ok(heptad.to_path_buf());
    }
    let status = cargo(root)
        .args(["build", "--release", "--package", "heptad-cli"])
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "heptad does not compile ({status})");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(root.join(target).join("release/heptad"))
}

/// The lines of one of the lists: names of tests that the kernel passes.
fn list(root: &Path, name: &str) -> Result<BTreeSet<String>> {
    let path = root.join(LISTS).join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_a_name_of_its_own_and_a_difference_belongs_to_one() {
        assert_eq!(BTreeSet::from(NAMES).len(), SUITES.len());
        let root = crate::root().unwrap();
        Differences::read(&root.join(LISTS).join("differences.toml"), &NAMES).unwrap();
    }
}
