//! Random networks of hosts, switches and routers: whoever is connected can talk, without a line of addressing for the routers.
mod story;

use heptad_lab::Topology;
use heptad_lab::stack::DropReason;
use proptest::prelude::*;
use story::{Story, millis, options};

/// A connected network. Each site is a subnet with hosts on a switch, or one host on a cable.
#[derive(Clone, Debug)]
struct Network {
    routers: usize,
    /// Further cables between routers, beside a tree that joins them.
    chords: Vec<(usize, usize)>,
    /// For the tree: each router but the first is joined to one before it.
    parents: Vec<usize>,
    /// Router and number of hosts of each site.
    sites: Vec<(usize, usize)>,
}

fn network() -> impl Strategy<Value = Network> {
    (1usize..6).prop_flat_map(|routers| {
        let parents: Vec<_> = (1..routers).map(|n| 0..n).collect();
        let chords = prop::collection::vec((0..routers, 0..routers), 0..3);
        let sites = prop::collection::vec((0..routers, 1usize..4), 2..5);
        (parents, chords, sites).prop_map(move |(parents, chords, sites)| Network {
            routers,
            chords,
            parents,
            sites,
        })
    })
}

impl Network {
    /// The lab file and the hosts' names with their addresses.
    fn file(&self) -> (String, Vec<(String, String)>) {
        let (mut text, mut hosts, mut links) = (String::new(), Vec::new(), Vec::new());
        for n in 0..self.routers {
            text += &format!("[nodes.r{n}]\nkind = \"router\"\n");
        }
        links.extend(
            self.parents
                .iter()
                .enumerate()
                .map(|(n, p)| (format!("r{p}"), format!("r{}", n + 1))),
        );
        let chords = self.chords.iter().filter(|(a, b)| a != b);
        links.extend(chords.map(|(a, b)| (format!("r{a}"), format!("r{b}"))));
        for (site, (router, count)) in self.sites.iter().enumerate() {
            let attach = match count {
                1 => format!("r{router}"),
                _ => {
                    text += &format!("[nodes.s{site}]\nkind = \"switch\"\n");
                    links.push((format!("s{site}"), format!("r{router}")));
                    format!("s{site}")
                }
            };
            for host in 0..*count {
                let (name, address) = (
                    format!("h{site}x{host}"),
                    format!("10.0.{site}.{}", host + 10),
                );
                text += &format!(
                    "[nodes.{name}]\naddress = \"{address}/24\"\ngateway = \"10.0.{site}.1\"\n"
                );
                links.push((name.clone(), attach.clone()));
                hosts.push((name, address));
            }
        }
        for (n, (a, b)) in links.into_iter().enumerate() {
            text += &format!("[[links]]\nname = \"l{n}\"\nendpoints = [\"{a}\", \"{b}\"]\n");
        }
        (text, hosts)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn everybody_reaches_everybody(network in network()) {
        let (text, hosts) = network.file();
        let topology = Topology::parse(&text, "random.toml");
        let topology = topology.map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        let mut story = Story::new(&topology, options(1));
        let sockets: Vec<_> = hosts.iter().map(|(name, _)| story.udp(name, 9)).collect();
        for (from, socket) in hosts.iter().zip(&sockets) {
            for ((_, address), to) in hosts.iter().zip(&sockets).filter(|(_, to)| *to != socket) {
                story.send_to(*socket, from.0.as_bytes(), &format!("{address}:9"));
                story.run_for(millis(20));
                let (bytes, sender) = story.receive(*to).expect(&text);
                prop_assert_eq!(&bytes, from.0.as_bytes());
                prop_assert_eq!(sender.to_string(), format!("{}:9", from.1));
            }
        }
        for machine in story.lab.machines() {
            let Some(counters) = story.lab.counters(machine.id) else { continue };
            for reason in DropReason::ALL {
                // A flooded frame reaches stations that it is not for.
                let expected = *reason == DropReason::OtherHost;
                prop_assert!(expected || counters.drops(*reason) == 0, "{} dropped: {}", machine.name, reason.text());
            }
        }
    }
}

/// A value as somebody may write it, right or wrong.
fn value() -> impl Strategy<Value = String> {
    let words = [
        "20ms",
        "0ns",
        "584y",
        "9999999999h",
        "-5ms",
        "5%",
        "140%",
        "-1%",
        "1e400%",
        "nan%",
        "0.0001 %",
        "10 Mbit",
        "0 bit",
        "18446744073709551615 Gbit",
        "1 bit",
        "router",
        "switch",
        "a",
        "b:eth0",
        "c:lo",
        "10.0.0.1/24",
        "10.0.0.1/33",
        "0.0.0.0/0",
        "255.255.255.255/32",
        "::1/64",
        "",
        "안녕",
    ];
    let texts = words.into_iter().map(|word| format!("\"{word}\""));
    let plain = [
        "0",
        "1",
        "-1",
        "68",
        "1500",
        "65536",
        "9223372036854775807",
        "1.5",
        "inf",
        "nan",
        "true",
        "false",
        "1979-05-27",
        "[]",
        "{}",
        "[3, 7]",
        "[0]",
        "{ nth = [1, 2] }",
        "{ every = 0 }",
        "{ every = 2 }",
        "{ p = \"1%\", r = \"20%\" }",
        "{ p = \"100%\", r = \"0%\" }",
        "{ delay = \"3ms\" }",
        "{ loss = \"50%\" }",
        "{ probability = \"5%\", delay = \"1ms\" }",
    ];
    let all: Vec<String> = texts.chain(plain.into_iter().map(str::to_owned)).collect();
    prop::sample::select(all)
}
/// Lines of a table: some of its keys, each once.
fn lines(keys: &'static [&'static str]) -> impl Strategy<Value = String> {
    let some = prop::sample::subsequence(keys, 0..=keys.len().min(3));
    let values = prop::collection::vec(value(), 3);
    (some, values).prop_map(|(keys, values)| {
        let lines = keys
            .iter()
            .zip(values)
            .map(|(key, value)| format!("{key} = {value}\n"));
        lines.collect()
    })
}
const CABLE: &[&str] = &[
    "delay",
    "jitter",
    "loss",
    "duplicate",
    "corrupt",
    "corrupt_undetected",
    "reorder",
    "rate",
    "queue",
    "down",
    "mtu",
    "forward",
    "backward",
    "name",
];
const NODE: &[&str] = &["kind", "gateway", "ports", "run", "colour"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn whatever_a_file_asks_is_an_error_with_its_place_or_a_lab_that_runs(
        node in lines(NODE),
        cable in lines(CABLE),
        change in lines(CABLE),
        time in value(),
    ) {
        let text = format!(
            "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n{node}\
             [[links]]\nendpoints = [\"a\", \"b\"]\n{cable}[[at]]\nlink = \"a-b\"\ntime = {time}\n{change}"
        );
        match Topology::parse(&text, "odd.toml") {
            Err(error) => {
                prop_assert!(error.line >= 1 && error.line <= text.lines().count(), "{error}\n{text}");
                prop_assert!(!error.message.is_empty());
            }
            Ok(topology) => {
                let mut story = Story::new(&topology, options(1));
                if story.lab.machine("b").is_some_and(|b| story.lab.stack(b).is_some()) {
                    let (a, b) = (story.udp("a", 1), story.udp("b", 2));
                    for n in 0..20u8 {
                        story.send_to(a, &[n; 60], "10.0.0.2:2");
                        story.send_to(b, &[n; 60], "10.0.0.1:1");
                        story.run_for(millis(30));
                    }
                }
                for row in story.lab.faults() {
                    prop_assert!(row.applied <= row.n, "{row:?}");
                }
            }
        }
    }
}
