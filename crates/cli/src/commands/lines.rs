//! Lines that a running lab writes as things happen, until Ctrl-C.
use std::io::{BufRead, BufReader, ErrorKind};
use std::marker::PhantomData;
use std::net::{IpAddr, Shutdown};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::control::client::Client;
use crate::control::{Answer, Ask};
use crate::failure::Failure;

/// How often a silent channel looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// A probe on its way.
pub struct Lines<T> {
    reader: BufReader<UnixStream>,
    stop: Arc<AtomicBool>,
    stopped: bool,
    /// The address that it goes to.
    pub to: IpAddr,
    of: PhantomData<T>,
}
impl<T: DeserializeOwned> Lines<T> {
    /// Asks a lab to send probes. `node_is_given`: else the node is said.
    pub fn ask(client: &Client, ask: &Ask, node_is_given: bool) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let (ours, theirs) = UnixStream::pair()?;
        let Answer::Probing { node, to } = client.ask_with_channel(ask, theirs.into())? else {
            return Err(Failure::odd_answer());
        };
        if !node_is_given {
            eprintln!("heptad: from {node}");
        }
        ours.set_read_timeout(Some(LOOK))?;
        Ok(Self {
            reader: BufReader::new(ours),
            stop,
            stopped: false,
            to,
            of: PhantomData,
        })
    }

    /// The next line; told to stop, the lab is asked for the last one.
    pub fn next(&mut self) -> Result<Option<T>, Failure> {
        let mut line = Vec::new();
        loop {
            if self.stop.swap(false, Ordering::Relaxed) {
                self.stopped = true;
                self.reader.get_ref().shutdown(Shutdown::Write)?;
            }
            match self.reader.read_until(b'\n', &mut line) {
                Ok(_) if line.is_empty() => return Ok(None),
                Ok(_) => {
                    return serde_json::from_slice(&line)
                        .map(Some)
                        .map_err(Failure::ours);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a signal ended it.
    pub fn was_stopped(&self) -> bool {
        self.stopped
    }
}
