//! STATUS (RFC 9293 3.9.1.6): what can be asked; and what the network says of a connection.
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::demux::Entry;
use super::opening::Opening;
use super::options::mss_limit;
use super::seq::SeqNum;
use super::tcb::{Endpoint, Tcb};
use super::time_wait::TimeWait;
use super::{Conn, ConnId, ListenerId, Options, State, Status, Tcp};
use crate::event::WindowCause;
use crate::l3_network::{Flow, NetError};
use crate::l4_transport::family::Family;
use crate::l4_transport::net_error;
use crate::l4_transport::readiness::{Ready, SocketError};
use crate::time::Duration;
use crate::{Counter, Cx, DropReason};

/// Paths narrower than this are not believed (RFC 1191 3: 68 bytes; Linux: 552).
const LEAST_MTU: u32 = 552;

impl Tcp {
    /// What the socket is ready for.
    pub fn ready(&self, id: ConnId) -> Ready {
        self.conn(id).map_or(Ready::NONE, Conn::ready)
    }
    /// What a listener is ready for.
    pub fn listener_ready(&self, id: ListenerId) -> Ready {
        match self.listeners.get(id.0 as usize) {
            Some(listener) if !listener.accept.is_empty() => Ready::READABLE,
            _ => Ready::NONE,
        }
    }
    /// SO_ERROR: takes the pending error.
    pub fn take_error(&mut self, id: ConnId) -> Option<SocketError> {
        self.conn_mut(id)?.ep_mut().error.take()
    }
    /// The connection's options, to look at.
    pub fn options(&self, id: ConnId) -> Option<&Options> {
        Some(&self.conn(id)?.ep().options)
    }
    /// STATUS (RFC 9293 3.9.1.6).
    pub fn status(&self, id: ConnId) -> Option<Status> {
        Some(self.conn(id)?.status())
    }
    /// A listener's status.
    pub fn listener_status(&self, id: ListenerId) -> Option<Status> {
        let listener = self.listeners.get(id.0 as usize)?;
        let mut status = blank(State::Listen, listener.local, None, listener.options.family);
        status.owner = Some(listener.owner);
        status.recv_q = u32::try_from(listener.accept.len()).unwrap_or(u32::MAX);
        status.send_q = listener.backlog.min(self.config.somaxconn);
        Some(status)
    }
    /// Every listener, opening, connection and TIME-WAIT entry, in a stable order (local, remote).
    pub fn all(&self) -> Vec<Status> {
        let listeners = self
            .listeners
            .iter()
            .filter_map(|(i, _)| self.listener_status(ListenerId(i as u32)));
        let openings = self.openings.iter();
        let openings = openings.map(|(_, opening)| self.opening_status(opening));
        let conns = self.conns.iter().map(|(_, conn)| conn.status());
        let conns = conns.filter(|status| status.state != State::Closed);
        let time_waits = self.time_waits.iter().map(|(_, entry)| of_time_wait(entry));
        let mut rows: Vec<Status> = listeners
            .chain(openings)
            .chain(conns)
            .chain(time_waits)
            .collect();
        rows.sort_by_key(|row| (row.local, row.remote));
        rows
    }

    /// SYN-RECEIVED of a listener.
    pub(super) fn opening_status(&self, opening: &Opening) -> Status {
        let listener = self.listeners.get(opening.listener as usize);
        let family = listener.map_or_else(Family::default, |listener| listener.options.family);
        let Opening { local, remote, .. } = *opening;
        blank(State::SynReceived, local, Some(remote), family)
    }

    /// What an ICMP error speaks of, if the sequence number that it quotes is on its way (RFC 5927 4.1): a connection, or
    /// `None` for one that its listener still keeps, which errors do not touch.
    fn blamed(&self, flow: &Flow, cx: &mut Cx<'_>) -> Result<Option<ConnId>, DropReason> {
        let seq = SeqNum(flow.word);
        let entry = self.demux.pair(flow.local, flow.remote);
        let (plausible, id) = match entry.ok_or(DropReason::IcmpNoFlow)? {
            Entry::Conn(id) => {
                let plausible = match self.conn(id).ok_or(DropReason::IcmpNoFlow)? {
                    Conn::Opening(opening) => seq == opening.iss,
                    Conn::Open(tcb) => seq.at_or_after(tcb.snd.una) && seq.before(tcb.snd.nxt),
                };
                (plausible, Some(id))
            }
            Entry::Opening(index) => {
                let opening = self.openings.get(index as usize);
                (opening.is_some_and(|o| seq == o.shake.iss), None)
            }
            // All that it sent was acknowledged.
            Entry::TimeWait(_) | Entry::Listener(_) => (false, None),
        };
        if !plausible {
            cx.count(Counter::TcpExtOutOfWindowIcmps);
            return Err(DropReason::IcmpOutOfWindow);
        }
        Ok(id)
    }
    pub(super) fn network_error(
        &mut self,
        flow: Flow,
        error: NetError,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let Some(id) = self.blamed(&flow, cx)? else {
            return Ok(());
        };
        let error = net_error(error);
        match self.conn_mut(id) {
            //= rfc5461#4.1
            //# hard errors abort connections in non-synchronised states only
            Some(Conn::Opening(opening)) => super::active::fail(opening, error, cx),
            Some(Conn::Open(tcb)) => tcb.ep.soft_error = Some(error),
            None => {}
        }
        self.settle(id, cx);
        Ok(())
    }
    pub(super) fn shrink_path(
        &mut self,
        flow: Flow,
        mtu: u32,
        cx: &mut Cx<'_>,
    ) -> Result<(), DropReason> {
        let Some(id) = self.blamed(&flow, cx)? else {
            return Ok(());
        };
        let mtu = mtu.max(LEAST_MTU);
        if let Some(conn) = self.conn_mut(id)
            && mtu < conn.ep().path.mtu
        {
            conn.ep_mut().path.mtu = mtu;
            if let Conn::Open(tcb) = conn {
                tcb.shrink_mss(cx);
            }
        }
        self.settle(id, cx);
        Ok(())
    }
}

impl Conn {
    pub(super) fn ready(&self) -> Ready {
        match self {
            Self::Open(tcb) => tcb.ready(),
            Self::Opening(opening) if opening.ep.state == State::Closed => {
                let ended = Ready::READABLE | Ready::WRITABLE | Ready::HANG_UP | Ready::READ_CLOSED;
                if opening.ep.error.is_some() {
                    ended | Ready::ERROR
                } else {
                    ended
                }
            }
            Self::Opening(opening) if opening.ride.as_ref().is_some_and(|ride| ride.deferred) => {
                Ready::WRITABLE
            }
            Self::Opening(_) => Ready::NONE,
        }
    }
    pub(super) fn status(&self) -> Status {
        let Endpoint {
            state,
            ends,
            owner,
            ref options,
            ..
        } = *self.ep();
        let mut status = blank(state, ends.local(), Some(ends.remote()), options.family);
        status.owner = owner;
        match self {
            Self::Opening(opening) => {
                status.send_q = u32::from(state != State::Closed);
                status.mss = opening.offer_mss;
                status.retransmits = u64::from(opening.retries);
            }
            Self::Open(tcb) => {
                status.state = tcb.told_state();
                status.recv_q = tcb.rcv.queued();
                status.send_q = tcb.tx.len() + u32::from(tcb.fin_queued);
                status.cwnd = tcb.window.cwnd;
                status.ssthresh = tcb.window.ssthresh;
                status.srtt = tcb.rtt.srtt();
                status.rto = tcb.rtt.rto();
                status.mss = tcb.mss() as u16;
                let busy = tcb.busy.as_ref();
                status.retransmits = busy.map_or(0, |busy| busy.tally.retransmits.into());
            }
        }
        status
    }
}

impl Tcb {
    //= rfc1191#6.4
    //# when a Datagram Too Big message is received, the segments that are too big must be retransmitted, without a reduction of the congestion window
    //= rfc5681#3.1
    //# cwnd SHOULD be reduced by the ratio of the old segment size to the new segment size
    /// The window keeps as many segments as it had.
    fn shrink_mss(&mut self, cx: &mut Cx<'_>) {
        let limit = mss_limit(self.ep.path.mtu, self.ep.local().ip(), 0);
        if limit >= self.agreed.mss {
            return;
        }
        let segments = self.window.cwnd / self.mss().max(1);
        self.bound_search(limit);
        self.agreed.mss = limit;
        let mss = self.mss();
        self.window.mss = mss;
        self.window.cwnd = segments.max(1).saturating_mul(mss);
        self.tell_window(WindowCause::PathMtu, cx);
        self.flight.lose_where(|record| record.len > mss);
        if self.flight.lost() > 0 {
            self.resend_shorter();
        }
        self.arm_retransmission(cx.now, true);
    }
}

/// TIME-WAIT.
pub fn of_time_wait(entry: &TimeWait) -> Status {
    let TimeWait {
        local,
        remote,
        family,
        ..
    } = *entry;
    blank(State::TimeWait, local, Some(remote), family)
}

fn blank(state: State, local: SocketAddr, remote: Option<SocketAddr>, family: Family) -> Status {
    Status {
        state,
        local,
        remote,
        recv_q: 0,
        send_q: 0,
        family,
        owner: None,
        cwnd: 0,
        ssthresh: 0,
        srtt: None,
        rto: Duration::ZERO,
        mss: 0,
        retransmits: 0,
    }
}
