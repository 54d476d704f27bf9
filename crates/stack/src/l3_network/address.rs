//! The addresses of this host: which are ours, which are broadcasts, which one to speak from.
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::route::{mask, masked};
use crate::l1_physical::PortId;

/// One address of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its on-link prefix, bits.
    pub len: u8,
}

/// Every address of the host, found by address and by port.
#[derive(Default)]
pub struct Addresses {
    /// In order of configuration: the first is a port's primary one.
    by_port: BTreeMap<PortId, Vec<Address>>,
    ours: BTreeMap<Ipv4Addr, PortId>,
    /// Directed broadcasts, and on which cables they are.
    broadcasts: BTreeMap<Ipv4Addr, Vec<PortId>>,
    /// Those of ours that are not used: others are asked for them, or have them.
    unusable: BTreeSet<Ipv4Addr>,
}
impl Addresses {
    /// Adds one; `false` if the host has it already.
    pub fn add(&mut self, port: PortId, ip: Ipv4Addr, len: u8) -> bool {
        if self.ours.contains_key(&ip) {
            return false;
        }
        self.ours.insert(ip, port);
        self.by_port
            .entry(port)
            .or_default()
            .push(Address { ip, len });
        // RFC 3021: a link of two addresses has no broadcast; nor has loopback.
        if len < 31 && port != PortId::LOOPBACK {
            let broadcast = Ipv4Addr::from_bits(masked(ip, len) | !mask(len));
            self.broadcasts.entry(broadcast).or_default().push(port);
        }
        true
    }
    /// Whether it is one of ours that is used, all of 127/8 included (RFC 1122 3.2.1.3).
    pub fn is_ours(&self, ip: Ipv4Addr) -> bool {
        ip.is_loopback() || (self.ours.contains_key(&ip) && !self.is_unusable(ip))
    }
    /// Whether it is an address of this very port that is used.
    pub fn is_on(&self, port: PortId, ip: Ipv4Addr) -> bool {
        self.ours.get(&ip) == Some(&port) && !self.is_unusable(ip)
    }
    /// One of ours is used from now on, or no longer.
    pub fn set_usable(&mut self, ip: Ipv4Addr, usable: bool) {
        match usable {
            true => self.unusable.remove(&ip),
            false => self.unusable.insert(ip),
        };
    }
    /// Whether it is one of ours that is not used.
    pub fn is_unusable(&self, ip: Ipv4Addr) -> bool {
        !self.unusable.is_empty() && self.unusable.contains(&ip)
    }
    /// The port of one of our addresses.
    pub fn port_of(&self, ip: Ipv4Addr) -> Option<PortId> {
        self.ours.get(&ip).copied()
    }
    /// Whether it is the limited broadcast or a directed one of this port.
    pub fn is_broadcast_on(&self, port: PortId, ip: Ipv4Addr) -> bool {
        let ports = self.broadcasts.get(&ip);
        ip.is_broadcast() || ports.is_some_and(|ports| ports.contains(&port))
    }
    /// Whether it is a broadcast of any port.
    pub fn is_broadcast(&self, ip: Ipv4Addr) -> bool {
        ip.is_broadcast() || self.broadcasts.contains_key(&ip)
    }
    /// The address to speak from by this port: one that shares the prefix with `toward`, else the port's first, else the
    /// first of another cable (an unnumbered port).
    pub fn source(&self, port: PortId, toward: Ipv4Addr) -> Option<Ipv4Addr> {
        let usable = |a: &&Address| !self.is_unusable(a.ip);
        let here = self.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        let shares = |a: &&Address| masked(a.ip, a.len) == masked(toward, a.len);
        let first = || here.iter().find(usable);
        let found = here.iter().filter(usable).find(shares).or_else(first);
        let elsewhere = || {
            let mut cables = self.by_port.range(PortId(1)..);
            cables.find_map(|(_, addresses)| addresses.iter().find(usable))
        };
        found.or_else(elsewhere).map(|a| a.ip)
    }
    /// The first port but loopback that has an address.
    pub fn first_cable(&self) -> Option<PortId> {
        self.by_port
            .range(PortId(1)..)
            .next()
            .map(|(port, _)| *port)
    }
    /// All, by port, in order of configuration.
    pub fn rows(&self) -> impl Iterator<Item = (PortId, Address)> {
        self.by_port
            .iter()
            .flat_map(|(port, all)| all.iter().map(|address| (*port, *address)))
    }
}
