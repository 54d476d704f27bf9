//! ARP (RFC 826): answering questions for our addresses and learning from what others say; probes and announcements of
//! our own addresses (RFC 5227).
use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv4Addr};

use heptad_wire::arp::{self, ArpPacket, Operation};
use heptad_wire::{EtherType, MacAddr, PacketBuf, Pool};

use super::conflict::{Claims, Conflict, Response};
use super::ethernet;
use super::neighbour::{Evidence, Neighbours};
use crate::l1_physical::PortId;
use crate::{Cx, DropReason};

/// The station that an ARP packet came to.
pub struct Station {
    /// By this port.
    pub port: PortId,
    /// Our hardware address there.
    pub mac: MacAddr,
}

/// What an ARP packet leads to.
#[derive(Default)]
pub struct Outcome {
    /// The answer, a whole frame.
    pub reply: Option<PacketBuf>,
    /// Packets that waited for this address, and where they may go now.
    pub resolved: Option<(MacAddr, VecDeque<PacketBuf>)>,
    /// Somebody else claims an address of ours; `reply` is what we have to say about it.
    pub conflict: Option<Conflict>,
}

/// Handles an ARP packet. `is_ours` tells whether an address is one of this port's that is used.
pub fn receive(
    (neighbours, claims): (&mut Neighbours, &mut Claims),
    station: &Station,
    packet: &mut PacketBuf,
    is_ours: impl Fn(Ipv4Addr) -> bool,
    cx: &mut Cx<'_>,
) -> Result<Outcome, DropReason> {
    let arp = packet
        .peek(arp::LEN)
        .and_then(ArpPacket::parse)
        .map_err(|_| DropReason::ArpMalformed)?;
    if !is_credible(&arp) {
        return Err(DropReason::ArpMalformed);
    }
    let for_us = is_ours(arp.target_ip);
    let asks_us = for_us && arp.operation == Operation::Request;
    if let Some(conflict) = claims.hear(station, &arp, &is_ours, cx.now) {
        let careless = !claims.detects_on(station.port);
        let reply = match conflict.response {
            Response::Defend => Some(announcement(station, conflict.ip, cx.pool)),
            Response::Ignore if careless && asks_us => Some(answer(station, &arp, cx.pool)),
            Response::Ignore | Response::GiveUp => None,
        };
        return Ok(Outcome {
            reply,
            resolved: None,
            conflict: Some(conflict),
        });
    }
    let evidence = match arp.operation {
        Operation::Reply if arp.target_mac == station.mac => Evidence::Reply,
        Operation::Request if for_us => Evidence::Request,
        _ => Evidence::Overheard,
    };
    // RFC 5227: a probe has no sender address.
    let mut resolved = None;
    if !arp.sender_ip.is_unspecified() && !is_ours(arp.sender_ip) {
        let ip = IpAddr::V4(arp.sender_ip);
        let waited = neighbours.learn(station.port, ip, arp.sender_mac, evidence, cx);
        resolved = (!waited.is_empty()).then_some((arp.sender_mac, waited));
    }
    Ok(Outcome {
        reply: asks_us.then(|| answer(station, &arp, cx.pool)),
        resolved,
        conflict: None,
    })
}

/// Where we are, for the one who asks.
fn answer(station: &Station, asked: &ArpPacket, pool: &mut Pool) -> PacketBuf {
    let answer = ArpPacket {
        operation: Operation::Reply,
        sender_mac: station.mac,
        sender_ip: asked.target_ip,
        target_mac: asked.sender_mac,
        target_ip: asked.sender_ip,
    };
    frame(&answer, asked.sender_mac, pool)
}

/// Whether a host may say so: a request or a reply, by somebody who can be one, about somebody who can be one. A probe has
/// no sender (RFC 5227 1.1), some announcements no target.
fn is_credible(arp: &ArpPacket) -> bool {
    let may_be = |ip: Ipv4Addr| {
        let [first, ..] = ip.octets();
        ip.is_unspecified() || (first != 0 && !ip.is_loopback() && first < 224)
    };
    let known = !matches!(arp.operation, Operation::Other(_));
    known && !arp.sender_mac.is_multicast() && may_be(arp.sender_ip) && may_be(arp.target_ip)
}

/// A question for `target`: to everybody, or to the one who had the address.
pub fn request(
    station: &Station,
    our_ip: Ipv4Addr,
    target: Ipv4Addr,
    to: Option<MacAddr>,
    pool: &mut Pool,
) -> PacketBuf {
    let question = ArpPacket {
        operation: Operation::Request,
        sender_mac: station.mac,
        sender_ip: our_ip,
        target_mac: MacAddr::default(),
        target_ip: target,
    };
    frame(&question, to.unwrap_or(MacAddr::BROADCAST), pool)
}

/// RFC 5227 2.1.1: the question whether somebody has an address that we want. It teaches nobody anything.
pub fn probe(station: &Station, ip: Ipv4Addr, pool: &mut Pool) -> PacketBuf {
    request(station, Ipv4Addr::UNSPECIFIED, ip, None, pool)
}
/// RFC 5227 2.3: an address is ours, for everybody to hear (gratuitous ARP).
pub fn announcement(station: &Station, ip: Ipv4Addr, pool: &mut Pool) -> PacketBuf {
    request(station, ip, ip, None, pool)
}

fn frame(arp: &ArpPacket, dst: MacAddr, pool: &mut Pool) -> PacketBuf {
    let mut packet = pool.packet();
    arp.emit(packet.push(arp::LEN));
    ethernet::encapsulate(&mut packet, arp.sender_mac, dst, EtherType::ARP);
    packet
}
