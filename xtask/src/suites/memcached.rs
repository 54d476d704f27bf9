//! memcached's own tests, in Perl, from Debian's source package, over TCP and UDP. There is no list: what did not pass is asked of the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::room::{Room, done};
use super::{Outcome, Verdict, Verdicts};
use crate::debian;

const PROVE: &str = "/usr/bin/prove";

/// What its tests start.
const PROGRAMS: [&str; 4] = ["memcached-debug", "sizes", "testapp", "timedrun"];

/// Its tests, a run for each file.
pub fn all(room: &Room, root: &Path) -> Result<Outcome> {
    let source = debian::source(root, "memcached")?;
    let tree = room.lay("memcached", &build(root, &source)?)?;
    let files = files(&tree)?;
    let mut outcome = Outcome::default();
    for (file, at) in files.iter().zip(1..) {
        let what = format!("memcached {file}");
        let at = (at, files.len());
        let mut command = room.under_heptad(Path::new(PROVE));
        let said = room.run(&what, command.arg(file).current_dir(&tree), at)?;
        let here = verdict(&said);
        outcome.under_heptad(Verdicts::from([(file.clone(), here)]));
        if here == Verdict::Failed {
            let mut command = room.under_the_kernel(Path::new(PROVE));
            let command = command.arg(file).current_dir(&tree);
            let said = room.run(&format!("{what} with the kernel"), command, at)?;
            outcome.under_the_kernel(&Verdicts::from([(file.clone(), verdict(&said))]));
        }
    }
    Ok(outcome)
}

/// The names of the files of tests, such as `t/cas.t`.
fn files(tree: &Path) -> Result<Vec<String>> {
    let entries: Result<Vec<_>, _> = fs::read_dir(tree.join("t"))?.collect();
    let names = entries?.into_iter().map(|entry| entry.file_name());
    let names = names.map(|name| format!("t/{}", name.to_string_lossy()));
    let mut files: Vec<String> = names.filter(|name| name.ends_with(".t")).collect();
    files.sort();
    ensure!(!files.is_empty(), "memcached has no tests");
    Ok(files)
}

/// Builds memcached as its tests want it, once for all runs; the folder with all of it. Without sockets of the file system
/// the tests reach it over TCP.
fn build(root: &Path, source: &Path) -> Result<PathBuf> {
    let folder = root.join("target/suites/memcached");
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("suites: memcached: building it");
    let unfinished = folder.with_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    done(Command::new("cp").arg("-aT").args([source, &unfinished]))?;
    let libevent = unfinished.join("libevent");
    debian::unpack(&debian::fetch(root, "libevent-dev")?, &libevent)?;
    let include = format!("-I{}", libevent.join("usr/include").display());
    // The archives only: a library beside them would be looked for when it is started.
    let archives = unfinished.join("archives");
    fs::create_dir(&archives)?;
    fs::copy(
        libevent.join("usr/lib/x86_64-linux-gnu/libevent.a"),
        archives.join("libevent.a"),
    )?;
    let mut configure = Command::new("./configure");
    configure.args(["--quiet", "--disable-unix-socket"]);
    configure.env("CPPFLAGS", include);
    configure.env("LDFLAGS", format!("-L{}", archives.display()));
    done(configure.current_dir(&unfinished))?;
    let mut make = Command::new("make");
    // Debian's patches are newer than what was generated before.
    make.args([
        "--silent",
        "AUTOCONF=:",
        "AUTOMAKE=:",
        "ACLOCAL=:",
        "AUTOHEADER=:",
    ]);
    done(make.args(PROGRAMS).current_dir(&unfinished))?;
    fs::rename(&unfinished, &folder)?;
    Ok(folder)
}

/// What `prove` says of one file.
fn verdict(said: &str) -> Verdict {
    let result = said.lines().find_map(|line| line.strip_prefix("Result: "));
    match result {
        Some("PASS") => Verdict::Passed,
        Some("NOTESTS") => Verdict::Skipped,
        _ => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_result_that_is_told_of_it() {
        let rows = [
            (
                "t/cas.t .. ok\nAll tests successful.\nResult: PASS\n",
                Verdict::Passed,
            ),
            (
                "t/proxy.t .. skipped: proxy not enabled\nResult: NOTESTS\n",
                Verdict::Skipped,
            ),
            (
                "t/udp.t .. Dubious, test returned 2\nResult: FAIL\n",
                Verdict::Failed,
            ),
            ("t/udp.t .. ", Verdict::Failed),
        ];
        for (said, expected) in rows {
            assert_eq!(verdict(said), expected, "{said}");
        }
    }
}
