//! Openings: small values for SYN-SENT and SYN-RECEIVED, and simultaneous open (RFC 9293 3.5).
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use heptad_wire::Chunk;
use heptad_wire::tcp::Flags;

use super::ecn::{self, Greeting};
use super::fast_open::Ride;
use super::options::{Agreed, MAX_SCALE, Offer, mss_limit, scale_for};
use super::segment::Outgoing;
use super::seq::SeqNum;
use super::tcb::{Endpoint, receive_space};
use super::{Config, Options};
use crate::l1_physical::PortId;
use crate::l3_network::Path;
use crate::l4_transport::readiness::SocketError;
use crate::time::Duration;
use crate::{Counter, Cx, Instant};

/// What both SYNs settled.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    pub iss: SeqNum,
    pub irs: SeqNum,
    pub agreed: Agreed,
    /// SND.WND: of a SYN, never scaled.
    pub wnd: u32,
    /// The right edge that our SYN told.
    pub edge: SeqNum,
    pub ts_recent: u32,
    pub ts_offset: u32,
    /// When our SYN or SYN,ACK left, where that is remembered.
    pub sent_at: Option<Instant>,
    /// It left more than once.
    pub resent: bool,
    /// What both SYNs told of marks.
    pub greeting: Greeting,
}

/// SYN-RECEIVED of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub generation: u32,
    pub listener: u32,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub path: Path,
    pub shake: Handshake,
    pub ttl: u8,
    pub tos: u8,
    /// As its listener has it.
    pub device: Option<PortId>,
    /// What our SYN,ACK tells.
    pub wnd: u16,
    pub offer_mss: u16,
    /// How often its time was up.
    pub retries: u8,
    /// Its handshake is over but for the text that the listener waits for (TCP_DEFER_ACCEPT).
    pub acked: bool,
    /// When the SYN,ACK leaves again.
    pub due: Instant,
    /// The SYN,ACK waits to leave again.
    pub wants: bool,
    pub in_output: bool,
    pub last_stray: Option<Instant>,
}

/// SYN-SENT, and SYN-RECEIVED of a simultaneous open.
#[derive(Debug)]
pub struct ActiveOpening {
    pub ep: Endpoint,
    pub iss: SeqNum,
    pub ts_offset: u32,
    pub wnd: u16,
    pub offer_mss: u16,
    pub scale: u8,
    /// What else the SYN carries (Fast Open).
    pub ride: Option<Box<Ride>>,
    /// Set once the peer's SYN came.
    pub shake: Option<Handshake>,
    pub sent_at: Instant,
    pub retries: u8,
    pub due: Option<Instant>,
    /// The SYN or SYN,ACK waits to leave.
    pub wants: bool,
    /// When something out of place was last answered.
    pub last_stray: Option<Instant>,
}

/// How long to wait after the n-th SYN: 1, 2, 4, ... seconds.
pub fn syn_timeout(retries: u8) -> Duration {
    Duration::from_secs(1 << retries.min(7)).min(super::rtt::MAX_RTO)
}

/// What our SYN tells: MSS, shift and window field.
pub fn our_offer(
    config: &Config,
    options: &Options,
    path: &Path,
    timestamps: bool,
) -> (u16, u8, u16) {
    let mss = mss_limit(path.mtu, path.src, options.maxseg);
    let space = receive_space(config, options);
    let largest = if options.rcvbuf > 0 {
        options.rcvbuf
    } else {
        config.rmem.1
    };
    let clamp = match options.window_clamp {
        0 => u32::MAX,
        clamp => clamp,
    };
    let scale = scale_for(largest.min(clamp)).min(MAX_SCALE);
    let initial = space.initial.min(clamp);
    let unit = u32::from(mss).saturating_sub(if timestamps { 12 } else { 0 });
    let field = if initial > unit {
        initial.min(65_535) / unit.max(1) * unit
    } else {
        initial
    };
    (mss, scale, field.min(65_535) as u16)
}

impl Opening {
    /// Ours, theirs.
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.local, self.remote)
    }
    fn bare(&self) -> Outgoing {
        Outgoing {
            ttl: self.ttl,
            tos: self.tos,
            device: self.device,
            ..Outgoing::new(self.local, self.remote, &Options::default())
        }
    }
    /// SYN,ACK.
    pub fn syn_ack(&self, config: &Config, now: Instant) -> Outgoing {
        let mut out = self.bare();
        write_syn_ack(&mut out, &self.shake, self.offer_mss, self.wnd, config, now);
        out.flags = out.flags | self.shake.tells_of_marks(self.retries);
        out
    }
    /// The end of an attempt that cannot come to anything.
    pub fn reset(&self) -> Outgoing {
        let mut out = self.bare();
        out.seq = self.shake.iss + 1;
        out.ack = self.shake.irs + 1;
        out.flags = Flags::RST | Flags::ACK;
        out
    }
    /// A bare ACK from here: an answer to a RST or segment that is not quite right.
    pub fn ack(&self, now: Instant) -> Outgoing {
        let mut out = self.bare();
        out.seq = self.shake.iss + 1;
        out.ack = self.shake.irs + 1;
        out.wnd = self.wnd >> self.shake.agreed.rcv_scale;
        out.options = super::options::data_options(self.shake.timestamps(now), &[]);
        out
    }
}

impl Handshake {
    /// What a SYN,ACK says of marks when it leaves for the `retries`-th time after the first.
    pub fn tells_of_marks(&self, retries: u8) -> Flags {
        ecn::answer(self.agreed.ecn, &self.greeting, retries)
    }
    /// TSval and TSecr, if agreed.
    pub fn timestamps(&self, now: Instant) -> Option<(u32, u32)> {
        self.agreed
            .timestamps
            .then(|| (super::isn::timestamp(now, self.ts_offset), self.ts_recent))
    }
}

/// Fills in a SYN,ACK.
pub fn write_syn_ack(
    out: &mut Outgoing,
    shake: &Handshake,
    mss: u16,
    wnd: u16,
    config: &Config,
    now: Instant,
) {
    out.seq = shake.iss;
    out.ack = shake.irs + 1;
    out.flags = Flags::SYN | Flags::ACK;
    out.wnd = wnd;
    out.options = Offer {
        mss,
        window_scale: shake.agreed.scaling.then_some(shake.agreed.rcv_scale),
        sack: shake.agreed.sack && config.sack,
        timestamps: shake.timestamps(now),
    }
    .write();
}

impl ActiveOpening {
    /// The SYN was not answered in time (RFC 9293 3.8.3: R2 for SYN).
    pub fn on_timeout(&mut self, config: &Config, cx: &mut Cx<'_>) {
        if self.due.is_none_or(|at| at > cx.now) {
            return;
        }
        let most = match (self.ep.options.syn_count, self.shake) {
            (0, Some(_)) => config.synack_retries,
            (0, None) => config.syn_retries,
            (count, _) => u32::from(count),
        };
        let user = self.ep.options.user_timeout;
        let late = !user.is_zero() && cx.now.since(self.sent_at) >= user;
        if u32::from(self.retries) >= most || late {
            cx.count(Counter::TcpExtTcpAbortOnTimeout);
            let error = self.ep.soft_error.unwrap_or(SocketError::TimedOut);
            super::active::fail(self, error, cx);
            return;
        }
        self.retries += 1;
        self.due = Some(cx.now + syn_timeout(self.retries));
        self.wants = true;
        cx.count(Counter::TcpExtTcpSynRetrans);
        cx.count(Counter::TcpRetransSegs);
    }
    /// Whether an ACK is of our SYN, and of text that rode on it.
    pub fn is_acked_by(&self, ack: SeqNum) -> bool {
        let text = self.ride.as_ref().map_or(0, |ride| ride.text.len() as u32);
        ack.after(self.iss) && ack.at_or_before(self.iss + 1 + text)
    }
    /// What of Fast Open a SYN carries: nothing, once it was not answered (RFC 7413 4.1.3.1, 4.2.2).
    fn rides(&self) -> Option<&Ride> {
        let first = self.retries == 0 && self.shake.is_none();
        self.ride.as_deref().filter(|_| first)
    }
    /// The text of a SYN.
    pub fn text(&self) -> Vec<Chunk> {
        match self.rides() {
            Some(ride) if !ride.text.is_empty() => [Chunk::copy_from(&ride.text)].into(),
            _ => Vec::new(),
        }
    }
    /// Gives its identity to the connection that it becomes.
    pub fn take_endpoint(&mut self) -> Endpoint {
        let ends = (self.ep.local(), self.ep.remote());
        let empty = Endpoint::new(
            ends,
            self.ep.path,
            Arc::clone(&self.ep.options),
            self.ep.generation,
        );
        core::mem::replace(&mut self.ep, empty)
    }
    /// SYN, or SYN,ACK once the peer's SYN came.
    pub fn syn(&self, config: &Config, now: Instant) -> Outgoing {
        let mut out = Outgoing::new(self.ep.local(), self.ep.remote(), &self.ep.options);
        if let Some(shake) = &self.shake {
            write_syn_ack(&mut out, shake, self.offer_mss, self.wnd, config, now);
            out.flags = out.flags | shake.tells_of_marks(0);
            return out;
        }
        out.seq = self.iss;
        out.flags = ecn::ask(config, self.retries);
        out.wnd = self.wnd;
        out.options = Offer {
            mss: self.offer_mss,
            window_scale: config.window_scaling.then_some(self.scale),
            sack: config.sack,
            timestamps: config
                .timestamps
                .then(|| (super::isn::timestamp(now, self.ts_offset), 0)),
        }
        .write();
        if let Some(cookie) = self.rides().and_then(|ride| ride.cookie) {
            cookie.write(&mut out.options);
        }
        out
    }
}
