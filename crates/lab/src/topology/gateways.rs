//! Default gateways: neighbours that exist, and the link-local addresses that routers take because somebody calls them so.
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::NodeKind;
use super::document::{Result, Source};
use super::nodes::NodeDraft;
use super::plan::Plan;
use super::segments::End;
use super::subnet::is_link_local;

/// A node's way to everybody who is not on its own cables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its address.
    pub address: IpAddr,
    /// The node's port that it is behind.
    pub port: String,
}

/// What is known when gateways are looked for.
pub(super) struct Finder<'a> {
    pub source: Source<'a>,
    pub nodes: &'a BTreeMap<String, NodeDraft>,
    /// Ports that hear machines outside of the lab.
    pub open: &'a BTreeSet<End>,
}

impl Finder<'_> {
    /// The gateways of every node that names some. One that can't be is refused.
    pub fn find(&self, plan: &mut Plan<'_>) -> Result<BTreeMap<String, Vec<Gateway>>> {
        let mut all: BTreeMap<String, Vec<Gateway>> = BTreeMap::new();
        for (name, node) in self.nodes {
            for (address, span) in &node.gateways {
                let (address, span) = (*address, span.clone());
                let port = match is_link_local(address) {
                    true => self.behind_link_local(name, address, span, plan)?,
                    false => self.behind(name, address, span, plan)?,
                };
                let gateway = Gateway { address, port };
                all.entry(name.clone()).or_default().push(gateway);
            }
        }
        Ok(all)
    }

    /// The port of a node whose network has the gateway.
    fn behind(
        &self,
        name: &str,
        gateway: IpAddr,
        span: Range<usize>,
        plan: &Plan<'_>,
    ) -> Result<String> {
        let mut networks = plan.networks(name);
        let Some((port, _)) = networks.find(|(_, subnet)| subnet.contains(gateway)) else {
            let message = format!("the gateway {gateway} is not on a network of `{name}`");
            let networks: Vec<_> = plan.networks(name).map(|(_, n)| n.to_string()).collect();
            let help = format!("networks of {name}: {}", networks.join(", "));
            return Err(self.source.error(span, message).help(help));
        };
        let end = (name.to_owned(), port.clone());
        match plan.owner(&end, gateway) {
            Some((owner, _)) if owner == name => {
                let message = format!("`{name}` is its own gateway");
                Err(self.source.error(span, message))
            }
            None if !self.hears_outside(name, gateway, plan) => {
                Err(self.nobody(name, gateway, span))
            }
            _ => Ok(port.clone()),
        }
    }
    /// Whether the port of a node on this address's network hears machines outside of the lab.
    fn hears_outside(&self, name: &str, address: IpAddr, plan: &Plan<'_>) -> bool {
        let mut networks = plan.networks(name);
        networks.any(|(port, network)| {
            let end = (name.to_owned(), port.clone());
            network.contains(address) && self.open.contains(&end)
        })
    }

    /// The port of a node on whose cable somebody has a link-local address. A router takes it if nobody has.
    fn behind_link_local(
        &self,
        name: &str,
        gateway: IpAddr,
        span: Range<usize>,
        plan: &mut Plan<'_>,
    ) -> Result<String> {
        let segments = plan.segments.iter().flatten();
        let ports: Vec<&End> = segments.filter(|(node, _)| node == name).collect();
        let owner = |end: &&&End| plan.owner(end, gateway).is_some_and(|(o, _)| o != name);
        if let Some((_, port)) = ports.iter().find(owner) {
            return Ok(port.clone());
        }
        for end in &ports {
            let others = plan.segment(end).into_iter().flatten();
            let mut others = others.filter(|(node, _)| node != name);
            if let Some(router) = others.find(|(node, _)| self.is_router(node)) {
                plan.give(router, gateway, 64);
                return Ok(end.1.clone());
            }
        }
        let mut outward = ports.iter().filter(|end| self.open.contains(*end));
        let (_, port) = outward
            .next()
            .ok_or_else(|| self.nobody(name, gateway, span))?;
        Ok(port.clone())
    }

    fn is_router(&self, name: &str) -> bool {
        let node = self.nodes.get(name);
        node.is_some_and(|node| node.kind == NodeKind::Router)
    }
    fn nobody(&self, name: &str, gateway: IpAddr, span: Range<usize>) -> super::TopologyError {
        let message = format!("nobody has the gateway's address {gateway}");
        self.source
            .error(span, message)
            .help(format!("connect a router to the cable of `{name}`"))
    }
}
