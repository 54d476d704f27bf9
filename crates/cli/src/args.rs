//! Every flag of the command, defined once: parsing and help come from here.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::control::Mode;
use crate::graph::GraphFormat;

/// A whole network in user space. Alone: the demonstration.
#[derive(Parser)]
#[command(name = "heptad", version, max_term_width = 80)]
#[command(after_help = "Examples:\n  \
    heptad                                     two programs, seven layers\n  \
    heptad run --loss 5% --rtt 80ms -- python3 app.py\n  \
    heptad lab up labs/chat/lab.toml\n  \
    heptad exec alice -- python3 labs/chat/client.py bob 8080 alice\n  \
    heptad netstat -ant --node bob\n\n\
    Exit codes: 0 fine; 1 what was tested failed; 2 usage or a bad lab file;\n\
    124 timeout; 125 heptad itself failed; 126 not executable; 127 not found;\n\
    else the program's own code, 128+n for signal n.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub demo: Demo,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour: by default only on a terminal, and never with NO_COLOR set.
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Args)]
pub struct Demo {
    /// Seed of the demonstration's network.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Use the built-in Rust programs even if Python is there.
    #[arg(long)]
    pub builtin: bool,
    /// Folder for the capture.
    #[arg(long, default_value = "heptad-out", value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Subcommand)]
pub enum Command {
    /// Start, stop and list labs.
    #[command(subcommand)]
    Lab(LabCommand),
    /// Run an unmodified program on a node of a running lab.
    #[command(after_help = "Examples:\n  \
        heptad exec alice -- python3 labs/chat/client.py bob 8080 alice 안녕\n  \
        heptad exec bob -- bash                    programs on bob, until exit\n\n\
        Programs of a node with `stack = \"kernel\"` keep the kernel's own sockets, in\n\
        a network namespace whose cable leads into the lab (mode netns).")]
    Exec(Exec),
    /// Run an unmodified program on a network of its own.
    #[command(after_help = "Examples:\n  \
        heptad run --loss 5% --rtt 80ms --seed 7 -- python3 app.py\n  \
        heptad run --script labs/faults/third-syn.toml -- python3 app.py\n  \
        heptad run -p 8080:80 -- python3 -m http.server 80\n  \
        heptad run --uplink --rtt 80ms -- python3 app.py\n  \
        heptad run --mode netns --rtt 80ms -- python3 app.py\n\n\
        Whatever the program starts shares one node, `here`: servers and clients\n\
        meet at 127.0.0.1, and every packet between them crosses the impaired\n\
        cable. The loss applies to each packet; half of the round trip to each way.\n\
        A script says what happens when, or to which packet: see docs/lab-file.md.\n\
        With -p others on this machine reach the servers too, over the same cable.\n\
        With --uplink the programs reach what this machine reaches, over another\n\
        cable with the same faults.\n\n\
        With --mode netns the program keeps the kernel's own sockets and TCP: for\n\
        io_uring, raw packets, or Linux itself under faults. It needs no root where\n\
        users may make namespaces, which heptad doctor tries; see docs/programs.md.")]
    Run(Run),
    /// Sockets, ports or routes of a node, as net-tools' netstat prints them.
    #[command(after_help = "Examples:\n  \
        heptad netstat -ant --node bob             TCP sockets\n  \
        heptad netstat -anu                        UDP sockets of every node\n  \
        heptad netstat -rn --node r1               routes\n  \
        heptad netstat -rn6 --node r1              those of IPv6\n  \
        heptad netstat -i --node r1                ports and what they counted\n  \
        heptad netstat -gn --node r1               groups\n  \
        heptad netstat -s --node bob               counters, drops by reason")]
    Netstat(Netstat),
    /// Sockets of a node inside out, as iproute2's ss prints them.
    #[command(after_help = "Examples:\n  \
        heptad ss -tan --node bob                  TCP sockets\n  \
        heptad ss -tanpi --node bob                with programs and tcp_info\n  \
        heptad ss -lun                             who waits for datagrams, on every node\n  \
        heptad ss -tanom --json                    timers and memory, for a script\n\n\
        Names are never looked up. Exit codes: 0; 2 no such node; 255 usage.")]
    Ss(Ss),
    /// Show what the cables of a running lab do, or change one.
    #[command(after_help = "Examples:\n  \
        heptad link                                all cables\n  \
        heptad link alice-r1 loss=20%              from now on\n  \
        heptad link r1-bob rate='1 Mbit' forward.delay=50ms\n  \
        heptad link r1-bob down                    pulled; `up` plugs it in again\n  \
        heptad link r1-bob up\n\n\
        A setting is a key of [[links]] in a lab file: delay, jitter, loss, rate,\n\
        queue, mark, mtu, duplicate, corrupt, corrupt_undetected, reorder. It holds for\n\
        both directions; `forward.` before it is from the first end to the second,\n\
        `backward.` the other way. rate=none lifts the limit.")]
    Link(Link),
    /// Part nodes of a running lab, or let packets call for faults; shows what is in force.
    #[command(args_conflicts_with_subcommands = true)]
    #[command(after_help = "Examples:\n  \
        heptad fault                               what is in force\n  \
        heptad fault --json                        the same for a script\n\n\
        A cable alone is cut and restored by `heptad link NAME down` and `up`, one\n\
        direction of it by forward.down=true. docs/lab-file.md tells all keys.")]
    Fault(Fault),
    /// Ping from a node of a running lab, as iputils' ping prints it.
    #[command(after_help = "Examples:\n  \
        heptad ping -c 3 bob                       from the first other host\n  \
        heptad ping -c 3 -i 0.2 --node r1 10.0.1.10\n  \
        heptad ping -c 1 -6 --node alice ::1\n\n\
        Ctrl-C ends it with the statistics. Exit codes: 0 a reply came; 1 none;\n\
        2 usage, or no such host.")]
    Ping(Ping),
    /// Who is on the way to a host, as Linux's traceroute prints it.
    #[command(after_help = "Examples:\n  \
        heptad traceroute bob                      from the first other host\n  \
        heptad traceroute -n -q 1 -w 1 --node r1 10.0.1.10\n  \
        heptad traceroute -I bob                   with echo requests\n\n\
        A `*` is a probe that nobody answered in time; !H, !N, !P, !X, !F-1400 are\n\
        host, network, protocol unreachable, prohibited, too long for that MTU.\n\
        Exit codes: 0 the trace came to its end; 1 no way; 2 usage, or no such host.")]
    Traceroute(Traceroute),
    /// The way to a host and how long a packet may be on it, as iputils' tracepath prints it.
    #[command(after_help = "Examples:\n  \
        heptad tracepath -n bob                    from the first other host\n  \
        heptad tracepath -m 5 --node r1 alice\n\n\
        Exit codes: 0 the trace came to its end; 1 no such host; 2 usage.")]
    Tracepath(Tracepath),
    /// Addresses, routes, neighbours or links of a node, as iproute2's ip prints them.
    #[command(after_help = "Examples:\n  \
        heptad ip addr --node alice\n  \
        heptad ip -6 route --node r1\n  \
        heptad ip -br addr                         a line for each port\n  \
        heptad ip -j -p neigh show dev eth0 --node alice\n\n\
        It only shows; a lab file says what a node has. Without --node each object\n\
        of -j names its node. Exit codes: 0; 1 no such device; 2 no such node;\n\
        255 usage.")]
    Ip(Ip),
    /// The groups that a switch knows, as iproute2's bridge prints them.
    #[command(after_help = "Examples:\n  \
        heptad bridge mdb                          groups and the ports that want them\n  \
        heptad bridge -d -s mdb                    router ports, who asks, time left\n  \
        heptad bridge -j -p mdb show\n\n\
        It only shows; `snooping` and `querier` of a switch in a lab file say what it\n\
        does with groups. Exit codes: 0; 2 no such switch; 255 usage.")]
    Bridge(Bridge),
    /// Write the frames of a running lab into a capture (pcapng), from now on.
    #[command(after_help = "Examples:\n  \
        heptad capture -w chat.pcapng --seconds 2\n  \
        heptad capture -w - -c 100 --seconds 1 --node bob > bob.pcapng\n  \
        heptad capture -w - --link r1-bob --seconds 1 | tshark -r -\n\n\
        Ctrl-C ends it, and the file is whole. Nothing that happens in the lab is\n\
        changed by it.")]
    Capture(Capture),
    /// The neighbours of a node, as net-tools' arp prints them.
    #[command(after_help = "Examples:\n  \
        heptad arp -n --node alice\n  \
        heptad arp -a                              in the style of BSD")]
    Arp(Arp),
    /// Run scripts of packets against our TCP, in packetdrill's language and in virtual time.
    #[command(after_help = "Examples:\n  \
        heptad pkt scripts/pkt                     every script below a folder\n  \
        heptad pkt -q my.pkt                       say only what failed\n  \
        heptad pkt --json scripts/pkt/sack         for programs\n\n\
        Of a script that fails the first difference is told: file and line, the time\n\
        since the script began, the packet expected and the packet sent. Exit codes:\n\
        0 all pass; 1 one failed; 2 usage, or a script that is not understood.")]
    Pkt(Pkt),
    /// Print a script with which a shell completes heptad's words.
    #[command(after_help = "Examples:\n  \
        heptad completions bash > heptad.bash      then: source heptad.bash\n  \
        heptad completions zsh > _heptad           in a folder of $fpath")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write a page for each command.
    #[command(after_help = "Examples:\n  \
        heptad man > heptad.1                      then: man -l heptad.1\n  \
        heptad man --out man1                      heptad.1, heptad-lab.1 and so on")]
    Man(Man),
    /// What this machine allows, and what follows for Heptad.
    #[command(after_help = "Examples:\n  \
        heptad doctor\n  \
        heptad doctor --json                       for a script\n\n\
        Each line is tried, not guessed; below what is missing stands what it costs.\n\
        Exit codes: 0 unmodified programs can be run; 1 they can't.")]
    Doctor(Doctor),
    /// The process behind a lab (started by the others; reads its orders from standard input).
    #[command(hide = true)]
    Host,
}

#[derive(Subcommand)]
pub enum LabCommand {
    /// Start a lab from its file. With a real clock it goes on in the background; a virtual one runs to its end here.
    #[command(after_help = "Examples:\n  \
        heptad lab up labs/chat/lab.toml\n  \
        heptad lab up labs/chat/lab.toml --script labs/faults/parted.toml")]
    Up(Up),
    /// Stop a lab and everything it started.
    #[command(after_help = "Example:\n  heptad lab down chat")]
    Down(Which),
    /// The running labs.
    #[command(after_help = "Example:\n  heptad lab ls --json")]
    Ls,
    /// Draw a lab, in the language of Mermaid or of Graphviz.
    #[command(after_help = "Examples:\n  \
        heptad lab graph labs/chat/lab.toml        the lab of a file\n  \
        heptad lab graph --format dot              the running lab, as it is now")]
    Graph(Graph),
}

#[derive(Args)]
pub struct Graph {
    /// The lab file; without one, a running lab is drawn.
    #[arg(conflicts_with = "lab")]
    pub file: Option<PathBuf>,
    /// The running lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
    /// The language of the drawing.
    #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
    pub format: GraphFormat,
}

#[derive(Args)]
pub struct Link {
    /// The cable's name; without one, all are shown.
    pub link: Option<String>,
    /// What to change, KEY=VALUE; `down` and `up` alone.
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
}

#[derive(Args)]
pub struct Fault {
    #[command(subcommand)]
    pub command: Option<FaultCommand>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB", global = true)]
    pub lab: Option<String>,
}

#[derive(Subcommand)]
pub enum FaultCommand {
    /// Sets of nodes hear each other no more.
    #[command(after_help = "Examples:\n  \
        heptad fault partition alice bob --for 1s\n  \
        heptad fault partition alice,r1 '*' --for 1s --name split\n\n\
        A set is one node or several with commas between; '*' is all others.")]
    Partition(Parted),
    /// What the first set sends to the second is swallowed; what the second sends arrives.
    #[command(after_help = "Example:\n  heptad fault blackhole alice bob --for 1s")]
    Blackhole(Parted),
    /// Something is done to the packets that are all of this: keys of [[on]] in a lab file.
    #[command(after_help = "Examples:\n  \
        heptad fault on link=alice-r1 packet=syn nth=3 do=drop name=third\n  \
        heptad fault on link=r1-bob packet=udp to_port=53 do=delay delay=1s")]
    On {
        /// KEY=VALUE, such as packet=syn nth=3 do=drop.
        #[arg(required = true, value_name = "KEY=VALUE")]
        words: Vec<String>,
    },
    /// Do what a script says, its times counted from now on.
    #[command(after_help = "Example:\n  heptad fault script labs/faults/parted.toml")]
    Script {
        /// [[at]] and [[on]] of a lab file (TOML).
        file: PathBuf,
    },
    /// End what is in force; cables stay as they are.
    #[command(after_help = "Examples:\n  \
        heptad fault heal third                    what has this name\n  \
        heptad fault heal                          everything")]
    Heal {
        /// Only the partition or rule of this name.
        name: Option<String>,
    },
}

#[derive(Args)]
pub struct Parted {
    /// Nodes, with commas between; '*' for all others.
    #[arg(required = true, num_args = 2.., value_name = "NODES")]
    pub sets: Vec<String>,
    /// How long, such as 5s; else until it is healed.
    #[arg(long = "for", value_name = "TIME")]
    pub lasts: Option<String>,
    /// What it is called.
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Args)]
pub struct Ping {
    /// A node's name, or an address.
    pub destination: String,
    /// Over IPv4 only.
    #[arg(short = '4', conflicts_with = "v6")]
    pub v4: bool,
    /// Over IPv6 only.
    #[arg(short = '6')]
    pub v6: bool,
    /// Stop after so many requests.
    #[arg(short = 'c', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Seconds between requests, from 0.002.
    #[arg(short = 'i', value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub interval: f64,
    /// Bytes of data in each request, up to 65507.
    #[arg(short = 's', value_name = "BYTES", default_value_t = 56,
        value_parser = clap::value_parser!(u16).range(..=65_507))]
    pub size: u16,
    /// Time to live, or hop limit.
    #[arg(short = 't', value_name = "TTL", value_parser = clap::value_parser!(u8).range(1..))]
    pub ttl: Option<u8>,
    /// Seconds to wait for a reply.
    #[arg(short = 'W', value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub wait: f64,
    /// Only the beginning and the statistics.
    #[arg(short = 'q')]
    pub quiet: bool,
    /// From this node; default: the first host that is not the destination.
    #[arg(long)]
    pub node: Option<String>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
}

#[derive(Args)]
pub struct Pkt {
    /// Scripts; of a folder, all that end in .pkt.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only what failed, and the sum.
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

#[derive(Args)]
pub struct Traceroute {
    /// A node's name, or an address.
    pub host: String,
    /// Over IPv4 only.
    #[arg(short = '4', conflicts_with = "v6")]
    pub v4: bool,
    /// Over IPv6 only.
    #[arg(short = '6')]
    pub v6: bool,
    /// Numbers instead of names.
    #[arg(short = 'n')]
    pub numeric: bool,
    /// The last hop that is asked.
    #[arg(short = 'm', value_name = "HOPS", default_value_t = 30,
        value_parser = clap::value_parser!(u8).range(1..))]
    pub max_hops: u8,
    /// Probes of each hop, up to 10.
    #[arg(short = 'q', value_name = "PROBES", default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(1..=10))]
    pub queries: u8,
    /// Seconds to wait for an answer; less where others came quickly.
    #[arg(short = 'w', value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub wait: f64,
    /// Probe with echo requests; default: datagrams to ports from 33434 on.
    #[arg(short = 'I')]
    pub icmp: bool,
    /// From this node; default: the first host that is not the destination.
    #[arg(long)]
    pub node: Option<String>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
}

#[derive(Args)]
pub struct Tracepath {
    /// A node's name, or an address.
    pub host: String,
    /// Over IPv4 only.
    #[arg(short = '4', conflicts_with = "v6")]
    pub v4: bool,
    /// Over IPv6 only.
    #[arg(short = '6')]
    pub v6: bool,
    /// Numbers instead of names.
    #[arg(short = 'n')]
    pub numeric: bool,
    /// The last hop that is asked.
    #[arg(short = 'm', value_name = "HOPS", default_value_t = 30,
        value_parser = clap::value_parser!(u8).range(1..))]
    pub max_hops: u8,
    /// From this node; default: the first host that is not the destination.
    #[arg(long)]
    pub node: Option<String>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
}

#[derive(Args)]
pub struct Ip {
    /// addr, route, neigh or link; then show, and dev DEVICE.
    #[arg(value_name = "OBJECT", required = true)]
    pub words: Vec<String>,
    /// As JSON.
    #[arg(short = 'j')]
    pub as_json: bool,
    /// JSON for people to read.
    #[arg(short = 'p', long)]
    pub pretty: bool,
    /// IPv4 only.
    #[arg(short = '4', conflicts_with = "v6")]
    pub v4: bool,
    /// IPv6 only.
    #[arg(short = '6')]
    pub v6: bool,
    /// A line for each; also as -br.
    #[arg(long)]
    pub brief: bool,
    /// The node; default: all of them, each under its name.
    #[arg(long)]
    pub node: Option<String>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
}

#[derive(Args)]
pub struct Bridge {
    /// mdb; then show, and dev SWITCH.
    #[arg(value_name = "OBJECT", required = true)]
    pub words: Vec<String>,
    /// Router ports, and who asks for members, too.
    #[arg(short = 'd', long)]
    pub details: bool,
    /// How long each is remembered.
    #[arg(short = 's', long)]
    pub statistics: bool,
    /// As JSON.
    #[arg(short = 'j')]
    pub as_json: bool,
    /// JSON for people to read.
    #[arg(short = 'p', long)]
    pub pretty: bool,
    /// The switch; default: all of them.
    #[arg(long)]
    pub node: Option<String>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
}

/// Up to a day.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|seconds| (0.0..=86_400.0).contains(seconds))
        .ok_or_else(|| format!("{text:?} is not a number of seconds from 0 to 86400"))
}

/// As iputils allows it to users.
fn interval(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        short if short < 0.002 => Err("the shortest interval is 0.002 s".into()),
        interval => Ok(interval),
    }
}

#[derive(Args)]
pub struct Capture {
    /// The file, `-` for standard output.
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    pub write: PathBuf,
    /// Only the frames of this cable; may be given more than once.
    #[arg(long = "link", value_name = "LINK")]
    pub links: Vec<String>,
    /// Only the frames that leave or reach this node; may be given more than once.
    #[arg(long = "node", value_name = "NODE")]
    pub nodes: Vec<String>,
    /// End after so many frames.
    #[arg(short = 'c', long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
}

#[derive(Args)]
pub struct Arp {
    /// Only this address.
    pub address: Option<std::net::IpAddr>,
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
    /// The node; default: all of them, each under its name.
    #[arg(long)]
    pub node: Option<String>,
    /// Numbers instead of names.
    #[arg(short = 'n', long)]
    pub numeric: bool,
    /// In the style of BSD, a sentence a row.
    #[arg(short = 'a', long)]
    pub all: bool,
}

#[derive(Args)]
pub struct Doctor {
    /// Be the program that is tried.
    #[arg(long, hide = true)]
    pub inside: bool,
}

#[derive(Args)]
pub struct Man {
    /// Write a page for each command into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct Up {
    /// The lab file (TOML).
    pub file: PathBuf,
    /// Seed; else the file's, else one from the system, printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Capture file (pcapng); default heptad-out/NAME-seedN.pcapng.
    #[arg(long, value_name = "FILE", conflicts_with = "no_capture")]
    pub capture: Option<PathBuf>,
    /// Write no capture.
    #[arg(long)]
    pub no_capture: bool,
    /// More of what happens when: [[at]] and [[on]] in a file of their own.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Virtual clock: keep no event hash: faster, and the end of the run prints none.
    #[arg(long)]
    pub no_event_hash: bool,
    /// Stay in the foreground until Ctrl-C.
    #[arg(long, short)]
    pub foreground: bool,
    /// Virtual clock: stop at this lab time even if programs go on.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub until: Option<Duration>,
}

#[derive(Args)]
pub struct Which {
    /// The lab; default: the only one.
    pub lab: Option<String>,
    /// The same, as the other commands name it; the plain name comes first.
    #[arg(long = "lab", id = "named", value_name = "LAB", env = "HEPTAD_LAB")]
    pub named: Option<String>,
}

#[derive(Args)]
pub struct Exec {
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
    /// How it is run; default: as the node's `stack` in the lab file says.
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// The node to run it on.
    pub node: String,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

#[derive(Args)]
pub struct Run {
    /// Frames lost, in each direction.
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    pub loss: String,
    /// Round-trip time.
    #[arg(long, value_name = "TIME", default_value = "0ms")]
    pub rtt: String,
    /// Jitter of each direction.
    #[arg(long, value_name = "TIME", default_value = "0ms")]
    pub jitter: String,
    /// Rate of each direction, such as "10 Mbit".
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Frames that arrive twice.
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    pub duplicate: String,
    /// Frames held back by 1 ms, so that others overtake them.
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    pub reorder: String,
    /// Frames with a flipped bit, which the receiver discards.
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    pub corrupt: String,
    /// What happens when: [[at]] and [[on]] of a lab file, in a file of their own.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Seed; else one from the system, printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Publish a port: 8080:80, 127.0.0.1:8080:80, 5353:53/udp; outside first, 0 for a free one. Repeatable.
    #[arg(long, short, value_name = "PORTS")]
    pub publish: Vec<String>,
    /// The network of this machine by ordinary sockets of this user: TCP, UDP, ping, names. Not its 127.0.0.1.
    #[arg(long)]
    pub uplink: bool,
    /// Write a capture (pcapng) here.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// How it is run.
    #[arg(long, value_enum, value_name = "MODE", default_value = "seccomp")]
    pub mode: Mode,
    /// Say nothing at the end.
    #[arg(long, short)]
    pub quiet: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Netstat {
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
    /// The node; default: all of them, each under its name.
    #[arg(long)]
    pub node: Option<String>,
    /// All sockets, listening ones too.
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Numbers instead of names.
    #[arg(short = 'n', long)]
    pub numeric: bool,
    /// TCP only.
    #[arg(short = 't', long)]
    pub tcp: bool,
    /// UDP only.
    #[arg(short = 'u', long)]
    pub udp: bool,
    /// IPv4 only.
    #[arg(short = '4', long = "inet")]
    pub inet: bool,
    /// IPv6 only, also with -r and -s; its sockets may speak IPv4.
    #[arg(short = '6', long = "inet6")]
    pub inet6: bool,
    /// Listening sockets only.
    #[arg(short = 'l', long)]
    pub listening: bool,
    /// PID and name of the program.
    #[arg(short = 'p', long)]
    pub programs: bool,
    /// Statistics of each protocol.
    #[arg(short = 's', long, conflicts_with_all = ["route", "interfaces", "groups"])]
    pub statistics: bool,
    /// The routing table.
    #[arg(short = 'r', long, conflicts_with_all = ["interfaces", "groups"])]
    pub route: bool,
    /// The ports and their counters.
    #[arg(short = 'i', long, conflicts_with = "groups")]
    pub interfaces: bool,
    /// The groups that ports are in.
    #[arg(short = 'g', long)]
    pub groups: bool,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}

#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Ss {
    /// The lab; default: the only one.
    #[arg(long, env = "HEPTAD_LAB")]
    pub lab: Option<String>,
    /// The node; default: all of them, each under its name.
    #[arg(long)]
    pub node: Option<String>,
    /// All sockets, listening ones and those in TIME-WAIT too.
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Listening sockets only.
    #[arg(short = 'l', long)]
    pub listening: bool,
    /// Numbers, as always here.
    #[arg(short = 'n', long)]
    pub numeric: bool,
    /// TCP only.
    #[arg(short = 't', long)]
    pub tcp: bool,
    /// UDP only.
    #[arg(short = 'u', long)]
    pub udp: bool,
    /// Raw sockets only.
    #[arg(short = 'w', long)]
    pub raw: bool,
    /// IPv4 only.
    #[arg(short = '4', long)]
    pub ipv4: bool,
    /// IPv6 only; its sockets may speak IPv4.
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// What TCP knows of the connection.
    #[arg(short = 'i', long)]
    pub info: bool,
    /// Memory of the socket.
    #[arg(short = 'm', long)]
    pub memory: bool,
    /// Timers.
    #[arg(short = 'o', long)]
    pub options: bool,
    /// Numbers of the socket.
    #[arg(short = 'e', long)]
    pub extended: bool,
    /// PID and name of the program.
    #[arg(short = 'p', long)]
    pub processes: bool,
    /// No line of headings.
    #[arg(short = 'H', long = "no-header")]
    pub no_header: bool,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}

/// `90s`, `1h`, `250ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time such as 250ms, 90s, 5min or 1h is needed".into()),
    };
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("{number:?} is not a number"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, expected) in [
            ("250ms", Some(250)),
            ("1h", Some(3_600_000)),
            ("1.5s", Some(1500)),
            ("5", None),
            ("-1s", None),
            ("s", None),
        ] {
            assert_eq!(
                duration(text).ok().map(|d| d.as_millis() as u64),
                expected,
                "{text}"
            );
        }
    }
}
