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
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, getpeername, getsockname, recv, send, sendto, sockopt};

use super::entry::charged;
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
        let mut control = Control::default();
        let Level {
            level, low, high, ..
        } = self.level;
        let mut length = control.put(0, (level, low), hop_limit.into());
        length += control.put(length, (level, high), class.into());
        let mut part = libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };
        let mut header = header(&mut part, &mut control, length);
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
        let mut control = Control::default();
        let mut part = libc::iovec {
            iov_base: data.as_mut_ptr().cast(),
            iov_len: data.len(),
        };
        let mut header = header(&mut part, &mut control, CONTROL);
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
        let (mut hop_limit, mut class) = (None, None);
        // SAFETY: the kernel has filled the header in; each message lies within its control bytes.
        unsafe {
            let mut at = libc::CMSG_FIRSTHDR(&raw const header);
            while let Some(message) = at.as_ref() {
                let value = value_of(at, message);
                match (message.cmsg_level, message.cmsg_type) {
                    told if told == (level, low) => hop_limit = Some(value),
                    told if told == (level, high) => class = Some(value),
                    _ => {}
                }
                at = libc::CMSG_NXTHDR(&raw const header, at);
            }
        }
        let mark = hop_limit.zip(class).map(|(low, high)| mark(low, high));
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

/// Control messages, where the kernel wants them to begin.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Default for Control {
    fn default() -> Self {
        Self([0; CONTROL])
    }
}

impl Control {
    /// Puts a message of an int at an offset; how many bytes it takes.
    fn put(&mut self, at: usize, (level, kind): (i32, i32), value: i32) -> usize {
        // SAFETY: these compute lengths.
        let (space, length) = unsafe { (libc::CMSG_SPACE(4), libc::CMSG_LEN(4)) };
        let mut bytes = Vec::with_capacity(space as usize);
        bytes.extend((length as usize).to_ne_bytes());
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        let room = self.0.get_mut(at..).unwrap_or_default();
        for (slot, byte) in room.iter_mut().zip(bytes) {
            *slot = byte;
        }
        space as usize
    }
}

fn header(part: &mut libc::iovec, control: &mut Control, length: usize) -> libc::msghdr {
    // SAFETY: all-zero bytes are a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = length;
    header
}

/// A control message's number, which Linux gives as an int or as a byte (`IP_TOS`).
///
/// # Safety
/// `at` is a message with the header `message`, and whole.
unsafe fn value_of(at: *const libc::cmsghdr, message: &libc::cmsghdr) -> u8 {
    // SAFETY: as the caller promises.
    unsafe {
        let data = libc::CMSG_DATA(at);
        let is_int = message.cmsg_len >= libc::CMSG_LEN(4) as usize;
        match is_int {
            true => data.cast::<i32>().read_unaligned() as u8,
            false => data.read(),
        }
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
    const UDP: u8 = libc::IPPROTO_UDP as u8;
    const HEADER: u8 = 8;
    let (kind, code) = match (receiver, error) {
        (SocketAddr::V4(_), SocketError::ConnectionRefused) => (3, 3),
        (SocketAddr::V4(_), SocketError::NoProtocolOption) => (3, 2),
        (SocketAddr::V4(_), SocketError::NetworkUnreachable) => (3, 0),
        (SocketAddr::V4(_), _) => (3, 1),
        (SocketAddr::V6(_), SocketError::ConnectionRefused) => (1, 4),
        (SocketAddr::V6(_), SocketError::NetworkUnreachable) => (1, 0),
        (SocketAddr::V6(_), _) => (1, 3),
    };
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    match (sender, receiver) {
        (SocketAddr::V4(sender), SocketAddr::V4(receiver)) => {
            message.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0]);
            message.extend(sender.ip().octets());
            message.extend(receiver.ip().octets());
        }
        (SocketAddr::V6(sender), SocketAddr::V6(receiver)) => {
            message.extend([0x60, 0, 0, 0, 0, HEADER, UDP, 64]);
            message.extend(sender.ip().octets());
            message.extend(receiver.ip().octets());
        }
        _ => {}
    }
    message.extend(sender.port().to_be_bytes());
    message.extend(receiver.port().to_be_bytes());
    message.extend([0, HEADER, 0, 0]);
    if receiver.is_ipv4() {
        let sum = !checksum::sum(&message);
        for (slot, byte) in message.iter_mut().skip(2).zip(sum.to_be_bytes()) {
            *slot = byte;
        }
    }
    message
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
