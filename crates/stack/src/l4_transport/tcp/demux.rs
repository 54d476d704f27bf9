//! Demultiplexing: which listener, opening, connection or TIME-WAIT entry a segment is for. Keyed hashes, so that nobody can aim at one bucket.
use core::hash::BuildHasher;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hashbrown::HashMap;
use siphasher::sip::SipHasher13;

use super::ConnId;
use crate::Cx;

/// What a segment is for: a slot in one of the slabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Listener(u32),
    Opening(u32),
    Conn(ConnId),
    TimeWait(u32),
}

/// The host's key for its tables.
#[derive(Clone, Copy)]
pub struct Keyed(u64, u64);
impl BuildHasher for Keyed {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// Local and remote end.
pub type Pair = (SocketAddr, SocketAddr);

/// The two tables. Nothing ever walks them.
pub struct Demux {
    pairs: HashMap<Pair, Entry, Keyed>,
    listeners: HashMap<SocketAddr, u32, Keyed>,
}
impl Demux {
    /// Empty, with a key of its own.
    pub fn new(cx: &mut Cx<'_>) -> Self {
        let keyed = Keyed(cx.rng.next_u64(), cx.rng.next_u64());
        Self {
            pairs: HashMap::with_hasher(keyed),
            listeners: HashMap::with_hasher(keyed),
        }
    }
    /// What a segment is for: a pair before a listener.
    pub fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<Entry> {
        self.pair(local, remote)
            .or_else(|| self.listener(local).map(Entry::Listener))
    }
    /// The entry of a pair.
    pub fn pair(&self, local: SocketAddr, remote: SocketAddr) -> Option<Entry> {
        self.pairs.get(&(local, remote)).copied()
    }
    /// Sets it.
    pub fn insert(&mut self, local: SocketAddr, remote: SocketAddr, entry: Entry) {
        self.pairs.insert((local, remote), entry);
    }
    /// Removes it if it is still the one that is meant.
    pub fn remove(&mut self, local: SocketAddr, remote: SocketAddr, entry: Entry) {
        if self.pair(local, remote) == Some(entry) {
            self.pairs.remove(&(local, remote));
        }
    }
    /// The listener for an address: one of that very address before one of any.
    pub fn listener(&self, local: SocketAddr) -> Option<u32> {
        self.listeners
            .get(&local)
            .or_else(|| self.listeners.get(&any(local)))
            .copied()
    }
    /// Adds a listener; `false` if there is one of this very address.
    pub fn listen(&mut self, local: SocketAddr, index: u32) -> bool {
        if self.listeners.contains_key(&local) {
            return false;
        }
        self.listeners.insert(local, index);
        true
    }
    /// Removes a listener.
    pub fn unlisten(&mut self, local: SocketAddr) {
        self.listeners.remove(&local);
    }
}

fn any(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, local.port())
}
