//! What this machine lets the runner do: tried, not guessed, on child processes made for it.
mod limits;

pub(crate) use limits::forbidden_by;

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::exec::identity;
use crate::filter;
use crate::memory;
use crate::notify::{Listener, Notification};

/// How long a child may take for its calls.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thing that the runner needs or can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// It is there.
    pub ok: bool,
    /// The runner cannot work without it.
    pub needed: bool,
    /// What was found.
    pub detail: String,
    /// What it costs where it is missing.
    pub cost: &'static str,
}

/// What each thing costs where it is missing, and whether the runner cannot work without it.
struct Asked {
    name: &'static str,
    cost: &'static str,
    needed: bool,
}
impl Asked {
    /// Nothing runs without it.
    const fn needed(name: &'static str) -> Self {
        Self {
            name,
            cost: "unmodified programs can't be run",
            needed: true,
        }
    }
    const fn useful(name: &'static str, cost: &'static str) -> Self {
        Self {
            name,
            cost,
            needed: false,
        }
    }
    fn found(&self, found: io::Result<String>) -> Check {
        let (ok, detail) = match found {
            Ok(detail) => (true, detail),
            Err(error) => (false, error.to_string()),
        };
        Check {
            name: self.name,
            ok,
            needed: self.needed,
            detail,
            cost: self.cost,
        }
    }
}

const ARCHITECTURE: Asked = Asked::needed("architecture");
const NOTIFICATION: Asked = Asked::needed("seccomp user notification");
const PIDFD: Asked = Asked::needed("pidfd_open, pidfd_getfd");
const TRAPPED: Asked = Asked::needed("a trapped call");
const KILLABLE: Asked = Asked::useful(
    "WAIT_KILLABLE_RECV",
    "a signal can make a program repeat a call that was done",
);
const SYNC: Asked = Asked::useful(
    "SYNC_WAKE_UP",
    "each socket call of a program takes some microseconds longer",
);
const MEMORY: Asked = Asked::needed("process_vm_readv, writev");
const ADD_FD: Asked = Asked::needed("ADDFD_SEND");
const YAMA: Asked = Asked::needed("Yama ptrace scope");

/// Tries everything, in the order in which a run would need it. Takes some milliseconds; starts and ends a few processes.
pub fn probe() -> Vec<Check> {
    let arch = std::env::consts::ARCH.to_owned();
    let mut checks = vec![ARCHITECTURE.found(Ok(arch))];
    if let Some(trial) = Trial::start(&mut checks) {
        trial.run(&mut checks);
    }
    let reads = checks.iter().find(|check| check.name == MEMORY.name);
    checks.push(yama(reads.map(|check| check.ok)));
    checks.push(limits::user_namespaces());
    checks.push(limits::private_network());
    checks.push(limits::descriptors());
    checks
}

/// A child behind the filter that makes one socket call.
struct Trial {
    child: libc::pid_t,
    wait_killable: bool,
    wakes_in_step: io::Result<()>,
    listener: Listener,
    told: OwnedFd,
}

impl Trial {
    /// Says of what it needs whether it is there; without one of them there is no trial.
    fn start(checks: &mut Vec<Check>) -> Option<Self> {
        let (child, told) = match filtered_child() {
            Ok(started) => started,
            Err(error) => {
                checks.push(NOTIFICATION.found(Err(error)));
                return None;
            }
        };
        let trial = Self::meet(child, told, checks);
        if trial.is_none() {
            end(child);
        }
        trial
    }

    fn meet(child: libc::pid_t, told: OwnedFd, checks: &mut Vec<Check>) -> Option<Self> {
        let installed = installed(&told);
        let without_privileges = |_: &(i32, bool)| "installed without privileges".to_owned();
        let said = installed.as_ref().map(without_privileges);
        let said = said.map_err(|error| io::Error::new(error.kind(), error.to_string()));
        checks.push(NOTIFICATION.found(said));
        let (number, wait_killable) = installed.ok()?;
        let fetched = fetch(child, number);
        let said = fetched
            .as_ref()
            .map(|_| "a child's descriptors can be fetched".to_owned());
        let said = said.map_err(|error| io::Error::new(error.kind(), error.to_string()));
        checks.push(PIDFD.found(said));
        let fd = fetched.ok()?;
        Some(Self {
            child,
            wait_killable,
            wakes_in_step: limits::wake_in_step(&fd),
            listener: Listener::new(fd),
            told,
        })
    }

    fn run(self, checks: &mut Vec<Check>) {
        let killable = match self.wait_killable {
            true => Ok("signals do not disturb a call once received".to_owned()),
            false => Err(io::Error::other("not there; Linux has it since 5.19")),
        };
        checks.push(KILLABLE.found(killable));
        checks.push(SYNC.found(match &self.wakes_in_step {
            Ok(()) => Ok("caller and guard take turns on one processor".to_owned()),
            Err(_) => Err(io::Error::other("not there; Linux has it since 6.6")),
        }));
        match self.next_call() {
            Err(error) => checks.push(TRAPPED.found(Err(error))),
            Ok(call) => {
                checks.push(MEMORY.found(read_and_write(&call)));
                let added = self
                    .listener
                    .answer_with_fd(call.id, self.told.as_fd(), true);
                let added = added.map(|_| "a call can be answered with a descriptor".to_owned());
                checks.push(ADD_FD.found(added));
            }
        }
        end(self.child);
    }

    fn next_call(&self) -> io::Result<Notification> {
        wait_for(&self.listener)?;
        self.listener.receive()
    }
}

/// A child that installs the filter, tells how that went, and makes a call.
fn filtered_child() -> io::Result<(libc::pid_t, OwnedFd)> {
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: the child makes system calls on its stack and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ours);
            child(&theirs)
        }
        child => Ok((child, ours)),
    }
}

/// What the child tells: the listener's number there, and whether the kernel knows WAIT_KILLABLE_RECV.
fn installed(told: &OwnedFd) -> io::Result<(i32, bool)> {
    let mut word = [0_u8; 8];
    wait_for(told)?;
    let read = rustix::io::read(told, &mut word)?;
    let [a, b, c, d, killable, failed, ..] = word;
    let number = i32::from_ne_bytes([a, b, c, d]);
    if read != word.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match (failed, number) {
        (0, _) => Ok((number, killable != 0)),
        (_, libc::EBUSY) => Err(io::Error::other(
            "somebody listens already: inside heptad run, or a container that traps calls",
        )),
        (_, libc::EINVAL) => Err(io::Error::other(
            "not in this kernel; Linux has it since 5.0",
        )),
        _ => Err(io::Error::from_raw_os_error(number)),
    }
}

fn fetch(child: libc::pid_t, number: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(child).ok_or(io::ErrorKind::NotFound)?;
    pidfd_open(pid, PidfdFlags::empty())?;
    identity::duplicate_of_process(child, number).map_err(io::Error::from_raw_os_error)
}

/// What the child's call points to, and what is written there.
const MARKER: [u8; 8] = *b"heptad\n\0";
const WRITTEN: [u8; 8] = *b"doctor\n\0";

fn read_and_write(call: &Notification) -> io::Result<String> {
    let at = call.args[1];
    let read = || memory::read_array::<8>(call.thread, at).map_err(io::Error::from_raw_os_error);
    if read()? != MARKER {
        return Err(io::Error::other("read something else than was there"));
    }
    memory::write(call.thread, at, &WRITTEN).map_err(io::Error::from_raw_os_error)?;
    match read()? == WRITTEN {
        true => Ok("a child's memory can be read and written".into()),
        false => Err(io::Error::other("what was written is not there")),
    }
}

/// The child's part. Does not return.
fn child(told: &OwnedFd) -> ! {
    let word = match filter::install() {
        Ok(installed) => {
            let [a, b, c, d] = installed.listener.as_raw_fd().to_ne_bytes();
            let word = [a, b, c, d, u8::from(installed.wait_killable), 0, 0, 0];
            std::mem::forget(installed);
            word
        }
        Err(error) => {
            let [a, b, c, d] = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
            [a, b, c, d, 0, 1, 0, 0]
        }
    };
    let _ = rustix::io::write(told, &word);
    let mut marker = MARKER;
    // SAFETY: a trapped call whose answer is not looked at; the pointer is to a live array of our own. Then the end.
    unsafe {
        libc::syscall(libc::SYS_bind, -1, marker.as_mut_ptr(), marker.len());
        libc::_exit(0)
    }
}

fn wait_for(fd: &impl AsFd) -> io::Result<()> {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: PATIENCE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    match poll(&mut fds, Some(&limit)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn end(child: libc::pid_t) {
    // SAFETY: plain integers; the child is ours and not yet waited for.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

/// `reads`: whether a child's memory could be read, if that was tried. What it says about a scope counts, not the number.
fn yama(reads: Option<bool>) -> Check {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    YAMA.found(match (scope.as_deref().map(str::trim), reads) {
        (Err(_), _) => Ok("not in this kernel".to_owned()),
        (Ok("0"), _) => Ok("0: any process of the same user".to_owned()),
        (Ok("1"), _) => Ok("1: ancestors only, which the guard is".to_owned()),
        (Ok(scope), Some(true)) => Ok(format!("{scope}: this user has CAP_SYS_PTRACE")),
        (Ok(scope), _) => Err(io::Error::other(format!("{scope}: needs CAP_SYS_PTRACE"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_needed_is_found_on_a_machine_that_runs_the_tests() {
        let checks = probe();
        let names: Vec<_> = checks.iter().map(|check| check.name).collect();
        let expected = [
            "architecture",
            "seccomp user notification",
            "pidfd_open, pidfd_getfd",
            "WAIT_KILLABLE_RECV",
            "SYNC_WAKE_UP",
            "process_vm_readv, writev",
            "ADDFD_SEND",
            "Yama ptrace scope",
            "user namespaces",
            "private network",
            "descriptors",
        ];
        assert_eq!(names, expected, "{checks:#?}");
        for check in checks {
            assert!(
                check.ok || !check.needed,
                "{}: {}",
                check.name,
                check.detail
            );
        }
    }

    #[test]
    fn a_strict_scope_matters_only_where_memory_could_not_be_read() {
        // Whatever this machine has, reading that works is never called impossible.
        assert!(yama(Some(true)).ok);
    }
}
