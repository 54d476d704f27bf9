//! The epolls of the programs. An epoll keeps a descriptor by its open file and its number: when another file takes the
//! number (`stand_in`), it is put in the place of the first, with what the program asked to hear of it.
//!
//! The guard makes each epoll itself and so knows its number; no call about what an epoll watches comes here. Asking is
//! done with the file under the program's number in the guard's own table, which has one thread and can lend a number.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::{fs, io};

use rustix::event::epoll::{self, CreateFlags};
use rustix::io::Errno;

use super::calls::Step;
use super::guard::Guard;
use super::identity;
use crate::notify::Notification;

/// Most processes whose epolls are remembered; then all are forgotten, and looked for in `/proc` when they are asked for.
const MOST_PROCESSES: usize = 512;

/// Files under one number in one epoll: the number's earlier holders, still open elsewhere. With more nothing is ruled out.
const MOST_OF_A_NUMBER: u32 = 64;

/// Where each process has epolls. A number may be stale: then there is no epoll, or one that watches no such file.
#[derive(Debug, Default)]
pub(super) struct Epolls {
    of_process: HashMap<i32, Vec<i32>>,
}

impl Epolls {
    /// The numbers of a process's epolls; those that it inherited are found by a look at its descriptors.
    fn of(&mut self, process: i32) -> &mut Vec<i32> {
        if self.of_process.len() >= MOST_PROCESSES && !self.of_process.contains_key(&process) {
            self.of_process.clear();
        }
        self.of_process
            .entry(process)
            .or_insert_with(|| identity::epolls(process))
    }

    fn note(&mut self, process: i32, number: i32) {
        let known = self.of(process);
        if !known.contains(&number) {
            known.push(number);
        }
    }
}

impl Guard {
    /// `epoll_create` and `epoll_create1`: made here, so that its number is known.
    pub(super) fn make_epoll(&mut self, n: &Notification) -> Result<Step, i32> {
        let flags = match n.call {
            libc::SYS_epoll_create1 => n.args[0] as i32,
            _ if n.args[0] as i32 > 0 => 0,
            _ => return Err(libc::EINVAL),
        };
        if flags & !libc::EPOLL_CLOEXEC != 0 {
            return Err(libc::EINVAL);
        }
        // Before the new one is there: what is found then was inherited.
        let process = self.threads.process_of(n.thread);
        self.epolls.of(process);
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|error| error.raw_os_error())?;
        Ok(Step::Give {
            file: epoll,
            cloexec: flags != 0,
        })
    }

    /// Puts it into the program's hands.
    ///
    /// # Errors
    /// As of an answer: the call is gone.
    pub(super) fn give_epoll(
        &mut self,
        n: &Notification,
        epoll: &OwnedFd,
        cloexec: bool,
    ) -> io::Result<()> {
        match self.listener.answer_with_fd(n.id, epoll.as_fd(), cloexec) {
            Ok(number) => {
                let process = self.threads.process_of(n.thread);
                self.epolls.note(process, number);
                Ok(())
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EMFILE);
                self.listener.answer(n.id, Err(errno))
            }
        }
    }

    /// Under `number` of the process of `thread` there is `after` now, and was `before`: its epolls watch that from now on.
    pub(super) fn watch_instead(
        &mut self,
        thread: i32,
        number: i32,
        (before, after): (BorrowedFd<'_>, BorrowedFd<'_>),
    ) {
        let process = self.threads.process_of(thread);
        let known = self.epolls.of(process).clone();
        for at in known {
            match self.threads.duplicate(thread, at) {
                Ok(epoll) => exchange(epoll, number, before, after),
                Err(_) => self.epolls.of(process).retain(|other| *other != at),
            }
        }
    }
}

/// What a program wants to hear of a descriptor, and what it calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interest {
    events: u32,
    data: u64,
}

/// Errors are those of a program that changes its epoll at the same time, or of a file that is no epoll: nothing is left to do.
fn exchange(epoll: OwnedFd, number: i32, before: BorrowedFd<'_>, after: BorrowedFd<'_>) {
    // The number is needed.
    let epoll = match epoll.as_raw_fd() == number {
        true => epoll.try_clone(),
        false => Ok(epoll),
    };
    let Ok(epoll) = epoll else { return };
    let watched = watches(&epoll, number, before);
    let Some(interest) = watched.then(|| interest_in(&epoll, number, before)) else {
        return;
    };
    if let Some(interest) = interest {
        lend_number(number, before, || {
            let _ = control(&epoll, libc::EPOLL_CTL_DEL, number, interest);
        });
        lend_number(number, after, || {
            let _ = control(&epoll, libc::EPOLL_CTL_ADD, number, interest);
        });
    }
}

fn control(
    epoll: &OwnedFd,
    operation: i32,
    number: i32,
    Interest { events, data }: Interest,
) -> Result<(), Errno> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the kernel reads one event through the pointer.
    match unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, number, &raw mut event) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Does something while `file` is under `number` in the guard's table; what was there comes back.
fn lend_number<R>(number: i32, file: BorrowedFd<'_>, work: impl FnOnce() -> R) -> Option<R> {
    if file.as_raw_fd() == number {
        return Some(work());
    }
    // SAFETY: plain integers; a number that is not open gives -1.
    let kept = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if kept < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::EBADF) {
        // It is open, and there is no room to keep it.
        return None;
    }
    // SAFETY: the file under `number` stays open as `kept`, and nobody else runs before it is back.
    if unsafe { libc::dup3(file.as_raw_fd(), number, libc::O_CLOEXEC) } < 0 {
        if kept >= 0 {
            // SAFETY: ours, made above.
            unsafe { libc::close(kept) };
        }
        return None;
    }
    let done = work();
    // SAFETY: puts back what was there, or leaves the number free as it was; `kept` is ours.
    unsafe {
        if kept >= 0 {
            libc::dup3(kept, number, libc::O_CLOEXEC);
            libc::close(kept);
        } else {
            libc::close(number);
        }
    }
    Some(done)
}

/// `struct kcmp_epoll_slot` of `linux/kcmp.h`.
#[repr(C)]
struct Slot {
    epoll: u32,
    number: u32,
    /// Which of those under the number.
    nth: u32,
}

/// Whether an epoll watches a file under a number; so also where the kernel does not compare (kcmp(2)). To find out by adding it
/// would tell the program of a descriptor that it has never heard of.
fn watches(epoll: &OwnedFd, number: i32, file: BorrowedFd<'_>) -> bool {
    const KCMP_EPOLL_TFD: libc::c_long = 7;
    let us = libc::c_long::from(std::process::id().cast_signed());
    let file = libc::c_long::from(file.as_raw_fd());
    for nth in 0..MOST_OF_A_NUMBER {
        let slot = Slot {
            epoll: epoll.as_raw_fd().cast_unsigned(),
            number: number.cast_unsigned(),
            nth,
        };
        // SAFETY: the kernel reads one slot through the pointer.
        match unsafe {
            libc::syscall(
                libc::SYS_kcmp,
                us,
                us,
                KCMP_EPOLL_TFD,
                file,
                &raw const slot,
            )
        } {
            0 => return true,
            1..=3 => {}
            _ => return io::Error::last_os_error().raw_os_error() != Some(libc::ENOENT),
        }
    }
    true
}

/// What an epoll was told about a file under a number.
fn interest_in(epoll: &OwnedFd, number: i32, file: BorrowedFd<'_>) -> Option<Interest> {
    let path = format!("/proc/self/fdinfo/{}", epoll.as_raw_fd());
    let inode = identity::inode(file.as_fd());
    let info = fs::read_to_string(path).ok()?;
    info.lines().find_map(|line| parsed(line, number, inode))
}

/// A line such as `tfd: 7 events: 19 data: 7 pos:0 ino:4f2 sdev:8`, numbers but the first hexadecimal (proc_pid_fdinfo(5)).
fn parsed(line: &str, number: i32, inode: u64) -> Option<Interest> {
    let spaced = line.replace(':', " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let value = |name| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let hex = |name| u64::from_str_radix(value(name)?, 16).ok();
    let here = value("tfd")?.parse() == Ok(number) && hex("ino") == Some(inode);
    let events = u32::try_from(hex("events")?).ok()?;
    here.then_some(Interest {
        events,
        data: hex("data")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an epoll keeps it: these two are always told.
    fn kept(asked: Interest) -> Interest {
        let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        Interest {
            events: asked.events | always,
            ..asked
        }
    }

    #[test]
    fn an_epoll_watches_the_file_that_takes_a_number_as_it_watched_the_one_before() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let (first, _kept) = std::os::unix::net::UnixStream::pair().unwrap();
        let (second, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = 900;
        let asked = Interest {
            events: (libc::EPOLLIN | libc::EPOLLET) as u32,
            data: 0xfeed_beef_0123,
        };
        lend_number(number, first.as_fd(), || {
            control(&epoll, libc::EPOLL_CTL_ADD, number, asked).unwrap();
        });
        exchange(
            epoll.try_clone().unwrap(),
            number,
            first.as_fd(),
            second.as_fd(),
        );
        std::io::Write::write_all(&mut other, b"x").unwrap();
        let told = interest_in(&epoll, number, second.as_fd()).unwrap();
        assert_eq!(told, kept(asked));
        assert_eq!(interest_in(&epoll, number, first.as_fd()), None);
        let mut events = Vec::with_capacity(4);
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).unwrap();
        let heard: Vec<u64> = events.iter().map(|event| event.data.u64()).collect();
        assert_eq!(heard, [asked.data]);
    }

    #[test]
    fn whether_an_epoll_watches_a_file_is_found_out_without_a_trace() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let (file, _a) = std::os::unix::net::UnixStream::pair().unwrap();
        let (other, _b) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = 902;
        assert!(!watches(&epoll, number, file.as_fd()));
        let nothing = Interest { events: 0, data: 0 };
        for watched in [&other, &file] {
            lend_number(number, watched.as_fd(), || {
                control(&epoll, libc::EPOLL_CTL_ADD, number, nothing).unwrap();
            });
        }
        assert!(watches(&epoll, number, file.as_fd()));
        assert!(!watches(&epoll, 903, file.as_fd()));
    }

    #[test]
    fn an_epoll_that_watches_another_file_under_the_number_is_left_as_it_is() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let (watched, _a) = std::os::unix::net::UnixStream::pair().unwrap();
        let (before, after) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = 901;
        let asked = Interest {
            events: libc::EPOLLIN as u32,
            data: 5,
        };
        lend_number(number, watched.as_fd(), || {
            control(&epoll, libc::EPOLL_CTL_ADD, number, asked).unwrap();
        });
        exchange(
            epoll.try_clone().unwrap(),
            number,
            before.as_fd(),
            after.as_fd(),
        );
        let told = interest_in(&epoll, number, watched.as_fd());
        assert_eq!(told, Some(kept(asked)));
        assert_eq!(interest_in(&epoll, number, before.as_fd()), None);
        assert_eq!(interest_in(&epoll, number, after.as_fd()), None);
    }
}
