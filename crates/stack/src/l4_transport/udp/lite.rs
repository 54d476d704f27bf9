//! UDP-Lite (RFC 3828): UDP whose checksum may cover the beginning of a datagram only, so that a damaged rest is delivered.
//!
//! Ports, queues and verbs are UDP's. What is its own: the protocol's number, the header's third field, the counters.
use heptad_wire::ipv4::protocol;
use heptad_wire::udp_lite::{HEADER_LEN, UdpLiteHeader};
use heptad_wire::{PacketBuf, ParseError, Sum, checksum};

use super::{Opened, Udp};
use crate::l3_network::{Arrival, zone};
use crate::{Counter, Cx, DropReason};

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    Plain,
    Lite,
}
impl Flavour {
    /// Its number in IP.
    pub fn protocol(self) -> u8 {
        match self {
            Self::Plain => protocol::UDP,
            Self::Lite => protocol::UDP_LITE,
        }
    }
    /// Its own counter for one of UDP's.
    fn counter(self, of_udp: Counter) -> Counter {
        match (self, of_udp) {
            (Self::Plain, same) => same,
            (Self::Lite, Counter::UdpInDatagrams) => Counter::UdpLiteInDatagrams,
            (Self::Lite, Counter::UdpNoPorts) => Counter::UdpLiteNoPorts,
            (Self::Lite, Counter::UdpInErrors) => Counter::UdpLiteInErrors,
            (Self::Lite, Counter::UdpOutDatagrams) => Counter::UdpLiteOutDatagrams,
            (Self::Lite, Counter::UdpRcvbufErrors) => Counter::UdpLiteRcvbufErrors,
            (Self::Lite, Counter::UdpSndbufErrors) => Counter::UdpLiteSndbufErrors,
            (Self::Lite, Counter::UdpInCsumErrors) => Counter::UdpLiteInCsumErrors,
            (Self::Lite, Counter::UdpIgnoredMulti) => Counter::UdpLiteIgnoredMulti,
            (Self::Lite, other) => other,
        }
    }
}
impl Udp {
    /// Counts for its own protocol what has UDP's name.
    pub(super) fn count(&self, of_udp: Counter, cx: &mut Cx<'_>) {
        cx.count(self.flavour.counter(of_udp));
    }
}

/// What a UDP-Lite socket asks of checksums. UDP's cover everything, whatever stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// UDPLITE_SEND_CSCOV: bytes that a checksum of ours covers, the header's 8 among them; 0 and `None`: all.
    pub sent: Option<u16>,
    /// UDPLITE_RECV_CSCOV: what covers less than all and less than this is dropped; with 0, whatever covers less than all. `None`:
    /// nothing is.
    pub least: Option<u16>,
}
impl Coverage {
    /// As `getsockopt` shows it.
    pub fn sent(self) -> u16 {
        self.sent.unwrap_or(0)
    }
    /// As `getsockopt` shows it.
    pub fn least(self) -> u16 {
        self.least.unwrap_or(0)
    }
    /// What the header says of a datagram of `len`, header included. As Linux: the length where all is covered, 0 if asked for.
    pub(super) fn of(self, len: u16) -> u16 {
        match self.sent {
            Some(sent) if sent < len => sent,
            _ => len,
        }
    }
    /// Whether so much is enough; `None`: all of it is covered.
    pub(super) fn takes(self, covered: Option<u16>) -> bool {
        match (covered, self.least) {
            (None, _) | (_, None) => true,
            (Some(covered), Some(least)) => least != 0 && covered >= least,
        }
    }
}

/// Checks a datagram and takes its header off; what is left is the payload.
pub(super) fn open(arrival: &mut Arrival) -> Result<Opened, DropReason> {
    let packet = &mut arrival.packet;
    let len = packet.len();
    let parsed = packet
        .peek(HEADER_LEN)
        .and_then(UdpLiteHeader::parse)
        .and_then(|header| Ok((header, header.covered(len)?)));
    let (header, covered) = parsed.map_err(|error| match error {
        ParseError::BadLength => DropReason::UdpLiteCoverage,
        _ => DropReason::UdpHeader,
    })?;
    //= rfc3828#3.1
    //# Irrespective of the Checksum Coverage, the computed Checksum field MUST NOT be zero.
    if header.checksum == 0 {
        return Err(DropReason::UdpChecksum);
    }
    if packet.sum() == Sum::Unverified {
        //= rfc3828#3.1
        //# the Length field of the pseudo header is not taken from the UDP-Lite header, but rather from information
        //# provided by the IP module.
        let total = u32::try_from(len).unwrap_or(u32::MAX);
        let pseudo = zone::pseudo_header(arrival.src, arrival.dst, protocol::UDP_LITE, total);
        if checksum::add(pseudo, packet.ones_complement_of_first(covered)) != 0xffff {
            return Err(DropReason::UdpChecksum);
        }
    }
    let taken = packet.pull(HEADER_LEN).map(|_| ());
    taken.map_err(|_| DropReason::UdpHeader)?;
    Ok(Opened {
        src_port: header.src_port,
        dst_port: header.dst_port,
        covered: (covered < len).then_some(header.coverage),
    })
}

/// The checksum of a part, made at once: what fills checksums late knows whole packets only. Its field holds the pseudo-header's sum.
pub(super) fn fill(packet: &mut PacketBuf, covered: u16) {
    let field = match !packet.ones_complement_of_first(covered.into()) {
        0 => 0xffff,
        field => field,
    };
    if let Ok(header) = packet.peek_mut(HEADER_LEN)
        && let Some(slot) = header.get_mut(6..8)
    {
        slot.copy_from_slice(&field.to_be_bytes());
    }
    packet.set_sum(Sum::Verified);
}
