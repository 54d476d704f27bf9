//! `.pkt` scripts, in packetdrill's language: what the peer sends, what the program calls, and what is to come of it, packet by packet.
//!
//! One host stands on one cable, the script is at the other end; time is virtual. A script's numbers are its own: sequence
//! numbers count from its own SYN, timestamps from the first that it names. `flow` translates.
//!
//! ```text
//!   text ─▶ parse ─▶ script ─▶ run ─┬─ flow, segment: a packet there and back, and what differs
//!                                   ├─ calls, options: the program's calls
//!                                   ├─ assertion, info: `%{ }%`
//!                                   ├─ solo (a room further up): the stack and its clock
//!                                   └─ verdict: passed, or what differs
//! ```
mod assertion;
mod calls;
mod compare;
mod flow;
mod info;
mod options;
mod packet_text;
mod parse;
mod run;
pub mod script;
mod segment;
pub mod settings;
mod text;
mod verdict;
mod words;

pub use parse::parse;
pub use run::run;
pub use verdict::{Packets, Passed, PktError, Timed};
