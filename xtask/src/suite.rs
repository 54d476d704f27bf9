//! `cargo xtask test`: the programs that tests need, then cargo test.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::programs;
use crate::tools::cargo;

/// Tests read this: where it is set, a missing program fails the test that needs it instead of skipping it.
const REQUIRE: &str = "HEPTAD_REQUIRE_PROGRAMS";

/// Which tests are run.
#[derive(clap::Args, Default)]
pub struct Selection {
    /// Only the tests of this package; may be given more than once.
    #[arg(short, long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Only tests with this in their name.
    filter: Option<String>,
}

/// How the tests went.
pub enum Outcome {
    Passed,
    /// Does not compile: nothing was run.
    Unbuilt(ExitStatus),
    Failed(ExitStatus),
}

/// What all test programs counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(
            f,
            "tests: {passed} passed, {failed} failed, {skipped} skipped"
        )
    }
}

impl Tally {
    /// Adds the closing line of one test program; other lines count nothing.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result:") else {
            return;
        };
        let words: Vec<&str> = counts.split_whitespace().collect();
        for pair in words.windows(2) {
            let (Ok(count), what) = (pair[0].parse::<u64>(), pair[1]) else {
                continue;
            };
            match what.trim_end_matches(';') {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

/// The command. Ends with cargo test's own code.
pub fn command(root: &Path, selection: &Selection) -> Result<ExitCode> {
    let in_ci =
        std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    let missing = programs::make_sure();
    let (outcome, tally) = run(root, selection, in_ci)?;
    println!("{tally}");
    let status = match outcome {
        Outcome::Passed if !missing.is_empty() => {
            let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
            eprintln!(
                "test: passed, but for what needs {}: skipped",
                names.join(", ")
            );
            return Ok(ExitCode::SUCCESS);
        }
        Outcome::Passed => return Ok(ExitCode::SUCCESS),
        Outcome::Unbuilt(status) | Outcome::Failed(status) => status,
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds all tests, then runs them and the examples in the documentation. With `require`, missing programs are failures.
pub fn run(root: &Path, selection: &Selection, require: bool) -> Result<(Outcome, Tally)> {
    let mut build = selection.cargo_test(root);
    let status = build
        .arg("--no-run")
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        return Ok((Outcome::Unbuilt(status), Tally::default()));
    }
    let mut tests = selection.cargo_test(root);
    tests.arg("--no-fail-fast");
    if require {
        tests.env(REQUIRE, "1");
    }
    let mut tests = tests
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let tally = match tests.stdout.take() {
        Some(output) => show(output)?,
        None => Tally::default(),
    };
    let status = tests.wait().context("cargo test ended oddly")?;
    let outcome = if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(status)
    };
    Ok((outcome, tally))
}

/// Passes on what tests print, and counts.
fn show(output: impl Read) -> Result<Tally> {
    let mut tally = Tally::default();
    let (mut output, mut line) = (BufReader::new(output), Vec::new());
    while output.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        tally.add(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(tally)
}

impl Selection {
    fn cargo_test(&self, root: &Path) -> Command {
        let mut command = cargo(root);
        command.arg("test");
        if self.packages.is_empty() {
            command.arg("--workspace");
        }
        for package in &self.packages {
            command.args(["--package", package]);
        }
        command.args(&self.filter);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_all_test_programs_are_added_up() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 5 filtered out; finished in 0.01s\n\
            test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.add(line));
        assert_eq!(tally.to_string(), "tests: 5 passed, 4 failed, 1 skipped");
    }
}
