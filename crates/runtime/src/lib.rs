//! Drives a lab in real or in virtual time, and gives programs blocking sockets on its nodes, shaped like `std::net`.
//!
//! What it must not know: services, the runner, how anything is printed.
//!
//! ```text
//!   caller ─▶ lock World ─▶ let time advance ─▶ verb ─▶ pump ─▶ take ready ─▶ unlock ─▶ wake
//!   driver thread: sleeps until the lab's next event (real time)
//!   baton: one spawned thread runs, the others wait; the last one to wait moves time (virtual time)
//!   tasks of tokio: time follows their runtime's clock (virtual time)
//!   frames ─▶ bounded queue ─▶ writer thread ─▶ sinks (capture file, …)
//!   published ports: kernel's sockets ◀─ one thread ─▶ sockets of a node (real time)
//!   gateways of uplinks: strangers ◀─ one thread ─▶ kernel's sockets (real time)
//!   interface of the kernel ─▶ its reader thread ─▶ lab ─▶ whoever made frames writes them, outside of the lock
//! ```
//!
//! ```
//! use heptad_runtime::lab::{Lab, LabOptions, Topology};
//! use heptad_runtime::{Clock, Network, NetworkOptions, TcpListener, TcpStream, stack::EventMask};
//! use std::io::{Read, Write};
//!
//! let options = LabOptions { seed: 42, event_hash: true, observe: false, events: EventMask::NONE };
//! let lab = Lab::new(&Topology::pair(Default::default()), options)?;
//! let network = Network::start(lab, NetworkOptions { clock: Clock::Virtual, sinks: vec![] });
//! let (a, b) = (network.node("a").unwrap(), network.node("b").unwrap());
//!
//! let listener = TcpListener::bind(&b, "b:8080")?;
//! let server = network.spawn("server", move || -> std::io::Result<String> {
//!     let (mut stream, _) = listener.accept()?;
//!     let mut text = String::new();
//!     stream.read_to_string(&mut text)?;
//!     Ok(text)
//! });
//! TcpStream::connect(&a, "b:8080")?.write_all("안녕하세요".as_bytes())?;
//! assert_eq!(server.join().unwrap()?, "안녕하세요");
//! println!("event hash {}", network.stop().event_hash.unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Start reading at [`Network`], then `shared.rs`: the lock and the way of a verb.
#![forbid(unsafe_code)]

mod baton;
pub mod capture_file;
pub mod channel;
mod frame_queue;
pub mod frame_watch;
pub mod network;
pub mod ping;
pub mod publish;
mod real_cables;
mod real_time;
mod shared;
pub mod socket;
mod splice;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod tracepath;
pub mod traceroute;
pub mod uplink;
mod virtual_time;
mod wakers;
mod world;

pub use capture_file::CaptureFile;
pub use channel::{Receiver, Sender};
pub use frame_watch::FrameWatch;
pub use network::{Clock, FrameSink, JoinHandle, Network, NetworkOptions, Node, Summary};
pub use publish::{PublishError, Publisher};
pub use shared::run_is_over;
pub use socket::{Incoming, TcpListener, TcpStream, ToLabAddr, UdpSocket};
pub use uplink::{Uplink, UplinkError};

pub use heptad_device as device;
pub use heptad_lab as lab;
pub use heptad_stack as stack;
