//! `[[links]]`: cables and what they do to frames.
use std::collections::BTreeMap;
use std::ops::Range;

use heptad_stack::time::Duration;
use toml::de::DeValue;

use super::document::{Fields, Result, Source, Value, nearest};
use super::nodes::{NodeDraft, check_name};
use super::outside;
use super::units::{duration, percentage, rate};
use super::{Change, Impairments, Link, Loss, NodeKind};

pub(super) const IMPAIRMENT_KEYS: &[&str] = &[
    "delay",
    "jitter",
    "loss",
    "duplicate",
    "corrupt",
    "corrupt_undetected",
    "reorder",
    "rate",
    "queue",
    "mark",
    "down",
];
const LINK_KEYS: &[&str] = &["endpoints", "name", "mtu", "forward", "backward"];
/// The port of what a host sends to itself.
const LOOPBACK: &str = "lo";
/// Linux's IFNAMSIZ, less the zero byte.
const LONGEST_PORT: usize = 15;
/// Most packets that a list of lost ones may name.
const MOST_NTH: usize = 65_536;

/// A cable as the file has it; an end's port is empty until it is numbered.
pub(super) struct LinkDraft {
    pub link: Link,
    pub end_spans: [Range<usize>; 2],
}

/// All cables in the order of the file, with every port named.
pub(super) fn read(
    root: Fields<'_, '_>,
    nodes: &BTreeMap<String, NodeDraft>,
) -> Result<Vec<LinkDraft>> {
    let mut links = Vec::new();
    let mut name_spans = Vec::new();
    for (table, span) in root.tables("links", "a link")? {
        let (link, name_span) = read_link(table, nodes, span)?;
        links.push(link);
        name_spans.push(name_span);
    }
    name_ports(root.source, &mut links)?;
    let mut names = BTreeMap::new();
    for (link, span) in links.iter_mut().zip(name_spans) {
        if link.link.name.is_empty() {
            link.link.name = link.link.default_name();
        }
        if names.insert(link.link.name.clone(), ()).is_some() {
            let message = format!("two links are named `{}`", link.link.name);
            return Err(root
                .source
                .error(span, message)
                .help("give one of them a `name`"));
        }
    }
    Ok(links)
}

fn read_link(
    table: Fields<'_, '_>,
    nodes: &BTreeMap<String, NodeDraft>,
    span: Range<usize>,
) -> Result<(LinkDraft, Range<usize>)> {
    table.only(&[LINK_KEYS, IMPAIRMENT_KEYS])?;
    let like = "[\"alice:eth0\", \"r1:eth0\"]";
    let Some(endpoints) = table.texts("endpoints", like)? else {
        let message = "a link without `endpoints`";
        return Err(table
            .source
            .error(span, message)
            .help(format!("endpoints = {like}")));
    };
    let [(a, a_span), (b, b_span)] = endpoints.as_slice() else {
        let message = format!("a link has 2 endpoints, not {}", endpoints.len());
        return Err(table.source.error(table.key_span("endpoints"), message));
    };
    let ends = [
        endpoint(table.source, a, a_span, nodes)?,
        endpoint(table.source, b, b_span, nodes)?,
    ];
    let is_inside = |(node, _): &(String, String)| outside::interface(node).is_none();
    if ends.iter().any(|end| end.1 == LOOPBACK && is_inside(end)) {
        check_loopback(table, &ends, [a_span, b_span], nodes)?;
    } else if ends[0].0 == ends[1].0 && is_inside(&ends[0]) {
        let message = format!("both ends are at `{}`", ends[0].0);
        let help = format!("\"{0}:lo\" twice makes a cable of its loopback", ends[0].0);
        return Err(table.source.error(b_span.clone(), message).help(help));
    }
    let (name, name_span) = match table.text("name", "uplink")? {
        None => (String::new(), a_span.start..b_span.end),
        Some((name, value)) => {
            check_name(table.source, name, value.span())?;
            (name.to_owned(), value.span())
        }
    };
    let (forward, backward) = both(table, &Impairments::default(), &Impairments::default())?;
    let mtu = table.number("mtu", 68..=65_535)?.unwrap_or(1500);
    let link = Link {
        name,
        ends,
        forward,
        backward,
        mtu: u32::try_from(mtu).unwrap_or(u32::MAX),
    };
    let end_spans = [a_span.clone(), b_span.clone()];
    Ok((LinkDraft { link, end_spans }, name_span))
}

/// A cable at `lo` leads back to the same host.
fn check_loopback(
    table: Fields<'_, '_>,
    ends: &[(String, String); 2],
    spans: [&Range<usize>; 2],
    nodes: &BTreeMap<String, NodeDraft>,
) -> Result<()> {
    let switch = |name: &String| nodes.get(name).is_some_and(|n| n.kind == NodeKind::Switch);
    let (message, span) = if ends[0] != ends[1] {
        let at = usize::from(ends[0].1 != LOOPBACK);
        (
            "`lo` is a host's own: no cable leads from it to another port",
            spans[at],
        )
    } else if switch(&ends[0].0) {
        ("a switch has no `lo`", spans[0])
    } else {
        return Ok(());
    };
    Err(table
        .source
        .error(span.clone(), message)
        .help("use eth0; the `lo` of one host at both ends makes a cable of its loopback"))
}

/// `alice:eth0`, `alice`, `tap:heptad0`.
fn endpoint(
    source: Source<'_>,
    text: &str,
    span: &Range<usize>,
    nodes: &BTreeMap<String, NodeDraft>,
) -> Result<(String, String)> {
    let (node, port) = text
        .split_once(':')
        .map_or((text, None), |(n, p)| (n, Some(p)));
    if !nodes.contains_key(node) {
        if let Some(name) = outside::interface(text) {
            return outside::end(source, text, name, span);
        }
        let error = source.error(span.clone(), format!("no node is named `{node}`"));
        return Err(match nearest(node, nodes.keys().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!("add [nodes.{node}]")),
        });
    }
    if let Some(port) = port {
        check_name(source, port, span.clone())?;
        if port.len() > LONGEST_PORT {
            let message = format!("`{port}` can't be the name of a port");
            return Err(source
                .error(span.clone(), message)
                .help(format!("at most {LONGEST_PORT} letters")));
        }
    }
    Ok((node.to_owned(), port.unwrap_or("").to_owned()))
}

/// Refuses a port used twice; gives the ends that name none the next free `ethN` of their node.
fn name_ports(source: Source<'_>, links: &mut [LinkDraft]) -> Result<()> {
    let mut used: BTreeMap<String, BTreeMap<String, ()>> = BTreeMap::new();
    for draft in &*links {
        let ends = if draft.link.is_loopback() { 1 } else { 2 };
        for ((node, port), span) in draft.link.ends.iter().zip(&draft.end_spans).take(ends) {
            if outside::interface(node).is_some() {
                continue; // `outside::check` has its own words
            }
            let ports = used.entry(node.clone()).or_default();
            if !port.is_empty() && ports.insert(port.clone(), ()).is_some() {
                let message = format!("`{node}:{port}` is the end of two links");
                return Err(source
                    .error(span.clone(), message)
                    .help("a port holds one cable: use another port, or a switch"));
            }
        }
    }
    for draft in links {
        for (node, port) in &mut draft.link.ends {
            if port.is_empty() {
                let ports = used.entry(node.clone()).or_default();
                let free = (0u32..).map(|n| format!("eth{n}"));
                *port = free
                    .into_iter()
                    .find(|name| !ports.contains_key(name))
                    .unwrap_or_default();
                ports.insert(port.clone(), ());
            }
        }
    }
    Ok(())
}

/// The values of both directions: those of the table, overridden by `forward` and `backward`.
pub(super) fn both(
    table: Fields<'_, '_>,
    forward: &Impairments,
    backward: &Impairments,
) -> Result<(Impairments, Impairments)> {
    let direction = |key: &'static str, before: &Impairments| {
        let mut after = before.clone();
        impair(table, &mut after)?;
        if let Some(value) = table.get(key) {
            let own = Fields::of(table.source, value, key)?;
            own.only(&[IMPAIRMENT_KEYS])?;
            impair(own, &mut after)?;
            check(own, &after)?;
        }
        check(table, &after)?;
        Ok(after)
    };
    Ok((
        direction("forward", forward)?,
        direction("backward", backward)?,
    ))
}

/// Sets what the table names.
fn impair(table: Fields<'_, '_>, to: &mut Impairments) -> Result<()> {
    if let Some(delay) = table.quantity("delay", "20ms", duration)? {
        to.delay = delay;
    }
    if let Some(jitter) = table.quantity("jitter", "5ms", duration)? {
        to.jitter = jitter;
    }
    if let Some(value) = table.get("loss") {
        to.loss = loss(table, value)?;
    }
    for (key, field) in [
        ("duplicate", &mut to.duplicate),
        ("corrupt", &mut to.corrupt),
        ("corrupt_undetected", &mut to.corrupt_undetected),
    ] {
        if let Some(probability) = table.quantity(key, "2%", percentage)? {
            *field = probability;
        }
    }
    if let Some(value) = table.get("reorder") {
        reorder(table, value, to)?;
    }
    if let Some(rate) = table.quantity("rate", "10 Mbit", rate_or_none)? {
        to.rate = rate;
    }
    if let Some(queue) = table.number("queue", 1..=1_000_000)? {
        to.queue = u32::try_from(queue).unwrap_or(u32::MAX);
    }
    if let Some(mark) = table.number("mark", 0..=1_000_000)? {
        to.mark = u32::try_from(mark).ok();
    }
    if let Some(down) = table.flag("down")? {
        to.down = down;
    }
    Ok(())
}

/// A rate; `none` lifts a limit that was there before.
fn rate_or_none(text: &str) -> core::result::Result<Option<u64>, String> {
    match text {
        "none" => Ok(None),
        text => rate(text).map(Some),
    }
}

/// Refuses what can't be applied: the complaint stands at the key of this table that asks for it.
fn check(table: Fields<'_, '_>, asked: &Impairments) -> Result<()> {
    let waits = ["queue", "mark"]
        .into_iter()
        .find(|k| table.get(k).is_some());
    if let (Some(key), None) = (waits, asked.rate) {
        let message = "a queue without a rate never fills";
        return Err(table
            .source
            .error(table.key_span(key), message)
            .help("add a `rate`"));
    }
    let key = ["jitter", "delay"]
        .into_iter()
        .find(|k| table.get(k).is_some());
    if let (Some(key), true) = (key, asked.jitter > asked.delay) {
        return Err(table
            .source
            .error(
                table.key_span(key),
                "more jitter than delay: a frame can't arrive before it left",
            )
            .help("lower the `jitter` or raise the `delay`"));
    }
    Ok(())
}

/// `"5%"`, `{p=, r=, good=, bad=}`, `{nth=[3, 7]}` or `{every=10}`.
fn loss(table: Fields<'_, '_>, value: &Value<'_>) -> Result<Loss> {
    let like = "5%";
    if let Some(text) = value.get_ref().as_str() {
        let p = table.read("loss", text, value, like, percentage)?;
        return Ok(if p == 0.0 {
            Loss::None
        } else {
            Loss::Random(p)
        });
    }
    if !value.get_ref().is_table() {
        return Err(table
            .wrong("loss", value, "a text with a percentage, or a table")
            .help("\"5%\", {nth = [3, 7]}, {every = 10} or {p = \"1%\", r = \"20%\"}"));
    }
    let model = Fields::of(table.source, value, "`loss`")?;
    model.only(&[&["p", "r", "good", "bad", "nth", "every"]])?;
    let one_of = [
        model.get("nth").is_some(),
        model.get("every").is_some(),
        ["p", "r", "good", "bad"]
            .iter()
            .any(|k| model.get(k).is_some()),
    ];
    if one_of.iter().filter(|&&there| there).count() != 1 {
        return Err(model
            .error(value, "a loss is of one kind")
            .help("{nth = [3, 7]}, {every = 10} or {p = \"1%\", r = \"20%\"}"));
    }
    if let Some(every) = model.number("every", 1..=u64::from(u32::MAX))? {
        return Ok(Loss::Every(every));
    }
    if let Some(list) = model.get("nth") {
        return nth(model, "nth", list).map(Loss::Nth);
    }
    let probability = |key| model.quantity(key, like, percentage);
    let missing = |key: &str| model.error(value, format!("this loss needs `{key}`"));
    Ok(Loss::GilbertElliott {
        p: probability("p")?.ok_or_else(|| missing("p"))?,
        r: probability("r")?.ok_or_else(|| missing("r"))?,
        good: probability("good")?.unwrap_or(0.0),
        bad: probability("bad")?.unwrap_or(1.0),
    })
}

/// Sorted, each once.
pub(super) fn nth(model: Fields<'_, '_>, key: &str, list: &Value<'_>) -> Result<Vec<u64>> {
    let DeValue::Array(items) = list.get_ref() else {
        return Err(model.wrong(key, list, "a list of numbers, such as [3, 7]"));
    };
    if items.is_empty() || items.len() > MOST_NTH {
        return Err(model.error(list, format!("`{key}` lists 1 to {MOST_NTH} packets")));
    }
    let one = |item| model.number_of(key, item, 1..=u64::MAX);
    let mut numbers = items.iter().map(one).collect::<Result<Vec<_>>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// `"5%"` or `{probability=, delay=}`.
fn reorder(table: Fields<'_, '_>, value: &Value<'_>, to: &mut Impairments) -> Result<()> {
    if let Some(text) = value.get_ref().as_str() {
        to.reorder = table.read("reorder", text, value, "5%", percentage)?;
        return Ok(());
    }
    if !value.get_ref().is_table() {
        return Err(table
            .wrong("reorder", value, "a text with a percentage, or a table")
            .help("\"5%\" or {probability = \"5%\", delay = \"3ms\"}"));
    }
    let own = Fields::of(table.source, value, "`reorder`")?;
    own.only(&[&["probability", "delay"]])?;
    let missing = || own.error(value, "`reorder` needs a `probability`");
    to.reorder = own
        .quantity("probability", "5%", percentage)?
        .ok_or_else(missing)?;
    if let Some(delay) = own.quantity("delay", "3ms", duration)? {
        to.reorder_delay = delay;
    }
    Ok(())
}

/// What a table makes of a cable that is as `state` tells, at this time.
pub(super) fn change(
    table: Fields<'_, '_>,
    time: Duration,
    link: &str,
    state: &mut (Impairments, Impairments),
) -> Result<Change> {
    let after = both(table, &state.0, &state.1)?;
    let changed =
        |before: &Impairments, after: &Impairments| (before != after).then(|| after.clone());
    let mtu = table.number("mtu", 68..=65_535)?;
    let change = Change {
        time,
        link: link.to_owned(),
        forward: changed(&state.0, &after.0),
        backward: changed(&state.1, &after.1),
        mtu: mtu.map(|mtu| u32::try_from(mtu).unwrap_or(u32::MAX)),
    };
    *state = after;
    Ok(change)
}
