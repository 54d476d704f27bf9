//! Who asks for the members of groups on a network: of all that would, the one with the lowest address (RFC 9776 6.6.2,
//! RFC 9777 7.6.2). One for each family.
use core::net::IpAddr;

use heptad_stack::Instant;
use heptad_stack::time::Duration;
use heptad_stack::wire::MacAddr;
use heptad_stack::wire::group::Query;

/// What who asks goes by (RFC 9776 8, RFC 9777 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// How many messages in a row may be lost.
    pub robustness: u8,
    /// Between two questions to everybody.
    pub query_interval: Duration,
    /// In which everybody answers.
    pub query_response: Duration,
}
impl Default for Timing {
    fn default() -> Self {
        Self {
            robustness: 2,
            query_interval: Duration::from_secs(125),
            query_response: Duration::from_secs(10),
        }
    }
}
impl Timing {
    /// Between two questions for one group, in which its members answer.
    pub const LAST_MEMBER_INTERVAL: Duration = Duration::from_secs(1);

    /// What a question to everybody tells of the one who asks; what it does not tell is as by default.
    pub fn of(query: &Query) -> Self {
        let told = |value: u32| (value > 0).then(|| Duration::from_secs(value.into()));
        let usual = Self::default();
        // RFC 9776 4.1.6 and 4.1.7: the others adopt both.
        Self {
            robustness: match query.robustness {
                0 => usual.robustness,
                told => told,
            },
            query_interval: told(query.interval).unwrap_or(usual.query_interval),
            query_response: Duration::from_millis(query.max_response.into()),
        }
    }
    /// How long a member is remembered: Group Membership Interval, Multicast Address Listening Interval.
    pub fn membership(&self) -> Duration {
        self.query_interval * u32::from(self.robustness) + self.query_response
    }
    /// How long somebody who asked is believed to go on: Other Querier Present Interval.
    pub fn other_querier_present(&self) -> Duration {
        self.query_interval * u32::from(self.robustness) + self.query_response / 2
    }
    /// In which a group's members have answered or are gone: Last Member Query Time, with answers due within `response`.
    pub fn last_member(&self, response: Duration) -> Duration {
        response * u32::from(self.robustness)
    }
    /// Between the first questions of one who begins to ask.
    fn startup_interval(&self) -> Duration {
        self.query_interval / 4
    }
}

/// Somebody who asks. The lesser one goes on, of two with the same address the one with the lesser link address.
//= rfc4541#2.1.1
//# The 0.0.0.0 address represents a special case where the switch is proxying IGMP Queries for faster network
//# convergence, but is not itself the Querier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asker {
    /// It has no address: any that has one comes before it.
    nameless: bool,
    /// From where it asks.
    pub address: IpAddr,
    /// Its link address.
    pub station: MacAddr,
}
impl Asker {
    pub fn new(address: IpAddr, station: MacAddr) -> Self {
        let nameless = address.is_unspecified();
        Self {
            nameless,
            address,
            station,
        }
    }
}

/// The other one that asks.
struct Other {
    asker: Asker,
    until: Instant,
    timing: Timing,
}

/// What a switch knows of who asks in one family, and does about it.
pub(super) struct Querier {
    /// As who it asks itself, if it would.
    own: Option<Asker>,
    other: Option<Other>,
    /// From then on the members had time to answer.
    settled: Instant,
    /// When it asks everybody next, unless another one does; and how many questions at short distance are left.
    next: Option<Instant>,
    startups: u8,
}
impl Querier {
    /// `own`: as who it asks itself, from time zero on.
    pub fn new(own: Option<Asker>) -> Self {
        let usual = Timing::default();
        Self {
            own,
            other: None,
            settled: Instant::ZERO + usual.query_response,
            next: own.map(|_| Instant::ZERO),
            startups: usual.robustness,
        }
    }
    fn other(&self, now: Instant) -> Option<&Other> {
        self.other.as_ref().filter(|other| other.until > now)
    }
    /// Somebody asks everybody. Whether it is who asks from now on.
    pub fn heard(&mut self, asker: Asker, query: &Query, now: Instant) -> bool {
        let rival = self.other(now).map(|other| other.asker).or(self.own);
        if rival.is_some_and(|rival| rival < asker) {
            return false;
        }
        let timing = Timing::of(query);
        if self.own.is_none() && self.other(now).is_none() {
            self.settled = now + timing.query_response;
        }
        let until = now + timing.other_querier_present();
        self.other = Some(Other {
            asker,
            until,
            timing,
        });
        // When that one falls silent it is our turn.
        self.next = self.own.map(|_| until);
        self.startups = 0;
        true
    }
    /// When it has something to do.
    pub fn due(&self) -> Option<Instant> {
        self.next
    }
    /// As who it is to ask everybody now.
    pub fn ask(&mut self, now: Instant) -> Option<Asker> {
        let own = self.own?;
        self.next.filter(|at| *at <= now)?;
        self.other = None;
        let usual = Timing::default();
        self.startups = self.startups.saturating_sub(1);
        let interval = match self.startups {
            0 => usual.query_interval,
            _ => usual.startup_interval(),
        };
        self.next = Some(now + interval);
        Some(own)
    }
    /// As who it asks, unless another one does.
    pub fn asks(&self, now: Instant) -> Option<Asker> {
        self.own.filter(|_| self.other(now).is_none())
    }
    /// Who asks.
    pub fn asker(&self, now: Instant) -> Option<Asker> {
        let other = self.other(now).map(|other| other.asker);
        other.or(self.own)
    }
    /// Whether somebody asks, and the members had time to answer: who has not is none.
    pub fn is_settled(&self, now: Instant) -> bool {
        self.asker(now).is_some() && now >= self.settled
    }
    /// What the one who asks goes by.
    pub fn timing(&self, now: Instant) -> Timing {
        self.other(now).map(|o| o.timing).unwrap_or_default()
    }
}
