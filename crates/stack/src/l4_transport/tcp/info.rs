//! TCP_INFO: a connection's state by the names and in the places of Linux's `struct tcp_info` (`include/uapi/linux/tcp.h`).
use super::recovery::Phase;
use super::recovery::scoreboard::Mark;
use super::tally::{Count, Tally};
use super::tcb::Tcb;
use super::{Conn, ConnId, ListenerId, State, Tcp};
use crate::Instant;
use crate::time::Duration;

/// Bytes of Linux's `struct tcp_info`.
pub const TCP_INFO: usize = 280;

/// What TCP_INFO tells. Counts are of segments, times in the units that Linux has there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Linux's
pub struct Info {
    pub state: u8,
    /// Open, Disorder, CWR, Recovery, Loss.
    pub ca_state: u8,
    /// Timeouts in a row.
    pub retransmits: u8,
    /// Of a shut window or of keepalive, not answered.
    pub probes: u8,
    pub backoff: u8,
    /// Bits: timestamps 1, SACK 2, window scaling 4, text with the SYN 32.
    pub options: u8,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    pub delivery_rate_app_limited: u8,
    /// Microseconds.
    pub rto: u32,
    /// Microseconds that an ACK may wait.
    pub ato: u32,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    /// Milliseconds ago.
    pub last_data_sent: u32,
    /// Milliseconds ago.
    pub last_data_recv: u32,
    /// Milliseconds ago.
    pub last_ack_recv: u32,
    pub pmtu: u32,
    pub rcv_ssthresh: u32,
    /// Microseconds.
    pub rtt: u32,
    /// Microseconds.
    pub rttvar: u32,
    pub snd_ssthresh: u32,
    pub snd_cwnd: u32,
    pub advmss: u32,
    pub reordering: u32,
    /// Microseconds, as the receiver sees it.
    pub rcv_rtt: u32,
    /// Bytes that the program took in a round trip.
    pub rcv_space: u32,
    pub total_retrans: u32,
    /// Bytes a second.
    pub pacing_rate: u64,
    /// Bytes a second.
    pub max_pacing_rate: u64,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segs_out: u32,
    pub segs_in: u32,
    /// Bytes.
    pub notsent_bytes: u32,
    /// Microseconds.
    pub min_rtt: u32,
    pub data_segs_in: u32,
    pub data_segs_out: u32,
    /// Bytes a second.
    pub delivery_rate: u64,
    /// Microseconds with something to send; of these:
    pub busy_time: u64,
    /// stopped by the window of the peer,
    pub rwnd_limited: u64,
    /// by our own buffer.
    pub sndbuf_limited: u64,
    pub delivered: u32,
    pub delivered_ce: u32,
    pub bytes_sent: u64,
    pub bytes_retrans: u64,
    pub dsack_dups: u32,
    pub reord_seen: u32,
    pub rcv_ooopack: u32,
    /// Bytes.
    pub snd_wnd: u32,
    /// Bytes.
    pub rcv_wnd: u32,
    pub total_rto: u16,
    pub total_rto_recoveries: u16,
    /// Milliseconds in recoveries by the timer.
    pub total_rto_time: u32,
    /// What [`EcnInfo`] says.
    pub ecn: EcnInfo,
}

/// What TCP_INFO tells of ECN beside `delivered_ce`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Linux's
pub struct EcnInfo {
    /// Packets.
    pub received_ce: u32,
    /// Octets that the peer says came with ECT(1), ECT(0) and CE.
    pub delivered: [u32; 3],
    /// Octets that came here with them.
    pub received: [u32; 3],
    /// 0: unused, 1: RFC 3168, 2: RFC 9768.
    pub mode: u8,
    /// Whether the peer's option came: 0: no, 2: yes, 3: with zeros.
    pub opt_seen: u8,
    /// Bits: what the peer says in three bits is not believed 2, our option is lost 4, the peer's is not believed 8.
    pub fail_mode: u8,
}

/// How wide a field is: nibbles, or bytes.
#[derive(Clone, Copy)]
enum Width {
    Low,
    High,
    /// Two bits from this one on.
    Pair(u8),
    Byte,
    Short,
    Word,
    Double,
}

/// Name, place, width, value.
type Row = (&'static str, usize, Width, u64);

impl Info {
    const NOTHING: Self = Self {
        state: 0,
        ca_state: 0,
        retransmits: 0,
        probes: 0,
        backoff: 0,
        options: 0,
        snd_wscale: 0,
        rcv_wscale: 0,
        delivery_rate_app_limited: 0,
        rto: 0,
        ato: 0,
        snd_mss: 0,
        rcv_mss: 0,
        unacked: 0,
        sacked: 0,
        lost: 0,
        retrans: 0,
        last_data_sent: 0,
        last_data_recv: 0,
        last_ack_recv: 0,
        pmtu: 0,
        rcv_ssthresh: 0,
        rtt: 0,
        rttvar: 0,
        snd_ssthresh: 0,
        snd_cwnd: 0,
        advmss: 0,
        reordering: 0,
        rcv_rtt: 0,
        rcv_space: 0,
        total_retrans: 0,
        pacing_rate: 0,
        max_pacing_rate: 0,
        bytes_acked: 0,
        bytes_received: 0,
        segs_out: 0,
        segs_in: 0,
        notsent_bytes: 0,
        min_rtt: 0,
        data_segs_in: 0,
        data_segs_out: 0,
        delivery_rate: 0,
        busy_time: 0,
        rwnd_limited: 0,
        sndbuf_limited: 0,
        delivered: 0,
        delivered_ce: 0,
        bytes_sent: 0,
        bytes_retrans: 0,
        dsack_dups: 0,
        reord_seen: 0,
        rcv_ooopack: 0,
        snd_wnd: 0,
        rcv_wnd: 0,
        total_rto: 0,
        total_rto_recoveries: 0,
        total_rto_time: 0,
        ecn: EcnInfo {
            received_ce: 0,
            delivered: [0; 3],
            received: [0; 3],
            mode: 0,
            opt_seen: 0,
            fail_mode: 0,
        },
    };
    /// A socket without a connection.
    pub const CLOSED: Self = Self::of_state(State::Closed);
    /// Nothing but a state.
    pub const fn of_state(state: State) -> Self {
        let mut info = Self::NOTHING;
        info.state = number(state);
        info
    }
    /// Each field by its name, without Linux's `tcpi_`.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        self.table().map(|(name, _, _, value)| (name, value))
    }
    /// `struct tcp_info`; fields that are not here are zero.
    pub fn bytes(&self) -> [u8; TCP_INFO] {
        let mut bytes = [0; TCP_INFO];
        for (_, at, width, value) in self.table() {
            let word = value.to_ne_bytes();
            let mut put = |len: usize| {
                // the lowest bytes, wherever this machine has them
                let low = if cfg!(target_endian = "big") {
                    &word[8 - len..]
                } else {
                    &word[..len]
                };
                bytes[at..at + len].copy_from_slice(low);
            };
            match width {
                Width::Low => bytes[at] |= value as u8 & 0xf,
                Width::High => bytes[at] |= (value as u8) << 4,
                Width::Pair(bit) => bytes[at] |= (value as u8 & 3) << bit,
                Width::Byte => put(1),
                Width::Short => put(2),
                Width::Word => put(4),
                Width::Double => put(8),
            }
        }
        bytes
    }
    fn table(&self) -> impl Iterator<Item = Row> + use<> {
        let (state, path, counts) = (self.state_rows(), self.path_rows(), self.count_rows());
        let all = state.into_iter().chain(path).chain(counts);
        all.chain(self.ecn.rows())
    }
    /// Up to `tcpi_fackets`.
    fn state_rows(&self) -> [Row; 17] {
        [
            ("state", 0, Width::Byte, self.state.into()),
            ("ca_state", 1, Width::Byte, self.ca_state.into()),
            ("retransmits", 2, Width::Byte, self.retransmits.into()),
            ("probes", 3, Width::Byte, self.probes.into()),
            ("backoff", 4, Width::Byte, self.backoff.into()),
            ("options", 5, Width::Byte, self.options.into()),
            ("snd_wscale", 6, Width::Low, self.snd_wscale.into()),
            ("rcv_wscale", 6, Width::High, self.rcv_wscale.into()),
            (
                "delivery_rate_app_limited",
                7,
                Width::Low,
                self.delivery_rate_app_limited.into(),
            ),
            ("rto", 8, Width::Word, self.rto.into()),
            ("ato", 12, Width::Word, self.ato.into()),
            ("snd_mss", 16, Width::Word, self.snd_mss.into()),
            ("rcv_mss", 20, Width::Word, self.rcv_mss.into()),
            ("unacked", 24, Width::Word, self.unacked.into()),
            ("sacked", 28, Width::Word, self.sacked.into()),
            ("lost", 32, Width::Word, self.lost.into()),
            ("retrans", 36, Width::Word, self.retrans.into()),
        ]
    }
    /// Up to `tcpi_total_retrans`.
    fn path_rows(&self) -> [Row; 14] {
        [
            (
                "last_data_sent",
                44,
                Width::Word,
                self.last_data_sent.into(),
            ),
            (
                "last_data_recv",
                52,
                Width::Word,
                self.last_data_recv.into(),
            ),
            ("last_ack_recv", 56, Width::Word, self.last_ack_recv.into()),
            ("pmtu", 60, Width::Word, self.pmtu.into()),
            ("rcv_ssthresh", 64, Width::Word, self.rcv_ssthresh.into()),
            ("rtt", 68, Width::Word, self.rtt.into()),
            ("rttvar", 72, Width::Word, self.rttvar.into()),
            ("snd_ssthresh", 76, Width::Word, self.snd_ssthresh.into()),
            ("snd_cwnd", 80, Width::Word, self.snd_cwnd.into()),
            ("advmss", 84, Width::Word, self.advmss.into()),
            ("reordering", 88, Width::Word, self.reordering.into()),
            ("rcv_rtt", 92, Width::Word, self.rcv_rtt.into()),
            ("rcv_space", 96, Width::Word, self.rcv_space.into()),
            ("total_retrans", 100, Width::Word, self.total_retrans.into()),
        ]
    }
    /// The rest.
    fn count_rows(&self) -> [Row; 26] {
        [
            ("pacing_rate", 104, Width::Double, self.pacing_rate),
            ("max_pacing_rate", 112, Width::Double, self.max_pacing_rate),
            ("bytes_acked", 120, Width::Double, self.bytes_acked),
            ("bytes_received", 128, Width::Double, self.bytes_received),
            ("segs_out", 136, Width::Word, self.segs_out.into()),
            ("segs_in", 140, Width::Word, self.segs_in.into()),
            ("notsent_bytes", 144, Width::Word, self.notsent_bytes.into()),
            ("min_rtt", 148, Width::Word, self.min_rtt.into()),
            ("data_segs_in", 152, Width::Word, self.data_segs_in.into()),
            ("data_segs_out", 156, Width::Word, self.data_segs_out.into()),
            ("delivery_rate", 160, Width::Double, self.delivery_rate),
            ("busy_time", 168, Width::Double, self.busy_time),
            ("rwnd_limited", 176, Width::Double, self.rwnd_limited),
            ("sndbuf_limited", 184, Width::Double, self.sndbuf_limited),
            ("delivered", 192, Width::Word, self.delivered.into()),
            ("delivered_ce", 196, Width::Word, self.delivered_ce.into()),
            ("bytes_sent", 200, Width::Double, self.bytes_sent),
            ("bytes_retrans", 208, Width::Double, self.bytes_retrans),
            ("dsack_dups", 216, Width::Word, self.dsack_dups.into()),
            ("reord_seen", 220, Width::Word, self.reord_seen.into()),
            ("rcv_ooopack", 224, Width::Word, self.rcv_ooopack.into()),
            ("snd_wnd", 228, Width::Word, self.snd_wnd.into()),
            ("rcv_wnd", 232, Width::Word, self.rcv_wnd.into()),
            ("total_rto", 240, Width::Short, self.total_rto.into()),
            (
                "total_rto_recoveries",
                242,
                Width::Short,
                self.total_rto_recoveries.into(),
            ),
            (
                "total_rto_time",
                244,
                Width::Word,
                self.total_rto_time.into(),
            ),
        ]
    }
}

impl EcnInfo {
    fn rows(&self) -> [Row; 10] {
        let word = |name, at, value: u32| (name, at, Width::Word, value.into());
        let ([d1, d0, dce], [r1, r0, rce]) = (self.delivered, self.received);
        let fail_mode = self.fail_mode.into();
        [
            word("received_ce", 248, self.received_ce),
            word("delivered_e1_bytes", 252, d1),
            word("delivered_e0_bytes", 256, d0),
            word("delivered_ce_bytes", 260, dce),
            word("received_e1_bytes", 264, r1),
            word("received_e0_bytes", 268, r0),
            word("received_ce_bytes", 272, rce),
            ("ecn_mode", 276, Width::Pair(0), self.mode.into()),
            ("accecn_opt_seen", 276, Width::Pair(2), self.opt_seen.into()),
            ("accecn_fail_mode", 276, Width::High, fail_mode),
        ]
    }
}

impl Tcp {
    /// TCP_INFO of a connection.
    pub fn info(&self, id: ConnId, now: Instant) -> Option<Info> {
        self.conn(id).map(|conn| conn.info(now))
    }
    /// TCP_INFO of a listener: how many connections wait to be accepted, and how many may.
    pub fn listener_info(&self, id: ListenerId) -> Option<Info> {
        let status = self.listener_status(id)?;
        Some(Info {
            unacked: status.recv_q,
            sacked: status.send_q,
            snd_cwnd: super::congestion::INITIAL_WINDOW,
            reordering: 3,
            pacing_rate: u64::MAX,
            max_pacing_rate: u64::MAX,
            ..Info::of_state(State::Listen)
        })
    }
}

impl Conn {
    pub(super) fn info(&self, now: Instant) -> Info {
        match self {
            Self::Open(tcb) => tcb.info(now),
            Self::Opening(opening) => Info {
                retransmits: opening.retries,
                backoff: opening.retries,
                rto: micros(Some(super::opening::syn_timeout(opening.retries))),
                snd_mss: opening.offer_mss.into(),
                rcv_mss: opening.offer_mss.into(),
                advmss: opening.offer_mss.into(),
                pmtu: opening.ep.path.mtu,
                unacked: 1,
                snd_cwnd: 1,
                total_retrans: opening.retries.into(),
                segs_out: u32::from(opening.retries) + 1,
                ..Info::of_state(opening.ep.state)
            },
        }
    }
}

impl Tcb {
    fn info(&self, now: Instant) -> Info {
        let mut info = Info {
            ca_state: self.congestion_state(),
            retransmits: self.recovery.timeouts,
            probes: u8::try_from(self.persist.unanswered + self.keepalive.probes)
                .unwrap_or(u8::MAX),
            backoff: self.rtt.backoff(),
            ..Info::of_state(self.told_state())
        };
        self.agreed_info(&mut info);
        self.path_info(&mut info, now);
        self.flight_info(&mut info);
        self.receiver_info(&mut info);
        self.tally_info(&mut info, now);
        info
    }
    fn agreed_info(&self, info: &mut Info) {
        let agreed = &self.agreed;
        let (marks, marked) = self.marks_info();
        info.options = u8::from(agreed.timestamps)
            | u8::from(agreed.sack) << 1
            | u8::from(agreed.scaling) << 2
            | u8::from(self.syn_data) << 5
            | marks;
        info.delivered_ce = marked;
        info.ecn = self.ecn_info();
        info.snd_wscale = agreed.snd_scale;
        info.rcv_wscale = agreed.rcv_scale;
        info.snd_mss = self.mss();
        info.rcv_mss = self.ack.rcv_mss();
        info.advmss = self.offered_mss();
        info.pmtu = self.ep.path.mtu;
    }
    fn path_info(&self, info: &mut Info, now: Instant) {
        info.rto = micros(Some(self.rtt.rto()));
        info.ato = micros(Some(self.ack.ato()));
        info.rtt = micros(self.rtt.srtt());
        info.rttvar = micros(self.rtt.srtt().map(|_| self.rtt.rttvar()));
        info.min_rtt = micros(self.rtt.min());
        let heard = self.keepalive.heard;
        info.last_data_sent = millis(now.since(self.last_sent));
        info.last_data_recv = millis(now.since(self.ack.last_text().unwrap_or(heard)));
        info.last_ack_recv = millis(now.since(heard));
        info.pacing_rate = self.pacing_rate().unwrap_or(u64::MAX);
        info.max_pacing_rate = self.ep.options.max_pacing_rate;
    }
    fn flight_info(&self, info: &mut Info) {
        let mss = self.mss().max(1);
        let marked = self.marked(mss);
        info.unacked = self.flight.outstanding().div_ceil(mss);
        info.sacked = match self.agreed.sack {
            true => marked.sacked,
            false => self.recovery.dupacks,
        };
        info.lost = marked.lost;
        info.retrans = marked.resent;
        // Linux's TCP_INFINITE_SSTHRESH, as segments.
        info.snd_ssthresh = match self.window.ssthresh {
            u32::MAX => 0x7fff_ffff,
            bytes => bytes / mss,
        };
        info.snd_cwnd = self.window.cwnd / mss;
        info.reordering = self.recovery.reordering().into();
        info.notsent_bytes = self.unsent();
        info.snd_wnd = self.snd.wnd;
    }
    fn receiver_info(&self, info: &mut Info) {
        info.rcv_ssthresh = self.rcv.space();
        let sizing = self
            .busy
            .as_ref()
            .map(|busy| busy.sizing)
            .unwrap_or_default();
        info.rcv_space = sizing.measured(self.rcv.space());
        info.rcv_rtt = micros(self.round_trip_of_receiver());
        info.rcv_wnd = self.rcv.wnd();
        info.bytes_received = self.rcv.bytes();
    }
    fn tally_info(&self, info: &mut Info, now: Instant) {
        let none = Tally::default();
        let tally = self.busy.as_ref().map_or(&none, |busy| &busy.tally);
        let (acked, on_the_way) = (self.tx.acknowledged(), self.snd.nxt.since(self.snd.una));
        info.total_retrans = tally.retransmits;
        info.segs_out = self.counted(Count::SegsOut);
        info.segs_in = self.counted(Count::SegsIn);
        info.bytes_acked = acked;
        info.bytes_retrans = tally.bytes_retrans;
        info.bytes_sent = acked + u64::from(on_the_way) + tally.bytes_retrans;
        info.data_segs_out = self.counted(Count::DataSegsOut);
        info.data_segs_in = self.counted(Count::DataSegsIn);
        info.delivered = self.counted(Count::Delivered);
        info.dsack_dups = tally.dsack_dups;
        info.reord_seen = tally.reord_seen;
        info.rcv_ooopack = tally.ooo;
        info.total_rto = tally.timeouts;
        info.total_rto_recoveries = tally.timeout_recoveries;
        info.total_rto_time = tally.millis_in_timeout(now);
        if let Some(busy) = &self.busy {
            let told = &busy.delivery.told;
            info.delivery_rate = told.rate;
            info.delivery_rate_app_limited = told.app_limited.into();
        }
        [info.busy_time, info.rwnd_limited, info.sndbuf_limited] = tally.busy(now);
    }
    /// What our SYN offered, less the room for timestamps.
    fn offered_mss(&self) -> u32 {
        let offer = super::options::mss_limit(
            self.ep.path.mtu,
            self.ep.local().ip(),
            self.ep.options.maxseg,
        );
        let stamps = if self.agreed.timestamps {
            super::options::TIMESTAMPS_LEN
        } else {
            0
        };
        offer.saturating_sub(stamps).into()
    }
    fn congestion_state(&self) -> u8 {
        match self.recovery.phase {
            Phase::Timeout => 4,
            Phase::Fast => 3,
            Phase::Open if self.recovery.reducing => 2,
            Phase::Open if self.flight.sacked() > 0 || self.recovery.dupacks > 0 => 1,
            Phase::Open => 0,
        }
    }
    /// Segments under way by what is thought of them. As Linux counts, one that was lost and sent again stays lost
    /// until it arrives.
    fn marked(&self, mss: u32) -> Marked {
        let mut marked = Marked::default();
        for record in self.flight.iter() {
            let segments = record.len.div_ceil(mss.max(1));
            match record.mark {
                Mark::Sacked => marked.sacked += segments,
                Mark::Lost => marked.lost += segments,
                Mark::InFlight if record.resent => {
                    marked.resent += segments;
                    if self.recovery.phase != Phase::Open {
                        marked.lost += segments;
                    }
                }
                Mark::InFlight => {}
            }
        }
        marked
    }
}

#[derive(Default)]
struct Marked {
    sacked: u32,
    lost: u32,
    resent: u32,
}

/// Linux's number of a state (`include/net/tcp_states.h`).
const fn number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}
fn micros(time: Option<Duration>) -> u32 {
    time.map_or(0, |time| {
        u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
    })
}
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_linux() {
        let info = Info {
            snd_wscale: 7,
            rcv_wscale: 9,
            rto: 0x0102_0304,
            pacing_rate: 5,
            bytes_sent: 6,
            snd_wnd: 7,
            total_rto: 8,
            total_rto_time: 9,
            ecn: EcnInfo {
                received_ce: 4,
                received: [0, 0, 5],
                mode: 2,
                opt_seen: 3,
                fail_mode: 9,
                ..EcnInfo::default()
            },
            ..Info::of_state(State::Listen)
        };
        let bytes = info.bytes();
        assert_eq!((bytes[0], bytes[6]), (10, 0x97));
        assert_eq!(bytes[8..12], 0x0102_0304_u32.to_ne_bytes());
        for (at, value) in [(104, 5_u64), (200, 6)] {
            assert_eq!(bytes[at..at + 8], value.to_ne_bytes(), "at {at}");
        }
        assert_eq!(bytes[228..232], 7_u32.to_ne_bytes());
        assert_eq!(bytes[240..242], 8_u16.to_ne_bytes());
        assert_eq!(bytes[244..248], 9_u32.to_ne_bytes());
        let named = info.fields().filter(|(_, value)| *value != 0).count();
        assert_eq!(named, 14);
        assert_eq!(bytes[248..252], 4_u32.to_ne_bytes());
        assert_eq!(bytes[272..276], 5_u32.to_ne_bytes());
        assert_eq!(bytes[276], 0x9e);
    }
}
