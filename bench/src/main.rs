//! `cargo xtask bench`: figures, with a peer doing the same work in the same run.
fn main() {}
