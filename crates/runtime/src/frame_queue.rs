//! Frames on their way from the lab to the sinks: in order, bounded, written by a thread of their own outside of the lock.
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use heptad_lab::FrameRecord;

use crate::FrameSink;

/// Most frames that wait; who makes more of them waits too, outside of the lab's lock.
pub(crate) const BOUND: usize = 65_536;
/// After this long without a frame the sinks are told to flush.
const IDLE: Duration = Duration::from_millis(100);

thread_local! {
    /// Whether this thread is the writer of a queue.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

#[derive(Default)]
struct State {
    batches: VecDeque<Vec<FrameRecord>>,
    frames: usize,
    over: bool,
    error: Option<String>,
}

/// The queue, shared by those who push and the one thread that writes.
#[derive(Default)]
pub(crate) struct FrameQueue {
    state: Mutex<State>,
    changed: Condvar,
}
impl FrameQueue {
    /// A queue and the thread that empties it into `sinks`.
    pub(crate) fn start(sinks: Vec<Box<dyn FrameSink>>) -> (Arc<Self>, thread::JoinHandle<()>) {
        let queue = Arc::new(Self::default());
        let reader = queue.clone();
        let writer = thread::Builder::new()
            .name("frame-writer".into())
            .spawn(move || reader.write_all(sinks))
            .expect("the system gives a thread to the frame writer");
        (queue, writer)
    }

    /// Appends frames; never waits (it is called under the lab's lock).
    pub(crate) fn push(&self, frames: Vec<FrameRecord>) {
        if frames.is_empty() {
            return;
        }
        let mut state = self.lock();
        if !state.over {
            state.frames += frames.len();
            state.batches.push_back(frames);
            self.changed.notify_all();
        }
    }

    /// Whether the bound is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().frames >= BOUND
    }
    /// Waits until there is room (outside of the lab's lock). The writer itself never waits.
    pub(crate) fn wait_for_room(&self) {
        let mut state = self.lock();
        while state.frames >= BOUND && !state.over && !WRITES.get() {
            state = self.wait(state);
        }
    }

    /// Nothing more comes.
    pub(crate) fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }
    /// The first error of a sink.
    pub(crate) fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    fn write_all(&self, sinks: Vec<Box<dyn FrameSink>>) {
        WRITES.set(true);
        let mut sinks: Vec<Option<Box<dyn FrameSink>>> = sinks.into_iter().map(Some).collect();
        let mut dirty = false;
        while let Some(batches) = self.next(dirty) {
            dirty = !batches.is_empty();
            for sink in &mut sinks {
                self.give(sink, &batches);
            }
            let written: usize = batches.iter().map(Vec::len).sum();
            self.lock().frames -= written;
            self.changed.notify_all();
        }
        for mut sink in sinks.into_iter().flatten() {
            let result = sink.finish();
            self.keep(result);
        }
    }
    /// Everything that waits; empty when nothing came for a moment; `None` at the end.
    fn next(&self, dirty: bool) -> Option<VecDeque<Vec<FrameRecord>>> {
        let mut state = self.lock();
        while state.batches.is_empty() {
            if state.over {
                return None;
            }
            if !dirty {
                state = self.wait(state);
                continue;
            }
            let (again, timeout) = self
                .changed
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
            if timeout.timed_out() && state.batches.is_empty() && !state.over {
                return Some(VecDeque::new());
            }
        }
        Some(std::mem::take(&mut state.batches))
    }
    /// Gives a sink its frames (none: it may flush); after an error it gets no more.
    fn give(&self, slot: &mut Option<Box<dyn FrameSink>>, batches: &VecDeque<Vec<FrameRecord>>) {
        let Some(sink) = slot else { return };
        let result = if batches.is_empty() {
            sink.idle()
        } else {
            batches.iter().try_for_each(|frames| sink.frames(frames))
        };
        if result.is_err() {
            *slot = None;
        }
        self.keep(result);
    }
    fn keep(&self, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.lock().error.get_or_insert_with(|| error.to_string());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{self, Sender};

    use heptad_lab::{MachineId, Moment};
    use heptad_stack::Instant;
    use heptad_stack::wire::PacketId;

    use super::*;

    fn frame(nanos: u64) -> FrameRecord {
        FrameRecord {
            at: Instant::from_nanos(nanos),
            machine: MachineId(0),
            interface: 0,
            moment: Moment::Sent,
            id: PacketId::new(0, nanos),
            note: None,
            bytes: Vec::new(),
        }
    }

    #[derive(Debug, PartialEq)]
    enum Seen {
        Frame(u64),
        Idle,
        Finished,
    }
    struct Recorder {
        seen: Sender<Seen>,
        fails_at: u64,
    }
    impl FrameSink for Recorder {
        fn frames(&mut self, frames: &[FrameRecord]) -> io::Result<()> {
            for frame in frames {
                if frame.at.as_nanos() == self.fails_at {
                    return Err(io::Error::other("disk full"));
                }
                let _ = self.seen.send(Seen::Frame(frame.at.as_nanos()));
            }
            Ok(())
        }
        fn idle(&mut self) -> io::Result<()> {
            let _ = self.seen.send(Seen::Idle);
            Ok(())
        }
        fn finish(&mut self) -> io::Result<()> {
            let _ = self.seen.send(Seen::Finished);
            Ok(())
        }
    }
    fn recorder(fails_at: u64) -> (Vec<Box<dyn FrameSink>>, mpsc::Receiver<Seen>) {
        let (seen, received) = mpsc::channel();
        (vec![Box::new(Recorder { seen, fails_at })], received)
    }

    #[test]
    fn frames_arrive_in_order_and_the_sink_is_finished() {
        let (sinks, seen) = recorder(u64::MAX);
        let (queue, writer) = FrameQueue::start(sinks);
        for nanos in 0..10 {
            queue.push(vec![frame(2 * nanos), frame(2 * nanos + 1)]);
        }
        queue.end();
        writer.join().expect("the writer ends");
        let mut seen: Vec<_> = seen.into_iter().collect();
        assert_eq!(seen.pop(), Some(Seen::Finished));
        seen.retain(|what| *what != Seen::Idle);
        let expected: Vec<_> = (0..20).map(Seen::Frame).collect();
        assert_eq!(seen, expected);
        assert_eq!(queue.error(), None);
    }

    #[test]
    fn a_pause_lets_the_sink_flush() {
        let (sinks, seen) = recorder(u64::MAX);
        let (queue, writer) = FrameQueue::start(sinks);
        queue.push(vec![frame(1)]);
        assert_eq!(seen.recv(), Ok(Seen::Frame(1)));
        assert_eq!(seen.recv(), Ok(Seen::Idle));
        queue.end();
        writer.join().expect("the writer ends");
    }

    #[test]
    fn the_first_error_is_kept_and_ends_that_sink_only() {
        let (mut sinks, broken) = recorder(1);
        let (more, healthy) = recorder(u64::MAX);
        sinks.extend(more);
        let (queue, writer) = FrameQueue::start(sinks);
        for nanos in 0..4 {
            queue.push(vec![frame(nanos)]);
        }
        queue.end();
        writer.join().expect("the writer ends");
        assert_eq!(queue.error().as_deref(), Some("disk full"));
        let count = |seen: mpsc::Receiver<Seen>| {
            seen.into_iter()
                .filter(|what| matches!(what, Seen::Frame(_)))
                .count()
        };
        assert_eq!(count(broken), 1);
        assert_eq!(count(healthy), 4);
    }

    #[test]
    fn a_full_queue_lets_its_makers_wait_and_goes_on_when_written() {
        struct Slow(mpsc::Receiver<()>);
        impl FrameSink for Slow {
            fn frames(&mut self, _: &[FrameRecord]) -> io::Result<()> {
                self.0.recv().map_err(io::Error::other)
            }
        }
        let (go, gate) = mpsc::channel();
        let (queue, writer) = FrameQueue::start(vec![Box::new(Slow(gate))]);
        queue.push((0..BOUND as u64).map(frame).collect());
        assert!(queue.is_full());
        go.send(()).expect("the sink listens");
        queue.wait_for_room();
        assert!(!queue.is_full());
        queue.end();
        writer.join().expect("the writer ends");
    }
}
