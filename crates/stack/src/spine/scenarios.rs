//! Hosts wired by hand: what they send each other below layer 4.
use std::string::String;
use std::vec::Vec;

use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use heptad_wire::ethernet;
use heptad_wire::icmpv4::{self, Icmpv4};
use heptad_wire::ipv4::{Ipv4Header, Options, protocol};
use heptad_wire::{Chunk, EtherType, EthernetHeader, MacAddr, PacketBuf, Pool, Sum, checksum};

use crate::l1_physical::Loopback;
use crate::l3_network::Departure;
use crate::stack::Route;
use crate::time::Duration;
use crate::{
    Caps, Counter, Counters, Cx, DropReason, Event, EventLog, EventMask, Instant, Medium,
    PortConfig, PortId, Rng, Stack, StackConfig,
};

const ETH0: PortId = PortId(1);
const ETH1: PortId = PortId(2);

/// A host and what its `Cx` brings.
struct Host {
    stack: Stack,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    counters: Counters,
    now: Instant,
}
impl Host {
    fn new(number: u8, forwarding: bool) -> Self {
        let mut rng = Rng::from_seed([number; 32]);
        let mut pool = Pool::new(u32::from(number));
        let mut events = EventLog::new(EventMask::ALL);
        let mut counters = Counters::default();
        let stack = Stack::new(
            StackConfig {
                forwarding,
                ..StackConfig::default()
            },
            &mut Cx {
                now: Instant::ZERO,
                rng: &mut rng,
                pool: &mut pool,
                events: &mut events,
                counters: &mut counters,
            },
        );
        Self {
            stack,
            rng,
            pool,
            events,
            counters,
            now: Instant::ZERO,
        }
    }
    fn with_port(mut self, mac: u8, address: &str, len: u8, mtu: u32) -> Self {
        let port = self.stack.add_port(PortConfig {
            name: "eth".into(),
            medium: Medium::Ethernet(mac_of(mac)),
            mtu,
            caps: Caps::FRAMES,
            queue_limit: 1000,
        });
        self.stack.add_address(port, ip(address), len).unwrap();
        self
    }
    fn with_gateway(mut self, via: &str) -> Self {
        let route = Route {
            prefix: ip("0.0.0.0"),
            len: 0,
            via: Some(ip(via)),
            port: ETH0,
        };
        self.stack.add_route(route).unwrap();
        self
    }
    fn cx<R>(&mut self, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.stack, &mut cx)
    }
    fn receive(&mut self, port: PortId, frame: PacketBuf) -> Result<(), DropReason> {
        self.cx(|stack, cx| stack.receive(port, frame, cx))
    }
    /// As from outside: nothing is known of it.
    fn receive_bytes(&mut self, port: PortId, bytes: Vec<u8>) -> Result<(), DropReason> {
        let frame = self.pool.from_bytes(Bytes::from(bytes));
        self.receive(port, frame)
    }
    fn drain(&mut self, port: PortId) -> Vec<PacketBuf> {
        self.cx(|stack, cx| {
            core::iter::from_fn(|| stack.poll_transmit(port, cx)).collect::<Vec<_>>()
        })
    }
    fn advance(&mut self, to: Instant) {
        self.now = to;
        self.cx(|stack, cx| stack.on_timeout(cx));
    }
    fn ping(&mut self, src: &str, dst: &str, size: usize, df: bool) {
        let mut packet = self.pool.packet();
        packet.append(Chunk::new(Bytes::from(pattern(size)), size));
        let request = Icmpv4::EchoRequest { id: 7, seq: 1 };
        crate::l3_network::write_icmp_header(&mut packet, &request);
        let departure = Departure {
            src: ip(src),
            dst: ip(dst),
            protocol: protocol::ICMP,
            ttl: 64,
            tos: 0,
            dont_fragment: df,
            segment: None,
            packet,
        };
        self.cx(|stack, cx| stack.transmit(departure, cx));
    }
    fn get(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }
    fn drops(&self) -> Vec<(DropReason, u64)> {
        let all = DropReason::ALL
            .iter()
            .map(|r| (*r, self.counters.drops(*r)));
        all.filter(|(_, n)| *n > 0).collect()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}
fn mac_of(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 % 251) as u8).collect()
}

/// Carries frames between two ports until both are silent.
fn settle(a: (&mut Host, PortId), b: (&mut Host, PortId)) -> usize {
    let mut carried = 0;
    loop {
        let (from_a, from_b) = (a.0.drain(a.1), b.0.drain(b.1));
        if from_a.is_empty() && from_b.is_empty() {
            return carried;
        }
        carried += from_a.len() + from_b.len();
        for frame in from_a {
            let _ = b.0.receive(b.1, frame);
        }
        for frame in from_b {
            let _ = a.0.receive(a.1, frame);
        }
    }
}

fn alice_and_bob() -> (Host, Host) {
    (
        Host::new(1, false).with_port(1, "10.0.1.10", 24, 1500),
        Host::new(2, false).with_port(2, "10.0.1.20", 24, 1500),
    )
}

/// An IPv4 packet with this payload as it stands on a cable to `mac`.
fn frame_to(mac: MacAddr, header: &Ipv4Header, payload: &[u8]) -> Vec<u8> {
    let mut out = std::vec![0; ethernet::HEADER_LEN + header.len()];
    EthernetHeader {
        dst: mac,
        src: mac_of(99),
        ethertype: EtherType::IPV4,
    }
    .emit(&mut out);
    header.emit(&mut out[ethernet::HEADER_LEN..]);
    out.extend_from_slice(payload);
    out
}
fn header(src: &str, dst: &str, protocol: u8, payload: usize) -> Ipv4Header {
    Ipv4Header {
        tos: 0,
        total_len: (20 + payload) as u16,
        id: 1,
        reserved: false,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol,
        src: v4(src),
        dst: v4(dst),
        options: Options::NONE,
    }
}
fn echo_request(size: usize) -> Vec<u8> {
    let mut message = std::vec![0; icmpv4::HEADER_LEN];
    message.extend(pattern(size));
    let request = Icmpv4::EchoRequest { id: 7, seq: 1 };
    request.emit(0, &mut message);
    let sum = !checksum::sum(&message);
    request.emit(sum, &mut message);
    message
}
/// The ICMP message that a frame carries, and its IPv4 header.
fn icmp_in(frame: &PacketBuf) -> (Ipv4Header, Icmpv4, Vec<u8>) {
    let mut bytes = Vec::new();
    frame.write_to(&mut bytes);
    let header = Ipv4Header::parse(&bytes[14..]).unwrap();
    let message = &bytes[14 + header.len()..];
    assert_eq!(checksum::sum(message), 0xffff, "ICMP checksum");
    (
        header,
        Icmpv4::parse(message).unwrap(),
        message[8..].to_vec(),
    )
}

#[test]
fn a_ping_asks_for_the_address_first_and_is_answered() {
    let (mut alice, mut bob) = alice_and_bob();
    alice.ping("10.0.1.10", "10.0.1.20", 56, false);
    let states =
        |host: &Host| -> Vec<_> { host.stack.neighbours().iter().map(|n| n.state).collect() };
    assert_eq!(states(&alice), ["INCOMPLETE"]);
    // ARP request, ARP reply, echo request, echo reply.
    assert_eq!(settle((&mut alice, ETH0), (&mut bob, ETH0)), 4);
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
    assert_eq!(bob.get(Counter::IcmpInEchos), 1);
    assert_eq!(bob.get(Counter::IcmpOutEchoReps), 1);
    assert_eq!(states(&alice), ["REACHABLE"]);
    // Bob learnt from the question, and has just used what he learnt.
    assert_eq!(states(&bob), ["DELAY"]);
    assert_eq!(bob.drops(), []);
    let resolved = Event::Resolved {
        ip: ip("10.0.1.20"),
        mac: mac_of(2),
    };
    assert_eq!(alice.events.take().map(|(_, event)| event), Some(resolved));
}

#[test]
fn an_echo_of_64_kilobytes_goes_and_comes_in_fragments() {
    let (mut alice, mut bob) = alice_and_bob();
    alice.ping("10.0.1.10", "10.0.1.20", 65_507, false);
    settle((&mut alice, ETH0), (&mut bob, ETH0));
    assert_eq!(bob.get(Counter::IpReasmOks), 1);
    assert_eq!(bob.get(Counter::IpReasmReqds), 45);
    assert_eq!(bob.get(Counter::IpFragCreates), 45);
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
    assert_eq!(alice.get(Counter::IcmpInErrors), 0);
}

#[test]
fn nobody_answers_and_those_who_wait_are_told() {
    let (mut alice, _) = alice_and_bob();
    for _ in 0..3 {
        alice.ping("10.0.1.10", "10.0.1.99", 8, false);
    }
    let mut asked = alice.drain(ETH0).len();
    let mut at = Vec::new();
    while let Some(next) = alice.stack.poll_at() {
        alice.advance(next);
        asked += alice.drain(ETH0).len();
        at.push(next.as_millis());
    }
    assert_eq!((asked, at), (3, std::vec![1000, 2000, 3000]));
    assert_eq!(alice.drops(), [(DropReason::NeighbourUnreachable, 3)]);
    assert!(alice.stack.neighbours().is_empty());
}

#[test]
fn a_router_carries_packets_between_its_cables() {
    let mut alice = Host::new(1, false)
        .with_port(1, "10.0.1.10", 24, 1500)
        .with_gateway("10.0.1.1");
    let mut bob = Host::new(2, false)
        .with_port(2, "10.0.2.20", 24, 1500)
        .with_gateway("10.0.2.1");
    let mut r1 = Host::new(3, true)
        .with_port(3, "10.0.1.1", 24, 1500)
        .with_port(4, "10.0.2.1", 24, 1500);
    alice.ping("10.0.1.10", "10.0.2.20", 4000, false);
    for _ in 0..4 {
        settle((&mut alice, ETH0), (&mut r1, ETH0));
        settle((&mut r1, ETH1), (&mut bob, ETH0));
    }
    assert_eq!(alice.get(Counter::IcmpInEchoReps), 1);
    assert_eq!(r1.get(Counter::IpForwDatagrams), 6);
    assert_eq!(r1.get(Counter::IpReasmReqds), 0);
    assert_eq!(r1.drops(), []);
    let macs: Vec<_> = r1
        .stack
        .neighbours()
        .iter()
        .map(|n| (n.port, n.mac))
        .collect();
    assert_eq!(macs, [(ETH0, Some(mac_of(1))), (ETH1, Some(mac_of(2)))]);
}
