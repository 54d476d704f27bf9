//! Who runs in virtual time: exactly one thread holds the baton, and time moves only while all of them wait.
//!
//! ```text
//!            next_turn                 park
//!   queued ────────────▶ holds it ────────────▶ parked
//!      ▲                     │ end                 │
//!      └─────────────────────┼── wake ─────────────┘
//!                            ▼      (ready, time out, a join, nothing left)
//!                          gone
//! ```
//!
//! Pure state: no lock, no condition variable, no clock. [`crate::virtual_time`] joins it to real threads.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use heptad_stack::Instant;

/// A thread, by the order in which threads were spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ThreadNo(pub(crate) u32);
impl ThreadNo {
    /// The thread that started the run, or any other one that was not spawned by it.
    pub(crate) const OUTSIDE: Self = Self(0);
}

/// Why a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// In a verb of a socket, at most until then.
    Verb(&'static str, Option<Instant>),
    /// For a time.
    Sleep(Instant),
    /// For the end of another thread.
    Join(ThreadNo),
    /// For anything up to then; ends early when nothing is left to happen.
    RunUntil(Instant),
}

/// Why a thread runs again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What it waited for may have come (or it was just spawned).
    Ready,
    /// Its time came.
    TimedOut,
    /// Nothing is left that could wake it; the sentence names who waits where.
    Nothing(Arc<str>),
    /// The run was stopped.
    Stopped,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This thread's, from now.
    Of(ThreadNo),
    /// Somebody holds the baton already, or moves time.
    Taken,
    /// Everybody waits: time has to move.
    Nobody,
}

#[derive(Debug)]
enum State {
    Queued(Wake),
    Running(Option<Wake>),
    Parked(Pause),
}
#[derive(Debug)]
struct Thread {
    name: Arc<str>,
    state: State,
}

/// The threads of a run, and which of them may run.
#[derive(Debug)]
pub(crate) struct Baton {
    threads: BTreeMap<ThreadNo, Thread>,
    spawned: u32,
    holder: Option<ThreadNo>,
    moving: bool,
    queue: VecDeque<ThreadNo>,
    timers: BTreeSet<(Instant, ThreadNo)>,
    joiners: BTreeMap<ThreadNo, Vec<ThreadNo>>,
    turns: u64,
}
impl Baton {
    /// The outside holds it.
    pub(crate) fn new(outside: &str) -> Self {
        let thread = Thread {
            name: outside.into(),
            state: State::Running(None),
        };
        Self {
            threads: BTreeMap::from([(ThreadNo::OUTSIDE, thread)]),
            spawned: 0,
            holder: Some(ThreadNo::OUTSIDE),
            moving: false,
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            joiners: BTreeMap::new(),
            turns: 0,
        }
    }

    /// A new thread; it queues for its first turn.
    pub(crate) fn spawn(&mut self, name: &str) -> ThreadNo {
        self.spawned += 1;
        let no = ThreadNo(self.spawned);
        let thread = Thread {
            name: name.into(),
            state: State::Queued(Wake::Ready),
        };
        self.threads.insert(no, thread);
        self.queue.push_back(no);
        no
    }

    /// Whether this thread may run.
    pub(crate) fn holds(&self, me: ThreadNo) -> bool {
        self.holder == Some(me)
    }
    /// Whether it is over (or never was).
    pub(crate) fn is_gone(&self, no: ThreadNo) -> bool {
        !self.threads.contains_key(&no)
    }
    /// The holder used a verb: it is not stuck.
    pub(crate) fn touch(&mut self) {
        self.turns += 1;
    }
    /// For the watchdog: a count that stands still while the holder is elsewhere, and its name, if others depend on it.
    pub(crate) fn progress(&self) -> (u64, Option<Arc<str>>) {
        let holder = self.holder.filter(|_| self.threads.len() > 1);
        let name = holder
            .and_then(|no| self.threads.get(&no))
            .map(|t| t.name.clone());
        (self.turns, name)
    }

    /// The holder waits and gives the baton up.
    pub(crate) fn park(&mut self, me: ThreadNo, pause: Pause) {
        debug_assert!(self.holds(me), "only the holder parks");
        match pause {
            Pause::Verb(_, Some(until)) | Pause::Sleep(until) => {
                self.timers.insert((until, me));
            }
            Pause::Join(other) => self.joiners.entry(other).or_default().push(me),
            Pause::Verb(_, None) | Pause::RunUntil(_) => {}
        }
        self.set_state(me, State::Parked(pause));
        self.holder = None;
    }

    /// Queues a thread that waits; nothing happens to one that does not.
    pub(crate) fn wake(&mut self, no: ThreadNo, wake: Wake) {
        let Some(thread) = self.threads.get_mut(&no) else {
            return;
        };
        let State::Parked(pause) = thread.state else {
            return;
        };
        match pause {
            Pause::Verb(_, Some(until)) | Pause::Sleep(until) => {
                self.timers.remove(&(until, no));
            }
            Pause::Join(other) => {
                if let Some(list) = self.joiners.get_mut(&other) {
                    list.retain(|joiner| *joiner != no);
                }
            }
            Pause::Verb(_, None) | Pause::RunUntil(_) => {}
        }
        thread.state = State::Queued(wake);
        self.queue.push_back(no);
    }

    /// The thread is over: who joins it is woken, and the baton is free if it held it.
    pub(crate) fn end(&mut self, me: ThreadNo) {
        self.threads.remove(&me);
        if self.holds(me) {
            self.holder = None;
        }
        for joiner in self.joiners.remove(&me).unwrap_or_default() {
            self.wake(joiner, Wake::Ready);
        }
    }

    /// Hands the free baton to the next in the queue.
    pub(crate) fn next_turn(&mut self) -> Turn {
        if self.holder.is_some() || self.moving {
            return Turn::Taken;
        }
        let Some(no) = self.queue.pop_front() else {
            return Turn::Nobody;
        };
        if let Some(thread) = self.threads.get_mut(&no)
            && let State::Queued(wake) = &thread.state
        {
            thread.state = State::Running(Some(wake.clone()));
        }
        self.holder = Some(no);
        self.turns += 1;
        Turn::Of(no)
    }
    /// Why the holder runs again; told once.
    pub(crate) fn take_wake(&mut self, me: ThreadNo) -> Option<Wake> {
        if !self.holds(me) {
            return None;
        }
        match &mut self.threads.get_mut(&me)?.state {
            State::Running(wake) => wake.take(),
            _ => None,
        }
    }

    /// Somebody begins or ends moving time; nobody gets a turn meanwhile.
    pub(crate) fn set_moving(&mut self, moving: bool) {
        self.moving = moving;
        self.turns += 1;
    }
    /// Whether somebody is in the queue.
    pub(crate) fn is_anybody_queued(&self) -> bool {
        !self.queue.is_empty()
    }
    /// The earliest time that somebody waits for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
    /// Where the outside wants time to stop.
    pub(crate) fn limit(&self) -> Option<Instant> {
        match self.threads.get(&ThreadNo::OUTSIDE)?.state {
            State::Parked(Pause::RunUntil(limit)) => Some(limit),
            _ => None,
        }
    }
    /// Wakes those whose time has come: by time, then by number.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(at, no)) = self.timers.first()
            && at <= now
        {
            self.wake(no, Wake::TimedOut);
        }
    }

    /// Nothing is left to happen (or `instead` tells why time can't move): the outside's `RunUntil` ends; else every
    /// verb fails; else every join. False: nobody waits.
    pub(crate) fn nothing_left(&mut self, instead: Option<&str>) -> bool {
        let sentence: Arc<str> = match instead {
            Some(reason) => reason.into(),
            None => self.sentence().into(),
        };
        let chosen = if self.limit().is_some() {
            vec![ThreadNo::OUTSIDE]
        } else {
            let verbs = self.parked(|pause| matches!(pause, Pause::Verb(..)));
            if verbs.is_empty() {
                self.parked(|_| true)
            } else {
                verbs
            }
        };
        for no in &chosen {
            self.wake(*no, Wake::Nothing(sentence.clone()));
        }
        !chosen.is_empty()
    }

    fn parked(&self, which: impl Fn(Pause) -> bool) -> Vec<ThreadNo> {
        self.threads
            .iter()
            .filter(|(_, thread)| matches!(thread.state, State::Parked(pause) if which(pause)))
            .map(|(no, _)| *no)
            .collect()
    }
    fn sentence(&self) -> String {
        let waiting: Vec<String> = self
            .threads
            .values()
            .filter_map(|thread| match thread.state {
                State::Parked(Pause::Verb(verb, _)) => {
                    Some(format!("{} waits in {verb}", thread.name))
                }
                State::Parked(Pause::Join(other)) => {
                    let other = self.threads.get(&other).map_or("?", |t| &t.name);
                    Some(format!("{} waits for the end of {other}", thread.name))
                }
                _ => None,
            })
            .collect();
        format!("nothing is left to happen: {}", waiting.join(", "))
    }
    fn set_state(&mut self, no: ThreadNo, state: State) {
        if let Some(thread) = self.threads.get_mut(&no) {
            thread.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }
    /// Hands the baton on and says to whom and why.
    fn turn(baton: &mut Baton) -> (u32, Wake) {
        let Turn::Of(no) = baton.next_turn() else {
            panic!("somebody is queued");
        };
        (no.0, baton.take_wake(no).expect("a reason"))
    }
    /// The outside joins the last of `n` threads, which all got their first turn and park in `pause`.
    fn parked(pauses: &[Pause]) -> Baton {
        let mut baton = Baton::new("main");
        let threads: Vec<_> = (0..pauses.len())
            .map(|i| baton.spawn(&format!("t{}", i + 1)))
            .collect();
        baton.park(
            ThreadNo::OUTSIDE,
            Pause::Join(*threads.last().expect("one")),
        );
        for (no, pause) in threads.into_iter().zip(pauses) {
            assert_eq!(turn(&mut baton), (no.0, Wake::Ready));
            baton.park(no, *pause);
        }
        assert_eq!(baton.next_turn(), Turn::Nobody);
        baton
    }

    #[test]
    fn nobody_runs_before_the_outside_waits() {
        let mut baton = Baton::new("main");
        let server = baton.spawn("server");
        assert_eq!(baton.next_turn(), Turn::Taken);
        assert!(!baton.holds(server));
        baton.park(ThreadNo::OUTSIDE, Pause::Join(server));
        assert_eq!(baton.next_turn(), Turn::Of(server));
        assert_eq!(baton.next_turn(), Turn::Taken, "one at a time");
    }

    #[test]
    fn threads_get_their_first_turn_in_the_order_of_spawning() {
        let mut baton = Baton::new("main");
        for name in ["a", "b", "c"] {
            baton.spawn(name);
        }
        baton.park(ThreadNo::OUTSIDE, Pause::Join(ThreadNo(3)));
        for no in 1..=3 {
            assert_eq!(turn(&mut baton), (no, Wake::Ready));
            baton.end(ThreadNo(no));
        }
        assert_eq!(turn(&mut baton), (0, Wake::Ready), "the join is over");
    }

    #[test]
    fn the_woken_run_in_the_order_of_waking() {
        let read = Pause::Verb("read", None);
        let mut baton = parked(&[read, read, read]);
        for no in [2, 3, 1] {
            baton.wake(ThreadNo(no), Wake::Ready);
        }
        for no in [2, 3, 1] {
            assert_eq!(turn(&mut baton), (no, Wake::Ready));
            baton.park(ThreadNo(no), read);
        }
    }

    #[test]
    fn waking_twice_gives_one_turn() {
        let mut baton = parked(&[Pause::Verb("read", Some(at(1)))]);
        baton.wake(ThreadNo(1), Wake::Ready);
        baton.wake(ThreadNo(1), Wake::TimedOut);
        assert_eq!(baton.deadline(), None, "its timer went with it");
        assert_eq!(turn(&mut baton), (1, Wake::Ready));
        baton.park(ThreadNo(1), Pause::Sleep(at(2)));
        assert_eq!(baton.next_turn(), Turn::Nobody);
    }

    #[test]
    fn timers_expire_by_time_and_then_by_number() {
        let mut baton = parked(&[
            Pause::Sleep(at(5)),
            Pause::Verb("read", Some(at(3))),
            Pause::Sleep(at(3)),
        ]);
        assert_eq!(baton.deadline(), Some(at(3)));
        baton.expire(at(2));
        assert!(!baton.is_anybody_queued());
        baton.expire(at(5));
        let order: Vec<_> = (0..3)
            .map(|_| {
                let (no, wake) = turn(&mut baton);
                assert_eq!(wake, Wake::TimedOut);
                baton.end(ThreadNo(no));
                no
            })
            .collect();
        assert_eq!(order, [2, 3, 1]);
    }

    #[test]
    fn when_nothing_is_left_every_verb_fails_and_the_sentence_names_them() {
        let mut baton = parked(&[Pause::Verb("accept", None), Pause::Verb("read", None)]);
        assert!(baton.nothing_left(None));
        let sentence = "nothing is left to happen: main waits for the end of t2, t1 waits in accept, t2 waits in read";
        assert_eq!(turn(&mut baton), (1, Wake::Nothing(sentence.into())));
        baton.end(ThreadNo(1));
        assert_eq!(turn(&mut baton), (2, Wake::Nothing(sentence.into())));
        baton.end(ThreadNo(2));
        assert_eq!(
            turn(&mut baton),
            (0, Wake::Ready),
            "the join itself did not fail"
        );
    }

    #[test]
    fn a_circle_of_joins_fails_as_a_last_resort() {
        let mut baton = parked(&[Pause::Join(ThreadNo(2)), Pause::Join(ThreadNo(1))]);
        assert!(baton.nothing_left(None));
        for no in [0, 1, 2] {
            let (who, wake) = turn(&mut baton);
            assert_eq!(who, no);
            assert!(matches!(wake, Wake::Nothing(_)));
            baton.park(ThreadNo(who), Pause::Sleep(at(9)));
        }
    }

    #[test]
    fn run_until_ends_alone_when_nothing_is_left() {
        let mut baton = Baton::new("main");
        let server = baton.spawn("server");
        baton.park(ThreadNo::OUTSIDE, Pause::RunUntil(at(7)));
        assert_eq!(turn(&mut baton), (1, Wake::Ready));
        baton.park(server, Pause::Verb("accept", None));
        assert_eq!(baton.limit(), Some(at(7)));
        assert!(baton.nothing_left(None));
        assert!(matches!(turn(&mut baton), (0, Wake::Nothing(_))));
        baton.park(ThreadNo::OUTSIDE, Pause::RunUntil(at(7)));
        assert_eq!(baton.next_turn(), Turn::Nobody, "the server still waits");
    }

    #[test]
    fn nobody_gets_a_turn_while_time_moves() {
        let mut baton = parked(&[Pause::Verb("read", None)]);
        baton.set_moving(true);
        baton.wake(ThreadNo(1), Wake::Ready);
        assert_eq!(baton.next_turn(), Turn::Taken);
        baton.set_moving(false);
        assert_eq!(turn(&mut baton), (1, Wake::Ready));
    }

    #[test]
    fn the_watchdog_sees_only_a_holder_on_whom_others_depend() {
        let mut baton = Baton::new("main");
        assert_eq!(baton.progress().1, None, "nobody else is there");
        baton.spawn("server");
        let (before, name) = baton.progress();
        assert_eq!(name.as_deref(), Some("main"));
        baton.touch();
        assert_ne!(baton.progress().0, before);
        baton.park(ThreadNo::OUTSIDE, Pause::Join(ThreadNo(1)));
        assert_eq!(baton.progress().1, None, "nobody holds it");
    }
}
