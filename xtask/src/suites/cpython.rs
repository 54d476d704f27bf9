//! The network tests of CPython, from Debian's libpython3.11-testsuite: those of a list, and all of asyncio's.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::room::{PYTHON, Room};
use super::{Outcome, Verdict, Verdicts, list};

const ASYNCIO: &str = "test_asyncio";

/// The tests of the list, one run for each module.
pub fn listed(room: &Room, root: &Path) -> Result<Outcome> {
    let kernel = list(root, "cpython.txt")?;
    let wanted = room.note("cpython.txt", &kernel)?;
    let modules = modules(&kernel);
    let mut heptad = Verdicts::new();
    for (module, at) in modules.iter().zip(1..) {
        let mut command = room.under_heptad(Path::new(PYTHON));
        regrtest(&mut command).arg("--matchfile").arg(&wanted);
        let what = format!("cpython {module}");
        let said = room.run(&what, command.arg(module), (at, modules.len()))?;
        heptad.extend(verdicts(&said));
    }
    Ok(Outcome { kernel, heptad })
}

/// All tests of asyncio. There is no list: what did not pass is asked of the kernel.
pub fn asyncio(room: &Room, _root: &Path) -> Result<Outcome> {
    let cases = Command::new(PYTHON)
        .args(["-m", "test", "--list-cases", ASYNCIO])
        .output()?;
    ensure!(cases.status.success(), "cannot list the tests of asyncio");
    let cases = String::from_utf8_lossy(&cases.stdout).into_owned();
    let mut command = room.under_heptad(Path::new(PYTHON));
    let said = room.run("asyncio", regrtest(&mut command).arg(ASYNCIO), (1, 2))?;
    let heptad = verdicts(&said);
    let passed = |test: &&String| heptad.get(*test) == Some(&Verdict::Passed);
    let cases: BTreeSet<String> = cases.lines().map(str::to_owned).collect();
    let mut kernel: BTreeSet<String> = cases.iter().filter(passed).cloned().collect();
    ensure!(
        !kernel.is_empty(),
        "no test of asyncio passed; see target/suites/log"
    );
    if kernel.len() < cases.len() {
        let again = room.note("asyncio.txt", cases.difference(&kernel))?;
        let mut command = room.under_the_kernel(Path::new(PYTHON));
        regrtest(&mut command).arg("--matchfile").arg(again);
        let said = room.run("asyncio with the kernel", command.arg(ASYNCIO), (2, 2))?;
        let of_the_kernel = verdicts(&said).into_iter();
        kernel.extend(
            of_the_kernel
                .filter_map(|(test, verdict)| (verdict == Verdict::Passed).then_some(test)),
        );
    }
    Ok(Outcome { kernel, heptad })
}

/// The name and the verdict of each test are printed. Tests of VSOCK hang where a hypervisor has none.
/// Tests of timeouts ask for the resource `network` though most of them need none.
fn regrtest(command: &mut Command) -> &mut Command {
    command.args(["-m", "test", "-v", "-u", "network"]);
    command.args(["--timeout", "300", "-i", "*VSOCK*"])
}

/// The modules of tests such as `test.test_ssl.ThreadedTests.test_echo`.
fn modules(tests: &BTreeSet<String>) -> Vec<&str> {
    let modules: BTreeSet<&str> = tests
        .iter()
        .filter_map(|test| test.split('.').nth(1))
        .collect();
    modules.into_iter().collect()
}

/// What `-v` says. A test may print between its name and its verdict; blocks at the end tell again what failed.
fn verdicts(said: &str) -> Verdicts {
    let mut verdicts = Verdicts::new();
    let mut now = None;
    for line in said.lines() {
        if let Some(test) = failure(line) {
            verdicts.insert(test.to_owned(), Verdict::Failed);
            now = None;
            continue;
        }
        now = heading(line).or(now);
        let (Some(test), Some(verdict)) = (now, ending(line)) else {
            continue;
        };
        // A part of a test that failed is told before the test's end.
        let told = verdicts.entry(test.to_owned()).or_insert(verdict);
        if *told != Verdict::Failed {
            *told = verdict;
        }
        now = None;
    }
    verdicts
}

/// The test of `FAIL: test_echo (test.test_ssl.ThreadedTests.test_echo)` and its like.
fn failure(line: &str) -> Option<&str> {
    ["FAIL: ", "ERROR: ", "UNEXPECTED SUCCESS: "]
        .iter()
        .find_map(|word| heading(line.strip_prefix(word)?))
}

/// The test of a line that begins with `test_echo (test.test_ssl.ThreadedTests.test_echo)`.
fn heading(line: &str) -> Option<&str> {
    let (method, rest) = line.trim_start().split_once(" (")?;
    let (test, _) = rest.split_once(')')?;
    let (_, last) = test.rsplit_once('.')?;
    (last == method && test.starts_with("test.")).then_some(test)
}

/// The verdict at a line's end.
fn ending(line: &str) -> Option<Verdict> {
    let (_, behind) = line.rsplit_once(" ... ").unwrap_or(("", line));
    if behind.starts_with("skipped ") {
        return Some(Verdict::Skipped);
    }
    let endings = [
        ("ok", Verdict::Passed),
        ("expected failure", Verdict::Passed),
        ("unexpected success", Verdict::Failed),
        ("FAIL", Verdict::Failed),
        ("ERROR", Verdict::Failed),
    ];
    let (_, verdict) = endings.into_iter().find(|(word, _)| {
        let before = line.strip_suffix(word);
        before.is_some_and(|before| !before.ends_with(char::is_alphanumeric))
    })?;
    Some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
0:00:00 load avg: 3.85 [1/1] test_ssl
setUpModule (test.test_timeout) ... skipped \"Use of the 'network' resource not enabled\"
testAcceptTimeout (test.test_timeout.TCPTimeoutTestCase.testAcceptTimeout)
Test accept() timeout ... skipped \"Resource 'www.python.org.' is not available\"
test_subclass (test.test_ssl.SSLErrorTests.test_subclass) ... ok
test_bio_handshake (test.test_ssl.SimpleBackgroundTests.test_bio_handshake) ...  server:  new connection from ('127.0.0.1', 44689)
Needed 2 calls to complete do_handshake(). This took
 connection timeout TimeoutError('timed out')
ok
test_line_terminator1 (test.test_asynchat.TestAsynchat.test_line_terminator1) ... a book
test_parts (test.test_a.A.test_parts) ... 
  test_parts (test.test_a.A.test_parts) (i=1) ... FAIL
  test_parts (test.test_a.A.test_parts) (i=2) ... ok
testA (test.test_socket.A.testA)
What it is for. ... ok
test_known (test.test_a.A.test_known) ... expected failure
test_better (test.test_a.A.test_better) ... unexpected success
test_torn (test.test_a.A.test_torn) ... it is ok
======================================================================
FAIL: test_torn (test.test_a.A.test_torn)
----------------------------------------------------------------------
ERROR: setUpClass (test.test_a.B)
";

    #[test]
    fn a_verdict_is_found_whatever_a_test_prints_before_it() {
        let rows = [
            (
                "test.test_timeout.TCPTimeoutTestCase.testAcceptTimeout",
                Verdict::Skipped,
            ),
            ("test.test_ssl.SSLErrorTests.test_subclass", Verdict::Passed),
            (
                "test.test_ssl.SimpleBackgroundTests.test_bio_handshake",
                Verdict::Passed,
            ),
            ("test.test_a.A.test_parts", Verdict::Failed),
            ("test.test_socket.A.testA", Verdict::Passed),
            ("test.test_a.A.test_known", Verdict::Passed),
            ("test.test_a.A.test_better", Verdict::Failed),
            ("test.test_a.A.test_torn", Verdict::Failed),
        ];
        let rows = rows.map(|(test, verdict)| (test.to_owned(), verdict));
        assert_eq!(verdicts(SAID), Verdicts::from(rows));
    }

    #[test]
    fn the_modules_of_a_list_are_each_named_once() {
        let tests = [
            "test.test_ssl.A.test_b",
            "test.test_epoll.A.test_b",
            "test.test_ssl.B.test_b",
        ];
        let tests = tests.map(str::to_owned).into();
        assert_eq!(modules(&tests), ["test_epoll", "test_ssl"]);
    }
}
