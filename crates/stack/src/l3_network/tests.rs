//! Fragments there and back.
use std::vec::Vec;

use bytes::Bytes;
use heptad_wire::ipv4::{Ipv4Header, Options};
use heptad_wire::{Chunk, PacketBuf, Pool, Sum};
use proptest::prelude::*;

use super::fragment::fragment;
use super::reassembly::{self, Collected, Fragment, Header, Reassembly};
use crate::l1_physical::PortId;
use crate::{Counters, Cx, DropReason, EventLog, Instant, Rng};

/// A reassembly and what its `Cx` brings.
struct Bench {
    reassembly: Reassembly,
    rng: Rng,
    pool: Pool,
    events: EventLog,
    counters: Counters,
    now: Instant,
}
impl Bench {
    fn new() -> Self {
        let (mut rng, mut pool) = (Rng::from_seed([3; 32]), Pool::new(1));
        let (mut events, mut counters) = (EventLog::default(), Counters::default());
        let reassembly = Reassembly::new(&mut Cx {
            now: Instant::ZERO,
            rng: &mut rng,
            pool: &mut pool,
            events: &mut events,
            counters: &mut counters,
        });
        Self {
            reassembly,
            rng,
            pool,
            events,
            counters,
            now: Instant::ZERO,
        }
    }
    fn with<R>(&mut self, verb: impl FnOnce(&mut Reassembly, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            pool: &mut self.pool,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        verb(&mut self.reassembly, &mut cx)
    }
    /// A packet from its header on.
    fn packet(&mut self, header: &Ipv4Header, payload: &[u8]) -> PacketBuf {
        let mut packet = self.pool.packet();
        packet.append(Chunk::copy_from(payload));
        header.emit(packet.push(header.len()));
        packet
    }
    fn collect(&mut self, mut packet: PacketBuf) -> Collected {
        let header = Header::V4(pull_header(&mut packet));
        let port = PortId(1);
        let group = false;
        self.with(|reassembly, cx| {
            let fragment = Fragment {
                header,
                port,
                group,
                packet,
            };
            reassembly.collect(fragment, cx)
        })
    }
    /// A fragment of datagram `id` from `src`.
    fn piece(&mut self, src: u32, id: u16, offset: u16, data: &[u8], more: bool) -> Collected {
        let header = Ipv4Header {
            id,
            src: src.into(),
            fragment_offset: offset,
            more_fragments: more,
            ..header(data.len(), Options::NONE)
        };
        let packet = self.packet(&header, data);
        self.collect(packet)
    }
    fn drops(&self, reason: DropReason) -> u64 {
        self.counters.drops(reason)
    }
}
fn pull_header(packet: &mut PacketBuf) -> Ipv4Header {
    let len = Ipv4Header::len_of(packet.peek(1).unwrap()[0]).unwrap();
    Ipv4Header::parse(packet.pull(len).unwrap()).unwrap()
}
fn header(payload: usize, options: Options) -> Ipv4Header {
    let ends = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    Ipv4Header {
        id: 77,
        dont_fragment: false,
        ttl: 9,
        options,
        ..Ipv4Header::plain(ends, 17, options.as_bytes().len() + payload)
    }
}
fn bytes_of(packet: &PacketBuf) -> Vec<u8> {
    let mut out = Vec::new();
    packet.write_to(&mut out);
    out
}
fn refusal(collected: &Collected) -> Option<DropReason> {
    match collected {
        Collected::Refused(reason) => Some(*reason),
        _ => None,
    }
}

proptest! {
    #[test]
    fn fragments_in_any_order_with_duplicates_give_the_datagram_back(
        payload in prop::collection::vec(any::<u8>(), 200..5000),
        mtus in (68u32..600, 68u32..1500),
        options in prop_oneof![
            Just(Options::NONE),
            Just(Options::new(&[148, 4, 0, 0, 7, 3, 4, 1]).unwrap()),
        ],
        order in any::<u64>(),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let mut bench = Bench::new();
        let header = header(payload.len(), options);
        let packet = bench.packet(&header, &payload);
        // First by one router, then by a narrower or wider one.
        let (first_mtu, second_mtu) = (mtus.1, mtus.0);
        let mut pieces = Vec::new();
        for piece in bench.with(|_, cx| fragment(packet, first_mtu, cx)).unwrap() {
            prop_assert!(piece.len() <= first_mtu as usize);
            if piece.len() <= second_mtu as usize {
                pieces.push(piece);
                continue;
            }
            let smaller = bench.with(|_, cx| fragment(piece, second_mtu, cx)).unwrap();
            pieces.extend(smaller);
        }
        let mut ids: Vec<_> = pieces.iter().map(PacketBuf::id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), pieces.len());
        for index in twice {
            let again = index.get(&pieces).duplicate();
            pieces.push(again);
        }
        let mut rng = Rng::from_seed([order as u8; 32]);
        for i in (1..pieces.len()).rev() {
            pieces.swap(i, rng.below(i as u64 + 1) as usize);
        }
        // When all its pieces came twice it may become whole twice.
        let mut wholes = 0;
        for piece in pieces {
            match bench.collect(piece) {
                Collected::Whole(found, packet) => {
                    wholes += 1;
                    prop_assert_eq!(found, Header::V4(header));
                    prop_assert_eq!(&bytes_of(&packet), &payload);
                }
                Collected::Waiting => {}
                Collected::Refused(reason) => {
                    prop_assert_eq!(reason, DropReason::FragmentDuplicate);
                }
            }
        }
        prop_assert!(wholes >= 1);
    }
}

#[test]
fn fragments_share_the_payload_and_only_the_first_has_all_options() {
    let mut bench = Bench::new();
    let options = Options::new(&[148, 4, 0, 0, 7, 3, 4, 1]).unwrap();
    let data = Bytes::from(std::vec![5; 3000]);
    let mut packet = bench.pool.packet();
    packet.append(Chunk::new(data.clone(), 3000));
    let header = header(3000, options);
    header.emit(packet.push(28));
    let pieces: Vec<_> = bench
        .with(|_, cx| fragment(packet, 1500, cx))
        .unwrap()
        .into_iter()
        .collect();
    let lens: Vec<_> = pieces.iter().map(PacketBuf::len).collect();
    assert_eq!(lens, [28 + 1472, 24 + 1472, 24 + 56]);
    assert_eq!(pieces[1].body()[0].bytes().as_ptr(), data[1472..].as_ptr());
}

#[test]
fn an_mtu_without_room_for_eight_bytes_is_refused() {
    let mut bench = Bench::new();
    let packet = bench.packet(&header(100, Options::NONE), &[1; 100]);
    let before = bytes_of(&packet);
    let Err(packet) = bench.with(|_, cx| fragment(packet, 27, cx)) else {
        panic!("no room for 8 bytes");
    };
    assert_eq!(bytes_of(&packet), before);
}

#[test]
fn an_overlap_condemns_the_datagram_until_its_time_is_over() {
    let mut bench = Bench::new();
    assert_eq!(refusal(&bench.piece(1, 5, 0, &[1; 16], true)), None);
    // The same again is only a duplicate.
    let again = bench.piece(1, 5, 0, &[1; 16], true);
    assert_eq!(refusal(&again), Some(DropReason::FragmentDuplicate));
    let other = bench.piece(1, 5, 8, &[2; 16], true);
    assert_eq!(refusal(&other), Some(DropReason::FragmentOverlap));
    // The first piece is gone with it, and nothing more is taken.
    assert_eq!(bench.drops(DropReason::FragmentOverlap), 1);
    let rest = bench.piece(1, 5, 16, &[3; 8], false);
    assert_eq!(refusal(&rest), Some(DropReason::FragmentOverlap));
    bench.now = Instant::ZERO + reassembly::TIMEOUT;
    let expired = bench.with(|r, cx| r.poll_expired(cx)).unwrap();
    assert!(expired.first.is_none());
    assert_eq!(refusal(&bench.piece(1, 5, 0, &[1; 16], true)), None);
}

#[test]
fn fragments_that_contradict_each_other_are_refused() {
    let table: &[(&str, u16, usize, bool, DropReason)] = &[
        (
            "ragged but not the last",
            24,
            7,
            true,
            DropReason::FragmentMalformed,
        ),
        ("empty", 24, 0, true, DropReason::FragmentMalformed),
        (
            "beyond 64 KB",
            65_528,
            8,
            false,
            DropReason::FragmentMalformed,
        ),
        ("behind the last", 48, 8, true, DropReason::FragmentOverlap),
        ("another last", 8, 8, false, DropReason::FragmentMalformed),
    ];
    for (what, offset, len, more, reason) in table {
        let mut bench = Bench::new();
        // 0..8 and the last, 32..40.
        assert_eq!(refusal(&bench.piece(1, 5, 0, &[1; 8], true)), None);
        assert_eq!(refusal(&bench.piece(1, 5, 32, &[1; 8], false)), None);
        let refused = bench.piece(1, 5, *offset, &std::vec![2; *len], *more);
        assert_eq!(refusal(&refused), Some(*reason), "{what}");
    }
}

#[test]
fn after_thirty_seconds_the_first_fragment_is_quoted_if_it_is_there() {
    let mut bench = Bench::new();
    bench.piece(1, 5, 8, &[1; 8], false);
    bench.piece(1, 6, 0, &[7; 16], true);
    assert_eq!(
        bench.reassembly.poll_at(),
        Some(Instant::ZERO + reassembly::TIMEOUT)
    );
    bench.now = Instant::ZERO + reassembly::TIMEOUT;
    let without = bench.with(|r, cx| r.poll_expired(cx)).unwrap();
    assert!(without.first.is_none());
    let quote = bench
        .with(|r, cx| r.poll_expired(cx))
        .unwrap()
        .first
        .unwrap();
    let id = quote.bytes().get(4..6);
    assert_eq!((id, quote.data()), (Some(&[0, 6][..]), &[7; 16][..]));
    assert!(bench.with(|r, cx| r.poll_expired(cx)).is_none());
    assert_eq!(bench.drops(DropReason::ReassemblyTimeout), 2);
    assert_eq!(bench.reassembly.poll_at(), None);
}

#[test]
fn one_source_can_not_fill_the_table_and_memory_is_bounded() {
    let mut bench = Bench::new();
    for id in 0..reassembly::PER_SOURCE {
        assert_eq!(refusal(&bench.piece(1, id, 0, &[1; 8], true)), None);
    }
    let one_more = bench.piece(1, 1000, 0, &[1; 8], true);
    assert_eq!(refusal(&one_more), Some(DropReason::ReassemblyFull));
    // Others may; when memory ends the oldest datagrams make room.
    for src in 2..1500 {
        let piece = bench.piece(src, 1, 0, &[1; 8192], true);
        assert_eq!(refusal(&piece), None);
        assert!(bench.reassembly.memory() <= reassembly::MEMORY);
    }
    assert!(bench.drops(DropReason::ReassemblyFull) > 900);
    // And the first source has its places back.
    assert_eq!(refusal(&bench.piece(1, 1000, 0, &[1; 8], true)), None);
}

#[test]
fn what_never_left_this_process_stays_verified_and_one_foreign_piece_spoils_it() {
    for (foreign, expected) in [(false, Sum::Verified), (true, Sum::Unverified)] {
        let mut bench = Bench::new();
        bench.piece(1, 5, 0, &[1; 8], true);
        let last = Ipv4Header {
            id: 5,
            src: 1.into(),
            fragment_offset: 8,
            ..header(4, Options::NONE)
        };
        let mut packet = bench.packet(&last, &[2; 4]);
        if foreign {
            packet.set_sum(Sum::Unverified);
        }
        let Collected::Whole(_, packet) = bench.collect(packet) else {
            panic!("both pieces are there");
        };
        assert_eq!(packet.sum(), expected);
    }
}

/// RFC 3168 5.3: codepoints of two fragments, and of the datagram; `None`: it is discarded.
#[test]
fn a_datagram_is_marked_if_a_fragment_is_and_none_that_cannot_be_came() {
    let (not_ect, ect1, ect0, ce) = (0, 1, 2, 3);
    let rows = [
        (not_ect, not_ect, Some(not_ect)),
        (ect0, ect0, Some(ect0)),
        (ect0, ce, Some(ce)),
        (ce, ect1, Some(ce)),
        (ect0, ect1, Some(ect0)),
        (not_ect, ce, None),
        (ect0, not_ect, None),
    ];
    for (first, second, whole) in rows {
        let mut bench = Bench::new();
        let fragment = |offset, more, tos| Ipv4Header {
            fragment_offset: offset,
            more_fragments: more,
            tos: 0xb8 | tos,
            ..header(8, Options::NONE)
        };
        let mut came = Collected::Waiting;
        for header in [fragment(0, true, first), fragment(8, false, second)] {
            let packet = bench.packet(&header, &[7; 8]);
            came = bench.collect(packet);
        }
        let is = match came {
            Collected::Whole(Header::V4(header), _) => Ok(header.tos),
            Collected::Refused(reason) => Err(reason),
            _ => panic!("{first} {second}"),
        };
        let expected = whole.map(|bits| 0xb8 | bits);
        let expected = expected.ok_or(DropReason::FragmentMarks);
        assert_eq!(is, expected, "{first} {second}");
        // the first is counted here, the second by whoever brought it
        let drops = bench.drops(DropReason::FragmentMarks);
        assert_eq!(drops, u64::from(whole.is_none()));
        assert_eq!(bench.reassembly.memory(), 0);
    }
}
