//! The loop: doors, connections, peers, the bell. Edge-triggered; each edge is kept until it is used up.
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::datagram::{Door, Peers};
use crate::Network;
use crate::splice::inside::Target;
use crate::splice::stream::{Next, Stream};
use crate::splice::{Shared, lock};

/// The key of the bell.
const BELL: u64 = 0;
/// Most connections at once; the others wait in the kernel's backlog.
const MOST_STREAMS: usize = 8192;
/// Connections accepted before others have their turn.
const TURN: usize = 64;
/// Bytes moved at once; no datagram is longer.
const BLOCK: usize = 64 * 1024;
/// How often silent peers are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// When to try again to accept, where descriptors ran out.
const STARVED: Duration = Duration::from_millis(100);
/// Nothing moves any more: a finish is over.
const STILL: Duration = Duration::from_secs(1);
/// How often a finish looks whether it is over.
const WATCH: Duration = Duration::from_millis(20);

/// The thread's state. Everything has a key from one count, never used twice.
pub(super) struct Relay {
    network: Network,
    shared: Arc<Shared>,
    epoll: OwnedFd,
    next_key: u64,
    listeners: HashMap<u64, Listener>,
    streams: HashMap<u64, Stream>,
    doors: HashMap<u64, Door>,
    peers: Peers,
    again: Vec<u64>,
    block: Vec<u8>,
    swept: Instant,
    moved: Instant,
    finish: Option<Instant>,
}

struct Listener {
    socket: TcpListener,
    target: Target,
    /// There may be connections that were not taken for want of room.
    starved: bool,
}

impl Relay {
    pub(super) fn new(network: Network, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = EventData::new_u64(BELL);
        epoll::add(&epoll, &shared.bell, bell, EventFlags::IN)?;
        let now = Instant::now();
        Ok(Self {
            network,
            shared,
            epoll,
            next_key: BELL + 1,
            listeners: HashMap::new(),
            streams: HashMap::new(),
            doors: HashMap::new(),
            peers: HashMap::new(),
            again: Vec::new(),
            block: vec![0; BLOCK],
            swept: now,
            moved: now,
            finish: None,
        })
    }

    /// A published port of streams.
    pub(super) fn add_listener(&mut self, socket: TcpListener, target: Target) -> io::Result<()> {
        let key = self.new_key();
        self.hear(&socket, key, EventFlags::IN)?;
        let listener = Listener {
            socket,
            target,
            starved: false,
        };
        self.listeners.insert(key, listener);
        Ok(())
    }

    /// A published port of datagrams.
    pub(super) fn add_datagrams(&mut self, socket: UdpSocket, target: Target) -> io::Result<()> {
        let key = self.new_key();
        self.hear(&socket, key, EventFlags::IN)?;
        self.doors.insert(key, Door::new(socket, target));
        Ok(())
    }

    fn new_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    fn hear(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(key);
        Ok(epoll::add(
            &self.epoll,
            socket,
            data,
            flags | EventFlags::ET,
        )?)
    }

    /// Serves until it is told to finish and everything has left.
    pub(super) fn serve(mut self) {
        let mut events = Vec::with_capacity(256);
        while !self.is_over() {
            let limit = self.patience().map(timespec);
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, limit.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            for epoll::Event { flags, data } in events.drain(..) {
                match data.u64() {
                    BELL => self.answer_bell(),
                    key => self.take_event(key, flags),
                }
            }
            for key in std::mem::take(&mut self.again) {
                self.serve_key(key);
            }
            self.feed_starved();
            self.sweep();
        }
    }

    fn is_over(&self) -> bool {
        let Some(finish) = self.finish else {
            return false;
        };
        let now = Instant::now();
        now >= finish || now >= self.moved + STILL || self.streams.values().all(Stream::is_drained)
    }

    fn patience(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            Some(Duration::ZERO)
        } else if self.finish.is_some() {
            Some(WATCH)
        } else if self.listeners.values().any(|listener| listener.starved) {
            Some(STARVED)
        } else {
            (!self.peers.is_empty()).then_some(SWEEP)
        }
    }

    fn answer_bell(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.bell, &mut count);
        let (ready, finish) = {
            let mut inbox = lock(&self.shared.inbox);
            (std::mem::take(&mut inbox.ready), inbox.finish)
        };
        if finish.is_some() && self.finish.is_none() {
            self.finish = finish;
            self.moved = Instant::now();
            self.listeners.clear();
        }
        for key in ready {
            self.serve_key(key);
        }
    }

    fn take_event(&mut self, key: u64, flags: EventFlags) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.note(flags);
        }
        self.serve_key(key);
    }

    fn serve_key(&mut self, key: u64) {
        if self.streams.contains_key(&key) {
            self.serve_stream(key);
        } else if self.peers.contains_key(&key) {
            self.serve_peer(key);
        } else if self.doors.contains_key(&key) {
            self.serve_door(key);
        } else if self.listeners.contains_key(&key) {
            self.accept(key);
        }
    }

    fn accept(&mut self, key: u64) {
        for _ in 0..TURN {
            let full = self.streams.len() >= MOST_STREAMS;
            let Some(listener) = self.listeners.get_mut(&key) else {
                return;
            };
            listener.starved = full;
            if full {
                return;
            }
            let target = listener.target;
            match listener.socket.accept() {
                Ok((outside, _)) => self.admit(outside, target),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    // Descriptors or memory ran out; what others give back comes to us later.
                    _ => {
                        listener.starved = true;
                        return;
                    }
                },
            }
        }
        self.again.push(key);
    }

    fn admit(&mut self, outside: std::net::TcpStream, target: Target) {
        if outside.set_nonblocking(true).is_err() {
            return;
        }
        let key = self.new_key();
        let waker = self.shared.waker(key);
        let Some(stream) = Stream::start(&self.network, outside, target, waker) else {
            return;
        };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
        if self.hear(stream.outside(), key, flags).is_ok() {
            self.streams.insert(key, stream);
            self.serve_stream(key);
        }
    }

    fn serve_stream(&mut self, key: u64) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let mut moved = false;
        match stream.turn(&self.network, &mut self.block, &mut moved) {
            Next::Wait => {}
            Next::Again => self.again.push(key),
            Next::Over => {
                self.streams.remove(&key);
            }
        }
        if moved {
            self.moved = Instant::now();
        }
    }

    fn serve_door(&mut self, key: u64) {
        let Some(door) = self.doors.get_mut(&key) else {
            return;
        };
        let (next_key, shared) = (&mut self.next_key, &self.shared);
        let new_key = || {
            let key = *next_key;
            *next_key += 1;
            (key, shared.waker(key))
        };
        let network = (&self.network, key);
        if door.move_in(network, &mut self.peers, &mut self.block, new_key) {
            self.again.push(key);
        }
    }

    fn serve_peer(&mut self, key: u64) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let Some(door) = self.doors.get_mut(&peer.door) else {
            return;
        };
        match door.move_out(peer, &mut self.block) {
            Some(true) => self.again.push(key),
            Some(false) => {}
            None => self.forget_peer(key),
        }
    }

    fn forget_peer(&mut self, key: u64) {
        if let Some(peer) = self.peers.remove(&key)
            && let Some(door) = self.doors.get_mut(&peer.door)
        {
            door.forget(&peer);
        }
    }

    fn feed_starved(&mut self) {
        let starved = self.listeners.iter().filter(|(_, one)| one.starved);
        for key in starved.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.accept(key);
        }
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        let idle = self.peers.iter().filter(|(_, peer)| peer.is_idle(now));
        for key in idle.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.forget_peer(key);
        }
    }
}

fn timespec(limit: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    }
}
