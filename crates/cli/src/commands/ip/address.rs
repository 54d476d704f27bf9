//! `ip addr` and `ip link`: devices, and what addresses they have.
use std::net::IpAddr;

use super::json::Json;
use super::{Shown, View};
use crate::control::{AddressRow, IpVersion, NodeAddresses, PortRow};

/// How iproute2's JSON says that a life does not end.
const FOR_EVER: u64 = u32::MAX as u64;

/// A device as Linux would see it.
struct Device<'a> {
    index: u64,
    port: &'a PortRow,
    flags: &'static [&'static str],
    kind: &'static str,
    state: &'static str,
    queue: &'static str,
    length: u64,
    mac: Option<&'a str>,
    broadcast: &'static str,
}
impl<'a> Device<'a> {
    fn of(index: usize, port: &'a PortRow) -> Self {
        let ethernet = Self {
            index: index as u64 + 1,
            port,
            flags: &["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            kind: "ether",
            state: "UP",
            queue: "noqueue",
            length: 1000,
            mac: port.mac.as_deref(),
            broadcast: "ff:ff:ff:ff:ff:ff",
        };
        match (port.port.as_str(), &port.mac) {
            ("lo", _) => Self {
                flags: &["LOOPBACK", "UP", "LOWER_UP"],
                kind: "loopback",
                state: "UNKNOWN",
                mac: Some("00:00:00:00:00:00"),
                broadcast: "00:00:00:00:00:00",
                ..ethernet
            },
            (_, Some(_)) => ethernet,
            (_, None) => Self {
                flags: &["POINTOPOINT", "MULTICAST", "NOARP", "UP", "LOWER_UP"],
                kind: "none",
                state: "UNKNOWN",
                length: 500,
                ..ethernet
            },
        }
    }

    /// The first line. Of IPv6 alone iproute2 knows less of a device. `mode`: what `link` has in between.
    fn head(&self, view: &View, mode: &str) -> String {
        let Self {
            index,
            port,
            state,
            queue,
            length,
            ..
        } = self;
        let known = view.version != Some(IpVersion::V6) || !mode.is_empty();
        let (queue, group) = match known {
            true => (format!(" qdisc {queue}"), " group default"),
            false => (String::new(), ""),
        };
        let flags = self.flags.join(",");
        format!(
            "{index}: {}: <{flags}> mtu {}{queue} state {state}{mode}{group} qlen {length}\n",
            port.port, port.mtu
        )
    }
    /// The second line.
    fn link_layer(&self) -> String {
        match self.mac {
            Some(mac) => format!("    link/{} {mac} brd {}\n", self.kind, self.broadcast),
            None => format!("    link/{} \n", self.kind),
        }
    }
    fn object(&self, view: &View, mode: Option<&'static str>) -> Vec<(&'static str, Json)> {
        let known = view.version != Some(IpVersion::V6) || mode.is_some();
        let mut fields = vec![
            ("ifindex", Json::Number(self.index)),
            ("ifname", Json::text(&self.port.port)),
            ("flags", Json::texts(self.flags)),
            ("mtu", Json::Number(self.port.mtu.into())),
        ];
        if known {
            fields.push(("qdisc", Json::text(self.queue)));
        }
        fields.push(("operstate", Json::text(self.state)));
        if let Some(mode) = mode {
            fields.push(("linkmode", Json::text(mode)));
        }
        if known {
            fields.push(("group", Json::text("default")));
        }
        fields.push(("txqlen", Json::Number(self.length)));
        if view.version.is_none() || mode.is_some() {
            fields.push(("link_type", Json::text(self.kind)));
            if let Some(mac) = self.mac {
                fields.push(("address", Json::text(mac)));
                fields.push(("broadcast", Json::text(self.broadcast)));
            }
        }
        fields
    }
    /// The beginning of a line of `-br`.
    fn brief(&self) -> String {
        format!("{:<16} {:<14} ", self.port.port, self.state)
    }
}

fn devices<'a>(node: &'a NodeAddresses, view: &'a View) -> impl Iterator<Item = Device<'a>> {
    let wanted = |port: &&PortRow| view.device.as_ref().is_none_or(|name| *name == port.port);
    let all = node.ports.iter().enumerate();
    all.filter(move |(_, port)| wanted(port))
        .map(|(index, port)| Device::of(index, port))
}

/// `ip link`.
pub fn links(node: &NodeAddresses, view: &View) -> Shown {
    let (mut text, mut objects) = (String::new(), Vec::new());
    for device in devices(node, view) {
        if view.brief {
            let (mac, flags) = (device.mac.unwrap_or_default(), device.flags.join(","));
            text += &format!("{}{mac} <{flags}> \n", device.brief());
            let mut fields = brief_object(&device);
            fields.extend(device.mac.map(|mac| ("address", Json::text(mac))));
            fields.push(("flags", Json::texts(device.flags)));
            objects.push(Json::Object(fields));
            continue;
        }
        text += &device.head(view, " mode DEFAULT");
        text += &device.link_layer();
        objects.push(Json::Object(device.object(view, Some("DEFAULT"))));
    }
    let node = node.node.clone();
    Shown {
        node,
        text,
        objects,
    }
}

/// `ip addr`. Of one version alone, devices without such an address are left out.
pub fn show(node: &NodeAddresses, view: &View) -> Shown {
    let (mut text, mut objects) = (String::new(), Vec::new());
    for device in devices(node, view) {
        let name = &device.port.port;
        let mut rows: Vec<&AddressRow> = node.addresses.iter().collect();
        rows.retain(|row| row.port == *name && is_wanted(row.address, view));
        if rows.is_empty() && view.version.is_some() {
            continue;
        }
        if view.brief {
            let each = rows
                .iter()
                .map(|row| format!("{}/{} ", row.address, row.prefix_len));
            text += &format!("{}{}\n", device.brief(), each.collect::<String>());
            let mut fields = brief_object(&device);
            let each = rows.iter().map(|row| {
                Json::Object(vec![
                    ("local", Json::text(row.address)),
                    ("prefixlen", Json::Number(row.prefix_len.into())),
                ])
            });
            fields.push(("addr_info", Json::Array(each.collect())));
            objects.push(Json::Object(fields));
            continue;
        }
        text += &device.head(view, "");
        if view.version.is_none() {
            text += &device.link_layer();
        }
        text.extend(rows.iter().map(|row| address_text(row)));
        let mut fields = device.object(view, None);
        let each = rows.iter().map(|row| address_object(row));
        fields.push(("addr_info", Json::Array(each.collect())));
        objects.push(Json::Object(fields));
    }
    let node = node.node.clone();
    Shown {
        node,
        text,
        objects,
    }
}

fn brief_object(device: &Device<'_>) -> Vec<(&'static str, Json)> {
    vec![
        ("ifname", Json::text(&device.port.port)),
        ("operstate", Json::text(device.state)),
    ]
}

/// Whether an address is of the version that is asked for.
pub fn is_wanted(address: IpAddr, view: &View) -> bool {
    match view.version {
        None => true,
        Some(IpVersion::V4) => address.is_ipv4(),
        Some(IpVersion::V6) => address.is_ipv6(),
    }
}

/// How far an address means something (ip-address(8): scope).
fn scope(address: IpAddr) -> &'static str {
    let on_link = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    match address.is_loopback() {
        true => "host",
        false if on_link => "link",
        false => "global",
    }
}

fn address_text(row: &AddressRow) -> String {
    let AddressRow {
        port,
        address,
        prefix_len,
        flags,
        valid,
        preferred,
    } = row;
    let (family, label) = match address {
        IpAddr::V4(_) => ("inet", port.as_str()),
        IpAddr::V6(_) => ("inet6", ""),
    };
    let flags: String = flags.iter().map(|flag| format!("{flag} ")).collect();
    let life = |seconds: &Option<u64>| match seconds {
        Some(seconds) => format!("{seconds}sec"),
        None => "forever".to_owned(),
    };
    format!(
        "    {family} {address}/{prefix_len} scope {} {flags}{label}\n       \
         valid_lft {} preferred_lft {}\n",
        scope(*address),
        life(valid),
        life(preferred)
    )
}

/// The flags that Linux's JSON has.
const FLAGS: [&str; 8] = [
    "temporary",
    "optimistic",
    "dadfailed",
    "deprecated",
    "tentative",
    "dynamic",
    "mngtmpaddr",
    "stable-privacy",
];

fn address_object(row: &AddressRow) -> Json {
    let family = if row.address.is_ipv4() {
        "inet"
    } else {
        "inet6"
    };
    let mut fields = vec![
        ("family", Json::text(family)),
        ("local", Json::text(row.address)),
        ("prefixlen", Json::Number(row.prefix_len.into())),
        ("scope", Json::text(scope(row.address))),
    ];
    let named = FLAGS
        .iter()
        .filter(|flag| row.flags.iter().any(|own| own == *flag));
    fields.extend(named.map(|flag| (*flag, Json::True)));
    if row.address.is_ipv4() {
        fields.push(("label", Json::text(&row.port)));
    }
    let life = |seconds: Option<u64>| Json::Number(seconds.unwrap_or(FOR_EVER));
    fields.push(("valid_life_time", life(row.valid)));
    fields.push(("preferred_life_time", life(row.preferred)));
    Json::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, mac: Option<&str>, mtu: u32) -> PortRow {
        PortRow {
            port: name.into(),
            mac: mac.map(str::to_owned),
            mtu,
            rx_ok: 0,
            rx_err: 0,
            rx_drop: 0,
            rx_bytes: 0,
            tx_ok: 0,
            tx_err: 0,
            tx_drop: 0,
            tx_bytes: 0,
        }
    }
    fn address(port: &str, address: &str, prefix_len: u8) -> AddressRow {
        AddressRow {
            port: port.into(),
            address: address.parse().expect("an address"),
            prefix_len,
            flags: Vec::new(),
            valid: None,
            preferred: None,
        }
    }
    fn node() -> NodeAddresses {
        let deprecated = AddressRow {
            flags: vec!["deprecated".into(), "dynamic".into()],
            valid: Some(998),
            preferred: Some(0),
            ..address("eth0", "fd00:3::10", 64)
        };
        NodeAddresses {
            node: "alice".into(),
            ports: vec![
                port("lo", None, 65_536),
                port("eth0", Some("02:00:00:01:00:00"), 1_500),
                port("tun0", None, 1_400),
            ],
            addresses: vec![
                address("lo", "127.0.0.1", 8),
                address("lo", "::1", 128),
                address("eth0", "192.0.2.10", 24),
                deprecated,
                address("eth0", "fe80::ff:fe01:0", 64),
            ],
        }
    }
    fn view(device: Option<&str>, version: Option<IpVersion>, brief: bool) -> View {
        View {
            device: device.map(str::to_owned),
            version,
            brief,
        }
    }

    #[test]
    fn addresses_are_those_of_iproute2_byte_for_byte() {
        let expected = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
    inet6 ::1/128 scope host \n       valid_lft forever preferred_lft forever
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether 02:00:00:01:00:00 brd ff:ff:ff:ff:ff:ff
    inet 192.0.2.10/24 scope global eth0
       valid_lft forever preferred_lft forever
    inet6 fd00:3::10/64 scope global deprecated dynamic \n       valid_lft 998sec preferred_lft 0sec
    inet6 fe80::ff:fe01:0/64 scope link \n       valid_lft forever preferred_lft forever
3: tun0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1400 qdisc noqueue state UNKNOWN group default qlen 500
    link/none \n";
        assert_eq!(show(&node(), &view(None, None, false)).text, expected);
        let v6 = show(&node(), &view(Some("lo"), Some(IpVersion::V6), false));
        let expected = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN qlen 1000
    inet6 ::1/128 scope host \n       valid_lft forever preferred_lft forever\n";
        assert_eq!(v6.text, expected);
    }

    #[test]
    fn their_json_is_that_of_iproute2() {
        let shown = show(&node(), &view(Some("eth0"), None, false));
        let expected = r#"[{"ifindex":2,"ifname":"eth0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"qdisc":"noqueue","operstate":"UP","group":"default","txqlen":1000,"link_type":"ether","address":"02:00:00:01:00:00","broadcast":"ff:ff:ff:ff:ff:ff","addr_info":[{"family":"inet","local":"192.0.2.10","prefixlen":24,"scope":"global","label":"eth0","valid_life_time":4294967295,"preferred_life_time":4294967295},{"family":"inet6","local":"fd00:3::10","prefixlen":64,"scope":"global","deprecated":true,"dynamic":true,"valid_life_time":998,"preferred_life_time":0},{"family":"inet6","local":"fe80::ff:fe01:0","prefixlen":64,"scope":"link","valid_life_time":4294967295,"preferred_life_time":4294967295}]}]"#;
        assert_eq!(Json::Array(shown.objects).compact(), expected);
        let v6 = show(&node(), &view(Some("lo"), Some(IpVersion::V6), false));
        let expected = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"operstate":"UNKNOWN","txqlen":1000,"addr_info":[{"family":"inet6","local":"::1","prefixlen":128,"scope":"host","valid_life_time":4294967295,"preferred_life_time":4294967295}]}]"#;
        assert_eq!(Json::Array(v6.objects).compact(), expected);
    }

    #[test]
    fn in_brief_each_device_is_a_line() {
        let addresses = show(&node(), &view(None, None, true));
        let expected = "\
lo               UNKNOWN        127.0.0.1/8 ::1/128 \n\
eth0             UP             192.0.2.10/24 fd00:3::10/64 fe80::ff:fe01:0/64 \n\
tun0             UNKNOWN        \n";
        assert_eq!(addresses.text, expected);
        let links = links(&node(), &view(Some("eth0"), None, true));
        let expected = "eth0             UP             02:00:00:01:00:00 <BROADCAST,MULTICAST,UP,LOWER_UP> \n";
        assert_eq!(links.text, expected);
        let expected = r#"[{"ifname":"eth0","operstate":"UP","address":"02:00:00:01:00:00","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"]}]"#;
        assert_eq!(Json::Array(links.objects).compact(), expected);
    }

    #[test]
    fn links_are_those_of_iproute2() {
        let links = links(&node(), &view(Some("eth0"), Some(IpVersion::V6), false));
        let expected = "\
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000
    link/ether 02:00:00:01:00:00 brd ff:ff:ff:ff:ff:ff\n";
        assert_eq!(links.text, expected);
        let expected = r#"[{"ifindex":2,"ifname":"eth0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"qdisc":"noqueue","operstate":"UP","linkmode":"DEFAULT","group":"default","txqlen":1000,"link_type":"ether","address":"02:00:00:01:00:00","broadcast":"ff:ff:ff:ff:ff:ff"}]"#;
        assert_eq!(Json::Array(links.objects).compact(), expected);
    }
}
