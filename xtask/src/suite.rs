//! `cargo xtask test`: the programs that tests need, then cargo test.

use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

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

/// The command. Ends with cargo test's own code.
pub fn command(root: &Path, selection: &Selection) -> Result<ExitCode> {
    let in_ci =
        std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    let missing = programs::make_sure();
    let status = match run(root, selection, in_ci)? {
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
pub fn run(root: &Path, selection: &Selection, require: bool) -> Result<Outcome> {
    let mut build = selection.cargo_test(root);
    let status = build
        .arg("--no-run")
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        return Ok(Outcome::Unbuilt(status));
    }
    let mut tests = selection.cargo_test(root);
    tests.arg("--no-fail-fast");
    if require {
        tests.env(REQUIRE, "1");
    }
    let status = tests.status().context("cannot start cargo")?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(status)
    })
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
