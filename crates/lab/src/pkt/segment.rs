//! Packets as bytes: those of the peer are written, ours are read.
use std::net::{IpAddr, SocketAddr};

use heptad_stack::wire::checksum;
use heptad_stack::wire::ipv4::{Ipv4Header, protocol};
use heptad_stack::wire::ipv6::{self, Ipv6Header, next_header};
use heptad_stack::wire::tcp::{
    CHECKSUM_AT, EcnCounters, SackBlocks, TcpHeader, TcpOption, TcpOptions,
};
use heptad_stack::wire::udp::{self, UdpHeader};

use super::script::{IpSpec, OptionSpec, TosSpec};

/// One that we sent, as it was on the cable.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub tos: u8,
    pub ttl: u8,
    pub flow_label: u32,
    pub carries: SeenPayload,
}
#[derive(Clone, Debug)]
pub(super) enum SeenPayload {
    Tcp(TcpHeader, u32),
    Udp(UdpHeader),
    Icmp { kind: u8, code: u8 },
    Other(u8),
}
impl Seen {
    /// `None` for what is no whole packet.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut seen, protocol, payload) = match bytes.first()? >> 4 {
            4 => {
                let ip = Ipv4Header::parse(bytes).ok()?;
                let payload = bytes.get(ip.len()..usize::from(ip.total_len))?;
                (
                    Self::bare(ip.src.into(), ip.dst.into(), ip.tos, ip.ttl, 0),
                    ip.protocol,
                    payload,
                )
            }
            _ => {
                let ip = Ipv6Header::parse(bytes).ok()?;
                let payload = bytes.get(ipv6::HEADER_LEN..)?;
                let seen = Self::bare(
                    ip.src.into(),
                    ip.dst.into(),
                    ip.traffic_class,
                    ip.hop_limit,
                    ip.flow_label,
                );
                (seen, ip.next_header, payload)
            }
        };
        seen.carries = match protocol {
            protocol::TCP => {
                let header = TcpHeader::parse(payload).ok()?;
                let text = payload.len() - header.len();
                SeenPayload::Tcp(header, u32::try_from(text).ok()?)
            }
            protocol::UDP => SeenPayload::Udp(UdpHeader::parse(payload).ok()?),
            protocol::ICMP | next_header::ICMPV6 => SeenPayload::Icmp {
                kind: *payload.first()?,
                code: *payload.get(1)?,
            },
            other => SeenPayload::Other(other),
        };
        Some(seen)
    }
    fn bare(src: IpAddr, dst: IpAddr, tos: u8, ttl: u8, flow_label: u32) -> Self {
        Self {
            src,
            dst,
            tos,
            ttl,
            flow_label,
            carries: SeenPayload::Other(0),
        }
    }
    /// Our port and theirs.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match &self.carries {
            SeenPayload::Tcp(tcp, _) => Some((tcp.src_port, tcp.dst_port)),
            SeenPayload::Udp(udp) => Some((udp.src_port, udp.dst_port)),
            _ => None,
        }
    }
}

/// The options of a script as those of a header. `None`: they are longer than a header holds.
pub(super) fn wire_options(options: &[OptionSpec]) -> Option<TcpOptions> {
    let mut wire = TcpOptions::NONE;
    for option in options {
        let fits = match option {
            OptionSpec::Nop => wire.push(TcpOption::Nop),
            OptionSpec::End => return end(&wire),
            OptionSpec::Mss(mss) => wire.push(TcpOption::Mss(*mss)),
            OptionSpec::WindowScale(shift) => wire.push(TcpOption::WindowScale(*shift)),
            OptionSpec::SackOk => wire.push(TcpOption::SackPermitted),
            OptionSpec::Sack(blocks) => wire.push(TcpOption::Sack(sack(blocks)?)),
            OptionSpec::Timestamps { value, echo } => wire.push(TcpOption::Timestamps {
                value: *value,
                echo: *echo,
            }),
            OptionSpec::FastOpen(cookie) => wire.push(TcpOption::FastOpen(cookie)),
            OptionSpec::Counters { ect1_first, fields } => {
                wire.push(TcpOption::AccEcn(EcnCounters::new(*ect1_first, fields)))
            }
            OptionSpec::FastOpenExperimental(cookie) => {
                let data = [&FAST_OPEN_MAGIC[..], cookie].concat();
                wire.push(TcpOption::Unknown {
                    kind: EXPERIMENTAL,
                    data: &data,
                })
            }
        };
        if !fits {
            return None;
        }
    }
    end(&wire)
}
/// RFC 6994 and the number that Fast Open had there.
const EXPERIMENTAL: u8 = 254;
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

fn end(wire: &TcpOptions) -> Option<TcpOptions> {
    let mut wire = *wire;
    wire.pad();
    Some(wire)
}
fn sack(blocks: &[(u32, u32)]) -> Option<SackBlocks> {
    let mut sack = SackBlocks::default();
    let fits = blocks.iter().all(|(left, right)| sack.push(*left, *right));
    fits.then_some(sack)
}

/// The peer's segment with `len` bytes of text.
pub(super) fn segment(
    ip: IpSpec,
    from: SocketAddr,
    to: SocketAddr,
    header: &TcpHeader,
    len: u32,
) -> Vec<u8> {
    let mut bytes = vec![0; header.len()];
    header.emit(&mut bytes);
    bytes.resize(header.len() + len as usize, 0);
    packet(
        ip,
        from.ip(),
        to.ip(),
        protocol::TCP,
        bytes,
        Some(CHECKSUM_AT),
    )
}
/// The peer's datagram with `len` bytes.
pub(super) fn datagram(ip: IpSpec, from: SocketAddr, to: SocketAddr, len: u16) -> Vec<u8> {
    let whole = udp::HEADER_LEN + usize::from(len);
    let mut bytes = vec![0; whole];
    let header = UdpHeader {
        src_port: from.port(),
        dst_port: to.port(),
        len: u16::try_from(whole).unwrap_or(u16::MAX),
        checksum: 0,
    };
    header.emit(&mut bytes);
    packet(ip, from.ip(), to.ip(), protocol::UDP, bytes, Some(6))
}
/// The peer's ICMP message: type, code, the next four bytes and what it quotes.
pub(super) fn icmp(
    ip: IpSpec,
    (from, to): (IpAddr, IpAddr),
    (kind, code): (u8, u8),
    rest: [u8; 4],
    quoted: &[u8],
) -> Vec<u8> {
    let bytes = [&[kind, code, 0, 0], &rest[..], quoted].concat();
    let protocol = if from.is_ipv4() {
        protocol::ICMP
    } else {
        next_header::ICMPV6
    };
    packet(ip, from, to, protocol, bytes, Some(2))
}

/// Puts the IP header in front and fills the checksum at this place of the payload.
pub(super) fn packet(
    ip: IpSpec,
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    mut payload: Vec<u8>,
    sum_at: Option<usize>,
) -> Vec<u8> {
    if let Some(at) = sum_at {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let has_pseudo_header = protocol != protocol::ICMP;
        let pseudo = if has_pseudo_header {
            checksum::pseudo_header(src, dst, protocol, len)
        } else {
            0
        };
        let sum = !checksum::add(pseudo, checksum::sum(&payload));
        let sum = if sum == 0 && protocol == protocol::UDP {
            0xffff
        } else {
            sum
        };
        payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let mut bytes = ip_header(ip, src, dst, protocol, payload.len());
    bytes.append(&mut payload);
    bytes
}
fn ip_header(ip: IpSpec, src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    let tos = match ip.tos {
        TosSpec::Ecn(bits) => bits,
        TosSpec::Whole(tos) => tos,
        TosSpec::Unsaid | TosSpec::Capable => 0,
    };
    let ttl = ip.ttl.unwrap_or(255);
    match (src, dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6Header {
            traffic_class: tos,
            flow_label: ip.flow_label.unwrap_or(0),
            hop_limit: ttl,
            ..Ipv6Header::plain((src, dst), protocol, len)
        }
        .to_bytes(),
        (IpAddr::V4(src), IpAddr::V4(dst)) => Ipv4Header {
            tos,
            dont_fragment: false,
            ttl,
            ..Ipv4Header::plain((src, dst), protocol, len)
        }
        .to_bytes(),
        // Both ends of a script are of one family.
        _ => Vec::new(),
    }
}
