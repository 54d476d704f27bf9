//! Two nodes on one cable, `a` (10.0.0.1) and `b` (10.0.0.2), and programs on them: as an ordinary user without any
//! privilege, whoever runs the tests.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::ordinary::OrdinaryUser;
use super::{Ran, Sandbox, wait_for};

const FILE: &str = "name = \"pair\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n\
    [[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\ndelay = \"500us\"\n";

/// The lab, up.
pub struct Pair {
    pub sandbox: Sandbox,
    user: OrdinaryUser,
    servers: Vec<Child>,
}

impl Pair {
    /// Both nodes, once the lab is up.
    pub fn up() -> Self {
        Self::up_with(FILE)
    }

    /// The nodes of another file, `a` and `b` among them.
    pub fn up_with(file: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("lab.toml", file);
        let user = OrdinaryUser::of(&sandbox);
        let pair = Self {
            sandbox,
            user,
            servers: Vec::new(),
        };
        pair.heptad(&["lab", "up", "lab.toml", "--seed", "1"])
            .expect_code(0);
        pair
    }

    /// `heptad WORDS…` to its end.
    pub fn heptad(&self, words: &[&str]) -> Ran {
        Ran::from(self.command(words).output().expect("heptad starts"))
    }

    fn command(&self, words: &[&str]) -> Command {
        self.user.heptad(&self.sandbox, words)
    }

    /// A program on a node, to its end, which must be good.
    #[track_caller]
    pub fn exec(&self, node: &str, program: &[&str]) -> String {
        let words = [&["exec", node, "--"], program].concat();
        self.heptad(&words).expect_code(0).stdout
    }

    /// A Python program on a node, to its end.
    #[track_caller]
    pub fn python(&self, node: &str, script: &str) -> String {
        self.exec(node, &["python3", "-c", script])
    }

    /// Starts a server on `b` and waits for its line `ready`. What it prints after that can be read; it lives as long as
    /// the lab, or until it ends.
    pub fn serve(&mut self, program: &[&str]) -> BufReader<std::process::ChildStdout> {
        let words = [&["exec", "b", "--"], program].concat();
        let mut child = self
            .command(&words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("heptad starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        self.servers.push(child);
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "{program:?}");
        lines
    }

    /// Waits until a socket of `b` is bound to a port: for servers that say nothing.
    pub fn wait_for_port(&self, port: u16) {
        let shown = format!(":{port} ");
        wait_for(&shown, || {
            let table = self.heptad(&["netstat", "-antu", "--node", "b"]);
            table.expect_code(0).stdout.contains(&shown)
        });
    }

    /// Ends the lab; servers that still run end with it, and nothing stays.
    pub fn down(self) {
        self.heptad(&["lab", "down"]).expect_code(0);
        for mut server in self.servers {
            server.wait().expect("an end");
        }
        self.sandbox.expect_nothing_left();
    }
}
