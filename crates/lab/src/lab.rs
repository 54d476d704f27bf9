//! The lab: machines, cables, agenda. Virtual by nature: time moves only in `run_until`.
use core::net::IpAddr;

use heptad_stack::{Cx, Event, EventMask, Instant, Ready, SocketId, Stack};

use crate::faults::FaultRow;
use crate::frames::{FrameRecord, Interface};
use crate::topology::{Change, NodeKind, Topology};

/// A machine of the lab: its index in the order of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub u32);

/// What a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineInfo {
    /// Its handle.
    pub id: MachineId,
    /// Its name.
    pub name: String,
    /// Host, router or switch.
    pub kind: NodeKind,
    /// Its addresses: port, address, prefix length.
    pub addresses: Vec<(String, IpAddr, u8)>,
}

/// How to run a lab.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The one seed.
    pub seed: u64,
    /// Keep the event hash (off where speed is measured).
    pub event_hash: bool,
    /// Record frames for captures and watchers.
    pub observe: bool,
    /// Classes of host events to record.
    pub events: EventMask,
}

/// Why a checked topology can't become a lab.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabError {
    /// No such cable.
    #[error("no link named {0}")]
    NoLink(String),
    /// No such machine.
    #[error("no node named {0}")]
    NoNode(String),
    /// Anything that the check of the file did not see.
    #[error("{0}")]
    Impossible(String),
}

/// SHA-256 over (time, link, direction, packet id, verdict, the frame's bytes once cut and filled) of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHash(pub [u8; 32]);
impl core::fmt::Display for EventHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// How `run_until` ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to happen.
    Idle,
    /// The limit was reached.
    Reached,
    /// A socket became ready before the limit: time stands at that event (see [`Lab::poll_ready`]).
    Ready,
    /// These machines never let time move.
    Stalled(Vec<MachineId>),
}

/// A whole network.
pub struct Lab {}

#[allow(unused_variables)]
impl Lab {
    /// Builds machines and cables.
    pub fn new(topology: &Topology, options: LabOptions) -> Result<Self, LabError> {
        todo!()
    }
    /// Time of the last event, or of the last limit that was reached.
    pub fn now(&self) -> Instant {
        todo!()
    }
    /// When the next event is due. O(log machines).
    pub fn next_event(&self) -> Option<Instant> {
        todo!()
    }
    /// Handles events up to and including `limit`. Stops early, after the events of one instant, when a socket became ready
    /// and `stop_when_ready` is set. At most `budget` events a call (then `Reached` with `now()` before the limit).
    pub fn run_until(&mut self, limit: Instant, stop_when_ready: bool, budget: u64) -> Outcome {
        todo!()
    }
    /// Runs a verb on a host at the present time, then drains it. Panics on a switch: it has no sockets.
    pub fn with<R>(
        &mut self,
        machine: MachineId,
        verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R,
    ) -> R {
        todo!()
    }
    /// Looks at a host without changing it; `None` for a switch.
    pub fn stack(&self, machine: MachineId) -> Option<&Stack> {
        todo!()
    }
    /// A host's MIB; `None` for a switch.
    pub fn counters(&self, machine: MachineId) -> Option<&heptad_stack::Counters> {
        todo!()
    }
    /// A socket whose readiness changed.
    pub fn poll_ready(&mut self) -> Option<(MachineId, SocketId, Ready)> {
        todo!()
    }
    /// By name.
    pub fn machine(&self, name: &str) -> Option<MachineId> {
        todo!()
    }
    /// All, in order of names.
    pub fn machines(&self) -> Vec<MachineInfo> {
        todo!()
    }
    /// A name's first address.
    pub fn resolve(&self, name: &str) -> Option<IpAddr> {
        todo!()
    }
    /// Who owns an address.
    pub fn owner(&self, address: IpAddr) -> Option<MachineId> {
        todo!()
    }
    /// Both ends of every cable, in the order of captures.
    pub fn interfaces(&self) -> &[Interface] {
        todo!()
    }
    /// Changes a cable now (`change.time` is not looked at).
    pub fn change(&mut self, change: &Change) -> Result<(), LabError> {
        todo!()
    }
    /// Asked and applied faults so far.
    pub fn faults(&self) -> Vec<FaultRow> {
        todo!()
    }
    /// The hash so far; `None` when it is off.
    pub fn event_hash(&self) -> Option<EventHash> {
        todo!()
    }
    /// Takes the frames recorded since.
    pub fn take_frames(&mut self) -> Vec<FrameRecord> {
        todo!()
    }
    /// Takes the hosts' events since, in order of time.
    pub fn take_events(&mut self) -> Vec<(Instant, MachineId, Event)> {
        todo!()
    }
    /// The seed.
    pub fn seed(&self) -> u64 {
        todo!()
    }
}
