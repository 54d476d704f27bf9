//! Who watches changes nothing, what arrives together is told apart, and a machine that stands still is named.
mod story;

use heptad_lab::stack::wire::MacAddr;
use heptad_lab::stack::{
    Caps, Cx, DropReason, EventMask, Instant, Medium, PortConfig, Shutdown, Stack,
};
use heptad_lab::topology::{Change, Impairments, Loss};
use heptad_lab::{EventHash, FrameRecord, LabOptions, Moment, Outcome, Topology};
use sha2::{Digest, Sha256};
use story::{Story, millis, options, seconds};

/// Sends `len` bytes each way at once; when it was over, the hash, every host's MIB, and what was recorded.
fn conversation(
    topology: &Topology,
    options: LabOptions,
    len: usize,
) -> (Instant, EventHash, Vec<String>, Vec<FrameRecord>) {
    let mut story = Story::new(topology, options);
    let limit = seconds(10_000);
    let address = format!("{}:80", story.lab.resolve("b").unwrap());
    let listener = story.listen("b", 80);
    let client = story.connect("a", &address);
    let server = story.accept(listener, limit);
    let mut left = [(client, server, len, len), (server, client, len, len)];
    let mut buffer = vec![0; 65_536];
    while left.iter().any(|(_, _, _, to_come)| *to_come > 0) {
        for (from, to, to_send, to_come) in &mut left {
            while *to_send > 0 {
                let sent = story.send(*from, &vec![7; (*to_send).min(50_000)]);
                *to_send -= sent;
                if sent == 0 {
                    break;
                }
            }
            while let Some(part @ [_, ..]) = story.recv(*to, &mut buffer) {
                *to_come -= part.len();
            }
        }
        if left.iter().any(|(_, _, _, to_come)| *to_come > 0) {
            story.until_ready(limit);
        }
    }
    for (machine, socket) in [client, server] {
        let shut = |stack: &mut Stack, cx: &mut Cx<'_>| stack.shutdown(socket, Shutdown::Write, cx);
        assert_eq!(story.lab.with(machine, shut), Ok(()));
    }
    story.run_for(millis(90_000));
    let machines = story.lab.machines();
    let counters = machines.iter().filter_map(|m| story.lab.counters(m.id));
    (
        story.lab.now(),
        story.lab.event_hash().unwrap(),
        counters.map(|c| format!("{c:?}")).collect(),
        story.lab.take_frames(),
    )
}

/// a and b on a switch: super-segments cross both cables whole, or only the first one.
fn switched(second: &str) -> Topology {
    let text = format!(
        "[nodes.sw]\nkind = \"switch\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
         [[links]]\nendpoints = [\"a\", \"sw\"]\n[[links]]\nendpoints = [\"sw\", \"b\"]\n{second}"
    );
    Topology::parse(&text, "switched.toml").unwrap()
}

#[test]
fn a_stream_has_the_same_hash_and_the_same_counts_with_and_without_watchers() {
    let bad = Impairments {
        delay: millis(10),
        loss: Loss::Random(0.03),
        duplicate: 0.02,
        corrupt: 0.01,
        corrupt_undetected: 0.01,
        reorder: 0.02,
        reorder_delay: millis(3),
        ..Impairments::default()
    };
    for (what, topology) in [
        ("super-segments", Topology::pair(Impairments::default())),
        ("super-segments through a switch", switched("")),
        (
            "cut by the switch",
            switched("rate = \"100 Mbit\"\nqueue = 50\n"),
        ),
        ("a bad cable", Topology::pair(bad)),
    ] {
        let watched = conversation(&topology, options(7), 400_000);
        let again = conversation(&topology, options(7), 400_000);
        assert!(watched == again, "{what}: the same seed, the same bytes");
        let blind = LabOptions {
            observe: false,
            events: EventMask::NONE,
            ..options(7)
        };
        let blind = conversation(&topology, blind, 400_000);
        assert!(watched.3.len() > 1000 && blind.3.is_empty(), "{what}");
        let seen = (watched.0, watched.1, watched.2);
        assert!(seen == (blind.0, blind.1, blind.2), "{what}: unwatched");
    }
}

/// The hash as the design has it, from what was recorded: time, link, direction, packet id, verdict, bytes.
fn hash_of(frames: &[FrameRecord]) -> EventHash {
    let mut hash = Sha256::new();
    for frame in frames {
        let (link, end) = (frame.interface / 2, frame.interface % 2);
        let (way, verdict) = match &frame.moment {
            Moment::Received(Ok(())) => (1 - end, "ok".to_owned()),
            Moment::Received(Err(reason)) => (1 - end, reason.name().to_owned()),
            Moment::Lost(cause) => {
                let kind = cause.split([':', ' ']).next().unwrap();
                (end, format!("lost {kind}"))
            }
            Moment::Sent | Moment::DroppedLater(_) => continue,
        };
        hash.update(frame.at.as_nanos().to_le_bytes());
        hash.update(link.to_le_bytes());
        hash.update([way as u8]);
        hash.update(frame.id.as_u64().to_le_bytes());
        for part in [verdict.as_bytes(), &frame.bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    EventHash(hash.finalize().into())
}

#[test]
fn the_event_hash_is_over_time_link_direction_id_verdict_and_bytes() {
    let lossy = Impairments {
        loss: Loss::Random(0.1),
        corrupt: 0.05,
        ..Impairments::default()
    };
    for topology in [switched(""), Topology::pair(lossy)] {
        let (_, hash, _, frames) = conversation(&topology, options(5), 100_000);
        assert_eq!(hash, hash_of(&frames));
    }
}

#[test]
fn each_direction_of_a_cable_is_changed_for_itself() {
    let text = "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
        [[links]]\nendpoints = [\"a\", \"b\"]\ndelay = \"1ms\"\nbackward = { delay = \"5ms\" }\n\
        [[at]]\ntime = \"1s\"\nlink = \"a-b\"\nforward = { delay = \"3ms\" }\n\
        [[at]]\ntime = \"2s\"\nlink = \"a-b\"\nbackward = { delay = \"7ms\" }\n";
    let topology = Topology::parse(text, "directions.toml").unwrap();
    let mut story = Story::new(&topology, options(1));
    let (a, b) = (story.udp("a", 1), story.udp("b", 2));
    // Whoever is at the end of it knows the other.
    story.send_to(a, b"hello", "10.0.0.2:2");
    for (second, there, back) in [(0, 1, 5), (1, 3, 5), (2, 3, 7)] {
        story.run_for(
            seconds(second).since(Instant::ZERO) + millis(500)
                - story.lab.now().since(Instant::ZERO),
        );
        story.lab.take_frames();
        story.send_to(a, b"there", "10.0.0.2:2");
        story.send_to(b, b"back", "10.0.0.1:1");
        let sent = story.lab.now();
        story.run_for(millis(100));
        let took = |frames: &[FrameRecord], interface| {
            let arrived = frames
                .iter()
                .find(|f| f.interface == interface && f.moment == Moment::Received(Ok(())));
            arrived.map(|f| f.at.since(sent))
        };
        let frames = story.lab.take_frames();
        let expected = (Some(millis(there)), Some(millis(back)));
        assert_eq!(
            (took(&frames, 1), took(&frames, 0)),
            expected,
            "second {second}"
        );
    }
}

#[test]
fn frames_that_arrive_together_keep_their_order_and_each_has_its_verdict() {
    let mut story = Story::new(&Topology::pair(Impairments::default()), options(3));
    let (a, b) = (story.udp("a", 1000), story.udp("b", 2000));
    story.send_to(a, b"who are you?", "10.0.0.2:2000");
    story.run_for(millis(1));
    assert!(story.receive(b).is_some());
    let bad = Impairments {
        corrupt: 0.3,
        corrupt_undetected: 0.3,
        ..Impairments::default()
    };
    let change = Change {
        time: millis(0),
        link: "a-b".into(),
        forward: Some(bad),
        backward: None,
        mtu: None,
    };
    story.lab.change(&change).unwrap();
    story.lab.take_frames();
    // More than a batch holds.
    for n in 0..100u8 {
        story.send_to(a, &[n; 40], "10.0.0.2:2000");
    }
    story.run_for(millis(1));
    let frames = story.lab.take_frames();
    let sent = frames.iter().filter(|f| f.moment == Moment::Sent);
    let sent: Vec<_> = sent.map(|f| f.id).collect();
    let received: Vec<_> = frames
        .iter()
        .filter_map(|f| match f.moment {
            Moment::Received(verdict) => Some((f, verdict)),
            _ => None,
        })
        .collect();
    assert_eq!(received.iter().map(|(f, _)| f.id).collect::<Vec<_>>(), sent);
    assert_eq!(sent.len(), 100);
    assert!(received.iter().all(|(f, _)| f.at == received[0].0.at));
    let mut refused = 0;
    for (frame, verdict) in &received {
        let note = frame.note.as_deref().unwrap_or("");
        let caught = note.ends_with(" tells");
        assert_eq!(*verdict == Err(DropReason::FrameCheck), caught, "{note}");
        assert_eq!(verdict.is_ok(), note.is_empty(), "{verdict:?}: {note}");
        refused += usize::from(verdict.is_err());
    }
    assert!((20..80).contains(&refused), "{refused}");
    let later = |f: &&FrameRecord| matches!(f.moment, Moment::DroppedLater(_));
    assert_eq!(
        frames.iter().filter(later).count(),
        0,
        "each drop is told once"
    );
    let taken: Vec<_> = std::iter::from_fn(|| story.receive(b))
        .map(|(bytes, _)| bytes[0])
        .collect();
    assert_eq!(taken.len(), 100 - refused);
    assert!(taken.is_sorted());
}

#[test]
fn a_machine_that_never_lets_time_move_is_named_and_the_others_go_on() {
    let mut story = Story::new(&Topology::pair(Impairments::default()), options(1));
    let (a, b) = (story.udp("a", 1000), story.udp("b", 2000));
    // A port without a cable: what waits there is due for ever.
    story.lab.with(a.0, |stack, _| {
        let port = stack.add_port(PortConfig {
            name: "loose".into(),
            medium: Medium::Ethernet(MacAddr([2, 9, 9, 9, 9, 9])),
            mtu: 1500,
            caps: Caps::FRAMES,
            queue_limit: 10,
        });
        stack.add_address(port, [10, 9, 9, 1].into(), 24).unwrap();
    });
    story.send_to(a, b"hello", "10.9.9.2:9");
    let stalled = Outcome::Stalled(vec![a.0]);
    assert_eq!(story.lab.run_until(seconds(1), false, u64::MAX), stalled);
    assert_eq!(story.lab.now(), Instant::ZERO);
    // It is told anew, within a bounded number of events each time.
    assert_eq!(story.lab.run_until(seconds(1), false, 10_001), stalled);
    story.send_to(b, b"still here", "10.0.0.1:1000");
    assert_eq!(story.lab.run_until(seconds(1), false, u64::MAX), stalled);
}
