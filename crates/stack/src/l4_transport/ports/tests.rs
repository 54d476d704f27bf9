use core::cell::Cell;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::Rng;

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 10));
const ALSO_HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 10));
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const HERE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
const PLAIN: Sharing = Sharing {
    reuse_address: false,
    reuse_port: false,
    listening: false,
    v6_only: false,
    device: None,
};
const REUSE_ADDRESS: Sharing = Sharing {
    reuse_address: true,
    ..PLAIN
};
const REUSE_PORT: Sharing = Sharing {
    reuse_port: true,
    ..PLAIN
};

fn rng() -> Rng {
    Rng::from_seed([7; 32])
}
fn space() -> PortSpace {
    PortSpace::new(&mut rng())
}
fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}
fn nothing(_: SocketAddr, _: SocketAddr) -> bool {
    false
}
fn peer(n: u16) -> SocketAddr {
    at(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 20)), n)
}

#[test]
fn bind_conflicts_are_those_of_linux() {
    let listens = |sharing| Sharing {
        listening: true,
        ..sharing
    };
    let by = |port| Sharing {
        device: Some(PortId(port)),
        ..PLAIN
    };
    let free = Ok(());
    let taken = Err(SocketError::AddressInUse);
    let rows = [
        // there, newcomer, verdict
        ((HERE, PLAIN), (HERE, PLAIN), taken),
        ((HERE, PLAIN), (ALSO_HERE, PLAIN), free),
        ((ANY, PLAIN), (HERE, PLAIN), taken),
        ((HERE, PLAIN), (ANY, PLAIN), taken),
        ((HERE, REUSE_ADDRESS), (HERE, PLAIN), taken),
        ((HERE, PLAIN), (HERE, REUSE_ADDRESS), taken),
        ((HERE, REUSE_ADDRESS), (HERE, REUSE_ADDRESS), free),
        ((ANY, REUSE_ADDRESS), (HERE, REUSE_ADDRESS), free),
        ((HERE, listens(REUSE_ADDRESS)), (HERE, REUSE_ADDRESS), taken),
        ((HERE, listens(REUSE_PORT)), (ANY, REUSE_PORT), free),
        ((HERE, REUSE_PORT), (HERE, REUSE_ADDRESS), taken),
        ((ANY, by(1)), (ANY, by(2)), free),
        ((ANY, by(1)), (HERE, by(1)), taken),
        ((ANY, by(1)), (ANY, PLAIN), taken),
        ((ANY, PLAIN), (ANY, by(1)), taken),
    ];
    for (n, (there, new, verdict)) in rows.into_iter().enumerate() {
        let mut space = space();
        space.claim(at(there.0, 80), there.1, &nothing).unwrap();
        let got = space.claim(at(new.0, 80), new.1, &nothing).map(|_| ());
        assert_eq!(got, verdict, "row {n}");
    }
}

/// As Linux 6.18 answers the same questions.
#[test]
fn a_wildcard_of_both_families_holds_a_port_in_both() {
    let only = |sharing| Sharing {
        v6_only: true,
        ..sharing
    };
    let places = [
        (ANY, PLAIN),
        (HERE, PLAIN),
        (ANY6, PLAIN),
        (ANY6, only(PLAIN)),
        (HERE6, only(PLAIN)),
    ];
    // A row for each that holds the port: who else may not have it.
    let taken = [
        [true, true, true, false, false],
        [true, true, true, false, false],
        [true, true, true, true, true],
        [false, false, true, true, true],
        [false, false, true, true, true],
    ];
    for (n, there) in places.into_iter().enumerate() {
        for (m, new) in places.into_iter().enumerate() {
            let mut space = space();
            let hold = space.claim(at(there.0, 80), there.1, &nothing).unwrap();
            let refused = space.claim(at(new.0, 80), new.1, &nothing).is_err();
            assert_eq!(refused, taken[n][m], "{there:?}, then {new:?}");
            space.release(hold);
            assert_eq!(space.ports.is_empty(), refused);
        }
    }
}

#[test]
fn a_socket_that_leaves_the_wildcard_leaves_the_other_family() {
    let mut space = space();
    let mut hold = space.claim(at(ANY6, 80), PLAIN, &nothing).unwrap();
    space.change(&mut hold, HERE, PLAIN);
    assert!(space.claim(at(ANY6, 80), PLAIN, &nothing).is_err());
    let v6 = Sharing {
        v6_only: true,
        ..PLAIN
    };
    assert!(space.claim(at(ANY6, 80), v6, &nothing).is_ok());
    space.release(hold);
    assert!(space.claim(at(ANY, 80), PLAIN, &nothing).is_ok());
}

#[test]
fn two_bound_sockets_share_a_port_but_only_one_listens() {
    let mut space = space();
    let mut first = space.claim(at(ANY, 80), REUSE_ADDRESS, &nothing).unwrap();
    let mut second = space.claim(at(ANY, 80), REUSE_ADDRESS, &nothing).unwrap();
    assert_eq!(space.listen(&mut first, &nothing), Ok(()));
    let refused = space.listen(&mut second, &nothing);
    assert_eq!(refused, Err(SocketError::AddressInUse));
    space.release(first);
    assert_eq!(space.listen(&mut second, &nothing), Ok(()));
}

#[test]
fn a_lingering_connection_holds_its_port_until_it_ends() {
    let mut space = space();
    let alive = Cell::new(true);
    let in_use = |_: SocketAddr, _: SocketAddr| alive.get();
    let hold = space.join(at(HERE, 80), PLAIN);
    space.leave_to_connection(hold, peer(1), &in_use);
    let taken = space.claim(at(ANY, 80), REUSE_ADDRESS, &in_use);
    assert_eq!(taken, Err(SocketError::AddressInUse));
    alive.set(false);
    assert!(space.claim(at(ANY, 80), PLAIN, &in_use).is_ok());
}

#[test]
fn holds_of_ended_connections_do_not_pile_up() {
    let mut space = space();
    for n in 0..10_000 {
        let hold = space.join(at(HERE, 80), PLAIN);
        space.leave_to_connection(hold, peer(n), &|_, to| to.port() + 50 > n);
    }
    assert!(space.ports[&80].lingering.len() < 200);
}

#[test]
fn a_released_port_leaves_nothing_behind() {
    let mut space = space();
    let mut hold = space.claim(at(ANY, 80), PLAIN, &nothing).unwrap();
    space.change(&mut hold, HERE, REUSE_PORT);
    space.release(hold);
    assert!(space.ports.is_empty() && space.at.is_empty());
}

#[test]
fn ephemeral_ports_lie_in_the_range_and_differ() {
    let (mut space, mut rng) = (space(), rng());
    let mut seen = BTreeSet::new();
    for n in 0..1_000 {
        let drawn = space.claim_ephemeral(ANY, PLAIN, &mut rng).unwrap();
        let connect = space.claim_for_connect(HERE, peer(n), PLAIN, &nothing);
        assert!(seen.insert(drawn.port), "bind drew {} twice", drawn.port);
        assert!(!seen.contains(&connect.unwrap().port));
        assert!((EPHEMERAL_FIRST..=EPHEMERAL_LAST).contains(&drawn.port));
    }
}

#[test]
fn connects_to_one_place_get_ports_of_their_own_until_none_is_left() {
    let mut space = space();
    let mut seen = BTreeSet::new();
    for _ in 0..EPHEMERAL_COUNT {
        let in_use = |local: SocketAddr, _: SocketAddr| seen.contains(&local.port());
        let hold = space.claim_for_connect(HERE, peer(80), PLAIN, &in_use);
        seen.insert(hold.unwrap().port);
    }
    assert_eq!(seen.len(), usize::from(EPHEMERAL_COUNT));
    let last = space.claim_for_connect(HERE, peer(80), PLAIN, &|l, _| seen.contains(&l.port()));
    assert_eq!(last, Err(SocketError::AddressNotAvailable));
}

#[test]
fn bind_to_port_zero_fails_when_every_ephemeral_port_is_held() {
    let (mut space, mut rng) = (space(), rng());
    for _ in 0..EPHEMERAL_COUNT {
        space.claim_ephemeral(ANY, PLAIN, &mut rng).unwrap();
    }
    let last = space.claim_ephemeral(HERE, PLAIN, &mut rng);
    assert_eq!(last, Err(SocketError::AddressInUse));
}

/// The slow, obvious model: a list of holders.
fn model_refuses(holders: &[Hold], new: SocketAddr, sharing: Sharing) -> bool {
    holders.iter().any(|there| {
        let both = |ip, sharing: Sharing| ip == ANY6 && !sharing.v6_only;
        let meet = there.addr.is_ipv4() == new.is_ipv4()
            || both(there.addr, there.sharing)
            || both(new.ip(), sharing);
        let any = there.addr.is_unspecified() || new.ip().is_unspecified();
        let same = there.addr == new.ip() || (any && meet);
        let both = sharing.reuse_address && there.sharing.reuse_address;
        let joins =
            (both && !there.sharing.listening) || (sharing.reuse_port && there.sharing.reuse_port);
        let apart = [there.sharing.device, sharing.device];
        let apart = apart.iter().all(Option::is_some) && apart[0] != apart[1];
        there.port == new.port() && same && !joins && !apart
    })
}

proptest! {
    #[test]
    fn counting_holders_answers_as_listing_them(
        steps in proptest::collection::vec((0u8..4, 0usize..5, 80u16..83, 0usize..8, any::<bool>(), 0u16..6, any::<prop::sample::Index>()), 1..80)
    ) {
        let mut space = space();
        let mut holders: Vec<Hold> = Vec::new();
        for (verb, ip, port, kind, v6_only, device, which) in steps {
            let local = at([ANY, HERE, ALSO_HERE, ANY6, HERE6][ip], port);
            // Most are bound to no port of the host.
            let device = (1..3).contains(&device).then_some(PortId(device));
            let sharing = Sharing { listening: false, v6_only, device, ..Sharing::from_kind(kind) };
            match verb {
                0 | 1 => {
                    let got = space.claim(local, sharing, &nothing);
                    prop_assert_eq!(got.is_err(), model_refuses(&holders, local, sharing));
                    holders.extend(got.ok());
                }
                2 if !holders.is_empty() => space.release(holders.swap_remove(which.index(holders.len()))),
                3 if !holders.is_empty() => {
                    let mut hold = holders.swap_remove(which.index(holders.len()));
                    let refused = model_refuses(&holders, at(hold.addr, hold.port), hold.sharing);
                    prop_assert_eq!(space.listen(&mut hold, &nothing).is_err(), refused);
                    holders.push(hold);
                }
                _ => {}
            }
        }
    }
}
