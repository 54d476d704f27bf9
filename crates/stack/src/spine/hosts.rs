//! Hosts for tests, wired by hand.
use std::vec::Vec;

use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use heptad_wire::ethernet;
use heptad_wire::icmpv4::{self, Icmpv4};
use heptad_wire::ipv4::{Ipv4Header, protocol};
use heptad_wire::{Chunk, EtherType, EthernetHeader, MacAddr, PacketBuf, Pool, checksum};

use crate::l3_network::{Departure, Outlet};
use crate::stack::Route;
use crate::{
    Caps, Counter, Counters, Cx, DropReason, EventLog, EventMask, Instant, Medium, PortConfig,
    PortId, Rng, Stack, StackConfig,
};

pub(super) const ETH0: PortId = PortId(1);
pub(super) const ETH1: PortId = PortId(2);

/// A host and what its `Cx` brings.
pub(super) struct Host {
    pub(super) stack: Stack,
    pub(super) rng: Rng,
    pub(super) pool: Pool,
    pub(super) events: EventLog,
    pub(super) counters: Counters,
    pub(super) now: Instant,
}
impl Host {
    pub(super) fn new(number: u8, forwarding: bool) -> Self {
        let config = StackConfig {
            forwarding,
            ..StackConfig::default()
        };
        Self::configured(number, config)
    }
    pub(super) fn configured(number: u8, config: StackConfig) -> Self {
        let mut rng = Rng::from_seed([number; 32]);
        let mut pool = Pool::new(u32::from(number));
        let mut events = EventLog::new(EventMask::ALL);
        let mut counters = Counters::default();
        let stack = Stack::new(
            config,
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
    pub(super) fn with_port(mut self, mac: u8, address: &str, len: u8, mtu: u32) -> Self {
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
    pub(super) fn with_gateway(mut self, via: &str) -> Self {
        let route = Route {
            prefix: ip("0.0.0.0"),
            len: 0,
            via: Some(ip(via)),
            port: ETH0,
        };
        self.stack.add_route(route).unwrap();
        self
    }
    pub(super) fn cx<R>(&mut self, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.stack, &mut cx)
    }
    pub(super) fn receive(&mut self, port: PortId, frame: PacketBuf) -> Result<(), DropReason> {
        self.cx(|stack, cx| stack.receive(port, frame, cx))
    }
    /// As from outside: nothing is known of it.
    pub(super) fn receive_bytes(&mut self, port: PortId, bytes: Vec<u8>) -> Result<(), DropReason> {
        let frame = self.pool.from_bytes(Bytes::from(bytes));
        self.receive(port, frame)
    }
    pub(super) fn drain(&mut self, port: PortId) -> Vec<PacketBuf> {
        self.cx(|stack, cx| {
            core::iter::from_fn(|| stack.poll_transmit(port, cx)).collect::<Vec<_>>()
        })
    }
    pub(super) fn advance(&mut self, to: Instant) {
        self.now = to;
        self.cx(|stack, cx| stack.on_timeout(cx));
    }
    pub(super) fn ping(&mut self, src: &str, dst: &str, size: usize, df: bool) {
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
            outlet: Outlet::default(),
            segment: None,
            packet,
        };
        self.cx(|stack, cx| stack.transmit(departure, cx));
    }
    pub(super) fn get(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }
    pub(super) fn drops(&self) -> Vec<(DropReason, u64)> {
        let all = DropReason::ALL
            .iter()
            .map(|r| (*r, self.counters.drops(*r)));
        all.filter(|(_, n)| *n > 0).collect()
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
pub(super) fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}
pub(super) fn mac_of(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}
pub(super) fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 % 251) as u8).collect()
}

/// Carries frames between two ports until both are silent.
pub(super) fn settle(a: (&mut Host, PortId), b: (&mut Host, PortId)) -> usize {
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

pub(super) fn alice_and_bob() -> (Host, Host) {
    (
        Host::new(1, false).with_port(1, "10.0.1.10", 24, 1500),
        Host::new(2, false).with_port(2, "10.0.1.20", 24, 1500),
    )
}

/// An IPv4 packet with this payload as it stands on a cable to `mac`.
pub(super) fn frame_to(mac: MacAddr, header: &Ipv4Header, payload: &[u8]) -> Vec<u8> {
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
pub(super) fn header(src: &str, dst: &str, protocol: u8, payload: usize) -> Ipv4Header {
    Ipv4Header {
        id: 1,
        dont_fragment: false,
        ..Ipv4Header::plain((v4(src), v4(dst)), protocol, payload)
    }
}
pub(super) fn echo_request(size: usize) -> Vec<u8> {
    let mut message = std::vec![0; icmpv4::HEADER_LEN];
    message.extend(pattern(size));
    let request = Icmpv4::EchoRequest { id: 7, seq: 1 };
    request.emit(0, &mut message);
    let sum = !checksum::sum(&message);
    request.emit(sum, &mut message);
    message
}
/// The ICMP message that a frame carries, and its IPv4 header.
pub(super) fn icmp_in(frame: &PacketBuf) -> (Ipv4Header, Icmpv4, Vec<u8>) {
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
