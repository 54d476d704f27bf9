//! Each parser: any bytes are refused or read, and what was read is written so that it reads the same.
use heptad_stack::wire::arp::{self, ArpPacket};
use heptad_stack::wire::icmpv4::{self, Icmpv4};
use heptad_stack::wire::icmpv6::{self, Icmpv6};
use heptad_stack::wire::igmp;
use heptad_stack::wire::ipv4::Ipv4Header;
use heptad_stack::wire::ipv6::{self, FragmentHeader, Ipv6Header, Ipv6Options};
use heptad_stack::wire::mld;
use heptad_stack::wire::ndp::Ndp;
use heptad_stack::wire::tcp::TcpHeader;
use heptad_stack::wire::udp::{self, UdpHeader};
use heptad_stack::wire::{Cut, EthernetHeader, PacketBuf, Pool, VlanTag, checksum, ethernet};

pub fn arp(bytes: &[u8]) {
    if let Ok(packet) = ArpPacket::parse(bytes) {
        let mut out = [0; arp::LEN];
        packet.emit(&mut out);
        assert_eq!(ArpPacket::parse(&out), Ok(packet));
    }
}

pub fn ethernet(bytes: &[u8]) {
    if let Ok(header) = EthernetHeader::parse(bytes) {
        let mut out = [0; ethernet::HEADER_LEN];
        header.emit(&mut out);
        assert_eq!(out, bytes[..ethernet::HEADER_LEN]);
    }
    if let Ok(tag) = VlanTag::parse(bytes) {
        let mut out = [0; ethernet::TAG_LEN];
        tag.emit(&mut out);
        assert_eq!(out, bytes[..ethernet::TAG_LEN]);
    }
}

pub fn ipv4(bytes: &[u8]) {
    if let Ok(header) = Ipv4Header::parse(bytes) {
        let mut out = vec![0; header.len()];
        header.emit(&mut out);
        assert_eq!(Ipv4Header::parse(&out), Ok(header));
        let copied = header.options.copied();
        assert!(copied.as_bytes().len() <= header.options.as_bytes().len());
        let _ = Ipv4Header::decrement_ttl(&mut out);
        assert!(Ipv4Header::parse(&out).is_ok());
    }
}

pub fn ipv6(bytes: &[u8]) {
    if let Ok(header) = Ipv6Header::parse(bytes) {
        let mut out = [0; ipv6::HEADER_LEN];
        header.emit(&mut out);
        assert_eq!(out, bytes[..ipv6::HEADER_LEN]);
    }
    if let Ok(header) = FragmentHeader::parse(bytes) {
        let mut out = [0; ipv6::FRAGMENT_LEN];
        header.emit(&mut out);
        assert_eq!(FragmentHeader::parse(&out), Ok(header));
    }
    for option in Ipv6Options::new(bytes).flatten() {
        let end = option.at + 2 + option.data.len();
        assert!(end <= bytes.len());
        let _ = option.when_unknown();
    }
}

pub fn icmpv4(bytes: &[u8]) {
    if let Ok(message) = Icmpv4::parse(bytes) {
        let mut out = [0; icmpv4::HEADER_LEN];
        message.emit(u16::from_be_bytes([bytes[2], bytes[3]]), &mut out);
        assert_eq!(out, bytes[..icmpv4::HEADER_LEN]);
    }
}

pub fn icmpv6(bytes: &[u8]) {
    if let Ok(message) = Icmpv6::parse(bytes) {
        let mut out = [0; icmpv6::HEADER_LEN];
        message.emit(u16::from_be_bytes([bytes[2], bytes[3]]), &mut out);
        assert_eq!(out, bytes[..icmpv6::HEADER_LEN]);
    }
}

pub fn ndp(bytes: &[u8]) {
    let [kind, rest @ ..] = bytes else { return };
    let kind = 133 + kind % 5;
    if let Ok(message) = Ndp::parse(kind, rest) {
        let again = message.to_bytes();
        assert_eq!(Ndp::parse(kind, &again[4..]), Ok(message));
    }
}

/// The checksum is put right, so that more than one input in 65,536 is read.
pub fn igmp(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= igmp::HEADER_LEN {
        bytes[2..4].fill(0);
        let sum = !checksum::sum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    if let Ok(message) = igmp::parse(&bytes) {
        assert_eq!(igmp::parse(&igmp::to_bytes(&message)), Ok(message));
    }
}

pub fn mld(bytes: &[u8]) {
    let [kind, rest @ ..] = bytes else { return };
    let kind = [
        mld::kind::QUERY,
        mld::kind::REPORT,
        mld::kind::DONE,
        mld::kind::REPORT_V2,
    ][usize::from(kind % 4)];
    if let Ok(message) = mld::parse(kind, rest) {
        let again = mld::to_bytes(&message);
        assert_eq!(mld::parse(kind, &again[4..]), Ok(message));
    }
}

pub fn udp(bytes: &[u8]) {
    if let Ok(header) = UdpHeader::parse(bytes) {
        let mut out = [0; udp::HEADER_LEN];
        header.emit(&mut out);
        assert_eq!(out, bytes[..udp::HEADER_LEN]);
    }
}

pub fn tcp(bytes: &[u8]) {
    if let Ok(header) = TcpHeader::parse(bytes) {
        let mut out = vec![0; header.len()];
        header.emit(&mut out);
        assert_eq!(
            TcpHeader::parse(&out).map(|again| again.options),
            Ok(header.options)
        );
    }
}

/// Pulling, pushing, merging, cutting, corrupting; the first bytes say what is done to the rest.
pub fn packet(bytes: &[u8]) {
    let Some((&[n, segment, l3, l4, bit], rest)) = bytes.split_first_chunk::<5>() else {
        return;
    };
    let mut pool = Pool::new(1);
    let (first, second) = rest.split_at(rest.len() / 2);
    let mut packet = pool.from_bytes(first.to_vec().into());
    let _ = packet.peek(usize::from(n));
    if packet.pull(usize::from(n % 40)).is_ok() {
        let _ = packet.push(usize::from(n % 40));
    }
    let _ = packet.merge(pool.from_bytes(second.to_vec().into()));
    let before = packet.len();
    packet.set_cut(Some(Cut {
        segment: u16::from(segment),
        l3,
        l4,
    }));
    let (frames, longest) = (packet.frames(), packet.frame_len());
    let cut: Vec<PacketBuf> = packet.cut(&mut pool).collect();
    assert_eq!(cut.len() as u32, frames);
    assert!(cut.iter().all(|frame| frame.len() <= longest.max(before)));
    for frame in cut {
        let len = frame.len();
        let frame = frame.duplicate().corrupt(u32::from(bit) * 7);
        assert_eq!(frame.len(), len);
    }
}
