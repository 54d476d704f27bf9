//! `cargo xtask ci`: everything that must hold before a change goes in.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::builder::PossibleValuesParser;

use crate::source::Violation;
use crate::suite::{self, Outcome, Selection, Tally};
use crate::tools::{cargo, cargo_deny};
use crate::{captures, conformance, layers, lossy, measuring, programs, semantics, size, suites};

/// Every step, in order: the usual ones, then those that `--full` adds.
pub const STEPS: [&str; 15] = [
    "programs",
    "test",
    "fmt",
    "clippy",
    "layers",
    "size",
    "conformance",
    "deny",
    "sweeps",
    "neighbours",
    "captures",
    "suites",
    "semantics",
    "lossy",
    "goodput",
];
/// Those that `--full` adds.
const FULL: &[&str] = STEPS.split_at(8).1;
/// Tests that measure or load the machine: they run alone, in the step `neighbours`.
const ALONE: &str = "a_gigabyte_";
/// The test that reads captures which a step of its own fetches.
const CAPTURES: &str = "captures_of_strangers_";

/// Which steps are run.
#[derive(clap::Args, Default)]
pub struct Choice {
    /// Adds the tests marked `#[ignore]`, built in release mode: long sweeps, and a gigabyte each way between Linux and a lab.
    #[arg(long)]
    full: bool,
    /// Only this step; may be given more than once.
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(STEPS))]
    only: Vec<String>,
}
impl Choice {
    /// The names of the steps, in order.
    fn steps(&self) -> Result<Vec<&'static str>> {
        let asked = |step: &str| self.only.iter().any(|only| only == step);
        if let Some(step) = FULL.iter().find(|step| !self.full && asked(step)) {
            bail!("the step {step} is one that --full adds");
        }
        let chosen = |step: &&str| match self.only.is_empty() {
            true => self.full || !FULL.contains(step),
            false => asked(step),
        };
        Ok(STEPS.into_iter().filter(chosen).collect())
    }
}

/// Runs every check, one that failed or not, and prints what each said and took.
pub fn run(root: &Path, choice: &Choice) -> Result<ExitCode> {
    let mut run = Run {
        chosen: choice.steps()?,
        steps: Vec::new(),
    };
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
    run.step("conformance", || {
        no_violations(conformance::check(root, &conformance::Choice::default())?)
    });
    run.step("deny", || deny(root));
    if built {
        run.step("sweeps", || sweeps(root));
        run.step("neighbours", || neighbours(root));
        run.step("captures", || {
            captures::run(root, &captures::Choice::default())
        });
        run.step("suites", || suites(root));
        run.step("semantics", || semantics(root));
        run.step("lossy", || lossy(root));
        run.step("goodput", || goodput(root));
    } else {
        FULL.iter().for_each(|step| run.skip(step));
    }
    print!("{}", run.table());
    if run.chosen.contains(&"test") {
        println!("{tally}");
    }
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
        "--skip",
        ALONE,
        "--skip",
        CAPTURES,
    ]))
}

/// The snapshot of docs/sweep.md holds.
fn goodput(root: &Path) -> Result<()> {
    let code = measuring::run(root, "heptad-sweep", &[])?;
    ensure!(code == ExitCode::SUCCESS, "docs/sweep.md says otherwise");
    Ok(())
}

/// Real programs do their jobs over a cable that loses packets.
fn lossy(root: &Path) -> Result<()> {
    let code = lossy::run(root, &lossy::Choice::default())?;
    ensure!(code == ExitCode::SUCCESS, "a program did not do its job");
    Ok(())
}

/// Test suites that others wrote fail where their list says, and nowhere else.
fn suites(root: &Path) -> Result<()> {
    let code = suites::run(root, &suites::Choice::default())?;
    ensure!(
        code == ExitCode::SUCCESS,
        "not as the list of differences says"
    );
    Ok(())
}

/// Socket calls in any order are answered as the kernel does.
fn semantics(root: &Path) -> Result<()> {
    let code = semantics::run(root, &semantics::Choice::default())?;
    ensure!(
        code == ExitCode::SUCCESS,
        "too few answers are the kernel's"
    );
    Ok(())
}

/// Linux as a neighbour over TAP, with the figures of a gigabyte each way. Alone: other tests would be measured as well.
fn neighbours(root: &Path) -> Result<()> {
    command(cargo(root).args([
        "test",
        "--release",
        "--package",
        "heptad-cli",
        "--test",
        "neighbours",
        "--test",
        "neighbours_ipv6",
        "--test",
        "neighbours_traces",
        "--test",
        "neighbours_multicast",
        "--",
        "--include-ignored",
        "--test-threads=1",
        "--nocapture",
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
struct Run {
    chosen: Vec<&'static str>,
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
        if !self.chosen.contains(&name) {
            return;
        }
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
        if !self.chosen.contains(&name) {
            return;
        }
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
            text += &format!("{name:<11} {:>7.1} s  {said}\n", took.as_secs_f64());
        }
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        let said = if self.passed() { "ok" } else { "FAILED" };
        text + &format!("{:<11} {:>7.1} s  {said}\n", "all", total.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Run {
        Run {
            chosen: vec!["first", "second", "only", "then"],
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_chosen_steps_are_run_and_those_of_full_only_with_it() {
        let steps = |full, only: &[&str]| {
            let only = only.iter().map(|step| step.to_string()).collect();
            Choice { full, only }.steps()
        };
        let usual = &STEPS[..STEPS.len() - FULL.len()];
        assert_eq!(steps(false, &[]).unwrap(), usual);
        assert_eq!(steps(true, &[]).unwrap(), STEPS);
        let twice = steps(true, &["neighbours", "fmt"]).unwrap();
        assert_eq!(twice, ["fmt", "neighbours"]);
        let error = steps(false, &["neighbours"]).unwrap_err().to_string();
        assert_eq!(error, "the step neighbours is one that --full adds");

        let mut run = all();
        let mut ran = false;
        run.step("another", || {
            ran = true;
            Ok(())
        });
        run.skip("another");
        assert!(!ran && run.steps.is_empty());
    }

    #[test]
    fn one_failed_or_skipped_step_fails_the_whole_and_the_rest_still_runs() {
        let mut run = all();
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

        let mut run = all();
        run.step("only", || Ok(()));
        assert!(run.passed());
        run.skip("then");
        assert!(!run.passed());
    }
}
