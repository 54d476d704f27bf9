//! Ethernet (IEEE 802.3) and 802.1Q: taking the link header off and putting it on.
use core::net::IpAddr;

use heptad_wire::ethernet::{self, VlanTag};
use heptad_wire::{EtherType, EthernetHeader, MacAddr, PacketBuf};

use crate::DropReason;
use crate::l1_physical::Medium;

/// What a frame carried.
pub struct Payload {
    /// Which protocol of layer 3 (or ARP).
    pub ethertype: EtherType,
    /// Whether the frame went to a broadcast or multicast address.
    pub group: bool,
    /// From the network header on.
    pub packet: PacketBuf,
}

/// Takes the link header off a frame that came in by a port of this medium.
pub fn decapsulate(
    medium: Medium,
    mut frame: PacketBuf,
) -> Result<Payload, (PacketBuf, DropReason)> {
    let header = match medium {
        Medium::Ethernet(mac) => ethernet_header(mac, &mut frame),
        Medium::Ip => bare(&mut frame),
    };
    match header {
        Ok((ethertype, group)) => Ok(Payload {
            ethertype,
            group,
            packet: frame,
        }),
        Err(reason) => Err((frame, reason)),
    }
}

/// Puts an Ethernet header in front.
pub fn encapsulate(packet: &mut PacketBuf, src: MacAddr, dst: MacAddr, ethertype: EtherType) {
    EthernetHeader {
        dst,
        src,
        ethertype,
    }
    .emit(packet.push(ethernet::HEADER_LEN));
}

/// The hardware address of a multicast group.
pub fn multicast_mac(group: IpAddr) -> MacAddr {
    match group {
        //= rfc1112#6.4
        //# placing the low-order 23-bits of the IP address into the low-order 23 bits of the Ethernet multicast address
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        // RFC 2464 7.
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            MacAddr([0x33, 0x33, a, b, c, d])
        }
    }
}

/// The EtherType of a packet that begins with its IP header.
pub fn ethertype_of(packet: &PacketBuf) -> EtherType {
    match packet.head().first().map(|first| first >> 4) {
        Some(6) => EtherType::IPV6,
        _ => EtherType::IPV4,
    }
}

fn ethernet_header(ours: MacAddr, frame: &mut PacketBuf) -> Result<(EtherType, bool), DropReason> {
    let bytes = frame
        .pull(ethernet::HEADER_LEN)
        .map_err(|_| DropReason::LinkHeader)?;
    let header = EthernetHeader::parse(bytes).map_err(|_| DropReason::LinkHeader)?;
    // IEEE 802.3 3.2.6: nobody speaks for a group.
    if header.src.is_multicast() {
        return Err(DropReason::LinkHeader);
    }
    let group = header.dst.is_multicast();
    if header.dst != ours && !group {
        return Err(DropReason::OtherHost);
    }
    let ethertype = match header.ethertype {
        EtherType::VLAN => priority_tag(frame)?,
        ethertype => ethertype,
    };
    Ok((ethertype, group))
}

/// Ports are untagged: a tag that only carries a priority (VLAN 0, IEEE 802.1Q 9.6) is taken off, any other is not for us.
fn priority_tag(frame: &mut PacketBuf) -> Result<EtherType, DropReason> {
    let bytes = frame
        .pull(ethernet::TAG_LEN)
        .map_err(|_| DropReason::LinkHeader)?;
    let tag = VlanTag::parse(bytes).map_err(|_| DropReason::LinkHeader)?;
    match tag.id {
        0 => Ok(tag.ethertype),
        _ => Err(DropReason::UnknownVlan),
    }
}

/// Without a link header the version of IP tells.
fn bare(packet: &mut PacketBuf) -> Result<(EtherType, bool), DropReason> {
    let first = packet.peek(1).ok().and_then(|bytes| bytes.first().copied());
    match first.map(|byte| byte >> 4) {
        Some(4) => Ok((EtherType::IPV4, false)),
        Some(6) => Ok((EtherType::IPV6, false)),
        Some(_) => Err(DropReason::UnknownEtherType),
        None => Err(DropReason::LinkHeader),
    }
}
