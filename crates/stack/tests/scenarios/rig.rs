//! Hosts joined by cables with a delay and a seeded loss, in virtual time. Time jumps to the next event; nothing sleeps.
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use heptad_stack::l4_transport::tcp::{self, State};
use heptad_stack::stack::{Route, SocketOption};
use heptad_stack::wire::ipv6::next_header::ICMPV6;
use heptad_stack::wire::{MacAddr, PacketBuf, Pool};
use heptad_stack::{
    Caps, Counter, Counters, Cx, DropReason, EventLog, Family, Instant, Medium, PortConfig, PortId,
    Ready, Rng, Shutdown, SocketError, SocketId, SocketKind, Stack, StackConfig,
};

/// The usual hosts, in order of creation.
pub const ALICE: usize = 0;
pub const BOB: usize = 1;
pub const ROUTER: usize = 2;

/// One machine and what it borrows for each call.
pub struct Host {
    pub stack: Stack,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    pub counters: Counters,
}

/// What a cable does to frames, of a thousand each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub loss: u64,
    pub duplicate: u64,
    /// One bit of the IP payload flips.
    pub corrupt: u64,
    /// Arrives 12 ms late, behind others.
    pub late: u64,
}

/// One direction of a cable.
struct Wire {
    to: (usize, PortId),
    delay: Duration,
    faults: Faults,
    rng: Rng,
    /// By time of arrival, then by order of leaving.
    under_way: BTreeMap<(Instant, u64), PacketBuf>,
    lose_next: usize,
    left: u64,
    carried: u64,
}

/// Hosts, cables, a clock.
pub struct World {
    pub now: Instant,
    pub hosts: Vec<Host>,
    wires: Vec<((usize, PortId), Wire)>,
    fingerprint: DefaultHasher,
}

pub const NOTHING: &[DropReason] = &[];
pub const MS: Duration = Duration::from_millis(1);

thread_local! {
    /// The family of the story that this thread tells.
    static FAMILY: Cell<Family> = const { Cell::new(Family::V4) };
}

/// Tells a story over this family: its addresses are written as those of IPv4.
pub fn over(family: Family, story: fn()) {
    FAMILY.set(family);
    story();
}

/// Stories that are told over IPv4 and over IPv6 from one source.
macro_rules! over_both_families {
    ($($story:ident,)*) => { $(
        mod $story {
            use heptad_stack::Family;
            #[test]
            fn over_ipv4() {
                crate::rig::over(Family::V4, super::$story);
            }
            #[test]
            fn over_ipv6() {
                crate::rig::over(Family::V6, super::$story);
            }
        }
    )* };
}
pub(crate) use over_both_families;

/// Whether this story is told over IPv6.
pub fn is_v6() -> bool {
    FAMILY.get() == Family::V6
}

pub fn ip(text: &str) -> IpAddr {
    match text.parse().unwrap() {
        IpAddr::V4(ip) if FAMILY.get() == Family::V6 => counterpart(ip).into(),
        ip => ip,
    }
}
pub fn addr(text: &str) -> SocketAddr {
    match text.parse().unwrap() {
        SocketAddr::V4(given) => SocketAddr::new(ip(&given.ip().to_string()), given.port()),
        given => given,
    }
}
/// In place of a.b.c.d/24 stands fd00:a:b:c::d/64.
fn counterpart(ip: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = ip.octets().map(u16::from);
    match ip {
        Ipv4Addr::UNSPECIFIED => Ipv6Addr::UNSPECIFIED,
        ip if ip.is_loopback() => Ipv6Addr::LOCALHOST,
        _ => Ipv6Addr::new(0xfd00, a, b, c, 0, 0, 0, d),
    }
}

impl Wire {
    fn deliver(&mut self, now: Instant, mut frame: PacketBuf) {
        if self.hits(self.faults.loss) {
            return;
        }
        // Who is where is asked in clear words in either family.
        let ethertype = frame.peek(14).map(|header| [header[12], header[13]]);
        let at = match ethertype {
            Ok([0x08, 0x00]) => Some(34),
            Ok([0x86, 0xdd]) if frame.peek(21).is_ok_and(|bytes| bytes[20] != ICMPV6) => Some(54),
            _ => None,
        };
        if let Some(at) = at
            && self.hits(self.faults.corrupt)
        {
            let bits = (frame.len() - at) as u64 * 8;
            frame = frame.corrupt(at as u32 * 8 + self.rng.below(bits) as u32);
        }
        let late = if self.hits(self.faults.late) { 12 } else { 0 };
        if self.hits(self.faults.duplicate) {
            self.put(now, frame.duplicate());
        }
        self.put(now + late * MS, frame);
    }
    fn put(&mut self, now: Instant, frame: PacketBuf) {
        self.carried += 1;
        let key = (now + self.delay, self.carried);
        self.under_way.insert(key, frame);
    }
    fn hits(&mut self, of_a_thousand: u64) -> bool {
        self.rng.below(1_000) < of_a_thousand
    }
}

impl World {
    pub fn empty() -> Self {
        Self {
            now: Instant::ZERO,
            hosts: Vec::new(),
            wires: Vec::new(),
            fingerprint: DefaultHasher::new(),
        }
    }
    /// alice 10.0.0.1 and bob 10.0.0.2 on one cable of 5 ms.
    pub fn pair() -> Self {
        Self::pair_with(tcp::Config::default(), 0, 1)
    }
    /// The same with TCP settings, a loss in thousandths and a seed.
    pub fn pair_with(tcp: tcp::Config, loss: u64, seed: u8) -> Self {
        let mut world = Self::empty();
        let config = StackConfig {
            tcp,
            ..StackConfig::default()
        };
        let a = world.host(config.clone(), seed);
        let b = world.host(config, seed);
        let pa = world.port(a, "10.0.0.1", 24);
        let pb = world.port(b, "10.0.0.2", 24);
        world.join((a, pa), (b, pb), 5 * MS, loss);
        world.settled()
    }
    /// alice 10.0.1.10, a router, bob 10.0.2.20.
    pub fn routed() -> Self {
        Self::routed_with([1_500, 1_500], [Caps::FRAMES; 2])
    }
    /// The same with the MTU of each cable and what it carries.
    pub fn routed_with(mtu: [u32; 2], caps: [Caps; 2]) -> Self {
        let mut world = Self::empty();
        let a = world.host(StackConfig::default(), 1);
        let b = world.host(StackConfig::default(), 1);
        let router = StackConfig {
            forwarding: true,
            ..StackConfig::default()
        };
        let r = world.host(router, 1);
        let ends = [(a, "10.0.1.10", "10.0.1.1"), (b, "10.0.2.20", "10.0.2.1")];
        for (cable, (host, address, gateway)) in ends.into_iter().enumerate() {
            let port = world.port(host, address, 24);
            let far = world.port(r, gateway, 24);
            for (host, port) in [(host, port), (r, far)] {
                let stack = &mut world.hosts[host].stack;
                stack.set_mtu(port, mtu[cable]);
                stack.set_caps(port, caps[cable]);
            }
            world.join((host, port), (r, far), 5 * MS, 0);
            let default = Route {
                prefix: ip("0.0.0.0"),
                len: 0,
                via: Some(ip(gateway)),
                port,
            };
            world.hosts[host].stack.add_route(default).unwrap();
        }
        world.settled()
    }
    /// Addresses of IPv6 are surely ours once nobody else said that they have them.
    fn settled(mut self) -> Self {
        if FAMILY.get() == Family::V6 {
            self.run_for(Duration::from_secs(2));
        }
        self
    }

    pub fn host(&mut self, config: StackConfig, seed: u8) -> usize {
        let index = self.hosts.len();
        let mut rng = Rng::from_seed([seed.wrapping_mul(31).wrapping_add(index as u8); 32]);
        let mut pool = Pool::new(index as u32 + 1);
        let mut events = EventLog::default();
        let mut counters = Counters::default();
        let mut cx = Cx {
            now: self.now,
            rng: &mut rng,
            pool: &mut pool,
            events: &mut events,
            counters: &mut counters,
        };
        let stack = Stack::new(config, &mut cx);
        self.hosts.push(Host {
            stack,
            rng,
            pool,
            events,
            counters,
        });
        index
    }
    pub fn port(&mut self, host: usize, address: &str, len: u8) -> PortId {
        let port = self.bare_port(host);
        let len = if is_v6() { 64 } else { len };
        let stack = &mut self.hosts[host].stack;
        stack.add_address(port, ip(address), len).unwrap();
        port
    }
    /// A port without addresses.
    pub fn bare_port(&mut self, host: usize) -> PortId {
        let stack = &mut self.hosts[host].stack;
        let index = stack.ports().len() as u8;
        stack.add_port(PortConfig {
            name: format!("eth{}", index - 1).into(),
            medium: Medium::Ethernet(MacAddr([2, 0, 0, 0x77, host as u8, index])),
            mtu: 1_500,
            caps: Caps::FRAMES,
            queue_limit: 1_000,
        })
    }
    pub fn join(&mut self, a: (usize, PortId), b: (usize, PortId), delay: Duration, loss: u64) {
        for (from, to) in [(a, b), (b, a)] {
            let seed = [self.wires.len() as u8 + 100; 32];
            let wire = Wire {
                to,
                delay,
                faults: Faults {
                    loss,
                    ..Faults::default()
                },
                rng: Rng::from_seed(seed),
                under_way: BTreeMap::new(),
                lose_next: 0,
                left: 0,
                carried: 0,
            };
            self.wires.push((from, wire));
        }
    }
    /// The next `count` frames that leave the host are lost.
    pub fn lose_next(&mut self, host: usize, count: usize) {
        let mut wires = self.wires.iter_mut();
        let (_, wire) = wires.find(|(from, _)| from.0 == host).unwrap();
        wire.lose_next = count;
    }
    /// Everything that leaves the host from now on is lost, or nothing.
    pub fn cut(&mut self, host: usize, is_cut: bool) {
        for (_, wire) in self.wires.iter_mut().filter(|(from, _)| from.0 == host) {
            wire.faults.loss = if is_cut { 1_000 } else { 0 };
        }
    }
    /// Every cable behaves so from now on.
    pub fn impair(&mut self, faults: Faults) {
        for (_, wire) in &mut self.wires {
            wire.faults = faults;
        }
    }
    /// Frames that left the host.
    pub fn carried(&self, host: usize) -> u64 {
        let wires = self.wires.iter().filter(|(from, _)| from.0 == host);
        wires.map(|(_, wire)| wire.left).sum()
    }
    /// Of every frame so far, with its time.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.finish()
    }

    // ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────

    pub fn with<R>(&mut self, host: usize, verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R) -> R {
        let Host {
            stack,
            rng,
            pool,
            events,
            counters,
        } = &mut self.hosts[host];
        let mut cx = Cx {
            now: self.now,
            rng,
            pool,
            events,
            counters,
        };
        verb(stack, &mut cx)
    }
    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
        self.now = limit;
    }
    /// Lets time pass until it is so, at most an hour; panics if it never is.
    pub fn run_until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let limit = self.now + Duration::from_secs(3_600);
        while !so(self) {
            assert!(self.step(limit), "never came: {what}");
        }
    }
    /// The next event; false if there is none before the limit.
    fn step(&mut self, limit: Instant) -> bool {
        self.drain();
        let Some(next) = self.next_event().filter(|next| *next <= limit) else {
            return false;
        };
        self.now = next.max(self.now);
        for wire in 0..self.wires.len() {
            while let Some((frame, to)) = self.arrived(wire) {
                let _ = self.with(to.0, |stack, cx| stack.receive(to.1, frame, cx));
                self.drain();
            }
        }
        for host in 0..self.hosts.len() {
            let due = self.hosts[host].stack.poll_at();
            if due.is_some_and(|due| due <= self.now) {
                self.with(host, |stack, cx| stack.on_timeout(cx));
            }
        }
        self.drain();
        true
    }
    fn arrived(&mut self, wire: usize) -> Option<(PacketBuf, (usize, PortId))> {
        let (_, wire) = &mut self.wires[wire];
        let first = wire.under_way.first_entry()?;
        if first.key().0 > self.now {
            return None;
        }
        Some((first.remove(), wire.to))
    }
    fn next_event(&self) -> Option<Instant> {
        let first = |(_, wire): &(_, Wire)| wire.under_way.keys().next().map(|key| key.0);
        let frames = self.wires.iter().filter_map(first);
        let timers = self.hosts.iter().filter_map(|host| host.stack.poll_at());
        frames.chain(timers).min()
    }
    fn drain(&mut self) {
        for wire in 0..self.wires.len() {
            let (host, port) = self.wires[wire].0;
            while let Some(frame) = self.with(host, |stack, cx| stack.poll_transmit(port, cx)) {
                self.carry(wire, frame);
            }
        }
    }
    fn carry(&mut self, wire: usize, frame: PacketBuf) {
        let mut bytes = Vec::new();
        frame.write_to(&mut bytes);
        let len = frame.frame_len();
        assert!(len <= 1_514, "a frame of {len} bytes");
        (self.now, wire, bytes).hash(&mut self.fingerprint);
        let (_, wire) = &mut self.wires[wire];
        wire.left += 1;
        if wire.lose_next > 0 {
            wire.lose_next -= 1;
        } else {
            wire.deliver(self.now, frame);
        }
    }

    // ── what programs do ─────────────────────────────────────────────────────────────────────────────────────────

    pub fn stream(&mut self, host: usize) -> SocketId {
        self.socket(host, FAMILY.get(), SocketKind::Stream)
    }
    pub fn datagram(&mut self, host: usize) -> SocketId {
        self.socket(host, FAMILY.get(), SocketKind::Datagram)
    }
    pub fn socket(&mut self, host: usize, family: Family, kind: SocketKind) -> SocketId {
        self.with(host, |stack, _| stack.socket(family, kind))
            .unwrap()
    }
    pub fn bind(&mut self, host: usize, s: SocketId, to: &str) -> Result<(), SocketError> {
        self.with(host, |stack, cx| stack.bind(s, addr(to), cx))
    }
    pub fn listen(&mut self, host: usize, s: SocketId, backlog: u32) -> Result<(), SocketError> {
        self.with(host, |stack, cx| stack.listen(s, backlog, cx))
    }
    /// A listener at all addresses.
    pub fn listener(&mut self, host: usize, port: u16) -> SocketId {
        let s = self.stream(host);
        self.bind(host, s, &format!("0.0.0.0:{port}")).unwrap();
        self.listen(host, s, 16).unwrap();
        s
    }
    pub fn connect(&mut self, host: usize, s: SocketId, to: &str) -> Result<(), SocketError> {
        self.with(host, |stack, cx| stack.connect(s, addr(to), cx))
    }
    pub fn accept(&mut self, host: usize, s: SocketId) -> Result<SocketId, SocketError> {
        let accepted = self.with(host, |stack, cx| stack.accept(s, cx));
        accepted.map(|(socket, _)| socket)
    }
    /// alice's socket connected to bob's port, and bob's end of it.
    pub fn connected(&mut self, listener: SocketId, to: &str) -> (SocketId, SocketId) {
        let client = self.stream(ALICE);
        assert_eq!(
            self.connect(ALICE, client, to),
            Err(SocketError::InProgress)
        );
        let mut server = None;
        self.run_until("a connection", |world| {
            server = server.or_else(|| world.accept(BOB, listener).ok());
            server.is_some()
        });
        assert_eq!(self.connect(ALICE, client, to), Ok(()));
        (client, server.unwrap())
    }
    pub fn send(&mut self, host: usize, s: SocketId, data: &[u8]) -> Result<usize, SocketError> {
        self.with(host, |stack, cx| stack.send(s, data, cx))
    }
    pub fn send_to(
        &mut self,
        host: usize,
        s: SocketId,
        data: &[u8],
        to: &str,
    ) -> Result<usize, SocketError> {
        self.with(host, |stack, cx| stack.send_to(s, data, addr(to), cx))
    }
    pub fn recv(&mut self, host: usize, s: SocketId) -> Result<Vec<u8>, SocketError> {
        let mut out = vec![0; 70_000];
        let n = self.with(host, |stack, cx| stack.recv(s, &mut out, cx))?;
        out.truncate(n);
        Ok(out)
    }
    pub fn shutdown(&mut self, host: usize, s: SocketId, how: Shutdown) -> Result<(), SocketError> {
        self.with(host, |stack, cx| stack.shutdown(s, how, cx))
    }
    pub fn close(&mut self, host: usize, s: SocketId) {
        self.with(host, |stack, cx| stack.close(s, cx));
    }
    pub fn set(&mut self, host: usize, s: SocketId, option: SocketOption) {
        self.with(host, |stack, cx| stack.set(s, option, cx))
            .unwrap();
    }
    pub fn ready(&mut self, host: usize, s: SocketId) -> Ready {
        self.hosts[host].stack.ready(s)
    }

    // ── what a watcher sees ──────────────────────────────────────────────────────────────────────────────────────

    /// States of a host's TCP rows, in order.
    pub fn states(&self, host: usize) -> Vec<State> {
        let rows = self.hosts[host].stack.rows();
        rows.iter().filter_map(|row| row.state).collect()
    }
    pub fn count(&self, host: usize, counter: Counter) -> u64 {
        self.hosts[host].counters.get(counter)
    }
    /// Fails on every drop at any host that is not named.
    pub fn only_drops(&self, allowed: &[DropReason]) {
        for (index, host) in self.hosts.iter().enumerate() {
            // Every host hears the questions whether somebody has an address.
            let usual = |r: &DropReason| allowed.contains(r) || *r == DropReason::NotOurGroup;
            for reason in DropReason::ALL.iter().filter(|r| !usual(r)) {
                let n = host.counters.drops(*reason);
                assert_eq!(n, 0, "host {index} dropped: {}", reason.text());
            }
        }
    }
}
