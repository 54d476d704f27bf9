//! The labs that teach: two equals that connect to each other, a file over a bad line, and both families side by side.
mod support;

use std::process::Stdio;

use support::{Ran, Sandbox, has_program, labs};

/// A lab of the repository.
fn up(sandbox: &Sandbox, name: &str) -> String {
    let folder = labs().join(name);
    let file = folder.join("lab.toml");
    sandbox
        .run(&["lab", "up", file.to_str().expect("utf-8"), "--no-capture"])
        .expect_code(0);
    folder.to_str().expect("utf-8").to_owned()
}

/// Both peers at once; what each of them printed.
fn peers(sandbox: &Sandbox, folder: &str, way: &str) -> [String; 2] {
    let program = format!("{folder}/peer.py");
    let peer = |node, port, other, other_port| {
        let words = [
            "exec", node, "--", "python3", &program, port, other, other_port, way,
        ];
        sandbox
            .heptad(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a peer starts")
    };
    let both = [
        peer("ann", "7001", "ben", "7002"),
        peer("ben", "7002", "ann", "7001"),
    ];
    both.map(|peer| {
        let output = peer.wait_with_output().expect("a peer ends");
        Ran::from(output).expect_code(0).stdout
    })
}

/// A counter of a node.
fn counter(sandbox: &Sandbox, node: &str, name: &str) -> u64 {
    let words = ["netstat", "-s", "--node", node, "--json"];
    let said = sandbox.run(&words).expect_code(0).json();
    let counters = said["nodes"][0]["counters"].as_array().expect("counters");
    let of_that_name = counters.iter().find(|counter| counter[1] == name);
    of_that_name.expect(name)[2].as_u64().expect("a number")
}

#[test]
fn two_equals_connect_to_each_other_one_after_the_other_and_at_once() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let folder = up(&sandbox, "p2p");
    let [ann, ben] = peers(&sandbox, &folder, "listen");
    assert_eq!(
        ann,
        "accepted from 10.0.0.2: port 7002 입니다\nconnected to ben: port 7002 도 안녕\n"
    );
    assert_eq!(
        ben,
        "accepted from 10.0.0.1: port 7001 입니다\nconnected to ann: port 7001 도 안녕\n"
    );
    for node in ["ann", "ben"] {
        assert_eq!(counter(&sandbox, node, "PassiveOpens"), 1, "{node}");
    }
    let [ann, ben] = peers(&sandbox, &folder, "together");
    assert_eq!(ann, "10.0.0.1:7001 = 10.0.0.2:7002: port 7002 입니다\n");
    assert_eq!(ben, "10.0.0.2:7002 = 10.0.0.1:7001: port 7001 입니다\n");
    // A simultaneous open: still nobody but the listeners of before was connected to.
    for node in ["ann", "ben"] {
        assert_eq!(counter(&sandbox, node, "PassiveOpens"), 1, "{node}");
    }
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_file_arrives_whole_over_a_line_that_does_everything_wrong() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let folder = up(&sandbox, "lossy");
    let program = format!("{folder}/transfer.py");
    let fetched = sandbox
        .run(&[
            "exec", "near", "--", "python3", &program, "fetch", "far", "9000",
        ])
        .expect_code(0);
    assert!(
        fetched.stdout.starts_with("400000 bytes in "),
        "{fetched:#?}"
    );
    assert!(fetched.stdout.ends_with("the same\n"), "{fetched:#?}");
    let end = sandbox
        .run(&["lab", "down", "--json"])
        .expect_code(0)
        .json();
    let faults = end["faults"].as_array().expect("faults");
    for kind in ["loss", "duplicate", "reorder"] {
        let applied = faults.iter().filter(|fault| fault["kind"] == kind);
        let applied: u64 = applied.filter_map(|fault| fault["applied"].as_u64()).sum();
        assert!(applied > 0, "{kind}: {end}");
    }
    sandbox.expect_nothing_left();
}

#[test]
fn old_and_new_hosts_reach_a_server_of_both_families() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let folder = up(&sandbox, "dual");
    let program = format!("{folder}/client.py");
    let ask = |node: &str| {
        let words = ["exec", node, "--", "python3", &program, "server", "8000"];
        sandbox.run(&words).expect_code(0).stdout
    };
    assert_eq!(ask("old"), "10.0.2.20: 안녕, 10.0.1.10 (IPv4)\n");
    let said = ask("new");
    assert!(said.starts_with("fd00:2::20: 안녕, fd00:1:"), "{said}");
    assert!(said.ends_with(" (IPv6)\n"), "{said}");
    let address = said.split([' ', '\n']).nth(2).expect("an address");
    // The lab knows the address that it made, and its name: forwards and back.
    let labs = sandbox.run(&["lab", "ls", "--json"]).expect_code(0);
    assert!(labs.stdout.contains(&format!("{address}/64")), "{labs:#?}");
    let ping = ["ping", "-c", "1", "--node", "server", "new"];
    let ping = sandbox.run(&ping).expect_code(0);
    assert!(ping.stdout.contains(address), "{ping:#?}");
    let names = format!(
        "import socket; print(socket.gethostbyaddr('{address}')[0], \
         sorted({{i[4][0] for i in socket.getaddrinfo('server', 80)}}))"
    );
    let names = ["exec", "new", "--", "python3", "-c", &names];
    let names = sandbox.run(&names).expect_code(0).stdout;
    assert_eq!(names, "new ['10.0.2.20', 'fd00:2::20']\n");
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}
