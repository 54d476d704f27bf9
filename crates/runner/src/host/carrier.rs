//! What carries datagrams between the lab and a program: a pair, or two of the kernel's UDP sockets opposite each other in the
//! guard's room (`exec/room`).
//!
//! The program reads by itself, or by a call that comes here. Which of the datagrams it has read is told by what the kernel
//! charges a pair's end for, and by the marks in the room.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use heptad_runtime::stack::SocketError;
use heptad_runtime::stack::wire::checksum;
use heptad_runtime::stack::wire::icmpv4::{self, Icmpv4};
use heptad_runtime::stack::wire::icmpv6::{self, Icmpv6};
use heptad_runtime::stack::wire::ipv4::{Ipv4Header, protocol};
use heptad_runtime::stack::wire::ipv6::Ipv6Header;
use heptad_runtime::stack::wire::udp::{self, UdpHeader};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, getpeername, getsockname, recv, send, sendto, sockopt};

use super::entry::charged;
use crate::control;
use crate::room::{LEFT_OUT, Level, MARKS, fields, mark};

/// Room for two control messages of four bytes behind those that the program may have asked the kernel for.
const CONTROL: usize = 256;

/// What carries the datagrams of one socket.
#[derive(Default)]
pub enum Carrier {
    /// A pair of `SOCK_SEQPACKET`.
    #[default]
    Pair,
    /// Sockets of UDP.
    Room(Opposite),
}

/// The lab's socket in a room.
pub struct Opposite {
    level: Level,
    next: u32,
    raw: Arc<[OwnedFd; 2]>,
}

/// What became of a datagram on its way to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits for the program; this tells it from the others, see [`Carrier`].
    Done(u32),
    /// There is no room now.
    Full,
    /// The program has closed its socket.
    Gone,
    /// The kernel does not take it.
    Failed,
}

impl Carrier {
    /// Of a socket in the room, with the room's raw sockets.
    pub fn in_room(ours: BorrowedFd<'_>, raw: Arc<[OwnedFd; 2]>) -> Self {
        let here = address(getsockname(ours));
        Self::Room(Opposite {
            level: Level::of(here.ip()),
            next: 0,
            raw,
        })
    }

    /// Gives the program a datagram.
    pub fn put(&mut self, ours: BorrowedFd<'_>, data: &[u8]) -> Put {
        match self {
            Self::Pair => put_in_pair(ours, data),
            Self::Room(opposite) => opposite.put(ours, data),
        }
    }

    /// Reads what the program would read next, with the program's own end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive(
        &self,
        lent: BorrowedFd<'_>,
        data: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, Option<u32>), Errno> {
        match self {
            Self::Pair => recv(lent, data, flags).map(|(_, count)| (count, None)),
            Self::Room(opposite) => opposite.receive(lent, data, flags),
        }
    }

    /// Whether the program still has its socket; a pair says by itself when it is closed.
    pub fn is_open(&self, ours: BorrowedFd<'_>) -> bool {
        match self {
            Self::Pair => true,
            Self::Room(opposite) => opposite.is_open(ours),
        }
    }

    /// Has the program's next call fail with an error, and `poll` tell of it. Whether that can be done.
    pub fn tell(&self, ours: BorrowedFd<'_>, error: SocketError) -> bool {
        match self {
            Self::Pair => false,
            Self::Room(opposite) => opposite.tell(ours, error).is_ok(),
        }
    }
}

fn put_in_pair(ours: BorrowedFd<'_>, data: &[u8]) -> Put {
    let before = charged(ours);
    match send(ours, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(_) => Put::Done(charged(ours).saturating_sub(before).max(1)),
        Err(Errno::AGAIN | Errno::INTR) => Put::Full,
        Err(_) => Put::Failed,
    }
}

impl Opposite {
    fn put(&mut self, ours: BorrowedFd<'_>, data: &[u8]) -> Put {
        let mark = self.next;
        self.next = (mark + 1) % MARKS;
        match self.send(ours, fields(mark), data) {
            // On a loopback the answer is there when the call returns.
            Ok(()) if is_refused(ours) => Put::Gone,
            Ok(()) => Put::Done(mark),
            Err(Errno::CONNREFUSED) => Put::Gone,
            Err(Errno::AGAIN | Errno::INTR) => Put::Full,
            Err(_) => Put::Failed,
        }
    }

    fn is_open(&self, ours: BorrowedFd<'_>) -> bool {
        let asked = self.send(ours, (u8::MAX, LEFT_OUT), &[]);
        asked != Err(Errno::CONNREFUSED) && !is_refused(ours)
    }

    fn send(
        &self,
        ours: BorrowedFd<'_>,
        (hop_limit, class): (u8, u8),
        data: &[u8],
    ) -> Result<(), Errno> {
        let Level {
            level, low, high, ..
        } = self.level;
        let mut control = Vec::new();
        for (kind, value) in [(low, hop_limit), (high, class)] {
            control::push(&mut control, (level, kind), &i32::from(value).to_ne_bytes());
        }
        let mut part = libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };
        let mut header = header(&mut part, &mut control);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the header's pointers are to values that live across the call, which reads them only.
        match unsafe { libc::sendmsg(ours.as_raw_fd(), &raw mut header, flags) } {
            0.. => Ok(()),
            _ => Err(last()),
        }
    }

    fn receive(
        &self,
        lent: BorrowedFd<'_>,
        data: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, Option<u32>), Errno> {
        let mut control = [0; CONTROL];
        let mut part = libc::iovec {
            iov_base: data.as_mut_ptr().cast(),
            iov_len: data.len(),
        };
        let mut header = header(&mut part, &mut control);
        // SAFETY: the header's pointers are to values that live across the call, with the lengths that they have.
        let count = unsafe {
            libc::recvmsg(
                lent.as_raw_fd(),
                &raw mut header,
                flags.bits().cast_signed(),
            )
        };
        let count = usize::try_from(count).map_err(|_| last())?;
        let Level {
            level, low, high, ..
        } = self.level;
        let told = control.get(..header.msg_controllen).unwrap_or_default();
        let told = control::messages(told).unwrap_or_default();
        let value = |kind| {
            let message = told.iter().find(|(name, _)| *name == (level, kind));
            message.and_then(|(_, data)| number(data))
        };
        let mark = value(low)
            .zip(value(high))
            .map(|(low, high)| mark(low, high));
        Ok((count, mark))
    }

    /// An ICMP error about what the program's socket might have sent to ours.
    fn tell(&self, ours: BorrowedFd<'_>, error: SocketError) -> io::Result<()> {
        let (here, program) = (
            address(getsockname(ours)),
            address(getpeername(ours).and_then(|peer| peer.ok_or(Errno::NOTCONN))),
        );
        let [v4, v6] = &*self.raw;
        let raw = match here {
            SocketAddr::V4(_) => v4,
            SocketAddr::V6(_) => v6,
        };
        let to = SocketAddr::new(program.ip(), 0);
        sendto(
            raw,
            &unreachable(error, (program, here)),
            SendFlags::DONTWAIT,
            &to,
        )?;
        Ok(())
    }
}

fn header(part: &mut libc::iovec, control: &mut [u8]) -> libc::msghdr {
    // SAFETY: all-zero bytes are a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len();
    header
}

/// A control message's number below 256, which Linux gives as an int or as a byte (`IP_TOS`).
fn number(data: &[u8]) -> Option<u8> {
    match data.first_chunk() {
        Some(int) => u8::try_from(i32::from_ne_bytes(*int)).ok(),
        None => data.first().copied(),
    }
}

/// Takes the error that waits; whether it says that nobody is there.
fn is_refused(ours: BorrowedFd<'_>) -> bool {
    matches!(sockopt::socket_error(ours), Ok(Err(Errno::CONNREFUSED)))
}

fn last() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn address(found: Result<rustix::net::SocketAddrAny, Errno>) -> SocketAddr {
    let found = found.ok().and_then(|any| SocketAddr::try_from(any).ok());
    found.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into())
}

/// "Unreachable" with the code for which Linux says this error, else "host unreachable", about an empty datagram from `sender` to
/// `receiver` (RFC 792; RFC 4443 3.1, whose checksum is the kernel's).
fn unreachable(error: SocketError, (sender, receiver): (SocketAddr, SocketAddr)) -> Vec<u8> {
    let mut message = vec![0; 8];
    match (sender, receiver) {
        (SocketAddr::V4(sender), SocketAddr::V4(receiver)) => {
            let ends = (*sender.ip(), *receiver.ip());
            let header = Ipv4Header::plain(ends, protocol::UDP, udp::HEADER_LEN);
            message.extend(header.to_bytes());
        }
        (SocketAddr::V6(sender), SocketAddr::V6(receiver)) => {
            let ends = (*sender.ip(), *receiver.ip());
            let header = Ipv6Header::plain(ends, protocol::UDP, udp::HEADER_LEN);
            message.extend(header.to_bytes());
        }
        _ => {}
    }
    let mut datagram = [0; udp::HEADER_LEN];
    let header = UdpHeader {
        src_port: sender.port(),
        dst_port: receiver.port(),
        len: udp::HEADER_LEN as u16,
        checksum: 0,
    };
    header.emit(&mut datagram);
    message.extend(datagram);
    let said = |checksum, out: &mut [u8]| match receiver {
        SocketAddr::V4(_) => Icmpv4::Unreachable(code_v4(error)).emit(checksum, out),
        SocketAddr::V6(_) => Icmpv6::Unreachable(code_v6(error)).emit(checksum, out),
    };
    said(0, &mut message);
    if receiver.is_ipv4() {
        said(!checksum::sum(&message), &mut message);
    }
    message
}

fn code_v4(error: SocketError) -> icmpv4::Unreachable {
    match error {
        SocketError::ConnectionRefused => icmpv4::Unreachable::Port,
        SocketError::NoProtocolOption => icmpv4::Unreachable::Protocol,
        SocketError::NetworkUnreachable => icmpv4::Unreachable::Net,
        _ => icmpv4::Unreachable::Host,
    }
}

fn code_v6(error: SocketError) -> icmpv6::Unreachable {
    match error {
        SocketError::ConnectionRefused => icmpv6::Unreachable::Port,
        SocketError::NetworkUnreachable => icmpv6::Unreachable::NoRoute,
        _ => icmpv6::Unreachable::Address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_quotes_whose_datagram_it_is_about() {
        let ends = (
            "127.0.0.1:2000".parse().unwrap(),
            "127.0.0.1:9".parse().unwrap(),
        );
        let message = unreachable(SocketError::ConnectionRefused, ends);
        let quoted = &message[8..];
        assert_eq!(message.len(), 8 + 20 + 8);
        assert_eq!(checksum::sum(&message), 0xffff);
        assert_eq!(quoted[9], 17);
        assert_eq!(
            quoted[20..24],
            [2000_u16.to_be_bytes(), 9_u16.to_be_bytes()].concat()
        );
    }
}
