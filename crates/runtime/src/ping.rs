//! `ping`: echo requests at an interval, and what came back of them (RFC 792; the way of iputils).
//!
//! [`Pinger`] is the machine: no socket, no clock. [`Node::ping`] gives it both.
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::io;

use heptad_stack::l3_network::IcmpError;
use heptad_stack::l4_transport::echo::{Received, Reported};
use heptad_stack::stack::SocketOption;
use heptad_stack::time::Duration;
use heptad_stack::wire::icmpv4::{HEADER_LEN, Icmpv4};
use heptad_stack::wire::icmpv6::Icmpv6;
use heptad_stack::{Cx, Instant, Ready, SocketId, SocketKind, Stack};

use crate::Node;
use crate::socket::handle::Handle;

/// Most requests whose answers are waited for at once; older ones are forgotten.
const WAITED_FOR: usize = 65_536;
/// How often a ping looks whether it should go on.
const LOOK: Duration = Duration::from_millis(100);

/// What to send.
#[derive(Clone, Debug)]
pub struct PingOptions {
    /// How many requests; `None`: until told to stop.
    pub count: Option<u64>,
    /// Time between two of them.
    pub interval: Duration,
    /// Bytes of data in each, up to 65,507.
    pub size: usize,
    /// TTL or hop limit; `None`: the host's own.
    pub ttl: Option<u8>,
    /// How long to wait for replies after the last request; shorter once round trips are known: twice the longest.
    pub wait: Duration,
}
impl Default for PingOptions {
    /// As iputils: for ever, 1 s, 56 bytes, 10 s.
    fn default() -> Self {
        Self {
            count: None,
            interval: Duration::from_secs(1),
            size: 56,
            ttl: None,
            wait: Duration::from_secs(10),
        }
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingEvent {
    /// A reply.
    Reply {
        /// Who sent it.
        from: IpAddr,
        /// To which request; the first is 1.
        seq: u16,
        /// Bytes of the ICMP message.
        len: usize,
        /// TTL as it came.
        ttl: u8,
        /// From request to reply; `None` for a request that is forgotten.
        rtt: Option<Duration>,
        /// There was one before.
        duplicate: bool,
    },
    /// Somebody says why there will be none.
    Error {
        /// Who.
        from: IpAddr,
        /// Of which request.
        seq: u16,
        /// What.
        message: IcmpError,
    },
}

/// What it came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PingStatistics {
    /// Requests.
    pub transmitted: u64,
    /// Requests that were answered.
    pub received: u64,
    /// Replies beyond the first.
    pub duplicates: u64,
    /// Errors instead of replies.
    pub errors: u64,
    /// From the first request to the last one, or to the last thing that was heard.
    pub time: Duration,
    /// Of the round trips, seconds; `None` without any.
    pub rtt: Option<RttStatistics>,
}
/// Of all round trips, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)] // ping's own words
pub struct RttStatistics {
    pub min: f64,
    pub avg: f64,
    pub max: f64,
    /// The standard deviation, as iputils has it.
    pub mdev: f64,
}

/// The machine: when to send what, and what an answer means.
#[derive(Debug)]
pub struct Pinger {
    options: PingOptions,
    started: Instant,
    next_at: Instant,
    /// When each request left that may still be answered, and whether it was.
    sent: BTreeMap<u64, (Instant, bool)>,
    statistics: PingStatistics,
    sum: f64,
    sum_of_squares: f64,
}
impl Pinger {
    /// Begins at `now`.
    pub fn new(options: PingOptions, now: Instant) -> Self {
        Self {
            options,
            started: now,
            next_at: now,
            sent: BTreeMap::new(),
            statistics: PingStatistics::default(),
            sum: 0.0,
            sum_of_squares: 0.0,
        }
    }
    fn has_more(&self) -> bool {
        let sent = self.statistics.transmitted;
        self.options.count.is_none_or(|count| sent < count)
    }
    /// The next request, if one is due: its sequence number.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<u16> {
        if !self.has_more() || now < self.next_at {
            return None;
        }
        self.statistics.transmitted += 1;
        let number = self.statistics.transmitted;
        self.sent.insert(number, (now, false));
        if self.sent.len() > WAITED_FOR {
            self.sent.pop_first();
        }
        self.next_at = now + self.options.interval;
        self.statistics.time = now - self.started;
        Some(number as u16)
    }
    /// When something is due next: a request, or the end.
    pub fn poll_at(&self) -> Instant {
        if self.has_more() {
            return self.next_at;
        }
        let last = self.sent.last_key_value();
        let last = last.map_or(self.started, |(_, (at, _))| *at);
        let longest = self.statistics.rtt.map(|rtt| 2.0 * rtt.max);
        let wait = match longest {
            Some(longest) => Duration::from_secs_f64(longest).max(self.options.interval),
            None => self.options.wait,
        };
        last + wait.min(self.options.wait)
    }
    /// Nothing is left to wait for.
    pub fn is_over(&self, now: Instant) -> bool {
        let heard = self.statistics.received + self.statistics.errors;
        !self.has_more() && (heard >= self.statistics.transmitted || now >= self.poll_at())
    }
    /// The number of the request with this sequence number: the last one that has it.
    fn number(&self, seq: u16) -> Option<u64> {
        let last = self.statistics.transmitted;
        let back = (last as u16).wrapping_sub(seq);
        last.checked_sub(back.into()).filter(|number| *number > 0)
    }
    /// A reply.
    pub fn reply(&mut self, received: &Received, seq: u16, now: Instant) -> PingEvent {
        let number = self.number(seq);
        let request = number.and_then(|number| self.sent.get_mut(&number));
        let (rtt, duplicate) = match request {
            Some((at, answered)) => (Some(received.at - *at), core::mem::replace(answered, true)),
            None => (None, true),
        };
        if duplicate {
            self.statistics.duplicates += 1;
        } else {
            self.statistics.received += 1;
            self.count(rtt.unwrap_or_default().as_secs_f64());
        }
        self.statistics.time = now - self.started;
        PingEvent::Reply {
            from: received.from.map_or(IpAddr::from([0; 4]), |from| from.ip()),
            seq,
            len: received.len,
            ttl: received.ttl,
            rtt,
            duplicate,
        }
    }
    fn count(&mut self, rtt: f64) {
        self.sum += rtt;
        self.sum_of_squares += rtt * rtt;
        let n = self.statistics.received as f64;
        let avg = self.sum / n;
        let before = self.statistics.rtt;
        self.statistics.rtt = Some(RttStatistics {
            min: before.map_or(rtt, |before| before.min.min(rtt)),
            avg,
            max: before.map_or(rtt, |before| before.max.max(rtt)),
            mdev: (self.sum_of_squares / n - avg * avg).max(0.0).sqrt(),
        });
    }
    /// An ICMP error about one of the requests.
    pub fn error(&mut self, reported: &Reported, now: Instant) -> PingEvent {
        self.statistics.errors += 1;
        self.statistics.time = now - self.started;
        PingEvent::Error {
            from: reported.error.told.from,
            seq: reported.error.seq,
            message: reported.error.told.message,
        }
    }
    /// So far.
    pub fn statistics(&self) -> &PingStatistics {
        &self.statistics
    }
}

impl Node {
    /// Pings `to` from this node, in lab time. `tell` hears of each answer, and with `None` several times a second; it is
    /// over when that returns false, or when all was sent and heard.
    ///
    /// # Errors
    /// Those of a socket: no route, a message too long, the network was stopped.
    pub fn ping(
        &self,
        to: IpAddr,
        options: PingOptions,
        mut tell: impl FnMut(Option<PingEvent>) -> bool,
    ) -> io::Result<PingStatistics> {
        let remote = SocketAddr::new(to, 0);
        let handle = Handle::open(self, remote, SocketKind::Echo)?;
        handle.set(SocketOption::RecvErr(true))?;
        if let Some(ttl) = options.ttl {
            handle.set(match to {
                IpAddr::V4(_) => SocketOption::Ttl(ttl),
                IpAddr::V6(_) => SocketOption::Hops(ttl),
            })?;
        }
        let mut message = vec![0; HEADER_LEN + options.size];
        for (i, byte) in message.iter_mut().enumerate().skip(HEADER_LEN) {
            *byte = i as u8;
        }
        let mut buffer = vec![0; message.len()];
        let mut pinger = Pinger::new(options, self.network().now());
        loop {
            let now = self.network().now();
            if let Some(seq) = pinger.poll_transmit(now) {
                write_request(to, seq, &mut message);
                send(&handle, &message, remote)?;
            }
            if pinger.is_over(now) || !tell(None) {
                return Ok(pinger.statistics().clone());
            }
            let patience = (pinger.poll_at() - now).clamp(Duration::from_nanos(1), LOOK);
            let heard = match hear(&handle, &mut buffer, patience) {
                Ok(heard) => heard,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let now = self.network().now();
            let event = match heard {
                Heard::Error(reported) => Some(pinger.error(&reported, now)),
                Heard::Reply(received) => {
                    reply_seq(to, &buffer).map(|seq| pinger.reply(&received, seq, now))
                }
            };
            if event.is_some() && !tell(event) {
                return Ok(pinger.statistics().clone());
            }
        }
    }
}

pub(crate) fn write_request(to: IpAddr, seq: u16, message: &mut [u8]) {
    match to {
        IpAddr::V4(_) => Icmpv4::EchoRequest { id: 0, seq }.emit(0, message),
        IpAddr::V6(_) => Icmpv6::EchoRequest { id: 0, seq }.emit(0, message),
    }
}

pub(crate) fn reply_seq(to: IpAddr, message: &[u8]) -> Option<u16> {
    match to {
        IpAddr::V4(_) => match Icmpv4::parse(message) {
            Ok(Icmpv4::EchoReply { seq, .. }) => Some(seq),
            _ => None,
        },
        IpAddr::V6(_) => match Icmpv6::parse(message) {
            Ok(Icmpv6::EchoReply { seq, .. }) => Some(seq),
            _ => None,
        },
    }
}

/// A socket tells its pending error at any verb; it is heard of in its own queue, so this goes past it.
pub(crate) fn send(handle: &Handle, message: &[u8], remote: SocketAddr) -> io::Result<()> {
    handle.with(|stack, socket, cx| {
        stack.take_error(socket);
        stack.send_to(socket, message, remote, cx).map(drop)
    })
}

enum Heard {
    Reply(Received),
    Error(Reported),
}

fn hear(handle: &Handle, buffer: &mut [u8], patience: Duration) -> io::Result<Heard> {
    let verb = |stack: &mut Stack, socket: SocketId, cx: &mut Cx<'_>| {
        if let Some(reported) = stack.recv_echo_error(socket, cx) {
            return Ok(Heard::Error(reported));
        }
        stack.recv_echo(socket, buffer, cx).map(Heard::Reply)
    };
    handle.wait("ping", Ready::READABLE, Some(patience), verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }
    fn received(millis: u64) -> Received {
        Received {
            copied: 64,
            len: 64,
            from: Some("10.0.0.2:7".parse().expect("an address")),
            ttl: 64,
            at: at(millis),
        }
    }

    #[test]
    fn requests_leave_at_the_interval_and_the_last_reply_is_the_end() {
        let options = PingOptions {
            count: Some(2),
            ..PingOptions::default()
        };
        let mut pinger = Pinger::new(options, at(0));
        assert_eq!(pinger.poll_transmit(at(0)), Some(1));
        assert_eq!(pinger.poll_transmit(at(999)), None);
        assert_eq!(pinger.poll_at(), at(1_000));
        let event = pinger.reply(&received(40), 1, at(41));
        let rtt = Some(Duration::from_millis(40));
        assert!(
            matches!(event, PingEvent::Reply { seq: 1, rtt: r, duplicate: false, .. } if r == rtt)
        );
        assert_eq!(pinger.poll_transmit(at(1_000)), Some(2));
        assert!(!pinger.is_over(at(1_000)));
        // Once a round trip is known, the interval is waited for, at least twice that trip.
        assert_eq!(pinger.poll_at(), at(2_000));
        pinger.reply(&received(1_060), 2, at(1_061));
        assert!(pinger.is_over(at(1_061)));
        let statistics = pinger.statistics();
        assert_eq!((statistics.transmitted, statistics.received), (2, 2));
        assert_eq!(statistics.time, Duration::from_millis(1_061));
        let rtt = statistics.rtt.expect("round trips");
        let [min, avg, max, mdev] =
            [rtt.min, rtt.avg, rtt.max, rtt.mdev].map(|s| (s * 1e6).round() as u64);
        assert_eq!((min, avg, max, mdev), (40_000, 50_000, 60_000, 10_000));
    }

    #[test]
    fn without_a_reply_it_waits_its_time_and_counts_none() {
        let options = PingOptions {
            count: Some(1),
            ..PingOptions::default()
        };
        let mut pinger = Pinger::new(options, at(0));
        pinger.poll_transmit(at(0));
        assert!(!pinger.is_over(at(9_999)));
        assert!(pinger.is_over(at(10_000)));
        assert_eq!(pinger.statistics().rtt, None);
    }

    #[test]
    fn a_second_reply_is_a_duplicate_and_sequence_numbers_go_round() {
        let options = PingOptions {
            interval: Duration::from_millis(1),
            ..PingOptions::default()
        };
        let mut pinger = Pinger::new(options, at(0));
        for n in 0..65_537 {
            assert_eq!(pinger.poll_transmit(at(n)), Some((n + 1) as u16));
        }
        let again = |event| {
            matches!(
                event,
                PingEvent::Reply {
                    duplicate: true,
                    ..
                }
            )
        };
        // 1 is the 65,537th request now.
        assert!(!again(pinger.reply(&received(65_540), 1, at(65_540))));
        assert!(again(pinger.reply(&received(65_541), 1, at(65_541))));
        assert!(!again(pinger.reply(&received(65_541), 0, at(65_541))));
        assert_eq!(pinger.statistics().received, 2);
        assert_eq!(pinger.statistics().duplicates, 1);
    }
}
