//! A folder, an environment and a way to see what is left, for each test of the command.
#![allow(dead_code)] // each test file uses its own part

pub mod capture;
pub mod linux;
pub mod ordinary;
pub mod pair;
pub mod transfer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long outside programs may take. A bound on a failure, not a measure.
pub const WITHIN: Duration = Duration::from_secs(60);

/// One test's own world: nothing of it is shared with other tests or with the user.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("heptad-test-")
            .tempdir()
            .expect("a temporary folder");
        // Other users run programs in it, in some tests.
        fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .expect("permissions");
        let sandbox = Self { folder };
        fs::create_dir(sandbox.path("runtime")).expect("a runtime folder");
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file in the sandbox");
        path
    }

    /// `heptad WORDS…` in this sandbox.
    pub fn heptad(&self, words: &[&str]) -> Command {
        self.program(env!("CARGO_BIN_EXE_heptad"), words)
    }

    /// Any program in this sandbox.
    pub fn program(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .env("NO_COLOR", "1")
            .env("PYTHONUNBUFFERED", "1");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::from(self.heptad(words).output().expect("heptad starts"))
    }

    /// Processes of this sandbox that are alive: they carry its folder in their environment.
    pub fn alive(&self) -> Vec<u32> {
        let marker = format!("XDG_RUNTIME_DIR={}", self.path("runtime").display());
        let pids = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ours = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == marker.as_bytes())
        };
        let mut pids: Vec<u32> = pids.filter(ours).collect();
        pids.sort_unstable();
        pids
    }

    /// Waits until no process of this sandbox is left.
    pub fn expect_nothing_left(&self) {
        wait_for("all processes to end", || self.alive().is_empty());
    }
}

impl Drop for Sandbox {
    /// A failed test must not leave processes behind. These are all ours: they carry this folder's name.
    fn drop(&mut self) {
        for pid in self.alive() {
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Ran {
    /// The exit code, with everything that was said if it is another one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.stdout.trim())
            .unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Outside programs tell nobody when they are done: looks again until it holds.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program in PATH. Missing: the test says so and is skipped, unless this is a run that requires all.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !there {
        assert!(
            std::env::var_os("HEPTAD_REQUIRE_PROGRAMS").is_none(),
            "{name} is required and missing"
        );
        eprintln!("skipped: {name} is not installed (cargo xtask test installs it)");
    }
    there
}

/// The repository's labs.
pub fn labs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../labs")
        .canonicalize()
        .expect("labs/")
}

/// SIGTERM.
pub fn terminate(child: &Child) {
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.expect("kill starts").success());
}

/// Ends a child and takes its end.
pub fn finish(mut child: Child) -> Option<i32> {
    let _ = child.kill();
    child.wait().ok().and_then(|status| status.code())
}
