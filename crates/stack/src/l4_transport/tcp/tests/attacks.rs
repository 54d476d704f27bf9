//! What a stranger may try: RFC 5961, arbitrary bytes, floods; and what idle connections cost.
use proptest::prelude::{any, proptest};

use super::handshake::{PLAIN, after};
use super::*;

#[test]
fn only_a_rst_at_rcv_nxt_resets() {
    after(
        PLAIN,
        "
        < R 2:2(0) win 0
        drop TcpRstChallenged
        > . 1:1(0) ack 1
        < R 100001:100001(0) win 0
        drop TcpOutOfWindow
        < R 0:0(0) win 0
        drop TcpOutOfWindow
        state ESTABLISHED
        < R 1:1(0) win 0
        state CLOSED
        ready = 31
        write 5 = ConnectionReset
        write 5 = BrokenPipe
        read 5 = 0
    ",
    );
}

#[test]
fn what_was_received_before_a_rst_can_still_be_read() {
    after(
        PLAIN,
        "
        < . 1:101(100) ack 1 win 32792
        > . 1:1(0) ack 101
        < R 101:101(0) win 0
        read 1000 = 100
        read 1000 = ConnectionReset
        read 1000 = 0
    ",
    );
}

#[test]
fn a_syn_on_a_connection_is_challenged_twice_a_second_at_most() {
    let peer = after(
        PLAIN,
        "
        < S 1:1(0) win 1000 <mss 1000>
        drop TcpSynChallenged
        > . 1:1(0) ack 1
        +.1 < S 5:5(0) win 1000 <mss 1000>
        drop TcpSynChallenged
        +.5 < S 500000:500000(0) win 1000 <mss 1000>
        drop TcpSynChallenged
        > . 1:1(0) ack 1
        state ESTABLISHED
    ",
    );
    assert_eq!(peer.host.count(Counter::TcpExtTcpSynChallenge), 3);
    assert_eq!(peer.host.count(Counter::TcpExtTcpChallengeAck), 2);
}

#[test]
fn acks_of_the_far_future_and_past_are_answered_and_discarded() {
    after(
        PLAIN,
        "
        < . 1:1(0) ack 5000 win 32792
        drop TcpAckInvalid
        > . 1:1(0) ack 1
        +1 < . 1:1(0) ack -90000 win 32792
        drop TcpAckInvalid
        > . 1:1(0) ack 1
        < . 1:1(0) ack -5 win 32792
    ",
    );
}

#[test]
fn a_segment_without_ack_is_not_taken() {
    after(
        PLAIN,
        "
        < - 1:1001(1000) win 20000
        drop TcpNoAck
        read 10 = WouldBlock
        < . 1:1001(1000) ack 1 win 20000
        > . 1:1(0) ack 1001
        read 2000 = 1000
    ",
    );
}

#[test]
fn a_bad_checksum_is_counted_and_discarded() {
    let mut host = Host::new(A, 1, Config::default());
    host.listen(80, 1, Options::default());
    let mut header = blank_header();
    header.flags = Flags::SYN;
    let ends = (at(B, 1), at(A, 80));
    for (wrong, expected) in [(0u16, 0), (1, 1)] {
        let mut good = arrival(&mut host.pool, ends, header, b"");
        let sum = heptad_wire::checksum::add(
            good.packet.ones_complement(),
            heptad_wire::checksum::pseudo_header(B, A, 6, 20),
        );
        header.checksum = (!sum) ^ wrong;
        good = arrival(&mut host.pool, ends, header, b"");
        header.checksum = 0;
        good.packet.set_sum(heptad_wire::Sum::Unverified);
        let verdict = host.receive(good);
        let dropped = matches!(verdict, Up::Drop(DropReason::TcpChecksum, None));
        assert_eq!(dropped, wrong != 0);
        assert_eq!(host.count(Counter::TcpInCsumErrors), expected);
    }
}

#[test]
fn nothing_is_answered_to_a_group_address() {
    let mut host = Host::new(A, 1, Config::default());
    let mut header = blank_header();
    header.flags = Flags::SYN;
    let mut segment = arrival(&mut host.pool, (at(B, 1), at(A, 80)), header, b"");
    segment.group = true;
    assert!(matches!(
        host.receive(segment),
        Up::Drop(DropReason::TcpNotUnicast, None)
    ));
}

#[test]
fn the_syn_queue_is_bounded() {
    let without = Config {
        syn_cookies: SynCookies::Never,
        ..Config::default()
    };
    let mut host = Host::new(A, 1, without);
    let listener = host.listen(80, 255, Options::default());
    let mut refused = 0;
    for port in 1..=2000 {
        let mut header = blank_header();
        header.flags = Flags::SYN;
        let segment = arrival(&mut host.pool, (at(B, port), at(A, 80)), header, b"");
        match host.receive(segment) {
            Up::Drop(DropReason::TcpSynQueueFull, None) => refused += 1,
            Up::Reply(Reply::Transport(_)) => {}
            _ => panic!("neither taken nor refused"),
        }
    }
    assert_eq!(refused, 2000 - 256);
    host.with(|t, cx| t.close_listener(listener, cx));
    assert_eq!(host.tcp.openings.len(), 0);
}

#[test]
fn the_hosts_memory_is_bounded() {
    let mut peer = super::peer::play_with(
        Config {
            memory: 5000,
            ..Config::default()
        },
        Options::default(),
        &alloc::format!(
            "{PLAIN}
        < . 1:3001(3000) ack 1 win 32792
        > . 1:1(0) ack 3001
        < . 3001:6001(3000) ack 1 win 32792
        > . 1:1(0) ack 6001
        < . 6001:9001(3000) ack 1 win 32792
        drop HostMemory
        read 10000 = 6000
        < . 6001:9001(3000) ack 1 win 32792
        > . 1:1(0) ack 9001
        read 10000 = 3000
    "
        ),
    );
    assert_eq!(peer.host.tcp.memory, 0);
    peer.play("close\n> F. 1:1(0) ack 9001");
}

#[test]
fn tiny_segments_do_not_pin_more_than_the_buffer_allows() {
    let mut peer = after(PLAIN, "");
    let id = peer.conn.unwrap();
    let irs = 0xffff_f000u32;
    let iss = match peer.host.tcp.conn(id).unwrap() {
        Conn::Open(tcb) => tcb.snd.nxt.0,
        Conn::Opening(_) => unreachable!(),
    };
    let mut most = 0;
    // in order, then every other byte
    for i in 0..40_000u32 {
        let position = if i < 20_000 {
            i
        } else {
            20_000 + 2 * (i - 20_000) + 1
        };
        let mut header = blank_header();
        header.flags = Flags::ACK;
        header.seq = irs.wrapping_add(1 + position);
        header.ack = iss;
        header.window = 1000;
        let big = Bytes::from(alloc::vec![0u8; 4096]).slice(..1);
        let mut segment = arrival(
            &mut peer.host.pool,
            (at(B, 40_000), at(A, 8080)),
            header,
            b"",
        );
        segment.packet.append(Chunk::new(big, 4096));
        peer.host.receive(segment);
        while peer.host.transmit().is_some() {}
        most = most.max(peer.host.tcp.memory);
    }
    assert!(most <= 5 * 65_536 + 8192, "{most}");
}

#[test]
fn idle_connections_are_not_touched() {
    let mut host = Host::new(A, 1, Config::default());
    let count = 100_000u32;
    let mut last = None;
    for i in 0..count {
        let remote = at(
            IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + i / 50_000)),
            1000 + (i % 50_000) as u16,
        );
        let mut header = blank_header();
        header.flags = Flags::SYN | Flags::ACK;
        let id = host.connect(5000, remote, Options::default());
        let syn = read(host.transmit().unwrap());
        header.ack = syn.header.seq.wrapping_add(1);
        header.window = 1000;
        let answer = arrival(&mut host.pool, (remote, at(A, 5000)), header, b"");
        assert!(matches!(host.receive(answer), Up::Done));
        assert!(host.transmit().is_some(), "the ACK");
        assert!(host.transmit().is_none());
        last = Some(id);
    }
    assert_eq!(host.tcp.conns.len(), count as usize);
    assert!(!host.tcp.wants_transmit(PORT));
    // the SYNs' timers are stale: once they have come up, nobody is in the agenda
    host.now = Instant::from_nanos(2_000_000_000);
    host.with(|t, cx| t.on_timeout(cx));
    assert_eq!(host.tcp.agenda.len(), 0);
    while host.tcp.poll_ready().is_some() {}
    // one of them works: only it is in any list
    let id = last.unwrap();
    host.with(|t, cx| t.send(id, b"hello", cx)).unwrap();
    assert!(host.tcp.wants_transmit(PORT));
    assert_eq!(read(host.transmit().unwrap()).text, b"hello");
    assert_eq!(host.transmit().map(|_| ()), None);
    assert_eq!(host.tcp.agenda.len(), 1);
}

#[test]
fn an_idle_connection_is_small() {
    let slot = core::mem::size_of::<Conn>();
    let tcb = core::mem::size_of::<super::super::tcb::Tcb>();
    assert!(slot + tcb <= 1200, "{slot} + {tcb}");
    assert!(core::mem::size_of::<super::super::time_wait::TimeWait>() <= 160);
    assert!(core::mem::size_of::<super::super::opening::Opening>() <= 288);
}

proptest! {
    #[test]
    fn arbitrary_segments_never_panic(
        segments in proptest::collection::vec((any::<[u8; 20]>(), proptest::collection::vec(any::<u8>(), 0..80), 0u8..8), 1..40),
        near in any::<bool>(),
    ) {
        let mut peer = after(super::handshake::SACK, "write 5000\n> P. 1:5001(5000) ack 1");
        let id = peer.conn.unwrap();
        let una = match peer.host.tcp.conn(id).unwrap() {
            Conn::Open(tcb) => tcb.snd.una.0,
            Conn::Opening(_) => unreachable!(),
        };
        for (mut head, tail, kind) in segments {
            head[..4].copy_from_slice(&[0x9c, 0x40, 0x1f, 0x90]);
            if near {
                let seq = 0xffff_f001u32.wrapping_add(u32::from(head[4]) * 16);
                head[4..8].copy_from_slice(&seq.to_be_bytes());
                let ack = una.wrapping_add(u32::from(head[8]) * 20);
                head[8..12].copy_from_slice(&ack.to_be_bytes());
                head[13] |= 0x10;
            }
            head[12] = head[12].max(0x50);
            let mut bytes = head.to_vec();
            bytes.extend(&tail);
            let mut packet = peer.host.pool.from_bytes(bytes.into());
            packet.set_sum(heptad_wire::Sum::Verified);
            peer.host.receive(Arrival {
                src: B, dst: A, protocol: 6, ttl: 1, tos: 0, port: PORT, group: false, packet,
            });
            while peer.host.transmit().is_some() {}
            peer.host.now += ms(u64::from(kind) * 60);
            peer.host.with(|t, cx| t.on_timeout(cx));
            while peer.host.transmit().is_some() {}
        }
    }
}
