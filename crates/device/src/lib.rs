//! Real cables: frames between a port of ours and a network interface of the kernel.
//!
//! What it must not know: anything above layer 1. It reads headers only as far as the kernel's own words on a packet
//! (where a checksum is to be filled, where a super-segment is to be cut) point into them.
//!
//! ```text
//!   kernel ── read:   [virtio_net_hdr | frame of up to 64 KB] ──▶ PacketBuf { sum, cut }
//!   kernel ◀─ writev: [virtio_net_hdr | head | chunk | chunk] ─── PacketBuf { sum, cut }
//! ```
//!
//! Start reading at [`Interface`], then `vnet_header.rs`: what the kernel says about a packet, and how we say it.
mod error;
mod interface;
mod reader;
mod requests;
mod vnet_header;

pub use error::DeviceError;
pub use interface::{Interface, Kind, MAX_NAME, Offloads, Woken, usable};
pub use reader::Reader;
