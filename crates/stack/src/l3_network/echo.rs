//! Echo requests that this host sends (RFC 792), and what the network says of them.
use core::net::IpAddr;

use bytes::Bytes;
use heptad_wire::icmpv4::{self, Icmpv4};
use heptad_wire::icmpv6::{self, Icmpv6};
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;
use heptad_wire::{Chunk, PacketBuf};

use super::icmp::{TTL, count_out, net_error, write_header};
use super::{Flow, NetError, Told, ipv6};
use crate::Cx;

/// An ICMP message of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the families
pub enum IcmpError {
    V4(Icmpv4),
    V6(Icmpv6),
}
impl IcmpError {
    /// Type and code.
    pub fn kind(&self) -> (u8, u8) {
        match self {
            Self::V4(message) => message.kind(),
            Self::V6(message) => message.kind(),
        }
    }
    /// What this host itself says of a packet to `remote` that it could not deliver.
    pub(crate) fn undelivered(remote: IpAddr, error: NetError) -> Self {
        let unroutable = error == NetError::NetUnreachable;
        match (remote, unroutable) {
            (IpAddr::V4(_), true) => Self::V4(Icmpv4::Unreachable(icmpv4::Unreachable::Net)),
            (IpAddr::V4(_), false) => Self::V4(Icmpv4::Unreachable(icmpv4::Unreachable::Host)),
            (IpAddr::V6(_), true) => Self::V6(Icmpv6::Unreachable(icmpv6::Unreachable::NoRoute)),
            (IpAddr::V6(_), false) => Self::V6(Icmpv6::Unreachable(icmpv6::Unreachable::Address)),
        }
    }
    /// The next hop's MTU, if that is what it says.
    pub fn mtu(&self) -> Option<u32> {
        match *self {
            Self::V4(Icmpv4::Unreachable(icmpv4::Unreachable::FragmentationNeeded { mtu })) => {
                Some(mtu.into())
            }
            Self::V6(Icmpv6::PacketTooBig { mtu }) => Some(mtu),
            _ => None,
        }
    }
}

impl Told {
    /// What this host says itself of a packet that found no neighbour.
    pub(super) fn by_ourselves(
        flow: &Flow,
        error: NetError,
        (quoted, transport): (Bytes, usize),
    ) -> Self {
        Self {
            quoted,
            transport,
            ..Self::unsent(flow, IcmpError::undelivered(flow.remote.ip(), error))
        }
    }
    /// What this host says itself of a packet that never left it.
    pub(crate) fn unsent(flow: &Flow, message: IcmpError) -> Self {
        Self {
            from: flow.local.ip(),
            message,
            ttl: TTL,
            quoted: Bytes::new(),
            transport: 0,
        }
    }
}

/// What somebody says of an echo request of ours (Linux's sock_extended_err).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoError {
    /// Our address.
    pub local: IpAddr,
    /// Where the request went.
    pub remote: IpAddr,
    /// Its identifier.
    pub id: u16,
    /// Its sequence number.
    pub seq: u16,
    /// Who says what: unreachable, time exceeded, parameter problem.
    pub told: Told,
}
impl EchoError {
    /// Whether the packet of `flow` was an echo request.
    pub(crate) fn is_about(flow: &Flow) -> bool {
        let is_icmp = matches!(flow.protocol, protocol::ICMP | next_header::ICMPV6);
        is_icmp && flow.local.port() != 0
    }
    /// About the echo request of `flow`.
    pub(crate) fn about(flow: &Flow, told: Told) -> Self {
        Self {
            local: flow.local.ip(),
            remote: flow.remote.ip(),
            id: (flow.word >> 16) as u16,
            seq: flow.word as u16,
            told,
        }
    }
    /// What it is to a program that asks for no more; `None`: the request was too long for the way.
    pub fn net_error(&self) -> Option<NetError> {
        match &self.told.message {
            IcmpError::V4(message) => net_error(message),
            IcmpError::V6(message) => ipv6::error_of(message),
        }
    }
}

/// An echo request of the family of its ends, checksum and all, and its protocol number.
pub(crate) fn echo_request(
    (src, dst): (IpAddr, IpAddr),
    (id, seq): (u16, u16),
    data: Chunk,
    cx: &mut Cx<'_>,
) -> (u8, PacketBuf) {
    let mut packet = cx.pool.packet();
    if !data.is_empty() {
        packet.append(data);
    }
    if dst.is_ipv6() {
        let request = Icmpv6::EchoRequest { id, seq };
        ipv6::write_header(&mut packet, &request, src, dst);
        ipv6::count_out(&request, cx);
        return (next_header::ICMPV6, packet);
    }
    let request = Icmpv4::EchoRequest { id, seq };
    write_header(&mut packet, &request);
    count_out(&request, cx);
    (protocol::ICMP, packet)
}

/// The identifier of an echo reply of either family, by its first bytes.
pub(crate) fn reply_id(protocol: u8, bytes: &[u8]) -> Option<u16> {
    match protocol {
        next_header::ICMPV6 => match icmpv6::Icmpv6::parse(bytes) {
            Ok(Icmpv6::EchoReply { id, .. }) => Some(id),
            _ => None,
        },
        _ => match Icmpv4::parse(bytes) {
            Ok(Icmpv4::EchoReply { id, .. }) => Some(id),
            _ => None,
        },
    }
}
