//! Every example that a `--help` ends with is run: it starts with `heptad`, and it does what it says.
mod support;

use std::net::TcpListener;
use std::process::Command;

use support::{Ran, Sandbox, has_program, labs, terminate, wait_for};

/// An example, and the command whose help has it.
#[derive(Clone, Debug, PartialEq)]
struct Example {
    of: String,
    line: String,
}

impl Example {
    fn starts_with(&self, words: &str) -> bool {
        self.line.starts_with(&format!("heptad {words}"))
    }
}

#[test]
fn every_example_of_every_help_does_what_it_says() {
    if ["python3", "curl", "tshark"]
        .iter()
        .any(|name| !has_program(name))
    {
        return;
    }
    let sandbox = world();
    let examples = examples(&sandbox, &[]);
    let (of_up, rest): (Vec<_>, Vec<_>) = examples
        .into_iter()
        .partition(|example| example.starts_with("lab up"));
    let (of_down, rest): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|example| example.starts_with("lab down"));

    shell(&sandbox, "heptad lab up labs/chat/lab.toml").expect_code(0);
    lose_nothing(&sandbox);
    for example in &rest {
        expect_success(&sandbox, example);
        if example.starts_with("link") {
            lose_nothing(&sandbox);
        }
    }
    for example in &of_down {
        expect_success(&sandbox, example);
        shell(&sandbox, "heptad lab up labs/chat/lab.toml").expect_code(0);
    }
    shell(&sandbox, "heptad lab down").expect_code(0);
    for example in &of_up {
        expect_success(&sandbox, example);
        shell(&sandbox, "heptad lab down").expect_code(0);
    }
    sandbox.expect_nothing_left();
}

/// A folder in which the examples find what they name: the repository's labs and scripts, a program and a script of the user's.
fn world() -> Sandbox {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink(labs(), sandbox.path("labs")).expect("a link");
    let scripts = labs().with_file_name("scripts");
    std::os::unix::fs::symlink(scripts, sandbox.path("scripts")).expect("a link");
    sandbox.write("app.py", "print('an application')\n");
    sandbox.write("my.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n");
    sandbox
}

/// The lossy cable carries everything: three pings that all go missing are rare, and would fail an example.
#[track_caller]
fn lose_nothing(sandbox: &Sandbox) {
    shell(sandbox, "heptad link alice-r1 loss=0%").expect_code(0);
}

/// The examples of a command and of those below it. Each command that does something has one.
fn examples(sandbox: &Sandbox, command: &[&str]) -> Vec<Example> {
    let mut words = command.to_vec();
    words.push("--help");
    let help = sandbox.run(&words).expect_code(0).stdout;
    let of = command.join(" ");
    let mut found = section(&help, &["Example:", "Examples:"])
        .filter(|line| line.starts_with("heptad"))
        .map(|line| Example {
            of: of.clone(),
            line,
        })
        .collect::<Vec<_>>();
    let below: Vec<String> = section(&help, &["Commands:"])
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    assert!(
        !found.is_empty() || !below.is_empty(),
        "heptad {of} --help has no example"
    );
    for name in &below {
        let words: Vec<&str> = command.iter().copied().chain([name.as_str()]).collect();
        found.extend(examples(sandbox, &words));
    }
    found
}

/// The lines of a section that are indented by two, without the explanation that follows after a wide gap.
fn section<'a>(help: &'a str, titles: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    help.lines()
        .skip_while(|line| !titles.contains(line))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split("   ").next().unwrap_or(line).to_owned())
}

#[track_caller]
fn expect_success(sandbox: &Sandbox, example: &Example) {
    if example.line.contains("-p 8080:80") {
        return expect_published(sandbox, &example.line);
    }
    let ran = shell(sandbox, &example.line);
    if ran.code == Some(125) && ran.stderr.contains("no network namespace can be made") {
        eprintln!("skipped: {example:?}: {}", ran.stderr.trim_end());
        return;
    }
    assert_eq!(ran.code, Some(0), "{example:?}: {ran:#?}");
}

/// A web server that goes on until it is told to end. The port outside is one that is free on this machine.
#[track_caller]
fn expect_published(sandbox: &Sandbox, line: &str) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let line = format!("exec {}", line.replace("8080:80", &format!("{port}:80")));
    let server = in_shell(sandbox, &line).spawn().expect("a shell");
    let url = format!("http://127.0.0.1:{port}/");
    wait_for("the published web server", || {
        let curl = sandbox.program("curl", &["-sf", &url]).output();
        curl.is_ok_and(|output| output.status.success())
    });
    terminate(&server);
    let _ = server.wait_with_output();
}

/// Runs the line to its end.
fn shell(sandbox: &Sandbox, line: &str) -> Ran {
    Ran::from(in_shell(sandbox, line).output().expect("a shell"))
}

/// The line as a user's shell takes it, with our heptad first in the path; it may take a minute.
fn in_shell(sandbox: &Sandbox, line: &str) -> Command {
    let ours = std::path::Path::new(env!("CARGO_BIN_EXE_heptad"))
        .parent()
        .expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command: Command =
        sandbox.program("timeout", &["60", "bash", "-o", "pipefail", "-c", line]);
    command.env("PATH", format!("{}:{path}", ours.display()));
    command
}
