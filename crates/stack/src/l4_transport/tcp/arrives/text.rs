//! Seventh: the segment text.
use alloc::vec::Vec;

use heptad_wire::tcp::Flags;

use super::Host;
use crate::l4_transport::tcp::State;
use crate::l4_transport::tcp::delayed_ack::Heard;
use crate::l4_transport::tcp::reassembly;
use crate::l4_transport::tcp::receiver::Taken;
use crate::l4_transport::tcp::segment::Segment;
use crate::l4_transport::tcp::tcb::Tcb;
use crate::{Counter, Cx, DropReason};

/// Queues what is new and inside the window; decides how soon to acknowledge.
pub fn process(
    tcb: &mut Tcb,
    seg: &mut Segment,
    host: &Host<'_>,
    cx: &mut Cx<'_>,
) -> Result<(), DropReason> {
    if seg.text_len == 0 || tcb.ep.state == State::Closed {
        return Ok(());
    }
    if !tcb.ep.state.may_receive() {
        //= rfc9293#3.10.7.4
        //# This should not occur since a FIN has been received from the remote side. Ignore the segment text.
        tcb.ack.now();
        return Err(DropReason::TcpDuplicate);
    }
    //= rfc9293#3.6
    //# If new data arrives after CLOSE is called, its TCP SHOULD send a RST to show that data was lost
    if tcb.ep.orphan && (seg.seq + seg.text_len).after(tcb.rcv.nxt) {
        cx.count(Counter::TcpExtTcpAbortOnData);
        tcb.ep.fail(None, cx);
        tcb.release();
        return Err(DropReason::TcpAfterClose);
    }
    if host.full {
        return Err(DropReason::HostMemory);
    }
    let (text, len) = trim(tcb, seg).inspect_err(|_| cx.count(Counter::TcpExtTcpRcvQDrop))?;
    tcb.hear_marks(seg);
    let frames = seg.frames;
    let taken = tcb.rcv.take(seg.seq, text, len);
    match taken {
        Taken::InOrder { hurry } => {
            tcb.ep.notify = true;
            if hurry {
                tcb.ack.now();
            }
            tcb.size_by(seg, len, cx.now);
            tcb.ack.text(&Heard {
                now: cx.now,
                len,
                frames,
                nxt: tcb.rcv.nxt,
                push: seg.has(Flags::PSH),
                wnd: tcb.rcv.wnd(),
                received: tcb.rcv.bytes(),
                rto: tcb.rtt.base_rto(),
            });
            Ok(())
        }
        Taken::OutOfOrder => {
            cx.count(Counter::TcpExtTcpOfoQueue);
            tcb.tally().ooo += frames;
            tcb.size_beyond_gap();
            tcb.ack.hurry();
            Ok(())
        }
        Taken::Duplicate => {
            cx.count(Counter::TcpExtTcpDsackOldSent);
            tcb.ack.hurry();
            Err(DropReason::TcpDuplicate)
        }
        Taken::NoRoom => {
            cx.count(Counter::TcpExtTcpOfoDrop);
            tcb.ack.now();
            Err(DropReason::TcpReassemblyFull)
        }
    }
}

/// Cuts off what lies beyond the window. What is left pins at most four times its size.
fn trim(tcb: &mut Tcb, seg: &mut Segment) -> Result<(Vec<heptad_wire::Chunk>, u32), DropReason> {
    let edge = tcb.rcv.edge();
    let text = core::mem::take(&mut seg.text);
    let end = seg.seq + seg.text_len;
    let (text, len) = if end.after(edge) {
        seg.flags = seg.flags.without(Flags::FIN);
        let fits = if edge.after(seg.seq) {
            edge.since(seg.seq)
        } else {
            0
        };
        if fits == 0 || edge.at_or_before(tcb.rcv.nxt) {
            tcb.ack.now();
            return Err(DropReason::TcpBufferFull);
        }
        (reassembly::slice(&text, 0, u64::from(fits)), fits)
    } else {
        (text, seg.text_len)
    };
    seg.text_len = len;
    Ok((heptad_wire::Chunk::compact_all(text), len))
}
