//! `[[at]]`: what happens at a time, to a cable or between nodes.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use heptad_stack::time::Duration;
use toml::de::DeValue;

use super::document::{Fields, Result, Value, nearest};
use super::links::{IMPAIRMENT_KEYS, change};
use super::units::duration;
use super::{Change, Division, Link, Node, NodeKind, Partition};

const AT_KEYS: &[&str] = &["time", "link", "mtu", "forward", "backward"];
const DIVISION_KEYS: &[&str] = &["partition", "blackhole", "heal", "name", "for"];
/// All nodes that no other set names.
const ALL_OTHERS: &str = "*";

/// What is there to happen to.
#[derive(Clone, Copy)]
pub(super) struct Scene<'t> {
    pub nodes: &'t BTreeMap<String, Node>,
    pub links: &'t [Link],
}

/// The timeline, in order of time; entries of one time stay in the order of the file.
#[derive(Default)]
pub(super) struct Timeline {
    pub changes: Vec<Change>,
    pub divisions: Vec<(Duration, Division)>,
}

/// Reads the `[[at]]` of a lab file and of its script.
pub(super) fn read(roots: &[Fields<'_, '_>], scene: Scene<'_>) -> Result<Timeline> {
    let mut timeline = Timeline::default();
    let mut of_links = Vec::new();
    for root in roots {
        for (table, span) in root.tables("at", "an entry of the timeline")? {
            table.only(&[AT_KEYS, IMPAIRMENT_KEYS, DIVISION_KEYS])?;
            let time = table.quantity("time", "3s", duration)?;
            let missing = || table.source.error(span.clone(), "[[at]] needs `time`");
            let time = time.ok_or_else(missing)?;
            match divides(table, &span)? {
                Some(key) => divide(table, (key, time), scene, &mut timeline.divisions)?,
                None => of_links.push((time, link_of(table, "[[at]]", &span, scene)?, table)),
            }
        }
    }
    of_links.sort_by_key(|&(time, ..)| time);
    timeline.divisions.sort_by_key(|&(time, _)| time);
    let now = |link: &Link| (link.forward.clone(), link.backward.clone());
    let mut state: Vec<_> = scene.links.iter().map(now).collect();
    for (time, index, table) in of_links {
        if let (Some(link), Some(state)) = (scene.links.get(index), state.get_mut(index)) {
            let change = change(table, time, &link.name, state)?;
            timeline.changes.push(change);
        }
    }
    Ok(timeline)
}

/// Index of the cable that `link` names; without it, the only one.
pub(super) fn link_of(
    table: Fields<'_, '_>,
    entry: &str,
    span: &Range<usize>,
    scene: Scene<'_>,
) -> Result<usize> {
    let names = || scene.links.iter().map(|link| link.name.as_str());
    let list = || format!("links: {}", names().collect::<Vec<_>>().join(", "));
    let Some((name, value)) = table.text("link", "alice-r1")? else {
        if scene.links.len() == 1 {
            return Ok(0);
        }
        let message = format!("{entry} needs `link`");
        return Err(table.source.error(span.clone(), message).help(list()));
    };
    names().position(|known| known == name).ok_or_else(|| {
        let error = table.error(value, format!("no link is named `{name}`"));
        match nearest(name, names()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(list()),
        }
    })
}

/// Which key makes it an entry about nodes, if one does; then nothing about a cable may stand beside it.
fn divides(table: Fields<'_, '_>, span: &Range<usize>) -> Result<Option<&'static str>> {
    let there = |key: &&&'static str| table.get(key).is_some();
    let words = ["partition", "blackhole", "heal"];
    let mut keys = words.iter().filter(there);
    let Some(key) = keys.next() else {
        let stray = ["name", "for"]
            .into_iter()
            .find(|key| table.get(key).is_some());
        return match stray {
            Some(stray) => Err(table
                .source
                .error(
                    table.key_span(stray),
                    format!("`{stray}` is of a `partition` or a `blackhole`"),
                )
                .help("a cable is changed back by an [[at]] of its own")),
            None => Ok(None),
        };
    };
    let of_links = AT_KEYS
        .iter()
        .filter(|key| **key != "time")
        .chain(IMPAIRMENT_KEYS);
    let stray = keys
        .next()
        .or_else(|| of_links.into_iter().find(|key| table.get(key).is_some()));
    if let Some(stray) = stray {
        let message = format!("`{key}` and `{stray}` are two entries");
        return Err(table
            .source
            .error(table.key_span(stray), message)
            .help("write an [[at]] for each"));
    }
    if *key == "heal"
        && let Some(stray) = ["name", "for"]
            .into_iter()
            .find(|key| table.get(key).is_some())
    {
        let message = format!("`heal` has no `{stray}`");
        return Err(table
            .source
            .error(span.clone(), message)
            .help("heal = true, or heal = \"NAME\""));
    }
    Ok(Some(key))
}

/// Reads a partition, a black hole or their end.
fn divide(
    table: Fields<'_, '_>,
    (key, time): (&'static str, Duration),
    scene: Scene<'_>,
    into: &mut Vec<(Duration, Division)>,
) -> Result<()> {
    let Some(value) = table.get(key) else {
        return Ok(());
    };
    if key == "heal" {
        into.push((time, Division::Heal(healed(table, value, into)?)));
        return Ok(());
    }
    let number = into
        .iter()
        .filter(|(_, d)| matches!(d, Division::Part(_)))
        .count()
        + 1;
    let name = match table.text("name", "split")? {
        None => format!("{key} {number}"),
        Some((name, value)) if is_taken(name, into) => {
            return Err(table.error(value, format!("two partitions are named `{name}`")));
        }
        Some((name, _)) => name.to_owned(),
    };
    let one_way = key == "blackhole";
    let sets = sets(table, (key, value), one_way, scene)?;
    let lasts = table.quantity("for", "2s", duration)?;
    let part = Partition {
        name: name.clone(),
        sets,
        one_way,
    };
    into.push((time, Division::Part(part)));
    if let Some(lasts) = lasts {
        into.push((time.saturating_add(lasts), Division::Heal(Some(name))));
    }
    Ok(())
}

fn is_taken(name: &str, among: &[(Duration, Division)]) -> bool {
    let named = |(_, division): &(Duration, Division)| match division {
        Division::Part(part) => part.name == name,
        Division::Heal(_) => false,
    };
    among.iter().any(named)
}

/// `true` for all that stand, or the name of one that the file has above.
fn healed(
    table: Fields<'_, '_>,
    value: &Value<'_>,
    so_far: &[(Duration, Division)],
) -> Result<Option<String>> {
    match value.get_ref() {
        DeValue::Boolean(true) => return Ok(None),
        DeValue::String(name) if is_taken(name, so_far) => return Ok(Some(name.to_string())),
        DeValue::String(name) => {
            let message = format!("no partition above is named `{name}`");
            return Err(table
                .error(value, message)
                .help("heal = true ends all of them"));
        }
        _ => {}
    }
    let wrong = table.wrong("heal", value, "true, or the name of a partition");
    Err(wrong.help("heal = true ends all of them"))
}

/// The sets of nodes: `[["a", "b"], ["c"]]`; a set of one may be a text, `"*"` is all others.
fn sets(
    table: Fields<'_, '_>,
    (key, value): (&'static str, &Value<'_>),
    one_way: bool,
    scene: Scene<'_>,
) -> Result<Vec<BTreeSet<String>>> {
    let like = format!("{key} = [[\"a\", \"b\"], [\"c\"]], {key} = [\"a\", \"*\"]");
    let DeValue::Array(items) = value.get_ref() else {
        return Err(table
            .wrong(key, value, "a list of sets of nodes")
            .help(like));
    };
    if items.len() < 2 || (one_way && items.len() != 2) {
        let wanted = if one_way {
            "two sets: from, to"
        } else {
            "at least two sets"
        };
        let message = format!("`{key}` names {wanted}; here are {}", items.len());
        return Err(table.error(value, message).help(like));
    }
    let mut sets = Vec::new();
    let mut all = BTreeSet::new();
    let mut rest = None;
    for item in items {
        let mut set = BTreeSet::new();
        for member in members(item) {
            let wrong = || {
                table
                    .wrong(key, member, "a list of sets of nodes")
                    .help(like.clone())
            };
            let name = member.get_ref().as_str().ok_or_else(wrong)?;
            if name == ALL_OTHERS {
                if rest.replace(sets.len()).is_some() {
                    return Err(table.error(member, "`*` can stand once: it is all other nodes"));
                }
                continue;
            }
            check_node(table, member, name, scene)?;
            if !all.insert(name.to_owned()) {
                return Err(table.error(member, format!("`{name}` stands there twice")));
            }
            set.insert(name.to_owned());
        }
        sets.push(set);
    }
    if let Some(set) = rest.and_then(|at| sets.get_mut(at)) {
        let others = scene
            .nodes
            .iter()
            .filter(|(_, node)| node.kind != NodeKind::Switch);
        let others = others.map(|(name, _)| name.clone());
        set.extend(others.filter(|name| !all.contains(name)));
    }
    match sets.iter().position(BTreeSet::is_empty) {
        Some(at) => Err(table
            .error(items.get(at).unwrap_or(value), "a set without nodes")
            .help(like)),
        None => Ok(sets),
    }
}

/// The values of a list; anything else is its own.
fn members<'d, 'i>(item: &'d Value<'i>) -> &'d [Value<'i>] {
    match item.get_ref() {
        DeValue::Array(members) => members,
        _ => std::slice::from_ref(item),
    }
}

fn check_node(
    table: Fields<'_, '_>,
    value: &Value<'_>,
    name: &str,
    scene: Scene<'_>,
) -> Result<()> {
    match scene.nodes.get(name).map(|node| node.kind) {
        Some(NodeKind::Switch) => Err(table
            .error(value, format!("`{name}` is a switch and has no address"))
            .help("name the nodes behind it, or cut its links")),
        Some(_) => Ok(()),
        None => Err(unknown_node(table, value, name, scene)),
    }
}

/// No node has this name.
pub(super) fn unknown_node(
    table: Fields<'_, '_>,
    value: &Value<'_>,
    name: &str,
    scene: Scene<'_>,
) -> super::TopologyError {
    let names = || scene.nodes.keys().map(String::as_str);
    let error = table.error(value, format!("no node is named `{name}`"));
    match nearest(name, names()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help(format!("nodes: {}", names().collect::<Vec<_>>().join(", "))),
    }
}
