//! Whatever a user gets wrong ends in a clear message, the right exit code, and nothing left running.
mod support;
use support::{Sandbox, has_program, terminate, wait_for};

const PAIR: &str = "name = \"pair\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\n";

#[test]
fn a_bad_lab_file_is_refused_with_file_line_and_column() {
    let rows = [
        (
            "an unknown key",
            PAIR.replace("endpoints", "colour = \"red\"\nendpoints"),
            "lab.toml:7:1",
            "colour",
        ),
        (
            "two nodes of one address",
            PAIR.replace("10.0.0.2", "10.0.0.1"),
            "lab.toml:5:",
            "10.0.0.1",
        ),
        (
            "a loss of 140 %",
            format!("{PAIR}loss = \"140%\"\n"),
            "lab.toml:8:",
            "140",
        ),
        (
            "an unknown node",
            PAIR.replace("\"b:eth0\"", "\"c:eth0\""),
            "lab.toml:7:",
            "c",
        ),
        ("no TOML at all", "name = ".to_string(), "lab.toml:1:", ""),
    ];
    for (what, text, place, word) in rows {
        let sandbox = Sandbox::new();
        sandbox.write("lab.toml", &text);
        let ran = sandbox.run(&["lab", "up", "lab.toml"]).expect_code(2);
        assert!(
            ran.stderr.contains(place) && ran.stderr.contains(word),
            "{what}: {ran:#?}"
        );
        assert!(
            sandbox.alive().is_empty(),
            "{what}: something is left running"
        );
    }
}

#[test]
fn a_missing_lab_file_is_named() {
    let ran = Sandbox::new()
        .run(&["lab", "up", "nowhere.toml"])
        .expect_code(2);
    assert!(ran.stderr.contains("nowhere.toml"), "{ran:#?}");
}

#[test]
fn a_program_that_does_not_exist_is_127_and_one_that_is_no_program_126() {
    let sandbox = Sandbox::new();
    let text = sandbox.write("text", "no program\n");
    for (program, code) in [
        ("no-such-program", 127),
        (text.to_str().expect("utf-8"), 126),
    ] {
        let ran = sandbox.run(&["run", "--", program]).expect_code(code);
        assert!(ran.stderr.contains(program), "{ran:#?}");
    }
    sandbox.expect_nothing_left();
}

#[test]
fn an_impossible_impairment_is_a_usage_error() {
    let sandbox = Sandbox::new();
    for words in [
        ["run", "--loss", "140%"],
        ["run", "--rtt", "soon"],
        ["run", "--loss", "5"],
    ] {
        let mut words = words.to_vec();
        words.extend(["--", "true"]);
        let flag = words[1];
        let ran = sandbox.run(&words).expect_code(2);
        assert!(
            ran.stderr.starts_with(&format!("heptad: {flag}")),
            "{ran:#?}"
        );
    }
    sandbox.expect_nothing_left();
}

#[test]
fn a_capture_that_cannot_be_written_is_told_before_anything_runs() {
    let sandbox = Sandbox::new();
    sandbox.write("lab.toml", PAIR);
    let ran = sandbox
        .run(&["lab", "up", "lab.toml", "--capture", "/proc/none/x.pcapng"])
        .expect_code(125);
    assert!(ran.stderr.contains("/proc/none/x.pcapng"), "{ran:#?}");
    sandbox.expect_nothing_left();
}

#[test]
fn a_port_in_use_is_the_programs_own_error() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let twice = "import socket\na=socket.socket(); a.bind(('0.0.0.0', 80)); a.listen()\nb=socket.socket(); b.bind(('0.0.0.0', 80))";
    let ran = sandbox
        .run(&["run", "-q", "--", "python3", "-c", twice])
        .expect_code(1);
    assert!(ran.stderr.contains("Address already in use"), "{ran:#?}");
    sandbox.expect_nothing_left();
}

#[test]
fn commands_that_need_a_lab_say_when_there_is_none() {
    let sandbox = Sandbox::new();
    for words in [
        &["netstat", "-ant"][..],
        &["exec", "a", "--", "true"],
        &["lab", "down"],
        &["lab", "down", "nosuch"],
    ] {
        let ran = sandbox.run(words).expect_code(2);
        assert!(ran.stderr.contains("lab"), "{ran:#?}");
    }
}

#[test]
fn netstat_keeps_net_tools_code_for_an_unknown_option() {
    Sandbox::new().run(&["netstat", "-Z"]).expect_code(3);
}

#[test]
fn one_name_is_one_running_lab() {
    let sandbox = Sandbox::new();
    sandbox.write("lab.toml", PAIR);
    sandbox.run(&["lab", "up", "lab.toml"]).expect_code(0);
    let again = ["lab", "up", "--capture", "one.pcapng", "lab.toml"];
    sandbox.write("one.pcapng", "a capture of the lab that runs");
    let ran = sandbox.run(&again).expect_code(2);
    assert!(ran.stderr.contains("already running"), "{ran:#?}");
    let kept = std::fs::read_to_string(sandbox.path("one.pcapng")).expect("the capture");
    assert_eq!(kept, "a capture of the lab that runs");
    sandbox.run(&["lab", "down", "pair"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn of_several_labs_one_is_named_with_the_same_flag_everywhere() {
    let sandbox = Sandbox::new();
    for name in ["one", "two"] {
        sandbox.write("lab.toml", &PAIR.replace("pair", name));
        sandbox.run(&["lab", "up", "lab.toml"]).expect_code(0);
    }
    let ran = sandbox.run(&["lab", "down"]).expect_code(2);
    assert!(ran.stderr.contains("choose one with --lab"), "{ran:#?}");
    let mut elsewhere = sandbox.heptad(&["lab", "down", "three"]);
    let ran = elsewhere.env("HEPTAD_LAB", "one").output();
    assert!(
        String::from_utf8_lossy(&ran.expect("heptad starts").stderr).contains("no lab named three"),
        "the plain name comes before the variable"
    );
    for name in ["one", "two"] {
        sandbox
            .run(&["netstat", "--lab", name, "--node", "a"])
            .expect_code(0);
        sandbox.run(&["lab", "down", "--lab", name]).expect_code(0);
    }
    sandbox.expect_nothing_left();
}

#[test]
fn a_lab_whose_program_does_not_exist_does_not_come_up() {
    let sandbox = Sandbox::new();
    let text = PAIR.replace("[nodes.b]", "[nodes.b]\nrun = [\"no-such-program\"]");
    sandbox.write("lab.toml", &text);
    let ran = sandbox.run(&["lab", "up", "lab.toml"]).expect_code(127);
    assert!(ran.stderr.contains("no-such-program"), "{ran:#?}");
    sandbox.expect_nothing_left();
}

#[test]
fn a_lab_that_waits_for_its_program_can_be_told_to_end() {
    let sandbox = Sandbox::new();
    let text = PAIR.replace(
        "[nodes.b]",
        "[nodes.b]\nrun = [\"sleep\", \"600\"]\nready = \"tcp:9\"",
    );
    sandbox.write("lab.toml", &text);
    for words in [
        &["lab", "up", "lab.toml"][..],
        &["lab", "up", "-f", "lab.toml"],
    ] {
        let mut up = sandbox.heptad(words).spawn().expect("heptad starts");
        wait_for("its program", || sandbox.alive().len() >= 4);
        terminate(&up);
        up.wait().expect("heptad ends");
        sandbox.expect_nothing_left();
    }
}
