//! What cables do at present, and how that is changed.
use heptad_lab::Lab;
use heptad_lab::topology::{Change, Link};

use super::Answers;
use crate::control::{Answer, LinkState};
use crate::report::Fault;

impl Answers {
    /// All cables, or the one of this name; before that it is changed as `settings` say.
    pub(super) fn links(&self, link: Option<&str>, settings: &[String]) -> Result<Answer, String> {
        let links = &self.topology.links;
        let asked: Vec<&Link> = links
            .iter()
            .filter(|known| link.is_none_or(|name| known.name == name))
            .collect();
        if let (Some(name), true) = (link, asked.is_empty()) {
            let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
            let names = match names.is_empty() {
                true => "it has none".to_owned(),
                false => format!("there are: {}", names.join(", ")),
            };
            let lab = &self.name;
            return Err(format!("no link named {name} in the lab {lab}; {names}"));
        }
        self.network.lab(|lab| {
            if let (Some(name), false) = (link, settings.is_empty()) {
                change(lab, name, settings)?;
            }
            let links = asked.iter().filter_map(|link| state(lab, link)).collect();
            Ok(Answer::Links { links })
        })
    }
}

fn change(lab: &mut Lab, link: &str, settings: &[String]) -> Result<(), String> {
    let present = lab.link(link).ok_or("no such link")?;
    let change = Change::parse(&present, settings).map_err(|error| match error.help {
        Some(help) => format!("{} ({help})", error.message),
        None => error.message,
    })?;
    lab.change(&change).map_err(|error| error.to_string())
}

fn state(lab: &Lab, link: &Link) -> Option<LinkState> {
    let present = lab.link(&link.name)?;
    let faults = lab.faults();
    let of_it = faults.iter().filter(|row| row.link == link.name);
    Some(LinkState {
        name: link.name.clone(),
        ends: link.named_ends(':'),
        forward: present.forward?.to_string(),
        backward: present.backward?.to_string(),
        mtu: present.mtu?,
        faults: of_it.map(Fault::from).collect(),
    })
}
