//! UDP-Lite between hosts (RFC 3828): a checksum that covers a part, and ports of its own.
use heptad_stack::Family::{V4, V6};
use heptad_stack::stack::SocketOption::{ReceiveCoverage, SendCoverage};
use heptad_stack::{Counter, DropReason, SocketError, SocketId, SocketKind};

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {
    its_ports_are_not_those_of_udp,
    a_datagram_of_the_greatest_length_arrives_with_a_part_covered,
    a_receiver_takes_no_less_coverage_than_it_asks_for,
    what_is_damaged_behind_the_coverage_is_delivered,
    a_closed_port_refuses_a_connected_socket,
}

impl World {
    fn lite(&mut self, host: usize) -> SocketId {
        let family = if is_v6() { V6 } else { V4 };
        self.socket(host, family, SocketKind::Lite)
    }
}

fn its_ports_are_not_those_of_udp() {
    let mut world = World::pair();
    let (udp, lite) = (world.datagram(BOB), world.lite(BOB));
    world.bind(BOB, udp, "0.0.0.0:7").unwrap();
    world.bind(BOB, lite, "0.0.0.0:7").unwrap();
    let second = world.lite(BOB);
    let taken = world.bind(BOB, second, "0.0.0.0:7");
    assert_eq!(taken, Err(SocketError::AddressInUse));
    let client = world.lite(ALICE);
    world.send_to(ALICE, client, b"lite", "10.0.0.2:7").unwrap();
    let client = world.datagram(ALICE);
    world.send_to(ALICE, client, b"udp", "10.0.0.2:7").unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(BOB, udp), Ok(b"udp".to_vec()));
    assert_eq!(world.recv(BOB, lite), Ok(b"lite".to_vec()));
    assert_eq!(world.recv(BOB, lite), Err(SocketError::WouldBlock));
    assert_eq!(world.count(BOB, Counter::UdpInDatagrams), 1);
    assert_eq!(world.count(BOB, Counter::UdpLiteInDatagrams), 1);
    assert_eq!(world.count(ALICE, Counter::UdpLiteOutDatagrams), 1);
    world.only_drops(NOTHING);
}

fn a_datagram_of_the_greatest_length_arrives_with_a_part_covered() {
    let mut world = World::routed();
    let server = world.lite(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.lite(ALICE);
    let greatest = if is_v6() { 65_527 } else { 65_507 };
    let data: Vec<u8> = (0..greatest).map(|n| (n * 7) as u8).collect();
    for coverage in [0, 8, 2_001, u16::MAX] {
        world.set(ALICE, client, SendCoverage(coverage));
        let sent = world.send_to(ALICE, client, &data, "10.0.2.20:7");
        assert_eq!(sent, Ok(data.len()));
        world.run_for(200 * MS);
        assert_eq!(world.recv(BOB, server).as_ref(), Ok(&data), "{coverage}");
    }
    world.only_drops(NOTHING);
}

//= rfc3828#3.1
//# A UDP-Lite packet with a Checksum Coverage value of 1 to 7 MUST be discarded by the receiver.
fn a_receiver_takes_no_less_coverage_than_it_asks_for() {
    // What the sender covers, what the receiver asks for, whether ten bytes of text arrive.
    let rows: [(Option<u16>, Option<u16>, bool); 10] = [
        (None, None, true),
        (None, Some(0), true),
        (None, Some(40), true),
        (Some(8), None, true),
        (Some(8), Some(0), false),
        (Some(8), Some(8), true),
        (Some(8), Some(9), false),
        (Some(17), Some(17), true),
        (Some(18), Some(19), true),
        (Some(0), Some(400), true),
    ];
    for (sent, least, arrives) in rows {
        let mut world = World::pair();
        let server = world.lite(BOB);
        world.bind(BOB, server, "0.0.0.0:7").unwrap();
        let client = world.lite(ALICE);
        if let Some(bytes) = sent {
            world.set(ALICE, client, SendCoverage(bytes));
        }
        if let Some(bytes) = least {
            world.set(BOB, server, ReceiveCoverage(bytes));
        }
        let to = "10.0.0.2:7";
        world.send_to(ALICE, client, b"ten bytes.", to).unwrap();
        world.run_for(100 * MS);
        let got = world.recv(BOB, server);
        assert_eq!(got.is_ok(), arrives, "{sent:?} {least:?}");
        let errors = world.count(BOB, Counter::UdpLiteInErrors);
        assert_eq!(errors, u64::from(!arrives), "{sent:?} {least:?}");
        match arrives {
            true => world.only_drops(NOTHING),
            false => world.only_drops(&[DropReason::UdpLiteUncovered]),
        }
    }
}

fn what_is_damaged_behind_the_coverage_is_delivered() {
    let mut world = World::pair();
    let server = world.lite(BOB);
    world.bind(BOB, server, "0.0.0.0:7").unwrap();
    let client = world.lite(ALICE);
    let data = [0; 1_000];
    // The addresses are learnt before bits flip.
    world.send_to(ALICE, client, &data, "10.0.0.2:7").unwrap();
    world.run_for(100 * MS);
    assert_eq!(world.recv(BOB, server), Ok(data.to_vec()));
    world.impair(Faults {
        corrupt: 1_000,
        ..Faults::default()
    });
    let arrived = |world: &mut World, coverage| {
        world.set(ALICE, client, SendCoverage(coverage));
        for _ in 0..20 {
            world.send_to(ALICE, client, &data, "10.0.0.2:7").unwrap();
            world.run_for(100 * MS);
        }
        std::iter::from_fn(|| world.recv(BOB, server).ok()).collect::<Vec<_>>()
    };
    assert_eq!(arrived(&mut world, 0), Vec::<Vec<u8>>::new());
    let damaged = arrived(&mut world, 8);
    assert!(damaged.len() >= 15, "{}", damaged.len());
    for one in damaged {
        let flipped: u32 = one.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!((one.len(), flipped), (1_000, 1));
    }
    assert!(world.count(BOB, Counter::UdpLiteInCsumErrors) >= 20);
}

fn a_closed_port_refuses_a_connected_socket() {
    let mut world = World::pair();
    // A UDP socket at the port is none of UDP-Lite.
    let other = world.datagram(BOB);
    world.bind(BOB, other, "0.0.0.0:7").unwrap();
    let client = world.lite(ALICE);
    world.connect(ALICE, client, "10.0.0.2:7").unwrap();
    world.send(ALICE, client, b"a").unwrap();
    world.run_for(100 * MS);
    let refused = world.recv(ALICE, client);
    assert_eq!(refused, Err(SocketError::ConnectionRefused));
    assert_eq!(world.count(BOB, Counter::UdpLiteNoPorts), 1);
    world.only_drops(&[DropReason::UdpNoSocket]);
}

#[test]
fn coverages_are_options_of_udp_lite_alone() {
    let mut world = World::pair();
    let none = Err(SocketError::NoProtocolOption);
    let [stream, udp, lite] = [SocketKind::Stream, SocketKind::Datagram, SocketKind::Lite]
        .map(|kind| world.socket(ALICE, V4, kind));
    // Given, shown: the header is always covered.
    let rows = [(0, 0), (1, 8), (7, 8), (8, 8), (9, 9), (u16::MAX, u16::MAX)];
    for (given, shown) in rows {
        for of in [SendCoverage as fn(u16) -> _, ReceiveCoverage] {
            world.with(ALICE, |stack, cx| {
                assert_eq!(stack.set(stream, of(given), cx), none);
                assert_eq!(stack.set(udp, of(given), cx), none);
                assert_eq!(stack.set(lite, of(given), cx), Ok(()));
                assert_eq!(stack.get(stream, of(9)).map(|_| ()), none);
                assert_eq!(stack.get(udp, of(9)), Ok(of(0)), "as on Linux");
                assert_eq!(stack.get(lite, of(9)), Ok(of(shown)));
            });
        }
    }
}
