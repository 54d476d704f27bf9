//! Socket options, asked of two: a socket of the kernel's that nobody else uses, the **shadow**, knows what Linux accepts,
//! how it refuses, and what it shows; the lab does what the option asks for.
//!
//! What depends on the network (a route's MTU, a connection's figures, the node's interfaces) is the lab's alone. What the
//! kernel accepts and the lab does not know is accepted without effect, but for what would change the bytes that are sent.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::answers::{Place, Want};
use super::calls::{Held, Step, ask};
use super::guard::Guard;
use super::pair;
use crate::memory;
use crate::notify::Notification;
use crate::numbers::{
    IP_MSFILTER, IP_UNICAST_IF, IPV6_CHECKSUM, IPV6_PATHMTU, IPV6_UNICAST_IF, MCAST_JOIN_GROUP,
    MCAST_MSFILTER, SOL_ICMPV6, SOL_RAW, TCP_CC_INFO,
};
use crate::protocol::Call;

/// Bytes of a socket option that are looked at.
const LONGEST: usize = 144 + 64 * 128;

/// Bytes of most options.
const VALUE: i32 = 16;

/// Options of the lab alone: they name interfaces and groups of the node, or what only the lab has.
fn is_labs(held: &Held, level: i32, name: i32) -> bool {
    const IP: &[i32] = &[
        libc::IP_MULTICAST_IF,
        libc::IP_ADD_MEMBERSHIP,
        libc::IP_DROP_MEMBERSHIP,
        libc::IP_ADD_SOURCE_MEMBERSHIP,
        libc::IP_DROP_SOURCE_MEMBERSHIP,
        libc::IP_BLOCK_SOURCE,
        libc::IP_UNBLOCK_SOURCE,
        IP_MSFILTER,
        IP_UNICAST_IF,
    ];
    const IPV6: &[i32] = &[
        libc::IPV6_MULTICAST_IF,
        libc::IPV6_ADD_MEMBERSHIP,
        libc::IPV6_DROP_MEMBERSHIP,
        libc::IPV6_JOIN_ANYCAST,
        libc::IPV6_LEAVE_ANYCAST,
        IPV6_UNICAST_IF,
    ];
    if held.raw
        && [
            (libc::IPPROTO_IP, libc::IP_HDRINCL),
            (libc::IPPROTO_IPV6, IPV6_CHECKSUM),
        ]
        .contains(&(level, name))
    {
        return true;
    }
    let is_group = (MCAST_JOIN_GROUP..=MCAST_MSFILTER).contains(&name);
    match level {
        libc::SOL_SOCKET => [libc::SO_BINDTODEVICE, libc::SO_BINDTOIFINDEX].contains(&name),
        SOL_RAW | SOL_ICMPV6 => true,
        // A stream is in no group.
        libc::IPPROTO_IP => !held.stream && (is_group || IP.contains(&name)),
        libc::IPPROTO_IPV6 => is_group || IPV6.contains(&name),
        libc::IPPROTO_TCP => held.stream && name == libc::TCP_CONGESTION,
        _ => false,
    }
}

/// Options whose value is what goes on in the network.
fn is_live(held: &Held, level: i32, name: i32) -> bool {
    match level {
        // The shadow may be of another protocol.
        libc::SOL_SOCKET => [
            libc::SO_ERROR,
            libc::SO_ACCEPTCONN,
            libc::SO_TYPE,
            libc::SO_PROTOCOL,
        ]
        .contains(&name),
        libc::IPPROTO_IP => name == libc::IP_MTU,
        libc::IPPROTO_IPV6 => [libc::IPV6_MTU, IPV6_PATHMTU].contains(&name),
        libc::IPPROTO_TCP if held.stream => [
            libc::TCP_MAXSEG,
            libc::TCP_INFO,
            TCP_CC_INFO,
            libc::TCP_QUICKACK,
        ]
        .contains(&name),
        _ => false,
    }
}

/// Options that would change what is sent: without the lab they must not be accepted. TCP_MD5SIG, TCP_REPAIR, TCP_ULP,
/// TCP_ZEROCOPY_RECEIVE, TCP_MD5SIG_EXT, TCP_AO; UDP_ENCAP, UDP_SEGMENT, UDP_GRO.
fn must_be_known(level: i32, name: i32) -> bool {
    match level {
        libc::IPPROTO_TCP => [14, 19, 31, 32, 35, 38, 39, 40, 41, 42, 43].contains(&name),
        libc::IPPROTO_UDP => [100, 103, 104].contains(&name),
        _ => false,
    }
}

/// Options that ask for privileges in the socket's own namespace (socket(7), ip(7), ipv6(7)): the guard has them in its room,
/// the program does not.
fn asks_for_privileges(level: i32, name: i32) -> bool {
    match level {
        libc::SOL_SOCKET => [
            libc::SO_PRIORITY,
            libc::SO_MARK,
            libc::SO_SNDBUFFORCE,
            libc::SO_RCVBUFFORCE,
        ]
        .contains(&name),
        libc::IPPROTO_IP => name == libc::IP_TRANSPARENT,
        libc::IPPROTO_IPV6 => {
            name == libc::IPV6_TRANSPARENT
                || (libc::IPV6_RECVHOPOPTS..=libc::IPV6_DSTOPTS).contains(&name)
        }
        _ => false,
    }
}

/// The kernel's buffers, a pair's or a stand-in's, are told the same as the stack's.
fn is_buffer(level: i32, name: i32) -> bool {
    level == libc::SOL_SOCKET && [libc::SO_SNDBUF, libc::SO_RCVBUF].contains(&name)
}

/// What the shadow had before, should the lab refuse what the kernel accepted.
#[derive(Debug)]
pub struct Undo {
    shadow: OwnedFd,
    option: (i32, i32),
    before: Vec<u8>,
}

impl Undo {
    /// As it was.
    pub fn carry_out(&self) {
        let _ = set_native(self.shadow.as_fd(), self.option, self.before.as_slice());
    }
}

impl Guard {
    /// `setsockopt`.
    pub(super) fn set_option(&mut self, n: &Notification, held: &Held) -> Result<Step, i32> {
        let (level, name) = (n.args[1] as i32, n.args[2] as i32);
        let length = n.args[4] as i32;
        let looked_at = usize::try_from(length).map_err(|_| libc::EINVAL)?;
        let value = memory::read_vec(n.thread, n.args[3], looked_at.min(LONGEST))?;
        if level == libc::IPPROTO_TCP && name == libc::TCP_ULP {
            return Err(libc::ENOPROTOOPT);
        }
        let (mut accepted, mut undo) = (false, None);
        if !is_labs(held, level, name)
            && let Some(shadow) = self.shadow(held)
        {
            if held.stands_in
                && asks_for_privileges(level, name)
                && let Some(elsewhere) = made_like(held.family, (libc::SOCK_STREAM as u32, 0))
            {
                set_native(elsewhere.as_fd(), (level, name), value.as_slice())?;
            }
            // To look at an error is to take it.
            let before = match (level, name) {
                (libc::SOL_SOCKET, libc::SO_ERROR) => None,
                option => get_native(shadow.as_fd(), option, VALUE).ok(),
            };
            set_native(shadow.as_fd(), (level, name), value.as_slice())?;
            accepted = !must_be_known(level, name);
            undo = before.map(|before| Undo {
                shadow,
                option: (level, name),
                before,
            });
        }
        // The pair's own buffers stand before the stack's.
        if is_buffer(level, name)
            && let Some(size) = value.first_chunk()
        {
            let end = self.sockets.waiting(held.number).unwrap_or(&held.end);
            pair::set_buffer(end.as_fd(), name, i32::from_ne_bytes(*size));
        }
        Self::queue_errors(held, (level, name), &value);
        // As Linux: nothing is zero, at the level of IPv4.
        let value = match value.is_empty() && accepted && level == libc::IPPROTO_IP {
            true => vec![0; 4],
            false => value,
        };
        let call = Call::SetOption {
            socket: held.number,
            level,
            name,
            value,
        };
        Ok(ask(call, Want::OptionSet { accepted, undo }))
    }

    /// `getsockopt`.
    pub(super) fn get_option(&mut self, n: &Notification, held: Held) -> Result<Step, i32> {
        let (level, name) = (n.args[1] as i32, n.args[2] as i32);
        let place = Place {
            at: n.args[3],
            length_at: n.args[4],
        };
        // A socket that is neither connected nor listening shows the kernel's own figures.
        let live = match held.stands_in {
            true => {
                (level, name) == (libc::IPPROTO_TCP, libc::TCP_INFO) || {
                    level == libc::SOL_SOCKET && is_live(&held, level, name)
                }
            }
            false => is_live(&held, level, name) || is_buffer(level, name) && held.stream,
        };
        if !live
            && !is_labs(&held, level, name)
            && let Some(shadow) = self.shadow(&held)
        {
            return shown(n, shadow.as_fd(), (level, name), place);
        }
        let end = ((level, name) == (libc::SOL_SOCKET, libc::SO_ERROR)).then_some(held.end);
        let call = Call::GetOption {
            socket: held.number,
            level,
            name,
        };
        // As Linux: a name wants room for the longest.
        let least = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) => libc::IFNAMSIZ,
            _ => 0,
        };
        Ok(ask(call, Want::Option { place, end, least }))
    }

    /// The shadow of a socket of the internet: its stand-in, or one that is made now. `None` where the kernel gives none.
    fn shadow(&mut self, held: &Held) -> Option<OwnedFd> {
        if held.stands_in {
            return held.end.try_clone().ok();
        }
        let socket = self.sockets.get(held.number)?;
        if socket.shadow.is_none() {
            socket.shadow = Some(made_like(socket.family, socket.made_as)?);
        }
        socket.shadow.as_ref()?.try_clone().ok()
    }
}

/// A socket of the internet of the kernel's, by the words of `socket(2)`; `None` where the kernel has none to give.
pub fn made_like(family: u16, (kind, protocol): (u32, u32)) -> Option<OwnedFd> {
    use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
    if ![libc::AF_INET, libc::AF_INET6].contains(&family.into()) {
        return None;
    }
    // Of ICMP and raw ones the kernel may give us none, and one of its own would hear what comes for this machine.
    let has_ports = [
        0,
        libc::IPPROTO_TCP,
        libc::IPPROTO_UDP,
        libc::IPPROTO_UDPLITE,
    ];
    let (kind, protocol) = match has_ports.contains(&protocol.cast_signed()) {
        true if kind != libc::SOCK_RAW as u32 => (kind, protocol),
        _ => (libc::SOCK_DGRAM as u32, 0),
    };
    let protocol = std::num::NonZeroU32::new(protocol).map(Protocol::from_raw);
    let kind = SocketType::from_raw(kind);
    let family = AddressFamily::from_raw(family);
    socket_with(family, kind, SocketFlags::CLOEXEC, protocol).ok()
}

/// `setsockopt` on one of our own descriptors, with the bytes of `value`: numbers, and structures of the kernel's.
///
/// # Errors
/// The kernel's errno.
pub(super) fn set_native<T: ?Sized>(
    socket: BorrowedFd<'_>,
    (level, name): (i32, i32),
    value: &T,
) -> Result<(), i32> {
    // SAFETY: the kernel reads at most as many bytes of `value` as it has.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of_val(value) as libc::socklen_t,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

/// What the kernel shows of an option of the shadow, with the program's own idea of the room.
fn shown(
    n: &Notification,
    shadow: BorrowedFd<'_>,
    (level, name): (i32, i32),
    place: Place,
) -> Result<Step, i32> {
    let room = i32::from_ne_bytes(memory::read_array(n.thread, place.length_at)?);
    // A negative length is refused, but at the level of IPv6, where it is a large one.
    let room = match room {
        ..0 if level == libc::IPPROTO_IPV6 => LONGEST as i32,
        room => room.min(LONGEST as i32),
    };
    let value = get_native(shadow, (level, name), room)?;
    memory::write(n.thread, place.at, &value)?;
    let length = value.len() as u32;
    memory::write(n.thread, place.length_at, &length.to_ne_bytes())?;
    Ok(Step::Value(0))
}

fn get_native(
    shadow: BorrowedFd<'_>,
    (level, name): (i32, i32),
    room: i32,
) -> Result<Vec<u8>, i32> {
    let mut value = vec![0; usize::try_from(room).unwrap_or(0)];
    let mut length = room.cast_unsigned();
    // SAFETY: the kernel writes at most `length` bytes, for which there is room; a negative length it refuses at all levels
    // but IPv6's, where none comes here.
    let done = unsafe {
        libc::getsockopt(
            shadow.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done != 0 {
        return Err(errno());
    }
    value.truncate(length as usize);
    Ok(value)
}

fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL)
}
