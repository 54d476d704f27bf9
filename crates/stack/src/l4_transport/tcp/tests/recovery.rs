//! Losses and how they are repaired.
use super::handshake::{PLAIN, SACK, STAMPS, after};
use super::peer::play_with;
use super::*;

const WIDE: &str = "
    listen 4
    < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    > S. 0:0(0) ack 1 <...>
    +.1 < . 1:1(0) ack 1 win 1024
    accept
";
/// No SACK.
const RENO: &str = "
    listen 4
    < S 0:0(0) win 32792 <mss 1000,nop,wscale 7>
    > S. 0:0(0) ack 1 <...>
    +.1 < . 1:1(0) ack 1 win 320
    accept
";

#[test]
fn three_sacked_segments_start_recovery_and_reduce_in_proportion() {
    let peer = after(
        WIDE,
        "
        write 10000
        > P. 1:10001(10000) ack 1
        +.11 < . 1:1(0) ack 1 win 320 <sack 1001:2001>
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:3001>
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        +.01 ssthresh = 7
        cwnd = 7
        +.01 write 7000
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:5001>
        > . 10001:11001(1000) ack 1
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:6001>
        > . 11001:12001(1000) ack 1
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:7001>
        > . 12001:13001(1000) ack 1
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:8001>
        > . 13001:14001(1000) ack 1
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:9001>
        > . 14001:15001(1000) ack 1
        +.01 < . 1:1(0) ack 1 win 320 <sack 1001:10001>
        > . 15001:16001(1000) ack 1
        +.02 < . 1:1(0) ack 10001 win 320
        > P. 16001:17001(1000) ack 1
        +.01 cwnd = 7
        +.03 < . 1:1(0) ack 17001 win 320
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpSackRecovery), 1);
    assert_eq!(peer.host.count(Counter::TcpExtTcpFastRetrans), 1);
}

#[test]
fn several_holes_are_filled_as_the_network_empties() {
    after(
        WIDE,
        "
        write 10000
        > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 320 <sack 4001:5001>
        +.002 < . 1:1(0) ack 1 win 320 <sack 4001:6001>
        +0 < . 1:1(0) ack 1 win 320 <sack 4001:7001>
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1 win 320 <sack 4001:8001>
        > . 1001:2001(1000) ack 1
        < . 1:1(0) ack 1 win 320 <sack 4001:9001>
        > . 2001:3001(1000) ack 1
        < . 1:1(0) ack 1 win 320 <sack 4001:10001>
        > . 3001:4001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 320 <sack 4001:10001>
        < . 1:1(0) ack 2001 win 320 <sack 4001:10001>
        < . 1:1(0) ack 3001 win 320 <sack 4001:10001>
        < . 1:1(0) ack 10001 win 320
        +.01 write 10000
        > . 10001:17001(7000) ack 1
    ",
    );
}

#[test]
fn one_sacked_segment_is_given_a_quarter_round_trip() {
    after(
        WIDE,
        "
        write 10000
        > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 257 <sack 7001:8001>
        +.025 > . 1:1001(1000) ack 1
        +.001 < . 1:1(0) ack 1 win 257 <sack 5001:6001 7001:8001>
        > . 1001:2001(1000) ack 1
        < . 1:1(0) ack 1 win 257 <sack 5001:8001>
        > . 2001:3001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 257
    ",
    );
}

#[test]
fn limited_transmit_sends_new_text_for_the_first_two_duplicate_acks() {
    after(
        RENO,
        "
        write 15000
        > P. 1:10001(10000) ack 1
        +.11 < . 1:1(0) ack 1 win 320
        > . 10001:11001(1000) ack 1
        +.01 < . 1:1(0) ack 1 win 320
        > . 11001:12001(1000) ack 1
        +.01 < . 1:1(0) ack 3001 win 320
        > P. 12001:14001(2000) ack 1
        cwnd = 11
        +.02 < . 1:1(0) ack 5001 win 320
        > P. 14001:15001(1000) ack 1
        +.02 < . 1:1(0) ack 15001 win 320
        close
        > F. 15001:15001(0) ack 1
    ",
    );
}

#[test]
fn without_sack_a_partial_ack_sends_the_next_hole() {
    let peer = after(
        RENO,
        "
        write 10000
        > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 320
        < . 1:1(0) ack 1 win 320
        < . 1:1(0) ack 1 win 320
        > . 1:1001(1000) ack 1
        < . 1:1(0) ack 1 win 320
        < . 1:1(0) ack 1 win 320
        < . 1:1(0) ack 1 win 320
        +.1 < . 1:1(0) ack 5001 win 320
        > . 5001:6001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 320
        cwnd = 7
        // duplicates of what recovery sent do not start another one
        write 5000
        > P. 10001:15001(5000) ack 1
        < . 1:1(0) ack 10001 win 320
        < . 1:1(0) ack 10001 win 320
        < . 1:1(0) ack 10001 win 320
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpRenoRecovery), 1);
}

#[test]
fn a_lost_tail_is_probed_by_its_last_segment() {
    let peer = after(
        WIDE,
        "
        write 4000
        > P. 1:4001(4000) ack 1
        +.202 > P. 3001:4001(1000) ack 1
        +.1 < . 1:1(0) ack 1 win 257 <sack 3001:4001>
        > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 257 <sack 3001:4001>
        > . 1001:3001(2000) ack 1
        +.1 < . 1:1(0) ack 4001 win 257
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpLossProbes), 1);
    assert_eq!(peer.host.count(Counter::TcpExtTcpTimeouts), 0);
}

#[test]
fn a_silent_network_is_met_by_a_probe_then_by_timeouts_with_backoff() {
    let peer = after(
        PLAIN,
        "
        write 1000
        > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.6 > P. 1:1001(1000) ack 1
        cwnd = 1
        +1.2 > P. 1:1001(1000) ack 1
        +2.4 > P. 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 32792
        write 1000
        > P. 1001:2001(1000) ack 1
        +.1 < . 1:1(0) ack 2001 win 32792
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpTimeouts), 4);
    assert_eq!(peer.host.count(Counter::TcpRetransSegs), 4);
}

#[test]
fn the_connection_ends_when_nothing_is_ever_acknowledged() {
    let config = Config {
        retries2: 2,
        ..Config::default()
    };
    let peer = play_with(
        config,
        Options::default(),
        &alloc::format!(
            "{PLAIN}
        write 1000
        > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.6 > P. 1:1001(1000) ack 1
        +1.1 state ESTABLISHED
        +.2 state CLOSED
        ready = 31
        write 1 = TimedOut
        write 1 = BrokenPipe
    "
        ),
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpAbortOnTimeout), 1);
}

#[test]
fn the_user_timeout_ends_it_on_time() {
    play_with(
        Config::default(),
        Options {
            user_timeout: ms(2000),
            ..Options::default()
        },
        &alloc::format!(
            "{PLAIN}
        write 1000
        > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.6 > P. 1:1001(1000) ack 1
        +1 state ESTABLISHED
        +.2 state CLOSED
        error = TimedOut
    "
        ),
    );
}

#[test]
fn karn_a_retransmission_gives_no_sample_but_a_timestamp_does() {
    let srtt = |peer: &super::peer::Peer| {
        peer.host
            .tcp
            .status(peer.conn.unwrap())
            .unwrap()
            .srtt
            .unwrap()
    };
    let peer = after(
        PLAIN,
        "
        write 1000
        > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.5 < . 1:1(0) ack 1001 win 32792
    ",
    );
    assert_eq!(srtt(&peer), ms(100));
    let peer = after(
        STAMPS,
        "
        write 988
        > P. 1:989(988) ack 1 <nop,nop,TS val 200 ecr 200>
        +.3 > P. 1:989(988) ack 1 <nop,nop,TS val 500 ecr 200>
        +.1 < . 1:1(0) ack 989 win 20000 <nop,nop,TS val 900 ecr 500>
    ",
    );
    assert!(srtt(&peer).abs_diff(ms(100)) < ms(2), "{:?}", srtt(&peer));
}

#[test]
fn a_sack_of_bytes_never_sent_is_ignored() {
    after(
        SACK,
        "
        write 2000
        > P. 1:2001(2000) ack 1
        +.1 < . 1:1(0) ack 1 win 257 <sack 5001:9001>
        < . 1:1(0) ack 1 win 257 <sack 1500:1400>
        +.05 < . 1:1(0) ack 2001 win 257
    ",
    );
}

#[test]
fn what_the_peer_took_back_is_sent_again_after_a_timeout() {
    after(
        RENO_SACK,
        "
        write 3000
        > P. 1:3001(3000) ack 1
        +.1 < . 1:1(0) ack 1 win 320 <sack 1:1001>
        +.2 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 320
        > P. 1001:3001(2000) ack 1
        +.1 < . 1:1(0) ack 3001 win 320
    ",
    );
}
const RENO_SACK: &str = SACK;

#[test]
fn a_timeout_that_was_only_a_delay_is_undone_by_an_old_timestamp() {
    let peer = after(
        STAMPS,
        "
        write 4940
        > P. 1:4941(4940) ack 1 <...>
        +.202 > P. 3953:4941(988) ack 1 <...>
        +.299 > . 1:989(988) ack 1 <...>
        cwnd = 1
        +.01 < . 1:1(0) ack 1977 win 20000 <nop,nop,TS val 700 ecr 200>
        cwnd = 10
        +.001 < . 1:1(0) ack 4941 win 20000 <nop,nop,TS val 701 ecr 200>
        cwnd = 10
    ",
    );
    let counted = peer.host.count(Counter::TcpExtTcpSpuriousRtos);
    assert_eq!(counted, 0, "Linux counts what F-RTO finds");
}

#[test]
fn a_timeout_that_f_rto_finds_needless_is_counted() {
    let peer = after(
        WIDE,
        "
        write 10000
        > P. 1:10001(10000) ack 1
        +.202 > P. 9001:10001(1000) ack 1
        +.3 > . 1:1001(1000) ack 1
        write 5000
        +.05 < . 1:1(0) ack 1001 win 320
        > . 10001:12001(2000) ack 1
        +.01 < . 1:1(0) ack 2001 win 320
        > . 12001:13001(1000) ack 1
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpSpuriousRtos), 1);
}

#[test]
fn reordering_that_was_taken_for_loss_is_undone_by_d_sacks() {
    after(
        WIDE,
        "
        write 10000
        > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 320 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        ssthresh = 7
        +.01 < . 1:1(0) ack 10001 win 320
        cwnd = 7
        +.09 < . 1:1(0) ack 10001 win 320 <sack 1:1001>
        cwnd = 10
    ",
    );
}
