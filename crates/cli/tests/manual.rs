//! Completions and man pages are what shells and man read, and know every command.
mod support;

use std::fs;

use support::{Ran, Sandbox};

/// Commands that stand in the help, on the first level.
const COMMANDS: &[&str] = &[
    "lab",
    "exec",
    "run",
    "netstat",
    "fault",
    "doctor",
    "completions",
    "man",
];

#[test]
fn a_shell_completes_the_commands() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.run(&["completions", shell]).expect_code(0).stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} knows no {command}");
        }
    }
    let script = sandbox.run(&["completions", "bash"]).expect_code(0).stdout;
    let words =
        "COMP_WORDS=(heptad net) COMP_CWORD=1; _heptad heptad net heptad; echo ${COMPREPLY[@]}";
    sandbox.write("complete.bash", &(script + "\n" + words + "\n"));
    let bash = sandbox.program("bash", &["complete.bash"]).output();
    let ran = Ran::from(bash.expect("bash")).expect_code(0);
    assert_eq!(ran.stdout.trim(), "netstat");
    sandbox.run(&["completions", "cmd.exe"]).expect_code(2);
}

#[test]
fn each_command_has_a_page() {
    let sandbox = Sandbox::new();
    let pages = sandbox
        .run(&["man", "--out", "man1", "--json"])
        .expect_code(0)
        .json();
    let pages: Vec<&str> = pages["pages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|page| page.as_str())
        .collect();
    for command in COMMANDS {
        assert!(
            pages.contains(&format!("heptad-{command}.1").as_str()),
            "{pages:?}"
        );
    }
    let mut there: Vec<String> = fs::read_dir(sandbox.path("man1"))
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("a page")
                .file_name()
                .into_string()
                .expect("utf-8")
        })
        .collect();
    there.sort();
    let mut told = pages.clone();
    told.sort_unstable();
    assert_eq!(there, told);
    let page = fs::read_to_string(sandbox.path("man1/heptad-lab-up.1")).expect("a page");
    assert!(page.contains(".TH heptad-lab-up 1"), "{page}");
}
