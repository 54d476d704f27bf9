//! `cargo xtask bench`: builds heptad-bench with all optimisations and runs it.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::tools::cargo;

/// The command. Ends with heptad-bench's own code.
pub fn run(root: &Path, flags: &[OsString]) -> Result<ExitCode> {
    let status = cargo(root)
        .args([
            "run",
            "--quiet",
            "--profile",
            "bench",
            "--package",
            "heptad-bench",
            "--",
        ])
        .args(flags)
        .status()
        .context("cannot start cargo")?;
    // Ended by a signal, or a code that no program has.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
