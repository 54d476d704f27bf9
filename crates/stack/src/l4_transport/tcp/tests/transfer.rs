//! Sending and receiving on a connection: windows, acknowledgments, Nagle, probes.
use super::handshake::{PLAIN, SACK, STAMPS, after};
use super::peer::{play_with, story};
use super::*;

#[test]
fn a_large_write_leaves_as_one_super_segment_of_the_initial_window() {
    let peer = after(
        SACK,
        "
        write 30000
        > P. 1:10001(10000) ack 1
        cwnd = 10
        +.105 < . 1:1(0) ack 2001 win 257
        > P. 10001:14001(4000) ack 1
        cwnd = 12
        +.005 < . 1:1(0) ack 4001 win 257
        > P. 14001:18001(4000) ack 1
        +.005 < . 1:1(0) ack 6001 win 257
        > P. 18001:22001(4000) ack 1
        +.005 < . 1:1(0) ack 8001 win 257
        > P. 22001:26001(4000) ack 1
        +.005 < . 1:1(0) ack 10001 win 257
        > P. 26001:30001(4000) ack 1
        cwnd = 20
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpOrigDataSent), 30);
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    after(
        SACK,
        "
        write 5000
        > P. 1:5001(5000) ack 1
        < . 1:1(0) ack 2001 win 257
        cwnd = 10
        < . 1:1(0) ack 4001 win 257
        cwnd = 10
        < . 1:1(0) ack 5001 win 257
        cwnd = 10
    ",
    );
    after(
        SACK,
        "
        write 9000
        > P. 1:9001(9000) ack 1
        +.1 < . 1:1(0) ack 2001 win 257
        cwnd = 12
        < . 1:1(0) ack 4001 win 257
        < . 1:1(0) ack 6001 win 257
        < . 1:1(0) ack 8001 win 257
        cwnd = 18
        < . 1:1(0) ack 9001 win 257
        cwnd = 18
    ",
    );
}

#[test]
fn the_window_halves_for_each_timeout_of_idleness() {
    after(
        SACK,
        "
        write 26000
        > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 10001 win 511
        > P. 10001:26001(16000) ack 1
        cwnd = 20
        +.1 < . 1:1(0) ack 26001 win 511
        cwnd = 36
        +2 write 20000
        > P. 26001:36001(10000) ack 1
        cwnd = 10
    ",
    );
}

#[test]
fn the_peers_window_is_respected_and_its_update_used() {
    story(
        "
        listen 4
        < S 0:0(0) win 2000 <mss 1000>
        > S. 0:0(0) ack 1 <mss 1460>
        +.1 < . 1:1(0) ack 1 win 2000
        accept
        write 5000
        > P. 1:2001(2000) ack 1
        < . 1:1(0) ack 2001 win 2500
        > P. 2001:4001(2000) ack 1
        < . 1:1(0) ack 4001 win 2500
        > P. 4001:5001(1000) ack 1
    ",
    );
}

#[test]
fn a_zero_window_is_probed_with_backoff_until_it_opens() {
    let peer = after(
        PLAIN,
        "
        < . 1:1(0) ack 1 win 0
        write 100
        +.3 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +.6 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +1.2 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        > P. 1:101(100) ack 1
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpWinProbe), 3);
}

#[test]
fn probes_that_nobody_answers_end_the_connection() {
    play_with(
        Config {
            retries2: 3,
            ..Config::default()
        },
        Options::default(),
        &alloc::format!(
            "{PLAIN}
        < . 1:1(0) ack 1 win 0
        write 100
        +.3 > . 0:0(0) ack 1
        +.6 > . 0:0(0) ack 1
        +1.2 > . 0:0(0) ack 1
        +2.5 state CLOSED
        read 10 = TimedOut
        read 10 = 0
    "
        ),
    );
}

#[test]
fn a_small_window_is_not_filled_at_once_but_by_the_persist_timer() {
    story(
        "
        listen 4
        < S 0:0(0) win 2000 <mss 1000>
        > S. 0:0(0) ack 1 <mss 1460>
        +.1 < . 1:1(0) ack 1 win 500
        accept
        write 2000
        +.3 > . 1:501(500) ack 1
        < . 1:1(0) ack 501 win 2000
        > P. 501:2001(1500) ack 1
    ",
    );
}

#[test]
fn nagle_holds_a_second_small_segment_until_the_first_is_acknowledged() {
    after(
        PLAIN,
        "
        write 51
        > P. 1:52(51) ack 1
        write 2002
        > P. 52:2052(2000) ack 1
        +.01 < . 1:1(0) ack 52 win 32792
        > P. 2052:2054(2) ack 1
    ",
    );
}

#[test]
fn nodelay_holds_nothing() {
    play_with(
        Config::default(),
        Options {
            nodelay: true,
            ..Options::default()
        },
        &alloc::format!(
            "{PLAIN}
        write 51
        > P. 1:52(51) ack 1
        write 2002
        > P. 52:2054(2002) ack 1
    "
        ),
    );
}

#[test]
fn cork_holds_a_partial_segment_for_200_ms() {
    play_with(
        Config::default(),
        Options {
            cork: true,
            ..Options::default()
        },
        &alloc::format!(
            "{PLAIN}
        write 1500
        > . 1:1001(1000) ack 1
        +.01 < . 1:1(0) ack 1001 win 32792
        +.19 > P. 1001:1501(500) ack 1
        < . 1:1(0) ack 1501 win 32792
        write 100
        +.1 shutdown
        > FP. 1501:1601(100) ack 1
    "
        ),
    );
}

#[test]
fn text_is_acknowledged_at_once_at_first_then_each_second_segment_or_after_40_ms() {
    let mut lines = String::from(PLAIN);
    let mut at = 1;
    for _ in 0..16 {
        lines.push_str(&alloc::format!(
            "< . {at}:{}(1000) ack 1 win 32792\n > . 1:1(0) ack {}\n",
            at + 1000,
            at + 1000
        ));
        at += 1000;
    }
    lines.push_str(&alloc::format!(
        "read 16000
         < . {at}:{}(1000) ack 1 win 32792
         +.001 < . {}:{}(1000) ack 1 win 32792
         > . 1:1(0) ack {}
         +.001 < . {}:{}(1000) ack 1 win 32792
         +.040 > . 1:1(0) ack {}
        ",
        at + 1000,
        at + 1000,
        at + 2000,
        at + 2000,
        at + 2000,
        at + 3000,
        at + 3000
    ));
    super::peer::story(&lines);
}

//= rfc9293#3.10.7.4
//# if the TCP endpoint is processing a series of queued segments, it MUST process them all before sending any ACK segments
#[test]
fn segments_that_arrive_together_are_acknowledged_once() {
    let mut peer = after(PLAIN, "");
    let (nxt, ack) = match peer.host.tcp.conn(peer.conn.unwrap()).unwrap() {
        Conn::Open(tcb) => (tcb.rcv.nxt.0, tcb.snd.nxt.0),
        Conn::Opening(_) => unreachable!(),
    };
    for n in 0..5 {
        let mut header = blank_header();
        header.flags = Flags::ACK;
        (header.seq, header.ack, header.window) = (nxt.wrapping_add(n * 100), ack, 1000);
        let ends = (at(B, 40_000), at(A, 8080));
        let text = arrival(&mut peer.host.pool, ends, header, &[7; 100]);
        assert!(matches!(peer.host.receive(text), Up::Done));
    }
    let sent = read(peer.host.transmit().expect("an ACK"));
    assert_eq!(sent.header.ack, nxt.wrapping_add(500));
    assert!(peer.host.transmit().is_none(), "one ACK for all");
}

#[test]
fn an_answer_carries_the_acknowledgment() {
    after(
        PLAIN,
        "
        < P. 1:11(10) ack 1 win 32792
        > . 1:1(0) ack 11
        read 10
        write 10
        > P. 1:11(10) ack 11
        +.001 < P. 11:21(10) ack 11 win 32792
        +.001 write 10
        > P. 11:21(10) ack 21
        +.001 < P. 21:31(10) ack 21 win 32792
        +.040 > . 21:21(0) ack 31
    ",
    );
}

#[test]
fn text_out_of_order_is_reported_most_recent_first_and_duplicates_too() {
    after(
        "
        listen 4
        < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
        > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 10>
        +.1 < . 1:1(0) ack 1 win 1024
        accept
        ",
        "
        < P. 1001:2001(1000) ack 1 win 1024
        > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
        < P. 2001:3001(1000) ack 1 win 1024
        > . 1:1(0) ack 1 <nop,nop,sack 1001:3001>
        < P. 4001:5001(1000) ack 1 win 1024
        > . 1:1(0) ack 1 <nop,nop,sack 4001:5001 1001:3001>
        < P. 7001:8001(1000) ack 1 win 1024
        > . 1:1(0) ack 1 <nop,nop,sack 7001:8001 4001:5001 1001:3001>
        < P. 1:6001(6000) ack 1 win 1024
        > . 1:1(0) ack 6001 <nop,nop,sack 1001:3001 7001:8001>
        < P. 6001:8001(2000) ack 1 win 1024
        > . 1:1(0) ack 8001 <nop,nop,sack 7001:8001>
        < P. 1:1001(1000) ack 1 win 1024
        drop TcpDuplicate
        > . 1:1(0) ack 8001 <nop,nop,sack 1:1001>
        read 9000 = 8000
    ",
    );
}

#[test]
fn a_fin_before_its_text_waits_for_it() {
    after(
        PLAIN,
        "
        < F. 1001:2001(1000) ack 1 win 32792
        > . 1:1(0) ack 1
        state ESTABLISHED
        < . 1:1001(1000) ack 1 win 32792
        > . 1:1(0) ack 2002
        state CLOSE-WAIT
        read 5000 = 2000
        read 5000 = 0
    ",
    );
}

#[test]
fn a_resent_segment_with_a_fin_is_taken() {
    after(
        PLAIN,
        "
        < . 1:1001(1000) ack 1 win 32792
        > . 1:1(0) ack 1001
        read 1000
        < F. 1:1001(1000) ack 1 win 32792
        > . 1:1(0) ack 1002
        close
        > F. 1:1(0) ack 1002
    ",
    );
}

#[test]
fn text_beyond_the_window_is_cut_off_and_a_full_buffer_refuses() {
    play_with(
        Config::default(),
        Options {
            rcvbuf: 5840,
            ..Options::default()
        },
        "
        listen 4
        < S 0:0(0) win 32792 <mss 1000>
        > S. 0:0(0) ack 1 win 2920 <mss 1460>
        +.1 < . 1:1(0) ack 1 win 32792
        accept
        < F. 1:4001(4000) ack 1 win 32792
        > . 1:1(0) ack 2921 win 0
        state ESTABLISHED // the FIN lies beyond the window too
        < F. 2921:3921(1000) ack 1 win 32792
        drop TcpBufferFull
        > . 1:1(0) ack 2921 win 0
        read 5000 = 2920
        > . 1:1(0) ack 2921 win 2000
    ",
    );
}

#[test]
fn reading_a_little_does_not_tell_a_silly_window() {
    play_with(
        Config::default(),
        Options {
            rcvbuf: 5840,
            ..Options::default()
        },
        "
        listen 4
        < S 0:0(0) win 32792 <mss 1000>
        > S. 0:0(0) ack 1 win 2920
        +.1 < . 1:1(0) ack 1 win 32792
        accept
        < . 1:2921(2920) ack 1 win 32792
        > . 1:1(0) ack 2921 win 0
        read 100 = 100
        read 100 = 100
        read 2000 = 2000
        > . 1:1(0) ack 2921 win 2000
    ",
    );
}

#[test]
fn the_receive_window_grows_with_what_the_program_reads() {
    let mut pair = super::pair::Pair::new(Config::default(), super::pair::CLEAN, 1);
    pair.faults.delay = ms(50);
    let data = super::pair::pattern(4_000_000, 3);
    let took = super::pair::exchange(&mut pair, Options::default(), &data, &[]);
    // 64 KB a round trip of 100 ms would take 6 s
    assert!(took < Duration::from_millis(2500), "{took:?}");
    assert_eq!(pair.a.count(Counter::TcpRetransSegs), 0);
}

#[test]
fn keepalive_probes_a_silent_peer_and_gives_up() {
    let options = Options {
        keepalive: true,
        keepidle: Duration::from_secs(10),
        keepintvl: Duration::from_secs(2),
        keepcnt: 2,
        ..Options::default()
    };
    play_with(
        Config::default(),
        options,
        &alloc::format!(
            "{PLAIN}
        +10 > . 0:0(0) ack 1
        +.1 < . 1:1(0) ack 1 win 32792
        +10 > . 0:0(0) ack 1
        +2 > . 0:0(0) ack 1
        +1.9 state ESTABLISHED
        +.1 > R. 1:1(0) ack 1
        +.1 state CLOSED
        ready = 31
        read 1 = TimedOut
    "
        ),
    );
}

#[test]
fn a_keepalive_probe_is_answered() {
    after(
        PLAIN,
        "
        < . 0:0(0) ack 1 win 32792
        drop TcpOutOfWindow
        > . 1:1(0) ack 1
    ",
    );
}

#[test]
fn writable_again_when_a_third_of_the_buffer_is_free() {
    let mut peer = play_with(
        Config {
            wmem: (9000, 9000),
            ..Config::default()
        },
        Options::default(),
        &alloc::format!(
            "{PLAIN}
        write 20000 = 9000
        > P. 1:9001(9000) ack 1
        write 1 = WouldBlock
        ready = 0
    "
        ),
    );
    while peer.host.tcp.poll_ready().is_some() {}
    peer.play("< . 1:1(0) ack 2001 win 32792");
    assert_eq!(peer.host.tcp.poll_ready(), None);
    peer.play("< . 1:1(0) ack 3001 win 32792");
    assert_eq!(
        peer.host.tcp.poll_ready(),
        Some((Owner(1), Ready::WRITABLE))
    );
    assert_eq!(peer.host.tcp.poll_ready(), None, "told once");
}

#[test]
fn a_fin_behind_a_gap_tells_of_the_gap() {
    after(
        PLAIN,
        "
        < F. 101:101(0) ack 1 win 257
        > . 1:1(0) ack 1
        +.1 < P. 1:101(100) ack 1 win 257
        > . 1:1(0) ack 102
    ",
    );
}

#[test]
fn a_narrower_path_resends_in_smaller_segments() {
    let mut peer = after(
        PLAIN,
        "
        write 3000
        > P. 1:3001(3000) ack 1
    ",
    );
    let local = at(A, 8080);
    let remote = at(B, 40_000);
    let id = peer.conn.unwrap();
    let una = match peer.host.tcp.conn(id).unwrap() {
        Conn::Open(tcb) => tcb.snd.una.0,
        Conn::Opening(_) => unreachable!(),
    };
    let mut flow = Flow {
        protocol: 6,
        local,
        remote,
        word: una.wrapping_sub(1),
    };
    let heard = peer.host.with(|t, cx| t.path_mtu(flow, 600, cx));
    assert_eq!(heard, Err(DropReason::IcmpOutOfWindow));
    assert_eq!(peer.host.tcp.status(id).unwrap().mss, 1000, "a guess");
    flow.word = una;
    let heard = peer.host.with(|t, cx| t.path_mtu(flow, 600, cx));
    assert_eq!(heard, Ok(()));
    assert_eq!(peer.host.tcp.status(id).unwrap().mss, 560);
    let mut again = 0;
    while let Some(burst) = peer.host.transmit().map(read) {
        assert_eq!(burst.cut, (burst.text.len() > 560).then_some(560));
        assert!(burst.text.len() <= 2 * 560, "a long way's bursts are short");
        again += burst.text.len();
    }
    assert_eq!(again, 3000);
    // Nobody makes us send crumbs.
    let heard = peer.host.with(|t, cx| t.path_mtu(flow, 68, cx));
    assert_eq!(heard, Ok(()));
    assert_eq!(peer.host.tcp.status(id).unwrap().mss, 512);
}

#[test]
fn unreachable_ports_refuse_an_opening_and_are_only_remembered_by_a_connection() {
    let mut peer = super::peer::story("connect\n> S 0:0(0) <...>");
    let id = peer.conn.unwrap();
    let iss = match peer.host.tcp.conn(id).unwrap() {
        Conn::Opening(o) => o.iss.0,
        Conn::Open(_) => unreachable!(),
    };
    let flow = Flow {
        protocol: 6,
        local: at(A, 8080),
        remote: at(B, 40_000),
        word: iss,
    };
    let error = NetError::PortUnreachable;
    let heard = peer.host.with(|t, cx| t.unreachable(flow, error, cx));
    assert_eq!(heard, Ok(()));
    peer.play("error = ConnectionRefused\nstate CLOSED");

    let mut peer = play_with(
        Config {
            retries2: 1,
            ..Config::default()
        },
        Options::default(),
        &alloc::format!("{PLAIN}\nwrite 10\n> P. 1:11(10) ack 1"),
    );
    let id = peer.conn.unwrap();
    let una = match peer.host.tcp.conn(id).unwrap() {
        Conn::Open(tcb) => tcb.snd.una.0,
        Conn::Opening(_) => unreachable!(),
    };
    let flow = Flow { word: una, ..flow };
    let error = NetError::HostUnreachable;
    let heard = peer.host.with(|t, cx| t.unreachable(flow, error, cx));
    assert_eq!(heard, Ok(()));
    peer.play(
        "
        state ESTABLISHED
        +.3 > P. 1:11(10) ack 1
        +.61 state CLOSED
        error = HostUnreachable
    ",
    );
}

#[test]
fn old_timestamps_are_refused_and_recent_ones_echoed() {
    after(
        STAMPS,
        "
        < . 1:1001(1000) ack 1 win 20000 <nop,nop,TS val 300 ecr 100>
        > . 1:1(0) ack 1001 <nop,nop,TS val 200 ecr 300>
        < . 1001:2001(1000) ack 1 win 20000 <nop,nop,TS val 299 ecr 100>
        drop TcpPaws
        > . 1:1(0) ack 1001 <nop,nop,TS val 200 ecr 300>
        < . 2001:3001(1000) ack 1 win 20000 <nop,nop,TS val 400 ecr 100>
        > . 1:1(0) ack 1001 <nop,nop,TS val 200 ecr 300,nop,nop,sack 2001:3001>
        < . 1001:2001(1000) ack 1 win 20000 <nop,nop,TS val 350 ecr 100>
        > . 1:1(0) ack 3001 <nop,nop,TS val 200 ecr 350>
        write 2000
        > P. 1:2001(2000) ack 3001 <nop,nop,TS val 200 ecr 350>
    ",
    );
}

//= rfc7323#3.2
//# If a TSopt is received on a connection where TSopt was not negotiated ..., the TSopt MUST be ignored and the packet processed normally.
#[test]
fn timestamps_that_were_not_agreed_on_are_ignored() {
    after(
        PLAIN,
        "
        < . 1:101(100) ack 1 win 32792 <nop,nop,TS val 900 ecr 5>
        > . 1:1(0) ack 101 <>
        < . 101:201(100) ack 1 win 32792 <nop,nop,TS val 700 ecr 5>
        > . 1:1(0) ack 201 <>
        read 1000 = 200
    ",
    );
}

#[test]
fn a_retransmission_makes_room_for_its_sack_blocks() {
    after(
        SACK,
        "
        write 3000
        > P. 1:3001(3000) ack 1
        +.1 < P. 1001:2001(1000) ack 1 win 257 <sack 1001:3001>
        > . 3001:3001(0) ack 1 <nop,nop,sack 1001:2001>
        +.025 > . 1:989(988) ack 1 <nop,nop,sack 1001:2001>
    ",
    );
}

#[test]
fn a_message_that_was_read_to_its_end_is_acknowledged_without_delay() {
    let mut lines = String::from(PLAIN);
    for i in 0..16 {
        let at = i * 1000 + 1;
        lines.push_str(&alloc::format!(
            "< . {at}:{}(1000) ack 1 win 32792\n > . 1:1(0) ack {}\n",
            at + 1000,
            at + 1000
        ));
    }
    lines.push_str(
        "
        read 16000
        < P. 16001:16101(100) ack 1 win 32792
        +.002 read 50
        +.002 read 50
        > . 1:1(0) ack 16101
    ",
    );
    story(&lines);
}
