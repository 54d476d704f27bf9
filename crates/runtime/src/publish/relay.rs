//! The loop: doors, connections, peers.
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::EventFlags;

use super::datagram::{Door, Peers};
use crate::Network;
use crate::splice::inside::Target;
use crate::splice::stream::Stream;
use crate::splice::{BOTH_WAYS, SWEEP, Shared, Splice};

/// Connections accepted before others have their turn.
const TURN: usize = 64;
/// When to try again to accept, where descriptors ran out.
const STARVED: Duration = Duration::from_millis(100);

/// The thread's state. Everything has a key of its own.
pub(super) struct Relay {
    splice: Splice,
    listeners: HashMap<u64, Listener>,
    doors: HashMap<u64, Door>,
    peers: Peers,
}

struct Listener {
    socket: TcpListener,
    target: Target,
    /// There may be connections that were not taken for want of room.
    starved: bool,
}

impl Relay {
    pub(super) fn new(network: Network, shared: Arc<Shared>) -> io::Result<Self> {
        Ok(Self {
            splice: Splice::new(network, shared)?,
            listeners: HashMap::new(),
            doors: HashMap::new(),
            peers: HashMap::new(),
        })
    }

    /// A published port of streams.
    pub(super) fn add_listener(&mut self, socket: TcpListener, target: Target) -> io::Result<()> {
        let key = self.splice.keys.draw();
        self.splice.hear(&socket, key, EventFlags::IN)?;
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
        let key = self.splice.keys.draw();
        self.splice.hear(&socket, key, EventFlags::IN)?;
        self.doors.insert(key, Door::new(socket, target));
        Ok(())
    }

    /// Serves until it is told to finish and everything has left.
    pub(super) fn serve(mut self) {
        while let Some(keys) = self.splice.next_turn(self.patience()) {
            if self.splice.is_finishing() {
                self.listeners.clear();
            }
            for key in keys {
                self.serve_key(key);
            }
            self.feed_starved();
            self.sweep();
        }
    }

    fn patience(&self) -> Option<Duration> {
        match self.listeners.values().any(|listener| listener.starved) {
            true => Some(STARVED),
            false => (!self.peers.is_empty()).then_some(SWEEP),
        }
    }

    fn serve_key(&mut self, key: u64) {
        if self.peers.contains_key(&key) {
            self.serve_peer(key);
        } else if self.doors.contains_key(&key) {
            self.serve_door(key);
        } else if self.listeners.contains_key(&key) {
            self.accept(key);
        }
    }

    fn accept(&mut self, key: u64) {
        for _ in 0..TURN {
            // The others wait in the kernel's backlog.
            let full = self.splice.is_full(0);
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
        self.splice.again.push(key);
    }

    fn admit(&mut self, outside: std::net::TcpStream, target: Target) {
        if outside.set_nonblocking(true).is_err() {
            return;
        }
        let key = self.splice.keys.draw();
        let waker = self.splice.keys.waker(key);
        let Some(stream) = Stream::start(&self.splice.network, outside, target, waker) else {
            return;
        };
        if self.splice.hear(stream.outside(), key, BOTH_WAYS).is_ok() {
            self.splice.add_stream(key, stream);
        }
    }

    fn serve_door(&mut self, key: u64) {
        if let Some(door) = self.doors.get_mut(&key)
            && door.move_in(&mut self.splice, key, &mut self.peers)
        {
            self.splice.again.push(key);
        }
    }

    fn serve_peer(&mut self, key: u64) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let Some(door) = self.doors.get_mut(&peer.door) else {
            return;
        };
        match door.move_out(peer, &mut self.splice.block) {
            Some(true) => self.splice.again.push(key),
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
        let Some(now) = self.splice.sweep_due() else {
            return;
        };
        let idle = self.peers.iter().filter(|(_, peer)| peer.is_idle(now));
        for key in idle.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.forget_peer(key);
        }
    }
}
