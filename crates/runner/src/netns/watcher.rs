//! The process between the front and a program in a namespace: it starts the program, and tells of its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::enter::enter;
use super::files::Entry;
use crate::exec::child::{Child, child_signals, failed, read_word};
use crate::exec::front::Report;
use crate::exec::program::{Plan, Word};
use crate::exec::{descendants, under_front};
use crate::{Exit, Job, RunError, channel};

/// As [`crate::run`], in the namespace that was handed over by this channel.
///
/// # Errors
/// As [`crate::run`].
pub fn run(job: Job, channel: OwnedFd) -> Result<Exit, RunError> {
    under_front(job, |plan, front, report, mask| {
        let last = started(plan, &channel, mask)
            .and_then(|child| serve(&child, &channel, &front, &report))
            .unwrap_or_else(|last| last);
        let _ = channel::send(report.as_fd(), &last.encode(), &[], true);
        descendants::kill_all();
    })
}

/// Forks the program and waits until it is one.
fn started(plan: &Plan, channel: &OwnedFd, mask: &libc::sigset_t) -> Result<Child, Report> {
    descendants::adopt_orphans().map_err(|error| failed(&error))?;
    let message = channel::receive(channel).map_err(|error| failed(&error))?;
    let entry = message.and_then(Entry::of).ok_or(Report::LabGone)?;
    let (ours, theirs) = channel::channel().map_err(|error| failed(&error))?;
    // SAFETY: this process has one thread; the child may go on as any process may.
    let program = match unsafe { libc::fork() } {
        -1 => return Err(failed(&io::Error::last_os_error())),
        0 => {
            drop(ours);
            let (step, errno) = plan.become_it_in(|| enter(&entry), mask);
            let _ = rustix::io::write(&theirs, &Word::Failed(step, errno).encode());
            // SAFETY: ends this process without the clean-up that belongs to the front.
            unsafe { libc::_exit(127) }
        }
        pid => pid,
    };
    drop(theirs);
    match read_word(&ours) {
        Some(Word::Failed(step, errno)) => Err(Report::NotStarted(step, errno)),
        _ => Ok(Child::new(program)),
    }
}

/// Until the program ends, the lab goes, or the front dies.
fn serve(
    child: &Child,
    channel: &OwnedFd,
    front: &OwnedFd,
    report: &OwnedFd,
) -> Result<Report, Report> {
    let children = child_signals().map_err(|error| failed(&error))?;
    loop {
        let mut fds = [channel, front, report, &children].map(|fd| PollFd::new(fd, PollFlags::IN));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Report::Failed(error.raw_os_error())),
        }
        let [lab_gone, front_died, signal, ended] = fds.map(|fd| !fd.revents().is_empty());
        if lab_gone || front_died {
            return Ok(Report::LabGone);
        }
        if signal {
            child.pass_signal_on(report);
        }
        if ended && let Some(end) = child.look(&children, report) {
            return Ok(end);
        }
    }
}
