//! The programs that come with the house, by name: for lab files (`builtin = ["echo-server", "7"]`) and demonstrations.
use std::io::{self, Write};

use heptad_runtime::Node;

use crate::l7_application::{bulk, chat, echo};

/// What a program is called, how it is used, what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinInfo {
    /// `echo-server`
    pub name: &'static str,
    /// `PORT`
    pub arguments: &'static str,
    /// One sentence.
    pub about: &'static str,
}
impl core::fmt::Display for BuiltinInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "usage: {} {}\n{}", self.name, self.arguments, self.about)
    }
}

const fn info(name: &'static str, arguments: &'static str, about: &'static str) -> BuiltinInfo {
    BuiltinInfo {
        name,
        arguments,
        about,
    }
}

/// Every program.
pub const BUILTINS: &[BuiltinInfo] = &[
    info(
        "echo-server",
        "PORT",
        "Sends everything back to whom it came from (RFC 862), a thread a client, until the run is over.",
    ),
    info(
        "echo-client",
        "HOST PORT TEXT...",
        "Sends each text as a line and prints what comes back; exit 1 if that is something else.",
    ),
    info(
        "chat-server",
        "PORT [CLIENTS]",
        "Passes each client's lines on to all others; with a number, ends when so many clients came and said all they had to say.",
    ),
    info(
        "chat-client",
        "HOST PORT NAME LINE...",
        "Joins a chat, says its lines one by one, prints what is said until the server ends.",
    ),
    info(
        "sink",
        "PORT",
        "Takes one connection to its end; prints the number of bytes and their SHA-256.",
    ),
    info(
        "send",
        "HOST PORT BYTES",
        "Sends so many bytes, drawn from the lab's seed, and prints their SHA-256.",
    ),
];

/// A program with its arguments, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builtin(Program);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Program {
    Help(&'static BuiltinInfo),
    EchoServer(u16),
    EchoClient(String, u16, Vec<String>),
    ChatServer(u16, Option<u32>),
    ChatClient(chat::Guest),
    Sink(u16),
    Send(String, u16, u64),
}

/// Why words are not a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownBuiltin {
    /// No word at all.
    #[error("no builtin named; there are: {}", names())]
    Empty,
    /// No program of that name.
    #[error("no builtin named {0:?}; there are: {names}", names = names())]
    NoSuch(String),
    /// The program is there, the arguments are not what it takes.
    #[error("{0}")]
    Usage(&'static BuiltinInfo),
}

fn names() -> String {
    let names: Vec<_> = BUILTINS.iter().map(|info| info.name).collect();
    names.join(", ")
}

impl Builtin {
    /// The name and its arguments; `--help` as an argument makes a program that prints how it is used.
    pub fn parse(words: &[String]) -> Result<Self, UnknownBuiltin> {
        let (name, arguments) = words.split_first().ok_or(UnknownBuiltin::Empty)?;
        let info = BUILTINS
            .iter()
            .find(|info| info.name == name)
            .ok_or_else(|| UnknownBuiltin::NoSuch(name.clone()))?;
        if arguments.first().is_some_and(|word| word == "--help") {
            return Ok(Self(Program::Help(info)));
        }
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let program = program(info.name, &words).ok_or(UnknownBuiltin::Usage(info))?;
        Ok(Self(program))
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self.0 {
            Program::Help(info) => info.name,
            Program::EchoServer(_) => "echo-server",
            Program::EchoClient(..) => "echo-client",
            Program::ChatServer(..) => "chat-server",
            Program::ChatClient(_) => "chat-client",
            Program::Sink(_) => "sink",
            Program::Send(..) => "send",
        }
    }

    /// Runs it on a node, in a thread of [`heptad_runtime::Network::spawn`]; what it says goes to `out`. Its exit code.
    pub fn run(&self, node: &Node, out: &mut dyn Write) -> io::Result<u8> {
        match &self.0 {
            Program::Help(info) => writeln!(out, "{info}").map(|()| 0),
            Program::EchoServer(port) => echo::server(node, *port, out),
            Program::EchoClient(host, port, texts) => echo::client(node, host, *port, texts, out),
            Program::ChatServer(port, clients) => chat::server(node, *port, *clients, out),
            Program::ChatClient(guest) => chat::client(node, guest, out),
            Program::Sink(port) => bulk::sink(node, *port, out),
            Program::Send(host, port, bytes) => bulk::send(node, host, *port, *bytes, out),
        }
    }
}

fn program(name: &str, words: &[&str]) -> Option<Program> {
    let number = |word: &str| word.parse::<u16>().ok();
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Some(match (name, words) {
        ("echo-server", [port]) => Program::EchoServer(number(port)?),
        ("echo-client", [host, port, rest @ ..]) if !rest.is_empty() => {
            Program::EchoClient((*host).into(), number(port)?, texts(rest))
        }
        ("chat-server", [port]) => Program::ChatServer(number(port)?, None),
        ("chat-server", [port, clients]) => {
            Program::ChatServer(number(port)?, Some(clients.parse().ok()?))
        }
        ("chat-client", [host, port, name, lines @ ..]) => Program::ChatClient(chat::Guest {
            host: (*host).into(),
            port: number(port)?,
            name: (*name).into(),
            lines: texts(lines),
        }),
        ("sink", [port]) => Program::Sink(number(port)?),
        ("send", [host, port, bytes]) => {
            Program::Send((*host).into(), number(port)?, bytes.parse().ok()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Builtin, UnknownBuiltin> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Builtin::parse(&words)
    }

    #[test]
    fn good_lines_become_programs() {
        let rows = [
            ("echo-server 7", Program::EchoServer(7)),
            (
                "echo-client bob 7 hello 안녕",
                Program::EchoClient("bob".into(), 7, vec!["hello".into(), "안녕".into()]),
            ),
            ("chat-server 8080", Program::ChatServer(8080, None)),
            ("chat-server 8080 3", Program::ChatServer(8080, Some(3))),
            (
                "chat-client bob 8080 alice hi",
                Program::ChatClient(chat::Guest {
                    host: "bob".into(),
                    port: 8080,
                    name: "alice".into(),
                    lines: vec!["hi".into()],
                }),
            ),
            ("sink 9", Program::Sink(9)),
            (
                "send bob 9 100000000",
                Program::Send("bob".into(), 9, 100_000_000),
            ),
        ];
        for (line, program) in rows {
            let name = line.split(' ').next().unwrap_or_default();
            let builtin = parse(line).expect(line);
            assert_eq!(builtin.name(), name);
            assert_eq!(builtin.0, program);
        }
    }

    #[test]
    fn bad_lines_say_how_it_is_used() {
        for line in [
            "echo-server",
            "echo-server seven",
            "echo-server 7 8",
            "echo-server 65536",
            "echo-client bob 7",
            "chat-server 1 two",
            "chat-client bob 1",
            "sink",
            "send bob 9 -1",
            "send bob 9",
        ] {
            let Err(UnknownBuiltin::Usage(info)) = parse(line) else {
                panic!("{line} is not a program");
            };
            assert!(line.starts_with(info.name));
            assert!(info.to_string().starts_with("usage: "));
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = parse("telnetd 23").expect_err("no such builtin");
        assert_eq!(
            error.to_string(),
            "no builtin named \"telnetd\"; there are: echo-server, echo-client, chat-server, chat-client, sink, send"
        );
        assert_eq!(parse(""), Err(UnknownBuiltin::Empty));
    }

    #[test]
    fn every_program_explains_itself() {
        for info in BUILTINS {
            let help = parse(&format!("{} --help", info.name)).expect("help");
            assert_eq!(help.0, Program::Help(info));
            assert_eq!(help.name(), info.name);
        }
    }
}
