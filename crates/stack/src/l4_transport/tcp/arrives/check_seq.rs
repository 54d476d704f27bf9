//! First: the timestamp (RFC 7323 5.3) and the sequence number.
use heptad_wire::tcp::Flags;

use super::{answer_stray, check_syn};
use crate::l4_transport::tcp::segment::Segment;
use crate::l4_transport::tcp::seq::SeqNum;
use crate::l4_transport::tcp::tcb::Tcb;
use crate::time::Duration;
use crate::{Counter, Cx, DropReason};

/// TS.Recent older than this is no longer believed (RFC 7323 5.5).
const STALE: Duration = Duration::from_secs(24 * 24 * 3600);

/// Discards what is old or outside the window; remembers the peer's timestamp.
pub fn check(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) -> Result<(), DropReason> {
    if is_old(tcb, seg, cx) {
        cx.count(Counter::TcpExtPawsEstab);
        answer_stray(tcb, seg, cx);
        return Err(DropReason::TcpPaws);
    }
    if !is_acceptable(tcb, seg) {
        return Err(refuse(tcb, seg, cx));
    }
    remember_timestamp(tcb, seg, cx);
    Ok(())
}

//= rfc7323#5.3
//# R1) If there is a Timestamps option in the arriving segment, SEG.TSval < TS.Recent, ... and the RST bit is not set, then treat the arriving segment as not acceptable
fn is_old(tcb: &Tcb, seg: &Segment, cx: &Cx<'_>) -> bool {
    let Some((value, _)) = seg.options.timestamps.filter(|_| tcb.agreed.timestamps) else {
        return false;
    };
    !seg.has(Flags::RST)
        && SeqNum(value).before(SeqNum(tcb.ts.recent))
        && cx.now.since(tcb.ts.recent_at) < STALE
}

/// The table of RFC 9293 3.4, a little wider at both edges: a duplicate that ends at RCV.NXT and an ACK from the very edge still carry news.
fn is_acceptable(tcb: &Tcb, seg: &Segment) -> bool {
    let nxt = tcb.rcv.nxt;
    seg.end().at_or_after(nxt) && seg.seq.at_or_before(tcb.rcv.edge().later(nxt))
}

//= rfc9293#3.10.7.4
//# If an incoming segment is not acceptable, an acknowledgment should be sent in reply (unless the RST bit is set, if so drop the segment and return)
fn refuse(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) -> DropReason {
    let duplicate = seg.end().at_or_before(tcb.rcv.nxt) && seg.len() > 0;
    if seg.has(Flags::RST) {
        return DropReason::TcpOutOfWindow;
    }
    if seg.has(Flags::SYN) {
        return check_syn::refuse(tcb, seg, cx);
    }
    if seg.text_len > 0 && seg.seq.before(tcb.rcv.nxt) {
        cx.count(Counter::TcpExtTcpDsackOldSent);
        tcb.rcv.note_duplicate(seg.seq, seg.seq + seg.text_len);
        tcb.ack.hurry();
    } else {
        answer_stray(tcb, seg, cx);
    }
    if duplicate {
        DropReason::TcpDuplicate
    } else {
        DropReason::TcpOutOfWindow
    }
}

//= rfc7323#4.3
//# If: SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent then SEG.TSval is copied to TS.Recent
fn remember_timestamp(tcb: &mut Tcb, seg: &Segment, cx: &Cx<'_>) {
    let Some((value, _)) = seg.options.timestamps.filter(|_| tcb.agreed.timestamps) else {
        return;
    };
    let newer =
        SeqNum(value).at_or_after(SeqNum(tcb.ts.recent)) || cx.now.since(tcb.ts.recent_at) >= STALE;
    if newer && seg.seq.at_or_before(tcb.ack.told()) && !seg.has(Flags::RST) {
        tcb.ts.recent = value;
        tcb.ts.recent_at = cx.now;
    }
}
