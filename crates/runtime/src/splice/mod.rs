//! Between sockets of the kernel and sockets of the stack: what published ports and uplinks share.
//!
//! ```text
//!   published port:  outside ══ kernel's socket ══▶ stream ──▶ socket of the node
//!   uplink:          program ─▶ gateway's socket ─▶ stream ══ kernel's socket ══▶ outside
//! ```
pub(crate) mod bell;
pub(crate) mod inside;
pub(crate) mod stream;

pub(crate) use bell::{Shared, lock};
