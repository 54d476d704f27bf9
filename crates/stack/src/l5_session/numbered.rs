//! Options by the numbers and in the bytes of Linux's `setsockopt` and `getsockopt` (socket(7), ip(7), ipv6(7), tcp(7), udp(7), udplite(7)).
//!
//! Sources: `include/uapi/asm-generic/socket.h`, `include/uapi/linux/{in,in6,tcp}.h`. Errors are Linux's errno.
use alloc::vec::Vec;
use core::time::Duration;

use super::SocketOption as Set;
use crate::l1_physical::PortId;
use crate::l4_transport::raw::IcmpFilter;
use crate::l4_transport::tcp::{Congestion, OrphanWait};
use crate::l4_transport::udp::MtuDiscovery;

const ENOENT: i32 = 2;
const EINVAL: i32 = 22;
const ENOPROTOOPT: i32 = 92;

/// Levels.
const IP: i32 = 0;
const SOCKET: i32 = 1;
const TCP: i32 = 6;
const UDP: i32 = 17;
const IPV6: i32 = 41;
const UDP_LITE: i32 = 136;
const ICMPV6: i32 = 58;
const RAW: i32 = 255;

/// Bytes of a name of a congestion control.
const CONGESTION_NAME: usize = 16;

/// What an option is here.
enum Known {
    /// A flag.
    Flag(fn(bool) -> Set),
    /// A number.
    Number(fn(u32) -> Set),
    /// A number that is checked first.
    Checked(fn(i32) -> Option<Set>),
    /// Seconds.
    Seconds(fn(Duration) -> Set),
    /// Milliseconds.
    Millis(fn(Duration) -> Set),
    /// `struct linger`.
    Linger,
    /// A name.
    Congestion,
    /// Types of ICMP, a bit for each.
    Filter,
    /// Bytes a second: four bytes or eight.
    Rate,
    /// Taken and of no effect: it asks for more to be told, or for a saving.
    Ignored,
}

/// What `setsockopt` sets; `None`: taken and of no effect.
///
/// # Errors
/// EINVAL for a value that is too short or that Linux refuses, ENOPROTOOPT for an option that is not here, ENOENT for a
/// congestion control that is not here.
pub fn given(level: i32, name: i32, value: &[u8]) -> Result<Option<Set>, i32> {
    let known = known(level, name).ok_or(ENOPROTOOPT)?;
    Ok(Some(match known {
        Known::Flag(set) => set(int(value)? != 0),
        Known::Number(set) => set(number(value)?),
        Known::Checked(set) => set(int(value)?).ok_or(EINVAL)?,
        Known::Seconds(set) => set(Duration::from_secs(number(value)?.into())),
        Known::Millis(set) => set(Duration::from_millis(number(value)?.into())),
        Known::Linger => linger(value)?,
        Known::Congestion => Set::Congestion(congestion(value)?),
        Known::Rate => Set::MaxPacingRate(rate(value)?),
        Known::Filter => filter(value),
        Known::Ignored => return int(value).map(|_| None),
    }))
}

/// Which option `getsockopt` asks for, as [`crate::Stack::get`] takes it; `None`: one that was taken and has no effect.
///
/// # Errors
/// ENOPROTOOPT for an option that is not here.
pub fn asked(level: i32, name: i32) -> Result<Option<Set>, i32> {
    Ok(Some(match known(level, name).ok_or(ENOPROTOOPT)? {
        Known::Flag(set) => set(false),
        Known::Number(set) => set(0),
        Known::Checked(set) => set(0).ok_or(ENOPROTOOPT)?,
        Known::Seconds(set) | Known::Millis(set) => set(Duration::ZERO),
        Known::Linger => Set::Linger(None),
        Known::Congestion => Set::Congestion(Congestion::default()),
        Known::Rate => Set::MaxPacingRate(0),
        Known::Filter => Set::IcmpFilter(IcmpFilter::default()),
        Known::Ignored => return Ok(None),
    }))
}

/// The bytes that `getsockopt` answers with.
pub fn shown(option: Set) -> Vec<u8> {
    match option {
        Set::Linger(time) => {
            let on = i32::from(time.is_some()).to_ne_bytes();
            let seconds = time.map_or(0, |time| clamped(time.as_secs()));
            [on, seconds.to_ne_bytes()].concat()
        }
        Set::Congestion(which) => {
            let mut bytes = which.name().as_bytes().to_vec();
            bytes.resize(CONGESTION_NAME, 0);
            bytes
        }
        Set::IcmpFilter(IcmpFilter(words)) => words.iter().flat_map(|w| w.to_ne_bytes()).collect(),
        Set::MaxPacingRate(rate) => u32::try_from(rate)
            .unwrap_or(u32::MAX)
            .to_ne_bytes()
            .to_vec(),
        option => as_number(option).to_ne_bytes().to_vec(),
    }
}

fn known(level: i32, name: i32) -> Option<Known> {
    match level {
        SOCKET => of_sockets(name),
        IP => of_ip(name),
        TCP => of_tcp(name),
        IPV6 => of_ipv6(name),
        UDP | UDP_LITE => of_udp_lite(name),
        // ICMP_FILTER, ICMPV6_FILTER.
        RAW | ICMPV6 if name == 1 => Some(Known::Filter),
        RAW => of_checksums(name),
        _ => None,
    }
}

fn of_sockets(name: i32) -> Option<Known> {
    Some(match name {
        2 => Known::Flag(Set::ReuseAddress),
        6 => Known::Flag(Set::Broadcast),
        // As Linux: a negative number is a very large one.
        7 => Known::Checked(|n| Some(Set::SendBuffer(n.cast_unsigned()))),
        8 => Known::Checked(|n| Some(Set::ReceiveBuffer(n.cast_unsigned()))),
        9 => Known::Flag(Set::KeepAlive),
        10 => Known::Flag(Set::OobInline),
        13 => Known::Linger,
        15 => Known::Flag(Set::ReusePort),
        47 => Known::Rate,
        // The number of an interface is one more than that of our port.
        62 => Known::Checked(|n| Some(Set::Device(port_of(n)?))),
        // SO_PRIORITY, SO_MARK, SO_ZEROCOPY.
        12 | 36 | 60 => Known::Ignored,
        _ => return None,
    })
}

fn of_ip(name: i32) -> Option<Known> {
    Some(match name {
        // As Linux: the rest of the number is not looked at.
        1 => Known::Checked(|n| Some(Set::Tos(n as u8))),
        2 => Known::Checked(|n| Some(Set::Ttl(hops(n)?))),
        3 => Known::Flag(Set::HeaderIncluded),
        10 => Known::Checked(|n| Some(Set::MtuDiscovery(discovery(n)?))),
        11 => Known::Flag(Set::RecvErr),
        33 => Known::Checked(|n| Some(Set::MulticastTtl(byte_or(n, 1)?))),
        34 => Known::Flag(Set::MulticastLoop),
        49 => Known::Checked(|n| Some(Set::MulticastAll(bit(n)?))),
        // IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_BIND_ADDRESS_NO_PORT.
        8 | 12 | 13 | 24 => Known::Ignored,
        _ => return None,
    })
}

fn of_ipv6(name: i32) -> Option<Known> {
    Some(match name {
        7 => return of_checksums(name),
        16 => Known::Checked(|n| Some(Set::Hops(hops(n)?))),
        18 => Known::Checked(|n| Some(Set::MulticastHops(byte_or(n, 1)?))),
        19 => Known::Checked(|n| Some(Set::MulticastLoopV6(bit(n)?))),
        23 => Known::Checked(|n| Some(Set::MtuDiscoveryV6(discovery(n)?))),
        25 => Known::Flag(Set::RecvErr),
        26 => Known::Flag(Set::V6Only),
        29 => Known::Flag(Set::MulticastAllV6),
        62 => Known::Flag(Set::DontFragment),
        67 => Known::Checked(|n| Some(Set::TrafficClass(byte_or(n, 0)?))),
        // IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS.
        49 | 51 | 66 => Known::Ignored,
        _ => return None,
    })
}

fn of_checksums(name: i32) -> Option<Known> {
    // IPV6_CHECKSUM; any number below zero stands for none.
    (name == 7).then_some(Known::Checked(|n| {
        Some(Set::Checksum(u16::try_from(n).ok()))
    }))
}
fn of_tcp(name: i32) -> Option<Known> {
    Some(match name {
        1 => Known::Flag(Set::NoDelay),
        2 => Known::Number(|n| Set::MaxSegment(u16::try_from(n).unwrap_or(u16::MAX))),
        3 => Known::Flag(Set::Cork),
        4 => Known::Seconds(Set::KeepIdle),
        5 => Known::Seconds(Set::KeepInterval),
        6 => Known::Number(Set::KeepCount),
        7 => Known::Number(Set::SynCount),
        8 => Known::Checked(|n| {
            Some(Set::OrphanWait(match u64::try_from(n) {
                Ok(seconds) => OrphanWait::For(Duration::from_secs(seconds)),
                Err(_) => OrphanWait::No,
            }))
        }),
        9 => Known::Checked(|n| {
            let seconds = u64::try_from(n).unwrap_or(0);
            Some(Set::DeferAccept(Duration::from_secs(seconds)))
        }),
        10 => Known::Number(Set::WindowClamp),
        12 => Known::Flag(Set::QuickAck),
        13 => Known::Congestion,
        18 => Known::Millis(Set::UserTimeout),
        23 => Known::Number(Set::FastOpen),
        25 => Known::Number(Set::NotSentLowat),
        30 => Known::Checked(|n| Some(Set::FastOpenConnect(bit(n)?))),
        _ => return None,
    })
}

fn of_udp_lite(name: i32) -> Option<Known> {
    Some(match name {
        10 => Known::Checked(|n| Some(Set::SendCoverage(coverage(n)))),
        11 => Known::Checked(|n| Some(Set::ReceiveCoverage(coverage(n)))),
        _ => return None,
    })
}

/// As Linux: what is less than the header is the header, what is too much is the most.
fn coverage(number: i32) -> u16 {
    match number {
        0 => 0,
        _ => number.clamp(8, i32::from(u16::MAX)) as u16,
    }
}
/// TTL and hop limit: -1 stands for what every host begins with.
fn hops(number: i32) -> Option<u8> {
    byte_or(number, 64)
}
fn discovery(number: i32) -> Option<MtuDiscovery> {
    MtuDiscovery::ALL
        .get(usize::try_from(number).ok()?)
        .copied()
}
/// The port of an interface's number; 0 stands for none.
fn port_of(number: i32) -> Option<Option<PortId>> {
    let index = u16::try_from(number).ok()?;
    Some(index.checked_sub(1).map(PortId))
}
fn bit(number: i32) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
fn byte_or(number: i32, default: u8) -> Option<u8> {
    match number {
        -1 => Some(default),
        _ => u8::try_from(number).ok(),
    }
}
/// As Linux: what is not given is let through.
fn filter(value: &[u8]) -> Set {
    let mut filter = IcmpFilter::default();
    for (word, bytes) in filter.0.iter_mut().zip(value.chunks_exact(4)) {
        *word = bytes.first_chunk().map_or(0, |b| u32::from_ne_bytes(*b));
    }
    Set::IcmpFilter(filter)
}
fn linger(value: &[u8]) -> Result<Set, i32> {
    let seconds = int(value.get(4..).unwrap_or(&[]))?;
    let on = int(value)? != 0;
    let time = Duration::from_secs(seconds.unsigned_abs().into());
    Ok(Set::Linger(on.then_some(time)))
}
fn congestion(value: &[u8]) -> Result<Congestion, i32> {
    let name = value.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let name = core::str::from_utf8(name).map_err(|_| ENOENT)?;
    Congestion::named(name).ok_or(ENOENT)
}
/// As Linux: of four bytes all ones stand for no bound, as they do of eight.
fn rate(value: &[u8]) -> Result<u64, i32> {
    if let Some(bytes) = value.first_chunk::<8>() {
        return Ok(u64::from_ne_bytes(*bytes));
    }
    let rate = u32::from_ne_bytes(int(value)?.to_ne_bytes());
    Ok(match rate {
        u32::MAX => u64::MAX,
        rate => rate.into(),
    })
}

/// A number of four bytes, or of one as ip(7) allows.
///
/// # Errors
/// EINVAL without any.
pub fn int(value: &[u8]) -> Result<i32, i32> {
    match value.first_chunk::<4>() {
        Some(bytes) => Ok(i32::from_ne_bytes(*bytes)),
        None => value.first().map(|byte| i32::from(*byte)).ok_or(EINVAL),
    }
}
fn number(value: &[u8]) -> Result<u32, i32> {
    u32::try_from(int(value)?).map_err(|_| EINVAL)
}
fn clamped<T: TryInto<i32>>(number: T) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

fn as_number(option: Set) -> i32 {
    match option {
        Set::ReuseAddress(on)
        | Set::ReusePort(on)
        | Set::Broadcast(on)
        | Set::KeepAlive(on)
        | Set::OobInline(on)
        | Set::NoDelay(on)
        | Set::Cork(on)
        | Set::QuickAck(on)
        | Set::FastOpenConnect(on)
        | Set::V6Only(on)
        | Set::DontFragment(on)
        | Set::RecvErr(on)
        | Set::HeaderIncluded(on)
        | Set::MulticastLoop(on)
        | Set::MulticastAll(on)
        | Set::MulticastLoopV6(on)
        | Set::MulticastAllV6(on) => i32::from(on),
        Set::MulticastTtl(n)
        | Set::MulticastHops(n)
        | Set::Ttl(n)
        | Set::Tos(n)
        | Set::Hops(n)
        | Set::TrafficClass(n) => i32::from(n),
        Set::MaxSegment(n) | Set::SendCoverage(n) | Set::ReceiveCoverage(n) => i32::from(n),
        Set::KeepCount(n)
        | Set::SynCount(n)
        | Set::FastOpen(n)
        | Set::ReceiveBuffer(n)
        | Set::SendBuffer(n)
        | Set::WindowClamp(n)
        | Set::NotSentLowat(n) => clamped(n),
        Set::KeepIdle(time) | Set::KeepInterval(time) | Set::DeferAccept(time) => {
            clamped(time.as_secs())
        }
        Set::OrphanWait(OrphanWait::For(time)) => clamped(time.as_secs()),
        Set::OrphanWait(OrphanWait::AsHost) => 0,
        Set::OrphanWait(OrphanWait::No) => -1,
        Set::UserTimeout(time) => clamped(time.as_millis()),
        Set::MtuDiscovery(wanted) | Set::MtuDiscoveryV6(wanted) => wanted as i32,
        Set::Checksum(at) => at.map_or(-1, i32::from),
        Set::Device(port) => port.map_or(0, |port| i32::from(port.0) + 1),
        Set::Linger(_)
        | Set::Congestion(_)
        | Set::MaxPacingRate(_)
        | Set::IcmpFilter(_)
        | Set::MulticastLink(_)
        | Set::MulticastPortV6(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_given_is_shown_in_the_same_bytes() {
        let rows: [(i32, i32, Vec<u8>); 7] = [
            (SOCKET, 9, vec![1, 0, 0, 0]),
            (SOCKET, 13, vec![1, 0, 0, 0, 7, 0, 0, 0]),
            (TCP, 4, vec![9, 0, 0, 0]),
            (TCP, 13, b"reno\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
            (TCP, 18, vec![1, 1, 0, 0]),
            (IP, 2, vec![5, 0, 0, 0]),
            (SOCKET, 62, vec![2, 0, 0, 0]),
        ];
        for (level, name, bytes) in rows {
            let option = given(level, name, &bytes).unwrap().unwrap();
            assert_eq!(shown(option), bytes, "{level} {name}");
            let which = asked(level, name).unwrap().unwrap();
            assert_eq!(
                core::mem::discriminant(&which),
                core::mem::discriminant(&option)
            );
        }
    }

    #[test]
    fn what_is_not_here_or_too_short_is_refused_as_linux_does() {
        assert_eq!(given(SOCKET, 999, &[0; 4]), Err(ENOPROTOOPT));
        assert_eq!(given(TCP, 1, &[]), Err(EINVAL));
        assert_eq!(given(TCP, 13, b"vegas"), Err(ENOENT));
        assert_eq!(given(SOCKET, 13, &[1, 0, 0, 0]), Err(EINVAL));
        assert_eq!(given(SOCKET, 12, &[1, 0, 0, 0]), Ok(None));
        let negative = given(TCP, 8, &(-1i32).to_ne_bytes()).unwrap().unwrap();
        assert_eq!(shown(negative), (-1i32).to_ne_bytes());
    }
}
