//! The memory of another process: read once, written in place.

use std::io;

/// Reads `into.len()` bytes at `address` of the process of `thread`.
///
/// # Errors
/// `EFAULT` when a part of it is not there, `EPERM` when we may not look.
pub fn read(thread: i32, address: u64, into: &mut [u8]) -> Result<(), i32> {
    if into.is_empty() {
        return Ok(());
    }
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes into `local`, which is `into`; it checks the other process's address itself.
    let moved =
        unsafe { libc::process_vm_readv(thread, &raw const local, 1, &raw const remote, 1, 0) };
    whole(moved, into.len())
}

/// Reads at most `length` bytes at `address` into a new vector.
///
/// # Errors
/// As [`read`].
pub fn read_vec(thread: i32, address: u64, length: usize) -> Result<Vec<u8>, i32> {
    let mut bytes = vec![0; length];
    read(thread, address, &mut bytes)?;
    Ok(bytes)
}

/// Reads an `N`-byte value in the machine's byte order.
///
/// # Errors
/// As [`read`].
pub fn read_array<const N: usize>(thread: i32, address: u64) -> Result<[u8; N], i32> {
    let mut bytes = [0; N];
    read(thread, address, &mut bytes)?;
    Ok(bytes)
}

/// Writes `bytes` at `address` of the process of `thread`.
///
/// # Errors
/// As [`read`].
pub fn write(thread: i32, address: u64, bytes: &[u8]) -> Result<(), i32> {
    if bytes.is_empty() {
        return Ok(());
    }
    let local = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel only reads from `local`; it checks the other process's address itself.
    let moved =
        unsafe { libc::process_vm_writev(thread, &raw const local, 1, &raw const remote, 1, 0) };
    whole(moved, bytes.len())
}

fn whole(moved: isize, wanted: usize) -> Result<(), i32> {
    match usize::try_from(moved) {
        Ok(moved) if moved == wanted => Ok(()),
        Ok(_) => Err(libc::EFAULT),
        Err(_) => Err(io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EFAULT)),
    }
}
