//! The second way to run a program: it keeps the kernel's sockets, in a network namespace whose only cable leads into the lab.
//!
//! ```text
//!   heptad exec NODE -- PROGRAM                      lab's process
//!
//!    front ──▶ watcher ──▶ program                    lab ── frames ──▶ TAP, or a packet socket
//!                            │ sockets                                     │
//!                            ▼                                             ▼
//!                  the kernel's TCP, in a namespace ── eth0 ───────────────┘
//! ```
//!
//! Nothing is trapped here, so whatever the kernel can do works: io_uring, raw sockets, any option. No root is needed where
//! users may make namespaces of their own.
//!
//! Start reading at [`make`] for the lab's side, at [`run`] for the program's.

mod enter;
mod files;
mod kernel;
mod make;
mod requests;
mod watcher;

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use heptad_runtime::device::Interface;
use heptad_runtime::stack::wire::MacAddr;

pub use files::{Files, hand_over};
pub use make::{MakeError, make};
pub use watcher::run;

/// The node that a kernel is to be.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its interface.
    pub interface: String,
    /// The interface's link address.
    pub mac: MacAddr,
    /// Bytes of an IP packet.
    pub mtu: u32,
    /// Its addresses, with prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its ways to everybody else.
    pub gateways: Vec<IpAddr>,
    /// It takes addresses of IPv6 from routers.
    pub automatic: bool,
    /// The cable leads back to where it came from: what the node sends to itself crosses it.
    pub loopback: bool,
}

/// A namespace with its cable.
#[derive(Debug)]
pub struct Namespace {
    /// The cable's end, for the lab.
    pub cable: Interface,
    /// What programs enter.
    pub door: Door,
}

/// The way into a namespace, which exists as long as it is held open.
#[derive(Debug)]
pub struct Door {
    net: OwnedFd,
    /// The namespace of users that owns it; none where root made it.
    user: Option<OwnedFd>,
}
