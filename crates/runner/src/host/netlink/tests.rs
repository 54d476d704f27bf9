use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use heptad_runtime::stack::l1_physical::PortCounters;
use heptad_runtime::stack::l3_network::zone;
use heptad_runtime::stack::l4_transport::tcp::State;
use heptad_runtime::stack::stack::{
    Address6, Neighbour, Origin, Route, RouteOrigin, RouteRow, SocketDetail, SocketRow,
};
use heptad_runtime::stack::wire::MacAddr;
use heptad_runtime::stack::{Caps, Family, Medium, PortConfig, PortId, SocketError, SocketKind};

use super::message::{Answer, DUMP, Message, Reply, attribute, datagrams, messages, word};
use super::{diag, link, route};
use crate::host::tables::{Address4, Tables};

const ETH0: PortId = PortId(1);

fn port(name: &str, medium: Medium) -> (PortConfig, PortCounters) {
    let config = PortConfig {
        name: name.into(),
        medium,
        mtu: 1500,
        caps: Caps::MEMORY,
        queue_limit: 1000,
    };
    (config, PortCounters::default())
}

fn tables() -> Tables {
    let address = |port, ip: [u8; 4], len| Address4 {
        port,
        ip: ip.into(),
        len,
        standing: None,
    };
    let address_v6 = |port, text: &str, origin| {
        let ip: Ipv6Addr = text.parse().unwrap();
        (port, Address6::lasting(zone::zoned(ip, port), 64, origin))
    };
    let row = |prefix: &str, len, via: Option<&str>, origin| RouteRow {
        route: Route {
            prefix: prefix.parse().unwrap(),
            len,
            via: via.map(|via| via.parse().unwrap()),
            port: ETH0,
        },
        origin,
        until: None,
    };
    let neighbour = |ip: &str, state| Neighbour {
        ip: ip.parse().unwrap(),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 9])),
        port: ETH0,
        state,
    };
    Tables {
        ports: vec![
            port("lo", Medium::Ip),
            port("eth0", Medium::Ethernet(MacAddr([2, 0, 0, 0, 0, 1]))),
            port("tun0", Medium::Ip),
        ],
        addresses: vec![
            address(PortId::LOOPBACK, [127, 0, 0, 1], 8),
            address(ETH0, [10, 0, 0, 1], 24),
        ],
        addresses_v6: vec![
            address_v6(ETH0, "fe80::1", Origin::LinkLocal),
            address_v6(ETH0, "fd00::1", Origin::Manual),
        ],
        routes: vec![
            row("0.0.0.0", 0, Some("10.0.0.9"), RouteOrigin::Manual),
            row("10.0.0.0", 24, None, RouteOrigin::Address),
            row("::", 0, Some("fe80::9"), RouteOrigin::Router),
            row("fd00::", 64, None, RouteOrigin::Address),
        ],
        neighbours: vec![
            neighbour("fd00::9", "STALE"),
            neighbour("10.0.0.9", "REACHABLE"),
        ],
        ..Tables::default()
    }
}

/// Asks with this body and looks at the messages of the answer.
fn asked(
    flags: u16,
    body: &[u8],
    answer: impl FnOnce(&Message<'_>) -> Result<Answer, i32>,
) -> Result<Vec<Vec<u8>>, i32> {
    let length = u32::try_from(16 + body.len()).unwrap();
    let header = [&length.to_ne_bytes()[..], &[18, 0], &flags.to_ne_bytes()].concat();
    let bytes = [&header[..], &[0; 8], body].concat();
    let request = messages(&bytes).next().unwrap();
    let answered = answer(&request)?;
    let said = datagrams(&request, 1, Ok(answered), false);
    let bodies = said.iter().flat_map(|datagram| messages(datagram));
    let bodies = bodies.filter(|message| message.header.kind != super::message::DONE);
    Ok(bodies.map(|message| message.body.to_vec()).collect())
}

fn dumped(body: &[u8], answer: impl FnOnce(&Message<'_>) -> Answer) -> Vec<Vec<u8>> {
    asked(DUMP | 1, body, |request| Ok(answer(request))).unwrap()
}

#[test]
fn interfaces_are_as_linux_would_have_them() {
    let tables = tables();
    let links = dumped(&[0; 16], |request| link::links(&tables, request));
    // Kind of hardware and flags of each, and the name.
    let table = [
        (772, 0x1_0049, "lo\0"),
        (1, 0x1_1043, "eth0\0"),
        (65_534, 0x1_10d1, "tun0\0"),
    ];
    assert_eq!(links.len(), 3);
    for ((body, (hardware, flags, name)), index) in links.iter().zip(table).zip(1..) {
        assert_eq!(word(body, 0), Some(hardware << 16), "{name}");
        assert_eq!(word(body, 4), Some(index), "{name}");
        assert_eq!(word(body, 8), Some(flags), "{name}");
        assert_eq!(attribute(&body[16..], 3), Some(name.as_bytes()));
        assert_eq!(attribute(&body[16..], 4), Some(&1500_u32.to_ne_bytes()[..]));
    }
    assert_eq!(attribute(&links[1][16..], 1), Some(&[2, 0, 0, 0, 0, 1][..]));
    assert_eq!(attribute(&links[2][16..], 1), None);
    let of_bridge = dumped(&[7], |request| link::links(&tables, request));
    assert!(of_bridge.is_empty());
}

#[test]
fn one_interface_is_found_by_index_or_by_name() {
    let tables = tables();
    let by = |index: u32, kind: u16, name: &[u8]| {
        let fixed = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat();
        let named = Reply::new(0, &[&fixed]).with(kind, name);
        let bytes = &datagrams(
            &messages(&[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
                .next()
                .unwrap(),
            0,
            Ok(Answer::One(named)),
            false,
        )[0];
        let found = asked(1, &bytes[16..], |request| link::one_link(&tables, request));
        found.map(|found| word(&found[0], 4))
    };
    assert_eq!(by(2, 99, b""), Ok(Some(2)));
    assert_eq!(by(0, 3, b"eth0\0"), Ok(Some(2)));
    assert_eq!(by(0, 53, b"tun0"), Ok(Some(3)));
    assert_eq!(by(0, 3, b"eth"), Err(libc::ENODEV));
    assert_eq!(by(4, 3, b"eth0"), Err(libc::ENODEV));
    assert_eq!(by(0, 99, b""), Err(libc::EINVAL));
    let short = asked(1, &[0; 4], |request| link::one_link(&tables, request));
    assert_eq!(short, Err(libc::EINVAL));
}

#[test]
fn dumps_have_the_family_and_the_table_that_are_asked_for() {
    let tables = tables();
    // A family and how many: addresses, routes of both tables, rules, neighbours.
    for (family, counts) in [(0, [4, 12, 5, 2]), (2, [2, 7, 3, 1]), (10, [2, 5, 2, 1])] {
        let body = [family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let got = [
            dumped(&body, |request| link::addresses(&tables, request, false)),
            dumped(&body, |request| route::routes(&tables, request, false)),
            dumped(&body, route::rules),
            dumped(&body, |request| route::neighbours(&tables, request)),
        ];
        assert_eq!(got.map(|rows| rows.len()), counts, "family {family}");
    }
    let main = [2, 0, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0];
    let strict = dumped(&main, |request| route::routes(&tables, request, true));
    assert_eq!(strict.len(), 2);
    assert_eq!(attribute(&strict[0][12..], 1), None);
    assert_eq!(attribute(&strict[0][12..], 5), Some(&[10, 0, 0, 9][..]));
    assert_eq!(attribute(&strict[1][12..], 7), Some(&[10, 0, 0, 1][..]));
    let of_eth0 = [0, 0, 0, 0, 2, 0, 0, 0];
    let own = dumped(&of_eth0, |request| link::addresses(&tables, request, true));
    assert_eq!(own.len(), 3);
    // The link's own comes last, without its zone.
    let last = attribute(&own[2][8..], 1).unwrap();
    assert_eq!(last, "fe80::1".parse::<Ipv6Addr>().unwrap().octets());
}

#[test]
fn a_destination_goes_by_the_longest_prefix() {
    let tables = tables();
    let way = |to: &[u8], speak_from: Result<Ipv4Addr, SocketError>| {
        let length = u8::try_from(4 + to.len()).unwrap();
        let body = [&[2; 12][..], &[length, 0, 1, 0], to].concat();
        let from = |_: SocketAddr| speak_from.map(Into::into);
        let said = asked(1, &body, |request| route::one_route(&tables, request, from));
        said.map(|said| {
            let attributes = &said[0][12..];
            let via = attribute(attributes, 5).map(<[u8]>::to_vec);
            (via, attribute(attributes, 4).and_then(|port| word(port, 0)))
        })
    };
    let me = Ok(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(way(&[10, 0, 0, 7], me), Ok((None, Some(2))));
    let far = Some(vec![10, 0, 0, 9]);
    assert_eq!(way(&[192, 0, 2, 1], me), Ok((far, Some(2))));
    assert_eq!(way(&[10, 0, 0, 1], me), Ok((None, Some(1))));
    let refused = Err(SocketError::NetworkUnreachable);
    assert_eq!(way(&[10, 0, 0, 7], refused), Err(libc::ENETUNREACH));
    assert_eq!(way(&[10, 0, 0], me), Err(libc::EINVAL));
}

#[test]
fn sockets_are_chosen_by_family_protocol_state_and_port() {
    let socket = |kind, family, local: &str, remote: Option<&str>, state| SocketDetail {
        row: SocketRow {
            kind,
            family,
            socket: None,
            local: local.parse().unwrap(),
            remote: remote.map(|remote| remote.parse().unwrap()),
            state,
            recv_q: 1,
            send_q: 2,
        },
        tcp: None,
        v6_only: false,
    };
    let (stream, datagram) = (SocketKind::Stream, SocketKind::Datagram);
    let (v4, v6) = (Family::V4, Family::V6);
    let peer = Some("10.0.0.2:9");
    let all = [
        socket(stream, v4, "0.0.0.0:80", None, Some(State::Listen)),
        socket(stream, v4, "10.0.0.1:80", peer, Some(State::Established)),
        socket(stream, v6, "10.0.0.1:81", peer, Some(State::TimeWait)),
        socket(datagram, v4, "10.0.0.1:53", None, None),
        socket(datagram, v4, "10.0.0.1:54", peer, None),
        socket(SocketKind::Echo, v4, "10.0.0.1:7", None, None),
    ];
    let no_inode = |_| 7;
    let chosen = |family: u8, protocol: u8, states: u32, port: u16| {
        let start = [&[family, protocol, 0, 0], &states.to_ne_bytes()[..]].concat();
        let body = [&start[..], &port.to_be_bytes(), &[0; 46]].concat();
        let dump = |request: &Message<'_>| diag::dump(&all, request, (&no_inode, 1000));
        asked(DUMP | 1, &body, dump).unwrap()
    };
    // Family, protocol, states, port; how many.
    for (family, protocol, states, port, count) in [
        (2, 6, u32::MAX, 0, 2),
        (2, 6, 1 << 10, 0, 1),
        (2, 6, 1 << 1, 0, 1),
        (2, 6, 1 << 6, 0, 0),
        (10, 6, 1 << 6, 0, 1),
        (2, 17, 1 << 7, 0, 1),
        (2, 17, u32::MAX, 54, 1),
        (2, 17, u32::MAX, 55, 0),
        (2, 1, u32::MAX, 0, 0),
    ] {
        let rows = chosen(family, protocol, states, port);
        assert_eq!(rows.len(), count, "{family} {protocol} {states:x} {port}");
    }
    let mapped = &chosen(10, 6, u32::MAX, 0)[0];
    let [low, high] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]
        .map(|ip| ip.to_ipv6_mapped().octets());
    assert_eq!(mapped[4..8], [0, 81, 0, 9]);
    assert_eq!((&mapped[8..24], &mapped[24..40]), (&low[..], &high[..]));
    let numbers = [56, 60, 64, 68].map(|at| word(mapped, at));
    assert_eq!(numbers, [Some(1), Some(2), Some(1000), Some(0)]);
}

#[test]
fn no_bytes_of_a_program_are_too_strange() {
    let tables = tables();
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Small numbers are lengths and types that mean something.
        let high = state >> 24;
        (if high & 1 == 0 { high % 24 } else { high }) as u8
    };
    for _ in 0..20_000 {
        let length = usize::from(byte() % 96);
        let bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
        assert!(messages(&bytes).count() <= bytes.len());
        let from = |to: SocketAddr| Ok(to.ip());
        let _ = asked(DUMP, &bytes, |request| {
            let _ = link::one_link(&tables, request);
            let _ = route::one_neighbour(&tables, request);
            let _ = route::one_route(&tables, request, from);
            let _ = diag::one(&[], request, (&|_| 0, 0));
            let _ = diag::dump(&[], request, (&|_| 0, 0));
            let _ = link::links(&tables, request);
            let _ = link::addresses(&tables, request, true);
            let _ = route::rules(request);
            let _ = route::neighbours(&tables, request);
            Ok(route::routes(&tables, request, true))
        });
    }
}
