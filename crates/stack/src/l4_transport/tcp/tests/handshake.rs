//! Opening and closing: the states of RFC 9293 3.3.2, one story each.
use super::peer::{play_with, story};
use super::*;

/// Established, accepted, no options.
pub const PLAIN: &str = "
    listen 4
    < S 0:0(0) win 32792 <mss 1000>
    > S. 0:0(0) ack 1 <mss 1460>
    +.1 < . 1:1(0) ack 1 win 32792
    accept
    state ESTABLISHED
";
/// Established, accepted, SACK and scale.
pub const SACK: &str = "
    listen 4
    < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 10>
    +.1 < . 1:1(0) ack 1 win 257
    accept
";
/// Established, accepted, timestamps.
pub const STAMPS: &str = "
    listen 4
    < S 0:0(0) win 20000 <mss 1000,sackOK,TS val 100 ecr 0>
    > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 100>
    +.1 < . 1:1(0) ack 1 win 20000 <nop,nop,TS val 200 ecr 100>
    accept
";

pub fn after(opening: &str, rest: &str) -> super::peer::Peer {
    story(&alloc::format!("{opening}{rest}"))
}

#[test]
fn a_client_connects_sends_and_closes_first() {
    let mut peer = story(
        "
        connect
        > S 0:0(0) <mss 1460,sackOK,TS val 0 ecr 0,nop,wscale 10>
        state SYN-SENT
        < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,nop,nop,nop,wscale 7>
        > . 1:1(0) ack 1
        state ESTABLISHED
        write 1000
        > P. 1:1001(1000) ack 1
        < . 1:1(0) ack 1001 win 257
        close
        > F. 1001:1001(0) ack 1
        state FIN-WAIT-1
        < . 1:1(0) ack 1002 win 257
        state FIN-WAIT-2
        < F. 1:1(0) ack 1002 win 257
        > . 1002:1002(0) ack 2
        state TIME-WAIT
        +59 state TIME-WAIT
        +2 state CLOSED
    ",
    );
    assert_eq!(peer.host.tcp.conns.len(), 0);
    assert_eq!(peer.host.tcp.poll_at(), None);
    let states: Vec<State> = core::iter::from_fn(|| peer.host.events.take())
        .filter_map(|(_, e)| match e {
            crate::Event::TcpState { to, .. } => Some(to),
            _ => None,
        })
        .collect();
    use State::*;
    assert_eq!(
        states,
        [SynSent, Established, FinWait1, FinWait2, TimeWait, Closed]
    );
}

#[test]
fn a_server_accepts_and_is_closed_by_its_client() {
    after(
        PLAIN,
        "
        < F. 1:1(0) ack 1 win 32792
        > . 1:1(0) ack 2
        state CLOSE-WAIT
        ready = 11
        read 10 = 0
        write 100
        > P. 1:101(100) ack 2
        close
        > F. 101:101(0) ack 2
        state LAST-ACK
        < . 2:2(0) ack 102 win 32792
        state CLOSED
    ",
    );
}

#[test]
fn half_close_lets_the_other_side_go_on_sending() {
    after(
        PLAIN,
        "
        shutdown
        > F. 1:1(0) ack 1
        write 10 = BrokenPipe
        < . 1:1(0) ack 2 win 32792
        state FIN-WAIT-2
        +100 < P. 1:501(500) ack 2 win 32792
        > . 2:2(0) ack 501
        read 1000 = 500
        < F. 501:501(0) ack 2 win 32792
        > . 2:2(0) ack 502
        state TIME-WAIT
        read 1000 = 0
        close
        state TIME-WAIT
    ",
    );
}

#[test]
fn two_closes_that_cross_pass_through_closing() {
    after(
        PLAIN,
        "
        close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 1 win 32792
        > . 2:2(0) ack 2
        state CLOSING
        < . 2:2(0) ack 2 win 32792
        state TIME-WAIT
    ",
    );
}

#[test]
fn a_fin_that_acknowledges_ours_leads_straight_to_time_wait() {
    after(
        PLAIN,
        "
        close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 32792
        > . 2:2(0) ack 2
        state TIME-WAIT
    ",
    );
}

#[test]
fn two_syns_that_cross_open_one_connection() {
    story(
        "
        connect
        > S 0:0(0) <...>
        < S 0:0(0) win 5000 <mss 1000>
        > S. 0:0(0) ack 1 <mss 1460>
        state SYN-RECEIVED
        < S. 0:0(0) ack 1 win 5000 <mss 1000>
        > . 1:1(0) ack 1
        state ESTABLISHED
        write 10
        > P. 1:11(10) ack 1
    ",
    );
}

#[test]
fn a_simultaneous_open_is_completed_by_a_plain_ack_too() {
    story(
        "
        connect
        > S 0:0(0) <...>
        < S 0:0(0) win 5000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 5000
        state ESTABLISHED
    ",
    );
}

#[test]
fn a_refused_connection_is_an_error() {
    story(
        "
        connect
        > S 0:0(0) <...>
        < R. 0:0(0) ack 1 win 0
        state CLOSED
        ready = 31
        error = ConnectionRefused
        ready = 27
        write 1 = BrokenPipe
    ",
    );
}

#[test]
fn a_syn_is_repeated_with_doubled_waits_and_given_up() {
    let peer = play_with(
        Config {
            syn_retries: 3,
            ..Config::default()
        },
        Options::default(),
        "
        connect
        > S 0:0(0) <...>
        +1 > S 0:0(0) <...>
        +2 > S 0:0(0) <...>
        +4 > S 0:0(0) <...>
        +7 state SYN-SENT
        +2 state CLOSED
        error = TimedOut
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpRetransSegs), 3);
}

#[test]
fn a_syn_ack_is_repeated_and_given_up() {
    story(
        "
        listen 4
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        +1 > S. 0:0(0) ack 1
        +2 > S. 0:0(0) ack 1
        +4 > S. 0:0(0) ack 1
        +8 > S. 0:0(0) ack 1
        +16 > S. 0:0(0) ack 1
        +31 state SYN-RECEIVED
        +2 state CLOSED
        waiting = 0
    ",
    );
}

#[test]
fn an_unacceptable_ack_in_syn_sent_is_reset() {
    story(
        "
        connect
        > S 0:0(0) <...>
        < S. 0:0(0) ack 2 win 5000 <mss 1000>
        drop TcpAckInvalid
        > R 2:2(0)
        state SYN-SENT
    ",
    );
}

#[test]
fn close_in_syn_sent_sends_nothing_and_a_late_syn_ack_is_reset() {
    story(
        "
        connect
        > S 0:0(0) <...>
        close
        +.1 < S. 0:0(0) ack 1 win 32000 <mss 1460,nop,wscale 7>
        drop TcpNoSocket
        > R 1:1(0)
    ",
    );
}

#[test]
fn a_segment_for_nobody_is_reset_but_a_reset_is_not() {
    story(
        "
        < . 5:5(0) ack 77 win 100
        drop TcpNoSocket
        > R 0:0(0)
        < R 5:5(0) win 100
        drop TcpNoSocket
        < S 5:5(0) win 100
        drop TcpNoSocket
        > R. 0:0(0) ack 6
    ",
    );
}

#[test]
fn in_syn_received_an_exact_rst_resets_an_inexact_one_is_challenged_another_ignored() {
    let opened = "
        listen 4
        < S 0:0(0) win 1000 <mss 1000,sackOK,nop,nop,nop,wscale 0>
        > S. 0:0(0) ack 1 <...>
    ";
    after(
        opened,
        "
        < R 1:1(0) win 1000
        state CLOSED
        +.1 < . 1:1(0) ack 1 win 1000
        drop TcpNoSocket
        > R 1:1(0)
    ",
    );
    after(
        opened,
        "
        < R 2:2(0) win 1000
        drop TcpRstChallenged
        > . 1:1(0) ack 1
        < . 1:1(0) ack 1 win 1000
        accept
    ",
    );
    after(
        opened,
        "
        < R. 2:2(0) ack 100 win 1000
        drop TcpRstChallenged
        > . 1:1(0) ack 1
        < R 100001:100001(0) win 1000
        drop TcpOutOfWindow
        < . 1:1(0) ack 1 win 1000
        accept
    ",
    );
}

#[test]
fn a_repeated_syn_is_answered_by_the_same_syn_ack() {
    story(
        "
        listen 4
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        +.9 < S 0:0(0) win 1000 <mss 1000>
        drop TcpDuplicate
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        accept
    ",
    );
}

#[test]
fn the_accept_queue_holds_one_more_than_the_backlog_and_then_drops() {
    let peer = story(
        "
        listen 0
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        port 40001
        new 5000
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        waiting = 1
        port 40002
        < S 0:0(0) win 1000 <mss 1000>
        drop TcpAcceptQueueFull
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtListenOverflows), 1);
    assert_eq!(peer.host.count(Counter::TcpExtListenDrops), 1);
}

#[test]
fn a_final_ack_that_finds_the_accept_queue_full_is_dropped_and_the_syn_ack_repeated() {
    story(
        "
        listen 0
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        port 40001
        new 5000
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        port 40000
        new 4294963200
        +1 > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        drop TcpAcceptQueueFull
        accept
        < . 1:1(0) ack 1 win 1000
        accept
    ",
    );
}

#[test]
fn closing_a_listener_resets_those_who_wait() {
    story(
        "
        listen 4
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        unlisten
        > R. 1:1(0) ack 1
        < . 1:1(0) ack 1 win 1000
        drop TcpNoSocket
        > R 1:1(0)
    ",
    );
    story(
        "
        listen 4
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        unlisten
        > R. 1:1(0) ack 1
    ",
    );
}

#[test]
fn a_listener_resets_an_ack_and_ignores_what_has_neither_syn_nor_ack() {
    story(
        "
        listen 4
        < . 1:1(0) ack 5 win 1000
        drop TcpNoSocket
        > R 0:0(0)
        < - 1:1(0) win 1000
        drop TcpNoAck
        < R 1:1(0) win 1000
        drop TcpNoSocket
    ",
    );
}

#[test]
fn time_wait_acknowledges_a_fin_that_comes_again_and_starts_anew() {
    let closed = "
        close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 32792
        > . 2:2(0) ack 2
    ";
    after(
        PLAIN,
        &alloc::format!(
            "{closed}
        +50 < F. 1:1(0) ack 2 win 32792
        > . 2:2(0) ack 2
        +59 state TIME-WAIT
        +2 state CLOSED
    "
        ),
    );
    after(
        PLAIN,
        &alloc::format!(
            "{closed}
        < R 2:2(0) win 0
        drop TcpTimeWait
        state TIME-WAIT
    "
        ),
    );
}

#[test]
fn a_syn_above_the_old_stream_takes_the_place_of_time_wait() {
    let mut peer = after(
        PLAIN,
        "
        close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 32792
        > . 2:2(0) ack 2
        < S 1:1(0) win 1000 <mss 1000>
        drop TcpTimeWait
        > . 2:2(0) ack 2
        state TIME-WAIT
    ",
    );
    peer.play(
        "
        new 70000
        +1 < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        state SYN-RECEIVED
        < . 1:1(0) ack 1 win 1000
        state ESTABLISHED
    ",
    );
}

#[test]
fn an_orphan_in_fin_wait_2_is_let_go_after_a_minute() {
    after(
        PLAIN,
        "
        close
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 32792
        +59 state FIN-WAIT-2
        +2 state CLOSED
    ",
    );
}

#[test]
fn data_for_a_closed_socket_is_reset() {
    let peer = after(
        PLAIN,
        "
        close
        > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 32792
        < P. 1:101(100) ack 2 win 32792
        drop TcpAfterClose
        > R 2:2(0)
        state CLOSED
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpAbortOnData), 1);
    assert_eq!(peer.host.tcp.conns.len(), 0);
}

#[test]
fn close_with_unread_data_resets() {
    let peer = after(
        STAMPS,
        "
        < . 1:1001(1000) ack 1 win 20000 <nop,nop,TS val 201 ecr 100>
        > . 1:1(0) ack 1001 <nop,nop,TS val 200 ecr 201>
        +1 close
        > R. 1:1(0) ack 1001 <nop,nop,TS val 1200 ecr 201>
        state CLOSED
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpAbortOnClose), 1);
}

#[test]
fn abort_resets_at_once() {
    after(
        PLAIN,
        "
        write 5000
        > P. 1:5001(5000) ack 1
        abort
        > R. 5001:5001(0) ack 1
        state CLOSED
    ",
    );
}

#[test]
fn a_fin_carries_a_fresh_timestamp() {
    after(
        STAMPS,
        "
        +1 close
        > F. 1:1(0) ack 1 <nop,nop,TS val 1200 ecr 200>
    ",
    );
}

#[test]
fn a_lost_fin_is_sent_again() {
    after(
        PLAIN,
        "
        close
        > F. 1:1(0) ack 1
        +.3 > F. 1:1(0) ack 1
        +.6 > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 32792
        > . 2:2(0) ack 2
        state TIME-WAIT
    ",
    );
}

#[test]
fn the_smaller_mss_and_maxseg_win() {
    for (theirs, maxseg, expected) in [
        ("<mss 1400>", 0, 1400),
        ("<mss 9000>", 0, 1460),
        ("", 0, 536),
        ("<mss 1400>", 500, 500),
        ("<mss 1>", 0, 48),
    ] {
        let peer = play_with(
            Config::default(),
            Options {
                maxseg,
                ..Options::default()
            },
            &alloc::format!(
                "
            listen 4
            < S 0:0(0) win 32792 {theirs}
            > S. 0:0(0) ack 1
            < . 1:1(0) ack 1 win 32792
            accept
        "
            ),
        );
        let id = peer.conn.unwrap();
        assert_eq!(peer.host.tcp.status(id).unwrap().mss, expected, "{theirs}");
    }
}

#[test]
fn connect_finds_a_pair_in_use() {
    let mut peer = after(PLAIN, "");
    let way = path(A, 1500);
    let again = peer.host.with(|t, cx| {
        t.connect(
            at(A, 8080),
            at(B, 40_000),
            way,
            Options::default(),
            Owner(3),
            cx,
        )
    });
    assert_eq!(again, Err(SocketError::AddressInUse));
    assert!(peer.host.tcp.in_use(at(A, 8080), at(B, 40_000)));
    assert!(!peer.host.tcp.in_use(at(A, 8080), at(B, 40_001)));
}

#[test]
fn close_in_syn_received_sends_the_fin_once_the_handshake_is_over() {
    story(
        "
        connect
        > S 0:0(0) <...>
        < S 0:0(0) win 5000 <mss 1000>
        > S. 0:0(0) ack 1
        close
        state SYN-RECEIVED
        < . 1:1(0) ack 1 win 5000
        > F. 1:1(0) ack 1
        state FIN-WAIT-1
        < F. 1:1(0) ack 2 win 5000
        > . 2:2(0) ack 2
        state TIME-WAIT
    ",
    );
}
