//! Where slow start ends on a path with a deep queue: HyStart++ (RFC 9406) beside what goes on until something is lost.
mod story;

use heptad_lab::stack::l4_transport::tcp::Congestion;
use heptad_lab::stack::l5_session::SocketOption;
use heptad_lab::topology::Impairments;
use heptad_lab::{FrameRecord, Moment, Topology};
use story::{Story, millis, options, seconds};

/// Four megabytes over 20 Mbit/s and 20 ms: 32 frames are a round trip's.
fn transfer(congestion: Congestion, queue: u32) -> Vec<FrameRecord> {
    let deep = Impairments {
        delay: millis(10),
        rate: Some(20_000_000),
        queue,
        ..Impairments::default()
    };
    let mut story = Story::new(&Topology::pair(deep), options(1));
    let listener = story.listen("b", 80);
    let to = format!("{}:80", story.lab.resolve("b").unwrap());
    let client = story.connect("a", &to);
    let set = SocketOption::Congestion(congestion);
    let chosen = story
        .lab
        .with(client.0, |stack, cx| stack.set(client.1, set, cx));
    assert_eq!(chosen, Ok(()));
    let server = story.accept(listener, seconds(100));
    let (mut left, mut to_come) = (4_000_000, 4_000_000);
    let (text, mut buffer) = (vec![7; left], vec![0; 65_536]);
    while to_come > 0 {
        left -= story.send(client, &text[..left]);
        while let Some(part @ [_, ..]) = story.recv(server, &mut buffer) {
            to_come -= part.len();
        }
        if to_come > 0 {
            story.until_ready(seconds(1000));
        }
    }
    story.lab.take_frames()
}

fn overflows(frames: &[FrameRecord]) -> usize {
    let lost = frames.iter().filter_map(|frame| match &frame.moment {
        Moment::Lost(cause) => Some(cause),
        _ => None,
    });
    lost.filter(|cause| cause.starts_with("queue full")).count()
}

#[test]
fn a_round_trip_that_grows_ends_slow_start_before_the_queue_overflows() {
    let frames = transfer(Congestion::Cubic, 500);
    let at = frames.iter().position(|frame| {
        let note = frame.note.as_deref();
        note.is_some_and(|note| note.contains("slow start is over"))
    });
    let at = at.expect("slow start is over");
    assert_eq!(overflows(&frames[..at]), 0, "nothing was lost by then");
    let without = overflows(&transfer(Congestion::Reno, 500));
    assert!(without > 400, "{without}");
}

#[test]
fn a_queue_that_overflows_all_the_same_loses_much_less() {
    for queue in [130, 160, 200, 250, 300] {
        let with = overflows(&transfer(Congestion::Cubic, queue));
        let without = overflows(&transfer(Congestion::Reno, queue));
        assert!(with * 3 < without, "{queue}: {with} of {without}");
    }
}
