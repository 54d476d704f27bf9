//! Fuzz targets. Each takes any bytes; none may panic, and what is read and written again is the same.
//!
//! `cargo xtask fuzz` runs them. What they share is here; a file below `fuzz_targets` names one function each.
#![forbid(unsafe_code)]

mod frames;
mod parsers;

pub use frames::frames;
pub use parsers::{arp, ethernet, icmpv4, icmpv6, igmp, ipv4, ipv6, mld, ndp, packet, tcp, udp};
