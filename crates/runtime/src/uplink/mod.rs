//! The way out: what nodes say to addresses outside of the lab goes by ordinary sockets of this user. One thread between them,
//! however many there are.
//!
//! ```text
//!   program ─▶ node ─▶ its gateway, which stands in for everybody ─▶ stranger ─▶ gate ══ kernel's socket ══▶ destination
//!              └ ECONNREFUSED, EHOSTUNREACH, … ◀─ RST, ICMP ◀── refuse ◀───────────┘ what connect(2) said
//!                                             └─ SYN,ACK ◀───── admit ◀────────────┘ once it is connected
//! ```
//!
//! Nothing is promised to a program that the destination has not promised. Loopback addresses of the machine are not to be
//! reached: a node's own are its own. Only with a real clock.
//!
//! Start reading at [`Uplink`], then `gate`: the loop.
mod connections;
mod datagrams;
mod gate;
mod ipv6;
mod nameservers;
mod outside;

use core::net::{Ipv4Addr, SocketAddr};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::splice::Shared;
use crate::splice::worker::Worker;
use crate::{Clock, Network};

pub use nameservers::NAMESERVER;

/// Where an address of the network outside is to be looked for; `None`: nobody may speak to it.
pub type Directions = Box<dyn Fn(SocketAddr) -> Option<SocketAddr> + Send>;

/// Why there is no way out.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// Time of a lab in virtual time is not the machine's.
    #[error("only a lab with a real clock can have an uplink")]
    VirtualClock,
    /// Descriptors or threads run out.
    #[error("cannot open the way out: {0}")]
    System(#[from] io::Error),
}

/// The way out of all nodes of a run that have one. Dropping it ends it at once; [`Uplink::finish`] lets bytes under way leave.
#[derive(Debug)]
pub struct Uplink {
    worker: Worker,
}

impl Uplink {
    /// To the network of this machine; `None` if no node has an uplink. Nodes speak IPv6 there if the machine does.
    ///
    /// # Errors
    /// [`UplinkError`].
    pub fn start(network: &Network) -> Result<Option<Self>, UplinkError> {
        if network.lab(|lab| lab.uplinks().is_empty()) {
            return Ok(None);
        }
        if outside::machine_speaks_ipv6() {
            ipv6::give(network);
        }
        Self::directed(network, Box::new(outside::directions)).map(Some)
    }

    /// The same, but somebody else says where an address is: for tests, and for networks that are only parts of the machine's.
    ///
    /// # Errors
    /// [`UplinkError`].
    pub fn directed(network: &Network, directions: Directions) -> Result<Self, UplinkError> {
        if network.clock() == Clock::Virtual {
            return Err(UplinkError::VirtualClock);
        }
        let shared = Arc::new(Shared::new()?);
        let gate = gate::Gate::new(network.clone(), Arc::clone(&shared), directions)?;
        let worker = Worker::start("uplink", shared, || gate.serve())?;
        Ok(Self { worker })
    }

    /// The programs inside are over: ends when what they sent has left, when nothing has moved for a second, or after `within`.
    pub fn finish(self, within: Duration) {
        self.worker.finish(within);
    }
}

/// Whether echo requests of nodes can go out: the kernel gives a socket for them to groups in `net.ipv4.ping_group_range`.
///
/// # Errors
/// What the kernel says.
pub fn may_ping() -> io::Result<()> {
    outside::echoes_to(Ipv4Addr::LOCALHOST.into())?;
    Ok(())
}
