//! Two hosts of one IPv4 address (RFC 5227): stories of those that ask first, and of those that do not.
use std::net::Ipv4Addr;
use std::time::Duration;

use heptad_stack::stack::Standing;
use heptad_stack::{DropReason, PortId, SocketError, StackConfig};

use crate::rig::*;

const ETH0: PortId = PortId(1);
const SECOND: Duration = Duration::from_secs(1);
const SHARED: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

/// alice and bob on one cable, each with these addresses; who is careful asks for them first.
fn pair(alice: (&[&str], bool), bob: (&[&str], bool)) -> World {
    let mut world = World::empty();
    let a = world.host(StackConfig::default(), 1);
    let b = world.host(StackConfig::default(), 2);
    for (host, (addresses, careful)) in [(a, alice), (b, bob)] {
        let port = world.bare_port(host);
        let stack = &mut world.hosts[host].stack;
        // Whether an address is there before or comes after is all the same.
        let (first, others) = addresses.split_first().expect("an address");
        stack.add_address(port, ip(first), 24).unwrap();
        if careful {
            stack.detect_conflicts(port).unwrap();
        }
        for address in others {
            stack.add_address(port, ip(address), 24).unwrap();
        }
    }
    world.join((a, ETH0), (b, ETH0), 5 * MS, 0);
    world
}
impl World {
    fn stands(&self, host: usize, ip: Ipv4Addr) -> Option<Standing> {
        self.hosts[host].stack.standing(ETH0, ip)
    }
    fn conflicts(&self, host: usize) -> u64 {
        self.hosts[host].counters.drops(DropReason::ArpConflict)
    }
    fn can_bind(&mut self, host: usize, to: &str) -> bool {
        let socket = self.datagram(host);
        let bound = self.bind(host, socket, to);
        self.close(host, socket);
        assert!(matches!(
            bound,
            Ok(()) | Err(SocketError::AddressNotAvailable)
        ));
        bound.is_ok()
    }
    fn is_heard(&mut self, from: &str, to: &str) -> bool {
        let server = self.datagram(BOB);
        self.bind(BOB, server, to).unwrap();
        let client = self.datagram(ALICE);
        let heard =
            self.bind(ALICE, client, from).is_ok() && self.send_to(ALICE, client, b"a", to).is_ok();
        self.run_for(100 * MS);
        let heard = heard && self.recv(BOB, server).is_ok();
        self.close(ALICE, client);
        self.close(BOB, server);
        heard
    }
}

#[test]
fn an_address_is_used_once_nobody_has_claimed_it() {
    let mut world = pair((&["10.0.1.10", "10.0.1.11"], true), (&["10.0.1.20"], false));
    assert_eq!(world.stands(ALICE, SHARED), Some(Standing::Tentative));
    assert!(!world.can_bind(ALICE, "10.0.1.10:0") && !world.can_bind(ALICE, "10.0.1.11:0"));
    // Nothing is taken for it and nothing is sent from it.
    let socket = world.datagram(BOB);
    world
        .send_to(BOB, socket, b"too early", "10.0.1.10:9")
        .unwrap();
    world.run_for(3 * SECOND);
    assert_eq!(world.hosts[ALICE].stack.neighbours().len(), 0);
    world.run_for(4 * SECOND);
    assert_eq!(world.stands(ALICE, SHARED), Some(Standing::Held));
    assert!(world.is_heard("10.0.1.10:0", "10.0.1.20:7"));
    assert!(world.is_heard("10.0.1.11:0", "10.0.1.20:7"));
    assert_eq!((world.conflicts(ALICE), world.conflicts(BOB)), (0, 0));
    world.only_drops(&[DropReason::NeighbourUnreachable]);
}

#[test]
fn an_address_that_somebody_has_is_not_used_and_the_others_are() {
    let mut world = pair(
        (&["10.0.1.10", "10.0.1.11"], true),
        (&["10.0.1.10", "10.0.1.20"], false),
    );
    world.run_for(10 * SECOND);
    assert_eq!(world.stands(ALICE, SHARED), Some(Standing::Lost));
    assert_eq!(world.stands(BOB, SHARED), None, "bob asks nobody");
    assert!(world.conflicts(ALICE) >= 1);
    assert!(!world.can_bind(ALICE, "10.0.1.10:0") && world.can_bind(BOB, "10.0.1.10:0"));
    // alice speaks from her other address, to bob at the one that she wanted, too.
    assert!(world.is_heard("0.0.0.0:0", "10.0.1.10:7"));
    world.only_drops(&[DropReason::ArpConflict]);
}

#[test]
fn two_that_ask_at_once_both_do_without() {
    let mut world = pair((&["10.0.1.10"], true), (&["10.0.1.10"], true));
    world.run_for(10 * SECOND);
    // Whoever asks first is heard by the other one, who asks no more; or they ask at one time.
    let lost = [ALICE, BOB].map(|host| world.stands(host, SHARED) == Some(Standing::Lost));
    assert!(lost.contains(&true), "{lost:?}");
    let held = [ALICE, BOB].map(|host| world.stands(host, SHARED) == Some(Standing::Held));
    assert!(held != [true, true]);
}

#[test]
fn what_is_ours_is_announced_and_defended() {
    let mut world = pair((&["10.0.1.10"], true), (&["10.0.1.20"], false));
    world.run_for(10 * SECOND);
    assert!(world.is_heard("10.0.1.10:0", "10.0.1.20:7"));
    // bob gets alice's address later and says so: she answers once, and has it still.
    let stack = &mut world.hosts[BOB].stack;
    stack.add_address(ETH0, SHARED.into(), 24).unwrap();
    stack.detect_conflicts(ETH0).unwrap();
    world.run_for(10 * SECOND);
    assert_eq!(world.stands(ALICE, SHARED), Some(Standing::Held));
    assert_eq!(world.stands(BOB, SHARED), Some(Standing::Lost));
    assert!(world.conflicts(BOB) >= 1);
}

#[test]
fn an_address_that_somebody_uses_whatever_we_say_is_given_up() {
    let mut world = pair(
        (&["10.0.1.10", "10.0.1.11"], true),
        (&["10.0.1.10", "10.0.1.20"], false),
    );
    // While the cable is out, alice hears nobody.
    world.cut(BOB, true);
    world.run_for(10 * SECOND);
    world.cut(BOB, false);
    assert_eq!(world.stands(ALICE, SHARED), Some(Standing::Held));
    let socket = world.datagram(ALICE);
    world.bind(ALICE, socket, "10.0.1.10:0").unwrap();
    let before = world.conflicts(BOB);
    // bob asks for others from it, again and again.
    let s = world.datagram(BOB);
    for other in ["10.0.1.31:9", "10.0.1.32:9", "10.0.1.33:9"] {
        world.send_to(BOB, s, b"x", other).unwrap();
        world.run_for(SECOND);
    }
    assert_eq!(world.stands(ALICE, SHARED), Some(Standing::Lost));
    assert!(world.conflicts(ALICE) >= 2);
    assert_eq!(world.conflicts(BOB) - before, 1, "alice defended it once");
    // A socket that has it already finds no way; others speak from another address.
    let stuck = world.send_to(ALICE, socket, b"a", "10.0.1.20:9");
    assert_eq!(stuck, Err(SocketError::NetworkUnreachable));
    assert!(world.is_heard("0.0.0.0:0", "10.0.1.20:7"));
}

#[test]
fn a_port_without_link_addresses_asks_nobody() {
    let mut world = World::empty();
    let host = world.host(StackConfig::default(), 1);
    let stack = &mut world.hosts[host].stack;
    stack.detect_conflicts(PortId::LOOPBACK).unwrap();
    assert_eq!(stack.standing(PortId::LOOPBACK, Ipv4Addr::LOCALHOST), None);
    assert_eq!(stack.detect_conflicts(PortId(7)), Err(SocketError::Invalid));
    assert!(!stack.is_asking_for_addresses());
}
