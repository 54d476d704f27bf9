//! What `heptad ip`, `traceroute`, `tracepath` and `netstat` tell of a running lab with two routers.
mod support;

use support::Sandbox;

/// `a` - `r1` - `r2` - `b`, 1 ms a cable; the last one is narrow.
fn lab(sandbox: &Sandbox) {
    sandbox.write(
        "lab.toml",
        "name = \"far\"\nseed = 1\n\
         [nodes.a]\naddress = \"10.0.1.10/24\"\ngateway = \"10.0.1.1\"\n\
         [nodes.b]\naddress = \"10.0.3.20/24\"\ngateway = \"10.0.3.1\"\n\
         [nodes.r1]\nkind = \"router\"\n[nodes.r2]\nkind = \"router\"\n\
         [[links]]\nendpoints = [\"a:eth0\", \"r1:eth0\"]\ndelay = \"1ms\"\n\
         [[links]]\nendpoints = [\"r1:eth1\", \"r2:eth0\"]\ndelay = \"1ms\"\n\
         [[links]]\nendpoints = [\"r2:eth1\", \"b:eth0\"]\ndelay = \"1ms\"\nmtu = 1400\n",
    );
    sandbox
        .run(&["lab", "up", "lab.toml", "--no-capture"])
        .expect_code(0);
}

/// The line without what differs from run to run: times.
fn timeless(text: &str) -> Vec<String> {
    let is_time = |word: &str| {
        let number = word.trim_end_matches("ms");
        number.contains('.') && number.parse::<f64>().is_ok()
    };
    let line = |line: &str| {
        let words = line.split_whitespace();
        let kept = words.filter(|word| !is_time(word) && *word != "ms");
        kept.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect()
}

/// What it prints; it succeeds.
#[track_caller]
fn said(sandbox: &Sandbox, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    sandbox.run(&words).expect_code(0).stdout
}

#[track_caller]
fn said_in_json(sandbox: &Sandbox, line: &str) -> serde_json::Value {
    serde_json::from_str(&said(sandbox, line)).expect("JSON")
}

/// Each line of words, its exit code, and what it complains of.
#[track_caller]
fn refuses(sandbox: &Sandbox, table: &[(&str, i32, &str)]) {
    for (line, code, complaint) in table {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = sandbox.run(&words).expect_code(*code);
        assert!(ran.stderr.contains(complaint), "{line}: {ran:#?}");
    }
}

#[track_caller]
fn end(sandbox: &Sandbox) {
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_trace_names_who_is_on_the_way() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    // Routers ration their errors: what is asked later hears less.
    let path = timeless(&said(&sandbox, "tracepath -n b"));
    assert_eq!(path[0], "1?: [LOCALHOST] pmtu 1500");
    let last = path.last().map(String::as_str);
    assert_eq!(last, Some("Resume: pmtu 1400 hops 3 back 3"));
    let narrow = path.iter().find(|line| line.ends_with("pmtu 1400"));
    let found = narrow.is_some_and(|line| line.starts_with("3: "));
    assert!(found, "{path:?}");
    for method in ["traceroute b", "traceroute -I -q 1 b"] {
        let lines = timeless(&said(&sandbox, method));
        let head = "traceroute to b (10.0.3.20), 30 hops max, 60 byte packets";
        assert_eq!(lines[0], head);
        assert!(lines[1].starts_with("1 r1 (10.0.1."), "{lines:?}");
        assert!(lines[2].starts_with("2 r2 ("), "{lines:?}");
        assert_eq!(lines[3], "3 b (10.0.3.20)");
        assert_eq!(lines.len(), 4, "{lines:?}");
    }
    let numeric = timeless(&said(&sandbox, "traceroute -n -q 1 -m 2 --node b a"));
    assert_eq!(numeric.len(), 3, "{numeric:?}");
    assert!(numeric[1].starts_with("1 10.0.3."), "{numeric:?}");

    let lines = said(&sandbox, "traceroute --json -q 1 --node b a");
    let read = |line| serde_json::from_str(line).expect("JSON");
    let probes: Vec<serde_json::Value> = lines.lines().map(read).collect();
    assert_eq!(probes.len(), 3, "{probes:?}");
    assert_eq!((&probes[2]["hop"], &probes[2]["v"]), (&3.into(), &1.into()));
    assert_eq!(probes[2]["from"], "10.0.1.10");
    assert!(probes[2]["rtt"].as_f64() >= Some(6.0), "{probes:?}");
    end(&sandbox);
}

#[test]
fn traces_that_cannot_be_have_the_codes_of_their_tools() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let other_family = "Address family for hostname not supported";
    let unknown = "nobody: Name or service not known";
    let no_way = "connect: Network is unreachable";
    refuses(
        &sandbox,
        &[
            ("traceroute nobody", 2, unknown),
            ("tracepath nobody", 1, unknown),
            ("ping -c 1 nobody", 2, unknown),
            ("traceroute -6 10.0.3.20", 2, other_family),
            ("ping -4 -c 1 ::1", 2, other_family),
            ("traceroute fd00:9::9 --node a", 1, no_way),
            ("traceroute -q 11 b", 2, "11 is not in 1..=10"),
        ],
    );
    let nowhere = timeless(&said(&sandbox, "tracepath fd00:9::9 --node a"));
    assert_eq!(nowhere, ["1: send failed", "Resume: pmtu 65535"]);
    end(&sandbox);
}

#[test]
fn ip_shows_what_a_node_has() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    said(&sandbox, "ping -c 1 --node a b");
    let device = "\
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000\n";
    let link = "    link/ether 02:00:00:01:00:00 brd ff:ff:ff:ff:ff:ff\n";
    let address = "\
\x20   inet 10.0.1.10/24 scope global eth0
       valid_lft forever preferred_lft forever\n";
    let shown = said(&sandbox, "ip -4 addr show dev eth0 --node a");
    assert_eq!(shown, format!("{device}{address}"));
    let shown = said(&sandbox, "ip a --node a");
    assert!(
        shown.starts_with("1: lo: <LOOPBACK,UP,LOWER_UP>"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("{device}{link}{address}")),
        "{shown}"
    );
    let brief = "\
lo               UNKNOWN        127.0.0.1/8 \n\
eth0             UP             10.0.1.10/24 \n";
    assert_eq!(said(&sandbox, "ip -br -4 addr --node a"), brief);
    let routes = said(&sandbox, "ip route --node r1");
    let on_link = "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.";
    assert!(routes.contains(on_link), "{routes}");
    assert!(routes.contains(" proto static \n"), "{routes}");
    let neighbours = said(&sandbox, "ip neigh --node a");
    assert!(
        neighbours.contains(" dev eth0 lladdr 02:00:00:"),
        "{neighbours}"
    );
    end(&sandbox);
}

#[test]
fn what_ip_shows_is_json_too_and_each_object_names_its_node_if_there_are_several() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    said(&sandbox, "ping -c 1 --node a b");
    let all = said_in_json(&sandbox, "ip -j link");
    let nodes = all.as_array().expect("an array").iter();
    let nodes: Vec<_> = nodes.map(|object| &object["node"]).collect();
    assert_eq!(nodes.first(), Some(&&"a".into()));
    assert!(nodes.contains(&&"r2".into()), "{nodes:?}");
    for object in ["addr", "route", "neigh", "link"] {
        let compact = said_in_json(&sandbox, &format!("ip -j {object} --node r1"));
        let pretty = said_in_json(&sandbox, &format!("ip -j -p {object} --node r1"));
        assert_eq!(compact, pretty, "{object}");
        assert!(
            compact[0].is_object() && compact[0]["node"].is_null(),
            "{compact}"
        );
    }
    end(&sandbox);
}

#[test]
fn what_ip_does_not_know_has_its_words_and_codes() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let no_command = "Command \"add\" is unknown, try \"ip address help\".\n";
    let no_object = "Object \"foo\" is unknown, try \"ip help\".\n";
    refuses(
        &sandbox,
        &[
            (
                "ip addr show dev nope",
                1,
                "Device \"nope\" does not exist.\n",
            ),
            ("ip route show dev nope", 1, "Cannot find device \"nope\"\n"),
            ("ip foo", 1, no_object),
            ("ip addr add", 255, no_command),
            ("ip -z addr", 255, "-z"),
            ("ip addr --node nobody", 2, "no host or router named nobody"),
        ],
    );
    end(&sandbox);
}

#[test]
fn the_loopback_speaks_ipv6_and_netstat_tells() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let pinged = said(&sandbox, "ping -6 -c 2 -i 0.01 --node a ::1");
    let head = "PING ::1(::1) 56 data bytes\n64 bytes from ::1: icmp_seq=1 ttl=64 time=";
    assert!(pinged.starts_with(head), "{pinged}");
    let long = said(&sandbox, "ping -s 65000 -c 1 --node a ::1");
    let line = "\n65008 bytes from ::1: icmp_seq=1 ttl=64 time=";
    assert!(long.contains(line), "{long}");
    let trace = timeless(&said(&sandbox, "traceroute -n --node a ::1"));
    let head = "traceroute to ::1 (::1), 30 hops max, 80 byte packets";
    assert_eq!(trace, [head, "1 ::1"]);

    let counters = said(&sandbox, "netstat -s --node a");
    assert!(counters.contains("\nIp6:\n"), "{counters}");
    assert!(
        counters.contains("\n        echo replies: 3\n"),
        "{counters}"
    );
    let only = said(&sandbox, "netstat -s6 --node a");
    assert!(only.starts_with("Ip6:\n"), "{only}");
    let groups = said(&sandbox, "netstat -gn --node a");
    let head = "\
IPv6/IPv4 Group Memberships
Interface       RefCnt Group
--------------- ------ ---------------------
lo              1      224.0.0.1
eth0            1      224.0.0.1
";
    assert!(groups.starts_with(head), "{groups}");
    let all_nodes = "lo              1      ff02::1\n";
    assert!(groups.contains(all_nodes), "{groups}");
    let routes = said(&sandbox, "netstat -rn6 --node a");
    let head = "Kernel IPv6 routing table\nDestination                    Next Hop ";
    assert!(routes.starts_with(head), "{routes}");
    let own = "\n::1/128                        ::                         Un   0   1      0 lo\n";
    assert!(routes.contains(own), "{routes}");
    let v4 = said(&sandbox, "netstat -rn --node a");
    assert!(!v4.contains(':'), "{v4}");
    end(&sandbox);
}

/// `a` - `r1` - `b` over both families; `c`, on a cable of its own, takes what `r1` tells.
fn both_families(sandbox: &Sandbox) {
    sandbox.write(
        "both.toml",
        "name = \"both\"\nseed = 1\n\
         [nodes.a]\naddress = [\"10.0.1.10/24\", \"fd00:1::10/64\"]\ngateway = [\"10.0.1.1\", \"fd00:1::1\"]\n\
         [nodes.b]\naddress = [\"10.0.3.20/24\", \"fd00:3::20/64\"]\ngateway = [\"10.0.3.1\", \"fd00:3::1\"]\n\
         [nodes.c]\naddress = \"auto\"\n\
         [nodes.r1]\nkind = \"router\"\n[nodes.r1.ports.eth2]\naddress = \"fd00:2::1/64\"\n\
         [[links]]\nendpoints = [\"a:eth0\", \"r1:eth0\"]\ndelay = \"1ms\"\n\
         [[links]]\nendpoints = [\"r1:eth1\", \"b:eth0\"]\ndelay = \"1ms\"\nmtu = 1400\n\
         [[links]]\nendpoints = [\"r1:eth2\", \"c:eth0\"]\ndelay = \"1ms\"\n",
    );
    sandbox
        .run(&["lab", "up", "both.toml", "--no-capture"])
        .expect_code(0);
}

#[test]
fn probes_go_over_ipv6() {
    let sandbox = Sandbox::new();
    both_families(&sandbox);
    let pinged = said(&sandbox, "ping -6 -c 1 --node a b");
    let head = "\
PING b(b (fd00:3::20)) 56 data bytes
64 bytes from b (fd00:3::20): icmp_seq=1 ttl=63 time=";
    assert!(pinged.starts_with(head), "{pinged}");
    let died = sandbox.run(&["ping", "-6", "-t", "1", "-c", "1", "--node", "a", "b"]);
    let died = died.expect_code(1).stdout;
    let error = "From fd00:1::1 icmp_seq=1 Time exceeded: Hop limit\n";
    assert!(died.contains(error), "{died}");
    let lost = sandbox.run(&["ping", "-c", "1", "--node", "a", "fd00:1::99"]);
    let lost = lost.expect_code(1).stdout;
    let error = "From fd00:1::10 icmp_seq=1 Destination unreachable: Address unreachable\n";
    assert!(lost.contains(error), "{lost}");

    let path = timeless(&said(&sandbox, "tracepath -6 -n --node a b"));
    let last = path.last().map(String::as_str);
    assert_eq!(last, Some("Resume: pmtu 1400 hops 2 back 2"), "{path:?}");
    let trace = timeless(&said(&sandbox, "traceroute -6 -q 1 --node a b"));
    let expected = [
        "traceroute to b (fd00:3::20), 30 hops max, 80 byte packets",
        "1 r1 (fd00:1::1)",
        "2 b (fd00:3::20)",
    ];
    assert_eq!(trace, expected);
    end(&sandbox);
}

#[test]
fn ip_shows_ipv6_and_what_a_router_told_has_a_life() {
    let sandbox = Sandbox::new();
    both_families(&sandbox);
    said(&sandbox, "ping -6 -c 1 --node a b");
    let expected = "eth0             UP             fd00:1::10/64 fe80::ff:fe01:0/64 \n";
    let brief = said(&sandbox, "ip -6 -br addr show dev eth0 --node a");
    assert_eq!(brief, expected);
    let expected = "\
fd00:1::/64 dev eth0 proto kernel metric 256 pref medium
fe80::/64 dev eth0 proto kernel metric 256 pref medium
default via fd00:1::1 dev eth0 proto static metric 1024 pref medium
";
    assert_eq!(said(&sandbox, "ip -6 route --node a"), expected);
    let neighbours = said(&sandbox, "ip -6 neigh --node a");
    let router = "fd00:1::1 dev eth0 lladdr 02:00:00:";
    assert!(neighbours.starts_with(router), "{neighbours}");
    assert!(!said(&sandbox, "arp -an --node a").contains("fd00"));

    let own = said_in_json(&sandbox, "ip -j -6 addr show dev eth0 --node c");
    let [global, on_link] = [&own[0]["addr_info"][0], &own[0]["addr_info"][1]];
    assert_eq!(
        (&global["scope"], &on_link["scope"]),
        (&"global".into(), &"link".into())
    );
    assert_eq!(
        (&global["dynamic"], &global["stable-privacy"]),
        (&true.into(), &true.into())
    );
    assert!(
        global["valid_life_time"].as_u64() < Some(u32::MAX.into()),
        "{own}"
    );
    let routes = said_in_json(&sandbox, "ip -j -6 route --node c");
    let default = routes.as_array().and_then(|routes| routes.last());
    let default = default.expect("a default");
    assert_eq!(
        (&default["dst"], &default["protocol"]),
        (&"default".into(), &"ra".into())
    );
    let router = default["gateway"].as_str().expect("a router");
    assert!(router.starts_with("fe80::"), "{routes}");
    assert!(default["expires"].as_u64() > Some(0), "{routes}");
    let table = said(&sandbox, "netstat -rn6 --node c");
    assert!(table.contains(" UGDAe 1024 "), "{table}");
    end(&sandbox);
}

#[test]
fn bridge_shows_which_ports_of_a_switch_want_which_group() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "switch.toml",
        "name = \"switched\"\nseed = 1\n\
         [nodes.a]\naddress = [\"10.0.0.1/24\", \"fd00::1/64\"]\n\
         [nodes.b]\naddress = [\"10.0.0.2/24\", \"fd00::2/64\"]\n\
         [nodes.sw]\nkind = \"switch\"\nquerier = \"10.0.0.250\"\n\
         [[links]]\nendpoints = [\"a\", \"sw:eth0\"]\n[[links]]\nendpoints = [\"b\", \"sw:eth1\"]\n",
    );
    let up = sandbox.run(&["lab", "up", "switch.toml", "--no-capture"]);
    up.expect_code(0);
    // Each host tells of the group in which its address is asked for.
    let lines = [
        "dev sw port eth0 grp ff02::1:ff00:1 temp\n",
        "dev sw port eth1 grp ff02::1:ff00:2 temp\n",
    ];
    support::wait_for("what both hosts tell", || {
        let shown = said(&sandbox, "bridge mdb");
        lines.iter().all(|line| shown.contains(line))
    });
    let detailed = said(&sandbox, "bridge -d -s mdb show dev sw");
    let own = "\nquerier on sw: 10.0.0.250 itself";
    assert!(detailed.contains(own), "{detailed}");
    let timed = "dev sw port eth0 grp ff02::1:ff00:1 temp proto kernel   2";
    assert!(detailed.contains(timed), "{detailed}");
    let all = said_in_json(&sandbox, "bridge -j -details mdb --node sw");
    assert_eq!(all[0]["mdb"][0]["dev"], "sw");
    assert_eq!(all[0]["querier"]["sw"][0]["address"], "10.0.0.250");
    refuses(
        &sandbox,
        &[
            ("bridge foo", 255, "Object \"foo\" is unknown"),
            ("bridge mdb add", 255, "Command \"add\" is unknown"),
            ("bridge -z mdb", 255, "-z"),
            (
                "bridge mdb --node a",
                2,
                "no switch named a in the lab switched; there are: sw",
            ),
        ],
    );
    end(&sandbox);
}
