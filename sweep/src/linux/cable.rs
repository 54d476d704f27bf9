//! The cable's process: a lab whose link has interfaces of the kernel at either end, one or two.
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use heptad_device::{Interface, Kind, Offloads, Reader};
use heptad_lab::stack::DropReason;
use heptad_lab::stack::wire::PacketBuf;
use heptad_lab::{Lab, LabOptions, MachineId, Topology, stack};
use rustix::io::Errno;

use super::ends::{LEFT, RIGHT, ip};
use crate::cell::Path;

/// What the process is told.
#[derive(Args)]
pub struct Cable {
    /// The processes whose namespaces get the ends: of a sender, of a receiver, and again for each pair.
    #[arg(long, value_delimiter = ',')]
    ends: Vec<u32>,
    #[arg(long)]
    loss: f64,
    #[arg(long)]
    rtt_micros: u64,
    #[arg(long)]
    rate: u64,
    #[arg(long)]
    seed: u64,
}

/// An interface by itself at either end. A lab has a node; this one hears nobody.
const ALONE: &str = r#"
[nodes.idle]
kind = "switch"
[[links]]
endpoints = ["tap:end0", "tap:end1"]
"#;
/// The cable between two switches, two interfaces at each.
const SHARED: &str = r#"
[nodes.west]
kind = "switch"
[nodes.east]
kind = "switch"
[[links]]
endpoints = ["west", "east"]
[[links]]
endpoints = ["west", "tap:end0"]
[[links]]
endpoints = ["east", "tap:end1"]
[[links]]
endpoints = ["west", "tap:end2"]
[[links]]
endpoints = ["east", "tap:end3"]
"#;

impl Cable {
    /// The flags that make one.
    pub fn flags(path: &Path, seed: u64, ends: &[u32]) -> Vec<String> {
        let ends: Vec<_> = ends.iter().map(u32::to_string).collect();
        [
            ("--ends", ends.join(",")),
            ("--loss", path.loss.to_string()),
            ("--rtt-micros", path.rtt.as_micros().to_string()),
            ("--rate", path.rate.to_string()),
            ("--seed", seed.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }
    /// Carries frames until standard input ends; then says how late it was at worst, in microseconds.
    pub fn carry(&self) -> Result<()> {
        let lab = self.lab()?;
        let mut ends = Vec::new();
        let names = [LEFT, RIGHT].into_iter().cycle();
        for ((end, pid), name) in lab.real_cables().into_iter().zip(&self.ends).zip(names) {
            let interface = Interface::attach(Kind::Tap, &end.interface)?;
            interface.set_offloads(Offloads::NONE)?;
            interface.bring_up(end.mtu)?;
            let pid = pid.to_string();
            ip(&["link", "set", &end.interface, "netns", &pid, "name", name])?;
            ends.push(Plug {
                machine: end.machine,
                interface,
                reader: Reader::new(end.machine.0),
            });
        }
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let _ = std::io::stdin().read_line(&mut String::new()); // it only ends
            drop(tell);
        });
        println!("ready");
        let worst = Wire { lab, ends }.carry(&told)?;
        println!("{}", worst.as_micros());
        Ok(())
    }
    fn lab(&self) -> Result<Lab> {
        let path = Path {
            loss: self.loss,
            rtt: Duration::from_micros(self.rtt_micros),
            rate: self.rate,
        };
        let text = match self.ends.len() {
            2 => ALONE,
            4 => SHARED,
            other => bail!("{other} ends"),
        };
        let mut topology = Topology::parse(text, "cable").context("the cable's lab")?;
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
    /// The next frame. None comes before the other side has its interface up, nor after its end.
    fn read(&mut self) -> Result<Option<PacketBuf>> {
        match self.reader.read(&self.interface) {
            Err(error) if is_shut(&error) => Ok(None),
            read => Ok(read?),
        }
    }
}

fn is_shut(error: &std::io::Error) -> bool {
    let shut = [Errno::IO, Errno::BADFD].map(|errno| errno.raw_os_error());
    error.raw_os_error().is_some_and(|os| shut.contains(&os))
}

/// Frames of an end between two looks at what is due: a burst waits for the cable anyway, and what is due does not wait for it.
const AT_ONCE: usize = 4;

/// The cable at work. It never sleeps: who sleeps is woken late.
struct Wire {
    lab: Lab,
    ends: Vec<Plug>,
}
impl Wire {
    /// By how much a frame may have been late: the longest time between two looks of which the second found something to do.
    fn carry(mut self, told: &mpsc::Receiver<()>) -> Result<Duration> {
        let begin = Instant::now();
        let (mut last, mut worst) = (Duration::ZERO, Duration::ZERO);
        while told.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            let now = begin.elapsed();
            if self.look(stack::Instant::ZERO + now)? {
                worst = worst.max(now - last);
            }
            last = now;
        }
        Ok(worst)
    }
    /// Takes what came, gives what is due; whether there was anything.
    fn look(&mut self, now: stack::Instant) -> Result<bool> {
        let Self { lab, ends } = self;
        let mut busy = lab.next_event().is_some_and(|at| at <= now);
        for end in ends.iter_mut() {
            for _ in 0..AT_ONCE {
                let Some(frame) = end.read()? else { break };
                lab.inject(end.machine, now, frame);
                busy = true;
            }
        }
        lab.run_until(now, false, u64::MAX);
        for end in ends {
            while let Some(frame) = lab.poll_outside(end.machine) {
                if end.interface.write(&frame).is_err() {
                    let reason = DropReason::DeviceRefused;
                    lab.refuse(end.machine, frame.id(), reason);
                }
            }
        }
        Ok(busy)
    }
}
