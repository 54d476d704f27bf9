//! What is on its way: one record for each segment sent and not acknowledged (RFC 6675 1's scoreboard, RFC 8985's times of sending).
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::Instant;
use crate::l4_transport::tcp::seq::SeqNum;
use crate::time::Duration;

/// What is believed of a record's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// On their way.
    InFlight,
    /// The peer has them (SACK).
    Sacked,
    /// Lost, and not yet sent again.
    Lost,
}

/// A segment (or super-segment) as it was last sent.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub seq: SeqNum,
    /// In sequence space: a FIN counts.
    pub len: u32,
    pub sent_at: Instant,
    pub mark: Mark,
    /// Sent more than once.
    pub resent: bool,
    /// How often it was sent again.
    pub resends: u8,
    /// Number of what was noted when it left (`Delivery`).
    pub note: u32,
}
impl Record {
    /// The first sequence number after it.
    pub fn end(&self) -> SeqNum {
        self.seq + self.len
    }
}

/// What was sent last among what an ACK delivered.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    pub sent_at: Instant,
    pub end: SeqNum,
    pub resent: bool,
    pub note: u32,
}

/// What an ACK delivered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivered {
    /// Bytes that the peer did not have before.
    pub bytes: u32,
    /// When the oldest segment that was sent only once had been sent.
    pub rtt_from: Option<Instant>,
    /// End of the first of them that was sent only once.
    pub first_original: Option<SeqNum>,
    /// A segment that was sent more than once is among them.
    pub resent: bool,
    pub newest: Option<Newest>,
    /// Something that was sent once lies before bytes known to have arrived, at most by so many: the network reorders.
    pub reordered: Option<u32>,
}
impl Delivered {
    /// What the newest of them took, if it was sent once.
    pub fn latest_rtt(&self, now: Instant) -> Option<Duration> {
        let newest = self.newest.filter(|newest| !newest.resent)?;
        Some(now.since(newest.sent_at))
    }
    fn add(&mut self, record: &Record) {
        self.bytes += record.len;
        if record.resent {
            self.resent = true;
        } else {
            let at = record.sent_at;
            self.rtt_from = Some(self.rtt_from.map_or(at, |old| old.min(at)));
            let end = record.end();
            self.first_original = Some(self.first_original.map_or(end, |old| old.earlier(end)));
        }
        let newer = match self.newest {
            None => true,
            Some(newest) => {
                let (at, end) = (newest.sent_at, newest.end);
                record.sent_at > at || (record.sent_at == at && record.end().after(end))
            }
        };
        if newer {
            self.newest = Some(Newest {
                sent_at: record.sent_at,
                end: record.end(),
                resent: record.resent,
                note: record.note,
            });
        }
    }
}

/// The records from `snd.una` to `snd.nxt`, in order and without gaps.
#[derive(Debug, Default)]
pub struct Flight {
    records: VecDeque<Record>,
    in_flight: u32,
    sacked: u32,
    lost: u32,
    sacked_records: u32,
    /// End of the highest bytes known to have arrived.
    high: Option<SeqNum>,
}

impl Flight {
    /// Whether all is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
    /// RFC 6675's pipe: bytes that are on their way.
    pub fn pipe(&self) -> u32 {
        self.in_flight
    }
    /// Bytes that the peer has beyond a gap.
    pub fn sacked(&self) -> u32 {
        self.sacked
    }
    /// Bytes to be sent again.
    pub fn lost(&self) -> u32 {
        self.lost
    }
    /// All bytes not acknowledged.
    pub fn outstanding(&self) -> u32 {
        self.in_flight + self.sacked + self.lost
    }
    /// A segment was sent for the first time.
    pub fn push(&mut self, seq: SeqNum, len: u32, now: Instant, note: u32) {
        self.in_flight += len;
        if self.records.capacity() == 0 {
            self.records.reserve_exact(1);
        }
        self.records.push_back(Record {
            seq,
            len,
            sent_at: now,
            mark: Mark::InFlight,
            resent: false,
            resends: 0,
            note,
        });
    }
    /// The first record.
    pub fn front(&self) -> Option<&Record> {
        self.records.front()
    }
    /// The newest.
    pub fn back(&self) -> Option<&Record> {
        self.records.back()
    }
    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }
    /// The first that is lost.
    pub fn first_lost(&self) -> Option<&Record> {
        if self.lost == 0 {
            return None;
        }
        self.records.iter().find(|r| r.mark == Mark::Lost)
    }
    /// Everything before `una` was acknowledged.
    pub fn acknowledge(&mut self, una: SeqNum, out: &mut Delivered) {
        while let Some(record) = self.records.front().copied() {
            if !record.seq.before(una) {
                break;
            }
            if record.end().after(una) {
                self.split(0, una.since(record.seq));
                continue;
            }
            self.records.pop_front();
            self.uncount(&record);
            if record.mark != Mark::Sacked {
                self.note_reordering(&record, out);
                out.add(&record);
            }
        }
        if self.high.is_some_and(|h| h.at_or_before(una)) {
            self.high = None;
        }
        // A silent connection keeps room for one segment.
        if self.records.is_empty() && self.records.capacity() > 1 {
            self.records = VecDeque::new();
        }
    }
    /// The peer reports a block. Ends of a block inside a record count only in whole segments of `mss`.
    pub fn sack(&mut self, left: SeqNum, right: SeqNum, mss: u32, out: &mut Delivered) {
        let mss = mss.max(1);
        let mut i = self.records.partition_point(|r| r.end().at_or_before(left));
        while let Some(record) = self.records.get(i).copied() {
            if !record.seq.before(right) {
                break;
            }
            if record.mark == Mark::Sacked {
                i += 1;
                continue;
            }
            if record.seq.before(left) {
                let cut = left.since(record.seq).next_multiple_of(mss);
                i += 1;
                if cut < record.len {
                    self.split(i - 1, cut);
                }
                continue;
            }
            if record.end().after(right) {
                let cut = right.since(record.seq) / mss * mss;
                if cut == 0 {
                    break;
                }
                self.split(i, cut);
            }
            self.mark_sacked(i, out);
            i += 1;
        }
    }
    fn mark_sacked(&mut self, i: usize, out: &mut Delivered) {
        let Some(record) = self.records.get(i).copied() else {
            return;
        };
        self.note_reordering(&record, out);
        out.add(&record);
        self.high = Some(self.high.map_or(record.end(), |h| h.later(record.end())));
        self.set_mark(i, Mark::Sacked);
    }
    fn note_reordering(&self, record: &Record, out: &mut Delivered) {
        let high = self.high.filter(|high| record.end().before(*high));
        if let Some(high) = high.filter(|_| !record.resent) {
            let distance = high.since(record.seq);
            out.reordered = Some(out.reordered.map_or(distance, |d| d.max(distance)));
        }
    }
    /// Records that the peer has beyond a gap, counted as segments of `mss`.
    pub fn sacked_segments(&self, mss: u32) -> u32 {
        self.sacked_records.max(self.sacked.div_ceil(mss.max(1)))
    }
    /// The first `len` bytes are lost (RFC 6582: the segment that the ACK asks for). Returns them.
    pub fn lose_front(&mut self, len: u32) -> Option<Record> {
        let record = self.records.front().copied()?;
        if record.mark != Mark::InFlight {
            return None;
        }
        if record.len > len {
            self.split(0, len);
        }
        self.set_mark(0, Mark::Lost);
        self.records.front().copied()
    }
    /// All that is on its way and of which `is_lost` holds is lost. Returns it.
    pub fn lose_where(&mut self, mut is_lost: impl FnMut(&Record) -> bool) -> Vec<Record> {
        let mut all = Vec::new();
        for i in 0..self.records.len() {
            let found = self.records.get(i).copied();
            if let Some(record) = found.filter(|r| r.mark == Mark::InFlight && is_lost(r)) {
                self.set_mark(i, Mark::Lost);
                all.push(record);
            }
        }
        all
    }
    /// What was taken for lost is on its way after all.
    pub fn unlose(&mut self) {
        for i in 0..self.records.len() {
            if self.records.get(i).is_some_and(|r| r.mark == Mark::Lost) {
                self.set_mark(i, Mark::InFlight);
            }
        }
    }
    /// The peer asks for what it reported to have: it threw that away (RFC 2018 8).
    pub fn is_reneged(&self) -> bool {
        let front = self.records.front();
        front.is_some_and(|record| record.mark == Mark::Sacked)
    }
    /// The retransmission timer expired: all that the peer is not known to have is lost. If the peer took back what it had reported, that too (RFC 2018 8).
    /// Returns what was not known to be.
    pub fn lose_all(&mut self) -> Vec<Record> {
        let reneged = self.is_reneged();
        let mut all = Vec::new();
        for i in 0..self.records.len() {
            let Some(record) = self.records.get(i).copied() else {
                break;
            };
            if record.mark == Mark::Sacked && !reneged {
                continue;
            }
            self.set_mark(i, Mark::Lost);
            if record.mark != Mark::Lost {
                all.push(record);
            }
        }
        if reneged {
            self.high = None;
        }
        all
    }
    /// The record at `seq` is sent again: at most `len` bytes of it, the rest stays as it is. Returns how many bytes it now has.
    pub fn resend(&mut self, seq: SeqNum, len: u32, now: Instant, note: u32) -> u32 {
        let mut i = self.records.partition_point(|r| r.end().at_or_before(seq));
        if let Some(record) = self.records.get(i).copied()
            && record.seq.before(seq)
        {
            self.split(i, seq.since(record.seq));
            i += 1;
        }
        let Some(record) = self.records.get(i).copied() else {
            return 0;
        };
        if record.len > len {
            self.split(i, len);
        }
        self.set_mark(i, Mark::InFlight);
        let Some(record) = self.records.get_mut(i) else {
            return 0;
        };
        record.sent_at = now;
        record.resent = true;
        record.resends = record.resends.saturating_add(1);
        record.note = note;
        record.len
    }
    /// How often the record at `seq` was sent again.
    pub fn resends(&self, seq: SeqNum) -> u8 {
        let i = self.records.partition_point(|r| r.end().at_or_before(seq));
        self.records.get(i).map_or(0, |record| record.resends)
    }
    fn split(&mut self, i: usize, at: u32) {
        let Some(record) = self.records.get_mut(i) else {
            return;
        };
        let mut rest = *record;
        record.len = at;
        rest.seq = record.seq + at;
        rest.len -= at;
        if rest.mark == Mark::Sacked {
            self.sacked_records += 1;
        }
        self.records.insert(i + 1, rest);
    }
    fn set_mark(&mut self, i: usize, mark: Mark) {
        let Some(record) = self.records.get(i).copied() else {
            return;
        };
        self.uncount(&record);
        match mark {
            Mark::InFlight => self.in_flight += record.len,
            Mark::Sacked => {
                self.sacked += record.len;
                self.sacked_records += 1;
            }
            Mark::Lost => self.lost += record.len,
        }
        if let Some(record) = self.records.get_mut(i) {
            record.mark = mark;
        }
    }
    fn uncount(&mut self, record: &Record) {
        match record.mark {
            Mark::InFlight => self.in_flight -= record.len,
            Mark::Sacked => {
                self.sacked -= record.len;
                self.sacked_records -= 1;
            }
            Mark::Lost => self.lost -= record.len,
        }
        if self.records.is_empty() && self.records.capacity() > 8 {
            self.records = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MSS: u32 = 10;
    const T: Instant = Instant::ZERO;

    fn flight(segments: u32) -> Flight {
        let mut flight = Flight::default();
        for i in 0..segments {
            flight.push(SeqNum(i * MSS), MSS, T, 0);
        }
        flight
    }

    proptest! {
        #[test]
        fn the_records_agree_with_a_mark_for_each_byte(
            sizes in proptest::collection::vec(1u32..8, 1..12),
            steps in proptest::collection::vec((0u8..5, 0u32..300, 0u32..300), 0..40),
        ) {
            let base = SeqNum(u32::MAX - 50);
            let mut flight = Flight::default();
            let mut model: Vec<Mark> = Vec::new();
            for size in sizes {
                flight.push(base + model.len() as u32, size * MSS, T, 0);
                model.extend((0..size * MSS).map(|_| Mark::InFlight));
            }
            let mut una = 0usize;
            for (kind, a, b) in steps {
                let (a, b) = (a.min(model.len() as u32) / MSS * MSS, b.min(model.len() as u32) / MSS * MSS);
                let (a, b) = (a.min(b), a.max(b));
                let mut out = Delivered::default();
                let mut delivered = 0;
                match kind {
                    0 | 1 if a as usize >= una => {
                        flight.sack(base + a, base + b, MSS, &mut out);
                        for m in &mut model[a as usize..b as usize] { if *m != Mark::Sacked { delivered += 1; *m = Mark::Sacked; } }
                    }
                    2 if b as usize > una && kind == 2 && a % 30 == 0 => {
                        flight.acknowledge(base + b, &mut out);
                        delivered = model[una..b as usize].iter().filter(|m| **m != Mark::Sacked).count();
                        una = b as usize;
                    }
                    3 => {
                        let reneged = model.get(una) == Some(&Mark::Sacked);
                        flight.lose_all();
                        for m in &mut model[una..] { if *m != Mark::Sacked || reneged { *m = Mark::Lost; } }
                    }
                    4 => if let Some(first) = flight.first_lost().map(|r| r.seq) {
                        let at = first.since(base) as usize;
                        prop_assert_eq!(model[una..].iter().position(|m| *m == Mark::Lost), Some(at - una));
                        let n = flight.resend(first, MSS, T, 0) as usize;
                        prop_assert!(n <= MSS as usize);
                        for m in &mut model[at..at + n] { prop_assert_eq!(*m, Mark::Lost); *m = Mark::InFlight; }
                    },
                    _ => {}
                }
                prop_assert_eq!(out.bytes as usize, delivered);
                let count = |mark: Mark| model[una..].iter().filter(|m| **m == mark).count() as u32;
                prop_assert_eq!(flight.pipe(), count(Mark::InFlight));
                prop_assert_eq!(flight.sacked(), count(Mark::Sacked));
                prop_assert_eq!(flight.lost(), count(Mark::Lost));
                let mut at = base + una as u32;
                for record in flight.iter() { prop_assert_eq!(record.seq, at); at = record.end(); }
                prop_assert_eq!(at, base + model.len() as u32);
            }
        }
    }

    #[test]
    fn a_block_inside_a_super_segment_splits_it_at_segments() {
        let mut flight = Flight::default();
        flight.push(SeqNum(0), 100, T, 0);
        flight.sack(SeqNum(15), SeqNum(47), MSS, &mut Delivered::default());
        assert_eq!(flight.sacked(), 20, "20..40");
        assert_eq!(flight.iter().count(), 3);
        assert_eq!(flight.pipe(), 80);
    }

    #[test]
    fn what_fills_a_gap_without_having_been_sent_again_was_reordered() {
        let mut flight = flight(4);
        let mut out = Delivered::default();
        flight.sack(SeqNum(20), SeqNum(30), MSS, &mut out);
        assert_eq!(out.reordered, None);
        flight.sack(SeqNum(10), SeqNum(20), MSS, &mut out);
        assert!(out.reordered.is_some());
    }
}
