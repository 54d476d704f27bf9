//! Asking a running lab.
use std::io::{BufRead, BufReader, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{Answer, Ask, Info, LONGEST, Mode, folder};
use crate::failure::Failure;

/// A running lab, by name.
pub struct Client {
    /// Its name.
    pub name: String,
}

impl Client {
    /// The lab of this name, or the only one.
    pub fn find(name: Option<&str>) -> Result<Self, Failure> {
        if let Some(name) = name {
            return Ok(Self {
                name: name.to_string(),
            });
        }
        let running = running()?;
        match running.as_slice() {
            [(_, info)] => Ok(Self {
                name: info.name.clone(),
            }),
            [] => Err(Failure::usage(
                "no lab is running; start one with: heptad lab up FILE",
            )),
            several => {
                let names: Vec<&str> = several.iter().map(|(_, info)| info.name.as_str()).collect();
                Err(Failure::usage(format!(
                    "several labs are running ({}); choose one with --lab NAME",
                    names.join(", ")
                )))
            }
        }
    }

    /// Asks; an `Error` answer is a failure.
    pub fn ask(&self, ask: &Ask) -> Result<Answer, Failure> {
        self.ask_with(ask, None)
    }

    /// Asks to serve a guard, or to let a program in: `channel` is the lab's end. Which of both is answered.
    pub fn exec(&self, node: &str, mode: Option<Mode>, channel: OwnedFd) -> Result<Mode, Failure> {
        let node = node.to_string();
        match self.ask_with_channel(&Ask::Exec { node, mode }, channel)? {
            Answer::Exec { mode } => Ok(mode),
            _ => Err(Failure::odd_answer()),
        }
    }

    /// Asks with the lab's end of a channel.
    pub fn ask_with_channel(&self, ask: &Ask, channel: OwnedFd) -> Result<Answer, Failure> {
        self.ask_with(ask, Some(channel.as_fd()))
    }

    fn ask_with(&self, ask: &Ask, fd: Option<BorrowedFd<'_>>) -> Result<Answer, Failure> {
        let path = folder::socket_path(&self.name)?;
        let stream = UnixStream::connect(&path).map_err(|error| {
            Failure::usage(format!(
                "no lab named {} is running ({}: {error}); heptad lab ls shows what is",
                self.name,
                path.display()
            ))
        })?;
        send(&stream, ask, fd)?;
        let mut line = String::new();
        BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Answer::Error { message }) => Err(Failure::usage(message)),
            Ok(answer) => Ok(answer),
            Err(_) if line.is_empty() => Err(Failure::ours(format!(
                "the lab {} ended before it answered",
                self.name
            ))),
            Err(error) => Err(Failure::ours(format!(
                "the lab {} answered nonsense: {error}",
                self.name
            ))),
        }
    }
}

/// One name, one running lab: fails when there is one already.
pub fn expect_free(name: &str) -> Result<(), Failure> {
    folder::sweep(&folder::lock()?)?;
    if folder::socket_path(name)?.exists() {
        return Err(taken(name));
    }
    Ok(())
}

/// The name belongs to a running lab.
pub fn taken(name: &str) -> Failure {
    Failure::usage(format!(
        "a lab named {name} is already running; stop it with: heptad lab down {name}"
    ))
}

/// The labs that answer, in order of their names; sockets that a dead lab left are removed.
pub fn running() -> Result<Vec<(Client, Info)>, Failure> {
    folder::sweep(&folder::lock()?)?;
    let mut labs = Vec::new();
    for name in folder::names()? {
        let client = Client { name };
        // One that does not answer is just ending.
        if let Ok(Answer::Info(info)) = client.ask(&Ask::Info) {
            labs.push((client, info));
        }
    }
    Ok(labs)
}

fn send(stream: &UnixStream, ask: &Ask, fd: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(ask).map_err(Failure::ours)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Failure::ours("no room for a descriptor"));
    }
    // A question is far smaller than a unix socket's buffer: it goes out whole.
    sendmsg(
        stream,
        &[IoSlice::new(&line)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map_err(std::io::Error::from)?;
    Ok(())
}
