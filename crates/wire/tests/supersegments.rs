//! Cutting and merging: each undoes the other, byte for byte.
use bytes::Bytes;
use core::net::Ipv4Addr;
use heptad_wire::ipv4::{self, Ipv4Header};
use heptad_wire::tcp::{self, Flags, TcpHeader, TcpOption, TcpOptions};
use heptad_wire::{
    Chunk, Cut, EtherType, EthernetHeader, MacAddr, PacketBuf, Pool, Sum, VlanTag, checksum,
    ethernet,
};
use proptest::prelude::*;

/// How a packet of the tests begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    None,
    Ethernet,
    Tagged,
}

#[derive(Clone, Debug)]
struct Spec {
    link: Link,
    ip_options: usize,
    id: u16,
    seq: u32,
    flags: Flags,
    timestamps: bool,
    chunks: Vec<Vec<u8>>,
    segment: u16,
}

fn tcp_header(spec: &Spec) -> TcpHeader {
    let mut options = TcpOptions::NONE;
    if spec.timestamps {
        assert!(options.push(TcpOption::Nop) && options.push(TcpOption::Nop));
        assert!(options.push(TcpOption::Timestamps { value: 7, echo: 9 }));
    }
    TcpHeader {
        src_port: 49312,
        dst_port: 8080,
        seq: spec.seq,
        ack: 77,
        reserved: 0,
        flags: spec.flags,
        window: 501,
        checksum: 0,
        urgent: 0,
        options,
    }
}

/// A packet as a stack hands it down: `ToFill`, with a plan to cut.
fn super_segment(spec: &Spec, pool: &mut Pool) -> PacketBuf {
    let (src, dst) = (Ipv4Addr::new(10, 0, 1, 10), Ipv4Addr::new(10, 0, 2, 20));
    let mut packet = pool.packet();
    for chunk in &spec.chunks {
        packet.append(Chunk::copy_from(chunk));
    }
    let mut tcp = tcp_header(spec);
    let tcp_len = tcp.len() + packet.len();
    tcp.checksum =
        checksum::pseudo_header(src.into(), dst.into(), ipv4::protocol::TCP, tcp_len as u32);
    tcp.emit(packet.push(tcp.len()));
    let l4 = packet.head_start();
    let mut ip = Ipv4Header {
        tos: 2,
        total_len: 0,
        id: spec.id,
        reserved: false,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: ipv4::protocol::TCP,
        src,
        dst,
        options: ipv4::Options::new(&vec![1; spec.ip_options * 4]).unwrap(),
    };
    ip.total_len = (ip.len() + tcp_len) as u16;
    ip.emit(packet.push(ip.len()));
    let l3 = packet.head_start();
    push_link(spec.link, &mut packet);
    packet.set_sum(Sum::ToFill {
        start: l4,
        offset: l4 + tcp::CHECKSUM_AT as u8,
    });
    packet.set_cut(Some(Cut {
        segment: spec.segment,
        l3,
        l4,
    }));
    packet
}

fn push_link(link: Link, packet: &mut PacketBuf) {
    let mut ethertype = EtherType::IPV4;
    if link == Link::Tagged {
        let tag = VlanTag {
            priority: 3,
            drop_eligible: false,
            id: 42,
            ethertype,
        };
        tag.emit(packet.push(ethernet::TAG_LEN));
        ethertype = EtherType::VLAN;
    }
    if link != Link::None {
        let header = EthernetHeader {
            dst: MacAddr([2, 0, 0, 0, 0, 2]),
            src: MacAddr([2, 0, 0, 0, 0, 1]),
            ethertype,
        };
        header.emit(packet.push(ethernet::HEADER_LEN));
    }
}

fn link_len(link: Link) -> usize {
    match link {
        Link::None => 0,
        Link::Ethernet => ethernet::HEADER_LEN,
        Link::Tagged => ethernet::HEADER_LEN + ethernet::TAG_LEN,
    }
}

fn all_bytes(packet: &PacketBuf) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write_to(&mut bytes);
    bytes
}

/// Bytes in the head and body, checksum field as it is.
fn raw_bytes(packet: &PacketBuf) -> Vec<u8> {
    let mut bytes = packet.head().to_vec();
    packet
        .body()
        .iter()
        .for_each(|chunk| bytes.extend_from_slice(chunk.bytes()));
    bytes
}

fn spec() -> impl Strategy<Value = Spec> {
    let link = prop_oneof![Just(Link::None), Just(Link::Ethernet), Just(Link::Tagged)];
    let flags =
        prop::sample::subsequence(vec![Flags::PSH, Flags::FIN, Flags::CWR, Flags::ECE], 0..=4)
            .prop_map(|flags| flags.into_iter().fold(Flags::ACK, Flags::with));
    let chunk = (any::<u8>(), 1usize..900).prop_map(|(seed, len)| {
        (0..len)
            .map(|i| (i as u8).wrapping_mul(31) ^ seed)
            .collect::<Vec<u8>>()
    });
    (
        link,
        0usize..=10,
        any::<u16>(),
        any::<u32>(),
        flags,
        any::<bool>(),
        prop::collection::vec(chunk, 1..8),
        50u16..1500,
    )
        .prop_map(
            |(link, ip_options, id, seq, flags, timestamps, chunks, segment)| Spec {
                link,
                ip_options,
                id,
                seq,
                flags,
                timestamps,
                chunks,
                segment,
            },
        )
}

/// Parses a whole frame and checks both of its checksums.
fn parse_frame(frame: &[u8], link: Link) -> (Ipv4Header, TcpHeader, Vec<u8>) {
    let packet = &frame[link_len(link)..];
    let ip = Ipv4Header::parse(packet).unwrap();
    assert_eq!(usize::from(ip.total_len), packet.len());
    let segment = &packet[ip.len()..];
    let pseudo = checksum::pseudo_header(
        ip.src.into(),
        ip.dst.into(),
        ip.protocol,
        segment.len() as u32,
    );
    assert_eq!(checksum::add(pseudo, checksum::sum(segment)), 0xffff);
    let tcp = TcpHeader::parse(segment).unwrap();
    (ip, tcp, segment[tcp.len()..].to_vec())
}

proptest! {
    #[test]
    fn cutting_gives_frames_that_carry_the_payload_in_order(spec in spec()) {
        let mut pool = Pool::new(1);
        let packet = super_segment(&spec, &mut pool);
        let (id, frames, frame_len) = (packet.id(), packet.frames(), packet.frame_len());
        let payload = spec.chunks.concat();
        let cut: Vec<_> = packet.cut(&mut pool).collect();
        prop_assert_eq!(cut.len() as u32, frames);
        prop_assert_eq!(cut.iter().map(PacketBuf::len).max(), Some(frame_len));
        let mut at = 0;
        for (i, frame) in cut.iter().enumerate() {
            let (ip, tcp, data) = parse_frame(&all_bytes(frame), spec.link);
            let last = i + 1 == cut.len();
            prop_assert_eq!(frame.id(), id);
            prop_assert_eq!(frame.cut_plan(), None);
            prop_assert_eq!(ip.id, spec.id.wrapping_add(i as u16));
            prop_assert_eq!(tcp.seq, spec.seq.wrapping_add(at as u32));
            prop_assert_eq!(&data[..], &payload[at..at + data.len()]);
            prop_assert!(last || data.len() == usize::from(spec.segment));
            let mut flags = spec.flags;
            if i > 0 { flags = flags.without(Flags::CWR); }
            if !last { flags = flags.without(Flags::PSH | Flags::FIN); }
            prop_assert_eq!(tcp.flags, flags);
            at += data.len();
        }
        prop_assert_eq!(at, payload.len());
    }

    #[test]
    fn merging_all_frames_of_a_cut_restores_the_super_segment(spec in spec()) {
        let mut pool = Pool::new(1);
        let packet = super_segment(&spec, &mut pool);
        let (before, frames, plan) = (raw_bytes(&packet), packet.frames(), packet.cut_plan());
        let mut cut = packet.cut(&mut pool);
        let mut merged = cut.next().unwrap();
        for frame in cut {
            prop_assert!(merged.merge(frame).is_ok());
        }
        prop_assert_eq!(raw_bytes(&merged), before);
        prop_assert_eq!(merged.frames(), frames);
        if frames > 1 {
            prop_assert_eq!(merged.cut_plan(), plan);
        }
    }

    #[test]
    fn cutting_what_was_merged_from_outside_restores_the_frames(spec in spec()) {
        let mut pool = Pool::new(1);
        let frames: Vec<Vec<u8>> =
            super_segment(&spec, &mut pool).cut(&mut pool).map(|frame| all_bytes(&frame)).collect();
        let mut outside = frames.iter().map(|frame| pool_bytes(frame));
        let mut merged = outside.next().unwrap();
        for frame in outside {
            prop_assert!(merged.merge(frame).is_ok());
        }
        let again: Vec<Vec<u8>> = merged.cut(&mut pool).map(|frame| all_bytes(&frame)).collect();
        prop_assert_eq!(again, frames);
    }

    /// Whatever is merged, cutting restores: bytes of either frame are changed at random beforehand.
    #[test]
    fn a_changed_frame_is_refused_or_restored(
        spec in spec(),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
        which in any::<bool>(),
        repair in any::<bool>(),
    ) {
        let mut pool = Pool::new(1);
        let spec = Spec { segment: spec.segment.min(spec.chunks[0].len() as u16), ..spec };
        let spec = Spec { chunks: [&spec.chunks[..], &[vec![1]]].concat(), ..spec };
        let mut frames: Vec<Vec<u8>> = super_segment(&spec, &mut pool)
            .cut(&mut pool).take(2).map(|frame| all_bytes(&frame)).collect();
        let frame = &mut frames[usize::from(which)];
        let i = at.index(frame.len().min(link_len(spec.link) + 80));
        frame[i] ^= mask;
        if repair {
            repair_checksums(frame, spec.link);
        }
        let mut merged = pool_bytes(&frames[0]);
        match merged.merge(pool_bytes(&frames[1])) {
            Ok(()) => {
                let again: Vec<_> = merged.cut(&mut pool).map(|frame| all_bytes(&frame)).collect();
                prop_assert_eq!(again, frames);
            }
            Err(next) => {
                prop_assert_eq!(all_bytes(&merged), &frames[0][..]);
                prop_assert_eq!(all_bytes(&next), &frames[1][..]);
            }
        }
    }

    #[test]
    fn merging_and_cutting_arbitrary_bytes_never_panics(
        a in prop::collection::vec(any::<u8>(), 0..300),
        b in prop::collection::vec(any::<u8>(), 0..300),
        ether in any::<bool>(),
        segment in any::<u16>(), l3 in any::<u8>(), l4 in any::<u8>(),
    ) {
        let mut pool = Pool::new(1);
        let (mut a, mut b) = (a, b);
        if ether {
            for bytes in [&mut a, &mut b] {
                if let Some(front) = bytes.get_mut(12..15) {
                    front.copy_from_slice(&[8, 0, 0x45]);
                }
            }
        }
        let mut packet = pool_bytes(&a);
        let _ = packet.merge(pool_bytes(&b));
        packet.set_cut(Some(Cut { segment, l3, l4 }));
        let (bytes, frames) = (raw_bytes(&packet), packet.frames());
        let cut: Vec<_> = packet.cut(&mut pool).collect();
        prop_assert_eq!(cut.len() as u32, frames);
        if let [only] = &cut[..] {
            prop_assert_eq!(raw_bytes(only), bytes);
        }
    }
}

fn pool_bytes(bytes: &[u8]) -> PacketBuf {
    Pool::new(2).from_bytes(Bytes::copy_from_slice(bytes))
}

/// Writes both checksums anew, so that a changed header is judged by its fields alone.
fn repair_checksums(frame: &mut [u8], link: Link) {
    let packet = &mut frame[link_len(link)..];
    let ihl = usize::from(packet[0] & 15) * 4;
    if ihl < 20 || packet.len() < ihl + 20 {
        return;
    }
    packet[10..12].fill(0);
    let sum = !checksum::sum(&packet[..ihl]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let (ip, tcp) = packet.split_at_mut(ihl);
    let addr = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]).into();
    tcp[16..18].fill(0);
    let pseudo = checksum::pseudo_header(addr(12), addr(16), 6, tcp.len() as u32);
    let sum = !checksum::add(pseudo, checksum::sum(tcp));
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
}
