//! Socket options by the numbers of Linux (socket(7), ip(7), tcp(7), udp(7)).

use heptad_runtime::stack::l4_transport::tcp::{Congestion, State};
use heptad_runtime::stack::stack::SocketOption as Set;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::stack::{Family, SocketError};

use super::entry::{Entry, Role};
use super::groups;
use super::server::Gone;
use super::sockets::{At, Sockets};

/// Names that the C library crate does not have.
const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
const IP_MULTICAST_ALL: i32 = 49;
const IPV6_MULTICAST_ALL: i32 = 29;
/// `struct tcp_info` up to and including `tcpi_total_retrans`.
const TCP_INFO: usize = 104;

/// What an option is here.
enum Known {
    /// One of the stack's, as a flag.
    Flag(fn(bool) -> Set),
    /// One of the stack's, as a number.
    Number(fn(u32) -> Set),
    /// One of the stack's, as a number that is checked first.
    Checked(fn(i32) -> Option<Set>),
    /// One of the stack's, in seconds.
    Seconds(fn(Duration) -> Set),
    /// Taken and of no effect: it asks for more to be told, or for a saving.
    Ignored,
}

fn known(level: i32, name: i32) -> Option<Known> {
    Some(match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => Known::Flag(Set::ReuseAddress),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT) => Known::Flag(Set::ReusePort),
        (libc::SOL_SOCKET, libc::SO_BROADCAST) => Known::Flag(Set::Broadcast),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => Known::Flag(Set::KeepAlive),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => Known::Flag(Set::NoDelay),
        (libc::IPPROTO_TCP, libc::TCP_CORK) => Known::Flag(Set::Cork),
        (libc::IPPROTO_TCP, libc::TCP_QUICKACK) => Known::Flag(Set::QuickAck),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => Known::Number(Set::KeepCount),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
            Known::Number(|n| Set::MaxSegment(u16::try_from(n).unwrap_or(u16::MAX)))
        }
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => Known::Seconds(Set::KeepIdle),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => Known::Seconds(Set::KeepInterval),
        (libc::IPPROTO_IP, libc::IP_TTL) => Known::Checked(|n| Some(Set::Ttl(hops(n)?))),
        // As Linux: the rest of the number is not looked at.
        (libc::IPPROTO_IP, libc::IP_TOS) => Known::Checked(|n| Some(Set::Tos(n as u8))),
        (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL) => {
            Known::Checked(|n| Some(Set::MulticastTtl(byte_or(n, 1)?)))
        }
        (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP) => Known::Flag(Set::MulticastLoop),
        (libc::IPPROTO_IP, IP_MULTICAST_ALL) => {
            Known::Checked(|n| Some(Set::MulticastAll(bit(n)?)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS) => {
            Known::Checked(|n| Some(Set::MulticastHops(byte_or(n, 1)?)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP) => {
            Known::Checked(|n| Some(Set::MulticastLoopV6(bit(n)?)))
        }
        (libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL) => Known::Flag(Set::MulticastAllV6),
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => Known::Flag(Set::V6Only),
        (libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG) => Known::Flag(Set::DontFragment),
        (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
            Known::Checked(|n| Some(Set::Hops(hops(n)?)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
            Known::Checked(|n| Some(Set::TrafficClass(byte_or(n, 0)?)))
        }
        (
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT
            | libc::TCP_LINGER2
            | libc::TCP_SYNCNT
            | libc::TCP_WINDOW_CLAMP
            | libc::TCP_NOTSENT_LOWAT,
        )
        | (
            libc::IPPROTO_IP,
            libc::IP_PKTINFO
            | libc::IP_MTU_DISCOVER
            | libc::IP_RECVTOS
            | libc::IP_RECVTTL
            | IP_BIND_ADDRESS_NO_PORT,
        )
        | (
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVPKTINFO
            | libc::IPV6_MTU_DISCOVER
            | libc::IPV6_RECVTCLASS
            | libc::IPV6_RECVHOPLIMIT,
        ) => Known::Ignored,
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            Known::Flag(Set::RecvErr)
        }
        _ => return None,
    })
}

/// TTL and hop limit: -1 stands for what every host begins with.
fn hops(number: i32) -> Option<u8> {
    byte_or(number, 64)
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

/// The switch of a control message that a datagram socket may ask for.
fn wanted(entry: &mut Entry, name: (i32, i32)) -> Option<&mut bool> {
    match &mut entry.role {
        Role::Datagrams(datagrams) => datagrams.wanted.option(name),
        _ => None,
    }
}

/// A socket of IPv4 has no options of IPv6.
fn lacks_level(family: Family, level: i32) -> bool {
    (family, level) == (Family::V4, libc::IPPROTO_IPV6)
}

/// `setsockopt`.
///
/// # Errors
/// `EINVAL` for a value that is too short, `ENOPROTOOPT` for an option that is not here, and the stack's.
pub fn set(
    network: &impl Sockets,
    entry: &mut Entry,
    (level, name): (i32, i32),
    value: &[u8],
) -> Result<(), i32> {
    if lacks_level(entry.family, level) {
        return Err(libc::ENOPROTOOPT);
    }
    if level == libc::IPPROTO_IPV6 {
        // Only IPv4 has options of one byte.
        value.first_chunk::<4>().ok_or(libc::EINVAL)?;
    }
    if let Some(wanted) = wanted(entry, (level, name)) {
        *wanted = int(value)? != 0;
        return Ok(());
    }
    if let Some(done) = groups::set(network, entry.at, (level, name), value) {
        return done;
    }
    let option = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_LINGER) => {
            let seconds = int(value.get(4..).unwrap_or(&[]))?;
            let on = int(value)? != 0;
            Set::Linger(on.then(|| Duration::from_secs(seconds.unsigned_abs().into())))
        }
        (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) => return Err(libc::EPERM),
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => Set::Congestion(congestion(value)?),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            Set::UserTimeout(Duration::from_millis(number(value)?.into()))
        }
        _ => match known(level, name).ok_or(libc::ENOPROTOOPT)? {
            Known::Flag(set) => set(int(value)? != 0),
            Known::Number(set) => set(number(value)?),
            Known::Checked(set) => set(int(value)?).ok_or(libc::EINVAL)?,
            Known::Seconds(set) => set(Duration::from_secs(number(value)?.into())),
            Known::Ignored => return int(value).map(|_| ()),
        },
    };
    network.set(entry.at, option).map_err(SocketError::errno)
}

/// `getsockopt`.
///
/// # Errors
/// `ENOPROTOOPT` for an option that is not here, and the stack's.
pub fn get(
    network: &impl Sockets,
    entry: &mut Entry,
    (level, name): (i32, i32),
) -> Result<Vec<u8>, i32> {
    if lacks_level(entry.family, level) {
        return Err(libc::EOPNOTSUPP);
    }
    if let Some(found) = groups::get(network, entry.at, (level, name)) {
        return found;
    }
    let value = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_TYPE) => {
            if entry.stream {
                libc::SOCK_STREAM
            } else {
                libc::SOCK_DGRAM
            }
        }
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => domain(entry.family),
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => {
            if entry.stream {
                libc::IPPROTO_TCP
            } else {
                libc::IPPROTO_UDP
            }
        }
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
            i32::from(matches!(&entry.role, Role::Listener(listening) if !listening.closed))
        }
        (libc::SOL_SOCKET, libc::SO_ERROR) => {
            let error = entry.error.take().or_else(|| network.take_error(entry.at));
            error.map_or(0, SocketError::errno)
        }
        (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) => return Ok(Vec::new()),
        (libc::SOL_SOCKET, libc::SO_LINGER) => return linger(network, entry.at),
        (libc::IPPROTO_TCP, libc::TCP_INFO) if entry.stream => return Ok(info(network, entry)),
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => return congestion_name(network, entry.at),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            match network
                .get(entry.at, Set::UserTimeout(Duration::ZERO))
                .map_err(SocketError::errno)?
            {
                Set::UserTimeout(limit) => i32::try_from(limit.as_millis()).unwrap_or(i32::MAX),
                _ => 0,
            }
        }
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => max_segment(network, entry.at)?,
        (libc::IPPROTO_IP, libc::IP_MTU) => 1500,
        _ => match wanted(entry, (level, name)) {
            Some(wanted) => i32::from(*wanted),
            None => plain(
                network,
                entry.at,
                known(level, name).ok_or(libc::ENOPROTOOPT)?,
            )?,
        },
    };
    Ok(value.to_ne_bytes().to_vec())
}

/// `getsockopt` on a socket that is over: its error, taken; of the rest, nothing.
///
/// # Errors
/// `ENOPROTOOPT`.
pub fn get_gone(gone: &mut Gone, (level, name): (i32, i32)) -> Result<Vec<u8>, i32> {
    let value = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ERROR) => gone.error.take().map_or(0, SocketError::errno),
        (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => domain(gone.family),
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::IPPROTO_TCP,
        (libc::IPPROTO_TCP, libc::TCP_INFO) => {
            let mut info = vec![0; TCP_INFO];
            info[0] = kernel_state(State::Closed);
            return Ok(info);
        }
        _ if known(level, name).is_some() => 0,
        _ => return Err(libc::ENOPROTOOPT),
    };
    Ok(value.to_ne_bytes().to_vec())
}

fn domain(family: Family) -> i32 {
    match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    }
}

fn plain(network: &impl Sockets, at: At, known: Known) -> Result<i32, i32> {
    let which = match known {
        Known::Flag(set) => set(false),
        Known::Number(set) => set(0),
        Known::Checked(set) => set(0).ok_or(libc::ENOPROTOOPT)?,
        Known::Seconds(set) => set(Duration::ZERO),
        Known::Ignored => return Ok(0),
    };
    Ok(match network.get(at, which).map_err(SocketError::errno)? {
        Set::ReuseAddress(on)
        | Set::ReusePort(on)
        | Set::Broadcast(on)
        | Set::KeepAlive(on)
        | Set::NoDelay(on)
        | Set::Cork(on)
        | Set::QuickAck(on)
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
        Set::MaxSegment(n) => i32::from(n),
        Set::KeepCount(n) | Set::ReceiveBuffer(n) | Set::SendBuffer(n) => {
            i32::try_from(n).unwrap_or(i32::MAX)
        }
        Set::KeepIdle(t) | Set::KeepInterval(t) => i32::try_from(t.as_secs()).unwrap_or(i32::MAX),
        Set::Linger(_)
        | Set::UserTimeout(_)
        | Set::Congestion(_)
        | Set::IcmpFilter(_)
        | Set::Checksum(_)
        | Set::MulticastLink(_)
        | Set::MulticastPortV6(_) => 0,
    })
}

/// What the connection uses; before there is one, what was asked for, else what every host takes (RFC 9293 3.7.1).
fn max_segment(network: &impl Sockets, at: At) -> Result<i32, i32> {
    let asked = plain(network, at, Known::Number(|_| Set::MaxSegment(0)))?;
    let used = network.status(at).map_or(0, |status| status.mss.into());
    Ok([used, asked, 536]
        .into_iter()
        .find(|mss| *mss > 0)
        .unwrap_or(0))
}

fn linger(network: &impl Sockets, at: At) -> Result<Vec<u8>, i32> {
    let time = match network
        .get(at, Set::Linger(None))
        .map_err(SocketError::errno)?
    {
        Set::Linger(time) => time,
        _ => None,
    };
    let seconds = time.map_or(0, |time| i32::try_from(time.as_secs()).unwrap_or(i32::MAX));
    Ok([
        i32::from(time.is_some()).to_ne_bytes(),
        seconds.to_ne_bytes(),
    ]
    .concat())
}

fn congestion(value: &[u8]) -> Result<Congestion, i32> {
    let name = value.split(|byte| *byte == 0).next().unwrap_or(&[]);
    match name {
        b"reno" => Ok(Congestion::Reno),
        b"cubic" => Ok(Congestion::Cubic),
        _ => Err(libc::ENOENT),
    }
}

fn congestion_name(network: &impl Sockets, at: At) -> Result<Vec<u8>, i32> {
    let name: &[u8] = match network
        .get(at, Set::Congestion(Congestion::Cubic))
        .map_err(SocketError::errno)?
    {
        Set::Congestion(Congestion::Reno) => b"reno",
        _ => b"cubic",
    };
    let mut bytes = name.to_vec();
    bytes.resize(16, 0);
    Ok(bytes)
}

/// `struct tcp_info` of `linux/tcp.h`, the fields that the stack knows.
fn info(network: &impl Sockets, entry: &Entry) -> Vec<u8> {
    let mut bytes = vec![0_u8; TCP_INFO];
    let closed = Some(kernel_state(State::Closed));
    let Some(status) = network.status(entry.at) else {
        bytes.splice(0..1, closed);
        return bytes;
    };
    bytes.splice(0..1, Some(kernel_state(status.state)));
    let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let mss = u32::from(status.mss);
    let retransmits = u32::try_from(status.retransmits).unwrap_or(u32::MAX);
    // Offsets of tcpi_rto, snd_mss, rcv_mss, pmtu, rtt, snd_ssthresh, snd_cwnd, advmss, total_retrans.
    let fields = [
        (8, micros(status.rto)),
        (16, mss),
        (20, mss),
        (60, mss + 52),
        (68, status.srtt.map_or(0, micros)),
        (76, status.ssthresh / mss.max(1)),
        (80, status.cwnd / mss.max(1)),
        (84, mss),
        (100, retransmits),
    ];
    for (at, value) in fields {
        bytes.splice(at..at + 4, value.to_ne_bytes());
    }
    bytes
}

/// Numbers of `enum tcp_state` in `net/tcp_states.h`.
fn kernel_state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

/// A number of four bytes or one.
pub(super) fn int(value: &[u8]) -> Result<i32, i32> {
    match value.first_chunk::<4>() {
        Some(bytes) => Ok(i32::from_ne_bytes(*bytes)),
        // Options of one byte, as ip(7) allows.
        None => value
            .first()
            .map(|byte| i32::from(*byte))
            .ok_or(libc::EINVAL),
    }
}

fn number(value: &[u8]) -> Result<u32, i32> {
    u32::try_from(int(value)?).map_err(|_| libc::EINVAL)
}
