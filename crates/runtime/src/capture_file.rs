//! Frames into a pcapng file, as they come.
use core::net::IpAddr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use heptad_lab::capture::{CaptureHead, Pcapng};
use heptad_lab::{FrameRecord, Lab};
use heptad_stack::Stack;

use crate::FrameSink;

/// Bytes that are gathered before they go to the file.
const BUFFER: usize = 1 << 18;

/// A pcapng file being written. What was written is complete after [`FrameSink::finish`], and whenever no frame came
/// for a moment.
pub struct CaptureFile {
    path: PathBuf,
    file: BufWriter<File>,
    pcapng: Pcapng,
    /// Bytes of the frames at hand; kept for its memory.
    scratch: Vec<u8>,
}

impl CaptureFile {
    /// Creates the file (folders above it too) and writes its head. Every error names the path.
    pub fn create(path: &Path, head: &CaptureHead, lab: &Lab) -> io::Result<Self> {
        let mut scratch = Vec::new();
        let names = names(lab);
        let pcapng = Pcapng::begin(head, lab.interfaces(), &names, &mut scratch);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
        }
        let file = File::create(path).map_err(|error| named(path, &error))?;
        let mut capture = Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(BUFFER, file),
            pcapng,
            scratch,
        };
        capture.write_scratch()?;
        Ok(capture)
    }

    fn write_scratch(&mut self) -> io::Result<()> {
        let result = self.file.write_all(&self.scratch);
        self.scratch.clear();
        result.map_err(|error| named(&self.path, &error))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| named(&self.path, &error))
    }
}
impl FrameSink for CaptureFile {
    fn frames(&mut self, frames: &[FrameRecord]) -> io::Result<()> {
        for frame in frames {
            self.pcapng.record(frame, &mut self.scratch);
            if self.scratch.len() >= BUFFER {
                self.write_scratch()?;
            }
        }
        self.write_scratch()
    }
    fn idle(&mut self) -> io::Result<()> {
        self.flush()
    }
    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Every address with its node's name: those of the file, then those that IPv6 made at each port. Addresses that routers will cause
/// are not known yet when a run begins.
pub fn names(lab: &Lab) -> Vec<(IpAddr, String)> {
    let machines = lab.machines();
    let mut names = Vec::new();
    for machine in &machines {
        let addresses = machine.addresses.iter().map(|(_, address, _)| *address);
        names.extend(addresses.map(|address| (address, machine.name.clone())));
    }
    for machine in &machines {
        let own = lab.stack(machine.id).map(Stack::addresses);
        let own = own.into_iter().flatten().map(|(_, address, _)| address);
        let told = |address: &IpAddr| names.iter().any(|(known, _)| known == address);
        let made: Vec<_> = own
            .filter(|address| lab.owner(*address) == Some(machine.id) && !told(address))
            .collect();
        names.extend(
            made.into_iter()
                .map(|address| (address, machine.name.clone())),
        );
    }
    names
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("capture {}: {error}", path.display()))
}
