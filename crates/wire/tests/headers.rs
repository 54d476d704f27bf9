//! Every header: what was emitted is parsed back, what was parsed is emitted back, and no bytes make a parser panic.
use core::net::Ipv4Addr;
use heptad_wire::arp::{self, ArpPacket, Operation};
use heptad_wire::icmpv4::{self, Icmpv4};
use heptad_wire::ipv4::{self, Ipv4Header};
use heptad_wire::tcp::{self, EcnCounters, Flags, SackBlocks, TcpHeader, TcpOption, TcpOptions};
use heptad_wire::udp::{self, UdpHeader};
use heptad_wire::udp_lite::{self, UdpLiteHeader};
use heptad_wire::{EthernetHeader, MacAddr, ParseError, VlanTag, checksum, ethernet};
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=80)
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn ipv4_addr() -> impl Strategy<Value = Ipv4Addr> {
    any::<[u8; 4]>().prop_map(Ipv4Addr::from)
}

prop_compose! {
    fn ipv4_header()(
        (tos, id, ttl, protocol) in any::<(u8, u16, u8, u8)>(),
        (reserved, dont_fragment, more_fragments) in any::<(bool, bool, bool)>(),
        offset in 0u16..0x2000,
        payload in 0u16..60000,
        (src, dst) in (ipv4_addr(), ipv4_addr()),
        options in vec(any::<u8>(), 0..=40),
    ) -> Ipv4Header {
        let options = ipv4::Options::new(&options).unwrap();
        Ipv4Header {
            tos, id, reserved, dont_fragment, more_fragments, ttl, protocol, src, dst, options,
            total_len: payload + 20 + options.as_bytes().len() as u16,
            fragment_offset: offset * 8,
        }
    }
}

/// An option that owns its data.
#[derive(Clone, Debug)]
enum Owned {
    Plain(TcpOption<'static>),
    FastOpen(Vec<u8>),
    Unknown(u8, Vec<u8>),
}
impl Owned {
    fn borrow(&self) -> TcpOption<'_> {
        match self {
            Self::Plain(option) => *option,
            Self::FastOpen(cookie) => TcpOption::FastOpen(cookie),
            Self::Unknown(kind, data) => TcpOption::Unknown { kind: *kind, data },
        }
    }
}

fn tcp_option() -> impl Strategy<Value = Owned> {
    let sack = vec(any::<(u32, u32)>(), 1..=4).prop_map(|list| {
        let mut blocks = SackBlocks::default();
        list.iter()
            .for_each(|(left, right)| assert!(blocks.push(*left, *right)));
        TcpOption::Sack(blocks)
    });
    let plain = prop_oneof![
        Just(TcpOption::Nop),
        any::<u16>().prop_map(TcpOption::Mss),
        any::<u8>().prop_map(TcpOption::WindowScale),
        Just(TcpOption::SackPermitted),
        sack,
        any::<(u32, u32)>().prop_map(|(value, echo)| TcpOption::Timestamps { value, echo }),
        (any::<bool>(), vec(any::<u32>(), 0..=3)).prop_map(|(ect1_first, fields)| {
            TcpOption::AccEcn(EcnCounters::new(ect1_first, &fields))
        }),
    ];
    let unassigned = (40u8..=252).prop_filter("those of AccECN", |kind| ![172, 174].contains(kind));
    prop_oneof![
        plain.prop_map(Owned::Plain),
        (0usize..=8)
            .prop_filter("no cookie of 2 bytes", |half| *half != 1)
            .prop_flat_map(|half| vec(any::<u8>(), half * 2))
            .prop_map(Owned::FastOpen),
        (unassigned, vec(any::<u8>(), 0..=20)).prop_map(|(kind, data)| Owned::Unknown(kind, data)),
    ]
}

prop_compose! {
    fn tcp_header()(
        (src_port, dst_port, seq, ack) in any::<(u16, u16, u32, u32)>(),
        (window, checksum, urgent) in any::<(u16, u16, u16)>(),
        reserved in 0u8..8,
        flags in (0u16..0x200).prop_map(Flags),
        list in vec(tcp_option(), 0..6),
    ) -> TcpHeader {
        let mut options = TcpOptions::NONE;
        list.iter().for_each(|option| { options.push(option.borrow()); });
        options.pad();
        TcpHeader { src_port, dst_port, seq, ack, reserved, flags, window, checksum, urgent, options }
    }
}

fn icmp() -> impl Strategy<Value = Icmpv4> {
    let kind = prop_oneof![Just(0u8), Just(3), Just(8), Just(11), Just(12), any::<u8>()];
    let rest = prop_oneof![
        Just([0; 4]),
        any::<[u8; 2]>().prop_map(|[a, b]| [0, 0, a, b]),
        any::<u8>().prop_map(|a| [a, 0, 0, 0]),
        any::<[u8; 4]>(),
    ];
    (kind, 0u8..16, rest).prop_map(|(kind, code, rest)| {
        let [a, b, c, d] = rest;
        Icmpv4::parse(&[kind, code, 0, 0, a, b, c, d]).unwrap()
    })
}

proptest! {
    #[test]
    fn ethernet_emits_what_it_parsed(input in bytes()) {
        match EthernetHeader::parse(&input) {
            Ok(header) => {
                let mut out = [0; ethernet::HEADER_LEN];
                header.emit(&mut out);
                prop_assert_eq!(&out[..], &input[..ethernet::HEADER_LEN]);
            }
            Err(error) => {
                prop_assert_eq!(error, ParseError::Truncated);
                prop_assert!(input.len() < ethernet::HEADER_LEN);
            }
        }
    }

    #[test]
    fn a_tag_emits_what_it_parsed(input in bytes()) {
        match VlanTag::parse(&input) {
            Ok(tag) => {
                let mut out = [0; ethernet::TAG_LEN];
                tag.emit(&mut out);
                prop_assert_eq!(&out[..], &input[..ethernet::TAG_LEN]);
            }
            Err(_) => prop_assert!(input.len() < ethernet::TAG_LEN),
        }
    }

    #[test]
    fn arp_parses_what_it_emitted(
        operation in any::<u16>().prop_map(Operation::from),
        (sender_mac, target_mac) in (mac(), mac()),
        (sender_ip, target_ip) in (ipv4_addr(), ipv4_addr()),
    ) {
        let packet = ArpPacket { operation, sender_mac, sender_ip, target_mac, target_ip };
        let mut out = [0; arp::LEN];
        packet.emit(&mut out);
        prop_assert_eq!(ArpPacket::parse(&out), Ok(packet));
    }

    #[test]
    fn arp_emits_what_it_parsed(mut input in bytes(), ethernet in any::<bool>()) {
        if ethernet && input.len() >= 6 {
            input[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        }
        match ArpPacket::parse(&input) {
            Ok(packet) => {
                let mut out = [0; arp::LEN];
                packet.emit(&mut out);
                prop_assert_eq!(&out[..], &input[..arp::LEN]);
            }
            Err(error) => prop_assert_eq!(error == ParseError::Truncated, input.len() < arp::LEN),
        }
    }

    #[test]
    fn ipv4_parses_what_it_emitted(header in ipv4_header()) {
        let mut out = [0xaa; ipv4::MAX_HEADER_LEN];
        header.emit(&mut out);
        prop_assert_eq!(Ipv4Header::parse(&out), Ok(header));
        prop_assert_eq!(Ipv4Header::len_of(out[0]), Ok(header.len()));
        prop_assert_eq!(checksum::sum(&out[..header.len()]), 0xffff);
    }

    #[test]
    fn ipv4_emits_what_it_parsed(mut input in bytes(), repair in any::<bool>()) {
        if repair && input.len() >= 20 {
            input[0] = 0x40 | (5 + input[0] % 11);
            input[2] |= 1;
            input[10..12].fill(0);
            let len = usize::from(input[0] & 15) * 4;
            let sum = !checksum::sum(&input[..len.min(input.len())]);
            input[10..12].copy_from_slice(&sum.to_be_bytes());
            prop_assert_eq!(Ipv4Header::parse(&input).is_ok(), len <= input.len());
        }
        if let Ok(header) = Ipv4Header::parse(&input) {
            let mut out = [0; ipv4::MAX_HEADER_LEN];
            header.emit(&mut out);
            prop_assert_eq!(&out[..header.len()], &input[..header.len()]);
            let _ = header.options.copied();
        }
    }

    #[test]
    fn one_changed_bit_of_an_ipv4_header_never_passes(header in ipv4_header(), bit in any::<prop::sample::Index>()) {
        let mut out = [0; ipv4::MAX_HEADER_LEN];
        header.emit(&mut out);
        let bit = bit.index(header.len() * 8);
        out[bit / 8] ^= 0x80 >> (bit % 8);
        prop_assert!(Ipv4Header::parse(&out[..header.len()]).is_err());
    }

    #[test]
    fn decrementing_the_ttl_is_emitting_it_one_lower(header in ipv4_header()) {
        let mut out = [0; ipv4::MAX_HEADER_LEN];
        header.emit(&mut out);
        let before = out;
        let ttl = Ipv4Header::decrement_ttl(&mut out);
        if header.ttl < 2 {
            prop_assert_eq!(ttl, None);
            prop_assert_eq!(out, before);
        } else {
            let mut lower = [0; ipv4::MAX_HEADER_LEN];
            Ipv4Header { ttl: header.ttl - 1, ..header }.emit(&mut lower);
            prop_assert_eq!(ttl, Some(header.ttl - 1));
            prop_assert_eq!(out, lower);
        }
    }

    #[test]
    fn icmp_parses_what_it_emitted(message in icmp(), field in any::<u16>()) {
        let mut out = [0; icmpv4::HEADER_LEN];
        message.emit(field, &mut out);
        prop_assert_eq!(Icmpv4::parse(&out), Ok(message));
        prop_assert_eq!((out[0], out[1]), message.kind());
        prop_assert_eq!([out[2], out[3]], field.to_be_bytes());
    }

    #[test]
    fn icmp_emits_what_it_parsed(mut input in bytes(), kind in 0u8..14, quiet in any::<bool>()) {
        if let [first, code, _, _, rest @ ..] = &mut input[..] {
            *first = kind;
            *code %= 16;
            if quiet {
                rest.fill(0);
            }
        }
        match Icmpv4::parse(&input) {
            Ok(message) => {
                let mut out = [0; icmpv4::HEADER_LEN];
                message.emit(u16::from_be_bytes([input[2], input[3]]), &mut out);
                prop_assert_eq!(&out[..], &input[..icmpv4::HEADER_LEN]);
            }
            Err(_) => prop_assert!(input.len() < icmpv4::HEADER_LEN),
        }
    }

    #[test]
    fn udp_emits_what_it_parsed(input in bytes()) {
        match UdpHeader::parse(&input) {
            Ok(header) => {
                let mut out = [0; udp::HEADER_LEN];
                header.emit(&mut out);
                prop_assert_eq!(&out[..], &input[..udp::HEADER_LEN]);
            }
            Err(ParseError::Truncated) => prop_assert!(input.len() < udp::HEADER_LEN),
            Err(error) => {
                prop_assert_eq!(error, ParseError::BadLength);
                prop_assert!(input[4] == 0 && input[5] < 8);
            }
        }
    }

    #[test]
    fn udp_lite_emits_what_it_parsed(input in bytes(), len in 8_usize..70_000) {
        match UdpLiteHeader::parse(&input) {
            Ok(header) => {
                let mut out = [0; udp_lite::HEADER_LEN];
                header.emit(&mut out);
                prop_assert_eq!(&out[..], &input[..udp_lite::HEADER_LEN]);
                match header.covered(len) {
                    Ok(covered) => prop_assert!((8..=len).contains(&covered)),
                    Err(_) => prop_assert!(usize::from(header.coverage) > len),
                }
            }
            Err(ParseError::Truncated) => prop_assert!(input.len() < udp_lite::HEADER_LEN),
            Err(error) => {
                prop_assert_eq!(error, ParseError::BadLength);
                prop_assert!(input[4] == 0 && (1..8).contains(&input[5]));
            }
        }
    }

    #[test]
    fn tcp_parses_what_it_emitted(header in tcp_header()) {
        let mut out = [0xaa; tcp::MAX_HEADER_LEN];
        header.emit(&mut out);
        prop_assert_eq!(TcpHeader::parse(&out), Ok(header));
        prop_assert_eq!(TcpHeader::len_of(out[12]), Ok(header.len()));
    }

    #[test]
    fn tcp_emits_what_it_parsed_whatever_the_options_are(input in bytes()) {
        match TcpHeader::parse(&input) {
            Ok(header) => {
                let mut out = [0; tcp::MAX_HEADER_LEN];
                header.emit(&mut out);
                prop_assert_eq!(&out[..header.len()], &input[..header.len()]);
                prop_assert!(header.options.iter().count() <= 40);
            }
            Err(ParseError::BadLength) => prop_assert!(input[12] >> 4 < 5),
            Err(_) => prop_assert!(input.len() < 20 || input.len() < usize::from(input[12] >> 4) * 4),
        }
    }

    #[test]
    fn tcp_options_come_back_in_their_order(list in vec(tcp_option(), 0..10)) {
        let mut options = TcpOptions::NONE;
        let mut pushed = Vec::new();
        for option in &list {
            let before = options;
            if options.push(option.borrow()) {
                pushed.push(Ok(option.borrow()));
            } else {
                prop_assert_eq!(options, before);
            }
        }
        options.pad();
        prop_assert_eq!(options.as_bytes().len() % 4, 0);
        prop_assert_eq!(options.iter().collect::<Vec<_>>(), pushed);
    }

    #[test]
    fn walking_any_option_bytes_ends_and_an_error_is_the_last(raw in vec(any::<u8>(), 0..=40)) {
        let options = TcpOptions::from_bytes(&raw).unwrap();
        let walked: Vec<_> = options.iter().collect();
        let good = walked.iter().take_while(|option| option.is_ok()).count();
        prop_assert!(good + 1 >= walked.len());
        // What was walked writes itself again, but for end-of-options and what follows.
        let mut again = TcpOptions::NONE;
        for option in walked.into_iter().flatten() {
            let before = again.as_bytes().len();
            match option {
                // A known kind with a length that it can't have.
                TcpOption::Unknown { data, .. } => prop_assert!(again.push(option), "{} {:?}", before, data),
                _ => prop_assert!(again.push(option)),
            }
        }
        prop_assert_eq!(again.as_bytes(), &raw[..again.as_bytes().len()]);
    }

    #[test]
    fn a_sum_is_the_same_in_pieces_and_word_by_word(data in vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let mut slow = 0u32;
        for pair in data.chunks(2) {
            slow += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
        while slow >> 16 != 0 {
            slow = (slow & 0xffff) + (slow >> 16);
        }
        prop_assert_eq!(u32::from(checksum::sum(&data)), slow);
        let at = at.index(data.len() + 1) & !1;
        let pieces = checksum::add(checksum::sum(&data[..at]), checksum::sum(&data[at..]));
        prop_assert_eq!(pieces, checksum::sum(&data));
    }

    #[test]
    fn updating_a_checksum_is_computing_it_anew(mut data in vec(any::<u8>(), 20..60), at in 0usize..10, new in any::<u16>()) {
        data[0] |= 1;
        let field = !checksum::sum(&data);
        let word = &mut data[at * 2..at * 2 + 2];
        let old = u16::from_be_bytes([word[0], word[1]]);
        word.copy_from_slice(&new.to_be_bytes());
        prop_assume!(data.iter().any(|byte| *byte != 0));
        prop_assert_eq!(checksum::update(field, old, new), !checksum::sum(&data));
    }
}
