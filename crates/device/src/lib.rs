//! Real cables: frames between a port of ours and a network interface of the kernel.
//!
//! What it must not know: anything above layer 1.
