//! Options and settings of descriptors, by Linux's numbers.
use libc::{c_int, c_ulong, c_void, socklen_t};
use std::time::Duration;

use heptad_lab::stack::SocketKind;
use heptad_lab::stack::l4_transport::tcp::{Info, State};
use heptad_lab::stack::l5_session::numbered;
use heptad_lab::stack::stack::SocketOption;

use super::{give, read};
use crate::descriptors::Socket;
use crate::errno::{self, Errno, answer};
use crate::host::{Heptad, Inner};

/// Linux's numbers that the crate of the C library does not have.
const TCP_CC_INFO: c_int = 26;
const SO_MEMINFO: c_int = 55;
const SIOCOUTQNSD: c_ulong = 0x894b;
const SIOCATMARK: c_ulong = 0x8905;
/// What every host takes (RFC 9293 3.7.1), bytes.
const DEFAULT_MSS: u32 = 536;

/// setsockopt(2).
///
/// # Safety
/// `value` is good for reading `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_setsockopt(
    host: &Heptad,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: as the caller says.
    let value = unsafe { read(value, len as usize) };
    answer(value.and_then(|value| {
        host.at_once(|inner| set(inner, fd, (level, name), value))?;
        Ok(0)
    }))
}

fn set(inner: &mut Inner, fd: c_int, which: (c_int, c_int), value: &[u8]) -> Result<(), Errno> {
    let socket = inner.descriptors.socket_mut(fd)?;
    match which {
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => {
            socket.receive_timeout = timeout(value)?;
            return Ok(());
        }
        (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => {
            socket.send_timeout = timeout(value)?;
            return Ok(());
        }
        (libc::IPPROTO_TCP, libc::TCP_CORK) => socket.corked = numbered::int(value)? != 0,
        _ => {}
    }
    let id = socket.id;
    match numbered::given(which.0, which.1, value)? {
        None => Ok(()),
        Some(option) => errno::of(inner.solo.with(|stack, cx| stack.set(id, option, cx))),
    }
}

/// `struct timeval`; nothing is no end.
fn timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let word = |at: usize| {
        let bytes = value.get(at..).and_then(|rest| rest.first_chunk::<8>());
        bytes
            .map(|bytes| i64::from_ne_bytes(*bytes))
            .ok_or(libc::EINVAL)
    };
    let (seconds, micros) = (word(0)?, word(8)?);
    let micros = u64::try_from(micros)
        .ok()
        .filter(|micros| *micros < 1_000_000);
    let micros = micros.ok_or(libc::EDOM)?;
    let time =
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) + Duration::from_micros(micros);
    Ok(Some(time).filter(|time| !time.is_zero()))
}

/// getsockopt(2).
///
/// # Safety
/// `len` is good, and `value` is good for writing `*len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_getsockopt(
    host: &Heptad,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    answer(host.at_once(|inner| {
        let socket = inner.descriptors.socket(fd)?;
        let bytes = get(inner, socket, (level, name))?;
        // SAFETY: as the caller says.
        unsafe { give(&bytes, value, len)? };
        Ok(0)
    }))
}

fn get(inner: &mut Inner, socket: Socket, which: (c_int, c_int)) -> Result<Vec<u8>, Errno> {
    let is_stream = socket.kind == SocketKind::Stream;
    let number = match which {
        (libc::SOL_SOCKET, libc::SO_ERROR) => {
            let error = inner.solo.with(|stack, _| stack.take_error(socket.id));
            error.map_or(0, |error| error.errno())
        }
        (libc::SOL_SOCKET, libc::SO_TYPE) => match is_stream {
            true => libc::SOCK_STREAM,
            false => libc::SOCK_DGRAM,
        },
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => socket.family,
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => protocol(socket),
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
            inner.solo.stack().is_listening(socket.id).into()
        }
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => return Ok(timeval(socket.receive_timeout)),
        (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => return Ok(timeval(socket.send_timeout)),
        (libc::SOL_SOCKET, SO_MEMINFO) => return Ok(memory(inner, socket)),
        (libc::IPPROTO_TCP, libc::TCP_INFO) if is_stream => {
            return Ok(info(inner, socket).bytes().to_vec());
        }
        // Linux's CUBIC and Reno tell nothing.
        (libc::IPPROTO_TCP, TCP_CC_INFO) if is_stream => return Ok(Vec::new()),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) if is_stream => max_segment(inner, socket)?,
        (libc::IPPROTO_IP, libc::IP_MTU) | (libc::IPPROTO_IPV6, libc::IPV6_MTU) => {
            let mtu = errno::of(inner.solo.stack().socket_mtu(socket.id))?;
            mtu.cast_signed()
        }
        (level, name) => {
            let Some(which) = numbered::asked(level, name)? else {
                return Ok(vec![0; 4]);
            };
            let value = errno::of(inner.solo.stack().get(socket.id, which))?;
            return Ok(numbered::shown(value));
        }
    };
    Ok(number.to_ne_bytes().to_vec())
}

fn protocol(socket: Socket) -> c_int {
    match (socket.kind, socket.family) {
        (SocketKind::Stream, _) => libc::IPPROTO_TCP,
        (SocketKind::Lite, _) => libc::IPPROTO_UDPLITE,
        (SocketKind::Echo, libc::AF_INET) => libc::IPPROTO_ICMP,
        (SocketKind::Echo, _) => libc::IPPROTO_ICMPV6,
        _ => libc::IPPROTO_UDP,
    }
}

fn timeval(time: Option<Duration>) -> Vec<u8> {
    let time = time.unwrap_or_default();
    [time.as_secs(), time.subsec_micros().into()]
        .map(u64::to_ne_bytes)
        .concat()
}

/// TCP_INFO.
fn info(inner: &Inner, socket: Socket) -> Info {
    let stack = inner.solo.stack();
    let info = stack.tcp_info(socket.id, inner.solo.now());
    info.unwrap_or(Info::CLOSED)
}

/// SO_MEMINFO: nine words in the order of `include/uapi/linux/sock_diag.h`. What waits to be read, and what waits to be
/// acknowledged, counts by its bytes.
fn memory(inner: &Inner, socket: Socket) -> Vec<u8> {
    let stack = inner.solo.stack();
    let size = |which| match stack.get(socket.id, which) {
        Ok(SocketOption::ReceiveBuffer(n) | SocketOption::SendBuffer(n)) => n,
        _ => 0,
    };
    let status = stack.tcp_status(socket.id);
    let (received, queued) = status.map_or((0, 0), |status| (status.recv_q, status.send_q));
    let sizes = [SocketOption::ReceiveBuffer(0), SocketOption::SendBuffer(0)].map(size);
    [received, sizes[0], queued, sizes[1], 0, queued, 0, 0, 0]
        .map(u32::to_ne_bytes)
        .concat()
}

/// What the connection uses; before there is one, what was asked for, else what every host takes.
fn max_segment(inner: &Inner, socket: Socket) -> Result<c_int, Errno> {
    let stack = inner.solo.stack();
    let used = stack
        .tcp_status(socket.id)
        .map_or(0, |status| status.mss.into());
    let asked = match errno::of(stack.get(socket.id, SocketOption::MaxSegment(0)))? {
        SocketOption::MaxSegment(mss) => mss.into(),
        _ => 0,
    };
    let mss: u32 = [used, asked, DEFAULT_MSS]
        .into_iter()
        .find(|mss| *mss > 0)
        .unwrap_or(0);
    Ok(mss.cast_signed())
}

/// fcntl(2): F_GETFL and F_SETFL are the socket's, the rest is the kernel's descriptor's.
#[unsafe(no_mangle)]
pub extern "C" fn heptad_fcntl(
    host: &Heptad,
    fd: c_int,
    command: c_int,
    argument: c_ulong,
) -> c_int {
    answer(host.at_once(|inner| match command {
        libc::F_GETFL => {
            let socket = inner.descriptors.socket(fd)?;
            let nonblocking = if socket.nonblocking {
                libc::O_NONBLOCK
            } else {
                0
            };
            Ok(libc::O_RDWR | nonblocking)
        }
        libc::F_SETFL => {
            let nonblocking = argument & libc::O_NONBLOCK as c_ulong != 0;
            inner.descriptors.socket_mut(fd)?.nonblocking = nonblocking;
            Ok(0)
        }
        libc::F_GETFD | libc::F_SETFD if inner.descriptors.has(fd) => {
            // SAFETY: neither takes a pointer.
            match unsafe { libc::fcntl(fd, command, argument) } {
                -1 => Err(errno::last()),
                flags => Ok(flags),
            }
        }
        _ if inner.descriptors.has(fd) => Err(libc::EINVAL),
        _ => Err(libc::EBADF),
    }))
}

/// ioctl(2): FIONREAD (SIOCINQ), SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK, FIONBIO.
///
/// # Safety
/// `argument` is good for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_ioctl(
    host: &Heptad,
    fd: c_int,
    request: c_ulong,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    let Some(number) = (unsafe { argument.cast::<c_int>().as_mut() }) else {
        return answer(Err(libc::EFAULT));
    };
    answer(host.at_once(|inner| {
        let socket = inner.descriptors.socket(fd)?;
        if request == libc::FIONBIO {
            inner.descriptors.socket_mut(fd)?.nonblocking = *number != 0;
            return Ok(0);
        }
        let stack = inner.solo.stack();
        let status = stack.tcp_status(socket.id);
        let status = status.filter(|status| status.state != State::Listen);
        let count = match (request, status) {
            (SIOCATMARK, _) if socket.kind == SocketKind::Stream => {
                u32::from(stack.is_at_mark(socket.id))
            }
            (libc::FIONREAD | libc::TIOCOUTQ | SIOCOUTQNSD, None) => return Err(libc::EINVAL),
            (libc::FIONREAD, Some(status)) => status.recv_q,
            (libc::TIOCOUTQ, Some(status)) => status.send_q,
            (SIOCOUTQNSD, Some(_)) => info(inner, socket).notsent_bytes,
            _ => return Err(libc::ENOTTY),
        };
        *number = count.cast_signed();
        Ok(0)
    }))
}
