//! The loopback `lo`: what leaves by it comes in by it, a microsecond later, so that virtual time always moves.
use alloc::collections::VecDeque;

use heptad_wire::PacketBuf;

use crate::time::Duration;
use crate::{DropReason, Instant};

/// Packets on their way from this host to itself.
#[derive(Default)]
pub struct Loopback {
    /// A cable is plugged into `lo`: packets go round outside, and nothing passes here.
    cabled: bool,
    /// In order of time: each is due the same delay after it was sent.
    fifo: VecDeque<(Instant, PacketBuf)>,
}
impl Loopback {
    /// Its MTU, bytes.
    pub const MTU: u32 = 65_536;
    /// How long a packet takes.
    pub const DELAY: Duration = Duration::from_micros(1);
    /// Most packets on their way.
    pub const BOUND: usize = 1000;

    /// From now on a cable carries what `lo` sends and brings it back.
    pub fn plug(&mut self) {
        self.cabled = true;
    }
    /// Whether a cable is plugged in.
    pub fn is_cabled(&self) -> bool {
        self.cabled
    }
    /// Sends a packet to ourselves; `Err` gives it back when too many are on their way.
    pub fn send(&mut self, packet: PacketBuf, now: Instant) -> Result<(), (PacketBuf, DropReason)> {
        if !self.has_room() {
            return Err((packet, DropReason::LoopbackFull));
        }
        self.fifo.push_back((now + Self::DELAY, packet));
        Ok(())
    }
    /// Whether one more may be sent; with a cable, none is sent here.
    pub fn has_room(&self) -> bool {
        !self.cabled && self.fifo.len() < Self::BOUND
    }
    /// The next packet that has arrived by `now`.
    pub fn arrived(&mut self, now: Instant) -> Option<PacketBuf> {
        self.fifo
            .pop_front_if(|(due, _)| *due <= now)
            .map(|(_, packet)| packet)
    }
    /// When the next one arrives.
    pub fn poll_at(&self) -> Option<Instant> {
        self.fifo.front().map(|(due, _)| *due)
    }
}
