//! `tracepath`: the way and how long a packet may be on it, hop by hop (RFC 1191, RFC 8201; the way of iputils).
//!
//! [`PathTracer`] is the machine: no socket, no clock. [`Node::tracepath`] gives it both.
//!
//! ```text
//!   a probe as long as the way may carry, DF set ─▶ too long: shorter, the same hop again
//!                                                ├▶ time exceeded: a router, the next hop
//!                                                └▶ port unreachable: the destination
//! ```
use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use std::io;

use heptad_stack::l4_transport::udp::Reported;
use heptad_stack::stack::SocketOption;
use heptad_stack::time::Duration;
use heptad_stack::{Cx, Instant, Ready, SocketError, SocketId, SocketKind, Stack};

use crate::Node;
use crate::ping::send;
use crate::socket::handle::Handle;

/// The first UDP port that probes go to.
pub const FIRST_PORT: u16 = 44_444;
/// Probes are told apart by so many ports.
const PORTS: u16 = 64;
/// How long an answer is waited for.
const WAIT: Duration = Duration::from_secs(1);
/// How often a hop is asked that does not answer.
const TRIES: u8 = 3;
/// How often a trace looks whether it should go on.
const LOOK: Duration = Duration::from_millis(100);
/// How long a packet is taken to be allowed to be at first, bytes.
const LONGEST: u32 = 65_535;

/// What a trace finds out, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEvent {
    /// Our own host does not send longer packets.
    Local {
        /// Of the hop that was to be asked.
        hop: u8,
        /// Bytes.
        mtu: u32,
    },
    /// Somebody answered.
    Hop {
        /// Which; the first is 1.
        hop: u8,
        /// Who.
        from: IpAddr,
        /// From probe to answer.
        rtt: Duration,
        /// What it means.
        what: PathAnswer,
    },
    /// Nobody answered.
    Silence {
        /// Which hop.
        hop: u8,
    },
    /// A program of the destination's answered: there is nothing to be learnt.
    Reply {
        /// Of the hop that was asked.
        hop: u8,
    },
    /// The last hop was asked, and it is not the destination.
    TooManyHops {
        /// What is known, bytes.
        mtu: u32,
    },
    /// What it came to; the last one.
    Resume {
        /// Bytes.
        mtu: u32,
        /// Hops to the destination, if it was reached.
        hops: Option<u8>,
        /// Hops back, by its TTL.
        back: Option<u8>,
    },
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathAnswer {
    /// A router on the way; `asymmetric`: the hops of the way back, if it seems to be another one.
    Router {
        /// How many.
        asymmetric: Option<u8>,
    },
    /// From here on packets may be so long only, bytes.
    Narrow(u32),
    /// The destination.
    Reached,
    /// There is no way on.
    Unreachable(SocketError),
}

/// A probe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathProbe {
    /// Its TTL.
    pub ttl: u8,
    /// Where to.
    pub port: u16,
    /// Bytes of the whole packet.
    pub len: u32,
}

/// The machine: what to send next, and what an answer means.
#[derive(Debug)]
pub struct PathTracer {
    max_hops: u8,
    mtu: u32,
    hop: u8,
    /// How often this hop was asked.
    tries: u8,
    /// Something became known of the MTU since the probe under way left: the hop is asked again.
    narrowed: bool,
    next_slot: u16,
    /// Which hop each port asked, and when; taken by the answer.
    asked: Vec<Option<(u8, Instant)>>,
    waits_until: Option<Instant>,
    events: VecDeque<PathEvent>,
    over: bool,
}
impl PathTracer {
    /// Nothing is sent yet. At most `max_hops` are asked.
    pub fn new(max_hops: u8) -> Self {
        Self {
            max_hops,
            mtu: LONGEST,
            hop: 1,
            tries: 0,
            narrowed: false,
            next_slot: 0,
            asked: vec![None; usize::from(PORTS)],
            waits_until: None,
            events: VecDeque::new(),
            over: false,
        }
    }
    /// The next probe, if none is under way.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<PathProbe> {
        if self.over || self.waits_until.is_some() {
            return None;
        }
        let slot = self.next_slot;
        self.next_slot = (slot + 1) % PORTS;
        self.asked[usize::from(slot)] = Some((self.hop, now));
        self.waits_until = Some(now + WAIT);
        Some(PathProbe {
            ttl: self.hop,
            port: FIRST_PORT + slot,
            len: self.mtu,
        })
    }
    /// The probe could not leave: packets of this host may be so long only.
    pub fn refused(&mut self, mtu: u32) {
        self.events
            .push_back(PathEvent::Local { hop: self.hop, mtu });
        self.waits_until = None;
        self.narrow(mtu);
    }
    fn narrow(&mut self, mtu: u32) {
        self.narrowed |= mtu != self.mtu;
        self.mtu = mtu;
    }
    /// An ICMP error about a probe.
    pub fn heard(&mut self, reported: &Reported) {
        let Some(told) = &reported.told else {
            return;
        };
        let slot = reported.remote.port().wrapping_sub(FIRST_PORT);
        let asked = self.asked.get_mut(usize::from(slot));
        let Some((hop, sent)) = asked.and_then(Option::take) else {
            return;
        };
        let back = hops_back(told.ttl);
        let what = match (reported.error, reported.mtu) {
            (_, Some(mtu)) => PathAnswer::Narrow(mtu),
            (SocketError::ConnectionRefused, _) => PathAnswer::Reached,
            (SocketError::HostUnreachable, _) if matches!(told.message.kind(), (11 | 3, 0)) => {
                let asymmetric = (back != hop).then_some(back);
                PathAnswer::Router { asymmetric }
            }
            (error, _) => PathAnswer::Unreachable(error),
        };
        self.events.push_back(PathEvent::Hop {
            hop,
            from: told.from,
            rtt: reported.at - sent,
            what,
        });
        if hop == self.hop {
            self.advance(what, back);
        }
    }
    /// A program answered: its bytes say nothing of the way.
    pub fn replied(&mut self) {
        self.events.push_back(PathEvent::Reply { hop: self.hop });
        self.resume(None, None);
    }
    /// What is due: the answer is too late.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.over || self.waits_until.is_none_or(|at| now < at) {
            return;
        }
        self.waits_until = None;
        self.tries += 1;
        if self.tries >= TRIES {
            self.events.push_back(PathEvent::Silence { hop: self.hop });
            self.next_hop();
        }
    }
    /// When that is.
    pub fn poll_at(&self) -> Option<Instant> {
        self.waits_until
    }
    /// What was found out.
    pub fn poll_event(&mut self) -> Option<PathEvent> {
        self.events.pop_front()
    }
    /// Nothing is left to be sent or to be waited for.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// After an answer to the probe under way.
    fn advance(&mut self, what: PathAnswer, back: u8) {
        self.waits_until = None;
        if let PathAnswer::Narrow(mtu) = what {
            self.narrow(mtu);
        }
        // As iputils: what was found with another length is asked again.
        if core::mem::take(&mut self.narrowed) {
            self.tries = 0;
            return;
        }
        match what {
            PathAnswer::Reached => self.resume(Some(self.hop), Some(back)),
            PathAnswer::Unreachable(_) => self.resume(None, None),
            PathAnswer::Router { .. } | PathAnswer::Narrow(_) => self.next_hop(),
        }
    }
    fn next_hop(&mut self) {
        self.tries = 0;
        if self.hop >= self.max_hops {
            let mtu = self.mtu;
            self.events.push_back(PathEvent::TooManyHops { mtu });
            return self.resume(None, None);
        }
        self.hop += 1;
    }
    fn resume(&mut self, hops: Option<u8>, back: Option<u8>) {
        self.over = true;
        let mtu = self.mtu;
        self.events.push_back(PathEvent::Resume { mtu, hops, back });
    }
}

/// How far the sender of a packet is that came with this TTL: it began with 64, 128 or 255.
fn hops_back(ttl: u8) -> u8 {
    match ttl {
        0..=64 => 65 - ttl,
        65..=128 => 129 - ttl,
        _ => (256 - u16::from(ttl)) as u8,
    }
}

impl Node {
    /// Traces the way to `to` and its MTU from this node, in lab time. `tell` hears what is found out, and with `None` several
    /// times a second; it is over when that returns false, or with [`PathEvent::Resume`].
    ///
    /// # Errors
    /// Those of a socket: no route, the network was stopped.
    pub fn tracepath(
        &self,
        to: IpAddr,
        max_hops: u8,
        mut tell: impl FnMut(Option<PathEvent>) -> bool,
    ) -> io::Result<()> {
        let handle = Handle::open(self, SocketAddr::new(to, 0), SocketKind::Datagram)?;
        handle.set(SocketOption::RecvErr(true))?;
        handle.set(SocketOption::DontFragment(true))?;
        let mut tracer = PathTracer::new(max_hops);
        loop {
            tracer.on_timeout(self.network().now());
            while let Some(event) = tracer.poll_event() {
                if !tell(Some(event)) {
                    return Ok(());
                }
            }
            if tracer.is_over() || !tell(None) {
                return Ok(());
            }
            let now = self.network().now();
            if let Some(probe) = tracer.poll_transmit(now) {
                send_probe(&handle, to, probe, &mut tracer)?;
            }
            let patience = tracer.poll_at().map_or(LOOK, |at| at - now);
            match hear(&handle, patience.clamp(Duration::from_nanos(1), LOOK)) {
                Ok(Some(reported)) => tracer.heard(&reported),
                Ok(None) => tracer.replied(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Sends a probe, or tells the tracer that this host does not send it, and how long it may be.
fn send_probe(
    handle: &Handle,
    to: IpAddr,
    probe: PathProbe,
    tracer: &mut PathTracer,
) -> io::Result<()> {
    handle.set(match to {
        IpAddr::V4(_) => SocketOption::Ttl(probe.ttl),
        IpAddr::V6(_) => SocketOption::Hops(probe.ttl),
    })?;
    let headers = match to {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    };
    let data = vec![0; (probe.len as usize).saturating_sub(headers)];
    let sent = send(handle, &data, SocketAddr::new(to, probe.port));
    let Err(error) = sent else {
        return Ok(());
    };
    let refused = handle.with(|stack, socket, cx| Ok(stack.recv_error(socket, cx)))?;
    let mtu = refused.filter(|r| r.told.is_none()).and_then(|r| r.mtu);
    match mtu {
        Some(mtu) if mtu < probe.len => {
            tracer.refused(mtu);
            Ok(())
        }
        _ => Err(error),
    }
}

/// An error about a probe; `None`: a datagram came.
fn hear(handle: &Handle, patience: Duration) -> io::Result<Option<Reported>> {
    let verb = |stack: &mut Stack, socket: SocketId, cx: &mut Cx<'_>| {
        if let Some(reported) = stack.recv_error(socket, cx) {
            return Ok(Some(reported));
        }
        stack.recv_from(socket, &mut [0; 1], cx).map(|_| None)
    };
    handle.wait("tracepath", Ready::READABLE, Some(patience), verb)
}

#[cfg(test)]
mod tests {
    use heptad_stack::l3_network::{IcmpError, Told};
    use heptad_stack::wire::icmpv4::{Icmpv4, Unreachable};

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }
    fn said(port: u16, message: Icmpv4, ttl: u8, millis: u64) -> Reported {
        let (error, mtu) = match message {
            Icmpv4::Unreachable(Unreachable::Port) => (SocketError::ConnectionRefused, None),
            Icmpv4::Unreachable(Unreachable::FragmentationNeeded { mtu }) => {
                (SocketError::MessageTooLong, Some(mtu.into()))
            }
            _ => (SocketError::HostUnreachable, None),
        };
        Reported {
            error,
            remote: SocketAddr::from(([10, 0, 9, 9], port)),
            told: Some(Told {
                from: IpAddr::from([10, 0, 0, 1]),
                message: IcmpError::V4(message),
                ttl,
                quoted: Default::default(),
                transport: 0,
            }),
            mtu,
            at: at(millis),
        }
    }
    fn events(tracer: &mut PathTracer) -> Vec<PathEvent> {
        core::iter::from_fn(|| tracer.poll_event()).collect()
    }
    fn probe(tracer: &mut PathTracer, millis: u64) -> (u8, u16, u32) {
        let probe = tracer.poll_transmit(at(millis)).expect("a probe");
        (probe.ttl, probe.port - FIRST_PORT, probe.len)
    }
    const EXCEEDED: Icmpv4 = Icmpv4::TimeExceeded { code: 0 };
    const REACHED: Icmpv4 = Icmpv4::Unreachable(Unreachable::Port);

    #[test]
    fn a_hop_that_was_asked_with_another_length_is_asked_again() {
        let mut tracer = PathTracer::new(30);
        assert_eq!(probe(&mut tracer, 0), (1, 0, 65_535));
        tracer.refused(1_500);
        assert_eq!(probe(&mut tracer, 0), (1, 1, 1_500));
        tracer.heard(&said(FIRST_PORT + 1, EXCEEDED, 64, 5));
        assert_eq!(probe(&mut tracer, 5), (1, 2, 1_500));
        tracer.heard(&said(FIRST_PORT + 2, EXCEEDED, 64, 9));
        assert_eq!(probe(&mut tracer, 9), (2, 3, 1_500));
        let narrow = Unreachable::FragmentationNeeded { mtu: 1_280 };
        tracer.heard(&said(FIRST_PORT + 3, Icmpv4::Unreachable(narrow), 64, 12));
        assert_eq!(probe(&mut tracer, 12), (2, 4, 1_280));
        tracer.heard(&said(FIRST_PORT + 4, REACHED, 62, 20));
        let hop = |hop, millis, what| PathEvent::Hop {
            hop,
            from: IpAddr::from([10, 0, 0, 1]),
            rtt: Duration::from_millis(millis),
            what,
        };
        let router = PathAnswer::Router { asymmetric: None };
        let expected = [
            PathEvent::Local { hop: 1, mtu: 1_500 },
            hop(1, 5, router),
            hop(1, 4, router),
            hop(2, 3, PathAnswer::Narrow(1_280)),
            hop(2, 8, PathAnswer::Reached),
            PathEvent::Resume {
                mtu: 1_280,
                hops: Some(2),
                back: Some(3),
            },
        ];
        assert_eq!(events(&mut tracer), expected);
        assert!(tracer.is_over() && tracer.poll_transmit(at(20)).is_none());
    }

    #[test]
    fn three_silent_seconds_a_hop_and_then_the_next_one() {
        let mut tracer = PathTracer::new(2);
        for second in 0..6 {
            probe(&mut tracer, second * 1_000);
            tracer.on_timeout(at(second * 1_000 + 999));
            assert_eq!(tracer.poll_transmit(at(0)), None);
            tracer.on_timeout(at(second * 1_000 + 1_000));
        }
        let mtu = 65_535;
        let expected = [
            PathEvent::Silence { hop: 1 },
            PathEvent::Silence { hop: 2 },
            PathEvent::TooManyHops { mtu },
            PathEvent::Resume {
                mtu,
                hops: None,
                back: None,
            },
        ];
        assert_eq!(events(&mut tracer), expected);
    }

    #[test]
    fn a_way_back_of_another_length_is_told_and_a_late_answer_does_not_skip_a_hop() {
        let mut tracer = PathTracer::new(30);
        for second in 0..3 {
            probe(&mut tracer, second * 1_000);
            tracer.on_timeout(at(second * 1_000 + 1_000));
        }
        assert_eq!(probe(&mut tracer, 3_000).0, 2);
        tracer.heard(&said(FIRST_PORT, EXCEEDED, 61, 3_001));
        assert_eq!(tracer.poll_transmit(at(3_001)), None);
        let late = events(&mut tracer).pop();
        let asymmetric = PathAnswer::Router {
            asymmetric: Some(4),
        };
        assert!(
            matches!(late, Some(PathEvent::Hop { hop: 1, what, .. }) if what == asymmetric),
            "{late:?}"
        );
        for (ttl, hops) in [(64, 1), (62, 3), (126, 3), (255, 1), (0, 65)] {
            assert_eq!(hops_back(ttl), hops, "{ttl}");
        }
    }
}
