//! Probes of a zero window (RFC 9293 3.8.6.1): the persist timer, with backoff.
use super::Config;
use super::rtt::MAX_RTO;
use super::tcb::Tcb;
use crate::l4_transport::readiness::SocketError;
use crate::time::Duration;
use crate::{Counter, Cx, Instant};

/// The persist timer's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Persist {
    backoff: u8,
    /// Probes that nobody answered.
    pub unanswered: u32,
    /// Since when the window is shut.
    pub since: Option<Instant>,
    /// A probe is to be sent now.
    pub due: bool,
}

impl Tcb {
    /// Starts the timer when there is something to send, nothing is on its way, and the window (not Nagle or cork) forbids it.
    pub fn update_persist(&mut self, now: Instant) {
        let waits = self.flight.is_empty()
            && self.ep.state.is_synchronised()
            && (self.unsent() > 0 || (self.fin_queued && !self.fin_sent()));
        if !waits || self.window_allows() {
            self.timers.persist = None;
            self.persist = Persist::default();
        } else if self.timers.persist.is_none() {
            self.timers.persist = Some(now + self.rtt.base_rto());
            self.persist.since.get_or_insert(now);
        }
    }
    fn window_allows(&self) -> bool {
        let wanted =
            (self.unsent() + u32::from(self.fin_queued && !self.fin_sent())).min(self.mss());
        self.snd.wnd >= wanted
    }
    //= rfc9293#3.8.6.1
    //# The transmitting host SHOULD send the first zero-window probe when a zero window has existed for the retransmission timeout period, and SHOULD increase exponentially the interval between successive probes
    /// The persist timer fired.
    pub fn on_persist(&mut self, config: &Config, cx: &mut Cx<'_>) {
        self.timers.persist = None;
        let user = self.ep.options.user_timeout;
        let shut = self.persist.since.map_or(user, |at| cx.now.since(at));
        let late = !user.is_zero() && self.persist.unanswered > 0 && shut >= user;
        let most = if self.ep.orphan {
            config.retries2.min(8)
        } else {
            config.retries2
        };
        // As Linux: nobody waits for ever on behalf of a program that is gone, even if each probe is answered.
        let forsaken = self.ep.orphan
            && u32::from(self.persist.backoff) >= most
            && self.probe_interval() >= MAX_RTO;
        if late || forsaken || self.persist.unanswered >= most {
            cx.count(Counter::TcpExtTcpAbortOnTimeout);
            let error = self.ep.soft_error.unwrap_or(SocketError::TimedOut);
            self.fail(error, cx);
            return;
        }
        self.persist.due = true;
        self.persist.unanswered += 1;
        self.persist.backoff = self.persist.backoff.saturating_add(1).min(16);
        self.timers.persist = Some(cx.now + self.probe_interval());
        cx.count(Counter::TcpExtTcpWinProbe);
    }
    /// How long the next probe waits after so many.
    fn probe_interval(&self) -> Duration {
        let interval = self.rtt.base_rto();
        interval
            .saturating_mul(1 << self.persist.backoff)
            .min(MAX_RTO)
    }
}
