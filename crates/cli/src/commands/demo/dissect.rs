//! A captured frame, taken apart by the crate that knows the formats.
use std::net::Ipv4Addr;

use heptad_wire::arp::{ArpPacket, Operation};
use heptad_wire::ethernet::{HEADER_LEN, frame_check_sequence};
use heptad_wire::ipv4::{Ipv4Header, protocol};
use heptad_wire::tcp::{Flags, TcpHeader, TcpOption};
use heptad_wire::{EtherType, EthernetHeader};

/// What one frame says at each layer.
pub struct Dissected<'a> {
    /// Layer 2.
    pub ethernet: EthernetHeader,
    /// Its frame check sequence.
    pub fcs: u32,
    /// Layers 3 and 4.
    pub inner: Inner<'a>,
}

/// What an Ethernet frame of the demonstration carries.
pub enum Inner<'a> {
    Arp(ArpPacket),
    Tcp {
        ip: Ipv4Header,
        tcp: TcpHeader,
        payload: &'a [u8],
    },
    Other,
}

/// Takes a frame apart; `None` if it is no Ethernet frame.
pub fn dissect(frame: &[u8]) -> Option<Dissected<'_>> {
    let ethernet = EthernetHeader::parse(frame).ok()?;
    let rest = frame.get(HEADER_LEN..)?;
    let inner = match ethernet.ethertype {
        EtherType::ARP => ArpPacket::parse(rest).map_or(Inner::Other, Inner::Arp),
        EtherType::IPV4 => tcp(rest).unwrap_or(Inner::Other),
        _ => Inner::Other,
    };
    Some(Dissected {
        ethernet,
        fcs: frame_check_sequence([frame]),
        inner,
    })
}

fn tcp(packet: &[u8]) -> Option<Inner<'_>> {
    let ip = Ipv4Header::parse(packet)
        .ok()
        .filter(|ip| ip.protocol == protocol::TCP)?;
    let segment = packet.get(ip.len()..usize::from(ip.total_len))?;
    let tcp = TcpHeader::parse(segment).ok()?;
    Some(Inner::Tcp {
        ip,
        tcp,
        payload: segment.get(tcp.len()..)?,
    })
}

/// `SYN,ACK`
pub fn flag_names(flags: Flags) -> String {
    let all = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::PSH, "PSH"),
        (Flags::ACK, "ACK"),
    ];
    let names: Vec<&str> = all
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, name)| *name)
        .collect();
    names.join(",")
}

/// `mss 1460 sackOK ws 7`
pub fn options(tcp: &TcpHeader) -> String {
    let words = tcp.options.iter().filter_map(|option| match option.ok()? {
        TcpOption::Mss(mss) => Some(format!("mss {mss}")),
        TcpOption::SackPermitted => Some("sackOK".into()),
        TcpOption::WindowScale(shift) => Some(format!("ws {shift}")),
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// One line on an ARP packet, and whom it goes to.
pub fn arp_line(arp: &ArpPacket) -> (String, Option<Ipv4Addr>) {
    match arp.operation {
        Operation::Request => (format!("who has {}?", arp.target_ip), None),
        _ => (
            format!("{} is at {}", arp.sender_ip, arp.sender_mac),
            Some(arp.target_ip),
        ),
    }
}

/// `ec 95 88`
pub fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
