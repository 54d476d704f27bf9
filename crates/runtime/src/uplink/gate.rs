//! The loop: strangers at the gateways, connections, flows.
use core::net::SocketAddr;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use heptad_lab::MachineId;
use heptad_stack::stack::{Refusal, Stranger, Wish};

use super::connections::{Ends, Openings, refuse};
use super::datagrams::{self, Flow, FlowId, Flows, no_echo};
use super::{Directions, outside};
use crate::Network;
use crate::splice::stream::Stream;
use crate::splice::{BOTH_WAYS, SWEEP, Shared, Splice};

/// Strangers looked at before others have their turn.
const TURN: usize = 64;

/// The thread's state. Everything has a key of its own.
pub(super) struct Gate {
    splice: Splice,
    directions: Directions,
    gateways: Vec<MachineId>,
    /// The key of strangers at any gateway.
    strangers: u64,
    openings: Openings,
    flows: Flows,
    flow_keys: HashMap<FlowId, u64>,
}

impl Gate {
    pub(super) fn new(
        network: Network,
        shared: Arc<Shared>,
        directions: Directions,
    ) -> io::Result<Self> {
        let gateways = network.lab(|lab| lab.uplinks().iter().map(|(_, id)| *id).collect());
        let mut splice = Splice::new(network, shared)?;
        Ok(Self {
            strangers: splice.keys.draw(),
            splice,
            directions,
            gateways,
            openings: Openings::default(),
            flows: HashMap::new(),
            flow_keys: HashMap::new(),
        })
    }

    /// Serves until it is told to finish and everything has left.
    pub(super) fn serve(mut self) {
        self.watch_strangers();
        while let Some(keys) = self.splice.next_turn(self.patience()) {
            for key in keys {
                self.serve_key(key);
            }
            self.sweep();
        }
    }

    fn patience(&self) -> Option<Duration> {
        (!self.flows.is_empty() || !self.openings.is_empty()).then_some(SWEEP)
    }

    fn serve_key(&mut self, key: u64) {
        if key == self.strangers {
            self.greet();
        } else if self.openings.is_dialling(key) {
            self.openings
                .answered(&self.splice.network, key, &mut self.splice.keys);
        } else if self.openings.is_door(key) {
            self.accept(key);
        } else {
            self.serve_flow(key);
        }
    }

    // ── strangers ────────────────────────────────────────────────────────────────────────────────────────────────

    /// Looks at some of those who wait at the gateways.
    fn greet(&mut self) {
        for index in 0..self.gateways.len() {
            let Some(gateway) = self.gateways.get(index).copied() else {
                return;
            };
            for _ in 0..TURN {
                let next = self
                    .splice
                    .network
                    .with(gateway, |stack, _| stack.poll_stranger());
                let Some(stranger) = next else {
                    break;
                };
                self.meet(gateway, stranger);
            }
        }
        // Rings at once if somebody is left.
        self.watch_strangers();
    }

    fn watch_strangers(&self) {
        let waker = self.splice.keys.waker(self.strangers);
        self.splice.network.watch_strangers(&waker);
    }

    fn meet(&mut self, gateway: MachineId, mut stranger: Stranger) {
        let Some(at) = (self.directions)(stranger.to) else {
            return self.refuse(gateway, &mut stranger, Refusal::Prohibited);
        };
        match stranger.wish {
            Wish::Connection => self.dial(gateway, stranger, at),
            Wish::Datagrams => self.begin_datagrams(gateway, stranger, at),
            Wish::Echo { .. } => self.echo(gateway, stranger, at),
        }
    }

    fn dial(&mut self, gateway: MachineId, stranger: Stranger, at: SocketAddr) {
        let ends = Ends::of(gateway, &stranger);
        let Some(mut stranger) = self.openings.renew(ends, stranger) else {
            return;
        };
        if self.splice.is_full(self.openings.len()) {
            // It is not heard, and tries again.
            return;
        }
        let outside = match outside::stream_to(at) {
            Ok(outside) => outside,
            Err(error) => return refuse(&self.splice.network, gateway, &mut stranger, error),
        };
        let key = self.splice.keys.draw();
        if self.splice.hear(&outside, key, BOTH_WAYS).is_ok() {
            self.openings.dial(ends, outside, stranger, key);
        }
    }

    fn accept(&mut self, door: u64) {
        let keys = &self.splice.keys;
        let arrived = self.openings.arrived(&self.splice.network, door, keys);
        for (key, outside, inside) in arrived {
            let stream = Stream::joined(outside, inside);
            self.splice.add_stream(key, stream);
        }
    }

    fn begin_datagrams(&mut self, gateway: MachineId, mut stranger: Stranger, at: SocketAddr) {
        let id = FlowId::of(gateway, &stranger);
        if let Some(flow) = self.flow(id) {
            return flow.0.take(flow.1, stranger);
        }
        let outside = match outside::datagrams_to(at) {
            Ok(outside) => outside,
            Err(error) => return refuse(&self.splice.network, gateway, &mut stranger, error),
        };
        let key = self.splice.keys.draw();
        let waker = self.splice.keys.waker(key);
        if let Some(flow) =
            Flow::datagrams(&self.splice.network, gateway, stranger, (outside, waker))
        {
            self.add_flow(key, flow);
        }
    }

    fn echo(&mut self, gateway: MachineId, mut stranger: Stranger, at: SocketAddr) {
        let id = FlowId::of(gateway, &stranger);
        if !self.flow_keys.contains_key(&id) {
            match Flow::echoes(id, at.ip()) {
                Ok(flow) => {
                    let key = self.splice.keys.draw();
                    self.add_flow(key, flow);
                }
                Err(error) => {
                    let refusal = no_echo(error);
                    let told = refusal.map(|refusal| self.refuse(gateway, &mut stranger, refusal));
                    return told.unwrap_or_default();
                }
            }
        }
        if let Some((flow, network)) = self.flow(id) {
            flow.take(network, stranger);
        }
    }

    fn refuse(&self, gateway: MachineId, stranger: &mut Stranger, refusal: Refusal) {
        self.splice
            .network
            .with(gateway, |stack, cx| stack.refuse(stranger, refusal, cx));
    }

    // ── flows ────────────────────────────────────────────────────────────────────────────────────────

    fn serve_flow(&mut self, key: u64) {
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        match flow.turn(&mut self.splice, &self.directions) {
            Some(true) => self.splice.again.push(key),
            Some(false) => {}
            None => self.forget(key),
        }
    }
    fn flow(&mut self, id: FlowId) -> Option<(&mut Flow, &Network)> {
        let flow = self.flows.get_mut(self.flow_keys.get(&id)?)?;
        Some((flow, &self.splice.network))
    }
    fn add_flow(&mut self, key: u64, flow: Flow) {
        let heard = self.splice.hear(flow.outside(), key, BOTH_WAYS);
        if heard.is_err() {
            return;
        }
        if self.flows.len() >= datagrams::MOST {
            let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.used());
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.forget(oldest);
            }
        }
        self.flow_keys.insert(flow.id, key);
        self.flows.insert(key, flow);
        self.splice.again.push(key);
    }
    fn forget(&mut self, key: u64) {
        if let Some(flow) = self.flows.remove(&key) {
            self.flow_keys.remove(&flow.id);
            flow.forgotten();
        }
    }

    fn sweep(&mut self) {
        let Some(now) = self.splice.sweep_due() else {
            return;
        };
        self.openings.sweep(&self.splice.network, now);
        let idle = self.flows.iter().filter(|(_, flow)| flow.is_idle(now));
        for key in idle.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.forget(key);
        }
    }
}
