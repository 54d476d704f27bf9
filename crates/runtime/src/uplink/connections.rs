//! Connections: first the kernel's to the destination, then the gateway's to the program, then bytes between the two.
use core::net::SocketAddr;
use core::task::Waker;
use std::collections::HashMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use heptad_lab::MachineId;
use heptad_stack::stack::{SocketOption, Stranger};
use heptad_stack::{Ready, SocketError, SocketId, SocketKind};
use rustix::io::Errno;

use super::outside;
use crate::Network;
use crate::splice::Keys;
use crate::splice::inside::Inside;

/// How long a program that was admitted may take to end its handshake.
const HANDSHAKE: Duration = Duration::from_secs(70);
/// Handshakes of one destination at once.
const BACKLOG: u32 = 1024;

/// Both ends of a flow, and whose gateway it crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub gateway: MachineId,
    /// The destination, as the program knows it.
    pub to: SocketAddr,
    pub from: SocketAddr,
}
impl Ends {
    pub fn of(gateway: MachineId, stranger: &Stranger) -> Self {
        let (to, from) = (stranger.to, stranger.from);
        Self { gateway, to, from }
    }
}

/// A connection of the kernel's that is not yet one of the program's.
struct Opening {
    outside: TcpStream,
    /// The key of its connection, in the end.
    key: u64,
    stage: Stage,
}
enum Stage {
    /// The kernel asks the destination.
    Dialling(Stranger),
    /// The program is told, since then.
    Greeting(Instant),
}

/// Where admitted programs arrive: a destination's address at a gateway, while somebody is on the way.
struct Door {
    socket: SocketId,
    key: u64,
    waker: Waker,
    expected: usize,
}

/// All connections that are being opened.
#[derive(Default)]
pub(super) struct Openings {
    openings: HashMap<Ends, Opening>,
    by_key: HashMap<u64, Ends>,
    doors: HashMap<(MachineId, SocketAddr), Door>,
    door_keys: HashMap<u64, (MachineId, SocketAddr)>,
}

impl Openings {
    pub fn len(&self) -> usize {
        self.openings.len()
    }
    pub fn is_empty(&self) -> bool {
        self.openings.is_empty()
    }
    /// Whether the key is that of a destination that is asked.
    pub fn is_dialling(&self, key: u64) -> bool {
        self.by_key.contains_key(&key)
    }
    /// Whether programs arrive there.
    pub fn is_door(&self, key: u64) -> bool {
        self.door_keys.contains_key(&key)
    }
    /// A SYN that came again takes the first one's place. One that is new comes back.
    pub fn renew(&mut self, ends: Ends, stranger: Stranger) -> Option<Stranger> {
        match self
            .openings
            .get_mut(&ends)
            .map(|opening| &mut opening.stage)
        {
            Some(Stage::Dialling(held)) => *held = stranger,
            // It is on its way to being accepted: what it lacks it hears from the gateway.
            Some(Stage::Greeting(_)) => {}
            None => return Some(stranger),
        }
        None
    }
    /// The kernel asks the destination.
    pub fn dial(&mut self, ends: Ends, outside: TcpStream, stranger: Stranger, key: u64) {
        let stage = Stage::Dialling(stranger);
        let opening = Opening {
            outside,
            key,
            stage,
        };
        self.openings.insert(ends, opening);
        self.by_key.insert(key, ends);
    }

    /// Something happened to a connection of the kernel's: if it stands, the program is let in; if not, told so.
    pub fn answered(&mut self, network: &Network, key: u64, keys: &mut Keys) {
        let Some(ends) = self.by_key.get(&key).copied() else {
            return;
        };
        let Some(opening) = self.openings.get_mut(&ends) else {
            return;
        };
        let Stage::Dialling(stranger) = &mut opening.stage else {
            return;
        };
        let outcome = rustix::net::sockopt::socket_error(&opening.outside).and_then(|error| error);
        match outcome {
            Ok(()) if opening.outside.peer_addr().is_err() => {}
            Ok(()) => self.let_in(network, ends, keys),
            Err(error) => {
                refuse(network, ends.gateway, stranger, error);
                self.openings.remove(&ends);
                self.by_key.remove(&key);
            }
        }
    }

    fn let_in(&mut self, network: &Network, ends: Ends, keys: &mut Keys) {
        let place = (ends.gateway, ends.to);
        if !self.doors.contains_key(&place) {
            let key = keys.draw();
            let waker = keys.waker(key);
            let Ok(socket) = listen(network, place) else {
                return self.give_up(network, ends);
            };
            network.register(place.0, socket, Ready::READABLE, &waker);
            self.door_keys.insert(key, place);
            let door = Door {
                socket,
                key,
                waker,
                expected: 0,
            };
            self.doors.insert(place, door);
        }
        let Some(opening) = self.openings.get_mut(&ends) else {
            return;
        };
        let now = Stage::Greeting(Instant::now());
        if let Stage::Dialling(mut stranger) = core::mem::replace(&mut opening.stage, now) {
            if let Some(door) = self.doors.get_mut(&place) {
                door.expected += 1;
            }
            network.with(ends.gateway, |stack, cx| stack.admit(&mut stranger, cx));
        }
    }

    /// Programs whose handshake is over: their ends, both sockets, and the key of the kernel's.
    pub fn arrived(
        &mut self,
        network: &Network,
        door: u64,
        keys: &Keys,
    ) -> Vec<(u64, TcpStream, Inside)> {
        let mut all = Vec::new();
        let Some(place) = self.door_keys.get(&door).copied() else {
            return all;
        };
        let Some(listener) = self.doors.get(&place).map(|door| door.socket) else {
            return all;
        };
        while let Ok((socket, from)) = network.with(place.0, |stack, cx| stack.accept(listener, cx))
        {
            let ends = Ends {
                gateway: place.0,
                to: place.1,
                from,
            };
            let expected = self.openings.remove(&ends);
            let key = expected.as_ref().map_or(door, |opening| opening.key);
            let inside = Inside::of(network, place.0, socket, keys.waker(key));
            match expected {
                Some(opening) => {
                    self.by_key.remove(&key);
                    self.no_longer(network, place);
                    all.push((key, opening.outside, inside));
                }
                // Whom it was for has given up.
                None => inside.reset_at_close(),
            }
        }
        if let Some(door) = self.doors.get(&place) {
            network.register(place.0, door.socket, Ready::READABLE, &door.waker);
        }
        all
    }

    /// Forgets programs that did not end their handshake.
    pub fn sweep(&mut self, network: &Network, now: Instant) {
        let is_late = |opening: &Opening| match opening.stage {
            Stage::Dialling(_) => false,
            Stage::Greeting(since) => now.saturating_duration_since(since) >= HANDSHAKE,
        };
        let late = self.openings.iter().filter(|(_, opening)| is_late(opening));
        for ends in late.map(|(ends, _)| *ends).collect::<Vec<_>>() {
            self.give_up(network, ends);
            self.no_longer(network, (ends.gateway, ends.to));
        }
    }

    fn give_up(&mut self, _network: &Network, ends: Ends) {
        if let Some(opening) = self.openings.remove(&ends) {
            self.by_key.remove(&opening.key);
            crate::splice::stream::reset(&opening.outside);
        }
    }

    /// One fewer is expected at a door; with nobody expected it closes.
    fn no_longer(&mut self, network: &Network, place: (MachineId, SocketAddr)) {
        let Some(door) = self.doors.get_mut(&place) else {
            return;
        };
        door.expected = door.expected.saturating_sub(1);
        if door.expected == 0
            && let Some(door) = self.doors.remove(&place)
        {
            self.door_keys.remove(&door.key);
            network.deregister(place.0, door.socket);
            network.with(place.0, |stack, cx| stack.close(door.socket, cx));
        }
    }
}

/// A listener at a destination's address.
fn listen(
    network: &Network,
    (gateway, at): (MachineId, SocketAddr),
) -> Result<SocketId, SocketError> {
    network.with(gateway, |stack, cx| {
        let socket = stack.socket(at.ip(), SocketKind::Stream)?;
        let mut prepare = || {
            stack.set(socket, SocketOption::ReuseAddress(true), cx)?;
            stack.set(socket, SocketOption::NoDelay(true), cx)?;
            stack.bind(socket, at, cx)?;
            stack.listen(socket, BACKLOG, cx)
        };
        let prepared = prepare();
        if prepared.is_err() {
            stack.close(socket, cx);
        }
        prepared.map(|()| socket)
    })
}

/// Tells a stranger what the kernel said, if it is to hear of it.
pub(super) fn refuse(network: &Network, gateway: MachineId, stranger: &mut Stranger, error: Errno) {
    if let Some(refusal) = outside::refusal(error) {
        network.with(gateway, |stack, cx| stack.refuse(stranger, refusal, cx));
    }
}
