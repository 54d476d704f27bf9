//! A netlink socket of a program: its port, its options, and what waits between the tables and its pair.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::SocketId;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{Asker, ROUTE, SOCK_DIAG, answers};
use crate::exec::netlink;
use crate::host::datagram::Parked;
use crate::host::entry::{Inodes, is_hung_up};
use crate::host::server::{PairEnds, Server};
use crate::host::sockets::Sockets;
use crate::protocol::{Answer, Call, Outcome, SocketNumber};

/// Bytes of the longest request: what one call may send.
const LONGEST: usize = 65_536;
/// From so many datagrams on that wait for a program, it is asked to read first.
const MOST_WAITING: usize = 64;
/// The first port of a socket whose process has one already; more count down from it, as Linux's.
const OTHER_PORTS: u32 = u32::MAX - 4096;

/// `SOL_NETLINK`, and its options.
const LEVEL: i32 = 270;
const ADD_MEMBERSHIP: i32 = 1;
const DROP_MEMBERSHIP: i32 = 2;
const LIST_MEMBERSHIPS: i32 = 9;
const CAP_ACK: i32 = 10;
const STRICT_CHECK: i32 = 12;
/// Those that are on or off: packet information, errors of broadcasts and full queues, other namespaces, short and extended
/// acknowledgements, filters.
const SWITCHES: [i32; 7] = [3, 4, 5, 8, CAP_ACK, 11, STRICT_CHECK];

/// The answer to give now; `None` when the request waits.
type Reply = Result<Option<Outcome>, i32>;

/// The socket.
pub struct Endpoint {
    channel: u64,
    number: SocketNumber,
    node: MachineId,
    protocol: u32,
    /// `SOCK_RAW` or `SOCK_DGRAM`.
    kind: i32,
    /// Our end of its pair.
    end: OwnedFd,
    /// 0 until it is bound.
    port: u32,
    /// What it listens to, which is silent.
    groups: u32,
    /// Who got it; 0 until then, and nothing is read before.
    process: u32,
    /// A bit for each option that is on.
    options: u32,
    /// For the program, once there is room in the pair. One answer may be longer than [`MOST_WAITING`].
    waiting: VecDeque<Vec<u8>>,
    /// Calls that wait for a datagram.
    parked: VecDeque<Parked>,
}

impl Endpoint {
    fn is_on(&self, option: i32) -> bool {
        self.options & (1 << option) != 0
    }

    /// A call is no longer waited for.
    pub fn cancel(&mut self, id: u64) {
        self.parked.retain(|parked| parked.id != id);
    }

    fn set_option(&mut self, name: (i32, i32), value: &[u8]) -> Reply {
        let (level, name) = name;
        let value = || value.first_chunk().copied().map(u32::from_ne_bytes);
        match level {
            LEVEL if SWITCHES.contains(&name) => {
                let bit = 1 << name;
                match value().ok_or(libc::EINVAL)? {
                    0 => self.options &= !bit,
                    _ => self.options |= bit,
                }
            }
            LEVEL if [ADD_MEMBERSHIP, DROP_MEMBERSHIP].contains(&name) => {
                let group = value().and_then(|group| group.checked_sub(1));
                let bit = 1_u32.checked_shl(group.ok_or(libc::EINVAL)?).unwrap_or(0);
                match name {
                    ADD_MEMBERSHIP => self.groups |= bit,
                    _ => self.groups &= !bit,
                }
            }
            libc::SOL_SOCKET => {}
            _ => return Err(libc::ENOPROTOOPT),
        }
        Ok(Some(Outcome::Value(0)))
    }

    fn option(&self, (level, name): (i32, i32)) -> Reply {
        let value = match (level, name) {
            (LEVEL, LIST_MEMBERSHIPS) => self.groups.cast_signed(),
            (LEVEL, name) if SWITCHES.contains(&name) => i32::from(self.is_on(name)),
            (libc::SOL_SOCKET, libc::SO_TYPE) => self.kind,
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_NETLINK,
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => self.protocol.cast_signed(),
            (libc::SOL_SOCKET, _) => 0,
            _ => return Err(libc::ENOPROTOOPT),
        };
        Ok(Some(Outcome::Bytes(value.to_ne_bytes().to_vec())))
    }

    /// `struct sockaddr_nl` of this end, or of the kernel, whom all sockets speak to.
    fn name(&self, peer: bool) -> Vec<u8> {
        let (port, groups) = match peer {
            true => (0, 0),
            false => (self.port, self.groups),
        };
        netlink::sockaddr(port, groups)
    }

    /// Gives what waits to calls that wait, and to the pair. What calls are told, by their requests.
    fn hand_over(&mut self) -> Vec<(u64, Outcome)> {
        let mut told = Vec::new();
        while let Some(datagram) = self.waiting.front() {
            if let Some(parked) = self.parked.pop_front() {
                told.push((parked.id, outcome(datagram, parked.room)));
                if !parked.peek {
                    self.waiting.pop_front();
                }
                continue;
            }
            match send(
                &self.end,
                datagram,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => break,
                // One that nobody can take any more is gone.
                _ => self.waiting.pop_front(),
            };
        }
        told
    }
}

fn outcome(datagram: &[u8], room: u32) -> Outcome {
    Outcome::Message {
        length: u32::try_from(datagram.len()).unwrap_or(u32::MAX),
        data: datagram.get(..room as usize).unwrap_or(datagram).to_vec(),
    }
}

impl<S: Sockets> Server<S> {
    /// `socket(2)`.
    pub(in crate::host) fn netlink_socket(
        &mut self,
        (channel, id): (u64, u64),
        kind: u32,
        protocol: u32,
    ) -> Reply {
        let kind = kind.cast_signed();
        if ![libc::SOCK_RAW, libc::SOCK_DGRAM].contains(&kind) {
            return Err(libc::ESOCKTNOSUPPORT);
        }
        if ![ROUTE, SOCK_DIAG].contains(&protocol) {
            return Err(libc::EPROTONOSUPPORT);
        }
        let node = self.channels.get(&channel).ok_or(libc::EPIPE)?.node;
        let PairEnds {
            key,
            number,
            ours,
            theirs,
        } = self.open_pair((channel, id), false)?;
        let endpoint = Endpoint {
            channel,
            number,
            node,
            protocol,
            kind,
            end: ours,
            port: 0,
            groups: 0,
            process: 0,
            options: 0,
            waiting: VecDeque::new(),
            parked: VecDeque::new(),
        };
        self.netlinks.insert(key, endpoint);
        let result = Ok(Outcome::Socket(number));
        self.send(channel, &Answer::Done { id, result }, theirs.into());
        Ok(None)
    }

    /// Any call on a netlink socket.
    pub(in crate::host) fn netlink_call(
        &mut self,
        (channel, id): (u64, u64),
        key: u64,
        call: Call,
        fds: &[OwnedFd],
    ) -> Reply {
        let endpoint = self.netlinks.get_mut(&key).ok_or(libc::EBADF)?;
        match call {
            Call::Delivered { pid, .. } => {
                endpoint.process = pid;
                self.serve_netlink(key);
                Ok(None)
            }
            Call::Undelivered { .. } => {
                self.close_netlink(key);
                Ok(None)
            }
            Call::BindNetlink { port, groups, .. } => self.bind_netlink(key, port, groups),
            Call::Connect { .. } => self.bind_unbound(key),
            Call::Name { peer, .. } => Ok(Some(Outcome::Bytes(endpoint.name(peer)))),
            Call::SetOption {
                level, name, value, ..
            } => endpoint.set_option((level, name), &value),
            Call::GetOption { level, name, .. } => endpoint.option((level, name)),
            Call::SendTo { data, .. } if data.is_empty() => Err(libc::ENODATA),
            Call::SendTo { data, .. } => {
                // What was sent before comes first.
                self.serve_netlink(key);
                self.ask_netlink(key, &data)?;
                Ok(Some(Outcome::Value(data.len() as i64)))
            }
            Call::ReceiveFrom {
                wait,
                peek,
                room,
                errors: false,
                ..
            } => {
                self.serve_netlink(key);
                let call = Parked { id, room, peek };
                self.receive_netlink((channel, key), call, wait, fds)
            }
            Call::ReceiveFrom { .. } => Err(libc::EAGAIN),
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    /// As Linux: without a port of its own choice a socket gets its process's number, or another if that is taken; what it has
    /// it keeps.
    fn bind_netlink(&mut self, key: u64, wanted: u32, groups: u32) -> Reply {
        let endpoint = self.netlinks.get(&key).ok_or(libc::EBADF)?;
        let (node, protocol) = (endpoint.node, endpoint.protocol);
        let is_taken = |port: u32| {
            let mut others = self.netlinks.values();
            others.any(|other| (other.node, other.protocol, other.port) == (node, protocol, port))
        };
        let port = match (endpoint.port, wanted) {
            (0, 0) => [endpoint.process]
                .into_iter()
                .chain((0..OTHER_PORTS).rev())
                .find(|port| *port != 0 && !is_taken(*port))
                .ok_or(libc::EADDRINUSE)?,
            (0, wanted) if is_taken(wanted) => return Err(libc::EADDRINUSE),
            (0, wanted) => wanted,
            (own, wanted) if wanted == own => own,
            _ => return Err(libc::EINVAL),
        };
        if let Some(endpoint) = self.netlinks.get_mut(&key) {
            endpoint.port = port;
            endpoint.groups |= groups;
        }
        Ok(Some(Outcome::Value(0)))
    }

    /// Who speaks has a port.
    fn bind_unbound(&mut self, key: u64) -> Reply {
        match self.netlinks.get(&key) {
            Some(endpoint) if endpoint.port != 0 => Ok(Some(Outcome::Value(0))),
            _ => self.bind_netlink(key, 0, 0),
        }
    }

    /// Answers the requests in a datagram.
    fn ask_netlink(&mut self, key: u64, datagram: &[u8]) -> Result<(), i32> {
        self.bind_unbound(key)?;
        self.let_go_of_closed();
        let endpoint = self.netlinks.get(&key).ok_or(libc::EBADF)?;
        if endpoint.waiting.len() >= MOST_WAITING {
            return Err(libc::ENOBUFS);
        }
        let node = endpoint.node;
        let inodes = Inodes::of(&self.entries, node);
        let inode = |socket: SocketId| inodes.get(socket);
        let asker = Asker {
            network: &self.network,
            machine: node,
            protocol: endpoint.protocol,
            port: endpoint.port,
            capped: endpoint.is_on(CAP_ACK),
            strict: endpoint.is_on(STRICT_CHECK),
            inode: &inode,
        };
        let said = answers(&asker, datagram);
        if let Some(endpoint) = self.netlinks.get_mut(&key) {
            endpoint.waiting.extend(said);
        }
        self.hand_over_netlink(key);
        Ok(())
    }

    fn hand_over_netlink(&mut self, key: u64) {
        let Some(endpoint) = self.netlinks.get_mut(&key) else {
            return;
        };
        let channel = endpoint.channel;
        for (id, outcome) in endpoint.hand_over() {
            self.done(channel, id, Ok(outcome));
        }
    }

    /// `recvfrom` and its like, with the program's end lent for it.
    fn receive_netlink(
        &mut self,
        (channel, key): (u64, u64),
        call: Parked,
        wait: bool,
        fds: &[OwnedFd],
    ) -> Reply {
        let lent = fds.first().ok_or(libc::EPROTO)?;
        let flags = match call.peek {
            true => RecvFlags::DONTWAIT | RecvFlags::PEEK,
            false => RecvFlags::DONTWAIT,
        };
        let mut data = vec![0; LONGEST];
        match recv(lent, data.as_mut_slice(), flags) {
            Ok((_, count)) => {
                data.truncate(count);
                self.hand_over_netlink(key);
                Ok(Some(outcome(&data, call.room)))
            }
            Err(Errno::AGAIN) if wait => {
                let endpoint = self.netlinks.get_mut(&key).ok_or(libc::EBADF)?;
                let id = call.id;
                endpoint.parked.push_back(call);
                if let Some(channel) = self.channels.get_mut(&channel) {
                    channel.parked.insert(id, key);
                }
                Ok(None)
            }
            Err(error) => Err(error.raw_os_error()),
        }
    }

    /// Reads what the program sent with `send` and `write`, and hands over what there is for it.
    pub(in crate::host) fn serve_netlink(&mut self, key: u64) {
        let mut block = vec![0; LONGEST];
        loop {
            self.hand_over_netlink(key);
            let Some(endpoint) = self.netlinks.get(&key) else {
                return;
            };
            // The edges of a pair that is not read stay: it is looked at again when there is room in the pair.
            if endpoint.process == 0 || !endpoint.waiting.is_empty() {
                return;
            }
            let end = endpoint.end.as_fd();
            match recv(end, block.as_mut_slice(), RecvFlags::DONTWAIT) {
                // An empty request, or the end.
                Ok((_, 0)) if is_hung_up(end) => return self.close_netlink(key),
                Ok((_, count)) => {
                    let request = block.get(..count).unwrap_or(&[]).to_vec();
                    // A `send` that came this way cannot be told of an error.
                    let _ = self.ask_netlink(key, &request);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.close_netlink(key),
            }
        }
    }

    /// The program has closed it everywhere.
    pub(in crate::host) fn close_netlink(&mut self, key: u64) {
        let Some(endpoint) = self.netlinks.remove(&key) else {
            return;
        };
        self.close_pair(&endpoint.end);
        if let Some(channel) = self.channels.get_mut(&endpoint.channel) {
            channel.places.remove(&endpoint.number);
        }
        let socket = endpoint.number;
        self.send(endpoint.channel, &Answer::Forget { socket }, Vec::new());
    }
}
