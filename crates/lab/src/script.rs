//! Events for a lab that runs already: its times count from now on.
use std::collections::VecDeque;

use heptad_stack::Instant;
use heptad_stack::time::Duration;

use crate::machine::{Body, Machine};
use crate::topology::{Division, Events, Rule};
use crate::{Lab, LabError};

/// A partition or a rule that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// By which it is ended.
    pub name: String,
    /// Of a rule, its cable.
    pub link: Option<String>,
    /// `alice ↔ bob`, `alice → bob`; `drop syn, nth 3`
    pub what: String,
    /// Packets it was done to.
    pub applied: u64,
    /// Packets it could have been done to.
    pub n: u64,
}

impl Lab {
    /// Does what is due at once, and puts the rest into the timeline. Names that the file of events did not give are made so that none is
    /// there twice; a given one that is in use is an error, and then nothing happens.
    pub fn follow(&mut self, events: Events) -> Result<(), LabError> {
        let Events {
            changes,
            mut divisions,
            mut rules,
        } = events;
        self.name_divisions(&mut divisions)?;
        self.name_rules(&mut rules)?;
        let now = self.now.since(Instant::ZERO);
        for rule in rules {
            self.add_rule(rule, now)?;
        }
        for mut change in changes {
            let link = self.links.get(&change.link);
            let link = *link.ok_or_else(|| LabError::NoLink(change.link.clone()))?;
            let (made, all) = self.changes.entry(link).or_insert((0, 0));
            *all += 1;
            if change.time.is_zero() {
                *made += 1;
                self.change(&change)?;
                continue;
            }
            change.time += now;
            insert(&mut self.timeline, change, |change| change.time);
        }
        for (time, division) in divisions {
            let begins = u64::from(matches!(division, Division::Part(_)));
            self.divided.1 += begins;
            if time.is_zero() {
                self.divided.0 += begins;
                self.divide(&division)?;
            } else {
                insert(&mut self.divisions, (time + now, division), |(time, _)| {
                    *time
                });
            }
        }
        Ok(())
    }
    /// Ends the rule or the partition of this name; without a name, all of them. Whether there was any.
    pub fn heal(&mut self, name: Option<&str>) -> bool {
        let mut ended = self.fabric.partitions.end(name, self.now) > 0;
        for cable in &mut self.fabric.cables {
            ended |= cable.rules.end(name);
        }
        ended
    }
    /// Partitions and rules that have not ended.
    pub fn in_force(&self) -> Vec<InForce> {
        let cables = self.fabric.cables.iter();
        let rules = cables.flat_map(|cable| cable.rules.in_force(&cable.name));
        self.fabric.partitions.in_force().chain(rules).collect()
    }
    fn add_rule(&mut self, mut rule: Rule, now: Duration) -> Result<(), LabError> {
        if !rule.packets.after.is_zero() {
            rule.packets.after += now;
        }
        rule.packets.until = rule.packets.until.map(|until| until + now);
        let link = self.links.get(&rule.link);
        let link = *link.ok_or_else(|| LabError::NoLink(rule.link.clone()))?;
        let cable = &mut self.fabric.cables[link];
        let before = cable.caps();
        cable.rules.add(self.seed, rule);
        let (ends, caps) = (cable.ends, cable.caps());
        for (machine, port) in ends {
            let Machine { ports, body, .. } = &mut self.machines[machine.0 as usize];
            if let (Body::Host(host), Some(port)) = (body, ports.get(port))
                && caps != before
            {
                host.stack.set_caps(port.id, caps);
            }
            self.drain(machine);
        }
        Ok(())
    }
    fn name_divisions(&self, divisions: &mut [(Duration, Division)]) -> Result<(), LabError> {
        let to_come = self
            .divisions
            .iter()
            .filter_map(|(_, division)| match division {
                Division::Part(part) => Some(part.name.as_str()),
                Division::Heal(_) => None,
            });
        let all = self.fabric.partitions.names().chain(to_come);
        let mut taken: Vec<String> = all.map(str::to_owned).collect();
        for at in 0..divisions.len() {
            let Some((_, Division::Part(part))) = divisions.get_mut(at) else {
                continue;
            };
            let given = part.name.clone();
            part.name = unlike(&given, &taken)?;
            let fresh = part.name.clone();
            taken.push(fresh.clone());
            for (_, division) in divisions.iter_mut().skip(at) {
                if *division == Division::Heal(Some(given.clone())) {
                    *division = Division::Heal(Some(fresh.clone()));
                }
            }
        }
        Ok(())
    }
    fn name_rules(&self, rules: &mut [Rule]) -> Result<(), LabError> {
        let all = self
            .fabric
            .cables
            .iter()
            .flat_map(|cable| cable.rules.names());
        let mut taken: Vec<String> = all.map(str::to_owned).collect();
        for rule in rules {
            rule.name = unlike(&rule.name, &taken)?;
            taken.push(rule.name.clone());
        }
        Ok(())
    }
}

/// Behind those of the same time.
fn insert<T>(into: &mut VecDeque<T>, event: T, time: impl Fn(&T) -> Duration) {
    let at = into.partition_point(|other| time(other) <= time(&event));
    into.insert(at, event);
}

/// A name that nobody has: the next free one of `rule 1`, `rule 2`; any other as it is.
fn unlike(name: &str, taken: &[String]) -> Result<String, LabError> {
    if !taken.iter().any(|other| other == name) {
        return Ok(name.to_owned());
    }
    let numbered = name
        .rsplit_once(' ')
        .filter(|(_, number)| number.parse::<u64>().is_ok());
    let Some((word, _)) = numbered else {
        return Err(LabError::Impossible(format!(
            "there is one named {name} already"
        )));
    };
    let names = (1_u64..).map(|number| format!("{word} {number}"));
    let mut free = names.filter(|name| !taken.contains(name));
    free.next()
        .ok_or_else(|| LabError::Impossible("too many".into()))
}
