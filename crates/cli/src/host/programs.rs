//! The programs of a lab: outside ones behind a guard of their own, built-in ones as threads.
use std::fs::{File, OpenOptions};
use std::io::{self, LineWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heptad_lab::topology::{Program, ReadyWhen, What};
use heptad_lab::{MachineId, Outcome, Topology};
use heptad_runner::{Host, Owner};
use heptad_runtime::network::JoinHandle;
use heptad_runtime::{Clock, Network, Node};
use heptad_services::builtin::Builtin;
use heptad_stack::l4_transport::tcp::State;
use heptad_stack::{Instant as LabInstant, SocketKind};

use super::Orders;
use super::namespaces::Namespaces;
use crate::failure::{Failure, OURS};

/// How long a program with `ready` may take.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long, lab time, programs wait for routers to tell hosts their addresses.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(10);
/// How long a program may take to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(3);

/// The programs of one lab.
pub struct Programs {
    network: Network,
    lab: String,
    folder: PathBuf,
    log: Option<PathBuf>,
    /// Serves guards; only with a real clock.
    guests: Option<Host>,
    /// Nodes whose programs are not ours to serve.
    pub namespaces: Namespaces,
    /// The lab was told to end: there is nothing to wait for any more.
    pub ending: Arc<AtomicBool>,
    children: Mutex<Vec<Child>>,
}

impl Programs {
    /// None started yet.
    pub fn new(network: Network, lab: String, orders: &Orders) -> Result<Self, Failure> {
        let guests = match network.clock() {
            Clock::Real => Some(Host::start(network.clone())?),
            Clock::Virtual => None,
        };
        let (folder, log) = (orders.folder.clone(), orders.log.clone());
        Ok(Self {
            network,
            lab,
            folder,
            log,
            guests,
            namespaces: Namespaces::default(),
            ending: Arc::default(),
            children: Mutex::default(),
        })
    }

    /// Lets a program with the kernel's sockets in.
    pub fn let_in(&self, machine: MachineId, channel: OwnedFd) -> io::Result<()> {
        self.namespaces.let_in(&self.network, machine, channel)
    }

    /// Serves the guard at the far end.
    pub fn attach(&self, machine: MachineId, channel: OwnedFd) -> io::Result<()> {
        match &self.guests {
            Some(guests) => guests.attach(machine, channel),
            None => Err(io::Error::other(
                "outside programs need a lab with a real clock",
            )),
        }
    }

    /// Which program holds which socket.
    pub fn owners(&self) -> Vec<Owner> {
        self.guests.as_ref().map(Host::owners).unwrap_or_default()
    }

    /// Starts all of a lab file's programs: those with `ready` first, each awaited; then the others at their times.
    pub fn start(self: &Arc<Self>, topology: &Topology) -> Result<(), Failure> {
        let give_up = self.network.now() + ADDRESSES_WITHIN;
        while awaits_addresses(&self.network, give_up) {
            self.pause(Duration::from_millis(5))?;
        }
        for (node, program) in in_order(topology) {
            let wait = program
                .start
                .saturating_sub(Duration::from_nanos(self.network.now().as_nanos()));
            if !wait.is_zero() && program.ready.is_none() {
                let (programs, program) = (Arc::clone(self), program.clone());
                std::thread::Builder::new()
                    .name("launcher".into())
                    .spawn(move || {
                        std::thread::sleep(wait);
                        if let Err(failure) = programs.launch(&node, &program) {
                            eprintln!("heptad: {}", failure.message());
                        }
                    })?;
                continue;
            }
            self.pause(wait)?;
            self.launch(&node, program)?;
            if let Some(ready) = program.ready {
                self.wait_ready(&node, ready)?;
            }
        }
        Ok(())
    }

    fn launch(&self, node: &str, program: &Program) -> Result<(), Failure> {
        match &program.what {
            What::Run(words) => self.launch_outside(node, words, program),
            What::Builtin(words) => {
                let (name, log) = (node.to_string(), self.log_file()?);
                let (node, builtin) = (self.node(node)?, parse(words)?);
                self.network.spawn(&words.join(" "), move || {
                    run_builtin(&builtin, &name, &node, log)
                });
                Ok(())
            }
        }
    }

    fn launch_outside(
        &self,
        node: &str,
        words: &[String],
        program: &Program,
    ) -> Result<(), Failure> {
        if let Some(first) = words.first().filter(|word| self.is_missing(word, program)) {
            return Err(Failure::new(
                127,
                format!("a program of {node}: {first}: command not found"),
            ));
        }
        let mut command = Command::new("/proc/self/exe");
        command.arg0("heptad");
        command
            .args(["exec", "--lab", &self.lab, node, "--"])
            .args(words)
            .envs(&program.env);
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .process_group(0);
        if let Some(log) = self.log_file()? {
            command.stdout(log.try_clone()?).stderr(log);
        } else {
            command.stdout(io::stderr());
        }
        let child = command
            .spawn()
            .map_err(|error| Failure::ours(format!("cannot start {}: {error}", words.join(" "))))?;
        self.children().push(child);
        Ok(())
    }

    /// Whether no file could be meant by a program's name; one that is no program is the front's to tell.
    fn is_missing(&self, name: &str, program: &Program) -> bool {
        if name.contains('/') {
            return !self.folder.join(name).exists();
        }
        let path = match program.env.get("PATH") {
            Some(path) => path.into(),
            None => std::env::var_os("PATH").unwrap_or_default(),
        };
        !std::env::split_paths(&path).any(|folder| self.folder.join(folder).join(name).exists())
    }

    /// Sleeps for so long, or until the lab is told to end.
    fn pause(&self, wait: Duration) -> Result<(), Failure> {
        let until = Instant::now() + wait;
        loop {
            if self.ending.load(Ordering::Acquire) {
                return Err(Failure::new(130, "told to end before all programs ran"));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(5)));
        }
    }

    /// Where a program's own words are, if not before the user's eyes.
    fn see_log(&self) -> String {
        let path = self.log.as_ref();
        path.map(|path| format!("; what it printed is in {}", path.display()))
            .unwrap_or_default()
    }

    /// Waits until something listens where the lab file says so.
    fn wait_ready(&self, node: &str, ready: ReadyWhen) -> Result<(), Failure> {
        let (machine, deadline) = (self.node(node)?.machine(), Instant::now() + READY_WITHIN);
        while !is_ready(&self.network, machine, ready) {
            if let Some(code) = self.early_end() {
                return Err(Failure::new(
                    code,
                    format!(
                        "a program of {node} ended before it was ready (exit code {code}){}",
                        self.see_log()
                    ),
                ));
            }
            if Instant::now() > deadline {
                return Err(Failure::new(
                    124,
                    format!(
                        "nothing became ready on {node} within {} s{}",
                        READY_WITHIN.as_secs(),
                        self.see_log()
                    ),
                ));
            }
            self.pause(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// The exit code of the newest child, if it ended.
    fn early_end(&self) -> Option<u8> {
        let status = self.children().last_mut()?.try_wait().ok()??;
        Some(u8::try_from(status.code().unwrap_or(125)).unwrap_or(125))
    }

    /// Virtual clock: starts everything, and lets time run.
    pub fn run_virtual(&self, topology: &Topology, until: Option<Duration>) -> Result<u8, Failure> {
        let mut programs = Vec::new();
        for (node, program) in in_order(topology) {
            let What::Builtin(words) = &program.what else {
                return Err(Failure::usage(format!(
                    "{node}: outside programs need clock = \"real\"; a virtual lab runs built-in ones"
                )));
            };
            programs.push(Waiting {
                node: self.node(&node)?,
                on: node,
                words: words.join(" "),
                builtin: parse(words)?,
                start: program.start,
                ready: program.ready,
            });
        }
        let network = self.network.clone();
        let launcher = self
            .network
            .spawn("launcher", move || launch_virtual(&network, programs));
        if let Some(until) = until {
            // Programs that go on past the limit are cut off by the end of the lab.
            self.network.run_until(LabInstant::ZERO + until);
            return Ok(0);
        }
        let started = launcher
            .join()
            .map_err(|_| Failure::ours("the launcher ended badly"))?;
        let mut first_failure = 0;
        // Whoever others wait for is a server: it may wait for ever.
        for (_, program) in started.into_iter().filter(|(ready, _)| ready.is_none()) {
            let code = program.join().unwrap_or(OURS);
            if first_failure == 0 {
                first_failure = code;
            }
        }
        match self.network.run_until(LabInstant::MAX) {
            Outcome::Stalled(machines) => {
                Err(Failure::ours(format!("time stands still at {machines:?}")))
            }
            _ => Ok(first_failure),
        }
    }

    /// Ends every child: SIGTERM, a while, SIGKILL.
    pub fn stop(&self) {
        let mut children = self.children();
        for child in children.iter_mut() {
            if matches!(child.try_wait(), Ok(None)) {
                terminate(child);
            }
        }
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline
            && children
                .iter_mut()
                .any(|child| matches!(child.try_wait(), Ok(None)))
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        for child in children.iter_mut() {
            let _ = child.kill(); // no harm to one that ended
            let _ = child.wait();
        }
        children.clear();
    }

    fn node(&self, name: &str) -> Result<Node, Failure> {
        self.network
            .node(name)
            .ok_or_else(|| Failure::usage(format!("no node named {name}")))
    }

    fn log_file(&self) -> Result<Option<File>, Failure> {
        let Some(path) = &self.log else {
            return Ok(None);
        };
        Ok(Some(
            OpenOptions::new().create(true).append(true).open(path)?,
        ))
    }

    fn children(&self) -> MutexGuard<'_, Vec<Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SIGTERM; it may just have ended.
pub fn terminate(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Those that others wait for come first; else as the file has them, node by node.
fn in_order(topology: &Topology) -> Vec<(String, &Program)> {
    let all = topology.nodes.iter().flat_map(|(name, node)| {
        node.programs
            .iter()
            .map(move |program| (name.clone(), program))
    });
    let (mut first, later): (Vec<_>, Vec<_>) =
        all.partition(|(_, program)| program.ready.is_some());
    first.extend(later);
    first
}

fn parse(words: &[String]) -> Result<Builtin, Failure> {
    Builtin::parse(words).map_err(Failure::usage)
}

/// What it prints goes to the log, or line by line to stderr with the node's name in front.
fn run_builtin(builtin: &Builtin, name: &str, node: &Node, log: Option<File>) -> u8 {
    let mut out: Box<dyn Write> = match log {
        Some(file) => Box::new(file),
        None => Box::new(LineWriter::new(Named {
            name: format!("{name}| "),
        })),
    };
    match builtin.run(node, out.as_mut()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(out, "{error}"); // nobody is left to be told
            1
        }
    }
}

/// Standard error behind a name. Gets whole lines.
struct Named {
    name: String,
}

impl Write for Named {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut err = io::stderr().lock();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            err.write_all(self.name.as_bytes())?;
            err.write_all(line)?;
        }
        Ok(lines.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A built-in program that is to be started in virtual time.
struct Waiting {
    node: Node,
    /// The node's name.
    on: String,
    words: String,
    builtin: Builtin,
    start: Duration,
    ready: Option<ReadyWhen>,
}

/// Runs as a thread of the lab, so that the order of starts is part of the run.
fn launch_virtual(
    network: &Network,
    programs: Vec<Waiting>,
) -> Vec<(Option<ReadyWhen>, JoinHandle<u8>)> {
    let give_up = network.now() + ADDRESSES_WITHIN;
    while awaits_addresses(network, give_up) {
        network.sleep(Duration::from_millis(1));
    }
    let mut handles = Vec::new();
    for Waiting {
        node,
        on,
        words,
        builtin,
        start,
        ready,
    } in programs
    {
        network.sleep(start.saturating_sub(Duration::from_nanos(network.now().as_nanos())));
        let machine = node.machine();
        handles.push((
            ready,
            network.spawn(&words, move || run_builtin(&builtin, &on, &node, None)),
        ));
        let give_up = network.now() + READY_WITHIN;
        while ready.is_some_and(|ready| !is_ready(network, machine, ready))
            && network.now() < give_up
        {
            network.sleep(Duration::from_millis(1));
        }
    }
    handles
}

/// Whether programs had better wait: a host has not heard yet from a router which addresses it has.
fn awaits_addresses(network: &Network, give_up: LabInstant) -> bool {
    network.lab(|lab| lab.awaits_addresses()) && network.now() < give_up
}

fn is_ready(network: &Network, machine: MachineId, ready: ReadyWhen) -> bool {
    let rows = network.lab(|lab| {
        lab.stack(machine)
            .map(|stack| stack.rows())
            .unwrap_or_default()
    });
    rows.iter().any(|row| match ready {
        ReadyWhen::Tcp(port) => row.state == Some(State::Listen) && row.local.port() == port,
        ReadyWhen::Udp(port) => row.kind == SocketKind::Datagram && row.local.port() == port,
    })
}
