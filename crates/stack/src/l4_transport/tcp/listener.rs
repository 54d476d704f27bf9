//! LISTEN: the SYN queue and the accept queue, both bounded; SYN-RECEIVED of those who knock.
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use heptad_wire::tcp::Flags;

use super::challenge::allow_again;
use super::demux::Entry;
use super::ecn;
use super::fast_open::{FastQueue, Wish};
use super::opening::{Handshake, Opening, our_offer, syn_timeout};
use super::options::{Agreed, mss_limit};
use super::segment::{Segment, reset_for};
use super::seq::SeqNum;
use super::tcb::{Endpoint, Tcb, Way, tell_state};
use super::timers::{Item, Key};
use super::{Conn, ConnId, Options, State, SynCookies, Tcp, WayBack, states};
use crate::l3_network::{Path, Reply, Up};
use crate::l4_transport::readiness::Owner;
use crate::{Counter, Cx, DropReason, Instant};

/// One listener.
#[derive(Debug)]
pub struct Listener {
    pub local: SocketAddr,
    pub backlog: u32,
    pub options: Arc<Options>,
    pub owner: Owner,
    /// Slots in the slab of openings.
    pub openings: BTreeSet<u32>,
    /// Established, oldest first.
    pub accept: VecDeque<ConnId>,
    pub in_ready: bool,
    /// Connections in use whose handshake is not over.
    pub fast: FastQueue,
    /// When the last SYN cookie left.
    pub cookie_at: Option<Instant>,
}
impl Listener {
    /// Linux holds one more than the backlog says, in either queue.
    fn accept_queue_full(&self, somaxconn: u32) -> bool {
        self.accept.len() > self.backlog.min(somaxconn) as usize
    }
    fn syn_queue_full(&self, somaxconn: u32) -> bool {
        self.openings.len() > self.backlog.min(somaxconn) as usize
    }
}

/// How a knock is answered: the way back, and a floor for the ISN when a TIME-WAIT entry gives way.
pub struct Knock<'a> {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub isn: Option<SeqNum>,
    pub route: WayBack<'a>,
}

impl Tcp {
    /// RFC 9293 3.10.7.2.
    pub(super) fn listener_receives(
        &mut self,
        index: u32,
        knock: &Knock<'_>,
        seg: Segment,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        if seg.has(Flags::RST) {
            return Up::Drop(DropReason::TcpNoSocket, None);
        }
        if seg.has(Flags::ACK) {
            return self.cookie_returns(index, knock, seg, cx);
        }
        if !seg.has(Flags::SYN) {
            return Up::Drop(DropReason::TcpNoAck, None);
        }
        match self.open_passively(index, knock, seg, cx) {
            Ok(up) => up,
            Err(reason) => {
                cx.count(Counter::TcpExtListenDrops);
                Up::Drop(reason, None)
            }
        }
    }

    fn open_passively(
        &mut self,
        index: u32,
        knock: &Knock<'_>,
        seg: Segment,
        cx: &mut Cx<'_>,
    ) -> Result<Up<()>, DropReason> {
        let most = self.config.somaxconn;
        let listener = self
            .listeners
            .get(index as usize)
            .ok_or(DropReason::TcpNoSocket)?;
        if listener.accept_queue_full(most) {
            cx.count(Counter::TcpExtListenOverflows);
            return Err(DropReason::TcpAcceptQueueFull);
        }
        let full = listener.syn_queue_full(most);
        if self.wants_cookie(full, knock, cx)? {
            return self.send_cookie(index, knock, &seg, cx).map(Up::Reply);
        }
        let options = Arc::clone(&listener.options);
        let path = (knock.route)(options.device, knock.remote.ip()).ok_or(DropReason::NoRoute)?;
        let mut opening = self.new_opening(index, knock, path, &options, &seg, cx);
        let cookie = match self.fast_open_wish(index, knock, &seg, cx) {
            Wish::Open => return Ok(self.open_fast(&opening, seg, cx)),
            Wish::Cookie(cookie) => Some(cookie),
            Wish::Plain => None,
        };
        opening.generation = self.next_generation();
        let key = self.openings.insert(opening) as u32;
        if let Some(listener) = self.listeners.get_mut(index as usize) {
            listener.openings.insert(key);
        }
        self.demux
            .insert(knock.local, knock.remote, Entry::Opening(key));
        let at = opening.due;
        self.agenda.add(at, opening_key(key, &opening), false);
        self.sweep_agenda();
        tell_state(
            (knock.local, knock.remote),
            State::Listen,
            State::SynReceived,
            cx,
        );
        let mut out = opening.syn_ack(&self.config, cx.now);
        if let Some(cookie) = cookie {
            cookie.write(&mut out.options);
        }
        ecn::introduce(&mut out, opening.shake.agreed.ecn);
        let reply = out.depart(Vec::new(), 1, cx);
        Ok(Up::Reply(Reply::Transport(reply)))
    }

    /// Whether a SYN is answered by a cookie. One that takes the place of a TIME-WAIT entry also takes its memory.
    fn wants_cookie(
        &self,
        full: bool,
        knock: &Knock<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<bool, DropReason> {
        let cookies = self.config.syn_cookies;
        if knock.isn.is_some() || !(full || cookies == SynCookies::Always) {
            return Ok(false);
        }
        if cookies == SynCookies::Never {
            cx.count(Counter::TcpExtTcpReqQFullDrop);
            return Err(DropReason::TcpSynQueueFull);
        }
        cx.count(Counter::TcpExtTcpReqQFullDoCookies);
        Ok(true)
    }

    fn new_opening(
        &self,
        listener: u32,
        knock: &Knock<'_>,
        path: Path,
        options: &Options,
        seg: &Segment,
        cx: &Cx<'_>,
    ) -> Opening {
        let (local, remote) = (knock.local, knock.remote);
        let limit = mss_limit(path.mtu, local.ip(), options.maxseg);
        let timestamps = self.config.timestamps && seg.options.timestamps.is_some();
        let (offer_mss, scale, wnd) = our_offer(&self.config, options, &path, timestamps);
        let mut agreed = Agreed::new(&self.config, remote.ip(), &seg.options, limit, scale);
        agreed.ecn = ecn::agree(&self.config, seg, 0);
        let irs = seg.seq;
        let (ttl, tos) = options.hops_to(remote.ip());
        Opening {
            generation: 0,
            listener,
            local,
            remote,
            path,
            shake: Handshake {
                iss: knock
                    .isn
                    .unwrap_or_else(|| self.secrets.isn(local, remote, cx.now)),
                irs,
                agreed,
                wnd: u32::from(seg.wnd),
                edge: irs + 1 + u32::from(wnd),
                ts_recent: seg.options.timestamps.map_or(0, |(value, _)| value),
                ts_offset: self.secrets.timestamp_offset(local, remote),
                sent_at: Some(cx.now),
                resent: false,
                greeting: ecn::found(agreed.ecn, seg),
            },
            ttl,
            tos,
            device: options.device,
            wnd,
            offer_mss,
            retries: 0,
            acked: false,
            due: cx.now + syn_timeout(0),
            wants: false,
            in_output: false,
            last_stray: None,
        }
    }

    /// RFC 9293 3.10.7.4 in SYN-RECEIVED, with RFC 5961's challenges.
    pub(super) fn opening_receives(&mut self, index: u32, seg: Segment, cx: &mut Cx<'_>) -> Up<()> {
        let Some(opening) = self.openings.get(index as usize).copied() else {
            return Up::Drop(DropReason::TcpNoSocket, None);
        };
        match self.hear_syn_again(index, &opening, &seg) {
            Verdict::Establish if self.defers(&opening, &seg) => {
                if let Some(opening) = self.openings.get_mut(index as usize) {
                    opening.acked = true;
                }
                cx.count(Counter::TcpExtTcpDeferAcceptDrop);
                Up::Drop(DropReason::TcpDeferAccept, None)
            }
            Verdict::Establish => self.establish(index, &opening, seg, cx),
            Verdict::Reset => {
                cx.count(Counter::TcpAttemptFails);
                cx.count(Counter::TcpExtEmbryonicRsts);
                tell_state(opening.ends(), State::SynReceived, State::Closed, cx);
                self.remove_opening(index);
                Up::Done
            }
            Verdict::RepeatSynAck => {
                let mut last = opening.last_stray;
                let again = allow_again(&mut last, cx.now);
                self.note_opening_stray(index, last, again);
                let latest = self.openings.get(index as usize).copied();
                let reply = latest.filter(|_| again).map(|opening| {
                    cx.count(Counter::TcpExtTcpSynRetrans);
                    let out = opening.syn_ack(&self.config, cx.now);
                    Reply::Transport(out.depart(Vec::new(), 1, cx))
                });
                Up::Drop(DropReason::TcpDuplicate, reply)
            }
            Verdict::Challenge(reason) => {
                let mut last = opening.last_stray;
                let allowed = allow_again(&mut last, cx.now);
                self.note_opening_stray(index, last, false);
                let reply = allowed.then(|| {
                    cx.count(Counter::TcpExtTcpChallengeAck);
                    Reply::Transport(opening.ack(cx.now).depart(Vec::new(), 1, cx))
                });
                Up::Drop(reason, reply)
            }
            Verdict::Contradicts => {
                cx.count(Counter::TcpAttemptFails);
                tell_state(opening.ends(), State::SynReceived, State::Closed, cx);
                self.remove_opening(index);
                let reset = opening.reset().depart(Vec::new(), 1, cx);
                Up::Drop(DropReason::TcpSynContradicts, Some(Reply::Transport(reset)))
            }
            Verdict::Refuse(reason) => {
                let reset = reset_for(opening.local, opening.remote, &seg, cx);
                Up::Drop(reason, reset.map(Reply::Transport))
            }
            Verdict::Ignore(reason) => Up::Drop(reason, None),
        }
    }
    /// What a segment is to an opening; a SYN that came again may tell of marks, or ask for something else.
    fn hear_syn_again(&mut self, index: u32, opening: &Opening, seg: &Segment) -> Verdict {
        let verdict = check_opening(opening, seg);
        if !matches!(verdict, Verdict::RepeatSynAck) {
            return verdict;
        }
        let feedback = opening.shake.agreed.ecn;
        let agrees = self.openings.get_mut(index as usize).is_none_or(|known| {
            let greeting = &mut known.shake.greeting;
            greeting.hear_again(&self.config, feedback, seg)
        });
        match agrees {
            true => verdict,
            false => Verdict::Contradicts,
        }
    }
    /// TCP_DEFER_ACCEPT: whether the end of a handshake is passed over because nothing for the program came with it.
    fn defers(&self, opening: &Opening, seg: &Segment) -> bool {
        let listener = self.listeners.get(opening.listener as usize);
        let waits = listener.is_some_and(|l| opening.retries < l.options.defer_accept);
        waits && seg.end() == opening.shake.irs + 1
    }
    fn note_opening_stray(&mut self, index: u32, last: Option<crate::Instant>, resent: bool) {
        if let Some(opening) = self.openings.get_mut(index as usize) {
            opening.last_stray = last;
            opening.shake.resent |= resent;
        }
    }

    /// The handshake is complete: the opening becomes a connection in the accept queue.
    fn establish(
        &mut self,
        index: u32,
        opening: &Opening,
        seg: Segment,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        if let Err(reason) = self.find_room(opening.listener, cx) {
            return Up::Drop(reason, None);
        }
        self.remove_opening(index);
        let path = opening.path.into();
        self.accept_later(
            opening.listener,
            opening.ends(),
            path,
            &opening.shake,
            seg,
            cx,
        )
    }
    /// Whether the accept queue takes one more.
    pub(super) fn find_room(&self, listener: u32, cx: &mut Cx<'_>) -> Result<(), DropReason> {
        let most = self.config.somaxconn;
        let listener = self.listeners.get(listener as usize);
        let listener = listener.ok_or(DropReason::TcpNoSocket)?;
        if listener.accept_queue_full(most) {
            cx.count(Counter::TcpExtListenOverflows);
            cx.count(Counter::TcpExtListenDrops);
            return Err(DropReason::TcpAcceptQueueFull);
        }
        Ok(())
    }
    /// Whose handshake is complete becomes a connection that waits to be accepted; the ACK is its first segment.
    pub(super) fn accept_later(
        &mut self,
        index: u32,
        ends: (SocketAddr, SocketAddr),
        path: Way,
        shake: &Handshake,
        seg: Segment,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        let Some(id) = self.new_passive(index, ends, path, shake, cx) else {
            return Up::Drop(DropReason::TcpNoSocket, None);
        };
        if let Some(Conn::Open(tcb)) = self.conn_mut(id) {
            tcb.sample_handshake(shake, &seg, cx.now);
        }
        self.conn_receives(id, seg, cx)
    }
    /// A connection that waits to be accepted. `None`: its listener is gone.
    pub(super) fn new_passive(
        &mut self,
        index: u32,
        (local, remote): (SocketAddr, SocketAddr),
        path: Way,
        shake: &Handshake,
        cx: &mut Cx<'_>,
    ) -> Option<ConnId> {
        let listener = self.listeners.get(index as usize)?;
        let options = Arc::clone(&listener.options);
        let generation = self.next_generation();
        let mut ep = Endpoint::new((local, remote), path, options, generation);
        ep.listener = Some(index);
        ep.state = State::SynReceived;
        ep.transition(states::Trigger::AckOfSyn, cx);
        cx.count(Counter::TcpPassiveOpens);
        let mut tcb = Box::new(Tcb::new(ep, shake, &self.config, cx.now));
        tcb.begin_to_count(&shake.greeting, None);
        let id = ConnId {
            index: self.conns.insert(Conn::Open(tcb)) as u32,
            generation,
        };
        self.demux.insert(local, remote, Entry::Conn(id));
        if let Some(listener) = self.listeners.get_mut(index as usize) {
            listener.accept.push_back(id);
        }
        self.listener_changed(index);
        Some(id)
    }

    /// An opening ends: by a RST, by silence, by its listener's end, or by success.
    pub(super) fn remove_opening(&mut self, index: u32) {
        let Some(opening) = self.openings.try_remove(index as usize) else {
            return;
        };
        self.demux
            .remove(opening.local, opening.remote, Entry::Opening(index));
        self.agenda.forget();
        if let Some(listener) = self.listeners.get_mut(opening.listener as usize) {
            listener.openings.remove(&index);
        }
    }

    /// The SYN,ACK was not answered in time.
    pub(super) fn opening_timeout(&mut self, index: u32, cx: &mut Cx<'_>) {
        let Some(opening) = self.openings.get_mut(index as usize) else {
            return;
        };
        let listener = self.listeners.get(opening.listener as usize);
        let options = listener.map(|listener| &listener.options);
        let most = match options.map_or(0, |options| options.syn_count) {
            0 => self.config.synack_retries,
            count => u32::from(count),
        };
        let defer = options.map_or(0, |options| options.defer_accept);
        // whoever answered and is only waited for has until the end of that time
        let waited_for = opening.acked && opening.retries < defer;
        if u32::from(opening.retries) >= most && !waited_for {
            cx.count(Counter::TcpAttemptFails);
            tell_state(opening.ends(), State::SynReceived, State::Closed, cx);
            self.remove_opening(index);
            self.agenda.was_stale();
            return;
        }
        opening.retries += 1;
        opening.due = cx.now + syn_timeout(opening.retries);
        // Of an answered one the SYN,ACK leaves again at the end of the wait: the answer then makes the connection.
        let resend = !opening.acked || opening.retries >= defer;
        opening.shake.resent |= resend;
        opening.shake.greeting.note_answer(opening.retries);
        opening.wants |= resend;
        let (at, key, port) = (opening.due, opening_key(index, opening), opening.path.port);
        let queued = opening.in_output;
        opening.in_output |= resend;
        self.agenda.add(at, key, false);
        if resend && !queued {
            self.output.add(port, key);
        }
    }
}

/// The agenda's and output's key of an opening.
pub fn opening_key(index: u32, opening: &Opening) -> Key {
    Key {
        item: Item::Opening,
        index,
        generation: opening.generation,
    }
}

enum Verdict {
    Establish,
    Reset,
    RepeatSynAck,
    /// Its flags ask for another way of feedback than an earlier one's.
    Contradicts,
    Challenge(DropReason),
    Refuse(DropReason),
    Ignore(DropReason),
}

fn check_opening(opening: &Opening, seg: &Segment) -> Verdict {
    let shake = &opening.shake;
    let nxt = shake.irs + 1;
    let bare_syn = seg.has(Flags::SYN) && !seg.has(Flags::ACK) && !seg.has(Flags::RST);
    if bare_syn && seg.seq == shake.irs {
        return Verdict::RepeatSynAck;
    }
    let old = match (shake.agreed.timestamps, seg.options.timestamps) {
        (true, Some((value, _))) => SeqNum(value).before(SeqNum(shake.ts_recent)),
        _ => false,
    };
    let inside = seg.end().at_or_after(nxt) && seg.seq.at_or_before(shake.edge);
    if seg.has(Flags::RST) {
        return match (inside, seg.seq == nxt) {
            (_, true) => Verdict::Reset,
            (true, _) if seg.seq.after(nxt) => Verdict::Challenge(DropReason::TcpRstChallenged),
            _ => Verdict::Ignore(DropReason::TcpOutOfWindow),
        };
    }
    if old {
        return Verdict::Challenge(DropReason::TcpPaws);
    }
    if !inside {
        return Verdict::Challenge(DropReason::TcpOutOfWindow);
    }
    if seg.has(Flags::SYN) {
        return Verdict::Challenge(DropReason::TcpSynChallenged);
    }
    if !seg.has(Flags::ACK) {
        return Verdict::Ignore(DropReason::TcpNoAck);
    }
    //= rfc9293#3.10.7.4
    //# If the segment acknowledgment is not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST> and send it.
    if seg.ack != shake.iss + 1 {
        return Verdict::Refuse(DropReason::TcpAckInvalid);
    }
    Verdict::Establish
}
