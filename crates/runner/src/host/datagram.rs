//! Datagrams between a program's pair and its stack socket.
//!
//! The pair carries payloads; addresses stand in a queue beside it. How many of the queue the program has not read yet
//! shows in the memory that the kernel charges to our end (`SIOCOUTQ`), so programs may mix `recv`, which never comes to
//! us, with `recvfrom`, which does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use heptad_runtime::stack::{Ready, SocketError};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::entry::{Entry, Role};
use super::names;
use super::sockets::Sockets;
use crate::protocol::Outcome;

/// Bytes of the largest datagram.
const LONGEST: usize = 65_535;
/// Datagrams moved before another socket has its turn.
const TURN: usize = 64;

/// What a datagram socket has told its program.
#[derive(Default)]
pub struct Datagrams {
    /// Where `send` goes.
    pub peer: Option<SocketAddr>,
    /// The stack's socket has a port.
    pub bound: bool,
    /// Senders of what is in the pair, with what the kernel charged for it; oldest first.
    senders: VecDeque<(SocketAddr, u32)>,
    /// Came from the network, and the pair is full.
    held: Option<(SocketAddr, Vec<u8>)>,
    /// Answers to questions about names, not yet in the pair. At most [`TURN`].
    replies: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Calls of `recvfrom` that wait.
    parked: VecDeque<Parked>,
}

/// What calls that waited are told, by their requests.
pub type Answers = Vec<(u64, Result<Outcome, i32>)>;

/// A call of `recvfrom` that waits.
#[derive(Clone, Copy)]
pub struct Parked {
    /// Its request.
    pub id: u64,
    /// Bytes it has room for.
    pub room: u32,
    /// It leaves the datagram there.
    pub peek: bool,
}

impl Datagrams {
    /// A call is no longer waited for.
    pub fn cancel(&mut self, id: u64) {
        self.parked.retain(|parked| parked.id != id);
    }

    /// A datagram with its sender, for the oldest call that waits, or for the pair. Gives back what does not fit.
    fn hand_over(
        &mut self,
        end: BorrowedFd<'_>,
        (from, data): (SocketAddr, Vec<u8>),
        answers: &mut Answers,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        while let Some(parked) = self.parked.pop_front() {
            answers.push((parked.id, Ok(outcome(Some(from), &data, parked.room))));
            if !parked.peek {
                return None;
            }
        }
        self.forget_read(end);
        let before = charged(end);
        match send(end, &data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => {
                let charge = charged(end).saturating_sub(before);
                self.senders.push_back((from, charge.max(1)));
                None
            }
            Err(Errno::AGAIN | Errno::INTR) => Some((from, data)),
            Err(_) => None,
        }
    }

    /// Drops the senders of what the program has read by itself.
    fn forget_read(&mut self, end: BorrowedFd<'_>) {
        self.forget_beyond(charged(end));
    }

    fn forget_beyond(&mut self, unread: u32) -> Option<SocketAddr> {
        let mut total: u32 = self
            .senders
            .iter()
            .fold(0, |sum, row| sum.saturating_add(row.1));
        let mut last = None;
        while total > unread {
            let Some((from, charge)) = self.senders.pop_front() else {
                break;
            };
            total = total.saturating_sub(charge);
            last = Some(from);
        }
        last
    }

    /// `recvfrom`, with the program's end lent for it. `None`: it waits now.
    ///
    /// # Errors
    /// `EAGAIN` and what else the kernel says.
    pub fn receive(
        &mut self,
        end: BorrowedFd<'_>,
        lent: &OwnedFd,
        call: Parked,
        wait: bool,
    ) -> Result<Option<Outcome>, i32> {
        let mut data = vec![0; LONGEST];
        let flags = if call.peek {
            RecvFlags::DONTWAIT | RecvFlags::PEEK
        } else {
            RecvFlags::DONTWAIT
        };
        self.forget_read(end);
        match recv(lent, data.as_mut_slice(), flags) {
            Ok((_, count)) => {
                data.truncate(count);
                let from = match self.forget_beyond(charged(end)) {
                    None => self.senders.front().map(|row| row.0),
                    some => some,
                };
                Ok(Some(outcome(from, &data, call.room)))
            }
            Err(Errno::AGAIN) if wait => {
                self.parked.push_back(call);
                Ok(None)
            }
            Err(error) => Err(error.raw_os_error()),
        }
    }
}

/// Sends a datagram for a program; names are answered here. How many bytes were taken.
///
/// # Errors
/// As the stack's.
pub fn send_one(
    network: &impl Sockets,
    entry: &mut Entry,
    address: Option<SocketAddr>,
    data: &[u8],
) -> Result<usize, SocketError> {
    let Role::Datagrams(datagrams) = &mut entry.role else {
        return Err(SocketError::Invalid);
    };
    let to = address
        .or(datagrams.peer)
        .ok_or(SocketError::DestinationRequired)?;
    if names::is_asked(network, entry.at.machine, to) {
        if datagrams.replies.len() < TURN
            && let Some(reply) = names::answer(network, data)
        {
            datagrams.replies.push_back((entry.family.shown(to), reply));
        }
        return Ok(data.len());
    }
    datagrams.bound = true;
    network.send_to(entry.at, data, to)
}

/// Moves what can be moved both ways. Calls of `recvfrom` that are answered by it go to `answers`.
/// Returns what to wait for; `None` when there is more to move now.
pub fn turn(network: &impl Sockets, entry: &mut Entry, answers: &mut Answers) -> Option<Ready> {
    let mut block = vec![0; LONGEST];
    let mut moved = move_up(network, entry, &mut block);
    let Role::Datagrams(datagrams) = &mut entry.role else {
        return Some(Ready::NONE);
    };
    for _ in 0..TURN {
        let next = match datagrams
            .held
            .take()
            .or_else(|| datagrams.replies.pop_front())
        {
            Some(next) => next,
            None if !datagrams.bound => return (!moved).then_some(Ready::NONE),
            None => match network.recv_from(entry.at, &mut block) {
                Ok((count, _, from)) => (from, block.get(..count).unwrap_or(&[]).to_vec()),
                Err(SocketError::WouldBlock) => return (!moved).then_some(Ready::READABLE),
                Err(error) => {
                    // As Linux: one call is told, be it one that waits or the next.
                    match datagrams.parked.pop_front() {
                        Some(parked) => answers.push((parked.id, Err(error.errno()))),
                        None => entry.error = Some(error),
                    }
                    continue;
                }
            },
        };
        datagrams.held = datagrams.hand_over(entry.end.as_fd(), next, answers);
        if datagrams.held.is_some() {
            entry.pair.writable = false;
            return Some(Ready::NONE);
        }
        moved = true;
    }
    None
}

/// What the program sent with `send`. Whether there may be more.
fn move_up(network: &impl Sockets, entry: &mut Entry, block: &mut [u8]) -> bool {
    for _ in 0..TURN {
        if !entry.pair.readable {
            return false;
        }
        match recv(entry.end.as_fd(), &mut *block, RecvFlags::DONTWAIT) {
            // An empty datagram, or the end.
            Ok((_, 0)) if entry.pair.hung_up => {
                entry.pair.readable = false;
            }
            Ok((_, count)) => {
                let data = block.get(..count).unwrap_or(&[]).to_vec();
                match send_one(network, entry, None, &data) {
                    // Linux refuses such a call and keeps nothing in mind; a later call is not to blame for it.
                    Ok(_) | Err(SocketError::WouldBlock | SocketError::DestinationRequired) => {}
                    Err(error) => entry.error = Some(error),
                }
            }
            Err(Errno::INTR) => {}
            Err(_) => entry.pair.readable = false,
        }
    }
    entry.pair.readable
}

fn outcome(from: Option<SocketAddr>, data: &[u8], room: u32) -> Outcome {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let data = data.get(..room as usize).unwrap_or(data).to_vec();
    Outcome::Datagram { from, length, data }
}

/// What the kernel charges our end for messages that the program has not read (`SIOCOUTQ`).
fn charged(end: BorrowedFd<'_>) -> u32 {
    let mut value: libc::c_int = 0;
    // SAFETY: the kernel writes one int through the pointer.
    let done = unsafe { libc::ioctl(end.as_raw_fd(), libc::TIOCOUTQ, &raw mut value) };
    if done == 0 { value.unsigned_abs() } else { 0 }
}
