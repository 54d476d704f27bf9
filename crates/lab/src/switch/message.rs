//! What a switch reads in a frame to a group: which group it is for, or what it says of groups (RFC 4541 2.1 and 3).
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_stack::DropReason;
use heptad_stack::wire::ethernet::HEADER_LEN;
use heptad_stack::wire::group::{Message, Query};
use heptad_stack::wire::ipv4::{self, Ipv4Header, protocol};
use heptad_stack::wire::ipv6::{self, Ipv6Header, Ipv6Option, Ipv6Options, next_header};
use heptad_stack::wire::{EtherType, PacketBuf, ParseError, checksum, igmp, mld};

pub(super) const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What a frame is about.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// It is for the members of this group.
    Data(IpAddr),
    /// It says something of groups. The sender may have no address yet.
    Message { from: IpAddr, message: Message },
    /// Something that IP says nothing of.
    Other,
}

/// Reads a frame that is sent to a group, and takes nothing of it. What says something of groups and is damaged is an
/// error: it is neither believed nor passed on (RFC 4541 2.1.1, 6).
pub(super) fn read(frame: &mut PacketBuf, ethertype: EtherType) -> Result<Heard, DropReason> {
    match ethertype {
        EtherType::IPV4 => read_ipv4(frame),
        EtherType::IPV6 => read_ipv6(frame),
        _ => Ok(Heard::Other),
    }
}

fn read_ipv4(frame: &mut PacketBuf) -> Result<Heard, DropReason> {
    let Ok(fixed) = frame.peek(HEADER_LEN + ipv4::MIN_HEADER_LEN) else {
        return Ok(Heard::Other);
    };
    let is_igmp = fixed[HEADER_LEN + 9] == protocol::IGMP;
    let len = Ipv4Header::len_of(fixed[HEADER_LEN]);
    let bytes = len.and_then(|len| frame.peek(HEADER_LEN + len));
    let header = match bytes.and_then(|bytes| Ipv4Header::parse(&bytes[HEADER_LEN..])) {
        Ok(header) => header,
        Err(ParseError::BadChecksum) if is_igmp => return Err(DropReason::IpChecksum),
        Err(_) => return Ok(Heard::Other),
    };
    let (from, to) = (header.src.into(), header.dst);
    match (to.is_multicast(), is_igmp) {
        (false, _) => Ok(Heard::Other),
        (true, false) => Ok(Heard::Data(to.into())),
        (true, true) if header.more_fragments || header.fragment_offset != 0 => {
            Err(DropReason::GroupMalformed)
        }
        (true, true) => {
            let range = HEADER_LEN + header.len()..HEADER_LEN + usize::from(header.total_len);
            let bytes = whole(frame);
            let payload = bytes.get(range).ok_or(DropReason::IpTruncated)?;
            match igmp::parse(payload) {
                Ok(message) if is_misled(&message, to.into()) => Err(DropReason::GroupMalformed),
                Ok(message) => Ok(Heard::Message { from, message }),
                // A type that nobody knows yet (RFC 4541 2.1.1, 4).
                Err(ParseError::BadVersion) => Ok(Heard::Data(to.into())),
                Err(ParseError::BadChecksum) => Err(DropReason::GroupChecksum),
                Err(_) => Err(DropReason::GroupMalformed),
            }
        }
    }
}

fn read_ipv6(frame: &mut PacketBuf) -> Result<Heard, DropReason> {
    let bytes = frame.peek(HEADER_LEN + ipv6::HEADER_LEN);
    let header = bytes.and_then(|bytes| Ipv6Header::parse(&bytes[HEADER_LEN..]));
    let Ok(header) = header else {
        return Ok(Heard::Other);
    };
    let data = match header.dst.is_multicast() {
        true => Heard::Data(header.dst.into()),
        false => return Ok(Heard::Other),
    };
    // Every message of MLD has a router alert (RFC 9777 5): what has no such header is none.
    if header.next_header != next_header::HOP_BY_HOP {
        return Ok(data);
    }
    let bytes = whole(frame);
    let end = HEADER_LEN + ipv6::HEADER_LEN + usize::from(header.payload_len);
    let payload = bytes
        .get(HEADER_LEN + ipv6::HEADER_LEN..end)
        .ok_or(DropReason::IpTruncated)?;
    match mld_behind(payload) {
        Some((alert, message)) => read_mld(&header, alert, message),
        None => Ok(data),
    }
}

/// Hop-by-hop options and the message behind them, if that is one of MLD.
fn mld_behind(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let [next, len, ..] = *payload else {
        return None;
    };
    let (options, message) = payload.split_at_checked(ipv6::extension_len([next, len]))?;
    let kind = *message.first()?;
    (next == next_header::ICMPV6 && mld::is_kind(kind)).then_some((options, message))
}

fn read_mld(header: &Ipv6Header, options: &[u8], bytes: &[u8]) -> Result<Heard, DropReason> {
    let (from, to) = (IpAddr::from(header.src), IpAddr::from(header.dst));
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let pseudo = checksum::pseudo_header(from, to, next_header::ICMPV6, len);
    if checksum::add(pseudo, checksum::sum(bytes)) != 0xffff {
        return Err(DropReason::IcmpChecksum);
    }
    if header.hop_limit != 1 {
        return Err(DropReason::GroupHopLimit);
    }
    let is_alert = |option: Result<Ipv6Option<'_>, _>| {
        option.is_ok_and(|o| o.kind == Ipv6Option::ROUTER_ALERT)
    };
    if !Ipv6Options::new(options).any(is_alert) {
        return Err(DropReason::GroupNoAlert);
    }
    let [kind, _, _, _, body @ ..] = bytes else {
        return Err(DropReason::GroupMalformed);
    };
    let message = mld::parse(*kind, body).map_err(|_| DropReason::GroupMalformed)?;
    let is_query = matches!(message, Message::Query(_));
    if is_query && !header.src.is_unicast_link_local() {
        return Err(DropReason::GroupSource);
    }
    if is_misled(&message, to) {
        return Err(DropReason::GroupMalformed);
    }
    Ok(Heard::Message { from, message })
}

/// A question to everybody goes to everybody's group (RFC 9776 4.1.12, RFC 9777 5.1.15).
fn is_misled(message: &Message, to: IpAddr) -> bool {
    let all = [IpAddr::V4(ALL_SYSTEMS), IpAddr::V6(ALL_NODES)];
    matches!(message, Message::Query(Query { group, .. }) if group.is_unspecified())
        && !all.contains(&to)
}

/// A copy of all bytes, checksums filled.
fn whole(frame: &PacketBuf) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.write_to(&mut bytes);
    bytes
}
