//! The byte beside a stream (MSG_OOB): a socketpair has one too, in its place among the others.
use std::os::fd::{AsRawFd, BorrowedFd};

/// Linux's SIOCATMARK.
const AT_MARK: libc::c_ulong = 0x8905;

/// Whether the next byte of our end is the one that the program called urgent. Pairs of older kernels have none.
pub fn is_at_mark(end: BorrowedFd<'_>) -> bool {
    let mut value: libc::c_int = 0;
    // SAFETY: the kernel writes one int through the pointer.
    let done = unsafe { libc::ioctl(end.as_raw_fd(), AT_MARK, &raw mut value) };
    done == 0 && value == 1
}
