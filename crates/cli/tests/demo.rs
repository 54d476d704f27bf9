//! `heptad` alone.
mod support;
use support::{Ran, Sandbox, has_program, terminate, wait_for};

#[test]
fn the_demonstration_tells_the_whole_story_and_its_capture_is_sound() {
    if !has_program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&[]).expect_code(0);
    for word in [
        "two unmodified Python programs",
        "10.0.1.10",
        "10.0.2.20",
        "SYN,ACK",
        "ESTABLISHED",
        "응용 application",
        "물리 physical",
        "ec 95 88",
        "alice: 안녕하세요",
        "LISTEN",
        "TIME_WAIT",
        "asked 5",
        "heptad-out/chat-seed42.pcapng",
        "3 of 3 lines",
    ] {
        assert!(
            ran.stdout.contains(word),
            "{word} is missing: {}",
            ran.stdout
        );
    }
    let widest = ran
        .stdout
        .lines()
        .map(unicode_width::UnicodeWidthStr::width)
        .max();
    assert!(widest <= Some(80), "{widest:?} columns: {}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b'), "colour with NO_COLOR");
    if has_program("tshark") {
        expect_sound(&sandbox, "heptad-out/chat-seed42.pcapng");
    }
    sandbox.expect_nothing_left();
}

#[test]
fn built_in_programs_tell_the_same_story() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["--builtin", "--json"]).expect_code(0);
    let outcome = ran.json();
    assert_eq!(
        (
            &outcome["ok"],
            &outcome["arrived"],
            &outcome["unmodified_programs"]
        ),
        (&true.into(), &3.into(), &false.into())
    );
    sandbox.expect_nothing_left();
}

#[test]
fn a_demonstration_that_is_told_to_end_says_so_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    // A program that never speaks: the demonstration would wait for long.
    let fake = sandbox.write("python3", "#!/bin/sh\nexec sleep 600\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&fake, executable).expect("permissions");
    let path = format!("{}:/usr/bin:/bin", sandbox.path("").display());
    let mut demo = sandbox.heptad(&[]);
    let mut demo = demo.env("PATH", path).spawn().expect("heptad starts");
    wait_for("its program", || sandbox.alive().len() >= 4);
    terminate(&demo);
    let status = demo.wait().expect("heptad ends");
    assert_eq!(status.code(), Some(143));
    sandbox.expect_nothing_left();
    let left = std::fs::read_dir(sandbox.path("runtime/heptad")).expect("its folder");
    assert_eq!(left.count(), 0);
}

/// Another implementation finds nothing malformed, no bad checksum, and reads names and comments.
fn expect_sound(sandbox: &Sandbox, capture: &str) {
    let checks = [
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
    ];
    let tshark = |words: &[&str]| {
        let output = sandbox
            .program("tshark", &[&["-r", capture], &checks[..], words].concat())
            .output()
            .expect("tshark starts");
        Ran::from(output).expect_code(0).stdout
    };
    let bad = "_ws.malformed || ip.checksum.status == \"Bad\" || tcp.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\"";
    assert_eq!(tshark(&["-Y", bad]), "");
    assert!(
        tshark(&["-Y", "tcp.checksum.status == \"Good\""])
            .lines()
            .count()
            > 10
    );
    let named = tshark(&["-N", "n", "-Y", "tcp.flags.syn == 1"]);
    assert!(named.contains("alice") && named.contains("bob"), "{named}");
    let comments = tshark(&[
        "-T",
        "fields",
        "-e",
        "frame.interface_name",
        "-e",
        "frame.packet_id",
        "-e",
        "frame.comment",
    ]);
    assert!(comments.contains("alice/eth0"), "{comments}");
}
