//! What only a busy connection has: one that moved more than a message, or met something unusual. Silent ones do without it.
use alloc::boxed::Box;

use super::delivery::Delivery;
use super::ecn::{Accurate, Marks};
use super::fast_open::LateHandshake;
use super::mtu_search::Search;
use super::pacing::Pacing;
use super::sizing::Sizing;
use super::tally::{Count, Tally};
use super::tcb::Tcb;
use super::urgent::Urgent;
use super::validation::Used;

/// Bytes in one direction that a few messages may have.
const FEW: u64 = 8_000;

/// Made when it is needed.
#[derive(Debug, Default)]
pub struct Busy {
    pub tally: Tally,
    pub sizing: Sizing,
    pub used: Used,
    pub delivery: Delivery,
    pub pacing: Pacing,
    pub marks: Marks,
    /// Counters of marks, where both ends have them.
    pub accurate: Option<Box<Accurate>>,
    /// Of what either side called urgent.
    pub urgent: Option<Box<Urgent>>,
    /// The handshake is not over yet (Fast Open).
    pub late: Option<Box<LateHandshake>>,
    /// Of the path's MTU, where ICMP does not tell.
    pub search: Option<Search>,
}

impl Tcb {
    /// Made now if it was not there.
    pub fn busy(&mut self) -> &mut Busy {
        let small = self.counts;
        self.busy.get_or_insert_with(|| {
            Box::new(Busy {
                tally: Tally::new(small),
                ..Busy::default()
            })
        })
    }
    /// The counts that a silent connection does without.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.busy().tally
    }
    /// The search for the path's MTU, if one was begun.
    pub fn search(&mut self) -> Option<&mut Search> {
        self.busy.as_deref_mut()?.search.as_mut()
    }
    /// So much was received or sent that it is no silent connection.
    pub fn is_busy(&self) -> bool {
        self.busy.is_some() || self.rcv.bytes() > FEW || self.tx.acknowledged() > FEW
    }
    /// Counts segments.
    pub fn count(&mut self, what: Count, n: u32) {
        if self.busy.is_none() {
            let small = &mut self.counts[what as usize];
            if let Some(sum) = u16::try_from(n).ok().and_then(|n| small.checked_add(n)) {
                *small = sum;
                return;
            }
        }
        self.tally().count(what, n);
    }
    /// How many there were.
    pub fn counted(&self, what: Count) -> u32 {
        match &self.busy {
            Some(busy) => busy.tally.counted(what),
            None => self.counts[what as usize].into(),
        }
    }
}
