//! A switch that knows which ports want a group's frames (RFC 4541), and asks for it if nobody else does.
//!
//! ```text
//!   a query  ─▶ every port; who asked is behind a router port
//!   a report ─▶ router ports; its port wants the group for a while
//!   a group's frame ─▶ the ports that want it, and router ports
//! ```
//!
//! While nobody asks, members fall silent, and every frame goes everywhere.
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use heptad_stack::time::Duration;
use heptad_stack::wire::group::{Message, Query, Record, RecordKind, Version};
use heptad_stack::wire::{EtherType, MacAddr, PacketBuf, Pool};
use heptad_stack::{DropReason, Instant};

use super::Forward;
use super::groups::Groups;
use super::message::{self, Heard};
use super::querier::{Asker, Querier, Timing};
use super::query;

/// What a switch is told of groups, and by whom.
pub(crate) struct Snooping {
    pub(super) groups: Groups,
    /// Of IPv4, of IPv6.
    pub(super) sides: [Side; 2],
    /// Ports behind which there are stations that never say what they want: they get everything.
    pub(super) silent: BTreeSet<usize>,
    /// Frames of its own that wait to leave.
    out: VecDeque<(Forward, PacketBuf)>,
}

/// What is known of one family.
pub(super) struct Side {
    pub querier: Querier,
    /// Ports behind which somebody asks or forwards, until when.
    pub routers: BTreeMap<usize, Instant>,
}
impl Side {
    fn new(own: Option<Asker>) -> Self {
        Self {
            querier: Querier::new(own),
            routers: BTreeMap::new(),
        }
    }
    fn router_ports(&self, now: Instant) -> impl Iterator<Item = usize> {
        let alive = self.routers.iter().filter(move |(_, until)| **until > now);
        alive.map(|(port, _)| *port)
    }
}

impl Snooping {
    /// `askers`: as who it asks itself, in IPv4 and in IPv6. `silent`: ports behind which stations never say what they want.
    pub fn new(askers: [Option<Asker>; 2], silent: BTreeSet<usize>) -> Self {
        Self {
            groups: Groups::default(),
            sides: askers.map(Side::new),
            silent,
            out: VecDeque::new(),
        }
    }
    fn side(&mut self, address: IpAddr) -> &mut Side {
        &mut self.sides[usize::from(address.is_ipv6())]
    }

    /// A frame to a group came in by a port: where it goes.
    pub fn receive(
        &mut self,
        port: usize,
        station: MacAddr,
        ethertype: EtherType,
        frame: &mut PacketBuf,
        now: Instant,
    ) -> Result<Forward, DropReason> {
        Ok(match message::read(frame, ethertype)? {
            Heard::Other => Forward::Flood,
            Heard::Data(group) => self.way(group, port, now),
            Heard::Message { from, message } => {
                let is_query = matches!(message, Message::Query(_));
                self.learn(port, Asker::new(from, station), message, now);
                match is_query {
                    true => Forward::Flood,
                    false => self.way_of_reports(from, port, now),
                }
            }
        })
    }
    /// Where a group's frame goes that came in by a port.
    fn way(&mut self, group: IpAddr, from: usize, now: Instant) -> Forward {
        let is_settled = self.side(group).querier.is_settled(now);
        if !is_settled || is_for_everybody(group) {
            return Forward::Flood;
        }
        let mut ports: BTreeSet<usize> = self.groups.ports(group, now).collect();
        if ports.is_empty() && self.groups.is_crowded(now) {
            return Forward::Flood;
        }
        ports.extend(self.side(group).router_ports(now));
        self.but_for(from, ports)
    }
    /// Where reports go: who does not ask need not hear them, and in IGMPv2 a member that heard another's would be silent.
    fn way_of_reports(&mut self, family: IpAddr, from: usize, now: Instant) -> Forward {
        let side = self.side(family);
        if !side.querier.is_settled(now) {
            return Forward::Flood;
        }
        let ports = side.router_ports(now).collect();
        self.but_for(from, ports)
    }
    fn but_for(&self, from: usize, mut ports: BTreeSet<usize>) -> Forward {
        ports.extend(&self.silent);
        ports.remove(&from);
        Forward::Ports(ports.into_iter().collect())
    }

    fn learn(&mut self, port: usize, from: Asker, message: Message, now: Instant) {
        match message {
            Message::Query(query) => self.asked(port, from, &query, now),
            Message::Report { version, group } => {
                self.joined(group, port, version == Version::V1, now);
            }
            Message::Leave { group } => self.left(group, port, now),
            Message::Records(records) => {
                for record in records {
                    self.learn_record(port, &record, now);
                }
            }
        }
    }
    /// The filter of sources is left to who filters: a switch sends a group's frames whole or not at all.
    fn learn_record(&mut self, port: usize, record: &Record, now: Instant) {
        let Record {
            kind,
            group,
            sources,
        } = record;
        let is_none = sources.is_empty();
        match kind {
            RecordKind::IsExclude | RecordKind::ToExclude => self.joined(*group, port, false, now),
            RecordKind::IsInclude | RecordKind::ToInclude if is_none => {
                self.left(*group, port, now)
            }
            RecordKind::IsInclude | RecordKind::ToInclude => self.joined(*group, port, false, now),
            RecordKind::Allow if !is_none => self.joined(*group, port, false, now),
            // The last source of a member that includes goes so: is it there still?
            RecordKind::Block if !is_none => self.left(*group, port, now),
            RecordKind::Allow | RecordKind::Block => {}
        }
    }
    fn joined(&mut self, group: IpAddr, port: usize, old: bool, now: Instant) {
        if !group.is_multicast() || is_for_everybody(group) {
            return;
        }
        let lifetime = self.side(group).querier.timing(now).membership();
        self.groups.join(group, port, old, now, lifetime);
    }
    /// Who asks makes sure that nobody else is left behind the port; another one will hear of it and ask.
    fn left(&mut self, group: IpAddr, port: usize, now: Instant) {
        if self.side(group).querier.asks(now).is_none() {
            return;
        }
        let usual = Timing::default();
        let within = usual.last_member(Timing::LAST_MEMBER_INTERVAL);
        if self.groups.lower(group, port, now, within) {
            self.groups.ask_at(now, group, port, usual.robustness);
        }
    }
    fn asked(&mut self, port: usize, from: Asker, query: &Query, now: Instant) {
        let side = self.side(from.address);
        let is_general = query.group.is_unspecified() || query.version == Version::V1;
        let wins = is_general && side.querier.heard(from, query, now);
        // One without an address is no router, but who asks is to hear the answers.
        if wins || !from.address.is_unspecified() {
            let timing = side.querier.timing(now);
            let until = now + timing.other_querier_present();
            side.routers.insert(port, until);
        }
        if !is_general && !query.suppress && query.sources.is_empty() {
            let response = Duration::from_millis(query.max_response.into());
            let within = Timing::of(query).last_member(response);
            self.groups.lower_all(query.group, now, within);
        }
    }

    /// When it has something to say.
    pub fn poll_at(&self) -> Option<Instant> {
        let [v4, v6] = self.sides.each_ref().map(|side| side.querier.due());
        [v4, v6, self.groups.ask_due()].into_iter().flatten().min()
    }
    /// It is time.
    pub fn on_timeout(&mut self, now: Instant, pool: &mut Pool) {
        for side in &mut self.sides {
            if let Some(asker) = side.querier.ask(now) {
                let frame = query::general(&asker, pool);
                self.out.push_back((Forward::Flood, frame));
            }
        }
        while let Some((group, port, times)) = self.groups.next_ask(now) {
            let Some(asker) = self.side(group).querier.asks(now) else {
                continue;
            };
            let frame = query::specific(&asker, group, pool);
            self.out.push_back((Forward::To(port), frame));
            let next = now + Timing::LAST_MEMBER_INTERVAL;
            self.groups.ask_at(next, group, port, times - 1);
        }
    }
    /// The next frame of its own.
    pub fn poll_transmit(&mut self) -> Option<(Forward, PacketBuf)> {
        self.out.pop_front()
    }
}

/// Groups that everybody is in without a word: those of the link in IPv4 (RFC 4541 2.1.2, 2), in IPv6 all nodes and what
/// does not leave a node (RFC 9777 6).
fn is_for_everybody(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(group) => group == message::ALL_NODES || group.octets()[1] & 0x0f < 2,
    }
}

#[cfg(test)]
mod tests;
