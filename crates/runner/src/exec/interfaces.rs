//! `SIOCGIFCONF`: `struct ifconf`, a length that goes both ways and where a `struct ifreq` for each address goes.

use super::answers::Want;
use super::calls::{IFREQ, Step, ask};
use crate::memory;
use crate::notify::Notification;
use crate::protocol::Call;

/// Where a program wants the list.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// The `struct ifconf`.
    at: u64,
    /// Bytes of room.
    room: usize,
    /// Where they go; 0: only how many they are is asked.
    buffer: u64,
}

/// The request.
pub(super) fn list(n: &Notification) -> Result<Step, i32> {
    let at = n.args[2];
    let room = i32::from_ne_bytes(memory::read_array(n.thread, at)?);
    let list = List {
        at,
        room: usize::try_from(room).map_err(|_| libc::EINVAL)?,
        buffer: u64::from_ne_bytes(memory::read_array(n.thread, at + 8)?),
    };
    let call = Call::Interface {
        request: n.args[1] as u32,
        argument: Vec::new(),
    };
    Ok(ask(call, Want::Interfaces(list)))
}

impl List {
    /// As many whole ones as there is room for.
    pub(super) fn fill(self, thread: i32, bytes: &[u8]) -> Result<(), i32> {
        let fits = bytes.len().min(self.room / IFREQ * IFREQ);
        let told = match self.buffer {
            0 => bytes,
            at => {
                let told = bytes.get(..fits).unwrap_or(bytes);
                memory::write(thread, at, told)?;
                told
            }
        };
        memory::write(thread, self.at, &(told.len() as i32).to_ne_bytes())
    }
}
