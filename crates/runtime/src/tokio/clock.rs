//! Virtual time and tokio's clock are one: whoever moves the lab's time does so when that clock allows it.
//!
//! A task of ours, the mover, lives in the runtime. It sleeps by tokio's clock until the lab's next event, handles what is
//! due, and wakes those whom it concerns. Tokio moves its paused clock by itself, when all tasks wait, to the next full
//! millisecond at which a timer fires. In a runtime built by us the mover also knows when all tasks wait, and there it
//! moves the clock itself for the last part of a millisecond, in which no timer can fire: so an event is exact.
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::tokio::runtime::{Builder, Handle};
use ::tokio::time::{Instant as TaskInstant, advance, sleep_until};
use heptad_stack::Instant;

use crate::network::{Clock, Network};
use crate::shared::{Shared, nothing_left};
use crate::world::TaskClock;

/// A timer further away than this is not waited for: longer than this without an event, nothing is left to happen.
const FAR: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Network {
    /// Runs a future, and what it spawns, in a runtime of its own on this thread. In virtual time this is where time is
    /// exact and moves as fast as the processor; threads of [`Network::spawn`] do not run meanwhile. In real time it is an
    /// ordinary runtime.
    ///
    /// # Errors
    /// The system's, if there can be no runtime. Virtual time: `Deadlock` when all tasks wait and neither a packet nor a
    /// timer within a year is left that could wake one; [`crate::run_is_over`] knows it.
    ///
    /// Panics inside of another runtime, as tokio's own `block_on` does.
    pub fn block_on<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        if self.clock() == Clock::Real {
            return Ok(builder.build()?.block_on(future));
        }
        let pace = Arc::new(Pace::default());
        let hook = pace.clone();
        builder
            .start_paused(true)
            .on_thread_park(move || hook.all_wait());
        let runtime = builder.build()?;
        runtime.block_on(async {
            let following = Following::start(self.shared(), pace.clone(), true);
            let mut mover = ::tokio::spawn(following.move_exactly());
            let mut future = pin!(future);
            poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => match pin!(&mut mover).poll(cx) {
                    Poll::Ready(Ok(Some(NothingLeft))) => Poll::Ready(Err(nothing_left(
                        "nothing is left to happen, and all tasks wait",
                    ))),
                    // Stopped: the verbs of the tasks say so.
                    Poll::Ready(_) | Poll::Pending => Poll::Pending,
                },
            })
            .await
        })
    }
}

/// Before a verb of a task: in virtual time somebody must move time in its runtime.
pub(super) fn follow(network: &Network) {
    if network.clock() == Clock::Real {
        return;
    }
    let shared = network.shared();
    let is_followed = {
        let world = shared.lock();
        world.tasks.is_some() || world.stopped
    };
    if !is_followed && let Ok(runtime) = Handle::try_current() {
        let following = Following::start(shared, Arc::default(), false);
        runtime.spawn(following.move_by_timers());
    }
}

/// What the mover, the verbs of tasks and the runtime's hook share.
#[derive(Debug, Default)]
struct Pace(Mutex<PaceState>);
#[derive(Debug, Default)]
struct PaceState {
    /// All tasks but the mover wait, and it has not seen that yet.
    all_wait: bool,
    /// The mover sleeps for an event at this lab time.
    sleeps_for: Option<Instant>,
    /// There is an earlier one now.
    is_late: bool,
    mover: Option<Waker>,
}
impl Pace {
    fn lock(&self) -> MutexGuard<'_, PaceState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The runtime's hook: it has nothing to do. A mover that sleeps for the right event lets it go on to the next timer.
    fn all_wait(&self) {
        let mut state = self.lock();
        if state.sleeps_for.is_some() && !state.is_late {
            return;
        }
        state.all_wait = true;
        if let Some(mover) = state.mover.take() {
            drop(state);
            mover.wake();
        }
    }
    /// Waits until all tasks wait.
    fn poll_all_wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if core::mem::take(&mut state.all_wait) {
            return Poll::Ready(());
        }
        state.mover = Some(cx.waker().clone());
        Poll::Pending
    }
    /// Sleeps until tokio's clock says so. False: woken before, for an event earlier than `event`.
    async fn sleep(&self, until: TaskInstant, event: Instant) -> bool {
        {
            let mut state = self.lock();
            (state.sleeps_for, state.is_late) = (Some(event), false);
        }
        let mut sleep = pin!(sleep_until(until));
        let slept = poll_fn(|cx| {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            let mut state = self.lock();
            if state.is_late {
                return Poll::Ready(false);
            }
            state.mover = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.lock().sleeps_for = None;
        slept
    }
}

/// The lab's time as the runtime's clock gives it.
struct Following {
    shared: Arc<Shared>,
    pace: Arc<Pace>,
    epoch: Epoch,
}
/// Which time of the runtime is which time of the lab.
#[derive(Clone, Copy)]
struct Epoch {
    task: TaskInstant,
    lab: Instant,
}
impl Epoch {
    /// The runtime's time now, since its beginning.
    fn elapsed(&self) -> Duration {
        TaskInstant::now() - self.task
    }
    fn now(&self) -> Instant {
        self.lab + self.elapsed()
    }
}
/// What verbs know of it; `is_exact`: the runtime's hook wakes the mover, not they.
struct Follower {
    epoch: Epoch,
    pace: Arc<Pace>,
    is_exact: bool,
}
impl TaskClock for Follower {
    fn now(&self) -> Option<Instant> {
        // Outside of a runtime tokio's clock is the wall's.
        Handle::try_current().ok().map(|_| self.epoch.now())
    }
    fn next_event(&mut self, next: Instant) -> Option<Waker> {
        let mut state = self.pace.lock();
        let is_late = state.sleeps_for.is_some_and(|event| next < event);
        state.is_late |= is_late;
        let wakes = is_late && !self.is_exact;
        if wakes { state.mover.take() } else { None }
    }
}
/// Time does not move any more with this runtime.
impl Drop for Following {
    fn drop(&mut self) {
        self.shared.lock().tasks = None;
    }
}

/// All tasks wait, for nothing.
struct NothingLeft;

impl Following {
    /// `is_exact`: the runtime's hook wakes the mover.
    fn start(shared: &Arc<Shared>, pace: Arc<Pace>, is_exact: bool) -> Self {
        let mut world = shared.lock();
        let epoch = Epoch {
            task: TaskInstant::now(),
            lab: world.lab.now(),
        };
        world.tasks = Some(Box::new(Follower {
            epoch,
            pace: pace.clone(),
            is_exact,
        }));
        Self {
            shared: shared.clone(),
            pace,
            epoch,
        }
    }

    /// Handles what is due now. `None`: the run was stopped; else whether a task was woken, and the next event.
    fn step(&self) -> Option<(bool, Option<Instant>)> {
        let mut wake = Vec::new();
        let mut world = self.shared.lock();
        if world.stopped {
            return None;
        }
        self.shared.enter(&mut world);
        world.settle(&mut wake);
        let next = world.lab.next_work();
        let has_woken = !wake.is_empty();
        self.shared.unlock_and_wake(world, &mut wake);
        Some((has_woken, next))
    }

    /// In a runtime that tells when all tasks wait. Ends when the run is stopped, or nothing is left to happen.
    async fn move_exactly(self) -> Option<NothingLeft> {
        loop {
            poll_fn(|cx| self.pace.poll_all_wait(cx)).await;
            let (has_woken, next) = self.step()?;
            if has_woken {
                continue;
            }
            let Some(next) = next else {
                let far = TaskInstant::now() + FAR;
                if self.pace.sleep(far, Instant::MAX).await {
                    return Some(NothingLeft);
                }
                continue;
            };
            let (now, event) = (self.epoch.elapsed(), next.since(self.epoch.lab));
            let event_millisecond = whole_milliseconds(event);
            if event_millisecond <= now {
                advance(event.saturating_sub(now)).await;
            } else if whole_milliseconds(now) < now {
                // Timers are counted in whole milliseconds from here: begin at one.
                advance(whole_milliseconds(now) + Duration::from_millis(1) - now).await;
            } else {
                self.pace
                    .sleep(self.epoch.task + event_millisecond, next)
                    .await;
            }
        }
    }

    /// In any other runtime: by its timers, which fire at whole milliseconds. Ends when the run is stopped.
    async fn move_by_timers(self) {
        while let Some((_, next)) = self.step() {
            let event = next.unwrap_or(Instant::MAX);
            let rest = event.since(self.epoch.lab).min(FAR);
            self.pace.sleep(self.epoch.task + rest, event).await;
        }
    }
}

fn whole_milliseconds(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
