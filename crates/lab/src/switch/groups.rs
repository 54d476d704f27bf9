//! Who is in which group behind which port, as members told; each is forgotten when it was silent for long.
use core::net::IpAddr;
use std::collections::BTreeMap;

use heptad_stack::Instant;
use heptad_stack::time::Duration;

/// Most groups of both families (the default of Linux's `mcast_hash_max`).
pub(crate) const GROUP_BOUND: usize = 4096;

/// The members of every group.
#[derive(Default)]
pub(super) struct Groups {
    groups: BTreeMap<IpAddr, BTreeMap<usize, Member>>,
    /// Who is still to be asked whether it is there: when, of which group, behind which port; how often yet.
    asks: BTreeMap<(Instant, IpAddr, usize), u8>,
    /// Reports that found no room.
    refused: u64,
    /// Until then there may be members that are not known, for want of room.
    crowded_until: Option<Instant>,
}

/// Everybody in one group behind one port.
struct Member {
    until: Instant,
    /// Until then one of them knows IGMPv1 only: it does not hear who asks for one group, so nobody's leaving counts.
    old_until: Option<Instant>,
    /// When it is asked next; the entry of `asks`.
    asked: Option<Instant>,
}

impl Groups {
    /// A member told of itself; it is remembered for `lifetime`.
    pub fn join(
        &mut self,
        group: IpAddr,
        port: usize,
        old: bool,
        now: Instant,
        lifetime: Duration,
    ) {
        if !self.has_room(group, now) {
            self.refused += 1;
            self.crowded_until = Some(now + lifetime);
            return;
        }
        let until = now + lifetime;
        let members = self.groups.entry(group).or_default();
        let member = members.entry(port).or_insert(Member {
            until,
            old_until: None,
            asked: None,
        });
        member.until = until;
        if old {
            member.old_until = Some(until);
        }
        if let Some(at) = member.asked.take() {
            self.asks.remove(&(at, group, port));
        }
    }
    fn has_room(&mut self, group: IpAddr, now: Instant) -> bool {
        if self.groups.len() < GROUP_BOUND || self.groups.contains_key(&group) {
            return true;
        }
        self.forget_the_silent(now);
        self.groups.len() < GROUP_BOUND
    }
    fn forget_the_silent(&mut self, now: Instant) {
        let asks = &mut self.asks;
        self.groups.retain(|group, members| {
            members.retain(|port, member| {
                let stays = member.until > now;
                if let Some(at) = member.asked.filter(|_| !stays) {
                    asks.remove(&(at, *group, *port));
                }
                stays
            });
            !members.is_empty()
        });
    }
    /// Who is in the group behind the port has `within` to say so, or is forgotten. Whether that is news to anybody.
    pub fn lower(&mut self, group: IpAddr, port: usize, now: Instant, within: Duration) -> bool {
        let member = self.groups.get_mut(&group).and_then(|m| m.get_mut(&port));
        let Some(member) = member.filter(|member| member.until > now) else {
            return false;
        };
        // RFC 9776 7.3.2: leaving is ignored in the compatibility mode of IGMPv1.
        if member.old_until.is_some_and(|until| until > now) {
            return false;
        }
        let limit = now + within;
        let lowers = limit < member.until;
        member.until = member.until.min(limit);
        lowers
    }
    /// The same behind every port.
    pub fn lower_all(&mut self, group: IpAddr, now: Instant, within: Duration) {
        let ports: Vec<usize> = self.ports(group, now).collect();
        for port in ports {
            self.lower(group, port, now, within);
        }
    }
    /// A member is to be asked at a time, and so many times in all.
    pub fn ask_at(&mut self, at: Instant, group: IpAddr, port: usize, times: u8) {
        let member = self.groups.get_mut(&group).and_then(|m| m.get_mut(&port));
        let Some(member) = member.filter(|_| times > 0) else {
            return;
        };
        if let Some(before) = member.asked.replace(at) {
            self.asks.remove(&(before, group, port));
        }
        self.asks.insert((at, group, port), times);
    }
    /// The next member that is to be asked by now, and how many times it is.
    pub fn next_ask(&mut self, now: Instant) -> Option<(IpAddr, usize, u8)> {
        let (&(at, group, port), &times) = self.asks.first_key_value()?;
        if at > now {
            return None;
        }
        self.asks.pop_first();
        let member = self.groups.get_mut(&group).and_then(|m| m.get_mut(&port));
        if let Some(member) = member {
            member.asked = None;
        }
        Some((group, port, times))
    }
    /// When somebody is to be asked. O(log n).
    pub fn ask_due(&self) -> Option<Instant> {
        self.asks.first_key_value().map(|((at, ..), _)| *at)
    }
    /// The ports behind which a group has members.
    pub fn ports(&self, group: IpAddr, now: Instant) -> impl Iterator<Item = usize> {
        let members = self.groups.get(&group).into_iter().flatten();
        let alive = members.filter(move |(_, member)| member.until > now);
        alive.map(|(port, _)| *port)
    }
    /// Whether a group may have members that are not known.
    pub fn is_crowded(&self, now: Instant) -> bool {
        self.crowded_until.is_some_and(|until| until > now)
    }
    /// Reports that found no room so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }
    /// Every member: its group, its port, and until when it is remembered.
    pub fn all(&self, now: Instant) -> impl Iterator<Item = (IpAddr, usize, Instant)> {
        let all = self.groups.iter().flat_map(|(group, members)| {
            let one = |(port, member): (&usize, &Member)| (*group, *port, member.until);
            members.iter().map(one)
        });
        all.filter(move |(.., until)| *until > now)
    }
}
