//! The seccomp filter: which calls of a program come to the guard, which fail at once, which stay the kernel's.
//!
//! [`table`] says it in rows, [`bpf`] turns rows into instructions, [`install`] gives them to the kernel.

pub mod bpf;
pub mod table;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A filter in force, as the thread that installed it sees it.
#[derive(Debug)]
pub struct Installed {
    /// Where the kernel delivers the calls (close-on-exec).
    pub listener: OwnedFd,
    /// Whether a call that was received ignores signals other than fatal ones until it is answered (Linux 5.19).
    pub wait_killable: bool,
}

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` of `linux/seccomp.h`.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// Puts the calling thread, and whatever it starts, behind the filter for good. Sets `NO_NEW_PRIVS`.
///
/// # Errors
/// The kernel's error: `EINVAL` without user notification, `EBUSY` where another supervisor already listens.
pub fn install() -> io::Result<Installed> {
    let program = bpf::assemble(table::ARCH, table::ROWS);
    // SAFETY: PR_SET_NO_NEW_PRIVS takes plain integers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match set_filter(&program, listener | WAIT_KILLABLE_RECV) {
        Ok(fd) => Ok(Installed {
            listener: fd,
            wait_killable: true,
        }),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => set_filter(&program, listener)
            .map(|fd| Installed {
                listener: fd,
                wait_killable: false,
            }),
        Err(error) => Err(error),
    }
}

fn set_filter(program: &[bpf::Instruction], flags: libc::c_ulong) -> io::Result<OwnedFd> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    let len = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let prog = libc::sock_fprog {
        len,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `prog` and the instructions it points to outlive the call, which copies them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const prog,
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
