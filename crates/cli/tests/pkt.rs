//! `heptad pkt`: scripts that pass, scripts that do not, and what is said of both.
mod support;
use support::Sandbox;

const GOOD: &str = "// RFC 9293, 3.5: a handshake.
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1460>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
";

#[test]
fn a_folder_of_scripts_that_pass() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("all/b")).expect("a folder");
    sandbox.write("all/b/second.pkt", GOOD);
    sandbox.write("all/first.pkt", GOOD);
    sandbox.write("all/notes.txt", "no script");
    let ran = sandbox.run(&["pkt", "all"]).expect_code(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:#?}");
    assert_eq!(lines[0], "ok    all/b/second.pkt  7 events, 0.100 s");
    assert_eq!(lines[1], "ok    all/first.pkt  7 events, 0.100 s");
    assert!(lines[2].starts_with("2 passed, 0 failed; 0.2 s of virtual time in "));
    let quiet = sandbox.run(&["pkt", "-q", "all"]).expect_code(0);
    assert_eq!(quiet.stdout.lines().count(), 1);
}

#[test]
fn another_packet_is_shown_beside_the_one_expected() {
    let sandbox = Sandbox::new();
    sandbox.write("good.pkt", GOOD);
    let bad = GOOD.to_string() + "+.2 write(4, ..., 10) = 10\n+0 > P. 1:21(20) ack 1\n";
    sandbox.write("bad.pkt", &bad);
    let ran = sandbox
        .run(&["pkt", "-q", "bad.pkt", "good.pkt"])
        .expect_code(1);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "FAIL  bad.pkt:10: at 0.300000 s: length: 20 was expected, 10 was sent",
            "      expected    0.300000  > P. 1:21(20) ack 1",
            "      sent        0.300000  > P. 1:11(10) ack 1 win 65392",
        ]
    );
    assert!(lines[3].starts_with("1 passed, 1 failed; "), "{ran:#?}");

    let ran = sandbox.run(&["pkt", "--json", "bad.pkt", "good.pkt"]);
    let told = ran.expect_code(1).json();
    assert_eq!((&told["v"], &told["passed"]), (&1.into(), &1.into()));
    let bad = &told["scripts"][0];
    assert_eq!((&bad["ok"], &bad["line"]), (&false.into(), &10.into()));
    assert_eq!(bad["kind"], "differs");
    assert_eq!(bad["seconds"], 0.3);
    assert_eq!(bad["expected"]["packet"], "P. 1:21(20) ack 1");
    assert_eq!(bad["sent"]["time"], "0.300000");
    assert_eq!(told["scripts"][1]["events"], 7);
}

#[test]
fn silence_and_another_result_are_told_with_their_time() {
    let sandbox = Sandbox::new();
    sandbox.write("silent.pkt", &(GOOD.to_string() + "+0 > . 1:1(0) ack 1\n"));
    let ran = sandbox.run(&["pkt", "silent.pkt"]).expect_code(1);
    assert!(
        ran.stdout
            .contains("silent.pkt:9: at 0.100000 s: nothing was sent")
            && ran.stdout.contains("sent      nothing"),
        "{ran:#?}"
    );
    let call = GOOD.to_string() + "+0 read(4, ..., 10) = -1 EBADF\n";
    sandbox.write("call.pkt", &call);
    let ran = sandbox.run(&["pkt", "call.pkt"]).expect_code(1);
    assert!(
        ran.stdout.contains("call.pkt:9: at 0.100000 s: read "),
        "{ran:#?}"
    );
}

#[test]
fn what_is_no_script_is_told_with_its_place() {
    let sandbox = Sandbox::new();
    let rows = [
        ("0 nonsense 5\n", "x.pkt:1: ", "`(` was expected"),
        (
            "0 fork() = 0\n",
            "x.pkt:1: ",
            "the call fork is not known here",
        ),
        ("--speed_of_light=3\n", "x.pkt:1: ", "speed_of_light"),
        (
            "// one\n`sysctl -q net.ipv4.tcp_magic=1`\n",
            "x.pkt:2: ",
            "tcp_magic",
        ),
    ];
    for (text, place, word) in rows {
        sandbox.write("x.pkt", text);
        let ran = sandbox.run(&["pkt", "x.pkt"]).expect_code(2);
        assert!(
            ran.stdout.contains(place) && ran.stdout.contains(word),
            "{text}: {ran:#?}"
        );
    }
    sandbox.write("good.pkt", GOOD);
    for wrong in [&["pkt"][..], &["pkt", "good.pkt", "none.pkt"]] {
        sandbox.run(wrong).expect_code(2);
    }
    std::fs::create_dir_all(sandbox.path("empty")).expect("a folder");
    let ran = sandbox.run(&["pkt", "empty"]).expect_code(2);
    assert!(ran.stderr.contains("no script ends in .pkt below empty"));
}
