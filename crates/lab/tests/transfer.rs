//! Streams over bad cables: every byte arrives, in order, and the run repeats from its seed.
mod story;

use heptad_lab::stack::time::Duration;
use heptad_lab::stack::{Counter, DropReason, EventMask, Instant, Shutdown};
use heptad_lab::topology::{Change, Impairments, Loss};
use heptad_lab::{EventHash, LabOptions, Moment, Topology};
use sha2::{Digest, Sha256};
use story::{Story, millis, options, seconds};

/// 5 % loss, 2 % duplication, 2 % corruption of which half slips past the frame check, 2 % reordering, 50 ms.
fn bad_cable() -> Impairments {
    Impairments {
        delay: millis(50),
        loss: Loss::Random(0.05),
        duplicate: 0.02,
        corrupt: 0.01,
        corrupt_undetected: 0.01,
        reorder: 0.02,
        reorder_delay: millis(5),
        ..Impairments::default()
    }
}

fn quiet(seed: u64) -> LabOptions {
    LabOptions {
        observe: false,
        events: EventMask::NONE,
        ..options(seed)
    }
}

/// A stream of bytes that differ from place to place.
struct Pattern {
    rng: heptad_lab::stack::Rng,
    left: usize,
}
impl Pattern {
    fn new(len: usize) -> Self {
        let rng = heptad_lab::seed::stream(len as u64, "pattern", "bytes");
        Self { rng, left: len }
    }
    /// The next 64 KB or less.
    fn next(&mut self) -> Vec<u8> {
        let len = self.left.min(65_536);
        self.left -= len;
        let words = std::iter::repeat_with(|| self.rng.next_u64().to_le_bytes());
        words.flatten().take(len).collect()
    }
}

/// What was sent and what arrived, and when.
struct Transfer {
    sent: [u8; 32],
    arrived: [u8; 32],
    bytes: usize,
    ended: Instant,
    hash: Option<EventHash>,
}

/// Sends `len` bytes from `from` to port 80 of `to` and closes; the receiver reads until the end of the stream.
fn transfer(story: &mut Story, from: &str, to: &str, len: usize) -> Transfer {
    let limit = seconds(100_000);
    let address = format!("{}:80", story.lab.resolve(to).unwrap());
    let listener = story.listen(to, 80);
    let sender = story.connect(from, &address);
    let receiver = story.accept(listener, limit);
    let (mut sent, mut arrived) = (Sha256::new(), Sha256::new());
    let mut pattern = Pattern::new(len);
    let (mut chunk, mut taken, mut bytes) = (pattern.next(), 0, 0);
    let mut buffer = vec![0; 262_144];
    sent.update(&chunk);
    'end: loop {
        while !chunk.is_empty() {
            let more = story.send(sender, &chunk[taken..]);
            taken += more;
            if taken == chunk.len() {
                (chunk, taken) = (pattern.next(), 0);
                sent.update(&chunk);
                if chunk.is_empty() {
                    let write = Shutdown::Write;
                    let shut = story
                        .lab
                        .with(sender.0, |stack, cx| stack.shutdown(sender.1, write, cx));
                    assert_eq!(shut, Ok(()));
                }
            } else if more == 0 {
                break;
            }
        }
        loop {
            match story.recv(receiver, &mut buffer) {
                None => break 'end,
                Some([]) => break,
                Some(part) => {
                    arrived.update(part);
                    bytes += part.len();
                }
            }
        }
        story.until_ready(limit);
    }
    Transfer {
        sent: sent.finalize().into(),
        arrived: arrived.finalize().into(),
        bytes,
        ended: story.lab.now(),
        hash: story.lab.event_hash(),
    }
}

fn over_a_bad_cable(len: usize, seed: u64) -> Transfer {
    let mut story = Story::new(&Topology::pair(bad_cable()), quiet(seed));
    let transfer = transfer(&mut story, "a", "b", len);
    assert_eq!(transfer.bytes, len);
    assert_eq!(transfer.arrived, transfer.sent);
    for row in story.lab.faults() {
        assert_eq!(row.unapplied(), None);
        println!(
            "{} {} asked {}, applied {} of {}",
            row.direction, row.kind, row.asked, row.applied, row.n
        );
    }
    let b = story.lab.machine("b").unwrap();
    let counters = story.lab.counters(b).unwrap();
    assert!(counters.drops(DropReason::FrameCheck) > 0);
    assert!(counters.drops(DropReason::TcpChecksum) > 0);
    println!(
        "{len} bytes in {:?} of lab time",
        transfer.ended.since(Instant::ZERO)
    );
    transfer
}

#[test]
fn every_byte_arrives_over_a_bad_cable_and_the_run_repeats() {
    let first = over_a_bad_cable(2_000_000, 42);
    let again = over_a_bad_cable(2_000_000, 42);
    assert_eq!((first.hash, first.ended), (again.hash, again.ended));
    assert_ne!(first.hash, over_a_bad_cable(2_000_000, 43).hash);
}

#[test]
fn a_hundred_megabytes_arrive_over_a_bad_cable() {
    over_a_bad_cable(100_000_000, 42);
}

#[test]
fn many_seeds_many_faults_and_every_byte_arrives() {
    for seed in 0..20 {
        let asked = Impairments {
            delay: millis(seed % 7 * 5),
            jitter: millis(seed % 3).min(millis(seed % 7 * 5)),
            rate: (seed % 2 == 0).then_some(10_000_000),
            queue: 20,
            loss: match seed % 4 {
                0 => Loss::None,
                1 => Loss::Every(13),
                2 => Loss::GilbertElliott {
                    p: 0.02,
                    r: 0.3,
                    good: 0.0,
                    bad: 1.0,
                },
                _ => Loss::Random(0.1),
            },
            ..bad_cable()
        };
        let mut story = Story::new(&Topology::pair(asked.clone()), quiet(seed));
        let transfer = transfer(&mut story, "a", "b", 200_000);
        assert_eq!(
            (transfer.bytes, transfer.arrived),
            (200_000, transfer.sent),
            "seed {seed}: {asked:?}"
        );
    }
}

#[test]
fn a_bare_cable_carries_super_segments_and_one_with_a_rate_frames() {
    let fast = Some(1_000_000_000);
    for rate in [None, fast] {
        let asked = Impairments {
            rate,
            ..Impairments::default()
        };
        let mut story = Story::new(&Topology::pair(asked), options(1));
        let transfer = transfer(&mut story, "a", "b", 1_000_000);
        assert_eq!(transfer.arrived, transfer.sent);
        let frames = story.lab.take_frames();
        assert!(frames.iter().all(|f| f.bytes.len() <= 1514), "all are cut");
        let arrivals: Vec<_> = frames
            .iter()
            .filter(|f| f.interface == 1 && matches!(f.moment, Moment::Received(_)))
            .map(|f| f.at)
            .collect();
        let mut instants = arrivals.clone();
        instants.dedup();
        // Ethernet, IPv4 and TCP with timestamps: 66 bytes. Nothing was lost, so nothing comes twice.
        let text = |f: &heptad_lab::FrameRecord| f.bytes.len().saturating_sub(66);
        let carried: usize = frames
            .iter()
            .filter(|f| f.interface == 1 && matches!(f.moment, Moment::Received(Ok(()))))
            .filter(|f| f.bytes.len() > 74)
            .map(text)
            .sum();
        assert_eq!(carried, 1_000_000, "once, and all of it");
        if rate.is_none() {
            assert!(instants.len() < arrivals.len() / 4, "many frames at once");
        } else {
            assert_eq!(instants, arrivals, "one after the other");
        }
    }
}

#[test]
fn the_router_between_cables_of_different_kinds_cuts_what_the_next_does_not_carry() {
    let text = include_str!("labs/chat.toml");
    let mut topology = Topology::parse(text, "chat.toml").unwrap();
    topology.changes.clear();
    topology.links[0].forward = Impairments::default();
    topology.links[0].backward = Impairments::default();
    let mut story = Story::new(&topology, options(9));
    let transfer = transfer(&mut story, "alice", "bob", 500_000);
    assert_eq!((transfer.bytes, transfer.arrived), (500_000, transfer.sent));
    let took = transfer.ended.since(Instant::ZERO);
    // 500 kB and 3.6 % of headers at 10 Mbit.
    assert!(
        took > Duration::from_millis(410) && took < Duration::from_millis(700),
        "{took:?}"
    );
    let r1 = story.lab.machine("r1").unwrap();
    assert!(
        story
            .lab
            .counters(r1)
            .unwrap()
            .get(Counter::IpForwDatagrams)
            > 0
    );
}

#[test]
fn a_cable_that_becomes_narrower_under_a_stream_carries_smaller_segments() {
    let asked = Impairments {
        delay: millis(5),
        rate: Some(10_000_000),
        ..Impairments::default()
    };
    let mut topology = Topology::pair(asked);
    topology.changes = vec![Change {
        time: millis(100),
        link: "a-b".into(),
        forward: None,
        backward: None,
        mtu: Some(600),
    }];
    let mut story = Story::new(&topology, options(1));
    let transfer = transfer(&mut story, "a", "b", 500_000);
    assert_eq!((transfer.bytes, transfer.arrived), (500_000, transfer.sent));
    let frames = story.lab.take_frames();
    let change = Instant::ZERO + millis(100);
    let longest = |after: bool| {
        let sent = frames.iter().filter(|f| f.moment == Moment::Sent);
        let then = sent.filter(|f| (f.at > change) == after);
        then.map(|f| f.bytes.len()).max()
    };
    assert_eq!((longest(false), longest(true)), (Some(1514), Some(614)));
}

#[test]
fn an_idle_connection_costs_nothing_for_an_hour() {
    let mut story = Story::chat(include_str!("labs/chat.toml"), options(42));
    let listener = story.listen("bob", 8080);
    let client = story.connect("alice", "10.0.2.20:8080");
    let server = story.accept(listener, seconds(100));
    assert_eq!(story.send(client, "안녕하세요".as_bytes()), 15);
    let mut buffer = [0; 64];
    while story.recv(server, &mut buffer) == Some(&[]) {
        story.until_ready(seconds(200));
    }
    assert_eq!(&buffer[..15], "안녕하세요".as_bytes());
    let outcome = story.lab.run_until(seconds(3600), false, 500);
    assert_eq!(
        story.lab.now(),
        seconds(3600),
        "{outcome:?}: at most 500 events"
    );
}
