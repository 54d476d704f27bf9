//! Between sockets of the kernel and sockets of the stack: what published ports and uplinks share.
//!
//! ```text
//!   published port:  outside ══ kernel's socket ══▶ stream ──▶ socket of the node
//!   uplink:          program ─▶ gateway's socket ─▶ stream ══ kernel's socket ══▶ outside
//! ```
//!
//! A loop has a [`Splice`]: it waits for all sockets at once and moves the bytes of streams by itself. Whose turn it is of
//! everything else it tells, and the loop does that. Edge-triggered; each edge is kept until it is used up.
pub(crate) mod bell;
pub(crate) mod inside;
pub(crate) mod stream;
pub(crate) mod worker;

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::Network;
pub(crate) use bell::Shared;
use bell::lock;
use stream::{Next, Stream};

/// The key of the bell.
const BELL: u64 = 0;
/// Most connections at once.
const MOST_STREAMS: usize = 8192;
/// Events taken at once.
const EVENTS: usize = 256;
/// Bytes moved at once; no datagram is longer.
const BLOCK: usize = 64 * 1024;
/// How often what is silent is looked for.
pub(crate) const SWEEP: Duration = Duration::from_secs(10);
/// Nothing moves any more: a finish is over.
const STILL: Duration = Duration::from_secs(1);
/// How often a finish looks whether it is over.
const WATCH: Duration = Duration::from_millis(20);
/// What is heard of a socket that is read and written.
pub(crate) const BOTH_WAYS: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP);

/// One count, so that no key is used twice.
pub(crate) struct Keys {
    next: u64,
    shared: Arc<Shared>,
}
impl Keys {
    /// A new one.
    pub(crate) fn draw(&mut self) -> u64 {
        let key = self.next;
        self.next += 1;
        key
    }
    /// A waker that calls the loop for this key.
    pub(crate) fn waker(&self, key: u64) -> Waker {
        self.shared.waker(key)
    }
}

/// What each loop has: all that it hears by keys, its streams, and what it needs to move bytes.
pub(crate) struct Splice {
    pub(crate) network: Network,
    pub(crate) keys: Keys,
    /// Keys that have a turn again without being called.
    pub(crate) again: Vec<u64>,
    /// Where bytes are on their way from one socket to another.
    pub(crate) block: Vec<u8>,
    epoll: OwnedFd,
    streams: HashMap<u64, Stream>,
    swept: Instant,
    moved: Instant,
    finish: Option<Instant>,
}

impl Splice {
    pub(crate) fn new(network: Network, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = EventData::new_u64(BELL);
        epoll::add(&epoll, &shared.bell, bell, EventFlags::IN)?;
        let now = Instant::now();
        let next = BELL + 1;
        Ok(Self {
            network,
            keys: Keys { next, shared },
            again: Vec::new(),
            block: vec![0; BLOCK],
            epoll,
            streams: HashMap::new(),
            swept: now,
            moved: now,
            finish: None,
        })
    }

    /// Calls the loop for this key at each edge of these.
    pub(crate) fn hear(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(key);
        let flags = flags | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, data, flags)?)
    }

    /// Waits, for `patience` if something is to be done later in any case, and gives streams their turn. Whose turn it is of
    /// the rest; `None`: it was told to finish, and everything has left.
    pub(crate) fn next_turn(&mut self, patience: Option<Duration>) -> Option<Vec<u64>> {
        if self.is_over() {
            return None;
        }
        let mut keys = self.wait(patience).ok()?;
        keys.retain(|key| !self.serve_stream(*key));
        Some(keys)
    }

    fn wait(&mut self, patience: Option<Duration>) -> io::Result<Vec<u64>> {
        let limit = self.limit(patience).map(timespec);
        let mut room = [const { MaybeUninit::uninit() }; EVENTS];
        let events = match epoll::wait(&self.epoll, &mut room, limit.as_ref()) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => &mut [],
            Err(error) => return Err(error.into()),
        };
        let mut keys = std::mem::take(&mut self.again);
        for &mut epoll::Event { flags, data } in events {
            match data.u64() {
                BELL => keys.append(&mut self.answer_bell()),
                key => {
                    if let Some(stream) = self.streams.get_mut(&key) {
                        stream.note(flags);
                    }
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    fn limit(&self, patience: Option<Duration>) -> Option<Duration> {
        if !self.again.is_empty() {
            Some(Duration::ZERO)
        } else if self.is_finishing() {
            Some(WATCH)
        } else {
            patience
        }
    }

    /// The keys that rang it.
    fn answer_bell(&mut self) -> Vec<u64> {
        let bell = &self.keys.shared;
        let mut count = [0; 8];
        let _ = rustix::io::read(&bell.bell, &mut count);
        let (ready, finish) = {
            let mut inbox = lock(&bell.inbox);
            (std::mem::take(&mut inbox.ready), inbox.finish)
        };
        if finish.is_some() && self.finish.is_none() {
            self.finish = finish;
            self.moved = Instant::now();
        }
        ready
    }

    /// It was told to finish.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finish.is_some()
    }

    fn is_over(&self) -> bool {
        let Some(finish) = self.finish else {
            return false;
        };
        let now = Instant::now();
        now >= finish || now >= self.moved + STILL || self.streams.values().all(Stream::is_drained)
    }

    /// Whether there is no room for another stream, beside `others` that will be some.
    pub(crate) fn is_full(&self, others: usize) -> bool {
        self.streams.len() + others >= MOST_STREAMS
    }

    /// One more stream, which has a turn at once.
    pub(crate) fn add_stream(&mut self, key: u64, stream: Stream) {
        self.streams.insert(key, stream);
        self.serve_stream(key);
    }

    /// Whether the key is a stream's.
    fn serve_stream(&mut self, key: u64) -> bool {
        let Some(stream) = self.streams.get_mut(&key) else {
            return false;
        };
        let mut moved = false;
        match stream.turn(&self.network, &mut self.block, &mut moved) {
            Next::Wait => {}
            Next::Again => self.again.push(key),
            Next::Over => {
                self.streams.remove(&key);
            }
        }
        if moved {
            self.moved = Instant::now();
        }
        true
    }

    /// The time, if it is time to look for what is silent.
    pub(crate) fn sweep_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let due = now >= self.swept + SWEEP;
        due.then(|| self.swept = now).map(|()| now)
    }
}

fn timespec(limit: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    }
}
