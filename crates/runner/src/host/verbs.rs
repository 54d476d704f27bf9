//! What each call means, by the part that its socket plays.

use std::net::{Shutdown as Direction, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use heptad_runtime::stack::{Family, Ready, SocketError, SocketKind};

use super::carrier::Carrier;
use super::datagram::{self, Datagrams, Parked};
use super::entry::{self, Listening, Role};
use super::server::{Place, Server};
use super::sockets::{At, Sockets};
use super::stream::{self, Pump};
use super::tokens::Tokens;
use super::{Holder, interfaces, lock, names, options};
use crate::protocol::{Call, Outcome, Request, SocketNumber};

/// Linux's bound on a backlog (`somaxconn`).
const LONGEST_BACKLOG: u32 = 4096;

/// The answer to give now; `None` when the request waits or has been answered.
type Reply = Result<Option<Outcome>, i32>;

const ZERO: Reply = Ok(Some(Outcome::Value(0)));

/// Who asks: channel and request.
type Asker = (u64, u64);

impl<S: Sockets> Server<S> {
    /// Does what a guard asks.
    pub(super) fn dispatch(&mut self, channel: u64, request: Request, fds: Vec<OwnedFd>) {
        let Request { id, call } = request;
        let asker = (channel, id);
        let netlink = call.socket().and_then(|socket| self.live(channel, socket));
        let netlink = netlink.filter(|key| self.netlinks.contains_key(key));
        let reply = match call {
            call if let Some(key) = netlink => self.netlink_call(asker, key, call, &fds),
            call => match self.perform(asker, call, fds) {
                Some(reply) => reply,
                None => return,
            },
        };
        match reply {
            Ok(None) => {}
            Ok(Some(outcome)) => self.done(channel, id, Ok(outcome)),
            Err(errno) => self.done(channel, id, Err(errno)),
        }
    }

    /// What a call comes to that is not about netlink; `None` for what has no answer.
    fn perform(&mut self, asker: Asker, call: Call, fds: Vec<OwnedFd>) -> Option<Reply> {
        let (channel, id) = asker;
        Some(match call {
            Call::Hello { program, .. } => {
                if let Some(channel) = self.channels.get_mut(&channel) {
                    channel.program = program;
                }
                return None;
            }
            Call::Cancel => {
                self.cancel(channel, id);
                return None;
            }
            Call::Delivered { socket, pid, fd } => {
                self.delivered(channel, socket, (pid, fd));
                return None;
            }
            Call::Undelivered { socket, token } => {
                self.undelivered(channel, socket, token);
                return None;
            }
            Call::Socket {
                family,
                kind,
                protocol,
            } => self.socket(asker, (family, kind, protocol), fds),
            Call::File { file } => self.file(asker, &file),
            Call::Interface { request, argument } => self.interface(channel, request, argument),
            Call::BindNetlink { .. } => Err(libc::EBADF),
            Call::Bind { socket, address } => self.bind(channel, socket, address),
            Call::Listen {
                socket,
                backlog,
                room,
            } => {
                let tokens = room.and_then(|listener| Tokens::in_room(listener, fds));
                self.listen(channel, socket, backlog, tokens)
            }
            Call::Accept { socket, wait } => self.accept(asker, socket, wait),
            Call::Connect {
                socket,
                address,
                wait,
                filler,
                at_once,
            } => self.connect_or_dissolve(asker, socket, address, (wait, filler, at_once)),
            Call::Name { socket, peer } => self.name(channel, socket, peer),
            Call::Shutdown { socket, how } => self.shutdown(asker, socket, how),
            Call::SetOption {
                socket,
                level,
                name,
                value,
            } => self.set_option(channel, socket, (level, name), &value),
            Call::GetOption {
                socket,
                level,
                name,
            } => self.get_option(channel, socket, (level, name)),
            Call::SendTo {
                socket,
                address,
                control,
                data,
            } => self.send_to(channel, socket, (address, &control), &data),
            Call::ReceiveFrom {
                socket,
                errors: true,
                room,
                ..
            } => self.receive_error(channel, socket, room),
            Call::ReceiveFrom {
                socket,
                wait,
                peek,
                room,
                errors: false,
            } => self.receive_from(asker, socket, (wait, Parked { id, room, peek }), &fds),
        })
    }

    /// The key of a socket that is not over.
    fn live(&self, channel: u64, socket: SocketNumber) -> Option<u64> {
        match self.channels.get(&channel)?.places.get(&socket)? {
            Place::Live(key) => Some(*key),
            Place::Gone(_) => None,
        }
    }

    fn park(&mut self, (channel, id): Asker, key: u64) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.parked.insert(id, key);
        }
    }

    fn cancel(&mut self, channel: u64, id: u64) {
        let key = self
            .channels
            .get_mut(&channel)
            .and_then(|channel| channel.parked.remove(&id));
        if let Some(endpoint) = key.and_then(|key| self.netlinks.get_mut(&key)) {
            endpoint.cancel(id);
        }
        let Some(entry) = key.and_then(|key| self.entries.get_mut(&key)) else {
            return;
        };
        match &mut entry.role {
            Role::Connecting { waiting, .. } => waiting.retain(|waiting| *waiting != id),
            Role::Listener(listening) => listening.parked.retain(|parked| *parked != id),
            Role::Datagrams(datagrams) => datagrams.cancel(id),
            _ => {}
        }
    }

    fn socket(
        &mut self,
        asker: Asker,
        (family, kind, protocol): (u16, u32, u32),
        fds: Vec<OwnedFd>,
    ) -> Reply {
        let family = match i32::from(family) {
            libc::AF_INET => Family::V4,
            libc::AF_INET6 => Family::V6,
            libc::AF_NETLINK => return self.netlink_socket(asker, kind, protocol),
            _ => return Err(libc::EAFNOSUPPORT),
        };
        let protocol = protocol.cast_signed();
        let (kind, number) = datagram::kind(family, kind.cast_signed(), protocol)?;
        let stream = kind == SocketKind::Stream;
        let of_room = self.ends_of_room(asker.0, kind, fds);
        let node = self.channels.get(&asker.0).ok_or(libc::EPIPE)?.node;
        let at = self
            .network
            .open(node, family, kind)
            .map_err(SocketError::errno)?;
        if !stream {
            options::begin(&self.network, at, family);
        }
        let admitted = match of_room {
            Some((raw, ends)) => {
                // As many go as come, in the long run.
                self.ask_in_rooms(2);
                let carrier = Carrier::in_room(ends[1].as_fd(), raw);
                let datagrams = Datagrams::in_room(kind, number, carrier);
                self.admit_of_room(asker, at, (family, datagrams), ends)
            }
            None => {
                let role = match stream {
                    true => Role::Fresh,
                    false => Role::Datagrams(Box::new(Datagrams::of(kind, number))),
                };
                let admitted = self.admit(asker, at, (family, stream, role), Outcome::Socket);
                admitted.map(|_| ())
            }
        };
        if let Err(errno) = admitted {
            self.network.close(at);
            return Err(errno);
        }
        Ok(None)
    }

    /// The ends that a guard made in its room, with the raw sockets there, which come with the first.
    fn ends_of_room(
        &mut self,
        channel: u64,
        kind: SocketKind,
        mut fds: Vec<OwnedFd>,
    ) -> Option<(Arc<[OwnedFd; 2]>, [OwnedFd; 2])> {
        let channel = self.channels.get_mut(&channel)?;
        if let Ok(raw) = <[OwnedFd; 2]>::try_from(fds.drain(2.min(fds.len())..).collect::<Vec<_>>())
        {
            channel.raw = Some(Arc::new(raw));
        }
        let ends = <[OwnedFd; 2]>::try_from(fds).ok()?;
        (kind != SocketKind::Stream).then_some((channel.raw.clone()?, ends))
    }

    fn delivered(&mut self, channel: u64, socket: SocketNumber, (pid, fd): (u32, i32)) {
        let Some(key) = self.live(channel, socket) else {
            return;
        };
        let started_as = self
            .channels
            .get(&channel)
            .map(|channel| channel.program.clone())
            .unwrap_or_default();
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        lock(&self.shared.owners).insert(
            entry.at,
            Holder {
                pid,
                fd,
                started_as,
            },
        );
        if matches!(entry.role, Role::Offered { .. }) {
            entry.role = Role::Stream(Box::default());
        }
        self.serve_socket(key);
    }

    /// An accepted connection goes back to its listener; a socket that nobody got is closed.
    fn undelivered(&mut self, channel: u64, socket: SocketNumber, token_taken: bool) {
        let Some(key) = self.live(channel, socket) else {
            return;
        };
        let Some(Role::Offered { listener, token }) = self.entries.get(&key).map(|e| &e.role)
        else {
            return self.close(key);
        };
        let (listener, token) = (*listener, *token);
        let Some((home, Role::Listener(listening))) = self
            .entries
            .get_mut(&listener)
            .map(|entry| (entry.at, &mut entry.role))
        else {
            return self.close(key);
        };
        if token && !token_taken {
            listening.tokens.count_again();
        }
        let Some(entry) = self.take_out(key) else {
            return;
        };
        self.network.unaccept(home, entry.at);
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.places.remove(&socket);
        }
        self.refresh_listener(listener);
    }

    fn bind(&mut self, channel: u64, socket: SocketNumber, address: SocketAddr) -> Reply {
        let key = self.live(channel, socket).ok_or(libc::EINVAL)?;
        let entry = self.entries.get(&key).ok_or(libc::EINVAL)?;
        let at = entry.at;
        let mut bound = self.network.bind(at, address);
        if bound == Err(SocketError::AddressInUse) {
            self.let_go_of_closed();
            bound = self.network.bind(at, address);
        }
        bound.map_err(SocketError::errno)?;
        let entry = self.entries.get_mut(&key).ok_or(libc::EINVAL)?;
        entry.left = None;
        if let Role::Datagrams(datagrams) = &mut entry.role {
            datagrams.bound = true;
            self.serve_socket(key);
        }
        ZERO
    }

    fn listen(
        &mut self,
        channel: u64,
        socket: SocketNumber,
        backlog: i32,
        tokens: Option<Tokens>,
    ) -> Reply {
        let key = self.live(channel, socket).ok_or(libc::EINVAL)?;
        let entry = self.entries.get_mut(&key).ok_or(libc::EINVAL)?;
        let backlog = backlog.cast_unsigned().min(LONGEST_BACKLOG);
        match &mut entry.role {
            Role::Fresh => {
                self.network
                    .listen(entry.at, backlog)
                    .map_err(SocketError::errno)?;
                let in_room = tokens.is_some();
                entry.left = None;
                entry.role = Role::Listener(Listening {
                    tokens: tokens.unwrap_or_default(),
                    ..Listening::default()
                });
                if in_room {
                    self.listens_in_room(key);
                }
                self.refresh_listener(key);
            }
            Role::Listener(_) => {
                self.network
                    .listen(entry.at, backlog)
                    .map_err(SocketError::errno)?;
                self.refresh_listener(key);
            }
            Role::Datagrams(_) => return Err(libc::EOPNOTSUPP),
            _ => return Err(libc::EINVAL),
        }
        ZERO
    }

    fn accept(&mut self, asker: Asker, socket: SocketNumber, wait: bool) -> Reply {
        let key = self.live(asker.0, socket).ok_or(libc::EINVAL)?;
        let entry = self.entries.get_mut(&key).ok_or(libc::EINVAL)?;
        let at = entry.at;
        let listening = match &mut entry.role {
            Role::Listener(listening) => listening,
            Role::Datagrams(_) => return Err(libc::EOPNOTSUPP),
            _ => return Err(libc::EINVAL),
        };
        match self.network.accept(at) {
            Ok((new, peer)) => {
                let token = listening.tokens.count_off();
                self.offer(asker, key, (new, peer), token);
                self.refresh_listener(key);
                Ok(None)
            }
            Err(SocketError::WouldBlock) if wait => {
                listening.parked.push_back(asker.1);
                self.park(asker, key);
                Ok(None)
            }
            // A connection that was reset while it waited has left its token.
            Err(SocketError::WouldBlock) => {
                let tokens = listening.tokens.count_off_all();
                Ok(Some(Outcome::Nobody { tokens }))
            }
            Err(error) => Err(error.errno()),
        }
    }

    /// Sends an accepted connection to the call that asked for one.
    fn offer(&mut self, asker: Asker, listener: u64, (new, peer): (At, SocketAddr), token: bool) {
        let home = self.entries.get(&listener);
        let family = home.map_or_else(Family::default, |entry| entry.family);
        let role = Role::Offered { listener, token };
        let outcome = |socket| Outcome::Accepted {
            socket,
            peer,
            token,
        };
        let Err(error) = self.admit(asker, new, (family, true, role), outcome) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&listener) {
            self.network.unaccept(entry.at, new);
            if let Role::Listener(listening) = &mut entry.role {
                (0..u32::from(token)).for_each(|_| listening.tokens.count_again());
            }
        }
        self.done(asker.0, asker.1, Err(error));
    }

    /// Gives waiting connections to waiting calls, and puts a token into the pair for what is left.
    pub(super) fn refresh_listener(&mut self, key: u64) {
        while let Some(entry) = self.entries.get_mut(&key) {
            let Role::Listener(listening) = &mut entry.role else {
                return;
            };
            let Some(id) = listening.parked.front().copied() else {
                break;
            };
            let asker = (entry.channel, id);
            match self.network.accept(entry.at) {
                Ok(new) => {
                    listening.parked.pop_front();
                    self.offer(asker, key, new, false);
                }
                Err(SocketError::WouldBlock) => break,
                Err(error) => {
                    listening.parked.pop_front();
                    self.done(asker.0, id, Err(error.errno()));
                }
            }
        }
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let Role::Listener(listening) = &mut entry.role else {
            return;
        };
        self.network.watch(entry.at, &entry.waker);
        let waiting = self.network.waiting(entry.at);
        listening.tokens.put(waiting, entry.end.as_fd());
    }

    fn connect_or_dissolve(
        &mut self,
        asker: Asker,
        socket: SocketNumber,
        address: Option<SocketAddr>,
        how: (bool, u32, bool),
    ) -> Reply {
        match (self.live(asker.0, socket), address) {
            (None, _) => self.connect_again(asker, socket, address.is_none()),
            (Some(key), None) => self.dissolve(asker, key),
            (Some(key), Some(address)) => self.connect(asker, key, address, how),
        }
    }

    fn connect(
        &mut self,
        asker: Asker,
        key: u64,
        address: SocketAddr,
        (wait, filler, at_once): (bool, u32, bool),
    ) -> Reply {
        self.let_go_of_listeners(address.port());
        let entry = self.entries.get_mut(&key).ok_or(libc::EINVAL)?;
        if matches!(entry.role, Role::Datagrams(_)) {
            return self.associate(key, Some(address));
        }
        match &mut entry.role {
            Role::Fresh => {}
            Role::Connecting { waiting, .. } if wait => {
                waiting.push(asker.1);
                self.park(asker, key);
                return Ok(None);
            }
            Role::Connecting { .. } => return Err(libc::EALREADY),
            Role::Stream(pump) if pump.unasked => {
                pump.unasked = false;
                return ZERO;
            }
            _ => return Err(libc::EISCONN),
        }
        match self.network.connect(entry.at, address) {
            Ok(()) | Err(SocketError::InProgress) => entry.left = None,
            Err(error) => {
                entry::drain_filler(entry.end.as_fd(), filler);
                return Err(error.errno());
            }
        }
        self.tell_listeners(address.port());
        let entry = self.entries.get_mut(&key).ok_or(libc::EINVAL)?;
        if at_once && is_refused(&self.network, entry.at) {
            entry.left = self.network.local(entry.at).ok();
            let _ = self.network.disconnect(entry.at);
            entry::drain_filler(entry.end.as_fd(), filler);
            return Ok(Some(Outcome::Refused));
        }
        let waiting = if wait { vec![asker.1] } else { Vec::new() };
        entry.role = Role::Connecting { filler, waiting };
        if !wait {
            self.done(asker.0, asker.1, Err(libc::EINPROGRESS));
        } else {
            self.park(asker, key);
        }
        self.finish_connect(key);
        Ok(None)
    }

    /// `connect` on a datagram socket.
    fn associate(&mut self, key: u64, address: Option<SocketAddr>) -> Reply {
        let entry = self.entries.get_mut(&key).ok_or(libc::EINVAL)?;
        // What was sent before goes to the peer of before, or to nobody.
        datagram::flush(&self.network, entry, &mut self.block);
        if let Role::Datagrams(datagrams) = &mut entry.role {
            let nowhere = SocketAddr::new(entry.family.any(), 0);
            set_peer(&self.network, (entry.at, nowhere), datagrams, address)?;
            self.serve_socket(key);
        }
        ZERO
    }

    /// `connect` on a stream that is over. As Linux: one whose connect failed tells its error, or that there was one, and is
    /// then as it was at first; one that was connected still says so, until it is dissolved.
    fn connect_again(&mut self, asker: Asker, socket: SocketNumber, dissolves: bool) -> Reply {
        let places = self.channels.get_mut(&asker.0).map(|home| &mut home.places);
        let Some(Place::Gone(gone)) = places.and_then(|places| places.get_mut(&socket)) else {
            return Err(libc::EBADF);
        };
        let errno = match dissolves {
            true => 0,
            false if gone.refused || std::mem::take(&mut gone.unasked) => gone
                .error
                .take()
                .map_or(libc::ECONNABORTED, SocketError::errno),
            false => return Err(libc::EISCONN),
        };
        self.revive(asker, socket, errno)?;
        Ok(None)
    }

    /// `connect` with `AF_UNSPEC` on a stream.
    fn dissolve(&mut self, asker: Asker, key: u64) -> Reply {
        let entry = self.entries.get_mut(&key).ok_or(libc::EINVAL)?;
        if matches!(entry.role, Role::Datagrams(_)) {
            return self.associate(key, None);
        }
        self.network
            .disconnect(entry.at)
            .map_err(SocketError::errno)?;
        if matches!(entry.role, Role::Fresh) {
            entry.keep_port_only(self.network.local(entry.at).ok());
            return ZERO;
        }
        let channel = entry.channel;
        let waiting = match &mut entry.role {
            Role::Connecting { waiting, .. } => std::mem::take(waiting),
            Role::Listener(listening) => listening.parked.drain(..).collect(),
            _ => Vec::new(),
        };
        let keeps_pair = matches!(&entry.role, Role::Listener(l) if l.tokens.are_in_room());
        if keeps_pair {
            entry.role = Role::Fresh;
        }
        for id in waiting {
            self.done(channel, id, Err(libc::ECONNABORTED));
        }
        if keeps_pair {
            return ZERO;
        }
        self.begin_anew(asker, key)
    }

    /// A stream whose stack socket is idle again gets a new pair.
    fn begin_anew(&mut self, asker: Asker, key: u64) -> Reply {
        self.renew(key, asker.1)?;
        Ok(None)
    }

    /// Looks whether a connect has ended.
    pub(super) fn finish_connect(&mut self, key: u64) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let ready = self.network.ready(entry.at);
        let over = Ready::WRITABLE | Ready::ERROR | Ready::HANG_UP;
        if !ready.intersects(over) {
            return self
                .network
                .register(entry.at, Ready::WRITABLE, &entry.waker);
        }
        let error = self.network.take_error(entry.at);
        let Role::Connecting { filler, waiting } = std::mem::replace(&mut entry.role, Role::Fresh)
        else {
            return;
        };
        let channel = entry.channel;
        let result = match error {
            None => {
                entry::drain_filler(entry.end.as_fd(), filler);
                let unasked = waiting.is_empty();
                entry.role = Role::Stream(Box::new(Pump::new(unasked)));
                Ok(Outcome::Value(0))
            }
            Some(error) => {
                let told = !waiting.is_empty();
                if filler > 0 {
                    self.make_gone(key, (!told).then_some(error), true);
                } else {
                    entry.error = (!told).then_some(error);
                    entry.left = self.network.local(entry.at).ok();
                    let _ = self.network.disconnect(entry.at);
                    entry.keep_port_only(self.network.local(entry.at).ok());
                }
                Err(error.errno())
            }
        };
        for id in waiting {
            self.done(channel, id, result.clone());
        }
        self.serve_socket(key);
    }

    fn name(&mut self, channel: u64, socket: SocketNumber, peer: bool) -> Reply {
        let places = &self.channels.get(&channel).ok_or(libc::EPIPE)?.places;
        let key = match places.get(&socket).ok_or(libc::EBADF)? {
            Place::Live(key) => *key,
            Place::Gone(_) if peer => return Err(libc::ENOTCONN),
            Place::Gone(gone) => return Ok(Some(Outcome::Address(gone.local))),
        };
        let entry = self.entries.get(&key).ok_or(libc::EBADF)?;
        let address = match (&entry.role, peer) {
            (_, false) => match entry.left {
                Some(left) => left,
                None => self.network.local(entry.at).map_err(SocketError::errno)?,
            },
            (Role::Datagrams(datagrams), true) => datagrams.peer.ok_or(libc::ENOTCONN)?,
            (Role::Stream(_), true) => self.network.peer(entry.at).map_err(SocketError::errno)?,
            _ => return Err(libc::ENOTCONN),
        };
        Ok(Some(Outcome::Address(address)))
    }

    fn shutdown(&mut self, asker: Asker, socket: SocketNumber, how: i32) -> Reply {
        let channel = asker.0;
        let direction = stream::direction(how).ok_or(libc::EINVAL)?;
        let key = self.live(channel, socket).ok_or(libc::ENOTCONN)?;
        let entry = self.entries.get_mut(&key).ok_or(libc::ENOTCONN)?;
        let (reading, writing) = (direction != Direction::Write, direction != Direction::Read);
        match &mut entry.role {
            Role::Stream(pump) => {
                pump.note_shutdown(reading, writing);
                Ok(Some(Outcome::Native))
            }
            // As Linux: of a socket without a peer the kernel says so, and shuts it.
            Role::Datagrams(datagrams) if datagrams.peer.is_some() || datagrams.is_in_room() => {
                datagrams.mute |= writing;
                Ok(Some(Outcome::Native))
            }
            Role::Listener(listening) => {
                if !reading {
                    return ZERO;
                }
                // As Linux: it listens no more, keeps its address, and may listen or connect.
                let parked = std::mem::take(&mut listening.parked);
                let keeps_pair = listening.tokens.are_in_room();
                let _ = self.network.disconnect(entry.at);
                if keeps_pair {
                    entry.role = Role::Fresh;
                }
                for id in parked {
                    self.done(channel, id, Err(libc::EINVAL));
                }
                if keeps_pair {
                    return Ok(Some(Outcome::Native));
                }
                self.begin_anew(asker, key)
            }
            _ => Err(libc::ENOTCONN),
        }
    }

    fn set_option(
        &mut self,
        channel: u64,
        socket: SocketNumber,
        (level, name): (i32, i32),
        value: &[u8],
    ) -> Reply {
        let Some(key) = self.live(channel, socket) else {
            return ZERO;
        };
        let entry = self.entries.get_mut(&key).ok_or(libc::EBADF)?;
        // What was sent before goes with the options of before.
        datagram::flush(&self.network, entry, &mut self.block);
        options::set(&self.network, entry, (level, name), value)?;
        ZERO
    }

    fn get_option(
        &mut self,
        channel: u64,
        socket: SocketNumber,
        (level, name): (i32, i32),
    ) -> Reply {
        if (level, name) == (libc::SOL_SOCKET, libc::SO_ERROR)
            && let Some(key) = self.live(channel, socket)
        {
            // An error that has come is told where it belongs, see `Datagrams::note_error`.
            self.serve_socket(key);
        }
        let places = &mut self.channels.get_mut(&channel).ok_or(libc::EPIPE)?.places;
        let bytes = match places.get_mut(&socket).ok_or(libc::EBADF)? {
            Place::Live(key) => {
                let entry = self.entries.get_mut(key).ok_or(libc::EBADF)?;
                options::get(&self.network, entry, (level, name))?
            }
            Place::Gone(gone) => options::get_gone(gone, (level, name))?,
        };
        Ok(Some(Outcome::Bytes(bytes)))
    }

    fn send_to(
        &mut self,
        channel: u64,
        socket: SocketNumber,
        (address, control): (Option<SocketAddr>, &[u8]),
        data: &[u8],
    ) -> Reply {
        let key = self.live(channel, socket).ok_or(libc::EPIPE)?;
        let entry = self.entries.get_mut(&key).ok_or(libc::EPIPE)?;
        if let Some(error) = entry
            .error
            .take()
            .or_else(|| self.network.take_error(entry.at))
        {
            return Err(error.errno());
        }
        if matches!(&entry.role, Role::Datagrams(datagrams) if datagrams.peer.is_some()) {
            datagram::flush(&self.network, entry, &mut self.block);
        }
        let choices = datagram::choices(&self.network, entry, address, control)?;
        if matches!(&entry.role, Role::Datagrams(datagrams) if datagrams.mute
            && (address.is_some() || datagrams.peer.is_some()))
        {
            return Err(libc::EPIPE);
        }
        let sent = datagram::send_one(&self.network, entry, (address, &choices), data);
        self.serve_socket(key);
        let sent = sent.map_err(SocketError::errno)?;
        Ok(Some(Outcome::Value(
            i64::try_from(sent).unwrap_or(i64::MAX),
        )))
    }

    fn receive_from(
        &mut self,
        asker: Asker,
        socket: SocketNumber,
        (wait, call): (bool, Parked),
        fds: &[OwnedFd],
    ) -> Reply {
        let key = self.live(asker.0, socket).ok_or(libc::ENOTCONN)?;
        let entry = self.entries.get_mut(&key).ok_or(libc::ENOTCONN)?;
        let Role::Datagrams(datagrams) = &mut entry.role else {
            return Err(libc::EINVAL);
        };
        let lent = fds.first().ok_or(libc::EPROTO)?;
        if let Some(error) = entry.error.take() {
            return Err(error.errno());
        }
        let host = (&self.network, entry.at.machine);
        let outcome = datagrams.receive(host, entry.end.as_fd(), lent, (call, wait))?;
        if outcome.is_none() {
            self.park(asker, key);
            self.serve_socket(key);
        }
        Ok(outcome)
    }

    /// The oldest of the queue of errors; the pending error is then the next one's.
    fn receive_error(&mut self, channel: u64, socket: SocketNumber, room: u32) -> Reply {
        let key = self.live(channel, socket).ok_or(libc::EAGAIN)?;
        let entry = self.entries.get_mut(&key).ok_or(libc::EAGAIN)?;
        datagram::receive_error(&self.network, entry, room).map(Some)
    }

    fn interface(&mut self, channel: u64, request: u32, argument: Vec<u8>) -> Reply {
        let node = self.channels.get(&channel).ok_or(libc::EPIPE)?.node;
        let bytes = interfaces::answer(&self.network.interfaces(node), request, argument)?;
        Ok(Some(Outcome::Bytes(bytes)))
    }
}

/// Whether a connect that has just begun was refused already; the error is taken then.
fn is_refused(network: &impl Sockets, at: At) -> bool {
    network.ready(at).intersects(Ready::ERROR | Ready::HANG_UP)
        && network.take_error(at) == Some(SocketError::ConnectionRefused)
}

/// `connect` on a datagram socket. Questions about names need no route to whom they are asked.
fn set_peer(
    network: &impl Sockets,
    (at, nowhere): (At, SocketAddr),
    datagrams: &mut Datagrams,
    address: Option<SocketAddr>,
) -> Result<(), i32> {
    let Some(address) = address else {
        datagrams.peer = None;
        return network.disconnect(at).map_err(SocketError::errno);
    };
    if datagrams.asks_names() && names::is_asked(network, at.machine, address) {
        if !datagrams.bound {
            network.bind(at, nowhere).map_err(SocketError::errno)?;
        }
        datagrams.peer = Some(address);
    } else {
        network.connect(at, address).map_err(SocketError::errno)?;
        datagrams.peer = network.peer(at).ok();
    }
    datagrams.bound = true;
    Ok(())
}
