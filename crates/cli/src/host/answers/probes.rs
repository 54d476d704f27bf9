//! What probes of every kind share: from which node, to which address, and the channel that hears what becomes of them.
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use heptad_lab::MachineInfo;
use heptad_lab::topology::NodeKind;
use heptad_runtime::{Node, run_is_over};
use heptad_stack::Family;
use serde::Serialize;

use super::{Answers, is_closed};
use crate::control::{Answer, IpVersion};

/// Which probe.
pub struct Probing<'a> {
    /// The tool that asks.
    pub tool: &'static str,
    /// From there; absent: the first host that is not the destination.
    pub node: Option<&'a str>,
    /// A name or an address.
    pub to: &'a str,
    /// Absent: either.
    pub version: Option<IpVersion>,
}

/// To the one who asked.
pub struct Channel(UnixStream);
impl Channel {
    /// A line; false if nobody hears it.
    pub fn write(&self, line: &impl Serialize) -> bool {
        let Ok(mut bytes) = serde_json::to_vec(line) else {
            return false;
        };
        bytes.push(b'\n');
        (&self.0).write_all(&bytes).is_ok()
    }
    /// Whether more is wanted: the far end is open for writing.
    pub fn is_wanted(&self) -> bool {
        !is_closed(&self.0)
    }
}

impl Answers {
    /// Starts a thread that sends probes and writes what becomes of them.
    pub fn probe(
        &self,
        probing: &Probing<'_>,
        channel: Option<OwnedFd>,
        run: impl FnOnce(&Node, IpAddr, Channel) + Send + 'static,
    ) -> Result<Answer, String> {
        let channel = Channel(channel.ok_or("no channel came along")?.into());
        let name = self.starting_node(probing)?;
        let from = self.network.node(&name).ok_or("no such node")?;
        let to = destination(&from, probing)
            .map_err(|why| format!("{}: {}: {why}", probing.tool, probing.to))?;
        thread::Builder::new()
            .name(probing.tool.into())
            .spawn(move || run(&from, to, channel))
            .map_err(|error| error.to_string())?;
        Ok(Answer::Probing { node: name, to })
    }

    fn starting_node(&self, probing: &Probing<'_>) -> Result<String, String> {
        let hosts = self.hosts(probing.node)?;
        let other = |host: &&MachineInfo| {
            let mut own = host.addresses.iter().map(|(_, own, _)| *own);
            let is_it = host.name == probing.to || own.any(|own| probing.to.parse() == Ok(own));
            probing.node.is_some() || (host.kind == NodeKind::Host && !is_it)
        };
        let from = hosts.iter().find(other).or(hosts.first());
        Ok(from.ok_or("there is no host in this lab")?.name.clone())
    }
}

/// In getaddrinfo's words if there is none.
fn destination(from: &Node, probing: &Probing<'_>) -> Result<IpAddr, &'static str> {
    let any = from.resolve(probing.to);
    let found = match probing.version {
        None => any,
        Some(IpVersion::V4) => from.resolve_as(probing.to, Family::V4),
        Some(IpVersion::V6) => from.resolve_as(probing.to, Family::V6),
    };
    found.ok_or(match any {
        Some(_) => "Address family for hostname not supported",
        None => "Name or service not known",
    })
}

/// Why a probe could not go on.
pub fn reason(error: &io::Error) -> String {
    match run_is_over(error) {
        true => "the lab ended".into(),
        // Without "(os error 101)", as the tools have it.
        false => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_owned()
        }
    }
}
