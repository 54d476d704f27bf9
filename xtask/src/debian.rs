//! Debian's packages whose files are used without being installed: so nothing of theirs starts, now or after the next boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};

use crate::programs::apt_get;

/// Fetches a package with those that it needs and this machine lacks, once for all runs; the folder of their archives.
pub fn fetch(root: &Path, package: &str) -> Result<PathBuf> {
    let folder = root.join("target/suites/debian").join(package);
    if folder.is_dir() {
        return Ok(folder);
    }
    let unfinished = folder.with_extension("unfinished");
    fs::create_dir_all(unfinished.join("partial"))?;
    let archives = format!("Dir::Cache::archives={}", unfinished.display());
    // Who may not install may fetch: then the lock is out of reach, and not needed.
    let arguments = [
        "-o",
        "Debug::NoLocking=1",
        "-o",
        &archives,
        "--download-only",
        "--reinstall",
        "--yes",
        "--no-install-recommends",
        "install",
        package,
    ];
    apt_get(&arguments)
        .or_else(|_| apt_get(&["update"]).and_then(|()| apt_get(&arguments)))
        .map_err(|why| anyhow!(why))?;
    fs::rename(&unfinished, &folder)?;
    Ok(folder)
}

/// Lays the files of all archives of a folder below another.
pub fn unpack(archives: &Path, into: &Path) -> Result<()> {
    for entry in fs::read_dir(archives)? {
        let archive = entry?.path();
        if archive
            .extension()
            .is_none_or(|extension| extension != "deb")
        {
            continue;
        }
        let status = Command::new("dpkg-deb")
            .arg("--extract")
            .args([&archive, into])
            .stdin(Stdio::null())
            .status()
            .context("cannot start dpkg-deb")?;
        ensure!(status.success(), "{}: {status}", archive.display());
    }
    Ok(())
}
