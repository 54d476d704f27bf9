//! `heptad bridge mdb`: the groups that switches know, in the text and the JSON of iproute2 6.1. It only shows.
use super::ip::USAGE;
use super::ip::json::Json;
use super::print_text;
use crate::args::Bridge;
use crate::control::client::Client;
use crate::control::{Answer, Ask, NodeSwitchGroups, SwitchGroupRow, SwitchRouterRow};
use crate::failure::Failure;

/// What is shown beside the groups.
#[derive(Clone, Copy, Default)]
struct View {
    details: bool,
    statistics: bool,
}

/// Shows the groups of one switch, or of all.
pub fn bridge(bridge: &Bridge, json: bool) -> Result<u8, Failure> {
    let device = match parse(&bridge.words) {
        Ok(device) => device,
        Err(message) => {
            eprintln!("{message}");
            return Ok(USAGE);
        }
    };
    let client = Client::find(bridge.lab.as_deref())?;
    let node = device.or_else(|| bridge.node.clone());
    let Answer::SwitchGroups { nodes } = client.ask(&Ask::SwitchGroups { node })? else {
        return Err(Failure::odd_answer());
    };
    let view = View {
        details: bridge.details,
        statistics: bridge.statistics,
    };
    let text = match (bridge.pretty, bridge.as_json || json) {
        (true, _) => objects(&nodes, view).pretty() + "\n",
        (_, true) => objects(&nodes, view).compact() + "\n",
        _ => text(&nodes, view),
    };
    print_text(&text)?;
    Ok(0)
}

/// `mdb`, then `show`, then `dev SWITCH`; words may be short.
fn parse(words: &[String]) -> Result<Option<String>, String> {
    let mut words = words.iter().map(String::as_str);
    let object = words.next().unwrap_or_default();
    if object.is_empty() || !"mdb".starts_with(object) {
        return Err(format!(
            "Object \"{object}\" is unknown, try \"bridge help\"."
        ));
    }
    let rest: Vec<&str> = words.collect();
    let rest = match rest.as_slice() {
        [] => &[],
        [verb, rest @ ..] => {
            let mut known = ["show", "list", "lst"].into_iter();
            if !known.any(|known| known.starts_with(verb)) {
                return Err(format!(
                    "Command \"{verb}\" is unknown, try \"bridge mdb help\"."
                ));
            }
            rest
        }
    };
    match rest {
        [] => Ok(None),
        ["dev", device] => Ok(Some((*device).to_owned())),
        _ => {
            let rest = rest.join(" ");
            Err(format!(
                "heptad bridge mdb show: \"{rest}\" is not dev SWITCH"
            ))
        }
    }
}

/// As iproute2 writes what is left of a timer.
fn timer(millis: u64) -> String {
    format!("{:4}.{:02}", millis / 1000, millis % 1000 / 10)
}

fn text(nodes: &[NodeSwitchGroups], view: View) -> String {
    let groups = nodes.iter().flat_map(|node| {
        let line = |row| group_line(&node.node, row, view);
        node.groups.iter().map(line)
    });
    let mut text: String = groups.collect();
    if view.details {
        text.extend(nodes.iter().map(|node| router_lines(node, view)));
        text.extend(nodes.iter().map(querier_lines));
    }
    text
}

fn group_line(node: &str, row: &SwitchGroupRow, view: View) -> String {
    let SwitchGroupRow { port, group, left } = row;
    let origin = if view.details { " proto kernel " } else { "" };
    let left = match view.statistics {
        true => format!(" {}", timer(*left)),
        false => String::new(),
    };
    format!("dev {node} port {port} grp {group} temp{origin}{left}\n")
}

fn router_lines(node: &NodeSwitchGroups, view: View) -> String {
    let (name, routers) = (&node.node, &node.routers);
    if routers.is_empty() {
        return String::new();
    }
    if !view.statistics {
        let ports: String = routers.iter().map(|row| format!("{} ", row.port)).collect();
        return format!("router ports on {name}: {ports}\n");
    }
    let line = |row: &SwitchRouterRow| {
        let (left, kind) = (timer(row.left.unwrap_or(0)), kind(row));
        format!("router ports on {name}: {} {left} {kind}\n", row.port)
    };
    routers.iter().map(line).collect()
}
fn kind(row: &SwitchRouterRow) -> &'static str {
    match row.left {
        Some(_) => "temp",
        None => "permanent",
    }
}

/// Not iproute2's: who asks decides whether the groups are gone by.
fn querier_lines(node: &NodeSwitchGroups) -> String {
    let name = &node.node;
    let line = |row: &crate::control::SwitchQuerierRow| {
        let own = if row.own { " itself" } else { "" };
        let state = if row.settled {
            ""
        } else {
            ", members have time to answer"
        };
        format!("querier on {name}: {}{own}{state}\n", row.address)
    };
    let queriers = node.queriers.iter().map(line);
    let refused = match node.refused {
        0 => String::new(),
        n => format!("no room on {name}: {n} reports\n"),
    };
    queriers.chain([refused]).collect()
}

fn objects(nodes: &[NodeSwitchGroups], view: View) -> Json {
    let groups = nodes.iter().flat_map(|node| {
        let object = |row| group_object(node, row, view);
        node.groups.iter().map(object)
    });
    let with_routers = nodes
        .iter()
        .filter(|node| view.details && !node.routers.is_empty());
    let routers = with_routers.map(|node| (node.node.clone(), router_objects(node, view)));
    let mut fields = vec![
        ("mdb", Json::Array(groups.collect())),
        ("router", Json::Table(routers.collect())),
    ];
    if view.details {
        let queriers = nodes.iter().map(|node| (node.node.clone(), queriers(node)));
        fields.push(("querier", Json::Table(queriers.collect())));
        let refused = nodes
            .iter()
            .map(|node| (node.node.clone(), Json::Number(node.refused)));
        fields.push(("refused", Json::Table(refused.collect())));
    }
    Json::Array(vec![Json::Object(fields)])
}

fn group_object(node: &NodeSwitchGroups, row: &SwitchGroupRow, view: View) -> Json {
    let mut fields = vec![
        ("index", Json::Number(node.index)),
        ("dev", Json::text(&node.node)),
        ("port", Json::text(&row.port)),
        ("grp", Json::text(row.group)),
        ("state", Json::text("temp")),
    ];
    if view.details {
        fields.push(("protocol", Json::text("kernel")));
    }
    fields.push(("flags", Json::Array(Vec::new())));
    if view.statistics {
        fields.push(("timer", Json::text(timer(row.left))));
    }
    Json::Object(fields)
}

fn router_objects(node: &NodeSwitchGroups, view: View) -> Json {
    let object = |row: &SwitchRouterRow| {
        let mut fields = vec![("port", Json::text(&row.port))];
        if view.statistics {
            fields.push(("timer", Json::text(timer(row.left.unwrap_or(0)))));
            fields.push(("type", Json::text(kind(row))));
        }
        Json::Object(fields)
    };
    Json::Array(node.routers.iter().map(object).collect())
}

fn queriers(node: &NodeSwitchGroups) -> Json {
    let flag = |is: bool| if is { Json::True } else { Json::False };
    let object = |row: &crate::control::SwitchQuerierRow| {
        Json::Object(vec![
            ("address", Json::text(row.address)),
            ("own", flag(row.own)),
            ("settled", flag(row.settled)),
        ])
    };
    Json::Array(node.queriers.iter().map(object).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::SwitchQuerierRow;

    fn node() -> NodeSwitchGroups {
        let group = |port: &str, group: &str, left| SwitchGroupRow {
            port: port.into(),
            group: group.parse().expect("an address"),
            left,
        };
        let router = |port: &str, left| SwitchRouterRow {
            port: port.into(),
            left,
        };
        NodeSwitchGroups {
            node: "br0".into(),
            index: 2,
            groups: vec![
                group("v0", "239.1.1.1", 259_929),
                group("v1", "ff05::5", 9_220),
            ],
            routers: vec![router("v1", None), router("v2", Some(254_480))],
            queriers: vec![SwitchQuerierRow {
                address: "10.0.0.1".parse().expect("an address"),
                own: false,
                settled: true,
            }],
            refused: 3,
        }
    }
    const ALL: View = View {
        details: true,
        statistics: true,
    };

    #[test]
    fn lines_are_those_of_iproute2_byte_for_byte() {
        let nodes = [node()];
        let plain = "\
dev br0 port v0 grp 239.1.1.1 temp
dev br0 port v1 grp ff05::5 temp
";
        assert_eq!(text(&nodes, View::default()), plain);
        let timed = "\
dev br0 port v0 grp 239.1.1.1 temp  259.92
dev br0 port v1 grp ff05::5 temp    9.22
";
        let view = View {
            statistics: true,
            ..View::default()
        };
        assert_eq!(text(&nodes, view), timed);
        let ours = "querier on br0: 10.0.0.1\nno room on br0: 3 reports\n";
        let detailed = "dev br0 port v0 grp 239.1.1.1 temp proto kernel \n\
            dev br0 port v1 grp ff05::5 temp proto kernel \n\
            router ports on br0: v1 v2 \n";
        let view = View {
            details: true,
            ..View::default()
        };
        assert_eq!(text(&nodes, view), format!("{detailed}{ours}"));
        let all = "\
dev br0 port v0 grp 239.1.1.1 temp proto kernel   259.92
dev br0 port v1 grp ff05::5 temp proto kernel     9.22
router ports on br0: v1    0.00 permanent
router ports on br0: v2  254.48 temp
";
        assert_eq!(text(&nodes, ALL), format!("{all}{ours}"));
    }

    #[test]
    fn objects_are_those_of_iproute2_with_what_only_we_tell_behind() {
        let one = |view| objects(&[node()], view).compact();
        let plain = r#"[{"mdb":[{"index":2,"dev":"br0","port":"v0","grp":"239.1.1.1","state":"temp","flags":[]},{"index":2,"dev":"br0","port":"v1","grp":"ff05::5","state":"temp","flags":[]}],"router":{}}]"#;
        assert_eq!(one(View::default()), plain);
        let all = concat!(
            r#"[{"mdb":[{"index":2,"dev":"br0","port":"v0","grp":"239.1.1.1","state":"temp","protocol":"kernel","flags":[],"timer":" 259.92"},"#,
            r#"{"index":2,"dev":"br0","port":"v1","grp":"ff05::5","state":"temp","protocol":"kernel","flags":[],"timer":"   9.22"}],"#,
            r#""router":{"br0":[{"port":"v1","timer":"   0.00","type":"permanent"},{"port":"v2","timer":" 254.48","type":"temp"}]},"#,
            r#""querier":{"br0":[{"address":"10.0.0.1","own":false,"settled":true}]},"refused":{"br0":3}}]"#,
        );
        assert_eq!(one(ALL), all);
        let nothing = "[ {\n        \"mdb\": [ ],\n        \"router\": {}\n    } ]";
        assert_eq!(objects(&[], View::default()).pretty(), nothing);
    }

    #[test]
    fn words_are_those_of_iproute2_and_may_be_short() {
        let parsed = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            parse(&words)
        };
        for text in ["mdb", "m", "mdb show", "m sh", "mdb list", "mdb lst"] {
            assert_eq!(parsed(text), Ok(None), "{text}");
        }
        assert_eq!(parsed("mdb show dev s1"), Ok(Some("s1".into())));
        for (text, complaint) in [
            ("foo", "Object \"foo\" is unknown, try \"bridge help\"."),
            (
                "mdb add",
                "Command \"add\" is unknown, try \"bridge mdb help\".",
            ),
            (
                "mdb show s1",
                "heptad bridge mdb show: \"s1\" is not dev SWITCH",
            ),
        ] {
            assert_eq!(parsed(text), Err(complaint.to_owned()), "{text}");
        }
    }
}
