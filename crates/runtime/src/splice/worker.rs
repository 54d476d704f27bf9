//! The thread of a loop, and how it ends.
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::bell::{Shared, lock};

/// A loop's thread. Dropping it ends the loop at once; [`Worker::finish`] lets bytes under way arrive.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs a loop that is called by `shared`.
    pub(crate) fn start(
        name: &str,
        shared: Arc<Shared>,
        serve: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(serve)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Ends when everything has left, when nothing has moved for a second, or after `within`.
    pub(crate) fn finish(self, within: Duration) {
        lock(&self.shared.inbox).finish = Some(Instant::now() + within);
        drop(self);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        lock(&self.shared.inbox)
            .finish
            .get_or_insert_with(Instant::now);
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
