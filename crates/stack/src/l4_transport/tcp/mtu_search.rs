//! Packetization layer path MTU discovery (RFC 4821, RFC 8899), as Linux's tcp_mtu_probing has it: where the network swallows
//! what is too long and says nothing, the segment size falls to a base that gets through nearly everywhere, and a binary
//! search with single longer segments finds what the path really takes.
use super::options::TIMESTAMPS_LEN;
use super::output::Next;
use super::recovery::Phase;
use super::seq::SeqNum;
use super::tcb::Tcb;
use super::{Config, MtuProbing};
use crate::event::WindowCause;
use crate::time::Duration;
use crate::{Counter, Cx, Instant};

/// Timeouts in a row after which a black hole is suspected (tcp_retries1).
const SUSPICIOUS: u8 = 3;
/// Segments do not become shorter than this (RFC 1122 3.3.2: packets of 576 bytes; Linux: 48).
const FLOOR: u16 = 536;
/// A search ends when its bounds are so close (tcp_probe_threshold).
const CLOSE: u16 = 8;
/// How long a result holds until a larger one is tried (tcp_probe_interval; RFC 8899's PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// Segments that the window must have for a probe not to matter.
const LEAST_WINDOW: u32 = 11;

/// A probe waits until there is room for it in the congestion window, and all else behind it.
#[derive(Debug, Clone, Copy)]
pub struct Crowded;

/// A search. Sizes are of text and options, as an MSS is.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Gets through.
    low: u16,
    /// Nothing longer does.
    high: u16,
    /// What the handshake and our own link allow.
    clamp: u16,
    /// Under way: the numbers that it takes, and its size.
    probe: Option<(SeqNum, SeqNum, u16)>,
    /// When the last search began.
    since: Instant,
}

impl Search {
    /// Halfway, while that is worth a probe.
    fn next(&self) -> Option<u16> {
        let open = self.probe.is_none() && self.high.saturating_sub(self.low) >= CLOSE;
        open.then(|| self.low.midpoint(self.high))
    }
}

impl Tcb {
    /// From the start, if the host is set so.
    pub fn begin_search(&mut self, config: &Config, now: Instant) {
        if config.mtu_probing == MtuProbing::Always {
            let search = self.new_search(config, now);
            self.busy().search = Some(search);
            let segments = self.window.cwnd / self.mss();
            self.use_mss(self.agreed.mss.min(self.base_mss(config)));
            self.window.cwnd = segments * self.mss();
        }
    }
    fn new_search(&self, config: &Config, now: Instant) -> Search {
        let clamp = self.agreed.mss;
        Search {
            low: self.base_mss(config).min(clamp),
            high: clamp,
            clamp,
            probe: None,
            since: now,
        }
    }
    fn base_mss(&self, config: &Config) -> u16 {
        let stamps = if self.agreed.timestamps {
            TIMESTAMPS_LEN
        } else {
            0
        };
        config.base_mss.saturating_add(stamps)
    }
    /// The retransmission timer expired (RFC 4821 7.7): each time that it did so three times in a row, segments become shorter.
    pub fn suspect_black_hole(&mut self, config: &Config, cx: &mut Cx<'_>) {
        let timeouts = self.recovery.timeouts;
        let suspicious = timeouts > 0 && timeouts.is_multiple_of(SUSPICIOUS);
        if config.mtu_probing == MtuProbing::Off || !suspicious {
            return;
        }
        let base = self.base_mss(config);
        let fresh = self.new_search(config, cx.now);
        let busy = self.busy();
        let low = match &mut busy.search {
            None => busy.search.insert(fresh).low,
            Some(search) => {
                search.probe = None;
                search.low = base.min(search.low / 2).max(FLOOR.min(search.low));
                search.low
            }
        };
        if low < self.agreed.mss {
            self.use_mss(low);
            self.tell_window(WindowCause::PathMtu, cx);
        }
    }
    /// The path is known to be narrower (ICMP).
    pub fn bound_search(&mut self, limit: u16) {
        if let Some(search) = self.search() {
            search.high = search.high.min(limit);
            search.low = search.low.min(limit);
            search.clamp = search.clamp.min(limit);
        }
    }
    fn use_mss(&mut self, mss: u16) {
        self.agreed.mss = mss;
        self.window.mss = self.mss();
    }

    /// One longer segment, with enough behind it to tell of its loss (RFC 4821 7.4), if all that it takes is there.
    pub fn next_mtu_probe(&self) -> Result<Option<Next>, Crowded> {
        let Some(size) = self.busy.as_ref().and_then(|busy| busy.search?.next()) else {
            return Ok(None);
        };
        let mss = self.mss();
        let calm = self.recovery.phase == Phase::Open
            && self.flight.sacked() == 0
            && self.frame_mss() == mss
            && self.window.cwnd >= LEAST_WINDOW * mss;
        let grown = u32::from(size.saturating_sub(self.agreed.mss));
        let len = mss + grown;
        let needed = len + (u32::from(self.recovery.reordering()) + 1) * mss;
        let edge = self.snd.una + self.snd.wnd;
        let fits = self.snd.wnd >= needed && (self.snd.nxt + needed).at_or_before(edge);
        if !calm || grown == 0 || self.unsent() < needed || !fits {
            return Ok(None);
        }
        let pipe = self.pipe();
        if pipe + 2 * mss <= self.window.cwnd {
            return Ok(Some(Next::MtuProbe { len }));
        }
        match pipe {
            0 => Ok(None),
            _ => Err(Crowded),
        }
    }
    /// It left, as `len` bytes of text up to SND.NXT.
    pub fn mtu_probe_left(&mut self, len: u32) {
        let grown = len.saturating_sub(self.mss());
        let size = u32::from(self.agreed.mss) + grown;
        let (from, to) = (self.snd.nxt - len, self.snd.nxt);
        if let Some(search) = self.search() {
            search.probe = Some((from, to, size as u16));
        }
    }
    /// Something else was lost meanwhile: what becomes of the probe says nothing.
    pub fn forget_mtu_probe(&mut self) {
        if let Some(search) = self.search() {
            search.probe = None;
        }
    }
    /// An ACK came: the probe may have arrived, or a new search may be due.
    pub fn settle_mtu_probe(&mut self, cx: &mut Cx<'_>) {
        let (una, mss) = (self.snd.una, self.agreed.mss);
        let Some(search) = self.search() else {
            return;
        };
        match search.probe {
            Some((_, end, size)) if una.at_or_after(end) => {
                search.low = size;
                search.probe = None;
                cx.count(Counter::TcpExtTcpMtupSuccess);
                self.use_mss(size);
                self.tell_window(WindowCause::PathMtu, cx);
            }
            Some(_) => {}
            None if search.next().is_none() && cx.now.since(search.since) >= RAISE => {
                search.low = mss;
                search.high = search.clamp;
                search.since = cx.now;
            }
            None => {}
        }
    }
    /// A loss was found. Whether it is that of the probe: then it leaves again in shorter segments, and the window stays, since
    /// this is no sign of congestion (RFC 4821 7.6.2).
    pub fn mtu_probe_failed(&mut self, cx: &mut Cx<'_>) -> bool {
        let una = self.snd.una;
        let Some(search) = self.search() else {
            return false;
        };
        let Some((from, _, size)) = search.probe.take() else {
            return false;
        };
        if from != una {
            return false;
        }
        search.high = size - 1;
        cx.count(Counter::TcpExtTcpMtupFail);
        self.resend_shorter();
        true
    }
}
