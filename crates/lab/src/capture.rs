//! pcapng, written by hand: nanoseconds, an interface a cable end, direction, packet ids, causes as comments, names, the seed.
//!
//! Makes bytes only; who writes them to a file is not known here.
use core::net::IpAddr;

use crate::frames::{FrameRecord, Interface};

/// Turns frame records into the bytes of a pcapng file.
pub struct Pcapng {}

/// What the head of a capture says.
#[derive(Clone, Debug)]
pub struct CaptureHead {
    /// The lab's name.
    pub lab: String,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of the lab file's text, hexadecimal.
    pub lab_sha256: String,
    /// Nanoseconds since 1970 of the lab's time zero: fixed in virtual time.
    pub epoch_nanos: u64,
}

#[allow(unused_variables)]
impl Pcapng {
    /// Begins a capture; `out` receives section header, interfaces and names.
    pub fn begin(
        head: &CaptureHead,
        interfaces: &[Interface],
        names: &[(IpAddr, String)],
        out: &mut Vec<u8>,
    ) -> Self {
        todo!()
    }
    /// Appends one record.
    pub fn record(&mut self, record: &FrameRecord, out: &mut Vec<u8>) {
        todo!()
    }
}
