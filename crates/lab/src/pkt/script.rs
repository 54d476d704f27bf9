//! What a script says: its settings, and what happens when.
use core::time::Duration;

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// `--name=value` lines in front, without the dashes.
    pub options: Vec<(String, Option<String>)>,
    /// In the order of the file. The commands before the first event and behind the last one are among them.
    pub events: Vec<Event>,
}

/// One line that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Of the file, from 1.
    pub line: u32,
    /// When.
    pub at: When,
    /// What.
    pub what: What,
}

/// When an event is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the script's begin.
    Absolute(Duration),
    /// At some time between the two.
    AbsoluteRange(Duration, Duration),
    /// So long after the event before.
    Relative(Duration),
    /// At some time between the two after the event before.
    RelativeRange(Duration, Duration),
    /// Whenever it comes (`*`).
    Any,
}

/// What happens, or is to happen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The peer sends this.
    Inbound(PacketSpec),
    /// We are to send this.
    Outbound(PacketSpec),
    /// The program calls, and is to be answered so.
    Call(Call),
    /// `%{ }%`: assertions about a connection.
    Code(String),
    /// `` ` ` ``: named settings.
    Command(String),
}

/// A packet as a script writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketSpec {
    /// In square brackets in front.
    pub ip: IpSpec,
    /// `40000 > 8080`: others than the connection's.
    pub ports: Option<(u16, u16)>,
    /// What it carries.
    pub carries: Carried,
}

/// The part of the IP header that a script may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpSpec {
    /// Of the DS field.
    pub tos: TosSpec,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// IPv6.
    pub flow_label: Option<u32>,
}
/// What is said of the DS field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TosSpec {
    /// Nothing: zero is sent, anything may come.
    #[default]
    Unsaid,
    /// The two bits of ECN.
    Ecn(u8),
    /// One of the two capable codepoints.
    Capable,
    /// The whole field.
    Whole(u8),
}

/// What an IP packet of a script carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// A segment.
    Tcp(TcpSpec),
    /// A datagram of so many bytes.
    Udp(u16),
    /// An ICMP message.
    Icmp(IcmpSpec),
}

/// A segment as a script writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpSpec {
    /// Control bits as letters, in the script's order.
    pub flags: FlagSpec,
    /// First sequence number.
    pub seq: u32,
    /// Bytes of payload.
    pub len: u32,
    /// `ack`, 0 if unsaid.
    pub ack: u32,
    /// `win`.
    pub window: Option<u16>,
    /// `urg`, 0 if unsaid.
    pub urgent: u16,
    /// `None`: `<...>`, whatever they are.
    pub options: Option<Vec<OptionSpec>>,
}
/// Control bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagSpec {
    /// All that are set.
    pub bits: u16,
    /// Whether the three of ECN were given as a number (RFC 9768's ACE field).
    pub is_ace: bool,
}
/// An option of TCP as a script writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words of scripts
pub enum OptionSpec {
    Nop,
    End,
    Mss(u16),
    WindowScale(u8),
    SackOk,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        value: u32,
        echo: u32,
    },
    FastOpen(Vec<u8>),
    /// AccECN: the fields in their order, and whether ECT(1) comes first.
    Counters {
        ect1_first: bool,
        fields: Vec<u32>,
    },
    /// Of the experimental kind 254 with its magic number.
    FastOpenExperimental(Vec<u8>),
}

/// An ICMP message as a script writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpSpec {
    /// Its type by name.
    pub kind: String,
    /// Its code by name.
    pub code: Option<String>,
    /// `mtu`.
    pub mtu: Option<u32>,
    /// `id` of an echo.
    pub id: u16,
    /// What it quotes.
    pub quoted: Quoted,
}
/// The packet in an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// A segment: first sequence number and bytes of payload.
    Tcp(u32, u32),
    /// A datagram of so many bytes.
    Udp(u32),
    /// So many bytes behind the header.
    Raw(u32),
}

/// A call of the program's and what it is to return.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// It may block until then, counted as the event's own time is.
    pub end: Option<Duration>,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
    /// What it is to return.
    pub result: Value,
    /// The error that it is to set.
    pub errno: Option<String>,
}

/// An argument or a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `...`: whatever fits.
    Ellipsis,
    /// A number.
    Int(i64),
    /// A name of a number.
    Word(String),
    /// Text in quotes.
    Text(Vec<u8>),
    /// `a|b`.
    Or(Vec<Value>),
    /// `htons(80)`.
    Call(String, Vec<Value>),
    /// `[…]`.
    List(Vec<Value>),
    /// `{…}`: with names where they have some.
    Record(Vec<(Option<String>, Value)>),
}
impl Value {
    /// A field of a record.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Record(fields) = self else {
            return None;
        };
        let found = fields
            .iter()
            .find(|(field, _)| field.as_deref() == Some(name));
        found.map(|(_, value)| value)
    }
}
