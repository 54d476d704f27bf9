//! Frames into a pcapng file, as they come.
use std::io;
use std::path::Path;

use heptad_lab::capture::CaptureHead;
use heptad_lab::{FrameRecord, Lab};

use crate::FrameSink;

/// A pcapng file being written.
pub struct CaptureFile {}

#[allow(unused_variables)]
impl CaptureFile {
    /// Creates the file (folders above it too) and writes its head.
    pub fn create(path: &Path, head: &CaptureHead, lab: &Lab) -> io::Result<Self> {
        todo!()
    }
}
impl FrameSink for CaptureFile {
    fn frames(&mut self, _frames: &[FrameRecord]) -> io::Result<()> {
        todo!()
    }
}
