//! A whole network in user space: the crate that a project adds. Re-exports, no logic.
//!
//! An echo over two hosts and a cable that loses a tenth of all frames, in virtual time:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::Shutdown;
//!
//! use heptad::{Cable, Lab, Network, TcpListener, TcpStream};
//!
//! let lab = Lab::builder()
//!     .seed(42)
//!     .host("alice", "10.0.0.1/24")
//!     .host("bob", "10.0.0.2/24")
//!     .link("alice", "bob", Cable::new().delay("20ms").loss("10%"))
//!     .build()?;
//! let network = Network::virtual_time(lab);
//! let (alice, bob) = (network.node("alice").unwrap(), network.node("bob").unwrap());
//!
//! let listener = TcpListener::bind(&bob, "0.0.0.0:7")?;
//! let server = network.spawn("server", move || -> std::io::Result<u64> {
//!     let (mut stream, _) = listener.accept()?;
//!     let mut text = Vec::new();
//!     stream.read_to_end(&mut text)?;
//!     stream.write_all(&text)?;
//!     Ok(text.len() as u64)
//! });
//! let client = network.spawn("client", move || -> std::io::Result<String> {
//!     let mut stream = TcpStream::connect(&alice, "bob:7")?;
//!     stream.write_all("안녕하세요".as_bytes())?;
//!     stream.shutdown(Shutdown::Write)?;
//!     let mut echo = String::new();
//!     stream.read_to_string(&mut echo)?;
//!     Ok(echo)
//! });
//! assert_eq!(client.join().unwrap()?, "안녕하세요");
//! assert_eq!(server.join().unwrap()?, 15);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to do | look at |
//! |---|---|
//! | sockets on nodes, shaped like `std::net` | [`TcpListener`], [`TcpStream`], [`UdpSocket`] |
//! | many hosts, cables with faults, one seed | [`Lab::builder`], [`Cable`]; from a lab file: [`Topology`] |
//! | sockets for tasks of tokio, in virtual time too | [`Network::block_on`], [`tokio`] |
//! | one host without any I/O, to embed | [`Stack`], [`stack`] |
//! | headers and packet buffers | [`wire`] |
//!
//! Three programs to begin with lie in this crate's `examples`: `echo_pair`, `tokio_virtual_time`, and `by_hand`.
#![forbid(unsafe_code)]

pub use heptad_lab as lab;
pub use heptad_runtime as runtime;
pub use heptad_services as services;
pub use heptad_stack as stack;
pub use heptad_wire as wire;

pub use heptad_lab::{Cable, Lab, LabBuilder, LabOptions, Topology};
#[cfg(feature = "tokio")]
pub use heptad_runtime::tokio;
pub use heptad_runtime::{
    CaptureFile, Clock, Network, NetworkOptions, Node, TcpListener, TcpStream, UdpSocket, Uplink,
};
pub use heptad_stack::{Instant, Stack};
