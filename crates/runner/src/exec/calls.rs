//! A trapped call, decoded: read its arguments once, then make sure that it still waits, then act.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use super::answers::{HeaderPlace, Place, Progress, Want};
use super::guard::{Guard, Question};
use super::room::Ends;
use super::room::streams::be_refused;
use super::{files, identity, interfaces, netlink, pair, stand_in};
use crate::memory;
use crate::notify::Notification;
use crate::protocol::{Call, InRoom, SocketNumber};
use heptad_runtime::stack::l5_session::sockaddr::{self, Kind, Purpose};

/// Largest datagram of any protocol: UDP's own bounds are the lab's to know.
const LONGEST_DATAGRAM: usize = 65_535;
/// Bytes thrown away by one call; a stream's reader may always get less than it asked for.
const MOST_DISCARDED: usize = 256 * 1024;
/// Most buffers of a message (`UIO_MAXIOV`).
const MOST_BUFFERS: usize = 1024;
/// Bytes of control messages of one call.
const LONGEST_CONTROL: usize = 4096;
/// Bytes of a `struct ifreq`.
pub const IFREQ: usize = 40;
/// `SIOCATMARK`.
const AT_MARK: u32 = 0x8905;
/// The kind in `socket`'s second argument, below its flags.
pub(super) const KIND: u32 = 0xf;

/// What becomes of a call.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Step {
    /// The kernel does it after all.
    Native,
    /// The lab is asked.
    Ask(Question),
    /// The answer is known.
    Value(i64),
    /// The answer is an epoll.
    Give { file: OwnedFd, cloexec: bool },
}

/// One of our sockets, held while a call on it is looked at.
pub(super) struct Held {
    pub(super) end: OwnedFd,
    pub(super) number: SocketNumber,
    pub(super) stream: bool,
    pub(super) family: u16,
    pub(super) started: bool,
    /// `SOCK_RAW`.
    pub(super) raw: bool,
    /// The end is a stand-in.
    pub(super) stands_in: bool,
    /// The end is in the guard's room.
    pub(super) in_room: bool,
    cookie: u64,
}

impl Held {
    /// Whether it speaks netlink.
    fn is_netlink(&self) -> bool {
        i32::from(self.family) == libc::AF_NETLINK
    }
}

/// A `struct msghdr`, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageHeader {
    pub(super) name: u64,
    pub(super) name_length: u32,
    pub(super) buffers: u64,
    pub(super) buffer_count: u64,
    /// Control messages: where, and how many bytes of room.
    pub(super) control: (u64, u64),
}
impl MessageHeader {
    /// Whether there is something that a pair knows nothing of.
    fn is_ours(&self) -> bool {
        self.name != 0 || self.has_control()
    }
    fn has_control(&self) -> bool {
        self.control.0 != 0 && self.control.1 != 0
    }
    fn answer_at(&self, at: u64) -> HeaderPlace {
        HeaderPlace {
            at,
            name_room: self.name_length,
            control: self.control,
        }
    }
}

impl Guard {
    /// Takes one call to its answer or to the lab.
    pub(super) fn handle(&mut self, call: Notification) {
        let step = self.decode(&call);
        if !self.listener.waits(call.id) {
            return;
        }
        // An error here says that the call is gone: nothing is left to do for it.
        let _ = match step {
            Ok(Step::Native) => self.listener.leave_to_kernel(call.id),
            Ok(Step::Value(value)) => self.listener.answer(call.id, Ok(value)),
            Ok(Step::Give { file, cloexec }) => self.give_epoll(&call, &file, cloexec),
            Ok(Step::Ask(question)) => {
                self.ask(call, question);
                Ok(())
            }
            Err(errno) => self.listener.answer(call.id, Err(errno)),
        };
    }

    fn decode(&mut self, n: &Notification) -> Result<Step, i32> {
        match n.call {
            libc::SYS_socket => self.socket(n),
            libc::SYS_sendmsg => self.sendmsg(n),
            libc::SYS_recvmsg => self.recvmsg(n),
            libc::SYS_sendmmsg => self.sendmmsg(n),
            libc::SYS_recvmmsg => self.recvmmsg(n),
            libc::SYS_ioctl => self.ioctl(n),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => files::open(n, n.args[0], n.args[1]),
            libc::SYS_openat => files::open(n, n.args[1], n.args[2]),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_create => self.make_epoll(n),
            libc::SYS_epoll_create1 => self.make_epoll(n),
            _ => match self.hold(n)? {
                Some(held) => self.decode_held(n, held),
                None => Ok(Step::Native),
            },
        }
    }

    fn decode_held(&mut self, n: &Notification, held: Held) -> Result<Step, i32> {
        let socket = held.number;
        match n.call {
            libc::SYS_bind if held.is_netlink() => netlink::bind(n, socket),
            libc::SYS_bind => bind(n, &held),
            libc::SYS_listen => self.listen(n, held),
            libc::SYS_accept => accept(n, held, 0),
            libc::SYS_accept4 => accept(n, held, n.args[3] as u32),
            libc::SYS_connect => self.connect(n, held),
            libc::SYS_getsockname => name(n, &held, false),
            libc::SYS_getpeername => name(n, &held, true),
            libc::SYS_shutdown if held.stands_in && !held.started => Ok(Step::Native),
            libc::SYS_shutdown => Ok(ask(
                Call::Shutdown {
                    socket,
                    how: n.args[1] as i32,
                },
                Want::Shut { socket },
            )),
            libc::SYS_setsockopt => self.set_option(n, &held),
            libc::SYS_getsockopt => self.get_option(n, held),
            libc::SYS_sendto => {
                let length = usize::try_from(n.args[2]).unwrap_or(usize::MAX);
                let name = (n.args[4], n.args[5] as u32);
                send_to(n, &held, (name, Vec::new()), &[(n.args[1], length)])
            }
            libc::SYS_recvfrom if held.stream && n.args[3] as i32 & libc::MSG_ERRQUEUE != 0 => {
                Err(libc::EAGAIN)
            }
            libc::SYS_recvfrom if held.stream && n.args[3] as i32 & libc::MSG_TRUNC != 0 => {
                discard(n, &held)
            }
            // `recv` on a datagram socket: a pair knows `MSG_TRUNC` there.
            libc::SYS_recvfrom if n.args[4] == 0 && n.args[3] as i32 & libc::MSG_ERRQUEUE == 0 => {
                Ok(Step::Native)
            }
            libc::SYS_recvfrom => {
                let room = usize::try_from(n.args[2]).unwrap_or(usize::MAX);
                let name = Place {
                    at: n.args[4],
                    length_at: n.args[5],
                };
                let spread = vec![(n.args[1], room)];
                receive_from(
                    held,
                    Want::Datagram {
                        spread,
                        name,
                        header: None,
                        flags: 0,
                        many: None,
                    },
                    n.args[3] as i32,
                )
            }
            _ => Ok(Step::Native),
        }
    }

    /// The socket of ours that the first argument names; `None` for any other descriptor, and where we may not look.
    pub(super) fn hold(&mut self, n: &Notification) -> Result<Option<Held>, i32> {
        let Ok(mut end) = self.threads.duplicate(n.thread, n.args[0] as i32) else {
            return Ok(None);
        };
        let Ok(mut cookie) = identity::cookie(end.as_fd()) else {
            return Ok(None);
        };
        if let Some(number) = self.sockets.earlier(cookie) {
            (end, cookie) = self.catch_up(n, number, end)?;
        }
        let held = self.sockets.find(cookie).map(|socket| Held {
            end,
            number: socket.number,
            stream: socket.stream,
            family: socket.family,
            started: socket.started,
            raw: socket.made_as.0 == libc::SOCK_RAW as u32,
            stands_in: socket.stands_in(),
            in_room: socket.in_room,
            cookie,
        });
        if let Some(held) = held.as_ref().filter(|held| held.in_room) {
            self.find_place(n, held);
        }
        Ok(held)
    }

    fn socket(&mut self, n: &Notification) -> Result<Step, i32> {
        let (family, kind, protocol) = (n.args[0] as u32, n.args[1] as u32, n.args[2] as u32);
        let flags = (kind & !KIND).cast_signed();
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(libc::EINVAL);
        }
        let kind = kind & KIND;
        let family = family as u16;
        let Ends { kept, told } = self.ends_in_room(family, kind);
        let want = Want::Socket {
            stream: kind == libc::SOCK_STREAM as u32,
            family,
            flags,
            ends: kept,
        };
        let call = Call::Socket {
            family,
            kind,
            protocol,
        };
        Ok(Step::Ask(Question {
            ends: told,
            ..Question::new(call, want)
        }))
    }

    fn listen(&mut self, n: &Notification, held: Held) -> Result<Step, i32> {
        let door = self.listen_in_room(&held)?;
        let call = Call::Listen {
            socket: held.number,
            backlog: n.args[1] as i32,
            room: door.as_ref().map(|door| InRoom {
                address: door.address,
                inode: identity::inode(held.end.as_fd()) as u32,
            }),
        };
        let want = Want::Listening {
            socket: held.number,
            started: held.started,
            in_room: door.is_some(),
            end: held.end,
        };
        Ok(Step::Ask(Question {
            ends: door.map(|door| door.ends).unwrap_or_default(),
            ..Question::new(call, want)
        }))
    }

    /// After a connect that was refused at once the kernel says so, or that it was broken off, and the stream is as it was at first.
    fn connect_refused(&mut self, held: &Held) -> Option<i32> {
        let socket = self.sockets.get(held.number).filter(|s| s.refused)?;
        let errno = be_refused(held.end.as_fd(), held.family);
        if [libc::ECONNREFUSED, libc::ECONNABORTED].contains(&errno) {
            socket.refused = false;
            self.tell(Call::Connect {
                socket: held.number,
                address: None,
                wait: false,
                filler: 0,
                at_once: false,
            });
        }
        Some(errno)
    }

    /// Whether a stream has begun to connect or listen, or was refused just now.
    fn is_busy(&mut self, held: &Held) -> bool {
        let socket = self.sockets.get(held.number);
        socket.is_some_and(|socket| socket.started || socket.refused)
    }

    fn connect(&mut self, n: &Notification, held: Held) -> Result<Step, i32> {
        let name = (n.args[1], n.args[2] as u32);
        let address = match read_address(n.thread, name, &held, Purpose::Connect) {
            // As Linux: of a stream that is no longer idle the address is not looked at.
            Err(errno) if errno != libc::EFAULT && held.stream && self.is_busy(&held) => {
                Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
            }
            address => address?,
        };
        if address.is_some()
            && let Some(errno) = self.connect_refused(&held)
        {
            return Err(errno);
        }
        let wait = !pair::is_nonblocking(held.end.as_fd());
        let first = held.stream && address.is_some() && !held.started;
        let filler = if first && !wait {
            stand_in::fill(self.sockets.waiting(held.number), held.end.as_fd())
        } else {
            0
        };
        if first && let Some(socket) = self.sockets.find(held.cookie) {
            socket.started = true;
        }
        let call = Call::Connect {
            socket: held.number,
            address,
            wait,
            filler,
            at_once: first && !wait && self.sockets.stands_in_room(held.number),
        };
        let limit = pair::send_limit(&held.end).filter(|_| wait);
        let want = match address {
            None if held.stands_in => Want::Dissolved {
                socket: held.number,
                end: held.end,
            },
            _ if held.in_room => Want::Associated {
                socket: held.number,
                end: held.end,
                connects: address.is_some(),
            },
            _ => Want::Connected {
                socket: held.number,
            },
        };
        Ok(Step::Ask(Question {
            limit: limit.map(|limit| (limit, libc::EINPROGRESS)),
            ..Question::new(call, want)
        }))
    }

    fn sendmsg(&mut self, n: &Notification) -> Result<Step, i32> {
        let header = read_header(n.thread, n.args[1])?;
        let has_name = header.name != 0 && header.name_length != 0;
        let Some(held) = self.hold(n)? else {
            return Ok(Step::Native);
        };
        if held.stream && !has_name {
            return Ok(Step::Native);
        }
        let name = (header.name, header.name_length);
        let control = read_control(n.thread, &header, &held)?;
        let buffers = read_buffers(n.thread, &header)?;
        send_to(n, &held, (name, control), &buffers)
    }

    fn recvmsg(&mut self, n: &Notification) -> Result<Step, i32> {
        let header = read_header(n.thread, n.args[1])?;
        let flags = n.args[2] as i32;
        let errors = flags & libc::MSG_ERRQUEUE != 0;
        if !header.is_ours() && !errors {
            return Ok(Step::Native);
        }
        let Some(held) = self.hold(n)? else {
            return Ok(Step::Native);
        };
        if held.stream && errors {
            return Err(libc::EAGAIN);
        }
        let want = Want::Datagram {
            spread: read_buffers(n.thread, &header)?,
            name: Place {
                at: header.name,
                length_at: 0,
            },
            header: Some(header.answer_at(n.args[1])),
            flags: 0,
            many: None,
        };
        receive_from(held, want, flags)
    }

    /// With addresses or control messages it is as many `sendmsg`, one after the other; without, the kernel's.
    fn sendmmsg(&mut self, n: &Notification) -> Result<Step, i32> {
        let headers = read_headers(n.thread, n.args[1], n.args[2])?;
        if !headers.iter().any(MessageHeader::is_ours) {
            return Ok(Step::Native);
        }
        let Some(held) = self.hold(n)? else {
            return Ok(Step::Native);
        };
        if held.stands_in && send_flags(n) & libc::MSG_FASTOPEN != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        if held.stream {
            return Ok(Step::Native);
        }
        take_error(&held)?;
        let mut rest = Vec::with_capacity(headers.len());
        for header in headers.iter().rev() {
            let address = match header.name {
                0 => None,
                at => {
                    let name = (at, header.name_length);
                    read_address(n.thread, name, &held, Purpose::Send)?
                }
            };
            let data = gather(n.thread, &read_buffers(n.thread, header)?)?;
            rest.push(Call::SendTo {
                socket: held.number,
                address,
                control: read_control(n.thread, header, &held)?,
                data,
            });
        }
        let Some(first) = rest.pop() else {
            return Ok(Step::Value(0));
        };
        Ok(ask(
            first,
            Want::ManySent {
                rest,
                done: 0,
                headers: n.args[1],
            },
        ))
    }

    /// With room for addresses or control messages, one datagram after the other, the first as the call says and the others if
    /// they are there; without, the kernel's.
    fn recvmmsg(&mut self, n: &Notification) -> Result<Step, i32> {
        let headers = read_headers(n.thread, n.args[1], n.args[2])?;
        let flags = n.args[3] as i32;
        let errors = flags & libc::MSG_ERRQUEUE != 0;
        let Some(behind) = headers.len().checked_sub(1) else {
            return Ok(Step::Native);
        };
        if !headers.iter().any(MessageHeader::is_ours) && !errors {
            return Ok(Step::Native);
        }
        let first = Progress {
            at: n.args[1],
            done: 0,
            left: behind as u32,
        };
        self.receive_many(n, first, flags)
    }

    /// The datagram for one of the headers of `recvmmsg`.
    pub(super) fn receive_many(
        &mut self,
        n: &Notification,
        progress: Progress,
        flags: i32,
    ) -> Result<Step, i32> {
        let header = read_header(n.thread, progress.at)?;
        let Some(held) = self.hold(n)? else {
            return Ok(Step::Native);
        };
        let want = Want::Datagram {
            spread: read_buffers(n.thread, &header)?,
            name: Place {
                at: header.name,
                length_at: 0,
            },
            header: Some(header.answer_at(progress.at)),
            flags: 0,
            many: Some(progress),
        };
        receive_from(held, want, flags)
    }

    /// Whether the first argument is a socket that is of no network: C libraries ask about interfaces on one of `AF_UNIX`.
    fn has_no_network(&mut self, n: &Notification) -> bool {
        let Ok(end) = self.threads.duplicate(n.thread, n.args[0] as i32) else {
            return false;
        };
        use rustix::net::{AddressFamily, sockopt::socket_domain};
        let domain = socket_domain(&end);
        domain.is_ok_and(|domain| [AddressFamily::UNIX, AddressFamily::NETLINK].contains(&domain))
    }

    /// Requests about interfaces on our sockets, and on those that programs use for nothing else; below 0x8910 stand those that a pair answers for itself.
    fn ioctl(&mut self, n: &Notification) -> Result<Step, i32> {
        let request = n.args[1] as u32;
        if request == AT_MARK {
            // A pair of datagrams says otherwise.
            let held = self.hold(n)?;
            return match held.is_some_and(|held| !held.stream) {
                true => Err(libc::ENOTTY),
                false => Ok(Step::Native),
            };
        }
        if request < 0x8910 {
            return Ok(Step::Native);
        }
        if self.hold(n)?.is_none() && !self.has_no_network(n) {
            return Ok(Step::Native);
        }
        if libc::Ioctl::from(request) == libc::SIOCGIFCONF {
            return interfaces::list(n);
        }
        let argument = memory::read_vec(n.thread, n.args[2], IFREQ)?;
        Ok(ask(
            Call::Interface { request, argument },
            Want::Interface { at: n.args[2] },
        ))
    }
}

pub(super) fn ask(call: Call, want: Want) -> Step {
    Step::Ask(Question::new(call, want))
}

fn bind(n: &Notification, held: &Held) -> Result<Step, i32> {
    let name = (n.args[1], n.args[2] as u32);
    let address = read_address(n.thread, name, held, Purpose::Bind)?;
    let address = address.ok_or(libc::EAFNOSUPPORT)?;
    let call = Call::Bind {
        socket: held.number,
        address,
    };
    let again = Some(Box::new(call.clone()));
    Ok(ask(call, Want::Bound { again }))
}

fn accept(n: &Notification, held: Held, flags: u32) -> Result<Step, i32> {
    let flags = flags.cast_signed();
    if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
        return Err(libc::EINVAL);
    }
    let wait = !pair::is_nonblocking(held.end.as_fd());
    let call = Call::Accept {
        socket: held.number,
        wait,
    };
    let limit = pair::receive_limit(&held.end).filter(|_| wait);
    let want = Want::Connection {
        family: held.family,
        name: Place {
            at: n.args[1],
            length_at: n.args[2],
        },
        flags,
        // A listener that has no pair.
        in_room: held.stands_in,
        listener: held.end,
    };
    Ok(Step::Ask(Question {
        limit: limit.map(|limit| (limit, libc::EAGAIN)),
        ..Question::new(call, want)
    }))
}

fn name(n: &Notification, held: &Held, peer: bool) -> Result<Step, i32> {
    let place = Place {
        at: n.args[1],
        length_at: n.args[2],
    };
    Ok(ask(
        Call::Name {
            socket: held.number,
            peer,
        },
        Want::Address(place),
    ))
}

/// A stream ignores the address, as Linux does; a datagram goes to it.
fn send_to(
    n: &Notification,
    held: &Held,
    (name, control): ((u64, u32), Vec<u8>),
    buffers: &[(u64, usize)],
) -> Result<Step, i32> {
    if held.stream {
        return send_on_stream(n, held, buffers);
    }
    let address = match name {
        (0, _) | (_, 0) => None,
        name => read_address(n.thread, name, held, Purpose::Send)?,
    };
    let data = gather(n.thread, buffers)?;
    take_error(held)?;
    Ok(ask(
        Call::SendTo {
            socket: held.number,
            address,
            control,
            data,
        },
        Want::Value,
    ))
}

/// The error that waits in the room, where the lab does not see it.
fn take_error(held: &Held) -> Result<(), i32> {
    match held.in_room {
        true => match identity::take_native_error(held.end.as_fd()) {
            0 => Ok(()),
            errno => Err(errno),
        },
        false => Ok(()),
    }
}

/// A pair would refuse an address on a connected socket, so the guard sends in the program's place: what fits at once.
fn send_on_stream(n: &Notification, held: &Held, buffers: &[(u64, usize)]) -> Result<Step, i32> {
    if held.stands_in {
        return match send_flags(n) & libc::MSG_FASTOPEN {
            0 => Ok(Step::Native),
            _ => Err(libc::EOPNOTSUPP),
        };
    }
    if !held.started {
        return Err(libc::EPIPE);
    }
    let mut left = LONGEST_DATAGRAM;
    let mut data = Vec::new();
    for (at, length) in buffers {
        let part = (*length).min(left);
        data.extend(memory::read_vec(n.thread, *at, part)?);
        left -= part;
    }
    use rustix::net::SendFlags;
    match rustix::net::send(&held.end, &data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(Step::Value(sent as i64)),
        Err(error) => Err(error.raw_os_error()),
    }
}

/// Flags of `sendto`, `sendmsg` or `sendmmsg`.
fn send_flags(n: &Notification) -> i32 {
    let at = match n.call {
        libc::SYS_sendmsg => 2,
        _ => 3,
    };
    n.args[at] as i32
}

/// `MSG_TRUNC` on a stream (tcp(7)): bytes are taken and thrown away, and the buffer is not looked at. A call that has to wait
/// is the kernel's, which fills the buffer.
fn discard(n: &Notification, held: &Held) -> Result<Step, i32> {
    use rustix::net::{RecvFlags, recv};
    let flags = n.args[3] as i32;
    let length = usize::try_from(n.args[2]).unwrap_or(usize::MAX);
    let mut block = vec![0; length.min(MOST_DISCARDED)];
    let peek = if flags & libc::MSG_PEEK != 0 {
        RecvFlags::PEEK
    } else {
        RecvFlags::empty()
    };
    match recv(&held.end, block.as_mut_slice(), RecvFlags::DONTWAIT | peek) {
        Ok((_, count)) => Ok(Step::Value(count as i64)),
        Err(rustix::io::Errno::AGAIN) => Ok(Step::Native),
        Err(error) => Err(error.raw_os_error()),
    }
}

fn receive_from(held: Held, want: Want, flags: i32) -> Result<Step, i32> {
    if held.stream {
        return Ok(Step::Native);
    }
    let Want::Datagram {
        spread,
        name,
        header,
        many,
        ..
    } = want
    else {
        return Err(libc::EINVAL);
    };
    let room = spread
        .iter()
        .fold(0_usize, |sum, (_, length)| sum.saturating_add(*length));
    let errors = flags & libc::MSG_ERRQUEUE != 0;
    let blocks = flags & libc::MSG_DONTWAIT == 0 && !pair::is_nonblocking(held.end.as_fd());
    // The queue of errors is never waited for.
    let wait = blocks && !errors;
    let call = Call::ReceiveFrom {
        socket: held.number,
        wait,
        peek: flags & libc::MSG_PEEK != 0,
        room: u32::try_from(room).unwrap_or(u32::MAX),
        errors,
    };
    let limit = pair::receive_limit(&held.end).filter(|_| wait);
    let want = Want::Datagram {
        spread,
        name,
        header,
        flags,
        many,
    };
    Ok(Step::Ask(Question {
        call,
        want,
        limit: limit.map(|limit| (limit, libc::EAGAIN)),
        ends: vec![held.end],
    }))
}

fn read_address(
    thread: i32,
    (at, length): (u64, u32),
    held: &Held,
    purpose: Purpose,
) -> Result<Option<SocketAddr>, i32> {
    let length = usize::try_from(length).map_err(|_| libc::EINVAL)?;
    if length > sockaddr::LONGEST {
        return Err(libc::EINVAL);
    }
    let kind = Kind {
        family: held.family.into(),
        stream: held.stream,
    };
    let bytes = memory::read_vec(thread, at, length)?;
    if held.is_netlink() {
        return netlink::destination(&bytes, purpose).map(|()| None);
    }
    sockaddr::decode(&bytes, kind, purpose)
}

/// Bytes of a `struct msghdr`, and of a `struct mmsghdr`, on 64-bit Linux.
const MSGHDR: usize = 56;
/// As [`MSGHDR`].
pub(super) const MMSGHDR: usize = 64;

fn read_header(thread: i32, at: u64) -> Result<MessageHeader, i32> {
    parse_header(&memory::read_array::<MSGHDR>(thread, at)?)
}

fn read_headers(thread: i32, at: u64, count: u64) -> Result<Vec<MessageHeader>, i32> {
    let count = (count as u32 as usize).min(MOST_BUFFERS);
    let bytes = memory::read_vec(thread, at, count * MMSGHDR)?;
    bytes.chunks_exact(MMSGHDR).map(parse_header).collect()
}

fn parse_header(bytes: &[u8]) -> Result<MessageHeader, i32> {
    let word = |at: usize| {
        bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .copied()
            .map(u64::from_ne_bytes)
    };
    Ok(MessageHeader {
        name: word(0).ok_or(libc::EFAULT)?,
        name_length: word(8).ok_or(libc::EFAULT)? as u32,
        buffers: word(16).ok_or(libc::EFAULT)?,
        buffer_count: word(24).ok_or(libc::EFAULT)?,
        control: (word(32).ok_or(libc::EFAULT)?, word(40).ok_or(libc::EFAULT)?),
    })
}

fn read_buffers(thread: i32, header: &MessageHeader) -> Result<Vec<(u64, usize)>, i32> {
    let count = usize::try_from(header.buffer_count).map_err(|_| libc::EMSGSIZE)?;
    if count > MOST_BUFFERS {
        return Err(libc::EMSGSIZE);
    }
    let bytes = memory::read_vec(thread, header.buffers, count * 16)?;
    let word = |half: &[u8]| {
        half.first_chunk::<8>()
            .copied()
            .map_or(0, u64::from_ne_bytes)
    };
    Ok(bytes
        .chunks_exact(16)
        .map(|pair| pair.split_at(8))
        .map(|(base, length)| {
            (
                word(base),
                usize::try_from(word(length)).unwrap_or(usize::MAX),
            )
        })
        .collect())
}

/// The control messages of a datagram; a stream has none for us.
fn read_control(thread: i32, header: &MessageHeader, held: &Held) -> Result<Vec<u8>, i32> {
    let (at, length) = header.control;
    if held.stream || !header.has_control() {
        return Ok(Vec::new());
    }
    let length = usize::try_from(length).map_err(|_| libc::ENOBUFS)?;
    if length > LONGEST_CONTROL {
        return Err(libc::ENOBUFS);
    }
    memory::read_vec(thread, at, length)
}

fn gather(thread: i32, buffers: &[(u64, usize)]) -> Result<Vec<u8>, i32> {
    let total = buffers
        .iter()
        .fold(0_usize, |sum, (_, length)| sum.saturating_add(*length));
    if total > LONGEST_DATAGRAM {
        return Err(libc::EMSGSIZE);
    }
    let mut data = Vec::with_capacity(total);
    for (at, length) in buffers {
        data.extend(memory::read_vec(thread, *at, *length)?);
    }
    Ok(data)
}
