//! Virtual time with real threads: one runs, the others wait for the baton, and time moves when all of them wait.
//!
//! Who gives the baton up passes it on, or moves time itself: there is no thread hop between a verb and its packet.
use core::task::Waker;
use std::cell::Cell;
use std::io;
use std::sync::{MutexGuard, PoisonError};
use std::thread;

use heptad_lab::Outcome;
use heptad_stack::time::Duration;
use heptad_stack::{Cx, Instant, SocketError, Stack};

use crate::baton::{Pause, ThreadNo, Turn, Wake};
use crate::shared::{Shared, Wait, nothing_left, stopped};
use crate::socket::io_error;
use crate::wakers::Sleeper;
use crate::world::World;

/// Most events under one hold of the lock: then those who only look get in.
const SLICE: u64 = 16_384;
/// A non-blocking verb that would block takes this long, so that polling lets time move.
const POLL: Duration = Duration::from_micros(1);
/// A thread that holds the baton this long without a verb is named.
const STUCK: std::time::Duration = std::time::Duration::from_secs(5);

thread_local! {
    /// In which run, and as which thread, this thread was spawned.
    static SPAWNED: Cell<Option<(u64, ThreadNo)>> = const { Cell::new(None) };
}

impl Shared {
    /// Who calls.
    pub(crate) fn caller(&self) -> ThreadNo {
        match SPAWNED.get() {
            Some((run, no)) if run == self.id => no,
            _ => ThreadNo::OUTSIDE,
        }
    }

    /// A spawned thread begins: it waits for its first turn.
    pub(crate) fn begin_thread(&self, me: ThreadNo) {
        SPAWNED.set(Some((self.id, me)));
        let world = self.lock();
        let (_world, _) = self.rest(world, me);
    }
    /// A spawned thread is over: it passes the baton on.
    pub(crate) fn end_thread(&self, me: ThreadNo) {
        SPAWNED.set(None);
        let mut world = self.lock();
        world.baton.end(me);
        world.leave_seat(me);
        while !world.stopped {
            match world.baton.next_turn() {
                Turn::Of(next) => {
                    world.seat(next).notify_all();
                    return;
                }
                Turn::Taken => return,
                Turn::Nobody => {
                    let (again, somebody) = self.move_time(world);
                    world = again;
                    if !somebody {
                        return;
                    }
                }
            }
        }
    }

    /// Waits as `pause` tells. `None`: this thread may not wait in virtual time.
    pub(crate) fn pause_virtual(&self, pause: Pause) -> Option<Wake> {
        let me = self.caller();
        let mut world = self.lock();
        if world.stopped {
            return Some(Wake::Stopped);
        }
        if !world.baton.holds(me) {
            return None;
        }
        if let Pause::Join(other) = pause
            && world.baton.is_gone(other)
        {
            return Some(Wake::Ready);
        }
        world.baton.park(me, pause);
        Some(self.rest(world, me).1)
    }

    /// A verb in virtual time.
    pub(crate) fn block_virtual<R>(
        &self,
        wait: Wait,
        mut verb: impl FnMut(&mut Stack, &mut Cx<'_>) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let me = self.caller();
        let mut wake = Vec::new();
        let mut world = self.lock();
        let until = wait.timeout.map(|timeout| world.lab.now() + timeout);
        let mut is_late = false;
        loop {
            if world.stopped {
                return Err(stopped());
            }
            if !world.baton.holds(me) {
                return Err(foreign());
            }
            world.baton.touch();
            let result = world.lab.with(wait.machine, &mut verb);
            let would_block = matches!(result, Err(SocketError::WouldBlock));
            world.settle(&mut wake);
            if !would_block || is_late {
                self.unlock_and_wake(world, &mut wake);
                return result.map_err(io_error);
            }
            if wait.nonblocking {
                let until = world.lab.now() + POLL;
                world.baton.park(me, Pause::Sleep(until));
                let (world, _) = self.rest(world, me);
                self.unlock_and_wake(world, &mut wake);
                return result.map_err(io_error);
            }
            let sleeper = Sleeper::Thread(me);
            world
                .wakers
                .add(wait.machine, wait.socket, wait.interest, sleeper.clone());
            world.baton.park(me, Pause::Verb(wait.verb, until));
            if !wake.is_empty() {
                self.unlock_and_wake(world, &mut wake);
                world = self.lock();
            }
            let (again, why) = self.rest(world, me);
            world = again;
            world.wakers.forget(wait.machine, wait.socket, &sleeper);
            match why {
                Wake::Ready => {}
                Wake::TimedOut => is_late = true,
                Wake::Nothing(sentence) => return Err(nothing_left(&sentence)),
                Wake::Stopped => return Err(stopped()),
            }
        }
    }

    /// Waits until this thread holds the baton again, and moves time if everybody waits.
    fn rest<'a>(
        &'a self,
        mut world: MutexGuard<'a, World>,
        me: ThreadNo,
    ) -> (MutexGuard<'a, World>, Wake) {
        let seat = world.seat(me);
        loop {
            if world.stopped {
                return (world, Wake::Stopped);
            }
            if let Some(wake) = world.baton.take_wake(me) {
                return (world, wake);
            }
            match world.baton.next_turn() {
                Turn::Of(next) if next == me => {}
                Turn::Of(next) => world.seat(next).notify_all(),
                Turn::Taken => world = seat.wait(world).unwrap_or_else(PoisonError::into_inner),
                Turn::Nobody => world = self.move_time(world).0,
            }
        }
    }

    /// Lets the lab go on until somebody can run, for at most one slice. False: nobody is there to wait for.
    fn move_time<'a>(&'a self, mut world: MutexGuard<'a, World>) -> (MutexGuard<'a, World>, bool) {
        world.baton.set_moving(true);
        let mut wake: Vec<Waker> = Vec::new();
        let moved = world.slice(&mut wake);
        let is_full = self.frames.as_ref().is_some_and(|frames| frames.is_full());
        if moved == Moved::OneSlice || !wake.is_empty() || is_full {
            self.unlock_and_wake(world, &mut wake);
            thread::yield_now();
            world = self.lock();
        }
        world.baton.set_moving(false);
        (world, moved != Moved::NobodyWaits)
    }

    /// Names a thread that holds the baton elsewhere than in our verbs.
    pub(crate) fn watch(&self) {
        let mut world = self.lock();
        let mut seen = world.baton.progress();
        let mut told = false;
        while !world.stopped {
            (world, _) = self
                .driver
                .wait_timeout(world, STUCK)
                .unwrap_or_else(PoisonError::into_inner);
            let now = world.baton.progress();
            match &now.1 {
                Some(name) if now == seen => {
                    if !told && !world.stopped {
                        eprintln!("{}", stuck(name));
                    }
                    told = true;
                }
                _ => told = false,
            }
            seen = now;
        }
    }
}

/// What a slice of time came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// Somebody is in the queue now.
    Somebody,
    /// Nobody yet.
    OneSlice,
    /// Nothing is left to happen, and nobody waits for anything.
    NobodyWaits,
}
impl From<bool> for Moved {
    fn from(somebody: bool) -> Self {
        if somebody {
            Self::Somebody
        } else {
            Self::NobodyWaits
        }
    }
}

impl World {
    /// One slice of time.
    fn slice(&mut self, wake: &mut Vec<Waker>) -> Moved {
        let deadline = self.baton.deadline();
        let limit = self.baton.limit();
        let target = [deadline, limit].into_iter().flatten().min();
        if self.lab.next_event().is_none() && target.is_none() {
            return self.baton.nothing_left(None).into();
        }
        let outcome = self
            .lab
            .run_until(target.unwrap_or(Instant::MAX), true, SLICE);
        self.settle(wake);
        let now = self.lab.now();
        self.baton.expire(now);
        if self.baton.is_anybody_queued() {
            return Moved::Somebody;
        }
        match outcome {
            Outcome::Stalled(machines) => {
                let sentence = self.tell_stall(&machines);
                self.baton.nothing_left(Some(&sentence)).into()
            }
            Outcome::Idle if deadline.is_none() => self.baton.nothing_left(None).into(),
            Outcome::Idle | Outcome::Reached if limit.is_some_and(|limit| now >= limit) => {
                self.baton.wake(ThreadNo::OUTSIDE, Wake::TimedOut);
                Moved::Somebody
            }
            _ => Moved::OneSlice,
        }
    }
}

fn stuck(name: &str) -> String {
    format!(
        "heptad: {name} has used no socket for 5 s while it is its turn: virtual time stands still until it does"
    )
}

/// A thread that was not spawned by the run wants to wait while others run.
fn foreign() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "in virtual time only threads of Network::spawn may wait, and one other while all of those wait",
    )
}
