//! Programs of the build itself: cargo, and cargo-deny from the system or of our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The version that `deny.toml` is written for.
const DENY_VERSION: &str = "0.20.2";

/// Cargo in the workspace's root, asking nothing, and without what the outer cargo told this program about itself.
pub fn cargo(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).stdin(Stdio::null());
    let own = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in
        own.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        command.env_remove(name);
    }
    command
}

/// Where cargo-deny is: on the path, else in `target/tools`, where it is built if need be: unoptimised, which
/// takes half the time to build and a second more to run.
pub fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let own = root.join("target/tools/bin/cargo-deny");
    let found = ["cargo-deny".into(), own.clone()]
        .into_iter()
        .find(|program| is_deny(program));
    if let Some(program) = found {
        return Ok(program);
    }
    eprintln!(
        "deny: no cargo-deny {DENY_VERSION} here; building it below target/tools (a minute or two)"
    );
    let status = cargo(root)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .args([
            "install",
            "--debug",
            "--locked",
            "cargo-deny",
            "--version",
            &format!("={DENY_VERSION}"),
            "--root",
            "target/tools",
        ])
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!(
            "cargo-deny could not be installed ({status}); with a network: cargo install --locked cargo-deny --version ={DENY_VERSION}"
        );
    }
    Ok(own)
}

/// Whether this program is a cargo-deny whose configuration ours is: the same first two numbers.
fn is_deny(program: &Path) -> bool {
    let series = DENY_VERSION
        .rsplit_once('.')
        .map_or(DENY_VERSION, |(series, _)| series);
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        let said = String::from_utf8_lossy(&output.stdout);
        said.trim().starts_with(&format!("cargo-deny {series}."))
    })
}
