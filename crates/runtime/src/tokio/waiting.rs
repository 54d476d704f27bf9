//! How a verb of a socket becomes a future: it is tried under the lock of the world, and where it would block, the task is
//! put down under the same lock, so that no wake is missed.
use core::future::poll_fn;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use ::tokio::task::coop::poll_proceed;
use heptad_stack::{Cx, Ready, SocketError, SocketId, Stack};

use super::clock;
use crate::shared::stopped;
use crate::socket::handle::Handle;
use crate::socket::io_error;
use crate::wakers::Sleeper;

/// A place in the list of those who wait for a socket. Who comes again takes their own.
#[derive(Debug)]
pub(super) struct Place(u64);
impl Place {
    pub(super) fn new() -> Self {
        static PLACES: AtomicU64 = AtomicU64::new(0);
        Self(PLACES.fetch_add(1, Ordering::Relaxed))
    }

    /// Tries a verb; while it would block, the task of `cx` is woken for any bit of `interest`, an error or a hang-up.
    pub(super) fn poll<R>(
        &self,
        handle: &Handle,
        cx: &mut Context<'_>,
        interest: Ready,
        mut verb: impl FnMut(&mut Stack, SocketId, &mut Cx<'_>) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        let budget = ready!(poll_proceed(cx));
        clock::follow(handle.network());
        let (machine, socket) = (handle.machine(), handle.socket());
        let sleeper = Sleeper::Task(self.0, cx.waker().clone());
        let result = handle.network().shared().with_world(|world| {
            if world.stopped {
                return Poll::Ready(Err(stopped()));
            }
            let result = world.lab.with(machine, |stack, cx| verb(stack, socket, cx));
            match result {
                Err(SocketError::WouldBlock) => {
                    world.wakers.add(machine, socket, interest, sleeper);
                    Poll::Pending
                }
                result => Poll::Ready(result.map_err(io_error)),
            }
        });
        if result.is_ready() {
            budget.made_progress();
        }
        result
    }
}

/// Waits in a place of its own, that is given up when the future is dropped.
pub(super) async fn wait<R>(
    handle: &Handle,
    interest: Ready,
    mut verb: impl FnMut(&mut Stack, SocketId, &mut Cx<'_>) -> Result<R, SocketError>,
) -> io::Result<R> {
    let guard = Guard {
        handle,
        place: Place::new(),
    };
    poll_fn(|cx| guard.place.poll(handle, cx, interest, &mut verb)).await
}

struct Guard<'h> {
    handle: &'h Handle,
    place: Place,
}
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let (machine, socket) = (self.handle.machine(), self.handle.socket());
        let sleeper = Sleeper::Task(self.place.0, core::task::Waker::noop().clone());
        let mut world = self.handle.network().shared().lock();
        world.wakers.forget(machine, socket, &sleeper);
    }
}
