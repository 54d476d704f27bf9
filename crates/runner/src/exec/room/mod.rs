//! The **room**: a network namespace of the guard's own with nothing in it but a loopback, where this user may have one.
//!
//! A program's datagram socket is one of the kernel's in there, so that what the guard does not see is Linux's to the letter: a
//! `send` without a destination, the length that `FIONREAD` tells, an error that waits. The lab has a socket opposite
//! (`host/carrier`). Neither can reach anything else.
//!
//! A stream that is neither connected nor listening, and a listener, are sockets of the kernel's in there, too (`streams`).
//!
//! Sockets can be made in a namespace only from within, so a process lives there and makes them when it is asked (`inside`).

pub mod inside;
pub(super) mod streams;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, bind, connect, getsockname};

use super::answers::Want;
use super::calls::Held;
use super::guard::Guard;
use super::options::set_native;
use super::{descendants, identity};
use crate::channel;
use crate::notify::Notification;
use crate::protocol::{Call, SocketNumber};

/// Requests: two datagram sockets opposite each other; raw sockets of ICMP and ICMPv6; some streams; who tells of closed ones.
const PAIR: u8 = 1;
const RAW: u8 = 2;
const STREAMS: u8 = 3;
const CLOSINGS: u8 = 4;
/// Of which family.
const OF_V4: u8 = 4;
const OF_V6: u8 = 6;
/// So many streams are made for one request.
const STREAMS_AT_ONCE: usize = channel::MOST_FDS;
/// Longer than the room ever takes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ports of programs' sockets: below those that the kernel chooses for the lab's.
const PORTS: std::ops::Range<u16> = 1024..32_768;

/// The way to the process in the room. Closed, that process ends.
#[derive(Debug)]
pub struct Room {
    channel: OwnedFd,
}

impl Room {
    /// Makes one. `None` where a namespace is not to be had, or sockets in it are not the kernel's.
    pub fn open() -> Option<Self> {
        let (ours, theirs) = channel::channel().ok()?;
        // SAFETY: the guard has one thread, so the child may go on as any process may.
        match unsafe { libc::fork() } {
            -1 => return None,
            0 => {
                let _ = inside::live(theirs);
                // SAFETY: ends this process without the clean-up that belongs to the front.
                unsafe { libc::_exit(0) }
            }
            _ => drop(theirs),
        }
        let patience = Some(PATIENCE);
        rustix::net::sockopt::set_socket_timeout(
            &ours,
            rustix::net::sockopt::Timeout::Recv,
            patience,
        )
        .ok()?;
        let room = Self { channel: ours };
        room.raw().map(|_| room)
    }

    /// Two sockets opposite each other: for the program and for the lab.
    pub fn pair(&self, family: u16) -> Option<[OwnedFd; 2]> {
        self.ask(PAIR, family)?.try_into().ok()
    }

    /// Raw sockets of ICMP and ICMPv6, with which errors are told.
    pub fn raw(&self) -> Option<[OwnedFd; 2]> {
        self.ask(RAW, 0)?.try_into().ok()
    }

    fn ask(&self, what: u8, family: u16) -> Option<Vec<OwnedFd>> {
        let family = match i32::from(family) {
            libc::AF_INET6 => OF_V6,
            _ => OF_V4,
        };
        channel::send(self.channel.as_fd(), &[what, family], &[], true).ok()?;
        let answer = channel::receive_waiting(&self.channel).ok()??;
        Some(answer.fds)
    }
}

/// The guard's room, once a socket was asked for.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    room: Option<Room>,
    tried: bool,
    /// The lab has the raw sockets.
    told_raw: bool,
    /// The next port there that is tried.
    port: u16,
    /// Sockets that had no port when they were last looked at.
    unplaced: Vec<SocketNumber>,
    /// With so many, they are looked at.
    unplaced_at_most: usize,
    streams: streams::Stock,
}

/// Calls that may give a socket its port.
const MAY_DRAW: &[i64] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

/// Sockets without a port that are not looked for, however old: of those the lab cannot find out that they were closed.
const FEW: usize = 64;

/// The ends of a new datagram socket: those that the guard keeps until the lab agrees, and what the lab is given, both the
/// program's and the lab's in this order. None: the lab makes a pair.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) kept: Vec<OwnedFd>,
    pub(super) told: Vec<OwnedFd>,
}

impl Guard {
    /// Makes the ends of a socket, if it is one of datagrams and there is a room.
    pub(super) fn ends_in_room(&mut self, family: u16, kind: u32) -> Ends {
        let of_datagrams = [libc::SOCK_DGRAM as u32, libc::SOCK_RAW as u32].contains(&kind)
            && [libc::AF_INET, libc::AF_INET6].contains(&family.into());
        match of_datagrams {
            true => self.rooms.ends(family).unwrap_or_default(),
            false => Ends::default(),
        }
    }

    /// A socket in the room begins. When there are many without a port, those that were closed go.
    pub(super) fn begin_in_room(&mut self, number: SocketNumber, end: &OwnedFd) {
        let Some(socket) = self.sockets.get(number) else {
            return;
        };
        socket.in_room = true;
        // A raw socket hears from the beginning.
        if socket.made_as.0 == libc::SOCK_RAW as u32
            && let Some(lab_end) = &socket.lab_end
        {
            socket.placed = self.rooms.place(end.as_fd(), lab_end.as_fd());
            return;
        }
        self.rooms.unplaced.push(number);
        if self.rooms.unplaced.len() < self.rooms.unplaced_at_most.max(FEW) {
            return;
        }
        let below = descendants::below(std::process::id().cast_signed());
        let open = identity::sockets_of(&below);
        for number in std::mem::take(&mut self.rooms.unplaced) {
            match self.sockets.get(number).map(|s| (s.placed, s.inode)) {
                Some((false, inode)) if open.contains(&inode) => self.rooms.unplaced.push(number),
                Some((false, _)) => self.tell(Call::Undelivered {
                    socket: number,
                    token: false,
                }),
                _ => {}
            }
        }
        self.rooms.unplaced_at_most = 2 * self.rooms.unplaced.len();
    }

    /// Before a call on a socket in the room that has no port there: `send` without a destination fails, but draws one, of
    /// which the lab hears now; a call that may draw one in the lab gives it one here.
    pub(super) fn find_place(&mut self, n: &Notification, held: &Held) {
        let Some(socket) = self.sockets.get(held.number) else {
            return;
        };
        if socket.placed {
            return;
        }
        let Some(lab_end) = socket.lab_end.as_ref() else {
            return;
        };
        let drawn = port_of(held.end.as_fd()) != 0;
        if drawn || MAY_DRAW.contains(&n.call) {
            socket.placed = self.rooms.place(held.end.as_fd(), lab_end.as_fd());
        }
        if drawn {
            let nowhere = match i32::from(held.family) {
                libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
                _ => Ipv6Addr::UNSPECIFIED.into(),
            };
            self.tell(Call::Bind {
                socket: held.number,
                address: SocketAddr::new(nowhere, 0),
            });
        }
    }

    /// A queue of errors that the program asks for is the kernel's, too: it makes `poll` tell of them.
    pub(super) fn queue_errors(held: &Held, (level, name): (i32, i32), value: &[u8]) {
        let option = match i32::from(held.family) {
            libc::AF_INET => (libc::IPPROTO_IP, libc::IP_RECVERR),
            _ => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        };
        if held.in_room
            && (level, name) == option
            && let Some(value) = value.first_chunk::<4>()
        {
            let _ = set_native(held.end.as_fd(), option, value);
        }
    }

    /// The lab tells what is in the queue of errors; the kernel's forgets as much.
    pub(super) fn forget_error(&mut self, n: &Notification, want: &Want) {
        let Want::Datagram { flags, .. } = want else {
            return;
        };
        if flags & libc::MSG_ERRQUEUE != 0
            && let Ok(Some(held)) = self.hold(n)
            && held.in_room
        {
            let mut nothing: [u8; 0] = [];
            let flags = RecvFlags::from_bits_retain(libc::MSG_ERRQUEUE.cast_unsigned());
            let _ = rustix::net::recv(&held.end, &mut nothing, flags | RecvFlags::DONTWAIT);
        }
    }

    /// Connects the program's socket in the room to the lab's, so that it may `send`, or undoes that.
    pub(super) fn associate(&mut self, number: SocketNumber, end: &OwnedFd, connects: bool) {
        let Some(socket) = self.sockets.get(number) else {
            return;
        };
        let Some(lab_end) = socket.lab_end.as_ref() else {
            return;
        };
        // Both are in a room where nothing else happens: neither fails.
        let _ = match (connects, getsockname(lab_end)) {
            (true, Ok(opposite)) => connect(end, &opposite),
            _ => rustix::net::connect_unspec(end),
        };
        // A port that was drawn is given back.
        socket.placed = port_of(end.as_fd()) != 0;
    }
}

/// A socket's port; 0: none yet.
fn port_of(socket: BorrowedFd<'_>) -> u16 {
    let name = getsockname(socket).ok();
    let name = name.and_then(|name| SocketAddr::try_from(name).ok());
    name.map_or(0, |name| name.port())
}

impl Rooms {
    /// Gives a program's socket a port in the room, one that it keeps when it is disconnected, and the lab's that peer. Whether
    /// that was done.
    fn place(&mut self, program: BorrowedFd<'_>, lab: BorrowedFd<'_>) -> bool {
        let Ok(Ok(host)) = getsockname(lab).map(SocketAddr::try_from) else {
            return false;
        };
        let drawn = match port_of(program) {
            0 => None,
            port => Some(port),
        };
        let to_port = |port| SocketAddr::new(host.ip(), port);
        let mut asked = (0..PORTS.len()).map(|_| self.next_port());
        // Only a port that is taken is passed over.
        let taken = |port: u16| bind(program, &to_port(port)) == Err(Errno::ADDRINUSE);
        let Some(port) = drawn.or_else(|| asked.find(|port| !taken(*port))) else {
            return false;
        };
        connect(lab, &to_port(port)).is_ok()
    }

    fn next_port(&mut self) -> u16 {
        let port = self.port.max(PORTS.start);
        self.port = match port + 1 {
            next if PORTS.contains(&next) => next,
            _ => PORTS.start,
        };
        port
    }

    fn room(&mut self) -> Option<&Room> {
        if !self.tried {
            self.tried = true;
            self.room = Room::open();
        }
        self.room.as_ref()
    }

    fn ends(&mut self, family: u16) -> Option<Ends> {
        let room = self.room()?;
        let kept = room.pair(family)?;
        let copies = kept.iter().map(OwnedFd::try_clone);
        let mut told: Vec<_> = copies.collect::<Result<_, _>>().ok()?;
        if !self.told_raw {
            told.extend(self.room()?.raw()?);
            self.told_raw = true;
        }
        Some(Ends {
            kept: kept.into(),
            told,
        })
    }
}
