//! One running lab: the world behind one lock, the driver, wakers.
use core::task::Waker;
use std::io;
use std::sync::Arc;

use heptad_lab::{EventHash, FaultRow, FrameRecord, Lab, MachineId, Outcome};
use heptad_stack::time::Duration;
use heptad_stack::{Cx, Instant, Ready, SocketId, Stack};

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock throttles.
    Real,
    /// As fast as the processor allows; time moves when every program thread waits.
    Virtual,
}

/// Receives the frames that were seen, in order, outside of the lock.
pub trait FrameSink: Send {
    /// Some frames.
    fn frames(&mut self, frames: &[FrameRecord]) -> io::Result<()>;
    /// The run is over.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How to run.
pub struct NetworkOptions {
    /// Real or virtual.
    pub clock: Clock,
    /// Who wants the frames (the lab must observe).
    pub sinks: Vec<Box<dyn FrameSink>>,
}

/// A running lab; cheap to clone.
#[derive(Clone)]
pub struct Network {
    world: Arc<World>,
}
struct World {}

/// What a run was.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Lab time at the end.
    pub ended: Instant,
    /// Asked and applied faults.
    pub faults: Vec<FaultRow>,
    /// The event hash, if it was kept.
    pub event_hash: Option<EventHash>,
    /// How far real time ran ahead of the lab at worst.
    pub worst_lag: Duration,
    /// The first error of a sink.
    pub sink_error: Option<String>,
}

#[allow(unused_variables)]
impl Network {
    /// Starts the driver.
    pub fn start(lab: Lab, options: NetworkOptions) -> Self {
        todo!()
    }
    /// Lets time advance, runs a non-blocking verb on a node, drains, wakes.
    pub fn with<R>(
        &self,
        machine: MachineId,
        verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R,
    ) -> R {
        todo!()
    }
    /// Looks at the lab or changes a cable, under the lock.
    pub fn lab<R>(&self, look: impl FnOnce(&mut Lab) -> R) -> R {
        todo!()
    }
    /// Wakes `waker` once when any bit of `interest` (or an error or hang-up) is or becomes ready. Replaces an earlier waker that would wake the same.
    pub fn register(&self, machine: MachineId, socket: SocketId, interest: Ready, waker: &Waker) {
        todo!()
    }
    /// Forgets the wakers of a socket.
    pub fn deregister(&self, machine: MachineId, socket: SocketId) {
        todo!()
    }
    /// A node by name.
    pub fn node(&self, name: &str) -> Option<Node> {
        todo!()
    }
    /// The clock.
    pub fn clock(&self) -> Clock {
        todo!()
    }
    /// Lab time now (real clock: the wall's).
    pub fn now(&self) -> Instant {
        todo!()
    }
    /// A thread of a program. In virtual time it holds the baton while it runs; time moves only when all such threads wait in our verbs.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        program: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        todo!()
    }
    /// Sleeps in lab time (from a spawned thread in virtual time).
    pub fn sleep(&self, duration: Duration) {
        todo!()
    }
    /// Virtual time, no program threads running: moves to `limit` or until nothing is left to happen.
    pub fn run_until(&self, limit: Instant) -> Outcome {
        todo!()
    }
    /// Ends the run: stops the driver, gives the sinks what is left and finishes them. Blocked verbs answer with an error.
    pub fn stop(&self) -> Summary {
        todo!()
    }
}

/// A thread of a program, to wait for (not from inside another spawned thread's verb in virtual time: `join` gives the baton up).
pub struct JoinHandle<T> {
    inner: std::thread::JoinHandle<T>,
}
impl<T> JoinHandle<T> {
    /// Waits for its end; a panic is its error.
    pub fn join(self) -> std::thread::Result<T> {
        todo!()
    }
}

/// A node of a running lab, to open sockets on; cheap to clone.
#[derive(Clone)]
pub struct Node {
    network: Network,
    machine: MachineId,
}
impl Node {
    /// The running lab.
    pub fn network(&self) -> &Network {
        &self.network
    }
    /// The machine.
    pub fn machine(&self) -> MachineId {
        self.machine
    }
    /// A node's name, or an address written out.
    pub fn resolve(&self, name: &str) -> Option<core::net::IpAddr> {
        self.network
            .lab(|lab| name.parse().ok().or_else(|| lab.resolve(name)))
    }
}
