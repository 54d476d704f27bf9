//! Datagrams and echo requests: a socket of the kernel's for each flow, so that errors from outside find who caused them.
use core::net::{IpAddr, SocketAddr};
use core::task::Waker;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use heptad_lab::MachineId;
use heptad_stack::stack::{Refusal, SocketOption, Stranger, Wish};
use heptad_stack::{Ready, SocketError, SocketKind};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::connections::{Ends, refuse};
use super::{Directions, nameservers, outside};
use crate::Network;
use crate::splice::Splice;
use crate::splice::inside::Inside;

/// How long a flow may be silent (RFC 4787, 4.3: not under two minutes).
const IDLE: Duration = Duration::from_secs(120);
/// The same of questions to name servers, whose sockets ask once (RFC 4787, 4.3: well-known ports may have less).
const IDLE_QUESTION: Duration = Duration::from_secs(20);
/// A question to a name server that has no answer by then was asked in vain: resolvers ask again after five seconds, or two.
const VAIN: Duration = Duration::from_millis(1900);
/// Most flows; a new one takes the place of the one that was silent longest.
pub(super) const MOST: usize = 4096;
/// Most echo requests of a flow that wait for their answers.
const MOST_ECHOES: usize = 64;
/// Datagrams moved before others have their turn.
const TURN: usize = 64;
/// Type, code, checksum, identifier, sequence number.
const ECHO_HEADER: usize = 8;

/// What tells flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FlowId {
    Datagrams(Ends),
    /// Gateway, destination, sender, identifier.
    Echoes(MachineId, IpAddr, IpAddr, u16),
}
impl FlowId {
    pub fn of(gateway: MachineId, stranger: &Stranger) -> Self {
        match stranger.wish {
            Wish::Echo { id, .. } => {
                Self::Echoes(gateway, stranger.to.ip(), stranger.from.ip(), id)
            }
            Wish::Datagrams | Wish::Connection => Self::Datagrams(Ends::of(gateway, stranger)),
        }
    }
    fn gateway(self) -> MachineId {
        match self {
            Self::Datagrams(Ends { gateway, .. }) | Self::Echoes(gateway, ..) => gateway,
        }
    }
}

/// A flow.
pub(super) struct Flow {
    pub id: FlowId,
    outside: OwnedFd,
    used: Instant,
    body: Body,
}
enum Body {
    /// The gateway's socket, the datagram that began it, and whether anything came back.
    Datagrams(Inside, Stranger, bool),
    /// Those that wait for answers, by sequence number.
    Echoes(HashMap<u16, Stranger>),
}

/// By their keys.
pub(super) type Flows = HashMap<u64, Flow>;

impl Flow {
    /// Datagrams of a stranger; what began it goes out at its first turn. `None`: the gateway has no room.
    pub fn datagrams(
        network: &Network,
        gateway: MachineId,
        mut stranger: Stranger,
        (outside, waker): (OwnedFd, Waker),
    ) -> Option<Self> {
        let ends = (stranger.to, stranger.from);
        let inside = socket_between(network, gateway, ends, waker).ok()?;
        let id = FlowId::of(gateway, &stranger);
        network.with(gateway, |stack, cx| stack.admit(&mut stranger, cx));
        Some(Self {
            id,
            outside,
            used: Instant::now(),
            body: Body::Datagrams(inside, stranger, false),
        })
    }

    /// Echo requests of one identifier.
    pub fn echoes(id: FlowId, at: IpAddr) -> Result<Self, Errno> {
        Ok(Self {
            id,
            outside: outside::echoes_to(at)?,
            used: Instant::now(),
            body: Body::Echoes(HashMap::new()),
        })
    }

    /// One more of a flow that exists.
    pub fn take(&mut self, network: &Network, mut stranger: Stranger) {
        self.used = Instant::now();
        let gateway = self.id.gateway();
        match (&mut self.body, stranger.wish) {
            // It came before the socket was there.
            (Body::Datagrams(..), _) => {
                network.with(gateway, |stack, cx| stack.admit(&mut stranger, cx));
            }
            (Body::Echoes(waiting), Wish::Echo { id, seq }) => {
                let data = stranger.echo_data();
                let request = echo_request(stranger.to, (id, seq), &data);
                match rustix::net::send(&self.outside, &request, SendFlags::NOSIGNAL) {
                    Ok(_) if waiting.len() < MOST_ECHOES => {
                        waiting.insert(seq, stranger);
                    }
                    Ok(_) => {}
                    Err(error) => refuse(network, gateway, &mut stranger, error),
                }
            }
            (Body::Echoes(_), _) => {}
        }
    }

    /// Moves some of what waits on either side; whether there may be more. `None`: the program's end is gone, and what it
    /// says next begins another flow. Name servers that do not answer give way to the next ones that `directions` tell.
    pub fn turn(&mut self, splice: &mut Splice, directions: &Directions) -> Option<bool> {
        let (network, block) = (&splice.network, &mut splice.block);
        let back = self.move_in(network, block);
        let out = self.move_out(network, directions, block)?;
        Some(out || back)
    }

    fn move_out(
        &mut self,
        network: &Network,
        directions: &Directions,
        block: &mut [u8],
    ) -> Option<bool> {
        for _ in 0..TURN {
            let Body::Datagrams(inside, ..) = &self.body else {
                return Some(false);
            };
            match inside.recv(block) {
                Ok(count) => {
                    self.ask_another(directions);
                    self.used = Instant::now();
                    let data = block.get(..count).unwrap_or(&[]);
                    if let Err(error) = send(&self.outside, data) {
                        self.failed(network, error);
                    }
                }
                Err(SocketError::WouldBlock) => {
                    inside.watch_for(Ready::READABLE);
                    return Some(false);
                }
                Err(_) => return None,
            }
        }
        Some(true)
    }

    /// A question that comes again because nobody answered goes to the next name server.
    fn ask_another(&mut self, directions: &Directions) {
        let FlowId::Datagrams(Ends { to, .. }) = self.id else {
            return;
        };
        let waited = self.used.elapsed() >= VAIN;
        if waited && self.asks_for_names() && self.is_unanswered() {
            nameservers::blame();
            if let Some(other) = directions(to) {
                // One of the other family is for the next flow.
                let _ = rustix::net::connect(&self.outside, &other);
            }
        }
    }

    fn move_in(&mut self, network: &Network, block: &mut [u8]) -> bool {
        for _ in 0..TURN {
            match rustix::net::recv(&self.outside, &mut *block, RecvFlags::DONTWAIT) {
                Ok((count, _)) => {
                    self.used = Instant::now();
                    self.answered(network, block.get(..count).unwrap_or(&[]));
                }
                Err(Errno::AGAIN) => return false,
                Err(error) => self.failed(network, error),
            }
        }
        true
    }

    fn answered(&mut self, network: &Network, data: &[u8]) {
        match &mut self.body {
            Body::Datagrams(inside, _, heard) => {
                *heard = true;
                // An error that waited for the socket is taken by the first try; a full buffer loses the datagram, and says so.
                if inside.send(data) == Err(SocketError::ConnectionRefused) {
                    let _ = inside.send(data);
                }
            }
            Body::Echoes(waiting) => {
                let Some([.., high, low]) = data.first_chunk::<ECHO_HEADER>() else {
                    return;
                };
                if let Some(mut stranger) = waiting.remove(&u16::from_be_bytes([*high, *low])) {
                    let gateway = self.id.gateway();
                    network.with(gateway, |stack, cx| stack.admit(&mut stranger, cx));
                }
            }
        }
    }

    fn failed(&mut self, network: &Network, error: Errno) {
        let gateway = self.id.gateway();
        match &mut self.body {
            Body::Datagrams(_, first, _) => refuse(network, gateway, first, error),
            Body::Echoes(waiting) => {
                for (_, mut stranger) in waiting.drain() {
                    refuse(network, gateway, &mut stranger, error);
                }
            }
        }
    }

    /// The socket outside, for epoll.
    pub fn outside(&self) -> BorrowedFd<'_> {
        self.outside.as_fd()
    }
    /// When it was used last.
    pub fn used(&self) -> Instant {
        self.used
    }
    /// It was silent for long.
    pub fn is_idle(&self, now: Instant) -> bool {
        let limit = match self.asks_for_names() {
            true => IDLE_QUESTION,
            false => IDLE,
        };
        now.saturating_duration_since(self.used) >= limit
    }
    /// It is over: a name server that was silent is not the next one's.
    pub fn forgotten(&self) {
        if self.asks_for_names() && self.is_unanswered() {
            nameservers::blame();
        }
    }
    fn is_unanswered(&self) -> bool {
        matches!(self.body, Body::Datagrams(.., false))
    }
    fn asks_for_names(&self) -> bool {
        let ours = SocketAddr::new(nameservers::NAMESERVER.into(), 53);
        matches!(self.id, FlowId::Datagrams(ends) if ends.to == ours)
    }
}

/// An error that waited is of an earlier datagram: what it says is said, and the datagram goes after it.
fn send(outside: &OwnedFd, data: &[u8]) -> Result<(), Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match rustix::net::send(outside, data, flags) {
        // One that the kernel has no room for is lost, as datagrams are.
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => {
            let _ = rustix::net::send(outside, data, flags);
            Err(error)
        }
    }
}

/// A socket of the gateway with the destination's address and the sender as its peer.
fn socket_between(
    network: &Network,
    gateway: MachineId,
    (to, from): (SocketAddr, SocketAddr),
    waker: Waker,
) -> Result<Inside, SocketError> {
    let socket = network.with(gateway, |stack, _| {
        stack.socket(to.ip(), SocketKind::Datagram)
    })?;
    let inside = Inside::of(network, gateway, socket, waker);
    network.with(gateway, |stack, cx| {
        stack.set(socket, SocketOption::ReuseAddress(true), cx)?;
        stack.bind(socket, to, cx)?;
        stack.connect(socket, from, cx)
    })?;
    Ok(inside)
}

/// As icmp(7) wants it: the kernel fills in the checksum, and an identifier of its own.
fn echo_request(to: SocketAddr, (id, seq): (u16, u16), data: &[u8]) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let mut request = vec![kind, 0, 0, 0];
    request.extend(id.to_be_bytes());
    request.extend(seq.to_be_bytes());
    request.extend(data);
    request
}

/// Why a stranger's echo request is refused where the machine has no socket for it.
pub(super) fn no_echo(error: Errno) -> Option<Refusal> {
    match error {
        Errno::ACCESS | Errno::PERM | Errno::PROTONOSUPPORT | Errno::PROTOTYPE => {
            Some(Refusal::Prohibited)
        }
        other => outside::refusal(other),
    }
}
