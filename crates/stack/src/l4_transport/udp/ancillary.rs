//! What is told of a datagram beside its bytes, and what may be asked for one (ip(7), RFC 3542).
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use heptad_wire::udp::{HEADER_LEN, UdpHeader};

use super::{GroupSettings, Settings};
use crate::l1_physical::PortId;
use crate::l3_network::{Arrival, Tapped, zone};

/// A datagram as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many of its bytes there was room for.
    pub copied: usize,
    /// How many it has.
    pub len: usize,
    /// Who sent it; `None`: nobody, the direction is closed.
    pub from: Option<SocketAddr>,
    /// How it came.
    pub way: Way,
}

impl Received {
    /// Nobody sends any more.
    pub(in crate::l4_transport) const NOTHING: Self = Self {
        copied: 0,
        len: 0,
        from: None,
        way: Way {
            to: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: PortId::LOOPBACK,
            hops: 0,
            class: 0,
        },
    };
}

/// What a datagram's packet said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whom it was for, as it stood on the cable: one of our addresses, or a group (IP_PKTINFO, IPV6_PKTINFO).
    pub to: IpAddr,
    /// The port that it came in by (the same).
    pub port: PortId,
    /// TTL or hop limit (IP_RECVTTL, IPV6_RECVHOPLIMIT).
    pub hops: u8,
    /// DS field or traffic class (IP_RECVTOS, IPV6_RECVTCLASS).
    pub class: u8,
}
impl Way {
    pub(in crate::l4_transport) fn of(arrival: &Arrival) -> Self {
        Self {
            to: zone::bare_ip(arrival.dst),
            port: arrival.port,
            hops: arrival.ttl,
            class: arrival.tos,
        }
    }
    pub(in crate::l4_transport) fn of_copy(copy: &Tapped) -> Self {
        Self {
            to: zone::bare_ip(copy.dst),
            port: copy.port,
            hops: copy.ttl,
            class: copy.tos,
        }
    }
}

/// What one datagram has otherwise than its socket says; `None`: as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The address to speak from.
    pub src: Option<IpAddr>,
    /// The port to leave by.
    pub port: Option<PortId>,
    /// TTL or hop limit.
    pub hops: Option<u8>,
    /// DS field or traffic class.
    pub class: Option<u8>,
}
impl Choices {
    /// The settings of a socket for this datagram.
    pub(in crate::l4_transport) fn over(&self, settings: Settings) -> Settings {
        Settings {
            ttl: self.hops.unwrap_or(settings.ttl),
            hops: self.hops.unwrap_or(settings.hops),
            tos: self.class.unwrap_or(settings.tos),
            class: self.class.unwrap_or(settings.class),
            groups: GroupSettings {
                ttl: self.hops.unwrap_or(settings.groups.ttl),
                ..settings.groups
            },
            groups_v6: GroupSettings {
                ttl: self.hops.unwrap_or(settings.groups_v6.ttl),
                ..settings.groups_v6
            },
            ..settings
        }
    }
}

/// A datagram as it was on the cable, from what is known of it: an ICMP error quotes no more of its checksum than that there
/// is none. `None` if it is too long to have been one.
pub fn rebuilt(src_port: u16, dst_port: u16, data: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(HEADER_LEN + data.len()).ok()?;
    let header = UdpHeader {
        src_port,
        dst_port,
        len,
        checksum: 0,
    };
    let mut bytes = vec![0; HEADER_LEN];
    header.emit(&mut bytes);
    bytes.extend_from_slice(data);
    Some(bytes)
}
