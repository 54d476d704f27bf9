//! Which connection of a cable a packet is of.
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use heptad_stack::wire::tcp::Flags;

use super::packet::Packet;
use crate::topology::Packets;

/// Most connections known of one rule; beyond it the oldest is forgotten.
const MOST: usize = 65_536;

/// Both ends, the lower first.
type Key = [SocketAddr; 2];

#[derive(Default)]
pub(super) struct Connections {
    known: BTreeMap<Key, Connection>,
    order: VecDeque<Key>,
    so_far: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counted from 1 as they appear on the cable.
    pub number: u64,
    /// Packets of it that the rule looked at.
    pub met: u64,
    /// The sequence numbers of both ends' SYNs.
    isn: [Option<u32>; 2],
    /// What each end has sent: the sequence number behind it; and behind what it sent before its last segment.
    sent: [Option<u32>; 2],
    sent_before: [Option<u32>; 2],
}

impl Connections {
    /// The connection of a packet, if a rule about such packets counts it; it is noted what the packet tells.
    pub fn of(&mut self, packet: &Packet, asked: &Packets) -> Option<&mut Connection> {
        if !packet.is_of_a_connection(asked) {
            return None;
        }
        let (key, sender) = key(packet)?;
        let begins = packet
            .segment()
            .and_then(|segment| segment.flags.contains(Flags::SYN).then_some(segment.seq));
        let is_another = |known: &Connection| {
            let before = known.isn.get(sender).copied().flatten();
            begins.is_some_and(|isn| before.is_some_and(|before| before != isn))
        };
        if self.known.get(&key).is_none_or(is_another) {
            self.add(key);
        }
        let connection = self.known.get_mut(&key)?;
        if let Some(isn) = connection.isn.get_mut(sender) {
            *isn = begins.or(*isn);
        }
        if let Some(segment) = packet.segment() {
            connection.note(sender, segment.end());
        }
        Some(connection)
    }
    fn add(&mut self, key: Key) {
        self.so_far += 1;
        let connection = Connection {
            number: self.so_far,
            met: 0,
            isn: [None; 2],
            sent: [None; 2],
            sent_before: [None; 2],
        };
        if self.known.insert(key, connection).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
    /// What a packet's sender had sent before it, and what its receiver has sent.
    pub fn sent(&self, packet: &Packet) -> [Option<u32>; 2] {
        let Some((key, sender)) = key(packet) else {
            return [None; 2];
        };
        let connection = self.known.get(&key);
        let at = |all: fn(&Connection) -> &[Option<u32>; 2], end: usize| {
            connection.and_then(|c| all(c).get(end).copied().flatten())
        };
        [at(|c| &c.sent_before, sender), at(|c| &c.sent, 1 - sender)]
    }
}

impl Connection {
    fn note(&mut self, sender: usize, end: u32) {
        let (Some(sent), Some(before)) =
            (self.sent.get_mut(sender), self.sent_before.get_mut(sender))
        else {
            return;
        };
        *before = *sent;
        let is_later = |so_far: u32| end.wrapping_sub(so_far).cast_signed() > 0;
        if sent.is_none_or(is_later) {
            *sent = Some(end);
        }
    }
}

/// The connection of a packet, and which of its ends sent it.
fn key(packet: &Packet) -> Option<(Key, usize)> {
    let [src, dst] = packet.ends()?;
    Some(match src <= dst {
        true => ([src, dst], 0),
        false => ([dst, src], 1),
    })
}
