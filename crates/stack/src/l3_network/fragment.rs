//! Fragmentation (RFC 791 3.2): one datagram in pieces of at most the MTU.
use alloc::vec::Vec;

use heptad_wire::ipv4::Ipv4Header;
use heptad_wire::{Chunk, PacketBuf};

use super::Outgoing;
use crate::Cx;

/// Cuts a datagram (or a fragment of one) that begins with its IPv4 header into fragments of at most `mtu` bytes. They
/// share the payload and have new ids. The transport checksum is filled first: it covers the whole. `Err` gives the packet
/// back if the MTU has no room for 8 bytes behind the header, or there is nothing behind it.
pub fn fragment(mut packet: PacketBuf, mtu: u32, cx: &mut Cx<'_>) -> Result<Outgoing, PacketBuf> {
    packet.fill();
    let Some(header) = pull_header(&mut packet) else {
        return Err(packet);
    };
    let room = (mtu as usize).saturating_sub(header.len()) & !7;
    if room == 0 || packet.is_empty() {
        header.emit(packet.push(header.len()));
        return Err(packet);
    }
    let sum = packet.sum();
    let total = packet.len();
    let mut chunks = packet.take_payload().into_iter();
    cx.pool.recycle(packet);

    let mut current = chunks.next();
    let mut fragments = Vec::new();
    let mut offset = 0;
    while offset < total {
        let later = Ipv4Header {
            options: header.options.copied(),
            ..header
        };
        let mut piece = if offset == 0 { header } else { later };
        let room = (mtu as usize).saturating_sub(piece.len()) & !7;
        let len = room.min(total - offset);
        piece.fragment_offset = header.fragment_offset.saturating_add(offset as u16);
        piece.more_fragments = header.more_fragments || offset + len < total;
        piece.total_len = (piece.len() + len) as u16;

        let mut fragment = cx.pool.packet();
        take(&mut current, &mut chunks, len, &mut fragment);
        piece.emit(fragment.push(piece.len()));
        fragment.set_sum(sum);
        fragments.push(fragment);
        offset += len;
    }
    let mut fragments = fragments.into_iter();
    let first = fragments.next().expect("a payload gives a fragment");
    Ok(Outgoing {
        first,
        rest: fragments.collect(),
    })
}

fn pull_header(packet: &mut PacketBuf) -> Option<Ipv4Header> {
    let len = Ipv4Header::len_of(*packet.peek(1).ok()?.first()?).ok()?;
    let header = Ipv4Header::parse(packet.peek(len).ok()?).ok()?;
    packet.pull(len).ok()?;
    Some(header)
}

/// Moves `len` bytes from the front of the chunks to the end of `to`.
pub(super) fn take(
    current: &mut Option<Chunk>,
    rest: &mut impl Iterator<Item = Chunk>,
    mut len: usize,
    to: &mut PacketBuf,
) {
    while len > 0
        && let Some(chunk) = current.take()
    {
        let n = len.min(chunk.len());
        to.append(chunk.slice(0..n));
        len -= n;
        *current = match n < chunk.len() {
            true => Some(chunk.slice(n..chunk.len())),
            false => rest.next(),
        };
    }
}
