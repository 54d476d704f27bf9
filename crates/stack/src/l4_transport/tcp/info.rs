//! TCP_INFO: a connection's state by the names of Linux's `struct tcp_info` (`include/uapi/linux/tcp.h`).
use super::recovery::Phase;
use super::recovery::scoreboard::Mark;
use super::tcb::Tcb;
use super::{Conn, ConnId, State, Tcp};
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
    /// Bits: timestamps 1, SACK 2, window scaling 4.
    pub options: u8,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    pub backoff: u8,
    /// Microseconds.
    pub rto: u32,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    /// Milliseconds.
    pub last_data_sent: u32,
    /// Milliseconds.
    pub last_data_recv: u32,
    pub pmtu: u32,
    /// Microseconds.
    pub rtt: u32,
    /// Microseconds.
    pub rttvar: u32,
    pub snd_ssthresh: u32,
    pub snd_cwnd: u32,
    pub reordering: u32,
    pub total_retrans: u32,
    pub notsent_bytes: u32,
    /// Microseconds.
    pub min_rtt: u32,
    /// Bytes.
    pub snd_wnd: u32,
}
impl Info {
    /// Each field by its name, without Linux's `tcpi_`.
    pub fn fields(&self) -> [(&'static str, u64); 25] {
        let Self {
            state,
            ca_state,
            options,
            snd_wscale,
            rcv_wscale,
            backoff,
            rto,
            snd_mss,
            rcv_mss,
            unacked,
            sacked,
            lost,
            retrans,
            last_data_sent,
            last_data_recv,
            pmtu,
            rtt,
            rttvar,
            snd_ssthresh,
            snd_cwnd,
            reordering,
            total_retrans,
            notsent_bytes,
            min_rtt,
            snd_wnd,
        } = *self;
        [
            ("state", state.into()),
            ("ca_state", ca_state.into()),
            ("options", options.into()),
            ("snd_wscale", snd_wscale.into()),
            ("rcv_wscale", rcv_wscale.into()),
            ("backoff", backoff.into()),
            ("rto", rto.into()),
            ("snd_mss", snd_mss.into()),
            ("rcv_mss", rcv_mss.into()),
            ("unacked", unacked.into()),
            ("sacked", sacked.into()),
            ("lost", lost.into()),
            ("retrans", retrans.into()),
            ("last_data_sent", last_data_sent.into()),
            ("last_data_recv", last_data_recv.into()),
            ("pmtu", pmtu.into()),
            ("rtt", rtt.into()),
            ("rttvar", rttvar.into()),
            ("snd_ssthresh", snd_ssthresh.into()),
            ("snd_cwnd", snd_cwnd.into()),
            ("reordering", reordering.into()),
            ("total_retrans", total_retrans.into()),
            ("notsent_bytes", notsent_bytes.into()),
            ("min_rtt", min_rtt.into()),
            ("snd_wnd", snd_wnd.into()),
        ]
    }

    /// `struct tcp_info`; fields that are not here are zero.
    pub fn bytes(&self) -> [u8; TCP_INFO] {
        let mut bytes = [0; TCP_INFO];
        let small = [
            self.state,
            self.ca_state,
            u8::try_from(self.retransmits()).unwrap_or(u8::MAX),
            0, // probes
            self.backoff,
            self.options,
            self.snd_wscale | self.rcv_wscale << 4,
        ];
        bytes[..small.len()].copy_from_slice(&small);
        for (at, value) in self.words() {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
    /// tcpi_retransmits: timeouts in a row.
    fn retransmits(&self) -> u32 {
        self.backoff.into()
    }
    /// The fields of 32 bits and their places. tcpi_min_rtt and what follows it stand behind fields of 64 bits.
    fn words(&self) -> [(usize, u32); 20] {
        [
            (8, self.rto),
            (16, self.snd_mss),
            (20, self.rcv_mss),
            (24, self.unacked),
            (28, self.sacked),
            (32, self.lost),
            (36, self.retrans),
            (44, self.last_data_sent),
            (52, self.last_data_recv),
            (60, self.pmtu),
            (68, self.rtt),
            (72, self.rttvar),
            (76, self.snd_ssthresh),
            (80, self.snd_cwnd),
            (84, self.snd_mss), // advmss
            (88, self.reordering),
            (100, self.total_retrans),
            (144, self.notsent_bytes),
            (148, self.min_rtt),
            (228, self.snd_wnd),
        ]
    }
}

impl Tcp {
    /// TCP_INFO of a connection.
    pub fn info(&self, id: ConnId, now: Instant) -> Option<Info> {
        Some(match self.conn(id)? {
            Conn::Open(tcb) => tcb.info(now),
            Conn::Opening(opening) => Info {
                state: number(opening.ep.state),
                snd_mss: opening.offer_mss.into(),
                pmtu: opening.ep.path.mtu,
                total_retrans: opening.retries.into(),
                ..Info::default()
            },
        })
    }
}

impl Tcb {
    fn info(&self, now: Instant) -> Info {
        let mss = self.mss();
        let segments = |bytes: u32| bytes.div_ceil(mss.max(1));
        let marked = self.marked(mss);
        let agreed = &self.agreed;
        Info {
            state: number(self.ep.state),
            ca_state: self.congestion_state(),
            options: u8::from(agreed.timestamps)
                | u8::from(agreed.sack) << 1
                | u8::from(agreed.scaling) << 2,
            snd_wscale: agreed.snd_scale,
            rcv_wscale: agreed.rcv_scale,
            backoff: self.rtt.backoff(),
            rto: micros(Some(self.rtt.rto())),
            snd_mss: mss,
            rcv_mss: self.ack.rcv_mss(),
            unacked: segments(self.flight.outstanding()),
            sacked: match agreed.sack {
                true => marked.sacked,
                false => self.recovery.dupacks,
            },
            lost: marked.lost,
            retrans: marked.resent,
            last_data_sent: millis(now.since(self.last_sent)),
            last_data_recv: millis(now.since(self.ack.last_text().unwrap_or(self.keepalive.heard))),
            pmtu: self.ep.path.mtu,
            rtt: micros(self.rtt.srtt()),
            rttvar: micros(self.rtt.srtt().map(|_| self.rtt.rttvar())),
            // Linux's TCP_INFINITE_SSTHRESH, as segments.
            snd_ssthresh: match self.window.ssthresh {
                u32::MAX => 0x7fff_ffff,
                bytes => bytes / mss.max(1),
            },
            snd_cwnd: self.window.cwnd / mss.max(1),
            reordering: self.recovery.reordering().into(),
            total_retrans: u32::try_from(self.retransmits).unwrap_or(u32::MAX),
            notsent_bytes: self.unsent(),
            min_rtt: micros(self.rtt.min()),
            snd_wnd: self.snd.wnd,
        }
    }
    fn congestion_state(&self) -> u8 {
        match self.recovery.phase {
            Phase::Timeout => 4,
            Phase::Fast => 3,
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
fn number(state: State) -> u8 {
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
