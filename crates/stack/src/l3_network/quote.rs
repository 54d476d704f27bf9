//! What an ICMP error quotes of the packet that it is about, and what can be read from such a quote.
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use heptad_wire::PacketBuf;
use heptad_wire::ipv4::{self, Ipv4Header, protocol};
use heptad_wire::ipv6::{self, FragmentHeader, Ipv6Header, next_header};

use super::{Departure, Flow, zone};
use crate::l1_physical::PortId;

/// As much of the original as fits an error of 576 bytes (RFC 1812 4.3.2.3): less 20 of IPv4 and 8 of ICMP.
const MAX_LEN_V4: usize = 548;
/// As much as fits an error of 1280 bytes (RFC 4443 2.4 c): less 40 of IPv6 and 8 of ICMPv6.
const MAX_LEN_V6: usize = 1232;

/// A packet as an ICMP error quotes it.
pub struct Quote {
    /// Who sent it.
    pub src: IpAddr,
    /// Where it was sent to.
    pub dst: IpAddr,
    /// IP protocol number of what it carries.
    pub protocol: u8,
    /// A fragment that is not its datagram's first.
    pub later_fragment: bool,
    /// The port it came in by.
    pub port: PortId,
    /// Whether it was sent to a group (of layer 2 or 3).
    pub group: bool,
    bytes: Vec<u8>,
    /// Where the data begins.
    data_at: usize,
    /// Where the byte stands that tells the protocol.
    protocol_at: usize,
}
impl Quote {
    /// Of a packet whose IPv4 header was taken off.
    pub fn new(header: &Ipv4Header, port: PortId, group: bool, packet: &PacketBuf) -> Self {
        let len = (header.len() + packet.len()).min(MAX_LEN_V4);
        let mut bytes = Vec::with_capacity(len);
        bytes.resize(header.len(), 0);
        header.emit(&mut bytes);
        append(&mut bytes, packet, len);
        Self {
            src: header.src.into(),
            dst: header.dst.into(),
            protocol: header.protocol,
            later_fragment: header.fragment_offset != 0,
            port,
            group,
            bytes,
            data_at: header.len(),
            protocol_at: 9,
        }
    }
    /// Of a packet from its IPv6 header on, as it came. `protocol_at`: where the byte stands that names what its headers
    /// end with; `data_at`: where that begins.
    pub fn whole(
        (src, dst): (IpAddr, IpAddr),
        port: PortId,
        group: bool,
        packet: &PacketBuf,
        (protocol_at, data_at): (usize, usize),
    ) -> Self {
        let mut bytes = Vec::with_capacity(packet.len().min(MAX_LEN_V6));
        append(&mut bytes, packet, MAX_LEN_V6);
        Self {
            src,
            dst,
            protocol: bytes.get(protocol_at).copied().unwrap_or(next_header::NONE),
            later_fragment: false,
            port,
            group,
            bytes,
            data_at,
            protocol_at,
        }
    }
    /// Of a packet that is no longer there, from what is known of it: ends, hop limit and DS field; `data` from the transport
    /// header on. What nobody remembers is as a sender writes it: no options, not a fragment. `None` for two families.
    pub fn rebuilt(
        (src, dst): (IpAddr, IpAddr),
        (ttl, tos): (u8, u8),
        (protocol, data): (u8, &[u8]),
        port: PortId,
    ) -> Option<Self> {
        let (mut bytes, protocol_at, max) = match (zone::bare_ip(src), zone::bare_ip(dst)) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = Ipv4Header {
                    tos,
                    ttl,
                    ..Ipv4Header::plain((src, dst), protocol, data.len())
                };
                (header.to_bytes(), 9, MAX_LEN_V4)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = Ipv6Header {
                    traffic_class: tos,
                    hop_limit: ttl,
                    ..Ipv6Header::plain((src, dst), protocol, data.len())
                };
                (header.to_bytes(), 6, MAX_LEN_V6)
            }
            _ => return None,
        };
        let data_at = bytes.len();
        bytes.extend_from_slice(data);
        bytes.truncate(max);
        Some(Self {
            src,
            dst,
            protocol,
            later_fragment: false,
            port,
            group: false,
            bytes,
            data_at,
            protocol_at,
        })
    }
    /// The headers and what fits of the data.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// The data without the headers.
    pub fn data(&self) -> &[u8] {
        self.bytes().get(self.data_at..).unwrap_or_default()
    }
    /// Where the byte stands that tells the protocol.
    pub fn protocol_at(&self) -> u32 {
        self.protocol_at as u32
    }
}

/// How many bytes of a packet that we sent its flow is read from: its headers, and eight of what it carries.
pub(super) fn flow_len(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    if first >> 4 == 4 {
        return Some(Ipv4Header::len_of(first).ok()? + 8);
    }
    let fragment = match bytes.get(6) {
        Some(&next_header::FRAGMENT) => ipv6::FRAGMENT_LEN,
        _ => 0,
    };
    Some(ipv6::HEADER_LEN + fragment + 8)
}

/// A copy of a packet, no longer than an error can quote, and where its transport header begins.
pub(super) fn copied(packet: &PacketBuf, flow_len: usize) -> (Bytes, usize) {
    let mut bytes = Vec::new();
    append(&mut bytes, packet, MAX_LEN_V6);
    (bytes.into(), flow_len.saturating_sub(8))
}

/// Appends a packet's bytes until there are `max`.
fn append(bytes: &mut Vec<u8>, packet: &PacketBuf, max: usize) {
    let body = packet.body().iter().map(|chunk| chunk.bytes());
    for part in core::iter::once(packet.head()).chain(body) {
        let room = max.saturating_sub(bytes.len());
        bytes.extend_from_slice(part.get(..room).unwrap_or(part));
    }
}

impl Flow {
    /// The flow of a packet that we sent, from its first bytes: an IP header (whose checksum routers may have left wrong)
    /// and at least 8 bytes of what it carries. `None` if they are not that. `port`: whose link its addresses belong to.
    pub(super) fn of_sent(bytes: &[u8], port: PortId) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::of_sent_v4(bytes),
            6 => Self::of_sent_v6(bytes, port),
            _ => None,
        }
    }
    fn of_sent_v4(bytes: &[u8]) -> Option<Self> {
        let header_len = Ipv4Header::len_of(*bytes.first()?).ok()?;
        let (header, data) = bytes.split_at_checked(header_len)?;
        let header = header.first_chunk::<{ ipv4::MIN_HEADER_LEN }>()?;
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
        let (src, dst) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
        Self::new(header[9], src.into(), dst.into(), data)
    }
    /// This host sends no other extension header than a fragment's.
    fn of_sent_v6(bytes: &[u8], port: PortId) -> Option<Self> {
        let header = Ipv6Header::parse(bytes).ok()?;
        let mut data = bytes.get(ipv6::HEADER_LEN..)?;
        let mut protocol = header.next_header;
        if protocol == next_header::FRAGMENT {
            let fragment = FragmentHeader::parse(data).ok()?;
            if fragment.offset != 0 {
                return None;
            }
            protocol = fragment.next_header;
            data = data.get(ipv6::FRAGMENT_LEN..)?;
        }
        let (src, dst) = (zone::zoned(header.src, port), zone::zoned(header.dst, port));
        Self::new(protocol, src.into(), dst.into(), data)
    }
    /// The flow of a packet that was never sent.
    pub(crate) fn of_departure(departure: &Departure) -> Option<Self> {
        let Departure {
            protocol, src, dst, ..
        } = departure;
        Self::new(*protocol, *src, *dst, departure.packet.head())
    }
    /// The flow of a packet from its addresses and the first 8 bytes of what it carries; ports are 0 where the protocol
    /// has none. An echo request's identifier is our port.
    pub(super) fn new(protocol: u8, src: IpAddr, dst: IpAddr, data: &[u8]) -> Option<Self> {
        let [s0, s1, d0, d1, word @ ..] = *data.first_chunk::<8>()?;
        let ports = match (protocol, [s0, s1]) {
            (protocol::TCP | protocol::UDP | protocol::UDP_LITE, _) => {
                [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])]
            }
            (protocol::ICMP, [8, 0]) | (next_header::ICMPV6, [128, 0]) => {
                [u16::from_be_bytes([word[0], word[1]]), 0]
            }
            _ => [0, 0],
        };
        Some(Self {
            protocol,
            local: SocketAddr::new(src, ports[0]),
            remote: SocketAddr::new(dst, ports[1]),
            word: u32::from_be_bytes(word),
        })
    }
}
