//! `[[on]]`: faults that packets call for.
use core::net::IpAddr;
use std::ops::Range;

use heptad_stack::time::Duration;
use heptad_stack::wire::tcp::Flags;
use toml::de::DeValue;

use super::document::{Fields, Result, Value, nearest};
use super::links::nth;
use super::timeline::{Scene, link_of, unknown_node};
use super::units::duration;

const KEYS: &[&str] = &["link", "direction", "name", "do", "delay"];
const PACKET_KEYS: &[&str] = &[
    "packet",
    "flags",
    "port",
    "from_port",
    "to_port",
    "from",
    "to",
];
const COUNT_KEYS: &[&str] = &["nth", "every", "each", "connection", "after", "until"];

/// A fault that packets call for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What captures and the report call it.
    pub name: String,
    /// Which cable.
    pub link: String,
    /// Whether it looks at what goes forward, and backward.
    pub ways: [bool; 2],
    /// Which packets it looks at.
    pub packets: Packets,
    /// Which of those it is done to.
    pub which: Which,
    /// Whether each connection is counted for itself.
    pub each_connection: bool,
    /// What is done.
    pub act: Act,
}

/// Which packets a rule looks at: those that are all of this.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packets {
    /// Of which kind.
    pub kind: PacketKind,
    /// Control bits that are set, and that are not.
    pub flags: Option<(Flags, Flags)>,
    /// At either end.
    pub port: Option<u16>,
    /// The source port.
    pub from_port: Option<u16>,
    /// The destination port.
    pub to_port: Option<u16>,
    /// From one of these addresses; empty: from any.
    pub from: Vec<IpAddr>,
    /// To one of these addresses; empty: to any.
    pub to: Vec<IpAddr>,
    /// Of the n-th connections seen on the cable, sorted; empty: of any.
    pub connections: Vec<u64>,
    /// From this lab time on.
    pub after: Duration,
    /// Before this lab time.
    pub until: Option<Duration>,
}

/// Kinds of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketKind {
    /// Every frame, of whatever.
    #[default]
    Any,
    /// ARP.
    Arp,
    /// ICMP of both families, neighbour discovery included.
    Icmp,
    /// Datagrams of UDP.
    Udp,
    /// Segments of TCP.
    Tcp,
    /// SYN without ACK.
    Syn,
    /// SYN with ACK.
    SynAck,
    /// Segments with text.
    Data,
    /// Segments that only acknowledge: no text, SYN, FIN or RST.
    Ack,
    /// FIN, with text or without.
    Fin,
    /// RST.
    Rst,
}
impl PacketKind {
    const WORDS: [(&'static str, Self); 11] = [
        ("any", Self::Any),
        ("arp", Self::Arp),
        ("icmp", Self::Icmp),
        ("udp", Self::Udp),
        ("tcp", Self::Tcp),
        ("syn", Self::Syn),
        ("syn-ack", Self::SynAck),
        ("data", Self::Data),
        ("ack", Self::Ack),
        ("fin", Self::Fin),
        ("rst", Self::Rst),
    ];
    /// Whether these are segments of TCP.
    pub fn is_tcp(self) -> bool {
        !matches!(self, Self::Any | Self::Arp | Self::Icmp | Self::Udp)
    }
    fn has_ports(self) -> bool {
        !matches!(self, Self::Arp | Self::Icmp)
    }
    /// As in a file.
    pub fn word(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(_, kind)| *kind == self)
            .map_or("", |(word, _)| word)
    }
}

/// Which of the packets that a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// The n-th, counted from 1, sorted.
    Nth(Vec<u64>),
    /// Every n-th.
    Every(u64),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The packet is lost.
    Drop,
    /// The packet is lost, and both ends of its connection are sent an RST.
    Reset,
    /// It is held back; others overtake it.
    Delay(Duration),
    /// It arrives twice.
    Duplicate,
    /// A bit is flipped, and the frame check sequence tells.
    Corrupt,
    /// A bit of the IP payload is flipped, and only the checksums above can tell.
    CorruptUndetected,
}
impl Act {
    const WORDS: [&'static str; 6] = [
        "drop",
        "reset",
        "delay",
        "duplicate",
        "corrupt",
        "corrupt_undetected",
    ];
    /// As in a file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reset => "reset",
            Self::Delay(_) => "delay",
            Self::Duplicate => "duplicate",
            Self::Corrupt => "corrupt",
            Self::CorruptUndetected => "corrupt_undetected",
        }
    }
}

const FLAGS: [(&str, Flags); 8] = [
    ("fin", Flags::FIN),
    ("syn", Flags::SYN),
    ("rst", Flags::RST),
    ("psh", Flags::PSH),
    ("ack", Flags::ACK),
    ("urg", Flags::URG),
    ("ece", Flags::ECE),
    ("cwr", Flags::CWR),
];

/// Reads the `[[on]]` of a lab file and of its script.
pub(super) fn read(roots: &[Fields<'_, '_>], scene: Scene<'_>) -> Result<Vec<Rule>> {
    let mut rules: Vec<Rule> = Vec::new();
    for root in roots {
        for (table, span) in root.tables("on", "a rule")? {
            table.only(&[KEYS, PACKET_KEYS, COUNT_KEYS])?;
            let rule = rule(table, &span, scene, rules.len() + 1)?;
            if rules.iter().any(|other| other.name == rule.name) {
                let message = format!("two rules are named `{}`", rule.name);
                return Err(table.source.error(table.key_span("name"), message));
            }
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn rule(
    table: Fields<'_, '_>,
    span: &Range<usize>,
    scene: Scene<'_>,
    number: usize,
) -> Result<Rule> {
    let link = scene.links.get(link_of(table, "[[on]]", span, scene)?);
    let act = act(table, span)?;
    let mut packets = packets(table, scene)?;
    let mut which = which(table)?;
    let each = table.text("each", "connection")?;
    let mut each_connection = match each {
        None => false,
        Some(("connection", value)) if which == Which::All => {
            let message = "`each` without a number counts nothing";
            return Err(table.error(value, message).help("add `nth` or `every`"));
        }
        Some(("connection", _)) => true,
        Some((other, value)) => {
            let message = format!("`{other}` can't be counted for itself");
            return Err(table.error(value, message).help("each = \"connection\""));
        }
    };
    if act == Act::Reset {
        if table.get("packet").is_none() && packets.flags.is_none() {
            packets.kind = PacketKind::Data;
        } else if !packets.kind.is_tcp() {
            let message = "only connections of TCP are reset";
            return Err(table
                .source
                .error(table.key_span("packet"), message)
                .help("packet = \"data\""));
        }
        if which == Which::All {
            (which, each_connection) = (Which::Nth(vec![1]), true);
        }
    }
    let name = match table.text("name", "third SYN")? {
        Some((name, _)) => name.to_owned(),
        None => format!("rule {number}"),
    };
    Ok(Rule {
        name,
        link: link.map(|link| link.name.clone()).unwrap_or_default(),
        ways: ways(table, link.is_some_and(super::Link::is_loopback))?,
        packets,
        which,
        each_connection,
        act,
    })
}

fn act(table: Fields<'_, '_>, span: &Range<usize>) -> Result<Act> {
    let list = || Act::WORDS.join(", ");
    let Some((word, value)) = table.text("do", "drop")? else {
        let message = "[[on]] needs `do`: what is done to the packets";
        return Err(table.source.error(span.clone(), message).help(list()));
    };
    let delay = table.quantity("delay", "50ms", duration)?;
    let act = match (word, delay) {
        ("drop", _) => Act::Drop,
        ("reset", _) => Act::Reset,
        ("delay", Some(by)) => Act::Delay(by),
        ("delay", None) => {
            return Err(table.error(value, "how long?").help("delay = \"50ms\""));
        }
        ("duplicate", _) => Act::Duplicate,
        ("corrupt", _) => Act::Corrupt,
        ("corrupt_undetected", _) => Act::CorruptUndetected,
        (other, _) => {
            let error = table.error(value, format!("`{other}` is nothing that can be done"));
            return Err(match nearest(other, Act::WORDS.into_iter()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(list()),
            });
        }
    };
    if delay.is_some() && !matches!(act, Act::Delay(_)) {
        let message = format!("`{word}` takes no `delay`");
        return Err(table
            .source
            .error(table.key_span("delay"), message)
            .help("do = \"delay\""));
    }
    Ok(act)
}

fn ways(table: Fields<'_, '_>, is_loopback: bool) -> Result<[bool; 2]> {
    match table.text("direction", "forward")? {
        None => Ok([true; 2]),
        Some(("forward", _)) => Ok([true, false]),
        Some(("backward", value)) if is_loopback => Err(table
            .error(value, "a cable of a loopback carries everything forward")
            .help("tell directions apart by from_port and to_port")),
        Some(("backward", _)) => Ok([false, true]),
        Some((other, value)) => Err(table
            .error(value, format!("`{other}` is not a direction"))
            .help("forward, from the first end of the link to the second, or backward")),
    }
}

fn packets(table: Fields<'_, '_>, scene: Scene<'_>) -> Result<Packets> {
    let kind = kind(table)?;
    let port = |key| {
        let port = table.number(key, 1..=65_535)?;
        if port.is_some() && !kind.has_ports() {
            let message = format!("{} has no ports", kind.word());
            return Err(table.source.error(table.key_span(key), message));
        }
        Ok(port.and_then(|port| u16::try_from(port).ok()))
    };
    let flags = flags(table)?;
    let kind = match (kind, &flags) {
        (PacketKind::Any, Some(_)) if table.get("packet").is_none() => PacketKind::Tcp,
        (kind, Some(_)) if !kind.is_tcp() => {
            let message = "only segments of TCP have flags";
            return Err(table
                .source
                .error(table.key_span("flags"), message)
                .help("packet = \"tcp\""));
        }
        (kind, _) => kind,
    };
    let after = table.quantity("after", "3s", duration)?.unwrap_or_default();
    let until = table.quantity("until", "5s", duration)?;
    if until.is_some_and(|until| until <= after) {
        let message = "it ends before it begins";
        return Err(table
            .source
            .error(table.key_span("until"), message)
            .help("`until` is later than `after`"));
    }
    let connections = table.get("connection");
    let connections = connections.map(|value| numbers(table, "connection", value));
    Ok(Packets {
        kind,
        flags,
        port: port("port")?,
        from_port: port("from_port")?,
        to_port: port("to_port")?,
        from: addresses(table, "from", scene)?,
        to: addresses(table, "to", scene)?,
        connections: connections.transpose()?.unwrap_or_default(),
        after,
        until,
    })
}

fn kind(table: Fields<'_, '_>) -> Result<PacketKind> {
    let Some((word, value)) = table.text("packet", "syn")? else {
        return Ok(PacketKind::Any);
    };
    let words = || PacketKind::WORDS.into_iter();
    let found = words().find(|(known, _)| *known == word);
    found.map(|(_, kind)| kind).ok_or_else(|| {
        let error = table.error(value, format!("`{word}` is not a kind of packet"));
        match nearest(word, words().map(|(word, _)| word)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(words().map(|(word, _)| word).collect::<Vec<_>>().join(", ")),
        }
    })
}

/// `["psh", "!ack"]`: bits that are set, and that are not.
fn flags(table: Fields<'_, '_>) -> Result<Option<(Flags, Flags)>> {
    let Some(words) = table.texts("flags", "[\"psh\", \"!ack\"]")? else {
        return Ok(None);
    };
    let (mut set, mut clear) = (Flags(0), Flags(0));
    for (word, span) in words {
        let bare = word.strip_prefix('!');
        let name = bare.unwrap_or(word);
        let known = FLAGS.into_iter().find(|(known, _)| *known == name);
        let Some((_, flag)) = known else {
            let list = FLAGS.map(|(word, _)| word).join(", ");
            let message = format!("`{word}` is not a flag of TCP");
            return Err(table
                .source
                .error(span, message)
                .help(format!("{list}; !ack: not set")));
        };
        let into = if bare.is_some() { &mut clear } else { &mut set };
        *into = into.with(flag);
    }
    Ok(Some((set, clear)))
}

/// Those of a node in the file, or one.
fn addresses(table: Fields<'_, '_>, key: &str, scene: Scene<'_>) -> Result<Vec<IpAddr>> {
    let Some((name, value)) = table.text(key, "alice")? else {
        return Ok(Vec::new());
    };
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let node = scene.nodes.get(name);
    let node = node.ok_or_else(|| unknown_node(table, value, name, scene))?;
    let all: Vec<_> = node
        .addresses
        .values()
        .flatten()
        .map(|(address, _)| *address)
        .collect();
    if all.is_empty() {
        let message = format!("`{name}` has no address in the file");
        return Err(table
            .error(value, message)
            .help(format!("{key} = \"10.0.1.10\"")));
    }
    Ok(all)
}

fn which(table: Fields<'_, '_>) -> Result<Which> {
    let every = table.number("every", 1..=u64::from(u32::MAX))?;
    match (table.get("nth"), every) {
        (None, None) => Ok(Which::All),
        (None, Some(every)) => Ok(Which::Every(every)),
        (Some(value), None) => numbers(table, "nth", value).map(Which::Nth),
        (Some(_), Some(_)) => Err(table
            .source
            .error(table.key_span("every"), "`nth` and `every` are two rules")
            .help("write an [[on]] for each")),
    }
}

/// A number or a list of them.
fn numbers(table: Fields<'_, '_>, key: &str, value: &Value<'_>) -> Result<Vec<u64>> {
    match value.get_ref() {
        DeValue::Integer(_) => Ok(vec![table.number_of(key, value, 1..=u64::MAX)?]),
        _ => nth(table, key, value),
    }
}

/// `drop syn, port 80, nth 3`
impl core::fmt::Display for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Packets {
            kind,
            flags,
            port,
            from_port,
            to_port,
            from,
            to,
            connections,
            after,
            until,
        } = &self.packets;
        write!(f, "{} {}", self.act.word(), kind.word())?;
        if let Some((set, clear)) = flags {
            let named = |flags: &Flags, sign: &str| {
                let set = FLAGS.iter().filter(|(_, flag)| flags.contains(*flag));
                set.map(|(word, _)| format!(" {sign}{word}"))
                    .collect::<String>()
            };
            write!(f, " with{}{}", named(set, ""), named(clear, "!"))?;
        }
        for (word, port) in [
            ("port", port),
            ("from port", from_port),
            ("to port", to_port),
        ] {
            if let Some(port) = port {
                write!(f, ", {word} {port}")?;
            }
        }
        for (word, addresses) in [("from", from), ("to", to)] {
            if let Some(address) = addresses.first() {
                write!(f, ", {word} {address}")?;
            }
        }
        let list = |numbers: &[u64]| {
            let shown = numbers
                .iter()
                .take(8)
                .map(u64::to_string)
                .collect::<Vec<_>>();
            shown.join(" ") + if numbers.len() > 8 { " …" } else { "" }
        };
        if !connections.is_empty() {
            write!(f, ", connection {}", list(connections))?;
        }
        match &self.which {
            Which::All => {}
            Which::Nth(numbers) => write!(f, ", nth {}", list(numbers))?,
            Which::Every(n) => write!(f, ", every {n}")?,
        }
        if self.each_connection {
            write!(f, " of each connection")?;
        }
        if !after.is_zero() {
            write!(f, ", after {after:?}")?;
        }
        until.map_or(Ok(()), |until| write!(f, ", until {until:?}"))
    }
}
