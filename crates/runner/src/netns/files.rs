//! What a program is given with the way into its node's namespace: the files that name other nodes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use heptad_runtime::Network;
use heptad_runtime::lab::MachineId;

use super::Door;
use crate::channel::{self, Message};
use crate::host::files::{hosts, to_be_read};

/// Nobody serves names: a resolver gives up at once, after it has read `/etc/hosts`.
const RESOLVERS: &str = "# the nodes of the lab are in /etc/hosts\n";

/// Files of a node.
#[derive(Debug)]
pub struct Files {
    hosts: String,
}

impl Files {
    /// Those of a node as they are now. On one whose loopback is a cable, `localhost` is 127.0.0.1 alone.
    pub fn new(network: &Network, node: MachineId, loopback: bool) -> Self {
        let all = hosts(network, node);
        let kept = |line: &&str| !(loopback && line.starts_with("::1\t"));
        let hosts = all.lines().filter(kept).map(|line| format!("{line}\n"));
        Self {
            hosts: hosts.collect(),
        }
    }
}

/// Lets whoever has the other end of the channel in.
///
/// # Errors
/// The kernel's.
pub fn hand_over(channel: &OwnedFd, door: &Door, files: &Files) -> io::Result<()> {
    let hosts = to_be_read(files.hosts.as_bytes())?;
    let mut fds = vec![hosts.as_fd(), door.net.as_fd()];
    fds.extend(door.user.as_ref().map(AsFd::as_fd));
    channel::send(channel.as_fd(), RESOLVERS.as_bytes(), &fds, false)
}

/// What came from there.
pub(super) struct Entry {
    pub door: Door,
    /// What `/etc/hosts` shall say, and `/etc/resolv.conf`.
    pub hosts: OwnedFd,
    pub resolvers: Vec<u8>,
}

impl Entry {
    /// `None` for a message of something else.
    pub(super) fn of(message: Message) -> Option<Self> {
        let mut fds = message.fds.into_iter();
        let (hosts, net) = (fds.next()?, fds.next()?);
        let user = fds.next();
        Some(Self {
            door: Door { net, user },
            hosts,
            resolvers: message.bytes,
        })
    }
}
