//! Bytes there and back.
use libc::{c_int, c_uint, c_void, iovec, loff_t, msghdr, sockaddr, socklen_t};
use std::net::SocketAddr;

use heptad_lab::stack::l5_session::sockaddr::Purpose;
use heptad_lab::stack::stack::SocketOption;
use heptad_lab::stack::{SocketError, SocketKind};

use super::{give_address, given_address, read, write};
use crate::descriptors::Socket;
use crate::errno::{self, Errno, answer};
use crate::host::{Heptad, Inner, Step};

/// Linux's UIO_MAXIOV: most buffers of one call.
const MOST_BUFFERS: usize = 1024;
/// Most bytes of one call; what is asked beyond is not looked at.
const MOST: usize = 16 << 20;

/// What was received.
struct Received {
    bytes: Vec<u8>,
    /// How many there were, before they were cut.
    len: usize,
    from: Option<SocketAddr>,
}

fn socket(host: &Heptad, fd: c_int) -> Result<Socket, Errno> {
    host.lock().descriptors.socket(fd)
}

fn receive(host: &Heptad, fd: c_int, len: usize, flags: c_int) -> Result<Received, Errno> {
    let socket = socket(host, fd)?;
    if flags & libc::MSG_OOB != 0 {
        return receive_urgent(host, socket, len, flags);
    }
    if flags & libc::MSG_ERRQUEUE != 0 {
        return Err(libc::EAGAIN);
    }
    let waits = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
    let whole = waits && flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
    let mut buffer = vec![0; len.min(MOST)];
    let mut taken = 0;
    host.call(socket.receive_timeout, |inner| {
        loop {
            match take(inner, socket, &mut buffer[taken..], flags) {
                Err(SocketError::WouldBlock) if waits => return Step::Blocks(None),
                Err(_) if taken > 0 => return Step::Done(Ok(received(&buffer, taken, None))),
                Err(error) => return Step::Done(Err(error.errno())),
                Ok((0, ..)) if taken > 0 => return Step::Done(Ok(received(&buffer, taken, None))),
                Ok((n, all, from)) if socket.kind != SocketKind::Stream => {
                    let mut got = received(&buffer, n, from);
                    got.len = all;
                    return Step::Done(Ok(got));
                }
                Ok((n, ..)) => {
                    taken += n;
                    if !whole || n == 0 || taken == buffer.len() {
                        return Step::Done(Ok(received(&buffer, taken, None)));
                    }
                }
            }
        }
    })
}
fn received(buffer: &[u8], len: usize, from: Option<SocketAddr>) -> Received {
    Received {
        bytes: buffer[..len].to_vec(),
        len,
        from,
    }
}
/// The byte beside a stream: it is never waited for.
fn receive_urgent(
    host: &Heptad,
    socket: Socket,
    len: usize,
    flags: c_int,
) -> Result<Received, Errno> {
    let peeks = flags & libc::MSG_PEEK != 0;
    let byte = host.at_once(|inner| {
        let solo = &mut inner.solo;
        errno::of(solo.with(|stack, cx| stack.recv_urgent(socket.id, peeks, cx)))
    })?;
    let bytes: Vec<u8> = byte.into_iter().collect();
    Ok(received(&bytes, bytes.len().min(len), None))
}
/// How many bytes were taken, how many there were, who sent them.
fn take(
    inner: &mut Inner,
    socket: Socket,
    out: &mut [u8],
    flags: c_int,
) -> Result<(usize, usize, Option<SocketAddr>), SocketError> {
    let peeks = flags & libc::MSG_PEEK != 0;
    inner.solo.with(|stack, cx| match (socket.kind, peeks) {
        (SocketKind::Stream, true) => stack.peek(socket.id, out, cx).map(|n| (n, n, None)),
        (SocketKind::Stream, false) => stack.recv(socket.id, out, cx).map(|n| (n, n, None)),
        (SocketKind::Echo, _) => {
            let n = stack.recv_echo(socket.id, out, cx)?;
            Ok((n.copied, n.len, n.from))
        }
        (_, true) => {
            let (n, all, from) = stack.peek_from(socket.id, out, cx)?;
            Ok((n, all, Some(from)))
        }
        (_, false) => {
            let got = stack.recv_message(socket.id, out, cx)?;
            Ok((got.copied, got.len, got.from))
        }
    })
}

/// What a call answers: how many bytes; how many there were, if the program wants to know of a datagram (MSG_TRUNC).
fn count(got: &Received, flags: c_int) -> isize {
    let count = match flags & libc::MSG_TRUNC {
        0 => got.bytes.len(),
        _ => got.len,
    };
    count.cast_signed()
}

/// read(2).
///
/// # Safety
/// `buf` is good for writing `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_read(
    host: &Heptad,
    fd: c_int,
    buf: *mut c_void,
    count: usize,
) -> isize {
    // SAFETY: as the caller says.
    unsafe { heptad_recv(host, fd, buf, count, 0) }
}

/// recv(2).
///
/// # Safety
/// `buf` is good for writing `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_recv(
    host: &Heptad,
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
) -> isize {
    let (from, from_len) = (core::ptr::null_mut(), core::ptr::null_mut());
    // SAFETY: as the caller says.
    unsafe { heptad_recvfrom(host, fd, buf, len, flags, from, from_len) }
}

/// recvfrom(2).
///
/// # Safety
/// `buf` is good for writing `len` bytes, `addrlen` null or good, `addr` null or good for writing `*addrlen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_recvfrom(
    host: &Heptad,
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
    addr: *mut sockaddr,
    addrlen: *mut socklen_t,
) -> isize {
    answer(receive(host, fd, len, flags).and_then(|got| {
        // SAFETY: as the caller says.
        unsafe {
            write(buf.cast::<u8>(), got.bytes.len())?.copy_from_slice(&got.bytes);
            match got.from {
                Some(from) => give_address(from, addr, addrlen)?,
                None if !addrlen.is_null() && !addr.is_null() => *addrlen = 0,
                None => {}
            }
        }
        Ok(count(&got, flags))
    }))
}

/// readv(2).
///
/// # Safety
/// `iov` is good for reading `iovcnt` buffers, and each is good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_readv(
    host: &Heptad,
    fd: c_int,
    iov: *const iovec,
    iovcnt: c_int,
) -> isize {
    let done = usize::try_from(iovcnt).map_err(|_| libc::EINVAL);
    answer(done.and_then(|count| {
        // SAFETY: as the caller says.
        let buffers = unsafe { buffers(iov, count, libc::EINVAL)? };
        let got = receive(host, fd, total(buffers), 0)?;
        // SAFETY: likewise.
        unsafe { scatter(&got.bytes, buffers)? };
        Ok(got.bytes.len().cast_signed())
    }))
}

/// recvmsg(2). There are no control messages.
///
/// # Safety
/// `msg` is good, and what it points at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_recvmsg(
    host: &Heptad,
    fd: c_int,
    msg: *mut msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: as the caller says.
    let Some(msg) = (unsafe { msg.as_mut() }) else {
        return answer(Err(libc::EFAULT));
    };
    // SAFETY: likewise.
    let list = unsafe { buffers(msg.msg_iov, msg.msg_iovlen, libc::EMSGSIZE) };
    answer(list.and_then(|list| {
        let got = receive(host, fd, total(list), flags)?;
        // SAFETY: likewise.
        unsafe { scatter(&got.bytes, list)? };
        match got.from {
            // SAFETY: likewise.
            Some(from) => unsafe {
                give_address(from, msg.msg_name.cast(), &raw mut msg.msg_namelen)?;
            },
            None => msg.msg_namelen = 0,
        }
        msg.msg_controllen = 0;
        msg.msg_flags = match got.len > got.bytes.len() {
            true => libc::MSG_TRUNC,
            false => 0,
        };
        Ok(count(&got, flags))
    }))
}

fn send(
    host: &Heptad,
    fd: c_int,
    bytes: &[u8],
    to: Option<SocketAddr>,
    flags: c_int,
) -> Result<isize, Errno> {
    let socket = socket(host, fd)?;
    let is_stream = socket.kind == SocketKind::Stream;
    let urgent = flags & libc::MSG_OOB != 0;
    if urgent && !is_stream {
        return Err(libc::EOPNOTSUPP);
    }
    let waits = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
    let mut taken = 0;
    if let Some(to) = to.filter(|_| is_stream && flags & libc::MSG_FASTOPEN != 0) {
        taken = open_fast(host, socket, bytes, (to, waits))?;
        if !waits || taken == bytes.len() {
            return Ok(taken.cast_signed());
        }
    }
    let more = is_stream && flags & libc::MSG_MORE != 0 && !socket.corked;
    cork(host, socket, is_stream && (more || socket.corked))?;
    let sent = host.call(socket.send_timeout, |inner| {
        loop {
            let rest = &bytes[taken..];
            let sent = inner.solo.with(|stack, cx| match to {
                Some(to) if !is_stream => stack.send_to(socket.id, rest, to, cx),
                _ if urgent => stack.send_urgent(socket.id, rest, cx),
                _ => stack.send(socket.id, rest, cx),
            });
            match sent {
                // What was taken may have left already: there may be room again.
                Ok(n) if waits && is_stream && n > 0 && n < rest.len() => taken += n,
                Ok(n) => return Step::Done(Ok(taken + n)),
                Err(SocketError::WouldBlock) if waits => return Step::Blocks(None),
                Err(_) if taken > 0 => return Step::Done(Ok(taken)),
                Err(error) => return Step::Done(Err(error.errno())),
            }
        }
    });
    match sent {
        Err(libc::EAGAIN) if taken > 0 => Ok(taken.cast_signed()),
        other => other.map(usize::cast_signed),
    }
}

/// A connection that begins with text on its SYN, as much as may ride there: how much did. One that waits has the connection then.
fn open_fast(
    host: &Heptad,
    socket: Socket,
    bytes: &[u8],
    (to, waits): (SocketAddr, bool),
) -> Result<usize, Errno> {
    let mut taken = None;
    host.call(socket.send_timeout, |inner| {
        let opened = inner.solo.with(|stack, cx| match taken {
            None => stack.send_fast(socket.id, bytes, to, cx),
            Some(n) => stack.connect(socket.id, to, cx).map(|()| n),
        });
        match opened {
            Ok(n) if taken.is_some() || !waits => Step::Done(Ok(n)),
            Ok(n) => {
                taken = Some(n);
                Step::Blocks(None)
            }
            Err(SocketError::InProgress | SocketError::Already) if waits => {
                taken.get_or_insert(0);
                Step::Blocks(None)
            }
            Err(SocketError::IsConnected) if taken.is_some() => Step::Done(Ok(taken.unwrap_or(0))),
            Err(error) => Step::Done(Err(error.errno())),
        }
    })
}

/// MSG_MORE holds back what is no full segment, as TCP_CORK does, until a call comes without it.
fn cork(host: &Heptad, socket: Socket, on: bool) -> Result<(), Errno> {
    if socket.kind != SocketKind::Stream {
        return Ok(());
    }
    host.at_once(|inner| {
        let is = inner.solo.stack().get(socket.id, SocketOption::Cork(false));
        if is == Ok(SocketOption::Cork(on)) {
            return Ok(());
        }
        let option = SocketOption::Cork(on);
        errno::of(
            inner
                .solo
                .with(|stack, cx| stack.set(socket.id, option, cx)),
        )
    })
}

/// write(2). There is no SIGPIPE.
///
/// # Safety
/// `buf` is good for reading `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_write(
    host: &Heptad,
    fd: c_int,
    buf: *const c_void,
    count: usize,
) -> isize {
    // SAFETY: as the caller says.
    unsafe { heptad_send(host, fd, buf, count, 0) }
}

/// send(2).
///
/// # Safety
/// `buf` is good for reading `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_send(
    host: &Heptad,
    fd: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: as the caller says.
    unsafe { heptad_sendto(host, fd, buf, len, flags, core::ptr::null(), 0) }
}

/// sendto(2).
///
/// # Safety
/// `buf` is good for reading `len` bytes, `addr` null or good for reading `addrlen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_sendto(
    host: &Heptad,
    fd: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
    addr: *const sockaddr,
    addrlen: socklen_t,
) -> isize {
    // SAFETY: as the caller says.
    let to = unsafe { destination(host, (fd, flags), addr, addrlen) };
    answer(to.and_then(|to| {
        // SAFETY: likewise.
        let bytes = unsafe { read(buf, len)? };
        send(host, fd, bytes, to, flags)
    }))
}

/// writev(2).
///
/// # Safety
/// `iov` is good for reading `iovcnt` buffers, and each is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_writev(
    host: &Heptad,
    fd: c_int,
    iov: *const iovec,
    iovcnt: c_int,
) -> isize {
    let done = usize::try_from(iovcnt).map_err(|_| libc::EINVAL);
    answer(done.and_then(|count| {
        // SAFETY: as the caller says.
        let bytes = unsafe { gather(buffers(iov, count, libc::EINVAL)?)? };
        send(host, fd, &bytes, None, 0)
    }))
}

/// sendmsg(2). Control messages are not looked at.
///
/// # Safety
/// `msg` is good, and what it points at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_sendmsg(
    host: &Heptad,
    fd: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: as the caller says.
    let Some(msg) = (unsafe { msg.as_ref() }) else {
        return answer(Err(libc::EFAULT));
    };
    // SAFETY: likewise.
    let to = unsafe { destination(host, (fd, flags), msg.msg_name.cast(), msg.msg_namelen) };
    answer(to.and_then(|to| {
        // SAFETY: likewise.
        let bytes = unsafe { gather(buffers(msg.msg_iov, msg.msg_iovlen, libc::EMSGSIZE)?)? };
        send(host, fd, &bytes, to, flags)
    }))
}

/// Whom a program sends to, if it says so; of a stream it is not looked at.
///
/// # Safety
/// `addr` is null or good for reading `len` bytes.
unsafe fn destination(
    host: &Heptad,
    (fd, flags): (c_int, c_int),
    addr: *const sockaddr,
    len: socklen_t,
) -> Result<Option<SocketAddr>, Errno> {
    let socket = socket(host, fd)?;
    let ignored = socket.kind == SocketKind::Stream && flags & libc::MSG_FASTOPEN == 0;
    if addr.is_null() || len == 0 || ignored {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    unsafe { given_address(addr, len, socket, Purpose::Send) }
}

/// The buffers of a call; `many` is the errno for too many.
///
/// # Safety
/// `iov` is good for reading `count` of them.
unsafe fn buffers<'a>(iov: *const iovec, count: usize, many: Errno) -> Result<&'a [iovec], Errno> {
    match (iov.is_null(), count) {
        (_, 0) => Ok(&[]),
        (_, count) if count > MOST_BUFFERS => Err(many),
        (true, _) => Err(libc::EFAULT),
        // SAFETY: as the caller says.
        (false, count) => Ok(unsafe { core::slice::from_raw_parts(iov, count) }),
    }
}
fn total(buffers: &[iovec]) -> usize {
    let lens = buffers.iter().map(|buffer| buffer.iov_len);
    lens.fold(0, usize::saturating_add)
}
/// # Safety
/// Each buffer is good for reading.
unsafe fn gather(buffers: &[iovec]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(total(buffers).min(MOST));
    for buffer in buffers {
        // SAFETY: as the caller says.
        bytes.extend_from_slice(unsafe { read(buffer.iov_base, buffer.iov_len)? });
    }
    Ok(bytes)
}
/// # Safety
/// Each buffer is good for writing.
unsafe fn scatter(mut bytes: &[u8], buffers: &[iovec]) -> Result<(), Errno> {
    for buffer in buffers {
        let (part, rest) = bytes.split_at(bytes.len().min(buffer.iov_len));
        // SAFETY: as the caller says.
        unsafe { write(buffer.iov_base.cast::<u8>(), part.len())? }.copy_from_slice(part);
        bytes = rest;
    }
    Ok(())
}

/// pipe(2): the kernel's own, for [`heptad_splice`].
///
/// # Safety
/// `fds` is good for writing two numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_pipe(_host: &Heptad, fds: *mut c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { libc::pipe(fds) }
}

/// splice(2) between a socket and a pipe, in either direction.
///
/// # Safety
/// The offsets are null: neither has any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_splice(
    host: &Heptad,
    fd_in: c_int,
    off_in: *mut loff_t,
    fd_out: c_int,
    off_out: *mut loff_t,
    len: usize,
    flags: c_uint,
) -> isize {
    if !off_in.is_null() || !off_out.is_null() {
        return answer(Err(libc::ESPIPE));
    }
    let wait = match flags & libc::SPLICE_F_NONBLOCK {
        0 => 0,
        _ => libc::MSG_DONTWAIT,
    };
    let len = len.min(1 << 16);
    let from_socket = host.lock().descriptors.has(fd_in);
    match from_socket {
        true => answer(receive(host, fd_in, len, wait).map(|got| {
            // SAFETY: the bytes are ours.
            unsafe { libc::write(fd_out, got.bytes.as_ptr().cast(), got.bytes.len()) }
        })),
        false => {
            let mut bytes = vec![0_u8; len];
            // SAFETY: the buffer is ours and as long.
            let n = unsafe { libc::read(fd_in, bytes.as_mut_ptr().cast(), len) };
            match usize::try_from(n) {
                Ok(n) => answer(send(host, fd_out, &bytes[..n], None, wait)),
                Err(_) => -1,
            }
        }
    }
}
