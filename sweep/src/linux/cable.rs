//! The cable's process: a lab whose only link has an interface of the kernel at either end.
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use heptad_device::{Interface, Kind};
use heptad_lab::{Lab, LabOptions, Topology};
use heptad_runtime::Network;

use super::ends::{LEFT, RIGHT, ip};
use crate::cell::Path;

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
}

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
    /// Carries frames until standard input ends; then says how late it was at worst, in microseconds.
    pub fn carry(&self) -> Result<()> {
        let lab = self.lab()?;
        let ends = lab.real_cables();
        let network = Network::real_time(lab);
        for (end, pid) in ends.into_iter().zip([self.left, self.right]) {
            let interface = Interface::attach(Kind::Tap, &end.interface)?;
            interface.bring_up(end.mtu)?;
            network.attach(end.machine, interface)?;
            ip(&["link", "set", &end.interface, "netns", &pid.to_string()])?;
        }
        println!("ready");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        let summary = network.stop();
        if let Some(error) = summary.cable_error {
            eprintln!("cable: {error}");
        }
        println!("{}", summary.worst_lag.as_micros());
        Ok(())
    }
    fn lab(&self) -> Result<Lab> {
        let path = Path {
            loss: self.loss,
            rtt: Duration::from_micros(self.rtt_micros),
            rate: self.rate,
        };
        // A lab has a node; this one hears nobody.
        let text = format!(
            "[nodes.idle]\nkind = \"switch\"\n[[links]]\nendpoints = [\"tap:{LEFT}\", \"tap:{RIGHT}\"]\n"
        );
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
