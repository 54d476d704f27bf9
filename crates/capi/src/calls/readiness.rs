//! poll(2) and epoll(7).
use libc::{c_int, epoll_event, nfds_t, pollfd};
use std::collections::BTreeMap;
use std::time::Duration;

use heptad_lab::stack::{Instant, Ready};

use super::write;
use crate::descriptors::{Descriptor, reserve};
use crate::errno::{Errno, answer};
use crate::host::{Heptad, Inner, Step};

const EDGE: u32 = 1 << 31;
const ONCE: u32 = 1 << 30;
/// What is told though nobody asked: an error, a hang-up.
const ALWAYS: u32 = (libc::POLLERR | libc::POLLHUP) as u32;
/// Linux's POLLRDNORM and POLLWRNORM.
const NORMAL: [u32; 2] = [0x40, 0x100];

/// Linux's bits of a socket, the same for both.
fn bits(inner: &Inner, fd: c_int) -> Result<u32, Errno> {
    let socket = inner.descriptors.socket(fd)?;
    let ready = inner.solo.stack().ready(socket.id);
    let rows = [
        (Ready::READABLE, libc::POLLIN as u32 | NORMAL[0]),
        (Ready::WRITABLE, libc::POLLOUT as u32 | NORMAL[1]),
        (Ready::ERROR, libc::POLLERR as u32),
        (Ready::HANG_UP, libc::POLLHUP as u32),
        (Ready::URGENT, libc::POLLPRI as u32),
        (Ready::READ_CLOSED, libc::POLLRDHUP as u32),
    ];
    let set = rows.into_iter().filter(|(bit, _)| ready.contains(*bit));
    Ok(set.fold(0, |all, (_, bits)| all | bits))
}

/// When a wait of so many milliseconds is over; less than none never is.
fn end(host: &Heptad, millis: c_int) -> Option<Instant> {
    let millis = u64::try_from(millis).ok()?;
    Some(host.lock().solo.now() + Duration::from_millis(millis))
}

/// poll(2).
///
/// # Safety
/// `fds` is good for `count` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_poll(
    host: &Heptad,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    let end = end(host, timeout);
    // SAFETY: as the caller says.
    let fds = match unsafe { write(fds, count as usize) } {
        Ok(fds) => fds,
        Err(errno) => return answer(Err(errno)),
    };
    answer(host.call(None, |inner| {
        let mut ready = 0;
        for one in fds.iter_mut() {
            let told = match bits(inner, one.fd) {
                _ if one.fd < 0 => 0,
                Ok(bits) => bits & (u32::from(one.events.cast_unsigned()) | ALWAYS),
                Err(_) => libc::POLLNVAL as u32,
            };
            one.revents = told as i16;
            ready += c_int::from(told != 0);
        }
        done_or_wait(inner, ready, end)
    }))
}

fn done_or_wait(inner: &Inner, ready: c_int, end: Option<Instant>) -> Step<c_int> {
    match end {
        _ if ready > 0 => Step::Done(Ok(ready)),
        Some(end) if inner.solo.now() >= end => Step::Done(Ok(0)),
        end => Step::Blocks(end),
    }
}

/// epoll_create(2).
#[unsafe(no_mangle)]
pub extern "C" fn heptad_epoll_create(host: &Heptad, size: c_int) -> c_int {
    answer(host.at_once(|inner| {
        if size <= 0 {
            return Err(libc::EINVAL);
        }
        let (fd, stale) = inner
            .descriptors
            .open(reserve()?, Descriptor::Epoll(BTreeMap::new()));
        if let Some(Descriptor::Socket(stale)) = stale {
            inner.solo.with(|stack, cx| stack.close(stale.id, cx));
        }
        Ok(fd)
    }))
}

/// epoll_ctl(2).
///
/// # Safety
/// `event` is good, or the operation needs none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_epoll_ctl(
    host: &Heptad,
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    let wanted = match event.is_null() {
        true => None,
        // SAFETY: as the caller says; the struct is packed.
        false => Some(unsafe { event.read_unaligned() }),
    };
    answer(host.at_once(|inner| {
        inner.descriptors.socket(fd).map_err(|errno| match errno {
            libc::ENOTSOCK => libc::EPERM,
            errno => errno,
        })?;
        let watched = inner.descriptors.epoll(epoll)?;
        let is_there = watched.contains_key(&fd);
        match (operation, is_there) {
            (libc::EPOLL_CTL_ADD, true) => return Err(libc::EEXIST),
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, false) => return Err(libc::ENOENT),
            (libc::EPOLL_CTL_DEL, true) => {
                watched.remove(&fd);
                return Ok(0);
            }
            (libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD, _) => {}
            _ => return Err(libc::EINVAL),
        }
        let wanted = wanted.ok_or(libc::EFAULT)?;
        let one = crate::descriptors::Watched {
            events: wanted.events | ALWAYS,
            data: wanted.u64,
            told: 0,
        };
        watched.insert(fd, one);
        Ok(0)
    }))
}

/// epoll_wait(2). With EPOLLET a bit is told again only after it was gone.
///
/// # Safety
/// `events` is good for writing `most` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heptad_epoll_wait(
    host: &Heptad,
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    let end = end(host, timeout);
    let room = match usize::try_from(most) {
        Ok(room) if room > 0 => room,
        _ => return answer(Err(libc::EINVAL)),
    };
    answer(host.call(None, |inner| {
        let found = match look(inner, epoll, room) {
            Ok(found) => found,
            Err(errno) => return Step::Done(Err(errno)),
        };
        for (index, event) in found.iter().enumerate() {
            // SAFETY: as the caller says; there are at most `room`.
            unsafe { events.add(index).write_unaligned(*event) };
        }
        done_or_wait(inner, found.len() as c_int, end)
    }))
}

fn look(inner: &mut Inner, epoll: c_int, room: usize) -> Result<Vec<epoll_event>, Errno> {
    let watched: Vec<c_int> = inner.descriptors.epoll(epoll)?.keys().copied().collect();
    let mut found = Vec::new();
    for fd in watched {
        let is = bits(inner, fd).unwrap_or(0);
        let Some(one) = inner.descriptors.epoll(epoll)?.get_mut(&fd) else {
            continue;
        };
        let tells = is & one.events;
        let is_news = one.events & EDGE == 0 || tells & !one.told != 0;
        if tells == 0 || !is_news || found.len() == room {
            one.told &= tells;
            continue;
        }
        one.told = tells;
        found.push(epoll_event {
            events: tells,
            u64: one.data,
        });
        if one.events & ONCE != 0 {
            one.events = 0;
        }
    }
    Ok(found)
}
