//! `heptad ip`: addresses, routes, neighbours and links in the text and the JSON of iproute2 6.1. It only shows.
use super::netstat::print_nodes;
use super::print_text;
use crate::args::Ip;
use crate::control::client::Client;
use crate::control::{Answer, Ask, IpVersion};
use crate::failure::Failure;

mod address;
pub(super) mod json;
mod neighbour;
mod route;

use json::Json;

/// ip's code for words that it does not know, and for options.
pub const USAGE: u8 = 255;
/// ip's code for objects and devices that are not there.
const NOT_THERE: u8 = 1;
/// iproute2's options of more than one letter behind one dash, in words that the command line takes.
const LONG: &[(&str, &str)] = &[
    ("-br", "--brief"),
    ("-brief", "--brief"),
    ("-json", "-j"),
    ("-pretty", "--pretty"),
    ("-details", "--details"),
    ("-statistics", "--statistics"),
    ("-stats", "--statistics"),
    ("-4", "-4"),
    ("-6", "-6"),
];

/// What is shown, and how.
pub struct View {
    /// Only this device.
    pub device: Option<String>,
    /// Only of this version.
    pub version: Option<IpVersion>,
    /// A line for each.
    pub brief: bool,
}

/// What one node has.
pub struct Shown {
    /// Its name.
    pub node: String,
    /// For people.
    pub text: String,
    /// For programs: iproute2's objects.
    pub objects: Vec<Json>,
}

/// An object of iproute2's, by its name or the beginning of that.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Object {
    Address,
    Route,
    Neighbour,
    Link,
}
impl Object {
    /// In the order in which iproute2 tries abbreviations.
    const ALL: [(&str, Self); 4] = [
        ("address", Self::Address),
        ("route", Self::Route),
        ("neighbour", Self::Neighbour),
        ("link", Self::Link),
    ];
    fn parse(word: &str) -> Option<Self> {
        let word = if word == "neighbor" {
            "neighbour"
        } else {
            word
        };
        let found = Self::ALL.iter().find(|(name, _)| name.starts_with(word));
        found
            .filter(|_| !word.is_empty())
            .map(|(_, object)| *object)
    }
    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, object)| *object == self);
        found.map_or("", |(name, _)| name)
    }
}

/// iproute2's long options as the command line knows them, behind `ip` and `bridge` only.
pub fn words(words: impl Iterator<Item = std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut words: Vec<_> = words.collect();
    let is_iproute2 = |word: &std::ffi::OsString| word == "ip" || word == "bridge";
    if words.get(1).is_some_and(is_iproute2) {
        for word in words.iter_mut().skip(2) {
            if let Some((_, ours)) = LONG.iter().find(|(theirs, _)| word == theirs) {
                *word = ours.into();
            }
        }
    }
    words
}

/// Shows what the words ask for, of one node or of all, each under its name.
pub fn ip(ip: &Ip, json: bool) -> Result<u8, Failure> {
    let (object, device) = match parse(&ip.words) {
        Ok(asked) => asked,
        Err((code, message)) => {
            eprintln!("{message}");
            return Ok(code);
        }
    };
    let client = Client::find(ip.lab.as_deref())?;
    let view = View {
        device,
        version: IpVersion::asked(ip.v4, ip.v6),
        brief: ip.brief,
    };
    let ports = addresses(&client, ip.node.as_deref())?;
    if let Some(device) = &view.device {
        let mut all = ports.iter().flat_map(|node| &node.ports);
        if !all.any(|port| port.port == *device) {
            eprintln!("{}", no_device(object, device));
            return Ok(NOT_THERE);
        }
    }
    let shown: Vec<Shown> = match object {
        Object::Address => ports
            .iter()
            .map(|node| address::show(node, &view))
            .collect(),
        Object::Link => ports
            .iter()
            .map(|node| address::links(node, &view))
            .collect(),
        Object::Route => route::show(&client, ip.node.clone(), &view)?,
        Object::Neighbour => neighbour::show(&client, ip.node.clone(), &view)?,
    };
    if ip.as_json || ip.pretty || json {
        let all = all_objects(shown, ip.node.is_some());
        let text = if ip.pretty {
            all.pretty()
        } else {
            all.compact()
        };
        print_text(&(text + "\n"))?;
        return Ok(0);
    }
    let texts = shown
        .iter()
        .map(|node| (node.node.as_str(), node.text.clone()));
    print_nodes(texts, ip.node.is_some())?;
    Ok(0)
}

/// One array, as iproute2 has it; of several nodes, each object begins with its node's name.
fn all_objects(shown: Vec<Shown>, only_one: bool) -> Json {
    let mut all = Vec::new();
    for Shown { node, objects, .. } in shown {
        for object in objects {
            all.push(match object {
                Json::Object(mut fields) if !only_one => {
                    fields.insert(0, ("node", Json::text(&node)));
                    Json::Object(fields)
                }
                other => other,
            });
        }
    }
    Json::Array(all)
}

fn addresses(
    client: &Client,
    node: Option<&str>,
) -> Result<Vec<crate::control::NodeAddresses>, Failure> {
    let node = node.map(str::to_owned);
    match client.ask(&Ask::Addresses { node })? {
        Answer::Addresses { nodes } => Ok(nodes),
        _ => Err(Failure::odd_answer()),
    }
}

fn no_device(object: Object, device: &str) -> String {
    match object {
        Object::Address | Object::Link => format!("Device \"{device}\" does not exist."),
        Object::Route | Object::Neighbour => format!("Cannot find device \"{device}\""),
    }
}

/// Object, then `show`, then `dev NAME` (of addresses and links also the name alone).
fn parse(words: &[String]) -> Result<(Object, Option<String>), (u8, String)> {
    let mut words = words.iter().map(String::as_str);
    let first = words.next().unwrap_or_default();
    let object = Object::parse(first).ok_or_else(|| {
        let message = format!("Object \"{first}\" is unknown, try \"ip help\".");
        (NOT_THERE, message)
    })?;
    let mut rest: Vec<&str> = words.collect();
    if let Some(verb) = rest.first() {
        if !["show", "list", "lst"]
            .iter()
            .any(|known| known.starts_with(verb))
        {
            let name = object.name();
            let message = format!("Command \"{verb}\" is unknown, try \"ip {name} help\".");
            return Err((USAGE, message));
        }
        rest.remove(0);
    }
    let by_name = matches!(object, Object::Address | Object::Link);
    match rest.as_slice() {
        [] => Ok((object, None)),
        ["dev", device] => Ok((object, Some((*device).to_owned()))),
        [device] if by_name && *device != "dev" => Ok((object, Some((*device).to_owned()))),
        _ => {
            let name = object.name();
            let rest = rest.join(" ");
            let message = format!("heptad ip {name} show: \"{rest}\" is not dev DEVICE");
            Err((USAGE, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Object, Option<String>), (u8, String)> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn words_are_those_of_iproute2_and_may_be_short() {
        for (text, object, device) in [
            ("addr", Object::Address, None),
            ("a", Object::Address, None),
            ("address list", Object::Address, None),
            ("addr show dev eth0", Object::Address, Some("eth0")),
            ("addr sh eth0", Object::Address, Some("eth0")),
            ("r", Object::Route, None),
            ("route show dev eth1", Object::Route, Some("eth1")),
            ("n", Object::Neighbour, None),
            ("neighbor", Object::Neighbour, None),
            ("l", Object::Link, None),
        ] {
            let expected = Ok((object, device.map(str::to_owned)));
            assert_eq!(parsed(text), expected, "{text}");
        }
        for (text, code, message) in [
            ("foo", 1, "Object \"foo\" is unknown, try \"ip help\"."),
            (
                "addr add",
                255,
                "Command \"add\" is unknown, try \"ip address help\".",
            ),
            (
                "route show eth0",
                255,
                "heptad ip route show: \"eth0\" is not dev DEVICE",
            ),
        ] {
            assert_eq!(parsed(text), Err((code, message.to_owned())), "{text}");
        }
    }

    #[test]
    fn long_options_of_one_dash_are_known_behind_iproute2s_commands_only() {
        let of = |text: &str| -> Vec<String> {
            let given = text.split(' ').map(std::ffi::OsString::from);
            let words = words(given).into_iter();
            words
                .map(|word| word.to_string_lossy().into_owned())
                .collect()
        };
        let expected = ["heptad", "ip", "--brief", "-j", "addr"];
        assert_eq!(of("heptad ip -br -json addr"), expected);
        let expected = ["heptad", "bridge", "--details", "mdb"];
        assert_eq!(of("heptad bridge -details mdb"), expected);
        assert_eq!(of("heptad ping -br bob"), ["heptad", "ping", "-br", "bob"]);
    }

    #[test]
    fn of_several_nodes_each_object_begins_with_its_node() {
        let shown = || {
            ["alice", "bob"].map(|node| Shown {
                node: node.into(),
                text: String::new(),
                objects: vec![Json::Object(vec![("dst", Json::text("default"))])],
            })
        };
        let all = all_objects(shown().into(), false).compact();
        let expected =
            "[{\"node\":\"alice\",\"dst\":\"default\"},{\"node\":\"bob\",\"dst\":\"default\"}]";
        assert_eq!(all, expected);
        let one = all_objects(shown().into_iter().take(1).collect(), true);
        assert_eq!(one.compact(), "[{\"dst\":\"default\"}]");
    }
}
