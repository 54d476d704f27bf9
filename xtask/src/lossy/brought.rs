//! What the jobs need beside installed programs: small static programs and sources of the project's own, and files of packages that
//! would start a service where they are installed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::debian;
use crate::performance::build_hello;
use crate::suites::room::Room;

/// Sources of the project's own.
const FOREIGN: &str = "crates/runner/tests/foreign/lossy";
/// Packages of Debian that are unpacked; the last one is a library that no installed program brings.
const UNPACKED: [&str; 6] = [
    "nginx",
    "postgresql-15",
    "memcached",
    "openssh-server",
    "opentracker",
    "libnss-wrapper",
];

/// Brings all of it into the room.
pub fn bring(room: &Room, root: &Path) -> Result<()> {
    room.bring(&build_hello(root)?)?;
    room.bring(&root.join(FOREIGN).join("Hello.java"))?;
    for package in UNPACKED {
        debian::unpack(
            &debian::fetch(root, package)?,
            &room.folder().join("debian"),
        )?;
    }
    let mut go = Command::new("go");
    go.args(["build", "-o"]).env("CGO_ENABLED", "0");
    build(room, root, go, ["echo-go", "echo.go"])?;
    let mut rust = Command::new("rustc");
    rust.args(["-O", "-C", "target-feature=+crt-static", "-o"]);
    build(room, root, rust, ["echo-rust", "echo.rs"])
}

/// A program from one source.
fn build(room: &Room, root: &Path, mut compiler: Command, names: [&str; 2]) -> Result<()> {
    let [program, source] = names;
    let folder = root.join("target/suites/lossy");
    std::fs::create_dir_all(&folder)?;
    let program = folder.join(program);
    compiler.arg(&program).arg(root.join(FOREIGN).join(source));
    let status = compiler.status().context("cannot start a compiler")?;
    ensure!(status.success(), "{compiler:?}: {status}");
    room.bring(&program)?;
    Ok(())
}
