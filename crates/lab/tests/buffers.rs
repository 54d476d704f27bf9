//! Buffers that size themselves: a long fat path is filled, and a slow reader costs little.
mod story;

use heptad_lab::Topology;
use heptad_lab::stack::l4_transport::tcp::Info;
use heptad_lab::stack::time::Duration;
use story::{End, Story, millis, options, seconds};

fn long_fat() -> Topology {
    let text = "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
        [[links]]\nendpoints = [\"a\", \"b\"]\nrate = \"100 Mbit\"\ndelay = \"100ms\"\nqueue = 2000\n";
    Topology::parse(text, "long.toml").expect("a good file")
}

/// A connection from a to b.
fn connected(story: &mut Story) -> (End, End) {
    let listener = story.listen("b", 80);
    let client = story.connect("a", "10.0.0.2:80");
    let server = story.accept(listener, seconds(10));
    (client, server)
}

fn info(story: &mut Story, (machine, socket): End) -> Info {
    let ask = story
        .lab
        .with(machine, |stack, cx| stack.tcp_info(socket, cx.now));
    ask.expect("a connection")
}

/// Sends without end for a while; the reader takes all, or `reads` bytes each 100 ms. How many bytes it took.
fn run(story: &mut Story, (from, to): (End, End), time: Duration, reads: Option<usize>) -> u64 {
    let mut taken = 0;
    let end = story.lab.now() + time;
    let chunk = vec![7; 65_536];
    let mut buffer = vec![0; 65_536];
    while story.lab.now() < end {
        while story.send(from, &chunk) > 0 {}
        let most = reads.unwrap_or(usize::MAX);
        let mut now = 0;
        while now < most {
            let room = buffer.len().min(most - now);
            match story.recv(to, &mut buffer[..room]) {
                Some(part @ [_, ..]) => now += part.len(),
                _ => break,
            }
        }
        taken += now as u64;
        story.run_for(match reads {
            None => millis(1),
            Some(_) => millis(100),
        });
    }
    taken
}

#[test]
fn default_buffers_fill_a_path_of_a_hundred_megabits_and_two_hundred_milliseconds() {
    let mut story = Story::new(&long_fat(), options(5));
    let ends = connected(&mut story);
    run(&mut story, ends, Duration::from_secs(6), None);
    let taken = run(&mut story, ends, Duration::from_secs(10), None);
    let megabits = taken as f64 * 8.0 / 10.0 / 1e6;
    let (sender, receiver) = (info(&mut story, ends.0), info(&mut story, ends.1));
    eprintln!("{megabits:.1} Mbit/s, {sender:?}, {receiver:?}");
    assert!(megabits > 90.0, "{megabits:.1} Mbit/s");
    assert_eq!(sender.total_retrans, 0, "{sender:?}");
    assert!(
        (200_000..400_000).contains(&receiver.rcv_rtt),
        "{receiver:?}"
    );
}

#[test]
fn a_slow_reader_keeps_the_buffer_small() {
    let mut story = Story::new(&long_fat(), options(5));
    let ends = connected(&mut story);
    run(&mut story, ends, Duration::from_secs(20), Some(2_000));
    let receiver = info(&mut story, ends.1);
    assert_eq!(receiver.rcv_ssthresh, 65_536, "{receiver:?}");
    let sender = info(&mut story, ends.0);
    assert!(sender.rwnd_limited > sender.busy_time / 2, "{sender:?}");
    assert!(sender.notsent_bytes < 200_000, "{sender:?}");
}
