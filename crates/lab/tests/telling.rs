//! What a capture says of TCP beside its frames: why something was sent again, and what the congestion window does.
mod story;

use heptad_lab::topology::{Impairments, Loss};
use heptad_lab::{FrameRecord, LabOptions, Moment, Topology};
use story::{Story, millis, options, seconds};

/// A transfer of 300 kB over a bad cable; what was recorded.
fn transfer(options: LabOptions) -> Vec<FrameRecord> {
    let bad = Impairments {
        delay: millis(20),
        loss: Loss::Random(0.04),
        ..Impairments::default()
    };
    let mut story = Story::new(&Topology::pair(bad), options);
    let listener = story.listen("b", 80);
    let to = format!("{}:80", story.lab.resolve("b").unwrap());
    let client = story.connect("a", &to);
    let server = story.accept(listener, seconds(100));
    let (mut left, mut to_come) = (300_000, 300_000);
    let mut buffer = vec![0; 65_536];
    while to_come > 0 {
        left -= story.send(client, &vec![7; left]);
        while let Some(part @ [_, ..]) = story.recv(server, &mut buffer) {
            to_come -= part.len();
        }
        if to_come > 0 {
            story.until_ready(seconds(1000));
        }
    }
    story.lab.take_frames()
}

/// First sequence number of TCP's text and its length, in a frame of Ethernet and IPv4.
fn text_of(frame: &FrameRecord) -> Option<(u16, u32, usize)> {
    let bytes = &frame.bytes;
    let is_tcp = bytes.get(12..14) == Some(&[8, 0]) && bytes.get(23) == Some(&6);
    let total = usize::from(u16::from_be_bytes(bytes.get(16..18)?.try_into().ok()?));
    let header = usize::from(bytes.get(46)? >> 4) * 4;
    let port = u16::from_be_bytes(bytes.get(34..36)?.try_into().ok()?);
    let seq = u32::from_be_bytes(bytes.get(38..42)?.try_into().ok()?);
    is_tcp.then(|| (port, seq, total.saturating_sub(20 + header)))
}

#[test]
fn each_segment_that_leaves_again_says_why_and_no_other_does() {
    let frames = transfer(options(3));
    let mut highest: Option<u32> = None;
    let (mut again, mut causes) = (0, std::collections::BTreeSet::new());
    let left = frames
        .iter()
        .filter(|f| matches!(f.moment, Moment::Sent | Moment::Lost(_)));
    for frame in left {
        let Some((port, seq, len @ 1..)) = text_of(frame) else {
            continue;
        };
        if port == 80 {
            continue;
        }
        let old = highest.is_some_and(|high| (high.wrapping_sub(seq) as i32) > 0);
        let note = frame.note.as_deref().unwrap_or("");
        let cause = note.strip_prefix("TCP retransmission: ");
        assert_eq!(cause.is_some(), old, "{seq}: {note:?}");
        again += u32::from(old);
        let cause = cause.map(|text| text.split(", ").next().unwrap_or("").to_string());
        causes.extend(cause);
        let end = seq.wrapping_add(len as u32);
        if highest.is_none_or(|high| (end.wrapping_sub(high) as i32) > 0) {
            highest = Some(end);
        }
    }
    assert!(again >= 5, "{again}");
    assert!(
        causes.contains("fast") || causes.contains("RACK"),
        "{causes:?}"
    );
}

#[test]
fn changes_of_the_window_stand_at_the_next_frame() {
    let frames = transfer(options(3));
    let said = |words: &str| {
        let notes = frames.iter().filter_map(|frame| frame.note.as_deref());
        notes.filter(|note| note.contains(words)).count()
    };
    assert!(said("fast recovery begins") > 0);
    assert_eq!(said("ssthresh none: loss"), 0);
    assert!(said("recovery is over") > 0);
    assert_eq!(said(": growth"), 0);
}
