//! A lab in Rust: the lab file's own words as methods, checked by the lab file's own reader.
use core::fmt;

use heptad_stack::EventMask;
use toml::{Table, Value};

use crate::{Lab, LabError, LabOptions, Topology, TopologyError};

/// The name of what a builder writes, in complaints.
const FILE: &str = "Lab::builder()";

/// Makes a [`Lab`] node by node and cable by cable; see [`Lab::builder`].
///
/// Nothing is checked before [`LabBuilder::build`]. Its `Display` is the lab file that it amounts to, which is also what
/// the lines and columns of errors count in.
#[derive(Clone, Debug, Default)]
pub struct LabBuilder {
    options: LabOptions,
    nodes: Table,
    links: Vec<Value>,
    changes: Vec<Value>,
    script: String,
}

impl Lab {
    /// Starts to describe a lab, with seed 0.
    ///
    /// ```
    /// use heptad_lab::{Cable, Lab};
    ///
    /// let lab = Lab::builder()
    ///     .seed(42)
    ///     .host("alice", "10.0.1.10/24")
    ///     .gateway("alice", "10.0.1.1")
    ///     .host("bob", "10.0.2.20/24")
    ///     .gateway("bob", "10.0.2.1")
    ///     .router("r1")
    ///     .link("alice", "r1", Cable::new().delay("20ms").jitter("5ms").loss("5%"))
    ///     .link("r1", "bob", Cable::new().rate("10 Mbit"))
    ///     .at("3s", "r1-bob", Cable::new().down(true))
    ///     .build()?;
    /// assert_eq!(lab.machines().len(), 3);
    /// # Ok::<(), heptad_lab::LabError>(())
    /// ```
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }
}

impl LabBuilder {
    /// The one seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }
    /// Whether the event hash is kept (it is; off where speed is measured).
    pub fn event_hash(mut self, on: bool) -> Self {
        self.options.event_hash = on;
        self
    }
    /// Whether frames are recorded, for captures and watchers.
    pub fn observe(mut self, on: bool) -> Self {
        self.options.observe = on;
        self
    }
    /// Which events of hosts are recorded.
    pub fn events(mut self, events: EventMask) -> Self {
        self.options.events = events;
        self
    }

    /// A host; `address` of its `eth0`, such as `10.0.1.10/24`, `fd00:1::10/64`, or `auto`: IPv6 as a router on its cable tells.
    pub fn host(self, name: &str, address: &str) -> Self {
        self.node(name, "host").address(name, "eth0", address)
    }
    /// A router; its addresses and routes are computed, as in a lab file.
    pub fn router(self, name: &str) -> Self {
        self.node(name, "router")
    }
    /// A switch.
    pub fn switch(self, name: &str) -> Self {
        self.node(name, "switch")
    }
    /// A switch that sends every frame of a group to everybody: it does not snoop.
    pub fn without_snooping(mut self, switch: &str) -> Self {
        self.table(switch).insert("snooping".into(), false.into());
        self
    }
    /// The switch asks who is in which group, as long as nobody with a lower address does; in IPv4 from `address`, such
    /// as `10.0.1.250`, or `None`: it has none there.
    pub fn querier(mut self, switch: &str, address: Option<&str>) -> Self {
        let querier = address.map_or(Value::from(true), Value::from);
        self.table(switch).insert("querier".into(), querier);
        self
    }
    fn node(mut self, name: &str, kind: &str) -> Self {
        self.table(name).insert("kind".into(), kind.into());
        self
    }
    /// One more address of a node's port, of either family, or `auto`.
    pub fn address(mut self, node: &str, port: &str, address: &str) -> Self {
        let ports = self.table(node).entry("ports");
        let ports = ports.or_insert_with(|| Table::new().into());
        if let Value::Table(ports) = ports {
            let port = ports.entry(port).or_insert_with(|| Table::new().into());
            if let Value::Table(port) = port {
                let list = port
                    .entry("address")
                    .or_insert_with(|| Value::Array(vec![]));
                if let Value::Array(list) = list {
                    list.push(address.into());
                }
            }
        }
        self
    }
    /// A node's default gateway; one of each family is possible.
    pub fn gateway(mut self, node: &str, address: &str) -> Self {
        let list = self.table(node).entry("gateway");
        if let Value::Array(list) = list.or_insert_with(|| Value::Array(vec![])) {
            list.push(address.into());
        }
        self
    }
    /// A way out to the network of the machine around, which `Uplink` of the runtime opens; in real time.
    pub fn uplink(mut self, node: &str) -> Self {
        self.table(node).insert("uplink".into(), true.into());
        self
    }
    /// The node's `auto` ports have temporary addresses, too (RFC 8981).
    pub fn privacy(mut self, node: &str) -> Self {
        self.table(node).insert("privacy".into(), true.into());
        self
    }
    /// The node's addresses of IPv4 are asked for before they are used, announced and defended (RFC 5227).
    pub fn conflict_detection(mut self, node: &str) -> Self {
        let table = self.table(node);
        table.insert("conflict_detection".into(), true.into());
        self
    }
    /// What the node's TCP sockets begin with: `"reno"`, `"cubic"` or `"bbr"`.
    pub fn congestion(mut self, node: &str, name: &str) -> Self {
        self.table(node).insert("congestion".into(), name.into());
        self
    }
    /// A cable between two ends, `alice:eth0` or `alice` (the next free `ethN`); its name is `a-b` unless the cable has one.
    pub fn link(mut self, a: &str, b: &str, cable: Cable) -> Self {
        let mut link = cable.keys;
        link.insert("endpoints".into(), vec![Value::from(a), b.into()].into());
        self.links.push(link.into());
        self
    }
    /// From lab time `time` on a cable is different; what is not named stays.
    pub fn at(mut self, time: &str, link: &str, cable: Cable) -> Self {
        let mut change = cable.keys;
        change.insert("time".into(), time.into());
        change.insert("link".into(), link.into());
        self.changes.push(change.into());
        self
    }
    /// What happens when, or to which packet, in the lab file's own text: tables of `[[at]]` and `[[on]]`.
    pub fn script(mut self, text: &str) -> Self {
        text.clone_into(&mut self.script);
        self
    }

    /// The checked topology, named `lab`.
    pub fn topology(&self) -> Result<Topology, TopologyError> {
        let script = Some((self.script.as_str(), "script")).filter(|(text, _)| !text.is_empty());
        let mut topology = Topology::parse_scripted(&self.to_string(), FILE, script)?;
        topology.name = "lab".to_owned();
        Ok(topology)
    }
    /// The lab. Errors are those of a lab file.
    pub fn build(self) -> Result<Lab, LabError> {
        let topology = self.topology()?;
        Lab::new(&topology, self.options)
    }

    fn table(&mut self, node: &str) -> &mut Table {
        let table = self
            .nodes
            .entry(node)
            .or_insert_with(|| Table::new().into());
        match table {
            Value::Table(table) => table,
            _ => unreachable!("a node is made as a table and stays one"),
        }
    }
}

/// As a lab file, without its script.
impl fmt::Display for LabBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut file = Table::new();
        file.insert("nodes".into(), self.nodes.clone().into());
        for (key, list) in [("links", &self.links), ("at", &self.changes)] {
            if !list.is_empty() {
                file.insert(key.into(), list.clone().into());
            }
        }
        write!(f, "{file}")
    }
}

/// What a cable does to frames: the keys of `[[links]]` in a lab file as methods, quantities as they are written there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cable {
    keys: Table,
}
impl Cable {
    /// A cable without a delay or a fault.
    pub fn new() -> Self {
        Self::default()
    }
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.keys.insert(key.into(), value.into());
        self
    }
    /// Its name.
    pub fn name(self, name: &str) -> Self {
        self.with("name", name)
    }
    /// Propagation: `20ms`.
    pub fn delay(self, time: &str) -> Self {
        self.with("delay", time)
    }
    /// Uniform around the delay, ±: `5ms`. Never reorders.
    pub fn jitter(self, time: &str) -> Self {
        self.with("jitter", time)
    }
    /// Each frame is lost with this probability: `5%`.
    pub fn loss(self, percentage: &str) -> Self {
        self.with("loss", percentage)
    }
    /// Loses the n-th frames, counted from 1.
    pub fn lose_nth(self, frames: &[u32]) -> Self {
        let list: Vec<Value> = frames.iter().map(|&n| i64::from(n).into()).collect();
        let mut loss = Table::new();
        loss.insert("nth".into(), list.into());
        self.with("loss", loss)
    }
    /// Loses every n-th frame.
    pub fn lose_every(self, n: u32) -> Self {
        let mut loss = Table::new();
        loss.insert("every".into(), i64::from(n).into());
        self.with("loss", loss)
    }
    /// Loses in bursts (Gilbert-Elliott): turns bad with probability `p` a frame, good again with `r`; all is lost while bad.
    pub fn lose_in_bursts(self, p: &str, r: &str) -> Self {
        let mut loss = Table::new();
        loss.insert("p".into(), p.into());
        loss.insert("r".into(), r.into());
        self.with("loss", loss)
    }
    /// Probability of a duplicate: `1%`.
    pub fn duplicate(self, percentage: &str) -> Self {
        self.with("duplicate", percentage)
    }
    /// Probability of a flipped bit that the frame check sequence tells.
    pub fn corrupt(self, percentage: &str) -> Self {
        self.with("corrupt", percentage)
    }
    /// Probability of a flipped bit that slips past the frame check sequence.
    pub fn corrupt_undetected(self, percentage: &str) -> Self {
        self.with("corrupt_undetected", percentage)
    }
    /// Probability that a frame is held back for a millisecond.
    pub fn reorder(self, percentage: &str) -> Self {
        self.with("reorder", percentage)
    }
    /// Bits a second: `10 Mbit`.
    pub fn rate(self, rate: &str) -> Self {
        self.with("rate", rate)
    }
    /// Most frames that wait for the rate.
    pub fn queue(self, frames: u32) -> Self {
        self.with("queue", i64::from(frames))
    }
    /// ECN-capable packets that find so many frames waiting are marked.
    pub fn mark(self, frames: u32) -> Self {
        self.with("mark", i64::from(frames))
    }
    /// Largest network packet, bytes.
    pub fn mtu(self, bytes: u32) -> Self {
        self.with("mtu", i64::from(bytes))
    }
    /// Whether nothing passes.
    pub fn down(self, down: bool) -> Self {
        self.with("down", down)
    }
    /// Values for the direction from the first end to the second only.
    pub fn forward(self, cable: Cable) -> Self {
        self.with("forward", cable.keys)
    }
    /// Values for the direction from the second end to the first only.
    pub fn backward(self, cable: Cable) -> Self {
        self.with("backward", cable.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_hosts() -> LabBuilder {
        Lab::builder()
            .host("alice", "10.0.0.1/24")
            .host("bob", "10.0.0.2/24")
    }

    #[test]
    fn a_builder_makes_what_the_lab_file_makes() {
        let file = r#"
            [nodes.alice]
            address = "10.0.1.10/24"
            gateway = "10.0.1.1"
            [nodes.bob]
            address = ["10.0.2.20/24", "10.0.2.21/24"]
            gateway = "10.0.2.1"
            [nodes.r1]
            kind = "router"
            [[links]]
            endpoints = ["alice:eth0", "r1"]
            name = "uplink"
            delay = "20ms"
            loss = { nth = [3, 7] }
            backward = { loss = "5%" }
            mtu = 1400
            [[links]]
            endpoints = ["r1", "bob"]
            rate = "10 Mbit"
            queue = 10
            [[at]]
            time = "3s"
            link = "r1-bob"
            down = true
        "#;
        let built = Lab::builder()
            .host("alice", "10.0.1.10/24")
            .gateway("alice", "10.0.1.1")
            .host("bob", "10.0.2.20/24")
            .address("bob", "eth0", "10.0.2.21/24")
            .gateway("bob", "10.0.2.1")
            .router("r1")
            .link(
                "alice:eth0",
                "r1",
                Cable::new()
                    .name("uplink")
                    .delay("20ms")
                    .lose_nth(&[3, 7])
                    .backward(Cable::new().loss("5%"))
                    .mtu(1400),
            )
            .link("r1", "bob", Cable::new().rate("10 Mbit").queue(10))
            .at("3s", "r1-bob", Cable::new().down(true))
            .topology()
            .expect("a lab");
        let mut read = Topology::parse(file, "lab.toml").expect("a lab");
        read.sha256.clone_from(&built.sha256);
        assert_eq!(built, read);
    }

    #[test]
    fn every_key_of_a_cable_is_one_that_the_file_knows() {
        let cable = Cable::new()
            .delay("1ms")
            .jitter("1ms")
            .lose_in_bursts("1%", "20%")
            .duplicate("1%")
            .corrupt("1%")
            .corrupt_undetected("1%")
            .reorder("1%")
            .forward(Cable::new().lose_every(10));
        let lab = two_hosts().link("alice", "bob", cable);
        let topology = lab.topology().expect("a lab");
        assert_eq!(
            topology.links[0].forward.loss,
            crate::topology::Loss::Every(10)
        );
        assert_eq!(topology.links[0].backward.reorder, 0.01);
    }

    #[test]
    fn a_script_adds_events_and_is_complained_about_by_its_own_lines() {
        let lab = || two_hosts().link("alice", "bob", Cable::new());
        let with = lab().script("[[on]]\npacket = \"syn\"\nnth = 3\ndo = \"drop\"");
        assert_eq!(with.topology().expect("a lab").rules.len(), 1);
        let wrong = lab().script("[[on]]\ndo = \"drip\"").topology();
        assert!(
            wrong
                .unwrap_err()
                .to_string()
                .starts_with("script:2:6: `drip`")
        );
    }

    #[test]
    fn a_switch_snoops_unless_it_is_told_not_to_and_asks_if_it_is_told_to() {
        use core::net::Ipv4Addr;
        let lab = two_hosts()
            .switch("s")
            .switch("t")
            .switch("u")
            .switch("v")
            .without_snooping("t")
            .querier("u", None)
            .querier("v", Some("10.0.0.250"));
        let cabled = lab
            .link("alice", "s", Cable::new())
            .link("s", "t", Cable::new())
            .link("t", "u", Cable::new())
            .link("u", "v", Cable::new())
            .link("v", "bob", Cable::new());
        let topology = cabled.topology().expect("a lab");
        for (name, snooping, querier) in [
            ("s", true, None),
            ("t", false, None),
            ("u", true, Some(Ipv4Addr::UNSPECIFIED)),
            ("v", true, Some(Ipv4Addr::new(10, 0, 0, 250))),
        ] {
            let expected = crate::topology::Multicast { snooping, querier };
            assert_eq!(topology.nodes[name].multicast, expected, "{name}");
        }
    }

    #[test]
    fn what_a_lab_file_may_not_say_a_builder_may_not_either() {
        let rows = [
            (two_hosts().link("alice", "carol", Cable::new()), "carol"),
            (
                two_hosts().link("alice", "bob", Cable::new().loss("140%")),
                "140 % is more than 100 %",
            ),
            (
                two_hosts().link("alice", "bob", Cable::new().delay("20")),
                "has no unit",
            ),
            (
                Lab::builder().host("a\n[x]", "10.0.0.1/24"),
                "can't be a name",
            ),
            (two_hosts().host("carol", "10.0.0.300/24"), "not an address"),
        ];
        for (builder, expected) in rows {
            let error = builder.build().err().expect(expected).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.starts_with("Lab::builder():"), "{error}");
        }
    }
}
