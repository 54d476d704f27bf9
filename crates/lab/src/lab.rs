//! The lab: machines, cables, agenda. Virtual by nature: time moves only in `run_until`.
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};

use heptad_stack::time::Duration;
use heptad_stack::wire::{PacketBuf, PacketId};
use heptad_stack::{Counters, Cx, DropReason, Event, EventMask, Instant, Ready, SocketId, Stack};

use crate::fabric::{Arrived, Fabric};
use crate::faults::FaultRow;
use crate::frames::{FrameRecord, Interface};
use crate::link::{InFlight, Mark};
use crate::machine::{Body, Host, Machine};
use crate::observation::Copy;
use crate::topology::{Change, Division, NodeKind, Topology, TopologyError};

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
    /// Host, router, switch, or outside.
    pub kind: NodeKind,
    /// Its addresses at present: port, address, prefix length.
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

impl Default for LabOptions {
    /// Seed 0, the event hash kept, nothing recorded.
    fn default() -> Self {
        Self {
            seed: 0,
            event_hash: true,
            observe: false,
            events: EventMask::NONE,
        }
    }
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
    /// The description does not hold.
    #[error(transparent)]
    Topology(#[from] TopologyError),
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
    /// Nothing is left to happen but upkeep (see [`Lab::next_work`]).
    Idle,
    /// The limit was reached.
    Reached,
    /// A socket became ready before the limit: time stands at that event (see [`Lab::poll_ready`]).
    Ready,
    /// These machines never let time move.
    Stalled(Vec<MachineId>),
}

/// Most events held until somebody takes them; then the oldest go.
const EVENT_BOUND: usize = 1 << 20;

/// Most frames that a host receives together.
const BATCH_BOUND: usize = 64;

/// A frame that has reached a host, while its verdict is awaited.
struct Seen {
    packet: PacketId,
    mark: Mark,
    copies: Vec<Copy>,
    /// Set if the interface refused it already.
    damage: Option<DropReason>,
}

/// Frames that reach one port of a host at one time. Empty between events; kept for its memory.
#[derive(Default)]
pub(crate) struct Batch {
    seen: Vec<Seen>,
    /// Those of them that the interface let through.
    frames: Vec<PacketBuf>,
    verdicts: Vec<Result<(), DropReason>>,
    refused: Vec<PacketId>,
}

/// A whole network.
pub struct Lab {
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    pub(crate) machines: Vec<Machine>,
    pub(crate) fabric: Fabric,
    pub(crate) names: BTreeMap<String, MachineId>,
    pub(crate) links: BTreeMap<String, usize>,
    /// Those of the file.
    pub(crate) addresses: Vec<Vec<(String, IpAddr, u8)>>,
    /// Ports whose addresses come from routers.
    pub(crate) automatic: Vec<(MachineId, String)>,
    /// Hosts that ask for their addresses of IPv4 before they use them.
    pub(crate) careful: Vec<MachineId>,
    /// Nodes with a way out, each with its gateway.
    pub(crate) gateways: Vec<(MachineId, MachineId)>,
    /// Of the addresses of the file that mean the same everywhere.
    pub(crate) owners: BTreeMap<IpAddr, MachineId>,
    pub(crate) interfaces: Vec<Interface>,
    /// What is left of the timeline, in order of time.
    pub(crate) timeline: VecDeque<Change>,
    /// The same for what it does between nodes.
    pub(crate) divisions: VecDeque<(Duration, Division)>,
    /// How many partitions began, of how many: one that outlasts the run is well.
    pub(crate) divided: (u64, u64),
    /// For each cable with a timeline, how many of its changes were made, of how many.
    pub(crate) changes: BTreeMap<usize, (u64, u64)>,
    /// Machines with a ready socket, each once.
    pub(crate) ready: VecDeque<MachineId>,
    pub(crate) events: VecDeque<(Instant, MachineId, Event)>,
    /// What [`LabOptions::events`] asked for.
    pub(crate) asked_events: EventMask,
    pub(crate) batch: Batch,
}

impl Lab {
    /// Builds machines and cables.
    pub fn new(topology: &Topology, options: LabOptions) -> Result<Self, LabError> {
        crate::build::build(topology, &options)
    }
    /// Time of the last event, or of the last limit that was reached.
    pub fn now(&self) -> Instant {
        self.now
    }
    /// When the next event is due. O(1).
    pub fn next_event(&self) -> Option<Instant> {
        let machine = self.fabric.agenda.first().map(|(at, _)| at);
        [machine, self.next_change()].into_iter().flatten().min()
    }
    /// The same, unless all that is left is upkeep: what machines do for ever without anybody being waited for, such as a
    /// router that says from time to time that it is there. `None` then. O(1).
    pub fn next_work(&self) -> Option<Instant> {
        let is_left = self.fabric.work.is_left() || self.next_change().is_some();
        is_left.then(|| self.next_event()).flatten()
    }
    fn next_change(&self) -> Option<Instant> {
        let change = self.timeline.front().map(|change| change.time);
        let division = self.divisions.front().map(|(time, _)| *time);
        let first = [change, division].into_iter().flatten().min()?;
        Some(Instant::ZERO + first)
    }
    /// Handles events up to and including `limit`. Stops early, after the events of one instant, when a socket became ready
    /// and `stop_when_ready` is set. At most `budget` events a call (then `Reached` with `now()` before the limit).
    ///
    /// Time stands at the limit afterwards (`Reached`, and `Idle` with a limit other than [`Instant::MAX`]), else at the last event.
    /// Upkeep happens at its times up to a limit, but nothing waits for it: without a limit it is not waited for.
    pub fn run_until(&mut self, limit: Instant, stop_when_ready: bool, budget: u64) -> Outcome {
        let mut budget = budget;
        loop {
            let next = self.next_event();
            let time_moves = next.is_none_or(|at| at > self.now);
            if time_moves && stop_when_ready && !self.ready.is_empty() {
                return Outcome::Ready;
            }
            let is_idle = self.next_work().is_none();
            if is_idle && limit == Instant::MAX {
                return Outcome::Idle;
            }
            let Some(at) = next.filter(|at| *at <= limit) else {
                self.now = self.now.max(limit);
                return match is_idle {
                    true => Outcome::Idle,
                    false => Outcome::Reached,
                };
            };
            let Some(left) = budget.checked_sub(1) else {
                return Outcome::Reached;
            };
            budget = left;
            self.now = self.now.max(at);
            if let Some(stalled) = self.event() {
                return Outcome::Stalled(vec![stalled]);
            }
        }
    }
    /// Handles the one event that is due; a machine that never lets time move is returned. Changes of cables come before frames.
    fn event(&mut self) -> Option<MachineId> {
        if self.next_change().is_some_and(|at| at <= self.now) {
            let is_due = |(time, _): &mut (Duration, Division)| Instant::ZERO + *time <= self.now;
            if let Some((_, division)) = self.divisions.pop_front_if(is_due) {
                // A partition that was ended before its time has nothing left to end.
                let _ = self.divide(&division);
                self.divided.0 += u64::from(matches!(division, Division::Part(_)));
            } else if let Some(change) = self.timeline.pop_front()
                && self.change(&change).is_ok()
            {
                let met = self.links.get(&change.link);
                if let Some((made, _)) = met.and_then(|link| self.changes.get_mut(link)) {
                    *made += 1;
                }
            }
            return None;
        }
        let (_, index) = self.fabric.agenda.first()?;
        let id = MachineId(u32::try_from(index).unwrap_or(u32::MAX));
        let machine = &mut self.machines[index];
        if let Some(arrived) = self.fabric.arrive(id, &machine.ports, self.now) {
            machine.patience.renew();
            self.receive(id, arrived);
            return None;
        }
        if machine.patience.is_over(self.now) {
            return Some(id);
        }
        match &mut machine.body {
            Body::Host(host) => host.with(self.now, |stack, cx| stack.on_timeout(cx)),
            Body::Switch(switch) => switch.on_timeout(self.now),
            Body::Outside(_) => {}
        }
        self.collect(id, &[]);
        self.drain(id);
        None
    }
    /// A frame reaches a machine.
    fn receive(&mut self, id: MachineId, arrived: Arrived) {
        match self.machines[id.0 as usize].body {
            Body::Host(_) => self.receive_at_host(id, arrived),
            Body::Switch(_) => self.receive_at_switch(id, arrived),
            Body::Outside(_) => self.receive_outside(id, arrived),
        }
    }
    /// A frame reaches a host, and with it those that arrive at the same port at the same time: the stack may merge them.
    fn receive_at_host(&mut self, id: MachineId, first: Arrived) {
        let now = self.now;
        let Machine { ports, body, .. } = &mut self.machines[id.0 as usize];
        let Body::Host(host) = body else { return };
        let by = &ports[first.port];
        let mut batch = core::mem::take(&mut self.batch);
        let mut next = Some(InFlight {
            frame: first.frame,
            mark: first.mark,
        });
        while let Some(InFlight { frame, mark }) = next {
            let copies = self.fabric.observation.copy(&frame);
            let packet = frame.id();
            let mut damage = None;
            if mark.corrupted.is_some() {
                // The interface looks at the frame check sequence before the host sees anything.
                damage = Some(host.with(now, |stack, cx| stack.receive_damaged(by.id, frame, cx)));
            } else {
                batch.frames.push(frame);
            }
            batch.seen.push(Seen {
                packet,
                mark,
                copies,
                damage,
            });
            let has_room = batch.seen.len() < BATCH_BOUND;
            next = has_room.then(|| self.fabric.arrive_by(by, now)).flatten();
        }
        let Batch {
            seen,
            frames,
            verdicts,
            refused,
        } = &mut batch;
        host.with(now, |stack, cx| {
            stack.receive_batch(by.id, frames, verdicts, cx);
        });
        let mut verdicts = verdicts.drain(..);
        for frame in seen.drain(..) {
            let verdict = match frame.damage {
                Some(reason) => Err(reason),
                None => verdicts.next().expect("a verdict for each frame"),
            };
            refused.extend(verdict.is_err().then_some(frame.packet));
            self.fabric
                .received(now, by, verdict, frame.mark, frame.copies);
        }
        drop(verdicts);
        self.collect(id, &batch.refused);
        batch.refused.clear();
        self.batch = batch;
        self.drain(id);
    }
    /// After each change: frames out of every port, ready sockets, the next time.
    pub(crate) fn drain(&mut self, id: MachineId) {
        match self.machines[id.0 as usize].body {
            Body::Host(_) => self.drain_host(id),
            Body::Switch(_) => self.drain_switch(id),
            Body::Outside(_) => {}
        }
        self.collect(id, &[]);
        self.rearm(id);
    }
    fn drain_host(&mut self, id: MachineId) {
        for port in 0..self.machines[id.0 as usize].ports.len() {
            while self.transmit(id, port) {}
        }
        if let Body::Host(host) = &mut self.machines[id.0 as usize].body
            && host.ready.is_none()
        {
            host.ready = host.stack.poll_ready();
            if host.ready.is_some() {
                self.ready.push_back(id);
            }
        }
    }
    /// The next frame of a port leaves; what the host says of it is heard first. Returns whether there was one.
    fn transmit(&mut self, id: MachineId, port: usize) -> bool {
        let now = self.now;
        let by = self.machines[id.0 as usize].ports[port].id;
        let Body::Host(host) = &mut self.machines[id.0 as usize].body else {
            return false;
        };
        let Some(frame) = host.with(now, |stack, cx| stack.poll_transmit(by, cx)) else {
            return false;
        };
        if self.fabric.observation.is_recording() {
            self.collect(id, &[]);
        }
        let Machine { ports, body, .. } = &mut self.machines[id.0 as usize];
        if let Body::Host(host) = body {
            self.fabric
                .transmit(now, &ports[port], frame, &mut host.pool);
        }
        true
    }
    /// Stands a machine in the agenda where it belongs.
    pub(crate) fn rearm(&mut self, id: MachineId) {
        let (own, has_work) = match &self.machines[id.0 as usize].body {
            Body::Host(host) => {
                let own = host.stack.poll_at().map(|at| at.max(self.now));
                (own, own.is_some() && host.stack.has_work())
            }
            Body::Switch(switch) => (switch.poll_at().map(|at| at.max(self.now)), false),
            Body::Outside(_) => (None, false),
        };
        let arrival = self.fabric.next_arrival(id);
        let at = [own, arrival].into_iter().flatten().min();
        self.fabric.agenda.set(id.0 as usize, at);
        let has_work = has_work || arrival.is_some();
        self.fabric.work.set(id.0 as usize, has_work);
    }
    /// Takes a host's events; its drops become records, but for the packets whose arrival carries that verdict already.
    fn collect(&mut self, id: MachineId, refused: &[PacketId]) {
        let Machine { ports, body, .. } = &mut self.machines[id.0 as usize];
        let Body::Host(host) = body else { return };
        while let Some((at, event)) = host.events.take() {
            if let Event::Drop { id, reason } = event
                && !refused.contains(&id)
                && self.fabric.observation.is_recording()
            {
                self.fabric.dropped_later(self.now, ports, id, reason);
            }
            self.fabric.observation.hear(id, &event);
            if !self.asked_events.intersects(event.class()) {
                continue;
            }
            if self.events.len() >= EVENT_BOUND {
                self.events.pop_front();
            }
            self.events.push_back((at, id, event));
        }
    }
    /// Runs a verb on a host at the present time, then drains it. Panics on what has no sockets: a switch, a machine
    /// outside of the lab.
    pub fn with<R>(
        &mut self,
        machine: MachineId,
        verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R,
    ) -> R {
        let now = self.now;
        let Machine { body, patience, .. } = &mut self.machines[machine.0 as usize];
        let Body::Host(host) = body else {
            panic!("a verb on a machine without sockets");
        };
        patience.renew();
        let answer = host.with(now, verb);
        self.collect(machine, &[]);
        self.drain(machine);
        answer
    }
    fn host(&self, machine: MachineId) -> Option<&Host> {
        match &self.machines.get(machine.0 as usize)?.body {
            Body::Host(host) => Some(host),
            Body::Switch(_) | Body::Outside(_) => None,
        }
    }
    /// Looks at a host without changing it; `None` for what has no sockets.
    pub fn stack(&self, machine: MachineId) -> Option<&Stack> {
        self.host(machine).map(|host| &host.stack)
    }
    /// A host's MIB; of a switch and of a machine outside of the lab only drops are known.
    pub fn counters(&self, machine: MachineId) -> Option<&Counters> {
        match &self.machines.get(machine.0 as usize)?.body {
            Body::Host(host) => Some(&host.counters),
            Body::Outside(outside) => Some(&outside.counters),
            Body::Switch(switch) => Some(&switch.counters),
        }
    }
    /// The nodes with a way out (`uplink = true`), each with its gateway, which stands in for the network outside.
    pub fn uplinks(&self) -> &[(MachineId, MachineId)] {
        &self.gateways
    }
    /// Whether somebody has spoken to the network outside whom nobody has looked at (see [`Stack::poll_stranger`]).
    pub fn has_strangers(&self) -> bool {
        let mut gateways = self.gateways.iter();
        gateways.any(|(_, id)| self.stack(*id).is_some_and(Stack::has_strangers))
    }
    /// A socket whose readiness changed, with its readiness now; machines take turns.
    pub fn poll_ready(&mut self) -> Option<(MachineId, SocketId, Ready)> {
        let id = self.ready.pop_front()?;
        let Body::Host(host) = &mut self.machines[id.0 as usize].body else {
            return None;
        };
        let (socket, _) = host.ready.take()?;
        host.ready = host.stack.poll_ready();
        if host.ready.is_some() {
            self.ready.push_back(id);
        }
        Some((id, socket, host.stack.ready(socket)))
    }
    /// Both ends of every cable, in the order of captures.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }
    /// Changes a cable now (`change.time` is not looked at).
    pub fn change(&mut self, change: &Change) -> Result<(), LabError> {
        let link = *self
            .links
            .get(&change.link)
            .ok_or_else(|| LabError::NoLink(change.link.clone()))?;
        let caps = self.fabric.cables[link].caps();
        for (end, asked) in [&change.forward, &change.backward].into_iter().enumerate() {
            if let Some(asked) = asked {
                let way = &mut self.fabric.cables[link].ways[end];
                let lost = way.set(asked.clone());
                self.fabric.lost_under_way(self.now, link, end, lost);
            }
        }
        let cable = &mut self.fabric.cables[link];
        cable.mtu = change.mtu.unwrap_or(cable.mtu);
        let (ends, after) = (cable.ends, cable.caps());
        for (machine, port) in ends {
            let Machine { ports, body, .. } = &mut self.machines[machine.0 as usize];
            if let (Body::Host(host), Some(port)) = (body, ports.get(port)) {
                if after != caps {
                    host.stack.set_caps(port.id, after);
                }
                if let Some(mtu) = change.mtu {
                    host.stack.set_mtu(port.id, mtu);
                }
            }
            self.drain(machine);
        }
        Ok(())
    }
    /// What a cable does at present: its directions and MTU, as a change that would set the same.
    pub fn link(&self, name: &str) -> Option<Change> {
        let cable = self.fabric.cables.get(*self.links.get(name)?)?;
        let [forward, backward] = &cable.ways;
        Some(Change {
            time: self.now.since(Instant::ZERO),
            link: name.to_owned(),
            forward: Some(forward.asked().clone()),
            backward: Some(backward.asked().clone()),
            mtu: Some(cable.mtu),
        })
    }
    /// Asked and applied faults so far, and how much of the timeline was reached.
    pub fn faults(&self) -> Vec<FaultRow> {
        let name = |id: MachineId| self.machines[id.0 as usize].name.clone();
        let mut rows = self.fabric.faults(name);
        for (&link, &(made, all)) in &self.changes {
            let cable = &self.fabric.cables[link];
            let [a, b] = cable.ends.map(|(machine, _)| name(machine));
            rows.push(FaultRow::timeline(
                &cable.name,
                format!("{a} ↔ {b}"),
                made,
                all,
            ));
        }
        rows.extend(self.fabric.partitions.rows());
        if let (made, all @ 1..) = self.divided {
            rows.push(FaultRow::timeline(
                "partitions",
                "all nodes".to_owned(),
                made,
                all,
            ));
        }
        rows
    }
    /// The hash so far; `None` when it is off.
    pub fn event_hash(&self) -> Option<EventHash> {
        self.fabric.observation.event_hash()
    }
    /// Begins to record frames, or ceases to, from here on. Changes nothing else: the event hash is the same.
    pub fn observe(&mut self, on: bool) {
        if on == self.fabric.observation.is_recording() {
            return;
        }
        self.fabric.observation.set_recording(on);
        let events = self.events_of_hosts();
        for machine in &mut self.machines {
            if let Body::Host(host) = &mut machine.body {
                host.events.set_mask(events);
            }
        }
    }
    /// Hosts tell what captures say of them too while frames are recorded.
    pub(crate) fn events_of_hosts(&self) -> EventMask {
        let said = [
            EventMask::DROP,
            EventMask::TCP_RECOVERY,
            EventMask::TCP_WINDOW,
        ];
        match self.fabric.observation.is_recording() {
            true => EventMask(
                said.iter()
                    .fold(self.asked_events.0, |all, one| all | one.0),
            ),
            false => self.asked_events,
        }
    }
    /// Takes the frames recorded since.
    pub fn take_frames(&mut self) -> Vec<FrameRecord> {
        self.fabric.observation.take()
    }
    /// Frames that were recorded but went because nobody took them.
    pub fn lost_frame_records(&self) -> u64 {
        self.fabric.observation.lost_records()
    }
    /// Takes the hosts' events since, in order of time.
    pub fn take_events(&mut self) -> Vec<(Instant, MachineId, Event)> {
        core::mem::take(&mut self.events).into()
    }
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}
