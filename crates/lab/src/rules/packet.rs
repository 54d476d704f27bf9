//! What rules see of a frame.
use core::net::{IpAddr, SocketAddr};

use heptad_stack::Instant;
use heptad_stack::wire::ethernet::{EthernetHeader, HEADER_LEN};
use heptad_stack::wire::ipv4::{Ipv4Header, protocol};
use heptad_stack::wire::ipv6::{self, Ipv6Header, next_header};
use heptad_stack::wire::tcp::{Flags, MIN_HEADER_LEN, TcpHeader};
use heptad_stack::wire::udp;
use heptad_stack::wire::{EtherType, PacketBuf};

use crate::link::network_header;
use crate::topology::{PacketKind, Packets};

/// A frame, as far as rules look.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Packet {
    Arp,
    Ip(Ip),
    /// Anything else, and what is damaged.
    Other,
}
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ip {
    /// Where its header begins in the frame.
    pub l3: usize,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub carries: Carries,
}
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Carries {
    Tcp(Segment),
    Udp {
        src_port: u16,
        dst_port: u16,
    },
    Icmp,
    /// Other protocols, and all fragments but the first.
    Other,
}
/// What a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub src_port: u16,
    pub dst_port: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: Flags,
    /// Bytes of text.
    pub text: u32,
}
impl Segment {
    /// The sequence number behind it.
    pub fn end(&self) -> u32 {
        let has = |flag| u32::from(self.flags.contains(flag));
        self.seq
            .wrapping_add(self.text)
            .wrapping_add(has(Flags::SYN))
            .wrapping_add(has(Flags::FIN))
    }
    fn is_of(&self, kind: PacketKind) -> bool {
        let has = |flag| self.flags.contains(flag);
        match kind {
            PacketKind::Any | PacketKind::Tcp => true,
            PacketKind::Arp | PacketKind::Icmp | PacketKind::Udp => false,
            PacketKind::Syn => has(Flags::SYN) && !has(Flags::ACK),
            PacketKind::SynAck => has(Flags::SYN) && has(Flags::ACK),
            PacketKind::Data => self.text > 0,
            PacketKind::Fin => has(Flags::FIN),
            PacketKind::Rst => has(Flags::RST),
            PacketKind::Ack => {
                let more = [Flags::SYN, Flags::FIN, Flags::RST];
                has(Flags::ACK) && self.text == 0 && !more.into_iter().any(has)
            }
        }
    }
}

impl Packet {
    /// Looks at a frame.
    pub fn look(frame: &mut PacketBuf, link_header: usize) -> Self {
        match Ip::look(frame, link_header) {
            Some(ip) => Self::Ip(ip),
            None if link_header > 0 && is_arp(frame) => Self::Arp,
            None => Self::Other,
        }
    }
    fn ip(&self) -> Option<&Ip> {
        match self {
            Self::Ip(ip) => Some(ip),
            _ => None,
        }
    }
    /// Where the IP header begins.
    pub fn l3(&self) -> usize {
        self.ip().map_or(0, |ip| ip.l3)
    }
    /// A segment of TCP.
    pub fn segment(&self) -> Option<&Segment> {
        match &self.ip()?.carries {
            Carries::Tcp(segment) => Some(segment),
            _ => None,
        }
    }
    /// Both ends, of what has ports: source, destination.
    pub fn ends(&self) -> Option<[SocketAddr; 2]> {
        let ip = self.ip()?;
        let (src_port, dst_port) = match ip.carries {
            Carries::Tcp(Segment {
                src_port, dst_port, ..
            })
            | Carries::Udp { src_port, dst_port } => (src_port, dst_port),
            _ => return None,
        };
        Some([
            SocketAddr::new(ip.src, src_port),
            SocketAddr::new(ip.dst, dst_port),
        ])
    }
    /// Whether a rule looks at it, apart from its connection.
    pub fn is_of(&self, asked: &Packets, now: Instant) -> bool {
        let kind = match self {
            Self::Arp => matches!(asked.kind, PacketKind::Arp | PacketKind::Any),
            Self::Other => asked.kind == PacketKind::Any,
            Self::Ip(ip) => match &ip.carries {
                Carries::Tcp(segment) => segment.is_of(asked.kind),
                Carries::Udp { .. } => matches!(asked.kind, PacketKind::Udp | PacketKind::Any),
                Carries::Icmp => matches!(asked.kind, PacketKind::Icmp | PacketKind::Any),
                Carries::Other => asked.kind == PacketKind::Any,
            },
        };
        let flags = asked.flags.is_none_or(|(set, clear)| {
            let has =
                |segment: &Segment| segment.flags.contains(set) && segment.flags.0 & clear.0 == 0;
            self.segment().is_some_and(has)
        });
        let since = now.since(Instant::ZERO);
        let is_time = since >= asked.after && asked.until.is_none_or(|until| since < until);
        kind && flags && is_time && self.is_between(asked)
    }
    /// Whether its ends are those that a rule names.
    fn is_between(&self, asked: &Packets) -> bool {
        let Packets {
            port,
            from_port,
            to_port,
            from,
            to,
            ..
        } = asked;
        let ports = self.ends().map(|ends| ends.map(|end| end.port()));
        let is = |wanted: &Option<u16>, at: &[usize]| match (wanted, ports) {
            (None, _) => true,
            (Some(wanted), Some(ports)) => at.iter().any(|at| ports.get(*at) == Some(wanted)),
            (Some(_), None) => false,
        };
        let among = |all: &[IpAddr], one: fn(&Ip) -> IpAddr| {
            all.is_empty() || self.ip().is_some_and(|ip| all.contains(&one(ip)))
        };
        is(port, &[0, 1])
            && is(from_port, &[0])
            && is(to_port, &[1])
            && among(from, |ip| ip.src)
            && among(to, |ip| ip.dst)
    }
    /// Whether it, or an answer to it, has the ends that a rule names: its connection is one that the rule counts.
    pub fn is_of_a_connection(&self, asked: &Packets) -> bool {
        let kind = match (self.ip().map(|ip| &ip.carries), asked.kind) {
            (Some(Carries::Tcp(_)), kind) => kind.is_tcp() || kind == PacketKind::Any,
            (Some(Carries::Udp { .. }), kind) => matches!(kind, PacketKind::Udp | PacketKind::Any),
            _ => false,
        };
        kind && (self.is_between(asked) || self.answer().is_between(asked))
    }
    /// The same with its ends exchanged.
    fn answer(&self) -> Self {
        let mut answer = self.clone();
        if let Self::Ip(ip) = &mut answer {
            core::mem::swap(&mut ip.src, &mut ip.dst);
            match &mut ip.carries {
                Carries::Tcp(Segment {
                    src_port, dst_port, ..
                })
                | Carries::Udp { src_port, dst_port } => core::mem::swap(src_port, dst_port),
                _ => {}
            }
        }
        answer
    }
}

impl Ip {
    fn look(frame: &mut PacketBuf, link_header: usize) -> Option<Self> {
        let l3 = network_header(frame, link_header)?;
        let first = *frame.peek(l3 + 1).ok()?.get(l3)?;
        if first >> 4 == 6 {
            let l4 = l3 + ipv6::HEADER_LEN;
            let header = Ipv6Header::parse(frame.peek(l4).ok()?.get(l3..)?).ok()?;
            let carries = match header.next_header {
                next_header::ICMPV6 => Carries::Icmp,
                // Its number is the same in both families, as TCP's and UDP's.
                protocol::ICMP => Carries::Other,
                other => carries(frame, other, (l4, header.payload_len.into())),
            };
            return Some(Self {
                l3,
                src: header.src.into(),
                dst: header.dst.into(),
                carries,
            });
        }
        let l4 = l3 + Ipv4Header::len_of(first).ok()?;
        let header = Ipv4Header::parse(frame.peek(l4).ok()?.get(l3..)?).ok()?;
        let len = usize::from(header.total_len).checked_sub(header.len())?;
        let carries = match header.fragment_offset {
            0 => carries(frame, header.protocol, (l4, len)),
            _ => Carries::Other,
        };
        Some(Self {
            l3,
            src: header.src.into(),
            dst: header.dst.into(),
            carries,
        })
    }
}

/// What stands behind the header of IP, of this length.
fn carries(frame: &mut PacketBuf, protocol: u8, (l4, len): (usize, usize)) -> Carries {
    let carried = match protocol {
        protocol::TCP => segment(frame, l4, len).map(Carries::Tcp),
        protocol::UDP => ports(frame, l4),
        protocol::ICMP => Some(Carries::Icmp),
        _ => None,
    };
    carried.unwrap_or(Carries::Other)
}

fn segment(frame: &mut PacketBuf, l4: usize, len: usize) -> Option<Segment> {
    let byte12 = *frame.peek(l4 + MIN_HEADER_LEN).ok()?.get(l4 + 12)?;
    let header_len = TcpHeader::len_of(byte12).ok()?;
    let header = frame.peek(l4 + header_len).ok()?.get(l4..)?;
    let header = TcpHeader::parse(header).ok()?;
    Some(Segment {
        src_port: header.src_port,
        dst_port: header.dst_port,
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        text: u32::try_from(len.checked_sub(header_len)?).ok()?,
    })
}

fn ports(frame: &mut PacketBuf, l4: usize) -> Option<Carries> {
    let header = frame.peek(l4 + udp::HEADER_LEN).ok()?.get(l4..)?;
    let (&[a, b, c, d], _) = header.split_first_chunk()?;
    Some(Carries::Udp {
        src_port: u16::from_be_bytes([a, b]),
        dst_port: u16::from_be_bytes([c, d]),
    })
}

fn is_arp(frame: &mut PacketBuf) -> bool {
    let header = frame.peek(HEADER_LEN).and_then(EthernetHeader::parse);
    header.is_ok_and(|header| header.ethertype == EtherType::ARP)
}
