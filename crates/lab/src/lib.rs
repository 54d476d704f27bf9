//! Many hosts: cables with impairments, switches, routers, topology files, one clock, one seed.
//!
//! What it must not know: the kernel's I/O, a wall clock, threads. Time moves when `run_until` is called.
//!
//! ```text
//!   topology (TOML, or a builder) ─▶ Lab: agenda ─▶ machine (host, router, switch) ─▶ link direction (impairments, FIFO) ─▶ machine
//!                                         │         rules and partitions stand where a frame enters a cable
//!                                         │ frames observed ─▶ capture (pcapng bytes)
//!   the kernel's frames ─▶ inject ─▶ machine outside of the lab ─▶ poll_outside ─▶ the kernel
//! ```
//!
//! Start reading at [`Lab`].
#![forbid(unsafe_code)]

mod agenda;
mod build;
mod builder;
pub mod capture;
mod fabric;
pub mod faults;
pub mod frames;
pub mod lab;
mod link;
mod machine;
mod names;
mod notes;
mod observation;
pub mod outside;
mod partition;
pub mod pkt;
mod routing;
mod rules;
mod script;
pub mod seed;
pub mod solo;
mod switch;
pub mod topology;

pub use builder::{Cable, LabBuilder};
pub use faults::FaultRow;
pub use frames::{FrameRecord, Moment};
pub use lab::{EventHash, Lab, LabError, LabOptions, MachineId, MachineInfo, Outcome};
pub use outside::RealCable;
pub use script::InForce;
pub use switch::{SnoopedGroup, SnoopedQuerier, SnoopedRouter, SwitchGroups};
pub use topology::{Topology, TopologyError};

pub use heptad_stack as stack;
