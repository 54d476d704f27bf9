//! Sockets for C over one host, and the object that packetdrill loads.
//!
//! What it must not know: how protocols work, sockets of the kernel. Each function is that of Linux with the host in front,
//! with Linux's numbers and structs; failure is -1 and errno. The caller is the cable and the clock:
//!
//! ```text
//!   heptad_socket heptad_send heptad_poll …  ─▶ descriptors ─▶ Solo: stack, clock ─┬▶ heptad_netdev_receive
//!        threads that wait                          ▲                              ◀┘ heptad_netdev_send
//!        until something changed                    └── heptad_usleep: time moves
//! ```
//!
//! Time is virtual. It moves by `heptad_usleep`, `heptad_netdev_receive` and a little by `heptad_gettimeofday`; a call that
//! blocks on the thread that made the host, or moved its time last, moves it too.
//!
//! Start reading at `host.rs`; the functions are in `calls/`, the plug-in in `plugin.rs`.
mod calls;
mod config;
mod descriptors;
mod errno;
mod host;
mod plugin;

pub use calls::{bytes, cable, options, readiness, sockets};
pub use host::Heptad;
pub use plugin::{PacketdrillInterface, packetdrill_interface_init};
