//! Fourth: the SYN bit (RFC 5961 4.2).
use heptad_wire::tcp::Flags;

use super::challenge;
use crate::l4_transport::tcp::segment::Segment;
use crate::l4_transport::tcp::tcb::Tcb;
use crate::{Counter, Cx, DropReason};

/// A SYN, wherever it is, is challenged.
pub fn check(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) -> Result<(), DropReason> {
    if seg.has(Flags::SYN) && !seg.has(Flags::RST) {
        return Err(refuse(tcb, seg, cx));
    }
    Ok(())
}

//= rfc5961#4.2
//# If the SYN bit is set, irrespective of the sequence number, TCP MUST send an ACK (also referred to as challenge ACK) to the remote peer
/// The challenge.
pub fn refuse(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) -> DropReason {
    tcb.answer_again(seg);
    cx.count(Counter::TcpExtTcpSynChallenge);
    challenge(tcb, cx);
    DropReason::TcpSynChallenged
}
