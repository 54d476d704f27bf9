//! Machines outside of the lab, behind an interface of the kernel: where a real cable ends.
//!
//! ```text
//!   the kernel's frame ─▶ inject ─▶ [Ethernet, for a TUN] ─▶ cable
//!   cable ─▶ [ARP answered, Ethernet off, for a TUN] ─▶ bounded queue ─▶ poll_outside ─▶ the kernel
//! ```
mod link_layer;

use std::collections::VecDeque;

use heptad_stack::wire::{MacAddr, PacketBuf, PacketId, Pool};
use heptad_stack::{Caps, Counters, DropReason, Instant};

use crate::fabric::Arrived;
use crate::machine::{Body, Machine, mac};
use crate::topology::NodeKind;
use crate::{Lab, MachineId};

pub(crate) use link_layer::LinkLayer;
use link_layer::{Stripped, dress_for, undress};

/// Most frames, once cut, that wait for the kernel's interface: the largest windows that Linux offers, and some.
const QUEUE_BOUND: u32 = 16_384;

/// A link's end outside of the lab, for whoever opens the kernel's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealCable {
    /// The machine behind it.
    pub machine: MachineId,
    /// Its name in the lab.
    pub node: String,
    /// The link address that the lab has for it.
    pub mac: MacAddr,
    /// The interface's name.
    pub interface: String,
    /// [`NodeKind::Tap`], [`NodeKind::Tun`] or [`NodeKind::Kernel`].
    pub kind: NodeKind,
    /// The cable's MTU, bytes of an IP packet.
    pub mtu: u32,
}

/// The end of a real cable.
pub(crate) struct Outside {
    pub counters: Counters,
    pool: Pool,
    queue: VecDeque<PacketBuf>,
    /// Frames in `queue`, once cut.
    queued: u32,
    layer: Layer,
}

/// What the frames of the kernel's interface and those of the cable have to do with each other.
pub(crate) enum Layer {
    /// They are the same.
    Same,
    /// The interface has no Ethernet, and the cable has.
    Station(LinkLayer),
    /// The interface has Ethernet, and the cable has not: it leads from the machine with this address to itself.
    Loopback(MacAddr),
}
impl Layer {
    /// A packet of the kernel's becomes a frame of the cable.
    fn outward(&self, frame: &mut PacketBuf) -> Result<(), DropReason> {
        match self {
            Self::Same => Ok(()),
            Self::Station(station) => station.dress(frame),
            Self::Loopback(_) => undress(frame),
        }
    }
    /// The other way round.
    fn inward(&mut self, frame: &mut PacketBuf, pool: &mut Pool) -> Result<Stripped, DropReason> {
        match self {
            Self::Same => Ok(Stripped::Packet),
            Self::Station(station) => station.strip(frame, pool),
            Self::Loopback(mac) => dress_for(*mac, frame).map(|()| Stripped::Packet),
        }
    }
}
impl Outside {
    /// `origin` is the machine's number.
    pub fn new(origin: u32, layer: Layer) -> Self {
        Self {
            counters: Counters::default(),
            pool: Pool::new(origin),
            queue: VecDeque::new(),
            queued: 0,
            layer,
        }
    }
    /// A frame came by the cable; perhaps with an answer. `caps` is what the cable carries: one that carries frames only
    /// carries them as a wire does, filled.
    fn receive(
        &mut self,
        mut frame: PacketBuf,
        caps: Caps,
    ) -> Result<Option<PacketBuf>, DropReason> {
        if let Stripped::OfTheLink(answer) = self.layer.inward(&mut frame, &mut self.pool)? {
            return Ok(answer);
        }
        let frames = frame.frames();
        if self.queued > 0 && self.queued.saturating_add(frames) > QUEUE_BOUND {
            return Err(DropReason::DeviceQueueFull);
        }
        if !caps.super_segments {
            frame.fill();
        }
        self.queued = self.queued.saturating_add(frames);
        self.queue.push_back(frame);
        Ok(None)
    }
    fn take(&mut self) -> Option<PacketBuf> {
        let frame = self.queue.pop_front()?;
        self.queued = self.queued.saturating_sub(frame.frames());
        Some(frame)
    }
}

impl Lab {
    /// The ends of links outside of the lab and those of nodes with the kernel's stack, in order of names.
    pub fn real_cables(&self) -> Vec<RealCable> {
        let all = (0..).map(MachineId).zip(&self.machines);
        let outside = all.filter(|(_, machine)| machine.kind.is_kernels());
        outside
            .filter_map(|(id, machine)| {
                let port = machine.ports.first()?;
                Some(RealCable {
                    machine: id,
                    node: machine.name.clone(),
                    mac: mac(id, 0),
                    interface: port.name.clone(),
                    kind: machine.kind,
                    mtu: self.fabric.cables[port.link].mtu,
                })
            })
            .collect()
    }
    /// What the cable of a machine outside carries at present: where it cuts, the kernel is to cut as well.
    pub fn real_caps(&self, outside: MachineId) -> Caps {
        let machine = self.machines.get(outside.0 as usize);
        let port = machine.and_then(|machine| machine.ports.first());
        port.map_or(Caps::FRAMES, |port| self.fabric.cables[port.link].caps())
    }
    /// A frame of the kernel's enters the cable at `at`, or now if that is past. It gets an id of the machine outside. Panics
    /// if the machine is not outside.
    pub fn inject(&mut self, outside: MachineId, at: Instant, mut frame: PacketBuf) {
        let at = at.max(self.now);
        let (ports, end) = outside_of(&mut self.machines, outside);
        let Some(port) = ports.first() else { return };
        let id = end.pool.next_id();
        frame.set_id(id);
        if let Err(reason) = end.layer.outward(&mut frame) {
            return self.refuse(outside, id, reason);
        }
        self.fabric.transmit(at, port, frame, &mut end.pool);
    }
    /// The next frame for the kernel's interface, in the order of arrival. Panics if the machine is not outside.
    pub fn poll_outside(&mut self, outside: MachineId) -> Option<PacketBuf> {
        outside_of(&mut self.machines, outside).1.take()
    }
    /// Whether a frame waits for the kernel's interface.
    pub fn is_outside_due(&self, outside: MachineId) -> bool {
        let machine = self.machines.get(outside.0 as usize);
        machine.is_some_and(|machine| match &machine.body {
            Body::Outside(end) => !end.queue.is_empty(),
            _ => false,
        })
    }
    /// A packet goes no further at a machine outside: counted and recorded. Panics if the machine is not outside.
    pub fn refuse(&mut self, outside: MachineId, id: PacketId, reason: DropReason) {
        let (ports, end) = outside_of(&mut self.machines, outside);
        end.counters.dropped(reason);
        if self.fabric.observation.is_recording() {
            self.fabric.dropped_later(self.now, ports, id, reason);
        }
    }
    /// A frame reaches a machine outside.
    pub(crate) fn receive_outside(&mut self, id: MachineId, arrived: Arrived) {
        let now = self.now;
        let caps = self.real_caps(id);
        let (ports, end) = outside_of(&mut self.machines, id);
        let Arrived { port, frame, mark } = arrived;
        let copies = self.fabric.observation.copy(&frame);
        let taken = match mark.corrupted {
            Some(_) => Err(DropReason::FrameCheck),
            None => end.receive(frame, caps),
        };
        let verdict = taken.as_ref().map(|_| ()).map_err(|reason| *reason);
        if let Err(reason) = verdict {
            end.counters.dropped(reason);
        }
        let by = &ports[port];
        self.fabric.received(now, by, verdict, mark, copies);
        if let Ok(Some(answer)) = taken {
            self.fabric.transmit(now, by, answer, &mut end.pool);
        }
        self.rearm(id);
    }
}

fn outside_of(
    machines: &mut [Machine],
    id: MachineId,
) -> (&[crate::machine::Socketed], &mut Outside) {
    let Machine { ports, body, .. } = &mut machines[id.0 as usize];
    match body {
        Body::Outside(end) => (ports, end),
        _ => panic!("a frame of the kernel's at a machine inside of the lab"),
    }
}

#[cfg(test)]
mod tests;
