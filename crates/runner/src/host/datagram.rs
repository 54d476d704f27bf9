//! Datagrams between a program's pair and its stack socket.
//!
//! The pair, or the room's sockets (`carrier`), carry payloads; addresses stand in a queue beside them. How many of the queue
//! the program has not read yet shows in the memory that the kernel charges to our end of a pair (`SIOCOUTQ`), and in the
//! room in what the next one is marked with, so programs may mix `recv`, which never comes to us, with `recvfrom`,
//! which does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::l4_transport::udp::{Choices, Reported, Way};
use heptad_runtime::stack::{Family, Ready, SocketError, SocketKind};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::ancillary::{self, Wanted};
use super::carrier::{Carrier, Put};
use super::entry::{Entry, Role, charged, is_hung_up};
use super::names;
use super::sockets::{At, Sockets};
use super::stamps::Stamp;
use crate::protocol::Outcome;

/// Bytes of the largest datagram.
const LONGEST: usize = 65_535;
/// Datagrams moved before another socket has its turn.
const TURN: usize = 64;
/// Most errors that wait for a program; later ones are forgotten.
const ERRORS: usize = 256;
/// Most datagrams in a room whose senders are known: more than a receive buffer of the kernel's holds by default.
const SENDERS: usize = 4096;

/// Bytes of the header of UDP and UDP-Lite, of which an error's quote is told without.
const UDP_HEADER: usize = 8;

/// What `socket(2)` asks for, and its `SO_PROTOCOL`. Sockets of ICMP and raw ones are everybody's here, whatever the machine says
/// (`ping_group_range`, `CAP_NET_RAW`): a node belongs to the user who started it, and whoever may run a program there may
/// have read all its frames as well.
///
/// # Errors
/// Linux's errno for what is not here.
pub fn kind(family: Family, kind: i32, protocol: i32) -> Result<(SocketKind, i32), i32> {
    let icmp = match family {
        Family::V4 => libc::IPPROTO_ICMP,
        Family::V6 => libc::IPPROTO_ICMPV6,
    };
    Ok(match (kind, protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => (SocketKind::Stream, libc::IPPROTO_TCP),
        (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => (SocketKind::Datagram, libc::IPPROTO_UDP),
        (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE) => (SocketKind::Lite, protocol),
        (libc::SOCK_DGRAM, protocol) if protocol == icmp => (SocketKind::Echo, protocol),
        (libc::SOCK_RAW, 0) => return Err(libc::EPROTONOSUPPORT),
        (libc::SOCK_RAW, _) => {
            let number = u8::try_from(protocol).map_err(|_| libc::EPROTONOSUPPORT)?;
            (SocketKind::Raw(number), protocol)
        }
        (libc::SOCK_STREAM | libc::SOCK_DGRAM, _) => return Err(libc::EPROTONOSUPPORT),
        _ => return Err(libc::ESOCKTNOSUPPORT),
    })
}

/// What a datagram socket has told its program.
pub struct Datagrams {
    /// What it is to the stack.
    pub kind: SocketKind,
    /// `SO_PROTOCOL`.
    pub protocol: i32,
    /// Where `send` goes.
    pub peer: Option<SocketAddr>,
    /// The program sends no more (`shutdown`); the pair knows that of `send` only.
    pub mute: bool,
    /// The stack's socket has a port.
    pub bound: bool,
    /// Which control messages it asked for.
    pub wanted: Wanted,
    /// Errors about what it sent, for those who ask for them (IP_RECVERR), and when they came. At most [`ERRORS`].
    errors: VecDeque<(Reported, Option<Stamp>)>,
    /// How they come to the program.
    pub carrier: Carrier,
    /// It asks for a queue of errors (IP_RECVERR, IPV6_RECVERR).
    pub queues_errors: bool,
    /// The program has closed it: what comes is refused.
    gone: bool,
    /// Senders of what waits for the program, with what tells it from the others ([`Put::Done`]); oldest first.
    senders: VecDeque<(Sender, u32)>,
    /// Came from the network, and there is no room for it.
    held: Option<(Sender, Vec<u8>)>,
    /// Answers to questions about names, not yet with the program. At most [`TURN`].
    replies: VecDeque<(Sender, Vec<u8>)>,
    /// Calls of `recvfrom` that wait.
    parked: VecDeque<Parked>,
}

/// Who sent a datagram, and how it came; answers about names come from nowhere.
#[derive(Clone, Copy)]
struct Sender {
    from: SocketAddr,
    way: Option<Way>,
    /// When it came, for who asks.
    arrival: Option<Stamp>,
}

impl Sender {
    /// It is told that nobody has the port.
    fn refuse(self, network: &impl Sockets, at: At, data: &[u8]) {
        if let Some(way) = self.way {
            network.refuse_datagram(at, (self.from, &way), data);
        }
    }
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
    /// Of a socket that was just opened.
    pub fn of(kind: SocketKind, protocol: i32) -> Self {
        Self {
            kind,
            protocol,
            peer: None,
            mute: false,
            // A raw socket hears from the beginning.
            bound: matches!(kind, SocketKind::Raw(_)),
            wanted: Wanted::default(),
            carrier: Carrier::Pair,
            queues_errors: false,
            gone: false,
            errors: VecDeque::new(),
            senders: VecDeque::new(),
            held: None,
            replies: VecDeque::new(),
            parked: VecDeque::new(),
        }
    }

    /// Of a socket whose ends are in a guard's room.
    pub fn in_room(kind: SocketKind, protocol: i32, carrier: Carrier) -> Self {
        Self {
            carrier,
            ..Self::of(kind, protocol)
        }
    }

    /// As that.
    pub fn is_in_room(&self) -> bool {
        matches!(self.carrier, Carrier::Room(_))
    }

    /// `SO_TYPE`.
    pub fn so_type(&self) -> i32 {
        match self.kind {
            SocketKind::Raw(_) => libc::SOCK_RAW,
            _ => libc::SOCK_DGRAM,
        }
    }

    /// Whether what it sends to port 53 may be a question about names.
    pub fn asks_names(&self) -> bool {
        self.kind == SocketKind::Datagram
    }

    /// What an error quotes of a packet, as far as a socket of this kind is told.
    fn quoted<'a>(&self, reported: &'a Reported) -> &'a [u8] {
        let header = match self.kind {
            SocketKind::Datagram | SocketKind::Lite => UDP_HEADER,
            _ => 0,
        };
        let told = reported.told.as_ref();
        told.map_or(&[], |told| told.quoted_behind(header))
    }

    /// A call is no longer waited for.
    pub fn cancel(&mut self, id: u64) {
        self.parked.retain(|parked| parked.id != id);
    }

    /// A datagram with its sender, for the oldest call that waits, or for the program to read by itself. Gives back what does not
    /// fit, and what comes after its socket was closed.
    fn hand_over(
        &mut self,
        (network, machine): (&impl Sockets, MachineId),
        end: BorrowedFd<'_>,
        (from, data): (Sender, Vec<u8>),
        answers: &mut Answers,
    ) -> Option<(Sender, Vec<u8>)> {
        while let Some(parked) = self.parked.pop_front() {
            let host = (network, machine);
            let outcome = self.outcome(host, Some(from), &data, parked.room);
            answers.push((parked.id, Ok(outcome)));
            if !parked.peek {
                return None;
            }
        }
        self.forget_read(end);
        match self.carrier.put(end, &data) {
            Put::Done(label) => {
                self.senders.push_back((from, label));
                None
            }
            Put::Full => Some((from, data)),
            Put::Gone => {
                self.gone = true;
                Some((from, data))
            }
            Put::Failed => None,
        }
    }

    /// Drops the senders of what the program has read by itself.
    fn forget_read(&mut self, end: BorrowedFd<'_>) {
        match self.carrier {
            Carrier::Pair => {
                self.forget_beyond(charged(end));
            }
            // Which were read shows when one of the others is.
            Carrier::Room(_) if self.senders.len() >= SENDERS => {
                self.senders.pop_front();
            }
            Carrier::Room(_) => {}
        }
    }

    /// The sender of the datagram of this mark, and forgets those before it.
    fn sender_of(&mut self, mark: u32) -> Option<Sender> {
        let at = self.senders.iter().position(|row| row.1 == mark)?;
        self.senders.drain(..at);
        self.senders.front().map(|row| row.0)
    }

    fn forget_beyond(&mut self, unread: u32) -> Option<Sender> {
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
        host: (&impl Sockets, MachineId),
        end: BorrowedFd<'_>,
        lent: &OwnedFd,
        (call, wait): (Parked, bool),
    ) -> Result<Option<Outcome>, i32> {
        let mut data = vec![0; LONGEST];
        let flags = if call.peek {
            RecvFlags::DONTWAIT | RecvFlags::PEEK
        } else {
            RecvFlags::DONTWAIT
        };
        self.forget_read(end);
        match self.carrier.receive(lent.as_fd(), &mut data, flags) {
            Ok((count, label)) => {
                data.truncate(count);
                let from = match self.carrier {
                    Carrier::Room(_) => label.and_then(|mark| self.sender_of(mark)),
                    Carrier::Pair => {
                        let last = self.forget_beyond(charged(end));
                        last.or_else(|| self.senders.front().map(|row| row.0))
                    }
                };
                Ok(Some(self.outcome(host, from, &data, call.room)))
            }
            Err(Errno::AGAIN) if wait => {
                self.parked.push_back(call);
                Ok(None)
            }
            Err(error) => Err(error.raw_os_error()),
        }
    }

    fn outcome(
        &self,
        (network, machine): (&impl Sockets, MachineId),
        sender: Option<Sender>,
        data: &[u8],
        room: u32,
    ) -> Outcome {
        let stamps = &self.wanted.stamps;
        let mut control = stamps.messages(sender.and_then(|sender| sender.arrival));
        if let Some(way) = sender.and_then(|sender| sender.way) {
            control.extend(self.wanted.messages(network, machine, &way));
        }
        Outcome::Datagram {
            from: sender.map(|sender| sender.from),
            length: u32::try_from(data.len()).unwrap_or(u32::MAX),
            data: data.get(..room as usize).unwrap_or(data).to_vec(),
            control,
        }
    }

    /// Whether the kernel knows of the errors in the queue: then it says `POLLERR`, and tells them by the next call.
    fn tells_queue(&self) -> bool {
        self.queues_errors && self.is_in_room()
    }

    /// An error that the program's next call tells: the kernel's, where it knows it, or `kept`.
    fn note_error(&self, end: BorrowedFd<'_>, error: SocketError, kept: &mut Option<SocketError>) {
        let told = !self.tells_queue()
            && error == SocketError::ConnectionRefused
            && self.peer.is_some()
            && self.carrier.tell(end, error);
        if !told && !self.tells_queue() {
            *kept = Some(error);
        }
    }

    /// Takes over what the stack has of errors: there it would keep the socket ready for ever.
    fn fetch_errors(&mut self, network: &impl Sockets, at: At, end: BorrowedFd<'_>) {
        while let Some(reported) = network.recv_error(at) {
            if self.errors.len() < ERRORS {
                if self.tells_queue() && reported.told.is_some() {
                    self.carrier.tell(end, reported.error);
                }
                self.errors
                    .push_back((reported, self.wanted.stamps.of_arrival()));
            }
        }
    }
}

/// `recvmsg` with `MSG_ERRQUEUE`. As Linux, the pending error is then that of the next one which ICMP told.
///
/// # Errors
/// `EAGAIN`: there is none.
pub fn receive_error(network: &impl Sockets, entry: &mut Entry, room: u32) -> Result<Outcome, i32> {
    let Role::Datagrams(datagrams) = &mut entry.role else {
        return Err(libc::EAGAIN);
    };
    let pending = network.take_error(entry.at).or(entry.error);
    datagrams.fetch_errors(network, entry.at, entry.end.as_fd());
    let Some((reported, arrival)) = datagrams.errors.pop_front() else {
        entry.error = pending.filter(|_| !datagrams.tells_queue());
        return Err(libc::EAGAIN);
    };
    let next = datagrams.errors.front().map(|(next, _)| next);
    let next = next.filter(|next| next.told.is_some());
    let next = next.filter(|_| !datagrams.tells_queue());
    entry.error = next.map(|next| next.error);
    // None if this host refused to send it.
    let quoted = datagrams.quoted(&reported);
    let fits = quoted.len().min(room as usize);
    let mut control = datagrams.wanted.stamps.messages(arrival);
    control.extend(ancillary::extended_error(&reported, entry.family));
    Ok(Outcome::Datagram {
        from: Some(reported.remote),
        length: quoted.len() as u32,
        data: quoted[..fits].to_vec(),
        control,
    })
}

/// What a program chooses for a datagram by its control messages.
///
/// # Errors
/// As [`ancillary::choices`].
pub fn choices(
    network: &impl Sockets,
    entry: &Entry,
    address: Option<SocketAddr>,
    control: &[u8],
) -> Result<Choices, i32> {
    let peer = match &entry.role {
        Role::Datagrams(datagrams) => datagrams.peer,
        _ => None,
    };
    // Without a destination the call fails for that.
    let Some(to) = address.or(peer).filter(|_| !control.is_empty()) else {
        return Ok(Choices::default());
    };
    let interfaces = || network.interfaces(entry.at.machine).len();
    ancillary::choices(control, (entry.family, to), interfaces)
}

/// Sends a datagram for a program; names are answered here. How many bytes were taken.
///
/// # Errors
/// As the stack's.
pub fn send_one(
    network: &impl Sockets,
    entry: &mut Entry,
    (address, choices): (Option<SocketAddr>, &Choices),
    data: &[u8],
) -> Result<usize, SocketError> {
    let Role::Datagrams(datagrams) = &mut entry.role else {
        return Err(SocketError::Invalid);
    };
    let to = address
        .or(datagrams.peer)
        .ok_or(SocketError::DestinationRequired)?;
    let machine = entry.at.machine;
    let is_asked = datagrams.asks_names() && names::is_asked(network, machine, to);
    let reply = match is_asked {
        true => names::answer(network, data),
        false if datagrams.asks_names() => names::answer_for_outside(network, (machine, to), data),
        false => None,
    };
    if is_asked || reply.is_some() {
        if datagrams.replies.len() < TURN
            && let Some(reply) = reply
        {
            let from = Sender {
                from: entry.family.shown(to),
                way: None,
                arrival: datagrams.wanted.stamps.of_arrival(),
            };
            datagrams.replies.push_back((from, reply));
        }
        return Ok(data.len());
    }
    datagrams.bound = true;
    network.send_message(entry.at, data, to, choices)
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
            None => match network.recv_message(entry.at, &mut block) {
                Ok(received) => {
                    let nowhere = SocketAddr::new(entry.family.any(), 0);
                    let sender = Sender {
                        from: received.from.unwrap_or(nowhere),
                        way: received.from.map(|_| received.way),
                        arrival: datagrams.wanted.stamps.of_arrival(),
                    };
                    let data = block.get(..received.copied).unwrap_or(&[]);
                    (sender, data.to_vec())
                }
                Err(SocketError::WouldBlock) => {
                    datagrams.fetch_errors(network, entry.at, entry.end.as_fd());
                    return (!moved).then_some(Ready::READABLE);
                }
                Err(error) => {
                    // As Linux: one call is told, be it one that waits or the next.
                    match datagrams.parked.pop_front() {
                        Some(parked) => answers.push((parked.id, Err(error.errno()))),
                        None => datagrams.note_error(entry.end.as_fd(), error, &mut entry.error),
                    }
                    continue;
                }
            },
        };
        let host = (network, entry.at.machine);
        datagrams.held = datagrams.hand_over(host, entry.end.as_fd(), next, answers);
        if datagrams.gone {
            if let Some((sender, data)) = datagrams.held.take() {
                sender.refuse(network, entry.at, &data);
            }
            // What the program sent before comes first.
            (entry.pair.hung_up, entry.pair.readable) = (true, true);
        }
        if datagrams.held.is_some() {
            entry.pair.writable = false;
            return Some(Ready::NONE);
        }
        moved = true;
    }
    None
}

/// Moves what the program sent with `send` before a call that comes here now: it goes as it would have gone then. What it sends
/// meanwhile may go, too, for so long.
pub fn flush(network: &impl Sockets, entry: &mut Entry, block: &mut Vec<u8>) {
    if !matches!(entry.role, Role::Datagrams(_)) {
        return;
    }
    block.resize(block.len().max(LONGEST), 0);
    // The edge may not have been told yet.
    entry.pair.readable = true;
    let mut turns = 0..SENDERS / TURN;
    while turns.next().is_some() && move_up(network, entry, block) {}
}

/// What the program sent with `send`. Whether there may be more.
fn move_up(network: &impl Sockets, entry: &mut Entry, block: &mut [u8]) -> bool {
    for _ in 0..TURN {
        if !entry.pair.readable {
            return false;
        }
        match recv(entry.end.as_fd(), &mut *block, RecvFlags::DONTWAIT) {
            Ok((_, 0)) if is_end(entry.end.as_fd()) => {
                entry.pair.hung_up = true;
                entry.pair.readable = false;
            }
            Ok((_, count)) => {
                let data = block.get(..count).unwrap_or(&[]).to_vec();
                match send_one(network, entry, (None, &Choices::default()), &data) {
                    // Linux refuses such a call and keeps nothing in mind; a later call is not to blame for it.
                    Ok(_) | Err(SocketError::WouldBlock | SocketError::DestinationRequired) => {}
                    Err(error) => entry.error = Some(error),
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => {
                entry.pair.readable = false;
                // Of a room: nobody is opposite any more.
                entry.pair.hung_up |= error == Errno::CONNREFUSED;
            }
        }
    }
    entry.pair.readable
}

/// Whether nothing that was read is the end, whose event may not have been told yet, and no empty datagram. One that was
/// sent last of all before a close cannot be told from it.
fn is_end(end: BorrowedFd<'_>) -> bool {
    let more = || recv(end, &mut [0_u8; 1], RecvFlags::DONTWAIT | RecvFlags::PEEK);
    is_hung_up(end) && !matches!(more(), Ok((_, 1..)))
}
