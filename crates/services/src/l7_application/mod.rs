//! Layer 7: programs on sockets.
pub mod bulk;
pub mod chat;
pub mod echo;
