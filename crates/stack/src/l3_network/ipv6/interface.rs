//! What IPv6 knows of each port: whether it is on, who listens to routers, who is one.
use core::net::Ipv6Addr;

use heptad_wire::MacAddr;
use heptad_wire::ipv6::MIN_MTU;

use super::super::zone::zoned;
use super::super::{Network, Route};
use super::Ipv6;
use super::address::{Address6, AddressState, Origin, Probe, solicited_node};
use super::advertise::{Advertiser, Advertising};
use super::autoconf::Autoconf;
use crate::l1_physical::PortId;
use crate::{Instant, Rng};

/// One port as IPv6 sees it.
#[derive(Default)]
pub struct Interface {
    /// Our link address; `None` on links that need none.
    pub(super) mac: Option<MacAddr>,
    /// Whether IPv6 is spoken here.
    pub(super) enabled: bool,
    /// A host that takes its addresses from routers.
    pub(super) autoconf: Option<Autoconf>,
    /// A router that says so.
    pub(super) advertiser: Option<Advertiser>,
    /// The MTU that a router told.
    mtu: Option<u32>,
}
impl Interface {
    /// When something is due here.
    pub(super) fn due(&self) -> Option<Instant> {
        let autoconf = self.autoconf.as_ref().and_then(Autoconf::due);
        let advertiser = self.advertiser.as_ref().map(Advertiser::due);
        [autoconf, advertiser].into_iter().flatten().min()
    }
    /// Whether some of that is more than upkeep (see `Stack::has_work`).
    pub(super) fn has_work(&self) -> bool {
        let asks = self.autoconf.as_ref().is_some_and(Autoconf::asks);
        asks || self.advertiser.as_ref().is_some_and(Advertiser::is_owed)
    }
}

/// All hosts of a link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of a link.
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All hosts, within this one.
const INTERFACE_LOCAL: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1);
/// The prefix of link-local addresses.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

impl Ipv6 {
    /// A port's interface; it comes into being here.
    pub(super) fn interface_mut(&mut self, port: PortId) -> &mut Interface {
        let index = usize::from(port.0);
        if index >= self.interfaces.len() {
            self.interfaces.resize_with(index + 1, Interface::default);
        }
        &mut self.interfaces[index]
    }
    /// The same to read.
    pub(super) fn interface(&self, port: PortId) -> Option<&Interface> {
        self.interfaces.get(usize::from(port.0))
    }
    /// A port whose link asks for duplicates before an address is surely ours.
    fn is_shared(&self, port: PortId) -> bool {
        self.interface(port).is_some_and(|i| i.mac.is_some())
    }
    /// A new address: used at once, while others are asked for it (RFC 4429).
    fn add_address(&mut self, port: PortId, address: Address6) -> bool {
        let asked = self.is_shared(port);
        let probe = Probe {
            at: Instant::ZERO,
            left: 1,
            nonce: [0; 6],
        };
        let address = Address6 {
            state: match asked {
                true => AddressState::Optimistic,
                false => address.state,
            },
            probe: asked.then_some(probe),
            ..address
        };
        let added = self.addresses.add(port, address);
        self.reschedule();
        added
    }
    /// A number that is the same for the same words as long as this host lives.
    pub(super) fn stable_rng(&self, words: &[u64]) -> Rng {
        use core::hash::BuildHasher;
        let mut seed = [0; 32];
        for (index, slot) in seed.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *slot = self.hash.hash_one((index, words)).to_le_bytes();
        }
        Rng::from_seed(seed)
    }
}

impl Network {
    /// Tells what a port's stations are known by.
    pub fn set_link_address(&mut self, port: PortId, mac: Option<MacAddr>) {
        self.v6.interface_mut(port).mac = mac;
    }
    /// IPv6 on a port: its link-local address and the groups that every node is in (RFC 4291 2.8). Twice is once.
    pub fn enable_v6(&mut self, port: PortId) {
        if core::mem::replace(&mut self.v6.interface_mut(port).enabled, true) {
            return;
        }
        for group in [INTERFACE_LOCAL, ALL_NODES] {
            self.groups.join(port, group.into());
        }
        if self.forwarding {
            self.groups.join(port, ALL_ROUTERS.into());
        }
        if port == PortId::LOOPBACK {
            return;
        }
        let id = match self.v6.interface(port).and_then(|i| i.mac) {
            Some(mac) => eui64(mac),
            None => self.v6.stable_rng(&[u64::from(port.0)]).next_u64(),
        };
        let ip = zoned(
            Ipv6Addr::from_bits(LINK_LOCAL.to_bits() | u128::from(id)),
            port,
        );
        let address = Address6::lasting(ip, 64, Origin::LinkLocal);
        self.own_v6(port, address);
        self.add_on_link(port, ip, 64);
    }
    /// A new address, and the group in which it is asked for. `false` if the host has it already.
    pub(in super::super) fn own_v6(&mut self, port: PortId, address: Address6) -> bool {
        let added = self.v6.add_address(port, address);
        if added {
            self.groups
                .join(port, solicited_node(address.ip, port).into());
        }
        added
    }
    /// An address goes, and its membership with it.
    pub(super) fn disown_v6(&mut self, ip: Ipv6Addr) {
        if let Some((port, _)) = self.v6.addresses.remove(ip) {
            self.groups.leave(port, solicited_node(ip, port).into());
        }
    }
    /// The link-local address of a port that nobody else claimed while that was asked.
    pub(in super::super) fn sure_link_local(&self, port: PortId) -> Option<Ipv6Addr> {
        let sure = |address: &&Address6| {
            let state = matches!(
                address.state,
                AddressState::Preferred | AddressState::Deprecated
            );
            state && address.ip.is_unicast_link_local()
        };
        let found = self.v6.addresses.on(port).iter().find(sure);
        found.map(|address| address.ip)
    }
    /// The port's addresses are taken from routers, temporary ones too if asked for.
    pub fn autoconfigure_v6(&mut self, port: PortId, temporary: bool) {
        self.enable_v6(port);
        self.v6.interface_mut(port).autoconf = Some(Autoconf::new(temporary));
        self.v6.reschedule();
    }
    /// The port's cable hears that this host is a router.
    pub fn advertise_v6(&mut self, port: PortId, advertising: Advertising) {
        self.enable_v6(port);
        self.v6.interface_mut(port).advertiser = Some(Advertiser::new(advertising));
        self.v6.reschedule();
    }
    /// The MTU of a link as a router told it (RFC 4861 6.3.4).
    pub(super) fn set_link_mtu(&mut self, port: PortId, mtu: u32) {
        if (MIN_MTU..=self.mtu(port)).contains(&mtu) {
            self.v6.interface_mut(port).mtu = Some(mtu);
        }
    }
    /// The largest packet of IPv6 on a port's link.
    pub(in super::super) fn mtu_v6(&self, port: PortId) -> u32 {
        let told = self.v6.interface(port).and_then(|i| i.mtu);
        told.unwrap_or(u32::MAX).min(self.mtu(port))
    }
    /// A route to a prefix on a port's link. One that is there stays once.
    pub(in super::super) fn add_on_link(&mut self, port: PortId, ip: Ipv6Addr, len: u8) {
        let route = Route {
            prefix: ip.into(),
            len,
            via: None,
            port,
        };
        // Families agree, and no prefix is longer than its address: it was checked.
        let _ = self.routes.add(route);
    }
}

/// RFC 4291 appendix A.
fn eui64(mac: MacAddr) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
