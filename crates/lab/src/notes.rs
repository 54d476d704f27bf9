//! What hosts tell of their TCP, as words for the frames that it concerns.
use std::collections::{BTreeMap, VecDeque};

use heptad_stack::Event;
use heptad_stack::event::WindowCause;
use heptad_stack::wire::PacketId;

use crate::MachineId;

/// Most packets whose note is kept: they leave soon after they were made.
const MOST_PACKETS: usize = 4096;
/// Most changes of windows that wait for a machine's next frame.
const MOST_CHANGES: usize = 64;

/// Notes for frames that are yet to leave, or that may leave again further on.
#[derive(Default)]
pub(crate) struct Notes {
    packets: BTreeMap<PacketId, String>,
    order: VecDeque<PacketId>,
    changes: BTreeMap<MachineId, Vec<String>>,
}

impl Notes {
    /// Keeps what an event says, if it is about a segment or a window.
    pub fn hear(&mut self, machine: MachineId, event: &Event) {
        match event {
            Event::Retransmit {
                seq,
                len,
                cause,
                times,
                id,
                ..
            } => {
                let nth = ordinal(*times);
                let end = seq.wrapping_add(*len);
                let cause = cause.text();
                self.keep(
                    *id,
                    format!("TCP retransmission: {cause}, {nth} of seq {seq}:{end}"),
                );
            }
            Event::TcpWindow {
                cause: WindowCause::Growth,
                ..
            } => {}
            Event::TcpWindow {
                local,
                remote,
                cause,
                cwnd,
                ssthresh,
                mss,
            } => {
                let segments = |bytes: u32| bytes / (*mss).max(1);
                let threshold = match *ssthresh {
                    u32::MAX => "none".to_string(),
                    bytes => segments(bytes).to_string(),
                };
                let (cause, cwnd) = (cause.text(), segments(*cwnd));
                let text =
                    format!("TCP {local} to {remote}: cwnd {cwnd}, ssthresh {threshold}: {cause}");
                let changes = self.changes.entry(machine).or_default();
                if changes.len() < MOST_CHANGES {
                    changes.push(text);
                }
            }
            _ => {}
        }
    }
    fn keep(&mut self, id: PacketId, text: String) {
        if self.packets.insert(id, text).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > MOST_PACKETS
            && let Some(oldest) = self.order.pop_front()
        {
            self.packets.remove(&oldest);
        }
    }
    /// What is to be said of a packet that leaves a machine.
    pub fn of(&mut self, machine: MachineId, id: PacketId) -> Option<String> {
        let packet = self.packets.get(&id).cloned();
        let changes = self.changes.remove(&machine).unwrap_or_default();
        let all: Vec<String> = packet.into_iter().chain(changes).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

fn ordinal(n: u8) -> String {
    let ending = match (n % 10, n % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals() {
        let rows = [
            (1, "1st"),
            (2, "2nd"),
            (3, "3rd"),
            (4, "4th"),
            (11, "11th"),
            (12, "12th"),
            (22, "22nd"),
            (113, "113th"),
        ];
        for (n, expected) in rows {
            assert_eq!(ordinal(n), expected);
        }
    }
}
