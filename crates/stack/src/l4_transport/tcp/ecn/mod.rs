//! Explicit congestion notification: a router marks what it would have to drop, and the receiver says so. Who uses it, what both
//! SYNs settle, and which of two ways a connection has of telling: one bit until it is answered (`classic`, RFC 3168), or counters
//! of what came (`accurate`, RFC 9768).
mod accurate;
mod classic;
mod greeting;

pub use accurate::{Accurate, introduce};
pub use classic::Marks;
pub use greeting::{Greeting, agree, answer, ask, found, of_cookie};

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
    /// 3: as 1, with counters where the peer has them.
    Accurate,
    /// 4: whoever connects asks for the one bit, whoever listens agrees to counters.
    AlwaysOrAccurate,
    /// 5: whoever listens agrees, to counters too.
    AccurateWhenAsked,
}

impl Ecn {
    /// All, with their names in a lab file, in the order of tcp_ecn's numbers.
    pub const ALL: [(&'static str, Self); 6] = [
        ("never", Self::Never),
        ("always", Self::Always),
        ("when asked", Self::WhenAsked),
        ("accurate", Self::Accurate),
        ("always, accurate when asked", Self::AlwaysOrAccurate),
        ("accurate when asked", Self::AccurateWhenAsked),
    ];
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, which)| which)
    }
    /// By tcp_ecn's number.
    pub fn numbered(number: u32) -> Option<Self> {
        let found = Self::ALL.get(number as usize);
        found.map(|(_, which)| *which)
    }
    /// What whoever connects asks for.
    fn asks(self) -> Feedback {
        match self {
            Self::Never | Self::WhenAsked | Self::AccurateWhenAsked => Feedback::None,
            Self::Always | Self::AlwaysOrAccurate => Feedback::Classic,
            Self::Accurate => Feedback::Accurate,
        }
    }
    /// The most that whoever listens agrees to.
    fn allows(self) -> Feedback {
        match self {
            Self::Never => Feedback::None,
            Self::Always | Self::WhenAsked => Feedback::Classic,
            Self::Accurate | Self::AlwaysOrAccurate | Self::AccurateWhenAsked => Feedback::Accurate,
        }
    }
}

/// How a connection tells of marks (RFC 9768's feedback modes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Feedback {
    /// Not at all.
    #[default]
    None,
    /// ECE until CWR (RFC 3168).
    Classic,
    /// Counters (RFC 9768).
    Accurate,
}

/// The last two bits of the DS field (RFC 3168 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Codepoint {
    /// 00: does not understand marks.
    #[default]
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

/// What an ACK tells of our text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Told {
    /// The window is to come down.
    pub congestion: bool,
    /// Segments that were acknowledged as marked (`tcpi_delivered_ce`).
    pub marked: u32,
}

impl Tcb {
    /// New text leaves: it may be marked, and says whether the window came down.
    //= rfc3168#6.1.5
    //# ECN-capable TCP implementations MUST NOT set either ECT codepoint (ECT(0) or ECT(1)) in the IP header for retransmitted data packets
    pub fn mark_new_text(&mut self, out: &mut Outgoing) {
        // A model that takes no notice of marks must not ask for them.
        if self.controller.model().is_some() {
            return;
        }
        match self.agreed.ecn {
            Feedback::None => {}
            Feedback::Classic => self.mark_and_answer(out),
            Feedback::Accurate => self.mark_if_sound(out),
        }
    }
    /// What an ACK tells of marks; `segments` are acknowledged by it, `fresh`: no later one came before it.
    pub fn told_of_marks(&mut self, seg: &Segment, segments: u32, fresh: bool) -> Told {
        match self.agreed.ecn {
            Feedback::None => Told::default(),
            Feedback::Classic => self.told_by_echo(seg, segments),
            Feedback::Accurate => self.told_by_counters(seg, segments, fresh),
        }
    }
    /// Segments were acknowledged as marked.
    pub fn count_marked(&mut self, segments: u32) {
        if segments > 0 {
            let delivered = &mut self.busy().marks.delivered;
            *delivered = delivered.wrapping_add(segments);
        }
    }
    /// Whether the window comes down by marks now, once in a round trip. `congestion`: this ACK tells of some.
    //= rfc3168#6.1.2
    //# TCP should not react to congestion indications more than once every window of data (or more loosely, more than once every round-trip time)
    pub fn heeds_marks(&mut self, congestion: bool, cx: &mut Cx<'_>) -> bool {
        if self.recovery.reducing && self.snd.una.after(self.recovery.high) {
            self.recovery.reducing = false;
            self.settle_window();
            self.tell_window(WindowCause::Recovered, cx);
        }
        if congestion && !self.recovery.reducing && self.controller.model().is_none() {
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
        let used = self.agreed.ecn != Feedback::None;
        let seen = marks.seen || self.accurate().is_some_and(Accurate::has_seen_any);
        let options = u8::from(used) << 3 | u8::from(seen) << 4;
        (options, marks.delivered)
    }
}
