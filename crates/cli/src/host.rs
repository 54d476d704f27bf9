//! A lab that runs in this process: network, programs, control socket, capture.
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use heptad_lab::capture::CaptureHead;
use heptad_lab::{Lab, LabOptions, Topology};
use heptad_runtime::{CaptureFile, Clock, FrameSink, Network, NetworkOptions, Publisher, Uplink};
use heptad_stack::EventMask;
use serde::{Deserialize, Serialize};

use crate::control::client::expect_free;
use crate::control::server::Server;
use crate::control::{Answer, Ask};
use crate::failure::Failure;
use crate::report::Report;

pub mod answers;
pub mod namespaces;
pub mod programs;
pub mod published;
mod real_cables;

use programs::Programs;
use published::Published;

/// How long what the programs sent may take to leave by published ports and by an uplink when the lab ends.
const LEAVE_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// What a lab's process is told to do.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Orders {
    /// The lab file's text.
    pub text: String,
    /// Its name, for messages.
    pub file: String,
    /// More events for it.
    pub script: Option<Script>,
    /// Where its programs' paths begin.
    pub folder: PathBuf,
    /// Overrides the name in the file.
    pub name: Option<String>,
    /// Overrides the seed in the file.
    pub seed: Option<u64>,
    /// Where to write a capture.
    pub capture: CaptureTo,
    /// Whether to keep the event hash, in virtual time.
    pub event_hash: bool,
    /// Where programs of the lab print; `None`: where we do.
    pub log: Option<PathBuf>,
    /// End when standard input ends: whoever started us is gone.
    pub attached: bool,
}

impl Orders {
    /// The lab with its script, checked; what is wrong is shown where it stands.
    pub fn topology(&self) -> Result<Topology, Failure> {
        let script = self.script.as_ref();
        let parts = script.map(|script| (script.text.as_str(), script.file.as_str()));
        Topology::parse_scripted(&self.text, &self.file, parts).map_err(|error| {
            let in_script = script.filter(|script| script.file == error.file);
            let text = in_script.map_or(&self.text, |script| &script.text);
            Failure::lab_file(&error, text)
        })
    }
}

/// A file of events.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub struct Script {
    /// What is in it.
    pub text: String,
    /// Its name, for messages.
    pub file: String,
}

impl Script {
    /// Reads one, if one is asked for.
    pub fn read(file: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = file else { return Ok(None) };
        let file = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(Self { text, file })),
            Err(error) => Err(Failure::usage(format!("cannot read {file}: {error}"))),
        }
    }
}

/// Where a capture goes.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub enum CaptureTo {
    /// `heptad-out/NAME-seedN.pcapng` below this folder.
    Default(PathBuf),
    /// This file.
    File(PathBuf),
    /// None is written.
    Nowhere,
}

/// Why a lab should end.
pub enum Stop {
    /// Somebody asked; the report goes back to them.
    Down(mpsc::Sender<Report>),
    /// A signal, or the end of standard input.
    Told,
}

/// Tells a lab to end, also while it still waits for its programs.
#[derive(Clone)]
pub struct Stopper {
    stop: mpsc::Sender<Stop>,
    ending: Arc<AtomicBool>,
}

impl Stopper {
    /// Once is enough; a lab that is gone does not mind.
    pub fn stop(&self, why: Stop) {
        self.ending.store(true, Ordering::Release);
        let _ = self.stop.send(why);
    }
}

/// A lab with its network, programs and control socket.
pub struct LabHost {
    /// Its name.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// The checked file.
    pub topology: Topology,
    /// The running network.
    pub network: Network,
    /// Where the capture goes, if one is written.
    pub capture: Option<PathBuf>,
    /// Its ports that this machine can reach.
    pub published: Vec<Published>,
    publisher: Option<Publisher>,
    uplink: Option<Uplink>,
    capture_head: CaptureHead,
    programs: Arc<Programs>,
    server: Option<Server>,
    stops: mpsc::Receiver<Stop>,
    stopper: Stopper,
}

impl LabHost {
    /// Builds the lab, starts its clock and its control socket; programs are not started yet.
    pub fn start(orders: &Orders, sinks: Vec<Box<dyn FrameSink>>) -> Result<Self, Failure> {
        let topology = orders.topology()?;
        let name = orders.name.clone().unwrap_or_else(|| topology.name.clone());
        let seed = match orders.seed.or(topology.seed) {
            Some(seed) => seed,
            None => seed_from_system()?,
        };
        if !topology.virtual_clock {
            expect_free(&name)?; // before the capture: it may be the running lab's own file
        }
        let capture = orders.capture.path(&name, seed);
        let options = LabOptions {
            seed,
            // In real time no two runs are the same, and the hash says nothing.
            event_hash: orders.event_hash && topology.virtual_clock,
            observe: capture.is_some() || !sinks.is_empty(),
            events: EventMask::NONE,
        };
        let lab = Lab::new(&topology, options).map_err(Failure::usage)?;
        let opened = real_cables::open(&lab, &topology)?; // before the capture: a lab that can't be up leaves no file
        let head = capture_head(&topology, seed);
        let network = start_network(lab, &topology, capture.as_deref(), sinks, &head)?;
        let (publisher, published) = published::publish(&network, &topology)?;
        let uplink = published::open_uplink(&network)?;
        real_cables::attach(&network, opened.interfaces)?;
        let mut programs = Programs::new(network.clone(), name.clone(), orders)?;
        programs.namespaces = opened.namespaces;
        let programs = Arc::new(programs);
        let (stop, stops) = mpsc::channel();
        let ending = Arc::clone(&programs.ending);
        let mut host = Self {
            name,
            seed,
            topology,
            network,
            capture,
            capture_head: head,
            published,
            publisher,
            uplink,
            programs,
            server: None,
            stops,
            stopper: Stopper { stop, ending },
        };
        if host.network.clock() == Clock::Real {
            host.server = Some(host.listen()?);
        }
        Ok(host)
    }

    /// Starts the programs of the lab file; returns when those that others wait for are ready.
    pub fn start_programs(&self) -> Result<(), Failure> {
        self.programs.start(&self.topology)
    }

    /// Virtual clock: runs until every program ended and nothing is left to happen, or until the limit. The first failed program's code.
    pub fn run_virtual(&self, until: Option<std::time::Duration>) -> Result<u8, Failure> {
        self.programs.run_virtual(&self.topology, until)
    }

    /// The programs of this lab.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A handle with which the lab can be told to end.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until the lab is told to end, and ends it.
    pub fn wait(self) -> Report {
        let told = self.stops.recv();
        let (report, server) = self.end();
        if let Ok(Stop::Down(reply)) = told {
            let _ = reply.send(report.clone()); // the asker may have left
        }
        drop(server); // after the answer went out
        report
    }

    /// Ends the lab now.
    pub fn finish(self) -> Report {
        self.end().0
    }

    fn end(self) -> (Report, Option<Server>) {
        self.programs.stop();
        if let Some(publisher) = self.publisher {
            publisher.finish(LEAVE_WITHIN);
        }
        if let Some(uplink) = self.uplink {
            uplink.finish(LEAVE_WITHIN);
        }
        let summary = self.network.stop();
        let capture = self.capture.as_ref().map(|path| path.display().to_string());
        (
            Report::new(&self.name, self.seed, capture, &summary),
            self.server,
        )
    }

    fn listen(&self) -> Result<Server, Failure> {
        let answers = answers::Answers {
            name: self.name.clone(),
            topology: self.topology.clone(),
            seed: self.seed,
            capture: self.capture.as_ref().map(|path| path.display().to_string()),
            capture_head: self.capture_head.clone(),
            network: self.network.clone(),
            programs: Arc::clone(&self.programs),
        };
        let stopper = self.stopper();
        let respond = move |ask: Ask, fd: Option<OwnedFd>| match ask {
            Ask::Down => {
                let (reply, report) = mpsc::channel();
                stopper.stop(Stop::Down(reply));
                match report.recv() {
                    Ok(report) => Answer::Down(report),
                    Err(_) => Answer::Error {
                        message: "the lab was ending already".into(),
                    },
                }
            }
            other => answers.answer(other, fd),
        };
        // `respond` is called from one thread; the channel's sender inside is cloned for it alone.
        Server::start(&self.name, Arc::new(respond))
    }
}

impl CaptureTo {
    fn path(&self, name: &str, seed: u64) -> Option<PathBuf> {
        match self {
            Self::Default(folder) => Some(
                folder
                    .join("heptad-out")
                    .join(format!("{name}-seed{seed}.pcapng")),
            ),
            Self::File(path) => Some(path.clone()),
            Self::Nowhere => None,
        }
    }
}

/// What captures of this run say at their beginning.
fn capture_head(topology: &Topology, seed: u64) -> CaptureHead {
    CaptureHead {
        lab: topology.name.clone(),
        seed,
        lab_sha256: topology.sha256.clone(),
        epoch_nanos: if topology.virtual_clock {
            topology.epoch_nanos
        } else {
            nanos_since_1970()
        },
    }
}

fn start_network(
    lab: Lab,
    topology: &Topology,
    capture: Option<&Path>,
    mut sinks: Vec<Box<dyn FrameSink>>,
    head: &CaptureHead,
) -> Result<Network, Failure> {
    let clock = if topology.virtual_clock {
        Clock::Virtual
    } else {
        Clock::Real
    };
    if let Some(path) = capture {
        replace(path);
        let file = CaptureFile::create(path, head, &lab).map_err(|error| {
            Failure::ours(format!(
                "cannot write the capture {}: {error}",
                path.display()
            ))
        })?;
        sinks.push(Box::new(file));
    }
    Ok(Network::start(lab, NetworkOptions { clock, sinks }))
}

/// A capture of an earlier run makes room: whoever still writes or reads it keeps a file of their own.
fn replace(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) {
        let _ = fs::remove_file(path); // if that can't be, creating the new one says why
    }
}

fn nanos_since_1970() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

/// Short enough to be typed again.
fn seed_from_system() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}
