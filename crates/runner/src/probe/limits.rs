//! What the machine's administrator may have limited: namespaces of users, descriptors; and one thing that younger kernels have.
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{Resource, getrlimit};

use super::{Asked, Check, wait_for};
use crate::exec::room::inside;

const NAMESPACES: Asked = Asked::useful(
    "user namespaces",
    "nothing for programs whose calls are trapped; only root has --mode netns",
);
const PRIVATE: Asked = Asked::useful(
    "private network",
    "send and recv of a datagram socket say fewer errors than Linux's",
);
const DESCRIPTORS: Asked = Asked::useful(
    "descriptors",
    "few sockets at once: a larger hard limit (ulimit -Hn) helps",
);

/// Fewer are called a limit.
const ENOUGH: u64 = 4096;
/// `SECCOMP_IOCTL_NOTIF_SET_FLAGS` and `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` of `linux/seccomp.h`.
const SET_FLAGS: libc::c_ulong = 0x4008_2104;
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// Whether a listener takes the flag.
pub(super) fn wake_in_step(listener: &OwnedFd) -> io::Result<()> {
    // SAFETY: SET_FLAGS takes its argument by value.
    match unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A namespace of users, with one of the network and of mounts inside: some systems let anybody make the first and nobody use it.
pub(super) fn user_namespaces() -> Check {
    // SAFETY: plain calls without arguments.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let maps = [format!("0 {uid} 1\0"), format!("0 {gid} 1\0")];
    let tried = in_child(|| enter(&maps)).and_then(|(step, errno)| match step {
        0 => Ok("allowed, with a network and mounts of their own".to_owned()),
        _ => Err(refused(step, &io::Error::from_raw_os_error(errno.into()))),
    });
    NAMESPACES.found(tried)
}

/// A namespace of the network with a socket of its own in it, where programs' sockets are made (`exec/room`).
pub(super) fn private_network() -> Check {
    let tried = in_child(|| match inside::enter() {
        Ok(()) => (0, 0),
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EPERM);
            (1, u8::try_from(errno).unwrap_or(u8::MAX))
        }
    });
    let tried = tried.and_then(|(failed, errno)| match failed {
        0 => Ok("datagram sockets and listeners of programs are the kernel's in one".to_owned()),
        _ => Err(io::Error::from_raw_os_error(errno.into())),
    });
    PRIVATE.found(tried)
}

const STEPS: [&str; 4] = [
    "making one",
    "naming its users",
    "a network in it",
    "mounts in it",
];

/// The child's part: the step that failed, from 1, and why; (0, 0) if none did.
fn enter(maps: &[String; 2]) -> (u8, u8) {
    let [uids, gids] = maps;
    let made = |result: libc::c_int| result == 0;
    let slash = c"/".as_ptr();
    // SAFETY: the child is alone in its process; all pointers are to texts that end with a zero.
    let steps: [&dyn Fn() -> bool; 4] = unsafe {
        [
            &|| made(libc::unshare(libc::CLONE_NEWUSER)),
            &|| {
                write(c"/proc/self/setgroups", "deny\0")
                    && write(c"/proc/self/uid_map", uids)
                    && write(c"/proc/self/gid_map", gids)
            },
            &|| made(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS)),
            &|| {
                let none = std::ptr::null();
                let private = libc::MS_REC | libc::MS_PRIVATE;
                made(libc::mount(none, slash, none, private, none.cast()))
            },
        ]
    };
    for (step, works) in (1..).zip(steps) {
        if !works() {
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
            return (step, u8::try_from(errno).unwrap_or(u8::MAX));
        }
    }
    (0, 0)
}

/// Writes a text up to its zero into a file, with system calls only.
fn write(path: &CStr, text: &str) -> bool {
    let text = text.trim_end_matches('\0');
    // SAFETY: both pointers are to live bytes; the descriptor is our own.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return false;
        }
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        libc::close(fd);
        written.cast_unsigned() == text.len()
    }
}

/// Which step failed, and what is known to forbid it.
fn refused(step: u8, error: &io::Error) -> io::Error {
    let step = STEPS.get(usize::from(step) - 1).unwrap_or(&"it");
    io::Error::other(forbidden_by(step, error))
}

/// The same of a step with this name.
pub(crate) fn forbidden_by(step: &str, error: &io::Error) -> String {
    let limits = [
        (
            "user.max_user_namespaces",
            "/proc/sys/user/max_user_namespaces",
            "0",
        ),
        (
            "kernel.unprivileged_userns_clone",
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
        ),
        (
            "AppArmor, kernel.apparmor_restrict_unprivileged_userns",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ),
    ];
    let limits = limits.iter().filter_map(|(name, file, forbids)| {
        let value = fs::read_to_string(file).ok()?;
        (value.trim() == *forbids).then(|| format!("{name} is {forbids}"))
    });
    let known: Vec<String> = limits.collect();
    let by = match known.is_empty() {
        true => error.to_string(),
        false => known.join(", "),
    };
    format!("{step}: {by}")
}

/// As many as the hard limit says: the guard and the lab raise theirs, and hold one for each socket of a program.
pub(super) fn descriptors() -> Check {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::from(u32::MAX));
    let tried = in_child(|| (u8::from(!reach(most)), 0));
    let soft = limit.current.filter(|soft| *soft < most);
    let raised = soft.map(|soft| format!("; the limit of {soft} is raised"));
    let said = format!("{most} at once{}", raised.unwrap_or_default());
    DESCRIPTORS.found(match tried {
        Ok((0, _)) if most >= ENOUGH => Ok(said),
        Ok((0, _)) => Err(io::Error::other(said)),
        Ok(_) => Err(io::Error::other(format!(
            "{said}, but the last one can't be had"
        ))),
        Err(error) => Err(error),
    })
}

/// The child's part: its limit is raised, and the last descriptor below it taken.
fn reach(most: u64) -> bool {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    let last = i32::try_from(most.saturating_sub(1)).unwrap_or(i32::MAX);
    // SAFETY: plain integers and a live struct; the descriptors are the child's own.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
            && libc::dup2(null, last) == last
    }
}

/// Runs something in a child: two bytes come back. It may make system calls only.
fn in_child(work: impl FnOnce() -> (u8, u8)) -> io::Result<(u8, u8)> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the child makes system calls and leaves by `_exit`.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            let (a, b) = work();
            let _ = rustix::io::write(&theirs, &[a, b]);
            // SAFETY: the end of the child.
            unsafe { libc::_exit(0) }
        }
        child => child,
    };
    drop(theirs);
    let mut word = [0; 2];
    let read = wait_for(&ours).and_then(|()| Ok(rustix::io::read(&ours, &mut word)?));
    super::end(child);
    match read? {
        2 => Ok(word.into()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_named_with_its_cause() {
        let error = refused(3, &io::Error::from_raw_os_error(libc::EPERM)).to_string();
        assert!(error.starts_with("a network in it: "), "{error}");
    }

    #[test]
    fn the_limit_of_descriptors_is_one_that_was_reached() {
        let check = descriptors();
        assert!(check.detail.contains(" at once"), "{check:?}");
    }
}
