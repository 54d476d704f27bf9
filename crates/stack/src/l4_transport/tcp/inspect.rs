//! Each socket of TCP inside out, for `ss`: TCP_INFO, what it waits for, its memory.
use alloc::vec::Vec;

use super::info::Info;
use super::tcb::Tcb;
use super::{Congestion, Conn, ListenerId, Options, Status, Tcp};
use crate::Instant;
use crate::time::Duration;

/// What a connection waits for next, by ss's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// Retransmission, a probe of the tail, or patience with reordering.
    Retransmission,
    /// Keepalive.
    Keepalive,
    /// The end of TIME-WAIT.
    TimeWait,
    /// A probe of a shut window.
    Persist,
}

/// A timer that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Which.
    pub kind: TimerKind,
    /// How long it still runs.
    pub left: Duration,
    /// How often it expired in a row.
    pub times: u8,
}

/// A listener, opening, connection or TIME-WAIT entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// As `netstat` shows it.
    pub status: Status,
    /// TCP_INFO; none in TIME-WAIT.
    pub info: Option<Info>,
    /// Its congestion control.
    pub congestion: Option<Congestion>,
    /// What it waits for.
    pub timer: Option<Timer>,
    /// Bytes: received, most of that, sent, most of that, spare, queued to be sent, options, backlog; and drops.
    pub memory: [u64; 9],
}

impl Tcp {
    /// All of them, in the order of [`Tcp::all`].
    pub fn details(&self, now: Instant) -> Vec<Detail> {
        let listeners = self
            .listeners
            .iter()
            .filter_map(|(i, _)| self.listener_detail(ListenerId(i as u32)));
        let openings = self.openings.iter().map(|(_, opening)| {
            let status = self.opening_status(opening);
            let timer = Timer {
                kind: TimerKind::Retransmission,
                left: opening.due.since(now),
                times: opening.retries,
            };
            Detail::bare(status, Some(timer))
        });
        let conns = self.conns.iter().map(|(_, conn)| conn.detail(now));
        let conns = conns.filter(|detail| detail.status.state != super::State::Closed);
        let waits = self.time_waits.iter().map(|(_, entry)| {
            let timer = Timer {
                kind: TimerKind::TimeWait,
                left: entry.expires.since(now),
                times: 0,
            };
            Detail::bare(super::status::of_time_wait(entry), Some(timer))
        });
        let all = listeners.chain(openings).chain(conns).chain(waits);
        let mut rows: Vec<Detail> = all.collect();
        rows.sort_by_key(|row| (row.status.local, row.status.remote));
        rows
    }
    fn listener_detail(&self, id: ListenerId) -> Option<Detail> {
        let listener = self.listeners.get(id.0 as usize)?;
        let mut detail = Detail::bare(self.listener_status(id)?, None);
        detail.info = self.listener_info(id);
        detail.congestion = Some(listener.options.congestion);
        let receive = super::tcb::receive_space(&self.config, &listener.options);
        let send = super::tcb::send_space(&self.config, &listener.options);
        detail.memory[1] = u64::from(receive.initial) * 2;
        detail.memory[3] = send.initial.into();
        Some(detail)
    }
}

impl Detail {
    fn bare(status: Status, timer: Option<Timer>) -> Self {
        Self {
            status,
            info: None,
            congestion: None,
            timer,
            memory: [0; 9],
        }
    }
}

impl Conn {
    fn detail(&self, now: Instant) -> Detail {
        let Options { congestion, .. } = *self.ep().options;
        let (timer, memory) = match self {
            Self::Open(tcb) => (tcb.timer(now), tcb.memory()),
            Self::Opening(opening) => {
                let timer = opening.due.map(|due| Timer {
                    kind: TimerKind::Retransmission,
                    left: due.since(now),
                    times: opening.retries,
                });
                (timer, [0; 9])
            }
        };
        Detail {
            status: self.status(),
            info: Some(self.info(now)),
            congestion: Some(congestion),
            timer,
            memory,
        }
    }
}

impl Tcb {
    /// As Linux chooses among several: what repairs, then the shut window, then keepalive.
    fn timer(&self, now: Instant) -> Option<Timer> {
        let timers = &self.timers;
        let repairs = [timers.rto, timers.probe_timeout, timers.reordering];
        let repairs = repairs.into_iter().flatten().min();
        let (kind, at, times) = if let Some(at) = repairs {
            (TimerKind::Retransmission, at, self.recovery.timeouts)
        } else if let Some(at) = timers.persist {
            let probes = u8::try_from(self.persist.unanswered).unwrap_or(u8::MAX);
            (TimerKind::Persist, at, probes)
        } else {
            let probes = u8::try_from(self.keepalive.probes).unwrap_or(u8::MAX);
            (TimerKind::Keepalive, timers.keepalive?, probes)
        };
        let left = at.since(now);
        Some(Timer { kind, left, times })
    }
    fn memory(&self) -> [u64; 9] {
        let under_way = self.flight.outstanding().into();
        [
            self.rcv.charge() as u64,
            u64::from(self.rcv.space()) * 2,
            under_way,
            self.send_space.initial.into(),
            0,
            self.tx.len().into(),
            0,
            0,
            0,
        ]
    }
}
