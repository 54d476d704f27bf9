//! What a C program sees of its sockets, line by line, against what it saw on Linux itself.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

/// Lines that differ from the kernel's where the other end is a host over the kernel, each for a reason.
const OVER_THE_KERNEL: &[(&str, &str)] = &[
    (
        "17",
        "over the kernel a host hears of the first connection that waits, not of each",
    ),
    (
        "70",
        "over the kernel a host does not hear of a refused datagram",
    ),
];

/// Lines that differ where the guard has no room: no private network is to be had on the machine.
const DIFFERENT_IN_A_PAIR: &[(&str, &str)] = &[
    (
        "03",
        "recv on a listener finds nothing, where Linux says that it is not connected",
    ),
    (
        "64",
        "send on a datagram socket without a peer is lost, not refused",
    ),
    (
        "70",
        "send and recv without an address do not hear of a refused datagram",
    ),
];

/// Whether the guard makes datagram sockets in a private network.
pub fn has_room() -> bool {
    let checks = heptad_runner::probe();
    let room = checks.iter().find(|check| check.name == "private network");
    room.unwrap().ok
}

/// Lines that say something about the machine where the kernel's were made.
const OF_THE_MACHINE: &[&str] = &["34", "76"];

/// Lines of `families.c` that differ from the kernel's, by how they begin, and why.
const DIFFERENT_FAMILIES: &[(&str, &str)] = &[(
    "connect datagram 4 at () to 6",
    "the guard refuses the address before the lab hears of it, so no port is drawn",
)];

/// A program, built; it goes with its folder.
pub struct Program {
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

/// Builds a program of `tests/foreign`; `None` where there is no compiler and none is required.
pub fn build(name: &str) -> Option<Program> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let source = format!("{}/tests/foreign/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let built = Command::new("gcc")
        .args(["-O2", "-w", "-pthread", "-o"])
        .arg(&path)
        .arg(source)
        .status();
    match built {
        Ok(status) => assert!(status.success()),
        Err(error) if std::env::var_os("HEPTAD_REQUIRE_PROGRAMS").is_none() => {
            eprintln!("skipped: gcc: {error}");
            return None;
        }
        Err(error) => panic!("gcc: {error}"),
    }
    Some(Program {
        path,
        _folder: folder,
    })
}

/// Runs it and holds its lines against the kernel's. It measures pauses of milliseconds, so a machine that is busy with
/// something else gets two more tries. `but` are lines that are as the kernel's here.
pub fn compare(but: &[&str], run: impl Fn() -> String) {
    let mut wrong = Vec::new();
    for _ in 0..3 {
        wrong = differences(&run(), but);
        if wrong.is_empty() {
            return;
        }
    }
    panic!("{}", wrong.join("\n"));
}

/// Holds what `families.c` printed against what the kernel says.
pub fn compare_families(out: &str) {
    let expected = include_str!("../foreign/families.kernel");
    assert_eq!(out.lines().count(), expected.lines().count(), "{out}");
    let mut wrong = Vec::new();
    for (kernel, ours) in expected.lines().zip(out.lines()) {
        let mut different = DIFFERENT_FAMILIES.iter();
        let allowed = different.any(|(begin, _)| kernel.starts_with(begin));
        if (kernel != ours) != allowed {
            wrong.push(format!("kernel {kernel}\nours   {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn differences(out: &str, but: &[&str]) -> Vec<String> {
    let label = |line: &str| line.split(' ').next().unwrap_or("").to_owned();
    let ours: HashMap<String, &str> = out.lines().map(|line| (label(line), line)).collect();
    let expected = include_str!("../foreign/socket-semantics.kernel");
    let in_pairs: &[_] = if has_room() { &[] } else { DIFFERENT_IN_A_PAIR };
    let mut wrong = Vec::new();
    for line in expected.lines() {
        let label = label(line);
        let got = ours.get(&label).copied().unwrap_or("(missing)");
        let differs = got != line && !OF_THE_MACHINE.contains(&label.as_str());
        let among = |rows: &[(&str, &str)]| rows.iter().any(|(row, _)| *row == label);
        let allowed = among(OVER_THE_KERNEL) && !but.contains(&&*label) || among(in_pairs);
        if differs != allowed {
            wrong.push(format!("kernel {line}\nours   {got}"));
        }
    }
    wrong
}
