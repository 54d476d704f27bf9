//! What follows from a change for the host's lists: drain after each change.
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::demux::Entry;
use super::keepalive;
use super::tcb::tell_state;
use super::telling::tell_syn_resent;
use super::time_wait::TimeWait;
use super::timers::{Item, Key};
use super::{Conn, ConnId, OrphanWait, State, Tcp};
use crate::l1_physical::PortId;
use crate::l3_network::Departure;
use crate::l4_transport::readiness::{Owner, Ready};
use crate::time::Duration;
use crate::{Counter, Cx, DropReason, Instant};

/// Most replies without an endpoint that wait for one port.
const MOST_STRAYS: usize = 1024;
/// How long TCP_CORK holds back a partial segment.
const CORK: Duration = Duration::from_millis(200);

/// Those that have something to send, port by port; they take turns.
#[derive(Default)]
pub struct OutputLists {
    ports: Vec<PortList>,
}
#[derive(Default)]
struct PortList {
    turns: VecDeque<Key>,
    strays: VecDeque<Departure>,
}
impl OutputLists {
    fn port(&mut self, port: PortId) -> &mut PortList {
        let i = usize::from(port.0);
        if self.ports.len() <= i {
            self.ports.resize_with(i + 1, PortList::default);
        }
        &mut self.ports[i]
    }
    /// At the end of the turns.
    pub fn add(&mut self, port: PortId, key: Key) {
        self.port(port).turns.push_back(key);
    }
    /// The next in turn.
    pub fn take(&mut self, port: PortId) -> Option<Key> {
        self.ports.get_mut(usize::from(port.0))?.turns.pop_front()
    }
    /// A segment that no endpoint stands behind any more.
    pub fn add_stray(&mut self, port: PortId, departure: Departure, cx: &mut Cx<'_>) {
        let list = self.port(port);
        if list.strays.len() < MOST_STRAYS {
            list.strays.push_back(departure);
        } else {
            cx.dropped(DropReason::TxQueueFull);
            cx.pool.recycle(departure.packet);
        }
    }
    /// The oldest of those.
    pub fn take_stray(&mut self, port: PortId) -> Option<Departure> {
        self.ports.get_mut(usize::from(port.0))?.strays.pop_front()
    }
    /// Whether anybody waits.
    pub fn is_waiting(&self, port: PortId) -> bool {
        self.ports
            .get(usize::from(port.0))
            .is_some_and(|list| !list.turns.is_empty() || !list.strays.is_empty())
    }
}

/// Whose readiness may have changed.
#[derive(Clone, Copy, Debug)]
pub enum ReadyKey {
    Conn(ConnId),
    Listener(u32),
}

impl Tcp {
    /// A connection changed: put it into the lists that it now belongs to, or let it go.
    pub(super) fn settle(&mut self, id: ConnId, cx: &mut Cx<'_>) {
        self.leave_for_time_wait(id, cx);
        self.end_fast_open(id, cx.now);
        let Some(conn) = self.conns.get_mut(id.index as usize) else {
            return;
        };
        let key = Key {
            item: Item::Conn,
            index: id.index,
            generation: id.generation,
        };
        conn.prepare(self.config.fin_timeout, cx);
        let closed = conn.ep().state == State::Closed;
        if closed {
            let (local, remote) = (conn.ep().local(), conn.ep().remote());
            self.demux.remove(local, remote, Entry::Conn(id));
        }
        if closed && conn.ep().orphan && !conn.wants_output(cx.now) {
            self.free(id);
            return;
        }
        let wants = conn.wants_output(cx.now);
        let next = conn.next_timeout();
        let (charged, charge) = conn.recharge();
        self.memory = self.memory.saturating_sub(charged) + charge;
        let ep = conn.ep_mut();
        if wants && !ep.in_output {
            ep.in_output = true;
            self.output.add(ep.path.port, key);
        }
        if ep.notify {
            ep.notify = false;
            if !ep.in_ready && ep.owner.is_some() {
                ep.in_ready = true;
                self.ready.push_back(ReadyKey::Conn(id));
            }
        }
        let Some(at) = next else {
            return;
        };
        let at = at.max(cx.now + Duration::from_micros(1));
        if ep.armed.is_none_or(|armed| at < armed) {
            self.agenda.add(at, key, ep.armed.is_some());
            ep.armed = Some(at);
            self.sweep_agenda();
        }
    }

    /// TIME-WAIT is a small value of its own; what the program may still read stays in the slot, closed.
    fn leave_for_time_wait(&mut self, id: ConnId, cx: &mut Cx<'_>) {
        let Some(Conn::Open(tcb)) = self.conns.get_mut(id.index as usize) else {
            return;
        };
        if tcb.ep.state != State::TimeWait {
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let expires = cx.now + self.config.fin_timeout;
        // the ACK of the peer's FIN leaves from here
        let (local, remote, port) = (tcb.ep.local(), tcb.ep.remote(), tcb.ep.path.port);
        if tcb.ack.is_owed() {
            let ack = tcb.transmit(super::output::Next::Ack, cx);
            self.output.add_stray(port, ack, cx);
        }
        let entry = TimeWait::new(tcb, generation, expires);
        tcb.ep.state = State::Closed;
        tcb.ep.notify = true;
        tcb.release();
        if self.time_waits.len() >= self.config.max_time_wait {
            self.demux.remove(local, remote, Entry::Conn(id));
            cx.count(Counter::TcpExtTcpTimeWaitOverflow);
            tell_state((local, remote), State::TimeWait, State::Closed, cx);
            return;
        }
        let index = self.time_waits.insert(entry) as u32;
        // It takes the connection's place.
        self.demux.insert(local, remote, Entry::TimeWait(index));
        self.agenda
            .add(expires, time_wait_key(index, &entry), false);
        cx.count(Counter::TcpExtTw);
    }

    fn free(&mut self, id: ConnId) {
        let Some(mut conn) = self.conns.try_remove(id.index as usize) else {
            return;
        };
        if conn.ep().armed.is_some() {
            self.agenda.forget();
        }
        self.orphans -= usize::from(conn.ep().orphan);
        let (charged, _) = conn.recharge();
        self.memory = self.memory.saturating_sub(charged);
    }

    /// A listener's accept queue changed.
    pub(super) fn listener_changed(&mut self, index: u32) {
        if let Some(listener) = self.listeners.get_mut(index as usize)
            && !listener.in_ready
        {
            listener.in_ready = true;
            self.ready.push_back(ReadyKey::Listener(index));
        }
    }

    /// The next whose readiness may have changed.
    pub(super) fn take_ready(&mut self) -> Option<(Owner, Ready)> {
        while let Some(key) = self.ready.pop_front() {
            match key {
                ReadyKey::Listener(index) => {
                    if let Some(listener) = self.listeners.get_mut(index as usize) {
                        listener.in_ready = false;
                        let owner = listener.owner;
                        return Some((owner, self.listener_ready(super::ListenerId(index))));
                    }
                }
                ReadyKey::Conn(id) => {
                    let Some(conn) = self.conn_mut(id) else {
                        continue;
                    };
                    conn.ep_mut().in_ready = false;
                    if let Some(owner) = conn.ep().owner {
                        return Some((owner, conn.ready()));
                    }
                }
            }
        }
        None
    }

    /// The next segment to leave by a port.
    pub(super) fn take_departure(&mut self, port: PortId, cx: &mut Cx<'_>) -> Option<Departure> {
        if let Some(stray) = self.output.take_stray(port) {
            return Some(stray);
        }
        while let Some(key) = self.output.take(port) {
            let departure = match key.item {
                Item::Opening => self.transmit_opening(key, cx),
                Item::Conn => self.transmit_conn(key, cx),
                Item::TimeWait => None,
            };
            if departure.is_some() {
                return departure;
            }
        }
        None
    }
    fn transmit_opening(&mut self, key: Key, cx: &mut Cx<'_>) -> Option<Departure> {
        let opening = self.openings.get_mut(key.index as usize)?;
        if opening.generation != key.generation {
            return None;
        }
        opening.in_output = false;
        if !core::mem::take(&mut opening.wants) {
            return None;
        }
        cx.count(Counter::TcpExtTcpSynRetrans);
        cx.count(Counter::TcpRetransSegs);
        let (ends, times) = (opening.ends(), opening.retries);
        let out = opening.syn_ack(&self.config, cx.now);
        let departure = out.depart(Vec::new(), 1, cx);
        tell_syn_resent(ends, times, departure.packet.id(), cx);
        Some(departure)
    }
    fn transmit_conn(&mut self, key: Key, cx: &mut Cx<'_>) -> Option<Departure> {
        let id = ConnId {
            index: key.index,
            generation: key.generation,
        };
        let config = &self.config;
        let conn = self
            .conns
            .get_mut(id.index as usize)
            .filter(|conn| conn.ep().generation == id.generation)?;
        conn.ep_mut().in_output = false;
        let departure = match conn {
            Conn::Opening(opening) => core::mem::take(&mut opening.wants).then(|| {
                let (ends, times) = ((opening.ep.local(), opening.ep.remote()), opening.retries);
                let out = opening.syn(config, cx.now);
                let departure = out.depart(opening.text(), u16::MAX, cx);
                if times > 0 {
                    tell_syn_resent(ends, times, departure.packet.id(), cx);
                }
                departure
            }),
            Conn::Open(tcb) => tcb.next_segment(cx.now).map(|next| tcb.transmit(next, cx)),
        };
        self.settle(id, cx);
        departure
    }

    /// Does what is due.
    pub(super) fn run_timers(&mut self, cx: &mut Cx<'_>) {
        while let Some((at, key)) = self.agenda.take_due(cx.now) {
            if !self.holds(at, key) {
                self.agenda.was_stale();
                continue;
            }
            match key.item {
                Item::Opening => self.opening_timeout(key.index, cx),
                Item::TimeWait => self.time_wait_timeout(key.index, cx),
                Item::Conn => self.conn_timeout(key, cx),
            }
        }
        self.sweep_agenda();
    }
    /// Entries that no longer hold never outnumber the others by far.
    pub(super) fn sweep_agenda(&mut self) {
        if self.agenda.needs_sweep() {
            let mut agenda = core::mem::take(&mut self.agenda);
            agenda.sweep(|at, key| self.holds(at, key));
            self.agenda = agenda;
        }
    }
    /// Whether an entry of the agenda still speaks of something.
    fn holds(&self, at: Instant, key: Key) -> bool {
        let index = key.index as usize;
        match key.item {
            Item::Opening => self
                .openings
                .get(index)
                .is_some_and(|o| o.generation == key.generation && o.due == at),
            Item::TimeWait => self
                .time_waits
                .get(index)
                .is_some_and(|t| t.generation == key.generation),
            Item::Conn => self
                .conns
                .get(index)
                .is_some_and(|c| c.ep().generation == key.generation && c.ep().armed == Some(at)),
        }
    }
    fn conn_timeout(&mut self, key: Key, cx: &mut Cx<'_>) {
        let id = ConnId {
            index: key.index,
            generation: key.generation,
        };
        let config = &self.config;
        if let Some(conn) = self.conns.get_mut(key.index as usize) {
            conn.ep_mut().armed = None;
            conn.on_timeout(config, cx);
            self.settle(id, cx);
        }
    }
    fn time_wait_timeout(&mut self, index: u32, cx: &mut Cx<'_>) {
        let Some(entry) = self.time_waits.get(index as usize).copied() else {
            return;
        };
        // a FIN that came again had moved the end
        if entry.expires > cx.now {
            self.agenda
                .add(entry.expires, time_wait_key(index, &entry), false);
            return;
        }
        let ends = (entry.local, entry.remote);
        tell_state(ends, State::TimeWait, State::Closed, cx);
        self.remove_time_wait(index);
    }
    /// A TIME-WAIT entry ends.
    pub(super) fn remove_time_wait(&mut self, index: u32) {
        if let Some(entry) = self.time_waits.try_remove(index as usize) {
            self.demux
                .remove(entry.local, entry.remote, Entry::TimeWait(index));
        }
    }
    /// A RST from an opening that its listener leaves behind.
    pub(super) fn reset_opening(&mut self, index: u32, cx: &mut Cx<'_>) {
        let Some(opening) = self.openings.get(index as usize).copied() else {
            return;
        };
        let mut out = opening.ack(cx.now);
        out.flags = heptad_wire::tcp::Flags::RST | heptad_wire::tcp::Flags::ACK;
        out.wnd = 0;
        let departure = out.depart(Vec::new(), 1, cx);
        self.output.add_stray(opening.path.port, departure, cx);
        tell_state(opening.ends(), State::SynReceived, State::Closed, cx);
        self.remove_opening(index);
    }
}

fn time_wait_key(index: u32, entry: &TimeWait) -> Key {
    Key {
        item: Item::TimeWait,
        index,
        generation: entry.generation,
    }
}

impl Conn {
    /// Timers that follow from the state.
    fn prepare(&mut self, fin_timeout: Duration, cx: &mut Cx<'_>) {
        let Self::Open(tcb) = self else {
            return;
        };
        let now = cx.now;
        if tcb.ep.state == State::Closed {
            return;
        }
        tcb.update_persist(now);
        tcb.clock_tally(now);
        if tcb.ep.state == State::FinWait2 && tcb.ep.orphan && tcb.timers.linger.is_none() {
            let chosen = match tcb.ep.options.orphan_wait {
                OrphanWait::No => return tcb.leave_at_once(cx),
                OrphanWait::AsHost => fin_timeout,
                OrphanWait::For(time) => time,
            };
            // As Linux: not so short that what was lost could not come again.
            tcb.timers.linger = Some(now + chosen.max(tcb.rtt.rto() * 7 / 2));
        }
        if !tcb.ep.options.cork || tcb.unsent() == 0 {
            tcb.timers.cork = None;
            tcb.cork_over = false;
        } else if !tcb.cork_over && tcb.timers.cork.is_none() {
            tcb.timers.cork = Some(now + CORK);
        }
        if tcb.timers.keepalive.is_none() {
            tcb.timers.keepalive =
                keepalive::deadline(&tcb.ep.options, &tcb.keepalive).map(|at| at.max(now));
        }
    }
    fn wants_output(&self, now: Instant) -> bool {
        match self {
            Self::Opening(opening) => opening.wants,
            Self::Open(tcb) => tcb.next_segment(now).is_some(),
        }
    }
    fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Opening(opening) => opening.due,
            Self::Open(tcb) => tcb.next_timeout(),
        }
    }
    /// What was charged for it and what is to be charged now.
    fn recharge(&mut self) -> (usize, usize) {
        match self {
            Self::Opening(_) => (0, 0),
            Self::Open(tcb) => {
                let charge = tcb.charge();
                let charged = u32::try_from(charge).unwrap_or(u32::MAX);
                let before = core::mem::replace(&mut tcb.charged, charged);
                (before as usize, charged as usize)
            }
        }
    }
}
