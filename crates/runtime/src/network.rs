//! One running lab: start, verbs, wakers, threads of programs, and the end.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::task::Waker;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use heptad_device::{DeviceError, Interface};
use heptad_lab::{EventHash, FaultRow, FrameRecord, Lab, MachineId, Outcome};
use heptad_stack::time::Duration;
use heptad_stack::{Cx, Family, Instant, PortId, Ready, SocketId, Stack};

use crate::baton::{Pause, ThreadNo, Wake};
use crate::frame_queue::FrameQueue;
use crate::shared::Shared;
use crate::virtual_time::{STUCK, say_stuck};
use crate::wakers::Sleeper;
use crate::world::World;

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
    /// Some frames. After an error this sink gets no more; the error is kept for the [`Summary`].
    fn frames(&mut self, frames: &[FrameRecord]) -> io::Result<()>;
    /// No frame came for a moment: a time to flush.
    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    /// Why the first real cable that failed did so (its interface was removed).
    pub cable_error: Option<String>,
}

/// A running lab; cheap to clone. When the last clone goes, the run stops.
#[derive(Clone)]
pub struct Network {
    run: Arc<Run>,
}
struct Run {
    shared: Arc<Shared>,
    ending: Mutex<Ending>,
}
#[derive(Default)]
struct Ending {
    driver: Option<thread::JoinHandle<()>>,
    writer: Option<thread::JoinHandle<()>>,
    readers: Vec<thread::JoinHandle<()>>,
    summary: Option<Summary>,
}

impl Network {
    /// Starts the run. In virtual time the calling thread holds the baton: threads that it spawns begin when it waits
    /// (`join`, `run_until`, `sleep`, a verb of a socket).
    pub fn start(lab: Lab, options: NetworkOptions) -> Self {
        let NetworkOptions { clock, sinks } = options;
        let (frames, writer) = if sinks.is_empty() {
            (None, None)
        } else {
            let (queue, writer) = FrameQueue::start(sinks);
            (Some(queue), Some(writer))
        };
        let outside = thread::current();
        let world = World::new(lab, frames.clone(), outside.name().unwrap_or("main"));
        let shared = Arc::new(Shared::new(clock, world, frames));
        let driven = shared.clone();
        let driver = spawn_named("lab-driver", move || match driven.clock {
            Clock::Real => driven.drive_real(),
            Clock::Virtual => driven.watch(STUCK, say_stuck),
        });
        let ending = Mutex::new(Ending {
            driver: Some(driver),
            writer,
            readers: Vec::new(),
            summary: None,
        });
        Self {
            run: Arc::new(Run { shared, ending }),
        }
    }

    /// [`Network::start`] in real time, without sinks.
    pub fn real_time(lab: Lab) -> Self {
        let (clock, sinks) = (Clock::Real, Vec::new());
        Self::start(lab, NetworkOptions { clock, sinks })
    }
    /// [`Network::start`] in virtual time, without sinks.
    pub fn virtual_time(lab: Lab) -> Self {
        let (clock, sinks) = (Clock::Virtual, Vec::new());
        Self::start(lab, NetworkOptions { clock, sinks })
    }

    /// Lets time advance, runs a non-blocking verb on a host, drains, wakes. Panics on a switch: it has no sockets.
    pub fn with<R>(
        &self,
        machine: MachineId,
        verb: impl FnOnce(&mut Stack, &mut Cx<'_>) -> R,
    ) -> R {
        self.shared()
            .with_world(|world| world.lab.with(machine, verb))
    }
    /// Looks at the lab or changes a cable, under the lock. In virtual time a change by a thread that does not hold the
    /// baton comes at no particular moment: such a run does not repeat. Neither here nor in [`Network::with`] may a socket
    /// of the same run be used or dropped: the lock is taken. Frames go to the sinks, not to [`Lab::take_frames`].
    pub fn lab<R>(&self, look: impl FnOnce(&mut Lab) -> R) -> R {
        self.shared().with_world(|world| look(&mut world.lab))
    }
    /// Wakes `waker` once when any bit of `interest` (or an error or hang-up) is or becomes ready. Replaces an earlier
    /// waker that would wake the same.
    pub fn register(&self, machine: MachineId, socket: SocketId, interest: Ready, waker: &Waker) {
        let is_due = self.shared().with_world(|world| {
            let is_due = world.stopped || world.is_ready(machine, socket, interest);
            if !is_due {
                let sleeper = Sleeper::Waker(waker.clone());
                world.wakers.add(machine, socket, interest, sleeper);
            }
            is_due
        });
        if is_due {
            waker.wake_by_ref();
        }
    }
    /// Wakes `waker` once when the socket's readiness may have changed, however ready it is now: a listener that has one
    /// connection waiting gets another. Look at the socket after this call, not before.
    pub fn watch(&self, machine: MachineId, socket: SocketId, waker: &Waker) {
        let stopped = self.shared().with_world(|world| {
            let any = Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED;
            let sleeper = Sleeper::Waker(waker.clone());
            world.wakers.add(machine, socket, any, sleeper);
            world.stopped
        });
        if stopped {
            waker.wake_by_ref();
        }
    }
    /// Wakes `waker` once when somebody has spoken to the network outside whom nobody has looked at (see
    /// [`Lab::has_strangers`]).
    pub fn watch_strangers(&self, waker: &Waker) {
        self.shared()
            .with_world(|world| world.greeters.push(waker.clone()));
    }
    /// Forgets the wakers of a socket.
    pub fn deregister(&self, machine: MachineId, socket: SocketId) {
        let mut world = self.shared().lock();
        world.wakers.take_socket(machine, socket);
    }

    /// Plugs an interface of the kernel into the end of a cable outside of the lab (see [`Lab::real_cables`]): its frames enter
    /// the lab from now on, and the lab's frames for it leave. The interface is let go when the run stops. Panics in
    /// virtual time, which the kernel does not keep.
    pub fn attach(&self, machine: MachineId, interface: Interface) -> Result<(), DeviceError> {
        let is_real = self.clock() == Clock::Real;
        assert!(is_real, "a real cable needs real time");
        let interface = Arc::new(interface);
        let mut ending = self.run.ending();
        self.shared()
            .with_world(|world| world.plug(machine, interface.clone()))?;
        let shared = self.shared().clone();
        let name = format!("{} {}", interface.kind(), interface.name());
        ending.readers.push(spawn_named(&name, move || {
            // Looks once at how things stand: the run may have stopped meanwhile.
            interface.wake();
            shared.read_interface(machine, &interface);
        }));
        Ok(())
    }

    /// A node by name; `None` for a switch, which has no sockets.
    pub fn node(&self, name: &str) -> Option<Node> {
        let machine = self.lab(|lab| {
            let machine = lab.machine(name)?;
            lab.stack(machine).map(|_| machine)
        })?;
        Some(Node {
            network: self.clone(),
            machine,
        })
    }
    /// The clock.
    pub fn clock(&self) -> Clock {
        self.shared().clock
    }
    /// Lab time now (real clock: the wall's).
    pub fn now(&self) -> Instant {
        match self.shared().clock {
            Clock::Real => self.shared().wall(),
            Clock::Virtual => self.shared().lock().lab.now(),
        }
    }

    /// A thread of a program. In virtual time it queues for the baton, runs while it holds it, and time moves only when
    /// all such threads wait in our verbs. It must not wait for another thread in any other way (a mutex that is held
    /// over a verb, a channel): such a thread is named on stderr after 5 s.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        program: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let shared = self.shared().clone();
        let turns = (shared.clock == Clock::Virtual).then(|| {
            let no = shared.lock().baton.spawn(name);
            Turns { shared, no }
        });
        let number = turns.as_ref().map(|turns| turns.no);
        let result = Arc::new(Mutex::new(None));
        let asked_for = Arc::downgrade(&result);
        let inner = spawn_named(name, move || {
            let _turns = turns.inspect(|turns| turns.shared.begin_thread(turns.no));
            let value = program();
            // What nobody asks for goes while it is still this thread's turn: it may hold sockets.
            if let Some(result) = asked_for.upgrade() {
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            }
        });
        JoinHandle {
            inner,
            result,
            joined: number.map(|no| (self.clone(), no)),
        }
    }
    /// Sleeps in lab time; shorter when the run is stopped.
    pub fn sleep(&self, duration: Duration) {
        let until = self.now() + duration;
        match self.clock() {
            Clock::Real => self.shared().sleep_real(until),
            Clock::Virtual => {
                let woken = self.shared().pause_virtual(Pause::Sleep(until));
                assert!(
                    woken.is_some(),
                    "a foreign thread cannot sleep in virtual time: use Network::spawn"
                );
            }
        }
    }
    /// Lets everything happen up to `limit`, where time stands afterwards. Virtual time: called from outside of the
    /// spawned threads, which run meanwhile; `Idle` when nothing is left to happen (with [`Instant::MAX`] time then
    /// stands at the last event). Real time: sleeps until then; `Reached`.
    pub fn run_until(&self, limit: Instant) -> Outcome {
        if self.clock() == Clock::Real {
            self.shared().sleep_real(limit);
            return Outcome::Reached;
        }
        assert!(
            self.shared().caller() == ThreadNo::OUTSIDE,
            "a spawned thread cannot run the others: it has Network::sleep"
        );
        match self.shared().pause_virtual(Pause::RunUntil(limit)) {
            Some(Wake::Nothing(_)) => Outcome::Idle,
            Some(_) => Outcome::Reached,
            None => panic!("two threads from outside run the same virtual time"),
        }
    }

    /// Ends the run: stops the driver, gives the sinks what is left and finishes them. Verbs that wait, and all later
    /// ones, answer `ConnectionAborted`. Again: the same summary.
    pub fn stop(&self) -> Summary {
        let mut ending = self.run.ending();
        if let Some(summary) = &ending.summary {
            return summary.clone();
        }
        let mut summary = self.shared().stop();
        let readers = std::mem::take(&mut ending.readers);
        let others = [ending.driver.take(), ending.writer.take()];
        for thread in readers.into_iter().chain(others.into_iter().flatten()) {
            if thread.join().is_err() {
                let message = "a thread of the runtime panicked".to_owned();
                summary.sink_error.get_or_insert(message);
            }
        }
        if let Some(frames) = &self.shared().frames {
            summary.sink_error = summary.sink_error.or(frames.error());
        }
        ending.summary = Some(summary.clone());
        summary
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.run.shared
    }
}

impl Run {
    fn ending(&self) -> MutexGuard<'_, Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody is left who could stop it: the driver and the writer end by themselves.
impl Drop for Run {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    /// Freezes the lab, lets the frames go, calls everybody who waits.
    fn stop(&self) -> Summary {
        let mut wake = Vec::new();
        let mut world = self.lock();
        if !world.stopped {
            self.enter(&mut world);
            world.settle(&mut wake);
            world.stopped = true;
        }
        let sleepers = world.wakers.take_all();
        wake.extend(sleepers.into_iter().filter_map(Sleeper::into_waker));
        let tasks = world.tasks.as_mut();
        wake.extend(tasks.and_then(|tasks| tasks.next_event(Instant::ZERO)));
        wake.extend(world.idle.drain().map(|(_, waker)| waker));
        let summary = Summary {
            ended: world.lab.now(),
            faults: world.lab.faults(),
            event_hash: world.lab.event_hash(),
            worst_lag: world.worst_lag,
            sink_error: None,
            cable_error: world.cable_error.clone(),
        };
        world.unplug_all();
        world.call_all_seats();
        world.end_watches();
        self.driver.notify_all();
        self.sleepers.notify_all();
        if let Some(frames) = &self.frames {
            frames.end();
        }
        self.unlock_and_wake(world, &mut wake);
        summary
    }
}

/// A spawned thread's place among the others; given up when it ends, by a panic too.
struct Turns {
    shared: Arc<Shared>,
    no: ThreadNo,
}
impl Drop for Turns {
    fn drop(&mut self) {
        self.shared.end_thread(self.no);
    }
}

fn spawn_named<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::Builder::new()
        .name(name.replace('\0', "?"))
        .spawn(run)
        .expect("the system gives us a thread")
}

/// A thread of a program, to wait for.
pub struct JoinHandle<T> {
    inner: thread::JoinHandle<()>,
    result: Arc<Mutex<Option<T>>>,
    joined: Option<(Network, ThreadNo)>,
}
impl<T> JoinHandle<T> {
    /// Waits for its end; a panic is its error. In virtual time this gives the baton up, and when all that is left
    /// are threads that wait for each other's end, the error is that sentence.
    pub fn join(self) -> thread::Result<T> {
        if let Some((network, no)) = self.joined
            && let Some(Wake::Nothing(sentence)) = network.shared().pause_virtual(Pause::Join(no))
        {
            return Err(Box::new(sentence.to_string()));
        }
        self.inner.join()?;
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(result
            .take()
            .expect("a thread that did not panic left its result"))
    }
    /// Whether it is over; does not wait.
    pub fn is_finished(&self) -> bool {
        match &self.joined {
            Some((network, no)) => network.shared().lock().baton.is_gone(*no),
            None => self.inner.is_finished(),
        }
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
    /// A node's name, or an address written out. Of a name's addresses the one that goes best with ours (RFC 6724 6).
    pub fn resolve(&self, name: &str) -> Option<IpAddr> {
        self.resolve_among(name, |_| true)
    }
    /// The same of one family; `None` if there is no such address.
    pub fn resolve_as(&self, name: &str, family: Family) -> Option<IpAddr> {
        self.resolve_among(name, |address| Family::from(address) == family)
    }
    fn resolve_among(&self, name: &str, is_wanted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        if let Ok(address) = name.parse() {
            return Some(address).filter(|address| is_wanted(*address));
        }
        self.network.lab(|lab| {
            let mut all = lab.addresses(name);
            all.retain(|address| is_wanted(*address));
            if let Some(stack) = lab.stack(self.machine) {
                stack.order_destinations(&mut all);
            }
            all.first().copied()
        })
    }
    /// What a server binds to that serves everybody: `::`, where IPv4 comes too, if this node speaks IPv6, else `0.0.0.0`.
    pub fn any_address(&self) -> IpAddr {
        let own = self
            .network
            .lab(|lab| lab.stack(self.machine).map(|stack| stack.addresses()));
        let mut cables = own
            .into_iter()
            .flatten()
            .filter(|a| a.0 != PortId::LOOPBACK);
        match cables.any(|(_, address, _)| address.is_ipv6()) {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        }
    }
}
