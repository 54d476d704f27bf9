//! The host behind the functions: one stack under one lock, its clock, and the threads that wait for something to change.
//!
//! A thread that waits says what it saw last. Time moves only when all of them have looked at what there is, and when those
//! that were let go have asked what time it is, if they are known to ask: what a thread sees belongs to the instant at which it
//! happened.
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use heptad_lab::pkt::settings::Settings;
use heptad_lab::solo::Solo;
use heptad_lab::stack::Instant;

use crate::descriptors::Descriptors;
use crate::errno::Errno;

/// How long another thread is waited for, in real time, until it is taken for gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the clock shows when it begins: 14 November 2023, in microseconds since 1970.
const EPOCH: i64 = 1_700_000_000_000_000;

/// A host, its descriptors and its clock. To C it is opaque.
pub struct Heptad {
    inner: Mutex<Inner>,
    /// Something changed that threads may wait for.
    changed: Condvar,
    /// A thread has looked, or has asked for the time.
    settled: Condvar,
    /// Threads that were let go will ask for the time.
    stamps: bool,
}

/// What stands behind the lock.
pub(crate) struct Inner {
    pub solo: Solo,
    pub descriptors: Descriptors,
    /// What the host is made with.
    settings: Settings,
    waits: BTreeMap<u64, Wait>,
    next_wait: u64,
    /// Counts what threads are to look at.
    round: u64,
    /// Threads that were let go and did not ask for the time yet.
    owed: Vec<ThreadId>,
    /// The thread that moves time.
    mover: ThreadId,
}

/// A thread that waits.
struct Wait {
    /// The round that it has looked at.
    seen: u64,
    until: Option<Instant>,
}

/// How far a call is.
pub(crate) enum Step<T> {
    Done(Result<T, Errno>),
    /// Nothing can be done now; at this time it is to be tried again even so.
    Blocks(Option<Instant>),
}

pub(crate) type Held<'a> = MutexGuard<'a, Inner>;

impl Heptad {
    /// `Err`: an address that no host can have.
    pub(crate) fn new(settings: &Settings, stamps: bool) -> Result<Self, String> {
        let inner = Inner {
            solo: Solo::new(&settings.host)?,
            descriptors: Descriptors::default(),
            settings: settings.clone(),
            waits: BTreeMap::new(),
            next_wait: 0,
            round: 0,
            owed: Vec::new(),
            mover: thread::current().id(),
        };
        Ok(Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            settled: Condvar::new(),
            stamps,
        })
    }
    pub(crate) fn lock(&self) -> Held<'_> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commands of a script, if all of them set something that is known here. A host that has sockets stays as
    /// it is.
    pub(crate) fn command(&self, text: &str) -> bool {
        let mut inner = self.lock();
        let mut settings = inner.settings.clone();
        settings.commands(text).is_ok() && inner.remake(settings)
    }

    /// A call that never waits.
    pub(crate) fn at_once<T>(
        &self,
        verb: impl FnOnce(&mut Inner) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut inner = self.lock();
        let result = verb(&mut inner);
        self.tell(&mut inner);
        result
    }
    /// A call that may wait, at most so long (then EAGAIN). It is tried until it is done.
    pub(crate) fn call<T>(
        &self,
        patience: Option<Duration>,
        mut verb: impl FnMut(&mut Inner) -> Step<T>,
    ) -> Result<T, Errno> {
        let mut inner = self.lock();
        let limit = patience.map(|patience| inner.solo.now() + patience);
        let mut waiting = None;
        let result = loop {
            match verb(&mut inner) {
                Step::Done(result) => break result,
                Step::Blocks(_) if limit.is_some_and(|limit| inner.solo.now() >= limit) => {
                    break Err(libc::EAGAIN);
                }
                Step::Blocks(until) => {
                    let until = until.into_iter().chain(limit).min();
                    let waits = self.wait(inner, until, &mut waiting);
                    inner = match waits {
                        (inner, true) => inner,
                        (held, false) => {
                            inner = held;
                            break Err(libc::EDEADLK);
                        }
                    };
                }
            }
        };
        if let Some(id) = waiting {
            inner.waits.remove(&id);
            if self.stamps {
                inner.owed.push(thread::current().id());
            }
        }
        self.tell(&mut inner);
        self.settled.notify_all();
        result
    }
    /// Waits until there is something to look at. `false`: nothing is left that could happen.
    fn wait<'a>(
        &'a self,
        mut inner: Held<'a>,
        until: Option<Instant>,
        waiting: &mut Option<u64>,
    ) -> (Held<'a>, bool) {
        if inner.mover == thread::current().id() {
            return self.move_on(inner, until);
        }
        let id = *waiting.get_or_insert_with(|| {
            inner.next_wait += 1;
            inner.next_wait
        });
        let seen = inner.round;
        inner.waits.insert(id, Wait { seen, until });
        self.settled.notify_all();
        let inner = self.changed.wait(inner);
        (inner.unwrap_or_else(PoisonError::into_inner), true)
    }
    /// The thread that moves time waits: time goes to what is due next.
    fn move_on<'a>(&'a self, inner: Held<'a>, until: Option<Instant>) -> (Held<'a>, bool) {
        let inner = self.settle(inner);
        let due = inner.due().into_iter().chain(until).min();
        if let Some(due) = due {
            let to = due.max(inner.solo.now());
            return (self.advance(inner, to), true);
        }
        let waited = self.changed.wait_timeout(inner, PATIENCE);
        let (inner, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (inner, !waited.timed_out())
    }

    /// Other threads have something to look at.
    pub(crate) fn tell(&self, inner: &mut Inner) {
        inner.round += 1;
        self.changed.notify_all();
    }
    /// Until all threads that wait have looked at what there is.
    pub(crate) fn settle<'a>(&'a self, mut inner: Held<'a>) -> Held<'a> {
        if inner.is_settled() && inner.waits.is_empty() {
            return inner;
        }
        self.tell(&mut inner);
        let waited = self
            .settled
            .wait_timeout_while(inner, PATIENCE, |inner| !inner.is_settled());
        let (mut inner, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            inner.owed.clear();
        }
        inner
    }
    /// Lets time pass, from one thing that is due to the next; threads see each.
    pub(crate) fn advance<'a>(&'a self, mut inner: Held<'a>, to: Instant) -> Held<'a> {
        loop {
            inner = self.settle(inner);
            let due = inner.due().filter(|due| *due <= to);
            let at = due.unwrap_or(to).max(inner.solo.now());
            inner.solo.advance(at);
            if due.is_none() {
                self.tell(&mut inner);
                return inner;
            }
        }
    }
    /// This thread moves time from now on.
    pub(crate) fn moves(&self) -> Held<'_> {
        let mut inner = self.lock();
        inner.mover = thread::current().id();
        inner
    }
    /// What time it is, in microseconds. It is later than the last time, unless a thread asks that was just let go.
    pub(crate) fn time(&self) -> i64 {
        let mut inner = self.lock();
        let me = thread::current().id();
        let owed = inner.owed.len();
        inner.owed.retain(|thread| *thread != me);
        if inner.owed.len() < owed {
            self.settled.notify_all();
            return inner.micros();
        }
        let later = inner.solo.now() + Duration::from_micros(1);
        self.advance(inner, later).micros()
    }
}

impl Inner {
    /// Another host in the place of one that did nothing yet; the clock goes on.
    fn remake(&mut self, settings: Settings) -> bool {
        if !self.descriptors.is_empty() {
            return true;
        }
        let Ok(mut solo) = Solo::new(&settings.host) else {
            return false;
        };
        solo.advance(self.solo.now());
        self.solo = solo;
        self.settings = settings;
        true
    }
    fn is_settled(&self) -> bool {
        self.owed.is_empty() && self.waits.values().all(|wait| wait.seen == self.round)
    }
    /// When something is due next: of the host, or the end of a thread's wait.
    pub fn due(&self) -> Option<Instant> {
        let now = self.solo.now();
        let ends = self.waits.values().filter_map(|wait| wait.until);
        let ends = ends.filter(|until| *until > now);
        ends.chain(self.solo.due()).min()
    }
    /// The clock, microseconds since 1970.
    pub fn micros(&self) -> i64 {
        shown(self.solo.now())
    }
}

/// A time of the host as C has it: microseconds since 1970.
pub(crate) fn shown(at: Instant) -> i64 {
    let since = at.since(Instant::ZERO).as_micros();
    EPOCH + i64::try_from(since).unwrap_or(i64::MAX - EPOCH)
}
