//! What a router says of itself (RFC 4861 6.2): on its own from time to time, and when it is asked.
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use heptad_wire::ndp::{Ndp, Options, PrefixInfo, RouterAdvert};

use super::super::Network;
use super::super::zone::zoned;
use super::address::Origin;
use super::discovery::Learnt;
use super::interface::ALL_NODES;
use crate::l1_physical::PortId;
use crate::time::Duration;
use crate::{Cx, DropReason, Instant};

/// RFC 4861 6.2.1: MinRtrAdvInterval and MaxRtrAdvInterval.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(200), Duration::from_secs(600));
/// RFC 4861 10: the first ones come quickly.
const FIRST: u8 = 3;
const FIRST_INTERVAL: Duration = Duration::from_secs(16);
const DELAY: Duration = Duration::from_millis(500);
const MIN_DELAY_BETWEEN: Duration = Duration::from_secs(3);
/// Lifetimes of a prefix (RFC 4861 6.2.1), seconds.
const VALID: u32 = 2_592_000;
const PREFERRED: u32 = 604_800;

/// What to say on a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertising {
    /// How long it is a default router, seconds; 0: it is none. `None`: 1800.
    pub lifetime: Option<u16>,
    /// MTU of the link, if hosts should be told.
    pub mtu: Option<u32>,
    /// Prefixes; without any, those of the port's own addresses.
    pub prefixes: Vec<PrefixInfo>,
    /// Resolvers.
    pub resolvers: Vec<Ipv6Addr>,
}

/// A port that advertises.
pub struct Advertiser {
    advertising: Advertising,
    /// How many of the quick ones are left.
    first: u8,
    next_at: Instant,
    /// Somebody waits for the next one: it is the first, or was asked for.
    owed: bool,
    last: Option<Instant>,
}
impl Advertiser {
    /// Speaks at once.
    pub fn new(advertising: Advertising) -> Self {
        Self {
            advertising,
            first: FIRST,
            next_at: Instant::ZERO,
            owed: true,
            last: None,
        }
    }
    /// When it speaks next.
    pub fn due(&self) -> Instant {
        self.next_at
    }
    /// Whether somebody waits for that.
    pub fn is_owed(&self) -> bool {
        self.owed
    }
}

impl Network {
    /// RFC 4861 6.1.1, 6.2.6: somebody looks for a router.
    pub(super) fn hear_router_wanted(
        &mut self,
        heard: &super::discovery::Heard,
        options: &Options,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Learnt>, DropReason> {
        let (port, src) = (heard.port, heard.src);
        if src.is_unspecified() && options.source.is_some() {
            return Err(DropReason::NdpMalformed);
        }
        let Some(advertiser) = &mut self.v6.interface_mut(port).advertiser else {
            return Err(DropReason::NotForUs);
        };
        let delay = Duration::from_nanos(cx.rng.below(DELAY.as_nanos() as u64));
        let earliest = advertiser.last.map(|last| last + MIN_DELAY_BETWEEN);
        let at = (cx.now + delay).max(earliest.unwrap_or(cx.now));
        advertiser.next_at = advertiser.next_at.min(at);
        advertiser.owed = true;
        self.v6.reschedule();
        let mac = options.source.filter(|mac| !mac.is_multicast());
        Ok(mac.map(|mac| Learnt::Asked { ip: src, mac }))
    }

    /// Speaks on a port if it is time.
    pub(super) fn serve_advertiser(&mut self, port: PortId, cx: &mut Cx<'_>) {
        let Some(advertiser) = &mut self.v6.interface_mut(port).advertiser else {
            return;
        };
        if advertiser.next_at > cx.now {
            return;
        }
        let (least, most) = INTERVAL;
        let span = (most.saturating_sub(least)).as_nanos() as u64;
        let wait = least + Duration::from_nanos(cx.rng.below(span));
        advertiser.first = advertiser.first.saturating_sub(1);
        let wait = match advertiser.first {
            0 => wait,
            _ => wait.min(FIRST_INTERVAL),
        };
        advertiser.next_at = cx.now + wait;
        advertiser.owed = false;
        advertiser.last = Some(cx.now);
        let advertising = advertiser.advertising.clone();
        if let Some(message) = self.router_advert(port, &advertising) {
            let dst = zoned(ALL_NODES, port);
            let Some(src) = self.v6.addresses.select(port, dst) else {
                return;
            };
            let advert = self.message(&message, src, dst, cx);
            self.v6.send(advert);
        }
    }

    fn router_advert(&self, port: PortId, advertising: &Advertising) -> Option<Ndp> {
        let Advertising {
            lifetime,
            mtu,
            prefixes,
            resolvers,
        } = advertising;
        let lifetime = lifetime.unwrap_or(1800);
        let own = self.v6.addresses.on(port).iter();
        let own = own.filter(|a| a.origin == Origin::Manual && a.len == 64);
        let own = own.map(|address| PrefixInfo {
            len: 64,
            on_link: true,
            autonomous: true,
            valid: VALID,
            preferred: PREFERRED,
            prefix: Ipv6Addr::from_bits(address.ip.to_bits() >> 64 << 64),
        });
        let mut told: Vec<PrefixInfo> = match prefixes.is_empty() {
            true => own.collect(),
            false => prefixes.clone(),
        };
        told.dedup_by_key(|info| info.prefix);
        let rdnss = (!resolvers.is_empty()).then(|| (3 * 600, resolvers.clone()));
        Some(Ndp::RouterAdvert {
            router: RouterAdvert {
                hop_limit: 64,
                lifetime,
                ..RouterAdvert::default()
            },
            options: Options {
                source: self.v6.interface(port)?.mac,
                prefixes: told,
                mtu: *mtu,
                rdnss: rdnss.into_iter().collect(),
                ..Options::default()
            },
        })
    }
}
