//! What this machine lets the runner do: tried, not guessed, on a child process made for it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::exec::identity;
use crate::filter;
use crate::memory;
use crate::notify::{Listener, Notification};

/// How long the child may take for its two calls.
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
    /// What was found, or what it means that it is missing.
    pub detail: String,
}

/// Tries everything, in the order in which a run would need it. Takes some milliseconds; starts and ends two processes.
pub fn probe() -> Vec<Check> {
    let mut checks = vec![needed(
        "architecture",
        Ok(std::env::consts::ARCH.to_owned()),
    )];
    match Trial::start() {
        Ok(trial) => trial.run(&mut checks),
        Err(error) => checks.push(needed("seccomp user notification", Err(error))),
    }
    checks.push(yama());
    checks.push(user_namespaces());
    checks
}

fn needed(name: &'static str, found: io::Result<String>) -> Check {
    check(name, true, found)
}

fn check(name: &'static str, needed: bool, found: io::Result<String>) -> Check {
    let (ok, detail) = match found {
        Ok(detail) => (true, detail),
        Err(error) => (false, error.to_string()),
    };
    Check {
        name,
        ok,
        needed,
        detail,
    }
}

/// A child behind the filter that makes one socket call, and then another.
struct Trial {
    child: libc::pid_t,
    wait_killable: bool,
    listener: Listener,
    told: OwnedFd,
}

impl Trial {
    fn start() -> io::Result<Self> {
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
            child => {
                drop(theirs);
                let trial = Self::meet(child, ours);
                if trial.is_err() {
                    end(child);
                }
                trial
            }
        }
    }

    fn meet(child: libc::pid_t, told: OwnedFd) -> io::Result<Self> {
        let mut word = [0_u8; 8];
        wait_for(&told)?;
        let read = rustix::io::read(&told, &mut word)?;
        let [a, b, c, d, killable, failed, ..] = word;
        let number = i32::from_ne_bytes([a, b, c, d]);
        if read != word.len() || failed != 0 {
            return Err(io::Error::from_raw_os_error(number));
        }
        let fd =
            identity::duplicate_of_process(child, number).map_err(io::Error::from_raw_os_error)?;
        Ok(Self {
            child,
            wait_killable: killable != 0,
            listener: Listener::new(fd),
            told,
        })
    }

    fn run(self, checks: &mut Vec<Check>) {
        checks.push(needed(
            "seccomp user notification",
            Ok("installed without privileges".into()),
        ));
        checks.push(needed(
            "pidfd_getfd",
            Ok("a child's descriptors can be fetched".into()),
        ));
        let killable = if self.wait_killable {
            Ok("calls are not disturbed by signals once received".into())
        } else {
            Err(io::Error::other(
                "before Linux 5.19: a signal may make a program repeat a call",
            ))
        };
        checks.push(check("WAIT_KILLABLE_RECV", false, killable));
        match self.next_call() {
            Err(error) => checks.push(needed("a trapped call", Err(error))),
            Ok(call) => {
                let marker = memory::read_array::<8>(call.thread, call.args[1])
                    .map_err(io::Error::from_raw_os_error);
                let memory = match marker {
                    Ok(bytes) if bytes == MARKER => Ok("a child's memory can be read".into()),
                    Ok(_) => Err(io::Error::other("read something else than was there")),
                    Err(error) => Err(error),
                };
                checks.push(needed("process_vm_readv", memory));
                let added = self
                    .listener
                    .answer_with_fd(call.id, self.told.as_fd(), true);
                let added = added.map(|_| "a call can be answered with a descriptor".to_owned());
                checks.push(needed("ADDFD_SEND", added));
            }
        }
        end(self.child);
    }

    fn next_call(&self) -> io::Result<Notification> {
        wait_for(&self.listener)?;
        self.listener.receive()
    }
}

/// What the child's call points to.
const MARKER: [u8; 8] = *b"heptad\n\0";

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
            let [a, b, c, d] = error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes();
            [a, b, c, d, 0, 1, 0, 0]
        }
    };
    let _ = rustix::io::write(told, &word);
    let marker = MARKER;
    // SAFETY: a trapped call whose answer is not looked at; the pointer is to a live array. Then the end.
    unsafe {
        libc::syscall(libc::SYS_bind, -1, marker.as_ptr(), marker.len());
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

fn yama() -> Check {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let found = match scope.as_deref().map(str::trim) {
        Err(_) => Ok("not in this kernel".to_owned()),
        Ok("0") => Ok("0: any process of the same user".to_owned()),
        Ok("1") => Ok("1: ancestors only, which the guard is".to_owned()),
        Ok(other) => Err(io::Error::other(format!("{other}: needs CAP_SYS_PTRACE"))),
    };
    check("Yama ptrace scope", true, found)
}

/// Not needed; where they are allowed a network namespace would also hold programs that find a way past the filter.
fn user_namespaces() -> Check {
    // SAFETY: the child makes one system call and leaves by `_exit`.
    let found = unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => libc::_exit(i32::from(
                libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) != 0,
            )),
            child => {
                let mut status = 0;
                libc::waitpid(child, &raw mut status, 0);
                if status == 0 {
                    Ok("allowed".to_owned())
                } else {
                    Err(io::Error::other(
                        "not allowed: programs run without a namespace of their own",
                    ))
                }
            }
        }
    };
    check("user namespaces", false, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_needed_is_found_on_a_machine_that_runs_the_tests() {
        let checks = probe();
        let names: Vec<_> = checks.iter().map(|check| check.name).collect();
        for name in [
            "seccomp user notification",
            "pidfd_getfd",
            "process_vm_readv",
            "ADDFD_SEND",
        ] {
            assert!(names.contains(&name), "{name} was not tried: {checks:?}");
        }
        for check in checks {
            assert!(
                check.ok || !check.needed,
                "{}: {}",
                check.name,
                check.detail
            );
        }
    }
}
