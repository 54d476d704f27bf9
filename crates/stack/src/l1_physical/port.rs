//! One port: its transmit queue, the only place where super-segments are cut, and its counts.
use alloc::collections::VecDeque;

use heptad_wire::PacketBuf;
use heptad_wire::packet::Cuts;

use super::{Caps, PortConfig, PortCounters};
use crate::{Cx, DropReason};

/// A port of a host.
pub struct Port {
    config: PortConfig,
    counters: PortCounters,
    queue: VecDeque<PacketBuf>,
    /// Frames in `queue`, once cut.
    queued: u32,
    /// The super-segment that is leaving now, frame by frame.
    leaving: Option<Cuts>,
}

impl Port {
    /// A port with an empty queue.
    pub fn new(config: PortConfig) -> Self {
        Self {
            config,
            counters: PortCounters::default(),
            queue: VecDeque::new(),
            queued: 0,
            leaving: None,
        }
    }
    /// Its settings.
    pub fn config(&self) -> &PortConfig {
        &self.config
    }
    /// Its counts.
    pub fn counters(&self) -> PortCounters {
        self.counters
    }
    /// Changes what the cable carries; what waits in the queue leaves as the new cable needs it.
    pub fn set_caps(&mut self, caps: Caps) {
        self.config.caps = caps;
    }
    /// Changes the MTU.
    pub fn set_mtu(&mut self, mtu: u32) {
        self.config.mtu = mtu;
    }
    /// Counts a frame that came in.
    pub fn receive(&mut self, frame: &PacketBuf) {
        self.counters.rx_ok += u64::from(frame.frames());
        self.counters.rx_bytes += bytes_once_cut(frame);
    }
    /// Counts a frame that came in and was no good to layer 2.
    pub fn refuse(&mut self, reason: DropReason) {
        match reason {
            DropReason::LinkHeader | DropReason::FrameCheck => self.counters.rx_err += 1,
            DropReason::UnknownEtherType | DropReason::UnknownVlan => self.counters.rx_drop += 1,
            _ => {}
        }
    }
    /// Queues a frame to be sent. `Err` gives it back when the queue is full; the host's count of drops is the caller's.
    pub fn enqueue(&mut self, frame: PacketBuf) -> Result<(), (PacketBuf, DropReason)> {
        let frames = frame.frames();
        // A lone super-segment longer than the whole queue still gets through.
        if self.queued > 0 && self.queued.saturating_add(frames) > self.config.queue_limit {
            self.counters.tx_drop += u64::from(frames);
            return Err((frame, DropReason::TxQueueFull));
        }
        self.queued = self.queued.saturating_add(frames);
        self.queue.push_back(frame);
        Ok(())
    }
    /// Whether a frame waits.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty() || self.leaving.as_ref().is_some_and(|cuts| cuts.len() > 0)
    }
    /// The next frame to leave, cut and filled as far as the cable asks for it.
    pub fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<PacketBuf> {
        let mut frame = self.next_frame(cx)?;
        if !self.config.caps.unfilled_sums {
            frame.fill();
        }
        self.count_sent(&frame);
        Some(frame)
    }

    fn next_frame(&mut self, cx: &mut Cx<'_>) -> Option<PacketBuf> {
        if let Some(frame) = self.leaving.as_mut().and_then(Iterator::next) {
            return Some(frame);
        }
        self.leaving = None;
        let frame = self.queue.pop_front()?;
        self.queued = self.queued.saturating_sub(frame.frames());
        if frame.cut_plan().is_none() || self.config.caps.super_segments {
            return Some(frame);
        }
        self.leaving.insert(frame.cut(cx.pool)).next()
    }
    /// Counts a frame that left.
    pub fn count_sent(&mut self, frame: &PacketBuf) {
        self.counters.tx_ok += u64::from(frame.frames());
        self.counters.tx_bytes += bytes_once_cut(frame);
    }
}

/// Bytes of all frames that this packet is cut into: each repeats the headers.
pub(crate) fn bytes_once_cut(frame: &PacketBuf) -> u64 {
    let Some(cut) = frame.cut_plan() else {
        return frame.len() as u64;
    };
    let headers = match frame.frames() {
        1 => 0,
        more => {
            u64::from(more - 1)
                * (frame.frame_len().saturating_sub(usize::from(cut.segment))) as u64
        }
    };
    frame.len() as u64 + headers
}
