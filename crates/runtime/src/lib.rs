//! Drives a lab in real or in virtual time, and gives programs blocking sockets on its nodes, shaped like `std::net`.
//!
//! What it must not know: services, the runner, how anything is printed.
//!
//! ```text
//!   caller ─▶ lock World ─▶ let time advance ─▶ verb ─▶ pump ─▶ take ready ─▶ unlock ─▶ wake
//!   driver thread: sleeps until the lab's next event (real time)
//!   baton: one spawned thread runs, the others wait; the last one to wait moves time (virtual time)
//!   frames ─▶ bounded queue ─▶ writer thread ─▶ sinks (capture file, …)
//! ```
//!
//! Start reading at [`Network`], then `shared.rs`: the lock and the way of a verb.
#![forbid(unsafe_code)]

mod baton;
pub mod capture_file;
pub mod channel;
mod frame_queue;
pub mod network;
mod real_time;
mod shared;
pub mod socket;
mod virtual_time;
mod wakers;
mod world;

pub use capture_file::CaptureFile;
pub use channel::{Receiver, Sender};
pub use network::{Clock, FrameSink, JoinHandle, Network, NetworkOptions, Node, Summary};
pub use shared::run_is_over;
pub use socket::{Incoming, TcpListener, TcpStream, ToLabAddr, UdpSocket};

pub use heptad_lab as lab;
pub use heptad_stack as stack;
