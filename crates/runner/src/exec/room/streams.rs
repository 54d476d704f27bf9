//! Streams in the room: what is neither connected nor listening, and what listens. Their reads, writes, errors and `poll` are
//! Linux's to the letter.
//!
//! ```text
//!   program ── listener ◀── token ── lab      one for each connection that waits in the stack: the listener is readable
//!   accept: the guard takes a token out, and gives the program the end of a pair
//! ```
//!
//! That one was closed by everybody who had it the kernel tells (sock_diag(7), as `ss --events`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SocketFlags, accept_with, bind, connect, connect_unspec, getsockname, listen, recv,
};

use super::super::calls::Held;
use super::super::guard::Guard;
use super::{CLOSINGS, Rooms, STREAMS};

/// Where a message of sock_diag has the port of a socket's peer, the header of netlink included.
pub(super) const PEER_PORT_AT: u32 = 22;
/// Where it has the cookie.
const COOKIE_AT: usize = 60;
/// A port in the room where nobody listens.
const REFUSED: u16 = 1;
/// Longer than a connection takes over a loopback, nanoseconds.
const SOON: i64 = 100_000_000;

/// Streams that were made ahead, and who tells of those that were closed.
#[derive(Debug, Default)]
pub(super) struct Stock {
    v4: Shelf,
    v6: Shelf,
    closings: Option<OwnedFd>,
    tried: bool,
}

/// Of one family: a program that listens anew is away for as long as they take to make.
#[derive(Debug, Default)]
struct Shelf {
    streams: Vec<OwnedFd>,
    /// Some were asked for.
    has_streams: bool,
    /// What the lab is given for the next listener.
    door: Vec<OwnedFd>,
    /// There was a listener.
    has_doors: bool,
}

impl Stock {
    fn shelf(&mut self, family: u16) -> &mut Shelf {
        match i32::from(family) {
            libc::AF_INET6 => &mut self.v6,
            _ => &mut self.v4,
        }
    }
}

/// What the lab is given for a listener in the room.
#[derive(Debug)]
pub(in crate::exec) struct Door {
    /// Where it listens there.
    pub(in crate::exec) address: SocketAddr,
    /// Sockets in the room for the lab.
    pub(in crate::exec) ends: Vec<OwnedFd>,
}

impl Rooms {
    /// A stream of this family in the room. `None` where there is no room, or its kernel does not tell what is closed.
    pub(in crate::exec) fn stream(&mut self, family: u16) -> Option<OwnedFd> {
        if !self.streams.tried {
            self.streams.tried = true;
            let told = self.room()?.ask(CLOSINGS, 0)?;
            self.streams.closings = told.into_iter().next();
        }
        self.streams.closings.as_ref()?;
        if self.streams.shelf(family).streams.is_empty() {
            self.streams.shelf(family).streams = self.room()?.ask(STREAMS, family)?;
        }
        let shelf = self.streams.shelf(family);
        shelf.has_streams = true;
        shelf.streams.pop()
    }

    /// Sockets in the room for the lab.
    fn door(&mut self, family: u16) -> Option<Vec<OwnedFd>> {
        let shelf = self.streams.shelf(family);
        shelf.has_doors = true;
        match std::mem::take(&mut shelf.door) {
            door if door.is_empty() => self.room()?.ask(STREAMS, family),
            door => Some(door),
        }
    }

    /// Makes what was used up, while no call waits for it.
    pub(in crate::exec) fn stock_up(&mut self) {
        for family in [libc::AF_INET as u16, libc::AF_INET6 as u16] {
            let shelf = self.streams.shelf(family);
            let wants_streams = shelf.has_streams && shelf.streams.is_empty();
            let wants_door = shelf.has_doors && shelf.door.is_empty();
            let Some(room) = self.room.as_ref() else {
                return;
            };
            if wants_streams && let Some(streams) = room.ask(STREAMS, family) {
                self.streams.shelf(family).streams = streams;
            }
            if wants_door && let Some(door) = room.ask(STREAMS, family) {
                self.streams.shelf(family).door = door;
            }
        }
    }

    /// Who tells that streams were closed.
    pub(in crate::exec) fn closings(&self) -> Option<&OwnedFd> {
        self.streams.closings.as_ref()
    }
}

impl Guard {
    /// A stream that is in the room listens there. `None` for any other.
    ///
    /// # Errors
    /// `EINVAL` after a refused connect, as Linux.
    pub(in crate::exec) fn listen_in_room(&mut self, held: &Held) -> Result<Option<Door>, i32> {
        let Some(socket) = self.sockets.get(held.number) else {
            return Ok(None);
        };
        if socket.refused {
            return Err(libc::EINVAL);
        }
        if !socket.stands_in_room() || socket.started {
            return Ok(None);
        }
        let Some(ends) = self.rooms.door(held.family) else {
            return Ok(None);
        };
        Ok(open_door(held, ends))
    }

    /// The kernel told of streams that were closed: their pairs go, which tells the lab.
    pub(in crate::exec) fn take_closings(&mut self) {
        let mut message = [0_u8; 1024];
        loop {
            let Some(told) = self.rooms.closings() else {
                return;
            };
            let length = match recv(told, message.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((_, length)) => length,
                Err(Errno::INTR) => continue,
                // Some were not told: they are looked for.
                Err(Errno::NOBUFS) => {
                    self.sweep_stand_ins();
                    continue;
                }
                Err(_) => return,
            };
            let bytes = message.get(..length).unwrap_or_default();
            let cookie = bytes.get(COOKIE_AT..).and_then(<[u8]>::first_chunk);
            let cookie = cookie.copied().map(u64::from_ne_bytes);
            if let Some(number) = cookie
                .and_then(|cookie| self.sockets.find(cookie))
                .map(|socket| socket.number)
            {
                drop(self.sockets.take_waiting(number));
            }
        }
    }
}

fn open_door(held: &Held, ends: Vec<OwnedFd>) -> Option<Door> {
    // At one address a socket of IPv6 would be of IPv6 alone.
    let here = match loopback(held.family) {
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        four => four,
    };
    bind(&held.end, &SocketAddr::new(here, 0)).ok()?;
    let listening = listen(&held.end, 2 * ends.len() as i32)
        .and_then(|()| getsockname(&held.end))
        .and_then(SocketAddr::try_from);
    match listening {
        Ok(address) => Some(Door { address, ends }),
        Err(_) => {
            close_door(held.end.as_fd());
            None
        }
    }
}

/// A stream in the room listens no more, or is no longer refused: it is as it was at first.
pub(in crate::exec) fn close_door(stream: BorrowedFd<'_>) {
    let _ = connect_unspec(stream);
}

/// A stream in the room that does not block is refused there; `EINPROGRESS`, as the program expects.
pub(in crate::exec) fn be_refused(stream: BorrowedFd<'_>, family: u16) -> i32 {
    match connect(stream, &SocketAddr::new(loopback(family), REFUSED)) {
        Ok(()) => 0,
        Err(error) => error.raw_os_error(),
    }
}

/// Takes a token out of a listener in the room.
pub(in crate::exec) fn take_token(listener: BorrowedFd<'_>) {
    let mut fds = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
    let soon = Timespec {
        tv_sec: 0,
        tv_nsec: SOON,
    };
    if matches!(poll(&mut fds, Some(&soon)), Ok(1..))
        && let Ok(token) = accept_with(listener, SocketFlags::CLOEXEC)
    {
        // It leaves nothing behind in the room.
        let _ = rustix::net::sockopt::set_socket_linger(&token, Some(std::time::Duration::ZERO));
    }
}

fn loopback(family: u16) -> IpAddr {
    match i32::from(family) {
        libc::AF_INET6 => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}
