//! The program's calls: descriptors, and what each call does to the host.
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use heptad_stack::l4_transport::tcp::Info;
use heptad_stack::{Family, Instant, Ready, Shutdown, SocketError, SocketId, SocketKind};

use super::script::{Call, Value};
use super::settings::Settings;
use super::{options, words};
use crate::solo::Solo;

/// What became of a call.
pub(super) enum Outcome {
    Returned(i64),
    /// -1, and this errno.
    Failed(&'static str),
    /// It waits; try again when something happened.
    Blocks,
}
impl Outcome {
    fn of<T>(result: Result<T, SocketError>, value: impl FnOnce(T) -> i64) -> Self {
        match result {
            Ok(result) => Self::Returned(value(result)),
            Err(error) => Self::Failed(error.errno_name()),
        }
    }
}

/// Why a call was not done.
pub(super) enum Fault {
    /// The script asks for what is not there.
    Unknown(String),
    /// What it gave back is not what the script says.
    Differs(String),
}
fn unknown<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Unknown(what.into()))
}

/// What a call opened that the script's next packets belong to.
pub(super) enum Opened {
    Socket,
    Listener(SocketAddr),
    Connection(SocketAddr),
}

/// How far a call is that may be tried again.
pub(super) struct Progress {
    since: Instant,
    /// Bytes that were taken already.
    taken: usize,
    /// It began to connect.
    begun: bool,
    pub opened: Option<Opened>,
    /// When it returns though nothing happened.
    pub until: Option<Instant>,
}
impl Progress {
    pub fn new(since: Instant) -> Self {
        Self {
            since,
            taken: 0,
            begun: false,
            opened: None,
            until: None,
        }
    }
    /// Whether a wait of so many milliseconds goes on; less than none is no end.
    fn goes_on(&mut self, now: Instant, millis: i64) -> bool {
        let millis = u64::try_from(millis).ok();
        self.until = millis.map(|millis| self.since + Duration::from_millis(millis));
        self.until.is_none_or(|until| now < until)
    }
}

/// What a descriptor of the script stands for.
enum Descriptor {
    Socket(Socket),
    /// Which descriptors are watched, for what, and what is told then.
    Epoll(BTreeMap<i64, (i64, Value)>),
}
#[derive(Clone, Copy)]
struct Socket {
    id: SocketId,
    kind: SocketKind,
    nonblocking: bool,
}

/// The descriptors.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<i64, Descriptor>);

/// sendto with MSG_FASTOPEN, until the connection is there: one that waits then sends the rest. `None`: it is.
fn fast(
    host: &mut Solo,
    (socket, waits): (SocketId, bool),
    bytes: &[u8],
    (to, given): (SocketAddr, SocketAddr),
    progress: &mut Progress,
) -> Option<Outcome> {
    let begun = progress.begun;
    let sent = match begun {
        false => host.with(|stack, cx| stack.send_fast(socket, bytes, given, cx)),
        true => host.with(|stack, cx| stack.connect(socket, given, cx).map(|()| 0)),
    };
    let connects = matches!(sent, Ok(_) | Err(SocketError::InProgress));
    if !begun && connects {
        progress.begun = true;
        progress.opened = Some(Opened::Connection(plain(to)));
    }
    match sent {
        Ok(_) | Err(SocketError::IsConnected) if begun => None,
        Ok(taken) if waits => {
            progress.taken = taken;
            Some(Outcome::Blocks)
        }
        Ok(taken) => Some(Outcome::Returned(taken as i64)),
        Err(SocketError::InProgress | SocketError::Already) if waits => Some(Outcome::Blocks),
        Err(error) => Some(Outcome::Failed(error.errno_name())),
    }
}

/// Linux's IPPROTO_ICMP.
const ICMP: i64 = 1;

impl Calls {
    /// Does a call, or as much of it as can be done now.
    pub fn perform(
        &mut self,
        host: &mut Solo,
        settings: &Settings,
        call: &Call,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        let args = Arguments(call);
        match call.name.as_str() {
            "socket" => self.socket(host, settings, args, progress),
            "bind" => self.bind(host, settings, args),
            "listen" => self.listen(host, args, progress),
            "connect" => self.connect(host, settings, args, progress),
            "accept" | "accept4" => self.accept(host, args),
            "read" | "recv" | "recvfrom" | "readv" | "recvmsg" => self.receive(host, args),
            "write" | "send" | "sendto" | "writev" | "sendmsg" => {
                self.send(host, settings, args, progress)
            }
            "shutdown" => self.shutdown(host, args),
            "close" => self.close(host, args),
            "fcntl" => self.fcntl(args),
            "ioctl" => self.ioctl(host, args),
            "setsockopt" => self.setsockopt(host, args),
            "getsockopt" => self.getsockopt(host, args),
            "poll" => self.poll(host, args, progress),
            "epoll_create" | "epoll_create1" => {
                let fd = args.opens()?;
                self.0.insert(fd, Descriptor::Epoll(BTreeMap::new()));
                Ok(Outcome::Returned(fd))
            }
            "epoll_ctl" => self.epoll_ctl(args),
            "epoll_wait" => self.epoll_wait(host, args, progress),
            other => unknown(format!("the call {other} is not known here")),
        }
    }
    /// TCP_INFO of the connection with these ends.
    pub fn info(&self, host: &Solo, ends: Option<(SocketAddr, SocketAddr)>) -> Option<Info> {
        let (local, remote) = ends?;
        let mut sockets = self.0.values().filter_map(|descriptor| match descriptor {
            Descriptor::Socket(socket) => Some(socket.id),
            Descriptor::Epoll(_) => None,
        });
        let stack = host.stack();
        let is_it = |id: &SocketId| {
            let ours = stack.local_addr(*id).ok().map(plain);
            let theirs = stack.peer_addr(*id).ok().map(plain);
            (ours, theirs) == (Some(local), Some(remote))
        };
        stack.tcp_info(sockets.find(is_it)?, host.now())
    }

    fn get(&self, args: Arguments<'_>) -> Result<Socket, Fault> {
        match self.0.get(&args.int(0)?) {
            Some(Descriptor::Socket(socket)) => Ok(*socket),
            _ => unknown(format!("descriptor {} is no socket", args.int(0)?)),
        }
    }

    // ── opening and closing ──────────────────────────────────────────────────────────────────────────────────────

    fn socket(
        &mut self,
        host: &mut Solo,
        settings: &Settings,
        args: Arguments<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        let family = match args.at(0)? {
            Value::Ellipsis if settings.v6_sockets => Family::V6,
            Value::Ellipsis => Family::V4,
            value => match words::int(value) {
                Some(2) => Family::V4,
                Some(10) => Family::V6,
                _ => return unknown("that family of addresses is not known here"),
            },
        };
        let (flags, protocol) = (args.int(1)?, args.int(2)?);
        let nonblocking = flags & words::number("SOCK_NONBLOCK").unwrap_or(0) != 0;
        let kind = match (flags & 0xf, protocol) {
            (1, _) => SocketKind::Stream,
            (2, ICMP) => SocketKind::Echo,
            (2, _) => SocketKind::Datagram,
            _ => return unknown("that type of socket is not known here"),
        };
        let opened = host.with(|stack, _| stack.socket(family, kind));
        let id = match opened {
            Ok(id) => id,
            Err(error) => return Ok(Outcome::Failed(error.errno_name())),
        };
        progress.opened = Some(Opened::Socket);
        self.opened(args, id, kind, nonblocking)
    }
    /// The script says which number a new descriptor has.
    fn opened(
        &mut self,
        args: Arguments<'_>,
        id: SocketId,
        kind: SocketKind,
        nonblocking: bool,
    ) -> Result<Outcome, Fault> {
        let fd = args.opens()?;
        let socket = Socket {
            id,
            kind,
            nonblocking,
        };
        self.0.insert(fd, Descriptor::Socket(socket));
        Ok(Outcome::Returned(fd))
    }
    fn bind(
        &mut self,
        host: &mut Solo,
        settings: &Settings,
        args: Arguments<'_>,
    ) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let local = match args.at(1)? {
            Value::Ellipsis => SocketAddr::new(settings.host.local, settings.bind_port),
            value => address(value)?,
        };
        let local = as_family(settings, local);
        let bound = host.with(|stack, cx| stack.bind(socket.id, local, cx));
        Ok(Outcome::of(bound, |()| 0))
    }
    fn listen(
        &mut self,
        host: &mut Solo,
        args: Arguments<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let backlog = u32::try_from(args.int(1)?).unwrap_or(u32::MAX);
        let listens = host.with(|stack, cx| stack.listen(socket.id, backlog, cx));
        if listens.is_ok() {
            let local = host.stack().local_addr(socket.id);
            let local = local.map_err(|error| Fault::Unknown(error.to_string()))?;
            progress.opened = Some(Opened::Listener(plain(local)));
        }
        Ok(Outcome::of(listens, |()| 0))
    }
    fn connect(
        &mut self,
        host: &mut Solo,
        settings: &Settings,
        args: Arguments<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let remote = match args.at(1)? {
            Value::Ellipsis => SocketAddr::new(settings.remote, settings.connect_port),
            value => address(value)?,
        };
        let given = as_family(settings, remote);
        let again = progress.taken > 0;
        let connects = host.with(|stack, cx| stack.connect(socket.id, given, cx));
        let is_late = matches!(
            connects,
            Err(SocketError::Already | SocketError::IsConnected)
        );
        if !again && !is_late {
            progress.opened = Some(Opened::Connection(plain(remote)));
            progress.taken = 1;
        }
        Ok(match connects {
            Err(SocketError::InProgress | SocketError::Already) if !socket.nonblocking => {
                Outcome::Blocks
            }
            Err(SocketError::IsConnected) if again => Outcome::Returned(0),
            other => Outcome::of(other, |()| 0),
        })
    }
    fn accept(&mut self, host: &mut Solo, args: Arguments<'_>) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let nonblocking = args.0.name == "accept4" && args.int(3)? & 0o4000 != 0;
        match host.with(|stack, cx| stack.accept(socket.id, cx)) {
            Ok((id, _)) => self.opened(args, id, socket.kind, nonblocking),
            Err(error) => Ok(socket.or_blocks(error, false)),
        }
    }
    fn shutdown(&mut self, host: &mut Solo, args: Arguments<'_>) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let how = match args.int(1)? {
            0 => Shutdown::Read,
            1 => Shutdown::Write,
            2 => Shutdown::Both,
            _ => return Ok(Outcome::Failed("EINVAL")),
        };
        let shut = host.with(|stack, cx| stack.shutdown(socket.id, how, cx));
        Ok(Outcome::of(shut, |()| 0))
    }
    fn close(&mut self, host: &mut Solo, args: Arguments<'_>) -> Result<Outcome, Fault> {
        let fd = args.int(0)?;
        match self.0.remove(&fd) {
            None => return Ok(Outcome::Failed("EBADF")),
            Some(Descriptor::Epoll(_)) => {}
            Some(Descriptor::Socket(socket)) => {
                host.with(|stack, cx| stack.close(socket.id, cx));
                for descriptor in self.0.values_mut() {
                    if let Descriptor::Epoll(watched) = descriptor {
                        watched.remove(&fd);
                    }
                }
            }
        }
        Ok(Outcome::Returned(0))
    }

    // ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn receive(&mut self, host: &mut Solo, args: Arguments<'_>) -> Result<Outcome, Fault> {
        const OUT_OF_BAND: i64 = 1;
        const PEEK: i64 = 2;
        const DONT_WAIT: i64 = 0x40;
        let socket = self.get(args)?;
        let (len, flags) = match args.0.name.as_str() {
            "read" => (args.int(2)?, 0),
            "recv" | "recvfrom" => (args.int(2)?, args.int(3)?),
            "readv" => (vectors(args.at(1)?)?, 0),
            _ => (message(args.at(1)?)?, args.int(2)?),
        };
        if flags & !(OUT_OF_BAND | PEEK | DONT_WAIT) != 0 {
            return unknown(
                "flags of receiving other than MSG_OOB, MSG_PEEK and MSG_DONTWAIT are not known here",
            );
        }
        let mut buffer = vec![0; usize::try_from(len).unwrap_or(0)];
        let peeks = flags & PEEK != 0;
        if flags & OUT_OF_BAND != 0 {
            let got = host.with(|stack, cx| stack.recv_urgent(socket.id, peeks, cx));
            return Ok(match got {
                Err(error) => Outcome::Failed(error.errno_name()),
                Ok(byte) => Outcome::Returned(i64::from(byte.is_some() && !buffer.is_empty())),
            });
        }
        let got = host.with(|stack, cx| match peeks {
            true => stack.peek(socket.id, &mut buffer, cx),
            false => stack.recv(socket.id, &mut buffer, cx),
        });
        match got {
            Err(error) => Ok(socket.or_blocks(error, flags & DONT_WAIT != 0)),
            Ok(n) => {
                if let (Value::Text(expected), "read" | "recv") =
                    (args.at(1)?, args.0.name.as_str())
                    && !buffer[..n].starts_with(expected)
                {
                    return Err(Fault::Differs(format!(
                        "other bytes were received: {:?}",
                        &buffer[..n]
                    )));
                }
                Ok(Outcome::Returned(n as i64))
            }
        }
    }
    fn send(
        &mut self,
        host: &mut Solo,
        settings: &Settings,
        args: Arguments<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        const OUT_OF_BAND: i64 = 1;
        const DONT_WAIT: i64 = 0x40;
        const FAST_OPEN: i64 = 0x2000_0000;
        /// Of them nothing changes what leaves: MSG_NOSIGNAL, MSG_EOR, MSG_ZEROCOPY.
        const HARMLESS: i64 = 0x4000 | 0x80 | 0x0400_0000;
        let socket = self.get(args)?;
        let (len, flags) = match args.0.name.as_str() {
            "write" => (args.int(2)?, 0),
            "send" | "sendto" => (args.int(2)?, args.int(3)?),
            "writev" => (vectors(args.at(1)?)?, 0),
            _ => (message(args.at(1)?)?, args.int(2)?),
        };
        if flags & !(OUT_OF_BAND | DONT_WAIT | HARMLESS | FAST_OPEN) != 0 {
            return unknown(
                "of the flags of sending only MSG_OOB, MSG_FASTOPEN and those that change no packet are known here",
            );
        }
        let bytes = match args.at(1)? {
            Value::Text(text) => text.clone(),
            _ => vec![0; usize::try_from(len).unwrap_or(0)],
        };
        let to = match args.0.name.as_str() {
            "sendto" => Some(match args.at(4)? {
                Value::Ellipsis => SocketAddr::new(settings.remote, settings.connect_port),
                value => address(value)?,
            }),
            _ => None,
        };
        let given = to.map(|to| as_family(settings, to));
        if let (Some(to), true) = (to, flags & FAST_OPEN != 0) {
            let waits = !socket.nonblocking && flags & DONT_WAIT == 0;
            let given = as_family(settings, to);
            if let Some(outcome) = fast(host, (socket.id, waits), &bytes, (to, given), progress) {
                return Ok(outcome);
            }
        }
        let rest = &bytes[progress.taken.min(bytes.len())..];
        if rest.is_empty() && !bytes.is_empty() {
            return Ok(Outcome::Returned(bytes.len() as i64));
        }
        let sent = host.with(|stack, cx| match given {
            Some(to) if socket.kind != SocketKind::Stream => stack.send_to(socket.id, rest, to, cx),
            _ if flags & OUT_OF_BAND != 0 => stack.send_urgent(socket.id, rest, cx),
            _ => stack.send(socket.id, rest, cx),
        });
        if socket.kind != SocketKind::Stream && progress.taken == 0 {
            let to = to.or_else(|| host.stack().peer_addr(socket.id).ok());
            progress.opened = to.map(|to| Opened::Connection(plain(to)));
        }
        let waits = !socket.nonblocking && flags & DONT_WAIT == 0;
        match sent {
            Ok(n) if waits && n < rest.len() => {
                progress.taken += n;
                // What was taken may have left already: there may be room again.
                self.send(host, settings, args, progress)
            }
            Ok(n) => Ok(Outcome::Returned((progress.taken + n) as i64)),
            Err(SocketError::WouldBlock) if progress.taken > 0 && !waits => {
                Ok(Outcome::Returned(progress.taken as i64))
            }
            Err(error) => Ok(socket.or_blocks(error, !waits)),
        }
    }

    // ── settings of descriptors ──────────────────────────────────────────────────────────────────────────────────

    fn fcntl(&mut self, args: Arguments<'_>) -> Result<Outcome, Fault> {
        const GET: i64 = 3;
        const SET: i64 = 4;
        let Some(Descriptor::Socket(socket)) = self.0.get_mut(&args.int(0)?) else {
            return Ok(Outcome::Failed("EBADF"));
        };
        match args.int(1)? {
            GET => Ok(Outcome::Returned(if socket.nonblocking {
                0o4002
            } else {
                2
            })),
            SET => {
                socket.nonblocking = args.int(2)? & 0o4000 != 0;
                Ok(Outcome::Returned(0))
            }
            _ => unknown("fcntl knows F_GETFL and F_SETFL here"),
        }
    }
    fn ioctl(&mut self, host: &mut Solo, args: Arguments<'_>) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let Some(status) = host.stack().tcp_status(socket.id) else {
            return unknown("ioctl knows sockets of TCP here");
        };
        let is = match args.int(1)? {
            0x541b => status.recv_q,
            0x5411 => status.send_q,
            0x8905 => u32::from(host.stack().is_at_mark(socket.id)),
            _ => return unknown("ioctl knows SIOCINQ, SIOCOUTQ and SIOCATMARK here"),
        };
        args.same(2, i64::from(is))?;
        Ok(Outcome::Returned(0))
    }
    fn setsockopt(&mut self, host: &mut Solo, args: Arguments<'_>) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let option =
            options::given(args.at(1)?, args.at(2)?, args.at(3)?).map_err(Fault::Unknown)?;
        let Some(option) = option else {
            return Ok(Outcome::Returned(0));
        };
        let set = host.with(|stack, cx| stack.set(socket.id, option, cx));
        Ok(Outcome::of(set, |()| 0))
    }
    fn getsockopt(&mut self, host: &mut Solo, args: Arguments<'_>) -> Result<Outcome, Fault> {
        let socket = self.get(args)?;
        let (level, name) = (args.at(1)?, args.at(2)?);
        if options::is_error(level, name) {
            let error = host.with(|stack, _| stack.take_error(socket.id));
            args.same(3, error.map_or(0, |error| error.errno().into()))?;
            return Ok(Outcome::Returned(0));
        }
        let which = options::asked(level, name).map_err(Fault::Unknown)?;
        match host.stack().get(socket.id, which) {
            Ok(value) => {
                options::compare(value, args.at(3)?).map_err(Fault::Differs)?;
                Ok(Outcome::Returned(0))
            }
            Err(error) => Ok(Outcome::Failed(error.errno_name())),
        }
    }

    // ── readiness ────────────────────────────────────────────────────────────────────────────────────────────────

    /// poll(2)'s bits that a descriptor has.
    fn events(&self, host: &Solo, fd: i64) -> Option<i64> {
        let Some(Descriptor::Socket(socket)) = self.0.get(&fd) else {
            return None;
        };
        let ready = host.stack().ready(socket.id);
        let bits = [
            (Ready::READABLE, 1 | 0x40),
            (Ready::WRITABLE, 4),
            (Ready::ERROR, 8),
            (Ready::HANG_UP, 0x10),
            (Ready::URGENT, 2),
            (Ready::READ_CLOSED, 0x2000),
        ];
        let set = bits.into_iter().filter(|(bit, _)| ready.contains(*bit));
        Some(set.fold(0, |sum, (_, bit)| sum | bit))
    }
    fn poll(
        &mut self,
        host: &mut Solo,
        args: Arguments<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        const ALWAYS: i64 = 8 | 0x10 | 0x20;
        let Value::List(watched) = args.at(0)? else {
            return unknown("poll wants a list of descriptors");
        };
        let mut ready = Vec::new();
        for one in watched {
            let field = |name| one.field(name).and_then(words::int);
            let (Some(fd), Some(events)) = (field("fd"), field("events")) else {
                return unknown("poll wants fd and events of each descriptor");
            };
            let bits = self.events(host, fd).unwrap_or(0x20);
            ready.push((field("revents").unwrap_or(0), bits & (events | ALWAYS)));
        }
        let count = ready.iter().filter(|(_, bits)| *bits != 0).count();
        if count == 0 && progress.goes_on(host.now(), args.int(2)?) {
            return Ok(Outcome::Blocks);
        }
        match ready.iter().find(|(expected, seen)| expected != seen) {
            Some((expected, seen)) => Err(Fault::Differs(format!(
                "revents {expected:#x} was expected, and it is {seen:#x}"
            ))),
            None => Ok(Outcome::Returned(count as i64)),
        }
    }
    fn epoll_ctl(&mut self, args: Arguments<'_>) -> Result<Outcome, Fault> {
        const DELETE: i64 = 2;
        const EDGE: i64 = 1 << 31;
        let (operation, fd) = (args.int(1)?, args.int(2)?);
        let Some(Descriptor::Epoll(watched)) = self.0.get_mut(&args.int(0)?) else {
            return Ok(Outcome::Failed("EBADF"));
        };
        if operation == DELETE {
            return Ok(match watched.remove(&fd) {
                Some(_) => Outcome::Returned(0),
                None => Outcome::Failed("ENOENT"),
            });
        }
        let event = args.at(3)?;
        let Some(events) = event.field("events").and_then(words::int) else {
            return unknown("epoll_ctl wants events");
        };
        if events & EDGE != 0 {
            return unknown("EPOLLET is not known here");
        }
        watched.insert(fd, (events, event.clone()));
        Ok(Outcome::Returned(0))
    }
    fn epoll_wait(
        &mut self,
        host: &mut Solo,
        args: Arguments<'_>,
        progress: &mut Progress,
    ) -> Result<Outcome, Fault> {
        const ALWAYS: i64 = 8 | 0x10;
        const ONCE: i64 = 1 << 30;
        let epoll = args.int(0)?;
        let Some(Descriptor::Epoll(watched)) = self.0.get(&epoll) else {
            return Ok(Outcome::Failed("EBADF"));
        };
        let ready = watched.iter().filter_map(|(fd, (events, _))| {
            let bits = self.events(host, *fd)? & (events | if *events == 0 { 0 } else { ALWAYS });
            (bits != 0).then_some((*fd, bits))
        });
        let ready: Vec<(i64, i64)> = ready.collect();
        if ready.is_empty() && progress.goes_on(host.now(), args.int(3)?) {
            return Ok(Outcome::Blocks);
        }
        let expected = match args.at(1)? {
            Value::List(all) => all.iter().collect(),
            one @ Value::Record(_) => vec![one],
            _ => Vec::new(),
        };
        for ((_, bits), expected) in ready.iter().zip(expected) {
            let events = expected.field("events").and_then(words::int);
            if events.is_some_and(|events| events != *bits) {
                let events = events.unwrap_or(0);
                return Err(Fault::Differs(format!(
                    "events {events:#x} were expected, and they are {bits:#x}"
                )));
            }
        }
        if let Some(Descriptor::Epoll(watched)) = self.0.get_mut(&epoll) {
            for (fd, _) in &ready {
                if let Some((events, _)) = watched.get_mut(fd)
                    && *events & ONCE != 0
                {
                    *events = 0;
                }
            }
        }
        Ok(Outcome::Returned(ready.len() as i64))
    }
}

impl Socket {
    /// EAGAIN, unless the call may wait.
    fn or_blocks(self, error: SocketError, dont_wait: bool) -> Outcome {
        match error {
            SocketError::WouldBlock if !self.nonblocking && !dont_wait => Outcome::Blocks,
            error => Outcome::Failed(error.errno_name()),
        }
    }
}

/// The arguments of a call.
#[derive(Clone, Copy)]
struct Arguments<'a>(&'a Call);
impl<'a> Arguments<'a> {
    fn at(self, index: usize) -> Result<&'a Value, Fault> {
        let Call {
            name, arguments, ..
        } = self.0;
        let missing = || {
            Fault::Unknown(format!(
                "{name} wants more arguments than {}",
                arguments.len()
            ))
        };
        arguments.get(index).ok_or_else(missing)
    }
    fn int(self, index: usize) -> Result<i64, Fault> {
        let value = self.at(index)?;
        let odd = || {
            Fault::Unknown(format!(
                "argument {} of {} is not known here",
                index + 1,
                self.0.name
            ))
        };
        words::int(value).ok_or_else(odd)
    }
    /// The number that the script has for a new descriptor.
    fn opens(self) -> Result<i64, Fault> {
        match words::int(&self.0.result) {
            Some(fd) if fd >= 0 => Ok(fd),
            _ => Err(Fault::Differs(format!(
                "{} was to fail, and opened a descriptor",
                self.0.name
            ))),
        }
    }
    /// What was given back in `[…]`.
    fn same(self, index: usize, is: i64) -> Result<(), Fault> {
        let expected = match self.at(index)? {
            Value::List(one) => one.first().and_then(words::int),
            Value::Ellipsis => return Ok(()),
            other => words::int(other),
        };
        match expected {
            Some(expected) if expected == is => Ok(()),
            Some(expected) => Err(Fault::Differs(format!(
                "{} was to give {expected}, and gave {is}",
                self.0.name
            ))),
            None => unknown(format!("what {} is to give is not known here", self.0.name)),
        }
    }
}

/// Bytes of a list of buffers.
fn vectors(value: &Value) -> Result<i64, Fault> {
    let Value::List(all) = value else {
        return unknown("a list of buffers was expected");
    };
    let len = |vector: &Value| match vector {
        Value::Record(fields) => fields.last().and_then(|(_, len)| words::int(len)),
        _ => None,
    };
    let total: Option<i64> = all.iter().map(len).sum();
    total.map_or_else(|| unknown("the buffers have no lengths"), Ok)
}
/// Bytes of a message's buffers. Control messages are not known here.
fn message(value: &Value) -> Result<i64, Fault> {
    if value.field("msg_control").is_some() {
        return unknown("control messages are not known here");
    }
    match value.field("msg_iov") {
        Some(buffers) => vectors(buffers),
        None => unknown("a message has msg_iov"),
    }
}

/// `{sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("192.0.2.1")}`
fn address(value: &Value) -> Result<SocketAddr, Fault> {
    let port = match value.field("sin_port").or_else(|| value.field("sin6_port")) {
        Some(Value::Call(name, args)) if name == "htons" => args.first().and_then(words::int),
        _ => None,
    };
    let ip = match value.field("sin_addr").or_else(|| value.field("sin6_addr")) {
        Some(Value::Call(_, args)) => match args.last() {
            Some(Value::Text(text)) => String::from_utf8_lossy(text).parse::<IpAddr>().ok(),
            _ => None,
        },
        _ => None,
    };
    match (ip, port.and_then(|port| u16::try_from(port).ok())) {
        (Some(ip), Some(port)) => Ok(SocketAddr::new(ip, port)),
        _ => unknown("an address of a socket was expected"),
    }
}
/// As a socket of AF_INET6 names an address of IPv4.
fn as_family(settings: &Settings, address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if settings.v6_sockets => {
            SocketAddr::new(ip.to_ipv6_mapped().into(), address.port())
        }
        _ => address,
    }
}
/// As packets have it; the unspecified address stands for the host's.
fn plain(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
