//! Socket options by the numbers of Linux (socket(7), ip(7), tcp(7), udp(7)).

use heptad_runtime::stack::l4_transport::tcp::State;
use heptad_runtime::stack::l4_transport::udp::MtuDiscovery;
use heptad_runtime::stack::l5_session::numbered;
pub(super) use heptad_runtime::stack::l5_session::numbered::int;
use heptad_runtime::stack::stack::SocketOption as Set;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::stack::{Family, SocketError};

use super::entry::{Entry, Role};
use super::groups;
use super::server::Gone;
use super::sockets::{At, Sockets};

/// `struct tcp_info` up to and including `tcpi_total_retrans`.
const TCP_INFO: usize = 104;

/// What Linux's datagram sockets begin with and the stack's do not: path MTU discovery (ip_no_pmtu_disc is 0).
pub fn begin(network: &impl Sockets, at: At, family: Family) {
    let wanted = MtuDiscovery::Want;
    let of_v6 = (family == Family::V6).then_some(Set::MtuDiscoveryV6(wanted));
    for option in [Some(Set::MtuDiscovery(wanted)), of_v6]
        .into_iter()
        .flatten()
    {
        // A socket that was just opened takes both.
        let _ = network.set(at, option);
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
    if (level, name) == (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) {
        return Err(libc::EPERM);
    }
    let Some(option) = numbered::given(level, name, value)? else {
        return Ok(());
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
        (libc::IPPROTO_TCP, libc::TCP_INFO) if entry.stream => return Ok(info(network, entry)),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => max_segment(network, entry.at)?,
        (libc::IPPROTO_IP, libc::IP_MTU) | (libc::IPPROTO_IPV6, libc::IPV6_MTU) => {
            let mtu = network.socket_mtu(entry.at).map_err(SocketError::errno)?;
            i32::try_from(mtu).unwrap_or(i32::MAX)
        }
        _ => match wanted(entry, (level, name)) {
            Some(wanted) => i32::from(*wanted),
            None => return plain(network, entry.at, (level, name)),
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
        _ => numbered::asked(level, name).map(|_| 0)?,
    };
    Ok(value.to_ne_bytes().to_vec())
}

fn domain(family: Family) -> i32 {
    match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    }
}

fn plain(network: &impl Sockets, at: At, (level, name): (i32, i32)) -> Result<Vec<u8>, i32> {
    let Some(which) = numbered::asked(level, name)? else {
        return Ok(vec![0; 4]);
    };
    let value = network.get(at, which).map_err(SocketError::errno)?;
    Ok(numbered::shown(value))
}

/// What the connection uses; before there is one, what was asked for, else what every host takes (RFC 9293 3.7.1).
fn max_segment(network: &impl Sockets, at: At) -> Result<i32, i32> {
    let asked = int(&plain(network, at, (libc::IPPROTO_TCP, libc::TCP_MAXSEG))?)?;
    let used = network.status(at).map_or(0, |status| status.mss.into());
    Ok([used, asked, 536]
        .into_iter()
        .find(|mss| *mss > 0)
        .unwrap_or(0))
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
