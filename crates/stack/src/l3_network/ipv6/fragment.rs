//! Fragmentation of IPv6 (RFC 8200 4.5): only the host that sends does it.
use alloc::vec::Vec;

use heptad_wire::PacketBuf;
use heptad_wire::ipv6::{FRAGMENT_LEN, FragmentHeader, HEADER_LEN, Ipv6Header, next_header};

use super::super::Outgoing;
use super::super::fragment::take;
use crate::Cx;

/// Cuts a datagram that begins with its IPv6 header into fragments of at most `mtu` bytes with this identification. They
/// share the payload and have new ids; the transport checksum is filled first. `Err` gives the packet back if it does not
/// begin with a header.
pub fn fragment(
    mut packet: PacketBuf,
    mtu: u32,
    id: u32,
    cx: &mut Cx<'_>,
) -> Result<Outgoing, PacketBuf> {
    packet.fill();
    let room = (mtu as usize).saturating_sub(HEADER_LEN + FRAGMENT_LEN) & !7;
    let header = match packet.peek(HEADER_LEN).and_then(Ipv6Header::parse) {
        Ok(header) if room > 0 && packet.len() > HEADER_LEN => header,
        _ => return Err(packet),
    };
    let _ = packet.pull(HEADER_LEN);
    let (sum, total) = (packet.sum(), packet.len());
    let mut chunks = packet.take_payload().into_iter();
    cx.pool.recycle(packet);

    let mut current = chunks.next();
    let mut fragments = Vec::with_capacity(total.div_ceil(room));
    for offset in (0..total).step_by(room) {
        let len = room.min(total - offset);
        let mut fragment = cx.pool.packet();
        take(&mut current, &mut chunks, len, &mut fragment);
        let part = FragmentHeader {
            next_header: header.next_header,
            offset: offset as u16,
            more: offset + len < total,
            id,
        };
        part.emit(fragment.push(FRAGMENT_LEN));
        let piece = Ipv6Header {
            payload_len: (FRAGMENT_LEN + len) as u16,
            next_header: next_header::FRAGMENT,
            ..header
        };
        piece.emit(fragment.push(HEADER_LEN));
        fragment.set_sum(sum);
        fragments.push(fragment);
    }
    let mut fragments = fragments.into_iter();
    let first = fragments.next().expect("a payload gives a fragment");
    Ok(Outgoing {
        first,
        rest: fragments.collect(),
    })
}
