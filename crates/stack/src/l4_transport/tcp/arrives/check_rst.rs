//! Second: the RST bit (RFC 5961 3.2).
use heptad_wire::tcp::Flags;

use super::challenge;
use crate::l4_transport::readiness::SocketError;
use crate::l4_transport::tcp::State;
use crate::l4_transport::tcp::segment::Segment;
use crate::l4_transport::tcp::tcb::Tcb;
use crate::{Cx, DropReason};

/// A RST at RCV.NXT resets; one elsewhere in the window is challenged.
pub fn check(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) -> Result<(), DropReason> {
    if !seg.has(Flags::RST) {
        return Ok(());
    }
    //= rfc5961#3.2
    //# If the RST bit is set and the sequence number does not exactly match the next expected sequence value, yet is within the current receive window, TCP MUST send an acknowledgment (challenge ACK)
    if seg.seq != tcb.rcv.nxt {
        if seg.seq.before(tcb.rcv.nxt) {
            return Err(DropReason::TcpOutOfWindow);
        }
        challenge(tcb, cx);
        return Err(DropReason::TcpRstChallenged);
    }
    let error = if tcb.ep.state == State::CloseWait {
        SocketError::BrokenPipe
    } else {
        SocketError::ConnectionReset
    };
    tcb.fail(error, cx);
    Ok(())
}
