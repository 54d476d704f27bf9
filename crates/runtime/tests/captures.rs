//! Captures of strangers, many of them malformed on purpose, go into `receive` of a host and of a router.
//!
//! `cargo xtask captures` fetches those of Debian's tcpdump source package, sets `HEPTAD_CAPTURES_DIR` and runs this.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use heptad_stack::wire::{Chunk, EtherType, MacAddr, Pool, checksum};
use heptad_stack::{
    Caps, Counters, Cx, DropReason, EventLog, Instant, Medium, PortConfig, PortId, Rng, SocketKind,
    Stack, StackConfig,
};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, Linktype, PcapBlockOwned, PcapNGReader};

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const V4: &str = "10.0.1.10";
const V6: &str = "fd00:1::10";
/// What the whole run may take, KiB: bounds of reassembly and queues, and the captures themselves.
const MEMORY: u64 = 512 * 1024;

/// A host or a router with an Ethernet port, a port of bare IP and open sockets.
struct Target {
    stack: Stack,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    counters: Counters,
    now: Instant,
}
const ETHERNET: PortId = PortId(1);
const BARE: PortId = PortId(2);

impl Target {
    fn new(forwarding: bool) -> Self {
        let (mut rng, mut pool) = (Rng::from_seed([7; 32]), Pool::new(1));
        let (mut events, mut counters) = (EventLog::default(), Counters::default());
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
        for (name, medium) in [("eth0", Medium::Ethernet(OURS)), ("tun0", Medium::Ip)] {
            stack.add_port(PortConfig {
                name: name.into(),
                medium,
                mtu: 1500,
                caps: Caps::FRAMES,
                queue_limit: 1000,
            });
        }
        let addresses = [
            (ETHERNET, V4, 24),
            (ETHERNET, V6, 64),
            (BARE, "10.0.2.1", 24),
            (BARE, "fd00:2::1", 64),
        ];
        for (port, address, len) in addresses {
            let address: IpAddr = address.parse().unwrap();
            stack.add_address(port, address, len).unwrap();
        }
        if !forwarding {
            stack.autoconfigure(ETHERNET, true).unwrap();
        }
        for (kind, port) in [(SocketKind::Stream, 80), (SocketKind::Datagram, 53)] {
            let any: IpAddr = "::".parse().unwrap();
            let socket = stack.socket(any, kind).unwrap();
            stack.bind(socket, (any, port).into(), &mut cx).unwrap();
            if kind == SocketKind::Stream {
                stack.listen(socket, 16, &mut cx).unwrap();
            }
        }
        Self {
            stack,
            rng,
            pool,
            events,
            counters,
            now: Instant::ZERO,
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
    /// One frame, all that it leads to, and a millisecond.
    fn receive(&mut self, port: PortId, bytes: &[u8]) -> Result<(), DropReason> {
        let mut frame = self.pool.packet();
        frame.append(Chunk::copy_from(bytes));
        let verdict = self.with(|stack, cx| stack.receive(port, frame, cx));
        self.now += Duration::from_millis(1);
        if self.stack.poll_at().is_some_and(|at| at <= self.now) {
            self.with(|stack, cx| stack.on_timeout(cx));
        }
        for port in [ETHERNET, BARE] {
            while self
                .with(|stack, cx| stack.poll_transmit(port, cx))
                .is_some()
            {}
        }
        while self.stack.poll_ready().is_some() {}
        verdict
    }
}

/// A packet of a capture.
struct Captured {
    link: Linktype,
    bytes: Vec<u8>,
}

/// Every packet that can be read; some files are broken on purpose.
fn packets(path: &Path) -> Vec<Captured> {
    let bytes = std::fs::read(path).expect("a capture");
    let mut found = Vec::new();
    if bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        if let Ok(reader) = PcapNGReader::new(bytes.len(), &bytes[..]) {
            collect(reader, &mut found);
        }
    } else if let Ok(reader) = LegacyPcapReader::new(bytes.len(), &bytes[..]) {
        collect(reader, &mut found);
    }
    found
}
fn collect(mut reader: impl PcapReaderIterator, found: &mut Vec<Captured>) {
    let mut link = Linktype::ETHERNET;
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => link = header.network,
                    PcapBlockOwned::Legacy(packet) => found.push(Captured {
                        link,
                        bytes: packet.data.to_vec(),
                    }),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        link = interface.linktype;
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => found.push(Captured {
                        link,
                        bytes: packet.data.to_vec(),
                    }),
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            // The end, or nonsense.
            Err(_) => return,
        }
    }
}

/// The IP packet in a captured one, whatever link it was on.
fn ip_packet(captured: &Captured) -> Option<&[u8]> {
    let at = match captured.link {
        Linktype::RAW | Linktype(12) => 0,
        Linktype::NULL | Linktype(108) => 4,
        Linktype::LINUX_SLL => 16,
        Linktype::ETHERNET => {
            let ethertype = captured.bytes.get(12..14)?;
            let ethertype = u16::from_be_bytes([ethertype[0], ethertype[1]]);
            if !matches!(EtherType(ethertype), EtherType::IPV4 | EtherType::IPV6) {
                return None;
            }
            14
        }
        _ => return None,
    };
    captured.bytes.get(at..).filter(|bytes| !bytes.is_empty())
}

/// The same packet to our address, its IPv4 checksum right: past the first checks.
fn redirected(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    match (bytes.first().map(|first| first >> 4), bytes.len()) {
        (Some(4), 20..) => {
            bytes[16..20].copy_from_slice(&V4.parse::<std::net::Ipv4Addr>().unwrap().octets());
            let len = usize::from(bytes[0] & 15) * 4;
            if (20..=bytes.len()).contains(&len) {
                bytes[10..12].fill(0);
                let sum = !checksum::sum(&bytes[..len]);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
        }
        (Some(6), 40..) => {
            bytes[24..40].copy_from_slice(&V6.parse::<std::net::Ipv6Addr>().unwrap().octets());
        }
        _ => {}
    }
    bytes
}

/// As it came, to our station, as bare IP, and as bare IP to our address.
fn variants(captured: &Captured) -> Vec<(PortId, Vec<u8>)> {
    let mut all = vec![(ETHERNET, captured.bytes.clone())];
    if captured.link == Linktype::ETHERNET && captured.bytes.len() >= 6 {
        let mut to_us = captured.bytes.clone();
        to_us[..6].copy_from_slice(&OURS.0);
        all.push((ETHERNET, to_us));
    }
    if let Some(packet) = ip_packet(captured) {
        all.push((BARE, packet.to_vec()));
        all.push((BARE, redirected(packet)));
    }
    all
}

fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            captures(&path, found);
        } else if path
            .extension()
            .is_some_and(|end| end == "pcap" || end == "pcapng")
        {
            found.push(path);
        }
    }
}

/// What became of the frames, the most frequent first, as Markdown has tables.
fn rows(reasons: &BTreeMap<&str, [u64; 2]>) -> String {
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by_key(|(told, [host, _])| (u64::MAX - host, **told));
    let mut text = format!(
        "| {:<44} | host | router |\n|---|---:|---:|\n",
        "what became of them"
    );
    for (told, [host, router]) in sorted {
        let _ = writeln!(text, "| {told:<44} | {host} | {router} |");
    }
    text
}

/// The most memory that this process ever had, KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0)
}

#[test]
#[ignore = "reads captures that `cargo xtask captures` fetches"]
fn captures_of_strangers_harm_neither_host_nor_router() {
    let folder = std::env::var("HEPTAD_CAPTURES_DIR").expect("HEPTAD_CAPTURES_DIR is set");
    let mut files = Vec::new();
    captures(Path::new(&folder), &mut files);
    files.sort();
    assert!(files.len() > 600, "{} captures in {folder}", files.len());
    let mut targets = [("host", Target::new(false)), ("router", Target::new(true))];
    let mut reasons: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    let (mut read, mut frames) = (0, 0);
    for file in &files {
        let packets = packets(file);
        read += u64::from(!packets.is_empty());
        for (port, bytes) in packets.iter().flat_map(variants) {
            frames += 1;
            for (column, (_, target)) in targets.iter_mut().enumerate() {
                let told = match target.receive(port, &bytes) {
                    Ok(()) => "taken",
                    Err(reason) => reason.text(),
                };
                reasons.entry(told).or_default()[column] += 1;
            }
        }
    }
    let said = format!(
        "{} captures, {read} with packets; {frames} frames to each",
        files.len()
    );
    let table = format!("{said}:\n\n{}", rows(&reasons));
    print!("{table}");
    if let Ok(path) = std::env::var("HEPTAD_CAPTURES_TABLE") {
        std::fs::write(path, &table).expect("a place for the table");
    }
    let peak = peak_memory();
    println!("most memory of the whole run: {peak} KiB");
    assert!(peak < MEMORY, "{peak} KiB");
    assert!(
        read > 500 && frames > 10_000,
        "{read} captures, {frames} frames"
    );
    let checks = reasons.len();
    assert!(checks > 20, "they meet many checks: {checks}");
}
