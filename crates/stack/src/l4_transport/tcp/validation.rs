//! Congestion window validation: a window that is not used says nothing of the path (RFC 5681 4.1, RFC 7661; as Linux, RFC 2861).
use super::congestion::{INITIAL_WINDOW, Window};
use super::recovery::Phase;
use super::seq::SeqNum;
use super::tcb::Tcb;
use crate::event::WindowCause;
use crate::time::Duration;
use crate::{Cx, Instant};

/// How much of the window was used of late.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// It was what held sending back.
    pub limited: bool,
    /// Most bytes that were under way at once.
    pub most_out: u32,
    until: SeqNum,
    /// Whether it shrinks while it is not used.
    shrinks: bool,
}

/// Most that was under way since the window was last used up or reduced, and when that was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    most: u32,
    since: Option<Instant>,
}

impl Usage {
    /// At the start; `una` is the first number of text.
    pub fn new(una: SeqNum, shrinks: bool) -> Self {
        Self {
            limited: false,
            most_out: 0,
            until: una,
            shrinks,
        }
    }
}

impl Window {
    /// What slow start may go back to after a pause (Linux's tcp_current_ssthresh).
    pub fn remember(&mut self) {
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
    }
    /// The initial window, in segments of today.
    fn initial_bytes(&self) -> u32 {
        self.mss.saturating_mul(INITIAL_WINDOW)
    }
}

impl Tcb {
    /// Text left (Linux's tcp_cwnd_validate).
    pub fn validate_window(&mut self, cx: &mut Cx<'_>) {
        self.note_usage(cx.now);
        // a window that never grew cannot shrink
        if !self.shrinks() || !self.is_busy() {
            return;
        }
        let (limited, out) = (self.is_limited(), self.flight.outstanding());
        let rto = self.rtt.base_rto();
        let used = &mut self.busy().used;
        if limited {
            *used = Used {
                most: 0,
                since: Some(cx.now),
            };
            return;
        }
        used.most = used.most.max(out);
        if cx.now.since(*used.since.get_or_insert(cx.now)) >= rto {
            self.shrink_to_use(cx);
        }
    }
    /// A model of the path knows better what the window may be.
    fn shrinks(&self) -> bool {
        self.usage.shrinks && self.controller.model().is_none()
    }
    /// Whether the congestion window is what limits this connection.
    pub fn is_limited(&self) -> bool {
        let small = self.window.cwnd < self.usage.most_out.saturating_mul(2);
        self.usage.limited || (self.window.in_slow_start() && small)
    }
    fn note_usage(&mut self, now: Instant) {
        let (room, mss) = (self.window.cwnd.saturating_sub(self.pipe()), self.mss());
        let waits = room < mss || self.unsent() > room && self.waits_for_more(room, mss, now);
        let limited = self.unsent() > 0 && waits;
        let out = self.flight.outstanding();
        let usage = &mut self.usage;
        let over = self.snd.una.at_or_after(usage.until);
        if over || limited || (!usage.limited && out > usage.most_out) {
            usage.limited = limited;
            usage.most_out = out;
            usage.until = self.snd.nxt;
        }
    }
    /// For a whole RTO less was under way than could have been: halfway down to what was (Linux's
    /// tcp_cwnd_application_limited).
    fn shrink_to_use(&mut self, cx: &mut Cx<'_>) {
        let least = self.window.initial_bytes();
        let waits = self.recovery.phase != Phase::Open || self.wants_room;
        let used = &mut self.busy().used;
        used.since = Some(cx.now);
        if waits {
            return;
        }
        let used = core::mem::take(&mut used.most).max(least);
        if used < self.window.cwnd {
            self.window.remember();
            self.window.cwnd = self.window.cwnd.midpoint(used);
            self.tell_window(WindowCause::Unused, cx);
        }
    }
    /// The program gives text: if nothing was under way, idleness ends.
    pub fn begin_to_send(&mut self, cx: &mut Cx<'_>) {
        if !self.flight.is_empty() || self.unsent() > 0 {
            return;
        }
        self.controller.get().on_idle(cx.now.since(self.last_sent));
        let before = self.window;
        self.restart_model(cx);
        if self.shrinks() {
            self.restart_after_idle(cx.now);
        }
        if self.window != before {
            self.tell_window(WindowCause::Idle, cx);
        }
    }
    //= rfc5681#4.1
    //# a TCP SHOULD set cwnd to no more than RW before beginning transmission if the TCP has not sent data in an interval exceeding the retransmission timeout
    /// Sending begins again: for each RTO of idleness the window halves, down to the initial one.
    fn restart_after_idle(&mut self, now: Instant) {
        let rto = self.rtt.base_rto().max(Duration::from_millis(1));
        let mut idle = now.since(self.last_sent);
        if idle <= rto {
            return;
        }
        let window = &mut self.window;
        let least = window.initial_bytes().min(window.cwnd);
        window.remember();
        while idle > rto && window.cwnd > least {
            idle -= rto;
            window.cwnd /= 2;
        }
        window.cwnd = window.cwnd.max(least);
        if let Some(busy) = &mut self.busy {
            busy.used = Used {
                most: 0,
                since: Some(now),
            };
        }
    }
}
