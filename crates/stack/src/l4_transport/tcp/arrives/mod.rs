//! A segment arrives at a synchronised connection: RFC 9293 3.10.7.4, in its own order.
mod check_ack;
mod check_rst;
mod check_seq;
mod check_syn;
mod fin;
mod text;

use super::segment::Segment;
use super::tally::Count;
use super::tcb::Tcb;
use super::{Config, OrphanWait, State};
use crate::{Counter, Cx, DropReason};

/// What of the host an arrival may need.
pub struct Host<'a> {
    pub config: &'a Config,
    /// The host's bound on memory is reached.
    pub full: bool,
}

/// First the sequence number, second RST, (third, security: none), fourth SYN, fifth ACK, sixth URG, seventh the text, eighth FIN.
/// Answers are left in the connection's state: `output` sends them.
pub fn arrives(
    tcb: &mut Tcb,
    mut seg: Segment,
    host: &Host<'_>,
    cx: &mut Cx<'_>,
) -> Result<(), DropReason> {
    tcb.count(Count::SegsIn, seg.frames);
    if seg.text_len > 0 {
        tcb.count(Count::DataSegsIn, seg.frames);
    }
    if tcb.repeat_syn_ack(&seg, cx) {
        return Err(DropReason::TcpDuplicate);
    }
    check_seq::check(tcb, &seg, cx)?;
    check_rst::check(tcb, &seg, cx)?;
    if tcb.ep.state == State::Closed {
        tcb.note_early_reset();
    }
    check_syn::check(tcb, &seg, cx)?;
    if tcb.refuses_ack(&seg) {
        return Err(DropReason::TcpAckInvalid);
    }
    check_ack::check(tcb, &seg, cx)?;
    tcb.handshake_is_over(&seg, cx);
    tcb.count_codepoint(&seg);
    leave_at_once(tcb, cx)?;
    tcb.hear_urgent(&seg);
    let text = text::process(tcb, &mut seg, host, cx);
    let fin = fin::process(tcb, &seg, cx);
    text.or(if fin { Ok(()) } else { text })
}

/// The text and FIN of a SYN that is taken at once (RFC 7413).
pub fn with_a_syn(tcb: &mut Tcb, mut seg: Segment, host: &Host<'_>, cx: &mut Cx<'_>) {
    if seg.text_len > 0 {
        tcb.count(Count::DataSegsIn, seg.frames);
    }
    // what finds no room comes again
    let _ = text::process(tcb, &mut seg, host, cx);
    fin::process(tcb, &seg, cx);
}

/// TCP_LINGER2 below zero: nobody waits for the peer's FIN once ours is acknowledged.
fn leave_at_once(tcb: &mut Tcb, cx: &mut Cx<'_>) -> Result<(), DropReason> {
    let ep = &mut tcb.ep;
    let waits = ep.options.orphan_wait != OrphanWait::No;
    if waits || !ep.orphan || ep.state != State::FinWait2 {
        return Ok(());
    }
    cx.count(Counter::TcpExtTcpAbortOnData);
    ep.fail(None, cx);
    tcb.release();
    Err(DropReason::TcpAfterClose)
}

/// An ACK that answers something out of place, at most one each 500 ms for segments without text.
fn answer_stray(tcb: &mut Tcb, seg: &Segment, cx: &mut Cx<'_>) {
    if seg.text_len > 0 || super::challenge::allow_again(&mut tcb.last_stray, cx.now) {
        tcb.ack.now();
    }
}

/// A challenge ACK (RFC 5961 3.2, 4.2, 5.2).
fn challenge(tcb: &mut Tcb, cx: &mut Cx<'_>) {
    if super::challenge::allow_again(&mut tcb.last_stray, cx.now) {
        cx.count(Counter::TcpExtTcpChallengeAck);
        tcb.ack.now();
    }
}
