//! Which socket a descriptor of another process is: a duplicate of it, and the cookie that no other socket has.
//!
//! A (process, number) pair says nothing: `dup`, `fork` and `SCM_RIGHTS` move descriptors.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// Most threads remembered; then all are forgotten, which costs one `pidfd_open` each.
const MOST_THREADS: usize = 512;

/// `PIDFD_THREAD` of `linux/pidfd.h` (Linux 6.9).
const OF_THREAD: u32 = libc::O_EXCL.cast_unsigned();

/// Threads that made calls, each pinned by a pidfd.
#[derive(Debug, Default)]
pub struct Threads {
    known: HashMap<i32, Thread>,
}

#[derive(Debug)]
struct Thread {
    pidfd: OwnedFd,
    process: i32,
    /// The pidfd is the thread's own and dies with it; otherwise it is that of its process.
    own: bool,
}

impl Thread {
    /// Whether this is the `thread` that now has the number.
    fn is_still(&self, thread: i32) -> bool {
        match self.own || self.process == thread {
            true => is_alive(&self.pidfd),
            false => process_of(thread) == Some(self.process),
        }
    }
}

/// Whether the process or thread of a pidfd has not ended.
fn is_alive(pidfd: &OwnedFd) -> bool {
    let no_signal: libc::c_int = 0;
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: plain integers and a null pointer, which the kernel takes for "made up by kill".
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            no_signal,
            no_info,
            0,
        )
    };
    // Not being allowed to signal it is a sign of life.
    sent == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

impl Threads {
    /// A duplicate of descriptor `fd` of `thread`.
    ///
    /// # Errors
    /// `EBADF` when it has none of that number, `EPERM` when we may not look into the process, `ESRCH` when it is gone.
    pub fn duplicate(&mut self, thread: i32, fd: i32) -> Result<OwnedFd, i32> {
        // The number is the program's word: -1 is no descriptor, here least of all.
        if fd < 0 {
            return Err(libc::EBADF);
        }
        if let Some(known) = self.known.get(&thread).filter(|known| known.own) {
            match duplicate_by(&known.pidfd, fd) {
                // The thread died and its number went to another.
                Err(libc::ESRCH) => {}
                done => return done,
            }
        }
        duplicate_by(&self.find(thread)?.pidfd, fd)
    }

    /// The process that a thread belongs to.
    pub fn process_of(&mut self, thread: i32) -> i32 {
        self.find(thread).map_or(thread, |found| found.process)
    }

    fn find(&mut self, thread: i32) -> Result<&Thread, i32> {
        if self.known.len() >= MOST_THREADS && !self.known.contains_key(&thread) {
            self.known.clear();
        }
        match self.known.entry(thread) {
            std::collections::hash_map::Entry::Occupied(slot) => {
                let found = slot.into_mut();
                if !found.is_still(thread) {
                    *found = open_thread(thread)?;
                }
                Ok(found)
            }
            std::collections::hash_map::Entry::Vacant(slot) => {
                Ok(slot.insert(open_thread(thread)?))
            }
        }
    }
}

fn open_thread(thread: i32) -> Result<Thread, i32> {
    let process = process_of(thread).ok_or(libc::ESRCH)?;
    let open = |id, flags| {
        let id = Pid::from_raw(id).ok_or(libc::ESRCH)?;
        pidfd_open(id, flags).map_err(|error| error.raw_os_error())
    };
    let own = open(thread, PidfdFlags::from_bits_retain(OF_THREAD)).ok();
    let (pidfd, own) = match own {
        Some(pidfd) => (pidfd, true),
        None => (open(process, PidfdFlags::empty())?, false),
    };
    Ok(Thread {
        pidfd,
        process,
        own,
    })
}

fn process_of(thread: i32) -> Option<i32> {
    field(
        &read_small(&format!("/proc/{thread}/status")).ok()?,
        "Tgid:",
    )?
    .parse()
    .ok()
}

/// The first page of a file of `/proc`, which the kernel makes for one `read`.
fn read_small(path: &str) -> io::Result<String> {
    let mut page = [0; 4096];
    let length = fs::File::open(path)?.read(&mut page)?;
    let text = page.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Whether a descriptor goes when its process executes another program (`FD_CLOEXEC`); so also when that is not known.
pub fn closes_on_exec(thread: i32, fd: i32) -> bool {
    let Ok(info) = read_small(&format!("/proc/{thread}/fdinfo/{fd}")) else {
        return true;
    };
    let flags = field(&info, "flags:").and_then(|octal| i32::from_str_radix(octal, 8).ok());
    flags.is_none_or(|flags| flags & libc::O_CLOEXEC != 0)
}

fn duplicate_by(pidfd: &OwnedFd, fd: i32) -> Result<OwnedFd, i32> {
    pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty()).map_err(|error| error.raw_os_error())
}

/// The value of a line of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// Whether a signal waits for `thread` that it would act upon. Only then is a call broken off.
///
/// A signal for the whole process counts for its first thread, which the kernel asks first, and for a thread that is
/// alone; another thread's calls are left waiting, since an idle sibling may take the signal and the number of a broken
/// off call must never reach a program.
pub fn signal_waits(thread: i32) -> bool {
    // Whole: what is asked for stands behind the groups, which may be many.
    let Ok(status) = fs::read_to_string(format!("/proc/{thread}/status")) else {
        return false;
    };
    let set = |name| {
        field(&status, name)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    };
    let first = field(&status, "Tgid:").and_then(|id| id.parse().ok()) == Some(thread);
    let mut waiting = set("SigPnd:");
    if first {
        waiting |= set("ShdPnd:");
    }
    waiting & !set("SigBlk:") & !set("SigIgn:") != 0
}

/// The number that the kernel gives to one socket only.
///
/// # Errors
/// `ENOTSOCK` for anything else.
pub fn cookie(socket: BorrowedFd<'_>) -> Result<u64, i32> {
    rustix::net::sockopt::socket_cookie(socket).map_err(|error| error.raw_os_error())
}

/// Looks for the socket of `cookie` among the descriptors of `processes`, the one named by `inode` first of all.
pub fn search(processes: &[i32], inode: u64, wanted: u64) -> Option<OwnedFd> {
    let name = format!("socket:[{inode}]");
    for process in processes {
        let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd")) else {
            continue;
        };
        for entry in entries.flatten() {
            if fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == name.as_str())
                && let Some(number) = entry
                    .file_name()
                    .to_str()
                    .and_then(|text| text.parse().ok())
                && let Ok(fd) = duplicate_of_process(*process, number)
                && cookie(fd.as_fd()) == Ok(wanted)
            {
                return Some(fd);
            }
        }
    }
    None
}

/// The numbers below `limit` under which a process has the open file of one of our descriptors; none where the kernel does
/// not compare (kcmp(2)).
pub fn numbers(process: i32, file: BorrowedFd<'_>, limit: i32) -> Vec<i32> {
    const KCMP_FILE: libc::c_long = 0;
    let us = libc::c_long::from(std::process::id().cast_signed());
    let ours = libc::c_long::from(file.as_raw_fd());
    let theirs = libc::c_long::from(process);
    let is_it = |number: &i32| {
        let number = libc::c_long::from(*number);
        // SAFETY: plain integers.
        unsafe { libc::syscall(libc::SYS_kcmp, us, theirs, KCMP_FILE, ours, number) == 0 }
    };
    (0..limit).filter(is_it).collect()
}

/// The sockets that processes have, by their inodes.
pub fn sockets_of(processes: &[i32]) -> HashSet<u64> {
    let entries = processes
        .iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{process}/fd")).ok());
    let links = entries
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let inside = link.to_str()?.strip_prefix("socket:[")?;
        inside.strip_suffix(']')?.parse().ok()
    };
    links.filter_map(inode).collect()
}

/// The numbers under which a process has epolls.
pub fn epolls(process: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    let is_one = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:[eventpoll]")
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries
        .flatten()
        .filter(is_one)
        .filter_map(number)
        .collect()
}

/// A duplicate of descriptor `fd` of a process.
///
/// # Errors
/// As [`Threads::duplicate`].
pub fn duplicate_of_process(process: i32, fd: i32) -> Result<OwnedFd, i32> {
    if process <= 0 || fd < 0 {
        return Err(libc::EBADF);
    }
    let target = Pid::from_raw(process).ok_or(libc::ESRCH)?;
    let pidfd = pidfd_open(target, PidfdFlags::empty()).map_err(|error| error.raw_os_error())?;
    duplicate_by(&pidfd, fd)
}

/// The inode of a socket, as `/proc/PID/fd` names it.
pub fn inode(socket: BorrowedFd<'_>) -> u64 {
    rustix::fs::fstat(socket).map_or(0, |stat| stat.st_ino)
}

/// Takes the error that the kernel keeps for a socket of a pair (0: none).
pub fn take_native_error(socket: BorrowedFd<'_>) -> i32 {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `value`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if done == 0 {
        value
    } else {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }
}
