//! The wall's time: the driver's thread, and how a thread waits in a verb.
use core::task::Waker;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant as WallInstant;

use heptad_stack::time::Duration;
use heptad_stack::{Instant, SocketError};

use crate::shared::{Patience, Shared, stopped};
use crate::socket::io_error;
use crate::wakers::Sleeper;
use crate::world::World;

/// Most events that the driver handles before it lets callers in.
const DRIVER_BUDGET: u64 = 4_096;
/// How long the driver rests when a machine never lets time move.
const STALLED: Duration = Duration::from_millis(10);

impl Shared {
    /// The driver: sleeps until the lab's next event, lets time advance, wakes.
    pub(crate) fn drive_real(&self) {
        let mut wake = Vec::new();
        loop {
            let mut world = self.lock();
            if world.stopped {
                return;
            }
            let wall = self.wall();
            world.advance(wall, DRIVER_BUDGET);
            world.settle(&mut wake);
            let next = world.lab.next_event().unwrap_or(Instant::MAX);
            let is_behind = next <= wall;
            if is_behind || !wake.is_empty() || world.has_outgoing() {
                let stands_still = is_behind && world.lab.now() >= wall;
                self.unlock_and_wake(world, &mut wake);
                match stands_still {
                    true => thread::sleep(STALLED),
                    false => thread::yield_now(),
                }
                continue;
            }
            world.driver_sleeps_until = next;
            let rest = next.since(self.wall());
            let (mut world, _) = self
                .driver
                .wait_timeout(world, rest)
                .unwrap_or_else(PoisonError::into_inner);
            world.driver_sleeps_until = Instant::ZERO;
        }
    }

    /// [`Shared::wait_for`] in real time: tries, registers this thread under the same lock, parks.
    pub(crate) fn wait_for_real<R>(
        &self,
        patience: Patience,
        mut attempt: impl FnMut(&mut World, &Sleeper, bool) -> Option<R>,
    ) -> io::Result<R> {
        let now = WallInstant::now();
        let deadline = patience
            .timeout()
            .and_then(|timeout| now.checked_add(timeout));
        let mut wake = Vec::new();
        let parker = Parker::of_this_thread();
        let sleeper = Sleeper::Waker(Waker::from(parker.clone()));
        let mut waits = patience != Patience::None;
        loop {
            let mut world = self.lock();
            if world.stopped {
                return Err(stopped());
            }
            self.enter(&mut world);
            let result = attempt(&mut world, &sleeper, waits);
            self.leave(world, &mut wake);
            if result.is_some() || !waits {
                return result.ok_or_else(|| io_error(SocketError::WouldBlock));
            }
            parker.park(deadline);
            waits = deadline.is_none_or(|deadline| WallInstant::now() < deadline);
        }
    }

    /// Sleeps until lab time `until`, or until the run is stopped.
    pub(crate) fn sleep_real(&self, until: Instant) {
        let mut world = self.lock();
        loop {
            let rest = until.since(self.wall());
            if rest.is_zero() || world.stopped {
                return;
            }
            (world, _) = self
                .sleepers
                .wait_timeout(world, rest)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Lets one thread sleep until it is woken.
struct Parker {
    thread: Thread,
    woken: AtomicBool,
}
impl Parker {
    fn of_this_thread() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            woken: AtomicBool::new(false),
        })
    }
    /// Sleeps until woken or late; a wake that came before counts.
    fn park(&self, deadline: Option<WallInstant>) {
        while !self.woken.swap(false, Ordering::Acquire) {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let rest = deadline.saturating_duration_since(WallInstant::now());
                    if rest.is_zero() {
                        return;
                    }
                    thread::park_timeout(rest);
                }
            }
        }
    }
}
impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
