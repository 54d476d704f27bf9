//! Faults that packets call for: the third SYN is lost, the second connection is reset.
mod story;

use heptad_lab::stack::{DropReason, Instant, SocketError};
use heptad_lab::{FrameRecord, Moment, Topology};
use story::{End, Story, millis, options, seconds};

/// Two hosts on a cable of 10 ms named `a-b`, with these events.
fn pair(events: &str) -> Story {
    scripted("delay = \"10ms\"", events)
}
fn scripted(link: &str, events: &str) -> Story {
    let text = format!(
        "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
         [[links]]\nendpoints = [\"a\", \"b\"]\n{link}\n"
    );
    let topology = Topology::parse_scripted(&text, "lab.toml", Some((events, "script.toml")));
    Story::new(&topology.unwrap_or_else(|e| panic!("{e}")), options(5))
}

/// A connection from `a` to port 80 of `b`; when it was established.
fn connection(story: &mut Story, listener: End) -> (End, End, Instant) {
    let client = story.connect("a", "10.0.0.2:80");
    let limit = story.lab.now() + millis(60_000);
    let server = story.accept(listener, limit);
    (client, server, story.lab.now())
}
/// What a socket says to a program that reads; the bytes that were there are skipped.
fn error(story: &mut Story, (machine, socket): End) -> Option<SocketError> {
    let mut buffer = vec![0; 65_536];
    loop {
        let lab = &mut story.lab;
        match lab.with(machine, |stack, cx| stack.recv(socket, &mut buffer, cx)) {
            Ok(0) | Err(SocketError::WouldBlock) => return None,
            Ok(_) => {}
            Err(error) => return Some(error),
        }
    }
}
fn lost(frames: &[FrameRecord]) -> Vec<(u64, String)> {
    let lost = |frame: &FrameRecord| match &frame.moment {
        Moment::Lost(cause) => Some((frame.at.as_nanos() / 1_000_000, cause.clone())),
        _ => None,
    };
    frames.iter().filter_map(lost).collect()
}
/// `applied of n` of the first rule, and what it says of itself.
fn applied(story: &Story) -> (u64, u64, String) {
    let rows = story.lab.faults();
    let row = rows.iter().find(|row| row.kind == "on").expect("a rule");
    assert_eq!(row.unapplied(), None);
    (row.applied, row.n, row.asked.clone())
}

#[test]
fn the_third_syn_is_lost_and_no_other() {
    let mut story = pair("[[on]]\npacket = \"syn\"\nnth = 3\ndo = \"drop\"");
    let listener = story.listen("b", 80);
    let mut took = || {
        let before = story.lab.now();
        let (_, _, at) = connection(&mut story, listener);
        at.since(before).as_millis()
    };
    // The first one waits for ARP too; the third for the timer.
    assert_eq!([took(), took(), took(), took()], [50, 30, 1030, 30]);
    assert_eq!(applied(&story), (1, 5, "drop syn, nth 3".into()));
    let frames = story.lab.take_frames();
    assert_eq!(lost(&frames), [(80, "on: rule 1: drop of match 3".into())]);
}

#[test]
fn the_second_connection_is_reset_at_both_ends_and_the_others_are_not() {
    for (link, data_loss) in [
        ("delay = \"10ms\"", false),
        ("delay = \"10ms\"\nrate = \"5 Mbit\"", true),
    ] {
        let mut story = scripted(
            link,
            "[[on]]\nconnection = 2\nport = 80\ndo = \"reset\"\nnth = 30",
        );
        let listener = story.listen("b", 80);
        let ends: Vec<_> = (0..3).map(|_| connection(&mut story, listener)).collect();
        for (client, server, _) in &ends {
            for end in [*client, *server] {
                story.send(end, &[7; 100_000]);
            }
        }
        story.run_for(millis(20_000));
        for (n, (client, server, _)) in ends.iter().enumerate() {
            let expected = (n == 1).then_some(SocketError::ConnectionReset);
            assert_eq!(
                error(&mut story, *client),
                expected,
                "client {n}, {data_loss}"
            );
            assert_eq!(
                error(&mut story, *server),
                expected,
                "server {n}, {data_loss}"
            );
        }
        assert_eq!(applied(&story).0, 1);
        let frames = story.lab.take_frames();
        let made = |f: &&FrameRecord| f.note.as_deref() == Some("made by the cable");
        let resets: Vec<_> = frames
            .iter()
            .filter(made)
            .map(|f| f.moment.clone())
            .collect();
        assert_eq!(resets, [Moment::Received(Ok(())), Moment::Received(Ok(()))]);
    }
}

#[test]
fn a_reset_without_more_words_is_at_the_first_text_of_each_connection() {
    let mut story = pair("[[on]]\ndo = \"reset\"");
    let listener = story.listen("b", 80);
    for _ in 0..2 {
        let (client, server, _) = connection(&mut story, listener);
        story.run_for(millis(50));
        assert_eq!(error(&mut story, server), None, "it was established");
        story.send(server, b"hello");
        story.run_for(millis(50));
        assert_eq!(
            error(&mut story, client),
            Some(SocketError::ConnectionReset)
        );
        assert_eq!(
            error(&mut story, server),
            Some(SocketError::ConnectionReset)
        );
    }
    let asked = "reset data, nth 1 of each connection";
    assert_eq!(applied(&story), (2, 2, asked.into()));
}

#[test]
fn a_syn_that_is_reset_is_refused() {
    let mut story = pair("[[on]]\npacket = \"syn\"\nnth = 1\ndo = \"reset\"");
    story.listen("b", 80);
    let client = story.connect("a", "10.0.0.2:80");
    story.run_for(millis(100));
    assert_eq!(
        error(&mut story, client),
        Some(SocketError::ConnectionRefused)
    );
}

#[test]
fn the_second_text_of_each_connection_is_lost_once() {
    let events =
        "[[on]]\npacket = \"data\"\nto_port = 80\nnth = 2\neach = \"connection\"\ndo = \"drop\"";
    let mut story = pair(events);
    let listener = story.listen("b", 80);
    for _ in 0..3 {
        let (client, server, _) = connection(&mut story, listener);
        for text in [b"one", b"two", b"six"] {
            story.send(client, text);
            story.run_for(millis(5));
        }
        story.run_for(millis(1000));
        let mut buffer = [0; 64];
        assert_eq!(story.recv(server, &mut buffer), Some(&b"onetwosix"[..]));
    }
    assert_eq!(applied(&story).0, 3);
}

#[test]
fn a_rule_of_a_time_makes_a_peer_half_open() {
    let events = "[[on]]\nfrom = \"b\"\nafter = \"1s\"\nuntil = \"4s\"\ndo = \"drop\"";
    let mut story = pair(events);
    let listener = story.listen("b", 80);
    let (client, server, _) = connection(&mut story, listener);
    story.lab.run_until(seconds(1), false, u64::MAX);
    story.send(client, b"question");
    story.send(server, b"answer");
    story.lab.run_until(seconds(4), false, u64::MAX);
    let mut buffer = [0; 64];
    assert_eq!(story.recv(server, &mut buffer), Some(&b"question"[..]));
    assert_eq!(story.recv(client, &mut buffer), Some(&b""[..]));
    story.run_for(millis(10_000));
    assert_eq!(story.recv(client, &mut buffer), Some(&b"answer"[..]));
}

#[test]
fn datagrams_are_held_back_doubled_and_damaged() {
    let events = r#"
        [[on]]
        packet = "udp"
        nth = 1
        do = "delay"
        delay = "30ms"
        [[on]]
        packet = "udp"
        nth = 2
        do = "duplicate"
        [[on]]
        packet = "udp"
        nth = 3
        do = "corrupt"
        [[on]]
        packet = "udp"
        nth = 4
        do = "corrupt_undetected"
        [[on]]
        packet = "udp"
        every = 5
        do = "drop"
        "#;
    let mut story = pair(events);
    let (a, b) = (story.udp("a", 1000), story.udp("b", 2000));
    for text in ["one", "two", "three", "four", "five", "six"] {
        story.send_to(a, text.as_bytes(), "10.0.0.2:2000");
        story.run_for(millis(1));
    }
    story.run_for(millis(200));
    let mut got = Vec::new();
    while let Some((text, _)) = story.receive(b) {
        got.push(String::from_utf8(text).expect("a whole text"));
    }
    assert_eq!(got, ["two", "two", "six", "one"]);
    let frames = story.lab.take_frames();
    let at_b = |f: &&FrameRecord| f.interface == 1 && f.bytes.len() >= 45;
    let verdicts: Vec<_> = frames
        .iter()
        .filter(at_b)
        .filter_map(|f| match f.moment {
            Moment::Received(Err(reason)) => Some(reason),
            _ => None,
        })
        .collect();
    assert_eq!(verdicts[0], DropReason::FrameCheck);
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    assert_eq!(lost(&frames).len(), 1);
}

#[test]
fn rules_count_frames_not_super_segments_and_watching_changes_nothing() {
    let run = |events: &str, observe| {
        let mut story = pair(events);
        story.lab.observe(observe);
        let listener = story.listen("b", 80);
        let (client, _, _) = connection(&mut story, listener);
        let taken = story.send(client, &[1; 50_000]);
        story.run_for(millis(5000));
        (story.lab.event_hash().unwrap(), story, taken)
    };
    let events = "[[on]]\npacket = \"data\"\nevery = 10\ndo = \"drop\"";
    let (hash, story, taken) = run(events, true);
    let (dropped, met, _) = applied(&story);
    let segments = taken.div_ceil(1448) as u64;
    assert!(met - dropped >= segments, "{met} of {segments}");
    assert!(dropped >= 2, "{dropped} of {met}");
    assert_eq!(run(events, false).0, hash);
    assert_ne!(run("", true).0, hash);
}

#[test]
fn what_never_came_is_told() {
    let mut story = pair("[[on]]\npacket = \"syn\"\nnth = [1, 9]\ndo = \"drop\"");
    let listener = story.listen("b", 80);
    connection(&mut story, listener);
    let told: Vec<_> = story
        .lab
        .faults()
        .iter()
        .filter_map(|row| row.unapplied())
        .collect();
    let expected = "a-b, a ↔ b: on asked for drop syn, nth 1 9, but only 2 came by: 1 never did";
    assert_eq!(told, [expected]);
}

#[test]
fn a_running_lab_follows_a_script_from_now_on_and_rules_are_ended_by_name() {
    let mut story = pair("");
    let link = "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
                [[links]]\nendpoints = [\"a\", \"b\"]\ndelay = \"10ms\"\n";
    let topology = Topology::parse(link, "lab.toml").unwrap();
    let listener = story.listen("b", 80);
    connection(&mut story, listener);
    story.run_for(millis(1000));
    let script = r#"
        [[on]]
        packet = "syn"
        until = "5s"
        do = "drop"
        [[at]]
        time = "20s"
        partition = ["a", "b"]
        for = "1s"
        "#;
    let events = topology.events(script, "script.toml").unwrap();
    let began = story.lab.now();
    story.lab.follow(events.clone()).unwrap();
    story
        .lab
        .follow(events)
        .expect("names that were not given are made");
    let names = |story: &Story| -> Vec<String> {
        story
            .lab
            .in_force()
            .into_iter()
            .map(|one| one.name)
            .collect()
    };
    assert_eq!(names(&story), ["rule 1", "rule 2"]);
    let (_, _, at) = connection(&mut story, listener);
    assert_eq!(
        at.since(began).as_secs(),
        7,
        "SYNs at 0, 1 and 3 s were lost, that at 7 s was not"
    );
    story.lab.run_until(began + millis(20_500), false, u64::MAX);
    assert_eq!(
        names(&story),
        ["partition 1", "partition 2", "rule 1", "rule 2"]
    );
    story.lab.run_until(began + millis(21_500), false, u64::MAX);
    assert_eq!(names(&story), ["rule 1", "rule 2"]);
    assert!(story.lab.heal(Some("rule 1")) && !story.lab.heal(Some("rule 1")));
    assert_eq!(names(&story), ["rule 2"]);
    assert!(story.lab.heal(None) && names(&story).is_empty());
    let named = topology
        .rule(&["do=drop", "packet=syn", "nth=1", "name=x"])
        .unwrap();
    story.lab.follow(named.clone()).unwrap();
    let taken = story.lab.follow(named).unwrap_err();
    assert_eq!(taken.to_string(), "there is one named x already");
    let wrong = topology.rule(&["do=dorp"]).unwrap_err();
    assert_eq!(wrong.help.as_deref(), Some("did you mean `drop`?"));
    let before = story.lab.now();
    let (_, _, at) = connection(&mut story, listener);
    assert_eq!(at.since(before).as_secs(), 1);
}
