//! The one argument that every protocol machine gets from outside.
use heptad_wire::{PacketBuf, PacketId, Pool};

use crate::{Counter, Counters, DropReason, Event, EventLog, EventMask, Instant, Rng};

/// What a machine may use besides its own state: the time of the event, chance, packets, and where to report.
pub struct Cx<'a> {
    /// The event's own time.
    pub now: Instant,
    /// The machine's random stream.
    pub rng: &'a mut Rng,
    /// The machine's packets.
    pub pool: &'a mut Pool,
    /// What happened, for those who watch.
    pub events: &'a mut EventLog,
    /// The machine's MIB.
    pub counters: &'a mut Counters,
}
impl Cx<'_> {
    /// Adds one to a counter.
    pub fn count(&mut self, counter: Counter) {
        self.counters.add(counter, 1);
    }
    /// Counts a discarded packet and returns the reason.
    pub fn dropped(&mut self, reason: DropReason) -> DropReason {
        self.counters.dropped(reason);
        reason
    }
    /// Counts a packet that is discarded, tells those who watch, and returns the reason.
    pub fn lost(&mut self, id: PacketId, reason: DropReason) -> DropReason {
        self.events
            .emit(self.now, EventMask::DROP, || Event::Drop { id, reason });
        self.dropped(reason)
    }
    /// As [`Self::lost`] for a packet that is still here; it goes back to the pool.
    pub fn discard(&mut self, packet: PacketBuf, reason: DropReason) -> DropReason {
        let id = packet.id();
        self.pool.recycle(packet);
        self.lost(id, reason)
    }
}
