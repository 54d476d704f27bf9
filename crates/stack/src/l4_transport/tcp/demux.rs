//! Demultiplexing: which listener, opening, connection or TIME-WAIT entry a segment is for. Keyed hashes, so that nobody can aim at one bucket.
use core::hash::{BuildHasher, Hash, Hasher};
use core::net::{IpAddr, SocketAddr};

use alloc::vec::Vec;
use hashbrown::HashMap;

use super::{ConnId, Options};
use crate::Cx;
use crate::keyed_hash::{KeyedHash, hash_bare};
use crate::l1_physical::PortId;
use crate::l4_transport::any_of;

/// What a segment is for: a slot in one of the slabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Listener(u32),
    Opening(u32),
    Conn(ConnId),
    TimeWait(u32),
}

/// Local and remote end, without what IPv6 adds to an address for the sake of programs: half the size of two `SocketAddr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    ips: (IpAddr, IpAddr),
    ports: (u16, u16),
}
impl Pair {
    /// Of these two.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            ips: (local.ip(), remote.ip()),
            ports: (local.port(), remote.port()),
        }
    }
    /// Our end.
    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.ips.0, self.ports.0)
    }
    /// Theirs.
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.ips.1, self.ports.1)
    }
}
impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_bare(self.ips.0, state);
        hash_bare(self.ips.1, state);
        state.write_u32(u32::from(self.ports.0) << 16 | u32::from(self.ports.1));
    }
}

/// The tables. Nothing ever walks them.
pub struct Demux {
    key: KeyedHash,
    pairs: HashMap<Pair, Entry, KeyedHash>,
    /// More than one at an address: they said SO_REUSEPORT, or are bound to different ports of the host.
    listeners: HashMap<SocketAddr, Vec<Listening>, KeyedHash>,
    /// Those of them at `::` that hear IPv4 too, by port.
    dual: HashMap<u16, Vec<Listening>, KeyedHash>,
    /// A socket was bound to a port of the host, now or before: otherwise nobody asks which.
    knows_devices: bool,
}

/// A listener, and the port of the host that it is bound to.
#[derive(Clone, Copy, Debug)]
struct Listening {
    index: u32,
    device: Option<PortId>,
}
impl Demux {
    /// Empty, with a key of its own.
    pub fn new(cx: &mut Cx<'_>) -> Self {
        let key = KeyedHash::new(cx.rng);
        Self {
            key,
            pairs: HashMap::with_hasher(key),
            listeners: HashMap::with_hasher(key),
            dual: HashMap::with_hasher(key),
            knows_devices: false,
        }
    }
    /// Whether some socket is, or was, bound to a port of the host.
    pub fn knows_devices(&self) -> bool {
        self.knows_devices
    }
    /// One is from now on, or none.
    pub fn note_device(&mut self, device: Option<PortId>) {
        self.knows_devices |= device.is_some();
    }
    /// The entry of a pair.
    pub fn pair(&self, local: SocketAddr, remote: SocketAddr) -> Option<Entry> {
        self.pairs.get(&Pair::new(local, remote)).copied()
    }
    /// Sets it.
    pub fn insert(&mut self, local: SocketAddr, remote: SocketAddr, entry: Entry) {
        self.pairs.insert(Pair::new(local, remote), entry);
    }
    /// Removes it if it is still the one that is meant.
    pub fn remove(&mut self, local: SocketAddr, remote: SocketAddr, entry: Entry) {
        let pair = self.pairs.entry(Pair::new(local, remote));
        if let hashbrown::hash_map::Entry::Occupied(there) = pair
            && *there.get() == entry
        {
            there.remove();
        }
    }
    /// The listener for an address and what came in by a port: one of that very address before one of any, one of IPv4 alone
    /// before one of both families; of each, one that is bound to the port before one that is bound to none. Those that share
    /// an address share its connections by a hash of both ends.
    pub fn listener(&self, local: SocketAddr, remote: SocketAddr, port: PortId) -> Option<u32> {
        let any = SocketAddr::new(any_of(local.ip()), local.port());
        let draw = |n| match n {
            0 | 1 => 0,
            n => (self.key.hash_one((local, remote)) % n as u64) as usize,
        };
        let of_list = |list: &Vec<Listening>| match self.knows_devices {
            false => list.get(draw(list.len())).map(|listening| listening.index),
            true => [Some(port), None].into_iter().find_map(|device| {
                let own = list.iter().filter(|listening| listening.device == device);
                let drawn = draw(own.clone().count());
                own.map(|listening| listening.index).nth(drawn)
            }),
        };
        let dual = || self.dual.get(&local.port()).filter(|_| local.is_ipv4());
        self.listeners
            .get(&local)
            .and_then(of_list)
            .or_else(|| self.listeners.get(&any).and_then(of_list))
            .or_else(|| dual().and_then(of_list))
    }
    /// Adds a listener; `false` if there is one of this very address and the new one does not share.
    pub fn listen(&mut self, local: SocketAddr, index: u32, options: &Options) -> bool {
        let device = options.device;
        let sharing = self.listeners.entry(local).or_default();
        let meets = |there: &Listening| {
            device.is_none() || there.device.is_none() || there.device == device
        };
        if sharing.iter().any(meets) && !options.reuse_port {
            return false;
        }
        let listening = Listening { index, device };
        sharing.push(listening);
        if options.hears_both(local.ip()) {
            self.dual.entry(local.port()).or_default().push(listening);
        }
        self.note_device(device);
        true
    }
    /// A listener is bound to another port of the host.
    pub fn bind_listener(&mut self, local: SocketAddr, index: u32, device: Option<PortId>) {
        self.note_device(device);
        let lists = [
            self.listeners.get_mut(&local),
            self.dual.get_mut(&local.port()),
        ];
        let all = lists.into_iter().flatten().flatten();
        for listening in all.filter(|listening| listening.index == index) {
            listening.device = device;
        }
    }
    /// Removes a listener.
    pub fn unlisten(&mut self, local: SocketAddr, index: u32) {
        remove(&mut self.listeners, &local, index);
        remove(&mut self.dual, &local.port(), index);
    }
}

fn remove<K: Eq + Hash>(lists: &mut HashMap<K, Vec<Listening>, KeyedHash>, key: &K, index: u32) {
    if let Some(list) = lists.get_mut(key) {
        list.retain(|other| other.index != index);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}
