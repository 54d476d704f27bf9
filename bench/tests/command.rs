//! The command as `cargo xtask bench` calls it.
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_heptad-bench"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn json_has_one_line_a_row_with_nulls_where_nothing_is() {
    let output = bench(&[
        "--json",
        "--quick",
        "--runs",
        "1",
        "--only",
        "packet-new",
        "--only",
        "requests-1",
    ]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let [requests, packet] = rows.as_slice() else {
        panic!("{text}");
    };
    assert_eq!(requests["work"], "requests-1");
    assert_eq!(requests["peer"], "smoltcp 0.14");
    assert!(requests["ratio"].as_f64().unwrap() > 0.0, "{text}");
    assert_eq!(packet["work"], "packet-new");
    for key in ["peer", "peer_figure", "ratio", "goal", "holds"] {
        assert_eq!(packet.get(key), Some(&serde_json::Value::Null), "{key}");
    }
}

#[test]
fn a_row_that_is_not_there_is_a_wrong_flag() {
    let output = bench(&["--only", "bulk-9000"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_stream_reaches_the_kernel_whole_or_the_row_says_why_it_is_left_out() {
    for (name, peer) in [("bulk-tap", "kernel, veth"), ("bulk-tap-ipv6", "IPv4")] {
        let output = bench(&["--json", "--quick", "--runs", "1", "--only", name]);
        let (text, talk) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{talk}");
        if text.is_empty() {
            assert!(talk.contains(&format!("{name}: left out: ")), "{talk}");
            eprintln!("skipped: {talk}");
            continue;
        }
        let row: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(row["peer"], peer);
        assert!(row["ratio"].as_f64().unwrap() > 0.0, "{text}");
    }
}
