//! What those who watch are told: why something left again, and what the congestion window does.
use alloc::vec;

use super::handshake::{SACK, after};
use super::peer::Peer;
use super::*;
use crate::event::{Cause, Event, WindowCause};

/// As `SACK`, with a round trip of 100 ms and without SACK.
const RENO: &str = "
    listen 4
    < S 0:0(0) win 32792 <mss 1000,nop,wscale 7>
    > S. 0:0(0) ack 1 <...>
    +.1 < . 1:1(0) ack 1 win 320
    accept
";
const WIDE: &str = "
    listen 4
    < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    > S. 0:0(0) ack 1 <...>
    +.1 < . 1:1(0) ack 1 win 320
    accept
";

/// What left again: first number, how often, why.
fn resent(peer: &mut Peer) -> Vec<(u32, u8, Cause)> {
    let events = core::iter::from_fn(|| peer.host.events.take());
    let told = events.filter_map(|(_, event)| match event {
        Event::Retransmit {
            seq, times, cause, ..
        } => Some((seq, times, cause)),
        _ => None,
    });
    told.collect()
}
/// Causes, and window and threshold in segments.
fn windows(peer: &mut Peer) -> Vec<(WindowCause, u32, u32)> {
    let events = core::iter::from_fn(|| peer.host.events.take());
    let told = events.filter_map(|(_, event)| match event {
        Event::TcpWindow {
            cause: WindowCause::Growth,
            ..
        } => None,
        Event::TcpWindow {
            cause,
            cwnd,
            ssthresh,
            mss,
            ..
        } => Some((cause, cwnd / mss, ssthresh / mss)),
        _ => None,
    });
    told.collect()
}

#[test]
fn each_way_of_sending_again_is_told_by_its_cause() {
    let rows = [
        (
            "the timer, twice",
            SACK,
            "write 1000
            > P. 1:1001(1000) ack 1
            +.3 > P. 1:1001(1000) ack 1
            +.3 > P. 1:1001(1000) ack 1
            +.6 > P. 1:1001(1000) ack 1
            < . 1:1(0) ack 1001 win 320",
            vec![(1, 1, Cause::Probe), (1, 2, Cause::Rto), (1, 3, Cause::Rto)],
        ),
        (
            "three duplicate ACKs",
            RENO,
            "write 5000
            > P. 1:5001(5000) ack 1
            +.1 < . 1:1(0) ack 1 win 320
            < . 1:1(0) ack 1 win 320
            < . 1:1(0) ack 1 win 320
            > . 1:1001(1000) ack 1
            +.1 < . 1:1(0) ack 5001 win 320",
            vec![(1, 1, Cause::FastRetransmit)],
        ),
        (
            "three segments reported",
            WIDE,
            "write 5000
            > P. 1:5001(5000) ack 1
            +.1 < . 1:1(0) ack 1 win 320 <sack 1001:4001>
            > . 1:1001(1000) ack 1
            +.1 < . 1:1(0) ack 5001 win 320",
            vec![(1, 1, Cause::Sack)],
        ),
        (
            "one reported, and time goes by",
            WIDE,
            "write 5000
            > P. 1:5001(5000) ack 1
            +.1 < . 1:1(0) ack 1 win 320 <sack 1001:2001>
            +.025 > . 1:1001(1000) ack 1
            +.1 < . 1:1(0) ack 5001 win 320",
            vec![(1, 1, Cause::Rack)],
        ),
    ];
    for (what, begin, lines, expected) in rows {
        let mut peer = after(begin, lines);
        assert_eq!(resent(&mut peer), expected, "{what}");
    }
}

#[test]
fn a_syn_that_leaves_again_is_told() {
    let mut peer = super::peer::story(
        "connect
        > S 0:0(0) <...>
        +1 > S 0:0(0) <...>
        +2 > S 0:0(0) <...>",
    );
    let again = [(0, 1, Cause::Rto), (0, 2, Cause::Rto)];
    assert_eq!(resent(&mut peer), again);
}

#[test]
fn the_packet_that_carries_it_is_named() {
    let mut peer = after(SACK, "write 1000\n> P. 1:1001(1000) ack 1");
    peer.host.now += ms(1000);
    peer.host.with(|tcp, cx| tcp.on_timeout(cx));
    let id = peer.host.transmit().unwrap().packet.id();
    let events = core::iter::from_fn(|| peer.host.events.take());
    let named = |event: Event| matches!(event, Event::Retransmit { id: told, .. } if told == id);
    assert_eq!(events.filter(|(_, event)| named(event.clone())).count(), 1);
}

#[test]
fn the_window_is_told_where_its_course_changes() {
    let mut peer = after(
        WIDE,
        "write 10000
        > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 320 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 320
        write 1000
        > P. 10001:11001(1000) ack 1
        +.3 > P. 10001:11001(1000) ack 1
        +.3 > P. 10001:11001(1000) ack 1
        +.1 < . 1:1(0) ack 11001 win 320",
    );
    let told = windows(&mut peer);
    let causes: Vec<_> = told.iter().map(|(cause, ..)| *cause).collect();
    let expected = [
        WindowCause::Loss,
        WindowCause::Recovered,
        WindowCause::Timeout,
        WindowCause::Recovered,
    ];
    assert_eq!(causes, expected, "{told:?}");
    assert_eq!(told[1], (WindowCause::Recovered, 7, 7));
    assert_eq!((told[2].1, told[2].2), (1, 4));
}
