//! The lab's side: one thread that serves the guards' calls and moves bytes between pairs and stack sockets.
//!
//! ```text
//!   guard ══ channel ══▶ server ── verbs ──▶ Sockets (a Network)
//!   program ══ pair ══▶ stream, datagram ──▶    │
//!                            ▲──── bell ────────┘ a Waker for each socket
//! ```
//!
//! Start reading at `server`, then `verbs` (what each call means), then `stream`.

mod ancillary;
mod carrier;
mod datagram;
mod entry;
pub(crate) mod files;
mod groups;
mod interfaces;
mod names;
pub(crate) mod netlink;
mod options;
mod server;
mod sockets;
mod stamps;
mod stream;
mod tables;
mod tokens;
mod urgent;
mod verbs;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;

use heptad_runtime::Network;
use heptad_runtime::lab::MachineId;
use heptad_runtime::stack::SocketId;
use rustix::event::{EventfdFlags, eventfd};

pub use sockets::{At, Bytes, Interface, Sockets};
pub use tables::{Address4, Settings, Tables};

/// Serves the programs of a lab. Dropping it ends the thread and closes all channels, so that the guards kill their
/// programs.
#[derive(Debug)]
pub struct Host {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Which program holds a socket, for `netstat -p`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node.
    pub machine: MachineId,
    /// The socket there.
    pub socket: SocketId,
    /// Process.
    pub pid: u32,
    /// Its name as the kernel has it now, at most 15 bytes; else the command it was started by.
    pub program: String,
    /// The descriptor that it got.
    pub fd: i32,
}

impl Host {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's, when descriptors or threads run out.
    pub fn start(network: Network) -> io::Result<Self> {
        Self::over(network)
    }

    /// As [`Host::start`], over anything that has the verbs.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub fn over(network: impl Sockets) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            inbox: Mutex::default(),
            owners: Mutex::default(),
        });
        let server = server::Server::new(network, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new()
            .name("heptad-host".into())
            .spawn(|| server.serve())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Serves a guard's channel: its program is on `node` from now on, until the channel closes.
    ///
    /// # Errors
    /// `BrokenPipe` when the thread has ended; the channel is closed then.
    pub fn attach(&self, node: MachineId, channel: OwnedFd) -> io::Result<()> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        lock(&self.shared.inbox)
            .commands
            .push(Command::Attach { node, channel });
        self.shared.ring();
        Ok(())
    }

    /// Who holds which socket, in order of nodes and sockets.
    pub fn owners(&self) -> Vec<Owner> {
        let held: Vec<(At, Holder)> = lock(&self.shared.owners)
            .iter()
            .map(|(at, holder)| (*at, holder.clone()))
            .collect();
        held.into_iter()
            .map(
                |(
                    At { machine, socket },
                    Holder {
                        pid,
                        fd,
                        started_as,
                    },
                )| {
                    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
                    let program = name.map_or(started_as, |name| name.trim_end().to_owned());
                    Owner {
                        machine,
                        socket,
                        pid,
                        program,
                        fd,
                    }
                },
            )
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        lock(&self.shared.inbox).commands.push(Command::Stop);
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What other threads and the server share.
#[derive(Debug)]
struct Shared {
    bell: OwnedFd,
    inbox: Mutex<Inbox>,
    owners: Mutex<BTreeMap<At, Holder>>,
}

/// For the server to look at when the bell rang.
#[derive(Debug, Default)]
struct Inbox {
    commands: Vec<Command>,
    /// Keys of sockets whose stack socket became ready.
    ready: Vec<u64>,
    /// The server looks here again before it sleeps: nobody needs to ring.
    awake: bool,
}

#[derive(Debug)]
enum Command {
    Attach { node: MachineId, channel: OwnedFd },
    Stop,
}

#[derive(Clone, Debug)]
struct Holder {
    pid: u32,
    fd: i32,
    started_as: String,
}

impl Shared {
    fn ring(&self) {
        // A full counter is a bell that rings already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

/// A lock whose holder panicked still guards whole values here: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rings for one socket.
struct Bell {
    shared: Arc<Shared>,
    key: u64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let first = {
            let mut inbox = lock(&self.shared.inbox);
            inbox.ready.push(self.key);
            inbox.ready.len() == 1 && !inbox.awake
        };
        if first {
            self.shared.ring();
        }
    }
}

/// A waker that rings for the socket of this key.
fn waker(shared: &Arc<Shared>, key: u64) -> Waker {
    Waker::from(Arc::new(Bell {
        shared: Arc::clone(shared),
        key,
    }))
}
