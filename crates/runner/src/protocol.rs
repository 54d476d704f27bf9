//! What a guard and the lab say to each other over the channel, and its bytes.
//!
//! A message is a tag byte and fields of fixed width in little-endian order; bytes carry their length in 32 bits. A
//! message is never longer than [`crate::channel::LONGEST`]. Both sides check what they read: neither trusts the other.
//!
//! ```text
//!   guard ── Request { id, call } ──▶ lab        ids are the guard's; answers come in any order
//!   guard ◀── Answer::Done { id, result } ── lab    with the two ends of a pair for a new socket
//!   guard ◀── Answer::Release, Answer::Forget ── lab   of its own accord
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A socket's number on a channel, given by the lab, never used twice.
pub type SocketNumber = u32;

/// Bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of this protocol")]
pub struct Malformed;

/// A call of a program, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Comes back in the answer.
    pub id: u64,
    /// What is asked.
    pub call: Call,
}

/// What is asked. The first message on a channel is `Hello`; those marked "no answer" get none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Who speaks: the program's process and its name. No answer.
    Hello {
        /// Process.
        pid: u32,
        /// Name, as the user gave it.
        program: String,
    },
    /// `socket(2)`. Answered with `Outcome::Socket` and two descriptors: the program's end, then the lab's.
    Socket {
        /// `AF_INET` or `AF_INET6`.
        family: u16,
        /// `SOCK_STREAM`, … without flags.
        kind: u32,
        /// Third argument.
        protocol: u32,
    },
    /// `bind(2)`.
    Bind {
        /// Which socket.
        socket: SocketNumber,
        /// To what.
        address: SocketAddr,
    },
    /// `bind(2)` on a netlink socket.
    BindNetlink {
        /// Which socket.
        socket: SocketNumber,
        /// To which port; 0: to any.
        port: u32,
        /// Of which groups it wants to hear.
        groups: u32,
    },
    /// `listen(2)`. Answered before the guard has put in the filler. A listener in the guard's room brings sockets there.
    Listen {
        /// Which socket.
        socket: SocketNumber,
        /// Second argument.
        backlog: i32,
        /// It listens there already.
        room: Option<InRoom>,
    },
    /// `accept(2)`. Answered with `Outcome::Accepted` and two descriptors, as `Socket`.
    Accept {
        /// Which socket.
        socket: SocketNumber,
        /// Answer only when there is a connection.
        wait: bool,
    },
    /// `connect(2)`. `None` dissolves (`AF_UNSPEC`).
    Connect {
        /// Which socket.
        socket: SocketNumber,
        /// To whom.
        address: Option<SocketAddr>,
        /// Answer only when it is decided.
        wait: bool,
        /// How many bytes the guard has put into the program's sending side, which make it unwritable: the lab takes
        /// them out when the connection stands.
        filler: u32,
        /// A refusal that comes at once is answered with `Outcome::Refused`.
        at_once: bool,
    },
    /// `getsockname(2)`, `getpeername(2)`.
    Name {
        /// Which socket.
        socket: SocketNumber,
        /// The other end's.
        peer: bool,
    },
    /// `shutdown(2)`. `Outcome::Native`: let the kernel do it on the pair.
    Shutdown {
        /// Which socket.
        socket: SocketNumber,
        /// `SHUT_RD`, …
        how: i32,
    },
    /// `setsockopt(2)`.
    SetOption {
        /// Which socket.
        socket: SocketNumber,
        /// Level.
        level: i32,
        /// Name.
        name: i32,
        /// Value; at most 8,336 bytes are looked at, the longest filter of a group.
        value: Vec<u8>,
    },
    /// `getsockopt(2)`.
    GetOption {
        /// Which socket.
        socket: SocketNumber,
        /// Level.
        level: i32,
        /// Name.
        name: i32,
    },
    /// `sendto(2)` on a datagram socket.
    SendTo {
        /// Which socket.
        socket: SocketNumber,
        /// To whom; `None`: to the peer.
        address: Option<SocketAddr>,
        /// Control messages of `sendmsg`, as they lie in memory.
        control: Vec<u8>,
        /// The datagram.
        data: Vec<u8>,
    },
    /// `recvfrom(2)` on a datagram socket. Brings the program's end, for as long as the call is looked at.
    ReceiveFrom {
        /// Which socket.
        socket: SocketNumber,
        /// Answer only when there is a datagram.
        wait: bool,
        /// Leave it there (`MSG_PEEK`).
        peek: bool,
        /// Bytes that the program has room for.
        room: u32,
        /// Of the queue of errors (`MSG_ERRQUEUE`).
        errors: bool,
    },
    /// A request about interfaces (`SIOCGIF…`).
    Interface {
        /// The request.
        request: u32,
        /// The first bytes of its argument.
        argument: Vec<u8>,
    },
    /// A file that says what the network is. Answered with `Outcome::File` and a descriptor to read it by.
    File {
        /// Its path.
        file: String,
    },
    /// The call `id` is no longer waited for. No answer to it nor to this.
    Cancel,
    /// The program has got its socket: who holds it, for `netstat -p`. No answer.
    Delivered {
        /// Which socket.
        socket: SocketNumber,
        /// Process.
        pid: u32,
        /// Its number there.
        fd: i32,
    },
    /// The program did not get the socket (its call was cancelled). No answer.
    Undelivered {
        /// Which socket.
        socket: SocketNumber,
        /// A token was taken out of the listener.
        token: bool,
    },
}

/// A listener in the guard's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InRoom {
    /// Where it listens there.
    pub address: SocketAddr,
    /// The number of the program's end, as `/proc/PID/fd` names it.
    pub inode: u32,
}

/// What the lab says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a request.
    Done {
        /// Its id.
        id: u64,
        /// A value or an errno.
        result: Result<Outcome, i32>,
    },
    /// The lab has let go of its end of a socket's pair: the guard lets go of its duplicate.
    Release {
        /// Which socket.
        socket: SocketNumber,
        /// So that the program reads `ECONNRESET` and not an end of file.
        reset: bool,
    },
    /// The program has closed the socket everywhere (or nobody asks any more): its number means nothing now.
    Forget {
        /// Which socket.
        socket: SocketNumber,
    },
}

/// A call's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A plain number, 0 for most.
    Value(i64),
    /// A new socket.
    Socket(SocketNumber),
    /// An accepted connection.
    Accepted {
        /// Its number.
        socket: SocketNumber,
        /// Who connected.
        peer: SocketAddr,
        /// Take one token byte out of the listener.
        token: bool,
    },
    /// No connection waits (`EAGAIN`).
    Nobody {
        /// Take so many token bytes out of the listener.
        tokens: u32,
    },
    /// An address.
    Address(SocketAddr),
    /// An option's value or an interface's answer.
    Bytes(Vec<u8>),
    /// A datagram.
    Datagram {
        /// Who sent it; `None` when that is not known any more.
        from: Option<SocketAddr>,
        /// Its whole length.
        length: u32,
        /// As much as there is room for.
        data: Vec<u8>,
        /// Control messages, as they lie in memory.
        control: Vec<u8>,
    },
    /// The kernel does it.
    Native,
    /// A connect that does not wait was refused already; the socket is as it was at first.
    Refused,
    /// The socket is as it was at first, with a new pair: two descriptors, as for `Socket`.
    Renewed {
        /// What the call says all the same; 0: nothing.
        errno: i32,
    },
    /// A file that is opened for reading.
    File,
    /// A datagram of netlink: they come from port 0, and control messages are not there.
    Message {
        /// Its whole length.
        length: u32,
        /// As much as there is room for.
        data: Vec<u8>,
    },
}

impl Call {
    /// The socket that it is about.
    pub fn socket(&self) -> Option<SocketNumber> {
        match self {
            Self::Hello { .. }
            | Self::Socket { .. }
            | Self::Interface { .. }
            | Self::File { .. }
            | Self::Cancel => None,
            Self::Bind { socket, .. }
            | Self::BindNetlink { socket, .. }
            | Self::Listen { socket, .. }
            | Self::Accept { socket, .. }
            | Self::Connect { socket, .. }
            | Self::Name { socket, .. }
            | Self::Shutdown { socket, .. }
            | Self::SetOption { socket, .. }
            | Self::GetOption { socket, .. }
            | Self::SendTo { socket, .. }
            | Self::ReceiveFrom { socket, .. }
            | Self::Delivered { socket, .. }
            | Self::Undelivered { socket, .. } => Some(*socket),
        }
    }
}

impl Request {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u64(self.id);
        match &self.call {
            Call::Hello { pid, program } => w.tag(0).u32(*pid).bytes(program.as_bytes()),
            Call::Socket {
                family,
                kind,
                protocol,
            } => w.tag(1).u32(u32::from(*family)).u32(*kind).u32(*protocol),
            Call::Bind { socket, address } => w.tag(2).u32(*socket).address(Some(*address)),
            Call::Listen {
                socket,
                backlog,
                room,
            } => w.tag(3).u32(*socket).i32(*backlog).in_room(*room),
            Call::Accept { socket, wait } => w.tag(4).u32(*socket).bool(*wait),
            Call::Connect {
                socket,
                address,
                wait,
                filler,
                at_once,
            } => w
                .tag(5)
                .u32(*socket)
                .address(*address)
                .bool(*wait)
                .u32(*filler)
                .bool(*at_once),
            Call::Name { socket, peer } => w.tag(6).u32(*socket).bool(*peer),
            Call::Shutdown { socket, how } => w.tag(7).u32(*socket).i32(*how),
            Call::SetOption {
                socket,
                level,
                name,
                value,
            } => w.tag(8).u32(*socket).i32(*level).i32(*name).bytes(value),
            Call::GetOption {
                socket,
                level,
                name,
            } => w.tag(9).u32(*socket).i32(*level).i32(*name),
            Call::SendTo {
                socket,
                address,
                control,
                data,
            } => w
                .tag(10)
                .u32(*socket)
                .address(*address)
                .bytes(control)
                .bytes(data),
            Call::ReceiveFrom {
                socket,
                wait,
                peek,
                room,
                errors,
            } => w.receive_from(*socket, (*wait, *peek, *errors), *room),
            Call::Interface { request, argument } => w.tag(12).u32(*request).bytes(argument),
            Call::Cancel => w.tag(13),
            Call::Delivered { socket, pid, fd } => w.tag(14).u32(*socket).u32(*pid).i32(*fd),
            Call::Undelivered { socket, token } => w.tag(15).u32(*socket).bool(*token),
            Call::BindNetlink {
                socket,
                port,
                groups,
            } => w.tag(16).u32(*socket).u32(*port).u32(*groups),
            Call::File { file } => w.tag(17).bytes(file.as_bytes()),
        };
        w.0
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`], also when bytes are left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        let id = r.u64()?;
        let call = match r.u8()? {
            0 => Call::Hello {
                pid: r.u32()?,
                program: r.text()?,
            },
            1 => Call::Socket {
                family: u16::try_from(r.u32()?).map_err(|_| Malformed)?,
                kind: r.u32()?,
                protocol: r.u32()?,
            },
            2 => Call::Bind {
                socket: r.u32()?,
                address: r.address()?.ok_or(Malformed)?,
            },
            3 => Call::Listen {
                socket: r.u32()?,
                backlog: r.i32()?,
                room: r.in_room()?,
            },
            4 => Call::Accept {
                socket: r.u32()?,
                wait: r.bool()?,
            },
            5 => Call::Connect {
                socket: r.u32()?,
                address: r.address()?,
                wait: r.bool()?,
                filler: r.u32()?,
                at_once: r.bool()?,
            },
            6 => Call::Name {
                socket: r.u32()?,
                peer: r.bool()?,
            },
            7 => Call::Shutdown {
                socket: r.u32()?,
                how: r.i32()?,
            },
            8 => Call::SetOption {
                socket: r.u32()?,
                level: r.i32()?,
                name: r.i32()?,
                value: r.bytes()?,
            },
            9 => Call::GetOption {
                socket: r.u32()?,
                level: r.i32()?,
                name: r.i32()?,
            },
            10 => Call::SendTo {
                socket: r.u32()?,
                address: r.address()?,
                control: r.bytes()?,
                data: r.bytes()?,
            },
            11 => r.receive_from()?,
            12 => Call::Interface {
                request: r.u32()?,
                argument: r.bytes()?,
            },
            13 => Call::Cancel,
            14 => Call::Delivered {
                socket: r.u32()?,
                pid: r.u32()?,
                fd: r.i32()?,
            },
            15 => Call::Undelivered {
                socket: r.u32()?,
                token: r.bool()?,
            },
            16 => r.bind_netlink()?,
            17 => Call::File { file: r.text()? },
            _ => return Err(Malformed),
        };
        r.end()?;
        Ok(Self { id, call })
    }
}

impl Answer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        match self {
            Self::Done {
                id,
                result: Err(errno),
            } => w.tag(0).u64(*id).i32(*errno),
            Self::Done {
                id,
                result: Ok(outcome),
            } => {
                w.tag(1).u64(*id);
                match outcome {
                    Outcome::Value(value) => w.tag(0).u64(value.cast_unsigned()),
                    Outcome::Socket(socket) => w.tag(1).u32(*socket),
                    Outcome::Accepted {
                        socket,
                        peer,
                        token,
                    } => w.tag(2).u32(*socket).address(Some(*peer)).bool(*token),
                    Outcome::Address(address) => w.tag(3).address(Some(*address)),
                    Outcome::Bytes(bytes) => w.tag(4).bytes(bytes),
                    Outcome::Datagram {
                        from,
                        length,
                        data,
                        control,
                    } => w
                        .tag(5)
                        .address(*from)
                        .u32(*length)
                        .bytes(data)
                        .bytes(control),
                    Outcome::Native => w.tag(6),
                    Outcome::Nobody { tokens } => w.tag(7).u32(*tokens),
                    Outcome::Message { length, data } => w.tag(8).u32(*length).bytes(data),
                    Outcome::File => w.tag(9),
                    Outcome::Renewed { errno } => w.tag(10).i32(*errno),
                    Outcome::Refused => w.tag(11),
                }
            }
            Self::Release { socket, reset } => w.tag(2).u32(*socket).bool(*reset),
            Self::Forget { socket } => w.tag(3).u32(*socket),
        };
        w.0
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`], also when bytes are left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        let answer = match r.u8()? {
            0 => Self::Done {
                id: r.u64()?,
                result: Err(r.i32()?),
            },
            1 => Self::Done {
                id: r.u64()?,
                result: Ok(r.outcome()?),
            },
            2 => Self::Release {
                socket: r.u32()?,
                reset: r.bool()?,
            },
            3 => Self::Forget { socket: r.u32()? },
            _ => return Err(Malformed),
        };
        r.end()?;
        Ok(answer)
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }
    fn bool(&mut self, value: bool) -> &mut Self {
        self.tag(u8::from(value))
    }
    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn i32(&mut self, value: i32) -> &mut Self {
        self.u32(value.cast_unsigned())
    }
    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u32::try_from(bytes.len()).expect("a field is shorter than a message");
        self.u32(length);
        self.0.extend_from_slice(bytes);
        self
    }
    fn receive_from(
        &mut self,
        socket: SocketNumber,
        (wait, peek, errors): (bool, bool, bool),
        room: u32,
    ) -> &mut Self {
        let head = self.tag(11).u32(socket).bool(wait).bool(peek);
        head.u32(room).bool(errors)
    }
    fn in_room(&mut self, room: Option<InRoom>) -> &mut Self {
        self.address(room.map(|room| room.address));
        self.u32(room.map_or(0, |room| room.inode))
    }
    fn address(&mut self, address: Option<SocketAddr>) -> &mut Self {
        match address {
            None => self.tag(0),
            Some(SocketAddr::V4(v4)) => {
                self.tag(4).u32(u32::from(v4.port()));
                self.0.extend_from_slice(&v4.ip().octets());
                self
            }
            Some(SocketAddr::V6(v6)) => {
                self.tag(6)
                    .u32(u32::from(v6.port()))
                    .u32(v6.flowinfo())
                    .u32(v6.scope_id());
                self.0.extend_from_slice(&v6.ip().octets());
                self
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }
    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }
    fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }
    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(self.u32()?.cast_signed())
    }
    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    fn bytes(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }
    fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
    fn port(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.u32()?).map_err(|_| Malformed)
    }
    fn address(&mut self) -> Result<Option<SocketAddr>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            4 => {
                let port = self.port()?;
                let ip = Ipv4Addr::from(self.array::<4>()?);
                Ok(Some(SocketAddr::new(IpAddr::V4(ip), port)))
            }
            6 => {
                let (port, flow, scope) = (self.port()?, self.u32()?, self.u32()?);
                let ip = Ipv6Addr::from(self.array::<16>()?);
                Ok(Some(SocketAddr::V6(SocketAddrV6::new(
                    ip, port, flow, scope,
                ))))
            }
            _ => Err(Malformed),
        }
    }
    fn in_room(&mut self) -> Result<Option<InRoom>, Malformed> {
        let (address, inode) = (self.address()?, self.u32()?);
        Ok(address.map(|address| InRoom { address, inode }))
    }
    fn receive_from(&mut self) -> Result<Call, Malformed> {
        Ok(Call::ReceiveFrom {
            socket: self.u32()?,
            wait: self.bool()?,
            peek: self.bool()?,
            room: self.u32()?,
            errors: self.bool()?,
        })
    }
    fn bind_netlink(&mut self) -> Result<Call, Malformed> {
        Ok(Call::BindNetlink {
            socket: self.u32()?,
            port: self.u32()?,
            groups: self.u32()?,
        })
    }
    fn outcome(&mut self) -> Result<Outcome, Malformed> {
        Ok(match self.u8()? {
            0 => Outcome::Value(self.u64()?.cast_signed()),
            1 => Outcome::Socket(self.u32()?),
            2 => Outcome::Accepted {
                socket: self.u32()?,
                peer: self.address()?.ok_or(Malformed)?,
                token: self.bool()?,
            },
            3 => Outcome::Address(self.address()?.ok_or(Malformed)?),
            4 => Outcome::Bytes(self.bytes()?),
            5 => Outcome::Datagram {
                from: self.address()?,
                length: self.u32()?,
                data: self.bytes()?,
                control: self.bytes()?,
            },
            6 => Outcome::Native,
            7 => Outcome::Nobody {
                tokens: self.u32()?,
            },
            8 => Outcome::Message {
                length: self.u32()?,
                data: self.bytes()?,
            },
            9 => Outcome::File,
            10 => Outcome::Renewed { errno: self.i32()? },
            11 => Outcome::Refused,
            _ => return Err(Malformed),
        })
    }
    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Call {
        Call::Hello {
            pid: 7,
            program: "python3".into(),
        }
    }

    fn netlink() -> Call {
        Call::BindNetlink {
            socket: 1,
            port: 4711,
            groups: 0x11,
        }
    }

    fn dissolve() -> Call {
        Call::Connect {
            socket: 1,
            address: None,
            wait: true,
            filler: 0,
            at_once: false,
        }
    }

    fn listen(room: Option<SocketAddr>) -> Call {
        let inode = 4711;
        Call::Listen {
            socket: 1,
            backlog: -1,
            room: room.map(|address| InRoom { address, inode }),
        }
    }

    fn calls() -> Vec<Call> {
        let address: SocketAddr = "10.0.1.10:8080".parse().unwrap();
        let six: SocketAddr = "[2001:db8::1%7]:53".parse().unwrap();
        vec![
            netlink(),
            Call::File {
                file: "/etc/hosts".into(),
            },
            hello(),
            Call::Socket {
                family: 2,
                kind: 1,
                protocol: 6,
            },
            Call::Bind { socket: 1, address },
            listen(Some(six)),
            listen(None),
            Call::Accept {
                socket: 1,
                wait: true,
            },
            Call::Connect {
                socket: 1,
                address: Some(six),
                wait: false,
                filler: 9,
                at_once: true,
            },
            dissolve(),
            Call::Name {
                socket: 1,
                peer: true,
            },
            Call::Shutdown { socket: 1, how: 2 },
            Call::SetOption {
                socket: 1,
                level: 6,
                name: 1,
                value: vec![1, 0, 0, 0],
            },
            Call::GetOption {
                socket: 1,
                level: 1,
                name: 4,
            },
            Call::SendTo {
                socket: 1,
                address: Some(address),
                control: vec![0; 4096],
                data: vec![0; 65_507],
            },
            Call::ReceiveFrom {
                socket: 1,
                wait: true,
                peek: false,
                room: 512,
                errors: true,
            },
            Call::Interface {
                request: 0x8915,
                argument: vec![b'l', b'o'],
            },
            Call::Cancel,
            Call::Delivered {
                socket: 1,
                pid: 7,
                fd: 3,
            },
            Call::Undelivered {
                socket: 1,
                token: true,
            },
        ]
    }

    fn answers() -> Vec<Answer> {
        let peer: SocketAddr = "10.0.1.10:8080".parse().unwrap();
        let outcomes = vec![
            Outcome::Value(-1),
            Outcome::Socket(3),
            Outcome::Accepted {
                socket: 4,
                peer,
                token: true,
            },
            Outcome::Address(peer),
            Outcome::Bytes(vec![1, 2, 3]),
            Outcome::Datagram {
                from: None,
                length: 9,
                data: vec![7; 9],
                control: vec![8; 24],
            },
            Outcome::Native,
            Outcome::Renewed { errno: 111 },
            Outcome::Refused,
            Outcome::File,
            Outcome::Nobody { tokens: 2 },
            Outcome::Message {
                length: 9,
                data: vec![7; 4],
            },
        ];
        let mut answers: Vec<Answer> = outcomes
            .into_iter()
            .map(|o| Answer::Done {
                id: 11,
                result: Ok(o),
            })
            .collect();
        answers.push(Answer::Done {
            id: 12,
            result: Err(libc::ECONNREFUSED),
        });
        answers.push(Answer::Release {
            socket: 5,
            reset: true,
        });
        answers.push(Answer::Forget { socket: 5 });
        answers
    }

    #[test]
    fn every_message_survives_the_way_there_and_back_and_fits() {
        for call in calls() {
            let request = Request {
                id: 0x0123_4567_89ab_cdef,
                call,
            };
            let bytes = request.encode();
            assert!(bytes.len() <= crate::channel::LONGEST);
            assert_eq!(Request::decode(&bytes), Ok(request));
        }
        for answer in answers() {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn a_message_that_is_cut_or_too_long_is_refused() {
        for call in calls() {
            let mut bytes = Request { id: 1, call }.encode();
            for length in (0..bytes.len()).rev().take(40) {
                assert_eq!(Request::decode(&bytes[..length]), Err(Malformed));
            }
            bytes.push(0);
            assert_eq!(Request::decode(&bytes), Err(Malformed));
        }
        for answer in answers() {
            let mut bytes = answer.encode();
            bytes.push(0);
            assert_eq!(Answer::decode(&bytes), Err(Malformed));
        }
    }
}
