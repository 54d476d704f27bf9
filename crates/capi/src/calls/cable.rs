//! The other end of the cable, and time.
use libc::{c_char, c_int, c_longlong, c_uint, c_void, timeval};
use std::ffi::CStr;
use std::time::Duration;

use heptad_lab::stack::Instant;

use super::{read, write};
use crate::config;
use crate::errno::{self, answer};
use crate::host::{Heptad, shown};

/// How far time moves at once to see a packet leave.
const HORIZON: Duration = Duration::from_secs(100_000);

/// Makes a host. `settings` is null or a text like `local=192.168.0.1/16,mtu=1500,tcp_sack=0`; see `docs/capi.md`.
/// NULL and EINVAL for what is not understood.
///
/// # Safety
/// `settings` is null or ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_new(settings: *const c_char) -> *mut Heptad {
    // SAFETY: as the caller says.
    let text = unsafe { text(settings) };
    let made = match config::parse(&text) {
        (settings, refused) if refused.is_empty() => Heptad::new(&settings, false).ok(),
        _ => None,
    };
    match made {
        Some(host) => Box::into_raw(Box::new(host)),
        None => {
            errno::set(libc::EINVAL);
            core::ptr::null_mut()
        }
    }
}

/// The text that C points at; none for null.
///
/// # Safety
/// It is null or ends with a zero byte.
pub(crate) unsafe fn text(at: *const c_char) -> String {
    match at.is_null() {
        true => String::new(),
        // SAFETY: as the caller says.
        false => unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned(),
    }
}

/// Ends a host, with all its sockets.
///
/// # Safety
/// `host` is of [`heptad_new`], and no thread uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_free(host: *mut Heptad) {
    if !host.is_null() {
        // SAFETY: as the caller says.
        drop(unsafe { Box::from_raw(host) });
    }
}

/// A packet comes to the host, from its IP header on.
///
/// # Safety
/// `buf` is good for reading `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_netdev_send(
    host: &Heptad,
    buf: *const c_void,
    count: usize,
) -> c_int {
    // SAFETY: as the caller says.
    let bytes = unsafe { read(buf, count) };
    answer(bytes.map(|bytes| {
        let mut inner = host.moves();
        inner.solo.receive(bytes);
        host.tell(&mut inner);
        0
    }))
}

/// The next packet of the host: into `buf`, of which `*count` bytes are good and then used, and when it left. Time moves until
/// there is one; if none will come, `*count` is 0.
///
/// # Safety
/// `count` and `time_usecs` are good, and `buf` is good for writing `*count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_netdev_receive(
    host: &Heptad,
    buf: *mut c_void,
    count: *mut usize,
    time_usecs: *mut c_longlong,
) -> c_int {
    if count.is_null() || time_usecs.is_null() {
        return answer(Err(libc::EFAULT));
    }
    let sent = next_sent(host);
    let (bytes, at) = match &sent {
        Some((bytes, at)) => (bytes.as_slice(), *at),
        None => (&[][..], host.lock().micros()),
    };
    // SAFETY: as the caller says.
    let room = bytes.len().min(unsafe { *count });
    // SAFETY: likewise.
    let out = unsafe { write(buf.cast::<u8>(), room) };
    answer(out.map(|out| {
        out.copy_from_slice(&bytes[..room]);
        // SAFETY: likewise.
        unsafe {
            *count = room;
            *time_usecs = at;
        }
        0
    }))
}

fn next_sent(host: &Heptad) -> Option<(Vec<u8>, i64)> {
    let mut inner = host.moves();
    let limit = inner.solo.now() + HORIZON;
    loop {
        if inner.solo.sent.is_empty() {
            inner = host.settle(inner);
        }
        if let Some(sent) = inner.solo.sent.pop_front() {
            return Some((sent.bytes, shown(sent.at)));
        }
        let due: Instant = inner.due().filter(|due| *due <= limit)?;
        let now = inner.solo.now();
        inner = host.advance(inner, due.max(now));
    }
}

/// Time moves by so much.
#[unsafe(no_mangle)]
pub extern "C" fn heptad_usleep(host: &Heptad, usecs: c_uint) -> c_int {
    let inner = host.moves();
    let to = inner.solo.now() + Duration::from_micros(usecs.into());
    drop(host.advance(inner, to));
    0
}

/// What time it is on the host's clock: 1 µs later than the last time at least.
///
/// # Safety
/// `tv` is null or good for writing; `tz` is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_gettimeofday(
    host: &Heptad,
    tv: *mut timeval,
    _tz: *mut c_void,
) -> c_int {
    let micros = host.time();
    if !tv.is_null() {
        let time = timeval {
            tv_sec: micros / 1_000_000,
            tv_usec: micros % 1_000_000,
        };
        // SAFETY: as the caller says.
        unsafe { tv.write(time) };
    }
    0
}
