//! `heptad doctor`: what this machine allows, and what it says where something is missing.
mod support;

use support::{Sandbox, has_program};

/// What scripts may look for; a change is one for users.
const IDS: [&str; 17] = [
    "architecture",
    "seccomp_user_notification",
    "pidfd_open_pidfd_getfd",
    "wait_killable_recv",
    "sync_wake_up",
    "process_vm_readv_writev",
    "addfd_send",
    "yama_ptrace_scope",
    "user_namespaces",
    "private_network",
    "descriptors",
    "folder_for_running_labs",
    "a_program_as_a_trial",
    "one_with_mode_netns",
    "python3",
    "tap_and_tun",
    "ping_through_an_uplink",
];

#[test]
fn a_machine_that_runs_the_tests_is_healthy_and_its_json_keeps_its_form() {
    let sandbox = Sandbox::new();
    let json = sandbox.run(&["doctor", "--json"]).expect_code(0).json();
    assert_eq!(
        (&json["v"], &json["healthy"], &json["mode"]),
        (&1.into(), &true.into(), &"seccomp".into())
    );
    let checks = json["checks"].as_array().expect("checks");
    let ids: Vec<_> = checks
        .iter()
        .filter_map(|check| check["id"].as_str())
        .collect();
    assert_eq!(ids, IDS);
    for check in checks {
        let ok = check["ok"].as_bool().expect("a truth value");
        assert!(ok || check["needed"] == false, "{check}");
        assert_eq!(
            check["cost"].is_null(),
            ok,
            "what is missing has a cost: {check}"
        );
        assert!(
            check["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{check}"
        );
    }
    let text = sandbox.run(&["doctor"]).expect_code(0).stdout;
    assert!(
        text.contains("Heptad can run unmodified programs here"),
        "{text}"
    );
    // A path that fits into no line stands alone.
    let breaks = |line: &&str| line.split(' ').all(|word| word.chars().count() <= 49);
    for line in text.lines().filter(breaks) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    sandbox.expect_nothing_left();
}

#[test]
fn where_another_supervisor_listens_nothing_can_run_and_the_code_says_so() {
    let sandbox = Sandbox::new();
    let ours = env!("CARGO_BIN_EXE_heptad");
    let words = ["run", "-q", "--", ours, "doctor", "--json"];
    let json = sandbox.run(&words).expect_code(1).json();
    assert_eq!(
        (&json["healthy"], &json["mode"]),
        (&false.into(), &serde_json::Value::Null)
    );
    let check = |id: &str| {
        let all = json["checks"].as_array().expect("checks");
        all.iter()
            .find(|check| check["id"] == id)
            .expect(id)
            .clone()
    };
    let listens = check("seccomp_user_notification");
    let detail = listens["detail"].as_str().expect("a detail");
    assert!(detail.contains("somebody listens already"), "{detail}");
    assert_eq!(
        check("a_program_as_a_trial")["ok"],
        false,
        "it is not tried"
    );
    sandbox.expect_nothing_left();
}

#[test]
fn few_descriptors_are_told_with_what_they_cost() {
    if !has_program("bash") {
        return;
    }
    let sandbox = Sandbox::new();
    let ours = env!("CARGO_BIN_EXE_heptad");
    let line = format!("ulimit -n 512; exec {ours} doctor --json");
    let ran = sandbox
        .program("bash", &["-c", &line])
        .output()
        .expect("bash");
    let json = support::Ran::from(ran).expect_code(0).json();
    let all = json["checks"].as_array().expect("checks");
    let check = all
        .iter()
        .find(|check| check["id"] == "descriptors")
        .expect("a check");
    assert_eq!(
        (&check["ok"], &check["detail"]),
        (&false.into(), &"512 at once".into())
    );
    assert!(
        check["cost"]
            .as_str()
            .is_some_and(|cost| cost.contains("ulimit")),
        "{check}"
    );
}
