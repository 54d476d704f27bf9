//! `heptad` alone: two programs, one network, seven layers.
//!
//! Starts the chat lab in this process, runs server and client on it, watches every frame, and tells the story from what was seen.
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use heptad_lab::{FrameRecord, MachineInfo};
use heptad_runtime::FrameSink;
use heptad_stack::Counter;
use heptad_stack::l4_transport::tcp::State;
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::print_json;
use crate::args::Demo;
use crate::control::NodeSockets;
use crate::failure::{FAILED, Failure};
use crate::host::answers::sockets;
use crate::host::{CaptureTo, LabHost, Orders};
use crate::paint::Paint;
use crate::report::Report;

mod dissect;
mod layers;
mod players;
mod story;

use players::Players;

/// What alice says.
pub const SCRIPT: [&str; 3] = [
    "안녕하세요",
    "가나다: 세 바이트가 한 글자입니다",
    "str 과 bytes 는 다릅니다. 안녕히 계세요!",
];
/// How long the conversation may take.
const WITHIN: Duration = Duration::from_secs(90);

/// Everything that the story is told from.
pub struct Seen {
    /// The lab's nodes.
    pub machines: Vec<MachineInfo>,
    /// Names of the cable ends.
    pub interfaces: Vec<heptad_lab::frames::Interface>,
    /// Every frame at every cable end.
    pub frames: Vec<FrameRecord>,
    /// What alice's program printed.
    pub alice: Vec<String>,
    /// What bob's program printed.
    pub bob: Vec<String>,
    /// Both hosts while the connection stood.
    pub established: Vec<NodeSockets>,
    /// Both hosts after it ended.
    pub after: Vec<NodeSockets>,
    /// Segments sent again, both hosts.
    pub sent_again: u64,
    /// Unmodified Python programs, or built-in ones and why.
    pub builtin_because: Option<String>,
    /// The end of the lab.
    pub report: Report,
}

impl Seen {
    /// The lines of the script that arrived at bob and came back to alice as they were sent.
    pub fn arrived(&self) -> usize {
        let said = |line: &str| format!("alice: {line}");
        SCRIPT
            .iter()
            .filter(|line| self.bob.contains(&said(line)) && self.alice.contains(&said(line)))
            .count()
    }
}

#[derive(Serialize)]
struct Outcome<'a> {
    ok: bool,
    sent: &'a [&'a str],
    arrived: usize,
    sent_again: u64,
    unmodified_programs: bool,
    established: &'a [NodeSockets],
    after: &'a [NodeSockets],
    #[serde(flatten)]
    report: &'a Report,
}

/// Runs the demonstration; 0 only when the text that arrived is the text that was sent.
pub fn demo(args: &Demo, json: bool, paint: Paint) -> Result<u8, Failure> {
    let spinner = indicatif::ProgressBar::new_spinner(); // draws on a terminal only
    spinner.set_message("alice and bob are talking over a cable that loses 5 % …");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let seen = play(args);
    spinner.finish_and_clear();
    let seen = seen?;
    let ok = seen.arrived() == SCRIPT.len() && seen.report.code() == 0;
    if json {
        print_json(&Outcome {
            ok,
            sent: &SCRIPT,
            arrived: seen.arrived(),
            sent_again: seen.sent_again,
            unmodified_programs: seen.builtin_because.is_none(),
            established: &seen.established,
            after: &seen.after,
            report: &seen.report,
        })?;
    } else {
        story::tell(&seen, paint)?;
    }
    Ok(if ok { 0 } else { FAILED })
}

/// Runs the lab and both programs, and collects what there is to see.
fn play(args: &Demo) -> Result<Seen, Failure> {
    let watcher = Watcher::default();
    let host = LabHost::start(&orders(args)?, vec![Box::new(watcher.clone())])?;
    let outcome = Signals::watch().and_then(|signals| converse(&host, args, &signals));
    let machines = host.network.lab(|lab| lab.machines());
    let interfaces = host.network.lab(|lab| lab.interfaces().to_vec());
    let sent_again = host.network.lab(|lab| {
        machines
            .iter()
            .filter_map(|m| lab.counters(m.id))
            .map(|counters| counters.get(Counter::TcpRetransSegs))
            .sum()
    });
    let report = host.finish();
    let (alice, bob, established, after, builtin_because) = outcome?;
    Ok(Seen {
        machines,
        interfaces,
        frames: watcher.take(),
        alice,
        bob,
        established,
        after,
        sent_again,
        builtin_because,
        report,
    })
}

fn orders(args: &Demo) -> Result<Orders, Failure> {
    let here = std::env::current_dir()?;
    let capture = here
        .join(&args.out)
        .join(format!("chat-seed{}.pcapng", args.seed));
    Ok(Orders {
        text: players::LAB.to_string(),
        file: "labs/chat/lab.toml".into(),
        script: None,
        folder: here,
        name: Some(format!("demo-{}", std::process::id())),
        seed: Some(args.seed),
        capture: CaptureTo::File(super::lab::shown(Path::new(&capture))),
        event_hash: true,
        log: None,
        attached: false,
    })
}

type Conversation = (
    Vec<String>,
    Vec<String>,
    Vec<NodeSockets>,
    Vec<NodeSockets>,
    Option<String>,
);

/// Server, client, and two looks at `netstat`.
fn converse(host: &LabHost, args: &Demo, signals: &Signals) -> Result<Conversation, Failure> {
    let mut players = Players::choose(host, args.builtin, &args.out)?;
    match talk(host, &mut players, signals) {
        Ok((established, after)) => {
            let because = players.builtin_because.clone();
            let (alice, bob) = players.end()?;
            Ok((alice, bob, established, after, because))
        }
        Err(failure) => {
            players.abandon();
            Err(failure)
        }
    }
}

type Looks = (Vec<NodeSockets>, Vec<NodeSockets>);

fn talk(host: &LabHost, players: &mut Players, signals: &Signals) -> Result<Looks, Failure> {
    let until = |holds: &mut dyn FnMut() -> bool, else_say| signals.until(holds, else_say);
    players.start_server()?;
    until(
        &mut || has(host, "bob", State::Listen),
        "the server does not listen",
    )?;
    players.start_client()?;
    until(
        &mut || {
            (has(host, "alice", State::Established) && has(host, "bob", State::Established))
                || players.client_ended()
        },
        "no connection",
    )?;
    let established = both(host);
    until(
        &mut || players.client_ended(),
        "the conversation does not end",
    )?;
    until(
        &mut || {
            !has(host, "alice", State::Established)
                && !has(host, "bob", State::CloseWait)
                && has(host, "alice", State::TimeWait)
        },
        "no TIME_WAIT",
    )?;
    Ok((established, both(host)))
}

/// The signal that told us to end; 0: none yet.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn watch() -> Result<Self, Failure> {
        let told = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).map_err(Failure::ours)?;
            signal_hook::flag::register_usize(signal, Arc::clone(&told), number)?;
        }
        Ok(Self(told))
    }

    /// Looks again and again until it holds. Real programs decide when: there is nobody to wake us.
    fn until(&self, holds: &mut dyn FnMut() -> bool, else_say: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + WITHIN;
        while !holds() {
            self.look(deadline, else_say)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn look(&self, deadline: Instant, else_say: &str) -> Result<(), Failure> {
        let signal = u8::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0);
        if signal > 0 {
            let message = format!("the demonstration was ended by signal {signal}");
            return Err(Failure::new(128 + signal, message));
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                124,
                format!("{else_say} within {} s", WITHIN.as_secs()),
            ));
        }
        Ok(())
    }
}

fn has(host: &LabHost, node: &str, state: State) -> bool {
    let Some(node) = host.network.node(node) else {
        return false;
    };
    let rows = host.network.lab(|lab| {
        lab.stack(node.machine())
            .map(|stack| stack.rows())
            .unwrap_or_default()
    });
    rows.iter().any(|row| row.state == Some(state))
}

fn both(host: &LabHost) -> Vec<NodeSockets> {
    let machines = host.network.lab(|lab| lab.machines());
    let hosts = machines
        .iter()
        .filter(|machine| ["alice", "bob"].contains(&machine.name.as_str()));
    hosts
        .map(|machine| sockets(&host.network, host.programs(), machine))
        .collect()
}

/// Keeps every frame that was seen. The demonstration is short; beyond the bound the story goes on without them.
#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Vec<FrameRecord>>>);

impl Watcher {
    const BOUND: usize = 100_000;

    fn take(&self) -> Vec<FrameRecord> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FrameSink for Watcher {
    fn frames(&mut self, frames: &[FrameRecord]) -> std::io::Result<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Self::BOUND.saturating_sub(kept.len());
        kept.extend(frames.iter().take(room).cloned());
        Ok(())
    }
}
