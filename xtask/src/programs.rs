//! The outside programs that tests start: looks for them and, where it may, installs them.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program that some tests start.
#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    /// The Debian and Ubuntu package.
    package: &'static str,
    /// Arguments that make it say what it is.
    probe: &'static [&'static str],
    /// A word of its answer.
    says: &'static str,
    /// What is skipped without it.
    tests: &'static str,
}

/// All of them.
pub const PROGRAMS: [Program; 17] = [
    Program {
        name: "python3",
        package: "python3",
        probe: &[
            "-c",
            "import socket, threading; print('sockets and threads')",
        ],
        says: "sockets and threads",
        tests: "the labs and the runner with Python programs",
    },
    Program {
        name: "curl",
        package: "curl",
        probe: &["--version"],
        says: "curl",
        tests: "the runner with curl",
    },
    Program {
        name: "nc",
        package: "netcat-openbsd",
        probe: &["-h"],
        says: "OpenBSD",
        tests: "the runner with nc",
    },
    Program {
        name: "tshark",
        package: "tshark",
        probe: &["--version"],
        says: "TShark",
        tests: "captures read by Wireshark's dissectors",
    },
    Program {
        name: "gcc",
        package: "gcc libc6-dev",
        probe: &["--version"],
        says: "Free Software Foundation",
        tests: "the runner with small C programs, static and dynamic",
    },
    Program {
        name: "wget",
        package: "wget",
        probe: &["--version"],
        says: "Wget",
        tests: "the runner with wget",
    },
    Program {
        name: "dig",
        package: "bind9-dnsutils",
        probe: &["-v"],
        says: "DiG",
        tests: "the runner with dig",
    },
    Program {
        name: "go",
        package: "golang-go",
        probe: &["version"],
        says: "go version",
        tests: "the runner with a static Go program",
    },
    Program {
        name: "node",
        package: "nodejs",
        probe: &["--version"],
        says: "v",
        tests: "the runner with a server of Node",
    },
    Program {
        name: "ip",
        package: "iproute2",
        probe: &["-V"],
        says: "iproute2",
        tests: "Linux as a neighbour, over TAP",
    },
    Program {
        name: "netstat",
        package: "net-tools",
        probe: &["-V"],
        says: "net-tools",
        tests: "the files of a node below /proc/net",
    },
    Program {
        name: "radvd",
        package: "radvd",
        probe: &["--version"],
        says: "Version",
        tests: "hosts that take their addresses from Linux over TAP",
    },
    Program {
        name: "ping",
        package: "iputils-ping",
        probe: &["-V"],
        says: "iputils",
        tests: "ping from Linux over TAP, and on a node",
    },
    Program {
        name: "traceroute",
        package: "traceroute",
        probe: &["--version"],
        says: "Modern traceroute",
        tests: "traces of Linux through routers of ours",
    },
    Program {
        name: "tracepath",
        package: "iputils-tracepath",
        probe: &["-V"],
        says: "iputils",
        tests: "traces of Linux through routers of ours",
    },
    Program {
        name: "iperf3",
        package: "iperf3",
        probe: &["--version"],
        says: "iperf",
        tests: "iperf3 with Linux over TAP",
    },
    Program {
        name: "tcpdump",
        package: "tcpdump",
        probe: &["--version"],
        says: "libpcap",
        tests: "captures on the kernel's side, and read by tcpdump",
    },
];

/// What others wrote, for `cargo xtask suites`, and what shuts them in.
pub const SUITES: [Program; 10] = [
    Program {
        name: "/usr/bin/python3",
        package: "python3 libpython3.11-testsuite",
        probe: &[
            "-c",
            "import sys, test.test_socket; print(sys.version_info[:2])",
        ],
        says: "(3, 11)",
        tests: "CPython's own tests",
    },
    Program {
        name: "/usr/lib/go-1.19/bin/go",
        package: "golang-1.19-go",
        probe: &["version"],
        says: "go1.19",
        tests: "Go's own tests",
    },
    Program {
        name: "dpkg-source",
        package: "dpkg-dev",
        probe: &["--version"],
        says: "dpkg-source",
        tests: "suites from Debian's sources",
    },
    Program {
        name: "/usr/bin/tclsh8.6",
        package: "tcl8.6",
        // It reads its commands from where there are none.
        probe: &[],
        says: "",
        tests: "the tests of redis",
    },
    Program {
        name: "/usr/bin/prove",
        package: "perl",
        probe: &["--version"],
        says: "TAP::Harness",
        tests: "the tests of memcached",
    },
    Program {
        name: "make",
        package: "make",
        probe: &["--version"],
        says: "GNU Make",
        tests: "the tests of memcached",
    },
    Program {
        name: "gcc",
        package: "gcc libc6-dev",
        probe: &["--version"],
        says: "Free Software Foundation",
        tests: "the tests of memcached and libuv",
    },
    Program {
        name: "cmake",
        package: "cmake",
        probe: &["--version"],
        says: "cmake version",
        tests: "the tests of libuv",
    },
    Program {
        name: "unshare",
        package: "util-linux",
        probe: &["--version"],
        says: "util-linux",
        tests: "every suite",
    },
    Program {
        name: "setpriv",
        package: "util-linux",
        probe: &["--version"],
        says: "util-linux",
        tests: "every suite",
    },
];

/// Those whose speed is measured; none of these packages starts a service.
pub const PERFORMANCE: [Program; 9] = [
    Program {
        name: "gcc",
        package: "gcc libc6-dev",
        probe: &["--version"],
        says: "Free Software Foundation",
        tests: "the figures of programs",
    },
    Program {
        name: "go",
        package: "golang-go",
        probe: &["version"],
        says: "go version",
        tests: "the figures of programs",
    },
    Program {
        name: "iperf3",
        package: "iperf3",
        probe: &["--version"],
        says: "iperf 3",
        tests: "the figures of programs",
    },
    Program {
        name: "redis-benchmark",
        package: "redis-tools",
        probe: &["--version"],
        says: "redis-benchmark",
        tests: "the figures of programs",
    },
    Program {
        name: "wrk",
        package: "wrk",
        probe: &["--version"],
        says: "wrk",
        tests: "the figures of programs",
    },
    Program {
        name: "dnsperf",
        package: "dnsperf",
        probe: &["-h"],
        says: "dnsperf",
        tests: "the figures of programs",
    },
    Program {
        name: "/usr/sbin/dnsmasq",
        package: "dnsmasq-base",
        probe: &["--version"],
        says: "Dnsmasq",
        tests: "the figures of programs",
    },
    Program {
        name: "unshare",
        package: "util-linux",
        probe: &["--version"],
        says: "util-linux",
        tests: "the figures of programs",
    },
    Program {
        name: "setpriv",
        package: "util-linux",
        probe: &["--version"],
        says: "util-linux",
        tests: "the figures of programs",
    },
];

/// Those that do their jobs over a lossy cable; none of these packages starts a service.
pub const LOSSY: [Program; 23] = [
    Program {
        name: "go",
        package: "golang-go",
        probe: &["version"],
        says: "go version",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "iperf3",
        package: "iperf3",
        probe: &["--version"],
        says: "iperf 3",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/python3",
        package: "python3",
        probe: &["--version"],
        says: "Python",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/curl",
        package: "curl",
        probe: &["--version"],
        says: "curl",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/wget",
        package: "wget",
        probe: &["--version"],
        says: "Wget",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/wrk",
        package: "wrk",
        probe: &["--version"],
        says: "wrk",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/node",
        package: "nodejs",
        probe: &["--version"],
        says: "v",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/dig",
        package: "bind9-dnsutils",
        probe: &["-v"],
        says: "DiG",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/dnsperf",
        package: "dnsperf",
        probe: &["-h"],
        says: "dnsperf",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/sbin/dnsmasq",
        package: "dnsmasq-base",
        probe: &["--version"],
        says: "Dnsmasq",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/redis-benchmark",
        package: "redis-tools",
        probe: &["--version"],
        says: "redis-benchmark",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/openssl",
        package: "openssl",
        probe: &["version"],
        says: "OpenSSL",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/nc",
        package: "netcat-openbsd",
        probe: &["-h"],
        says: "OpenBSD",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/git",
        package: "git",
        probe: &["--version"],
        says: "git version",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/rsync",
        package: "rsync",
        probe: &["--version"],
        says: "rsync",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/memcslap",
        package: "libmemcached-tools",
        probe: &["--version"],
        says: "libmemcached",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/ssh",
        package: "openssh-client",
        probe: &["-V"],
        says: "OpenSSH",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/java",
        package: "openjdk-17-jdk-headless",
        probe: &["-version"],
        says: "OpenJDK",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/chromium-headless-shell",
        package: "chromium-headless-shell",
        probe: &["--version"],
        says: "Chromium",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/aria2c",
        package: "aria2",
        probe: &["--version"],
        says: "aria2 version",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "/usr/bin/mktorrent",
        package: "mktorrent",
        probe: &["-h"],
        says: "mktorrent",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "unshare",
        package: "util-linux",
        probe: &["--version"],
        says: "util-linux",
        tests: "its job over a lossy cable",
    },
    Program {
        name: "setpriv",
        package: "util-linux",
        probe: &["--version"],
        says: "util-linux",
        tests: "its job over a lossy cable",
    },
];

impl Program {
    /// Whether it starts and says what it should.
    fn works(&self) -> bool {
        let output = Command::new(self.name)
            .args(self.probe)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output();
        output.is_ok_and(|output| {
            [&output.stdout, &output.stderr]
                .iter()
                .any(|text| String::from_utf8_lossy(text).contains(self.says))
        })
    }
}

/// Makes sure of the programs that tests start.
pub fn make_sure() -> Vec<&'static Program> {
    make_sure_of(&PROGRAMS)
}

/// Installs what is missing if it may, says on stderr what it does, and returns what is missing still.
pub fn make_sure_of(programs: &'static [Program]) -> Vec<&'static Program> {
    let missing = missing(programs);
    if missing.is_empty() {
        return missing;
    }
    let names = join(&missing, |program| program.name);
    match installer() {
        Ok(()) => {
            eprintln!("programs: {names} missing; installing with apt-get");
            if let Err(why) = install(&missing) {
                eprintln!("programs: {why}");
            }
        }
        Err(why) => eprintln!("programs: {names} missing, and {why}"),
    }
    let missing = self::missing(programs);
    eprint!("{}", advice(&missing));
    missing
}

fn missing(programs: &'static [Program]) -> Vec<&'static Program> {
    programs.iter().filter(|program| !program.works()).collect()
}

/// Whether packages can be installed here; if not, why.
fn installer() -> Result<(), &'static str> {
    if effective_uid() != Some(0) {
        Err("only root may install packages")
    } else if !on_path("apt-get") {
        Err("there is no apt-get here")
    } else {
        Ok(())
    }
}

/// The second number of `Uid:` in `/proc/self/status`; none where there is no such file.
pub fn effective_uid() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn install(missing: &[&Program]) -> Result<(), String> {
    if let Err(why) = apt_get(&["update"]) {
        eprintln!("programs: {why}; trying with the lists that are here");
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(
        missing
            .iter()
            .flat_map(|program| program.package.split(' ')),
    );
    apt_get(&arguments)
}

/// Runs apt-get without questions; what it says goes to stderr.
pub fn apt_get(arguments: &[&str]) -> Result<(), String> {
    apt_get_in(Path::new("."), arguments)
}

/// The same in a folder, where it puts sources.
pub fn apt_get_in(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let line = format!("apt-get {}", arguments.join(" "));
    eprintln!("programs: {line}");
    let patience = [
        "-o",
        "DPkg::Lock::Timeout=120",
        "-o",
        "Acquire::Retries=2",
        "-o",
        "Acquire::http::Timeout=30",
    ];
    let mut child = Command::new("apt-get");
    child.args(["-q"]).args(patience).args(arguments);
    child
        .env("DEBIAN_FRONTEND", "noninteractive")
        .current_dir(folder)
        .stdin(Stdio::null());
    if let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() {
        child.stdout(stderr);
    }
    match child.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{line}: {status}")),
        Err(error) => Err(format!("{line}: {error}")),
    }
}

/// What to install by hand and what is skipped until then; empty if nothing is missing.
fn advice(missing: &[&Program]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let packages = join(missing, |program| program.package);
    let mut text = format!(
        "programs: to run every test, install them:\n    sudo apt-get install {packages}\n"
    );
    for program in missing {
        text += &format!(
            "programs: without {:8} skipped: {}\n",
            program.name, program.tests
        );
    }
    text
}

fn join(programs: &[&Program], part: impl Fn(&Program) -> &'static str) -> String {
    let parts: Vec<&str> = programs.iter().map(|program| part(program)).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_or_is_another_does_not_work() {
        let shell = Program {
            name: "sh",
            package: "dash",
            probe: &["-c", "echo I am a shell >&2; exit 3"],
            says: "a shell",
            tests: "",
        };
        assert!(shell.works());
        assert!(
            !Program {
                says: "a fish",
                ..shell
            }
            .works()
        );
        assert!(
            !Program {
                name: "no-such-program-here",
                ..shell
            }
            .works()
        );
    }

    #[test]
    fn the_advice_names_packages_and_what_is_skipped() {
        let missing = [&PROGRAMS[2], &PROGRAMS[4]];
        let text = advice(&missing);
        assert!(
            text.contains("install netcat-openbsd gcc libc6-dev\n"),
            "{text}"
        );
        assert!(
            text.contains("without nc       skipped: the runner with nc\n"),
            "{text}"
        );
        assert_eq!(advice(&[]), "");
    }
}
