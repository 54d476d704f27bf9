//! The job's side: three processes.
//!
//! ```text
//!   front      what the user started: passes signals on, stops and ends as the program does
//!     guard    answers the program's calls; the survivor of front and guard kills everything below
//!       program
//! ```

pub mod answers;
pub mod calls;
pub(crate) mod child;
pub mod descendants;
mod epolls;
pub mod files;
pub mod front;
pub mod guard;
pub mod identity;
pub mod interfaces;
pub mod netlink;
pub mod options;
pub mod pair;
pub mod program;
pub mod room;
pub mod stand_in;

use std::io;
use std::os::fd::OwnedFd;

use crate::{Exit, Job, RunError};

/// Runs a program on the node whose channel this is, and waits for its end. The calling process becomes the front:
/// call it before any thread is started, and expect signals to be blocked and orphans adopted until it returns.
///
/// When the program has ended, whatever it left running is killed.
///
/// # Errors
/// [`RunError`]; a program that is not found or not executable is told on stderr and is an [`Exit`], 127 or 126.
pub fn run(job: Job, channel: OwnedFd) -> Result<Exit, RunError> {
    under_front(job, |plan, us, to_front, mask| {
        guard::main(plan, channel, us, to_front, mask);
    })
}

/// Forks the process that watches over the program, which is given the front's pidfd, the way to it and the mask of signals that
/// the program shall have; then becomes the front.
pub(crate) fn under_front<W>(job: Job, watch: W) -> Result<Exit, RunError>
where
    W: FnOnce(&program::Plan, OwnedFd, OwnedFd, &libc::sigset_t),
{
    let plan = program::Plan::new(job)?;
    descendants::adopt_orphans().map_err(|error| RunError::System("subreaper", error))?;
    let signals = Blocked::new().map_err(|error| RunError::System("sigprocmask", error))?;
    let (report, to_front) =
        crate::channel().map_err(|error| RunError::System("socketpair", error))?;
    let us = rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    )
    .map_err(|error| RunError::System("pidfd_open", error.into()))?;
    // SAFETY: no other thread runs, so the child may go on as any process may.
    match unsafe { libc::fork() } {
        -1 => Err(RunError::System("fork", io::Error::last_os_error())),
        0 => {
            drop(report);
            watch(&plan, us, to_front, &signals.before);
            // SAFETY: ends this process without the clean-up that belongs to the front.
            unsafe { libc::_exit(0) }
        }
        guard => {
            drop((watch, us, to_front));
            front::wait(&plan.name, report, guard)
        }
    }
}

/// All signals held back; as before once dropped.
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    fn new() -> io::Result<Self> {
        // SAFETY: both sets are written by the kernel or sigfillset before they are read.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const all, &raw mut before) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { before })
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: a set that the kernel filled in.
        unsafe {
            libc::sigprocmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            )
        };
    }
}
