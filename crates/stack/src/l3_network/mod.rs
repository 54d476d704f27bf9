//! Layer 3: IPv4, IPv6, ICMP, neighbour discovery, routes, fragments, forwarding. Above this module an address is a `core::net::IpAddr`.
//!
//! ```text
//!   receive:  ipv4 ─▶ forward ─────────────────────────▶ Heading::Onward
//!               └─▶ reassembly ─▶ icmp (echo, errors) ─▶ Reply, Heading::News
//!                        └───────────└─ echo replies ──▶ Heading::Local
//!   send:     route ─▶ encapsulate ─▶ fragment ────────▶ Outgoing
//! ```
//!
//! Start reading at [`network`].
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use heptad_wire::PacketBuf;

use crate::l1_physical::PortId;

mod address;
mod destination;
mod echo;
mod foreign;
mod forward;
mod fragment;
pub mod groups;
mod icmp;
mod identification;
mod ipv4;
pub mod ipv6;
pub mod network;
mod path_mtu;
mod policy;
mod quote;
mod rate_limit;
mod reassembly;
mod route;
mod taps;
#[cfg(test)]
mod tests;
pub mod zone;

pub use echo::{EchoError, IcmpError};
pub(crate) use echo::{echo_request, reply_id};
#[cfg(test)]
pub(crate) use icmp::write_header as write_icmp_header;
pub use network::Network;
pub use quote::Quote;
pub use route::{Route, RouteOrigin, RouteRow};
pub use taps::Tapped;

/// What layer 3 hands up: one whole datagram for this host. The packet begins with the transport header.
pub struct Arrival {
    /// Who sent it.
    pub src: IpAddr,
    /// Where it was sent to.
    pub dst: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// TTL or hop limit as it came.
    pub ttl: u8,
    /// DS field and ECN bits.
    pub tos: u8,
    /// The port it came in by.
    pub port: PortId,
    /// Sent to a broadcast or multicast address (of layer 2 or 3): no errors, no RST for it.
    pub group: bool,
    /// From the transport header on.
    pub packet: PacketBuf,
}

/// What layer 4 hands down. The packet begins with the transport header; its checksum is `ToFill`.
pub struct Departure {
    /// Our address.
    pub src: IpAddr,
    /// Theirs.
    pub dst: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DS field and ECN bits.
    pub tos: u8,
    /// Sets DF (TCP does: RFC 1191).
    pub dont_fragment: bool,
    /// By which port, if that is not routing's to decide, and whether this host hears what it says to a group.
    pub outlet: Outlet,
    /// `Some(segment)`: a super-segment of this much payload a frame (layer 3 makes the `Cut`, which it knows the offsets for).
    pub segment: Option<u16>,
    /// From the transport header on.
    pub packet: PacketBuf,
}

/// What a sender chose of the way of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlet {
    /// Out of this port: a group by its cable, others by its routes.
    pub port: Option<PortId>,
    /// To a group that this host is in itself: it hears it too.
    pub loops: bool,
    /// Only our own link says how long a packet may be, not what routers told of the way.
    pub of_link: bool,
}
impl Outlet {
    /// Out of a port.
    pub const fn by(port: PortId) -> Self {
        Self {
            port: Some(port),
            loops: false,
            of_link: false,
        }
    }
}

/// The way to a destination, as a connection keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Out of this port.
    pub port: PortId,
    /// Neighbour to send to (the destination itself when on-link).
    pub next_hop: IpAddr,
    /// The source address that this way suggests.
    pub src: IpAddr,
    /// Largest IP packet.
    pub mtu: u32,
}

/// What the network said of a way or a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// No route, or ICMP net unreachable: ENETUNREACH.
    NetUnreachable,
    /// No answer to ARP, or ICMP host unreachable: EHOSTUNREACH.
    HostUnreachable,
    /// ICMP protocol unreachable: ENOPROTOOPT.
    ProtocolUnreachable,
    /// ICMP port unreachable: ECONNREFUSED.
    PortUnreachable,
    /// Communication administratively prohibited, IPv4: EHOSTUNREACH.
    Prohibited,
    /// The same of IPv6, or beyond the scope of the source: EACCES.
    Denied,
    /// ICMP time exceeded in transit: EHOSTUNREACH.
    TimeExceeded,
    /// ICMP parameter problem: EPROTO.
    ParameterProblem,
    /// Broadcast without SO_BROADCAST: EACCES.
    Broadcast,
    /// An address family that this host does not speak: EAFNOSUPPORT.
    Family,
}

/// The addresses, protocol and ports that an ICMP error speaks of, as this host sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// IP protocol number.
    pub protocol: u8,
    /// Our end.
    pub local: core::net::SocketAddr,
    /// Theirs.
    pub remote: core::net::SocketAddr,
    /// First four bytes after the ports (TCP: the sequence number).
    pub word: u32,
}

/// A packet that answers another one without a socket behind it: a RST, a challenge ACK, an ICMP error.
pub enum Reply {
    /// A transport packet to send.
    Transport(Departure),
    /// Destination unreachable, port: layer 3 builds it from the packet that it still has.
    PortUnreachable,
    /// Destination unreachable, protocol.
    ProtocolUnreachable,
}

/// What a layer says of a packet that came up.
pub enum Up<T> {
    /// On to the next layer.
    Next(T),
    /// Consumed.
    Done,
    /// Consumed, and this answers it.
    Reply(Reply),
    /// Discarded; perhaps with an answer.
    Drop(crate::DropReason, Option<Reply>),
}

/// Where a packet that came up to layer 3 is bound for.
pub enum Heading {
    /// A whole datagram for this host, and what an ICMP error about it would quote (TCP answers for itself: nothing).
    Local(Arrival, Option<Box<Quote>>),
    /// On to the next hop: this host is a router.
    Onward(Path, Outgoing),
    /// What an ICMP error says of something that we sent.
    News(Box<News>),
    /// Who is where on a link of IPv6.
    Discovered(ipv6::Discovered),
}

/// What this host says of a packet that it could not handle; each family has its own words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// Nobody listens at the port.
    Port,
    /// Nothing here speaks the protocol.
    Protocol,
    /// Not all fragments came in time.
    Reassembly,
    /// Of what is held for somebody else: nobody answers there.
    Host,
    /// There is no way there.
    Network,
    /// Nobody may speak there.
    Prohibited,
}

/// What the network has to say to the layers above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It could not be delivered.
    Unreachable(Flow, NetError, Told),
    /// The way carries packets of this length only (RFC 1191).
    PathMtu(Flow, u32, Told),
    /// Somebody says what became of an echo request: its sender wants to know who, and in which words.
    Echo(EchoError),
}

/// An ICMP error in its sender's words (Linux: sock_extended_err).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who says so: a router, the destination, or this host itself.
    pub from: IpAddr,
    /// What.
    pub message: IcmpError,
    /// TTL or hop limit of the error as it came.
    pub ttl: u8,
    /// What it quotes of the packet, from its IP header on.
    pub quoted: bytes::Bytes,
    /// Where the transport header begins in that.
    pub transport: usize,
}
impl Told {
    /// What it quotes of the packet behind this many bytes of its transport header.
    pub fn quoted_behind(&self, header: usize) -> &[u8] {
        let at = self.transport.saturating_add(header);
        self.quoted.get(at..).unwrap_or_default()
    }
}

/// The packets that go out instead of one: itself, or its fragments.
pub struct Outgoing {
    /// The first.
    pub first: PacketBuf,
    /// The others, in order.
    pub rest: Vec<PacketBuf>,
}
impl From<PacketBuf> for Outgoing {
    fn from(first: PacketBuf) -> Self {
        Self {
            first,
            rest: Vec::new(),
        }
    }
}
impl IntoIterator for Outgoing {
    type Item = PacketBuf;
    type IntoIter = core::iter::Chain<core::iter::Once<PacketBuf>, alloc::vec::IntoIter<PacketBuf>>;
    fn into_iter(self) -> Self::IntoIter {
        core::iter::once(self.first).chain(self.rest)
    }
}

/// A packet that layer 3 could not send, and what the sender should hear.
pub struct Refusal {
    /// The packet, to be discarded.
    pub packet: PacketBuf,
    /// Why.
    pub reason: crate::DropReason,
    /// It is our own link that is too narrow: for whom, and what it carries, bytes.
    pub too_long: Option<(Flow, u32)>,
}

/// To how many a destination speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// One.
    Unicast,
    /// All on the cable.
    Broadcast,
    /// A group.
    Multicast,
}
