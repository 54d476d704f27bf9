//! What was seen on the cables: the raw material of captures and of everything that shows packets.
use heptad_stack::wire::PacketId;
use heptad_stack::{DropReason, Instant};

use crate::MachineId;

/// At which end of a cable, and how, a frame was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It left the sender's port and is under way.
    Sent,
    /// It arrived, and this is what the receiver made of it.
    Received(Result<(), DropReason>),
    /// It left the sender's port and the cable lost it; the text tells the cause (`loss: draw 0.031 < 0.05`). Stands in the
    /// place of `Sent`; only a frame that was under way when its cable was cut has both.
    Lost(String),
    /// A machine discarded it later (a record of its own that names the packet): no bytes, and the machine's first interface.
    DroppedLater(DropReason),
}

/// One frame at one end of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRecord {
    /// When.
    pub at: Instant,
    /// The machine at whose port it was seen.
    pub machine: MachineId,
    /// Index of the interface in [`crate::Lab::interfaces`].
    pub interface: u32,
    /// What happened to it there.
    pub moment: Moment,
    /// Stays the same over hops.
    pub id: PacketId,
    /// What an impairment did to this frame, if anything (`corrupted bit 112`, `duplicate`, `reordered by 3 ms`); where it left,
    /// why TCP sent it again and what its window did (`TCP retransmission: RTO, 2nd of seq 1:1449`).
    pub note: Option<String>,
    /// The frame, cut and filled, without the frame check sequence.
    pub bytes: Vec<u8>,
}

/// One end of a cable, as a capture's interface block describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `alice/eth0`; an end outside of the lab: `tap:heptad0`
    pub name: String,
    /// `to r1/eth0`
    pub description: String,
    /// The machine.
    pub machine: MachineId,
    /// `eth0`
    pub port: String,
    /// The cable's name.
    pub link: String,
    /// Bare IP instead of Ethernet.
    pub bare_ip: bool,
}
