use super::*;
use heptad_stack::wire::{Chunk, MacAddr, Sum};
use proptest::prelude::*;

/// A frame with an IPv4 header and this many bytes of payload.
fn frame(pool: &mut Pool, payload: usize) -> PacketBuf {
    let mut frame = pool.packet();
    frame.append(Chunk::copy_from(&vec![0; payload]));
    let ends = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let header = Ipv4Header::plain(ends, 253, payload);
    header.emit(frame.push(20));
    ethernet(frame, EtherType::IPV4)
}
fn ethernet(mut frame: PacketBuf, ethertype: EtherType) -> PacketBuf {
    let header = EthernetHeader {
        dst: MacAddr([2, 0, 0, 0, 0, 2]),
        src: MacAddr([2, 0, 0, 0, 0, 1]),
        ethertype,
    };
    header.emit(frame.push(HEADER_LEN));
    frame
}
fn way(asked: Impairments) -> Way {
    Way::new(42, "a-b", "forward", 9, asked)
}
fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}
fn bytes(frame: &PacketBuf) -> Vec<u8> {
    let mut out = Vec::new();
    frame.write_to(&mut out);
    out
}
/// Arrivals as (nanoseconds, number of the packet, what happened to it), in order.
fn arrivals(way: &mut Way) -> Vec<(u64, u64, Mark)> {
    let mut all = Vec::new();
    while let Some(at) = way.next_arrival() {
        let InFlight { frame, mark } = way.arrive(at).expect("it is due");
        all.push((at.as_nanos(), frame.id().number(), mark));
    }
    all
}
/// Sends `n` frames, a millisecond apart; the numbers of those that were lost, and the arrivals.
fn run(asked: Impairments, n: u64) -> (Vec<u64>, Vec<(u64, u64, Mark)>, Way) {
    let mut way = way(asked);
    let mut pool = Pool::new(1);
    let sends: Vec<bool> = (0..n)
        .map(|i| way.send(frame(&mut pool, 100), 1500, at(i * 1000)).is_err())
        .collect();
    let lost = (0..n).filter(|i| sends[*i as usize]).collect();
    let arrived = arrivals(&mut way);
    (lost, arrived, way)
}
fn applied(way: &Way, kind: &str) -> (u64, u64) {
    let rows = way.faults("a-b", "a → b");
    let row = rows.iter().find(|row| row.kind == kind).expect(kind);
    (row.applied, row.n)
}

#[test]
fn a_bare_cable_takes_a_microsecond() {
    let (lost, arrived, way) = run(Impairments::default(), 2);
    assert_eq!(lost, []);
    let plain = Mark::default();
    assert_eq!(arrived, [(1_000, 0, plain), (1_001_000, 1, plain)]);
    assert_eq!(way.faults("a-b", "a → b"), []);
}

#[test]
fn a_rate_charges_24_bytes_more_and_its_queue_is_bounded() {
    let asked = Impairments {
        rate: Some(8_000_000),
        queue: 2,
        ..Impairments::default()
    };
    let mut way = way(asked);
    let mut pool = Pool::new(1);
    // 14 + 20 + 42 + 24 = 100 bytes take 100 us at 8 Mbit.
    let mut send = |micros| way.send(frame(&mut pool, 42), 1500, at(micros));
    assert_eq!([send(0), send(0), send(0)], [Ok(()); 3]);
    assert_eq!(send(0), Err(Cause::QueueFull(2)));
    assert_eq!(send(150), Ok(()), "the second has begun to leave");
    let times: Vec<_> = arrivals(&mut way).iter().map(|a| a.0 / 1000).collect();
    assert_eq!(times, [101, 201, 301, 401]);
    assert_eq!(applied(&way, "queue"), (1, 5));
}

#[test]
fn a_rate_is_exact_to_the_nanosecond() {
    // 14 + 20 + 43 + 24 = 101 bytes.
    for (rate, nanos) in [
        (3_000_000, 269_334),
        (10_000_000, 80_800),
        (1_000_000_000, 808),
    ] {
        let asked = Impairments {
            rate: Some(rate),
            queue: 1000,
            ..Impairments::default()
        };
        let mut way = way(asked);
        let mut pool = Pool::new(1);
        for _ in 0..3 {
            way.send(frame(&mut pool, 43), 1500, at(0)).unwrap();
        }
        let times: Vec<_> = arrivals(&mut way).iter().map(|a| a.0).collect();
        let expected = [1, 2, 3].map(|n| n * nanos + 1000);
        assert_eq!(times, expected, "{rate} bits a second");
    }
}

#[test]
fn jitter_spreads_over_its_whole_range_and_never_reorders() {
    let asked = Impairments {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        ..Impairments::default()
    };
    let (_, arrived, _) = run(asked, 20_000);
    assert!(
        arrived
            .windows(2)
            .all(|w| w[0].0 <= w[1].0 && w[0].1 < w[1].1)
    );
    let delay = |(at, n, _): &(u64, u64, Mark)| at - n * 1_000_000;
    let (least, most) = (
        arrived.iter().map(delay).min().unwrap(),
        arrived.iter().map(delay).max().unwrap(),
    );
    assert!((15_000_000..15_500_000).contains(&least), "{least}");
    assert!((24_500_000..=25_000_000).contains(&most), "{most}");
}

#[test]
fn a_reordered_frame_is_held_back_while_others_pass() {
    let asked = Impairments {
        delay: Duration::from_millis(1),
        reorder: 0.2,
        reorder_delay: Duration::from_micros(2500),
        ..Impairments::default()
    };
    let (lost, arrived, way) = run(asked, 1000);
    assert_eq!((lost.len(), arrived.len()), (0, 1000));
    let overtaken = arrived.windows(2).filter(|w| w[0].1 > w[1].1).count();
    assert!(overtaken > 100, "{overtaken}");
    for (at, n, mark) in &arrived {
        let held = mark.held.map_or(0, |d| d.as_nanos() as u64);
        assert_eq!(*at, n * 1_000_000 + 1_000_000 + held);
    }
    let (applied, n) = applied(&way, "reorder");
    assert!(
        (150..250).contains(&applied) && n == 1000,
        "{applied} of {n}"
    );
}

#[test]
fn a_duplicate_follows_with_an_id_of_the_cable() {
    let asked = Impairments {
        duplicate: 1.0,
        ..Impairments::default()
    };
    let mut way = way(asked);
    way.send(frame(&mut Pool::new(1), 10), 1500, at(0)).unwrap();
    let first = way.arrive(at(1)).unwrap();
    let second = way.arrive(at(1)).unwrap();
    assert_eq!(first.frame.id(), PacketId::new(1, 0));
    assert_eq!(second.frame.id(), PacketId::new(9, 0));
    assert_eq!(first.mark, Mark::default());
    assert_eq!(second.mark.duplicate, Some(first.frame.id()));
    assert_eq!(bytes(&first.frame), bytes(&second.frame));
}

#[test]
fn corruption_flips_exactly_the_bit_that_the_mark_names() {
    for (undetected, from) in [(false, 0), (true, 34 * 8)] {
        let asked = Impairments {
            corrupt: if undetected { 0.0 } else { 1.0 },
            corrupt_undetected: if undetected { 1.0 } else { 0.0 },
            ..Impairments::default()
        };
        let mut way = way(asked);
        let mut pool = Pool::new(1);
        let clean = bytes(&frame(&mut pool, 50));
        let mut bits = Vec::new();
        for _ in 0..2000 {
            way.send(frame(&mut pool, 50), 1500, at(0)).unwrap();
            let InFlight { frame, mark } = way.arrive(at(1)).unwrap();
            let bit = if undetected {
                mark.slipped
            } else {
                mark.corrupted
            }
            .expect("a bit");
            let mut expected = clean.clone();
            expected[bit as usize / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(bytes(&frame), expected);
            assert_eq!(frame.sum(), Sum::Unverified);
            bits.push(bit);
        }
        bits.sort_unstable();
        bits.dedup();
        let len = clean.len() as u32 * 8;
        assert!(bits[0] >= from && bits[0] < from + 40, "{}", bits[0]);
        assert!(bits[bits.len() - 1] < len && bits[bits.len() - 1] > len - 40);
    }
}

#[test]
fn what_slips_past_the_frame_check_needs_an_ip_payload() {
    let asked = Impairments {
        corrupt_undetected: 1.0,
        ..Impairments::default()
    };
    let mut way = way(asked);
    let mut pool = Pool::new(1);
    let mut arp = pool.packet();
    arp.append(Chunk::copy_from(&[0; 28]));
    for frame in [
        ethernet(arp, EtherType::ARP),
        frame(&mut pool, 0),
        pool.packet(),
    ] {
        let clean = bytes(&frame);
        way.send(frame, 1500, at(0)).unwrap();
        assert_eq!(bytes(&way.arrive(at(1)).unwrap().frame), clean);
    }
    assert_eq!(applied(&way, "corrupt_undetected"), (0, 0));
    // Padding behind the IP packet is no payload.
    let mut padded = frame(&mut pool, 1);
    padded.append(Chunk::copy_from(&[0; 25]));
    way.send(padded, 1500, at(0)).unwrap();
    let bit = way.arrive(at(1)).unwrap().mark.slipped.unwrap();
    assert!((34 * 8..35 * 8).contains(&bit), "{bit}");
}

#[test]
fn going_down_loses_what_is_under_way_and_what_comes() {
    let asked = Impairments {
        delay: Duration::from_secs(1),
        ..Impairments::default()
    };
    let mut way = way(asked.clone());
    let mut pool = Pool::new(1);
    way.send(frame(&mut pool, 1), 1500, at(0)).unwrap();
    let down = Impairments {
        down: true,
        ..asked.clone()
    };
    assert_eq!(way.set(down.clone()).len(), 1);
    assert_eq!(way.next_arrival(), None);
    assert_eq!(way.send(frame(&mut pool, 1), 1500, at(5)), Err(Cause::Down));
    assert_eq!(way.set(asked.clone()).len(), 0);
    assert_eq!(way.send(frame(&mut pool, 1), 1500, at(9)), Ok(()));
    assert_eq!(arrivals(&mut way).len(), 1);
    assert_eq!(applied(&way, "down"), (2, 2));
    // What was lost under way delays nobody behind it.
    way.send(frame(&mut pool, 1), 1500, at(20)).unwrap();
    way.set(down);
    way.set(Impairments::default());
    way.send(frame(&mut pool, 1), 1500, at(30)).unwrap();
    assert_eq!(way.next_arrival(), Some(at(31)));
}

#[test]
fn a_frame_longer_than_the_mtu_does_not_pass() {
    let mut way = way(Impairments::default());
    let mut pool = Pool::new(1);
    assert_eq!(way.send(frame(&mut pool, 1480), 1500, at(0)), Ok(()));
    let long = Cause::TooLong {
        len: 1501,
        mtu: 1500,
    };
    assert_eq!(way.send(frame(&mut pool, 1481), 1500, at(0)), Err(long));
    assert_eq!(applied(&way, "too_long"), (1, 1));
    // A tag takes nothing of it.
    let tagged = |pool: &mut Pool, payload: usize| {
        let mut packet = pool.packet();
        packet.append(Chunk::copy_from(&vec![0; payload + TAG_LEN]));
        ethernet(packet, EtherType::VLAN)
    };
    let (fits, long) = (tagged(&mut pool, 1500), tagged(&mut pool, 1501));
    assert_eq!(way.send(fits, 1500, at(0)), Ok(()));
    assert!(way.send(long, 1500, at(0)).is_err());
}

#[test]
fn packets_in_flight_are_bounded() {
    let asked = Impairments {
        delay: Duration::from_secs(3600),
        ..Impairments::default()
    };
    let mut way = way(asked);
    let mut pool = Pool::new(1);
    let one = frame(&mut pool, 0);
    for _ in 0..IN_FLIGHT_BOUND {
        way.send(one.duplicate(), 1500, at(0)).unwrap();
    }
    assert_eq!(way.send(one, 1500, at(0)), Err(Cause::TooManyInFlight));
}

#[test]
fn changing_one_chance_leaves_the_frames_of_the_others_alone() {
    let asked = Impairments {
        delay: Duration::from_millis(10),
        jitter: Duration::from_micros(200),
        loss: Loss::Random(0.1),
        duplicate: 0.1,
        corrupt: 0.1,
        corrupt_undetected: 0.1,
        reorder: 0.1,
        ..Impairments::default()
    };
    let lost = |asked: &Impairments| run(asked.clone(), 500).0;
    let without = |change: fn(&mut Impairments)| {
        let mut changed = asked.clone();
        change(&mut changed);
        changed
    };
    let base = lost(&asked);
    assert!(!base.is_empty());
    assert_eq!(lost(&without(|i| i.duplicate = 0.0)), base);
    assert_eq!(lost(&without(|i| i.corrupt = 0.9)), base);
    assert_eq!(lost(&without(|i| i.jitter = Duration::ZERO)), base);
    let corrupted = |asked: &Impairments| -> Vec<(u64, u32)> {
        let own = run(asked.clone(), 500)
            .1
            .into_iter()
            .filter(|a| a.2.duplicate.is_none());
        let mut all: Vec<_> = own.filter_map(|a| Some((a.1, a.2.corrupted?))).collect();
        all.sort_unstable();
        all
    };
    let more_loss = without(|i| i.loss = Loss::Random(0.3));
    let still_there = run(more_loss.clone(), 500).0;
    let mut expected = corrupted(&asked);
    expected.retain(|(n, _)| !still_there.contains(n));
    let mut found = corrupted(&more_loss);
    found.retain(|(n, _)| !base.contains(n));
    assert_eq!(found, expected, "the same frames, the same bits");
}

#[test]
fn what_was_asked_is_reported_with_what_was_applied() {
    let asked = Impairments {
        loss: Loss::Random(0.05),
        ..Impairments::default()
    };
    let (lost, _, mut way) = run(asked, 2000);
    let more = Impairments {
        loss: Loss::Random(0.25),
        ..Impairments::default()
    };
    way.set(more);
    let mut pool = Pool::new(2);
    let later = (0..2000).filter(|_| way.send(frame(&mut pool, 1), 1500, at(9_000_000)).is_err());
    let later = later.count();
    let rows = way.faults("a-b", "a → b");
    let [row] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (row.kind, row.asked.as_str()),
        ("loss", "5.0 %, then 25.0 %")
    );
    assert!((row.probability.unwrap() - 0.15).abs() < 1e-9);
    assert_eq!((row.applied, row.n), ((lost.len() + later) as u64, 4000));
}

#[test]
fn a_fault_that_was_taken_back_before_any_frame_came_is_well() {
    let lossy = Impairments {
        loss: Loss::Random(0.2),
        ..Impairments::default()
    };
    let mut way = way(lossy);
    way.set(Impairments::default());
    let mut pool = Pool::new(1);
    for _ in 0..20 {
        way.send(pool.packet(), 1500, at(0)).expect("carried");
    }
    let rows = way.faults("a-b", "a → b");
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.passed, row.unapplied()))
        .collect();
    assert_eq!(told, [(0, None)], "{rows:?}");
}

proptest! {
    #[test]
    fn no_frame_from_outside_makes_a_cable_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4),
        ethertype in prop::sample::select(vec![0x0800u16, 0x0806, 0x8100, 0x86dd]),
    ) {
        let mut way = way(Impairments {
            loss: Loss::Random(0.1),
            duplicate: 0.5,
            corrupt: 0.3,
            corrupt_undetected: 0.9,
            reorder: 0.3,
            rate: Some(1),
            ..Impairments::default()
        });
        let mut pool = Pool::new(1);
        let mut frame = pool.packet();
        for (i, mut piece) in pieces.into_iter().enumerate() {
            if i == 0 && piece.len() > 14 {
                piece[12..14].copy_from_slice(&ethertype.to_be_bytes());
            }
            frame.append(Chunk::copy_from(&piece));
        }
        for _ in 0..4 {
            let _ = way.send(frame.duplicate(), 1500, at(0));
        }
        let _ = arrivals(&mut way);
    }
}
