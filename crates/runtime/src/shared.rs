//! What all handles of a run share: the lock, the clock, and the way a verb waits.
use core::task::Waker;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant as WallInstant;

use heptad_lab::MachineId;
use heptad_stack::time::Duration;
use heptad_stack::{Cx, Instant, Ready, SocketError, SocketId, Stack};

use crate::frame_queue::FrameQueue;
use crate::network::Clock;
use crate::socket::io_error;
use crate::wakers::Sleeper;
use crate::world::World;

/// Most events that a caller handles for others before its own verb runs (real time).
const CALLER_BUDGET: u64 = 1_024;
/// How many times a caller lets the frames of its own verb move on, and how many events each time.
const PUMPS: u32 = 8;
const PUMP_BUDGET: u64 = 64;

/// How long a verb waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// At most so long.
    Some(Duration),
    /// For ever.
    Endless,
}
impl Patience {
    pub(crate) fn timeout(self) -> Option<Duration> {
        match self {
            Self::None | Self::Endless => None,
            Self::Some(timeout) => Some(timeout),
        }
    }
}
impl From<Option<Duration>> for Patience {
    fn from(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::Endless, Self::Some)
    }
}

/// How a verb waits for its socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) machine: MachineId,
    pub(crate) socket: SocketId,
    /// For what.
    pub(crate) interest: Ready,
    pub(crate) patience: Patience,
    /// For people: `read`, `accept`, …
    pub(crate) verb: &'static str,
}

/// One run.
pub(crate) struct Shared {
    /// Tells the runs of a process apart.
    pub(crate) id: u64,
    pub(crate) clock: Clock,
    started: WallInstant,
    pub(crate) world: Mutex<World>,
    /// The driver (real time) or the watchdog (virtual time) waits here.
    pub(crate) driver: Condvar,
    /// Those who sleep for a time wait here (real time).
    pub(crate) sleepers: Condvar,
    pub(crate) frames: Option<Arc<FrameQueue>>,
}
impl Shared {
    pub(crate) fn new(clock: Clock, world: World, frames: Option<Arc<FrameQueue>>) -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: RUNS.fetch_add(1, Ordering::Relaxed),
            clock,
            started: WallInstant::now(),
            world: Mutex::new(world),
            driver: Condvar::new(),
            sleepers: Condvar::new(),
            frames,
        }
    }

    /// The lock. A verb that panicked under it broke its own thread; the others go on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Wall time since the start, as lab time.
    pub(crate) fn wall(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// Lets time advance, runs `change` on the world, wakes whom it concerns.
    pub(crate) fn with_world<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let mut wake = Vec::new();
        let mut world = self.lock();
        self.enter(&mut world);
        let result = change(&mut world);
        self.leave(world, &mut wake);
        result
    }

    /// Runs a verb until it does not say `WouldBlock`, waiting in between as `wait` tells.
    pub(crate) fn block<R>(
        &self,
        wait: Wait,
        mut verb: impl FnMut(&mut Stack, &mut Cx<'_>) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let Wait {
            machine, socket, ..
        } = wait;
        let attempt = |world: &mut World, sleeper: &Sleeper, waits| {
            let result = world.lab.with(machine, &mut verb);
            let would_block = matches!(result, Err(SocketError::WouldBlock));
            if would_block && waits {
                let sleeper = sleeper.clone();
                world.wakers.add(machine, socket, wait.interest, sleeper);
            } else {
                world.wakers.forget(machine, socket, sleeper);
            }
            (!would_block).then_some(result)
        };
        self.wait_for(wait.verb, wait.patience, attempt)?
            .map_err(io_error)
    }

    /// Waits until `attempt` answers; it is called under the lock with whom to wake when it may answer, and with
    /// whether this thread will wait (if not, the sleeper is to be forgotten). `WouldBlock`: patience is over.
    pub(crate) fn wait_for<R>(
        &self,
        verb: &'static str,
        patience: Patience,
        attempt: impl FnMut(&mut World, &Sleeper, bool) -> Option<R>,
    ) -> io::Result<R> {
        match self.clock {
            Clock::Real => self.wait_for_real(patience, attempt),
            Clock::Virtual => self.wait_for_virtual(verb, patience, attempt),
        }
    }

    /// Before a verb: real time advances, virtual time notes a sign of life.
    pub(crate) fn enter(&self, world: &mut World) {
        match self.clock {
            Clock::Real => world.advance(self.wall(), CALLER_BUDGET),
            Clock::Virtual => {
                if world.baton.holds(self.caller()) {
                    world.baton.touch();
                }
                world.follow_tasks();
            }
        }
    }
    /// After a verb: pumps, passes on what happened, kicks the driver only for an earlier deadline, unlocks, wakes.
    pub(crate) fn leave(&self, mut world: MutexGuard<'_, World>, wake: &mut Vec<Waker>) {
        if self.clock == Clock::Real {
            self.pump(&mut world);
        }
        world.settle(wake);
        if self.clock == Clock::Real {
            let next = world.lab.next_event();
            if next.is_some_and(|next| next < world.driver_sleeps_until) {
                world.driver_sleeps_until = Instant::ZERO;
                self.driver.notify_all();
            }
        }
        let World { lab, tasks, .. } = &mut *world;
        if let (Some(next), Some(tasks)) = (lab.next_work(), tasks) {
            wake.extend(tasks.next_event(next));
        }
        self.unlock_and_wake(world, wake);
    }
    /// Unlocks, wakes, writes to real cables, and waits for room if this made frames faster than a capture takes them.
    pub(crate) fn unlock_and_wake(&self, mut world: MutexGuard<'_, World>, wake: &mut Vec<Waker>) {
        let outgoing = world.take_outgoing();
        drop(world);
        for waker in wake.drain(..) {
            waker.wake();
        }
        for frames in outgoing {
            self.write_out(frames);
        }
        if let Some(frames) = &self.frames {
            frames.wait_for_room();
        }
    }

    fn pump(&self, world: &mut World) {
        for _ in 0..PUMPS {
            let wall = self.wall();
            if world.lab.next_event().is_none_or(|next| next > wall) {
                return;
            }
            world.advance(wall, PUMP_BUDGET);
        }
    }
}

/// Why a verb will never be answered: the run was stopped, or nothing is left to happen.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RunOver(String);

/// The run was stopped while a verb waited, or before it.
pub(crate) fn stopped() -> io::Error {
    let reason = RunOver("the network was stopped".into());
    io::Error::new(io::ErrorKind::ConnectionAborted, reason)
}
/// What every waiting verb answers in virtual time when nothing is left to happen; the sentence names who waits.
pub(crate) fn nothing_left(sentence: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Deadlock, RunOver(sentence.into()))
}
/// Whether a verb failed because the run is over: it was stopped, or (virtual time) nothing is left to happen. A
/// server may take it as the regular end.
pub fn run_is_over(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<RunOver>())
}
