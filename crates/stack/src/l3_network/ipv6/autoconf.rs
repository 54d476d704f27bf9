//! What a host takes from routers (RFC 4861 6.3, RFC 4862 5.5): default routes, on-link prefixes, addresses that are the
//! same at each return (RFC 7217) or last a day (RFC 8981), and resolvers (RFC 8106).
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use heptad_wire::ndp::{Ndp, Options, PrefixInfo, RouterAdvert};

use super::super::zone::zoned;
use super::super::{Network, Route};
use super::address::{Address6, AddressState, MOST_AUTOMATIC, Origin};
use super::discovery::Learnt;
use super::interface::ALL_ROUTERS;
use crate::l1_physical::PortId;
use crate::time::Duration;
use crate::{Cx, DropReason, Instant};

/// RFC 4861 10: how often and how far apart routers are asked for.
const SOLICITATIONS: u8 = 3;
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// Most default routers, prefixes and resolvers of a port.
const MOST_ROUTES: usize = 32;
const MOST_RESOLVERS: usize = 8;
/// RFC 4862 5.5.3 e: a stranger cannot shorten a life below this.
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// RFC 8981 3.8.
const TEMPORARY_VALID: Duration = Duration::from_secs(2 * 86_400);
const TEMPORARY_PREFERRED: Duration = Duration::from_secs(86_400);

/// What a port has heard from routers.
pub struct Autoconf {
    temporary: bool,
    /// When routers are asked for next, and how often more.
    solicit: Option<(Instant, u8)>,
    /// Routes that a router caused, and when they go.
    routes: Vec<(Route, Option<Instant>)>,
    /// Resolvers, and when they are forgotten.
    resolvers: Vec<(Ipv6Addr, Option<Instant>)>,
}
impl Autoconf {
    /// Has heard of no router, and will ask.
    pub fn new(temporary: bool) -> Self {
        Self {
            temporary,
            solicit: Some((Instant::ZERO, SOLICITATIONS)),
            routes: Vec::new(),
            resolvers: Vec::new(),
        }
    }
    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        let routes = self.routes.iter().filter_map(|(_, until)| *until);
        let resolvers = self.resolvers.iter().filter_map(|(_, until)| *until);
        let solicit = self.solicit.map(|(at, _)| at);
        routes.chain(resolvers).chain(solicit).min()
    }
    /// Whether routers are to be asked for again.
    pub fn asks(&self) -> bool {
        self.solicit.is_some()
    }
    /// Remembers a route until then; `false`: there are too many.
    fn keep(&mut self, route: Route, until: Option<Instant>) -> bool {
        if let Some((_, known)) = self.routes.iter_mut().find(|(known, _)| *known == route) {
            *known = until;
            return true;
        }
        let room = self.routes.len() < MOST_ROUTES;
        if room {
            self.routes.push((route, until));
        }
        room
    }
    fn forget(&mut self, route: &Route) -> bool {
        let before = self.routes.len();
        self.routes.retain(|(known, _)| known != route);
        self.routes.len() < before
    }
}

impl Network {
    /// The resolvers that routers told on a port.
    pub fn resolvers(&self, port: PortId) -> Vec<Ipv6Addr> {
        let autoconf = self.v6.interface(port).and_then(|i| i.autoconf.as_ref());
        let all = autoconf.map_or(&[][..], |autoconf| &autoconf.resolvers);
        all.iter().map(|(ip, _)| *ip).collect()
    }

    /// The life of a route that a router told; `None`: none did.
    pub(in super::super) fn told_route(&self, route: &Route) -> Option<Option<Instant>> {
        let interface = self.v6.interface(route.port)?;
        let told = &interface.autoconf.as_ref()?.routes;
        let found = told.iter().find(|(known, _)| known.is_same(route));
        found.map(|(_, until)| *until)
    }

    /// RFC 4861 6.1.2, 6.3.4: a router says what it is.
    pub(super) fn hear_router(
        &mut self,
        port: PortId,
        src: Ipv6Addr,
        router: RouterAdvert,
        options: &Options,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Learnt>, DropReason> {
        if !src.is_unicast_link_local() {
            return Err(DropReason::NdpMalformed);
        }
        // RFC 6105's reasons: only who asked for routers hears them.
        let Some(autoconf) = &mut self.v6.interface_mut(port).autoconf else {
            return Err(DropReason::RouterAdvertRefused);
        };
        autoconf.solicit = None;
        let default = Route {
            prefix: Ipv6Addr::UNSPECIFIED.into(),
            len: 0,
            via: Some(src.into()),
            port,
        };
        let lifetime = u32::from(router.lifetime);
        self.set_route(default, lifetime, cx.now);
        for prefix in &options.prefixes {
            self.hear_prefix(port, prefix, cx);
        }
        self.hear_resolvers(port, options, cx.now);
        if let Some(mtu) = options.mtu {
            self.set_link_mtu(port, mtu);
        }
        self.v6.reschedule();
        let mac = options.source.filter(|mac| !mac.is_multicast());
        Ok(mac.map(|mac| Learnt::Asked { ip: src, mac }))
    }

    /// A route that a router caused, for so many seconds; 0 takes it away.
    fn set_route(&mut self, route: Route, lifetime: u32, now: Instant) {
        let Some(autoconf) = &mut self.v6.interface_mut(route.port).autoconf else {
            return;
        };
        if lifetime == 0 {
            if autoconf.forget(&route) {
                self.routes.remove(route);
            }
        } else if autoconf.keep(route, until(now, lifetime)) {
            // Families agree, and the length was checked.
            let _ = self.routes.add(route);
        }
    }

    /// RFC 4861 6.3.4, RFC 4862 5.5.3.
    fn hear_prefix(&mut self, port: PortId, info: &PrefixInfo, cx: &mut Cx<'_>) {
        let prefix = info.prefix;
        if prefix.is_unicast_link_local() || prefix.is_multicast() || info.len > 128 {
            return;
        }
        if info.on_link {
            let route = Route {
                prefix: prefix.into(),
                len: info.len,
                via: None,
                port,
            };
            self.set_route(route, info.valid, cx.now);
        }
        if !info.autonomous || info.len != 64 || info.preferred > info.valid {
            return;
        }
        let known = self.refresh(port, info, cx.now);
        let automatic = |a: &&Address6| matches!(a.origin, Origin::Stable | Origin::Temporary);
        let count = self.v6.addresses.on(port).iter().filter(automatic).count();
        if known || info.valid == 0 || count >= MOST_AUTOMATIC {
            return;
        }
        self.make_stable(port, info, 0, cx.now);
        let interface = self.v6.interface(port);
        if interface.is_some_and(|i| i.autoconf.as_ref().is_some_and(|a| a.temporary)) {
            self.make_temporary(port, info, cx);
        }
    }

    /// New lives for the addresses that were made in a prefix; whether there are any.
    fn refresh(&mut self, port: PortId, info: &PrefixInfo, now: Instant) -> bool {
        let is_of =
            |a: &&Address6| matches!(a.origin, Origin::Stable) && same_prefix(a.ip, info.prefix);
        let known: Vec<_> = self
            .v6
            .addresses
            .on(port)
            .iter()
            .filter(is_of)
            .map(|a| a.ip)
            .collect();
        for ip in &known {
            let Some(address) = self.v6.addresses.get_mut(*ip) else {
                continue;
            };
            let left = address.valid_until.map(|until| until.since(now));
            let told = Duration::from_secs(u64::from(info.valid));
            address.valid_until = match left {
                _ if info.valid == u32::MAX => None,
                Some(left) if told <= TWO_HOURS && told < left => Some(now + left.min(TWO_HOURS)),
                None if told <= TWO_HOURS => Some(now + TWO_HOURS),
                _ => Some(now + told),
            };
            address.preferred_until = until(now, info.preferred);
            if address.state == AddressState::Deprecated && info.preferred > 0 {
                address.state = AddressState::Preferred;
            }
        }
        !known.is_empty()
    }

    /// RFC 7217 5: F(prefix, interface, counter, secret).
    fn make_stable(&mut self, port: PortId, info: &PrefixInfo, counter: u64, now: Instant) {
        let high = (info.prefix.to_bits() >> 64) as u64;
        let mut rng = self.v6.stable_rng(&[high, u64::from(port.0), counter]);
        let ip = with_id(info.prefix, rng.next_u64());
        let address = Address6 {
            preferred_until: until(now, info.preferred),
            valid_until: until(now, info.valid),
            ..Address6::lasting(ip, 64, Origin::Stable)
        };
        self.own_v6(port, address);
    }
    /// RFC 8981 3.3.
    fn make_temporary(&mut self, port: PortId, info: &PrefixInfo, cx: &mut Cx<'_>) {
        let ip = with_id(info.prefix, cx.rng.next_u64());
        let capped = |seconds: u32, most: Duration| {
            Some(cx.now + Duration::from_secs(u64::from(seconds)).min(most))
        };
        let address = Address6 {
            preferred_until: capped(info.preferred, TEMPORARY_PREFERRED),
            valid_until: capped(info.valid, TEMPORARY_VALID),
            ..Address6::lasting(ip, 64, Origin::Temporary)
        };
        self.own_v6(port, address);
    }
    /// RFC 7217 6: another one instead of an address that somebody else has.
    pub(super) fn replace_duplicate(&mut self, ip: Ipv6Addr) {
        let Some(address) = self.v6.addresses.get(ip).copied() else {
            return;
        };
        let Some(port) = self.v6.addresses.port_of(ip) else {
            return;
        };
        let tried = self.v6.addresses.on(port).iter();
        let tried = tried.filter(|a| same_prefix(a.ip, ip)).count() as u64;
        if address.origin != Origin::Stable || tried > 3 {
            return;
        }
        let high = (ip.to_bits() >> 64) as u64;
        let mut rng = self.v6.stable_rng(&[high, u64::from(port.0), tried]);
        let next = Address6 {
            ip: with_id(ip, rng.next_u64()),
            state: AddressState::Preferred,
            ..address
        };
        self.own_v6(port, next);
        self.v6.reschedule();
    }

    fn hear_resolvers(&mut self, port: PortId, options: &Options, now: Instant) {
        let Some(autoconf) = &mut self.v6.interface_mut(port).autoconf else {
            return;
        };
        for (lifetime, addresses) in &options.rdnss {
            for ip in addresses {
                autoconf.resolvers.retain(|(known, _)| known != ip);
                if *lifetime > 0 && autoconf.resolvers.len() < MOST_RESOLVERS {
                    autoconf.resolvers.push((*ip, until(now, *lifetime)));
                }
            }
        }
    }

    /// What is due on a port that listens to routers.
    pub(super) fn serve_autoconf(&mut self, port: PortId, cx: &mut Cx<'_>) {
        let Some(autoconf) = &mut self.v6.interface_mut(port).autoconf else {
            return;
        };
        let is_over = |until: &Option<Instant>| until.is_some_and(|until| until <= cx.now);
        autoconf.resolvers.retain(|(_, until)| !is_over(until));
        let over: Vec<_> = autoconf
            .routes
            .iter()
            .filter(|(_, until)| is_over(until))
            .copied()
            .collect();
        autoconf.routes.retain(|(_, until)| !is_over(until));
        let asks = autoconf.solicit.filter(|(at, _)| *at <= cx.now);
        if let Some((_, left)) = asks {
            autoconf.solicit = (left > 1).then(|| (cx.now + SOLICITATION_INTERVAL, left - 1));
        }
        for (route, _) in over {
            self.routes.remove(route);
        }
        if asks.is_some() {
            self.ask_for_routers(port, cx);
        }
    }
    fn ask_for_routers(&mut self, port: PortId, cx: &mut Cx<'_>) {
        let dst = zoned(ALL_ROUTERS, port);
        let src = self.v6.addresses.select(port, dst);
        let sure = src.filter(|ip| {
            let address = self.v6.addresses.get(*ip);
            address.is_some_and(|a| a.state != AddressState::Optimistic)
        });
        let options = Options {
            source: sure.and_then(|_| self.v6.interface(port)?.mac),
            ..Options::default()
        };
        let message = Ndp::RouterSolicit { options };
        let question = self.message(&message, src.unwrap_or(Ipv6Addr::UNSPECIFIED), dst, cx);
        self.v6.send(question);
    }
}

fn until(now: Instant, seconds: u32) -> Option<Instant> {
    (seconds != u32::MAX).then(|| now + Duration::from_secs(u64::from(seconds)))
}
fn same_prefix(a: Ipv6Addr, b: Ipv6Addr) -> bool {
    a.to_bits() >> 64 == b.to_bits() >> 64
}
/// An interface identifier in a prefix of 64 bits; those that RFC 5453 keeps for others are shifted.
fn with_id(prefix: Ipv6Addr, id: u64) -> Ipv6Addr {
    let reserved = id == 0 || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&id);
    let id = if reserved { id ^ 1 << 40 } else { id };
    Ipv6Addr::from_bits((prefix.to_bits() >> 64 << 64) | u128::from(id))
}
