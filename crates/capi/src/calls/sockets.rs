//! Opening, naming and closing.
use libc::{c_int, sockaddr, socklen_t};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use heptad_lab::stack::l5_session::sockaddr::Purpose;
use heptad_lab::stack::{Family, Shutdown, SocketError, SocketId, SocketKind};

use super::{give_address, given_address};
use crate::descriptors::{Descriptor, Socket, reserve};
use crate::errno::{self, Errno, answer};
use crate::host::{Heptad, Inner, Step};

/// socket(2): AF_INET and AF_INET6; streams, datagrams, and echoes of ICMP.
#[unsafe(no_mangle)]
pub extern "C" fn heptad_socket(
    host: &Heptad,
    domain: c_int,
    kind: c_int,
    protocol: c_int,
) -> c_int {
    answer(host.at_once(|inner| {
        let family = match domain {
            libc::AF_INET => Family::V4,
            libc::AF_INET6 => Family::V6,
            _ => return Err(libc::EAFNOSUPPORT),
        };
        let made = kind_of(kind, protocol)?;
        let id = errno::of(inner.solo.with(|stack, _| stack.socket(family, made)))?;
        open(
            inner,
            socket_of(id, made, domain, kind & libc::SOCK_NONBLOCK != 0),
        )
    }))
}

fn kind_of(kind: c_int, protocol: c_int) -> Result<SocketKind, Errno> {
    const TYPE: c_int = 0xf;
    match (kind & TYPE, protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Ok(SocketKind::Stream),
        (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Ok(SocketKind::Datagram),
        (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE) => Ok(SocketKind::Lite),
        (libc::SOCK_DGRAM, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6) => Ok(SocketKind::Echo),
        (libc::SOCK_STREAM | libc::SOCK_DGRAM, _) => Err(libc::EPROTONOSUPPORT),
        (libc::SOCK_RAW, _) => Err(libc::EPERM),
        _ => Err(libc::ESOCKTNOSUPPORT),
    }
}

fn socket_of(id: SocketId, kind: SocketKind, family: c_int, nonblocking: bool) -> Socket {
    Socket {
        id,
        kind,
        family,
        nonblocking,
        receive_timeout: None,
        send_timeout: None,
        corked: false,
    }
}

/// Gives a socket a number.
fn open(inner: &mut Inner, socket: Socket) -> Result<c_int, Errno> {
    let fd = match reserve() {
        Ok(fd) => fd,
        Err(errno) => {
            inner.solo.with(|stack, cx| stack.close(socket.id, cx));
            return Err(errno);
        }
    };
    let (fd, stale) = inner.descriptors.open(fd, Descriptor::Socket(socket));
    if let Some(Descriptor::Socket(stale)) = stale {
        inner.solo.with(|stack, cx| stack.close(stale.id, cx));
    }
    Ok(fd)
}

/// bind(2).
///
/// # Safety
/// `addr` is good for reading `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_bind(
    host: &Heptad,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    answer(host.at_once(|inner| {
        let socket = inner.descriptors.socket(fd)?;
        // SAFETY: as the caller says.
        let local = unsafe { given_address(addr, len, socket, Purpose::Bind)? };
        let local = local.unwrap_or(unspecified(socket));
        errno::of(
            inner
                .solo
                .with(|stack, cx| stack.bind(socket.id, local, cx)),
        )?;
        Ok(0)
    }))
}

/// listen(2).
#[unsafe(no_mangle)]
pub extern "C" fn heptad_listen(host: &Heptad, fd: c_int, backlog: c_int) -> c_int {
    answer(host.at_once(|inner| {
        let socket = inner.descriptors.socket(fd)?;
        let backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
        errno::of(
            inner
                .solo
                .with(|stack, cx| stack.listen(socket.id, backlog, cx)),
        )?;
        Ok(0)
    }))
}

/// accept(2).
///
/// # Safety
/// `len` is null or good, `addr` null or good for writing `*len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_accept(
    host: &Heptad,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe { heptad_accept4(host, fd, addr, len, 0) }
}

/// accept4(2).
///
/// # Safety
/// As for [`heptad_accept`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_accept4(
    host: &Heptad,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let listener = match host.lock().descriptors.socket(fd) {
        Ok(listener) => listener,
        Err(errno) => return answer(Err(errno)),
    };
    let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
    let accepted = host.call(listener.receive_timeout, |inner| {
        match inner.solo.with(|stack, cx| stack.accept(listener.id, cx)) {
            Err(SocketError::WouldBlock) if !listener.nonblocking => Step::Blocks(None),
            Err(error) => Step::Done(Err(error.errno())),
            Ok((id, peer)) => {
                let socket = socket_of(id, listener.kind, listener.family, nonblocking);
                Step::Done(open(inner, socket).map(|fd| (fd, peer)))
            }
        }
    });
    answer(accepted.and_then(|(fd, peer)| {
        // SAFETY: as the caller says.
        unsafe { give_address(peer, addr, len)? };
        Ok(fd)
    }))
}

/// connect(2).
///
/// # Safety
/// `addr` is good for reading `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_connect(
    host: &Heptad,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    let socket = match host.lock().descriptors.socket(fd) {
        Ok(socket) => socket,
        Err(errno) => return answer(Err(errno)),
    };
    // SAFETY: as the caller says.
    let remote = match unsafe { given_address(addr, len, socket, Purpose::Connect) } {
        Ok(remote) => remote,
        Err(errno) => return answer(Err(errno)),
    };
    let Some(remote) = remote else {
        let done = host.at_once(|inner| {
            errno::of(inner.solo.with(|stack, cx| stack.disconnect(socket.id, cx)))
        });
        return answer(done.map(|()| 0));
    };
    let mut again = false;
    answer(host.call(socket.send_timeout, |inner| {
        let connects = inner
            .solo
            .with(|stack, cx| stack.connect(socket.id, remote, cx));
        let was_begun = core::mem::replace(&mut again, true);
        match connects {
            Err(SocketError::InProgress | SocketError::Already) if !socket.nonblocking => {
                Step::Blocks(None)
            }
            Err(SocketError::IsConnected) if was_begun => Step::Done(Ok(0)),
            other => Step::Done(errno::of(other).map(|()| 0)),
        }
    }))
}

/// shutdown(2).
#[unsafe(no_mangle)]
pub extern "C" fn heptad_shutdown(host: &Heptad, fd: c_int, how: c_int) -> c_int {
    answer(host.at_once(|inner| {
        let socket = inner.descriptors.socket(fd)?;
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(libc::EINVAL),
        };
        errno::of(
            inner
                .solo
                .with(|stack, cx| stack.shutdown(socket.id, how, cx)),
        )?;
        Ok(0)
    }))
}

/// close(2).
#[unsafe(no_mangle)]
pub extern "C" fn heptad_close(host: &Heptad, fd: c_int) -> c_int {
    answer(host.at_once(|inner| {
        if let Descriptor::Socket(socket) = inner.descriptors.close(fd)? {
            inner.solo.with(|stack, cx| stack.close(socket.id, cx));
        }
        Ok(0)
    }))
}

/// getsockname(2).
///
/// # Safety
/// As for [`heptad_accept`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_getsockname(
    host: &Heptad,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    answer(host.at_once(|inner| {
        let socket = inner.descriptors.socket(fd)?;
        let local = errno::of(inner.solo.stack().local_addr(socket.id))?;
        // SAFETY: as the caller says.
        unsafe { give_address(local, addr, len)? };
        Ok(0)
    }))
}

/// getpeername(2).
///
/// # Safety
/// As for [`heptad_accept`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_getpeername(
    host: &Heptad,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    answer(host.at_once(|inner| {
        let socket = inner.descriptors.socket(fd)?;
        let peer = errno::of(inner.solo.stack().peer_addr(socket.id))?;
        // SAFETY: as the caller says.
        unsafe { give_address(peer, addr, len)? };
        Ok(0)
    }))
}

fn unspecified(socket: Socket) -> SocketAddr {
    let ip = match socket.family {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, 0)
}
