//! Runs a program whose socket calls go to the lab at the far end of a channel, given as a descriptor's number.
//!
//! `guarded CHANNEL PROGRAM [ARGUMENT]...`

use std::os::fd::{FromRawFd, OwnedFd};
use std::process::ExitCode;

use heptad_runner::{Job, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let channel = arguments
        .next()
        .and_then(|text| text.to_str().and_then(|text| text.parse().ok()));
    let Some(channel) = channel else {
        eprintln!("usage: guarded CHANNEL PROGRAM [ARGUMENT]...");
        return ExitCode::from(2);
    };
    // SAFETY: whoever started us left this descriptor open for us and for nobody else.
    let channel = unsafe { OwnedFd::from_raw_fd(channel) };
    if let Err(error) = rustix::io::fcntl_setfd(&channel, rustix::io::FdFlags::CLOEXEC) {
        eprintln!("guarded: {error}");
        return ExitCode::from(2);
    }
    match run(Job::new(arguments.collect()), channel) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            eprintln!("heptad: {error}");
            ExitCode::from(125)
        }
    }
}
