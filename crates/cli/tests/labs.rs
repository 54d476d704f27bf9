//! Labs: up, programs on their nodes, netstat, down; and in virtual time the same bytes again.
mod support;
use std::fs;

use support::{Sandbox, has_program, labs, wait_for};

#[test]
fn the_chat_lab_runs_a_conversation_between_two_nodes() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let (lab, client) = (labs().join("chat/lab.toml"), labs().join("chat/client.py"));
    sandbox
        .run(&["lab", "up", lab.to_str().expect("utf-8")])
        .expect_code(0);
    let listed = sandbox.run(&["lab", "ls", "--json"]).expect_code(0).json();
    assert_eq!(listed["labs"][0]["name"], "chat");
    let words = [
        "exec",
        "alice",
        "--",
        "python3",
        client.to_str().expect("utf-8"),
        "bob",
        "8080",
        "alice",
        "안녕하세요",
    ];
    let ran = sandbox.run(&words).expect_code(0);
    assert!(ran.stdout.contains("alice: 안녕하세요"), "{ran:#?}");
    let bob = sandbox
        .run(&["netstat", "-lntp", "--node", "bob"])
        .expect_code(0)
        .stdout;
    assert!(
        bob.contains(
            "tcp        0      0 0.0.0.0:8080            0.0.0.0:*               LISTEN      "
        ),
        "{bob}"
    );
    assert!(bob.contains("/python3"), "{bob}");
    let statistics = sandbox
        .run(&["netstat", "-s", "--node", "bob"])
        .expect_code(0)
        .stdout;
    assert!(
        statistics.contains("    1 passive connection openings\n"),
        "{statistics}"
    );
    let ended = sandbox
        .run(&["lab", "down", "chat", "--json"])
        .expect_code(0)
        .json();
    assert!(
        ended["faults"]
            .as_array()
            .is_some_and(|faults| !faults.is_empty()),
        "{ended}"
    );
    assert!(sandbox.path("heptad-out/chat-seed42.pcapng").is_file());
    sandbox.expect_nothing_left();
}

#[test]
fn curl_reads_from_a_python_web_server_on_another_node() {
    if !has_program("python3") || !has_program("curl") {
        return;
    }
    let sandbox = Sandbox::new();
    let page: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    fs::write(sandbox.path("page.bin"), &page).expect("a page");
    sandbox.write(
        "lab.toml",
        "name = \"web\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
         [[nodes.b.programs]]\nrun = [\"python3\", \"-m\", \"http.server\", \"80\"]\nready = \"tcp:80\"\n\
         [[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\ndelay = \"2ms\"\nloss = \"2%\"\n",
    );
    sandbox
        .run(&["lab", "up", "lab.toml", "--seed", "7"])
        .expect_code(0);
    sandbox
        .run(&[
            "exec",
            "a",
            "--",
            "curl",
            "-sS",
            "--max-time",
            "60",
            "-o",
            "got.bin",
            "http://b/page.bin",
        ])
        .expect_code(0);
    assert!(
        fs::read(sandbox.path("got.bin")).expect("what curl got") == page,
        "curl got other bytes"
    );
    sandbox
        .run(&["exec", "a", "--", "curl", "-sS", "http://b:81/"])
        .expect_code(7);
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_lab_that_is_killed_takes_its_programs_with_it() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write(
        "lab.toml",
        "name = \"web\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
         [[nodes.b.programs]]\nrun = [\"python3\", \"-m\", \"http.server\", \"80\"]\nready = \"tcp:80\"\n\
         [[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\n",
    );
    sandbox.run(&["lab", "up", "lab.toml"]).expect_code(0);
    let mut stranger = sandbox
        .heptad(&[
            "exec",
            "a",
            "--",
            "sh",
            "-c",
            "touch began; exec sleep 1000",
        ])
        .spawn()
        .expect("heptad starts");
    wait_for("the program on a", || sandbox.path("began").exists());
    let listed = sandbox.run(&["lab", "ls", "--json"]).expect_code(0).json();
    let pid = listed["labs"][0]["pid"].to_string();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &pid])
        .status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(
        stranger.wait().expect("an end").code(),
        Some(125),
        "the lab is gone"
    );
    sandbox.expect_nothing_left();
    // The socket that it left refuses: the name is free again.
    let listed = sandbox.run(&["lab", "ls", "--json"]).expect_code(0).json();
    assert_eq!(listed["labs"], serde_json::json!([]));
    sandbox.run(&["lab", "up", "lab.toml"]).expect_code(0);
    sandbox.run(&["lab", "down", "web"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_virtual_lab_gives_the_same_bytes_twice_and_the_same_hash_unwatched() {
    let lab = labs().join("chat/virtual.toml");
    let lab = lab.to_str().expect("utf-8");
    let sandbox = Sandbox::new();
    let run = |words: &[&str]| {
        let ran = sandbox
            .run(&[&["lab", "up", lab, "--json"], words].concat())
            .expect_code(0);
        ran.json()["event_hash"]
            .as_str()
            .expect("an event hash")
            .to_string()
    };
    let watched = [
        run(&["--capture", "1.pcapng"]),
        run(&["--capture", "2.pcapng"]),
    ];
    let unwatched = run(&["--no-capture"]);
    let other_seed = run(&["--no-capture", "--seed", "43"]);
    assert_eq!(watched[0], watched[1]);
    assert_eq!(watched[0], unwatched);
    assert_ne!(
        watched[0], other_seed,
        "the hash does not depend on the seed"
    );
    let read = |name| fs::read(sandbox.path(name)).expect("a capture");
    assert!(read("1.pcapng") == read("2.pcapng"), "captures differ");
    assert!(read("1.pcapng").len() > 2000);
}

#[test]
fn an_idle_hour_of_virtual_time_needs_no_hour() {
    let sandbox = Sandbox::new();
    sandbox.write("lab.toml", "name = \"idle\"\nseed = 1\nclock = \"virtual\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\n");
    let ended = sandbox
        .run(&[
            "lab",
            "up",
            "lab.toml",
            "--until",
            "1h",
            "--no-capture",
            "--json",
        ])
        .expect_code(0)
        .json();
    assert_eq!(ended["lab_time"], 3600.0);
}

#[test]
fn the_lab_files_shown_in_the_documents_are_good_files() {
    for (document, shown) in [
        ("README.md", 1),
        ("README.ko.md", 1),
        ("docs/lab-file.md", 1),
    ] {
        let path = support::labs().join("..").join(document);
        let text = std::fs::read_to_string(path).expect("the document");
        let labs: Vec<&str> = text
            .split("```toml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        assert_eq!(labs.len(), shown, "{document}");
        for lab in labs {
            let read = heptad_lab::Topology::parse(lab, document);
            assert!(read.is_ok(), "{document}: {read:?}");
        }
    }
}

#[test]
fn the_scripts_shown_and_kept_are_good_scripts() {
    let root = support::labs().join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file");
    let programs = read("docs/programs.md");
    let shown = programs
        .split("```toml\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains("[[on]]"))
        .expect("a script");
    let pair = "[nodes.alice]\naddress = \"10.0.0.1/24\"\n[nodes.bob]\naddress = \"10.0.0.2/24\"\n\
                [[links]]\nendpoints = [\"alice\", \"bob\"]\n";
    let kept =
        ["third-syn", "reset", "parted"].map(|name| read(&format!("labs/faults/{name}.toml")));
    for script in kept.iter().map(String::as_str).chain([shown]) {
        let read = heptad_lab::Topology::parse_scripted(pair, "pair", Some((script, "script")));
        assert!(read.is_ok(), "{script}: {read:?}");
    }
}
