//! What a connection counts for TCP_INFO (RFC 4898's names are in `info`), and where its time went.
use super::tcb::Tcb;
use crate::Instant;
use crate::time::Duration;

/// What is counted of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    SegsOut,
    SegsIn,
    DataSegsOut,
    DataSegsIn,
    /// Segments that the peer has.
    Delivered,
}
/// By what is counted, as long as it is little.
pub type SmallCounts = [u16; 5];

/// Counts of segments, and where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    counts: [u32; 5],
    /// Segments sent again.
    pub retransmits: u32,
    pub bytes_retrans: u64,
    pub dsack_dups: u32,
    /// How often reordering was seen.
    pub reord_seen: u32,
    /// Segments that came beyond a gap.
    pub ooo: u32,
    /// Of the retransmission timer.
    pub timeouts: u16,
    pub timeout_recoveries: u16,
    in_timeout: Duration,
    /// Since when recovery by the timer runs.
    timeout_since: Option<Instant>,
    clock: Clock,
}

/// What sending waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waits {
    /// The program.
    #[default]
    Idle,
    /// The network.
    Busy,
    /// The window of the peer.
    Window,
    /// Room in our buffer, which is full of what is under way.
    Buffer,
}

#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    waits: Waits,
    since: Instant,
    /// Spent in each but idleness.
    spent: [Duration; 3],
}

impl Clock {
    fn turn(&mut self, waits: Waits, now: Instant) {
        if waits == self.waits {
            return;
        }
        *self = Self {
            waits,
            since: now,
            spent: self.spent_by(now),
        };
    }
    fn spent_by(&self, now: Instant) -> [Duration; 3] {
        let mut spent = self.spent;
        let place = match self.waits {
            Waits::Idle => return spent,
            Waits::Busy => 0,
            Waits::Window => 1,
            Waits::Buffer => 2,
        };
        spent[place] += now.since(self.since);
        spent
    }
}

impl Tally {
    /// Goes on from what was counted so far.
    pub fn new(small: SmallCounts) -> Self {
        Self {
            counts: small.map(u32::from),
            ..Self::default()
        }
    }
    /// Counts segments.
    pub fn count(&mut self, what: Count, n: u32) {
        let count = &mut self.counts[what as usize];
        *count = count.wrapping_add(n);
    }
    /// How many there were.
    pub fn counted(&self, what: Count) -> u32 {
        self.counts[what as usize]
    }
    /// Microseconds busy in all, and of these stopped by the peer's window and by our buffer.
    pub fn busy(&self, now: Instant) -> [u64; 3] {
        let [busy, window, buffer] = self
            .clock
            .spent_by(now)
            .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        [busy + window + buffer, window, buffer]
    }
    /// In recoveries by the timer.
    pub fn millis_in_timeout(&self, now: Instant) -> u32 {
        let runs = self.timeout_since.map(|since| now.since(since));
        let time = self.in_timeout + runs.unwrap_or_default();
        u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
    }
    /// The retransmission timer expired.
    pub fn timed_out(&mut self, now: Instant) {
        self.timeouts = self.timeouts.saturating_add(1);
        if self.timeout_since.is_none() {
            self.timeout_since = Some(now);
            self.timeout_recoveries = self.timeout_recoveries.saturating_add(1);
        }
    }
    /// Recovery is over.
    pub fn recovered(&mut self, now: Instant) {
        if let Some(since) = self.timeout_since.take() {
            self.in_timeout += now.since(since);
        }
    }
}

impl Tcb {
    /// What sending waits for from now on.
    pub fn clock_tally(&mut self, now: Instant) {
        let waits = self.waits();
        let held_back = matches!(waits, Waits::Window | Waits::Buffer);
        if held_back || self.is_busy() {
            self.tally().clock.turn(waits, now);
        }
    }
    fn waits(&self) -> Waits {
        if self.tx.len() == 0 {
            return Waits::Idle;
        }
        let (unsent, edge) = (self.unsent(), self.snd.una + self.snd.wnd);
        let room = if edge.after(self.snd.nxt) {
            edge.since(self.snd.nxt)
        } else {
            0
        };
        if unsent == 0 {
            match self.wants_room {
                true => Waits::Buffer,
                false => Waits::Busy,
            }
        } else if room < unsent.min(self.mss()) {
            Waits::Window
        } else {
            Waits::Busy
        }
    }
}
