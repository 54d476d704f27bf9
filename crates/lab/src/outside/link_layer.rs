//! The link layer that a TUN has not, and the lab's cables have.
//!
//! A TUN's end of the cable is one station with an address of its own. It answers ARP and neighbour solicitations for every
//! address that no station on its cable has, as a proxy (RFC 1027, RFC 4389). It knows the stations and their addresses from
//! the topology, and from those who ask whether anybody has the address that they want: what the kernel sends goes to the
//! station of that address, else to the first router on the cable. What routers say and are asked passes, in both directions.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

use heptad_stack::DropReason;
use heptad_stack::wire::arp::{self, ArpPacket, Operation};
use heptad_stack::wire::ethernet::{EthernetHeader, HEADER_LEN};
use heptad_stack::wire::ipv6::{self, Ipv6Header, next_header};
use heptad_stack::wire::ndp::{Ndp, Options, kind};
use heptad_stack::wire::{Chunk, EtherType, MacAddr, PacketBuf, Pool, Sum, checksum, ipv4};

use crate::machine::link_local;

/// Most stations whose addresses are remembered.
const MOST_STATIONS: usize = 65_536;
/// The hop limit that nobody beyond the link can reach us with (RFC 4861 3.1).
const HOP_LIMIT: u8 = 255;

/// What came with an Ethernet header.
pub(super) enum Stripped {
    /// An IP packet; the header is off.
    Packet,
    /// Something that concerns the link alone, and the answer if it asked for us.
    OfTheLink(Option<PacketBuf>),
}

/// A TUN's end of the cable: a station that stands for everybody outside.
pub(crate) struct LinkLayer {
    mac: MacAddr,
    stations: BTreeMap<IpAddr, MacAddr>,
    router: Option<MacAddr>,
}
impl LinkLayer {
    /// A station with this address, alone on its cable.
    pub fn new(mac: MacAddr) -> Self {
        Self {
            mac,
            stations: BTreeMap::new(),
            router: None,
        }
    }
    /// Another station on the cable, in the order of names.
    pub fn add(&mut self, mac: MacAddr, addresses: impl Iterator<Item = IpAddr>, forwards: bool) {
        self.stations
            .extend(addresses.map(|address| (address, mac)));
        self.stations.insert(link_local(mac).into(), mac);
        if forwards && self.router.is_none() {
            self.router = Some(mac);
        }
    }
    /// Takes the Ethernet header off.
    pub(super) fn strip(
        &mut self,
        frame: &mut PacketBuf,
        pool: &mut Pool,
    ) -> Result<Stripped, DropReason> {
        let header = frame
            .peek(HEADER_LEN)
            .and_then(EthernetHeader::parse)
            .map_err(|_| DropReason::LinkHeader)?;
        if header.dst != self.mac && !header.dst.is_multicast() {
            return Err(DropReason::OtherHost);
        }
        match header.ethertype {
            EtherType::IPV4 => {}
            EtherType::IPV6 if is_discovery(frame) => {
                let (from, message) = read_discovery(frame)?;
                let answer = self.discover(&header, from, &message, pool);
                return Ok(Stripped::OfTheLink(answer));
            }
            EtherType::IPV6 => {}
            EtherType::ARP => {
                let bytes = frame.peek(HEADER_LEN + arp::LEN).unwrap_or_default();
                let bytes = bytes.get(HEADER_LEN..).unwrap_or_default();
                let asked = ArpPacket::parse(bytes).map_err(|_| DropReason::ArpMalformed)?;
                return Ok(Stripped::OfTheLink(self.answer(&asked, pool)));
            }
            _ => return Err(DropReason::UnknownEtherType),
        }
        frame.pull(HEADER_LEN).map_err(|_| DropReason::LinkHeader)?;
        Ok(Stripped::Packet)
    }
    /// A station that asks for its own address only makes sure that nobody else has it.
    fn answer(&self, asked: &ArpPacket, pool: &mut Pool) -> Option<PacketBuf> {
        let is_request = asked.operation == Operation::Request;
        let is_probe = asked.sender_ip == asked.target_ip || asked.sender_ip.is_unspecified();
        let target = IpAddr::V4(asked.target_ip);
        if !is_request || is_probe || self.stations.contains_key(&target) {
            return None;
        }
        let mut frame = pool.packet();
        let reply = ArpPacket {
            operation: Operation::Reply,
            sender_mac: self.mac,
            sender_ip: asked.target_ip,
            target_mac: asked.sender_mac,
            target_ip: asked.sender_ip,
        };
        reply.emit(frame.push(arp::LEN));
        self.push_header(&mut frame, asked.sender_mac, EtherType::ARP);
        Some(frame)
    }
    /// The same with neighbour discovery. Who asks without an address of its own wants the one that it asks for: it is a
    /// station's from now on.
    fn discover(
        &mut self,
        header: &EthernetHeader,
        from: Ipv6Addr,
        message: &Ndp,
        pool: &mut Pool,
    ) -> Option<PacketBuf> {
        let Ndp::NeighbourSolicit { target, .. } = *message else {
            return None;
        };
        let is_known = self.stations.contains_key(&target.into());
        if from.is_unspecified() {
            if !is_known && self.stations.len() < MOST_STATIONS {
                self.stations.insert(target.into(), header.src);
            }
            return None;
        }
        (!is_known).then(|| self.advertise(header.src, from, target, pool))
    }
    /// RFC 4861 7.2.8: a proxy's word gives way to the owner's. There may be routers outside: it does not deny that.
    fn advertise(
        &self,
        to_mac: MacAddr,
        to: Ipv6Addr,
        target: Ipv6Addr,
        pool: &mut Pool,
    ) -> PacketBuf {
        let advert = Ndp::NeighbourAdvert {
            target,
            router: true,
            solicited: true,
            overrides: false,
            options: Options {
                target: Some(self.mac),
                ..Options::default()
            },
        };
        let mut bytes = advert.to_bytes();
        let sum = !message_sum(target, to, &bytes);
        if let Some(field) = bytes.get_mut(2..4) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
        let mut frame = pool.packet();
        frame.append(Chunk::copy_from(&bytes));
        frame.set_sum(Sum::Verified);
        let header = Ipv6Header {
            hop_limit: HOP_LIMIT,
            ..Ipv6Header::plain((target, to), next_header::ICMPV6, bytes.len())
        };
        header.emit(frame.push(ipv6::HEADER_LEN));
        self.push_header(&mut frame, to_mac, EtherType::IPV6);
        frame
    }
    /// Puts the Ethernet header in front of an IP packet.
    pub(super) fn dress(&self, packet: &mut PacketBuf) -> Result<(), DropReason> {
        let (dst, ethertype) = destination(packet)?;
        let station = match dst {
            IpAddr::V4(ip) if ip.is_broadcast() => MacAddr::BROADCAST,
            _ if dst.is_multicast() => group(dst),
            _ => {
                let known = self.stations.get(&dst).copied().or(self.router);
                known.ok_or(DropReason::NoRoute)?
            }
        };
        self.push_header(packet, station, ethertype);
        Ok(())
    }
    fn push_header(&self, frame: &mut PacketBuf, dst: MacAddr, ethertype: EtherType) {
        let src = self.mac;
        EthernetHeader {
            dst,
            src,
            ethertype,
        }
        .emit(frame.push(HEADER_LEN));
    }
}

/// Takes the Ethernet header off a packet of IP; all else concerns a link that is not there.
pub(super) fn undress(frame: &mut PacketBuf) -> Result<(), DropReason> {
    let header = frame.peek(HEADER_LEN).and_then(EthernetHeader::parse);
    let header = header.map_err(|_| DropReason::LinkHeader)?;
    if !matches!(header.ethertype, EtherType::IPV4 | EtherType::IPV6) {
        return Err(DropReason::UnknownEtherType);
    }
    frame.pull(HEADER_LEN).map_err(|_| DropReason::LinkHeader)?;
    Ok(())
}

/// Puts an Ethernet header in front of a packet that comes back to where it came from.
pub(super) fn dress_for(mac: MacAddr, packet: &mut PacketBuf) -> Result<(), DropReason> {
    let (_, ethertype) = destination(packet)?;
    let header = EthernetHeader {
        dst: mac,
        src: mac,
        ethertype,
    };
    header.emit(packet.push(HEADER_LEN));
    Ok(())
}

/// Where a bare IP packet goes.
fn destination(packet: &mut PacketBuf) -> Result<(IpAddr, EtherType), DropReason> {
    let version = packet.peek(1).ok().and_then(|bytes| bytes.first());
    match version.ok_or(DropReason::IpHeader)? >> 4 {
        4 => {
            let header = packet.peek(ipv4::MIN_HEADER_LEN).ok();
            let header = header.and_then(|header| header.first_chunk::<{ ipv4::MIN_HEADER_LEN }>());
            let &[.., a, b, c, d] = header.ok_or(DropReason::IpHeader)?;
            Ok((Ipv4Addr::new(a, b, c, d).into(), EtherType::IPV4))
        }
        6 => {
            let header = packet.peek(ipv6::HEADER_LEN).and_then(Ipv6Header::parse);
            let header = header.map_err(|_| DropReason::IpHeader)?;
            Ok((header.dst.into(), EtherType::IPV6))
        }
        _ => Err(DropReason::UnknownEtherType),
    }
}

/// The link address of a group: RFC 1112 6.4, RFC 2464 7.
fn group(ip: IpAddr) -> MacAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [_, b, c, d] = ip.octets();
            MacAddr([1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            MacAddr([0x33, 0x33, a, b, c, d])
        }
    }
}

/// Whether a frame asks for a neighbour, or answers that.
fn is_discovery(frame: &mut PacketBuf) -> bool {
    let Ok(bytes) = frame.peek(HEADER_LEN + ipv6::HEADER_LEN + 1) else {
        return false;
    };
    let (next, kind) = (
        bytes.get(HEADER_LEN + 6),
        bytes.get(HEADER_LEN + ipv6::HEADER_LEN),
    );
    let asks = [kind::NEIGHBOUR_SOLICIT, kind::NEIGHBOUR_ADVERT];
    next == Some(&next_header::ICMPV6) && kind.is_some_and(|kind| asks.contains(kind))
}

/// Who sent such a frame, and what it says.
fn read_discovery(frame: &mut PacketBuf) -> Result<(Ipv6Addr, Ndp), DropReason> {
    let len = frame.len();
    let bytes = frame.peek(len).map_err(|_| DropReason::NdpMalformed)?;
    let packet = bytes.get(HEADER_LEN..).unwrap_or_default();
    let header = Ipv6Header::parse(packet).map_err(|_| DropReason::IpHeader)?;
    let end = ipv6::HEADER_LEN + usize::from(header.payload_len);
    let message = packet.get(ipv6::HEADER_LEN..end);
    let message = message.ok_or(DropReason::IpTruncated)?;
    if header.hop_limit != HOP_LIMIT {
        return Err(DropReason::NdpHopLimit);
    }
    if message_sum(header.src, header.dst, message) != 0xffff {
        return Err(DropReason::NdpMalformed);
    }
    let kind = message.first().copied().unwrap_or_default();
    let body = message.get(4..).unwrap_or_default();
    let ndp = Ndp::parse(kind, body).map_err(|_| DropReason::NdpMalformed)?;
    Ok((header.src, ndp))
}

/// The sum over a message of ICMPv6 and its pseudo-header.
fn message_sum(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> u16 {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let pseudo = checksum::pseudo_header(src.into(), dst.into(), next_header::ICMPV6, len);
    checksum::add(pseudo, checksum::sum(message))
}
