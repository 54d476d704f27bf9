//! Bytes between a program's pair and its stack socket, both ways, with backpressure: what one side does not take is
//! not asked of the other.
//!
//! ```text
//!   program ══ pair ══▶ up   ──▶ stack.send      stack's buffer full: the pair is not read, the program blocks
//!   program ◀══ pair ══ down ◀── stack.recv      pair full: the stack is not read, TCP's window closes
//! ```

use std::net::Shutdown as Direction;
use std::os::fd::{AsFd, BorrowedFd};

use heptad_runtime::stack::stack::SocketOption;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::stack::{Ready, Shutdown, SocketError};
use rustix::io::{Errno, ioctl_fionread, retry_on_intr};
use rustix::net::sockopt::socket_error;
use rustix::net::{RecvFlags, SendFlags, recv, send, shutdown};

use super::entry::{Entry, PairReady, Role, charged, is_hung_up};
use super::sockets::{At, Bytes, Sockets};
use super::urgent::is_at_mark;

/// Bytes moved at once.
const BLOCK: usize = 64 * 1024;
/// Blocks moved before another socket has its turn.
const TURN: usize = 8;

/// What a connected stream is about to do.
#[derive(Default)]
pub struct Pump {
    up: Held,
    down: Held,
    /// The program sends no more.
    up_ended: bool,
    /// The stack was told so.
    up_told: bool,
    /// The peer sends no more, and the program was told so.
    down_ended: bool,
    /// The program reads no more: what comes is thrown away.
    deaf: bool,
    /// The program closed with bytes unread, or the connection shall be reset.
    reset: bool,
    /// The connection failed; told once all that came before is with the program.
    failed: Option<SocketError>,
    /// It failed, and the program was made to hear of that when it writes.
    refuses: bool,
    /// `shutdown` calls of the program: reading, writing.
    shut: (bool, bool),
    /// A connect that did not block has ended well, and no other has asked for that yet: Linux answers it with 0.
    pub unasked: bool,
}

/// Bytes read on one side and not yet written on the other.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    written: usize,
    /// It is one byte, and urgent (MSG_OOB).
    urgent: bool,
}

impl Held {
    fn left(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or(&[])
    }
    fn is_empty(&self) -> bool {
        self.left().is_empty()
    }
    fn advance(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            self.clear();
        }
    }
    fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
        // An idle connection keeps no block.
        self.bytes.shrink_to(0);
    }
    /// Gives what is held, and then `fresh`, to `take`, which is told whether it is urgent, until all is taken or it refuses.
    /// What is left is held. Whether any of it was taken, and what `take` said last. With bytes held there are no fresh ones.
    fn pass<E>(
        &mut self,
        Fresh { bytes, urgent }: Fresh<'_>,
        mut take: impl FnMut(&[u8], bool) -> Result<usize, E>,
    ) -> (bool, Result<(), E>) {
        let mut moved = false;
        while !self.is_empty() {
            match take(self.left(), self.urgent) {
                Ok(count) => self.advance(count),
                Err(refusal) => return (moved, Err(refusal)),
            }
            moved = true;
        }
        let mut left = bytes;
        while !left.is_empty() {
            match take(left, urgent) {
                Ok(count) => left = left.get(count..).unwrap_or(&[]),
                Err(refusal) => {
                    self.bytes.extend_from_slice(left);
                    self.urgent = urgent;
                    return (moved, Err(refusal));
                }
            }
            moved = true;
        }
        (moved, Ok(()))
    }
}

/// Bytes that were read just now.
#[derive(Clone, Copy, Default)]
struct Fresh<'a> {
    bytes: &'a [u8],
    urgent: bool,
}

/// What comes after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the stack (these bits) or for the pair.
    Wait(Ready),
    /// There is more to move now.
    Again,
    /// The program has closed it: the stack's socket can be closed.
    Closed,
    /// Both directions are over, or it failed: the pair can be let go of.
    Over(Option<SocketError>),
}

impl Pump {
    /// A connection that stands; `unasked` when a connect that did not block has made it.
    pub fn new(unasked: bool) -> Self {
        Self {
            unasked,
            ..Self::default()
        }
    }

    /// `shutdown` calls explain that both directions of the pair are shut.
    fn is_shut(&self) -> bool {
        self.shut.1 && (self.shut.0 || self.down_ended)
    }

    /// The program called `shutdown`.
    pub fn note_shutdown(&mut self, reading: bool, writing: bool) {
        self.shut.0 |= reading;
        self.shut.1 |= writing;
        self.unasked = false;
    }
}

/// Moves what can be moved. The entry plays [`Role::Stream`].
pub fn turn(network: &impl Sockets, entry: &mut Entry, block: &mut Vec<u8>) -> Next {
    block.resize(BLOCK, 0);
    for _ in 0..TURN {
        let up = move_up(network, entry, block);
        let down = move_down(network, entry, block);
        let Role::Stream(pump) = &mut entry.role else {
            return Next::Wait(Ready::NONE);
        };
        if let Some(next) = ended(network, &entry.pair, entry.at, pump) {
            return next;
        }
        if !up.moved && !down.moved {
            return Next::Wait(up.wants | down.wants);
        }
    }
    Next::Again
}

/// Whether bytes moved, and what the stack must become before more can.
struct Moved {
    moved: bool,
    wants: Ready,
}

impl Moved {
    const NOTHING: Self = Self {
        moved: false,
        wants: Ready::NONE,
    };
}

fn move_up(network: &impl Sockets, entry: &mut Entry, block: &mut [u8]) -> Moved {
    let Role::Stream(pump) = &mut entry.role else {
        return Moved::NOTHING;
    };
    let mut moved = false;
    let mut fresh = Fresh::default();
    if pump.failed.is_some() {
        pump.up.clear();
        refuse_more(entry);
        return Moved::NOTHING;
    }
    if entry.pair.hung_up && !pump.up.is_empty() {
        pump.reset |= socket_error(entry.end.as_fd()) == Ok(Err(Errno::CONNRESET));
    }
    if pump.up.is_empty() && entry.pair.readable && !pump.up_ended {
        // The byte at the mark goes by itself.
        let urgent = entry.pair.unsure && is_at_mark(entry.end.as_fd());
        let most = if urgent { 1 } else { block.len() };
        let (block, _) = block.split_at_mut(most);
        match recv(entry.end.as_fd(), &mut *block, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => {
                pump.up_ended = true;
                entry.pair.hung_up |= is_hung_up(entry.end.as_fd());
            }
            Ok((_, count)) => {
                moved = true;
                let bytes = block.get(..count).unwrap_or(&[]);
                fresh = Fresh { bytes, urgent };
                // What comes behind a short read is told by an edge of its own.
                entry.pair.unsure |= count == most;
                entry.pair.readable = entry.pair.unsure;
            }
            Err(Errno::AGAIN) => (entry.pair.readable, entry.pair.unsure) = (false, false),
            Err(Errno::INTR) => moved = true,
            // The program closed with bytes unread.
            Err(_) => {
                pump.up_ended = true;
                pump.reset = true;
            }
        }
    }
    let (passed, refusal) = pump.up.pass(fresh, |bytes, urgent| {
        let sent = match urgent {
            true => network.send_urgent(entry.at, bytes)?,
            false => network.send(entry.at, bytes)?,
        };
        (sent > 0).then_some(sent).ok_or(SocketError::WouldBlock)
    });
    moved |= passed;
    match refusal {
        Ok(()) => {}
        Err(SocketError::WouldBlock) => {
            return Moved {
                moved,
                wants: Ready::WRITABLE | Ready::ERROR,
            };
        }
        Err(error) => {
            pump.failed = Some(error);
            pump.up.clear();
        }
    }
    // A program that has closed the socket wants a close, which may be a reset, and not a FIN first.
    let closed = entry.pair.hung_up && !pump.is_shut();
    if pump.up_ended && !pump.up_told && !closed && !pump.reset && pump.failed.is_none() {
        pump.up_told = true;
        let _ = network.shutdown(entry.at, Shutdown::Write);
    }
    Moved {
        moved,
        wants: Ready::NONE,
    }
}

fn move_down(network: &impl Sockets, entry: &mut Entry, block: &mut [u8]) -> Moved {
    let Role::Stream(pump) = &mut entry.role else {
        return Moved::NOTHING;
    };
    let mut moved = false;
    let mut fresh = Fresh::default();
    if pump.down.is_empty() && !pump.down_ended {
        match network.recv(entry.at, charged(entry.end.as_fd()), block) {
            Ok(Bytes { count: 0, .. }) => {
                pump.down_ended = true;
                if pump.failed.is_none() {
                    let _ = shutdown(entry.end.as_fd(), rustix::net::Shutdown::Write);
                }
            }
            Ok(Bytes { count, urgent }) => {
                moved = true;
                let bytes = block.get(..count).unwrap_or(&[]);
                fresh = Fresh { bytes, urgent };
            }
            Err(SocketError::WouldBlock) if pump.failed.is_some() => pump.down_ended = true,
            Err(SocketError::WouldBlock) => {
                return Moved {
                    moved,
                    wants: Ready::READABLE | Ready::URGENT,
                };
            }
            Err(error) => {
                pump.down_ended = true;
                pump.failed = pump.failed.or(Some(error));
            }
        }
    }
    if pump.deaf {
        pump.down.clear();
        fresh = Fresh::default();
    }
    let (passed, refusal) = pump.down.pass(fresh, |bytes, urgent| {
        give(entry.end.as_fd(), bytes, urgent)
    });
    moved |= passed;
    match refusal {
        Ok(()) => {}
        Err(Errno::AGAIN) => {
            entry.pair.writable = false;
            return Moved {
                moved,
                wants: Ready::NONE,
            };
        }
        Err(error) => {
            // Bytes that a closed program will never read: Linux answers them with a reset.
            pump.reset |= !pump.shut.0 || error == Errno::CONNRESET;
            pump.deaf = true;
            pump.down.clear();
        }
    }
    let wants = if pump.down_ended {
        reset_behind_end(network, entry.at, pump)
    } else {
        Ready::NONE
    };
    Moved { moved, wants }
}

/// The connection failed while the program has not read all that came before, and it goes on writing: from now on that fails.
/// What it wrote last stays unread: when our end is closed, whoever reads is told of a reset behind those bytes.
fn refuse_more(entry: &mut Entry) {
    if let Role::Stream(pump) = &mut entry.role
        && !pump.refuses
        && ioctl_fionread(entry.end.as_fd()).is_ok_and(|bytes| bytes > 0)
    {
        pump.refuses = true;
        let _ = shutdown(entry.end.as_fd(), rustix::net::Shutdown::Read);
    }
}

/// Writes to the program.
fn give(end: BorrowedFd<'_>, bytes: &[u8], urgent: bool) -> Result<usize, Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let usual = || retry_on_intr(|| send(end, bytes, flags));
    match urgent {
        false => usual(),
        // A kernel whose pairs have no such byte: it comes in the stream.
        true => match retry_on_intr(|| send(end, bytes, flags | SendFlags::OOB)) {
            Err(Errno::OPNOTSUPP) => usual(),
            done => done,
        },
    }
}

/// Behind the end of the peer's bytes only a reset can come: it breaks the pipe (Linux says `EPIPE` in CLOSE-WAIT).
fn reset_behind_end(network: &impl Sockets, at: At, pump: &mut Pump) -> Ready {
    if pump.up_told || pump.failed.is_some() {
        return Ready::NONE;
    }
    if network.ready(at).intersects(Ready::ERROR | Ready::HANG_UP) {
        let _ = network.take_error(at);
        pump.failed = Some(SocketError::BrokenPipe);
        return Ready::NONE;
    }
    Ready::ERROR
}

fn ended(network: &impl Sockets, pair: &PairReady, at: At, pump: &mut Pump) -> Option<Next> {
    // Who closes with bytes unread, or is sent more, wants a reset at once, whatever still waits to be sent.
    let up_over = match pump.up.is_empty() {
        true => pump.up_ended || pump.failed.is_some(),
        false => pump.reset,
    };
    if pair.hung_up && up_over {
        if pump.refuses || pump.is_shut() && !pump.reset {
            return Some(Next::Over(pump.failed));
        }
        if pump.reset && pump.failed.is_none() {
            let _ = network.set(at, SocketOption::Linger(Some(Duration::ZERO)));
        }
        return Some(Next::Closed);
    }
    match pump.failed {
        Some(error) if pump.down_ended && pump.down.is_empty() || pump.deaf => {
            Some(Next::Over(Some(error)))
        }
        _ => None,
    }
}

/// `how` of shutdown(2).
pub fn direction(how: i32) -> Option<Direction> {
    match how {
        libc::SHUT_RD => Some(Direction::Read),
        libc::SHUT_WR => Some(Direction::Write),
        libc::SHUT_RDWR => Some(Direction::Both),
        _ => None,
    }
}
