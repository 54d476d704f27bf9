//! The port space of one protocol: who holds which port, and may another socket have it too.
//!
//! Conflicts are those of Linux: two holders of one port get along if their addresses differ and neither is unspecified, if both
//! said SO_REUSEADDR and the one that is there does not listen, or if both said SO_REUSEPORT. One at `::` holds the port at every
//! address of both families, or of IPv6 alone (IPV6_V6ONLY). Holders are counted by what they allow, not listed, so that a check
//! costs the same with one holder or a hundred thousand.
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use super::any_of;
use super::family::Family;
use super::readiness::SocketError;
use crate::Rng;
use crate::keyed_hash::{KeyedHash, Place};
use crate::l1_physical::PortId;

/// The first ephemeral port (Linux: ip_local_port_range).
pub const EPHEMERAL_FIRST: u16 = 32_768;
/// The last ephemeral port.
pub const EPHEMERAL_LAST: u16 = 60_999;
const EPHEMERAL_COUNT: u16 = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;

/// What a holder of a port allows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sharing {
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// Listens: SO_REUSEADDR does not share with it.
    pub listening: bool,
    /// IPV6_V6ONLY: at `::` it leaves the port to IPv4.
    pub v6_only: bool,
    /// SO_BINDTODEVICE: those that are bound to other ports of the host are not in its way.
    pub device: Option<PortId>,
}
impl Sharing {
    /// What matters to one who wants the same address.
    fn kind(self) -> usize {
        usize::from(self.reuse_address)
            | usize::from(self.reuse_port) << 1
            | usize::from(self.listening) << 2
    }
    fn from_kind(kind: usize) -> Self {
        Self {
            reuse_address: kind & 1 != 0,
            reuse_port: kind & 2 != 0,
            listening: kind & 4 != 0,
            ..Self::default()
        }
    }
    /// Whether a newcomer with `self` may join a holder with `there`.
    fn joins(self, there: Self) -> bool {
        (self.reuse_address && there.reuse_address && !there.listening)
            || (self.reuse_port && there.reuse_port)
    }
}

/// A held port. Given back to [`PortSpace::release`] or [`PortSpace::leave_to_connection`] exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The address, or unspecified for all of them.
    pub addr: IpAddr,
    /// The port.
    pub port: u16,
    /// What it allows others.
    pub sharing: Sharing,
    /// Taken by `connect` without a bind: shared with other connects to other places.
    pub by_connect: bool,
}

/// Which connections still exist, by (local, remote).
pub type InUse<'a> = &'a dyn Fn(SocketAddr, SocketAddr) -> bool;

/// The ports of one protocol.
pub struct PortSpace {
    key: KeyedHash,
    /// RFC 6056 3.3.3's next_ephemeral.
    next_ephemeral: u32,
    at: HashMap<Place<u16>, Tally, KeyedHash>,
    ports: HashMap<u16, Port, KeyedHash>,
}

impl PortSpace {
    /// An empty space with a key of its own.
    pub fn new(rng: &mut Rng) -> Self {
        let key = KeyedHash::new(rng);
        Self {
            key,
            next_ephemeral: rng.next_u32(),
            at: HashMap::with_hasher(key),
            ports: HashMap::with_hasher(key),
        }
    }

    /// An empty space for another protocol. The secret is the same: no chance is taken from others.
    pub fn beside(&self) -> Self {
        Self {
            key: self.key,
            next_ephemeral: self.next_ephemeral,
            at: HashMap::with_hasher(self.key),
            ports: HashMap::with_hasher(self.key),
        }
    }

    /// `bind` to a port: `AddressInUse` if a holder is in the way.
    pub fn claim(
        &mut self,
        local: SocketAddr,
        sharing: Sharing,
        in_use: InUse<'_>,
    ) -> Result<Hold, SocketError> {
        if self.conflicts(local.ip(), local.port(), sharing) {
            self.forget_ended(local.port(), in_use);
            if self.conflicts(local.ip(), local.port(), sharing) {
                return Err(SocketError::AddressInUse);
            }
        }
        Ok(self.add(hold(local, sharing, false)))
    }

    /// `bind` to port 0: an ephemeral port from a random start on, one that nobody shares if there is any.
    pub fn claim_ephemeral(
        &mut self,
        addr: IpAddr,
        sharing: Sharing,
        rng: &mut Rng,
    ) -> Result<Hold, SocketError> {
        let start = rng.below(u64::from(EPHEMERAL_COUNT)) as u16;
        let alone = Sharing::default();
        for wanted in [alone, sharing] {
            for i in 0..EPHEMERAL_COUNT {
                let port = EPHEMERAL_FIRST
                    + ((u32::from(start) + u32::from(i)) % u32::from(EPHEMERAL_COUNT)) as u16;
                if !self.conflicts(addr, port, wanted) {
                    return Ok(self.add(hold(SocketAddr::new(addr, port), sharing, false)));
                }
            }
        }
        Err(SocketError::AddressInUse)
    }

    /// A port for `connect`: RFC 6056 3.3.3 (algorithm 3), a keyed hash of both ends plus a counter. A port serves many
    /// connections as long as their four numbers differ; ports that were bound are left alone.
    pub fn claim_for_connect(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        sharing: Sharing,
        in_use: InUse<'_>,
    ) -> Result<Hold, SocketError> {
        let offset = self.key.hash_one((local, remote)) as u32;
        for _ in 0..EPHEMERAL_COUNT {
            let step = offset.wrapping_add(self.next_ephemeral) % u32::from(EPHEMERAL_COUNT);
            self.next_ephemeral = self.next_ephemeral.wrapping_add(1);
            let local = SocketAddr::new(local, EPHEMERAL_FIRST + step as u16);
            let bound = self.ports.get(&local.port()).is_some_and(|p| p.bound > 0);
            if !bound && !in_use(local, remote) {
                return Ok(self.add(hold(local, sharing, true)));
            }
        }
        Err(SocketError::AddressNotAvailable)
    }

    /// One more holder of a port that is held already: an accepted connection beside its listener.
    pub fn join(&mut self, local: SocketAddr, sharing: Sharing) -> Hold {
        self.add(hold(local, sharing, false))
    }

    /// The holder listens from now on: `AddressInUse` if another one does that it cannot share with.
    pub fn listen(&mut self, hold: &mut Hold, in_use: InUse<'_>) -> Result<(), SocketError> {
        self.remove(*hold);
        let wanted = Sharing {
            listening: true,
            ..hold.sharing
        };
        let claimed = self.claim(SocketAddr::new(hold.addr, hold.port), wanted, in_use);
        *hold = match claimed {
            Ok(new) => new,
            Err(_) => self.add(*hold),
        };
        claimed.map(|_| ())
    }

    /// The holder changed what it allows, or the address that it is at (a connect tells an unspecified one).
    pub fn change(&mut self, hold: &mut Hold, addr: IpAddr, sharing: Sharing) {
        self.remove(*hold);
        *hold = self.add(Hold {
            addr,
            sharing,
            ..*hold
        });
    }

    /// The port is free again.
    pub fn release(&mut self, hold: Hold) {
        self.remove(hold);
    }

    /// The socket is gone but its connection lingers (FIN-WAIT, LAST-ACK, TIME-WAIT): it holds the port until it ends.
    pub fn leave_to_connection(&mut self, hold: Hold, remote: SocketAddr, in_use: InUse<'_>) {
        let Some(port) = self.ports.get_mut(&hold.port) else {
            return;
        };
        port.lingering.push_back((hold, remote));
        // Two looks for each newcomer: the list stays within a small multiple of the connections that really linger.
        for _ in 0..2 {
            let Some(port) = self.ports.get_mut(&hold.port) else {
                return;
            };
            let Some((old, to)) = port.lingering.pop_front() else {
                return;
            };
            if in_use(SocketAddr::new(old.addr, old.port), to) {
                port.lingering.push_back((old, to));
            } else {
                self.remove(old);
            }
        }
    }

    fn conflicts(&self, addr: IpAddr, port: u16, sharing: Sharing) -> bool {
        let refuses = |tally: Option<&Tally>| tally.is_some_and(|tally| tally.refuses(sharing));
        if addr.is_unspecified() {
            let held = self.ports.get(&port);
            let mut families = families(addr, sharing);
            return families.any(|family| refuses(held.map(|port| port.of(family))));
        }
        [addr, any_of(addr)]
            .iter()
            .any(|addr| refuses(self.at.get(&Place(port, *addr))))
    }

    /// Lets go of lingering connections that have ended. Linear in those of one port, and only where a bind would fail.
    fn forget_ended(&mut self, port: u16, in_use: InUse<'_>) {
        let Some(entry) = self.ports.get_mut(&port) else {
            return;
        };
        let lingering = core::mem::take(&mut entry.lingering);
        let mut left = VecDeque::new();
        for (hold, remote) in lingering {
            if in_use(SocketAddr::new(hold.addr, hold.port), remote) {
                left.push_back((hold, remote));
            } else {
                self.remove(hold);
            }
        }
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.lingering = left;
        }
    }

    fn add(&mut self, hold: Hold) -> Hold {
        let port = self.ports.entry(hold.port).or_default();
        port.bound += u32::from(!hold.by_connect);
        for family in families(hold.addr, hold.sharing) {
            let at = Place(hold.port, hold.addr_in(family));
            self.at.entry(at).or_default().add(hold.sharing);
            port.of_mut(family).add(hold.sharing);
        }
        hold
    }

    fn remove(&mut self, hold: Hold) {
        let Some(port) = self.ports.get_mut(&hold.port) else {
            return;
        };
        port.bound -= u32::from(!hold.by_connect);
        for family in families(hold.addr, hold.sharing) {
            port.of_mut(family).remove(hold.sharing);
            let at = Place(hold.port, hold.addr_in(family));
            if let Some(tally) = self.at.get_mut(&at) {
                tally.remove(hold.sharing);
                if tally.is_empty() {
                    self.at.remove(&at);
                }
            }
        }
        if port.v4.is_empty() && port.v6.is_empty() {
            self.ports.remove(&hold.port);
        }
    }
}

/// The families in which an address holds a port: both for `::`, unless IPV6_V6ONLY is set.
fn families(addr: IpAddr, sharing: Sharing) -> impl Iterator<Item = Family> {
    let own = Family::from(addr);
    let both = own == Family::V6 && addr.is_unspecified() && !sharing.v6_only;
    core::iter::once(own).chain(both.then_some(Family::V4))
}

impl Hold {
    /// The address, as the holders of a family see it.
    fn addr_in(&self, family: Family) -> IpAddr {
        match Family::from(self.addr) == family {
            true => self.addr,
            false => family.any(),
        }
    }
}

fn hold(local: SocketAddr, sharing: Sharing, by_connect: bool) -> Hold {
    Hold {
        addr: local.ip(),
        port: local.port(),
        sharing,
        by_connect,
    }
}

/// One port over all addresses.
#[derive(Default)]
struct Port {
    v4: Tally,
    v6: Tally,
    /// Holders that did not come by `connect`.
    bound: u32,
    /// Holds left to connections without a socket, oldest first.
    lingering: VecDeque<(Hold, SocketAddr)>,
}
impl Port {
    fn of(&self, family: Family) -> &Tally {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
    fn of_mut(&mut self, family: Family) -> &mut Tally {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// Holders by what they allow, [`Sharing::kind`]. Those of one port are of one kind as a rule.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// The kind of the first holder, and how many are of it.
    kind: u8,
    count: u32,
    /// Holders of other kinds, and those that are bound to a port of the host, while there are any.
    others: Option<Box<Others>>,
}
/// By kind; of those that are bound to a port of the host, each of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Others {
    kinds: [u32; 8],
    bound: Vec<(PortId, [u32; 8])>,
}
impl Others {
    fn kinds_mut(&mut self, device: Option<PortId>) -> &mut [u32; 8] {
        let Some(device) = device else {
            return &mut self.kinds;
        };
        let known = self.bound.iter().position(|row| row.0 == device);
        let at = known.unwrap_or(self.bound.len());
        if known.is_none() {
            self.bound.push((device, [0; 8]));
        }
        &mut self.bound[at].1
    }
    /// Those that a newcomer may meet.
    fn in_way_of(&self, device: Option<PortId>) -> impl Iterator<Item = &[u32; 8]> {
        let meets = move |row: &&(PortId, [u32; 8])| device.is_none_or(|device| device == row.0);
        let bound = self.bound.iter().filter(meets).map(|row| &row.1);
        core::iter::once(&self.kinds).chain(bound)
    }
}
impl Tally {
    fn add(&mut self, holder: Sharing) {
        let (kind, device) = (holder.kind(), holder.device);
        if self.is_empty() && device.is_none() {
            self.kind = kind as u8;
        }
        if kind == usize::from(self.kind) && device.is_none() {
            self.count += 1;
        } else {
            self.others.get_or_insert_default().kinds_mut(device)[kind] += 1;
        }
    }
    fn remove(&mut self, holder: Sharing) {
        let (kind, device) = (holder.kind(), holder.device);
        if kind == usize::from(self.kind) && device.is_none() {
            self.count -= 1;
            return;
        }
        if let Some(others) = &mut self.others {
            others.kinds_mut(device)[kind] -= 1;
            others.bound.retain(|row| row.1 != [0; 8]);
            if **others == Others::default() {
                self.others = None;
            }
        }
    }
    fn refuses(&self, newcomer: Sharing) -> bool {
        let refuses = |kind| !newcomer.joins(Sharing::from_kind(kind));
        let others = self.others.iter();
        let mut met = others.flat_map(|others| others.in_way_of(newcomer.device));
        (self.count > 0 && refuses(usize::from(self.kind)))
            || met.any(|kinds| (0..).zip(kinds).any(|(kind, n)| *n > 0 && refuses(kind)))
    }
    fn is_empty(&self) -> bool {
        self.count == 0 && self.others.is_none()
    }
}

#[cfg(test)]
mod tests;
