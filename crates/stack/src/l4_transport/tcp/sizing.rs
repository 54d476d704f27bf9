//! Dynamic right-sizing of the receive buffer (Linux's tcp_rcv_space_adjust): once a round trip it follows what the program took.
use super::segment::Segment;
use super::seq::SeqNum;
use super::tcb::Tcb;
use crate::Instant;
use crate::time::{Duration, Span};

/// Until more was taken in a round trip: Linux's ten segments of the initial window.
const BEGINNING: u32 = 14_600;

/// What the program took since when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizing {
    since: Option<Instant>,
    copied: u32,
    /// Of that, what whoever took it has not passed on yet.
    behind: u32,
    /// Most that it took in a round trip.
    measured: u32,
    /// From the first text on.
    round_trip: Option<ReceiverRtt>,
}

/// The round trip as a receiver sees it: who only receives has no other.
#[derive(Debug, Clone, Copy)]
struct ReceiverRtt {
    estimate: Option<Span>,
    /// The last echo that was a sample.
    echo: u32,
    /// When this comes, the window that was told at `since` is used up: a round trip at least.
    until: SeqNum,
    since: Instant,
}

/// Text in order.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// When.
    pub now: Instant,
    /// RCV.NXT behind it.
    pub nxt: SeqNum,
    /// RCV.WND behind it.
    pub wnd: u32,
    /// The timestamp that it echoes, and how long ago that left; only of a full segment.
    pub echo: Option<(u32, Duration)>,
}

/// When and from what buffer a program takes.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub now: Instant,
    pub rtt: Duration,
    pub mss: u32,
    /// Bytes that may wait.
    pub space: u32,
}

impl Sizing {
    /// Most that the program took in a round trip.
    pub fn measured(&self, space: u32) -> u32 {
        self.measured.max(space.min(BEGINNING))
    }
    /// The round trip, if the receiver could tell.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip?.estimate.map(Span::duration)
    }
    /// Text came in order: what it tells of the round trip.
    pub fn heard(&mut self, heard: &Heard) {
        let fresh = ReceiverRtt {
            estimate: None,
            echo: 0,
            until: heard.nxt + heard.wnd,
            since: heard.now,
        };
        self.round_trip.get_or_insert(fresh).heard(heard);
    }
    /// So many bytes were taken for a program that has not read them: they are no reason to grow, as in Linux those are not
    /// that still wait.
    pub fn hold_back(&mut self, bytes: u32) {
        self.behind = bytes;
    }
    /// The program took `n` bytes of a buffer of `space`: how large it should be, if it is to grow.
    pub fn consumed(&mut self, n: usize, taken: &Taken) -> Option<u32> {
        let Taken {
            now,
            rtt,
            mss,
            space,
        } = *taken;
        self.copied = self.copied.saturating_add(n as u32);
        if now.since(*self.since.get_or_insert(now)) < rtt {
            return None;
        }
        self.since = Some(now);
        let copied = core::mem::take(&mut self.copied).saturating_sub(self.behind);
        let before = self.measured(space);
        self.measured = before.max(copied);
        if copied <= before {
            return None;
        }
        // twice what it took, since the sender may double, and more where that was not enough
        let base = u64::from(copied) * 2 + 16 * u64::from(mss);
        let grow = base * u64::from(copied - before) / u64::from(before.max(1));
        Some(u32::try_from(base + grow * 2).unwrap_or(u32::MAX))
    }
}

impl ReceiverRtt {
    fn heard(&mut self, heard: &Heard) {
        if let Some((echo, elapsed)) = heard.echo.filter(|(echo, _)| *echo != self.echo) {
            self.echo = echo;
            self.smooth(elapsed);
        }
        if heard.nxt.before(self.until) {
            return;
        }
        if heard.echo.is_none() {
            self.shorten(heard.now.since(self.since));
        }
        self.until = heard.nxt + heard.wnd;
        self.since = heard.now;
    }
    fn smooth(&mut self, sample: Duration) {
        let sample = Span::of(sample).as_nanos();
        let smooth = match self.estimate {
            None => sample,
            Some(old) => old.as_nanos() / 8 * 7 + sample / 8,
        };
        self.estimate = Some(Span::from_nanos(smooth));
    }
    /// A window takes a round trip, or longer.
    fn shorten(&mut self, sample: Duration) {
        let sample = Span::of(sample);
        self.estimate = Some(self.estimate.map_or(sample, |old| old.min(sample)));
    }
}

impl Tcb {
    /// Text came in order.
    pub fn size_by(&mut self, seg: &Segment, len: u32, now: Instant) {
        if !self.is_busy() {
            return;
        }
        // of a full segment only: a small one may have waited for our ACK
        let full = len >= self.ack.rcv_mss();
        let stamps = seg.options.timestamps.filter(|_| full);
        let echo = stamps.and_then(|(_, echo)| Some((echo, self.echoed(seg, now)?)));
        let (nxt, wnd) = (self.rcv.nxt, self.rcv.wnd());
        self.busy().sizing.heard(&Heard {
            now,
            nxt,
            wnd,
            echo,
        });
    }
    /// The program took `n` bytes: once a round trip the buffer follows what it reads.
    pub fn size_after(&mut self, n: usize, now: Instant) {
        if !self.is_busy() {
            return;
        }
        let (mss, space) = (self.receive_mss(), self.rcv.space());
        let rtt = self.round_trip_of_receiver();
        let rtt = rtt.unwrap_or_else(|| self.round_trip());
        let taken = Taken {
            now,
            rtt,
            mss,
            space,
        };
        if let Some(wanted) = self.busy().sizing.consumed(n, &taken) {
            self.rcv.grow(wanted);
        }
    }
    /// See [`Sizing::hold_back`].
    pub fn hold_back(&mut self, bytes: u32) {
        if self.is_busy() {
            self.busy().sizing.hold_back(bytes);
        }
    }
    /// Text beyond a gap takes room that its sender counts on: without more it would have to wait for the gap to be filled (Linux's
    /// tcp_rcvbuf_grow). It came in a round trip, and the sender may double. Without SACK an ACK whose window moves is no duplicate,
    /// which the sender waits for.
    pub fn size_beyond_gap(&mut self) {
        if !self.agreed.sack {
            return;
        }
        let (space, beyond) = (self.rcv.space(), self.rcv.beyond());
        let measured = self.busy().sizing.measured(space);
        self.rcv
            .grow(measured.saturating_add(beyond).saturating_mul(2));
    }
    /// The round trip as text in order tells it.
    pub fn round_trip_of_receiver(&self) -> Option<Duration> {
        self.busy.as_deref()?.sizing.round_trip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }
    fn at(n: u64) -> Instant {
        Instant::ZERO + ms(n)
    }
    fn heard(now: u64, nxt: u32, echo: Option<(u32, u64)>) -> Heard {
        Heard {
            now: at(now),
            nxt: SeqNum(nxt),
            wnd: 10_000,
            echo: echo.map(|(echo, elapsed)| (echo, ms(elapsed))),
        }
    }

    #[test]
    fn a_window_used_up_is_a_round_trip_at_most() {
        let mut sizing = Sizing::default();
        sizing.heard(&heard(0, 1000, None));
        sizing.heard(&heard(50, 10_000, None));
        assert_eq!(sizing.round_trip(), None);
        sizing.heard(&heard(80, 11_000, None));
        assert_eq!(sizing.round_trip(), Some(ms(80)));
        sizing.heard(&heard(280, 21_000, None));
        assert_eq!(
            sizing.round_trip(),
            Some(ms(80)),
            "a pause is no round trip"
        );
        sizing.heard(&heard(330, 31_000, None));
        assert_eq!(sizing.round_trip(), Some(ms(50)));
    }

    #[test]
    fn timestamps_are_samples_once_each() {
        let mut sizing = Sizing::default();
        sizing.heard(&heard(0, 1000, Some((7, 80))));
        sizing.heard(&heard(40, 2000, Some((7, 120))));
        assert_eq!(sizing.round_trip(), Some(ms(80)));
        sizing.heard(&heard(80, 3000, Some((8, 160))));
        assert_eq!(sizing.round_trip(), Some(ms(90)));
    }

    #[test]
    fn the_buffer_follows_what_is_read_in_a_round_trip() {
        let mut sizing = Sizing::default();
        let mut take = |n, now| {
            let taken = Taken {
                now: at(now),
                rtt: ms(100),
                mss: 1000,
                space: 65_536,
            };
            sizing.consumed(n, &taken)
        };
        assert_eq!(take(0, 0), None);
        assert_eq!(take(20_000, 50), None);
        // 40,000 bytes and 16 segments, and what they are more than before
        let wanted = 96_000 + 2 * (96_000 * 25_400_u64 / 14_600) as u32;
        assert_eq!(take(20_000, 100), Some(wanted));
        assert_eq!(take(40_000, 200), None, "no more");
        assert_eq!(take(10_000, 300), None);
        assert_eq!(sizing.measured(65_536), 40_000);
    }

    #[test]
    fn what_a_program_has_not_read_yet_is_no_reason_to_grow() {
        let mut sizing = Sizing::default();
        let taken = |now| Taken {
            now: at(now),
            rtt: ms(100),
            mss: 1000,
            space: 65_536,
        };
        assert_eq!(sizing.consumed(100_000, &taken(0)), None);
        sizing.hold_back(90_000);
        assert_eq!(sizing.consumed(0, &taken(100)), None);
        assert_eq!(sizing.measured(65_536), 14_600);
        sizing.hold_back(0);
        assert_eq!(sizing.consumed(20_000, &taken(150)), None);
        assert!(sizing.consumed(0, &taken(200)).is_some());
    }
}
