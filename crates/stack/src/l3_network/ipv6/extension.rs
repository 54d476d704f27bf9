//! Extension headers (RFC 8200 4) in the order in which they come, with limits (RFC 8504 5.3).
use alloc::boxed::Box;

use heptad_wire::PacketBuf;
use heptad_wire::icmpv6::Icmpv6;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::{
    self, FRAGMENT_LEN, FragmentHeader, HEADER_LEN, Ipv6Header, Ipv6Option, Ipv6Options,
    UnknownOption, next_header,
};

use super::super::foreign::opens;
use super::super::quote::Quote;
use super::super::reassembly::{Collected, Fragment, Header};
use super::super::{Arrival, Heading, Network, Reply, Up};
use super::ends;
use crate::l1_physical::PortId;
use crate::{Counter, Cx, DropReason};

/// Most extension headers of a packet.
const MOST_HEADERS: usize = 8;
/// Most options in one of them.
const MOST_OPTIONS: usize = 8;
/// The longest header that is read.
const LONGEST: usize = 128;

/// A packet for this host whose headers are being taken off.
struct Walk {
    port: PortId,
    header: Ipv6Header,
    group: bool,
    /// From the header that is looked at on.
    packet: PacketBuf,
    /// What that is.
    next: u8,
    /// Where in the packet the byte stands that says so.
    next_at: usize,
    /// Where in the packet it begins.
    at: usize,
    /// The whole packet, if it had more than the fixed header.
    original: Option<PacketBuf>,
    /// A router alert was among the options for every hop.
    alert: bool,
    /// It was put together, or came in one piece with a fragment header.
    reassembled: bool,
}

/// What ends a walk before the transport header.
enum End {
    /// Discarded, perhaps with the error that is due.
    Drop(DropReason, Option<Icmpv6>),
    /// The other fragments are missing, or nothing follows.
    Done,
}

impl Network {
    /// Takes the headers of a packet for this host off, one after the other.
    pub(super) fn walk(
        &mut self,
        port: PortId,
        header: Ipv6Header,
        mut packet: PacketBuf,
        group: bool,
        cx: &mut Cx<'_>,
    ) -> Up<Heading> {
        let plain = is_upper(header.next_header);
        let original = (!plain).then(|| packet.duplicate());
        if packet.pull(HEADER_LEN).is_err() {
            return super::drop(packet, DropReason::IpTruncated, cx);
        }
        let mut walk = Walk {
            port,
            header,
            group,
            packet,
            next: header.next_header,
            next_at: 6,
            at: HEADER_LEN,
            original,
            alert: false,
            reassembled: false,
        };
        for _ in 0..=MOST_HEADERS {
            if is_upper(walk.next) {
                return self.deliver_v6(walk, cx);
            }
            if let Err(end) = self.step(&mut walk, cx) {
                return self.end(walk, end, cx);
            }
        }
        self.end(walk, End::Drop(DropReason::ExtensionHeaders, None), cx)
    }

    /// One extension header.
    fn step(&mut self, walk: &mut Walk, cx: &mut Cx<'_>) -> Result<(), End> {
        match walk.next {
            //= rfc8200#4.1
            //# the Hop-by-Hop Options header, which is restricted to appear immediately after an IPv6 header only
            next_header::HOP_BY_HOP if walk.at != HEADER_LEN => {
                let pointer = walk.next_at as u32;
                let problem = Icmpv6::ParameterProblem { code: 1, pointer };
                Err(End::Drop(DropReason::IpHeader, Some(problem)))
            }
            next_header::HOP_BY_HOP | next_header::DESTINATION => {
                let len = walk.extension_len()?;
                let bytes = walk.packet.peek(len).map_err(truncated)?;
                check_options(bytes, walk.at, walk.group)?;
                walk.alert |= walk.next == next_header::HOP_BY_HOP && has_alert(bytes);
                walk.advance(len)
            }
            next_header::ROUTING => {
                let len = walk.extension_len()?;
                let bytes = walk.packet.peek(4).map_err(truncated)?;
                //= rfc8200#4.4
                //# If Segments Left is non-zero, the node must discard the packet and send an ICMP Parameter Problem
                if bytes.get(3).is_some_and(|left| *left != 0) {
                    let pointer = walk.at as u32 + 2;
                    let problem = Icmpv6::ParameterProblem { code: 0, pointer };
                    return Err(End::Drop(DropReason::IpOption, Some(problem)));
                }
                walk.advance(len)
            }
            next_header::FRAGMENT => self.put_together(walk, cx),
            _ => Err(End::Done),
        }
    }

    /// A fragment: on with the whole datagram, or nothing yet.
    fn put_together(&mut self, walk: &mut Walk, cx: &mut Cx<'_>) -> Result<(), End> {
        cx.count(Counter::Ip6ReasmReqds);
        let bytes = walk.packet.peek(FRAGMENT_LEN).map_err(truncated)?;
        let fragment = FragmentHeader::parse(bytes).map_err(truncated)?;
        if walk.reassembled {
            cx.count(Counter::Ip6ReasmFails);
            return Err(End::Drop(DropReason::FragmentMalformed, None));
        }
        walk.reassembled = true;
        //= rfc6946#4
        //# A host that receives an IPv6 atomic fragment MUST process it in isolation from any other packets
        if fragment.is_atomic() {
            cx.count(Counter::Ip6ReasmOks);
            return walk.advance(FRAGMENT_LEN);
        }
        if walk.packet.pull(FRAGMENT_LEN).is_err() {
            return Err(End::Drop(DropReason::IpTruncated, None));
        }
        if fragment.more && !walk.packet.len().is_multiple_of(8) {
            cx.count(Counter::Ip6ReasmFails);
            let problem = Icmpv6::ParameterProblem {
                code: 0,
                pointer: 4,
            };
            return Err(End::Drop(DropReason::FragmentMalformed, Some(problem)));
        }
        if usize::from(fragment.offset) + walk.packet.len() > usize::from(u16::MAX) {
            cx.count(Counter::Ip6ReasmFails);
            let pointer = walk.at as u32 + 2;
            let problem = Icmpv6::ParameterProblem { code: 0, pointer };
            return Err(End::Drop(DropReason::FragmentMalformed, Some(problem)));
        }
        let mut packet = core::mem::replace(&mut walk.packet, cx.pool.packet());
        packet.fill();
        let piece = Fragment {
            header: Header::V6(walk.header, fragment),
            port: walk.port,
            group: walk.group,
            packet,
        };
        match self.reassembly.collect(piece, cx) {
            Collected::Whole(Header::V6(header, _), packet) => {
                cx.count(Counter::Ip6ReasmOks);
                walk.restart(header, packet, cx);
                Ok(())
            }
            Collected::Whole(Header::V4(_), _) | Collected::Waiting => Err(End::Done),
            Collected::Refused(reason) => {
                if reason != DropReason::FragmentDuplicate {
                    cx.count(Counter::Ip6ReasmFails);
                }
                Err(End::Drop(reason, None))
            }
        }
    }

    /// A whole datagram for this host: its transport header is next.
    fn deliver_v6(&mut self, mut walk: Walk, cx: &mut Cx<'_>) -> Up<Heading> {
        let frames = u64::from(walk.packet.frames());
        cx.counters.add(Counter::Ip6InDelivers, frames);
        // TCP answers with segments of its own, ICMP never with an error.
        let answers = matches!(walk.next, protocol::TCP | next_header::ICMPV6);
        // What is held comes before them.
        let knocks = !walk.group
            && self.is_foreign(walk.header.dst.into())
            && opens(walk.next, &mut walk.packet);
        let quote = (!answers || knocks).then(|| Box::new(walk.quote(cx)));
        let Walk {
            port,
            header,
            group,
            packet,
            next,
            original,
            alert,
            ..
        } = walk;
        if let Some(original) = original {
            cx.pool.recycle(original);
        }
        let arrival = Arrival {
            src: header.src.into(),
            dst: header.dst.into(),
            protocol: next,
            ttl: header.hop_limit,
            tos: header.traffic_class,
            port,
            group,
            packet,
        };
        self.tap_v6(&arrival);
        match next {
            next_header::ICMPV6 if !knocks => self.receive_icmpv6(arrival, alert, cx),
            _ => Up::Next(Heading::Local(arrival, quote)),
        }
    }

    fn end(&mut self, mut walk: Walk, end: End, cx: &mut Cx<'_>) -> Up<Heading> {
        let up = match end {
            End::Done => Up::Done,
            End::Drop(reason, None) => Up::Drop(reason, None),
            End::Drop(reason, Some(message)) => {
                cx.count(Counter::Ip6InHdrErrors);
                let quote = walk.quote(cx);
                let error = self.error_v6(&quote, message, cx);
                Up::Drop(reason, error.map(Reply::Transport))
            }
        };
        cx.pool.recycle(walk.packet);
        if let Some(original) = walk.original {
            cx.pool.recycle(original);
        }
        up
    }

    /// A router reads the options that are for every hop (RFC 8200 4.3). `Err`: the packet is discarded.
    pub(super) fn look_at_hop_by_hop(
        &mut self,
        port: PortId,
        header: &Ipv6Header,
        packet: &mut PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Result<(), Up<Heading>> {
        let group = header.dst.is_multicast();
        let looked = hop_by_hop(packet).and_then(|bytes| check_options(bytes, HEADER_LEN, group));
        let Err(end) = looked else {
            return Ok(());
        };
        cx.count(Counter::Ip6InHdrErrors);
        let End::Drop(reason, message) = end else {
            return Err(Up::Done);
        };
        let error = message.and_then(|message| {
            packet.fill();
            let quote = Quote::whole(ends(header), port, group, packet, upper(packet));
            self.error_v6(&quote, message, cx)
        });
        Err(Up::Drop(reason, error.map(Reply::Transport)))
    }
}

impl Walk {
    fn extension_len(&mut self) -> Result<usize, End> {
        let bytes = self.packet.peek(2).map_err(truncated)?;
        let two = bytes.first_chunk::<2>().copied().unwrap_or_default();
        match ipv6::extension_len(two) {
            len if len > LONGEST => Err(End::Drop(DropReason::ExtensionHeaders, None)),
            len => Ok(len),
        }
    }
    /// Takes a header off.
    fn advance(&mut self, len: usize) -> Result<(), End> {
        let bytes = self.packet.pull(len).map_err(truncated)?;
        self.next = bytes.first().copied().unwrap_or(next_header::NONE);
        self.next_at = self.at;
        self.at += len;
        Ok(())
    }
    /// Goes on with the datagram that was put together.
    fn restart(&mut self, header: Ipv6Header, packet: PacketBuf, cx: &mut Cx<'_>) {
        let left = core::mem::replace(&mut self.packet, packet);
        cx.pool.recycle(left);
        if let Some(original) = self.original.take() {
            cx.pool.recycle(original);
        }
        self.header = header;
        self.next = header.next_header;
        (self.next_at, self.at) = (6, HEADER_LEN);
        self.original = (!is_upper(self.next)).then(|| {
            let mut original = self.packet.duplicate();
            on_cable(&header).emit(original.push(HEADER_LEN));
            original
        });
    }
    /// The packet as an error quotes it.
    fn quote(&mut self, cx: &mut Cx<'_>) -> Quote {
        let places = (self.next_at, self.at);
        let (ends, port, group) = (ends(&self.header), self.port, self.group);
        if let Some(original) = &mut self.original {
            original.fill();
            return Quote::whole(ends, port, group, original, places);
        }
        let mut whole = self.packet.duplicate();
        whole.fill();
        on_cable(&self.header).emit(whole.push(HEADER_LEN));
        let quote = Quote::whole(ends, port, group, &whole, places);
        cx.pool.recycle(whole);
        quote
    }
}

/// The header without zones.
fn on_cable(header: &Ipv6Header) -> Ipv6Header {
    Ipv6Header {
        src: super::bare(header.src),
        dst: super::bare(header.dst),
        ..*header
    }
}

/// Whether the walk ends here.
fn is_upper(next: u8) -> bool {
    use next_header::{DESTINATION, FRAGMENT, HOP_BY_HOP, NONE, ROUTING};
    !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION | NONE)
}

/// Where in a packet (from its header on) the byte stands that names its transport protocol, and where that begins; the
/// fixed header's if the chain of headers is not in its first bytes.
pub(in super::super) fn upper(packet: &PacketBuf) -> (usize, usize) {
    let mut bytes = alloc::vec::Vec::with_capacity(256);
    let body = packet.body().iter().map(|chunk| chunk.bytes());
    for part in core::iter::once(packet.head()).chain(body) {
        let room = 256usize.saturating_sub(bytes.len());
        bytes.extend_from_slice(part.get(..room).unwrap_or(part));
    }
    let (mut next_at, mut at) = (6, HEADER_LEN);
    for _ in 0..MOST_HEADERS {
        let Some(next) = bytes.get(next_at).copied() else {
            break;
        };
        let len = match next {
            next if is_upper(next) || next == next_header::NONE => return (next_at, at),
            next_header::FRAGMENT => FRAGMENT_LEN,
            _ => match bytes.get(at..at + 2) {
                Some(&[first, second]) => ipv6::extension_len([first, second]),
                _ => break,
            },
        };
        (next_at, at) = (at, at + len);
    }
    (6, HEADER_LEN)
}

fn hop_by_hop(packet: &mut PacketBuf) -> Result<&[u8], End> {
    let bytes = packet.peek(HEADER_LEN + 2).map_err(truncated)?;
    let two = bytes
        .get(HEADER_LEN..)
        .and_then(<[u8]>::first_chunk::<2>)
        .copied();
    let len = ipv6::extension_len(two.unwrap_or_default());
    if HEADER_LEN + len > LONGEST {
        return Err(End::Drop(DropReason::ExtensionHeaders, None));
    }
    let bytes = packet.peek(HEADER_LEN + len).map_err(truncated)?;
    Ok(bytes.get(HEADER_LEN..).unwrap_or_default())
}

/// Whether the router alert of MLD is among these options (RFC 2711 2.1: value 0).
fn has_alert(bytes: &[u8]) -> bool {
    let mut options = Ipv6Options::new(bytes).flatten();
    options.any(|option| option.kind == Ipv6Option::ROUTER_ALERT && option.data == [0, 0])
}

/// RFC 8200 4.2: what becomes of a packet with these options; the extension header begins at `at`.
fn check_options(bytes: &[u8], at: usize, group: bool) -> Result<(), End> {
    for (number, option) in Ipv6Options::new(bytes).enumerate() {
        let Ok(option) = option else {
            return Err(End::Drop(DropReason::IpHeader, None));
        };
        if number >= MOST_OPTIONS {
            return Err(End::Drop(DropReason::ExtensionHeaders, None));
        }
        if option.kind == Ipv6Option::ROUTER_ALERT {
            continue;
        }
        let pointer = (at + option.at) as u32;
        let report = Icmpv6::ParameterProblem { code: 2, pointer };
        let refused = DropReason::IpOption;
        match option.when_unknown() {
            UnknownOption::Skip => {}
            UnknownOption::Discard => return Err(End::Drop(refused, None)),
            UnknownOption::ReportUnlessGroup if group => return Err(End::Drop(refused, None)),
            UnknownOption::Report | UnknownOption::ReportUnlessGroup => {
                return Err(End::Drop(refused, Some(report)));
            }
        }
    }
    Ok(())
}

fn truncated(error: heptad_wire::ParseError) -> End {
    End::Drop(
        match error {
            heptad_wire::ParseError::HeaderTooLong => DropReason::ExtensionHeaders,
            _ => DropReason::IpTruncated,
        },
        None,
    )
}
