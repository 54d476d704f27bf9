//! Unmodified programs on a node of a lab, without privileges: seccomp user notification and socketpairs.
//!
//! What it must not know: layers below the socket verbs, files of labs, how anything is printed.
//!
//! ```text
//!   front ─▶ guard ─▶ program        the job: front is the user's, guard answers the program's socket calls
//!              │  ▲ calls, answers      (filter, notify, exec)
//!              │  └──── trapped: socket bind listen accept connect getsockopt …
//!              ▼ channel: SOCK_SEQPACKET (protocol)
//!            Host ─▶ Network            the lab's process (host)
//!              ▲
//!              └──── socketpair ends: bytes flow here, past the guard; read, write, poll stay the kernel's
//! ```
//!
//! The second way, programs with the kernel's sockets in a network namespace, is [`netns`].
//!
//! Start reading at [`run`] for the job's side, at [`Host`] for the lab's.

pub mod channel;
mod control;
pub mod exec;
pub mod filter;
pub mod host;
pub mod memory;
pub mod netns;
pub mod notify;
mod numbers;
mod probe;
pub mod protocol;
pub mod room;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

pub use channel::channel;
pub use exec::run;
pub use host::{Host, Owner};
pub use probe::{Check, probe};

/// A program to run.
#[derive(Debug, Default)]
pub struct Job {
    /// Program and arguments.
    pub program: Vec<OsString>,
    /// Variables set on top of the environment.
    pub env: Vec<(OsString, OsString)>,
    /// Start from an empty environment.
    pub clear_env: bool,
    /// Directory to run in.
    pub cwd: Option<PathBuf>,
    /// Its standard descriptors.
    pub stdio: Stdio,
}

impl Job {
    /// A program and its arguments, with our environment, directory and standard descriptors.
    pub fn new(program: Vec<OsString>) -> Self {
        Self {
            program,
            ..Self::default()
        }
    }
}

/// Standard descriptors of a program.
#[derive(Debug, Default)]
pub enum Stdio {
    /// Ours.
    #[default]
    Inherit,
    /// These.
    Given {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself; 126 when it could not be executed, 127 when it was not found.
    Code(u8),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// As a shell tells it: the code, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

/// Why a program could not run to its end. All of these are exit code 125.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The command is empty.
    #[error("no program to run")]
    NoProgram,
    /// A string of the command or its environment has a NUL byte in it.
    #[error("an argument, variable or directory has a NUL byte in it")]
    Nul,
    /// The working directory is not to be entered, or a descriptor not to be put in its place.
    #[error("cannot prepare the program's surroundings: {0}")]
    Surroundings(std::io::Error),
    /// The kernel refused the filter.
    #[error(
        "the kernel refuses system call notification ({0}); `heptad doctor` says what is missing"
    )]
    Filter(std::io::Error),
    /// The network namespace of the node is not to be entered.
    #[error("cannot enter the network namespace of the node: {0}")]
    Namespace(std::io::Error),
    /// The lab's side of the channel closed.
    #[error("the lab is gone")]
    LabGone,
    /// The guard process died.
    #[error("the guard process was killed")]
    GuardGone,
    /// A system call of ours failed.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
}
