//! Machines in a lab, over UDP: cables, switches, routers, faults, records and hashes.
mod story;

use heptad_lab::stack::stack::Standing;
use heptad_lab::stack::time::Duration;
use heptad_lab::stack::{DropReason, Event, EventMask, Family, Instant, PortId, SocketKind};
use heptad_lab::topology::{Change, Impairments, Loss};
use heptad_lab::{Lab, LabOptions, Moment, Outcome, Topology};
use story::{Story, millis, options, seconds};

/// alice - r1 - bob, with 20 ms, jitter and loss on the first cable.
const CHAT: &str = include_str!("labs/chat.toml");

fn star(hosts: u8) -> Topology {
    let mut text = String::from("[nodes.sw]\nkind = \"switch\"\n");
    for n in 1..=hosts {
        text += &format!(
            "[nodes.h{n}]\naddress = \"10.0.0.{n}/24\"\n[[links]]\nendpoints = [\"h{n}\", \"sw\"]\n"
        );
    }
    Topology::parse(&text, "star.toml").unwrap()
}

#[test]
fn a_datagram_and_its_answer_cross_one_cable() {
    let mut story = Story::new(&Topology::pair(Impairments::default()), options(1));
    let (a, b) = (story.udp("a", 1000), story.udp("b", 2000));
    story.send_to(a, "안녕".as_bytes(), "10.0.0.2:2000");
    assert_eq!(story.lab.run_until(seconds(1), true, 1000), Outcome::Ready);
    assert_eq!(
        story.lab.now(),
        Instant::from_nanos(3000),
        "ARP there and back, then the datagram: a microsecond each"
    );
    let (text, from) = story.receive(b).expect("a datagram");
    assert_eq!(
        (text.as_slice(), from.to_string().as_str()),
        ("안녕".as_bytes(), "10.0.0.1:1000")
    );
    story.send_to(b, b"hi", "10.0.0.1:1000");
    story.run_for(millis(1));
    assert_eq!(story.receive(a).expect("an answer").0, b"hi");
}

#[test]
fn a_router_forwards_and_takes_one_off_the_ttl() {
    let mut story = Story::chat(CHAT, options(42));
    let (alice, bob) = (story.udp("alice", 1000), story.udp("bob", 8080));
    // 5 % loss: ask until one arrives.
    for _ in 0..5 {
        story.send_to(alice, b"hello", "10.0.2.20:8080");
        story.run_for(millis(500));
    }
    assert_eq!(story.receive(bob).expect("one of five").0, b"hello");
    let interfaces: Vec<_> = story
        .lab
        .interfaces()
        .iter()
        .map(|i| i.name.clone())
        .collect();
    assert_eq!(interfaces, ["alice/eth0", "r1/eth0", "r1/eth1", "bob/eth0"]);
    let frames = story.lab.take_frames();
    let arrived: Vec<_> = frames
        .iter()
        .filter(|f| f.bytes.ends_with(b"hello") && f.moment == Moment::Received(Ok(())))
        .collect();
    let last = arrived.iter().find(|f| f.interface == 3).expect("at bob");
    assert_eq!(last.bytes[22], 63, "the TTL behind one router");
    let way: Vec<_> = frames
        .iter()
        .filter(|f| f.id == last.id)
        .map(|f| f.interface)
        .collect();
    assert_eq!(way, [0, 1, 2, 3], "one packet, one id, four places");
}

#[test]
fn a_switch_floods_once_and_then_knows_the_way() {
    let mut story = Story::new(&star(3), options(1));
    let (a, b) = (story.udp("h1", 1), story.udp("h2", 2));
    story.send_to(a, b"one", "10.0.0.2:2");
    story.run_for(millis(1));
    story.send_to(b, b"two", "10.0.0.1:1");
    story.run_for(millis(1));
    assert_eq!(story.receive(b).unwrap().0, b"one");
    assert_eq!(story.receive(a).unwrap().0, b"two");
    let third = story
        .lab
        .interfaces()
        .iter()
        .position(|i| i.name == "h3/eth0")
        .unwrap();
    let frames = story.lab.take_frames();
    let at_third = frames.iter().filter(|f| f.interface as usize == third);
    assert_eq!(
        at_third.count(),
        1,
        "only the ARP question, which is for everybody"
    );
    let asked = frames[0].id;
    let question: Vec<_> = frames.iter().filter(|f| f.id == asked).collect();
    // Two ends of the first cable, then both ends of the two others: it does not come back to the one who asked.
    assert_eq!(question.len(), 6, "{question:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_whether_watched_or_not() {
    let run = |seed, observe| {
        let mut story = Story::chat(
            CHAT,
            LabOptions {
                observe,
                ..options(seed)
            },
        );
        let (alice, bob) = (story.udp("alice", 1000), story.udp("bob", 8080));
        for n in 0..100u8 {
            story.send_to(alice, &[n; 600], "10.0.2.20:8080");
            story.run_for(millis(10));
            while let Some((bytes, from)) = story.receive(bob) {
                story.send_to(bob, &bytes, &from.to_string());
            }
        }
        story.run_for(millis(500));
        (
            story.lab.event_hash().unwrap(),
            story.lab.take_frames(),
            story.lab.faults(),
        )
    };
    let (hash, frames, faults) = run(42, true);
    let again = run(42, true);
    assert_eq!((&hash, &frames), (&again.0, &again.1));
    let unseen = run(42, false);
    assert_eq!((hash, faults), (unseen.0, unseen.2));
    assert!(!frames.is_empty() && unseen.1.is_empty());
    assert_ne!(hash, run(43, true).0);
}

#[test]
fn an_idle_hour_costs_a_handful_of_events() {
    let mut story = Story::chat(CHAT, options(42));
    let (alice, bob) = (story.udp("alice", 1000), story.udp("bob", 8080));
    for _ in 0..5 {
        story.send_to(alice, b"hello", "10.0.2.20:8080");
        story.run_for(millis(100));
    }
    assert!(story.receive(bob).is_some());
    // Neighbours age, reassembly and others may wake; nothing ticks.
    let outcome = story.lab.run_until(seconds(3600), false, 200);
    assert!(
        matches!(outcome, Outcome::Idle | Outcome::Reached),
        "{outcome:?}"
    );
    assert_eq!(story.lab.now(), seconds(3600));
}

#[test]
fn lost_frames_tell_why_and_faults_tell_how_many() {
    let lossy = Impairments {
        loss: Loss::Nth(vec![3]),
        ..Impairments::default()
    };
    let mut story = Story::new(&Topology::pair(lossy), options(1));
    let (a, b) = (story.udp("a", 1000), story.udp("b", 2000));
    for n in 0..4u8 {
        story.send_to(a, &[n], "10.0.0.2:2000");
        story.run_for(millis(1));
    }
    let arrived: Vec<_> = std::iter::from_fn(|| story.receive(b))
        .map(|(bytes, _)| bytes[0])
        .collect();
    assert_eq!(
        arrived,
        [0, 2, 3],
        "ARP is the first packet, so datagram 1 is the third"
    );
    let frames = story.lab.take_frames();
    let lost: Vec<_> = frames
        .iter()
        .filter(|f| matches!(f.moment, Moment::Lost(_)))
        .collect();
    let [lost] = lost.as_slice() else {
        panic!("{lost:?}")
    };
    assert_eq!(
        lost.moment,
        Moment::Lost("loss: packet 3 was asked for".into())
    );
    assert_eq!(lost.interface, 0);
    let faults = story.lab.faults();
    assert_eq!(
        (
            faults[0].link.as_str(),
            faults[0].direction.as_str(),
            faults[0].kind
        ),
        ("a-b", "a → b", "loss")
    );
    assert_eq!((faults[0].applied, faults[0].n), (1, 5));
    assert_eq!(faults[0].unapplied(), None);
    assert_eq!(
        faults[1].unapplied().as_deref(),
        Some("a-b, b → a: loss asked for packets 3, but only 1 came by: 1 never did")
    );
}

#[test]
fn a_caught_corruption_is_dropped_by_the_port_and_one_that_slips_by_the_checksum() {
    let corrupting = |detected: bool| Impairments {
        corrupt: if detected { 1.0 } else { 0.0 },
        corrupt_undetected: if detected { 0.0 } else { 1.0 },
        ..Impairments::default()
    };
    for (detected, reason) in [
        (true, DropReason::FrameCheck),
        (false, DropReason::UdpChecksum),
    ] {
        // The answer to ARP must come through: only one direction is bad, and only after it.
        let mut story = Story::new(&Topology::pair(Impairments::default()), options(7));
        let (a, b) = (story.udp("a", 1000), story.udp("b", 2000));
        story.send_to(a, b"first", "10.0.0.2:2000");
        story.run_for(millis(1));
        assert!(story.receive(b).is_some());
        let change = Change {
            time: Duration::ZERO,
            link: "a-b".into(),
            forward: Some(corrupting(detected)),
            backward: None,
            mtu: None,
        };
        story.lab.change(&change).unwrap();
        story.lab.take_frames();
        story.send_to(a, b"second", "10.0.0.2:2000");
        story.run_for(millis(1));
        assert!(story.receive(b).is_none());
        let b = story.lab.machine("b").unwrap();
        // A flipped bit of the ports or the length gives other reasons; this seed's does not.
        assert_eq!(
            story.lab.counters(b).unwrap().drops(reason),
            1,
            "{reason:?}"
        );
        let frames = story.lab.take_frames();
        let last = frames.last().unwrap();
        assert_eq!(last.moment, Moment::Received(Err(reason)));
        let note = last.note.clone().unwrap();
        let tells = if detected { "tells" } else { "does not tell" };
        assert!(
            note.starts_with("corrupted bit ") && note.ends_with(tells),
            "{note}"
        );
        assert_eq!(
            frames.len(),
            2,
            "sent, received, and no second record of the same drop: {frames:?}"
        );
    }
}

#[test]
fn the_timeline_takes_a_cable_down_and_up_again() {
    let mut topology = Topology::pair(Impairments::default());
    let change = |time, down| {
        let asked = Impairments {
            down,
            ..Impairments::default()
        };
        Change {
            time: millis(time),
            link: "a-b".into(),
            forward: Some(asked.clone()),
            backward: Some(asked),
            mtu: None,
        }
    };
    topology.changes = vec![change(10, true), change(20, false)];
    let mut story = Story::new(&topology, options(1));
    let (a, b) = (story.udp("a", 1000), story.udp("b", 2000));
    for n in 0..6u8 {
        story.send_to(a, &[n], "10.0.0.2:2000");
        story.run_for(millis(5));
    }
    let arrived: Vec<_> = std::iter::from_fn(|| story.receive(b))
        .map(|(bytes, _)| bytes[0])
        .collect();
    assert_eq!(arrived, [0, 1, 4, 5]);
    let faults = story.lab.faults();
    assert_eq!((faults[0].kind, faults[0].applied), ("down", 2));
    let [.., row] = faults.as_slice() else {
        panic!()
    };
    assert_eq!(
        (row.kind, row.asked.as_str(), row.applied, row.n),
        ("timeline", "2 changes", 2, 2)
    );
    assert_eq!(row.unapplied(), None);
    let short = Story::new(&topology, options(1)).lab;
    let [row] = short.faults().try_into().expect("only the timeline's row");
    assert_eq!(
        row.unapplied().as_deref(),
        Some("a-b, a ↔ b: the run ended before 2 of 2 changes")
    );
}

#[test]
fn a_neighbour_that_never_answers_is_a_record_of_its_own() {
    let mut story = Story::new(&Topology::pair(Impairments::default()), options(1));
    let a = story.udp("a", 1000);
    story.send_to(a, b"nobody", "10.0.0.77:9");
    story.run_for(seconds(10).since(Instant::ZERO));
    let frames = story.lab.take_frames();
    let later: Vec<_> = frames
        .iter()
        .filter(|f| matches!(f.moment, Moment::DroppedLater(_)))
        .collect();
    let [later] = later.as_slice() else {
        panic!("{later:?}")
    };
    assert_eq!(
        later.moment,
        Moment::DroppedLater(DropReason::NeighbourUnreachable)
    );
    assert!(later.bytes.is_empty());
}

#[test]
fn a_budget_ends_a_call_early_and_the_next_one_goes_on() {
    let go = |budget: u64| {
        let mut story = Story::new(&star(4), options(5));
        let (a, b) = (story.udp("h1", 1), story.udp("h4", 4));
        story.send_to(a, b"x", "10.0.0.4:4");
        let mut calls = 0;
        while story.lab.run_until(millis_at(5), false, budget) == Outcome::Reached
            && story.lab.now() < millis_at(5)
        {
            calls += 1;
        }
        assert!(story.receive(b).is_some());
        (calls, story.lab.event_hash().unwrap())
    };
    let (calls, hash) = go(1);
    assert!(calls > 5, "{calls}");
    assert_eq!(go(u64::MAX), (0, hash));
}

#[test]
fn a_lab_knows_its_machines_by_name_and_address() {
    let lab = Lab::new(&Topology::parse(CHAT, "chat.toml").unwrap(), options(42)).unwrap();
    let names: Vec<_> = lab.machines().into_iter().map(|m| m.name).collect();
    assert_eq!(names, ["alice", "bob", "r1"]);
    let bob = lab.machine("bob").unwrap();
    assert_eq!(lab.resolve("bob").unwrap().to_string(), "10.0.2.20");
    assert_eq!(lab.owner("10.0.2.20".parse().unwrap()), Some(bob));
    assert_eq!(lab.owner("10.0.2.1".parse().unwrap()), lab.machine("r1"));
    assert_eq!((lab.machine("carol"), lab.resolve("carol")), (None, None));
    assert_eq!(lab.seed(), 42);
}

#[test]
fn readiness_stays_bounded_and_machines_take_turns() {
    let mut story = Story::new(
        &star(3),
        LabOptions {
            events: EventMask::NONE,
            ..options(3)
        },
    );
    let a = story.udp("h1", 1);
    let others: Vec<_> = ["h2", "h3"]
        .into_iter()
        .flat_map(|h| (10..15).map(move |p| (h, p)))
        .map(|(h, p)| (h, p, story.udp(h, p)))
        .collect();
    for (host, port, _) in &others {
        let address = format!("10.0.0.{}:{port}", &host[1..]);
        story.send_to(a, b"x", &address);
    }
    while story.lab.poll_ready().is_some() {}
    story.run_for(millis(5));
    let mut ready: Vec<_> = std::iter::from_fn(|| story.lab.poll_ready())
        .filter(|(m, ..)| *m != a.0)
        .map(|(m, s, _)| (m, s))
        .collect();
    let first_two: Vec<_> = ready.iter().take(2).map(|(m, _)| *m).collect();
    assert_ne!(first_two[0], first_two[1], "in turns");
    ready.sort_unstable();
    ready.dedup();
    let mut expected: Vec<_> = others.iter().map(|(_, _, socket)| *socket).collect();
    expected.sort_unstable();
    assert_eq!(ready, expected);
}

fn millis_at(n: u64) -> Instant {
    Instant::ZERO + millis(n)
}

#[test]
fn a_switch_has_no_sockets() {
    let mut lab = Lab::new(&star(2), options(1)).unwrap();
    let switch = lab.machine("sw").unwrap();
    assert!(lab.stack(switch).is_none() && lab.counters(switch).is_some());
    let verb = std::panic::AssertUnwindSafe(|| {
        lab.with(switch, |stack, _| {
            stack.socket(Family::V4, SocketKind::Datagram).is_ok()
        })
    });
    assert!(std::panic::catch_unwind(verb).is_err());
}

/// Three hosts on a switch, two of them of one address; the second one of those looks first.
const TWO_OF_ONE_ADDRESS: &str = r#"
    [nodes.a]
    address = "10.0.0.1/24"
    [nodes.b]
    address = ["10.0.0.1/24", "10.0.0.2/24"]
    conflict_detection = true
    [nodes.c]
    address = "10.0.0.3/24"
    [nodes.s]
    kind = "switch"
    [[links]]
    endpoints = ["a", "s"]
    [[links]]
    endpoints = ["b", "s"]
    [[links]]
    endpoints = ["c", "s"]
    "#;

#[test]
fn of_two_hosts_of_one_address_the_careful_one_does_without() {
    let mut story = Story::chat(TWO_OF_ONE_ADDRESS, options(1));
    assert!(story.lab.awaits_addresses());
    story.run_for(millis(8000));
    assert!(!story.lab.awaits_addresses());
    let b = story.lab.machine("b").unwrap();
    let shared = [10, 0, 0, 1].into();
    let stack = story.lab.stack(b).unwrap();
    assert_eq!(stack.standing(PortId(1), shared), Some(Standing::Lost));
    let other = stack.standing(PortId(1), [10, 0, 0, 2].into());
    assert_eq!(other, Some(Standing::Held));
    assert_eq!(story.lab.owner(shared.into()), story.lab.machine("a"));
    let duplicate = Event::Duplicate { ip: shared.into() };
    let events = story.lab.take_events();
    let mut of_b = events.iter().filter(|(_, machine, _)| *machine == b);
    assert!(of_b.any(|(_, _, event)| *event == duplicate));
    // Everybody reaches everybody.
    let [a, c] = ["a", "c"].map(|node| story.udp(node, 7));
    let b = story.udp("b", 7);
    for (to, name) in [(a, "10.0.0.1:7"), (b, "10.0.0.2:7"), (c, "10.0.0.3:7")] {
        for from in [a, b, c] {
            story.send_to(from, b"hello", name);
            story.run_for(millis(10));
            assert!(story.receive(to).is_some(), "{name}");
        }
    }
}
