//! libuv's own tests of what is in a network, from Debian's source package. There is no list: what did not pass is asked of the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::room::{Room, done};
use super::{Outcome, Verdict, Verdicts};
use crate::debian;

/// How the names of its tests begin in which there is a socket of IP or a name of a host.
const KINDS: [&str; 22] = [
    "close_fd",
    "connect",
    "delayed_accept",
    "emfile",
    "getaddrinfo",
    "getnameinfo",
    "getsockname",
    "handle_fileno",
    "ip6_addr_link_local",
    "ipc_",
    "listen_",
    "multiple_listen",
    "not_",
    "poll_",
    "readable_on_eof",
    "shutdown_",
    "socket_buffer_size",
    "spawn_tcp_server",
    "tcp",
    "threadpool_cancel_get",
    "udp_",
    "watcher_cross_stop",
];

/// Starts each test of its arguments, and says how it ended.
const EACH: &str = r#"for test; do ./uv_run_tests_a "$test"; echo "ended: $test: $?"; done"#;

/// The exit code of a test that was skipped.
const SKIPPED: &str = "7";

/// All tests of these kinds, one process each, in one run.
pub fn all(room: &Room, root: &Path) -> Result<Outcome> {
    let source = debian::source(root, "libuv1")?;
    let program = build(root, &source)?;
    let names = names(&program)?;
    let tree = room.lay("libuv", &source)?;
    fs::copy(&program, tree.join("uv_run_tests_a"))?;
    let shell = Path::new("/bin/sh");
    let mut outcome = Outcome::default();
    let mut command = room.under_heptad(shell);
    let here = verdicts(&room.run("libuv", each(&mut command, &tree, &names), (1, 2))?);
    let missed = |name: &&String| here.get(*name) != Some(&Verdict::Passed);
    let missed: Vec<String> = names.iter().filter(missed).cloned().collect();
    outcome.under_heptad(here);
    if !missed.is_empty() {
        let mut command = room.under_the_kernel(shell);
        let command = each(&mut command, &tree, &missed);
        let there = room.run("libuv with the kernel", command, (2, 2))?;
        outcome.under_the_kernel(&verdicts(&there));
    }
    Ok(outcome)
}

fn each<'a>(command: &'a mut Command, tree: &Path, names: &[String]) -> &'a mut Command {
    let command = command.args(["-c", EACH, "sh"]).args(names);
    command.current_dir(tree)
}

/// Builds the program of all tests, once for all runs; where it is.
fn build(root: &Path, source: &Path) -> Result<PathBuf> {
    let folder = root.join("target/suites/libuv");
    let program = folder.join("uv_run_tests_a");
    if !program.is_file() {
        eprintln!("suites: libuv: building its tests");
        let mut cmake = Command::new("cmake");
        cmake.arg("-S").arg(source).arg("-B").arg(&folder);
        done(cmake.args(["-DCMAKE_BUILD_TYPE=Release", "-DLIBUV_BUILD_SHARED=OFF"]))?;
        let mut cmake = Command::new("cmake");
        done(
            cmake
                .arg("--build")
                .arg(&folder)
                .args(["--target", "uv_run_tests_a"]),
        )?;
    }
    Ok(program)
}

/// The tests of the kinds that count.
fn names(program: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(program);
    let output = command.arg("--list").env("UV_RUN_AS_ROOT", "1").output();
    let output = output.with_context(|| program.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    // Behind a name stands what helps it.
    let names = said.lines().filter_map(|line| line.split(' ').next());
    let is_meant = |name: &&str| KINDS.iter().any(|kind| name.starts_with(kind));
    let names: Vec<String> = names.filter(is_meant).map(str::to_owned).collect();
    ensure!(!names.is_empty(), "libuv names no tests");
    Ok(names)
}

/// How each test ended.
fn verdicts(said: &str) -> Verdicts {
    let told = said.lines().filter_map(|line| {
        let (test, code) = line.strip_prefix("ended: ")?.split_once(": ")?;
        let verdict = match code {
            "0" => Verdict::Passed,
            SKIPPED => Verdict::Skipped,
            _ => Verdict::Failed,
        };
        Some((test.to_owned(), verdict))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_has_the_verdict_of_its_exit_code() {
        let said = "\
ok 1 - tcp_ref
ended: tcp_ref: 0
ok 1 - udp_multicast_join # SKIP No multicast support.
ended: udp_multicast_join: 7
not ok 1 - udp_mmsg
ended: udp_mmsg: 6
ended: tcp_oob: 134
";
        let rows = [
            ("tcp_ref", Verdict::Passed),
            ("udp_multicast_join", Verdict::Skipped),
            ("udp_mmsg", Verdict::Failed),
            ("tcp_oob", Verdict::Failed),
        ];
        let rows = rows.map(|(test, verdict)| (test.to_owned(), verdict));
        assert_eq!(verdicts(said), Verdicts::from(rows));
    }
}
