//! What UDP, ICMP echo and raw sockets have in common: the endpoints of a protocol, which of them may have become ready, and
//! what waits for each port.
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use slab::Slab;

use super::readiness::{Owner, Ready};
use crate::l1_physical::PortId;

/// One endpoint, and not the one that has its place after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) index: u32,
    serial: u64,
}

/// The endpoints of a protocol by their places.
pub(super) struct Endpoints<E> {
    slots: Slab<Slot<E>>,
    next_serial: u64,
    /// Those that are listed, in the order in which they were.
    changed: VecDeque<Handle>,
}
struct Slot<E> {
    owner: Owner,
    serial: u64,
    listed: bool,
    endpoint: E,
}
impl<E> Default for Endpoints<E> {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            next_serial: 0,
            changed: VecDeque::new(),
        }
    }
}
impl<E> Endpoints<E> {
    /// One more; its place.
    pub(super) fn insert(&mut self, owner: Owner, endpoint: E) -> u32 {
        self.next_serial += 1;
        self.slots.insert(Slot {
            owner,
            serial: self.next_serial,
            listed: false,
            endpoint,
        }) as u32
    }
    /// The one at a place.
    pub(super) fn get(&self, index: u32) -> Option<&E> {
        self.slots.get(index as usize).map(|slot| &slot.endpoint)
    }
    /// The same, to change it.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut E> {
        let slot = self.slots.get_mut(index as usize);
        slot.map(|slot| &mut slot.endpoint)
    }
    /// Takes it out.
    pub(super) fn remove(&mut self, index: u32) -> Option<E> {
        let slot = self.slots.try_remove(index as usize);
        slot.map(|slot| slot.endpoint)
    }
    /// What names the one at a place for as long as it is there.
    pub(super) fn handle(&self, index: u32) -> Option<Handle> {
        let serial = self.slots.get(index as usize)?.serial;
        Some(Handle { index, serial })
    }
    /// The very one that was named.
    pub(super) fn named_mut(&mut self, handle: Handle) -> Option<&mut E> {
        self.slot_mut(handle).map(|slot| &mut slot.endpoint)
    }
    fn slot_mut(&mut self, handle: Handle) -> Option<&mut Slot<E>> {
        let slot = self.slots.get_mut(handle.index as usize);
        slot.filter(|slot| slot.serial == handle.serial)
    }

    /// The readiness of the one at a place may have changed.
    pub(super) fn changed(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && !slot.listed
        {
            slot.listed = true;
            let serial = slot.serial;
            self.changed.push_back(Handle { index, serial });
        }
    }
    /// One whose readiness may have changed since it was last taken from here.
    pub(super) fn poll_ready(&mut self, ready: impl Fn(&E) -> Ready) -> Option<(Owner, Ready)> {
        while let Some(handle) = self.changed.pop_front() {
            if let Some(slot) = self.slot_mut(handle) {
                slot.listed = false;
                return Some((slot.owner, ready(&slot.endpoint)));
            }
        }
        None
    }
}

/// What waits for each port, oldest first.
pub(super) struct PortQueues<T> {
    /// By the port's index.
    queues: Vec<VecDeque<T>>,
    len: usize,
}
impl<T> Default for PortQueues<T> {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            len: 0,
        }
    }
}
impl<T> PortQueues<T> {
    /// How many wait for any port.
    pub(super) fn len(&self) -> usize {
        self.len
    }
    pub(super) fn push(&mut self, port: PortId, item: T) {
        let port = usize::from(port.0);
        if self.queues.len() <= port {
            self.queues.resize_with(port + 1, VecDeque::new);
        }
        self.queues[port].push_back(item);
        self.len += 1;
    }
    pub(super) fn pop(&mut self, port: PortId) -> Option<T> {
        let item = self.queues.get_mut(usize::from(port.0))?.pop_front()?;
        self.len -= 1;
        Some(item)
    }
    /// Whether something waits for a port.
    pub(super) fn wants(&self, port: PortId) -> bool {
        let queue = self.queues.get(usize::from(port.0));
        queue.is_some_and(|queue| !queue.is_empty())
    }
}
