//! What the process in the room does: it makes sockets there when it is asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, socket_with};

use super::super::options::set_native;
use super::streams::PEER_PORT_AT;
use super::{CLOSINGS, OF_V6, PAIR, RAW, STREAMS, STREAMS_AT_ONCE};
use crate::channel;
use crate::room::{LEFT_OUT, Level};

/// The life of the process in the room: its errors end it, which the guard takes for an answer.
pub(super) fn live(channel: OwnedFd) -> io::Result<()> {
    let channel = leave_all_but(channel)?;
    enter()?;
    while let Some(request) = channel::receive_waiting(&channel)? {
        let [what, family] = request.bytes[..] else {
            return Ok(());
        };
        let host: IpAddr = match family {
            OF_V6 => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let fds = match what {
            PAIR => pair(host).map(Vec::from),
            RAW => raw().map(Vec::from),
            STREAMS => streams(host),
            CLOSINGS => closings().ok().map(|socket| vec![socket]),
            _ => return Ok(()),
        };
        let fds = fds.unwrap_or_default();
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

/// Streams that are neither connected nor listening.
fn streams(host: IpAddr) -> Option<Vec<OwnedFd>> {
    let family = family_of(host);
    let stream = || socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let all = (0..STREAMS_AT_ONCE).map(|_| stream());
    all.collect::<Result<_, _>>().ok()
}

/// A socket that tells of each stream that is closed in this namespace (`SKNLGRP_INET_TCP_DESTROY` of `linux/sock_diag.h`), but
/// for those that were connected.
fn closings() -> io::Result<OwnedFd> {
    const OF_V4_STREAMS: libc::c_int = 1;
    const OF_V6_STREAMS: libc::c_int = 3;
    let protocol = std::num::NonZeroU32::new(libc::NETLINK_SOCK_DIAG.cast_unsigned());
    let protocol = protocol.map(Protocol::from_raw);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    let without_peer = [
        statement(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, PEER_PORT_AT),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0)
        },
        statement(libc::BPF_RET | libc::BPF_K, u32::MAX),
        statement(libc::BPF_RET | libc::BPF_K, 0),
    ];
    let errno = io::Error::from_raw_os_error;
    attach(socket.as_fd(), &without_peer).map_err(errno)?;
    for group in [OF_V4_STREAMS, OF_V6_STREAMS] {
        let option = (libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP);
        set_native(socket.as_fd(), option, &group).map_err(errno)?;
    }
    Ok(socket)
}

/// The program's has no port yet, and so the lab's no peer.
fn pair(host: IpAddr) -> Option<[OwnedFd; 2]> {
    let family = family_of(host);
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
    let code = [
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
    attach(program, &code)?;
    set_native(program, (libc::SOL_SOCKET, libc::SO_LOCK_FILTER), &1_i32)
}

fn family_of(host: IpAddr) -> AddressFamily {
    match host {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

/// An instruction of a filter that does not jump.
fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Makes a socket hear only of what a filter lets through (`SO_ATTACH_FILTER`).
fn attach(socket: BorrowedFd<'_>, code: &[libc::sock_filter]) -> Result<(), i32> {
    let filter = libc::sock_fprog {
        len: code.len() as libc::c_ushort,
        filter: code.as_ptr().cast_mut(),
    };
    set_native(socket, (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER), &filter)
}
