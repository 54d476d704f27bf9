//! Echo requests that this host sends (RFC 792), and what the network says of them.
use core::net::IpAddr;

use heptad_wire::icmpv4::Icmpv4;
use heptad_wire::ipv4::protocol;
use heptad_wire::{Chunk, PacketBuf};

use super::icmp::{count_out, net_error, write_header};
use super::{Flow, NetError};
use crate::Cx;

/// What somebody says of an echo request of ours (Linux's sock_extended_err).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoError {
    /// Our address.
    pub local: IpAddr,
    /// Where the request went.
    pub remote: IpAddr,
    /// Its identifier.
    pub id: u16,
    /// Its sequence number.
    pub seq: u16,
    /// Who says so: a router, the destination, or this host itself.
    pub from: IpAddr,
    /// What: unreachable, time exceeded, parameter problem.
    pub message: Icmpv4,
}
impl EchoError {
    /// About the packet of `flow`; `None` if that was not an echo request.
    pub(crate) fn about(flow: &Flow, from: IpAddr, message: Icmpv4) -> Option<Self> {
        let (id, seq) = ((flow.word >> 16) as u16, flow.word as u16);
        let is_echo = flow.protocol == protocol::ICMP && flow.local.port() != 0;
        is_echo.then_some(Self {
            local: flow.local.ip(),
            remote: flow.remote.ip(),
            id,
            seq,
            from,
            message,
        })
    }
    /// What it is to a program that asks for no more; `None`: the request was too long for the way.
    pub fn net_error(&self) -> Option<NetError> {
        net_error(&self.message)
    }
}

/// An echo request, checksum and all.
pub(crate) fn echo_request(id: u16, seq: u16, data: Chunk, cx: &mut Cx<'_>) -> PacketBuf {
    let mut packet = cx.pool.packet();
    if !data.is_empty() {
        packet.append(data);
    }
    let request = Icmpv4::EchoRequest { id, seq };
    write_header(&mut packet, &request);
    count_out(&request, cx);
    packet
}
