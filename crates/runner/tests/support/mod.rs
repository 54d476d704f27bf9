//! Programs under a guard, started from a test.
#![allow(dead_code)]

pub mod semantics;

use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// The descriptor that the guard finds its channel at.
const CHANNEL: i32 = 3;

/// A command that runs `program` behind a guard which speaks to the other end of `channel`.
pub fn command(channel: OwnedFd, program: &[&str]) -> Command {
    command_by(&[], channel, program)
}

/// As [`command`], with the guard itself started by `launcher`.
pub fn command_by(launcher: &[&str], channel: OwnedFd, program: &[&str]) -> Command {
    let guarded = std::ffi::OsString::from(env!("CARGO_BIN_EXE_guarded"));
    let mut words = launcher.iter().map(Into::into).chain([guarded]);
    let mut command = Command::new(words.next().expect("at least the guard"));
    command.args(words).arg(CHANNEL.to_string()).args(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: dup2 alone; the channel lives in the closure until the command is dropped.
    unsafe {
        command.pre_exec(move || match libc::dup2(channel.as_raw_fd(), CHANNEL) {
            CHANNEL if channel.as_raw_fd() == CHANNEL => {
                libc::fcntl(CHANNEL, libc::F_SETFD, 0);
                Ok(())
            }
            CHANNEL => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command
}

/// Runs a command to its end: exit code (or -signal), stdout, stderr.
pub fn finish(mut command: Command) -> (i32, String, String) {
    use std::os::unix::process::ExitStatusExt;
    let child = command.spawn().expect("guarded starts");
    drop(command);
    let output = child.wait_with_output().expect("guarded ends");
    let code = output
        .status
        .code()
        .unwrap_or_else(|| -output.status.signal().unwrap_or(0));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (code, text(output.stdout), text(output.stderr))
}

/// A running command whose lines are waited for.
pub struct Running {
    pub child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("guarded starts");
        drop(command);
        let stdout = child.stdout.take().expect("stdout is piped");
        Self {
            child,
            lines: BufReader::new(stdout),
        }
    }

    /// The next line; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("lines are UTF-8");
        line.trim_end().to_owned()
    }

    /// Waits for the end of all output, then for the process.
    pub fn end(mut self) -> (i32, String) {
        use std::io::Read;
        use std::os::unix::process::ExitStatusExt;
        let mut rest = String::new();
        self.lines
            .read_to_string(&mut rest)
            .expect("output is UTF-8");
        let status = self.child.wait().expect("guarded ends");
        (
            status
                .code()
                .unwrap_or_else(|| -status.signal().unwrap_or(0)),
            rest,
        )
    }
}
