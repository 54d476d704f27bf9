//! The only place that decides the next segment of a connection; `poll_transmit` sends it, `settle` asks whether there is one.
use alloc::vec::Vec;
use heptad_wire::tcp::Flags;

use super::burst::whole;
use super::isn;
use super::mtu_search::Crowded;
use super::options::data_options;
use super::recovery::{Frto, Phase};
use super::segment::Outgoing;
use super::seq::SeqNum;
use super::tally::Count;
use super::tcb::Tcb;
use crate::event::Cause;
use crate::l3_network::Departure;
use crate::{Counter, Cx, Instant};

/// What is to leave next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// RST
    Reset,
    /// SYN,ACK of a connection in use (Fast Open).
    SynAck,
    /// An empty segment below SND.UNA that asks for an ACK (keepalive, zero window).
    Probe,
    /// Again: `len` in sequence space.
    Resend { seq: SeqNum, len: u32, cause: Cause },
    /// For the first time: text and perhaps FIN.
    New { len: u32, fin: bool },
    /// The same as one segment that is longer than those known to get through.
    MtuProbe { len: u32 },
    /// ACK alone.
    Ack,
}

impl Tcb {
    /// The decision.
    pub fn next_segment(&self, now: Instant) -> Option<Next> {
        if self.reset_owed {
            return Some(Next::Reset);
        }
        if !self.ep.state.is_synchronised() {
            return None;
        }
        if self.owes_syn_ack() {
            return Some(Next::SynAck);
        }
        if self.owes_answer() {
            return Some(Next::Ack);
        }
        if self.tail_probe {
            return Some(self.next_tail_probe());
        }
        if self.persist.due {
            return Some(self.next_window_probe());
        }
        if self.keepalive.due {
            return Some(Next::Probe);
        }
        let text = match self.recovery.frto {
            _ if self.is_held_back() => None,
            Frto::Second => self.next_new(now).or_else(|| self.next_resend()),
            Frto::Off | Frto::First => self.next_resend().or_else(|| self.next_probe_or_new(now)),
        };
        text.or_else(|| self.ack.is_due().then_some(Next::Ack))
    }

    fn next_probe_or_new(&self, now: Instant) -> Option<Next> {
        match self.next_mtu_probe() {
            Ok(probe) => probe.or_else(|| self.next_new(now)),
            Err(Crowded) => None,
        }
    }
    /// Lost bytes, as far as the congestion window allows (RFC 6675 5 step C).
    fn next_resend(&self) -> Option<Next> {
        let record = self.flight.first_lost()?;
        // new text was sent to learn whether this one is lost at all
        if self.recovery.frto == Frto::Second && self.snd.nxt.after(self.recovery.high) {
            return None;
        }
        let mss = self.frame_mss();
        let (pipe, cwnd) = (self.pipe(), self.window.cwnd);
        let room = cwnd.saturating_sub(pipe) / mss * mss;
        if room == 0 && pipe > 0 {
            return None;
        }
        let edge = self.snd.una + self.snd.wnd;
        let is_first = record.seq == self.snd.una;
        if record.end().after(edge) && !is_first {
            return None;
        }
        let len = record.len.min(room.max(mss)).min(self.most_again(mss));
        // The FIN rides on the last text, it does not make a segment longer than a frame.
        let cause = match self.recovery.phase {
            Phase::Fast if record.resent && self.agreed.sack => Cause::Rack,
            _ => self.recovery.evidence,
        };
        Some(Next::Resend {
            seq: record.seq,
            len,
            cause,
        })
    }

    /// New text and FIN within both windows; Nagle, cork and silly-window avoidance (RFC 9293 3.7.4, 3.8.6.2.1).
    fn next_new(&self, now: Instant) -> Option<Next> {
        let unsent = self.unsent();
        let fin = self.fin_queued && !self.fin_sent();
        if unsent == 0 && !fin {
            return None;
        }
        let edge = self.snd.una + self.snd.wnd;
        let window = if edge.after(self.snd.nxt) {
            edge.since(self.snd.nxt)
        } else {
            0
        };
        if unsent == 0 {
            return (window > 0).then_some(Next::New { len: 0, fin: true });
        }
        let mss = self.frame_mss();
        let congestion = self.window.cwnd.saturating_sub(self.pipe());
        let room = window.min(congestion).min(self.most_new(unsent, mss));
        if room < unsent {
            let len = whole(room, mss);
            if len > 0 && self.waits_for_more(window.min(congestion), mss, now) {
                return None;
            }
            if len > 0 {
                return Some(Next::New { len, fin: false });
            }
            return self.next_small(window, congestion, room);
        }
        let partial = unsent % mss;
        let len = if partial > 0 && !self.may_send_partial(fin) {
            unsent - partial
        } else {
            unsent
        };
        let fin = fin && len == unsent && window > len;
        (len > 0).then_some(Next::New { len, fin })
    }
    //= rfc9293#3.8.6.2.1
    //# Send data if at least a fraction of the maximum window can be sent, i.e., if: [SND.NXT = SND.UNA and] min(D,U) >= Fs * Max(SND.WND)
    fn next_small(&self, window: u32, congestion: u32, room: u32) -> Option<Next> {
        let worth = room > 0 && window <= congestion && room >= self.snd.max_wnd / 2;
        (worth && self.flight.is_empty()).then_some(Next::New {
            len: room,
            fin: false,
        })
    }
    //= rfc9293#3.7.4
    //# If there is unacknowledged data (i.e., SND.NXT > SND.UNA), then the sending TCP endpoint buffers all user data until the outstanding data has been acknowledged or until it can send a full-sized segment
    fn may_send_partial(&self, fin: bool) -> bool {
        if fin {
            return true;
        }
        if self.ep.options.cork {
            return self.cork_over;
        }
        // As Minshall: only a small segment that is not acknowledged holds back another one.
        self.ep.options.nodelay || self.is_urgent() || !self.snd.sml.after(self.snd.una)
    }
    /// New text if there is any (RFC 8985 7.3), else the last segment again.
    fn next_tail_probe(&self) -> Next {
        let mss = self.frame_mss();
        let edge = self.snd.una + self.snd.wnd;
        let fits = if edge.after(self.snd.nxt) {
            edge.since(self.snd.nxt)
        } else {
            0
        };
        let len = self.unsent().min(mss).min(fits);
        if len > 0 {
            return Next::New { len, fin: false };
        }
        match self.flight.back() {
            Some(last) => {
                let len = last.len.min(mss);
                Next::Resend {
                    seq: last.end() - len,
                    len,
                    cause: Cause::Probe,
                }
            }
            None => Next::Ack,
        }
    }
    /// What fits into a small window, or an empty probe of a shut one.
    fn next_window_probe(&self) -> Next {
        let len = self.unsent().min(self.snd.wnd).min(self.frame_mss());
        if len > 0 && self.flight.is_empty() {
            Next::New { len, fin: false }
        } else {
            Next::Probe
        }
    }

    /// Sends what was decided.
    pub fn transmit(&mut self, next: Next, cx: &mut Cx<'_>) -> Departure {
        self.count(Count::SegsOut, 1);
        match next {
            Next::Reset => self.transmit_reset(cx),
            Next::SynAck => self.transmit_syn_ack(cx),
            Next::Probe => self.transmit_probe(cx),
            Next::Ack => self.transmit_ack(cx),
            Next::New { len, fin } => self.transmit_new((len, fin), self.frame_mss(), cx),
            Next::MtuProbe { len } => {
                let probe = self.transmit_new((len, false), len, cx);
                self.mtu_probe_left(len);
                probe
            }
            Next::Resend { seq, len, cause } => self.transmit_again(seq, len, cause, cx),
        }
    }
    fn header(&mut self, seq: SeqNum, flags: Flags, cx: &mut Cx<'_>) -> Outgoing {
        let mut out = Outgoing::new(self.ep.local(), self.ep.remote(), &self.ep.options);
        out.seq = seq;
        out.ack = self.rcv.nxt;
        out.flags = flags | self.feedback();
        let mss = self.receive_mss();
        let before = self.rcv.wnd();
        out.wnd = self.rcv.tell_window(mss, self.ep.options.window_clamp);
        if out.wnd == 0 && before > 0 {
            cx.count(Counter::TcpExtTcpToZeroWindowAdv);
        }
        let timestamps = self
            .agreed
            .timestamps
            .then(|| (isn::timestamp(cx.now, self.ts.offset), self.ts.recent));
        let blocks = if self.agreed.sack {
            self.rcv.take_sack_blocks()
        } else {
            Vec::new()
        };
        out.options = data_options(timestamps, &blocks);
        self.tell_counters(&mut out.options);
        self.point(&mut out);
        out
    }
    fn transmit_reset(&mut self, cx: &mut Cx<'_>) -> Departure {
        self.reset_owed = false;
        let seq = self.snd.nxt;
        let mut out = self.header(seq, Flags::RST | Flags::ACK, cx);
        out.wnd = 0;
        out.depart(Vec::new(), 1, cx)
    }
    fn transmit_ack(&mut self, cx: &mut Cx<'_>) -> Departure {
        let seq = self.snd.nxt;
        let mut out = self.header(seq, Flags::ACK, cx);
        self.answer_syn_ack(&mut out);
        self.ack.sent(self.rcv.nxt, false, cx.now);
        self.tail_probe = false;
        out.depart(Vec::new(), 1, cx)
    }
    fn transmit_probe(&mut self, cx: &mut Cx<'_>) -> Departure {
        self.persist.due = false;
        self.keepalive.due = false;
        let seq = self.snd.una - 1;
        let out = self.header(seq, Flags::ACK, cx);
        self.ack.sent(self.rcv.nxt, false, cx.now);
        out.depart(Vec::new(), 1, cx)
    }
    /// Text in segments of `mss` bytes.
    fn transmit_new(&mut self, (len, fin): (u32, bool), mss: u32, cx: &mut Cx<'_>) -> Departure {
        let seq = self.snd.nxt;
        let all = len == self.unsent();
        let text = self.tx.share(seq.since(self.snd.una), len);
        let mut flags = Flags::ACK;
        if len > 0 && (all || len > mss) {
            flags = flags | Flags::PSH;
        }
        if fin {
            flags = flags | Flags::FIN;
        }
        let mut out = self.header(seq, flags, cx);
        if len > 0 && !self.persist.due {
            self.mark_new_text(&mut out);
        }
        let total = len + u32::from(fin);
        if self.flight.is_empty() {
            self.unanswered_since = cx.now;
        }
        let note = self.note_departure(total, cx.now);
        self.flight.push(seq, total, cx.now, note);
        self.pace(len, cx.now);
        self.snd.nxt += total;
        if !len.is_multiple_of(mss) {
            self.snd.sml = self.snd.nxt;
        }
        if self.tail_probe {
            self.tail_probe = false;
            self.recovery.probe = Some((self.snd.nxt, false));
        }
        self.persist.due = false;
        if self.wants_room && self.is_writable() {
            self.wants_room = false;
            self.ep.notify = true;
        }
        self.ack.sent(self.rcv.nxt, len > 0, cx.now);
        self.last_sent = cx.now;
        self.recovery.sent(total);
        self.validate_window(cx);
        self.arm_retransmission(cx.now, false);
        let frames = len.div_ceil(mss).max(1);
        cx.counters
            .add(Counter::TcpExtTcpOrigDataSent, u64::from(frames));
        self.count_sent(frames, len);
        out.depart(text, mss as u16, cx)
    }
    fn transmit_again(
        &mut self,
        seq: SeqNum,
        len: u32,
        cause: Cause,
        cx: &mut Cx<'_>,
    ) -> Departure {
        let mss = self.frame_mss();
        self.forget_mtu_probe();
        let note = self.note_departure(len, cx.now);
        let len = self.flight.resend(seq, len, cx.now, note);
        if cause == Cause::Rto {
            self.suspect_option();
        }
        self.pace(len, cx.now);
        let end = seq + len;
        let fin = self.fin_queued && end.after(self.text_end());
        let text_len = len - u32::from(fin);
        let text = self.tx.share(seq.since(self.snd.una), text_len);
        let mut flags = Flags::ACK;
        if text_len > mss || end.at_or_after(self.text_end()) && text_len > 0 {
            flags = flags | Flags::PSH;
        }
        if fin {
            flags = flags | Flags::FIN;
        }
        let out = self.header(seq, flags, cx);
        if self.tail_probe {
            self.tail_probe = false;
            self.recovery.probe = Some((self.snd.nxt, true));
        }
        self.ack.sent(self.rcv.nxt, text_len > 0, cx.now);
        self.last_sent = cx.now;
        self.recovery.sent(len);
        //= rfc6298#5
        //# a segment is never retransmitted too early, i.e., less than one RTO after the previous transmission of that segment
        if self.recovery.frto == Frto::Second && cause == Cause::Rto {
            self.recovery.frto = Frto::Off;
        }
        let first = seq == self.snd.una;
        self.arm_retransmission(cx.now, first);
        let frames = text_len.div_ceil(mss).max(1);
        self.count_sent(frames, text_len);
        let tally = self.tally();
        tally.retransmits = tally.retransmits.wrapping_add(frames);
        tally.bytes_retrans += u64::from(text_len);
        self.note_resent(frames, isn::timestamp(cx.now, self.ts.offset));
        let frames = u64::from(frames);
        cx.counters.add(Counter::TcpRetransSegs, frames);
        match cause {
            Cause::FastRetransmit | Cause::Sack | Cause::Rack | Cause::PathMtu => {
                cx.counters.add(Counter::TcpExtTcpFastRetrans, frames);
            }
            Cause::Rto => cx.counters.add(Counter::TcpExtTcpSlowStartRetrans, frames),
            Cause::Probe => {}
        }
        let departure = out.depart(text, mss as u16, cx);
        self.tell_resent(seq, len, cause, departure.packet.id(), cx);
        departure
    }

    /// Frames with text left; the first of them is counted already.
    fn count_sent(&mut self, frames: u32, text: u32) {
        self.count(Count::SegsOut, frames - 1);
        if text > 0 {
            self.count(Count::DataSegsOut, frames);
        }
    }
    /// Send buffer autotuning: room for twice the congestion window, and thrice for BBR, which does not slow down while what
    /// arrived behind a gap still takes room (Linux's tcp_sndbuf_expand).
    pub fn grow_send_buffer(&mut self) {
        let times = match self.controller.model() {
            Some(_) => 3,
            None => 2,
        };
        let wanted = self.window.cwnd.saturating_mul(times);
        let space = &mut self.send_space;
        space.initial = space.initial.max(wanted.min(space.most));
    }
}
