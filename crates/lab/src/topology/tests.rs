use super::*;

const CHAT: &str = include_str!("../../tests/labs/chat.toml");

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn the_chat_lab_is_read_as_it_is_written() {
    let lab = Topology::parse(CHAT, "labs/chat/lab.toml").unwrap();
    assert_eq!((lab.name.as_str(), lab.seed), ("chat", Some(42)));
    assert!(!lab.virtual_clock);
    assert_eq!(lab.epoch_nanos, EPOCH_2026);
    assert_eq!(lab.sha256.len(), 64);
    let names: Vec<_> = lab.nodes.keys().map(String::as_str).collect();
    assert_eq!(names, ["alice", "bob", "r1"]);
    let alice = &lab.nodes["alice"];
    assert_eq!(alice.kind, NodeKind::Host);
    assert_eq!(alice.addresses["eth0"], [(ip("10.0.1.10"), 24)]);
    let gateway = Gateway {
        address: ip("10.0.1.1"),
        port: "eth0".into(),
    };
    assert_eq!(alice.gateways, [gateway]);
    assert_eq!(alice.programs[0].start, ms(500));
    assert_eq!(alice.programs[0].env["PYTHONUNBUFFERED"], "1");
    let bob = &lab.nodes["bob"].programs[0];
    assert_eq!(
        bob.what,
        What::Run(vec!["python3".into(), "server.py".into()])
    );
    assert_eq!(bob.ready, Some(ReadyWhen::Tcp(8080)));
    let links: Vec<_> = lab.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(links, ["alice-r1", "r1-bob"]);
    let wan = Impairments {
        delay: ms(20),
        jitter: ms(5),
        loss: Loss::Random(0.05),
        ..Impairments::default()
    };
    assert_eq!(
        (&lab.links[0].forward, &lab.links[0].backward),
        (&wan, &wan)
    );
    assert_eq!(lab.links[1].forward.rate, Some(10_000_000));
    let down: Vec<_> = lab
        .changes
        .iter()
        .map(|c| (c.time, c.forward.as_ref().map(|f| f.down)))
        .collect();
    assert_eq!(down, [(ms(3000), Some(true)), (ms(3500), Some(false))]);
    let rate = lab.changes[0].forward.as_ref().and_then(|f| f.rate);
    assert_eq!(
        rate,
        Some(10_000_000),
        "a change keeps what it does not name"
    );
}

#[test]
fn a_router_takes_the_gateway_addresses_that_hosts_name() {
    let lab = Topology::parse(CHAT, "lab.toml").unwrap();
    let r1 = &lab.nodes["r1"].addresses;
    assert_eq!(r1["eth0"], [(ip("10.0.1.1"), 24)]);
    assert_eq!(r1["eth1"], [(ip("10.0.2.1"), 24)]);
}

#[test]
fn routers_without_addresses_get_the_highest_free_one_or_a_subnet_of_their_own() {
    let lab = Topology::parse(
        r#"
        [nodes.a]
        address = "10.0.0.254/24"
        [nodes.r1]
        kind = "router"
        [nodes.r2]
        kind = "router"
        [nodes.r3]
        kind = "router"
        [nodes.s]
        kind = "switch"
        [[links]]
        endpoints = ["a", "s"]
        [[links]]
        endpoints = ["s", "r2:eth7"]
        [[links]]
        endpoints = ["r1:eth0", "s"]
        [[links]]
        endpoints = ["r2", "r3"]
        [[links]]
        endpoints = ["r1", "r3"]
        "#,
        "lab.toml",
    )
    .unwrap();
    let of = |node: &str, port: &str| lab.nodes[node].addresses[port][0];
    assert_eq!(of("r1", "eth0"), (ip("10.0.0.253"), 24));
    assert_eq!(of("r2", "eth7"), (ip("10.0.0.252"), 24));
    assert_eq!(of("r1", "eth1"), (ip("172.31.0.1"), 30));
    assert_eq!(of("r3", "eth1"), (ip("172.31.0.2"), 30));
    assert_eq!(of("r2", "eth0"), (ip("172.31.0.5"), 30));
    assert_eq!(of("r3", "eth0"), (ip("172.31.0.6"), 30));
}

/// Two networks of hosts, two routers with a cable between them.
const DUAL: &str = r#"
    [nodes.a]
    address = ["10.0.1.10/24", "fd00:1::10/64"]
    gateway = ["10.0.1.1", "fe80::1"]
    [nodes.b]
    address = "auto"
    privacy = true
    [nodes.c.ports.eth1]
    address = ["fd00:2::10/64", "auto"]
    [nodes.c]
    gateway = "fd00:2::99"
    [nodes.d]
    address = "10.0.3.10/24"
    [nodes]
    r1.kind = "router"
    r2.kind = "router"
    s.kind = "switch"
    [[links]]
    endpoints = ["a", "s"]
    [[links]]
    endpoints = ["b", "s"]
    [[links]]
    endpoints = ["r1:eth0", "s"]
    [[links]]
    endpoints = ["r1:eth1", "r2:eth0"]
    [[links]]
    endpoints = ["r2:eth1", "c:eth1"]
    [[links]]
    endpoints = ["r2:eth2", "d"]
    "#;

#[test]
fn routers_get_addresses_of_the_families_that_their_hosts_have() {
    let lab = Topology::parse(DUAL, "lab.toml").unwrap();
    let rows = [
        ("a", "eth0", &["10.0.1.10/24", "fd00:1::10/64"][..]),
        ("b", "eth0", &[]),
        ("c", "eth1", &["fd00:2::10/64"]),
        // Of IPv6 the lowest free one, and the link-local one that a host calls it by.
        ("r1", "eth0", &["10.0.1.1/24", "fd00:1::1/64", "fe80::1/64"]),
        ("r1", "eth1", &["172.31.0.1/30", "fd00:ac1f:1::1/64"]),
        ("r2", "eth0", &["172.31.0.2/30", "fd00:ac1f:1::2/64"]),
        ("r2", "eth1", &["fd00:2::99/64"]),
        ("r2", "eth2", &["10.0.3.254/24"]),
    ];
    for (node, port, expected) in rows {
        let list = lab.nodes[node].addresses.get(port);
        let list: Vec<_> = list.into_iter().flatten().collect();
        let list: Vec<_> = list.iter().map(|(ip, len)| format!("{ip}/{len}")).collect();
        assert_eq!(list, expected, "{node}:{port}");
    }
    let gateways = |node: &str| {
        let gateways = lab.nodes[node].gateways.iter();
        let text = gateways.map(|gateway| format!("{} {}", gateway.port, gateway.address));
        text.collect::<Vec<_>>()
    };
    assert_eq!(gateways("a"), ["eth0 10.0.1.1", "eth0 fe80::1"]);
    assert_eq!(gateways("c"), ["eth1 fd00:2::99"]);
    let automatic = |node: &str| {
        lab.nodes[node]
            .automatic
            .iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (automatic("b"), lab.nodes["b"].privacy),
        (vec!["eth0".into()], true)
    );
    assert_eq!(automatic("c"), ["eth1"]);
}

#[test]
fn a_lab_without_ipv6_has_none_between_its_routers_and_one_without_ipv4_none_of_that() {
    let text = |address: &str| {
        format!(
            "[nodes.a]\naddress = \"{address}\"\n[nodes]\nr.kind = \"router\"\nt.kind = \"router\"\n\
             [[links]]\nendpoints = [\"a\", \"r:eth0\"]\n[[links]]\nendpoints = [\"r:eth1\", \"t\"]\n"
        )
    };
    for (address, expected) in [
        ("10.0.0.1/24", "172.31.0.2"),
        ("fd00::9/64", "fd00:ac1f:1::2"),
    ] {
        let lab = Topology::parse(&text(address), "lab.toml").unwrap();
        let found: Vec<_> = lab.nodes["t"].addresses.values().flatten().collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, ip(expected));
    }
}

#[test]
fn networks_of_the_file_are_not_given_between_routers() {
    let text = "[nodes.a]\naddress = \"fd00:ac1f:1:7::9/40\"\n[nodes]\nr.kind = \"router\"\nt.kind = \"router\"\n\
                [[links]]\nendpoints = [\"a\", \"r:eth0\"]\n[[links]]\nendpoints = [\"r:eth1\", \"t\"]\n";
    let lab = Topology::parse(text, "lab.toml").unwrap();
    assert_eq!(
        lab.nodes["r"].addresses["eth1"][0].0,
        ip("fd00:ac1f:100::1")
    );
}

const EVERY_WAY: &str = r#"
        clock = "virtual"
        epoch = 2001-02-03T04:05:06.5+01:00
        [nodes.a]
        address = ["10.0.0.1/24", "10.0.9.1/24"]
        builtin = ["echo-server", "7"]
        [nodes.b.ports.eth3]
        address = "10.0.0.2/24"
        [[nodes.b.programs]]
        run = ["one"]
        [[nodes.b.programs]]
        builtin = ["two"]
        ready = "udp:53"
        [[links]]
        name = "wire"
        endpoints = ["a", "b:eth3"]
        delay = "10ms"
        duplicate = "2%"
        corrupt = "1%"
        corrupt_undetected = "0.5%"
        reorder = { probability = "3%", delay = "2ms" }
        rate = "1 Gbit"
        queue = 64
        mark = 20
        mtu = 9000
        forward = { loss = { nth = [7, 3, 7] } }
        backward = { loss = { p = "1%", r = "20%" }, delay = "30ms", down = true }
        [[at]]
        time = "2s"
        link = "wire"
        mtu = 1280
        backward = { loss = { every = 10 } }
        [[at]]
        time = "1s"
        link = "wire"
        reorder = "7%"
        "#;

#[test]
fn every_way_to_write_an_impairment_is_understood() {
    let lab = Topology::parse(EVERY_WAY, "x/y.lab.toml").unwrap();
    assert_eq!(lab.name, "y.lab");
    assert!(lab.virtual_clock);
    assert_eq!(lab.epoch_nanos, 981_169_506_500_000_000);
    let wire = &lab.links[0];
    assert_eq!((wire.name.as_str(), wire.mtu), ("wire", 9000));
    assert_eq!(wire.ends[1], ("b".to_owned(), "eth3".to_owned()));
    let forward = Impairments {
        delay: ms(10),
        jitter: Duration::ZERO,
        loss: Loss::Nth(vec![3, 7]),
        duplicate: 0.02,
        corrupt: 0.01,
        corrupt_undetected: 0.005,
        reorder: 0.03,
        reorder_delay: ms(2),
        rate: Some(1_000_000_000),
        queue: 64,
        mark: Some(20),
        down: false,
    };
    assert_eq!(wire.forward, forward);
    let bursts = Loss::GilbertElliott {
        p: 0.01,
        r: 0.2,
        good: 0.0,
        bad: 1.0,
    };
    let backward = Impairments {
        loss: bursts,
        delay: ms(30),
        down: true,
        ..forward.clone()
    };
    assert_eq!(wire.backward, backward);
    let [first, second] = lab.changes.as_slice() else {
        panic!("{:?}", lab.changes)
    };
    assert_eq!(first.time, ms(1000), "in order of time");
    assert_eq!(
        first.forward,
        Some(Impairments {
            reorder: 0.07,
            ..forward.clone()
        })
    );
    assert_eq!((&second.forward, second.mtu), (&None, Some(1280)));
    let after = Impairments {
        loss: Loss::Every(10),
        reorder: 0.07,
        ..backward
    };
    assert_eq!(second.backward, Some(after), "on top of the change before");
    assert_eq!(lab.nodes["b"].programs.len(), 2);
    assert_eq!(lab.nodes["b"].programs[1].ready, Some(ReadyWhen::Udp(53)));
}

#[test]
fn partitions_are_read_in_order_of_time_with_their_ends() {
    let text = pair_with(
        r#"
        [[at]]
        time = "5s"
        partition = [["a"], "*"]
        [[at]]
        time = "1s"
        blackhole = ["b", "a"]
        name = "deaf"
        for = "2s"
        "#,
    );
    let lab = Topology::parse(&text, "x.toml").unwrap();
    let told = |(time, division): &(Duration, Division)| match division {
        Division::Part(part) => format!("{time:?} {}: {part}", part.name),
        Division::Heal(name) => format!("{time:?} heal {name:?}"),
    };
    let told: Vec<_> = lab.divisions.iter().map(told).collect();
    let expected = [
        "1s deaf: b → a",
        "3s heal Some(\"deaf\")",
        "5s partition 1: a ↔ b",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_rule_is_told_in_the_words_of_the_file() {
    for (rule, expected) in [
        ("do = \"drop\"", "drop any"),
        (
            "do = \"reset\"\nconnection = 2",
            "reset data, connection 2, nth 1 of each connection",
        ),
        (
            "do = \"delay\"\ndelay = \"5ms\"\nflags = [\"psh\", \"!fin\"]\nto_port = 80\nevery = 2",
            "delay tcp with psh !fin, to port 80, every 2",
        ),
        (
            "do = \"duplicate\"\npacket = \"udp\"\nfrom = \"a\"\nafter = \"1s\"\nuntil = \"2.5s\"",
            "duplicate udp, from 10.0.0.1, after 1s, until 2.5s",
        ),
    ] {
        let lab = Topology::parse(&pair_with(&format!("[[on]]\n{rule}")), "x.toml").unwrap();
        assert_eq!(lab.rules[0].to_string(), expected);
        assert_eq!(
            (lab.rules[0].name.as_str(), lab.rules[0].link.as_str()),
            ("rule 1", "a-b")
        );
    }
}

#[test]
fn a_script_adds_to_the_timeline_and_has_its_own_name_in_complaints() {
    let lab = pair_with("[[at]]\ntime = \"2s\"\nloss = \"5%\"");
    let script = "[[at]]\ntime = \"1s\"\ndelay = \"7ms\"\n[[at]]\ntime = \"3s\"\ndown = true";
    let both = Topology::parse_scripted(&lab, "x.toml", Some((script, "s.toml"))).unwrap();
    let after = |n: usize| both.changes[n].forward.as_ref().unwrap().to_string();
    assert_eq!(
        [after(0), after(1), after(2)],
        ["7ms", "7ms, loss 5.0 %", "down, 7ms, loss 5.0 %"]
    );
    assert_ne!(both.sha256, Topology::parse(&lab, "x.toml").unwrap().sha256);
    for (script, expected) in [
        ("seed = 5", "s.toml:1:1: unknown key `seed` in the script"),
        (
            "\n[[at]]\ntime = 3",
            "s.toml:3:8: `time` is text, such as \"3s\", not a whole number",
        ),
    ] {
        let error = Topology::parse_scripted(&lab, "x.toml", Some((script, "s.toml"))).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// Two hosts on a cable; `$` lines are replaced by what a row says.
fn pair_with(link: &str) -> String {
    format!(
        "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]\n{link}"
    )
}

/// Text, what stands at the place that is complained about, part of the message, part of the help: in a link of two hosts.
#[rustfmt::skip]
const IN_A_LINK: &[[&str; 4]] = &[
    ["dealy = \"1ms\"", "dealy", "unknown key `dealy` in a link", "did you mean `delay`?"],
    ["colour = 1", "colour", "unknown key `colour` in a link", "known keys: endpoints"],
    ["loss = \"140%\"", "\"140%\"", "`loss`: 140 % is more than 100 %", "\"5%\""],
    ["loss = 0.05", "0.05", "`loss` is a text with a percentage, or a table, not a number", "\"5%\""],
    ["duplicate = 2", "2", "`duplicate` is text, such as \"2%\", not a whole number", ""],
    ["delay = \"20\"", "\"20\"", "`delay`: `20` has no unit", "\"20ms\""],
    ["delay = 20", "20", "`delay` is text, such as \"20ms\", not a whole number", ""],
    ["rate = \"10 MB\"", "\"10 MB\"", "`rate`: `MB` is not a unit of rate", "\"10 Mbit\""],
    ["rate = \"0 bit\"", "\"0 bit\"", "a rate of 0", ""],
    ["queue = 10", "queue", "a queue without a rate never fills", "`rate`"],
    ["jitter = \"5ms\"", "jitter", "more jitter than delay", "raise the `delay`"],
    ["mtu = 20", "20", "`mtu` is a number from 68 to 65535, not 20", ""],
    ["down = \"yes\"", "\"yes\"", "`down` is true or false, not a text", ""],
    ["loss = { nth = [] }", "[] }", "`nth` lists 1 to", ""],
    ["loss = { nth = [0] }", "0] }", "`nth` is a number from 1", ""],
    ["loss = { nth = [1], every = 2 }", "{ nth", "a loss is of one kind", "{every = 10}"],
    ["loss = { p = \"1%\" }", "{ p", "this loss needs `r`", ""],
    ["reorder = { delay = \"1ms\" }", "{ delay", "`reorder` needs a `probability`", ""],
    ["forward = { mtu = 1 }", "mtu = 1 }", "unknown key `mtu` in forward", ""],
    ["[[links]]\nendpoints = [\"a\", \"bo\"]", "\"bo\"", "no node is named `bo`", "did you mean `b`?"],
    ["[[links]]\nendpoints = [\"a\"]", "endpoints = [\"a\"]", "a link has 2 endpoints, not 1", ""],
    ["[[links]]\nname = \"x\"", "[[links]]\nname", "a link without `endpoints`", "endpoints ="],
    ["[[links]]\nendpoints = [\"a\", \"tap:\"]", "\"tap:\"", "`` can't be the name of an interface", "tap:heptad0"],
    ["[[links]]\nendpoints = [\"a\", \"tun:a/b\"]", "\"tun:a/b\"", "`a/b` can't be the name of an interface", "letters"],
    ["[[links]]\nendpoints = [\"a\", \"tap:sixteen--letters\"]", "\"tap:six", "`sixteen--letters` can't be the name", "1 to 15"],
    ["[[links]]\nendpoints = [\"tap:t0\", \"tun:t0\"]", "\"tun:t0\"", "the interface `t0` is the end of two links", "another"],
    ["[[links]]\nendpoints = [\"tap:t0\", \"tap:t0\"]", "\"tap:t0\"]", "the interface `t0` is the end of two links", "another"],
    ["[[links]]\nendpoints = [\"tun:t0\", \"tap:t1\"]", "\"tun:t0\"", "no host or router hears `tun:t0`", "TAPs"],
    ["[[links]]\nendpoints = [\"a:eth0\", \"a:eth1\"]", "\"a:eth1\"", "both ends are at `a`", ""],
    ["name = \"x/y\"", "\"x/y\"", "`x/y` can't be a name", "letters"],
    ["[[at]]\ntime = \"1s\"\nlink = \"b-a\"", "\"b-a\"", "no link is named `b-a`", "a-b"],
    ["[[at]]\nlink = \"a-b\"", "[[at]]", "[[at]] needs `time`", ""],
    ["[[at]]\ntime = \"1s\"\npartition = [\"a\", \"bo\"]", "\"bo\"", "no node is named `bo`", "did you mean `b`?"],
    ["[[at]]\ntime = \"1s\"\npartition = \"ab\"", "\"ab\"", "`partition` is a list of sets of nodes, not a text", "[\"a\", \"*\"]"],
    ["[[at]]\ntime = \"1s\"\npartition = [\"a\"]", "[\"a\"]", "`partition` names at least two sets; here are 1", ""],
    ["[[at]]\ntime = \"1s\"\npartition = [[\"a\", \"b\"], \"a\"]", "\"a\"]", "`a` stands there twice", ""],
    ["[[at]]\ntime = \"1s\"\npartition = [[\"a\", \"b\"], \"*\"]", "\"*\"", "a set without nodes", ""],
    ["[[at]]\ntime = \"1s\"\npartition = [\"*\", \"*\"]", "\"*\"]", "`*` can stand once", ""],
    ["[[at]]\ntime = \"1s\"\npartition = [\"a\", 5]", "5]", "a list of sets of nodes, not a whole number", ""],
    ["[[at]]\ntime = \"1s\"\nblackhole = [\"a\", \"b\", \"a\"]", "[\"a\", \"b\", \"a\"]", "two sets: from, to", ""],
    ["[[at]]\ntime = \"1s\"\nblackhole = [\"a\", \"b\"]\ndown = true", "down", "`blackhole` and `down` are two entries", "for each"],
    ["[[at]]\ntime = \"1s\"\nheal = true\nfor = \"1s\"", "[[at]]", "`heal` has no `for`", "heal = true"],
    ["[[at]]\ntime = \"1s\"\nheal = \"x\"", "\"x\"", "no partition above is named `x`", "heal = true"],
    ["[[at]]\ntime = \"1s\"\nheal = false", "false", "`heal` is true, or the name of a partition", ""],
    ["[[at]]\ntime = \"1s\"\ndown = true\nfor = \"1s\"", "for", "`for` is of a `partition` or a `blackhole`", "[[at]]"],
    ["[[on]]\npacket = \"syn\"", "[[on]]", "[[on]] needs `do`", "drop, reset"],
    ["[[on]]\ndo = \"dorp\"", "\"dorp\"", "`dorp` is nothing that can be done", "did you mean `drop`?"],
    ["[[on]]\ndo = \"delay\"", "\"delay\"", "how long?", "50ms"],
    ["[[on]]\ndo = \"drop\"\ndelay = \"1s\"", "delay", "`drop` takes no `delay`", ""],
    ["[[on]]\ndo = \"drop\"\nlink = \"a-c\"", "\"a-c\"", "no link is named `a-c`", "a-b"],
    ["[[on]]\ndo = \"drop\"\ndirection = \"up\"", "\"up\"", "`up` is not a direction", "forward"],
    ["[[on]]\ndo = \"drop\"\npacket = \"synack\"", "\"synack\"", "`synack` is not a kind of packet", "did you mean `syn-ack`?"],
    ["[[on]]\ndo = \"drop\"\nflags = [\"push\"]", "\"push\"", "`push` is not a flag of TCP", "psh"],
    ["[[on]]\ndo = \"drop\"\npacket = \"udp\"\nflags = [\"ack\"]", "flags", "only segments of TCP have flags", ""],
    ["[[on]]\ndo = \"drop\"\npacket = \"icmp\"\nport = 7", "port = 7", "icmp has no ports", ""],
    ["[[on]]\ndo = \"drop\"\nport = 0", "0", "`port` is a number from 1 to 65535", ""],
    ["[[on]]\ndo = \"drop\"\nnth = 0", "0", "`nth` is a number from 1", ""],
    ["[[on]]\ndo = \"drop\"\nnth = 2\nevery = 3", "every", "`nth` and `every` are two rules", ""],
    ["[[on]]\ndo = \"drop\"\neach = \"connection\"", "\"connection\"", "`each` without a number counts nothing", "`nth`"],
    ["[[on]]\ndo = \"drop\"\nnth = 1\neach = \"node\"", "\"node\"", "`node` can't be counted for itself", ""],
    ["[[on]]\ndo = \"reset\"\npacket = \"udp\"", "packet", "only connections of TCP are reset", "data"],
    ["[[on]]\ndo = \"drop\"\nafter = \"2s\"\nuntil = \"2s\"", "until", "it ends before it begins", ""],
    ["[[on]]\ndo = \"drop\"\nfrom = \"bo\"", "\"bo\"", "no node is named `bo`", "did you mean `b`?"],
    ["[[on]]\ndo = \"drop\"\nconnection = \"2\"", "\"2\"", "`connection` is a list of numbers", ""],
    ["[[on]]\ndo = \"drop\"\nname = \"x\"\n[[on]]\ndo = \"drop\"\nname = \"x\"", "", "two rules are named `x`", ""],
    ["[[on]]\ndo = \"drop\"\npakcet = \"syn\"", "pakcet", "unknown key `pakcet` in a rule", "did you mean `packet`?"],
];
/// The same at the head of a file.
#[rustfmt::skip]
const AT_THE_HEAD: &[[&str; 4]] = &[
    ["sed = 1", "sed =", "unknown key `sed` in the lab file", "`seed`"],
    ["clock = \"fast\"", "\"fast\"", "`fast` is not a clock", "real or virtual"],
    ["epoch = 2026-01-01", "2026-01-01", "`epoch` is a date and time with its offset", ""],
    ["seed = -1", "-1", "`seed` is a number from 0", ""],
];
/// The same for whole files.
#[rustfmt::skip]
const ALONE: &[[&str; 4]] = &[
    ["nodes = 3", "3", "`nodes` is a table, not a whole number", ""],
    ["links = 3\n[nodes]", "3", "`links` is a list of tables", "[[links]]"],
    ["", "", "no nodes", "[nodes.NAME]"],
    ["[nodes.\"a b\"]", "\"a b\"", "`a b` can't be a name", ""],
    ["[nodes.a]\nkind = \"hub\"", "\"hub\"", "`hub` is not a kind of node", "switch"],
    ["[nodes.a]\naddress = \"10.0.0.1\"", "\"10.0.0.1\"", "`10.0.0.1` has no prefix length", "10.0.1.10/24"],
    ["[nodes.a]\naddress = \"10.0.0.0/24\"", "\"10.0.0.0/24\"", "the network itself", ""],
    ["[nodes.a]\naddress = \"10.0.0.255/24\"", "\"10.0.0.255/24\"", "broadcast address", ""],
    ["[nodes.a]\naddress = \"127.0.0.2/8\"", "\"127.0.0.2/8\"", "can't be a host's address", ""],
    ["[nodes.a]\naddress = \"fd00:1::/64\"", "\"fd00:1::/64\"", "fd00:1:: is the address of the network itself", "fd00:1::10/64"],
    ["[nodes.a]\naddress = \"fd00:1::1/129\"", "\"fd00:1::1/129\"", "`129` is not a prefix length from 1 to 128", "fd00:1::10/64"],
    ["[nodes.a]\naddress = \"fd00:1::1\"", "\"fd00:1::1\"", "`fd00:1::1` has no prefix length", "fd00:1::10/64"],
    ["[nodes.a]\naddress = \"fd00:1:1/64\"", "\"fd00:1:1/64\"", "`fd00:1:1` is not an address", "fd00:1::10/64"],
    ["[nodes.a]\naddress = \"::1/64\"", "\"::1/64\"", "::1 can't be a host's address", ""],
    ["[nodes.a]\naddress = \"ff02::1/64\"", "\"ff02::1/64\"", "ff02::1 can't be a host's address", ""],
    ["[nodes.a]\naddress = \"::ffff:10.0.0.1/96\"", "\"::ffff:10.0.0.1/96\"", "can't be a host's address", ""],
    ["[nodes.a]\naddress = \"fd00::1/64\"", "\"fd00::1/64\"", "no link ends at `a:eth0`", "[[links]]"],
    ["[nodes.a]\naddress = [\"auto\", \"auto\"]", "\"auto\"]", "\"auto\" twice", ""],
    ["[nodes.a]\naddress = [7]", "7]", "`address` is a text or a list of texts", ""],
    ["[nodes.a]\naddress = \"fd00::1/64\"\nprivacy = true", "privacy", "`privacy` is about addresses that a router's prefix", "auto"],
    ["[nodes.a]\nconflict_detection = \"yes\"", "\"yes\"", "`conflict_detection` is true or false", ""],
    ["[nodes.a]\ncongestion = \"vegas\"", "\"vegas\"", "`vegas` is no congestion control", "reno, cubic, bbr"],
    ["[nodes.s]\nkind = \"switch\"\ncongestion = \"bbr\"", "congestion", "a switch has no `congestion`", ""],
    ["[nodes.a]\necn = \"yes\"", "\"yes\"", "`yes` does not say who uses ECN", "never, always, when asked, accurate, always, accurate when asked, accurate when asked"],
    ["[nodes.s]\nkind = \"switch\"\necn = \"never\"", "ecn", "a switch has no `ecn`", ""],
    ["[nodes.s]\nkind = \"switch\"\nconflict_detection = true", "conflict_detection", "a switch has no `conflict_detection`", ""],
    ["[nodes.a]\naddress = \"auto\"\nprivacy = 1", "1", "`privacy` is true or false", ""],
    ["[nodes.r]\nkind = \"router\"\naddress = [\"fd00::1/64\", \"auto\"]", "\"auto\"]", "a router takes no address from others", "leave it out"],
    ["[nodes.s]\nkind = \"switch\"\nports.eth1.address = \"auto\"", "\"auto\"", "a port of a switch has no address", ""],
    ["[nodes.a]\ngateway = \"fd00::g\"", "\"fd00::g\"", "`gateway`: `fd00::g` is not an address", ""],
    ["[nodes.a]\ngateway = [\"fd00::1\", \"fe80::1\"]", "\"fe80::1\"]", "a second gateway of one family: fe80::1", "fd00::1"],
    ["[nodes.a]\ngateway = 7", "7", "`gateway` is a text or a list of texts", ""],
    ["[nodes.a]\naddress = \"10.0.0.1/33\"", "\"10.0.0.1/33\"", "not a prefix length", ""],
    ["[nodes.a]\naddress = \"10.0.0.1/24\"", "\"10.0.0.1/24\"", "no link ends at `a:eth0`", "[[links]]"],
    ["[nodes.s]\nkind = \"switch\"\naddress = \"10.0.0.1/24\"", "address", "a switch has no `address`", ""],
    ["[nodes.s]\nkind = \"switch\"\npublish = [\"80:80\"]", "publish", "a switch has no `publish`", ""],
    ["[nodes.s]\nkind = \"switch\"\nuplink = true", "uplink", "a switch has no `uplink`", ""],
    ["clock = \"virtual\"\n[nodes.a]\nuplink = true", "uplink", "`uplink` needs a real clock", ""],
    ["[nodes.a]\nuplink = \"yes\"", "\"yes\"", "`uplink` is true, false or a table", ""],
    ["[nodes.a]\nuplink = { dealy = \"1ms\" }", "dealy", "`dealy`", "delay"],
    ["[nodes.a]\nuplink = { loss = \"200%\" }", "\"200%\"", "loss", ""],
    ["[nodes.a]\nuplink = true\ngateway = \"10.0.0.1\"", "\"10.0.0.1\"", "`a` has a gateway of IPv4 and an uplink", "10.0.0.1"],
    ["[nodes.a]\nsnooping = true", "snooping", "`snooping` is for switches only", "switch"],
    ["[nodes.r]\nkind = \"router\"\nquerier = true", "querier", "`querier` is for switches only", "switch"],
    ["[nodes.s]\nkind = \"switch\"\nsnooping = 1", "1", "`snooping` is true or false, not a whole number", ""],
    ["[nodes.s]\nkind = \"switch\"\nquerier = 1", "1", "`querier` is true, false or an address of IPv4, not a whole number", ""],
    ["[nodes.s]\nkind = \"switch\"\nquerier = \"yes\"", "\"yes\"", "`querier`: `yes` is not an address", "querier = true"],
    ["[nodes.s]\nkind = \"switch\"\nquerier = \"fe80::1\"", "\"fe80::1\"", "in IPv6 a switch asks from a link-local address of its own", "querier = true"],
    ["[nodes.s]\nkind = \"switch\"\nquerier = \"224.0.0.1\"", "\"224.0.0.1\"", "224.0.0.1 can't be a host's address", ""],
    ["[nodes.s]\nkind = \"switch\"\nsnooping = false\nquerier = true", "querier", "`querier` without `snooping`", ""],
    ["[nodes.s]\nkind = \"switch\"\nquerier = \"10.0.0.1\"\n[nodes.a]\naddress = \"10.0.0.1/24\"", "querier", "two nodes of one address: 10.0.0.1", "`a` has it already"],
    ["[nodes.s]\nkind = \"switch\"\nquerier = \"10.0.0.1\"\n[nodes.t]\nkind = \"switch\"\nquerier = \"10.0.0.1\"", "querier", "two nodes of one address: 10.0.0.1", "`t` has it already"],
    ["[nodes.a]\npublish = \"80:80\"", "\"80:80\"", "`publish` is a list of texts", ""],
    ["[nodes.a]\npublish = [\"80\"]", "\"80\"", "needs two ports", "8080:80"],
    ["clock = \"virtual\"\n[nodes.a]\npublish = [\"80:80\"]", "publish", "needs a real clock", ""],
    ["[nodes.a]\nrun = []", "run", "`run` names no program", ""],
    ["[nodes.a]\nready = \"tcp:80\"", "ready", "`ready` without a program", "`run` or `builtin`"],
    ["[nodes.a]\nrun = [\"x\"]\nready = \"tcp:0\"", "\"tcp:0\"", "not a protocol and a port", "tcp:8080"],
    ["[nodes.a]\nrun = [\"x\"]\nbuiltin = [\"y\"]", "builtin", "`builtin` and `run` at once", "programs"],
    ["[nodes.a]\nrun = \"x\"", "\"x\"", "`run` is a list of texts", ""],
];

#[test]
fn every_mistake_is_named_with_its_place_and_a_way_out() {
    let in_a_link = IN_A_LINK.iter().map(|row| (pair_with(row[0]), row));
    let at_the_head = AT_THE_HEAD
        .iter()
        .map(|row| (format!("{}\n{}", row[0], pair_with("")), row));
    let alone = ALONE.iter().map(|row| (row[0].to_owned(), row));
    for (text, [_, place, message, help]) in in_a_link.chain(at_the_head).chain(alone) {
        let error = Topology::parse(&text, "lab.toml").expect_err(&text);
        assert!(error.message.contains(message), "{error}\n{text}");
        let at = &text[error.span.start..];
        assert!(at.starts_with(place), "{error} stands at {at:?}\n{text}");
        let given = error.help.clone().unwrap_or_default();
        assert!(given.contains(help), "{error}\nhelp: {given}\n{text}");
        let line = text[..error.span.start].matches('\n').count() + 1;
        assert_eq!(error.line, line, "{error}");
        let column = error.column;
        assert!(
            error
                .to_string()
                .starts_with(&format!("lab.toml:{line}:{column}: "))
        );
    }
}

/// A lab file, the line of the mistake, what is said of it, and what the help has in it.
type Mistake<'a> = (&'a str, usize, &'a str, &'a str);

fn check_mistakes(rows: &[Mistake<'_>]) {
    for &(text, line, message, help) in rows {
        let error = Topology::parse(text, "lab.toml").expect_err(text);
        assert_eq!(
            (error.line, error.message.as_str()),
            (line, message),
            "{text}"
        );
        assert!(
            error.help.clone().unwrap_or_default().contains(help),
            "{error:?}"
        );
    }
}

#[test]
fn mistakes_that_two_places_make_together_are_found() {
    check_mistakes(&[
        (
            "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.1/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            4,
            "two nodes of one address: 10.0.0.1",
            "`a:eth0` has it already; with `conflict_detection = true`",
        ),
        (
            "[nodes.a]\nconflict_detection = true\naddress = [\"10.0.0.1/24\", \"10.0.0.1/24\"]\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "`a` has 10.0.0.1 twice",
            "`a:eth0` has it",
        ),
        (
            "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "`b:eth0` has no address",
            "address =",
        ),
        (
            "[nodes.a]\naddress = \"10.0.0.1/24\"\ngateway = \"10.9.0.1\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "the gateway 10.9.0.1 is not on a network of `a`",
            "10.0.0.0/24",
        ),
        (
            "[nodes.a]\naddress = \"10.0.0.1/24\"\ngateway = \"10.0.0.9\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "nobody has the gateway's address 10.0.0.9",
            "router",
        ),
        (
            "[nodes.a]\naddress = \"10.0.0.1/24\"\ngateway = \"10.0.0.1\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "`a` is its own gateway",
            "",
        ),
        (
            "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[nodes.r]\nkind = \"router\"\n[[links]]\nendpoints = [\"a\", \"r\"]\n[[links]]\nendpoints = [\"r\", \"b\"]",
            4,
            "10.0.0.0/24 is on two separate cables",
            "`a` is elsewhere",
        ),
        (
            "[nodes]\ns.kind = \"switch\"\nt.kind = \"switch\"\n[[links]]\nendpoints = [\"s\", \"t\"]\n[[links]]\nendpoints = [\"s\", \"t\"]\nname = \"again\"",
            7,
            "this link closes a loop of switches",
            "remove a link",
        ),
        (
            "[nodes]\nr.kind = \"router\"\nt.kind = \"router\"\n[[links]]\nendpoints = [\"r\", \"t\"]\n[[links]]\nendpoints = [\"r\", \"t\"]",
            7,
            "two links are named `r-t`",
            "`name`",
        ),
        (
            "[nodes]\nr.kind = \"router\"\nt.kind = \"router\"\n[[links]]\nendpoints = [\"r:eth0\", \"t\"]\n[[links]]\nendpoints = [\"r:eth0\", \"t\"]",
            7,
            "`r:eth0` is the end of two links",
            "another port",
        ),
        (
            "[nodes.a.ports.eth1]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a:eth2\", \"b\"]",
            2,
            "no link ends at `a:eth1`",
            "ports of a: eth2",
        ),
    ]);
}

#[test]
fn so_are_those_with_addresses_of_ipv6() {
    check_mistakes(&[
        (
            "[nodes.a]\naddress = \"fd00::1/64\"\n[nodes.b]\naddress = [\"10.0.0.1/24\", \"fd00::1/48\"]\n[[links]]\nendpoints = [\"a\", \"b\"]",
            4,
            "two nodes of one address: fd00::1",
            "`a:eth0` has it",
        ),
        (
            "[nodes.a]\naddress = [\"fe80::1/64\"]\n[nodes.b]\naddress = \"fe80::1/64\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            4,
            "two nodes of one address: fe80::1",
            "`a:eth0` has it",
        ),
        (
            "[nodes.a]\naddress = \"fd00:1::1/64\"\n[nodes.b]\naddress = \"fd00:1::2/64\"\n[nodes.r]\nkind = \"router\"\n[[links]]\nendpoints = [\"a\", \"r\"]\n[[links]]\nendpoints = [\"r\", \"b\"]",
            4,
            "fd00:1::/64 is on two separate cables",
            "`a` is elsewhere",
        ),
        (
            "[nodes.a]\naddress = \"fd00::a/64\"\ngateway = \"fd00:9::1\"\n[nodes.b]\naddress = \"fd00::b/64\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "the gateway fd00:9::1 is not on a network of `a`",
            "fd00::/64",
        ),
        (
            "[nodes.a]\naddress = \"fd00::a/64\"\ngateway = \"fd00::1\"\n[nodes.b]\naddress = \"fd00::b/64\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "nobody has the gateway's address fd00::1",
            "router",
        ),
        (
            "[nodes.a]\naddress = \"fd00::a/64\"\ngateway = \"fe80::1\"\n[nodes.b]\naddress = \"fd00::b/64\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "nobody has the gateway's address fe80::1",
            "router",
        ),
        (
            "[nodes.a]\naddress = [\"10.0.0.1/24\", \"fd00::a/64\"]\ngateway = [\"10.0.0.2\", \"fd00::a\"]\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]",
            3,
            "`a` is its own gateway",
            "",
        ),
        (
            "[nodes.a]\naddress = \"fd00::a/127\"\n[nodes.b]\naddress = \"fd00::b/127\"\n[nodes.r]\nkind = \"router\"\n[nodes.s]\nkind = \"switch\"\n[[links]]\nendpoints = [\"a\", \"s\"]\n[[links]]\nendpoints = [\"b\", \"s\"]\n[[links]]\nendpoints = [\"r\", \"s\"]",
            5,
            "no address of fd00::a/127 is free for `r:eth0`",
            "",
        ),
        (
            "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = [\"10.0.0.2/24\", \"auto\"]\n[[links]]\nendpoints = [\"a\", \"b\"]",
            4,
            "no router tells `b:eth0` an IPv6 prefix of 64 bits",
            "connect one",
        ),
        (
            "[nodes.a]\naddress = \"auto\"\n[nodes.r]\nkind = \"router\"\naddress = \"fd00::1/60\"\n[[links]]\nendpoints = [\"a\", \"r\"]",
            2,
            "no router tells `a:eth0` an IPv6 prefix of 64 bits",
            "give the router's port",
        ),
    ]);
}

#[test]
fn an_interface_of_the_kernel_is_a_machine_of_its_own_and_may_be_a_gateway() {
    let text = |clock: &str| {
        format!(
            "clock = \"{clock}\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\ngateway = \"10.0.0.9\"\n\
             [[links]]\nendpoints = [\"a\", \"tap:heptad0\"]\n"
        )
    };
    let lab = Topology::parse(&text("real"), "lab.toml").unwrap();
    let names: Vec<_> = lab.nodes.keys().collect();
    assert_eq!(names, ["a", "tap:heptad0"]);
    assert_eq!(lab.nodes["tap:heptad0"].kind, NodeKind::Tap);
    assert_eq!(lab.links[0].name, "a-heptad0");
    assert_eq!(lab.links[0].ends[1].1, "heptad0");
    let named = lab.links[0].named_ends('/');
    assert_eq!(named, ["a/eth0", "tap:heptad0"]);

    let text = text("virtual");
    let error = Topology::parse(&text, "lab.toml").unwrap_err();
    assert!(text[error.span.start..].starts_with("\"tap:heptad0\""));
    let said = "`tap:heptad0` is a real cable, and this lab's clock is virtual";
    assert_eq!(error.message, said);
    assert_eq!(error.help.as_deref(), Some("clock = \"real\""));
}

#[test]
fn an_uplink_is_a_gateway_of_the_nodes_own_behind_its_next_free_port() {
    let text = "[nodes.b]\nuplink = { loss = \"1%\", forward = { delay = \"5ms\" } }\n\
                [nodes.a]\nkind = \"router\"\nuplink = true\n\
                [nodes.c]\nuplink = false\naddress = \"10.0.0.2/24\"\ngateway = \"10.0.0.1\"\n\
                [[links]]\nendpoints = [\"a\", \"c\"]\n";
    let lab = Topology::parse(text, "lab.toml").unwrap();
    let uplinks: Vec<_> = lab.uplinks().collect();
    assert_eq!(uplinks, [("a", "uplink:a"), ("b", "uplink:b")]);
    // Node, port, its address; the gateway's.
    let table = [
        ("a", "eth1", "100.64.0.2", "100.64.0.1"),
        ("b", "eth0", "100.64.0.6", "100.64.0.5"),
    ];
    for (name, port, own, gateway) in table {
        let node = &lab.nodes[name];
        assert_eq!(node.addresses[port], [(own.parse().unwrap(), 30)]);
        let way = Gateway {
            address: gateway.parse().unwrap(),
            port: port.into(),
        };
        assert_eq!(node.gateways, [way]);
        let other = &lab.nodes[&format!("uplink:{name}")];
        assert_eq!(other.kind, NodeKind::Uplink);
        assert_eq!(other.addresses["eth0"], [(gateway.parse().unwrap(), 30)]);
        let back = Gateway {
            address: own.parse().unwrap(),
            port: "eth0".into(),
        };
        assert_eq!(other.gateways, [back]);
        let link = lab
            .links
            .iter()
            .find(|l| l.name == format!("{name}-uplink"));
        let ends = [format!("{name}:{port}"), format!("uplink:{name}")];
        assert_eq!(link.unwrap().named_ends(':'), ends);
    }
    let link = lab
        .links
        .iter()
        .find(|link| link.name == "b-uplink")
        .unwrap();
    assert_eq!(
        (&link.forward.loss, &link.backward.loss),
        (&Loss::Random(0.01), &Loss::Random(0.01))
    );
    assert_eq!(link.forward.delay, Duration::from_millis(5));
    assert_eq!(link.backward.delay, Duration::ZERO);
    let named = text.replace("endpoints", "name = \"a-uplink\"\nendpoints");
    let error = Topology::parse(&named, "lab.toml").unwrap_err();
    assert!(error.message.contains("`a-uplink`"), "{error}");
}

#[test]
fn a_node_that_is_called_tap_keeps_its_ports() {
    let text = "[nodes.tap]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
                [[links]]\nendpoints = [\"tap:eth0\", \"b\"]\n";
    let lab = Topology::parse(text, "lab.toml").unwrap();
    assert_eq!(lab.links[0].ends[0], ("tap".into(), "eth0".into()));
    assert_eq!(lab.nodes.len(), 2);
}

#[test]
fn a_syntax_error_has_a_line_and_a_column() {
    let error = Topology::parse("name = \"a\"\nseed = = 2\n", "lab.toml").unwrap_err();
    assert_eq!((error.line, error.column), (2, 8), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(cut in 0usize..900, with in "\\PC{0,12}", junk in "\\PC*") {
        let _ = Topology::parse(&junk, "lab.toml");
        if let Some((head, tail)) = CHAT.split_at_checked(cut) {
            let _ = Topology::parse(&format!("{head}{with}{tail}"), "lab.toml");
            let tail = tail.get(with.len()..).unwrap_or("");
            let _ = Topology::parse(&format!("{head}{with}{tail}"), "lab.toml");
        }
    }
}

#[test]
fn the_example_at_the_head_of_this_module_is_a_good_file() {
    let module = include_str!("mod.rs");
    let example: String = module
        .lines()
        .skip_while(|line| *line != "//! ```toml")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| format!("{}\n", line.trim_start_matches("//!")))
        .collect();
    let router = "[nodes.r1]\nkind = \"router\"\n";
    let lab = Topology::parse(&format!("{example}{router}"), "lab.toml").unwrap();
    assert_eq!(lab.links[0].forward.loss, Loss::Random(0.01));
    assert_eq!(lab.links[0].backward.loss, Loss::Random(0.05));
    assert_eq!(lab.changes.len(), 1);
}
