//! The front: the process that the user's shell knows. It stops when the program stops and ends as it ends.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::descendants;
use super::program::Step;
use crate::{Exit, RunError};

/// What the guard tells the front: a tag and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The program stopped, by this signal.
    Stopped(i32),
    /// It ended by itself.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It did not start.
    NotStarted(Step, i32),
    /// The channel to the lab closed.
    LabGone,
    /// A system call of the guard failed.
    Failed(i32),
}

/// Bytes of a [`Report`].
pub const REPORT: usize = 6;

impl Report {
    /// Its bytes.
    pub fn encode(self) -> [u8; REPORT] {
        let (tag, detail, number) = match self {
            Self::Stopped(signal) => (0, 0, signal),
            Self::Exited(code) => (1, 0, code),
            Self::Killed(signal) => (2, 0, signal),
            Self::NotStarted(step, errno) => (3, step as u8, errno),
            Self::LabGone => (4, 0, 0),
            Self::Failed(errno) => (5, 0, errno),
        };
        let [a, b, c, d] = number.to_ne_bytes();
        [tag, detail, a, b, c, d]
    }

    /// From bytes; `None` if they are not a report.
    pub fn decode([tag, detail, a, b, c, d]: [u8; REPORT]) -> Option<Self> {
        let number = i32::from_ne_bytes([a, b, c, d]);
        Some(match (tag, detail) {
            (0, _) => Self::Stopped(number),
            (1, _) => Self::Exited(number),
            (2, _) => Self::Killed(number),
            (3, 0) => Self::NotStarted(Step::Surroundings, number),
            (3, 1) => Self::NotStarted(Step::Filter, number),
            (3, 2) => Self::NotStarted(Step::Execute, number),
            (3, 3) => Self::NotStarted(Step::Namespace, number),
            (4, _) => Self::LabGone,
            (5, _) => Self::Failed(number),
            _ => return None,
        })
    }
}

/// Signals that a terminal sends to everyone in the foreground: the program has had its own.
const FROM_TERMINAL: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGWINCH];
/// Never passed on: they speak of the front's own children, or cannot be.
const NOT_PASSED: [i32; 3] = [libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];

/// Waits for the end of the program under `guard`, passing signals on meanwhile. All signals are blocked.
///
/// # Errors
/// As [`crate::run`].
pub fn wait(name: &OsStr, report: OwnedFd, guard: i32) -> Result<Exit, RunError> {
    let signals = signal_fd().map_err(|error| RunError::System("signalfd", error))?;
    let mut last = None;
    loop {
        let mut fds = [
            PollFd::new(&report, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(RunError::System("poll", error.into())),
        }
        let [from_guard, from_outside] = fds.map(|fd| !fd.revents().is_empty());
        if from_outside {
            pass_signals_on(&signals, &report);
        }
        if from_guard {
            let mut bytes = [0; REPORT];
            match rustix::io::read(&report, &mut bytes) {
                Ok(REPORT) => match Report::decode(bytes) {
                    Some(Report::Stopped(_)) => stop(),
                    Some(word) => last = Some(word),
                    None => {}
                },
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                // The guard has ended, and if it came to that, nothing is left below it.
                _ => break,
            }
        }
    }
    let Some(last) = last else {
        descendants::kill_all();
        return Err(RunError::GuardGone);
    };
    reap(guard);
    outcome(name, last)
}

fn outcome(name: &OsStr, last: Report) -> Result<Exit, RunError> {
    let error = io::Error::from_raw_os_error;
    match last {
        Report::Exited(code) => Ok(Exit::Code(code as u8)),
        Report::Killed(signal) => Ok(Exit::Signal(signal)),
        Report::NotStarted(Step::Execute, errno) => Ok(not_executed(name, errno)),
        Report::NotStarted(Step::Surroundings, errno) => Err(RunError::Surroundings(error(errno))),
        Report::NotStarted(Step::Filter, errno) => Err(RunError::Filter(error(errno))),
        Report::NotStarted(Step::Namespace, errno) => Err(RunError::Namespace(error(errno))),
        Report::Failed(errno) => Err(RunError::System("guard", error(errno))),
        Report::LabGone | Report::Stopped(_) => Err(RunError::LabGone),
    }
}

/// As env(1): 127 when there is no such program, 126 when there is and it cannot be executed.
fn not_executed(name: &OsStr, errno: i32) -> Exit {
    let name = name.display();
    if errno == libc::ENOENT {
        eprintln!("heptad: {name}: command not found");
        return Exit::Code(127);
    }
    let error = io::Error::from_raw_os_error(errno);
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text);
    eprintln!("heptad: {name}: {reason}");
    Exit::Code(126)
}

fn signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: the set is filled before it is read; the descriptor is new and ours.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        let fd = libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

fn pass_signals_on(signals: &OwnedFd, guard: &OwnedFd) {
    loop {
        // SAFETY: all-zero bytes are a valid `signalfd_siginfo`.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes into `info`.
        let read = unsafe { libc::read(signals.as_raw_fd(), (&raw mut info).cast(), size) };
        if usize::try_from(read) != Ok(size) {
            return;
        }
        let signal = info.ssi_signo.cast_signed();
        let by_terminal = info.ssi_code == libc::SI_KERNEL && FROM_TERMINAL.contains(&signal);
        if !by_terminal && !NOT_PASSED.contains(&signal) {
            let _ = crate::channel::send(guard.as_fd(), &signal.to_ne_bytes(), &[], false);
        }
    }
}

/// Stops as the program did, so that the shell has its terminal back; goes on when it is continued.
fn stop() {
    // SAFETY: a signal to ourselves.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

fn reap(guard: i32) {
    let pid = rustix::process::Pid::from_raw(guard);
    while let Err(rustix::io::Errno::INTR) =
        rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())
    {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_way_to_the_front() {
        for report in [
            Report::Stopped(libc::SIGTSTP),
            Report::Exited(3),
            Report::Killed(9),
            Report::NotStarted(Step::Execute, libc::ENOENT),
            Report::LabGone,
            Report::Failed(libc::ENOMEM),
        ] {
            assert_eq!(Report::decode(report.encode()), Some(report));
        }
    }

    #[test]
    fn an_end_becomes_the_code_that_a_shell_shows() {
        let code = |report| outcome(OsStr::new("x"), report).unwrap().code();
        assert_eq!(code(Report::Exited(3)), 3);
        assert_eq!(code(Report::Killed(libc::SIGTERM)), 143);
        assert_eq!(code(Report::NotStarted(Step::Execute, libc::ENOENT)), 127);
        assert_eq!(code(Report::NotStarted(Step::Execute, libc::EACCES)), 126);
        assert!(outcome(OsStr::new("x"), Report::LabGone).is_err());
    }
}
