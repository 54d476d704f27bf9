//! The packet buffer against a slow, obvious model: a vector of bytes.
use bytes::Bytes;
use heptad_wire::{Chunk, PacketBuf, ParseError, Pool, Sum, checksum};
use proptest::collection::vec;
use proptest::prelude::*;

/// The most that linearising ever brings into the head.
const LONGEST_PEEK: usize = 144;

#[derive(Clone, Debug)]
enum Op {
    Push(Vec<u8>),
    Pull(usize),
    Peek(usize),
    Overwrite(usize, u8),
    PullAndPushBack(usize),
    Append(Vec<u8>),
    Truncate(usize),
    Duplicate,
    Corrupt(u32),
    TakePayload,
    Recycle,
}

fn op() -> impl Strategy<Value = Op> {
    let header = 0usize..70;
    prop_oneof![
        vec(any::<u8>(), 0..60).prop_map(Op::Push),
        header.clone().prop_map(Op::Pull),
        (0usize..200).prop_map(Op::Peek),
        (header.clone(), any::<u8>()).prop_map(|(n, byte)| Op::Overwrite(n, byte)),
        header.prop_map(Op::PullAndPushBack),
        vec(any::<u8>(), 0..300).prop_map(Op::Append),
        (0usize..1000).prop_map(Op::Truncate),
        Just(Op::Duplicate),
        (0u32..4000).prop_map(Op::Corrupt),
        Just(Op::TakePayload),
        Just(Op::Recycle),
    ]
}

fn contents(packet: &PacketBuf) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.write_to(&mut bytes);
    bytes
}

/// What `pull` and `peek` must answer.
fn expected(model: &[u8], in_head: usize, n: usize) -> Result<Vec<u8>, ParseError> {
    if n > model.len() {
        Err(ParseError::Truncated)
    } else if n > in_head && n > LONGEST_PEEK {
        Err(ParseError::HeaderTooLong)
    } else {
        Ok(model[..n].to_vec())
    }
}

struct Pair {
    pool: Pool,
    packet: PacketBuf,
    model: Vec<u8>,
    /// Earlier packets that share payload with this one and must not change.
    witnesses: Vec<(PacketBuf, Vec<u8>)>,
}

impl Pair {
    fn apply(&mut self, op: Op) {
        let in_head = self.packet.head().len();
        match op {
            Op::Push(header) => {
                if usize::from(self.packet.head_start()) >= header.len() {
                    self.packet.push(header.len()).copy_from_slice(&header);
                    self.model.splice(0..0, header);
                }
            }
            Op::Pull(n) => {
                let answer = expected(&self.model, in_head, n);
                assert_eq!(self.packet.pull(n).map(<[u8]>::to_vec), answer);
                if answer.is_ok() {
                    self.model.drain(..n);
                }
            }
            Op::Peek(n) => {
                let answer = expected(&self.model, in_head, n);
                assert_eq!(self.packet.peek(n).map(<[u8]>::to_vec), answer);
            }
            Op::Overwrite(n, byte) => {
                if let Ok(bytes) = self.packet.peek_mut(n) {
                    bytes.fill(byte);
                    self.model[..n].fill(byte);
                }
            }
            Op::PullAndPushBack(n) => {
                if self.packet.pull(n).is_ok() {
                    assert_eq!(self.packet.push(n), &self.model[..n]);
                }
            }
            Op::Append(payload) => {
                self.packet.append(Chunk::copy_from(&payload));
                self.model.extend(payload);
            }
            Op::Truncate(len) => {
                self.packet.truncate(len);
                self.model.truncate(len);
            }
            Op::Duplicate => {
                let twin = self.packet.duplicate();
                assert_eq!(twin.id(), self.packet.id());
                let old = core::mem::replace(&mut self.packet, twin);
                self.witnesses.push((old, self.model.clone()));
            }
            Op::Corrupt(bit) => {
                let packet = self.packet.duplicate();
                self.packet = packet.corrupt(bit);
                if let Some(byte) = self.model.get_mut(bit as usize / 8) {
                    *byte ^= 0x80 >> (bit % 8);
                }
                assert_eq!(self.packet.sum(), Sum::Unverified);
            }
            Op::TakePayload => {
                let chunks = self.packet.take_payload();
                let taken: Vec<u8> = chunks
                    .iter()
                    .flat_map(|chunk| chunk.bytes().to_vec())
                    .collect();
                assert_eq!(taken, self.model);
                self.model.clear();
            }
            Op::Recycle => {
                let fresh = self.pool.from_bytes(Bytes::copy_from_slice(&self.model));
                let old = core::mem::replace(&mut self.packet, fresh);
                self.pool.recycle(old);
            }
        }
    }

    fn check(&self) {
        let Self {
            packet,
            model,
            witnesses,
            ..
        } = self;
        assert_eq!(contents(packet), *model);
        assert_eq!(
            (packet.len(), packet.is_empty()),
            (model.len(), model.is_empty())
        );
        assert_eq!((packet.frames(), packet.frame_len()), (1, model.len()));
        assert_eq!(packet.ones_complement(), checksum::sum(model));
        for len in [0, 1, model.len() / 3, model.len() / 2, model.len() + 1] {
            let first = model.get(..len).unwrap_or(model);
            let sum = packet.ones_complement_of_first(len);
            assert_eq!(sum, checksum::sum(first), "the first {len}");
        }
        assert!(packet.body().iter().all(|chunk| !chunk.is_empty()));
        let pinned: usize = packet.body().iter().map(Chunk::pinned).sum();
        assert!(packet.true_size() >= pinned && packet.true_size() < pinned + 512);
        for (witness, bytes) in witnesses {
            assert_eq!(contents(witness), *bytes);
        }
    }
}

proptest! {
    #[test]
    fn a_packet_behaves_as_a_vector_of_bytes(outside in vec(any::<u8>(), 0..200), ours in any::<bool>(), ops in vec(op(), 0..40)) {
        let mut pool = Pool::new(3);
        let packet = if ours { pool.packet() } else { pool.from_bytes(outside.clone().into()) };
        let model = if ours { Vec::new() } else { outside };
        let mut pair = Pair { pool, packet, model, witnesses: Vec::new() };
        pair.check();
        for op in ops {
            pair.apply(op);
            pair.check();
        }
    }

    /// Headers of up to 160 bytes are pulled, the payload looked at, the headers pushed back: the checksum that was to be
    /// filled is filled with the same bytes.
    #[test]
    fn a_checksum_to_fill_survives_linearising(
        headers in vec(any::<u8>(), 40..160),
        payload in vec(vec(any::<u8>(), 1..90), 0..5),
        l4 in 0usize..20,
        field in 0usize..10,
        (pull, peek) in (0usize..160, 0usize..200),
    ) {
        let mut pool = Pool::new(3);
        let mut packet = pool.packet();
        payload.iter().for_each(|chunk| packet.append(Chunk::copy_from(chunk)));
        packet.push(headers.len()).copy_from_slice(&headers);
        let start = packet.head_start() + l4 as u8;
        packet.set_sum(Sum::ToFill { start, offset: start + 2 * field as u8 });
        let filled = contents(&packet);
        prop_assert_eq!(filled.len(), packet.len());
        let unfilled = [headers.clone(), payload.concat()].concat();
        let at = l4 + 2 * field;
        prop_assert_eq!(&filled[..at], &unfilled[..at]);
        prop_assert_eq!(&filled[at + 2..], &unfilled[at + 2..]);

        let pull = pull.min(headers.len());
        packet.pull(pull).unwrap();
        let _ = packet.peek(peek);
        if pull <= usize::from(packet.head_start()) {
            packet.push(pull);
            let shifted_out = packet.head()[..pull] != filled[..pull] && packet.sum() == Sum::Verified;
            if !shifted_out {
                prop_assert_eq!(contents(&packet), &filled[..]);
            }
        }
        packet.fill();
        prop_assert_eq!(packet.sum(), Sum::Verified);
    }

    #[test]
    fn filling_makes_the_sum_hold(data in vec(any::<u8>(), 20..100), payload in vec(vec(any::<u8>(), 1..50), 0..5), pseudo in 1u16..) {
        let mut packet = Pool::new(0).packet();
        payload.iter().for_each(|chunk| packet.append(Chunk::copy_from(chunk)));
        let header = packet.push(data.len());
        header.copy_from_slice(&data);
        header[16..18].copy_from_slice(&pseudo.to_be_bytes());
        let start = packet.head_start();
        packet.set_sum(Sum::ToFill { start, offset: start + 16 });
        let written = contents(&packet);
        packet.fill();
        prop_assert_eq!(&contents(&packet), &written);
        prop_assert_eq!(checksum::add(packet.ones_complement(), pseudo), 0xffff);
    }

    #[test]
    fn any_checksum_state_fills_without_panic(data in vec(any::<u8>(), 0..192), start in any::<u8>(), offset in any::<u8>(), n in 0usize..200) {
        let mut packet = Pool::new(0).packet();
        packet.push(data.len()).copy_from_slice(&data);
        packet.append(Chunk::copy_from(&data));
        packet.set_sum(Sum::ToFill { start, offset });
        let _ = packet.pull(n);
        let _ = packet.peek(n);
        prop_assert_eq!(contents(&packet).len(), packet.len());
        packet.fill();
        prop_assert_eq!(packet.sum(), Sum::Verified);
    }
}

#[test]
fn a_router_has_headroom_for_an_encapsulation_after_any_pull() {
    for len in 0..=LONGEST_PEEK {
        let mut packet = Pool::new(0).from_bytes(vec![7; 400].into());
        packet.peek(len).unwrap();
        assert!(packet.head_start() >= 48, "{len}");
        assert_eq!(packet.len(), 400);
    }
    let mut packet = Pool::new(0).from_bytes(vec![7; 400].into());
    assert_eq!(
        packet.peek(LONGEST_PEEK + 1),
        Err(ParseError::HeaderTooLong)
    );
    assert_eq!(packet.peek(401), Err(ParseError::Truncated));
}

#[test]
fn a_pool_numbers_its_packets_and_takes_them_back_empty() {
    let mut pool = Pool::new(5);
    let first = pool.packet();
    let mut second = pool.from_bytes(Bytes::from_static(b"abc"));
    assert_eq!((first.id().origin(), first.id().number()), (5, 0));
    assert_eq!((second.id().origin(), second.id().number()), (5, 1));
    assert_eq!(pool.next_id().number(), 2);
    second.set_cut(Some(heptad_wire::Cut {
        segment: 1,
        l3: 0,
        l4: 20,
    }));
    pool.recycle(second);
    let third = pool.packet();
    assert_eq!((third.id().number(), third.len()), (3, 0));
    assert_eq!(
        (third.sum(), third.cut_plan(), third.head_start()),
        (Sum::Verified, None, 192)
    );
}

#[test]
fn a_small_part_of_a_big_allocation_is_copied_out_and_a_big_part_is_not() {
    let whole = Chunk::copy_from(&[1; 1000]);
    for (len, pinned) in [(0, 0), (1, 1), (249, 249), (250, 1000), (1000, 1000)] {
        let part = whole.slice(0..len).compact();
        assert_eq!((part.len(), part.pinned()), (len, pinned));
    }
}

#[test]
fn payload_is_shared_and_never_copied_on_the_way() {
    let payload = Bytes::from(vec![9; 3000]);
    let mut packet = Pool::new(0).packet();
    packet.append(Chunk::new(payload.clone(), 4096));
    packet.push(20).fill(1);
    let twin = packet.duplicate();
    assert_eq!(twin.body()[0].bytes().as_ptr(), payload.as_ptr());
    packet.pull(20).unwrap();
    let chunks = packet.take_payload();
    assert_eq!(chunks[0].bytes().as_ptr(), payload.as_ptr());
    assert_eq!(chunks[0].pinned(), 4096);
    let corrupted = twin.corrupt(8 * 20);
    assert_eq!(payload[0], 9);
    assert_eq!(corrupted.body()[0].bytes()[0], 9 ^ 0x80);
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_all_ones_in_udp_only() {
    for (field, expected) in [(6, [0xff, 0xff]), (16, [0, 0]), (2, [0, 0])] {
        let mut packet = Pool::new(0).packet();
        let header = packet.push(20);
        header.fill(0);
        header[18..].copy_from_slice(&[0xff, 0xff]);
        let start = packet.head_start();
        let offset = start + field;
        packet.set_sum(Sum::ToFill { start, offset });
        packet.fill();
        let field = usize::from(field);
        assert_eq!(packet.head()[field..field + 2], expected);
    }
}

#[test]
fn a_checksum_whose_header_leaves_the_head_is_filled_before() {
    let mut packet = Pool::new(0).packet();
    packet.append(Chunk::copy_from(&[1; 200]));
    packet.push(160).fill(2);
    let start = packet.head_start();
    let offset = start + 16;
    packet.set_sum(Sum::ToFill { start, offset });
    packet.pull(160).unwrap();
    packet.peek(20).unwrap();
    assert_eq!(
        packet.sum(),
        Sum::ToFill {
            start: start - 20,
            offset: offset - 20
        }
    );
    packet.peek(LONGEST_PEEK).unwrap();
    assert_eq!(packet.sum(), Sum::Verified);
}
