//! redis's own tests, in Tcl, from Debian's source package, with Debian's redis. There is no list: what did not pass is asked of the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::room::{Room, done};
use super::{Outcome, Verdict, Verdicts};
use crate::debian;

const TCL: &str = "/usr/bin/tclsh8.6";

/// The names by which the tests start what is one program in Debian.
const SERVERS: [&str; 4] = [
    "redis-server",
    "redis-sentinel",
    "redis-check-aof",
    "redis-check-rdb",
];

/// Its files of tests that are about clients, connections and replicas. The others are about what commands do with data.
const FILES: [&str; 45] = [
    "unit/auth",
    "unit/protocol",
    "unit/info",
    "unit/info-command",
    "unit/other",
    "unit/multi",
    "unit/quit",
    "unit/acl",
    "unit/acl-v2",
    "unit/latency-monitor",
    "integration/block-repl",
    "integration/replication",
    "integration/replication-2",
    "integration/replication-3",
    "integration/replication-4",
    "integration/replication-psync",
    "integration/replication-buffer",
    "integration/shutdown",
    "integration/logging",
    "integration/psync2",
    "integration/psync2-reg",
    "integration/psync2-pingoff",
    "integration/psync2-master-restart",
    "integration/failover",
    "integration/redis-cli",
    "integration/redis-benchmark",
    "unit/pubsub",
    "unit/pubsubshard",
    "unit/introspection",
    "unit/introspection-2",
    "unit/limits",
    "unit/obuf-limits",
    "unit/wait",
    "unit/pause",
    "unit/querybuf",
    "unit/pendingquerybuf",
    "unit/tracking",
    "unit/shutdown",
    "unit/networking",
    "unit/cluster",
    "unit/client-eviction",
    "unit/replybufsize",
    "unit/cluster-scripting",
    "unit/cluster/misc",
    "unit/cluster/links",
];

/// Where Debian's package has its libraries.
const LIBRARIES: &str = "debian/usr/lib/x86_64-linux-gnu";

/// Each file of tests is a run of its own. Where one was not gone through to its end, it is asked of the kernel.
pub fn all(room: &Room, root: &Path) -> Result<Outcome> {
    let source = debian::source(root, "redis")?;
    let tree = lay(room, root, &source)?;
    let mut outcome = Outcome::default();
    for (file, at) in FILES.into_iter().zip(1..) {
        let at = (at, FILES.len());
        let what = format!("redis {file}");
        let said = room.run(
            &what,
            test(&mut room.under_heptad(Path::new(TCL)), &tree, file),
            at,
        )?;
        outcome.under_heptad(verdicts(file, &said));
        if !said.contains("All tests passed without errors!") {
            let mut command = room.under_the_kernel(Path::new(TCL));
            let said = room.run(
                &format!("{what} with the kernel"),
                test(&mut command, &tree, file),
                at,
            )?;
            outcome.under_the_kernel(&verdicts(file, &said));
        }
    }
    Ok(outcome)
}

/// The tests and Debian's programs, as a tree in which redis was built.
fn lay(room: &Room, root: &Path, source: &Path) -> Result<PathBuf> {
    let packages = room.folder().join("debian");
    debian::unpack(&debian::fetch(root, "redis-server")?, &packages)?;
    let made = root.join("target/suites/redis");
    let _ = fs::remove_dir_all(&made);
    fs::create_dir_all(made.join("src"))?;
    let mut copy = Command::new("cp");
    done(copy.arg("-r").args([
        source.join("tests"),
        source.join("redis.conf"),
        made.clone(),
    ]))?;
    let programs = packages.join("usr/bin");
    for name in SERVERS {
        // It looks at the name by which it was started.
        fs::copy(
            programs.join("redis-check-rdb"),
            made.join("src").join(name),
        )?;
    }
    for name in ["redis-cli", "redis-benchmark"] {
        fs::copy(programs.join(name), made.join("src").join(name)).context(name)?;
    }
    room.lay("redis", &made)
}

/// One file of tests.
fn test<'a>(command: &'a mut Command, tree: &Path, file: &str) -> &'a mut Command {
    let folder = tree.parent().unwrap_or(tree);
    command
        .args(["tests/test_helper.tcl", "--clients", "1", "--single", file])
        .env("LD_LIBRARY_PATH", folder.join(LIBRARIES))
        .current_dir(tree)
}

/// What is said of each test; two of one file may have one name: then both must pass.
fn verdicts(file: &str, said: &str) -> Verdicts {
    let mut verdicts = Verdicts::new();
    let mut failed = BTreeSet::new();
    for line in said.lines() {
        let Some((word, test)) = line
            .strip_prefix('[')
            .and_then(|line| line.split_once("]: "))
        else {
            continue;
        };
        let verdict = match word {
            "ok" => Verdict::Passed,
            "err" | "exception" | "timeout" => Verdict::Failed,
            "ignore" => Verdict::Skipped,
            _ => continue,
        };
        let test = format!("{file}::{}", name(test));
        if verdict == Verdict::Failed {
            failed.insert(test.clone());
        }
        verdicts.insert(test, verdict);
    }
    verdicts.extend(failed.into_iter().map(|test| (test, Verdict::Failed)));
    verdicts
}

/// Without how long it took, or where it failed.
fn name(test: &str) -> &str {
    let test = match test.rsplit_once(" (") {
        Some((name, took)) if took.ends_with(" ms)") => name,
        _ => test,
    };
    test.rsplit_once(" in tests/")
        .map_or(test, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_test_is_without_its_time_and_place() {
        let said = "\
Testing unit/auth
[ok]: AUTH fails (with no password) (0 ms)
[err]: AUTH succeeds in tests/unit/auth.tcl
Expected 'x' (context: type source line 7)
[ok]: AUTH succeeds (3 ms)
[ignore]: big one: large memory flag not provided
[1/1 done]: unit/auth (2 seconds)
";
        let rows = [
            ("unit/auth::AUTH fails (with no password)", Verdict::Passed),
            ("unit/auth::AUTH succeeds", Verdict::Failed),
            (
                "unit/auth::big one: large memory flag not provided",
                Verdict::Skipped,
            ),
        ];
        let rows = rows.map(|(test, verdict)| (test.to_owned(), verdict));
        assert_eq!(verdicts("unit/auth", said), Verdicts::from(rows));
    }
}
