//! A million spoofed SYNs, and what is left of them in memory: every byte that the process allocates is counted.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use heptad_stack::stack::Route;
use heptad_stack::wire::ipv4::Ipv4Header;
use heptad_stack::wire::ipv6::Ipv6Header;
use heptad_stack::wire::tcp::{Flags, TcpHeader, TcpOption, TcpOptions};
use heptad_stack::wire::{PacketBuf, Pool, Sum};
use heptad_stack::{
    Caps, Counter, Counters, Cx, EventLog, Instant, Medium, PortConfig, PortId, Rng, SocketError,
    SocketId, SocketKind, Stack, StackConfig,
};

#[path = "../src/allocations.rs"]
mod allocations;

const SYNS: u32 = 1_000_000;
const BACKLOG: u32 = 128;
/// What the host may grow by, bytes.
const MOST: i64 = 2 << 20;
/// 100,000 SYNs a second.
const BETWEEN: Duration = Duration::from_micros(10);
const SERVICE: u16 = 80;

#[derive(Clone, Copy)]
enum Over {
    Ipv4,
    Ipv6,
}
impl Over {
    /// An address of the cable's network.
    fn host(self, n: u8) -> IpAddr {
        match self {
            Self::Ipv4 => Ipv4Addr::new(10, 0, 0, n).into(),
            Self::Ipv6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into(),
        }
    }
    /// The SYN of a stranger that nobody has ever heard of.
    fn spoofed(self, n: u32, pool: &mut Pool) -> PacketBuf {
        let mut options = TcpOptions::NONE;
        options.push(TcpOption::Mss(1460));
        let tcp = TcpHeader {
            src_port: 1024 + (n % 60_000) as u16,
            dst_port: SERVICE,
            seq: n.wrapping_mul(0x9e37_79b9),
            ack: 0,
            reserved: 0,
            flags: Flags::SYN,
            window: 1000,
            checksum: 0,
            urgent: 0,
            options,
        };
        let mut packet = pool.packet();
        tcp.emit(packet.push(tcp.len()));
        match self {
            Self::Ipv4 => self.put_ipv4(n, &mut packet),
            Self::Ipv6 => self.put_ipv6(n, &mut packet),
        }
        packet.set_sum(Sum::Verified);
        packet
    }
    fn put_ipv4(self, n: u32, packet: &mut PacketBuf) {
        let ends = (
            Ipv4Addr::from_bits(0x2000_0000 + n),
            Ipv4Addr::new(10, 0, 0, 1),
        );
        let header = Ipv4Header {
            id: n as u16,
            ..Ipv4Header::plain(ends, 6, packet.len())
        };
        header.emit(packet.push(20));
    }
    fn put_ipv6(self, n: u32, packet: &mut PacketBuf) {
        let src = Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(n));
        let dst = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
        let header = Ipv6Header::plain((src, dst), 6, packet.len());
        header.emit(packet.push(40));
    }
}

/// One host and what it borrows for each call.
struct Host {
    stack: Stack,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    counters: Counters,
    port: PortId,
}
impl Host {
    fn new(n: u8, over: Over) -> Self {
        let mut rng = Rng::from_seed([n; 32]);
        let mut pool = Pool::new(u32::from(n));
        let (mut events, mut counters) = (EventLog::default(), Counters::default());
        let mut cx = Cx {
            now: Instant::ZERO,
            rng: &mut rng,
            pool: &mut pool,
            events: &mut events,
            counters: &mut counters,
        };
        let mut stack = Stack::new(StackConfig::default(), &mut cx);
        let port = stack.add_port(PortConfig {
            name: "tun0".into(),
            medium: Medium::Ip,
            mtu: 1500,
            caps: Caps::MEMORY,
            queue_limit: 1000,
        });
        // everything is on this cable: strangers too
        let len = if over.host(n).is_ipv4() { 24 } else { 64 };
        stack.add_address(port, over.host(n), len).unwrap();
        let all = if over.host(n).is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        stack.add_route(Route::to(all, 0, port)).unwrap();
        Self {
            stack,
            rng,
            pool,
            events,
            counters,
            port,
        }
    }
    fn with<R>(&mut self, now: Instant, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.stack, &mut cx)
    }
    fn receive(&mut self, now: Instant, frame: PacketBuf) {
        let port = self.port;
        self.with(now, |stack, cx| {
            let _ = stack.receive(port, frame, cx);
            if stack.poll_at().is_some_and(|at| at <= cx.now) {
                stack.on_timeout(cx);
            }
            while stack.poll_ready().is_some() {}
        });
    }
    fn transmit(&mut self, now: Instant) -> Option<PacketBuf> {
        let port = self.port;
        self.with(now, |stack, cx| stack.poll_transmit(port, cx))
    }
    fn socket(&mut self, over: Over) -> SocketId {
        let ip = over.host(1);
        self.stack.socket(ip, SocketKind::Stream).unwrap()
    }
}

/// The attacked one, one who means it, and the cable to both.
struct World {
    now: Instant,
    over: Over,
    server: Host,
    client: Host,
}
impl World {
    /// All that the server sends goes to its one true peer, which takes what is its own.
    fn carry(&mut self) {
        while let Some(mut frame) = self.server.transmit(self.now) {
            frame.set_sum(Sum::Verified);
            let to_client = self.is_for_client(&mut frame);
            if to_client {
                self.client.receive(self.now, frame);
            } else {
                self.server.pool.recycle(frame);
            }
        }
        while let Some(mut frame) = self.client.transmit(self.now) {
            frame.set_sum(Sum::Verified);
            self.server.receive(self.now, frame);
        }
    }
    fn is_for_client(&self, frame: &mut PacketBuf) -> bool {
        let (at, len) = match self.over {
            Over::Ipv4 => (16, 4),
            Over::Ipv6 => (24, 16),
        };
        let bytes = frame.peek(at + len).map(|head| head[at..].to_vec());
        match self.over.host(2) {
            IpAddr::V4(ip) => bytes == Ok(ip.octets().to_vec()),
            IpAddr::V6(ip) => bytes == Ok(ip.octets().to_vec()),
        }
    }
    fn flood(&mut self, from: u32, to: u32) {
        for n in from..to {
            self.now += BETWEEN;
            let syn = self.over.spoofed(n, &mut self.server.pool);
            self.server.receive(self.now, syn);
            self.carry();
        }
    }
}

fn a_million_strangers(over: Over) {
    let mut world = World {
        now: Instant::from_nanos(1_000_000_000),
        over,
        server: Host::new(1, over),
        client: Host::new(2, over),
    };
    let at = SocketAddr::new(over.host(1), SERVICE);
    let (listener, client) = (world.server.socket(over), world.client.socket(over));
    let now = world.now;
    world.server.with(now, |stack, cx| {
        stack.bind(listener, at, cx).unwrap();
        stack.listen(listener, BACKLOG, cx).unwrap();
    });
    let before = allocations::live();
    let mut most = 0;
    world.flood(0, SYNS / 2);
    let now = world.now;
    let begun = world.client.with(now, |s, cx| s.connect(client, at, cx));
    assert_eq!(begun, Err(SocketError::InProgress));
    for part in 0..50 {
        let from = SYNS / 2 + part * (SYNS / 100);
        world.flood(from, from + SYNS / 100);
        most = most.max(allocations::live() - before);
    }
    let now = world.now;
    let connected = world.client.with(now, |s, cx| s.connect(client, at, cx));
    assert_eq!(connected, Ok(()), "amid the flood");
    let accepted = world.server.with(now, |s, cx| s.accept(listener, cx));
    let (server, _) = accepted.expect("the one who meant it");
    world
        .client
        .with(now, |s, cx| s.send(client, b"hello", cx))
        .unwrap();
    world.carry();
    let mut heard = [0; 9];
    let n = world
        .server
        .with(now, |s, cx| s.recv(server, &mut heard, cx));
    assert_eq!((n, &heard[..5]), (Ok(5), &b"hello"[..]));
    assert!(most < MOST, "{most} bytes");
    println!("{SYNS} SYNs: at most {most} bytes more than before");
    let sent = world.server.counters.get(Counter::TcpExtSyncookiesSent);
    assert!(sent > u64::from(SYNS) * 99 / 100, "{sent} cookies");
    assert_eq!(world.server.counters.get(Counter::TcpExtSyncookiesRecv), 1);
}

#[test]
fn a_million_spoofed_syns_over_ipv4_cost_less_than_two_megabytes_and_keep_nobody_out() {
    a_million_strangers(Over::Ipv4);
}

#[test]
fn a_million_spoofed_syns_over_ipv6_cost_less_than_two_megabytes_and_keep_nobody_out() {
    a_million_strangers(Over::Ipv6);
}
