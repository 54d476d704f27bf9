//! `[nodes.X]`: what a node is, its addresses, its programs.
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::ops::Range;

use heptad_stack::time::Duration;
use toml::de::DeValue;

use super::document::{Fields, Result, Source, Value};
use super::publish::{self, Publish};
use super::units;
use super::{NodeKind, Program, ReadyWhen, What};

/// A node as the file has it, with places.
pub(super) struct NodeDraft {
    pub span: Range<usize>,
    pub kind: NodeKind,
    pub addresses: Vec<Placed>,
    pub gateway: Option<(IpAddr, Range<usize>)>,
    pub programs: Vec<Program>,
    pub publish: Vec<Publish>,
}

/// An address at its place in the file.
pub(super) struct Placed {
    pub port: String,
    pub address: IpAddr,
    pub len: u8,
    pub span: Range<usize>,
}

const PROGRAM_KEYS: &[&str] = &["run", "builtin", "ready", "env", "start"];
const NODE_KEYS: &[&str] = &["kind", "address", "gateway", "ports", "programs", "publish"];

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
        nodes.insert(name.to_string(), node);
    }
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
    let kind = match node.text("kind", "router")? {
        None | Some(("host", _)) => NodeKind::Host,
        Some(("router", _)) => NodeKind::Router,
        Some(("switch", _)) => NodeKind::Switch,
        Some((other, value)) => {
            return Err(node
                .error(value, format!("`{other}` is not a kind of node"))
                .help("host, router or switch"));
        }
    };
    let gateway = match node.text("gateway", "10.0.1.1")? {
        None => None,
        Some((text, value)) => Some((read_gateway(node, text, value)?, value.span())),
    };
    let mut draft = NodeDraft {
        span,
        kind,
        addresses: read_addresses(node)?,
        gateway,
        programs: read_programs(node)?,
        publish: publish::read(node)?,
    };
    draft.addresses.sort_by_key(|placed| placed.span.start);
    if kind == NodeKind::Switch {
        for key in [
            "address", "gateway", "run", "builtin", "programs", "publish",
        ] {
            if node.get(key).is_some() {
                let message = format!("a switch has no `{key}`");
                return Err(node.source.error(node.key_span(key), message));
            }
        }
        if let Some(first) = draft.addresses.first() {
            let message = "a port of a switch has no address";
            return Err(node.source.error(first.span.clone(), message));
        }
    }
    Ok(draft)
}

fn read_gateway(node: Fields<'_, '_>, text: &str, value: &Value<'_>) -> Result<IpAddr> {
    let wrong = || node.error(value, format!("`gateway`: `{text}` is not an address"));
    match text.parse().map_err(|_| wrong())? {
        IpAddr::V6(_) => Err(node.error(value, "IPv6 is not spoken yet")),
        v4 => Ok(v4),
    }
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
    let Some(value) = fields.get("address") else {
        return Ok(Vec::new());
    };
    let one = |value: &Value<'_>| {
        let text = value.get_ref().as_str();
        let text = text.ok_or_else(|| {
            fields.wrong(
                "address",
                value,
                "a text or a list of texts, such as \"10.0.1.10/24\"",
            )
        })?;
        let (address, len) = parse_address(text).map_err(|wrong| {
            fields
                .error(value, wrong)
                .help("write it like \"10.0.1.10/24\"")
        })?;
        Ok(Placed {
            port: port.to_owned(),
            address,
            len,
            span: value.span(),
        })
    };
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(one).collect(),
        _ => one(value).map(|placed| vec![placed]),
    }
}

/// An address that a host can have, with its prefix length.
fn parse_address(text: &str) -> core::result::Result<(IpAddr, u8), String> {
    let (address, len) = text
        .split_once('/')
        .ok_or_else(|| format!("`{text}` has no prefix length"))?;
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("`{address}` is not an address"))?;
    let IpAddr::V4(v4) = address else {
        return Err("IPv6 is not spoken yet".into());
    };
    let len: u8 = len
        .parse()
        .ok()
        .filter(|len| (1..=32).contains(len))
        .ok_or_else(|| format!("`{len}` is not a prefix length from 1 to 32"))?;
    let host_bits = u32::MAX.checked_shr(len.into()).unwrap_or(0);
    let host = v4.to_bits() & host_bits;
    if v4.is_loopback() || v4.is_multicast() || v4.is_unspecified() || v4.octets()[0] >= 240 {
        Err(format!("{v4} can't be a host's address"))
    } else if len < 31 && host == 0 {
        Err(format!("{v4} is the address of the network itself"))
    } else if len < 31 && host == host_bits {
        Err(format!("{v4} is the broadcast address of its network"))
    } else {
        Ok((address, len))
    }
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
