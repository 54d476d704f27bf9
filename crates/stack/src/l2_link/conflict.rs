//! Address conflict detection of IPv4 (RFC 5227): an address is asked for before it is used, said to be ours, and defended.
//!
//! ```text
//!   Unasked ─0…1 s─▶ Probing ─3 probes, 1…2 s apart─▶ 2 s of silence ─▶ Announcing ─2 announcements─▶ Held
//!      └──────────────────┴── somebody has it, or asks for it too ─▶ Lost ◀── claimed again within 10 s ──┘
//! ```
//!
//! It is off unless a port asks for it, as on Linux.
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::Ipv4Addr;

use heptad_wire::arp::{ArpPacket, Operation};

use super::arp::Station;
use crate::l1_physical::PortId;
use crate::time::Duration;
use crate::{Cx, Instant};

/// RFC 5227 1.1.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// How an address of a port stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Others are being asked whether they have it: not used.
    Tentative,
    /// Ours.
    Held,
    /// Somebody else has it: not used.
    Lost,
}

/// Something that is to be done for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask whether somebody has it.
    Probe,
    /// Say that it is ours.
    Announce,
    /// It is ours from now on: use it, and say so.
    Take,
}

/// What somebody's claim to one of our addresses leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub ip: Ipv4Addr,
    /// What we do about it.
    pub response: Response,
}
/// What is done about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing: the port does not look after its addresses, or has just said what there is to say.
    Ignore,
    /// Say once that it is ours.
    Defend,
    /// It is theirs.
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unasked,
    Probing { left: u8 },
    Announcing { left: u8 },
    Held,
    Lost,
}

struct Claim {
    phase: Phase,
    /// When something is due; `None`: never.
    at: Option<Instant>,
    /// When it was last claimed by somebody else.
    claimed: Option<Instant>,
}

/// The claims of one host to its addresses.
#[derive(Default)]
pub struct Claims {
    /// Ports that look after their addresses, and whether they insist on them whatever others say.
    ports: BTreeMap<PortId, bool>,
    claims: BTreeMap<(PortId, Ipv4Addr), Claim>,
    agenda: BTreeSet<(Instant, (PortId, Ipv4Addr))>,
}

impl Claims {
    /// A port's addresses are asked for before they are used. `insists`: one that is ours stays so (RFC 5227 2.4 c: what
    /// others depend on, such as a router).
    pub fn detect_on(&mut self, port: PortId, insists: bool) {
        self.ports.insert(port, insists);
    }
    /// Whether a port does so.
    pub fn detects_on(&self, port: PortId) -> bool {
        self.ports.contains_key(&port)
    }
    /// A new address of such a port: to be asked for at once.
    pub fn add(&mut self, port: PortId, ip: Ipv4Addr) {
        let claim = Claim {
            phase: Phase::Unasked,
            at: None,
            claimed: None,
        };
        if self.claims.insert((port, ip), claim).is_none() {
            self.enter((port, ip), Phase::Unasked, Some(Instant::ZERO));
        }
    }
    /// How an address stands; `None`: nobody looks after it.
    pub fn standing(&self, port: PortId, ip: Ipv4Addr) -> Option<Standing> {
        let claim = self.claims.get(&(port, ip))?;
        Some(match claim.phase {
            Phase::Unasked | Phase::Probing { .. } => Standing::Tentative,
            Phase::Announcing { .. } | Phase::Held => Standing::Held,
            Phase::Lost => Standing::Lost,
        })
    }
    /// Whether some address is still being asked for.
    pub fn is_asking(&self) -> bool {
        let mut phases = self.claims.values().map(|claim| claim.phase);
        phases.any(|phase| matches!(phase, Phase::Unasked | Phase::Probing { .. }))
    }

    /// What an ARP packet means for our addresses; `is_ours` tells which of this port's are used.
    //= rfc5227#2.4
    //# If a host receives an ARP packet where the 'sender IP address' is (one of) the host's own IP address(es) configured on that
    //# interface, but the 'sender hardware address' does not match any of the host's own interface addresses, then this is a
    //# conflicting ARP packet
    pub fn hear(
        &mut self,
        station: &Station,
        arp: &ArpPacket,
        is_ours: impl Fn(Ipv4Addr) -> bool,
        now: Instant,
    ) -> Option<Conflict> {
        if arp.sender_mac == station.mac {
            return None;
        }
        // RFC 5227 2.1.1: somebody else who asks for an address that we ask for is a conflict, too.
        let is_probe = arp.sender_ip.is_unspecified() && arp.operation == Operation::Request;
        let ip = match is_probe {
            true => arp.target_ip,
            false => arp.sender_ip,
        };
        let standing = self.standing(station.port, ip);
        let response = match standing {
            Some(Standing::Tentative) => {
                self.enter((station.port, ip), Phase::Lost, None);
                Response::GiveUp
            }
            _ if is_probe => return None,
            Some(Standing::Held) => self.defend((station.port, ip), now),
            None if is_ours(ip) => Response::Ignore,
            None | Some(Standing::Lost) => return None,
        };
        Some(Conflict { ip, response })
    }

    /// RFC 5227 2.4: said once, then given up; or, if the host insists, said no more often than every ten seconds.
    fn defend(&mut self, key: (PortId, Ipv4Addr), now: Instant) -> Response {
        let insists = self.ports.get(&key.0) == Some(&true);
        let Some(claim) = self.claims.get_mut(&key) else {
            return Response::Ignore;
        };
        let before = claim.claimed.filter(|at| now.since(*at) < DEFEND_INTERVAL);
        match (before, insists) {
            (None, _) => {
                claim.claimed = Some(now);
                Response::Defend
            }
            (Some(_), true) => Response::Ignore,
            (Some(_), false) => {
                self.enter(key, Phase::Lost, None);
                Response::GiveUp
            }
        }
    }

    /// The next thing to do, if it is due by `cx.now`.
    pub fn poll_due(&mut self, cx: &mut Cx<'_>) -> Option<(PortId, Ipv4Addr, Step)> {
        loop {
            let (at, key) = *self.agenda.first()?;
            if at > cx.now {
                return None;
            }
            if let Some(step) = self.advance(key, cx) {
                return Some((key.0, key.1, step));
            }
        }
    }
    /// When the next thing is due.
    pub fn poll_at(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    fn advance(&mut self, key: (PortId, Ipv4Addr), cx: &mut Cx<'_>) -> Option<Step> {
        let phase = self.claims.get(&key).map(|claim| claim.phase)?;
        let (step, next, wait) = match phase {
            Phase::Unasked => {
                let wait = between(Duration::ZERO, PROBE_WAIT, cx);
                (None, Phase::Probing { left: PROBE_NUM }, Some(wait))
            }
            Phase::Probing { left: 0 } => {
                let left = ANNOUNCE_NUM - 1;
                let next = Phase::Announcing { left };
                (Some(Step::Take), next, Some(ANNOUNCE_INTERVAL))
            }
            Phase::Probing { left } => {
                let wait = match left {
                    1 => ANNOUNCE_WAIT,
                    _ => between(PROBE_MIN, PROBE_MAX, cx),
                };
                let next = Phase::Probing { left: left - 1 };
                (Some(Step::Probe), next, Some(wait))
            }
            Phase::Announcing { left } if left > 1 => {
                let next = Phase::Announcing { left: left - 1 };
                (Some(Step::Announce), next, Some(ANNOUNCE_INTERVAL))
            }
            Phase::Announcing { .. } => (Some(Step::Announce), Phase::Held, None),
            Phase::Held | Phase::Lost => (None, phase, None),
        };
        self.enter(key, next, wait.map(|wait| cx.now + wait));
        step
    }

    fn enter(&mut self, key: (PortId, Ipv4Addr), phase: Phase, at: Option<Instant>) {
        let Some(claim) = self.claims.get_mut(&key) else {
            return;
        };
        if let Some(before) = claim.at {
            self.agenda.remove(&(before, key));
        }
        (claim.phase, claim.at) = (phase, at);
        self.agenda.extend(at.map(|at| (at, key)));
    }
}

fn between(least: Duration, most: Duration, cx: &mut Cx<'_>) -> Duration {
    let span = (most - least).as_nanos() as u64;
    least + Duration::from_nanos(cx.rng.below(span + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, EventLog, Rng};
    use alloc::vec::Vec;
    use heptad_wire::{MacAddr, Pool};

    const PORT: PortId = PortId(1);
    const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);

    struct Bench {
        claims: Claims,
        rng: Rng,
        now: Instant,
    }
    impl Bench {
        fn new(insists: bool, seed: u8) -> Self {
            let mut claims = Claims::default();
            claims.detect_on(PORT, insists);
            claims.add(PORT, IP);
            Self {
                claims,
                rng: Rng::from_seed([seed; 32]),
                now: Instant::ZERO,
            }
        }
        /// Lets time pass until then; what was done, after how many milliseconds of it.
        fn run_to(&mut self, end: Instant) -> Vec<(u64, Step)> {
            let begun = self.now;
            let mut steps = Vec::new();
            while let Some(at) = self.claims.poll_at().filter(|at| *at <= end) {
                self.now = self.now.max(at);
                let due = self.claims.poll_due(&mut Cx {
                    now: self.now,
                    rng: &mut self.rng,
                    pool: &mut Pool::new(1),
                    events: &mut EventLog::default(),
                    counters: &mut Counters::default(),
                });
                let after = self.now.since(begun).as_millis() as u64;
                steps.extend(due.map(|(_, _, step)| (after, step)));
            }
            self.now = end;
            steps
        }
        fn held(insists: bool) -> Self {
            let mut bench = Self::new(insists, 3);
            bench.run_to(seconds(20));
            assert_eq!(bench.standing(), Some(Standing::Held));
            bench
        }
        fn hear(
            &mut self,
            mac: MacAddr,
            operation: Operation,
            ips: (Ipv4Addr, Ipv4Addr),
        ) -> Option<Response> {
            let arp = ArpPacket {
                operation,
                sender_mac: mac,
                sender_ip: ips.0,
                target_mac: MacAddr::default(),
                target_ip: ips.1,
            };
            let station = Station {
                port: PORT,
                mac: OURS,
            };
            let conflict = self.claims.hear(&station, &arp, |ip| ip == IP, self.now);
            conflict.map(|conflict| conflict.response)
        }
        fn standing(&self) -> Option<Standing> {
            self.claims.standing(PORT, IP)
        }
    }
    fn seconds(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n)
    }

    #[test]
    fn three_probes_then_silence_then_two_announcements() {
        for seed in 0..50 {
            let mut bench = Bench::new(false, seed);
            assert_eq!(bench.standing(), Some(Standing::Tentative));
            let steps = bench.run_to(seconds(60));
            let kinds: Vec<Step> = steps.iter().map(|(_, step)| *step).collect();
            let (probe, take, announce) = (Step::Probe, Step::Take, Step::Announce);
            assert_eq!(kinds, [probe, probe, probe, take, announce]);
            let at: Vec<u64> = steps.iter().map(|(at, _)| *at).collect();
            assert!(at[0] <= 1000, "PROBE_WAIT: {at:?}");
            for pair in at[..3].windows(2) {
                let apart = pair[1] - pair[0];
                assert!(
                    (999..=2001).contains(&apart),
                    "PROBE_MIN, PROBE_MAX: {at:?}"
                );
            }
            assert!(at[3] - at[2] == 2000 && at[4] - at[3] == 2000, "{at:?}");
            assert_eq!(bench.standing(), Some(Standing::Held));
            assert!(!bench.claims.is_asking() && bench.claims.poll_at().is_none());
        }
    }

    #[test]
    fn while_others_are_asked_any_claim_wins() {
        let nobody = Ipv4Addr::UNSPECIFIED;
        let (request, reply) = (Operation::Request, Operation::Reply);
        let gone = Some(Response::GiveUp);
        // Who says it, what, for whom; what follows.
        let table = [
            (THEIRS, reply, (IP, nobody), gone),
            (THEIRS, request, (IP, IP), gone),
            (THEIRS, request, (IP, OTHER), gone),
            (THEIRS, request, (nobody, IP), gone),
            // Our own packet that came back, somebody who only asks, one about other addresses.
            (OURS, request, (nobody, IP), None),
            (THEIRS, request, (OTHER, IP), None),
            (THEIRS, request, (nobody, OTHER), None),
            (THEIRS, reply, (OTHER, nobody), None),
            (THEIRS, reply, (nobody, IP), None),
        ];
        for (mac, operation, ips, response) in table {
            // Before the first probe, between two, and in the silence after the last one.
            for after in [Duration::ZERO, Duration::from_millis(1500), PROBE_MAX * 2] {
                let mut bench = Bench::new(true, 9);
                bench.run_to(Instant::ZERO + after);
                assert_eq!(bench.standing(), Some(Standing::Tentative));
                let heard = bench.hear(mac, operation, ips);
                assert_eq!(heard, response, "{mac} {operation:?} {ips:?}");
                let lost = bench.standing() == Some(Standing::Lost);
                assert_eq!(lost, response.is_some());
                let later = bench.run_to(seconds(60));
                assert_eq!(later.is_empty(), lost, "{later:?}");
            }
        }
    }

    #[test]
    fn what_is_ours_is_defended_once_then_given_up() {
        let mut bench = Bench::held(false);
        let claim = |bench: &mut Bench| bench.hear(THEIRS, Operation::Reply, (IP, OTHER));
        assert_eq!(claim(&mut bench), Some(Response::Defend));
        bench.now += DEFEND_INTERVAL;
        assert_eq!(claim(&mut bench), Some(Response::Defend), "long ago");
        bench.now += DEFEND_INTERVAL - Duration::from_nanos(1);
        assert_eq!(claim(&mut bench), Some(Response::GiveUp));
        assert_eq!(bench.standing(), Some(Standing::Lost));
        assert_eq!(claim(&mut bench), None, "it is theirs");
        // A question for it is no claim.
        let mut bench = Bench::held(false);
        let asked = bench.hear(THEIRS, Operation::Request, (Ipv4Addr::UNSPECIFIED, IP));
        assert_eq!(asked, None);
    }

    #[test]
    fn who_insists_says_so_every_ten_seconds_at_most() {
        let mut bench = Bench::held(true);
        let mut said = 0;
        for _ in 0..100 {
            let heard = bench.hear(THEIRS, Operation::Reply, (IP, OTHER));
            said += usize::from(heard == Some(Response::Defend));
            bench.now += Duration::from_secs(1);
        }
        assert_eq!(said, 10);
        assert_eq!(bench.standing(), Some(Standing::Held));
    }

    #[test]
    fn a_port_that_does_not_look_after_its_addresses_only_notices() {
        let mut bench = Bench::new(false, 1);
        bench.claims = Claims::default();
        let heard = bench.hear(THEIRS, Operation::Reply, (IP, OTHER));
        assert_eq!(heard, Some(Response::Ignore));
        assert_eq!(bench.standing(), None);
        assert_eq!(bench.hear(THEIRS, Operation::Reply, (OTHER, IP)), None);
    }
}
