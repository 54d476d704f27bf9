//! The tests of crates that use sockets, as their archives have them. There is no list: what did not pass is asked of the kernel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::room::Room;
use super::{Outcome, Verdict, Verdicts};
use crate::tools::cargo;

/// A crate whose archive has tests.
struct Crate {
    name: &'static str,
    version: &'static str,
    /// Those that its tests want.
    features: Option<&'static str>,
    /// Its programs of tests in which there is a socket of IP.
    programs: &'static [&'static str],
    /// A test that would never end is not started, and counts as not passed.
    endless: Option<&'static str>,
}

const TOKIO: Crate = Crate {
    name: "tokio",
    version: "1.54.1",
    features: Some("full"),
    programs: &[
        "io_async_fd",
        "io_copy_bidirectional",
        "io_driver",
        "io_driver_drop",
        "net_bind_resource",
        "net_lookup_host",
        "net_panic",
        "net_quickack",
        "no_rt",
        "rt_busy_tick",
        "rt_common",
        "rt_handle_block_on",
        "rt_shutdown_err",
        "rt_threaded",
        "tcp_accept",
        "tcp_accept_ready",
        "tcp_connect",
        "tcp_echo",
        "tcp_into_split",
        "tcp_into_std",
        "tcp_peek",
        "tcp_shutdown",
        "tcp_socket",
        "tcp_split",
        "tcp_stream",
        "udp",
    ],
    endless: Some("await_error_readiness_timestamping"),
};

const POLLING: Crate = Crate {
    name: "polling",
    version: "3.11.0",
    features: None,
    programs: &[
        "concurrent_modification",
        "io",
        "many_connections",
        "multiple_pollers",
        "other_modes",
    ],
    endless: None,
};

const ASYNC_IO: Crate = Crate {
    name: "async-io",
    version: "2.6.0",
    features: None,
    programs: &["async", "issue_182"],
    endless: None,
};

/// tokio's.
pub fn tokio(room: &Room, root: &Path) -> Result<Outcome> {
    TOKIO.all(room, root)
}

/// polling's.
pub fn polling(room: &Room, root: &Path) -> Result<Outcome> {
    POLLING.all(room, root)
}

/// async-io's.
pub fn async_io(room: &Room, root: &Path) -> Result<Outcome> {
    ASYNC_IO.all(room, root)
}

impl Crate {
    /// Every program is a run of its own.
    fn all(&self, room: &Room, root: &Path) -> Result<Outcome> {
        let folder = root.join("target/suites").join(self.name);
        self.fetch(root, &folder)?;
        let programs = self.build(root, &folder)?;
        // Tests of files read this one.
        room.bring(&folder.join(self.name).join("Cargo.toml"))?;
        let mut outcome = Outcome::default();
        for ((name, program), at) in programs.iter().zip(1..) {
            let tests = tests(program)?;
            let program = room.bring(program)?;
            let what = format!("{} {name}", self.name);
            let at = (at, programs.len());
            let mut command = room.under_heptad(&program);
            command.args(self.endless.iter().flat_map(|test| ["--skip", test]));
            command.current_dir(room.folder());
            let here = verdicts(&room.run(&what, &mut command, at)?);
            let missed = |test: &&String| here.get(*test) != Some(&Verdict::Passed);
            let missed: Vec<&String> = tests.iter().filter(missed).collect();
            if !missed.is_empty() {
                let mut command = room.under_the_kernel(&program);
                command.arg("--exact").args(missed);
                command.current_dir(room.folder());
                let there = room.run(&format!("{what} with the kernel"), &mut command, at)?;
                outcome.under_the_kernel(&of_program(name, verdicts(&there)));
            }
            outcome.under_heptad(of_program(name, here));
        }
        Ok(outcome)
    }

    /// Its dependencies for tests may want it, too: it has to be this one.
    fn workspace(&self) -> String {
        let name = self.name;
        format!(
            "[workspace]\nmembers = [\"{name}\"]\nresolver = \"2\"\n\n[patch.crates-io]\n{name} = {{ path = \"{name}\" }}\n\n[profile.dev]\ndebug = 0\n"
        )
    }

    /// Lays the crate, as the registry has it, below the folder, and a workspace around it; once for all runs.
    fn fetch(&self, root: &Path, folder: &Path) -> Result<()> {
        if folder.join("Cargo.toml").is_file() {
            return Ok(());
        }
        let asking = folder.join("fetch");
        std::fs::create_dir_all(asking.join("src"))?;
        std::fs::write(asking.join("src/lib.rs"), "")?;
        let Self { name, version, .. } = self;
        let manifest = format!(
            "[package]\nname = \"fetch\"\n[dependencies]\n{name} = \"={version}\"\n[workspace]\n"
        );
        std::fs::write(asking.join("Cargo.toml"), manifest)?;
        let output = cargo(root)
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(asking.join("Cargo.toml"))
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        ensure!(output.status.success(), "cannot fetch {name} {version}");
        let fetched: Value = serde_json::from_slice(&output.stdout)?;
        let packages = fetched["packages"].as_array();
        let manifest = packages
            .and_then(|packages| packages.iter().find(|package| package["name"] == *name))
            .and_then(|package| package["manifest_path"].as_str());
        let source = manifest.and_then(|manifest| Path::new(manifest).parent());
        let status = Command::new("cp")
            .arg("-rT")
            .arg(source.context("cargo does not say where it is")?)
            .arg(folder.join(name))
            .status()?;
        ensure!(status.success(), "cannot copy {name}: {status}");
        let lock = std::fs::read_to_string(folder.join(name).join("Cargo.lock"))?;
        std::fs::write(folder.join("Cargo.lock"), without(&lock, name))?;
        std::fs::write(folder.join("Cargo.toml"), self.workspace())?;
        Ok(())
    }

    /// Builds the programs of tests; their names, and where they are.
    fn build(&self, root: &Path, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let Self { name, features, .. } = self;
        eprintln!("suites: {name}: building its tests");
        let mut command = cargo(root);
        command.args(["test", "--no-run", "--package", name]);
        if let Some(features) = features {
            command.args(["--features", &format!("{name}/{features}")]);
        }
        command
            .args(["--message-format", "json", "--target-dir"])
            .arg(folder.join("target"))
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"));
        for program in self.programs {
            command.args(["--test", program]);
        }
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.context("cannot start cargo")?;
        ensure!(
            output.status.success(),
            "the tests of {name} do not compile"
        );
        let mut programs = built(&String::from_utf8_lossy(&output.stdout));
        programs.sort();
        Ok(programs)
    }
}

/// The tests of a program, by names that no other program has.
fn of_program(program: &str, verdicts: Verdicts) -> Verdicts {
    let named = |(test, verdict)| (format!("{program}::{test}"), verdict);
    verdicts.into_iter().map(named).collect()
}

/// The versions of what it depends on, as it was tested, but for itself: the registry's would take the place of this one.
fn without(lock: &str, name: &str) -> String {
    let packages = lock.split("[[package]]\n");
    let this = format!("name = \"{name}\"\n");
    let others = packages.filter(|package| !package.starts_with(&this));
    others.collect::<Vec<_>>().join("[[package]]\n")
}

/// The programs that cargo's messages tell of.
fn built(messages: &str) -> Vec<(String, PathBuf)> {
    let programs = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let program = message["executable"].as_str()?;
        Some((
            message["target"]["name"].as_str()?.to_owned(),
            program.into(),
        ))
    });
    programs.collect()
}

/// The tests that a program has.
fn tests(program: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new(program).arg("--list").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let tests = said.lines().filter_map(|line| line.strip_suffix(": test"));
    let tests: BTreeSet<String> = tests.map(str::to_owned).collect();
    ensure!(!tests.is_empty(), "{}: no tests", program.display());
    Ok(tests)
}

/// What Rust's own harness says of tests.
fn verdicts(said: &str) -> Verdicts {
    let told = said.lines().filter_map(|line| {
        let (test, word) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let verdict = match word {
            "ok" => Verdict::Passed,
            "FAILED" => Verdict::Failed,
            word if word.starts_with("ignored") => Verdict::Skipped,
            _ => return None,
        };
        let test = test.strip_suffix(" - should panic").unwrap_or(test);
        Some((test.to_owned(), verdict))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_has_the_verdict_that_stands_behind_it() {
        let said = "\
running 4 tests
test echo ... ok
test nesting - should panic ... ok
thread 'closed' (7) panicked at tokio/tests/udp.rs:71:10:
test closed ... FAILED
test slow has been running for over 60 seconds
test known ... ignored, not here
";
        let rows = [
            ("echo", Verdict::Passed),
            ("nesting", Verdict::Passed),
            ("closed", Verdict::Failed),
            ("known", Verdict::Skipped),
        ];
        let rows = rows.map(|(test, verdict)| (test.to_owned(), verdict));
        assert_eq!(verdicts(said), Verdicts::from(rows));
    }

    #[test]
    fn a_lock_without_a_package_has_all_others() {
        let lock = "version = 4\n\n[[package]]\nname = \"mio\"\n\n[[package]]\nname = \"tokio\"\n\n[[package]]\nname = \"tokio-test\"\n";
        assert_eq!(
            without(lock, "tokio"),
            "version = 4\n\n[[package]]\nname = \"mio\"\n\n[[package]]\nname = \"tokio-test\"\n"
        );
    }

    #[test]
    fn programs_are_those_that_cargo_says_it_built() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"mio"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"udp"},"executable":"/a/udp-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(built(messages), [("udp".to_owned(), "/a/udp-1".into())]);
    }
}
