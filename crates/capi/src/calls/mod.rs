//! The functions that C calls, as Linux has them, with the host in front.
pub mod bytes;
pub mod cable;
pub mod options;
pub mod readiness;
pub mod sockets;

use std::net::SocketAddr;

use heptad_lab::stack::l5_session::sockaddr::{self, Kind, Purpose};
use libc::{c_void, sockaddr as RawAddress, socklen_t};

use crate::descriptors::Socket;
use crate::errno::Errno;
use heptad_lab::stack::SocketKind;

/// The bytes that C points at; none where it says so.
///
/// # Safety
/// `at` is good for reading `len` bytes while `'a` lasts, or null, or `len` is 0.
pub(crate) unsafe fn read<'a>(at: *const c_void, len: usize) -> Result<&'a [u8], Errno> {
    match (at.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(libc::EFAULT),
        // SAFETY: the caller says so.
        (false, len) => Ok(unsafe { core::slice::from_raw_parts(at.cast(), len) }),
    }
}

/// As [`read`], to write.
///
/// # Safety
/// As there, for writing, and nobody else looks.
pub(crate) unsafe fn write<'a, T>(at: *mut T, len: usize) -> Result<&'a mut [T], Errno> {
    match (at.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(libc::EFAULT),
        // SAFETY: the caller says so.
        (false, len) => Ok(unsafe { core::slice::from_raw_parts_mut(at, len) }),
    }
}

/// An address that a program gives; `None`: AF_UNSPEC.
///
/// # Safety
/// `at` is good for reading `len` bytes, or null.
pub(crate) unsafe fn given_address(
    at: *const RawAddress,
    len: socklen_t,
    socket: Socket,
    purpose: Purpose,
) -> Result<Option<SocketAddr>, Errno> {
    if len as usize > sockaddr::LONGEST {
        return Err(libc::EINVAL);
    }
    // SAFETY: as the caller says.
    let bytes = unsafe { read(at.cast(), len as usize)? };
    let kind = Kind {
        family: socket.family,
        stream: socket.kind == SocketKind::Stream,
    };
    sockaddr::decode(bytes, kind, purpose)
}

/// Gives an address back: as much as there is room for, and how long it is.
///
/// # Safety
/// `len` is null or good, and `at` is null or good for writing `*len` bytes.
pub(crate) unsafe fn give_address(
    address: SocketAddr,
    at: *mut RawAddress,
    len: *mut socklen_t,
) -> Result<(), Errno> {
    if at.is_null() || len.is_null() {
        return Ok(());
    }
    let bytes = sockaddr::encode(address);
    // SAFETY: as the caller says.
    unsafe { give(&bytes, at.cast(), len) }?;
    // SAFETY: likewise.
    unsafe { *len = bytes.len() as socklen_t };
    Ok(())
}

/// Gives bytes back as `getsockopt` does: as many as there is room for, and how many they were.
///
/// # Safety
/// `len` is good, and `at` is good for writing `*len` bytes.
pub(crate) unsafe fn give(bytes: &[u8], at: *mut c_void, len: *mut socklen_t) -> Result<(), Errno> {
    if len.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: as the caller says.
    let room = unsafe { *len } as usize;
    let count = bytes.len().min(room);
    // SAFETY: likewise.
    let out = unsafe { write(at.cast::<u8>(), count)? };
    out.copy_from_slice(&bytes[..count]);
    // SAFETY: likewise.
    unsafe { *len = count as socklen_t };
    Ok(())
}
