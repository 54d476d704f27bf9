//! An ordinary user without any privilege, whoever runs the tests.

use std::fs;
use std::process::Command;

use super::Sandbox;

/// What makes that user of us, and the command itself.
pub struct OrdinaryUser(Vec<String>);

impl OrdinaryUser {
    /// The sandbox is that user's own from now on. Who is one already needs no change of user.
    pub fn of(sandbox: &Sandbox) -> Self {
        let heptad = sandbox.path("heptad");
        let is_root = fs::metadata("/proc/self")
            .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
        if !is_root {
            return Self(vec![env!("CARGO_BIN_EXE_heptad").into()]);
        }
        // The binary must be reachable for that user, wherever it was built. Written by a process of its own: a program that another
        // test starts meanwhile would inherit our descriptor, and what is open for writing cannot be executed.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_heptad"))
            .arg(&heptad)
            .status();
        assert!(copied.is_ok_and(|status| status.success()));
        for path in ["", "runtime"] {
            std::os::unix::fs::chown(sandbox.path(path), Some(65_534), Some(65_534))
                .expect("chown");
        }
        let words = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
            "--inh-caps=-all",
            "--",
        ];
        let mut words: Vec<String> = words.map(String::from).to_vec();
        words.push(heptad.to_str().expect("utf-8").into());
        Self(words)
    }

    /// `heptad WORDS…`, with whatever comes before it.
    pub fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let before = self.0.iter().map(String::as_str);
        before.chain(words.iter().copied()).collect()
    }

    /// `heptad WORDS…` in this sandbox.
    pub fn heptad(&self, sandbox: &Sandbox, words: &[&str]) -> Command {
        let words = self.words(words);
        let (program, rest) = words.split_first().expect("at least heptad");
        sandbox.program(program, rest)
    }
}
