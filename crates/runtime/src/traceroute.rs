//! `traceroute`: probes whose TTL grows by one a hop, and who says that it ran out (RFC 792; the way of Linux's traceroute).
//!
//! [`Tracer`] is the machine: no socket, no clock. [`Node::traceroute`] gives it both.
//!
//! ```text
//!   probes of hop 1, 2, …, `ahead` of them under way ─▶ time exceeded: a router ─▶ results, in order
//!                                                    └▶ port unreachable, echo reply: the destination, the last hop
//! ```
use core::net::{IpAddr, SocketAddr};
use std::io;

use heptad_stack::l3_network::IcmpError;
use heptad_stack::stack::SocketOption;
use heptad_stack::time::Duration;
use heptad_stack::{Cx, Instant, Ready, SocketId, SocketKind, Stack};

use crate::Node;
use crate::ping::{reply_seq, send, write_request};
use crate::socket::handle::Handle;

/// The first UDP port that probes go to; each goes to the next one.
pub const FIRST_PORT: u16 = 33_434;
/// How often a trace looks whether it should go on.
const LOOK: Duration = Duration::from_millis(100);
/// Another probe of the same hop has been answered: so many times as long is waited.
const HERE: f64 = 3.0;
/// A probe of a later hop has been.
const NEAR: f64 = 10.0;
/// What is added to a round trip before it is multiplied.
const GRACE: Duration = Duration::from_millis(1);
/// Header of ICMP and of UDP, bytes.
const HEADER_LEN: usize = 8;

/// What a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A datagram to a port where nobody listens.
    Udp,
    /// An echo request.
    Icmp,
}

/// What to send.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// What a probe is.
    pub method: Method,
    /// The last hop that is asked.
    pub max_hops: u8,
    /// Probes of each hop.
    pub queries: u8,
    /// How long an answer is waited for at most.
    pub wait: Duration,
    /// How many probes may be under way at once.
    pub ahead: usize,
    /// Bytes of data in each.
    pub size: usize,
}
impl Default for TraceOptions {
    /// As Linux's traceroute: UDP, 30 hops, 3 probes, 5 s, 16 at once, 32 bytes.
    fn default() -> Self {
        Self {
            method: Method::Udp,
            max_hops: 30,
            queries: 3,
            wait: Duration::from_secs(5),
            ahead: 16,
            size: 32,
        }
    }
}

/// What became of one probe; they come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// Of which hop; the first is 1.
    pub hop: u8,
    /// Which of its probes; the first is 0.
    pub query: u8,
    /// `None`: nobody answered in time.
    pub answer: Option<ProbeAnswer>,
}

/// An answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// Who.
    pub from: IpAddr,
    /// From probe to answer.
    pub rtt: Duration,
    /// In which words; `None`: a reply of the destination's.
    pub message: Option<IcmpError>,
}
impl ProbeAnswer {
    /// Whether it comes from as far as probes get: anything but a TTL that ran out.
    fn is_final(&self) -> bool {
        let on_the_way = match self.message {
            Some(IcmpError::V4(message)) => message.kind() == (11, 0),
            Some(IcmpError::V6(message)) => message.kind() == (3, 0),
            None => false,
        };
        !on_the_way
    }
}

/// One probe.
#[derive(Clone, Copy, Debug, Default)]
struct Probe {
    sent: Option<Instant>,
    done: bool,
    answer: Option<ProbeAnswer>,
}

/// The machine: which probe is due when, how long its answer is waited for, and what is known by now.
#[derive(Debug)]
pub struct Tracer {
    options: TraceOptions,
    probes: Vec<Probe>,
    /// Those before it have been told.
    next: usize,
    /// One beyond the last probe.
    end: usize,
}
impl Tracer {
    /// Nothing is sent yet.
    pub fn new(options: TraceOptions) -> Self {
        let end = usize::from(options.max_hops) * usize::from(options.queries);
        Self {
            options,
            probes: vec![Probe::default(); end],
            next: 0,
            end,
        }
    }
    fn hop_of(&self, index: usize) -> usize {
        index / usize::from(self.options.queries.max(1))
    }
    /// The next probe, if one may leave: its number from 0, and its TTL.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(u16, u8)> {
        let undone = (self.next..self.end).filter(|index| !self.probes[*index].done);
        let mut allowed = undone.take(self.options.ahead.max(1));
        let index = allowed.find(|index| self.probes[*index].sent.is_none())?;
        self.probes[index].sent = Some(now);
        Some((index as u16, (self.hop_of(index) + 1) as u8))
    }
    /// An answer to the probe of this number. One that is too late, or comes twice, changes nothing.
    pub fn heard(&mut self, number: u16, from: IpAddr, message: Option<IcmpError>, at: Instant) {
        let index = usize::from(number);
        let Some(probe) = self.probes.get_mut(index) else {
            return;
        };
        let Some(sent) = probe.sent.filter(|_| !probe.done) else {
            return;
        };
        let answer = ProbeAnswer {
            from,
            rtt: at - sent,
            message,
        };
        probe.done = true;
        probe.answer = Some(answer);
        if answer.is_final() {
            let end = (self.hop_of(index) + 1) * usize::from(self.options.queries);
            self.end = self.end.min(end);
        }
    }
    /// The next result in order, if it is known by `now`.
    pub fn poll_result(&mut self, now: Instant) -> Option<ProbeResult> {
        if self.is_over() {
            return None;
        }
        let index = self.next;
        if self.expires_at(index).is_some_and(|at| at <= now) {
            self.probes[index].done = true;
        }
        let probe = self.probes[index];
        if !probe.done {
            return None;
        }
        self.next += 1;
        Some(ProbeResult {
            hop: (self.hop_of(index) + 1) as u8,
            query: (index % usize::from(self.options.queries)) as u8,
            answer: probe.answer,
        })
    }
    /// When the answer that is waited for comes too late.
    pub fn poll_at(&self) -> Option<Instant> {
        match self.is_over() {
            true => None,
            false => self.expires_at(self.next),
        }
    }
    /// All has been told.
    pub fn is_over(&self) -> bool {
        self.next >= self.end
    }

    fn expires_at(&self, index: usize) -> Option<Instant> {
        let probe = self.probes.get(index)?;
        Some(probe.sent.filter(|_| !probe.done)? + self.patience(index))
    }
    /// How long: by what is known of this hop, else of later ones, else as the options say.
    fn patience(&self, index: usize) -> Duration {
        let queries = usize::from(self.options.queries);
        let first = self.hop_of(index) * queries;
        let rtt = |probe: &Probe| probe.answer.map(|answer| answer.rtt);
        let here = self.probes[first..].iter().take(queries).find_map(rtt);
        let later = || self.probes[index..].iter().find_map(rtt);
        let factored = here.map(|rtt| (rtt, HERE));
        let factored = factored.or_else(|| later().map(|rtt| (rtt, NEAR)));
        factored.map_or(self.options.wait, |(rtt, factor)| {
            (rtt + GRACE).mul_f64(factor).min(self.options.wait)
        })
    }
}

impl Node {
    /// Traces the way to `to` from this node, in lab time. `tell` hears of each probe in order, and with `None` several
    /// times a second; it is over when that returns false, or at the destination or the last hop.
    ///
    /// # Errors
    /// Those of a socket: no route, a probe too long, the network was stopped.
    pub fn traceroute(
        &self,
        to: IpAddr,
        options: TraceOptions,
        mut tell: impl FnMut(Option<ProbeResult>) -> bool,
    ) -> io::Result<()> {
        let prober = Prober::open(self, to, &options)?;
        let mut tracer = Tracer::new(options);
        loop {
            let now = self.network().now();
            while let Some(result) = tracer.poll_result(now) {
                if !tell(Some(result)) {
                    return Ok(());
                }
            }
            if tracer.is_over() || !tell(None) {
                return Ok(());
            }
            while let Some((number, ttl)) = tracer.poll_transmit(now) {
                prober.send(number, ttl)?;
            }
            let due = tracer.poll_at().unwrap_or(now);
            let patience = (due - now).clamp(Duration::from_nanos(1), LOOK);
            match prober.hear(patience) {
                Ok(Some(heard)) => {
                    tracer.heard(heard.number, heard.from, heard.message, heard.at);
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The socket that probes leave by, and that answers come to.
struct Prober {
    handle: Handle,
    to: IpAddr,
    method: Method,
    size: usize,
}

/// What it has heard.
struct Heard {
    number: u16,
    from: IpAddr,
    message: Option<IcmpError>,
    at: Instant,
}

impl Prober {
    fn open(node: &Node, to: IpAddr, options: &TraceOptions) -> io::Result<Self> {
        let kind = match options.method {
            Method::Udp => SocketKind::Datagram,
            Method::Icmp => SocketKind::Echo,
        };
        let handle = Handle::open(node, SocketAddr::new(to, 0), kind)?;
        handle.set(SocketOption::RecvErr(true))?;
        Ok(Self {
            handle,
            to,
            method: options.method,
            size: options.size,
        })
    }

    fn send(&self, number: u16, ttl: u8) -> io::Result<()> {
        self.handle.set(match self.to {
            IpAddr::V4(_) => SocketOption::Ttl(ttl),
            IpAddr::V6(_) => SocketOption::Hops(ttl),
        })?;
        match self.method {
            Method::Udp => {
                // As Linux's: @ABC…
                let data: Vec<u8> = (0..self.size).map(|i| b'@' + (i % 64) as u8).collect();
                let port = FIRST_PORT.wrapping_add(number);
                send(&self.handle, &data, SocketAddr::new(self.to, port))
            }
            Method::Icmp => {
                let mut message = vec![0; HEADER_LEN + self.size];
                write_request(self.to, number + 1, &mut message);
                send(&self.handle, &message, SocketAddr::new(self.to, 0))
            }
        }
    }

    /// `None`: something came that is no answer to a probe.
    fn hear(&self, patience: Duration) -> io::Result<Option<Heard>> {
        let mut buffer = [0; 64];
        let verb = |stack: &mut Stack, socket: SocketId, cx: &mut Cx<'_>| match self.method {
            Method::Udp => self.hear_udp(stack, socket, cx),
            Method::Icmp => self.hear_echo(stack, socket, &mut buffer, cx),
        };
        self.handle
            .wait("traceroute", Ready::READABLE, Some(patience), verb)
    }
    fn hear_udp(
        &self,
        stack: &mut Stack,
        socket: SocketId,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Heard>, heptad_stack::SocketError> {
        let number = |port: u16| port.wrapping_sub(FIRST_PORT);
        if let Some(reported) = stack.recv_error(socket, cx) {
            return Ok(reported.told.map(|told| Heard {
                number: number(reported.remote.port()),
                from: told.from,
                message: Some(told.message),
                at: reported.at,
            }));
        }
        // Somebody listens there after all.
        let (_, _, from) = stack.recv_from(socket, &mut [0; 1], cx)?;
        Ok((from.ip() == self.to).then_some(Heard {
            number: number(from.port()),
            from: from.ip(),
            message: None,
            at: cx.now,
        }))
    }
    fn hear_echo(
        &self,
        stack: &mut Stack,
        socket: SocketId,
        buffer: &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Heard>, heptad_stack::SocketError> {
        if let Some(reported) = stack.recv_echo_error(socket, cx) {
            return Ok(Some(Heard {
                number: reported.error.seq.wrapping_sub(1),
                from: reported.error.told.from,
                message: Some(reported.error.told.message),
                at: reported.at,
            }));
        }
        let received = stack.recv_echo(socket, buffer, cx)?;
        let seq = reply_seq(self.to, buffer);
        Ok(seq.zip(received.from).map(|(seq, from)| Heard {
            number: seq.wrapping_sub(1),
            from: from.ip(),
            message: None,
            at: received.at,
        }))
    }
}

#[cfg(test)]
mod tests {
    use heptad_stack::wire::icmpv4::{Icmpv4, Unreachable};

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }
    fn router(n: u8) -> IpAddr {
        IpAddr::from([10, 0, n, 1])
    }
    const EXCEEDED: Option<IcmpError> = Some(IcmpError::V4(Icmpv4::TimeExceeded { code: 0 }));
    const REACHED: Option<IcmpError> = Some(IcmpError::V4(Icmpv4::Unreachable(Unreachable::Port)));

    fn tracer(queries: u8) -> Tracer {
        Tracer::new(TraceOptions {
            queries,
            ..TraceOptions::default()
        })
    }
    fn sent(tracer: &mut Tracer, now: Instant) -> Vec<(u16, u8)> {
        core::iter::from_fn(|| tracer.poll_transmit(now)).collect()
    }

    #[test]
    fn sixteen_probes_are_under_way_and_the_destination_is_the_end() {
        let mut tracer = tracer(3);
        let first = sent(&mut tracer, at(0));
        assert_eq!(first.len(), 16);
        assert_eq!((first[0], first[2], first[3]), ((0, 1), (2, 1), (3, 2)));
        // The second hop is the destination, whose answers come before the router's.
        for number in 3..6 {
            tracer.heard(number, router(2), REACHED, at(20));
        }
        assert_eq!(sent(&mut tracer, at(20)), []);
        assert_eq!(tracer.poll_result(at(20)), None);
        for number in 0..3 {
            tracer.heard(number, router(1), EXCEEDED, at(10));
        }
        let results: Vec<_> = core::iter::from_fn(|| tracer.poll_result(at(20))).collect();
        let hops: Vec<_> = results
            .iter()
            .map(|result| (result.hop, result.query))
            .collect();
        assert_eq!(hops, [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]);
        let rtt = results[3].answer.map(|answer| answer.rtt);
        assert_eq!(rtt, Some(Duration::from_millis(20)));
        assert!(tracer.is_over());
    }

    #[test]
    fn silence_is_waited_for_by_what_is_known_of_the_hop_and_of_later_ones() {
        // What answers when, and when the first probe is given up.
        for (answers, millis) in [
            (&[][..], 5_000),
            // Three times the round trip of the same hop, ten times that of a later one.
            (&[(1, 9)][..], 30),
            (&[(3, 9)][..], 100),
            (&[(1, 4), (3, 9)][..], 15),
            (&[(3, 900)][..], 5_000),
        ] {
            let mut tracer = tracer(3);
            sent(&mut tracer, at(0));
            for (number, millis) in answers {
                tracer.heard(*number, router(1), EXCEEDED, at(*millis));
            }
            assert_eq!(tracer.poll_at(), Some(at(millis)), "{answers:?}");
            let nothing = ProbeResult {
                hop: 1,
                query: 0,
                answer: None,
            };
            assert_eq!(tracer.poll_result(at(millis)), Some(nothing));
        }
    }

    #[test]
    fn what_is_late_or_unasked_or_comes_twice_changes_nothing() {
        let mut tracer = tracer(1);
        sent(&mut tracer, at(0));
        assert!(tracer.poll_result(at(5_000)).is_some());
        tracer.heard(0, router(1), REACHED, at(5_001));
        tracer.heard(29, router(1), REACHED, at(5_001));
        tracer.heard(999, router(1), REACHED, at(5_001));
        tracer.heard(1, router(2), EXCEEDED, at(4_999));
        tracer.heard(1, router(3), EXCEEDED, at(5_000));
        let second = tracer.poll_result(at(5_001)).expect("an answer");
        assert_eq!(second.answer.map(|answer| answer.from), Some(router(2)));
        assert!(!tracer.is_over());
    }
}
