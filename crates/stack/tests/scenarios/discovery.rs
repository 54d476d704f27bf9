//! Who is where on a link of IPv6, and what routers say: stories of hosts that come up.
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use heptad_stack::stack::{AddressState, Advertising, Origin};
use heptad_stack::{DropReason, PortId, StackConfig};

use crate::rig::*;

const ETH0: PortId = PortId(1);
const SECOND: Duration = Duration::from_secs(1);

/// alice and bob on one cable, each with these addresses of IPv6.
fn pair(alice: &[&str], bob: &[&str]) -> World {
    let mut world = World::empty();
    let a = world.host(StackConfig::default(), 1);
    let b = world.host(StackConfig::default(), 1);
    for (host, addresses) in [(a, alice), (b, bob)] {
        let port = world.bare_port(host);
        let stack = &mut world.hosts[host].stack;
        for address in addresses {
            stack.add_address(port, ip(address), 64).unwrap();
        }
    }
    world.join((a, ETH0), (b, ETH0), 5 * MS, 0);
    world
}

/// alice, who takes what routers say, and a router that advertises.
fn with_router(temporary: bool, advertising: Advertising) -> World {
    let mut world = World::empty();
    let a = world.host(StackConfig::default(), 1);
    let router = StackConfig {
        forwarding: true,
        ..StackConfig::default()
    };
    let r = world.host(router, 1);
    for host in [a, r] {
        world.bare_port(host);
    }
    let stack = &mut world.hosts[a].stack;
    stack.autoconfigure(ETH0, temporary).unwrap();
    let stack = &mut world.hosts[r].stack;
    stack.add_address(ETH0, ip("fd00:1::1"), 64).unwrap();
    stack.advertise(ETH0, advertising).unwrap();
    world.join((a, ETH0), (r, ETH0), 5 * MS, 0);
    world
}

impl World {
    fn address(&self, host: usize, origin: Origin) -> Option<(Ipv6Addr, AddressState)> {
        let rows = self.hosts[host].stack.ipv6_addresses();
        let mut on_cable = rows.into_iter().filter(|(port, _)| *port == ETH0);
        let found = on_cable.find(|(_, address)| address.origin == origin);
        found.map(|(_, address)| (address.ip, address.state))
    }
    fn default_routers(&self, host: usize) -> Vec<IpAddr> {
        let routes = self.hosts[host].stack.routes().into_iter();
        let default = routes.filter(|route| route.len == 0 && route.prefix.is_ipv6());
        default.filter_map(|route| route.via).collect()
    }
    fn neighbour(&self, host: usize, of: &str) -> Option<&'static str> {
        let rows = self.hosts[host].stack.neighbours();
        let found = rows.iter().find(|row| row.ip == ip(of));
        found.map(|row| row.state)
    }
    fn heard(&mut self, from: &str, to: &str) -> bool {
        let server = self.socket(BOB, ip("::").into(), heptad_stack::SocketKind::Datagram);
        self.bind(BOB, server, "[::]:7").unwrap();
        let client = self.socket(ALICE, ip("::").into(), heptad_stack::SocketKind::Datagram);
        self.bind(ALICE, client, &format!("[{from}]:0")).unwrap();
        self.send_to(ALICE, client, b"a", &format!("[{to}]:7"))
            .unwrap();
        self.run_for(200 * MS);
        let heard = self.recv(BOB, server).is_ok();
        self.close(BOB, server);
        self.close(ALICE, client);
        heard
    }
}

#[test]
fn an_address_is_used_at_once_and_is_surely_ours_after_a_second() {
    let mut world = pair(&["fd00:1::10"], &["fd00:1::20"]);
    assert!(world.heard("fd00:1::10", "fd00:1::20"));
    let state = |world: &World, origin| world.address(ALICE, origin).unwrap().1;
    assert_eq!(state(&world, Origin::Manual), AddressState::Optimistic);
    world.run_for(SECOND);
    for origin in [Origin::Manual, Origin::LinkLocal] {
        assert_eq!(state(&world, origin), AddressState::Preferred);
    }
    world.only_drops(NOTHING);
}

#[test]
fn an_address_that_somebody_has_is_given_up() {
    let mut world = pair(&["fd00:1::10"], &["fd00:1::10", "fd00:1::20"]);
    // bob comes up a little earlier and has it for sure.
    world.cut(ALICE, true);
    let before = world.hosts[ALICE].stack.ipv6_addresses().len();
    world.run_for(10 * MS);
    world.cut(ALICE, false);
    world.run_for(3 * SECOND);
    let alice = world.address(ALICE, Origin::Manual).unwrap();
    assert_eq!(alice.1, AddressState::Duplicate, "bob asked first");
    assert_eq!(world.hosts[ALICE].stack.ipv6_addresses().len(), before);
    let dropped = world.hosts[ALICE]
        .counters
        .drops(DropReason::NdpDuplicateAddress);
    assert!(dropped > 0);
    // Nothing is sent from it any more, nor taken for it.
    let s = world.socket(ALICE, ip("::").into(), heptad_stack::SocketKind::Datagram);
    assert!(world.bind(ALICE, s, "[fd00:1::10]:0").is_err());
}

#[test]
fn a_neighbour_is_reachable_then_stale_then_asked_again() {
    let mut world = pair(&["fd00:1::10"], &["fd00:1::20"]);
    world.run_for(2 * SECOND);
    assert!(world.heard("fd00:1::10", "fd00:1::20"));
    assert_eq!(world.neighbour(ALICE, "fd00:1::20"), Some("REACHABLE"));
    world.run_for(60 * SECOND);
    assert_eq!(world.neighbour(ALICE, "fd00:1::20"), Some("STALE"));
    assert!(world.heard("fd00:1::10", "fd00:1::20"));
    assert_eq!(world.neighbour(ALICE, "fd00:1::20"), Some("DELAY"));
    world.run_for(6 * SECOND);
    assert_eq!(world.neighbour(ALICE, "fd00:1::20"), Some("REACHABLE"));
    world.only_drops(NOTHING);
}

#[test]
fn link_local_addresses_speak_on_their_link() {
    let mut world = pair(&["fd00:1::10"], &["fd00:1::20"]);
    let own = |world: &World, host: usize| {
        let all = world.hosts[host].stack.addresses();
        let local = |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        all.into_iter().map(|(_, ip, _)| ip).find(local).unwrap()
    };
    let (alice, bob) = (own(&world, ALICE), own(&world, BOB));
    assert!(world.heard(&format!("{alice}%2"), &format!("{bob}%2")));
    let itself = world.socket(BOB, ip("::").into(), heptad_stack::SocketKind::Datagram);
    world.bind(BOB, itself, &format!("[{bob}%2]:9")).unwrap();
    world
        .send_to(BOB, itself, b"me", &format!("[{bob}%2]:9"))
        .unwrap();
    world.run_for(MS);
    assert_eq!(world.recv(BOB, itself), Ok(b"me".to_vec()));
    world.only_drops(NOTHING);
}

#[test]
fn a_host_takes_its_address_and_its_default_router_from_an_advertisement() {
    let resolver = "fd00:1::53".parse().unwrap();
    let advertising = Advertising {
        resolvers: vec![resolver],
        mtu: Some(1_400),
        ..Advertising::default()
    };
    let mut world = with_router(true, advertising);
    world.run_for(SECOND);
    let (stable, _) = world.address(ALICE, Origin::Stable).unwrap();
    let (temporary, _) = world.address(ALICE, Origin::Temporary).unwrap();
    for ip in [stable, temporary] {
        assert_eq!(ip.segments()[..4], [0xfd00, 1, 0, 0]);
    }
    assert_ne!(stable, temporary);
    let routers = world.default_routers(ALICE);
    assert!(matches!(routers[..], [IpAddr::V6(ip)] if ip.is_unicast_link_local()));
    assert_eq!(world.hosts[ALICE].stack.resolvers(ETH0), [resolver]);
    // Another host with the same seed but another secret has another address: it is drawn, not derived from the MAC.
    let [.., a, b, c, d] = stable.octets();
    assert_ne!([a, b, c, d], [0xfe, 0x77, 0, 1]);
    // It speaks from the temporary one, and the answer finds it.
    assert!(world.heard(&temporary.to_string(), "fd00:1::1"));
    world.only_drops(&[DropReason::RouterAdvertRefused]);
}

#[test]
fn what_a_router_caused_goes_when_its_time_is_over() {
    let mut world = with_router(false, Advertising::default());
    world.run_for(SECOND);
    assert_eq!(world.default_routers(ALICE).len(), 1);
    // It still advertises after a day; then it falls silent.
    world.run_for(86_400 * SECOND);
    let (_, state) = world.address(ALICE, Origin::Stable).unwrap();
    assert_eq!(state, AddressState::Preferred);
    assert_eq!(world.default_routers(ALICE).len(), 1);
    world.cut(BOB, true);
    world.run_for(1_801 * SECOND);
    assert_eq!(world.default_routers(ALICE), [] as [IpAddr; 0]);
    world.run_for(604_801 * SECOND);
    let (_, state) = world.address(ALICE, Origin::Stable).unwrap();
    assert_eq!(state, AddressState::Deprecated);
    world.run_for(2_592_001 * SECOND);
    assert_eq!(world.address(ALICE, Origin::Stable), None);
}

#[test]
fn without_a_router_a_host_asks_three_times() {
    let mut world = pair(&[], &[]);
    let alice = &mut world.hosts[ALICE].stack;
    alice.autoconfigure(ETH0, false).unwrap();
    world.run_for(60 * SECOND);
    let asked = world.count(ALICE, heptad_stack::Counter::Icmp6OutRouterSolicits);
    assert_eq!(asked, 3);
    assert_eq!(world.default_routers(ALICE), [] as [IpAddr; 0]);
}
