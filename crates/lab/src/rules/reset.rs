//! The RSTs that a cable sends to both ends of a connection in place of one of its segments.
//!
//! Each looks as if the other end had sent it, with the sequence number that its receiver waits for when all that was sent before it has arrived.
use core::net::{IpAddr, SocketAddr};

use heptad_stack::wire::checksum;
use heptad_stack::wire::ipv4::{Ipv4Header, protocol};
use heptad_stack::wire::ipv6::Ipv6Header;
use heptad_stack::wire::tcp::{CHECKSUM_AT, Flags, MIN_HEADER_LEN, TcpHeader, TcpOptions};

use super::packet::Segment;

/// As Linux's hosts.
const TTL: u8 = 64;
/// Two addresses of Ethernet.
const MACS: usize = 12;

/// Frames for both ways of a cable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resets {
    /// In the direction of the segment. None in place of a SYN: its receiver knows nothing yet.
    pub onward: Option<Vec<u8>>,
    /// To the one who sent it.
    pub back: Vec<u8>,
}

impl Resets {
    /// In place of a segment between these ends (source, destination), whose frame begins so; `sent` is what its sender had
    /// sent before it and what its receiver has.
    pub(super) fn new(
        [src, dst]: [SocketAddr; 2],
        segment: &Segment,
        [sent_before, sent_back]: [Option<u32>; 2],
        link: &[u8],
    ) -> Self {
        let has_ack = segment.flags.contains(Flags::ACK);
        let onward = has_ack.then(|| {
            let seq = sent_before.unwrap_or(segment.seq);
            frame(link.to_vec(), [src, dst], seq, Some(segment.ack))
        });
        let (seq, ack) = match has_ack {
            true => (sent_back.unwrap_or(segment.ack), None),
            //= rfc9293#3.10.7.1
            //# If the ACK bit is off, sequence number zero is used
            false => (0, Some(segment.end())),
        };
        let back = frame(turned(link), [dst, src], seq, ack);
        Self { onward, back }
    }
}

/// The link's header with its addresses exchanged, where it has some.
fn turned(link: &[u8]) -> Vec<u8> {
    let mut turned = link.to_vec();
    if let Some(macs) = turned.get_mut(..MACS) {
        macs.rotate_left(MACS / 2);
    }
    turned
}

fn frame(link: Vec<u8>, [src, dst]: [SocketAddr; 2], seq: u32, ack: Option<u32>) -> Vec<u8> {
    let header = TcpHeader {
        src_port: src.port(),
        dst_port: dst.port(),
        seq,
        ack: ack.unwrap_or(0),
        reserved: 0,
        flags: if ack.is_some() {
            Flags::RST.with(Flags::ACK)
        } else {
            Flags::RST
        },
        window: 0,
        checksum: 0,
        urgent: 0,
        options: TcpOptions::NONE,
    };
    let mut tcp = [0; MIN_HEADER_LEN];
    header.emit(&mut tcp);
    let len = u32::try_from(MIN_HEADER_LEN).unwrap_or(u32::MAX);
    let pseudo = checksum::pseudo_header(src.ip(), dst.ip(), protocol::TCP, len);
    checksum::fill(&mut tcp, CHECKSUM_AT, pseudo);
    let mut frame = link;
    match (src.ip(), dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header {
                ttl: TTL,
                ..Ipv4Header::plain((src, dst), protocol::TCP, tcp.len())
            };
            frame.extend(header.to_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = Ipv6Header {
                hop_limit: TTL,
                ..Ipv6Header::plain((src, dst), protocol::TCP, tcp.len())
            };
            frame.extend(header.to_bytes());
        }
        // Both ends are of one packet.
        _ => {}
    }
    frame.extend_from_slice(&tcp);
    frame
}
