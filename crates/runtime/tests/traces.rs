//! Traces over five routers, in virtual time: who is on the way, how far, how wide.
use core::net::IpAddr;

use heptad_runtime::lab::{Cable, Lab};
use heptad_runtime::stack::time::Duration;
use heptad_runtime::tracepath::{PathAnswer, PathEvent};
use heptad_runtime::traceroute::{Method, ProbeResult, TraceOptions};
use heptad_runtime::{Clock, Network, NetworkOptions, Node};

/// alice - r1 - r2 - r3 - r4 - r5 - bob, 5 ms a cable; the one from r3 to r4 is narrow.
fn five_routers(changed: impl Fn(Cable) -> Cable) -> Network {
    let cable = || Cable::new().delay("5ms");
    let mut lab = Lab::builder()
        .seed(7)
        .host("alice", "10.0.1.10/24")
        .gateway("alice", "10.0.1.1")
        .host("bob", "10.0.9.20/24")
        .gateway("bob", "10.0.9.1")
        .link("alice", "r1", cable());
    for n in 1..=5 {
        lab = lab.router(&format!("r{n}"));
    }
    for n in 1..=4 {
        let cable = if n == 3 { changed(cable()) } else { cable() };
        lab = lab.link(&format!("r{n}"), &format!("r{}", n + 1), cable);
    }
    let lab = lab.link("r5", "bob", cable()).build().expect("a lab");
    let clock = Clock::Virtual;
    Network::start(
        lab,
        NetworkOptions {
            clock,
            sinks: vec![],
        },
    )
}

fn node(network: &Network, name: &str) -> Node {
    network.node(name).expect("a node")
}

/// Whose address it is.
fn whose(network: &Network, address: IpAddr) -> String {
    let machines = network.lab(|lab| lab.machines());
    let owner = machines
        .iter()
        .find(|m| m.addresses.iter().any(|(_, own, _)| *own == address));
    owner.map_or(address.to_string(), |machine| machine.name.clone())
}

fn trace(network: &Network, to: &str, options: TraceOptions) -> Vec<ProbeResult> {
    let alice = node(network, "alice");
    let to = alice.resolve(to).expect("an address");
    let mut results = Vec::new();
    alice
        .traceroute(to, options, |result| {
            results.extend(result);
            true
        })
        .expect("a way");
    results
}

/// Hop, who answered (or `*`), milliseconds: of the first probe of each hop.
fn hops(network: &Network, results: &[ProbeResult]) -> Vec<(u8, String, u128)> {
    let first = results.iter().filter(|result| result.query == 0);
    let row = |result: &ProbeResult| match result.answer {
        Some(answer) => (
            result.hop,
            whose(network, answer.from),
            answer.rtt.as_millis(),
        ),
        None => (result.hop, "*".to_owned(), 0),
    };
    first.map(row).collect()
}

#[test]
fn each_router_on_the_way_says_that_a_probe_died_there() {
    for method in [Method::Udp, Method::Icmp] {
        let network = five_routers(|cable| cable);
        // Neighbours are known; else the first probe of a hop waits for ARP as well.
        trace(&network, "bob", TraceOptions::default());
        network.sleep(Duration::from_secs(60));
        let results = trace(
            &network,
            "bob",
            TraceOptions {
                method,
                ..TraceOptions::default()
            },
        );
        assert_eq!(results.len(), 6 * 3, "{method:?}");
        let names = ["r1", "r2", "r3", "r4", "r5", "bob"];
        let found: Vec<_> = hops(&network, &results)
            .into_iter()
            .map(|(hop, name, _)| (hop, name))
            .collect();
        let expected: Vec<_> = (1..).zip(names.map(str::to_owned)).collect();
        assert_eq!(found, expected, "{method:?}");
        // One cable there and back is 10 ms.
        for result in &results {
            let answer = result.answer.expect("all answer");
            let least = u128::from(result.hop) * 10;
            assert!(answer.rtt.as_millis() >= least, "{result:?}");
            assert!(answer.rtt.as_millis() < least + 70, "{result:?}");
        }
        network.stop();
    }
}

#[test]
fn beyond_a_pulled_cable_there_is_silence_or_the_last_router_says_so() {
    let network = five_routers(|cable| cable.down(true));
    let options = TraceOptions {
        max_hops: 5,
        queries: 1,
        wait: Duration::from_secs(1),
        ..TraceOptions::default()
    };
    let results = trace(&network, "bob", options);
    let found = hops(&network, &results);
    let names: Vec<_> = found.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names, ["r1", "r2", "r3", "*", "*"]);
    // With more patience: ARP fails after three seconds, and r3 tells it.
    let options = TraceOptions {
        max_hops: 5,
        queries: 1,
        ..TraceOptions::default()
    };
    network.sleep(Duration::from_secs(60));
    let results = trace(&network, "bob", options);
    let last = results.last().and_then(|result| result.answer);
    let last = last.expect("r3 says that there is no host");
    assert_eq!(whose(&network, last.from), "r3");
    assert_eq!(last.message.map(|message| message.kind()), Some((3, 1)));
    network.stop();
}

#[test]
fn somebody_who_is_not_there_is_said_so_by_the_last_router_and_nobody_by_ourselves() {
    let network = five_routers(|cable| cable);
    let results = trace(&network, "10.0.9.99", TraceOptions::default());
    let last = results.last().and_then(|result| result.answer);
    let last = last.expect("an answer");
    assert_eq!(whose(&network, last.from), "r5");
    assert_eq!(last.message.map(|message| message.kind()), Some((3, 1)));
    // On our own cable it is we who say so.
    let results = trace(&network, "10.0.1.99", TraceOptions::default());
    let first = results.first().and_then(|result| result.answer);
    assert_eq!(
        first.map(|answer| whose(&network, answer.from)),
        Some("alice".into())
    );
    let alice = node(&network, "alice");
    let nowhere = "fd00:9::9".parse().expect("an address");
    let error = alice.traceroute(nowhere, TraceOptions::default(), |_| true);
    let code = error.expect_err("no route").raw_os_error();
    assert_eq!(code, Some(101));
    network.stop();
}

#[test]
fn a_trace_that_is_told_to_end_does() {
    let network = five_routers(|cable| cable);
    let mut told = 0;
    let alice = node(&network, "alice");
    let to = alice.resolve("bob").expect("an address");
    alice
        .traceroute(to, TraceOptions::default(), |result| {
            told += usize::from(result.is_some());
            told < 2
        })
        .expect("a way");
    assert_eq!(told, 2);
    network.stop();
}

#[test]
fn the_narrow_cable_is_found_where_it_is() {
    let network = five_routers(|cable| cable.mtu(1_400));
    let alice = node(&network, "alice");
    let to = alice.resolve("bob").expect("an address");
    let mut found = Vec::new();
    alice
        .tracepath(to, 30, |event| {
            found.extend(event);
            true
        })
        .expect("a way");
    assert_eq!(
        found.first(),
        Some(&PathEvent::Local { hop: 1, mtu: 1_500 })
    );
    let narrow = found.iter().find_map(|event| match event {
        PathEvent::Hop {
            hop,
            from,
            what: PathAnswer::Narrow(mtu),
            ..
        } => Some((*hop, whose(&network, *from), *mtu)),
        _ => None,
    });
    // r3 is asked to pass on what the cable behind it does not carry: that is found when r4 is asked.
    assert_eq!(narrow, Some((4, "r3".to_owned(), 1_400)));
    let resume = PathEvent::Resume {
        mtu: 1_400,
        hops: Some(6),
        back: Some(6),
    };
    assert_eq!(found.last(), Some(&resume));
    network.stop();
}
