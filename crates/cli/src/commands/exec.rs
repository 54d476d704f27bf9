//! `heptad exec NODE -- PROGRAM`
use std::ffi::OsString;

use heptad_runner::Job;

use crate::args::Exec;
use crate::control::Mode;
use crate::control::client::Client;
use crate::failure::{Failure, OURS};

/// Runs a program on a node of a running lab; its exit code is ours.
pub fn exec(exec: &Exec) -> Result<u8, Failure> {
    let client = Client::find(exec.lab.as_deref())?;
    on_node(&client, (&exec.node, exec.mode), &exec.program)
}

/// Hands the lab its end of a channel, then becomes the program's front.
pub fn on_node(
    client: &Client,
    (node, mode): (&str, Option<Mode>),
    program: &[OsString],
) -> Result<u8, Failure> {
    let (ours, theirs) = heptad_runner::channel()?;
    let mode = client.exec(node, mode, theirs)?;
    let job = Job::new(program.to_vec());
    let exit = match mode {
        Mode::Seccomp => heptad_runner::run(job, ours),
        Mode::Netns => heptad_runner::netns::run(job, ours),
    };
    let exit = exit.map_err(|error| Failure::new(OURS, error))?;
    Ok(exit.code())
}
