//! What an ICMP error quotes of the packet that it is about, and what can be read from such a quote.
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use heptad_wire::PacketBuf;
use heptad_wire::ipv4::{self, Ipv4Header};

use super::{Departure, Flow};
use crate::l1_physical::PortId;

/// As much of the original as fits an error of 576 bytes (RFC 1812 4.3.2.3): less 20 of IPv4 and 8 of ICMP.
const MAX_LEN: usize = 548;

/// A packet as an ICMP error quotes it.
pub struct Quote {
    /// Its IPv4 header.
    pub header: Ipv4Header,
    /// The port it came in by.
    pub port: PortId,
    /// Whether it was sent to a group (of layer 2 or 3).
    pub group: bool,
    bytes: [u8; MAX_LEN],
    len: usize,
}
impl Quote {
    /// Of a packet whose IPv4 header was taken off.
    pub fn new(header: &Ipv4Header, port: PortId, group: bool, packet: &PacketBuf) -> Self {
        let mut quote = Self {
            header: *header,
            port,
            group,
            bytes: [0; MAX_LEN],
            len: header.len(),
        };
        header.emit(&mut quote.bytes);
        quote.append(packet.head());
        for chunk in packet.body() {
            quote.append(chunk.bytes());
        }
        quote
    }
    /// The header and what fits of the data.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
    /// The data without the header.
    pub fn data(&self) -> &[u8] {
        self.bytes().get(self.header.len()..).unwrap_or_default()
    }
    fn append(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let n = room.len().min(bytes.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.len += n;
    }
}

impl Flow {
    /// The flow of a packet that we sent, from its first bytes: an IPv4 header (whose checksum routers may have left
    /// wrong) and at least 8 bytes of what it carries. `None` if they are not that.
    pub(super) fn of_sent(bytes: &[u8]) -> Option<Self> {
        let header_len = Ipv4Header::len_of(*bytes.first()?).ok()?;
        let (header, data) = bytes.split_at_checked(header_len)?;
        let header = header.first_chunk::<{ ipv4::MIN_HEADER_LEN }>()?;
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
        let (src, dst) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
        Self::new(header[9], src.into(), dst.into(), data)
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
        let ports = match protocol {
            ipv4::protocol::TCP | ipv4::protocol::UDP => {
                [u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])]
            }
            ipv4::protocol::ICMP if [s0, s1] == [8, 0] => {
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
