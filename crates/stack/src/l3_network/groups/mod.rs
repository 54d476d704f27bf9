//! The groups that this host is in: who joined what, and what routers are told of it. One machine for IGMP (RFC 9776) and
//! MLD (RFC 9777); only [`messages`] knows which of the two writes the bytes.
//!
//! ```text
//!   socket: Memberships ──filter──▶ Interface: Tally ──change──▶ report, and again
//!                                       ▲          ◀──query────  a router
//!                                       └─ admits(group, source)  what comes from the cable
//! ```
//!
//! Addresses in here are without zones: an interface is one link.
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_wire::group::{Message, Query, Record, RecordKind};

use super::zone::bare_ip;
use crate::l1_physical::PortId;
use crate::{Instant, Rng};

mod filter;
mod interface;
mod memberships;
mod messages;

pub use filter::{Filter, Mode};
use interface::Interface;
pub use memberships::{Membership, MembershipError, Memberships};

/// Every host is in it (RFC 1112 4).
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Every node is in it (RFC 4291 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// By which link a program means a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Link {
    /// As routing picks.
    #[default]
    Any,
    /// This one.
    Port(PortId),
    /// The one that has this address of ours.
    Address(Ipv4Addr),
}

/// What becomes of a packet that was sent to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Somebody here wants it.
    Member,
    /// The group was joined, but nobody wants this source.
    Filtered,
    /// The group was not joined.
    Stranger,
}

/// A message that is to leave.
pub struct Told {
    /// By this port.
    pub port: PortId,
    /// To whom.
    pub to: IpAddr,
    /// What.
    pub message: Message,
}

/// The groups of one host.
pub struct Groups {
    /// Delays have a stream of their own: who joins nothing draws nothing.
    rng: Rng,
    /// By port and whether it is IPv6.
    interfaces: BTreeMap<(PortId, bool), Interface>,
    outbox: VecDeque<Told>,
    due: Option<Instant>,
}

impl Groups {
    /// Without any; its delays come from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [4; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            rng: Rng::from_seed(bytes),
            interfaces: BTreeMap::new(),
            outbox: VecDeque::new(),
            due: None,
        }
    }
    /// A filter for a group on a port takes another's place; `None`: there is none. `false` beyond the bounds of an
    /// interface, and then nothing changed.
    pub fn change(
        &mut self,
        port: PortId,
        group: IpAddr,
        before: Option<&Filter>,
        after: Option<&Filter>,
    ) -> bool {
        let reports = port != PortId::LOOPBACK;
        let interface = self.interface(port, group);
        let changed = interface.change(bare_ip(group), before, after, reports);
        self.reschedule();
        changed
    }
    /// The host itself wants to hear a group.
    pub fn join(&mut self, port: PortId, group: IpAddr) {
        // The bound is for programs: hosts join a few groups for each of their few addresses.
        self.change(port, group, None, Some(&Filter::EVERYTHING));
    }
    /// And no longer.
    pub fn leave(&mut self, port: PortId, group: IpAddr) {
        self.change(port, group, Some(&Filter::EVERYTHING), None);
    }
    /// What becomes of a packet to a group that came in by a port.
    pub fn admits(&self, port: PortId, group: IpAddr, source: IpAddr) -> Admission {
        if group == IpAddr::V4(ALL_SYSTEMS) {
            return Admission::Member;
        }
        let interface = self.interfaces.get(&(port, group.is_ipv6()));
        match interface.and_then(|i| i.admits(bare_ip(group), bare_ip(source))) {
            Some(true) => Admission::Member,
            Some(false) => Admission::Filtered,
            None => Admission::Stranger,
        }
    }
    /// A port on which somebody wants this packet.
    pub fn port_that_admits(&self, group: IpAddr, source: IpAddr) -> Option<PortId> {
        let mut ports = self.interfaces.keys().map(|(port, _)| *port);
        ports.find(|port| self.admits(*port, group, source) == Admission::Member)
    }
    /// Groups of one family, by port, and how many joined each.
    pub fn rows(&self, is_v6: bool) -> impl Iterator<Item = (PortId, IpAddr, u32)> {
        let interfaces = self.interfaces.iter();
        let interfaces = interfaces.filter(move |((_, v6), _)| *v6 == is_v6);
        interfaces.flat_map(|((port, _), interface)| {
            interface.rows().map(|(group, count)| (*port, group, count))
        })
    }
    /// Reports of IPv6 have an address to come from at last.
    pub fn announce_v6(&mut self, port: PortId) {
        if let Some(interface) = self.interfaces.get_mut(&(port, true)) {
            interface.announce();
        }
        self.reschedule();
    }
    /// A router asks.
    pub fn hear_query(&mut self, port: PortId, query: &Query, now: Instant) {
        let Some(interface) = self.interfaces.get_mut(&(port, query.group.is_ipv6())) else {
            return;
        };
        interface.hear_query(query, now, &mut self.rng);
        self.reschedule();
    }
    /// Another member reports.
    pub fn hear_report(&mut self, port: PortId, group: IpAddr, now: Instant) {
        if let Some(interface) = self.interfaces.get_mut(&(port, group.is_ipv6())) {
            interface.hear_report(group, now);
        }
        self.reschedule();
    }
    /// When something is to be told.
    pub fn poll_at(&self) -> Option<Instant> {
        match self.outbox.is_empty() {
            true => self.due,
            false => Some(Instant::ZERO),
        }
    }
    /// The next message that is to leave by now; `room` tells how many bytes of records a port's packets of a family hold.
    pub fn poll(&mut self, now: Instant, room: impl Fn(PortId, bool) -> usize) -> Option<Told> {
        if self.due.is_some_and(|due| due <= now) {
            for ((port, is_v6), interface) in &mut self.interfaces {
                if interface.due().is_none_or(|due| due > now) {
                    continue;
                }
                for message in interface.serve(now, &mut self.rng) {
                    let room = room(*port, *is_v6);
                    self.outbox.extend(told(*port, *is_v6, message, room));
                }
            }
            self.reschedule();
        }
        self.outbox.pop_front()
    }

    fn interface(&mut self, port: PortId, group: IpAddr) -> &mut Interface {
        self.interfaces.entry((port, group.is_ipv6())).or_default()
    }
    fn reschedule(&mut self) {
        self.due = self.interfaces.values().filter_map(Interface::due).min();
    }
}

/// Whether routers are told of a group: not of those that everybody is in, nor of those that stay within the host
/// (RFC 9776 5, RFC 9777 6).
fn is_reported(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group != ALL_SYSTEMS,
        IpAddr::V6(group) => group != ALL_NODES && group.octets()[1] & 0x0f > 1,
    }
}

/// A message in as many packets as it needs, with whom it is for.
fn told(port: PortId, is_v6: bool, message: Message, room: usize) -> Vec<Told> {
    let (members, routers): (IpAddr, IpAddr) = match is_v6 {
        false => ([224, 0, 0, 22].into(), [224, 0, 0, 2].into()),
        true => (
            [0xff02, 0, 0, 0, 0, 0, 0, 0x16].into(),
            [0xff02, 0, 0, 0, 0, 0, 0, 2].into(),
        ),
    };
    let one = |to, message| Told { port, to, message };
    match message {
        Message::Records(records) => {
            let address = if is_v6 { 16 } else { 4 };
            let packets = packed(records, address, room).into_iter();
            packets
                .map(|records| one(members, Message::Records(records)))
                .collect()
        }
        Message::Report { group, .. } => alloc::vec![one(group, message)],
        Message::Leave { .. } | Message::Query(_) => alloc::vec![one(routers, message)],
    }
}

/// Records in packets. RFC 9776 4.2.16: one with too many sources is split, but "all but these" would be wrong with some of
/// them missing in each: its list is cut short.
fn packed(records: Vec<Record>, address: usize, room: usize) -> Vec<Vec<Record>> {
    let header = Record::header_len(address);
    let most = room.saturating_sub(header) / address;
    let size = |record: &Record| header + record.sources.len() * address;
    let (mut packets, mut used) = (Vec::<Vec<Record>>::new(), room);
    for mut record in records {
        loop {
            let rest = record
                .sources
                .split_off(most.max(1).min(record.sources.len()));
            let cut = matches!(record.kind, RecordKind::IsExclude | RecordKind::ToExclude);
            let next = (!rest.is_empty() && !cut).then_some(Record {
                sources: rest,
                ..record
            });
            if used + size(&record) > room {
                packets.push(Vec::new());
                used = 0;
            }
            used += size(&record);
            if let Some(packet) = packets.last_mut() {
                packet.push(record);
            }
            match next {
                Some(next) => record = next,
                None => break,
            }
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record's type and how many sources it has.
    type Shape = (RecordKind, usize);

    fn record(kind: RecordKind, sources: usize) -> Record {
        let source = |n: usize| IpAddr::from([10, 0, (n >> 8) as u8, n as u8]);
        Record {
            kind,
            group: [239, 1, 2, 3].into(),
            sources: (0..sources).map(source).collect(),
        }
    }

    #[test]
    fn records_fill_packets_and_long_lists_are_split_or_cut() {
        use RecordKind::{Allow, IsExclude, IsInclude, ToExclude};
        // Room for 100 bytes: a record has 8 and 4 for each source, so 23 sources at most.
        let rows: [(&[Shape], &[&[Shape]]); 5] = [
            (&[], &[]),
            (&[(IsInclude, 3)], &[&[(IsInclude, 3)]]),
            (
                &[(IsExclude, 0), (Allow, 23), (Allow, 1)],
                &[&[(IsExclude, 0)], &[(Allow, 23)], &[(Allow, 1)]],
            ),
            (
                &[(Allow, 50)],
                &[&[(Allow, 23)], &[(Allow, 23)], &[(Allow, 4)]],
            ),
            (
                &[(ToExclude, 50), (Allow, 2)],
                &[&[(ToExclude, 23)], &[(Allow, 2)]],
            ),
        ];
        for (given, expected) in rows {
            let records = given.iter().map(|(kind, n)| record(*kind, *n)).collect();
            let packets = packed(records, 4, 100);
            let shape = |packet: &Vec<Record>| {
                let sizes = packet.iter().map(|r| (r.kind, r.sources.len()));
                sizes.collect::<Vec<_>>()
            };
            let shapes: Vec<_> = packets.iter().map(shape).collect();
            assert_eq!(shapes, expected, "{given:?}");
            let named: usize = packets.iter().flatten().map(|r| r.sources.len()).sum();
            let is_cut = given.first().is_some_and(|(kind, _)| *kind == ToExclude);
            let all: usize = given.iter().map(|(_, n)| n).sum();
            assert_eq!(named, if is_cut { 25 } else { all });
        }
    }
}
