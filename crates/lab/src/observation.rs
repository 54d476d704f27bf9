//! Watching without touching: records of frames and the event hash, both from a copy cut and filled on the side.
use std::collections::VecDeque;

use heptad_stack::wire::{PacketBuf, PacketId, Pool};
use heptad_stack::{DropReason, Event, Instant};
use sha2::{Digest, Sha256};

use crate::frames::{FrameRecord, Moment};
use crate::notes::Notes;
use crate::{EventHash, MachineId};

/// Most bytes of records held until somebody takes them; then the oldest go.
const BOUND: usize = 256 << 20;
/// What a record costs beside its frame.
const RECORD: usize = 128;
/// Origin of the pool for copies: no machine and no cable has it.
const COPIES: u32 = 0xff_ffff;

/// One frame as a watcher sees it.
pub(crate) struct Copy {
    id: PacketId,
    bytes: Vec<u8>,
}

/// Where a frame was seen.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub at: Instant,
    pub machine: MachineId,
    pub interface: u32,
}

/// Which way of which cable, for the hash.
#[derive(Clone, Copy)]
pub(crate) struct Direction {
    pub link: u32,
    pub backward: bool,
}

pub(crate) struct Observation {
    records: Option<VecDeque<FrameRecord>>,
    notes: Notes,
    held: usize,
    lost: u64,
    hash: Option<Sha256>,
    pool: Pool,
}
impl Observation {
    pub fn new(observe: bool, event_hash: bool) -> Self {
        Self {
            records: observe.then(VecDeque::new),
            notes: Notes::default(),
            held: 0,
            lost: 0,
            hash: event_hash.then(Sha256::new),
            pool: Pool::new(COPIES),
        }
    }
    /// Records from now on, or no more; what was not taken is gone then.
    pub fn set_recording(&mut self, on: bool) {
        self.records = on.then(VecDeque::new);
        self.notes = Notes::default();
        self.held = 0;
    }
    /// Whether frames are recorded.
    pub fn is_recording(&self) -> bool {
        self.records.is_some()
    }
    /// The frames of a packet once cut and filled; none when nobody looks.
    pub fn copy(&mut self, packet: &PacketBuf) -> Vec<Copy> {
        if self.records.is_none() && self.hash.is_none() {
            return Vec::new();
        }
        if packet.cut_plan().is_none() {
            return vec![Copy::of(packet)];
        }
        let frames: Vec<_> = packet.duplicate().cut(&mut self.pool).collect();
        let copies = frames.iter().map(Copy::of).collect();
        for frame in frames {
            self.pool.recycle(frame);
        }
        copies
    }
    /// A machine tells of something that frames' records are to say.
    pub fn hear(&mut self, machine: MachineId, event: &Event) {
        if self.is_recording() {
            self.notes.hear(machine, event);
        }
    }
    fn note(&mut self, place: Place, copies: &[Copy]) -> Option<String> {
        let first = copies.first().filter(|_| self.records.is_some())?;
        self.notes.of(place.machine, first.id)
    }
    /// A packet left a port and is under way.
    pub fn sent(&mut self, place: Place, copies: Vec<Copy>) {
        let note = self.note(place, &copies);
        self.record(place, Moment::Sent, note, copies);
    }
    /// A packet left a port and is lost.
    pub fn lost(
        &mut self,
        place: Place,
        way: Direction,
        cause: &str,
        note: Option<String>,
        copies: Vec<Copy>,
    ) {
        let kind = cause.split([':', ' ']).next().unwrap_or(cause);
        self.hash(place.at, way, &format!("lost {kind}"), &copies);
        let note = note.or_else(|| self.note(place, &copies));
        self.record(place, Moment::Lost(cause.to_owned()), note, copies);
    }
    /// A packet arrived.
    pub fn received(
        &mut self,
        place: Place,
        way: Direction,
        verdict: Result<(), DropReason>,
        note: Option<String>,
        copies: Vec<Copy>,
    ) {
        self.hash(
            place.at,
            way,
            verdict.map_or_else(DropReason::name, |()| "ok"),
            &copies,
        );
        self.record(place, Moment::Received(verdict), note, copies);
    }
    /// A machine discarded a packet that it had taken.
    pub fn dropped_later(&mut self, place: Place, id: PacketId, reason: DropReason) {
        let nothing = Copy {
            id,
            bytes: Vec::new(),
        };
        self.record(place, Moment::DroppedLater(reason), None, vec![nothing]);
    }
    /// The hash so far.
    pub fn event_hash(&self) -> Option<EventHash> {
        self.hash
            .as_ref()
            .map(|hash| EventHash(hash.clone().finalize().into()))
    }
    /// Takes the records.
    pub fn take(&mut self) -> Vec<FrameRecord> {
        self.held = 0;
        self.records
            .as_mut()
            .map(core::mem::take)
            .unwrap_or_default()
            .into()
    }
    /// Records that went because nobody took them.
    pub fn lost_records(&self) -> u64 {
        self.lost
    }
    fn hash(&mut self, at: Instant, way: Direction, verdict: &str, copies: &[Copy]) {
        let Some(hash) = &mut self.hash else { return };
        for copy in copies {
            hash.update(at.as_nanos().to_le_bytes());
            hash.update(way.link.to_le_bytes());
            hash.update([u8::from(way.backward)]);
            hash.update(copy.id.as_u64().to_le_bytes());
            for part in [verdict.as_bytes(), &copy.bytes] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
    }
    fn record(&mut self, place: Place, moment: Moment, note: Option<String>, copies: Vec<Copy>) {
        let Some(records) = &mut self.records else {
            return;
        };
        for Copy { id, bytes } in copies {
            self.held += bytes.len() + RECORD;
            records.push_back(FrameRecord {
                at: place.at,
                machine: place.machine,
                interface: place.interface,
                moment: moment.clone(),
                id,
                note: note.clone(),
                bytes,
            });
        }
        while self.held > BOUND {
            let Some(oldest) = records.pop_front() else {
                break;
            };
            self.held = self.held.saturating_sub(oldest.bytes.len() + RECORD);
            self.lost += 1;
        }
    }
}
impl Copy {
    fn of(frame: &PacketBuf) -> Self {
        let mut bytes = Vec::with_capacity(frame.len());
        frame.write_to(&mut bytes);
        Self {
            id: frame.id(),
            bytes,
        }
    }
}
