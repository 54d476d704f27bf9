//! A path that swallows what is too long and says nothing (RFC 4821): transfers go through, and grow with the path.
mod story;

use heptad_lab::Topology;
use heptad_lab::stack::l4_transport::tcp::Info;
use heptad_lab::stack::time::Duration;
use heptad_lab::topology::Change;
use story::{End, Story, millis, options, seconds};

/// Hosts whose own cables take 1500 bytes; the one between the switches takes less.
const NARROW: &str = r#"
    [nodes.a]
    address = "10.0.0.1/24"
    [nodes.b]
    address = "10.0.0.2/24"
    [nodes.s]
    kind = "switch"
    [nodes.t]
    kind = "switch"
    [[links]]
    endpoints = ["a", "s"]
    [[links]]
    name = "middle"
    endpoints = ["s", "t"]
    mtu = 1200
    delay = "10ms"
    [[links]]
    endpoints = ["t", "b"]
    "#;

fn info(story: &mut Story, (machine, socket): End) -> Info {
    let ask = story
        .lab
        .with(machine, |stack, cx| stack.tcp_info(socket, cx.now));
    ask.expect("a connection")
}

/// Moves so many bytes; how long it took.
fn transfer(story: &mut Story, (from, to): (End, End), bytes: usize) -> Duration {
    let begin = story.lab.now();
    let (mut left, mut to_come) = (bytes, bytes);
    let mut buffer = vec![0; 65_536];
    while to_come > 0 {
        left -= story.send(from, &vec![7; left.min(65_536)]);
        while let Some(part @ [_, ..]) = story.recv(to, &mut buffer) {
            to_come -= part.len();
        }
        if to_come > 0 {
            story.until_ready(story.lab.now() + Duration::from_secs(60));
        }
    }
    story.lab.now().since(begin)
}

fn widen(story: &mut Story, mtu: u32) {
    let change = Change {
        time: Duration::ZERO,
        link: "middle".into(),
        forward: None,
        backward: None,
        mtu: Some(mtu),
    };
    story.lab.change(&change).expect("a cable of this name");
}

#[test]
fn a_transfer_finds_its_way_past_a_black_hole_and_grows_when_the_path_does() {
    let topology = Topology::parse(NARROW, "narrow.toml").expect("a good file");
    let mut story = Story::new(&topology, options(2));
    let listener = story.listen("b", 80);
    let client = story.connect("a", "10.0.0.2:80");
    let server = story.accept(listener, seconds(10));
    let took = transfer(&mut story, (client, server), 2_000_000);
    assert!(took < Duration::from_secs(15), "{took:?}");
    let found = info(&mut story, client);
    // with 52 bytes of headers no packet longer than 1200, and at most eight bytes are given away
    assert!((1140..=1148).contains(&found.snd_mss), "{found:?}");
    assert_eq!(found.pmtu, 1500, "nobody told: {found:?}");

    widen(&mut story, 1500);
    transfer(&mut story, (client, server), 500_000);
    assert_eq!(
        info(&mut story, client).snd_mss,
        found.snd_mss,
        "a result holds for a while"
    );
    story.run_for(millis(600_000));
    transfer(&mut story, (client, server), 500_000);
    transfer(&mut story, (client, server), 500_000);
    let grown = info(&mut story, client);
    assert!((1440..=1448).contains(&grown.snd_mss), "{grown:?}");
}

#[test]
fn the_other_way_is_found_by_the_other_side() {
    let topology = Topology::parse(NARROW, "narrow.toml").expect("a good file");
    let mut story = Story::new(&topology, options(2));
    let listener = story.listen("b", 80);
    let client = story.connect("a", "10.0.0.2:80");
    let server = story.accept(listener, seconds(10));
    let took = transfer(&mut story, (server, client), 200_000);
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(info(&mut story, server).snd_mss <= 1148);
}
