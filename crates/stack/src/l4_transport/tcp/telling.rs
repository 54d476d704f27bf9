//! What a connection tells those who watch: what it sends again and why, and what its congestion window does.
use core::net::SocketAddr;

use heptad_wire::PacketId;

use super::congestion::Window;
use super::seq::SeqNum;
use super::tcb::Tcb;
use crate::event::{Cause, Event, WindowCause};
use crate::{Cx, EventMask};

impl Tcb {
    /// Text left again in packet `id`.
    pub fn tell_resent(&self, seq: SeqNum, len: u32, cause: Cause, id: PacketId, cx: &mut Cx<'_>) {
        cx.events
            .emit(cx.now, EventMask::TCP_RECOVERY, || Event::Retransmit {
                local: self.ep.local(),
                remote: self.ep.remote(),
                seq: seq.since(self.snd.iss),
                len,
                cause,
                times: self.flight.resends(seq),
                id,
            });
    }
    /// The congestion window or its threshold changed.
    pub fn tell_window(&self, cause: WindowCause, cx: &mut Cx<'_>) {
        let class = match cause {
            WindowCause::Growth | WindowCause::Model => EventMask::TCP_GROWTH,
            _ => EventMask::TCP_WINDOW,
        };
        cx.events.emit(cx.now, class, || Event::TcpWindow {
            local: self.ep.local(),
            remote: self.ep.remote(),
            cause,
            cwnd: self.window.cwnd,
            ssthresh: self.window.ssthresh,
            mss: self.window.mss,
        });
    }
    /// An ACK may have changed it from what it was before.
    pub fn tell_growth(&self, before: Window, cx: &mut Cx<'_>) {
        if before.in_slow_start() && !self.window.in_slow_start() {
            self.tell_window(WindowCause::SlowStartOver, cx);
        } else if before != self.window {
            self.tell_window(WindowCause::Growth, cx);
        }
    }
}

/// A SYN or SYN,ACK left again in packet `id`.
pub fn tell_syn_resent(
    (local, remote): (SocketAddr, SocketAddr),
    times: u8,
    id: PacketId,
    cx: &mut Cx<'_>,
) {
    cx.events
        .emit(cx.now, EventMask::TCP_RECOVERY, || Event::Retransmit {
            local,
            remote,
            seq: 0,
            len: 1,
            cause: Cause::Rto,
            times,
            id,
        });
}
