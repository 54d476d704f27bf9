//! `cargo xtask ci`: everything that must hold before a change goes in.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::source::Violation;
use crate::suite::{self, Outcome, Selection, Tally};
use crate::tools::{cargo, cargo_deny};
use crate::{layers, programs, size};

/// Runs every check, one that failed or not, and prints what each said and took.
pub fn run(root: &Path, full: bool) -> Result<ExitCode> {
    if full {
        eprintln!("ci --full adds: the tests marked #[ignore] (long sweeps), in release mode");
    }
    let mut run = Run::default();
    run.step("programs", all_programs);
    let (mut built, mut tally) = (true, Tally::default());
    run.step("test", || tests(root, &mut built, &mut tally));
    run.step("fmt", || {
        command(cargo(root).args(["fmt", "--all", "--check"]))
    });
    if built {
        run.step("clippy", || clippy(root));
    } else {
        run.skip("clippy");
    }
    run.step("layers", || no_violations(layers::check(root)?));
    run.step("size", || no_violations(size::check(root)?));
    run.step("deny", || deny(root));
    match (full, built) {
        (true, true) => run.step("sweeps", || sweeps(root)),
        (true, false) => run.skip("sweeps"),
        (false, _) => {}
    }
    println!("{}{tally}", run.table());
    Ok(if run.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn all_programs() -> Result<()> {
    let missing: Vec<&str> = programs::make_sure()
        .iter()
        .map(|program| program.name)
        .collect();
    ensure!(missing.is_empty(), "missing: {}", missing.join(" "));
    Ok(())
}

/// The same tests as `cargo xtask test`; a program that is missing fails its tests.
fn tests(root: &Path, built: &mut bool, tally: &mut Tally) -> Result<()> {
    let outcome;
    (outcome, *tally) = suite::run(root, &Selection::default(), true)?;
    match outcome {
        Outcome::Passed => Ok(()),
        Outcome::Failed(status) => Err(anyhow!("tests failed ({status})")),
        Outcome::Unbuilt(status) => {
            *built = false;
            Err(anyhow!("does not compile ({status})"))
        }
    }
}

fn clippy(root: &Path) -> Result<()> {
    command(cargo(root).args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn deny(root: &Path) -> Result<()> {
    let mut deny = Command::new(cargo_deny(root)?);
    deny.current_dir(root);
    command(deny.args([
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))
}

fn sweeps(root: &Path) -> Result<()> {
    command(cargo(root).args([
        "test",
        "--workspace",
        "--release",
        "--no-fail-fast",
        "--",
        "--ignored",
    ]))
}

fn command(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn no_violations(violations: Vec<Violation>) -> Result<()> {
    for violation in &violations {
        eprintln!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        count => bail!("{count} against the rules"),
    }
}

/// The steps so far.
#[derive(Default)]
struct Run {
    steps: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    verdict: Verdict,
}

enum Verdict {
    Passed,
    Failed(String),
    Skipped,
}

impl Run {
    fn step(&mut self, name: &'static str, check: impl FnOnce() -> Result<()>) {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let verdict = match check() {
            Ok(()) => Verdict::Passed,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                Verdict::Failed(format!("{error:#}"))
            }
        };
        let took = start.elapsed();
        self.steps.push(Step {
            name,
            took,
            verdict,
        });
    }

    fn skip(&mut self, name: &'static str) {
        let (took, verdict) = (Duration::ZERO, Verdict::Skipped);
        self.steps.push(Step {
            name,
            took,
            verdict,
        });
    }

    fn passed(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.verdict, Verdict::Passed))
    }

    fn table(&self) -> String {
        let mut text = String::from("\n");
        for Step {
            name,
            took,
            verdict,
        } in &self.steps
        {
            let said = match verdict {
                Verdict::Passed => "ok".to_owned(),
                Verdict::Failed(why) => format!("FAILED: {why}"),
                Verdict::Skipped => "skipped: the workspace does not compile".to_owned(),
            };
            text += &format!("{name:<10} {:>7.1} s  {said}\n", took.as_secs_f64());
        }
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        let said = if self.passed() { "ok" } else { "FAILED" };
        text + &format!("{:<10} {:>7.1} s  {said}\n", "all", total.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_or_skipped_step_fails_the_whole_and_the_rest_still_runs() {
        let mut run = Run::default();
        run.step("first", || bail!("broken"));
        let mut ran = false;
        run.step("second", || {
            ran = true;
            Ok(())
        });
        assert!(ran && !run.passed());
        let table = run.table();
        assert!(table.contains("FAILED: broken\n"), "{table}");
        assert!(table.ends_with("s  FAILED\n"), "{table}");

        let mut run = Run::default();
        run.step("only", || Ok(()));
        assert!(run.passed());
        run.skip("then");
        assert!(!run.passed());
    }
}
