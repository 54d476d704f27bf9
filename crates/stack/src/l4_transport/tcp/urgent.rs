//! Urgent data (RFC 9293 3.8.5, RFC 6093): one byte beside the stream, as programs have known it since BSD. The pointer of a segment
//! leads to the byte behind it, as everybody reads it.
use bytes::Bytes;
use heptad_wire::Chunk;
use heptad_wire::tcp::Flags;

use super::segment::{Outgoing, Segment};
use super::seq::SeqNum;
use super::tcb::Tcb;
use super::{Conn, ConnId, Tcp};
use crate::Cx;
use crate::l4_transport::readiness::SocketError;

/// What a connection knows of urgent data, in both directions.
#[derive(Debug, Default)]
pub struct Urgent {
    /// SND.UP: behind the last byte that is urgent.
    up: Option<SeqNum>,
    /// Where the peer's is.
    mark: Option<Mark>,
}
/// The peer's last urgent byte.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Bytes of the stream that the program reads before it.
    ahead: u32,
    byte: Beside,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// The pointer came before its byte.
    Awaited,
    Here(u8),
    /// The program has it.
    Taken,
}

impl Tcb {
    fn mark(&self) -> Option<Mark> {
        self.busy.as_deref()?.urgent.as_deref()?.mark
    }
    fn set_mark(&mut self, mark: Option<Mark>) {
        self.busy().urgent.get_or_insert_default().mark = mark;
    }
    /// The byte at the mark is no part of the stream (unless SO_OOBINLINE says so), and the program's next read begins there.
    fn skips(&self) -> bool {
        let at_front = self.mark().is_some_and(|mark| mark.ahead == 0);
        at_front && !self.ep.options.oob_inline && self.rcv.queued() > 0
    }

    // ── what comes ───────────────────────────────────────────────────────────────────────────────────────────────

    /// Sixth: the URG bit.
    pub fn hear_urgent(&mut self, seg: &Segment) {
        if !self.ep.state.may_receive() {
            return;
        }
        if seg.has(Flags::URG) {
            self.hear_pointer(seg);
        }
        let Some(mark) = self.mark().filter(|mark| mark.byte == Beside::Awaited) else {
            return;
        };
        let at = self.front() + mark.ahead;
        if at.at_or_after(seg.seq)
            && let Some(byte) = byte_at(&seg.text, at.since(seg.seq))
        {
            let byte = Beside::Here(byte);
            self.set_mark(Some(Mark { byte, ..mark }));
            self.ep.notify = true;
        }
    }
    /// A pointer counts if it leads on from the last one, to what has not come (as Linux).
    //= rfc9293#3.8.5
    //# A TCP implementation MUST inform the application layer asynchronously whenever it receives an urgent pointer and there was previously no pending urgent data, or whenever the urgent pointer advances in the data stream
    fn hear_pointer(&mut self, seg: &Segment) {
        let at = seg.seq + u32::from(seg.urgent.saturating_sub(1));
        let known = self.mark().map(|mark| self.front() + mark.ahead);
        if at.before(self.rcv.nxt) || known.is_some_and(|known| !at.after(known)) {
            return;
        }
        // What the program may have had beside the stream does not come in it either.
        if self.skips() {
            self.rcv.read_bytes(1);
        }
        let ahead = at.since(self.front());
        let byte = Beside::Awaited;
        self.set_mark(Some(Mark { ahead, byte }));
        self.ep.notify = true;
    }
    /// The sequence number of the first byte that the program has not read.
    fn front(&self) -> SeqNum {
        self.rcv.nxt - self.rcv.queued()
    }

    // ── what the program reads ───────────────────────────────────────────────────────────────────────────────────

    /// Bytes that a read finds.
    pub fn readable(&self) -> u32 {
        self.rcv.queued() - u32::from(self.skips())
    }
    /// Whether an urgent byte waits (POLLPRI).
    pub fn has_urgent(&self) -> bool {
        self.mark()
            .is_some_and(|mark| matches!(mark.byte, Beside::Here(_)))
    }
    /// Whether the next read begins at the mark (SIOCATMARK).
    pub fn is_at_mark(&self) -> bool {
        self.mark().is_some_and(|mark| mark.ahead == 0)
    }
    /// A read ends before the mark, and the one after it begins behind: how many of `len` bytes it may have.
    fn up_to_mark(&self, len: usize) -> usize {
        match self.mark() {
            Some(mark) if mark.ahead > 0 => len.min(mark.ahead as usize),
            _ => len,
        }
    }
    /// The program reads on from the mark.
    fn pass_mark(&mut self) {
        if !self.is_at_mark() {
            return;
        }
        if self.skips() {
            self.rcv.read_bytes(1);
        }
        self.set_mark(None);
    }
    fn advance_to_mark(&mut self, read: usize) {
        if let Some(mark) = self.mark() {
            let ahead = mark.ahead.saturating_sub(read as u32);
            self.set_mark(Some(Mark { ahead, ..mark }));
        }
    }
    /// Copies what is in order; `peek`: and leaves it there.
    pub fn read(&mut self, out: &mut [u8], peek: bool) -> usize {
        let most = self.up_to_mark(out.len());
        let (out, _) = out.split_at_mut(most);
        if peek {
            return self.rcv.peek(usize::from(self.skips()), out);
        }
        self.pass_mark();
        let n = self.rcv.read(out);
        self.advance_to_mark(n);
        n
    }
    /// The same without a copy.
    pub fn read_bytes(&mut self, max: usize) -> Bytes {
        let most = self.up_to_mark(max);
        self.pass_mark();
        let bytes = self.rcv.read_bytes(most).unwrap_or_default();
        self.advance_to_mark(bytes.len());
        bytes
    }

    // ── what leaves ──────────────────────────────────────────────────────────────────────────────────────────────

    fn up(&self) -> Option<SeqNum> {
        let up = self.busy.as_deref()?.urgent.as_deref()?.up;
        up.filter(|up| up.after(self.snd.una))
    }
    /// Urgent data is not yet acknowledged.
    pub fn is_urgent(&self) -> bool {
        self.up().is_some()
    }
    /// Each segment before the end of urgent data points to it, text or not.
    //= rfc9293#3.8.5
    //# The urgent pointer MUST point to the sequence number of the octet following the urgent data
    pub fn point(&self, out: &mut Outgoing) {
        if let Some(up) = self.up().filter(|up| up.after(out.seq)) {
            out.flags = out.flags | Flags::URG;
            out.urgent = u16::try_from(up.since(out.seq)).unwrap_or(u16::MAX);
        }
    }
    /// SND.UNA moved: an end that is far behind must not be taken for one far ahead.
    pub fn forget_urgent(&mut self) {
        let up = self.up();
        if let Some(urgent) = self
            .busy
            .as_deref_mut()
            .and_then(|b| b.urgent.as_deref_mut())
        {
            urgent.up = up;
        }
    }
}

fn byte_at(text: &[Chunk], mut offset: u32) -> Option<u8> {
    for chunk in text {
        match chunk.bytes().get(offset as usize) {
            Some(byte) => return Some(*byte),
            None => offset -= chunk.len() as u32,
        }
    }
    None
}

impl Tcp {
    /// As `send`; the last byte that is taken is urgent (MSG_OOB).
    pub fn send_urgent(
        &mut self,
        id: ConnId,
        data: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<usize, SocketError> {
        let taken = self.send(id, data, cx)?;
        if let Some(Conn::Open(tcb)) = self.conn_mut(id).filter(|_| taken > 0) {
            let end = tcb.text_end();
            tcb.busy().urgent.get_or_insert_default().up = Some(end);
            self.settle(id, cx);
        }
        Ok(taken)
    }
    /// The urgent byte; `None`: none will come. `Invalid` where nothing is urgent, or it is in the stream, or was taken already;
    /// `WouldBlock` while only its pointer is here.
    pub fn recv_urgent(
        &mut self,
        id: ConnId,
        peek: bool,
        cx: &mut Cx<'_>,
    ) -> Result<Option<u8>, SocketError> {
        let tcb = match self.conn_mut(id).ok_or(SocketError::BadSocket)? {
            Conn::Open(tcb) => tcb,
            Conn::Opening(_) => return Err(SocketError::Invalid),
        };
        let over = !tcb.ep.state.may_receive() || tcb.read_shut;
        let mark = tcb.mark().filter(|_| !tcb.ep.options.oob_inline);
        let mark = mark.ok_or(SocketError::Invalid)?;
        match mark.byte {
            Beside::Taken => Err(SocketError::Invalid),
            Beside::Awaited if over => Ok(None),
            Beside::Awaited => Err(SocketError::WouldBlock),
            Beside::Here(byte) => {
                if !peek {
                    let byte = Beside::Taken;
                    tcb.set_mark(Some(Mark { byte, ..mark }));
                    self.settle(id, cx);
                }
                Ok(Some(byte))
            }
        }
    }
    /// Whether the next read begins at the urgent mark (SIOCATMARK).
    pub fn is_at_mark(&self, id: ConnId) -> bool {
        matches!(self.conn(id), Some(Conn::Open(tcb)) if tcb.is_at_mark())
    }
}
