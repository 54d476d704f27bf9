//! Debian's packages whose files are used without being installed: so nothing of theirs starts, now or after the next boot; and sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};

use crate::programs::{apt_get, apt_get_in};

/// Where sources come from: a list of our own, as most machines' lists have programs only.
const SOURCES: &str = "Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

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

/// Fetches a source package of Debian 12 and unpacks it with Debian's patches, once for all runs; the folder of its sources.
pub fn source(root: &Path, package: &str) -> Result<PathBuf> {
    let folder = root.join("target/suites/source").join(package);
    if !folder.is_dir() {
        let unfinished = folder.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished)?;
        fetch_source(root, package, &unfinished).map_err(|why| anyhow!(why))?;
        fs::rename(&unfinished, &folder)?;
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(&folder)?.collect();
    let mut paths = entries?.into_iter().map(|entry| entry.path());
    let unpacked = paths.find(|path| path.is_dir());
    unpacked.with_context(|| format!("no sources of {package} in {}", folder.display()))
}

/// Nothing of apt's own is read or written: neither its lists nor its cache.
fn fetch_source(root: &Path, package: &str, into: &Path) -> Result<(), String> {
    let apt = root.join("target/suites/apt");
    let made = fs::create_dir_all(apt.join("parts"))
        .and_then(|()| fs::create_dir_all(apt.join("lists/partial")))
        .and_then(|()| fs::write(apt.join("parts/heptad.sources"), SOURCES));
    made.map_err(|error| format!("{}: {error}", apt.display()))?;
    let ours = [
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        format!("Dir::Etc::SourceParts={}", apt.join("parts").display()),
        format!("Dir::State::Lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.display()),
    ];
    let options: Vec<&str> = ours.iter().flat_map(|ours| ["-o", ours.as_str()]).collect();
    apt_get_in(into, &[options.as_slice(), &["update"]].concat())?;
    apt_get_in(into, &[options.as_slice(), &["source", package]].concat())
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
