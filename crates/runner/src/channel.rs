//! The way between a guard and the lab: one `SOCK_SEQPACKET` socket, whole messages, descriptors beside them.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, socketpair,
};

/// Longest message, bytes: the largest datagram, its control messages and what stands around them.
pub const LONGEST: usize = 72 * 1024;
/// Most descriptors beside one message.
pub const MOST_FDS: usize = 4;

/// A new channel: one end for [`crate::run`], the other for [`crate::Host::attach`]. Both are close-on-exec.
///
/// # Errors
/// The kernel's, when descriptors run out.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// A message as it arrived.
#[derive(Debug, Default)]
pub struct Message {
    /// Its bytes; none at the end of the channel.
    pub bytes: Vec<u8>,
    /// Descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

/// Sends one message whole.
///
/// # Errors
/// `EAGAIN` when `wait` is not set and the channel is full; `EPIPE` when the other side is gone.
pub fn send(
    channel: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    wait: bool,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let mut flags = SendFlags::NOSIGNAL;
    if !wait {
        flags |= SendFlags::DONTWAIT;
    }
    loop {
        match rustix::net::sendmsg(channel, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

thread_local! {
    /// Room for the longest message, filled anew by each.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// Receives one message without waiting; `None` when there is none now.
///
/// # Errors
/// The kernel's; `InvalidData` for a message that was cut short.
pub fn receive(channel: &impl AsFd) -> io::Result<Option<Message>> {
    ROOM.with_borrow_mut(|room| receive_into(channel, room, RecvFlags::DONTWAIT))
}

/// Receives one message; `None` when the channel's time limit (`SO_RCVTIMEO`) passes.
///
/// # Errors
/// As [`receive`].
pub fn receive_waiting(channel: &impl AsFd) -> io::Result<Option<Message>> {
    ROOM.with_borrow_mut(|room| receive_into(channel, room, RecvFlags::empty()))
}

fn receive_into(
    channel: &impl AsFd,
    room: &mut [u8],
    wait: RecvFlags,
) -> io::Result<Option<Message>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = wait | RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match rustix::net::recvmsg(channel, &mut [IoSliceMut::new(room)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(received) => break received,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let bytes = room.get(..received.bytes).unwrap_or_default().to_vec();
    Ok(Some(Message { bytes, fds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors_and_then_the_end_shows() {
        let (a, b) = channel().unwrap();
        assert!(receive(&b).unwrap().is_none());
        send(a.as_fd(), b"one", &[a.as_fd(), b.as_fd()], true).unwrap();
        send(a.as_fd(), b"two", &[], true).unwrap();
        let one = receive(&b).unwrap().unwrap();
        assert_eq!(
            (one.bytes.as_slice(), one.fds.len()),
            (b"one".as_slice(), 2)
        );
        let two = receive(&b).unwrap().unwrap();
        assert_eq!(
            (two.bytes.as_slice(), two.fds.len()),
            (b"two".as_slice(), 0)
        );
        drop(one);
        drop(a);
        assert!(receive(&b).unwrap().unwrap().bytes.is_empty());
    }
}
