//! `cargo xtask fuzz`: fuzz targets, each for a while.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use crate::tools::cargo;

/// Every target, in the order in which they run.
const TARGETS: [&str; 13] = [
    "arp", "ethernet", "ipv4", "ipv6", "icmpv4", "icmpv6", "igmp", "mld", "ndp", "udp", "tcp",
    "packet", "frames",
];
const VERSION: &str = "0.13.2";

/// Which targets are run, and for how long.
#[derive(clap::Args)]
pub struct Choice {
    /// Only these; all without any.
    #[arg(value_name = "TARGET", value_parser = PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// How long each is run.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs them one after the other; the first finding ends it, with the input that shows it.
pub fn run(root: &Path, choice: &Choice) -> Result<()> {
    ensure_nightly()?;
    let program = cargo_fuzz(root)?;
    let chosen = |target: &&str| {
        choice.targets.is_empty() || choice.targets.iter().any(|asked| asked == target)
    };
    for target in TARGETS.into_iter().filter(chosen) {
        eprintln!("\n== fuzz {target}, {} s", choice.seconds);
        let status = Command::new(&program)
            .current_dir(root)
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .args(["fuzz", "run", "--sanitizer", "none", target, "--"])
            .arg(format!("-max_total_time={}", choice.seconds))
            .args([
                "-max_len=4096",
                "-timeout=20",
                "-print_final_stats=1",
                "-verbosity=0",
            ])
            .status()
            .context("cannot start cargo-fuzz")?;
        ensure!(status.success(), "{target}: {status}");
    }
    Ok(())
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
