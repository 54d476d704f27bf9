//! Linux at the other end of a TAP or TUN: a kernel in a network namespace of its own.
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Ran, Sandbox, has_program, wait_for};

/// A kernel's side of the cable: a network namespace, and a sandbox whose programs run in it.
pub struct Linux {
    pub sandbox: Sandbox,
    pub netns: String,
    /// Labs so far. Each has its number for a seed: Linux remembers the connections of the one before for a minute.
    labs: Cell<u32>,
}

impl Linux {
    /// A namespace with nothing but its loopback; `None` where none can be made.
    pub fn new() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let is_root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
        let has_driver = fs::metadata("/dev/net/tun").is_ok();
        if !is_root || !has_driver {
            eprintln!("skipped: needs root and /dev/net/tun");
            return None;
        }
        if !["ip", "ping", "python3", "curl"]
            .iter()
            .all(|name| has_program(name))
        {
            return None;
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let netns = format!("heptad-neighbours-{}-{number}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &netns])
            .output()
            .expect("ip starts");
        if !made.status.success() {
            eprintln!("skipped: no network namespace: {made:?}");
            return None;
        }
        let sandbox = Sandbox::new();
        let labs = Cell::new(0);
        let linux = Self {
            sandbox,
            netns,
            labs,
        };
        linux.ip("link set dev lo up");
        Some(linux)
    }

    /// A program of the kernel's side.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut all = vec!["netns", "exec", &self.netns];
        all.extend(words);
        self.sandbox.program("ip", &all)
    }
    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::from(self.command(words).output().expect("ip starts"))
    }
    pub fn spawn(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).spawn().expect("ip starts")
    }
    #[track_caller]
    pub fn ip(&self, words: &str) -> Ran {
        let mut all = vec!["ip"];
        all.extend(words.split(' '));
        self.run(&all).expect_code(0)
    }
    /// `heptad WORDS…`, with the interfaces of the kernel's side.
    pub fn heptad(&self, words: &[&str]) -> Ran {
        let mut all = vec![env!("CARGO_BIN_EXE_heptad")];
        all.extend(words);
        self.run(&all)
    }
    /// The lab of this text is up; the kernel has 10.9.0.1/24 on the interface.
    #[track_caller]
    pub fn up(&self, lab: &str, interface: &str, more: &[&str]) {
        self.sandbox.write("lab.toml", lab);
        self.labs.set(self.labs.get() + 1);
        let seed = self.labs.get().to_string();
        let mut words = vec!["lab", "up", "lab.toml", "--seed", &seed];
        words.extend(more);
        self.heptad(&words).expect_code(0);
        self.ip(&format!("address add 10.9.0.1/24 dev {interface}"));
    }
    #[track_caller]
    pub fn down(&self) {
        self.heptad(&["lab", "down"]).expect_code(0);
        self.sandbox.expect_nothing_left();
    }
    /// The kernel's count of TCP segments, datagrams and ICMP messages with a bad checksum, over both families.
    pub fn bad_checksums(&self) -> u64 {
        let ipv4 = self.run(&["cat", "/proc/net/snmp"]).expect_code(0).stdout;
        // Those of TCP are counted there for IPv6 as well.
        let ipv6 = self.run(&["cat", "/proc/net/snmp6"]).expect_code(0).stdout;
        let lines = ipv6.lines().filter_map(|line| line.split_once([' ', '\t']));
        let counts = columns(&ipv4).chain(lines);
        let bad = counts.filter(|(name, _)| name.ends_with("InCsumErrors"));
        let bad: Vec<u64> = bad
            .map(|(_, value)| value.trim().parse().expect("a number"))
            .collect();
        assert!(bad.len() >= 5, "{ipv4}{ipv6}");
        bad.iter().sum()
    }
    /// One of the kernel's counters of `/proc/net/netstat`, without the name of its row.
    pub fn counter(&self, name: &str) -> u64 {
        let ran = self.run(&["cat", "/proc/net/netstat"]).expect_code(0);
        let found = columns(&ran.stdout).find(|(column, _)| *column == name);
        let (_, value) = found.unwrap_or_else(|| panic!("no {name} in {}", ran.stdout));
        value.trim().parse().expect("a number")
    }
    /// A web server of the kernel's side that offers the sandbox's files at port 8000, over both families.
    pub fn web_server(&self) -> Served {
        let child = self.spawn(&["python3", "-m", "http.server", "--bind", "::", "8000"]);
        wait_for("a web server on Linux", || self.listens(8000));
        Served(child)
    }
    pub fn listens(&self, port: u16) -> bool {
        let listening = self.run(&["ss", "-Hltn"]).stdout;
        listening.contains(&format!(":{port} "))
    }
}

/// Names with their values, of lines in pairs.
fn columns(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows: Vec<&str> = text.lines().collect();
    let pairs: Vec<_> = rows.chunks_exact(2).map(|p| (p[0], p[1])).collect();
    pairs
        .into_iter()
        .flat_map(|(names, values)| names.split(' ').zip(values.split(' ')))
}

impl Drop for Linux {
    fn drop(&mut self) {
        for pid in self.sandbox.alive() {
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.netns])
            .status();
    }
}

/// A server that is ended with the test.
pub struct Served(pub Child);
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
