//! What a transparent host holds back of packets to addresses of others: those that begin something.
use heptad_wire::PacketBuf;
use heptad_wire::ipv4::protocol;
use heptad_wire::ipv6::next_header;
use heptad_wire::tcp::Flags;

/// Whether the packet begins something that its destination may refuse: a SYN, an echo request.
pub(super) fn opens(number: u8, packet: &mut PacketBuf) -> bool {
    match number {
        protocol::TCP => {
            let bits = packet.peek(14).ok().and_then(|bytes| bytes.last().copied());
            let flags = Flags(bits.unwrap_or(0).into());
            flags.contains(Flags::SYN) && !flags.contains(Flags::ACK)
        }
        protocol::ICMP => is_kind(packet, 8),
        next_header::ICMPV6 => is_kind(packet, 128),
        _ => false,
    }
}

fn is_kind(packet: &mut PacketBuf, kind: u8) -> bool {
    packet
        .peek(1)
        .is_ok_and(|bytes| bytes.first() == Some(&kind))
}
