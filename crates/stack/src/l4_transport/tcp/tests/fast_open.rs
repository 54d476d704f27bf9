//! Fast Open (RFC 7413): bounds, counts, and a wire that loses. What single segments look like is in `scripts/pkt/fastopen`.
use super::pair::{Faults, Pair};
use super::peer::Peer;
use super::*;

/// A host whose listeners take text without a cookie.
fn open_to_all(queue: u32) -> Peer {
    let mut peer = Peer::new(Config {
        fast_open: FastOpenModes::of(0x203),
        ..Config::default()
    });
    peer.options.fast_open = queue;
    peer
}

#[test]
fn connections_before_the_end_of_their_handshake_are_bounded_and_those_reset_count_for_a_minute() {
    let mut peer = open_to_all(1);
    peer.play(
        "
        listen 4
        < S 0:10(10) win 32792 <mss 1460>
        > S. 0:0(0) ack 11
        state SYN-RECEIVED
        port 40001
        new 0
        < S 0:10(10) win 32792 <mss 1460>
        > S. 0:0(0) ack 1
        +.1 < R 1:1(0) win 0
        port 40000
        new 4294963200
        < R 11:11(0) win 0
        state CLOSED
        port 40002
        new 0
        +59 < S 0:10(10) win 32792 <mss 1460>
        > S. 0:0(0) ack 1
        +.1 < R 1:1(0) win 0
        port 40003
        new 0
        +1 < S 0:10(10) win 32792 <mss 1460>
        > S. 0:0(0) ack 11
        +.1 < . 11:11(0) ack 1 win 32792
        state ESTABLISHED
        port 40004
        new 0
        < S 0:10(10) win 32792 <mss 1460>
        > S. 0:0(0) ack 11
    ",
    );
    let count = |counter| peer.host.count(counter);
    assert_eq!(count(Counter::TcpExtTcpFastOpenListenOverflow), 2);
    assert_eq!(count(Counter::TcpExtTcpFastOpenPassive), 3);
}

#[test]
fn a_peer_that_never_answers_is_given_up_and_its_place_is_free() {
    let mut peer = open_to_all(1);
    peer.play(
        "
        listen 4
        < S 0:10(10) win 32792 <mss 1460>
        > S. 0:0(0) ack 11
        +1 > S. 0:0(0) ack 11
        +2 > S. 0:0(0) ack 11
        +4 > S. 0:0(0) ack 11
        +8 > S. 0:0(0) ack 11
        +16 > S. 0:0(0) ack 11
        +32 > S. 0:0(0) ack 11
        +65 wait
        state CLOSED
        port 40001
        new 0
        < S 0:10(10) win 32792 <mss 1460>
        > S. 0:0(0) ack 11
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpAbortOnTimeout), 1);
    assert_eq!(peer.host.count(Counter::TcpExtTcpFastOpenListenOverflow), 0);
}

#[test]
fn over_a_wire_that_loses_all_text_arrives_once_whatever_rode_on_the_syn() {
    let config = Config {
        fast_open: FastOpenModes::of(3),
        ..Config::default()
    };
    let with_queue = Options {
        fast_open: 16,
        ..Options::default()
    };
    let (mut taken, mut left_out) = (0, 0);
    for seed in 0..20 {
        let faults = Faults {
            loss: 150,
            duplicate: 50,
            reorder: 200,
            delay: ms(10),
        };
        let mut pair = Pair::new(config.clone(), faults, seed);
        let listener = pair.b.listen(80, 16, with_queue);
        for n in 0..4 {
            pair.a.now = pair.now;
            let conn = pair.a.connect(1000 + n, at(B, 80), Options::default());
            let text = [n as u8; 3000];
            let mut sent = pair.a.with(|tcp, cx| tcp.ride(conn, &text, cx));
            let (mut got, mut server) = (Vec::new(), None);
            for _ in 0..6000 {
                pair.run(ms(10));
                if let Ok(more) = pair.a.with(|tcp, cx| tcp.send(conn, &text[sent..], cx)) {
                    sent += more;
                }
                if server.is_none() {
                    server = pair.b.tcp.accept(listener, Owner(2)).ok();
                }
                let mut buffer = [0; 4000];
                if let Some((id, _)) = server
                    && let Ok(read) = pair.b.with(|tcp, cx| tcp.recv(id, &mut buffer, false, cx))
                {
                    got.extend_from_slice(&buffer[..read]);
                }
                if got.len() >= text.len() {
                    break;
                }
            }
            assert_eq!(got, text, "seed {seed}, connection {n}");
        }
        taken += pair.a.count(Counter::TcpExtTcpFastOpenActive);
        left_out += pair.a.count(Counter::TcpExtTcpFastOpenActiveFail);
    }
    // both ways were gone
    assert!(taken > 20 && left_out > 2, "{taken} {left_out}");
}
