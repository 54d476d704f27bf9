//! Descriptors: each has one of the kernel's behind it, so that no other file gets its number and `close(2)` is harmless.
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use heptad_lab::stack::{SocketId, SocketKind};

use crate::errno::{self, Errno};

/// What a descriptor stands for.
pub(crate) enum Descriptor {
    /// A socket.
    Socket(Socket),
    /// Which descriptors are watched.
    Epoll(BTreeMap<RawFd, Watched>),
}

/// A socket, and what the stack does not know of it.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    pub id: SocketId,
    pub kind: SocketKind,
    /// AF_INET or AF_INET6.
    pub family: i32,
    pub nonblocking: bool,
    /// SO_RCVTIMEO.
    pub receive_timeout: Option<Duration>,
    /// SO_SNDTIMEO.
    pub send_timeout: Option<Duration>,
    /// TCP_CORK as the program set it; MSG_MORE corks besides.
    pub corked: bool,
}

/// One that an epoll watches.
#[derive(Clone, Copy)]
pub(crate) struct Watched {
    /// As `struct epoll_event` has it.
    pub events: u32,
    /// What is told then.
    pub data: u64,
    /// Bits that were told, for EPOLLET.
    pub told: u32,
}

/// All of a host.
#[derive(Default)]
pub(crate) struct Descriptors(BTreeMap<RawFd, (Option<OwnedFd>, Descriptor)>);

impl Descriptors {
    /// Puts one under a number of the kernel. What had the number was closed behind our back, and is given back.
    pub fn open(&mut self, fd: OwnedFd, descriptor: Descriptor) -> (RawFd, Option<Descriptor>) {
        let number = fd.as_raw_fd();
        let stale = self.0.insert(number, (Some(fd), descriptor));
        let stale = stale.map(|(old, descriptor)| {
            // Its number is the new one's now.
            old.into_iter().for_each(core::mem::forget);
            descriptor
        });
        (number, stale)
    }
    /// Takes one out, with its number.
    pub fn close(&mut self, fd: RawFd) -> Result<Descriptor, Errno> {
        let (_, descriptor) = self.0.remove(&fd).ok_or(libc::EBADF)?;
        for (_, other) in self.0.values_mut() {
            if let Descriptor::Epoll(watched) = other {
                watched.remove(&fd);
            }
        }
        Ok(descriptor)
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether it is one of ours.
    pub fn has(&self, fd: RawFd) -> bool {
        self.0.contains_key(&fd)
    }
    /// A socket; EBADF, or ENOTSOCK for what is none.
    pub fn socket(&self, fd: RawFd) -> Result<Socket, Errno> {
        match self.0.get(&fd) {
            Some((_, Descriptor::Socket(socket))) => Ok(*socket),
            Some(_) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }
    /// As [`Self::socket`], to change.
    pub fn socket_mut(&mut self, fd: RawFd) -> Result<&mut Socket, Errno> {
        match self.0.get_mut(&fd) {
            Some((_, Descriptor::Socket(socket))) => Ok(socket),
            Some(_) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }
    /// What an epoll watches; EBADF, or EINVAL for what is none.
    pub fn epoll(&mut self, fd: RawFd) -> Result<&mut BTreeMap<RawFd, Watched>, Errno> {
        match self.0.get_mut(&fd) {
            Some((_, Descriptor::Epoll(watched))) => Ok(watched),
            Some(_) => Err(libc::EINVAL),
            None => Err(libc::EBADF),
        }
    }
}

/// A number of the kernel's that nothing else will get.
pub(crate) fn reserve() -> Result<OwnedFd, Errno> {
    // SAFETY: eventfd takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    match fd {
        -1 => Err(errno::last()),
        // SAFETY: the kernel just gave it to us, and nobody else has it.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

impl Drop for Descriptors {
    /// At the end the caller may have closed any number with `close(2)`: those are no longer ours to close.
    fn drop(&mut self) {
        for (fd, _) in self.0.values_mut() {
            fd.take().into_iter().for_each(core::mem::forget);
        }
    }
}
