//! The eleven states and the one table of transitions between them (RFC 9293 3.3.2).
use super::State::{
    self, CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen,
    SynReceived, SynSent, TimeWait,
};

/// What moves a connection from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The program listens.
    PassiveOpen,
    /// The program connects.
    ActiveOpen,
    /// A SYN without ACK.
    SynArrives,
    /// A SYN that acknowledges ours.
    SynAckArrives,
    /// An ACK of our SYN.
    AckOfSyn,
    /// The program has no more to send: a FIN is queued.
    Close,
    /// The peer's FIN, all bytes before it being there.
    FinArrives,
    /// An ACK of our FIN.
    AckOfFin,
    /// Twice the maximum segment lifetime has passed.
    TwoMsl,
}

use Trigger::{
    AckOfFin, AckOfSyn, ActiveOpen, Close, FinArrives, PassiveOpen, SynAckArrives, SynArrives,
    TwoMsl,
};

/// Every transition. What is not here cannot happen, but for the end of any state in CLOSED by a reset, an abort or a timeout.
pub const TRANSITIONS: &[(State, Trigger, State)] = &[
    (Closed, PassiveOpen, Listen),
    (Closed, ActiveOpen, SynSent),
    (Listen, SynArrives, SynReceived),
    (Listen, Close, Closed),
    (SynSent, SynArrives, SynReceived),
    (SynSent, SynAckArrives, Established),
    (SynSent, Close, Closed),
    (SynReceived, AckOfSyn, Established),
    (SynReceived, Close, FinWait1),
    (Established, Close, FinWait1),
    (Established, FinArrives, CloseWait),
    (FinWait1, AckOfFin, FinWait2),
    (FinWait1, FinArrives, Closing),
    (FinWait2, FinArrives, TimeWait),
    (CloseWait, Close, LastAck),
    (Closing, AckOfFin, TimeWait),
    (LastAck, AckOfFin, Closed),
    (TimeWait, TwoMsl, Closed),
];

/// Where `trigger` leads from `from`; `None` if it changes nothing there.
pub fn next(from: State, trigger: Trigger) -> Option<State> {
    TRANSITIONS
        .iter()
        .find(|(f, t, _)| *f == from && *t == trigger)
        .map(|&(_, _, to)| to)
}

impl State {
    /// Both SYNs have been exchanged.
    pub const fn is_synchronised(self) -> bool {
        !matches!(self, Closed | Listen | SynSent | SynReceived)
    }
    /// The program may still send.
    pub const fn may_send(self) -> bool {
        matches!(self, Established | CloseWait)
    }
    /// The peer's FIN has not been taken yet.
    pub const fn may_receive(self) -> bool {
        matches!(self, Established | FinWait1 | FinWait2)
    }
    /// The RFC's spelling, as `ss` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Closed => "CLOSED",
            Listen => "LISTEN",
            SynSent => "SYN-SENT",
            SynReceived => "SYN-RECEIVED",
            Established => "ESTABLISHED",
            FinWait1 => "FIN-WAIT-1",
            FinWait2 => "FIN-WAIT-2",
            CloseWait => "CLOSE-WAIT",
            Closing => "CLOSING",
            LastAck => "LAST-ACK",
            TimeWait => "TIME-WAIT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::String;

    const DRAWN: &str = "\
CLOSED       --PassiveOpen--> LISTEN
CLOSED       --ActiveOpen--> SYN-SENT
LISTEN       --SynArrives--> SYN-RECEIVED
LISTEN       --Close--> CLOSED
SYN-SENT     --SynArrives--> SYN-RECEIVED
SYN-SENT     --SynAckArrives--> ESTABLISHED
SYN-SENT     --Close--> CLOSED
SYN-RECEIVED --AckOfSyn--> ESTABLISHED
SYN-RECEIVED --Close--> FIN-WAIT-1
ESTABLISHED  --Close--> FIN-WAIT-1
ESTABLISHED  --FinArrives--> CLOSE-WAIT
FIN-WAIT-1   --AckOfFin--> FIN-WAIT-2
FIN-WAIT-1   --FinArrives--> CLOSING
FIN-WAIT-2   --FinArrives--> TIME-WAIT
CLOSE-WAIT   --Close--> LAST-ACK
CLOSING      --AckOfFin--> TIME-WAIT
LAST-ACK     --AckOfFin--> CLOSED
TIME-WAIT    --TwoMsl--> CLOSED
";

    #[test]
    fn the_table_draws_the_picture_of_rfc_9293_3_3_2() {
        let drawn: String = TRANSITIONS
            .iter()
            .map(|(f, t, to)| format!("{:<12} --{t:?}--> {}\n", f.name(), to.name()))
            .collect();
        assert_eq!(drawn, DRAWN);
    }

    #[test]
    fn every_state_is_reached_from_closed_and_leads_back_to_it() {
        let all = [
            Closed,
            Listen,
            SynSent,
            SynReceived,
            Established,
            FinWait1,
            FinWait2,
            CloseWait,
            Closing,
            LastAck,
            TimeWait,
        ];
        for from in all {
            let mut seen = BTreeSet::from([from]);
            let mut grew = true;
            while grew {
                let before = seen.len();
                for (f, _, to) in TRANSITIONS {
                    if seen.contains(f) {
                        seen.insert(*to);
                    }
                }
                grew = seen.len() > before;
            }
            assert!(seen.contains(&Closed), "{from:?} never ends");
            if from == Closed {
                assert_eq!(seen.len(), all.len());
            }
        }
    }

    #[test]
    fn no_trigger_leads_to_two_states() {
        for (i, (f, t, _)) in TRANSITIONS.iter().enumerate() {
            assert!(
                !TRANSITIONS
                    .iter()
                    .skip(i + 1)
                    .any(|(g, u, _)| f == g && t == u)
            );
        }
    }
}
