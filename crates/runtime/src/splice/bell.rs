//! How other threads call a loop: sockets inside ring it, and whoever started it tells it to finish.
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

/// What other threads and a loop share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bell: OwnedFd,
    pub(crate) inbox: Mutex<Inbox>,
}

/// For the loop to look at when the bell rang.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Keys of sockets inside that became ready.
    pub(crate) ready: Vec<u64>,
    /// When to end at the latest.
    pub(crate) finish: Option<Instant>,
}

impl Shared {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            inbox: Mutex::default(),
        })
    }
    pub(crate) fn ring(&self) {
        // A full counter is a bell that rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
    /// A waker that rings for this key.
    pub(crate) fn waker(self: &Arc<Self>, key: u64) -> Waker {
        let shared = Arc::clone(self);
        Waker::from(Arc::new(Bell { shared, key }))
    }
}

/// Each change under the lock is whole: one that panicked has left nothing half done.
pub(crate) fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Bell {
    shared: Arc<Shared>,
    key: u64,
}
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        let first = {
            let mut inbox = lock(&self.shared.inbox);
            inbox.ready.push(self.key);
            inbox.ready.len() == 1
        };
        if first {
            self.shared.ring();
        }
    }
}
