//! The kernel's side of user notification: receive a call, ask whether it still waits, answer it, give it a descriptor.
//!
//! Numbers and shapes are those of `linux/seccomp.h` (seccomp_unotify(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const ID_VALID: libc::c_ulong = 0x4008_2102;
const ADD_FD: libc::c_ulong = 0x4018_2103;
const SET_FLAGS: libc::c_ulong = 0x4008_2104;

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SETFD`: under the number that is asked for, in the place of what is there.
const ADD_AS_NUMBER: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND`: put the descriptor in and answer the call with its number, in one step.
const ADD_AND_SEND: u32 = 1 << 1;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`.
const SYNC_WAKE_UP: u64 = 1;

/// What a call is answered with to make the kernel act on a signal first, and then do the call again or say `EINTR`
/// as the handler's `SA_RESTART` asks: `ERESTARTSYS` of the kernel.
pub const RESTART: i32 = 512;

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// The call's identity until it is answered or cancelled.
    pub id: u64,
    /// The thread that makes it, as our pid namespace names it.
    pub thread: i32,
    /// Number of the call.
    pub call: i64,
    /// Its six arguments.
    pub args: [u64; 6],
}

/// The descriptor on which calls arrive.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Takes the descriptor that the filter's installation gave, and asks for cheap wake-ups where the kernel has them.
    pub fn new(fd: OwnedFd) -> Self {
        let flags: libc::c_ulong = SYNC_WAKE_UP as libc::c_ulong;
        // SAFETY: SET_FLAGS takes its argument by value. An old kernel refuses it, which changes nothing.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS, flags) };
        Self(fd)
    }

    /// The next call; blocks while there is none, so ask `poll` first.
    ///
    /// # Errors
    /// `ENOENT` when the call was cancelled in between: go on polling.
    pub fn receive(&self) -> io::Result<Notification> {
        // SAFETY: all-zero bytes are a valid `seccomp_notif`, and the kernel insists on them.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one `seccomp_notif` through the pointer.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), RECEIVE, &raw mut raw) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Notification {
            id: raw.id,
            thread: raw.pid.cast_signed(),
            call: i64::from(raw.data.nr),
            args: raw.data.args,
        })
    }

    /// Whether the call still waits. Memory that was read before a `true` belonged to the caller.
    pub fn waits(&self, id: u64) -> bool {
        // SAFETY: the kernel reads eight bytes through the pointer.
        unsafe { libc::ioctl(self.0.as_raw_fd(), ID_VALID, &raw const id) == 0 }
    }

    /// Answers a call with a value, or with an errno.
    ///
    /// # Errors
    /// `ENOENT` when the call was cancelled.
    pub fn answer(&self, id: u64, result: Result<i64, i32>) -> io::Result<()> {
        let (val, error) = match result {
            Ok(value) => (value, 0),
            Err(errno) => (0, -errno),
        };
        self.send(libc::seccomp_notif_resp {
            id,
            val,
            error,
            flags: 0,
        })
    }

    /// Lets the kernel do the call after all.
    ///
    /// # Errors
    /// `ENOENT` when the call was cancelled.
    pub fn leave_to_kernel(&self, id: u64) -> io::Result<()> {
        self.send(libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags: CONTINUE,
        })
    }

    fn send(&self, mut response: libc::seccomp_notif_resp) -> io::Result<()> {
        // SAFETY: the kernel reads one `seccomp_notif_resp` through the pointer.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, &raw mut response) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Puts `fd` into the caller's table and answers the call with its number there, which is returned.
    ///
    /// # Errors
    /// `ENOENT` or another when the call was cancelled: nobody has got the descriptor then; `EMFILE` and the like
    /// when the caller has no room.
    pub fn answer_with_fd(&self, id: u64, fd: BorrowedFd<'_>, cloexec: bool) -> io::Result<i32> {
        self.add(id, fd, (ADD_AND_SEND, 0), cloexec)
    }

    /// Puts `fd` into the caller's table under `number`, as `dup3` would. The call goes on waiting.
    ///
    /// # Errors
    /// As [`Listener::answer_with_fd`].
    pub fn place_fd(
        &self,
        id: u64,
        fd: BorrowedFd<'_>,
        (number, cloexec): (i32, bool),
    ) -> io::Result<()> {
        let number = u32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.add(id, fd, (ADD_AS_NUMBER, number), cloexec)
            .map(|_| ())
    }

    fn add(
        &self,
        id: u64,
        fd: BorrowedFd<'_>,
        (flags, newfd): (u32, u32),
        cloexec: bool,
    ) -> io::Result<i32> {
        let request = libc::seccomp_notif_addfd {
            id,
            flags,
            srcfd: fd.as_raw_fd().cast_unsigned(),
            newfd,
            newfd_flags: if cloexec {
                libc::O_CLOEXEC.cast_unsigned()
            } else {
                0
            },
        };
        // SAFETY: the kernel reads one `seccomp_notif_addfd` through the pointer.
        let number = unsafe { libc::ioctl(self.0.as_raw_fd(), ADD_FD, &raw const request) };
        if number < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(number)
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
