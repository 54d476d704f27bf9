//! What happened inside a host, for those who watch. Switched off it costs one test of a mask; watching changes nothing.
use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use heptad_wire::{MacAddr, PacketId};

use crate::l4_transport::tcp::State;
use crate::{DropReason, Instant};

/// Classes of events, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EventMask(pub u32);
impl EventMask {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(u32::MAX);
    /// Discarded packets.
    pub const DROP: Self = Self(1);
    /// Neighbours resolved or lost.
    pub const NEIGHBOUR: Self = Self(2);
    /// State transitions of TCP.
    pub const TCP_STATE: Self = Self(4);
    /// Retransmissions and what set them off.
    pub const TCP_RECOVERY: Self = Self(8);
    /// Bytes handed to or taken by a program.
    pub const SOCKET: Self = Self(16);
    /// Changes of TCP's congestion window and slow start threshold, but for growth.
    pub const TCP_WINDOW: Self = Self(32);
    /// Growth of the congestion window: one event for nearly every ACK.
    pub const TCP_GROWTH: Self = Self(64);
    /// Whether any class of `other` is in it.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What set a retransmission off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The retransmission timer (RFC 6298).
    Rto,
    /// Three duplicate ACKs, or a partial ACK after them (RFC 5681, 6582).
    FastRetransmit,
    /// Enough segments behind it were reported (RFC 6675).
    Sack,
    /// What left later arrived, and patience with reordering is over; or a retransmission was lost (RFC 8985 6).
    Rack,
    /// A tail loss probe (RFC 8985 7).
    Probe,
    /// It was too long for the path (RFC 1191, 8899).
    PathMtu,
}
impl Cause {
    /// In a word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Rto => "RTO",
            Self::FastRetransmit => "fast, by duplicate ACKs",
            Self::Sack => "fast, by SACK",
            Self::Rack => "RACK",
            Self::Probe => "TLP",
            Self::PathMtu => "path MTU",
        }
    }
}

/// What changed a congestion window or its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowCause {
    /// A loss: fast recovery begins.
    Loss,
    /// Routers marked segments (RFC 3168).
    Marks,
    /// A loss that a probe of the tail repaired (RFC 8985 7.4).
    TailLoss,
    /// The retransmission timer expired.
    Timeout,
    /// Recovery is over.
    Recovered,
    /// Nothing was lost: what it was before holds again.
    Undo,
    /// Slow start is over.
    SlowStartOver,
    /// Nothing was sent for a while (RFC 5681 4.1).
    Idle,
    /// The program uses less of it (RFC 7661).
    Unused,
    /// Segments have another size.
    PathMtu,
    /// BBR's model of the path.
    Model,
    /// ACKs.
    Growth,
}
impl WindowCause {
    /// In a few words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Loss => "loss, fast recovery begins",
            Self::Marks => "marked by a router",
            Self::TailLoss => "loss that a probe repaired",
            Self::Timeout => "timeout",
            Self::Recovered => "recovery is over",
            Self::Undo => "undone, nothing was lost",
            Self::SlowStartOver => "slow start is over",
            Self::Idle => "idle restart",
            Self::Unused => "not used by the program",
            Self::PathMtu => "path MTU",
            Self::Model => "model of the path",
            Self::Growth => "growth",
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A packet was discarded.
    Drop {
        /// Which.
        id: PacketId,
        /// Why.
        reason: DropReason,
    },
    /// A neighbour's address is known.
    Resolved {
        /// Who.
        ip: IpAddr,
        /// Its address.
        mac: MacAddr,
    },
    /// A neighbour never answered.
    Unresolved {
        /// Who.
        ip: IpAddr,
    },
    /// Somebody else has an address of this host.
    Duplicate {
        /// Which.
        ip: IpAddr,
    },
    /// A connection changed its state.
    TcpState {
        /// Our end.
        local: SocketAddr,
        /// Theirs.
        remote: SocketAddr,
        /// From.
        from: State,
        /// To.
        to: State,
    },
    /// A segment is sent again.
    Retransmit {
        /// Our end.
        local: SocketAddr,
        /// Theirs.
        remote: SocketAddr,
        /// First sequence number, relative to the initial one.
        seq: u32,
        /// Bytes.
        len: u32,
        /// What set it off.
        cause: Cause,
        /// How often it was sent again, with this.
        times: u8,
        /// The packet that carries it.
        id: PacketId,
    },
    /// A congestion window or its threshold changed.
    TcpWindow {
        /// Our end.
        local: SocketAddr,
        /// Theirs.
        remote: SocketAddr,
        /// What changed it.
        cause: WindowCause,
        /// The window, bytes.
        cwnd: u32,
        /// The threshold, bytes; `u32::MAX` before the first loss.
        ssthresh: u32,
        /// Bytes of a segment.
        mss: u32,
    },
    /// A program gave bytes to a socket.
    Sent {
        /// Our end.
        local: SocketAddr,
        /// Theirs.
        remote: SocketAddr,
        /// Bytes.
        len: u32,
    },
    /// A program took bytes from a socket.
    Received {
        /// Our end.
        local: SocketAddr,
        /// Theirs.
        remote: SocketAddr,
        /// Bytes.
        len: u32,
    },
}

impl Event {
    /// The class that it belongs to.
    pub fn class(&self) -> EventMask {
        match self {
            Self::Drop { .. } => EventMask::DROP,
            Self::Resolved { .. } | Self::Unresolved { .. } | Self::Duplicate { .. } => {
                EventMask::NEIGHBOUR
            }
            Self::TcpState { .. } => EventMask::TCP_STATE,
            Self::Retransmit { .. } => EventMask::TCP_RECOVERY,
            Self::TcpWindow {
                cause: WindowCause::Growth,
                ..
            } => EventMask::TCP_GROWTH,
            Self::TcpWindow { .. } => EventMask::TCP_WINDOW,
            Self::Sent { .. } | Self::Received { .. } => EventMask::SOCKET,
        }
    }
}

/// The events of one host since they were last taken; the oldest go when the bound is reached.
#[derive(Debug, Default)]
pub struct EventLog {
    mask: EventMask,
    entries: VecDeque<(Instant, Event)>,
    /// How many went because nobody took them.
    pub lost: u64,
}
impl EventLog {
    /// Most events held.
    pub const BOUND: usize = 65_536;
    /// A log that records these classes.
    pub fn new(mask: EventMask) -> Self {
        Self {
            mask,
            ..Self::default()
        }
    }
    /// Chooses the classes.
    pub fn set_mask(&mut self, mask: EventMask) {
        self.mask = mask;
    }
    /// Records an event if somebody watches its class.
    pub fn emit(&mut self, at: Instant, class: EventMask, make: impl FnOnce() -> Event) {
        if !self.mask.intersects(class) {
            return;
        }
        if self.entries.len() >= Self::BOUND {
            self.entries.pop_front();
            self.lost += 1;
        }
        self.entries.push_back((at, make()));
    }
    /// Takes the oldest.
    pub fn take(&mut self) -> Option<(Instant, Event)> {
        self.entries.pop_front()
    }
}
