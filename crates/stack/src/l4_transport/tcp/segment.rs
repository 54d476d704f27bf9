//! Segments as values: what came up, read; what goes down, written.
use core::net::SocketAddr;

use alloc::vec::Vec;
use heptad_wire::checksum;
use heptad_wire::ipv4::protocol;
use heptad_wire::tcp::{Flags, MIN_HEADER_LEN, TcpHeader, TcpOptions};
use heptad_wire::{Chunk, PacketBuf, Sum};

use super::Options;
use super::ecn::Codepoint;
use super::options::SegmentOptions;
use super::seq::SeqNum;
use crate::l1_physical::PortId;
use crate::l3_network::{Arrival, Departure, Outlet, zone};
use crate::{Counter, Cx, DropReason};

/// A segment that arrived. The names are RFC 9293's: `seg.seq`, `seg.ack`, `seg.wnd`.
#[derive(Debug, Default)]
pub struct Segment {
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub flags: Flags,
    /// As on the wire, unscaled.
    pub wnd: u16,
    /// It came with a SYN: its window is in bytes, whatever the shift is.
    pub plain_window: bool,
    pub options: SegmentOptions,
    pub text: Vec<Chunk>,
    /// Bytes of text.
    pub text_len: u32,
    /// The urgent pointer.
    pub urgent: u16,
    /// How many frames brought it.
    pub frames: u32,
    /// What routers said of it.
    pub codepoint: Codepoint,
}

impl Segment {
    /// Reads a segment: our end, theirs, the segment. The packet goes back to the pool.
    pub fn parse(
        arrival: Arrival,
        cx: &mut Cx<'_>,
    ) -> Result<(SocketAddr, SocketAddr, Self), DropReason> {
        let Arrival {
            src,
            dst,
            tos,
            mut packet,
            ..
        } = arrival;
        let read = Self::read(src, dst, &mut packet, cx);
        cx.pool.recycle(packet);
        let (header, mut segment) = read?;
        segment.codepoint = Codepoint::of(tos);
        Ok((
            SocketAddr::new(dst, header.dst_port),
            SocketAddr::new(src, header.src_port),
            segment,
        ))
    }

    fn read(
        src: core::net::IpAddr,
        dst: core::net::IpAddr,
        packet: &mut PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Result<(TcpHeader, Self), DropReason> {
        if packet.sum() == Sum::Unverified && !checksum_holds(src, dst, packet) {
            cx.count(Counter::TcpInCsumErrors);
            return Err(DropReason::TcpChecksum);
        }
        let frames = packet.frames();
        let first = packet
            .peek(MIN_HEADER_LEN)
            .map_err(|_| DropReason::TcpHeader)?;
        let byte12 = first.get(12).copied().ok_or(DropReason::TcpHeader)?;
        let len = TcpHeader::len_of(byte12).map_err(|_| DropReason::TcpHeader)?;
        let bytes = packet.pull(len).map_err(|_| DropReason::TcpHeader)?;
        let header = TcpHeader::parse(bytes).map_err(|_| DropReason::TcpHeader)?;
        let text_len = u32::try_from(packet.len()).map_err(|_| DropReason::TcpHeader)?;
        let text = if text_len == 0 {
            Vec::new()
        } else {
            packet.take_payload()
        };
        let segment = Self {
            seq: SeqNum(header.seq),
            ack: SeqNum(header.ack),
            flags: header.flags,
            wnd: header.window,
            plain_window: header.flags.contains(Flags::SYN),
            options: SegmentOptions::read(&header.options),
            text,
            text_len,
            urgent: header.urgent,
            frames,
            codepoint: Codepoint::NotEct,
        };
        Ok((header, segment))
    }

    /// Whether a control bit is set.
    pub fn has(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }
    /// SEG.LEN: text, SYN and FIN.
    pub fn len(&self) -> u32 {
        self.text_len + u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN))
    }
    /// The first sequence number after it.
    pub fn end(&self) -> SeqNum {
        self.seq + self.len()
    }
}

fn checksum_holds(src: core::net::IpAddr, dst: core::net::IpAddr, packet: &PacketBuf) -> bool {
    let Ok(len) = u32::try_from(packet.len()) else {
        return false;
    };
    let pseudo = zone::pseudo_header(src, dst, protocol::TCP, len);
    checksum::add(pseudo, packet.ones_complement()) == 0xffff
}

/// A segment that is to leave.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub flags: Flags,
    /// As on the wire, already scaled.
    pub wnd: u16,
    pub options: TcpOptions,
    /// The urgent pointer.
    pub urgent: u16,
    pub ttl: u8,
    pub tos: u8,
    /// Its socket is bound to this port.
    pub device: Option<PortId>,
}

impl Outgoing {
    /// A bare segment with the TTL, DS field and port of a socket's options.
    pub fn new(local: SocketAddr, remote: SocketAddr, options: &Options) -> Self {
        let (ttl, tos) = options.hops_to(remote.ip());
        Self {
            local,
            remote,
            seq: SeqNum(0),
            ack: SeqNum(0),
            flags: Flags::ACK,
            wnd: 0,
            options: TcpOptions::NONE,
            urgent: 0,
            ttl,
            tos,
            device: options.device,
        }
    }

    /// Writes it; `mss` tells how much text one frame may carry.
    pub fn depart(self, text: Vec<Chunk>, mss: u16, cx: &mut Cx<'_>) -> Departure {
        let mut options = self.options;
        options.pad();
        let text_len: usize = text.iter().map(Chunk::len).sum();
        let mut header = TcpHeader {
            src_port: self.local.port(),
            dst_port: self.remote.port(),
            seq: self.seq.0,
            ack: self.ack.0,
            reserved: 0,
            flags: self.flags,
            window: self.wnd,
            checksum: 0,
            urgent: self.urgent,
            options,
        };
        let total = u32::try_from(header.len() + text_len).unwrap_or(u32::MAX);
        header.checksum =
            zone::pseudo_header(self.local.ip(), self.remote.ip(), protocol::TCP, total);
        let mut packet = cx.pool.packet();
        header.emit(packet.push(header.len()));
        for chunk in text {
            packet.append(chunk);
        }
        let start = packet.head_start();
        packet.set_sum(Sum::ToFill {
            start,
            offset: start.saturating_add(16),
        });
        let mss = usize::from(mss.max(1));
        cx.counters
            .add(Counter::TcpOutSegs, text_len.div_ceil(mss).max(1) as u64);
        if self.flags.contains(Flags::RST) {
            cx.count(Counter::TcpOutRsts);
        }
        Departure {
            src: self.local.ip(),
            dst: self.remote.ip(),
            protocol: protocol::TCP,
            ttl: self.ttl,
            tos: self.tos,
            dont_fragment: true,
            outlet: Outlet {
                port: self.device,
                ..Outlet::default()
            },
            segment: (text_len > mss).then_some(mss as u16),
            packet,
        }
    }
}

/// The RST that answers a segment nobody here knows.
//= rfc9293#3.10.7.1
//# If the ACK bit is off, sequence number zero is used
pub fn reset_for(
    local: SocketAddr,
    remote: SocketAddr,
    seg: &Segment,
    cx: &mut Cx<'_>,
) -> Option<Departure> {
    if seg.has(Flags::RST) {
        return None;
    }
    if seg.has(Flags::ACK) {
        return Some(reset_at(local, remote, seg.ack, cx));
    }
    let mut out = Outgoing::new(local, remote, &Options::default());
    out.ack = seg.end();
    out.flags = Flags::RST | Flags::ACK;
    Some(out.depart(Vec::new(), 1, cx))
}

/// The bare RST that answers a segment whose ACK this is: <SEQ=SEG.ACK><CTL=RST>.
pub fn reset_at(local: SocketAddr, remote: SocketAddr, ack: SeqNum, cx: &mut Cx<'_>) -> Departure {
    let mut out = Outgoing::new(local, remote, &Options::default());
    out.seq = ack;
    out.flags = Flags::RST;
    out.depart(Vec::new(), 1, cx)
}
