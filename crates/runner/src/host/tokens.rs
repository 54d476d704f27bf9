//! What a listener's program is told of connections that wait: one **token** for each, so that the listener is readable while
//! there is one. A token is a byte in the listener's pair; where the listener is one of the kernel's in the guard's room
//! (`exec/room`), it is a connection there.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SendFlags, bind, connect, connect_unspec, send};

use crate::protocol::InRoom;

/// The tokens of a listener.
#[derive(Default)]
pub struct Tokens {
    count: u32,
    room: Option<Room>,
}

/// A listener in the guard's room, and sockets of ours there.
struct Room {
    listener: InRoom,
    /// Finds out whether it still listens.
    probe: OwnedFd,
    /// Each makes one token; the one that made the oldest stands first.
    clients: VecDeque<OwnedFd>,
}

impl Tokens {
    /// Those of a listener in the room; `None` if it came without sockets for us.
    pub fn in_room(listener: InRoom, ends: Vec<OwnedFd>) -> Option<Self> {
        let mut clients = VecDeque::from(ends);
        let probe = clients.pop_front()?;
        for client in &clients {
            rustix::io::ioctl_fionbio(client, true).ok()?;
        }
        Some(Self {
            count: 0,
            room: Some(Room {
                listener,
                probe,
                clients,
            }),
        })
    }

    /// Whether the listener is in the room.
    pub fn are_in_room(&self) -> bool {
        self.room.is_some()
    }

    /// The inode of a listener in the room.
    pub fn inode(&self) -> Option<u32> {
        self.room.as_ref().map(|room| room.listener.inode)
    }

    /// Puts tokens until there are as many as connections that `wait`, or the program has been told of enough. `pair` is our end.
    pub fn put(&mut self, waiting: u32, pair: BorrowedFd<'_>) {
        while self.count < waiting && self.put_one(pair) {
            self.count += 1;
        }
    }

    fn put_one(&mut self, pair: BorrowedFd<'_>) -> bool {
        match &mut self.room {
            Some(room) => room.put(self.count),
            None => send(pair, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok(),
        }
    }

    /// Counts one off, which the guard takes out. Whether there was one.
    pub fn count_off(&mut self) -> bool {
        let any = self.count > 0;
        self.count -= u32::from(any);
        any
    }

    /// One that was counted off was not taken out.
    pub fn count_again(&mut self) {
        self.count += 1;
    }

    /// Counts off all. How many there were.
    pub fn count_off_all(&mut self) -> u32 {
        std::mem::take(&mut self.count)
    }

    /// Whether the program still has the listener; of one that has a pair its end tells.
    pub fn are_wanted(&self) -> bool {
        match &self.room {
            Some(room) => room.is_open(),
            None => true,
        }
    }
}

impl Room {
    fn put(&mut self, count: u32) -> bool {
        if count as usize >= self.clients.len() {
            return false;
        }
        let Some(client) = self.clients.pop_front() else {
            return false;
        };
        let _ = connect_unspec(&client);
        let done = connect(&client, &self.listener.address);
        self.clients.push_back(client);
        matches!(done, Ok(()) | Err(Errno::INPROGRESS))
    }

    /// Its address is taken for as long as it is open.
    fn is_open(&self) -> bool {
        bind(self.probe.as_fd(), &self.listener.address).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    fn clients() -> Vec<OwnedFd> {
        use rustix::net::{AddressFamily, SocketType, socket};
        let client = || socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        (0..4).map(|_| client()).collect()
    }

    #[test]
    fn a_listener_in_a_room_is_told_of_no_more_connections_than_it_has_clients() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (pair, _other) = rustix::pipe::pipe().unwrap();
        let mut tokens = Tokens::in_room(
            InRoom {
                address: listener.local_addr().unwrap(),
                inode: 7,
            },
            clients(),
        )
        .unwrap();
        tokens.put(9, pair.as_fd());
        assert_eq!(tokens.count, 3);
        // As the guard does: nothing is left behind.
        let take = || {
            let (token, _) = listener.accept().unwrap();
            rustix::net::sockopt::set_socket_linger(token, Some(Duration::ZERO)).unwrap();
        };
        for _ in 0..3 {
            assert!(tokens.count_off());
            take();
        }
        assert!(!tokens.count_off());
        tokens.put(1, pair.as_fd());
        take();
        assert!(tokens.are_wanted());
        drop(listener);
        assert!(!tokens.are_wanted());
    }

    #[test]
    fn a_listener_with_a_pair_is_told_by_bytes() {
        let (program, ours) = super::super::entry::pair(true).unwrap();
        let mut tokens = Tokens::default();
        tokens.put(2, ours.as_fd());
        tokens.put(2, ours.as_fd());
        assert_eq!(rustix::io::ioctl_fionread(&program).unwrap(), 2);
        assert_eq!(tokens.count_off_all(), 2);
        assert!(tokens.are_wanted());
    }
}
