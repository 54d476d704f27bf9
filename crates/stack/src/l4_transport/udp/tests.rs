use core::net::Ipv4Addr;
use std::vec;

use heptad_wire::{PacketBuf, Pool};
use proptest::prelude::*;

use super::*;
use crate::{Counters, DropReason, EventLog, Instant, Rng};

const GROUPS: GroupSettings = GroupSettings {
    ttl: 1,
    loops: true,
    all: true,
};
const SETTINGS: Settings = Settings {
    device: None,
    rcvbuf: 4_096,
    sndbuf: 4_096,
    ttl: 64,
    tos: 0,
    hops: 64,
    class: 0,
    reuse_port: false,
    v6_only: false,
    dont_fragment: false,
    discovery: MtuDiscovery::Dont,
    discovery_v6: MtuDiscovery::Dont,
    recv_err: false,
    coverage: Coverage {
        sent: None,
        least: None,
    },
    groups: GROUPS,
    groups_v6: GROUPS,
};
const PORT: PortId = PortId(1);

/// A UDP with all that it needs.
struct Host {
    udp: Udp,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    counters: Counters,
}
impl Host {
    fn new() -> Self {
        let mut rng = Rng::from_seed([1; 32]);
        Self {
            udp: Udp::new(&mut rng),
            rng,
            pool: Pool::new(1),
            events: EventLog::default(),
            counters: Counters::default(),
        }
    }
    fn with<R>(&mut self, verb: impl FnOnce(&mut Udp, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: Instant::ZERO,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.udp, &mut cx)
    }
    fn open(&mut self, local: SocketAddr, remote: Option<SocketAddr>) -> UdpId {
        let id = self.udp.open(Owner(9), SETTINGS);
        self.udp.associate(id, Some(local), remote);
        id
    }
    /// A datagram that arrives as from a cable: filled and to be verified.
    fn arrives(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Up<()> {
        let arrival = self.arrival(from, to, data);
        self.with(|udp, cx| udp.receive(arrival, cx))
    }
    fn arrival(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Arrival {
        let departure = self.with(|_, cx| {
            datagram(
                Flavour::Plain,
                (from, to),
                Chunk::copy_from(data),
                SETTINGS,
                Outlet::default(),
                cx,
            )
        });
        let mut packet = departure.packet;
        packet.fill();
        packet.set_sum(Sum::Unverified);
        arrival(from, to, packet)
    }
    fn recv(&mut self, id: UdpId) -> Result<(Vec<u8>, usize), SocketError> {
        let mut out = [0; 100];
        let (n, len, _) = self.with(|udp, cx| udp.recv(id, &mut out, false, cx))?;
        Ok((out[..n].to_vec(), len))
    }
}
fn arrival(from: SocketAddr, to: SocketAddr, packet: PacketBuf) -> Arrival {
    Arrival {
        src: from.ip(),
        dst: to.ip(),
        protocol: protocol::UDP,
        ttl: 64,
        tos: 0,
        port: PORT,
        group: false,
        packet,
    }
}
fn here(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 1, 10).into(), port)
}
fn anywhere(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)
}
fn peer(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 2, 20).into(), port)
}
fn path() -> Path {
    Path {
        port: PORT,
        next_hop: peer(0).ip(),
        src: here(0).ip(),
        mtu: 1_500,
    }
}
fn is_done(up: Up<()>) -> bool {
    matches!(up, Up::Done)
}

#[test]
fn a_datagram_finds_the_most_exact_socket() {
    let mut host = Host::new();
    let wide = host.open(anywhere(53), None);
    let narrow = host.open(here(53), None);
    let connected = host.open(here(53), Some(peer(1000)));
    let rows = [(connected, peer(1000)), (narrow, peer(1001))];
    for (id, from) in rows {
        assert!(is_done(host.arrives(from, here(53), b"a")));
        assert_eq!(host.recv(id), Ok((b"a".to_vec(), 1)));
    }
    host.udp.close(narrow);
    assert!(is_done(host.arrives(peer(1001), here(53), b"b")));
    assert_eq!(host.recv(wide), Ok((b"b".to_vec(), 1)));
    assert_eq!(host.recv(connected), Err(SocketError::WouldBlock));
}

#[test]
fn nobody_at_the_port_is_answered_with_port_unreachable() {
    let mut host = Host::new();
    host.open(here(53), Some(peer(1000)));
    let up = host.arrives(peer(1001), here(53), b"a");
    assert!(matches!(
        up,
        Up::Drop(DropReason::UdpNoSocket, Some(Reply::PortUnreachable))
    ));
    assert_eq!(host.counters.get(Counter::UdpNoPorts), 1);
}

#[test]
fn a_broadcast_reaches_everyone_at_the_port_and_is_never_answered() {
    let mut host = Host::new();
    let ids = [host.open(anywhere(67), None), host.open(anywhere(67), None)];
    let mut arrival = host.arrival(peer(68), here(67), b"a");
    arrival.group = true;
    assert!(is_done(host.with(|udp, cx| udp.receive(arrival, cx))));
    for id in ids {
        assert_eq!(host.recv(id), Ok((b"a".to_vec(), 1)));
    }
    let mut arrival = host.arrival(peer(68), here(68), b"a");
    arrival.group = true;
    let up = host.with(|udp, cx| udp.receive(arrival, cx));
    assert!(matches!(up, Up::Drop(DropReason::UdpNoSocket, None)));
}

#[test]
fn a_flipped_bit_is_found_by_the_checksum() {
    let mut host = Host::new();
    host.open(here(53), None);
    for bit in [0, 17, 40, 70] {
        let mut arrival = host.arrival(peer(1000), here(53), b"abc");
        arrival.packet = arrival.packet.corrupt(bit);
        let up = host.with(|udp, cx| udp.receive(arrival, cx));
        let reason = match up {
            Up::Drop(reason, None) => reason,
            _ => panic!("bit {bit} went unseen"),
        };
        assert!(matches!(
            reason,
            DropReason::UdpChecksum | DropReason::UdpHeader
        ));
    }
    assert_eq!(host.counters.get(Counter::UdpInErrors), 4);
}

#[test]
fn a_checksum_of_zero_means_none_over_ipv4() {
    let mut host = Host::new();
    let id = host.open(here(53), None);
    let mut arrival = host.arrival(peer(1000), here(53), b"abc");
    arrival.packet.peek_mut(8).unwrap()[6..8].fill(0);
    assert!(is_done(host.with(|udp, cx| udp.receive(arrival, cx))));
    assert_eq!(host.recv(id), Ok((b"abc".to_vec(), 3)));
}

#[test]
fn a_length_beyond_the_packet_is_refused_and_padding_is_cut_off() {
    let mut host = Host::new();
    let id = host.open(here(53), None);
    let mut arrival = host.arrival(peer(1000), here(53), b"abc");
    arrival.packet.append(Chunk::copy_from(&[0; 7]));
    assert!(is_done(host.with(|udp, cx| udp.receive(arrival, cx))));
    assert_eq!(host.recv(id), Ok((b"abc".to_vec(), 3)));
    let mut arrival = host.arrival(peer(1000), here(53), b"abc");
    arrival.packet.truncate(10);
    let up = host.with(|udp, cx| udp.receive(arrival, cx));
    assert!(matches!(up, Up::Drop(DropReason::UdpHeader, None)));
}

#[test]
fn a_short_read_loses_the_rest_and_tells_the_whole_length() {
    let mut host = Host::new();
    let id = host.open(here(53), None);
    host.arrives(peer(1000), here(53), b"abcdef");
    host.arrives(peer(1000), here(53), b"g");
    let mut out = [0; 4];
    let peeked = host.with(|udp, cx| udp.recv(id, &mut out, true, cx));
    assert_eq!(peeked, Ok((4, 6, Some(peer(1000)))));
    let read = host.with(|udp, cx| udp.recv(id, &mut out, false, cx));
    assert_eq!((read, &out), (Ok((4, 6, Some(peer(1000)))), b"abcd"));
    assert_eq!(host.recv(id), Ok((b"g".to_vec(), 1)));
}

#[test]
fn a_full_receive_buffer_drops_and_counts() {
    let mut host = Host::new();
    let id = host.open(here(53), None);
    let mut taken = 0;
    while is_done(host.arrives(peer(1000), here(53), &[0; 500])) {
        taken += 1;
    }
    assert!((5..=9).contains(&taken), "took {taken}");
    assert_eq!(host.counters.get(Counter::UdpRcvbufErrors), 1);
    host.recv(id).unwrap();
    assert!(is_done(host.arrives(peer(1000), here(53), &[0; 500])));
}

#[test]
fn a_full_send_buffer_would_block_until_the_cable_took_a_datagram() {
    let mut host = Host::new();
    let id = host.open(here(53), None);
    let send = |host: &mut Host| {
        let chunk = Chunk::copy_from(&[0; 500]);
        host.with(|udp, cx| udp.send(id, chunk, peer(7), path(), cx))
    };
    while send(&mut host).is_ok() {}
    assert_eq!(send(&mut host), Err(SocketError::WouldBlock));
    assert!(!host.udp.ready(id).contains(Ready::WRITABLE));
    while let Some(departure) = host.udp.poll_transmit(PORT) {
        assert_eq!((departure.src, departure.dst), (here(0).ip(), peer(0).ip()));
    }
    assert!(!host.udp.wants_transmit(PORT));
    let ready = host.udp.poll_ready();
    assert_eq!(ready, Some((Owner(9), Ready::WRITABLE)));
    assert_eq!(host.udp.poll_ready(), None);
    assert_eq!(send(&mut host), Ok(()));
}

#[test]
fn the_hosts_memory_is_bounded_both_ways() {
    let mut host = Host::new();
    let send = |host: &mut Host, id| {
        // One byte that holds on to 200 MB.
        let chunk = Chunk::new(Bytes::from_static(b"x"), 200 << 20);
        host.with(|udp, cx| udp.send(id, chunk, peer(9), path(), cx))
    };
    let sockets: Vec<UdpId> = (1..=3).map(|port| host.open(here(port), None)).collect();
    assert_eq!(send(&mut host, sockets[0]), Ok(()));
    assert_eq!(send(&mut host, sockets[1]), Ok(()));
    assert_eq!(send(&mut host, sockets[2]), Err(SocketError::NoBuffers));
    assert!(host.udp.poll_transmit(PORT).is_some() && host.udp.poll_transmit(PORT).is_some());
    assert_eq!(send(&mut host, sockets[2]), Ok(()));
    host.udp.received = MEMORY + 1;
    let verdict = host.arrives(peer(9), here(1), b"too much");
    assert!(matches!(verdict, Up::Drop(DropReason::HostMemory, None)));
    host.udp.received = 0;
    assert!(is_done(host.arrives(peer(9), here(1), b"fine")));
}

#[test]
fn a_small_datagram_does_not_hold_on_to_a_big_allocation() {
    let mut host = Host::new();
    host.open(here(53), None);
    let mut arrival = host.arrival(peer(7), here(53), b"");
    let big = Bytes::from(vec![0; 65_536]).slice(..1);
    arrival.packet.append(Chunk::new(big, 65_536));
    arrival.packet.peek_mut(8).unwrap()[4..8].copy_from_slice(&[0, 9, 0, 0]);
    assert!(is_done(host.with(|udp, cx| udp.receive(arrival, cx))));
    assert!(host.udp.received < 1000, "{}", host.udp.received);
}

#[test]
fn only_a_connected_socket_hears_of_port_unreachable_and_once() {
    let mut host = Host::new();
    let alone = host.open(here(53), None);
    let connected = host.open(here(54), Some(peer(7)));
    for port in [53, 54] {
        let flow = Flow {
            protocol: protocol::UDP,
            local: here(port),
            remote: peer(7),
            word: 0,
        };
        for error in [NetError::HostUnreachable, NetError::PortUnreachable] {
            let heard = host.with(|udp, cx| udp.unreachable(flow, error, None, cx));
            assert_eq!(heard, Ok(()));
        }
    }
    assert!(host.udp.ready(connected).contains(Ready::ERROR));
    assert_eq!(host.recv(connected), Err(SocketError::ConnectionRefused));
    assert_eq!(host.recv(connected), Err(SocketError::WouldBlock));
    assert_eq!(host.recv(alone), Err(SocketError::WouldBlock));
}

/// A socket that asked for errors (IP_RECVERR), and may not be fragmented.
fn curious(host: &mut Host, local: SocketAddr) -> UdpId {
    let id = host.open(local, None);
    let settings = Settings {
        recv_err: true,
        dont_fragment: true,
        ..SETTINGS
    };
    host.udp.set(id, settings);
    id
}
fn flow_to(port: u16) -> Flow {
    Flow {
        protocol: protocol::UDP,
        local: here(53),
        remote: peer(port),
        word: 0,
    }
}
fn told(kind: u8) -> Told {
    use heptad_wire::icmpv4::Icmpv4;
    let message = Icmpv4::parse(&[kind, 0, 0, 0, 0, 0, 0, 0]).expect("a header");
    Told {
        from: "192.0.2.1".parse().expect("an address"),
        message: crate::l3_network::IcmpError::V4(message),
        ttl: 60,
        quoted: Bytes::new(),
        transport: 0,
    }
}

#[test]
fn with_recv_err_a_socket_without_a_peer_hears_who_said_what_of_which_datagram() {
    let mut host = Host::new();
    let id = curious(&mut host, here(53));
    let send = |host: &mut Host, port| {
        let chunk = Chunk::copy_from(b"a");
        host.with(|udp, cx| udp.send(id, chunk, peer(port), path(), cx))
    };
    assert_eq!(send(&mut host, 7), Ok(()));
    assert_eq!(send(&mut host, 8), Ok(()));
    for (port, error, kind) in [
        (7, NetError::TimeExceeded, 11),
        (8, NetError::PortUnreachable, 3),
        // Nothing went there: somebody guesses.
        (9, NetError::PortUnreachable, 3),
    ] {
        let expected = match port {
            9 => Err(DropReason::IcmpNoFlow),
            _ => Ok(()),
        };
        let told = Some(told(kind));
        let heard = host.with(|udp, cx| udp.unreachable(flow_to(port), error, told, cx));
        assert_eq!(heard, expected);
    }
    assert!(host.udp.ready(id).contains(Ready::ERROR));
    let first = host.udp.recv_error(id).expect("an error");
    assert_eq!(
        (first.error, first.remote),
        (SocketError::HostUnreachable, peer(7))
    );
    assert_eq!(first.told, Some(told(11)));
    // What is next is pending, as Linux has it.
    assert_eq!(host.recv(id), Err(SocketError::ConnectionRefused));
    let second = host.udp.recv_error(id).expect("another");
    assert_eq!(
        (second.error, second.remote),
        (SocketError::ConnectionRefused, peer(8))
    );
    assert_eq!(host.udp.recv_error(id), None);
    assert!(!host.udp.ready(id).contains(Ready::ERROR));
    assert_eq!(send(&mut host, 7), Ok(()));
}

#[test]
fn what_may_not_be_fragmented_is_refused_at_once_and_the_queue_has_the_mtu() {
    let mut host = Host::new();
    let id = curious(&mut host, here(53));
    let mtu = path().mtu;
    let send = |host: &mut Host, len| {
        let chunk = Chunk::copy_from(&vec![0; len]);
        host.with(|udp, cx| udp.send(id, chunk, peer(7), path(), cx))
    };
    let most = mtu as usize - 28;
    assert_eq!(send(&mut host, most), Ok(()));
    assert_eq!(send(&mut host, most + 1), Err(SocketError::MessageTooLong));
    let refused = host.udp.recv_error(id).expect("its length");
    assert_eq!((refused.mtu, refused.told), (Some(mtu), None));
    // A router knows better; that is pending too.
    let heard = host.with(|udp, cx| udp.path_mtu(flow_to(7), 1280, Some(told(3)), cx));
    assert_eq!(heard, Ok(()));
    assert_eq!(send(&mut host, 1), Err(SocketError::MessageTooLong));
    let narrow = host.udp.recv_error(id).expect("a narrow way");
    assert_eq!((narrow.mtu, narrow.told), (Some(1280), Some(told(3))));
}

#[test]
fn the_error_queue_is_bounded_and_ends_with_the_option() {
    let mut host = Host::new();
    let id = curious(&mut host, here(53));
    let chunk = Chunk::copy_from(b"a");
    host.with(|udp, cx| udp.send(id, chunk, peer(7), path(), cx))
        .expect("room");
    for n in 0..1_000 {
        let error = NetError::PortUnreachable;
        let heard = host.with(|udp, cx| udp.unreachable(flow_to(7), error, Some(told(3)), cx));
        let full = Err(DropReason::ErrorQueueFull);
        assert_eq!(heard, if n < 256 { Ok(()) } else { full });
    }
    let heard = core::iter::from_fn(|| host.udp.recv_error(id)).count();
    assert_eq!(heard, 256);
    let error = NetError::HostUnreachable;
    let heard = host.with(|udp, cx| udp.unreachable(flow_to(7), error, None, cx));
    assert_eq!(heard, Ok(()));
    host.udp.set(id, SETTINGS);
    assert_eq!(host.udp.recv_error(id), None);
}

#[test]
fn what_a_closed_socket_sent_still_leaves_and_its_slot_may_be_used_again() {
    let mut host = Host::new();
    let old = host.open(here(53), None);
    let chunk = Chunk::copy_from(b"a");
    host.with(|udp, cx| udp.send(old, chunk, peer(7), path(), cx))
        .unwrap();
    host.udp.close(old);
    let new = host.open(here(54), None);
    assert!(host.udp.poll_transmit(PORT).is_some());
    assert_eq!(host.udp.queues(new), (0, 0));
    assert_eq!((host.udp.unsent, host.udp.received), (0, 0));
}

#[test]
fn sockets_with_reuse_port_share_by_flow() {
    let mut host = Host::new();
    let ids = [host.open(anywhere(53), None), host.open(anywhere(53), None)];
    for id in ids {
        let settings = Settings {
            reuse_port: true,
            rcvbuf: 1 << 20,
            ..SETTINGS
        };
        host.udp.set(id, settings);
    }
    for _ in 0..2 {
        (0..50).for_each(|n| assert!(is_done(host.arrives(peer(n), here(53), &[n as u8]))));
    }
    let counts = ids.map(|id| core::iter::from_fn(|| host.recv(id).ok()).count());
    assert_eq!(counts.iter().sum::<usize>(), 100);
    assert!(counts.iter().all(|n| *n >= 20 && n % 2 == 0), "{counts:?}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), group: bool) {
        let mut host = Host::new();
        host.open(here(53), None);
        let packet = host.pool.from_bytes(bytes.into());
        let mut arrival = arrival(peer(1000), here(53), packet);
        arrival.group = group;
        host.with(|udp, cx| udp.receive(arrival, cx));
    }
    #[test]
    fn what_is_sent_is_what_arrives(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut host = Host::new();
        let id = host.open(here(53), None);
        prop_assert!(is_done(host.arrives(peer(1000), here(53), &data)));
        let got = host.with(|udp, cx| udp.recv_bytes(id, usize::MAX, cx)).unwrap();
        prop_assert_eq!(vec![got], vec![Bytes::from(data)]);
    }
}

#[test]
fn what_a_udp_lite_header_says_of_its_coverage_is_kept_to() {
    //= rfc3828#3.1
    //# Packets with a Checksum Coverage greater than the IP length MUST also be discarded.
    let (from, to) = (peer(1000), here(53));
    // Coverage of a datagram of 8 and 12 bytes, which of its bytes is damaged on the way, what becomes of it.
    let rows: [(u16, Option<usize>, Option<DropReason>); 14] = [
        (0, None, None),
        (1, None, Some(DropReason::UdpLiteCoverage)),
        (7, None, Some(DropReason::UdpLiteCoverage)),
        (8, None, None),
        (11, None, None),
        (20, None, None),
        (21, None, Some(DropReason::UdpLiteCoverage)),
        (u16::MAX, None, Some(DropReason::UdpLiteCoverage)),
        (0, Some(19), Some(DropReason::UdpChecksum)),
        (20, Some(19), Some(DropReason::UdpChecksum)),
        (19, Some(19), None),
        (8, Some(8), None),
        (9, Some(8), Some(DropReason::UdpChecksum)),
        (8, Some(0), Some(DropReason::UdpChecksum)),
    ];
    for (coverage, damaged, expected) in rows {
        let mut host = Host::new();
        host.udp = host.udp.lite();
        let id = host.open(here(53), None);
        let mut bytes = lite_bytes((from, to), coverage, b"twelve bytes");
        if let Some(at) = damaged {
            bytes[at] ^= 0x40;
        }
        let arrival = arrival(from, to, host.pool.from_bytes(bytes.into()));
        let came = host.with(|udp, cx| udp.receive(arrival, cx));
        let dropped = match came {
            Up::Drop(reason, None) => Some(reason),
            _ => None,
        };
        assert_eq!(dropped, expected, "{coverage} {damaged:?}");
        assert_eq!(host.recv(id).is_ok(), expected.is_none(), "{coverage}");
        let counted = host.counters.get(Counter::UdpLiteInCsumErrors);
        assert_eq!(counted, u64::from(expected.is_some()), "{coverage}");
    }
}

//= rfc3828#3.1
//# Irrespective of the Checksum Coverage, the computed Checksum field MUST NOT be zero.
#[test]
fn a_udp_lite_checksum_of_zero_is_none() {
    let (from, to) = (peer(1000), here(53));
    let mut host = Host::new();
    host.udp = host.udp.lite();
    host.open(here(53), None);
    let mut bytes = lite_bytes((from, to), 8, b"text");
    bytes[6..8].fill(0);
    let arrival = arrival(from, to, host.pool.from_bytes(bytes.into()));
    let came = host.with(|udp, cx| udp.receive(arrival, cx));
    assert!(matches!(came, Up::Drop(DropReason::UdpChecksum, None)));
}

/// As on the cable, with its checksum made by hand.
fn lite_bytes((from, to): (SocketAddr, SocketAddr), coverage: u16, data: &[u8]) -> Vec<u8> {
    let [source, destination] = [from.port(), to.port()].map(u16::to_be_bytes);
    let mut bytes = [source, destination, coverage.to_be_bytes(), [0; 2]].concat();
    bytes.extend_from_slice(data);
    let covered = match coverage {
        0 => bytes.len(),
        some => bytes.len().min(some.into()),
    };
    let total = bytes.len() as u32;
    let pseudo = checksum::pseudo_header(from.ip(), to.ip(), protocol::UDP_LITE, total);
    let sum = !checksum::add(pseudo, checksum::sum(&bytes[..covered]));
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}
