//! Datagrams: each peer outside has a socket of its own inside, so that answers find their way back.
use core::net::SocketAddr;
use std::collections::HashMap;
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use core::task::Waker;
use heptad_stack::{Ready, SocketError, SocketKind};

use crate::Network;
use crate::splice::Splice;
use crate::splice::inside::{Inside, Target};

/// Most peers of a port; a new one takes the place of the one that was silent longest.
const MOST_PEERS: usize = 1024;
/// How long a peer may be silent (RFC 4787, 4.3: not under two minutes).
const IDLE: Duration = Duration::from_secs(120);
/// Datagrams moved before others have their turn.
const TURN: usize = 64;

/// A published datagram port.
pub(super) struct Door {
    outside: UdpSocket,
    target: Target,
    peers: HashMap<SocketAddr, u64>,
}

/// A peer outside.
pub(super) struct Peer {
    /// The key of its door.
    pub(super) door: u64,
    address: SocketAddr,
    inside: Inside,
    used: Instant,
}

/// The peers of all doors, by their keys.
pub(super) type Peers = HashMap<u64, Peer>;

impl Door {
    pub(super) fn new(outside: UdpSocket, target: Target) -> Self {
        Self {
            outside,
            target,
            peers: HashMap::new(),
        }
    }

    /// Takes some of what waits outside in; whether there may be more. `door` is its own key.
    pub(super) fn move_in(&mut self, splice: &mut Splice, door: u64, peers: &mut Peers) -> bool {
        for _ in 0..TURN {
            let (count, from) = match self.outside.recv_from(&mut splice.block) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An error about a datagram that was sent: the next call is another matter.
                Err(_) => continue,
            };
            let key = match self.peers.get(&from) {
                Some(key) => *key,
                None => {
                    self.make_room(peers);
                    let key = splice.keys.draw();
                    let waker = splice.keys.waker(key);
                    let Some(peer) = self.admit(&splice.network, door, from, waker) else {
                        continue;
                    };
                    self.peers.insert(from, key);
                    peers.insert(key, peer);
                    key
                }
            };
            if let Some(peer) = peers.get_mut(&key) {
                peer.send(splice.block.get(..count).unwrap_or(&[]));
            }
        }
        true
    }

    /// Takes some of what waits for a peer out; whether there may be more. `None`: nobody is bound inside any more.
    pub(super) fn move_out(&self, peer: &mut Peer, block: &mut [u8]) -> Option<bool> {
        for _ in 0..TURN {
            match peer.inside.recv(block) {
                Ok(count) => {
                    peer.used = Instant::now();
                    // A datagram that the kernel has no room for is lost, as datagrams are.
                    let _ = self
                        .outside
                        .send_to(block.get(..count).unwrap_or(&[]), peer.address);
                }
                Err(SocketError::WouldBlock) => {
                    peer.inside.watch_for(Ready::READABLE);
                    return Some(false);
                }
                // The next datagram from there looks for the server anew.
                Err(_) => return None,
            }
        }
        Some(true)
    }

    /// Forgets a peer.
    pub(super) fn forget(&mut self, peer: &Peer) {
        self.peers.remove(&peer.address);
    }

    fn admit(
        &self,
        network: &Network,
        door: u64,
        address: SocketAddr,
        waker: Waker,
    ) -> Option<Peer> {
        let to = (SocketKind::Datagram, self.target.datagrams_at(network));
        let inside = Inside::connect(network, self.target.machine, to, waker).ok()?;
        inside.watch_for(Ready::READABLE);
        Some(Peer {
            door,
            address,
            inside,
            used: Instant::now(),
        })
    }

    fn make_room(&mut self, peers: &mut Peers) {
        if self.peers.len() < MOST_PEERS {
            return;
        }
        let oldest = self
            .peers
            .iter()
            .filter_map(|(address, key)| Some((peers.get(key)?.used, *key, *address)))
            .min();
        if let Some((_, key, address)) = oldest {
            peers.remove(&key);
            self.peers.remove(&address);
        }
    }
}

impl Peer {
    fn send(&mut self, data: &[u8]) {
        self.used = Instant::now();
        // An error that waited for the socket is taken by the first try; a full buffer loses the datagram, and says so.
        if self.inside.send(data) == Err(SocketError::ConnectionRefused) {
            let _ = self.inside.send(data);
        }
    }

    /// It was silent for long.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE
    }
}
