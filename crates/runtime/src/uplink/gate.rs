//! The loop: strangers at the gateways, connections, flows, the bell. Edge-triggered; each edge is kept until it is used up.
use core::net::SocketAddr;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use heptad_lab::MachineId;
use heptad_stack::stack::{Refusal, Stranger, Wish};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::connections::{Ends, Openings, refuse};
use super::datagrams::{self, Flow, FlowId, Flows, no_echo};
use super::{Directions, outside};
use crate::Network;
use crate::splice::stream::{Next, Stream};
use crate::splice::{Shared, lock};

/// The key of the bell.
const BELL: u64 = 0;
/// The key of strangers at any gateway.
const STRANGERS: u64 = 1;
/// Most connections at once; who wants one more is not heard, and tries again.
const MOST_STREAMS: usize = 8192;
/// Strangers looked at before others have their turn.
const TURN: usize = 64;
/// Bytes moved at once; no datagram is longer.
const BLOCK: usize = 64 * 1024;
/// How often silent flows are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// Nothing moves any more: a finish is over.
const STILL: Duration = Duration::from_secs(1);
/// How often a finish looks whether it is over.
const WATCH: Duration = Duration::from_millis(20);

/// The thread's state. Everything has a key from one count, never used twice.
pub(super) struct Gate {
    network: Network,
    shared: Arc<Shared>,
    directions: Directions,
    gateways: Vec<MachineId>,
    epoll: OwnedFd,
    next_key: u64,
    openings: Openings,
    streams: HashMap<u64, Stream>,
    flows: Flows,
    flow_keys: HashMap<FlowId, u64>,
    again: Vec<u64>,
    block: Vec<u8>,
    swept: Instant,
    moved: Instant,
    finish: Option<Instant>,
}

impl Gate {
    pub(super) fn new(
        network: Network,
        shared: Arc<Shared>,
        directions: Directions,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = EventData::new_u64(BELL);
        epoll::add(&epoll, &shared.bell, bell, EventFlags::IN)?;
        let gateways = network.lab(|lab| lab.uplinks().iter().map(|(_, id)| *id).collect());
        let now = Instant::now();
        Ok(Self {
            network,
            shared,
            directions,
            gateways,
            epoll,
            next_key: STRANGERS + 1,
            openings: Openings::default(),
            streams: HashMap::new(),
            flows: HashMap::new(),
            flow_keys: HashMap::new(),
            again: Vec::new(),
            block: vec![0; BLOCK],
            swept: now,
            moved: now,
            finish: None,
        })
    }

    /// Serves until it is told to finish and everything has left.
    pub(super) fn serve(mut self) {
        let mut events = Vec::with_capacity(256);
        self.network.watch_strangers(&self.shared.waker(STRANGERS));
        while !self.is_over() {
            let limit = self.patience().map(timespec);
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, limit.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            for epoll::Event { flags, data } in events.drain(..) {
                match data.u64() {
                    BELL => self.answer_bell(),
                    key => self.take_event(key, flags),
                }
            }
            for key in std::mem::take(&mut self.again) {
                self.serve_key(key);
            }
            self.sweep();
        }
    }

    fn is_over(&self) -> bool {
        let Some(finish) = self.finish else {
            return false;
        };
        let now = Instant::now();
        now >= finish || now >= self.moved + STILL || self.streams.values().all(Stream::is_drained)
    }

    fn patience(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            Some(Duration::ZERO)
        } else if self.finish.is_some() {
            Some(WATCH)
        } else {
            (!self.flows.is_empty() || !self.openings.is_empty()).then_some(SWEEP)
        }
    }

    fn new_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }
    fn hear(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(key),
            flags,
        )?)
    }

    fn answer_bell(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.bell, &mut count);
        let (ready, finish) = {
            let mut inbox = lock(&self.shared.inbox);
            (std::mem::take(&mut inbox.ready), inbox.finish)
        };
        if finish.is_some() && self.finish.is_none() {
            self.finish = finish;
            self.moved = Instant::now();
        }
        for key in ready {
            self.serve_key(key);
        }
    }

    fn take_event(&mut self, key: u64, flags: EventFlags) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.note(flags);
        }
        self.serve_key(key);
    }

    fn serve_key(&mut self, key: u64) {
        if key == STRANGERS {
            self.greet();
        } else if self.streams.contains_key(&key) {
            self.serve_stream(key);
        } else if self.openings.is_dialling(key) {
            let new_key = maker(&mut self.next_key, &self.shared);
            self.openings.answered(&self.network, key, new_key);
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
                let next = self.network.with(gateway, |stack, _| stack.poll_stranger());
                let Some(stranger) = next else {
                    break;
                };
                self.meet(gateway, stranger);
            }
        }
        // Rings at once if somebody is left.
        self.network.watch_strangers(&self.shared.waker(STRANGERS));
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
        if self.openings.len() + self.streams.len() >= MOST_STREAMS {
            return;
        }
        let outside = match outside::stream_to(at) {
            Ok(outside) => outside,
            Err(error) => return refuse(&self.network, gateway, &mut stranger, error),
        };
        let key = self.new_key();
        if self.hear(&outside, key).is_ok() {
            self.openings.dial(ends, outside, stranger, key);
        }
    }

    fn accept(&mut self, door: u64) {
        let shared = &self.shared;
        let arrived = self
            .openings
            .arrived(&self.network, door, |key| shared.waker(key));
        for (key, outside, inside) in arrived {
            self.streams.insert(key, Stream::joined(outside, inside));
            self.serve_stream(key);
        }
    }

    fn begin_datagrams(&mut self, gateway: MachineId, mut stranger: Stranger, at: SocketAddr) {
        let id = FlowId::of(gateway, &stranger);
        if let Some(flow) = self.flow(id) {
            return flow.0.take(flow.1, stranger);
        }
        let outside = match outside::datagrams_to(at) {
            Ok(outside) => outside,
            Err(error) => return refuse(&self.network, gateway, &mut stranger, error),
        };
        let key = self.new_key();
        let waker = self.shared.waker(key);
        if let Some(flow) = Flow::datagrams(&self.network, gateway, stranger, (outside, waker)) {
            self.add_flow(key, flow);
        }
    }

    fn echo(&mut self, gateway: MachineId, mut stranger: Stranger, at: SocketAddr) {
        let id = FlowId::of(gateway, &stranger);
        if !self.flow_keys.contains_key(&id) {
            match Flow::echoes(id, at.ip()) {
                Ok(flow) => {
                    let key = self.new_key();
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
        self.network
            .with(gateway, |stack, cx| stack.refuse(stranger, refusal, cx));
    }

    // ── streams and flows ────────────────────────────────────────────────────────────────────────────────────────

    fn serve_stream(&mut self, key: u64) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let mut moved = false;
        match stream.turn(&self.network, &mut self.block, &mut moved) {
            Next::Wait => {}
            Next::Again => self.again.push(key),
            Next::Over => {
                self.streams.remove(&key);
            }
        }
        if moved {
            self.moved = Instant::now();
        }
    }

    fn serve_flow(&mut self, key: u64) {
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        match flow.turn(&self.network, &self.directions, &mut self.block) {
            Some(true) => self.again.push(key),
            Some(false) => {}
            None => self.forget(key),
        }
    }
    fn flow(&mut self, id: FlowId) -> Option<(&mut Flow, &Network)> {
        let flow = self.flows.get_mut(self.flow_keys.get(&id)?)?;
        Some((flow, &self.network))
    }
    fn add_flow(&mut self, key: u64, flow: Flow) {
        if self.hear(flow.outside(), key).is_err() {
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
        self.again.push(key);
    }
    fn forget(&mut self, key: u64) {
        if let Some(flow) = self.flows.remove(&key) {
            self.flow_keys.remove(&flow.id);
            flow.forgotten();
        }
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        self.openings.sweep(&self.network, now);
        let idle = self.flows.iter().filter(|(_, flow)| flow.is_idle(now));
        for key in idle.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.forget(key);
        }
    }
}

/// Makes a key and its waker.
fn maker<'a>(next: &'a mut u64, shared: &'a Arc<Shared>) -> impl FnOnce() -> (u64, Waker) + 'a {
    || {
        let key = *next;
        *next += 1;
        (key, shared.waker(key))
    }
}

fn timespec(limit: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    }
}
