//! One bit (RFC 3168): the receiver says ECE until the sender has answered (CWR), and the sender comes down as after a loss,
//! without one.
use heptad_wire::tcp::Flags;

use super::super::segment::{Outgoing, Segment};
use super::super::tcb::Tcb;
use super::{Codepoint, ECT0, Feedback, Told};

/// What a connection remembers of marks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// A mark came: each segment says ECE until the peer's CWR.
    echo: bool,
    /// The window was reduced: the next new text says CWR.
    reduced: bool,
    /// The peer's text may be marked.
    pub seen: bool,
    /// Segments that were acknowledged as marked (`tcpi_delivered_ce`).
    pub delivered: u32,
}

impl Tcb {
    /// What is remembered.
    pub fn marks(&self) -> Marks {
        self.busy.as_ref().map_or_else(Marks::default, |b| b.marks)
    }
    /// Text came: whether a router marked it, and whether the peer has heard of earlier marks.
    //= rfc3168#6.1.3
    //# When TCP receives a CE data packet at the destination end-system, the TCP data receiver sets the ECN-Echo flag in the TCP header of the subsequent ACK packet
    pub fn hear_marks(&mut self, seg: &Segment) {
        if self.agreed.ecn != Feedback::Classic {
            return;
        }
        let before = self.marks();
        let mut marks = before;
        marks.echo &= !seg.has(Flags::CWR);
        marks.echo |= seg.codepoint == Codepoint::Ce;
        // a silent connection does without that
        marks.seen |= self.busy.is_some() && seg.codepoint != Codepoint::NotEct;
        let news = marks.echo != before.echo || seg.has(Flags::CWR);
        if news {
            self.ack.now();
        }
        if news || self.busy.is_some() {
            self.busy().marks = marks;
        }
    }
    /// What each segment says of marks that came.
    pub fn echo(&self) -> Flags {
        match self.marks().echo {
            true => Flags::ECE,
            false => Flags::default(),
        }
    }
    /// ECT, and CWR once.
    pub(super) fn mark_and_answer(&mut self, out: &mut Outgoing) {
        out.tos |= ECT0;
        if let Some(busy) = &mut self.busy
            && core::mem::take(&mut busy.marks.reduced)
        {
            out.flags = out.flags | Flags::CWR;
        }
    }
    /// The window came down for whatever reason: the peer is to know (RFC 3168 6.1.2).
    pub fn owe_cwr(&mut self) {
        if self.agreed.ecn == Feedback::Classic {
            self.busy().marks.reduced = true;
        }
    }
    /// ECE: all that this ACK acknowledges counts as marked.
    pub(super) fn told_by_echo(&self, seg: &Segment, segments: u32) -> Told {
        let congestion = seg.has(Flags::ECE) && !seg.has(Flags::SYN);
        Told {
            congestion,
            marked: if congestion { segments } else { 0 },
        }
    }
}
