//! Layer 2: Ethernet, VLAN tags, ARP, address conflicts and the neighbour cache.
//!
//! Must not know: addresses of this host (it is told), routes, what a packet carries.
pub mod arp;
pub mod conflict;
pub mod ethernet;
pub mod neighbour;

pub use conflict::{Claims, Standing};
pub use neighbour::{Neighbour, Neighbours};
