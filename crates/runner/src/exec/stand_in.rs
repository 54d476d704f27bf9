//! A stream that is neither connected nor listening has one of the kernel's own sockets in its place: reads, writes, `poll`
//! and buffers are then Linux's to the letter. When it connects or listens, the pair's end takes the place, under the
//! same number.
//!
//! ```text
//!   socket()            fd 5 = stand-in            the guard keeps the pair's end
//!   connect(), listen() fd 5 = the pair's end      the stand-in is gone
//! ```
//!
//! A descriptor's copies would keep the stand-in. So whatever copies one, or hangs it on an epoll, takes the pair's end
//! first: `dup`, `fork`, `epoll_ctl`, a message with descriptors. Nothing tells that a stand-in was closed; it is looked
//! for when its port is asked for, and when there are many.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::guard::{Guard, Socket};
use super::{identity, pair};
use crate::notify::Notification;
use crate::protocol::SocketNumber;

/// Stand-ins that are not looked for, however old.
const FEW: usize = 64;

/// A stand-in of this family (`AF_INET`, `AF_INET6`); `None` where the kernel has none to give.
pub fn make(family: u16) -> Option<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let family = AddressFamily::from_raw(family);
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()
}

impl Guard {
    /// Puts the pair's end in the place of a stand-in, if socket `number` still has one at `fd` of the thread whose call waits.
    /// Where the program has closed it meanwhile, the pair's end is closed, too.
    pub(super) fn settle(&mut self, n: &Notification, number: SocketNumber, fd: i32) {
        let Some(waiting) = self.sockets.take_waiting(number) else {
            return;
        };
        let Some(cookie) = self.sockets.cookie_of(number) else {
            return;
        };
        let Ok(stand_in) = self.threads.duplicate(n.thread, fd) else {
            return;
        };
        if identity::cookie(stand_in.as_fd()) != Ok(cookie) {
            return;
        }
        pair::carry_settings(stand_in.as_fd(), waiting.as_fd());
        let cloexec = identity::closes_on_exec(n.thread, fd);
        let placed = self.listener.place_fd(n.id, waiting.as_fd(), (fd, cloexec));
        match placed {
            Ok(()) => {
                self.sockets.has_settled(number, waiting.as_fd());
                if let Some(socket) = self.sockets.get(number) {
                    socket.shadow = Some(stand_in);
                }
            }
            // The call is gone: the next one comes this way again.
            Err(_) => self.sockets.keep_waiting(number, waiting),
        }
    }

    /// As [`Guard::settle`], whichever socket the descriptor is.
    pub(super) fn settle_descriptor(&mut self, n: &Notification, fd: i32) {
        if !self.sockets.has_stand_ins() {
            return;
        }
        if let Ok(end) = self.threads.duplicate(n.thread, fd)
            && let Ok(cookie) = identity::cookie(end.as_fd())
            && let Some(Socket { number, .. }) = self.sockets.find(cookie)
        {
            let number = *number;
            self.settle(n, number, fd);
        }
    }

    /// All of the process that makes the call.
    pub(super) fn settle_process(&mut self, n: &Notification) {
        if !self.sockets.has_stand_ins() {
            return;
        }
        let process = self.threads.process_of(n.thread);
        for (number, (holder, fd)) in self.sockets.stand_ins() {
            if holder == process {
                self.settle(n, number, fd);
            }
        }
    }

    /// Lets go of stand-ins that were closed: their ports are free. Whether there were any.
    pub(super) fn sweep_stand_ins(&mut self) -> bool {
        let before = self.sockets.stand_in_count();
        for (number, (process, fd)) in self.sockets.stand_ins() {
            let there = self.threads.duplicate(process, fd);
            let cookie = there.and_then(|end| identity::cookie(end.as_fd()));
            if cookie.ok() != self.sockets.cookie_of(number) {
                drop(self.sockets.take_waiting(number));
            }
        }
        self.sockets.stand_in_count() < before
    }

    /// A new one begins; when there are many, those that were closed go.
    pub(super) fn bound_stand_ins(&mut self) {
        if self.sockets.stand_in_count() >= self.stand_ins_at_most {
            self.sweep_stand_ins();
            self.stand_ins_at_most = FEW.max(2 * self.sockets.stand_in_count());
        }
    }
}

/// Bytes of filler put into the pair's end, wherever that is now.
pub fn fill(waiting: Option<&OwnedFd>, end: BorrowedFd<'_>) -> u32 {
    pair::fill(waiting.map_or(end, AsFd::as_fd))
}
