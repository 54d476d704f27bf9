//! Everything below this process: found by walking `/proc`, killed until nothing is left.

use std::collections::HashMap;
use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, wait};

/// Makes orphans among our descendants our children, so that none can leave the tree.
///
/// # Errors
/// The kernel's.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes plain integers.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The processes below `root`, in no order.
pub fn below(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        if let Some(young) = children.remove(&pid) {
            found.extend_from_slice(&young);
            open.extend(young);
        }
    }
    found
}

/// The parent of a process that still lives: field 4 of `/proc/PID/stat` (proc(5)); the name before it may hold anything.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let _state = fields.next()?;
    fields.next()?.parse().ok()
}

/// Kills everything below this process and waits until it is gone. `keep` is left alone (and must not be waited for).
pub fn kill_all() {
    let us = std::process::id().cast_signed();
    loop {
        for pid in below(us) {
            kill(pid, us);
        }
        // Orphans are handed to us as their parents die: go on until there is no child left.
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// A pidfd pins the process; asking for its place again afterwards makes sure that it is the one that was found.
fn kill(pid: i32, root: i32) {
    let Some(target) = Pid::from_raw(pid) else {
        return;
    };
    let Ok(fd) = pidfd_open(target, PidfdFlags::empty()) else {
        return;
    };
    let mut at = pid;
    while let Some(parent) = parent_of(at) {
        if parent == root {
            let _ = pidfd_send_signal(&fd, Signal::KILL);
            return;
        }
        if parent <= 1 {
            return;
        }
        at = parent;
    }
}
