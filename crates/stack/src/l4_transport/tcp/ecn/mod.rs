//! Explicit congestion notification (RFC 3168): a router marks what it would have to drop, the receiver says so (ECE) until the
//! sender has answered (CWR), and the sender comes down as after a loss, without one.
use heptad_wire::tcp::Flags;

use super::Config;
use super::congestion::Lost;
use super::segment::{Outgoing, Segment};
use super::tcb::Tcb;
use crate::Cx;
use crate::event::WindowCause;

/// Who uses ECN (tcp_ecn).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ecn {
    /// 0: nobody.
    Never,
    /// 1: whoever connects asks for it, whoever listens agrees.
    Always,
    /// 2: whoever listens agrees.
    #[default]
    WhenAsked,
}

impl Ecn {
    /// All, with their names in a lab file.
    pub const ALL: [(&'static str, Self); 3] = [
        ("never", Self::Never),
        ("always", Self::Always),
        ("when asked", Self::WhenAsked),
    ];
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, which)| which)
    }
}

/// The last two bits of the DS field (RFC 3168 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codepoint {
    /// 00: does not understand marks.
    NotEct,
    /// 01
    Ect1,
    /// 10
    Ect0,
    /// 11: marked by a router.
    Ce,
}
impl Codepoint {
    /// Of a DS field with its last two bits.
    pub fn of(tos: u8) -> Self {
        match tos & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}
/// ECT(0) as bits.
const ECT0: u8 = 2;
/// What a SYN that asks for ECN says, and a SYN,ACK that agrees says half of.
const BOTH: [Flags; 2] = [Flags::ECE, Flags::CWR];

/// What a connection remembers of marks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// A mark came: each segment says ECE until the peer's CWR.
    echo: bool,
    /// The window was reduced: the next new text says CWR.
    reduced: bool,
    /// The peer's text may be marked.
    seen: bool,
    /// Segments that were acknowledged with ECE (`tcpi_delivered_ce`).
    delivered: u32,
}

/// What our SYN says beside SYN.
//= rfc3168#6.1.1
//# before a TCP connection can use ECN, Host A sends an ECN-setup SYN packet
pub fn ask(config: &Config, retries: u8) -> Flags {
    let mut flags = Flags::SYN;
    // Who did not answer may have been hidden by something that drops such SYNs (6.1.1.1).
    if config.ecn == Ecn::Always && retries == 0 {
        BOTH.into_iter().for_each(|flag| flags = flags | flag);
    }
    flags
}
/// Whether the peer's SYN or SYN,ACK and we agree; `retries`: of our SYN.
pub fn agrees(config: &Config, seg: &Segment, retries: u8) -> bool {
    let [ece, cwr] = BOTH.map(|flag| seg.has(flag));
    if seg.has(Flags::ACK) {
        return ask(config, retries).contains(Flags::ECE) && ece && !cwr;
    }
    //= rfc3168#6.1.1
    //# A host MUST NOT set ECT on SYN or SYN-ACK packets.
    // What comes so was mangled, and marks are not to be trusted on such a path (as Linux).
    config.ecn != Ecn::Never && ece && cwr && seg.codepoint == Codepoint::NotEct
}

impl Tcb {
    fn marks(&self) -> Marks {
        self.busy.as_ref().map_or_else(Marks::default, |b| b.marks)
    }
    /// Text came: whether a router marked it, and whether the peer has heard of earlier marks.
    //= rfc3168#6.1.3
    //# When TCP receives a CE data packet at the destination end-system, the TCP data receiver sets the ECN-Echo flag in the TCP header of the subsequent ACK packet
    pub fn hear_marks(&mut self, seg: &Segment) {
        if !self.agreed.ecn {
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
    /// New text leaves: it may be marked, and says whether the window came down.
    //= rfc3168#6.1.5
    //# ECN-capable TCP implementations MUST NOT set either ECT codepoint (ECT(0) or ECT(1)) in the IP header for retransmitted data packets
    pub fn mark_new_text(&mut self, out: &mut Outgoing) {
        // A model that takes no notice of marks must not ask for them.
        if !self.agreed.ecn || self.controller.model().is_some() {
            return;
        }
        out.tos |= ECT0;
        if let Some(busy) = &mut self.busy
            && core::mem::take(&mut busy.marks.reduced)
        {
            out.flags = out.flags | Flags::CWR;
        }
    }
    /// The window came down for whatever reason: the peer is to know (RFC 3168 6.1.2).
    pub fn owe_cwr(&mut self) {
        if self.agreed.ecn {
            self.busy().marks.reduced = true;
        }
    }
    /// Whether an ACK tells of marks.
    pub fn is_echo(&self, seg: &Segment) -> bool {
        self.agreed.ecn && seg.has(Flags::ECE) && !seg.has(Flags::SYN)
    }
    /// Segments were acknowledged with ECE.
    pub fn count_marked(&mut self, segments: u32) {
        let delivered = &mut self.busy().marks.delivered;
        *delivered = delivered.wrapping_add(segments);
    }
    /// Whether the window comes down by marks now, once in a round trip. `echo`: this ACK tells of some.
    //= rfc3168#6.1.2
    //# TCP should not react to congestion indications more than once every window of data (or more loosely, more than once every round-trip time)
    pub fn heeds_marks(&mut self, echo: bool, cx: &mut Cx<'_>) -> bool {
        if self.recovery.reducing && self.snd.una.after(self.recovery.high) {
            self.recovery.reducing = false;
            self.settle_window();
            self.tell_window(WindowCause::Recovered, cx);
        }
        if echo && !self.recovery.reducing && self.controller.model().is_none() {
            let flight = self.flight.outstanding();
            let cwnd = self.window.cwnd;
            self.recovery.undo = None;
            let lost = Lost { flight };
            self.controller.get().on_loss(&mut self.window, &lost);
            self.recovery.begin_to_reduce(self.snd.nxt, cwnd);
            self.owe_cwr();
            self.tell_window(WindowCause::Marks, cx);
        }
        self.recovery.reducing
    }
    /// `tcpi_options` and `tcpi_delivered_ce`: whether ECN is used, whether the peer's text may be marked, what was.
    pub fn marks_info(&self) -> (u8, u32) {
        let marks = self.marks();
        let options = u8::from(self.agreed.ecn) << 3 | u8::from(marks.seen) << 4;
        (options, marks.delivered)
    }
}
