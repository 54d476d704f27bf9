//! The builtin programs on a network of two hosts, in virtual time unless said otherwise.
use heptad_lab::topology::{Impairments, Loss, Topology};
use heptad_lab::{Lab, LabOptions};
use heptad_runtime::stack::EventMask;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::{Clock, JoinHandle, Network, NetworkOptions, Summary};
use heptad_services::Builtin;

fn network(clock: Clock, cable: Impairments, event_hash: bool) -> Network {
    let options = LabOptions {
        seed: 42,
        event_hash,
        observe: false,
        events: EventMask::NONE,
    };
    let lab = Lab::new(&Topology::pair(cable), options).expect("a pair is a lab");
    let sinks = Vec::new();
    Network::start(lab, NetworkOptions { clock, sinks })
}

/// A line of words as a program on a node; what it said and its exit code.
fn spawn(network: &Network, node: &str, line: &str) -> JoinHandle<(String, u8)> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let builtin = Builtin::parse(&words).expect("a builtin");
    let node = network.node(node).expect("a node");
    network.spawn(line, move || {
        let mut out = Vec::new();
        let exit = builtin.run(&node, &mut out);
        let out = String::from_utf8(out).expect("programs speak UTF-8");
        (out, exit.expect("no error"))
    })
}
fn end(program: JoinHandle<(String, u8)>) -> (String, u8) {
    program.join().expect("no panic")
}

fn delay(millis: u64) -> Impairments {
    Impairments {
        delay: Duration::from_millis(millis),
        ..Impairments::default()
    }
}
/// 50 ms, 5 % loss, 2 % duplicates, 2 % corruption (half of it slips past the frame check sequence), 2 % reordering.
fn awful() -> Impairments {
    Impairments {
        loss: Loss::Random(0.05),
        duplicate: 0.02,
        corrupt: 0.01,
        corrupt_undetected: 0.01,
        reorder: 0.02,
        ..delay(50)
    }
}

#[test]
fn echo_gives_back_what_it_was_given() {
    for clock in [Clock::Virtual, Clock::Real] {
        let network = network(clock, delay(2), false);
        let server = spawn(&network, "b", "echo-server 7");
        // In real time the server may not listen yet when the client comes.
        let client = loop {
            let node = network.node("a").expect("a node");
            if clock == Clock::Virtual || heptad_runtime::TcpStream::connect(&node, "b:7").is_ok() {
                break spawn(&network, "a", "echo-client b 7 안녕하세요 hello");
            }
        };
        let expected = "echo-client: 안녕하세요\necho-client: hello\n";
        assert_eq!(end(client), (expected.into(), 0), "{clock:?}");
        network.stop();
        assert_eq!(end(server).1, 0);
    }
}

/// Three guests; what the server and each of them printed.
fn chat() -> (Vec<String>, Summary) {
    let network = network(Clock::Virtual, awful(), true);
    let programs = [
        spawn(&network, "b", "chat-server 8080 3"),
        spawn(
            &network,
            "a",
            "chat-client b 8080 철수 안녕하세요 잘_지내요?",
        ),
        spawn(&network, "a", "chat-client b 8080 영희 반가워요"),
        spawn(&network, "b", "chat-client b 8080 minsu hi"),
    ];
    let said = programs
        .into_iter()
        .map(|program| {
            let (out, exit) = end(program);
            assert_eq!(exit, 0);
            out
        })
        .collect();
    (said, network.stop())
}

#[test]
fn everybody_in_a_chat_hears_all_of_it_in_one_order() {
    let (said, _) = chat();
    let lines = |who: usize| -> Vec<&str> { said[who].lines().collect() };
    let (_, all) = lines(0)
        .split_first()
        .map(|(_, rest)| ((), rest.to_vec()))
        .expect("a greeting");
    assert_eq!(all.len(), 4, "{all:?}");
    for (who, name) in [(1, "철수"), (2, "영희"), (3, "minsu")] {
        assert_eq!(lines(who), all, "{name}");
    }
}

#[test]
fn a_chat_repeats_from_its_seed() {
    let ((said, first), (again, second)) = (chat(), chat());
    assert_eq!(said, again);
    assert!(first.event_hash.is_some());
    assert_eq!(first.event_hash, second.event_hash);
    assert_eq!(first.ended, second.ended);
}

fn bulk(bytes: u64) -> Network {
    let network = network(Clock::Virtual, awful(), false);
    let sink = spawn(&network, "b", "sink 9");
    let sender = spawn(&network, "a", &format!("send b 9 {bytes}"));
    let (sent, received) = (end(sender).0, end(sink).0);
    assert!(
        sent.starts_with(&format!("send: {bytes} bytes, sha256 ")),
        "{sent}"
    );
    assert_eq!(sent.strip_prefix("send"), received.strip_prefix("sink"));
    network
}

#[test]
fn many_bytes_survive_an_awful_cable() {
    let network = bulk(2_000_000);
    for row in network.lab(|lab| lab.faults()) {
        assert!(
            row.applied > 0 || row.n < 200,
            "{row:?} was asked and never applied"
        );
    }
}

#[test]
#[ignore = "100 MB take a while in a debug build; `cargo xtask ci --full` runs it"]
fn a_hundred_megabytes_survive_an_awful_cable() {
    let before = std::time::Instant::now();
    let network = bulk(100_000_000);
    println!(
        "100 MB: {:?} of lab time in {:?}",
        network.now(),
        before.elapsed()
    );
}
