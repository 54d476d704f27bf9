//! What the guard does to the program's end of a pair so that it behaves as a TCP socket would.
//!
//! It borrows that end for as long as a call is looked at: one kept would hide the program's `close`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

/// Puts bytes into the program's sending side until no more fit, so that `poll` does not say `POLLOUT`: a connection
/// in progress and a listener are not writable. Returns how many.
pub fn fill(end: BorrowedFd<'_>) -> u32 {
    let block = [0_u8; 32 * 1024];
    let mut total = 0_u32;
    let mut size = block.len();
    loop {
        let part = block.get(..size).unwrap_or(&block);
        match send(end, part, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => total = total.saturating_add(u32::try_from(sent).unwrap_or(u32::MAX)),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) if size > 1 => size = 1,
            Err(_) => return total,
        }
    }
}

/// Takes the token of an accepted connection out of a listener.
pub fn take_token(listener: BorrowedFd<'_>) {
    let mut token = [0_u8; 1];
    let _ = recv(listener, &mut token, RecvFlags::DONTWAIT);
}

/// Leaves a byte unread in the lab's end: when that end is closed the program reads `ECONNRESET`, not an end of file.
pub fn poison(end: BorrowedFd<'_>) {
    let _ = send(end, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Whether calls on it return at once (`O_NONBLOCK`).
pub fn is_nonblocking(end: BorrowedFd<'_>) -> bool {
    fcntl_getfl(end).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

/// Sets `O_NONBLOCK`.
///
/// # Errors
/// The kernel's.
pub fn set_nonblocking(end: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?)
}

/// Gives `to` the flags of a description (`O_NONBLOCK`).
pub fn carry_flags(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    if let Ok(flags) = fcntl_getfl(from) {
        let _ = fcntl_setfl(to, flags & (OFlags::NONBLOCK | OFlags::APPEND));
    }
}

/// Gives `to` what a program may have set on `from` without the guard's help: flags, time limits, the place of urgent bytes.
pub fn carry_settings(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    carry_flags(from, to);
    for timeout in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        if let Ok(Some(limit)) = sockopt::socket_timeout(from, timeout) {
            let _ = sockopt::set_socket_timeout(to, timeout, Some(limit));
        }
    }
    if sockopt::socket_oobinline(from).is_ok_and(|inline| inline) {
        let _ = sockopt::set_socket_oobinline(to, true);
    }
}

/// `SO_SNDBUF` or `SO_RCVBUF` of the kernel's buffer, which stands before the stack's own.
pub fn set_buffer(end: BorrowedFd<'_>, name: i32, size: i32) {
    let size = usize::try_from(size).unwrap_or(i32::MAX as usize);
    let _ = match name {
        libc::SO_SNDBUF => sockopt::set_socket_send_buffer_size(end, size),
        _ => sockopt::set_socket_recv_buffer_size(end, size),
    };
}

/// `SO_RCVTIMEO`, which the program sets natively.
pub fn receive_limit(end: impl AsFd) -> Option<Duration> {
    sockopt::socket_timeout(end, sockopt::Timeout::Recv)
        .ok()
        .flatten()
}

/// `SO_SNDTIMEO`; a connect honours it.
pub fn send_limit(end: impl AsFd) -> Option<Duration> {
    sockopt::socket_timeout(end, sockopt::Timeout::Send)
        .ok()
        .flatten()
}
