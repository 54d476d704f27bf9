//! Labs of both families, and what goes on in them for ever.
mod story;

use std::net::{IpAddr, Ipv6Addr};

use heptad_lab::stack::stack::{Route, SocketOption, Stack};
use heptad_lab::stack::{Cx, Family, Instant, SocketKind};
use heptad_lab::stack::{PortId, Ready};
use heptad_lab::{Cable, Lab, LabBuilder, LabOptions, Outcome, Topology};
use story::{End, Story, millis, options, seconds};

/// Two networks with a router in each and a cable between those.
fn dual() -> LabBuilder {
    Lab::builder()
        .host("a", "10.0.1.10/24")
        .address("a", "eth0", "fd00:1::10/64")
        .gateway("a", "10.0.1.1")
        .gateway("a", "fe80::1")
        .host("b", "fd00:2::20/64")
        .gateway("b", "fd00:2::1")
        .host("c", "auto")
        .privacy("c")
        .host("d", "10.0.1.40/24")
        .gateway("d", "10.0.1.1")
        .router("r1")
        .router("r2")
        .switch("s")
        .link("a", "s", Cable::new().delay("1ms"))
        .link("c", "s", Cable::new().delay("1ms"))
        .link("d", "s", Cable::new().delay("1ms"))
        .link("r1", "s", Cable::new().delay("1ms"))
        .link("r1", "r2", Cable::new().delay("5ms"))
        .link("r2", "b", Cable::new().delay("1ms"))
}
fn story(builder: &LabBuilder) -> Story {
    Story::new(&builder.topology().expect("a lab"), options(1))
}
fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
/// A socket of IPv6 bound to a port.
fn udp(story: &mut Story, node: &str, port: u16) -> End {
    let machine = story.lab.machine(node).expect("a node");
    let any = (Ipv6Addr::UNSPECIFIED, port).into();
    let socket = story.lab.with(machine, |stack, cx| {
        let socket = stack.socket(Family::V6, SocketKind::Datagram)?;
        stack.bind(socket, any, cx).map(|()| socket)
    });
    (machine, socket.expect("a free port"))
}

#[test]
fn whoever_has_an_address_of_ipv6_reaches_everybody_who_has_one() {
    let mut story = story(&dual());
    story.run_for(millis(1500));
    let c = story.lab.resolve("c").expect("it heard a router");
    let addresses = [("a", ip("fd00:1::10")), ("b", ip("fd00:2::20")), ("c", c)];
    let sockets = addresses.map(|(node, _)| udp(&mut story, node, 9));
    for (from, (_, source)) in sockets.iter().zip(addresses) {
        for (to, (name, address)) in sockets.iter().zip(addresses).filter(|(to, _)| *to != from) {
            story.send_to(*from, b"hello", &format!("[{address}]:9"));
            story.run_for(millis(100));
            let (bytes, sender) = story.receive(*to).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(bytes, b"hello");
            // A host with privacy speaks from an address that lasts a day.
            assert!(source == c || sender.ip() == source, "{sender}");
        }
    }
    let (a, d) = (story.udp("a", 7), story.udp("d", 7));
    story.send_to(d, b"as ever", "10.0.1.10:7");
    story.run_for(millis(100));
    assert!(story.receive(a).is_some());
    let d = story.lab.machine("d").unwrap();
    let six = story.lab.stack(d).unwrap().ipv6_addresses();
    assert!(
        six.iter().all(|(port, _)| *port == PortId::LOOPBACK),
        "{six:?}"
    );
}

#[test]
fn a_host_learns_its_addresses_and_its_way_out_from_the_router() {
    let mut story = story(&dual());
    let c = story.lab.machine("c").unwrap();
    assert!(story.lab.awaits_addresses());
    assert_eq!(story.lab.resolve("c"), None);
    story.run_for(millis(1500));
    assert!(!story.lab.awaits_addresses());
    let addresses = story.lab.addresses("c");
    assert_eq!(addresses.len(), 2, "one that stays and one for a day");
    for address in &addresses {
        assert!(
            address.to_string().starts_with("fd00:1::")
                || address.to_string().starts_with("fd00:1:0:0:"),
            "{address}"
        );
        assert_eq!(story.lab.owner(*address), Some(c));
    }
    let info = &story.lab.machines()[c.0 as usize];
    assert_eq!(info.addresses[0], ("eth0".into(), addresses[0], 64));
    let default = |route: &Route| route.len == 0 && route.prefix.is_ipv6();
    assert!(story.lab.stack(c).unwrap().routes().iter().any(default));
    // A host with an address of its own and no gateway has no way out.
    let lone = Lab::builder()
        .host("a", "fd00:1::10/64")
        .router("r")
        .link("a", "r", Cable::new());
    let mut lone = Story::new(&lone.topology().unwrap(), options(1));
    lone.run_for(millis(5000));
    let a = lone.lab.machine("a").unwrap();
    assert!(!lone.lab.stack(a).unwrap().routes().iter().any(default));
}

#[test]
fn a_link_local_address_belongs_to_one_machine_or_to_nobody() {
    let mut story = story(&dual());
    story.run_for(millis(1500));
    let made = |story: &Story, name: &str| {
        let machine = story.lab.machine(name).unwrap();
        let own = story.lab.stack(machine).unwrap().addresses();
        let mut own = own.into_iter().map(|(_, address, _)| address);
        let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        (machine, own.find(link_local).unwrap())
    };
    let (a, address) = made(&story, "a");
    assert_eq!(story.lab.owner(address), Some(a));
    assert_eq!(story.lab.owner(ip("fe80::1")), story.lab.machine("r1"));
    assert_eq!(story.lab.owner(ip("::1")), None);
    let twice = "[nodes.a]\naddress = \"fe80::7/64\"\n[nodes.b]\naddress = [\"fe80::8/64\", \"10.0.0.1/24\"]\n[nodes.c]\naddress = \"fe80::7/64\"\n\
                 [nodes.d]\naddress = \"10.0.9.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]\n[[links]]\nendpoints = [\"c\", \"d\"]\n";
    let twice = Topology::parse(twice, "lab.toml").expect("each on its own cable");
    let twice = Lab::new(&twice, LabOptions::default()).expect("a lab");
    assert_eq!(twice.owner(ip("fe80::7")), None);
    assert_eq!(twice.owner(ip("fe80::8")), twice.machine("b"));
    assert_eq!(
        (twice.resolve("a"), twice.resolve("b")),
        (None, Some(ip("10.0.0.1")))
    );
}

#[test]
fn a_router_that_advertises_for_ever_keeps_nobody_waiting() {
    let mut story = story(&dual());
    assert!(story.lab.next_work().is_some());
    assert_eq!(
        story.lab.run_until(Instant::MAX, false, u64::MAX),
        Outcome::Idle
    );
    assert!(story.lab.now() < seconds(60), "{:?}", story.lab.now());
    assert!(
        !story.lab.awaits_addresses(),
        "what is asked for is no upkeep"
    );
    assert_eq!(story.lab.next_work(), None);
    let next = story.lab.next_event().expect("it goes on");
    // Up to a limit all happens at its time.
    let before = story.lab.take_frames().len();
    assert!(before > 0);
    let hour = seconds(3600);
    assert_eq!(story.lab.run_until(hour, false, u64::MAX), Outcome::Idle);
    assert_eq!(story.lab.now(), hour);
    assert!(story.lab.next_event() > Some(next));
    let advertised = story.lab.take_frames().len();
    assert!(advertised > 0, "advertisements go on");
    // Who sends is work again.
    let a = udp(&mut story, "a", 9);
    story.send_to(a, b"?", "[fd00:2::20]:9");
    assert!(story.lab.next_work().is_some());
    assert_eq!(
        story.lab.run_until(Instant::MAX, false, u64::MAX),
        Outcome::Idle
    );
    assert!(
        story
            .lab
            .stack(a.0)
            .unwrap()
            .ready(a.1)
            .contains(Ready::WRITABLE)
    );
}

#[test]
fn the_same_seed_makes_the_same_addresses() {
    let run = |seed| {
        let mut story = Story::new(&dual().topology().unwrap(), options(seed));
        story.run_for(millis(20_000));
        (story.lab.addresses("c"), story.lab.event_hash())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}

#[test]
fn a_flipped_bit_behind_the_coverage_of_udp_lite_is_delivered() {
    let builder = Lab::builder()
        .host("a", "10.0.0.1/24")
        .host("b", "10.0.0.2/24")
        .link("a", "b", Cable::new().name("bad"));
    let mut story = story(&builder);
    let [a, b] = ["a", "b"].map(|node| {
        let end = story.socket(node, SocketKind::Lite);
        story.bind(end, 9);
        end
    });
    let text = [0; 1_000];
    story.send_to(a, &text, "10.0.0.2:9");
    story.run_for(millis(100));
    assert_eq!(story.receive(b).map(|(got, _)| got), Some(text.to_vec()));
    let mut change = story.lab.link("bad").unwrap();
    if let Some(forward) = &mut change.forward {
        forward.corrupt_undetected = 1.0;
    }
    story.lab.change(&change).unwrap();
    // Of twenty datagrams with a bit flipped somewhere all are dropped, or all but those whose headers it hit.
    for (coverage, least, most) in [(0, 0, 0), (8, 15, 20)] {
        let option = SocketOption::SendCoverage(coverage);
        let set = |stack: &mut Stack, cx: &mut Cx<'_>| stack.set(a.1, option, cx);
        story.lab.with(a.0, set).unwrap();
        for _ in 0..20 {
            story.send_to(a, &text, "10.0.0.2:9");
            story.run_for(millis(10));
        }
        let mut arrived = 0;
        while let Some((got, _)) = story.receive(b) {
            let flipped: u32 = got.iter().map(|byte| byte.count_ones()).sum();
            assert_eq!((got.len(), flipped), (1_000, 1));
            arrived += 1;
        }
        assert!((least..=most).contains(&arrived), "{coverage}: {arrived}");
    }
}

#[test]
fn a_flipped_bit_that_slips_past_the_cable_is_told_by_a_checksum_of_ipv6_too() {
    let builder = Lab::builder()
        .host("a", "fd00::1/64")
        .host("b", "fd00::2/64")
        .link("a", "b", Cable::new().name("bad"));
    let mut story = story(&builder);
    let (a, b) = (udp(&mut story, "a", 9), udp(&mut story, "b", 9));
    story.send_to(a, b"one", "[fd00::2]:9");
    story.run_for(millis(2000));
    assert!(story.receive(b).is_some());
    let mut change = story.lab.link("bad").unwrap();
    if let Some(forward) = &mut change.forward {
        forward.corrupt_undetected = 1.0;
    }
    story.lab.change(&change).unwrap();
    story.send_to(a, b"two", "[fd00::2]:9");
    story.run_for(millis(100));
    assert_eq!(story.receive(b), None);
    let row = story.lab.faults().into_iter().find(|row| row.applied > 0);
    assert!(row.is_some(), "{:?}", story.lab.faults());
}
