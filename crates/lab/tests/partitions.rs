//! Sets of nodes that do not hear each other for a while, in the lab file and by hand.
mod story;

use heptad_lab::topology::{Division, Partition};
use heptad_lab::{Lab, Moment, Topology};
use story::{Story, millis, options, seconds};

/// Three hosts at a switch, and one behind a router, with these events.
fn network(events: &str) -> Story {
    let text = format!(
        r#"
        [nodes.a]
        address = ["10.0.0.1/24", "fd00::1/64"]
        gateway = ["10.0.0.254", "fd00::254"]
        [nodes.b]
        address = ["10.0.0.2/24", "fd00::2/64"]
        gateway = ["10.0.0.254", "fd00::254"]
        [nodes.c]
        address = "10.0.0.3/24"
        gateway = "10.0.0.254"
        [nodes.far]
        address = ["10.0.1.4/24", "fd00:1::4/64"]
        gateway = ["10.0.1.254", "fd00:1::254"]
        [nodes.sw]
        kind = "switch"
        [nodes.r]
        kind = "router"
        address = ["10.0.0.254/24", "fd00::254/64"]
        ports.eth1.address = ["10.0.1.254/24", "fd00:1::254/64"]
        [[links]]
        endpoints = ["a", "sw"]
        [[links]]
        endpoints = ["b", "sw"]
        [[links]]
        endpoints = ["c", "sw"]
        [[links]]
        endpoints = ["r:eth0", "sw"]
        [[links]]
        endpoints = ["r:eth1", "far"]
        {events}
        "#
    );
    let topology = Topology::parse(&text, "network.toml").unwrap_or_else(|e| panic!("{e}"));
    Story::new(&topology, options(3))
}

const ADDRESSES: [(&str, &str); 4] = [
    ("a", "10.0.0.1:7"),
    ("b", "10.0.0.2:7"),
    ("c", "10.0.0.3:7"),
    ("far", "10.0.1.4:7"),
];

/// Everybody sends everybody a datagram: who was heard by whom, `ab` for a by b.
fn heard(story: &mut Story) -> Vec<String> {
    let ends: Vec<_> = ADDRESSES.map(|(node, _)| story.udp(node, 7)).to_vec();
    for (from, (name, _)) in ends.iter().zip(ADDRESSES) {
        for (to, address) in ADDRESSES {
            if to != name {
                story.send_to(*from, name.as_bytes(), address);
            }
        }
    }
    story.run_for(millis(100));
    let mut pairs = Vec::new();
    for (at, (name, _)) in ends.iter().zip(ADDRESSES) {
        while let Some((from, _)) = story.receive(*at) {
            pairs.push(format!("{}{name}", String::from_utf8(from).unwrap()));
        }
        story.close(*at);
    }
    pairs.sort();
    pairs
}

const EVERYBODY: &str = "ab ac afar ba bc bfar ca cb cfar fara farb farc";

#[test]
fn a_partition_holds_behind_a_switch_and_a_router_and_ends_when_it_is_told_to() {
    let mut story = network(
        r#"
        [[at]]
        time = "1s"
        partition = [["a", "far"], ["b"]]
        [[at]]
        time = "2s"
        heal = true
        "#,
    );
    assert_eq!(heard(&mut story).join(" "), EVERYBODY);
    story.lab.run_until(seconds(1), false, u64::MAX);
    assert_eq!(
        heard(&mut story).join(" "),
        "ac afar bc ca cb cfar fara farc"
    );
    let rows = story.lab.faults();
    let row = rows
        .iter()
        .find(|row| row.kind == "partition")
        .expect("a row");
    assert_eq!(
        (row.direction.as_str(), row.asked.as_str()),
        ("a far ↔ b", "from 1.000 s")
    );
    assert!(
        row.applied >= 4,
        "the datagrams, and what goes to groups: {row:?}"
    );
    story.lab.run_until(seconds(2), false, u64::MAX);
    assert_eq!(heard(&mut story).join(" "), EVERYBODY);
    let rows = story.lab.faults();
    assert!(
        rows.iter().all(|row| row.unapplied().is_none()),
        "{rows:#?}"
    );
}

#[test]
fn a_black_hole_swallows_one_direction_only() {
    let mut story = network("[[at]]\ntime = \"0s\"\nblackhole = [\"a\", \"*\"]\nfor = \"500ms\"");
    story.run_for(millis(1));
    assert_eq!(
        heard(&mut story).join(" "),
        "ba bc bfar ca cb cfar fara farb farc"
    );
    story.run_for(millis(500));
    assert_eq!(heard(&mut story).join(" "), EVERYBODY, "its time is over");
}

#[test]
fn what_is_swallowed_is_recorded_at_the_first_cable_and_is_part_of_the_hash() {
    let run = |partition: &str, observe| {
        let mut story = network(partition);
        story.lab.observe(observe);
        story.run_for(millis(1));
        heard(&mut story);
        let hash = story.lab.event_hash().unwrap();
        (hash, story.lab.take_frames())
    };
    let partition = "[[at]]\ntime = \"0s\"\npartition = [\"a\", \"b\"]\nname = \"split\"";
    let (hash, frames) = run(partition, true);
    let lost: Vec<_> = frames
        .iter()
        .filter(|f| f.moment == Moment::Lost("partition: split".into()) && f.bytes.len() == 43)
        .map(|f| f.interface)
        .collect();
    assert_eq!(lost, [0, 2], "where a and b send");
    assert_eq!(run(partition, false).0, hash, "watching changes nothing");
    assert_ne!(run("", false).0, hash);
}

#[test]
fn a_connection_stands_still_while_its_ends_are_parted_and_then_goes_on() {
    let mut story = network("[[at]]\ntime = \"1s\"\npartition = [\"a\", \"far\"]\nfor = \"5s\"");
    let listener = story.listen("far", 80);
    let client = story.connect("a", "10.0.1.4:80");
    let server = story.accept(listener, seconds(1));
    story.lab.run_until(seconds(1), false, u64::MAX);
    assert_eq!(story.send(client, b"hello"), 5);
    story.lab.run_until(seconds(6), false, u64::MAX);
    let mut buffer = [0; 16];
    assert_eq!(story.recv(server, &mut buffer), Some(&b""[..]));
    story.run_for(millis(10_000));
    assert_eq!(story.recv(server, &mut buffer), Some(&b"hello"[..]));
}

#[test]
fn ipv6_is_parted_too_and_so_is_what_goes_to_groups() {
    let mut story = network("");
    let ask = |lab: &mut Lab| {
        let (a, far) = (lab.machine("a").unwrap(), "fd00:1::4".parse().unwrap());
        lab.with(a, |stack, cx| {
            use heptad_lab::stack::{Family, SocketKind};
            let socket = stack.socket(Family::V6, SocketKind::Datagram).unwrap();
            let to = std::net::SocketAddr::new(far, 9);
            stack.send_to(socket, b"six", to, cx).unwrap();
        });
    };
    let arrived = |story: &mut Story| {
        let far = story
            .lab
            .interfaces()
            .iter()
            .position(|i| i.name == "far/eth0");
        let frames = story.lab.take_frames();
        let here = frames.iter().filter(|f| Some(f.interface as usize) == far);
        let six = |f: &&heptad_lab::FrameRecord| f.bytes.ends_with(b"six");
        here.filter(six)
            .filter(|f| matches!(f.moment, Moment::Received(_)))
            .count()
    };
    story.run_for(millis(3000));
    ask(&mut story.lab);
    story.run_for(millis(100));
    assert_eq!(arrived(&mut story), 1);
    let part = Partition {
        name: "split".into(),
        sets: vec![["a".to_owned()].into(), ["far".to_owned()].into()],
        one_way: false,
    };
    story.lab.divide(&Division::Part(part)).unwrap();
    assert_eq!(story.lab.in_force().len(), 1);
    ask(&mut story.lab);
    story.run_for(millis(100));
    assert_eq!(arrived(&mut story), 0);
    let heal = Division::Heal(Some("split".into()));
    story.lab.divide(&heal).unwrap();
    assert!(story.lab.divide(&heal).is_err(), "it stands no more");
    ask(&mut story.lab);
    story.run_for(millis(100));
    assert_eq!(arrived(&mut story), 1);
}
