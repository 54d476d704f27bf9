//! One connection: bytes both ways with backpressure, ends and resets as they come. What one side does not take is not
//! asked of the other.
//!
//! ```text
//!   outside ── read ──▶ up   ──▶ send     the stack's buffer full: nothing is read, the kernel's window closes
//!   outside ◀─ write ── down ◀── recv     the kernel's buffer full: nothing is received, the stack's window closes
//! ```
use core::net::SocketAddr;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use core::task::Waker;
use heptad_stack::{Ready, SocketError, SocketKind};
use rustix::event::epoll::EventFlags;

use super::inside::{Inside, Target};
use crate::Network;

/// Blocks moved before another connection has its turn.
const TURN: usize = 8;

/// A connection from outside and its other half inside.
pub(crate) struct Stream {
    outside: TcpStream,
    inside: Inside,
    phase: Phase,
    /// Edges that epoll has told of the outside and that are not used up.
    readable: bool,
    writable: bool,
    failed: bool,
    up: Held,
    down: Held,
    up_ended: bool,
    up_told: bool,
    down_ended: bool,
}

enum Phase {
    /// On its way inside; these addresses are left, should nobody listen there.
    Connecting(Target, VecDeque<SocketAddr>, Waker),
    Open,
}

/// What comes after a turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for either side; it rings.
    Wait,
    /// There is more to move now.
    Again,
    /// Both halves can go.
    Over,
}

/// Whether bytes moved, and what the inside must become before more can. `Err`: the connection is broken.
struct Moved {
    moved: bool,
    wants: Ready,
}
#[derive(Clone, Copy)]
struct Broken;

impl Stream {
    /// Starts the inner half. `None`: there is no way inside; the outer half is reset.
    pub(crate) fn start(
        network: &Network,
        outside: TcpStream,
        target: Target,
        waker: Waker,
    ) -> Option<Self> {
        let _ = outside.set_nodelay(true);
        let mut left: VecDeque<SocketAddr> = target.addresses(network).collect();
        let Some(inside) = next_attempt(network, target, &mut left, &waker) else {
            reset(&outside);
            return None;
        };
        let phase = Phase::Connecting(target, left, waker);
        Some(Self::of(outside, inside, phase))
    }

    /// Two halves that are both connected. Whatever happened to the outer one meanwhile is found out by trying.
    pub(crate) fn joined(outside: TcpStream, inside: Inside) -> Self {
        let _ = outside.set_nodelay(true);
        Self {
            readable: true,
            ..Self::of(outside, inside, Phase::Open)
        }
    }
    fn of(outside: TcpStream, inside: Inside, phase: Phase) -> Self {
        Self {
            outside,
            inside,
            phase,
            readable: false,
            writable: true,
            failed: false,
            up: Held::default(),
            down: Held::default(),
            up_ended: false,
            up_told: false,
            down_ended: false,
        }
    }

    /// The socket outside, for epoll.
    pub(crate) fn outside(&self) -> &TcpStream {
        &self.outside
    }
    /// What epoll said of it.
    pub(crate) fn note(&mut self, flags: EventFlags) {
        let over = EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
        self.readable |= flags.intersects(EventFlags::IN | over);
        self.writable |= flags.contains(EventFlags::OUT);
        self.failed |= flags.contains(EventFlags::ERR);
    }
    /// Nothing more can come out of it once the programs inside are over.
    pub(crate) fn is_drained(&self) -> bool {
        match self.phase {
            Phase::Connecting(..) => true,
            Phase::Open => self.down_ended && self.down.is_empty(),
        }
    }

    /// Moves what can be moved; `moved` is set when something was.
    pub(crate) fn turn(&mut self, network: &Network, block: &mut [u8], moved: &mut bool) -> Next {
        let next = match self.try_turn(network, block, moved) {
            Ok(next) => next,
            Err(Broken) => {
                self.inside.reset_at_close();
                reset(&self.outside);
                Next::Over
            }
        };
        if next == Next::Over && !self.up_told {
            self.inside.reset_at_close();
        }
        next
    }

    fn try_turn(
        &mut self,
        network: &Network,
        block: &mut [u8],
        any: &mut bool,
    ) -> Result<Next, Broken> {
        if self.failed {
            return Err(Broken);
        }
        if matches!(self.phase, Phase::Connecting(..)) && !self.is_connected(network)? {
            return Ok(Next::Wait);
        }
        for _ in 0..TURN {
            let up = self.move_up(block)?;
            let down = self.move_down(block)?;
            *any |= up.moved || down.moved;
            if self.up_told && self.down_ended && self.down.is_empty() {
                return Ok(Next::Over);
            }
            if !up.moved && !down.moved {
                return self.wait_for(up.wants | down.wants);
            }
        }
        Ok(Next::Again)
    }

    /// A refusal is passed on once nobody listens at any of the node's addresses.
    fn is_connected(&mut self, network: &Network) -> Result<bool, Broken> {
        let Phase::Connecting(target, left, waker) = &mut self.phase else {
            return Ok(true);
        };
        loop {
            let over = Ready::WRITABLE | Ready::ERROR | Ready::HANG_UP;
            if !self.inside.ready().intersects(over) {
                self.inside.watch_for(Ready::WRITABLE);
                return Ok(false);
            }
            match self.inside.take_error() {
                None => break,
                Some(SocketError::ConnectionRefused) => {
                    self.inside = next_attempt(network, *target, left, waker).ok_or(Broken)?;
                }
                Some(_) => return Err(Broken),
            }
        }
        self.phase = Phase::Open;
        Ok(true)
    }

    fn wait_for(&mut self, wants: Ready) -> Result<Next, Broken> {
        let ready = self.inside.ready();
        if ready.intersects(Ready::ERROR) || (ready.intersects(Ready::HANG_UP) && self.down_ended) {
            return Err(Broken);
        }
        // One that is over already would ring without end; what is left waits for the outside.
        if wants != Ready::NONE || !ready.intersects(Ready::HANG_UP) {
            self.inside.watch_for(wants);
        }
        Ok(Next::Wait)
    }

    fn move_up(&mut self, block: &mut [u8]) -> Result<Moved, Broken> {
        let mut moved = false;
        if self.up.is_empty() && self.readable && !self.up_ended {
            match self.outside.read(block) {
                Ok(0) => self.up_ended = true,
                Ok(count) => {
                    moved = true;
                    self.up.fill(block.get(..count).unwrap_or(&[]));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.readable = false,
                    io::ErrorKind::Interrupted => moved = true,
                    _ => return Err(Broken),
                },
            }
        }
        while !self.up.is_empty() {
            match self.inside.send(self.up.left()) {
                Ok(0) | Err(SocketError::WouldBlock) => {
                    let wants = Ready::WRITABLE;
                    return Ok(Moved { moved, wants });
                }
                Ok(count) => {
                    moved = true;
                    self.up.advance(count);
                }
                Err(_) => return Err(Broken),
            }
        }
        if self.up_ended && !self.up_told {
            self.up_told = true;
            self.inside.end_sending();
        }
        let wants = Ready::NONE;
        Ok(Moved { moved, wants })
    }

    fn move_down(&mut self, block: &mut [u8]) -> Result<Moved, Broken> {
        let mut moved = false;
        if self.down.is_empty() && self.writable && !self.down_ended {
            match self.inside.recv(block) {
                Ok(0) => {
                    self.down_ended = true;
                    let _ = self.outside.shutdown(Shutdown::Write);
                }
                Ok(count) => {
                    moved = true;
                    self.down.fill(block.get(..count).unwrap_or(&[]));
                }
                Err(SocketError::WouldBlock) => {
                    let wants = Ready::READABLE;
                    return Ok(Moved { moved, wants });
                }
                Err(_) => return Err(Broken),
            }
        }
        while !self.down.is_empty() && self.writable {
            match self.outside.write(self.down.left()) {
                Ok(count) => {
                    moved = true;
                    self.down.advance(count);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.writable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Broken),
                },
            }
        }
        let wants = Ready::NONE;
        Ok(Moved { moved, wants })
    }
}

/// A socket on its way to the next address that has a way.
fn next_attempt(
    network: &Network,
    target: Target,
    left: &mut VecDeque<SocketAddr>,
    waker: &Waker,
) -> Option<Inside> {
    while let Some(address) = left.pop_front() {
        let to = (SocketKind::Stream, address);
        if let Ok(inside) = Inside::connect(network, target.machine, to, waker.clone()) {
            return Some(inside);
        }
    }
    None
}

/// Dropping it sends a reset.
pub(crate) fn reset(outside: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(outside, Some(core::time::Duration::ZERO));
}

/// Bytes read on one side and not yet written on the other: at most one block.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    written: usize,
}
impl Held {
    fn left(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or(&[])
    }
    fn is_empty(&self) -> bool {
        self.left().is_empty()
    }
    fn fill(&mut self, block: &[u8]) {
        self.bytes.extend_from_slice(block);
    }
    fn advance(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            // An idle connection keeps no block.
            *self = Self::default();
        }
    }
}
