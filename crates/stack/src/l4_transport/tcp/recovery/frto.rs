//! F-RTO (RFC 5682 3.1, as Linux does it): whether a timeout was needless, by what is acknowledged after it.
//!
//! ```text
//!   timeout ──▶ First ──(the front is acknowledged)──▶ Second ──(text that was sent once is)──▶ undo
//!                                 new text is sent       └──(duplicate, or new text is sacked)──▶ Off: it is lost
//! ```
use super::Phase;
use crate::Cx;
use crate::l4_transport::tcp::recovery::scoreboard::Delivered;
use crate::l4_transport::tcp::tcb::Tcb;

/// How much is known of the last timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frto {
    /// The usual recovery.
    #[default]
    Off,
    /// The front was sent again; the first ACK is waited for.
    First,
    /// New text leaves instead of old; the second ACK is waited for.
    Second,
}

impl Tcb {
    /// Whether a timeout now may be found needless: not one that ends a fast recovery.
    pub fn may_use_frto(&self, on: bool) -> bool {
        let recovers = self.recovery.phase != Phase::Open
            && self.snd.una.before(self.recovery.high)
            && self.recovery.timeouts == 0;
        on && !recovers
    }
    //= rfc5682#3.1
    //# If the acknowledgment advances the window AND does not acknowledge all of the data ... transmit up to two new (previously unsent) segments
    /// An ACK after a timeout. `duplicate`: it reports something out of order, or repeats the one before.
    pub fn consider_frto(
        &mut self,
        advanced: bool,
        duplicate: bool,
        delivered: &Delivered,
        cx: &mut Cx<'_>,
    ) {
        if self.recovery.phase != Phase::Timeout || self.recovery.frto == Frto::Off {
            return;
        }
        if self.is_late_original(delivered) {
            self.undo_timeout(cx);
            return;
        }
        let partial = advanced && self.snd.una.before(self.recovery.high);
        self.recovery.frto = match self.recovery.frto {
            Frto::First if partial && self.has_new_text_to_send() => Frto::Second,
            Frto::First if !advanced => Frto::First,
            Frto::Second if !advanced && !duplicate => Frto::Second,
            _ => Frto::Off,
        };
    }
    //= rfc5682#3.1
    //# If the acknowledgment advances the window OR ... SACK information ... acknowledges data that was not retransmitted ... declare the timeout spurious
    /// Without SACK what was sent again may stand for what had arrived before.
    fn is_late_original(&self, delivered: &Delivered) -> bool {
        let known = self.agreed.sack || !delivered.resent;
        let original = delivered.first_original;
        known && original.is_some_and(|end| end.at_or_before(self.recovery.high))
    }
    fn has_new_text_to_send(&self) -> bool {
        self.unsent() > 0 && (self.snd.una + self.snd.wnd).after(self.snd.nxt)
    }
}
