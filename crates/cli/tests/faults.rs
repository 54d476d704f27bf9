//! `heptad fault`: partitions and rules by hand, while a lab runs.
mod support;

use support::{Ran, Sandbox};

const LAB: &str = "name = \"parted\"\nseed = 1\n[nodes.a]\naddress = \"10.0.0.1/24\"\n\
    [nodes.b]\naddress = \"10.0.0.2/24\"\n[nodes.c]\naddress = \"10.0.0.3/24\"\n\
    [nodes.sw]\nkind = \"switch\"\n[[links]]\nendpoints = [\"a\", \"sw\"]\n\
    [[links]]\nendpoints = [\"b\", \"sw\"]\n[[links]]\nendpoints = [\"c\", \"sw\"]\n";

fn up() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("lab.toml", LAB);
    let words = ["lab", "up", "lab.toml", "--no-capture"];
    sandbox.run(&words).expect_code(0);
    sandbox
}
fn fault(sandbox: &Sandbox, words: &[&str]) -> Ran {
    sandbox.run(&[&["fault"], words].concat())
}
/// Whether a reply comes within so long that it would.
fn hears(sandbox: &Sandbox, from: &str, to: &str) -> bool {
    let words = ["ping", "-c", "1", "-W", "0.2", "--node", from, to];
    sandbox.run(&words).code == Some(0)
}

#[test]
fn nodes_are_parted_by_hand_and_healed_again() {
    let sandbox = up();
    let none = fault(&sandbox, &[]).expect_code(0);
    assert_eq!(
        (none.stdout.as_str(), none.stderr.as_str()),
        ("", "nothing is in force\n")
    );
    assert!(hears(&sandbox, "a", "b"));
    let shown = fault(&sandbox, &["partition", "a", "*", "--name", "alone"]).expect_code(0);
    assert!(shown.stdout.contains("alone  -     a ↔ b c"), "{shown:#?}");
    assert!(!hears(&sandbox, "a", "b") && !hears(&sandbox, "c", "a") && hears(&sandbox, "b", "c"));
    let json = fault(&sandbox, &["--json"]).expect_code(0).json();
    let one = &json["in_force"][0];
    assert_eq!(
        (&one["name"], &one["what"]),
        (&"alone".into(), &"a ↔ b c".into())
    );
    assert!(one["applied"].as_u64() >= Some(2), "{one}");
    fault(&sandbox, &["heal", "alone"]).expect_code(0);
    assert!(hears(&sandbox, "a", "b"));
    // Requests of a get there, and the answers too; those of b do not.
    fault(&sandbox, &["blackhole", "b", "a"]).expect_code(0);
    assert!(!hears(&sandbox, "a", "b") && !hears(&sandbox, "b", "a"));
    fault(&sandbox, &["heal"]).expect_code(0);
    fault(&sandbox, &["partition", "a", "b", "--for", "100ms"]).expect_code(0);
    let again = || hears(&sandbox, "a", "b");
    support::wait_for("the partition's end", again);
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn a_rule_by_hand_and_a_script_act_from_now_on() {
    let sandbox = up();
    let rule = ["on", "link=a-sw", "packet=icmp", "nth=2", "do=drop"];
    let shown = fault(&sandbox, &rule).expect_code(0);
    assert!(
        shown.stdout.contains("drop icmp, nth 2  0 of 0"),
        "{shown:#?}"
    );
    assert!(!hears(&sandbox, "a", "b"), "the reply is the second");
    assert!(hears(&sandbox, "a", "b"));
    let json = fault(&sandbox, &["--json"]).expect_code(0).json();
    let one = &json["in_force"][0];
    assert_eq!(
        (&one["applied"], &one["n"]),
        (&1.into(), &4.into()),
        "{one}"
    );
    sandbox.write(
        "cut.toml",
        "[[at]]\ntime = \"0s\"\nlink = \"b-sw\"\ndown = true\n",
    );
    fault(&sandbox, &["script", "cut.toml"]).expect_code(0);
    assert!(!hears(&sandbox, "c", "b"));
    sandbox.run(&["link", "b-sw", "up"]).expect_code(0);
    let again = || hears(&sandbox, "c", "b");
    support::wait_for("the cable, and ARP after it", again);
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}

#[test]
fn what_can_not_be_done_is_said_and_changes_nothing() {
    let sandbox = up();
    sandbox.write("wrong.toml", "[[on]]\nlink = \"a-sw\"\ndo = \"drip\"\n");
    fault(&sandbox, &["partition", "a", "b", "--name", "x"]).expect_code(0);
    for (words, complaint) in [
        (&["partition", "a", "z"][..], "no node is named `z`"),
        (
            &["partition", "a", "sw"],
            "`sw` is a switch and has no address",
        ),
        (
            &["partition", "a", "b", "--for", "5"],
            "`for`: `5` has no unit",
        ),
        (
            &["partition", "b", "c", "--name", "x"],
            "there is one named x already",
        ),
        (&["blackhole", "a", "b", "c"], "`blackhole` names two sets"),
        (
            &["on", "do=drop"],
            "[[on]] needs `link` (links: a-sw, b-sw, c-sw)",
        ),
        (
            &["on", "link=a-sw", "do=drop", "packet=synn"],
            "did you mean `syn`?",
        ),
        (
            &["script", "wrong.toml"],
            "wrong.toml:3:6: `drip` is nothing that can be done",
        ),
        (&["script", "none.toml"], "cannot read none.toml"),
        (&["heal", "y"], "nothing named y is in force"),
        (&["partition", "a"], "NODES"),
    ] {
        let ran = fault(&sandbox, words).expect_code(2);
        assert!(ran.stderr.contains(complaint), "{complaint}: {ran:#?}");
    }
    let json = fault(&sandbox, &["--json"]).expect_code(0).json();
    assert_eq!(json["in_force"].as_array().map(Vec::len), Some(1), "{json}");
    sandbox.run(&["lab", "down"]).expect_code(0);
    sandbox.expect_nothing_left();
}
