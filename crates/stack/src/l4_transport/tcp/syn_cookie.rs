//! SYN cookies (RFC 4987 3.6): a listener whose SYN queue overflows remembers nobody. What it would have to remember stands in
//! the initial sequence number and the timestamp of its SYN,ACK, and the peer's ACK brings it back. As Linux does it.
//!
//! ```text
//!   ISN        H(ends) + IRS + (minute, 8 bits) << 24  +  (H(ends, minute) + index of the MSS) mod 2^24
//!   TSval      the clock, but for the lowest six bits: ECN, SACK, window scale of the peer (15: none)
//! ```
use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

use alloc::sync::Arc;
use alloc::vec::Vec;
use heptad_wire::tcp::Flags;

use super::ecn::{self, Ecn, Feedback};
use super::isn::{self, Secrets};
use super::listener::Knock;
use super::opening::{Handshake, our_offer};
use super::options::{Agreed, MAX_SCALE, Offer, SegmentOptions, mss_limit};
use super::segment::{Outgoing, Segment, reset_for};
use super::seq::SeqNum;
use super::{Config, Tcp};
use crate::keyed_hash::KeyedHasher;
use crate::l3_network::{Reply, Up};
use crate::time::Duration;
use crate::{Counter, Cx, DropReason, Instant};

/// When cookies are sent (tcp_syncookies).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SynCookies {
    /// 0: a SYN that finds the queue full is discarded.
    Never,
    /// 1: while the queue is full.
    #[default]
    WhenFull,
    /// 2: always.
    Always,
}

/// What an MSS is rounded down to: the usual ones, so that most peers lose nothing.
const MSS_TABLE: [u16; 8] = [48, 536, 1220, 1300, 1400, 1440, 1460, 8940];
/// The counter moves so often.
const PERIOD: Duration = Duration::from_secs(60);
/// A cookie is believed in its own period and the next.
const PERIODS: u32 = 2;
/// How long after the last cookie a listener still believes one.
const MEMORY: Duration = Duration::from_secs(120);

/// The counter's place in the sequence number.
const COUNTER_SHIFT: u32 = 24;
const HASH_MASK: u32 = (1 << COUNTER_SHIFT) - 1;

/// The bits of a timestamp that carry options.
const OPTION_BITS: u32 = 6;
const OPTION_MASK: u32 = (1 << OPTION_BITS) - 1;
const SCALE_MASK: u32 = 0xf;
const SACK_BIT: u32 = 1 << 4;
const ECN_BIT: u32 = 1 << 5;

/// Two keys: one hides the counter, the other one vouches for it.
#[derive(Clone, Copy)]
pub struct CookieKeys {
    outer: (u64, u64),
    inner: (u64, u64),
}

/// Why an ACK is no cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Made here, too long ago.
    Old,
    /// Not made here.
    Forged,
}

impl CookieKeys {
    /// From the host's secrets.
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            outer: secrets.derive("SYN cookie, outer"),
            inner: secrets.derive("SYN cookie, inner"),
        }
    }
    /// The ISN that stands for these ends, the peer's ISN and an MSS.
    fn make(&self, ends: (SocketAddr, SocketAddr), irs: SeqNum, mss: u16, now: Instant) -> SeqNum {
        let index = MSS_TABLE.iter().rposition(|row| *row <= mss).unwrap_or(0);
        let minute = counter(now);
        let vouched = hash(self.inner, ends, minute).wrapping_add(index as u32) & HASH_MASK;
        SeqNum(hash(self.outer, ends, 0)) + irs.0 + (minute << COUNTER_SHIFT) + vouched
    }
    /// The MSS that an ISN stands for.
    fn check(
        &self,
        ends: (SocketAddr, SocketAddr),
        irs: SeqNum,
        isn: SeqNum,
        now: Instant,
    ) -> Result<u16, Refused> {
        let bare = isn - irs.0 - hash(self.outer, ends, 0);
        let minute = counter(now);
        let age = (minute & 0xff).wrapping_sub(bare.0 >> COUNTER_SHIFT) & 0xff;
        let vouched = hash(self.inner, ends, minute.wrapping_sub(age));
        let index = bare.0.wrapping_sub(vouched) & HASH_MASK;
        let mss = MSS_TABLE.get(index as usize).ok_or(Refused::Forged)?;
        if age >= PERIODS {
            return Err(Refused::Old);
        }
        Ok(*mss)
    }
}

fn counter(now: Instant) -> u32 {
    (now.as_millis() / PERIOD.as_millis() as u64) as u32
}

fn hash(key: (u64, u64), ends: (SocketAddr, SocketAddr), minute: u32) -> u32 {
    let mut hasher = KeyedHasher::new(key);
    ends.hash(&mut hasher);
    hasher.write_u32(minute);
    hasher.finish() as u32
}

/// A clock's reading, not later than the true one, whose lowest bits are the options of a SYN.
fn marked_clock(clock: u32, agreed: &Agreed) -> u32 {
    let scale = if agreed.scaling {
        u32::from(agreed.snd_scale)
    } else {
        SCALE_MASK
    };
    let sack = if agreed.sack { SACK_BIT } else { 0 };
    let ecn = if agreed.ecn == Feedback::Classic {
        ECN_BIT
    } else {
        0
    };
    let marked = (clock & !OPTION_MASK) | scale | sack | ecn;
    if marked > clock {
        marked.wrapping_sub(1 << OPTION_BITS)
    } else {
        marked
    }
}

/// The options that such a reading carries; `None` if it carries what was never offered.
fn marks_of(clock: u32, config: &Config) -> Option<SegmentOptions> {
    let scale = clock & SCALE_MASK;
    let sack_permitted = clock & SACK_BIT != 0;
    let window_scale = (scale != SCALE_MASK).then_some(scale as u8);
    let ecn = clock & ECN_BIT != 0;
    let offered = (!sack_permitted || config.sack)
        && (!ecn || config.ecn != Ecn::Never)
        && window_scale.is_none_or(|shift| config.window_scaling && shift <= MAX_SCALE);
    offered.then_some(SegmentOptions {
        window_scale,
        sack_permitted,
        ..SegmentOptions::default()
    })
}

impl Tcp {
    /// The SYN,ACK of which nothing is remembered but when the last one left.
    pub(super) fn send_cookie(
        &mut self,
        index: u32,
        knock: &Knock<'_>,
        seg: &Segment,
        cx: &mut Cx<'_>,
    ) -> Result<Reply, DropReason> {
        let listener = self
            .listeners
            .get_mut(index as usize)
            .ok_or(DropReason::TcpNoSocket)?;
        let options = Arc::clone(&listener.options);
        let path = (knock.route)(options.device, knock.remote.ip()).ok_or(DropReason::NoRoute)?;
        listener.cookie_at = Some(cx.now);
        let ends = (knock.local, knock.remote);
        let limit = mss_limit(path.mtu, knock.local.ip(), options.maxseg);
        let timestamps = seg.options.timestamps.filter(|_| self.config.timestamps);
        let theirs = survivors(&seg.options, timestamps.is_some());
        let (offer_mss, scale, wnd) =
            our_offer(&self.config, &options, &path, timestamps.is_some());
        let mut agreed = Agreed::new(&self.config, knock.remote.ip(), &theirs, limit, scale);
        // An ACK says by itself whether its sender counts (RFC 9768 5.1); the one bit needs a place in the clock.
        agreed.ecn = match ecn::agree(&self.config, seg, 0) {
            Feedback::Classic if timestamps.is_none() => Feedback::None,
            other => other,
        };
        let offset = self.secrets.timestamp_offset(knock.local, knock.remote);
        let mut out = Outgoing::new(knock.local, knock.remote, &options);
        out.seq = self.cookies.make(ends, seg.seq, agreed.mss, cx.now);
        out.ack = seg.seq + 1;
        out.flags = Flags::SYN | Flags::ACK;
        out.flags = out.flags | ecn::answer(agreed.ecn, &ecn::found(agreed.ecn, seg), 0);
        out.wnd = wnd;
        out.options = Offer {
            mss: offer_mss,
            window_scale: agreed.scaling.then_some(agreed.rcv_scale),
            sack: agreed.sack,
            timestamps: timestamps.map(|(value, _)| {
                let clock = marked_clock(isn::timestamp(cx.now, 0), &agreed);
                (clock.wrapping_add(offset), value)
            }),
        }
        .write();
        cx.count(Counter::TcpExtSyncookiesSent);
        Ok(Reply::Transport(out.depart(Vec::new(), 1, cx)))
    }

    /// An ACK at a listener: of a cookie, perhaps. Nobody is believed where no cookie was sent of late.
    pub(super) fn cookie_returns(
        &mut self,
        index: u32,
        knock: &Knock<'_>,
        seg: Segment,
        cx: &mut Cx<'_>,
    ) -> Up<()> {
        let lately = self.listeners.get(index as usize).is_some_and(|listener| {
            let sent = listener.cookie_at.map(|at| cx.now.since(at) < MEMORY);
            sent.unwrap_or(false)
        });
        let plain = !seg.has(Flags::SYN) && self.config.syn_cookies != SynCookies::Never;
        let refused = match (lately && plain).then(|| self.read_cookie(index, knock, &seg, cx)) {
            None => DropReason::TcpNoSocket,
            Some(Ok((path, shake))) => {
                cx.count(Counter::TcpExtSyncookiesRecv);
                if let Err(reason) = self.find_room(index, cx) {
                    return Up::Drop(reason, None);
                }
                let ends = (knock.local, knock.remote);
                return self.accept_later(index, ends, path, &shake, seg, cx);
            }
            Some(Err(reason)) => reason,
        };
        if refused != DropReason::TcpNoSocket {
            cx.count(Counter::TcpExtSyncookiesFailed);
        }
        let reset = reset_for(knock.local, knock.remote, &seg, cx);
        Up::Drop(refused, reset.map(Reply::Transport))
    }

    fn read_cookie(
        &self,
        index: u32,
        knock: &Knock<'_>,
        seg: &Segment,
        cx: &Cx<'_>,
    ) -> Result<(super::tcb::Way, Handshake), DropReason> {
        let (local, remote) = (knock.local, knock.remote);
        let (iss, irs) = (seg.ack - 1, seg.seq - 1);
        let mss = self
            .cookies
            .check((local, remote), irs, iss, cx.now)
            .map_err(|refused| match refused {
                Refused::Old => DropReason::TcpCookieOld,
                Refused::Forged => DropReason::TcpCookieForged,
            })?;
        let listener = self.listeners.get(index as usize);
        let options = &listener.ok_or(DropReason::TcpNoSocket)?.options;
        let path = (knock.route)(options.device, remote.ip()).ok_or(DropReason::NoRoute)?;
        let ts_offset = self.secrets.timestamp_offset(local, remote);
        let timestamps = seg.options.timestamps.filter(|_| self.config.timestamps);
        let clock = timestamps.map(|(_, echo)| echo.wrapping_sub(ts_offset));
        let mut theirs = match clock {
            Some(clock) => marks_of(clock, &self.config).ok_or(DropReason::TcpCookieForged)?,
            None => SegmentOptions::default(),
        };
        theirs.mss = Some(mss);
        theirs.timestamps = timestamps;
        let limit = mss_limit(path.mtu, local.ip(), options.maxseg);
        let (_, scale, wnd) = our_offer(&self.config, options, &path, timestamps.is_some());
        let mut agreed = Agreed::new(&self.config, remote.ip(), &theirs, limit, scale);
        let classic = clock.is_some_and(|clock| clock & ECN_BIT != 0);
        agreed.ecn = ecn::of_cookie(&self.config, seg, classic);
        let shake = Handshake {
            iss,
            irs,
            agreed,
            wnd: u32::from(seg.wnd),
            edge: irs + 1 + u32::from(wnd),
            ts_recent: timestamps.map_or(0, |(value, _)| value),
            ts_offset,
            sent_at: None,
            resent: false,
            greeting: ecn::Greeting::default(),
        };
        Ok((path.into(), shake))
    }
}

/// Of a SYN's options those that a cookie can carry: without timestamps only the MSS.
fn survivors(theirs: &SegmentOptions, timestamps: bool) -> SegmentOptions {
    if timestamps {
        return *theirs;
    }
    SegmentOptions {
        mss: theirs.mss,
        ..SegmentOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(n: u64) -> CookieKeys {
        CookieKeys {
            outer: (n, 1),
            inner: (n, 2),
        }
    }
    fn ends() -> (SocketAddr, SocketAddr) {
        let at = |text: &str| text.parse().unwrap();
        (at("[2001:db8::1]:80"), at("[2001:db8::2]:4000"))
    }
    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_cookie_brings_back_the_mss_rounded_down() {
        let rows = [
            (0, 48),
            (48, 48),
            (535, 48),
            (536, 536),
            (1219, 536),
            (1460, 1460),
            (1500, 1460),
            (65_535, 8940),
        ];
        for (mss, back) in rows {
            let irs = SeqNum(0xffff_fff0);
            let isn = keys(1).make(ends(), irs, mss, at(1000));
            assert_eq!(keys(1).check(ends(), irs, isn, at(1001)), Ok(back), "{mss}");
        }
    }

    #[test]
    fn a_cookie_is_believed_for_one_to_two_minutes() {
        // the counter moves each full minute
        let rows = [
            (0, 0, true),
            (0, 119, true),
            (0, 120, false),
            (59, 119, true),
            (59, 120, false),
            (15_300, 15_400, true),
            (15_300, 15_420, false),
            (15_300, 15_300 + 255 * 60, false),
        ];
        for (made, read, good) in rows {
            let isn = keys(1).make(ends(), SeqNum(5), 1460, at(made));
            let expected = if good { Ok(1460) } else { Err(Refused::Old) };
            let is = keys(1).check(ends(), SeqNum(5), isn, at(read));
            assert_eq!(is, expected, "made at {made}, read at {read}");
        }
    }

    #[test]
    fn a_cookie_is_for_its_own_ends_numbers_and_host_alone() {
        let now = at(1000);
        let isn = keys(1).make(ends(), SeqNum(5), 1460, now);
        let other = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let (local, remote) = ends();
        let rows = [
            (keys(2), ends(), 5, isn),
            (keys(1), (other("[2001:db8::9]:80"), remote), 5, isn),
            (keys(1), (other("[2001:db8::1]:81"), remote), 5, isn),
            (keys(1), (local, other("[2001:db8::3]:4000")), 5, isn),
            (keys(1), (local, other("[2001:db8::2]:4001")), 5, isn),
            (keys(1), ends(), 500, isn),
            (keys(1), ends(), 5, isn + 100),
            (keys(1), ends(), 5, isn - 100),
        ];
        for (i, (keys, ends, irs, isn)) in rows.into_iter().enumerate() {
            let is = keys.check(ends, SeqNum(irs), isn, now);
            assert_eq!(is, Err(Refused::Forged), "row {i}");
        }
    }

    #[test]
    fn a_guess_is_believed_about_once_in_two_to_the_28() {
        let believed = (0..200_000u32)
            .filter(|n| {
                let isn = SeqNum(n.wrapping_mul(0x9e37_79b9));
                keys(1).check(ends(), SeqNum(5), isn, at(1000)).is_ok()
            })
            .count();
        assert_eq!(believed, 0);
    }

    #[test]
    fn options_ride_in_the_lowest_bits_of_a_clock_that_never_runs_ahead() {
        let agreed = |scale: Option<u8>, sack| {
            let theirs = SegmentOptions {
                window_scale: scale,
                sack_permitted: sack,
                ..SegmentOptions::default()
            };
            let peer = ends().1.ip();
            Agreed::new(&Config::default(), peer, &theirs, 1440, 7)
        };
        for scale in [None, Some(0), Some(7), Some(14)] {
            for sack in [false, true] {
                for clock in [64, 100, 127, 128, 1 << 20, u32::MAX] {
                    let marked = marked_clock(clock, &agreed(scale, sack));
                    assert!(clock.wrapping_sub(marked) < 64, "{clock} {marked}");
                    let back = marks_of(marked, &Config::default()).unwrap();
                    assert_eq!((back.window_scale, back.sack_permitted), (scale, sack));
                }
            }
        }
    }

    #[test]
    fn what_was_never_offered_cannot_come_back() {
        let without = |sack, window_scaling| Config {
            sack,
            window_scaling,
            ..Config::default()
        };
        assert!(marks_of(SACK_BIT | 15, &without(false, true)).is_none());
        assert!(marks_of(7, &without(true, false)).is_none());
        assert!(marks_of(15, &without(false, false)).is_some());
    }
}
