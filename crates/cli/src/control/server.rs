//! A running lab's end of the conversation.
use std::fs;
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::client::taken;
use super::{Answer, Ask, LONGEST, folder};
use crate::failure::Failure;

/// Answers a question; the descriptor came along with it.
pub type Respond = dyn Fn(Ask, Option<OwnedFd>) -> Answer + Send + Sync;

/// The socket of a running lab and the thread behind it. Dropped, it removes the socket.
pub struct Server {
    path: PathBuf,
    closing: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Listens under the lab's name; one name, one running lab.
    pub fn start(name: &str, respond: Arc<Respond>) -> Result<Self, Failure> {
        let lock = folder::lock()?;
        folder::sweep(&lock)?;
        let path = folder::socket_path(name)?;
        let listener = UnixListener::bind(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => taken(name),
            _ => Failure::ours(format!("cannot listen at {}: {error}", path.display())),
        })?;
        let closing = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&closing);
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || serve(&listener, &flag, &respond))?;
        Ok(Self {
            path,
            closing,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        let _ = UnixStream::connect(&self.path); // wakes the thread's accept
        let _ = fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &UnixListener, closing: &AtomicBool, respond: &Arc<Respond>) {
    for stream in listener.incoming() {
        if closing.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        // One conversation at a time: each is one short line, and a silent asker is cut off.
        if let Err(error) = converse(&stream, respond.as_ref()) {
            let message = Answer::Error {
                message: error.to_string(),
            };
            let _ = answer(&stream, &message);
        }
    }
}

fn converse(stream: &UnixStream, respond: &Respond) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let (line, fd) = receive(stream)?;
    if line.is_empty() {
        return Ok(()); // somebody looked whether we are here
    }
    let ask = serde_json::from_slice(&line).map_err(io::Error::other)?;
    answer(stream, &respond(ask, fd))
}

fn answer(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// One line, and the descriptor that came with it.
fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let (mut line, mut fd) = (Vec::new(), None);
    while !line.ends_with(b"\n") {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for ancillary in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = ancillary {
                fd = fds.next().or(fd);
            }
        }
        if message.bytes == 0 {
            break;
        }
        line.extend_from_slice(bytes.get(..message.bytes).unwrap_or_default());
        if line.len() as u64 > LONGEST {
            return Err(io::Error::other("question too long"));
        }
    }
    Ok((line, fd))
}
