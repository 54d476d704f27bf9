//! The **room**: a network namespace of the guard's own with nothing in it but a loopback, where this user may have one.
//!
//! A program's datagram socket is one of the kernel's in there, so that what the guard does not see is Linux's to the letter: a
//! `send` without a destination, the length that `FIONREAD` tells, an error that waits. The lab has a socket opposite
//! (`host/carrier`). Neither can reach anything else.
//!
//! Sockets can be made in a namespace only from within, so a process lives there and makes them when it is asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, bind, connect, getsockname,
    socket_with,
};

use super::answers::Want;
use super::calls::Held;
use super::guard::Guard;
use super::options::set_native;
use super::{descendants, identity};
use crate::channel;
use crate::notify::Notification;
use crate::protocol::{Call, SocketNumber};
use crate::room::{LEFT_OUT, Level};

/// Requests: two sockets opposite each other, of IPv4 or IPv6; raw sockets of ICMP and ICMPv6.
const OF_V4: u8 = 4;
const OF_V6: u8 = 6;
const RAW: u8 = 1;
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
                let _ = live(theirs);
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
        room.ask(RAW).map(|_| room)
    }

    /// Two sockets opposite each other: for the program and for the lab.
    pub fn pair(&self, family: u16) -> Option<[OwnedFd; 2]> {
        self.ask(match i32::from(family) {
            libc::AF_INET => OF_V4,
            _ => OF_V6,
        })
    }

    /// Raw sockets of ICMP and ICMPv6, with which errors are told.
    pub fn raw(&self) -> Option<[OwnedFd; 2]> {
        self.ask(RAW)
    }

    fn ask(&self, what: u8) -> Option<[OwnedFd; 2]> {
        channel::send(self.channel.as_fd(), &[what], &[], true).ok()?;
        let answer = channel::receive_waiting(&self.channel).ok()??;
        <[OwnedFd; 2]>::try_from(answer.fds).ok()
    }
}

/// The guard's room, once a datagram socket was asked for.
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

    fn ends(&mut self, family: u16) -> Option<Ends> {
        if !self.tried {
            self.tried = true;
            self.room = Room::open();
        }
        let room = self.room.as_ref()?;
        let kept = room.pair(family)?;
        let copies = kept.iter().map(OwnedFd::try_clone);
        let mut told: Vec<_> = copies.collect::<Result<_, _>>().ok()?;
        if !self.told_raw {
            told.extend(room.raw()?);
            self.told_raw = true;
        }
        Some(Ends {
            kept: kept.into(),
            told,
        })
    }
}

/// The life of the process in the room: its errors end it, which the guard takes for an answer.
fn live(channel: OwnedFd) -> io::Result<()> {
    let channel = leave_all_but(channel)?;
    enter()?;
    while let Some(request) = channel::receive_waiting(&channel)? {
        let fds = match request.bytes.first() {
            Some(&OF_V4) => pair(Ipv4Addr::LOCALHOST.into()),
            Some(&OF_V6) => pair(Ipv6Addr::LOCALHOST.into()),
            Some(&RAW) => raw(),
            _ => return Ok(()),
        };
        let fds = fds.map(Vec::from).unwrap_or_default();
        let lent: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        channel::send(channel.as_fd(), &[0], &lent, true)?;
    }
    Ok(())
}

/// The channel only, under number 0: above all no end of a pair that others wait to see closed.
fn leave_all_but(channel: OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: plain integers; of the descriptors that are closed here nothing is used any more, as this process has one
    // thread and never returns to whoever owns them.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::dup3(channel.as_raw_fd(), 0, libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        std::mem::forget(channel);
        if libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(0))
    }
}

/// This process goes to live in a namespace with a loopback that is up.
///
/// # Errors
/// The kernel's; `Unsupported` where sockets are not made in it.
pub fn enter() -> io::Result<()> {
    // SAFETY: this process has one thread.
    let alone = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0
        // SAFETY: as above.
        || unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) } == 0;
    if !alone {
        return Err(io::Error::last_os_error());
    }
    let asking = udp(AddressFamily::INET)?;
    if !is_here(asking.as_fd()) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    raise_loopback(asking.as_fd())
}

/// Whether a socket is of this namespace: below another guard it would be one of that guard's.
fn is_here(socket: BorrowedFd<'_>) -> bool {
    const SIOCGSKNS: libc::c_ulong = 0x894c;
    // SAFETY: takes no argument; gives a new descriptor.
    let number = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    if number < 0 {
        return false;
    }
    // SAFETY: new and ours.
    let namespace = unsafe { OwnedFd::from_raw_fd(number) };
    let its = rustix::fs::fstat(&namespace).map(|stat| stat.st_ino);
    let ours = rustix::fs::stat("/proc/self/ns/net").map(|stat| stat.st_ino);
    its.is_ok() && its == ours
}

fn raise_loopback(asking: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one `ifreq` through the pointer.
    match unsafe { libc::ioctl(asking.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn udp(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(
        family,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

fn raw() -> Option<[OwnedFd; 2]> {
    let raw = |family, protocol| {
        let protocol = Some(Protocol::from_raw(std::num::NonZeroU32::new(protocol)?));
        socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol).ok()
    };
    Some([
        raw(AddressFamily::INET, libc::IPPROTO_ICMP as u32)?,
        raw(AddressFamily::INET6, libc::IPPROTO_ICMPV6 as u32)?,
    ])
}

/// The program's has no port yet, and so the lab's no peer.
fn pair(host: IpAddr) -> Option<[OwnedFd; 2]> {
    let family = match host {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let program = udp(family).ok()?;
    tell_marks(program.as_fd(), host).ok()?;
    let lab = udp(family).ok()?;
    bind(&lab, &SocketAddr::new(host, 0)).ok()?;
    rustix::io::ioctl_fionbio(&lab, true).ok()?;
    Some([program, lab])
}

/// The program's socket tells the marks of what comes, and leaves out what only asks whether it is there.
fn tell_marks(program: BorrowedFd<'_>, host: IpAddr) -> Result<(), i32> {
    let level = Level::of(host);
    for name in [level.wants_low, level.wants_high] {
        set_native(program, (level.level, name), &1_i32)?;
    }
    let statement = |code: u32, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let class_at = libc::SKF_NET_OFF.cast_unsigned();
    let (load, mask, shift) = match host {
        // The second byte of the header.
        IpAddr::V4(_) => (
            statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, class_at + 1),
            0xff,
            0,
        ),
        // Bits 4 to 11 of the header.
        IpAddr::V6(_) => (
            statement(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, class_at),
            0x0ff0,
            4,
        ),
    };
    let mut code = [
        load,
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask),
        libc::sock_filter {
            jf: 1,
            ..statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                u32::from(LEFT_OUT) << shift,
            )
        },
        statement(libc::BPF_RET | libc::BPF_K, 0),
        statement(libc::BPF_RET | libc::BPF_K, u32::MAX),
    ];
    let filter = libc::sock_fprog {
        len: code.len() as libc::c_ushort,
        filter: code.as_mut_ptr(),
    };
    let socket = libc::SOL_SOCKET;
    set_native(program, (socket, libc::SO_ATTACH_FILTER), &filter)?;
    set_native(program, (socket, libc::SO_LOCK_FILTER), &1_i32)
}
