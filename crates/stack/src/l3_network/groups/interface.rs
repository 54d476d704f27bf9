//! One interface as a member of its groups: what it reports when (RFC 9776 5 to 7; RFC 9777 6 to 8 say the same of IPv6).
//!
//! ```text
//!   change  ─▶ told at once and robustness - 1 times more, within a second each
//!   query   ─▶ answered once, at a random time within what it allows
//!   a query of an older version ─▶ its reports instead, one a group, unless another member was first
//! ```
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

use heptad_wire::group::{Message, Query, Record, RecordKind, Version};

use super::filter::{Filter, Mode, Tally};
use super::is_reported;
use crate::time::Duration;
use crate::{Instant, Rng};

/// Most groups of an interface.
pub const MOST_GROUPS: usize = 1024;
/// Most sources that the filters of one group on an interface name.
pub const MOST_SOURCES: usize = 1024;
/// Most sources of a question that are remembered until it is answered; beyond them the whole group is.
const MOST_ASKED: usize = 256;
/// RFC 9776 8.1 and 8.2, unless the querier tells its own.
const ROBUSTNESS: u8 = 2;
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// RFC 9776 8.11, RFC 9777 9.11: within this, changes are told again.
const UNSOLICITED: Duration = Duration::from_secs(1);
/// The same of the older versions (RFC 2236 8.10, RFC 2710 7.10).
const UNSOLICITED_OLD: Duration = Duration::from_secs(10);

/// One interface and its groups of one family.
pub struct Interface {
    groups: BTreeMap<IpAddr, Group>,
    querier: Querier,
    /// What is spoken now: the version of the oldest querier that was heard lately.
    version: Version,
    /// When changes are told next.
    change_at: Option<Instant>,
    /// When a general query is answered.
    general_at: Option<Instant>,
    /// Groups of which a leave is to be told, to queriers of an older version.
    left: BTreeSet<IpAddr>,
}

/// What queries told of the querier.
struct Querier {
    /// Until when one of version 1 and one of version 2 is thought to be there.
    older: [Option<Instant>; 2],
    robustness: u8,
    interval: Duration,
}

#[derive(Default)]
struct Group {
    tally: Tally,
    /// How many times a new mode is still to be told.
    mode_left: u8,
    /// The same of sources that came or went.
    sources_left: BTreeMap<IpAddr, u8>,
    answer: Option<Answer>,
    older: Older,
}
/// A question that is to be answered.
struct Answer {
    at: Instant,
    /// For these sources; none: for the group.
    sources: BTreeSet<IpAddr>,
}
/// Membership as versions 1 and 2 have it.
#[derive(Default)]
struct Older {
    report_at: Option<Instant>,
    /// Reports still to be made without being asked.
    left: u8,
    /// We were the last to report: others may think that nobody else is here.
    last_reporter: bool,
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            querier: Querier {
                older: [None; 2],
                robustness: ROBUSTNESS,
                interval: QUERY_INTERVAL,
            },
            version: Version::V3,
            change_at: None,
            general_at: None,
            left: BTreeSet::new(),
        }
    }
}

// ── membership ───────────────────────────────────────────────────────────────────────────────────────────────────────

impl Interface {
    /// A filter for a group takes another's place (`None`: there is none). `false`, and nothing changed, beyond the bounds.
    pub fn change(
        &mut self,
        ip: IpAddr,
        before: Option<&Filter>,
        after: Option<&Filter>,
        reports: bool,
    ) -> bool {
        let present = self.groups.get(&ip).map(|group| group.tally.sources());
        if present.is_none() && (after.is_none() || self.groups.len() >= MOST_GROUPS) {
            return after.is_none();
        }
        let more = more_sources(before, after);
        if more > 0 && present.unwrap_or(0) + more > MOST_SOURCES {
            return false;
        }
        let group = self.groups.entry(ip).or_default();
        let was = group.tally.filter();
        if let Some(before) = before {
            group.tally.remove(before);
        }
        if let Some(after) = after {
            group.tally.add(after);
        }
        let is = group.tally.filter();
        if reports && is_reported(ip) {
            self.tell(ip, &was, &is);
        }
        self.forget_if_over(ip);
        true
    }
    /// Whether a group is joined, and whether a source of it is wanted by anyone.
    pub fn admits(&self, ip: IpAddr, source: IpAddr) -> Option<bool> {
        let group = self.groups.get(&ip).filter(|group| group.tally.len() > 0)?;
        Some(group.tally.passes(source))
    }
    /// Groups and how many joined each.
    pub fn rows(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        let rows = self
            .groups
            .iter()
            .map(|(ip, group)| (*ip, group.tally.len()));
        rows.filter(|(_, count)| *count > 0)
    }
    /// All memberships are told as if they were new: the reports before had no address to come from (RFC 3590 4).
    pub fn announce(&mut self) {
        let robustness = self.querier.robustness;
        let is_v3 = self.version == Version::V3;
        for (_, group) in self.groups.iter_mut().filter(|(ip, _)| is_reported(**ip)) {
            match is_v3 {
                true => group.mode_left = robustness,
                false => group.older.tell(robustness),
            }
        }
        self.change_at = is_v3.then_some(Instant::ZERO);
    }

    /// RFC 9776 5.1: what is to be told of the way from one filter to the next.
    fn tell(&mut self, ip: IpAddr, was: &Filter, is: &Filter) {
        let Some(group) = self.groups.get_mut(&ip).filter(|_| was != is) else {
            return;
        };
        let robustness = self.querier.robustness;
        if self.version != Version::V3 {
            // An older querier knows members and others, nothing between.
            if *was == Filter::NOTHING {
                group.older.tell(robustness);
            } else if *is == Filter::NOTHING {
                let tells = self.version == Version::V2 && group.older.last_reporter;
                group.older = Older::default();
                group.answer = None;
                if tells && self.left.len() < MOST_GROUPS {
                    self.left.insert(ip);
                }
            }
            return;
        }
        if was.mode != is.mode {
            group.mode_left = robustness;
            group.sources_left.clear();
        } else {
            for source in was.sources.symmetric_difference(&is.sources) {
                group.sources_left.insert(*source, robustness);
            }
        }
        self.change_at = Some(Instant::ZERO);
    }

    fn forget_if_over(&mut self, ip: IpAddr) {
        let is_over = |group: &Group| group.tally.len() == 0 && !group.is_changing();
        if self.groups.get(&ip).is_some_and(is_over) {
            self.groups.remove(&ip);
        }
    }
}

// ── what is heard ────────────────────────────────────────────────────────────────────────────────────────────────────

impl Interface {
    /// A router's question.
    pub fn hear_query(&mut self, query: &Query, now: Instant, rng: &mut Rng) {
        let within = Duration::from_millis(query.max_response.into());
        self.querier.learn(query, within, now);
        self.settle_version(now);
        let at = now + random(within, rng);
        match self.version {
            Version::V3 if query.group.is_unspecified() => {
                self.general_at = Some(self.general_at.map_or(at, |pending| pending.min(at)));
            }
            Version::V3 => self.asked(query, at),
            older => self.asked_by_older(query, older, within, now, rng),
        }
    }
    /// Another member of a group, as versions 1 and 2 report it: one is enough for them (RFC 2236 3).
    pub fn hear_report(&mut self, ip: IpAddr, now: Instant) {
        self.settle_version(now);
        let Some(group) = self.groups.get_mut(&ip) else {
            return;
        };
        if self.version != Version::V3 && group.older.report_at.is_some() {
            group.older = Older::default();
        }
    }

    /// RFC 9776 5.2, rules 1 and 3 to 5: a question about one group.
    fn asked(&mut self, query: &Query, at: Instant) {
        if self.general_at.is_some_and(|general| general < at) {
            return;
        }
        let group = self.groups.get_mut(&query.group);
        let Some(group) = group.filter(|group| group.tally.len() > 0) else {
            return;
        };
        let asked: BTreeSet<IpAddr> = query.sources.iter().take(MOST_ASKED).copied().collect();
        let whole = query.sources.is_empty() || query.sources.len() > MOST_ASKED;
        let asked = if whole { BTreeSet::new() } else { asked };
        let Some(pending) = &mut group.answer else {
            group.answer = Some(Answer { at, sources: asked });
            return;
        };
        pending.at = pending.at.min(at);
        if asked.is_empty() || pending.sources.is_empty() {
            pending.sources.clear();
            return;
        }
        pending.sources.extend(asked);
        if pending.sources.len() > MOST_ASKED {
            pending.sources.clear();
        }
    }

    /// RFC 2236 3, RFC 2710 4: each group has its own time; one that is sooner stays.
    fn asked_by_older(
        &mut self,
        query: &Query,
        version: Version,
        within: Duration,
        now: Instant,
        rng: &mut Rng,
    ) {
        // Version 1 asks for all groups, whatever a younger querier beside it asks for.
        let all = query.group.is_unspecified() || version == Version::V1;
        let joined = |(ip, group): &(&IpAddr, &mut Group)| {
            group.tally.filter() != Filter::NOTHING && is_reported(**ip)
        };
        for (ip, group) in self.groups.iter_mut().filter(joined) {
            if !all && *ip != query.group {
                continue;
            }
            let at = now + random(within, rng);
            let sooner = group
                .older
                .report_at
                .filter(|pending| *pending <= now + within);
            group.older.report_at = Some(sooner.unwrap_or(at));
        }
    }

    /// RFC 9776 7.2.1: with another version all that waits is cancelled.
    fn settle_version(&mut self, now: Instant) {
        let version = self.querier.version(now);
        if core::mem::replace(&mut self.version, version) == version {
            return;
        }
        (self.change_at, self.general_at) = (None, None);
        self.left.clear();
        for group in self.groups.values_mut() {
            let tally = core::mem::take(&mut group.tally);
            *group = Group {
                tally,
                ..Group::default()
            };
        }
        self.groups.retain(|_, group| group.tally.len() > 0);
    }
}

impl Querier {
    fn learn(&mut self, query: &Query, within: Duration, now: Instant) {
        let slot = match query.version {
            Version::V1 => 0,
            Version::V2 => 1,
            Version::V3 => {
                self.robustness = match query.robustness {
                    0 => ROBUSTNESS,
                    told => told,
                };
                self.interval = match query.interval {
                    0 => QUERY_INTERVAL,
                    told => Duration::from_secs(told.into()),
                };
                return;
            }
        };
        // RFC 9776 8.12: Older Version Querier Present Timeout.
        let present = self.interval * u32::from(self.robustness) + within;
        self.older[slot] = Some(now + present);
    }
    fn version(&self, now: Instant) -> Version {
        let here = |until: Option<Instant>| until.is_some_and(|until| now < until);
        match self.older {
            [v1, _] if here(v1) => Version::V1,
            [_, v2] if here(v2) => Version::V2,
            _ => Version::V3,
        }
    }
}

// ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────────

impl Interface {
    /// When something is to be told.
    pub fn due(&self) -> Option<Instant> {
        let groups = self.groups.values();
        let groups = groups.flat_map(|g| [g.answer.as_ref().map(|a| a.at), g.older.report_at]);
        let leaves = (!self.left.is_empty()).then_some(Instant::ZERO);
        let own = [self.change_at, self.general_at, leaves];
        groups.chain(own).flatten().min()
    }
    /// What is to be told by now: records are not cut into packets yet.
    pub fn serve(&mut self, now: Instant, rng: &mut Rng) -> Vec<Message> {
        self.settle_version(now);
        let mut messages = Vec::new();
        match self.version {
            Version::V3 => {
                let mut records = self.answers(now);
                self.changes(now, rng, &mut records);
                if !records.is_empty() {
                    messages.push(Message::Records(records));
                }
            }
            version => self.older_reports(version, now, rng, &mut messages),
        }
        let left = core::mem::take(&mut self.left).into_iter();
        messages.extend(left.map(|group| Message::Leave { group }));
        messages
    }

    /// RFC 9776 5.2: what answers the questions whose time has come.
    fn answers(&mut self, now: Instant) -> Vec<Record> {
        let is_due = |at: Instant| at <= now;
        let general = self.general_at.take_if(|at| is_due(*at)).is_some();
        let mut records = Vec::new();
        for (ip, group) in &mut self.groups {
            let answer = group.answer.take_if(|answer| is_due(answer.at));
            if !is_reported(*ip) {
                continue;
            }
            match answer {
                _ if general => records.extend(current(*ip, &group.tally.filter())),
                Some(answer) if answer.sources.is_empty() => {
                    records.extend(current(*ip, &group.tally.filter()));
                }
                Some(answer) => records.extend(wanted(*ip, &group.tally, answer.sources)),
                None => {}
            }
        }
        records
    }

    fn changes(&mut self, now: Instant, rng: &mut Rng, records: &mut Vec<Record>) {
        if self.change_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        for (ip, group) in &mut self.groups {
            group.changes(*ip, records);
        }
        self.groups
            .retain(|_, group| group.tally.len() > 0 || group.is_changing());
        if self.groups.values().any(Group::is_changing) {
            self.change_at = Some(now + random(UNSOLICITED, rng));
        }
    }

    fn older_reports(
        &mut self,
        version: Version,
        now: Instant,
        rng: &mut Rng,
        messages: &mut Vec<Message>,
    ) {
        for (ip, group) in &mut self.groups {
            let older = &mut group.older;
            if older.report_at.take_if(|at| *at <= now).is_none() {
                continue;
            }
            let group = *ip;
            messages.push(Message::Report { version, group });
            older.last_reporter = true;
            older.left = older.left.saturating_sub(1);
            if older.left > 0 {
                older.report_at = Some(now + random(UNSOLICITED_OLD, rng));
            }
        }
    }
}

impl Older {
    fn tell(&mut self, times: u8) {
        self.left = times;
        self.report_at = Some(Instant::ZERO);
    }
}

impl Group {
    fn is_changing(&self) -> bool {
        self.mode_left > 0 || !self.sources_left.is_empty()
    }
    /// The records of one state-change report; what they tell is told once less.
    fn changes(&mut self, group: IpAddr, records: &mut Vec<Record>) {
        if !self.is_changing() {
            return;
        }
        let filter = self.tally.filter();
        let record = |kind, sources| Record {
            kind,
            group,
            sources,
        };
        if self.mode_left > 0 {
            self.mode_left -= 1;
            let kind = match filter.mode {
                Mode::Include => RecordKind::ToInclude,
                Mode::Exclude => RecordKind::ToExclude,
            };
            records.push(record(kind, filter.sources.into_iter().collect()));
        } else {
            let (allowed, blocked): (Vec<_>, Vec<_>) =
                self.sources_left.keys().partition(|s| filter.passes(**s));
            for (kind, sources) in [(RecordKind::Allow, allowed), (RecordKind::Block, blocked)] {
                if !sources.is_empty() {
                    records.push(record(kind, sources));
                }
            }
        }
        self.sources_left.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
    }
}

/// How many sources a filter names that the one before it did not.
fn more_sources(before: Option<&Filter>, after: Option<&Filter>) -> usize {
    let known = |source: &IpAddr| before.is_some_and(|before| before.sources.contains(source));
    after.map_or(0, |after| {
        after.sources.iter().filter(|source| !known(source)).count()
    })
}

/// A current-state record; none for a group that nobody wants anything of.
fn current(group: IpAddr, filter: &Filter) -> Option<Record> {
    let kind = match filter.mode {
        Mode::Include => RecordKind::IsInclude,
        Mode::Exclude => RecordKind::IsExclude,
    };
    (*filter != Filter::NOTHING).then(|| Record {
        kind,
        group,
        sources: filter.sources.iter().copied().collect(),
    })
}

/// Which of these sources are wanted.
fn wanted(group: IpAddr, tally: &Tally, asked: BTreeSet<IpAddr>) -> Option<Record> {
    let wanted = asked.into_iter().filter(|source| tally.passes(*source));
    let sources: Vec<_> = wanted.collect();
    (!sources.is_empty()).then_some(Record {
        kind: RecordKind::IsInclude,
        group,
        sources,
    })
}

/// A time of at least a nanosecond and less than `most`.
fn random(most: Duration, rng: &mut Rng) -> Duration {
    let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.below(most).max(1))
}

#[cfg(test)]
mod tests;
