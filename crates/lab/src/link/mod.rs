//! One direction of a cable: what it does to frames, and the frames that are under way.
//!
//! A frame meets, in this order: its length, down, loss, rate and queue with its marks, corruption, duplication, delay and jitter, reordering. Each kind of
//! chance has a stream of its own and every frame that fits and finds the cable up draws from all of them, so that the n-th of
//! those meets the n-th numbers: changing one probability leaves the others' frames alone.
mod ecn;
mod loss;
mod tally;

use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};

use heptad_stack::time::Duration;
use heptad_stack::wire::ethernet::{EthernetHeader, HEADER_LEN, TAG_LEN, VlanTag};
use heptad_stack::wire::ipv4::Ipv4Header;
use heptad_stack::wire::ipv6::Ipv6Header;
use heptad_stack::wire::{EtherType, PacketBuf, PacketId, Pool, ipv6};
use heptad_stack::{Instant, Rng};

use crate::faults::FaultRow;
use crate::rules::Done;
use crate::seed::stream;
use crate::topology::{Impairments, Loss};

use loss::{LossCause, LossState};
use tally::{Kind, Tallies};

/// A virtual cable delays at least this much: time always moves between cause and effect.
const LEAST_DELAY: Duration = Duration::from_micros(1);
/// What a frame occupies on a real cable beside its bytes: preamble 8, frame check sequence 4, gap 12.
const OVERHEAD: u64 = 24;
/// Most frames under way in one direction.
const IN_FLIGHT_BOUND: usize = 262_144;

/// A frame under way.
pub(crate) struct InFlight {
    pub frame: PacketBuf,
    pub mark: Mark,
}

/// What the cable did to a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// This bit is flipped, and the frame check sequence tells.
    pub corrupted: Option<u32>,
    /// This bit is flipped, and the frame check sequence does not tell.
    pub slipped: Option<u32>,
    /// The cable made it, of this packet.
    pub duplicate: Option<PacketId>,
    /// It was held back.
    pub held: Option<Duration>,
    /// It is marked: so many frames waited (RFC 3168).
    pub marked: Option<u32>,
    /// The cable made it: an RST.
    pub made: bool,
}
impl Mark {
    /// For people.
    pub fn note(self) -> Option<String> {
        let Self {
            corrupted,
            slipped,
            duplicate,
            held,
            marked,
            made,
        } = self;
        let mut notes = Vec::new();
        if let Some(bit) = corrupted {
            notes.push(format!(
                "corrupted bit {bit}: the frame check sequence tells"
            ));
        }
        if let Some(bit) = slipped {
            notes.push(format!(
                "corrupted bit {bit}: the frame check sequence does not tell"
            ));
        }
        if let Some(original) = duplicate {
            notes.push(format!(
                "duplicate of packet {}, made by the cable",
                original.as_u64()
            ));
        }
        if let Some(delay) = held {
            notes.push(format!("reordered: held back by {delay:?}"));
        }
        if let Some(waiting) = marked {
            notes.push(format!("marked CE: {waiting} frames wait"));
        }
        if made {
            notes.push("made by the cable".to_owned());
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

/// Why a frame does not arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    Down,
    Loss(LossCause),
    QueueFull(u32),
    TooManyInFlight,
    TooLong { len: usize, mtu: u32 },
}
impl core::fmt::Display for Cause {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Down => write!(f, "link down"),
            Self::Loss(cause) => write!(f, "{cause}"),
            Self::QueueFull(queue) => write!(f, "queue full: {queue} frames wait"),
            Self::TooManyInFlight => write!(f, "more than {IN_FLIGHT_BOUND} frames under way"),
            Self::TooLong { len, mtu } => write!(f, "packet of {len} bytes, MTU {mtu}"),
        }
    }
}

/// One direction of a cable.
pub(crate) struct Way {
    asked: Impairments,
    dice: Dice,
    loss: LossState,
    rate: Serializer,
    last_arrival: Instant,
    on_time: VecDeque<(Instant, InFlight)>,
    held: BTreeMap<(Instant, u64), InFlight>,
    held_so_far: u64,
    ids: Pool,
    tallies: Tallies,
    /// Bytes in front of the IP header: Ethernet's, or none.
    link_header: usize,
}
impl Way {
    /// `purpose` is `forward` or `backward`; `origin` numbers the packets that this direction makes.
    pub fn new(seed: u64, link: &str, purpose: &str, origin: u32, asked: Impairments) -> Self {
        let mut tallies = Tallies::default();
        tallies.ask(&asked);
        Self {
            dice: Dice::new(seed, link, purpose),
            loss: LossState::new(asked.loss.clone()),
            asked,
            rate: Serializer::default(),
            last_arrival: Instant::ZERO,
            on_time: VecDeque::new(),
            held: BTreeMap::new(),
            held_so_far: 0,
            ids: Pool::new(origin),
            tallies,
            link_header: HEADER_LEN,
        }
    }
    /// Carries bare IP instead of Ethernet.
    pub fn bare_ip(self) -> Self {
        Self {
            link_header: 0,
            ..self
        }
    }
    /// Bytes in front of the IP header.
    pub fn link_header(&self) -> usize {
        self.link_header
    }
    /// What it does at present.
    pub fn asked(&self) -> &Impairments {
        &self.asked
    }
    /// Changes what it does to frames from now on. Going down loses those under way: they are returned.
    pub fn set(&mut self, asked: Impairments) -> Vec<InFlight> {
        self.tallies.ask(&asked);
        if asked.loss != self.asked.loss {
            self.loss = LossState::new(asked.loss.clone());
        }
        let cut = asked.down && !self.asked.down;
        self.asked = asked;
        if !cut {
            return Vec::new();
        }
        self.rate = Serializer::default();
        // Nobody is in front any more.
        self.last_arrival = Instant::ZERO;
        let on_time = self.on_time.drain(..).map(|(_, frame)| frame);
        let lost: Vec<_> = on_time
            .chain(core::mem::take(&mut self.held).into_values())
            .collect();
        for _ in &lost {
            self.tallies.met(Kind::Down, 1.0, true);
        }
        lost
    }
    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        let on_time = self.on_time.front().map(|(at, _)| *at);
        let held = self.held.first_key_value().map(|((at, _), _)| *at);
        [on_time, held].into_iter().flatten().min()
    }
    /// The next frame that has arrived by `now`: those on time first.
    pub fn arrive(&mut self, now: Instant) -> Option<InFlight> {
        let at = self.next_arrival().filter(|at| *at <= now)?;
        if self.on_time.front().is_some_and(|(first, _)| *first == at) {
            return self.on_time.pop_front().map(|(_, frame)| frame);
        }
        self.held.pop_first().map(|(_, frame)| frame)
    }
    /// A frame enters.
    pub fn send(&mut self, frame: PacketBuf, mtu: u32, now: Instant) -> Result<(), Cause> {
        self.send_ruled(frame, mtu, now, Done::default())
    }
    /// A frame enters to which rules have done something.
    pub fn send_ruled(
        &mut self,
        mut frame: PacketBuf,
        mtu: u32,
        now: Instant,
        done: Done,
    ) -> Result<(), Cause> {
        self.tallies.entered();
        let roll = self.asked.is_random().then(|| self.dice.roll());
        self.check_length(&mut frame, mtu)?;
        if self.asked.down {
            self.tallies.met(Kind::Down, 1.0, true);
            return Err(Cause::Down);
        }
        self.lose()?;
        let left = self.serialize(&frame, now)?;
        if self.on_time.len() + self.held.len() >= IN_FLIGHT_BOUND {
            self.tallies.met(Kind::InFlight, 0.0, true);
            return Err(Cause::TooManyInFlight);
        }
        let marked = self.mark(&mut frame);
        let roll = roll.unwrap_or_default();
        let arrival = self.arrival(left, &roll);
        let (frame, mut mark) = match done.mark == Mark::default() {
            true => self.corrupt(frame, &roll),
            false => (frame, done.mark),
        };
        mark.marked = marked;
        let by_chance = self.duplicates(&roll);
        let duplicate = (by_chance || done.duplicate).then(|| self.double(&frame, mark));
        let reordered = self.reorders(&roll).then_some(self.asked.reorder_delay);
        match (reordered, done.hold) {
            (None, None) => self.on_time.push_back((arrival, InFlight { frame, mark })),
            (by_chance, by_rule) => {
                let held = by_chance.unwrap_or_default() + by_rule.unwrap_or_default();
                mark.held = Some(held);
                let key = (arrival + held, self.held_so_far);
                self.held_so_far += 1;
                self.held.insert(key, InFlight { frame, mark });
            }
        }
        if let Some(duplicate) = duplicate {
            self.on_time.push_back((arrival, duplicate));
        }
        Ok(())
    }
    /// A VLAN tag is no part of the packet.
    fn check_length(&mut self, frame: &mut PacketBuf, mtu: u32) -> Result<(), Cause> {
        let mut len = frame.frame_len().saturating_sub(self.link_header);
        if len <= mtu as usize {
            return Ok(());
        }
        if self.link_header > 0 && is_tagged(frame) {
            len = len.saturating_sub(TAG_LEN);
        }
        if len <= mtu as usize {
            return Ok(());
        }
        self.tallies.met(Kind::TooLong, 0.0, true);
        Err(Cause::TooLong { len, mtu })
    }
    fn lose(&mut self) -> Result<(), Cause> {
        // Draws even when no loss is asked: see the head of this file.
        let cause = if self.asked.is_random() || self.loss.is_on() {
            self.loss.next(&mut self.dice.loss)
        } else {
            None
        };
        if self.loss.is_on() {
            let probability = self.asked.loss.probability().unwrap_or(0.0);
            self.tallies.met(Kind::Loss, probability, cause.is_some());
        }
        cause.map_or(Ok(()), |cause| Err(Cause::Loss(cause)))
    }
    /// When the last bit leaves.
    fn serialize(&mut self, frame: &PacketBuf, now: Instant) -> Result<Instant, Cause> {
        let Some(rate) = self.asked.rate else {
            return Ok(now);
        };
        let left = self.rate.enter(frame.len(), rate, self.asked.queue, now);
        self.tallies.met(Kind::Queue, 0.0, left.is_none());
        left.ok_or(Cause::QueueFull(self.asked.queue))
    }
    /// How many frames wait, if that are so many that the packet is marked, and it can be.
    fn mark(&mut self, frame: &mut PacketBuf) -> Option<u32> {
        let least = self.asked.mark?;
        let waiting = self.rate.starts.len() as u32;
        let marked = waiting > least && ecn::mark(frame, self.link_header);
        self.tallies.met(Kind::Mark, 0.0, marked);
        marked.then_some(waiting)
    }
    /// Jitter never reorders: nobody arrives before the one in front.
    fn arrival(&mut self, left: Instant, roll: &Roll) -> Instant {
        let jitter = u64::try_from(self.asked.jitter.as_nanos()).unwrap_or(u64::MAX);
        let span = jitter.saturating_mul(2).saturating_add(1);
        let shift = ((u128::from(roll.jitter) * u128::from(span)) >> 64) as u64;
        let earliest = self.asked.delay.saturating_sub(self.asked.jitter);
        // `delay + shift - jitter`; where jitter is the larger one, what would be negative is the least delay.
        let delay = if self.asked.jitter > self.asked.delay {
            (self.asked.delay + Duration::from_nanos(shift)).saturating_sub(self.asked.jitter)
        } else {
            earliest + Duration::from_nanos(shift)
        };
        self.last_arrival = self.last_arrival.max(left + delay.max(LEAST_DELAY));
        self.last_arrival
    }
    fn corrupt(&mut self, mut frame: PacketBuf, roll: &Roll) -> (PacketBuf, Mark) {
        if self.asked.corrupt > 0.0 {
            let applied = roll.corrupt < self.asked.corrupt && !frame.is_empty();
            self.tallies.met(Kind::Corrupt, self.asked.corrupt, applied);
            if applied {
                return flip(frame, roll.corrupt_bit, true, self.link_header);
            }
        }
        if self.asked.corrupt_undetected > 0.0 && ip_payload(&mut frame, self.link_header).is_some()
        {
            let applied = roll.slip < self.asked.corrupt_undetected;
            let asked = self.asked.corrupt_undetected;
            self.tallies.met(Kind::CorruptUndetected, asked, applied);
            if applied {
                return flip(frame, roll.slip_bit, false, self.link_header);
            }
        }
        (frame, Mark::default())
    }
    fn duplicates(&mut self, roll: &Roll) -> bool {
        if self.asked.duplicate <= 0.0 {
            return false;
        }
        let applied = roll.duplicate < self.asked.duplicate;
        self.tallies
            .met(Kind::Duplicate, self.asked.duplicate, applied);
        applied
    }
    /// The duplicate follows right behind, with an id of its own; it is never held back.
    fn double(&mut self, frame: &PacketBuf, mark: Mark) -> InFlight {
        let original = Some(frame.id());
        let mut frame = frame.duplicate();
        frame.set_id(self.ids.next_id());
        let mark = Mark {
            duplicate: original,
            ..mark
        };
        InFlight { frame, mark }
    }
    /// The cable sends a frame of its own, behind those that are under way and at the delay of the others; a cable that is down does not.
    pub fn make(&mut self, bytes: Vec<u8>, now: Instant) {
        if self.asked.down {
            return;
        }
        let frame = self.ids.from_bytes(bytes.into());
        let arrival = self.arrival(now, &Roll::default());
        let mark = Mark {
            made: true,
            ..Mark::default()
        };
        self.on_time.push_back((arrival, InFlight { frame, mark }));
    }
    fn reorders(&mut self, roll: &Roll) -> bool {
        if self.asked.reorder <= 0.0 {
            return false;
        }
        let applied = roll.reorder < self.asked.reorder;
        self.tallies.met(Kind::Reorder, self.asked.reorder, applied);
        applied
    }
    /// Asked and applied so far.
    pub fn faults(&self, link: &str, direction: &str) -> Vec<FaultRow> {
        self.tallies.rows(link, direction, self.loss.missing())
    }
}

impl Impairments {
    /// Whether chance decides anything.
    fn is_random(&self) -> bool {
        let chances = [
            self.duplicate,
            self.corrupt,
            self.corrupt_undetected,
            self.reorder,
        ];
        chances.iter().any(|&p| p > 0.0)
            || !self.jitter.is_zero()
            || matches!(self.loss, Loss::Random(_) | Loss::GilbertElliott { .. })
    }
    /// Whether a cable that does this carries super-segments whole: it only delays.
    pub(crate) fn is_memory(&self) -> bool {
        !self.is_random() && self.loss == Loss::None && self.rate.is_none()
    }
}

/// The streams of one direction.
struct Dice {
    loss: Rng,
    duplicate: Rng,
    corrupt: Rng,
    slip: Rng,
    jitter: Rng,
    reorder: Rng,
}
/// The numbers that one frame meets (loss draws its own two). The default does nothing to it.
struct Roll {
    duplicate: f64,
    corrupt: f64,
    corrupt_bit: u64,
    slip: f64,
    slip_bit: u64,
    jitter: u64,
    reorder: f64,
}
impl Default for Roll {
    fn default() -> Self {
        Self {
            duplicate: 1.0,
            corrupt: 1.0,
            corrupt_bit: 0,
            slip: 1.0,
            slip_bit: 0,
            jitter: 0,
            reorder: 1.0,
        }
    }
}
impl Dice {
    fn new(seed: u64, link: &str, purpose: &str) -> Self {
        let of = |what: &str| stream(seed, link, &format!("{purpose} {what}"));
        Self {
            loss: of("loss"),
            duplicate: of("duplicate"),
            corrupt: of("corrupt"),
            slip: of("corrupt_undetected"),
            jitter: of("jitter"),
            reorder: of("reorder"),
        }
    }
    fn roll(&mut self) -> Roll {
        Roll {
            duplicate: self.duplicate.unit(),
            corrupt: self.corrupt.unit(),
            corrupt_bit: self.corrupt.next_u64(),
            slip: self.slip.unit(),
            slip_bit: self.slip.next_u64(),
            jitter: self.jitter.next_u64(),
            reorder: self.reorder.unit(),
        }
    }
}

/// A rate with a queue in front of it, without events of its own: a frame's time is known when it enters.
#[derive(Default)]
struct Serializer {
    free_at: Instant,
    /// When those that wait begin to leave.
    starts: VecDeque<Instant>,
}
impl Serializer {
    /// When the last bit of a frame has left; `None`: the queue is full.
    fn enter(&mut self, len: usize, rate: u64, queue: u32, now: Instant) -> Option<Instant> {
        while self.starts.front().is_some_and(|start| *start <= now) {
            self.starts.pop_front();
        }
        if self.starts.len() >= queue as usize {
            return None;
        }
        let start = self.free_at.max(now);
        if start > now {
            self.starts.push_back(start);
        }
        let bits = (len as u128 + u128::from(OVERHEAD)) * 8;
        let nanos = (bits * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
        self.free_at = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.free_at)
    }
}

/// Flips the bit that a number chooses: of all the frame, and the frame check sequence tells; or of the payload of IP, where there is
/// one, and it does not tell.
pub(crate) fn flip(
    mut frame: PacketBuf,
    number: u64,
    tells: bool,
    link_header: usize,
) -> (PacketBuf, Mark) {
    let place = match tells {
        true => Some((0, frame.len())).filter(|(_, len)| *len > 0),
        false => ip_payload(&mut frame, link_header),
    };
    let Some((start, bytes)) = place else {
        return (frame, Mark::default());
    };
    let bits = bytes as u64 * 8;
    let bit = ((u128::from(number) * u128::from(bits)) >> 64) as u64;
    let bit = u32::try_from(start as u64 * 8 + bit).unwrap_or(0);
    let mark = Mark {
        corrupted: tells.then_some(bit),
        slipped: (!tells).then_some(bit),
        ..Mark::default()
    };
    (frame.corrupt(bit), mark)
}

/// Where the payload of an IP packet begins in its frame, and its length; `None` where there is none (ARP).
fn ip_payload(frame: &mut PacketBuf, link_header: usize) -> Option<(usize, usize)> {
    let l3 = network_header(frame, link_header)?;
    let header = frame.peek(l3 + 6).ok()?.get(l3..)?;
    let (&[first, _, a, b, c, d], _) = header.split_first_chunk()?;
    let (header_len, total) = match first >> 4 {
        6 => {
            let payload = usize::from(u16::from_be_bytes([c, d]));
            (ipv6::HEADER_LEN, ipv6::HEADER_LEN + payload)
        }
        _ => {
            let header_len = Ipv4Header::len_of(first).ok()?;
            (header_len, usize::from(u16::from_be_bytes([a, b])))
        }
    };
    let end = frame.len().min(l3 + total);
    let start = l3 + header_len;
    (end > start).then_some((start, end.saturating_sub(start)))
}

/// Who made the packet of IP in a frame, and for whom it is; `None` where there is none.
pub(crate) fn ip_ends(frame: &mut PacketBuf, link_header: usize) -> Option<(IpAddr, IpAddr)> {
    let l3 = network_header(frame, link_header)?;
    let first = *frame.peek(l3 + 1).ok()?.get(l3)?;
    if first >> 4 == 6 {
        let header = frame.peek(l3 + ipv6::HEADER_LEN).ok()?.get(l3..)?;
        let header = Ipv6Header::parse(header).ok()?;
        return Some((header.src.into(), header.dst.into()));
    }
    let header = l3 + Ipv4Header::len_of(first).ok()?;
    let header = Ipv4Header::parse(frame.peek(header).ok()?.get(l3..)?).ok()?;
    Some((header.src.into(), header.dst.into()))
}

fn is_tagged(frame: &mut PacketBuf) -> bool {
    let header = frame.peek(HEADER_LEN).and_then(EthernetHeader::parse);
    header.is_ok_and(|header| header.ethertype == EtherType::VLAN)
}

/// Where the IP header begins; `None` if there is none.
pub(crate) fn network_header(frame: &mut PacketBuf, link_header: usize) -> Option<usize> {
    match link_header {
        0 => Some(0),
        _ => behind_ethernet(frame),
    }
}

/// Where the IP header begins in an Ethernet frame, tagged or not; `None` if it carries something else.
fn behind_ethernet(frame: &mut PacketBuf) -> Option<usize> {
    let mut l3 = HEADER_LEN;
    let mut ethertype = EthernetHeader::parse(frame.peek(l3).ok()?).ok()?.ethertype;
    if ethertype == EtherType::VLAN {
        l3 += TAG_LEN;
        ethertype = VlanTag::parse(frame.peek(l3).ok()?.get(HEADER_LEN..)?)
            .ok()?
            .ethertype;
    }
    matches!(ethertype, EtherType::IPV4 | EtherType::IPV6).then_some(l3)
}

/// `5.0 %`, `0.25 %`: at least one digit behind the point, at most four.
pub(crate) fn percent(p: f64) -> String {
    let text = format!("{:.4}", p * 100.0);
    let text = text.trim_end_matches('0');
    let zero = if text.ends_with('.') { "0" } else { "" };
    format!("{text}{zero} %")
}

#[cfg(test)]
mod tests;
