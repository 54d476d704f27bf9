//! Counters (RFC 9768): the receiver repeats how many packets came marked (three bits of them in each header) and how many octets
//! came with which codepoint (an option), and the sender takes from them what is new.
use heptad_wire::tcp::{EcnCounters, Flags, TcpOption, TcpOptions};

use super::super::info::EcnInfo;
use super::super::segment::{Outgoing, Segment};
use super::super::tcb::Tcb;
use super::greeting::{Greeting, ace, ace_of, codepoint_of, flags};
use super::{Codepoint, ECT0, Feedback, Told};

/// The packets that a fresh connection has counted already, so that a field of zeros is no count (RFC 9768 3.2.1).
const FIRST_PACKETS: u32 = 5;
/// The same of octets: ECT(0), CE, ECT(1).
const FIRST_OCTETS: [u32; 3] = [1, 0, 1];
/// Where CE stands among them.
const CE: usize = 1;
/// What the three bits of a header count to.
const ACE_MASK: u32 = 7;
/// What a field of the option counts to.
const FIELD_MASK: u32 = (1 << 24) - 1;
/// Segments of a client that carry the option whatever came: the end of the handshake and the first text (3.2.3.2.1).
const INTRODUCTIONS: u8 = 2;
/// Bytes of the option with all its fields, padded.
const LONGEST: usize = 12;
/// Bytes of a header's options.
const MOST_OPTIONS: usize = 40;

/// What came: at the receiver, or at the peer as far as it has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// Packets with CE.
    packets: u32,
    /// Octets of text with ECT(0), CE and ECT(1).
    octets: [u32; 3],
}
impl Counts {
    const FRESH: Self = Self {
        packets: FIRST_PACKETS,
        octets: FIRST_OCTETS,
    };
}

/// What a connection remembers of both directions.
#[derive(Debug)]
pub struct Accurate {
    /// What came here: r.cep, r.e0b, r.ceb, r.e1b.
    came: Counts,
    /// What came at the peer: s.cep, s.e0b, s.ceb, s.e1b.
    arrived: Counts,
    /// The octets that an option last told.
    told: [u32; 3],
    /// The last packet was marked.
    marked: bool,
    /// Marks since the last ACK.
    pending: u32,
    /// How the peer's SYN,ACK arrived, while the ACK that says so is owed.
    answer: Option<Codepoint>,
    /// Options that leave whatever came.
    introductions: u8,
    /// The peer has not yet told anything; a server's first ACK may say how its SYN,ACK arrived.
    unheard: Option<Side>,
    /// Our text may be marked.
    marks: bool,
    /// What the peer tells is believed.
    heeds: bool,
    /// The peer's option is believed.
    reads: bool,
    /// Our option gets through, as far as is known.
    writes: bool,
    /// The peer's option came.
    saw_option: bool,
}

/// Who began the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Accurate {
    /// After the SYNs. Whoever hears that its own arrived changed does not let its text be marked (3.2.2.3).
    fn new(greeting: &Greeting) -> Self {
        let client = greeting.ours.is_some();
        let mut came = Counts::FRESH;
        //= rfc9768#3.2.2.2
        //# If a TCP Client in AccECN mode receives a CE mark in the IP-ECN field of a SYN/ACK, it MUST increment r.cep, but no more than once
        came.packets += u32::from(client && greeting.theirs == Codepoint::Ce);
        let whole = greeting.ours.is_none_or(|ours| ours == Codepoint::NotEct);
        Self {
            came,
            arrived: Counts::FRESH,
            told: FIRST_OCTETS,
            marked: false,
            pending: 0,
            answer: client.then_some(greeting.theirs),
            introductions: if client { INTRODUCTIONS } else { 0 },
            unheard: Some(if client { Side::Client } else { Side::Server }),
            //= rfc9768#3.1.5
            //# MUST NOT set ECT on any packet for the rest of the connection, if it has received or sent at least one valid SYN or Acceptable SYN/ACK with (AE,CWR,ECE) = (0,0,0) during the handshake
            marks: whole && !greeting.plain,
            heeds: true,
            reads: true,
            writes: true,
            saw_option: false,
        }
    }
    /// Whether anything of the peer's came with another codepoint than Not-ECT.
    pub fn has_seen_any(&self) -> bool {
        self.came != Counts::FRESH
    }
    /// As TCP_INFO tells it.
    fn info(&self) -> EcnInfo {
        let octets = |counts: &Counts| {
            let [ect0, ce, ect1] = counts.octets;
            [ect1.wrapping_sub(1), ect0.wrapping_sub(1), ce]
        };
        EcnInfo {
            received_ce: self.came.packets.wrapping_sub(FIRST_PACKETS),
            delivered: octets(&self.arrived),
            received: octets(&self.came),
            mode: 2,
            opt_seen: match (self.saw_option, self.reads) {
                (false, _) => 0,
                (true, true) => 2,
                (true, false) => 3,
            },
            fail_mode: u8::from(!self.heeds) << 1
                | u8::from(!self.writes) << 2
                | u8::from(!self.reads) << 3,
        }
    }
    /// The counters as an option tells them: those that ever changed, or all, as many as `room` bytes hold with padding.
    fn option(&self, all: bool, room: usize) -> Option<EcnCounters> {
        let octets = self.came.octets;
        let changed = |i: usize| octets[i] != FIRST_OCTETS[i];
        let ect1_first = changed(2) && !changed(0);
        let order = if ect1_first { [2, CE, 0] } else { [0, CE, 2] };
        let needed = order.iter().rposition(|&i| changed(i)).map_or(0, |i| i + 1);
        let most = if all { order.len() } else { needed };
        let fits = |n: &usize| (2 + 3 * n).next_multiple_of(4) <= room;
        let n = (needed..=most).rev().find(fits)?;
        let fields = order.map(|i| octets[i]);
        Some(EcnCounters::new(ect1_first, &fields[..n]))
    }
    fn owes_option(&self) -> bool {
        self.writes && (self.introductions > 0 || self.told != self.came.octets)
    }
    /// Takes in what an option says: the octets that came marked at the peer since the last one.
    fn read(&mut self, counters: &EcnCounters) -> Option<u32> {
        let octets = counters.octets();
        let zeroed = |i: usize| octets[i] == Some(0);
        // Where a counter began at one, nothing counts from zero at first (3.2.3.2.4).
        if !self.saw_option && (zeroed(0) || zeroed(2)) {
            self.reads = false;
        }
        self.saw_option = true;
        if !self.reads {
            return None;
        }
        let mut marked = octets[CE].map(|_| 0);
        for (i, field) in octets.into_iter().enumerate() {
            let Some(field) = field else { continue };
            let known = &mut self.arrived.octets[i];
            let more = field.wrapping_sub(*known) & FIELD_MASK;
            *known = known.wrapping_add(more);
            if i == CE {
                marked = Some(more);
            }
        }
        marked
    }
    /// A server's first ACK says how its SYN,ACK arrived (3.2.2.1, table 4). Whether that was marked.
    fn hear_answer(&mut self, ace: u8) -> bool {
        let arrived = codepoint_of(ace);
        if ace == 0 {
            self.heeds = false;
        }
        self.marks &= ace != 0 && arrived == Codepoint::NotEct;
        let marked = arrived == Codepoint::Ce;
        self.arrived.packets += u32::from(marked);
        marked
    }
    /// A codepoint came with `frames` packets and `octets` of text. Whether an ACK is to leave at once (3.2.2.5.1).
    fn hear(&mut self, codepoint: Codepoint, frames: u32, octets: u32, owed: bool) -> bool {
        let place = match codepoint {
            Codepoint::NotEct => None,
            Codepoint::Ect0 => Some(0),
            Codepoint::Ce => Some(CE),
            Codepoint::Ect1 => Some(2),
        };
        if let Some(i) = place {
            let sum = &mut self.came.octets[i];
            *sum = sum.wrapping_add(octets);
        }
        let marked = codepoint == Codepoint::Ce;
        let changes = marked && !self.marked && octets > 0;
        self.marked = marked;
        if !marked {
            return false;
        }
        self.came.packets = self.came.packets.wrapping_add(frames);
        self.pending = self.pending.saturating_add(frames);
        let most = if owed || octets > 0 { 2 } else { 3 };
        changes || self.pending >= most
    }
}

/// How many packets came marked, of `packets` that an ACK acknowledges, where three bits say `least` and an option that so many
/// `octets` of text were. Where neither is sure, as many as can be (3.2.2.5.2, appendix A.2).
fn newly_marked(least: u32, packets: u32, octets: Option<u32>, mss: u32) -> u32 {
    if packets <= ACE_MASK {
        return least;
    }
    let most = packets - (packets.wrapping_sub(least) & ACE_MASK);
    let Some(octets) = octets else {
        return most.max(least);
    };
    // The least count of that remainder that makes so many octets.
    let segments = octets.div_ceil(mss.max(1));
    let wraps = segments.saturating_sub(least).div_ceil(ACE_MASK + 1);
    (least + wraps * (ACE_MASK + 1)).min(most.max(least))
}

/// Writes an option as far as there is room, with what pads it.
fn push(options: &mut TcpOptions, counters: EcnCounters) {
    options.push(TcpOption::AccEcn(counters));
    while !options.as_bytes().len().is_multiple_of(4) {
        options.push(TcpOption::Nop);
    }
}

/// The option of a server's first SYN,ACK, where other options leave room.
//= rfc9768#3.2.3.2.1
//# A TCP Server that confirms its support for AccECN ... SHOULD include an AccECN TCP Option on the SYN/ACK.
pub fn introduce(out: &mut Outgoing, feedback: Feedback) {
    if feedback != Feedback::Accurate {
        return;
    }
    let used = out.options.as_bytes().len().next_multiple_of(4);
    let fresh = Accurate::new(&Greeting::default());
    if let Some(counters) = fresh.option(true, MOST_OPTIONS - used) {
        push(&mut out.options, counters);
    }
}

impl Tcb {
    /// What is remembered, where this way was agreed on.
    pub fn accurate(&self) -> Option<&Accurate> {
        self.busy.as_deref()?.accurate.as_deref()
    }
    /// What TCP_INFO tells.
    pub fn ecn_info(&self) -> EcnInfo {
        match self.accurate() {
            Some(accurate) => accurate.info(),
            None => EcnInfo {
                mode: u8::from(self.agreed.ecn == Feedback::Classic),
                ..EcnInfo::default()
            },
        }
    }
    /// A server's SYN,ACK left without any flag.
    pub fn note_plain_answer(&mut self) {
        if let Some(accurate) = self.accurate_mut() {
            accurate.marks = false;
        }
    }
    fn accurate_mut(&mut self) -> Option<&mut Accurate> {
        self.busy.as_deref_mut()?.accurate.as_deref_mut()
    }
    /// After the SYNs.
    pub fn begin_to_count(&mut self, greeting: &Greeting, syn_ack: Option<&Segment>) {
        if self.agreed.ecn != Feedback::Accurate {
            return;
        }
        let mut accurate = Accurate::new(greeting);
        if let Some(counters) = syn_ack.and_then(|seg| seg.options.counters) {
            accurate.read(&counters);
        }
        self.busy().accurate = Some(accurate.into());
        if greeting.ours == Some(Codepoint::Ce) {
            self.begin_with_one_segment();
        }
    }
    /// Our SYN or SYN,ACK met congestion: as if it had been lost (RFC 5681 3.1).
    fn begin_with_one_segment(&mut self) {
        self.window.cwnd = self.window.mss;
    }
    /// The peer's SYN,ACK came again: the ACK says again how. One with other numbers is not the peer's, and what it said would be
    /// read as marks.
    pub fn answer_again(&mut self, seg: &Segment) {
        let first = self.rcv.nxt - self.rcv.bytes() as u32;
        if seg.seq + 1 != first || seg.ack != self.snd.iss + 1 {
            return;
        }
        let Some(accurate) = self.accurate_mut() else {
            return;
        };
        if seg.has(Flags::ACK) && ace(seg) != 0 {
            accurate.answer = Some(seg.codepoint);
        }
    }
    /// Whether the ACK of a SYN,ACK is to leave before any text: only alone it can say how that arrived.
    //= rfc9768#3.2.2.1
    //# If an AccECN TCP Client intends to acknowledge the SYN/ACK with a packet that does not satisfy these conditions ... it SHOULD first send a pure ACK that does satisfy these conditions
    pub fn owes_answer(&self) -> bool {
        self.ack.is_due() && self.accurate().is_some_and(|a| a.answer.is_some())
    }
    /// A packet that was accepted came.
    pub fn count_codepoint(&mut self, seg: &Segment) {
        let owed = self.ack.is_owed();
        // a SYN,ACK was counted when the connection began
        if let Some(accurate) = self.accurate_mut().filter(|_| !seg.plain_window)
            && accurate.hear(seg.codepoint, seg.frames, seg.text_len, owed)
        {
            self.ack.now();
        }
    }
    /// What the three bits of each segment say.
    pub fn feedback(&self) -> Flags {
        match self.accurate() {
            None => self.echo(),
            Some(accurate) => flags((accurate.came.packets & ACE_MASK) as u8),
        }
    }
    /// An ACK without text and without SACK blocks may be the one that answers a SYN,ACK.
    pub fn answer_syn_ack(&mut self, out: &mut Outgoing) {
        let is_sack = |option| matches!(option, Ok(TcpOption::Sack(_)));
        let sack = out.options.iter().any(is_sack);
        if let Some(accurate) = self.accurate_mut().filter(|_| !sack)
            && let Some(theirs) = accurate.answer.take()
        {
            out.flags = out.flags.without(flags(ACE_MASK as u8)) | flags(ace_of(theirs));
        }
    }
    /// Most bytes that the option takes of the next segment.
    pub fn counters_len(&self) -> u16 {
        match self.accurate() {
            Some(accurate) if accurate.owes_option() => LONGEST as u16,
            _ => 0,
        }
    }
    /// Writes the option where it is owed and there is room, and notes that marks were told.
    pub fn tell_counters(&mut self, options: &mut TcpOptions) {
        let Some(accurate) = self.accurate_mut() else {
            return;
        };
        accurate.pending = 0;
        if !accurate.owes_option() {
            return;
        }
        let room = MOST_OPTIONS.saturating_sub(options.as_bytes().len());
        let all = accurate.introductions > 0;
        if let Some(counters) = accurate.option(all, room) {
            push(options, counters);
            accurate.told = accurate.came.octets;
            accurate.introductions = accurate.introductions.saturating_sub(1);
        }
    }
    /// The first text timed out: perhaps something on the way drops the option that it carries.
    //= rfc9768#3.2.3.2.2
    //# If the TCP Client detects that the first data segment it sent with an AccECN Option was lost ... it SHOULD fall back to no AccECN Option on the retransmission
    pub fn suspect_option(&mut self) {
        if self.snd.una == self.snd.iss + 1
            && let Some(accurate) = self.accurate_mut()
        {
            accurate.writes = false;
        }
    }
    /// New text leaves: it may be marked, unless marks were seen to be mangled.
    pub(super) fn mark_if_sound(&mut self, out: &mut Outgoing) {
        if self.accurate().is_some_and(|accurate| accurate.marks) {
            out.tos |= ECT0;
        }
    }
    /// What the counters of an ACK add to those before.
    pub(super) fn told_by_counters(&mut self, seg: &Segment, packets: u32, fresh: bool) -> Told {
        let mss = self.mss();
        let Some(accurate) = self.accurate_mut() else {
            return Told::default();
        };
        // it was read with its SYN
        if seg.plain_window {
            return Told::default();
        }
        let ace = ace(seg);
        let alone = seg.text_len == 0 && seg.options.sack.as_slice().is_empty();
        let counters = seg.options.counters;
        if accurate.unheard == Some(Side::Server) && alone {
            accurate.unheard = None;
            counters.map(|counters| accurate.read(&counters));
            let marked = accurate.hear_answer(ace);
            if marked {
                self.begin_with_one_segment();
            }
            return Told {
                congestion: false,
                marked: marked.into(),
            };
        }
        if !fresh {
            return Told::default();
        }
        // Three bits of zeros at first are no count (3.2.2.4).
        if accurate.unheard.take().is_some() && ace == 0 {
            (accurate.marks, accurate.heeds) = (false, false);
        }
        let octets = counters.and_then(|counters| accurate.read(&counters));
        let least = u32::from(ace).wrapping_sub(accurate.arrived.packets) & ACE_MASK;
        let marked = newly_marked(least, packets, octets, mss);
        //= rfc9768#3.2.3.2.5
        //# If either endpoint detects that the s.ceb counter has increased but the s.cep has not ... the Data Sender MUST disable sending ECN-capable packets for the remainder of the half-connection
        accurate.marks &= !(marked == 0 && octets.is_some_and(|n| n > 0) && packets <= ACE_MASK);
        accurate.arrived.packets = accurate.arrived.packets.wrapping_add(marked);
        match accurate.heeds {
            true => Told {
                congestion: marked > 0,
                marked,
            },
            false => Told::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bits_are_read_as_the_safest_count_that_an_option_allows() {
        // least, packets, octets, marked
        let rows = [
            (0, 0, None, 0),
            (3, 2, None, 3),
            (3, 7, None, 3),
            // eight or more may have gone round
            (0, 8, None, 8),
            (1, 8, None, 1),
            (1, 9, None, 9),
            (3, 20, None, 19),
            (7, 8, None, 7),
            // an option says how many
            (0, 8, Some(0), 0),
            (3, 20, Some(3_000), 3),
            (3, 20, Some(3_001), 11),
            (3, 20, Some(11_000), 11),
            (3, 20, Some(19_000), 19),
            (3, 20, Some(90_000), 19),
        ];
        for (least, packets, octets, marked) in rows {
            let is = newly_marked(least, packets, octets, 1000);
            assert_eq!(is, marked, "{least} of {packets}, {octets:?}");
        }
    }

    #[test]
    fn an_option_tells_the_counters_that_ever_changed() {
        let of = |heard: &[(Codepoint, u32)], all, room| {
            let mut accurate = Accurate::new(&Greeting::default());
            for (codepoint, octets) in heard {
                accurate.hear(*codepoint, 1, *octets, false);
            }
            let option = accurate.option(all, room)?;
            Some((option.ect1_first, option.fields().to_vec()))
        };
        let (ect0, ce, ect1) = (Codepoint::Ect0, Codepoint::Ce, Codepoint::Ect1);
        assert_eq!(of(&[], true, 40), Some((false, [1, 0, 1].into())));
        assert_eq!(of(&[], true, 8), Some((false, [1, 0].into())));
        assert_eq!(of(&[(ect0, 9)], false, 40), Some((false, [10].into())));
        assert_eq!(of(&[(ce, 9)], false, 40), Some((false, [1, 9].into())));
        assert_eq!(of(&[(ect1, 9)], false, 40), Some((true, [10].into())));
        let both = [(ect1, 9), (ce, 5)];
        assert_eq!(of(&both, false, 8), Some((true, [10, 5].into())));
        // what changed is not left out
        assert_eq!(of(&both, false, 4), None);
        let all = [(ect1, 9), (ect0, 5)];
        assert_eq!(of(&all, false, 12), Some((false, [6, 0, 10].into())));
        assert_eq!(of(&all, false, 8), None);
    }

    #[test]
    fn a_mark_is_told_at_once_when_it_is_the_first_or_one_of_several() {
        let mut accurate = Accurate::new(&Greeting::default());
        let mut hear = |codepoint, octets, owed| accurate.hear(codepoint, 1, octets, owed);
        assert!(!hear(Codepoint::Ect0, 1000, false));
        assert!(hear(Codepoint::Ce, 1000, false));
        // the second since the last ACK
        assert!(hear(Codepoint::Ce, 1000, true));
        accurate.pending = 0;
        let mut hear = |codepoint, octets, owed| accurate.hear(codepoint, 1, octets, owed);
        assert!(!hear(Codepoint::Ce, 1000, true));
        assert!(!hear(Codepoint::Ect0, 1000, true));
        accurate.pending = 0;
        // without text it takes three
        let bare = [(); 3].map(|()| accurate.hear(Codepoint::Ce, 1, 0, false));
        assert_eq!(bare, [false, false, true]);
    }

    #[test]
    fn an_option_of_zeros_is_not_believed() {
        let mut accurate = Accurate::new(&Greeting::default());
        let told = EcnCounters::new(false, &[0, 0, 0]);
        assert_eq!((accurate.read(&told), accurate.reads), (None, false));
        assert_eq!(
            (accurate.info().opt_seen, accurate.info().fail_mode),
            (3, 8)
        );
        let mut accurate = Accurate::new(&Greeting::default());
        let told = EcnCounters::new(false, &[1001, 500]);
        assert_eq!((accurate.read(&told), accurate.reads), (Some(500), true));
        // around the end of 24 bits
        let told = EcnCounters::new(false, &[0, 499]);
        assert_eq!(accurate.read(&told), Some((1 << 24) - 1));
    }
}
