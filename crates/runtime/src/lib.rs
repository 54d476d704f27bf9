//! Drives a lab in real or in virtual time, and gives programs blocking sockets on its nodes, shaped like `std::net`.
//!
//! What it must not know: services, the runner, how anything is printed.
//!
//! ```text
//!   caller ─▶ lock World ─▶ let time advance ─▶ verb ─▶ pump ─▶ take ready ─▶ unlock ─▶ wake
//!   driver thread: sleeps until the lab's next event (real time), or moves time when all are parked (virtual time)
//! ```
//!
//! Start reading at [`Network`].
#![forbid(unsafe_code)]

pub mod capture_file;
pub mod network;
pub mod socket;

pub use capture_file::CaptureFile;
pub use network::{Clock, FrameSink, Network, NetworkOptions, Node, Summary};
pub use socket::{TcpListener, TcpStream, UdpSocket};

pub use heptad_lab as lab;
pub use heptad_stack as stack;
