//! `.pkt` scripts, in packetdrill's language: what the peer sends, what the program calls, and what is to come of it, packet by packet.
//!
//! One host stands on one cable, the script is at the other end; time is virtual. A script's numbers are its own: sequence
//! numbers count from its own SYN, timestamps from the first that it names. `flow` translates.
//!
//! ```text
//!   text ─▶ parse ─▶ script ─▶ run ─┬─ flow, segment: a packet there and back, and what differs
//!                                   ├─ calls, options: the program's calls
//!                                   ├─ assertion, info: `%{ }%`
//!                                   └─ host: the stack and its clock
//! ```
mod assertion;
mod calls;
mod compare;
mod flow;
mod host;
mod info;
mod options;
mod packet_text;
mod parse;
mod run;
pub mod script;
mod segment;
mod settings;
mod text;
mod words;

pub use parse::parse;
pub use run::run;

use core::time::Duration;

/// A script that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PktError {
    /// The text is no script.
    #[error("line {line}: {what}")]
    Syntax {
        /// Of the file, from 1.
        line: u32,
        /// What is wrong.
        what: String,
    },
    /// The script asks for what is not there: a setting, an option, a call.
    #[error("line {line}: {what}")]
    Unknown {
        /// Of the file, from 1.
        line: u32,
        /// What it asks for.
        what: String,
    },
    /// What happened is not what the script says.
    #[error("line {line}: {what}")]
    Differs {
        /// Of the file, from 1.
        line: u32,
        /// What differs, and both sides of it on lines of their own.
        what: String,
    },
}
impl PktError {
    /// Of the file, from 1.
    pub fn line(&self) -> u32 {
        match self {
            Self::Syntax { line, .. } | Self::Unknown { line, .. } | Self::Differs { line, .. } => {
                *line
            }
        }
    }
}

/// What a script that passed did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Events of it.
    pub events: usize,
    /// Virtual time that went by.
    pub time: Duration,
}
