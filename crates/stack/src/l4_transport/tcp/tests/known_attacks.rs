//! Attacks that have a name or a number: each is played, and shown to fail. The list is docs/defence.md.
use super::handshake::{PLAIN, SACK, STAMPS, after};
use super::*;

/// The established connection's block.
fn tcb(peer: &super::peer::Peer) -> &super::super::tcb::Tcb {
    match peer.host.tcp.conn(peer.conn.unwrap()).unwrap() {
        Conn::Open(tcb) => tcb,
        Conn::Opening(_) => panic!("the connection stands"),
    }
}

//= rfc5961#7
/// CVE-2016-5696: who owns one connection here counts his own challenges only, whatever he made another connection say.
#[test]
fn challenges_of_one_connection_tell_nothing_of_another() {
    let counted = |guesses: u32| {
        let mut host = Host::new(A, 3, Config::default());
        host.listen(80, 8, Options::default());
        let ends = [(at(B, 1000), at(A, 80)), (at(B, 2000), at(A, 80))];
        let nxt = ends.map(|ends| shake(&mut host, ends));
        // forged, as if from the victim's peer: a thousand and more RSTs all over the window
        for i in 0..guesses {
            host.now += ms(1);
            forge(&mut host, ends[1], Flags::RST, nxt[1].wrapping_add(1 + i));
        }
        // the attacker's own: as many as a second may have, and what he sees of them
        let mut seen = 0;
        for _ in 0..10 {
            host.now += ms(501);
            seen += forge(&mut host, ends[0], Flags::RST, nxt[0].wrapping_add(5));
        }
        (seen, host.count(Counter::TcpExtTcpChallengeAck) > 10)
    };
    assert_eq!(counted(0), (10, false));
    assert_eq!(counted(3000), (10, true), "the victim did challenge");
}

/// Opens a connection; the peer's next sequence number.
fn shake(host: &mut Host, ends: (SocketAddr, SocketAddr)) -> u32 {
    let mut header = blank_header();
    header.flags = Flags::SYN;
    header.window = 5000;
    let syn = arrival(&mut host.pool, ends, header, b"");
    let Up::Reply(Reply::Transport(answer)) = host.receive(syn) else {
        panic!("a SYN,ACK");
    };
    header.flags = Flags::ACK;
    header.seq = 1;
    header.ack = read(answer).header.seq.wrapping_add(1);
    let ack = arrival(&mut host.pool, ends, header, b"");
    assert!(matches!(host.receive(ack), Up::Done));
    1
}
/// A forged segment; how many answers it draws to that peer.
fn forge(host: &mut Host, ends: (SocketAddr, SocketAddr), flags: Flags, seq: u32) -> usize {
    let mut header = blank_header();
    header.flags = flags;
    header.seq = seq;
    let segment = arrival(&mut host.pool, ends, header, b"");
    host.receive(segment);
    let answers = core::iter::from_fn(|| host.transmit()).map(read);
    answers
        .filter(|sent| sent.header.dst_port == ends.0.port())
        .count()
}

//= rfc5961#5.2
/// Text whose ACK is a guess is not taken, wherever in the window it lies.
#[test]
fn text_with_a_guessed_ack_is_not_taken() {
    for (ack, reason) in [(70_000, "TcpAckInvalid"), (-70_000, "TcpAckInvalid")] {
        after(
            PLAIN,
            &alloc::format!(
                "
            < P. 1:101(100) ack {ack} win 32792
            drop {reason}
            > . 1:1(0) ack 1
            read 10 = WouldBlock
            < P. 1:51(50) ack 1 win 32792
            > . 1:1(0) ack 51
            read 100 = 50
        "
            ),
        );
    }
}

/// Savage, Cardwell and others (1999): a peer that acknowledges what has not been sent gains nothing.
#[test]
fn acks_of_what_was_never_sent_do_not_open_the_window() {
    let mut peer = after(PLAIN, "write 20000\n> P. 1:10001(10000) ack 1\ncwnd = 10");
    // answered once in half a second
    let mut answer = "> . 10001:10001(0) ack 1";
    for i in 0..20u32 {
        let ack = 10_002 + i * 1000;
        peer.play(&alloc::format!(
            "+.001 < . 1:1(0) ack {ack} win 32792\ndrop TcpAckInvalid\n{answer}\ncwnd = 10"
        ));
        answer = "";
    }
}

/// The same paper: an ACK for each few bytes of a segment opens the window no further than one for all of it.
#[test]
fn an_ack_cut_into_pieces_opens_the_window_once() {
    let opened = |pieces: u32| {
        let mut peer = after(PLAIN, "write 10000\n> P. 1:10001(10000) ack 1");
        for i in 1..=pieces {
            let ack = 1 + 1000 * i / pieces;
            peer.play(&alloc::format!("< . 1:1(0) ack {ack} win 32792"));
        }
        tcb(&peer).window.cwnd
    };
    assert_eq!(opened(1), 11_000);
    assert_eq!(opened(100), opened(1));
}

/// CVE-2019-11477, 11478, 11479: a peer that wants an MSS of nothing gets 48 bytes a segment, and SACK blocks over tiny
/// pieces leave no more records than there are segments.
#[test]
fn a_tiny_mss_and_its_sack_blocks_are_bounded() {
    for mss in [1, 8, 47] {
        let opening = SACK.replace("mss 1000", &alloc::format!("mss {mss}"));
        let mut peer = after(&opening, "write 480\n> P. 1:481(480) ack 1");
        assert_eq!(tcb(&peer).mss(), 48, "an MSS of {mss}");
        // each byte reported alone, from the end on
        for left in (2..480).rev() {
            let right = left + 1;
            peer.play(&alloc::format!(
                "< . 1:1(0) ack 1 win 0 <sack {left}:{right}>"
            ));
            let records = tcb(&peer).flight.iter().count();
            assert!(records <= 480 / 48, "{records} records of ten segments");
        }
        while peer.host.transmit().is_some() {}
    }
}

/// CVE-2018-5390, "SegmentSmack": tiny pieces out of order are charged for what they cost us, so that they are few.
#[test]
fn tiny_segments_out_of_order_are_few() {
    let mut peer = after(PLAIN, "");
    let id = peer.conn.unwrap();
    let ack = tcb(&peer).snd.nxt.0;
    let mut refused = 0;
    for i in 0..30_000u32 {
        let mut header = blank_header();
        header.flags = Flags::ACK;
        header.seq = 0xffff_f000_u32.wrapping_add(60_001 - 2 * i);
        header.ack = ack;
        header.window = 1000;
        let ends = (at(B, 40_000), at(A, 8080));
        let segment = arrival(&mut peer.host.pool, ends, header, b"x");
        let verdict = peer.host.receive(segment);
        refused += u32::from(matches!(
            verdict,
            Up::Drop(DropReason::TcpReassemblyFull, None)
        ));
        while peer.host.transmit().is_some() {}
    }
    let memory = peer.host.tcp.memory;
    assert!(memory <= 5 * 65_536, "{memory}");
    assert!(refused > 20_000, "{refused} of 30,000 refused");
    assert_eq!(peer.host.state(id), State::Established);
}

//= rfc7323#5.4
/// Timestamps tell nobody how long the host is up, nor which connections are of one host.
#[test]
fn timestamps_of_two_connections_have_nothing_in_common() {
    let offset = |port: u16| {
        let opening = alloc::format!("port {port}\n{STAMPS}");
        let peer = super::peer::story(&opening);
        tcb(&peer).ts.offset
    };
    let offsets: alloc::collections::BTreeSet<u32> = (40_000..40_020).map(offset).collect();
    assert_eq!(offsets.len(), 20);
    let sorted: Vec<u32> = offsets.into_iter().collect();
    let closest = sorted.windows(2).map(|w| w[1] - w[0]).min().unwrap();
    assert!(closest > 1000, "{closest} ms apart");
}
