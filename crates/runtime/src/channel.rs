//! A queue between threads of programs that knows about time: who waits in it lets virtual time move.
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use heptad_stack::time::Duration;

use crate::Network;
use crate::wakers::Sleeper;
use crate::world::World;

/// What both ends share. Touched under the lock of the world only, so that no wake is missed; the mutex is never contended.
struct Queue<T> {
    network: Network,
    bound: usize,
    state: Mutex<State<T>>,
}
struct State<T> {
    items: VecDeque<T>,
    is_closed: bool,
    sleepers: Vec<Sleeper>,
}
impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Waits until `attempt` answers.
    fn wait<R>(
        &self,
        verb: &'static str,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut State<T>) -> Option<R>,
    ) -> io::Result<R> {
        let try_once = |world: &mut World, sleeper: &Sleeper, waits: bool| {
            let mut state = self.lock();
            state.sleepers.retain(|other| !other.same(sleeper));
            let result = attempt(&mut state);
            if result.is_some() {
                world.wake(std::mem::take(&mut state.sleepers));
            } else if waits {
                state.sleepers.push(sleeper.clone());
            }
            match sleeper {
                Sleeper::Waker(waker) if result.is_none() && waits => {
                    world.idle.insert(thread::current().id(), waker.clone());
                }
                Sleeper::Waker(_) => drop(world.idle.remove(&thread::current().id())),
                Sleeper::Task(..) | Sleeper::Thread(_) => {}
            }
            result
        };
        self.network
            .shared()
            .wait_for(verb, timeout.into(), try_once)
    }
    fn close(&self) {
        self.network.shared().with_world(|world| {
            let mut state = self.lock();
            state.is_closed = true;
            world.wake(std::mem::take(&mut state.sleepers));
        });
    }
}

/// An end of a queue; the last one of its kind closes it.
struct End<T>(Arc<Queue<T>>);
impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The end that puts items in. Clones are ends of the same queue.
pub struct Sender<T>(Arc<End<T>>);
impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
impl<T> Sender<T> {
    /// Puts an item in, waiting for room. `BrokenPipe`: nobody receives any more.
    pub fn send(&self, item: T) -> io::Result<()> {
        let queue = &self.0.0;
        let mut item = Some(item);
        let sent = queue.wait("send to a channel", None, |state| {
            if state.is_closed {
                return Some(false);
            }
            if state.items.len() >= queue.bound {
                return None;
            }
            state.items.extend(item.take());
            Some(true)
        })?;
        match sent {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// The end that takes items out. Clones are ends of the same queue; an item goes to one of them.
pub struct Receiver<T>(Arc<End<T>>);
impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
impl<T> Receiver<T> {
    /// Waits for an item. `UnexpectedEof`: the queue is empty and nobody sends any more.
    pub fn recv(&self) -> io::Result<T> {
        self.take(None)
    }
    /// As `recv`, at most for `timeout` of lab time; then `WouldBlock`.
    pub fn recv_timeout(&self, timeout: Duration) -> io::Result<T> {
        self.take(Some(timeout))
    }
    fn take(&self, timeout: Option<Duration>) -> io::Result<T> {
        let item = self.0.0.wait("recv from a channel", timeout, |state| {
            let item = state.items.pop_front();
            (item.is_some() || state.is_closed).then_some(item)
        })?;
        item.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Network {
    /// A queue of at most `bound` items (at least 1) between threads. In virtual time threads must not wait for each
    /// other in any other way than this, `join` and sockets.
    pub fn channel<T>(&self, bound: usize) -> (Sender<T>, Receiver<T>) {
        let queue = Arc::new(Queue {
            network: self.clone(),
            bound: bound.max(1),
            state: Mutex::new(State {
                items: VecDeque::new(),
                is_closed: false,
                sleepers: Vec::new(),
            }),
        });
        let receiver = Receiver(Arc::new(End(queue.clone())));
        (Sender(Arc::new(End(queue))), receiver)
    }
}
