//! What runs on the sockets of a node: layers 6 and 7.
//!
//! What it must not know: the stack's insides, the kernel's sockets, how a lab is driven.
//!
//! ```text
//!   l7_application    echo, chat, bulk            programs over TcpListener and TcpStream
//!   l6_presentation   text: str <-> bytes         characters that arrive in pieces
//! ```
//!
//! Start reading at [`Builtin`]: the programs by name.
#![forbid(unsafe_code)]

pub mod builtin;
pub mod l6_presentation;
pub mod l7_application;

pub use builtin::{BUILTINS, Builtin, BuiltinInfo, UnknownBuiltin};
