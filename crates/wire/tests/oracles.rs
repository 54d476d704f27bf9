//! Two other implementations read what we write, and we read what they write.
use core::net::Ipv4Addr;
use etherparse::PacketBuilder;
use heptad_wire::arp::{self, ArpPacket, Operation};
use heptad_wire::icmpv4::{Icmpv4, Unreachable};
use heptad_wire::ipv4::{self, Ipv4Header};
use heptad_wire::tcp::{self, Flags, SackBlocks, TcpHeader, TcpOption, TcpOptions};
use heptad_wire::udp::{self, UdpHeader};
use heptad_wire::{
    Chunk, EtherType, EthernetHeader, MacAddr, PacketBuf, Pool, Sum, VlanTag, checksum, ethernet,
};
use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as smol;

const SRC_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const DST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

#[derive(Clone, Debug)]
struct Ip {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    tos: u8,
    id: u16,
    ttl: u8,
    tag: Option<u16>,
}

prop_compose! {
    fn ip()(
        (src, dst) in any::<([u8; 4], [u8; 4])>(),
        (tos, id, ttl) in any::<(u8, u16, u8)>(),
        tag in prop::option::of(0u16..4096),
    ) -> Ip {
        Ip { src: src.into(), dst: dst.into(), tos, id, ttl, tag }
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..100)
}

impl Ip {
    fn pseudo_header(&self, protocol: u8, len: usize) -> u16 {
        checksum::pseudo_header(self.src.into(), self.dst.into(), protocol, len as u32)
    }
    /// Pushes IPv4 and Ethernet in front of a transport packet whose checksum is still to be filled; all bytes.
    fn finish(&self, mut packet: PacketBuf, protocol: u8, field: u8) -> Vec<u8> {
        let start = packet.head_start();
        packet.set_sum(Sum::ToFill {
            start,
            offset: start + field,
        });
        let header = Ipv4Header {
            tos: self.tos,
            total_len: (ipv4::MIN_HEADER_LEN + packet.len()) as u16,
            id: self.id,
            reserved: false,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: self.ttl,
            protocol,
            src: self.src,
            dst: self.dst,
            options: ipv4::Options::NONE,
        };
        header.emit(packet.push(header.len()));
        let mut ethertype = EtherType::IPV4;
        if let Some(id) = self.tag {
            let tag = VlanTag {
                priority: 5,
                drop_eligible: true,
                id,
                ethertype,
            };
            tag.emit(packet.push(ethernet::TAG_LEN));
            ethertype = EtherType::VLAN;
        }
        let header = EthernetHeader {
            dst: DST_MAC,
            src: SRC_MAC,
            ethertype,
        };
        header.emit(packet.push(ethernet::HEADER_LEN));
        let mut bytes = Vec::new();
        packet.write_to(&mut bytes);
        bytes
    }
    /// What etherparse must find in front of the transport header.
    fn check(
        &self,
        headers: &etherparse::PacketHeaders<'_>,
        protocol: u8,
    ) -> etherparse::Ipv4Header {
        let link = headers.link.clone().unwrap().ethernet2().unwrap();
        assert_eq!((link.source, link.destination), (SRC_MAC.0, DST_MAC.0));
        let tag = headers.vlan().map(|vlan| match vlan {
            etherparse::VlanHeader::Single(tag) => {
                assert_eq!((tag.pcp.value(), tag.drop_eligible_indicator), (5, true));
                tag.vlan_id.value()
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(tag, self.tag);
        let Some(etherparse::NetHeaders::Ipv4(ip, _)) = headers.net.clone() else {
            panic!("no IPv4");
        };
        assert_eq!(ip.source, self.src.octets());
        assert_eq!(ip.destination, self.dst.octets());
        assert_eq!((ip.dscp.value() << 2) | ip.ecn as u8, self.tos);
        assert_eq!((ip.identification, ip.time_to_live), (self.id, self.ttl));
        assert_eq!((ip.dont_fragment, ip.more_fragments), (true, false));
        assert_eq!(ip.protocol.0, protocol);
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        ip
    }
    fn smol_packet<'a>(&self, frame: &'a [u8]) -> smol::Ipv4Packet<&'a [u8]> {
        let at = if self.tag.is_some() { 18 } else { 14 };
        let packet = smol::Ipv4Packet::new_checked(&frame[at..]).unwrap();
        assert!(packet.verify_checksum());
        assert_eq!((packet.src_addr(), packet.dst_addr()), (self.src, self.dst));
        assert_eq!((packet.ident(), packet.hop_limit()), (self.id, self.ttl));
        packet
    }
}

fn tcp_header(
    ip: &Ip,
    payload: &[u8],
    ports: (u16, u16),
    numbers: (u32, u32),
    flags: Flags,
) -> TcpHeader {
    let mut options = TcpOptions::NONE;
    let mut blocks = SackBlocks::default();
    assert!(blocks.push(numbers.1, numbers.0));
    let list = [
        TcpOption::Mss(1460),
        TcpOption::SackPermitted,
        TcpOption::Timestamps {
            value: numbers.0,
            echo: numbers.1,
        },
        TcpOption::Nop,
        TcpOption::WindowScale(7),
        TcpOption::Sack(blocks),
    ];
    assert!(list.into_iter().all(|option| options.push(option)));
    options.pad();
    let mut header = TcpHeader {
        src_port: ports.0,
        dst_port: ports.1,
        seq: numbers.0,
        ack: numbers.1,
        reserved: 0,
        flags,
        window: 0xfaf0,
        checksum: 0,
        urgent: 0,
        options,
    };
    header.checksum = ip.pseudo_header(ipv4::protocol::TCP, header.len() + payload.len());
    header
}

/// A transport packet in two chunks of payload.
fn transport(pool: &mut Pool, payload: &[u8]) -> PacketBuf {
    let (a, b) = payload.split_at(payload.len() / 3);
    let mut packet = pool.packet();
    packet.append(Chunk::copy_from(a));
    packet.append(Chunk::copy_from(b));
    packet
}

proptest! {
    #[test]
    fn both_read_our_tcp(
        ip in ip(), payload in payload(),
        ports in (1u16.., 1u16..), numbers in any::<(u32, u32)>(),
        flags in (0u16..0x200).prop_map(Flags),
    ) {
        let header = tcp_header(&ip, &payload, ports, numbers, flags);
        let mut packet = transport(&mut Pool::new(0), &payload);
        header.emit(packet.push(header.len()));
        let frame = ip.finish(packet, ipv4::protocol::TCP, tcp::CHECKSUM_AT as u8);

        let headers = etherparse::PacketHeaders::from_ethernet_slice(&frame).unwrap();
        let theirs = ip.check(&headers, ipv4::protocol::TCP);
        let tcp = headers.transport.unwrap().tcp().unwrap();
        prop_assert_eq!((tcp.source_port, tcp.destination_port), ports);
        prop_assert_eq!((tcp.sequence_number, tcp.acknowledgment_number), numbers);
        prop_assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&theirs, &payload).unwrap());
        let bits = [tcp.fin, tcp.syn, tcp.rst, tcp.psh, tcp.ack, tcp.urg, tcp.ece, tcp.cwr, tcp.ns];
        let bits = bits.iter().enumerate().fold(0, |all, (i, bit)| all | u16::from(*bit) << i);
        prop_assert_eq!(bits, flags.0);
        prop_assert_eq!(tcp.options.as_slice(), header.options.as_bytes());
        prop_assert_eq!(headers.payload.slice(), &payload[..]);

        let packet = ip.smol_packet(&frame);
        let segment = smol::TcpPacket::new_checked(packet.payload()).unwrap();
        prop_assert!(segment.verify_checksum(&ip.src.into(), &ip.dst.into()));
        prop_assert_eq!(segment.seq_number().0 as u32, numbers.0);
        prop_assert_eq!(segment.window_len(), 0xfaf0);
        prop_assert_eq!(segment.payload(), &payload[..]);
        prop_assert_eq!(segment.selective_ack_permitted().unwrap(), true);
        prop_assert_eq!(segment.selective_ack_ranges().unwrap()[0], Some((numbers.1, numbers.0)));
    }

    #[test]
    fn both_read_our_udp(ip in ip(), payload in payload(), ports in (1u16.., 1u16..)) {
        let len = (udp::HEADER_LEN + payload.len()) as u16;
        let checksum = ip.pseudo_header(ipv4::protocol::UDP, usize::from(len));
        let header = UdpHeader { src_port: ports.0, dst_port: ports.1, len, checksum };
        let mut packet = transport(&mut Pool::new(0), &payload);
        header.emit(packet.push(udp::HEADER_LEN));
        let frame = ip.finish(packet, ipv4::protocol::UDP, 6);

        let headers = etherparse::PacketHeaders::from_ethernet_slice(&frame).unwrap();
        let theirs = ip.check(&headers, ipv4::protocol::UDP);
        let udp = headers.transport.unwrap().udp().unwrap();
        prop_assert_eq!((udp.source_port, udp.destination_port, udp.length), (ports.0, ports.1, len));
        prop_assert_eq!(udp.checksum, udp.calc_checksum_ipv4(&theirs, &payload).unwrap());
        let packet = ip.smol_packet(&frame);
        let datagram = smol::UdpPacket::new_checked(packet.payload()).unwrap();
        prop_assert!(datagram.verify_checksum(&ip.src.into(), &ip.dst.into()));
        prop_assert_eq!(datagram.payload(), &payload[..]);
    }

    #[test]
    fn both_read_our_echo(ip in ip(), payload in payload(), (id, seq) in any::<(u16, u16)>()) {
        let mut packet = transport(&mut Pool::new(0), &payload);
        Icmpv4::EchoRequest { id, seq }.emit(0, packet.push(8));
        let frame = ip.finish(packet, ipv4::protocol::ICMP, 2);

        let headers = etherparse::PacketHeaders::from_ethernet_slice(&frame).unwrap();
        ip.check(&headers, ipv4::protocol::ICMP);
        let icmp = headers.transport.unwrap().icmpv4().unwrap();
        let echo = etherparse::IcmpEchoHeader { id, seq };
        prop_assert_eq!(&icmp.icmp_type, &etherparse::Icmpv4Type::EchoRequest(echo));
        prop_assert_eq!(icmp.checksum, icmp.icmp_type.calc_checksum(&payload));
        let packet = ip.smol_packet(&frame);
        let message = smol::Icmpv4Packet::new_checked(packet.payload()).unwrap();
        let repr = smol::Icmpv4Repr::parse(&message, &ChecksumCapabilities::default()).unwrap();
        prop_assert_eq!(repr, smol::Icmpv4Repr::EchoRequest { ident: id, seq_no: seq, data: &payload });
    }

    #[test]
    fn we_read_the_tcp_of_etherparse(
        ip in ip(), payload in payload(), ports in any::<(u16, u16)>(), (seq, window) in any::<(u32, u16)>(), (ack, urgent) in any::<(u32, u16)>(),
    ) {
        let builder = PacketBuilder::ethernet2(SRC_MAC.0, DST_MAC.0)
            .ipv4(ip.src.octets(), ip.dst.octets(), ip.ttl)
            .tcp(ports.0, ports.1, seq, window)
            .syn().ack(ack).urg(urgent)
            .options(&[
                etherparse::TcpOptionElement::MaximumSegmentSize(1400),
                etherparse::TcpOptionElement::WindowScale(9),
                etherparse::TcpOptionElement::Timestamp(seq, ack),
            ]).unwrap();
        let mut frame = Vec::new();
        builder.write(&mut frame, &payload).unwrap();

        let (header, mut packet) = open(&frame);
        prop_assert_eq!((header.src, header.dst, header.ttl), (ip.src, ip.dst, ip.ttl));
        let pseudo = ip.pseudo_header(ipv4::protocol::TCP, packet.len());
        prop_assert_eq!(checksum::add(packet.ones_complement(), pseudo), 0xffff);
        let len = TcpHeader::len_of(packet.peek(20).unwrap()[12]).unwrap();
        let tcp = TcpHeader::parse(packet.pull(len).unwrap()).unwrap();
        prop_assert_eq!((tcp.src_port, tcp.dst_port, tcp.seq), (ports.0, ports.1, seq));
        prop_assert_eq!((tcp.ack, tcp.window, tcp.urgent), (ack, window, urgent));
        prop_assert_eq!(tcp.flags, Flags::SYN | Flags::ACK | Flags::URG);
        let options: Vec<_> = tcp.options.iter().map(Result::unwrap).collect();
        prop_assert_eq!(options, [
            TcpOption::Mss(1400), TcpOption::WindowScale(9), TcpOption::Timestamps { value: seq, echo: ack },
        ]);
        prop_assert_eq!(packet.take_payload().iter().map(|chunk| chunk.bytes().to_vec()).collect::<Vec<_>>().concat(), payload);
    }

    #[test]
    fn we_read_the_udp_of_etherparse(ip in ip(), payload in payload(), ports in any::<(u16, u16)>()) {
        let builder = PacketBuilder::ethernet2(SRC_MAC.0, DST_MAC.0)
            .single_vlan(etherparse::VlanId::try_new(ip.tag.unwrap_or(7)).unwrap())
            .ipv4(ip.src.octets(), ip.dst.octets(), ip.ttl)
            .udp(ports.0, ports.1);
        let mut frame = Vec::new();
        builder.write(&mut frame, &payload).unwrap();
        let tag = VlanTag::parse(&frame[14..]).unwrap();
        prop_assert_eq!((tag.id, tag.ethertype), (ip.tag.unwrap_or(7), EtherType::IPV4));
        frame.drain(12..16);
        let (_, mut packet) = open(&frame);
        let pseudo = ip.pseudo_header(ipv4::protocol::UDP, packet.len());
        prop_assert_eq!(checksum::add(packet.ones_complement(), pseudo), 0xffff);
        let len = packet.len() as u16;
        let udp = UdpHeader::parse(packet.pull(8).unwrap()).unwrap();
        prop_assert_eq!((udp.src_port, udp.dst_port, udp.len), (ports.0, ports.1, len));
    }

    #[test]
    fn we_read_the_icmp_errors_of_smoltcp(ip in ip(), payload in vec(any::<u8>(), 8..60), port in any::<bool>()) {
        let quoted = smol::Ipv4Repr {
            src_addr: ip.src, dst_addr: ip.dst, next_header: smol::IpProtocol::Udp,
            payload_len: payload.len(), hop_limit: ip.ttl,
        };
        let repr = if port {
            let reason = smol::Icmpv4DstUnreachable::PortUnreachable;
            smol::Icmpv4Repr::DstUnreachable { reason, header: quoted, data: &payload }
        } else {
            let reason = smol::Icmpv4TimeExceeded::TtlExpired;
            smol::Icmpv4Repr::TimeExceeded { reason, header: quoted, data: &payload }
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut smol::Icmpv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
        let expected = if port { Icmpv4::Unreachable(Unreachable::Port) } else { Icmpv4::TimeExceeded { code: 0 } };
        prop_assert_eq!(Icmpv4::parse(&bytes), Ok(expected));
        prop_assert_eq!(checksum::sum(&bytes), 0xffff);
        let quoted = Ipv4Header::parse(&bytes[8..]).unwrap();
        prop_assert_eq!((quoted.src, quoted.dst, quoted.ttl), (ip.src, ip.dst, ip.ttl));
    }

    #[test]
    fn arp_is_the_same_for_smoltcp(operation in any::<u16>(), macs in any::<[[u8; 6]; 2]>(), ips in any::<[[u8; 4]; 2]>()) {
        let repr = smol::ArpRepr::EthernetIpv4 {
            operation: operation.into(),
            source_hardware_addr: smol::EthernetAddress(macs[0]),
            source_protocol_addr: ips[0].into(),
            target_hardware_addr: smol::EthernetAddress(macs[1]),
            target_protocol_addr: ips[1].into(),
        };
        let mut theirs = [0; arp::LEN];
        repr.emit(&mut smol::ArpPacket::new_unchecked(&mut theirs[..]));
        let packet = ArpPacket {
            operation: Operation::from(operation),
            sender_mac: MacAddr(macs[0]),
            sender_ip: ips[0].into(),
            target_mac: MacAddr(macs[1]),
            target_ip: ips[1].into(),
        };
        let mut ours = [0; arp::LEN];
        packet.emit(&mut ours);
        prop_assert_eq!(ours, theirs);
        prop_assert_eq!(ArpPacket::parse(&theirs), Ok(packet));
    }

    /// Bytes of any kind: where etherparse sees an IPv4 header with a right checksum, so do we, and the reverse.
    #[test]
    fn etherparse_and_we_accept_the_same_ipv4_headers(mut bytes in vec(any::<u8>(), 0..70), ihl in 0u8..16, repair in any::<bool>()) {
        if repair && bytes.len() >= 20 {
            bytes[0] = 0x40 | ihl;
            bytes[6] &= 0x7f;
            bytes[10..12].fill(0);
            let len = (usize::from(ihl) * 4).min(bytes.len());
            let sum = !checksum::sum(&bytes[..len]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let theirs = etherparse::Ipv4Header::from_slice(&bytes).ok().map(|(header, _)| header)
            .filter(|header| header.header_checksum == header.calc_header_checksum())
            .filter(|header| usize::from(header.total_len) >= header.header_len());
        let ours = Ipv4Header::parse(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_some(), "{:?} {:?}", ours, theirs);
        if let (Ok(ours), Some(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours.total_len, theirs.total_len);
            prop_assert_eq!(ours.fragment_offset, theirs.fragment_offset.value() * 8);
            prop_assert_eq!((ours.dont_fragment, ours.more_fragments), (theirs.dont_fragment, theirs.more_fragments));
            prop_assert_eq!(ours.options.as_bytes(), theirs.options.as_slice());
        }
    }
}

/// Takes Ethernet and IPv4 off a frame from outside.
fn open(frame: &[u8]) -> (Ipv4Header, PacketBuf) {
    let mut packet = Pool::new(9).from_bytes(frame.to_vec().into());
    let ether = EthernetHeader::parse(packet.pull(ethernet::HEADER_LEN).unwrap()).unwrap();
    assert_eq!((ether.src, ether.dst), (SRC_MAC, DST_MAC));
    let len = Ipv4Header::len_of(packet.peek(1).unwrap()[0]).unwrap();
    let header = Ipv4Header::parse(packet.pull(len).unwrap()).unwrap();
    assert_eq!(usize::from(header.total_len), len + packet.len());
    (header, packet)
}
