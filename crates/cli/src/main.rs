//! The `heptad` command: reads flags, asks the other crates, prints.
//!
//! It must not know any protocol. Start reading at `args.rs`; each command is a file below `commands/`.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout)] // a reader that goes away must not make it panic

mod args;
mod commands;
mod control;
mod failure;
mod graph;
mod host;
mod paint;
mod report;
mod table;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Command, LabCommand};
use failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(commands::ip::words(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.print_and_code(),
    }
}

/// Prints clap's message; `netstat`, `ss`, `ip` and `bridge` keep their own exit codes for a bad option.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print(); // a closed terminal changes nothing about the code
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(match std::env::args_os().nth(1) {
            Some(command) if command == "netstat" => 3,
            Some(command) if command == "ip" || command == "bridge" || command == "ss" => {
                commands::ip::USAGE
            }
            _ => failure::USAGE,
        }),
    }
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let paint = paint::Paint::from_choice(cli.color);
    match cli.command {
        None => commands::demo::demo(&cli.demo, cli.json, paint),
        Some(Command::Lab(LabCommand::Up(up))) => commands::lab::up(&up, cli.json),
        Some(Command::Lab(LabCommand::Down(which))) => commands::lab::down(&which, cli.json),
        Some(Command::Lab(LabCommand::Ls)) => commands::lab::ls(cli.json),
        Some(Command::Lab(LabCommand::Graph(graph))) => commands::graph::graph(&graph, cli.json),
        Some(Command::Exec(exec)) => commands::exec::exec(&exec),
        Some(Command::Run(run)) => commands::run::run(&run, cli.json),
        Some(Command::Netstat(netstat)) => commands::netstat::netstat(&netstat, cli.json),
        Some(Command::Ss(ss)) => commands::ss::ss(&ss, cli.json),
        Some(Command::Link(link)) => commands::link::link(&link, cli.json),
        Some(Command::Fault(fault)) => commands::fault::fault(&fault, cli.json),
        Some(Command::Ping(ping)) => commands::ping::ping(&ping, cli.json),
        Some(Command::Traceroute(trace)) => commands::traceroute::traceroute(&trace, cli.json),
        Some(Command::Tracepath(trace)) => commands::tracepath::tracepath(&trace, cli.json),
        Some(Command::Ip(ip)) => commands::ip::ip(&ip, cli.json),
        Some(Command::Bridge(bridge)) => commands::bridge::bridge(&bridge, cli.json),
        Some(Command::Capture(capture)) => commands::capture::capture(&capture, cli.json),
        Some(Command::Pkt(pkt)) => commands::pkt::pkt(&pkt, cli.json, paint),
        Some(Command::Arp(arp)) => commands::arp::arp(&arp, cli.json),
        Some(Command::Completions { shell }) => commands::manual::completions(shell),
        Some(Command::Man(man)) => commands::manual::man(&man, cli.json),
        Some(Command::Doctor(doctor)) => commands::doctor::doctor(&doctor, cli.json, paint),
        Some(Command::Host) => commands::host::host(),
    }
}
