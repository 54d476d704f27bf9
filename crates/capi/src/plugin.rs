//! The object that packetdrill loads: the functions of this crate in the struct that it wants; `getsockopt` for its
//! assertions, which ask the C library; and `system`, by which scripts set what they rest on.
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{
    c_char, c_int, c_longlong, c_uint, c_ulong, c_void, epoll_event, iovec, loff_t, msghdr, nfds_t,
    pollfd, sockaddr, socklen_t, timeval,
};

use crate::calls::{bytes, cable, options, readiness, sockets};
use crate::config;
use crate::host::Heptad;

type Host<'a> = &'a Heptad;

/// packetdrill's `struct packetdrill_interface`: 33 words, of which the first is given to all the others.
#[repr(C)]
#[allow(missing_docs)] // the names are packetdrill's
pub struct PacketdrillInterface {
    pub userdata: *mut Heptad,
    pub free: unsafe extern "C" fn(*mut Heptad),
    pub socket: extern "C" fn(Host, c_int, c_int, c_int) -> c_int,
    pub bind: unsafe extern "C" fn(Host, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: extern "C" fn(Host, c_int, c_int) -> c_int,
    pub accept: unsafe extern "C" fn(Host, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub connect: unsafe extern "C" fn(Host, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: unsafe extern "C" fn(Host, c_int, *mut c_void, usize) -> isize,
    pub readv: unsafe extern "C" fn(Host, c_int, *const iovec, c_int) -> isize,
    pub recv: unsafe extern "C" fn(Host, c_int, *mut c_void, usize, c_int) -> isize,
    pub recvfrom: unsafe extern "C" fn(
        Host,
        c_int,
        *mut c_void,
        usize,
        c_int,
        *mut sockaddr,
        *mut socklen_t,
    ) -> isize,
    pub recvmsg: unsafe extern "C" fn(Host, c_int, *mut msghdr, c_int) -> isize,
    pub write: unsafe extern "C" fn(Host, c_int, *const c_void, usize) -> isize,
    pub writev: unsafe extern "C" fn(Host, c_int, *const iovec, c_int) -> isize,
    pub send: unsafe extern "C" fn(Host, c_int, *const c_void, usize, c_int) -> isize,
    pub sendto: unsafe extern "C" fn(
        Host,
        c_int,
        *const c_void,
        usize,
        c_int,
        *const sockaddr,
        socklen_t,
    ) -> isize,
    pub sendmsg: unsafe extern "C" fn(Host, c_int, *const msghdr, c_int) -> isize,
    pub fcntl: extern "C" fn(Host, c_int, c_int, c_ulong) -> c_int,
    pub ioctl: unsafe extern "C" fn(Host, c_int, c_ulong, *mut c_void) -> c_int,
    pub close: extern "C" fn(Host, c_int) -> c_int,
    pub shutdown: extern "C" fn(Host, c_int, c_int) -> c_int,
    pub getsockopt:
        unsafe extern "C" fn(Host, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    pub setsockopt:
        unsafe extern "C" fn(Host, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    pub poll: unsafe extern "C" fn(Host, *mut pollfd, nfds_t, c_int) -> c_int,
    pub netdev_send: unsafe extern "C" fn(Host, *const c_void, usize) -> c_int,
    pub netdev_receive:
        unsafe extern "C" fn(Host, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    pub usleep: extern "C" fn(Host, c_uint) -> c_int,
    pub gettimeofday: unsafe extern "C" fn(Host, *mut timeval, *mut c_void) -> c_int,
    pub epoll_create: extern "C" fn(Host, c_int) -> c_int,
    pub epoll_ctl: unsafe extern "C" fn(Host, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub epoll_wait: unsafe extern "C" fn(Host, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub pipe: unsafe extern "C" fn(Host, *mut c_int) -> c_int,
    pub splice:
        unsafe extern "C" fn(Host, c_int, *mut loff_t, c_int, *mut loff_t, usize, c_uint) -> isize,
}

/// The host whose sockets the C library's `getsockopt` is asked about.
static LOADED: AtomicPtr<Heptad> = AtomicPtr::new(core::ptr::null_mut());

/// What packetdrill calls when it has loaded this object. What `flags` says and is not understood is told on standard error.
///
/// # Safety
/// `flags` is null or ends with a zero byte; `interface` is good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(
    flags: *const c_char,
    interface: *mut PacketdrillInterface,
) {
    // SAFETY: as the caller says.
    let (settings, refused) = config::parse(&unsafe { cable::text(flags) });
    for what in refused {
        eprintln!("heptad: {what}");
    }
    let host = match Heptad::new(&settings, true) {
        Ok(host) => Box::into_raw(Box::new(host)),
        Err(what) => {
            eprintln!("heptad: {what}");
            std::process::exit(2);
        }
    };
    LOADED.store(host, Ordering::Release);
    // SAFETY: as the caller says.
    unsafe { interface.write(filled(host)) };
}

fn filled(userdata: *mut Heptad) -> PacketdrillInterface {
    PacketdrillInterface {
        userdata,
        free,
        socket: sockets::heptad_socket,
        bind: sockets::heptad_bind,
        listen: sockets::heptad_listen,
        accept: sockets::heptad_accept,
        connect: sockets::heptad_connect,
        read: bytes::heptad_read,
        readv: bytes::heptad_readv,
        recv: bytes::heptad_recv,
        recvfrom: bytes::heptad_recvfrom,
        recvmsg: bytes::heptad_recvmsg,
        write: bytes::heptad_write,
        writev: bytes::heptad_writev,
        send: bytes::heptad_send,
        sendto: bytes::heptad_sendto,
        sendmsg: bytes::heptad_sendmsg,
        fcntl: options::heptad_fcntl,
        ioctl: options::heptad_ioctl,
        close: sockets::heptad_close,
        shutdown: sockets::heptad_shutdown,
        getsockopt: options::heptad_getsockopt,
        setsockopt: options::heptad_setsockopt,
        poll: readiness::heptad_poll,
        netdev_send: cable::heptad_netdev_send,
        netdev_receive: cable::heptad_netdev_receive,
        usleep: cable::heptad_usleep,
        gettimeofday: cable::heptad_gettimeofday,
        epoll_create: readiness::heptad_epoll_create,
        epoll_ctl: readiness::heptad_epoll_ctl,
        epoll_wait: readiness::heptad_epoll_wait,
        pipe: bytes::heptad_pipe,
        splice: bytes::heptad_splice,
    }
}

/// A thread of packetdrill may still wait in a call: the host stays in memory, and nobody finds it any more.
unsafe extern "C" fn free(_host: *mut Heptad) {
    LOADED.store(core::ptr::null_mut(), Ordering::Release);
}

/// getsockopt(2) of the C library, for a program into which this object is preloaded: of our sockets ours, else the kernel's.
///
/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: what is loaded is never given back.
    match unsafe { LOADED.load(Ordering::Acquire).as_ref() } {
        Some(host) if host.lock().descriptors.has(fd) => {
            // SAFETY: as the caller says.
            unsafe { options::heptad_getsockopt(host, fd, level, name, value, len) }
        }
        _ => {
            // SAFETY: likewise; the kernel checks what it is given.
            let done = unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) };
            done as c_int
        }
    }
}

/// system(3) of the C library, for a program into which this object is preloaded: commands that set what a host of ours has are
/// obeyed here and leave the machine alone; all others are the C library's.
///
/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn system(command: *const c_char) -> c_int {
    // SAFETY: what is loaded is never given back, and a command ends with a zero byte.
    let obeyed = match unsafe { LOADED.load(Ordering::Acquire).as_ref() } {
        // SAFETY: likewise.
        Some(host) if !command.is_null() => host.command(&unsafe { cable::text(command) }),
        _ => false,
    };
    if obeyed {
        return 0;
    }
    // SAFETY: the name ends with a zero byte, and what bears it is system(3).
    unsafe {
        let next = libc::dlsym(libc::RTLD_NEXT, c"system".as_ptr());
        if next.is_null() {
            return -1;
        }
        let next: unsafe extern "C" fn(*const c_char) -> c_int = core::mem::transmute(next);
        next(command)
    }
}
