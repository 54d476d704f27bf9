//! The IPv6 addresses of this host: their states and lifetimes (RFC 4862, 4429), and which one to
//! speak from (RFC 6724). Addresses here have their zones.
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use super::super::policy::{label, scope};
use super::super::zone::{self, zoned};
use crate::Instant;
use crate::l1_physical::PortId;

/// Most addresses of one port that routers may cause (Linux: max_addresses).
pub const MOST_AUTOMATIC: usize = 16;

/// What may be done with an address (RFC 4862 2, RFC 4429 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// Used already, while others are asked whether they have it.
    Optimistic,
    /// Used.
    Preferred,
    /// Only for what speaks from it already.
    Deprecated,
    /// Somebody else has it: not used.
    Duplicate,
}

/// Where an address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody gave it.
    Manual,
    /// Made of the link address (RFC 4291 2.5.1).
    LinkLocal,
    /// Made in a router's prefix, always the same there (RFC 7217).
    Stable,
    /// Made in a router's prefix, for a day (RFC 8981).
    Temporary,
}

/// One address of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address6 {
    /// The address, with its zone.
    pub ip: Ipv6Addr,
    /// Its on-link prefix, bits.
    pub len: u8,
    /// What may be done with it.
    pub state: AddressState,
    /// Where it came from.
    pub origin: Origin,
    /// When it is no longer preferred; `None`: never.
    pub preferred_until: Option<Instant>,
    /// When it goes; `None`: never.
    pub valid_until: Option<Instant>,
    /// When something is to be done for duplicate detection.
    pub probe: Option<Probe>,
}
/// Duplicate address detection under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When the next question is due, or the answer to be drawn.
    pub at: Instant,
    /// Questions still to be asked.
    pub left: u8,
    /// RFC 7527: tells our own question from another's.
    pub nonce: [u8; 6],
}
impl Address6 {
    /// One that lasts.
    pub fn lasting(ip: Ipv6Addr, len: u8, origin: Origin) -> Self {
        Self {
            ip,
            len,
            state: AddressState::Preferred,
            origin,
            preferred_until: None,
            valid_until: None,
            probe: None,
        }
    }
    /// Whether packets may be sent from it and taken for it.
    pub fn is_usable(&self) -> bool {
        self.state != AddressState::Duplicate
    }
    /// When something about it is due.
    pub fn due(&self) -> Option<Instant> {
        let times = [
            self.probe.map(|probe| probe.at),
            self.preferred_until
                .filter(|_| self.state == AddressState::Preferred),
            self.valid_until,
        ];
        times.into_iter().flatten().min()
    }
}

/// Every address of the host.
#[derive(Default)]
pub struct Addresses6 {
    by_port: BTreeMap<PortId, Vec<Address6>>,
    ours: BTreeMap<Ipv6Addr, PortId>,
    /// How many of them somebody else has.
    duplicates: usize,
}
impl Addresses6 {
    /// Adds one; `false` if the host has it already.
    pub fn add(&mut self, port: PortId, address: Address6) -> bool {
        if self.ours.contains_key(&address.ip) {
            return false;
        }
        self.ours.insert(address.ip, port);
        self.by_port.entry(port).or_default().push(address);
        true
    }
    /// Takes one away; what it was.
    pub fn remove(&mut self, ip: Ipv6Addr) -> Option<(PortId, Address6)> {
        let port = self.ours.remove(&ip)?;
        let all = self.by_port.get_mut(&port)?;
        let index = all.iter().position(|address| address.ip == ip)?;
        let address = all.remove(index);
        self.duplicates -= usize::from(!address.is_usable());
        Some((port, address))
    }
    /// Somebody else has it: it is not used any more.
    pub fn give_up(&mut self, ip: Ipv6Addr) {
        if let Some(address) = self.get_mut(ip).filter(|address| address.is_usable()) {
            address.state = AddressState::Duplicate;
            address.probe = None;
            self.duplicates += 1;
        }
    }
    /// One of them, whatever its state.
    pub fn get_mut(&mut self, ip: Ipv6Addr) -> Option<&mut Address6> {
        let port = self.ours.get(&ip)?;
        let all = self.by_port.get_mut(port)?;
        all.iter_mut().find(|address| address.ip == ip)
    }
    /// The same to read.
    pub fn get(&self, ip: Ipv6Addr) -> Option<&Address6> {
        let port = self.ours.get(&ip)?;
        self.on(*port).iter().find(|address| address.ip == ip)
    }
    /// The addresses of a port, in order of their coming.
    pub fn on(&self, port: PortId) -> &[Address6] {
        self.by_port.get(&port).map_or(&[][..], Vec::as_slice)
    }
    /// Whether it is one of ours that may be used.
    pub fn is_ours(&self, ip: Ipv6Addr) -> bool {
        let usable = || self.get(ip).is_some_and(Address6::is_usable);
        self.ours.contains_key(&ip) && (self.duplicates == 0 || usable())
    }
    /// The port of one of our addresses.
    pub fn port_of(&self, ip: Ipv6Addr) -> Option<PortId> {
        self.ours.get(&ip).copied()
    }
    /// All, by port.
    pub fn rows(&self) -> impl Iterator<Item = (PortId, &Address6)> {
        let ports = self.by_port.iter();
        ports.flat_map(|(port, all)| all.iter().map(|address| (*port, address)))
    }
    /// The first port but loopback that has an address.
    pub fn first_cable(&self) -> Option<PortId> {
        let mut cables = self.by_port.range(PortId(1)..);
        cables.find_map(|(port, all)| (!all.is_empty()).then_some(*port))
    }
    /// When something about one of them is due. O(addresses).
    pub fn due(&self) -> Option<Instant> {
        self.rows().filter_map(|(_, address)| address.due()).min()
    }

    /// RFC 6724 5: the address to speak from by this port to `dst`. An unnumbered port borrows from others, but never a
    /// link-local address.
    pub fn select(&self, port: PortId, dst: Ipv6Addr) -> Option<Ipv6Addr> {
        let candidates = self.rows().filter(|(_, address)| {
            let link_local = zone::needs_zone(address.ip);
            address.is_usable()
                && (!link_local || zone::zone_of(address.ip) == Some(port))
                && (!address.ip.is_loopback() || dst.is_loopback())
        });
        let best = candidates.max_by_key(|(at, address)| merit(address, *at == port, dst));
        best.map(|(_, address)| address.ip)
    }
}

/// Rules 1 to 8 of RFC 6724 5 as numbers that compare; of equals the later one wins, as `max_by_key` does, so the last
/// word is the address itself.
fn merit(address: &Address6, on_port: bool, dst: Ipv6Addr) -> impl Ord + use<> {
    let ip = zone::bare(address.ip);
    let dst = zone::bare(dst);
    let (scope, wanted) = (scope(ip.into()), scope(dst.into()));
    // Rule 2: the smallest scope that is not smaller than what is wanted; else the largest.
    let fits = match scope >= wanted {
        true => i16::from(0x10 - scope) + 0x20,
        false => i16::from(scope),
    };
    let common = (ip.to_bits() ^ dst.to_bits()).leading_zeros();
    (
        ip == dst,
        fits,
        address.state != AddressState::Deprecated,
        // RFC 4429 3.1: one that is known to be ours alone is better.
        address.state != AddressState::Optimistic,
        on_port,
        label(ip.into()) == label(dst.into()),
        address.origin == Origin::Temporary,
        common.min(u32::from(address.len)),
        core::cmp::Reverse(ip),
    )
}

/// RFC 4291 2.7.1: the group in which a question for an address is asked.
pub fn solicited_node(ip: Ipv6Addr, port: PortId) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    );
    zoned(group, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn the_address_to_speak_from_is_that_of_rfc_6724() {
        let mut addresses = Addresses6::default();
        let all = [
            (0, "::1", 128, Origin::Manual),
            (1, "fe80:2::1", 64, Origin::LinkLocal),
            (1, "fd00:1::10", 64, Origin::Manual),
            (1, "2001:db8:1::10", 64, Origin::Stable),
            (1, "2001:db8:1::77", 64, Origin::Temporary),
            (2, "fe80:3::2", 64, Origin::LinkLocal),
            (2, "2001:db8:2::10", 64, Origin::Manual),
        ];
        for (port, text, len, origin) in all {
            assert!(addresses.add(PortId(port), Address6::lasting(ip(text), len, origin)));
        }
        let select = |port, dst: &str| addresses.select(PortId(port), ip(dst)).unwrap();
        // Port, destination, source.
        let table = [
            (1, "fd00:1::20", "fd00:1::10"),
            (1, "fd00:9::20", "fd00:1::10"),
            (1, "2001:db8:1::20", "2001:db8:1::77"),
            (1, "2001:db8:9::20", "2001:db8:1::77"),
            (1, "fe80:2::9", "fe80:2::1"),
            (2, "fe80:3::9", "fe80:3::2"),
            (1, "ff02:2::1", "fe80:2::1"),
            (1, "ff0e::7", "2001:db8:1::77"),
            (2, "2001:db8:9::20", "2001:db8:2::10"),
            (0, "::1", "::1"),
            // Rule 1: the same address.
            (1, "2001:db8:1::10", "2001:db8:1::10"),
        ];
        for (port, dst, src) in table {
            assert_eq!(select(port, dst), ip(src), "to {dst} by port {port}");
        }
        addresses.get_mut(ip("2001:db8:1::77")).unwrap().state = AddressState::Deprecated;
        let source = addresses.select(PortId(1), ip("2001:db8:9::1"));
        assert_eq!(source, Some(ip("2001:db8:1::10")));
        addresses.give_up(ip("2001:db8:1::10"));
        assert!(!addresses.is_ours(ip("2001:db8:1::10")) && addresses.is_ours(ip("::1")));
        let source = addresses.select(PortId(1), ip("2001:db8:9::1"));
        assert_eq!(source, Some(ip("fd00:1::10")), "rule 5 comes before rule 6");
    }
}
