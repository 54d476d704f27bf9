//! What every kind of socket shares: the handle that closes it when the last clone goes, and how its verbs wait.
use core::net::SocketAddr;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use heptad_lab::MachineId;
use heptad_stack::stack::SocketOption;
use heptad_stack::{Cx, Ready, SocketError, SocketId, SocketKind, Stack};

use super::io_error;
use crate::shared::{Patience, Wait};
use crate::wakers::Sleeper;
use crate::{Network, Node};

/// A timeout in nanoseconds; 0: none.
#[derive(Debug, Default)]
struct Timeout(AtomicU64);
impl Timeout {
    fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let nanos = match timeout {
            Some(Duration::ZERO) => {
                let message = "cannot set a 0 duration timeout";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
            None => 0,
        };
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }
    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// An open socket of a node.
pub(crate) struct Handle {
    network: Network,
    machine: MachineId,
    socket: SocketId,
    nonblocking: AtomicBool,
    read_timeout: Timeout,
    write_timeout: Timeout,
}
impl Handle {
    /// A new socket.
    pub(crate) fn open(node: &Node, family: SocketAddr, kind: SocketKind) -> io::Result<Self> {
        let (network, machine) = (node.network(), node.machine());
        let socket = network
            .with(machine, |stack, _| stack.socket(family.ip(), kind))
            .map_err(io_error)?;
        Ok(Self::new(network, machine, socket))
    }
    fn new(network: &Network, machine: MachineId, socket: SocketId) -> Self {
        Self {
            network: network.clone(),
            machine,
            socket,
            nonblocking: AtomicBool::new(false),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }
    /// A handle for a socket that this one's node accepted.
    pub(crate) fn accepted(&self, socket: SocketId) -> Self {
        Self::new(&self.network, self.machine, socket)
    }

    /// A verb that does not wait.
    pub(crate) fn with<R>(
        &self,
        verb: impl FnOnce(&mut Stack, SocketId, &mut Cx<'_>) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        self.network
            .with(self.machine, |stack, cx| verb(stack, self.socket, cx))
            .map_err(io_error)
    }
    /// A verb that waits for something to come.
    pub(crate) fn reading<R>(
        &self,
        name: &'static str,
        verb: impl FnMut(&mut Stack, SocketId, &mut Cx<'_>) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        self.wait(name, Ready::READABLE, self.read_timeout.get(), verb)
    }
    /// A verb that waits for room.
    pub(crate) fn writing<R>(
        &self,
        name: &'static str,
        verb: impl FnMut(&mut Stack, SocketId, &mut Cx<'_>) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        self.wait(name, Ready::WRITABLE, self.write_timeout.get(), verb)
    }
    /// A verb that waits as told.
    pub(crate) fn wait<R>(
        &self,
        name: &'static str,
        interest: Ready,
        timeout: Option<Duration>,
        mut verb: impl FnMut(&mut Stack, SocketId, &mut Cx<'_>) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let patience = match self.nonblocking.load(Ordering::Relaxed) {
            true => Patience::None,
            false => timeout.into(),
        };
        let wait = Wait {
            machine: self.machine,
            socket: self.socket,
            interest,
            patience,
            verb: name,
        };
        self.network
            .shared()
            .block(wait, |stack, cx| verb(stack, self.socket, cx))
    }

    pub(crate) fn set(&self, option: SocketOption) -> io::Result<()> {
        self.with(|stack, socket, cx| stack.set(socket, option, cx))
    }
    pub(crate) fn get(&self, which: SocketOption) -> io::Result<SocketOption> {
        self.with(|stack, socket, _| stack.get(socket, which))
    }
    pub(crate) fn ttl(&self) -> io::Result<u32> {
        match self.get(SocketOption::Ttl(0))? {
            SocketOption::Ttl(ttl) => Ok(ttl.into()),
            other => Err(unexpected(other)),
        }
    }
    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = u8::try_from(ttl).map_err(|_| io_error(SocketError::Invalid))?;
        self.set(SocketOption::Ttl(ttl))?;
        // A socket of IPv6 has a hop limit beside it; one of IPv4 has none.
        let _ = self.set(SocketOption::Hops(ttl));
        Ok(())
    }
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|stack, socket, _| stack.local_addr(socket))
    }
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with(|stack, socket, _| stack.peer_addr(socket))
    }
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.with(|stack, socket, _| Ok(stack.take_error(socket).map(io_error)))
    }
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }
    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        self.read_timeout.get()
    }
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.read_timeout.set(timeout)
    }
    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        self.write_timeout.get()
    }
    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.write_timeout.set(timeout)
    }
    #[cfg(feature = "tokio")]
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }
    #[cfg(feature = "tokio")]
    pub(crate) fn machine(&self) -> MachineId {
        self.machine
    }
    pub(crate) fn socket(&self) -> SocketId {
        self.socket
    }
}
/// The last clone is gone: the socket is closed. A stopped lab stays as it was.
impl Drop for Handle {
    fn drop(&mut self) {
        let forgotten = self.network.shared().with_world(|world| {
            if !world.stopped {
                world
                    .lab
                    .with(self.machine, |stack, cx| stack.close(self.socket, cx));
            }
            world.wakers.take_socket(self.machine, self.socket)
        });
        for waker in forgotten.into_iter().filter_map(Sleeper::into_waker) {
            waker.wake();
        }
    }
}

/// A stack that answers `get` with another option than the one asked for is broken.
pub(crate) fn unexpected(option: SocketOption) -> io::Error {
    io::Error::other(format!("asked for another option than {option:?}"))
}
