//! Partitions and rules, put up and ended while the lab runs.
use heptad_lab::topology::Events;
use heptad_lab::{InForce, TopologyError};

use super::Answers;
use crate::control::{Answer, FaultAsk, FaultInForce};

impl Answers {
    /// What is in force, after what is asked for.
    pub(super) fn faults(&self, ask: FaultAsk) -> Result<Answer, String> {
        let events = match ask {
            FaultAsk::Show => Events::default(),
            FaultAsk::Heal { name } => return self.heal(name.as_deref()),
            FaultAsk::Division { text } => {
                let events = self.topology.events(&text, "fault");
                events.map_err(|error| without_place(&error))?
            }
            FaultAsk::Rule { words } => {
                let events = self.topology.rule(&words);
                events.map_err(|error| without_place(&error))?
            }
            FaultAsk::Script { script } => {
                let events = self.topology_now().events(&script.text, &script.file);
                events.map_err(|error| with_help(error.to_string(), &error))?
            }
        };
        self.network.lab(|lab| {
            lab.follow(events).map_err(|error| error.to_string())?;
            Ok(in_force(lab))
        })
    }
    fn heal(&self, name: Option<&str>) -> Result<Answer, String> {
        self.network.lab(|lab| match (lab.heal(name), name) {
            (false, Some(name)) => Err(format!("nothing named {name} is in force")),
            _ => Ok(in_force(lab)),
        })
    }
}

fn in_force(lab: &heptad_lab::Lab) -> Answer {
    let told = |one: InForce| {
        let InForce {
            name,
            link,
            what,
            applied,
            n,
        } = one;
        FaultInForce {
            name,
            link,
            what,
            applied,
            n,
        }
    };
    Answer::Faults {
        in_force: lab.in_force().into_iter().map(told).collect(),
    }
}

/// The user wrote words, not a file.
fn without_place(error: &TopologyError) -> String {
    with_help(error.message.clone(), error)
}

fn with_help(message: String, error: &TopologyError) -> String {
    match &error.help {
        Some(help) => format!("{message} ({help})"),
        None => message,
    }
}
