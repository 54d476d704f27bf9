//! `cargo xtask bench` and `cargo xtask sweep`: programs that measure, built with all optimisations.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::tools::cargo;

/// Runs the package's program; ends with its own code.
pub fn run(root: &Path, package: &str, flags: &[OsString]) -> Result<ExitCode> {
    let status = cargo(root)
        .args([
            "run",
            "--quiet",
            "--profile",
            "bench",
            "--package",
            package,
            "--",
        ])
        .args(flags)
        .status()
        .context("cannot start cargo")?;
    // Ended by a signal, or a code that no program has.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
