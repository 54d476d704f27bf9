//! Real cables of a running lab: a thread reads from each interface of the kernel; whoever made frames for it writes them.
//!
//! ```text
//!   reader thread: read a batch ─▶ lock ─▶ inject ─▶ pump ─▶ unlock ─▶ write what is due
//!   any other:                     lock ─▶ verb   ─▶ pump ─▶ unlock ─▶ write what is due
//! ```
//!
//! One writes at a time, so that frames keep their order; who finds another writing leaves its frames to that one.
use std::sync::Arc;

use heptad_device::{DeviceError, Interface, Offloads, Reader};
use heptad_lab::MachineId;
use heptad_stack::wire::PacketBuf;
use heptad_stack::{Caps, DropReason};

use crate::shared::Shared;
use crate::world::World;

/// Most frames that are read before they enter the lab.
const BATCH: usize = 64;
/// How often a writer looks for more before it leaves that to the reader's thread: it has work of its own.
const ROUNDS: u32 = 16;

/// A real cable under the lock.
pub(crate) struct RealCable {
    machine: MachineId,
    interface: Arc<Interface>,
    /// What the kernel was told last.
    caps: Caps,
    /// Somebody writes, outside of the lock.
    writing: bool,
}

/// What one writer takes along.
pub(crate) struct Outgoing {
    machine: MachineId,
    interface: Arc<Interface>,
    frames: Vec<PacketBuf>,
}

/// What a writer finds when it has written.
enum Refill {
    /// It goes on.
    More,
    /// No frame waits.
    Nothing,
    /// Frames wait, and it has written long enough.
    ForAnother,
}

impl World {
    /// Plugs in the kernel's end of a cable.
    pub(crate) fn plug(
        &mut self,
        machine: MachineId,
        interface: Arc<Interface>,
    ) -> Result<(), DeviceError> {
        let caps = self.lab.real_caps(machine);
        interface.set_offloads(offloads(caps))?;
        self.real_cables.push(RealCable {
            machine,
            interface,
            caps,
            writing: false,
        });
        Ok(())
    }
    /// Tells the kernel what it may leave to us, where a cable carries something else than before.
    pub(crate) fn tell_caps(&mut self) {
        let Self {
            lab, real_cables, ..
        } = self;
        for cable in real_cables {
            let caps = lab.real_caps(cable.machine);
            // Refused: frames that the cable does not carry whole are cut where they enter it.
            if caps != cable.caps && cable.interface.set_offloads(offloads(caps)).is_ok() {
                cable.caps = caps;
            }
        }
    }
    /// Whether frames wait for a writer.
    pub(crate) fn has_outgoing(&self) -> bool {
        let due = |cable: &RealCable| !cable.writing && self.lab.is_outside_due(cable.machine);
        self.real_cables.iter().any(due)
    }
    /// Frames that nobody writes yet: the caller is to, once the lock is open.
    pub(crate) fn take_outgoing(&mut self) -> Vec<Outgoing> {
        let Self {
            lab, real_cables, ..
        } = self;
        let mut all = Vec::new();
        for cable in real_cables {
            if cable.writing || !lab.is_outside_due(cable.machine) {
                continue;
            }
            cable.writing = true;
            let (machine, interface) = (cable.machine, cable.interface.clone());
            let frames = std::iter::from_fn(|| lab.poll_outside(machine)).collect();
            all.push(Outgoing {
                machine,
                interface,
                frames,
            });
        }
        all
    }
    /// More for the writer of a cable, if it may go on; else it is none any more, and whether frames are left for
    /// another is the answer. A cable that was pulled out has no writers.
    fn refill(&mut self, outgoing: &mut Outgoing, may_go_on: bool) -> Refill {
        let machine = outgoing.machine;
        let Self {
            lab, real_cables, ..
        } = self;
        let mut cables = real_cables.iter_mut();
        let Some(cable) = cables.find(|cable| cable.machine == machine) else {
            return Refill::Nothing;
        };
        cable.writing = may_go_on && lab.is_outside_due(machine);
        if cable.writing {
            let more = std::iter::from_fn(|| lab.poll_outside(machine));
            outgoing.frames.extend(more);
            return Refill::More;
        }
        match lab.is_outside_due(machine) {
            true => Refill::ForAnother,
            false => Refill::Nothing,
        }
    }
    /// The run is over: the kernel's ends go, and with them the interfaces that were made for it.
    pub(crate) fn unplug_all(&mut self) {
        for cable in self.real_cables.drain(..) {
            cable.interface.wake();
        }
    }
}

/// A cable that cuts is as a wire to the kernel: it cuts and fills as well.
fn offloads(caps: Caps) -> Offloads {
    match caps.super_segments {
        true => Offloads::ALL,
        false => Offloads::NONE,
    }
}

impl Shared {
    /// Writes frames until none is left, or until others have waited for this thread long enough.
    pub(crate) fn write_out(&self, mut outgoing: Outgoing) {
        let mut refused = Vec::new();
        for round in 1..=ROUNDS {
            for frame in outgoing.frames.drain(..) {
                if outgoing.interface.write(&frame).is_err() {
                    refused.push(frame.id());
                }
            }
            let mut world = self.lock();
            for id in refused.drain(..) {
                let reason = DropReason::DeviceRefused;
                world.lab.refuse(outgoing.machine, id, reason);
            }
            match world.refill(&mut outgoing, round < ROUNDS) {
                Refill::More => {}
                Refill::Nothing => return,
                Refill::ForAnother => return outgoing.interface.wake(),
            }
        }
    }

    /// The thread of an interface: brings its frames into the lab. Ends with the run, or with the interface.
    pub(crate) fn read_interface(&self, machine: MachineId, interface: &Interface) {
        let mut reader = Reader::new(machine.0);
        let mut frames = Vec::with_capacity(BATCH);
        loop {
            let read = self.read_batch(interface, &mut reader, &mut frames);
            let stopped = self.with_world(|world| {
                if world.stopped {
                    return true;
                }
                let wall = self.wall();
                for frame in frames.drain(..) {
                    world.lab.inject(machine, wall, frame);
                }
                if let Err(error) = &read {
                    let said = format!("{} {}: {error}", interface.kind(), interface.name());
                    world.cable_error.get_or_insert(said);
                }
                false
            });
            if stopped || read.is_err() {
                return;
            }
        }
    }
    fn read_batch(
        &self,
        interface: &Interface,
        reader: &mut Reader,
        frames: &mut Vec<PacketBuf>,
    ) -> std::io::Result<()> {
        interface.wait()?;
        while frames.len() < BATCH
            && let Some(frame) = reader.read(interface)?
        {
            frames.push(frame);
        }
        Ok(())
    }
}
