//! Faults that packets call for (`[[on]]`): the third SYN is lost, the second connection is reset.
//!
//! A cable's rules are asked in the order of the file about each frame that enters, before anything else happens to it. Each counts what it looks at; what one of
//! them loses, those behind it do not see. No chance is in it but which bit is flipped.
mod connections;
mod packet;
mod reset;
#[cfg(test)]
mod tests;

use heptad_stack::wire::PacketBuf;
use heptad_stack::{Instant, Rng};

use crate::faults::FaultRow;
use crate::link::{Mark, flip};
use crate::script::InForce;
use crate::seed::stream;
use crate::topology::{Act, Rule, Which};

use connections::Connections;
use packet::Packet;
pub(crate) use reset::Resets;

/// The rules of one cable.
#[derive(Default)]
pub(crate) struct Rules(Vec<Counting>);

/// A rule and what it counted.
struct Counting {
    asked: Rule,
    connections: Connections,
    /// Packets that it looked at.
    met: u64,
    applied: u64,
    /// Frames that entered the cable, of any kind.
    entered: u64,
    /// Which bits are flipped.
    bits: Rng,
    /// It does nothing any more.
    ended: bool,
}

/// What becomes of a frame.
pub(crate) enum Fate {
    /// It goes on, with this done to it.
    Passes(PacketBuf, Done),
    /// It is lost; the ends of its connection may be sent an RST each.
    Lost {
        cause: String,
        resets: Option<Resets>,
    },
}

/// What rules did to a frame that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub mark: Mark,
    pub duplicate: bool,
    pub hold: Option<core::time::Duration>,
}

impl Rules {
    /// Another one, behind those that are there.
    pub fn add(&mut self, seed: u64, asked: Rule) {
        self.0.push(Counting {
            bits: stream(seed, &asked.link, &format!("on {}", asked.name)),
            connections: Connections::default(),
            met: 0,
            applied: 0,
            entered: 0,
            ended: false,
            asked,
        });
    }
    /// Ends that of a name, or all; whether there was any.
    pub fn end(&mut self, name: Option<&str>) -> bool {
        let named = |rule: &&mut Counting| name.is_none_or(|name| name == rule.asked.name);
        let mut ended = false;
        for rule in self.0.iter_mut().filter(named) {
            ended |= !rule.ended;
            rule.ended = true;
        }
        ended
    }
    /// Those that have not ended.
    pub fn in_force<'r>(&'r self, link: &'r str) -> impl Iterator<Item = InForce> + 'r {
        let in_force = self.0.iter().filter(|rule| !rule.ended);
        in_force.map(move |rule| InForce {
            name: rule.asked.name.clone(),
            link: Some(link.to_owned()),
            what: rule.asked.to_string(),
            applied: rule.applied,
            n: rule.met,
        })
    }
    /// Names of those so far.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| rule.asked.name.as_str())
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// A frame enters one way of the cable.
    pub fn meet(
        &mut self,
        mut frame: PacketBuf,
        way: usize,
        link_header: usize,
        now: Instant,
    ) -> Fate {
        let packet = Packet::look(&mut frame, link_header);
        let mut done = Done::default();
        for rule in self.0.iter_mut().filter(|rule| !rule.ended) {
            rule.entered += 1;
            let Some(number) = rule.applies(&packet, way, now) else {
                continue;
            };
            match rule.asked.act {
                Act::Drop => return rule.lost(number, None),
                Act::Reset => {
                    let resets = rule.resets(&packet, &mut frame);
                    return rule.lost(number, resets);
                }
                Act::Delay(by) => done.hold = Some(done.hold.unwrap_or_default() + by),
                Act::Duplicate => done.duplicate = true,
                Act::Corrupt | Act::CorruptUndetected => {
                    let tells = rule.asked.act == Act::Corrupt;
                    let (flipped, mark) = flip(frame, rule.bits.next_u64(), tells, link_header);
                    (frame, done.mark) = (flipped, mark);
                }
            }
        }
        Fate::Passes(frame, done)
    }
    /// Asked and applied, a row for each rule.
    pub fn rows(&self, link: &str, ends: [&str; 2]) -> impl Iterator<Item = FaultRow> {
        let [a, b] = ends;
        self.0.iter().map(move |rule| {
            let direction = match rule.asked.ways {
                [true, false] => format!("{a} → {b}"),
                [false, _] => format!("{b} → {a}"),
                _ => format!("{a} ↔ {b}"),
            };
            FaultRow {
                link: link.to_owned(),
                direction,
                kind: "on",
                asked: rule.asked.to_string(),
                probability: None,
                applied: rule.applied,
                n: rule.met,
                missing: rule.missing(),
                // Whoever ended it by hand knows what it did.
                passed: if rule.ended { 0 } else { rule.entered },
            }
        })
    }
}

impl Counting {
    /// The number of the packet, if it is done to this one.
    fn applies(&mut self, packet: &Packet, way: usize, now: Instant) -> Option<u64> {
        let Rule {
            packets,
            which,
            each_connection,
            ways,
            act,
            ..
        } = &self.asked;
        let by_connection =
            *each_connection || *act == Act::Reset || !packets.connections.is_empty();
        let connection = match by_connection {
            true => Some(self.connections.of(packet, packets)?),
            false => None,
        };
        let of_it = |c: &&mut connections::Connection| {
            packets.connections.is_empty() || packets.connections.contains(&c.number)
        };
        let is_met = ways.get(way) == Some(&true)
            && connection.as_ref().is_none_or(of_it)
            && packet.is_of(packets, now);
        if !is_met {
            return None;
        }
        self.met += 1;
        let number = match connection {
            Some(connection) if *each_connection => {
                connection.met += 1;
                connection.met
            }
            _ => self.met,
        };
        let applies = match which {
            Which::All => true,
            Which::Nth(numbers) => numbers.binary_search(&number).is_ok(),
            Which::Every(n) => number.checked_rem(*n) == Some(0),
        };
        self.applied += u64::from(applies);
        applies.then_some(number)
    }
    fn lost(&self, number: u64, resets: Option<Resets>) -> Fate {
        let Rule { name, act, .. } = &self.asked;
        let cause = format!("on: {name}: {} of match {number}", act.word());
        Fate::Lost { cause, resets }
    }
    fn resets(&self, packet: &Packet, frame: &mut PacketBuf) -> Option<Resets> {
        let segment = packet.segment()?;
        let sent = self.connections.sent(packet);
        let link = frame.peek(packet.l3()).ok()?;
        Some(Resets::new(packet.ends()?, segment, sent, link))
    }
    /// Of the numbers asked for, those that never came; where connections are counted, whether none did.
    fn missing(&self) -> u64 {
        match &self.asked.which {
            Which::Nth(_) if self.asked.each_connection => u64::from(self.applied == 0),
            Which::Nth(numbers) => numbers.iter().filter(|n| **n > self.met).count() as u64,
            _ => 0,
        }
    }
}
