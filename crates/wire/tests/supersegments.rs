//! Cutting and merging: each undoes the other, byte for byte.
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heptad_wire::ipv4::{self, Ipv4Header};
use heptad_wire::ipv6::{self, Ipv6Header};
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
    v6: bool,
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
    let (src, dst) = ends(spec.v6);
    let mut packet = pool.packet();
    for chunk in &spec.chunks {
        packet.append(Chunk::copy_from(chunk));
    }
    let mut tcp = tcp_header(spec);
    let tcp_len = tcp.len() + packet.len();
    tcp.checksum = checksum::pseudo_header(src, dst, ipv4::protocol::TCP, tcp_len as u32);
    tcp.emit(packet.push(tcp.len()));
    let l4 = packet.head_start();
    push_ip(spec, tcp_len, &mut packet);
    let l3 = packet.head_start();
    push_link(spec, &mut packet);
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

fn ends(v6: bool) -> (IpAddr, IpAddr) {
    let ends = match v6 {
        true => ["fd00:1::10", "fd00:2::20"],
        false => ["10.0.1.10", "10.0.2.20"],
    };
    let [src, dst] = ends.map(|ip| ip.parse().unwrap());
    (src, dst)
}

fn push_ip(spec: &Spec, tcp_len: usize, packet: &mut PacketBuf) {
    match ends(spec.v6) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
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
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let ip = Ipv6Header {
                traffic_class: 2,
                flow_label: 0xabcde,
                payload_len: tcp_len as u16,
                next_header: ipv4::protocol::TCP,
                hop_limit: 64,
                src,
                dst,
            };
            ip.emit(packet.push(ipv6::HEADER_LEN));
        }
        mixed => panic!("{mixed:?}"),
    }
}

fn push_link(spec: &Spec, packet: &mut PacketBuf) {
    let link = spec.link;
    let mut ethertype = match spec.v6 {
        true => EtherType::IPV6,
        false => EtherType::IPV4,
    };
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
        any::<bool>(),
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
            |(v6, link, ip_options, id, seq, flags, timestamps, chunks, segment)| Spec {
                v6,
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
fn parse_frame(frame: &[u8], link: Link) -> (Option<u16>, TcpHeader, Vec<u8>) {
    let packet = &frame[link_len(link)..];
    let (id, src, dst, header_len): (_, IpAddr, IpAddr, _) = if packet[0] >> 4 == 6 {
        let ip = Ipv6Header::parse(packet).unwrap();
        assert_eq!(ipv6::HEADER_LEN + usize::from(ip.payload_len), packet.len());
        (None, ip.src.into(), ip.dst.into(), ipv6::HEADER_LEN)
    } else {
        let ip = Ipv4Header::parse(packet).unwrap();
        assert_eq!(usize::from(ip.total_len), packet.len());
        (Some(ip.id), ip.src.into(), ip.dst.into(), ip.len())
    };
    let segment = &packet[header_len..];
    let pseudo = checksum::pseudo_header(src, dst, ipv4::protocol::TCP, segment.len() as u32);
    assert_eq!(checksum::add(pseudo, checksum::sum(segment)), 0xffff);
    let tcp = TcpHeader::parse(segment).unwrap();
    (id, tcp, segment[tcp.len()..].to_vec())
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
            let (ip_id, tcp, data) = parse_frame(&all_bytes(frame), spec.link);
            let last = i + 1 == cut.len();
            prop_assert_eq!(frame.id(), id);
            prop_assert_eq!(frame.cut_plan(), None);
            let expected = (!spec.v6).then_some(spec.id.wrapping_add(i as u16));
            prop_assert_eq!(ip_id, expected);
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
        (ether, v6) in any::<(bool, bool)>(),
        segment in any::<u16>(), l3 in any::<u8>(), l4 in any::<u8>(),
    ) {
        let mut pool = Pool::new(1);
        let (mut a, mut b) = (a, b);
        if ether {
            for bytes in [&mut a, &mut b] {
                if let Some(front) = bytes.get_mut(12..15) {
                    front.copy_from_slice(match v6 {
                        true => &[0x86, 0xdd, 0x60],
                        false => &[8, 0, 0x45],
                    });
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
    if packet[0] >> 4 == 6 {
        let (ip, tcp) = packet.split_at_mut(ipv6::HEADER_LEN);
        let ip = Ipv6Header::parse(ip).unwrap();
        let pseudo = checksum::pseudo_header(ip.src.into(), ip.dst.into(), 6, tcp.len() as u32);
        checksum::fill(tcp, 16, pseudo);
        return;
    }
    let ihl = usize::from(packet[0] & 15) * 4;
    if ihl < 20 || packet.len() < ihl + 20 {
        return;
    }
    packet[10..12].fill(0);
    let sum = !checksum::sum(&packet[..ihl]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let (ip, tcp) = packet.split_at_mut(ihl);
    let addr = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]).into();
    let pseudo = checksum::pseudo_header(addr(12), addr(16), 6, tcp.len() as u32);
    checksum::fill(tcp, 16, pseudo);
}

/// A super-segment over IPv6 with these extension headers; a `routed` one ends elsewhere than its header says.
fn extended(extensions: &[u8], routed: bool, pool: &mut Pool) -> (PacketBuf, Ipv6Addr) {
    let [src, dst, end]: [Ipv6Addr; 3] =
        ["fd00:1::10", "fd00:2::20", "fd00:3::30"].map(|ip| ip.parse().unwrap());
    let end = if routed { end } else { dst };
    let (spec, _) = two_frames();
    let mut packet = pool.packet();
    packet.append(Chunk::copy_from(&[7; 250]));
    let mut tcp = tcp_header(&spec);
    let tcp_len = (tcp.len() + packet.len()) as u32;
    tcp.checksum = checksum::pseudo_header(src.into(), end.into(), ipv4::protocol::TCP, tcp_len);
    tcp.emit(packet.push(tcp.len()));
    let l4 = packet.head_start();
    packet.push(extensions.len()).copy_from_slice(extensions);
    let ip = Ipv6Header {
        traffic_class: 0,
        flow_label: 1,
        payload_len: packet.len() as u16,
        next_header: if routed { 43 } else { 0 },
        hop_limit: 64,
        src,
        dst,
    };
    ip.emit(packet.push(ipv6::HEADER_LEN));
    let l3 = packet.head_start();
    packet.set_sum(Sum::ToFill {
        start: l4,
        offset: l4 + tcp::CHECKSUM_AT as u8,
    });
    let segment = 100;
    packet.set_cut(Some(Cut { segment, l3, l4 }));
    (packet, end)
}

#[test]
fn extension_headers_that_say_the_same_in_each_frame_are_repeated() {
    let options = [60, 0, 1, 4, 0, 0, 0, 0];
    let last = [6, 0, 1, 4, 0, 0, 0, 0];
    let routing: [&[u8]; 3] = [&[60, 2, 4, 1, 0, 0, 0, 0], &[0xfd; 16], &last];
    for (extensions, routed) in [
        ([&options[..], &last].concat(), false),
        (routing.concat(), true),
    ] {
        let mut pool = Pool::new(1);
        let (packet, end) = extended(&extensions, routed, &mut pool);
        assert_eq!(packet.frames(), 3);
        let headers = ipv6::HEADER_LEN + extensions.len();
        assert_eq!(packet.frame_len(), headers + 32 + 100);
        for frame in packet.cut(&mut pool) {
            let bytes = all_bytes(&frame);
            let ip = Ipv6Header::parse(&bytes).unwrap();
            assert_eq!(usize::from(ip.payload_len), bytes.len() - ipv6::HEADER_LEN);
            assert_eq!(bytes[ipv6::HEADER_LEN..headers], extensions);
            let segment = &bytes[headers..];
            let (src, end) = (ip.src.into(), end.into());
            let pseudo = checksum::pseudo_header(src, end, 6, segment.len() as u32);
            let sum = checksum::add(pseudo, checksum::sum(segment));
            assert_eq!(sum, 0xffff, "routed: {routed}");
        }
    }
}

#[test]
fn what_no_frame_can_repeat_stays_whole() {
    for extensions in [
        [44, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 1], // a fragment's
        [51, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 1], // an authentication's
        [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0], // of UDP
        [60, 0, 1, 4, 0, 0, 0, 0, 6, 1, 1, 4, 0, 0, 0, 0], // longer than what is there
        [6, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0],  // TCP begins before
    ] {
        let mut pool = Pool::new(1);
        let (packet, _) = extended(&extensions, false, &mut pool);
        let bytes = raw_bytes(&packet);
        assert_eq!(packet.frames(), 1);
        let whole: Vec<_> = packet.cut(&mut pool).collect();
        assert_eq!(whole.len(), 1);
        assert_eq!(raw_bytes(&whole[0]), bytes);
    }
}

/// Two frames of 100 bytes as one super-segment, from outside, both checksums right.
fn two_frames() -> (Spec, [Vec<u8>; 2]) {
    let spec = Spec {
        v6: false,
        link: Link::Ethernet,
        ip_options: 0,
        id: 0xffff,
        seq: u32::MAX - 50,
        flags: Flags::ACK,
        timestamps: true,
        chunks: vec![vec![1; 100], vec![2; 100]],
        segment: 100,
    };
    let mut pool = Pool::new(1);
    let packet = super_segment(&spec, &mut pool);
    let frames: Vec<_> = packet
        .cut(&mut pool)
        .map(|frame| all_bytes(&frame))
        .collect();
    (spec, frames.try_into().unwrap())
}

/// Bytes of the test frames: where the headers begin.
const IP: usize = 14;
const TCP: usize = 34;

#[test]
fn frames_that_cutting_could_not_restore_are_not_merged() {
    type Change = fn(&mut [Vec<u8>; 2]);
    let rows: [(&str, Change); 24] = [
        ("the first one carries PSH", |f| f[0][TCP + 13] |= 8),
        ("the first one carries FIN", |f| f[0][TCP + 13] |= 1),
        ("both carry PSH", |f| {
            f.iter_mut().for_each(|f| f[TCP + 13] |= 8)
        }),
        ("both carry FIN", |f| {
            f.iter_mut().for_each(|f| f[TCP + 13] |= 1)
        }),
        ("the first one carries SYN", |f| f[0][TCP + 13] |= 2),
        ("both carry URG", |f| {
            f.iter_mut().for_each(|f| f[TCP + 13] |= 0x20)
        }),
        ("both carry RST", |f| {
            f.iter_mut().for_each(|f| f[TCP + 13] |= 4)
        }),
        ("the second one carries CWR", |f| f[1][TCP + 13] |= 0x80),
        ("the second one acknowledges more", |f| f[1][TCP + 11] += 1),
        ("the second one has another window", |f| f[1][TCP + 15] += 1),
        ("the second one has another port", |f| f[1][TCP + 1] += 1),
        ("the second one leaves a gap", |f| f[1][TCP + 7] += 1),
        ("the second one has another timestamp", |f| {
            f[1][TCP + 27] += 1
        }),
        ("the identification does not advance", |f| {
            f[1][IP + 5] = 0xff
        }),
        ("the second one has another TTL", |f| f[1][IP + 8] -= 1),
        ("the second one has another ECN", |f| f[1][IP + 1] ^= 1),
        ("the second one may be fragmented", |f| f[1][IP + 6] = 0),
        ("both are fragments", |f| {
            f.iter_mut().for_each(|f| f[IP + 6] |= 0x20)
        }),
        ("another host sent the second one", |f| f[1][IP + 15] += 1),
        ("another station sent the second one", |f| f[1][11] += 1),
        ("the second one is longer", |f| f[1].push(3)),
        ("the second one has no data", |f| f[1].truncate(TCP + 32)),
        ("the first one has no data", |f| f[0].truncate(TCP + 32)),
        ("both are UDP", |f| {
            f.iter_mut().for_each(|f| f[IP + 9] = 17)
        }),
    ];
    for (why, change) in rows {
        let (spec, mut frames) = two_frames();
        change(&mut frames);
        for frame in &mut frames {
            let len = (frame.len() - IP) as u16;
            frame[IP + 2..IP + 4].copy_from_slice(&len.to_be_bytes());
            repair_checksums(frame, spec.link);
        }
        let mut first = pool_bytes(&frames[0]);
        let back = first.merge(pool_bytes(&frames[1])).expect_err(why);
        assert_eq!(all_bytes(&first), frames[0], "{why}");
        assert_eq!(all_bytes(&back), frames[1], "{why}");
    }
}

#[test]
fn frames_whose_bytes_are_not_what_we_would_write_are_not_merged() {
    type Change = fn(&mut [u8]);
    let rows: [(&str, Change); 3] = [
        ("a damaged payload", |f| f[TCP + 40] ^= 1),
        ("a damaged TCP checksum", |f| f[TCP + 17] ^= 1),
        ("a damaged IPv4 checksum", |f| f[IP + 11] ^= 1),
    ];
    for (why, change) in rows {
        for which in 0..2 {
            let (_, mut frames) = two_frames();
            change(&mut frames[which]);
            let [first, second] = frames.map(|frame| pool_bytes(&frame));
            let mut first = first;
            assert!(first.merge(second).is_err(), "{why} in {which}");
        }
    }
}

#[test]
fn frames_with_padding_are_not_merged() {
    for which in 0..2 {
        let (_, mut frames) = two_frames();
        // Zero bytes behind the packet change no checksum.
        frames[which].extend([0, 0]);
        let [first, second] = frames.map(|frame| pool_bytes(&frame));
        let mut first = first;
        assert!(first.merge(second).is_err(), "{which}");
    }
}

#[test]
fn a_checksum_of_all_ones_where_we_would_write_zero_is_not_merged() {
    for (field, word) in [(IP + 10, IP + 4), (TCP + 16, TCP + 40)] {
        let (spec, mut frames) = two_frames();
        // The word takes the value that the field had without it: the field becomes zero.
        frames[0][word..word + 2].fill(0);
        repair_checksums(&mut frames[0], spec.link);
        frames[0].copy_within(field..field + 2, word);
        repair_checksums(&mut frames[0], spec.link);
        assert_eq!(frames[0][field..field + 2], [0, 0]);
        let id = u16::from_be_bytes([frames[0][IP + 4], frames[0][IP + 5]]);
        frames[1][IP + 4..IP + 6].copy_from_slice(&id.wrapping_add(1).to_be_bytes());
        repair_checksums(&mut frames[1], spec.link);

        let second = || pool_bytes(&frames[1]);
        assert!(pool_bytes(&frames[0]).merge(second()).is_ok(), "{field}");
        let mut other_zero = frames[0].clone();
        other_zero[field..field + 2].fill(0xff);
        parse_frame(&other_zero, spec.link);
        assert!(pool_bytes(&other_zero).merge(second()).is_err(), "{field}");
    }
}

#[test]
fn nothing_is_merged_behind_a_short_frame() {
    let (mut spec, _) = two_frames();
    spec.chunks = vec![vec![5; 250]];
    let mut pool = Pool::new(1);
    let mut frames = super_segment(&spec, &mut pool).cut(&mut pool);
    let mut merged = frames.next().unwrap();
    assert!(frames.all(|frame| merged.merge(frame).is_ok()));
    spec.chunks = vec![vec![6; 50]];
    spec.seq = spec.seq.wrapping_add(250);
    // Neither with the identification that follows nor with that of the short frame again.
    for id in [3, 2] {
        spec.id = 0xffff_u16.wrapping_add(id);
        let mut next = super_segment(&spec, &mut pool).cut(&mut pool);
        assert!(merged.merge(next.next().unwrap()).is_err(), "{id}");
    }
}

#[test]
fn a_merged_packet_never_outgrows_the_length_field() {
    let (mut spec, _) = two_frames();
    spec.chunks = vec![vec![5; 1000]; 64];
    spec.segment = 1000;
    let mut pool = Pool::new(1);
    let mut frames = super_segment(&spec, &mut pool).cut(&mut pool);
    let mut merged = frames.next().unwrap();
    assert!(frames.all(|frame| merged.merge(frame).is_ok()));
    assert_eq!(merged.len(), 14 + 20 + 32 + 64_000);
    for (len, fits) in [(1000, true), (1000, false), (483, true)] {
        spec.chunks = vec![vec![5; len]];
        spec.seq = (u32::MAX - 50).wrapping_add((merged.len() - 66) as u32);
        spec.id = 0xffff_u16.wrapping_add(merged.frames() as u16);
        let next = super_segment(&spec, &mut pool)
            .cut(&mut pool)
            .next()
            .unwrap();
        assert_eq!(merged.merge(next).is_ok(), fits, "{len}");
    }
    assert_eq!(merged.len(), 14 + 65_535);
}

#[test]
fn the_urgent_pointer_counts_from_each_frame() {
    let (mut spec, _) = two_frames();
    spec.chunks = vec![vec![5; 300]];
    spec.flags = Flags::ACK | Flags::URG;
    let mut pool = Pool::new(1);
    let mut packet = super_segment(&spec, &mut pool);
    packet.peek_mut(TCP + 20).unwrap()[TCP + 18..].copy_from_slice(&150u16.to_be_bytes());
    let seen: Vec<_> = packet
        .cut(&mut pool)
        .map(|frame| parse_frame(&all_bytes(&frame), spec.link).1)
        .map(|tcp| (tcp.flags.contains(Flags::URG), tcp.urgent))
        .collect();
    assert_eq!(seen, [(true, 150), (true, 50), (false, 0)]);
}

#[test]
fn cut_frames_share_the_payload() {
    let (spec, _) = two_frames();
    let mut pool = Pool::new(1);
    let packet = super_segment(
        &Spec {
            chunks: vec![vec![5; 300]],
            ..spec
        },
        &mut pool,
    );
    let at = packet.body()[0].bytes().as_ptr() as usize;
    for (i, frame) in packet.cut(&mut pool).enumerate() {
        let [chunk] = frame.body() else {
            panic!("one slice a frame")
        };
        assert_eq!(chunk.bytes().as_ptr() as usize, at + 100 * i);
    }
}

#[test]
fn a_super_segment_can_be_counted_after_its_headers_were_pulled() {
    let (spec, _) = two_frames();
    let mut pool = Pool::new(1);
    let mut packet = super_segment(&spec, &mut pool);
    assert_eq!(
        (packet.frames(), packet.frame_len()),
        (2, 14 + 20 + 32 + 100)
    );
    packet.pull(14).unwrap();
    packet.pull(20).unwrap();
    assert_eq!((packet.frames(), packet.frame_len()), (2, 32 + 100));
    packet.pull(32).unwrap();
    assert_eq!((packet.frames(), packet.frame_len()), (2, 100));
    packet.peek(140).unwrap();
    assert_eq!((packet.frames(), packet.frame_len()), (2, 100));
}

#[test]
fn a_super_segment_without_its_headers_in_front_is_not_cut() {
    let (spec, _) = two_frames();
    for pulled in [15, 14 + 20, 14 + 20 + 32, 14 + 20 + 32 + 10] {
        let mut pool = Pool::new(1);
        let mut packet = super_segment(&spec, &mut pool);
        packet.pull(pulled).unwrap();
        let before = raw_bytes(&packet);
        let cut: Vec<_> = packet.cut(&mut pool).collect();
        let [only] = &cut[..] else {
            panic!("{} frames", cut.len())
        };
        assert_eq!((raw_bytes(only), only.frames()), (before, 1));
    }
    // The link header is no part of it.
    let mut pool = Pool::new(1);
    let mut packet = super_segment(&spec, &mut pool);
    packet.pull(14).unwrap();
    assert_eq!(packet.cut(&mut pool).len(), 2);
}
