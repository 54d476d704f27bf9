//! When to acknowledge (RFC 9293 3.8.6.3, RFC 5681 4.2), with Linux's quick ACKs at the start of a stream.
use super::seq::SeqNum;
use crate::Instant;
use crate::time::{Duration, Span};

/// Least delay.
pub const ATO_MIN: Duration = Duration::from_millis(40);
/// Most delay; RFC 9293 3.8.6.3 allows 500 ms.
pub const ATO_MAX: Duration = Duration::from_millis(200);
/// Most ACKs at once in a row.
const MAX_QUICK: u8 = 16;
/// What a SYN can tell at most.
const FIRST_WINDOW: u64 = 65_535;

/// How urgent an ACK is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    No,
    Delayed,
    Now,
}

/// New text in order, as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub now: Instant,
    pub len: u32,
    /// Frames that brought it.
    pub frames: u32,
    /// RCV.NXT after it.
    pub nxt: SeqNum,
    /// RCV.WND as told.
    pub wnd: u32,
    /// Bytes in order since the beginning.
    pub received: u64,
    /// The peer's program pushed it.
    pub push: bool,
    /// Our retransmission timeout: a longer silence begins a new stream.
    pub rto: Duration,
}

impl Heard {
    /// The peer has yet to find out how much it may send: Linux tells of a window that grows by twice what came, and
    /// acknowledges each segment meanwhile (tcp_grow_window).
    fn is_early(&self) -> bool {
        u64::from(self.wnd) > FIRST_WINDOW + 2 * self.received
    }
}

/// The state of one direction's acknowledgments.
#[derive(Clone, Copy, Debug)]
pub struct DelayedAck {
    due: Due,
    at: Option<Instant>,
    /// ACKs still to be sent at once.
    quick: u8,
    /// The program answers what it reads: ACKs ride on its data.
    interactive: bool,
    ato: Span,
    last_text: Option<Instant>,
    /// Largest text that one frame brought.
    rcv_mss: u32,
    /// `rcv.nxt` as last told.
    told: SeqNum,
    /// What waits to be acknowledged ends a message.
    pushed: bool,
}

impl DelayedAck {
    /// After the handshake; `nxt` is `rcv.nxt`.
    pub fn new(nxt: SeqNum) -> Self {
        Self {
            due: Due::No,
            at: None,
            quick: 0,
            interactive: false,
            ato: Span::of(ATO_MIN),
            last_text: None,
            rcv_mss: 0,
            told: nxt,
            pushed: false,
        }
    }
    /// When text last came.
    pub fn last_text(&self) -> Option<Instant> {
        self.last_text
    }
    /// How long an ACK waits.
    pub fn ato(&self) -> Duration {
        self.ato.duration()
    }
    /// Whether an ACK must leave now.
    pub fn is_due(&self) -> bool {
        self.due == Due::Now
    }
    /// Whether an ACK is owed at all.
    pub fn is_owed(&self) -> bool {
        self.due != Due::No
    }
    /// When the delayed one is due.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }
    /// `rcv.nxt` as last told.
    pub fn told(&self) -> SeqNum {
        self.told
    }
    /// Largest text of a frame so far, at least the default MSS.
    pub fn rcv_mss(&self) -> u32 {
        self.rcv_mss.max(536)
    }
    /// One must leave now.
    pub fn now(&mut self) {
        self.due = Due::Now;
    }
    /// Something was out of order: the peer needs news soon for a while.
    pub fn hurry(&mut self) {
        self.quick = MAX_QUICK;
        self.interactive = false;
        self.ato = Span::of(ATO_MIN);
        self.now();
    }
    /// New text in order.
    pub fn text(&mut self, heard: &Heard) {
        self.rcv_mss = self.rcv_mss.max(heard.len.div_ceil(heard.frames.max(1)));
        self.adapt(heard);
        self.pushed |= heard.push || heard.len < self.rcv_mss;
        let unacknowledged = heard.nxt.since(self.told);
        let quick = self.quick > 0 && !self.interactive;
        if quick || unacknowledged > self.rcv_mss() {
            self.now();
        } else if self.due == Due::No {
            self.due = Due::Delayed;
            self.at = Some(heard.now + self.ato.duration());
        }
    }
    /// Learns the pace of the stream, as Linux's tcp_event_data_recv does.
    fn adapt(&mut self, heard: &Heard) {
        if heard.is_early() {
            self.quick = self.quick.max(1);
        }
        let segments = heard.wnd / (2 * self.rcv_mss().max(1));
        let quick = u8::try_from(segments).map_or(MAX_QUICK, |n| n.clamp(2, MAX_QUICK));
        let mut ato = self.ato.duration();
        match self.last_text.replace(heard.now) {
            None => self.quick = quick,
            Some(last) => {
                let gap = heard.now.since(last);
                if gap <= ATO_MIN / 2 {
                    ato = ato / 2 + ATO_MIN / 2;
                } else if gap < ato {
                    ato = (ato / 2 + gap).min(ATO_MAX);
                } else if gap > heard.rto {
                    self.quick = self.quick.max(quick);
                }
            }
        }
        self.ato = Span::of(ato.clamp(ATO_MIN, ATO_MAX));
    }
    /// A segment with an ACK left.
    pub fn sent(&mut self, nxt: SeqNum, with_text: bool, now: Instant) {
        if self.due != Due::No {
            self.quick = self.quick.saturating_sub(1);
        }
        if with_text
            && self
                .last_text
                .is_some_and(|last| now.since(last) < self.ato.duration())
        {
            self.interactive = true;
        }
        self.due = Due::No;
        self.at = None;
        self.pushed = false;
        self.told = nxt;
    }
    /// The program has read all that came: a message that nobody will answer soon need not wait.
    pub fn all_read(&mut self) {
        if self.due == Due::Delayed && self.pushed && !self.interactive {
            self.now();
        }
    }
    /// The delay is over.
    pub fn expire(&mut self) {
        self.at = None;
        if self.due == Due::Delayed {
            self.due = Due::Now;
            if self.interactive {
                self.interactive = false;
                self.ato = Span::of(ATO_MIN);
            } else {
                self.ato = Span::of((self.ato.duration() * 2).min(ATO_MAX));
            }
        }
    }
    /// TCP_QUICKACK.
    pub fn prefer_quick(&mut self, quick: bool) {
        self.interactive = !quick;
        if quick && self.due == Due::Delayed {
            self.now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn text(ack: &mut DelayedAck, ms: u64, len: u32, nxt: SeqNum) {
        ack.text(&Heard {
            now: at(ms),
            len,
            frames: 1,
            nxt,
            push: false,
            wnd: 64_000,
            received: 0,
            rto: Duration::from_millis(300),
        });
    }

    #[test]
    fn a_stream_begins_with_quick_acks_and_goes_on_with_every_second_segment() {
        let mut ack = DelayedAck::new(SeqNum(0));
        let mut nxt = SeqNum(0);
        for segment in 0..16 {
            nxt += 1000;
            text(&mut ack, 1, 1000, nxt);
            assert!(ack.is_due(), "segment {segment}");
            ack.sent(nxt, false, at(1));
        }
        nxt += 1000;
        text(&mut ack, 2, 1000, nxt);
        assert!(!ack.is_due() && ack.is_owed());
        assert_eq!(ack.at(), Some(at(42)));
        nxt += 1000;
        text(&mut ack, 3, 1000, nxt);
        assert!(ack.is_due());
    }

    #[test]
    fn each_segment_is_acknowledged_while_the_window_is_far_beyond_what_came() {
        for (received, wnd, at_once) in [
            (1_000, 64_000, false),
            (1_000, 70_000, true),
            (100_000, 800_000, true),
            (400_000, 800_000, false),
        ] {
            let mut ack = DelayedAck::new(SeqNum(0));
            text(&mut ack, 1, 1000, SeqNum(1000));
            ack.quick = 0;
            ack.sent(SeqNum(1000), false, at(1));
            ack.text(&Heard {
                now: at(2),
                len: 1000,
                frames: 1,
                nxt: SeqNum(2000),
                push: false,
                wnd,
                received,
                rto: Duration::from_millis(300),
            });
            assert_eq!(ack.is_due(), at_once, "{received} of {wnd}");
        }
    }

    #[test]
    fn a_gap_that_is_filled_uses_up_one_quick_ack() {
        let mut ack = DelayedAck::new(SeqNum(0));
        ack.hurry();
        ack.sent(SeqNum(0), false, at(1));
        text(&mut ack, 1, 1000, SeqNum(20_000));
        ack.sent(SeqNum(20_000), false, at(1));
        text(&mut ack, 2, 1000, SeqNum(21_000));
        assert!(ack.is_due());
    }

    #[test]
    fn frames_that_were_merged_count_one_by_one() {
        for (frames, at_once) in [(1, false), (2, true), (3, true)] {
            let mut ack = DelayedAck::new(SeqNum(0));
            ack.text(&Heard {
                now: at(1),
                len: 1000 * frames,
                frames,
                nxt: SeqNum(1000 * frames),
                push: false,
                wnd: 64_000,
                received: 0,
                rto: Duration::from_millis(300),
            });
            // The quick ones of the start are over.
            ack.quick = 0;
            ack.sent(SeqNum(1000 * frames), false, at(1));
            ack.text(&Heard {
                now: at(2),
                len: 1000 * frames,
                frames,
                nxt: SeqNum(2000 * frames),
                push: false,
                wnd: 64_000,
                received: 0,
                rto: Duration::from_millis(300),
            });
            assert_eq!(ack.is_due(), at_once, "{frames} frames");
        }
    }

    #[test]
    fn an_interactive_stream_waits_for_an_answer_to_ride_on() {
        let mut ack = DelayedAck::new(SeqNum(0));
        text(&mut ack, 1, 10, SeqNum(10));
        ack.sent(SeqNum(10), true, at(2));
        text(&mut ack, 3, 10, SeqNum(20));
        assert!(!ack.is_due() && ack.at().is_some());
        ack.expire();
        assert!(ack.is_due());
    }

    #[test]
    fn out_of_order_text_is_acknowledged_at_once() {
        let mut ack = DelayedAck::new(SeqNum(0));
        ack.hurry();
        assert!(ack.is_due());
        ack.sent(SeqNum(0), false, at(0));
        assert!(!ack.is_owed());
    }
}
