//! Layer 6: how text becomes bytes and back.
pub mod text;
