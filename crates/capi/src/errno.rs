//! What a function of C answers: its value, or -1 and errno.
use heptad_lab::stack::SocketError;

/// Linux's number of an error.
pub(crate) type Errno = i32;

/// What answers -1.
pub(crate) trait Answer {
    /// What stands for a failure.
    const FAILED: Self;
}
impl Answer for i32 {
    const FAILED: Self = -1;
}
impl Answer for isize {
    const FAILED: Self = -1;
}

/// The value, or -1 and errno.
pub(crate) fn answer<T: Answer>(result: Result<T, Errno>) -> T {
    result.unwrap_or_else(|errno| {
        set(errno);
        T::FAILED
    })
}

/// Sets errno of this thread.
pub(crate) fn set(errno: Errno) {
    // SAFETY: the C library's pointer to this thread's own errno is always good.
    unsafe { *libc::__errno_location() = errno };
}

/// errno of this thread, as the call of the kernel before set it.
pub(crate) fn last() -> Errno {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() }
}

/// The stack's answer as errno.
pub(crate) fn of<T>(result: Result<T, SocketError>) -> Result<T, Errno> {
    result.map_err(SocketError::errno)
}
