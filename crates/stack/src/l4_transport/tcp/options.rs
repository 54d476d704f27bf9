//! TCP options: those of a segment that came, those that a SYN offers, those that a data segment carries.
use core::net::IpAddr;

use heptad_wire::tcp::{EcnCounters, SackBlocks, TcpOption, TcpOptions};

use super::Config;
use super::ecn::Feedback;
use super::fast_open::Cookie;
use super::seq::SeqNum;

/// Bytes that timestamps take in each segment (`nop,nop,TS`).
pub const TIMESTAMPS_LEN: u16 = 12;
/// The MSS of a peer that offers none (RFC 9293 3.7.1).
pub const DEFAULT_MSS: u16 = 536;
/// The same over IPv6, whose packets are never cut below 1280 bytes.
const DEFAULT_MSS_IPV6: u16 = 1220;
/// Peers that offer less are taken to offer this, lest they make us send all header.
/// (Linux's tcp_min_snd_mss; CVE-2019-11479).
pub const LEAST_MSS: u16 = 48;
/// A program that asks for less gets this (Linux's TCP_MIN_MSS).
const LEAST_MAXSEG: u16 = 88;
/// The largest shift (RFC 7323 2.3).
pub const MAX_SCALE: u8 = 14;

/// What the options of a segment said. Malformed rests are ignored; of repeated ones the last counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct SegmentOptions {
    pub mss: Option<u16>,
    pub window_scale: Option<u8>,
    pub sack_permitted: bool,
    /// TSval, TSecr.
    pub timestamps: Option<(u32, u32)>,
    pub sack: SackBlocks,
    pub fast_open: Option<Cookie>,
    pub counters: Option<EcnCounters>,
}
impl SegmentOptions {
    /// Reads them.
    pub fn read(options: &TcpOptions) -> Self {
        let mut read = Self::default();
        for option in options.iter().map_while(Result::ok) {
            match option {
                TcpOption::Mss(mss) => read.mss = Some(mss),
                TcpOption::WindowScale(shift) => read.window_scale = Some(shift.min(MAX_SCALE)),
                TcpOption::SackPermitted => read.sack_permitted = true,
                TcpOption::Timestamps { value, echo } => read.timestamps = Some((value, echo)),
                TcpOption::Sack(blocks) => read.sack = blocks,
                TcpOption::FastOpen(cookie) => read.fast_open = Cookie::read(cookie),
                other => read.counters = other.counters().or(read.counters),
            }
        }
        read
    }
}

/// What a SYN or SYN,ACK of ours offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub mss: u16,
    pub window_scale: Option<u8>,
    pub sack: bool,
    /// TSval, TSecr.
    pub timestamps: Option<(u32, u32)>,
}
impl Offer {
    /// As Linux orders them: `mss,sackOK,TS,nop,wscale`, with `nop,nop` in front of what stands alone.
    pub fn write(self) -> TcpOptions {
        let mut options = TcpOptions::NONE;
        options.push(TcpOption::Mss(self.mss));
        match (self.sack, self.timestamps) {
            (true, Some((value, echo))) => {
                options.push(TcpOption::SackPermitted);
                options.push(TcpOption::Timestamps { value, echo });
            }
            (true, None) => {
                nops(&mut options);
                options.push(TcpOption::SackPermitted);
            }
            (false, Some((value, echo))) => {
                nops(&mut options);
                options.push(TcpOption::Timestamps { value, echo });
            }
            (false, None) => {}
        }
        if let Some(shift) = self.window_scale {
            options.push(TcpOption::Nop);
            options.push(TcpOption::WindowScale(shift));
        }
        options
    }
}

fn nops(options: &mut TcpOptions) {
    options.push(TcpOption::Nop);
    options.push(TcpOption::Nop);
}

/// The options of a segment after the handshake: `nop,nop,TS` and `nop,nop,SACK`, as many blocks as fit.
pub fn data_options(timestamps: Option<(u32, u32)>, sack: &[(SeqNum, SeqNum)]) -> TcpOptions {
    let mut options = TcpOptions::NONE;
    if let Some((value, echo)) = timestamps {
        nops(&mut options);
        options.push(TcpOption::Timestamps { value, echo });
    }
    if !sack.is_empty() {
        let most = if timestamps.is_some() { 3 } else { 4 };
        let mut blocks = SackBlocks::default();
        for (left, right) in sack.iter().take(most) {
            blocks.push(left.0, right.0);
        }
        nops(&mut options);
        options.push(TcpOption::Sack(blocks));
    }
    options
}

/// What both ends agreed on in their SYNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Largest payload of a frame that we send, without room for options.
    pub mss: u16,
    /// Shift of the windows that the peer tells.
    pub snd_scale: u8,
    /// Shift of the windows that we tell.
    pub rcv_scale: u8,
    /// Both sent window scale.
    pub scaling: bool,
    pub sack: bool,
    pub timestamps: bool,
    /// How marks of routers are told of.
    pub ecn: Feedback,
    /// Fewest segments of a super-segment, where there are so many.
    pub least_burst: u8,
}
impl Agreed {
    /// Our settings, the peer and the options of its SYN, our MSS limit (MTU or TCP_MAXSEG) and the shift that we would offer.
    pub fn new(
        config: &Config,
        peer: IpAddr,
        theirs: &SegmentOptions,
        limit: u16,
        our_scale: u8,
    ) -> Self {
        let default_mss = match peer {
            IpAddr::V4(_) => DEFAULT_MSS,
            IpAddr::V6(_) => DEFAULT_MSS_IPV6,
        };
        let scale = theirs.window_scale.filter(|_| config.window_scaling);
        Self {
            //= rfc9293#3.7.1
            //# If an MSS Option is not received at connection setup, TCP implementations MUST assume a default send MSS of 536 (576 - 40) for IPv4 or 1220 (1280 - 60) for IPv6
            mss: theirs
                .mss
                .filter(|&m| m > 0)
                .unwrap_or(default_mss)
                .max(LEAST_MSS)
                .min(limit),
            snd_scale: scale.unwrap_or(0),
            rcv_scale: if scale.is_some() { our_scale } else { 0 },
            scaling: scale.is_some(),
            sack: config.sack && theirs.sack_permitted,
            timestamps: config.timestamps && theirs.timestamps.is_some(),
            ecn: Feedback::None,
            least_burst: config.least_burst,
        }
    }
}

/// The shift that lets the largest receive buffer be told (Linux: floor(log2) - 15).
pub fn scale_for(largest: u32) -> u8 {
    let log = 31u32.saturating_sub(largest.leading_zeros());
    (log.saturating_sub(15) as u8).min(MAX_SCALE)
}

/// The largest payload for a path, before options.
pub fn mss_limit(mtu: u32, local: core::net::IpAddr, maxseg: u16) -> u16 {
    let headers = if local.is_ipv4() { 40 } else { 60 };
    let limit = mtu.saturating_sub(headers).clamp(1, 65_495) as u16;
    if maxseg == 0 {
        limit
    } else {
        limit.min(maxseg.max(LEAST_MAXSEG))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syn_without_mss_means_536_bytes_or_1220_over_ipv6() {
        let rows = [
            (IpAddr::from([192, 0, 2, 1]), 536),
            (IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1_u16]), 1220),
        ];
        for (peer, mss) in rows {
            let theirs = SegmentOptions::default();
            let agreed = Agreed::new(&Config::default(), peer, &theirs, 1440, 7);
            assert_eq!(agreed.mss, mss, "{peer}");
        }
    }

    //= rfc9293#3.1
    //# A TCP implementation MUST ignore without error any TCP Option it does not implement, assuming that the option has a length field.
    #[test]
    fn what_is_no_option_of_ours_is_ignored() {
        for unknown in [
            &[28, 4, 0, 9][..],
            &[253, 6, 1, 2, 3, 4],
            &[99, 2],
            &[34, 2],
        ] {
            let bytes = [unknown, &[2, 4, 5, 180, 3, 3, 7]].concat();
            let read = SegmentOptions::read(&TcpOptions::from_bytes(&bytes).unwrap());
            assert_eq!((read.mss, read.window_scale), (Some(1460), Some(7)));
        }
    }

    #[test]
    fn a_syn_offers_its_options_in_the_order_of_linux() {
        let mut all = Offer {
            mss: 1460,
            window_scale: Some(7),
            sack: true,
            timestamps: Some((1, 0)),
        };
        let kinds = |o: Offer| o.write().as_bytes().to_vec();
        assert_eq!(
            kinds(all),
            [
                2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7
            ]
        );
        all.timestamps = None;
        assert_eq!(kinds(all), [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]);
        all.sack = false;
        assert_eq!(kinds(all), [2, 4, 5, 180, 1, 3, 3, 7]);
        all.timestamps = Some((1, 0));
        all.window_scale = None;
        assert_eq!(
            kinds(all),
            [2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]
        );
    }

    #[test]
    fn the_shift_follows_the_largest_buffer() {
        for (largest, shift) in [
            (0, 0),
            (65_535, 0),
            (65_536, 1),
            (6_291_456, 7),
            (15_728_640, 8),
            (u32::MAX, 14),
        ] {
            assert_eq!(scale_for(largest), shift, "{largest}");
        }
    }

    #[test]
    fn sack_leaves_room_for_timestamps() {
        let blocks = [(SeqNum(1), SeqNum(2)); 4];
        assert_eq!(data_options(None, &blocks).as_bytes().len(), 36);
        assert_eq!(data_options(Some((1, 2)), &blocks).as_bytes().len(), 40);
    }
}
