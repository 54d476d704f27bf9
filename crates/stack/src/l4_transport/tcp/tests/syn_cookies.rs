//! SYN cookies (RFC 4987 3.6): what survives, what is refused, and what a flood leaves behind.
use super::peer::{Peer, play_with};
use super::*;

/// A host that answers every SYN by a cookie.
fn always(lines: &str) -> Peer {
    let config = Config {
        syn_cookies: SynCookies::Always,
        ..Config::default()
    };
    play_with(config, Options::default(), lines)
}

/// A listener behind one stranger whose SYN fills its queue.
const FULL: &str = "
    listen 0
    port 40001
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    port 40000
    new 4294963200
";

#[test]
fn beside_timestamps_all_options_survive_a_cookie() {
    let mut peer = always(
        "
        listen 4
        < S 0:0(0) win 20000 <mss 1400,sackOK,TS val 100 ecr 0,nop,wscale 6>
        > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 100,nop,wscale 10>
        +.1 < . 1:1(0) ack 1 win 100 <nop,nop,TS val 200 ecr 100>
        accept
        state ESTABLISHED
        < . 1001:2001(1000) ack 1 win 100 <nop,nop,TS val 201 ecr 100>
        > . 1:1(0) ack 1 <nop,nop,TS val 218 ecr 200,nop,nop,sack 1001:2001>
        < . 1:1001(1000) ack 1 win 100 <nop,nop,TS val 202 ecr 100>
        > . 1:1(0) ack 2001 <nop,nop,TS val 218 ecr 202>
        read 2000 = 2000
    ",
    );
    let status = peer.host.tcp.status(peer.conn.unwrap()).unwrap();
    assert_eq!(status.mss, 1400 - 12);
    // a window of 100 with the shift of 6: four segments and a part
    peer.play("write 7000\n> P. 1:5553(5552) ack 2001 <nop,nop,TS val 218 ecr 202>");
    assert!(peer.host.tcp.openings.is_empty());
    assert_eq!(peer.host.count(Counter::TcpExtSyncookiesSent), 1);
    assert_eq!(peer.host.count(Counter::TcpExtSyncookiesRecv), 1);
    assert_eq!(peer.host.count(Counter::TcpExtTcpReqQFullDoCookies), 1);
}

#[test]
fn without_timestamps_only_the_mss_survives_a_cookie() {
    let peer = always(
        "
        listen 4
        < S 0:0(0) win 20000 <mss 1400,sackOK,nop,wscale 6>
        > S. 0:0(0) ack 1 <mss 1460>
        +.1 < . 1:1(0) ack 1 win 5000
        accept
        < . 1001:2001(1000) ack 1 win 5000
        > . 1:1(0) ack 1
        write 1400
        > P. 1:1401(1400) ack 1
    ",
    );
    assert_eq!(peer.host.tcp.status(peer.conn.unwrap()).unwrap().mss, 1400);
}

#[test]
fn text_that_comes_with_the_cookie_is_taken() {
    always(
        "
        listen 4
        < S 0:0(0) win 20000 <mss 1460>
        > S. 0:0(0) ack 1 <mss 1460>
        +.1 < P. 1:101(100) ack 1 win 20000
        > . 1:1(0) ack 101
        accept
        read 200 = 100
    ",
    );
}

#[test]
fn a_full_syn_queue_is_answered_by_cookies_and_they_open_connections() {
    let peer = play_with(
        Config::default(),
        Options::default(),
        &alloc::format!(
            "{FULL}
            < S 0:0(0) win 20000 <mss 1460>
            > S. 0:0(0) ack 1 <mss 1460>
            +.1 < . 1:1(0) ack 1 win 20000
            accept
            state ESTABLISHED
            write 10
            > P. 1:11(10) ack 1
        "
        ),
    );
    assert_eq!(peer.host.tcp.openings.len(), 1);
}

#[test]
fn with_cookies_off_a_full_syn_queue_discards() {
    let config = Config {
        syn_cookies: SynCookies::Never,
        ..Config::default()
    };
    let peer = play_with(
        config,
        Options::default(),
        &alloc::format!("{FULL}\n< S 0:0(0) win 20000 <mss 1460>\ndrop TcpSynQueueFull"),
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpReqQFullDrop), 1);
    assert_eq!(peer.host.count(Counter::TcpExtListenDrops), 1);
}

#[test]
fn an_ack_without_a_cookie_is_reset_and_says_why() {
    let opening = "
        listen 4
        < S 0:0(0) win 20000 <mss 1460>
        > S. 0:0(0) ack 1 <mss 1460>
    ";
    // what comes, why it is refused, whether it counts as a failed cookie
    let rows = [
        ("< . 1:1(0) ack 9 win 20000", "TcpCookieForged", "9", 1),
        (
            "< . 1:1(0) ack 90000 win 20000",
            "TcpCookieForged",
            "90000",
            1,
        ),
        ("< . 500:500(0) ack 1 win 20000", "TcpCookieForged", "1", 1),
        (
            "port 40009\n< . 1:1(0) ack 1 win 20000",
            "TcpCookieForged",
            "1",
            1,
        ),
        (
            "+119 wait\n+1 < . 1:1(0) ack 1 win 20000",
            "TcpNoSocket",
            "1",
            0,
        ),
    ];
    for (comes, reason, seq, failed) in rows {
        let peer = always(&alloc::format!(
            "{opening}\n{comes}\ndrop {reason}\n> R {seq}:{seq}(0)"
        ));
        assert_eq!(peer.host.count(Counter::TcpExtSyncookiesFailed), failed);
        assert!(peer.host.tcp.conns.is_empty());
    }
}

#[test]
fn an_old_cookie_is_refused_though_younger_ones_are_out() {
    let mut peer = always(
        "
        listen 4
        < S 0:0(0) win 20000 <mss 1460>
        > S. 0:0(0) ack 1 <mss 1460>
        +100 wait
    ",
    );
    let mut header = blank_header();
    header.flags = Flags::SYN;
    let ends = (at(B, 1), at(A, 8080));
    let another = arrival(&mut peer.host.pool, ends, header, b"");
    assert!(matches!(peer.host.receive(another), Up::Reply(_)));
    peer.play("+21 < . 1:1(0) ack 1 win 20000\ndrop TcpCookieOld\n> R 1:1(0)");
    assert_eq!(peer.host.count(Counter::TcpExtSyncookiesFailed), 1);
}

#[test]
fn an_ack_of_no_cookie_is_for_nobody_where_none_was_sent() {
    let peer = play_with(
        Config::default(),
        Options::default(),
        "
        listen 4
        < . 1:1(0) ack 1 win 1000
        drop TcpNoSocket
        > R 0:0(0)
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtSyncookiesFailed), 0);
}

#[test]
fn a_cookie_that_comes_again_opens_nothing_more() {
    let peer = always(
        "
        listen 4
        < S 0:0(0) win 20000 <mss 1460>
        > S. 0:0(0) ack 1 <mss 1460>
        < . 1:1(0) ack 1 win 20000
        < . 1:1(0) ack 1 win 20000
        < . 1:1(0) ack 1 win 20000
        waiting = 1
        accept
        close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 20000
        > . 2:2(0) ack 2
        < . 1:1(0) ack 1 win 20000
        drop TcpTimeWait
        > . 2:2(0) ack 2
    ",
    );
    assert!(peer.host.tcp.conns.is_empty());
    assert_eq!(peer.host.count(Counter::TcpExtSyncookiesRecv), 1);
}

#[test]
fn a_cookie_that_finds_the_accept_queue_full_is_silently_dropped() {
    let peer = always(
        "
        listen 0
        port 40001
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        port 40000
        new 4294963200
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        port 40001
        < S 0:0(0) win 1000 <mss 1000>
        drop TcpAcceptQueueFull
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtListenOverflows), 1);
}

#[test]
fn timestamps_with_what_was_not_offered_are_forged() {
    let config = Config {
        syn_cookies: SynCookies::Always,
        sack: false,
        ..Config::default()
    };
    play_with(
        config,
        Options::default(),
        "
        listen 4
        < S 0:0(0) win 20000 <mss 1400,TS val 100 ecr 0,nop,wscale 6>
        > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 100 ecr 100,nop,wscale 10>
        +.1 < . 1:1(0) ack 1 win 100 <nop,nop,TS val 200 ecr 116>
        drop TcpCookieForged
        > R 1:1(0)
        < . 1:1(0) ack 1 win 100 <nop,nop,TS val 200 ecr 100>
        accept
    ",
    );
}
