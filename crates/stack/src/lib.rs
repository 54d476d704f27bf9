//! One host: layers 1 to 5 of the OSI model, sans-IO.
//!
//! What it must not know: sockets of the kernel, clocks, threads, files, chance of its own. All of that comes in a [`Cx`].
//!
//! ```text
//!    verbs (bind listen connect accept send recv …)          l5_session
//!         │                              ▲ readiness
//!    TCP, UDP ─────────────── demultiplexing                 l4_transport
//!    IPv4, ICMP, routes, fragments, forwarding               l3_network
//!    Ethernet, ARP                                           l2_link
//!    ports: medium, MTU, offloads, queues                    l1_physical
//!         ▼ poll_transmit                ▲ receive           spine.rs
//! ```
//!
//! Start reading at `spine.rs`: a packet's whole way up and down.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod api;
pub mod context;
pub mod counters;
pub mod drop_reason;
pub mod event;
pub mod keyed_hash;
pub mod l1_physical;
pub mod l2_link;
pub mod l3_network;
pub mod l4_transport;
pub mod l5_session;
pub mod rng;
mod spine;
pub mod stack;
pub mod time;

pub use context::Cx;
pub use counters::{Counter, Counters};
pub use drop_reason::DropReason;
pub use event::{Event, EventLog, EventMask};
pub use l1_physical::{Caps, Medium, PortConfig, PortId};
pub use l5_session::{Family, Ready, Shutdown, SocketError, SocketId, SocketKind};
pub use rng::Rng;
pub use stack::{Stack, StackConfig};
pub use time::Instant;

pub use heptad_wire as wire;
