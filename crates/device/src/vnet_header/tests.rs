use super::*;
use heptad_stack::wire::MacAddr;
use heptad_stack::wire::ethernet::EthernetHeader;
use heptad_stack::wire::ipv4::{Ipv4Header, protocol};
use heptad_stack::wire::ipv6::Ipv6Header;

/// Ethernet or not, IPv4, TCP with `options` bytes of options, `payload` bytes; checksum as the kernel leaves it to us.
fn segment(ethernet: bool, options: usize, payload: usize) -> Vec<u8> {
    let tcp_len = 20 + options + payload;
    let mut bytes = Vec::new();
    if ethernet {
        bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    }
    let mut ip = [0; 20];
    ip[0] = 0x45;
    let total = u16::try_from(20 + tcp_len).unwrap();
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    (ip[8], ip[9]) = (64, protocol::TCP);
    ip[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    checksum::fill(&mut ip, 10, 0);
    bytes.extend(ip);
    let mut tcp = vec![0; tcp_len];
    tcp[12] = u8::try_from((20 + options) / 4 * 16).unwrap();
    tcp[13] = 0x10;
    let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let pseudo = checksum::pseudo_header(a, b, protocol::TCP, u32::try_from(tcp_len).unwrap());
    tcp[16..18].copy_from_slice(&pseudo.to_be_bytes());
    for (n, byte) in tcp[20 + options..].iter_mut().enumerate() {
        *byte = n as u8;
    }
    bytes.extend(tcp);
    bytes
}

/// Ethernet, IPv6, options for the destination of so many bytes, TCP with `payload` bytes; checksum as the kernel leaves it
/// to us.
fn segment6(options: usize, payload: usize) -> Vec<u8> {
    let tcp_len = 20 + payload;
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    let (src, dst) = ("fd09::1".parse().unwrap(), "fd09::2".parse().unwrap());
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: 7,
        payload_len: u16::try_from(options + tcp_len).unwrap(),
        next_header: if options == 0 { protocol::TCP } else { 60 },
        hop_limit: 64,
        src,
        dst,
    };
    bytes.resize(HEADER_LEN + 40, 0);
    header.emit(&mut bytes[HEADER_LEN..]);
    if let Some(more) = options.checked_sub(8) {
        let units = u8::try_from(more / 8).unwrap();
        bytes.extend([protocol::TCP, units, 1, u8::try_from(more + 4).unwrap()]);
        bytes.resize(bytes.len() + more + 4, 0);
    }
    let mut tcp = vec![0; tcp_len];
    (tcp[12], tcp[13]) = (0x50, 0x10);
    let len = u32::try_from(tcp_len).unwrap();
    let pseudo = checksum::pseudo_header(src.into(), dst.into(), protocol::TCP, len);
    tcp[16..18].copy_from_slice(&pseudo.to_be_bytes());
    bytes.extend(tcp);
    bytes
}

fn packet(header: VnetHeader, bytes: &[u8], ethernet: bool) -> PacketBuf {
    let frame = Frame::new(bytes.to_vec(), 0);
    header.packet(frame, ethernet, &mut Pool::new(1))
}

/// The same over IPv6, behind so many bytes of options.
fn tcp6(options: usize, size: u16) -> VnetHeader {
    VnetHeader {
        gso_type: GSO_TCPV6,
        ..tcp4(u16::try_from(54 + options).unwrap(), size)
    }
}

/// Checksum to be filled at 16 bytes behind `start`, super-segment of `size`.
fn tcp4(start: u16, size: u16) -> VnetHeader {
    VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        gso_size: size,
        csum_start: start,
        csum_offset: 16,
        hdr_len: 0,
    }
}

#[test]
fn fields_are_in_the_machines_own_order() {
    let header = VnetHeader {
        flags: 1,
        gso_type: 0x81,
        hdr_len: 66,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    };
    let mut bytes = vec![1, 0x81];
    for field in [66u16, 1448, 34, 16] {
        bytes.extend(field.to_ne_bytes());
    }
    assert_eq!(header.emit().as_slice(), bytes);
    assert_eq!(VnetHeader::parse(&header.emit()), header);
}

#[test]
fn what_the_kernel_says_becomes_the_packets_state() {
    let plain = segment(true, 12, 100);
    let large = segment(true, 12, 5000);
    let none = VnetHeader::default();
    let to_fill = |start| VnetHeader {
        gso_type: GSO_NONE,
        gso_size: 0,
        ..tcp4(start, 0)
    };
    let valid = VnetHeader {
        flags: DATA_VALID,
        ..none
    };
    let with = |gso_type| VnetHeader {
        gso_type,
        ..tcp4(34, 1448)
    };
    // Our copy of a packet from outside begins at 64.
    let filled = Sum::ToFill {
        start: 98,
        offset: 114,
    };
    let cut = Some(Cut {
        segment: 1448,
        l3: 78,
        l4: 98,
    });
    for (what, header, bytes, sum, plan) in [
        ("nothing said", none, &plain, Sum::Unverified, None),
        ("was checked", valid, &plain, Sum::Verified, None),
        ("to be filled", to_fill(34), &plain, filled, None),
        ("a super-segment", tcp4(34, 1448), &large, filled, cut),
        ("with ECN", with(GSO_TCPV4 | GSO_ECN), &large, filled, cut),
        ("one frame already", tcp4(34, 5000), &large, filled, None),
        ("frames of no bytes", tcp4(34, 0), &large, filled, None),
        ("of UDP", with(3), &large, filled, None),
        ("of something unknown", with(0x7f), &large, filled, None),
        (
            "beyond the end",
            to_fill(900),
            &plain,
            Sum::Unverified,
            None,
        ),
        (
            "beyond any end",
            to_fill(u16::MAX),
            &plain,
            Sum::Unverified,
            None,
        ),
        (
            "at the very end",
            to_fill(168),
            &plain,
            Sum::Unverified,
            None,
        ),
    ] {
        let packet = packet(header, bytes, true);
        assert_eq!(packet.sum(), sum, "{what}");
        assert_eq!(packet.cut_plan(), plan, "{what}");
        assert_eq!(packet.len(), bytes.len(), "{what}");
    }
}

#[test]
fn a_super_segment_without_a_checksum_to_fill_is_not_believed() {
    let header = VnetHeader {
        flags: 0,
        ..tcp4(34, 1448)
    };
    let packet = packet(header, &segment(true, 0, 5000), true);
    assert_eq!((packet.sum(), packet.cut_plan()), (Sum::Unverified, None));
}

#[test]
fn what_came_from_the_kernel_goes_back_as_it_came() {
    for (ethernet, l4) in [(true, 34), (false, 20)] {
        for options in [0, 12, 40] {
            for (payload, size) in [(100, 0), (5000, 1448), (60_000, 8948)] {
                let bytes = segment(ethernet, options, payload);
                let mut header = tcp4(l4, size);
                if size == 0 {
                    header.gso_type = GSO_NONE;
                } else {
                    header.hdr_len = l4 + 20 + u16::try_from(options).unwrap();
                }
                let packet = packet(header, &bytes, ethernet);
                let what = format!("{ethernet} {options} {payload}");
                assert_eq!(VnetHeader::of(&packet), header, "{what}");
                let mut out = packet.head().to_vec();
                packet
                    .body()
                    .iter()
                    .for_each(|chunk| out.extend_from_slice(chunk.bytes()));
                assert_eq!(out, bytes, "{what}");
            }
        }
    }
}

#[test]
fn a_super_segment_of_the_kernel_is_cut_into_frames_that_check_out() {
    let packet = packet(tcp4(34, 1448), &segment(true, 12, 5000), true);
    let mut pool = Pool::new(2);
    let frames: Vec<_> = packet.cut(&mut pool).collect();
    assert_eq!(frames.len(), 4);
    for mut frame in frames {
        frame.fill();
        frame.pull(HEADER_LEN).unwrap();
        let ip = Ipv4Header::parse(frame.pull(20).unwrap()).unwrap();
        let len = u32::try_from(frame.len()).unwrap();
        let pseudo = checksum::pseudo_header(ip.src.into(), ip.dst.into(), protocol::TCP, len);
        assert_eq!(checksum::add(pseudo, frame.ones_complement()), 0xffff);
    }
}

#[test]
fn a_super_segment_of_ipv6_goes_back_as_it_came_and_is_cut_into_frames_that_check_out() {
    for options in [0, 8, 56] {
        let bytes = segment6(options, 5000);
        let header = VnetHeader {
            hdr_len: u16::try_from(54 + options + 20).unwrap(),
            ..tcp6(options, 1440)
        };
        let packet = packet(header, &bytes, true);
        assert_eq!(VnetHeader::of(&packet), header, "{options}");
        assert_eq!(packet.frames(), 4, "{options}");
        for mut frame in packet.cut(&mut Pool::new(2)) {
            frame.fill();
            frame.pull(HEADER_LEN).unwrap();
            let ip = Ipv6Header::parse(frame.pull(40).unwrap()).unwrap();
            assert_eq!(usize::from(ip.payload_len), frame.len(), "{options}");
            frame.pull(options).unwrap();
            let len = u32::try_from(frame.len()).unwrap();
            let pseudo = checksum::pseudo_header(ip.src.into(), ip.dst.into(), protocol::TCP, len);
            let sum = checksum::add(pseudo, frame.ones_complement());
            assert_eq!(sum, 0xffff, "{options}");
        }
    }
}

#[test]
fn a_super_segment_behind_more_headers_than_a_head_holds_is_filled_and_stays_whole() {
    let packet = packet(tcp6(120, 1440), &segment6(120, 5000), true);
    assert_eq!((packet.sum(), packet.cut_plan()), (Sum::Verified, None));
    assert_eq!((packet.frames(), packet.frame_len()), (1, 54 + 120 + 5020));
}

#[test]
fn a_checksum_behind_more_headers_than_a_head_holds_is_filled_here() {
    let mut bytes = vec![0; 400];
    bytes[300..302].copy_from_slice(&0x1234u16.to_be_bytes());
    let header = VnetHeader {
        flags: NEEDS_CSUM,
        csum_start: 284,
        csum_offset: 16,
        ..VnetHeader::default()
    };
    let packet = packet(header, &bytes, true);
    assert_eq!(packet.sum(), Sum::Verified);
    let mut out = Vec::new();
    packet.write_to(&mut out);
    assert_eq!(out[300..302], (!0x1234u16).to_be_bytes());
}

#[test]
fn a_filled_packet_of_ours_says_nothing() {
    let mut frame = Pool::new(0).packet();
    let (dst, src) = (MacAddr::BROADCAST, MacAddr::default());
    let ethertype = EtherType::ARP;
    EthernetHeader {
        dst,
        src,
        ethertype,
    }
    .emit(frame.push(HEADER_LEN));
    assert_eq!(VnetHeader::of(&frame), VnetHeader::default());
}

#[test]
fn no_words_of_the_kernel_make_us_panic() {
    // Every pair of a header's bytes takes values at its borders, over frames of many lengths.
    let values = [
        0u16, 1, 13, 14, 33, 34, 54, 70, 100, 126, 127, 128, 129, 1448, 32_768, 65_534, 65_535,
    ];
    let lengths = [0, 1, 14, 15, 34, 54, 66, 74, 94, 110, 200, 3000];
    let frames: Vec<Vec<u8>> = [
        segment(true, 40, 3000),
        segment6(0, 3000),
        segment6(16, 3000),
    ]
    .iter()
    .flat_map(|whole| lengths.map(|len| whole[..len].to_vec()))
    .collect();
    for &start in &values {
        for &offset in &values {
            for &size in &[0, 1, 1448, 65_535] {
                for gso_type in [GSO_NONE, GSO_TCPV4, GSO_TCPV6 | GSO_ECN, 0xff] {
                    let header = VnetHeader {
                        flags: 0xff,
                        gso_type,
                        gso_size: size,
                        csum_start: start,
                        csum_offset: offset,
                        hdr_len: start,
                    };
                    for bytes in &frames {
                        let mut packet = packet(header, bytes, true);
                        let _ = VnetHeader::of(&packet);
                        let _ = (packet.frames(), packet.frame_len());
                        packet.fill();
                        for mut frame in packet.cut(&mut Pool::new(2)) {
                            frame.fill();
                        }
                    }
                }
            }
        }
    }
}
