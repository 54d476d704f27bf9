//! Text that arrived out of order (RFC 9293 3.10.7.4, RFC 2018): disjoint blocks, and which of them changed last.
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use heptad_wire::Chunk;

/// How many blocks are remembered for SACK (RFC 2018 3: the most recent first).
const REPORTED: usize = 4;
/// What one chunk costs besides the bytes that it pins.
pub const CHUNK_COST: usize = 64;

/// From a position to before another.
pub type Range = (u64, u64);

/// Positions count from the first byte of the stream. Without a gap, the usual case, it holds no memory.
#[derive(Debug, Default)]
pub struct Reassembly(Option<Box<Blocks>>);

#[derive(Debug, Default)]
struct Blocks {
    /// Start of a block, its end and its bytes. Blocks neither touch nor overlap.
    blocks: BTreeMap<u64, Block>,
    /// A position in each of the blocks that changed last, latest first.
    recent: Vec<u64>,
    charge: usize,
    /// Chunks that were moved to join blocks, in all.
    #[cfg(test)]
    moved: usize,
}

#[derive(Debug)]
struct Block {
    end: u64,
    chunks: VecDeque<Chunk>,
}

impl Reassembly {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
    /// Memory that it pins.
    pub fn charge(&self) -> usize {
        self.0.as_ref().map_or(0, |blocks| blocks.charge)
    }
    /// Adds text that begins at `at`; bytes already there are kept, new ones fill the gaps.
    /// Returns the first range of bytes that were there already (D-SACK, RFC 2883 4).
    pub fn insert(&mut self, at: u64, text: &[Chunk]) -> Option<Range> {
        self.0.get_or_insert_default().insert(at, text)
    }
    /// Takes the block that holds or touches `next`, without what lies before it: its bytes, and the range that was there twice.
    pub fn take(&mut self, next: u64) -> Option<(Vec<Chunk>, Option<Range>)> {
        let blocks = self.0.as_mut()?;
        let taken = blocks.take(next);
        if blocks.blocks.is_empty() {
            self.0 = None;
        }
        taken
    }
    /// Where the last block ends.
    pub fn end(&self) -> Option<u64> {
        let blocks = &self.0.as_ref()?.blocks;
        blocks.last_key_value().map(|(_, block)| block.end)
    }
    /// Up to four blocks, the most recent first.
    pub fn recent_blocks(&self) -> impl Iterator<Item = Range> + '_ {
        self.0.iter().flat_map(|blocks| blocks.recent_blocks())
    }
    /// Discards all.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

impl Blocks {
    fn insert(&mut self, at: u64, text: &[Chunk]) -> Option<Range> {
        let end = at + text.iter().map(|c| c.len() as u64).sum::<u64>();
        let mut duplicate = None;
        let mut gaps = Vec::new();
        let mut from = at;
        for (left, right) in self.touching(at, end) {
            let (left, right) = (left.max(at), right.min(end));
            if left < right && duplicate.is_none() {
                duplicate = Some((left, right));
            }
            if from < left {
                gaps.push((from, left));
            }
            from = from.max(right);
        }
        if from < end {
            gaps.push((from, end));
        }
        for (left, right) in gaps {
            self.fill(left, right, slice(text, left - at, right - at));
        }
        self.remember(at);
        duplicate
    }
    fn take(&mut self, next: u64) -> Option<(Vec<Chunk>, Option<Range>)> {
        let (&start, block) = self.blocks.first_key_value()?;
        if start > next {
            return None;
        }
        let end = block.end;
        let block = self.blocks.remove(&start)?;
        self.charge = self.charge.saturating_sub(cost(&block.chunks));
        self.recent.retain(|p| !(start..end).contains(p));
        let duplicate = (start < next).then_some((start, end.min(next)));
        let mut chunks = Vec::from(block.chunks);
        if start < next {
            chunks = slice(&chunks, (next - start).min(end - start), end - start);
        }
        Some((chunks, duplicate))
    }
    fn recent_blocks(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.recent.iter().filter_map(|p| self.block_at(*p))
    }
    /// The block that holds a position.
    fn block_at(&self, position: u64) -> Option<(u64, u64)> {
        let (start, block) = self.blocks.range(..=position).next_back()?;
        (position < block.end).then_some((*start, block.end))
    }

    /// Blocks that overlap or touch `[at, end]`, in order.
    fn touching(&self, at: u64, end: u64) -> Vec<(u64, u64)> {
        let before = self.blocks.range(..at).next_back();
        before
            .into_iter()
            .chain(self.blocks.range(at..=end))
            .filter(|(_, b)| b.end >= at)
            .map(|(s, b)| (*s, b.end))
            .collect()
    }
    /// Puts bytes into a gap and joins the blocks at its two sides.
    fn fill(&mut self, left: u64, right: u64, chunks: Vec<Chunk>) {
        self.charge += cost(&chunks);
        let mut block = Block {
            end: right,
            chunks: chunks.into(),
        };
        if let Some(after) = self.blocks.remove(&right) {
            block = self.join(block, after);
        }
        let before = self.blocks.range(..left).next_back();
        let start = before.filter(|(_, b)| b.end == left).map(|(at, _)| *at);
        if let Some(start) = start
            && let Some(before) = self.blocks.remove(&start)
        {
            block = self.join(before, block);
        }
        self.blocks.insert(start.unwrap_or(left), block);
    }
    /// Two blocks that touch. The chunks of the smaller one move, so that nobody can make us move many for each byte that he sends.
    fn join(&mut self, before: Block, after: Block) -> Block {
        let (mut front, mut back) = (before.chunks, after.chunks);
        #[cfg(test)]
        {
            self.moved += front.len().min(back.len());
        }
        let chunks = if front.len() < back.len() {
            while let Some(chunk) = front.pop_back() {
                back.push_front(chunk);
            }
            back
        } else {
            front.append(&mut back);
            front
        };
        Block {
            end: after.end,
            chunks,
        }
    }
    fn remember(&mut self, position: u64) {
        let Some((start, end)) = self.block_at(position) else {
            return;
        };
        self.recent.retain(|p| !(start..end).contains(p));
        self.recent.insert(0, position);
        self.recent.truncate(REPORTED);
    }
}

fn cost<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> usize {
    chunks.into_iter().map(|c| c.pinned() + CHUNK_COST).sum()
}

/// Bytes `from..to` of a run of chunks.
pub fn slice(chunks: &[Chunk], from: u64, to: u64) -> Vec<Chunk> {
    let mut out = Vec::with_capacity(chunks.len());
    let mut at = 0u64;
    for chunk in chunks {
        let next = at + chunk.len() as u64;
        let (left, right) = (from.max(at), to.min(next));
        if left < right {
            out.push(chunk.slice((left - at) as usize..(right - at) as usize));
        }
        at = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(at: u64, len: u64) -> Vec<Chunk> {
        let bytes: Vec<u8> = (at..at + len).map(|p| (p % 251) as u8).collect();
        bytes.chunks(7).map(Chunk::copy_from).collect()
    }

    //= rfc9293#3.10.7.4
    /// CVE-2018-5390, "SegmentSmack": the order in which tiny segments come must not make each of them dear.
    #[test]
    fn tiny_segments_in_the_worst_order_move_few_chunks() {
        const COUNT: u64 = 20_000;
        type Place = fn(u64) -> u64;
        let orders: [(&str, Place); 3] = [
            ("backwards", |i| COUNT - i),
            ("evens, then odds", |i| {
                if i < COUNT / 2 {
                    2 * i
                } else {
                    2 * (i - COUNT / 2) + 1
                }
            }),
            (
                "from both ends",
                |i| if i % 2 == 0 { i } else { 2 * COUNT - i },
            ),
        ];
        for (order, place) in orders {
            let mut blocks = Blocks::default();
            for i in 0..COUNT {
                blocks.insert(10 + place(i), &text(place(i), 1));
            }
            assert!(
                blocks.moved <= 16 * COUNT as usize,
                "{order}: {}",
                blocks.moved
            );
            assert!(blocks.recent.len() <= REPORTED);
        }
    }

    proptest! {
        #[test]
        fn blocks_are_a_set_of_positions(steps in proptest::collection::vec((0u64..200, 1u64..40), 1..60)) {
            let mut ooo = Reassembly::default();
            let mut model = [false; 300];
            for (at, len) in steps {
                let expected: Vec<u64> = (at..at + len).filter(|p| model[*p as usize]).collect();
                let duplicate = ooo.insert(at, &text(at, len));
                prop_assert_eq!(duplicate.map(|d| d.0), expected.first().copied());
                for p in at..at + len { model[p as usize] = true; }
                // the newest block comes first and holds what came last
                let first = ooo.recent_blocks().next().unwrap();
                prop_assert!(first.0 <= at && at + len <= first.1);
                for (s, e) in ooo.recent_blocks() {
                    prop_assert!((s..e).all(|p| model[p as usize]));
                    prop_assert!(s == 0 || !model[s as usize - 1]);
                    prop_assert!(!model[e as usize]);
                }
            }
            let mut next = 0u64;
            while next < 300 {
                if let Some((chunks, duplicate)) = ooo.take(next) {
                    prop_assert!(duplicate.is_none());
                    for chunk in chunks { for b in chunk.bytes() {
                        prop_assert_eq!(*b, (next % 251) as u8);
                        prop_assert!(model[next as usize]);
                        next += 1;
                    } }
                } else {
                    prop_assert!(!model[next as usize]);
                    next += 1;
                }
            }
            prop_assert!(ooo.is_empty() && ooo.charge() == 0);
        }
    }

    #[test]
    fn the_order_of_sack_blocks_is_the_order_of_change() {
        let mut ooo = Reassembly::default();
        for (at, len) in [(1000, 1000), (2000, 1000), (4000, 1000), (7000, 1000)] {
            ooo.insert(at, &text(at, len));
        }
        let blocks: Vec<_> = ooo.recent_blocks().collect();
        assert_eq!(blocks, [(7000, 8000), (4000, 5000), (1000, 3000)]);
        let (chunks, duplicate) = ooo.take(6000).unwrap();
        assert_eq!(duplicate, Some((1000, 3000)));
        assert!(chunks.is_empty());
    }
}
