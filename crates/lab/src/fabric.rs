//! The cables between machines, with the agenda and the watchers: everything that a frame passes after it left a machine.
use heptad_stack::wire::{PacketBuf, PacketId};
use heptad_stack::{Caps, DropReason, Instant};

use crate::MachineId;
use crate::agenda::Agenda;
use crate::faults::FaultRow;
use crate::link::{Cause, InFlight, Mark, Way};
use crate::machine::Socketed;
use crate::observation::{Copy, Direction, Observation, Place};
use crate::partition::Partitions;
use crate::rules::{Fate, Rules};

/// A cable with both its directions.
pub(crate) struct Cable {
    pub name: String,
    pub mtu: u32,
    /// (machine, index of its port) of both ends.
    pub ends: [(MachineId, usize); 2],
    /// From the first end to the second, and back.
    pub ways: [Way; 2],
    pub rules: Rules,
}
impl Cable {
    /// Plugged into one port with both ends: a host's loopback. Its second direction carries nothing.
    pub fn leads_back(&self) -> bool {
        self.ends[0] == self.ends[1]
    }
    /// What it tells both its ports.
    pub fn caps(&self) -> Caps {
        let only_delays = self.ways.iter().all(|way| way.asked().is_memory());
        if only_delays && self.rules.is_empty() {
            Caps::MEMORY
        } else {
            Caps::FRAMES
        }
    }
}

/// Which machines have something to do that somebody may wait for: more than the upkeep of [`heptad_stack::Stack::has_work`].
pub(crate) struct Work {
    has: Vec<bool>,
    count: usize,
}
impl Work {
    /// None of so many.
    pub fn new(machines: usize) -> Self {
        Self {
            has: vec![false; machines],
            count: 0,
        }
    }
    /// A machine has some, or none.
    pub fn set(&mut self, machine: usize, has: bool) {
        let before = core::mem::replace(&mut self.has[machine], has);
        self.count = self.count + usize::from(has) - usize::from(before);
    }
    /// Whether any machine has. O(1).
    pub fn is_left(&self) -> bool {
        self.count > 0
    }
}

/// A frame that has arrived at a machine.
pub(crate) struct Arrived {
    /// Index of the machine's port.
    pub port: usize,
    pub frame: PacketBuf,
    pub mark: Mark,
}

pub(crate) struct Fabric {
    pub cables: Vec<Cable>,
    /// When each machine is due.
    pub agenda: Agenda,
    /// For which machines that is more than upkeep.
    pub work: Work,
    /// For each machine, when the next frame arrives at each of its ports.
    pub arrivals: Vec<Agenda>,
    pub observation: Observation,
    pub partitions: Partitions,
}
impl Fabric {
    /// A frame leaves a machine's port. `cutter` cuts what the cable does not carry whole.
    pub fn transmit(
        &mut self,
        now: Instant,
        from: &Socketed,
        frame: PacketBuf,
        pool: &mut heptad_stack::wire::Pool,
    ) {
        let whole = frame.cut_plan().is_none();
        if whole || self.cables[from.link].caps().super_segments {
            return self.enter(now, from, frame);
        }
        for frame in frame.cut(pool) {
            self.enter(now, from, frame);
        }
    }
    fn enter(&mut self, now: Instant, from: &Socketed, mut frame: PacketBuf) {
        let copies = self.observation.copy(&frame);
        let cable = &mut self.cables[from.link];
        let way = &mut cable.ways[from.end];
        let place = place(from.link, from.end, cable.ends[from.end].0, now);
        if self.partitions.stand() {
            let machines = [from.end, 1 - from.end].map(|end| cable.ends[end].0);
            let by = self
                .partitions
                .swallows(&mut frame, machines, way.link_header());
            if let Some(cause) = by {
                let way = direction(from.link, from.end);
                return self.observation.lost(place, way, &cause, None, copies);
            }
        }
        if !cable.rules.is_empty() {
            return self.enter_by_rules(now, from, frame, copies);
        }
        let sent = way.send(frame, cable.mtu, now);
        self.entered(from, place, sent, copies);
    }
    fn enter_by_rules(
        &mut self,
        now: Instant,
        from: &Socketed,
        frame: PacketBuf,
        copies: Vec<Copy>,
    ) {
        let cable = &mut self.cables[from.link];
        let place = place(from.link, from.end, cable.ends[from.end].0, now);
        let back = if cable.leads_back() {
            from.end
        } else {
            1 - from.end
        };
        let way = &mut cable.ways[from.end];
        match cable.rules.meet(frame, from.end, way.link_header(), now) {
            Fate::Passes(frame, done) => {
                let sent = way.send_ruled(frame, cable.mtu, now, done);
                self.entered(from, place, sent, copies);
            }
            Fate::Lost { cause, resets } => {
                if let Some(resets) = resets {
                    if let Some(onward) = resets.onward {
                        way.make(onward, now);
                    }
                    cable.ways[back].make(resets.back, now);
                    self.expect(from.link, from.end);
                    self.expect(from.link, back);
                }
                let way = direction(from.link, from.end);
                self.observation.lost(place, way, &cause, None, copies);
            }
        }
    }
    fn entered(
        &mut self,
        from: &Socketed,
        place: Place,
        sent: Result<(), Cause>,
        copies: Vec<Copy>,
    ) {
        match sent {
            Ok(()) => {
                self.observation.sent(place, copies);
                self.expect(from.link, from.end);
            }
            Err(cause) => {
                let direction = direction(from.link, from.end);
                let cause = cause.to_string();
                self.observation
                    .lost(place, direction, &cause, None, copies);
            }
        }
    }
    /// The receiver of a direction stands in the agendas no later than its next frame arrives.
    fn expect(&mut self, link: usize, way: usize) {
        let cable = &self.cables[link];
        let (MachineId(receiver), port) = cable.ends[1 - way];
        let arrival = cable.ways[way].next_arrival();
        self.arrivals[receiver as usize].set(port, arrival);
        if let Some(at) = arrival {
            self.agenda.hurry(receiver as usize, at);
            self.work.set(receiver as usize, true);
        }
    }
    /// When the next frame arrives at a machine. O(1).
    pub fn next_arrival(&self, machine: MachineId) -> Option<Instant> {
        self.arrivals[machine.0 as usize].first().map(|(at, _)| at)
    }
    /// The next frame that has arrived at a machine with these ports by `now`; of those at one time, the first port's.
    pub fn arrive(
        &mut self,
        machine: MachineId,
        ports: &[Socketed],
        now: Instant,
    ) -> Option<Arrived> {
        let (_, port) = self.arrivals[machine.0 as usize]
            .first()
            .filter(|(at, _)| *at <= now)?;
        let InFlight { frame, mark } = self.arrive_by(&ports[port], now)?;
        Some(Arrived { port, frame, mark })
    }
    /// The next frame that has arrived at one port.
    pub fn arrive_by(&mut self, port: &Socketed, now: Instant) -> Option<InFlight> {
        let Socketed { link, hears, .. } = *port;
        let arrived = self.cables[link].ways[hears].arrive(now)?;
        self.expect(link, hears);
        Some(arrived)
    }
    /// A machine has received a frame by a port: what it made of it.
    pub fn received(
        &mut self,
        now: Instant,
        by: &Socketed,
        verdict: Result<(), DropReason>,
        mark: Mark,
        copies: Vec<Copy>,
    ) {
        let note = self
            .observation
            .is_recording()
            .then(|| mark.note())
            .flatten();
        let machine = self.cables[by.link].ends[by.end].0;
        let place = place(by.link, by.end, machine, now);
        let direction = direction(by.link, by.hears);
        self.observation
            .received(place, direction, verdict, note, copies);
    }
    /// A machine discarded a packet that it had taken: noted at its first port, since nobody knows which way it would have gone.
    pub fn dropped_later(
        &mut self,
        now: Instant,
        ports: &[Socketed],
        id: PacketId,
        reason: DropReason,
    ) {
        if let Some(port) = ports.first() {
            let machine = self.cables[port.link].ends[port.end].0;
            let place = place(port.link, port.end, machine, now);
            self.observation.dropped_later(place, id, reason);
        }
    }
    /// Frames that were under way when the cable was cut: noted at the sender's end.
    pub fn lost_under_way(&mut self, now: Instant, link: usize, end: usize, frames: Vec<InFlight>) {
        self.expect(link, end);
        let place = place(link, end, self.cables[link].ends[end].0, now);
        for InFlight { frame, mark } in frames {
            let copies = self.observation.copy(&frame);
            let way = direction(link, end);
            self.observation
                .lost(place, way, "link down: was under way", mark.note(), copies);
        }
    }
    /// Asked and applied faults of every direction.
    pub fn faults(&self, name: impl Fn(MachineId) -> String) -> Vec<FaultRow> {
        let mut rows = Vec::new();
        for cable in &self.cables {
            let [a, b] = cable.ends.map(|(machine, _)| name(machine));
            let [forward, backward] = &cable.ways;
            rows.extend(forward.faults(&cable.name, &format!("{a} → {b}")));
            if !cable.leads_back() {
                rows.extend(backward.faults(&cable.name, &format!("{b} → {a}")));
            }
            rows.extend(cable.rules.rows(&cable.name, [&a, &b]));
        }
        rows
    }
}

/// Interfaces are numbered by cable, both ends of one side by side.
fn place(link: usize, end: usize, machine: MachineId, at: Instant) -> Place {
    let interface = u32::try_from(link * 2 + end).unwrap_or(u32::MAX);
    Place {
        at,
        machine,
        interface,
    }
}

fn direction(link: usize, way: usize) -> Direction {
    Direction {
        link: u32::try_from(link).unwrap_or(u32::MAX),
        backward: way == 1,
    }
}
