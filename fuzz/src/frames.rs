//! A host and a router under a sequence of frames, verbs of programs, and time.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use heptad_stack::stack::{Advertising, Route, SocketOption};
use heptad_stack::wire::{Chunk, MacAddr, Pool, checksum};
use heptad_stack::{
    Caps, Counters, Cx, EventLog, EventMask, Instant, Medium, PortConfig, PortId, Rng, Shutdown,
    SocketId, SocketKind, Stack, StackConfig,
};

const OURS: [&str; 4] = ["10.0.1.10", "fd00:1::10", "10.0.2.1", "fd00:2::1"];
const PEERS: [&str; 4] = ["10.0.1.20", "fd00:1::20", "10.0.2.2", "fe80::20"];

/// The bytes of the fuzzer, taken from the front; zeros when there are none left.
struct Input<'a>(&'a [u8]);
impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        front
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }
}

struct World {
    stack: Stack,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    counters: Counters,
    now: Instant,
    sockets: Vec<SocketId>,
}

/// Reads `bytes` as a sequence of operations.
pub fn frames(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut world = World::new(input.byte() & 1 != 0);
    let mut left = 200;
    while !input.0.is_empty() && left > 0 {
        left -= 1;
        world.step(&mut input);
        world.drain();
    }
    world.end();
}

impl World {
    fn new(forwarding: bool) -> Self {
        let (mut rng, mut pool) = (Rng::from_seed([7; 32]), Pool::new(1));
        let mut events = EventLog::new(EventMask::ALL);
        let mut counters = Counters::default();
        let config = StackConfig {
            forwarding,
            ..StackConfig::default()
        };
        let mut cx = Cx {
            now: Instant::ZERO,
            rng: &mut rng,
            pool: &mut pool,
            events: &mut events,
            counters: &mut counters,
        };
        let mut stack = Stack::new(config, &mut cx);
        let media = [Medium::Ethernet(MacAddr([2, 0, 0, 0, 0, 1])), Medium::Ip];
        for (name, medium) in ["eth0", "tun0"].into_iter().zip(media) {
            stack.add_port(PortConfig {
                name: name.into(),
                medium,
                mtu: 1500,
                caps: Caps::FRAMES,
                queue_limit: 100,
            });
        }
        for (index, address) in OURS.into_iter().enumerate() {
            let port = PortId(1 + index as u16 / 2);
            let len = if index % 2 == 0 { 24 } else { 64 };
            stack
                .add_address(port, address.parse().unwrap(), len)
                .unwrap();
        }
        match forwarding {
            false => stack.autoconfigure(PortId(1), true).unwrap(),
            true => stack.advertise(PortId(1), Advertising::default()).unwrap(),
        }
        let route = Route {
            prefix: IpAddr::from([0, 0, 0, 0]),
            len: 0,
            via: Some(PEERS[0].parse().unwrap()),
            port: PortId(1),
        };
        stack.add_route(route).unwrap();
        Self {
            stack,
            rng,
            pool,
            events,
            counters,
            now: Instant::ZERO,
            sockets: Vec::new(),
        }
    }
    fn with<R>(&mut self, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.stack, &mut cx)
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=7 => self.receive(input),
            8 => self.pass(Duration::from_millis(u64::from(input.byte()) * 40)),
            9 => self.pass(Duration::from_secs(u64::from(input.byte()))),
            10 => self.open(input),
            11 => self.connect(input),
            12 => self.speak(input),
            13 => self.listen(input),
            14 => self.set(input),
            _ => self.close(input),
        }
    }

    /// A frame: any bytes, or a packet that passes the first checks.
    fn receive(&mut self, input: &mut Input<'_>) {
        let port = PortId(1 + u16::from(input.byte() & 1));
        let shape = input.byte();
        let len = usize::from(input.byte()) * if shape & 0x80 != 0 { 6 } else { 1 };
        let payload = input.take(len);
        let mut bytes = match shape % 4 {
            0 => payload.to_vec(),
            1 => ipv4(input, payload),
            2 => ipv6(input, payload),
            _ => arp_or_tag(payload),
        };
        if port == PortId(1) && shape % 4 != 0 && shape % 4 != 3 {
            let ethertype = if shape % 4 == 1 { [8, 0] } else { [0x86, 0xdd] };
            let mut frame = match shape & 0x40 {
                0 => vec![2, 0, 0, 0, 0, 1],
                _ => vec![0x33, 0x33, 0, 0, 0, 1],
            };
            frame.extend([2, 0, 0, 0, 0, 9]);
            frame.extend(ethertype);
            frame.append(&mut bytes);
            bytes = frame;
        }
        let mut frame = self.pool.packet();
        for piece in bytes.chunks(1 + usize::from(shape)) {
            frame.append(Chunk::copy_from(piece));
        }
        let _ = self.with(|stack, cx| stack.receive(port, frame, cx));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(at) = self.stack.poll_at().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.with(|stack, cx| stack.on_timeout(cx));
            self.drain();
            steps += 1;
            assert!(steps < 100_000, "time stands still");
        }
        self.now = end;
    }

    fn open(&mut self, input: &mut Input<'_>) {
        if self.sockets.len() >= 32 {
            return;
        }
        let kind = input.pick(&[SocketKind::Stream, SocketKind::Datagram, SocketKind::Echo]);
        let any: IpAddr = input.pick(&["0.0.0.0", "::"]).parse().unwrap();
        if let Ok(socket) = self.stack.socket(any, kind) {
            self.sockets.push(socket);
            let at = SocketAddr::new(any, u16::from(input.byte() % 8));
            let _ = self.with(|stack, cx| stack.bind(socket, at, cx));
        }
    }
    fn socket(&mut self, input: &mut Input<'_>) -> Option<SocketId> {
        let index = usize::from(input.byte());
        let count = self.sockets.len();
        (count > 0).then(|| self.sockets[index % count])
    }
    fn connect(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else {
            return;
        };
        let to: IpAddr = input.pick(&[PEERS, OURS].concat()).parse().unwrap();
        let to = SocketAddr::new(to, u16::from(input.byte() % 8));
        let _ = self.with(|stack, cx| stack.connect(socket, to, cx));
    }
    fn speak(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else {
            return;
        };
        let how = input.byte();
        let len = usize::from(input.byte()) << (how % 8);
        let to: IpAddr = input.pick(&[PEERS, OURS].concat()).parse().unwrap();
        let to = SocketAddr::new(to, 7);
        let mut data = vec![8; len];
        let _ = self.with(|stack, cx| match how >> 6 {
            0 => stack.send(socket, &data, cx),
            1 => stack.send_to(socket, &data, to, cx),
            _ => stack.recv(socket, &mut data, cx),
        });
    }
    fn listen(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else {
            return;
        };
        let backlog = u32::from(input.byte() % 4);
        let _ = self.with(|stack, cx| stack.listen(socket, backlog, cx));
        if let Ok((accepted, _)) = self.with(|stack, cx| stack.accept(socket, cx)) {
            self.sockets.push(accepted);
        }
    }
    fn set(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else {
            return;
        };
        let value = input.byte();
        let option = match value % 7 {
            0 => SocketOption::NoDelay(value & 0x80 != 0),
            1 => SocketOption::ReuseAddress(value & 0x80 != 0),
            2 => SocketOption::ReceiveBuffer(u32::from(value) * 16),
            3 => SocketOption::Linger((value & 0x80 != 0).then_some(Duration::ZERO)),
            4 => SocketOption::Ttl(value),
            5 => SocketOption::DontFragment(value & 0x80 != 0),
            _ => SocketOption::Device((value & 0x80 != 0).then_some(PortId(value as u16 >> 5 & 3))),
        };
        let _ = self.with(|stack, cx| stack.set(socket, option, cx));
    }
    fn close(&mut self, input: &mut Input<'_>) {
        let Some(socket) = self.socket(input) else {
            return;
        };
        match input.byte() % 4 {
            0 => {
                let how = input.pick(&[Shutdown::Read, Shutdown::Write, Shutdown::Both]);
                let _ = self.with(|stack, cx| stack.shutdown(socket, how, cx));
            }
            _ => {
                self.sockets.retain(|other| *other != socket);
                self.with(|stack, cx| stack.close(socket, cx));
            }
        }
    }

    /// As every caller does after a change.
    fn drain(&mut self) {
        for port in 0..3 {
            let mut frames = 0;
            while let Some(frame) = self.with(|stack, cx| stack.poll_transmit(PortId(port), cx)) {
                let ethernet = if port == 1 { 18 } else { 0 };
                assert!(frame.frame_len() <= 1500 + ethernet || port == 0);
                frames += 1;
                assert!(frames < 100_000, "it never ends");
            }
        }
        while self.stack.poll_ready().is_some() {}
        while self.events.take().is_some() {}
    }

    /// What holds at any end.
    fn end(mut self) {
        for socket in core::mem::take(&mut self.sockets) {
            self.with(|stack, cx| stack.close(socket, cx));
        }
        self.drain();
        self.pass(Duration::from_secs(1200));
        let rows = self.stack.rows();
        assert!(rows.is_empty(), "sockets that nobody holds: {rows:?}");
        assert!(self.stack.neighbours().len() <= 1024);
        assert!(self.stack.ipv6_addresses().len() <= 64);
    }
}

/// A packet of IPv4 between a peer and us, both checksums right.
fn ipv4(input: &mut Input<'_>, payload: &[u8]) -> Vec<u8> {
    let [tos, flags, id, ttl, protocol] = [(); 5].map(|()| input.byte());
    let (src, dst) = (
        input.pick(&[PEERS[0], PEERS[2]]),
        input.pick(&[OURS[0], OURS[2], "224.0.0.1", "10.0.1.255"]),
    );
    let protocol = [1, 6, 17, protocol][usize::from(protocol) % 4];
    let (src, dst): (IpAddr, IpAddr) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut bytes = vec![0x45, tos];
    bytes.extend((20 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, id, flags & 0x3f, flags >> 6, ttl, protocol, 0, 0]);
    for ip in [src, dst] {
        if let IpAddr::V4(ip) = ip {
            bytes.extend(ip.octets());
        }
    }
    let sum = !checksum::sum(&bytes);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(transport(src, dst, protocol, payload));
    bytes
}

/// The same of IPv6; extension headers are among the payload's bytes.
fn ipv6(input: &mut Input<'_>, payload: &[u8]) -> Vec<u8> {
    let [next, limit] = [(); 2].map(|()| input.byte());
    let src = input.pick(&[PEERS[1], PEERS[3], "::"]);
    let dst = input.pick(&[OURS[1], OURS[3], "ff02::1", "ff02::1:ff00:10", "fd00:9::1"]);
    let next = [0, 43, 44, 60, 58, 58, 6, 17][usize::from(next) % 8];
    let limit = if limit & 1 == 0 { 255 } else { limit };
    let (src, dst): (IpAddr, IpAddr) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([next, limit]);
    for ip in [src, dst] {
        if let IpAddr::V6(ip) = ip {
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(transport(src, dst, next, payload));
    bytes
}

/// The payload with the checksum that its protocol wants.
fn transport(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    let at = match protocol {
        1 | 58 => 2,
        6 => 16,
        17 => 6,
        _ => return bytes,
    };
    if bytes.len() < at + 2 {
        return bytes;
    }
    bytes[at..at + 2].fill(0);
    let pseudo = match protocol {
        1 => 0,
        _ => checksum::pseudo_header(src, dst, protocol, bytes.len() as u32),
    };
    let sum = !checksum::add(pseudo, checksum::sum(&bytes));
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// A broadcast frame of ARP, or with a tag.
fn arp_or_tag(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend([2, 0, 0, 0, 0, 9]);
    match payload.first().is_some_and(|first| first & 1 == 0) {
        true => bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0]),
        false => bytes.extend([0x81, 0, 0, 0]),
    }
    bytes.extend(payload);
    bytes
}
