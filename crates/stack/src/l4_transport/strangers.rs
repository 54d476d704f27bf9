//! Who speaks to an address of somebody else through a transparent host, until whoever drives the host has asked there.
//!
//! ```text
//!   arrival to no address of ours ─ nothing here knows it ─▶ Strangers ─▶ poll_stranger ─▶ admit: as if it were ours
//!                                 └ a connection does ─▶ that one                      └▶ refuse: RST, ICMP, or silence
//! ```
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use heptad_wire::icmpv4::{self, Icmpv4};
use heptad_wire::icmpv6::Icmpv6;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;
use heptad_wire::{tcp, udp};

use super::Transport;
use crate::l3_network::{Arrival, Quote};

/// Most strangers that wait to be looked at.
const MOST: usize = 1024;
/// Most bytes of theirs that wait.
const MOST_BYTES: usize = 4 << 20;

/// What a stranger wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A connection.
    Connection,
    /// Somebody who takes its datagrams.
    Datagrams,
    /// An answer to an echo request.
    Echo {
        /// The identifier of the request.
        id: u16,
        /// Its sequence number.
        seq: u16,
    },
}

/// The first packet of somebody who speaks to an address that is not this host's.
pub struct Stranger {
    /// What it wants.
    pub wish: Wish,
    /// Whom it speaks to. The port of an echo request is 0.
    pub to: SocketAddr,
    /// Who it is.
    pub from: SocketAddr,
    /// `None` once it was admitted.
    pub(crate) arrival: Option<Arrival>,
    /// What errors about it quote.
    pub(crate) quote: Box<Quote>,
}

/// How a stranger is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody listens there: RST, or ICMP port unreachable.
    Port,
    /// ICMP host unreachable.
    Host,
    /// ICMP net unreachable.
    Network,
    /// ICMP administratively prohibited.
    Prohibited,
}

impl Stranger {
    /// What an echo request wants to have back.
    pub fn echo_data(&mut self) -> Vec<u8> {
        let Some(arrival) = &mut self.arrival else {
            return Vec::new();
        };
        let len = arrival.packet.len();
        let bytes = arrival.packet.peek(len).unwrap_or_default();
        bytes.get(icmpv4::HEADER_LEN..).unwrap_or(&[]).to_vec()
    }
}

/// Those who wait to be looked at, oldest first.
#[derive(Default)]
pub struct Strangers {
    waiting: VecDeque<Stranger>,
    bytes: usize,
}
impl Strangers {
    /// Whether one whose packet is of so many bytes may wait, too.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < MOST && self.bytes + bytes <= MOST_BYTES
    }
    /// Keeps one.
    pub fn push(&mut self, stranger: Stranger) {
        self.bytes += stranger.pinned();
        self.waiting.push_back(stranger);
    }
    /// The oldest.
    pub fn pop(&mut self) -> Option<Stranger> {
        let stranger = self.waiting.pop_front()?;
        self.bytes -= stranger.pinned();
        Some(stranger)
    }
    /// Whether anybody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
impl Stranger {
    fn pinned(&self) -> usize {
        self.arrival.as_ref().map_or(0, |a| a.packet.len())
    }
}

impl Transport {
    /// What an arrival to an address that is not ours wants, and its ports; `None`: nothing that has to be asked for first.
    pub(crate) fn wish(&self, arrival: &mut Arrival) -> Option<(Wish, [u16; 2])> {
        match arrival.protocol {
            protocol::TCP => {
                let bytes = arrival.packet.peek(tcp::MIN_HEADER_LEN).ok()?;
                let ports = ports(bytes)?;
                let (local, remote) = ends(arrival, ports);
                let is_new = !self.tcp.knows(local, remote);
                is_new.then_some((Wish::Connection, ports))
            }
            protocol::UDP => {
                let ports = ports(arrival.packet.peek(udp::HEADER_LEN).ok()?)?;
                let (local, remote) = ends(arrival, ports);
                let is_new = !self.udp.has_peer(local, remote);
                is_new.then_some((Wish::Datagrams, ports))
            }
            protocol::ICMP if arrival.dst.is_ipv4() => {
                let bytes = arrival.packet.peek(icmpv4::HEADER_LEN).ok()?;
                match Icmpv4::parse(bytes) {
                    Ok(Icmpv4::EchoRequest { id, seq }) => Some((Wish::Echo { id, seq }, [0, 0])),
                    _ => None,
                }
            }
            next_header::ICMPV6 if arrival.dst.is_ipv6() => {
                let bytes = arrival.packet.peek(icmpv4::HEADER_LEN).ok()?;
                match Icmpv6::parse(bytes) {
                    Ok(Icmpv6::EchoRequest { id, seq }) => Some((Wish::Echo { id, seq }, [0, 0])),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// Source and destination port.
fn ports(bytes: &[u8]) -> Option<[u16; 2]> {
    let [s0, s1, d0, d1] = *bytes.first_chunk::<4>()?;
    Some([u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])])
}
/// Our end as the arrival means it, and theirs.
fn ends(arrival: &Arrival, [from, to]: [u16; 2]) -> (SocketAddr, SocketAddr) {
    (
        SocketAddr::new(arrival.dst, to),
        SocketAddr::new(arrival.src, from),
    )
}
