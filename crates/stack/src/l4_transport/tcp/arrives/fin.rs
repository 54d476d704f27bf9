//! Eighth: the FIN bit.
use heptad_wire::tcp::Flags;

use crate::Cx;
use crate::l4_transport::tcp::segment::Segment;
use crate::l4_transport::tcp::states::Trigger;
use crate::l4_transport::tcp::tcb::Tcb;

/// Takes a FIN whose turn has come; keeps one that came early. Returns whether one was taken.
pub fn process(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) -> bool {
    if !tcb.ep.state.may_receive() {
        if seg.has(Flags::FIN) && tcb.ep.state.is_synchronised() {
            tcb.ack.now();
        }
        return false;
    }
    if seg.has(Flags::FIN) {
        let fin = seg.seq + seg.text_len;
        if fin.at_or_after(tcb.rcv.nxt) && fin.at_or_before(tcb.rcv.edge().later(tcb.rcv.nxt)) {
            tcb.fin_ahead = Some(fin);
            if fin.after(tcb.rcv.nxt) {
                // A FIN behind a gap tells of the gap, as text behind one does (RFC 5681 4.2).
                tcb.ack.hurry();
            }
        }
    }
    if tcb.fin_ahead != Some(tcb.rcv.nxt) {
        return false;
    }
    //= rfc9293#3.10.7.4
    //# If the FIN bit is set, signal the user "connection closing" ..., advance RCV.NXT over the FIN, and send an acknowledgment for the FIN.
    tcb.fin_ahead = None;
    tcb.rcv.take_fin();
    tcb.ack.now();
    tcb.ep.transition(Trigger::FinArrives, cx);
    tcb.ep.notify = true;
    true
}
