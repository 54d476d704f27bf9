//! Ports of nodes that the machine around the lab can reach: sockets of the kernel outside, sockets of the stack inside,
//! and one thread between them, however many there are.
//!
//! ```text
//!   client ══ kernel's socket ══▶ stream ──▶ a socket of the node itself ──▶ its `lo` ──▶ the program
//!                                                                            (127.0.0.1, its own source address too)
//! ```
//!
//! A connection begins inside on the node itself, at its `lo`: whatever is bound to 127.0.0.1, to any address or to one
//! of the node's own is reached, and where `lo` is a cable with faults, every packet crosses it. Only with a real clock.
//!
//! Start reading at [`Publisher`], then `relay`: the loop.
mod datagram;
mod relay;

use core::net::SocketAddr;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use heptad_lab::MachineId;
use heptad_lab::topology::{Publish, Transport};

use crate::splice::Shared;
use crate::splice::inside::Target;
use crate::splice::worker::Worker;
use crate::{Clock, Network};

/// Connections that the kernel keeps for us until they are taken; more than it allows is cut by it.
const BACKLOG: i32 = 4096;

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Time of a lab in virtual time is not the machine's.
    #[error("only a lab with a real clock can publish ports")]
    VirtualClock,
    /// The kernel refuses the address.
    #[error("cannot publish {outside}/{transport}: {}", reason(error))]
    Listen {
        /// The address outside.
        outside: SocketAddr,
        /// `tcp` or `udp`.
        transport: &'static str,
        /// The kernel's word.
        error: io::Error,
    },
    /// Descriptors or threads run out.
    #[error("cannot publish ports: {0}")]
    System(#[from] io::Error),
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another program".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        io::ErrorKind::PermissionDenied => {
            "this user may not take that port; one above 1023 can be had".into()
        }
        _ => error.to_string(),
    }
}

/// The published ports of a run. Dropping it closes them at once; [`Publisher::finish`] lets bytes under way arrive.
#[derive(Debug)]
pub struct Publisher {
    ports: Vec<(MachineId, Publish)>,
    worker: Worker,
}

impl Publisher {
    /// Takes all the ports, then starts the thread. None is left taken after an error.
    ///
    /// # Errors
    /// [`PublishError`]. Panics if a machine is a switch: it has no ports of this kind.
    pub fn start(network: &Network, ports: &[(MachineId, Publish)]) -> Result<Self, PublishError> {
        if network.clock() == Clock::Virtual {
            return Err(PublishError::VirtualClock);
        }
        let shared = Arc::new(Shared::new()?);
        let mut relay = relay::Relay::new(network.clone(), Arc::clone(&shared))?;
        let mut taken = Vec::with_capacity(ports.len());
        for (machine, port) in ports {
            let outside =
                take(&mut relay, *machine, port).map_err(|error| PublishError::Listen {
                    outside: port.outside,
                    transport: match port.transport {
                        Transport::Tcp => "tcp",
                        Transport::Udp => "udp",
                    },
                    error,
                })?;
            taken.push((*machine, Publish { outside, ..*port }));
        }
        let worker = Worker::start("publisher", shared, || relay.serve())?;
        Ok(Self {
            ports: taken,
            worker,
        })
    }

    /// What is published, with the ports that were drawn in place of 0.
    pub fn ports(&self) -> &[(MachineId, Publish)] {
        &self.ports
    }

    /// The programs inside are over: takes no more connections, and ends when what they sent has left, when nothing has
    /// moved for a second, or after `within`.
    pub fn finish(self, within: Duration) {
        self.worker.finish(within);
    }
}

/// Listens at the address outside; returns the one that the kernel gave.
fn take(relay: &mut relay::Relay, machine: MachineId, port: &Publish) -> io::Result<SocketAddr> {
    let to = Target {
        machine,
        port: port.inside,
    };
    match port.transport {
        Transport::Tcp => {
            let listener = TcpListener::bind(port.outside)?;
            listener.set_nonblocking(true)?;
            rustix::net::listen(&listener, BACKLOG)?;
            let outside = listener.local_addr()?;
            relay.add_listener(listener, to)?;
            Ok(outside)
        }
        Transport::Udp => {
            let socket = UdpSocket::bind(port.outside)?;
            socket.set_nonblocking(true)?;
            let outside = socket.local_addr()?;
            relay.add_datagrams(socket, to)?;
            Ok(outside)
        }
    }
}
