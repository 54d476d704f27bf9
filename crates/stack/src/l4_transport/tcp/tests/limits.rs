//! What many strangers, and long times, may do: floods, bounds, and resets in every state.
use alloc::format;
use alloc::string::ToString;

use super::handshake::{PLAIN, after};
use super::peer::{Peer, story};
use super::*;

/// State, the way there from ESTABLISHED, what is expected next and what is sent next.
const STATES: [(&str, &str, u32, u32); 6] = [
    ("ESTABLISHED", "", 1, 1),
    ("FIN-WAIT-1", "shutdown\n> F. 1:1(0) ack 1", 1, 2),
    (
        "FIN-WAIT-2",
        "shutdown\n> F. 1:1(0) ack 1\n< . 1:1(0) ack 2 win 32792",
        1,
        2,
    ),
    (
        "CLOSE-WAIT",
        "< F. 1:1(0) ack 1 win 32792\n> . 1:1(0) ack 2",
        2,
        1,
    ),
    (
        "CLOSING",
        "shutdown\n> F. 1:1(0) ack 1\n< F. 1:1(0) ack 1 win 32792\n> . 2:2(0) ack 2",
        2,
        2,
    ),
    (
        "LAST-ACK",
        "< F. 1:1(0) ack 1 win 32792\n> . 1:1(0) ack 2\nshutdown\n> F. 1:1(0) ack 2",
        2,
        2,
    ),
];

#[test]
fn in_every_synchronised_state_only_the_exact_rst_resets_and_a_syn_never_does() {
    for (state, way, nxt, sent) in STATES {
        let near = nxt + 1;
        after(
            PLAIN,
            &format!(
                "{way}
            state {state}
            < R 200000:200000(0) win 0
            drop TcpOutOfWindow
            < R -5:-5(0) win 0
            drop TcpOutOfWindow
            state {state}
            < R {near}:{near}(0) win 0
            drop TcpRstChallenged
            > . {sent}:{sent}(0) ack {nxt}
            state {state}
            +.1 < R {near}:{near}(0) win 0
            drop TcpRstChallenged
            < S {nxt}:{nxt}(0) win 1000 <mss 1000>
            drop TcpSynChallenged
            state {state}
            < R {nxt}:{nxt}(0) win 0
            state CLOSED
        "
            ),
        );
    }
}

#[test]
fn an_opening_of_both_sides_challenges_what_is_out_of_place() {
    let crossed = "
        connect
        > S 0:0(0) <...>
        < S 0:0(0) win 5000 <mss 1000>
        > S. 0:0(0) ack 1 <mss 1460>
        state SYN-RECEIVED
    ";
    for (stray, reason) in [
        ("R 2:2(0) win 0", "TcpRstChallenged"),
        ("S 9:9(0) win 1000 <mss 1000>", "TcpNoAck"),
        ("S. 9:9(0) ack 1 win 1000 <mss 1000>", "TcpSynChallenged"),
        (". 900000:900000(0) ack 1 win 1000", "TcpOutOfWindow"),
    ] {
        story(&format!(
            "{crossed}
        < {stray}
        drop {reason}
        > S. 0:0(0) ack 1 <mss 1460>
        +.1 < {stray}
        drop {reason}
        state SYN-RECEIVED
        < . 1:1(0) ack 1 win 5000
        state ESTABLISHED
        "
        ));
    }
    story(&format!(
        "{crossed}
        < R 900000:900000(0) win 0
        drop TcpOutOfWindow
        < R 1:1(0) win 0
        state CLOSED
        error = ConnectionRefused
        "
    ));
}

#[test]
fn in_syn_sent_a_rst_must_acknowledge_the_syn() {
    story(
        "
        connect
        > S 0:0(0) <...>
        < R 0:0(0) win 0
        drop TcpOutOfWindow
        < R. 0:0(0) ack 7 win 0
        drop TcpAckInvalid
        state SYN-SENT
        < R. 0:0(0) ack 1 win 0
        state CLOSED
        error = ConnectionRefused
    ",
    );
}

#[test]
fn the_window_of_a_syn_ack_is_not_scaled() {
    for (window, sent) in [(2000, "P. 1:2001(2000)"), (100, ". 1:101(100)")] {
        story(&format!(
            "
        connect
        > S 0:0(0) <...>
        < S. 0:0(0) ack 1 win {window} <mss 1000,nop,wscale 7>
        > . 1:1(0) ack 1
        write 5000
        > {sent} ack 1
    "
        ));
    }
}

#[test]
fn a_connection_stands_once_in_the_list_of_the_ready() {
    let mut peer = after(PLAIN, "");
    while peer.host.tcp.poll_ready().is_some() {}
    let (nxt, ack) = match peer.host.tcp.conn(peer.conn.unwrap()).unwrap() {
        Conn::Open(tcb) => (tcb.rcv.nxt.0, tcb.snd.nxt.0),
        Conn::Opening(_) => unreachable!(),
    };
    for n in 0..50 {
        let mut header = blank_header();
        header.flags = Flags::ACK;
        (header.seq, header.ack, header.window) = (nxt.wrapping_add(n * 10), ack, 1000);
        let ends = (at(B, 40_000), at(A, 8080));
        let text = arrival(&mut peer.host.pool, ends, header, &[7; 10]);
        assert!(matches!(peer.host.receive(text), Up::Done));
        while peer.host.transmit().is_some() {}
    }
    assert_eq!(peer.host.tcp.ready.len(), 1);
    assert!(peer.host.tcp.poll_ready().is_some() && peer.host.tcp.poll_ready().is_none());
}

#[test]
fn a_stream_in_the_place_of_time_wait_begins_above_all_that_the_old_one_sent() {
    let mut peer = after(
        PLAIN,
        "
        close
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 2 win 32792
        > . 2:2(0) ack 2
    ",
    );
    // As if gigabytes had been sent: faster than the clock of initial numbers moves.
    let old = peer.host.tcp.time_waits.get_mut(0).unwrap();
    old.snd_nxt += 1 << 30;
    let (sent, heard) = (old.snd_nxt, old.rcv_nxt);
    let mut header = blank_header();
    header.flags = Flags::SYN;
    header.seq = (heard + 1000).0;
    let ends = (at(B, 40_000), at(A, 8080));
    let syn = arrival(&mut peer.host.pool, ends, header, b"");
    let Up::Reply(Reply::Transport(answer)) = peer.host.receive(syn) else {
        panic!("a new connection");
    };
    assert_eq!(read(answer).header.seq, (sent + 65_537).0);
}

#[test]
fn a_window_that_stays_shut_for_days_ends_nothing_while_the_peer_answers() {
    let mut peer = after(
        PLAIN,
        "
        < . 1:1(0) ack 1 win 0
        write 100
        +.3 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
    ",
    );
    let mut wait = 0.3;
    for _ in 0..2000 {
        wait = f64::min(wait * 2.0, 120.0);
        peer.play(&format!("+{wait} > . 0:0(0) ack 1\n< . 1:1(0) ack 1 win 0"));
    }
    assert!(peer.host.now.as_millis() > 2 * 24 * 3_600_000, "two days");
    peer.play("state ESTABLISHED\n< . 1:1(0) ack 1 win 1000\n> P. 1:101(100) ack 1");
}

/// A SYN of the n-th stranger.
fn knock(host: &mut Host, n: u32) -> Up<()> {
    let stranger = at(
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n / 60_000)),
        1024 + (n % 60_000) as u16,
    );
    let mut header = blank_header();
    header.flags = Flags::SYN;
    header.seq = n;
    header.window = 1000;
    let ends = (stranger, at(A, 80));
    let segment = arrival(&mut host.pool, ends, header, b"");
    host.receive(segment)
}

#[test]
fn a_flood_of_a_hundred_thousand_syns_is_bounded_and_passes() {
    let without = Config {
        syn_cookies: SynCookies::Never,
        ..Config::default()
    };
    let mut host = Host::new(A, 1, without);
    host.listen(80, 255, Options::default());
    let mut taken = 0;
    for n in 0..100_000 {
        match knock(&mut host, n) {
            Up::Reply(Reply::Transport(_)) => taken += 1,
            Up::Drop(DropReason::TcpSynQueueFull, None) => {}
            _ => panic!("neither taken nor refused"),
        }
    }
    assert_eq!((taken, host.tcp.openings.len()), (256, 256));
    assert_eq!(host.tcp.agenda.len(), 256);
    assert_eq!(host.count(Counter::TcpExtListenDrops), 100_000 - 256);
    assert!(host.tcp.conns.is_empty() && host.tcp.time_waits.is_empty());
    // Each is asked five more times, then forgotten, and the next one is welcome.
    let mut asked = 0;
    while let Some(next) = host.tcp.poll_at() {
        host.now = next;
        host.with(|t, cx| t.on_timeout(cx));
        while host.transmit().is_some() {
            asked += 1;
        }
        assert!(host.tcp.agenda.len() <= 256);
    }
    assert_eq!((asked, host.tcp.openings.len()), (256 * 5, 0));
    assert!(matches!(knock(&mut host, 7), Up::Reply(_)));
}

#[test]
fn openings_that_are_reset_at_once_leave_nothing_behind() {
    let mut host = Host::new(A, 1, Config::default());
    host.listen(80, 16, Options::default());
    let mut most = 0;
    for n in 0..20_000 {
        assert!(matches!(knock(&mut host, n), Up::Reply(_)));
        let mut header = blank_header();
        header.flags = Flags::RST;
        header.seq = n + 1;
        let stranger = at(
            IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000)),
            1024 + n as u16,
        );
        let reset = arrival(&mut host.pool, (stranger, at(A, 80)), header, b"");
        assert!(matches!(host.receive(reset), Up::Done));
        most = most.max(host.tcp.agenda.len());
    }
    assert!(host.tcp.openings.is_empty());
    assert!(most < 200, "{most} timers of what is gone");
}

#[test]
fn farewells_that_nobody_stands_behind_are_bounded() {
    let mut host = Host::new(A, 1, Config::default());
    let listener = host.listen(80, 4096, Options::default());
    for n in 0..2000 {
        assert!(matches!(knock(&mut host, n), Up::Reply(_)));
    }
    host.with(|t, cx| t.close_listener(listener, cx));
    let mut resets = 0;
    while let Some(departure) = host.transmit() {
        assert!(read(departure).header.flags.contains(Flags::RST));
        resets += 1;
    }
    assert_eq!(resets, 1024);
    assert_eq!(host.counters.drops(DropReason::TxQueueFull), 2000 - 1024);
}

#[test]
fn lingering_ends_are_bounded_and_those_beyond_are_counted() {
    let config = Config {
        max_time_wait: 10,
        ..Config::default()
    };
    let mut peer = Peer::new(config);
    for n in 0..15u32 {
        let port = 40_000 + n;
        peer.play(&format!(
            "port {port}\nnew {n}\n{}
            close
            > F. 1:1(0) ack 1
            < F. 1:1(0) ack 2 win 32792
            > . 2:2(0) ack 2",
            if n == 0 {
                PLAIN.to_string()
            } else {
                PLAIN.replace("listen 4", "")
            }
        ));
    }
    assert_eq!(peer.host.tcp.time_waits.len(), 10);
    assert_eq!(peer.host.count(Counter::TcpExtTcpTimeWaitOverflow), 5);
    assert_eq!(peer.host.count(Counter::TcpExtTw), 10);
    assert!(peer.host.tcp.conns.is_empty());
    peer.host.now += Duration::from_secs(61);
    peer.host.with(|t, cx| t.on_timeout(cx));
    assert!(peer.host.tcp.time_waits.is_empty());
}

#[test]
fn connections_whose_program_is_gone_are_bounded_and_those_beyond_are_reset() {
    let config = Config {
        max_orphans: 1,
        ..Config::default()
    };
    let mut peer = Peer::new(config);
    for n in 0..3u32 {
        let port = 40_000 + n;
        let begin = match n {
            0 => PLAIN.to_string(),
            _ => PLAIN.replace("listen 4", ""),
        };
        let end = match n {
            0 => "> F. 1:1(0) ack 1",
            _ => "> R. 1:1(0) ack 1 win 0",
        };
        peer.play(&format!("port {port}\nnew {n}\n{begin}\nclose\n{end}"));
    }
    assert_eq!(peer.host.tcp.orphans, 1);
    assert_eq!(peer.host.count(Counter::TcpExtTcpAbortOnMemory), 2);
    // its FIN is never acknowledged
    for _ in 0..20 {
        peer.host.now += Duration::from_secs(60);
        peer.host.with(|t, cx| t.on_timeout(cx));
        while peer.host.transmit().is_some() {}
    }
    assert_eq!(peer.host.tcp.orphans, 0);
    assert!(peer.host.tcp.conns.is_empty());
}
