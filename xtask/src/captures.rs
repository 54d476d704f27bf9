//! `cargo xtask captures`: the captures of Debian's tcpdump source package, many malformed on purpose, go into a host and a router.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::table_in_page::Page;
use crate::tools::cargo;

/// Where the package is, and what it must be.
const SOURCE: &str = "https://deb.debian.org/debian/pool/main/t/tcpdump/tcpdump_4.99.3.orig.tar.gz";
const SHA256: &str = "ad75a6ed3dc0d9732945b2e5483cb41dc8b4b528a169315e499c6861952e73b3";

/// Where the table of what became of them stands, between two lines.
const TABLE: &str = "docs/captures.md";
const BEGIN: &str = "<!-- `cargo xtask captures --update` writes from here … -->\n";

/// What is to become of the table.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Write the table into docs/captures.md instead of comparing it with the one that stands there.
    #[arg(long)]
    update: bool,
}

/// Fetches them once, into `target/captures`, runs the test that reads them, and looks whether its table is the one in the docs.
pub fn run(root: &Path, choice: &Choice) -> Result<()> {
    let folder = fetch(root)?;
    let table = root.join("target/captures/table.md");
    let status = cargo(root)
        .args(["test", "--package", "heptad-runtime", "--test", "captures"])
        .args(["--", "--ignored", "--nocapture"])
        .env("HEPTAD_CAPTURES_DIR", folder)
        .env("HEPTAD_CAPTURES_TABLE", &table)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "{status}");
    let path = root.join(TABLE);
    let page = std::fs::read_to_string(&path).context(TABLE)?;
    let fresh = Page::cut(&page, BEGIN)
        .context(TABLE)?
        .with(&std::fs::read_to_string(&table)?);
    if choice.update {
        std::fs::write(&path, fresh)?;
    } else {
        let changed = "the captures meet other checks than docs/captures.md says: look at them with `cargo xtask captures --update` and `git diff`";
        ensure!(page == fresh, "{changed}");
    }
    Ok(())
}

fn fetch(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/captures");
    let unpacked = folder.join("tcpdump");
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    std::fs::create_dir_all(&folder)?;
    let archive = folder.join("tcpdump.tar.gz");
    eprintln!("captures: {SOURCE}");
    let mut curl = Command::new("curl");
    curl.args(["-sSfL", "--retry", "2", "--max-time", "120", "-o"]);
    command(curl.arg(&archive).arg(SOURCE))?;
    let sum = Command::new("sha256sum").arg(&archive).output()?;
    let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
    ensure!(
        sum.starts_with(SHA256),
        "{} is another file: {sum}",
        archive.display()
    );
    let fresh = folder.join("unpacking");
    let _ = std::fs::remove_dir_all(&fresh);
    std::fs::create_dir_all(&fresh)?;
    let mut tar = Command::new("tar");
    command(tar.arg("xzf").arg(&archive).arg("-C").arg(&fresh))?;
    std::fs::rename(&fresh, &unpacked)?;
    Ok(unpacked)
}

fn command(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
