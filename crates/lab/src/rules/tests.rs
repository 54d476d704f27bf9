use heptad_stack::Instant;
use heptad_stack::wire::Pool;
use heptad_stack::wire::tcp::Flags;

use super::connections::Connections;
use super::packet::{Carries, Ip, Packet, Segment};
use super::reset::Resets;
use crate::topology::{PacketKind, Packets};

fn segment(ports: (u16, u16), flags: Flags, (seq, ack, text): (u32, u32, u32)) -> Packet {
    let (src_port, dst_port) = ports;
    let segment = Segment {
        src_port,
        dst_port,
        seq,
        ack,
        flags,
        text,
    };
    let [src, dst] = if dst_port == 80 { [1, 2] } else { [2, 1] };
    Packet::Ip(Ip {
        l3: 14,
        src: [10, 0, 0, src].into(),
        dst: [10, 0, 0, dst].into(),
        carries: Carries::Tcp(segment),
    })
}
const NONE: (u32, u32, u32) = (0, 0, 0);

#[test]
fn kinds_of_segments_are_told_apart() {
    let (syn, ack, fin, rst) = (Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST);
    use PacketKind as Kind;
    for (flags, text, kinds) in [
        (syn, 0, vec![Kind::Syn]),
        (syn.with(ack), 0, vec![Kind::SynAck]),
        (ack, 0, vec![Kind::Ack]),
        (ack.with(Flags::PSH), 5, vec![Kind::Data]),
        (ack.with(fin), 0, vec![Kind::Fin]),
        (ack.with(fin), 5, vec![Kind::Fin, Kind::Data]),
        (rst, 0, vec![Kind::Rst]),
        (syn, 5, vec![Kind::Syn, Kind::Data]),
    ] {
        let packet = segment((5000, 80), flags, (0, 0, text));
        let all = [
            Kind::Syn,
            Kind::SynAck,
            Kind::Ack,
            Kind::Data,
            Kind::Fin,
            Kind::Rst,
        ];
        for kind in all {
            let asked = Packets {
                kind,
                ..Packets::default()
            };
            let expected = kinds.contains(&kind);
            assert_eq!(
                packet.is_of(&asked, Instant::ZERO),
                expected,
                "{flags:?} {text} {kind:?}"
            );
        }
        for (kind, expected) in [
            (Kind::Any, true),
            (Kind::Tcp, true),
            (Kind::Udp, false),
            (Kind::Arp, false),
        ] {
            let asked = Packets {
                kind,
                ..Packets::default()
            };
            assert_eq!(packet.is_of(&asked, Instant::ZERO), expected);
        }
    }
}

#[test]
fn a_connection_is_both_ways_and_another_syn_begins_another() {
    let mut connections = Connections::default();
    let asked = Packets {
        to_port: Some(80),
        ..Packets::default()
    };
    let mut number = |packet: &Packet| connections.of(packet, &asked).map(|c| c.number);
    let syn = |port, isn| segment((port, 80), Flags::SYN, (isn, 0, 0));
    let answer = segment((80, 5000), Flags::SYN.with(Flags::ACK), (70, 11, 0));
    assert_eq!(number(&syn(5000, 10)), Some(1));
    assert_eq!(
        number(&answer),
        Some(1),
        "its answer is of it, though it goes from port 80"
    );
    assert_eq!(number(&syn(5001, 10)), Some(2));
    assert_eq!(number(&syn(5000, 10)), Some(1), "sent again");
    assert_eq!(number(&syn(5000, 99)), Some(3), "the ports are used again");
    assert_eq!(
        number(&segment((5000, 81), Flags::SYN, NONE)),
        None,
        "of no interest"
    );
    assert_eq!(number(&Packet::Arp), None);
}

#[test]
fn resets_stand_where_each_end_waits() {
    let mut connections = Connections::default();
    let asked = Packets::default();
    let ack = Flags::ACK;
    let late = segment((5000, 80), ack, (100, 500, 20));
    for packet in [
        segment((5000, 80), ack, (100, 500, 20)),
        segment((80, 5000), ack, (500, 120, 300)),
        segment((5000, 80), ack, (120, 500, 30)),
        late.clone(),
    ] {
        connections.of(&packet, &asked);
    }
    // What is sent again: its receiver waits for 150, and 800 is under way to its sender.
    assert_eq!(connections.sent(&late), [Some(150), Some(800)]);
    let Packet::Ip(ip) = &late else {
        panic!("made above")
    };
    let Carries::Tcp(sent_again) = ip.carries else {
        panic!("made above")
    };
    for (v6, link) in [(false, 14), (true, 14), (false, 0), (true, 0)] {
        let host = |n: u8| match v6 {
            true => std::net::Ipv6Addr::from([n; 16]).into(),
            false => std::net::IpAddr::from([10, 0, 0, n]),
        };
        let ends = [(host(1), 5000).into(), (host(2), 80).into()];
        let ethertype = if v6 { [0x86, 0xdd] } else { [8, 0] };
        let header = [&[2; 6][..], &[1; 6], &ethertype].concat();
        let header = &header[..link];
        let resets = Resets::new(ends, &sent_again, connections.sent(&late), header);
        let look = |bytes: &[u8]| {
            let mut frame = Pool::new(0).from_bytes(bytes.to_vec().into());
            let packet = Packet::look(&mut frame, link);
            let ports = packet
                .ends()
                .map(|ends| ends.map(|end| (end.ip(), end.port())));
            (
                ports.expect("ports"),
                packet.segment().copied().expect("a segment"),
            )
        };
        let (ends, onward) = look(resets.onward.as_deref().expect("one onward"));
        assert_eq!(ends, [(host(1), 5000), (host(2), 80)]);
        let expected = (150, 500, Flags::RST.with(ack));
        assert_eq!((onward.seq, onward.ack, onward.flags), expected);
        let (ends, back) = look(&resets.back);
        assert_eq!(ends, [(host(2), 80), (host(1), 5000)]);
        assert_eq!((back.seq, back.flags), (800, Flags::RST));
        if link > 0 {
            assert_eq!(resets.back[..12], [[1; 6], [2; 6]].concat(), "its way back");
        }
    }
}

#[test]
fn what_is_damaged_or_short_is_nothing_in_particular() {
    for bytes in [&[][..], &[0x45], &[0x45; 30], &[0x60; 39], &[0xff; 60]] {
        let mut frame = Pool::new(0).from_bytes(bytes.to_vec().into());
        assert_eq!(Packet::look(&mut frame, 0), Packet::Other, "{bytes:?}");
    }
}
