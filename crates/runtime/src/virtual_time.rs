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
use heptad_stack::{Instant, SocketError};

use crate::baton::{Pause, ThreadNo, Turn, Wake};
use crate::shared::{Patience, Shared, nothing_left, stopped};
use crate::socket::io_error;
use crate::wakers::Sleeper;
use crate::world::World;

/// Most events under one hold of the lock: then those who only look get in.
const SLICE: u64 = 16_384;
/// A non-blocking verb that would block takes this long, so that polling lets time move.
const POLL: Duration = Duration::from_micros(1);
/// A thread that holds the baton this long without a verb is named.
pub(crate) const STUCK: Duration = Duration::from_secs(5);

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

    /// [`Shared::wait_for`] in virtual time.
    pub(crate) fn wait_for_virtual<R>(
        &self,
        verb: &'static str,
        patience: Patience,
        mut attempt: impl FnMut(&mut World, &Sleeper, bool) -> Option<R>,
    ) -> io::Result<R> {
        let me = self.caller();
        let sleeper = Sleeper::Thread(me);
        let mut wake = Vec::new();
        let mut world = self.lock();
        let until = world.lab.now() + patience.timeout().unwrap_or(Duration::MAX);
        let until = (until < Instant::MAX).then_some(until);
        let mut waits = patience != Patience::None;
        loop {
            if world.stopped {
                return Err(stopped());
            }
            if !world.baton.holds(me) {
                return Err(foreign());
            }
            world.baton.touch();
            let result = attempt(&mut world, &sleeper, waits);
            world.settle(&mut wake);
            if result.is_none() && waits {
                world.baton.park(me, Pause::Verb(verb, until));
            } else if result.is_none() && patience == Patience::None {
                let until = world.lab.now() + POLL;
                world.baton.park(me, Pause::Sleep(until));
            } else {
                self.unlock_and_wake(world, &mut wake);
                return result.ok_or_else(|| io_error(SocketError::WouldBlock));
            }
            if !wake.is_empty() {
                self.unlock_and_wake(world, &mut wake);
                world = self.lock();
            }
            let (again, why) = self.rest(world, me);
            world = again;
            match why {
                _ if !waits => return Err(io_error(SocketError::WouldBlock)),
                Wake::Ready => {}
                Wake::TimedOut => waits = false,
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

    /// The watchdog: names a thread that holds the baton for longer than `patience` without a verb.
    pub(crate) fn watch(&self, patience: Duration, mut tell: impl FnMut(&str)) {
        let mut world = self.lock();
        let mut seen = world.baton.progress();
        let mut told = false;
        while !world.stopped {
            (world, _) = self
                .driver
                .wait_timeout(world, patience)
                .unwrap_or_else(PoisonError::into_inner);
            let now = world.baton.progress();
            match &now.1 {
                Some(name) if now == seen => {
                    if !told && !world.stopped {
                        tell(name);
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
        if self.lab.next_work().is_none() && target.is_none() {
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

/// What is said of a thread that the watchdog found.
pub(crate) fn say_stuck(name: &str) {
    eprintln!(
        "heptad: {name} holds the turn for {} s and uses no socket: virtual time stands still until it does",
        STUCK.as_secs()
    );
}

/// A thread that was not spawned by the run wants to wait while others run.
fn foreign() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "in virtual time only threads of Network::spawn may wait, and one other while all of those wait",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use heptad_lab::topology::{Impairments, Topology};
    use heptad_lab::{Lab, LabOptions};
    use heptad_stack::EventMask;

    use super::*;
    use crate::network::{Clock, Network, NetworkOptions};

    #[test]
    fn a_thread_that_waits_elsewhere_is_named_once() {
        let options = LabOptions {
            seed: 1,
            event_hash: false,
            observe: false,
            events: EventMask::NONE,
        };
        let lab = Lab::new(&Topology::pair(Impairments::default()), options).expect("a lab");
        let (clock, sinks) = (Clock::Virtual, Vec::new());
        let network = Network::start(lab, NetworkOptions { clock, sinks });
        let (tell, told) = mpsc::channel();
        let shared = network.shared().clone();
        let watchdog = thread::spawn(move || {
            shared.watch(Duration::from_millis(10), |name| {
                tell.send(name.to_owned()).expect("somebody listens");
            });
        });
        let (release, gate) = mpsc::channel::<()>();
        let stuck = network.spawn("stuck", move || gate.recv().expect("released"));
        let releases = thread::spawn(move || {
            let first = told.iter().find(|name| name != "main").expect("a name");
            thread::sleep(Duration::from_millis(50));
            release.send(()).expect("it waits");
            (first, told)
        });
        stuck.join().expect("no panic");
        let (first, told) = releases.join().expect("no panic");
        assert_eq!(first, "stuck");
        network.stop();
        watchdog.join().expect("no panic");
        assert!(told.iter().all(|name| name != "stuck"), "told twice");
    }
}
