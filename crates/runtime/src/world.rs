//! What the lock guards: the lab, who waits for its sockets, and the baton of virtual time.
use core::task::Waker;
use std::collections::HashMap;
use std::sync::{Arc, Condvar};
use std::thread::ThreadId;

use heptad_lab::{Lab, Outcome};
use heptad_stack::time::Duration;
use heptad_stack::{Instant, Ready};

use crate::baton::{Baton, ThreadNo, Wake};
use crate::frame_queue::FrameQueue;
use crate::frame_watch::WatchQueue;
use crate::real_cables::RealCable;
use crate::wakers::{Sleeper, Wakers};

/// The clock of an asynchronous runtime that virtual time follows.
pub(crate) trait TaskClock: Send {
    /// Lab time by that clock, if the caller is one of its tasks.
    fn now(&self) -> Option<Instant>;
    /// When the lab's next event is, after a verb: whoever moves time looks again if it sleeps for longer.
    fn next_event(&mut self, next: Instant) -> Option<Waker>;
}

/// The lab and everything that must change together with it.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) wakers: Wakers,
    /// Virtual time only: who may run.
    pub(crate) baton: Baton,
    /// Real time only: threads that wait for each other, not for a socket; the end of the run wakes them.
    pub(crate) idle: HashMap<ThreadId, Waker>,
    /// Virtual time only: the asynchronous runtime whose clock time follows.
    pub(crate) tasks: Option<Box<dyn TaskClock>>,
    /// Where each spawned thread waits for its turn.
    seats: HashMap<ThreadNo, Arc<Condvar>>,
    frames: Option<Arc<FrameQueue>>,
    /// Those who look at frames for a while.
    watches: Vec<Arc<WatchQueue>>,
    /// Who looks at strangers at gateways (see [`Lab::has_strangers`]).
    pub(crate) greeters: Vec<Waker>,
    /// Real time only: until when the driver sleeps; zero while it does not.
    pub(crate) driver_sleeps_until: Instant,
    pub(crate) worst_lag: Duration,
    pub(crate) real_cables: Vec<RealCable>,
    /// Why the first of them that failed did so.
    pub(crate) cable_error: Option<String>,
    pub(crate) stopped: bool,
    stall_was_told: bool,
}
impl World {
    pub(crate) fn new(lab: Lab, frames: Option<Arc<FrameQueue>>, outside: &str) -> Self {
        Self {
            lab,
            wakers: Wakers::default(),
            baton: Baton::new(outside),
            idle: HashMap::new(),
            tasks: None,
            seats: HashMap::new(),
            frames,
            watches: Vec::new(),
            greeters: Vec::new(),
            driver_sleeps_until: Instant::ZERO,
            worst_lag: Duration::ZERO,
            real_cables: Vec::new(),
            cable_error: None,
            stopped: false,
            stall_was_told: false,
        }
    }

    /// After each change of the lab: wakes those whose sockets are ready now and passes the frames on. The wakers that
    /// are left in `wake` are to be woken outside of the lock.
    pub(crate) fn settle(&mut self, wake: &mut Vec<Waker>) {
        while let Some((machine, socket, ready)) = self.lab.poll_ready() {
            let Self { wakers, baton, .. } = self;
            wakers.take(machine, socket, ready, |sleeper| match sleeper {
                Sleeper::Thread(no) => baton.wake(no, Wake::Ready),
                Sleeper::Task(_, waker) | Sleeper::Waker(waker) => wake.push(waker),
            });
        }
        if !self.greeters.is_empty() && self.lab.has_strangers() {
            wake.append(&mut self.greeters);
        }
        self.tell_caps();
        let frames = self.lab.take_frames();
        for watch in &self.watches {
            watch.push(&frames);
        }
        if let Some(queue) = &self.frames {
            queue.push(frames);
        }
    }

    /// From now on frames go there too.
    pub(crate) fn watch(&mut self, watch: Arc<WatchQueue>) {
        self.watches.push(watch);
        self.lab.observe(true);
    }
    /// The run is over: nothing more comes.
    pub(crate) fn end_watches(&self) {
        for watch in &self.watches {
            watch.end();
        }
    }
    /// Nobody looks there any more.
    pub(crate) fn unwatch(&mut self, watch: &Arc<WatchQueue>) {
        self.watches.retain(|other| !Arc::ptr_eq(other, watch));
        if self.watches.is_empty() && self.frames.is_none() {
            self.lab.observe(false);
        }
    }

    /// Wakes threads that wait for each other, not for a socket.
    pub(crate) fn wake(&mut self, sleepers: Vec<Sleeper>) {
        for sleeper in sleepers {
            match sleeper {
                Sleeper::Thread(no) => self.baton.wake(no, Wake::Ready),
                Sleeper::Task(_, waker) | Sleeper::Waker(waker) => waker.wake(),
            }
        }
    }
    /// Whether sockets of a machine are to be looked at now by somebody with this interest.
    pub(crate) fn is_ready(
        &self,
        machine: heptad_lab::MachineId,
        socket: heptad_stack::SocketId,
        interest: Ready,
    ) -> bool {
        self.lab
            .stack(machine)
            .is_some_and(|stack| crate::wakers::concerns(stack.ready(socket), interest))
    }

    /// Lets time advance to `wall`, at most `budget` events, and measures the lag.
    pub(crate) fn advance(&mut self, wall: Instant, budget: u64) {
        if self.stopped {
            return;
        }
        if let Some(next) = self.lab.next_event() {
            self.worst_lag = self.worst_lag.max(wall.since(next));
        }
        if let Outcome::Stalled(machines) = self.lab.run_until(wall, false, budget) {
            self.tell_stall(&machines);
        }
    }

    /// Virtual time: what a task sees is the lab at the time of its runtime's clock.
    pub(crate) fn follow_tasks(&mut self) {
        let now = self.tasks.as_ref().and_then(|tasks| tasks.now());
        if let Some(now) = now
            && !self.stopped
            && let Outcome::Stalled(machines) = self.lab.run_until(now, false, u64::MAX)
        {
            self.tell_stall(&machines);
        }
    }

    /// Names the machines that never let time move, once, on stderr; returns the sentence.
    pub(crate) fn tell_stall(&mut self, machines: &[heptad_lab::MachineId]) -> String {
        let infos = self.lab.machines();
        let names: Vec<&str> = machines
            .iter()
            .filter_map(|id| infos.iter().find(|info| info.id == *id))
            .map(|info| info.name.as_str())
            .collect();
        let sentence = format!("time cannot move: {} never lets it", names.join(", "));
        if !self.stall_was_told {
            self.stall_was_told = true;
            eprintln!("heptad: {sentence}");
        }
        sentence
    }

    /// Where a thread waits for its turn.
    pub(crate) fn seat(&mut self, no: ThreadNo) -> Arc<Condvar> {
        self.seats.entry(no).or_default().clone()
    }
    /// A thread is over: its place is free.
    pub(crate) fn leave_seat(&mut self, no: ThreadNo) {
        self.seats.remove(&no);
    }
    /// Everybody is to look at `stopped`.
    pub(crate) fn call_all_seats(&self) {
        for seat in self.seats.values() {
            seat.notify_all();
        }
    }
}
