//! Who waits for which socket. Hashed by (machine, socket); nothing here is linear in the number of sockets.
use core::task::Waker;
use std::collections::HashMap;

use heptad_lab::MachineId;
use heptad_stack::{Ready, SocketId};

use crate::baton::ThreadNo;

/// What to wake.
#[derive(Clone, Debug)]
pub(crate) enum Sleeper {
    /// A thread of virtual time: it gets a turn.
    Thread(ThreadNo),
    /// A future of an asynchronous socket, by its number: one task may wait for several things with equal wakers.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    Task(u64, Waker),
    /// Anything else.
    Waker(Waker),
}
impl Sleeper {
    /// Whether waking one is waking the other.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Thread(a), Self::Thread(b)) => a == b,
            (Self::Task(a, _), Self::Task(b, _)) => a == b,
            (Self::Waker(a), Self::Waker(b)) => a.will_wake(b),
            _ => false,
        }
    }
    /// What is to be woken outside of the lock.
    pub(crate) fn into_waker(self) -> Option<Waker> {
        match self {
            Self::Thread(_) => None,
            Self::Task(_, waker) | Self::Waker(waker) => Some(waker),
        }
    }
}

/// Those who wait. An entry is woken once and then gone.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    waiting: HashMap<(MachineId, SocketId), Vec<(Ready, Sleeper)>>,
}
impl Wakers {
    /// Waits for any bit of `interest`; an earlier entry of the same sleeper is replaced.
    pub(crate) fn add(
        &mut self,
        machine: MachineId,
        socket: SocketId,
        interest: Ready,
        sleeper: Sleeper,
    ) {
        let list = self.waiting.entry((machine, socket)).or_default();
        match list.iter_mut().find(|(_, other)| other.same(&sleeper)) {
            Some(entry) => *entry = (interest, sleeper),
            None => list.push((interest, sleeper)),
        }
    }

    /// Takes those whom `ready` concerns, in the order in which they came. Errors and hang-ups concern everybody.
    pub(crate) fn take(
        &mut self,
        machine: MachineId,
        socket: SocketId,
        ready: Ready,
        mut wake: impl FnMut(Sleeper),
    ) {
        let Some(list) = self.waiting.get_mut(&(machine, socket)) else {
            return;
        };
        list.retain(|(interest, sleeper)| {
            let stays = !concerns(ready, *interest);
            if !stays {
                wake(sleeper.clone());
            }
            stays
        });
        if list.is_empty() {
            self.waiting.remove(&(machine, socket));
        }
    }

    /// Forgets one sleeper of a socket (its time ran out).
    pub(crate) fn forget(&mut self, machine: MachineId, socket: SocketId, sleeper: &Sleeper) {
        if let Some(list) = self.waiting.get_mut(&(machine, socket)) {
            list.retain(|(_, other)| !other.same(sleeper));
            if list.is_empty() {
                self.waiting.remove(&(machine, socket));
            }
        }
    }

    /// Takes everybody who waits for a socket.
    pub(crate) fn take_socket(&mut self, machine: MachineId, socket: SocketId) -> Vec<Sleeper> {
        let list = self.waiting.remove(&(machine, socket)).unwrap_or_default();
        list.into_iter().map(|(_, sleeper)| sleeper).collect()
    }

    /// Takes everybody, ordered by machine and socket.
    pub(crate) fn take_all(&mut self) -> Vec<Sleeper> {
        let mut all: Vec<_> = self.waiting.drain().collect();
        all.sort_by_key(|(key, _)| *key);
        all.into_iter()
            .flat_map(|(_, list)| list)
            .map(|(_, sleeper)| sleeper)
            .collect()
    }
}

/// Whether somebody who waits for `interest` must look at a socket that is `ready`.
pub(crate) fn concerns(ready: Ready, interest: Ready) -> bool {
    ready.intersects(interest | Ready::ERROR | Ready::HANG_UP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: MachineId = MachineId(0);
    const BOB: MachineId = MachineId(1);

    fn socket(index: u32) -> SocketId {
        SocketId {
            index,
            generation: 0,
        }
    }
    fn thread(number: u32) -> Sleeper {
        Sleeper::Thread(ThreadNo(number))
    }
    fn taken(wakers: &mut Wakers, machine: MachineId, index: u32, ready: Ready) -> Vec<u32> {
        let mut out = Vec::new();
        wakers.take(machine, socket(index), ready, |sleeper| match sleeper {
            Sleeper::Thread(no) => out.push(no.0),
            Sleeper::Task(..) | Sleeper::Waker(_) => panic!("no waker was added"),
        });
        out
    }

    #[test]
    fn only_those_whom_it_concerns_are_woken_and_in_order_of_arrival() {
        // (ready, who wakes) with 3 waiting to read, 1 to write, 2 to read
        let rows = [
            (Ready::READABLE, vec![3, 2]),
            (Ready::WRITABLE, vec![1]),
            (Ready::READABLE | Ready::WRITABLE, vec![3, 1, 2]),
            (Ready::ERROR, vec![3, 1, 2]),
            (Ready::HANG_UP, vec![3, 1, 2]),
            (Ready::NONE, vec![]),
        ];
        for (ready, expected) in rows {
            let mut wakers = Wakers::default();
            wakers.add(ALICE, socket(7), Ready::READABLE, thread(3));
            wakers.add(ALICE, socket(7), Ready::WRITABLE, thread(1));
            wakers.add(ALICE, socket(7), Ready::READABLE, thread(2));
            assert_eq!(taken(&mut wakers, ALICE, 7, ready), expected, "{ready:?}");
        }
    }

    #[test]
    fn a_sleeper_is_woken_once() {
        let mut wakers = Wakers::default();
        wakers.add(ALICE, socket(7), Ready::READABLE, thread(1));
        assert_eq!(taken(&mut wakers, ALICE, 7, Ready::READABLE), [1]);
        assert!(taken(&mut wakers, ALICE, 7, Ready::READABLE).is_empty());
        assert!(wakers.waiting.is_empty(), "an empty list is not kept");
    }

    #[test]
    fn another_socket_or_machine_wakes_nobody() {
        let mut wakers = Wakers::default();
        wakers.add(ALICE, socket(7), Ready::READABLE, thread(1));
        assert!(taken(&mut wakers, BOB, 7, Ready::READABLE).is_empty());
        assert!(taken(&mut wakers, ALICE, 8, Ready::READABLE).is_empty());
    }

    #[test]
    fn the_same_sleeper_stands_in_the_list_once_with_its_last_interest() {
        let mut wakers = Wakers::default();
        wakers.add(ALICE, socket(7), Ready::READABLE, thread(1));
        wakers.add(ALICE, socket(7), Ready::WRITABLE, thread(1));
        assert!(taken(&mut wakers, ALICE, 7, Ready::READABLE).is_empty());
        assert_eq!(taken(&mut wakers, ALICE, 7, Ready::WRITABLE), [1]);
        wakers.add(
            ALICE,
            socket(7),
            Ready::READABLE,
            Sleeper::Waker(Waker::noop().clone()),
        );
        wakers.add(
            ALICE,
            socket(7),
            Ready::READABLE,
            Sleeper::Waker(Waker::noop().clone()),
        );
        assert_eq!(wakers.take_socket(ALICE, socket(7)).len(), 1);
    }

    #[test]
    fn who_is_forgotten_does_not_wake() {
        let mut wakers = Wakers::default();
        wakers.add(ALICE, socket(7), Ready::READABLE, thread(1));
        wakers.add(ALICE, socket(7), Ready::READABLE, thread(2));
        wakers.forget(ALICE, socket(7), &thread(1));
        assert_eq!(taken(&mut wakers, ALICE, 7, Ready::READABLE), [2]);
    }

    #[test]
    fn everybody_comes_in_order_of_machine_and_socket() {
        let mut wakers = Wakers::default();
        for (machine, index, no) in [(BOB, 1, 4), (ALICE, 9, 3), (ALICE, 2, 1), (ALICE, 2, 2)] {
            wakers.add(machine, socket(index), Ready::READABLE, thread(no));
        }
        let order: Vec<_> = wakers
            .take_all()
            .into_iter()
            .map(|sleeper| match sleeper {
                Sleeper::Thread(no) => no.0,
                Sleeper::Task(..) | Sleeper::Waker(_) => panic!("no waker was added"),
            })
            .collect();
        assert_eq!(order, [1, 2, 3, 4]);
    }

    #[test]
    fn two_futures_of_one_task_stand_in_the_list_twice() {
        let mut wakers = Wakers::default();
        let task = |no| Sleeper::Task(no, Waker::noop().clone());
        wakers.add(ALICE, socket(7), Ready::READABLE, task(1));
        wakers.add(ALICE, socket(7), Ready::WRITABLE, task(2));
        wakers.add(ALICE, socket(7), Ready::READABLE, task(1));
        wakers.forget(ALICE, socket(7), &task(2));
        let mut woken = 0;
        wakers.take(ALICE, socket(7), Ready::WRITABLE, |_| woken += 1);
        assert_eq!(woken, 0, "the writer was forgotten, the reader was not");
        wakers.take(ALICE, socket(7), Ready::READABLE, |_| woken += 1);
        assert_eq!(woken, 1);
    }
}
