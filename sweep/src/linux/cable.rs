//! The cable's process: a lab whose link has an interface of the kernel at either end, alone or beside hosts of ours.
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use heptad_device::{Interface, Kind, Offloads, Reader};
use heptad_lab::stack::DropReason;
use heptad_lab::stack::l4_transport::tcp::Congestion;
use heptad_lab::stack::wire::PacketBuf;
use heptad_lab::{Lab, LabOptions, MachineId, Topology, stack};
use rustix::io::Errno;

use super::ends::{LEFT, RIGHT, ip};
use crate::cell::Path;
use crate::streams::Streams;

/// What the process is told.
#[derive(Args)]
pub struct Cable {
    /// The process whose namespace gets the sender's end.
    #[arg(long)]
    left: u32,
    /// Likewise the receiver's.
    #[arg(long)]
    right: u32,
    #[arg(long)]
    loss: f64,
    #[arg(long)]
    rtt_micros: u64,
    #[arg(long)]
    rate: u64,
    #[arg(long)]
    seed: u64,
    /// Two hosts of ours share the cable.
    #[arg(long)]
    shared: bool,
}

/// The cable between two switches, a host of ours and one of Linux at each.
const SHARED: &str = r#"
[nodes.west]
kind = "switch"
[nodes.east]
kind = "switch"
[nodes.a]
address = "10.0.0.11/24"
[nodes.b]
address = "10.0.0.12/24"
[[links]]
endpoints = ["west", "east"]
[[links]]
endpoints = ["west", "tap:left"]
[[links]]
endpoints = ["west", "a"]
[[links]]
endpoints = ["east", "tap:right"]
[[links]]
endpoints = ["east", "b"]
"#;

impl Cable {
    /// The flags that make one.
    pub fn flags(path: &Path, seed: u64, left: u32, right: u32) -> Vec<String> {
        [
            ("--left", left.to_string()),
            ("--right", right.to_string()),
            ("--loss", path.loss.to_string()),
            ("--rtt-micros", path.rtt.as_micros().to_string()),
            ("--rate", path.rate.to_string()),
            ("--seed", seed.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }
    /// Carries frames, and does what standard input says, until that ends; then says how late it was at worst, in
    /// microseconds, and the goodput of our own stream, if there is one, bits a second.
    pub fn carry(&self) -> Result<()> {
        let lab = self.lab()?;
        let mut ends = Vec::new();
        for (end, pid) in lab.real_cables().into_iter().zip([self.left, self.right]) {
            let interface = Interface::attach(Kind::Tap, &end.interface)?;
            interface.set_offloads(Offloads::NONE)?;
            interface.bring_up(end.mtu)?;
            ip(&["link", "set", &end.interface, "netns", &pid.to_string()])?;
            ends.push(Plug {
                machine: end.machine,
                interface,
                reader: Reader::new(end.machine.0),
            });
        }
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let lines = std::io::stdin().lines().map_while(Result::ok);
            lines.map(|line| tell.send(line)).all(|sent| sent.is_ok())
        });
        println!("ready");
        let streams = Streams::new(lab);
        let done = Wire::new(streams, ends).carry(&told)?;
        println!("{}\n{}", done.worst.as_micros(), done.goodput);
        Ok(())
    }
    fn lab(&self) -> Result<Lab> {
        let path = Path {
            loss: self.loss,
            rtt: Duration::from_micros(self.rtt_micros),
            rate: self.rate,
        };
        let text = match self.shared {
            true => SHARED.to_owned(),
            // A lab has a node; this one hears nobody.
            false => format!(
                "[nodes.idle]\nkind = \"switch\"\n[[links]]\nendpoints = [\"tap:{LEFT}\", \"tap:{RIGHT}\"]\n"
            ),
        };
        let mut topology = Topology::parse(&text, "cable").context("the cable's lab")?;
        topology.links[0].forward = path.there();
        topology.links[0].backward = path.back();
        let options = LabOptions {
            seed: self.seed,
            ..LabOptions::default()
        };
        Ok(Lab::new(&topology, options)?)
    }
}

/// An end in the kernel.
struct Plug {
    machine: MachineId,
    interface: Interface,
    reader: Reader,
}
impl Plug {
    /// The next frame. None comes before the other side has its interface up.
    fn read(&mut self) -> Result<Option<PacketBuf>> {
        match self.reader.read(&self.interface) {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(None),
            read => Ok(read?),
        }
    }
}

/// What standard input says: our stream begins; what arrives counts from now on.
pub const BEGIN: &str = "begin";
pub const COUNT: &str = "count";

/// What came of it.
struct Done {
    /// By how much a frame may have been late: the longest time between two looks of which the second found something to do.
    worst: Duration,
    /// Of our own stream, bits a second.
    goodput: f64,
}

/// The cable at work. It never sleeps: who sleeps is woken late.
struct Wire {
    streams: Streams,
    ends: Vec<Plug>,
    begin: Instant,
    /// What had arrived at this time.
    counted: (Duration, u64),
}
impl Wire {
    fn new(streams: Streams, ends: Vec<Plug>) -> Self {
        Self {
            streams,
            ends,
            begin: Instant::now(),
            counted: (Duration::ZERO, 0),
        }
    }
    fn carry(mut self, told: &mpsc::Receiver<String>) -> Result<Done> {
        let (mut last, mut worst) = (Duration::ZERO, Duration::ZERO);
        loop {
            let now = self.begin.elapsed();
            if self.look(stack::Instant::ZERO + now)? {
                worst = worst.max(now - last);
            }
            last = now;
            match told.try_recv() {
                Ok(word) => self.hear(&word, now)?,
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => break,
            }
        }
        let (since, before) = self.counted;
        let time = (last - since).as_secs_f64();
        let goodput = (self.arrived() - before) as f64 * 8.0 / time;
        Ok(Done { worst, goodput })
    }
    fn hear(&mut self, word: &str, now: Duration) -> Result<()> {
        match word {
            BEGIN => self.streams.begin("a", "b", Congestion::Cubic)?,
            COUNT => self.counted = (now, self.arrived()),
            other => bail!("`{other}` is not understood"),
        }
        Ok(())
    }
    fn arrived(&self) -> u64 {
        self.streams.all.iter().map(|stream| stream.arrived).sum()
    }
    /// Takes what came, gives what is due; whether there was anything.
    fn look(&mut self, now: stack::Instant) -> Result<bool> {
        let Self { streams, ends, .. } = self;
        let mut busy = streams.lab.next_event().is_some_and(|at| at <= now);
        for end in ends.iter_mut() {
            while let Some(frame) = end.read()? {
                streams.lab.inject(end.machine, now, frame);
                busy = true;
            }
        }
        streams.lab.run_until(now, false, u64::MAX);
        let mut ready = false;
        while streams.lab.poll_ready().is_some() {
            ready = true;
        }
        if ready {
            streams.serve_all()?;
            streams.lab.run_until(now, false, u64::MAX);
        }
        for end in ends {
            while let Some(frame) = streams.lab.poll_outside(end.machine) {
                if end.interface.write(&frame).is_err() {
                    let reason = DropReason::DeviceRefused;
                    streams.lab.refuse(end.machine, frame.id(), reason);
                }
            }
        }
        Ok(busy)
    }
}
