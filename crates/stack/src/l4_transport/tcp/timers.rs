//! The host's agenda: one heap, one live entry for each connection, re-armed only when it fires or moves forward.
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use super::Config;
use super::tcb::Tcb;
use crate::{Cx, Instant};

/// What an entry speaks of. Ordered, so that equal times fire in a fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Opening,
    Conn,
    TimeWait,
}

/// Slot and use of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub item: Item,
    pub index: u32,
    pub generation: u32,
}

/// Entries by time. One that no longer holds is skipped when it comes up; when those are the most, they are swept out.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, Key)>>,
    stale: usize,
}
impl Agenda {
    /// The earliest entry.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
    /// Adds one; `instead` tells that an older one of the same item no longer holds.
    pub fn add(&mut self, at: Instant, key: Key, instead: bool) {
        self.heap.push(Reverse((at, key)));
        if instead {
            self.stale += 1;
        }
    }
    /// An item is gone while an entry speaks of it.
    pub fn forget(&mut self) {
        self.stale += 1;
    }
    /// Takes an entry that is due.
    pub fn take_due(&mut self, now: Instant) -> Option<(Instant, Key)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
    /// An entry came up that no longer held.
    pub fn was_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }
    /// Whether a sweep is worth its time.
    pub fn needs_sweep(&self) -> bool {
        self.stale > 64 && self.stale > self.heap.len() / 2
    }
    /// Keeps the entries that hold.
    pub fn sweep(&mut self, mut holds: impl FnMut(Instant, Key) -> bool) {
        self.heap.retain(|Reverse((at, key))| holds(*at, *key));
        self.stale = 0;
    }
    /// Entries, live and stale.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }
}

impl Tcb {
    /// When this connection is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let own = [self.timers.next(), self.ack.at()];
        let others = [self.held_back_until(), self.syn_ack_due()];
        own.into_iter().chain(others).flatten().min()
    }
    /// Does all that is due.
    pub fn on_timeout(&mut self, config: &Config, cx: &mut Cx<'_>) {
        let now = cx.now;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.ack.at()) {
            self.ack.expire();
            cx.count(crate::Counter::TcpExtDelayedAcks);
        }
        self.release_pace(now);
        self.note_program_limit();
        if due(self.timers.reordering) {
            self.on_reordering(cx);
        }
        if due(self.timers.probe_timeout) {
            self.on_probe_timeout(cx);
        }
        if self.is_late() {
            // until the SYN,ACK is answered it alone leaves again
            self.timers.rto = self.timers.rto.filter(|at| *at > now);
            self.on_syn_ack_timeout(config, cx);
        }
        if due(self.timers.rto) {
            self.on_retransmission_timeout(config, cx);
        }
        if due(self.timers.persist) {
            self.on_persist(config, cx);
        }
        if due(self.timers.keepalive) {
            self.on_keepalive(cx);
        }
        if due(self.timers.cork) {
            self.timers.cork = None;
            self.cork_over = true;
        }
        if due(self.timers.linger) {
            self.timers.linger = None;
            self.ep.fail(None, cx);
            self.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> Key {
        Key {
            item: Item::Conn,
            index,
            generation: 0,
        }
    }

    #[test]
    fn equal_times_fire_in_the_order_of_their_keys_not_of_their_insertion() {
        let mut agenda = Agenda::default();
        let at = Instant::from_nanos(5);
        for i in [3, 1, 2] {
            agenda.add(at, key(i), false);
        }
        assert_eq!(agenda.take_due(Instant::from_nanos(4)), None);
        let order: alloc::vec::Vec<u32> =
            core::iter::from_fn(|| agenda.take_due(at).map(|(_, k)| k.index)).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn entries_that_no_longer_hold_are_swept_out() {
        let mut agenda = Agenda::default();
        for i in 0..1000u64 {
            agenda.add(Instant::from_nanos(1000 - i), key(0), i > 0);
            if agenda.needs_sweep() {
                agenda.sweep(|at, _| at == Instant::from_nanos(1000 - i));
            }
            assert!(agenda.len() <= 132, "{}", agenda.len());
        }
    }
}
