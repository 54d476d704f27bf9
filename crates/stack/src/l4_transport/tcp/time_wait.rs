//! TIME-WAIT (RFC 9293 3.6.1) as a small value: enough to acknowledge a FIN that comes again, to ignore what is old,
//! and to let a new connection take the place (RFC 6191).
use core::net::SocketAddr;

use alloc::vec::Vec;
use heptad_wire::tcp::Flags;

use super::challenge;
use super::isn;
use super::options::data_options;
use super::segment::{Outgoing, Segment};
use super::seq::SeqNum;
use super::tcb::Tcb;
use crate::l1_physical::PortId;
use crate::l3_network::{Reply, Up};
use crate::l4_transport::family::Family;
use crate::time::Duration;
use crate::{Cx, DropReason, Instant};

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct TimeWait {
    pub generation: u32,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub snd_nxt: SeqNum,
    pub rcv_nxt: SeqNum,
    wnd: u16,
    rcv_wnd: u32,
    /// Our offset and TS.Recent, if agreed.
    timestamps: Option<(u32, u32)>,
    ttl: u8,
    tos: u8,
    device: Option<PortId>,
    pub family: Family,
    pub expires: Instant,
    last_stray: Option<Instant>,
}

impl TimeWait {
    /// From a connection that has closed both ways.
    pub fn new(tcb: &mut Tcb, generation: u32, expires: Instant) -> Self {
        let mss = tcb.mss();
        let wnd = tcb.rcv.tell_window(mss, tcb.ep.options.window_clamp);
        let (ttl, tos) = tcb.ep.options.hops_to(tcb.ep.remote().ip());
        Self {
            generation,
            local: tcb.ep.local(),
            remote: tcb.ep.remote(),
            snd_nxt: tcb.snd.nxt,
            rcv_nxt: tcb.rcv.nxt,
            wnd,
            rcv_wnd: tcb.rcv.wnd(),
            timestamps: tcb
                .agreed
                .timestamps
                .then_some((tcb.ts.offset, tcb.ts.recent)),
            ttl,
            tos,
            device: tcb.ep.options.device,
            family: tcb.ep.options.family,
            expires,
            last_stray: None,
        }
    }
    //= rfc6191#2
    //# If the previous incarnation of the connection used Timestamps, then: if the incoming segment's TSval is greater, honour the connection request
    /// Whether a SYN may begin a new connection in this one's place.
    pub fn may_be_reused(&self, seg: &Segment) -> bool {
        if !seg.has(Flags::SYN) || seg.has(Flags::ACK) || seg.has(Flags::RST) {
            return false;
        }
        match (self.timestamps, seg.options.timestamps) {
            // an older timestamp is of an older SYN, whatever its number
            (Some((_, recent)), Some((value, _))) if value != recent => {
                SeqNum(value).after(SeqNum(recent))
            }
            _ => seg.seq.after(self.rcv_nxt),
        }
    }
    /// Whether both ends used timestamps: then old segments are told from new ones.
    pub fn has_timestamps(&self) -> bool {
        self.timestamps.is_some()
    }
    /// An initial sequence number that is surely above what the old connection sent.
    pub fn next_isn(&self, isn: SeqNum) -> SeqNum {
        isn.later(self.snd_nxt + 65_537)
    }
    /// A segment for the old connection.
    pub fn arrives(&mut self, seg: &Segment, length: Duration, cx: &mut Cx<'_>) -> Up<()> {
        //= rfc1337#3
        //# Ignore RST segments in TIME-WAIT state
        if seg.has(Flags::RST) {
            return Up::Drop(DropReason::TcpTimeWait, None);
        }
        let old = match (self.timestamps, seg.options.timestamps) {
            (Some((_, recent)), Some((value, _))) => SeqNum(value).before(SeqNum(recent)),
            _ => false,
        };
        let in_window = seg.end().at_or_after(self.rcv_nxt)
            && seg.seq.at_or_before(self.rcv_nxt + self.rcv_wnd);
        //= rfc9293#3.10.7.4
        //# The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and restart the 2 MSL timeout.
        if seg.has(Flags::FIN) && !old && seg.end() == self.rcv_nxt {
            self.expires = cx.now + length;
            return Up::Reply(self.ack(cx));
        }
        if seg.text_len == 0 && in_window && !old && !seg.has(Flags::SYN) {
            return Up::Drop(DropReason::TcpTimeWait, None);
        }
        if !challenge::allow_again(&mut self.last_stray, cx.now) {
            return Up::Drop(DropReason::TcpTimeWait, None);
        }
        Up::Drop(DropReason::TcpTimeWait, Some(self.ack(cx)))
    }
    fn ack(&self, cx: &mut Cx<'_>) -> Reply {
        let mut out = Outgoing::new(self.local, self.remote, &super::Options::default());
        out.ttl = self.ttl;
        out.tos = self.tos;
        out.device = self.device;
        out.seq = self.snd_nxt;
        out.ack = self.rcv_nxt;
        out.wnd = self.wnd;
        let timestamps = self
            .timestamps
            .map(|(offset, recent)| (isn::timestamp(cx.now, offset), recent));
        out.options = data_options(timestamps, &[]);
        Reply::Transport(out.depart(Vec::new(), 1, cx))
    }
}
