//! A stream that is neither connected nor listening has one of the kernel's own sockets in its place: reads, writes, `poll`
//! and buffers are then Linux's to the letter. When it connects, the pair's end takes the place, under the same number; also
//! when it listens and is not in the guard's room (`room::streams`).
//!
//! ```text
//!   socket()            fd 5 = stand-in            the guard keeps the pair's end
//!   connect()           fd 5 = the pair's end      the guard keeps the stand-in, for its options
//!   dissolved           fd 5 = stand-in            and a new pair's end
//! ```
//!
//! Copies under low numbers of the same process (`dup`) are found when that happens, and an epoll that has one is told of the other
//! (`epolls`). Any other copy (`fork`, a message with descriptors) catches up at the next call on it that comes to the guard:
//! to trap what copies would let a signal break off calls that never say `EINTR`. Of one in
//! the room the kernel tells that it was closed; any other is looked for when its port is asked for, and when there are many.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::guard::Guard;
use super::options::made_like;
use super::{descendants, identity, pair};
use crate::notify::Notification;
use crate::protocol::SocketNumber;

/// Stand-ins that are not looked for, however old.
const FEW: usize = 64;

/// Numbers below this are looked at for copies.
const LOW_NUMBERS: i32 = 32;

impl Guard {
    /// A stand-in of this family (`AF_INET`, `AF_INET6`), and whether it is in the room; `None` where the kernel has none to give.
    pub(super) fn make_stand_in(&mut self, family: u16) -> Option<(OwnedFd, bool)> {
        if let Some(stream) = self.rooms.stream(family) {
            return Some((stream, true));
        }
        let stream = made_like(family, (libc::SOCK_STREAM as u32, 0));
        stream.map(|stream| (stream, false))
    }

    /// Puts the pair's end in the place of a stand-in, if socket `number` still has one at `fd` of the thread whose call waits.
    /// Where the program has closed it meanwhile, the pair's end is closed, too.
    pub(super) fn settle(&mut self, n: &Notification, number: SocketNumber, fd: i32) {
        let Some(waiting) = self.sockets.take_waiting(number) else {
            return;
        };
        let Some(stand_in) = self.stand_in_at(n.thread, number, fd) else {
            return;
        };
        pair::carry_settings(stand_in.as_fd(), waiting.as_fd());
        let mut placed = false;
        for fd in self.places_of(n.thread, stand_in.as_fd(), fd) {
            let cloexec = identity::closes_on_exec(n.thread, fd);
            let place = (fd, cloexec);
            if self.listener.place_fd(n.id, waiting.as_fd(), place).is_ok() {
                placed = true;
                let files = (stand_in.as_fd(), waiting.as_fd());
                self.watch_instead(n.thread, fd, files);
            }
        }
        if placed {
            self.sockets.has_settled(number, waiting.as_fd());
            if let Some(socket) = self.sockets.get(number) {
                socket.shadow = Some(stand_in);
            }
        } else {
            // The call is gone: the next one comes this way again.
            self.sockets.keep_waiting(number, waiting);
        }
    }

    /// A duplicate of the stand-in, if it is there.
    fn stand_in_at(&mut self, thread: i32, number: SocketNumber, fd: i32) -> Option<OwnedFd> {
        let cookie = self.sockets.cookie_of(number)?;
        let end = self.threads.duplicate(thread, fd).ok()?;
        (identity::cookie(end.as_fd()) == Ok(cookie)).then_some(end)
    }

    /// Where a thread's process has a stand-in: under this number, and under those of its copies.
    fn places_of(&mut self, thread: i32, stand_in: BorrowedFd<'_>, fd: i32) -> Vec<i32> {
        let process = self.threads.process_of(thread);
        let mut places = identity::numbers(process, stand_in, LOW_NUMBERS);
        if !places.contains(&fd) {
            places.push(fd);
        }
        places
    }

    /// The call is about a copy of an end that another has taken the place of meanwhile: that one takes this place, too.
    ///
    /// # Errors
    /// `ENOTCONN` where everybody who had the other has closed it.
    pub(super) fn catch_up(
        &mut self,
        n: &Notification,
        number: SocketNumber,
        earlier: OwnedFd,
    ) -> Result<(OwnedFd, u64), i32> {
        let fd = n.args[0] as i32;
        let cookie = self.sockets.cookie_of(number).ok_or(libc::ENOTCONN)?;
        let socket = self.sockets.get(number).ok_or(libc::ENOTCONN)?;
        let end = socket.end_in_use(cookie).ok_or(libc::ENOTCONN)?;
        let cloexec = identity::closes_on_exec(n.thread, fd);
        let placed = self.listener.place_fd(n.id, end.as_fd(), (fd, cloexec));
        placed.map_err(|_| libc::ENOTCONN)?;
        self.watch_instead(n.thread, fd, (earlier.as_fd(), end.as_fd()));
        Ok((end, cookie))
    }

    /// A stream that was dissolved, or a listener that was shut, is as it was at first: a stand-in takes the place of the pair's
    /// end, and a new pair waits.
    pub(super) fn renew(&mut self, n: &Notification, number: SocketNumber, fds: Vec<OwnedFd>) {
        let Ok([waiting, lab_end]) = <[OwnedFd; 2]>::try_from(fds) else {
            return;
        };
        let fd = n.args[0] as i32;
        let before = self.threads.duplicate(n.thread, fd);
        let Some((shadow, family)) = self
            .sockets
            .get(number)
            .map(|socket| (socket.shadow.take(), socket.family))
        else {
            return;
        };
        let made = match shadow {
            None => self.make_stand_in(family),
            Some(_) => None,
        };
        let Some(socket) = self.sockets.get(number) else {
            return;
        };
        if let Some((_, in_room)) = made {
            socket.rooms_stream = in_room;
        }
        let stand_in = shadow.or(made.map(|(made, _)| made));
        let given = stand_in.as_ref().unwrap_or(&waiting);
        if let Ok(before) = &before {
            pair::carry_flags(before.as_fd(), given.as_fd());
        }
        socket.renew(lab_end);
        let cloexec = identity::closes_on_exec(n.thread, fd);
        let placed = self.listener.place_fd(n.id, given.as_fd(), (fd, cloexec));
        if let (Ok(before), Ok(())) = (before, &placed) {
            self.watch_instead(n.thread, fd, (before.as_fd(), given.as_fd()));
        }
        self.sockets.has_settled(number, given.as_fd());
        if stand_in.is_some() && placed.is_ok() {
            self.sockets.keep_waiting(number, waiting);
        }
        let process = self.threads.process_of(n.thread);
        self.sockets.set_holder(number, process, fd);
    }

    /// Lets go of stand-ins that were closed: their ports are free.
    pub(super) fn sweep_stand_ins(&mut self) {
        let all = self.sockets.stand_ins();
        let missing = all
            .into_iter()
            .filter(|(number, (process, fd))| self.stand_in_at(*process, *number, *fd).is_none());
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return;
        }
        // A copy may be anywhere.
        let below = descendants::below(std::process::id().cast_signed());
        let open = identity::sockets_of(&below);
        for (number, _) in missing {
            if self
                .sockets
                .get(number)
                .is_some_and(|socket| !open.contains(&socket.inode))
            {
                drop(self.sockets.take_waiting(number));
            }
        }
    }

    /// A new one begins; when there are many, those that were closed go.
    pub(super) fn limit_stand_ins(&mut self) {
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
