//! The last steps of a process before it becomes a program in a namespace.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use super::files::Entry;
use super::kernel::checked;

/// What the program may do to its node's network, whoever its user is: bind any port, change interfaces, send any packet
/// (capabilities(7): `CAP_NET_BIND_SERVICE`, `CAP_NET_ADMIN`, `CAP_NET_RAW`).
const KEPT: [u32; 3] = [10, 12, 13];
/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITIES: u32 = 0x2008_0522;

/// Where the files are written before they are put into their places: what else is there is out of sight meanwhile, for this
/// process alone.
const DESK: &CStr = c"/tmp";

/// Enters the namespace. Only in a process of one thread.
pub(super) fn enter(entry: &Entry) -> Result<(), i32> {
    let set = |fd: &OwnedFd, kind| {
        // SAFETY: a descriptor that is open, and plain integers.
        checked(unsafe { libc::setns(fd.as_raw_fd(), kind) })
    };
    let entered = entry.door.user.as_ref();
    entered
        .map_or(Ok(()), |user| set(user, libc::CLONE_NEWUSER))
        .and_then(|()| set(&entry.door.net, libc::CLONE_NEWNET))
        .map_err(|error| errno(&error))?;
    if let Err(error) = put_files(entry) {
        eprintln!("heptad: /etc/hosts does not name the nodes of the lab: {error}");
    }
    if entry.door.user.is_some() {
        keep_capabilities().map_err(|error| errno(&error))?;
    }
    Ok(())
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

/// Mounts of our own, in which two files are others.
fn put_files(entry: &Entry) -> io::Result<()> {
    // SAFETY: plain integers.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let hosts = fs::read(format!("/proc/self/fd/{}", entry.hosts.as_raw_fd()))?;
    mount(None, c"/", None, libc::MS_REC | libc::MS_SLAVE)?;
    mount(Some(c"tmpfs"), DESK, Some(c"tmpfs"), 0)?;
    let written = fs::write("/tmp/hosts", hosts)
        .and_then(|()| fs::write("/tmp/resolv.conf", &entry.resolvers))
        .and_then(|()| mount(Some(c"/tmp/hosts"), c"/etc/hosts", None, libc::MS_BIND));
    // A system without this file has no use for it.
    let _ = mount(
        Some(c"/tmp/resolv.conf"),
        c"/etc/resolv.conf",
        None,
        libc::MS_BIND,
    );
    // SAFETY: a NUL-terminated string, alive across the call.
    let cleared = checked(unsafe { libc::umount2(DESK.as_ptr(), libc::MNT_DETACH) });
    written.and(cleared)
}

fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    let (source, kind) = (pointer(source), pointer(kind));
    // SAFETY: NUL-terminated strings or null, alive across the call.
    checked(unsafe { libc::mount(source, target.as_ptr(), kind, flags, ptr::null()) })
}

/// `struct __user_cap_header_struct` and two of `struct __user_cap_data_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Set {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Lets a program that is no root's keep what is in [`KEPT`].
fn keep_capabilities() -> io::Result<()> {
    let header = Header {
        version: CAPABILITIES,
        pid: 0,
    };
    let mut sets = [Set::default(); 2];
    // SAFETY: a header and two sets of the version that it names, which live through the calls.
    unsafe {
        checked(libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) as i32)?;
        for capability in KEPT {
            sets[0].inheritable |= 1 << capability;
        }
        checked(libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) as i32)?;
    }
    for capability in KEPT {
        let raise = libc::PR_CAP_AMBIENT_RAISE;
        // SAFETY: plain integers.
        checked(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0) })?;
    }
    Ok(())
}
