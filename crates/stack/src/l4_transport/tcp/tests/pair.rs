//! Two hosts and a wire that loses, duplicates and reorders, by a seed.
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use proptest::prelude::{Just, ProptestConfig, any, prop_oneof, proptest};

use super::*;

/// What the wire does, in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay: Duration,
}
pub const CLEAN: Faults = Faults {
    loss: 0,
    duplicate: 0,
    reorder: 0,
    delay: Duration::from_millis(10),
};

pub struct Pair {
    pub now: Instant,
    pub a: Host,
    pub b: Host,
    pub faults: Faults,
    chance: crate::Rng,
    wire: BTreeMap<(Instant, u64), (bool, Arrival)>,
    number: u64,
    /// FNV-1a over every frame and its time.
    pub hash: u64,
    /// Frames put on the wire.
    pub frames: u64,
    pub drops: Vec<DropReason>,
    /// Whether super-segments cross whole.
    pub whole: bool,
}

impl Pair {
    pub fn new(config: Config, faults: Faults, seed: u8) -> Self {
        Self {
            now: Instant::ZERO,
            a: Host::new(A, 1, config.clone()),
            b: Host::new(B, 2, config),
            faults,
            chance: crate::Rng::from_seed([seed; 32]),
            wire: BTreeMap::new(),
            number: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            frames: 0,
            drops: Vec::new(),
            whole: false,
        }
    }
    fn put(&mut self, to_b: bool, departure: Departure) {
        let Departure {
            src,
            dst,
            packet,
            segment,
            tos,
            ttl,
            ..
        } = departure;
        let mut frames: VecDeque<heptad_wire::PacketBuf> = VecDeque::new();
        match segment {
            Some(segment) if !self.whole => cut(packet, src, dst, segment, &mut frames),
            _ => frames.push_back(packet),
        }
        for packet in frames {
            self.frames += 1;
            assert!(
                self.whole || packet.len() + 20 <= 1500,
                "longer than the MTU: {}",
                packet.len()
            );
            if self.chance.below(1000) < self.faults.loss {
                continue;
            }
            let mut copies = alloc::vec![packet];
            if self.chance.below(1000) < self.faults.duplicate {
                copies.push(copies[0].duplicate());
            }
            for mut packet in copies {
                let mut delay = self.faults.delay;
                if self.chance.below(1000) < self.faults.reorder {
                    delay += delay / 2 + Duration::from_micros(self.chance.below(5000));
                }
                packet.fill();
                let mut bytes = self.now.as_nanos().to_be_bytes().to_vec();
                packet.write_to(&mut bytes);
                for byte in bytes {
                    self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
                self.number += 1;
                let arrival = Arrival {
                    src,
                    dst,
                    protocol: 6,
                    ttl,
                    tos,
                    port: PORT,
                    group: false,
                    packet,
                };
                self.wire
                    .insert((self.now + delay, self.number), (to_b, arrival));
            }
        }
    }
    pub fn drain(&mut self) {
        self.a.now = self.now;
        self.b.now = self.now;
        loop {
            let mut idle = true;
            while let Some(d) = self.a.transmit() {
                self.put(true, d);
                idle = false;
            }
            while let Some(d) = self.b.transmit() {
                self.put(false, d);
                idle = false;
            }
            if idle {
                return;
            }
        }
    }
    /// The next event; `false` when nothing is left or `limit` is reached.
    pub fn step(&mut self, limit: Instant) -> bool {
        self.drain();
        let timers = self.a.tcp.poll_at().into_iter().chain(self.b.tcp.poll_at());
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = timers.chain(arrival).min() else {
            return false;
        };
        if next > limit {
            self.now = self.now.max(limit);
            self.drain();
            return false;
        }
        self.now = self.now.max(next);
        self.a.now = self.now;
        self.b.now = self.now;
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to_b, arrival) = entry.remove();
            let host = if to_b { &mut self.b } else { &mut self.a };
            match host.receive(arrival) {
                Up::Reply(Reply::Transport(d)) => self.put(!to_b, d),
                Up::Drop(reason, reply) => {
                    self.drops.push(reason);
                    if let Some(Reply::Transport(d)) = reply {
                        self.put(!to_b, d);
                    }
                }
                _ => {}
            }
            self.drain();
        }
        self.a.with(|tcp, cx| tcp.on_timeout(cx));
        self.b.with(|tcp, cx| tcp.on_timeout(cx));
        self.drain();
        true
    }
    pub fn run(&mut self, until: Duration) {
        let limit = self.now + until;
        while self.step(limit) {}
    }
    /// A connection from A to B, accepted.
    pub fn connect(&mut self, options: Options) -> (ConnId, ConnId) {
        let listener = self.b.listen(80, 16, options);
        let a = self.a.connect(5000, at(B, 80), options);
        for _ in 0..10_000 {
            if let Ok((b, _)) = self.b.tcp.accept(listener, Owner(2)) {
                self.drain();
                return (a, b);
            }
            let limit = self.now + Duration::from_secs(1000);
            assert!(self.step(limit), "never connected");
        }
        panic!("never connected");
    }
}

/// Cuts as a port would: layer 3's header is not there yet, so by hand.
fn cut(
    mut packet: heptad_wire::PacketBuf,
    src: IpAddr,
    dst: IpAddr,
    segment: u16,
    out: &mut VecDeque<heptad_wire::PacketBuf>,
) {
    packet.fill();
    let mut bytes = Vec::new();
    packet.write_to(&mut bytes);
    let len = TcpHeader::len_of(bytes[12]).unwrap();
    let header = TcpHeader::parse(&bytes[..len]).unwrap();
    let mut pool = Pool::new(3);
    let text = &bytes[len..];
    let count = text.len().div_ceil(usize::from(segment));
    for (i, part) in text.chunks(usize::from(segment)).enumerate() {
        let mut header = header;
        header.seq = header.seq.wrapping_add((i * usize::from(segment)) as u32);
        if i + 1 < count {
            header.flags = header.flags.without(Flags::FIN | Flags::PSH);
        }
        let src = at(src, header.src_port);
        let dst = at(dst, header.dst_port);
        out.push_back(arrival(&mut pool, (src, dst), header, part).packet);
    }
}

pub fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(31) >> 3) as u8 ^ salt ^ i as u8)
        .collect()
}

/// Sends both ways at once, closes both, and returns how long it took. Everything must arrive.
pub fn exchange(pair: &mut Pair, options: Options, from_a: &[u8], from_b: &[u8]) -> Duration {
    let start = pair.now;
    let (a, b) = pair.connect(options);
    let mut got = (Vec::new(), Vec::new());
    let mut sent = (0, 0);
    let mut closed = (false, false);
    let mut ended = (false, false);
    let mut buffer = [0u8; 20_000];
    for _ in 0..2_000_000 {
        let mut moved = false;
        for (host, id, data, sent, got, closed, ended) in [
            (
                &mut pair.a,
                a,
                from_a,
                &mut sent.0,
                &mut got.0,
                &mut closed.0,
                &mut ended.0,
            ),
            (
                &mut pair.b,
                b,
                from_b,
                &mut sent.1,
                &mut got.1,
                &mut closed.1,
                &mut ended.1,
            ),
        ] {
            while *sent < data.len() {
                match host.with(|t, cx| t.send(id, &data[*sent..], cx)) {
                    Ok(n) => *sent += n,
                    Err(SocketError::WouldBlock) => break,
                    Err(e) => panic!("send: {e}"),
                }
                moved = true;
            }
            if *sent == data.len() && !*closed {
                host.with(|t, cx| t.shutdown_write(id, cx)).unwrap();
                *closed = true;
            }
            while !*ended {
                match host.with(|t, cx| t.recv(id, &mut buffer, false, cx)) {
                    Ok(0) => *ended = true,
                    Ok(n) => got.extend_from_slice(&buffer[..n]),
                    Err(SocketError::WouldBlock) => break,
                    Err(e) => panic!("recv: {e} after {} bytes", got.len()),
                }
                moved = true;
            }
        }
        let limit = pair.now + Duration::from_secs(3600);
        let stepped = pair.step(limit);
        let finished = |host: &Host, id| host.state(id) == State::Closed;
        if ended == (true, true) && finished(&pair.a, a) && finished(&pair.b, b) {
            break;
        }
        assert!(
            stepped || moved,
            "nothing moves: {:?} {:?} got {} {}",
            pair.a.tcp.status(a),
            pair.b.tcp.status(b),
            got.0.len(),
            got.1.len()
        );
    }
    assert_eq!(ended, (true, true), "both ends of the stream");
    assert!(
        got.1 == from_a,
        "A's bytes: {} of {}",
        got.1.len(),
        from_a.len()
    );
    assert!(
        got.0 == from_b,
        "B's bytes: {} of {}",
        got.0.len(),
        from_b.len()
    );
    let took = pair.now.since(start);
    pair.a.with(|t, cx| t.close(a, cx));
    pair.b.with(|t, cx| t.close(b, cx));
    pair.run(Duration::from_secs(200));
    assert_eq!(pair.a.tcp.all().len(), 0, "{:?}", pair.a.tcp.all());
    let left: Vec<_> = pair.b.tcp.all().into_iter().map(|s| s.state).collect();
    assert_eq!(left, [State::Listen]);
    assert_eq!(pair.a.tcp.conns.len() + pair.b.tcp.conns.len(), 0);
    assert_eq!(pair.a.tcp.memory + pair.b.tcp.memory, 0);
    assert_eq!(pair.a.tcp.poll_at(), None, "nothing is left in the agenda");
    took
}

#[test]
fn a_clean_wire_carries_a_stream_both_ways_and_both_close() {
    let mut pair = Pair::new(Config::default(), CLEAN, 1);
    let took = exchange(
        &mut pair,
        Options::default(),
        &pattern(300_000, 1),
        &pattern(100_000, 2),
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(pair.a.count(Counter::TcpRetransSegs), 0);
    assert_eq!(pair.b.count(Counter::TcpRetransSegs), 0);
    assert_eq!(pair.drops, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn every_byte_arrives_whatever_the_wire_does(
        seed in any::<u8>(),
        loss in 0u64..150,
        duplicate in 0u64..50,
        reorder in 0u64..200,
        sizes in (0usize..120_000, 0usize..60_000),
        features in any::<[bool; 5]>(),
        buffers in prop_oneof![Just((0u32, 0u32)), (4000u32..60_000, 4000u32..60_000)],
    ) {
        let [timestamps, window_scaling, sack, reno, whole] = features;
        let config = Config { timestamps, window_scaling, sack, retries2: 40, syn_retries: 20, synack_retries: 20, ..Config::default() };
        let options = Options {
            congestion: if reno { Congestion::Reno } else { Congestion::Cubic },
            rcvbuf: buffers.0,
            sndbuf: buffers.1,
            ..Options::default()
        };
        let faults = Faults { loss, duplicate, reorder, delay: ms(10) };
        let mut pair = Pair::new(config, faults, seed);
        pair.whole = whole;
        exchange(&mut pair, options, &pattern(sizes.0, 1), &pattern(sizes.1, 2));
    }
}

#[test]
fn a_bad_wire_is_used_well() {
    // 5 % lost, 2 % twice, a tenth out of order, 50 ms: Mathis' formula allows Reno about 1.2 * mss / (rtt * sqrt(p)) = 160 kB/s
    let faults = Faults {
        loss: 50,
        duplicate: 20,
        reorder: 100,
        delay: ms(25),
    };
    let mut pair = Pair::new(Config::default(), faults, 5);
    let data = pattern(10_000_000, 9);
    let took = exchange(&mut pair, Options::default(), &data, &[]);
    let again = pair.a.count(Counter::TcpRetransSegs);
    let sent = pair.a.count(Counter::TcpExtTcpOrigDataSent);
    assert!(took < Duration::from_secs(110), "{took:?}");
    assert!(again < sent / 12, "{again} of {sent} again");
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let run = |seed| {
        let faults = Faults {
            loss: 50,
            duplicate: 20,
            reorder: 100,
            delay: ms(25),
        };
        let mut pair = Pair::new(Config::default(), faults, seed);
        let data = pattern(200_000, 9);
        exchange(&mut pair, Options::default(), &data, &data);
        (pair.hash, pair.frames, pair.now)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}
