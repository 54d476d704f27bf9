//! A learning switch (IEEE 802.1D clause 7): remembers behind which port a station is, floods what it does not know.
//! What it makes of groups is in [`snooping`].
mod groups;
mod message;
mod plan;
mod querier;
mod query;
mod shown;
mod snooping;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use heptad_stack::time::Duration;
use heptad_stack::wire::ethernet::{EthernetHeader, HEADER_LEN};
use heptad_stack::wire::{MacAddr, PacketBuf, Pool};
use heptad_stack::{Counters, DropReason, Instant};

use crate::fabric::Arrived;
use crate::machine::{Body, Machine, Socketed};
use crate::{Lab, MachineId};

pub(crate) use plan::Surroundings;
use querier::Asker;
pub use shown::{SnoopedGroup, SnoopedQuerier, SnoopedRouter, SwitchGroups};
use snooping::Snooping;

/// Most stations remembered; frames for others are flooded.
pub(crate) const TABLE_BOUND: usize = 1024;
/// A station that was silent for longer is forgotten (802.1D table 7-5).
pub(crate) const AGEING: Duration = Duration::from_secs(300);

/// Where a frame goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// Out of one port.
    To(usize),
    /// Out of these ports, each once.
    Ports(Vec<usize>),
    /// Out of all but the one it came in by.
    Flood,
    /// Nowhere: its station is where it came from.
    Stay,
}

/// The table of one switch.
pub(crate) struct Switch {
    pub counters: Counters,
    /// For its own frames, and for cutting what an outgoing cable does not carry whole.
    pool: Pool,
    stations: BTreeMap<MacAddr, (usize, Instant)>,
    /// `None`: frames of groups go everywhere.
    snooping: Option<Snooping>,
}
impl Switch {
    /// `origin` is the machine's number.
    pub fn new(origin: u32, snooping: Option<Snooping>) -> Self {
        Self {
            counters: Counters::default(),
            pool: Pool::new(origin),
            stations: BTreeMap::new(),
            snooping,
        }
    }
    /// A frame came in by a port.
    pub fn receive(
        &mut self,
        port: usize,
        frame: &mut PacketBuf,
        now: Instant,
    ) -> Result<Forward, DropReason> {
        let header = frame
            .peek(HEADER_LEN)
            .and_then(EthernetHeader::parse)
            .map_err(|_| DropReason::LinkHeader)?;
        let EthernetHeader {
            dst,
            src,
            ethertype,
        } = header;
        self.learn(src, port, now);
        let [a, b, c, d, e, last] = dst.0;
        // 01:80:c2:00:00:00 to 0f are for the switch itself (802.1D table 7-10).
        if [a, b, c, d, e] == [1, 0x80, 0xc2, 0, 0] && last < 16 {
            return Ok(Forward::Stay);
        }
        if dst.is_multicast() {
            return match &mut self.snooping {
                Some(snooping) if dst != MacAddr::BROADCAST => {
                    snooping.receive(port, src, ethertype, frame, now)
                }
                _ => Ok(Forward::Flood),
            };
        }
        Ok(match self.stations.get(&dst) {
            Some((there, _)) if *there == port => Forward::Stay,
            Some((there, seen)) if now.since(*seen) <= AGEING => Forward::To(*there),
            _ => Forward::Flood,
        })
    }
    fn learn(&mut self, station: MacAddr, port: usize, now: Instant) {
        if station.is_multicast() {
            return;
        }
        if self.stations.len() >= TABLE_BOUND && !self.stations.contains_key(&station) {
            self.stations
                .retain(|_, (_, seen)| now.since(*seen) <= AGEING);
            if self.stations.len() >= TABLE_BOUND {
                return;
            }
        }
        self.stations.insert(station, (port, now));
    }
    /// When it has something to say of itself. What it says keeps nobody waiting.
    pub fn poll_at(&self) -> Option<Instant> {
        self.snooping.as_ref().and_then(Snooping::poll_at)
    }
    /// It is time.
    pub fn on_timeout(&mut self, now: Instant) {
        if let Some(snooping) = &mut self.snooping {
            snooping.on_timeout(now, &mut self.pool);
        }
    }
    /// The next frame of its own.
    fn poll_transmit(&mut self) -> Option<(Forward, PacketBuf)> {
        self.snooping.as_mut().and_then(Snooping::poll_transmit)
    }
}

impl Lab {
    /// A frame reaches a switch.
    pub(crate) fn receive_at_switch(&mut self, id: MachineId, arrived: Arrived) {
        let now = self.now;
        let (ports, switch) = switch_of(&mut self.machines, id);
        let Arrived {
            port,
            mut frame,
            mark,
        } = arrived;
        let copies = self.fabric.observation.copy(&frame);
        let forward = match mark.corrupted {
            Some(_) => Err(DropReason::FrameCheck),
            None => switch.receive(port, &mut frame, now),
        };
        let verdict = forward.as_ref().map(|_| ()).map_err(|reason| *reason);
        if let Err(reason) = verdict {
            switch.counters.dropped(reason);
        }
        self.fabric
            .received(now, &ports[port], verdict, mark, copies);
        self.forward(id, Some(port), &forward.unwrap_or(Forward::Stay), frame);
        self.drain(id);
    }
    /// Frames of a switch's own leave it.
    pub(crate) fn drain_switch(&mut self, id: MachineId) {
        while let Some((forward, frame)) = switch_of(&mut self.machines, id).1.poll_transmit() {
            self.forward(id, None, &forward, frame);
        }
    }
    /// A switch sends a frame on that came in by a port, or one of its own; copies of it keep its id.
    fn forward(&mut self, id: MachineId, from: Option<usize>, to: &Forward, frame: PacketBuf) {
        let now = self.now;
        let (ports, switch) = switch_of(&mut self.machines, id);
        let mut send = |port: &Socketed, frame| {
            self.fabric.transmit(now, port, frame, &mut switch.pool);
        };
        match to {
            Forward::Stay => {}
            Forward::To(there) => {
                if let Some(out) = ports.get(*there) {
                    send(out, frame);
                }
            }
            Forward::Ports(there) => {
                for out in there.iter().filter_map(|port| ports.get(*port)) {
                    send(out, frame.duplicate());
                }
            }
            Forward::Flood => {
                for (_, out) in ports.iter().enumerate().filter(|(n, _)| Some(*n) != from) {
                    send(out, frame.duplicate());
                }
            }
        }
    }
}

fn switch_of(machines: &mut [Machine], id: MachineId) -> (&[Socketed], &mut Switch) {
    let Machine { ports, body, .. } = &mut machines[id.0 as usize];
    match body {
        Body::Switch(switch) => (ports, switch),
        _ => panic!("a switch's frame at a machine that is none"),
    }
}
