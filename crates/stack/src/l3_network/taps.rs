//! Copies of what comes for this host, for those who want to see packets as they are (raw sockets).
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;

use heptad_wire::ipv4::Ipv4Header;
use heptad_wire::{PacketBuf, PacketId};

use super::{Arrival, Network};
use crate::l1_physical::PortId;

/// A whole datagram as it came, its payload copied.
pub struct Tapped {
    /// The packet that it was, or the last one that made it whole.
    pub id: PacketId,
    /// Who sent it, with the zone.
    pub src: IpAddr,
    /// Whom it was for, with the zone.
    pub dst: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// By which port it came.
    pub port: PortId,
    /// TTL or hop limit as it came.
    pub ttl: u8,
    /// DS field or traffic class.
    pub tos: u8,
    /// Where its transport header begins.
    pub transport: usize,
    /// From the IPv4 header on; of IPv6 from the transport header on (RFC 3542 3).
    pub bytes: Vec<u8>,
}

/// What is wanted, and what waits to be taken.
#[derive(Default)]
pub struct Taps {
    /// Protocols of IPv4 (`false`) and IPv6.
    wanted: BTreeSet<(bool, u8)>,
    waiting: Vec<Tapped>,
}

impl Network {
    /// Copies of these protocols of IPv4 (`false`) and IPv6 (`true`) are wanted from now on.
    pub fn tap(&mut self, wanted: impl IntoIterator<Item = (bool, u8)>) {
        self.taps.wanted = wanted.into_iter().collect();
    }
    /// Whether any are.
    pub fn is_tapped(&self) -> bool {
        !self.taps.wanted.is_empty()
    }
    /// Those of the packet that came up last.
    pub fn take_copies(&mut self) -> Vec<Tapped> {
        core::mem::take(&mut self.taps.waiting)
    }

    /// A datagram of IPv4 for this host.
    pub(super) fn tap_v4(&mut self, port: PortId, header: &Ipv4Header, packet: &PacketBuf) {
        if !self.taps.wanted.contains(&(false, header.protocol)) {
            return;
        }
        let mut bytes = alloc::vec![0; header.len()];
        let total = u16::try_from(header.len() + packet.len());
        let header = Ipv4Header {
            total_len: total.unwrap_or(u16::MAX),
            ..*header
        };
        header.emit(&mut bytes);
        let transport = bytes.len();
        filled(packet).write_to(&mut bytes);
        self.taps.waiting.push(Tapped {
            id: packet.id(),
            src: header.src.into(),
            dst: header.dst.into(),
            protocol: header.protocol,
            port,
            ttl: header.ttl,
            tos: header.tos,
            transport,
            bytes,
        });
    }
    /// A datagram of IPv6 for this host.
    pub(super) fn tap_v6(&mut self, arrival: &Arrival) {
        if !self.taps.wanted.contains(&(true, arrival.protocol)) {
            return;
        }
        let mut bytes = Vec::new();
        filled(&arrival.packet).write_to(&mut bytes);
        self.taps.waiting.push(Tapped {
            id: arrival.packet.id(),
            src: arrival.src,
            dst: arrival.dst,
            protocol: arrival.protocol,
            port: arrival.port,
            ttl: arrival.ttl,
            tos: arrival.tos,
            transport: 0,
            bytes,
        });
    }
}

/// With its checksum, which a packet that never left this host lacks.
fn filled(packet: &PacketBuf) -> PacketBuf {
    let mut copy = packet.duplicate();
    copy.fill();
    copy
}
