//! What deliveries and losses tell the controller that has a model of the path (BBR), and what it makes of them.
use super::Congestion;
use super::congestion::Controller;
use super::congestion::bbr::{Ack, Marked, Moment};
use super::delivery::Sample;
use super::recovery::Phase;
use super::recovery::scoreboard::{Delivered, Record};
use super::tcb::Tcb;
use crate::event::WindowCause;
use crate::{Cx, Instant};

impl Tcb {
    /// The program chose.
    pub fn choose_controller(&mut self, which: Congestion, now: Instant) {
        self.controller = Controller::new(which, &self.window, self.rtt.srtt(), now);
        self.prepare_model();
    }
    /// A model needs all deliveries from the first on.
    pub fn prepare_model(&mut self) {
        if self.controller.model().is_some() {
            self.busy();
        }
    }
    /// Something leaves; returns the number of what was noted.
    pub fn note_departure(&mut self, len: u32, now: Instant) -> u32 {
        let Some(busy) = &mut self.busy else {
            return 0;
        };
        let (idle, pipe) = (self.flight.is_empty(), self.flight.pipe() + len);
        busy.delivery.note(idle, pipe, &self.flight, now)
    }
    /// Looks whether the program gives less than might be sent (CheckIfApplicationLimited).
    pub fn note_program_limit(&mut self) {
        let pipe = self.flight.pipe();
        let limited =
            self.unsent() < self.mss() && pipe < self.window.cwnd && self.flight.lost() == 0;
        if let Some(busy) = &mut self.busy
            && limited
        {
            busy.delivery.limit_by_program(pipe);
        }
    }
    /// What an ACK delivered, measured.
    pub fn sample_delivery(&mut self, delivered: &Delivered, now: Instant) -> Sample {
        let min_rtt = self.rtt.min();
        match &mut self.busy {
            Some(busy) => busy.delivery.sample(delivered, now, min_rtt),
            None => Sample::default(),
        }
    }
    /// These are taken for lost.
    pub fn note_lost(&mut self, records: &[Record], cx: &mut Cx<'_>) {
        let Some(busy) = self.busy.as_deref_mut().filter(|_| !records.is_empty()) else {
            return;
        };
        let sack = self.agreed.sack;
        let mut before = None;
        let mut ranges = 0;
        for record in records {
            busy.delivery.lost += u64::from(record.len);
            ranges += u32::from(before != Some(record.seq));
            before = Some(record.end());
            let Some(bbr) = self.controller.model_mut() else {
                continue;
            };
            let marked = Marked {
                sent: busy.delivery.sent(record.note),
                len: record.len,
                lost: busy.delivery.lost,
                sack,
            };
            let now = Moment {
                time: cx.now,
                delivered: busy.delivery.delivered,
            };
            bbr.on_lost(&self.window, &marked, now, cx.rng);
        }
        if let Some(bbr) = self.controller.model_mut() {
            bbr.on_lost_ranges(ranges);
        }
    }
    /// Without SACK: the first segment is lost.
    pub fn lose_front(&mut self, cx: &mut Cx<'_>) {
        let mss = self.mss();
        let lost = self.flight.lose_front(mss);
        self.note_lost(lost.as_slice(), cx);
    }
    /// All of an ACK is dealt with: rate and window follow.
    pub fn steer(&mut self, sample: Sample, cx: &mut Cx<'_>) {
        let in_flight = self.pipe();
        let (Some(bbr), Some(busy)) = (self.controller.model_mut(), &mut self.busy) else {
            return;
        };
        let ack = Ack {
            now: cx.now,
            sample,
            delivered: busy.delivery.delivered,
            lost: busy.delivery.lost,
            in_flight,
            cwnd_limited: self.usage.limited,
            sack: self.agreed.sack,
            recovering: self.recovery.phase == Phase::Fast,
            srtt: self.rtt.srtt(),
        };
        let before = self.window;
        bbr.on_ack(&mut self.window, &ack, cx.rng);
        if bbr.is_probing_rtt() {
            busy.delivery.limit_by_program(in_flight);
        }
        if self.window != before {
            self.tell_window(WindowCause::Model, cx);
        }
    }
    /// Recovery is over: the window is ssthresh, or what the model had before.
    pub fn settle_window(&mut self) {
        match self.controller.model_mut() {
            Some(bbr) => bbr.on_recovered(&mut self.window),
            None => self.window.cwnd = self.window.ssthresh,
        }
    }
    /// The same after a timeout, where only a model has another window to go back to.
    pub fn recovered_by_model(&mut self) {
        if let Some(bbr) = self.controller.model_mut() {
            bbr.on_recovered(&mut self.window);
        }
    }
    /// Nothing was lost.
    pub fn undo_model(&mut self) {
        if let (Some(bbr), Some(busy)) = (self.controller.model_mut(), &self.busy) {
            bbr.on_spurious(&mut self.window, busy.delivery.delivered);
        }
    }
    /// The program gives text after a pause.
    pub fn restart_model(&mut self, cx: &mut Cx<'_>) {
        self.note_program_limit();
        let (Some(bbr), Some(busy)) = (self.controller.model_mut(), &self.busy) else {
            return;
        };
        let now = Moment {
            time: cx.now,
            delivered: busy.delivery.delivered,
        };
        if busy.delivery.is_app_limited() {
            bbr.on_restart(&mut self.window, now, cx.rng);
        }
    }
}
