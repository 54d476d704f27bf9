//! What a running lab tells of its nodes and cables, and how a cable is changed while it runs.
mod support;

use support::{Sandbox, has_program};

/// `a` and `b` on one cable, and on `b` a socket that keeps what it hears.
fn lab(sandbox: &Sandbox) {
    sandbox.write(
        "lab.toml",
        "name = \"asked\"\nseed = 1\n[nodes.a]\naddress = \"10.0.0.1/24\"\ngateway = \"10.0.0.2\"\n\
         [nodes.b]\naddress = \"10.0.0.2/24\"\n\
         [[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\ndelay = \"1ms\"\n",
    );
    sandbox
        .run(&["lab", "up", "lab.toml", "--no-capture"])
        .expect_code(0);
}

/// A hundred datagrams from `a` to a port of `b` where nobody is. The first goes ahead: while ARP asks, only so many wait.
fn send_a_hundred(sandbox: &Sandbox) {
    let send = "import socket, time\n\
        s = socket.socket(type=socket.SOCK_DGRAM)\n\
        s.sendto(b'first', ('10.0.0.2', 9)); time.sleep(0.1)\n\
        for n in range(99): s.sendto(b'%d' % n, ('10.0.0.2', 9))\n";
    sandbox
        .run(&["exec", "a", "--", "python3", "-c", send])
        .expect_code(0);
}

#[test]
fn a_cable_of_a_running_lab_is_changed_and_tells_what_it_did() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let link = |words: &[&str]| {
        let words: Vec<&str> = ["link"].iter().chain(words).copied().collect();
        sandbox.run(&words)
    };
    let shown = link(&["--json"]).expect_code(0).json();
    assert_eq!(shown["links"][0]["forward"], "1ms");
    send_a_hundred(&sandbox);
    let changed = link(&["a-b", "forward.loss=100%", "mtu=1280", "--json"])
        .expect_code(0)
        .json();
    let cable = &changed["links"][0];
    assert_eq!(cable["forward"], "1ms, loss 100.0 %");
    assert_eq!(cable["backward"], "1ms");
    assert_eq!(cable["mtu"], 1280);
    send_a_hundred(&sandbox);
    let after = link(&["a-b", "--json"]).expect_code(0).json();
    let fault = &after["links"][0]["faults"][0];
    assert_eq!(fault["kind"], "loss", "{after}");
    assert_eq!(fault["applied"], fault["n"], "{after}");
    assert!(fault["n"].as_u64() >= Some(100), "{after}");
    let ports = sandbox
        .run(&["netstat", "-i", "--node", "a", "--json"])
        .expect_code(0)
        .json();
    let eth0 = &ports["nodes"][0]["ports"][1];
    assert_eq!(
        (&eth0["port"], &eth0["mtu"]),
        (&"eth0".into(), &1280.into())
    );

    for (words, complaint) in [
        (&["a-b", "los=1%"][..], "did you mean `loss`?"),
        (&["a-b", "loss=1"], "`loss` is a text with a percentage"),
        (
            &["a-c", "loss=1%"],
            "no link named a-c in the lab asked; there are: a-b",
        ),
    ] {
        let ran = link(words).expect_code(2);
        assert!(ran.stderr.contains(complaint), "{ran:#?}");
    }
    let end = sandbox
        .run(&["lab", "down", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(end["faults"][0]["asked"], "100.0 %");
    sandbox.expect_nothing_left();
}

#[test]
fn neighbours_ports_and_routes_are_those_of_the_node() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let said = |words: &[&str]| sandbox.run(words).expect_code(0).stdout;
    assert_eq!(said(&["arp", "-n", "--node", "a"]), "");
    send_a_hundred(&sandbox);
    let expected = "\
Address                  HWtype  HWaddress           Flags Mask            Iface
10.0.0.2                 ether   02:00:00:02:00:00   C                     eth0
";
    assert_eq!(said(&["arp", "-n", "--node", "a"]), expected);
    assert_eq!(
        said(&["arp", "-a", "--node", "b"]),
        "a (10.0.0.1) at 02:00:00:01:00:00 [ether] on eth0\n"
    );
    assert_eq!(
        said(&["arp", "-n", "10.0.0.77", "--node", "a"]),
        "10.0.0.77 (10.0.0.77) -- no entry\n"
    );
    let routes = said(&["netstat", "-rn", "--node", "a"]);
    let rows: Vec<&str> = routes.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "0.0.0.0         10.0.0.2        0.0.0.0         UG        0 0          0 eth0",
            "10.0.0.0        0.0.0.0         255.255.255.0   U         0 0          0 eth0",
        ]
    );
    // 100 datagrams and an ARP request went to b; its ARP reply and its ICMP errors, as many as it may send, came back.
    let ports = sandbox
        .run(&["netstat", "-i", "--node", "b", "--json"])
        .expect_code(0)
        .json();
    let eth0 = &ports["nodes"][0]["ports"][1];
    assert!(eth0["rx_ok"].as_u64() >= Some(101), "{ports}");
    assert!(eth0["tx_ok"].as_u64() >= Some(2), "{ports}");
    let udp = "import socket, subprocess, sys\n\
        s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('10.0.0.2', 53))\n\
        sys.stdout.write('bound\\n'); sys.stdout.flush(); sys.stdin.read()\n";
    let mut server = sandbox.heptad(&["exec", "b", "--", "python3", "-c", udp]);
    let mut server = server
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("python starts");
    support::wait_for("a bound socket", || {
        said(&["netstat", "-anu", "--node", "b"])
            .lines()
            .any(|row| row.starts_with("udp        0      0 10.0.0.2:53 "))
    });
    drop(server.stdin.take());
    assert!(server.wait().expect("python ends").success());
    for words in [&["netstat", "-rs"][..], &["netstat", "-ri"]] {
        sandbox.run(words).expect_code(3);
    }
    sandbox.run(&["arp", "--node", "c"]).expect_code(2);
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn frames_of_a_running_lab_are_captured_for_a_while() {
    if !has_program("python3") || !has_program("tshark") {
        return;
    }
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let mut capture = sandbox.heptad(&["capture", "-w", "seen.pcapng", "--link", "a-b"]);
    let capture = capture
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    support::wait_for("the head of the capture", || {
        std::fs::metadata(sandbox.path("seen.pcapng")).is_ok_and(|file| file.len() > 100)
    });
    send_a_hundred(&sandbox);
    // What was sent and received stands in the file before it is ended.
    let datagrams = || {
        let words = [
            "-r",
            "seen.pcapng",
            "-Y",
            "udp.dstport==9 && !icmp",
            "-T",
            "fields",
        ];
        let fields = ["-e", "frame.interface_name", "-e", "frame.packet_id"];
        let tshark = sandbox.program("tshark", &[&words[..], &fields].concat());
        let tshark = { tshark }.output().expect("tshark");
        String::from_utf8_lossy(&tshark.stdout).into_owned()
    };
    support::wait_for("a hundred datagrams at both ends", || {
        datagrams().lines().count() >= 200
    });
    support::terminate(&capture);
    let ended = support::Ran::from(capture.wait_with_output().expect("it ends")).expect_code(0);
    assert!(ended.stderr.contains(" frames captured"), "{ended:#?}");
    let ids = |end: &str| -> std::collections::BTreeSet<String> {
        let seen = datagrams();
        let at_end = seen.lines().filter_map(|line| line.strip_prefix(end));
        at_end.map(|id| id.trim().to_owned()).collect()
    };
    assert_eq!(ids("a/eth0").len(), 100);
    assert_eq!(
        ids("a/eth0"),
        ids("b/eth0"),
        "the same packets at both ends"
    );
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_capture_ends_after_so_many_frames_and_refuses_what_is_not_there() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let counted = sandbox.heptad(&[
        "capture",
        "-w",
        "three.pcapng",
        "-c",
        "3",
        "--node",
        "b",
        "--json",
    ]);
    let counted = { counted }
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    support::wait_for("the head of the capture", || {
        std::fs::metadata(sandbox.path("three.pcapng")).is_ok_and(|file| file.len() > 100)
    });
    send_a_hundred(&sandbox);
    let counted = support::Ran::from(counted.wait_with_output().expect("it ends")).expect_code(0);
    assert_eq!(counted.json()["frames"], 3);
    assert_eq!(counted.json()["missed"], 0);

    for (words, complaint) in [
        (&["--link", "c-d"][..], "no link named c-d"),
        (&["--node", "c"], "no cable ends at a node c"),
        (&["-c", "0"], "0 is not in 1.."),
    ] {
        let ran = sandbox
            .run(&[&["capture", "-w", "x.pcapng"][..], words].concat())
            .expect_code(2);
        assert!(ran.stderr.contains(complaint), "{ran:#?}");
    }
    sandbox.run(&["capture"]).expect_code(2);
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_node_pings_another_and_says_what_came_of_it() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let ping = |words: &[&str]| sandbox.run(&[&["ping", "-i", "0.01"][..], words].concat());
    let ran = ping(&["-c", "3", "b"]).expect_code(0);
    assert_eq!(ran.stderr, "heptad: from a\n");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "PING b (10.0.0.2) 56(84) bytes of data.");
    for (line, seq) in lines[1..4].iter().zip(1..) {
        let start = format!("64 bytes from b (10.0.0.2): icmp_seq={seq} ttl=64 time=");
        let time = line
            .strip_prefix(start.as_str())
            .and_then(|rest| rest.strip_suffix(" ms"));
        let time: f64 = time.and_then(|time| time.parse().ok()).expect(line);
        assert!(time >= 2.0, "a millisecond each way: {line}");
    }
    assert_eq!(lines[5], "--- b ping statistics ---");
    assert!(
        lines[6].starts_with("3 packets transmitted, 3 received, 0% packet loss, time "),
        "{ran:#?}"
    );
    assert!(
        lines[7].starts_with("rtt min/avg/max/mdev = 2."),
        "{ran:#?}"
    );

    // Nobody has this address: after three questions the host says so itself.
    let ran = ping(&["-c", "2", "--node", "a", "10.0.0.77"]).expect_code(1);
    assert!(
        ran.stdout
            .contains("From 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n"),
        "{ran:#?}"
    );
    assert!(
        ran.stdout
            .contains("2 packets transmitted, 0 received, +2 errors, 100% packet loss, time "),
        "{ran:#?}"
    );
    sandbox
        .run(&["link", "a-b", "forward.loss=100%"])
        .expect_code(0);
    let ran = ping(&["-c", "2", "-W", "0.2", "-q", "--node", "a", "b"]).expect_code(1);
    // Ten milliseconds, or more where the machine is busy.
    let summary = "2 packets transmitted, 0 received, 100% packet loss, time ";
    let time = ran.stdout.rsplit_once(summary).map(|(_, time)| time);
    let millis = time.and_then(|time| time.strip_suffix("ms\n\n"));
    let millis = millis.and_then(|millis| millis.parse::<u32>().ok());
    assert!(millis.is_some_and(|millis| millis >= 10), "{ran:#?}");
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_ping_goes_on_until_it_is_told_to_end() {
    let sandbox = Sandbox::new();
    lab(&sandbox);
    // Without a count it goes on until it is told to end.
    let endless = sandbox
        .heptad(&["ping", "-i", "0.01", "--json", "--node", "b", "a"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    support::wait_for("some replies", || {
        let words = ["netstat", "-s", "--node", "a", "--json"];
        let said = sandbox.run(&words).expect_code(0).json();
        let counters = said["nodes"][0]["counters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let echos = counters.iter().find(|counter| counter[1] == "InEchos");
        echos.and_then(|counter| counter[2].as_u64()) >= Some(5)
    });
    support::terminate(&endless);
    let ended = support::Ran::from(endless.wait_with_output().expect("it ends")).expect_code(0);
    let last = ended.stdout.lines().last().expect("statistics");
    let last: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(last["event"], "statistics");
    assert!(last["received"].as_u64() >= Some(5), "{last}");

    for (words, complaint) in [
        (&["nobody"][..], "ping: nobody: Name or service not known"),
        (&["-i", "0", "b"], "the shortest interval is 0.002 s"),
        (&["-s", "65508", "b"], "65508 is not in 0..=65507"),
        (&["--node", "c", "b"], "no host or router named c"),
    ] {
        let ran = sandbox.run(&[&["ping"][..], words].concat()).expect_code(2);
        assert!(ran.stderr.contains(complaint), "{ran:#?}");
    }
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn ss_tells_what_tcp_knows() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    lab(&sandbox);
    let talk = "import socket, sys\n\
        l = socket.socket(); l.bind(('', 7000)); l.listen()\n\
        c = socket.create_connection(('10.0.0.2', 7000))\n\
        s, _ = l.accept(); c.sendall(b'x' * 5000)\n\
        n = 0\n\
        while n < 5000: n += len(s.recv(5000))\n\
        print(\"ready\", flush=True); sys.stdin.read()\n";
    let mut program = sandbox
        .heptad(&["exec", "b", "--", "python3", "-c", talk])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a program");
    let mut first = String::new();
    let out = program.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut first).expect("a line");
    let said = |words: &[&str]| sandbox.run(words).expect_code(0).stdout;
    let text = said(&["ss", "-tanpi", "--node", "b"]);
    assert!(text.starts_with("State  Recv-Q Send-Q"), "{text}");
    assert!(text.contains("LISTEN 0      128"), "{text}");
    assert!(text.contains("users:((\"python3\",pid="), "{text}");
    assert!(text.contains("\t cubic wscale:10,10 rto:20"), "{text}");
    for words in [
        " bytes_sent:5000 bytes_acked:5000 ",
        " bytes_received:5000 ",
        " cwnd:",
        " rtt:",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let listening = said(&["ss", "-Hltn", "--node", "b"]);
    assert_eq!(listening.lines().count(), 1, "{listening}");
    let json = sandbox
        .run(&["ss", "-tan", "--node", "b", "--json"])
        .expect_code(0)
        .json();
    let sockets = json["nodes"][0]["sockets"].as_array().expect("a list");
    assert_eq!(sockets.len(), 3, "{json}");
    let sent = sockets
        .iter()
        .filter(|s| s["tcp_info"]["bytes_sent"] == 5000);
    assert_eq!(sent.count(), 1, "{json}");
    drop(program.stdin.take());
    program.wait().expect("its end");
    sandbox.run(&["ss", "-Z"]).expect_code(255);
    sandbox.run(&["ss", "--node", "c"]).expect_code(2);
    sandbox.run(&["lab", "down"]).expect_code(0);
}
