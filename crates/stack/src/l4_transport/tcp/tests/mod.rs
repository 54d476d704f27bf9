//! A hand-driven peer, and two hosts joined by a lossy wire with virtual time.
mod attacks;
mod fast_open;
mod handshake;
mod known_attacks;
mod limits;
mod long_run;
mod pair;
mod peer;
mod programs;
mod recovery;
mod syn_cookies;
mod telling;
mod transfer;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use heptad_wire::tcp::{Flags, TcpHeader, TcpOptions};
use heptad_wire::{Chunk, Pool};

use super::*;
use crate::Counters;
use crate::event::{EventLog, EventMask};
use crate::l1_physical::PortId;
use crate::rng::Rng;
use crate::time::Duration;

pub const PORT: PortId = PortId(1);
pub const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1));
pub const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
pub fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}
pub fn path(src: IpAddr, mtu: u32) -> Path {
    let next_hop = if src == A { B } else { A };
    Path {
        port: PORT,
        next_hop,
        src,
        mtu,
    }
}

/// One host with all that a `Cx` borrows.
pub struct Host {
    pub ip: IpAddr,
    pub now: Instant,
    pub tcp: Tcp,
    pub mtu: u32,
    pub rng: Rng,
    pub pool: Pool,
    pub events: EventLog,
    pub counters: Counters,
}

impl Host {
    pub fn new(ip: IpAddr, seed: u8, config: Config) -> Self {
        let mut rng = Rng::from_seed([seed; 32]);
        let mut pool = Pool::new(u32::from(seed));
        let mut events = EventLog::new(EventMask::ALL);
        let mut counters = Counters::default();
        let tcp = Tcp::new(
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
            ip,
            now: Instant::ZERO,
            tcp,
            mtu: 1500,
            rng,
            pool,
            events,
            counters,
        }
    }
    pub fn with<R>(&mut self, verb: impl FnOnce(&mut Tcp, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.tcp, &mut cx)
    }
    pub fn receive(&mut self, arrival: Arrival) -> Up<()> {
        let back = path(self.ip, self.mtu);
        self.with(|tcp, cx| tcp.receive(arrival, &|_, _| Some(back), cx))
    }
    pub fn transmit(&mut self) -> Option<Departure> {
        self.with(|tcp, cx| tcp.poll_transmit(PORT, cx))
    }
    pub fn connect(&mut self, port: u16, remote: SocketAddr, options: Options) -> ConnId {
        let way = path(self.ip, self.mtu);
        let local = at(self.ip, port);
        self.with(|tcp, cx| tcp.connect(local, remote, way, options, Owner(1), cx))
            .unwrap()
    }
    pub fn listen(&mut self, port: u16, backlog: u32, options: Options) -> ListenerId {
        self.tcp
            .listen(at(self.ip, port), backlog, options, Owner(9))
            .unwrap()
    }
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }
    pub fn state(&self, id: ConnId) -> State {
        self.tcp.status(id).map_or(State::Closed, |s| s.state)
    }
}

/// What left, read again.
pub struct Sent {
    pub header: TcpHeader,
    pub text: Vec<u8>,
    pub options: super::options::SegmentOptions,
    pub cut: Option<u16>,
}
pub fn read(mut departure: Departure) -> Sent {
    assert_eq!(departure.protocol, 6);
    assert!(departure.dont_fragment);
    departure.packet.fill();
    let mut bytes = Vec::new();
    departure.packet.write_to(&mut bytes);
    let sum = heptad_wire::checksum::add(
        heptad_wire::checksum::sum(&bytes),
        heptad_wire::checksum::pseudo_header(departure.src, departure.dst, 6, bytes.len() as u32),
    );
    assert_eq!(sum, 0xffff, "checksum");
    let len = TcpHeader::len_of(bytes[12]).unwrap();
    let header = TcpHeader::parse(&bytes[..len]).unwrap();
    Sent {
        options: super::options::SegmentOptions::read(&header.options),
        header,
        text: bytes[len..].to_vec(),
        cut: departure.segment,
    }
}

/// A segment from B to A, or the other way round, as layer 3 hands it up.
pub fn arrival(
    pool: &mut Pool,
    (src, dst): (SocketAddr, SocketAddr),
    mut header: TcpHeader,
    text: &[u8],
) -> Arrival {
    header.src_port = src.port();
    header.dst_port = dst.port();
    header.options.pad();
    let mut packet = pool.packet();
    header.emit(packet.push(header.len()));
    if !text.is_empty() {
        packet.append(Chunk::copy_from(text));
    }
    Arrival {
        src: src.ip(),
        dst: dst.ip(),
        protocol: 6,
        ttl: 64,
        tos: 0,
        port: PORT,
        group: false,
        packet,
    }
}
pub fn blank_header() -> TcpHeader {
    TcpHeader {
        src_port: 0,
        dst_port: 0,
        seq: 0,
        ack: 0,
        reserved: 0,
        flags: Flags(0),
        window: 0,
        checksum: 0,
        urgent: 0,
        options: TcpOptions::NONE,
    }
}
/// `SA`, `F.`: S F R P and a dot for ACK, as packetdrill writes them.
pub fn flags(text: &str) -> Flags {
    text.chars().fold(Flags(0), |f, c| {
        f | match c {
            'S' => Flags::SYN,
            'F' => Flags::FIN,
            'R' => Flags::RST,
            'P' => Flags::PSH,
            '.' => Flags::ACK,
            '-' => Flags(0),
            _ => panic!("flag {c}"),
        }
    })
}
pub fn flag_text(flags: Flags) -> String {
    let mut text = String::new();
    for (flag, c) in [
        (Flags::SYN, 'S'),
        (Flags::FIN, 'F'),
        (Flags::RST, 'R'),
        (Flags::PSH, 'P'),
        (Flags::ACK, '.'),
    ] {
        if flags.contains(flag) {
            text.push(c);
        }
    }
    text
}
