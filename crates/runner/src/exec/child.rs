//! The program as a child of the process that watches over it.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use rustix::process::{WaitOptions, wait};

use super::front::Report;
use super::program::{WORD, Word};
use crate::channel;

/// The program, by its number; it is not waited for elsewhere.
pub(crate) struct Child {
    pid: i32,
}

impl Child {
    /// A process that was just forked.
    pub(crate) fn new(pid: i32) -> Self {
        Self { pid }
    }

    /// What the front heard and the program shall hear.
    pub(crate) fn pass_signal_on(&self, report: &OwnedFd) {
        let mut bytes = [0; 4];
        if rustix::io::read(report, &mut bytes) != Ok(4) {
            return;
        }
        let signal = i32::from_ne_bytes(bytes);
        // The program is our child and not yet waited for, so the number is still its own.
        // SAFETY: plain integers.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Reaps; the program's end is returned, its stops are reported.
    pub(crate) fn look(&self, signals: &OwnedFd, report: &OwnedFd) -> Option<Report> {
        let mut drain = [0; 1024];
        let _ = rustix::io::read(signals, &mut drain);
        // Any child: the program may have left our process group.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            if pid.as_raw_nonzero().get() != self.pid {
                continue;
            }
            if let Some(code) = status.exit_status() {
                return Some(Report::Exited(code));
            }
            if let Some(signal) = status.terminating_signal() {
                return Some(Report::Killed(signal));
            }
            if let Some(signal) = status.stopping_signal() {
                let _ = channel::send(
                    report.as_fd(),
                    &Report::Stopped(signal).encode(),
                    &[],
                    false,
                );
            }
        }
        None
    }
}

/// A system call of ours failed.
pub(crate) fn failed(error: &io::Error) -> Report {
    Report::Failed(error.raw_os_error().unwrap_or(libc::EIO))
}

/// What the new process says before it becomes the program; `None` once it has.
pub(crate) fn read_word(from: &OwnedFd) -> Option<Word> {
    let mut bytes = [0; WORD];
    loop {
        match rustix::io::read(from, &mut bytes) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(WORD) => return Word::decode(bytes),
            _ => return None,
        }
    }
}

/// Readable when a child of this process stopped or ended.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised before it is read; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}
