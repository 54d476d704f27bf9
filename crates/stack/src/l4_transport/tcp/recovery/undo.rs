//! Undoing a reduction that was not needed: the originals arrived after all.
//!
//! Two witnesses: a timestamp older than the first retransmission (Eifel, RFC 3522 and 4015), or D-SACKs for everything
//! that was sent again (RFC 3708).
use alloc::boxed::Box;

use super::Phase;
use crate::event::WindowCause;
use crate::l4_transport::tcp::congestion::Controller;
use crate::l4_transport::tcp::seq::SeqNum;
use crate::l4_transport::tcp::tcb::Tcb;
use crate::{Counter, Cx};

/// The state before the reduction.
#[derive(Clone, Debug)]
pub struct Undo {
    /// SND.UNA then.
    una: SeqNum,
    cwnd: u32,
    ssthresh: u32,
    /// RFC 9438 4.9: its variables too. A model of the path remembers by itself.
    controller: Option<Controller>,
    /// Frames sent again since then that no D-SACK has spoken of; `None` before the first.
    resent: Option<u32>,
    /// TSval of the first of them.
    stamp: Option<u32>,
}

impl Tcb {
    /// Before ssthresh comes down.
    pub fn remember_for_undo(&mut self) {
        self.recovery.undo = Some(Box::new(Undo {
            una: self.snd.una,
            cwnd: self.window.cwnd,
            ssthresh: self.window.ssthresh,
            controller: self.controller.remembered(),
            resent: None,
            stamp: None,
        }));
    }
    /// Frames were sent again with this TSval.
    pub fn note_resent(&mut self, frames: u32, tsval: u32) {
        if let Some(undo) = &mut self.recovery.undo {
            undo.resent = Some(undo.resent.unwrap_or(0).saturating_add(frames));
            undo.stamp.get_or_insert(tsval);
        }
    }
    /// What an ACK tells: the timestamp that it echoes if it acknowledges something new, and the range that it reports as a duplicate.
    pub fn consider_undo(
        &mut self,
        echo: Option<u32>,
        duplicate: Option<(SeqNum, SeqNum)>,
        cx: &mut Cx<'_>,
    ) {
        let mss = self.mss();
        let Some(undo) = &mut self.recovery.undo else {
            return;
        };
        if let (Some((left, right)), Some(resent)) = (duplicate, undo.resent)
            && right.after(undo.una)
        {
            let frames = right.since(left).div_ceil(mss);
            undo.resent = Some(resent.saturating_sub(frames));
        }
        let older = match (echo, undo.stamp) {
            (Some(echo), Some(stamp)) => {
                self.recovery.phase != Phase::Open && SeqNum(echo).before(SeqNum(stamp))
            }
            _ => false,
        };
        if older || undo.resent == Some(0) {
            self.undo(cx);
        }
    }
    /// F-RTO: what was late is acknowledged. Of a timeout whose reduction is undone already, or was none, recovery ends all the same.
    pub fn undo_timeout(&mut self, cx: &mut Cx<'_>) {
        cx.count(Counter::TcpExtTcpSpuriousRtos);
        if self.recovery.undo.is_some() {
            self.undo(cx);
        } else {
            self.flight.unlose();
            self.recovery.leave();
        }
    }
    fn undo(&mut self, cx: &mut Cx<'_>) {
        let Some(undo) = self.recovery.undo.take() else {
            return;
        };
        self.undo_model();
        self.window.cwnd = self.window.cwnd.max(undo.cwnd);
        self.window.ssthresh = self.window.ssthresh.max(undo.ssthresh);
        self.tell_window(WindowCause::Undo, cx);
        self.tally().recovered(cx.now);
        if let Some(controller) = undo.controller {
            self.controller = controller;
        }
        self.flight.unlose();
        self.recovery.leave();
        self.recovery.expect_reordering();
    }
}
