//! The tests of Go's own network packages, from Debian's golang-1.19-src; static programs without a C library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::room::Room;
use super::{Outcome, Verdict, Verdicts, list};

/// Where Go and the sources of its packages are.
const GO: &str = "/usr/lib/go-1.19";

/// The tests of the list, one run for each package.
pub fn listed(room: &Room, root: &Path) -> Result<Outcome> {
    let kernel = list(root, "go.txt")?;
    let packages = packages(&kernel);
    let mut heptad = Verdicts::new();
    for (package, at) in packages.iter().zip(1..) {
        let program = room.bring(&build(root, package)?)?;
        let mut command = room.under_heptad(&program);
        command
            .args(["-test.v", "-test.short"])
            .current_dir(source(package));
        let at = (at, packages.len());
        let said = room.run(&format!("go {package}"), &mut command, at)?;
        heptad.extend(verdicts(package, &said));
    }
    Ok(Outcome { kernel, heptad })
}

fn source(package: &str) -> PathBuf {
    Path::new(GO).join("src").join(package)
}

/// Builds the tests of a package, once for all runs; where their program is.
fn build(root: &Path, package: &str) -> Result<PathBuf> {
    let folder = root.join("target/suites/go");
    let program = folder.join(format!("{}.test", package.replace('/', "_")));
    if program.is_file() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder)?;
    eprintln!("suites: go {package}: building its tests");
    let status = Command::new(Path::new(GO).join("bin/go"))
        .args(["test", "-c", "-o"])
        .arg(&program)
        .current_dir(source(package))
        .env("CGO_ENABLED", "0")
        .env_remove("GOFLAGS")
        .stdin(Stdio::null())
        .status()
        .context("cannot start go")?;
    ensure!(
        status.success(),
        "the tests of {package} do not compile ({status})"
    );
    Ok(program)
}

/// The packages of tests such as `net/http.TestServe`.
fn packages(tests: &BTreeSet<String>) -> Vec<&str> {
    let packages: BTreeSet<&str> = tests
        .iter()
        .filter_map(|test| Some(test.rsplit_once('.')?.0))
        .collect();
    packages.into_iter().collect()
}

/// What `-test.v` says of whole tests, which may stand behind what a test printed without a line's end. Parts of tests have a `/`.
fn verdicts(package: &str, said: &str) -> Verdicts {
    let told = said.lines().filter_map(|line| {
        let (_, told) = line.split_once("--- ")?;
        let (word, rest) = told.split_once(": ")?;
        let verdict = match word {
            "PASS" => Verdict::Passed,
            "SKIP" => Verdict::Skipped,
            "FAIL" => Verdict::Failed,
            _ => return None,
        };
        let (test, _) = rest.split_once(" (")?;
        let kinds = ["Test", "Example", "Fuzz"];
        let is_whole =
            kinds.iter().any(|kind| test.starts_with(kind)) && !test.contains(['/', ' ']);
        is_whole.then(|| (format!("{package}.{test}"), verdict))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
=== RUN   TestVerifyConnection
=== RUN   TestVerifyConnection/TLSv12
    handshake_client_test.go:1721: RequireAndVerifyClientCert-FullHandshake: handshake failed: remote error
--- FAIL: TestVerifyConnection (0.01s)
    --- FAIL: TestVerifyConnection/TLSv12 (0.01s)
=== CONT  TestServerExpect
    dial_test.go:29: the --- PASS: of another
2022/11/27 http: a line without an end--- PASS: TestServerExpect (0.12s)
--- SKIP: TestDialTimeout (0.00s)
    dial_test.go:29: skipping
--- PASS: ExampleListener (0.00s)
PASS
";

    #[test]
    fn whole_tests_have_a_verdict_and_their_parts_have_none() {
        let rows = [
            ("net.TestVerifyConnection", Verdict::Failed),
            ("net.TestServerExpect", Verdict::Passed),
            ("net.TestDialTimeout", Verdict::Skipped),
            ("net.ExampleListener", Verdict::Passed),
        ];
        let rows = rows.map(|(test, verdict)| (test.to_owned(), verdict));
        assert_eq!(verdicts("net", SAID), Verdicts::from(rows));
    }

    #[test]
    fn the_packages_of_a_list_are_each_named_once() {
        let tests = ["net/http.TestA", "net.TestB", "net/http.TestC"];
        let tests = tests.map(str::to_owned).into();
        assert_eq!(packages(&tests), ["net", "net/http"]);
    }
}
