use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::topology::Topology;
use crate::{LabOptions, Moment};
use heptad_stack::time::Duration;
use heptad_stack::wire::arp::{self, ArpPacket, Operation};
use heptad_stack::wire::ethernet::{EthernetHeader, HEADER_LEN};
use heptad_stack::wire::ipv6::{self, Ipv6Header, next_header};
use heptad_stack::wire::{Chunk, Cut, EtherType, MacAddr, Sum, checksum, ipv4};

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const LINUX: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const LINUX_MAC: MacAddr = MacAddr([6, 0, 0, 0, 0, 9]);

fn lab(text: &str) -> Lab {
    let topology = Topology::parse(text, "lab.toml").unwrap();
    let options = LabOptions {
        observe: true,
        ..LabOptions::default()
    };
    Lab::new(&topology, options).unwrap()
}
/// A host `a` (10.0.0.1) and an interface at the ends of one cable.
fn host_and(interface: &str, more: &str) -> Lab {
    lab(&format!(
        "[nodes.a]\naddress = \"{A}/24\"\n[[links]]\nendpoints = [\"a\", \"{interface}\"]\n{more}"
    ))
}
/// Two interfaces at the ends of one cable.
fn two_taps(more: &str) -> Lab {
    lab(&format!(
        "[nodes]\n[[links]]\nendpoints = [\"tap:t0\", \"tap:t1\"]\n{more}"
    ))
}
fn run(lab: &mut Lab, time: Duration) {
    let limit = lab.now() + time;
    let _ = lab.run_until(limit, false, u64::MAX);
}
fn id(lab: &Lab, name: &str) -> MachineId {
    lab.machine(name).unwrap()
}
fn packet(bytes: &[u8]) -> PacketBuf {
    Pool::new(0).from_chunk(Chunk::copy_from(bytes))
}
fn bytes_of(packet: &PacketBuf) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write_to(&mut bytes);
    bytes
}

fn arp_request(sender: Ipv4Addr, target: Ipv4Addr) -> PacketBuf {
    let mut frame = Pool::new(0).packet();
    ArpPacket {
        operation: Operation::Request,
        sender_mac: LINUX_MAC,
        sender_ip: sender,
        target_mac: MacAddr::default(),
        target_ip: target,
    }
    .emit(frame.push(arp::LEN));
    EthernetHeader {
        dst: MacAddr::BROADCAST,
        src: LINUX_MAC,
        ethertype: EtherType::ARP,
    }
    .emit(frame.push(HEADER_LEN));
    frame
}
/// An echo request of Linux as a TUN carries it.
fn echo_request(dst: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0; 28];
    bytes[0] = 0x45;
    (bytes[3], bytes[8], bytes[9]) = (28, 64, ipv4::protocol::ICMP);
    bytes[12..16].copy_from_slice(&LINUX.octets());
    bytes[16..20].copy_from_slice(&dst.octets());
    let sum = !checksum::sum(&bytes[..20]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes[20] = 8;
    let sum = !checksum::sum(&bytes[20..]);
    bytes[22..24].copy_from_slice(&sum.to_be_bytes());
    bytes
}
/// TCP of Linux with so many bytes, behind Ethernet, checksum to be filled; a super-segment if they are over 1,000.
fn segment(payload: usize) -> PacketBuf {
    let mut bytes = vec![0; HEADER_LEN + 40 + payload];
    bytes[12] = 8;
    let ip = HEADER_LEN;
    bytes[ip] = 0x45;
    let total = u16::try_from(40 + payload).unwrap();
    bytes[ip + 2..ip + 4].copy_from_slice(&total.to_be_bytes());
    (bytes[ip + 8], bytes[ip + 9]) = (64, ipv4::protocol::TCP);
    bytes[ip + 12..ip + 16].copy_from_slice(&LINUX.octets());
    bytes[ip + 16..ip + 20].copy_from_slice(&A.octets());
    let sum = !checksum::sum(&bytes[ip..ip + 20]);
    bytes[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
    (bytes[ip + 32], bytes[ip + 33]) = (0x50, 0x10);
    let len = u32::from(total) - 20;
    let pseudo = checksum::pseudo_header(LINUX.into(), A.into(), ipv4::protocol::TCP, len);
    bytes[ip + 36..ip + 38].copy_from_slice(&pseudo.to_be_bytes());
    let mut packet = packet(&bytes);
    packet.peek(HEADER_LEN + 40).unwrap();
    let l3 = packet.head_start() + 14;
    let (start, offset) = (l3 + 20, l3 + 36);
    packet.set_sum(Sum::ToFill { start, offset });
    let (segment, l4) = (1000, start);
    packet.set_cut((payload > 1000).then_some(Cut { segment, l3, l4 }));
    packet
}

#[test]
fn a_frame_of_the_kernel_reaches_the_host_and_the_answer_waits_for_the_kernel() {
    let mut lab = host_and("tap:t0", "delay = \"1ms\"");
    let cable = RealCable {
        machine: id(&lab, "tap:t0"),
        node: "tap:t0".into(),
        mac: crate::machine::mac(id(&lab, "tap:t0"), 0),
        interface: "t0".into(),
        kind: NodeKind::Tap,
        mtu: 1500,
    };
    assert_eq!(lab.real_cables(), [cable]);
    let outside = id(&lab, "tap:t0");
    lab.inject(outside, Instant::ZERO, arp_request(LINUX, A));
    run(&mut lab, Duration::from_micros(1999));
    assert!(!lab.is_outside_due(outside), "both ways take 2 ms");
    run(&mut lab, Duration::from_micros(1));
    assert!(lab.is_outside_due(outside));
    let answer = bytes_of(&lab.poll_outside(outside).unwrap());
    let header = EthernetHeader::parse(&answer).unwrap();
    assert_eq!((header.dst, header.ethertype), (LINUX_MAC, EtherType::ARP));
    let reply = ArpPacket::parse(&answer[HEADER_LEN..]).unwrap();
    assert_eq!((reply.operation, reply.sender_ip), (Operation::Reply, A));
    assert!(lab.poll_outside(outside).is_none());
}

#[test]
fn a_frame_that_the_kernel_sent_earlier_enters_now_and_a_later_one_later() {
    let mut lab = two_taps("delay = \"1ms\"");
    let (t0, t1) = (id(&lab, "tap:t0"), id(&lab, "tap:t1"));
    run(&mut lab, Duration::from_millis(10));
    lab.inject(t0, Instant::ZERO, segment(10));
    let later = lab.now() + Duration::from_millis(5);
    lab.inject(t0, later, segment(20));
    for (at, len) in [(1, Some(10)), (5, None), (6, Some(20))] {
        let limit = Instant::ZERO + Duration::from_millis(10 + at);
        lab.run_until(limit, false, u64::MAX);
        let arrived = lab.poll_outside(t1).map(|frame| frame.len());
        assert_eq!(arrived, len.map(|len| HEADER_LEN + 40 + len), "{at} ms");
    }
}

#[test]
fn a_tun_carries_bare_packets_and_answers_arp_for_everybody_outside() {
    let mut lab = host_and("tun:t0", "");
    let outside = id(&lab, "tun:t0");
    lab.inject(outside, Instant::ZERO, packet(&echo_request(A)));
    run(&mut lab, Duration::from_secs(1));
    let answer = bytes_of(&lab.poll_outside(outside).unwrap());
    assert_eq!(answer.len(), 28);
    assert_eq!(answer[12..16], A.octets());
    assert_eq!(answer[16..20], LINUX.octets());
    assert_eq!(answer[20], 0, "echo reply");
    assert!(lab.poll_outside(outside).is_none(), "no ARP leaves");
}

#[test]
fn a_tun_answers_arp_for_nobody_on_its_cable_and_for_no_probe() {
    let (a, b) = (A, Ipv4Addr::new(10, 0, 0, 2));
    let mut layer = LinkLayer::new(MacAddr([2, 0, 0, 0, 0, 0]));
    layer.add(LINUX_MAC, [a.into(), b.into()].into_iter(), false);
    let mut answers = |sender, target| {
        let mut frame = arp_request(sender, target);
        let stripped = layer.strip(&mut frame, &mut Pool::new(1));
        matches!(stripped, Ok(Stripped::OfTheLink(Some(_))))
    };
    for (sender, target, expected) in [
        (a, LINUX, true),
        (a, Ipv4Addr::new(8, 8, 8, 8), true),
        (a, b, false),
        (a, a, false),
        (LINUX, LINUX, false),
        (Ipv4Addr::UNSPECIFIED, LINUX, false),
    ] {
        assert_eq!(answers(sender, target), expected, "{sender} {target}");
    }
}

#[test]
fn a_tuns_packets_go_to_their_station_else_to_the_router() {
    let router = MacAddr([2, 0, 0, 0, 0, 7]);
    let mut layer = LinkLayer::new(MacAddr([2, 0, 0, 0, 0, 0]));
    layer.add(LINUX_MAC, [A.into()].into_iter(), false);
    let to = |layer: &LinkLayer, dst: Ipv4Addr| {
        let mut packet = packet(&echo_request(dst));
        layer.dress(&mut packet)?;
        Ok(EthernetHeader::parse(packet.peek(HEADER_LEN).unwrap())
            .unwrap()
            .dst)
    };
    let far = Ipv4Addr::new(10, 9, 9, 9);
    assert_eq!(to(&layer, far), Err(DropReason::NoRoute));
    layer.add(
        router,
        [Ipv4Addr::new(10, 0, 0, 254).into()].into_iter(),
        true,
    );
    let group = Ipv4Addr::new(224, 129, 2, 3);
    for (dst, station) in [
        (A, LINUX_MAC),
        (far, router),
        (Ipv4Addr::BROADCAST, MacAddr::BROADCAST),
        (group, MacAddr([1, 0, 0x5e, 1, 2, 3])),
    ] {
        assert_eq!(to(&layer, dst), Ok(station), "{dst}");
    }
    let not_ip = |bytes: &[u8]| layer.dress(&mut packet(bytes));
    assert_eq!(not_ip(&[0x50; 40]), Err(DropReason::UnknownEtherType));
    assert_eq!(not_ip(&[0x60; 39]), Err(DropReason::IpHeader));
    assert_eq!(not_ip(&[0x45; 19]), Err(DropReason::IpHeader));
    assert_eq!(not_ip(&[]), Err(DropReason::IpHeader));
}

const A6: &str = "fd00::1";
const LINUX6: &str = "fd00::9";
/// An echo request of Linux as a TUN carries it.
fn echo_request_v6(dst: &str) -> Vec<u8> {
    let (src, dst): (Ipv6Addr, Ipv6Addr) = (LINUX6.parse().unwrap(), dst.parse().unwrap());
    let mut bytes = Ipv6Header::plain((src, dst), next_header::ICMPV6, 8).to_bytes();
    let mut message = [128, 0, 0, 0, 0, 7, 0, 1];
    let pseudo = checksum::pseudo_header(src.into(), dst.into(), next_header::ICMPV6, 8);
    checksum::fill(&mut message, 2, pseudo);
    bytes.extend(message);
    bytes
}
/// What waits for the kernel, but for what hosts and routers say to all of the cable.
fn answers(lab: &mut Lab, outside: MachineId) -> Vec<Vec<u8>> {
    let frames = std::iter::from_fn(|| lab.poll_outside(outside));
    let frames: Vec<_> = frames.map(|frame| bytes_of(&frame)).collect();
    let to_all = |bytes: &Vec<u8>| bytes[0] >> 4 == 6 && bytes[24] == 0xff;
    frames.into_iter().filter(|bytes| !to_all(bytes)).collect()
}

#[test]
fn a_tun_answers_for_everybody_outside_with_ipv6_too() {
    let mut lab = lab(&format!(
        "[nodes.a]\naddress = \"{A6}/64\"\n[[links]]\nendpoints = [\"a\", \"tun:t0\"]\n"
    ));
    let outside = id(&lab, "tun:t0");
    lab.inject(outside, Instant::ZERO, packet(&echo_request_v6(A6)));
    run(&mut lab, Duration::from_secs(5));
    let answers = answers(&mut lab, outside);
    assert_eq!(
        answers.len(),
        1,
        "no neighbour discovery leaves: {answers:x?}"
    );
    let header = Ipv6Header::parse(&answers[0]).unwrap();
    assert_eq!(
        (header.src.to_string(), header.dst.to_string()),
        (A6.into(), LINUX6.into())
    );
    assert_eq!(answers[0][ipv6::HEADER_LEN], 129, "echo reply");
    assert_eq!(
        lab.counters(outside)
            .unwrap()
            .drops(DropReason::NdpMalformed),
        0
    );
}

#[test]
fn a_tun_sends_to_a_host_that_made_its_own_address() {
    let mut lab = lab(
        "[nodes.a]\naddress = \"auto\"\n[nodes.r]\nkind = \"router\"\naddress = \"fd00::ffff/64\"\n[nodes.s]\nkind = \"switch\"\n\
         [[links]]\nendpoints = [\"a\", \"s\"]\n[[links]]\nendpoints = [\"r\", \"s\"]\n[[links]]\nendpoints = [\"s\", \"tun:t0\"]\n",
    );
    run(&mut lab, Duration::from_secs(3));
    let outside = id(&lab, "tun:t0");
    let address = lab.resolve("a").expect("it heard the router").to_string();
    answers(&mut lab, outside);
    lab.take_frames();
    let now = lab.now();
    lab.inject(outside, now, packet(&echo_request_v6(&address)));
    run(&mut lab, Duration::from_secs(1));
    let answers = answers(&mut lab, outside);
    assert_eq!(answers.len(), 1, "{answers:x?}");
    assert_eq!(
        Ipv6Header::parse(&answers[0]).unwrap().src.to_string(),
        address
    );
    let r = id(&lab, "r");
    let by_router = lab
        .take_frames()
        .into_iter()
        .any(|frame| frame.machine == r && frame.moment == Moment::Sent);
    assert!(!by_router, "not by way of the router");
}

#[test]
fn a_tuns_packets_of_ipv6_go_to_their_station_their_group_or_the_router() {
    let router = MacAddr([2, 0, 0, 0, 0, 7]);
    let mut layer = LinkLayer::new(MacAddr([2, 0, 0, 0, 0, 0]));
    let a: IpAddr = A6.parse().unwrap();
    layer.add(LINUX_MAC, [a].into_iter(), false);
    layer.add(router, ["fd00::fe".parse().unwrap()].into_iter(), true);
    for (dst, station) in [
        (A6, LINUX_MAC),
        ("fd00::fe", router),
        ("2001:db8::1", router),
        ("fe80::400:ff:fe00:9", LINUX_MAC),
        ("ff02::1:ff00:1", MacAddr([0x33, 0x33, 0xff, 0, 0, 1])),
    ] {
        let mut packet = packet(&echo_request_v6(dst));
        layer.dress(&mut packet).unwrap();
        let header = EthernetHeader::parse(packet.peek(HEADER_LEN).unwrap()).unwrap();
        assert_eq!(
            (header.dst, header.ethertype),
            (station, EtherType::IPV6),
            "{dst}"
        );
    }
}

#[test]
fn what_is_no_packet_for_a_tun_is_dropped_with_a_reason_and_recorded() {
    let mut lab = host_and("tun:t0", "");
    let outside = id(&lab, "tun:t0");
    lab.inject(outside, Instant::ZERO, packet(&[0x50; 40]));
    let reason = DropReason::UnknownEtherType;
    assert_eq!(lab.counters(outside).unwrap().drops(reason), 1);
    let records = lab.take_frames();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].moment, Moment::DroppedLater(reason));
}

#[test]
fn the_queue_to_the_kernel_is_bounded_in_frames_once_cut() {
    let mut lab = two_taps("");
    let (t0, t1) = (id(&lab, "tap:t0"), id(&lab, "tap:t1"));
    let frames_each = 60;
    let fit = QUEUE_BOUND / frames_each;
    for _ in 0..fit + 5 {
        lab.inject(t0, Instant::ZERO, segment(1000 * frames_each as usize));
    }
    run(&mut lab, Duration::from_secs(1));
    let dropped = |lab: &Lab| lab.counters(t1).unwrap().drops(DropReason::DeviceQueueFull);
    assert_eq!(dropped(&lab), 5);
    let mut left = 0;
    while let Some(frame) = lab.poll_outside(t1) {
        assert_eq!(frame.frames(), frames_each);
        left += 1;
    }
    assert_eq!(left, fit);
    lab.inject(t0, Instant::ZERO, segment(1));
    run(&mut lab, Duration::from_secs(1));
    assert!(lab.poll_outside(t1).is_some(), "there is room again");
    assert_eq!(dropped(&lab), 5);
}

#[test]
fn a_plain_cable_carries_super_segments_whole_and_one_that_cuts_carries_filled_frames() {
    for (more, whole) in [("delay = \"1ms\"", true), ("rate = \"1 Gbit\"", false)] {
        let mut lab = two_taps(more);
        let (t0, t1) = (id(&lab, "tap:t0"), id(&lab, "tap:t1"));
        assert_eq!(lab.real_caps(t0).super_segments, whole);
        lab.inject(t0, Instant::ZERO, segment(2500));
        run(&mut lab, Duration::from_secs(1));
        let frames: Vec<_> = std::iter::from_fn(|| lab.poll_outside(t1)).collect();
        let lens: Vec<_> = frames.iter().map(PacketBuf::len).collect();
        let to_fill = |frame: &PacketBuf| matches!(frame.sum(), Sum::ToFill { .. });
        if whole {
            assert_eq!(lens, [HEADER_LEN + 40 + 2500]);
            assert!(to_fill(&frames[0]) && frames[0].cut_plan().is_some());
        } else {
            assert_eq!(lens, [1000, 1000, 500].map(|len| HEADER_LEN + 40 + len));
            assert!(!frames.iter().any(to_fill));
        }
    }
}

#[test]
fn a_cable_that_begins_to_cut_says_so_at_once() {
    let mut lab = two_taps("[[at]]\ntime = \"1s\"\nlink = \"t0-t1\"\nloss = \"1%\"");
    let t0 = id(&lab, "tap:t0");
    assert!(lab.real_caps(t0).super_segments);
    run(&mut lab, Duration::from_secs(1));
    assert!(!lab.real_caps(t0).super_segments);
}

#[test]
fn a_frame_with_a_bad_frame_check_sequence_never_reaches_the_kernel() {
    let mut lab = two_taps("corrupt = \"100%\"");
    let (t0, t1) = (id(&lab, "tap:t0"), id(&lab, "tap:t1"));
    lab.inject(t0, Instant::ZERO, segment(10));
    run(&mut lab, Duration::from_secs(1));
    assert!(lab.poll_outside(t1).is_none());
    assert_eq!(lab.counters(t1).unwrap().drops(DropReason::FrameCheck), 1);
}

#[test]
fn what_the_kernel_refuses_is_counted_and_recorded() {
    let mut lab = two_taps("");
    let (t0, t1) = (id(&lab, "tap:t0"), id(&lab, "tap:t1"));
    lab.inject(t0, Instant::ZERO, segment(10));
    run(&mut lab, Duration::from_secs(1));
    let frame = lab.poll_outside(t1).unwrap();
    lab.refuse(t1, frame.id(), DropReason::DeviceRefused);
    assert_eq!(
        lab.counters(t1).unwrap().drops(DropReason::DeviceRefused),
        1
    );
    let last = lab.take_frames().pop().unwrap();
    assert_eq!((last.id, last.machine), (frame.id(), t1));
    assert_eq!(last.moment, Moment::DroppedLater(DropReason::DeviceRefused));
}

#[test]
fn the_event_hash_is_the_same_whether_or_not_frames_are_recorded() {
    let hash = |observe| {
        let text = "[nodes]\n[[links]]\nendpoints = [\"tap:t0\", \"tap:t1\"]\nloss = \"10%\"";
        let topology = Topology::parse(text, "lab.toml").unwrap();
        let options = LabOptions {
            observe,
            ..LabOptions::default()
        };
        let mut lab = Lab::new(&topology, options).unwrap();
        let t0 = id(&lab, "tap:t0");
        for n in 0..50 {
            lab.inject(t0, Instant::ZERO, segment(n * 100));
        }
        run(&mut lab, Duration::from_secs(1));
        lab.event_hash()
    };
    assert!(hash(true).is_some());
    assert_eq!(hash(true), hash(false));
}

#[test]
fn what_a_kernel_says_to_itself_comes_back_over_the_cable_of_its_loopback() {
    let mut lab = lab(
        "[nodes.k]\nstack = \"kernel\"\n[[links]]\nendpoints = [\"k:lo\", \"k:lo\"]\ndelay = \"5ms\"",
    );
    let [cable] = &lab.real_cables()[..] else {
        panic!("one cable")
    };
    assert_eq!((cable.node.as_str(), cable.kind), ("k", NodeKind::Kernel));
    let (kernel, mac) = (cable.machine, cable.mac);
    lab.inject(kernel, Instant::ZERO, arp_request(LINUX, A));
    lab.inject(kernel, Instant::ZERO, segment(10));
    run(&mut lab, Duration::from_micros(4999));
    assert!(!lab.is_outside_due(kernel));
    run(&mut lab, Duration::from_micros(1));
    let frame = bytes_of(&lab.poll_outside(kernel).unwrap());
    let header = EthernetHeader::parse(&frame).unwrap();
    assert_eq!((header.dst, header.src), (mac, mac));
    assert_eq!(header.ethertype, EtherType::IPV4);
    assert_eq!(frame.len(), HEADER_LEN + 50);
    assert!(lab.poll_outside(kernel).is_none(), "ARP goes nowhere");
}
