//! Looking at the frames of a run for a while: begun and ended while it goes on, never holding it up.
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heptad_lab::FrameRecord;

use crate::Network;

/// Most bytes of frames that wait for a watcher; what comes then is missed, and counted.
const BOUND: usize = 64 << 20;
/// What a record costs beside its frame.
const RECORD: usize = 128;

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<FrameRecord>,
    bytes: usize,
    missed: u64,
    over: bool,
}

/// What the lab fills and a watcher empties.
#[derive(Debug, Default)]
pub(crate) struct WatchQueue {
    state: Mutex<State>,
    changed: Condvar,
}
impl WatchQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Appends copies; never waits (it is called under the lab's lock).
    pub(crate) fn push(&self, frames: &[FrameRecord]) {
        if frames.is_empty() {
            return;
        }
        let mut state = self.lock();
        for frame in frames {
            let size = frame.bytes.len() + RECORD;
            if state.bytes + size > BOUND {
                state.missed += 1;
                continue;
            }
            state.bytes += size;
            state.frames.push_back(frame.clone());
        }
        self.changed.notify_all();
    }
    /// Nothing more comes.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }
}

/// Somebody who looks at the frames of a run from [`Network::watch_frames`] on; dropped, they look no more.
pub struct FrameWatch {
    network: Network,
    queue: Arc<WatchQueue>,
}
impl FrameWatch {
    /// The frames since the last call, in order; waits for one, at most for `patience` of the wall's time. `None`: the run
    /// is over and all were taken.
    pub fn next(&self, patience: Duration) -> Option<Vec<FrameRecord>> {
        let deadline = Instant::now() + patience;
        let mut state = self.queue.lock();
        while state.frames.is_empty() {
            if state.over {
                return None;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Some(Vec::new());
            }
            (state, _) = self
                .queue
                .changed
                .wait_timeout(state, rest)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes = 0;
        Some(std::mem::take(&mut state.frames).into())
    }
    /// Frames that came while 64 MiB of others waited, and were missed.
    pub fn missed(&self) -> u64 {
        self.queue.lock().missed
    }
}
impl Drop for FrameWatch {
    fn drop(&mut self) {
        let mut world = self.network.shared().lock();
        world.unwatch(&self.queue);
    }
}

impl Network {
    /// Begins to look at all frames, whether or not the lab was made to observe. Neither the run nor its event hash is
    /// changed by it.
    pub fn watch_frames(&self) -> FrameWatch {
        let queue = Arc::<WatchQueue>::default();
        let mut world = self.shared().lock();
        match world.stopped {
            true => queue.end(),
            false => world.watch(queue.clone()),
        }
        drop(world);
        FrameWatch {
            network: self.clone(),
            queue,
        }
    }
}
