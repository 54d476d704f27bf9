//! `cargo xtask fuzz`: fuzz targets, each for a while.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use crate::tools::cargo;

/// Every target, in the order in which they run.
const TARGETS: [&str; 13] = [
    "arp", "ethernet", "ipv4", "ipv6", "icmpv4", "icmpv6", "igmp", "mld", "ndp", "udp", "tcp",
    "packet", "frames",
];
const VERSION: &str = "0.13.2";

/// The target that is whole hosts: what it looks for takes longer to find.
const HOSTS: &str = "frames";

/// Which targets are run, and for how long.
#[derive(clap::Args)]
pub struct Choice {
    /// Only these; all without any.
    #[arg(value_name = "TARGET", value_parser = PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// How long each is run.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// How long `frames` is run: hosts under sequences of frames, verbs and time. As long as the others without this.
    #[arg(long, value_name = "N")]
    frames_seconds: Option<u32>,
}
impl Choice {
    /// The targets in order, each with its seconds.
    fn plan(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let asked = |target: &str| self.targets.iter().any(|asked| asked == target);
        let chosen = move |target: &&str| self.targets.is_empty() || asked(target);
        TARGETS.into_iter().filter(chosen).map(|target| {
            let own = self.frames_seconds.filter(|_| target == HOSTS);
            (target, own.unwrap_or(self.seconds))
        })
    }
}

/// Runs them one after the other at the lowest priority, one that found something or not, and prints what each came to.
pub fn run(root: &Path, choice: &Choice) -> Result<ExitCode> {
    ensure_nightly()?;
    let program = cargo_fuzz(root)?;
    let status = cargo_fuzz_command(&program, root, "build").status();
    let status = status.context("cannot start cargo-fuzz")?;
    ensure!(status.success(), "the targets do not compile ({status})");
    let mut rows = Vec::new();
    for (target, seconds) in choice.plan() {
        eprintln!("\n== fuzz {target}, {seconds} s");
        rows.push(fuzz(&program, root, target, seconds)?);
    }
    print!("{}", table(&rows));
    Ok(match rows.iter().all(|row| row.finding.is_none()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn cargo_fuzz_command(program: &Path, root: &Path, verb: &str) -> Command {
    let mut command = Command::new("nice");
    command
        .current_dir(root)
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .args(["-n", "19"])
        .arg(program)
        .args(["fuzz", verb, "--sanitizer", "none"]);
    command
}

/// One target for so long, or until it finds something.
fn fuzz(program: &Path, root: &Path, target: &'static str, seconds: u32) -> Result<Row> {
    let mut child = cargo_fuzz_command(program, root, "run")
        .args([target, "--"])
        .arg(format!("-max_total_time={seconds}"))
        .args(["-max_len=4096", "-timeout=20", "-print_final_stats=1"])
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start cargo-fuzz")?;
    let mut row = Row::of(target);
    let stderr = child.stderr.take().context("no pipe")?;
    for line in BufReader::new(stderr).split(b'\n') {
        let line = line.context("what cargo-fuzz says")?;
        let line = String::from_utf8_lossy(&line);
        if !row.hear(&line) {
            eprintln!("{line}");
        }
    }
    let status = child.wait().context("cargo-fuzz does not end")?;
    if !status.success() && row.finding.is_none() {
        row.finding = Some(format!("ended with {status}"));
    }
    Ok(row)
}

/// What a target came to.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    target: &'static str,
    /// Inputs that were run.
    executions: u64,
    /// Edges of the program that some input took.
    coverage: u64,
    /// Where the input is that shows it, or how it ended; the first one ends its target.
    finding: Option<String>,
}
impl Row {
    fn of(target: &'static str) -> Self {
        Self {
            target,
            executions: 0,
            coverage: 0,
            finding: None,
        }
    }
    /// Takes what a line of libFuzzer tells; whether it is of its progress and nobody needs to read it.
    fn hear(&mut self, line: &str) -> bool {
        let behind = |word: &str| line.split_once(word).map(|(_, rest)| rest.trim());
        let number = |word: &str| behind(word)?.split(' ').next()?.parse().ok();
        self.executions = number("stat::number_of_executed_units:").unwrap_or(self.executions);
        if let Some(file) = behind("Test unit written to ") {
            self.finding = Some(file.to_owned());
        }
        let is_progress = line.starts_with('#');
        if is_progress {
            self.coverage = number(" cov: ").unwrap_or(self.coverage);
        }
        is_progress
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "\n{:<10}{:>14}{:>10}  finding\n",
        "target", "executions", "coverage"
    );
    for row in rows {
        let Row {
            target,
            executions,
            coverage,
            finding,
        } = row;
        let finding = finding.as_deref().unwrap_or("none");
        text += &format!("{target:<10}{executions:>14}{coverage:>10}  {finding}\n");
    }
    text
}

fn ensure_nightly() -> Result<()> {
    let found = Command::new("rustc")
        .args(["+nightly", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match found.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => bail!("fuzzing wants the nightly toolchain: rustup toolchain install nightly"),
    }
}

/// Where cargo-fuzz is: on the path, else in `target/tools`, where it is built if need be.
fn cargo_fuzz(root: &Path) -> Result<PathBuf> {
    let own = root.join("target/tools/bin/cargo-fuzz");
    let works = |program: &PathBuf| {
        let output = Command::new(program).args(["fuzz", "--version"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if let Some(found) = ["cargo-fuzz".into(), own.clone()].into_iter().find(works) {
        return Ok(found);
    }
    eprintln!("fuzz: no cargo-fuzz here; building it below target/tools (a minute or two)");
    let version = format!("={VERSION}");
    let status = cargo(root)
        .args([
            "install",
            "--debug",
            "--locked",
            "cargo-fuzz",
            "--version",
            &version,
        ])
        .args(["--root", "target/tools"])
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "cargo-fuzz could not be installed ({status})"
    );
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run_for_its_own_time() {
        let plan = |targets: &[&str], frames_seconds| {
            let targets = targets.iter().map(ToString::to_string).collect();
            let choice = Choice {
                targets,
                seconds: 60,
                frames_seconds,
            };
            choice.plan().collect::<Vec<_>>()
        };
        assert_eq!(plan(&[], None), TARGETS.map(|target| (target, 60)));
        let last = plan(&[], Some(600)).pop();
        assert_eq!(last, Some((HOSTS, 600)));
        let two = plan(&[HOSTS, "arp"], Some(600));
        assert_eq!(two, [("arp", 60), (HOSTS, 600)]);
    }

    #[test]
    fn what_libfuzzer_says_becomes_a_row() {
        let mut row = Row::of("arp");
        for (line, is_progress) in [
            ("INFO: Seed: 1", false),
            (
                "#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb",
                true,
            ),
            (
                "#900\tDONE   cov: 27 ft: 30 corp: 9/90b lim: 4096 exec/s: 450",
                true,
            ),
            ("stat::number_of_executed_units: 900", false),
        ] {
            assert_eq!(row.hear(line), is_progress, "{line}");
        }
        assert_eq!(
            (row.executions, row.coverage, &row.finding),
            (900, 27, &None)
        );
        row.hear("artifact_prefix='a/'; Test unit written to a/crash-1f");
        assert_eq!(row.finding.as_deref(), Some("a/crash-1f"));
        let text = "\
\ntarget        executions  coverage  finding
arp                  900        27  a/crash-1f
udp                    0         0  none
";
        assert_eq!(table(&[row, Row::of("udp")]), text);
    }
}
