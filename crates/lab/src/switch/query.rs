//! The frames with which a switch asks for members.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_stack::l2_link::ethernet::{encapsulate, ethertype_of, multicast_mac};
use heptad_stack::time::Duration;
use heptad_stack::wire::group::{Message, Query, Version};
use heptad_stack::wire::ipv4::{Ipv4Header, Options, protocol};
use heptad_stack::wire::ipv6::{Ipv6Header, next_header};
use heptad_stack::wire::{Chunk, PacketBuf, Pool, checksum, igmp, ipv6, mld};

use super::message::{ALL_NODES, ALL_SYSTEMS};
use super::querier::{Asker, Timing};

/// Internetwork control (RFC 9776 4).
const CONTROL: u8 = 0xc0;

/// Everybody is asked, in the family of who asks.
pub(super) fn general(asker: &Asker, pool: &mut Pool) -> PacketBuf {
    let (nobody, all): (IpAddr, IpAddr) = match asker.address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), ALL_SYSTEMS.into()),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), ALL_NODES.into()),
    };
    frame(
        asker,
        all,
        &query(nobody, Timing::default().query_response),
        pool,
    )
}

/// The members of one group are asked.
pub(super) fn specific(asker: &Asker, group: IpAddr, pool: &mut Pool) -> PacketBuf {
    let message = query(group, Timing::LAST_MEMBER_INTERVAL);
    frame(asker, group, &message, pool)
}

fn query(group: IpAddr, response: Duration) -> Message {
    let usual = Timing::default();
    Message::Query(Query {
        version: Version::V3,
        max_response: u32::try_from(response.as_millis()).unwrap_or(u32::MAX),
        group,
        suppress: false,
        robustness: usual.robustness,
        interval: u32::try_from(usual.query_interval.as_secs()).unwrap_or(u32::MAX),
        sources: Vec::new(),
    })
}

/// A message in a frame to a group of the family that its sender has an address of.
pub(super) fn frame(from: &Asker, group: IpAddr, message: &Message, pool: &mut Pool) -> PacketBuf {
    let mut packet = pool.packet();
    match (from.address, group) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => push_ipv4(&mut packet, src, dst, message),
        (IpAddr::V6(src), IpAddr::V6(dst)) => push_ipv6(&mut packet, src, dst, message),
        _ => unreachable!("who asks in one family asks for its groups"),
    }
    let ethertype = ethertype_of(&packet);
    encapsulate(&mut packet, from.station, multicast_mac(group), ethertype);
    packet
}

fn push_ipv4(packet: &mut PacketBuf, src: Ipv4Addr, dst: Ipv4Addr, message: &Message) {
    let payload = igmp::to_bytes(message);
    let options = Options::ROUTER_ALERT;
    let behind = options.as_bytes().len() + payload.len();
    let header = Ipv4Header {
        tos: CONTROL,
        ttl: 1,
        options,
        ..Ipv4Header::plain((src, dst), protocol::IGMP, behind)
    };
    packet.append(Chunk::copy_from(&payload));
    header.emit(packet.push(header.len()));
}

fn push_ipv6(packet: &mut PacketBuf, src: Ipv6Addr, dst: Ipv6Addr, message: &Message) {
    let mut payload = mld::to_bytes(message);
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let pseudo = checksum::pseudo_header(src.into(), dst.into(), next_header::ICMPV6, len);
    checksum::fill(&mut payload, 2, pseudo);
    packet.append(Chunk::copy_from(&payload));
    let alert = &mld::HOP_BY_HOP;
    packet.push(alert.len()).copy_from_slice(alert);
    let behind = alert.len() + payload.len();
    let header = Ipv6Header {
        hop_limit: 1,
        ..Ipv6Header::plain((src, dst), next_header::HOP_BY_HOP, behind)
    };
    header.emit(packet.push(ipv6::HEADER_LEN));
}
