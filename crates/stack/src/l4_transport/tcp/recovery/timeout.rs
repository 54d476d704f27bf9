//! Recovery's acts on a connection: entering it, its three timers (RFC 6298, RFC 8985 6.3 and 7).
use super::Phase;
use crate::event::WindowCause;
use crate::l4_transport::readiness::SocketError;
use crate::l4_transport::tcp::Config;
use crate::l4_transport::tcp::congestion::Lost;
use crate::l4_transport::tcp::delayed_ack::ATO_MAX;
use crate::l4_transport::tcp::tcb::Tcb;
use crate::time::Duration;
use crate::{Counter, Cx, Instant};

impl Tcb {
    /// Looks for losses by time; arms the reordering timer if some need patience.
    pub fn detect_losses(&mut self, cx: &mut Cx<'_>) {
        self.timers.reordering = None;
        let evidence = self.flight.sacked() > 0 || self.recovery.phase != Phase::Open;
        if evidence {
            let mss = self.mss();
            let (min, srtt) = (self.rtt.min(), self.rtt.srtt());
            let (lost, again) = self
                .recovery
                .detect(&mut self.flight, cx.now, min, srtt, mss);
            self.timers.reordering = again;
            self.note_lost(&lost, cx);
        }
    }
    /// How far the window opens after `bytes` left the network; a model of the path does that itself.
    pub fn reduce(&mut self, bytes: u32, advanced: bool) {
        if self.controller.model().is_none() {
            let pipe = self.pipe();
            self.recovery
                .reduce(&mut self.window, pipe, bytes, advanced);
        }
    }
    /// Something is lost: ssthresh comes down, once for each window (RFC 6675 5).
    pub fn enter_fast_recovery(&mut self, cx: &mut Cx<'_>) {
        let flight = self.flight.outstanding();
        let cwnd = self.window.cwnd;
        // Where marks bring it down already, the loss is of the same window.
        if !self.recovery.reducing {
            self.remember_for_undo();
            self.controller
                .get()
                .on_loss(&mut self.window, &Lost { flight });
            self.owe_cwr();
        }
        self.tell_window(WindowCause::Loss, cx);
        self.recovery.enter_fast(self.snd.nxt, cwnd);
        self.recovery.probe = None;
        self.timers.probe_timeout = None;
        cx.count(if self.agreed.sack {
            Counter::TcpExtTcpSackRecovery
        } else {
            Counter::TcpExtTcpRenoRecovery
        });
    }
    /// What is lost was too long for the path: it leaves again in shorter segments, without a reduction (Linux's
    /// tcp_simple_retransmit).
    pub fn resend_shorter(&mut self) {
        if self.recovery.phase != Phase::Open {
            return;
        }
        self.recovery.enter_gently(self.snd.nxt);
        self.window.remember();
    }
    //= rfc6298#5.3
    //# When an ACK is received that acknowledges new data, restart the retransmission timer so that it will expire after RTO seconds
    /// Restarts the timers after an ACK or after sending. `restart`: also one that runs.
    pub fn arm_retransmission(&mut self, now: Instant, restart: bool) {
        if self.flight.is_empty() {
            self.timers.rto = None;
            self.timers.probe_timeout = None;
            self.timers.reordering = None;
            return;
        }
        if restart || self.timers.rto.is_none() {
            self.timers.rto = Some(self.timeout_from(now));
        }
        self.arm_tail_probe(now);
    }
    /// The peer asks for what it reported to have. It may yet change its mind (the ACK may be an old one), but not for a whole
    /// RTO (Linux's tcp_check_sack_reneging).
    pub fn suspect_reneging(&mut self, now: Instant) {
        if self.flight.is_reneged() {
            let half = self.rtt.srtt().unwrap_or_default() / 2;
            self.timers.rto = Some(now + half.max(Duration::from_millis(10)));
            self.timers.probe_timeout = None;
        }
    }
    //= rfc8985#7.2
    //# PTO = 2 * SRTT; if FlightSize is one segment, PTO += TLP.max_ack_delay
    fn arm_tail_probe(&mut self, now: Instant) {
        let quiet = self.recovery.phase == Phase::Open
            && self.recovery.probe.is_none()
            && self.agreed.sack
            && self.flight.sacked() == 0;
        self.timers.probe_timeout = None;
        let (true, Some(srtt)) = (quiet, self.rtt.srtt()) else {
            return;
        };
        let mut wait = srtt * 2;
        if self.flight.outstanding() <= self.mss() {
            wait += ATO_MAX;
        } else {
            wait += Duration::from_millis(2);
        }
        // a probe that would come after the timeout takes its place
        let at = now + wait;
        self.timers.probe_timeout = Some(self.timers.rto.map_or(at, |rto| rto.min(at)));
    }
    /// RFC 8985 7.3: the tail may be lost.
    pub fn on_probe_timeout(&mut self, cx: &mut Cx<'_>) {
        self.timers.probe_timeout = None;
        if self.flight.is_empty() || self.recovery.phase != Phase::Open {
            return;
        }
        self.tail_probe = true;
        self.timers.rto = Some(self.timeout_from(cx.now));
        cx.count(Counter::TcpExtTcpLossProbes);
    }
    /// Patience with reordering is over.
    pub fn on_reordering(&mut self, cx: &mut Cx<'_>) {
        self.detect_losses(cx);
        let found = self.flight.lost() > 0 && self.recovery.phase == Phase::Open;
        if found && !self.mtu_probe_failed(cx) {
            self.enter_fast_recovery(cx);
            self.reduce(0, false);
        }
        self.arm_retransmission(cx.now, false);
    }
    //= rfc6298#5.4
    //# Retransmit the earliest segment that has not been acknowledged by the TCP receiver.
    /// The retransmission timer expired.
    pub fn on_retransmission_timeout(&mut self, config: &Config, cx: &mut Cx<'_>) {
        self.timers.rto = None;
        if self.flight.is_empty() {
            return;
        }
        cx.count(Counter::TcpExtTcpTimeouts);
        self.tally().timed_out(cx.now);
        if self.gives_up(config, cx.now) {
            cx.count(Counter::TcpExtTcpAbortOnTimeout);
            let error = self.ep.soft_error.unwrap_or(SocketError::TimedOut);
            self.fail(error, cx);
            return;
        }
        self.suspect_black_hole(config, cx);
        self.forget_mtu_probe();
        let flight = self.flight.outstanding();
        //= rfc5681#3.1
        //# when a TCP sender detects segment loss using the retransmission timer and the given segment has already been retransmitted, the value of ssthresh is held constant
        let first = self.recovery.phase == Phase::Open && !self.recovery.reducing
            || self.snd.una.at_or_after(self.recovery.high)
            || (self.recovery.phase == Phase::Timeout && self.recovery.timeouts == 0);
        if first {
            self.remember_for_undo();
            self.controller
                .get()
                .on_loss(&mut self.window, &Lost { flight });
        }
        self.owe_cwr();
        self.controller.get().on_timeout();
        if self.flight.is_reneged() {
            cx.count(Counter::TcpExtTcpSackReneging);
        }
        let frto = self.may_use_frto(config.frto);
        self.recovery.enter_timeout(self.snd.nxt, frto);
        let lost = self.flight.lose_all();
        self.note_lost(&lost, cx);
        self.window.cwnd = self.window.mss;
        self.tell_window(WindowCause::Timeout, cx);
        self.timers.probe_timeout = None;
        self.timers.reordering = None;
        self.tail_probe = false;
        self.rtt.back_off();
        self.timers.rto = Some(self.timeout_from(cx.now));
    }
    /// RTO from now on, but not past the user timeout.
    fn timeout_from(&self, now: Instant) -> Instant {
        let at = now + self.rtt.rto();
        let user = self.ep.options.user_timeout;
        if user.is_zero() {
            return at;
        }
        at.min((self.unanswered_since + user).max(now + Duration::from_millis(1)))
    }
    /// RFC 9293 3.8.3's R2 and the user timeout.
    fn gives_up(&self, config: &Config, now: Instant) -> bool {
        let user = self.ep.options.user_timeout;
        if !user.is_zero() {
            return now.since(self.unanswered_since) >= user;
        }
        //= rfc9293#3.8.6.1
        //# As long as the receiving TCP peer continues to send acknowledgments in response to the probe segments, the sending TCP peer MUST allow the connection to stay open
        if self.snd.wnd == 0 && now.since(self.keepalive.heard) < 2 * self.rtt.rto() {
            return false;
        }
        let most = if self.ep.orphan {
            config.retries2.min(8)
        } else {
            config.retries2
        };
        u32::from(self.recovery.timeouts) >= most
    }
}
