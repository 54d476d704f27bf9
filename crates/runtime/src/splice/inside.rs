//! The end that is a socket of a node.
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::Waker;

use heptad_lab::MachineId;
use heptad_stack::l3_network::zone;
use heptad_stack::l4_transport::family::with_scope;
use heptad_stack::stack::{SocketOption, SocketRow};
use heptad_stack::time::Duration;
use heptad_stack::{Cx, Ready, Shutdown, SocketError, SocketId, SocketKind, Stack};

use crate::Network;

/// The port that is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) machine: MachineId,
    pub(crate) port: u16,
}

impl Target {
    /// Where a server of the node may be bound, the most usual first: 127.0.0.1 reaches all that listen at any address.
    pub(crate) fn addresses(self, network: &Network) -> impl Iterator<Item = SocketAddr> {
        let own = network.with(self.machine, |stack, _| stack.addresses());
        let own = own.into_iter().map(move |(port, address, _)| {
            with_scope(SocketAddr::new(zone::zoned_ip(address, port), self.port))
        });
        let first = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port);
        core::iter::once(first).chain(own.filter(move |address| *address != first))
    }

    /// Where a datagram socket is bound to the port.
    pub(crate) fn datagrams_at(self, network: &Network) -> SocketAddr {
        network.with(self.machine, |stack, _| {
            let fits =
                |row: &SocketRow| row.kind == SocketKind::Datagram && row.local.port() == self.port;
            let rows: Vec<SocketRow> = stack.rows().into_iter().filter(fits).collect();
            let one = rows.iter().find(|row| !row.local.ip().is_unspecified());
            let only = !rows.is_empty() && rows.iter().all(|row| is_v6_only(stack, row));
            match one {
                Some(row) => row.local,
                None if only => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), self.port),
                None => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port),
            }
        })
    }
}

fn is_v6_only(stack: &Stack, row: &SocketRow) -> bool {
    let option = row
        .socket
        .map(|id| stack.get(id, SocketOption::V6Only(false)));
    option == Some(Ok(SocketOption::V6Only(true)))
}

/// A socket of the node; closed when it is dropped.
pub(crate) struct Inside {
    network: Network,
    machine: MachineId,
    socket: SocketId,
    waker: Waker,
}

impl Inside {
    /// A socket that is open already.
    pub(crate) fn of(
        network: &Network,
        machine: MachineId,
        socket: SocketId,
        waker: Waker,
    ) -> Self {
        Self {
            network: network.clone(),
            machine,
            socket,
            waker,
        }
    }
    /// A socket on its way to `remote`, or with it as its peer.
    pub(crate) fn connect(
        network: &Network,
        machine: MachineId,
        (kind, remote): (SocketKind, SocketAddr),
        waker: Waker,
    ) -> Result<Self, SocketError> {
        let socket = network.with(machine, |stack, _| stack.socket(remote.ip(), kind))?;
        let inside = Self::of(network, machine, socket, waker);
        if kind == SocketKind::Stream {
            // Whoever sends waits as it likes outside; here nothing is held back a second time.
            let _ = inside.set(SocketOption::NoDelay(true));
        }
        match inside.with(|stack, socket, cx| stack.connect(socket, remote, cx)) {
            Ok(()) | Err(SocketError::InProgress) => Ok(inside),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn send(&self, data: &[u8]) -> Result<usize, SocketError> {
        self.with(|stack, socket, cx| stack.send(socket, data, cx))
    }
    pub(crate) fn recv(&self, out: &mut [u8]) -> Result<usize, SocketError> {
        self.with(|stack, socket, cx| stack.recv(socket, out, cx))
    }
    pub(crate) fn end_sending(&self) {
        let _ = self.with(|stack, socket, cx| stack.shutdown(socket, Shutdown::Write, cx));
    }
    pub(crate) fn ready(&self) -> Ready {
        self.with(|stack, socket, _| stack.ready(socket))
    }
    pub(crate) fn take_error(&self) -> Option<SocketError> {
        self.with(|stack, socket, _| stack.take_error(socket))
    }
    /// Rings when any of `interest`, an error or the end comes.
    pub(crate) fn watch_for(&self, interest: Ready) {
        self.network
            .register(self.machine, self.socket, interest, &self.waker);
    }
    /// Dropping it resets the connection.
    pub(crate) fn reset_at_close(&self) {
        let _ = self.set(SocketOption::Linger(Some(Duration::ZERO)));
    }

    fn set(&self, option: SocketOption) -> Result<(), SocketError> {
        self.with(|stack, socket, cx| stack.set(socket, option, cx))
    }
    fn with<R>(&self, verb: impl FnOnce(&mut Stack, SocketId, &mut Cx<'_>) -> R) -> R {
        self.network
            .with(self.machine, |stack, cx| verb(stack, self.socket, cx))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.network.deregister(self.machine, self.socket);
        self.with(|stack, socket, cx| stack.close(socket, cx));
    }
}
