//! A queue that marks instead of dropping (RFC 3168): the sender comes down in time, and nothing is lost.
mod story;

use heptad_lab::stack::l4_transport::tcp::{Congestion, Ecn};
use heptad_lab::stack::l5_session::SocketOption;
use heptad_lab::topology::Impairments;
use heptad_lab::{FrameRecord, Moment, Topology};
use story::{Story, millis, options, seconds};

const RATE: u64 = 20_000_000;
const BYTES: usize = 8_000_000;

/// What a transfer came to.
struct Came {
    marked: usize,
    lost: usize,
    sent_again: u32,
    marked_by_acks: u32,
    /// Share of the rate.
    goodput: f64,
}

/// Over 20 ms, of which 32 frames are a round trip; the queue holds 100, and marks from 30 on.
fn transfer(ecn: [Ecn; 2], congestion: Congestion) -> Came {
    let path = Impairments {
        delay: millis(10),
        rate: Some(RATE),
        queue: 100,
        mark: Some(30),
        ..Impairments::default()
    };
    let mut topology = Topology::pair(path);
    for (name, ecn) in ["a", "b"].into_iter().zip(ecn) {
        topology.nodes.get_mut(name).unwrap().ecn = ecn;
    }
    let mut story = Story::new(&topology, options(1));
    let listener = story.listen("b", 80);
    let to = format!("{}:80", story.lab.resolve("b").unwrap());
    let (machine, client) = story.connect("a", &to);
    let set = SocketOption::Congestion(congestion);
    let chosen = story
        .lab
        .with(machine, |stack, cx| stack.set(client, set, cx));
    assert_eq!(chosen, Ok(()));
    let server = story.accept(listener, seconds(100));
    let (mut left, mut to_come) = (BYTES, BYTES);
    let (text, mut buffer) = (vec![7; left], vec![0; 65_536]);
    while to_come > 0 {
        left -= story.send((machine, client), &text[..left]);
        while let Some(part @ [_, ..]) = story.recv(server, &mut buffer) {
            to_come -= part.len();
        }
        if to_come > 0 {
            story.until_ready(seconds(1000));
        }
    }
    let now = story.lab.now();
    let info = story
        .lab
        .stack(machine)
        .unwrap()
        .tcp_info(client, now)
        .unwrap();
    let took = now.since(heptad_lab::stack::Instant::ZERO).as_secs_f64();
    let frames = story.lab.take_frames();
    let count = |is: &dyn Fn(&FrameRecord) -> bool| frames.iter().filter(|frame| is(frame)).count();
    Came {
        marked: count(&|frame| {
            let note = frame.note.as_deref();
            note.is_some_and(|note| note.contains("marked CE"))
        }),
        lost: count(&|frame| matches!(frame.moment, Moment::Lost(_))),
        sent_again: info.total_retrans,
        marked_by_acks: info.delivered_ce,
        goodput: BYTES as f64 * 8.0 / took / RATE as f64,
    }
}

#[test]
fn marks_bring_the_sender_down_before_anything_is_lost() {
    for congestion in [Congestion::Cubic, Congestion::Reno] {
        let came = transfer([Ecn::Always, Ecn::WhenAsked], congestion);
        assert_eq!((came.lost, came.sent_again), (0, 0), "{congestion:?}");
        assert!(came.marked > 0 && came.marked_by_acks > 0, "{congestion:?}");
        assert!(came.goodput > 0.9, "{congestion:?}: {}", came.goodput);
    }
}

#[test]
fn counters_tell_each_mark() {
    for congestion in [Congestion::Cubic, Congestion::Reno] {
        let came = transfer([Ecn::Accurate, Ecn::AccurateWhenAsked], congestion);
        assert_eq!((came.lost, came.sent_again), (0, 0), "{congestion:?}");
        assert_eq!(came.marked, came.marked_by_acks as usize, "{congestion:?}");
        assert!(came.marked > 0, "{congestion:?}");
        assert!(came.goodput > 0.9, "{congestion:?}: {}", came.goodput);
    }
}

#[test]
fn who_counts_falls_back_where_the_peer_does_not() {
    let came = transfer([Ecn::Accurate, Ecn::WhenAsked], Congestion::Cubic);
    assert_eq!((came.lost, came.sent_again), (0, 0));
    assert!(came.marked > 0 && came.marked_by_acks > 0);
}

#[test]
fn without_agreement_nothing_is_marked_and_the_queue_overflows() {
    for ecn in [[Ecn::WhenAsked, Ecn::WhenAsked], [Ecn::Always, Ecn::Never]] {
        let came = transfer(ecn, Congestion::Reno);
        assert_eq!((came.marked, came.marked_by_acks), (0, 0), "{ecn:?}");
        assert!(came.lost > 0 && came.sent_again > 0, "{ecn:?}");
    }
}

#[test]
fn a_model_of_the_path_that_heeds_no_marks_asks_for_none() {
    let came = transfer([Ecn::Always, Ecn::WhenAsked], Congestion::Bbr);
    assert_eq!(came.marked, 0);
}
