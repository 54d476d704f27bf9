//! The calls of a program (RFC 9293 3.9.1): open, send, receive, close, abort. None of them blocks.
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use core::net::SocketAddr;

use bytes::Bytes;

use super::demux::Entry;
use super::fast_open::FastQueue;
use super::listener::Listener;
use super::opening::{ActiveOpening, our_offer, syn_timeout};
use super::settle::ReadyKey;
use super::states::Trigger;
use super::tcb::{Endpoint, Tcb, receive_space, send_space};
use super::{Conn, ConnId, ListenerId, Options, State, Tcp};
use crate::event::Event;
use crate::l3_network::Path;
use crate::l4_transport::readiness::{Owner, SocketError};
use crate::{Counter, Cx, EventMask};

/// Sequence numbers compare rightly only below 2^31.
const MOST_AT_ONCE: usize = 1 << 30;

impl Tcp {
    /// Passive open. `local.ip()` may be unspecified. Conflicts of ports were checked by layer 5; an identical listener is `AddressInUse`
    /// unless this one shares (SO_REUSEPORT).
    pub fn listen(
        &mut self,
        local: SocketAddr,
        backlog: u32,
        options: Options,
        owner: Owner,
    ) -> Result<ListenerId, SocketError> {
        let shared = self.share(options);
        let entry = self.listeners.vacant_entry();
        let index = entry.key() as u32;
        if !self.demux.listen(local, index, &options) {
            return Err(SocketError::AddressInUse);
        }
        entry.insert(Listener {
            local,
            backlog,
            options: shared,
            owner,
            openings: BTreeSet::new(),
            accept: VecDeque::new(),
            in_ready: false,
            cookie_at: None,
            fast: FastQueue::default(),
        });
        Ok(ListenerId(index))
    }
    /// `listen` again with another backlog.
    pub fn set_backlog(&mut self, id: ListenerId, backlog: u32) {
        if let Some(listener) = self.listeners.get_mut(id.0 as usize) {
            listener.backlog = backlog;
        }
    }
    /// What a listener's next connections have.
    pub fn set_listener_options(&mut self, id: ListenerId, options: Options) {
        let shared = self.share(options);
        if let Some(listener) = self.listeners.get_mut(id.0 as usize) {
            listener.options = shared;
            self.demux
                .bind_listener(listener.local, id.0, options.device);
        }
    }
    /// Closes a listener: openings and connections that nobody accepted are reset.
    pub fn close_listener(&mut self, id: ListenerId, cx: &mut Cx<'_>) {
        let Some(listener) = self.listeners.try_remove(id.0 as usize) else {
            return;
        };
        self.demux.unlisten(listener.local, id.0);
        for index in listener.openings {
            self.reset_opening(index, cx);
        }
        for conn in listener.accept {
            self.abort(conn, cx);
        }
    }
    /// Takes the oldest established connection that waits and gives it to `owner`.
    pub fn accept(
        &mut self,
        id: ListenerId,
        owner: Owner,
    ) -> Result<(ConnId, SocketAddr), SocketError> {
        let listener = self
            .listeners
            .get_mut(id.0 as usize)
            .ok_or(SocketError::BadSocket)?;
        let conn = listener.accept.pop_front().ok_or(SocketError::WouldBlock)?;
        let ep = self
            .conn_mut(conn)
            .ok_or(SocketError::ConnectionAborted)?
            .ep_mut();
        ep.listener = None;
        ep.owner = Some(owner);
        let remote = ep.remote();
        // what came while it waited has told nobody
        if !core::mem::replace(&mut ep.in_ready, true) {
            self.ready.push_back(ReadyKey::Conn(conn));
        }
        Ok((conn, remote))
    }
    /// Gives back a connection that was accepted but could not be delivered: it waits at the front again.
    pub fn unaccept(&mut self, id: ListenerId, conn: ConnId) {
        let Some(waiting) = self.conn_mut(conn) else {
            return;
        };
        let ep = waiting.ep_mut();
        ep.owner = None;
        ep.listener = Some(id.0);
        if let Some(listener) = self.listeners.get_mut(id.0 as usize) {
            listener.accept.push_front(conn);
        }
        self.listener_changed(id.0);
    }
    /// Active open. Layer 5 chose the local port and found the way. `AddressInUse` if these four already exist (TIME-WAIT may be reused, RFC 6191).
    pub fn connect(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        path: Path,
        options: Options,
        owner: Owner,
        cx: &mut Cx<'_>,
    ) -> Result<ConnId, SocketError> {
        let mut iss = self.secrets.isn(local, remote, cx.now);
        match self.demux.pair(local, remote) {
            None => {}
            Some(Entry::TimeWait(index)) => {
                let old = self
                    .time_waits
                    .get(index as usize)
                    .filter(|old| old.has_timestamps())
                    .ok_or(SocketError::AddressInUse)?;
                iss = old.next_isn(iss);
                self.agenda.forget();
                self.remove_time_wait(index);
            }
            Some(_) => return Err(SocketError::AddressInUse),
        }
        let generation = self.next_generation();
        let mut ep = Endpoint::new(
            (local, remote),
            path.into(),
            self.share(options),
            generation,
        );
        ep.owner = Some(owner);
        ep.transition(Trigger::ActiveOpen, cx);
        ep.notify = false;
        cx.count(Counter::TcpActiveOpens);
        let (offer_mss, scale, wnd) = our_offer(&self.config, &options, &path, false);
        let opening = ActiveOpening {
            iss,
            ts_offset: self.secrets.timestamp_offset(local, remote),
            wnd,
            offer_mss,
            scale,
            ride: None,
            shake: None,
            sent_at: cx.now,
            retries: 0,
            due: Some(cx.now + syn_timeout(0)),
            wants: true,
            last_stray: None,
            ep,
        };
        let id = ConnId {
            index: self.conns.insert(Conn::Opening(Box::new(opening))) as u32,
            generation,
        };
        self.demux.note_device(options.device);
        self.demux.insert(local, remote, Entry::Conn(id));
        self.settle(id, cx);
        Ok(id)
    }
    /// Whether a segment from `remote` to `local` would find an opening, connection or TIME-WAIT entry.
    pub fn in_use(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.demux.pair(local, remote).is_some()
    }
    /// Whether a segment of these ends is for somebody other than a listener. A SYN to TIME-WAIT is for both.
    pub fn knows(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let entry = self.demux.pair(local, remote);
        entry.is_some_and(|entry| !matches!(entry, Entry::TimeWait(_)))
    }
    /// Takes as many bytes as fit; `WouldBlock` if none, `BrokenPipe` after shutdown or reset, `NotConnected`.
    pub fn send(&mut self, id: ConnId, data: &[u8], cx: &mut Cx<'_>) -> Result<usize, SocketError> {
        if let Some(sent) = self.send_on_syn(id, data, cx) {
            return sent;
        }
        let full = self.memory >= self.config.memory;
        let tcb = self.sender(id)?;
        if data.is_empty() {
            return Ok(0);
        }
        let room = if full && tcb.tx.len() > 0 {
            0
        } else {
            tcb.send_room().min(tcb.unsent_room()) as usize
        };
        let (now, _) = data.split_at(room.min(data.len()));
        if now.is_empty() {
            tcb.wants_room = true;
            return Err(SocketError::WouldBlock);
        }
        tcb.begin_to_send(cx);
        tcb.tx.push(now);
        self.sent(id, now.len(), cx);
        Ok(now.len())
    }
    /// As `send`, without a copy; takes all or nothing; `MessageTooLong` above 1 GiB.
    pub fn send_bytes(
        &mut self,
        id: ConnId,
        data: Bytes,
        cx: &mut Cx<'_>,
    ) -> Result<(), SocketError> {
        let full = self.memory >= self.config.memory;
        let tcb = self.sender(id)?;
        if data.is_empty() {
            return Ok(());
        }
        let len = data.len();
        if len > MOST_AT_ONCE {
            return Err(SocketError::MessageTooLong);
        }
        // what is larger than the whole buffer is taken when the buffer is empty, else it could never be sent
        let fits = len <= tcb.send_room() as usize || tcb.tx.len() == 0;
        let fits = fits && tcb.unsent_room() > 0;
        if !fits || (full && tcb.tx.len() > 0) {
            tcb.wants_room = true;
            return Err(SocketError::WouldBlock);
        }
        tcb.begin_to_send(cx);
        tcb.tx.push_bytes(data);
        self.sent(id, len, cx);
        Ok(())
    }
    /// The connection, if it may send.
    fn sender(&mut self, id: ConnId) -> Result<&mut Tcb, SocketError> {
        let conn = self.conn_mut(id).ok_or(SocketError::BadSocket)?;
        if let Some(error) = conn.ep_mut().error.take() {
            return Err(error);
        }
        match conn {
            Conn::Opening(opening) if opening.ep.state == State::Closed => {
                Err(SocketError::BrokenPipe)
            }
            Conn::Opening(_) => Err(SocketError::WouldBlock),
            Conn::Open(tcb) if tcb.ep.state.may_send() && !tcb.fin_queued => Ok(tcb),
            Conn::Open(_) => Err(SocketError::BrokenPipe),
        }
    }
    fn sent(&mut self, id: ConnId, len: usize, cx: &mut Cx<'_>) {
        if let Some(conn) = self.conn(id) {
            let (local, remote) = (conn.ep().local(), conn.ep().remote());
            cx.events.emit(cx.now, EventMask::SOCKET, || Event::Sent {
                local,
                remote,
                len: len as u32,
            });
        }
        self.settle(id, cx);
    }
    /// Copies out what is in order; 0 at the end of the stream; `WouldBlock`; `ConnectionReset` once after a RST.
    pub fn recv(
        &mut self,
        id: ConnId,
        out: &mut [u8],
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let Some(tcb) = self.reader(id)? else {
            return Ok(0);
        };
        let n = tcb.read(out, peek);
        if !peek {
            self.received(id, n, cx);
        }
        Ok(n)
    }
    /// So many bytes of what was received lie with whoever receives for a program, which has not read them.
    pub fn hold_back(&mut self, id: ConnId, bytes: u32) {
        if let Some(Conn::Open(tcb)) = self.conn_mut(id) {
            tcb.hold_back(bytes);
        }
    }
    /// As `recv`, without a copy: at most `max` bytes.
    pub fn recv_bytes(
        &mut self,
        id: ConnId,
        max: usize,
        cx: &mut Cx<'_>,
    ) -> Result<Bytes, SocketError> {
        let Some(tcb) = self.reader(id)? else {
            return Ok(Bytes::new());
        };
        let bytes = tcb.read_bytes(max);
        self.received(id, bytes.len(), cx);
        Ok(bytes)
    }
    /// The connection, if bytes wait; `None` at the end of the stream.
    fn reader(&mut self, id: ConnId) -> Result<Option<&mut Tcb>, SocketError> {
        match self.conn_mut(id).ok_or(SocketError::BadSocket)? {
            Conn::Open(tcb) => {
                if tcb.readable() > 0 {
                    return Ok(Some(tcb));
                }
                if let Some(error) = tcb.ep.error.take() {
                    return Err(error);
                }
                if tcb.ep.state.may_receive() && !tcb.read_shut {
                    return Err(SocketError::WouldBlock);
                }
                Ok(None)
            }
            Conn::Opening(opening) => match opening.ep.error.take() {
                Some(error) => Err(error),
                // As Linux: an opening that failed has told why; after that its stream is at its end.
                None if opening.ep.state == State::Closed => Ok(None),
                None => Err(SocketError::WouldBlock),
            },
        }
    }
    fn received(&mut self, id: ConnId, n: usize, cx: &mut Cx<'_>) {
        if n == 0 {
            return;
        }
        let Some(Conn::Open(tcb)) = self.conn_mut(id) else {
            return;
        };
        let (local, remote) = (tcb.ep.local(), tcb.ep.remote());
        cx.events
            .emit(cx.now, EventMask::SOCKET, || Event::Received {
                local,
                remote,
                len: n as u32,
            });
        tcb.size_after(n, cx.now);
        let (mss, clamp) = (tcb.receive_mss(), tcb.ep.options.window_clamp);
        if tcb.ep.state.may_receive() && tcb.rcv.should_update(mss, clamp) {
            tcb.ack.now();
        }
        if tcb.rcv.queued() == 0 {
            tcb.ack.all_read();
        }
        self.settle(id, cx);
    }
    /// FIN after what is queued.
    pub fn shutdown_write(&mut self, id: ConnId, cx: &mut Cx<'_>) -> Result<(), SocketError> {
        match self.conn_mut(id).ok_or(SocketError::BadSocket)? {
            Conn::Opening(_) => return Err(SocketError::NotConnected),
            Conn::Open(tcb) if tcb.ep.state == State::Closed => {
                return Err(SocketError::NotConnected);
            }
            Conn::Open(tcb) => tcb.queue_fin(cx),
        }
        self.settle(id, cx);
        Ok(())
    }
    /// Later reads end at once (as Linux does, data is still accepted and acknowledged until close).
    pub fn shutdown_read(&mut self, id: ConnId, cx: &mut Cx<'_>) -> Result<(), SocketError> {
        match self.conn_mut(id).ok_or(SocketError::BadSocket)? {
            Conn::Opening(_) => return Err(SocketError::NotConnected),
            Conn::Open(tcb) => {
                tcb.read_shut = true;
                tcb.ep.notify = true;
            }
        }
        self.settle(id, cx);
        Ok(())
    }
    /// The program is done: FIN after what is queued, or RST if unread data is left (RFC 2525 2.17). The handle dies.
    pub fn close(&mut self, id: ConnId, cx: &mut Cx<'_>) {
        let too_many = self.orphans >= self.config.max_orphans;
        let Some(conn) = self.orphan(id) else {
            return;
        };
        match conn {
            Conn::Opening(opening) => super::active::close(opening, cx),
            Conn::Open(tcb) => {
                let unread = tcb.rcv.discard();
                if unread && tcb.ep.state.is_synchronised() {
                    cx.count(Counter::TcpExtTcpAbortOnClose);
                    tcb.abort(cx);
                } else if too_many && tcb.ep.state != State::Closed {
                    cx.count(Counter::TcpExtTcpAbortOnMemory);
                    tcb.abort(cx);
                } else {
                    tcb.queue_fin(cx);
                }
            }
        }
        self.settle(id, cx);
    }
    /// RST now (SO_LINGER 0). The handle dies.
    pub fn abort(&mut self, id: ConnId, cx: &mut Cx<'_>) {
        let Some(conn) = self.orphan(id) else {
            return;
        };
        match conn {
            Conn::Opening(opening) => super::active::abandon(opening, cx),
            Conn::Open(tcb) => {
                tcb.rcv.discard();
                tcb.abort(cx);
            }
        }
        self.settle(id, cx);
    }
    /// The program's end is gone.
    fn orphan(&mut self, id: ConnId) -> Option<&mut Conn> {
        let was = self.conn(id)?.ep().orphan;
        self.orphans += usize::from(!was);
        let conn = self.conn_mut(id)?;
        conn.ep_mut().orphan = true;
        conn.ep_mut().owner = None;
        Some(conn)
    }
    /// Changes options; takes effect at once.
    pub fn set_options(&mut self, id: ConnId, options: Options, cx: &mut Cx<'_>) {
        let (receive, send) = (
            receive_space(&self.config, &options),
            send_space(&self.config, &options),
        );
        let shared = self.share(options);
        self.demux.note_device(options.device);
        let Some(conn) = self.conn_mut(id) else {
            return;
        };
        let old = core::mem::replace(&mut conn.ep_mut().options, shared);
        if let Conn::Open(tcb) = conn {
            if old.rcvbuf != options.rcvbuf {
                tcb.rcv.resize(receive);
            }
            tcb.ep.notify |= old.notsent_lowat != tcb.ep.options.notsent_lowat;
            if old.sndbuf != options.sndbuf {
                tcb.send_space = send;
                tcb.ep.notify = true;
            }
            if old.quickack != options.quickack {
                tcb.ack.prefer_quick(options.quickack);
            }
            if old.congestion != options.congestion {
                tcb.choose_controller(options.congestion, cx.now);
            }
            tcb.timers.keepalive = None;
        }
        self.settle(id, cx);
    }
}

impl Tcb {
    /// CLOSE (RFC 9293 3.10.4): no more will be sent after what is queued.
    fn queue_fin(&mut self, cx: &mut Cx<'_>) {
        if self.ep.state.may_send() && !self.fin_queued {
            self.fin_queued = true;
            self.ep.transition(Trigger::Close, cx);
        }
    }
    /// TCP_LINGER2 below zero: a connection without a program does not wait for the peer's FIN.
    pub(super) fn leave_at_once(&mut self, cx: &mut Cx<'_>) {
        cx.count(Counter::TcpExtTcpAbortOnLinger);
        self.abort(cx);
    }
    /// ABORT (RFC 9293 3.10.5).
    fn abort(&mut self, cx: &mut Cx<'_>) {
        let needs_reset = matches!(
            self.ep.state,
            State::Established | State::CloseWait | State::FinWait1 | State::FinWait2
        );
        self.reset_owed = needs_reset;
        self.ep.fail(None, cx);
        self.release();
    }
}
