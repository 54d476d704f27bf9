//! A socket of a program, as the host keeps it: its stack socket, our end of its pair, and the part it plays.

use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::task::Waker;

use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::{Family, SocketError, SocketId};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};

use super::datagram::Datagrams;
use super::sockets::At;
use super::stream::Pump;
use super::tokens::Tokens;
use crate::protocol::SocketNumber;

/// A socket of a program.
pub struct Entry {
    /// The channel that it belongs to.
    pub channel: u64,
    /// Its number there.
    pub number: SocketNumber,
    /// The stack's socket.
    pub at: At,
    /// `AF_INET` or `AF_INET6`.
    pub family: Family,
    /// `SOCK_STREAM`.
    pub stream: bool,
    /// The number of the program's end, as `ss` shows it.
    pub inode: u32,
    /// Our end of the pair.
    pub end: OwnedFd,
    /// What our end was ready for when the kernel last said so.
    pub pair: PairReady,
    /// Rings when the stack's socket becomes ready.
    pub waker: Waker,
    /// An error for `SO_ERROR`.
    pub error: Option<SocketError>,
    /// What the program asked for: accepted connections have the same.
    pub buffers: Buffers,
    /// The name that it has kept from a connect that failed, as on Linux, until it is bound, listens or connects once more.
    pub left: Option<SocketAddr>,
    /// Its part.
    pub role: Role,
}

impl Entry {
    /// The number of the end that programs have now.
    fn shown_inode(&self) -> u32 {
        match &self.role {
            Role::Listener(listening) => listening.tokens.inode().unwrap_or(self.inode),
            _ => self.inode,
        }
    }

    /// Of a connect that failed only the port is still shown, and only if the socket is not bound.
    pub fn keep_port_only(&mut self, bound: Option<SocketAddr>) {
        self.left = match (self.left, bound) {
            (Some(left), Some(bound)) if bound.port() == 0 => {
                Some(SocketAddr::new(bound.ip(), left.port()))
            }
            _ => None,
        };
    }
}

/// `SO_SNDBUF` and `SO_RCVBUF` as a program set them, bytes; the kernel's buffers of a pair stand before the stack's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffers {
    /// `SO_SNDBUF`.
    pub sending: Option<usize>,
    /// `SO_RCVBUF`.
    pub receiving: Option<usize>,
}

impl Buffers {
    /// Notes an option, and makes our end of the pair hold no more than that.
    pub fn set(&mut self, ours: BorrowedFd<'_>, name: i32, value: i32) {
        let size = Some(usize::try_from(value).unwrap_or(i32::MAX as usize));
        match name {
            libc::SO_SNDBUF => self.sending = size,
            libc::SO_RCVBUF => self.receiving = size,
            _ => return,
        }
        self.apply(None, ours);
    }

    /// What waits in a pair is charged to the end that wrote it.
    pub fn apply(self, program: Option<BorrowedFd<'_>>, ours: BorrowedFd<'_>) {
        use rustix::net::sockopt::set_socket_send_buffer_size;
        if let Some(size) = self.receiving {
            let _ = set_socket_send_buffer_size(ours, size);
        }
        if let (Some(size), Some(program)) = (self.sending, program) {
            let _ = set_socket_send_buffer_size(program, size);
        }
    }
}

/// The numbers of the programs' ends on one node, collected when the first is asked for: lists of sockets ask for all.
pub struct Inodes<'a> {
    entries: &'a HashMap<u64, Entry>,
    node: MachineId,
    known: OnceCell<HashMap<SocketId, u32>>,
}

impl<'a> Inodes<'a> {
    /// Those of a node.
    pub fn of(entries: &'a HashMap<u64, Entry>, node: MachineId) -> Self {
        Self {
            entries,
            node,
            known: OnceCell::new(),
        }
    }

    /// That of a socket; 0: none.
    pub fn get(&self, socket: SocketId) -> u32 {
        let known = self.known.get_or_init(|| {
            let all = self.entries.values();
            all.filter(|entry| entry.at.machine == self.node)
                .map(|entry| (entry.at.socket, entry.shown_inode()))
                .collect()
        });
        known.get(&socket).copied().unwrap_or(0)
    }
}

/// Edges that `epoll` has reported of our end and that we have not used up.
#[derive(Clone, Copy, Debug, Default)]
pub struct PairReady {
    /// Bytes, or the end of them, wait.
    pub readable: bool,
    /// There is room.
    pub writable: bool,
    /// The other end is closed, or both directions are shut.
    pub hung_up: bool,
    /// There may be an urgent byte or an end among what waits: a read that gives less than was asked for is not the last.
    pub unsure: bool,
}

/// The part that a socket plays.
pub enum Role {
    /// A stream that is neither connected nor listening.
    Fresh,
    /// A connect is on its way.
    Connecting {
        /// Bytes in the pair that are not the program's.
        filler: u32,
        /// Calls that wait for it.
        waiting: Vec<u64>,
    },
    /// Accepted, and not yet in the program's hands.
    Offered {
        /// Key of the listener.
        listener: u64,
        /// A token was counted off for it.
        token: bool,
    },
    /// A connected stream.
    Stream(Box<Pump>),
    /// A listener.
    Listener(Listening),
    /// A datagram socket.
    Datagrams(Box<Datagrams>),
}

/// What a listener has told its program.
#[derive(Default)]
pub struct Listening {
    /// One for each connection that waits.
    pub tokens: Tokens,
    /// Calls of accept that wait.
    pub parked: VecDeque<u64>,
}

/// A new pair: the program's end and ours, non-blocking. Datagrams travel over `SOCK_SEQPACKET`: it keeps their bounds
/// and, unlike `SOCK_DGRAM`, tells that the other end was closed.
///
/// # Errors
/// The kernel's.
pub fn pair(stream: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = if stream {
        SocketType::STREAM
    } else {
        SocketType::SEQPACKET
    };
    let (program, ours) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    if stream {
        // What the program calls urgent stays in its place: a read of ours ends before it.
        rustix::net::sockopt::set_socket_oobinline(&ours, true)?;
    }
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((program, ours))
}

/// Takes `left` bytes of filler out of our end.
pub fn drain_filler(end: BorrowedFd<'_>, mut left: u32) {
    let mut block = vec![0_u8; 64 * 1024];
    while left > 0 {
        let size = block.len().min(left as usize);
        let Some(part) = block.get_mut(..size) else {
            return;
        };
        match recv(end, part, RecvFlags::DONTWAIT) {
            Ok((1.., count)) => {
                left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX))
            }
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// Whether the other end is closed, or both directions are shut: what the kernel says now.
pub fn is_hung_up(end: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(end, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok() && fds.iter().all(|fd| fd.revents().contains(PollFlags::HUP))
}

/// What the kernel charges our end for messages that the program has not read (`SIOCOUTQ`).
pub fn charged(end: BorrowedFd<'_>) -> u32 {
    let mut value: libc::c_int = 0;
    // SAFETY: the kernel writes one int through the pointer.
    let done = unsafe { libc::ioctl(end.as_raw_fd(), libc::TIOCOUTQ, &raw mut value) };
    if done == 0 { value.unsigned_abs() } else { 0 }
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
