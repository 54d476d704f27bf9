//! Keepalive (RFC 9293 3.8.4): off unless the program asks.
use super::Options;
use super::tcb::Tcb;
use crate::l4_transport::readiness::SocketError;
use crate::{Counter, Cx, Instant};

/// What keepalive remembers.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// When the peer was last heard.
    pub heard: Instant,
    /// Probes since then.
    pub probes: u32,
    /// A probe is to be sent now.
    pub due: bool,
}
impl Keepalive {
    /// From now on.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            probes: 0,
            due: false,
        }
    }
    /// The peer was heard. The timer notices when it fires.
    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.probes = 0;
        self.due = false;
    }
}

/// When the timer is due, seen from now.
pub fn deadline(options: &Options, keep: &Keepalive) -> Option<Instant> {
    options.keepalive.then(|| keep.heard + options.keepidle)
}

impl Tcb {
    //= rfc9293#3.8.4
    //# Keep-alive packets MUST only be sent when no sent data is outstanding, and no data or acknowledgment packets have been received for the connection within an interval
    /// The keepalive timer fired.
    pub fn on_keepalive(&mut self, cx: &mut Cx<'_>) {
        let options = &self.ep.options;
        let Some(first) = deadline(options, &self.keepalive) else {
            self.timers.keepalive = None;
            return;
        };
        if !self.flight.is_empty() || self.tx.len() > 0 {
            self.timers.keepalive = Some(cx.now + options.keepidle);
            return;
        }
        if first > cx.now {
            self.timers.keepalive = Some(first);
            return;
        }
        let silent = cx.now.since(self.keepalive.heard);
        let user = options.user_timeout;
        let over = if user.is_zero() {
            self.keepalive.probes >= options.keepcnt
        } else {
            self.keepalive.probes > 0 && silent >= user
        };
        if over {
            cx.count(Counter::TcpExtTcpAbortOnTimeout);
            let error = self.ep.soft_error.unwrap_or(SocketError::TimedOut);
            // As Linux: should the peer only have been silent, it learns that this end is gone.
            self.reset_owed = true;
            self.fail(error, cx);
            return;
        }
        self.keepalive.probes += 1;
        self.keepalive.due = true;
        self.timers.keepalive = Some(cx.now + options.keepintvl);
        cx.count(Counter::TcpExtTcpKeepAlive);
    }
}
