//! A segment arrives in SYN-SENT (RFC 9293 3.10.7.3), or in SYN-RECEIVED after a simultaneous open.
use alloc::boxed::Box;

use heptad_wire::tcp::Flags;

use super::challenge::allow_again;
use super::ecn;
use super::opening::{ActiveOpening, Handshake};
use super::options::{Agreed, mss_limit};
use super::segment::{Segment, reset_for};
use super::states::Trigger;
use super::tcb::Tcb;
use super::{Config, State};
use crate::l3_network::Reply;
use crate::l4_transport::readiness::SocketError;
use crate::{Cx, DropReason};

/// What becomes of the opening.
pub enum Outcome {
    /// It stays; what becomes of the segment.
    Stays(Result<(), (DropReason, Option<Reply>)>),
    /// A connection; the rest of the segment is for it.
    Opened(Box<Tcb>, Segment),
}

/// Takes the segment. The opening is given up when it becomes a connection.
pub fn arrives(
    opening: &mut ActiveOpening,
    seg: Segment,
    config: &Config,
    cx: &mut Cx<'_>,
) -> Outcome {
    match opening.ep.state {
        State::SynSent => in_syn_sent(opening, seg, config, cx),
        State::SynReceived => in_syn_received(opening, seg, config, cx),
        _ => Outcome::Stays(Err((DropReason::TcpNoSocket, None))),
    }
}

fn in_syn_sent(
    opening: &mut ActiveOpening,
    seg: Segment,
    config: &Config,
    cx: &mut Cx<'_>,
) -> Outcome {
    let ack = seg.has(Flags::ACK);
    //= rfc9293#3.10.7.3
    //# If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is set, if so drop the segment and return)
    if ack && !opening.is_acked_by(seg.ack) {
        let reset = reset_for(opening.ep.local(), opening.ep.remote(), &seg, cx);
        return Outcome::Stays(Err((
            DropReason::TcpAckInvalid,
            reset.map(Reply::Transport),
        )));
    }
    if seg.has(Flags::RST) {
        if !ack {
            return Outcome::Stays(Err((DropReason::TcpOutOfWindow, None)));
        }
        fail(opening, SocketError::ConnectionRefused, cx);
        return Outcome::Stays(Ok(()));
    }
    if !seg.has(Flags::SYN) {
        return Outcome::Stays(Err((DropReason::TcpNoAck, None)));
    }
    let shake = handshake(opening, &seg, config);
    if ack {
        opening.ep.transition(Trigger::SynAckArrives, cx);
        return open(opening, &shake, seg, config, cx);
    }
    //= rfc9293#3.10.7.3
    //# Otherwise, enter SYN-RECEIVED, form a SYN,ACK segment
    opening.ep.transition(Trigger::SynArrives, cx);
    opening.shake = Some(shake);
    opening.wants = true;
    Outcome::Stays(Ok(()))
}

fn in_syn_received(
    opening: &mut ActiveOpening,
    seg: Segment,
    config: &Config,
    cx: &mut Cx<'_>,
) -> Outcome {
    let Some(shake) = opening.shake else {
        return Outcome::Stays(Err((DropReason::TcpNoSocket, None)));
    };
    let nxt = shake.irs + 1;
    if seg.end().before(nxt) || seg.seq.after(shake.edge) {
        if seg.has(Flags::RST) {
            return stays(DropReason::TcpOutOfWindow);
        }
        return challenge(opening, DropReason::TcpOutOfWindow, cx);
    }
    if seg.has(Flags::RST) {
        if seg.seq != nxt {
            return challenge(opening, DropReason::TcpRstChallenged, cx);
        }
        fail(opening, SocketError::ConnectionRefused, cx);
        return Outcome::Stays(Ok(()));
    }
    if !seg.has(Flags::ACK) {
        if seg.has(Flags::SYN) {
            return challenge(opening, DropReason::TcpNoAck, cx);
        }
        return stays(DropReason::TcpNoAck);
    }
    if !opening.is_acked_by(seg.ack) {
        let reset = reset_for(opening.ep.local(), opening.ep.remote(), &seg, cx);
        return Outcome::Stays(Err((
            DropReason::TcpAckInvalid,
            reset.map(Reply::Transport),
        )));
    }
    if seg.has(Flags::SYN) && seg.seq != shake.irs {
        return challenge(opening, DropReason::TcpSynChallenged, cx);
    }
    let closed = opening.ep.orphan;
    let trigger = if closed {
        Trigger::Close
    } else {
        Trigger::AckOfSyn
    };
    opening.ep.transition(trigger, cx);
    open(opening, &shake, seg, config, cx)
}

fn stays(reason: DropReason) -> Outcome {
    Outcome::Stays(Err((reason, None)))
}

/// What is out of place is answered by the SYN,ACK, which acknowledges too: at most twice a second.
fn challenge(opening: &mut ActiveOpening, reason: DropReason, cx: &Cx<'_>) -> Outcome {
    if allow_again(&mut opening.last_stray, cx.now) {
        opening.wants = true;
    }
    stays(reason)
}

fn handshake(opening: &ActiveOpening, seg: &Segment, config: &Config) -> Handshake {
    let ep = &opening.ep;
    let limit = mss_limit(ep.path.mtu, ep.local().ip(), ep.options.maxseg);
    let mut agreed = Agreed::new(config, ep.remote().ip(), &seg.options, limit, opening.scale);
    agreed.ecn = ecn::agree(config, seg, opening.retries);
    Handshake {
        iss: opening.iss,
        irs: seg.seq,
        agreed,
        //= rfc7323#2.2
        //# The window field in a segment where the SYN bit is set (i.e., a <SYN> or <SYN,ACK>) MUST NOT be scaled.
        wnd: u32::from(seg.wnd),
        edge: seg.seq + 1 + u32::from(opening.wnd),
        ts_recent: seg.options.timestamps.map_or(0, |(value, _)| value),
        ts_offset: opening.ts_offset,
        sent_at: Some(opening.sent_at),
        resent: opening.retries > 0,
        greeting: ecn::found(agreed.ecn, seg),
    }
}

fn open(
    opening: &mut ActiveOpening,
    shake: &Handshake,
    mut seg: Segment,
    config: &Config,
    cx: &mut Cx<'_>,
) -> Outcome {
    let ep = opening.take_endpoint();
    let ride = opening.ride.take();
    let mut tcb = Box::new(Tcb::new(ep, shake, config, cx.now));
    tcb.sample_handshake(shake, &seg, cx.now);
    tcb.begin_to_count(&shake.greeting, seg.has(Flags::SYN).then_some(&seg));
    if let Some(ride) = ride {
        ride.hand_over(&mut tcb, &seg, opening.sent_at, cx);
    }
    tcb.ep.notify = true;
    // the program closed before the handshake was over
    tcb.fin_queued = tcb.ep.orphan;
    if seg.has(Flags::SYN) {
        tcb.ack.now();
        seg.flags = seg.flags.without(Flags::SYN);
        seg.seq += 1;
        tcb.snd.wl2 = seg.ack;
        tcb.snd.wl1 = seg.seq;
    }
    let wnd = shake.wnd;
    tcb.snd.wnd = wnd;
    Outcome::Opened(tcb, seg)
}

/// The attempt is over.
pub fn fail(opening: &mut ActiveOpening, error: SocketError, cx: &mut Cx<'_>) {
    opening.ep.fail(Some(error), cx);
    opening.due = None;
    opening.wants = false;
}
//= rfc9293#3.10.4
//# SYN-SENT: delete the TCB. SYN-RECEIVED: queue the FIN for processing after entering ESTABLISHED state
/// CLOSE. In SYN-SENT nothing is sent, a late SYN,ACK is answered by a RST.
pub fn close(opening: &mut ActiveOpening, cx: &mut Cx<'_>) {
    if opening.ep.state == State::SynSent {
        abandon(opening, cx);
    }
}
/// ABORT: the attempt is forgotten.
pub fn abandon(opening: &mut ActiveOpening, cx: &mut Cx<'_>) {
    opening.ep.fail(None, cx);
    opening.due = None;
    opening.wants = false;
}
