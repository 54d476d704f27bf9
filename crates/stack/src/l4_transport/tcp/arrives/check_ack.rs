//! Fifth: the ACK field: what it acknowledges, the window that it tells, what recovery and congestion control learn from it.
use heptad_wire::tcp::Flags;

use super::{answer_stray, challenge};
use crate::event::WindowCause;
use crate::l4_transport::tcp::State;
use crate::l4_transport::tcp::congestion::{Acked, Lost};
use crate::l4_transport::tcp::recovery::scoreboard::Delivered;
use crate::l4_transport::tcp::recovery::{DUP_THRESH, Phase};
use crate::l4_transport::tcp::segment::Segment;
use crate::l4_transport::tcp::seq::SeqNum;
use crate::l4_transport::tcp::states::Trigger;
use crate::l4_transport::tcp::tally::Count;
use crate::l4_transport::tcp::tcb::Tcb;
use crate::{Counter, Cx, DropReason};

/// Processes SEG.ACK.
pub fn check(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) -> Result<(), DropReason> {
    if seg.has(Flags::RST) || tcb.ep.state == State::Closed {
        return Ok(());
    }
    //= rfc9293#3.10.7.4
    //# if the ACK bit is off, drop the segment and return
    if !seg.has(Flags::ACK) {
        return Err(DropReason::TcpNoAck);
    }
    //= rfc9293#3.10.7.4
    //# If the ACK acks something not yet sent (SEG.ACK > SND.NXT), then send an ACK, drop the segment, and return.
    if seg.ack.after(tcb.snd.nxt) {
        answer_stray(tcb, seg, cx);
        return Err(DropReason::TcpAckInvalid);
    }
    //= rfc5961#5.2
    //# The ACK value is considered acceptable only if it is in the range of ((SND.UNA - MAX.SND.WND) <= SEG.ACK <= SND.NXT)
    if seg.ack.before(tcb.snd.una - tcb.snd.max_wnd.max(1)) {
        challenge(tcb, cx);
        return Err(DropReason::TcpAckInvalid);
    }
    if seg.len() == 0 {
        cx.count(Counter::TcpExtTcpPureAcks);
    }
    tcb.keepalive.hear(cx.now);
    tcb.persist.unanswered = 0;
    if seg.ack.before(tcb.snd.una) {
        return Ok(());
    }
    let window_moved = update_window(tcb, seg);
    acknowledge(tcb, seg, window_moved, cx);
    tcb.update_persist(cx.now);
    Ok(())
}

//= rfc9293#3.10.7.4
//# If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK)), set SND.WND <- SEG.WND
/// Of two segments alike in both numbers, which may have overtaken each other, the one with more room is believed, or with none.
fn update_window(tcb: &mut Tcb, seg: &Segment) -> bool {
    let shift = if seg.plain_window {
        0
    } else {
        tcb.agreed.snd_scale
    };
    let wnd = u32::from(seg.wnd) << shift;
    let snd = &mut tcb.snd;
    let newer = seg.ack.after(snd.una)
        || snd.wl1.before(seg.seq)
        || (snd.wl1 == seg.seq && (snd.wl2.before(seg.ack) || wnd > snd.wnd || wnd == 0));
    if !newer {
        return false;
    }
    let moved = wnd != snd.wnd;
    snd.wnd = wnd;
    snd.wl1 = seg.seq;
    snd.wl2 = seg.ack;
    snd.max_wnd = snd.max_wnd.max(wnd);
    moved
}

fn acknowledge(tcb: &mut Tcb, seg: &Segment, window_moved: bool, cx: &mut Cx<'_>) {
    let had_flight = !tcb.flight.is_empty();
    tcb.note_program_limit();
    let was_writable = tcb.is_writable();
    let mut delivered = Delivered::default();
    let una = tcb.snd.una;
    let advanced = seg.ack.after(una);
    if advanced {
        advance(tcb, seg.ack, &mut delivered, cx);
    }
    let (dsack, sacked) = read_sack(tcb, seg, una, &mut delivered);
    if dsack.is_some() {
        cx.count(Counter::TcpExtTcpDsackRecv);
        tcb.tally().dsack_dups += 1;
        tcb.recovery.dsack(tcb.snd.una, tcb.snd.nxt);
    }
    let echo = seg.options.timestamps.map(|(_, echo)| echo);
    let echo = echo.filter(|echo| advanced && tcb.agreed.timestamps && *echo != 0);
    tcb.consider_undo(echo, dsack, cx);
    let segments = delivered.bytes.div_ceil(tcb.mss());
    let news = seg.text_len > 0 && seg.seq.at_or_after(tcb.rcv.nxt);
    let fresh = advanced || delivered.bytes > 0 || news;
    let told = tcb.told_of_marks(seg, segments, fresh);
    tcb.count_marked(told.marked);
    if !had_flight {
        return;
    }
    count_delivered(tcb, &delivered, segments);
    sample_rtt(tcb, seg, advanced, &delivered, cx);
    let duplicate = !advanced && seg.len() == 0 && !window_moved;
    if tcb.agreed.sack {
        let mss = tcb.mss();
        tcb.recovery.learn(&delivered, cx.now, tcb.rtt.min(), mss);
    }
    tcb.consider_frto(advanced, duplicate || sacked, &delivered, cx);
    let sample = tcb.sample_delivery(&delivered, cx.now);
    let heard = Heard {
        advanced,
        duplicate: duplicate || sacked,
        congestion: told.congestion,
    };
    recover(tcb, heard, &delivered, cx);
    tcb.steer(sample, cx);
    settle_tail_probe(tcb, seg, dsack.is_some(), duplicate && !sacked, cx);
    if advanced || delivered.bytes > 0 {
        tcb.arm_retransmission(cx.now, advanced);
    }
    if advanced {
        tcb.suspect_reneging(cx.now);
        tcb.settle_mtu_probe(cx);
        make_room(tcb, was_writable);
    }
}

/// The send buffer follows the congestion window, and the program hears of room.
fn make_room(tcb: &mut Tcb, was_writable: bool) {
    tcb.grow_send_buffer();
    if tcb.is_writable() && (!was_writable || tcb.wants_room) {
        tcb.wants_room = false;
        tcb.ep.notify = true;
    }
}

/// SND.UNA moves.
fn advance(tcb: &mut Tcb, ack: SeqNum, delivered: &mut Delivered, cx: &mut Cx<'_>) {
    let fin_acked = tcb.fin_sent() && ack.after(tcb.text_end());
    let bytes = ack.since(tcb.snd.una) - u32::from(fin_acked);
    tcb.flight.acknowledge(ack, delivered);
    tcb.tx.acknowledge(bytes);
    tcb.snd.una = ack;
    tcb.forget_urgent();
    tcb.recovery.timeouts = 0;
    tcb.unanswered_since = cx.now;
    tcb.ep.soft_error = None;
    if fin_acked {
        tcb.fin_queued = false;
        tcb.ep.transition(Trigger::AckOfFin, cx);
    }
}

/// SACK blocks: the range that the first one reports as a duplicate, and whether anything new was reported.
fn read_sack(
    tcb: &mut Tcb,
    seg: &Segment,
    una: SeqNum,
    delivered: &mut Delivered,
) -> (Option<(SeqNum, SeqNum)>, bool) {
    if !tcb.agreed.sack {
        return (None, false);
    }
    let before = delivered.bytes;
    let mss = tcb.mss();
    let blocks = seg.options.sack;
    let mut dsack = None;
    for (i, &(left, right)) in blocks.as_slice().iter().enumerate() {
        let (left, right) = (SeqNum(left), SeqNum(right));
        if !left.before(right) || right.after(tcb.snd.nxt) {
            continue;
        }
        //= rfc2883#4
        //# if the first SACK block is below the cumulative ACK, or within the second block, it reports a duplicate
        let inside_second = i == 0
            && blocks.as_slice().get(1).is_some_and(|&(l, r)| {
                left.at_or_after(SeqNum(l)) && right.at_or_before(SeqNum(r))
            });
        if i == 0 && (right.at_or_before(seg.ack) || inside_second) {
            dsack = right
                .after(una - tcb.snd.max_wnd.max(1))
                .then_some((left, right));
            continue;
        }
        if left.at_or_after(tcb.snd.una) {
            tcb.flight.sack(left, right, mss, delivered);
        }
    }
    (dsack, delivered.bytes > before)
}

fn count_delivered(tcb: &mut Tcb, delivered: &Delivered, segments: u32) {
    if delivered.bytes == 0 {
        return;
    }
    tcb.count(Count::Delivered, segments);
    if delivered.reordered.is_some() {
        tcb.tally().reord_seen += 1;
    }
}

//= rfc7323#4.1
//# A TSecr value received in a segment MAY be used to update the averaged RTT measurement only if the segment advances the left edge of the send window
/// RFC 6298 3 (Karn), or by timestamps.
fn sample_rtt(tcb: &mut Tcb, seg: &Segment, advanced: bool, delivered: &Delivered, cx: &Cx<'_>) {
    if let (Some(at), false) = (delivered.rtt_from, delivered.resent) {
        tcb.rtt.sample(cx.now.since(at));
    } else if advanced && let Some(elapsed) = tcb.echoed(seg, cx.now) {
        tcb.rtt.sample(elapsed);
    }
}

/// What an ACK says.
struct Heard {
    /// SND.UNA moved.
    advanced: bool,
    /// It is a duplicate, or SACK told of something new.
    duplicate: bool,
    /// Marks were told of.
    congestion: bool,
}

fn recover(tcb: &mut Tcb, heard: Heard, delivered: &Delivered, cx: &mut Cx<'_>) {
    let Heard {
        advanced,
        duplicate,
        congestion,
    } = heard;
    let mut bytes = delivered.bytes;
    if tcb.agreed.sack {
        tcb.detect_losses(cx);
    } else {
        bytes = count_duplicates(tcb, advanced, duplicate, bytes, cx);
    }
    match tcb.recovery.phase {
        Phase::Open => {
            if tcb.flight.lost() > 0 {
                if !tcb.mtu_probe_failed(cx) {
                    tcb.enter_fast_recovery(cx);
                    tcb.reduce(bytes, advanced);
                }
            } else if tcb.heeds_marks(congestion, cx) {
                tcb.reduce(bytes, advanced);
            } else if advanced {
                grow(tcb, bytes, delivered, cx);
            }
        }
        Phase::Fast if tcb.snd.una.at_or_after(tcb.recovery.high) => {
            tcb.settle_window();
            tcb.recovery.leave();
            tcb.tell_window(WindowCause::Recovered, cx);
        }
        Phase::Fast => {
            //= rfc6582#3.2
            //# If this ACK does not acknowledge all of the data up to and including recover, then this is a partial ACK. In this case, retransmit the first unacknowledged segment.
            if advanced && !tcb.agreed.sack {
                tcb.lose_front(cx);
            }
            tcb.reduce(bytes, advanced);
        }
        Phase::Timeout => {
            if tcb.snd.una.at_or_after(tcb.recovery.high) {
                tcb.recovered_by_model();
                tcb.recovery.leave();
                if let Some(busy) = &mut tcb.busy {
                    busy.tally.recovered(cx.now);
                }
                tcb.tell_window(WindowCause::Recovered, cx);
            }
            if advanced {
                grow(tcb, bytes, delivered, cx);
            }
        }
    }
}

/// Without SACK: duplicate ACKs. Returns the bytes that left the network.
fn count_duplicates(
    tcb: &mut Tcb,
    advanced: bool,
    duplicate: bool,
    bytes: u32,
    cx: &mut Cx<'_>,
) -> u32 {
    let mss = tcb.mss();
    let recovery = &mut tcb.recovery;
    if advanced {
        let segments = bytes.div_ceil(mss);
        // each duplicate ACK stood for one of the segments that are acknowledged now
        let known = recovery.dupacks.saturating_mul(mss);
        let bytes = bytes.saturating_sub(known).max(bytes.min(mss));
        recovery.dupacks = if recovery.phase == Phase::Fast {
            recovery.dupacks.saturating_sub(segments.saturating_sub(1))
        } else {
            0
        };
        return bytes;
    }
    if !duplicate {
        return bytes;
    }
    recovery.dupacks = recovery.dupacks.saturating_add(1);
    let fresh = recovery.reducing || tcb.snd.una.after(recovery.high);
    if recovery.phase == Phase::Open && recovery.dupacks == DUP_THRESH && fresh {
        tcb.lose_front(cx);
    }
    mss
}

fn grow(tcb: &mut Tcb, bytes: u32, delivered: &Delivered, cx: &mut Cx<'_>) {
    if tcb.is_limited() {
        let acked = Acked {
            now: cx.now,
            bytes,
            srtt: tcb.round_trip(),
            una: tcb.snd.una,
            nxt: tcb.snd.nxt,
            rtt: delivered.latest_rtt(cx.now),
        };
        let before = tcb.window;
        tcb.controller.get().on_ack(&mut tcb.window, &acked);
        tcb.tell_growth(before, cx);
    }
}

//= rfc8985#7.4
//# TLP ... detects a loss repaired by the probe if the ACK beyond TLP.end_seq brings no DSACK
fn settle_tail_probe(tcb: &mut Tcb, seg: &Segment, dsack: bool, bare: bool, cx: &mut Cx<'_>) {
    let Some((high, resent)) = tcb.recovery.probe else {
        return;
    };
    if seg.ack.before(high) {
        return;
    }
    if !resent || dsack || (seg.ack == high && bare) {
        tcb.recovery.probe = None;
    } else if seg.ack.after(high) {
        tcb.recovery.probe = None;
        if tcb.recovery.phase == Phase::Open {
            let flight = tcb.flight.outstanding();
            let lost = Lost { flight };
            tcb.controller.get().on_loss(&mut tcb.window, &lost);
            tcb.owe_cwr();
            tcb.window.cwnd = tcb.window.cwnd.min(tcb.window.ssthresh);
            tcb.tell_window(WindowCause::TailLoss, cx);
        }
    }
}
