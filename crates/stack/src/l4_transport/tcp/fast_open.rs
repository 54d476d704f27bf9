//! Fast Open (RFC 7413): text rides on a SYN, and a listener that knows the sender by a cookie hands it on before the handshake is over.
//!
//! ```text
//!   first      SYN, asks  ───▶   ◀─── SYN,ACK with a cookie          the client keeps it, with the server's MSS
//!   later      SYN, cookie, text ───▶  acceptable and readable at once  ◀─── SYN,ACK of SYN and text; text may follow
//! ```
//!
//! A server's connection is in ESTABLISHED from the first on, with a [`LateHandshake`] beside it, and shown as SYN-RECEIVED.
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use heptad_wire::tcp::{Flags, TcpOption, TcpOptions};
use siphasher::sip::SipHasher24;

use super::arrives::{self, Host};
use super::busy::Busy;
use super::ecn;
use super::isn::Secrets;
use super::listener::Knock;
use super::opening::{Handshake, Opening, syn_timeout};
use super::options::{Offer, SegmentOptions, mss_limit};
use super::segment::{Outgoing, Segment};
use super::tcb::Tcb;
use super::{Config, Conn, ConnId, State, Tcp};
use crate::l3_network::{Departure, Up};
use crate::l4_transport::readiness::{Owner, SocketError};
use crate::time::Duration;
use crate::{Counter, Cx, Instant};

/// Hosts whose cookies are kept; of more the one that was longest unused goes.
const MOST_KNOWN: usize = 1024;
/// Room that a SYN with text leaves for options.
const OPTIONS: u16 = 40;
/// So long a connection that was reset before its handshake was over counts in its listener's queue (RFC 7413 5.1).
const AFTER_A_RESET: Duration = Duration::from_secs(60);

/// Who may use Fast Open (tcp_fastopen).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenModes {
    /// 1: clients ask for cookies and use them.
    pub client: bool,
    /// 2: listeners with a queue for it give cookies and take text.
    pub server: bool,
    /// 4: clients send text without a cookie.
    pub client_without_cookie: bool,
    /// 0x200: listeners take text without a cookie.
    pub server_without_cookie: bool,
    /// 0x400: all listeners have a queue, as long as their backlog.
    pub all_listeners: bool,
}
impl FastOpenModes {
    /// By Linux's bits.
    pub const fn of(bits: u32) -> Self {
        Self {
            client: bits & 1 != 0,
            server: bits & 2 != 0,
            client_without_cookie: bits & 4 != 0,
            server_without_cookie: bits & 0x200 != 0,
            all_listeners: bits & 0x400 != 0,
        }
    }
}
impl Default for FastOpenModes {
    fn default() -> Self {
        Self::of(1)
    }
}

/// What a Fast Open option carries; an empty one asks for a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    bytes: [u8; 16],
    len: u8,
}
impl Cookie {
    /// The one of an option; `None`: too long.
    pub fn read(data: &[u8]) -> Option<Self> {
        let mut cookie = Self::default();
        cookie.bytes.get_mut(..data.len())?.copy_from_slice(data);
        cookie.len = data.len() as u8;
        Some(cookie)
    }
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
    fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Adds the option, and what fills its last word.
    pub fn write(&self, options: &mut TcpOptions) {
        if !options.push(TcpOption::FastOpen(self.as_bytes())) {
            return;
        }
        while !options.as_bytes().len().is_multiple_of(4) {
            options.push(TcpOption::Nop);
        }
    }
}

/// A server as its clients remember it.
#[derive(Clone, Copy, Debug)]
struct Known {
    cookie: Cookie,
    mss: u16,
    used: u64,
}

/// A host's key and the cookies that it was given.
pub struct FastOpen {
    key: (u64, u64),
    known: BTreeMap<IpAddr, Known>,
    uses: u64,
}
impl FastOpen {
    /// Knows nobody.
    pub fn new(config: &Config, secrets: &Secrets) -> Self {
        let key = config.fast_open_key;
        Self {
            key: key.unwrap_or_else(|| secrets.derive("Fast Open")),
            known: BTreeMap::new(),
            uses: 0,
        }
    }
    /// The cookie of a client (RFC 7413 4.1.2), as Linux makes it: SipHash-2-4 of both addresses.
    fn cookie_of(&self, client: IpAddr, server: IpAddr) -> Cookie {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        for ip in [client, server] {
            match ip {
                IpAddr::V4(ip) => hasher.write(&ip.octets()),
                IpAddr::V6(ip) => hasher.write(&ip.octets()),
            }
        }
        Cookie::read(&hasher.finish().to_le_bytes()).unwrap_or_default()
    }
    fn recall(&mut self, server: IpAddr) -> Option<(Cookie, u16)> {
        self.uses += 1;
        let known = self.known.get_mut(&server)?;
        known.used = self.uses;
        Some((known.cookie, known.mss))
    }
    /// Keeps a server's cookie and its MSS (RFC 7413 4.1.3).
    fn remember(&mut self, server: IpAddr, cookie: Cookie, mss: u16) {
        self.uses += 1;
        if self.known.len() >= MOST_KNOWN && !self.known.contains_key(&server) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.used);
            if let Some(ip) = oldest.map(|(ip, _)| *ip) {
                self.known.remove(&ip);
            }
        }
        let used = self.uses;
        self.known.insert(server, Known { cookie, mss, used });
    }
}

/// What a SYN of ours carries.
#[derive(Debug, Default)]
pub struct Ride {
    /// `None`: no option.
    pub cookie: Option<Cookie>,
    /// What the program gave.
    pub text: Vec<u8>,
    /// The SYN waits for text (TCP_FASTOPEN_CONNECT).
    pub deferred: bool,
}

/// What a listener counts of its connections whose handshake is not over.
#[derive(Debug, Default)]
pub struct FastQueue {
    open: usize,
    /// Of those that were reset: when they count no more.
    resets: VecDeque<Instant>,
}

/// The rest of a handshake whose connection is in use already.
#[derive(Debug)]
pub struct LateHandshake {
    listener: u32,
    /// Tells a later listener in the same slot from the one that is meant.
    of: Owner,
    shake: Handshake,
    offer_mss: u16,
    wnd: u16,
    retries: u8,
    sent_at: Instant,
    due: Instant,
    /// The SYN,ACK waits to leave.
    wants: bool,
    over: bool,
    reset: bool,
}

/// What a listener does about a SYN.
pub(super) enum Wish {
    Plain,
    /// It gives this cookie.
    Cookie(Cookie),
    /// It takes the text.
    Open,
}

impl Tcp {
    // ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// What the Fast Open option of a SYN, or its text, comes to.
    pub(super) fn fast_open_wish(
        &mut self,
        index: u32,
        knock: &Knock<'_>,
        seg: &Segment,
        cx: &mut Cx<'_>,
    ) -> Wish {
        let (modes, given) = (self.config.fast_open, seg.options.fast_open);
        if given.is_some_and(|cookie| cookie.is_empty()) {
            cx.count(Counter::TcpExtTcpFastOpenCookieReqd);
        }
        let asks = seg.len() > 1 || given.is_some();
        if !modes.server || !asks || !self.has_fast_room(index, cx) {
            return Wish::Plain;
        }
        if modes.server_without_cookie {
            return Wish::Open;
        }
        let Some(given) = given else {
            return Wish::Plain;
        };
        let (client, server) = (knock.remote.ip(), knock.local.ip());
        let valid = self.fast_open.cookie_of(client, server);
        if given == valid {
            return Wish::Open;
        }
        // RFC 7413 4.2.2: the text is left alone, and a good cookie goes back
        if !given.is_empty() {
            cx.count(Counter::TcpExtTcpFastOpenPassiveFail);
        }
        Wish::Cookie(valid)
    }
    /// Whether one more may be in use before the end of its handshake (RFC 7413 5.1).
    fn has_fast_room(&mut self, index: u32, cx: &mut Cx<'_>) -> bool {
        let all = self.config.fast_open.all_listeners;
        let somaxconn = self.config.somaxconn;
        let Some(listener) = self.listeners.get_mut(index as usize) else {
            return false;
        };
        let most = match listener.options.fast_open {
            0 if all => listener.backlog,
            most => most,
        };
        let most = most.min(somaxconn) as usize;
        let queue = &mut listener.fast;
        if most == 0 {
            return false;
        }
        if queue.open + queue.resets.len() < most {
            return true;
        }
        if queue.resets.front().is_some_and(|until| *until <= cx.now) {
            queue.resets.pop_front();
            return true;
        }
        cx.count(Counter::TcpExtTcpFastOpenListenOverflow);
        false
    }
    /// A connection that may be accepted at once, with the text of its SYN.
    pub(super) fn open_fast(
        &mut self,
        opening: &Opening,
        mut seg: Segment,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        let mut shake = opening.shake;
        shake.sent_at = None;
        let path = opening.path.into();
        let id = self.new_passive(opening.listener, opening.ends(), path, &shake, cx);
        let host = Host {
            config: &self.config,
            full: self.memory >= self.config.memory,
        };
        let made = id.and_then(|id| Some((id, self.conns.get_mut(id.index as usize)?)));
        let listener = self.listeners.get_mut(opening.listener as usize);
        let (Some((id, Conn::Open(tcb))), Some(listener)) = (made, listener) else {
            return Up::Drop(crate::DropReason::TcpNoSocket, None);
        };
        listener.fast.open += 1;
        cx.count(Counter::TcpExtTcpFastOpenPassive);
        tcb.busy().late = Some(Box::new(LateHandshake {
            listener: opening.listener,
            of: listener.owner,
            shake,
            offer_mss: opening.offer_mss,
            wnd: opening.wnd,
            retries: 0,
            sent_at: cx.now,
            due: cx.now + syn_timeout(0),
            wants: true,
            over: false,
            reset: false,
        }));
        tcb.syn_data = seg.text_len > 0;
        seg.flags = seg.flags.without(Flags::SYN);
        seg.seq += 1;
        arrives::with_a_syn(tcb, seg, &host, cx);
        self.settle(id, cx);
        Up::Done
    }
    /// A handshake that was late is over, or its connection is: the listener's queue has room again.
    pub(super) fn end_fast_open(&mut self, id: ConnId, now: Instant) {
        let Some(Conn::Open(tcb)) = self.conns.get_mut(id.index as usize) else {
            return;
        };
        let closed = tcb.ep.state == State::Closed;
        let late = tcb.busy.as_mut().and_then(|busy| {
            let late = &mut busy.late;
            late.take_if(|late| late.over || closed)
        });
        let Some(late) = late else {
            return;
        };
        let listener = self.listeners.get_mut(late.listener as usize);
        let Some(listener) = listener.filter(|listener| listener.owner == late.of) else {
            return;
        };
        listener.fast.open = listener.fast.open.saturating_sub(1);
        if late.reset {
            listener.fast.resets.push_back(now + AFTER_A_RESET);
        }
    }

    // ── clients ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// Whether clients may (tcp_fastopen).
    pub fn opens_fast(&self) -> bool {
        self.config.fast_open.client
    }
    /// Lets text ride on the SYN of a connection that `connect` just made; how much it takes. Without a cookie it asks for one.
    pub fn ride(&mut self, id: ConnId, data: &[u8], cx: &mut Cx<'_>) -> usize {
        let Some((cookie, space)) = self.fast_cookie(id) else {
            return 0;
        };
        let taken = data.len().min(usize::from(space));
        let text = data.get(..taken).unwrap_or(data);
        if let Some(Conn::Opening(opening)) = self.conn_mut(id) {
            opening.ride = Some(Box::new(Ride {
                cookie,
                text: text.to_vec(),
                deferred: false,
            }));
            opening.sent_at = cx.now;
            opening.due = Some(cx.now + syn_timeout(0));
            opening.wants = true;
            self.settle(id, cx);
        }
        taken
    }
    /// Holds the SYN back until there is text for it (TCP_FASTOPEN_CONNECT), if there is a cookie; else it asks for one.
    pub fn defer_syn(&mut self, id: ConnId, cx: &mut Cx<'_>) -> bool {
        let may = self.fast_cookie(id).is_some_and(|(_, space)| space > 0);
        if !may {
            self.ride(id, &[], cx);
            return false;
        }
        if let Some(Conn::Opening(opening)) = self.conn_mut(id) {
            opening.ride = Some(Box::new(Ride {
                deferred: true,
                ..Ride::default()
            }));
            opening.wants = false;
            opening.due = None;
            opening.ep.notify = true;
        }
        self.settle(id, cx);
        true
    }
    /// Text for a SYN that waits for it; `None`: none does.
    pub(super) fn send_on_syn(
        &mut self,
        id: ConnId,
        data: &[u8],
        cx: &mut Cx<'_>,
    ) -> Option<Result<usize, SocketError>> {
        let Some(Conn::Opening(opening)) = self.conn_mut(id) else {
            return None;
        };
        opening.ride.as_ref().filter(|ride| ride.deferred)?;
        let taken = self.ride(id, data, cx);
        Some(match taken {
            0 if !data.is_empty() => Err(SocketError::InProgress),
            taken => Ok(taken),
        })
    }
    /// The option for a SYN, and the text that may ride on it.
    fn fast_cookie(&mut self, id: ConnId) -> Option<(Option<Cookie>, u16)> {
        let modes = self.config.fast_open;
        let ep = self.conn(id)?.ep();
        let (remote, local) = (ep.remote().ip(), ep.local().ip());
        let limit = mss_limit(ep.path.mtu, local, ep.options.maxseg);
        let room = |mss: u16| limit.min(mss).saturating_sub(OPTIONS);
        Some(match self.fast_open.recall(remote) {
            Some((cookie, mss)) => (Some(cookie), room(mss)),
            None if modes.client_without_cookie => (None, room(limit)),
            None => (Some(Cookie::default()), 0),
        })
    }
    /// What an answered SYN of ours taught.
    pub(super) fn learn_cookie(&mut self, remote: SocketAddr, theirs: &SegmentOptions) {
        let given = theirs.fast_open.filter(|cookie| !cookie.is_empty());
        if let Some(cookie) = given {
            let mss = theirs.mss.unwrap_or(super::options::DEFAULT_MSS);
            self.fast_open.remember(remote.ip(), cookie, mss);
        }
    }
}

impl Ride {
    /// What of the text the peer's answer leaves out is sent as if it had never left.
    pub fn hand_over(self, tcb: &mut Tcb, seg: &Segment, sent_at: Instant, cx: &mut Cx<'_>) {
        let len = self.text.len() as u32;
        if len == 0 {
            return;
        }
        tcb.tx.push(&self.text);
        let taken = seg.ack.since(tcb.snd.una).min(len);
        if taken > 0 {
            tcb.flight.push(tcb.snd.una, taken, sent_at, 0);
            tcb.snd.nxt += taken;
            tcb.snd.sml = tcb.snd.nxt;
        }
        tcb.syn_data = taken == len;
        cx.count(match tcb.syn_data {
            true => Counter::TcpExtTcpFastOpenActive,
            false => Counter::TcpExtTcpFastOpenActiveFail,
        });
    }
}

/// A handshake that is late, to be changed beside other parts of its connection.
fn late_of(busy: &mut Option<Box<Busy>>) -> Option<&mut LateHandshake> {
    busy.as_mut()?.late.as_deref_mut()
}

impl Tcb {
    fn late(&self) -> Option<&LateHandshake> {
        self.busy.as_ref()?.late.as_deref()
    }
    /// The state that is told: a server's connection is in use before its handshake is over.
    pub fn told_state(&self) -> State {
        match self.ep.state {
            State::Established if self.late().is_some() => State::SynReceived,
            state => state,
        }
    }
    /// Whether the handshake is not over.
    pub fn is_late(&self) -> bool {
        self.late().is_some_and(|late| !late.over)
    }
    /// Whether the SYN,ACK is to leave.
    pub fn owes_syn_ack(&self) -> bool {
        self.late().is_some_and(|late| late.wants && !late.over)
    }
    /// When the SYN,ACK leaves again.
    pub fn syn_ack_due(&self) -> Option<Instant> {
        self.late().filter(|late| !late.over).map(|late| late.due)
    }
    /// The peer sent its SYN again.
    pub fn repeat_syn_ack(&mut self, seg: &Segment, cx: &mut Cx<'_>) -> bool {
        let bare = seg.has(Flags::SYN) && !seg.has(Flags::ACK) && !seg.has(Flags::RST);
        let Some(late) = late_of(&mut self.busy).filter(|late| !late.over) else {
            return false;
        };
        if !bare || seg.seq != late.shake.irs {
            return false;
        }
        if super::challenge::allow_again(&mut self.last_stray, cx.now) {
            late.wants = true;
            cx.count(Counter::TcpExtTcpSynRetrans);
        }
        true
    }
    /// The connection was reset before its handshake was over.
    pub fn note_early_reset(&mut self) {
        if let Some(late) = late_of(&mut self.busy).filter(|late| !late.over) {
            late.reset = true;
        }
    }
    /// An ACK that would be refused in SYN-RECEIVED (RFC 9293 3.10.7.4).
    pub fn refuses_ack(&self, seg: &Segment) -> bool {
        let known = seg.ack.at_or_after(self.snd.una) && seg.ack.at_or_before(self.snd.nxt);
        self.is_late() && seg.has(Flags::ACK) && !seg.has(Flags::RST) && !known
    }
    /// The SYN,ACK was acknowledged.
    pub fn handshake_is_over(&mut self, seg: &Segment, cx: &mut Cx<'_>) {
        let Some(late) = late_of(&mut self.busy).filter(|late| !late.over) else {
            return;
        };
        late.over = true;
        let (sent_at, resent) = (late.sent_at, late.retries > 0);
        match self.echoed(seg, cx.now) {
            _ if !resent => self.rtt.sample(cx.now.since(sent_at)),
            Some(elapsed) => self.rtt.sample(elapsed),
            None => self.rtt.note_lost_syn(),
        }
        self.arm_retransmission(cx.now, true);
    }
    /// The SYN,ACK was not answered in time.
    pub fn on_syn_ack_timeout(&mut self, config: &Config, cx: &mut Cx<'_>) {
        // one more than others have, as on Linux
        let most = match self.ep.options.syn_count {
            0 => config.synack_retries + 1,
            count => u32::from(count),
        };
        let Some(late) = late_of(&mut self.busy).filter(|late| late.due <= cx.now) else {
            return;
        };
        if u32::from(late.retries) >= most {
            cx.count(Counter::TcpExtTcpAbortOnTimeout);
            self.fail(SocketError::TimedOut, cx);
            return;
        }
        late.retries += 1;
        late.due = cx.now + syn_timeout(late.retries);
        late.wants = true;
        late.shake.greeting.note_answer(late.retries);
        if late.shake.greeting.plain {
            self.note_plain_answer();
        }
        cx.count(Counter::TcpExtTcpSynRetrans);
        cx.count(Counter::TcpRetransSegs);
    }
    /// The SYN,ACK: it acknowledges the text of the SYN too.
    pub fn transmit_syn_ack(&mut self, cx: &mut Cx<'_>) -> Departure {
        let mut out = Outgoing::new(self.ep.local(), self.ep.remote(), &self.ep.options);
        out.ack = self.rcv.nxt;
        out.flags = Flags::SYN | Flags::ACK;
        let mut first = false;
        if let Some(late) = late_of(&mut self.busy) {
            out.flags = out.flags | late.shake.tells_of_marks(late.retries);
            first = late.retries == 0;
            late.wants = false;
            out.seq = late.shake.iss;
            out.wnd = late.wnd;
            out.options = Offer {
                mss: late.offer_mss,
                window_scale: self.agreed.scaling.then_some(self.agreed.rcv_scale),
                sack: self.agreed.sack,
                timestamps: late.shake.timestamps(cx.now),
            }
            .write();
        }
        if first {
            ecn::introduce(&mut out, self.agreed.ecn);
        }
        self.rcv.tell_plainly(out.wnd);
        self.ack.sent(self.rcv.nxt, false, cx.now);
        out.depart(Vec::new(), 1, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, EventLog, Rng};
    use heptad_wire::Pool;

    fn fresh() -> FastOpen {
        let secrets = Secrets::draw(&mut Cx {
            now: Instant::ZERO,
            rng: &mut Rng::from_seed([7; 32]),
            pool: &mut Pool::new(1),
            events: &mut EventLog::default(),
            counters: &mut Counters::default(),
        });
        FastOpen::new(&Config::default(), &secrets)
    }

    #[test]
    fn a_cookie_is_of_both_addresses_and_of_the_key() {
        let at = |text: &str| -> IpAddr { text.parse().unwrap() };
        let ours = fresh();
        let cookie = ours.cookie_of(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!(cookie.as_bytes().len(), 8);
        assert_ne!(cookie, ours.cookie_of(at("10.0.0.3"), at("10.0.0.2")));
        assert_ne!(cookie, ours.cookie_of(at("10.0.0.1"), at("10.0.0.4")));
        let other = FastOpen {
            key: (1, 2),
            ..fresh()
        };
        assert_ne!(cookie, other.cookie_of(at("10.0.0.1"), at("10.0.0.2")));
    }

    #[test]
    fn of_more_servers_than_are_kept_the_one_longest_unused_goes() {
        let mut ours = fresh();
        let at = |n: u32| IpAddr::V4(n.into());
        let cookie = Cookie::read(&[1; 8]).unwrap();
        for n in 0..MOST_KNOWN as u32 {
            ours.remember(at(n), cookie, 1460);
        }
        assert!(ours.recall(at(0)).is_some());
        ours.remember(at(1_000_000), cookie, 1460);
        assert_eq!(ours.known.len(), MOST_KNOWN);
        assert!(ours.recall(at(0)).is_some());
        assert!(ours.recall(at(1)).is_none());
    }
}
