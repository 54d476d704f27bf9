//! The loop: channels, pairs, the bell. Edge-triggered throughout; each edge is kept until it is used up.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::{Family, Ready, SocketError, SocketKind};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::datagram::Datagrams;
use super::entry::{self, Buffers, Entry, PairReady, Role};
use super::netlink::Endpoint;
use super::sockets::{At, Sockets};
use super::stream::{self, Next};
use super::{Command, Shared, datagram, lock, waker};
use crate::channel;
use crate::protocol::{Answer, Outcome, Request, SocketNumber};

/// The key of the bell.
const BELL: u64 = 0;
/// A new pair has room.
const FRESH: PairReady = PairReady {
    readable: false,
    writable: true,
    hung_up: false,
    unsure: false,
};
/// What is asked about our end of a pair.
const OF_A_PAIR: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::PRI)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);
/// Most messages that wait for a guard that does not read; then it is given up.
const MOST_WAITING: usize = 8192;
/// Most sockets of a channel that are over and still have a name; then the oldest is forgotten.
const MOST_GONE: usize = 1024;

/// The thread's state. Channels and sockets have keys from one count, never used twice.
pub struct Server<S> {
    pub(super) network: S,
    pub(super) shared: Arc<Shared>,
    pub(super) channels: HashMap<u64, Channel>,
    pub(super) entries: HashMap<u64, Entry>,
    pub(super) netlinks: HashMap<u64, Endpoint>,
    epoll: OwnedFd,
    /// What the kernel said and nobody has looked at yet.
    events: VecDeque<(u64, EventFlags)>,
    next_key: u64,
    again: Vec<u64>,
    /// Keys of sockets in rooms, which do not say when they are closed: they are asked in turn.
    in_rooms: VecDeque<u64>,
    /// Keys of listeners in rooms, by their ports.
    listeners: HashMap<u16, Vec<u64>>,
    pub(super) block: Vec<u8>,
    stopped: bool,
}

/// A guard's channel.
pub struct Channel {
    pub(super) node: MachineId,
    pub(super) program: String,
    pub(super) places: HashMap<SocketNumber, Place>,
    /// Requests that wait, and the key of the socket where they do.
    pub(super) parked: HashMap<u64, u64>,
    /// The raw sockets of its guard's room, once there is one.
    pub(super) raw: Option<Arc<[OwnedFd; 2]>>,
    fd: OwnedFd,
    next_number: SocketNumber,
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    gone: VecDeque<SocketNumber>,
}

/// What a socket's number leads to.
pub enum Place {
    /// The socket of this key.
    Live(u64),
    /// A socket that is over.
    Gone(Gone),
}

/// A socket that is over: its pair and its stack socket are closed, its program may still hold its end.
pub struct Gone {
    /// Its family.
    pub(super) family: Family,
    /// getsockname's answer.
    pub(super) local: SocketAddr,
    /// For `SO_ERROR`.
    pub(super) error: Option<SocketError>,
    /// It was never connected: its connect failed.
    pub(super) refused: bool,
    /// It was connected by a connect that did not block, and no other has asked for that.
    pub(super) unasked: bool,
}

/// A new socket's pair.
pub struct PairEnds {
    /// Its key in the loop.
    pub(super) key: u64,
    /// Its number on the channel.
    pub(super) number: SocketNumber,
    /// Our end.
    pub(super) ours: OwnedFd,
    /// For the guard: the program's end, then a copy of ours.
    pub(super) theirs: [OwnedFd; 2],
}

impl<S: Sockets> Server<S> {
    /// A server without channels.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn new(network: S, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &shared.bell,
            EventData::new_u64(BELL),
            EventFlags::IN,
        )?;
        Ok(Self {
            network,
            shared,
            channels: HashMap::new(),
            entries: HashMap::new(),
            netlinks: HashMap::new(),
            epoll,
            events: VecDeque::new(),
            next_key: BELL + 1,
            again: Vec::new(),
            in_rooms: VecDeque::new(),
            listeners: HashMap::new(),
            block: Vec::new(),
            stopped: false,
        })
    }

    /// Serves until it is told to stop.
    pub(super) fn serve(mut self) {
        while !self.stopped {
            let wait = self.again.is_empty() && self.falls_asleep();
            if self.fetch_events(wait).is_err() {
                return;
            }
            lock(&self.shared.inbox).awake = true;
            while let Some((key, flags)) = self.events.pop_front() {
                self.take_event(key, flags);
            }
            for key in std::mem::take(&mut self.again) {
                self.serve_socket(key);
            }
            let ready = std::mem::take(&mut lock(&self.shared.inbox).ready);
            for key in ready {
                self.serve_socket(key);
            }
        }
    }

    /// Has the bell rung from now on, unless there is something to look at already.
    fn falls_asleep(&self) -> bool {
        let mut inbox = lock(&self.shared.inbox);
        inbox.awake = !inbox.ready.is_empty();
        !inbox.awake
    }

    fn fetch_events(&mut self, wait: bool) -> io::Result<()> {
        let none = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut events = Vec::with_capacity(256);
        let room = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, room, (!wait).then_some(&none)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = events.drain(..).map(|event: epoll::Event| {
            let epoll::Event { flags, data } = event;
            (data.u64(), flags)
        });
        self.events.extend(events);
        Ok(())
    }

    /// Lets go of the sockets that programs have closed by now: a `close` does not come to us, its traces do.
    pub(super) fn let_go_of_closed(&mut self) {
        // What else the kernel says stays for later, an error of its own too.
        let _ = self.fetch_events(false);
        let (closed, later): (VecDeque<_>, _) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|(key, flags)| {
                flags.contains(EventFlags::HUP) && self.entries.contains_key(key)
            });
        self.events = later;
        for (key, flags) in closed {
            self.take_event(key, flags);
        }
        self.ask_in_rooms(self.in_rooms.len());
        for port in self.listeners.keys().copied().collect::<Vec<_>>() {
            self.let_go_of_listeners(port);
        }
    }

    /// Asks so many of the sockets in rooms whether they are still open, those that were not asked for longest.
    pub(super) fn ask_in_rooms(&mut self, count: usize) {
        for _ in 0..count {
            let Some(key) = self.in_rooms.pop_front() else {
                return;
            };
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            let open = match &entry.role {
                Role::Datagrams(datagrams) => datagrams.carrier.is_open(entry.end.as_fd()),
                _ => true,
            };
            if open {
                self.in_rooms.push_back(key);
            } else {
                self.finish_in_room(key);
            }
        }
    }

    /// A listener is in a room.
    pub(super) fn listens_in_room(&mut self, key: u64) {
        let Some(entry) = self.entries.get(&key) else {
            return;
        };
        if let Ok(local) = self.network.local(entry.at) {
            self.listeners.entry(local.port()).or_default().push(key);
        }
    }

    /// Listeners in rooms at this port hear of a connection that is there already, before who connects does: as on Linux.
    pub(super) fn tell_listeners(&mut self, port: u16) {
        let keys = self.listeners.get(&port).cloned().unwrap_or_default();
        for key in keys {
            self.refresh_listener(key);
        }
    }

    /// Lets go of listeners in rooms at this port that programs have closed by now.
    pub(super) fn let_go_of_listeners(&mut self, port: u16) {
        let Some(keys) = self.listeners.get(&port) else {
            return;
        };
        let is_closed = |entry: &Entry| match &entry.role {
            Role::Listener(listening) => !listening.tokens.are_wanted(),
            _ => false,
        };
        let (gone, rest): (Vec<u64>, Vec<u64>) = keys
            .iter()
            .partition(|key| self.entries.get(key).is_none_or(is_closed));
        match rest.is_empty() {
            true => self.listeners.remove(&port),
            false => self.listeners.insert(port, rest),
        };
        for key in gone {
            self.finish_in_room(key);
        }
    }

    /// A socket in a room is closed: what the program sent before is sent.
    fn finish_in_room(&mut self, key: u64) {
        if let Some(entry) = self.entries.get_mut(&key) {
            (entry.pair.readable, entry.pair.hung_up) = (true, true);
            self.serve_socket(key);
        }
    }

    fn take_event(&mut self, key: u64, flags: EventFlags) {
        if key == BELL {
            self.answer_bell();
        } else if self.channels.contains_key(&key) {
            self.serve_channel(key, flags);
        } else if let Some(entry) = self.entries.get_mut(&key) {
            let over = EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
            entry.pair.readable |= flags.intersects(EventFlags::IN | over);
            entry.pair.writable |= flags.contains(EventFlags::OUT);
            entry.pair.hung_up |= flags.contains(EventFlags::HUP);
            entry.pair.unsure |= flags.intersects(EventFlags::PRI | over);
            self.serve_socket(key);
        } else if flags.contains(EventFlags::HUP) {
            self.close_netlink(key);
        } else {
            self.serve_netlink(key);
        }
    }

    fn answer_bell(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.bell, &mut count);
        let commands = std::mem::take(&mut lock(&self.shared.inbox).commands);
        for command in commands {
            match command {
                Command::Attach { node, channel } => self.attach(node, channel),
                Command::Stop => self.stopped = true,
            }
        }
    }

    fn attach(&mut self, node: MachineId, fd: OwnedFd) {
        let key = self.new_key();
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        // Without it nothing would be heard of the channel: dropping it tells the guard.
        if epoll::add(&self.epoll, &fd, EventData::new_u64(key), flags).is_err() {
            return;
        }
        let channel = Channel {
            node,
            program: String::new(),
            places: HashMap::new(),
            parked: HashMap::new(),
            raw: None,
            fd,
            next_number: 1,
            waiting: VecDeque::new(),
            gone: VecDeque::new(),
        };
        self.channels.insert(key, channel);
        self.serve_channel(key, EventFlags::IN);
    }

    fn new_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    fn serve_channel(&mut self, key: u64, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush(key);
        }
        while let Some(channel) = self.channels.get(&key) {
            match channel::receive(&channel.fd) {
                Ok(None) => return,
                Ok(Some(message)) if !message.bytes.is_empty() => {
                    match Request::decode(&message.bytes) {
                        Ok(request) => self.dispatch(key, request, message.fds),
                        Err(_) => self.drop_channel(key),
                    }
                }
                Ok(Some(_)) | Err(_) => self.drop_channel(key),
            }
        }
    }

    /// The guard is gone. What its programs still had to send is sent: their ends of the pairs close as they die.
    fn drop_channel(&mut self, key: u64) {
        let Some(channel) = self.channels.remove(&key) else {
            return;
        };
        let _ = epoll::delete(&self.epoll, &channel.fd);
        let of = |wanted: fn(&Role) -> bool| {
            let entries = self.entries.iter();
            let found = entries.filter(|(_, e)| e.channel == key && wanted(&e.role));
            let mut keys: Vec<u64> = found.map(|(key, _)| *key).collect();
            keys.sort_unstable();
            keys
        };
        let offered = of(|role| matches!(role, Role::Offered { .. }));
        let in_room = of(|role| matches!(role, Role::Datagrams(d) if d.is_in_room()));
        for key in offered {
            self.close(key);
        }
        for key in in_room {
            self.finish_in_room(key);
        }
    }

    /// Sends to a guard; descriptors go along as they are.
    pub(super) fn send(&mut self, channel: u64, answer: &Answer, fds: Vec<OwnedFd>) {
        let Some(to) = self.channels.get_mut(&channel) else {
            return;
        };
        to.waiting.push_back((answer.encode(), fds));
        if to.waiting.len() > MOST_WAITING {
            return self.drop_channel(channel);
        }
        self.flush(channel);
    }

    fn flush(&mut self, key: u64) {
        let Some(channel) = self.channels.get_mut(&key) else {
            return;
        };
        while let Some((bytes, fds)) = channel.waiting.front() {
            let lent: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match channel::send(channel.fd.as_fd(), bytes, &lent, false) {
                Ok(()) => {
                    channel.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.drop_channel(key),
            }
        }
    }

    /// Answers a request.
    pub(super) fn done(&mut self, channel: u64, id: u64, result: Result<Outcome, i32>) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.parked.remove(&id);
        }
        self.send(channel, &Answer::Done { id, result }, Vec::new());
    }

    /// Makes a socket's pair and its entry, and answers request `id` with both.
    ///
    /// # Errors
    /// The kernel's errno; nothing is left behind then.
    pub(super) fn admit(
        &mut self,
        (channel, id): (u64, u64),
        at: At,
        (family, stream, role): (Family, bool, Role),
        outcome: impl FnOnce(SocketNumber) -> Outcome,
    ) -> Result<u64, i32> {
        let PairEnds {
            key,
            number,
            ours,
            theirs,
        } = self.open_pair((channel, id), stream)?;
        let [program, _] = &theirs;
        let buffers = match &role {
            Role::Offered { listener, .. } => self.entries.get(listener),
            _ => None,
        };
        let buffers = buffers.map(|listener| listener.buffers).unwrap_or_default();
        buffers.apply(Some(program.as_fd()), ours.as_fd());
        let entry = Entry {
            channel,
            number,
            at,
            family,
            stream,
            inode: inode(program),
            end: ours,
            pair: FRESH,
            waker: waker(&self.shared, key),
            error: None,
            left: None,
            buffers,
            role,
        };
        self.entries.insert(key, entry);
        let answer = Answer::Done {
            id,
            result: Ok(outcome(number)),
        };
        self.send(channel, &answer, theirs.into());
        Ok(key)
    }

    /// An entry for a datagram socket of the guard's room, which has made its ends, the program's and ours; answers request `id`.
    ///
    /// # Errors
    /// As [`Server::admit`].
    pub(super) fn admit_of_room(
        &mut self,
        (channel, id): (u64, u64),
        at: At,
        (family, datagrams): (Family, Datagrams),
        [program, ours]: [OwnedFd; 2],
    ) -> Result<(), i32> {
        let (key, number) = self.hear_of((channel, id), &ours)?;
        let entry = Entry {
            channel,
            number,
            at,
            family,
            stream: false,
            inode: inode(&program),
            end: ours,
            pair: FRESH,
            waker: waker(&self.shared, key),
            error: None,
            left: None,
            buffers: Buffers::default(),
            role: Role::Datagrams(Box::new(datagrams)),
        };
        self.entries.insert(key, entry);
        self.in_rooms.push_back(key);
        self.done(channel, id, Ok(Outcome::Socket(number)));
        Ok(())
    }

    /// Makes a pair, hears of it from now on, and gives it a number on the channel of request `id`, which has its answer then.
    ///
    /// # Errors
    /// The kernel's errno; nothing is left behind then.
    pub(super) fn open_pair(
        &mut self,
        (channel, id): (u64, u64),
        stream: bool,
    ) -> Result<PairEnds, i32> {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::ENFILE);
        let (program, ours) = entry::pair(stream).map_err(errno)?;
        let copy = ours.try_clone().map_err(errno)?;
        let (key, number) = self.hear_of((channel, id), &ours)?;
        Ok(PairEnds {
            key,
            number,
            ours,
            theirs: [program, copy],
        })
    }

    /// Hears of our end from now on; its key, and its number on the channel of request `id`, which has its answer then.
    fn hear_of(
        &mut self,
        (channel, id): (u64, u64),
        ours: &OwnedFd,
    ) -> Result<(u64, SocketNumber), i32> {
        let key = self.new_key();
        epoll::add(&self.epoll, ours, EventData::new_u64(key), OF_A_PAIR)
            .map_err(|error| error.raw_os_error())?;
        let Some(home) = self.channels.get_mut(&channel) else {
            return Err(libc::EPIPE);
        };
        let number = home.next_number;
        home.next_number += 1;
        home.places.insert(number, Place::Live(key));
        home.parked.remove(&id);
        Ok((key, number))
    }

    /// Hears of a pair no longer. The guard's copy of our end would keep it in epoll's set.
    pub(super) fn close_pair(&self, ours: &OwnedFd) {
        let _ = epoll::delete(&self.epoll, ours);
    }

    /// Looks at a socket after something about it changed.
    pub(super) fn serve_socket(&mut self, key: u64) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        match &entry.role {
            Role::Stream(_) => self.serve_stream(key),
            Role::Datagrams(_) => self.serve_datagrams(key),
            Role::Offered { .. } => {}
            _ if entry.pair.hung_up => self.close(key),
            Role::Connecting { .. } => self.finish_connect(key),
            Role::Listener(_) => self.refresh_listener(key),
            Role::Fresh => {}
        }
    }

    fn serve_stream(&mut self, key: u64) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        match stream::turn(&self.network, entry, &mut self.block) {
            Next::Again => self.again.push(key),
            Next::Wait(Ready::NONE) => {}
            Next::Wait(interest) => self.network.register(entry.at, interest, &entry.waker),
            Next::Closed => self.close(key),
            Next::Over(error) => {
                let reset = error.is_some_and(|error| error != SocketError::BrokenPipe);
                self.make_gone(key, error, reset);
            }
        }
    }

    fn serve_datagrams(&mut self, key: u64) {
        let mut answers = Vec::new();
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let next = datagram::turn(&self.network, entry, &mut answers);
        let channel = entry.channel;
        if entry.pair.hung_up && !entry.pair.readable {
            self.close(key);
        } else {
            match next {
                None => self.again.push(key),
                Some(Ready::NONE) => {}
                Some(interest) => self.network.register(entry.at, interest, &entry.waker),
            }
        }
        for (id, result) in answers {
            self.done(channel, id, result);
        }
    }

    /// The program has closed it everywhere.
    pub(super) fn close(&mut self, key: u64) {
        let Some(entry) = self.take_out(key) else {
            return;
        };
        self.network.close(entry.at);
        if let Some(channel) = self.channels.get_mut(&entry.channel) {
            channel.places.remove(&entry.number);
        }
        self.send(
            entry.channel,
            &Answer::Forget {
                socket: entry.number,
            },
            Vec::new(),
        );
    }

    /// The connection is over; the program may still hold its end and ask for its name.
    pub(super) fn make_gone(&mut self, key: u64, error: Option<SocketError>, reset: bool) {
        let Some(entry) = self.take_out(key) else {
            return;
        };
        let refused = !matches!(entry.role, Role::Stream(_));
        let unasked = matches!(&entry.role, Role::Stream(pump) if pump.unasked);
        let nowhere = SocketAddr::new(entry.family.any(), 0);
        let local = self.network.local(entry.at).unwrap_or(nowhere);
        self.network.close(entry.at);
        let Entry {
            channel,
            number,
            family,
            ..
        } = entry;
        self.send(
            channel,
            &Answer::Release {
                socket: number,
                reset,
            },
            Vec::new(),
        );
        let Some(home) = self.channels.get_mut(&channel) else {
            return;
        };
        home.places.insert(
            number,
            Place::Gone(Gone {
                family,
                local,
                error,
                refused,
                unasked,
            }),
        );
        home.gone.push_back(number);
        if home.gone.len() > MOST_GONE
            && let Some(oldest) = home.gone.pop_front()
        {
            home.places.remove(&oldest);
            self.send(channel, &Answer::Forget { socket: oldest }, Vec::new());
        }
    }

    /// Lets go of a socket's pair and gives it a new one, so that it is as it was at first; request `id` has its answer then.
    ///
    /// # Errors
    /// The kernel's errno; the socket keeps its pair then.
    pub(super) fn renew(&mut self, key: u64, id: u64) -> Result<(), i32> {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::ENFILE);
        let (program, ours) = entry::pair(true).map_err(errno)?;
        let copy = ours.try_clone().map_err(errno)?;
        let Some(entry) = self.entries.get_mut(&key) else {
            return Err(libc::EINVAL);
        };
        epoll::add(&self.epoll, &ours, EventData::new_u64(key), OF_A_PAIR)
            .map_err(|error| error.raw_os_error())?;
        let _ = epoll::delete(&self.epoll, &entry.end);
        // What was said of the old one.
        self.events.retain(|(of, _)| *of != key);
        entry.buffers.apply(Some(program.as_fd()), ours.as_fd());
        entry.end = ours;
        entry.inode = inode(&program);
        entry.pair = FRESH;
        entry.role = Role::Fresh;
        entry.error = None;
        entry.left = None;
        let channel = entry.channel;
        let result = Ok(Outcome::Renewed { errno: 0 });
        self.send(channel, &Answer::Done { id, result }, vec![program, copy]);
        Ok(())
    }

    /// A stream that is over is as it was at first, but for its options; the request has its answer then, with this error.
    ///
    /// # Errors
    /// The kernel's or the stack's errno; the socket stays over then.
    pub(super) fn revive(
        &mut self,
        (channel, id): (u64, u64),
        number: SocketNumber,
        errno: i32,
    ) -> Result<(), i32> {
        let home = self.channels.get(&channel).ok_or(libc::EPIPE)?;
        let Some(Place::Gone(Gone { family, .. })) = home.places.get(&number) else {
            return Err(libc::EINVAL);
        };
        let (family, node) = (*family, home.node);
        let kind = SocketKind::Stream;
        let at = self.network.open(node, family, kind);
        let at = at.map_err(SocketError::errno)?;
        let fresh = (family, true, Role::Fresh);
        let key = self.admit((channel, id), at, fresh, |_| Outcome::Renewed { errno });
        let key = key.inspect_err(|_| self.network.close(at))?;
        let Some(entry) = self.entries.get_mut(&key) else {
            return Ok(());
        };
        let unused = std::mem::replace(&mut entry.number, number);
        if let Some(home) = self.channels.get_mut(&channel) {
            home.places.remove(&unused);
            home.places.insert(number, Place::Live(key));
            home.gone.retain(|gone| *gone != number);
        }
        Ok(())
    }

    /// Takes a socket out of the loop.
    pub(super) fn take_out(&mut self, key: u64) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.close_pair(&entry.end);
        self.network.deregister(entry.at);
        lock(&self.shared.owners).remove(&entry.at);
        Some(entry)
    }
}

/// The number of a program's end, as `/proc/PID/fd` and `ss` name it.
fn inode(program: &OwnedFd) -> u32 {
    rustix::fs::fstat(program).map_or(0, |stat| stat.st_ino as u32)
}
