//! Congestion control: one trait, one argument struct for each event (RFC 5681, RFC 9438). BBR is told of every ACK and every loss besides.
pub mod bbr;
mod cubic;
mod hystart;
mod reno;

use alloc::boxed::Box;

use super::Congestion;
use super::seq::SeqNum;
use crate::Instant;
use crate::time::Duration;

/// Segments of the initial window (RFC 6928).
pub const INITIAL_WINDOW: u32 = 10;

/// What a controller steers. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub cwnd: u32,
    pub ssthresh: u32,
    /// SMSS.
    pub mss: u32,
}
impl Window {
    /// At the start of a connection.
    pub fn initial(mss: u32) -> Self {
        Self {
            cwnd: mss.saturating_mul(INITIAL_WINDOW),
            ssthresh: u32::MAX,
            mss,
        }
    }
    /// In the first slow start: nothing was lost, and nothing else has set a threshold.
    fn is_unbounded(&self) -> bool {
        self.ssthresh == u32::MAX
    }
    /// Below ssthresh.
    pub fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }
    /// Slow start by the bytes acknowledged (RFC 3465 without its limit, as Linux); returns the bytes beyond ssthresh.
    fn slow_start(&mut self, bytes: u32) -> u32 {
        let room = self.ssthresh.saturating_sub(self.cwnd).min(bytes);
        self.cwnd = self.cwnd.saturating_add(room);
        bytes - room
    }
}

/// New data was acknowledged while the window was in use.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    pub now: Instant,
    pub bytes: u32,
    pub srtt: Duration,
    /// SND.UNA after it.
    pub una: SeqNum,
    /// SND.NXT.
    pub nxt: SeqNum,
    /// What the newest of the segments took, if it was sent once.
    pub rtt: Option<Duration>,
}
/// The network lost something; once for each window.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// RFC 5681's FlightSize.
    pub flight: u32,
}

/// A controller.
pub trait CongestionControl {
    /// Grows the window.
    fn on_ack(&mut self, window: &mut Window, acked: &Acked);
    /// Sets ssthresh; the window itself is lowered by recovery.
    fn on_loss(&mut self, window: &mut Window, lost: &Lost);
    /// Nothing was sent for a while: that time does not count.
    fn on_idle(&mut self, idle: Duration);
    /// The retransmission timer expired: what was learned of the path no longer holds.
    fn on_timeout(&mut self);
}

/// The controller of a connection.
#[derive(Clone, Debug)]
pub enum Controller {
    Reno(reno::Reno),
    Cubic(cubic::Cubic),
    Bbr(Box<bbr::Bbr>),
}
impl Controller {
    /// By its name; `srtt`: what was measured so far.
    pub fn new(which: Congestion, window: &Window, srtt: Option<Duration>, now: Instant) -> Self {
        match which {
            Congestion::Reno => Self::Reno(reno::Reno::default()),
            Congestion::Cubic => Self::Cubic(cubic::Cubic::default()),
            Congestion::Bbr => Self::Bbr(Box::new(bbr::Bbr::new(window, srtt, now))),
        }
    }
    /// As it is, to go back to; a model of the path goes its own way back.
    pub fn remembered(&self) -> Option<Self> {
        self.model().is_none().then(|| self.clone())
    }
    /// One that has a model of the path, and sets window and rate by it.
    pub fn model(&self) -> Option<&bbr::Bbr> {
        match self {
            Self::Bbr(bbr) => Some(bbr),
            Self::Reno(_) | Self::Cubic(_) => None,
        }
    }
    /// The same, to be told something.
    pub fn model_mut(&mut self) -> Option<&mut bbr::Bbr> {
        match self {
            Self::Bbr(bbr) => Some(bbr),
            Self::Reno(_) | Self::Cubic(_) => None,
        }
    }
    /// As the trait.
    pub fn get(&mut self) -> &mut dyn CongestionControl {
        match self {
            Self::Reno(reno) => reno,
            Self::Cubic(cubic) => cubic,
            Self::Bbr(bbr) => bbr.as_mut(),
        }
    }
}
