//! Socket options by the numbers of Linux (socket(7), ip(7), tcp(7), udp(7)).

use std::os::fd::AsFd;

use heptad_runtime::stack::l4_transport::tcp::Info;
use heptad_runtime::stack::l4_transport::udp::MtuDiscovery;
use heptad_runtime::stack::l5_session::numbered;
pub(super) use heptad_runtime::stack::l5_session::numbered::int;
use heptad_runtime::stack::stack::SocketOption as Set;
use heptad_runtime::stack::{Family, SocketError};

use super::entry::{Entry, Role};
use super::groups;
use super::server::Gone;
use super::sockets::{At, Sockets};
use crate::numbers::{ICMP_FILTER, SOL_RAW};

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
    if level == libc::SOL_SOCKET
        && let Some(device) = device(network, entry.at, name, value)?
    {
        return bind_to_device(network, entry.at, device);
    }
    if level == libc::SOL_SOCKET
        && let Role::Datagrams(datagrams) = &mut entry.role
        && datagrams.wanted.stamps.set(name, int(value)?)
    {
        return Ok(());
    }
    let Some(option) = numbered::given(level, name, value)? else {
        return Ok(());
    };
    network.set(entry.at, option).map_err(SocketError::errno)?;
    if let (Set::RecvErr(on), Role::Datagrams(datagrams)) = (option, &mut entry.role) {
        datagrams.queues_errors = on;
    }
    if level == libc::SOL_SOCKET {
        entry.buffers.set(entry.end.as_fd(), name, int(value)?);
    }
    Ok(())
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
        (libc::SOL_SOCKET, libc::SO_TYPE) => match &entry.role {
            Role::Datagrams(datagrams) => datagrams.so_type(),
            _ => libc::SOCK_STREAM,
        },
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => domain(entry.family),
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => match &entry.role {
            Role::Datagrams(datagrams) => datagrams.protocol,
            _ => libc::IPPROTO_TCP,
        },
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
            i32::from(matches!(&entry.role, Role::Listener(_)))
        }
        (libc::SOL_SOCKET, libc::SO_ERROR) => {
            let error = entry.error.take().or_else(|| network.take_error(entry.at));
            error.map_or(0, SocketError::errno)
        }
        (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) => return device_name(network, entry.at),
        (libc::IPPROTO_TCP, libc::TCP_INFO) if entry.stream => {
            let info = network.tcp_info(entry.at).unwrap_or(Info::CLOSED);
            return Ok(info.bytes().to_vec());
        }
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
        (libc::IPPROTO_TCP, libc::TCP_INFO) => return Ok(Info::CLOSED.bytes().to_vec()),
        _ => numbered::asked(level, name).map(|_| 0)?,
    };
    Ok(value.to_ne_bytes().to_vec())
}

/// The number of the interface that an option names, 0 for none; `None` for other options.
fn device(network: &impl Sockets, at: At, option: i32, value: &[u8]) -> Result<Option<i32>, i32> {
    match option {
        libc::SO_BINDTOIFINDEX => {
            let index = value.first_chunk().ok_or(libc::EINVAL)?;
            Ok(Some(i32::from_ne_bytes(*index)))
        }
        libc::SO_BINDTODEVICE => {
            // As Linux: what is longer than a name can be is cut.
            let name = value.get(..libc::IFNAMSIZ - 1).unwrap_or(value);
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if name.is_empty() {
                return Ok(Some(0));
            }
            let interfaces = network.interfaces(at.machine);
            let found = interfaces.iter().find(|one| one.name.as_bytes() == name);
            let index = found.ok_or(libc::ENODEV)?.index;
            Ok(i32::try_from(index).ok())
        }
        _ => Ok(None),
    }
}

/// As Linux since 5.7: everybody binds a socket that is not bound yet, and only who may do everything changes that.
fn bind_to_device(network: &impl Sockets, at: At, index: i32) -> Result<(), i32> {
    let which = (libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX);
    let is_bound = int(&plain(network, at, which)?)? != 0;
    if is_bound && !rustix::process::geteuid().is_root() {
        return Err(libc::EPERM);
    }
    let option = numbered::given(which.0, which.1, &index.to_ne_bytes())?;
    let option = option.ok_or(libc::EINVAL)?;
    network.set(at, option).map_err(SocketError::errno)
}

/// With its NUL; nothing where the socket is bound to none.
fn device_name(network: &impl Sockets, at: At) -> Result<Vec<u8>, i32> {
    let which = (libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX);
    let index = int(&plain(network, at, which)?)?;
    let interfaces = network.interfaces(at.machine);
    let found = interfaces
        .iter()
        .find(|one| i64::from(one.index) == i64::from(index));
    Ok(found.map_or_else(Vec::new, |one| [one.name.as_bytes(), &[0]].concat()))
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
    let mut shown = numbered::shown(value);
    if (level, name) == (SOL_RAW, ICMP_FILTER) {
        // IPv4 has 32 types of ICMP.
        shown.truncate(4);
    }
    Ok(shown)
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
