//! The transmission control block: one connection in a synchronised state (RFC 9293 3.3.1).
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::SocketAddr;

use super::busy::Busy;
use super::congestion::{Controller, Window};
use super::delayed_ack::DelayedAck;
use super::demux::Pair;
use super::isn;
use super::keepalive::Keepalive;
use super::opening::Handshake;
use super::options::{Agreed, TIMESTAMPS_LEN};
use super::probe::Persist;
use super::receiver::{Receiver, Space};
use super::recovery::Recovery;
use super::recovery::scoreboard::Flight;
use super::rtt::Rtt;
use super::segment::Segment;
use super::sender::SendQueue;
use super::seq::SeqNum;
use super::states::{self, Trigger};
use super::tally::SmallCounts;
use super::validation::Usage;
use super::{Config, Options, State};
use crate::event::Event;
use crate::l1_physical::PortId;
use crate::l3_network::Path;
use crate::l4_transport::readiness::{Owner, Ready, SocketError};
use crate::time::Duration;
use crate::{Counter, Cx, EventMask, Instant};

/// What a connection remembers of its path.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The port that it leaves by.
    pub port: PortId,
    /// The largest packet, bytes.
    pub mtu: u32,
}

/// What an opening and a connection have in common: who they are, whose, and where they stand in the host's lists.
#[derive(Debug)]
pub struct Endpoint {
    pub generation: u32,
    pub ends: Pair,
    pub path: Way,
    /// Shared by all that chose the same as their listener, or nothing.
    pub options: Arc<Options>,
    pub owner: Option<Owner>,
    /// The listener whose accept queue it waits in.
    pub listener: Option<u32>,
    pub state: State,
    /// The error that the program will be told.
    pub error: Option<SocketError>,
    /// What the network said; told if the connection times out.
    pub soft_error: Option<SocketError>,
    /// The program's handle is gone.
    pub orphan: bool,
    /// Readiness may have changed since it was last told.
    pub notify: bool,
    pub in_ready: bool,
    pub in_output: bool,
    /// The earliest entry of the agenda that speaks of it.
    pub armed: Option<Instant>,
}

impl From<Path> for Way {
    fn from(path: Path) -> Self {
        Self {
            port: path.port,
            mtu: path.mtu,
        }
    }
}

impl Endpoint {
    /// A new one in CLOSED.
    pub fn new(
        (local, remote): (SocketAddr, SocketAddr),
        path: Way,
        options: Arc<Options>,
        generation: u32,
    ) -> Self {
        Self {
            generation,
            ends: Pair::new(local, remote),
            path,
            options,
            owner: None,
            listener: None,
            state: State::Closed,
            error: None,
            soft_error: None,
            orphan: false,
            notify: false,
            in_ready: false,
            in_output: false,
            armed: None,
        }
    }
    /// Our end.
    pub fn local(&self) -> SocketAddr {
        self.ends.local()
    }
    /// Theirs.
    pub fn remote(&self) -> SocketAddr {
        self.ends.remote()
    }
    /// Moves by the table; returns whether there was a way.
    pub fn transition(&mut self, trigger: Trigger, cx: &mut Cx<'_>) -> bool {
        match states::next(self.state, trigger) {
            Some(to) => {
                self.enter(to, cx);
                true
            }
            None => false,
        }
    }
    /// The end by reset, abort or timeout.
    pub fn fail(&mut self, error: Option<SocketError>, cx: &mut Cx<'_>) {
        match self.state {
            State::Established | State::CloseWait => cx.count(Counter::TcpEstabResets),
            State::SynSent | State::SynReceived => cx.count(Counter::TcpAttemptFails),
            _ => {}
        }
        self.enter(State::Closed, cx);
        if self.error.is_none() {
            self.error = error;
        }
    }
    fn enter(&mut self, to: State, cx: &mut Cx<'_>) {
        let from = self.state;
        if from == to {
            return;
        }
        self.state = to;
        self.notify = true;
        tell_state((self.local(), self.remote()), from, to, cx);
    }
}

/// Tells those who watch of a transition.
pub fn tell_state(
    (local, remote): (SocketAddr, SocketAddr),
    from: State,
    to: State,
    cx: &mut Cx<'_>,
) {
    cx.events
        .emit(cx.now, EventMask::TCP_STATE, || Event::TcpState {
            local,
            remote,
            from,
            to,
        });
}

/// The send sequence space (RFC 9293 3.3.1).
#[derive(Clone, Copy, Debug)]
pub struct Snd {
    pub iss: SeqNum,
    pub una: SeqNum,
    pub nxt: SeqNum,
    pub wnd: u32,
    pub wl1: SeqNum,
    pub wl2: SeqNum,
    /// The largest window ever offered.
    pub max_wnd: u32,
    /// End of the last segment below MSS (Minshall's variant of Nagle's rule).
    pub sml: SeqNum,
}

/// RFC 7323's variables.
#[derive(Clone, Copy, Debug)]
pub struct Timestamps {
    /// Added to the millisecond clock.
    pub offset: u32,
    /// TS.Recent
    pub recent: u32,
    pub recent_at: Instant,
}

/// When something is due. What is `None` is off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    /// RFC 6298.
    pub rto: Option<Instant>,
    /// RFC 8985 7.2.
    pub probe_timeout: Option<Instant>,
    /// RFC 8985 6.3.
    pub reordering: Option<Instant>,
    /// RFC 9293 3.8.6.1.
    pub persist: Option<Instant>,
    /// RFC 9293 3.8.4.
    pub keepalive: Option<Instant>,
    /// FIN-WAIT-2 without a program; or the end of TCP_CORK's patience.
    pub linger: Option<Instant>,
    pub cork: Option<Instant>,
}
impl Timers {
    /// The next.
    pub fn next(&self) -> Option<Instant> {
        let Self {
            rto,
            probe_timeout,
            reordering,
            persist,
            keepalive,
            linger,
            cork,
        } = *self;
        [
            rto,
            probe_timeout,
            reordering,
            persist,
            keepalive,
            linger,
            cork,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Tcb {
    pub ep: Endpoint,
    pub agreed: Agreed,
    pub snd: Snd,
    pub rcv: Receiver,
    pub tx: SendQueue,
    /// Text came with the SYN, or was acknowledged with ours.
    pub syn_data: bool,
    /// A FIN follows what is queued.
    pub fin_queued: bool,
    /// A RST is to be sent: the state is CLOSED already.
    pub reset_owed: bool,
    /// Sequence number of a FIN that came before the text in front of it.
    pub fin_ahead: Option<SeqNum>,
    /// The program reads no more.
    pub read_shut: bool,
    pub flight: Flight,
    pub recovery: Recovery,
    pub rtt: Rtt,
    pub window: Window,
    pub usage: Usage,
    pub controller: Controller,
    pub ts: Timestamps,
    pub ack: DelayedAck,
    pub timers: Timers,
    pub persist: Persist,
    pub keepalive: Keepalive,
    /// The tail loss probe is due.
    pub tail_probe: bool,
    pub last_sent: Instant,
    /// When the oldest text that is not acknowledged left, or the last ACK of new text came.
    pub unanswered_since: Instant,
    /// TCP_CORK has held back long enough.
    pub cork_over: bool,
    /// The program was told to wait with sending.
    pub wants_room: bool,
    /// When a challenge ACK or an answer to a stray segment last left.
    pub last_stray: Option<Instant>,
    /// Bytes that may wait to be sent, and the bound of their growth.
    pub send_space: Space,
    /// Counts, while they are few.
    pub counts: SmallCounts,
    /// What silent connections do without.
    pub busy: Option<Box<Busy>>,
    /// What was last added to the host's account.
    pub charged: u32,
}

impl Tcb {
    /// A connection whose SYNs have been exchanged; its state is the endpoint's.
    pub fn new(ep: Endpoint, shake: &Handshake, config: &Config, now: Instant) -> Self {
        let Handshake {
            iss,
            irs,
            agreed,
            wnd,
            edge,
            ts_recent,
            ts_offset,
            sent_at: _,
            resent: _,
            greeting: _,
        } = *shake;
        let una = iss + 1;
        let mss = payload_mss(&agreed);
        let (rtt, window) = measured(shake, u32::from(mss), now);
        let which = ep.options.congestion;
        let controller = Controller::new(which, &window, rtt.srtt(), now);
        let nxt = irs + 1;
        let space = receive_space(config, &ep.options);
        let mut tcb = Self {
            snd: Snd {
                iss,
                una,
                nxt: una,
                wnd,
                wl1: irs,
                wl2: iss,
                max_wnd: wnd,
                sml: una,
            },
            rcv: Receiver::new(nxt, edge, agreed.rcv_scale, space),
            tx: SendQueue::default(),
            syn_data: false,
            fin_queued: false,
            reset_owed: false,
            fin_ahead: None,
            read_shut: false,
            flight: Flight::default(),
            recovery: Recovery::new(iss),
            rtt,
            window,
            usage: Usage::new(una, config.slow_start_after_idle),
            controller,
            ts: Timestamps {
                offset: ts_offset,
                recent: ts_recent,
                recent_at: now,
            },
            ack: DelayedAck::new(nxt),
            timers: Timers::default(),
            persist: Persist::default(),
            keepalive: Keepalive::new(now),
            tail_probe: false,
            last_sent: now,
            unanswered_since: now,
            cork_over: false,
            wants_room: false,
            last_stray: None,
            send_space: send_space(config, &ep.options),
            // the SYN or SYN,ACK, the peer's, and that it arrived
            counts: [1, 1, 0, 0, 1],
            busy: None,
            charged: 0,
            agreed,
            ep,
        };
        tcb.begin_search(config, now);
        tcb.prepare_model();
        tcb
    }

    /// SMSS: text that a frame carries beside its usual options.
    pub fn mss(&self) -> u32 {
        u32::from(payload_mss(&self.agreed))
    }
    /// Text that a frame carries now, with the SACK blocks that an ACK would need.
    pub fn frame_mss(&self) -> u32 {
        let sack = if self.agreed.sack {
            self.rcv.sack_len(self.agreed.timestamps)
        } else {
            0
        };
        let taken = u32::from(sack + self.counters_len());
        self.mss().saturating_sub(taken).max(1)
    }
    /// What the peer's full segments seem to be, for windows.
    pub fn receive_mss(&self) -> u32 {
        self.ack.rcv_mss().min(self.mss())
    }
    /// The first sequence number after all text that is queued.
    pub fn text_end(&self) -> SeqNum {
        self.snd.una + self.tx.len()
    }
    /// Whether our FIN has left.
    pub fn fin_sent(&self) -> bool {
        self.fin_queued && self.snd.nxt.after(self.text_end())
    }
    /// Text that has never left.
    pub fn unsent(&self) -> u32 {
        let end = self.text_end();
        if end.after(self.snd.nxt) {
            end.since(self.snd.nxt)
        } else {
            0
        }
    }
    /// RFC 6675's pipe; without SACK each duplicate ACK stands for a segment that left the network.
    pub fn pipe(&self) -> u32 {
        let pipe = self.flight.pipe();
        if self.agreed.sack {
            pipe
        } else {
            pipe.saturating_sub(self.recovery.dupacks.saturating_mul(self.window.mss))
        }
    }
    /// Free bytes of the send buffer.
    pub fn send_room(&self) -> u32 {
        self.send_space.initial.saturating_sub(self.tx.len())
    }
    /// Bytes that may join those not yet sent (TCP_NOTSENT_LOWAT).
    pub fn unsent_room(&self) -> u32 {
        self.lowat().saturating_sub(self.unsent())
    }
    /// Linux's sk_stream_is_writeable: a third of the buffer is free, and what was not sent is less than half of its bound.
    pub fn is_writable(&self) -> bool {
        let room = self.send_room() >= self.send_space.initial / 3;
        room && self.unsent() <= self.lowat().saturating_sub(1) / 2
    }
    fn lowat(&self) -> u32 {
        match self.ep.options.notsent_lowat {
            0 => u32::MAX,
            bound => bound,
        }
    }
    /// Memory that it holds for its peer and its program.
    pub fn charge(&self) -> usize {
        self.rcv.charge() + self.tx.len() as usize
    }
    /// What the program may do.
    pub fn ready(&self) -> Ready {
        let mut ready = Ready::NONE;
        let ended = !self.ep.state.may_receive();
        if self.readable() > 0 || ended || self.read_shut {
            ready |= Ready::READABLE;
        }
        if ended || self.read_shut {
            ready |= Ready::READ_CLOSED;
        }
        let finished = !self.ep.state.may_send();
        if finished || self.is_writable() {
            ready |= Ready::WRITABLE;
        }
        let both = self.ep.state == State::Closed || (self.read_shut && self.fin_queued);
        if both || (ended && finished) {
            ready |= Ready::HANG_UP;
        }
        if self.has_urgent() {
            ready |= Ready::URGENT;
        }
        if self.ep.error.is_some() {
            ready |= Ready::ERROR;
        }
        ready
    }
    /// The connection ends without a farewell.
    pub fn fail(&mut self, error: SocketError, cx: &mut Cx<'_>) {
        self.ep.fail(Some(error), cx);
        self.release();
    }
    /// Nothing will be sent any more.
    pub fn release(&mut self) {
        self.tx.clear();
        self.flight = Flight::default();
        self.timers = Timers::default();
        self.tail_probe = false;
    }
    /// Of a SYN that left more than once only an echo tells which one was answered.
    pub fn sample_handshake(&mut self, shake: &Handshake, seg: &Segment, now: Instant) {
        if shake.resent
            && let Some(elapsed) = self.echoed(seg, now)
        {
            self.rtt.sample(elapsed);
        }
    }
    /// How long ago the segment left that this one echoes.
    pub fn echoed(&self, seg: &Segment, now: Instant) -> Option<Duration> {
        let (_, echo) = seg.options.timestamps.filter(|_| self.agreed.timestamps)?;
        let elapsed = isn::timestamp(now, self.ts.offset).wrapping_sub(echo);
        let plausible = echo != 0 && elapsed < 120_000;
        plausible.then(|| Duration::from_millis(u64::from(elapsed.max(1))))
    }
    /// Whether the path can be trusted to keep its round trip (for receive sizing).
    pub fn round_trip(&self) -> Duration {
        self.rtt.srtt().unwrap_or(Duration::from_millis(100))
    }
}

/// What the handshake measured, and the window that sending begins with.
fn measured(shake: &Handshake, mss: u32, now: Instant) -> (Rtt, Window) {
    let mut rtt = Rtt::default();
    let mut window = Window::initial(mss);
    if shake.resent {
        //= rfc5681#3.1
        //# if the SYN or SYN/ACK is lost, the initial window used by a sender after a correctly transmitted SYN MUST be one segment
        window.cwnd = mss;
        rtt.note_lost_syn();
    } else if let Some(sent_at) = shake.sent_at {
        rtt.sample(now.since(sent_at));
    }
    (rtt, window)
}

fn payload_mss(agreed: &Agreed) -> u16 {
    if agreed.timestamps {
        agreed.mss.saturating_sub(TIMESTAMPS_LEN).max(1)
    } else {
        agreed.mss
    }
}

/// Half of the memory is window: the other half is what segments cost besides their text.
pub fn receive_space(config: &Config, options: &Options) -> Space {
    if options.rcvbuf > 0 {
        let fixed = options.rcvbuf / 2;
        return Space {
            initial: fixed,
            most: fixed,
        };
    }
    Space {
        initial: config.rmem.0 / 2,
        most: match config.moderate_rcvbuf {
            true => config.rmem.1 / 2,
            false => config.rmem.0 / 2,
        },
    }
}

/// As [`receive_space`], for sending.
pub fn send_space(config: &Config, options: &Options) -> Space {
    if options.sndbuf > 0 {
        return Space {
            initial: options.sndbuf,
            most: options.sndbuf,
        };
    }
    Space {
        initial: config.wmem.0,
        most: config.wmem.1,
    }
}
