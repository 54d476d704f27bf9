//! The neighbour cache: who has which hardware address, in the states of RFC 4861 7.3.2, for ARP as Linux does.
//!
//! ```text
//!   INCOMPLETE ──reply──▶ REACHABLE ──30 s × (0.5…1.5)──▶ STALE ──used──▶ DELAY ──5 s──▶ PROBE ──3 × 1 s──▶ gone
//!       └─ 3 × 1 s ─▶ gone   ▲                                                     reply │
//!                            └────────────────────────────────────────────────────────────┘
//! ```
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;
use heptad_wire::{MacAddr, PacketBuf};

use crate::keyed_hash::{KeyedHash, Place};
use crate::l1_physical::PortId;
use crate::time::Duration;
use crate::{Cx, DropReason, Event, EventMask, Instant};

/// Most entries of the table.
pub const TABLE_BOUND: usize = 1024;
/// From this many on, entries that were not used for [`STALE_LIFE`] go (Linux: gc_thresh1).
const COLLECT_FROM: usize = 128;
/// How long an unused entry may stay in a well-filled table (Linux: gc_stale_time).
const STALE_LIFE: Duration = Duration::from_secs(60);
/// Most packets that wait for one neighbour (Linux: unres_qlen).
pub const PENDING_PACKETS: usize = 101;
/// Most bytes of them in all. Their lengths count, not what they pin: the fragments of one datagram share its memory.
pub const PENDING_BYTES: usize = 200 * 1024;
/// Most bytes that wait for all neighbours of a host together.
pub const WAITING_BYTES: usize = 16 << 20;
/// RFC 4861 10: MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT, RETRANS_TIMER, DELAY_FIRST_PROBE_TIME, REACHABLE_TIME.
const REQUESTS: u8 = 3;
const RETRANS_TIMER: Duration = Duration::from_secs(1);
const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
const BASE_REACHABLE_TIME: Duration = Duration::from_secs(30);

/// A neighbour, as `arp -n` and `ip neigh` show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its network address.
    pub ip: IpAddr,
    /// Its link address; `None` while it is asked for.
    pub mac: Option<MacAddr>,
    /// Where it is.
    pub port: PortId,
    /// `REACHABLE`, `STALE`, `INCOMPLETE`, … (RFC 4861 7.3.2's words).
    pub state: &'static str,
}

/// What to do with a packet for a neighbour.
pub enum Resolution {
    /// Send it there.
    Known(MacAddr, PacketBuf),
    /// It waits in the cache; ask for the address.
    Ask,
    /// It waits in the cache; the question is out already.
    Waits,
    /// No room for it: counted by the caller.
    Refused(PacketBuf, DropReason),
}

/// Something that became due.
pub enum Due {
    /// Ask for an address: everybody, or the one who had it.
    Ask {
        /// Out of this port.
        port: PortId,
        /// For this address.
        ip: IpAddr,
        /// Only this station (a probe).
        to: Option<MacAddr>,
    },
    /// Nobody answered: these waited.
    Lost {
        /// On this port's cable.
        port: PortId,
        /// Who did not answer.
        ip: IpAddr,
        /// Oldest first.
        pending: VecDeque<PacketBuf>,
    },
}

/// How somebody's address was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A reply to us: the neighbour is there and hears us.
    Reply,
    /// A request for our address: it is there, and will want an answer. Makes an entry.
    Request,
    /// Overheard (a gratuitous ARP, a question for somebody else): only changes what is there already.
    Overheard,
}

type Key = Place<PortId>;

enum State {
    Incomplete { asked: u8, pending: Box<Pending> },
    Reachable,
    Stale,
    Delay,
    Probe { asked: u8 },
}

struct Entry {
    mac: MacAddr,
    state: State,
    /// Its place in the agenda; while STALE: since when, its place among the idle ones.
    at: Instant,
}

/// Packets that wait for one address.
#[derive(Default)]
struct Pending {
    packets: VecDeque<PacketBuf>,
    bytes: usize,
}

/// The neighbours of one host.
pub struct Neighbours {
    entries: HashMap<Key, Entry, KeyedHash>,
    /// Entries whose time will come, soonest first. STALE ones wait for nothing.
    agenda: BTreeSet<(Instant, Key)>,
    /// STALE entries, the longest idle first.
    idle: BTreeSet<(Instant, Key)>,
    /// Bytes of all packets that wait.
    waiting: usize,
}

impl Neighbours {
    /// Knows nobody.
    pub fn new(cx: &mut Cx<'_>) -> Self {
        Self {
            entries: HashMap::with_hasher(KeyedHash::new(cx.rng)),
            agenda: BTreeSet::new(),
            idle: BTreeSet::new(),
            waiting: 0,
        }
    }

    /// Where to send a packet for `ip`.
    pub fn resolve(
        &mut self,
        port: PortId,
        ip: IpAddr,
        packet: PacketBuf,
        cx: &mut Cx<'_>,
    ) -> Resolution {
        let key = Place(port, ip);
        let Some(entry) = self.entries.get_mut(&key) else {
            return self.ask_first(key, packet, cx);
        };
        match &mut entry.state {
            State::Incomplete { pending, .. } => {
                if self.waiting + packet.len() > WAITING_BYTES {
                    return Resolution::Refused(packet, DropReason::NeighbourQueueFull);
                }
                let before = pending.bytes;
                pending.push(packet, cx);
                self.waiting = self.waiting + pending.bytes - before;
                Resolution::Waits
            }
            State::Stale => {
                let mac = entry.mac;
                self.enter(key, State::Delay, cx.now + DELAY_FIRST_PROBE_TIME);
                Resolution::Known(mac, packet)
            }
            State::Reachable | State::Delay | State::Probe { .. } => {
                Resolution::Known(entry.mac, packet)
            }
        }
    }

    /// Somebody showed an address. Returns the packets that waited for it.
    pub fn learn(
        &mut self,
        port: PortId,
        ip: IpAddr,
        mac: MacAddr,
        evidence: Evidence,
        cx: &mut Cx<'_>,
    ) -> VecDeque<PacketBuf> {
        let key = Place(port, ip);
        let Some(entry) = self.entries.get_mut(&key) else {
            if evidence == Evidence::Request && self.make_room(cx.now) {
                self.insert(key, mac, State::Stale, cx.now);
            }
            return VecDeque::new();
        };
        let changed = entry.mac != mac;
        entry.mac = mac;
        let mut waited = VecDeque::new();
        let resolved = match &mut entry.state {
            State::Incomplete { pending, .. } => {
                waited = core::mem::take(&mut pending.packets);
                true
            }
            _ => false,
        };
        if resolved {
            cx.events
                .emit(cx.now, EventMask::NEIGHBOUR, || Event::Resolved { ip, mac });
        }
        if evidence == Evidence::Reply {
            let until = cx.now + reachable_time(cx);
            self.enter(key, State::Reachable, until);
        } else if changed || resolved {
            self.enter(key, State::Stale, cx.now);
        }
        waited
    }

    /// A neighbour of IPv6 said where it is; `None`: where it was. Returns where it is now and the packets that waited.
    //= rfc4861#7.2.5
    //# If no entry exists, the advertisement SHOULD be silently discarded.
    pub fn advertised(
        &mut self,
        port: PortId,
        ip: IpAddr,
        mac: Option<MacAddr>,
        (solicited, overrides): (bool, bool),
        cx: &mut Cx<'_>,
    ) -> Option<(MacAddr, VecDeque<PacketBuf>)> {
        let key = Place(port, ip);
        let entry = self.entries.get(&key)?;
        let evidence = match solicited {
            true => Evidence::Reply,
            false => Evidence::Overheard,
        };
        if matches!(entry.state, State::Incomplete { .. }) {
            let mac = mac?;
            return Some((mac, self.learn(port, ip, mac, evidence, cx)));
        }
        let mac = mac.unwrap_or(entry.mac);
        if mac != entry.mac && !overrides {
            if matches!(entry.state, State::Reachable) {
                self.enter(key, State::Stale, cx.now);
            }
            return None;
        }
        Some((mac, self.learn(port, ip, mac, evidence, cx)))
    }

    /// The next thing that is due by `cx.now`.
    pub fn poll_due(&mut self, cx: &mut Cx<'_>) -> Option<Due> {
        loop {
            let (at, key) = *self.agenda.first()?;
            if at > cx.now {
                return None;
            }
            if let Some(due) = self.advance(key, cx) {
                return Some(due);
            }
        }
    }

    /// When the next thing is due.
    pub fn poll_at(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// The table, ordered by address, then by port.
    pub fn rows(&self) -> Vec<Neighbour> {
        let mut rows: Vec<Neighbour> = self
            .entries
            .iter()
            .map(|(Place(port, ip), entry)| Neighbour {
                ip: *ip,
                mac: (!matches!(entry.state, State::Incomplete { .. })).then_some(entry.mac),
                port: *port,
                state: entry.state.name(),
            })
            .collect();
        rows.sort_by_key(|row| (row.ip, row.port));
        rows
    }

    /// One step of an entry whose time has come.
    fn advance(&mut self, key: Key, cx: &mut Cx<'_>) -> Option<Due> {
        let Place(port, ip) = key;
        let entry = self
            .entries
            .get_mut(&key)
            .expect("each key of the agenda is in the table");
        let mac = entry.mac;
        let again = cx.now + RETRANS_TIMER;
        let ask = |to| Some(Due::Ask { port, ip, to });
        match &mut entry.state {
            State::Reachable => {
                self.enter(key, State::Stale, cx.now);
                None
            }
            State::Delay => {
                self.enter(key, State::Probe { asked: 1 }, again);
                ask(Some(mac))
            }
            State::Probe { asked } if *asked < REQUESTS => {
                let asked = *asked + 1;
                self.enter(key, State::Probe { asked }, again);
                ask(Some(mac))
            }
            State::Incomplete { asked, .. } if *asked < REQUESTS => {
                *asked += 1;
                self.agenda.remove(&(entry.at, key));
                entry.at = again;
                self.agenda.insert((again, key));
                ask(None)
            }
            State::Incomplete { .. } | State::Probe { .. } | State::Stale => {
                let pending = self.remove(key);
                cx.events
                    .emit(cx.now, EventMask::NEIGHBOUR, || Event::Unresolved { ip });
                Some(Due::Lost { port, ip, pending })
            }
        }
    }

    fn ask_first(&mut self, key: Key, packet: PacketBuf, cx: &mut Cx<'_>) -> Resolution {
        if !self.make_room(cx.now) {
            return Resolution::Refused(packet, DropReason::NeighbourTableFull);
        }
        if self.waiting + packet.len() > WAITING_BYTES {
            return Resolution::Refused(packet, DropReason::NeighbourQueueFull);
        }
        let mut pending = Box::<Pending>::default();
        pending.push(packet, cx);
        self.waiting += pending.bytes;
        let state = State::Incomplete { asked: 1, pending };
        self.insert(key, MacAddr::default(), state, cx.now + RETRANS_TIMER);
        Resolution::Ask
    }

    /// Makes room for one more: the longest idle entry goes, if the table is full or it has been idle for long.
    fn make_room(&mut self, now: Instant) -> bool {
        let full = self.entries.len() >= TABLE_BOUND;
        if let Some((since, key)) = self.idle.first().copied() {
            let aged = self.entries.len() >= COLLECT_FROM && now.since(since) >= STALE_LIFE;
            if full || aged {
                self.remove(key);
                return true;
            }
        }
        !full
    }

    fn insert(&mut self, key: Key, mac: MacAddr, state: State, at: Instant) {
        self.schedule(&state).insert((at, key));
        self.entries.insert(key, Entry { mac, state, at });
    }
    fn enter(&mut self, key: Key, state: State, at: Instant) {
        let mac = self.entries.get(&key).map(|entry| entry.mac);
        self.remove(key);
        self.insert(key, mac.unwrap_or_default(), state, at);
    }
    fn remove(&mut self, key: Key) -> VecDeque<PacketBuf> {
        let Some(entry) = self.entries.remove(&key) else {
            return VecDeque::new();
        };
        self.schedule(&entry.state).remove(&(entry.at, key));
        match entry.state {
            State::Incomplete { pending, .. } => {
                self.waiting = self.waiting.saturating_sub(pending.bytes);
                pending.packets
            }
            _ => VecDeque::new(),
        }
    }
    fn schedule(&mut self, state: &State) -> &mut BTreeSet<(Instant, Key)> {
        match state {
            State::Stale => &mut self.idle,
            _ => &mut self.agenda,
        }
    }
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Incomplete { .. } => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe { .. } => "PROBE",
        }
    }
}

impl Pending {
    /// Appends; the oldest go when a bound is passed.
    //= rfc1122#2.3.2.2
    //# The link layer SHOULD save (rather than discard) at least one (the latest) packet of each set of packets
    fn push(&mut self, packet: PacketBuf, cx: &mut Cx<'_>) {
        self.bytes += packet.len();
        self.packets.push_back(packet);
        while self.packets.len() > 1
            && (self.packets.len() > PENDING_PACKETS || self.bytes > PENDING_BYTES)
        {
            let Some(oldest) = self.packets.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(oldest.len());
            cx.discard(oldest, DropReason::NeighbourQueueFull);
        }
    }
}

/// RFC 4861 6.3.2: between half and one and a half of the base, so that hosts do not ask in step.
fn reachable_time(cx: &mut Cx<'_>) -> Duration {
    let base = BASE_REACHABLE_TIME.as_nanos() as u64;
    Duration::from_nanos(base / 2 + cx.rng.below(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, EventLog, Rng};
    use core::net::Ipv4Addr;
    use heptad_wire::{Chunk, Pool};

    struct Bench {
        cache: Neighbours,
        rng: Rng,
        pool: Pool,
        events: EventLog,
        counters: Counters,
        now: Instant,
    }
    impl Bench {
        fn new() -> Self {
            let (mut rng, mut pool) = (Rng::from_seed([5; 32]), Pool::new(1));
            let (mut events, mut counters) = (EventLog::default(), Counters::default());
            let cache = Neighbours::new(&mut Cx {
                now: Instant::ZERO,
                rng: &mut rng,
                pool: &mut pool,
                events: &mut events,
                counters: &mut counters,
            });
            Self {
                cache,
                rng,
                pool,
                events,
                counters,
                now: Instant::ZERO,
            }
        }
        fn with<R>(&mut self, verb: impl FnOnce(&mut Neighbours, &mut Cx<'_>) -> R) -> R {
            let mut cx = Cx {
                now: self.now,
                rng: &mut self.rng,
                pool: &mut self.pool,
                events: &mut self.events,
                counters: &mut self.counters,
            };
            verb(&mut self.cache, &mut cx)
        }
        fn send(&mut self, n: u32, size: usize) -> Resolution {
            let mut packet = self.pool.packet();
            packet.append(Chunk::copy_from(&std::vec![0; size]));
            self.with(|cache, cx| cache.resolve(PortId(1), ip(n), packet, cx))
        }
        fn learn(&mut self, n: u32, evidence: Evidence) -> usize {
            self.with(|c, cx| c.learn(PortId(1), ip(n), mac(n), evidence, cx))
                .len()
        }
        fn state(&self, n: u32) -> Option<&'static str> {
            let rows = self.cache.rows();
            rows.iter().find(|row| row.ip == ip(n)).map(|row| row.state)
        }
        /// Moves time to the next thing that is due, and tells what it was.
        fn next(&mut self) -> Option<(Duration, Option<Due>)> {
            let at = self.cache.poll_at()?;
            let waited = at - self.now;
            self.now = at;
            Some((waited, self.with(|cache, cx| cache.poll_due(cx))))
        }
    }
    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
    }
    fn mac(n: u32) -> MacAddr {
        let [_, _, a, b] = n.to_be_bytes();
        MacAddr([2, 0, 0, 0, a, b])
    }

    #[test]
    fn an_entry_lives_through_its_states() {
        let mut bench = Bench::new();
        assert!(matches!(bench.send(1, 10), Resolution::Ask));
        assert!(matches!(bench.send(1, 10), Resolution::Waits));
        assert_eq!(bench.learn(1, Evidence::Reply), 2);
        assert_eq!(bench.state(1), Some("REACHABLE"));
        let (reachable, due) = bench.next().unwrap();
        let secs = reachable.as_secs();
        assert!((15..45).contains(&secs), "{reachable:?}");
        assert!(due.is_none());
        // Nobody speaks to it: it stays, and nothing is due.
        assert_eq!(
            (bench.state(1), bench.next().is_none()),
            (Some("STALE"), true)
        );
        let Resolution::Known(found, _) = bench.send(1, 10) else {
            panic!("a stale address is used");
        };
        assert_eq!((found, bench.state(1)), (mac(1), Some("DELAY")));
        let mut probes = Vec::new();
        let lost = loop {
            match bench.next() {
                Some((waited, Some(Due::Ask { to, .. }))) => probes.push((waited.as_secs(), to)),
                Some((waited, Some(Due::Lost { pending, .. }))) => break (waited, pending.len()),
                _ => panic!("it is probed, then lost"),
            }
        };
        let asked = Some(mac(1));
        assert_eq!(probes, [(5, asked), (1, asked), (1, asked)]);
        assert_eq!(lost, (Duration::from_secs(1), 0));
        assert_eq!(bench.state(1), None);
    }

    #[test]
    fn an_answered_probe_makes_it_reachable_again() {
        let mut bench = Bench::new();
        bench.learn(1, Evidence::Request);
        assert_eq!(bench.state(1), Some("STALE"));
        bench.send(1, 10);
        bench.next();
        assert_eq!(bench.state(1), Some("PROBE"));
        bench.learn(1, Evidence::Reply);
        assert_eq!(bench.state(1), Some("REACHABLE"));
    }

    #[test]
    fn what_waits_is_bounded_in_packets_and_in_bytes_and_the_oldest_go() {
        let mut bench = Bench::new();
        (0..150).for_each(|_| drop(bench.send(1, 10)));
        let dropped = |bench: &Bench| bench.counters.drops(DropReason::NeighbourQueueFull);
        assert_eq!(dropped(&bench), 150 - PENDING_PACKETS as u64);
        assert_eq!(bench.learn(1, Evidence::Reply), PENDING_PACKETS);
        let mut bench = Bench::new();
        (0..10).for_each(|_| drop(bench.send(1, 50_000)));
        assert_eq!(dropped(&bench), 6);
        assert_eq!(bench.learn(1, Evidence::Reply), 4);
    }

    #[test]
    fn what_waits_for_all_neighbours_together_is_bounded() {
        let mut bench = Bench::new();
        let mut refused = 0;
        for n in 0..200u32 {
            for _ in 0..3 {
                let full = DropReason::NeighbourQueueFull;
                match bench.send(n, 50_000) {
                    Resolution::Refused(_, reason) if reason == full => refused += 1,
                    _ => {}
                }
            }
        }
        let fits = WAITING_BYTES / 50_000;
        assert_eq!(refused, 600 - fits);
        assert_eq!(bench.cache.waiting, fits * 50_000);
        // Some answer, the others never do: all of it is given back.
        assert_eq!(bench.learn(0, Evidence::Reply), 3);
        assert_eq!(bench.cache.waiting, (fits - 3) * 50_000);
        while bench.next().is_some() {}
        assert_eq!(bench.cache.waiting, 0);
    }

    #[test]
    fn a_full_table_gives_up_the_longest_idle_entry_but_no_unanswered_question() {
        let mut bench = Bench::new();
        for n in 0..TABLE_BOUND as u32 {
            bench.now = Instant::from_nanos(u64::from(n));
            bench.learn(n, Evidence::Request);
        }
        assert!(matches!(bench.send(5000, 1), Resolution::Ask));
        assert_eq!((bench.state(0), bench.state(1)), (None, Some("STALE")));
        for n in 5001..5000 + TABLE_BOUND as u32 {
            assert!(matches!(bench.send(n, 1), Resolution::Ask));
        }
        assert!(matches!(
            bench.send(9999, 1),
            Resolution::Refused(_, DropReason::NeighbourTableFull)
        ));
        assert_eq!(bench.cache.rows().len(), TABLE_BOUND);
    }

    #[test]
    fn entries_unused_for_a_minute_leave_a_well_filled_table() {
        let mut bench = Bench::new();
        for n in 0..200 {
            bench.learn(n, Evidence::Request);
        }
        bench.now = Instant::ZERO + STALE_LIFE;
        for n in 200..300 {
            bench.learn(n, Evidence::Request);
        }
        assert_eq!(bench.cache.rows().len(), 200);
    }

    #[test]
    fn an_overheard_address_changes_an_entry_but_makes_none() {
        let mut bench = Bench::new();
        assert_eq!(bench.learn(1, Evidence::Overheard), 0);
        assert_eq!(bench.state(1), None);
        bench.send(1, 10);
        assert_eq!(bench.learn(1, Evidence::Overheard), 1);
        assert_eq!(bench.state(1), Some("STALE"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_happens_each_entry_stands_in_one_schedule(
            steps in proptest::collection::vec((0u8..4, 0u32..30, 0u64..9_000), 1..200),
        ) {
            let mut bench = Bench::new();
            for (verb, n, millis) in steps {
                match verb {
                    0 => drop(bench.send(n, 100)),
                    1 | 2 => {
                        let reply = [Evidence::Reply, Evidence::Request];
                        bench.learn(n, reply[usize::from(verb - 1)]);
                    }
                    _ => {
                        bench.now += Duration::from_millis(millis);
                        while bench.with(|cache, cx| cache.poll_due(cx)).is_some() {}
                    }
                }
                let cache = &bench.cache;
                let scheduled = cache.agenda.len() + cache.idle.len();
                proptest::prop_assert_eq!(scheduled, cache.entries.len());
                let all = cache.agenda.iter().chain(&cache.idle);
                let waits = cache.entries.values().map(|entry| match &entry.state {
                    State::Incomplete { pending, .. } => pending.bytes,
                    _ => 0,
                });
                proptest::prop_assert_eq!(cache.waiting, waits.sum::<usize>());
                for (at, key) in all {
                    proptest::prop_assert_eq!(cache.entries[key].at, *at);
                }
            }
        }
    }
}
