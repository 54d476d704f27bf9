//! `[nodes.X]`: what a node is, its addresses, its programs.
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::ops::Range;

use heptad_stack::l4_transport::tcp::{Congestion, Ecn};
use heptad_stack::time::Duration;
use toml::de::DeValue;

use super::document::{Fields, Result, Source, Value};
use super::kernel;
use super::publish::{self, Publish};
use super::subnet::{bits, host_bits};
use super::switches;
use super::units;
use super::uplinks::{self, Uplink};
use super::{Multicast, NodeKind, Program, ReadyWhen, What};

/// A node as the file has it, with places.
pub(super) struct NodeDraft {
    pub span: Range<usize>,
    pub kind: NodeKind,
    pub addresses: Vec<Placed>,
    /// `privacy`: addresses made in a router's prefix are temporary, too.
    pub privacy: bool,
    /// `conflict_detection`: addresses of IPv4 are asked for before they are used.
    pub conflict_detection: bool,
    /// `congestion`: what its TCP sockets begin with.
    pub congestion: Congestion,
    /// `ecn`: who uses explicit congestion notification.
    pub ecn: Ecn,
    pub gateways: Vec<(IpAddr, Range<usize>)>,
    pub programs: Vec<Program>,
    pub publish: Vec<Publish>,
    /// `uplink`: a way out to the machine's network.
    pub uplink: Option<Uplink>,
    pub multicast: Multicast,
}

/// An address at its place in the file.
pub(super) struct Placed {
    pub port: String,
    pub given: Given,
    pub span: Range<usize>,
}
/// What a port is given.
#[derive(Clone, Copy)]
pub(super) enum Given {
    /// An address with its prefix length.
    Address(IpAddr, u8),
    /// `"auto"`: what the routers on its cable say.
    Auto,
}
impl NodeDraft {
    /// The ports whose addresses of IPv6 come from routers.
    pub fn automatic(&self) -> impl Iterator<Item = &Placed> {
        let placed = self.addresses.iter();
        placed.filter(|placed| matches!(placed.given, Given::Auto))
    }
}

const PROGRAM_KEYS: &[&str] = &["run", "builtin", "ready", "env", "start"];
const NODE_KEYS: &[&str] = &[
    "kind",
    "address",
    "privacy",
    "conflict_detection",
    "congestion",
    "ecn",
    "gateway",
    "ports",
    "programs",
    "publish",
    "uplink",
    "snooping",
    "querier",
    "stack",
];
const LIKE_ADDRESS: &str = "10.0.1.10/24";

/// All nodes by name.
pub(super) fn read(
    root: Fields<'_, '_>,
    virtual_clock: bool,
) -> Result<BTreeMap<String, NodeDraft>> {
    let mut nodes = BTreeMap::new();
    let Some(value) = root.get("nodes") else {
        return Err(root
            .source
            .error(0..0, "no nodes")
            .help("a lab needs at least one [nodes.NAME]"));
    };
    let all = Fields::of(root.source, value, "`nodes`")?;
    for (key, value) in all.table {
        let name = key.get_ref();
        check_name(root.source, name, key.span())?;
        let fields = Fields::of(root.source, value, "a node")?;
        let node = read_node(fields, key.span())?;
        if virtual_clock && !node.publish.is_empty() {
            let message = "`publish` needs a real clock: the machine around has no other";
            return Err(root.source.error(fields.key_span("publish"), message));
        }
        if virtual_clock && let Some(uplink) = &node.uplink {
            let message = "`uplink` needs a real clock: the machine around has no other";
            return Err(root.source.error(uplink.span.clone(), message));
        }
        nodes.insert(name.to_string(), node);
    }
    switches::check_queriers(all, &nodes)?;
    Ok(nodes)
}

/// Names appear in `alice:eth0`, `alice/eth0` and in DNS: letters, digits, `-`, `_` and `.` only.
pub(super) fn check_name(source: Source<'_>, name: &str, span: Range<usize>) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        return Err(source
            .error(span, format!("`{name}` can't be a name"))
            .help("1 to 63 letters, digits, `-`, `_` or `.`"));
    }
    Ok(())
}

fn read_node(node: Fields<'_, '_>, span: Range<usize>) -> Result<NodeDraft> {
    node.only(&[NODE_KEYS, PROGRAM_KEYS])?;
    let mut kind = match node.text("kind", "router")? {
        None | Some(("host", _)) => NodeKind::Host,
        Some(("router", _)) => NodeKind::Router,
        Some(("switch", _)) => NodeKind::Switch,
        Some((other, value)) => {
            return Err(node
                .error(value, format!("`{other}` is not a kind of node"))
                .help("host, router or switch"));
        }
    };
    if kernel::is_asked(node)? {
        kernel::check_node(node, kind)?;
        kind = NodeKind::Kernel;
    }
    let mut draft = NodeDraft {
        span,
        kind,
        addresses: read_addresses(node)?,
        privacy: node.flag("privacy")?.unwrap_or(false),
        conflict_detection: node.flag("conflict_detection")?.unwrap_or(false),
        congestion: read_congestion(node)?,
        ecn: read_ecn(node)?,
        gateways: read_gateways(node)?,
        programs: read_programs(node)?,
        publish: publish::read(node)?,
        uplink: uplinks::read(node)?,
        multicast: switches::read(node, kind)?,
    };
    draft.addresses.sort_by_key(|placed| placed.span.start);
    check_kind(node, &draft)?;
    if draft.privacy && draft.automatic().next().is_none() {
        let message = "`privacy` is about addresses that a router's prefix is made into";
        return Err(node
            .source
            .error(node.key_span("privacy"), message)
            .help("address = \"auto\""));
    }
    Ok(draft)
}

fn read_congestion(node: Fields<'_, '_>) -> Result<Congestion> {
    let Some((name, value)) = node.text("congestion", "bbr")? else {
        return Ok(Congestion::default());
    };
    Congestion::named(name).ok_or_else(|| {
        let names = Congestion::ALL.map(|(name, _)| name).join(", ");
        node.error(value, format!("`{name}` is no congestion control"))
            .help(names)
    })
}

fn read_ecn(node: Fields<'_, '_>) -> Result<Ecn> {
    let Some((name, value)) = node.text("ecn", "always")? else {
        return Ok(Ecn::default());
    };
    Ecn::named(name).ok_or_else(|| {
        let names = Ecn::ALL.map(|(name, _)| name).join(", ");
        let message = format!("`{name}` does not say who uses ECN");
        node.error(value, message).help(names)
    })
}

/// What a switch can't have, and a router.
fn check_kind(node: Fields<'_, '_>, draft: &NodeDraft) -> Result<()> {
    let first = match draft.kind {
        NodeKind::Switch => draft.addresses.first(),
        NodeKind::Router => draft.automatic().next(),
        NodeKind::Host | NodeKind::Tap | NodeKind::Tun | NodeKind::Uplink | NodeKind::Kernel => {
            None
        }
    };
    if draft.kind == NodeKind::Switch {
        let keys = [
            "address",
            "conflict_detection",
            "congestion",
            "ecn",
            "gateway",
            "run",
            "builtin",
            "programs",
            "publish",
            "uplink",
        ];
        if let Some(key) = keys.into_iter().find(|key| node.get(key).is_some()) {
            let message = format!("a switch has no `{key}`");
            return Err(node.source.error(node.key_span(key), message));
        }
    }
    let Some(first) = first else { return Ok(()) };
    Err(match draft.kind {
        NodeKind::Switch => {
            let message = "a port of a switch has no address";
            node.source.error(first.span.clone(), message)
        }
        _ => {
            let message = "a router takes no address from others: it is who tells them";
            let error = node.source.error(first.span.clone(), message);
            error.help("write one, such as \"fd00:1::1/64\", or leave it out")
        }
    })
}

/// One or several texts.
fn one_or_more<'d, 'i>(
    fields: Fields<'d, 'i>,
    key: &str,
    like: &str,
) -> Result<Vec<(&'d str, &'d Value<'i>)>> {
    let Some(value) = fields.get(key) else {
        return Ok(Vec::new());
    };
    let one = |value: &'d Value<'i>| {
        let wanted = format!("a text or a list of texts, such as \"{like}\"");
        let text = value.get_ref().as_str();
        let text = text.ok_or_else(|| fields.wrong(key, value, &wanted))?;
        Ok((text, value))
    };
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(one).collect(),
        _ => one(value).map(|text| vec![text]),
    }
}

/// At most one of each family.
fn read_gateways(node: Fields<'_, '_>) -> Result<Vec<(IpAddr, Range<usize>)>> {
    let mut gateways: Vec<(IpAddr, Range<usize>)> = Vec::new();
    for (text, value) in one_or_more(node, "gateway", "10.0.1.1")? {
        let wrong = || node.error(value, format!("`gateway`: `{text}` is not an address"));
        let gateway: IpAddr = text.parse().map_err(|_| wrong())?;
        let mut others = gateways.iter();
        if let Some((other, _)) = others.find(|(ip, _)| ip.is_ipv4() == gateway.is_ipv4()) {
            let message = format!("a second gateway of one family: {gateway}");
            let help = format!("{other} is one already: all the rest of the world is behind it");
            return Err(node.error(value, message).help(help));
        }
        gateways.push((gateway, value.span()));
    }
    Ok(gateways)
}

/// `address` (of eth0) and `[nodes.X.ports.PORT] address`.
fn read_addresses(node: Fields<'_, '_>) -> Result<Vec<Placed>> {
    let mut placed = addresses_of(node, "eth0")?;
    let Some(ports) = node.get("ports") else {
        return Ok(placed);
    };
    for (name, value) in Fields::of(node.source, ports, "`ports`")?.table {
        let port = Fields::of(node.source, value, "a port")?;
        port.only(&[&["address"]])?;
        if let (Some(first), Some(again)) = (
            placed.iter().find(|p| p.port == *name.get_ref()),
            port.get("address"),
        ) {
            let message = format!("`{}` has addresses at two places", first.port);
            return Err(port.error(again, message));
        }
        placed.extend(addresses_of(port, name.get_ref())?);
    }
    Ok(placed)
}

fn addresses_of(fields: Fields<'_, '_>, port: &str) -> Result<Vec<Placed>> {
    let texts = one_or_more(fields, "address", LIKE_ADDRESS)?;
    let one = |(text, value): (&str, &Value<'_>)| {
        let given = parse_address(text).map_err(|wrong| {
            let help = format!("write it like \"{LIKE_ADDRESS}\" or \"fd00:1::10/64\"");
            fields.error(value, wrong).help(help)
        })?;
        Ok(Placed {
            port: port.to_owned(),
            given,
            span: value.span(),
        })
    };
    let placed: Vec<Placed> = texts.into_iter().map(one).collect::<Result<_>>()?;
    let mut autos = placed.iter().filter(|p| matches!(p.given, Given::Auto));
    if let Some(again) = autos.nth(1) {
        let message = "\"auto\" twice";
        return Err(fields.source.error(again.span.clone(), message));
    }
    Ok(placed)
}

/// `auto`, or an address that a host can have, with its prefix length.
fn parse_address(text: &str) -> core::result::Result<Given, String> {
    if text == "auto" {
        return Ok(Given::Auto);
    }
    let (address, len) = text
        .split_once('/')
        .ok_or_else(|| format!("`{text}` has no prefix length"))?;
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("`{address}` is not an address"))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let len: u8 = len
        .parse()
        .ok()
        .filter(|len| (1..=longest).contains(len))
        .ok_or_else(|| format!("`{len}` is not a prefix length from 1 to {longest}"))?;
    let host_bits = host_bits(address, len);
    let host = bits(address) & host_bits;
    if !is_for_hosts(address) {
        Err(format!("{address} can't be a host's address"))
    } else if host_bits > 1 && host == 0 {
        Err(format!("{address} is the address of the network itself"))
    } else if address.is_ipv4() && host_bits > 1 && host == host_bits {
        Err(format!("{address} is the broadcast address of its network"))
    } else {
        Ok(Given::Address(address, len))
    }
}

/// Neither a group nor nobody, and not of a host's own inside.
pub(super) fn is_for_hosts(address: IpAddr) -> bool {
    let special = address.is_loopback() || address.is_multicast() || address.is_unspecified();
    let reserved = match address {
        IpAddr::V4(ip) => ip.octets()[0] >= 240,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
    };
    !special && !reserved
}

/// `[[nodes.X.programs]]`, or the short form on the node.
fn read_programs(node: Fields<'_, '_>) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    if node.get("run").is_some() || node.get("builtin").is_some() {
        programs.push(read_program(node)?);
    } else if let Some(key) = PROGRAM_KEYS.iter().find(|key| node.get(key).is_some()) {
        let message = format!("`{key}` without a program");
        return Err(node
            .source
            .error(node.key_span(key), message)
            .help("add `run` or `builtin`"));
    }
    for (program, span) in node.tables("programs", "a program")? {
        program.only(&[PROGRAM_KEYS])?;
        if program.get("run").is_none() && program.get("builtin").is_none() {
            return Err(node
                .source
                .error(span, "a program without `run` or `builtin`"));
        }
        programs.push(read_program(program)?);
    }
    Ok(programs)
}

fn read_program(fields: Fields<'_, '_>) -> Result<Program> {
    if fields.get("run").is_some() && fields.get("builtin").is_some() {
        let message = "`builtin` and `run` at once";
        return Err(fields
            .source
            .error(fields.key_span("builtin"), message)
            .help("more than one program: [[nodes.X.programs]]"));
    }
    let words = |key| -> Result<Option<Vec<String>>> {
        let like = "[\"python3\", \"server.py\"]";
        let Some(words) = fields.texts(key, like)? else {
            return Ok(None);
        };
        if words.first().is_none_or(|(word, _)| word.is_empty()) {
            let message = format!("`{key}` names no program");
            return Err(fields.source.error(fields.key_span(key), message));
        }
        Ok(Some(
            words.iter().map(|(word, _)| (*word).to_owned()).collect(),
        ))
    };
    let what = match (words("run")?, words("builtin")?) {
        (Some(run), _) => What::Run(run),
        (None, builtin) => What::Builtin(builtin.unwrap_or_default()),
    };
    Ok(Program {
        what,
        ready: fields.quantity("ready", "tcp:8080", ready)?,
        env: read_env(fields)?,
        start: fields
            .quantity("start", "2s", units::duration)?
            .unwrap_or(Duration::ZERO),
    })
}

fn ready(text: &str) -> core::result::Result<ReadyWhen, String> {
    let wrong = || format!("`{text}` is not a protocol and a port");
    let (protocol, port) = text.split_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|&p| p != 0).ok_or_else(wrong)?;
    match protocol {
        "tcp" => Ok(ReadyWhen::Tcp(port)),
        "udp" => Ok(ReadyWhen::Udp(port)),
        _ => Err(wrong()),
    }
}

fn read_env(fields: Fields<'_, '_>) -> Result<BTreeMap<String, String>> {
    let Some(value) = fields.get("env") else {
        return Ok(BTreeMap::new());
    };
    let env = Fields::of(fields.source, value, "`env`")?;
    let one = |(key, value): (&toml::Spanned<toml::de::DeString<'_>>, &Value<'_>)| {
        let name = key.get_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("`{name}` can't be a variable's name");
            return Err(fields.source.error(key.span(), message));
        }
        let text = value.get_ref().as_str();
        let text = text.ok_or_else(|| env.wrong(name, value, "a text"))?;
        Ok((name.to_string(), text.to_owned()))
    };
    env.table.iter().map(one).collect()
}
